"""The libraries on four workers: what services do together must not depend on who is on which worker.

Most tests run with threads that change places as often as they can, and say what holds all the
same. Console, redis and HTTP run on four workers in test_debug_console.py, test_socketchannel.py
and test_contrib_http.py.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console import token_of
from contrib_harness import Listening
from test_contrib_tls import pem as pem, server as server, trusting as trusting
from test_examples import Example, Player
from test_snax import COUNTER
from test_threads import LIMIT, echo, hurried, node_of, spin, started, until

from skynet_lite import (
    CallError,
    Node,
    SkynetError,
    datacenter,
    debug,
    multicast,
    service,
    sharedata,
    sharetable,
    skynet,
    snax,
)
from skynet_lite.contrib import dns, httpc, httpd, websocket
from skynet_lite.core.message import PTYPE_CLIENT
from skynet_lite.node.client import Client


def on(node: Node, worker: int, what: Callable[..., Any] | str, *args: Any) -> int:
    """Start a service on the worker of this number: handles follow each other."""
    while next_handle(node) % node.config.thread != worker:
        node.newservice(nothing)
    handle = node.newservice(what, *args)
    assert node.worker(handle).number == worker
    return handle


def next_handle(node: Node) -> int:
    """What the next service will get: the first number whose place in the table is free; a full table doubles."""
    first, size = node.handles.next_handle, len(node.handles._slots)
    while True:
        taken = {h % size for h in node.handles.contexts}
        free = [h for h in range(first, first + size) if h % size not in taken]
        if free:
            return free[0]
        size *= 2


def nothing() -> None:
    pass


def spread(node: Node, what: Callable[..., Any], *args: Any, each: int = 1) -> list[int]:
    """The same service on every worker, so many times."""
    return [on(node, n % node.config.thread, what, *args) for n in range(each * node.config.thread)]


def asked(node: Node, addresses: list[int], *args: Any) -> list[Any]:
    """Call all of them at the same time, each from a thread of its own."""
    answers: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda a=a: answers.update({a: node.call(a, "lua", *args, timeout=LIMIT)}))
        for a in addresses
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers.get(a) for a in addresses]


def told(node: Node, *words: str) -> list[str]:
    node.run_until_idle()
    return [line for line in node.log_lines if any(word in line for word in words)]


# ---- calls, and who is ended while he waits


def test_many_calls_at_once_to_all_workers_and_some_given_up() -> None:
    """skynet.select: all answers come; those of an abandoned request are thrown away, and leave nothing."""

    def asks(to: list[int]) -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, rounds: int) -> None:
            whole = 0
            for n in range(rounds):
                answers = [answer for _, answer in skynet.select(*[(a, "lua", n) for a in to])]
                whole += answers == [n] * len(to)
                for _ in skynet.select(*[(a, "lua", n) for a in to], timeout=5):
                    break  # the rest is on its way still
            skynet.retpack(whole)

    with node_of(4) as node, hurried():
        to = spread(node, echo)
        askers = spread(node, asks, to)
        assert asked(node, askers, 20) == [20] * 4
        node.run(timeout=LIMIT)
        assert [node.service(a).session_id_coroutine for a in askers] == [{}] * 4
        assert told(node, "rror", "unknown") == []


def test_who_is_killed_while_timers_fire_and_messages_come() -> None:
    """killthread looks for what may still come in the mailbox and among the timers, which others change meanwhile."""

    def kills() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, rounds: int) -> None:
            for n in range(rounds):
                victims = [skynet.fork(skynet.sleep, n % 3 + 1) for _ in range(3)]
                skynet.yield_()
                assert [skynet.killthread(v) for v in victims] == victims
            skynet.retpack(skynet.task())

    def floods(to: list[int]) -> None:
        def beat() -> None:
            for address in to:
                skynet.send(address, "debug", "PING")
            skynet.timeout(1, beat)

        skynet.fork(beat)

    with node_of(4) as node, hurried():
        killers = spread(node, kills)
        spread(node, floods, killers)
        assert asked(node, killers, 40) == [0] * 4
        assert not [line for line in node.log_lines if "rror" in line]


def test_a_tag_is_followed_through_all_workers() -> None:
    """skynet.trace: each service tells its part in order, and each part names the tag of the one who asked."""

    def relay(*to: int) -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, tag: bool = False) -> None:
            if tag:
                skynet.trace()
            for address in to:
                skynet.call(address, "lua")
            skynet.retpack()

    with node_of(4) as node, hurried():
        last = on(node, 3, relay)
        middle = on(node, 2, relay, last)
        first = on(node, 0, relay, middle)
        for _ in range(5):
            node.call(first, "lua", True, timeout=LIMIT)
        lines = told(node, "<TRACE")
        for n in range(1, 6):
            tag = f"<TRACE :{first:08x}-{n}>"
            mine = [line for line in lines if tag in line]
            parts = {
                a: [line.split(" : ")[0].rsplit(" ", 1)[1] for line in mine if line.startswith(f"[:{a:08x}]")]
                for a in (first, middle, last)
            }
            assert parts == {
                first: ["trace", "call", "resume", "response", "end"],
                middle: ["request", "call", "resume", "response", "end"],
                last: ["request", "response", "end"],
            }


# ---- one for all


def test_all_workers_ask_for_the_one_service_at_the_same_time() -> None:
    """uniqueservice, service.new, queryservice, datacenter.wait: one is made, everybody gets the same."""

    def main(word: str) -> None:
        skynet.sleep(3)
        skynet.dispatch("lua", lambda session, source: skynet.retpack(word, skynet.self()))

    def asks() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str) -> None:
            if what == "new":
                found: Any = service.new("the-one", main, "made")
            elif what == "unique":
                found = skynet.uniqueservice("multicastd")
            elif what == "wait":
                found = datacenter.wait("a", "b")
            else:
                found = skynet.queryservice("sharedatad")
            skynet.retpack(found)

    with node_of(4) as node, hurried():
        askers = spread(node, asks, each=2)
        for what, name in (("new", "service_cell"), ("unique", "multicastd")):
            (handle,) = set(asked(node, askers, what))
            assert [h for h, c in node.handles.contexts.items() if c.name == name] == [handle]
        made = asked(node, askers, "new")[0]
        assert node.call(made, "lua") == ("made", made)

        outcomes = [started(node, a, "wait", seen=lambda a=a: node.service(a).session_id_coroutine) for a in askers]
        outcomes += [
            started(node, a, "query", seen=lambda a=a: len(node.service(a).session_id_coroutine) > 1) for a in askers
        ]

        def gives() -> None:
            datacenter.set("a", "b", [1, 2])
            skynet.uniqueservice("sharedatad")

        node.newservice(gives)
        until(lambda: all(outcomes))
        (data,) = (h for h, c in node.handles.contexts.items() if c.name == "sharedatad")
        assert outcomes == [[[1, 2]]] * 8 + [[data]] * 8


def test_every_exit_is_told_to_the_monitor() -> None:
    """skynet.monitor: services end on all workers, by themselves and killed; each is told once."""
    told_of: list[int] = []

    def watcher() -> None:
        skynet.register_protocol(
            name="client", id=PTYPE_CLIENT, unpack=lambda payload: (), dispatch=lambda s, source: told_of.append(source)
        )

    def short() -> None:
        skynet.timeout(1, skynet.exit)

    def kills(to: list[int]) -> None:
        skynet.monitor(name)
        for address in to:
            skynet.kill(address)

    with node_of(4) as node, hurried():
        name = node.service_name(watcher)
        victims = spread(node, echo, each=3)
        node.newservice(kills, victims)
        ended = spread(node, short, each=3)
        node.run(timeout=LIMIT)
        assert [h for h in told_of if h in victims] == victims  # one after the other, as they were killed
        assert sorted(h for h in told_of if h in ended) == sorted(ended)


# ---- what many read


def test_what_is_published_reaches_all_workers_in_order() -> None:
    """multicast: each subscriber hears each publisher's messages once and in order."""
    heard: dict[int, list[tuple[int, int]]] = {}

    def subscribes(channel: int) -> None:
        mine = heard[skynet.self()] = []
        multicast.new(channel, lambda c, source, n: mine.append((source, n))).subscribe()

    def publishes(channel: int) -> None:
        c = multicast.new(channel)

        @skynet.dispatch("lua")
        def handle(session: int, source: int, count: int) -> None:
            for n in range(count):
                c.publish(n)
            skynet.retpack()

    def makes() -> None:
        channels.append(multicast.new().channel)

    channels: list[Any] = []
    with node_of(4) as node, hurried():
        node.newservice(makes)
        spread(node, subscribes, channels[0], each=2)
        publishers = spread(node, publishes, channels[0])
        asked(node, publishers, 25)
        node.run_until_idle()
        assert len(heard) == 8
        for mine in heard.values():
            assert sorted(mine) == sorted((p, n) for p in publishers for n in range(25))
            for p in publishers:
                assert [n for source, n in mine if source == p] == list(range(25))


