"""Datagrams: a socket without a connection, which can have a default destination.

An address travels packed, as skynet packs it: 1 byte kind (1: IPv4, 2: IPv6), 2
bytes port in network order, 4 or 16 bytes address. Services keep it and give it
back to `udp_send`; only `udp_address` looks inside.

After skynet-src/socket_server.c (socket_server_udp and what follows it).
"""

from __future__ import annotations

import socket as pysocket
from collections import deque
from typing import Any

from .errors import SocketError
from .message import SOCKET_UDP
from .outside import AddressInfo
from .socket_send import AGAIN, Sending
from .socket_slots import UDP, Slots, Socket, reason

MAX_UDP_PACKAGE = 65535


class Udp(Sending):
    """The part of the socket server that knows UDP. Creating a socket sends no message."""

    def udp(self, opaque: int, host: str | None, port: int, error: str = "udp init failed") -> int:
        """A socket, bound if `host` or `port` is given. Raises SocketError."""
        try:
            if host is None and port == 0:
                sock = self.outside.socket(pysocket.AF_INET, pysocket.SOCK_DGRAM)
            else:
                sock = self._bind_socket(host or "", port, pysocket.SOCK_DGRAM)
        except OSError as e:
            raise SocketError(f"{error}: {reason(e)} ({host or '0.0.0.0'}:{port})") from None
        return self._new_udp(opaque, sock, None)

    def udp_listen(self, opaque: int, host: str, port: int) -> int:
        if port == 0:
            raise SocketError("udp listen host failed: a port is needed, 0 is none")
        return self.udp(opaque, host, port, "udp listen host failed")

    def udp_dial(self, opaque: int, host: str, port: int) -> int:
        """A socket with a default destination, not bound. Raises SocketError."""
        family, _, _, _, address = self._resolve_udp(host, port, "udp dial host failed")
        try:
            sock = self.outside.socket(family, pysocket.SOCK_DGRAM)
        except OSError as e:
            raise SocketError(f"udp dial host failed: {reason(e)} ({host}:{port})") from None
        return self._new_udp(opaque, sock, address)

    def udp_connect(self, opaque: int, id: int, host: str, port: int) -> None:
        """Set the default destination; datagrams from others still arrive. Raises SocketError."""
        s = self._sockets.get(id)
        if s is None or s.udp_peer is None and s.state is not UDP and not self._is_new_udp(s):
            raise SocketError(f"udp connect failed: socket {id} is no UDP socket")
        family, _, _, _, address = self._resolve_udp(host, port, "udp connect failed")
        if family != s.family:
            raise SocketError(f"udp connect failed: protocol mismatch, socket {id} and {host} differ in IP version")
        s.udp_peer = address

    def udp_send(self, opaque: int, id: int, address: bytes, data: bytes) -> bool:
        """Send one datagram to a packed address; False for a foreign or wrong kind of address."""
        s = self._sockets.get(id)
        target = unpack_udp_address(address, strict=True)
        if s is None or target is None or not self._is_new_udp(s):
            return False
        if (s.family == pysocket.AF_INET6) != (address[0] == 2):
            return False
        self._command("udp_send", id, opaque, target, data)
        return True
