"""Exercises of notebook 16: gate, watchdog, agent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .. import skynet
from ..core.errors import SocketError
from ..core.socket_slots import INVALID
from ..lualib import gateserver, netpack
from ..node.client import Client
from ..trace.language import say
from .engine import Hint, Run, client, exercise, first_wrong, heard, plain, raised, run

CONF = {"address": "127.0.0.1", "port": 0}


def _packets(found: Run, c: Client) -> list[str]:
    """What a client has got, as the texts of packets; a torn one, or a connection that is gone, is said so."""
    try:
        data = heard(found, c)
    except SocketError:
        return ["(the connection is gone)"]
    unpacker = netpack.Unpacker()
    texts = [netpack.tostring(packet) for packet in unpacker.feed(data)]
    return [*texts, "(no whole packet)"] if unpacker.left_over() else texts


def _ended(found: Run, c: Client) -> bool:
    found.node.run_until_idle()
    if c._peer is None or c._peer.state is not INVALID:
        return False  # the gate has it still: waiting for its end would be in vain
    try:
        c.expect_eof()
    except (AssertionError, SocketError, TimeoutError):
        return False
    return True


def _send(found: Run, c: Client, *texts: str) -> None:
    with suppress(SocketError):  # the connection is gone: that shows in what it gets
        c.send(b"".join(netpack.pack(text.encode()) for text in texts))
    found.node.run_until_idle()


def _gate(handler: Any, script: Callable[[Run], Any]) -> Run:
    """A gate with the reader's handler; its service is the program that is looked at."""

    def gate() -> None:
        gateserver.start(handler)

    def opened(r: Run) -> None:
        r.node.call(r.addr, "lua", "open", dict(CONF))
        script(r)

    return run(gate, opened)


def _connections(found: Run) -> int:
    return sum(state != "listen" for state, _ in found.node.tables()["sockets"].values())


def _lacks(handler: Any) -> Hint:
    if isinstance(handler, type):
        return say(
            f"That is a class. A handler is an object: {handler.__name__}().",
            f"这是一个类。handler 是对象：{handler.__name__}()。",
        )
    missing = [name for name in ("connect", "message", "disconnect") if not callable(getattr(handler, name, None))]
    if missing:
        return say(
            f"A handler is an object with connect, message and disconnect; {missing[0]} is missing.",
            f"handler 是带有 connect、message、disconnect 的对象；缺少 {missing[0]}。",
        )
    return None


# --------------------------------------------------------------------------- values


@exercise(
    "16.1",
    "an empty packet is a packet, and what is left over counts with its length.",
    "空包也是包；剩余的字节连同长度一起算。",
)
def _cut(answer: Any) -> Hint:
    if not isinstance(answer, list | tuple) or len(answer) != 4:
        return say(
            "The answer is a list: three lists of bytes, and a number.", "答案是列表：三个 bytes 的列表和一个数字。"
        )
    given = [list(part) if isinstance(part, list | tuple) else part for part in answer]
    third = say(
        "3: after abc come 00 00, a length by themselves. What does a length of 0 mean?",
        "3：abc 之后是 00 00，它们自己就是一个长度。长度为 0 意味着什么？",
    )
    hints = [
        say("1: one byte. Is the length known yet?", "1：只有一个字节。长度已知了吗？"),
        say("2: the length is 3. How many bytes of the body are there?", "2：长度是 3。正文到了几个字节？"),
        third,
        say("4: the bytes of the length are left over, too.", "4：长度的两个字节也算剩余。"),
    ]
    return first_wrong(given, [[], [], [b"abc", b""], 3], hints)


