"""Exercises of notebook 13: a chat server."""

from collections.abc import Callable
from typing import Any

from .. import skynet
from ..core.errors import DriveTimeout, SocketError
from ..node.client import Client
from ..skynet import socket
from .engine import Hint, Hints, among, exercise, hint, no_list, yes_or_no
from .programs import Run, a_function, run

Service = Callable[..., Any]
Lines = dict[str, list[str]]


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
    """A chat that runs, and its clients by name. Each step gives what all have got since the last, in lines.

    `before`: how many services it has without clients.
    """

    def __init__(self, found: Run) -> None:
        self.run = found
        self.before = len(found.node.tables()["services"])
        self.clients: dict[str, Client] = {}

    def enter(self, *names: str) -> Lines:
        for name in names:
            self.clients[name] = self.run.client()
            self.send(name, name.encode() + b"\n")
        return self.heard()

    def say(self, name: str, data: bytes) -> Lines:
        self.send(name, data)
        return self.heard()

    def leave(self, name: str) -> Lines:
        self.run.leave(self.clients.pop(name))
        return self.heard()

    def forget(self, name: str, data: bytes) -> Lines:
        """A client says this, and is not looked at any more."""
        self.send(name, data)
        del self.clients[name]
        return self.heard()

    def send(self, name: str, data: bytes) -> None:
        self.clients[name].send(data)
        self.run.node.run_until_idle()

    def heard(self) -> Lines:
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


def _play(hub: Service, agent: Service, script: Callable[[_Chat], list[Any]]) -> Run:
    a_function(hub)
    a_function(agent)

    def gate() -> None:
        centre = skynet.newservice(hub)
        lid = socket.listen("127.0.0.1:0")
        socket.start(lid, lambda id, addr: skynet.newservice(agent, centre, id))

    return run(gate, lambda r: script(_Chat(r)))


def _wrong(when: str, got: Lines, wanted: Lines) -> Hint | None:
    """The first client that heard something else than it should."""
    wrong = (name for name, lines in wanted.items() if got.get(name) != lines)
    return next((hint("hears", when=hint(when), name=n, heard=got.get(n), lines=wanted[n]) for n in wrong), None)


@exercise("13.1")
def _cost(answer: Any) -> Hints:
    yield no_list(answer, 2) and "two-numbers"
    messages, writes = answer
    yield among(writes, 6, {5: "enters"}, "writes")
    yield among(messages, 7, {6: "lines", 8: "response"}, "otherwise")


yes_or_no("13.2", "yes", "yes", "no", "yes")


@exercise("13.3")
def _contained(program: Any) -> Hints:
    found = _play(_hub, program, lambda chat: [
        chat.enter("Ann", "Bob", "Eve"), chat.forget("Ann", b"\xff\n"), chat.agents(),
        chat.run.sockets().count("connected"), chat.say("Bob", b"hi\n"), chat.leave("Bob"),
    ])  # fmt: skip
    start, crash, agents, connected, talk, leave = found.said
    yield _wrong("start", start, {"Bob": ["* Bob has come", "* Eve has come"], "Eve": ["* Eve has come"]})
    yield not any("UnicodeDecodeError" in error or "codec" in error for error in found.errors) and "swallowed"
    yield _wrong("crash", crash, {"Bob": ["* Ann has left"], "Eve": ["* Ann has left"]})
    yield (agents != 2 or connected != 2) and hint("left", agents=agents, connected=connected)
    yield _wrong("says-hi", talk, {"Bob": ["Bob: hi"], "Eve": ["Bob: hi"]})
    yield _wrong("bob-leaves", leave, {"Eve": ["* Bob has left"]})


@exercise("13.4")
def _who(answer: Any) -> Hints:
    hub, agent = answer
    found = _play(hub, agent, lambda chat: [
        chat.enter("Eve", "Ann", "Bob"), chat.say("Ann", b"/who\n"), chat.say("Ann", b"hello\n"), chat.leave("Eve"),
        chat.say("Bob", b"/who\n"),
    ])  # fmt: skip
    yield found.raised("look-at-log")
    _, asked, hello, _, again = found.said
    yield (asked["Bob"] or asked["Eve"]) and hint("told-all", bob=asked["Bob"])
    yield not asked["Ann"] and hint("nothing", verdicts=found.trace.verdicts())
    yield _wrong("who", asked, {"Ann": ["* Eve Ann Bob"]})
    yield _wrong("says-hello", hello, {name: ["Ann: hello"] for name in hello})
    yield _wrong("who-again", again, {"Bob": ["* Ann Bob"]})


@exercise("13.5")
def _taken(answer: Any) -> Hints:
    hub, agent = answer

    def script(chat: _Chat) -> list[Any]:
        chat.enter("Ann")
        chat.clients["nameless"] = chat.run.client()
        empty = chat.forget("nameless", b"\n")["Ann"], chat.agents()
        chat.clients["second"] = chat.run.client()
        said = [chat.say(*line) for line in [("second", b"Ann\n"), ("Ann", b"me\n"), ("second", b"Bob\n"),
                                             ("second", b"hi\n")]]  # fmt: skip
        said.append(chat.leave("Ann"))
        # Two that ask for the same name before the hub has heard of either.
        chat.clients["third"], chat.clients["fourth"] = chat.run.client(), chat.run.client()
        chat.run.node.run_until_idle()
        chat.clients["third"].send(b"Eve\n")
        return [empty, *said, chat.say("fourth", b"Eve\n")]

    found = _play(hub, agent, script)
    yield found.raised("look-at-log")
    empty, taken, me, comes, hi, leaves, race = found.said
    yield empty != ([], 1) and hint("empty", ann=empty[0], agents=empty[1])
    yield _wrong("second-ann", taken, {"Ann": [], "second": ["* Ann is taken"]})
    yield (me["Ann"] != ["Ann: me"] or me["second"]) and hint("me", ann=me["Ann"], second=me["second"])
    yield _wrong("then-bob", comes, {name: ["* Bob has come"] for name in comes})
    yield _wrong("says-hi", hi, {name: ["Bob: hi"] for name in hi})
    yield _wrong("ann-leaves", leaves, {"second": ["* Ann has left"]})
    others = {"second": ["* Eve has come"], "third": ["* Eve has come"]}
    yield race != {**others, "fourth": ["* Eve is taken"]} and hint("race", race=race)


@exercise("13.6")
def _slow(program: Any) -> Hints:
    def script(chat: _Chat) -> list[Any]:
        chat.enter("Ann", "Bob", "Eve")
        eve = chat.clients.pop("Eve")
        lines = 0
        others: list[bytes] = []
        try:
            for _ in range(28):
                chat.send("Ann", 500_000 * b"x" + b"\n")
                for c in chat.clients.values():
                    line = c.recv_line()
                    if line.startswith(b"*"):
                        others.append(line)
                        line = c.recv_line()
                    lines += line.startswith(b"Ann: ")
            others += [line.encode() for heard in chat.heard().values() for line in heard]
        except (SocketError, DriveTimeout):
            return [lines, others, chat.agents(), chat.run.sockets()]
        said = [lines, others, chat.agents(), chat.run.sockets()]
        eve.close()
        return said

    found = _play(_hub, program, script)
    yield found.raised("look-at-log")
    lines, others, agents, sockets = found.said
    yield lines != 56 and hint("lines", lines=lines)
    yield sockets.count("connected") == 3 and "connected"
    yield "halfclose_read" in sockets and "closing"
    yield others != [b"* Eve has left"] * 2 and hint("others", others=others)
    yield agents != 2 and hint("agents", agents=agents)
