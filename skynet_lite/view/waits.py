"""The wait-for graph as a picture: who is parked, and what each one waits for.

A column for each step away from the end of the wait: what is waited for stands to
the right of who waits. Circles are red, and their last arrow leads back. What is guessed
is dashed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from ..trace.language import speaking
from .figure import DARK, LIGHT, SMALL, Page, Timeline, clean, extent, legible
from .forms import count, word
from .labels import Point, along, beside

if TYPE_CHECKING:
    from ..trace.waits import Wait, Waits, Who

_WIDTH, _HEIGHT, _GAP, _ROW, _BELOW = 132.0, 34.0, 116.0, 58.0, 24.0
Node = tuple[str, str]
"""The two lines of a box."""


def draw(waits: Waits, *, title: str | None = None, dark: bool = False, lang: str | None = None) -> Timeline:
    """A matplotlib figure. Boxes are coroutines, services, timers and sockets; an arrow leads to what is waited for.

    `lang`: as for a timeline. Raises ValueError for a language that is not there.
    """
    with speaking(lang) as wished:
        with speaking(legible(wished)):
            figure = _draw(waits, word("fig.waits.title") if title is None else title, dark)
        title = word("fig.waits.title") if title is None else title
        figure.summary = word("alt.waits.summary", n=count(len(waits), "wait"), k=count(len(waits.circles()), "circle"))
        figure.description = word("alt.waits", title=title, waits=str(waits)).replace("\n", "; ")
    return figure


def _draw(waits: Waits, title: str, dark: bool) -> Timeline:
    at = _places(waits)
    width = max(420.0, max((x for x, _ in at.values()), default=0.0) + _WIDTH + 24)
    height = max((y for _, y in at.values()), default=60.0) + _HEIGHT + (48 if waits.circles() else 24)
    page = Page(width, height, DARK if dark else LIGHT)
    t = page.theme
    page.fixed(24, height - 26, clean(title, limit=int(width / 8)), t.ink, "left", bold=True, size=12)
    circled = {wait.who for circle in waits.circles() for wait in circle}
    red = {_box(waits, who) for who in circled} | {_target(waits, w) for w in waits if w.state == "silent"}
    corners = {node: (x, height - y - _HEIGHT) for node, (x, y) in at.items()}  # as the page counts: upwards
    for node, (x, y) in corners.items():
        page.axes.add_patch(
            FancyBboxPatch(
                (x, y), _WIDTH, _HEIGHT, boxstyle="round,pad=0,rounding_size=5", fc=t.band,
                ec=t.failed if node in red else t.rule,
            )
        )  # fmt: skip
        head, rest = node
        middle = y + _HEIGHT / 2
        page.fixed(x + _WIDTH / 2, middle + (7 if rest else 0), clean(head, limit=22), t.ink, bold=True)
        if rest:
            page.fixed(x + _WIDTH / 2, middle - 7, clean(rest, limit=24), t.faint, size=SMALL)
        page.placer.avoid((x, y, x + _WIDTH, y + _HEIGHT), 1000)
    for wait in waits:
        colour = t.failed if wait.who in circled else t.ink
        line = "--" if wait.guess else "-"
        _arrow(page, corners[_box(waits, wait.who)], corners[_target(waits, wait)], _label(wait), colour, line)
    if not len(waits):
        page.fixed(24, height - 60, word("fig.waits.none"), t.faint, "left")
    return page.figure


def _box(waits: Waits, who: Who) -> Node:
    return who[1], waits.named(who[0])


def _target(waits: Waits, wait: Wait) -> Node:
    """The box that an arrow leads to."""
    if wait.target is not None:
        return _box(waits, wait.target)
    if wait.kind == "call":
        if not wait.to:
            return "?", waits.label(wait.who)
        if wait.state in ("nobody", "coming"):
            return word(f"fig.waits.{wait.state}"), ""
        what = {"queued": "mailbox", "silent": "silent"}.get(wait.state, "service")
        return word(f"fig.waits.{what}"), f"{waits.names.get(wait.to, '')} {wait.to}"
    if wait.kind in ("socket", "offload"):
        return (f"socket {wait.id or '?'}", wait.named) if wait.kind == "socket" else (wait.named, "")
    what = {"sleep": "wakeup", "queue": "section"}.get(wait.kind, "timer")
    return word(f"fig.waits.{what}"), waits.named(wait.service) if wait.kind == "queue" else ""


def _label(wait: Wait) -> str:
    what = {
        "call": f"CALL {wait.session}", "queue": word("fig.waits.queue", session=wait.session),
        "sleep": f"SLEEP {wait.session}", "socket": wait.function, "offload": f"CALL {wait.session}",
        "timer": word("fig.waits.tick", tick=wait.tick or "?") if wait.tick is not None
        else "" if wait.said else word("fig.waits.fired"),
    }[wait.kind]  # fmt: skip
    return f"{what}\n{clean(word('fig.waits.at', place=wait.place))}" if wait.place else what


def _places(waits: Waits) -> dict[Node, tuple[float, float]]:
    """Left upper corners of the boxes. A chain of waits has a row of its own, as far as its boxes have no other."""
    follows = {_box(waits, w.who): _target(waits, w) for w in waits}
    circles = waits.circles()
    depth: dict[Node, int] = dict.fromkeys([*follows, *follows.values()], 0)
    for circle in circles:
        for k, wait in enumerate(circle):
            depth[_box(waits, wait.who)] = k
    rings = {_box(waits, wait.who): [_box(waits, w.who) for w in circle] for circle in circles for wait in circle}
    for _ in depth:  # at most so many rounds: whatever waits stands left of what it waits for
        behind = [n for n, target in follows.items() if depth[target] <= depth[n] and not _leads(follows, target, n)]
        for node in behind:
            target, by = follows[node], depth[node] + 1 - depth[follows[node]]
            for box in rings.get(target, [target]):
                depth[box] += max(0, by)  # a circle moves as a whole, or two of its boxes would lie on each other
        if not behind:
            break
    chains = [[_box(waits, w.who) for w in circle] for circle in circles]
    heads = [n for n in follows if n not in follows.values()]
    for node in [*heads, *follows]:
        chain = [node]
        while chain[-1] in follows and follows[chain[-1]] not in chain:
            chain.append(follows[chain[-1]])
        chains.append(chain)
    at: dict[Node, tuple[float, float]] = {}
    y = 60.0
    for n, chain in enumerate(chains):
        fresh = [node for node in chain if node not in at]
        for node in fresh:
            at[node] = (24 + depth[node] * (_WIDTH + _GAP), y)
        if fresh:
            y += _ROW * (1.9 if n < len(circles) else 1)  # room below a circle for the arrow that leads back
    return at


def _leads(follows: dict[Node, Node], start: Node, goal: Node) -> bool:
    seen: set[Node] = set()
    here: Node | None = start
    while here is not None and here not in seen:
        if here == goal:
            return True
        seen.add(here)
        here = follows.get(here)
    return False


def _arrow(page: Page, start: Point, stop: Point, label: str, colour: str, line: str = "-") -> None:
    """From the right side of one box to the left of the next; backwards, in a circle, below both."""
    if stop[0] <= start[0]:
        # To itself it needs two ends.
        apart = 0.0 if stop[0] < start[0] else 24.0
        tail, tip = (start[0] + _WIDTH / 2 + apart, start[1]), (stop[0] + _WIDTH / 2 - apart, stop[1])
        low, bend = min(tail[1], tip[1]) - _BELOW, 8.0
        points = [
            tail, (tail[0], low + bend), (tail[0], low), (tail[0] - bend, low),
            (tip[0] + bend, low), (tip[0], low), (tip[0], low + bend), tip,
        ]  # fmt: skip
        corner = [Path.LINETO, Path.CURVE3, Path.CURVE3]
        path = Path(points, [Path.MOVETO, *corner, *corner, Path.LINETO])
        wishes = along(tip[0], tail[0], low, bend)
        page.placer.avoid_line(tip[0], low, tail[0], low, 1000)
    else:
        tail, tip = (start[0] + _WIDTH + 2, start[1] + _HEIGHT / 2), (stop[0] - 2, stop[1] + _HEIGHT / 2)
        path = Path([tail, tip])
        # In the first gap, where no two arrows cross.
        part = min(1.0, _GAP / (tip[0] - tail[0]))
        end = (tail[0] + (tip[0] - tail[0]) * part, tail[1] + (tip[1] - tail[1]) * part)
        wishes = along(tail[0], end[0], tail[1], 2.0) if tail[1] == tip[1] else beside(tail, end)
        page.placer.avoid_line(*tail, *tip, 1000)
    page.axes.add_patch(
        FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=10, color=colour, linewidth=1.1, linestyle=line)
    )
    for text in dict.fromkeys((label, label.split("\n")[0])):  # with the line of code, if there is room
        box = page.placer.place(wishes(*extent(text, size=SMALL)), 100, (0, 0, page.width, page.height))
        if box is not None:
            page.text(box, text, colour, size=SMALL)
            return
