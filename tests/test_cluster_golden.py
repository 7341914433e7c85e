"""The wire of a cluster, byte for byte as a real skynet recorded it (tests/golden/cluster, its SPEC.md).

Each recording is played three times: with a node of ours that calls and a script that answers what was recorded; with
a script that sends what was recorded and a node of ours that answers; with two nodes of ours and a wire between them
that notes every frame. Two things are compared by their meaning, because they are none of the protocol's: the place in
a source file that goes ahead of the text in an error ("./lualib/skynet.lua:720: call failed": the end counts), and the
name of the recording machine with its process id in trace tags (ours stands there instead).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cluster_wire import GOLDEN, Callee, Echo, End, Member, Outcome, Wire, World, load
from recorded import raw, returned, value, values

from skynet_lite import CallError, cluster, skynet
from skynet_lite.lualib import clustercore

# ---- frames


def own(tag: str) -> str:
    """A tag of the recording, as a node with a virtual clock makes it."""
    return re.sub(r"^\(wirehost\d+-", "(node-", tag)


def tags(frame: bytes) -> bytes:
    """The same for the frame that carries it."""
    if not frame[2:].startswith(b"\x04(wirehost"):
        return frame
    text = own(frame[3:].decode()).encode()
    return (1 + len(text)).to_bytes(2, "big") + b"\x04" + text


def tags_in(lines: list[str]) -> list[str]:
    """The trace tags that a service worked under, one for each line that says so."""
    return [found[1] for line in lines if (found := re.search(r"<TRACE (.*?)> \d+ tracecall (?:begin|end)", line))]


def assert_frame(kind: str, got: bytes, told: bytes) -> None:
    if kind == "s2c" and told[6:7] == b"\0" and (place := re.match(rb"\./\S+:\d+: ", told[7:])):
        assert got[2:7] == told[2:7]
        assert got[7:].endswith(told[7 + place.end() :])
    else:
        assert got == tags(told)


def sleeps(frame: bytes) -> bool:
    return b"\x2cSLEEP" in frame


def begins(frame: bytes) -> bool:
    """Whether a request or a push begins with it."""
    return frame[2] & 0x3F in (0, 1)


# ---- playing a recording


def call(told: dict[str, Any]) -> Callable[[], Any]:
    """The program of a step: one function of `cluster`, as it was called."""
    f = getattr(cluster, told["fn"].removeprefix("cluster."))
    if "name" in told:
        return lambda: f(told["node"], told["name"])
    return lambda: f(told["node"], value(told["address"]), *values(told["args"]))


Script = dict[tuple[str, int], Callable[["Play"], Any]]
PROGRAM: Script = {}  # (scenario, step) → what the caller does, where a recording only says it in words
BEFORE: Script = {}  # what happens elsewhere before a step; an entry here or there is needed for each "api" in words
AFTER: Script = {}  # and when its frames are through


class Play:
    """Recordings, one after the other over the same nodes. `role`: which side is ours: "caller", "callee", "both"."""

    def __init__(self, role: str, names: list[str], dialect: str) -> None:
        self.role = role
        self.world = World()
        told = [load(name) for name in names]
        self.recordings = dict(zip(names, told, strict=True))
        self.callee = self.caller = None
        if role != "caller":
            self.callee = Callee(list(told[0]["callee_services"]), skynet=dialect)
            assert self.callee.handles == {k: v["handle"] for k, v in told[0]["callee_services"].items()}
            self.world.add(self.callee)
        if role != "callee":
            self.wire = Wire(self.callee.port if self.callee else None)
            self.caller = Member(skynet=dialect)
            self.world.add(self.caller, self.wire)
            self.caller.do(lambda: cluster.reload({"b": self.address()}))
        self.ends = dict[int, End]()  # by connection, where one side is the script
        self.seen = 0  # entries of wire.log that were compared
        self.sent_sleeps = 0

    def address(self) -> str:
        return f"127.0.0.1:{self.wire.port}"

    def do(self, side: Member | None, job: Callable[[], Any]) -> None:
        """What one of the nodes does in between, if it is ours."""
        if side is not None:
            side.do(job)

    def until(self, true: Callable[[], Any], what: Any, idle: Callable[[], Any] = lambda: None) -> Any:
        return self.world.until(true, idle, str(what))

    def play(self) -> None:
        for name, recording in self.recordings.items():
            for i, step in enumerate(recording["steps"]):
                self.key = name, i
                self.step(step)
        if self.callee and (lines := self.recordings.get("trace", {}).get("callee_log_lines")):
            told_tags = [own(tag) if self.caller else tag for tag in tags_in(lines)]
            assert tags_in(self.callee.node.log_lines) == told_tags
        # Nothing more has come than what was recorded.
        self.world.rounds()
        assert not any(end.frames for end in self.ends.values())
        if self.role == "both":
            assert len(self.wire.log) == self.seen

    def step(self, step: dict[str, Any]) -> None:
        api, key = step["api"], self.key
        assert not isinstance(api, str) or key in PROGRAM or key in BEFORE or key in AFTER, f"{key}: {api}"
        BEFORE.get(key, lambda play: None)(self)
        self.jobs = self.programs(step) if self.caller else []
        self.outcomes = list[Outcome]()
        self.frames(step.get("frames", []), "order" in step)
        AFTER.get(key, lambda play: None)(self)
        if self.caller and "result" in step and not step.get("blocked_until_reload"):
            self.results(step["result"])
        if self.callee and "server_notes" in step:
            told = returned(step["server_notes"])
            self.until(lambda: self.callee.notes() == told, told)
            self.callee.clear()

    def programs(self, step: dict[str, Any]) -> list[Callable[[], Any]]:
        api = step["api"]
        if self.key in PROGRAM:
            made = PROGRAM[self.key](self)
            return made if isinstance(made, list) else [made]
        if isinstance(api, str):
            return []
        if traced := re.match(r'skynet\.trace\("(\w+)"\)', step.get("before", "")):
            return [lambda: (skynet.trace(traced[1]), call(api)())[1]]
        return [call(one) for one in (api if isinstance(api, list) else [api])]

    def start(self) -> None:
        self.outcomes.append(self.caller.start(self.jobs.pop(0)))

    def results(self, told: Any) -> None:
        told = told if isinstance(told, list) else [told]
        if len(self.outcomes) == 1 and len(told) > 1:  # one program that did them all
            told = [{"ok": True, "values": [v for one in told for v in one["values"]]}]
        assert len(self.outcomes) == len(told)
        for outcome, one in zip(self.outcomes, told, strict=True):
            self.until(lambda outcome=outcome: outcome.times, one)
            if one["ok"]:
                assert outcome.error is None, outcome.error
                assert outcome.value == returned(one["values"])
            else:
                assert isinstance(outcome.error, CallError)
                assert one["error_stable"] in str(outcome.error)  # and in which node, where and why

    # ---- frames

    def frames(self, told: list[dict[str, Any]], may_vary: bool) -> None:
        if not any(f.get("dir") == "c2s" for f in told):
            while self.jobs:
                self.start()
        compared = list[tuple[int, str, bytes, bytes]]()
        for one in told:
            conn = one["conn"] - 1
            if "event" in one:
                self.event(one["event"], conn)
                continue
            frame = raw(one["hex"])
            if one["dir"] == "c2s" and self.jobs and (begins(frame) or frame[2] == 4):
                if not (self.outcomes and self.tagged):
                    self.start()
                self.tagged = frame[2] == 4
            got = getattr(self, f"{one['dir']}_{self.role}")(conn, frame)
            if got is not None:
                compared.append((conn, one["dir"], got, frame))
        if may_vary:  # of several messages at once each comes in its own order
            told_frames = sorted(((c, d, f) for c, d, _, f in compared), key=self.message)
            got_frames = sorted(((c, d, g) for c, d, g, _ in compared), key=self.message)
            assert len(told_frames) == len(got_frames)
            compared = [(c, d, g, f) for (c, d, g), (_, _, f) in zip(got_frames, told_frames, strict=True)]
        for _, kind, got, frame in compared:
            assert_frame(kind, got, frame)

    tagged = False

    @staticmethod
    def message(one: tuple[int, str, bytes]) -> tuple[Any, ...]:
        """What messages are told apart by: their session. Pushes have none, and keep their order."""
        conn, kind, frame = one
        if kind == "s2c":
            return conn, kind, frame[2:6]
        fields = clustercore.unpackrequest(frame[2:])
        return conn, kind, fields[1].to_bytes(4, "little") if len(fields) > 1 else b""

    def event(self, event: str, conn: int) -> None:
        if event == "open":
            if self.role == "caller":
                if self.jobs:
                    self.start()
                    self.tagged = True  # its first frame is yet to come
                self.until(lambda: len(self.wire.callers) > conn, event)
                self.ends[conn] = self.wire.callers[conn]
            elif self.role == "callee":
                self.ends[conn] = connect(self.world, self.callee.port)
        elif event.endswith("-eof") and self.role == "callee":
            if event == "c2s-eof":
                self.ends[conn].close()
        elif event.endswith("-eof"):
            end = self.wire.callers[conn]
            self.until(lambda: end.eof or end.sock.fileno() < 0, event)

    def c2s_caller(self, conn: int, frame: bytes) -> bytes:
        return self.until(lambda: self.ends[conn].frames, frame[:60]).pop(0)  # type: ignore[no-any-return]

    def s2c_caller(self, conn: int, frame: bytes) -> None:
        self.ends[conn].send(frame)

    def c2s_callee(self, conn: int, frame: bytes) -> None:
        self.sent_sleeps += sleeps(frame)
        self.ends[conn].send(frame)

    def s2c_callee(self, conn: int, frame: bytes) -> bytes:
        return self.until(lambda: self.ends[conn].frames, frame[:60], self.sleep).pop(0)  # type: ignore[no-any-return]

    def c2s_both(self, conn: int, frame: bytes) -> bytes:
        self.sent_sleeps += sleeps(frame)
        return self.noted(conn, "c2s", frame)

    def s2c_both(self, conn: int, frame: bytes) -> bytes:
        return self.noted(conn, "s2c", frame)

    def noted(self, conn: int, kind: str, frame: bytes) -> bytes:
        """The next frame of this direction on the wire; the two directions keep no order between them."""

        def mine() -> bytes | None:
            for i in range(self.seen, len(self.wire.log)):
                if self.wire.log[i][:2] == (conn, kind):
                    got = self.wire.log.pop(i)
                    self.wire.log.insert(self.seen, got)
                    self.seen += 1
                    return got[2]
            return None

        return self.until(mine, frame[:60], self.sleep)  # type: ignore[no-any-return]

    def sleep(self) -> None:
        """Let the time of the callee pass, when all who are to sleep do."""
        if self.callee.slept == self.sent_sleeps:
            self.callee.node.advance(1)

    def close(self) -> None:
        for end in self.ends.values():
            end.close()
        self.world.close()


def connect(world: World, port: int) -> End:
    import socket

    end = End(socket.create_connection(("127.0.0.1", port)))
    world.add(end)
    return end


# ---- what the recordings say in words


def at(where: Script, scenario: str, *steps: int) -> Callable[[Callable[[Play], Any]], Callable[[Play], Any]]:
    def keep(f: Callable[[Play], Any]) -> Callable[[Play], Any]:
        where.update({(scenario, step): f for step in steps})
        return f

    return keep


@at(PROGRAM, "first_use_queue", 0)
def five_at_once(play: Play) -> Callable[[], Any]:
    def program() -> Any:
        answers: dict[int, Any] = {}
        done = object()

        def ask(i: int, address: Any, what: str) -> None:
            answers[i] = cluster.call("b", address, "ECHO", what)
            if len(answers) == 2:
                skynet.wakeup(done)

        cluster.send("b", "@echo", "NOTE", "q1")
        cluster.send("b", "@echo", "NOTE", "q2")
        skynet.fork(ask, 1, "@echo", "c1")
        skynet.fork(ask, 2, 11, "c2")
        cluster.send("b", "@echo", "NOTE", "q3")
        skynet.wait(done)
        return answers[1], answers[2]

    return program


@at(BEFORE, "errors", 5)
def one_that_will_exit(play: Play) -> None:
    if play.callee is not None:
        play.callee.do(lambda: skynet.newservice(Echo().service))
        assert ":0000000d" in play.callee.node.tables()["services"]


@at(BEFORE, "query", 2)
def unregistered(play: Play) -> None:
    play.do(play.callee, lambda: cluster.unregister("echo"))


@at(BEFORE, "query", 4)
def registered_again(play: Play) -> None:
    play.do(play.callee, lambda: cluster.register("echo", 11))


@at(BEFORE, "register_names", 1)
def one_is_the_other(play: Play) -> None:
    def program() -> None:
        cluster.unregister("one")
        cluster.register("one", 12)

    play.do(play.callee, program)


@at(BEFORE, "register_names", 4)
def taken(play: Play) -> None:
    if play.callee is not None:
        with pytest.raises(CallError, match=r"the name one is taken by :0000000c"):
            play.callee.do(lambda: cluster.register("one", 11))
    play.recordings["register_names"]["steps"][4].pop("result")  # that was it; it is no call of the caller


@at(BEFORE, "register_names", 5)
def renamed(play: Play) -> None:
    play.do(play.callee, lambda: cluster.register("uno", 12))
    play.recordings["register_names"]["steps"][5].pop("result")


@at(PROGRAM, "node_config", 1)
def moved(play: Play) -> Callable[[], Any]:
    """To another port, where the same node answers. Connections are counted anew from there on."""
    other = Wire(play.wire.to)
    play.world.add(other)
    return lambda: cluster.reload({"b": f"127.0.0.1:{other.port}"})


@at(AFTER, "node_config", 1)
def the_new_wire(play: Play) -> None:
    if play.role != "callee":
        play.wire = play.world.wires[-1]
        play.seen = 0
    play.ends.clear()


@at(PROGRAM, "node_config", 3)
def off(play: Play) -> Callable[[], Any]:
    return lambda: cluster.reload({"b": False})


@at(AFTER, "node_config", 3)
def is_logged(play: Play) -> None:
    if play.caller:
        assert "Close cluster sender" in play.caller.said()


@at(PROGRAM, "node_config", 5)
def back_again(play: Play) -> Callable[[], Any]:
    program = call(play.recordings["node_config"]["steps"][5]["api"])
    return lambda: (cluster.reload({"b": play.address()}), program())[1]


@at(PROGRAM, "node_config", 6)
def nobody_waits(play: Play) -> Callable[[], Any]:
    program = call(play.recordings["node_config"]["steps"][6]["api"])
    return lambda: (cluster.reload({"__nowaiting": True}), program())[1]


@at(PROGRAM, "node_config", 7)
def unknown_yet(play: Play) -> list[Callable[[], Any]]:
    def program() -> Any:
        cluster.reload({"__nowaiting": False})
        return cluster.call("yyy", 11, "ECHO", "waited")

    play.blocked = play.caller.start(program)  # type: ignore[attr-defined]
    play.until(lambda: "Waiting for cluster node [yyy]" in play.caller.said(), "the wait")
    assert not play.blocked.times  # type: ignore[attr-defined]
    return [lambda: cluster.reload({"yyy": play.address()})]


@at(AFTER, "node_config", 7)
def it_was_named(play: Play) -> None:
    if play.caller:
        play.until(lambda: play.blocked.times, "the answer")  # type: ignore[attr-defined]
        assert play.blocked.value == "waited"  # type: ignore[attr-defined]


def through(play: Play, i: int) -> Callable[[], Any]:
    """What was done with a proxy."""
    return (
        lambda: skynet.call(cluster.proxy("b", "@echo"), "lua", "ECHO", "via proxy"),
        lambda: skynet.call(cluster.proxy("b", 11), "lua", "ECHO", 42),
        lambda: (skynet.send(cluster.proxy("b", "@echo"), "lua", "NOTE", "pushed"), None)[1],
        lambda: skynet.call(cluster.proxy("b", "@echo"), "lua", "LEN", "ABCDEFG" * 10000),
        lambda: skynet.call(cluster.proxy("b", "@echo"), "lua", "ERR", "x"),
        lambda: (
            cluster.proxy("b@echo") == cluster.proxy("b", "@echo"),
            cluster.proxy("b", 11) == cluster.proxy("b", "@echo"),
        ),
    )[i]


for number in range(6):
    PROGRAM["proxy", number] = lambda play, i=number: through(play, i)


def lose(play: Play, conn: int, reset: bool) -> None:
    """A connection ends, and the nodes have seen it."""
    if play.callee is not None:
        play.until(lambda: play.callee.slept == play.sent_sleeps, "the requests")
    if play.role == "callee":
        (play.ends[conn].reset if reset else play.ends[conn].close)()
    else:
        play.wire.cut(conn, reset)
    play.until(lambda: not connected(play), "that it is noticed")


def connected(play: Play) -> bool:
    found = False
    for member in (play.caller, play.callee):
        if member is not None:
            found |= any(kind == "connected" for kind, *_ in member.node.tables()["sockets"].values())
    return found


at(BEFORE, "reconnect", 2)(lambda play: lose(play, 0, False))
at(BEFORE, "reconnect", 3)(lambda play: lose(play, 1, True))
at(AFTER, "reconnect", 4)(lambda play: lose(play, 2, True))
at(AFTER, "reconnect", 5)(lambda play: lose(play, 3, False))


@at(BEFORE, "reconnect", 7)
def nobody_listens(play: Play) -> None:
    if play.role == "callee":
        play.ends[4].close()
    else:
        play.wire.cut(4)
        play.wire.refuse()
    play.until(lambda: not connected(play), "that it is noticed")


@at(BEFORE, "reconnect", 9)
def listens_again(play: Play) -> None:
    if play.role != "callee":
        play.until(lambda: "a push to b is lost" in play.caller.said(), "the loss")
        play.wire.listen()


@pytest.fixture
def played() -> Iterator[Callable[..., Play]]:
    plays = list[Play]()

    def play(role: str, dialect: str, *names: str) -> Play:
        plays.append(Play(role, list(names), dialect))
        plays[-1].play()
        return plays[-1]

    yield play
    for one in plays:
        one.close()


GROUPS = (  # each over one connection, which the later ones go on with
    ("call_by_number", "call_by_name", "query"),
    ("large_request_by_number", "large_request_by_name", "large_response"),
    ("errors",),
    ("first_use_queue",),
    ("in_flight",),
    ("node_config",),
    ("proxy",),
    ("push",),
    ("reconnect",),
    ("register_names",),
    ("trace",),
)


@pytest.mark.parametrize("dialect", ["1.1", "1.8"])
@pytest.mark.parametrize("role", ["caller", "callee", "both"])
@pytest.mark.parametrize("names", GROUPS, ids="+".join)
def test_every_frame_is_that_of_the_recording(
    names: tuple[str, ...], role: str, dialect: str, played: Callable[..., Play]
) -> None:
    """Sessions, sizes, types, the order; and what the program gets. The order of wakeups inside a node is its own."""
    played(role, dialect, *names)


def test_a_tag_that_came_from_elsewhere_is_passed_on_as_it_is() -> None:
    """trace_forwarded: the first node traces a call to @relay of b, which calls c. One tag for all of it."""
    recording = load("trace_forwarded")
    world = World()
    try:
        b, c = Callee(["echo"]), Callee(["echo"])
        to_b, to_c = Wire(b.port), Wire(c.port)
        a = Member()
        world.add(a, b, c, to_b, to_c)
        a.do(lambda: cluster.reload({"b": f"127.0.0.1:{to_b.port}"}))

        def relay() -> None:
            def dispatch(session: int, source: int, *args: Any) -> None:
                skynet.retpack(cluster.call(*args))

            skynet.dispatch("lua", dispatch)
            cluster.register("relay")

        def on_b() -> None:
            cluster.reload({"c": f"127.0.0.1:{to_c.port}"})
            skynet.newservice(relay)

        b.do(on_b)

        def program() -> Any:
            skynet.trace()
            return cluster.call("b", "@relay", "c", "@echo", "ECHO", "far")

        outcome = a.start(program)
        world.until(lambda: outcome.times)
        assert outcome.value == returned(recording["steps"][0]["result"]["values"])
        for wire, step in zip((to_b, to_c), recording["steps"], strict=True):
            told = [one for one in step["frames"] if "hex" in one]
            assert [(i + 1, kind) for i, kind, _ in wire.log] == [(one["conn"], one["dir"]) for one in told]
            for (_, kind, got), one in zip(wire.log, told, strict=True):
                assert_frame(kind, got, raw(one["hex"]))
    finally:
        world.close()


def test_a_small_request_overtakes_the_parts_of_a_large_one() -> None:
    """interleave_request: the peer reads nothing for a while. Large frames are written with low priority."""
    warm_up, step = load("interleave_request")["steps"]
    world = World()
    try:
        b = Callee(["echo"])
        wire, a = Wire(b.port), Member()
        world.add(a, b, wire)
        a.do(lambda: cluster.reload({"b": f"127.0.0.1:{wire.port}"}))
        first = a.start(call(warm_up["api"]))
        world.until(lambda: first.times)
        for (_, kind, got), one in zip(wire.log, warm_up["frames"][1:], strict=True):
            assert_frame(kind, got, raw(one["hex"]))
        wire.log.clear()
        wire.callers[0].stopped = True
        large = a.start(lambda: cluster.call("b", "@echo", "LEN", "x" * (16 << 20)))
        world.rounds()
        small = a.start(lambda: cluster.call("b", "@echo", "ECHO", "urgent"))
        other = a.start(lambda: cluster.call("b", "@echo", "LEN", "y" * 40000))
        world.rounds()
        wire.callers[0].stopped = False
        world.until(lambda: large.times and small.times and other.times)
        assert [large.value, small.value, other.value] == [returned(one["values"]) for one in step["result"]]
    finally:
        world.close()

    sent = [frame for _, kind, frame in wire.log if kind == "c2s"]
    asked = [clustercore.unpackrequest(frame[2:]) for frame in sent]
    sessions = [fields[1] for fields in asked]
    assert sessions.count(2) == 1 + 512 + 1 and sessions.count(3) == 1 and sessions.count(4) == 1 + 2
    assert 0 < sessions.index(3) < len(sessions) - 1 - sessions[::-1].index(2)  # before the last part of session 2
    assert sessions.index(4) == len(sessions) - 3  # low priority has an order, too
    parts = [one["count"] for one in step["shape"] if one["kind"] == "part" and one["session"] == 2]
    assert sum(parts) == 512
    answered = [int.from_bytes(frame[2:6], "little") for _, kind, frame in wire.log if kind == "s2c"]
    assert answered == [one["session"] for one in step["shape"] if one["dir"] == "s2c"]


def test_no_recording_is_left_out() -> None:
    """A file that is added to the folder needs a test here."""
    names = {f.stem for f in GOLDEN.glob("*.json")}
    elsewhere = {"core_functions", "raw_client", "raw_server", "api_returns", "interleave_request", "trace_forwarded"}
    assert names == {name for group in GROUPS for name in group} | elsewhere
