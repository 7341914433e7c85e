"""The wait-for graph as a picture: who is parked, and what each one waits for.

A column for each step away from the end of the wait: what is waited for stands to
the right of who waits. Circles are red, and their last arrow leads back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from .figure import DARK as _DARK, LIGHT as _LIGHT, Timeline, clean as _clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..trace.waits import Wait, Waits

_WIDTH, _HEIGHT, _GAP, _ROW = 132.0, 34.0, 104.0, 58.0
_SIZE, _SMALL = 8.5, 7.5


def draw(waits: Waits, *, title: str = "who waits for whom", dark: bool = False) -> Timeline:
    """A matplotlib figure. Boxes are coroutines, services, timers and sockets; an arrow leads to what is waited for."""
    t = _DARK if dark else _LIGHT
    at = _places(waits)
    width = max((x for x, _ in at.values()), default=0.0) + _WIDTH + 24
    height = max((y for _, y in at.values()), default=60.0) + _HEIGHT + (48 if waits.circles() else 24)
    width = max(width, 420.0)
    figure = Timeline(figsize=(width / 72, height / 72), facecolor=t.page)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.text(24, 26, _clean(title), color=t.ink, size=12, weight="bold", va="center", parse_math=False)
    circled = {wait.who for circle in waits.circles() for wait in circle}
    for node, (x, y) in at.items():
        who = next((w.who for w in waits if waits.label(w.who) == node), None)
        colour = t.failed if who in circled else t.rule
        box = FancyBboxPatch((x, y), _WIDTH, _HEIGHT, boxstyle="round,pad=0,rounding_size=5", fc=t.band, ec=colour)
        axes.add_patch(box)
        head, _, rest = node.partition(" of ")
        middle = y + _HEIGHT / 2
        axes.text(
            x + _WIDTH / 2, middle - (7 if rest else 0), _clean(head, limit=24), color=t.ink, size=_SIZE, weight="bold",
            ha="center", va="center", parse_math=False,
        )  # fmt: skip
        if rest:
            axes.text(
                x + _WIDTH / 2, middle + 7, _clean(rest, limit=26), color=t.faint, size=_SMALL, ha="center",
                va="center", parse_math=False,
            )  # fmt: skip
    for wait in waits:
        red = wait.who in circled
        _arrow(
            axes, at[waits.label(wait.who)], at[_target(waits, wait)], _label(wait), t.failed if red else t.ink, t.page
        )
    if not len(waits):
        axes.text(24, 60, "nobody waits", color=t.faint, size=_SIZE, va="center")
    figure.summary = f"waits: {len(waits)} parked coroutines, {len(waits.circles())} circles"
    figure.description = f"{title}: {waits!s}".replace("\n", "; ")
    return figure


def _target(waits: Waits, wait: Wait) -> str:
    """The box that an arrow leads to."""
    if wait.target is not None:
        return waits.label(wait.target)
    if wait.kind == "call":
        name = waits.names.get(wait.to, "")
        return {"nobody": "nobody", "coming": "an answer on its way"}.get(
            wait.state, f"{'mailbox' if wait.state == 'queued' else 'service'} of {name} {wait.to}"
        )
    if wait.kind == "socket":
        return wait.on.partition(",")[0]
    return "a wakeup" if wait.kind == "sleep" else "the timer"


def _label(wait: Wait) -> str:
    what = {
        "call": f"CALL {wait.session}", "queue": f"SLEEP {wait.session}, in queue", "sleep": f"SLEEP {wait.session}",
        "timer": wait.on.removeprefix("its timer, "),
    }.get(wait.kind, wait.on.rpartition(", in ")[2])  # fmt: skip
    return f"{what}\nat {wait.place}" if wait.place else what


def _places(waits: Waits) -> dict[str, tuple[float, float]]:
    """Left upper corners of the boxes. A chain of waits has a row of its own, as far as its boxes have no other."""
    follows = {waits.label(w.who): _target(waits, w) for w in waits}
    circles = waits.circles()
    depth: dict[str, int] = dict.fromkeys([*follows, *follows.values()], 0)
    for circle in circles:
        for k, wait in enumerate(circle):
            depth[waits.label(wait.who)] = k
    for _ in depth:  # at most so many rounds: whatever waits stands left of what it waits for
        behind = [n for n, target in follows.items() if depth[target] <= depth[n] and not _leads(follows, target, n)]
        for node in behind:
            depth[follows[node]] = depth[node] + 1
        if not behind:
            break
    chains = [[waits.label(w.who) for w in circle] for circle in circles]
    heads = [n for n in follows if n not in follows.values()]
    for node in [*heads, *follows]:
        chain = [node]
        while chain[-1] in follows and follows[chain[-1]] not in chain:
            chain.append(follows[chain[-1]])
        chains.append(chain)
    at: dict[str, tuple[float, float]] = {}
    y = 60.0
    for n, chain in enumerate(chains):
        fresh = [node for node in chain if node not in at]
        for node in fresh:
            at[node] = (24 + depth[node] * (_WIDTH + _GAP), y)
        if fresh:
            y += _ROW * (1.9 if n < len(circles) else 1)  # room below a circle for the arrow that leads back
    return at


def _leads(follows: dict[str, str], start: str, goal: str) -> bool:
    seen: set[str] = set()
    here: str | None = start
    while here is not None and here not in seen:
        if here == goal:
            return True
        seen.add(here)
        here = follows.get(here)
    return False


def _arrow(
    axes: Axes, start: tuple[float, float], stop: tuple[float, float], label: str, colour: str, page: str
) -> None:
    """From the right side of one box to the left of the next; backwards, in a circle, below both."""
    back = stop[0] <= start[0]
    y0, y1 = start[1] + _HEIGHT / 2, stop[1] + _HEIGHT / 2
    if back:
        tail, tip = (start[0] + _WIDTH / 2, start[1] + _HEIGHT), (stop[0] + _WIDTH / 2, stop[1] + _HEIGHT)
        bow = min(0.25, 2 * (_ROW - 10) / (abs(tail[0] - tip[0]) + 1))  # as deep as the room below
        bend = f"arc3,rad={-bow}" if start[0] != stop[0] else "arc3,rad=-0.6"
        middle = ((tail[0] + tip[0]) / 2, max(tail[1], tip[1]) + max(10.0, abs(tail[0] - tip[0]) * bow / 2))
    else:
        tail, tip, bend = (start[0] + _WIDTH + 2, y0), (stop[0] - 2, y1), "arc3"
        part = 0.45 * _GAP / (tip[0] - tail[0])  # in the first gap, where no two arrows cross
        middle = (tail[0] + (tip[0] - tail[0]) * part, tail[1] + (tip[1] - tail[1]) * part)
    axes.add_patch(
        FancyArrowPatch(
            tail, tip, connectionstyle=bend, arrowstyle="-|>", mutation_scale=10, color=colour, linewidth=1.1,
            shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip
    axes.text(
        *middle, label, color=colour, size=_SMALL, ha="center", va="center", parse_math=False, linespacing=1.1,
        bbox={"facecolor": page, "edgecolor": "none", "pad": 1.2},
    )  # fmt: skip
