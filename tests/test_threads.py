"""Many workers: who runs where, what may overlap, and what must not."""

from __future__ import annotations

import ast
import inspect
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from bench.stress import stress
from harness import LIMIT, until

import skynet_lite
from skynet_lite import CallError, Node, SkynetError, Trace, skynet, socket
from skynet_lite.core.context import Context
from skynet_lite.core.handle import HandleStorage
from skynet_lite.core.message import PTYPE_LUA
from skynet_lite.core.mq import OVERLOAD, MessageQueue
from skynet_lite.core.server import Server
from skynet_lite.core.socket_server import SocketServer
from skynet_lite.core.timer import Timer
from skynet_lite.drive.shared import SharedServer, SharedSocketServer
from skynet_lite.drive.worker import WEIGHTS, Worker
from skynet_lite.drive.workers import Workers


def node_of(thread: int = 4, **keys: Any) -> Node:
    node = Node(thread=thread, **{"clock": "virtual", "log": list} | keys)
    assert isinstance(node.driver, Workers)
    return node


@contextmanager
def hurried() -> Iterator[None]:
    """Let threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def echo() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, *args: Any) -> None:
        skynet.retpack(*args)


def where() -> None:
    """Says on which worker it is, after a sleep too."""

    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        first = threading.current_thread()
        skynet.sleep(3)
        assert threading.current_thread() is first
        assert isinstance(first, Worker)
        skynet.retpack(first.number)


# ---- workers and their weights


def test_the_weights_are_skynets() -> None:
    """By the number of the worker: four of -1, four of 0, eight each of 1, 2, 3; and 0 above."""
    with node_of(1 + 33) as node:
        assert [Worker(node.driver, node.server, n).weight for n in range(34)] == [-1] * 4 + [0] * 4 + [1] * 8 + [
            2
        ] * 8 + [3] * 8 + [0, 0]
    assert len(WEIGHTS) == 32


@pytest.mark.parametrize(
    "number, order",
    [
        (0, "AB AB AB AB AB A A A A A A A A A A A A A A A"),  # -1: one message, then the next service
        (4, "AAAAAAAAAAAAAAAAAAA BBBB A B"),  # 0: what waits behind the first, that one counted in
        (8, "AAAAAAAAA BB AAAAA B AA B A B A A A"),  # 1: half of it
        (16, "AAAA B AAA B AAA B AA B A B A A A A A A A"),  # 2: a quarter
        (24, "AA B AA B A B A B A B A A A A A A A A A A A A A"),  # 3: an eighth, but never nothing
    ],
)
def test_what_a_weight_means(number: int, order: str) -> None:
    """Twenty messages for A, five for B: in which order a worker of that number takes them.

    The orders were worked out by the rule of skynet_context_message_dispatch.
    """
    with node_of(32) as node:
        worker = Worker(node.driver, node.server, number)
        node.driver.threads.append(worker)  # its thread is never started
        for name, messages in (("A", 20), ("B", 5)):
            ctx = Context("snlua", name, (), MessageQueue(worker))
            node.handles.register(ctx)
            for n in range(messages):
                node.server.push(ctx, (10, 0, 0, (n,)), "outside")
        taken, numbers = "", {"A": 0, "B": 0}
        for _ in range(25):
            assert worker.next() is not None and worker.monitor.message is not None
            name = node.handles.contexts[worker.monitor.destination].name
            assert worker.monitor.message[3] == (numbers[name],)  # each mailbox in its order
            numbers[name] += 1
            taken += name
        assert taken == order.replace(" ", "")
        node.driver.threads.clear()


def test_a_service_stays_on_the_worker_of_its_handle() -> None:
    """Placement follows from the handle, not from time: handle modulo N."""
    with node_of(3) as node:
        addresses = [node.newservice(where) for _ in range(7)]
        assert [node.call(a, "lua") for a in addresses] == [a % 3 for a in addresses]
        assert {t["label"]: t["worker"] for t in births(node, where)} == {"snlua where": (addresses[-1] + 1) % 3}


def births(node: Node, service: Callable[[], Any]) -> list[dict[str, Any]]:
    with node.record() as trace:
        node.newservice(service)
    return [e for e in trace.events if e["e"] == "birth"]


# ---- messages between workers


def load(node: Node, writers: int = 6, readers: int = 6, each: int = 400) -> tuple[list[int], int]:
    """Every writer sends numbered messages to every reader, and calls one; the addresses of all, and how many were sent."""

    def reader() -> None:
        last: dict[int, int] = {}

        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str, n: int = 0) -> None:
            if what == "note":
                assert n == last.get(source, 0) + 1, f"{source:x} sent {n} after {last.get(source)}"
                last[source] = n
            elif what == "call":
                skynet.retpack(n)
            else:
                skynet.retpack(last)

    def writer(*to: int) -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            for n in range(1, each + 1):
                for reader in to:
                    assert skynet.send(reader, "lua", "note", n) == 0
                if n % 10 == 0:
                    assert skynet.call(to[n % len(to)], "lua", "call", n) == n
            skynet.retpack(each)

    addresses = [node.newservice(reader) for _ in range(readers)]
    senders = [node.newservice(writer, *addresses) for _ in range(writers)]
    answers: list[int] = []
    threads = [threading.Thread(target=lambda a=a: answers.append(node.call(a, "lua", timeout=LIMIT))) for a in senders]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [each] * writers
    node.run_until_idle()
    for reader_address in addresses:
        assert node.call(reader_address, "lua", "last") == dict.fromkeys(senders, each)
    return addresses + senders, writers * readers * each


def test_what_one_service_sends_another_arrives_once_and_in_order() -> None:
    """Nothing is lost, doubled or overtaken, however often threads change places."""
    with node_of(4) as node, hurried():
        load(node)
        assert not [line for line in node.log_lines if "error" in line and "May overload" not in line]


class Watched:
    """Asserts that a lock is held at each change."""

    lock: Any = None
    missed: list[str] = []

    def held(self, what: str) -> None:
        if self.lock is not None and not self.lock._is_owned():
            Watched.missed.append(f"{what} in {threading.current_thread().name}")


def test_every_change_of_what_is_shared_is_made_under_its_lock() -> None:
    """Safety does not rest on the interpreter's own lock: mailboxes, handles, names and timers have one."""

    class Mailbox(MessageQueue, Watched):
        def append(self, message: Any) -> None:
            self.held("mailbox.append")
            super().append(message)

        def popleft(self) -> Any:
            self.held("mailbox.popleft")
            return super().popleft()

        def clear(self) -> None:
            self.held("mailbox.clear")
            super().clear()

    class Handles(HandleStorage, Watched):
        def register(self, ctx: Context) -> int:
            self.held("handles.register")
            ctx.mailbox = Mailbox(ctx.mailbox.global_queue)
            ctx.mailbox.lock = self.lock
            return super().register(ctx)

        def retire(self, handle: int) -> Context | None:
            self.held("handles.retire")
            return super().retire(handle)

        def name(self, name: str, handle: int) -> None:
            self.held("handles.name")
            super().name(name, handle)

    class Clockwork(Timer, Watched):
        def add(self, deadline: int, handle: int, session: int) -> None:
            self.held("timer.add")
            super().add(deadline, handle, session)

        def expire(self, now: int) -> Iterator[tuple[int, int, int]]:
            self.held("timer.expire")
            return super().expire(now)

    def sleeper(*to: int) -> None:
        skynet.name(f".sleeper{skynet.self()}", skynet.self())
        for n in range(30):
            skynet.sleep(n % 3)
        skynet.timeout(5, skynet.exit)

    Watched.missed.clear()
    with node_of(4) as node:
        server = node.server
        server.handles = node.handles = Handles()
        server.contexts, server.handles.lock = server.handles.contexts, server.lock
        server.timer = Clockwork()
        server.timer.lock = server.lock
        for _ in range(8):
            node.newservice(sleeper)
        load(node, 3, 3, 50)
        node.run(timeout=LIMIT)
        assert not [c for c in node.handles.contexts.values() if c.name == "sleeper"]
    assert Watched.missed == []


