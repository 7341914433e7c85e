"""Exercises of notebook 13: a chat server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import skynet
from ..core.errors import DriveTimeout, SocketError
from ..node.client import Client
from ..skynet import socket
from .engine import Hint, Hints, exercise, hint, no_list, yes_or_no
from .programs import Run, run

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
            self.clients[name] = self.run.client()
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


Lines = dict[str, list[str]]


def _wrong(when: str, got: Lines, wanted: Lines) -> Hint | None:
    """The first client that heard something else than it should."""
    for name, lines in wanted.items():
        if got.get(name) != lines:
            return hint("hears", when=hint(when), name=name, heard=got.get(name), lines=lines)
    return None


@exercise("13.1")
def _cost(answer: Any) -> Hints:
    yield no_list(answer, 2) and "two-numbers"
    messages, writes = answer
    yield writes == 5 and "enters"
    yield writes != 6 and "writes"
    yield messages == 6 and "lines"
    yield messages == 8 and "response"
    yield messages != 7 and "otherwise"


yes_or_no("13.2", "yes", "yes", "no", "yes")


@exercise("13.3")
def _contained(program: Any) -> Hints:
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
    yield _wrong("start", start, {"Bob": ["* Bob has come", "* Eve has come"], "Eve": ["* Eve has come"]})
    yield not any("UnicodeDecodeError" in error or "codec" in error for error in found.errors) and "swallowed"
    left = {"Bob": ["* Ann has left"], "Eve": ["* Ann has left"]}
    yield _wrong("crash", crash, left)
    yield (agents != 2 or connected != 2) and hint("left", agents=agents, connected=connected)
    yield _wrong("says-hi", talk, {"Bob": ["Bob: hi"], "Eve": ["Bob: hi"]})
    yield _wrong("bob-leaves", leave, {"Eve": ["* Bob has left"]})


@exercise("13.4")
def _who(answer: Any) -> Hints:
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
    yield found.raised("look-at-log")
    asked, hello, again = said
    yield (asked["Bob"] or asked["Eve"]) and hint("told-all", bob=asked["Bob"])
    yield not asked["Ann"] and hint("nothing", verdicts=found.trace.verdicts())
    yield _wrong("who", asked, {"Ann": ["* Eve Ann Bob"]})
    yield _wrong("says-hello", hello, {name: ["Ann: hello"] for name in hello})
    yield _wrong("who-again", again, {"Bob": ["* Ann Bob"]})


@exercise("13.5")
def _taken(answer: Any) -> Hints:
    hub, agent = answer
    said: list[Any] = []

    def script(chat: _Chat) -> None:
        chat.enter("Ann")
        chat.heard()
        chat.clients["second"] = chat.run.client()
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
        chat.clients["third"], chat.clients["fourth"] = chat.run.client(), chat.run.client()
        chat.run.node.run_until_idle()
        chat.clients["third"].send(b"Eve\n")
        chat.say("fourth", b"Eve\n")
        said.append(chat.heard())

    found = _play(hub, agent, script)
    yield found.raised("look-at-log")
    taken, me, comes, hi, leaves, race = said
    yield _wrong("second-ann", taken, {"Ann": [], "second": ["* Ann is taken"]})
    yield (me["Ann"] != ["Ann: me"] or me["second"]) and hint("me", ann=me["Ann"], second=me["second"])
    yield _wrong("then-bob", comes, {name: ["* Bob has come"] for name in comes})
    yield _wrong("says-hi", hi, {name: ["Bob: hi"] for name in hi})
    yield _wrong("ann-leaves", leaves, {"second": ["* Ann has left"]})
    others = {"second": ["* Eve has come"], "third": ["* Eve has come"]}
    yield race != {**others, "fourth": ["* Eve is taken"]} and hint("race", race=race)


@exercise("13.6")
def _slow(program: Any) -> Hints:
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
    yield found.raised("look-at-log")
    lines, others, agents, connected, closing = said[0]
    yield lines != 56 and hint("lines", lines=lines)
    yield connected == 3 and "connected"
    yield closing and "closing"
    yield others != [b"* Eve has left"] * 2 and hint("others", others=others)
    yield agents != 2 and hint("agents", agents=agents)
