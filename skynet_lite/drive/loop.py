"""One loop that drives a node: it dispatches messages, and polls sockets and timers in between.

  1  A node belongs to the thread that first drives it, for coroutines cannot change threads.
     Driving is explicit: `step`, `run_until`; or a thread is made for it (served.py).
  2  The loop dispatches messages one by one, and polls when no mailbox has anything, or
     after every 16 messages. Nothing else moves anything.
  3  Under the virtual clock time moves only when nothing can run. So the same program, with
     the same input, makes the same trace.
  4  What others want done (another thread, or a service in the middle of its message) is left
     as a job, and done between two messages.

After skynet-src/skynet_start.c, and skynet_context_message_dispatch of skynet_server.c.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ..core.context import Context
from ..core.errors import DriveTimeout, SkynetError
from ..core.handle import address_text
from ..core.message import mail_label
from ..core.ports import Call
from ..core.server import Server
from ..skynet.coroutine import Hub, running
from .driver import INSIDE, MESSAGES_PER_POLL, BaseDriver, Job
from .results import Results
from .watch import Watch

T = TypeVar("T")


class Loop(Results, BaseDriver):
    """Drives in the thread that uses it first.

    Written by the thread that drives, but for `jobs`, `_attention`, `serving` and `stopping`,
    which any thread may set: each in one step.
    """

    def __init__(self, server: Server, birth: Callable[[], int], born: Job, endless: int = 0) -> None:
        super().__init__(server, birth, born, endless)
        self.hub: Hub = None  # type: ignore[assignment]  # made by the thread that drives
        self._owner: int | None = None  # the thread that drives
        self.rounds = 0  # of messages: for the monitor
        self.monitor = Watch(self)
        self._attention = False  # something below wants the loop to look up
        self._ended: deque[Context] = deque()  # services to be closed by the loop

    # ---- what the server asks

    def hub_of(self, handle: int) -> Hub:
        return self.hub

    def ended(self, ctx: Context) -> None:
        self._ended.append(ctx)
        self._attention = True

    def ending_services(self) -> list[Context]:
        return list(self._ended)

    def answered(self) -> None:
        self._attention = True

    def between(self, job: Job) -> Call:
        call = Call()
        self.jobs.append(partial(call.run, job))
        self.wake()
        return call

    # ---- the loop

    def _dispatch(self, budget: int) -> None:
        """Dispatch up to `budget` messages, one mailbox after the other. DOC: worker

        skynet_context_message_dispatch, with weight -1: one message, then the next service.
        """
        server = self._server
        queue, stamp = server.global_queue, server.stamp
        if stamp is not None:
            stamp()
        for _ in range(budget):
            if not queue:
                return
            mailbox = queue.popleft()
            try:
                message, callback = mailbox.popleft(), mailbox.callback
            except IndexError:  # its service has gone
                mailbox.in_global = False
                continue
            if mailbox and len(mailbox) > mailbox.overload_threshold:
                server.warn(mailbox.handle, f"error: May overload, message queue length = {mailbox.overload()}")
            mailbox.popped += 1
            try:
                callback(message)
            except BaseException as e:
                server.failed(mailbox.handle, message, e)
            if stamp is not None:
                stamp()
            if mailbox:
                queue.append(mailbox)
                if server.emit is not None:
                    server.emit(("requeue", mailbox.handle))
            else:
                mailbox.in_global = False
            if self._attention:
                self._attend()
                return

    def _attend(self) -> None:
        """Close services that have gone, do the jobs that were left, raise Ctrl-C."""
        self._attention = False
        while self._ended:
            self._server.end(self._ended.popleft())
        while self.jobs:
            self.jobs.popleft()()
        if self.ctrl_c.asked:
            raise KeyboardInterrupt

    def loop(
        self, until: Job, deadline: float | None = None, what: str = "", idle_ends: bool = False,
        budget: int = MESSAGES_PER_POLL,
    ) -> None:  # fmt: skip
        """Drive until `until()`, asked after every `budget` messages; with `idle_ends`, or until nothing can run.

        Raises DriveTimeout. DOC: drive-loop
        """
        server = self._server
        queue, since_poll, virtual = server.global_queue, 0, server.clock.virtual
        while True:
            if self._attention:
                self._attend()
                if self.closed and not until():
                    raise SkynetError("this node was closed in the meantime")  # by a signal handler
            if until() or server.aborted:
                return
            self.rounds += 1
            self._dispatch(budget)
            since_poll += budget
            if queue and since_poll < MESSAGES_PER_POLL:
                continue
            since_poll = 0
            if deadline is not None and time.monotonic() > deadline and not until():
                raise DriveTimeout(f"{what} did not come in time; {server.situation()}")
            if queue:
                server.poll(0)
                continue
            if self._attention or server.aborted or until():
                continue
            if idle_ends or virtual or server.owed():  # else the poll that waits is the only one
                if server.poll(0) or queue or self._attention:
                    continue
                if server.owed():
                    server.poll(0.002)
                    continue
                if self.offloads:
                    self.next_result() or server.poll(0.05)
                    continue
                if idle_ends:
                    return
            self._wait(deadline, what, 1.0 if budget > 1 else 0.05)

    def _wait(self, deadline: float | None, what: str, limit: float) -> None:
        """Nothing can run. Virtual time jumps; real time is waited for, at most `limit` seconds.

        A signal that comes right before the wait is handled after it, hence the limit. It is shorter when `until` is
        somebody's function: what makes it true need not wake us. DOC: clock-jump
        """
        server, clock = self._server, self._server.clock
        tick = server.timer.next_deadline()
        if clock.virtual and tick is not None and not server.socket_server.flushing():
            server.jump(tick)
            return
        self.check_hope(tick, deadline, what)
        limits = [limit]
        if tick is not None and not clock.virtual:
            limits.append(clock.seconds_until(tick))
        if deadline is not None:
            limits.append(max(0.0, deadline - time.monotonic()))
        server.poll(min(limits))

    # ---- driving

    def step(self) -> str | None:
        """One message, or one poll that does not wait; says what it did, None if there was nothing."""
        self._check_here()
        return self.drive(self._step)

    def _step(self) -> str | None:
        server, queue = self._server, self._server.global_queue
        self.see_boot()
        if self._attention:
            self._attend()
        while queue and not queue[0]:
            queue.popleft().in_global = False
        if not queue:
            done = server.poll(0) or int(self.next_result())
            return f"poll {done}" if done else None
        handle = queue[0].handle
        ctx = server.contexts.get(handle)
        message = _, session, source, _ = queue[0][0]
        name = mail_label(message).partition(" ")[0]
        self._dispatch(1)
        if self._attention:
            self._attend()
        to = f"{address_text(handle)} {'that has gone' if ctx is None else ctx.called}"
        return f"message {name} session {session} from {address_text(source)} to {to}"

    def step_replayed(self) -> None:
        """One message, and nothing else: for a replay, which decides about the rest."""
        self.drive(lambda: self._dispatch(1))

    def busy(self) -> bool:
        """Whether a message waits to be handled."""
        return bool(self._server.global_queue)

    def future(self) -> bool:
        """Whether anything can still happen by itself."""
        server = self._server
        timer = server.timer.next_deadline() is not None
        return bool(timer or self.busy() or server.owed() or self.offloads or server.socket_server.commands)

    def look(self, job: Callable[[], T]) -> T:
        """What `job()` returns; nothing moves meanwhile. Not from inside a service."""
        self._check_here()
        self._refuse_inside()
        return self.ctrl_c(job)

    def drive(self, task: Callable[[], T]) -> T:
        """Run `task` in the hub."""
        # A job of the serving thread is in the hub already; a coroutine that drives is refused.
        return task() if running() is self.hub else self.ctrl_c(lambda: self._in_hub(task))

    def _in_hub(self, task: Callable[[], T]) -> T:
        if self._owner is None:
            self.own()
        return self.hub.drive(task)  # type: ignore[no-any-return]  # what `task` does

    def here(self, task: Callable[[], T]) -> T:
        self._check_here()
        return self.ctrl_c(lambda: self._booted(task))

    def _booted(self, task: Callable[[], T]) -> T:
        self.boot()
        return self.drive(task)

    def _check_here(self) -> None:
        """Whether the current thread may drive; says why not."""
        self.check_open()
        if self._owner is not None and threading.get_ident() != self._owner:
            raise SkynetError("this node belongs to the thread that first drove it; drive it there, or use serve()")

    def _refuse_inside(self) -> None:
        if self.hub is not None and self.hub.busy() and running() is not self.hub:
            raise SkynetError(INSIDE + "the node is being driven already")

    # ---- the boot

    def own(self) -> None:
        """The current thread takes the node over: hub, logger and bootstrap are born here."""
        self.check_open()
        self._owner = threading.get_ident()
        self.hub = self._server.dialect.hub()
        self.monitor.begin(self._owner, self._endless)
        self._server.outside.note("own")
        self._bootstrap = self.hub.drive(self._birth)
        self.see_boot()

    def boot(self) -> None:
        """See the boot through, if it is not over."""
        if self._owner is None:
            self.own()
        if not self.booted and not self.hub.busy():
            self.drive(lambda: self.loop(lambda: False, None, "the boot", True))
        self.see_boot()

    def stop(self) -> None:
        """End `start` or `run_forever`; from any thread, or a signal handler."""
        self.stopping = True
        self.wake()

    def wake(self) -> None:
        self._attention = True
        super().wake()

    # ---- the end

    def close(self, last: Job) -> None:
        """Close all services, then `last()`, where the coroutines are. Raises SkynetError in a wrong thread."""
        if self.closed:
            return
        if self._owner is not None and threading.get_ident() != self._owner:
            raise SkynetError("this node belongs to another thread: close it there")
        self._refuse_inside()
        self.ctrl_c(lambda: self._close(last))

    def _close(self, last: Job) -> None:
        if self._owner is None:
            self.closed = True
            self._server.outside.close()
            return
        self.monitor.end()
        self.drive(lambda: self._end(last))
        if running() is not self.hub:
            self.hub.end()

    def _end(self, last: Job) -> None:
        self._server.outside.note("close")
        try:
            for ctx in [*self._ended, *list(self._server.contexts.values())]:
                self._server.end(ctx)
            self._ended.clear()
            last()
        finally:
            self.closed = self.stopping = self._attention = True  # a loop may be under way, if a signal handler closes
            self._server.socket_server.release()
