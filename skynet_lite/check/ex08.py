"""Exercises of notebook 08: time."""

from __future__ import annotations

from typing import Any

from .. import skynet
from ..trace.language import say
from .engine import Hint, Run, among, exercise, plain, raised, run

Timed = list[tuple[str, int]]


@exercise(
    "08.1",
    "a fork runs before the next message; the three others stand in the mailbox in the order of the calls.",
    "fork 在下一条消息之前运行；另外三个按调用顺序排在消息队列里。",
)
def _soon(answer: Any) -> Hint:
    given = plain(answer)
    if not isinstance(given, list) or sorted(map(str, given)) != sorted(
        ["fork", "zero", "fork of zero", "message", "yielded"]
    ):
        return say("The answer is a list of the five marks.", "答案是包含五个标记的列表。")
    if given[0] != "fork":
        return say(
            f"{given[0]} comes first? What does a service do before it takes its next message?",
            f"{given[0]} 最先？服务在取下一条消息之前做什么？",
        )
    if given.index("fork of zero") != given.index("zero") + 1:
        return say(
            "The fork of zero belongs to the message of the timer: it runs right behind it.",
            "zero 里的 fork 属于定时器的那条消息：紧跟其后运行。",
        )
    if given.index("zero") > given.index("message"):
        return say(
            "timeout(0) pushes its answer at once: the order in the mailbox is that of the calls.",
            "timeout(0) 立即把响应放进消息队列：队列里的顺序就是调用的顺序。",
        )
    if given[-1] != "yielded":
        return say(
            "yield_ is sleep(0): its answer stands behind everything that is in the mailbox already.",
            "yield_ 就是 sleep(0)：它的响应排在消息队列中已有消息的后面。",
        )
    return None


@exercise(
    "08.2",
    "A's timer was set first, so its message comes first; B finds nobody asleep.",
    "A 的定时器先设，消息先到；B 发现没有人在睡。",
)
def _race(answer: Any) -> Hint:
    slept, woke, broken = answer
    hints = {
        ("break", True, True): say(
            "B's second sleep begins at tick 4. Which of the two timers of tick 6 was set first?",
            "B 的第二次 sleep 从第 4 个 tick 开始。第 6 个 tick 的两个定时器，哪个先设？",
        ),
        (None, True, True): say(
            "If A is back already when B runs, whom does wakeup find in sleep_session?",
            "B 运行时 A 已经回来了，wakeup 在 sleep_session 里找到谁？",
        ),
        (None, False, True): say(
            "BREAK is written by dispatch_wakeup, for an entry of the queue. Is there one?",
            "BREAK 由 dispatch_wakeup 为队列里的条目写下。有条目吗？",
        ),
        ("break", False, False): say(
            "sleep returns BREAK only to somebody whom a wakeup has brought back.",
            "只有被 wakeup 唤回的人，sleep 才返回 BREAK。",
        ),
    }
    return among(
        [slept, woke, broken],
        [None, False, False],
        hints,
        say(
            "Three values: None or BREAK, then True or False, then True or False. Which of the two messages of tick 6 is dispatched first?",
            "三个值：None 或 BREAK，然后是两个 True 或 False。第 6 个 tick 的两条消息先派发哪条？",
        ),
    )


# --------------------------------------------------------------------------- programs


def _timed(found: Run, what: str = "") -> Timed:
    """The marks that begin with `what`, each with its tick."""
    ticks = found.trace.ticks()
    first = int(found.trace.snapshot.get("now", 0))
    return [
        (e["text"], ticks[i] - first)
        for i, e in enumerate(found.trace)
        if e["e"] == "mark" and e.get("service") and e["text"].startswith(what)
    ]


@exercise("08.3", "the next tick is ordered before the work begins.", "先预约下一次，再开始工作。")
def _steady(program: Any) -> Hint:
    found = run(program, lambda r: r.node.advance(45))
    if found.errors:
        return raised(found)
    if not found.marks:
        return say(
            "Nothing is marked in 45 ticks. Is the first timer set?", "45 个 tick 里没有标记。第一个定时器设了吗？"
        )
    if found.marks == ["at 10", "at 23", "at 36"]:
        return say(
            "The marks are 13 ticks apart: ten of the timer, three of the work. When is the next timer set?",
            "标记相隔 13 个 tick：定时器 10 个，工作 3 个。下一个定时器是什么时候设的？",
        )
    if found.marks != ["at 10", "at 20", "at 30", "at 40"]:
        return say(
            f"In 45 ticks the marks are {found.marks}; at 10, at 20, at 30, at 40 are wanted.",
            f"45 个 tick 里的标记是 {found.marks}；应为 at 10、at 20、at 30、at 40。",
        )
    real = [tick for _, tick in _timed(found)]
    if real != [10, 20, 30, 40]:
        return say(
            f"The texts are right, but the marks were made at the ticks {real}.",
            f"文字对了，但标记是在第 {real} 个 tick 做的。",
        )
    ticks = found.trace.ticks()
    worked = {ticks[i] for i, e in enumerate(found.trace) if e["e"] == "table" and e["table"] == "sleep_session"
              and e["op"] == "clear"}  # fmt: skip
    if not {13, 23, 33, 43} <= worked:
        return say(
            "The work is gone: each time, skynet.sleep(3) belongs to it.", "工作不见了：每次都应有 skynet.sleep(3)。"
        )
    return None


