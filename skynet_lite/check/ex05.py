"""Exercises of notebook 05: the wakeup queue."""

from __future__ import annotations

import inspect
import re
from typing import Any

from ..trace.language import say
from .engine import Hint, among, exercise, run


@exercise(
    "05.1",
    "c and a are in the queue when the timer's coroutine yields SLEEP; b is queued a tick later.",
    "定时器协程让出 SLEEP 时，队列里是 c 和 a；b 在下一个 tick 才入队。",
)
def _order(answer: Any) -> Hint:
    return among(
        answer,
        ["c", "a", "b"],
        {
            ("a", "b", "c"): say(
                "That is the order of waiting. The queue is filled by the calls of wakeup.",
                "这是等待的先后。队列的顺序由调用 wakeup 的先后决定。",
            ),
            ("a", "c", "b"): say(
                "wakeup(c) is called before wakeup(a); the queue is first in, first out.",
                "wakeup(c) 先于 wakeup(a) 调用，队列先进先出。",
            ),
            ("c", "b", "a"): say(
                "When is wakeup(b) called: before or behind the sleep? And who runs during the sleep?",
                "wakeup(b) 是在 sleep 之前还是之后调用的？sleep 期间谁在运行？",
            ),
        },
        say(
            "Write down wakeup_queue at the moment when the timer's coroutine yields SLEEP. The answer is a list of three letters.",
            "写下定时器协程让出 SLEEP 那一刻的 wakeup_queue。答案是三个字母的列表。",
        ),
    )


@exercise(
    "05.2",
    "skynet.wait clears its own entries, when it goes on: see sleep_session clear behind the resume.",
    "skynet.wait 恢复执行后自己清理：看 resume 之后的 sleep_session clear。",
)
def _gone(answer: Any) -> Hint:
    return among(
        answer,
        "wait, when it goes on",
        {
            "wakeup": say(
                "The table was printed right behind that event: the sleeper was in both tables.",
                "那个事件之后打印过这张表：睡眠者同时在两张表里。",
            ),
            "the exit of the waker": say(
                "That is the waker's yield. It changes no table of the sleeper.",
                "那是唤醒者的让出，不改动睡眠者的表。",
            ),
            "dispatch_wakeup": say(
                "It writes BREAK into another table, and resumes. Which line of the trace says sleep_session clear, and on which lane?",
                "它把 BREAK 写进另一张表，然后恢复。trace 里哪一行是 sleep_session clear？在哪个协程那一列？",
            ),
            "suspend": say(
                "suspend makes the entry. Look at the line behind the resume: the lane is the sleeper's own.",
                "登记的才是 suspend。看 resume 的下一行：是睡眠者自己那一列。",
            ),
        },
        say(
            "Look for `sleep_session clear` in the first canonical trace: which coroutine does it, and in which function?",
            "在第一段规范 trace 里找 `sleep_session clear`：哪个协程在哪个函数里做的？",
        ),
    )


@exercise(
    "05.3",
    "the first entry brings it to its next wait: it sleeps again, so the second entry is not stale.",
    "第一个条目让它走到下一次 wait：它又睡着了，所以第二个条目没有过期。",
)
def _twice(answer: Any) -> Hint:
    if type(answer) is not int:
        return say("The answer is a number.", "答案是一个数字。")
    hints = {
        1: say(
            "When the second entry comes up, where is the coroutine? It has gone round its loop.",
            "轮到第二个条目时，协程在哪里？它已经绕了一圈循环。",
        ),
        0: say(
            "The dispatch is over only when nobody can run: suspend has emptied the queue.",
            "没有人能运行时派发才结束：那时 suspend 已清空队列。",
        ),
    }
    if answer == 2:
        return None
    return hints.get(
        answer,
        say(
            "Each entry of the queue resumes once. How many entries are there?", "每个条目恢复一次。队列里有几个条目？"
        ),
    )


@exercise(
    "05.4",
    "each item is got in the dispatch that puts it.",
    "每一项都在放入它的那次派发里被取走。",
)
def _repaired(program: Any) -> Hint:
    found = run(program, lambda r: r.node.advance(1))
    first, errors = found.marks, found.errors
    found = run(program, lambda r: r.node.advance(5))
    if found.errors or errors:
        return say(
            f"A coroutine ends with {found.errors[0]!r}. Look at node.log_lines.",
            f"有协程以 {found.errors[0]!r} 结束。请看 node.log_lines。",
        )
    if not found.count("wakeup"):
        return say(
            "Nothing is woken. Which function knows that an item is there, and which coroutine has to know?",
            "没有任何唤醒。哪个函数知道有了新东西？哪个协程需要知道？",
        )
    if not found.count("wakeup", queued=True):
        return say(
            "wakeup is called, but queues nobody: it was handed something that does not sleep. What does skynet.fork return?",
            "调用了 wakeup，但没有协程入队：传给它的东西并没有在睡。skynet.fork 返回什么？",
        )
    if found.marks != ["got x", "got y"]:
        return say(
            f"The marks are {found.marks}; got x and got y are wanted, once each.",
            f"标记是 {found.marks}；应当恰好是 got x 和 got y。",
        )
    if first != ["got x"]:
        return say(
            f"After tick 1 the marks are {first}: x should be got at the tick at which it is put.",
            f"第 1 个 tick 后标记是 {first}：x 应在放入的那个 tick 被取走。",
        )
    return None


@exercise(
    "05.5",
    "three wakeups, three suspends: the error of 2 keeps nobody back.",
    "三次唤醒，三次 suspend：2 的错误没有耽误任何人。",
)
def _gate(program: Any) -> Hint:
    found = run(program, lambda r: r.node.advance(1))
    waits = [m for m in found.marks if m.startswith("waits")]
    through = [m for m in found.marks if m.startswith("through")]
    if waits != ["waits 1", "waits 2", "waits 3"]:
        return say(
            f"The waiting marks are {waits}. Three forked coroutines should mark waits 1, waits 2, waits 3, in this order.",
            f"等待的标记是 {waits}。应有三个 fork 出的协程依次标记 waits 1、waits 2、waits 3。",
        )
    if not through:
        return say(
            "Nobody is through at tick 1. Is there a skynet.timeout(1, ...), and does it call wakeup?",
            "第 1 个 tick 没有人通过。有 skynet.timeout(1, ...) 吗？它调用 wakeup 了吗？",
        )
    if through[0] != "through 3":
        return say(
            f"{through[0]} comes first; the one that came last should.",
            f"先通过的是 {through[0]}；应当是最后来的先通过。",
        )
    if through != ["through 3", "through 2", "through 1"]:
        return say(
            f"At tick 1 only {through} are there: the error of 2 has ended the chain, and 1 still stands in wakeup_queue. "
            "Give each wakeup a suspend of its own, or keep the error from reaching suspend.",
            f"第 1 个 tick 只有 {through}：2 的错误中断了链条，1 还在 wakeup_queue 里。"
            "让每次唤醒有自己的 suspend，或不让错误传到 suspend。",
        )
    if not re.search(r"\braise\b", inspect.getsource(program)):
        return say("2 should raise an error right behind its mark.", "2 应在标记之后立刻抛出错误。")
    return None
