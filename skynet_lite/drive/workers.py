"""Many workers: a node whose services run in N threads, as skynet lays them out.

  1  A service lives on one worker for good, for a coroutine cannot change threads: that
     of its handle modulo N. So its messages are handled one by one, in their order.
  2  Each worker has a queue of the mailboxes of its services. Whoever sends puts the
     message into the mailbox, and the mailbox into that queue, under the lock of the node.
  3  A socket thread polls, a timer thread waits for the next deadline, a monitor thread
     looks every 5 s whether a worker has been in one message all the time.
  4  To look at the tables, or to begin a recording, all workers stand still between two
     messages. One that does not come back from a handler is not waited for for ever.

What is shared, and by which lock it is kept, is in core/shared.py. After
skynet-src/skynet_start.c, and skynet_context_message_dispatch of skynet_server.c.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.context import Context
from ..core.errors import AddressError, DriveTimeout, NodeClosed, SignalError, SkynetError
from ..core.handle import address_text
from ..core.locks import locked
from ..core.message import Message
from ..core.monitor import SECONDS, Monitor
from ..core.mq import OVERLOAD, MessageQueue
from ..core.places import is_ours
from ..node.node import BOOTED, BOOTING, MESSAGES_PER_POLL, Node, _Call
from ..skynet.coroutine import Hub
from ..skynet.scheduler import Scheduler
from ..trace import Recorder
from .monitors import Monitors
from .shared import SharedQueue, SharedSocketServer, SharedTimer

if TYPE_CHECKING:
    from ..node.record import Recorded

T = TypeVar("T")

WEIGHTS = (-1,) * 4 + (0,) * 4 + (1,) * 8 + (2,) * 8 + (3,) * 8
"""By the number of the worker; 0 above (skynet_start.c). -1: one message in a turn; w: what waits, divided by 2**w.

