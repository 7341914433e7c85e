"""Sockets for services: calls that wait without blocking.

A socket delivers to the service that called `start` on it: an accepted connection
says nothing, and reads nothing, before that. How a reader is parked and woken is in
socketpool.py.

After lualib/skynet/socket.lua. In v1.1.0 `listen` does not wait; `start` does.
"""

from __future__ import annotations

import socket as pysocket
from collections.abc import Callable
from typing import Any

from ..core.errors import SkynetError, SocketError, expect, shown
from .coroutine import running
from .runnable import runnable
from .scheduler import current
from .udp import address_of, bytes_of, sendto, udp, udp_address, udp_connect, udp_dial, udp_listen
from .waits import wait

from .socketpool import (  # isort: skip
    ANY, BUFFER_LIMIT, END, Accept, PoolSocket, connect, onclose_of, open_socket, park, pause_socket, pool_of,
    suspend, wakeup,
)  # fmt: skip

__all__ = [
    "BUFFER_LIMIT", "abandon", "bind", "block", "close", "close_fd", "disconnected", "header", "invalid", "limit",
    "listen", "listening", "lwrite", "netstat", "nodelay", "onclose", "open", "pause", "peername", "read", "readall",
    "readline", "resolve", "sendto", "shutdown", "sockname", "start", "stdin", "udp", "udp_address", "udp_connect",
    "udp_dial", "udp_listen", "warning", "write",
]  # fmt: skip
__dir__ = __all__.copy


# --------------------------------------------------------------------------- opening
def listen(host: str, port: int | None = None, backlog: int = 32) -> Any:
    """Listen on "host:port", or on host and port; port 0 picks a free one (see `sockname`).

    Returns the id at once; nobody is accepted before `start(id, accept)`. Where the node speaks today's dialect
    (skynet="1.8") it waits for the CONNECT message, and returns id, address and port. Raises
    SocketError("Listen error...") if the address cannot be had. DOC: socket-listen
    """
    service = current()
    host, port = address_of(host, port)
    pool = pool_of(service)
    id = service.server.socket_server.listen(service.handle, host, port, backlog)
    s = pool[id] = PoolSocket(service, id, None, "listen")
    return service.listened(s)


def listening(host: str, port: int | None = None, backlog: int = 32) -> int:
    """`listen`, and of what it gives the id alone, in both dialects: Lua's `local id = socket.listen(...)`."""
    found = listen(host, port, backlog)
    return int(found[0] if isinstance(found, tuple) else found)


def start(id: int, func: Accept | None = None) -> int:
    """Make the socket this service's own, and wait until it works; returns `id`.

    For a listening socket `func(newid, "ip:port")` is called with each connection, in
    a coroutine of its own. Raises SocketError with the text of the socket server.
    DOC: socket-start
    """
    service = current()
    _ = running().hub  # refuses to block outside a coroutine before anything is done
    runnable(func)
    s = known(id)
    if s is not None and s.protocol != "listen":
        raise SocketError(f"socket {id} is not closed: it was started or opened here already")
    if id in onclose_of(service):
        raise SocketError(f"socket {id} has an onclose function: set it after start")
    service.server.socket_server.start(service.handle, id)
    return connect(service, id, func, "start")


def open(host: str, port: int | None = None) -> int:
    """Connect to "host:port", or to host and port, and wait until it is done; returns the id.

    Names are looked up without stopping the node, 128 at a time (contrib.dns: many more). Raises SocketError.
    """
    service = current()
    _ = running().hub
    host, port = address_of(host, port)
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


# --------------------------------------------------------------------------- closing
def close(id: int) -> None:
    """Close, and wait for the CLOSE message. What was written is still delivered. DOC: socket-close"""
    service = current()
    pool, s = pool_of(service), known(id)
    if s is None:
        return
    if service.closes(s):
        service.server.socket_server.close(service.handle, id)
    if s.connected and s.closing is not None:
        raise SocketError(f"socket {id} is being closed by {s.closing.label} already")
    try:
        if s.connected:
            s.paused = False  # a reader that comes now must not start it again
            if s.co is not None:
                # Somebody reads it in another coroutine, and may take what is in the buffer first.
                s.closing = running()
                wait()
            else:
                suspend(s, "close")
    except SkynetError:
        pass  # this coroutine is being ended, and the CLOSE message with nobody to wait for it
    finally:
        if s.connected:  # who waits in start or open is not woken: as in skynet, it never returns
            wakeup(s)  # but who reads while we are killed: it will not hear of the CLOSE
        s.connected = False
        pool.pop(id, None)


def close_fd(id: int) -> None:
    """Close a socket that was never started here. Raises SocketError if it was: use close."""
    service = current()
    s = known(id)
    if s is not None and s.protocol == "listen":
        pool_of(service).pop(id, None)
    elif s is not None:
        raise SocketError(f"socket {id} was started here: use socket.close instead")
    service.server.socket_server.close(service.handle, id)


def shutdown(id: int) -> None:
    """Close at once, throwing away what is still to be sent; `close` it afterwards."""
    service = current()
    if known(id) is not None:
        service.server.socket_server.shutdown(service.handle, id)