def test_shared_tables_change_as_a_whole_and_only_while_a_service_waits() -> None:
    """sharedata and sharetable: readers on all workers see one version or another, never half of one."""

    def reads() -> None:
        view, table = sharedata.query("pair"), sharetable.query("pair")

        def same() -> int:
            before = view["a"]
            for _ in range(200):  # others run meanwhile, also the one that updates
                assert view["a"] == view["b"][0] == before
            return int(before)

        @skynet.dispatch("lua")
        def handle(session: int, source: int, rounds: int) -> None:
            seen, old = [same()], table["a"]
            for _ in range(rounds):
                skynet.sleep(1)
                seen.append(same())
                assert table["a"] == table["b"][0] == old  # until this service says so
            assert seen == sorted(seen)
            while view["a"] != rounds:
                skynet.sleep(1)
            sharetable.update("pair")
            skynet.retpack(table["a"], view["b"][0])

    def writes() -> None:
        sharedata.new("pair", {"a": 0, "b": [0]})
        sharetable.loadtable("pair", {"a": 0, "b": [0]})

        @skynet.dispatch("lua")
        def handle(session: int, source: int, rounds: int) -> None:
            for n in range(1, rounds + 1):
                sharetable.loadtable("pair", {"a": n, "b": [n]})
                sharedata.update("pair", {"a": n, "b": [n]})
                skynet.sleep(1)
            skynet.retpack(rounds, rounds)

    with node_of(4) as node, hurried():
        writer = node.newservice(writes)
        assert asked(node, [*spread(node, reads), writer], 15) == [(15, 15)] * 5
        assert told(node, "rror") == []