def _answering() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        skynet.sleep(n)
        skynet.retpack(n)


@exercise(
    "08.4",
    "each wait has a token of its own, so a late answer wakes nobody.",
    "每次等待有自己的 token，迟到的回答不会误唤醒。",
)
def _patient(program: Any) -> Hint:
    if not callable(program):
        raise TypeError("a program is expected here: a function of addr")

    def whole() -> None:
        program(skynet.newservice(_answering))

    found = run(whole, lambda r: r.node.advance(60))
    marks = _timed(found)
    if found.errors:
        return raised(found)
    if not marks:
        return say(
            "Nothing is marked. Run it with a service that answers, and look at node.log_lines.",
            "没有标记。用一个会回答的服务运行它，看看 node.log_lines。",
        )
    if marks == [("2: 2", 2), ("8: no answer", 7), ("4: 4", 11)]:
        return None
    if marks[0] != ("2: 2", 2):
        return say(
            f"The first mark is {marks[0][0]!r} at tick {marks[0][1]}; the answer to 2 is there after two ticks. Who ends the sleep then?",
            f"第一个标记是 {marks[0][0]!r}，在第 {marks[0][1]} 个 tick；对 2 的回答两个 tick 后就到了。那时谁来结束 sleep？",
        )
    if len(marks) > 1 and marks[1] == ("8: 8", 10):
        return say(
            "The answer to 8 was waited for, eight ticks long. A call cannot be given up: let another coroutine make it.",
            "对 8 的回答等了八个 tick。call 不能中途放弃：让另一个协程去调用。",
        )
    if marks[:2] == [("2: 2", 2), ("8: no answer", 7)] and len(marks) > 2 and marks[2][1] == 10:
        return say(
            f"{marks[2][0]!r} at tick 10: that is when the late answer to 8 comes. It wakes whoever sleeps, but this sleep is another one.",
            f"{marks[2][0]!r} 在第 10 个 tick：那正是对 8 的迟到回答到来的时刻。它唤醒了睡着的人，但这已是另一次 sleep。",
        )
    return say(
        f"The marks and their ticks are {marks}; wanted are 2: 2 at tick 2, 8: no answer at 7, 4: 4 at 11.",
        f"标记和时刻是 {marks}；应为第 2 个 tick 的 2: 2，第 7 个的 8: no answer，第 11 个的 4: 4。",
    )


@exercise(
    "08.5",
    "the timer comes all the same; it finds that it is not meant any more.",
    "定时器照样到来，只是发现自己已不算数。",
)
def _alarms(program: Any) -> Hint:
    def tell(r: Run, *messages: tuple[Any, ...]) -> None:
        r.node.newservice(lambda: [skynet.send(r.addr, "lua", *message) for message in messages])
        r.node.run_until_idle()

    def script(r: Run) -> None:
        tell(r, ("set", "a", 5), ("set", "b", 3), ("set", "c", 4), ("set", "d", 10), ("set", "e", 4))
        r.node.advance(1)
        tell(r, ("cancel", "b"), ("set", "c", 7), ("set", "d", 2), ("cancel", "e"), ("set", "e", 9), ("cancel", "z"))
        r.node.advance(30)
        tell(r, ("cancel", "a"))

    found = run(program, script)
    if found.errors:
        return say(
            f"A coroutine ends with {found.errors[0]!r}. (A name that is not set can be cancelled, too.)",
            f"有协程以 {found.errors[0]!r} 结束。（没有设置过的名字也可能被取消。）",
        )
    rings = _timed(found, "ring")
    if not rings:
        return say("No alarm rings at all.", "没有任何闹钟响。")
    expected = [("ring d", 3), ("ring a", 5), ("ring c", 8), ("ring e", 10)]
    if rings == expected:
        return None
    for ring, why in (
        (
            ("ring b", 3),
            say("b was cancelled at tick 1, and rings at 3.", "b 在第 1 个 tick 被取消，却在第 3 个响了。"),
        ),
        (
            ("ring c", 4),
            say(
                "c was moved from 4 to 8, and rings at 4: whose timer is it that has come?",
                "c 从第 4 个 tick 移到第 8 个，却在第 4 个响了：到来的是谁的定时器？",
            ),
        ),
        (
            ("ring e", 4),
            say(
                "e was cancelled at tick 1 and set again for 10, but it rings at 4. Setting a name must not revive the old timer.",
                "e 在第 1 个 tick 被取消，又设到第 10 个，却在第 4 个响了。重新设置不应让旧定时器复活。",
            ),
        ),
        (
            ("ring d", 10),
            say(
                "d was moved from 10 to 3, and rings at 10, too.", "d 从第 10 个 tick 移到第 3 个，却在第 10 个又响了。"
            ),
        ),
    ):
        if ring in rings:
            return why
    missing = next((ring for ring in expected if ring not in rings), ("", 0))
    return say(
        f"{missing[0]!r} is missing at tick {missing[1]}; there are {rings}.",
        f"第 {missing[1]} 个 tick 缺少 {missing[0]!r}；现有 {rings}。",
    )
