"""Listens, and asks the greeter for each line that a client says."""

from skynet_lite import skynet, socket


@skynet.start
def main() -> None:
    greeter = skynet.newservice("greeter")
    listening = socket.listening(skynet.getenv("address") or "127.0.0.1", int(skynet.getenv("port") or 0))

    def serve(fd: int, addr: str) -> None:
        """One client, in a coroutine of its own: where it waits, the others go on."""
        socket.start(fd)
        try:
            while (line := socket.readline(fd)) is not None:
                greeting = skynet.call(greeter, "lua", line.decode(errors="replace").strip())
                socket.write(fd, f"{greeting}\n".encode())
        finally:  # also when the greeter fails: a socket stays open until somebody closes it
            socket.close(fd)

    @skynet.dispatch("lua")
    def port(session: int, source: int, what: str) -> None:
        skynet.retpack(socket.sockname(listening)[1])

    skynet.register(".main")
    socket.start(listening, serve)
    skynet.error("listening at port", socket.sockname(listening)[1])
