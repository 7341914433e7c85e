"""What a timeline shows, worked out from the events alone: lanes, stretches, marks and arrows.

One idea: a picture is of a part, of some services, some of them folded. So what was
read from the whole (reader.py) is cut to what shows, and gets its lanes (lanes.py).
This half knows events and no drawing; drawing.py knows drawing and no events.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .forms import word
from .lanes import FOLDED, MAILBOX, Lane, LaneKey, Services, called, fitting, lanes, selected
from .reader import Reader, Stretch

if TYPE_CHECKING:
    from ..trace import Trace


class Story:
    """Lanes and their contents for one picture, of a trace or of a part of one.

    `services`: None for the services of the user's program (or those a part was
    narrowed to), "all", or addresses and names. `start`, `stop`: event numbers, as in
    a slice. `limit`: how many lanes of coroutines at most; `hidden` says how many were
    left out. `fold`: services that get one lane each, or True for those that have no
    coroutine doing anything here. Raises ValueError for a service that the trace does
    not know.
    """

    def __init__(
        self, trace: Trace, services: Services | None = None, start: int = 0, stop: int | None = None,
        limit: int = 120, *, fold: bool | Services = False,
    ) -> None:  # fmt: skip
        self.names = trace.whole.names()
        self.workers = trace.whole.workers()
        self.nodes = list(filter(None, trace.whole.nodes))  # if there are several
        self.shown = selected(trace, services)
        self.coroutines: set[str] | None = getattr(trace, "coroutines", None)
        named = set() if isinstance(fold, bool) else trace.find_services(fold)
        self.shown |= named
        self.window = window(trace, start, stop)
        reader = Reader(trace.whole, self.shown, self.window.stop)
        self._cut(reader, self._focus(trace))
        self._fold(self._idle() if fold is True else named)
        self.lanes, self.hidden = self._lanes(reader, limit)
        self._keep({lane.key for lane in self.lanes})
        self.columns = sorted(
            {m.at for m in self.marks}
            | {x.at for x in self.lines}
            | {moment for a in self.arrows for moment in (a.since, a.at)}
            | {s.start for s in self.stretches if s.lane[1] == FOLDED and s.kind == "run" and s.start is not None}
        )

    def _cut(self, reader: Reader, focus: set[int] | range) -> None:
        """Leave what lies in the window; of a part that leaves some events out, what has to do with its own."""
        low, high = self.window.start, self.window.stop
        self.marks = [m for m in reader.marks if m.at in focus]
        self.arrows = [a for a in reader.arrows if a.at in focus]
        self.lines = [x for x in reader.lines if x.at in focus]
        self.stretches = [
            replace(
                s, start=None if s.start is None or s.start < low else s.start,
                stop=None if s.stop is None or s.stop >= high else s.stop,
            )
            for s in reader.stretches
            if (s.start is None or s.start < high) and (s.stop is None or s.stop > low)
            and (s.kind not in ("queued", "work", "pending") or s.start in focus or s.stop in focus)
        ] if low < high else []  # fmt: skip

    def _keep(self, lanes: set[LaneKey]) -> None:
        """Leave what is in these lanes."""
        arrows = [a for a in self.arrows if a.target in lanes]
        self.arrows = [a for a in arrows if a.source in lanes and a.since >= self.window.start]
        # An arrow that comes from outside of the picture is not drawn; its effect still says its reason.
        lost = {(a.target, a.at): a.label for a in arrows if a.source not in lanes or a.since < self.window.start}
        self.marks = [
            replace(m, label=lost[m.lane, m.at]) if m.kind in ("resume", "push") and (m.lane, m.at) in lost else m
            for m in self.marks
            if m.lane in lanes
        ]
        self.stretches = [s for s in self.stretches if s.lane in lanes]

    def _focus(self, trace: Trace) -> set[int] | range:
        """The events that are drawn. Of a part that leaves some out: its own, and what caused them."""
        numbers = trace.numbers
        if trace.whole is trace or len(numbers) == max(numbers, default=0) - min(numbers, default=1) + 1:
            return self.window
        focus: set[int] = set()
        for i in numbers:
            cause: int | None = i
            while cause is not None and cause in self.window and cause not in focus:
                focus.add(cause)
                cause = trace.whole.events[cause].get("cause")
        return focus

    def _idle(self) -> set[str]:
        """Services of which something is to be seen, but no coroutine that does anything."""
        seen = {key[0] for key in self._seen()}
        ends = [m.lane for m in self.marks] + [k for a in self.arrows for k in (a.source, a.target)]
        return (seen & self.shown) - {service for service, name in ends if name != MAILBOX}

    def _fold(self, services: set[str]) -> None:
        """Lay all lanes of a service into one: what runs, what comes, what goes, what fails, what waits throughout."""
        self.folded = services
        if not services:
            return

        def lane(key: LaneKey) -> LaneKey:
            return (key[0], FOLDED) if key[0] in services else key

        arrows = [replace(a, source=lane(a.source), target=lane(a.target)) for a in self.arrows]
        self.arrows = [a for a in arrows if a.source != a.target]
        self.marks = [
            replace(m, lane=lane(m.lane)) for m in self.marks
            if m.lane[0] not in services or m.kind in ("error", "exit", "push")
        ]  # fmt: skip
        waiting: dict[str, list[Stretch]] = {}
        for s in self.stretches:
            if s.lane[0] in services and s.kind == "parked" and s.start is s.stop is None:
                waiting.setdefault(s.lane[0], []).append(s)
        self.stretches = [
            replace(s, lane=lane(s.lane)) for s in self.stretches
            if s.lane[0] not in services or s.kind in ("run", "queued")
        ] + [
            Stretch((service, FOLDED), None, None, "parked",
                    word("fig.comma").join(f"{s.lane[1]}: {s.short}" for s in parked),
                    word("fig.parked", n=len(parked)))
            for service, parked in waiting.items()
        ]  # fmt: skip

    def _seen(self) -> dict[LaneKey, int]:
        """Whatever shows in the picture, with the moment when it is seen first."""
        seen: dict[LaneKey, int] = {}

        def see(key: LaneKey, moment: int) -> None:
            seen[key] = min(moment, seen.get(key, moment))

        for m in self.marks:
            see(m.lane, m.at)
        for a in self.arrows:
            if a.since >= self.window.start:  # else it is not drawn, and its source may have nothing else to show
                see(a.source, a.since)
            see(a.target, a.at)
        for s in self.stretches:
            # A pooled coroutine that nobody takes again says nothing.
            if s.kind in ("run", "parked", "due") and s.lane not in seen:
                see(s.lane, self.window.start if s.start is None else s.start)
        return seen

    def _lanes(self, reader: Reader, limit: int) -> tuple[list[Lane], int]:
        """The lanes, and how many coroutines have none because there are more than `limit`."""
        seen = self._seen()
        for service in sorted(self.folded):
            seen.setdefault((service, FOLDED), self.window.start)
        keys = sorted(seen, key=lambda key: (seen[key], reader.order.get(key, 0)))
        coroutines = [key for key in keys if key[0] in self.shown and key[1] not in (MAILBOX, FOLDED)]
        wanted = [key for key in coroutines if self.coroutines is None or key[1] in self.coroutines]
        kept = fitting(wanted, {m.lane for m in self.marks}, limit)
        left_out = set(coroutines) - kept
        titles = {service: self._title(service) for service in self.shown}
        # In the order of their birth, so two parts of one run have their lanes in the same order.
        services = {service: n for (service, _), n in reversed(reader.order.items())}
        shown = sorted(seen.keys() - left_out, key=lambda key: (services.get(key[0], 0), reader.order.get(key, 0), key))
        return lanes(shown, reader.clients, titles, reader.roles, self.nodes or ("",)), len(wanted) - len(kept)

    def _title(self, service: str) -> str:
        about = called(service, self.names)
        return f"{about} w{self.workers[service]}".strip() if service in self.workers else about


def window(trace: Trace, start: int, stop: int | None) -> range:
    """The event numbers from the first to the last one that is drawn."""
    numbers, whole = trace.numbers, range(len(trace.whole.events))[start:stop]
    if not numbers:
        return range(0)
    return range(max(whole.start, min(numbers)), max(whole.start, min(whole.stop, max(numbers) + 1)))
