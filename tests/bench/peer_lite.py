"""skynet_lite, used as a program would use it: services are functions, the clock is real.

What is measured here is counted by operations.py.
"""

from worker import BATCH, MIB, RING, arguments, resident, result, timed

from skynet_lite import Node, skynet, socket


def answer() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, value: int) -> None:
        if session:
            skynet.retpack(value)


def link(following: int) -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, hops: int) -> None:
        skynet.send(following, "lua", hops - 1)


def idle() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, value: int) -> None:
        pass


def nothing() -> None:
    pass


# ----------------------------------------------------------------- inside one node


def call(n: int) -> float:
    addr = skynet.newservice(answer)

    def work(n: int) -> None:
        for i in range(n):
            skynet.call(addr, "lua", i)

    return timed(work, n)


def send(n: int) -> float:
    addr = skynet.newservice(answer)

    def work(n: int) -> None:
        for _ in range(n // BATCH):
            for i in range(BATCH):
                skynet.send(addr, "lua", i)
            skynet.yield_()
        skynet.call(addr, "lua", 0)

    return timed(work, n)


def fork(n: int) -> float:
    def work(n: int) -> None:
        for _ in range(n // BATCH):
            for _ in range(BATCH):
                skynet.fork(nothing)
            skynet.yield_()

    return timed(work, n)


def yield_(n: int) -> float:
    def work(n: int) -> None:
        for _ in range(n):
            skynet.yield_()

    return timed(work, n)


def wait(n: int) -> float:
    """Two coroutines wake each other in turn; a round is both turns."""

    def partner() -> None:
        while True:
            skynet.wait()
            skynet.wakeup(main)

    def rounds() -> None:
        def work(n: int) -> None:
            for _ in range(n):
                skynet.wakeup(other)
                skynet.wait()

        values.append(timed(work, n))
        skynet.wakeup("done")

    values: list[float] = []
    other = skynet.fork(partner)
    main = skynet.fork(rounds)
    skynet.wait("done")
    return values[0]


def ring(n: int) -> float:
    first = me = skynet.self()
    for _ in range(RING - 1):
        first = skynet.newservice(link, first)

    def turn(session: int, source: int, hops: int) -> None:
        if hops > 0:
            skynet.send(first, "lua", hops - 1)
        else:
            skynet.wakeup("round")

    skynet.dispatch("lua", turn)

    def work(n: int) -> None:
        skynet.send(me, "lua", n)
        skynet.wait("round")

    return timed(work, n)


def birth(n: int) -> float:
    def work(n: int) -> None:
        for _ in range(n):
            skynet.newservice(idle)

    return timed(work, n)


def parked(n: int) -> float:
    def sleeper() -> None:
        skynet.wait()

    before = resident()
    for _ in range(n):
        skynet.fork(sleeper)
    skynet.yield_()
    skynet.yield_()
    return (resident() - before) / n


def services(n: int) -> float:
    skynet.newservice(idle)
    before = resident()
    for _ in range(n):
        skynet.newservice(idle)
    return (resident() - before) / n


# ----------------------------------------------------------------- servers


def echo_server() -> None:
    def accept(id: int, address: str) -> None:
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            socket.write(id, line + b"\n")
        socket.close(id)

    socket.start(socket.listen("127.0.0.1", 0, 4096), accept)


def bulk_server() -> None:
    def accept(id: int, address: str) -> None:
        socket.start(id)
        while socket.read(id, MIB) is not None:
            socket.write(id, b".")
        socket.close(id)

    socket.start(socket.listen("127.0.0.1", 0, 4096), accept)


def http_server() -> None:
    from skynet_lite.contrib import httpd  # needs h11, which nothing else here does

    def accept(id: int, address: str) -> None:
        httpd.serve(id, lambda request: "hello")

    socket.start(socket.listen("127.0.0.1", 0, 4096), accept)


METRICS = {
    "call": call, "send": send, "fork": fork, "yield": yield_, "wait": wait, "ring": ring, "birth": birth,
    "parked": parked, "services": services,
}  # fmt: skip
SERVERS = {"echo": echo_server, "idle": echo_server, "bulk": bulk_server, "http": http_server}


def bench() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, metric: str, n: int) -> None:
        value = METRICS[metric](n)
        skynet.retpack(value)


def serve(node: Node, kind: str) -> int:
    """The port of a server that was started."""
    node.newservice(SERVERS[kind])
    port: int = node.socket_server.sockname(1)[1]
    return port


def main() -> None:
    metric, n = arguments()
    with Node(log=list) as node:
        if metric in SERVERS:
            result(serve(node, metric))
            node.run_forever()
        elif metric in ("recorded", "unrecorded"):
            addr = node.newservice(bench)
            with node.record():
                value = node.call(addr, "lua", "call", n if metric == "recorded" else 1)
            result(value if metric == "recorded" else node.call(addr, "lua", "call", n))
        else:
            result(node.call(node.newservice(bench), "lua", metric, n))


if __name__ == "__main__":
    main()