def known(id: int) -> PoolSocket | None:
    """What the current service knows of a socket; None: it is not of this service, or closed. Raises SocketError."""
    try:
        return pool_of(current()).get(id)
    except TypeError:
        raise SocketError(f"a socket is known by its id, a number, not by {shown(id)}") from None


def abandon(id: int) -> None:
    """Forget the socket, so that another service can `start` it."""
    service = current()
    if (s := known(id)) is not None:
        wakeup(s)
        onclose_of(service).pop(id, None)
        pool_of(service).pop(id, None)
        s.connected = False


# --------------------------------------------------------------------------- reading
def read(id: int, size: int | None = None) -> bytes | None:
    """`size` bytes, or without `size` whatever there is, at least one byte.

    None when the connection ended before; what did arrive is left for `readall`.
    Raises SocketError for a closed id or a second reader.
    """
    s = open_socket(id)
    need = 1 if size is None else size
    if need < 0:
        raise SocketError(f"read needs a size of 0 or more, not {size}")
    if s.size < need:
        if not s.connected or s.closing is not None:
            return None
        park(s, ANY if size is None else size, "read")
        if s.size < need:
            return None
    return s.take(s.size if size is None else size)


def readline(id: int, sep: bytes = b"\n") -> bytes | None:
    """A line without its separator (one or more bytes), or None when the connection ended before it.

    Raises SocketError for a closed id or a second reader. DOC: socket-readline
    """
    s = open_socket(id)
    if type(sep) is not bytes:
        sep = bytes_of(sep)
    if not sep:
        raise SocketError("readline needs a separator of at least one byte")
    before = s.find(sep) if s.size else -1
    if before < 0:
        if not s.connected or s.closing is not None:
            return None
        s.found = -1
        park(s, sep, "readline")
        before = s.found
        if before < 0 and s.size:  # the end has come; or another reader was faster, and has left something
            before = s.find(sep)
        if before < 0:
            return None
    return s.take(before, len(sep))


def readall(id: int) -> bytes:
    """Everything up to the end of the connection."""
    s = open_socket(id)
    if s.connected:
        park(s, END, "readall")
    return s.take(s.size)


def block(id: int) -> bool:
    """Wait for the next data, and leave it in the buffer. False at the end of the connection."""
    if (s := known(id)) is None or not s.connected:
        return False
    park(s, ANY, "block")
    return s.connected


def limit(id: int, size: int) -> None:
    """Close the socket when more than `size` bytes wait to be read and nobody reads them; they are thrown away."""
    open_socket(id).buffer_limit = size


def pause(id: int) -> None:
    """Stop reading from the network; the next read that must wait resumes it."""
    if (s := known(id)) is not None:
        pause_socket(s)


# --------------------------------------------------------------------------- writing
def write(id: int, data: bytes | bytearray | memoryview) -> bool:
    """Send; does not wait. True: taken over (not: delivered). False: the socket is gone or closing."""
    service = current()
    return service.server.socket_server.send(service.handle, id, data if type(data) is bytes else bytes_of(data))


def lwrite(id: int, data: bytes | bytearray | memoryview) -> bool:
    """Like write, with low priority: behind whatever `write` has queued."""
    service = current()
    data = data if type(data) is bytes else bytes_of(data)
    return service.server.socket_server.send(service.handle, id, data, True)


def warning(id: int, func: Callable[[int, int], Any]) -> None:
    """Call `func(id, kilobytes)` instead of the log when much waits to be sent; 0: all is sent."""
    open_socket(id).on_warning = runnable(func)


# --------------------------------------------------------------------------- asking
def invalid(id: int) -> bool:
    """Whether this service has no such socket."""
    return known(id) is None


def disconnected(id: int) -> bool | None:
    """Whether the socket was connected and is not any more; None if there is no such socket."""
    s = known(id)
    return None if s is None else not (s.connected or s.connecting)


def onclose(id: int, func: Callable[[int], Any] | None) -> None:
    """Call `func(id)` when the CLOSE message of this socket comes."""
    functions = onclose_of(current())
    if func is None:
        functions.pop(id, None)
    else:
        functions[id] = runnable(func)


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
    """The addresses of a name, as text; the node stands still meanwhile. Raises SocketError if there is none."""
    expect("resolve takes the name of a host, a str", host, str)
    try:
        found = current().server.outside.resolve(host, 0, pysocket.SOCK_STREAM)
    except OSError as e:
        raise SocketError(f"resolve {shown(host)}: {e.strerror}") from None
    return list(dict.fromkeys(address[0] for *_, address in found))


def header(data: bytes) -> int:
    """The number in 1 to 4 bytes, big-endian: the length in front of a packet. Raises SkynetError."""
    if not 1 <= len(expect("a header is bytes, as socket.read gives them", data, bytes, bytearray, memoryview)) <= 4:
        raise SocketError(f"Invalid read {shown(data)}: a header has 1 to 4 bytes")
    return int.from_bytes(data, "big")