def test_whatever_services_call_on_the_socket_server_takes_its_lock() -> None:
    """A method that is new in SocketServer must not be forgotten in SharedSocketServer."""
    unlocked = {"poll", "id_of", "flushing", "active"}  # poll locks by itself; id_of is asked by a recording of one
    names = {n for cls in SocketServer.__mro__ for n, f in vars(cls).items() if callable(f) and n[0] != "_"}
    assert names - unlocked == {n for n in vars(SharedSocketServer) if n[0] != "_"} - {"poll"}


HOME = Path(skynet_lite.__file__).parent
INSIDE = ("skynet", "lualib", "service", "contrib")  # rooms whose code services run


def called(what: str) -> set[str]:
    """The methods that the code of services calls on `server.` or `node.`."""
    files = [f for room in INSIDE for f in (HOME / room).glob("*.py")]
    return {name for f in files for name in re.findall(rf"\b{what}\.(\w+)\(", f.read_text())}


def test_whatever_services_call_on_their_server_takes_its_lock() -> None:
    """A method of the server that is new in a library is guarded, or is one of those that share nothing."""
    only_read = {"resolve", "cpu_time"}
    own_mailbox = {"set_callback", "handled"}
    guarded = {name for name in dir(Server) if getattr(getattr(Server, name), "guarded", False)}
    on_sockets = {n for n in vars(SharedSocketServer) if n[0] != "_"}  # gateserver calls the socket server a server
    assert called("server") - guarded - on_sockets == only_read | own_mailbox
    assert all(hasattr(vars(SharedServer)[name], "__wrapped__") for name in guarded)
    own_tree = {"get", "pop", "setdefault"}  # datacenterd calls a branch of its tree a node
    stand_still = {"look", "signal", "waits", "verdicts", "attach", "service_name", "births"}
    assert called("node") - own_tree == stand_still | {"places", "newservice"}  # names for places; a text of an error


