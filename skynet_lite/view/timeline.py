"""The timeline: one row for each coroutine, green where it is resumed, red where it yields.

One idea: the page is drawn in points, one unit of the axes is 1/72 inch. So the place
of a label is known before anything is drawn, and whether two of them touch is plain
arithmetic (place.py), the same on every machine. What there is to draw comes from
story.py; this file gives it places, colours and shapes.

A moment stands at its column: only events that are drawn have one, so the picture
has no empty stretches however much bookkeeping lies between two events.
"""

from __future__ import annotations

import base64
import bisect
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from .place import Box, Placer
from .story import Arrow, Lane, LaneKey, Mark, Story, Stretch

try:
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
except ImportError as e:  # pragma: no cover  # tested in a process of its own
    raise ImportError(
        f"timelines are drawn with matplotlib, which is not installed ({e}): pip install 'skynet_lite[notebooks]'"
    ) from None

if TYPE_CHECKING:
    from ..trace import Trace

_LEFT, _RIGHT, _BOTTOM = 112.0, 18.0, 42.0
_BAR = 11.0  # height of a running coroutine
_SIZE, _SMALL, _TITLE = 8.5, 7.5, 12.0
_MAX_LABELS = 1200
_MAX_HEADS = 4000
_SANS, _MONO = "DejaVu Sans", "DejaVu Sans Mono"  # they come with matplotlib: the same everywhere


@dataclass(frozen=True)
class _Theme:
    """Tones that stay apart for the colour-blind; shapes and dashes say the same again."""

    page: str
    band: str
    ink: str
    faint: str
    rule: str
    run: str
    resume: str
    stop: str
    wakeup: str
    socket: str
    failed: str


_LIGHT = _Theme(
    page="#ffffff", band="#f4f6f8", ink="#1c2128", faint="#68707c", rule="#d5dae0", run="#8fb3d9", resume="#00875a",
    stop="#c9281c", wakeup="#7b3fa0", socket="#e08a1e", failed="#b5476a",
)  # fmt: skip
_DARK = _Theme(
    page="#14171c", band="#1b2027", ink="#e6e9ee", faint="#98a2b0", rule="#39414c", run="#3f6ea3", resume="#2fc48d",
    stop="#ff6f5e", wakeup="#c792ea", socket="#f0a64a", failed="#f08aa9",
)  # fmt: skip


