"""CPU time: of a coroutine between `start` and `stop`, and of a service.

A coroutine's clock runs while it runs, and stands while it is parked, however many
others run meanwhile. Every switch is seen by greenlet's own hook, which is set only
while some coroutine is measured: unused it costs nothing.

After service-src/service_snlua.c (skynet.profile) and skynet_server.c (cpu_cost).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..core.errors import SkynetError
from ..skynet.coroutine import UserCoroutine, gettrace, running, settrace
from ..skynet.scheduler import current

__all__ = ["start", "stop"]
__dir__ = __all__.copy


class _Clock:
    """The time of one coroutine: where it begins to run is taken off, where it parks is added."""

    def __init__(self, cpu_time: Callable[[], float]) -> None:
        self.cpu_time = cpu_time
        self.total = 0.0
        self.runs = False

    def run(self, yes: bool) -> None:
        if yes is not self.runs:
            self.total += -self.cpu_time() if yes else self.cpu_time()
            self.runs = yes


class _Clocks(threading.local):
    """Those that are measured in this thread; a greenlet never leaves its thread."""

    def __init__(self) -> None:
        self.by_coroutine: dict[Any, _Clock] = {}
        self.before: Any = None  # the hook that somebody else has set


_clocks = _Clocks()


def start(co: Any = None) -> None:
    """Begin to measure a coroutine, by default the running one. Raises SkynetError if it is measured already.

    A task that ends without `stop` leaves its clock with its coroutine, for the next task there.
    """
    co, cpu_time = co or running(), current().server.cpu_time
    if co in _clocks.by_coroutine:
        raise SkynetError(f"{co!r} starts profile more than once: call profile.stop() first")
    if gettrace() is not _switched:
        _clocks.before = gettrace()
        settrace(_switched)
    clock = _clocks.by_coroutine[co] = _Clock(cpu_time)
    clock.run(co is running())


def stop(co: Any = None) -> float:
    """End it; the CPU seconds since `start`. Raises SkynetError without one."""
    co = co or running()
    clock = _clocks.by_coroutine.pop(co, None)
    if clock is None:
        raise SkynetError("call profile.start() before profile.stop()")
    clock.run(False)
    if not _clocks.by_coroutine:
        settrace(_clocks.before)
    return clock.total


def _switched(event: str, args: tuple[Any, Any]) -> None:
    """From one greenlet to another; greenlet calls it in the one that was switched to."""
    origin, target = args
    clocks = _clocks.by_coroutine
    clock = clocks.get(origin)
    # Into a coroutine of the user's own: that is a part of what its resumer does (coroutine.py).
    if clock is not None and not (isinstance(target, UserCoroutine) and target.hub is origin):
        clock.run(False)
    if origin.dead:
        clocks.pop(origin, None)
    clock = clocks.get(target)
    if clock is not None:
        clock.run(True)
    if _clocks.before is not None:
        _clocks.before(event, args)
