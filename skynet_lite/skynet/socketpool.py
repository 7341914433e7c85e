"""What a service knows of its sockets, and who waits for them.

One idea: a socket is an entry in `socket_pool`, a buffer and the coroutine that
waits for it. Reading parks the coroutine with `skynet.wait`; the message that
brings what it needs (by `socket_message`, in a coroutine of its own) wakes it.

After lualib/skynet/socket.lua, and socket_buffer of lualib-src/lua-socket.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import SocketError, told
from ..core.message import PTYPE_SOCKET
from .coroutine import Coroutine, running
from .protocol import register_protocol
from .scheduler import Scheduler, current
from .socketbuffer import SocketBuffer
from .waits import wait, wakeup as wakeup_coroutine

BUFFER_LIMIT = 128 * 1024
"""Bytes not read yet above which a socket is paused."""

Accept = Callable[[int, str], Any]
ANY = 0  # read_required: any byte will do
END = object()  # read_required: no bytes will do, only the end


class PoolSocket(SocketBuffer):
    """What the service knows of one socket: the value of `socket_pool[id]`."""

    __slots__ = (
        "buffer_limit", "callback", "closing", "co", "connected", "connecting", "id", "on_warning", "paused",
        "protocol", "read_required", "service", "waits_in",
    )  # fmt: skip

    def __init__(self, service: Scheduler, id: int, callback: Callable[..., Any] | None, protocol: str = "TCP") -> None:
        self.clear()
        self.service = service
        self.id = id
        self.protocol = protocol  # "TCP", "UDP"; "listen" until it is started
        self.callback = callback  # accept function of a listening socket, datagram function of UDP
        self.connected = protocol == "UDP"
        self.connecting: bool | str = protocol != "UDP"  # the error text, once there is one
        self.read_required: Any = None  # what the waiting coroutine needs: size, separator, END
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
        wakeup_coroutine(co)


def suspend(s: PoolSocket, what: str) -> None:
    """Park the current coroutine until `wakeup(s)`. DOC: socket-suspend"""
    if s.co is not None:
        raise SocketError(f"socket {s.id}: {s.co.label} waits for it already; one reader for each socket")
    co = running()
    s.waits_in, s.co = what, co
    try:
        if resumed := s.paused:
            service = s.service
            service.error(f"Resume socket ({s.id})")
            service.server.socket_server.start(service.handle, s.id)
        while s.co is co:  # any other wakeup is not for this
            wait()
        if resumed:
            s.paused = None
    finally:
        if s.co is co:
            s.co = None  # closed, or refused: nobody waits here any more
        if s.closing is not None:  # close lets the reader take what is there before it throws the buffer away
            wakeup_coroutine(s.closing)


def park(s: PoolSocket, needed: Any, what: str) -> None:
    """Wait as the only reader until `needed` is there, or the end. DOC: socket-park"""
    if s.read_required is not None:
        who = s.co.label if s.co is not None else "a coroutine"
        raise SocketError(f"socket {s.id}: {who} reads from it already; one reader for each socket")
    s.read_required = needed
    try:
        suspend(s, what)
    finally:
        s.read_required = None


def pause_socket(s: PoolSocket, size: int | None = None) -> None:
    if s.paused is not None:
        return
    service = s.service
    service.error(f"Pause socket ({s.id})" if size is None else f"Pause socket ({s.id}) size : {size}")
    service.server.socket_server.pause(service.handle, s.id)
    s.paused = True
    service.paused()


# --------------------------------------------------------------------------- messages from the socket server
Found = PoolSocket | None  # the socket that a message is about, if it is one of ours


def _on_data(service: Scheduler, s: Found, id: int, size: int, data: bytes) -> None:
    """DATA: fill the buffer; wake the reader if it has what it needs. DOC: socket-message-data"""
    if s is None:
        service.error(f"socket: drop package from {id}")
        return
    s.pieces.append(data)
    before = s.size
    total = s.size = before + size
    needed = s.read_required
    kind = type(needed)
    if kind is int:
        ready = total >= needed
    elif s.buffer_limit is not None and total > s.buffer_limit:
        service.error(f"socket buffer overflow: fd={id} size={total}")
        service.overflowed(s)
        service.server.socket_server.close(service.handle, id)
        return
    elif kind is bytes:
        s.found = s.find_new(needed) if before else data.find(needed)
        ready = s.found >= 0
    else:
        ready = False
    if ready:
        s.read_required = None
    if total > BUFFER_LIMIT and (ready or needed is None):  # who waits for the end reads all there is, as in v1.1.0
        pause_socket(s, total)
    if ready:
        wakeup(s)


def _on_connect(service: Scheduler, s: Found, id: int, ud: int, info: str) -> None:
    """CONNECT: the socket is ours and works. DOC: socket-message-connect"""
    if s is not None and not s.connected:  # else it was started again, after a pause
        s.connected = True
        wakeup(s)


def _on_close(service: Scheduler, s: Found, id: int, ud: int, data: str) -> None:
    if s is not None:
        s.connected = False
        wakeup(s)
    else:
        service.server.socket_server.close(service.handle, id)
    if (callback := onclose_of(service).pop(id, None)) is not None:
        callback(id)


def _on_accept(service: Scheduler, s: Found, id: int, new: int, address: str) -> None:
    """ACCEPT: a new socket, which nobody owns before `start`. DOC: socket-message-accept"""
    if s is None:
        service.server.socket_server.close(service.handle, new)
    elif s.callback is None:  # in skynet: attempt to call a nil value (field 'callback')
        raise SocketError(f"socket {id} has no accept function for {address}: give it one, start({id}, accept)")
    else:
        s.callback(new, address)


def _on_error(service: Scheduler, s: Found, id: int, ud: int, text: str) -> None:
    """ERROR: the connection is broken, or was never made. DOC: socket-message-error"""
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


def _on_udp(service: Scheduler, s: Found, id: int, size: int, data: tuple[bytes, bytes]) -> None:
    if s is None or s.callback is None:
        service.error(f"socket: drop udp package from {id}")
    else:
        s.callback(*data)


def _on_warning(service: Scheduler, s: Found, id: int, size: int, data: str) -> None:
    if s is not None and s.on_warning is not None:
        s.on_warning(id, size)
    elif s is not None:
        service.server.warn(service.handle, f"WARNING: {size} K bytes need to send out (fd = {id})")


socket_message = None, _on_data, _on_connect, _on_close, _on_accept, _on_error, _on_udp, _on_warning
"""By type, 1 to 7: what each socket message does. DOC: socket-message"""


def _dispatch(session: int, source: int, type: int, id: int, ud: int, data: Any) -> None:
    service = running().service
    socket_message[type](service, service.socket_pool.get(id), id, ud, data)  # type: ignore[misc]  # types begin at 1


# --------------------------------------------------------------------------- the pool
def pool_of(service: Scheduler) -> dict[int, PoolSocket]:
    if service.socket_pool is None:
        service.socket_pool = {}
        service.at_close += (_close_all,)
        register_protocol(name="socket", id=PTYPE_SOCKET, dispatch=_dispatch)
    return service.socket_pool


def _close_all(service: Scheduler) -> None:
    """The service has gone (`__gc` of socket_pool)."""
    for id in service.socket_pool or ():
        service.server.socket_server.close(service.handle, id)
    service.socket_pool = None


def open_socket(id: int) -> PoolSocket:
    try:
        return running().service.socket_pool[id]  # type: ignore[no-any-return]
    except (AttributeError, KeyError, TypeError):
        current()
        raise SocketError(
            f"socket {told(id)} is not open in this service: open or start it first; close ends its use"
        ) from None


def onclose_of(service: Scheduler) -> dict[int, Callable[[int], Any]]:
    return service.libs.setdefault("socket.onclose", {})  # type: ignore[no-any-return]


def connect(service: Scheduler, id: int, func: Accept | None, what: str) -> int:
    """Enter the socket into the pool, and wait for its CONNECT or ERROR. DOC: socket-connect"""
    s = pool_of(service)[id] = PoolSocket(service, id, func)
    try:
        suspend(s, what)
    except BaseException:  # this coroutine is being ended, and nobody else knows the socket
        (service.socket_pool or {}).pop(id, None)
        service.server.socket_server.close(service.handle, id)
        raise
    reason = s.connecting
    s.connecting = False
    if s.connected:
        return id
    pool_of(service).pop(id, None)
    raise SocketError(reason if isinstance(reason, str) else f"socket {id} was closed while it was being opened")
