"""One worker thread: its hub, its queue, and what it does now.

A mailbox that is taken up gives a turn: its first message, and as many more as the weight of the
worker says. Then it goes to the end of the queue, and the next one has its turn.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from operator import call
from typing import Any

from ..core.context import Context
from ..core.errors import NodeClosed, SignalError
from ..core.monitor import Monitor
from ..core.mq import MessageQueue
from ..core.server import Server
from ..skynet.coroutine import Hub
from .breaking import raise_in
from .driver import Job

Work = tuple[Callable[[Any], Any], Any]
"""A function, and what it is called with."""

__all__ = ["WEIGHTS", "Worker"]
__dir__ = __all__.copy

WEIGHTS = (-1,) * 4 + (0,) * 4 + (1,) * 8 + (2,) * 8 + (3,) * 8
"""By the number of the worker; 0 above (skynet_start.c). -1: one message in a turn; w: what waits, divided by 2**w.

So four workers take one message after the other of each service, and the others empty long mailboxes.
"""


class Worker(threading.Thread):
    """Its fields are written under the lock of the node."""

    def __init__(self, driver: Any, server: Server, number: int) -> None:
        super().__init__(name=f"skynet_lite worker {number}", daemon=True)
        self.driver = driver  # Workers, which stands above
        self.server = server
        self.number = number
        self.weight = WEIGHTS[number] if number < len(WEIGHTS) else 0
        self.hub: Hub = None  # type: ignore[assignment]  # made by the thread itself
        self.queue: deque[tuple[int, MessageQueue]] = deque()  # mailboxes that have something, with their tickets
        self.living = self.births = 0  # services that live here, and that were born here
        self.ended: deque[Context] = deque()  # services of ours that have gone: their coroutines are to be closed
        self.jobs: deque[Job] = deque()  # about our services, to be done between two messages
        self.attention = False  # there is something else to do than messages
        self.monitor = Monitor()
        self.left_behind = -1  # the version of `monitor` that nobody waits for any more
        self.standing = False  # between two messages, with nothing to do, or held
        self.aside = False  # in the middle of a message, but standing: it wants to look, as somebody else does
        self._bell = threading.Lock()  # taken by who stands: not a Condition, which costs five times as much
        self._bell.acquire()
        self._mailbox: MessageQueue | None = None  # whose turn it is
        self._left = 0  # how many messages more in this turn

    # ---- what others ask, under the lock of the node

    def append(self, mailbox: MessageQueue) -> None:
        """A mailbox of ours has something in it; we are its global queue (skynet_globalmq_push).

        Its ticket grows from one to the next, so that the queues of all workers have one order, too.
        """
        self.queue.append((next(self.driver.tickets), mailbox))
        if self.standing:
            self.ring()

    def ring(self) -> None:
        """Let it go on, if it stands."""
        if self.standing:
            self.standing = False
            self.driver.moving += 1
            self._bell.release()

    def look_up(self) -> None:
        """There is something else to do than messages."""
        self.attention = True
        self.ring()

    # ---- its thread

    def run(self) -> None:
        self.hub = self.server.dialect.hub()
        self.hub.drive(self._work)
        self.hub.end()

    def _work(self) -> None:
        while True:
            try:
                work = self.next()
                if work is None:
                    break
                do, what = work
                do(what)
            except BaseException as e:
                now = self.monitor
                if now.message is not None or not isinstance(e, (SignalError, NodeClosed)):  # else it came too late
                    self.server.failed(now.destination, now.message, e)
        with self.driver.lock:
            contexts = self.server.contexts.items()
            left = [*self.ended, *(ctx for handle, ctx in contexts if self.driver.worker(handle) is self)]
            self.ended.clear()
        for ctx in left:
            self.server.end(ctx)

    def next(self) -> Work | None:
        """What to do now; waits for it. None: the node is being closed."""
        driver = self.driver
        driver.lock.acquire()  # not `with`: it costs twice as much, and this is on the way of each message
        try:
            while True:
                if self.attention and ((work := self._attend()) is not None or driver.ending.is_set()):
                    return work
                if (work := self._take()) is not None:
                    return work
                self._stand()
        finally:
            driver.lock.release()

    def _attend(self) -> Work | None:
        """What there is to do besides messages, if anything."""
        driver = self.driver
        while True:
            while self.jobs:
                self.jobs.popleft()()
            if driver.ending.is_set():
                return None
            if not driver.held():
                break
            self._stand()
        if self.ended:
            ctx = self.ended.popleft()
            self.monitor.trigger(0, ctx.handle)
            return self.server.end, ctx
        self.monitor.trigger(0, 0)
        if driver.jobs:
            return call, driver.jobs.popleft()
        self.attention = False
        return None

    def _take(self) -> Work | None:
        """Handle the next message of this turn, or the first of the next mailbox. DOC: worker-turn

        Of a mailbox that is taken up, the first message always, and then, with a weight of 0 or
        more, as many as make up its rest shifted by the weight.
        """
        mailbox, server = self._mailbox, self.server
        if mailbox is not None and not (mailbox and self._left):  # its turn is over
            if mailbox:
                self.append(mailbox)
                if server.emit is not None:
                    server.emit(("requeue", mailbox.handle))
            else:
                mailbox.in_global = False
            mailbox = None
        if server.stamp is not None:
            server.stamp()
        if mailbox is None:
            while self.queue and not self.queue[0][1]:  # its service has gone
                self.queue.popleft()[1].in_global = False
            if not self.queue:
                self._mailbox = None
                return None
            mailbox = self._mailbox = self.queue.popleft()[1]
            self._left = max(1, len(mailbox) - 1 >> self.weight) if self.weight >= 0 else 1
        message = mailbox.popleft()
        self._left -= 1
        if len(mailbox) > mailbox.overload_threshold:
            server.warn(mailbox.handle, f"error: May overload, message queue length = {mailbox.overload()}")
        mailbox.popped += 1
        self.monitor.trigger(message[2], mailbox.handle, message)
        return mailbox.callback, message

    def _stand(self) -> None:
        """Wait; meanwhile others may look at our services."""
        driver = self.driver
        self.monitor.trigger(0, 0)
        self.standing = True
        driver.moving -= 1
        if not driver.moving or driver.held():
            driver.tell()
        driver.lock.release()
        self._bell.acquire()
        driver.lock.acquire()

    # ---- a message that does not end

    def break_off(self, handle: int, error: type[BaseException], limit: float) -> bool:
        """Raise `error` in the handler that is running, if it is one of `handle`; try for `limit` seconds.

        CPython raises it at the next function call, jump back, or return from C. So it is set only
        while the innermost function is the service's own: were it one of ours, a table might stay half
        changed.
        """
        version, end = self.monitor.version, time.monotonic() + limit
        while True:
            with self.driver.lock:
                if self.monitor.version != version or self.monitor.destination != handle:
                    return False
                if raise_in(self.ident, error):
                    return True
            if time.monotonic() > end:
                return False
            time.sleep(0.001)


def joined(workers: list[Worker], patience: float) -> list[Worker]:
    """Wait for the end of all, each of which closes its services. Those that do not come back are left."""
    end = time.monotonic() + patience
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
    last = time.monotonic() + patience
    while (left := [w for w in workers if w.is_alive()]) and time.monotonic() < last:
        for worker in left:  # again and again: it may catch what is raised, or loop in a `finally`
            worker.break_off(worker.monitor.destination, NodeClosed, 0.0)
            worker.join(0.02)
    return left
