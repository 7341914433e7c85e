"""Exercises of notebook 09: call, ret, response."""

from __future__ import annotations

from typing import Any

from .. import skynet
from ..trace.language import say
from .asking import FAILED, NOTHING, ask, said_twice
from .engine import Hint, Run, among, exercise, plain, raised, run


@exercise(
    "09.1",
    "3 is a key twice, for B waits; 7 is a debt. A call is no sleep.",
    "3 两次作为键，因为 B 在等；7 是一笔债。call 不是 sleep。",
)
def _middle(answer: Any) -> Hint:
    by_id, watching, debt, sleep, later = plain(answer)
    if (by_id, watching) == (7, 7):
        return say(
            "These two tables are for whoever waits, and B waits for the answer to its own question. With which session?",
            "这两张表属于等待的一方，而 B 等的是自己那个问题的回答。会话号是几？",
        )
    if by_id != 3:
        return say(
            "session_id_coroutine: which number will the response carry that resumes B's handler?",
            "session_id_coroutine：恢复 B 的处理函数的那个响应带着几号会话？",
        )
    if watching != 3:
        return say(
            "watching_session notes the same number, and to whom the question went.",
            "watching_session 记下同一个号码，以及问题发给了谁。",
        )
    if debt != 7:
        return say(
            "session_coroutine_id is what B owes. How does A number its question?",
            "session_coroutine_id 是 B 欠的。A 给自己的问题编了几号？",
        )
    if sleep != 0:
        return say(
            "The handler has yielded CALL, not SLEEP. Look at the asker's tables at the beginning of this notebook.",
            "处理函数让出的是 CALL，不是 SLEEP。看本章开头提问者的表。",
        )
    if later != 0:
        return say(
            "unresponse is filled by skynet.response only; nobody has called it.",
            "只有 skynet.response 才填 unresponse；没有人调用它。",
        )
    return None


@exercise(
    "09.2",
    "ret goes on at once; the caller goes on when its mailbox has its turn; time stands still, so no end.",
    "ret 之后立即继续；调用者要等轮到自己的消息队列；时间不动，所以没有 end。",
)
def _order(answer: Any) -> Hint:
    return among(
        answer,
        ["ask", "begin", "answered", "got x", "begin", "answered"],
        {
            ("ask", "begin", "got x", "answered", "begin", "answered"): say(
                "Does anybody run between retpack and the next line? Look at the lines from `yield RETURN` to `resume by suspend`.",
                "retpack 和下一行之间有别人运行吗？看 `yield RETURN` 到 `resume by suspend` 那几行。",
            ),
            ("ask", "begin", "answered", "got x"): say(
                "The second message comes while the first handler sleeps. Does it have to wait?",
                "第二条消息到来时第一个处理函数在睡。它要等吗？",
            ),
            ("ask", "begin", "answered", "end", "got x", "begin", "answered", "end"): say(
                "Time stands still: who could end the sleep?", "时间不动：谁能结束 sleep？"
            ),
            ("ask", "begin", "answered", "got x", "begin", "answered", "end", "end"): say(
                "Time stands still: who could end the sleep?", "时间不动：谁能结束 sleep？"
            ),
            ("ask", "begin", "answered", "got x", "begin"): say(
                "ret on a sent message returns False; and then the handler goes on.",
                "对 send 的消息 ret 返回 False；然后处理函数继续。",
            ),
        },
        say(
            "Play it dispatch by dispatch: a service runs until nobody in it can, then the other has its turn. A list of marks.",
            "按一次次派发推演：一个服务运行到没有人能动，再轮到另一个。答案是标记的列表。",
        ),
    )


# --------------------------------------------------------------------------- programs


@exercise("09.3", "one way in, one answer out, whatever was asked.", "无论问什么，一个请求恰好一个回答。")
def _repaired(program: Any) -> Hint:
    requests = [("get", "x"), ("set", "x", 1), ("set", "x", 2), ("get", "x"), ("pop", "x"), ("pop", "x"), ("jump", "x"),
                ("get", "x")]  # fmt: skip
    expected = [None, None, 1, 2, 2, None, FAILED, None]
    found = run(program, lambda r: r.said.append(ask(r, *requests)))
    answers = found.said[0]
    if said_twice(found):
        return say(
            "A request is answered twice. Look at trace.verdicts(): it names the line.",
            "有请求被回答了两次。看 trace.verdicts()：它指出了行号。",
        )
    for request, wanted, got in zip(requests, expected, answers, strict=True):
        if got == wanted and type(got) is type(wanted):
            continue
        call = " ".join(map(str, request))
        if request[0] == "jump":
            if got == NOTHING:
                return say(
                    "The call `jump x` waits for ever. A handler that raises lets the call fail; one that just ends does not.",
                    "调用 `jump x` 永远等待。处理函数抛出错误会让调用失败；只是结束则不会。",
                )
            return say(
                f"The call `jump x` is answered with {got!r}; it should fail.",
                f"调用 `jump x` 得到 {got!r}；它应当失败。",
            )
        if got == NOTHING:
            return say(
                f"The call `{call}` is never answered. Follow its path through the handler.",
                f"调用 `{call}` 没有得到回答。沿着它在处理函数里的路径走一遍。",
            )
        return say(
            f"The calls {requests} are answered with {answers}; `{call}` should be answered with {wanted!r}.",
            f"调用 {requests} 得到 {answers}；`{call}` 应回答 {wanted!r}。",
        )
    return None


def _backend(tries: dict[int, int]) -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        tries[n] = tries.get(n, 0) + 1
        if n == 8:
            skynet.sleep(5)
        if n == 9 or (n == 1 and tries[n] == 1):
            raise ValueError("not this time")
        skynet.retpack(n * 10)