def test_a_snax_service_is_mended_while_all_workers_post_to_it(tmp_path: Path) -> None:
    """hotfix: no post is lost, none is handled by half of the new code; the state is kept."""
    (tmp_path / "counter.py").write_text(COUNTER)
    fix = "def step(n):\n    return n * 100\n\ndef hotfix():\n    return total"

    def posts(handle: int) -> None:
        counter = snax.bind(handle, "counter")

        @skynet.dispatch("lua")
        def handle_(session: int, source: int, count: int) -> None:
            for _ in range(count):
                counter.post.add(1)
            counter.req.get()  # so all have been handled
            skynet.retpack()

    def makes() -> None:
        counters.append(snax.newservice("counter").handle)

        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str) -> None:
            counter = snax.bind(counters[0], "counter")
            skynet.retpack(snax.hotfix(counter, fix) if what == "fix" else counter.req.get())

    counters: list[int] = []
    with node_of(4, snax=str(tmp_path / "?.py")) as node, hurried():
        maker = node.newservice(makes)
        posters = spread(node, posts, counters[0])
        outcomes = [started(node, p, 50, seen=lambda: True) for p in posters]
        before = node.call(maker, "lua", "fix", timeout=LIMIT)
        until(lambda: all(outcomes))
        assert outcomes == [[None]] * 4
        assert node.call(maker, "lua", "get") == before + (200 - before) * 100
        assert told(node, "rror") == []


# ---- a service that does not come back, and a console beside it


