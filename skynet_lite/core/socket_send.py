"""Writing: straight to the kernel while it takes all, through two queues when it does not.

What is queued counts, and is warned about at 1, 2, 4, ... MB. The high queue goes
before the low one; but what has begun is finished first.

After skynet-src/socket_server.c (socket_server_send, send_socket, send_buffer).
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Any

from .locks import guarded
from .message import SOCKET_WARNING
from .outside import reason
from .socket_slots import CONNECTED, LISTEN, PACCEPT, PLISTEN, Slots, Socket

WARNING_SIZE = 1024 * 1024
AGAIN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class Sending(Slots):
    """The part of the socket server that writes."""

    _sendto: Callable[[Socket, Any, bytes], None]  # socket_udp.py

    @guarded
    def send(self, opaque: int, id: int, data: bytes, low: bool = False, /) -> bool:
        """True: taken over. False: no such socket, or it is closing. DOC: server-send"""
        s = self._sockets.get(id)
        if s is None or s.state is not CONNECTED or s.writing or s.pending or low:
            return s is not None and self._send_later(s, opaque, data, low)
        try:
            sent = self.outside.send(s.sock, data)
        except OSError:
            sent = 0  # whatever it was, it comes again when the socket is looked at
        self._wrote(s, sent, data)
        if sent != len(data):
            s.direct = memoryview(data)[sent:]
            self._enable(s, s.reading, True)
        return True

    def _send_later(self, s: Socket, opaque: int, data: bytes, low: bool) -> bool:
        if s.closing:
            return False
        if s.udp and s.udp_peer is None:
            self._log(f"socket-server : set udp ({s.id}) error: address first.")
            return False
        s.pending += 1
        self._command("send_low" if low else "send", s.id, opaque, data)
        return True

    def _append(self, s: Socket, data: bytes, low: bool) -> None:
        """A send command: queue behind what waits (send_socket). DOC: write-queue"""
        s.pending -= 1
        if s.closing or s.state is PACCEPT:
            return
        if s.state is PLISTEN or s.state is LISTEN:
            self._log(f"socket-server error: write to listen fd {s.id}.")
            return
        if s.udp:
            self._sendto(s, s.udp_peer, data)
            return
        if low and (s.high or s.low):
            s.low = s.low or deque()
            s.low.append(memoryview(data))
        else:
            s.high = s.high or deque()
            s.high.append(memoryview(data))
        s.wb_size += len(data)
        if not self._enable(s, s.reading, True):  # one that is still to be connected stays as it is
            return
        if s.wb_size >= WARNING_SIZE and s.wb_size >= s.warn_size:
            s.warn_size = s.warn_size * 2 if s.warn_size else WARNING_SIZE * 2
            self._post(s.opaque, SOCKET_WARNING, s.id, -(-s.wb_size // 1024), "")

    def _flush(self, s: Socket) -> None:
        """Write until the kernel takes no more (send_buffer): high first, then low."""
        if s.direct is not None:
            s.high = s.high or deque()
            s.high.appendleft(s.direct)
            s.wb_size += len(s.direct)
            s.direct = None
        for queue in (s.high, s.low):
            while queue:
                data = queue[0]
                try:
                    sent = self.outside.send(s.sock, data)
                except OSError as e:
                    if e.errno not in AGAIN:
                        self._fail(s, reason(e))
                    return
                self._wrote(s, sent, data)
                s.wb_size -= sent
                if sent == len(data):
                    queue.popleft()
                    continue
                queue[0] = data[sent:]
                if queue is s.low:
                    # Begun is begun: nothing may come between the two halves.
                    s.high = deque((queue.popleft(),))
                return
        if s.closing:
            self._force_close(s)
        elif self._enable(s, s.reading, False) and s.warn_size:
            s.warn_size = 0
            self._post(s.opaque, SOCKET_WARNING, s.id, 0, "")

    def _wrote(self, s: Socket, sent: int, data: bytes | memoryview) -> None:
        s.write_bytes += sent
        s.wtime = self._now()