@exercise(
    "16.2",
    "the fork was made before the handler was called, and finds what the dead coroutine has left.",
    "fork 在调用 handler 之前就建好了，它接手死去的协程留下的包。",
)
def _boom(answer: Any) -> Hint:
    if not isinstance(answer, list | tuple) or len(answer) != 3:
        return say("The answer is a list of texts, and two words.", "答案是一个文本列表和两个词。")
    order, kind, state = plain(answer)
    if isinstance(order, list):
        order = [netpack.tostring(text) if isinstance(text, bytes) else text for text in order]
    if order == ["a", "boom"]:
        return say(
            "Three packets stand in the queue, and somebody else was asked to go on with it, before the first was handled. Look at on_more.",
            "队列里有三个包，在处理第一个之前就已经安排了别人接着处理。请看 on_more。",
        )
    if order != ["a", "boom", "c"]:
        return say("Packets begin in the order in which they came.", "包按到达的顺序开始处理。")
    if kind != "fork":
        return say(
            "The coroutine of the message is the one that raised. Can it handle anything more?",
            "抛错的正是消息的那个协程。它还能处理别的吗？",
        )
    if state != "open":
        return say(
            "The error ends a coroutine. Who would have closed the socket? Nobody has called closeclient.",
            "错误结束了一个协程。谁会去关 socket？没有人调用 closeclient。",
        )
    return None


@exercise(
    "16.3",
    "the gate says once that a client has gone, counts it out, and keeps its socket until it is told to let go.",
    "gate 只说一次客户端走了，减去计数，但在被告知之前一直保留它的 socket。",
)
def _unkicked(answer: Any) -> Hint:
    given = plain(answer)
    if not isinstance(given, list) or len(given) != 4 or not all(value in ("yes", "no") for value in given):
        return say("The answer is a list of four words, yes or no.", "答案是四个词（yes 或 no）的列表。")
    hints = [
        say("1: the watchdog still sends disconnect. What does the agent do with it?",
            "1：watchdog 仍然发送 disconnect。agent 收到后做什么？"),
        say("2: whose socket is it, and who has asked for its end? Look at the table of sockets after the client has left.",
            "2：socket 归谁所有，谁要求过关闭它？请看客户端走后的 socket 表。"),
        say("3: when does the gate take a client out of its count: at CLOSE, or at kick? (on_close)",
            "3：gate 在什么时候减去计数：CLOSE 时还是 kick 时？（on_close）"),
        say("4: a socket says CLOSE once in its life. What is left for a later kick to cause?",
            "4：一个 socket 一生只发一次 CLOSE。之后的 kick 还能引出什么？"),
    ]  # fmt: skip
    return first_wrong(given, ["yes", "no", "yes", "no"], hints)


# --------------------------------------------------------------------------- handlers


@exercise(
    "16.4",
    "close delivers what was written, drops what comes behind, and disconnect lets go of the rest.",
    "close 会送达已写的内容、丢弃后面的包，disconnect 放掉剩下的。",
)
def _echo(handler: Any) -> Hint:
    if hint := _lacks(handler):
        return hint
    said: list[Any] = []

    def script(r: Run) -> None:
        a, b, c = client(r), client(r), client(r)
        r.node.run_until_idle()
        a.send(b"\0\5he")
        r.node.run_until_idle()
        _send(r, b, "one", "two")
        a.send(b"llo")
        said.append((_packets(r, a), _packets(r, b)))
        _send(r, b, "three", "bye", "after")
        said.append(_packets(r, b))
        said.append(_ended(r, b))
        c.close()
        r.node.run_until_idle()
        said.append(_connections(r))
        _send(r, a, "still")
        said.append(_packets(r, a))

    found = _gate(handler, script)
    if found.errors:
        return raised(found)
    (a, b), bye, ended, left, still = said
    if a != ["HELLO"] or b != ["ONE", "TWO"]:
        return say(
            f"One client says hello in two pieces and gets {a}, another says one and two and gets {b}. Is each opened, and each answer a packet?",
            f"一个客户端分两段说 hello，收到 {a}；另一个说 one 和 two，收到 {b}。是否都 openclient 了？每个回答都是一个包吗？",
        )
    if bye != ["THREE", "BYE"]:
        return say(
            f"To three, bye, after in one segment come {bye}: three and bye are answered, and nothing behind bye.",
            f"一段里的 three、bye、after 得到 {bye}：应回答 three 和 bye，bye 之后的都不回答。",
        )
    if not ended:
        return say("After bye the connection is still open.", "bye 之后连接还开着。")
    if left != 1:
        return say(
            f"Two of three clients have left, and {left} connections are there. What has to be done in disconnect?",
            f"三个客户端走了两个，还有 {left} 个连接。disconnect 里要做什么？",
        )
    if still != ["STILL"]:
        return say(f"Who has stayed says still, and gets {still}.", f"留下的客户端说 still，收到 {still}。")
    return None


