"""Misuse: each mistake is told where it is made, before anything is written, and breaks nothing else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from skynet_lite import (
    CallError,
    Node,
    SkynetError,
    coroutine,
    debug,
    gateserver,
    multicast,
    service,
    skynet,
    snax,
    socket,
    socketchannel,
)  # fmt: skip
from skynet_lite.contrib import stream


def run(main: Callable[[], Any]) -> list[str]:
    """A service, until nothing is left to do; what it logged."""
    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run()
    return [line.partition("] ")[2] for line in node.log_lines if "LAUNCH" not in line and "KILL" not in line]


# ---- functions of which a call runs nothing


async def waits(*args: Any) -> None:
    skynet.error("never")


def gives(*args: Any) -> Any:
    yield skynet.error("never")


async def both(*args: Any) -> Any:
    yield skynet.error("never")


class Served:
    async def method(self, *args: Any) -> None: ...

    async def __call__(self, *args: Any) -> None: ...


UNRUN: list[Any] = [waits, gives, both, partial(waits, 1), Served().method, Served()]
IDS = ["async", "generator", "async-generator", "partial", "method", "object"]

TAKES: dict[str, Callable[[Any], Any]] = {
    "dispatch": lambda f: skynet.dispatch("lua", f),
    "@dispatch": lambda f: skynet.dispatch("lua")(f),
    "unknown_request": skynet.dispatch_unknown_request,
    "unknown_response": skynet.dispatch_unknown_response,
    "register_protocol dispatch": lambda f: skynet.register_protocol(name="x", id=99, dispatch=f),
    "register_protocol pack": lambda f: skynet.register_protocol(name="x", id=99, pack=f),
    "register_protocol unpack": lambda f: skynet.register_protocol(name="x", id=99, unpack=f),
    "filter": lambda f: skynet.filter(f),
    "info_func": skynet.info_func,
    "reg_debugcmd": lambda f: debug.reg_debugcmd("X", f),
    "coroutine": coroutine.create,
    "multicast": lambda f: multicast.new(dispatch=f),
    "socket.start": lambda f: socket.start(socket.listen("127.0.0.1:0"), f),
    "socket.onclose": lambda f: socket.onclose(1, f),
    "udp": lambda f: socket.udp(f),
    "udp_connect": lambda f: socket.udp_connect(1, "127.0.0.1", 1, f),
    "gateserver": lambda f: gateserver.start(SimpleNamespace(connect=print, message=print, warning=f)),
    "socketchannel": lambda f: socketchannel.channel("127.0.0.1", 1, auth=f),
    "service.new": lambda f: service.new("x", f),
    "newservice": lambda f: skynet.newservice(f),
}


@pytest.mark.parametrize("takes", TAKES)
def test_what_would_not_run_is_refused_where_it_is_given(takes: str) -> None:
    """Of an `async def` or a generator function a call makes an object and runs nothing: said at the line that gave it."""

    def main() -> None:
        for f in UNRUN:
            with pytest.raises(SkynetError, match="nor a generator|not async"):
                TAKES[takes](f)

    run(main)


def test_a_start_function_that_would_not_run_is_refused() -> None:
    """Also where `start` says it, from the code of a service; the service is not there then."""

    def snaxed() -> None:
        with pytest.raises(SkynetError, match="neither async"):
            snax.accept(waits)
        with pytest.raises(SkynetError, match="neither async"):
            skynet.init(waits) if skynet.running().service.init_functions is not None else skynet.dispatch("lua", waits)

    run(snaxed)
    with Node(clock="virtual", log=list) as node, pytest.raises(SkynetError, match="not async"):
        node.newservice(waits)


@pytest.mark.parametrize("f", UNRUN, ids=IDS)
@pytest.mark.filterwarnings("error")
def test_a_task_that_has_not_run_fails(f: Any) -> None:
    """fork and timeout take any function, and look at what it has returned: a message costs nothing then."""

    def main() -> None:
        skynet.fork(f, 1)
        skynet.timeout(1, f)
        skynet.fork(lambda: f())

    lines = run(main)
    assert len([line for line in lines if "nothing of it would run" in line]) >= 2 and "never" not in lines


def test_a_caller_hears_that_the_handler_has_not_run() -> None:
    """A lambda hides what it calls; the call fails all the same, instead of waiting for ever."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: waits())

    with Node(clock="virtual", log=list) as node:
        with pytest.raises(CallError):
            node.call(node.newservice(server), "lua")
        node.run()
        assert "waits is no plain function" in "\n".join(node.log_lines)


