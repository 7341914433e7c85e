"""Wrong answers to the exercises of notebook 07."""

from __future__ import annotations

from collections.abc import Callable

from skynet_lite import mark, skynet, socket


def serving(serve: Callable[[int], None]) -> Callable[[], None]:
    """A service in which `serve(id)` is run for each connection that was accepted."""

    def program() -> None:
        socket.start(socket.listen("127.0.0.1:0"), lambda id, addr: skynet.fork(serve, id))

    return program


def silent() -> None:
    socket.start(socket.listen("127.0.0.1:0"), lambda id, addr: None)


def lines(id: int, each: Callable[[bytes], None]) -> None:
    socket.start(id)
    while (line := socket.readline(id)) is not None:
        each(line)
    socket.close(id)


@serving
def two_readers(id: int) -> None:
    def watch() -> None:
        while (line := socket.readline(id)) is not None:
            mark(f"seen {line.decode()}")

    socket.start(id)
    skynet.fork(watch)
    while (line := socket.readline(id)) is not None:
        socket.write(id, line + b"\n")


@serving
def marks_itself(id: int) -> None:
    lines(id, lambda line: (mark(f"seen {line.decode()}"), socket.write(id, line + b"\n"))[0])


@serving
def echo(id: int) -> None:
    lines(id, lambda line: (socket.write(id, line + b"\n"), None)[1])


@serving
def last_only(id: int) -> None:
    last = b""

    def watch() -> None:
        while True:
            skynet.wait()
            mark(f"seen {last.decode()}")

    watcher = skynet.fork(watch)

    def each(line: bytes) -> None:
        nonlocal last
        last = line
        skynet.wakeup(watcher)
        socket.write(id, line + b"\n")

    lines(id, each)


@serving
def no_echo(id: int) -> None:
    lines(id, lambda line: (skynet.fork(mark, f"seen {line.decode()}"), None)[1])


@serving
def frame_is_piece(id: int) -> None:
    socket.start(id)
    while data := socket.read(id):
        length, _, rest = data.partition(b":")
        socket.write(id, length + b":" + rest[::-1])
    socket.close(id)


@serving
def frame_is_line(id: int) -> None:
    lines(id, lambda line: (socket.write(id, line[:2] + line[:1:-1]), None)[1])


def _frames(skip_empty: bool = False, partial: bool = False, close: bool = True) -> Callable[[], None]:
    def serve(id: int) -> None:
        socket.start(id)
        while (length := socket.readline(id, b":")) is not None:
            if skip_empty and length == b"0":
                continue
            data = socket.read(id, int(length))
            if data is None:
                if partial:
                    socket.write(id, length + b":" + socket.readall(id)[::-1])
                break
            socket.write(id, length + b":" + data[::-1])
        if close:
            socket.close(id)

    return serving(serve)


@serving
def none_reversed(id: int) -> None:
    socket.start(id)
    while (length := socket.readline(id, b":")) is not None:
        data = socket.read(id, int(length))
        socket.write(id, length + b":" + data[::-1])  # type: ignore[index]
    socket.close(id)


def _bounded(start: bool = True, close: bool = True, leave: bool = True, limit: int = 2) -> Callable[[], None]:
    inside: set[int] = set()

    def accept(id: int, addr: str) -> None:
        if len(inside) >= limit:
            if start:
                socket.start(id)
            socket.write(id, b"busy\n")
            if close and start:
                socket.close(id)
            elif close:
                socket.close_fd(id)
            return
        inside.add(id)
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            socket.write(id, line + b"\n")
        if leave:
            inside.discard(id)
        socket.close(id)

    def program() -> None:
        inside.clear()
        socket.start(socket.listen("127.0.0.1:0"), accept)

    return program


WRONG = {
    "07.1": [
        ([3, 3, ["a", "b", "cd"]], "while the reader was parked"),
        ([3, 1, ["a", "b", "cd"]], "when does the reader park"),
        ([3, 2, ["a", "b", "c", "d"]], "means nothing"),
        ([1, 2, ["a", "b", "cd"]], "was the socket ready"),
        ([["a"], 2, 3], "another form"),
    ],
    "07.2": [
        ([b"ab", b"", b""], "can never come"),
        ([None, b"", b""], "Which call takes them"),
        ([None, b"ab", None], "has emptied the buffer"),
        ([None, "ab", ""], "returns bytes, always"),
        ([b"", b"ab", b""], "can never come"),
    ],
    "07.3": [(two_readers, "still read from one socket"), (marks_itself, "reads the socket and makes the marks"),
             (echo, "Nothing is marked"), (last_only, "Where are they kept"), (no_echo, "hears b''"),
             (silent, "hears b''")],
    "07.4": [(frame_is_piece, "a piece for a frame"), (frame_is_line, "a line feed"), (none_reversed, "ends with"),
             (_frames(skip_empty=True), "Only the length says"), (_frames(partial=True), "is cut off"),
             (_frames(close=False), "close them")],
    "07.5": [(echo, "a third hears b''"), (_bounded(start=False), "not started"), (_bounded(close=False), "must be closed"),
             (_bounded(leave=False), "has left"), (_bounded(limit=1), "hear")],
}  # fmt: skip
