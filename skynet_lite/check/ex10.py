"""Exercises of notebook 10: many coroutines in one service."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from .. import skynet
from ..node.node import mark
from ..trace.language import say
from .asking import NOTHING, ask, said_twice
from .engine import Hint, Run, among, exercise, plain, run


@exercise(
    "10.1",
    "the forks first, also the one made in a fork; then the mailbox: timer, message, and the answer to the yield.",
    "先是所有 fork，包括 fork 里的 fork；然后是消息队列：timer、message，最后是 yield 的响应。",
)
def _order(answer: Any) -> Hint:
    given = plain(answer)
    if not isinstance(given, list) or sorted(map(str, given)) != ["a", "b", "c", "message", "timer"]:
        return say("The answer is a list of the five marks.", "答案是包含五个标记的列表。")
    if given[0] != "a":
        return say(
            f"{given[0]} comes first? Forks run before the next message, and the timer of 0 ticks is a message.",
            f"{given[0]} 最先？fork 在下一条消息之前运行，而 0 tick 的定时器就是一条消息。",
        )
    if given[1] == "b":
        return say(
            "The second fork yields before it marks b. Where does the answer to yield_ stand?",
            "第二个 fork 在标记 b 之前让出。yield_ 的响应排在哪里？",
        )
    if given[1] != "c":
        return say(
            "All forks run before the next message, also those that a fork has made.",
            "所有 fork 都在下一条消息之前运行，fork 里的 fork 也一样。",
        )
    if given.index("timer") > given.index("message"):
        return say(
            "The timer of 0 ticks was set before the message was sent: who is first in the mailbox?",
            "0 tick 的定时器先设，消息后发：消息队列里谁在前？",
        )
    if given[-1] != "b":
        return say("When yield_ is called, what lies in the mailbox already?", "调用 yield_ 时，消息队列里已经有什么？")
    return None


@exercise(
    "10.2",
    "one reads before the yield, the other behind it.",
    "一个在让出之前读，另一个在让出之后读。",
)
def _line(answer: Any) -> Hint:
    return among(
        answer,
        [2, 3],
        {
            (3, 3): say(
                "total += fetch(n): does Python look at total before or behind the call of fetch? (The lost update of the account, in one line.)",
                "total += fetch(n)：Python 在调用 fetch 之前还是之后读取 total？（就是账户的丢失更新，写在一行里。）",
            ),
            (2, 2): say(
                "fetch(n) + total: operands are evaluated from left to right. When is total read?",
                "fetch(n) + total：操作数从左到右求值。total 是什么时候读的？",
            ),
            (3, 2): say(
                "The other way round: what is read before fetch yields can be old when it is used.",
                "反过来了：在 fetch 让出之前读到的，用的时候可能已经旧了。",
            ),
            (1, 3): say(
                "Both have read 0. Who writes last, the one with 1 or the one with 2?",
                "两个都读到 0。谁最后写，是 1 还是 2？",
            ),
        },
        say(
            "Write down for each of the two handlers: when does it read total, when does it write? Two numbers.",
            "分别写下两个处理函数何时读 total、何时写。答案是两个数字。",
        ),
    )


@exercise(
    "10.3",
    "five at the start (the start function's, and four); the message and four forks take them, two forks get new ones.",
    "启动时五个（启动函数一个，fork 四个）；消息和四个 fork 用掉它们，另两个 fork 得到新的。",
)
def _pool(answer: Any) -> Hint:
    return among(
        answer,
        [7, 2],
        {
            (6, 2): say(
                "The start function is still running while it forks: is its coroutine in the pool then?",
                "启动函数 fork 时自己还在运行：它的协程那时在池里吗？",
            ),
            (6, 1): say(
                "The handler is still running while it forks: its own coroutine is not in the pool, either.",
                "处理函数 fork 时自己也在运行：它的协程也不在池里。",
            ),
            (5, 0): say(
                "The six forks end at once, but when do they take their coroutines: at the call of fork, or when they run?",
                "六个 fork 立即结束，但它们何时取协程：调用 fork 时，还是运行时？",
            ),
            (12, 7): say(
                "At tick 5 the sleepers have ended. Where are their coroutines?",
                "第 5 个 tick 时睡眠者都已结束。它们的协程在哪里？",
            ),
            (11, 6): say(
                "At tick 5 the sleepers have ended. Where are their coroutines?",
                "第 5 个 tick 时睡眠者都已结束。它们的协程在哪里？",
            ),
        },
        say(
            "Write down the pool behind the start, at tick 2, and at each of the seven times that the message needs a coroutine. Two numbers.",
            "写下启动之后、第 2 个 tick 时、以及消息七次需要协程时的池。答案是两个数字。",
        ),
    )


# --------------------------------------------------------------------------- programs


@exercise(
    "10.4",
    "no money from nowhere, nobody hangs, and strangers do not wait for each other.",
    "钱不会凭空出现，没有人卡住，不相干的人互不等待。",
)
def _repaired(program: Any) -> Hint:
    def script(r: Run) -> None:
        def later(*transfers: tuple[Any, ...], ticks: int = 5) -> list[Any]:
            answers = ask(r, *(("transfer", *t) for t in transfers))
            r.node.advance(ticks)
            return answers

        asked = ask(r, ("transfer", "ann", "bob", 10), ("transfer", "bob", "cid", 50))
        r.said.append(list(asked))
        r.node.advance(5)
        r.said += [asked, ask(r, ("show",))[0]]
        r.said.append(list(later(("ann", "bob", 1), ("cid", "dan", 1), ticks=1)))
        r.node.advance(5)
        r.said.append(list(later(("ann", "bob", 1), ("bob", "ann", 1), ("cid", "ann", 1), ("ann", "cid", 1))))
        r.said.append(later(("dan", "ann", 70), ("dan", "bob", 70)))
        r.said.append(later(("ann", "ann", 5)))
        r.said.append(ask(r, ("show",))[0])

    found = run(program, script)
    at_once, two, accounts, strangers, crossed, poor, itself, final = found.said
    if said_twice(found):
        return say("A request is answered twice.", "有请求被回答了两次。")
    if at_once != [NOTHING, NOTHING]:
        return say(
            "A transfer is answered before a tick has passed: the office has not been asked (skynet.sleep(1)).",
            "一个 tick 还没过就回答了转账：没有去问办公室（skynet.sleep(1)）。",
        )
    if two != [True, True]:
        return say(
            f"Two transfers that are possible are answered with {two} after five ticks.",
            f"两笔可行的转账，五个 tick 后得到 {two}。",
        )
    if accounts != {"ann": 90, "bob": 60, "cid": 150, "dan": 100}:
        return say(
            f"ann gives bob 10 while bob gives cid 50; then the accounts are {accounts}. Whose value was read before the sleep, and written behind it?",
            f"ann 给 bob 10，同时 bob 给 cid 50；账户变成 {accounts}。谁的值在 sleep 之前读、之后写？",
        )
    if strangers != [True, True]:
        return say(
            f"ann to bob and cid to dan share no account; after one tick they have {strangers}. Is there one section for the whole bank?",
            f"ann→bob 和 cid→dan 没有共同账户；一个 tick 后得到 {strangers}。是不是整个银行只有一个临界区？",
        )
    if NOTHING in crossed:
        return say(
            f"ann to bob, bob to ann, cid to ann and ann to cid, all at once: after five ticks {crossed}. "
            "Does each hold one section and wait for the other's? Enter them always in the same order.",
            f"ann→bob、bob→ann、cid→ann、ann→cid 同时进行：五个 tick 后 {crossed}。是不是各占一个临界区又在等对方的？请总按同一顺序进入。",
        )
    if sorted(poor, key=str) != [False, True]:
        return say(
            f"dan has 101 and gives 70 twice at once: the answers are {poor}; one True and one False are wanted. "
            "Is the check on the same side of the sleep as the write?",
            f"dan 有 101，同时两次各给 70：回答是 {poor}；应为一个 True 一个 False。检查和写入在 sleep 的同一侧吗？",
        )
    if itself != [True]:
        return say(
            f"ann gives ann 5, and hears {itself[0]!r}. What if both sections are the same one?",
            f"ann 给 ann 5，得到 {itself[0]!r}。如果两个临界区是同一个呢？",
        )
    taker = "ann" if poor[0] else "bob"
    expected = {"ann": 89, "bob": 61, "cid": 149, "dan": 31}
    expected[taker] += 70
    if final != expected:
        return say(
            f"In the end the accounts are {final}, and should be {expected}.",
            f"最后账户是 {final}，应为 {expected}。",
        )
    return None


@exercise(
    "10.5",
    "a list, a wait and a wakeup: that is a critical section.",
    "一个列表、一次 wait、一次 wakeup：这就是临界区。",
)
def _section(make: Any) -> Hint:
    if not callable(make):
        raise TypeError("a function is expected here that returns a function")

    def whole() -> None:
        cs = make()

        def body(n: int) -> int:
            mark(f"in {n}")
            skynet.sleep(2)
            mark(f"out {n}")
            if n == 2:
                raise ValueError("2 fails")
            return n * 10

        def guest(*numbers: int) -> None:
            for n in numbers:
                try:
                    mark(f"got {cs(body, n)}")
                except ValueError:
                    mark(f"failed {n}")

        for numbers in ((1, 6), (2,), (3,)):
            skynet.fork(guest, *numbers)
        skynet.timeout(1, lambda: skynet.fork(guest, 4))
        skynet.timeout(30, lambda: skynet.fork(guest, 5))

    found = run(whole, lambda r: r.node.advance(31))
    moves = [m for m in found.marks if m.startswith(("in", "out"))]
    entered = [m[3:] for m in moves if m.startswith("in")]
    if found.errors:
        return say(
            f"A coroutine ends with {found.errors[0]!r}: only 2 raises, and its caller catches that.",
            f"有协程以 {found.errors[0]!r} 结束：只有 2 会抛出错误，而它的调用者会捕获。",
        )
    if found.count("table", table="queue"):
        return say("Without skynet.queue, please: wait and wakeup.", "请不要用 skynet.queue：用 wait 和 wakeup。")
    for first, second in pairwise(moves):
        if first.startswith("in") and second.startswith("in"):
            return say(f"`{second}` comes while `{first}` is inside.", f"`{first}` 还在里面，`{second}` 就来了。")
    if "failed 2" in found.marks and entered == ["1", "2"]:
        return say(
            "2 raises inside, and nobody gets in behind it. What has to be done on the way out of an error, too?",
            "2 在里面抛出错误，之后没有人能进。出错离开时也必须做什么？",
        )
    if "failed 2" not in found.marks and "out 2" in found.marks:
        return say("2 raises, and its caller does not hear of it.", "2 抛出错误，它的调用者却不知道。")
    if len(entered) < 6:
        return say(
            f"Six want in; only {entered} do. Does the one who leaves wake the next?",
            f"六个想进；只有 {entered} 进去了。离开的人唤醒下一个了吗？",
        )
    if entered[1] == "6":
        return say(
            "1 leaves, asks again as 6 at once, and is in before 2, who was waiting: between wakeup and resume the section must not be free.",
            "1 离开后立刻以 6 的身份再来，抢在等待的 2 之前：wakeup 和恢复之间，临界区不能是空闲的。",
        )
    if entered != ["1", "2", "3", "4", "6", "5"]:
        return say(
            f"They come in as {entered}; the order of their asking is 1, 2, 3, 4, 6, 5.",
            f"进入顺序是 {entered}；请求的顺序是 1、2、3、4、6、5。",
        )
    got = [m for m in found.marks if m.startswith("got")]
    if got[:1] != ["got 10"]:
        return say(
            f"What f returns should be returned: the first caller gets {got[:1]}.",
            f"f 的返回值应当返回：第一个调用者得到 {got[:1]}。",
        )
    return None
