"""What the threads of a node share, and the two locks that make it safe.

  1  The lock of the node: mailboxes, queues of the workers, handles, timers, calls from
     outside, and the order in which events are recorded.
  2  The lock of the socket server, held around everything but the wait for readiness.

Whoever holds the second may take the first, never the other way round. No code of a
service runs while one of them is held; so a service that loops for ever holds none.

After the spinlocks of skynet-src/skynet_mq.c, skynet_handle.c, skynet_timer.c and
socket_server.c. There each mailbox has its own; here one is enough, for a section is a
few lines, and with one lock the order of a recording is the order of the node.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ..core.locks import locked
from ..core.mq import MessageQueue
from ..core.socket_server import SocketServer
from ..core.socket_slots import Socket
from ..core.timer import Timer


class SharedQueue(deque[MessageQueue]):
    """Stands for the global queue: what is put in goes to the worker that `deliver(mailbox, ticket)` knows.

    Tickets count what was put in, so that the queues of all workers have one order, too.
    """

    def __init__(self, deliver: Callable[[MessageQueue, int], Any], waiting: Callable[[], list[MessageQueue]]) -> None:
        super().__init__()
        self._deliver = deliver
        self._waiting = waiting
        self.tickets = 0

    def append(self, mailbox: MessageQueue) -> None:
        self.tickets += 1
        self._deliver(mailbox, self.tickets)

    def __iter__(self) -> Iterator[MessageQueue]:
        return iter(self._waiting())

    def __len__(self) -> int:
        return len(self._waiting())

    def __bool__(self) -> bool:
        return len(self) > 0


class SharedTimer(Timer):
    """`earlier()` is called when a timer comes before all others. To be used under the lock of the node."""

    def __init__(self, earlier: Callable[[], Any]) -> None:
        super().__init__()
        self._earlier = earlier

    def add(self, deadline: int, handle: int, session: int) -> None:
        first = self.next_deadline()
        super().add(deadline, handle, session)
        if first is None or deadline < first:
            self._earlier()


@locked(
    "listen", "connect", "bind", "start", "pause", "close", "shutdown", "nodelay", "send", "udp", "udp_listen",
    "udp_dial", "udp_connect", "udp_send", "sockname", "peername", "netstat", "table", "listener", "fd_of", "release",
)  # fmt: skip
class SharedSocketServer(SocketServer):
    """One thread polls; any may call the rest. A command ends a wait that is under way."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.lock = threading.RLock()
        self._waiting = False

    def _command(self, name: str, id: int, opaque: int, *rest: Any) -> None:
        super()._command(name, id, opaque, *rest)
        if self._waiting:
            self._waiting = False
            self.outside.wake()

    def _wrote(self, s: Socket, sent: int, data: Any) -> None:
        self._update_time()  # the thread that polls may have been waiting for long
        super()._wrote(s, sent, data)

    def poll(self, timeout: float | None) -> int:
        with self.lock:
            return super().poll(timeout)

    def _wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Without the lock; whoever leaves a command meanwhile ends the wait."""
        self._waiting = timeout != 0
        self.lock.release()
        try:
            return super()._wait(timeout)
        finally:
            self.lock.acquire()
            self._waiting = False
