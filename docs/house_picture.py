"""The house as a picture: floors from the ground up, rooms, and arrows that lead down.

Where things stand is worked out first, as boxes and points, so that a test can say that no arrow crosses a room.
An arrow that a longer way already tells is left out: who imports node has all that lies below node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from house import ROOMS, Room, allowed
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path as Line

if TYPE_CHECKING:
    from house import House

Point = tuple[float, float]
Arrow = tuple[str, str]  # importer, imported

WIDTH, HEIGHT = 900.0, 940.0  # pixels
ROOM, STAIRS = 64.0, 48.0  # heights: of a room, of the space between two floors
GROUND, LEFT, RIGHT, EAVES = 62.0, 28.0, 872.0, 826.0
APART, GAP = 18.0, 20.0  # least distances: of two arrows at a room, of an arrow and the room it falls past
PAPER, PLASTER, FLOOR, TILES, ROOF = "#ffffff", "#fcf9f3", "#f5efe3", "#f0e7d6", "#b9a98e"
INK, SOFT = "#2b2a28", "#6f6961"
KINDS = {  # what a room is for: its fill, its edge, the word below the house
    "runtime": ("#fde6d3", "#d07a3b", "the runtime"),
    "services": ("#e0efd8", "#679a54", "for services"),
    "runs": ("#dde9f6", "#5784b5", "what a run was"),
    "people": ("#ede3f3", "#8d67a5", "for people"),
}
PLACES: dict[str, tuple[float, float, str]] = {  # middle, width, what it is for
    "core": (271, 458, "runtime"),
    "doors": (748, 220, "runs"),
    "skynet": (271, 458, "runtime"),
    "trace": (748, 220, "runs"),
    "drive": (113, 156, "runtime"),
    "lualib": (279, 156, "services"),
    "tell": (463, 192, "runs"),
    "probe": (664, 108, "runs"),
    "view": (799, 138, "runs"),
    "node": (207, 330, "runtime"),
    "contrib": (520, 226, "services"),
    "replay": (147, 210, "runs"),
    "__init__": (404, 240, "people"),
    "top": (748, 220, "people"),
    "course": (768, 180, "people"),
    "service": (133, 182, "services"),
    "attach": (315, 158, "people"),
    "fleet": (477, 142, "people"),
    "testing": (147, 150, "people"),
    "cli": (404, 240, "people"),
    "check": (748, 220, "people"),
}
FLOORS = {room.name: room.floor for room in ROOMS}
TITLES = {"__init__": "front door", "doors": "doors.py", "cli": "cli.py"}


class Box:
    """Where a room stands, in pixels from the lower left."""

    def __init__(self, name: str) -> None:
        self.floor = FLOORS[name]
        self.middle, width, self.kind = PLACES[name]
        self.name = name
        self.left, self.right = self.middle - width / 2, self.middle + width / 2
        self.bottom = GROUND + self.floor * (ROOM + STAIRS)
        self.top = self.bottom + ROOM


def needed(arrows: Iterable[Arrow]) -> list[Arrow]:
    """The arrows that no longer way tells. Raises ValueError if one does not lead down."""
    given = set(arrows)
    for importer, imported in given:
        if FLOORS[importer] <= FLOORS[imported]:
            raise ValueError(f"{importer} -> {imported} does not lead down")

    def below(room: str) -> set[str]:
        direct = {imported for importer, imported in given if importer == room}
        return direct.union(*map(below, direct))

    def told(importer: str, imported: str) -> bool:
        return any(imported in below(other) for who, other in given if who == importer)

    return sorted(arrow for arrow in given if not told(*arrow))


@dataclass
class Stop:
    """Where an arrow passes an edge of a room, or a gap between two: where it would like to, and where it may.

    `order`: of the arrows that pass there, from the left. In a gap, that in which they come, so that they cross
    further down, where they part.
    """

    place: tuple[str | int, float]
    order: float
    wish: float
    low: float
    high: float
    x: float = 0.0


def paths(arrows: list[Arrow]) -> dict[Arrow, list[Point]]:
    """Each arrow's points from top to bottom: where it leaves, the gaps it falls through, where it arrives."""
    boxes = {name: Box(name) for name in PLACES}
    ways = {arrow: _way(boxes, boxes[arrow[0]], boxes[arrow[1]]) for arrow in arrows}
    by_place: dict[tuple[str | int, float], list[Stop]] = {}
    for way in ways.values():
        for stop in way:
            by_place.setdefault(stop.place, []).append(stop)
    for stops in by_place.values():
        _spread(stops)
    made: dict[Arrow, list[Point]] = {}
    for (importer, imported), way in ways.items():
        points = [(way[0].x, boxes[importer].bottom)]
        for floor, stop in zip(range(boxes[importer].floor - 1, 0, -1), way[1:-1], strict=False):
            base = GROUND + floor * (ROOM + STAIRS)
            points += [(stop.x, base + ROOM), (stop.x, base)]
        made[importer, imported] = [*points, (way[-1].x, boxes[imported].top)]
    return made