class Console:
    """A debug console under the real clock, where a service may be in an endless loop: nothing becomes idle then."""

    def __init__(self, node: Node) -> None:
        self.address = on(node, 0, "debug_console", 0)  # .launcher is on worker 3, the log on 1
        (id,) = (id for id, (state, _) in node.socket_server.table().items() if state == "listen")
        port = node.socket_server.sockname(id)[1]
        self.client: Client = node.client(port, timeout=LIMIT)
        self.client.expect(b"Welcome to skynet console\n")
        assert self.ask(f"token {token_of(port)}") == ["<CMD OK>"]

    def ask(self, said: str) -> list[str]:
        """The lines of its answer; the last one is <CMD OK> or <CMD Error>."""
        self.client.send(said.encode() + b"\n")
        lines = [self.client.recv_line().decode()]
        while lines[-1] not in ("<CMD OK>", "<CMD Error>"):
            lines.append(self.client.recv_line().decode())
        return lines

    def rows(self, said: str) -> dict[str, str]:
        *lines, end = self.ask(said)
        assert end == "<CMD OK>", (said, lines, end)
        return dict(line.split("\t", 1) for line in lines)


@contextmanager
def stuck(tmp_path: Path) -> Iterator[tuple[Node, Console, int, int, list[Any]]]:
    """A node, its console, a service on worker 1 that is well, one on worker 2 that loops for ever, and what comes
    of the call that makes it."""
    with node_of(4, clock="real", logpath=str(tmp_path), profile=True) as node:
        node.patience = 0.2
        console = Console(node)
        good, bad = on(node, 1, echo), on(node, 2, spin)
        yield node, console, good, bad, started(node, bad, "loop")


def test_the_console_answers_beside_an_endless_loop_and_ends_it(tmp_path: Path) -> None:
    """list names it, stat and mem say TIMEOUT for what is on its worker, signal breaks it off: the rest goes on."""
    with stuck(tmp_path) as (node, console, _, bad, outcome):
        name = f":{bad:08x}"
        assert console.rows("list")[name] == "snlua spin"
        silent = {f":{h:08x}" for h in node.handles.contexts if h % 4 == 2}
        for command in ("stat 30", "mem 30"):
            late = {a for a, figures in console.rows(command).items() if figures.startswith("TIMEOUT")}
            assert name in late <= silent
        assert console.ask(f"signal {name} 0") == ["<CMD OK>"]
        until(lambda: outcome)
        assert isinstance(outcome[0], CallError)
        assert "TIMEOUT" not in "".join(console.rows("stat 3000").values())
        assert console.rows(f"call {name} 'x'") == {"1": "well", "n": "1"}
        assert told(node, "recv a signal") == [f"[{name}] recv a signal 0"]
        assert console.ask(f"signal {name} 1") == ["<CMD OK>"]
        assert len(told(node, f"[{name}] Current Memory ")) == 1


def test_looking_around_beside_an_endless_loop(tmp_path: Path) -> None:
    """What the console shows of the whole node it shows of one that does not stand still, too."""
    with stuck(tmp_path) as (_, console, good, bad, outcome):
        name, other = f":{bad:08x}", f":{good:08x}"
        assert console.ask("waits")[-1] == console.ask("verdicts")[-1] == "<CMD OK>"
        assert console.ask(f"logon {name}") == console.ask(f"logon {other}") == ["<CMD OK>"]
        assert console.ask(f"trace on {name}") == ["<CMD OK>"]
        assert console.rows(f"call {other} 7")["1"] == "7"
        assert console.ask(f"logoff {other}") == console.ask("trace off")[-1:] == ["<CMD OK>"]
        text = (tmp_path / f"{good:08x}.log").read_text()
        assert [line.split()[1] for line in text.splitlines()[1:-1]] == ["10"] and "\nclose time: " in text
        page = tmp_path / "page.html"
        assert console.ask(f"timeline {page} 0.05")[-1] == "<CMD OK>" and page.read_text().startswith("<!doctype html>")
        assert ["type:LISTEN" in row or "type:TCP" in row for row in console.rows("netstat").values()] == [True, True]
        assert console.ask(f"kill {name}") == [f"{name}\tsnlua spin", "<CMD OK>"]
        assert name not in console.rows("list")
        assert outcome == []  # killed, it loops on, as in skynet
    until(lambda: outcome)  # the end of the node breaks it off


