"""What the viewer is handed: a trace as one piece of plain data.

One idea: the front end knows how to draw and to step, and no rule of the runtime.
So it gets lanes and arrows ready made (story.py), a sentence for each event
(words.py), and the small steps by which the tables move (trace/steps.py). Of a long
run it reads no more than what it shows: that comes in pieces, each a text of its own.
"""

from __future__ import annotations

import base64
import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..trace.files import to_json
from ..trace.kinds import runtimes
from ..trace.language import speaking
from ..trace.steps import Step
from ..trace.text import line, printable
from .density import DENSE, Density
from .forms import forms, word
from .story import Story
from .words import Teller

if TYPE_CHECKING:
    from ..trace import Trace

BOOKKEEPING = frozenset(("table", "requeue", "socket", "handled", "load", "dispatch_failed"))
"""Events that are passed over unless a reader wants every one."""
PIECE = 1024
"""Events that come in one piece, or columns of the timeline."""
_LEADS = frozenset(("message", "load", "handled", "resume", "yield", "co_error"))
_FROM_OUTSIDE = frozenset(("birth", "push", "load", "handled", "message", "ready", "command", "timer_fired", "socket"))
"""Events that follow from nothing else in their service: their cause is noted, or lies outside."""
_MANY_LANES = 400
_BARS, _ROWS = 240, 24  # of the overview of a long run, columns; rows from which on coroutines have none


def payload(trace: Trace, *, services: Any = None, title: str | None = None, lang: str | None = None) -> dict[str, Any]:
    """The data of the viewer, of a whole trace or of a part of one.

    `services`: whose lanes and events are shown at first, as in `Trace.timeline`.
    `lang`: "en", "zh", or that of the process.
    Raises ValueError for a service or a language that is not there.
    """
    with speaking(lang) as spoken:
        return {**_payload(trace, services, title), "lang": spoken, "words": forms("viewer.")}


def _payload(trace: Trace, services: Any, title: str | None) -> dict[str, Any]:
    whole, numbers = trace.whole, trace.numbers
    first, end = (numbers[0], numbers[-1] + 1) if len(numbers) else (0, 0)
    wanted = services if services is not None else getattr(trace, "services", None)
    story = Story(whole, wanted, first, end, _MANY_LANES)
    events = whole.events[first:end]
    names = whole.names()
    told = _Told(whole, first, end)
    labels = {place.rpartition(":")[0] for stack in told.stacks for place in stack}
    verdicts = [v for v in trace.verdicts() if v.event is not None]
    comma = word("fig.comma")
    shown = comma.join(story.nodes) or comma.join(f"{names[a]} {a}".strip() for a in sorted(story.shown)[:3])
    return {
        "title": printable(title if title is not None else trace.origin or shown),
        "hidden": story.hidden,
        "first": first,
        "names": names,
        "shown": sorted(story.shown),
        "coroutines": sorted(getattr(trace, "coroutines", None) or ()),
        "quiet": sorted(BOOKKEEPING),
        "kinds": _column(e["e"] for e in events),
        "services": _column(e.get("service", "") for e in events),
        "coroutine": _column(map(_coroutine, events)),
        "piece": PIECE,
        "events": _pieces(told.events),
        "tables": _pieces(told.tables),
        "film": _pieces(_film(story)),
        **{name: list(getattr(told, name)) for name in ("moves", "stacks", "reasons", "parked")},
        "most": told.most,
        "sources": {label: text for label, text in whole.sources.items() if label in labels},
        "columns": story.columns,
        "lanes": [[lane.key[0], lane.kind, lane.title, lane.note] for lane in story.lanes],
        "density": _density(whole, story) if len(events) > DENSE else None,
        "verdicts": [[v.grade, v.event, str(v)] for v in verdicts],
    }


class _Numbered(dict[Any, int]):
    """Gives each thing a number when it comes first, from 0: the page writes the number where it comes again."""

    def __missing__(self, thing: Any) -> int:
        self[thing] = n = len(self)
        return n


def _column(values: Iterable[str]) -> list[list[Any]]:
    """Words that come again and again: each once, and their numbers."""
    known = _Numbered()
    numbers = [known[value] for value in values]
    return [list(known), numbers]


def _pieces(texts: list[str]) -> list[Any]:
    """A short run is one piece, which may as well be data at once."""
    return texts if len(texts) > 1 else [json.loads(text) for text in texts]


