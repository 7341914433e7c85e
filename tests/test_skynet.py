"""The scheduler and its API, beyond what the recordings show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skynet_lite import CallError, Node, SkynetError, mark, skynet


def run(*services: Any, then: Any = None) -> Node:
    """Start services one after the other under the virtual clock, let everything end; the closed node."""
    with Node(clock="virtual", log=list) as node:
        for service in services:
            node.newservice(service)
        node.run()
        if then is not None:
            then(node)
    return node


def marks(service: Any, *args: Any) -> list[str]:
    """The marks a service makes, in order."""
    with Node(clock="virtual", log=list) as node:
        with node.record() as trace:
            node.newservice(service, *args)
            node.run()
    return [e["text"] for e in trace if e["e"] == "mark"]


# ---- start and arguments


def test_arguments_reach_the_start_function_isolated() -> None:
    """`newservice(f, *args)` calls f(*args), with copies of what can change."""
    given = {"list": [1]}
    got: list[Any] = []

    def main(config: dict[str, list[int]], n: int) -> None:
        got.append((config, n))
        config["list"].append(2)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main, given, 7)
    assert got == [({"list": [1, 2]}, 7)]
    assert given == {"list": [1]}


def test_the_articles_listing_runs_as_it_stands() -> None:
    """Pasted into a cell: the decorator only marks the function outside of a service."""
    listing = """
from skynet_lite import skynet, socket

def accept(id, addr):
    pass

@skynet.start
def main():
    addr = "0.0.0.0:8001"
    skynet.error("listen " + addr)
    lid = socket.listen(addr)
    assert lid
    socket.start(lid, accept)
"""
    # The one change: a port that is free on any machine.
    namespace: dict[str, Any] = {"__name__": "cell"}
    exec(listing.replace("0.0.0.0:8001", "127.0.0.1:0"), namespace)
    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(namespace["main"])
        assert node.log_lines[-1] == "[:00000008] listen 127.0.0.1:0"
        assert list(node.service(addr).socket_pool) == [1]


def test_service_files_share_no_globals(tmp_path: Path) -> None:
    """Two instances of a file are two worlds, like two Lua VMs."""
    (tmp_path / "counter.py").write_text(
        "from skynet_lite import skynet\n"
        "n = 0\n"
        "@skynet.start\n"
        "def main(step):\n"
        "    @skynet.dispatch('lua')\n"
        "    def dispatch(session, source):\n"
        "        global n\n"
        "        n += step\n"
        "        skynet.retpack(n)\n"
    )
    with Node(clock="virtual", log=list, luaservice=str(tmp_path / "?.py")) as node:
        a, b = node.newservice("counter", 1), node.newservice("counter", 10)
        assert [node.call(a, "lua"), node.call(a, "lua"), node.call(b, "lua")] == [1, 2, 10]


def test_a_service_file_must_call_start(tmp_path: Path) -> None:
    """Forgetting skynet.start is an error at once, not a call that never returns."""
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    with Node(clock="virtual", log=list, luaservice=str(tmp_path / "?.py")) as node:
        with pytest.raises(CallError, match="never called skynet.start"):
            node.newservice("empty")
        with pytest.raises(CallError, match="SyntaxError"):
            node.newservice("broken")
        with pytest.raises(SkynetError, match="no service 'nosuch': looked for"):
            node.newservice("nosuch")
        assert node.newservice(lambda: None)


def test_what_is_no_service_is_refused() -> None:
    """Coroutine functions and objects are not start functions."""

    async def modern() -> None:
        pass

    with Node(clock="virtual", log=list) as node:
        for wrong in (modern, 3, None):
            with pytest.raises(SkynetError, match="is no service"):
                node.newservice(wrong)  # type: ignore[arg-type]


def test_init_runs_at_once_when_the_service_has_started() -> None:
    """skynet.init before start is kept for it; later it runs where it stands."""

    def main() -> None:
        skynet.init(lambda: mark("now"))
        mark("after")

    assert marks(main) == ["now", "after"]


# ---- dispatch


def test_dispatch_returns_the_handler_before() -> None:
    """So that handlers can be wrapped; without a function it decorates."""

    def main() -> None:
        def first(*request: Any) -> None:
            pass

        assert skynet.dispatch("lua", first) is None
        assert skynet.dispatch("lua", print) is first

    run(main)


def test_protocols_are_checked() -> None:
    """Names and ids are unique; an unknown type names the remedy."""

    def main() -> None:
        with pytest.raises(SkynetError, match="registered already"):
            skynet.register_protocol(name="lua", id=99)
        with pytest.raises(SkynetError, match="0 to 255"):
            skynet.register_protocol(name="x", id=256)
        with pytest.raises(SkynetError, match="unknown field 'dispath'"):
            skynet.register_protocol(name="x", id=99, dispath=print)
        with pytest.raises(SkynetError, match="register_protocol first"):
            skynet.send(skynet.self(), "x")

    run(main)


def test_own_protocols_pack_and_unpack() -> None:
    """A protocol's own functions stand at both ends; one service's table is not another's."""
    got: list[Any] = []

    def spec(**more: Any) -> dict[str, Any]:
        return {"name": "num", "id": 77, "pack": lambda n: str(n), "unpack": lambda text: (int(text), "n"), **more}

    def server() -> None:
        def handle(session: int, source: int, n: int, word: str) -> None:
            got.append((n, word))
            skynet.ret("8")

        skynet.register_protocol(spec(dispatch=handle))

    def client() -> None:
        skynet.register_protocol(**spec())
        got.append(skynet.call(8, "num", 7))

    run(server, client)
    assert got == [(7, "n"), (8, "n")]


