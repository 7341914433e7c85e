"""Exercises of notebook 14: what operations cost."""

from __future__ import annotations

from typing import Any

from .. import skynet
from ..core.errors import CallError, DriveTimeout
from ..node.node import mark
from ..trace.language import say
from .engine import Hint, Run, exercise, run


def _numbers(answer: Any) -> Hint:
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        return say("The answer is a list of two numbers.", "答案是两个数字的列表。")
    return None


@exercise(
    "14.1",
    "two calls, each with two messages and six switches; one lies within the other.",
    "两次调用，每次两条消息、六次切换；一次嵌在另一次里面。",
)
def _relay(answer: Any) -> Hint:
    if hint := _numbers(answer):
        return hint
    messages, switches = answer
    if messages == 2:
        return say(
            "Those are the messages of one call. B makes another one.", "那是一次调用的消息数。B 还要再调用一次。"
        )
    if messages != 4:
        return say(
            "Write down every message with its type: two requests, and what comes back for each.",
            "写下每条消息及其类型：两个请求，以及各自返回的消息。",
        )
    if switches == 6:
        return say(
            "Six is one call. B's handler is a caller, too: it parks and is resumed in between.",
            "六次是一次调用的。B 的处理函数自己也是调用者：中间要挂起再恢复。",
        )
    if switches == 8:
        return say(
            "Eight forgets that each retpack is a pair of switches of its own: RETURN, and resumed by suspend.",
            "八次漏掉了每个 retpack 自己的一对切换：RETURN，然后由 suspend 恢复。",
        )
    if switches != 12:
        return say(
            "Count for each coroutine the resumes and the yields: A's caller, B's handler, C's handler.",
            "对每个协程数恢复和让出：A 的调用者、B 的处理函数、C 的处理函数。",
        )
    return None


@exercise(
    "14.2",
    "25 sleep at the same time, and one more serves the others in turn; the second burst finds all of them in the pool.",
    "25 个同时在睡，另有一个轮流处理其余请求；第二批到来时它们都在池里。",
)
def _created(answer: Any) -> Hint:
    if hint := _numbers(answer):
        return hint
    first, second = answer
    if first in (50, 51):
        return say(
            "Do the handlers that answer at once need a coroutine each? When does the next message come: before or behind their EXIT?",
            "立刻作答的处理函数各需要一个协程吗？下一条消息在它们的 EXIT 之前还是之后？",
        )
    if first == 25:
        return say(
            "While 25 sleep, another one is needed for those that do not. Which coroutine is it, when the last request does not sleep?",
            "25 个在睡时，处理不睡的请求还需要一个。最后一个请求不睡时，用的是哪个协程？",
        )
    if first != 26:
        return say(
            "How many handlers are parked at the same time, at most? And how many run at the same time?",
            "最多同时有多少处理函数挂起？又有多少同时在运行？",
        )
    if second != 26:
        return say(
            "When the first burst is over, where are its coroutines? created counts those that were made.",
            "第一批结束后，那些协程在哪里？created 数的是新建的协程。",
        )
    return None


@exercise(
    "14.3",
    "one message carries as much as you put into it.",
    "一条消息能带多少由你决定。",
)
def _batch(program: Any) -> Hint:
    if not callable(program):
        raise TypeError("a program is expected here: a function")
    got: list[int] = []

    def adder() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, *numbers: int) -> None:
            got.append(len(numbers))
            skynet.retpack(sum(numbers))

    def stage() -> None:
        skynet.newservice(program, skynet.newservice(adder))

    found = run(stage)
    if found.errors:
        return say(
            f"A coroutine ends with {found.errors[0]!r}. Look at node.log_lines.",
            f"有协程以 {found.errors[0]!r} 结束。请看 node.log_lines。",
        )
    if not got:
        return say(
            "The adder is not asked at all. It is to make the sum; you are to send less.",
            "根本没有问 adder。求和仍由它做，要减少的是消息。",
        )
    if found.marks != ["total 499500"]:
        return say(
            f"The marks are {found.marks}, total 499500 is wanted once. Is the answer of the adder used?",
            f"标记是 {found.marks}，应只有一次 total 499500。用到 adder 的回答了吗？",
        )
    if len(got) > 10:
        return say(
            f"The adder gets {len(got)} messages. A handler takes any number of values; waiting for them at the same time does not make them fewer.",
            f"adder 收到 {len(got)} 条消息。处理函数可以接收任意多个值；同时等待并不会减少消息。",
        )
    if sum(got) < 1000:
        return say(
            f"The adder is given {sum(got)} numbers in all: the sum was made elsewhere.",
            f"adder 一共只收到 {sum(got)} 个数：求和是在别处做的。",
        )
    return None


