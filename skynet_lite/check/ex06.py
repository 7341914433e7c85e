"""Exercises of notebook 06: the whole run, beside a recording of the real skynet."""

from __future__ import annotations

import json
from typing import Any

from ..course.lab import recording
from ..trace.language import say
from .engine import Hint, Run, client, exercise, first_wrong, heard, plain, port_of, raised, run

FRAMES = (
    "driver start", "SLEEP of co1", "CONNECT in the mailbox", "co_create co2", "wakeup", "EXIT of co2", "BREAK",
    "resume of co1 by dispatch_wakeup",
)  # fmt: skip


@exercise("06.1", "this is the run, whichever socket it is.", "无论哪个 socket，过程都是这样。")
def _order(answer: Any) -> Hint:
    given, right = plain(answer), plain(FRAMES)
    if sorted(map(str, given)) != sorted(right):
        return say("Use each of the eight frames once, with its exact name.", "八帧各用一次，名字照抄。")
    place = {name: given.index(name) for name in right}
    rules = [
        ("driver start", "sleep of co1", say(
            "The command is left before co1 parks: could it leave it afterwards?", "命令在 co1 挂起之前留下：挂起之后还能留吗？")),
        ("sleep of co1", "connect in the mailbox", say(
            "The socket server has its turn only when co1 has given up control.", "co1 让出之后才轮到 socket 服务器。")),
        ("connect in the mailbox", "co_create co2", say(
            "The message is there before somebody runs for it.", "先有消息，才有为它运行的协程。")),
        ("co_create co2", "wakeup", say("Who calls wakeup? It has to exist before.", "谁调用 wakeup？它得先存在。")),
        ("wakeup", "exit of co2", say(
            "wakeup is called by co2, so before co2 is done.", "wakeup 是 co2 调用的，所以在 co2 结束之前。")),
        ("exit of co2", "break", say(
            "BREAK is written by dispatch_wakeup, and that runs in suspend, when co2 has yielded.",
            "BREAK 由 dispatch_wakeup 写入，它在 co2 让出之后的 suspend 里运行。")),
        ("break", "resume of co1 by dispatch_wakeup", say(
            "Read dispatch-wakeup in notebook 05 once more: which line comes first?", "再读一遍第 05 章的 dispatch-wakeup：哪一行在前？")),
    ]  # fmt: skip
    return next((hint for a, b, hint in rules if place[a] > place[b]), None)


@exercise("06.2", "four functions of one file.", "同一个文件里的四个函数。")
def _functions(answer: Any) -> Hint:
    given = [str(name).removeprefix("skynet.") for name in plain(answer)]
    right = ["suspend", "dispatch_wakeup", "wait", "wakeup", "dispatch_wakeup"]
    hints = [
        say(
            "The first: who files a SLEEP? It is the one that has caught the yield.",
            "第一个：谁登记 SLEEP？就是接住让出的那个。",
        ),
        say(
            "The second: BREAK comes right before the resume. In which function?",
            "第二个：BREAK 就在恢复之前。在哪个函数里？",
        ),
        say(
            "The third happens on the lane of co1, when it goes on. In which function did it stop?",
            "第三个发生在 co1 继续之后。它停在哪个函数里？",
        ),
        say("The fourth: co2 calls it.", "第四个：由 co2 调用。"),
        say(
            "The fifth: popleft of wakeup_queue. Which function begins with it?",
            "第五个：wakeup_queue 的 popleft。哪个函数以它开头？",
        ),
    ]
    return first_wrong(given, right, hints)


@exercise(
    "06.3",
    "co1 twice, co2 once; raw_dispatch_message and dispatch_wakeup.",
    "co1 两次，co2 一次；raw_dispatch_message 和 dispatch_wakeup。",
)
def _resumes(answer: Any) -> Hint:
    count, functions = answer
    if count == 2:
        return say("Count the green triangles on both lanes.", "数一数两条线上的绿色三角。")
    if count != 3:
        return say("Count the lines with the word resume in the recording.", "数一数录制里带 resume 的行。")
    if functions == 3:
        return say("Two of the three resumes are by the same function.", "三次恢复中有两次来自同一个函数。")
    return (
        None
        if functions == 2
        else say("The second number: how many different words stand behind `by`?", "第二个数：by 后面有几个不同的词？")
    )


@exercise("06.4", "the user sees the same, the trace does not.", "用户看来一样，追踪记录却不同。")
def _forged(program: Any) -> Hint:
    found = run(program, lambda r: r.node.advance(50))
    wanted = ["start", "listened", "started", "done"]
    if found.marks != wanted:
        return say(f"The marks are {found.marks}, not {wanted}.", f"标记是 {found.marks}，而不是 {wanted}。")
    if port_of_trace(found) is None:
        return say("No socket is listened on and started.", "没有监听并 start 的 socket。")
    if found.count("fork"):
        return say(
            "There is a fork in it. Find another way to change the order of events.",
            "里面有 fork。换一种方式改变事件顺序。",
        )
    difference = found.trace.diff(recording("listen_start"))
    if difference.same:
        return say(
            "Event for event this is the recording. What takes a session, or a coroutine, and leaves no mark?",
            "逐个事件都与录制相同。什么会占用一个会话或协程，却不留标记？",
        )
    return None


def port_of_trace(found: Run) -> int | None:
    """The first socket that was started, from the trace: the node is closed by now."""
    return next((e["id"] for e in found.trace if e["e"] == "command" and e["command"] == "start"), None)


@exercise("06.5", "every event is the one that skynet made.", "每个事件都和 skynet 一致。")
def _echo(program: Any) -> Hint:
    def visit(r: Run) -> None:
        if port_of(r) is None:
            return
        c = client(r)
        r.node.run_until_idle()
        c.send(b"hello\n")
        r.said.append(heard(r, c))

    found = run(program, visit)
    if not found.said:
        return say("Nobody listens on a port.", "没有监听端口。")
    if found.errors:
        return raised(found)
    if found.said != [b"hello\n"]:
        return say(f"For hello the client hears {found.said[0]!r}.", f"对 hello，客户端收到 {found.said[0]!r}。")
    real = recording("accept_echo_line")
    wanted = [e["text"] for e in real if e["e"] == "mark"]
    if found.marks != wanted:
        return say(
            f"The marks are {found.marks}; those of the recording are {wanted}.",
            f"标记是 {found.marks}；录制里是 {wanted}。",
        )
    difference = found.trace.diff(real)
    if not difference.same:
        where = json.dumps(difference.first)
        return say(
            f"The marks are right, but the runs part at event {where} (yours, the recording's): {difference.summary().splitlines()[0]}. "
            "Is the socket started in the fork, and not in accept? Is there a wait too many?",
            f"标记对了，但两次运行从事件 {where} 开始不同（你的，录制的）：{difference.summary().splitlines()[0]}。"
            "socket 是在 fork 里而不是在 accept 里 start 的吗？有没有多余的等待？",
        )
    return None
