"""Exercises of notebook 00: one run of socket.start."""

from __future__ import annotations

from typing import Any

from ..trace.language import say
from .engine import Hint, Run, among, client, exercise, heard, plain, port_of, raised, run


@exercise(
    "00.1",
    "the scheduler's suspend catches every yield, and dispatch_wakeup resumes what was woken.",
    "所有让出都由调度器的 suspend 接住；被唤醒的由 dispatch_wakeup 恢复。",
)
def _who(answer: Any) -> Hint:
    resumed, caught, woken = plain(answer)
    if resumed == "wakeup":
        return say(
            "wakeup resumes nobody. Look at the line `co1 resume by ...`.",
            "wakeup 不恢复任何协程。看 `co1 resume by ...` 那一行。",
        )
    if resumed != "dispatch_wakeup":
        return say(
            "The first name stands in the trace: `co1 resume by ...`.",
            "第一个名字就在 trace 里：`co1 resume by ...`。",
        )
    if caught != "suspend":
        return say(
            "The second: which function of the scheduler noted session 2 in the tables, when co1 yielded SLEEP?",
            "第二个：co1 让出 SLEEP 时，调度器的哪个函数把会话 2 记进了表？",
        )
    if woken != "co2":
        return say(
            "The third: which lane does the line `wakeup co1 queued` belong to?",
            "第三个：`wakeup co1 queued` 那一行属于哪个协程？",
        )
    return None


@exercise(
    "00.2",
    "both tables at once: called, and still asleep.",
    "同时在两张表里：已被叫到，但还睡着。",
)
def _tables(answer: Any) -> Hint:
    return among(
        answer,
        "co1 has been woken and has not moved",
        {
            "co1 runs": say(
                "When it goes on it leaves sleep_session. Is it still there?",
                "继续运行时它会离开 sleep_session。它还在里面吗？",
            ),
            "co1 waits for somebody to call wakeup": say(
                "What does it mean to stand in wakeup_queue? Who puts a coroutine there?",
                "在 wakeup_queue 里意味着什么？谁把协程放进去的？",
            ),
        },
        say("Choose one of the three sentences, as it stands.", "从三句话中选一句，原样写下。"),
    )


@exercise(
    "00.3",
    "accepted by the kernel, known to the socket server, read by nobody.",
    "内核已接受，socket 服务器也知道它，但没有人读它。",
)
def _forgotten(answer: Any) -> Hint:
    return among(
        answer,
        "paccept",
        {
            "connected": say(
                "It would be, after socket.start. Which word stands beside socket 2?",
                "socket.start 之后才是。socket 2 旁边写的是什么？",
            ),
            "listen": say(
                "That is socket 1, which listens. The client's is another id.",
                "那是监听的 socket 1。客户端的是另一个 id。",
            ),
            "closed": say(
                "Nobody has closed it: the client is still connected, and waits.",
                "没有人关闭它：客户端仍然连着，在等待。",
            ),
        },
        say(
            "print(node.tables()['sockets']) shows `{id: [state, owner]}`. Which state has socket 2?",
            "print(node.tables()['sockets']) 打印 `{id: [状态, 所有者]}`。socket 2 是什么状态？",
        ),
    )


@exercise(
    "00.4",
    "two clients, each with a coroutine of its own.",
    "两个客户端，各有自己的协程。",
)
def _shout(program: Any) -> Hint:
    def talk(r: Run) -> None:
        if port_of(r) is None:
            return
        first, second = client(r), client(r)
        second.send(b"first\nsec")
        r.said.append(heard(r, second))
        first.send(b"hello\n")
        r.said.append(heard(r, first))
        second.send(b"ond\n")
        r.said.append(heard(r, second))

    found = run(program, talk)
    if not found.said:
        return say(
            "Nobody listens on a port. socket.listen, and then socket.start(lid, accept)?",
            "没有监听端口。先 socket.listen，再 socket.start(lid, accept)？",
        )
    if found.errors:
        return raised(found)
    if not any(found.said):
        return say(
            "The clients hear nothing. Does each connection get its socket.start(id), in a coroutine that may wait?",
            "客户端什么也没收到。每个连接都在可以等待的协程里调用 socket.start(id) 了吗？",
        )
    if found.said == [b"FIRST!\n", b"HELLO!\n", b"SECOND!\n"]:
        return None
    if found.said[0] == b"" or found.said[1] == b"":
        return say(
            "One client is served and the other waits. Fork a coroutine for each connection: accept itself must not loop.",
            "一个客户端得到服务，另一个在等。给每个连接 fork 一个协程：accept 自己不能循环。",
        )
    if b"!" not in found.said[0]:
        return say(f"{found.said[0]!r} lacks the exclamation mark.", f"{found.said[0]!r} 少了感叹号。")
    return say(
        f"For the lines first, hello, second the clients hear {found.said}. Each answer is the line in capitals, !, and a line feed.",
        f"对 first、hello、second 三行，客户端收到 {found.said}。每个回答应是大写的原文加 ! 和换行。",
    )