def test_nobody_calls_a_method_under_the_lock_with_keywords() -> None:
    """The lock passes none on (core/locks.py); with one thread such a call would work all the same."""
    methods = {n: getattr(cls, n) for cls in (Server, SocketServer) for n in dir(cls)}
    known = {n: inspect.signature(f).parameters for n, f in methods.items() if getattr(f, "guarded", False)}
    found = [
        f"{f.name}:{call.lineno}"
        for f in HOME.rglob("*.py")
        for call in ast.walk(ast.parse(f.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if {key.arg for key in call.keywords} & set(known.get(call.func.attr, ()))
    ]
    assert found == []


def variables(f: Path) -> set[str]:
    """What a module binds to values of its own, but for types and constants."""
    found = set()
    for node in ast.parse(f.read_text()).body:
        own = isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(
            node.value, (ast.Call, ast.Constant, ast.Dict, ast.List, ast.Set)
        )
        for target in [] if not own else node.targets if isinstance(node, ast.Assign) else [node.target]:
            found |= {f"{f.stem}.{name}" for name in re.findall(r"^_?[a-z]\w*$", ast.unparse(target))}
    return found


def test_modules_share_no_more_than_the_design_says() -> None:
    """A variable of a module is seen by all services of all nodes; docs/design.md says why each is safe."""
    own = ("check", "service", "examples")  # services have their variables each for itself
    found = set().union(*(variables(f) for f in HOME.rglob("*.py") if f.relative_to(HOME).parts[0] not in own))
    made = {
        name
        for name in found
        if name.split(".")[1] in ("_ask", "_cache", "_deadlines", "_extern", "_links", "_resolver", "_subscribed")
    }
    room = {"stream": "contrib", "dns": "contrib"}
    for module, name in (n.split(".") for n in made):
        assert callable(getattr(import_module(f"skynet_lite.{room.get(module, 'lualib')}.{module}"), name))
    assert found - made == {  # those are functions, made by lualib/library.py; what they keep is in `libs`
        "codec._builtin", "lab._left", "language._current", "language._meanwhile", "loader._one_at_a_time", "loader._spec",
        "memory._collected", "places._whose", "profile._clocks", "recording._listened", "recording._lock", "scheduler.undispatched",
    }  # fmt: skip


def test_the_same_program_makes_the_same_trace_of_each_service() -> None:
    """Workers may overlap, so the whole is not always the same. What one service did is."""

    def once() -> dict[str, list[str]]:
        with node_of(4) as node:
            with node.record() as trace:
                a = node.newservice(where)
                b = node.newservice(echo)
                c = node.newservice(relay, a, b)
                assert node.call(c, "lua", 3) == [a % 4, a % 4, a % 4, "x"]
                node.run_until_idle()
        kept = ("message", "resume", "yield", "co_create", "send")
        return {
            name: [line.split(" ", 1)[1] for e, line in zip(trace.events, trace.text().splitlines(), strict=True) if e.get("service") == f":{h:08x}" and e["e"] in kept]
            for name, h in (("a", a), ("b", b), ("c", c))
        }  # fmt: skip

    first = once()
    assert all(len(lines) > 5 for lines in first.values())
    strip = [[line.lstrip("0123456789 ") for line in lines] for lines in first.values()]
    for _ in range(5):
        assert [[line.lstrip("0123456789 ") for line in lines] for lines in once().values()] == strip


def relay(a: int, b: int) -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, times: int) -> None:
        skynet.retpack([skynet.call(a, "lua") for _ in range(times)] + [skynet.call(b, "lua", "x")])


# ---- looking at a node that runs


def test_the_tables_that_a_trace_rebuilds_are_those_of_the_node() -> None:
    """To look, all workers stand still between two messages; the recording is in step with them at each look."""
    with node_of(4) as node, hurried():
        node.run_until_idle()
        with node.record() as trace:
            thread = threading.Thread(target=load, args=(node, 4, 4, 60))
            thread.start()
            looks: list[tuple[int, Any]] = []
            while thread.is_alive() and len(looks) < 30:
                with node.driver.still():
                    if len(trace) > (looks[-1][0] if looks else 0):
                        looks.append((len(trace), node.tables()))
            thread.join()
            for events, tables in [(e, t) for e, t in looks if e]:
                assert trace.state(events - 1) == tables
            assert looks
            node.run_until_idle()
            assert trace.state(len(trace) - 1) == node.tables()
        assert trace.state(0)["workers"][":00000001"] == 1
        for service in {e["service"] for e in trace.events if e["e"] == "message"}:
            causes = [e["cause"] for e in trace.events if e.get("service") == service and e["e"] == "message"]
            assert causes == sorted(causes)  # messages are taken in the order in which they were pushed
        sends = [e for e in trace.events if e["e"] == "push" and e["by"] == "send"]
        assert all(trace.events[e["cause"]]["e"] == "send" for e in sends)


def test_a_trace_tells_the_worker_and_is_kept_but_not_replayed(tmp_path: Any) -> None:
    """`birth` names it, the tables list it; a replay would have to know which worker was faster."""
    with node_of(2, record=True) as node:
        node.newservice(echo)
        node.run_until_idle()
        trace = node.trace
    trace.save(tmp_path / "run.json")
    again = Trace.load(tmp_path / "run.json")
    assert again.events == list(trace.events)
    assert again.state(len(again) - 1)["workers"] == trace.state(len(trace) - 1)["workers"]
    assert "birth     snlua echo on worker 0" in trace.text()
    with pytest.raises(SkynetError, match=r"several workers.*thread=1"):
        Node.replay(trace, echo)


def test_with_one_worker_a_trace_knows_no_workers() -> None:
    """The column for workers is there only where it tells something."""
    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(echo)
    assert "worker" not in trace.text() and "workers" not in trace.state(len(trace) - 1)
    assert node.monitor is None


# ---- a handler that does not come back


def spin() -> None:
    """Loops for ever when it is told to, by Python code."""

    @skynet.dispatch("lua")
    def handle(session: int, source: int, what: str = "") -> None:
        n = 0
        while what == "loop":
            n += 1  # this line is the one
        skynet.retpack("well")


LINE = spin.__code__.co_firstlineno + 7


def started(node: Node, address: int, *args: Any, seen: Callable[[], Any] | None = None) -> list[Any]:
    """Send a call that will not be answered soon, from a thread of its own; its outcome comes into the list.

    Returns when the worker is in that message, or when `seen()`.
    """
    outcome: list[Any] = []

    def ask() -> None:
        try:
            outcome.append(node.call(address, "lua", *args, timeout=LIMIT))
        except SkynetError as e:
            outcome.append(e)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    worker = node.worker(address)

    def in_it() -> bool:
        with node.server.lock:  # the message before, its start, may not be over
            message = worker.monitor.message
            return worker.monitor.destination == address and message is not None and message[0] == PTYPE_LUA

    until(seen or in_it)
    return outcome


def test_an_endless_loop_stops_its_own_worker_only_and_the_monitor_names_the_line() -> None:
    """skynet's line, then ours: which service, since when, which message, where. A signal breaks it off."""
    with node_of(4) as node:
        bad, good = node.newservice(spin), node.newservice(echo)
        assert bad % 4 != good % 4
        assert node.monitor is not None
        outcome = started(node, bad, "loop")
        node.monitor.check()  # remembers what each worker is in
        assert node.call(good, "lua", "others", timeout=LIMIT) == "others"
        (report,) = node.monitor.check()
        assert (report.service, report.name, report.worker, report.source) == (bad, "spin", bad % 4, 0)
        assert report.place in (f"spin:{LINE}", f"spin:{LINE - 1}") and report.function == "handle"
        node.call(good, "lua", timeout=LIMIT)
        until(lambda: len([line for line in node.log_lines if "spin (" in line]) == 1)
        first, second = [line for line in node.log_lines if "endless loop" in line or "spin (" in line]
        assert first.startswith(
            f"[:00000000] error: A message from [ :00000000 ] to [ :{bad:08x} ] maybe in an endless"
        )
        assert f"service spin (:{bad:08x}) on worker {bad % 4}, since 0 s, message lua session" in second
        assert second.endswith("in handle") and " at spin:" in second
        assert node.handles.contexts[bad].endless
        assert node.signal(bad, 0)
        until(lambda: outcome)
        assert isinstance(outcome[0], CallError)
        assert node.call(bad, "lua", "") == "well"  # the service lives
        assert node.signal(bad, 0) is False  # nothing to break off
        node.run_until_idle()
        assert node.monitor.check() == [] and node.monitor.check() == []
        log = "\n".join(node.log_lines)
        assert "recv a signal 0" in log and "SignalError: signal 0" in log
        assert f"  spin:{LINE} in handle" in log or f"  spin:{LINE - 1} in handle" in log


def test_code_in_c_that_lets_go_of_the_interpreter_stops_its_own_worker_only() -> None:
    """A blocking read, here of a pipe: others go on, and the line is known."""
    r, w = os.pipe()

    def reads() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.retpack(os.read(r, 1))

    with node_of(4) as node:
        bad, good = node.newservice(reads), node.newservice(echo)
        outcome = started(node, bad)
        assert node.monitor is not None
        node.monitor.check()
        assert node.call(good, "lua", 1, timeout=LIMIT) == 1
        (report,) = node.monitor.check()
        assert report.place == f"reads:{reads.__code__.co_firstlineno + 3}"
        os.write(w, b"x")
        until(lambda: outcome)
        assert outcome == [b"x"]
    os.close(r)
    os.close(w)


def test_looking_does_not_wait_for_ever_for_a_handler_that_loops() -> None:
    """After `patience` it is taken as it is, and the log says so; once for each message."""
    with node_of(4) as node:
        node.patience = 0.1
        bad = node.newservice(spin)
        outcome = started(node, bad, "loop")
        before = time.monotonic()
        tables = [node.tables(), node.tables(), node.tables()]
        assert time.monotonic() - before < 2
        assert list(tables[0]["services"][f":{bad:08x}"]["session_coroutine_id"]) == ["co1"]
        assert node.waits() is not None
        with node.record() as trace:
            node.newservice(echo)
        assert len(trace) > 10
        assert node.signal(bad)
        until(lambda: outcome)
        node.run_until_idle()
        stays = [line for line in node.log_lines if "looked at as it is" in line and f":{bad:08x}" in line]
        assert stays == [f"[:00000000] worker {bad % 4} stays in a message of :{bad:08x}: looked at as it is"]


def test_close_ends_a_handler_that_loops_even_one_that_catches_everything() -> None:
    """What is raised in it is no Exception. `finally` blocks run; the threads end."""
    ran: list[str] = []

    def stubborn() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            try:
                while True:
                    try:
                        len(ran)
                    except Exception:
                        ran.append("caught")
            finally:
                ran.append("finally")

    before = threading.active_count()
    node = node_of(4)
    node.patience = 0.1
    bad = node.newservice(stubborn)
    outcome = started(node, bad)
    node.close()
    until(lambda: outcome)
    assert isinstance(outcome[0], SkynetError)
    assert ran == ["finally"]
    until(lambda: threading.active_count() == before)


def test_close_leaves_a_thread_that_stays_in_c() -> None:
    """Nothing can end it; the log names it, everything else is closed."""
    r, w = os.pipe()

    def reads() -> None:
        skynet.dispatch("lua", lambda session, source: os.read(r, 1))

    node = node_of(4)
    node.patience = 0.1
    bad = node.newservice(reads)
    started(node, bad)
    node.close()
    stuck = node.worker(bad)
    assert stuck.is_alive() and [w.is_alive() for w in node.driver.threads].count(True) == 1
    assert node.log_lines[-1] == (
        f"[:00000000] worker {bad % 4} does not come back from a message of :{bad:08x}: its thread is left"
    )
    os.write(w, b"x")
    stuck.join(LIMIT)
    assert not stuck.is_alive()
    os.close(r)
    os.close(w)


def test_an_exit_in_a_handler_is_logged_and_the_node_lives() -> None:
    """SystemExit costs its message, as any other error, and is logged once."""

    def leaves() -> None:
        skynet.dispatch("lua", lambda session, source: sys.exit("enough"))

    with node_of(2) as node:
        address = node.newservice(leaves)
        with pytest.raises(CallError):
            node.call(address, "lua", timeout=LIMIT)
        node.run_until_idle()
        assert [line.count("SystemExit: enough") for line in node.log_lines if "SystemExit" in line] == [1]
        assert node.call(node.newservice(echo), "lua", 1) == 1


def test_overload_and_memory_are_told() -> None:
    """A mailbox of more than 1024 messages; a process that has grown past the threshold, then at each doubling."""

    def slow() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, n: int) -> None:
            if n == 0:
                inside.set()
                gate.wait(LIMIT)

    def flood(to: int) -> None:
        skynet.send(to, "lua", 0)
        inside.wait(LIMIT)
        for n in range(1, OVERLOAD + 3):
            skynet.send(to, "lua", n)

    inside, gate = threading.Event(), threading.Event()
    with node_of(4, memory=100) as node:
        to = node.newservice(slow)
        node.newservice(flood, to)
        gate.set()
        node.run_until_idle()
        assert f"[:{to:08x}] error: May overload, message queue length = {OVERLOAD + 1}" in node.log_lines
        assert node.monitor is not None
        assert [node.monitor.check_memory(mib) for mib in (99, 101, 150, 201, 900, 900)] == [
            False, True, False, True, True, False,
        ]  # fmt: skip
        node.run_until_idle()
        assert "[:00000000] Memory warning 201.00 M (of the process: services share one heap)" in node.log_lines


