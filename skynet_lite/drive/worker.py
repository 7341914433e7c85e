"""One worker thread: its hub, its queue, and what it does now.

A mailbox that is taken up gives a turn: its first message, and as many more as the weight of the
worker says. Then it goes to the end of the queue, and the next one has its turn.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from functools import partial
from typing import Any

from ..core.context import Context
from ..core.message import Message
from ..core.monitor import Monitor
from ..core.mq import MessageQueue
from ..core.server import Server
from ..skynet.coroutine import Hub
from .breaking import in_user_code, raise_in
from .driver import Job

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
        self.born = threading.Event()  # the hub is there
        self.bell = threading.Condition(driver.lock)  # rings when there is something to do
        self.queue: deque[tuple[int, MessageQueue]] = deque()  # mailboxes that have something, with their tickets
        self.living = self.births = 0  # services that live here, and that were born here
        self.ended: deque[Context] = deque()  # services of ours that have gone: their coroutines are to be closed
        self.jobs: deque[Job] = deque()  # about our services, to be done between two messages
        self.monitor = Monitor()
        self.message: Message | None = None  # that is being handled
        self.since = 0.0  # when it was taken, in seconds of time.monotonic
        self.left_behind = -1  # the version of `monitor` that nobody waits for any more
        self.standing = False  # between two messages, waiting
        self._mailbox: MessageQueue | None = None  # whose turn it is
        self._left = 0  # how many messages more in this turn

    def run(self) -> None:
        self.hub = Hub()
        self.born.set()
        self.hub.drive(self._work)
        self.hub.end()

    def _work(self) -> None:
        while True:
            try:
                work = self.next()
                if work is None:
                    break
                work()
            except BaseException as e:
                self.driver.interrupt(e)
        with self.driver.lock:
            contexts = self.server.contexts.items()
            left = [*self.ended, *(ctx for handle, ctx in contexts if self.driver.worker(handle) is self)]
            self.ended.clear()
        for ctx in left:
            self.server.end_quietly(ctx)

    def next(self) -> Job | None:
        """What to do now; waits for it. None: the node is being closed."""
        driver = self.driver
        with driver.lock:
            self._done()
            while not driver.ending.is_set():
                while self.jobs:
                    self.jobs.popleft()()
                if driver.held():
                    self._stand(driver.moved)
                elif self.ended:
                    ctx = self.ended.popleft()
                    if ctx.handle not in self.server.contexts:  # else it was given again
                        driver.homes.pop(ctx.handle, None)
                    self._begin(0, ctx.handle, None)
                    return partial(self.server.end_quietly, ctx)
                elif driver.jobs:
                    job: Job = driver.jobs.popleft()
                    return job
                elif (work := self._take()) is not None:
                    return work
                else:
                    self._stand(self.bell)
            return None

    def _take(self) -> Job | None:
        """Handle the next message of this turn, or the first of the next mailbox. DOC: worker-turn

        Of a mailbox that is taken up, the first message always, and then, with a weight of 0 or
        more, as many as make up its rest shifted by the weight.
        """
        while (mailbox := self._mailbox) is not None or self.queue:
            first = mailbox is None
            if mailbox is None:
                mailbox = self._mailbox = self.queue.popleft()[1]
            try:
                message = mailbox.popleft()
            except IndexError:  # its service has gone
                mailbox.in_global = False
                self._mailbox = None
                continue
            if first:
                self._left = len(mailbox) >> self.weight if self.weight >= 0 else 1
            self._left -= 1
            if len(mailbox) > mailbox.overload_threshold:
                self.server.log(mailbox.handle, f"error: May overload, message queue length = {mailbox.overload()}")
            mailbox.popped += 1
            self._begin(message[2], mailbox.handle, message)
            return partial(mailbox.callback, message)
        return None

    def _begin(self, source: int, destination: int, message: Message | None) -> None:
        self.monitor.trigger(source, destination)
        self.message = message
        self.since = time.monotonic()
        self._stamp()

    def _done(self) -> None:
        """The message is over. If the turn is, too, the mailbox goes to the end of the queue, or out of it."""
        if self.monitor.destination:
            self.monitor.trigger(0, 0)
            self.message = None
            self._stamp()
        mailbox = self._mailbox
        if mailbox is None:
            return
        if not mailbox:
            mailbox.empty()
            self._mailbox = None
        elif self._left <= 0:
            self._mailbox = None
            mailbox.global_queue.append(mailbox)
            if self.server.emit is not None:
                self.server.emit(("requeue", mailbox.handle))

    def _stamp(self) -> None:
        if self.server.stamp is not None:
            self.server.stamp()

    def _stand(self, condition: threading.Condition) -> None:
        """Wait; meanwhile others may look at our services."""
        self.standing = True
        self.driver.tell_watchers()
        condition.wait()
        self.standing = False

    def at_rest(self) -> bool:
        return self.standing and not self.queue and not self.ended

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
                if in_user_code(sys._current_frames().get(self.ident or 0)):
                    raise_in(self.ident, error)
                    return True
            if time.monotonic() > end:
                return False
            time.sleep(0.001)
