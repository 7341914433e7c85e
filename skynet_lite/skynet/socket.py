"""Sockets for services: calls that wait without blocking.

One idea: a socket is an entry in `socket_pool`, a buffer and the coroutine that
waits for it. Reading parks the coroutine with `skynet.wait`; the message that
brings what it needs (a coroutine of its own, in `socket_message`) wakes it.

A socket delivers to the service that called `start` on it: an accepted connection
says nothing, and reads nothing, before that.

After lualib/skynet/socket.lua. In this version `listen` does not wait; `start` does.
"""

from __future__ import annotations

import socket as pysocket
from collections.abc import Callable
from typing import Any

from ..core.errors import SkynetError, SocketError
from ..core.message import PTYPE_SOCKET
from ..core.socket_udp import unpack_udp_address
from .coroutine import Coroutine, running
from .protocols import register_protocol
from .scheduler import Scheduler, current
from .waits import wait, wakeup as _wakeup_coroutine

BUFFER_LIMIT = 128 * 1024
"""Bytes not read yet above which a socket is paused."""

Accept = Callable[[int, str], Any]
_ANY = 0  # read_required: any byte will do
_END = object()  # read_required: no bytes will do, only the end


class PoolSocket:
    """What the service knows of one socket: the value of `socket_pool[id]`."""

    __slots__ = (
        "buffer_limit", "callback", "closing", "co", "connected", "connecting", "id", "on_warning", "paused",
        "pieces", "pos", "protocol", "read_required", "service", "size", "waits_in",
    )  # fmt: skip

    def __init__(self, service: Scheduler, id: int, callback: Callable[..., Any] | None, protocol: str = "TCP") -> None:
        self.service = service
        self.id = id
        self.protocol = protocol  # "TCP", "UDP"; "listen" until it is started
        self.callback = callback  # accept function of a listening socket, datagram function of UDP
        self.pieces: list[bytes] = []  # what has come and is not read yet, as it came (socket_buffer)
        self.pos = 0  # where that begins in the first piece
        self.size = 0  # and how many bytes it is
        self.connected = protocol == "UDP"
        self.connecting: bool | str = protocol != "UDP"  # the error text, once there is one
        self.read_required: Any = None  # what the waiting coroutine needs: size, separator, _END
        self.co: Coroutine | None = None  # who waits
        self.waits_in = ""  # and in which function
        self.closing: Coroutine | None = None  # who waits in close until the reader has left
        self.paused: bool | None = None
        self.buffer_limit: int | None = None
        self.on_warning: Callable[[int, int], Any] | None = None

    def label(self) -> str:
        kind = self.protocol if self.protocol == "UDP" or self.callback is None else "listen"
        state = "connected" if self.connected else "connecting" if self.connecting is True else "disconnected"
        waits = f", {self.co.label} waits in {self.waits_in}" if self.co is not None else ""
        closes = f", {self.closing.label} waits in close" if self.closing is not None else ""
        return f"{kind} {state}{waits}{closes}"


# --------------------------------------------------------------------------- waiting


def wakeup(s: PoolSocket) -> None:
    """Wake the coroutine that waits for this socket, if there is one. DOC: socket-wakeup"""
    co = s.co
    if co is not None:
        s.co = None
        _wakeup_coroutine(co)


def suspend(s: PoolSocket, what: str) -> None:
    """Park the current coroutine until `wakeup(s)`. DOC: socket-suspend"""
    if s.co is not None:
        raise SocketError(f"socket {s.id}: {s.co.label} waits for it already; one reader for each socket")
    co = running()
    s.waits_in, s.co = what, co
    try:
        if s.paused:
            service = co.service
            service.error(f"Resume socket ({s.id})")
            service.server.socket_server.start(service.handle, s.id)
            wait()
            s.paused = None
        else:
            wait()
    finally:
        if s.co is co:
            s.co = None  # closed, or refused: nobody waits here any more
    if s.closing is not None:
        # close() lets the reader take what is there before it throws the buffer away.
        _wakeup_coroutine(s.closing)