# ---- ends


def test_a_service_that_another_worker_kills_ends_on_its_own_after_its_message() -> None:
    """Its coroutines are closed there, in the order of their creation."""
    notes: list[tuple[str, Any]] = []

    def victim() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, n: int) -> None:
            try:
                if n == 3:
                    inside.set()
                    go_on.wait(LIMIT)
                    notes.append(("end of the message", threading.current_thread()))
                skynet.wait()
            finally:
                notes.append((f"finally {n}", threading.current_thread()))

    def killer(address: int) -> None:
        inside.wait(LIMIT)
        skynet.kill(address)
        skynet.error("killed")

    inside, go_on = threading.Event(), threading.Event()
    with node_of(4) as node:
        address = node.newservice(victim)
        node.newservice(echo)
        worker = node.worker(address)
        outcomes = [started(node, address, 1, seen=lambda: len(node.service(address).sleep_session) == 1)]
        outcomes.append(started(node, address, 3, seen=inside.is_set))
        k = node.newservice(killer, address)
        assert node.worker(k) is not worker
        assert address not in node.handles.contexts and notes == []
        go_on.set()
        node.run_until_idle()
        assert notes == [("end of the message", worker), ("finally 1", worker), ("finally 3", worker)]
        assert outcomes == [[], []]  # killed, it could not say to anybody that it goes: as in skynet
    until(lambda: all(outcomes))
    assert all(isinstance(e[0], SkynetError) for e in outcomes)  # the end of the node said it


