"""cluster under attack: peers that lie and flood, programs that are wrong, nodes that move while they are reached."""

from __future__ import annotations

import contextlib
import random
import socket as pysocket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_harness import Pair, answers, ended, request
from harness import LIMIT, free_port, seeds

from skynet_lite import CallError, Node, PackError, SkynetError, cluster, seri, skynet
from skynet_lite.lualib import clustercore


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


def frame(kind: int, session: int, rest: bytes = b"") -> bytes:
    return struct.pack(">HBI", 5 + len(rest), kind, 0)[:3] + struct.pack("<I", session) + rest


class Peer:
    """A node x that a called, with one request of session 1, and that says whatever we let it say."""

    def __init__(self, pair: Pair, *args: Any) -> None:
        self.pair = pair
        with pysocket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(LIMIT)
            pair.on(pair.a, cluster.reload, {"x": f"127.0.0.1:{server.getsockname()[1]}"})
            self.outcome = pair.start(pair.a, cluster.call, "x", *args)
            pair.turn()
            self.sock, _ = server.accept()
        self.sock.setblocking(False)
        self.got = b""
        pair.until(self.hears)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.sock.close()

    def hears(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            self.got += self.sock.recv(1 << 16)
        return self.got

    def says(self, data: bytes) -> None:
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[self.sock.send(data) :]
            self.pair.turn()


# ---- programs that are wrong


def test_a_push_that_cannot_travel_is_refused_where_it_is_sent(pair: Pair) -> None:
    """At once, and not when the queue of the first use is emptied: that would take along all who wait in it."""

    def body() -> Any:
        with pytest.raises(PackError, match="a builtins.set may not travel"):
            cluster.send("b", {1}, "NOTE", 1)  # type: ignore[arg-type]
        return cluster.call("b", "@echo", "ECHO", "came")

    assert pair.on(pair.a, body) == "came"


def test_a_push_that_waits_is_what_it_was(pair: Pair) -> None:
    """What is queued is a copy already."""

    def body() -> None:
        value = [1]
        cluster.send("b", "@echo", "NOTE", value)
        value.append(2)

    pair.on(pair.a, body)
    pair.until(pair.notes)
    assert pair.notes() == [[1]]


def test_a_name_without_bytes_fails_with_node_and_address(pair: Pair) -> None:
    """Half of a surrogate pair is a str of Python, but no text."""
    with pytest.raises(CallError, match=r"node b at .*, address '\\ud800': 'utf-8' codec can't encode .*: call failed"):
        pair.call("\ud800", "ECHO")
    pair.on(pair.a, cluster.send, "b", "\ud800", "ECHO")
    pair.until(lambda: pair.logs(pair.a, "a push to b is lost"))
    assert pair.call("@echo", "ECHO", 1) == 1


@pytest.mark.parametrize(
    ("f", "args", "what"),
    [
        (cluster.reload, (5,), "cluster.reload takes a dict of names and addresses"),
        (cluster.reload, (b"file",), "cluster.reload takes a dict of names and addresses"),
        (cluster.reload, ([],), "cluster.reload takes a dict of names and addresses"),
        (cluster.open, (0, "many"), "maxclient of cluster.open is a number, not 'many'"),
        (cluster.open, (0, 0), "maxclient of cluster.open is 0"),
        (cluster.open, (0, None, 5), "cluster.open listens on a host, a str, not 5"),
        (cluster.call, (None, "@x"), "a node of the cluster has a name, a str, not None"),
        (cluster.proxy, ("b", []), r"cluster.proxy takes a handle or a name, not \[\]"),
        (cluster.snax, ("b", 5), "cluster.snax takes a name, a str, not 5"),
    ],
)
def test_wrong_arguments_are_refused_by_name(pair: Pair, f: Any, args: tuple[Any, ...], what: str) -> None:
    """Where the mistake is, not in the service that stumbles over it."""
    with pytest.raises(SkynetError, match=what):
        pair.on(pair.a, f, *args)


class Odd:
    """Travels within the node, but only once: whoever opens it is not told what it was."""


def _broken(_: Any) -> Any:
    raise RuntimeError("it cannot be opened")


skynet.register_type(Odd, lambda odd: 5, _broken)


def test_an_answer_that_cannot_be_sent_fails_the_call(pair: Pair) -> None:
    """Whatever the reason, who asks is told, and the reason is in the log of the node that could not send it."""
    values = {"big": 1 << 64, "deep": [[]], "key": {float("nan"): 1}, "half": "\ud800", "odd": Odd()}
    for _ in range(40):
        values["deep"] = [values["deep"]]

    def service() -> None:
        skynet.dispatch("lua", lambda session, source, name: skynet.retpack(values[name]))
        cluster.register("odd")

    pair.on(pair.b, skynet.newservice, service)
    for name in values:
        with pytest.raises(CallError, match="its answer cannot be sent: call failed"):
            pair.call("@odd", name)
    assert len(pair.logs(pair.b, "cannot be sent: ")) == len(values)


def test_callers_that_are_killed_in_the_queue_are_left_out(pair: Pair) -> None:
    """Those behind them get the sender all the same, in their order."""

    def body() -> list[int]:
        done: list[int] = []
        waiting = [skynet.fork(lambda n=n: done.append(cluster.call("b", "@echo", "ECHO", n))) for n in range(5)]
        skynet.yield_()
        for n in (0, 2, 4):
            skynet.killthread(waiting[n])
        cluster.call("b", "@echo", "ECHO", "last")
        return done

    assert pair.on(pair.a, body) == [1, 3]


def test_a_node_whose_sender_was_killed_is_named(pair: Pair) -> None:
    """As in skynet it stays lost; that is an error like any other."""
    assert pair.call("@echo", "ECHO", 1) == 1
    sender = pair.on(pair.a, cluster.get_sender, "b")
    pair.on(pair.a, skynet.kill, sender)
    with pytest.raises(CallError, match=f"node b: call to invalid address {skynet.address(sender)}: call failed"):
        pair.call("@echo", "ECHO", 1)


# ---- nodes that move


def test_a_node_that_is_off_has_no_proxy_until_it_is_on(pair: Pair) -> None:
    """The attempt fails; it is not a proxy to nowhere that stays."""
    pair.on(pair.a, cluster.reload, {"c": False})
    with pytest.raises(CallError, match="node c: it is turned off"):
        pair.on(pair.a, cluster.proxy, "c@echo")
    pair.on(pair.a, cluster.reload, {"c": f"127.0.0.1:{pair.port}"})
    assert pair.on(pair.a, skynet.call, pair.on(pair.a, cluster.proxy, "c@echo"), "lua", "ECHO", 1) == 1


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_call_follows_a_node_that_moves_while_it_is_reached(pair: Pair, steps: int) -> None:
    """The first address refuses, but by then the node is said to be elsewhere: that is where the call goes."""
    pair.on(pair.a, cluster.reload, {"y": f"127.0.0.1:{free_port()}"})

    def body() -> Any:
        done: list[Any] = []
        skynet.fork(lambda: (done.append(cluster.call("y", "@echo", "ECHO", "came")), skynet.wakeup("done")))
        for _ in range(steps):
            skynet.yield_()
        cluster.reload({"y": f"127.0.0.1:{pair.port}"})
        skynet.wait("done")
        return done

    assert pair.on(pair.a, body) == ["came"]


@pytest.mark.parametrize("seed", seeds(4))
def test_a_node_that_moves_and_goes_off_all_the_time_leaves_nobody_waiting(pair: Pair, seed: int) -> None:
    """Every call is answered or fails, wherever a reload finds it: in the queue, connecting, amid a large request."""
    chance = random.Random(seed)
    other = pair.on(pair.b, cluster.open, 0)[1]
    places = [f"127.0.0.1:{pair.port}", f"127.0.0.1:{other}", False]
    calls = []
    for n in range(80):
        if chance.random() < 0.2:
            pair.start(pair.a, cluster.reload, {"b": chance.choice(places)})
        else:
            address, size = chance.choice(["@echo", pair.echo]), chance.choice([1, 40_000, 200_000])
            calls.append(pair.start(pair.a, cluster.call, "b", address, "LEN", "x" * size))
            pair.start(pair.a, cluster.send, "b", address, "NOTE", n)
        for node in pair.nodes:
            for _ in range(chance.randrange(25)):
                node.step()
    pair.on(pair.a, cluster.reload, {"b": places[0]})
    pair.until(lambda: all(calls))
    assert all(how == "ok" or type(value) is CallError for ((how, value),) in calls)
    assert pair.call("@echo", "ECHO", "last") == "last"


# ---- recordings


@pytest.mark.parametrize("keys", [{}, {"skynet": "1.8"}])
def test_either_side_is_replayed_from_its_own_recording(keys: dict[str, str]) -> None:
    """What the other node did is in it: as bytes that came. Nothing of this machine is, not even in a trace's tag."""

    def traced() -> Any:
        skynet.trace("t")
        return cluster.call("b", "@echo", "ECHO", 1)

    with Pair(record=True, **keys) as pair:
        pair.on(pair.a, cluster.send, "b", "@echo", "NOTE", "x" * 50_000)
        assert pair.on(pair.a, traced) == 1
        assert pair.logs(pair.a, "(node-b-3)")
        with pytest.raises(CallError, match="Invalid name"):
            pair.call("@nobody")
        hangs = pair.start(pair.a, cluster.call, "b", "@echo", "HANG")
        pair.turn()
        pair.on(pair.a, cluster.reload, {"b": False})
        pair.until(lambda: hangs)
        given = [[*node.registry._given.values(), *node.registry._functions.values()] for node in pair.nodes]
    for node, services in zip(pair.nodes, given, strict=True):
        replay = Node.replay(node.trace, *services)
        assert replay.same, str(replay)


# ---- peers that lie


def test_parts_for_nobody_cost_the_callers_node_nothing(pair: Pair) -> None:
    """Parts of answers that nobody asked for are kept by nobody: they do not count as what is held."""
    pair.on(pair.a, cluster.reload, {"__maxbuffer": 1})
    part = clustercore.packresponse(77, True, bytes(32_769))[1]
    with Peer(pair, "@any") as peer:
        peer.says(part * 64 + clustercore.packresponse(1, True, seri.pack("mine"))[0])
        pair.until(lambda: peer.outcome)
    assert peer.outcome == [("ok", "mine")]


def test_an_answer_that_cannot_be_opened_fails_its_call_only(pair: Pair) -> None:
    """The frame is right, so the connection stays; the error says whose answer it was."""
    with Peer(pair, "@any") as peer:
        peer.says(clustercore.packresponse(1, True, b"\x07")[0])
        pair.until(lambda: peer.outcome)
        assert "node x, address '@any': its answer cannot be opened: Invalid serialize stream 0" in str(
            peer.outcome[0][1]
        )
        second = pair.start(pair.a, cluster.call, "x", "@any")
        pair.turn()
        peer.says(clustercore.packresponse(2, True, seri.pack("fine"))[0])
        pair.until(lambda: second)
        assert second == [("ok", "fine")]


def test_empty_parts_are_not_free(pair: Pair) -> None:
    """Millions of them hold no byte, and yet memory: each counts as 64, in a request and in an answer."""
    for node in pair.nodes:
        pair.on(node, cluster.reload, {"__maxbuffer": 1})
    with Peer(pair, "@any") as peer:
        peer.says((struct.pack(">H", 5) + struct.pack("<IB", 1, 3)) * ((1 << 14) + 1))
        pair.until(lambda: peer.outcome)
    assert "sends answers of more than 1 MiB" in str(peer.outcome[0][1])
    with pair.bare() as sock:
        sock.sendall(frame(2, 1) * ((1 << 14) + 1))
        assert ended(pair, sock)
    assert len(pair.logs(pair.b, "it is cut off")) == 1


def test_strange_names_are_answered_or_waited_for_and_harm_nobody(pair: Pair) -> None:
    """No UTF-8, nothing but a dot or a colon, the longest: a local name that is none fails, a global one may come."""
    with pair.bare() as sock:
        fails = [b"@", b"@\xff", b".", b".\xff", b":", b":\xff", b":00000008x", b"." * 255, b":" + b"f" * 254]
        waits = [b"", b"\xff" * 255, b"12", b"a\0b"]
        for session, name in enumerate(fails + waits, 1):
            body = b"\x80" + bytes((len(name),)) + name + struct.pack("<I", session) + seri.pack("ECHO")
            sock.sendall(struct.pack(">H", len(body)) + body)
        found = answers(pair, sock, len(fails))
        assert sorted((session, ok) for session, ok, *_ in found) == [(n, False) for n in range(1, len(fails) + 1)]
        for name in (b".\xff", b":\xff"):  # nobody is there to find out that this is no message
            body = b"\x80" + bytes((len(name),)) + name + struct.pack("<I", 99) + b"\7"
            sock.sendall(struct.pack(">H", len(body)) + body)
            [(session, ok, why, _)] = answers(pair, sock, 1)
            assert (session, ok) == (99, False) and why.endswith(": call to invalid address")
    assert pair.call("@echo", "ECHO", 1) == 1


# ---- connections


def test_nodes_with_several_workers_talk_in_large_messages() -> None:
    """Senders, agents and callers live on different threads; each of many calls at once gets its own answer."""
    with Pair(thread=4) as pair:
        sizes = [1, 50_000, 100, 200_000, 32_768, 5, 70_000, 1_000] * 3
        calls = [pair.start(pair.a, cluster.call, "b", "@echo", "ECHO", n, "x" * n) for n in sizes]
        pair.until(lambda: all(calls))
        assert [(how, (got[0], len(got[1]))) for ((how, got),) in calls] == [("ok", (n, n)) for n in sizes]


def test_connections_that_have_ended_leave_nothing_behind(pair: Pair) -> None:
    """Neither their agents, nor an entry in gate or clusterd, nor requests to names that never came."""
    services = dict(pair.b.handles.contexts)
    for n in range(200):
        with pair.bare() as sock:
            sock.sendall(request(1, "ECHO", address=f"NEVER{n}"))
            pair.turn()
    pair.until(lambda: pair.b.handles.contexts == services)
    schedulers = {context.state.name: context.state for context in services.values() if context.state}
    pair.until(lambda: not schedulers["gate"].libs["gateserver"].connection)
    assert not schedulers["clusterd"].namespace["agents"]
    assert len(schedulers["cdummy"].namespace["queryname"]) < 150  # of the dead it keeps what came since it last looked
