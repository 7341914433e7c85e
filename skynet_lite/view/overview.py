"""Draws the counts of a long run: bars for services, strips for coroutines, and what is enlarged below."""

from __future__ import annotations

from .density import Density, Row
from .figure import SMALL, MaxNLocator, Page, clean, extent, fit, rectangle
from .forms import word

_LEVELS = 5  # of shade, in a strip
_TINY = 6.0
_HEIGHTS = {"service": 42.0, "strip": 7.0, "world": 28.0}


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
