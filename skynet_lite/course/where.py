"""The map of a node: what it is made of, what goes where, and *you are here*.

One idea: the picture is a table of places and a table of arrows, in pixels (where.toml). They are
drawn twice: as SVG, which knows a light and a dark ground, and as PNG for where no SVG is shown.
Nothing is measured, so every machine makes the same SVG; a test measures it.
"""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ..trace.language import language, say, speaking
from ..trace.text import cells

Point = tuple[float, float]

WIDTH, HEIGHT = 900, 700
SIZE, TITLE = 13, 15  # of letters, in pixels: capitals of 9 or more
FRAMES = ("page", "node", "service", "group")  # what holds other places, and keeps its ground
QUIET = 0.5  # how much is left of what is not lit
SANS = "system-ui,-apple-system,'Segoe UI','PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif"
MONO = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"


class Place(NamedTuple):
    """A box: its corner and size, and what is said of it."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    english: str = ""
    chinese: str = ""


class Arrow(NamedTuple):
    """From one place to another, along `points`; what goes there is written at `at`."""

    source: str
    target: str
    english: str
    chinese: str
    points: list[Point]
    at: Point
    align: str


_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PLACES = {name: Place(*values) for name, values in _DATA["places"].items()}
DETAILS = {name: [Place(*values) for values in rows] for name, rows in _DATA["details"].items()}
ARROWS = [Arrow(*values) for values in _DATA["arrows"]]
COLOURS, LEGEND = _DATA["colours"], _DATA["legend"]


class Shape(NamedTuple):
    """One thing to draw: a box (two corners), an arrow (its points), or a text at a point."""

    what: str
    kind: str
    points: list[Point]
    quiet: bool = False
    lit: bool = False
    text: str = ""
    font: str = ""  # mono, bold
    align: str = "start"


def shapes(*here: str) -> Iterator[Shape]:
    """All that is drawn, the lowest first. What is not `here` is quiet, if anything is."""
    texts: list[Shape] = []

    def write(at: Point, text: str, quiet: bool, kind: str = "soft", font: str = "", align: str = "start") -> None:
        texts.append(Shape("text", kind, [at], quiet, False, text, font, align))

    yield box(Place("page", 0, 0, WIDTH, HEIGHT))
    for name, place in PLACES.items():
        quiet, lit = bool(here) and name not in here, name in here
        details = DETAILS.get(name, [])
        middle, said = place.y + place.height / 2 + 4.5, say(*place[-2:])
        font = "bold" if place.kind in ("node", "service") else "mono"
        if name == "service":
            yield from map(box, details)
        yield box(place, quiet, lit)
        if not said:
            at = (place.x + place.width / 2, place.y + 20 if details else middle)
            write(at, name, quiet, "ink", font, "middle")
        else:
            x, y = place.x + 12, middle if place.height < 40 else place.y + 20
            y = place.y + place.height - 9 if name == "tables" else y  # arrows come from above
            write((x, y), name, quiet, "ink", font)
            beside = x + 10 + len(name) * (10.4 if font == "bold" else 7.9)
            write((x, y + 19) if place.height == 48 else (beside, y), said, quiet)
        for detail in details if name != "service" else ():
            yield box(detail, quiet)
            at = (detail.x + detail.width / 2, detail.y + detail.height / 2 + 4.5)
            write(at, say(*detail[-2:]), quiet, "ink", align="middle")
    for arrow in ARROWS:
        quiet = bool(here) and not {arrow.source, arrow.target}.intersection(here)
        yield Shape("arrow", "arrow", arrow.points, quiet)
        write(arrow.at, say(*arrow[2:4]), quiet, align=arrow.align)
    x = 24
    for kind in [*LEGEND][-1:] if here else [*LEGEND][:-1]:
        yield box(Place(kind, x, 662, 18, 14), lit=bool(here))
        write((x + 26, 674), say(*LEGEND[kind]), False)
        x += 52 + cells(say(*LEGEND[kind])) * 7
    yield from (text for text in texts if text.text)


def box(place: Place, quiet: bool = False, lit: bool = False) -> Shape:
    frame = place.kind in FRAMES
    corners: list[Point] = [(place.x, place.y), (place.x + place.width, place.y + place.height)]
    return Shape("box", "here" if lit and not frame else place.kind, corners, quiet and not frame, lit)


@dataclass(frozen=True)
class Map:
    """What `where` returns; it shows itself in a notebook. `svg`: the picture; `alt`: the same in words."""

    names: tuple[str, ...]
    svg: str
    alt: str
    summary: str
    height: int = HEIGHT

    def shapes(self) -> Iterator[Shape]:
        return shapes(*self.names)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        png = base64.b64encode(as_png(self.shapes, self.height)).decode("ascii")
        data = {"text/plain": self.summary, "image/svg+xml": self.svg, "image/png": png}
        return data, {"image/png": {"alt": self.alt, "width": WIDTH, "height": self.height}}


def where(*names: str) -> Map:
    """The map of a node: with these places lit and the rest quiet, or all of it.

    Raises ValueError for a place that is not there, with the nearest one.
    """
    for name in names:
        if name not in PLACES:
            near = get_close_matches(str(name), PLACES, 1, 0)[0]
            raise ValueError(f"no place {name!r} on the map, the nearest is {near!r}; there are {', '.join(PLACES)}")
    here = ", ".join(names)
    ways = "; ".join(" → ".join(filter(None, (arrow.source, say(*arrow[2:4]), arrow.target))) for arrow in ARROWS)
    summary = say(f"map of a node: {here or 'all of it'}", f"节点的地图：{here or '全部'}")
    alt = say(
        f"The map of a node{here and f'; you are here: {here}'}. What goes where: {ways}.",
        f"节点的地图{here and f'，你在这里：{here}'}。箭头：{ways}。",
    )
    return Map(names, as_svg(summary, alt, shapes(*names)), alt, summary)


# --------------------------------------------------------------------------- the two ways to draw it


def _path(points: list[Point]) -> list[tuple[str, list[Point]]]:
    """An arrow with round corners, as the letters of an SVG path with their points; the last is its head."""
    (x0, y0), (x, y) = points[-2:]
    dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
    back = x - 8 * dx, y - 8 * dy
    way: list[tuple[str, list[Point]]] = [("M", [points[0]])]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        way += [("L", [_toward(corner, before)]), ("Q", [corner, _toward(corner, after)])]
    head = [(x, y), (back[0] - 4 * dy, back[1] - 4 * dx), (back[0] + 4 * dy, back[1] + 4 * dx)]
    return [*way, ("L", [back]), ("M", head)]


def _toward(corner: Point, other: Point, radius: float = 9) -> Point:
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    part = radius / (abs(dx) + abs(dy))
    return corner[0] + dx * part, corner[1] + dy * part


def _rim(shape: Shape) -> tuple[str, float, float]:
    """Kind and width of its edge, and the radius of its corners."""
    (_, top), (_, low) = shape.points[0], shape.points[-1]
    return "here" if shape.lit else shape.kind, 2.4 if shape.lit else 1.3, min(10.0, (low - top) / 4)


def as_svg(title: str, alt: str, drawn: Iterable[Shape], height: int = HEIGHT) -> str:
    """Colours are attributes, so that they outlive whoever takes the style out; the style is for a dark ground."""
    dark = "".join(f".m .{kind}{{fill:{c[2]}}}.m .{kind}-edge{{stroke:{c[3]}}}" for kind, c in COLOURS.items())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="m" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" lang="{language()}">\n'
        f"<title>{escape(title, False)}</title>\n<desc>{escape(alt, False)}</desc>",
        f"<style>@media (prefers-color-scheme:dark){{{dark}}}</style>",
    ]
    for shape in drawn:
        (x, y), (right, low) = shape.points[0], shape.points[-1]
        fill = f'fill="{COLOURS[shape.kind][0]}"'
        rim, wide, radius = _rim(shape)
        edge = f'stroke="{COLOURS[rim][1]}" stroke-width="{wide}"'
        faint = f' opacity="{QUIET}"' if shape.quiet else ""
        if shape.what == "box":
            size = f'width="{right - x:g}" height="{low - y:g}" rx="{radius:g}"'
            lines.append(f'<rect x="{x:g}" y="{y:g}" {size} class="{shape.kind} {rim}-edge" {fill} {edge}{faint}/>')
        elif shape.what == "arrow":
            *way, head = [letter + " ".join(f"{a:g} {b:g}" for a, b in ps) for letter, ps in _path(shape.points)]
            lines.append(f'<path d="{"".join(way)}" class="arrow-edge" fill="none" {edge}{faint}/>')
            lines.append(f'<path d="{head}z" class="arrow" {fill}{faint}/>')
        else:
            family = MONO if shape.font == "mono" else SANS
            font = f'font-family="{family}" font-size="{SIZE}"'
            if shape.font == "bold":
                font = f'font-family="{family}" font-size="{TITLE}" font-weight="bold"'
            at = f'x="{x:g}" y="{y:g}" text-anchor="{shape.align}"'
            lines.append(f'<text {at} {font} class="{shape.kind}" {fill}{faint}>{escape(shape.text, False)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def as_png(draw: Callable[[], Iterable[Shape]], height: int) -> bytes:
    """The same in the fonts of matplotlib, in English where there is none for Chinese."""
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path as Line

    from ..view.figure import LIGHT, Page, legible

    with speaking(legible(language())):
        drawn = list(draw())
    page = Page(WIDTH, height, LIGHT)
    page.axes.set_ylim(height, 0)
    for n, shape in enumerate(drawn):
        (x, y), (right, low) = shape.points[0], shape.points[-1]
        fill, alpha = COLOURS[shape.kind][0], QUIET if shape.quiet else 1.0
        rim, wide, radius = _rim(shape)
        look: dict[str, Any] = {"ec": COLOURS[rim][1], "lw": wide, "alpha": alpha, "zorder": n / len(drawn)}
        if shape.what == "box":
            style = f"round,pad=0,rounding_size={radius}"
            page.axes.add_patch(FancyBboxPatch((x, y), right - x, low - y, style, fc=fill, **look))
        elif shape.what == "arrow":
            *way, (_, head) = _path(shape.points)
            codes = [{"M": Line.MOVETO, "L": Line.LINETO, "Q": Line.CURVE3}[letter] for letter, ps in way for _ in ps]
            line = Line([point for _, ps in way for point in ps], codes)
            page.axes.add_patch(PathPatch(line, fc="none", **look))
            page.axes.add_patch(Polygon(head, fc=fill, **{**look, "lw": 0}))
        else:
            align = {"start": "left", "middle": "center", "end": "right"}[shape.align]
            mono, bold = shape.font == "mono", shape.font == "bold"
            colour, size = f"{fill}{round(alpha * 255):02x}", 0.96 * (TITLE if bold else SIZE)
            page.text((x, y - 9.5, x, y), shape.text, colour, mono=mono, bold=bold, size=size, align=align)
    return page.figure.png(80)
