"""What both drivers have in common: the boot, virtual time, and what may be said of them at any time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ..core.errors import SkynetError
from ..core.server import Server

T = TypeVar("T")


def deadline_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


class BaseDriver:
    """`birth` launches the first services, and returns the handle of the bootstrap (0: there is none); `born` is
    called when the boot is over."""

    workers = 1
    patience = 2.0
    """Seconds that a handler on another worker may take before nobody waits for it any more."""

    def __init__(self, server: Server, birth: Callable[[], int], born: Callable[[], Any]) -> None:
        self._server = server
        self._birth = birth
        self._born = born
        self._bootstrap = 0
        self.booted = self.closed = False
        self.serving = False  # a thread drives, or run_forever
        self.stopping = False  # `stop` was called
        server.driver = self  # type: ignore[assignment]  # what is missing here, each driver has

    def drive(self, task: Callable[[], T]) -> T:
        """Run `task` where messages are dispatched."""
        raise NotImplementedError

    def run_until_idle(self) -> None:
        """Drive until nothing can run."""
        raise NotImplementedError

    def advance(self, ticks: int) -> None:
        """Let virtual time pass, timer by timer, and run what they wake."""
        server, clock = self._server, self._server.clock
        target = clock.now() + ticks
        while True:
            self.run_until_idle()
            tick = server.timer.next_deadline()
            if tick is None or tick > target:
                break
            self.drive(partial(server.jump, tick))
        if target > clock.now():
            self.drive(partial(server.jump, target))

    def see_boot(self) -> None:
        """The boot is over when its service has gone, and all that it has caused."""
        server = self._server
        if not self.booted and self._bootstrap not in server.contexts and not server.global_queue:
            self.booted = True
            self._born()

    def check_open(self) -> None:
        if self.closed:
            raise SkynetError("this node is closed: make a new one")