def test_the_end_of_a_node_leaves_nothing_behind() -> None:
    """Threads, descriptors; coroutines ended by their own worker, with their `finally` blocks."""
    notes: list[Any] = []

    def waits() -> None:
        def run() -> None:
            try:
                skynet.wait()
            finally:
                notes.append(threading.current_thread())

        skynet.fork(run)

    def count() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    before = count()
    for _ in range(10):
        with node_of(4, clock="real") as node:
            addresses = [node.newservice(waits) for _ in range(5)]
            node.run_until_idle()
            workers = [node.worker(a) for a in addresses]
        assert sorted(map(id, notes)) == sorted(map(id, workers))
        notes.clear()
    node.close()  # again: nothing
    assert count() == before
    with pytest.raises(SkynetError, match="closed"):
        node.call(1, "lua")


def test_abort_ends_all_services() -> None:
    """Also those of other workers; the logger alone stays."""
    with node_of(4) as node:

        def aborts() -> None:
            skynet.timeout(5, skynet.abort)

        node.newservice(echo)
        node.newservice(aborts)
        node.run(until=lambda: False, timeout=LIMIT)
        assert list(node.handles.contexts) == [1]


# ---- driving


def test_virtual_time_jumps_only_when_everything_is_at_rest() -> None:
    """Sleeps on four workers add up to one clock; run_until_idle does not move it."""
    ticks: dict[int, list[int]] = {}

    def sleeper(step: int) -> None:
        me = skynet.self()
        ticks[me] = []

        def run() -> None:
            for _ in range(10):
                skynet.sleep(step)
                ticks[me].append(skynet.now())

        skynet.fork(run)

    with node_of(4) as node:
        addresses = {step: node.newservice(sleeper, step) for step in (1, 3, 7, 20, 21)}
        node.run_until_idle()
        assert node.clock.now() == 0 and all(not t for t in ticks.values())
        node.advance(7)
        assert node.clock.now() == 7
        assert ticks[addresses[1]] == [1, 2, 3, 4, 5, 6, 7] and ticks[addresses[7]] == [7]
        node.run(timeout=LIMIT)
        for step, address in addresses.items():
            assert ticks[address] == [step * n for n in range(1, 11)]
        assert node.clock.now() == 210


