"""Datagrams, and what they share with other sockets: addresses and bytes as they are given.

After lualib/skynet/socket.lua (udp, udp_listen, udp_dial, udp_connect, sendto).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import SocketError, expect, shown, told
from ..core.socket_udp import unpack_udp_address
from .runnable import runnable
from .scheduler import current
from .socketpool import PoolSocket, pool_of

_ADDRESS = "an address is bytes, as the function of socket.udp gets it"


def address_of(host: str, port: int | None) -> tuple[str, int]:
    """Split "host:port"; an IPv6 address stands in brackets, or has a port of its own (address_port)."""
    if not isinstance(host, str) or not (port is None or isinstance(port, int)):
        raise SocketError(f'Invalid address {shown(host)}, {shown(port)}: it is "host:port", or a str and an int')
    if port is None:
        name, bracket, text = host[1:].partition("]") if host.startswith("[") else ("", "", "")
        if bracket:
            colon, text = text[:1], text[1:]
        else:
            name, colon, text = host.rpartition(":")
        if colon != ":" or name.startswith("["):
            raise SocketError(f"Invalid address {told(host)}. It reads host:port")
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
            raise SocketError(f"Invalid port in address {host}. It is a number up to 65535")
        return name, int(text)
    if not 0 <= port <= 65535:
        raise SocketError(f"Invalid port {port}: it is between 0 and 65535")
    return host, port


def udp(func: Callable[[bytes, bytes], Any], host: str | None = None, port: int = 0) -> int:
    """A UDP socket; `func(data, packed address)` is called with each datagram. Does not wait.

    Bound if `host` or `port` is given. Raises SocketError.
    """
    return _udp("udp", func, *((host, port) if host is None else address_of(host, port)))


def udp_listen(host: str, port: int, func: Callable[[bytes, bytes], Any]) -> int:
    """A UDP socket bound to a port; 0: one that is free, which socket.sockname(id) tells. Raises SocketError."""
    return _udp("udp_listen", func, *address_of(host, port))


def udp_dial(host: str, port: int, func: Callable[[bytes, bytes], Any]) -> int:
    """A UDP socket with a default destination for `write`. Raises SocketError."""
    return _udp("udp_dial", func, *address_of(host, port))


def udp_connect(id: int, host: str, port: int, func: Callable[[bytes, bytes], Any] | None = None) -> None:
    """Set the default destination for `write`; datagrams from others still arrive. Raises SocketError."""
    service = current()
    runnable(func)
    service.server.socket_server.udp_connect(service.handle, id, *address_of(host, port))
    s = pool_of(service).get(id)
    if s is None:
        pool_of(service)[id] = PoolSocket(service, id, func, "UDP")
    elif func is not None:
        s.callback = func


def _udp(how: str, func: Callable[..., Any], *where: Any) -> int:
    service = current()
    runnable(func)
    id: int = getattr(service.server.socket_server, how)(service.handle, *where)
    pool_of(service)[id] = PoolSocket(service, id, func, "UDP")
    return id


def sendto(id: int, address: bytes, data: bytes) -> bool:
    """Send one datagram to a packed address, as `func` of `udp` gets it."""
    service = current()
    data = data if type(data) is bytes else bytes_of(data)
    expect(_ADDRESS, address, bytes)
    return service.server.socket_server.udp_send(service.handle, id, address, data)


def udp_address(packed: bytes) -> tuple[str, int]:
    """(ip, port) of a packed address. Raises SocketError("Invalid udp address")."""
    address = unpack_udp_address(expect(_ADDRESS, packed, bytes))
    if address is None:
        raise SocketError(f"Invalid udp address: {len(packed)} bytes instead of 7 or 19")
    return address


def bytes_of(data: Any) -> bytes:
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)  # the caller may change it while it is still to be sent
    if isinstance(data, str):
        raise TypeError("a socket carries bytes, not str: use .encode()")
    raise TypeError(f"a socket carries bytes, not {type(data).__name__}")
