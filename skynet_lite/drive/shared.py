"""What the threads of a node share, and the two locks that make it safe.

  1  The lock of the node: mailboxes, queues of the workers, handles, timers, calls from
     outside, and the order in which events are recorded. What needs it is `guarded` in core/.
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
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ..core.context import Context
from ..core.locks import guarded, with_lock
from ..core.message import Message
from ..core.mq import MessageQueue
from ..core.server import Kind, Server
from ..core.socket_server import SocketServer
from ..core.timer import Timer
from .worker import Worker


class SharedQueue(deque[MessageQueue]):
    """Stands for the global queue, where somebody looks: the queues of all workers, in the order of their tickets."""

    def __init__(self, server: SharedServer) -> None:
        super().__init__()
        self._server: Any = server

    def __iter__(self) -> Iterator[MessageQueue]:
        with self._server.lock:
            entries = [entry for worker in self._server.driver.threads for entry in worker.queue]
        return (mailbox for _, mailbox in sorted(entries))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def home(handle: int, workers: Sequence[Worker]) -> Worker:
    """Where a new service is to live: handle modulo N, unless that worker has had its share. DOC: worker-of

    That is three living ones more than another, or two births more than one that has not: it is next.
    """
    least = min(worker.living for worker in workers)
    near = [worker for worker in workers if worker.living <= least + 2]
    next, turn = min(near, key=lambda worker: worker.births), workers[handle % len(workers)]
    return turn if turn in near and turn.births <= next.births + 1 else next


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


with_lock(SharedSocketServer)


@with_lock
class SharedServer(Server):
    """A server that several threads use."""

    def share(self) -> None:
        self.lock = threading.RLock()
        self.alarm = threading.Condition(self.lock)  # the next deadline is another
        self.timer = Timer()
        self.global_queue = SharedQueue(self)
        self.socket_server = SharedSocketServer(self.outside, self.post_socket, partial(self.log, 0), self.clock.now)

    def create(self, maker: Kind, ctx: Context) -> Message | None:
        driver: Any = self.driver
        worker = home(ctx.handle, driver.threads)
        worker.living += 1
        worker.births += 1
        ctx.mailbox.global_queue = worker  # type: ignore[assignment]  # all that a mailbox does is to append itself
        return super().create(maker, ctx)

    @guarded
    def set_timer(self, ctx: Context, session: int, ti: int) -> None:
        before = self.timer.next_deadline()
        super().set_timer(ctx, session, ti)
        if self.timer.next_deadline() != before:
            self.alarm.notify()

    @guarded
    def push(self, target: Context, message: Message, by: str) -> None:
        if self.contexts.get(target.handle) is target:
            super().push(target, message, by)
        else:  # it went while we were on our way: as if the message had lain in its mailbox then
            self.turn_away(target, message)