@pytest.mark.filterwarnings("error")
def test_a_start_function_hides_no_task_that_has_not_run() -> None:
    """A start function, an init function and a critical section look at what was returned, as a fork does."""

    def hides() -> Any:
        return waits()

    def initial() -> None:
        skynet.init(lambda: waits())

    def section() -> None:
        skynet.queue()(waits)

    with Node(clock="virtual", log=list) as node:
        for main in (hides, initial, section):
            with pytest.raises(CallError, match="did not start: SkynetError: waits is no plain function"):
                node.newservice(main)


def test_a_generator_that_has_begun_is_no_mistake() -> None:
    """What a task returns is its own business, if it has run."""

    def main() -> None:
        def begun() -> Any:
            g = gives()
            next(g)
            return g

        skynet.fork(begun)
        skynet.fork(lambda: 5)

    assert run(main) == ["never"]


# ---- times


@pytest.mark.parametrize("ti", [1.5, 0.5, -1.5, "a", None, float("nan"), float("inf"), [1]])
def test_a_time_that_is_none_leaves_nothing_behind(ti: Any) -> None:
    """No token, no session, no timer, no request: it is refused before anything is written."""

    def main() -> None:
        s = skynet.running().service
        skynet.trace_timeout(True)
        uses: list[Callable[[], Any]] = [
            lambda: skynet.sleep(ti),
            lambda: skynet.sleep(ti, "token"),
            lambda: skynet.timeout(ti, print),
            lambda: skynet.select((skynet.self(), "lua"), timeout=ti),
        ]
        for wrong in uses[:3] if ti is None else uses:
            with pytest.raises(SkynetError, match="whole number of ticks"):
                wrong()
        assert (s.sleep_tokens, s.session_id_coroutine, s.watching_session, s.timeout_traceback) == ({}, {}, {}, {})
        assert len(s.mailbox) == 0
        assert skynet.sleep(1, "token") is None

    assert run(main) == []


def test_a_timeout_that_is_none_opens_nothing() -> None:
    """Of a connection, and of what is waited for on it."""

    def main() -> None:
        id = socket.listen("127.0.0.1:0")
        socket.start(id, lambda new, peer: socket.start(new))
        port = socket.sockname(id)[1]
        with pytest.raises(SkynetError, match="whole number of ticks"):
            stream.connect("127.0.0.1", port, 1.5)  # type: ignore[arg-type]
        skynet.sleep(10)
        assert [row["type"] for row in socket.netstat()] == ["LISTEN"]
        connection = stream.Stream(stream.connect("127.0.0.1", port, 50.0))  # type: ignore[arg-type]
        with pytest.raises(SkynetError, match="whole number of ticks"):
            connection.within(1.5)  # type: ignore[arg-type]
        connection.within(5)
        with pytest.raises(stream.TimedOut):
            connection.read()

    assert run(main) == []


def test_a_whole_number_may_be_a_float() -> None:
    """As Lua's 5.0, which skynet takes."""

    def main() -> None:
        skynet.sleep(50.0)
        skynet.sleep(-1.0)
        skynet.timeout(5.0, lambda: skynet.error("fired at", skynet.now()))
        list(skynet.select((skynet.newservice("cdummy"), "debug", "PING"), timeout=3.0))
        assert skynet.now() == 50

    assert run(main)[-1] == "fired at 55"


