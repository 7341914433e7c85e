"""Running a reader's program: as a service on a node of its own, looked at from outside and through its trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import skynet
from ..core.errors import CallError
from ..node.client import Client
from ..node.node import Node
from ..trace import Trace
from .engine import Hint, hint, tell

NOTHING = "no answer"
FAILED = "failed"


@dataclass
class Run:
    """What becomes of a reader's program. `said`: what the script has put down while it ran, in its order."""

    node: Node
    trace: Trace
    addr: int
    said: list[Any]

    # ---- while it runs

    def port(self) -> int | None:
        """The port on which the program listens, None if it does not."""
        return next(iter(self.ports()), None)

    def ports(self) -> list[int]:
        sockets = self.node.tables()["sockets"]
        return [int(self.node.socket_server.sockname(id)[1]) for id in sockets if sockets[id][0] == "listen"]

    def client(self) -> Client:
        """A client of the program. Raises LookupError if the program does not listen."""
        port = self.port()
        if port is None:
            raise LookupError(tell("none-listens"))
        return self.node.client(port)

    def heard(self, c: Client) -> bytes:
        """What the program has written to `c` by the time that nothing can run. Never waits for more."""
        self.node.run_until_idle()
        return c.recv_until(lambda: True)

    def answer(self, c: Client, data: bytes) -> bytes:
        """What the program writes to `c` when that says `data`."""
        c.send(data)
        return self.heard(c)

    def leave(self, c: Client) -> None:
        c.close()
        self.node.run_until_idle()

    def sockets(self) -> list[str]:
        """The states of all sockets, sorted."""
        return sorted(state for state, _ in self.node.tables()["sockets"].values())

    def connections(self) -> int:
        return sum(state != "listen" for state in self.sockets())

    def start(self, service: Callable[..., Any], *args: Any) -> None:
        """One more service, driven until nothing can run."""
        self.node.newservice(service, *args)
        self.node.run_until_idle()

    def tell(self, *messages: tuple[Any, ...]) -> None:
        """Another service sends these to the program."""
        self.start(lambda: [skynet.send(self.addr, "lua", *message) for message in messages])

    def ask(self, *requests: tuple[Any, ...], ptype: str = "lua") -> list[Any]:
        """A service that makes all these calls at once, and is driven until nothing can run.

        The answers stand in the list as soon as they are there; NOTHING before, FAILED for a call that failed.
        """
        answers: list[Any] = [NOTHING] * len(requests)

        def one(i: int) -> None:
            try:
                answers[i] = skynet.call(self.addr, ptype, *requests[i])
            except CallError:
                answers[i] = FAILED

        self.start(lambda: [skynet.fork(one, i) for i in range(len(requests))])
        return answers

    # ---- and afterwards

    @property
    def marks(self) -> list[str]:
        return [e["text"] for e in self.trace if e["e"] == "mark" and e.get("service")]

    @property
    def errors(self) -> list[str]:
        """The last line of each error that was logged or ended a coroutine."""
        return [str(e["error"]).strip().splitlines()[-1] for e in self.trace if e["e"] == "co_error"]

    def raised(self, name: str = "ends") -> Hint | None:
        """What to say of a program in which a coroutine has ended with an error; None if none has."""
        return hint(name, error=self.errors[0]) if self.errors else None

    def said_twice(self) -> bool:
        """Whether a request was answered a second time."""
        return any("a second time" in line or "has answered already" in line for line in self.node.log_lines)

    def left_open(self) -> int:
        """How many connections the service still had when the script was over."""
        return sum(state != "listen" for state, _ in self.trace.state()["sockets"].values())

    def count(self, e: str, **fields: Any) -> int:
        """How many events of this kind the program's service has."""
        fields["service"] = f":{self.addr:08x}"
        return sum(x["e"] == e and all(x.get(k) == v for k, v in fields.items()) for x in self.trace)


def run(program: Any, script: Callable[[Run], list[Any] | None] | None = None, *args: Any, dialect: str = "1.1") -> Run:
    """Start `program` as a service with `args` on a node of its own, and do `script(run)` to it, which may return `said`.

    The node is closed afterwards; its trace can be asked. A program that waits for ever
    is no harm: time is virtual, and what a client waits for in vain ends in a second.
    Raises TypeError if `program` is no function.
    """
    a_function(program)
    with Node(clock="virtual", log=list, skynet=dialect) as node, node.record() as trace:
        found = Run(node, trace, 0, [])
        found.addr = node.newservice(program, *args, wait=False)
        node.run_until_idle()
        found.said += (script and script(found)) or []
        node.run_until_idle()
    return found


def a_function(program: Any) -> None:
    """Raises TypeError for an answer that is no program."""
    if not callable(program):
        raise TypeError("a program is expected here: a function")