def pause_socket(s: PoolSocket, size: int | None = None) -> None:
    if s.paused is not None:
        return
    service = current()
    service.error(f"Pause socket ({s.id})" if size is None else f"Pause socket ({s.id}) size : {size}")
    service.server.socket_server.pause(service.handle, s.id)
    s.paused = True


# --------------------------------------------------------------------------- messages from the socket server


def _on_data(service: Scheduler, id: int, size: int, data: bytes) -> None:
    """DATA: fill the buffer; wake the reader if it has what it needs. DOC: socket-message-data"""
    s = service.socket_pool.get(id)  # type: ignore[union-attr]  # there, since this function is
    if s is None:
        service.error(f"socket: drop package from {id}")
        return
    s.pieces.append(data)
    total = s.size = s.size + size
    needed = s.read_required
    if type(needed) is int:
        if total >= needed:
            s.read_required = None
            if total > BUFFER_LIMIT:
                pause_socket(s, total)
            wakeup(s)
        return
    if s.buffer_limit is not None and total > s.buffer_limit:
        service.error(f"socket buffer overflow: fd={id} size={total}")
        service.server.socket_server.close(service.handle, id)
        return
    if type(needed) is bytes:
        # What was there before has been searched; a separator may lie across the seam.
        if needed in data or (len(needed) > 1 and total > size and needed in _whole(s)):
            s.read_required = None
            if total > BUFFER_LIMIT:
                pause_socket(s, total)
            wakeup(s)
    elif total > BUFFER_LIMIT and not s.paused:
        pause_socket(s, total)


def _on_connect(service: Scheduler, id: int, ud: int, info: str) -> None:
    """CONNECT: the socket is ours and works. DOC: socket-message-connect"""
    s = _pool(service).get(id)
    if s is None:
        return
    if not s.connected:  # else it was started again, after a pause
        s.connected = True
        wakeup(s)


def _on_close(service: Scheduler, id: int, ud: int, data: str) -> None:
    s = _pool(service).get(id)
    if s is not None:
        s.connected = False
        wakeup(s)
    else:
        service.server.socket_server.close(service.handle, id)
    callback = _onclose(service).pop(id, None)
    if callback is not None:
        callback(id)


def _on_accept(service: Scheduler, id: int, new: int, address: str) -> None:
    """ACCEPT: a new socket, which nobody owns before `start`. DOC: socket-message-accept"""
    s = _pool(service).get(id)
    if s is None or s.callback is None:
        service.server.socket_server.close(service.handle, new)
    else:
        s.callback(new, address)


def _on_error(service: Scheduler, id: int, ud: int, text: str) -> None:
    """ERROR: the connection is broken, or was never made. DOC: socket-message-error"""
    s = _pool(service).get(id)
    server = service.server.socket_server
    if s is None:
        server.shutdown(service.handle, id)
        service.error(f"socket: error on unknown {id} {text}")
        return
    if s.callback is not None and s.connected and s.protocol == "TCP":
        service.error(f"socket: accept error: {text}")
        return
    if s.connected:
        service.error(f"socket: error on {id} {text}")
    elif s.connecting:
        s.connecting = text
    s.connected = False
    server.shutdown(service.handle, id)
    wakeup(s)


def _on_udp(service: Scheduler, id: int, size: int, data: tuple[bytes, bytes]) -> None:
    s = _pool(service).get(id)
    if s is None or s.callback is None:
        service.error(f"socket: drop udp package from {id}")
    else:
        s.callback(*data)


def _on_warning(service: Scheduler, id: int, size: int, data: str) -> None:
    s = _pool(service).get(id)
    if s is not None and s.on_warning is not None:
        s.on_warning(id, size)
    elif s is not None:
        service.error(f"WARNING: {size} K bytes need to send out (fd = {id})")


