"""The frozen stack of a parked coroutine, drawn from a trace: where it stopped, and what finds it again.

One idea: a yield leaves all the functions on the coroutine's stack where they are. So the picture has one
box for each, with the line that it is in, and beside them the entries of the tables that name the coroutine.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..trace.kinds import runtimes
from ..trace.language import say
from ..trace.text import printable
from .where import WIDTH, Map, Place, Shape, as_svg, box

if TYPE_CHECKING:
    from ..trace import Trace

LEFT, TOP, ROW, GAP, RIGHT = 40, 56, 46, 8, 576  # pixels: of the boxes of the stack, and where the tables begin
LETTERS, ROOM, ENTRIES = 57, 42, 4  # of a line of code, of an entry of a table; tables that are drawn


class Call(NamedTuple):
    """A function that has not returned: its name, its place, and the line that it is in."""

    function: str
    place: str
    line: str


@dataclass(frozen=True)
class Frozen(Map):
    """What `frozen` returns. `stack`: the outermost function first; `held`: (table, entry) that names the coroutine."""

    yielded: str = ""
    stack: tuple[Call, ...] = ()
    held: tuple[tuple[str, str], ...] = ()

    def shapes(self) -> Iterator[Shape]:
        return shapes(self.names[0], self.yielded, self.stack, self.held)


def frozen(trace: Trace, event: int) -> Frozen:
    """The stack that the yield at `event` (a number in the whole trace) froze, and the tables that name its coroutine.

    Raises IndexError for a number that is not there, ValueError for an event that is no yield or has no place noted.
    """
    whole = trace.whole
    e = whole[event]
    if e["e"] != "yield":
        raise ValueError(f"event {event} is {e['e']!r}, not a yield: trace.find('yield', command='SLEEP') finds one")
    if not (places := e.get("stack") or [e["at"]] if "at" in e else []):
        raise ValueError(f"event {event} has no stack: this recording notes no places")
    after = event  # the tables that the scheduler fills at once
    while after + 1 < len(whole) and whole[after + 1]["e"] == "table":
        after += 1
    tables = whole.state(after)["services"].get(e["service"], {})
    held = tuple(entry for name, table in tables.items() for entry in _naming(e["co"], name, table))
    stack = tuple(_call(whole, place) for place in reversed(places))
    yielded = " ".join(map(str, filter(None, (e["command"], e.get("session")))))
    calls, entries = " → ".join(call.function for call in stack), "; ".join(": ".join(entry) for entry in held)
    summary = say(f"{e['co']} frozen at yield {yielded}: {calls}", f"{e['co']} 冻结在 yield {yielded}：{calls}")
    alt = say(f"{summary}. What names it: {entries or 'nothing'}.", f"{summary}。记着它的表：{entries or '无'}。")
    drawn = shapes(e["co"], yielded, stack, held)
    height = _height(stack, held)
    return Frozen((e["co"],), as_svg(summary, alt, drawn, height), alt, summary, height, yielded, stack, held)


def _call(whole: Trace, place: str) -> Call:
    label, _, number = place.rpartition(":")
    lines = whole.sources.get(label, "").splitlines()
    if not number.isdigit() or int(number) > len(lines):
        return Call(label, place, "")
    return Call(_function("\n".join(lines), int(number)) or label, place, printable(lines[int(number) - 1].strip()))


def _function(source: str, line: int) -> str:
    """The innermost function around a line; "" if there is none, or if this is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    around = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.lineno <= line <= (n.end_lineno or 0)]
    return max(around, key=lambda n: n.lineno).name if around else ""


def _naming(co: str, name: str, table: Any) -> Iterator[tuple[str, str]]:
    entries = [f"{key} → {value}" for key, value in table.items()] if isinstance(table, dict) else []
    for entry in entries or (map(str, table) if isinstance(table, list) else ()):
        if co in entry.replace(",", " ").split():
            yield name, printable(entry)


def _height(stack: tuple[Call, ...], held: tuple[tuple[str, str], ...]) -> int:
    return TOP + max(len(stack), _rows(held)) * (ROW + GAP) + 44


def _rows(held: tuple[tuple[str, str], ...]) -> int:
    """Beside the stack: the tables, how many more there are, and suspend."""
    return min(len(held), ENTRIES + 1) + 1


def shapes(co: str, yielded: str, stack: tuple[Call, ...], held: tuple[tuple[str, str], ...]) -> Iterator[Shape]:
    height, right, caught = _height(stack, held), RIGHT - 56, RIGHT + 60
    texts: list[Shape] = []

    def write(x: float, y: float, text: str, kind: str = "soft", font: str = "", align: str = "start") -> None:
        texts.append(Shape("text", kind, [(x, y)], text=text, font=font, align=align))

    yield box(Place("page", 0, 0, WIDTH, height))
    y = TOP + max(0, _rows(held) - len(stack)) * (ROW + GAP)
    yield box(Place("group", LEFT - 16, y - 40, right - LEFT + 32, height - y + 24))
    write(LEFT, y - 16, say(f"{co}: its stack", f"{co} 的栈"), "ink", "bold")
    for call in stack:
        yield box(Place("code" if runtimes(call.place) else "coroutine", LEFT, y, right - LEFT, ROW))
        write(LEFT + 12, y + 19, _cut(call.function, LETTERS // 2), "ink", "mono")
        write(right - 12, y + 19, call.place, align="end")
        write(LEFT + 12, y + 38, _cut(call.line, LETTERS), font="mono")
        y += ROW + GAP
    low = y - GAP - ROW // 2
    write(
        LEFT,
        y + 14,
        say(f"frozen: no line here runs until {co} is resumed", "已冻结：恢复之前，这里的每一行都不再运行"),
    )
    write(RIGHT, 40, say("what finds it again", "靠什么找回它"), "ink", "bold")
    for n, (name, entry) in enumerate(held[:ENTRIES]):
        y = TOP + n * (ROW + GAP)
        yield box(Place("table", RIGHT, y, WIDTH - RIGHT - 24, ROW))
        write(RIGHT + 12, y + 19, name, "ink", "mono")
        write(RIGHT + 12, y + 38, _cut(entry, ROOM))
    if len(held) > ENTRIES:
        write(RIGHT + 12, y + ROW + GAP + 19, f"+ {len(held) - ENTRIES}")
    yield box(Place("code", caught, low - ROW // 2, WIDTH - caught - 24, ROW))
    write(caught + 12, low - 4, "suspend", "ink", "mono")
    write(caught + 12, low + 15, say("the scheduler's, and running", "调度器的，正在运行"))
    yield Shape("arrow", "arrow", [(right, low), (caught, low)])
    write((right + 16 + caught) / 2, low - 8, "yield", align="middle")
    write((right + 16 + caught) / 2, low + 18, _cut(yielded, 11), align="middle")
    yield from texts


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
