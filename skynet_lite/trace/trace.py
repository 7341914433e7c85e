"""A trace: the events of a run, and the tables they began with.

A part of one (`trace[10:40]`, `trace.only(...)`, `trace.around(...)`) is a trace too:
it shows less, and its events keep the numbers they have in the whole.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from . import chrome, export, files, mermaid
from .diff import Diff
from .events import Builder, Event, Places, address
from .golden import golden
from .state import Tables
from .text import line
from .verdicts import SLOW, Verdicts, judge
from .waits import Waits, Who
from .world import World

if TYPE_CHECKING:
    from ..view.figure import Timeline
    from ..view.stepper import Stepper

Stamps = tuple[list[int], list[int], list[int]]
"""Real times in ns: before event n[k] all was over at ended[k], and what came did not begin before began[k]."""
_CHECKPOINT = 512  # events between two states that are kept for `state`
_DETAIL = frozenset(("table", "push", "requeue", "socket", "timer_set"))


class Trace:
    """What was recorded. `events` is a list of dicts (see events.py), `snapshot` the tables before.

    `sources`: label of a file or cell → its text. `origin`: "" for a run of ours, else
    what it was recorded from (a recording of the real skynet). `world`: what came from
    outside, if it was recorded from birth (world.py); it can then be played again.
    """

    def __init__(
        self,
        events: Iterable[Event] = (),
        snapshot: dict[str, Any] | None = None,
        sources: dict[str, str] | None = None,
        *,
        origin: str = "",
        stamps: Stamps | None = None,
        world: World | None = None,
        raw: list[tuple[Any, ...]] | None = None,
        places: Places | None = None,
    ) -> None:
        self.snapshot: dict[str, Any] = snapshot if snapshot is not None else {}
        self._events: list[Event] = list(events)
        self.sources: dict[str, str] = dict(sources or {})
        self.origin = origin
        self.world = world
        self.stamps: Stamps = stamps if stamps is not None else ([], [], [])
        self._raw = raw
        self._read = 0
        self._build: Any = None
        self._places = places
        self._states: list[Tables] = []  # Tables after 0, 512, 1024, ... events

    # ---- what is in it

    @property
    def events(self) -> list[Event]:
        """All events so far; index i is the i of `text` and `state`."""
        if self._raw is not None and self._read < len(self._raw):
            if self._build is None:
                assert self._places is not None
                self._build = Builder(self.snapshot, self._places)
                self._events = self._build.events
                self.sources = self._build.sources
            # By index: the node may go on recording while we read.
            end = len(self._raw)
            for i in range(self._read, end):
                self._build.add(self._raw[i])
            self._read = end
        return self._events

    def settle(self) -> None:
        """Build all events and let go of what the recording held on to."""
        _ = self.events
        self._raw = self._build = self._places = None

    @property
    def whole(self) -> Trace:
        """The trace this is a part of; itself, if it is no part."""
        return self

    @property
    def numbers(self) -> Sequence[int]:
        """The number of each event in the whole trace."""
        return range(len(self.events))

    def names(self) -> dict[str, str]:
        """Address → name, of every service that the trace has seen."""
        names = {a: str(tables.get("name", "")) for a, tables in self.snapshot.get("services", {}).items()}
        for event in self.whole.events:
            if event["e"] == "birth":
                kind, _, rest = event["label"].partition(" ")
                names[event["service"]] = rest.split(" ")[0] if kind == "snlua" and rest else kind
            elif event["e"] in ("resume", "yield", "message"):
                names.setdefault(event.get("service", ""), "service")
        return names

    def workers(self) -> dict[str, int]:
        """Address → number of its worker, of every service that the trace has seen; empty with one worker."""
        workers = dict(self.snapshot.get("workers", {}))
        return workers | {e["service"]: e["worker"] for e in self.whole.events if "worker" in e}

    def seconds(self, i: int) -> float:
        """When event `i` happened, in seconds since the recording began.

        Under the virtual clock: its tick. Under the real clock the time is noted before
        and after each message only, so all events of one message have the same.
        """
        i = range(len(self.events))[i]
        numbers, ended, began = self.stamps
        if numbers:
            k = max(0, bisect.bisect_right(numbers, self.numbers[i]) - 1)
            return (began[k] - ended[0]) / 1e9
        return (self.ticks()[self.numbers[i]] - int(self.snapshot.get("now", 0))) / 100

    def took(self, i: int) -> float | None:
        """How long the dispatch of message `i` took, in seconds; None if no real clock saw it."""
        if "workers" in self.whole.snapshot:
            return None  # of several: their times stand in one row
        numbers, ended, began = self.stamps
        k = bisect.bisect_right(numbers, self.numbers[i])
        return (ended[k] - began[k - 1]) / 1e9 if 0 < k < len(numbers) else None

    def ticks(self) -> list[int]:
        """The virtual tick of each event of the whole trace."""
        ticks, now = [], int(self.snapshot.get("now", 0))
        for event in self.whole.events:
            if event["e"] == "clock":
                now = event["tick"]
            ticks.append(now)
        return ticks

    def find(self, e: str, after: int = -1, **fields: Any) -> int:
        """The number of the first event of kind `e` behind event `after` that has all these fields.

        Raises LookupError if there is none, and says what comes nearest.
        """
        near = 0
        for n in range(after + 1, len(self)):
            event = self[n]
            if event["e"] == e:
                if all(event.get(key) == value for key, value in fields.items()):
                    return n
                near += 1
        wanted = " ".join([e, *(f"{key}={value!r}" for key, value in fields.items())])
        raise LookupError(f"no event {wanted} behind {after}; there are {near} of kind {e}")

    def causes(self, i: int) -> list[int]:
        """The chain of causes of event `i`, from itself back: numbers of events of the whole trace.

        What is noted as a cause counts; what a coroutine does is caused by the resume it runs in.
        """
        events = self.whole.events
        n: int | None = self.numbers[i]
        chain = []
        while n is not None:
            chain.append(n)
            event = events[n]
            n = event.get("cause")
            co = event.get("in", event.get("co"))
            if n is None and co not in (None, "main") and event["e"] != "resume":
                lane = {"e": "resume", "service": event.get("service"), "co": co}
                n = next((k for k in range(chain[-1] - 1, -1, -1) if lane.items() <= events[k].items()), None)
        return chain

    # ---- parts

    def only(self, service: Any = None, coroutine: Any = None) -> Part:
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
            for n, e in zip(self.numbers, self.events, strict=True)
            if (services is None or e.get("service") in services)
            and (coroutines is None or e.get("co") in coroutines or e.get("in") in coroutines)
        ]
        return self._part(numbers, services, coroutines)

    def around(self, mark: int | str, before: int = 20, after: int = 20) -> Part:
        """The events about a mark, named by (the beginning of) its text, or about an event number.

        Raises ValueError for a mark that is not there.
        """
        if isinstance(mark, int):
            at = mark
            if not 0 <= at < len(self.whole.events):
                raise ValueError(f"no event {mark}: this trace has {len(self.whole.events)} events, from 0")
        else:
            marks = {n: e["text"] for n, e in zip(self.numbers, self.events, strict=True) if e["e"] == "mark"}
            found = [n for n, text in marks.items() if text == mark] or [
                n for n, text in marks.items() if text.startswith(mark)
            ]
            if not found:
                shown = ", ".join(dict.fromkeys(map(repr, marks.values()))) or "none"
                raise ValueError(f"no mark {mark!r} in this trace; it has {shown}")
            at = found[0]
        numbers = [n for n in self.numbers if at - before <= n <= at + after]
        return self._part(numbers, None, None)

    def _part(self, numbers: Sequence[int], services: set[str] | None, coroutines: set[str] | None) -> Part:
        return Part(self, numbers, services, coroutines)

    def find_services(self, services: Any) -> set[str]:
        """Addresses of the services that an address, a name, or several of them mean. Raises ValueError."""
        names = self.names()
        found: set[str] = set()
        for one in [services] if isinstance(services, (str, int)) else list(services):
            text = address(one)
            if text.startswith(":"):
                text = f":{int(text[1:], 16):08x}"
            these = {a for a, name in names.items() if text in (a, name)}
            if not these:
                known = ", ".join(f"{a} {name}" for a, name in sorted(names.items()))
                raise ValueError(f"no service {one!r} in this trace; it knows {known or 'none'}")
            found |= these
        return found

    # ---- questions

    def verdicts(self, slow: float = SLOW) -> Verdicts:
        """What went wrong, in plain sentences (verdicts.py); of a part, what shows in it.

        `slow`: seconds after which the dispatch of one message is too long, where a real clock saw it.
        """
        found = judge(self.whole, slow)
        if self.whole is not self:
            shown = set(self.numbers)
            found = Verdicts(v for v in found if v.event in shown)
        return found

    def waits(self, i: int = -1) -> Waits:
        """Who waits for whom after event `i` (negative: from the end)."""
        places: dict[Who, str] = {}
        events = self.events
        for event in self.whole.events[: self.numbers[i] + 1 if events else 0]:
            if event["e"] == "yield":
                places[event.get("service", ""), event["co"]] = event.get("at", "")
        return Waits(self.state(i), places)

    def diff(self, other: Trace, names: dict[int | str, str] | None = None) -> Diff:
        """This run and another side by side (diff.py): where they part, and what only one of them did.

        One of them, or both, may be a recording of the real skynet; `names` says which of
        our services (address) is which of the recording's (`"A"`), else the order of birth does.
        Raises ValueError for names that are not there.
        """
        return Diff(self, other, names)

    # ---- looking at it

    def text(self, *, detail: bool = True, service: int | str | None = None) -> str:
        """The canonical text, one line an event: number, service, coroutine, what happened.

        `detail=False` leaves out tables and bookkeeping, `service` all other services.
        """
        wanted = None if service is None else _address(service)
        lines = []
        for n, event in zip(self.numbers, self.events, strict=True):
            if wanted is not None and event.get("service") != wanted:
                continue
            if detail or event["e"] not in _DETAIL:
                lines.append(f"{n:4} {line(event)}")
        return "\n".join(lines)

    def golden(self, addr: int | str, detail: bool = True, names: dict[Any, str] | None = None) -> list[Event]:
        """The events of one service in the form of the recordings of the real skynet.

        `names` maps other services' addresses to their labels.
        """
        return [event for _, event in self.golden_numbered(addr, detail, names)]

    def golden_numbered(
        self, addr: int | str, detail: bool = True, names: dict[Any, str] | None = None
    ) -> Iterator[tuple[int, Event]]:
        """The same, each with its number in the whole trace."""
        launcher = next(
            (a for a, t in self.snapshot.get("services", {}).items() if t.get("name") == "launcher"),
            next((e["service"] for e in self.events if e["e"] == "birth" and e["label"] == "snlua launcher"), None),
        )
        labels = {_address(a): name for a, name in (names or {}).items()}
        for i, event in golden(self.events, _address(addr), labels, launcher, detail):
            yield self.numbers[i], event

    def state(self, i: int = -1) -> dict[str, Any]:
        """All tables after event `i` (negative: from the end), in the form of `Node.tables`.

        Raises IndexError.
        """
        events = self.events
        n = range(len(events))[i] + 1 if events else 0
        if not self._states:
            self._states.append(self.tables())
        nearest = min(n // _CHECKPOINT, len(self._states) - 1)
        tables = self._states[nearest].copy()
        for k in range(nearest * _CHECKPOINT, n):
            tables.apply(events[k])
            if (k + 1) % _CHECKPOINT == 0 and (k + 1) // _CHECKPOINT == len(self._states):
                self._states.append(tables.copy())
        return tables.view()

    def tables(self) -> Tables:
        """The tables before the first event, ready to be moved on (state.py)."""
        return Tables(self.snapshot, foreign=bool(self.origin))

    def timeline(self, **options: Any) -> Timeline:
        """A matplotlib figure of the coroutines; see view.timeline.timeline for the options."""
        from ..view.timeline import timeline

        return timeline(self, **options)

    def stepper(self, **options: Any) -> Stepper:
        """The viewer as a widget, to step back and forth in a notebook.

        `step`: the event to begin at; `services`, `title`, `lang` as in view.payload.payload.
        """
        from ..view.stepper import Stepper

        return Stepper(self, **options)

    def to_html(self, path: str | os.PathLike[str], **options: Any) -> None:
        """The viewer as a page of its own, for any browser, offline; see view.page.page for the options."""
        from ..view.page import write

        write(self, path, **options)

    def describe(self, **options: Any) -> str:
        """What the timeline shows, in sentences, one a line; see view.words.describe for the options."""
        from ..view.words import describe

        return describe(self, **options)

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file; its suffix says of which kind, see export.py. `load` reads .json and .jsonl back.

        Raises ValueError for a suffix that is not known, OSError if it cannot be written.
        """
        export.save(self, path)

    def to_chrome(self) -> dict[str, Any]:
        """In Chrome's trace event format, for ui.perfetto.dev or chrome://tracing (chrome.py)."""
        return chrome.events(self)

    def to_mermaid(self) -> str:
        """As a sequence diagram in the language of Mermaid (mermaid.py)."""
        return mermaid.diagram(self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a stored trace, or a recording of the real skynet.

        Raises TraceError for what is none, OSError if it cannot be read.
        """
        return cls(**files.read(path))

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    @overload
    def __getitem__(self, i: int) -> Event: ...
    @overload
    def __getitem__(self, i: slice) -> Part: ...
    def __getitem__(self, i: int | slice) -> Event | Part:
        if isinstance(i, slice):
            return self._part(self.numbers[i], None, None)
        return self.events[i]

    def __repr__(self) -> str:
        services = {e["service"] for e in self.events if "service" in e}
        return f"<Trace of {len(self.events)} events, {len(services)} services>"


class Part(Trace):
    """Some events of a trace. `services`, `coroutines`: what it was narrowed to, None for all.

    `state(i)` is that of the whole trace after the i-th event of the part.
    """

    def __init__(
        self, trace: Trace, numbers: Sequence[int], services: set[str] | None, coroutines: set[str] | None
    ) -> None:
        whole = trace.whole
        super().__init__(snapshot=whole.snapshot, sources=whole.sources, origin=whole.origin, stamps=whole.stamps)
        self._whole = whole
        self._numbers = numbers
        self._events = [whole.events[n] for n in numbers]
        self.services = services if services is not None else getattr(trace, "services", None)
        self.coroutines = coroutines if coroutines is not None else getattr(trace, "coroutines", None)

    @property
    def events(self) -> list[Event]:
        """The events of the part; a `cause` is a number in the whole."""
        return self._events

    @property
    def whole(self) -> Trace:
        return self._whole

    @property
    def numbers(self) -> Sequence[int]:
        return self._numbers

    def state(self, i: int = -1) -> dict[str, Any]:
        if not self._numbers:
            return self._whole.tables().view()
        return self._whole.state(self._numbers[i])

    def cut(self) -> Trace:
        """From its first to its last event, as a trace of its own, numbered from 0: what `save` stores."""
        first, last = (self._numbers[0], self._numbers[-1]) if self._numbers else (0, -1)
        events = []
        for event in self._whole.events[first : last + 1]:
            cause = event.get("cause")
            if cause is not None:
                event = {**event, "cause": cause - first}
                if cause < first:
                    del event["cause"]
            events.append(event)
        snapshot = self._whole.state(first - 1) if first else self.snapshot
        low = max(0, bisect.bisect_right(self.stamps[0], first) - 1)
        high = bisect.bisect_right(self.stamps[0], last + 1)
        numbers, ended, began = (column[low:high] for column in self.stamps)
        stamps: Stamps = ([max(0, n - first) for n in numbers], ended, began)
        return Trace(events, snapshot, self.sources, origin=self.origin, stamps=stamps)

    def __repr__(self) -> str:
        return f"<Part of a trace: {len(self)} of {len(self._whole)} events>"


def _address(addr: int | str) -> str:
    if isinstance(addr, int):
        return f":{addr:08x}"
    return f":{int(addr[1:], 16):08x}" if addr.startswith(":") else addr