class _Told:
    """What is told of each event, piece by piece, and the tables before each piece.

    `moves`: kind, service and table of steps; `stacks`: places in the code; `parked`: who was parked, at which line;
    `reasons`: by what a coroutine is resumed; `most`: how many rows each table has at most.
    """

    def __init__(self, trace: Trace, first: int, end: int) -> None:
        self.moves, self.stacks, self.parked, self.reasons = (_Numbered() for _ in range(4))
        self.most: dict[str, dict[str, int]] = {}
        self.events: list[str] = []
        self.tables: list[str] = []
        self._places: dict[tuple[str, str], int] = {}  # where each coroutine is
        self._seen: dict[str, int] = {}  # service, "" for all → who ran a line of the user's last
        self._steps: list[list[Any]] = []
        self._teller = Teller(trace)
        self._tables = self._teller.tables
        for event in trace.events[:first]:
            self._teller.tell(event)
        self._tables.listener = self._moved
        of_all = self._tables.all
        for service, tables in (("", of_all), *of_all["services"].items(), *of_all.get("nodes", {}).items()):
            for name in tables:
                self._count(service, name)
        causes = _causes(trace.events[:end])
        for begin in range(first, max(end, first + 1), PIECE):
            self.tables.append(to_json(self._tables.all))
            rows = [self._row(i, trace.events[i], causes[i]) for i in range(begin, min(begin + PIECE, end))]
            self.events.append(to_json({name: [row[name] for row in rows] for name in rows[0]} if rows else {}))

    def _row(self, i: int, e: dict[str, Any], cause: int | None) -> dict[str, Any]:
        service, who, place = e.get("service", ""), _coroutine(e), None
        stack = tuple(e["stack"]) if "stack" in e else (e["runs"],) if "runs" in e else ()
        if stack:
            place = self._places[service, who] = self.stacks[stack]
        elif e["e"] == "co_create":
            self._places.pop((service, who), None)
        users = next((place for place in stack if not runtimes(place)), None)
        if users and who:
            self._seen[service] = self._seen[""] = self.parked[who, users]
        steps = self._steps = []
        return {
            "lines": line(e).strip(),
            "say": self._teller.tell(e),
            "since": 0 if cause is None else i - cause,
            "by": self.reasons[e["by"] if e["e"] == "resume" else None],
            "places": self._places.get((service, who)) if who else place,
            "parked": self._seen.get(service),
            "steps": steps,
        }

    def _moved(self, step: Step) -> None:
        what = step[:2] if step[0] in ("born", "gone") else step[:3]
        self._steps.append([self.moves[what], *step[len(what) :]])
        for name in step[2] if step[0] == "born" else ():
            self._count(step[1], name)
        if len(what) == 3:
            self._count(step[1], step[2])

    def _count(self, service: str, name: str) -> None:
        table = self._tables.table(service, name)
        most, n = self.most.setdefault(service, {}), len(table) if isinstance(table, (list, dict)) else 1
        if n > most.get(name, 0):
            most[name] = n


def _film(story: Story) -> list[str]:
    """What is drawn, in pieces of so many columns; what reaches over the edge of a piece is in each that it meets."""
    index = {lane.key: k for k, lane in enumerate(story.lanes)}
    edges = story.columns[::PIECE] or [0]
    pieces: list[dict[str, list[Any]]] = [{"stretches": [], "marks": [], "arrows": []} for _ in edges]

    found: list[tuple[str, int | None, int | None, tuple[Any, ...]]] = [
        *(("marks", x.at, x.at, (-1, x.at, "moment", x.label)) for x in story.lines),
        *(("stretches", s.start, s.stop, (index[s.lane], s.start, s.stop, s.kind, s.label)) for s in story.stretches),
        *(("marks", m.at, m.at, (index[m.lane], m.at, m.kind, m.label)) for m in story.marks),
        *(("arrows", a.since, a.at, (index[a.source], a.since, index[a.target], a.at, a.kind, a.label))
          for a in story.arrows),
    ]  # fmt: skip
    for name, start, stop, what in found:
        low = 0 if start is None else max(0, bisect_right(edges, start) - 1)
        high = len(edges) if stop is None else max(1, bisect_right(edges, stop))
        for piece in pieces[low:high]:
            piece[name].append(what)
    return [to_json(piece) for piece in pieces]


def _density(trace: Trace, story: Story) -> list[list[Any]]:
    """Who was busy when: the rows of the overview that stands above a long run."""
    rows = Density(trace, story.shown, story.window, range(len(trace.events)), _BARS).rows
    return [
        [row.kind, row.title, row.note[:1], row.counts, row.waiting, sorted({*row.errors}), sorted({*row.marks})]
        for row in rows
        if row.kind != "strip" or len(rows) <= _ROWS
    ]


def _coroutine(e: dict[str, Any]) -> str:
    """Who acts in an event; "" for the scheduler and the world."""
    co = e.get("in") if e["e"] in ("wakeup", "fork", "send", "timer_set") else e.get("co")
    return co if co and co != "main" else ""


def _causes(events: list[dict[str, Any]]) -> list[int | None]:
    """What made each event due: what the trace noted, else the switch or the message from which it followed.

    So the chain from a line of code goes on to the readiness of a socket, or to whatever
    came from outside; None there.
    """
    causes: list[int | None] = []
    last: dict[str, int] = {}  # service → its last message or switch
    for i, e in enumerate(events):
        service = e.get("service", "")
        causes.append(e.get("cause", last.get(service) if service and e["e"] not in _FROM_OUTSIDE else None))
        if e["e"] in _LEADS:
            last[service] = i
    return causes


def pack(text: str, level: int = 9) -> str:
    """The JSON of a payload, small, in letters that a notebook can keep. `level`: how hard zlib tries."""
    return base64.b64encode(zlib.compress(text.encode(), level)).decode("ascii")


def unpack(packed: str) -> dict[str, Any]:
    """The payload again. Raises ValueError if it is damaged."""
    try:
        data = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
    except zlib.error as e:
        raise ValueError(f"the data of a stepper are damaged: {e}") from None
    if not isinstance(data, dict):
        raise ValueError("the data of a stepper are none")
    return data