@exercise(
    "16.5",
    "each packet moves the end on; a timer that comes too early asks again.",
    "每个包都把期限往后推；来早了的定时器再问一次。",
)
def _silent(handler: Any) -> Hint:
    if hint := _lacks(handler):
        return hint
    said: dict[str, Any] = {}

    def script(r: Run) -> None:
        talks, silent, leaves = client(r), client(r), client(r)
        r.node.run_until_idle()
        for _ in range(3):  # at 0, 300 and 600
            _send(r, talks, "x")
            leaves.close()
            r.node.advance(300)
            r.node.run_until_idle()
            said.setdefault("early", _connections(r))  # at 300
        said["silent"] = _ended(r, silent)  # by 900
        said["answers"] = _packets(r, talks)
        said["connections"] = _connections(r)
        r.node.advance(150)  # 1050: its last packet came at 600
        r.node.run_until_idle()
        said["late"] = _connections(r)
        r.node.advance(250)  # 1300
        r.node.run_until_idle()
        said["end"] = _connections(r)

    found = _gate(handler, script)
    if found.errors:
        return raised(found)
    if said["early"] != 2:
        return say(
            f"After 3 s there are {said['early']} connections; the silent one has 2 s left, the one that left is gone.",
            f"3 秒后有 {said['early']} 个连接；沉默的还有 2 秒，离开的应已不在。",
        )
    if said["answers"] != ["X", "X", "X"]:
        return say(
            f"A client that says x every 3 s gets {said['answers']} to three of them: no pause of it is as long as 5 s.",
            f"每 3 秒说一次 x 的客户端，三次得到 {said['answers']}：它没有一次停顿长达 5 秒。",
        )
    if not said["silent"]:
        return say("After 9 s a client that never said anything is still there.", "9 秒后，从没说过话的客户端还在。")
    if said["connections"] != 1:
        return say(
            f"After 9 s there are {said['connections']} connections: the one that talks should be left.",
            f"9 秒后有 {said['connections']} 个连接：应只剩说话的那个。",
        )
    if said["late"] != 1:
        return say(
            "4.5 s after its last packet the client that talked is closed already: only 5 s without a packet end it.",
            "说话的客户端在最后一个包 4.5 秒之后就被关了：满 5 秒没有包才关。",
        )
    if said["end"] != 0:
        return say("7 s after its last word the client that talked is still there: the clock starts again with each packet.",
                   "说话的客户端在最后一个包 7 秒之后还在：每个包都重新计时。")  # fmt: skip
    return None


# --------------------------------------------------------------------------- agents


def _database() -> None:
    """The database of the notebook."""
    table: dict[str, str] = {}

    @skynet.dispatch("lua")
    def handle(session: int, source: int, cmd: str, key: str, value: str = "") -> None:
        if cmd == "set":
            table[key] = value
        if key == "slow":
            skynet.sleep(100)
        skynet.retpack(table.get(key, ""))

    skynet.register(".db")


