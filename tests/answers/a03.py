"""Wrong answers to the exercises of notebook 03."""

from __future__ import annotations

from skynet_lite import skynet, socket

HELLO = b"hello from a worker\n"


def does_it_itself() -> None:
    def accept(id: int, addr: str) -> None:
        socket.start(id)
        socket.write(id, HELLO)

    socket.start(socket.listen("127.0.0.1:0"), accept)


def worker_forgets_start() -> None:
    socket.start(socket.listen("127.0.0.1:0"), lambda id, addr: skynet.newservice(lambda id: None, id))


def worker_writes_unstarted() -> None:
    def worker(id: int) -> None:
        skynet.fork(socket.write, id, HELLO)

    socket.start(socket.listen("127.0.0.1:0"), lambda id, addr: skynet.newservice(worker, id))


def starts_first() -> None:
    def worker(id: int) -> None:
        pass

    def accept(id: int, addr: str) -> None:
        socket.start(id)
        skynet.newservice(worker, id)
        socket.write(id, HELLO)

    socket.start(socket.listen("127.0.0.1:0"), accept)


def one_worker() -> None:
    def worker() -> None:
        @skynet.dispatch("lua")
        def take(session: int, source: int, id: int) -> None:
            socket.start(id)
            socket.write(id, HELLO)

    addr = skynet.newservice(worker)
    socket.start(socket.listen("127.0.0.1:0"), lambda id, peer: skynet.send(addr, "lua", id))


def listens_only() -> None:
    socket.listen("127.0.0.1:0")


WRONG = {
    "03.1": [([1, 6], "the other way"), ([6, 2], "CONNECT"), ([1, 1], "a response"), ([10, 1], "PTYPE_SOCKET"),
             ([6, 5], "printed table")],
    "03.2": [(["connected", "listen"], "_on_connect"), (["connecting", "plisten"], "before the command"),
             (["connecting", "connected"], "after the poll"), (["listen", "listen"], "socket_pool")],
    "03.3": [(["A", "A"], "only heard ACCEPT"), (["B", "A"], "one word"), (["A", "B"], "gave it"), (["C", "B"], "Two letters")],
    "03.4": [("it is refused", "so it accepts"), ("it is accepted, and then closed", "node.log_lines"), ("eof", "Choose one")],
    "03.5": [(does_it_itself, "reception itself"), (worker_forgets_start, "hear nothing"), (starts_first, "reception itself"),
             (worker_writes_unstarted, "hear nothing"), (one_worker, "same worker"), (listens_only, "Nobody listens")],
}  # fmt: skip
