"""Listens; each connection is a job, and all jobs share one pool."""

from skynet_lite import skynet, socket


@skynet.start
def main() -> None:
    pool = skynet.newservice("pool", int(skynet.getenv("pool") or 4))
    listening = socket.listening(skynet.getenv("address") or "127.0.0.1", int(skynet.getenv("port") or 0))

    @skynet.dispatch("lua")
    def port(session: int, source: int, what: str) -> None:
        skynet.retpack(socket.sockname(listening)[1])

    skynet.register(".pipeline")
    socket.start(listening, lambda fd, addr: skynet.newservice("job", fd, pool))
    skynet.error("gzip at port", socket.sockname(listening)[1])
