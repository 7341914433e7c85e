"""WebSocket, for servers and clients: how two sides agree on it.

One idea: it begins as a request of HTTP, and when the answer is 101 the same connection
carries messages (messages.py).

`accept(id)` returns a WebSocket, to be read until it gives None. With a handle it sees to
that itself, as in skynet. A handle is any object with some of the functions
`handshake(ws, header, url)`, `message(ws, data, kind)`, `ping(ws)`, `pong(ws)`,
`close(ws, code, reason)`, `error(ws, why)`.

After lualib/http/websocket.lua. A client has to mask its frames (RFC 6455); that of
skynet does so only if `write` is given a masking key, and is refused here otherwise.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from .. import skynet
from ..core.errors import SocketError
from ..skynet.coroutine import inherit, running
from . import tls
from .httpd import Request, read_request
from .internal import checked, collect, complain, dial, h11, pairs, split
from .messages import (
    MESSAGE_LIMIT,
    ConnectionType,
    Extension,
    PerMessageDeflate,
    RemoteProtocolError,
    WebSocket as WebSocket,
    events,
)
from .stream import LINGER, TIMEOUT, ProtocolError


def accept(
    where: int | Request, handle: Any = None, *, context: ssl.SSLContext | None = None, timeout: int = TIMEOUT,
    limit: int = MESSAGE_LIMIT, subprotocols: Sequence[str] = (), deflate: bool = True,
) -> WebSocket | None:  # fmt: skip
    """Start an accepted socket (or take the one of an HTTP request) and agree on WebSocket.

    Without a handle returns the WebSocket to read from; with one, when the connection has ended.
    The handle is told of the next message when the other side has taken all but a megabyte of what it was sent. Each
    of its functions but `handshake` gets contextvars of its own, a copy of what `handshake` has left.
    None: it was refused, and the log says why. `limit`: of a message, in bytes or characters.
    `deflate`: messages are packed if the client can. `context`: wss, see tls.server_context.
    """
    if isinstance(where, Request):
        where.taken = True
        stream = where.stream
    else:
        try:
            stream = tls.accept(where, context, timeout)
        except SocketError as e:
            skynet.error(f"websocket: no connection : {e}")
            return None
    ws, asked, agreed = WebSocket(stream, ConnectionType.SERVER, limit), None, False
    try:
        stream.within(timeout)
        request = where if isinstance(where, Request) else read_request(stream, h11.Connection(h11.SERVER))
        if request is None:
            raise SocketError(f"websocket {ws.id}: the connection ended before the handshake was over")
        if request.method != "GET":
            raise RemoteProtocolError(f"{request.method} instead of GET")
        ws.raw = request.rest
        asked = ws.greeting(timeout, (request.event.headers.raw_items(), request.url))
        ws.url, ws.header = asked.target, collect([("host", asked.host), *asked.extra_headers])
        if _tell(handle, "handshake", ws, ws.header, ws.url) is False:
            raise RemoteProtocolError("the handle refuses it", events.RejectConnection(status_code=403))
        ws.subprotocol = next((name for name in asked.subprotocols if name in subprotocols), None)
        packing = _packing(deflate, asked.extensions)
        agreed = stream.write(ws.ws.send(events.AcceptConnection(ws.subprotocol, packing)))
    except Exception as e:
        gone = asked is None and isinstance(e, SocketError)  # later it is an affair of the handle
        theirs = isinstance(e, (RemoteProtocolError, h11.RemoteProtocolError))
        if gone or theirs:
            skynet.error(f"websocket: no connection : {e}")
        else:
            complain("websocket: a function of the handle failed", e)
        if not gone:
            refusal = events.RejectConnection(status_code=getattr(e, "error_status_hint", 400 if theirs else 500))
            stream.write(ws.ws.send(getattr(e, "event_hint", None) or refusal))
            stream.linger(LINGER)
    finally:
        if not agreed:
            stream.close()
    if agreed and handle is not None:
        try:
            _serve(ws, handle)
        finally:
            stream.close()
    return ws if agreed else None


def _serve(ws: WebSocket, handle: Any) -> None:
    me, mine = running(), running().context

    def tell(name: str, *args: Any) -> None:
        inherit(me, mine)  # what one message sets, the next one does not find
        _tell(handle, name, ws, *args)

    try:
        while (event := ws.receive()) is not None:
            try:
                if isinstance(event, (str, bytes)):
                    tell("message", event, "text" if isinstance(event, str) else "binary")
                else:
                    tell("ping" if isinstance(event, events.Ping) else "pong")
            except Exception as e:
                complain("websocket: a function of the handle failed", e)
                ws.close(1011)
            ws.stream.ease()
    except SocketError as e:
        tell("error", str(e))
    tell("close", ws.code, ws.reason)


def _tell(handle: Any, name: str, *args: Any) -> Any:
    function = getattr(handle, name, None)
    return function(*args) if function is not None else None


def _packing(deflate: bool, offers: Sequence[str] = ()) -> list[Extension]:
    """None if a client offers what makes no sense: such an offer is declined (RFC 7692, 7.1)."""
    try:
        for offer in offers:
            PerMessageDeflate().accept(offer)
    except ValueError:
        return []
    return [PerMessageDeflate()] if deflate else []


def connect(
    url: str, header: Mapping[str, Any] | None = None, *, context: ssl.SSLContext | None = None,
    timeout: int | None = TIMEOUT, limit: int = MESSAGE_LIMIT, subprotocols: Iterable[str] = (), deflate: bool = True,
) -> WebSocket:  # fmt: skip
    """A WebSocket to "ws://host:port/path", or wss. Raises SocketError, TimedOut, ProtocolError."""
    where, parts, lines = split(url, "wss"), urlsplit(url), pairs(checked(header))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    stream = dial(where, context, timeout)
    ws = WebSocket(stream, ConnectionType.CLIENT, limit)
    asking = events.Request(where.name, target, _packing(deflate), lines, list(subprotocols))
    try:
        stream.write(ws.ws.send(asking))
        answer = ws.greeting(timeout)
        if isinstance(answer, events.RejectConnection):
            raise ProtocolError(f"{url}: the server answers {answer.status_code} instead of 101")
    except BaseException as e:
        stream.close()
        if isinstance(e, RemoteProtocolError):
            raise ProtocolError(f"{url}: {e}") from None
        raise
    ws.url, ws.header, ws.subprotocol = target, collect(answer.extra_headers), answer.subprotocol
    return ws
