"""Exercises of notebook 02: the wait in socket.start."""

from __future__ import annotations

from typing import Any

from ..skynet import socket
from ..trace.language import say
from .engine import Hint, among, exercise, plain, run


@exercise(
    "02.1",
    "1 is the timer of skynet.start, 2 is the sleep, 3 is the wait in socket.start.",
    "1 是 skynet.start 的定时器，2 是 sleep，3 是 socket.start 里的等待。",
)
def _session(answer: Any) -> Hint:
    return among(
        answer,
        3,
        {
            1: say("Session 1 runs the start function itself.", "会话 1 用来运行启动函数本身。"),
            2: say("skynet.sleep takes a session, too, and comes first.", "skynet.sleep 也要取一个会话，而且在前面。"),
            4: say("Does socket.listen wait? Does it need a session?", "socket.listen 会等待吗？它需要会话吗？"),
        },
        say("Count who takes a session before. The answer is a number.", "数一数之前谁取过会话。答案是一个数字。"),
    )


@exercise(
    "02.2",
    "three functions of socket.py, one of skynet.py, and the switch.",
    "socket.py 的三个函数，skynet.py 的一个，然后是切换。",
)
def _way(answer: Any) -> Hint:
    given = [str(name).removeprefix("socket.").removeprefix("skynet.") for name in plain(answer)]
    right = ["start", "connect", "suspend", "wait", "coroutine_yield"]
    if sorted(given) != sorted(right):
        return say("Use each of the five names once.", "五个名字各用一次。")
    if given[-1] != "coroutine_yield":
        return say(
            "coroutine_yield leaves the coroutine: nothing is entered behind it.",
            "coroutine_yield 离开协程：它之后不再进入任何函数。",
        )
    if given[0] != "start":
        return say("Which one does the service call?", "服务自己调用的是哪个？")
    if given.index("wait") < given.index("suspend"):
        return say(
            "wait belongs to skynet.py and knows no socket. Who calls it, having noted s.co?",
            "wait 属于 skynet.py，不认识 socket。谁记下 s.co 之后调用它？",
        )
    if given != right:
        return say(
            "Who makes the entry in socket_pool: before or after s.co is set?",
            "谁写入 socket_pool：在设置 s.co 之前还是之后？",
        )
    return None


@exercise(
    "02.3",
    "the scheduler called coroutine_resume as an argument of its suspend: what is yielded goes right there.",
    "调度器把 coroutine_resume 的结果直接交给 suspend：让出的内容就到了那里。",
)
def _catches(answer: Any) -> Hint:
    return among(
        answer,
        "skynet.suspend",
        {
            "socket.suspend": say(
                "That one stands on the stack of co1, frozen. Which suspend belongs to the scheduler?",
                "那个还冻结在 co1 的栈上。哪个 suspend 属于调度器？",
            ),
            "connect": say(
                "connect is frozen with co1. It goes on when co1 does.", "connect 随 co1 一起冻结，co1 继续时它才继续。"
            ),
            "dispatch_wakeup": say(
                "It comes later: first the yield has to be caught and filed.",
                "那是后来的事：先要接住并登记这次让出。",
            ),
        },
        say("Choose one of the four names.", "从四个名字里选一个。"),
    )


@exercise(
    "02.4",
    "the second is refused at once, without a yield: the first has made the entry in socket_pool.",
    "第二个立即被拒，没有让出：第一个已在 socket_pool 里登记。",
)
def _twice(program: Any) -> Hint:
    found = run(program)
    if found.errors:
        return say(
            f"A coroutine ends with {found.errors[0]!r}: catch SocketError.",
            f"有协程以 {found.errors[0]!r} 结束：请捕获 SocketError。",
        )
    starts = found.count("driver", command="start")
    if found.marks == ["refused", "ok"]:
        if starts != 1:
            return say(
                f"{starts} commands start were left; one is expected.", f"留下了 {starts} 个 start 命令；应为一个。"
            )
        return None
    if found.marks == ["ok", "refused"]:
        return say(
            "Here the second start came when the first was over. Fork both, so that the second comes while the first waits.",
            "这里第二次 start 在第一次结束之后。两个都 fork，让第二次在第一次等待时到来。",
        )
    if "refused" not in found.marks:
        return say(
            f"The marks are {found.marks}: nothing was refused. Do both start the same id?",
            f"标记是 {found.marks}：没有被拒绝的。两个 start 的是同一个 id 吗？",
        )
    return say(
        f"The marks are {found.marks}; ok and refused are wanted, once each.",
        f"标记是 {found.marks}；应各有一个 ok 和 refused。",
    )


@exercise(
    "02.5",
    "an answer that is an error is raised where it can be caught, socket by socket.",
    "出错的回答在可捕获处抛出，逐个处理。",
)
def _careful(program: Any) -> Hint:
    def host() -> None:
        ids = [socket.listen("127.0.0.1:0"), 77, socket.listen("127.0.0.1:0"), 78, 1]
        program(ids)

    found = run(host)
    wanted = ["1 works", "77 fails", "2 works", "78 fails", "1 fails"]
    if found.marks == wanted and not found.errors:
        return None
    if found.marks[:2] == ["1 works"] or not found.marks:
        return say(
            f"After {found.marks} it is over: an error came out of your function. Each start needs its own try.",
            f"到 {found.marks} 就结束了：错误跑出了你的函数。每次 start 都要有自己的 try。",
        )
    if sorted(found.marks) == sorted(wanted):
        return say(
            f"The order is {found.marks}; that of the list is wanted.", f"顺序是 {found.marks}；应按列表的顺序。"
        )
    if found.marks == [*wanted[:4], "1 works"]:
        return say(
            "Socket 1 stands in the list twice. What becomes of its second start?",
            "列表里 socket 1 出现了两次。第二次 start 会怎样？",
        )
    return say(
        f"For ids [1, 77, 2, 78, 1] the marks are {found.marks}, not {wanted}.",
        f"对 [1, 77, 2, 78, 1]，标记是 {found.marks}，而不是 {wanted}。",
    )
