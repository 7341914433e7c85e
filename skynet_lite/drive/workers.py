"""Many workers: a node whose services run in N threads, as skynet lays them out.

  1  A service lives on one worker for good, for a coroutine cannot change threads: mostly that
     of its handle modulo N. So its messages are handled one by one, in their order.
  2  Each worker has a queue of the mailboxes of its services. Whoever sends puts the
     message into the mailbox, and the mailbox into that queue, under the lock of the node.
  3  A socket thread polls, a timer thread waits for the next deadline, a monitor thread
     looks every 5 s whether a worker has been in one message all the time.
  4  To look at the tables, or to begin a recording, all workers stand still between two
     messages. One that does not come back from a handler is not waited for for ever.

What is shared, and by which lock it is kept, is in shared.py. After
skynet-src/skynet_start.c, and skynet_context_message_dispatch of skynet_server.c.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, TypeVar

from ..core.context import Context
from ..core.errors import DriveTimeout, SignalError, SkynetError
from ..core.handle import address_text
from ..core.locks import let_go
from ..core.monitor import SECONDS
from ..core.ports import Call
from ..skynet.coroutine import Hub
from .driver import INSIDE, BaseDriver, Job
from .monitors import Monitors
from .shared import SharedServer
from .worker import Worker, joined

T = TypeVar("T")

NAP = 0.005
"""Seconds after which somebody who waits asks `until` again, if nothing has told him before."""


class Workers(BaseDriver):
    """The driver of `Node(thread=N)`: the same verbs as `Loop`. Its threads run from the first use until `close`.

    All fields are written under the lock of the server, but for `patience`.
    """

    def __init__(
        self, server: SharedServer, birth: Callable[[], int], born: Job, endless: int, workers: int, mib: int
    ) -> None:  # fmt: skip
        """As Loop. `workers`: how many; `mib`: memory of the process above which the monitor warns."""
        super().__init__(server, birth, born, endless)
        self.workers = workers
        self.lock = server.lock
        self._locks = server.socket_server.lock, server.lock  # type: ignore[attr-defined]  # a SharedSocketServer
        self.moved = threading.Condition(self.lock)  # type: ignore[arg-type]  # something happened that somebody may wait for
        self._alarm = server.alarm
        self.threads: list[Worker] = []
        self.moving = 0  # how many of them do not stand
        self._others: list[threading.Thread] = []
        self._first = threading.RLock()  # only one thread brings the node up, or ends it
        self.monitor = Monitors(server, self.threads, mib)
        self.ending = threading.Event()  # `close` was called
        self._halted = False  # `stop` was called
        self._stopper: int | None = None  # the thread that looks at the world
        self._polls = self._polled = self._asked = 0  # polls begun, over; one that was asked for does not wait
        self.news = 0  # counts what somebody may wait for
        self.tickets = count()  # for the queues of the workers

    # ---- what the server asks

    def hub_of(self, handle: int) -> Hub:
        return self.worker(handle).hub

    def worker(self, handle: int) -> Worker:
        """The worker of a service; of one that is not there, any."""
        ctx = self._server.contexts.get(handle)
        return ctx.mailbox.global_queue if ctx is not None else self.threads[0]  # type: ignore[return-value]

    def worker_of(self, handle: int) -> tuple[int, ...]:
        return (self.worker(handle).number,)

    def ended(self, ctx: Context) -> None:
        worker: Any = ctx.mailbox.global_queue
        worker.living -= 1
        worker.ended.append(ctx)
        worker.look_up()
        self.tell()

    def ending_services(self) -> list[Context]:
        return [ctx for worker in self.threads for ctx in worker.ended]

    def answered(self) -> None:
        self.tell()

    def between(self, job: Job) -> Call:
        call = Call()
        with self.lock:
            self.jobs.append(partial(call.run, job))
            self._rouse()
        return call

    def when_still(self, ctx: Context, job: Job) -> None:
        worker: Any = ctx.mailbox.global_queue
        with self.lock:
            if worker.standing or worker.aside or worker is self._mine() or not worker.is_alive():
                job()
            else:
                self.leave(ctx, job)

    def leave(self, ctx: Context, job: Job) -> None:
        worker: Any = ctx.mailbox.global_queue
        with self.lock:
            worker.jobs.append(job)
            worker.look_up()
            self.tell()

    came = leave

    # ---- what workers ask, under the lock

    def held(self) -> bool:
        """Whether no worker may begin a message."""
        return self._stopper is not None or self._halted

    def tell(self) -> None:
        """Something has happened that somebody may wait for."""
        self.news += 1
        self.moved.notify_all()

    def _rouse(self) -> None:
        """All threads look up: there is something to do, or they may go on."""
        for worker in self.threads:
            worker.look_up()
        self._alarm.notify_all()
        self.tell()

    # ---- standing still

    @contextmanager
    def still(self) -> Iterator[None]:
        """All workers stand still between two messages, but those that do not come back within `patience` seconds.

        May be used inside a service: its own message is then the only one that is not over.
        """
        me = threading.get_ident()
        if self._stopper == me or not self.threads:
            yield
            return
        try:
            self._stand_still(me)
            with self._locks[0], self.lock:
                yield
        finally:
            with self.lock:
                if self._stopper == me:
                    self._stopper = None
                    self._rouse()

    def _stand_still(self, me: int) -> None:
        """Returns when they do."""
        mine = self._mine()
        with self.lock:
            if mine is not None and self._stopper is not None:
                mine.aside = True  # while somebody else looks, who may wait for us
                self.tell()
            while self._stopper is not None:
                self.moved.wait()
            if mine is not None:
                mine.aside = False
            self._stopper = me
            for worker in self.threads:
                worker.attention = True
            end = time.monotonic() + self.patience
            while True:
                moving = [w for w in self.threads if not (w.standing or w.aside) and w is not mine and w.is_alive()]
                fresh = [w for w in moving if w.left_behind != w.monitor.version]
                if not fresh or time.monotonic() >= end:
                    break
                self.moved.wait(max(0.0, end - time.monotonic()))
            for worker in fresh:
                worker.left_behind = worker.monitor.version
                handle = address_text(worker.monitor.destination)
                self._server.warn(0, f"worker {worker.number} stays in a message of {handle}: looked at as it is")

    def _mine(self) -> Worker | None:
        current = threading.current_thread()
        return current if isinstance(current, Worker) and current.driver is self else None

    def look(self, job: Callable[[], T]) -> T:
        """What `job()` returns; all workers stand still meanwhile. From anywhere, inside a service, too."""
        halted = self._halted and not self.closed  # by `stop`: a look does not set it going
        return self._look(job) if halted or self._mine() is not None else self.here(partial(self._look, job))

    def _look(self, job: Callable[[], T]) -> T:
        with self.still():
            for _ in range(100):
                try:
                    return job()
                except RuntimeError:  # of one that does not stand still: it changes while we look
                    time.sleep(0.001)
            raise SkynetError("a service changes its tables without end: break it off with node.signal(address, 0)")

    # ---- the threads

    def boot(self) -> None:
        """Bring the threads up, and see the boot through."""
        with self._first:
            if not self.threads:
                self._begin_threads()
        if not self.booted:
            self.loop(lambda: self.booted, what="the boot", idle_ends=True)
            with self._first:
                self.see_boot()

    def _begin_threads(self) -> None:
        atexit.register(self._server.node.close)  # as Served
        with self.lock:
            self.threads += [Worker(self, self._server, n) for n in range(self.workers)]
            self.moving = self.workers
            for worker in self.threads:
                worker.start()
            while self.moving:  # until each has a hub
                self.moved.wait()
            self._bootstrap = self._birth()
        if not self._bootstrap:
            self.see_boot()
        time_goes_on = self._jump if self._server.clock.virtual else self._fire_timers
        for name, target in (("socket", self._poll_sockets), ("timer", time_goes_on), ("monitor", self._watch)):
            thread = threading.Thread(target=target, name=f"skynet_lite {name}", daemon=True)
            self._others.append(thread)
            thread.start()

    def _poll_sockets(self) -> None:
        """The socket thread."""
        while True:
            with self.lock:
                while self._halted and not self.ending.is_set():
                    self.moved.wait()
                if self.ending.is_set():
                    return
                self._polls += 1
                asked = self._asked >= self._polls
            try:
                done = self._server.socket_server.poll(0 if asked else None)
            except Exception as e:
                self._server.poll_failed(e)
                done = 0
            with self.lock:
                self._polled = self._polls
                self.news += done > 0
                self.moved.notify_all()  # a poll that has found nothing is no news, but may have been asked for

    def _fire_timers(self) -> None:
        """The timer thread."""
        server = self._server
        with self.lock:
            while not self.ending.is_set():
                tick = server.timer.next_deadline()
                wait = None if tick is None or self.held() else server.clock.seconds_until(tick)
                if wait == 0:
                    server.fire()
                else:
                    self._alarm.wait(wait)

    def _jump(self) -> None:
        """The timer thread under the virtual clock: time goes on by itself only while the node is served."""
        while not self.ending.is_set():
            with self.lock:
                while not (self.serving or self.ending.is_set()):
                    self._alarm.wait()
            self.loop(lambda: self.ending.is_set() or not self.serving)

    def _watch(self) -> None:
        """The monitor thread."""
        while not self.ending.wait(self._endless or SECONDS):
            if self._endless:
                self.monitor.check()
            self.monitor.check_memory()

    # ---- waiting from outside

    def _at_rest(self) -> bool:
        """Whether no worker, no mailbox, no command and no timer has anything to do. Under the lock."""
        clock = self._server.clock
        tick = None if clock.virtual else self._server.timer.next_deadline()
        due = tick is not None and tick <= clock.now()
        busy = due or self.jobs or self.moving or self._stopper is not None
        return not busy and not any(worker.queue or worker.ended for worker in self.threads)

    def busy(self) -> bool:
        with self.lock:
            return not self._at_rest()

    def future(self) -> bool:
        return self._server.timer.next_deadline() is not None or not self._quiet()

    def _quiet(self) -> bool:
        """Whether nothing moves: all at rest, and a poll that began after that has found nothing. DOC: quiescence"""
        server = self._server
        if server.owed() or self.offloads:
            return False
        with self.lock:
            if not self._at_rest() or server.socket_server.commands or self._halted:
                return False
            before = self.news
            asked = self._asked = self._polls + 1
            server.outside.wake()
            while self._polled < asked and not (self.ending.is_set() or self._halted or self.ctrl_c.asked):
                self.moved.wait(0.1)
            rest = self._at_rest() and not server.socket_server.commands and before == self.news
        return rest and not server.owed()

    def loop(
        self, until: Job, deadline: float | None = None, what: str = "", idle_ends: bool = False, budget: int = 0
    ) -> None:  # fmt: skip
        """Wait until `until()`, asked now and then in the thread of the caller; see Loop.loop."""
        while True:
            seen = self.news
            if self.ctrl_c.asked and threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            if until() or self._server.aborted:
                return
            if self.ending.is_set():
                raise SkynetError("this node was closed in the meantime")
            if deadline is not None and time.monotonic() > deadline:
                raise DriveTimeout(f"{what} did not come in time; {self._server.situation()}")
            nap = NAP
            if self._halted:  # by `stop`, in another thread or a service
                if idle_ends:  # it will not become idle
                    return
                self._begin()  # we drive, so it goes on
            if self._quiet():
                if until() or idle_ends:
                    return
                nap = self._at_the_end(deadline, what)
            with self.lock:
                if nap > 0 and seen == self.news:
                    self.moved.wait(nap)

    def _at_the_end(self, deadline: float | None, what: str) -> float:
        """Nothing can run. Virtual time jumps; else how long to wait for something to come."""
        server = self._server
        with self.lock:
            tick = server.timer.next_deadline()
            if server.clock.virtual and tick is not None and not server.socket_server.flushing():
                if self._at_rest():
                    server.jump(tick)
                return 0.0
        self.check_hope(tick, deadline, what)
        return 0.05 if deadline is None else min(0.05, max(0.001, deadline - time.monotonic()))

    # ---- driving

    def _begin(self) -> None:
        """Let the threads run, from a thread that is none of ours."""
        self.check_open()
        self._refuse_inside()
        if self._halted:
            with self.lock:
                self._halted = False
                self._rouse()
        self.boot()

    def _refuse_inside(self) -> None:
        if self._mine() is not None:
            raise SkynetError(INSIDE + "waiting here would stop its worker")

    def here(self, task: Callable[[], T]) -> T:
        mine = self._stopper == threading.get_ident()  # we look at the node
        with let_go(*() if mine else self._locks):
            self.ctrl_c(self._begin)
            return self.ctrl_c(task)

    def enter(self, task: Callable[[], T], *limit: Any) -> T:
        return self.here(task)  # the lock keeps others out where that matters

    def later(self, job: Job) -> None:
        job()

    def drive(self, task: Callable[[], T]) -> T:
        return task()

    def step(self) -> str | None:
        n = self.workers
        raise SkynetError(f"there is no next message with {n} workers: use run_until_idle(), or Node(thread=1)")

    def served(self) -> bool:
        return self.serving

    def paused(self) -> bool:
        return self._halted

    def start(self) -> None:
        """As Loop.start; the threads run anyway, and time goes on by itself under the virtual clock, too."""
        if self.serving:
            raise SkynetError("this node is being served already")
        self._begin()
        with self.lock:
            self.stopping, self.serving = False, True
            self._alarm.notify_all()

    def stop(self) -> None:
        """All threads stand still after their message, until something drives the node again."""
        with self.lock:
            self.stopping, self.serving = True, False
            self._halted = self.booted  # else the boot is seen through, for who drives waits for that
            self._rouse()
        if not self.closed:
            self._server.outside.wake()

    def break_off(self, handle: int) -> bool:
        return self.worker(handle).break_off(handle, SignalError, self.patience)

    # ---- the end

    def close(self, last: Job) -> None:
        """As Loop.close. A handler that does not come back is broken off; one that stays in C is left to itself."""
        self._refuse_inside()
        with let_go(*self._locks):
            self.ctrl_c(lambda: self._end(last))

    def _end(self, last: Job) -> None:
        with self._first:
            with self.lock:
                self.stopping = True  # for run_forever, if a signal handler closes
                self.ending.set()
                self._rouse()
            self._server.outside.wake()
            for thread in self._others:
                thread.join()
            for worker in joined(self.threads, self.patience):
                handle = address_text(worker.monitor.destination)
                text = f"worker {worker.number} does not come back from a message of {handle}: its thread is left"
                self._server.log(0, text)
            if not self.closed:  # before, or by a signal handler that came meanwhile
                last()
                self.closed = True
                self._server.socket_server.release()
