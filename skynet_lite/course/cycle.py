"""The loop of `suspend` as a cycle, and `wakeup_queue` as a queue with what is in it.

One idea: a resume, a yield, and the question who is next are three boxes in a ring; a coroutine
that is woken only joins the queue beside it. Failed calls and answers are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..trace.language import say
from .where import WIDTH, Map, Place, Point, Shape, as_svg, box

HEIGHT, ROOM = 344, 5  # pixels; entries that the queue has room for
BOXES = {  # of suspend, and what is around it; drawn in this order
    "suspend": Place("group", 24, 56, 446, 232),
    "resume": Place("code", 290, 78, 160, 36),
    "yields": Place("code", 290, 152, 160, 36, "do what it asks for", "执行 yield 的要求"),
    "dispatch_wakeup": Place("code", 290, 226, 160, 36),
    "coroutine": Place("coroutine", 640, 66, 150, 128, "a coroutine runs", "正在运行的协程"),
    "wakeup_queue": Place("table", 550, 228, 300, 32),
}
ARROWS: list[tuple[list[Point], Point, str, str, str]] = [
    ([(370, 18), (370, 78)], (380, 38), "start", "a message, or a fork", "一条消息，或一个 fork"),
    ([(450, 96), (640, 96)], (550, 89), "middle", "resume", "resume"),
    ([(640, 170), (450, 170)], (550, 163), "middle", "yield", "yield"),
    ([(370, 188), (370, 226)], (380, 212), "start", "ask", "询问"),
    (
        [(290, 244), (70, 244), (70, 96), (290, 96)],
        (80, 174),
        "start",
        "the next: False, BREAK",
        "下一个：False, BREAK",
    ),
    ([(550, 244), (450, 244)], (510, 237), "middle", "pop", "pop"),
    ([(790, 130), (872, 130), (872, 244), (850, 244)], (864, 150), "end", "wakeup", "wakeup"),
    ([(370, 262), (370, 326)], (380, 318), "start", "none to resume: return", "没有要恢复的协程：返回"),
]


def shapes(*woken: str) -> Iterator[Shape]:
    """All that is drawn, the lowest first; `woken`: the entries of the queue, the front one first."""
    texts = []

    def write(x: float, y: float, text: str, kind: str = "soft", font: str = "", align: str = "middle") -> None:
        texts.append(Shape("text", kind, [(x, y)], text=text, font=font, align=align))

    yield box(Place("page", 0, 0, WIDTH, HEIGHT))
    for name, place in BOXES.items():
        yield box(place)
        middle = place.x + place.width / 2
        if place.english:
            write(middle, place.y + place.height / 2 + 4.5, say(*place[-2:]), "ink")
        elif name == "suspend":
            write(place.x + 14, place.y + 24, name, "ink", "bold", "start")
        elif name == "wakeup_queue":
            write(place.x, place.y - 10, name, "ink", "mono", "start")
        else:
            write(middle, place.y + place.height / 2 + 4.5, name, "ink", "mono")
    left, top = BOXES["wakeup_queue"].x, BOXES["wakeup_queue"].y
    shown = woken if len(woken) <= ROOM else (*woken[: ROOM - 1], f"+{len(woken) - ROOM + 1}")
    for n, entry in enumerate(shown):
        cell = Place("coroutine", left + 6 + 58 * n, top + 5, 54, 22)
        yield box(cell)
        write(cell.x + 27, cell.y + 15.5, entry if len(entry) <= 6 else entry[:5] + "…", "ink")
    if not woken:
        write(left + 150, top + 20.5, say("empty", "空"))
    write(left + 6, top + 52, say("front: served first", "队首：先恢复"), align="start")
    write(left + 300, top + 52, say("end: just woken", "队尾：刚被唤醒"), align="end")
    for points, (x, y), align, english, chinese in ARROWS:
        yield Shape("arrow", "arrow", points)
        write(x, y, say(english, chinese), align=align)
    yield from texts


@dataclass(frozen=True)
class Cycle(Map):
    """What `cycle` returns; `names`: the entries of the queue."""

    def shapes(self) -> Iterator[Shape]:
        return shapes(*self.names)


def cycle(*woken: object) -> Cycle:
    """The loop of `suspend`, with these entries in `wakeup_queue`, the front one first.

    Of a live node: `cycle(*node.service(me).tables()["wakeup_queue"])`.
    """
    names = tuple(map(str, woken))
    queue = ", ".join(names) or say("empty", "空")
    summary = say(f"the loop of suspend; wakeup_queue: {queue}", f"suspend 的循环；wakeup_queue：{queue}")
    alt = say(
        f"The loop of suspend: resume → a coroutine runs → yield → dispatch_wakeup → the next → resume. "
        f"wakeup appends to wakeup_queue, dispatch_wakeup pops its front. In wakeup_queue: {queue}.",
        f"suspend 的循环：resume → 正在运行的协程 → yield → dispatch_wakeup → 下一个 → resume。"
        f"wakeup 追加到 wakeup_queue 的队尾，dispatch_wakeup 从队首取出。wakeup_queue：{queue}。",
    )
    return Cycle(names, as_svg(summary, alt, shapes(*names), HEIGHT), alt, summary, HEIGHT)
