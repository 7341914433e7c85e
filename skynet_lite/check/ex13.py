"""Exercises of notebook 13: a chat server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import skynet
from ..core.errors import DriveTimeout, SocketError
from ..node.client import Client
from ..skynet import socket
from ..trace.language import say
from .engine import Hint, Run, client, exercise, first_wrong, plain, run

Service = Callable[..., Any]


def _hub() -> None:
    """The hub of the notebook."""
    agents: dict[str, int] = {}

    def tell(line: str) -> None:
        for agent in agents.values():
            skynet.send(agent, "lua", line)

    @skynet.dispatch("lua")
    def handle(session: int, source: int, command: str, name: str, text: str = "") -> None:
        if command == "join":
            agents[name] = source
            skynet.retpack(True)
            tell(f"* {name} has come")
        elif command == "say":
            tell(f"{name}: {text}")
        elif agents.pop(name, None):
            tell(f"* {name} has left")


class _Chat:
    """A chat that runs, and its clients by name. `before`: how many services it has without clients."""

    def __init__(self, found: Run) -> None:
        self.run = found
        self.before = len(found.node.tables()["services"])
        self.clients: dict[str, Client] = {}

    def enter(self, *names: str) -> None:
        for name in names:
            self.clients[name] = client(self.run)
            self.say(name, name.encode() + b"\n")

    def say(self, name: str, data: bytes) -> None:
        self.clients[name].send(data)
        self.run.node.run_until_idle()

    def leave(self, name: str) -> None:
        self.clients.pop(name).close()
        self.run.node.run_until_idle()

    def heard(self) -> dict[str, list[str]]:
        """What each client has got since the last time, in lines."""
        self.run.node.run_until_idle()
        lines = {}
        for name, c in self.clients.items():
            try:
                lines[name] = c.recv_until(lambda: True).decode("utf-8", "replace").splitlines()
            except SocketError:
                lines[name] = ["(the connection is gone)"]
        return lines

    def agents(self) -> int:
        return len(self.run.node.tables()["services"]) - self.before

    def connected(self, state: str = "connected") -> int:
        return sum(found == state for found, _ in self.run.node.tables()["sockets"].values())


def _play(hub: Service, agent: Service, script: Callable[[_Chat], Any]) -> Run:
    if not callable(hub) or not callable(agent):
        raise TypeError("a program is expected here: a function")

    def gate() -> None:
        centre = skynet.newservice(hub)
        lid = socket.listen("127.0.0.1:0")
        socket.start(lid, lambda id, addr: skynet.newservice(agent, centre, id))

    return run(gate, lambda r: script(_Chat(r)))


def _wrong(when: tuple[str, str], got: dict[str, list[str]], wanted: dict[str, list[str]]) -> Hint:
    """The first client that heard something else than it should."""
    for name, lines in wanted.items():
        if got.get(name) != lines:
            return say(
                f"{when[0]}, {name} hears {got.get(name)}; {lines} is wanted.",
                f"{when[1]}，{name} 听到 {got.get(name)}，应为 {lines}。",
            )
    return None


def _errors(found: Run) -> Hint:
    if found.errors:
        return say(
            f"A coroutine ends with {found.errors[0]!r}. Look at node.log_lines.",
            f"有协程以 {found.errors[0]!r} 结束。请看 node.log_lines。",
        )
    return None


@exercise(
    "13.1",
    "one join, six lines to deliver, six writes: fan-out counts the one who comes.",
    "一次 join，六行要投递，六次写：扇出也包括新来的人。",
)
def _cost(answer: Any) -> Hint:
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        return say("The answer is a list of two numbers.", "答案是两个数字的列表。")
    messages, writes = answer
    if writes == 5:
        return say(
            "The hub enters the new one into its table before it tells all. Who is told?",
            "hub 先把新来的人写进表，再通知所有人。通知了谁？",
        )
    if writes != 6:
        return say("Each agent that is told writes once. How many are told?", "每个被通知的 agent 写一次。通知了几个？")
    if messages == 6:
        return say(
            "Those are the lines to deliver. Which message made the hub send them?",
            "那是要投递的行。是哪条消息让 hub 发出它们的？",
        )
    if messages == 8:
        return say(
            "Is the answer to join one that you count? It is of type response.",
            "join 的回答也算进去了吗？它的类型是 response。",
        )
    if messages != 7:
        return say(
            "Count for the hub, then for the agents: what does join set off? (There is no say here.)",
            "先数 hub，再数各个 agent：join 引发了什么？（这里没有 say。）",
        )
    return None


@exercise(
    "13.2",
    "the coroutine that reads is dead, the service is not: it goes on delivering, and nobody says leave.",
    "读的协程死了，服务没死：它还在投递，也没有人说 leave。",
)
def _ghost(answer: Any) -> Hint:
    expected = ["yes", "yes", "no", "yes"]
    hints = [
        say("1: which services does a line of Eve's go through on its way to Bob? Is Ann's among them?",
            "1：Eve 的话到 Bob 要经过哪些服务？有 Ann 的吗？"),
        say("2: which coroutine of Ann's agent was it that raised, and which one writes what the hub sends?",
            "2：Ann 的 agent 里抛错的是哪个协程？写 hub 发来内容的又是哪个？"),
        say("3: look at the waits that were printed: who is parked in readline for socket 2?",
            "3：看打印出的等待关系：谁在 socket 2 的 readline 里等？"),
        say("4: which line of the agent tells the hub of the end, and is there still a coroutine that would come to it?",
            "4：agent 的哪一行告诉 hub 结束了？还有协程会走到那一行吗？"),
    ]  # fmt: skip
    given = plain(answer)
    if not isinstance(given, list) or len(given) != 4 or not all(value in ("yes", "no") for value in given):
        return say("The answer is a list of four words, yes or no.", "答案是四个词（yes 或 no）的列表。")
    return first_wrong(given, expected, hints)


@exercise(
    "13.3",
    "the others hear of it, the log has the error, and nothing of that client is left.",
    "其他人得到通知，日志里有错误，那个客户端的一切都没有留下。",
)
def _contained(program: Any) -> Hint:
    said: list[Any] = []

    def script(chat: _Chat) -> None:
        chat.enter("Ann", "Bob", "Eve")
        said.append(chat.heard())
        chat.say("Ann", b"\xff\n")
        del chat.clients["Ann"]
        said.append(chat.heard())
        said.append((chat.agents(), chat.connected()))
        chat.say("Bob", b"hi\n")
        said.append(chat.heard())
        chat.leave("Bob")
        said.append(chat.heard())

    found = _play(_hub, program, script)
    start, crash, (agents, connected), talk, leave = said
    if hint := _wrong(("When Ann, Bob and Eve come", "Ann、Bob、Eve 依次进来时"), start,
                      {"Bob": ["* Bob has come", "* Eve has come"], "Eve": ["* Eve has come"]}):  # fmt: skip
        return hint
    if not any("UnicodeDecodeError" in error or "codec" in error for error in found.errors):
        return say(
            "The error does not come into the log. Tidy up in a finally, do not catch it, and do not end the service before it has left the coroutine.",
            "错误没有进日志。用 finally 清理，不要吞掉它，也不要在它离开协程之前结束服务。",
        )
    left = {"Bob": ["* Ann has left"], "Eve": ["* Ann has left"]}
    if hint := _wrong(("When Ann's line raises", "Ann 的那一行出错时"), crash, left):
        return hint
    if agents != 2 or connected != 2:
        return say(
            f"Behind the error there are {agents} agents and {connected} connected sockets; Bob's and Eve's are wanted. What ends a service?",
            f"出错之后有 {agents} 个 agent、{connected} 个已连接的 socket；应只剩 Bob 和 Eve 的。什么能结束一个服务？",
        )
    return _wrong(("When Bob says hi", "Bob 说 hi 时"), talk, {"Bob": ["Bob: hi"], "Eve": ["Bob: hi"]}) or _wrong(
        ("When Bob leaves without an error", "Bob 正常离开时"), leave, {"Eve": ["* Bob has left"]}
    )


@exercise(
    "13.4",
    "the names are the hub's, so it is asked; the answer goes to the one who asked.",
    "名字归 hub 所有，所以去问它；回答只给提问的人。",
)
def _who(answer: Any) -> Hint:
    hub, agent = answer
    said: list[Any] = []

    def script(chat: _Chat) -> None:
        chat.enter("Eve", "Ann", "Bob")
        chat.heard()
        chat.say("Ann", b"/who\n")
        said.append(chat.heard())
        chat.say("Ann", b"hello\n")
        said.append(chat.heard())
        chat.leave("Eve")
        chat.heard()
        chat.say("Bob", b"/who\n")
        said.append(chat.heard())

    found = _play(hub, agent, script)
    if hint := _errors(found):
        return hint
    asked, hello, again = said
    if asked["Bob"] or asked["Eve"]:
        return say(
            f"Ann asks /who, and Bob hears {asked['Bob']}. Who is asked, and who gets the answer? A call has exactly one.",
            f"Ann 问 /who，Bob 听到了 {asked['Bob']}。问的是谁，回答给谁？一次 call 恰好有一个接收者。",
        )
    if not asked["Ann"]:
        verdicts = found.trace.verdicts()
        return say(
            f"Ann asks /who and hears nothing. The verdicts say: {verdicts}",
            f"Ann 问 /who 什么也没听到。verdicts 说：{verdicts}",
        )
    return (
        _wrong(("When Ann asks /who", "Ann 问 /who 时"), asked, {"Ann": ["* Eve Ann Bob"]})
        or _wrong(("When Ann says hello", "Ann 说 hello 时"), hello, {name: ["Ann: hello"] for name in hello})
        or _wrong(("When Bob asks /who, and Eve has left", "Eve 走后 Bob 问 /who 时"), again, {"Bob": ["* Ann Bob"]})
    )


@exercise(
    "13.5",
    "the question and the entry are one message: nobody comes in between.",
    "查询和登记是同一条消息：没有人能插到中间。",
)
def _taken(answer: Any) -> Hint:
    hub, agent = answer
    said: list[Any] = []

    def script(chat: _Chat) -> None:
        chat.enter("Ann")
        chat.heard()
        chat.clients["second"] = client(chat.run)
        chat.say("second", b"Ann\n")
        said.append(chat.heard())
        chat.say("Ann", b"me\n")
        said.append(chat.heard())
        chat.say("second", b"Bob\n")
        said.append(chat.heard())
        chat.say("second", b"hi\n")
        said.append(chat.heard())
        chat.leave("Ann")
        said.append(chat.heard())
        # Two that ask for the same name before the hub has heard of either.
        chat.clients["third"], chat.clients["fourth"] = client(chat.run), client(chat.run)
        chat.run.node.run_until_idle()
        chat.clients["third"].send(b"Eve\n")
        chat.say("fourth", b"Eve\n")
        said.append(chat.heard())

    found = _play(hub, agent, script)
    if hint := _errors(found):
        return hint
    taken, me, comes, hi, leaves, race = said
    lines = {"Ann": [], "second": ["* Ann is taken"]}
    if hint := _wrong(("When a second client calls itself Ann", "第二个客户端自称 Ann 时"), taken, lines):
        return hint
    if me["Ann"] != ["Ann: me"] or me["second"]:
        return say(
            f"Then the first Ann speaks and hears {me['Ann']}, the second client hears {me['second']}: it is not in yet, and must not have taken her place in the table.",
            f"之后第一个 Ann 说话，她听到 {me['Ann']}，第二个客户端听到 {me['second']}：它还没有进来，也不应占掉她在表里的位置。",
        )
    hint = (
        _wrong(("When it calls itself Bob then", "它再自称 Bob 时"), comes, {n: ["* Bob has come"] for n in comes})
        or _wrong(("When Bob says hi", "Bob 说 hi 时"), hi, {name: ["Bob: hi"] for name in hi})
        or _wrong(("When Ann leaves", "Ann 离开时"), leaves, {"second": ["* Ann has left"]})
    )
    if hint is None and race != {
        "second": ["* Eve has come"],
        "third": ["* Eve has come"],
        "fourth": ["* Eve is taken"],
    }:
        return say(
            f"Two clients ask for the name Eve at the same time, and the three hear {race}. Is there a yield, or a second message, between asking and entering?",
            f"两个客户端同时要用 Eve 这个名字，三个客户端听到 {race}。查询和登记之间有让出或者第二条消息吗？",
        )
    return hint


@exercise(
    "13.6",
    "the way out is that of every client: CLOSE, None, leave, exit.",
    "出路和所有客户端一样：CLOSE、None、leave、exit。",
)
def _slow(program: Any) -> Hint:
    said: list[Any] = []

    def script(chat: _Chat) -> None:
        chat.enter("Ann", "Bob", "Eve")
        chat.heard()
        eve = chat.clients.pop("Eve")
        lines = 0
        others: list[bytes] = []
        for _ in range(28):
            chat.clients["Ann"].send(500_000 * b"x" + b"\n")
            chat.run.node.run_until_idle()
            for name in ("Ann", "Bob"):
                try:
                    line = chat.clients[name].recv_line()
                    if line.startswith(b"*"):
                        others.append(line)
                        line = chat.clients[name].recv_line()
                    lines += line.startswith(b"Ann: ")
                except (SocketError, DriveTimeout):
                    said.append((lines, others, chat.agents(), chat.connected(), chat.connected("halfclose_read")))
                    return
        rest = chat.heard()
        others += [line.encode() for name in rest for line in rest[name]]
        said.append((lines, others, chat.agents(), chat.connected(), chat.connected("halfclose_read")))
        eve.close()

    found = _play(_hub, program, script)
    if hint := _errors(found):
        return hint
    lines, others, agents, connected, closing = said[0]
    if lines != 56:
        return say(
            f"Ann and Bob read all the time, and got {lines} of 56 lines: one slow client must cost the others nothing.",
            f"Ann 和 Bob 一直在读，却只收到 56 行中的 {lines} 行：一个慢客户端不能影响其他人。",
        )
    if connected == 3:
        return say(
            "Eve's socket is still connected, with megabytes to be written. Which function is called when too much waits, and which throws it away?",
            "Eve 的 socket 仍是 connected，还有好几兆要发。积压太多时会调用哪个函数？哪个函数能丢弃它们？",
        )
    if closing:
        return say(
            "Eve's socket is still there, half closed: close waits until everything is written, and she does not read.",
            "Eve 的 socket 还在，处于半关闭：close 要等全部写完，而她不读。",
        )
    if others != [b"* Eve has left"] * 2:
        return say(
            f"Beside what Ann says, Ann and Bob hear {others}; each should hear * Eve has left, once.",
            f"除了 Ann 的话，Ann 和 Bob 还听到 {others}；应当各听到一次 * Eve has left。",
        )
    if agents != 2:
        return say(
            f"There are {agents} agents for two clients: Eve's is still there. What ends a service?",
            f"两个客户端却有 {agents} 个 agent：Eve 的还在。什么能结束一个服务？",
        )
    return None
