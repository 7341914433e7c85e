"""Wrong answers to the exercises of notebook 13 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import skynet, socket


def _hub(who: str = "", taken: bool = False, told: bool = False) -> Callable[[], None]:
    """A hub that answers who by "call", "send" or to "all", and knows names that are taken."""

    def hub() -> None:
        agents: dict[str, int] = {}

        def tell(line: str) -> None:
            for agent in agents.values():
                skynet.send(agent, "lua", line)

        @skynet.dispatch("lua")
        def handle(session: int, source: int, command: str, name: str = "", text: str = "") -> None:
            names = "* " + " ".join(sorted(agents) if who == "sorted" else agents)
            if command == "who":
                if who == "all":
                    skynet.retpack(names)
                    tell(names)
                elif who != "forgets":
                    skynet.retpack(names)
            elif command == "has":
                skynet.retpack(name in agents)
            elif command == "join":
                if taken and name in agents:
                    if told:
                        tell(f"* {name} is taken")
                    return skynet.retpack(False)
                agents[name] = source
                skynet.retpack(True)
                tell(f"* {name} has come")
            elif command == "say":
                tell(f"{name}: {text}")
            elif agents.pop(name, None):
                tell(f"* {name} has left")

        return None

    return hub


def _agent(who: str = "", ask: str = "", crash: str = "", slow: str = "", ends: bool = True) -> Callable[..., None]:
    def agent(hub: int, id: int) -> None:
        def write(line: str) -> None:
            socket.write(id, line.encode() + b"\n")

        def listen(name: str) -> None:
            while (line := socket.readline(id)) is not None:
                if crash == "ignores":
                    skynet.send(hub, "lua", "say", name, line.decode("utf-8", "replace"))
                elif line == b"/who" and who == "asks":
                    write(skynet.call(hub, "lua", "who"))
                elif line == b"/who" and who == "both":
                    write(skynet.call(hub, "lua", "who"))
                    skynet.send(hub, "lua", "say", name, line.decode())
                else:
                    skynet.send(hub, "lua", "say", name, line.decode())

        def enter(name: str) -> str:
            if ask == "first":  # a question, and then another message
                while skynet.call(hub, "lua", "has", name):
                    write(f"* {name} is taken")
                    name = (socket.readline(id) or b"").decode()
                skynet.call(hub, "lua", "join", name)
                return name
            while not skynet.call(hub, "lua", "join", name) and ask == "again":
                write(f"* {name} is taken")
                name = (socket.readline(id) or b"").decode()
            return name

        def talk(name: str) -> None:
            name = enter(name)
            if crash in ("leaves", "exits"):
                try:
                    listen(name)
                finally:
                    skynet.send(hub, "lua", "leave", name)
                    if crash == "exits":
                        skynet.exit()
                    socket.close(id)
            else:
                listen(name)
                skynet.send(hub, "lua", "leave", name)

        def warned(id: int, size: int) -> None:
            if slow == "shutdown":
                socket.shutdown(id)
            elif slow == "close":
                skynet.send(hub, "lua", "leave", "Eve")
                socket.close(id)
            elif slow == "exit":
                socket.shutdown(id)
                skynet.exit()

        def serve() -> None:
            socket.start(id)
            if slow:
                socket.warning(id, warned)
            if name := socket.readline(id):
                talk(name.decode())
            if ends:
                skynet.exit()

        skynet.dispatch("lua", lambda session, source, line: write(line))
        skynet.fork(serve)

    return agent


def _drops(hub: int, id: int) -> None:
    """Takes whoever does not read at once for slow: nobody gets a long line."""
    inner = _agent()

    def small(line: Any) -> None:
        if len(line) < 1000:
            socket.write(id, line.encode() + b"\n")

    inner(hub, id)
    skynet.dispatch("lua", lambda session, source, line: small(line))


WRONG = {
    "13.1": [([7, 5], "enters the new client"), ([6, 6], "Which message"), ([8, 6], "of type response"),
             ([12, 6], "what does join set off"), ([7, 1], "How many are told"), (7, "list of two numbers")],
    "13.2": [(["no", "yes", "no", "yes"], "1: which"), (["yes", "no", "no", "yes"], "2: which"),
             (["yes", "yes", "yes", "yes"], "3: look"), (["yes", "yes", "no", "no"], "4: which"), ("no", "four words")],
    "13.3": [(_agent(), "Ann's line raises"), (_agent(crash="ignores"), "come into the log"), (_agent(crash="leaves"), "What ends a service"),
             (_agent(crash="exits"), "come into the log"), (3, "another form")],
    "13.4": [([_hub(), _agent()], "Who is asked"), ([_hub("all"), _agent("asks")], "Who is asked"),
             ([_hub("forgets"), _agent("asks")], "hears nothing"), ([_hub("sorted"), _agent("asks")], "is wanted"),
             ([_hub("call"), _agent("both")], "Who is asked"), (_hub(), "met TypeError")],
    "13.5": [([_hub(), _agent()], "second client calls itself"), ([_hub(taken=True, told=True), _agent(ask="again")], "second client"),
             ([_hub(taken=True), _agent()], "calls itself Ann"), ([_hub(), _agent(ask="first")], "between asking and entering"),
             ([_hub(taken=True), _agent(ask="again", ends=False)], "sends an empty line")],
    "13.6": [(_agent(), "still connected"), (_agent(slow="close"), "half closed"), (_agent(slow="exit"), "each should hear"),
             (_agent(slow="shutdown", ends=False), "is still there"), (_drops, "56 lines")],
}  # fmt: skip