def test_who_waits_outside_leaves_the_interpreter_to_the_workers() -> None:
    """It is told when something has come, or all stand; else it asks again now and then, not after every message."""
    calls, asked, over = 3000, [0], threading.Event()

    def caller(to: int) -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            for n in range(calls):
                skynet.call(to, "lua", n)
            skynet.timeout(20, over.set)  # then there is nothing to do, for a while

    def until_over() -> bool:
        asked[0] += 1
        return over.is_set()

    with node_of(3, clock="real") as node:
        to = node.newservice(echo)
        address = node.newservice(caller, to)
        assert node.worker(to) is not node.worker(address)
        node.server.call(address, PTYPE_LUA, ())
        node.run(until=until_over, timeout=LIMIT)
        assert 0 < asked[0] < calls // 4, asked


def test_what_has_no_meaning_with_several_workers_says_what_does() -> None:
    """`step`; driving from inside a service; waiting for what cannot come."""

    def inside(address: int) -> None:
        try:
            node.call(address, "lua")
        except SkynetError as e:
            skynet.error(f"refused: {e}")

    with node_of(2) as node:
        with pytest.raises(SkynetError, match="run_until_idle"):
            node.step()
        address = node.newservice(echo)
        node.newservice(inside, address)
        node.run_until_idle()
        assert any("refused: inside a service use skynet.call" in line for line in node.log_lines)
        with pytest.raises(SkynetError, match="cannot come"):
            node.run(until=lambda: False)


