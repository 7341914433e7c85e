"""Wrong answers to the exercises of notebook 18 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h11

from skynet_lite import socket
from skynet_lite.contrib import websocket
from skynet_lite.core.errors import SocketError


def _next(conn: h11.Connection, id: int) -> Any:
    while (event := conn.next_event()) is h11.NEED_DATA:
        conn.receive_data(socket.read(id) or b"")
    return event


def _server(how: str) -> Callable[[int, str], None]:
    """A server by hand that does one thing wrong."""

    def server(id: int, addr: str) -> None:
        socket.start(id)
        conn = h11.Connection(h11.SERVER)
        while isinstance(request := _next(conn, id), h11.Request):
            _next(conn, id)
            text = request.target if how == "as it is" else request.target[1:].upper()
            head = h11.Response(status_code=200, headers=[("content-length", str(len(text)))])
            socket.write(id, b"".join(conn.send(e) or b"" for e in (head, h11.Data(data=text), h11.EndOfMessage())))
            if how == "once":
                break
            if how == "anew":
                conn = h11.Connection(h11.SERVER)
                continue
            if conn.our_state is not h11.DONE:
                if how == "open":
                    return
                break
            conn.start_next_cycle()
        socket.close(id)  # not after an error

    return server


def _frame(how: str) -> Callable[[str], bytes]:
    def frame(text: str) -> bytes:
        data, mask = text.encode(), b"mask"
        size = [0x80 | len(data)] if len(data) < 126 else [0x80 | 126, *len(data).to_bytes(2, "big")]
        if how == "little":
            size = size[:1] + size[:0:-1]
        if how == "characters":
            size[0] = 0x80 | len(text) if len(data) < 126 else size[0]
        if how == "bare":
            return bytes([0x81, size[0] & 0x7F, *size[1:]]) + data
        if how == "unmasked":
            return bytes([0x81, *size]) + mask + data
        first = 0x82 if how == "binary" else 0x01 if how == "unfinished" else 0x81
        return bytes([first, *size]) + mask + bytes(b ^ mask[k % 4] for k, b in enumerate(data))

    return frame


def _room(how: str) -> Callable[[int, str], None]:
    here: list[Any] = []

    def room(id: int, addr: str) -> None:
        ws = websocket.accept(id)
        assert ws is not None
        here.append(ws)
        while (message := ws.read()) is not None:
            for other in list(here):
                if how == "others" and other is ws:
                    continue
                if not other.write(message) and how == "fails":
                    raise SocketError("it is gone")
            if how == "once":
                break
        if how == "leaves":
            here.remove(ws)

    return room


def _deaf(id: int, addr: str) -> None:
    """Accepts, and reads one message only."""
    ws = websocket.accept(id)
    assert ws is not None
    ws.write(ws.read() or "")


_GOOD = {
    400: b"GET / HTTP/1.1\r\n\r\n",
    413: b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1048577\r\n\r\n",
    431: b"GET /" + 9000 * b"x" + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    501: b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
    505: b"GET / HTTP/3.0\r\nhost: x\r\n\r\n",
}

WRONG = {
    "18.1": [([0, 0, 1], "Before: what"), ([1, 1, 1], "Between: both"), ([1, 0, 0], "After: the connection"),
             ([2, 1, 1], "Before: what"), (2, "three numbers")],
    "18.2": [(_server("as it is"), "capital letters"), (_server("once"), "before the next request"),
             (_server("anew"), "before the next request"), (_server("open"), "left open"), (_server("no close"), "its socket stays"),
             (lambda id, addr: None, "It should be"), (3, "another form")],
    "18.3": [({**_GOOD, 400: b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"}, "break the grammar"),
             ({**_GOOD, 400: b"GET / HTTP/1.1\r\nho"}, "no answer"),
             ({**_GOOD, 413: b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n"}, "What announces it"),
             ({**_GOOD, 431: b"GET /" + 8000 * b"x" + b" HTTP/1.1\r\nhost: x\r\n\r\n"}, "counted with the target"),
             ({**_GOOD, 501: b"BREW / HTTP/1.1\r\nhost: x\r\n\r\n"}, "Which header names it"),
             ({**_GOOD, 505: b"GET / HTTP/one\r\nhost: x\r\n\r\n"}, "in the first line"), (_GOOD[400], "a dict with the keys"),
             ({**_GOOD, 505: b"GET / HTTP/2\r\nhost: x\r\n\r\n"}, "digit, dot, digit"), ({**_GOOD, 505: "GET / HTTP/2.0"}, "for 505 is str")],
    "18.4": [(_frame("bare"), "with code 1002"), (_frame("unmasked"), "masked byte by byte"), (_frame("characters"), "counts bytes"),
             (_frame("little"), "nothing comes back"), (_frame("unfinished"), "nothing comes back"), (_frame("binary"), "Opcode 1 is text"),
             (lambda text: "text", "met TypeError")],
    "18.5": [(_room("others"), "Ann says hello"), (_deaf, "Ann says hello"), (_room("once"), "Eve says one and two"),
             (_room("fails"), "Eve says one and two"), (_room("never"), "out of your table"), (lambda id, addr: socket.start(id), "Ann says hello"), (3, "another form")],
    "18.6": [(["yes", "no", "no", "no", "yes", "no"], "1: is anyone waiting"), (["no", "yes", "no", "no", "yes", "no"], "2: number"),
             (["no", "no", "yes", "no", "yes", "no"], "3: the number"), (["no", "no", "no", "yes", "yes", "no"], "4: is a question"),
             (["no", "no", "no", "no", "no", "yes"], "5: no such name"), (["no", "no", "no", "no", "yes", "yes"], "6: the right"),
             ("yes", "six words")],
}  # fmt: skip