class Timeline(Figure):
    """A matplotlib figure that shows itself in a notebook as a picture with a description.

    It belongs to no pyplot state: nothing is to be closed, and it is shown once.
    """

    description: str = ""
    summary: str = ""

    def png(self, dpi: float = 144) -> bytes:
        """The picture as PNG, without date and version."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        width, height = self.get_size_inches()
        data = {"image/png": base64.b64encode(self.png()).decode("ascii"), "text/plain": self.summary}
        shown = {"alt": self.description, "width": round(width * 80), "height": round(height * 80)}
        return data, {"image/png": shown}


def timeline(
    trace: Trace, *, services: str | int | Iterable[str | int] | None = None, start: int = 0, stop: int | None = None,
    title: str | None = None, dark: bool = False, figsize: tuple[float, float] | None = None, max_lanes: int = 120,
) -> Timeline:  # fmt: skip
    """Draw a trace: who ran, who waited for what, and what brought each coroutine back.

    `services`: None for those of the user's program (the services that every node
    boots are left out), "all", or an address or name, or several. `start`, `stop`:
    event numbers as `trace.text()` prints them, as in a slice. `figsize`: inches,
    and more if the rows need more. `max_lanes`: how many coroutines get a row; the
    picture says how many did not.
    Raises ValueError for a service that the trace does not know.
    """
    story = Story(trace, services, start, stop, max_lanes)
    return _Drawing(story, _DARK if dark else _LIGHT, title, figsize).draw()


# --------------------------------------------------------------------------- text


@cache
def _font(mono: bool, bold: bool, size: float) -> FontProperties:
    return FontProperties(family=_MONO if mono else _SANS, weight="bold" if bold else "normal", size=size)


@cache
def _renderers() -> list[tuple[RendererAgg, float]]:
    """At the resolutions of screens, each with its pixels to the point: hinting makes widths differ."""
    return [(RendererAgg(8, 8, dpi), dpi / 72) for dpi in (72, 100, 144)]  # type: ignore[no-untyped-call]


@cache
def _extent(text: str, mono: bool, bold: bool, size: float) -> tuple[float, float]:
    """Width and height in points that the text does not exceed at any usual resolution."""
    lines, font = text.split("\n"), _font(mono, bold, size)
    width, height = 0.0, size
    for renderer, scale in _renderers():
        measure: Callable[..., tuple[float, float, float]] = renderer.get_text_width_height_descent
        for line in lines:
            w, h, _ = measure(line, font, False)
            width, height = max(width, w / scale), max(height, h / scale)
    return width * 1.01 + 2.0, height * (1 + 1.2 * (len(lines) - 1)) + 2.0


@cache
def _glyphs(mono: bool) -> frozenset[int]:
    path = font_manager.findfont(_font(mono, False, _SIZE))
    return frozenset(font_manager.get_font(path).get_charmap())


def _clean(text: str, mono: bool = False, limit: int = 44) -> str:
    """One line that the font can draw; what it has no glyph for is written as Python escapes it."""
    glyphs = _glyphs(mono)
    shown = "".join(
        c if c.isprintable() and ord(c) in glyphs else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _fit(text: str, width: float, mono: bool, bold: bool, size: float) -> str:
    """`text`, cut until it is no wider than `width`."""
    while len(text) > 1 and _extent(text, mono, bold, size)[0] > width:
        text = text[:-2] + "…"
    return text


@dataclass(frozen=True)
class _Label:
    """A text that wants a place. Higher `weight` goes first, and may cover more."""

    weight: int
    order: float
    text: str
    colour: str
    boxes: Callable[[float, float], list[Box]]
    mono: bool = False
    size: float = _SIZE
    lane: LaneKey | None = None  # it stays in this row, if the row is high enough


# --------------------------------------------------------------------------- the drawing


class _Drawing:
    def __init__(self, story: Story, theme: _Theme, title: str | None, figsize: tuple[float, float] | None) -> None:
        self.story = story
        self.theme = theme
        names = [f"{story.names[s]} {s}".strip() for s in sorted(story.shown)]
        default = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        self.title = _clean(default if title is None else title, limit=120)
        n, rows = max(1, len(story.columns)), max(1, len(story.lanes))
        self.figsize = figsize or (self._width(n) / 72, 0.0)
        self.width = max(self.figsize[0] * 72, _LEFT + _RIGHT + 60)
        self.header = self._header_height()
        if figsize:
            self.height = max(figsize[1] * 72, self.header + _BOTTOM + 4 * rows)
        else:
            row = 60.0 if rows <= 10 else max(14.0, 60.0 * 10 / rows)
            self.height = (
                self.header
                + _BOTTOM
                + sum(row * self._share(lane) for lane in story.lanes)
                + (0 if story.lanes else row)
            )
        shares = sum(self._share(lane) for lane in story.lanes) or 1.0
        self.row = (self.height - self.header - _BOTTOM) / shares
        self.pitch = (self.width - _LEFT - _RIGHT) / (n + 1)
        self.column_x = self._columns()
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
        self.placer = Placer(self.width, self.height)
        self.figure = Timeline(figsize=(self.width / 72, self.height / 72), facecolor=theme.page)
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_xlim(0, self.width)
        self.axes.set_ylim(0, self.height)
        self.axes.set_axis_off()
        self.labels: list[_Label] = []

    @staticmethod
    def _width(columns: int) -> float:
        """Wide enough to label few events well, and never wider than a page can show."""
        wish = min(46.0 * columns, 920.0) if columns <= 60 else min(15.0 * columns, 2400.0)
        return _LEFT + _RIGHT + max(560.0, wish)

    @staticmethod
    def _share(lane: Lane) -> float:
        return {"coroutine": 1.0, "socket": 0.95, "mailbox": 0.7}.get(lane.kind, 0.7)

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

    def _columns(self) -> list[float]:
        """Even steps, with more room behind a wakeup: its two-line label stands there."""
        wakeups = {a.at for a in self.story.arrows if a.kind == "wakeup"}
        gaps = [1.0, *(1.6 if moment in wakeups else 1.0 for moment in self.story.columns)]
        step = (self.width - _LEFT - _RIGHT) / sum(gaps)
        return [_LEFT + step * total for total in accumulate(gaps)][:-1]

    def draw(self) -> Timeline:
        self._background()
        self._lines()
        self._stretches()
        self._marks()
        self._arrows()
        self._place_labels()
        self._describe()
        return self.figure

    # ---- page

    def _text(
        self, box: Box, text: str, colour: str, *, mono: bool = False, bold: bool = False, size: float = _SIZE,
        halo: bool = False, align: str = "center",
    ) -> None:  # fmt: skip
        """Text within its box, which is a little wider than the text: in its middle, or at one side."""
        patch = {"facecolor": self._ground(box), "edgecolor": "none", "pad": 0.4, "alpha": 0.82} if halo else None
        x = {"left": box[0], "right": box[2], "center": (box[0] + box[2]) / 2}[align]
        self.axes.text(
            x, (box[1] + box[3]) / 2, text, color=colour, fontproperties=_font(mono, bold, size),
            ha=align, va="center", linespacing=1.05, parse_math=False, usetex=False, bbox=patch, zorder=6,
            clip_on=False,
        )  # fmt: skip

    def _fixed(self, x: float, y: float, text: str, colour: str, align: str, **style: Any) -> None:
        """Text whose place is not up for search: there, or nowhere."""
        width, height = _extent(text, style.get("mono", False), style.get("bold", False), style.get("size", _SIZE))
        left = {"left": x, "right": x - width, "center": x - width / 2}[align]
        box = (left, y - height / 2, left + width, y + height / 2)
        if self.placer.free(box):
            self.placer.take(box)
            self._text(box, text, colour, align=align, **style)

    def _ground(self, box: Box) -> str:
        middle = (box[1] + box[3]) / 2
        for k, (low, high) in enumerate(self.bands):
            if low <= middle < high:
                return self.theme.page if k % 2 else self.theme.band
        return self.theme.page

    def _legend(self) -> list[tuple[str, str]]:
        return [("resume", "resumed"), ("yield", "yielded"), ("parked", "parked"), ("wakeup", "queued to run")]

    def _legend_width(self) -> float:
        return sum(22.0 + _extent(text, False, False, _SMALL)[0] + 12.0 for _, text in self._legend())

    def _header_height(self) -> float:
        room = self.width - 32 - self._legend_width()
        self.two_rows = bool(self.title) and _extent(self.title, False, True, _TITLE)[0] > room
        return (54.0 if self.two_rows else 38.0) + (12.0 if self.story.lines else 0.0)

    def _background(self) -> None:
        t = self.theme
        self.axes.add_collection(
            PolyCollection(
                [_rectangle(_LEFT, low, self.width - _RIGHT, high) for low, high in self.bands[::2]],
                facecolors=t.band, edgecolors="none", zorder=0,
            )
        )  # fmt: skip
        title = _fit(self.title, self.width - 32, False, True, _TITLE) if self.title else ""
        if title:
            self._fixed(16, self.height - 20, title, t.ink, "left", bold=True, size=_TITLE)
        x = self.width - _RIGHT - self._legend_width() + 12
        y = self.height - (40 if self.two_rows else 20)
        for kind, text in self._legend() if x >= 16 else ():
            if kind == "resume":
                self._markers([(x + 8, y)], ">", t.resume, 6.5)
            elif kind == "yield":
                self._markers([(x + 8, y)], "s", t.stop, 5.5)
            else:
                self._segments([((x - 2, y), (x + 16, y))], t.wakeup if kind == "wakeup" else t.faint, 1.3, (0, (3, 2)))
            width = _extent(text, False, False, _SMALL)[0]
            self._fixed(x + 20, y, text, t.faint, "left", size=_SMALL)
            x += 22 + width + 12
        if not self.story.lanes:
            self._fixed(
                (_LEFT + self.width - _RIGHT) / 2, (self.height - self.header + _BOTTOM) / 2,
                "no events of these services in this part of the trace", t.faint, "center",
            )  # fmt: skip
        self._names()
        self._axis()

    def _names(self) -> None:
        t = self.theme
        rules = []
        last_title = self.height
        for k, lane in enumerate(self.story.lanes):
            y, room = self.y[lane.key], self.bands[k][1] - self.bands[k][0]
            title = _fit(_clean(lane.title), _LEFT - 12, False, True, _SIZE)
            note = _fit(_clean(lane.note), _LEFT - 12, False, False, _SMALL) if lane.note else ""
            with_note = bool(note) and room >= 26
            if last_title - y >= 11:
                self._fixed(_LEFT - 8, y + (6 if with_note else 0), title, t.ink, "right", bold=True)
                last_title = y
            if with_note:
                self._fixed(_LEFT - 8, y - 6, note, t.faint, "right", size=_SMALL)
            if k and (lane.key[0] != self.story.lanes[k - 1].key[0]):
                rules.append(((8.0, self.bands[k][1]), (self.width - _RIGHT, self.bands[k][1])))
        self._segments(rules, t.rule, 0.8)

    def _axis(self) -> None:
        """Event numbers under their columns, as many as there is room for."""
        t = self.theme
        ticks, edge = [], 0.0
        bottom = self.bands[-1][0] if self.bands else _BOTTOM
        for moment in self.story.columns:
            x, text = self.x(moment), str(moment)
            if x < edge:
                continue  # spares thousands of measurements
            width = _extent(text, False, False, _SMALL)[0]
            if x - width / 2 >= edge:
                self._fixed(x, bottom - 11, text, t.faint, "center", size=_SMALL)
                ticks.append(((x, bottom), (x, bottom - 3.5)))
                edge = x + width / 2 + 3
        self._segments(ticks, t.rule, 0.8)
        words = "event number in trace.text(); events that are not drawn take no room"
        if self.story.hidden:
            words += f"; {self.story.hidden} more coroutines have no row (max_lanes)"
        words = _fit(words, self.width - _LEFT - _RIGHT, False, False, _SMALL)
        self._fixed((_LEFT + self.width - _RIGHT) / 2, bottom - 29, words, t.faint, "center", size=_SMALL)

    # ---- shapes

    def _segments(self, lines: list[Any], colour: str, width: float, dash: Any = "solid", zorder: float = 2) -> None:
        if lines:
            self.axes.add_collection(
                LineCollection(lines, colors=colour, linewidths=width, linestyles=[dash], zorder=zorder)
            )

    def _markers(
        self, points: list[tuple[float, float]], shape: str, colour: str, size: float, hollow: bool = False
    ) -> None:
        if points:
            self.axes.scatter(
                [p[0] for p in points], [p[1] for p in points], s=size * size, marker=shape, zorder=5,
                facecolors=self.theme.page if hollow else colour, edgecolors=colour if hollow else self.theme.page,
                linewidths=1.1 if hollow else min(0.7, size / 8), clip_on=False,
            )  # fmt: skip

    def _lines(self) -> None:
        top = self.height - self.header
        low = self.bands[-1][0] if self.bands else _BOTTOM
        lines = [((self.x(x.at), low), (self.x(x.at), top)) for x in self.story.lines]
        self._segments(lines, self.theme.rule, 0.9, (0, (1, 2)), 1)
        for line in self.story.lines:
            x = self.x(line.at)
            self._want(6, line.at, line.label, self.theme.faint, _around(x, (top + 7,), (0.0,)), size=_SMALL)

    def _stretches(self) -> None:
        t = self.theme
        bars: dict[str, list[Any]] = {"run": [], "work": []}
        lines: dict[str, list[Any]] = {"parked": [], "queued": [], "pending": [], "pool": [], "made": []}
        for s in self.story.stretches:
            y = self.y[s.lane]
            x0, x1 = self.x(s.start), self.x(s.stop, after=True)
            if s.kind in bars:
                half = self.bar / (2 if s.kind == "run" else 4)
                # The socket server is done before the message is in the mailbox.
                end = x1 if s.kind == "run" else max(x1 - self.pitch * 0.35, x0 + 1)
                bars[s.kind].append(_rectangle(x0, y - half, end, y + half))
                self.placer.avoid((x0, y - half, end, y + half), 30)
                continue
            lines[s.kind].append(((x0, y), (x1, y)))
            self.placer.avoid_line(x0, y, x1, y, 8)
            if s.kind in ("parked", "pool", "pending"):
                self._want_along(s, x0, x1, y)
        self._polygons(bars["run"], t.run, 2.5)
        self._polygons(bars["work"], t.socket, 2.5)
        self._segments(lines["parked"], t.faint, 1.2, (0, (3.2, 2.2)))
        self._segments(lines["pool"] + lines["made"], t.rule, 1.4, (0, (1, 2.2)))
        self._segments(lines["pending"], t.rule, 1.0)  # solid: timers overlap, and dashes would fill each other
        self._segments(lines["queued"], t.socket, 1.6)

    def _polygons(self, shapes: list[Any], colour: str, zorder: float) -> None:
        if shapes:
            self.axes.add_collection(PolyCollection(shapes, facecolors=colour, edgecolors="none", zorder=zorder))

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
                self._segments(ticks, colour, 1.0, zorder=4)
            else:
                self._markers(kinds.get(kind, []), shape, colour, size * scale, hollow=kind == "push")

    def _colour(self, kind: str) -> str:
        t = self.theme
        return {
            "dispatch_wakeup": t.resume, "wakeup": t.wakeup, "failed": t.failed, "socket": t.ink, "timer": t.faint,
        }.get(kind, t.ink)  # fmt: skip

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
            self.placer.avoid_line(*tail, *tip, 7)
            if a.label:
                self._want_arrow(a, tail, tip)
        for (colour, dashed), (shafts, heads) in by_style.items():
            # Thousands of arrows become a veil through which the rows are seen.
            faded = colour + f"{round(255 * min(1.0, max(0.12, self.pitch / 8))):02x}"
            self._segments(shafts, faded, 1.05 if self.pitch > 5 else 0.5, (0, (3, 1.8)) if dashed else "solid", 3)
            self._polygons(heads, faded, 3)

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
        self, weight: int, order: float, text: str, colour: str, boxes: Callable[[float, float], list[Box]], *,
        mono: bool = False, size: float = _SIZE, lane: LaneKey | None = None,
    ) -> None:  # fmt: skip
        self.labels.append(_Label(weight, order, text, colour, boxes, mono, size, lane))

    def _want_along(self, s: Stretch, x0: float, x1: float, y: float) -> None:
        """Over its line, in the middle if that is free."""

        def boxes(width: float, height: float) -> list[Box]:
            room = x1 - x0 - width - self.marker * 2
            if room < 0:
                return []
            left = x0 + self.marker
            return [
                (left + room * at, base, left + room * at + width, base + height)
                for base in (y + 2.0, y - height - 2.0)
                for at in (0.5, 0.25, 0.75, 0.1, 0.9, 0.0, 1.0)
            ]

        weight = {"parked": 5, "pool": 1, "pending": 2}[s.kind]
        self._want(weight, x0, s.label, self.theme.faint, boxes, size=_SMALL, lane=s.lane)

    def _want_mark(self, m: Mark, x: float, y: float) -> None:
        t, half = self.theme, self.bar / 2
        over, under = y + half + 6, y - half - 6
        # The higher of two rows over the bar still lies within a row of usual height.
        heights = {"yield": (under, under - 7, under - 12, over), "error": (under, under - 7, under - 12, over)}.get(
            m.kind, (over, over + 6, over + 12, under, under - 12)
        )
        weight, colour, size = {
            "yield": (8, t.stop, _SMALL), "error": (9, t.failed, _SMALL), "resume": (3, t.ink, _SMALL),
            "mark": (9, t.ink, _SMALL), "state": (2, t.faint, _SMALL), "skip": (7, t.wakeup, _SMALL),
        }.get(m.kind, (6, t.ink, _SIZE))  # fmt: skip
        shifts = (0.45, 0.3, 0.0) if m.kind == "resume" else (0.0, 0.45, -0.45, 0.25, -0.25)
        text = m.label.replace("\n", " ")
        around = _around(x, heights, shifts)
        self._want(weight, m.at, text, colour, around, mono=m.kind == "yield", size=size, lane=m.lane)

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
        weight = weights.get(a.kind, 6)
        self._want(weight, a.at, a.label, self._colour(a.kind), boxes)

    def _place_labels(self) -> None:
        if self.pitch < 1.5:
            self.labels = [label for label in self.labels if label.weight >= 8]
        self.labels.sort(key=lambda label: (-label.weight, label.order, label.text))
        for label in self.labels[:_MAX_LABELS]:
            text = "\n".join(_clean(line, label.mono) for line in label.text.split("\n"))
            if not text:
                continue
            width, height = _extent(text, label.mono, False, label.size)
            box = self.placer.place(label.boxes(width, height), 6.0 + 3.0 * label.weight, self._home(label.lane))
            if box is not None:
                self._text(box, text, label.colour, mono=label.mono, size=label.size, halo=True)

    def _home(self, lane: LaneKey | None) -> Box:
        """Where a label may stand: beside the names of the rows, and in its own row if that can hold it."""
        low, high = 0.0, self.height
        if lane is not None and self.row >= 36:
            low, high = self.band[lane]
        return _LEFT - 6, low, self.width - 4, high

    def _describe(self) -> None:
        s = self.story
        resumes = sum(m.kind == "resume" for m in s.marks)
        coroutines = sum(lane.kind == "coroutine" for lane in s.lanes)
        rows = ", ".join(f"{lane.title} ({lane.note})" if lane.note else lane.title for lane in s.lanes[:12])
        more = f" and {len(s.lanes) - 12} more" if len(s.lanes) > 12 else ""
        events = _count(len(s.columns), "event")
        self.figure.summary = f"timeline: {events}, {_count(coroutines, 'coroutine')}, {_count(resumes, 'resume')}"
        self.figure.description = (
            f"Timeline {self.title!r}: {events} in {_count(len(s.lanes), 'row')}"
            + (f": {rows}{more}. " if rows else ". ")
            + f"{_count(resumes, 'resume')} marked green, each yield red; arrows lead from causes to effects."
        )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _around(x: float, heights: tuple[float, ...], shifts: tuple[float, ...]) -> Callable[[float, float], list[Box]]:
    """Boxes about a point, wished for in this order: at these heights, shifted sideways by parts of their width."""

    def boxes(width: float, height: float) -> list[Box]:
        return [
            (x + width * (shift - 0.5), y - height / 2, x + width * (shift + 0.5), y + height / 2)
            for y in heights
            for shift in shifts
        ]

    return boxes


def _rectangle(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


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