@exercise(
    "14.4",
    "an error that you expect is an answer; the coroutine lives, and goes back into the pool.",
    "预料之中的错误就是一种回答；协程活着，回到池里。",
)
def _careless(program: Any) -> Hint:
    problem: list[str] = []

    def script(r: Run) -> None:
        for text, wanted in [("12", 12), ("no number", None), ("", None), ("-3", -3)] * 25:
            try:
                got = r.node.call(r.addr, "lua", text)
            except CallError:
                problem.append(say(
                    f"{text!r} still makes the handler raise. Look at created: each error costs a coroutine.",
                    f"{text!r} 仍会让处理函数抛错。看 created：每个错误损失一个协程。"))  # fmt: skip
                return
            except DriveTimeout:
                problem.append(say(
                    f"{text!r} gets no answer, and its caller hangs. None is an answer, too.",
                    f"{text!r} 没有得到回答，调用者挂住了。None 也是一种回答。"))  # fmt: skip
                return
            if got != wanted or type(got) is not type(wanted):
                problem.append(say(
                    f"{text!r} is answered with {got!r}; wanted is {wanted!r}.",
                    f"{text!r} 的回答是 {got!r}，应为 {wanted!r}。"))  # fmt: skip
                return

    found = run(program, script)
    if problem:
        return problem[0]
    made = found.count("co_create", how="new")
    if found.errors or made > 2:
        return say(
            f"All answers are right, but {len(found.errors)} coroutines end with an error and {made} were made: what raises behind the answer?",
            f"回答都对，但有 {len(found.errors)} 个协程以错误结束，新建了 {made} 个：作答之后是什么在抛错？",
        )
    return None


@exercise(
    "14.5",
    "each call waits in a coroutine of its own, so the waits lie beside each other.",
    "每个 call 在自己的协程里等待，所以等待是并排的。",
)
def _gather(program: Any) -> Hint:
    if not callable(program):
        raise TypeError("a program is expected here: a function")

    def slow(ticks: int) -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.sleep(ticks)
            skynet.retpack(ticks * 10)

    for times in ((5, 9, 2, 7), (3,), (4, 4, 4)):

        def stage(times: tuple[int, ...] = times) -> None:
            addresses = [skynet.newservice(slow, ticks) for ticks in times]
            mark("begin")
            skynet.newservice(program, *addresses)

        found = run(stage, lambda r: r.node.advance(100))
        if found.errors:
            return say(
                f"A coroutine ends with {found.errors[0]!r}. Look at node.log_lines.",
                f"有协程以 {found.errors[0]!r} 结束。请看 node.log_lines。",
            )
        marks = found.marks[1:]
        wanted = str([ticks * 10 for ticks in times])
        if not marks:
            return say(
                f"With services of {times} ticks nothing is marked. Ask node.waits(): who waits for a wakeup that has come already, or never comes?",
                f"服务耗时 {times} 时没有标记。看 node.waits()：谁在等一个已经来过或不会来的唤醒？",
            )
        if marks != [wanted]:
            return say(
                f"With services of {times} ticks the marks are {marks}; {wanted} is wanted, once. Is it marked when the last answer is there, and in the order of the addresses?",
                f"服务耗时 {times} 时标记是 {marks}；应只有一次 {wanted}。是最后一个回答到了才标记吗？是按地址的顺序吗？",
            )
        ticks = found.trace.ticks()
        begin, end = (found.trace.find("mark", text=text) for text in ("begin", wanted))
        if ticks[end] - ticks[begin] > max(times):
            return say(
                f"With services of {times} ticks it takes {ticks[end] - ticks[begin]} ticks, the slowest alone takes {max(times)}. In which coroutine does each call wait?",
                f"服务耗时 {times} 时用了 {ticks[end] - ticks[begin]} 个 tick，而最慢的只要 {max(times)} 个。每个 call 在哪个协程里等？",
            )
    return None
