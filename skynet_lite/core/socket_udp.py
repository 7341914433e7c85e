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
from .locks import guarded
from .message import SOCKET_UDP
from .outside import reason, told
from .socket_send import AGAIN, Sending
from .socket_slots import Socket

MAX_UDP_PACKAGE = 65535


class Udp(Sending):
    """The part of the socket server that knows UDP. Creating a socket sends no message."""

    @guarded
    def udp(self, opaque: int, host: str | None, port: int, error: str = "udp init failed") -> int:
        """A socket, bound if `host` or `port` is given. Raises SocketError."""
        at = host or "0.0.0.0", port
        if host is None and port == 0:
            sock = told(error, at, self.outside.socket, pysocket.AF_INET, pysocket.SOCK_DGRAM)
        else:
            sock = told(error, at, self._bind_socket, *at, pysocket.SOCK_DGRAM)
        return self._new_udp(opaque, sock, None)

    @guarded
    def udp_listen(self, opaque: int, host: str, port: int) -> int:
        return self.udp(opaque, host, port, "udp listen host failed")

    @guarded
    def udp_dial(self, opaque: int, host: str, port: int) -> int:
        """A socket with a default destination, not bound. Raises SocketError."""
        failed = "udp dial host failed", (host, port)
        family, _, _, _, address = told(*failed, self.outside.resolve, host, port, pysocket.SOCK_DGRAM)[0]
        sock = told(*failed, self.outside.socket, family, pysocket.SOCK_DGRAM)
        return self._new_udp(opaque, sock, address)

    @guarded
    def udp_connect(self, opaque: int, id: int, host: str, port: int) -> None:
        """Set the default destination; datagrams from others still arrive. Raises SocketError."""
        s = self._sockets.get(id)
        if s is None or not s.udp:
            raise SocketError(f"udp connect failed: socket {id} is no UDP socket")
        found = told("udp connect failed", (host, port), self.outside.resolve, host, port, pysocket.SOCK_DGRAM)
        family, _, _, _, address = found[0]
        if family != s.family:
            raise SocketError(f"udp connect failed: protocol mismatch, socket {id} and {host} differ in IP version")
        s.udp_peer = address

    @guarded
    def udp_send(self, opaque: int, id: int, address: bytes, data: bytes) -> bool:
        """Send one datagram to a packed address; False for a foreign or wrong kind of address."""
        s = self._sockets.get(id)
        target = unpack_udp_address(address, strict=True)
        if s is None or not s.udp or target is None or (s.family == pysocket.AF_INET6) != (address[0] == 2):
            return False
        self._command("udp_send", id, opaque, target, data)
        return True

    def _new_udp(self, opaque: int, sock: pysocket.socket, peer: Any) -> int:
        s = self._reserve(opaque, sock)
        s.udp, s.family, s.udp_peer = True, sock.family, peer
        self._command("udp", s.id, opaque)
        return s.id

    def _read_udp(self, s: Socket) -> None:
        try:
            data, address = self.outside.recvfrom(s.sock, MAX_UDP_PACKAGE)
        except OSError as e:
            if e.errno not in AGAIN:
                self._fail(s, reason(e))
            return
        s.read_bytes += len(data)
        s.rtime = self.time
        self._post(s.opaque, SOCKET_UDP, s.id, len(data), (data, pack_udp_address(s.family, address)))

    def _sendto(self, s: Socket, address: Any, data: bytes) -> None:
        """A datagram goes whole or waits whole; with no room it waits in the high queue."""
        s.high = s.high or deque()
        s.high.append((address, data))
        s.wb_size += len(data)
        if len(s.high) == 1:
            self._flush_udp(s)

    def _flush_udp(self, s: Socket) -> None:
        while s.high:
            address, data = s.high[0]
            try:
                s.write_bytes += self.outside.sendto(s.sock, data, address)
                s.wtime = self._now()
            except OSError as e:
                if e.errno in AGAIN:
                    self._enable(s, s.reading, True)
                    return
                self._log(f"socket-server : udp ({s.id}) sendto error {reason(e)}.")
            s.high.popleft()
            s.wb_size -= len(data)
        if s.closing:
            self._force_close(s)
        else:
            self._enable(s, s.reading, False)


def pack_udp_address(family: int, address: Any) -> bytes:
    """What a service gets as the sender of a datagram (gen_udp_address)."""
    host = address[0].split("%")[0]
    kind = b"\x02" if family == pysocket.AF_INET6 else b"\x01"
    return kind + int(address[1]).to_bytes(2, "big") + pysocket.inet_pton(family, host)


def unpack_udp_address(packed: bytes, strict: bool = False) -> tuple[str, int] | None:
    """`(ip, port)`, by length alone unless `strict`; None for what is no address."""
    if len(packed) not in (7, 19) or (strict and packed[0] != (1 if len(packed) == 7 else 2)):
        return None
    family = pysocket.AF_INET if len(packed) == 7 else pysocket.AF_INET6
    return pysocket.inet_ntop(family, packed[3:]), int.from_bytes(packed[1:3], "big")
