"""Where on the page moments and lanes stand, before anything is drawn.

A moment stands at its column: only events that are drawn have one, so the picture
has no empty stretches however much bookkeeping lies between two events. By time,
columns move apart where time passes. A lane has its row. Lengths are points of 1/72
inch, y grows upwards.
"""

from __future__ import annotations

import bisect
from itertools import accumulate, pairwise

from .lanes import Lane, LaneKey
from .story import Story

LEFT, RIGHT, BOTTOM = 112.0, 18.0, 42.0  # what lies beside the columns, and below the rows


class Columns:
    """A column for each moment of a story.

    `width`: of the page, at least `least` for the columns; None for one at which they can be labelled.
    `clock`: the time of each event, if the axis is one of time.
    """

    def __init__(self, story: Story, width: float | None, least: float, clock: list[float] | None) -> None:
        self.moments = story.columns
        steps = _steps(story, clock)
        total = sum(steps)
        if width is None:
            # Wide enough to label few events well, and never wider than a page can show.
            width = LEFT + RIGHT + max(560.0, min(46.0 * total, max(920.0, 16.0 * total), 2400.0))
        self.width = max(width, LEFT + RIGHT + least)
        self.right = self.width - RIGHT
        self.pitch = (self.width - LEFT - RIGHT) / total
        self.xs = [LEFT + self.pitch * passed for passed in accumulate(steps)][:-1]

    def x(self, moment: int | None, after: bool = False) -> float:
        """Where a moment stands; between two columns if it has none of its own; None: at the left or right edge."""
        if moment is None:
            return self.right if after else LEFT
        k = bisect.bisect_left(self.moments, moment)
        if k < len(self.moments) and self.moments[k] == moment:
            return self.xs[k]
        before = self.xs[k - 1] if k else LEFT
        behind = self.xs[k] if k < len(self.moments) else self.right
        return (before + behind) / 2


def _steps(story: Story, clock: list[float] | None) -> list[float]:
    """From the left edge to the first column, from column to column, and to the right edge.

    Even steps, with more room behind a wakeup: its two-line label stands there. By
    time the steps to another moment are longer, in proportion to the time between.
    """
    columns = story.columns
    wakeups = {a.at for a in story.arrows if a.kind == "wakeup"}
    wide = min(2.8, max(1.4, len(columns) / 14))  # about as many points, however many columns share the page
    steps = [1.0, *(wide if moment in wakeups else 1.0 for moment in columns)]
    late = any(a.kind in ("dispatch_wakeup", "failed") and a.at in columns[-2:] for a in story.arrows)
    steps[-1] = 3.0 if late else 1.6  # for the labels at the last columns
    if clock is not None and columns:
        passed = [max(0.0, clock[b] - clock[a]) for a, b in pairwise(columns)]
        room = max(8.0, 0.6 * len(columns)) / (sum(passed) or 1.0)
        for k, time in enumerate(passed, 1):
            steps[k] += room * time
    return steps


class Rows:
    """A row for each lane, below a header. `height`: of the page, and more if the rows need more; None for enough.

    `y`: the middle of each row; `band`: its lower and upper edge; `row`: the height of a coroutine's.
    """

    def __init__(self, lanes: list[Lane], header: float, width: float, height: float | None) -> None:
        n, shares = max(1, len(lanes)), sum(_share(lane) for lane in lanes) or 1.0
        if height is not None:
            self.height = max(height, header + BOTTOM + 4 * n)
        else:
            self.height = header + BOTTOM + shares * min(60.0, max(14.0, max(600.0, 0.45 * width) / n))
        self.row = (self.height - header - BOTTOM) / shares
        self.top = self.floor = self.height - header
        self.y: dict[LaneKey, float] = {}
        self.band: dict[LaneKey, tuple[float, float]] = {}
        for lane in lanes:
            height = self.row * _share(lane)
            self.y[lane.key] = self.floor - height / 2
            self.band[lane.key] = (self.floor - height, self.floor)
            self.floor -= height
        if not lanes:
            self.floor = BOTTOM


def _share(lane: Lane) -> float:
    return {"coroutine": 1.0, "socket": 0.95, "folded": 0.46}.get(lane.kind, 0.7)