@exercise("09.4", "an error that is caught travels no further.", "被捕获的错误不再往前传。")
def _careful(program: Any) -> Hint:
    if not callable(program):
        raise TypeError("a program is expected here: a function of addr")
    tries: dict[int, int] = {}

    def whole() -> None:
        program(skynet.newservice(lambda: _backend(tries)))

    def script(r: Run) -> None:
        r.said.append(ask(r, (2,)))
        r.said.append(ask(r, (1,)))
        r.said.append(ask(r, (9,)))
        answers = ask(r, (8,), (3,))
        r.said.append(list(answers))
        r.node.advance(10)
        r.said.append(answers)

    found = run(whole, script)
    if said_twice(found):
        return say(
            "A request is answered twice: the try has retpack in it, or the loop goes on behind it.",
            "有请求被回答了两次：retpack 在 try 里，或者循环在它之后还继续。",
        )
    plainly, once, never, early, late = found.said
    if plainly != [20]:
        return say(
            f"The service addr answers 2 with 20, yours with {plainly[0]!r}.",
            f"addr 对 2 回答 20，你的服务回答 {plainly[0]!r}。",
        )
    if once != [10]:
        return say(
            f"The first call for 1 fails, the second is answered with 10; yours says {once[0]!r}. Where is CallError caught?",
            f"对 1 的第一次调用失败，第二次回答 10；你的服务说 {once[0]!r}。CallError 在哪里被捕获？",
        )
    if never != ["sorry"]:
        return say(
            f"Both calls for 9 fail; your service says {never[0]!r} instead of sorry.",
            f"对 9 的两次调用都失败；你的服务说 {never[0]!r}，而不是 sorry。",
        )
    if tries[9] != 2 or tries[2] != 1:
        return say(
            f"9 was tried {tries[9]} times, and 2 {tries[2]} times; twice and once are wanted.",
            f"9 试了 {tries[9]} 次，2 试了 {tries[2]} 次；应为两次和一次。",
        )
    if early != [NOTHING, 30]:
        return say(
            f"8 is slow, and 3 came behind it: before time moves they have {early}. Does 3 wait for 8?",
            f"8 很慢，3 跟在后面：时间移动之前得到 {early}。3 在等 8 吗？",
        )
    if late != [80, 30]:
        return say(f"In the end 8 and 3 are answered with {late}.", f"最后 8 和 3 得到 {late}。")
    return None


@exercise(
    "09.5",
    "debts without coroutines; TEST asks whether the creditor still lives.",
    "欠债不占协程；TEST 询问债主是否还在。",
)
def _trio(program: Any) -> Hint:
    waits: list[int] = []

    def one_by_one(r: Run) -> list[list[Any]]:
        answers = []
        for _ in range(3):
            answers.append(ask(r, ()))
            waits.append(len(r.node.service(r.addr).session_id_coroutine))
        return answers

    def mayfly() -> None:
        skynet.fork(lambda: skynet.call(addr[0], "lua"))
        skynet.timeout(1, skynet.exit)

    addr: list[int] = []

    def script(r: Run) -> None:
        addr.append(r.addr)
        two = [ask(r, ()), ask(r, ())]
        r.said.append([list(a) for a in two])
        waits.append(len(r.node.service(r.addr).session_id_coroutine))
        two.append(ask(r, ()))
        r.said.append(two)
        r.said.append(one_by_one(r))
        first = ask(r, ())
        r.node.newservice(mayfly)
        r.node.advance(2)
        second = ask(r, ())
        r.said.append([list(first), list(second)])
        third = ask(r, ())
        r.said.append([first, second, third])

    found = run(program, script)
    if found.errors:
        return raised(found)
    if said_twice(found):
        return say(
            "A request is answered twice: skynet.response comes instead of skynet.ret.",
            "有请求被回答了两次：skynet.response 是代替 skynet.ret 的。",
        )
    early, three, again, dead, living = found.said
    if early != [[NOTHING], [NOTHING]]:
        return say(
            f"Two have come, and they have {_flat(early)}: nobody should be answered yet.",
            f"来了两个，得到 {_flat(early)}：这时还不应回答任何人。",
        )
    if three != [[1], [2], [3]]:
        return say(
            f"Three have come, and are answered with {_flat(three)}; 1, 2, 3 in the order of their coming is wanted.",
            f"来了三个，得到 {_flat(three)}；应按到来的顺序回答 1、2、3。",
        )
    if any(waits):
        return say(
            "While callers wait, coroutines of the service are parked. What does skynet.response return?",
            "调用者等待时，服务里有协程停着。skynet.response 返回什么？",
        )
    if again != [[1], [2], [3]]:
        return say(
            f"The next three are answered with {_flat(again)}. What is left from the first three?",
            f"接下来的三个得到 {_flat(again)}。前三个留下了什么？",
        )
    if dead != [[NOTHING], [NOTHING]]:
        return say(
            f"One waits, one has ended while it waited, one more comes: they have {_flat(dead)}. The dead one was counted; see r('TEST').",
            f"一个在等，一个等待时已结束，又来一个：得到 {_flat(dead)}。死者被算进去了；看 r('TEST')。",
        )
    if living != [[1], [2], [3]]:
        return say(
            f"When three living ones are there, they have {_flat(living)}; 1, 2, 3 are wanted.",
            f"三个活着的到齐时，得到 {_flat(living)}；应为 1、2、3。",
        )
    return None


def _flat(answers: list[list[Any]]) -> list[Any]:
    return [a for one in answers for a in one]