def test_a_sleep_in_the_finally_of_a_killed_task_leaves_no_token() -> None:
    """It cannot sleep any more, and nobody is to be told later that the token is taken."""

    def main() -> None:
        def stubborn() -> None:
            try:
                skynet.wait()
            finally:
                skynet.sleep(5, "token")

        co = skynet.fork(stubborn)
        skynet.yield_()
        assert skynet.killthread(co)
        assert skynet.sleep(1, "token") is None

    run(main)


# ---- coroutines in an `if`


def test_a_coroutine_is_true() -> None:
    """Before it has begun, while it is parked and after its end: only None says that there was none."""

    def main() -> None:
        forked, timed = skynet.fork(skynet.wait), skynet.timeout(1, print)
        own = coroutine.create(print)
        assert forked and timed and own
        assert skynet.killthread(forked) and skynet.killthread(timed) and not skynet.killthread(forked)
        parked = skynet.fork(skynet.wait)
        skynet.yield_()
        assert parked and skynet.killthread(parked) is parked and parked
        assert not skynet.killthread("nobody")

    assert run(main) == []


# ---- critical sections


def test_a_stray_wakeup_lets_nobody_in() -> None:
    """skynet asserts that nobody is inside; here whoever was woken looks, and goes on waiting."""

    def main() -> None:
        section, inside, seen = skynet.queue(), 0, list[str]()

        def work(name: str) -> None:
            nonlocal inside
            with section:
                inside += 1
                assert inside == 1
                skynet.sleep(5)
                seen.append(name)
                inside -= 1

        _, b, c = [skynet.fork(work, name) for name in "abc"]
        skynet.sleep(1)
        for co in (c, b, c):
            skynet.wakeup(co)
            skynet.yield_()
        skynet.sleep(40)
        assert seen == ["a", "b", "c"] and not section.busy()
        assert skynet.running().service.queues == {}

    assert run(main) == []


@pytest.mark.parametrize("recorded", [False, True])
def test_a_stack_that_is_too_deep_locks_no_section(recorded: bool) -> None:
    """RecursionError at any line of going in, whether the section is free or not: it can be had afterwards."""

    def main() -> None:
        section = skynet.queue()

        def enter(depth: int) -> None:
            if depth:
                enter(depth - 1)
                return
            with section:
                pass

        def try_to_enter(depth: int) -> None:
            try:
                enter(depth)
            except RecursionError:
                refused.append(depth)

        limit = sys.getrecursionlimit()
        refused: list[int] = []
        for depth in range(limit - 160, limit):
            try_to_enter(depth)
            assert not section.busy(), depth
            with section:
                skynet.fork(try_to_enter, depth)
                skynet.yield_()
                skynet.yield_()
            skynet.yield_()
            assert not section.busy(), depth
        assert 0 < len(refused) < 320
        assert skynet.running().service.queues == {}

    with Node(clock="virtual", log=list) as node:
        if recorded:
            with node.record():
                node.newservice(main)
        else:
            node.newservice(main)


def test_a_section_is_for_the_coroutines_of_its_service() -> None:
    """Another thread, another service, code outside: refused before anything is written, free or taken."""
    sections: list[Any] = []
    refused: list[str] = []

    def enter() -> None:
        try:
            with sections[0]:
                refused.append("entered")
        except SkynetError as e:
            refused.append(str(e))

    def thief(section_owner: int) -> None:
        enter()

    def main() -> None:
        section = skynet.queue()
        sections.append(section)

        def hold() -> None:
            with section:
                skynet.sleep(5)

        for _ in range(2):  # free, then taken
            thread = threading.Thread(target=enter)
            thread.start()
            thread.join()
            skynet.newservice(thief, skynet.self())
            skynet.fork(hold)
            skynet.yield_()
        skynet.sleep(20)
        assert not section.busy() and section.labels() == []

    run(main)
    enter()
    assert len(refused) == 5 and all("for coroutines of <service" in text for text in refused)