def test_the_console_reaches_into_services_on_other_workers(tmp_path: Path) -> None:
    """task, killtask, inject, info, exit, start: done by the worker of that service, seen from another."""
    (tmp_path / "look.py").write_text("import threading\nprint(threading.current_thread().name, n)\n")
    (tmp_path / "sleeper.py").write_text(
        "from skynet_lite import skynet\n"
        "n = 5\n"
        "@skynet.start\n"
        "def main():\n"
        "    skynet.info_func(lambda *words: words)\n"
        "    skynet.fork(skynet.wait)\n"
    )
    with node_of(4, clock="real", logpath=str(tmp_path), luaservice=str(tmp_path / "?.py")) as node:
        console = Console(node)
        for worker in (1, 2, 3, 0):
            handle = on(node, worker, "sleeper")
            name = f":{handle:08x}"
            (task,) = console.rows(f"task {name}")
            assert console.ask(f"inject {name} {tmp_path}/look.py") == [f"skynet_lite worker {worker}\t5", "<CMD OK>"]
            assert console.rows(f"info {name} a b") == {"1": "a", "2": "b"}
            assert list(console.rows(f"uniqtask {name}").values())
            assert console.ask(f"killtask {name} {task.split()[0]}") == ["<CMD OK>"]
            assert console.rows(f"task {name}") == {}
            assert console.ask(f"exit {name}") == ["<CMD OK>"]
            until(lambda handle=handle: handle not in node.handles.contexts)
            assert console.rows("start sleeper") and console.rows("log sleeper")


def test_a_message_log_begins_before_the_first_message(tmp_path: Path) -> None:
    """LOGLAUNCH, though the new service's own worker waits for just that message."""
    with node_of(4, logpath=str(tmp_path)) as node, hurried():
        name = node.service_name(echo)
        for _ in range(40):
            handle = node.call(".launcher", "lua", "LOGLAUNCH", "snlua", name, timeout=LIMIT)
            node.call(handle, "lua", 1)
            kinds = [line.split()[1] for line in (tmp_path / f"{handle:08x}.log").read_text().splitlines()[1:]]
            assert kinds == ["0", "1", "10"]  # its launch, its start, the call


def test_a_logged_service_is_killed_while_messages_come(tmp_path: Path) -> None:
    """Its file is closed by its own worker, behind the line that is being written."""

    def sends(to: int) -> None:
        def run() -> None:
            while skynet.send(to, "lua") is not None:
                skynet.yield_()

        skynet.fork(run)

    with node_of(4, logpath=str(tmp_path)) as node, hurried():
        for _ in range(10):
            handle = node.call(".launcher", "lua", "LOGLAUNCH", "snlua", node.service_name(echo), timeout=LIMIT)
            for _ in range(3):
                node.newservice(sends, handle)
            node.call(".launcher", "lua", "KILL", handle)
        node.run(timeout=LIMIT)
        assert told(node, "] error : ", "came out") == [] and not node.server._message_logs


# ---- looking from inside and outside


def test_services_on_all_workers_look_at_the_node_at_the_same_time() -> None:
    """debug.look, and tables() in the middle of a message: one after the other stands still for the next."""

    def looks() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, rounds: int) -> None:
            node = skynet.running().service.server.node
            for _ in range(rounds):
                assert debug.look(lambda node: node.tables()["workers"]) == node.tables()["workers"]
            skynet.retpack(rounds)

    with node_of(4) as node, hurried():
        node.patience = 10 * LIMIT  # nobody is given up
        assert asked(node, spread(node, looks, each=2), 15) == [15] * 8


def test_a_dashboard_follows_a_node_that_is_busy() -> None:
    """It looks while all stand still; when the node stops it says so, and does not set it going again."""
    from skynet_lite.view.dashboard import Dashboard

    def busy() -> None:
        def run() -> None:
            while True:
                victims = [skynet.fork(skynet.wait) for _ in range(20)]
                skynet.yield_()
                for v in victims:
                    skynet.killthread(v)

        skynet.fork(run)

    with node_of(4, clock="real") as node, hurried():
        node.serve()
        handles = spread(node, busy)
        board = node.dashboard(0.01)
        assert isinstance(board, Dashboard)
        looks = board.looks
        until(lambda: board.looks > looks + 5)
        assert all(f"<td>:{h:08x}</td><td>busy</td>" in board.value for h in handles)
        node.stop()
        until(lambda: "the node has stopped" in board.value)
        with node.driver.still():
            before = [node.service(h).mailbox.popped for h in handles]
        assert not board.refresh()
        assert [node.service(h).mailbox.popped for h in handles] == before
        node.serve()
        node.dashboard(0.01)
    assert not [t for t in threading.enumerate() if t.name == "dashboard"]


