"""Draws a story: lanes become rows, moments columns, and labels search for places.

One idea: what there is to draw comes from story.py, where it stands from layout.py, and
labels.py finds places for words that touch no others; the page itself is in figure.py.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

from .figure import SIZE, SMALL, TITLE, Page, Theme, Timeline, clean, extent, fit, rectangle
from .forms import word
from .labels import Box, Label, Point, Wishes, along, around, beside, under
from .lanes import FOLDED, LaneKey
from .layout import BOTTOM, LEFT, Columns, Rows
from .overview import Overview, in_unit
from .reader import Arrow, Mark, Stretch
from .story import Story

_BAR = 11.0  # height of a running coroutine
_MAX_LABELS = 1200
_MAX_HEADS = 4000
_TAGS = ("#0c8599", "#b35c00", "#7048e8", "#2b8a3e")  # bands of trace tags, legible on both grounds

_MARKS = {
    "push": ("o", "socket", 0.75), "message": ("o", "socket", 0.9), "command": ("o", "socket", 0.8),
    "ready": ("D", "socket", 0.8), "set": ("o", "faint", 0.7), "fired": ("D", "faint", 0.8),
    "client": ("o", "ink", 0.8), "write": ("o", "socket", 0.6), "mark": ("d", "ink", 0.85),
    "skip": ("X", "wakeup", 1.0), "exit": ("X", "ink", 1.0), "driver": ("|", "ink", 0.0),
    "wakeup": ("|", "wakeup", 0.0),
    "yield": ("s", "stop", 0.9), "error": ("X", "failed", 1.25), "resume": (">", "resume", 1.1),
}  # fmt: skip
"""Marks in the order in which they are drawn: shape, colour of the theme, size."""
_LEGEND = (
    "run", "resume", "yield", "error", "parked", "due", "pool", "queued", "tag", "mark", "driver", "command", "ready",
    "set", "fired", "skip", "clock",
)  # fmt: skip


class Drawing:
    """One timeline on its page. `figsize`: inches, and more if the rows need more.

    `clock`: the time of each event and its unit, for an axis of time. `overview`: what is drawn above the rows.
    """

    def __init__(
        self, story: Story, title: str, theme: Theme, figsize: tuple[float, float] | None,
        clock: tuple[list[float], str] | None, overview: Overview | None = None,
    ) -> None:  # fmt: skip
        self.story, self.theme, self.overview, self.clock = story, theme, overview, clock
        self.title = clean(title, limit=120)
        self.lines = [x for x in story.lines if not (x.clock and clock)]  # the axis tells the ticks
        width, height = (figsize[0] * 72, figsize[1] * 72) if figsize else (None, None)
        self.columns = Columns(story, width, 860 if overview and not figsize else 60, clock and clock[0])
        self.x, self.pitch, self.width = self.columns.x, self.columns.pitch, self.columns.width
        self.right = self.columns.right
        self.legend = self._legend()
        self.header = self._header_height() + (overview.height if overview else 0.0)
        self.rows = Rows(story.lanes, self.header, self.width, height)
        self.y, self.row, self.height = self.rows.y, self.rows.row, self.rows.height
        self.marker = max(2.4, min(7.5, self.pitch * 0.55, self.row * 0.22))
        self.bar = min(_BAR, self.row * 0.3)
        self.page = Page(self.width, self.height, theme)
        self.placer = self.page.placer
        self.labels: list[Label] = []

    def draw(self) -> Timeline:
        self._background()
        self._lines()
        self._stretches()
        self._marks()
        self._arrows()
        self._place_labels()
        return self.page.figure

    # ---- page

    def _legend(self) -> list[list[tuple[str, str, float]]]:
        """What occurs in the picture, in words: rows of kind, text and width."""
        found = {m.kind for m in self.story.marks} | {s.kind for s in self.story.stretches}
        found |= {"clock" for x in self.lines if x.clock}
        entries = [(kind, word(f"fig.legend.{kind}")) for kind in _LEGEND if kind in found]
        rows: list[list[tuple[str, str, float]]] = []
        room = 0.0
        for kind, text in entries:
            width = 34.0 + extent(text, size=SMALL)[0]
            if width > room:
                rows.append([])
                room = self.width - 32
            rows[-1].append((kind, text, width))
            room -= width
        return rows[:3]

    def _header_height(self) -> float:
        first = sum(width for _, _, width in self.legend[0]) if self.legend else 0.0
        beside = not self.title or extent(self.title, False, True, TITLE)[0] <= self.width - 32 - first
        self.beside = beside and len(self.legend) < 2  # the title, in one row with it
        return (38.0 if self.beside else 40.0 + 14.0 * len(self.legend)) + (12.0 if self.lines else 0.0)

    def _background(self) -> None:
        t, page = self.theme, self.page
        bands = list(self.rows.band.values())
        page.polygons([rectangle(LEFT, low, self.right, high) for low, high in bands[::2]], t.band, 0)
        title = fit(self.title, self.width - 32, True, TITLE) if self.title else ""
        if title:
            page.fixed(16, self.height - 20, title, t.ink, "left", bold=True, size=TITLE)
        self._draw_legend()
        if self.overview:
            above = self.header - self.overview.height - (12.0 if self.lines else 0.0)
            self.overview.draw(page, self.height - above, LEFT, self.right)
        if not self.story.lanes:
            middle = (self.height - self.header + BOTTOM) / 2
            page.fixed((LEFT + self.right) / 2, middle, word("fig.nothing"), t.faint)
        self._names()
        if self.clock is None:
            self._axis()
        else:
            self._time_axis(*self.clock)

    def _draw_legend(self) -> None:
        t, page = self.theme, self.page
        y = self.height - (20 if self.beside else 40)
        for row in self.legend:
            x = self.right - sum(width for _, _, width in row) + 12
            for kind, text, width in row:
                if kind in _MARKS:
                    self._symbol(kind, [(x + 8, y)], 6.0, 8.0)
                elif kind == "run":
                    page.polygons([rectangle(x, y - 3.5, x + 15, y + 3.5)], t.run)
                elif kind == "clock":
                    page.segments([((x + 8, y - 5), (x + 8, y + 5))], t.faint, 0.9, (0, (1, 2)))
                else:
                    colour, thick, dash = (_TAGS[0], 2.6, "solid") if kind == "tag" else self._line(kind)
                    page.segments([((x - 2, y), (x + 15, y))], colour, thick, dash)
                if kind == "queued":
                    self._symbol("push", [(x - 1, y)], 4.2)
                    self._symbol("message", [(x + 13, y)], 4.8)
                page.fixed(x + 20, y, text, t.faint, "left", size=SMALL)
                x += width
            y -= 14

    def _line(self, kind: str) -> tuple[str, float, Any]:
        """How a stretch is drawn that is no bar: colour, width, dashes."""
        t = self.theme
        return {
            "parked": (t.faint, 1.2, (0, (3.2, 2.2))), "pool": (t.faint, 1.2, (0, (0.9, 3.2))),
            "due": (t.wakeup, 2.0, "solid"), "queued": (t.socket, 1.6, "solid"),
            "pending": (t.rule, 1.0, "solid"),  # timers overlap, and dashes would fill each other
        }[kind]  # fmt: skip

    def _symbol(self, kind: str, points: list[Point], size: float, tall: float = 0.0) -> None:
        """Marks of one kind; ticks are as high as a bar."""
        shape, colour, _ = _MARKS[kind]
        if shape == "|":
            ticks = [((x, y - tall / 2), (x, y + tall / 2)) for x, y in points]
            self.page.segments(ticks, getattr(self.theme, colour), 1.0, zorder=4)
        else:
            self.page.markers(points, shape, getattr(self.theme, colour), size, hollow=kind == "push")

    def _names(self) -> None:
        t = self.theme
        rules = []
        last_title = self.height
        for k, lane in enumerate(self.story.lanes):
            low, high = self.rows.band[lane.key]
            y = self.y[lane.key]
            title, size = clean(lane.title), SIZE
            if lane.kind == "folded" and extent(title, False, True, SIZE)[0] > LEFT - 12:
                title = re.sub(r" \S+:[0-9a-f]{8}", "", title)  # of several nodes; the lanes about it tell which
            title = fit(title, LEFT - 12, True, SIZE)
            with_note = bool(lane.note) and high - low >= 26
            if lane.kind == "mailbox" and not with_note:
                title, size = _service(clean(lane.note)), SMALL  # whose it is matters more than what it is
            if last_title - y >= 11:
                self.page.fixed(
                    LEFT - 8, y + (6 if with_note else 0), title, t.ink, "right", bold=size == SIZE, size=size
                )
                last_title = y
            if with_note:
                self.page.fixed(LEFT - 8, y - 6, _service(clean(lane.note)), t.faint, "right", size=SMALL)
            if k and (lane.key[0] != self.story.lanes[k - 1].key[0]):
                rules.append(((8.0, high), (self.right, high)))
        self.page.segments(rules, t.rule, 0.8)

    def _axis(self) -> None:
        """Event numbers under their columns, as many as there is room for."""
        t = self.theme
        ticks, edge, bottom = [], 0.0, self.rows.floor
        for moment, x in zip(self.columns.moments, self.columns.xs, strict=True):
            width = extent(str(moment), size=SMALL)[0] if x >= edge else 0.0
            if width and x - width / 2 >= edge:
                self.page.fixed(x, bottom - 11, str(moment), t.faint, size=SMALL)
                ticks.append(((x, bottom), (x, bottom - 3.5)))
                edge = x + width / 2 + 3
        self.page.segments(ticks, t.rule, 0.8)
        self._axis_words(word("fig.axis.event"))

    def _time_axis(self, clock: list[float], unit: str) -> None:
        """Under the columns of one moment a brace, and its time."""
        t, bottom, edge, seconds = self.theme, self.rows.floor, 0.0, unit == "s"
        columns = zip(self.columns.xs, self.columns.moments, strict=True)
        moments = [(time, [x for x, _ in same]) for time, same in groupby(columns, key=lambda column: clock[column[1]])]
        first, last = (moments[0][0], moments[-1][0]) if moments else (0.0, 0.0)
        scale, unit = in_unit(last - first) if seconds else (1.0, word("fig.ticks"))
        places = max(0, 4 - len(str(int(last * scale)))) if seconds else 0
        braces = []
        for time, xs in moments:
            left, right = xs[0] - min(4.0, self.pitch * 0.4), xs[-1] + min(4.0, self.pitch * 0.4)
            braces.append([(left, bottom), (left, bottom - 3.5), (right, bottom - 3.5), (right, bottom)])
            text = f"{time * scale:.{places}f}"
            width, middle = extent(text, size=SMALL)[0], (left + right) / 2
            if middle - width / 2 >= edge and self.page.fixed(middle, bottom - 12, text, t.faint, size=SMALL):
                edge = middle + width / 2 + 3
        self.page.segments(braces, t.faint, 0.8)
        self._axis_words(word("fig.axis.seconds" if seconds else "fig.axis.time", unit=unit))

    def _axis_words(self, words: str) -> None:
        if self.story.hidden and not self.overview:
            words = word("fig.axis.hidden", axis=words, n=self.story.hidden)
        words = fit(words, self.right - LEFT)
        self.page.fixed((LEFT + self.right) / 2, self.rows.floor - 29, words, self.theme.faint, size=SMALL)

    # ---- shapes

    def _lines(self) -> None:
        top, low = self.height - self.header, self.rows.floor
        self.page.segments([((self.x(x.at), low), (self.x(x.at), top)) for x in self.lines], self.theme.rule, 0.9,
                           (0, (1, 2)), 1)  # fmt: skip
        for line in self.lines:
            colour = self.theme.faint if line.clock else self.theme.ink
            self._want(6, line.at, line.label, colour, around(self.x(line.at), (top + 7,), (0.0,)), size=SMALL)

    def _stretches(self) -> None:
        t, page = self.theme, self.page
        bars: dict[str, list[Any]] = {"run": [], "work": []}
        lines: dict[str, list[Any]] = {"parked": [], "queued": [], "pending": [], "pool": [], "due": []}
        tags = list(dict.fromkeys(s.label for s in self.story.stretches if s.kind == "tag"))
        for s in self.story.stretches:
            y = self.y[s.lane]
            x0, x1 = self.x(s.start), self.x(s.stop, after=True)
            if s.kind in bars:
                half = self.bar / (2 if s.kind == "run" and s.lane[1] != FOLDED else 4)
                # The socket server is done before the message is in the mailbox.
                end = max(x1 - (self.pitch * 0.35 if s.kind == "work" else 0.0), x0 + 1)
                bars[s.kind].append(rectangle(x0, y - half, end, y + half))
                self.placer.avoid((x0, y - half, end, y + half), 30)
                continue
            if s.kind == "tag":
                self._tag(s, x0, x1, y, _TAGS[tags.index(s.label) % len(_TAGS)])
                continue
            lines[s.kind].append(((x0, y), (x1, y)))
            self.placer.avoid_line(x0, y, x1, y, 8)
            if s.kind in ("parked", "due", "pool", "pending"):
                self._want_along(s, x0, x1, y)
        page.polygons(bars["run"], t.run)
        page.polygons(bars["work"], t.socket)
        for kind, segments in lines.items():
            page.segments(segments, *self._line(kind))

    def _tag(self, s: Stretch, x0: float, x1: float, y: float, colour: str) -> None:
        """A band under the coroutine for as long as it works under a trace tag."""
        low = y - self.bar / 2 - 4.0
        self.page.polygons([rectangle(x0, low, max(x1, x0 + 1), low + 2.6)], colour)
        self.placer.avoid((x0, low, x1, low + 2.6), 20)
        self._want(4, x0, s.label, colour, under(x0, x1, low - 1), mono=True, size=SMALL, lane=s.lane)

    def _marks(self) -> None:
        size = self.marker
        kinds: dict[str, list[Point]] = {}
        for m in self.story.marks:
            x, y = self.x(m.at), self.y[m.lane]
            kinds.setdefault(m.kind, []).append((x, y))
            if m.kind not in ("driver", "wakeup", "state"):
                self.placer.avoid((x - size / 2, y - size / 2, x + size / 2, y + size / 2), 25)
            if m.label:
                self._want_mark(m, x, y)
        for kind, (_, _, scale) in _MARKS.items():
            self._symbol(kind, kinds.get(kind, []), size * scale, self.bar)

    def _colour(self, kind: str) -> str:
        t = self.theme
        return {
            "dispatch_wakeup": t.resume,
            "wakeup": t.wakeup,
            "failed": t.failed,
            "timer": t.faint,
            "wire": t.socket,
        }.get(kind, t.ink)

    def _arrows(self) -> None:
        by_style: dict[tuple[str, bool], tuple[list[Any], list[Any]]] = {}
        head = min(6.5, max(2.0, self.pitch * 0.5), self.row * 0.2)
        for a in self.story.arrows:
            tip, tail = self._ends(a)
            shafts, heads = by_style.setdefault((self._colour(a.kind), a.kind == "wakeup"), ([], []))
            triangle, neck = _head(tail, tip, head)
            shafts.append((tail, neck))
            if len(heads) < _MAX_HEADS:
                heads.append(triangle)
            self.placer.avoid_line(*tail, *tip, 9)
            xs, ys = zip(*triangle, strict=True)
            self.placer.avoid((min(xs), min(ys), max(xs), max(ys)), 25)
            if a.label:
                self._want_arrow(a, tail, tip)
        for (colour, dashed), (shafts, heads) in by_style.items():
            # Thousands of arrows become a veil through which the rows are seen.
            faded = colour + f"{round(255 * min(1.0, max(0.12, self.pitch / 8))):02x}"
            width = 1.05 if self.pitch > 5 else 0.5
            self.page.segments(shafts, faded, width, (0, (3, 1.8)) if dashed else "solid", 3)
            self.page.polygons(heads, faded, 3.4)

    def _ends(self, a: Arrow) -> tuple[Point, Point]:
        """Tip and tail, a little away from what they point at."""
        x0, y0, x1, y1 = self.x(a.since), self.y[a.source], self.x(a.at), self.y[a.target]
        up = 1 if y1 > y0 else -1
        gap = self.marker / 2 + 1.5
        tail_gap = self.bar / 2 if a.kind in ("driver", "wakeup", "send", "timer", "fork", "write") else gap
        tip_gap = 2.0 if a.kind == "wakeup" else gap + (1 if a.kind == "dispatch" else 0)
        if abs(y1 - y0) <= tail_gap + tip_gap:
            return (x1, y1), (x0, y0)
        return (x1, y1 - up * tip_gap), (x0, y0 + up * tail_gap)

    # ---- labels

    def _want(
        self, weight: int, order: float, text: str | tuple[str, ...], colour: str,
        boxes: Wishes, *, mono: bool = False, size: float = SIZE, lane: LaneKey | None = None,
    ) -> None:  # fmt: skip
        texts = (text,) if isinstance(text, str) else text
        self.labels.append(Label(weight, order, texts, colour, boxes, mono, size, lane))

    def _want_along(self, s: Stretch, x0: float, x1: float, y: float) -> None:
        weight = {"parked": 5, "due": 4, "pool": 1, "pending": 2}[s.kind]
        texts = tuple(dict.fromkeys((s.label, s.short or s.label)))
        boxes = along(x0, x1, y, self.marker)
        colour = self.theme.wakeup if s.kind == "due" else self.theme.faint
        self._want(weight, x0, texts, colour, boxes, size=SMALL, lane=s.lane)

    def _want_mark(self, m: Mark, x: float, y: float) -> None:
        t, half = self.theme, self.bar / 2
        over, under = y + half + 6, y - half - 6
        # The higher of two rows over the bar still lies within a row of usual height.
        heights = {"yield": (under, under - 7, under - 12, over), "error": (under, under - 7, under - 12, over)}.get(
            m.kind, (over, over + 6, over + 12, under, under - 12)
        )
        weight, colour, size = {
            "yield": (8, t.stop, SMALL), "error": (9, t.failed, SMALL), "resume": (3, t.ink, SMALL),
            "mark": (9, t.ink, SMALL), "state": (6, t.faint, SMALL), "skip": (7, t.wakeup, SMALL),
        }.get(m.kind, (6, t.ink, SIZE))  # fmt: skip
        shifts = (0.55, 0.3, 0.0) if m.kind == "resume" else (0.0, 0.45, -0.45, 0.25, -0.25, 0.55, -0.55)
        text = m.label.replace("\n", " ")
        boxes = around(x, heights, shifts)
        self._want(weight, m.at, text, colour, boxes, mono=m.kind == "yield", size=size, lane=m.lane)

    def _want_arrow(self, a: Arrow, tail: Point, tip: Point) -> None:
        weights = {"driver": 7, "socket": 9, "dispatch": 4, "wakeup": 8, "dispatch_wakeup": 8, "failed": 8}
        size = SMALL if a.kind in ("dispatch", "wakeup") else SIZE  # the most frequent of all, and the longest
        upper, lower = sorted((self.rows.band[a.source], self.rows.band[a.target]), reverse=True)
        touch = upper[0] - lower[1] < 1
        own = [(lower[0], upper[1])] if touch else [upper, lower]
        boxes = beside(tail, tip, own, only=a.kind == "dispatch")
        self._want(weights.get(a.kind, 6), a.at, a.label, self._colour(a.kind), boxes, size=size)

    def _place_labels(self) -> None:
        if self.pitch < 1.5:
            self.labels = [label for label in self.labels if label.weight >= 8]
        self.labels.sort(key=lambda label: (-label.weight, label.order, label.texts))
        for label in self.labels[:_MAX_LABELS]:
            for words in label.texts:
                text = "\n".join(clean(line, label.mono) for line in words.split("\n"))
                boxes = label.boxes(*extent(text, label.mono, False, label.size)) if text else []
                box = self.placer.place(boxes, label.limit, self._home(label.lane))
                if box is not None:
                    # Over lines, but under what they end at: a label takes the head of no arrow.
                    self._hide(box)
                    self.page.text(box, text, label.colour, mono=label.mono, size=label.size)
                    break

    def _hide(self, box: Box) -> None:
        """Fade what lies under a label, row by row, so each row keeps its colour."""
        for k, (low, high) in enumerate(self.rows.band.values()):
            low, high = max(low, box[1]), min(high, box[3])
            if low < high:
                ground = self.theme.page if k % 2 else self.theme.band
                self.page.polygons([rectangle(box[0], low, box[2], high)], ground + "d1", 3.2)

    def _home(self, lane: LaneKey | None) -> Box:
        """Where a label may stand: beside the names of the rows, and in its own row if that can hold it."""
        low, high = 0.0, self.height - (self.header - 14 if self.overview else 0.0)
        if lane is not None and self.row >= 36:
            low, high = self.rows.band[lane]
        return LEFT - 6, low, self.right, high


def _head(tail: Point, tip: Point, size: float) -> tuple[list[Point], Point]:
    """The triangle of an arrow, and the point where its shaft ends."""
    dx, dy = tip[0] - tail[0], tip[1] - tail[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    dx, dy = dx / length, dy / length
    neck = (tip[0] - dx * size, tip[1] - dy * size)
    side = size * 0.38
    return [tip, (neck[0] - dy * side, neck[1] + dx * side), (neck[0] + dy * side, neck[1] - dx * side)], neck


def _service(text: str) -> str:
    """A name and an address in the room beside a lane: of two services of one name only the end tells."""
    found = re.fullmatch(r"(.*?)( \S*)?(:[0-9a-f]{8}.*)", text)
    if found is None or extent(text, size=SMALL)[0] <= LEFT - 12:
        return fit(text, LEFT - 12)
    end = f" {found[3]}"  # without its node, which the lanes about it tell, too
    return fit(found[1], LEFT - 12 - extent(end, size=SMALL)[0]) + end