def test_stop_holds_all_threads_and_driving_lets_them_go_on() -> None:
    """Under the real clock: nothing happens after `stop`, until somebody drives again."""
    beats: list[int] = []

    def clockwork() -> None:
        def beat() -> None:
            beats.append(skynet.now())
            skynet.timeout(1, beat)

        skynet.timeout(1, beat)

    with node_of(2, clock="real") as node:
        node.newservice(clockwork)
        node.run(until=lambda: len(beats) > 2, timeout=LIMIT)
        node.stop()
        with node.driver.still():
            n = len(beats)
        time.sleep(0.05)
        assert len(beats) == n
        node.run(until=lambda: len(beats) > n + 2, timeout=LIMIT)


def test_a_service_that_stops_the_node_does_not_stop_who_waits_for_it() -> None:
    """Whoever waits for an answer drives, so the node goes on until it has come, as with one worker."""
    with node_of(2, clock="real") as node:

        def stops() -> None:
            node.stop()
            skynet.sleep(1)
            skynet.dispatch("lua", lambda session, source: (node.stop(), skynet.sleep(1), skynet.retpack("done")))

        assert node.call(node.newservice(stops), "lua", timeout=LIMIT) == "done"


def test_a_served_node_goes_on_by_itself() -> None:
    """Under the virtual clock, too: a call is answered, and time passes for those who sleep."""
    with node_of(2) as node:
        node.serve()
        with pytest.raises(SkynetError, match="being served already"):
            node.serve()
        address = node.newservice(where)
        assert node.call(address, "lua", timeout=LIMIT) == address % 2
        done: list[int] = []

        def later() -> None:
            skynet.timeout(500, lambda: done.append(skynet.now()))

        node.newservice(later)
        until(lambda: done)
        assert done == [503]  # `where` has slept for three
        node.stop()


