"""Exercises of notebook 11: programs that hang."""

from __future__ import annotations

from typing import Any

from .. import skynet
from ..core.errors import CallError, DriveTimeout
from ..node.node import mark
from ..trace.language import say
from .engine import Hint, Run, client, exercise, heard, plain, run


def _raised(found: Run) -> Hint:
    if found.errors:
        return say(
            f"A coroutine ends with {found.errors[0]!r}. Look at node.log_lines.",
            f"有协程以 {found.errors[0]!r} 结束。请看 node.log_lines。",
        )
    return None


def _circle(found: Run) -> Hint:
    circles = found.trace.waits().circles()
    if not circles:
        return None
    path = " → ".join(f"{wait.co} ({wait.on})" for wait in circles[0])
    return say(
        f"There is still a circle of waits: {path}. Which of these waits is not needed?",
        f"等待关系里还有环：{path}。其中哪一个等待是不必要的？",
    )


@exercise(
    "11.1",
    "an error and a circle are proved; what somebody may still do later is only suspected; a silent client is healthy.",
    "错误和环可以证明；以后还可能有人去做的只是可疑；客户端沉默是正常的。",
)
def _grades(answer: Any) -> Hint:
    expected = ["fault", "suspicion", "nothing", "suspicion", "fault"]
    hints = [
        say("1: the error is an event of the trace (co_error), and nobody caught it. Can that be disproved later?",
            "1：错误是 trace 里的事件（co_error），没有人捕获。以后能推翻吗？"),
        say("2: may a service that knows the id still call socket.start for it? Then what is that worth as a proof?",
            "2：知道这个 id 的服务以后还能调用 socket.start 吗？那么这能算证明吗？"),
        say("3: this is how a server waits all day. Look at what the tour says of echo when nobody speaks.",
            "3：服务器整天都是这样等的。看看第 00 章里没有人说话时的 echo。"),
        say("4: nobody has lost the session: the function can still be called. Which place of an answer is that, in who-can-answer?",
            "4：会话没有丢：那个函数还可以被调用。在 who-can-answer 里这是答案的哪一种来源？"),
        say("5: draw the waits: the caller waits for the handler, the handler for the section. Who is inside?",
            "5：画出等待关系：调用者等处理函数，处理函数等临界区。谁在里面？"),
    ]  # fmt: skip
    given = plain(answer)
    if not isinstance(given, list) or len(given) != 5:
        return say("The answer is a list of five words.", "答案是五个词的列表。")
    for value, right, hint in zip(given, expected, hints, strict=True):
        if value not in ("fault", "suspicion", "nothing"):
            return say(
                f"{value!r} is none of fault, suspicion and nothing.",
                f"{value!r} 不是 fault、suspicion、nothing 之一。",
            )
        if value != right:
            return hint
    return None


@exercise(
    "11.2",
    "each request has a coroutine of its own: those of 6 and 3 are parked, that of 0 answers.",
    "每个请求有自己的协程：处理 6 和 3 的挂起着，处理 0 的作答。",
)
def _ring(answer: Any) -> Hint:
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        return say("The answer is a list of a word and a number.", "答案是一个词和一个数字的列表。")
    deadlock, parked = plain(answer)
    if deadlock != "no":
        return say(
            "A circle of services is no circle of coroutines. When the third request reaches a: who in a is busy, and who handles it?",
            "服务成环不等于协程成环。第三个请求到达 a 时，a 里谁在忙？谁来处理它？",
        )
    if parked == 3:
        return say(
            "a gets the numbers 6, 3 and 0. Is the coroutine that handles 0 parked?",
            "a 收到 6、3、0。处理 0 的协程挂起了吗？",
        )
    if parked != 2 or type(parked) is bool:
        return say(
            "Which numbers reach a, when each step counts down by one and a's turn comes every third? Each of them has a coroutine.",
            "每一步减一、每三步轮到 a：哪些数字会到达 a？每个数字一个协程。",
        )
    return None


