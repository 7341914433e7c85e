"""A run too long to be drawn event by event: who was busy when.

One idea: the run is cut into equal columns, of events or of time, and each row counts
what happened in each. Bars are the resumes of a service, strips those of its
coroutines, the line is the length of its mailbox. Which stretch is worth a closer look
can be told from the same counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from .forms import count, word
from .lanes import called

if TYPE_CHECKING:
    from ..trace import Trace

DENSE = 1500
"""More events than this to be drawn, and an overview is drawn instead."""
DRAWN = frozenset(
    ("message", "load", "resume", "yield", "wakeup", "wakeup_skip", "mark", "co_error", "push", "exit", "driver",
     "command", "ready", "write", "timer_set", "timer_fired", "client", "clock")
)  # fmt: skip
_CLOSE = 44  # drawn events that are shown enlarged
_STRIPS, _SERVICES = 40, 16  # rows at most


@dataclass
class Row:
    """One row of counts. `kind`: world (socket server, timer, clients), service or strip (a coroutine)."""

    kind: str
    title: str
    counts: list[int]
    note: list[str] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)  # the longest its mailbox was in each column
    errors: list[int] = field(default_factory=list)  # columns
    marks: list[int] = field(default_factory=list)


class Density:
    """Counts of the events of `window`. `where`: the place of each event of the whole, by number or by time."""

    def __init__(self, trace: Trace, shown: set[str], window: range, where: list[float] | range, columns: int) -> None:
        self.window, self.columns = window, columns
        self.first, self.last = float(where[window.start]), float(where[window.stop - 1])
        self._where = where
        self.drawn: list[int] = []
        self._scores: list[int] = []
        names = trace.whole.names()
        self._world = {
            name: Row("world", word(f"fig.{name}"), [0] * columns) for name in ("clients", "socket", "timer")
        }
        self._services = {
            s: Row("service", called(s, names), [0] * columns, waiting=[0] * columns) for s in sorted(shown)
        }
        self._strips: dict[str, dict[str, list[int]]] = {s: {} for s in self._services}
        self._length = {
            s: len(tables.get("mailbox", ())) for s, tables in trace.whole.snapshot.get("services", {}).items()
        }
        self._filled = dict.fromkeys(self._services, 0)
        self._blind = bool(trace.whole.foreign)  # skynet does not tell what enters a mailbox
        wanted: set[str] | None = getattr(trace, "coroutines", None)
        for i, e in enumerate(trace.whole.events[: window.stop]):
            self._count(i, e["e"], e, e.get("service", ""), wanted)
        for service in self._services:
            self._fill(service, columns - 1)
        self.resumes = sum(sum(row.counts) for row in self._services.values())
        self.coroutines = sum(len(strips) for strips in self._strips.values())
        self.rows = self._rows(names)

    def column(self, i: int) -> int:
        share = (self._where[i] - self.first) / ((self.last - self.first) or 1.0)
        return min(self.columns - 1, int(share * self.columns))

    def _count(self, i: int, kind: str, e: dict[str, str], service: str, wanted: set[str] | None) -> None:
        row = self._services.get(service)
        if row is None and kind not in ("client", "clock"):
            return
        change = 1 if kind == "push" else -1 if kind in ("message", "load", "handled") else 0
        if i < self.window.start:
            self._length[service] = max(0, self._length.get(service, 0) + change)
            return
        if kind in DRAWN:
            self.drawn.append(i)
            self._scores.append({"resume": 1, "co_error": 4, "mark": 1}.get(kind, 0))
        column = self.column(i)
        if kind in ("command", "ready", "write", "timer_fired", "client"):
            name = {"timer_fired": "timer", "client": "clients"}.get(kind, "socket")
            self._world[name].counts[column] += 1
        elif row is None:
            return
        elif kind == "resume":
            if wanted is None or e["co"] in wanted:
                row.counts[column] += 1
                self._strips[service].setdefault(e["co"], [0] * self.columns)[column] += 1
        elif kind == "co_error":
            row.errors.append(column)
        elif kind == "mark":
            row.marks.append(column)
        elif change or kind == "exit":
            self._fill(service, column)
            length = self._length[service] = 0 if kind == "exit" else max(0, self._length.get(service, 0) + change)
            row.waiting[column] = max(row.waiting[column], length)

    def _fill(self, service: str, column: int) -> None:
        """What lies in a mailbox lies there until somebody takes it."""
        waiting, length = self._services[service].waiting, self._length.get(service, 0)
        for k in range(self._filled[service], column + 1):
            waiting[k] = max(waiting[k], length)
        self._filled[service] = column + 1

    def _rows(self, names: dict[str, str]) -> list[Row]:
        rows = [row for row in self._world.values() if any(row.counts)]
        for row in rows:
            row.note = [_number(sum(row.counts), "event")]
        active = [s for s, row in self._services.items() if any(row.counts) or any(row.waiting)]
        busiest = sorted(active, key=lambda s: -sum(self._services[s].counts))[:_SERVICES]
        for service in sorted(busiest, key=active.index):
            row, strips = self._services[service], self._strips[service]
            row.note = [_number(sum(row.counts), "resume"), word("fig.deepest", n=max(row.waiting, default=0))]
            if self._blind:
                del row.note[1]
            if row.errors:
                row.note[0] = word("fig.and", a=row.note[0], b=_number(len(row.errors), "error"))
            rows.append(row)
            most = max(3, _STRIPS // min(_SERVICES, len(active)))
            shown = list(strips)[: most if len(strips) <= most else most - 1]
            rows += [Row("strip", co, strips[co]) for co in shown]
            rest = [counts for co, counts in strips.items() if co not in shown]
            if rest:
                counts = [sum(column) for column in zip(*rest, strict=True)]
                rows.append(Row("strip", word("fig.more", n=len(rest)), counts, [word("fig.together")]))
        rest_rows = [self._services[s] for s in active if s not in busiest]
        if rest_rows:
            counts = [sum(column) for column in zip(*(row.counts for row in rest_rows), strict=True)]
            more = Row("service", word("fig.more_services", n=len(rest_rows)), counts, [_number(sum(counts), "resume")])
            rows.append(more)
        return rows

    def busiest(self) -> tuple[int, int]:
        """The stretch with the most resumes, marks and errors, the first of equals: its first event, and its end."""
        drawn = self.drawn
        if len(drawn) <= _CLOSE:
            return self.window.start, self.window.stop
        sums = [0, *accumulate(self._scores)]
        best = max(range(len(drawn) - _CLOSE + 1), key=lambda k: (sums[k + _CLOSE] - sums[k], -k))
        return drawn[best], drawn[best + _CLOSE - 1] + 1


def _number(n: int, what: str) -> str:
    return count(n, what, f"{n:,}".replace(",", " "))
