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

from .figure import SMALL, MaxNLocator, Page, clean, extent, fit, rectangle
from .forms import word

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
_LEVELS = 5
_TINY = 6.0
_HEIGHTS = {"service": 42.0, "strip": 7.0, "world": 28.0}


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
            s: Row("service", f"{names[s]} {s}".strip() if names[s] != s else s, [0] * columns, waiting=[0] * columns)
            for s in sorted(shown)
        }
        self._strips: dict[str, dict[str, list[int]]] = {s: {} for s in self._services}
        self._length = {
            s: len(tables.get("mailbox", ())) for s, tables in trace.whole.snapshot.get("services", {}).items()
        }
        self._filled = dict.fromkeys(self._services, 0)
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
        for service in active[:_SERVICES]:
            row, strips = self._services[service], self._strips[service]
            row.note = [_number(sum(row.counts), "resume"), word("fig.deepest", n=max(row.waiting, default=0))]
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
        rest_rows = [self._services[s] for s in active[_SERVICES:]]
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


class Overview:
    """Draws a Density between two edges of a page. `unit`: event, tick or s; `close`: what is enlarged below."""

    def __init__(self, density: Density, unit: str, close: tuple[int, int]) -> None:
        self.density, self.unit, self.close = density, unit, close
        self.height = sum(_HEIGHTS[row.kind] for row in density.rows) + 82.0

    def draw(self, page: Page, top: float, left: float, right: float) -> None:
        t, y = page.theme, top
        step = (right - left) / self.density.columns
        most = max((max(row.counts) for row in self.density.rows if row.kind == "strip" and not row.note), default=1)
        levels: list[list[list[tuple[float, float]]]] = [[] for _ in range(_LEVELS)]
        for k, row in enumerate(self.density.rows):
            low = y - _HEIGHTS[row.kind]
            if row.kind == "strip":
                self._name(page, left, (low + y) / 2, row.title)
                for first, end, count in _runs(row.counts):
                    level = min(_LEVELS - 1, int(count / most * _LEVELS))
                    levels[level].append(rectangle(left + first * step, low + 0.6, left + end * step, y - 0.6))
            else:
                if k and row.kind == "service":
                    page.segments([((8.0, y), (right, y))], t.rule, 0.8)
                self._bars(page, row, left, low, y, step)
            y = low
        for level, shapes in enumerate(levels):
            alpha = round(255 * (0.35 + 0.65 * level / (_LEVELS - 1)))
            page.polygons(shapes, f"{t.run}{alpha:02x}", 2)
        self._axis(page, left, right, y)
        self._lens(page, left, right, top, y, step)

    def _name(self, page: Page, left: float, y: float, title: str) -> None:
        page.fixed(left - 8, y, title, page.theme.faint, "right", size=_TINY)

    def _bars(self, page: Page, row: Row, left: float, low: float, high: float, step: float) -> None:
        t = page.theme
        lines = [title for title in row.note if title]
        page.fixed(left - 8, high - 9, fit(clean(row.title), left - 12, True, 8.5), t.ink, "right", bold=True)
        height = max((extent(text, size=SMALL)[1] for text in lines), default=0.0)  # Chinese letters are higher
        for k, text in enumerate(lines):
            y = high - 14.5 - height / 2 - max(9.5, height + 0.5) * k
            if y - 1 > low:
                page.fixed(left - 8, y, fit(text, left - 12), t.faint, "right", size=SMALL)
        most, room = max(row.counts) or 1, high - low - 6
        bars = [
            rectangle(left + first * step, low + 1, left + end * step, low + 1 + room * count / most)
            for first, end, count in _runs(row.counts)
        ]
        page.polygons([rectangle(left, low, left + len(row.counts) * step, high)], t.band, 0)
        page.polygons(bars, t.run if row.kind == "service" else t.socket, 2)
        deepest = max(row.waiting, default=0)
        if deepest:
            points: list[tuple[float, float]] = []
            for k, length in enumerate(row.waiting):
                y = low + 1 + room * length / deepest
                points += [(left + k * step, y), (left + (k + 1) * step, y)]
            page.segments([points], t.socket, 0.9, zorder=3)
        base = low + 3.5
        page.markers([(left + (k + 0.5) * step, base) for k in sorted(set(row.marks))], "d", t.ink, 4.5)
        page.markers([(left + (k + 0.5) * step, high - 5) for k in sorted(set(row.errors))], "X", t.failed, 6.5)

    def _axis(self, page: Page, left: float, right: float, y: float) -> None:
        t, d = page.theme, self.density
        span = d.last - d.first
        scale, unit = in_unit(span) if self.unit == "s" else (1.0, word("fig.ticks") if self.unit == "tick" else "")
        ticks = []
        for value in MaxNLocator(10, steps=[1, 2, 5, 10]).tick_values(d.first * scale, d.last * scale):
            x = left + (right - left) * (value / scale - d.first) / (span or 1.0)
            if left - 1 <= x <= right + 1 and page.fixed(x, y - 11, f"{value:.10g}", t.faint, size=SMALL):
                ticks.append(((x, y), (x, y - 3.5)))
        page.segments(ticks, t.rule, 0.8)
        axis = word("fig.axis.times", unit=unit) if unit else word("fig.axis.numbers")
        words = word("fig.axis.over", axis=axis)
        page.fixed((left + right) / 2, y - 24, fit(words, right - left), t.faint, size=SMALL)

    def _lens(self, page: Page, left: float, right: float, top: float, bottom: float, step: float) -> None:
        """What is enlarged, and two lines to where it is shown."""
        t, d = page.theme, self.density
        first, end = self.close
        x0 = left + d.column(first) * step
        x1 = left + (d.column(max(first, end - 1)) + 1) * step
        page.segments([((x0, top), (x0, bottom)), ((x1, top), (x1, bottom))], t.ink, 0.8, zorder=4)
        page.polygons([rectangle(x0, bottom, x1, top)], f"{t.ink}22", 1.5)
        foot, neck = top - self.height + 4, bottom - 32
        page.segments([((x0, neck), (left, foot)), ((x1, neck), (right, foot))], t.faint, 0.8, (0, (2, 2)), 1)
        words = word("fig.enlarged", first=first, last=end - 1)
        page.fixed((left + right) / 2, foot + 14, words, t.ink, size=SMALL, bold=True)


def _runs(counts: list[int]) -> list[tuple[int, int, int]]:
    """Equal neighbours as one: first column, end, count; without the empty ones."""
    runs: list[tuple[int, int, int]] = []
    for k, count in enumerate(counts):
        if count and runs and runs[-1][1:] == (k, count):
            runs[-1] = (runs[-1][0], k + 1, count)
        elif count:
            runs.append((k, k + 1, count))
    return runs


def in_unit(span: float) -> tuple[float, str]:
    """How seconds are written: factor and unit."""
    return (1.0, "s") if span >= 10 else (1e3, "ms") if span >= 0.01 else (1e6, "µs")


def _number(n: int, what: str) -> str:
    return word(f"fig.n.{what}.one" if n == 1 else f"fig.n.{what}", n=f"{n:,}".replace(",", " "))