So four workers take one message after the other of each service, and the others empty long mailboxes.
"""
NAP = 0.005
"""Seconds after which somebody who waits asks `until` again, if nothing has told him before."""


class Worker(threading.Thread):
    """One worker thread: its hub, its queue, and what it does now. Written under the lock of the node."""

    def __init__(self, node: WorkerNode, number: int) -> None:
        super().__init__(name=f"skynet_lite worker {number}", daemon=True)
        self.node = node
        self.number = number
        self.weight = WEIGHTS[number] if number < len(WEIGHTS) else 0
        self.hub: Hub = None  # type: ignore[assignment]  # made by the thread itself
        self.born = threading.Event()  # the hub is there
        self.bell = threading.Condition(node.lock)  # rings when there is something to do
        self.queue: deque[tuple[int, MessageQueue]] = deque()  # mailboxes that have something, with their tickets
        self.ended: deque[Context] = deque()  # services of ours that have gone: their coroutines are to be closed
        self.monitor = Monitor()
        self.message: Message | None = None  # that is being handled
        self.since = 0.0  # when it was taken, in seconds of time.monotonic
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
                work[0](work[1])
            except BaseException as e:
                self.node.escaped(e)
        for ctx in self.node.services_of(self):
            self._end(ctx)

    def next(self) -> tuple[Callable[[Any], Any], Any] | None:
        """What to do now: a callback and its message; waits for it. None: the node is being closed."""
        node = self.node
        with node.lock:
            self._done()
            while not node.ending:
                if node.held():
                    self._stand(node.moved)
                elif self.ended:
                    ctx = self.ended.popleft()
                    self._begin(0, ctx.handle, None)
                    return self._end, ctx
                elif node._looks:
                    return node._do, node._looks.popleft()
                elif (message := self._take()) is not None:
                    assert self._mailbox is not None
                    return self._mailbox.callback, message
                else:
                    self._stand(self.bell)
            return None

    def _take(self) -> Message | None:
        """The next message of this turn, or the first of the next mailbox. DOC: worker-turn

        Of a mailbox that is taken up, the first message always, and then, with a weight of 0 or
        more, as many as make up its rest shifted by the weight.
        """
        while True:
            first = self._mailbox is None
            if self._mailbox is None:
                if not self.queue:
                    return None
                self._mailbox = self.queue.popleft()[1]
            mailbox = self._mailbox
            try:
                message = mailbox.popleft()
            except IndexError:  # its service has gone
                mailbox.in_global = False
                self._mailbox = None
                continue
            if first:
                self._left = len(mailbox) >> self.weight if self.weight >= 0 else 1
            self._left -= 1
            handle = mailbox.service.handle
            if len(mailbox) > mailbox.overload_threshold:
                self.node.log(handle, f"error: May overload, message queue length = {mailbox.overload()}")
            mailbox.popped += 1
            self._begin(message[2], handle, message)
            return message

    def _begin(self, source: int, destination: int, message: Message | None) -> None:
        self.monitor.trigger(source, destination)
        self.message = message
        self.since = time.monotonic()
        self.node.stamp()

    def _done(self) -> None:
        """The message is over. If the turn is, too, the mailbox goes to the end of the queue, or out of it."""
        if self.monitor.destination:
            self.monitor.trigger(0, 0)
            self.message = None
            self.node.stamp()
        mailbox = self._mailbox
        if mailbox is None:
            return
        if not mailbox:
            mailbox.in_global = False
            mailbox.overload_threshold = OVERLOAD
            self._mailbox = None
        elif self._left <= 0:
            self._mailbox = None
            self.node.global_queue.append(mailbox)
            if self.node.emit is not None:
                self.node.emit(("requeue", mailbox.service.handle))

    def _stand(self, condition: threading.Condition) -> None:
        """Wait; meanwhile others may look at our services."""
        self.standing = True
        self.node.tell_watchers()
        condition.wait()
        self.standing = False

    def _end(self, ctx: Context) -> None:
        try:
            self.node._end(ctx)
        except Exception as e:
            self.node.log(ctx.handle, f"error while closing: {e}")

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
            with self.node.lock:
                if self.monitor.version != version or self.monitor.destination != handle:
                    return False
                if _in_user_code(sys._current_frames().get(self.ident or 0)):
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(error))
                    return True
            if time.monotonic() > end:
                return False
            time.sleep(0.001)


def _in_user_code(frame: FrameType | None) -> bool:
    """Whether a thread is in the program of a user, or in a library that was called from there."""
    while frame is not None and not is_ours(frame.f_code):
        name = frame.f_code.co_filename
        if "site-packages" in name or not name.startswith(_STANDARD):
            return True
        frame = frame.f_back
    return False  # in ours, or in what we have called ourselves: a lock, say


_STANDARD = (os.path.dirname(os.__file__) + os.sep, "<frozen ")


@locked("send", "set_timer", "abandon")
class WorkerScheduler(Scheduler):
    """A scheduler whose coroutines live in the thread of its worker."""

    __slots__ = ("_stopped", "lock")

    def __init__(self, node: Node, ctx: Context) -> None:
        assert isinstance(node, WorkerNode)
        super().__init__(node, ctx)
        self.lock = node.lock
        self.hub = node.worker(ctx.handle).hub
        self._stopped = node.stopped

    def tables(self) -> dict[str, Any]:
        with self._stopped():
            return super().tables()

    def _failed(self, error: BaseException) -> str:
        co = self.running
        text = super()._failed(error)
        if co is not None and co.dead and self.pooled is co:
            self.pooled = co.pooled  # a signal came late, when its task was over already
        return text


@locked(
    "launch", "kill", "abort", "log", "send_far", "service_name", "_answer_outside", "_deliver", "_deliver_timer",
    "_post_socket", "_situation", "_stamp", "_tell", "_attach", "_detach", "_push_outside", "set_name", "logon",
    "logoff",
)  # fmt: skip
class WorkerNode(Node):
    """What `Node(thread=N)` makes. Its threads start when something drives it first, and run until `stop` or `close`.

    `patience`: seconds that a handler may take before those who look at the node go on without it, and
    before `close` breaks it off.
    """

    scheduler = WorkerScheduler
    patience = 2.0
    lock: threading.RLock
    global_queue: SharedQueue
    socket_server: SharedSocketServer

    # ----------------------------------------------------------------- what is shared

    def _shared(self) -> None:
        self.lock = threading.RLock()
        self.moved = threading.Condition(self.lock)  # something happened that somebody may wait for
        self._alarm = threading.Condition(self.lock)  # the next deadline is another
        self.timer = SharedTimer(self._alarm.notify)
        self.global_queue = SharedQueue(self._queue, self._waiting)
        self.socket_server = SharedSocketServer(self.outside, self._post_socket, self._log_system, self.clock.now)
        self.workers: list[Worker] = []
        self._others: list[threading.Thread] = []
        self._first = threading.Lock()  # only one thread brings the node up
        self.monitor = Monitors(self, self.config.memory)
        self.ending = False  # `close` was called
        self._halted = False  # `stop` was called
        self._stopper: int | None = None  # the thread that looks at the world
        self._watchers = 0  # threads that wait for `moved`
        self._polls = self._polled = self._asked = 0  # polls begun, over; one that was asked for does not wait
        self._news = 0  # counts what the socket thread and the timer have done
        self._over = threading.Event()
        self._left_behind: set[tuple[int, int]] = set()  # worker and version: not waited for again

    def _recorded(self, recorder: Recorder) -> Recorded | None:  # type: ignore[override]
        return None  # which of several workers was faster is in no recording

    def _queue(self, mailbox: MessageQueue, ticket: int) -> None:
        worker = self.worker(mailbox.service.handle)
        worker.queue.append((ticket, mailbox))
        worker.bell.notify()

    def _waiting(self) -> list[MessageQueue]:
        with self.lock:
            entries = [entry for worker in self.workers for entry in worker.queue]
        return [mailbox for _, mailbox in sorted(entries, key=lambda entry: entry[0])]

    def worker(self, handle: int) -> Worker:
        """The worker of a service. DOC: worker-of"""
        return self.workers[handle % len(self.workers)]

    def _worker_of(self, handle: int) -> tuple[int, ...]:
        return (handle % self.config.thread,)

    def services_of(self, worker: Worker) -> list[Context]:
        """What a worker has to close in the end."""
        with self.lock:
            ended = list(worker.ended)
            worker.ended.clear()
            return ended + [c for h, c in self.handles.contexts.items() if self.worker(h) is worker]

    def push(self, target: Context, message: Message, by: str) -> None:
        with self.lock:
            if self.handles.contexts.get(target.handle) is target:
                super().push(target, message, by)
            else:  # it went while we were on our way: as if the message had lain in its mailbox then
                self._turn_away(target, message)

    def _retire(self, ctx: Context) -> None:
        with self.lock:
            super()._retire(ctx)
            worker = self.worker(ctx.handle)
            worker.ended.append(self._ended.pop())
            worker.bell.notify()
            self.moved.notify_all()

    def _answer_outside(self, ptype: int, session: int, payload: Any) -> None:
        super()._answer_outside(ptype, session, payload)
        self.moved.notify_all()

    def _emitter(self, sinks: list[Callable[[tuple[Any, ...]], Any]]) -> Callable[[tuple[Any, ...]], Any]:
        hand = super()._emitter(sinks)

        def in_order(event: tuple[Any, ...]) -> None:
            with self.lock:
                hand(event)

        return in_order

    def stamp(self) -> None:
        """Tell recorders the time, if one wants to know. Under the lock."""
        if self._stamps:
            self._stamp()

    def interrupt(self, error: BaseException) -> None:
        self.escaped(error)

    def escaped(self, error: BaseException) -> None:
        """Something that no service handled: there is nobody here to hand it to."""
        if not isinstance(error, (SignalError, NodeClosed)):  # a signal that came too late
            self.log(0, f"{type(error).__name__} came out of a service, and was stopped here: {error}")

    def signal(self, addr: int | str, sig: int = 0) -> bool:
        if sig != 0:
            return self.look(lambda: Node.signal(self, addr, sig))
        handle = self.service(addr).handle
        super().signal(handle, sig)
        return self.worker(handle).break_off(handle, SignalError, self.patience)

    def later(self, job: Callable[[], Any]) -> _Call:
        """As Node.later: the first worker that is between two messages does it."""
        with self.lock:
            call = super().later(job)
            for worker in self.workers:
                worker.bell.notify()
        return call

    def reopen_log(self) -> None:
        self.later(lambda: self.look(self._reopen_log))

    # ----------------------------------------------------------------- standing still

    def held(self) -> bool:
        """Whether no worker may begin a message."""
        return self._stopper is not None or self._halted

    def tell_watchers(self) -> None:
        if self._watchers:
            self.moved.notify_all()

    @contextmanager
    def stopped(self) -> Iterator[list[Worker]]:
        """All workers stand still between two messages. Yields those that did not within `patience` seconds.

        May be used inside a service: its own message is then the only one that is not over.
        """
        me = threading.get_ident()
        if self._stopper == me or not self.workers:
            yield []
            return
        mine = self._my_worker()
        with self.lock:
            self._watchers += 1
            if mine is not None and self._stopper is not None:
                mine.standing = True  # while somebody else looks, who may wait for us
                self.moved.notify_all()
            while self._stopper is not None:
                self.moved.wait()
            if mine is not None:
                mine.standing = False
            self._stopper = me
            end = time.monotonic() + self.patience
            while moving := self._moving(mine):
                fresh = [w for w in moving if (w.number, w.monitor.version) not in self._left_behind]
                left = end - time.monotonic()
                if not fresh or left <= 0:
                    break
                self.moved.wait(left)
            self._watchers -= 1
            for worker in moving:
                if (worker.number, worker.monitor.version) not in self._left_behind:
                    self._left_behind = {(n, v) for n, v in self._left_behind if n != worker.number}
                    self._left_behind.add((worker.number, worker.monitor.version))
                    handle = address_text(worker.monitor.destination)
                    self.log(0, f"worker {worker.number} stays in a message of {handle}: looked at as it is")
        try:
            with self.socket_server.lock, self.lock:
                yield moving
        finally:
            with self.lock:
                self._stopper = None
                self.moved.notify_all()

    def _moving(self, but: Worker | None) -> list[Worker]:
        return [w for w in self.workers if not w.standing and w is not but and w.is_alive()]

    def _my_worker(self) -> Worker | None:
        current = threading.current_thread()
        return current if isinstance(current, Worker) and current.node is self else None

    def look(self, job: Callable[[], T]) -> T:
        """As Node.look: all workers stand still. Inside a service, too."""
        with self.stopped():
            for _ in range(100):
                try:
                    return job()
                except RuntimeError:  # of one that does not stand still: it changes while we look
                    time.sleep(0.001)
            raise SkynetError("a service changes its tables without end: break it off with node.signal(address, 0)")

    def tables(self) -> dict[str, Any]:
        def found() -> dict[str, Any]:
            workers = {address_text(h): h % self.config.thread for h in self.handles.contexts}
            return Node.tables(self) | {"workers": workers}

        return self.look(found)

    def _paused(self) -> bool:
        return self._halted

    def _begin(self, recorder: Recorder) -> None:
        with self.stopped():
            super()._begin(recorder)

    def _finish(self, recorder: Recorder) -> None:
        with self.stopped():
            super()._finish(recorder)

    # ----------------------------------------------------------------- the threads

    def _boot(self) -> None:
        """Bring the threads up, and see the boot through."""
        with self._first:
            if not self.workers:
                self._begin_threads()
        if self._state is BOOTING:
            self._loop(lambda: self._state is BOOTED, None, "the boot", True)
            with self._first:
                if self._state is BOOTING and self._bootstrap not in self.handles.contexts:
                    self._boot_is_over()

    def _begin_threads(self) -> None:
        self._check_open()
        self._owner = threading.get_ident()
        workers = [Worker(self, n) for n in range(self.config.thread)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.born.wait()
        with self.lock:
            self.workers = workers
            self.launch("logger", "", ())
            if self.config.bootstrap:
                self._state = BOOTING
                self._bootstrap = self.launch("snlua", "bootstrap", ()) or 0
        if not self.config.bootstrap:
            self._boot_is_over()
        for name, target in (("socket", self._poll_sockets), ("timer", self._fire_timers), ("monitor", self._watch)):
            thread = threading.Thread(target=target, name=f"skynet_lite {name}", daemon=True)
            self._others.append(thread)
            thread.start()

    def _poll_sockets(self) -> None:
        """The socket thread."""
        while True:
            with self.lock:
                while self._halted and not self.ending:
                    self.moved.wait()
                if self.ending:
                    return
                self._polls += 1
                asked = self._asked >= self._polls
            try:
                done = self.socket_server.poll(0 if asked else None)
            except Exception as e:  # of the outside: say it, do not spin
                self.log(0, f"socket-server: {type(e).__name__}: {e}")
                done = 0
                self._over.wait(0.1)
            with self.lock:
                self._polled = self._polls
                self._news += done > 0
                self.tell_watchers()

    def _fire_timers(self) -> None:
        """The timer thread. Under the virtual clock it has something to do only while the node is served."""
        while True:
            with self.lock:
                if self.ending:
                    return
                tick = self.timer.next_deadline()
                virtual = self.clock.virtual
                if not virtual and not self.held():
                    wait = None if tick is None else self.clock.seconds_until(tick)
                    if wait is None or wait > 0:
                        self._alarm.wait(wait)
                    else:
                        self._news += self._fire()
                    continue
                if not (virtual and self._serving):
                    (self.moved if self.held() else self._alarm).wait()
                    continue
            self._loop(lambda: self.ending or not self._serving, None, "", False)

    def _watch(self) -> None:
        """The monitor thread."""
        assert self.monitor is not None
        while not self._over.wait(SECONDS):
            self.monitor.check()
            self.monitor.check_memory()

    # ----------------------------------------------------------------- waiting from outside

    def _at_rest(self) -> bool:
        """Whether no worker, no mailbox, no command and no timer has anything to do. Under the lock."""
        tick = None if self.clock.virtual else self.timer.next_deadline()
        due = tick is not None and tick <= self.clock.now()
        busy = due or self._looks or self._stopper is not None
        return not busy and all(worker.at_rest() for worker in self.workers)

    def _busy(self) -> bool:
        with self.lock:
            return not self._at_rest()

    def _future(self) -> bool:
        return not self._quiet() or len(self.timer) > 0

    def _quiet(self) -> bool:
        """Whether nothing moves: all at rest, and a poll that began after that has found nothing. DOC: quiescence"""
        if self._world_owes():
            return False
        with self.lock:
            if not self._at_rest() or self.socket_server.commands or self._halted:
                return False
            before = self._news, self.global_queue.tickets
            asked = self._asked = self._polls + 1
            self.outside.wake()
            while self._polled < asked and not self.ending and not self._halted:
                self.moved.wait(0.1)
            after = self._news, self.global_queue.tickets
            rest = self._at_rest() and not self.socket_server.commands and before == after
        return rest and not self._world_owes()

    def _loop(
        self, until: Callable[[], Any], deadline: float | None, what: str, idle_ends: bool, budget: int = 0
    ) -> bool:  # fmt: skip
        """Wait until `until()`, asked now and then in the thread of the caller; see Node._loop."""
        with self.lock:
            self._watchers += 1
        try:
            while True:
                with self.lock:
                    seen = self._signs()
                if until() or self._aborted:
                    return True
                if self.ending or self.closed:
                    raise SkynetError("this node was closed in the meantime")
                if deadline is not None and time.monotonic() > deadline:
                    raise DriveTimeout(f"{what} did not come in time; {self._situation()}")
                nap = NAP
                if idle_ends and self._halted:  # by `stop`, in another thread: it will not become idle
                    return False
                if self._quiet():
                    if until():
                        return True
                    if idle_ends:
                        return False
                    nap = self._at_the_end(deadline, what)
                if nap > 0:
                    with self.lock:
                        if seen == self._signs():
                            self.moved.wait(nap)
        finally:
            with self.lock:
                self._watchers -= 1

    def _signs(self) -> tuple[int, ...]:
        return self._news, self.global_queue.tickets, len(self._calls), sum(w.monitor.version for w in self.workers)

    def _at_the_end(self, deadline: float | None, what: str) -> float:
        """Nothing can run. Virtual time jumps; else how long to wait for something to come."""
        with self.lock:
            tick = self.timer.next_deadline()
            if self.clock.virtual and tick is not None and not self.socket_server.flushing():
                if self._at_rest():
                    self._jump(tick)
                return 0.0
        if tick is None and deadline is None and not self._serving and not self.socket_server.active():
            raise DriveTimeout(f"{what} cannot come: nothing is left that could run; {self._situation()}")
        return 0.05 if deadline is None else min(0.05, max(0.001, deadline - time.monotonic()))

    def _jump(self, tick: int) -> None:
        with self.lock:
            super()._jump(tick)

    # ----------------------------------------------------------------- driving

    def _go(self) -> None:
        """Let the threads run on after `stop`."""
        if self._halted:
            with self.lock:
                self._halted = False
                self.moved.notify_all()
                self._alarm.notify_all()

    def _drive(self, task: Callable[[], T]) -> T:
        return task()

    def _here(self, task: Callable[[], T]) -> T:
        self._check_open()
        self._refuse_inside()
        self._go()
        self._boot()
        return task()

    def _on_thread(self, job: Callable[[], T]) -> T:
        return self._here(job)

    def _refuse_inside(self) -> None:
        if self._my_worker() is not None:
            raise SkynetError(
                "inside a service use skynet.call and skynet.newservice: waiting here would stop its worker"
            )

    def _drive_until(
        self, until: Callable[[], Any], timeout: float | None, what: str, event: threading.Event | None = None,
        budget: int = MESSAGES_PER_POLL,
    ) -> None:  # fmt: skip
        deadline = None if timeout is None else time.monotonic() + timeout
        self._here(lambda: self._loop(until, deadline, what, False))

    def _post_call(self, addr: int | str, typename: str, args: tuple[Any, ...], session: int) -> Any:
        with self.lock:
            if self.resolve(addr) not in self.handles.contexts:
                raise AddressError(f"call to invalid address {address_text(addr) if isinstance(addr, int) else addr}")
            return super()._post_call(addr, typename, args, session)

    def step(self) -> str | None:
        raise SkynetError(
            f"there is no next message with {self.config.thread} workers: use run_until_idle(), or Node(thread=1)"
        )

    def tell(self, event: tuple[Any, ...]) -> None:
        self._tell(event)

    def served(self) -> bool:
        return self._serving

    def serve(self) -> None:
        """As Node.serve; the threads run anyway, and time goes on by itself under the virtual clock, too."""
        if self._serving:
            raise SkynetError("this node is being served already")
        self._here(lambda: None)
        with self.lock:
            self._stop, self._serving = False, True
            self._alarm.notify_all()

    def stop(self) -> None:
        """All threads stand still after their message, until something drives the node again."""
        with self.lock:
            self._stop, self._serving = True, False
            self._halted = self._state is BOOTED  # else the boot is seen through, for who drives waits for that
            self.moved.notify_all()
            self._alarm.notify_all()
        if not self.closed:
            self.outside.wake()

    # ----------------------------------------------------------------- the end

    def close(self) -> None:
        """As Node.close. A handler that does not come back is broken off; one that stays in C is left to itself."""
        self._refuse_inside()
        for dashboard in self._dashboards:
            dashboard.stop()
        with self._first:
            if self.closed:
                return
            with self.lock:
                self.ending = True
                for condition in (self.moved, self._alarm, *(worker.bell for worker in self.workers)):
                    condition.notify_all()
            self._over.set()
            self.outside.wake()
            for thread in self._others:
                thread.join()
            self._close_here()
        for client in list(self.clients):
            client.abandon()
        if self._log_file is not None:
            self._log_file.close()
        self._dashboards_end()

    def _close_services(self) -> None:
        """Each worker closes its own."""
        end = time.monotonic() + self.patience
        for worker in self.workers:
            worker.join(max(0.0, end - time.monotonic()))
        last = time.monotonic() + self.patience
        while (left := [w for w in self.workers if w.is_alive()]) and time.monotonic() < last:
            for worker in left:  # again and again: it may catch what is raised, or loop in a `finally`
                worker.break_off(worker.monitor.destination, NodeClosed, 0.0)
                worker.join(0.02)
        for worker in left:
            handle = address_text(worker.monitor.destination)
            self.log(0, f"worker {worker.number} does not come back from a message of {handle}: its thread is left")