socket_message = (
    None, _on_data, _on_connect, _on_close, _on_accept, _on_error, _on_udp, _on_warning,
)  # fmt: skip
"""By type, 1 to 7: what each socket message does. DOC: socket-message"""


def _dispatch(session: int, source: int, type: int, id: int, ud: int, data: Any) -> None:
    socket_message[type](running().service, id, ud, data)  # type: ignore[misc]  # types begin at 1


def _pool(service: Scheduler) -> dict[int, PoolSocket]:
    if service.socket_pool is None:
        service.socket_pool = {}
        service.at_close.append(_close_all)
        register_protocol(name="socket", id=PTYPE_SOCKET, dispatch=_dispatch)
    return service.socket_pool


def _close_all(service: Scheduler) -> None:
    """The service has gone (`__gc` of socket_pool)."""
    for id in service.socket_pool or ():
        service.server.socket_server.close(service.handle, id)
    service.socket_pool = None


def _open_socket(id: int) -> PoolSocket:
    try:
        return running().service.socket_pool[id]  # type: ignore[no-any-return]
    except (AttributeError, KeyError, TypeError):
        current()
        raise SocketError(
            f"socket {id} is not open in this service: open or start it first; close ends its use"
        ) from None


# --------------------------------------------------------------------------- opening


def connect(service: Scheduler, id: int, func: Accept | None, what: str) -> int:
    """Enter the socket into the pool, and wait for its CONNECT or ERROR. DOC: socket-connect"""
    s = _pool(service)[id] = PoolSocket(service, id, func)
    suspend(s, what)
    reason = s.connecting
    s.connecting = False
    if s.connected:
        return id
    _pool(service).pop(id, None)
    raise SocketError(reason if isinstance(reason, str) else f"socket {id} was closed while it was being opened")


def listen(host: str, port: int | None = None, backlog: int = 32) -> int:
    """Listen on "host:port", or on host and port; port 0 picks a free one (see `sockname`).

    Returns the id at once; nobody is accepted before `start(id, accept)`. Raises
    SocketError("Listen error...") if the address cannot be had. DOC: socket-listen
    """
    service = current()
    host, port = _address(host, port)
    pool = _pool(service)
    id = service.server.socket_server.listen(service.handle, host, port, backlog)
    pool[id] = PoolSocket(service, id, None, "listen")
    return id


def start(id: int, func: Accept | None = None) -> int:
    """Make the socket this service's own, and wait until it works; returns `id`.

    For a listening socket `func(newid, "ip:port")` is called with each connection, in
    a coroutine of its own. Raises SocketError with the text of the socket server.
    DOC: socket-start
    """
    service = current()
    _ = running().hub  # refuses to block outside a coroutine before anything is done
    s = _pool(service).get(id)
    if s is not None and s.protocol != "listen":
        raise SocketError(f"socket {id} is not closed: it was started or opened here already")
    if id in _onclose(service):
        raise SocketError(f"socket {id} has an onclose function: set it after start")
    service.server.socket_server.start(service.handle, id)
    return connect(service, id, func, "start")


def open(host: str, port: int | None = None) -> int:
    """Connect to "host:port", or to host and port, and wait until it is done; returns the id.

    Names are looked up without stopping the node. Raises SocketError with the reason.
    """
    service = current()
    _ = running().hub
    host, port = _address(host, port)
    if port == 0:
        raise SocketError("Invalid port: 0 can be listened on, not connected to")
    return connect(service, service.server.socket_server.connect(service.handle, host, port), None, "open")


def bind(fd: int) -> int:
    """Read and write a descriptor that exists already (a pipe, a terminal); returns its socket id.

    The descriptor stays its owner's: `close` does not close it. Raises SocketError.
    """
    service = current()
    _ = running().hub
    return connect(service, service.server.socket_server.bind(service.handle, fd), None, "bind")


