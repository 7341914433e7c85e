"""Exercises of notebook 01: listening."""

from __future__ import annotations

import socket as pysocket
from typing import Any

from ..trace.language import say
from .engine import Hint, Run, among, exercise, heard, plain, raised, run


@exercise(
    "01.1",
    "a number was given out; then the socket server takes the command, and still does not watch the socket.",
    "先是发出一个编号；然后 socket 服务器执行了命令，但仍不监视它。",
)
def _states(answer: Any) -> Hint:
    before, after = plain(answer)
    if after == "listen":
        return say(
            "Only the command start leads to listen. What did the poll print in the notebook?",
            "只有 start 命令才会变成 listen。笔记本里那次轮询之后打印了什么？",
        )
    if (before, after) == ("plisten", "reserve"):
        return say("The right two, in the wrong order.", "两个都对，顺序反了。")
    if before != "reserve":
        return say(
            "The first: which state stands in node.tables()['sockets'] while the command is still in the queue?",
            "第一个：命令还在队列里时，node.tables()['sockets'] 里是什么状态？",
        )
    if after != "plisten":
        return say(
            "The second: p is for prepared. Look at the branch `listen` of _carry_out.",
            "第二个：p 表示 prepared。看 _carry_out 的 `listen` 分支。",
        )
    return None


@exercise(
    "01.2",
    "1, 2, then 3: a closed id is not used again, and a listen that fails takes none.",
    "1、2，然后 3：关闭的编号不再使用，失败的 listen 不占编号。",
)
def _number(answer: Any) -> Hint:
    return among(
        answer,
        3,
        {
            2: say(
                "B is closed, but its id is not free: somebody may still hold it.",
                "B 已关闭，但编号没有空出来：可能还有人拿着它。",
            ),
            4: say(
                "Does a listen that fails take a slot? Read server-listen: what comes first, the kernel or the slot?",
                "失败的 listen 占槽位吗？读 server-listen：先找内核，还是先占槽位？",
            ),
            1: say("1 is A, which is still open.", "1 是 A，它还开着。"),
        },
        say(
            "Count the calls that give out a number. The answer is a number.",
            "数一数哪些调用会发出编号。答案是一个数字。",
        ),
    )


@exercise(
    "01.3",
    "the kernel keeps all five; nobody asks it for them.",
    "五个连接都留在内核里，没有人去取。",
)
def _messages(answer: Any) -> Hint:
    return among(
        answer,
        0,
        {
            5: say(
                "An ACCEPT is posted when the socket server accepts. Does it watch the socket at all?",
                "socket 服务器 accept 时才会投递 ACCEPT。它监视这个 socket 了吗？",
            ),
            10: say(
                "DATA comes from sockets that are read. Does the socket server have these connections?",
                "DATA 来自被读取的 socket。socket 服务器手里有这些连接吗？",
            ),
            1: say(
                "A CONNECT is the answer to the command start. Who has given it?",
                "CONNECT 是对 start 命令的回答。谁发过这个命令？",
            ),
        },
        say(
            "Look at the mailbox that was printed before the second passed. The answer is a number.",
            "看一秒过去之前打印的消息队列。答案是一个数字。",
        ),
    )


def _listening(r: Run) -> list[int]:
    table = r.node.tables()["sockets"]
    return [int(r.server.socket_server.sockname(id)[1]) for id in table if table[id][0] == "listen"]


@exercise("01.4", "two sockets, two functions, one service.", "两个 socket，两个函数，一个服务。")
def _doors(program: Any) -> Hint:
    def visit(r: Run) -> None:
        ports = _listening(r)
        r.said.append(len(ports))
        for port in ports * 2:
            r.said.append(heard(r, r.node.client(port)))

    found = run(program, visit)
    n, *said = found.said
    if found.errors:
        return raised(found)
    if n < 2:
        return say(
            f"{n} of two sockets is in the state listen. Does the second wait for a start that never comes?",
            f"两个 socket 中处于 listen 状态的有 {n} 个。另一个的 start 调用到了吗？",
        )
    if n > 2:
        return say(f"{n} sockets listen; two are wanted.", f"有 {n} 个 socket 在监听；应为两个。")
    if not any(said):
        return say(
            "The clients hear nothing. An accepted connection has to be started before it can be written to.",
            "客户端什么也没收到。写之前要先 start 已接受的连接。",
        )
    if said[:2] == [b"back\n", b"front\n"]:
        return say("The first socket is the front door.", "第一个 socket 才是前门。")
    if said[:2] != [b"front\n", b"back\n"]:
        return say(
            f"The clients of both doors hear {said[:2]}. Does each accept function know its own name?",
            f"两扇门的客户端收到 {said[:2]}。每个 accept 函数知道自己的名字吗？",
        )
    if said[2:] != said[:2]:
        return say(
            f"The next two clients hear {said[2:]}. Both doors stay open.",
            f"后两个客户端收到 {said[2:]}。门要一直开着。",
        )
    return None


@exercise(
    "01.5",
    "the error is raised where it can be caught: in the line that listens.",
    "错误就在 listen 那一行抛出，可以捕获。",
)
def _stubborn(program: Any) -> Hint:
    def visit(r: Run) -> None:
        ports = _listening(r)
        r.said.extend([ports, [heard(r, r.node.client(port)) for port in ports]])

    with pysocket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = run(program, visit, port)
    free = run(program, visit, port)
    for found, name in ((free, say("On a free port", "端口空闲时")), (taken, say("On a taken port", "端口被占时"))):
        ports, said = found.said
        if found.errors:
            return say(f"{name} the service fails: {found.errors[0]!r}.", f"{name}服务失败：{found.errors[0]!r}。")
        if len(ports) != 1:
            return say(
                f"{name} {len(ports)} sockets listen; one should. An error that nobody catches ends the start function.",
                f"{name}有 {len(ports)} 个 socket 在监听；应为一个。没人捕获的错误会结束启动函数。",
            )
        if said != [b"hi\n"]:
            return say(f"{name} a client hears {said[0]!r}.", f"{name}客户端收到 {said[0]!r}。")
    if free.said[0] != [port]:
        return say(
            "On a free port it listens on another one. Port 0 is the second choice.",
            "端口空闲时监听了别的端口。端口 0 是备选。",
        )
    if free.marks:
        return say(f"On a free port it marks {free.marks}.", f"端口空闲时标记了 {free.marks}。")
    if taken.marks != ["taken"]:
        return say(
            f"On a taken port the marks are {taken.marks}; one is wanted: taken.",
            f"端口被占时标记是 {taken.marks}；应恰好有一个 taken。",
        )
    return None