def test_call_returns_none_the_value_or_a_tuple() -> None:
    """As many values as were answered."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source, *values: skynet.retpack(*values))

    def then(node: Node) -> None:
        assert node.call(8, "lua") is None
        assert node.call(8, "lua", 1) == 1
        assert node.call(8, "lua", 1, 2) == (1, 2)
        assert node.call(8, "lua", None) is None

    run(server, then=then)


def test_raw_messages_and_redirect() -> None:
    """Packed once, sent on as it is, also in somebody else's name."""
    got: list[Any] = []

    def server() -> None:
        def handle(session: int, source: int, *values: Any) -> None:
            got.append((source, values))
            if session:
                skynet.ret(skynet.pack("ok", [1]))

        skynet.dispatch("lua", handle)

    def client() -> None:
        message = skynet.pack("a", {"b": [1]})
        assert skynet.unpack(message) == ("a", {"b": [1]})
        skynet.rawsend(8, "lua", message)
        assert skynet.unpack(skynet.rawcall(8, "lua", message)) == ("ok", [1])
        skynet.redirect(8, 99, "lua", 0, message)
        with pytest.raises(SkynetError, match="skynet.pack"):
            skynet.rawsend(8, "lua", [1])

    run(server, client)
    me = 10
    assert got == [(me, ("a", {"b": [1]})), (me, ("a", {"b": [1]})), (99, ("a", {"b": [1]}))]


@pytest.mark.parametrize("raw", [b"(\xff\xff\xff\x7f", b"\xa8\xff\xff\xff\x7f", b"(abcd"])
def test_bytes_that_promise_more_than_they_hold(raw: bytes) -> None:
    """Four bytes of length would have marshal make room for 2^31 values before it reads the first."""

    def main() -> None:
        skynet.dispatch("lua", lambda session, source, *values: skynet.error(*values))
        skynet.rawsend(skynet.self(), "lua", raw)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run_until_idle()
        assert "these bytes are not what skynet.pack makes" in "\n".join(node.log_lines)


