"""Exercises of notebook 16: gate, watchdog, agent."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .. import skynet
from ..core.errors import SocketError
from ..core.socket_slots import INVALID
from ..lualib import gateserver, netpack
from ..node.client import Client
from .engine import Hints, exercise, first_wrong, hint, no_list, plain, yes_or_no
from .programs import Run, a_function, run

CONF = {"address": "127.0.0.1", "port": 0}


def _packets(found: Run, c: Client) -> list[str]:
    """What a client has got, as the texts of packets; a torn one, or a connection that is gone, is said so."""
    try:
        data = found.heard(c)
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


def _say(found: Run, c: Client, *texts: str) -> list[str]:
    _send(found, c, *texts)
    return _packets(found, c)


def _gate(handler: Any, script: Callable[[Run], list[Any]]) -> Run:
    """A gate with the reader's handler; its service is the program that is looked at."""

    def opened(r: Run) -> list[Any]:
        r.node.call(r.addr, "lua", "open", dict(CONF))
        return script(r)

    return run(lambda: gateserver.start(handler), opened)


def _lacks(handler: Any) -> Hints:
    yield isinstance(handler, type) and hint("class", name=handler.__name__)
    for name in ("connect", "message", "disconnect"):
        yield not callable(getattr(handler, name, None)) and hint("lacks", missing=name)


@exercise("16.1")
def _cut(answer: Any) -> Hints:
    yield no_list(answer, 4) and "form"
    given = [list(part) if isinstance(part, list | tuple) else part for part in answer]
    yield first_wrong(given, [[], [], [b"abc", b""], 3])


@exercise("16.2")
def _boom(answer: Any) -> Hints:
    yield no_list(answer, 3) and "form"
    order, kind, state = plain(answer)
    if isinstance(order, list):
        order = [netpack.tostring(text) if isinstance(text, bytes) else text for text in order]
    yield order == ["a", "boom"] and "after-boom"
    yield order != ["a", "boom", "c"] and "order"
    yield kind != "fork" and "kind"
    yield state != "open" and "state"


yes_or_no("16.3", "yes", "no", "yes", "no")


@exercise("16.4")
def _echo(handler: Any) -> Hints:
    yield from _lacks(handler)

    def script(r: Run) -> list[Any]:
        a, b, c = r.client(), r.client(), r.client()
        r.node.run_until_idle()
        a.send(b"\0\5he")
        r.node.run_until_idle()
        _send(r, b, "one", "two")
        a.send(b"llo")
        said = [_packets(r, a), _packets(r, b), _say(r, b, "three", "bye", "after"), _ended(r, b)]
        r.leave(c)
        return [*said, r.connections(), _say(r, a, "still")]

    found = _gate(handler, script)
    yield found.raised()
    a, b, bye, ended, left, still = found.said
    yield (a != ["HELLO"] or b != ["ONE", "TWO"]) and hint("first", a=a, b=b)
    yield bye != ["THREE", "BYE"] and hint("bye", bye=bye)
    yield not ended and "open"
    yield left != 1 and hint("left", left=left)
    yield still != ["STILL"] and hint("still", still=still)


@exercise("16.5")
def _silent(handler: Any) -> Hints:
    yield from _lacks(handler)

    def script(r: Run) -> list[Any]:
        talks, silent, leaves = r.client(), r.client(), r.client()
        r.node.run_until_idle()
        said: list[Any] = []
        for _ in range(3):  # at 0, 300 and 600
            _send(r, talks, "x")
            leaves.close()
            said.append(_after(r, 300))
        said += [_ended(r, silent), _packets(r, talks), r.connections()]  # by 900
        return [*said, _after(r, 150), _after(r, 250)]  # 1050, 1300: its last packet came at 600

    found = _gate(handler, script)
    yield found.raised()
    early, _, _, ended, answers, connections, late, end = found.said
    yield early != 2 and hint("early", n=early)
    yield answers != ["X", "X", "X"] and hint("answers", answers=answers)
    yield not ended and "silent"
    yield connections != 1 and hint("connections", n=connections)
    yield late != 1 and "late"
    yield end != 0 and "end"


def _after(r: Run, ticks: int) -> int:
    """How many connections there are after some time."""
    r.node.advance(ticks)
    r.node.run_until_idle()
    return r.connections()


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

        @skynet.dispatch("lua")
        def handle(session: int, source: int, cmd: str, what: str, fd: int, *args: Any) -> None:
            if what == "open":
                agents[fd] = skynet.newservice(agent)
                skynet.call(agents[fd], "lua", "start", gate, fd)
            elif what == "close" and fd in agents:
                a = agents.pop(fd)
                skynet.call(gate, "lua", "kick", fd)
                skynet.send(a, "lua", "disconnect")

        skynet.newservice(_database)
        skynet.call(gate, "lua", "open", dict(CONF))

    return watchdog


@exercise("16.6")
def _in_order(agent: Any) -> Hints:
    a_function(agent)

    def script(r: Run) -> list[Any]:
        known = set(r.node.tables()["services"])
        a, b = r.client(), r.client()
        r.node.run_until_idle()
        agents = tuple(f"[{addr}]" for addr in set(r.node.tables()["services"]) - known)
        said: list[Any] = [_say(r, a, "set k 1", "get k", "hello", "get k")]
        lines = len(r.node.log_lines)
        said.append(_say(r, a, "nonsense", "hello"))  # the database is asked without a key, and fails
        said.append([line for line in r.node.log_lines[lines:] if line.startswith(agents)])
        _send(r, a, "get slow", "hello")
        _send(r, b, "hello")
        said += [_packets(r, a), _packets(r, b)]
        r.node.advance(100)
        said.append(_packets(r, a))
        before = len(r.node.tables()["services"])
        r.leave(a)
        return [*said, before - len(r.node.tables()["services"])]

    found = run(_server(agent), script)
    order, failed, logged, held, other, late, ended = found.said
    yield not order and hint("no-answer", line=found.node.log_lines[-1])
    yield order != ["1", "1", "welcome", "1"] and hint("order", order=order)
    yield failed != ["welcome"] and hint("failed", failed=failed)
    forgotten = [line for line in found.node.log_lines if "Maybe forgot" in line]
    yield forgotten and hint("forgot", line=forgotten[0])
    yield not logged and "not-logged"
    yield other != ["welcome"] and hint("other", other=other)
    yield (held or late != ["", "welcome"]) and hint("slow", held=held, late=late)
    yield ended != 1 and "not-ended"
