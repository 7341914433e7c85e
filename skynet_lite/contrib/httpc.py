"""An HTTP client: h11 on a stream, the other way round.

    status, body, header = httpc.get("http://127.0.0.1:8001", "/path")

One connection for each request, as in skynet; a `Connection` keeps it for the next
one. Redirects are answers like others.

After lualib/http/httpc.lua. Names of hosts are looked up by socket.open, which does
not stop the node; dns.py asks a name server of your choice.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from ..core.errors import SkynetError, shown
from ..skynet import socket
from .internal import Header, checked, collect, dial, h11, next_event, pairs, split
from .stream import TIMEOUT, ProtocolError, Stream

BODY_LIMIT = 16 * 1024 * 1024
Content = bytes | str | Iterable[bytes] | None
Given = Mapping[str, Any] | None
Streamed = tuple[int, Header, Iterator[bytes]]


class Response(NamedTuple):
    status: int
    body: bytes
    header: Header


class Connection:
    """A connection to `host` ("http://name:port", or https), opened when it is needed and kept for the next request.

    `timeout`: ticks for connecting, and again for one request and its answer. `context`: see tls.client_context.
    `body_limit`: bytes of an answer that `request` takes; None for any number.
    """

    def __init__(
        self, host: str, *, timeout: int | None = TIMEOUT, context: ssl.SSLContext | None = None,
        body_limit: int | None = BODY_LIMIT,
    ) -> None:  # fmt: skip
        self._where = split(host, "https")
        self._timeout, self._context, self._body_limit = timeout, context, body_limit
        self._stream: Stream | None = None
        self._conn = h11.Connection(h11.CLIENT)

    def request(self, method: str, url: str = "/", header: Given = None, content: Content = None) -> Response:
        """Ask, and read the whole answer. Raises SocketError, TimedOut, ProtocolError; SkynetError for wrong types.

        Content that is iterable is sent piece by piece, chunked.
        """
        status, found, pieces = self._ask(method, url, header, content, None)
        body = bytearray()
        for piece in pieces:
            body += piece
            if self._body_limit is not None and len(body) > self._body_limit:
                self.close()
                why = f"a body of more than {self._body_limit} bytes: give another body_limit, or use request_stream"
                raise ProtocolError(f"{self._where.name}: {why}")
        return Response(status, bytes(body), found)

    def request_stream(self, method: str, url: str = "/", header: Given = None, content: Content = None) -> Streamed:
        """(status, header, the body in pieces as they come); each piece may take the timeout."""
        return self._ask(method, url, header, content, self._timeout)

    def _ask(self, method: str, url: str, header: Given, content: Content, each: int | None) -> Streamed:
        data = content.encode() if isinstance(content, str) else content
        lines = pairs({"host": self._where.name, **{name.lower(): value for name, value in checked(header).items()}})
        if data is None or isinstance(data, bytes):
            data = (data,) if data else ()
            lines.append((b"content-length", b"%d" % sum(map(len, data))))
        elif isinstance(data, Iterable):
            lines.append((b"transfer-encoding", b"chunked"))
        else:
            raise SkynetError(f"content is bytes, a str or an iterable of bytes, not {shown(content)}")
        try:
            begin = h11.Request(method=method, target=url, headers=lines)
        except (TypeError, h11.LocalProtocolError) as e:
            raise SkynetError(f"{shown(method)} {shown(url)} is no request: {e}") from None
        stream = self._open()
        try:
            stream.within(self._timeout)
            out = self._conn.send(begin) or b""
            for piece in data:
                if not isinstance(piece, bytes):
                    raise SkynetError(f"content is sent in pieces of bytes, not {shown(piece)}")
                out += self._conn.send(h11.Data(data=piece)) or b""
                if data is content:
                    stream.write(out)
                    stream.flush()
                    out = b""
            stream.write(out + (self._conn.send(h11.EndOfMessage()) or b""))
            while not isinstance(event := self._next(stream), h11.Response):
                if not isinstance(event, h11.InformationalResponse):  # PAUSED: it changed the protocol unasked
                    raise ProtocolError(f"{self._where.name}: no answer in HTTP/1.1")
        except BaseException:
            self.close()
            raise
        return event.status_code, collect(event.headers), self._pieces(stream, each)

    def _pieces(self, stream: Stream, each: int | None) -> Iterator[bytes]:
        try:
            while isinstance(event := self._next(stream), h11.Data):
                yield bytes(event.data)
                if each is not None:
                    stream.within(each)
            stream.within(None)
        except BaseException:
            self.close()
            raise
        if self._conn.our_state is self._conn.their_state is h11.DONE:
            self._conn.start_next_cycle()
        else:
            self.close()

    def _next(self, stream: Stream) -> Any:
        waiting = self._conn.their_state is h11.SEND_RESPONSE
        try:
            return next_event(stream, self._conn)
        except h11.RemoteProtocolError as e:
            ended = waiting and self._conn.trailing_data[1]
            why = "the connection ended before an answer came" if ended else e
            raise ProtocolError(f"{self._where.name}: {why}") from None

    def _open(self) -> Stream:
        if self._stream is None or self._conn.our_state is not h11.IDLE or socket.disconnected(self._stream.id):
            self.close()
            self._stream = dial(self._where, self._context, self._timeout)
            self._conn = h11.Connection(h11.CLIENT)
        return self._stream

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def request(
    method: str, host: str, url: str = "/", header: Given = None, content: Content = None, **options: Any
) -> Response:
    """One request on a connection of its own; options as for Connection."""
    with Connection(host, **options) as c:
        return c.request(method, url, header, content)


def get(host: str, url: str = "/", header: Given = None, **options: Any) -> Response:
    """`request("GET", ...)`."""
    return request("GET", host, url, header, **options)


def head(host: str, url: str = "/", header: Given = None, **options: Any) -> Response:
    """`request("HEAD", ...)`: as `get` would answer, without the body."""
    return request("HEAD", host, url, header, **options)


def post(host: str, url: str, form: Mapping[str, Any], header: Given = None, **options: Any) -> Response:
    """Send a form, as a browser does."""
    header = {"content-type": "application/x-www-form-urlencoded", **checked(header)}
    try:
        content = urlencode(form, doseq=True)
    except (TypeError, ValueError) as e:
        raise SkynetError(f"a form is a dict, not {shown(form)}") from e
    return request("POST", host, url, header, content, **options)
