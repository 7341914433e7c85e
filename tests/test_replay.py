"""A run again, from its recording alone: the same trace, or the exact step at which the program has changed."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from harness import TRACES, Play
from hypothesis import HealthCheck, given, settings, strategies as st
from programs import PLAN, busy, echo_hub, run_busy
from socket_harness import Limited
from test_determinism import PROGRAMS
from test_socket_faults import Dribble, Names, Scripted

from skynet_lite import CallError, Node, Outside, SkynetError, SocketError, Trace, mark, skynet, socket
from skynet_lite.core import socket_slots
from skynet_lite.trace import TraceError
from skynet_lite.trace.world import World, decode, encode

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))

ECHO = """\
from skynet_lite import skynet, socket


def client(id):
    socket.start(id)
    while (line := socket.readline(id)) is not None:
        socket.write(id, line + b"\\n")
    socket.close(id)


@skynet.start
def main():
    listening = socket.listen("127.0.0.1:0")
    socket.start(listening, lambda id, peer: skynet.fork(client, id))
    skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(listening)[1]))
"""


def given_to(node: Node) -> list[Any]:
    """Every service that a node was given, from outside or inside."""
    return [*node.registry._given.values(), *node.registry._functions.values()]


def check(trace: Trace, *services: Any) -> None:
    """The replay is the run: events, text, tables at any event, and what came from outside."""
    replay = Node.replay(trace, *services)
    assert replay.same, str(replay)
    assert len(replay.trace) == len(trace)
    assert replay.trace.text() == trace.text()
    for i in range(0, len(trace), 29):
        assert replay.trace.state(i) == trace.state(i)
    assert replay.trace.state() == trace.state()
    assert Node.replay(replay.trace, *services).same


def recorded(program: Callable[[Node], Any], **keys: Any) -> tuple[Trace, list[Any]]:
    with Node(**{"clock": "virtual", "log": list, "record": True} | keys) as node:
        program(node)
    return node.trace, given_to(node)


def run_and_check(program: Callable[[Node], Any], **keys: Any) -> Trace:
    trace, services = recorded(program, **keys)
    check(trace, *services)
    return trace


def echo_run(path: Path) -> Callable[[Node], None]:
    def program(node: Node) -> None:
        port = node.call(node.newservice(str(path)), "lua")
        with node.client(port) as c:
            for line in (b"hello\n", b"again\n"):
                c.send(line)
                assert c.recv_line() == line.strip()
        node.run_until_idle()

    return program


def service_file(folder: Path, text: str = ECHO) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "echo.py"
    path.write_text(text)
    return path


# ---- the same again


@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs_replay(program: Callable[[Node], None], clock: str) -> None:
    """Sockets, timers, errors, exits: what a node did, its replay does, under either clock."""
    run_and_check(program, clock=clock)


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_replays(name: str, tmp_path: Path) -> None:
    """The scenarios of the real skynet, also those whose clients and peers stand outside of the node."""
    play = Play(name, tmp_path, record=True)
    check(play.node.trace, *given_to(play.node))


DENY = """\
import select, socket, sys, time
def denied(*args, **kwargs):
    raise AssertionError("a replay must not do this")
socket.socket = socket.create_connection = socket.getaddrinfo = select.epoll = select.poll = time.sleep = denied
import os
os.eventfd = denied
from skynet_lite import Node, Trace
replay = Node.replay(Trace.load(sys.argv[1]), sys.argv[2])
assert replay.same, str(replay)
print(replay.trace.text())
try:
    Node()
except AssertionError:
    sys.exit()
