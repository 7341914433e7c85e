"""Wrong answers to the exercises of notebook 00."""

from __future__ import annotations

from skynet_lite import skynet, socket


def deaf() -> None:
    socket.listen("127.0.0.1:0")


def unstarted() -> None:
    lid = socket.listen("127.0.0.1:0")
    socket.start(lid, lambda id, addr: None)


def _serve(id: int) -> None:
    socket.start(id)
    while (line := socket.readline(id)) is not None:
        socket.write(id, line.upper() + b"!\n")


def no_mark() -> None:
    def serve(id: int, addr: str) -> None:
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            socket.write(id, line.upper() + b"\n")

    socket.start(socket.listen("127.0.0.1:0"), serve)


def only_one_line() -> None:
    def serve(id: int, addr: str) -> None:
        socket.start(id)
        line = socket.readline(id) or b""
        socket.write(id, line.upper() + b"!\n")

    socket.start(socket.listen("127.0.0.1:0"), serve)


def one_after_the_other() -> None:
    waiting: list[int] = []

    def work() -> None:
        while True:
            while not waiting:
                skynet.sleep(0)
                skynet.wait("work")
            _serve(waiting.pop(0))

    def accept(id: int, addr: str) -> None:
        waiting.append(id)
        skynet.wakeup("work")

    skynet.fork(work)
    socket.start(socket.listen("127.0.0.1:0"), accept)


def raises() -> None:
    def serve(id: int, addr: str) -> None:
        socket.start(id)
        socket.write(id, socket.readline(id).decode().upper() + "!\n")  # type: ignore[arg-type, union-attr]

    socket.start(socket.listen("127.0.0.1:0"), serve)


WRONG = {
    "00.1": [
        (["wakeup", "suspend", "co2"], "does not resume any"),
        (["dispatch_wakeup", "wait", "co2"], "session 2 in the tables"),
        (["dispatch_wakeup", "suspend", "co1"], "wakeup co1 queued"),
        (["co2", "suspend", "co2"], "is in the trace"),
    ],
    "00.2": [("co1 runs", "taken out of wakeup_queue"), ("co1 waits for somebody to call wakeup", "Who puts"),
             ("woken", "Choose one")],
    "00.3": [("connected", "after socket.start"), ("listen", "socket 1"), ("closed", "was not closed"),
             (2, "which state")],
    "00.4": [(deaf, "No port is open"), (unstarted, "hear nothing"), (no_mark, "exclamation"), (only_one_line, "Each answer is"),
             (one_after_the_other, "Fork a coroutine"), (raises, "ends with")],
}  # fmt: skip