@exercise(
    "11.3",
    "the answer about the limit does not stand in line behind the payment that needs it.",
    "查询限额的回答不再排在需要它的付款后面。",
)
def _bank(program: Any) -> Hint:
    if not callable(program):
        raise TypeError("a program is expected here: a function")
    answers: list[Any] = []
    busy, most = [0], [0]

    def ledger() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, amount: int) -> None:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            limit = skynet.call(source, "lua", "limit")
            skynet.sleep(2)
            busy[0] -= 1
            skynet.retpack(min(amount, limit))

    def customers() -> None:
        bank = skynet.newservice(program, skynet.newservice(ledger))
        mark("started")
        for amount in (250, 30):
            skynet.fork(lambda amount: answers.append(skynet.call(bank, "lua", "pay", amount)), amount)

    found = run(customers, lambda r: r.node.advance(20))
    if "started" not in found.marks:
        return say(
            "Your bank does not start. It is a function with one argument, the address of the ledger.",
            "你的银行没有启动。它应是带一个参数（账本地址）的函数。",
        )
    if hint := _circle(found) or _raised(found):
        return hint
    if len(answers) < 2:
        return say(
            f"{2 - len(answers)} of two payments get no answer. Ask trace.verdicts() which handler ends without one.",
            f"两笔付款中有 {2 - len(answers)} 笔没有回答。用 trace.verdicts() 看看哪个处理函数没有作答就结束了。",
        )
    if most[0] > 1:
        return say(
            "Two payments are at the ledger at the same time. What has to stand in the section, and what must not?",
            "两笔付款同时到了账本。哪一段必须在临界区里，哪一段不能？",
        )
    if sorted(answers) != [30, 100]:
        return say(
            f"Payments of 250 and 30 with a limit of 100 give {answers}; the ledger answers 100 and 30.",
            f"限额 100，付款 250 和 30，得到 {answers}；账本的回答是 100 和 30。",
        )
    return None


@exercise("11.4", "every way through the handler answers, once.", "处理函数的每条路径都恰好作答一次。")
def _store(program: Any) -> Hint:
    script = [("set", "x", 1), ("get", "x"), ("set", "x", 2), ("get", "x"), ("get", "y"), ("get", "x")]
    expected = [None, 1, 1, 2, None, 2]
    said: list[str] = []

    def ask(r: Run) -> None:
        for words in script:
            try:
                r.said.append(r.node.call(r.addr, "lua", *words))
            except DriveTimeout:
                said.append(say(f"{words} gets no answer: no way through the handler may end without skynet.retpack.",
                                f"{words} 没有得到回答：处理函数的任何路径都不能不调用 skynet.retpack 就结束。"))  # fmt: skip
                return
            except CallError:
                said.append(say(f"{words} fails: its handler raised. A key that is not there is answered with None.",
                                f"{words} 失败：处理函数抛出了错误。不存在的键应回答 None。"))  # fmt: skip
                return

    found = run(program, ask)
    if said:
        return said[0]
    if "answered twice" in [v.kind for v in found.trace.verdicts()]:
        return say(
            "A handler answers twice; the second answer ends it with an error. Look at trace.verdicts().",
            "有处理函数作答两次，第二次以错误结束。看 trace.verdicts()。",
        )
    for words, got, wanted in zip(script, found.said, expected, strict=True):
        if got != wanted:
            return say(
                f"{words} is answered with {got!r}, wanted is {wanted!r}. get answers the value, set the value that it replaces.",
                f"{words} 的回答是 {got!r}，应为 {wanted!r}。get 回答当前值，set 回答被替换的值。",
            )
    return _raised(found)


@exercise(
    "11.5",
    "the boss asks the fact, left, and sleeps only while it is not so.",
    "老板看的是事实 left，只有不满足时才睡。",
)
def _jobs(program: Any) -> Hint:
    for jobs in ((5, 6), (1, 2), (1,), (3,), (), (2, 40)):
        found = run(program, lambda r: r.node.advance(100), *jobs)
        done = [m for m in found.marks if m == "all done"]
        if hint := _raised(found):
            return hint
        if not done:
            return say(
                f"With the jobs {jobs} nothing is all done. Ask node.waits(): for what does the boss wait, and who would wake it?",
                f"任务是 {jobs} 时没有 all done。看 node.waits()：老板在等什么？谁会唤醒它？",
            )
        n = found.trace.find("mark", text="all done")
        tick, last = found.trace.ticks()[n], max(jobs, default=0)
        if len(found.marks) != 1 or tick < last:
            return say(
                f"With the jobs {jobs} the marks are {found.marks}, the first at tick {tick}: wanted is all done, once, and not before tick {last}.",
                f"任务是 {jobs} 时标记是 {found.marks}，第一个在第 {tick} 个 tick：应只有一次 all done，且不早于第 {last} 个 tick。",
            )
        if tick > max(3, last):
            return say(
                f"With the jobs {jobs} all is done at tick {last}, and your mark comes at tick {tick}.",
                f"任务是 {jobs} 时第 {last} 个 tick 就全部完成了，你的标记在第 {tick} 个 tick 才出现。",
            )
        if found.count("yield", command="SLEEP") > len(jobs) + 4:
            return say(
                f"With the jobs {jobs} your program sleeps {found.count('yield', command='SLEEP')} times: it asks again and again. Let the wakeup tell it.",
                f"任务是 {jobs} 时你的程序睡了 {found.count('yield', command='SLEEP')} 次：它在反复询问。让唤醒来通知它。",
            )
    return None


