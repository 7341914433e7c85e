"""Exercises of notebook 18: well-known libraries on skynet sockets. (The extra `contrib` is asked for only here.)"""

import gc
from collections.abc import Callable
from typing import Any

from ..core.errors import SocketError
from ..node.client import Client
from ..skynet import socket
from .engine import Hints, exercise, first_wrong, hint, no_list, plain, yes_or_no
from .programs import Run, a_function, run

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def _web(accept: Callable[[int, str], Any]) -> Callable[[], Any]:
    """The service of the notebook that listens."""
    a_function(accept)
    return lambda: socket.start(socket.listen("127.0.0.1:0"), accept)


@exercise("18.1")
def _reads(answer: Any) -> Hints:
    given = plain(answer)
    yield no_list(given, 3, int) and "form"
    yield first_wrong(given, [1, 0, 1])


def _answers(data: bytes, count: int) -> list[tuple[int, bytes]] | str:
    """What a server has sent, as (status code, body); or what h11 says against it."""
    import h11

    found: list[tuple[int, bytes]] = []
    conn = h11.Connection(h11.CLIENT)
    conn.receive_data(data)
    try:
        for _ in range(count):
            conn.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
            conn.send(h11.EndOfMessage())
            body, code = b"", 0
            while not isinstance(event := conn.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                    return found
                code = event.status_code if isinstance(event, h11.Response) else code
                body += event.data if isinstance(event, h11.Data) else b""
            found.append((code, bytes(body)))
            if conn.our_state is not h11.DONE or conn.their_state is not h11.DONE:
                return found
            conn.start_next_cycle()
    except h11.RemoteProtocolError as e:
        return str(e)
    return found


@exercise("18.2")
def _by_hand(program: Any) -> Hints:
    def ask(target: str, more: str = "") -> bytes:
        return f"GET /{target} HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode()

    def answers(r: Run, c: Client, data: bytes, count: int) -> Any:
        try:
            return _answers(r.answer(c, data), count)
        except SocketError:
            return hint("closed")

    def script(r: Run) -> list[Any]:
        c = r.client()
        parts = [(ask("one"), 1), (ask("two") + ask("three") + ask("four")[:9], 2), (ask("four")[9:], 1),
                 (ask("five", "connection: close\r\n"), 1)]  # fmt: skip
        said = [*(answers(r, c, data, count) for data, count in parts), c._eof]
        gone = r.client()
        r.answer(gone, ask("six")[:10])
        gone.close()
        return said

    found = run(_web(program), script)
    one, two, rest, last, ended = found.said
    yield one != [(200, b"ONE")] and hint("one", one=one)
    yield two != [(200, b"TWO"), (200, b"THREE")] and hint("two", two=two)
    yield rest != [(200, b"FOUR")] and hint("rest", rest=rest)
    yield (last != [(200, b"FIVE")] or not ended) and hint(
        "last", last=last, end=hint("ended" if ended else "left-open")
    )
    yield found.left_open() and "left"
    errors = [error for error in found.errors if "closed" not in error]  # of the one that went away
    yield errors and hint("ends", error=errors[0])


@exercise("18.3")
def _refused(answer: Any) -> Hints:
    from ..contrib import httpd

    codes = (400, 413, 431, 501, 505)
    yield (not isinstance(answer, dict) or set(answer) != set(codes)) and hint("form", codes=codes)
    for code, request in answer.items():
        yield not isinstance(request, bytes) and hint("kind", code=code, kind=type(request).__name__)

    def status(r: Run, request: bytes) -> int:
        c = r.client()
        try:
            first = r.answer(c, request).split(b"\r\n")[0].split()
        except SocketError:
            first = []
        c.close()
        return int(first[1]) if len(first) > 1 and first[1].isdigit() else 0

    def script(r: Run) -> list[Any]:
        good = r.client()
        return [
            *(status(r, bytes(answer[code])) for code in codes),
            r.answer(good, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
        ]

    *got, beside = run(_web(lambda id, addr: httpd.serve(id, lambda request: "fine")), script).said
    for wanted, given in zip(codes, got, strict=True):
        rule = hint(str(wanted))
        yield given != wanted and hint("code", code=wanted, what=given or hint("no-answer"), rule=rule)
    yield not beside.startswith(b"HTTP/1.1 200 ") and "beside"


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    """(opcode, payload) of what a server has sent; the last is cut off if it is not whole."""
    found = []
    while len(data) >= 2:
        length, at = data[1] & 0x7F, 2
        if length == 126:
            length, at = int.from_bytes(data[2:4], "big"), 4
        found.append((data[0] & 0x0F, data[at : at + length]))
        data = data[at + length :]
    return found


def _frame(data: bytes, opcode: int = 1) -> bytes:
    """A frame of a client, for payloads below 126 bytes."""
    mask = b"mask"
    return bytes([0x80 | opcode, 0x80 | len(data)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


@exercise("18.4")
def _framed(program: Any) -> Hints:
    from ..contrib import websocket

    def echo(id: int, addr: str) -> None:
        ws = websocket.accept(id)
        while ws is not None and (message := ws.read()) is not None:
            ws.write(message)

    def script(r: Run) -> None:
        for text in ("hi", "häl", "", "x" * 125, "y" * 126, "z" * 1000):
            c = r.client()
            r.answer(c, UPGRADE)
            r.said.append((text, _frames(r.answer(c, bytes(program(text))))))
            c.close()

    a_function(program)
    for text, back in run(_web(echo), script).said:
        if back == [(1, text.encode())]:
            continue
        shown = repr(text) if len(text) < 20 else f"{text[:3]!r}... ({len(text)})"
        if back and back[0][0] == 8:
            code, reason = int.from_bytes(back[0][1][:2], "big"), back[0][1][2:].decode("utf-8", "replace")
            yield hint("goodbye", shown=shown, code=code, reason=reason)
        yield not back and hint("nothing", shown=shown)
        part = back[0][0] == 1 and text.encode().startswith(back[0][1])
        yield hint("characters", shown=shown, got=back[0][1]) if part else hint("otherwise", shown=shown, got=back[0])


@exercise("18.5")
def _room(program: Any) -> Hints:
    from ..contrib.websocket import WebSocket

    def ended() -> list[Any]:
        return [x for x in gc.get_referrers(WebSocket) if type(x) is WebSocket and x.code is not None]

    before = ended()

    def script(r: Run) -> list[Any]:
        clients: dict[str, Client] = {}
        for name in ("Ann", "Bob", "Eve"):
            clients[name] = r.client()
            r.answer(clients[name], UPGRADE)

        def all_hear(name: str, data: bytes) -> dict[str, list[bytes]]:
            clients[name].send(data)
            return {name: [data for op, data in _frames(r.heard(c)) if op == 1] for name, c in clients.items()}

        said: list[Any] = [all_hear("Ann", _frame(b"hello"))]
        said.append(dict(_frames(r.answer(clients.pop("Bob"), _frame(b"\x03\xe8", 8)))))
        said.append(all_hear("Eve", _frame(b"one") + _frame(b"two")))
        clients.pop("Eve").reset()
        r.node.run_until_idle()
        said.append(all_hear("Ann", _frame(b"alone?")))
        if len(ended()) > len(before):
            gc.collect()
        return [*said, sum(x not in before for x in ended())]

    found = run(_web(program), script)
    hello, bye, more, alone, kept = found.said
    wanted = {name: [b"hello"] for name in ("Ann", "Bob", "Eve")}
    yield hello != wanted and hint("hello", hello=hello, wanted=wanted)
    yield bye != {8: b"\x03\xe8"} and hint("bye", bye=bye)
    wanted = {name: [b"one", b"two"] for name in ("Ann", "Eve")}
    yield more != wanted and hint("more", more=more, wanted=wanted)
    if alone != {"Ann": [b"alone?"]} or found.errors:
        yield hint("alone", what=found.errors[0] if found.errors else alone)
    yield kept and hint("kept", kept=kept)
    yield found.left_open() != 1 and hint("left", left=found.left_open())


yes_or_no("18.6", "no", "no", "no", "no", "yes", "no")
