"""Exercises of notebook 04: one message, one coroutine."""

from __future__ import annotations

from typing import Any

from .. import skynet
from ..node.node import mark
from ..trace.language import say
from .engine import Hint, Run, among, exercise, first_wrong, plain, raised, run


@exercise(
    "04.1",
    "co1, from the start function, and two more: quick and the last slow share one.",
    "启动函数留下的 co1，再加两个：quick 和最后的 slow 共用一个。",
)
def _how_many(answer: Any) -> Hint:
    return among(
        answer,
        3,
        {
            4: say(
                "Is the coroutine of quick still busy when the last slow comes? And where is the one of the start function?",
                "最后的 slow 到来时，quick 的协程还忙吗？启动函数的协程又在哪里？",
            ),
            5: say(
                "The start function's coroutine is in the pool: it takes part.", "启动函数的协程在池里，也会被用上。"
            ),
            2: say(
                "Two slow ones already keep two busy. What does quick get?", "前两个 slow 已占住两个。quick 用哪个？"
            ),
            1: say("A coroutine that sleeps is not in the pool.", "睡眠中的协程不在池里。"),
        },
        say(
            "Play it: write down the pool before each message. The answer is a number.",
            "一步步推演：写下每条消息之前的协程池。答案是一个数字。",
        ),
    )


@exercise("04.2", "three are in the pool; one of them serves both.", "池里有三个，其中一个服务了两次。")
def _afterwards(answer: Any) -> Hint:
    more, pool = answer
    if more not in (True, False) or type(pool) is not int:
        return say("The answer is True or False, and a number.", "答案是 True 或 False，以及一个数字。")
    if more:
        return say("When the first quick comes, is the pool empty?", "第一个 quick 到来时，池是空的吗？")
    if pool != 3:
        return say(
            "A coroutine goes back into the pool when its task has ended. How many had been made?",
            "任务结束后协程回到池里。一共造过几个？",
        )
    return None


@exercise(
    "04.3",
    "only responses find somebody; BREAK is found, and nobody is resumed.",
    "只有 response 会找到等待者；找到 BREAK 时谁也不恢复。",
)
def _half(answer: Any) -> Hint:
    given, right = plain(answer), ["create", "find", "create", "neither", "find"]
    if len(given) != 5 or not set(given) <= {"create", "find", "neither"}:
        return say('Five words, each "create", "find" or "neither".', "五个词，各为 create、find 或 neither。")
    hints = [
        say("A call from another service is a request.", "别的服务发来的 call 是请求。"),
        say(
            "A timer answers with a response: its session is in session_id_coroutine.",
            "定时器以 response 回答：它的会话在 session_id_coroutine 里。",
        ),
        say(
            "An ACCEPT is a socket message. Which half handles CONNECT in notebook 03?",
            "ACCEPT 是 socket 消息。第 03 章里 CONNECT 走的是哪一半？",
        ),
        say(
            "The late timer finds BREAK under its session. Is anybody resumed?",
            "迟到的定时器在会话下找到 BREAK。有谁被恢复吗？",
        ),
        say("The answer to our call is a response to somebody who waits.", "对我们 call 的回答是给等待者的 response。"),
    ]
    return first_wrong(given, right, hints)


def _questions(found: Run, *questions: int) -> None:
    def asker() -> None:
        for n in questions:
            skynet.fork(lambda n=n: mark(f"answer {skynet.call(found.addr, 'lua', n)}"))

    found.node.newservice(asker)
    found.node.advance(10)
    found.node.run_until_idle()


def _split(found: Run) -> tuple[list[str], list[str]]:
    """Marks of the program, and answers that the asker has got."""
    answers = [m.removeprefix("answer ") for m in found.marks if m.startswith("answer ")]
    return [m for m in found.marks if not m.startswith("answer ")], answers


@exercise("04.4", "the next message waits outside until the one before is through.", "前一个完成之前，后一个在外面等。")
def _stubborn(program: Any) -> Hint:
    found = run(program, lambda r: _questions(r, 1, 2, 3))
    marks, answers = _split(found)
    if not marks:
        return say('Nothing is marked. Is there a handler for "lua"?', "没有标记。设置了 lua 的处理函数吗？")
    if found.errors:
        return raised(found)
    if not any(e["e"] == "timer_set" and e["tick"] for e in found.trace):
        return say("The handler has to call skynet.sleep(1).", "处理函数里要调用 skynet.sleep(1)。")
    if marks[:2] == ["in 1", "in 2"]:
        return say(
            "in 2 comes before out 1: while 1 sleeps, its coroutine is out of the pool and the next message gets another. "
            "Let the second one wait until the first is through.",
            "in 2 在 out 1 之前：1 睡眠时它的协程不在池里，下一条消息得到另一个协程。让第二个等第一个完成。",
        )
    if marks != ["in 1", "out 1", "in 2", "out 2", "in 3", "out 3"]:
        return say(
            f"The marks are {marks}. Does one of them never get in?", f"标记是 {marks}。是不是有一个一直没进去？"
        )
    if answers != ["1", "2", "3"]:
        return say(
            f"The answers are {answers}. Each question n is answered with n.",
            f"回答是 {answers}。每个问题 n 应回答 n。",
        )
    return None


@exercise("04.5", "a variable of the service is seen by all its coroutines.", "服务里的变量对它的所有协程可见。")
def _counting(program: Any) -> Hint:
    def ask(r: Run) -> None:
        def asker(times: int) -> None:
            for _ in range(times):
                skynet.fork(lambda: mark(f"answer {skynet.call(r.addr, 'lua')}"))

        for times in (3, 1):
            r.node.newservice(asker, times)
            r.node.advance(10)
            r.node.run_until_idle()

    found = run(program, ask)
    _, answers = _split(found)
    if found.errors:
        return raised(found)
    if answers == ["3", "2", "1", "1"]:
        return None
    if answers == ["1", "1", "1", "1"]:
        return say("Do you count before the sleep, and read the counter behind it?", "是在睡眠之前计数、之后读取的吗？")
    if answers[:3] == ["3", "3", "3"]:
        return say("Who has answered is outside again: count down, too.", "回答之后就出去了：也要减一。")
    if answers[:3] == ["1", "2", "3"]:
        return say(
            "This is how many had come in, not how many are inside after the tick.",
            "这是进来了几个，而不是一个 tick 之后里面有几个。",
        )
    if answers[:3] == ["3", "2", "1"]:
        return say(
            f"The single message is answered with {answers[3:]}: the counter does not come back to 0.",
            f"单独一条得到 {answers[3:]}：计数没有回到 0。",
        )
    return say(
        f"Three at once and one alone are answered with {answers}.", f"同时三条和单独一条得到的回答是 {answers}。"
    )
