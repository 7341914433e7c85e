"""What both drivers have in common: the boot, virtual time, and what may be said of them at any time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any, TypeVar

from ..core.context import Context
from ..core.errors import DriveTimeout, SkynetError
from ..core.ports import Call
from ..core.server import Server
from .breaking import CtrlC

T = TypeVar("T")
Job = Callable[[], Any]

MESSAGES_PER_POLL = 16
INSIDE = "inside a service use skynet.call and skynet.newservice: "


class BaseDriver(ABC):
    """`birth` launches the first services, and returns the handle of the bootstrap (0: there is none); `born` is
    called when the boot is over."""

    workers = 1
    patience = 2.0
    """Seconds that a handler, or the oldest offloaded function, may keep others waiting. Then nobody waits for it."""

    def __init__(self, server: Server, birth: Callable[[], int], born: Job, endless: int = 0) -> None:
        """`endless`: seconds in one message after which the log says so; 0: never."""
        self._server = server
        self._endless = endless
        self._birth = birth
        self._born = born
        self._bootstrap = 0
        self.booted = self.closed = False
        self.serving = False  # a thread drives, or run_forever
        self.stopping = False  # `stop` was called
        self.jobs: deque[Job] = deque()  # for whoever is between two messages
        self.offloads: dict[tuple[int, int], tuple[Call, Job]] = {}  # what runs in threads, and what lets its result in
        self.ctrl_c = CtrlC(self.wake)
        server.driver = self  # type: ignore[assignment]  # what is missing here, each driver has

    @abstractmethod
    def drive(self, task: Callable[[], T]) -> T:
        """Run `task` where messages are dispatched."""

    @abstractmethod
    def here(self, task: Callable[[], T]) -> T:
        """Drive from the current thread: see the boot through, then run `task`. Raises SkynetError in a wrong one."""

    @abstractmethod
    def loop(
        self, until: Job, deadline: float | None = None, what: str = "", idle_ends: bool = False,
        budget: int = MESSAGES_PER_POLL,
    ) -> None:  # fmt: skip
        """Drive until `until()`; with `idle_ends`, or until nothing can run. Raises DriveTimeout."""

    def wake(self) -> None:
        """Have whoever drives look up; from any thread, or a signal handler."""
        self._server.outside.wake()

    def worker_of(self, handle: int) -> tuple[int, ...]:
        """The number of the worker of a service, if there are several."""
        return ()

    # ---- with one worker whoever asks for these comes between two messages; Workers has its own

    def still(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def when_still(self, ctx: Context, job: Job) -> None:
        job()

    def break_off(self, handle: int) -> bool:
        """Raise SignalError in the handler of a service that does not come back; False if it is in none."""
        return False

    # ---- driving

    def run_until(
        self, until: Job, timeout: float | None, what: str, call: Call | None = None, budget: int = MESSAGES_PER_POLL
    ) -> None:  # fmt: skip
        """Drive, or wait while a thread drives, until `until()`; `call`: what it waits for, if that is one.

        Raises DriveTimeout, also when nothing is left that could make it come true.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self.here(lambda: self.loop(until, deadline, what, budget=budget))

    def run_until_idle(self) -> None:
        """Drive until nothing can run."""
        self.here(lambda: self.loop(lambda: False, idle_ends=True))

    def run_forever(self) -> None:
        """Drive in this thread until `stop` or `skynet.abort`."""
        try:
            self.stopping, self.serving = False, True
            self.here(lambda: self.loop(lambda: self.stopping))
        except SkynetError:
            if not (self.stopping and self.closed):  # else a signal handler has closed the node
                raise
        finally:
            self.serving = False

    def advance(self, ticks: int) -> None:
        """Let virtual time pass, timer by timer, and run what they wake."""
        server, clock = self._server, self._server.clock
        target = clock.now() + ticks
        self.run_until_idle()
        while (tick := server.timer.next_deadline()) is not None and tick <= target:
            self.drive(partial(server.jump, tick))
            self.run_until_idle()
        if target > clock.now():
            self.drive(partial(server.jump, target))

    def see_logged(self) -> None:
        """Drive until all is written that has been logged so far: what a service said of its failure, say."""
        logger = self._server.logger
        with suppress(SkynetError):  # it was stopped, or closed
            self._server.driver.look(lambda: None)  # a message that is under way may have something to say at its end
            if logger is not None:
                self.run_until(lambda: not logger.mailbox.in_global, 1.0, "the log", budget=1)

    def see_boot(self) -> None:
        """The boot is over when its service has gone, and all that it has caused."""
        server = self._server
        if not self.booted and self._bootstrap not in server.contexts and not server.global_queue:
            self.booted = True
            self._born()

    def check_owner(self) -> None:
        """Whether this thread may wait for more than an answer. Raises SkynetError."""
        self.check_open()

    def check_open(self) -> None:
        if self.closed:
            raise SkynetError("this node is closed: make a new one")

    def check_hope(self, tick: int | None, deadline: float | None, what: str) -> None:
        """Nothing can run, the next timer comes at `tick`. Raises DriveTimeout if there is nothing to wait for."""
        waits = self.serving or self.offloads or self._server.socket_server.active()
        if tick is None and deadline is None and not waits:
            situation = self._server.situation()
            raise DriveTimeout(f"{what} cannot come: nothing is left that could run; {situation}")