sys.exit("the denial does not work")
"""


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_accept_and_echo_with_the_network_denied(clock: str, tmp_path: Path) -> None:
    """From a file, in a process where no socket, no epoll and no sleep can be had: the same trace."""
    path = service_file(tmp_path)
    trace, _ = recorded(echo_run(path), clock=clock)
    trace.save(tmp_path / "t.json")
    done = subprocess.run(
        [sys.executable, "-c", DENY, str(tmp_path / "t.json"), str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == trace.text() + "\n"


def test_a_stored_run_replays_and_so_does_its_replay(tmp_path: Path) -> None:
    """save, load, replay, save, load, replay: what came from outside survives, and is recorded anew."""
    path = service_file(tmp_path)
    trace, _ = recorded(echo_run(path))
    trace.save(tmp_path / "t.json")
    loaded = Trace.load(tmp_path / "t.json")
    assert encode(loaded.world) == encode(trace.world)
    replay = Node.replay(loaded, str(path))
    assert replay.same and encode(replay.trace.world) == encode(trace.world)
    assert "same run again" in str(replay) and "same run again" in repr(replay)
    replay.trace.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "t.json").read_text()


def test_what_is_written_is_compared() -> None:
    """As many bytes, and other ones: the trace is the same, the world gets something else, and the replay says so."""

    def server(work: Callable[[bytes], bytes]) -> Callable[[], None]:
        def main() -> None:
            def accept(id: int, peer: str) -> None:
                socket.start(id)
                while (line := socket.readline(id)) is not None:
                    socket.write(id, work(line) + b"\n")
                socket.close(id)

            ports.append(socket.sockname(listening := socket.listen("127.0.0.1:0"))[1])
            socket.start(listening, accept)

        return main

    ports: list[int] = []
    with Node(clock="virtual", log=list, record=True) as node:
        node.newservice(server(bytes.upper))
        client = node.client(ports[-1])
        client.send(b"hello\n")
        assert client.recv_line() == b"HELLO"
        client.close()
        node.run_until_idle()
    assert Node.replay(node.trace, server(bytes.upper)).same
    found = Node.replay(node.trace, server(bytes.lower)).divergence
    assert found is not None
    expected = node.trace[found.index]
    assert (expected["e"], expected["sent"]) == ("write", 6)
    assert "b'hello\\n' is written to the world, and in the recording other bytes" in str(found)
    assert "work(line)" in found.expected_line and "work(line)" in found.got_line


def udp(*ends: Any) -> None:
    """A datagram socket that writes to none, one or several default destinations, or to a packed address."""
    id = socket.udp(lambda data, peer: None)
    for end in ends:
        if isinstance(end, bytes):
            socket.sendto(id, end, b"hello")
        else:
            socket.udp_connect(id, *end)


def answers(*values: Any) -> Callable[[], None]:
    """Starts a service and asks it; so its answer goes from service to service."""

    def main() -> None:
        def other() -> None:
            skynet.dispatch("lua", lambda session, source: skynet.retpack(*values))

        skynet.call(skynet.newservice(other), "lua")

    return main


def opens(host: str, port: int = 1) -> Callable[[], None]:
    def main() -> None:
        with suppress(SocketError):
            socket.open(host, port)

    return main


def texts(text: str | bytes) -> Callable[[], None]:
    """Sends a raw message, of a type of its own."""

    def main() -> None:
        def other() -> None:
            skynet.register_protocol(name="text", id=0, unpack=lambda raw: raw, dispatch=lambda *values: None)

        skynet.register_protocol(name="text", id=0, pack=lambda raw: raw)
        skynet.send(skynet.newservice(other), "text", text)

    return main


def last_words(value: str) -> Callable[[], None]:
    """A message that nobody will read, for its reader has gone."""
    return lambda: (skynet.fork(skynet.exit), skynet.send(skynet.self(), "lua", value))  # type: ignore[return-value]


def local(port: int) -> bytes:
    return b"\1" + port.to_bytes(2, "big") + b"\x7f\0\0\1"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (opens("127.0.0.1"), opens("127.0.0.2"), "for resolve('127.0.0.2', 1, 1); the recording has resolve('127.0.0.1', 1, 1)"),
        (opens("127.0.0.1", 1), opens("127.0.0.1", 2), "for resolve('127.0.0.1', 2, 1);"),
        (opens("there"), opens("elsewhere"), "for lookup('elsewhere', 1, 1); the recording has lookup('there', 1, 1)"),
        (lambda: socket.listen("127.0.0.1", 0), lambda: socket.listen("127.0.0.2", 0), "for resolve('127.0.0.2', 0, 1);"),
        (lambda: socket.listen("127.0.0.1", 0), lambda: socket.listen("127.0.0.1", 9), "for resolve('127.0.0.1', 9, 1);"),
        (lambda: socket.listen("127.0.0.1", 0, 5), lambda: socket.listen("127.0.0.1", 0, 6), "listen(6); the recording has listen(5)"),
        (lambda: udp(("127.0.0.1", 9)), lambda: udp(("127.0.0.2", 9)), "for resolve('127.0.0.2', 9, 2);"),
        (lambda: udp(local(9)), lambda: udp(local(10)), "('127.0.0.1', 10)); the recording has sendto("),
        (lambda: udp(("127.0.0.1", 9)), lambda: udp(), "in the recording the world is asked for resolve('127.0.0.1', 9, 2) before"),
        (lambda: udp(), lambda: udp(("127.0.0.1", 9)), "for resolve('127.0.0.1', 9, 2); the recording has nothing here"),
        (lambda: skynet.setenv("k", 1), lambda: skynet.setenv("k", 2), "for setenv('k', '2'); the recording has setenv('k', '1')"),
        (lambda: skynet.setenv("k", 1), lambda: skynet.setenv("l", 1), "for setenv('l', '1');"),
        (lambda: skynet.setenv("k", 1), lambda: None, "in the recording the world is asked for setenv('k', '1') before"),
        (lambda: skynet.register(".a"), lambda: skynet.register(".b"), "for name('.b', 8); the recording has name('.a', 8)"),
        (lambda: skynet.register("A"), lambda: skynet.register("B"), "it sends ['REGISTER', 'B', 8], and"),
        (answers("yes"), answers("no"), "it sends ['no'], and in the recording other values"),
        (answers(["yes"]), answers(["no"]), "it sends [['no']], and"),
        (answers([1]), answers((1,)), "it sends [[1]], and"),
        (answers(1), answers(True), "it sends [True], and"),
        (answers(b"1"), answers("b'1'"), "it sends [\"b'1'\"], and"),
        (answers({"a": 1, "b": 2}), answers({"b": 2, "a": 1}), "it sends [{'b': 2, 'a': 1}], and"),
        (answers(10**5000), answers(10**5000 + 1), "it sends ['0x"),
        (texts("yes"), texts("no"), "it sends ['no'], and"),
        (texts(b"(yes"), texts(b")no"), "it sends [\"b')no'\"], and"),
        (last_words("yes"), last_words("no"), "it sends ['no'], and"),
    ],
)  # fmt: skip
def test_what_goes_out_is_compared_whole(
    old: Callable[[], None], new: Callable[[], None], says: str, tmp_path: Path
) -> None:
    """Addresses, names, variables and values that stand in no event: the same program is the same, another is not.
    What the old one says and the new one does not is missed, too."""
    outside = Names(there=[(socket_slots.pysocket.AF_INET, ("127.0.0.1", 1))])
    outside.gate.set()

    def both(do: Callable[[], None]) -> Callable[[], None]:
        def main() -> None:
            do()

        return main

    trace, _ = recorded(lambda node: (node.newservice(both(old)), node.run_until_idle()), outside=outside)
    trace.save(tmp_path / "t.json")
    for one in (trace, Trace.load(tmp_path / "t.json")):
        check(one, both(old))
        replay = Node.replay(one, both(new))
        assert not replay.same and says in str(replay), str(replay)


def test_an_answer_to_the_outside_is_compared() -> None:
    """Whoever called with node.call has got another value."""

    def service(answer: Any) -> Callable[[], None]:
        def main() -> None:
            skynet.dispatch("lua", lambda session, source: skynet.retpack(answer))

        return main

    trace, _ = recorded(lambda node: node.call(node.newservice(service(["yes"])), "lua"))
    check(trace, service(["yes"]))
    d = Node.replay(trace, service(["no"])).divergence
    assert d is not None and d.got is not None and (d.got["e"], d.got["to"]) == ("send", ":00000000")
    assert "it sends [['no']], and in the recording other values" in str(d) and "retpack(answer)" in d.got_line


def test_equal_values_are_equal_wherever_they_come_from(tmp_path: Path) -> None:
    """One object or two, a word of the program or of a file: what marshal writes of them differs, what is sent does
    not."""

    def main() -> None:
        def echo(session: int, source: int, *values: Any) -> None:
            skynet.send(skynet.self(), "lua", [*values, values]) if session else skynet.ignoreret()
            skynet.retpack(*values) if session else None

        skynet.dispatch("lua", echo)

    twice = "".join(["a ", "word"])
    values = (twice, twice, ["word", "word", twice, {"word": twice, 1: 1, "1": 1.0}], b"word", (twice,), 1 << 70)
    trace, _ = recorded(lambda node: (node.call(node.newservice(main), "lua", *values), node.run_until_idle()))
    trace.save(tmp_path / "t.json")
    for one in (trace, Trace.load(tmp_path / "t.json")):
        check(one, main)


def test_a_stored_trace_does_not_say_what_is_run_here(tmp_path: Path) -> None:
    """Whoever wrote a file may have meant another machine, or no good: files are given, or looked for where we say."""
    path = service_file(tmp_path)
    trace, _ = recorded(echo_run(path))
    trace.save(tmp_path / "t.json")
    assert str(tmp_path) not in (tmp_path / "t.json").read_text()
    loaded = Trace.load(tmp_path / "t.json")
    with pytest.raises(SkynetError, match="neither given nor found as a file"):
        Node.replay(loaded)
    assert Node.replay(loaded, luaservice=str(tmp_path / "?.py")).same
    assert loaded.world is not None
    loaded.world.services[:] = [str(path)]
    with pytest.raises(SkynetError, match="neither given nor found as a file"):
        Node.replay(loaded, luaservice=str(tmp_path / "?.py"))


def test_a_replay_keeps_the_times_of_the_recording() -> None:
    """What a message took is read from the recording: a replay goes at full speed, and says nothing of it."""

    def main() -> None:
        skynet.sleep(3)

    def program(node: Node) -> None:
        node.newservice(main)

    trace, services = recorded(program, clock="real")
    replay = Node.replay(trace, *services)
    assert replay.same
    assert [replay.trace.seconds(i) for i in range(len(trace))] == [trace.seconds(i) for i in range(len(trace))]
    assert trace.seconds(-1) > 0.02  # three ticks, of which the first had begun


def test_clocks_say_what_they_said() -> None:
    """now, time, starttime and hpc, also in a loop that waits for the clock to move, and in a `finally`."""

    def main() -> None:
        begin = skynet.now()
        while skynet.now() < begin + 3:
            pass
        mark(f"{skynet.now()} {skynet.time()} {skynet.starttime()} {skynet.hpc()} {skynet.hpc()}")
        skynet.sleep(1)
        try:
            skynet.fork(skynet.exit)
            skynet.wait()
        finally:
            mark(f"closed at {skynet.now()} {skynet.hpc()}")

    def program(node: Node) -> None:
        node.newservice(main, wait=False)
        node.run(until=lambda: node.clock.now() >= 2)  # the driver looks at the clock too
        node.clock.hpc()
        node.run()

    trace = run_and_check(program, clock="real")
    assert any(e["e"] == "mark" and e["text"].startswith("closed at") for e in trace)
    run_and_check(program_with_the_virtual_clock)


def program_with_the_virtual_clock(node: Node) -> None:
    def main() -> None:
        while skynet.now() < 500:
            skynet.sleep(70)
        mark(f"{skynet.now()} {skynet.time()} {skynet.hpc()}")

    node.newservice(main)
    node.advance(1234)


def test_how_it_was_driven_does_not_matter() -> None:
    """Step by step, advance, marks from outside, curious looks: the replay has only what came of it."""

    def main() -> None:
        mark("inside")
        skynet.dispatch("lua", lambda session, source, *values: skynet.retpack(*values))
        skynet.timeout(100, lambda: mark("timer"))

    def program(node: Node) -> None:
        node.mark("before birth")
        addr = node.newservice(main, wait=False)
        while node.step():
            node.tables()
        mark("from outside")
        values = (b"\xff\0", "t\u20ac\udcff", 1 << 70, 1.5, float("inf"), None, True, [1, (2, {"a": {3: b""}})], {})
        assert node.call(addr, "lua", *values) == values
        node.advance(50)
        node.advance(50)
        for wrong in (object(), {1}):
            with pytest.raises(TypeError):
                node.call(addr, "lua", wrong)

    run_and_check(program)


def test_looking_around_leaves_no_trace() -> None:
    """What the driver, or another thread, asks of sockets and clocks is not mistaken for what a service asked."""

    def main() -> None:
        skynet.dispatch("lua", lambda session, source: (mark(str(skynet.hpc())), skynet.retpack(socket.netstat())))
        listening = socket.listen("127.0.0.1:0")
        socket.start(listening, lambda id, peer: None)
        try:
            skynet.sleep(1)
            skynet.wait()
        finally:
            mark(str((socket.sockname(listening), skynet.now(), skynet.hpc())))

    def program(node: Node) -> None:
        addr = node.newservice(main, wait=False)
        while not node.socket_server.table():
            node.step()
        over = threading.Event()
        beside = threading.Thread(target=lambda: [node.clock.now() for _ in iter(over.is_set, True)], daemon=True)
        beside.start()
        for _ in range(3):
            node.clock.now(), node.clock.hpc(), node.socket_server.netstat(), node.socket_server.sockname(1)
            node.call(addr, "lua")
            node.step()
        node.run()
        node.clock.hpc()
        over.set()
        beside.join()

    run_and_check(program, clock="real", bootstrap=False)


def test_an_interrupted_drive_goes_on() -> None:
    """Ctrl-C while the node waits, or between commands and readiness: what has happened by then has happened."""

    class Interrupting(Outside):
        times = 2

        def poll(self, timeout: float | None) -> list[tuple[int, int]]:
            if self.times:
                self.times -= 1
                raise KeyboardInterrupt
            return super().poll(timeout)

    def main() -> None:
        listening = socket.listen("127.0.0.1:0")
        socket.start(listening, lambda id, peer: None)
        skynet.sleep(5)
        mark("over")

    def program(node: Node) -> None:
        node.newservice(main, wait=False)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                node.run()
        node.run()

    assert "over" in run_and_check(program, outside=Interrupting()).text()


def test_a_bare_node_replays() -> None:
    """Without the boot services launches come straight from the driver, with their arguments."""

    def main(*args: Any) -> None:
        mark(repr(args))

    def program(node: Node) -> None:
        node.newservice(main, 1, [2, {"x": b"3"}])
        node.newservice(main, wait=False)
        node.run_until_idle()

    trace = run_and_check(program, bootstrap=False)
    assert [e["text"] for e in trace if e["e"] == "mark"] == ["(1, [2, {'x': b'3'}])", "()"]


def test_services_of_one_name() -> None:
    """Names are those of the recording: main, main-2; and what services start themselves needs not be given."""

    def program(node: Node) -> list[Any]:
        def make(text: str) -> Any:
            def main() -> None:
                def main() -> None:
                    mark(f"inside {text}")

                mark(text)
                skynet.newservice(main)

            return main

        services = [make("first"), make("second")]
        for service in [*services, services[0]]:
            node.newservice(service)
        return services

    with Node(clock="virtual", log=list, record=True) as node:
        services = program(node)
    assert [e["text"] for e in node.trace if e["e"] == "mark"][::2] == ["first", "second", "first"]
    check(node.trace, *services)
    assert not Node.replay(node.trace, *services[::-1]).same


def test_config_comes_from_the_recording(tmp_path: Path) -> None:
    """The environment, the search path, and the service that the bootstrap starts."""
    (tmp_path / "worker.py").write_text(
        "from skynet_lite import mark, skynet\n@skynet.start\ndef main():\n    mark(skynet.getenv('key'))\n"
    )
    pattern = str(tmp_path / "?.py")
    trace, _ = recorded(lambda node: node.run(), luaservice=pattern, start="worker", env={"key": "value"})
    assert "value" in [e.get("text") for e in trace]
    check(trace)


def test_a_served_node_replays() -> None:
    """Calls, launches, clients and marks of other threads come between two messages, and are replayed there."""

    def main() -> None:
        listening = socket.listen("127.0.0.1:0")

        def accept(id: int, peer: str) -> None:
            socket.start(id)
            socket.write(id, socket.readall(id))
            socket.close(id)

        socket.start(listening, accept)
        skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(listening)[1]))

    for clock in ("real", "virtual"):
        with Node(clock=clock, log=list, record=True) as node:
            node.serve()
            port = node.call(node.newservice(main), "lua")
            c = node.client(port)
            for i in range(20):
                mark(f"mark {i}")
                c.send(b"x" * i)
            c.shutdown()
            assert c.recv(190) == b"x" * 190
            c.expect_eof()
            threads = [threading.Thread(target=node.newservice, args=(main,)) for _ in range(3)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            node.stop()
        check(node.trace, main)


def test_what_ends_a_message_ends_it_again() -> None:
    """SystemExit in a handler costs its message, an abort all services; so it does in the replay."""

    def main() -> None:
        def handle(session: int, source: int, what: str) -> None:
            if what == "exit":
                raise SystemExit(3)
            if what == "abort":
                skynet.abort()
            skynet.retpack(what)

        skynet.dispatch("lua", handle)

    def program(node: Node) -> None:
        addr = node.newservice(main)
        with pytest.raises(CallError):
            node.call(addr, "lua", "exit")
        assert node.call(addr, "lua", "on") == "on"
        node.call(addr, "lua", "abort")

    trace, services = recorded(program)
    check(trace, *services)


def test_closing_is_replayed() -> None:
    """What coroutines do while their node is closed belongs to the run; an open node replays up to now."""

    def main() -> None:
        id = socket.listen("127.0.0.1:0")
        try:
            skynet.wait()
        finally:
            mark("closing")
            socket.sockname(id)

    node = Node(clock="virtual", log=list, record=True)
    node.newservice(main, wait=False)
    node.run_until_idle()
    check(node.trace, main)
    length = len(node.trace)
    node.close()
    assert len(node.trace) > length
    check(node.trace, main)


# ---- worlds that misbehave


def test_every_kind_of_socket(tmp_path: Path) -> None:
    """TCP, UDP, an adopted pipe, netstat, names of both sides, refusals: every answer of the world comes again."""
    r, w = os.pipe()
    outside = Names(there=[(socket_slots.pysocket.AF_INET, ("127.0.0.1", 9))])
    outside.gate.set()

    def main() -> None:
        got: list[Any] = []

        def tell(what: Callable[[], Any]) -> None:
            try:
                mark(str(what()))
            except Exception as e:
                mark(f"{type(e).__name__}: {e}")

        a = socket.udp(lambda data, peer: (got.append(data), mark(f"{data!r} {socket.udp_address(peer)}")), "127.0.0.1")
        b = socket.udp(lambda data, peer: None)
        socket.udp_connect(b, *socket.sockname(a))
        for data in (b"one", b"two"):
            socket.write(b, data)
        while len(got) < 2:
            skynet.yield_()
        pipe = socket.bind(r)
        mark(str(socket.readline(pipe)))
        listening = socket.listen("127.0.0.1:0")
        socket.start(listening, lambda id, peer: socket.start(id))
        c = socket.open("127.0.0.1", socket.sockname(listening)[1])
        socket.nodelay(c)
        for what in (
            lambda: socket.netstat(),
            lambda: socket.sockname(c),
            lambda: socket.peername(c),
            lambda: socket.sockname(pipe),
            lambda: socket.listen("127.0.0.1", socket.sockname(listening)[1]),
            lambda: socket.bind(10_000),
            lambda: socket.open("there", 9),
            lambda: socket.open("nowhere", 9),
            lambda: socket.close(c),
        ):
            tell(what)

    os.write(w, b"through a pipe\n")
    trace, _ = recorded(lambda node: (node.newservice(main), node.run_until_idle()), outside=outside)
    os.close(r)  # the replay has no use for it
    os.close(w)
    marks = [e["text"] for e in trace if e["e"] == "mark"]
    assert (
        marks[2] == "b'through a pipe'" and len(marks) == 12 and marks[-2] == "SocketError: Name or service not known"
    )
    check(trace, main)
    trace.save(tmp_path / "t.json")
    check(Trace.load(tmp_path / "t.json"), main)


@pytest.mark.parametrize(
    "world",
    [
        lambda: Dribble(),
        lambda: Scripted(recv=[errno.EAGAIN, errno.EINTR] * 2, send=[errno.EAGAIN] * 3, accept=[errno.EINTR]),
        lambda: Scripted(poll=[errno.EINTR] * 9),
        lambda: Scripted(recv=[None, errno.ETIMEDOUT]),
        lambda: Scripted(send=[None, errno.ECONNRESET, errno.ECONNRESET]),
        lambda: Scripted(accept=[errno.EMFILE]),
        lambda: Scripted(accept=[errno.ECONNABORTED]),
    ],
    ids=["dribble", "again", "interrupted", "read", "write", "descriptors", "aborted"],
)
def test_faults_come_again(world: Callable[[], Outside]) -> None:
    """Short writes, EAGAIN, errors and lack of descriptors are answers of the world like others."""

    def program(node: Node) -> None:
        def main() -> None:
            def accept(id: int, peer: str) -> None:
                socket.start(id)
                while (line := socket.readline(id)) is not None:
                    socket.write(id, line * 2 + b"\n")
                socket.close(id)

            listening = socket.listen("127.0.0.1:0")
            socket.start(listening, accept)
            skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(listening)[1]))

        port = node.call(node.newservice(main), "lua")
        for text in (b"one line\n", b"another line\n"):
            c = node.client(port)
            c.send(text)
            try:
                c.recv_line()
            except SocketError:
                pass  # what the faults are for
            c.close()
            node.run_until_idle()

    run_and_check(program, outside=world())


def test_a_kernel_without_room_comes_again() -> None:
    """Bytes that had to wait in the write queue wait again, and time stands still for as long."""
    outside = Limited()

    def program(node: Node) -> None:
        def main() -> None:
            def accept(id: int, peer: str) -> None:
                socket.start(id)
                socket.write(id, b"wait for me")
                socket.lwrite(id, b" and me")
                skynet.sleep(10)
                socket.close(id)

            listening = socket.listen("127.0.0.1:0")
            socket.start(listening, accept)
            skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(listening)[1]))

        port = node.call(node.newservice(main), "lua")
        outside.room = 4
        c = node.client(port)
        c.expect(b"wait")
        outside.room = 8
        c.expect(b" for me ")
        outside.room = None
        c.expect(b"and me")
        c.expect_eof()

    run_and_check(program, outside=outside)


def test_a_poll_that_fails_fails_again() -> None:
    """An error of the poller itself is logged, and costs that poll; what came before it in there has happened."""

    def main() -> None:
        socket.start(socket.listen("127.0.0.1:0"), lambda id, peer: None)

    def program(node: Node) -> None:
        node.newservice(main, wait=False)
        node.run_until_idle()
        node.run_until_idle()
        assert any("socket-server: OSError: [Errno 12] Cannot allocate" in line for line in node.log_lines)

    trace = run_and_check(program, outside=Scripted(poll=[errno.ENOMEM]), bootstrap=False)
    assert [e["state"] for e in trace if e["e"] == "socket"] == ["reserve", "plisten", "listen", "invalid"]


# ---- where a program has changed


@pytest.mark.parametrize(
    ("old", "new", "expected", "got"),
    [
        (
            'line + b"\\n"', 'line.upper() + b"!\\n"',
            ("write", "echo:7", 'socket.write(id, line + b"\\n")'),
            ("write", "echo:7", 'socket.write(id, line.upper() + b"!\\n")'),
        ),
        (
            "skynet.fork(client, id)", "client(id)",
            ("co_create", "echo:14", "socket.start(listening, lambda id, peer: skynet.fork(client, id))"),
            ("driver", "echo:5", "socket.start(id)"),
        ),
        (
            "    socket.close(id)\n", "",
            ("driver", "echo:8", "socket.close(id)"),
            ("yield", "echo:6", "while (line := socket.readline(id)) is not None:"),
        ),
        (
            "    skynet.dispatch", "    skynet.sleep(2)\n    skynet.dispatch",
            ("send", None, ""),
            ("timer_set", "echo:15", "skynet.sleep(2)"),
        ),
    ],
    ids=["write", "fork", "close", "sleep"],
)  # fmt: skip
def test_one_changed_line_is_found_at_its_step(
    old: str, new: str, expected: tuple[str, Any, str], got: tuple[str, str, str], tmp_path: Path
) -> None:
    """The first event that differs, with the line of the recording and the line of today."""
    trace, _ = recorded(echo_run(service_file(tmp_path / "then")))
    assert ECHO.count(old) == 1
    replay = Node.replay(trace, str(service_file(tmp_path / "now", ECHO.replace(old, new))))
    d = replay.divergence
    assert d is not None and not replay.same
    assert d.expected == trace[d.index] and d.got == replay.trace[d.index] and len(replay.trace) == d.index + 1
    assert (d.got and d.got["e"], d.got_place, d.got_line) == got
    assert (d.expected["e"], d.expected_line) == (expected[0], expected[2]) or expected[1] is None
    # Up to there nothing differs, but the lines below the change have moved.
    for a, b in zip(trace.events[: d.index], replay.trace.events, strict=False):
        assert {k: v for k, v in a.items() if k not in ("at", "stack", "runs")} == {
            k: v for k, v in b.items() if k not in ("at", "stack", "runs")
        }
    shown = str(replay)
    assert f"at event {d.index}\n" in shown and got[2] in shown and expected[2] in shown
    again = Node.replay(trace, str(tmp_path / "now" / "echo.py"))
    assert again.divergence == d and again.trace.text() == replay.trace.text()


def test_a_comment_is_no_change(tmp_path: Path) -> None:
    """Lines may move, also those in logged tracebacks; what happens is compared, not where."""
    text = ECHO.replace(
        "        socket.write(id",
        '        if line == b"again":\n            raise ValueError(line)\n        socket.write(id',
    )

    def program(node: Node) -> None:
        c = node.client(node.call(node.newservice(str(service_file(tmp_path, text))), "lua"))
        c.send(b"hello\nagain\n")
        node.run_until_idle()

    trace, _ = recorded(program)
    assert any("Traceback" in e["text"] for e in trace if e["e"] == "log")
    replay = Node.replay(
        trace, str(service_file(tmp_path / "now", "# a comment\n\n" + text.replace("def client", "# two\ndef client")))
    )
    assert replay.same, str(replay)
    assert replay.trace.text() != trace.text()  # it names the new lines


def test_what_the_world_was_not_asked_then(tmp_path: Path) -> None:
    """A new question to the world has no answer: the replay stops where it is asked."""
    trace, _ = recorded(echo_run(service_file(tmp_path)))
    resolve = "resolve('127.0.0.1', 0, 1)"
    for line, method in (("socket.peername(id)", "peername"), ("socket.listen('127.0.0.1:0')", resolve)):
        changed = ECHO.replace("    socket.start(id)\n", f"    socket.start(id)\n    {line}\n")
        d = Node.replay(trace, str(service_file(tmp_path / "now", changed))).divergence
        assert d is not None and d.got is None
        assert (d.got_place, d.got_line) == ("echo:6", line)
        assert d.expected == trace[d.index]
        assert f"the world is asked for {method}; the recording has nothing here" in str(d)


def test_what_is_no_part_of_a_recording_shows() -> None:
    """random, the time of day, and variables outside: the same line, and another event."""
    numbers = iter(range(1000))
    for value in (random.random, time.time_ns, lambda: next(numbers)):

        def main() -> None:
            skynet.sleep(1)
            mark(str(value()))

        trace, services = recorded(lambda node: node.newservice(main))
        d = Node.replay(trace, *services).divergence
        assert d is not None and d.expected is not None and d.got is not None
        assert d.expected["e"] == d.got["e"] == "mark" and d.expected["text"] != d.got["text"]
        assert d.expected_place == d.got_place and d.got_line == "mark(str(value()))"
        assert "not part of a recording (random, files" in str(d)


def test_a_replay_ends() -> None:
    """Endless work where the recorded program stopped, less of it, and catching everything: all come to an end."""
    wild: list[int] = []

    def main() -> None:
        def endless() -> None:
            while True:
                try:
                    skynet.sleep(0)
                    skynet.wakeup(skynet.fork(skynet.wait))
                except Exception:
                    pass

        skynet.sleep(1)
        if wild == [1]:
            endless()
        if wild != [2]:
            mark("done")
        if wild == [4]:
            begin = skynet.now()
            while skynet.now() < begin + 1000:
                pass
        try:
            skynet.sleep(1)
            mark(str(wild))
        except BaseException:
            mark("caught")

    trace, services = recorded(lambda node: (node.newservice(main), node.run()), clock="real")
    for wild[:] in ([1], [2], [3], [4]):
        d = Node.replay(trace, *services).divergence
        assert d is not None and d.expected is not None and d.expected["e"] != "end"
        assert d.index < len(trace)


def test_a_message_more_or_less() -> None:
    """What runs dry, and what goes on where the recording ends, is told as such."""
    n = [2]

    def main() -> None:
        for _ in range(n[0]):
            mark("x")

    node = Node(clock="virtual", log=list, record=True)
    node.newservice(main, wait=False)
    node.run_until_idle()
    trace = node.trace
    marks = [i for i, e in enumerate(trace) if e["e"] == "mark"]
    n[0] = 1
    d = Node.replay(trace, main).divergence
    assert d is not None and d.index == marks[1] and d.got is not None and d.got["e"] != "mark"
    short = Trace(trace.events[:-1], trace.snapshot, trace.sources, world=trace.world)
    n[0] = 2
    d = Node.replay(short, main).divergence
    assert d is not None and d.expected is None and "nothing more" in str(d)
    assert trace.world is not None
    long = Trace([*trace.events, trace[-1]], trace.snapshot, trace.sources, world=trace.world)
    d = Node.replay(long, main).divergence
    assert d is not None and d.got is None and "nothing more can run" in str(d)
    node.close()


# ---- what cannot be replayed


def test_a_trace_without_its_world_is_refused(tmp_path: Path) -> None:
    """Begun later, or cut, or of the real skynet: the error says how to record."""

    def main() -> None:
        pass

    with Node(clock="virtual", log=list, record=True) as node:
        with node.record() as late:
            node.newservice(main)
    recording = Trace.load(TRACES / "call_ret.json")
    for trace in (late, node.trace[:], node.trace.only(service="main"), recording, Trace()):
        with pytest.raises(SkynetError, match=r"record with Node\(record=True\)"):
            Node.replay(trace, main)
    unborn = Node(log=list, record=True)
    with pytest.raises(SkynetError, match="never driven"):
        Node.replay(unborn.trace, main)
    unborn.close()
    with Node(log=list, record=True, thread=2) as several, pytest.raises(SkynetError, match="several workers"):
        several.run_until_idle()
        Node.replay(several.trace, main)


def test_a_missing_service_is_named() -> None:
    """Neither given nor found: which, and what was given instead."""

    def main() -> None:
        pass

    def other() -> None:
        pass

    trace, _ = recorded(lambda node: node.newservice(main))
    with pytest.raises(SkynetError, match=r"starts a service 'main'.*given: other"):
        Node.replay(trace, other)
    with pytest.raises(SkynetError, match=r"starts a service 'main'.*given: nothing"):
        Node.replay(trace)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.integers() | st.text() | st.binary(), inner) | st.tuples(inner, inner)
    ),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(VALUES, max_size=4))
def test_values_of_messages_survive_a_file(values: list[Any]) -> None:
    """Every type that may travel in a message comes back as it was, with its type."""
    world = World(inputs=[[0, "call", 8, 1, tuple(values)]])
    world.config = {"clock": "real", "bootstrap": True, "luaservice": "", "folder": "", "starttime": 0, "env": {}}
    text = json.dumps(encode(world))
    again = decode(json.loads(text))
    assert again is not None and repr(again.inputs) == repr(world.inputs)


@pytest.mark.parametrize(
    "garbage",
    [
        1, [], {"inputs": 1}, {"inputs": [[0, "system", "rm"]]}, {"inputs": [[0, "jump"]]}, {"inputs": [[0, "jump", "x"]]},
        {"inputs": [[0, "poll", [[1]], []]]}, {"inputs": [[0, "poll", [], [[1, 2, 3]]]]}, {"answers": [[0, 0, "recv", 1, "text"]]},
        {"answers": [[0, 0, "exec", 1, None]]}, {"answers": [[0, 0, "recv", 1, {"e": [1]}]]}, {"ticks": [[0, "a", 1]]},
        {"config": {"d": [["clock", 1]]}}, {"services": [1]}, {"inputs": {"x": 1}}, {"inputs": {"b": "?"}}, {"inputs": {}},
        {"unknown": []}, {"inputs": [[0, "own"]]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_garbled_world_is_refused(garbage: Any, tmp_path: Path) -> None:
    """A file whose record of the outside makes no sense is no trace; nothing in it is ever run."""
    trace, _ = recorded(lambda node: node.run_until_idle())
    path = tmp_path / "t.json"
    trace.save(path)
    data = json.loads(path.read_text())
    del data["checksum"]
    data["world"] = garbage
    text = json.dumps(data, separators=(",", ":"))
    path.write_text(f'{text[:-1]},"checksum":{zlib.crc32(text.encode())}}}')
    with pytest.raises(TraceError, match=r"t\.json was edited or damaged: its record of the outside"):
        Trace.load(path)


def test_a_world_that_fits_nothing_diverges() -> None:
    """Well formed, but not of this run: a divergence, never an exception."""

    def main() -> None:
        mark(str(socket.sockname(socket.listen("127.0.0.1:0"))[0]))

    trace, services = recorded(lambda node: node.newservice(main))
    assert trace.world is not None
    place = next(i for i, row in enumerate(trace.world.inputs) if row[1] == "call")
    n = trace.world.inputs[place][0]
    for wrong in (
        [n, "call", 99, 1, ()], [n, "poll", [[7, 1]], []], [n, "poll", [], [[7, []]]],
        [n, "close"], [n, "jump", 5], [0, "own"], [n + 1, "own"], [n, "mark", "x"], [10**9, "close"],
        [n, "poll", [], []], [n, "launch", "nothing", ()],
    ):  # fmt: skip
        inputs = [*trace.world.inputs[:place], wrong, *trace.world.inputs[place + 1 :]]
        world = World(**{**vars(trace.world), "inputs": inputs})
        d = Node.replay(Trace(trace.events, trace.snapshot, trace.sources, world=world), *services).divergence
        assert d is not None, wrong
        assert str(d)


# ---- random programs


class Hurried(Outside):
    """A world with a clock of its own, that moves when it is looked at, and by the whole of every wait."""

    ns = 0

    def monotonic_ns(self) -> int:
        self.ns += 1_700_000
        return self.ns

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        self.ns += int((timeout or 0) * 1e9)
        return super().poll(0)


def busy_run(first: list[list[str]], second: list[list[str]], clock: str) -> Trace:
    with Node(clock=clock, log=list, record=True, outside=Hurried()) as node:
        run_busy(node, first, second)
    return node.trace


@pytest.mark.parametrize("clock", ["virtual", "real"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=PLAN, second=PLAN)
def test_random_programs_replay(clock: str, first: list[list[str]], second: list[list[str]]) -> None:
    """Any program, with sockets, exits and errors: recorded, replayed, rebuilt and told, always the same."""
    trace = busy_run(first, second, clock)
    check(trace, echo_hub, busy)
    assert trace.describe()
    trace.verdicts()


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAN, PLAN)
def test_random_programs_draw(first: list[list[str]], second: list[list[str]]) -> None:
    """Their replays, and parts of them, can be drawn and stored; a stored one replays."""
    from matplotlib import pyplot

    trace = Node.replay(busy_run(first, second, "virtual"), echo_hub, busy).trace
    for drawn in (trace, trace[len(trace) // 2 :]):
        pyplot.close(drawn.timeline())
    stored = json.loads(json.dumps(encode(trace.world)))
    assert encode(decode(stored)) == encode(trace.world)


def test_the_token_of_a_console_is_in_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node that is recorded reads another word in its place, and who says that one outside is not believed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def asks(node: Node, port: int, words: str) -> None:
        client = node.client(port)
        client.send(f"token {words}\nsetenv x{node.call('.probe', 'lua')} 1\nquit\n".encode())
        client.expect(b"Welcome to skynet console\n")
        answer = b"<CMD OK>\n" * 2 if words == right else b"this is not"
        client.expect(answer)
        client.close()

    def probe() -> None:
        skynet.register(".probe")
        skynet.dispatch("lua", lambda session, source: skynet.retpack(session))

    with Node(log=list, record=True) as node:
        node.newservice(probe)
        node.newservice("debug_console", 0)
        port = next(s.sock.getsockname()[1] for s in node.socket_server._sockets.values())
        (path,) = (tmp_path / "data" / "skynet_lite" / "runtime").iterdir()
        right = path.read_text()
        asks(node, port, right)
        heard = next(e["data"] for e in node.trace.events if "token" in e.get("data", ""))
        assert right not in heard and len(heard.split()[1]) == len(right)
        asks(node, port, heard.split()[1])
        node.run_until_idle()
    node.trace.save(tmp_path / "t.json")
    for told in (node.trace.text(), str(node.trace.world), (tmp_path / "t.json").read_text()):
        assert right not in told
    assert str(Node.replay(Trace.load(tmp_path / "t.json"), probe)).startswith("the same run again")


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_values_that_share_their_parts_are_stored_once(suffix: str, tmp_path: Path) -> None:
    """A list of forty levels, each twice the one below: endless where each part is written out. What came from outside
    is kept whole, and names what stands there already; the label of a birth, and the text of a message, are cut."""

    def keeps(*given: Any) -> None:
        skynet.dispatch("lua", lambda session, source, *values: skynet.retpack(len(values)))

    shared: Any = [1.5]
    for _ in range(40):
        shared = [shared, shared]
    with Node(clock="virtual", log=list, record=True) as node:
        addr = node.newservice(keeps, shared)
        assert node.call(addr, "lua", shared, {"a": (shared, shared)}, ()) == 3
    assert len(max(node.log_lines, key=len)) < 1000
    node.trace.save(tmp_path / f"t.{suffix}")
    trace = Trace.load(tmp_path / f"t.{suffix}")
    assert trace.world is not None and node.trace.world is not None
    (call,) = [row[-1] for row in trace.world.inputs if row[1] == "call" and "LAUNCH" not in row[-1]]
    once = call[0]
    while once[0] != 1.5:
        assert once[0] is once[1]
        once = once[0]
    assert call[1]["a"][0] is call[0] and call[2] == ()
    assert str(Node.replay(trace, keeps)).startswith("the same run again")