def test_a_section_outlives_a_recording() -> None:
    """Made while one runs or before: it tells whoever records now, and nobody when nobody does."""

    def main() -> None:
        sections: dict[str, Any] = {}

        @skynet.dispatch("lua")
        def handle(session: int, source: int, name: str) -> None:
            section = sections[name] if name in sections else sections.setdefault(name, skynet.queue())
            section(skynet.retpack)

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        node.call(addr, "lua", "before")
        with node.record() as trace:
            node.call(addr, "lua", "before")
            node.call(addr, "lua", "during")
        told = [e["session"] for e in trace.events if e.get("table") == "queue" and e["op"] == "push"]
        assert told == [1, 2]
        node.call(addr, "lua", "during")


# ---- reading


def test_a_stray_wakeup_is_no_end_of_a_connection() -> None:
    """Whoever waits for bytes is woken by the socket only; in skynet a read takes any wakeup for the end."""
    got: list[Any] = []

    def accept(id: int, address: str) -> None:
        socket.start(id)
        reader = skynet.fork(lambda: got.extend([socket.readline(id), socket.readall(id)]))
        for _ in range(4):
            skynet.sleep(1)
            skynet.wakeup(reader)
        socket.write(id, b"go")

    def main() -> None:
        id = socket.listen("127.0.0.1:0")
        socket.start(id, accept)
        peer = socket.open(*socket.sockname(id))
        socket.write(peer, b"line\n")
        skynet.sleep(10)
        socket.write(peer, b"rest")
        socket.close(peer)

    assert run(main) == []
    assert got == [b"line", b"rest"]


@pytest.mark.parametrize("paused", [False, True])
def test_readall_reads_all(paused: bool) -> None:
    """Whoever waits for the end wants all there is: what is read is not held back behind 128 KiB, as in v1.1.0."""
    data = bytes(range(256)) * 4096
    ports: list[int] = []
    got: list[bytes] = []

    def accept(id: int, address: str) -> None:
        socket.start(id)
        if paused:
            socket.pause(id)
        got.append(socket.readall(id))
        socket.close(id)

    def main() -> None:
        id = socket.listen("127.0.0.1:0")
        ports.append(socket.sockname(id)[1])
        socket.start(id, accept)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        client = node.client(ports[0])
        client.send(data)
        client.shutdown()
        node.run(until=lambda: bool(got), timeout=20)
        client.close()
    assert got == [data]


# ---- values of a wrong kind

WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "send": (lambda: skynet.send(1, []), r"the type of a message, .*: \[\] is none"),  # type: ignore[arg-type]
    "call": (lambda: skynet.call(1, []), r"the type of a message, .*: \[\] is none"),  # type: ignore[arg-type]
    "register": (lambda: skynet.register(5), "a name is a str, and names a handle: not 5"),  # type: ignore[arg-type]
    "name": (lambda: skynet.name(".x", "y"), "a name is a str, and names a handle: not '.x' for 'y'"),  # type: ignore[arg-type]
    "uniqueservice": (lambda: skynet.uniqueservice(True), "True is no service"),
    "queryservice": (lambda: skynet.queryservice(True), "True is no service"),
    "snax.newservice": (lambda: snax.newservice(5), "no snax service 5"),  # type: ignore[arg-type]
    "coroutine.status": (lambda: coroutine.status(5), "5 is no coroutine"),
    "coroutine.close": (lambda: coroutine.close(5), "5 is no coroutine"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", WRONG)
def test_a_value_of_a_wrong_kind_is_named(what: str) -> None:
    """Not by an error from somewhere inside of us."""
    wrong, words = WRONG[what]

    def main() -> None:
        with pytest.raises(SkynetError, match=words):
            wrong()

    assert run(main) == []


# ---- values that are too long to be told


def shared(levels: int) -> Any:
    """A small list that `repr` would tell in 2 ** levels words."""
    value: Any = ["x"]
    for _ in range(levels):
        value = [value, value]
    return value


HUGE = {"shared": shared(60), "digits": 1 << 20_000, "long": "x" * 3_000_000}


@pytest.mark.parametrize("thread", [1, 4])
@pytest.mark.parametrize("kind", HUGE)
def test_a_value_that_is_too_long_to_be_told_is_told_in_short(kind: str, thread: int) -> None:
    """Who is sent such a value cannot know it: its log line, and its error, is short and comes at once. So for what
    nobody handles, the arguments of a service, its name, and the commands of services that come with the node."""

    value = HUGE[kind]

    def nobody() -> None: ...

    def asks(gate: int, nobody: int, born: Any) -> None:
        with pytest.raises(CallError, match="launcher"):
            skynet.call(".launcher", "lua", "LAUNCH", "snlua", value)
        with pytest.raises(CallError, match="gate"):
            skynet.call(gate, "lua", value)
        assert skynet.call(".launcher", "lua", value) == ["Unknown command"]
        skynet.send(nobody, "lua", value)
        skynet.redirect(nobody, 0, "response", 99, skynet.pack(value))
        skynet.error("said", value if type(value) is int else "")

    with Node(thread=thread, log=list) as node:
        node.newservice(asks, node.newservice("gate"), node.newservice(nobody), value)
        node.run_until_idle()
        lines = "\n".join(node.log_lines)
        assert "Unknown request (lua)" in lines and "Response message" in lines and "LAUNCH snlua asks" in lines
        assert max(map(len, lines.splitlines())) < 1000


def test_who_forgets_the_type_of_a_message_is_told_so() -> None:
    """`send(to, {...})`, without "lua": the error names what is missing, not that a dict has no hash."""

    def main() -> None:
        for forgets in (skynet.send, skynet.call, skynet.rawcall):
            with pytest.raises(SkynetError, match=r'the type of a message, as "lua", comes before .*: \[1\] is none'):
                forgets(skynet.self(), [1], None)  # type: ignore[operator]  # that is the mistake
        skynet.error("held")

    assert run(main) == ["held"]


@pytest.mark.parametrize("name", [None, 5.5, b".x", ["x"]])
def test_a_name_is_a_str(name: Any) -> None:
    """And what it names is a handle: a name for anything else would fail at whoever uses it."""

    def main() -> None:
        with pytest.raises(SkynetError, match="a name is a str, and names a handle"):
            skynet.register(name)
        with pytest.raises(SkynetError, match="a name is a str, and names a handle"):
            skynet.name(".x", name)
        skynet.error("held")

    assert run(main) == ["held"]


@pytest.mark.parametrize("given", [(3,), ("x",), (Served, 3), (Served, str, "x")])
def test_a_type_is_registered_with_functions(given: Any) -> None:
    """Refused where it is registered, not in the first message that holds one."""
    with pytest.raises(SkynetError, match="register_type takes a class, pack"):
        skynet.register_type(*given)


@pytest.mark.parametrize("ticks", [1.5, "a", None, float("nan")])
def test_time_advances_by_whole_ticks(ticks: Any) -> None:
    """`advance` counts as `sleep` does."""
    with Node(clock="virtual", log=list) as node:
        node.advance(2.0)  # type: ignore[arg-type]  # whole
        with pytest.raises(SkynetError, match="a time is a whole number of ticks"):
            node.advance(ticks)


@pytest.mark.parametrize("given", [3, [], b"x.toml"])
def test_a_node_takes_a_path(given: Any) -> None:
    """`Node(4)` was meant as `Node(thread=4)`."""
    with pytest.raises(SkynetError, match=r"Node takes the path of a TOML file, and keys by name \(thread=4\)"):
        Node(given)
