"""WebSocket: wsproto on a stream, for servers and clients.

One idea: a message is read by one coroutine, which also answers what the protocol asks
for on the way (a ping, a farewell); any coroutine may write.

    def accept(id, addr):
        ws = websocket.accept(id)
        while (message := ws.read()) is not None:
            ws.write(message)

Or as in skynet, with a handle: any object with some of the functions `handshake(ws,
header, url)`, `message(ws, data, kind)`, `ping(ws)`, `pong(ws)`, `close(ws, code,
reason)`, `error(ws, why)`.

After lualib/http/websocket.lua.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from .. import skynet
from ..core.errors import SocketError
from . import tls
from .httpd import Request
from .internal import Header, collect, complain, dial, pairs, split
from .stream import TIMEOUT, ProtocolError, Stream

try:
    from wsproto import ConnectionType, WSConnection, events
    from wsproto.connection import ConnectionState
    from wsproto.extensions import Extension, PerMessageDeflate
    from wsproto.utilities import RemoteProtocolError
except ImportError as e:
    raise ImportError("WebSocket needs wsproto: pip install 'skynet_lite[contrib]'") from e

MESSAGE_LIMIT = 256 * 1024
FAREWELL = 500  # ticks for the other side to answer our close
SLICE = 4096  # bytes unpacked at a time: what is packed may be a thousand times as long


class WebSocket:
    """One connection. `url`, `header`, `subprotocol`: of its handshake; `code`, `reason`: of its end."""

    def __init__(self, stream: Stream, kind: ConnectionType, limit: int) -> None:
        self.id, self.stream = stream.id, stream
        self.url, self.reason = "", ""
        self.header: Header = {}
        self.subprotocol: str | None = None
        self.code: int | None = None
        self._ws = WSConnection(kind)
        self._limit = limit
        self._raw = b""  # read, and not given to wsproto yet
        self._parts: list[Any] = []  # of a message that has begun
        self._size = 0  # and how much they are together
        self._reading = False

    def read(self) -> str | bytes | None:
        """The next message: str if it was sent as text; None once the connection has ended.

        Pings are answered meanwhile. Raises SocketError if the connection breaks. DOC: ws-read
        """
        while (event := self._receive()) is not None:
            if isinstance(event, (str, bytes)):
                return event
        return None

    def write(self, data: str | bytes) -> bool:
        """Send a message, text or binary; does not wait. False: the connection is closing or gone."""
        return self._send(events.TextMessage(data) if isinstance(data, str) else events.BytesMessage(bytes(data)))

    def ping(self, payload: bytes = b"") -> bool:
        """Ask for a sign of life; up to 125 bytes come back in a pong."""
        return self._send(events.Ping(payload))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, and wait for the other side's (five seconds at most)."""
        if self._send(events.CloseConnection(code, reason)):
            self.stream.within(FAREWELL)
        try:
            while not self._reading and self._receive() is not None:
                pass  # if somebody reads, it is up to that coroutine
        except SocketError:
            pass

    def _send(self, event: Any) -> bool:
        closing = isinstance(event, events.CloseConnection) and self._ws.state is ConnectionState.REMOTE_CLOSING
        return (closing or self._ws.state is ConnectionState.OPEN) and self.stream.write(self._ws.send(event))

    def _receive(self) -> Any:
        """The next message (str, bytes), Ping or Pong; None at the end, and then the socket is closed."""
        if self._reading:
            raise SocketError(f"websocket {self.id}: another coroutine reads it already")
        if self.code is not None:
            return None
        self._reading = True
        try:
            while True:
                for event in self._ws.events():
                    if (found := self._happened(event)) is not None:
                        return found
                    if self.code is not None:
                        self.stream.close()
                        return None
                self._feed()
        except BaseException:
            self.code = 1006
            self.stream.close()
            raise
        finally:
            self._reading = False

    def _feed(self) -> None:
        if not self._raw:
            self._raw = self.stream.read() or b""
        piece, self._raw = self._raw[:SLICE], self._raw[SLICE:]
        self._ws.receive_data(piece or None)  # None: ended without a farewell, which has a code: 1006

    def _happened(self, event: Any) -> Any:
        """What a reader wants to know of an event; None: nothing."""
        if isinstance(event, events.Message):
            if event.data:  # a million empty parts are no message either
                self._parts.append(event.data)
                self._size += len(event.data)
            if self._size > self._limit:
                self._refuse(1009, f"a message of more than {self._limit}")
            elif event.message_finished:
                parts, self._parts, self._size = self._parts, [], 0
                return "".join(parts) if isinstance(event.data, str) else b"".join(parts)
        elif isinstance(event, events.CloseConnection):
            if self._ws.state is ConnectionState.OPEN:
                self._refuse(event.code, event.reason or "")  # its bytes made no sense
            else:
                self._send(event.response())
                self.code, self.reason = event.code, event.reason or ""
        else:
            if isinstance(event, events.Ping):
                self._send(event.response())
            return event
        return None

    def _refuse(self, code: int, reason: str) -> None:
        """Say why, and let the other side read it before the socket goes (see httpd)."""
        self._send(events.CloseConnection(code, reason))
        self.code, self.reason = code, reason
        self.stream.within(FAREWELL)
        try:
            while self.stream.read():
                pass
        except SocketError:
            pass

    def _greeting(self, timeout: int | None) -> Any:
        """The other side's part of the handshake. Raises RemoteProtocolError, SocketError, TimedOut."""
        self.stream.within(timeout)
        while (event := next(iter(self._ws.events()), None)) is None:
            data = self.stream.read()
            if data is None:
                raise SocketError(f"websocket {self.id}: the connection ended before the handshake was over")
            self._ws.receive_data(data)
        self.stream.within(None)
        return event


