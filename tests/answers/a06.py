"""Wrong answers to the exercises of notebook 06."""

from __future__ import annotations

from collections.abc import Callable

from skynet_lite import mark, skynet, socket

FRAMES = ["driver start", "SLEEP of co1", "CONNECT in the mailbox", "co_create co2", "wakeup", "EXIT of co2", "BREAK",
          "resume of co1 by dispatch_wakeup"]  # fmt: skip


def swapped(a: int, b: int) -> list[str]:
    frames = list(FRAMES)
    frames[a], frames[b] = frames[b], frames[a]
    return frames


def film() -> None:
    mark("start")
    lid = socket.listen("127.0.0.1:0")
    mark("listened")
    socket.start(lid, lambda id, addr: None)
    mark("started")
    mark("done")


def with_fork() -> None:
    skynet.fork(lambda: None)
    film()


def marks_only() -> None:
    for text in ("start", "listened", "started", "done"):
        skynet.sleep(1)
        mark(text)


def other_marks() -> None:
    mark("begin")
    film()


def _server(client: Callable[[int], None], in_accept: bool = False) -> None:
    def accept(id: int, addr: str) -> None:
        mark("accept")
        if in_accept:
            client(id)
        else:
            skynet.fork(client, id)

    lid = socket.listen("127.0.0.1:0")
    socket.start(lid, accept)
    mark("listening")


def _client(id: int, extra: Callable[[], None] = lambda: None, close: bool = True, feed: bytes = b"\n") -> None:
    socket.start(id)
    mark("reading")
    line = socket.readline(id) or b""
    mark("line: " + line.decode())
    extra()
    socket.write(id, line + feed)
    if close:
        socket.close(id)
    mark("closed")
    mark("done")


def no_fork() -> None:
    _server(_client, in_accept=True)


def yields_once() -> None:
    _server(lambda id: _client(id, lambda: skynet.sleep(0) and None))


def stays_open() -> None:
    _server(lambda id: _client(id, close=False))


def no_line_feed() -> None:
    _server(lambda id: _client(id, feed=b""))


WRONG = {
    "06.1": [(swapped(0, 1), "after it has parked"), (swapped(1, 2), "gets its turn"), (swapped(2, 3), "then a coroutine"),
             (swapped(4, 5), "co2 calls wakeup"), (swapped(5, 6), "after co2 has yielded"), (swapped(6, 7), "picked to run"),
             (FRAMES[:7], "eight frames")],
    "06.2": [
        (["wait", "dispatch_wakeup", "wait", "wakeup", "dispatch_wakeup"], "the yield of SLEEP"),
        (["suspend", "wakeup", "wait", "wakeup", "dispatch_wakeup"], "right before the resume"),
        (["suspend", "dispatch_wakeup", "dispatch_wakeup", "wakeup", "dispatch_wakeup"], "does it itself"),
        (["suspend", "dispatch_wakeup", "wait", "wakeup", "suspend"], "popleft"),
    ],
    "06.3": [([2, 2], "both lanes"), ([3, 3], "the same function"), ([3, 1], "follow `by`"), ([4, 2], "the word resume")],
    "06.4": [(film, "this is the recording"), (with_fork, "a fork in it"), (marks_only, "does not listen"), (other_marks, "not [")],
    "06.5": [(no_fork, "the runs part"), (yields_once, "the runs part"), (stays_open, "the runs part"),
             (no_line_feed, "hears b'hello'"), (film, "hears b''")],
}  # fmt: skip
