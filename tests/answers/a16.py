"""Wrong answers to the exercises of notebook 16 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from skynet_lite import CallError, gateserver, netpack, skynet, socket


def _echo(opens: bool = True, packs: bool = True, bye: str = "", releases: bool = True) -> SimpleNamespace:
    def connect(fd: int, addr: str) -> None:
        if opens:
            gateserver.openclient(fd)

    def message(fd: int, msg: bytes, sz: int) -> None:
        if bye == "silent" and msg == b"bye":
            return gateserver.closeclient(fd)
        socket.write(fd, netpack.pack(msg.upper()) if packs else msg.upper())
        if bye == "close" and msg == b"bye":
            gateserver.closeclient(fd)
        elif bye == "later" and msg == b"bye":
            skynet.fork(gateserver.closeclient, fd)

    def disconnect(fd: int) -> None:
        if releases:
            gateserver.closeclient(fd)

    return SimpleNamespace(connect=connect, message=message, disconnect=disconnect)


def _silent(how: str = "", releases: bool = True) -> SimpleNamespace:
    handler = _echo(releases=releases)
    heard: dict[int, int] = {}

    def watch(fd: int) -> None:
        step, patience = (50, 400) if how == "hasty" else (500, 500)
        while skynet.now() - heard[fd] < patience:
            skynet.sleep(step)
        gateserver.closeclient(fd)

    def connect(fd: int, addr: str) -> None:
        gateserver.openclient(fd)
        heard[fd] = skynet.now()
        if how == "from connect":
            skynet.timeout(500, lambda: gateserver.closeclient(fd))
        elif how == "early":
            skynet.timeout(250, lambda: gateserver.closeclient(fd))
        elif how == "hasty" or how == "rarely":
            skynet.fork(watch, fd)
        elif how == "once":
            skynet.timeout(500, lambda: skynet.now() - heard[fd] >= 500 and gateserver.closeclient(fd))

    def message(fd: int, msg: bytes, sz: int) -> None:
        heard[fd] = skynet.now()
        socket.write(fd, netpack.pack(msg.upper()))

    return SimpleNamespace(connect=connect, message=message, disconnect=handler.disconnect)


def _agent(how: str = "") -> Callable[[], None]:
    def agent() -> None:
        in_order = skynet.queue()

        def serve(fd: int, text: str) -> None:
            cmd, *words = text.split()
            try:
                answer = "welcome" if cmd == "hello" else skynet.call(".db", "lua", cmd, *words)
            except CallError as e:
                if how in ("raises", "lock"):
                    raise
                if how != "swallows":
                    skynet.error(e)
                return
            socket.write(fd, netpack.pack(answer.encode()))

        def client(fd: int, source: int, text: str) -> None:
            if how != "debt":
                skynet.ignoreret()
            if how == "new queue":
                skynet.queue()(serve, fd, text)
            elif how == "lock":  # taken, and not given back after an error
                in_order.__enter__()
                serve(fd, text)
                in_order.__exit__(None, None, None)
            elif how == "none":
                serve(fd, text)
            elif how != "deaf":
                in_order(serve, fd, text)

        skynet.register_protocol(name="client", id=skynet.PTYPE_CLIENT, unpack=skynet.tostring, dispatch=client)

        @skynet.dispatch("lua")
        def handle(session: int, source: int, cmd: str, *args: Any) -> None:
            if cmd == "start":
                skynet.retpack(skynet.call(args[0], "lua", "forward", args[1]))
            elif how != "stays":
                skynet.exit()

    return agent


WRONG = {
    "16.1": [([[], [b"ab"], [b"c", b""], 3], "2: the length"), ([[], [], [b"abc"], 5], "length of 0"), ([[], [], [b"abc", b""], 1], "4: the bytes"),
             ([[b""], [], [b"abc", b""], 3], "1: one byte"), (3, "three lists")],
    "16.2": [([["a", "boom"], "message", "closed"], "Look at on_more"), ([["a", "c", "boom"], "fork", "open"], "Packets begin"),
             ([["a", "boom", "c"], "message", "open"], "the one that raised"), ([["a", "boom", "c"], "fork", "closed"], "Nothing has called"),
             ("abc", "list of texts")],
    "16.3": [(["no", "no", "yes", "no"], "1: the watchdog"), (["yes", "yes", "yes", "no"], "2: which"), (["yes", "no", "no", "no"], "3: when"),
             (["yes", "no", "yes", "yes"], "4: a socket"), ("yes", "four words")],
    "16.4": [(_echo(opens=False, bye="close"), "Is each opened"), (_echo(packs=False, bye="close"), "each answer a packet"), (_echo(), "nothing after bye"),
             (_echo(bye="silent"), "are answered"), (_echo(bye="later"), "nothing after bye"), (_echo(bye="close", releases=False), "done in disconnect"),
             (SimpleNamespace(message=print), "connect is missing"), (SimpleNamespace, "That is a class")],
    "16.5": [(_silent(), "still there"), (_silent("from connect"), "no pause of it"), (_silent("early"), "After 3 s"), (_silent("once"), "starts again with each"),
             (_silent("hasty"), "closed already"), (_silent("rarely"), "starts again with each"), (_silent("once", releases=False), "After 3 s"), (3, "connect is missing")],
    "16.6": [(_agent("none"), "one and the same queue"), (_agent("new queue"), "one and the same queue"), (_agent("lock"), "queue must be left"), (_agent("raises"), "must not leave the coroutine"),
             (_agent("swallows"), "get into the log"), (_agent("debt"), "nothing waits for skynet.ret"), (_agent("stays"), "does not end"), (_agent("deaf"), "no answer"), (3, "another form")],
}  # fmt: skip
