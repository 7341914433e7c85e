"""The messages of a WebSocket: wsproto on a stream.

One idea: a message is read by one coroutine, which also answers what the protocol asks
for on the way (a ping, a farewell); any coroutine may write.

After lualib/http/websocket.lua.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..core.errors import SocketError
from .internal import Header, h11
from .stream import UNREAD, Stream

try:  # websocket.py takes its names from here, with this text
    from wsproto import ConnectionType as ConnectionType, WSConnection, events as events
    from wsproto.connection import ConnectionState
    from wsproto.extensions import Extension as Extension, PerMessageDeflate as PerMessageDeflate
    from wsproto.utilities import RemoteProtocolError as RemoteProtocolError
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
        self.ws = WSConnection(kind)
        self._limit = limit
        self.raw = b""  # read, and not given to wsproto yet
        self._parts: list[Any] = []  # of a message that has begun
        self._size = 0  # and how much they are together
        self._reading = False
        self._pongs = 0  # bytes of them since we last looked whether the other side takes them

    def read(self) -> str | bytes | None:
        """The next message: str if it was sent as text; None at the end of the connection (`code` 1006: it broke).

        Pings are answered meanwhile. Raises SocketError if TLS was cut off, TimedOut.
        """
        while (event := self.receive()) is not None:
            if isinstance(event, (str, bytes)):
                return event
        return None

    def write(self, data: str | bytes) -> bool:
        """Send a message, text or binary; does not wait (`stream.flush` does). False: it is closing, or gone."""
        return self.send(events.TextMessage(data) if isinstance(data, str) else events.BytesMessage(bytes(data)))

    def ping(self, payload: bytes = b"") -> bool:
        """Ask for a sign of life; up to 125 bytes come back in a pong."""
        return self.send(events.Ping(payload))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, and wait for the other side's (five seconds at most)."""
        if self.send(events.CloseConnection(code, reason)):
            self.stream.within(FAREWELL)
        with suppress(SocketError):
            while not self._reading and self.receive() is not None:
                pass  # if somebody reads, it is up to that coroutine

    def send(self, event: Any) -> bool:
        closing = isinstance(event, events.CloseConnection) and self.ws.state is ConnectionState.REMOTE_CLOSING
        return (closing or self.ws.state is ConnectionState.OPEN) and self.stream.write(self.ws.send(event))

    def receive(self) -> Any:
        """The next message (str, bytes), Ping or Pong; None at the end, and then the socket is closed.

        DOC: ws-receive
        """
        if self._reading:
            raise SocketError(f"websocket {self.id}: another coroutine reads it already")
        if self.code is not None:
            return None
        self._reading = True
        try:
            while True:
                for event in self.ws.events():
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
        if self._pongs > UNREAD:
            self._pongs = 0
            self.stream.flush()
        if not self.raw:
            self.raw = self.stream.read() or b""
        piece, self.raw = self.raw[:SLICE], self.raw[SLICE:]
        self.ws.receive_data(piece or None)  # None: ended without a farewell, which has a code: 1006

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
            if self.ws.state is ConnectionState.OPEN:
                self._refuse(event.code, event.reason or "")  # its bytes made no sense
            else:
                self.send(event.response())
                self.code, self.reason = int(event.code), event.reason or ""
        else:
            if isinstance(event, events.Ping):
                self._pongs += len(event.payload) + 2
                self.send(event.response())
            return event
        return None

    def _refuse(self, code: int, reason: str) -> None:
        """Say why, before the socket goes."""
        self.send(events.CloseConnection(code, reason))
        self.code, self.reason = int(code), reason
        self.stream.linger(FAREWELL)

    def greeting(self, timeout: int | None, request: Sequence[Any] = ()) -> Any:
        """The other side's part of the handshake; `request`: headers and target, if they were read already.

        Raises RemoteProtocolError, SocketError, TimedOut.
        """
        self.stream.within(timeout)
        try:
            if request:
                self.ws.initiate_upgrade_connection(*request)
            while (event := next(iter(self.ws.events()), None)) is None:
                data = self.stream.read()
                if data is None:
                    raise SocketError(f"websocket {self.id}: the connection ended before the handshake was over")
                self.ws.receive_data(data)
        except (ValueError, LookupError, h11.LocalProtocolError) as e:  # wsproto trusts that text is text
            raise RemoteProtocolError(f"a header that makes no sense: {e}") from None
        self.stream.within(None)
        return event
