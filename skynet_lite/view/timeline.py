"""The timeline: one row for each coroutine, green where it is resumed, red where it yields.

One idea: what there is to draw comes from story.py as moments in lanes; this file
gives each moment its column and each lane its row, and lets the labels search for
places that touch no other (place.py). The page itself is in figure.py.

A moment stands at its column: only events that are drawn have one, so the picture
has no empty stretches however much bookkeeping lies between two events. By time,
columns move apart where time passes. A run too long for columns is drawn as an
overview (density.py) with one stretch of it enlarged below.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import TYPE_CHECKING, Any

from ..trace.language import speaking
from .density import DENSE, DRAWN, Density, Overview, in_unit
from .figure import DARK, LIGHT, SIZE, SMALL, TITLE, Page, Timeline, around, clean, extent, fit, legible, rectangle
from .forms import count, word
from .lanes import FOLDED, Lane, LaneKey, Services, selected
from .place import Box
from .reader import Arrow, Mark, Stretch
from .story import Story, times, window
from .words import describe

if TYPE_CHECKING:
    from ..trace import Trace
    from .figure import Theme

_LEFT, _RIGHT, _BOTTOM = 112.0, 18.0, 42.0
_BAR = 11.0  # height of a running coroutine
_STRIP = 2.5  # width of a column of the overview
_MAX_LABELS = 1200
_MAX_HEADS = 4000
_TALE = 60  # sentences of the alt text
_TAGS = ("#0c8599", "#b35c00", "#7048e8", "#2b8a3e")  # bands of trace tags, legible on both grounds
_CLOSE_LANES = 20  # coroutines that get a row where a stretch is enlarged


def timeline(
    trace: Trace, *, services: Services | None = None, start: int = 0, stop: int | None = None, by: str = "event",
    fold: bool | Services = True, overview: bool | tuple[int, int] | None = None, title: str | None = None,
    dark: bool = False, figsize: tuple[float, float] | None = None, max_lanes: int = 120, lang: str | None = None,
) -> Timeline:  # fmt: skip
    """Draw a trace: who ran, who waited for what, and what brought each coroutine back.

    `services`: None for those of the user's program (the services that every node
    boots are left out), "all", or an address or name, or several. `start`, `stop`:
    event numbers as `trace.text()` prints them, as in a slice; a part of a trace
    (`trace[10:40]`, `trace.only(...)`, `trace.around(...)`) draws just that part.
    `by`: "event", or "time", which pulls apart what did not happen at one moment.
    `fold`: services that get one thin row each, by address or name; True for those
    of which no coroutine does anything here, False for none.
    `overview`: a run of more than 1500 events to be drawn is drawn as counts, with
    its busiest stretch enlarged below; True or False decides it, and a pair of event
    numbers says which stretch is enlarged.
    `figsize`: inches, and more if the rows need more. `max_lanes`: how many
    coroutines get a row; the picture says how many did not.
    `lang`: "en", "zh", or that of the process; where no font has its letters the
    picture is in English, and its alt text in the language that was wished.
    Raises ValueError for a service that the trace does not know, for times of a
    recording that has none, and for a language that is not there.
    """
    with speaking(lang) as wished, speaking(legible(wished)):
        return _timeline(trace, services, start, stop, by, fold, overview, title, dark, figsize, max_lanes, wished)


def _timeline(
    trace: Trace, services: Services | None, start: int, stop: int | None, by: str, fold: bool | Services,
    overview: bool | tuple[int, int] | None, title: str | None, dark: bool, figsize: tuple[float, float] | None,
    max_lanes: int, lang: str,
) -> Timeline:  # fmt: skip
    if by not in ("event", "time"):
        raise ValueError(f"by={by!r} is no axis: 'event' or 'time'")
    theme = DARK if dark else LIGHT
    clock = times(trace) if by == "time" else None
    shown, span = selected(trace, services), window(trace, start, stop)
    if overview is None:
        events = trace.whole.events
        drawn = (e for e in (events[i] for i in span) if e["e"] in DRAWN)
        overview = sum(e.get("service", "") in shown or "service" not in e for e in drawn) > DENSE
    if not overview or not span:
        story = Story(trace, services, start, stop, max_lanes, fold=fold)
        return _Drawing(trace, story, shown, theme, title, figsize, clock, lang=lang).draw()
    where = clock[0] if clock else range(len(trace.whole.events))
    width = (figsize[0] * 72 if figsize else 980.0) - _LEFT - _RIGHT
    density = Density(trace, shown, span, where, max(1, int(width / _STRIP)))
    first, end = overview if isinstance(overview, tuple) else density.busiest()
    first, end = max(span.start, first), min(span.stop, end)
    acting = [e for e in trace.whole.events[first:end] if e["e"] in DRAWN and e.get("service") in shown]
    lanes = len({(e["service"], e["co"]) for e in acting if e["e"] in ("resume", "yield")})
    story = Story(trace, {e["service"] for e in acting}, first, end, min(lanes, _CLOSE_LANES), fold=fold)
    over = Overview(density, clock[1] if clock else "event", (first, end))
    return _Drawing(trace, story, shown, theme, title, figsize, clock, over, lang).draw()


@dataclass(frozen=True)
class _Label:
    """A text that wants a place, or a shorter one in its stead. Higher `weight` goes first, and may cover more."""

    weight: int
    order: float
    texts: tuple[str, ...]
    colour: str
    boxes: Callable[[float, float], list[Box]]
    mono: bool = False
    size: float = SIZE
    lane: LaneKey | None = None  # it stays in this row, if the row is high enough

    @property
    def limit(self) -> float:
        """What it may cover: beside an arrow little more than one other line."""
        return 6.0 + 3.0 * self.weight if self.lane is not None else 6.0 + 1.5 * self.weight


class _Drawing:
    def __init__(
        self, trace: Trace, story: Story, shown: set[str], theme: Theme, title: str | None,
        figsize: tuple[float, float] | None, clock: tuple[list[float], str] | None, overview: Overview | None = None,
        lang: str = "en",
    ) -> None:  # fmt: skip
        self.trace, self.shown, self.lang = trace, shown, lang
        self.story, self.theme, self.overview = story, theme, overview
        self.clock = clock[0] if clock is not None else None
        self.unit = clock[1] if clock is not None else "event"
        names = [f"{story.names[s]} {s}".strip() if story.names[s] != s else s for s in sorted(shown)]
        default = word("fig.comma").join(names[:3]) + (word("fig.and_more", n=len(names) - 3) if names[3:] else "")
        self.title = clean((trace.whole.origin or default) if title is None else title, limit=120)
        self.lines = [x for x in story.lines if not (x.clock and clock)]  # the axis tells the ticks
        steps, rows = self._steps(), max(1, len(story.lanes))
        width = figsize[0] * 72 if figsize else self._width(sum(steps))
        self.width = max(width, _LEFT + _RIGHT + (860 if overview and not figsize else 60))
        self.legend = self._legend()
        self.header = self._header_height() + (overview.height if overview else 0.0)
        shares = sum(self._share(lane) for lane in story.lanes) or 1.0
        if figsize:
            self.height = max(figsize[1] * 72, self.header + _BOTTOM + 4 * rows)
        else:
            self.height = self.header + _BOTTOM + shares * min(60.0, max(14.0, max(600.0, 0.45 * self.width) / rows))
        self.row = (self.height - self.header - _BOTTOM) / shares
        self.pitch = (self.width - _LEFT - _RIGHT) / sum(steps)
        self.column_x = [_LEFT + self.pitch * total for total in accumulate(steps)][:-1]
        self.marker = max(2.4, min(7.5, self.pitch * 0.55, self.row * 0.22))
        self.bar = min(_BAR, self.row * 0.3)
        self.y: dict[LaneKey, float] = {}
        self.bands: list[tuple[float, float]] = []
        self.band: dict[LaneKey, tuple[float, float]] = {}
        top = self.height - self.header
        for lane in story.lanes:
            height = self.row * self._share(lane)
            self.y[lane.key] = top - height / 2
            self.bands.append((top - height, top))
            self.band[lane.key] = self.bands[-1]
            top -= height
        self.page = Page(self.width, self.height, theme)
        self.placer = self.page.placer
        self.labels: list[_Label] = []

    @staticmethod
    def _width(columns: float) -> float:
        """Wide enough to label few events well, and never wider than a page can show."""
        return _LEFT + _RIGHT + max(560.0, min(46.0 * columns, max(920.0, 16.0 * columns), 2400.0))

    @staticmethod
    def _share(lane: Lane) -> float:
        return {"coroutine": 1.0, "socket": 0.95, "folded": 0.46}.get(lane.kind, 0.7)

    def _steps(self) -> list[float]:
        """From the left edge to the first column, from column to column, and to the right edge.

        Even steps, with more room behind a wakeup: its two-line label stands there. By
        time the steps to another moment are longer, in proportion to the time between.
        """
        columns = self.story.columns
        wakeups = {a.at for a in self.story.arrows if a.kind == "wakeup"}
        wide = min(2.8, max(1.4, len(columns) / 14))  # about as many points, however many columns share the page
        steps = [1.0, *(wide if moment in wakeups else 1.0 for moment in columns)]
        late = any(a.kind in ("dispatch_wakeup", "failed") and a.at in columns[-2:] for a in self.story.arrows)
        steps[-1] = 3.0 if late else 1.6  # for the labels at the last columns
        if self.clock is not None and columns:
            passed = [max(0.0, self.clock[b] - self.clock[a]) for a, b in pairwise(columns)]
            room = max(8.0, 0.6 * len(columns)) / (sum(passed) or 1.0)
            for k, time in enumerate(passed, 1):
                steps[k] += room * time
        return steps

    def x(self, moment: int | None, after: bool = False) -> float:
        """Where a moment stands; between two columns if it has none of its own."""
        if moment is None:
            return self.width - _RIGHT if after else _LEFT
        columns = self.story.columns
        k = bisect.bisect_left(columns, moment)
        if k < len(columns) and columns[k] == moment:
            return self.column_x[k]
        before = self.column_x[k - 1] if k else _LEFT
        behind = self.column_x[k] if k < len(columns) else self.width - _RIGHT
        return (before + behind) / 2

    def draw(self) -> Timeline:
        self._background()
        self._lines()
        self._stretches()
        self._marks()
        self._arrows()
        self._place_labels()
        self._describe()
        return self.page.figure

    # ---- page

    def _legend(self) -> list[tuple[str, str]]:
        """What occurs in the picture."""
        found = {m.kind for m in self.story.marks} | {s.kind for s in self.story.stretches}
        found |= {a.kind for a in self.story.arrows}
        kinds = ("resume", "yield", "parked", "pool", "wakeup", "queued", "tag", "error")
        legend = [(kind, word(f"fig.legend.{kind}")) for kind in kinds if kind in found]
        while legend and self._legend_width(legend) > self.width - 32:
            legend.pop()
        return legend

    @staticmethod
    def _legend_width(legend: list[tuple[str, str]]) -> float:
        return sum(34.0 + extent(text, size=SMALL)[0] for _, text in legend)

    def _header_height(self) -> float:
        room = self.width - 32 - self._legend_width(self.legend)
        self.two_rows = bool(self.title) and extent(self.title, False, True, TITLE)[0] > room
        return (54.0 if self.two_rows else 38.0) + (12.0 if self.lines else 0.0)

    def _background(self) -> None:
        t, page = self.theme, self.page
        page.polygons(
            [rectangle(_LEFT, low, self.width - _RIGHT, high) for low, high in self.bands[::2]], t.band, 0
        )  # fmt: skip
        title = fit(self.title, self.width - 32, True, TITLE) if self.title else ""
        if title:
            page.fixed(16, self.height - 20, title, t.ink, "left", bold=True, size=TITLE)
        self._draw_legend()
        if self.overview:
            above = self.header - self.overview.height - (12.0 if self.lines else 0.0)
            self.overview.draw(page, self.height - above, _LEFT, self.width - _RIGHT)
        if not self.story.lanes:
            middle = (self.height - self.header + _BOTTOM) / 2
            page.fixed((_LEFT + self.width - _RIGHT) / 2, middle, word("fig.nothing"), t.faint)
        self._names()
        if self.clock is None:
            self._axis()
        else:
            self._time_axis(self.clock)

    def _draw_legend(self) -> None:
        t, page = self.theme, self.page
        x = self.width - _RIGHT - self._legend_width(self.legend) + 12
        y = self.height - (40 if self.two_rows else 20)
        for kind, text in self.legend:
            if kind in ("resume", "yield", "error"):
                shape, colour = {"resume": (">", t.resume), "yield": ("s", t.stop), "error": ("X", t.failed)}[kind]
                page.markers([(x + 8, y)], shape, colour, 6.0)
            else:
                colour, width, dash = {
                    "parked": (t.faint, 1.3, (0, (3, 2))), "pool": (t.rule, 1.4, (0, (1, 2.2))),
                    "wakeup": (t.wakeup, 1.3, (0, (3, 2))), "queued": (t.socket, 1.6, "solid"),
                    "tag": (_TAGS[0], 2.6, "solid"),
                }[kind]  # fmt: skip
                page.segments([((x - 2, y), (x + 15, y))], colour, width, dash)
                if kind == "queued":
                    page.markers([(x - 1, y)], "o", t.socket, 4.2, hollow=True)
                    page.markers([(x + 13, y)], "o", t.socket, 4.8)
            page.fixed(x + 20, y, text, t.faint, "left", size=SMALL)
            x += 34 + extent(text, size=SMALL)[0]

    def _names(self) -> None:
        t = self.theme
        rules = []
        last_title = self.height
        for k, lane in enumerate(self.story.lanes):
            y, room = self.y[lane.key], self.bands[k][1] - self.bands[k][0]
            title = fit(clean(lane.title), _LEFT - 12, True, SIZE)
            name, address, end = clean(lane.note).partition(" :")  # of two services of one name only the end tells
            note = fit(name, _LEFT - 12 - extent(address + end, size=SMALL)[0]) + address + end if lane.note else ""
            with_note = bool(note) and room >= 26
            if last_title - y >= 11:
                self.page.fixed(_LEFT - 8, y + (6 if with_note else 0), title, t.ink, "right", bold=True)
                last_title = y
            if with_note:
                self.page.fixed(_LEFT - 8, y - 6, note, t.faint, "right", size=SMALL)
            if k and (lane.key[0] != self.story.lanes[k - 1].key[0]):
                rules.append(((8.0, self.bands[k][1]), (self.width - _RIGHT, self.bands[k][1])))
        self.page.segments(rules, t.rule, 0.8)

    def _axis(self) -> None:
        """Event numbers under their columns, as many as there is room for."""
        t = self.theme
        ticks, edge, bottom = [], 0.0, self._floor()
        for moment, x in zip(self.story.columns, self.column_x, strict=True):
            width = extent(str(moment), size=SMALL)[0] if x >= edge else 0.0
            if width and x - width / 2 >= edge:
                self.page.fixed(x, bottom - 11, str(moment), t.faint, size=SMALL)
                ticks.append(((x, bottom), (x, bottom - 3.5)))
                edge = x + width / 2 + 3
        self.page.segments(ticks, t.rule, 0.8)
        self._axis_words(word("fig.axis.event"))

    def _time_axis(self, clock: list[float]) -> None:
        """Under the columns of one moment a brace, and its time."""
        t, bottom, edge = self.theme, self._floor(), 0.0
        moments = [
            (time, [x for x, _ in columns])
            for time, columns in groupby(
                zip(self.column_x, self.story.columns, strict=True), key=lambda column: clock[column[1]]
            )
        ]
        first, last = (moments[0][0], moments[-1][0]) if moments else (0.0, 0.0)
        scale, unit = in_unit(last - first) if self.unit == "s" else (1.0, word("fig.ticks"))
        places = 0 if self.unit == "tick" else max(0, 4 - len(str(int(last * scale))))
        braces = []
        for time, xs in moments:
            left, right = xs[0] - min(4.0, self.pitch * 0.4), xs[-1] + min(4.0, self.pitch * 0.4)
            braces.append([(left, bottom), (left, bottom - 3.5), (right, bottom - 3.5), (right, bottom)])
            text = f"{time * scale:.{places}f}"
            width, middle = extent(text, size=SMALL)[0], (left + right) / 2
            if middle - width / 2 >= edge and self.page.fixed(middle, bottom - 12, text, t.faint, size=SMALL):
                edge = middle + width / 2 + 3
        self.page.segments(braces, t.faint, 0.8)
        self._axis_words(word("fig.axis.seconds" if self.unit == "s" else "fig.axis.time", unit=unit))

    def _floor(self) -> float:
        return self.bands[-1][0] if self.bands else _BOTTOM

    def _axis_words(self, words: str) -> None:
        if self.story.hidden and not self.overview:
            words = word("fig.axis.hidden", axis=words, n=self.story.hidden)
        words = fit(words, self.width - _LEFT - _RIGHT)
        self.page.fixed((_LEFT + self.width - _RIGHT) / 2, self._floor() - 29, words, self.theme.faint, size=SMALL)

    # ---- shapes

    def _lines(self) -> None:
        top, low = self.height - self.header, self._floor()
        self.page.segments([((self.x(x.at), low), (self.x(x.at), top)) for x in self.lines], self.theme.rule, 0.9,
                           (0, (1, 2)), 1)  # fmt: skip
        for line in self.lines:
            colour = self.theme.faint if line.clock else self.theme.ink
            self._want(6, line.at, line.label, colour, around(self.x(line.at), (top + 7,), (0.0,)), size=SMALL)

    def _stretches(self) -> None:
        t, page = self.theme, self.page
        bars: dict[str, list[Any]] = {"run": [], "work": []}
        lines: dict[str, list[Any]] = {"parked": [], "queued": [], "pending": [], "pool": [], "made": []}
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
            if s.kind in ("parked", "pool", "pending"):
                self._want_along(s, x0, x1, y)
        page.polygons(bars["run"], t.run)
        page.polygons(bars["work"], t.socket)
        page.segments(lines["parked"], t.faint, 1.2, (0, (3.2, 2.2)))
        page.segments(lines["pool"] + lines["made"], t.rule, 1.4, (0, (1, 2.2)))
        page.segments(lines["pending"], t.rule, 1.0)  # solid: timers overlap, and dashes would fill each other
        page.segments(lines["queued"], t.socket, 1.6)

    def _tag(self, s: Stretch, x0: float, x1: float, y: float, colour: str) -> None:
        """A band under the coroutine for as long as it works under a trace tag."""
        low = y - self.bar / 2 - 4.0
        self.page.polygons([rectangle(x0, low, max(x1, x0 + 1), low + 2.6)], colour)
        self.placer.avoid((x0, low, x1, low + 2.6), 20)

        def boxes(width: float, height: float) -> list[Box]:
            room = x1 - x0 - width
            lefts = [x0 + room * at for at in (0.0, 0.5, 1.0)] if room >= 0 else []
            return [(left, low - 1 - height, left + width, low - 1) for left in lefts]

        self._want(4, x0, s.label, colour, boxes, mono=True, size=SMALL, lane=s.lane)

    def _marks(self) -> None:
        t, size = self.theme, self.marker
        kinds: dict[str, list[tuple[float, float]]] = {}
        for m in self.story.marks:
            x, y = self.x(m.at), self.y[m.lane]
            kinds.setdefault(m.kind, []).append((x, y))
            if m.kind not in ("driver", "wakeup", "state"):
                self.placer.avoid((x - size / 2, y - size / 2, x + size / 2, y + size / 2), 25)
            if m.label:
                self._want_mark(m, x, y)
        for kind, shape, colour, scale in (
            ("push", "o", t.socket, 0.75), ("message", "o", t.socket, 0.9), ("command", "o", t.socket, 0.8),
            ("ready", "D", t.socket, 0.8), ("set", "o", t.faint, 0.7), ("fired", "D", t.faint, 0.8),
            ("client", "o", t.ink, 0.8), ("write", "o", t.socket, 0.6), ("mark", "d", t.ink, 0.85),
            ("skip", "X", t.wakeup, 1.0), ("exit", "X", t.ink, 1.0), ("driver", "|", t.ink, 0.8),
            ("wakeup", "|", t.wakeup, 0.8),
            ("yield", "s", t.stop, 0.9), ("error", "X", t.failed, 1.25), ("resume", ">", t.resume, 1.1),
        ):  # fmt: skip
            if shape == "|":
                ticks = [((x, y - self.bar / 2), (x, y + self.bar / 2)) for x, y in kinds.get(kind, [])]
                self.page.segments(ticks, colour, 1.0, zorder=4)
            else:
                self.page.markers(kinds.get(kind, []), shape, colour, size * scale, hollow=kind == "push")

    def _colour(self, kind: str) -> str:
        t = self.theme
        return {"dispatch_wakeup": t.resume, "wakeup": t.wakeup, "failed": t.failed, "timer": t.faint}.get(kind, t.ink)

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
            if a.label:
                self._want_arrow(a, tail, tip)
        for (colour, dashed), (shafts, heads) in by_style.items():
            # Thousands of arrows become a veil through which the rows are seen.
            faded = colour + f"{round(255 * min(1.0, max(0.12, self.pitch / 8))):02x}"
            width = 1.05 if self.pitch > 5 else 0.5
            self.page.segments(shafts, faded, width, (0, (3, 1.8)) if dashed else "solid", 3)
            self.page.polygons(heads, faded, 3)

    def _ends(self, a: Arrow) -> tuple[tuple[float, float], tuple[float, float]]:
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
        boxes: Callable[[float, float], list[Box]], *, mono: bool = False, size: float = SIZE,
        lane: LaneKey | None = None,
    ) -> None:  # fmt: skip
        texts = (text,) if isinstance(text, str) else text
        self.labels.append(_Label(weight, order, texts, colour, boxes, mono, size, lane))

    def _want_along(self, s: Stretch, x0: float, x1: float, y: float) -> None:
        """Over its line, in the middle if that is free."""

        def boxes(width: float, height: float) -> list[Box]:
            room = x1 - x0 - width - self.marker * 2
            if room < 0:
                return []
            left = x0 + self.marker
            return [
                (left + room * at, base, left + room * at + width, base + height)
                for base in (y + 2.0, y - height - 2.0, y - height / 2)
                for at in (0.5, 0.25, 0.75, 0.1, 0.9, 0.0, 1.0)
            ]

        weight = {"parked": 5, "pool": 1, "pending": 2}[s.kind]
        texts = tuple(dict.fromkeys((s.label, s.short or s.label)))
        self._want(weight, x0, texts, self.theme.faint, boxes, size=SMALL, lane=s.lane)

    def _want_mark(self, m: Mark, x: float, y: float) -> None:
        t, half = self.theme, self.bar / 2
        over, under = y + half + 6, y - half - 6
        # The higher of two rows over the bar still lies within a row of usual height.
        heights = {"yield": (under, under - 7, under - 12, over), "error": (under, under - 7, under - 12, over)}.get(
            m.kind, (over, over + 6, over + 12, under, under - 12)
        )
        weight, colour, size = {
            "yield": (8, t.stop, SMALL), "error": (9, t.failed, SMALL), "resume": (3, t.ink, SMALL),
            "mark": (9, t.ink, SMALL), "state": (2, t.faint, SMALL), "skip": (7, t.wakeup, SMALL),
        }.get(m.kind, (6, t.ink, SIZE))  # fmt: skip
        shifts = (0.55, 0.3, 0.0) if m.kind == "resume" else (0.0, 0.45, -0.45, 0.25, -0.25)
        text = m.label.replace("\n", " ")
        boxes = around(x, heights, shifts)
        self._want(weight, m.at, text, colour, boxes, mono=m.kind == "yield", size=size, lane=m.lane)

    def _want_arrow(self, a: Arrow, tail: tuple[float, float], tip: tuple[float, float]) -> None:
        """Beside the shaft, as near to its middle as can be."""

        def boxes(width: float, height: float) -> list[Box]:
            found = []
            for along in (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.12, 0.88):
                x = tail[0] + (tip[0] - tail[0]) * along
                y = tail[1] + (tip[1] - tail[1]) * along
                slope = abs(tip[0] - tail[0]) / (abs(tip[1] - tail[1]) + 0.01)
                away = 3.0 + min(height / 2 * slope, 14.0)
                right = (x + away, y - height / 2, x + away + width, y + height / 2)
                left = (x - away - width, y - height / 2, x - away, y + height / 2)
                found += [right, left]
            return found

        weights = {"driver": 7, "socket": 9, "dispatch": 4, "wakeup": 8, "dispatch_wakeup": 8, "failed": 8}
        size = SMALL if a.kind in ("dispatch", "wakeup") else SIZE  # the most frequent of all, and the longest
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
                    ground = self._ground(box)
                    self.page.text(box, text, label.colour, mono=label.mono, size=label.size, ground=ground)
                    break

    def _ground(self, box: Box) -> str:
        middle = (box[1] + box[3]) / 2
        for k, (low, high) in enumerate(self.bands):
            if low <= middle < high:
                return self.theme.page if k % 2 else self.theme.band
        return self.theme.page

    def _home(self, lane: LaneKey | None) -> Box:
        """Where a label may stand: beside the names of the rows, and in its own row if that can hold it."""
        low, high = 0.0, self.height - (self.header - 14 if self.overview else 0.0)
        if lane is not None and self.row >= 36:
            low, high = self.band[lane]
        return _LEFT - 6, low, self.width - 4, high

    def _describe(self) -> None:
        """One line for those who list pictures, and the alt text: what is to be seen, not yet what it tells."""
        s, figure = self.story, self.page.figure
        columns = len(s.columns)
        resumes = sum(m.kind == "resume" for m in s.marks)
        coroutines = sum(lane.kind == "coroutine" for lane in s.lanes)
        with speaking(self.lang):  # the picture itself may be in English: no font has to have these letters
            titles = [word("alt.row", title=x.title, note=x.note) if x.note else x.title for x in s.lanes[:12]]
            names = word("fig.comma").join(titles) + (word("fig.and_more", n=len(s.lanes) - 12) if s.lanes[12:] else "")
            seen = {"events": count(columns, "event"), "rows": count(len(s.lanes), "row"), "names": names}
            told = word("alt.rows" if names else "alt.rows.none", **seen)
            told += word("alt.told", resumes=count(resumes, "resume"))
            if self.overview:
                d = self.overview.density
                columns, coroutines, resumes = len(d.window), d.coroutines, d.resumes
                first, end = self.overview.close
                told = word(
                    "alt.overview", events=count(columns, "event"), coroutines=count(coroutines, "coroutine"),
                    first=first, last=end - 1, told=told,
                )  # fmt: skip
            figure.summary = word(
                "alt.summary", events=count(columns, "event"), coroutines=count(coroutines, "coroutine"),
                resumes=count(resumes, "resume"),
            )  # fmt: skip
            figure.description = word("alt.title", title=repr(self.title), told=told)
        if not self.overview:
            span, shown, lang = s.window, self.shown, self.lang
            whole = self.trace.whole
            part = self.trace if self.trace is not whole else whole[span.start : span.stop]
            figure.tale = lambda: describe(part, services=shown, limit=_TALE, lang=lang)


def _head(
    tail: tuple[float, float], tip: tuple[float, float], size: float
) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """The triangle of an arrow, and the point where its shaft ends."""
    dx, dy = tip[0] - tail[0], tip[1] - tail[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    dx, dy = dx / length, dy / length
    neck = (tip[0] - dx * size, tip[1] - dy * size)
    side = size * 0.38
    return [tip, (neck[0] - dy * side, neck[1] + dx * side), (neck[0] + dy * side, neck[1] - dx * side)], neck
