"""Wrong answers to the exercises of notebook 01."""

from __future__ import annotations

from skynet_lite import SocketError, mark, skynet, socket


def _hello(text: bytes) -> object:
    def accept(id: int, addr: str) -> None:
        socket.start(id)
        socket.write(id, text)

    return accept


def one_door() -> None:
    socket.start(socket.listen("127.0.0.1:0"), _hello(b"front\n"))
    socket.listen("127.0.0.1:0")


def same_door() -> None:
    for _ in range(2):
        socket.start(socket.listen("127.0.0.1:0"), _hello(b"front\n"))


def wrong_door() -> None:
    socket.start(socket.listen("127.0.0.1:0"), _hello(b"back\n"))
    socket.start(socket.listen("127.0.0.1:0"), _hello(b"front\n"))


def late_names() -> None:
    for name in (b"front", b"back"):

        def accept(id: int, addr: str) -> None:
            socket.start(id)
            socket.write(id, name + b"\n")

        socket.start(socket.listen("127.0.0.1:0"), accept)


def silent() -> None:
    for _ in range(2):
        socket.start(socket.listen("127.0.0.1:0"), lambda id, addr: None)


def unstarted_write() -> None:
    for _ in range(2):
        socket.start(socket.listen("127.0.0.1:0"), lambda id, addr: socket.write(id, "x"))


def no_plan_b(port: int) -> None:
    socket.start(socket.listen("127.0.0.1", port), _hello(b"hi\n"))


def always_zero(port: int) -> None:
    mark("taken")
    socket.start(socket.listen("127.0.0.1:0"), _hello(b"hi\n"))


def quiet(port: int) -> None:
    try:
        lid = socket.listen("127.0.0.1", port)
    except SocketError:
        lid = socket.listen("127.0.0.1:0")
    socket.start(lid, _hello(b"hi\n"))


def mute(port: int) -> None:
    try:
        lid = socket.listen("127.0.0.1", port)
    except SocketError:
        mark("taken")
        lid = socket.listen("127.0.0.1:0")
    socket.start(lid, lambda id, addr: skynet.fork(socket.start, id))


WRONG = {
    "01.1": [(["reserve", "listen"], "Only the command start"), (["plisten", "reserve"], "wrong order"),
             (["listen", "plisten"], "still in the queue"), (["reserve", "connected"], "prepared"), ("plisten", "form")],
    "01.2": [(2, "not free"), (4, "take a slot"), (1, "still open"), ("three", "a number")],
    "01.3": [(5, "watch the socket"), (10, "read"), (1, "command start"), ("none", "a number")],
    "01.4": [(one_door, "1 of two"), (same_door, "its own name"), (wrong_door, "front door"), (late_names, "its own name"),
             (silent, "hear nothing"), (unstarted_write, "ends with")],
    "01.5": [(no_plan_b, "ends the start function"), (always_zero, "second choice"), (quiet, "one is wanted"), (mute, "hears b''")],
}  # fmt: skip