def stdin() -> int:
    """`bind(0)`."""
    return bind(0)


def _address(host: str, port: int | None) -> tuple[str, int]:
    """Split "host:port"; an IPv6 address stands in brackets, or has a port of its own (address_port)."""
    if not isinstance(host, str) or not (port is None or isinstance(port, int)):
        raise SocketError(f'Invalid address {host!r}, {port!r}: it is "host:port", or a str and an int')
    if port is None:
        name, bracket, text = host[1:].partition("]") if host.startswith("[") else ("", "", "")
        if bracket:
            colon, text = text[:1], text[1:]
        else:
            name, colon, text = host.rpartition(":")
        if colon != ":" or name.startswith("["):
            raise SocketError(f"Invalid address {host}. It reads host:port")
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
            raise SocketError(f"Invalid port in address {host}. It is a number up to 65535")
        return name, int(text)
    if not 0 <= port <= 65535:
        raise SocketError(f"Invalid port {port}: it is between 0 and 65535")
    return host, port


# --------------------------------------------------------------------------- closing


def close(id: int) -> None:
    """Close, and wait for the CLOSE message. What was written is still delivered. DOC: socket-close"""
    service = current()
    s = _pool(service).get(id)
    if s is None:
        return
    service.server.socket_server.close(service.handle, id)
    if s.connected:
        s.paused = False  # a reader that comes now must not start it again
        if s.closing is not None:
            raise SocketError(f"socket {id} is being closed by {s.closing.label} already")
        try:
            if s.co is not None:
                # Somebody reads it in another coroutine, and may take what is in the buffer first.
                s.closing = running()
                wait()
            else:
                suspend(s, "close")
        except SkynetError:
            pass  # this coroutine is being ended, and the CLOSE message with nobody to wait for it
        if s.connected:
            s.connected = False
    elif s.co is not None:
        wakeup(s)  # it waits in start or open, and will not hear of the CLOSE
    _pool(service).pop(id, None)


def close_fd(id: int) -> None:
    """Close a socket that was never started here. Raises SocketError if it was: use close."""
    service = current()
    s = _pool(service).get(id)
    if s is not None and s.protocol == "listen":
        _pool(service).pop(id, None)
    elif s is not None:
        raise SocketError(f"socket {id} was started here: use socket.close instead")
    service.server.socket_server.close(service.handle, id)


def shutdown(id: int) -> None:
    """Close at once, throwing away what is still to be sent; `close` it afterwards."""
    service = current()
    if id in _pool(service):
        service.server.socket_server.shutdown(service.handle, id)


def abandon(id: int) -> None:
    """Forget the socket, so that another service can `start` it."""
    service = current()
    s = _pool(service).get(id)
    if s is not None:
        wakeup(s)
        _onclose(service).pop(id, None)
        _pool(service).pop(id, None)
        s.connected = False


# --------------------------------------------------------------------------- reading


def read(id: int, size: int | None = None) -> bytes | None:
    """`size` bytes, or without `size` whatever there is, at least one byte.

    None when the connection ended before; what did arrive is left for `readall`.
    Raises SocketError for a closed id or a second reader.
    """
    s = _open_socket(id)
    need = 1 if size is None else size
    if need < 0:
        raise SocketError(f"read needs a size of 0 or more, not {size}")
    if s.size < need:
        if not s.connected or s.closing is not None:
            return None
        _park(s, _ANY if size is None else size, "read")
        if s.size < need:
            return None
    return _take(s, s.size if size is None else size)


def readline(id: int, sep: bytes = b"\n") -> bytes | None:
    """A line without its separator (one or more bytes), or None when the connection ended before it.

    Raises SocketError for a closed id or a second reader. DOC: socket-readline
    """
    s = _open_socket(id)
    if isinstance(sep, str):
        raise TypeError("a separator is bytes, not str: use .encode()")
    if not sep:
        raise SocketError("readline needs a separator of at least one byte")
    end = _whole(s).find(sep, s.pos) if s.size else -1
    if end < 0:
        if not s.connected or s.closing is not None:
            return None
        _park(s, sep, "readline")
        end = _whole(s).find(sep, s.pos)
        if end < 0:
            return None
    return _take(s, end - s.pos, len(sep))


