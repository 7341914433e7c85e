"""Wrong answers to the exercises of notebook 02."""

from __future__ import annotations

from skynet_lite import SocketError, mark, skynet, socket


def _start(lid: int) -> None:
    try:
        socket.start(lid, lambda id, addr: None)
        mark("ok")
    except SocketError:
        mark("refused")


def one_after_the_other() -> None:
    lid = socket.listen("127.0.0.1:0")
    _start(lid)
    _start(lid)


def two_sockets() -> None:
    skynet.fork(_start, socket.listen("127.0.0.1:0"))
    skynet.fork(_start, socket.listen("127.0.0.1:0"))


def uncaught() -> None:
    lid = socket.listen("127.0.0.1:0")
    skynet.fork(socket.start, lid, print)
    skynet.fork(socket.start, lid, print)


def thrice() -> None:
    lid = socket.listen("127.0.0.1:0")
    for _ in range(3):
        skynet.fork(_start, lid)


def one_try(ids: list[int]) -> None:
    try:
        for id in ids:
            socket.start(id)
            mark(f"{id} works")
    except SocketError:
        pass


def no_try(ids: list[int]) -> None:
    for id in ids:
        socket.start(id)
        mark(f"{id} works")


def _one(id: int) -> None:
    try:
        socket.start(id)
        mark(f"{id} works")
    except SocketError:
        mark(f"{id} fails")


def forks(ids: list[int]) -> None:
    for id in ids:
        skynet.fork(_one, id)
    skynet.sleep(1)


def a_set(ids: list[int]) -> None:
    for id in dict.fromkeys(ids):
        _one(id)


WRONG = {
    "02.1": [(1, "start function itself"), (2, "comes first"), (4, "Does socket.listen wait"), ("3rd", "a number")],
    "02.2": [
        (["start", "connect", "wait", "suspend", "coroutine_yield"], "knows no socket"),
        (["start", "suspend", "connect", "wait", "coroutine_yield"], "socket_pool"),
        (["connect", "start", "suspend", "wait", "coroutine_yield"], "does the service call"),
        (["start", "connect", "suspend", "coroutine_yield", "wait"], "no function is entered"),
        (["start", "connect", "suspend", "wait", "wait"], "once"),
    ],
    "02.3": [("socket.suspend", "frozen"), ("connect", "frozen with co1"), ("dispatch_wakeup", "later"), ("wait", "four")],
    "02.4": [(one_after_the_other, "while the first waits"), (two_sockets, "nothing was refused"), (uncaught, "catch"),
             (thrice, "once each")],
    "02.5": [(one_try, "its own try"), (no_try, "its own try"), (forks, "that of the list"), (a_set, "marks are")],
}  # fmt: skip
