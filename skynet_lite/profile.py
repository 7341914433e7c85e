"""CPU time: of a coroutine between `start` and `stop`, and of a service.

A coroutine's clock runs while it runs, and stands while it is parked, however many
others run meanwhile. Every switch is seen by greenlet's own hook, which is set only
while some coroutine is measured: unused it costs nothing.

After service-src/service_snlua.c (skynet.profile) and skynet_server.c (cpu_cost).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .core.errors import SkynetError
from .coroutine import UserCoroutine, current, gettrace, running, settrace

if TYPE_CHECKING:
    from .core.message import Message
    from .node import Node
    from .skynet import Scheduler


def cpu_time(node: Node) -> float:
    """CPU seconds of this thread. Under the virtual clock 0.0: a run is the same every time.

    A replay of a run under the real clock measures anew, for nothing in the run depends on it.
    """
    return 0.0 if node.clock.virtual else node.outside.cpu_time()


def timed_dispatch(s: Scheduler, dispatch: Callable[[Message], None], message: Message) -> None:
    """The callback of a service where the key `profile` is on (dispatch_message in skynet_server.c)."""
    s.cpu_start = cpu_time(s.node)
    try:
        dispatch(message)
    finally:
        s.cpu_cost += cpu_time(s.node) - s.cpu_start


class _Clock:
    """The time of one coroutine: what it has used, and since when it runs (None: it is parked)."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.total = 0.0
        self.since: float | None = cpu_time(node)

    def go(self) -> None:
        if self.since is None:
            self.since = cpu_time(self.node)

    def stand(self) -> None:
        if self.since is not None:
            self.total += cpu_time(self.node) - self.since
            self.since = None


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
    co, node = co or running(), current().node
    if co in _clocks.by_coroutine:
        raise SkynetError(f"{co!r} starts profile more than once: call profile.stop() first")
    if gettrace() is not _switched:
        _clocks.before = gettrace()
        settrace(_switched)
    clock = _clocks.by_coroutine[co] = _Clock(node)
    if co is not running():
        clock.stand()


def stop(co: Any = None) -> float:
    """End it; the CPU seconds since `start`. Raises SkynetError without one."""
    co = co or running()
    clock = _clocks.by_coroutine.pop(co, None)
    if clock is None:
        raise SkynetError("call profile.start() before profile.stop()")
    clock.stand()
    if not _clocks.by_coroutine:
        settrace(_clocks.before)
    return clock.total


def _switched(event: str, args: tuple[Any, Any]) -> None:
    """From one greenlet to another; greenlet calls it in the one that was switched to."""
    origin, target = args
    clocks = _clocks.by_coroutine
    clock = clocks.get(origin)
    # Into a coroutine of the user's own: that is a part of what its resumer does (usercoroutine.py).
    if clock is not None and not (isinstance(target, UserCoroutine) and target.hub is origin):
        clock.stand()
    if origin.dead:
        clocks.pop(origin, None)
    clock = clocks.get(target)
    if clock is not None:
        clock.go()
    if _clocks.before is not None:
        _clocks.before(event, args)