@exercise(
    "11.6",
    "the one who reads is the one who hears of the end.",
    "谁在读，谁就会知道连接的结束。",
)
def _reader(program: Any) -> Hint:
    def script(r: Run) -> None:
        a, b = client(r), client(r)
        r.node.advance(5)
        for c, text in ((a, b"one\n"), (b, b"two\n"), (a, b"three\n")):
            c.send(text)
            r.node.advance(5)
            r.said.append(heard(r, c))
        a.close()
        r.node.advance(5)
        r.said.append(r.marks.count("gone"))
        r.said.append([state for state, _ in r.node.tables()["sockets"].values()])

    found = run(program, script)
    if any("one reader for each socket" in error for error in found.errors):
        return say(
            "There are still two readers of one socket, and the second raises. Who gets None when the client leaves? That one can say so.",
            "一个 socket 仍有两个读者，第二个会抛错。客户端离开时谁得到 None？由它来说就行。",
        )
    if hint := _raised(found):
        return hint
    *lines, gone, sockets = found.said
    if lines != [b"one\n", b"two\n", b"three\n"]:
        return say(
            f"The clients sent one, two, three and heard {lines}. Who has read their lines?",
            f"客户端发了 one、two、three，听到的是 {lines}。这些行被谁读走了？",
        )
    if gone != 1:
        return say(
            f"One client has left, and there are {gone} marks gone. Behind which line does a coroutine know it?",
            f"一个客户端离开了，gone 标记有 {gone} 个。协程在哪一行之后知道这件事？",
        )
    if sorted(sockets) != ["connected", "listen"]:
        return say(
            f"The sockets are {sockets}: the one of the client that left is not closed.",
            f"现在的 socket 是 {sockets}：离开的客户端那个没有关闭。",
        )
    return None


@exercise(
    "11.7",
    "whoever is inside may enter again, as long as it is the same coroutine.",
    "已在里面的协程可以再次进入，只要还是同一个协程。",
)
def _twice(program: Any) -> Hint:
    def script(r: Run) -> None:
        calls = [("twice", 10), ("add", 1)]

        def customer() -> None:
            for name, n in calls:
                skynet.fork(lambda name, n: r.said.append((name, skynet.call(r.addr, "lua", name, n))), name, n)

        r.node.newservice(customer)
        r.node.advance(20)

    found = run(program, script)
    if hint := _circle(found):
        return hint
    answers = dict(found.said)
    if hint := _raised(found):
        return hint
    if len(answers) < 2:
        return say(
            f"Of twice and add only {sorted(answers)} is answered. Look at node.waits().",
            f"twice 和 add 中只有 {sorted(answers)} 得到回答。看 node.waits()。",
        )
    if answers != {"twice": 20, "add": 21}:
        return say(
            f"twice(10) and add(1) answer {answers['twice']} and {answers['add']}: add came between the two additions, or beside them. Both have to be in one section.",
            f"twice(10) 和 add(1) 的回答是 {answers['twice']} 和 {answers['add']}：add 插进了两次加法之间。两次加法要在同一个临界区里。",
        )
    if not found.count("table", table="queue", op="push"):
        return say(
            "Nobody enters a critical section. Do the two additions, with a wait in each, still exclude others?",
            "没有人进入临界区。两次加法里都有等待，还能排除别人吗？",
        )
    return None
