"""An HTTP server: h11 on a stream, a handler for each request.

    socket.start(lid, lambda id, addr: httpd.serve(id, lambda request: "hello"))

`serve` may run in another service than the one that listens: hand the id over, as
examples/simpleweb.lua does. Requests of one connection are answered one after the
other, also those that come before the last answer has gone (pipelining).

After lualib/http/httpd.lua.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from .. import skynet
from ..core.errors import NodeClosed, SocketError
from ..skynet import socket
from ..skynet.coroutine import GreenletExit, inherit, running
from . import tls
from .internal import Header, collect, complain, h11, next_event, pairs
from .stream import LINGER, TIMEOUT, Stream

HEADER_LIMIT, BODY_LIMIT = 8192, 1024 * 1024
REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """One request, body and all. A header that came several times is a list."""

    method: str
    url: str  # as sent: path and query
    header: Header
    body: bytes
    stream: Stream
    event: h11.Request = field(repr=False)
    conn: h11.Connection = field(repr=False)
    taken: bool = False  # somebody else has the connection now (websocket.accept)

    @property
    def path(self) -> str:
        return unquote(self.url.partition("?")[0])

    @property
    def rest(self) -> bytes:
        """What came behind it: another protocol, if it asks for one."""
        return self.conn.trailing_data[0]

    @property
    def query(self) -> Header:
        return collect(parse_qsl(self.url.partition("?")[2], keep_blank_values=True))


Handler = Callable[[Request], Any]
"""Returns a body, or (status code, body), or (status code, body, header). A body is str (sent as UTF-8), bytes,
None, or an iterable of such pieces: those are sent as they come, chunked."""


def serve(
    id: int, handler: Handler, *, context: ssl.SSLContext | None = None, timeout: int = TIMEOUT,
    header_limit: int = HEADER_LIMIT, body_limit: int = BODY_LIMIT,
) -> None:  # fmt: skip
    """Start an accepted socket and serve it until either side has enough; then it is closed. DOC: http-serve

    `context`: HTTPS, see tls.server_context. `timeout`: ticks for one request to arrive whole, for a
    connection to stay without one, and for the client to take each megabyte of an answer, before the
    next is made. What breaks the rules or the limits (bytes) is answered (400, 413, 431, ...) and cut.
    Each request has contextvars of its own, a copy of those with which `serve` was called.
    """
    try:
        stream = tls.accept(id, context, timeout)
    except SocketError as e:
        skynet.error(f"httpd: no connection : {e}")
        return
    conn = h11.Connection(h11.SERVER, header_limit)
    me, mine = running(), running().context
    try:
        stream.within(timeout)
        while (request := read_request(stream, conn, header_limit, body_limit)) is not None:
            stream.within(None)
            inherit(me, mine)
            if not _answer(request, conn, handler, timeout):
                return
            conn.start_next_cycle()
            stream.within(timeout)
            stream.ease()
    except h11.RemoteProtocolError as e:
        _refuse(stream, conn, e)
    except SocketError:
        pass  # too slow, or gone
    finally:
        stream.close()


def read_request(
    stream: Stream, conn: h11.Connection, header_limit: int = HEADER_LIMIT, body_limit: int = BODY_LIMIT
) -> Request | None:
    """The next request; None when the client has finished. Raises h11.RemoteProtocolError, TimedOut."""
    event = next_event(stream, conn)
    if not isinstance(event, h11.Request):
        return None
    if event.http_version not in (b"1.0", b"1.1"):
        raise h11.RemoteProtocolError(f"HTTP/{event.http_version.decode()} is not spoken here", 505)
    header = collect(lines := list(event.headers))  # h11 makes each pair anew
    if len(event.target) + sum([len(name) + len(value) + 4 for name, value in lines]) > header_limit:
        raise h11.RemoteProtocolError(f"a header of more than {header_limit} bytes", 431)  # h11 minds unfinished ones
    body, size = bytearray(), int(header.get("content-length", 0))
    while size <= body_limit:
        if conn.they_are_waiting_for_100_continue:
            stream.write(conn.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")) or b"")
        part = next_event(stream, conn)
        if not isinstance(part, h11.Data):  # EndOfMessage
            method, url = event.method.decode("ascii"), event.target.decode("latin-1")
            return Request(method, url, header, bytes(body), stream, event, conn)
        body += part.data
        size = max(size, len(body))
    raise h11.RemoteProtocolError(f"a body of more than {body_limit} bytes", 413)


def write_response(
    stream: Stream, conn: h11.Connection, code: int, body: Any = None, header: Mapping[str, Any] | None = None,
    *, head: bool = False, timeout: int = TIMEOUT,
) -> None:  # fmt: skip
    """Send an answer (see Handler); with `head` only how it would begin.

    What cannot be sent raises TypeError or h11.LocalProtocolError before anything is.
    """
    lines = pairs(header, "content-length", "transfer-encoding")
    if all(name.lower() != b"date" for name, _ in lines):
        lines = [(b"date", _date(int(skynet.time()))), *lines]
    empty = head or code in (204, 304)
    if body is None or isinstance(body, (str, bytes, bytearray, memoryview)):
        data = _bytes(body or b"")
        if code not in (204, 304):
            lines.append((b"content-length", b"%d" % len(data)))
        pieces: Iterable[Any] = () if empty else (data,)
    elif isinstance(body, Iterable) and not isinstance(body, Mapping):
        pieces = body
    else:
        raise TypeError(f"a body is str, bytes, None or an iterable of them, not {type(body).__name__}")
    begin = conn.send(h11.Response(status_code=code, headers=lines, reason=REASONS.get(code, ""))) or b""
    if pieces is not body:
        stream.write(begin + b"".join(conn.send(h11.Data(data=data)) or b"" for data in pieces) + _end(conn))
        return
    try:
        alive = stream.write(begin)
        for piece in () if empty else pieces:
            if not alive:
                return
            if piece:
                alive = stream.write(conn.send(h11.Data(data=_bytes(piece))) or b"")
            stream.within(timeout)
            stream.flush()
        stream.write(_end(conn))
    finally:
        stream.within(None)
        if hasattr(body, "close"):
            body.close()


@lru_cache(1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def _end(conn: h11.Connection) -> bytes:
    return conn.send(h11.EndOfMessage()) or b""


def _bytes(data: Any) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a body is made of str or bytes, not {type(data).__name__}")


def _answer(request: Request, conn: h11.Connection, handler: Handler, timeout: int) -> bool:
    """Have the handler answer; False if the connection has served."""
    stream = request.stream
    try:
        answer = handler(request)
        if request.taken:
            return False
        parts = answer if isinstance(answer, tuple) else (200, answer)
        write_response(stream, conn, *parts, head=request.method == "HEAD", timeout=timeout)
    except (GreenletExit, NodeClosed):  # it is being closed, with its service or its node
        raise
    except BaseException as e:
        if not stream.timed_out:
            complain(f"httpd: {request.method} {request.url}", e)
        if conn.our_state is not h11.SEND_RESPONSE:
            socket.shutdown(stream.id)  # it has begun: all we can do is to break it off
            return False
        write_response(stream, conn, 500, "Internal Server Error\n", head=request.method == "HEAD")
    return conn.our_state is conn.their_state is h11.DONE


def _refuse(stream: Stream, conn: h11.Connection, error: h11.RemoteProtocolError) -> None:
    """Say why, and let the client read it."""
    code = error.error_status_hint
    skynet.error(f"httpd: socket {stream.id} : {code} {error}")
    if conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
        head = getattr(conn, "_request_method", None) == b"HEAD"  # h11 knows, and would let no body pass
        write_response(stream, conn, code, f"{error}\n", {"connection": "close"}, head=head)
        stream.linger(LINGER)
