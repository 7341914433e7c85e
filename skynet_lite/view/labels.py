"""Where labels go: a greedy search that never lets two of them touch.

One idea: what must not be covered by text at any price (other labels, the edge of
the page) forbids a place; what should not (lines, marks) makes it dearer. Labels
come in the order of their importance, and one that finds no place cheap enough is
left out: a picture without a label is better than one that cannot be read.

Lengths are points of 1/72 inch, y grows upwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .lanes import LaneKey

Box = tuple[float, float, float, float]  # left, bottom, right, top
Point = tuple[float, float]
Wishes = Callable[[float, float], list[Box]]
"""The places that a text of this width and height wishes for, the best first."""
_CELL = 40.0


@dataclass(frozen=True)
class Label:
    """A text that wants a place, or a shorter one in its stead. Higher `weight` goes first, and may cover more."""

    weight: int
    order: float
    texts: tuple[str, ...]
    colour: str
    boxes: Wishes
    mono: bool
    size: float
    lane: LaneKey | None  # it stays in this row, if the row is high enough

    @property
    def limit(self) -> float:
        """What it may cover: beside an arrow little more than one other line."""
        return 6.0 + 3.0 * self.weight if self.lane is not None else 6.0 + 1.5 * self.weight


# --------------------------------------------------------------------------- wishes


def around(x: float, heights: Iterable[float], shifts: Iterable[float]) -> Wishes:
    """About a point: at these heights, shifted sideways by parts of the width."""
    heights, shifts = tuple(heights), tuple(shifts)

    def boxes(width: float, height: float) -> list[Box]:
        return [
            (x + width * (shift - 0.5), y - height / 2, x + width * (shift + 0.5), y + height / 2)
            for y in heights
            for shift in shifts
        ]

    return boxes


def along(x0: float, x1: float, y: float, gap: float) -> Wishes:
    """Over a level line, in the middle if that is free, `gap` away from its ends."""

    def boxes(width: float, height: float) -> list[Box]:
        room = x1 - x0 - width - gap * 2
        if room < 0:
            return []
        left = x0 + gap
        return [
            (left + room * at, base, left + room * at + width, base + height)
            for base in (y + 2.0, y - height - 2.0, y - height / 2)
            for at in (0.5, 0.25, 0.75, 0.1, 0.9, 0.0, 1.0)
        ]

    return boxes


def under(x0: float, x1: float, y: float) -> Wishes:
    """Below a level line, at its beginning first of all."""

    def boxes(width: float, height: float) -> list[Box]:
        room = x1 - x0 - width
        lefts = [x0 + room * at for at in (0.0, 0.5, 1.0)] if room >= 0 else []
        return [(left, y - height, left + width, y) for left in lefts]

    return boxes


def beside(tail: Point, tip: Point, own: list[tuple[float, float]] | None = None, only: bool = False) -> Wishes:
    """On either side of a shaft, as near to its middle as can be.

    First of all in the rows `own`, each from its lower to its upper edge; `only`: in no others.
    """

    def boxes(width: float, height: float) -> list[Box]:
        found = []
        for at in (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.12, 0.88, 0.06, 0.94):
            x = tail[0] + (tip[0] - tail[0]) * at
            y = tail[1] + (tip[1] - tail[1]) * at
            slope = abs(tip[0] - tail[0]) / (abs(tip[1] - tail[1]) + 0.01)
            away = 3.0 + min(height / 2 * slope, 14.0)
            right = (x + away, y - height / 2, x + away + width, y + height / 2)
            left = (x - away - width, y - height / 2, x - away, y + height / 2)
            found += [right, left]
        if own is None:
            return found
        at_home = [box for box in found if any(low <= box[1] and box[3] <= high for low, high in own)]
        return at_home if only else [*at_home, *(box for box in found if box not in at_home)]

    return boxes


# --------------------------------------------------------------------------- the search


class Placer:
    """A page of `width` × `height` points."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._taken: dict[tuple[int, int], list[Box]] = {}
        self._boxes: dict[tuple[int, int], list[tuple[Box, float]]] = {}
        self._lines: dict[tuple[int, int], list[tuple[float, float, float, float, float]]] = {}

    def take(self, box: Box) -> None:
        """No label may touch this."""
        for cell in _cells(box):
            self._taken.setdefault(cell, []).append(box)

    def avoid(self, box: Box, cost: float) -> None:
        """A label on this costs `cost`."""
        for cell in _cells(box):
            self._boxes.setdefault(cell, []).append((box, cost))

    def avoid_line(self, x0: float, y0: float, x1: float, y1: float, cost: float) -> None:
        """A label across this line costs `cost`."""
        n = max(1, int(max(abs(x1 - x0), abs(y1 - y0)) / _CELL * 2) + 1)
        cells = {(int((x0 + (x1 - x0) * k / n) // _CELL), int((y0 + (y1 - y0) * k / n) // _CELL)) for k in range(n + 1)}
        for cell in sorted(cells):
            self._lines.setdefault(cell, []).append((x0, y0, x1, y1, cost))

    def free(self, box: Box) -> bool:
        """Whether the place is on the page and touches no label."""
        if not _inside(box, (0.0, 0.0, self.width, self.height)):
            return False
        return not any(_meet(box, other) for cell in _cells(box) for other in self._taken.get(cell, ()))

    def cost(self, box: Box, limit: float) -> float:
        """What lies under the place; not counted further once it is `limit`."""
        total = 0.0
        cells = _cells(box)
        counted: set[tuple[Box, float] | tuple[float, float, float, float, float]] = set()
        for cell in cells:
            for hit in self._boxes.get(cell, ()):
                if hit not in counted and _meet(box, hit[0]):
                    counted.add(hit)
                    total += hit[1]
            for line in self._lines.get(cell, ()):
                if line not in counted and _crosses(line, box):
                    counted.add(line)
                    total += line[4]
                    if total >= limit:
                        return total
        return total

    def place(self, boxes: Iterable[Box], limit: float, within: Box) -> Box | None:
        """The best of `boxes`, wished for in this order; it is taken then.

        None if each reaches out of `within`, touches a label, or costs more than `limit`.
        """
        best: Box | None = None
        least = limit
        for rank, box in enumerate(boxes):
            if rank * 0.5 > least or not _inside(box, within) or not self.free(box):
                continue
            cost = self.cost(box, least) + rank * 0.5
            if cost < least:
                best, least = box, cost
        if best is not None:
            self.take(best)
        return best


def _cells(box: Box) -> list[tuple[int, int]]:
    return [
        (i, j)
        for i in range(int(box[0] // _CELL), int(box[2] // _CELL) + 1)
        for j in range(int(box[1] // _CELL), int(box[3] // _CELL) + 1)
    ]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(box: Box, page: Box) -> bool:
    return box[0] >= page[0] and box[1] >= page[1] and box[2] <= page[2] and box[3] <= page[3]


def _crosses(line: tuple[float, float, float, float, float], box: Box) -> bool:
    """Liang and Barsky's clipping, asked only whether anything is left."""
    x0, y0, x1, y1, _ = line
    low, high = 0.0, 1.0
    for p, q in ((x0 - x1, x0 - box[0]), (x1 - x0, box[2] - x0), (y0 - y1, y0 - box[1]), (y1 - y0, box[3] - y0)):
        if p == 0:
            if q < 0:
                return False
        elif p < 0:
            low = max(low, q / p)
        else:
            high = min(high, q / p)
    return low < high