def _way(boxes: dict[str, Box], start: Box, end: Box) -> list[Stop]:
    margin = 14
    x, falls = start.middle, []
    came = _within(end.middle, start.left + margin, start.right - margin)
    for floor in range(start.floor - 1, end.floor, -1):
        x += (end.middle - x) / (floor + 1 - end.floor)
        walls = [LEFT, *sorted(e for b in boxes.values() if b.floor == floor for e in (b.left, b.right)), RIGHT]
        gaps = [
            (low + GAP, high - GAP) for low, high in zip(walls[::2], walls[1::2], strict=True) if high - low > 2 * GAP
        ]
        low, high = min(gaps, key=lambda gap: abs(_within(x, *gap) - x))
        falls.append(Stop((floor, low), came, x, low, high))
        came = x = _within(x, low, high)
    low, high = max(start.left, end.left), min(start.right, end.right)
    both = (low + high) / 2 if low < high else None  # where one stands above the other: straight down
    first = falls[0].wish if falls else both or end.middle
    last = falls[-1].wish if falls else both or start.middle
    return [
        Stop((start.name, start.bottom), first, first, start.left + margin, start.right - margin),
        *falls,
        Stop((end.name, end.top), last, last, end.left + margin, end.right - margin),
    ]


def _within(x: float, low: float, high: float) -> float:
    return max(low, min(x, high))


def _spread(stops: list[Stop]) -> None:
    """As near to their wishes as may be, and apart from each other."""
    stops.sort(key=lambda stop: stop.order)
    for stop in stops:
        stop.x = _within(stop.wish, stop.low, stop.high)
    for before, after in pairwise(stops):
        after.x = max(after.x, before.x + APART)
    for before, after in reversed(list(pairwise(stops))):
        after.x = min(after.x, after.high)
        before.x = min(before.x, after.x - APART)


def rounded(lines: int) -> int:
    """To two digits, so that the picture stays true for a while."""
    return round(lines, 2 - len(str(lines)))


def draw(house: House, path: Path) -> None:
    """Draw it to a file, .svg or .png: the same bytes from the same house. Imports that are forbidden are not drawn."""
    picture(house).savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def picture(house: House) -> Figure:
    """The figure. Rooms, their texts and arrows bear their names as gid."""
    matplotlib.rcParams |= {"svg.hashsalt": "house", "font.family": "DejaVu Sans"}
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=200, facecolor=PAPER)
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    _walls(axes)
    shown = {room.name: room for room in ROOMS if house.size(room.name)}
    for room in shown.values():
        _room(axes, room, house.size(room.name))
    arrows = [arrow for arrow in house.arrows if arrow[1] in allowed(arrow[0]) and set(arrow) <= set(shown)]
    for arrow, points in paths(needed(arrows)).items():
        _arrow(axes, arrow, points)
    for n, (fill, edge, word) in enumerate(KINDS.values()):
        x = LEFT + 14 + n * 205
        axes.add_patch(_rounded((x, 18), 14, 12, 3, fc=fill, ec=edge, lw=1))
        _write(axes, x + 22, 23.5, word, 9, color=SOFT)
    return figure


