"""What a peer may do to a node: be killed, be slow, be silent, flood, restart, send garbage. It costs its own connection.

test_cluster.py has the limits one by one; here a second peer is asked meanwhile, and is served as if nothing were.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_nodes import Ours, Storm, Theirs, introduce, peer
from cluster_wire import Callee, Member, Wire, World
from harness import free_port, seeds
from real_skynet import real
from test_cluster_golden import connect

from skynet_lite import CallError, cluster, seri
from skynet_lite.lualib import clustercore

# ---- killed; at length in tests/bench/killed.py


@pytest.fixture(params=[1, 3], ids="thread={}".format)
def ours(request: pytest.FixtureRequest) -> Iterator[Ours]:
    ours = Ours(["echo"], clock="real", thread=request.param)
    yield ours
    ours.node.close()


def test_every_caller_of_a_node_that_is_killed_gets_its_answer_or_its_error(ours: Ours) -> None:
    """kill -9 in the middle of many calls. None hangs, none gets two; and the next node of that name is called."""
    port = free_port()
    ours.do(lambda: cluster.reload({"peer": f"127.0.0.1:{port}"}))
    for after in (1, 150):
        with peer(port) as node:
            storm = Storm(ours, "peer", "@echo", 300)
            storm.run(after, node.kill)
        assert after <= storm.answered < 300


@real
def test_every_caller_of_a_real_node_that_is_killed_gets_its_answer_or_its_error(ours: Ours, tmp_path: Path) -> None:
    theirs = Theirs(tmp_path / "node")
    for after in (1, 150):
        with theirs.running():
            introduce(ours, theirs)
            storm = Storm(ours, "theirs", theirs.echo, 300)
            storm.run(after, theirs.kill)
        assert after <= storm.answered < 300


# ---- peers that call us


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def both(world: World, kind: type[Callee] = Callee) -> tuple[Callee, Member]:
    """A node that is called, and one that behaves."""
    b, a = kind(["echo"]), Member()
    world.add(b, a)
    a.do(lambda: cluster.reload({"b": f"127.0.0.1:{b.port}"}))
    assert asked(world, a) == "well"
    return b, a


def asked(world: World, a: Member) -> object:
    outcome = a.start(lambda: cluster.call("b", "@echo", "ECHO", "well"))
    world.until(lambda: outcome.times)
    return outcome.value


def packed(session: int, *values: object) -> bytes:
    frame, _, parts = clustercore.packrequest("@echo", session, seri.pack(*values))
    return b"".join((frame, *(parts or ())))


def test_a_peer_that_sends_a_byte_at_a_time_is_served(world: World) -> None:
    """Between two of its bytes others have all the time they want."""
    b, a = both(world)
    slow = connect(world, b.port)
    for byte in packed(1, "ECHO", "slow"):
        slow.send(bytes((byte,)))
        world.round()
        if byte % 4 == 0:
            assert asked(world, a) == "well"
    assert world.until(lambda: slow.frames) == [b"\0\x0a\1\0\0\0\1" + seri.pack("slow")]


def test_a_peer_that_opens_and_says_nothing_costs_a_connection(world: World) -> None:
    """So do those that end in the middle of a frame, of a large request, or at once."""
    b, a = both(world)
    silent = [connect(world, b.port) for _ in range(20)]
    half = packed(1, "LEN", "x" * 100_000)
    for i, end in enumerate(silent[:15]):
        end.send(half[: (0, 1, 2, 9, 40_000)[i % 5]])
    world.rounds(5)
    assert asked(world, a) == "well"
    for i, end in enumerate(silent):
        (end.reset if i % 2 else end.close)()
    world.until(lambda: len(agents(b)) == 1)  # of the one that behaves
    assert asked(world, a) == "well"
    assert not [line for line in b.node.log_lines if "Traceback" in line]


def agents(b: Callee) -> list[str]:
    return [name for name in b.node.tables()["services"].values() if name["name"] == "clusteragent"]


class Busy(Callee):
    """In a turn it does not get through with all that has come."""

    def turn(self) -> None:
        for _ in range(100):
            self.node.step()


def test_a_peer_that_floods_is_answered_and_others_are_not_kept_waiting(world: World) -> None:
    """Three thousand requests at once; who asks meanwhile is answered before all of them are."""
    b, a = both(world, Busy)
    flood = connect(world, b.port)
    count = 3_000
    flood.send(b"".join(packed(1 + i, "ECHO", i) for i in range(count)))
    assert asked(world, a) == "well"
    assert len(flood.frames) < count
    world.until(lambda: len(flood.frames) == count)
    sessions = {int.from_bytes(frame[2:6], "little") for frame in flood.frames}
    assert len(sessions) == count
    refused = [frame for frame in flood.frames if frame[6:7] == b"\0"]
    assert all(frame.endswith(b"requests are under way: call failed") for frame in refused)


def test_small_answers_overtake_the_parts_of_large_ones(world: World) -> None:
    """A peer that does not read for a while: large answers are written with low priority, as large requests are."""
    b, a = both(world)
    end = connect(world, b.port)
    end.stopped = True
    end.send(packed(1, "BIG", 16 << 20) + packed(2, "BIG", 16 << 20))
    world.until(lambda: len(b.node.tables()["sockets"]) and not end.out)
    world.rounds()
    end.send(packed(3, "ECHO", "urgent"))
    world.rounds()
    assert asked(world, a) == "well"
    end.stopped = False
    world.until(lambda: len(end.frames) == 2 * (1 + 512 + 1) + 1)
    sessions = [int.from_bytes(frame[2:6], "little") for frame in end.frames]
    assert sessions.index(3) < 514 and sessions[-1] == 2


def garbage(luck: random.Random) -> bytes:
    """Frames that look like some: what they say about themselves is right, or nearly."""
    data = bytearray()
    for _ in range(luck.randrange(1, 8)):
        kind = luck.choice((0, 1, 2, 3, 4, 5, 0x41, 0x80, 0x81, 0xC1, luck.randrange(256)))
        numbers = b"".join(
            luck.choice((0, 1, 2, 7, 11, luck.randrange(1 << 32))).to_bytes(4, "little") for _ in range(3)
        )
        name = luck.choice((b"@echo", b".echo", b"@", b"", b"\xff" * luck.randrange(20)))
        payload = luck.choice((seri.pack("ECHO", 1), seri.pack("echo"), b"", luck.randbytes(luck.randrange(30))))
        body = bytes((kind,))
        body += bytes((len(name),)) + name + numbers[4:] if kind & 0x80 else numbers[: luck.choice((4, 8, 12))]
        body = (body + payload)[: luck.choice((1 << 16, luck.randrange(1, 20)))]
        data += (len(body) + luck.choice((0, 0, 0, 0, 1))).to_bytes(2, "big") + body
    return bytes(data)


def test_garbage_of_every_kind_leaves_nothing_behind(world: World) -> None:
    """What is nearly a request, at random; FUZZ=N for more of it. Then the node serves, and holds nothing."""
    b, a = both(world)
    for seed in seeds(150):
        end = connect(world, b.port)
        end.send(garbage(random.Random(seed)))
        world.until(lambda end=end: not end.out)
        world.round()
        end.close()
        world.ends.remove(end)
    world.until(lambda: len(agents(b)) == 1)
    assert asked(world, a) == "well"
    kept = b.node.tables()["services"]
    assert all(not s["session_id_coroutine"] for s in kept.values() if s["name"] == "clusteragent")


def test_what_is_half_wrong_is_answered_as_skynet_does(world: World) -> None:
    """What tests/test_interop.py found beside a real node: the address is looked at first, then what is in the request.

    A second begin ends a large request: what was complete before it, is. A query is for a text or a number.
    """
    b, _ = both(world)
    end = connect(world, b.port)

    def frame(kind: int, *numbers: int, rest: bytes = b"") -> bytes:
        body = bytes((kind,)) + b"".join(n.to_bytes(4, "little") for n in numbers) + rest
        return len(body).to_bytes(2, "big") + body

    whole = seri.pack("ECHO", "whole")
    end.send(frame(0, 0x7777, 1, rest=b"\7"))
    end.send(frame(0, b.handles["echo"], 2, rest=b"\7"))
    end.send(frame(1, 11, 3, len(whole)) + frame(2, 3, rest=whole) + frame(1, 11, 3, 5) + frame(3, 3, rest=b"more"))
    end.send(frame(0, 0, 4, rest=seri.pack(True)))
    end.send(packed(5, "ECHO", "last"))
    world.until(lambda: len(end.frames) == 3)
    told = [clustercore.unpackresponse(f[2:]) for f in end.frames]
    assert told[0] == (1, False, "30583: call to invalid address", False)
    assert told[1:] == [(3, True, seri.pack("whole"), False), (5, True, seri.pack("last"), False)]


# ---- peers that we call


def test_a_server_that_is_silent_or_slow_holds_up_its_own_callers_only(world: World) -> None:
    """And when it ends they fail, each once."""
    b, a = both(world)
    wire = Wire()
    world.add(wire)
    a.do(lambda: cluster.reload({"silent": f"127.0.0.1:{wire.port}"}))
    waiting = [a.start(lambda i=i: cluster.call("silent", 1, i)) for i in range(5)]
    world.until(lambda: wire.callers and len(wire.callers[0].frames) == 5)
    assert asked(world, a) == "well"
    for byte in clustercore.packresponse(3, True, seri.pack("at last"))[0]:
        wire.callers[0].send(bytes((byte,)))
        world.round()
    world.until(lambda: waiting[2].times)
    assert waiting[2].value == "at last"
    assert [outcome.times for outcome in waiting] == [0, 0, 1, 0, 0]
    wire.cut(0)
    world.until(lambda: all(outcome.times for outcome in waiting))
    assert all(isinstance(o.error, CallError) for i, o in enumerate(waiting) if i != 2)
    assert asked(world, a) == "well"
    world.rounds()
    assert {outcome.times for outcome in waiting} == {1}


def test_a_server_that_floods_with_answers_nobody_asked_for(world: World) -> None:
    """They are logged and dropped; the caller's own answer is among them."""
    b, a = both(world)
    wire = Wire()
    world.add(wire)
    a.do(lambda: cluster.reload({"flood": f"127.0.0.1:{wire.port}"}))
    mine = a.start(lambda: cluster.call("flood", 1))
    world.until(lambda: wire.callers and wire.callers[0].frames)
    for i in range(2000):
        wire.callers[0].send(clustercore.packresponse(1000 + i, True, seri.pack("unasked"))[0])
    wire.callers[0].send(clustercore.packresponse(1, True, seri.pack("mine"))[0])
    assert asked(world, a) == "well"
    world.until(lambda: mine.times)
    assert mine.value == "mine"
    assert sum("socket: unknown session" in line for line in a.node.log_lines) == 2000