def test_stop_during_the_boot_ends_the_wait_for_it(tmp_path: Path) -> None:
    """A signal may come while the first service starts: the boot is seen through, then run_forever returns."""
    (tmp_path / "first.py").write_text(
        "from skynet_lite import skynet\n"
        "@skynet.start\n"
        "def main():\n"
        "    skynet.running().service.server.node.stop()\n"
        "    skynet.sleep(1)\n"
    )
    with node_of(4, start="first", luaservice=str(tmp_path / "?.py")) as node:
        node.run_forever()
        assert node.handles.query(".launcher") == 3


def test_run_waits_for_a_message_that_is_being_handled() -> None:
    """No mailbox has anything, no timer is left, and yet a handler is at work."""
    done: list[int] = []

    def slow() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.fork(lambda: (time.sleep(0.02), done.append(1)))

    with node_of(4) as node:
        address = on(node, 2, slow)
        for n in range(1, 4):

            def tells() -> None:
                skynet.send(address, "lua")

            node.newservice(tells, wait=False)
            node.run(timeout=LIMIT)
            assert len(done) == n


def test_the_log_file_is_opened_anew_between_two_lines(tmp_path: Path) -> None:
    """Node.reopen_log, from a thread that drives nothing, while services on all workers speak."""
    path = tmp_path / "node.log"

    def speaks() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, count: int) -> None:
            for n in range(count):
                skynet.error(f"word {n}")
                skynet.yield_()
            skynet.retpack(count)

    with node_of(4, logger=str(path), log=None) as node, hurried():
        speakers = spread(node, speaks)
        outcomes = [started(node, s, 50, seen=lambda: True) for s in speakers]
        for n in range(10):
            moved = tmp_path / f"old{n}.log"
            path.rename(moved)
            node.reopen_log()
            until(path.exists)
        until(lambda: all(outcomes))
        node.run_until_idle()
    lines = "".join(file.read_text() for file in tmp_path.glob("*.log")).splitlines()
    for s in speakers:
        assert sorted(line for line in lines if line.startswith(f"[:{s:08x}] word")) == sorted(
            f"[:{s:08x}] word {n}" for n in range(50)
        )


def test_a_recording_of_the_libraries_rebuilds_the_tables() -> None:
    """Shared tables, channels, requests, forks and kills on all workers: state(i) is what the node showed then."""

    def works(channel: int) -> None:
        c = multicast.new(channel, lambda *args: None)
        c.subscribe()
        view = sharedata.query("pair")

        @skynet.dispatch("lua")
        def handle(session: int, source: int, others: list[int]) -> None:
            for n in range(5):
                c.publish(n)
                skynet.killthread(skynet.fork(skynet.wait))
                sleeper = skynet.fork(skynet.sleep, 100)
                skynet.yield_()
                skynet.killthread(sleeper)
                for _ in skynet.select(*[(a, "debug", "PING") for a in others], timeout=3):
                    skynet.sleep(1)
                    break
                sharedata.update("pair", {"a": n})
            skynet.retpack(view["a"] is not None)

    def makes() -> None:
        channels.append(multicast.new().channel)
        sharedata.new("pair", {"a": 0})

    channels: list[Any] = []
    with node_of(4) as node, hurried():
        node.newservice(makes)
        workers = spread(node, works, channels[0])
        with node.record() as trace:
            thread = threading.Thread(target=asked, args=(node, workers, workers))
            thread.start()
            looks: list[tuple[int, Any]] = []
            while thread.is_alive():
                with node.driver.still():
                    if len(trace) > (looks[-1][0] + 100 if looks else 0):
                        looks.append((len(trace), node.tables()))
            thread.join()
            node.run(timeout=LIMIT)
            with node.driver.still():
                looks.append((len(trace), node.tables()))
        assert len(looks) > 3
        for events, tables in looks:
            assert trace.state(events - 1) == tables
        for push in (e for e in trace.events if e["e"] == "push" and e["by"] in ("send", "redirect")):
            cause = trace.events[push["cause"]]
            assert (cause["e"], cause["to"]) == ("send", push["service"])
    assert told_nothing(node.log_lines)


