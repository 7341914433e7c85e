"""Stops a node gracefully: has its services come to their end one by one, the youngest first.

One idea: whoever was born later may need those who were there before, and not the other way round. Only services
that have something to do at their end (skynet.on_stop) are asked, and a supervisor ends its own. The others go on
meanwhile, so that whoever is asked still finds them.

Made for `Node.shutdown`. skynet has no such thing: its nodes are ended by skynet.abort, or killed.
"""

from typing import Any

from skynet_lite import skynet
from skynet_lite.skynet.scheduler import current

asked: list[int] = []  # the last one is being waited for


def label(handle: int) -> str:
    ctx = current().server.contexts.get(handle)
    return f"{skynet.address(handle)} {ctx.called if ctx is not None else ''}".rstrip()


def left() -> list[int]:
    """Those who are still to be asked, the youngest first; also who has been by another, and is still at it."""
    with current().server.lock:
        states: list[Any] = [ctx.state for ctx in current().server.contexts.values() if ctx.state is not None]
    supervised = {child.handle for s in states for child in list(s.libs.get("children", {}).values())}
    passed = {*supervised, *asked}
    return [s.handle for s in reversed(states) if "on_stop" in s.libs and s.handle not in passed]


# Not in the start function: the request is waiting when this file is run.
@skynet.dispatch("lua")
def STOP(session: int, source: int, ticks: int) -> None:
    """Answers whether all came to their end in so many ticks."""
    end = skynet.now() + ticks
    while found := left():  # anew each time: they may start others
        asked.append(found[0])
        request = skynet.request((found[0], "debug", "STOP"))
        list(request.select(max(0, end - skynet.now())))
        if request.timeout or skynet.now() > end:
            others = ", ".join(map(label, found[1:]))
            more = f"; not asked any more: {others}" if others else ""
            skynet.error(f"stop: {label(found[0])} has not come to its end in {ticks / 100:g} s{more}")
            skynet.retpack(False)
            return
    skynet.retpack(True)


@skynet.start
def main() -> None:
    pass