def _walls(axes: Any) -> None:
    ground = GROUND - 14
    wall = [(LEFT, ground), (LEFT, EAVES), (RIGHT, EAVES), (RIGHT, ground)]
    axes.add_patch(Polygon(wall, fc=PLASTER, lw=0))
    for floor in sorted(set(FLOORS.values())):
        base = GROUND + floor * (ROOM + STAIRS) - 9
        axes.add_patch(Rectangle((LEFT, base), RIGHT - LEFT, ROOM + 18, fc=FLOOR, lw=0))
    axes.add_patch(Polygon(wall, fc="none", ec=ROOF, lw=1.2))
    roof = [(8, EAVES), (WIDTH / 2, HEIGHT - 12), (WIDTH - 8, EAVES)]
    axes.add_patch(Polygon(roof, fc=TILES, ec=ROOF, lw=1.2, joinstyle="round"))
    axes.plot([0, WIDTH], [ground] * 2, color=ROOF, lw=1.6)
    _write(axes, WIDTH / 2, EAVES + 48, "skynet_lite", 15, ha="center", weight="bold")
    said = "an arrow: imports this, and some of what lies below it; a number: lines"
    _write(axes, WIDTH / 2, EAVES + 22, said, 9, ha="center", color=SOFT)


def _room(axes: Any, room: Room, lines: int) -> None:
    box = Box(room.name)
    fill, edge, _ = KINDS[box.kind]
    corner, width = (box.left, box.bottom), box.right - box.left
    axes.add_patch(_rounded(corner, width, ROOM, 7, fc=fill, ec=edge, lw=1.1, zorder=4, gid=room.name))
    title, number = TITLES.get(room.name, room.name), f"{rounded(lines):,}"
    _write(axes, box.left + 13, box.top - 21, title, 11, weight="bold", gid=f"{room.name}.name")
    _write(
        axes, box.right - 13, box.top - 21, number, 9, ha="right", color=edge, weight="bold", gid=f"{room.name}.lines"
    )
    _write(axes, box.left + 13, box.bottom + 20, room.meaning, 8.2, color=SOFT, gid=f"{room.name}.meaning")


def _arrow(axes: Any, arrow: Arrow, points: list[Point]) -> None:
    colour = KINDS[PLACES[arrow[0]][-1]][1]
    axes.add_patch(PathPatch(curve(points), fc="none", ec=colour, lw=1.4, zorder=2, gid="-to-".join(arrow)))
    x, y = points[-1]
    axes.add_patch(Polygon([(x, y), (x - 4, y + 9), (x + 4, y + 9)], fc=colour, ec=colour, lw=0.5, zorder=3))


def curve(points: list[Point]) -> Line:
    """A line through the points that leaves and enters each of them downwards."""
    vertices, codes = [points[0]], [Line.MOVETO]
    for (x, y), (to, down) in pairwise(points):
        bend = (y - down) * 0.55
        vertices += [(x, y - bend), (to, down + bend), (to, down)]
        codes += [Line.CURVE4] * 3
    return Line(vertices, codes)


def _rounded(corner: Point, width: float, height: float, radius: float, **style: Any) -> FancyBboxPatch:
    return FancyBboxPatch(corner, width, height, boxstyle=f"round,pad=0,rounding_size={radius}", **style)


def _write(axes: Any, x: float, y: float, text: str, size: float, **style: Any) -> None:
    axes.text(x, y, text, fontsize=size, **({"color": INK, "va": "center", "zorder": 5} | style))