def test_context_and_ignoreret() -> None:
    """A request's coroutine knows whom it serves; ignoreret says that nobody is to be told."""
    seen: list[Any] = []

    def server() -> None:
        def handle(session: int, source: int, what: str) -> None:
            seen.append(skynet.context())
            skynet.fork(lambda: seen.append(skynet.context()))
            skynet.ignoreret()
            raise ValueError("nobody hears this but the log")

        skynet.dispatch("lua", handle)

    def client() -> None:
        skynet.fork(lambda: skynet.call(8, "lua", "x"))

    with Node(clock="virtual", log=list) as node:
        node.newservice(server)
        c = node.newservice(client)
        node.run()
        assert len(node.service(c).watching_session) == 1  # still waiting: no error came
    assert seen == [(2, c), (None, None)]


def test_answering_needs_a_request() -> None:
    """ret and response in a fork or a timer say what is wrong."""

    def main() -> None:
        for answer in (skynet.ret, skynet.retpack, skynet.response, skynet.ignoreret):
            with pytest.raises(SkynetError, match="no session"):
                answer()

    run(main)


def test_a_request_left_unanswered_is_told() -> None:
    """Nothing is worse to find than a forgotten ret."""

    def main() -> None:
        skynet.dispatch("lua", lambda *request: None)
        skynet.fork(lambda: skynet.call(skynet.self(), "lua"))

    node = run(main)
    assert "[:00000008] Maybe forgot response session 2 from :00000008 : co1" in node.log_lines


# ---- errors


def test_traceback_shows_the_services_own_lines() -> None:
    """Places read service:line; no path, and no line of the runtime."""

    def main() -> None:
        def handler(session: int, source: int) -> None:
            helper()

        def helper() -> None:
            raise ValueError("boom")

        skynet.dispatch("lua", handler)
        skynet.send(skynet.self(), "lua")

    node = run(main)
    (line,) = (line for line in node.log_lines if "boom" in line)
    first = main.__code__.co_firstlineno
    assert line == (
        "[:00000008] lua call [8 to :8 : 0] error : Traceback (most recent call last):\n"
        f"  main:{first + 2} in handler\n    helper()\n"
        f'  main:{first + 5} in helper\n    raise ValueError("boom")\n'
        "ValueError: boom"
    )


def test_two_errors_in_one_dispatch_are_both_told() -> None:
    """A fork that fails does not hide the failure before it."""

    def main() -> None:
        def handler(session: int, source: int) -> None:
            skynet.fork(lambda: 1 / 0)
            raise ValueError("first")

        skynet.dispatch("lua", handler)
        skynet.send(skynet.self(), "lua")

    (line,) = (line for line in run(main).log_lines if "first" in line)
    assert "ZeroDivisionError" in line


def test_a_service_that_fails_takes_no_other_with_it() -> None:
    """Errors in handlers, timers and forks: the service and its neighbours live on."""

    def bad() -> None:
        skynet.dispatch("lua", lambda *request: 1 / 0)
        skynet.timeout(1, lambda: 1 / 0)
        skynet.fork(lambda: 1 / 0)

    def good() -> None:
        skynet.dispatch("lua", lambda *request: skynet.retpack("fine"))

    def then(node: Node) -> None:
        assert node.call(10, "lua") == "fine"
        with pytest.raises(CallError, match="call failed"):
            node.call(8, "lua")
        with pytest.raises(CallError, match="call failed"):
            node.call(8, "lua")

    run(bad, good, then=then)


def test_start_that_raises_is_reported_to_the_caller() -> None:
    """From outside and inside a service: with the reason and the exception itself. The log has the traceback."""

    def bad() -> None:
        raise ValueError("no luck")

    def parent() -> None:
        with pytest.raises(CallError, match=r"call failed: :\w{8} bad did not start: ValueError: no luck") as e:
            skynet.newservice(bad)
        assert type(e.value.__cause__) is ValueError
        mark("alive")

    with Node(clock="virtual", log=list) as node:
        with pytest.raises(CallError, match=r"call failed: :\w{8} bad did not start: ValueError: no luck"):
            node.newservice(bad)
        assert any("init service failed: Traceback" in line for line in node.log_lines)
        node.newservice(parent)