def readall(id: int) -> bytes:
    """Everything up to the end of the connection."""
    s = _open_socket(id)
    if s.connected:
        _park(s, _END, "readall")
    return _take(s, s.size)


def block(id: int) -> bool:
    """Wait for the next data, and leave it in the buffer. False at the end of the connection."""
    s = _pool(current()).get(id)
    if s is None or not s.connected:
        return False
    _park(s, _ANY, "block")
    return s.connected


def _park(s: PoolSocket, needed: Any, what: str) -> None:
    """Wait as the only reader until `needed` is there, or the end. DOC: socket-park"""
    if s.read_required is not None:
        who = s.co.label if s.co is not None else "a coroutine"
        raise SocketError(f"socket {s.id}: {who} reads from it already; one reader for each socket")
    s.read_required = needed
    try:
        suspend(s, what)
    finally:
        s.read_required = None


def _whole(s: PoolSocket) -> bytes:
    """All that is not read yet, from `pos` on, in one piece."""
    pieces = s.pieces
    if len(pieces) == 1:
        return pieces[0]
    if s.pos:
        pieces[0], s.pos = pieces[0][s.pos :], 0
    whole = b"".join(pieces)
    s.pieces = [whole]
    return whole


def _take(s: PoolSocket, size: int, drop: int = 0) -> bytes:
    """The first `size` bytes; `drop` bytes behind them are forgotten."""
    whole, begin = _whole(s), s.pos
    s.size -= size + drop
    if s.size:
        s.pos = begin + size + drop
    else:
        s.pieces, s.pos = [], 0
    return whole[begin : begin + size]


def limit(id: int, size: int) -> None:
    """Close the socket when more than `size` bytes wait to be read and nobody reads them."""
    _open_socket(id).buffer_limit = size


def pause(id: int) -> None:
    """Stop reading from the network; the next read that must wait resumes it."""
    s = _pool(current()).get(id)
    if s is not None:
        pause_socket(s)


# --------------------------------------------------------------------------- writing


def write(id: int, data: bytes | bytearray | memoryview) -> bool:
    """Send; does not wait. True: taken over (not: delivered). False: the socket is gone or closing."""
    service = current()
    return service.server.socket_server.send(service.handle, id, data if type(data) is bytes else _bytes(data))


def lwrite(id: int, data: bytes | bytearray | memoryview) -> bool:
    """Like write, with low priority: behind whatever `write` has queued."""
    service = current()
    return service.server.socket_server.send(service.handle, id, data if type(data) is bytes else _bytes(data), low=True)


def _bytes(data: Any) -> bytes:
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)  # the caller may change it while it is still to be sent
    if isinstance(data, str):
        raise TypeError("a socket carries bytes, not str: use .encode()")
    raise TypeError(f"a socket carries bytes, not {type(data).__name__}")


def warning(id: int, func: Callable[[int, int], Any]) -> None:
    """Call `func(id, kilobytes)` instead of the log when much waits to be sent; 0: all is sent."""
    _open_socket(id).on_warning = func


# --------------------------------------------------------------------------- asking


def invalid(id: int) -> bool:
    """Whether this service has no such socket."""
    return id not in _pool(current())


def disconnected(id: int) -> bool | None:
    """Whether the socket was connected and is not any more; None if there is no such socket."""
    s = _pool(current()).get(id)
    return None if s is None else not (s.connected or s.connecting)


def onclose(id: int, func: Callable[[int], Any] | None) -> None:
    """Call `func(id)` when the CLOSE message of this socket comes."""
    functions = _onclose(current())
    if func is None:
        functions.pop(id, None)
    else:
        functions[id] = func