def _server(agent: Callable[..., Any]) -> Callable[[], None]:
    """The watchdog of the notebook."""

    def watchdog() -> None:
        agents: dict[int, int] = {}
        gate = skynet.newservice("gate")

        def close_agent(fd: int) -> None:
            if fd in agents:
                a = agents.pop(fd)
                skynet.call(gate, "lua", "kick", fd)
                skynet.send(a, "lua", "disconnect")

        @skynet.dispatch("lua")
        def handle(session: int, source: int, cmd: str, what: str, fd: int, *args: Any) -> None:
            if what == "open":
                agents[fd] = skynet.newservice(agent)
                skynet.call(agents[fd], "lua", "start", gate, fd)
            elif what == "close":
                close_agent(fd)

        skynet.newservice(_database)
        skynet.call(gate, "lua", "open", dict(CONF))

    return watchdog


@exercise(
    "16.6",
    "a queue for each agent: who comes later waits, and a request that fails leaves it as any other.",
    "每个 agent 一个队列：后来的等待，失败的请求也会离开队列。",
)
def _in_order(agent: Any) -> Hint:
    if not callable(agent):
        raise TypeError("a program is expected here: a function")
    said: list[Any] = []

    def script(r: Run) -> None:
        known = set(r.node.tables()["services"])
        a, b = client(r), client(r)
        r.node.run_until_idle()
        agents = tuple(f"[{addr}]" for addr in set(r.node.tables()["services"]) - known)
        _send(r, a, "set k 1", "get k", "hello", "get k")
        said.append(_packets(r, a))
        lines = len(r.node.log_lines)
        _send(r, a, "nonsense", "hello")  # the database is asked without a key, and fails
        said.append(_packets(r, a))
        said.append([line for line in r.node.log_lines[lines:] if line.startswith(agents)])
        _send(r, a, "get slow", "hello")
        _send(r, b, "hello")
        said.append((_packets(r, a), _packets(r, b)))
        r.node.advance(100)
        said.append(_packets(r, a))
        before = len(r.node.tables()["services"])
        a.close()
        r.node.run_until_idle()
        said.append(before - len(r.node.tables()["services"]))

    found = run(_server(agent), script)
    order, failed, logged, (held, other), late, ended = said
    if not order:
        return say(
            f"The client gets no answer. The log ends with: {found.node.log_lines[-1]!r}",
            f"客户端没有得到回答。日志的最后一行：{found.node.log_lines[-1]!r}",
        )
    if order != ["1", "1", "welcome", "1"]:
        return say(
            f"To set k 1, get k, hello, get k come {order}; 1, 1, welcome, 1 is wanted. Do all requests go through one and the same queue?",
            f"set k 1、get k、hello、get k 得到 {order}；应为 1、1、welcome、1。所有请求都经过同一个队列吗？",
        )
    if failed != ["welcome"]:
        return say(
            f"A request fails, and to the hello behind it come {failed}. The queue must be left, and the error must not leave the coroutine: what it has woken would wait for the next message.",
            f"一个请求失败后，后面的 hello 得到 {failed}。必须离开队列，错误也不能逃出协程：否则它唤醒的要等到下一条消息。",
        )
    if forgotten := [line for line in found.node.log_lines if "Maybe forgot" in line]:
        return say(
            f"The log says {forgotten[0]!r}: the session of a packet is its fd, and nobody waits for skynet.ret. Say so.",
            f"日志里有 {forgotten[0]!r}：包的会话号是 fd，没有人在等 skynet.ret。要说明这一点。",
        )
    if not logged:
        return say("The request that fails does not come into the log.", "失败的请求没有进日志。")
    if other != ["welcome"]:
        return say(
            f"While one client waits for the database another says hello and gets {other}: it must not be held up.",
            f"一个客户端在等数据库时，另一个说 hello，得到 {other}：它不应被拖住。",
        )
    if held or late != ["", "welcome"]:
        return say(
            f"A slow get and a hello: at first come {held}, a second later {late}; nothing, then both in order, is wanted.",
            f"慢的 get 加 hello：先得到 {held}，一秒后 {late}；应先什么都没有，然后两个按顺序来。",
        )
    if ended != 1:
        return say("The client leaves, and its agent does not end.", "客户端走了，agent 却没有结束。")
    return None