def test_what_is_no_exception_costs_one_message_too() -> None:
    """KeyboardInterrupt that a handler raises (not Ctrl-C, which is the driver's) is an error like others."""

    def main() -> None:
        def handler(session: int, source: int, what: str) -> None:
            if what == "interrupt":
                raise KeyboardInterrupt
            skynet.retpack(what)

        skynet.dispatch("lua", handler)

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        with pytest.raises(CallError, match="call failed"):
            node.call(addr, "lua", "interrupt")
        assert node.call(addr, "lua", "on") == "on"


# ---- waiting


def test_tokens_wake_whoever_sleeps_with_them() -> None:
    """A token stands for the coroutine; two sleepers cannot share one."""

    def main() -> None:
        def sleeper() -> None:
            mark(f"broken: {skynet.sleep(100, 'door')}")
            skynet.wait(("any", "hashable"))
            mark("woken")

        co = skynet.fork(sleeper)
        skynet.yield_()
        with pytest.raises(SkynetError, match="token duplicative: co2 sleeps with 'door' already"):
            skynet.sleep(1, "door")
        assert not skynet.wakeup(co)  # it sleeps with its token, not with itself
        assert skynet.wakeup("door")
        skynet.yield_()
        assert skynet.wakeup(("any", "hashable"))
        assert not skynet.wakeup("nobody")

    assert marks(main) == ["broken: BREAK", "woken"]


def test_double_wakeup_resumes_once() -> None:
    """Two entries for one coroutine: the second is stale, and ends the chain for this suspend."""

    def main() -> None:
        def sleeper() -> None:
            skynet.wait()
            mark("woken")

        co = skynet.fork(sleeper)
        skynet.yield_()
        assert skynet.wakeup(co)
        assert skynet.wakeup(co)

    assert marks(main) == ["woken"]


def test_blocking_outside_a_coroutine_is_refused() -> None:
    """In the main chunk, or in an unknown_request function, there is nothing to park."""
    seen: list[str] = []

    def main() -> None:
        def unknown(session: int, source: int, message: Any, typename: str) -> None:
            for block in (lambda: skynet.sleep(1), skynet.wait, lambda: skynet.call(3, "lua", "LIST")):
                with pytest.raises(SkynetError, match="no coroutine is running"):
                    block()
            seen.append(typename)

        skynet.dispatch_unknown_request(unknown)
        skynet.send(skynet.self(), "lua")

    run(main)
    assert seen == ["lua"]


def test_outside_of_a_service_the_api_says_so() -> None:
    """No current service: the text says how to get one."""
    for f in (skynet.self, skynet.exit, skynet.yield_, skynet.mqlen, lambda: skynet.send(8, "lua"), skynet.wait):
        with pytest.raises(SkynetError, match="inside a service only"):
            f()
    with pytest.raises(SkynetError, match="inside a service only"):
        skynet.fork(print)


def test_a_wrong_time_is_refused() -> None:
    """Ticks are whole numbers."""

    def main() -> None:
        with pytest.raises(SkynetError, match="whole number of ticks"):
            skynet.sleep(0.5)  # type: ignore[arg-type]

    run(main)


def test_time_is_counted_in_ticks() -> None:
    """Virtual time begins at a constant and moves by exactly what was slept."""

    def main() -> None:
        begin, hpc = skynet.now(), skynet.hpc()
        skynet.sleep(150)
        mark(str((skynet.now() - begin, skynet.time() - skynet.starttime(), skynet.hpc() - hpc)))

    assert marks(main) == ["(150, 1.5, 1500000000)"]


