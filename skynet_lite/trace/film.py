"""The film of a run: its events, and the tables they began with. The data half of a trace.

A part of one (`film[10:40]`, `film.only(...)`, `film.around(...)`) is a film too: it
shows less, and its events keep the numbers they have in the whole.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self, overload

from .kinds import Event, full_address, name_of, node_of
from .shapes import home
from .state import Tables
from .tape import Stamps, Tape
from .world import World

PROBED = "real skynet"
"""How the origin begins of what a probe has told."""
_NAMED = 6  # services in one line
_CHECKPOINT = 2048  # events between two states that are kept for `state`


class Film:
    """What was recorded. `events` is a list of dicts (see kinds.py), `snapshot` the tables before.

    `sources`: label of a file or cell → its text. `origin`: "" for a run of ours, else
    what it was recorded from (a recording of the real skynet). `world`: what came from
    outside, if it was recorded from birth (world.py); it can then be played again.
    `stamps`: name of a node → when its events were, see Stamps; none of a node under the virtual clock.
    `missing`: how many events came before the first, of a ring, which does not keep its beginning.
    `services`, `coroutines`: what a part was narrowed to, None for all.
    """

    part_type: ClassVar[type[Any]]  # of what a part is made

    def __init__(
        self,
        events: Iterable[Event] = (),
        snapshot: dict[str, Any] | None = None,
        sources: dict[str, str] | None = None,
        *,
        origin: str = "",
        stamps: dict[str, Stamps] | None = None,
        world: World | None = None,
        tape: Tape | None = None,
        missing: int = 0,
    ) -> None:
        self.snapshot: dict[str, Any] = snapshot if snapshot is not None else {}
        self._events: list[Event] = list(events)
        self.sources: dict[str, str] = dict(sources or {})
        self.origin = origin
        self.missing = missing
        self.world = world
        self._stamps: dict[str, Stamps] = dict(stamps or {})
        self.services: set[str] | None = None
        self.coroutines: set[str] | None = None
        self._whole: Self | None = None
        self._numbers: Sequence[int] | None = None  # of a part
        self._tape = tape  # while it is recorded
        self._states: list[Tables] = []  # Tables after 0, 2048, 4096, ... events

    # ---- what is in it

    @property
    def events(self) -> list[Event]:
        """All events so far; index i is the i of `text` and `state`. A `cause` is a number in the whole."""
        if self._tape is not None:
            sent = None if self.world is None else self.world.sent
            self._events, self.sources = self._tape.develop(sent)
            if self.missing != self._tape.missing:  # a ring that has been turned
                self.missing, self.snapshot = self._tape.missing, self._tape.snapshot
                self._states.clear()
        return self._events

    def settle(self) -> None:
        """Build all events and let go of what the recording held on to."""
        self._stamps = self.stamps
        self._tape = None

    @property
    def skynet(self) -> str:
        """The dialect of its node: "1.1", that of v1.1.0, or "1.8", today's; "1.1, 1.8" of nodes that differ."""
        return ", ".join(sorted({str(node.get("skynet", "1.1")) for node in self.nodes.values()}))

    def dialect(self, service: str) -> str:
        """That of the node of one service."""
        return str(self.nodes.get(home(service), {}).get("skynet", "1.1"))

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """Name → what the tables of a node began with; the only one has no name."""
        snapshot = self.whole.snapshot
        nodes: dict[str, dict[str, Any]] = snapshot.get("nodes") or {"": {**snapshot, "origin": self.origin}}
        return nodes

    @property
    def foreign(self) -> set[str]:
        """The nodes that are a real skynet."""
        return {name for name, node in self.nodes.items() if node.get("origin")}

    def _of_nodes(self, table: str) -> dict[str, Any]:
        return {service: value for node in self.nodes.values() for service, value in node.get(table, {}).items()}

    @property
    def probed(self) -> bool:
        """Whether a probe in a real skynet has told it: with addresses, times and lines, unlike a recording."""
        return self.origin.startswith(PROBED)

    @property
    def stamps(self) -> dict[str, Stamps]:
        """Name of a node → the times that its real clock has told; the only one has no name."""
        if self._tape is not None:
            _ = self.events
            stamps = self._tape.stamps()
            self._stamps = {"": stamps} if stamps[0] else {}
        return self._stamps

    @stamps.setter
    def stamps(self, stamps: dict[str, Stamps]) -> None:
        self._stamps = stamps

    @property
    def whole(self) -> Self:
        """The film this is a part of; itself, if it is no part."""
        return self if self._whole is None else self._whole

    @property
    def numbers(self) -> Sequence[int]:
        """The number of each event in the whole."""
        return range(len(self.events)) if self._numbers is None else self._numbers

    def numbered(self) -> Iterator[tuple[int, Event]]:
        """Each event with its number in the whole."""
        return zip(self.numbers, self.events, strict=True)

    def names(self) -> dict[str, str]:
        """Address → name, of every service that the trace has seen."""
        names = {a: str(tables.get("name", "")) for a, tables in self.snapshot.get("services", {}).items()}
        for event in self.whole.events:
            if event["e"] == "birth":
                names[event["service"]] = name_of(event["label"])
            elif event["e"] == "begin":
                names[event["service"]] = event["name"]
            elif event["e"] in ("resume", "yield", "message"):
                names.setdefault(event.get("service", ""), "service")
        return names

    def cuts(self) -> tuple[list[str], list[str]]:
        """Services of which the end is not known: whose streams end inside a message; of which nothing was written."""
        names, found = self.names(), self._of_nodes("cut")
        called = {a: f"{names[a]} {a}" if names.get(a) else a for a in found}
        nothing = [called[a] for a, (_, _, how) in found.items() if how == "empty"]
        inside = [one for one in called.values() if one not in nothing]
        return _few(inside), _few(nothing)

    def workers(self) -> dict[str, int]:
        """Address → number of its worker, of every service that the trace has seen; empty with one worker."""
        workers = self._of_nodes("workers")
        return workers | {e["service"]: e["worker"] for e in self.whole.events if "worker" in e}

    def source_line(self, place: str) -> str:
        """The text of the line at a place (`main:12`), "" if it is not known."""
        label, _, number = place.rpartition(":")
        lines = self.sources.get(label, "").splitlines()
        return lines[int(number) - 1].strip() if number.isdecimal() and 0 < int(number) <= len(lines) else ""

    # ---- time

    def seconds(self, i: int) -> float:
        """When event `i` happened, in seconds since the recording of its node began.

        Under the virtual clock: its tick. Under the real clock the time is noted before
        and after each message only, so all events of one message have the same.
        """
        n = self.numbers[i]
        node = node_of(self.whole.events[n])
        if stamps := self.stamps.get(node):
            numbers, ended, began = stamps
            k = max(0, bisect.bisect_right(numbers, n) - 1)
            return (began[k] - ended[0]) / 1e9
        return (self.ticks()[n] - int(self.nodes[node].get("now", 0))) / 100

    def took(self, i: int) -> float | None:
        """How long the dispatch of message `i` took, in seconds; None if no real clock saw it."""
        n = self.numbers[i]
        node = node_of(self.whole.events[n])
        stamps = self.stamps.get(node)
        if stamps is None or "workers" in self.nodes[node]:
            return None  # of several workers the times stand in one row
        numbers, ended, began = stamps
        k = bisect.bisect_right(numbers, n)
        return (ended[k] - began[k - 1]) / 1e9 if 0 < k < len(numbers) else None

    def ticks(self) -> list[int]:
        """The virtual tick of each event of the whole, on its own node."""
        ticks, now = [], {name: int(node.get("now", 0)) for name, node in self.nodes.items()}
        for event in self.whole.events:
            node = node_of(event)
            if event["e"] == "clock":
                now[node] = event["tick"]
            ticks.append(now[node])
        return ticks

    def times(self) -> tuple[list[float], str]:
        """When each event of the whole happened, and the unit: "s" by the real clock, "tick" by the virtual one.

        Raises ValueError for a recording without times, and of several nodes.
        """
        whole = self.whole
        if whole.origin and not whole.probed:
            raise ValueError("a recording of the real skynet tells no times: draw it by event")
        if len(whole.nodes) > 1:
            raise ValueError("the clocks of several nodes are not one: draw them by event, or the trace of one by time")
        if whole.stamps:
            return [whole.seconds(i) for i in range(len(whole.events))], "s"
        return [float(tick) for tick in whole.ticks()], "tick"

    # ---- tables

    def state(self, i: int = -1) -> dict[str, Any]:
        """All tables after event `i` (negative: from the end), in the form of `Node.tables`.

        Of a part: those of the whole after the i-th event of the part. Raises IndexError.
        """
        if self._whole is not None and self._numbers is not None:
            return self._whole.state(self._numbers[i]) if self._numbers else self.tables().view()
        events = self.events
        n = range(len(events))[i] + 1 if events else 0
        if not self._states:
            self._states = [self.tables()]
        nearest = min(n // _CHECKPOINT, len(self._states) - 1)
        tables = self._states[nearest].copy()
        for k in range(nearest * _CHECKPOINT, n):
            tables.apply(events[k])
            if (k + 1) % _CHECKPOINT == 0 and (k + 1) // _CHECKPOINT == len(self._states):
                self._states.append(tables.copy())
        return tables.view()

    def tables(self) -> Tables:
        """The tables before the first event, ready to be moved on (state.py)."""
        return Tables(self.snapshot, self.foreign)

    # ---- parts

    def only(self, service: Any = None, coroutine: Any = None) -> Self:
        """The events of one service or several (address or name), of one coroutine or several ("co2" or 2).

        Raises ValueError for what the trace does not know.
        """
        services = None if service is None else self.find_services(service)
        coroutines = None
        if coroutine is not None:
            wanted = [coroutine] if isinstance(coroutine, (str, int)) else list(coroutine)
            coroutines = {f"co{c}" if isinstance(c, int) else str(c) for c in wanted}
            known = {e["co"] for e in self.events if e.get("co") and (services is None or e.get("service") in services)}
            if not coroutines <= known:
                raise ValueError(
                    f"no coroutine {min(coroutines - known)!r} here; there is {', '.join(sorted(known)) or 'none'}"
                )
        numbers = [
            n
            for n, e in self.numbered()
            if (services is None or e.get("service") in services)
            and (coroutines is None or e.get("co") in coroutines or e.get("in") in coroutines)
        ]
        return self._part(numbers, services, coroutines)

    def around(self, mark: int | str, before: int = 20, after: int = 20) -> Self:
        """The events about a mark, named by (the beginning of) its text, or about an event number.

        Raises ValueError for a mark that is not there.
        """
        if isinstance(mark, int):
            at = mark
            if not 0 <= at < len(self.whole.events):
                raise ValueError(f"no event {mark}: this trace has {len(self.whole.events)} events, from 0")
        else:
            marks = {n: e["text"] for n, e in self.numbered() if e["e"] == "mark"}
            found = [n for n, text in marks.items() if text == mark]
            found = found or [n for n, text in marks.items() if text.startswith(mark)]
            if not found:
                shown = ", ".join(dict.fromkeys(map(repr, marks.values()))) or "none"
                raise ValueError(f"no mark {mark!r} in this trace; it has {shown}")
            at = found[0]
        return self._part([n for n in self.numbers if at - before <= n <= at + after])

    def _part(
        self, numbers: Sequence[int], services: set[str] | None = None, coroutines: set[str] | None = None
    ) -> Self:
        whole = self.whole
        events = [whole.events[n] for n in numbers]
        part: Self = self.part_type(events, whole.snapshot, whole.sources, origin=whole.origin, stamps=whole.stamps)
        part._whole, part._numbers = whole, numbers
        part.services = services if services is not None else self.services
        part.coroutines = coroutines if coroutines is not None else self.coroutines
        return part

    def cut(self) -> Self:
        """A part from its first to its last event as a whole of its own, numbered from 0: what `save` stores."""
        if self._numbers is None:
            return self
        first, last = (self._numbers[0], self._numbers[-1]) if self._numbers else (0, -1)
        events = []
        for event in self.whole.events[first : last + 1]:
            if "cause" in event:
                event = {**event, "cause": event["cause"] - first}
                if event["cause"] < 0:
                    del event["cause"]
            events.append(event)
        snapshot = self.whole.state(first - 1) if first else self.snapshot
        stamps = dict[str, Stamps]()
        for node, (numbers, ended, began) in self.stamps.items():
            kept = slice(max(0, bisect.bisect_right(numbers, first) - 1), bisect.bisect_right(numbers, last + 1))
            stamps[node] = [max(0, n - first) for n in numbers[kept]], ended[kept], began[kept]
        return type(self.whole)(events, snapshot, self.sources, origin=self.origin, stamps=stamps)

    def find_services(self, services: Any) -> set[str]:
        """Addresses of the services that an address, a name, or several of them mean. Raises ValueError."""
        names = self.names()
        found: set[str] = set()
        for one in [services] if isinstance(services, (str, int)) else list(services):
            text = full_address(one)
            these = {a for a, name in names.items() if text in (a, name, home(a) or a)}
            if not these:
                known = ", ".join(f"{a} {name}" for a, name in sorted(names.items()))
                raise ValueError(f"no service {one!r} in this trace; it knows {known or 'none'}")
            found |= these
        return found

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    @overload
    def __getitem__(self, i: int) -> Event: ...
    @overload
    def __getitem__(self, i: slice) -> Self: ...
    def __getitem__(self, i: int | slice) -> Event | Self:
        if isinstance(i, slice):
            return self._part(self.numbers[i])
        return self.events[i]

    def __repr__(self) -> str:
        if self._whole is not None:
            return f"<Part of a trace: {len(self)} of {len(self._whole)} events>"
        services = {e["service"] for e in self.events if "service" in e}
        before = f", behind {self.missing} that were not kept" if self.missing else ""
        return f"<Trace of {len(self.events)} events, {len(services)} services{before}>"


def _few(names: list[str]) -> list[str]:
    return names if len(names) <= _NAMED else [*names[: _NAMED - 1], f"… +{len(names) - _NAMED + 1}"]


Film.part_type = Film
