"""The door: listens, and gives each client an agent of its own."""

from skynet_lite import skynet, socket


@skynet.start
def main() -> None:
    hall = skynet.newservice("hall")
    listening = socket.listening(skynet.getenv("address") or "127.0.0.1", int(skynet.getenv("port") or 0), 256)

    def accept(fd: int, addr: str) -> None:
        skynet.newservice("agent", fd, hall)

    @skynet.dispatch("lua")
    def port(session: int, source: int, what: str) -> None:
        skynet.retpack(socket.sockname(listening)[1])

    skynet.register(".lobby")
    socket.start(listening, accept)
    skynet.error("The lobby is open at port", socket.sockname(listening)[1])