def test_task_counts_and_shows_who_waits() -> None:
    """Parked coroutines with their stacks, in places of the service's own code."""
    seen: list[Any] = []

    def main() -> None:
        co = skynet.fork(skynet.wait)
        skynet.yield_()
        stacks: dict[str, str] = {}
        skynet.task(stacks)
        session = skynet.task(co)
        seen.append((skynet.task(), session, f"{co.label} session: {session}" in stacks, skynet.task(99)))

        def sleeper() -> None:
            skynet.sleep(5)

        other = skynet.fork(sleeper)
        skynet.yield_()
        seen.append(skynet.task(skynet.task(other)))

    run(main)
    assert seen[0] == (1, 3, True, "No session")
    assert "in sleeper\n    skynet.sleep(5)" in seen[1]


def test_critical_section_is_freed_by_an_error() -> None:
    """Whoever fails inside leaves; the next one is woken, and runs in the next dispatch.

    As in v1.1.0 an error ends the dispatch, and wakeups that are queued wait for the next.
    """

    def main() -> None:
        q = skynet.queue()

        def bad() -> None:
            with q:
                skynet.yield_()
                raise ValueError("inside")

        skynet.fork(bad)
        skynet.fork(lambda: q(mark, "entered"))
        skynet.timeout(5, lambda: mark("next dispatch"))

    assert marks(main) == ["next dispatch", "entered"]


# ---- the end of a service


def test_finally_blocks_run_in_the_order_of_creation() -> None:
    """exit ends all coroutines of the service, the oldest first, the caller among them."""
    order: list[str] = []

    def main() -> None:
        def parked(name: str) -> None:
            try:
                skynet.wait()
            finally:
                order.append(name)

        try:
            for name in "abc":
                skynet.fork(parked, name)
            skynet.yield_()
            skynet.exit()
        finally:
            order.append("main")

    run_dead(main)
    assert order == ["main", "a", "b", "c"]


def run_dead(service: Any) -> Node:
    """Start a service that ends by itself."""
    with Node(clock="virtual", log=list) as node:
        node.newservice(service, wait=False)
        node.run()
    return node


def test_blocking_while_being_closed_raises() -> None:
    """A finally block that waits is told so at that place, and cannot hold the service up."""
    seen: list[str] = []

    def main() -> None:
        def stubborn() -> None:
            try:
                skynet.wait()
            finally:
                try:
                    skynet.sleep(1)
                except SkynetError as e:
                    seen.append(str(e))

        skynet.fork(stubborn)
        skynet.yield_()
        skynet.exit()

    run_dead(main)
    assert len(seen) == 1
    assert "being closed" in seen[0]


def test_kill_closes_coroutines_and_answers_queued_requests() -> None:
    """A killed service gets no word in, but its `finally` blocks run and queued requests fail."""
    seen: list[str] = []

    def victim() -> None:
        def handler(session: int, source: int) -> None:
            try:
                skynet.wait()
            finally:
                seen.append("closed")

        skynet.dispatch("lua", handler)

    def killer(v: int) -> None:
        skynet.send(v, "lua")
        skynet.yield_()

        def ask() -> None:
            try:
                skynet.call(v, "lua")
            except CallError as e:
                seen.append(str(e))

        skynet.fork(ask)
        skynet.fork(skynet.kill, v)

    with Node(clock="virtual", log=list) as node:
        v = node.newservice(victim)
        node.newservice(killer, v)
        node.run()
        assert "[:0000000a] KILL :8" in node.log_lines
    assert seen == ["closed", "call failed: :00000008 victim was killed"]


def test_a_second_ret_closes_the_handler() -> None:
    """The scheduler's error; the handler's `finally` blocks still run."""
    seen: list[str] = []

    def main() -> None:
        def handler(session: int, source: int) -> None:
            try:
                skynet.retpack(1)
                skynet.retpack(2)
            finally:
                seen.append("closed")

        skynet.dispatch("lua", handler)

    with Node(clock="virtual", log=list) as node:
        assert node.call(node.newservice(main), "lua") == 1
        node.run_until_idle()
        assert any("a second time: one skynet.ret" in line for line in node.log_lines)
    assert seen == ["closed"]


