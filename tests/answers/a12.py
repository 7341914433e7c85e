"""Wrong answers to the exercises of notebook 12 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from skynet_lite import skynet, socket

Serve = Callable[[int], None]


def _server(serve: Serve) -> Callable[[], None]:
    def program() -> None:
        lid = socket.listen("127.0.0.1:0")
        socket.start(lid, lambda id, addr: skynet.fork(serve, id))

    return program


# ---- 12.3


def _lines_only(id: int) -> None:
    socket.start(id)
    total = 0
    while (line := socket.readline(id)) is not None:
        total += int(line)
    socket.write(id, f"{total}\n".encode())
    socket.close(id)


def _not_closed(id: int) -> None:
    socket.start(id)
    total = sum(map(int, socket.readall(id).split()))
    socket.write(id, f"{total}\n".encode())


def _after_each(id: int) -> None:
    socket.start(id)
    total = 0
    while (line := socket.readline(id)) is not None:
        total += int(line)
        socket.write(id, f"{total}\n".encode())
    socket.close(id)


def _closed_first(id: int) -> None:
    socket.start(id)
    total = sum(map(int, socket.readall(id).split()))
    socket.close(id)
    socket.write(id, f"{total}\n".encode())


def _empty_fails(id: int) -> None:
    socket.start(id)
    total = 0
    while (line := socket.readline(id)) is not None:
        total += int(line)
    socket.write(id, f"{total + int(socket.readall(id))}\n".encode())
    socket.close(id)


# ---- 12.4


def _echo(id: int) -> None:
    while (line := socket.readline(id)) is not None:
        if line == b"crash":
            raise RuntimeError("a bug of mine")
        socket.write(id, line + b"\n")


def _unchanged(id: int) -> None:
    socket.start(id)
    _echo(id)
    socket.close(id)


def _swallows(id: int) -> None:
    socket.start(id)
    with suppress(RuntimeError):
        _echo(id)
    socket.close(id)


def _only_then(id: int) -> None:
    socket.start(id)
    try:
        _echo(id)
    except RuntimeError:
        socket.close(id)
        raise


def _exits(id: int) -> None:
    socket.start(id)
    try:
        _echo(id)
    finally:
        skynet.exit()


# ---- 12.5


def _all_at_once(id: int) -> None:
    socket.start(id)
    for _ in range(40):
        socket.write(id, bytes(256 * 1024))
    socket.close(id)


def _sender(pause: Callable[[], object], resumes: bool, closes: bool = True) -> Serve:
    def serve(id: int) -> None:
        full = False

        def warned(id: int, size: int) -> None:
            nonlocal full
            full = size > 0
            if resumes:
                skynet.wakeup(("room", id))

        socket.start(id)
        socket.warning(id, warned)
        for _ in range(40):
            while full:
                skynet.wait(("room", id))
            socket.write(id, bytes(256 * 1024))
            pause()
        if closes:
            socket.close(id)

    return serve


WRONG = {
    "12.1": [
        (["raises", "None", "None", "waits", "raises"], "1: look"), (["None", "raises", "None", "waits", "raises"], "2: look"),
        (["None", "None", "raises", "waits", "raises"], "3: look"), (["None", "None", "None", "None", "raises"], "4: the two"),
        ([None, None, None, "waits", None], "5: when close"), (["None", "error", "None", "waits", "raises"], "none of"),
        (["None"], "five words"),
    ],
    "12.2": [([1024, 2048, 4096], "the threshold, or the size"), ([1024, 2048, 4096, 8192], "at most one"),
             ([3072, 6144], "when 9 MB"), ([3072], "not twice 3"), ([3, 6, 9], "for each write")],
    "12.3": [(_server(_lines_only), "no line feed"), (_server(_not_closed), "still to be closed"),
             (_server(_after_each), "before it has finished"), (_server(_closed_first), "finishes, and hears b''"),
             (_server(_empty_fails), "A coroutine ends with"), (lambda: None, "socket of your program")],
    "12.4": [(_server(_unchanged), "still connected"), (_server(_swallows), "not in the log"),
             (_server(_only_then), "finished too"), (_server(_exits), "must still get their echo")],
    "12.5": [(_server(_all_at_once), "were queued"), (_server(_sender(skynet.yield_, True)), "were queued"),
             (_server(_sender(lambda: skynet.sleep(1), False)), "never continued"),
             (_server(_sender(lambda: skynet.sleep(1), True, False)), "close is missing")],
}  # fmt: skip
