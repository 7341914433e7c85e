"""Exercises of notebook 03: socket messages."""

from __future__ import annotations

from typing import Any

from ..trace.language import say
from .engine import Hint, Run, among, client, exercise, heard, plain, port_of, raised, run


@exercise("03.1", "6 chooses the protocol, 1 chooses the function.", "6 决定协议，1 决定函数。")
def _types(answer: Any) -> Hint:
    ptype, kind = plain(answer)
    if (ptype, kind) == (1, 6):
        return say("The right two, the other way round.", "两个都对，顺序反了。")
    if ptype == 1:
        return say(
            "Message type 1 is a response. DATA comes from the socket server.",
            "消息类型 1 是 response。DATA 来自 socket 服务器。",
        )
    if ptype != 6:
        return say("The first number was printed as PTYPE_SOCKET.", "第一个数字就是打印出来的 PTYPE_SOCKET。")
    if kind == 2:
        return say(
            "2 is CONNECT. Look at the printed table of socket types.", "2 是 CONNECT。看打印出来的网络消息类型表。"
        )
    if kind != 1:
        return say("The second stands in the printed table of socket types.", "第二个在打印出来的网络消息类型表里。")
    return None


@exercise(
    "03.2",
    "the poll changes the socket server and the mailbox; the service learns of it by the dispatch.",
    "轮询只改动 socket 服务器和消息队列；服务要到派发时才知道。",
)
def _touches(answer: Any) -> Hint:
    pool, state = plain(answer)
    if pool == "connected":
        return say(
            "Who writes `connected`: the poll, or `_on_connect`? Look at what was printed behind the poll.",
            "`connected` 是谁写的：轮询还是 `_on_connect`？看轮询之后打印的内容。",
        )
    if pool != "connecting":
        return say("The first word stands in socket_pool.", "第一个词在 socket_pool 里。")
    if state == "plisten":
        return say(
            "plisten was before the command start. The command is carried out.",
            "plisten 是 start 命令之前的状态。命令已经执行了。",
        )
    if state != "listen":
        return say(
            "The second: node.tables()['sockets'] was printed behind the poll.",
            "第二个：轮询之后打印过 node.tables()['sockets']。",
        )
    return None


@exercise("03.3", "whoever starts it owns it.", "谁 start，归谁。")
def _owner(answer: Any) -> Hint:
    connect, data = plain(answer)
    if (connect, data) == ("a", "a"):
        return say(
            "A has only heard ACCEPT. Which line of server-start sets the owner?",
            "A 只收到了 ACCEPT。server-start 的哪一行设置所有者？",
        )
    if (connect, data) == ("b", "a"):
        return say(
            "The owner is one word in the socket: it is not asked anew for each message type.",
            "所有者是 socket 里的一个字段，不会按消息类型另行决定。",
        )
    if (connect, data) == ("a", "b"):
        return say("The answer to a command goes to the service that gave it.", "对命令的回答发给发出命令的服务。")
    return None if (connect, data) == ("b", "b") else say("Two letters: A or B each.", "两个字母，各为 A 或 B。")


@exercise("03.4", "the kernel accepts, the service hands it back.", "内核接受了，服务把它退了回去。")
def _forgotten(answer: Any) -> Hint:
    return among(
        answer,
        "it is accepted, and then closed",
        {
            "it is refused": say(
                "A port on which the kernel listens refuses nobody. Run it, and look at node.client(...).",
                "内核在监听的端口不会拒绝。运行一下，看 node.client(...)。",
            ),
            "it waits for ever": say(
                "That is the client of a socket which nobody *started*. This one was started. What does _on_accept do without a function?",
                "那是没有 *start* 的 socket 的客户端。这个已经 start 了。没有函数时 _on_accept 怎么做？",
            ),
        },
        say(
            "Choose one of the three sentences. Try client.expect_eof().",
            "从三句话中选一句。试试 client.expect_eof()。",
        ),
    )


@exercise(
    "03.5",
    "the worker owns the socket: the reception hears no more of it.",
    "socket 归 worker 所有，前台不再收到它的消息。",
)
def _reception(program: Any) -> Hint:
    def visit(r: Run) -> None:
        if port_of(r) is None:
            return
        for _ in range(2):
            c = client(r)
            r.said.append(heard(r, c))
        r.said.append([owner for state, owner in r.node.tables()["sockets"].values() if state == "connected"])

    found = run(program, visit)
    if found.errors:
        return raised(found)
    if not found.said:
        return say("Nobody listens on a port.", "没有监听端口。")
    *said, owners = found.said
    if not any(said):
        return say(
            "The clients hear nothing. Does the worker start the socket before it writes?",
            "客户端什么也没收到。worker 在写之前 start 了吗？",
        )
    if said != [b"hello from a worker\n"] * 2:
        return say(f"The clients hear {said}.", f"客户端收到 {said}。")
    if f":{found.addr:08x}" in owners:
        return say(
            "The sockets belong to the reception itself. Who calls socket.start, in which service?",
            "socket 属于前台自己。是谁、在哪个服务里调用了 socket.start？",
        )
    if len(set(owners)) < 2:
        return say(
            "Both clients are with the same worker; each should have its own.",
            "两个客户端在同一个 worker 里；应各有一个。",
        )
    return None