# ---- sockets


@pytest.mark.parametrize("poller", ["", "selectors"])
def test_sockets_of_many_services_on_one_socket_thread(poller: str) -> None:
    """Connections are handed over to services on other workers; every byte comes back to its client, in order."""

    def agent(id: int) -> None:
        socket.start(id)

        def serve() -> None:
            while (line := socket.readline(id)) is not None:
                socket.write(id, line + b"\n")
            socket.close(id)
            skynet.exit()

        skynet.fork(serve)

    def listener() -> None:
        def accept(id: int, peer: str) -> None:
            skynet.newservice(agent, id)

        id = socket.listen("127.0.0.1", 0)
        socket.start(id, accept)
        ports.append(socket.sockname(id)[1])

    ports: list[int] = []
    with node_of(4, poller=poller) as node, hurried():
        node.newservice(listener)
        clients = [node.client(ports[0], timeout=LIMIT) for _ in range(8)]
        for n in range(20):
            for k, client in enumerate(clients):
                client.send(b"%d of %d\n" % (n, k))
            for k, client in enumerate(clients):
                assert client.recv_line() == b"%d of %d" % (n, k)
        big = os.urandom(300_000).replace(b"\n", b" ") + b"\n"
        clients[0].send(big)
        clients[0].expect(big)
        for client in clients:
            client.close()
        node.run_until_idle()
        assert [s for s, _ in node.socket_server.table().values()] == ["listen"]
        assert not [c for c in node.handles.contexts.values() if c.name == "agent"]


@pytest.mark.parametrize("thread", [2, 4, 7])
def test_a_mixed_load_is_accounted_for(thread: int) -> None:
    """Calls, numbered sends, sockets, timers, births and ends, errors; nothing lost, doubled or overtaken.

    Counted by rounds, not by time; `python tests/bench/stress.py --seconds 60` is the long one.
    """
    with hurried():
        counts = stress(thread, rounds=25)
    assert counts["sent"] == counts["notes"] == 4 * 4 * 25
    assert counts["connections"] == 3 * 25 and counts["born"] == 2 * 25
    assert counts["timers fired"] == 2 * 25 * 10


def test_run_forever_in_the_foreground_ends_by_a_signal_of_the_system() -> None:
    """SIGTERM comes to the main thread, which only waits; the workers stand still afterwards."""
    with node_of(2, clock="real") as node:
        node.newservice(lambda: skynet.timeout(2, lambda: os.kill(os.getpid(), signal.SIGTERM)))
        node.run_forever()
        assert node.driver.held()
        assert node.call(node.newservice(echo), "lua", 1) == 1  # and go on when somebody drives


def test_with_one_worker_a_signal_is_only_told() -> None:
    """Whoever could send it waits for the same handler."""
    with Node(clock="virtual", log=list) as node:
        address = node.newservice(echo)
        assert node.signal(address, 0) is False
        assert node.signal(address, 1) is False
        node.run_until_idle()
        assert f"[:{address:08x}] recv a signal 0" in node.log_lines
        assert node.log_lines[-1].startswith(f"[:{address:08x}] Current Memory ")
        with pytest.raises(SkynetError):
            node.signal(99)
