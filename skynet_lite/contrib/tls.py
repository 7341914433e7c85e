"""TLS: a stream over a stream.

One idea: `ssl.MemoryBIO` does the whole of TLS without a socket. What comes in is laid
into one buffer, what is to go out is taken from another; when it wants more, it says
so, and only then do we read (and wait). Protocols above do not notice.

    socket.read ──► incoming ──► SSLObject ──► read
    socket.write ◄─ outgoing ◄── SSLObject ◄── write

After lualib/http/tlshelper.lua and lualib-src/ltls.c.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TypeVar

from ..core.errors import SocketError
from ..skynet import socket
from .stream import Stream, connect as _connect

T = TypeVar("T")
CHUNK = 65536


class TLSStream(Stream):
    """A stream whose bytes are encrypted; `handshake` comes first. `ssl`: the SSLObject, to ask (version, peer)."""

    def __init__(self, id: int, context: ssl.SSLContext, server_side: bool, hostname: str | None = None) -> None:
        super().__init__(id)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self._incoming, self._outgoing, server_side, hostname)
        self._plain = bytearray()
        self._closed = False

    def handshake(self) -> None:
        """Agree on keys; a client checks the certificate and its name. Raises SocketError, TimedOut."""
        self._do(self.ssl.do_handshake)

    def _do(self, operation: Callable[..., T], *args: object) -> T:
        """Carry out `operation`, and whatever reading and writing it asks for on the way. DOC: tls-step"""
        while True:
            try:
                result = operation(*args)
            except ssl.SSLWantReadError:
                self._send()
                data = super().read()
                if data is None:
                    self._incoming.write_eof()
                else:
                    self._incoming.write(data)
                continue
            except ssl.SSLError as e:
                self._send()  # the alert that tells the other side
                why = "the connection ended without a farewell" if isinstance(e, ssl.SSLEOFError) else e.reason
                raise SocketError(f"socket {self.id}: TLS: {getattr(e, 'verify_message', '') or why}") from None
            self._send()
            return result

    def _send(self) -> bool:
        return not self._outgoing.pending or super().write(self._outgoing.read())

    def _fill(self) -> bool:
        """More plain bytes; False at the end. One that comes without TLS's own farewell is an error: a cut."""
        if self._closed:
            return False
        try:
            data = self._do(self.ssl.read, CHUNK)
        except SocketError:
            if self._closed:  # by another coroutine, while this one waited
                return False
            raise
        self._plain += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        data = bytes(self._plain[:size])
        del self._plain[:size]
        return data

    def read(self, size: int | None = None) -> bytes | None:
        while len(self._plain) < (1 if size is None else size):
            if not self._fill():
                return None
        return self._take(len(self._plain) if size is None else size)

    def readline(self, sep: bytes = b"\n") -> bytes | None:
        while (end := self._plain.find(sep)) < 0:
            if not self._fill():
                return None
        return self._take(end + len(sep))[:end]

    def readall(self) -> bytes:
        while self._fill():
            pass
        return self._take(len(self._plain))

    def write(self, data: bytes) -> bool:
        if self._closed:
            return False
        view = memoryview(data)
        while view:
            view = view[self.ssl.write(view) :]
        return self._send()

    def close(self) -> None:
        """Say goodbye, and close. The other side's goodbye is not waited for."""
        if not self._closed:
            self._closed = True
            with suppress(ssl.SSLError):  # it wants the other side's goodbye; or the handshake is not over
                self.ssl.unwrap()
            self._send()
        super().close()


def server_context(certfile: str, keyfile: str | None = None) -> ssl.SSLContext:
    """A server's certificate (and chain) and key, from PEM files. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certfile, keyfile)
    return context


@cache
def client_context(cafile: str | None = None) -> ssl.SSLContext:
    """Certificates are checked, and names: against the system's authorities, or those of a PEM file."""
    return ssl.create_default_context(cafile=cafile)


def accept(id: int, context: ssl.SSLContext | None = None, timeout: int | None = None) -> Stream:
    """Start an accepted socket, and with a context go through the handshake within `timeout` ticks.

    Raises SocketError, TimedOut; the socket is closed then.
    """
    socket.start(id)
    return Stream(id) if context is None else _agreed(id, context, timeout)


def connect(host: str, port: int, context: ssl.SSLContext | None = None, timeout: int | None = None) -> TLSStream:
    """Connect to a TLS server; `client_context()` if none is given. Raises SocketError, TimedOut."""
    return _agreed(_connect(host, port, timeout), context or client_context(), timeout, host)


def _agreed(id: int, context: ssl.SSLContext, timeout: int | None, host: str | None = None) -> TLSStream:
    try:
        stream = TLSStream(id, context, host is None, host)
    except BaseException:  # a host that cannot be one
        socket.close(id)
        raise
    stream.within(timeout)
    try:
        stream.handshake()
    except BaseException:
        stream.close()
        raise
    stream.within(None)
    return stream