def test_abort_ends_all_services() -> None:
    """skynet.abort: everything goes, the log last."""
    with Node(clock="virtual", log=list) as node:
        node.newservice(lambda: None)
        node.newservice(skynet.abort, wait=False)
        node.run_until_idle()
        assert list(node.handles.contexts) == [1]


def test_unique_services_exist_once() -> None:
    """service_mgr: everybody gets the same one, also those who ask while it starts."""
    handles: list[Any] = []
    started: list[int] = []

    def single() -> None:
        started.append(1)
        skynet.sleep(3)

    def main() -> None:
        skynet.fork(lambda: handles.append(skynet.uniqueservice(single)))
        skynet.fork(lambda: handles.append(skynet.uniqueservice(single)))
        skynet.fork(lambda: handles.append(skynet.queryservice("single")))

    with Node(clock="virtual", log=list) as node:
        node.service_name(single)
        node.newservice(main)
        node.run()
    assert len(handles) == 3
    assert len(set(handles)) == 1
    assert started == [1]


def test_datacenter_keeps_and_waits() -> None:
    """A tree of values by path, shared by all services."""

    def main() -> None:
        got: list[Any] = []
        skynet.fork(lambda: got.append(skynet.call("DATACENTER", "lua", "WAIT", "a", "b")))
        skynet.yield_()
        assert skynet.call("DATACENTER", "lua", "UPDATE", "a", "b", 7) is None
        assert skynet.call("DATACENTER", "lua", "QUERY", "a", "b") == 7
        assert skynet.call("DATACENTER", "lua", "QUERY", "x") is None
        assert got == [7]
        mark("ok")

    assert marks(main) == ["ok"]


def test_launcher_lists_and_kills() -> None:
    """What the launcher knows, in the form of its LIST."""
    with Node(clock="virtual", log=list) as node:
        a = node.newservice(lambda: None)
        assert node.call(".launcher", "lua", "LIST")[":00000008"] == "snlua lambda"
        assert node.call(".launcher", "lua", "KILL", a) == {":00000008": "snlua lambda"}
        assert ":00000008" not in node.call(".launcher", "lua", "LIST")


# ---- the coroutine of a start function


def test_the_coroutine_of_a_start_function_is_given_back() -> None:
    """It ends with it, for most services idle from then on. Its number waits in the pool, as in skynet."""

    def main() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack(skynet.running().label))

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        s = node.service(addr)
        assert (s.tables()["coroutine_pool"], s.pooled.frame) == (["co1"], None)
        with node.record() as trace:
            assert node.call(addr, "lua") == "co1"
        assert [(e["co"], e["how"]) for e in trace if e["e"] == "co_create"] == [("co1", "pool")]
        assert s.pooled.frame is not None, "whoever is asked once is asked again: this one is kept"
        assert s.coroutine_pool == [s.coroutines[1]]


def test_who_was_given_back_is_meant_by_its_place() -> None:
    """In skynet both tasks run in the same coroutine, and so whoever kept it wakes, or ends, the second."""
    told: list[Any] = []

    def main() -> None:
        first = skynet.running()

        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str) -> None:
            if what == "wait":
                skynet.wait()
                told.append("woken")
                skynet.wait()
            elif what == "wake":
                told.append(skynet.wakeup(first))
            else:
                told.append(skynet.killthread(first).label)
                told.append((skynet.wakeup(first), skynet.killthread(first)))

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        for what in ("wait", "wake", "kill"):
            node.newservice(skynet.send, addr, "lua", what)
            node.run_until_idle()
    assert told == [True, "woken", "co1", (False, None)]


def test_a_start_function_that_is_ended_leaves_nobody_in_the_pool() -> None:
    """It is told to end, and does so by returning: that is no reason to keep its place."""

    def main() -> None:
        me = skynet.running()
        skynet.fork(lambda: skynet.killthread(me))
        try:
            skynet.wait()
        except BaseException:
            pass

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        node.run_until_idle()
        s = node.service(addr)
        assert (s.start_state, s.tables()["coroutine_pool"], list(s.coroutines)) == ("ok", ["co2"], [2])