def told_nothing(lines: list[str]) -> bool:
    return not [line for line in lines if "rror" in line]


# ---- the world outside


def test_the_example_of_gate_watchdog_and_agents() -> None:
    """Eight clients, an agent for each, on all workers; the database answers all of them; all goes when they leave."""

    def answer(player: Player, text: str) -> str:
        player.send(text)
        while (said := player.receive()) == "heartbeat":
            pass  # of the agent's start: the gate may be faster, and have opened the connection already
        return said

    e = Example(thread=4)
    with e.node, hurried():
        players = [e.client() for _ in range(8)]
        for n, player in enumerate(players):
            assert answer(player, "handshake").startswith("ok Welcome")
            assert answer(player, f"set key{n} value {n}") == "ok"
        for n, player in enumerate(players):
            assert answer(player, f"get key{7 - n}") == f"ok value {7 - n}"
        assert {h % 4 for h in e.alive("agent")} == {0, 1, 2, 3}
        for player in players:
            player.tcp.close()
        assert e.alive("agent") == []
        assert not e.log("rror")


def test_web_servers_and_clients_on_all_workers(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """HTTP, HTTPS and WebSocket between services: each client on a worker of its own, the servers on another."""

    def handler(request: httpd.Request) -> Any:
        if request.path == "/echo":
            ws = websocket.accept(request)
            assert ws is not None
            while (message := ws.read()) is not None:
                ws.write(message)
            return None
        return 200, request.body[::-1]

    def client(plain: int, secure: int) -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, count: int) -> None:
            for n in range(count):
                assert httpc.request("POST", f"127.0.0.1:{plain}", content=b"a%d" % n).body == b"%da" % n
            ws = websocket.connect(f"wss://localhost:{secure}/echo", context=trusting)
            for n in range(count):
                ws.write("x" * 1000 * n)
                assert ws.read() == "x" * 1000 * n
            ws.close()
            skynet.retpack(count)

    with node_of(4) as node, hurried():
        plain = Listening(lambda id: httpd.serve(id, handler), node)
        secure = Listening(lambda id: httpd.serve(id, handler, context=server), node)
        assert asked(node, spread(node, client, plain.port, secure.port), 10) == [10] * 4
        # No handler raised. (A goodbye may meet a peer that has gone already: a reset, which the socket library logs.)
        assert told(node, "] error : ", "httpd", "websocket") == []


def test_names_are_looked_up_by_services_on_all_workers() -> None:
    """contrib.dns: a resolver for each service, also when they begin to ask at the same moment, and end."""

    def asks() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.retpack(dns.resolve("127.0.0.1")[0])
            skynet.exit()

    with node_of(4) as node, hurried():
        for _ in range(5):
            assert asked(node, spread(node, asks, each=2)) == ["127.0.0.1"] * 8
        assert told(node, "rror") == []


# ---- the end


def test_close_with_everything_open(tmp_path: Path) -> None:
    """Traces, message logs, recordings, dashboards, sockets, parked calls, an endless loop: all of it ends."""
    before = threading.active_count()
    with stuck(tmp_path) as (node, console, good, bad, outcome):
        parked = started(node, good, "wait", seen=lambda: True)
        for said in (f"trace on :{good:08x}", f"logon :{good:08x}", f"logon :{bad:08x}", "profactive"):
            assert console.ask(said)[-1] == "<CMD OK>"
        console.client.send(b"timeline x.html 100\n" + b"debug :%08x\n" % good)
        node.serve()
        board = node.dashboard(0.01)
        recording = node.record()
        recording.__enter__()
    recording.__exit__(None, None, None)
    until(lambda: outcome and parked)
    assert isinstance(outcome[0], SkynetError) and parked == ["wait"]
    assert board.looks > 0 and node.closed
    until(lambda: threading.active_count() == before)