def accept(
    where: int | Request, handle: Any = None, *, context: ssl.SSLContext | None = None, timeout: int = TIMEOUT,
    limit: int = MESSAGE_LIMIT, subprotocols: Sequence[str] = (), deflate: bool = True,
) -> WebSocket | None:  # fmt: skip
    """Start an accepted socket (or take the one of an HTTP request) and agree on WebSocket. DOC: ws-accept

    Without a handle returns the WebSocket to read from; with one, when the connection has ended.
    None: it was refused, and the log says why. `limit`: of a message, in bytes or characters.
    `deflate`: messages are packed if the client can. `context`: wss, see tls.server_context.
    """
    ws = None
    try:
        if isinstance(where, Request):
            where.taken = True
            stream = where.stream
        else:
            stream = tls.accept(where, context, timeout)
        ws = WebSocket(stream, ConnectionType.SERVER, limit)
        if isinstance(where, Request):
            if where.method != "GET":
                raise RemoteProtocolError(f"{where.method} instead of GET")
            ws._ws.initiate_upgrade_connection(where.event.headers.raw_items(), where.url)
        asked = ws._greeting(timeout)
        ws.url, ws.header = asked.target, collect([("host", asked.host), *asked.extra_headers])
        if _tell(handle, "handshake", ws, ws.header, ws.url) is False:
            raise RemoteProtocolError("the handle refuses it", events.RejectConnection(status_code=403))
        ws.subprotocol = next((name for name in asked.subprotocols if name in subprotocols), None)
        stream.write(ws._ws.send(events.AcceptConnection(ws.subprotocol, _packing(deflate))))
    except (RemoteProtocolError, SocketError) as e:
        skynet.error(f"websocket: no connection : {e}")
        if ws is not None:
            if isinstance(e, RemoteProtocolError):
                ws.stream.write(ws._ws.send(e.event_hint or events.RejectConnection()))
            ws.stream.close()
        return None
    if handle is not None:
        _serve(ws, handle)
    return ws


def _serve(ws: WebSocket, handle: Any) -> None:
    while True:
        try:
            event = ws._receive()
        except SocketError as e:
            _tell(handle, "error", ws, str(e))
            break
        if event is None:
            break
        try:
            if isinstance(event, (str, bytes)):
                _tell(handle, "message", ws, event, "text" if isinstance(event, str) else "binary")
            else:
                _tell(handle, "ping" if isinstance(event, events.Ping) else "pong", ws)
        except Exception as e:
            complain("websocket: a function of the handle failed", e)
            ws.close(1011)
    _tell(handle, "close", ws, ws.code, ws.reason)


def _tell(handle: Any, name: str, *args: Any) -> Any:
    function = getattr(handle, name, None)
    return function(*args) if function is not None else None


def _packing(deflate: bool) -> list[Extension]:
    return [PerMessageDeflate()] if deflate else []


def connect(
    url: str, header: Mapping[str, Any] | None = None, *, context: ssl.SSLContext | None = None,
    timeout: int | None = TIMEOUT, limit: int = MESSAGE_LIMIT, subprotocols: Iterable[str] = (), deflate: bool = True,
) -> WebSocket:  # fmt: skip
    """A WebSocket to "ws://host:port/path", or wss. Raises SocketError, TimedOut, ProtocolError. DOC: ws-connect"""
    where, parts = split(url, "wss"), urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    stream = dial(where, context, timeout)
    ws = WebSocket(stream, ConnectionType.CLIENT, limit)
    asking = events.Request(where.name, target, _packing(deflate), pairs(header), list(subprotocols))
    try:
        stream.write(ws._ws.send(asking))
        answer = ws._greeting(timeout)
        if isinstance(answer, events.RejectConnection):
            raise ProtocolError(f"{url}: the server answers {answer.status_code} instead of 101")
    except BaseException as e:
        stream.close()
        if isinstance(e, RemoteProtocolError):
            raise ProtocolError(f"{url}: {e}") from None
        raise
    ws.url, ws.header, ws.subprotocol = target, collect(answer.extra_headers), answer.subprotocol
    return ws