def test_an_answer_that_cannot_be_opened_fails_its_own_call(world: World) -> None:
    """It says so as every failed call does; the connection goes on."""
    b, a = both(world)
    wire = Wire()
    world.add(wire)
    a.do(lambda: cluster.reload({"odd": f"127.0.0.1:{wire.port}"}))
    calls = [a.start(lambda: cluster.call("odd", "@x")) for _ in range(2)]
    world.until(lambda: wire.callers and len(wire.callers[0].frames) == 2)
    wire.callers[0].send(clustercore.packresponse(1, True, b"\7\7")[0])
    wire.callers[0].send(clustercore.packresponse(2, True, seri.pack("well"))[0])
    world.until(lambda: all(outcome.times for outcome in calls))
    assert isinstance(calls[0].error, CallError)
    assert str(calls[0].error).startswith(
        "node odd, address '@x': its answer cannot be opened: Invalid serialize stream 1"
    )
    assert str(calls[0].error).endswith(": call failed")
    assert calls[1].value == asked(world, a) == "well"


def test_a_server_that_comes_and_goes_is_called_whenever_it_is_there(world: World) -> None:
    """Twenty times: each call is answered or fails at once, and the sessions go on."""
    b, a = both(world)
    wire = Wire()
    world.add(wire)
    a.do(lambda: cluster.reload({"restless": f"127.0.0.1:{wire.port}"}))
    for i in range(20):
        there = a.start(lambda: cluster.call("restless", 1, "there"))
        world.until(lambda i=i: len(wire.callers) == i + 1 and wire.callers[i].frames)
        (_, session, *_) = clustercore.unpackrequest(wire.callers[i].frames.pop()[2:])
        wire.callers[i].send(clustercore.packresponse(session, True, seri.pack(i))[0])
        world.until(lambda there=there: there.times)
        assert there.value == i and session == 1 + 2 * i
        wire.cut(i, reset=i % 2 == 0)
        wire.refuse()
        world.rounds(3)
        gone = a.start(lambda: cluster.call("restless", 1, "gone"))
        world.until(lambda gone=gone: gone.times)
        assert isinstance(gone.error, CallError)
        wire.listen()
    assert asked(world, a) == "well"