def _onclose(service: Scheduler) -> dict[int, Callable[[int], Any]]:
    functions: dict[int, Callable[[int], Any]] = service.libs.setdefault("socket.onclose", {})
    return functions


def sockname(id: int) -> tuple[str, int]:
    """(host, port) of our side. Raises SocketError."""
    return current().server.socket_server.sockname(id)


def peername(id: int) -> tuple[str, int]:
    """(host, port) of the other side. Raises SocketError."""
    return current().server.socket_server.peername(id)


def netstat() -> list[dict[str, Any]]:
    """One dict for each socket of the node, from the highest slot to the lowest."""
    return current().server.socket_server.netstat()


def nodelay(id: int) -> None:
    """Send small packets at once (TCP_NODELAY)."""
    service = current()
    service.server.socket_server.nodelay(service.handle, id)


def resolve(host: str) -> list[str]:
    """The addresses of a name, as text; the node stands still meanwhile, as a worker of skynet does.

    Raises SocketError if there is none.
    """
    try:
        found = current().server.outside.resolve(host, 0, pysocket.SOCK_STREAM)
    except OSError as e:
        raise SocketError(f"resolve {host!r}: {e.strerror}") from None
    return list(dict.fromkeys(address[0] for *_, address in found))


def header(data: bytes) -> int:
    """The number in 1 to 4 bytes, big-endian: the length in front of a packet. Raises SocketError."""
    if not 1 <= len(data) <= 4:
        raise SocketError(f"Invalid read {data!r}: a header has 1 to 4 bytes")
    return int.from_bytes(data, "big")


# --------------------------------------------------------------------------- UDP


def udp(func: Callable[[bytes, bytes], Any], host: str | None = None, port: int = 0) -> int:
    """A UDP socket; `func(data, packed address)` is called with each datagram. Does not wait.

    Bound if `host` or `port` is given. Raises SocketError.
    """
    service = current()
    if host is not None:
        host, port = _address(host, port)
    return _udp(service, service.server.socket_server.udp(service.handle, host, port), func)


def udp_listen(host: str, port: int, func: Callable[[bytes, bytes], Any]) -> int:
    """A UDP socket bound to a port that is given. Raises SocketError."""
    service = current()
    return _udp(service, service.server.socket_server.udp_listen(service.handle, *_address(host, port)), func)


def udp_dial(host: str, port: int, func: Callable[[bytes, bytes], Any]) -> int:
    """A UDP socket with a default destination for `write`. Raises SocketError."""
    service = current()
    return _udp(service, service.server.socket_server.udp_dial(service.handle, *_address(host, port)), func)


def udp_connect(id: int, host: str, port: int, func: Callable[[bytes, bytes], Any] | None = None) -> None:
    """Set the default destination for `write`; datagrams from others still arrive. Raises SocketError."""
    service = current()
    service.server.socket_server.udp_connect(service.handle, id, *_address(host, port))
    s = _pool(service).get(id)
    if s is None:
        _udp(service, id, func)
    elif func is not None:
        s.callback = func


def _udp(service: Scheduler, id: int, func: Callable[..., Any] | None) -> int:
    _pool(service)[id] = PoolSocket(service, id, func, "UDP")
    return id


def sendto(id: int, address: bytes, data: bytes) -> bool:
    """Send one datagram to a packed address, as `func` of `udp` gets it."""
    service = current()
    data = data if type(data) is bytes else _bytes(data)
    return service.server.socket_server.udp_send(service.handle, id, address, data)


def udp_address(packed: bytes) -> tuple[str, int]:
    """(ip, port) of a packed address. Raises SocketError("Invalid udp address")."""
    address = unpack_udp_address(packed)
    if address is None:
        raise SocketError(f"Invalid udp address: {len(packed)} bytes instead of 7 or 19")
    return address
