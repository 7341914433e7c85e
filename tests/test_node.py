"""Driving a node: step by step, until something, in a thread; and what is left afterwards."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from skynet_lite import AddressError, CallError, DriveTimeout, Node, SkynetError, mark, skynet, socket


def echo() -> None:
    skynet.dispatch("lua", lambda session, source, *values: skynet.retpack(*values))


def sleeper(ticks: int) -> None:
    skynet.sleep(ticks)


def listener() -> None:
    def accept(id: int, peer: str) -> None:
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            socket.write(id, line + b"\n")
        socket.close(id)

    id = socket.listen("127.0.0.1:0")
    socket.start(id, accept)
    skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(id)[1]))


# ---- step and run


def test_step_does_one_thing_and_says_what() -> None:
    """One message at a time, through the whole boot and a start; None when there is nothing."""
    with Node(clock="virtual", log=list) as node:
        steps = []
        while (what := node.step()) is not None:
            steps.append(what)
        assert steps[0] == "message launch session 0 from :00000002 to :00000002 bootstrap"
        assert node.step() is None
        addr = node.newservice(sleeper, 5, wait=False)
        assert node.service(addr).sleep_session == {}
        while node.step():
            pass
        assert node.service(addr).sleep_session == {"co1": 2}
        node.advance(4)
        assert node.service(addr).sleep_session == {"co1": 2}
        node.advance(1)
        assert node.service(addr).sleep_session == {}


def test_idle_means_idle_and_virtual_time_stands_still() -> None:
    """run_until_idle never moves the clock; run() lets it jump to every timer."""
    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(sleeper, 1000, wait=False)
        node.run_until_idle()
        assert node.clock.now() == 0
        node.run()
        assert node.clock.now() == 1000
        assert node.service(addr).start_state == "ok"


def test_newservice_and_call_let_time_jump() -> None:
    """Whatever waits for a result moves virtual time when nothing else can."""

    def slow() -> None:
        def handler(session: int, source: int) -> None:
            skynet.sleep(500)
            skynet.retpack(skynet.now())

        skynet.dispatch("lua", handler)
        skynet.sleep(100)

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(slow)
        assert node.clock.now() == 100
        assert node.call(addr, "lua") == 600


def test_run_until_stops_at_the_very_message() -> None:
    """`until` is asked after every message, so a run can be stopped in the middle of anything."""
    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(listener, wait=False)
        s = node.service(addr)
        node.run(until=lambda: bool(s.sleep_session))
        assert s.sleep_session == {"co1": 2}
        assert s.tables()["socket_pool"] == {1: "listen connecting, co1 waits in start"}


def test_what_cannot_come_is_said_at_once() -> None:
    """No timer, no socket, no message: waiting would be for ever."""

    def forgetful() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.wait())

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(forgetful)
        with pytest.raises(DriveTimeout, match="nothing is left that could run"):
            node.call(addr, "lua")
        with pytest.raises(DriveTimeout, match="nothing is left that could run"):
            node.run(until=lambda: False)


@pytest.mark.parametrize("thread", [1, 2])
def test_nothing_is_kept_of_a_call_that_was_given_up(thread: int) -> None:
    """Its answer is thrown away when it comes, and the next call gets its own."""

    def main() -> None:
        kept: list[Any] = []

        def handle(session: int, source: int, what: str) -> None:
            if what == "keep":
                kept.append(skynet.response())
            else:
                for answer in kept:
                    answer(True, "late")
                skynet.retpack(len(kept))

        skynet.dispatch("lua", handle)

    with Node(thread=thread, log=list) as node:
        addr = node.newservice(main)
        for _ in range(3):
            with pytest.raises(DriveTimeout):
                node.call(addr, "lua", "keep", timeout=0.05)
        assert not node.server.calls
        assert node.call(addr, "lua", "answer", timeout=10) == 3


def test_a_timeout_is_an_error() -> None:
    """What does not come in time raises; it is a TimeoutError too."""
    with Node(clock="virtual", log=list) as node:
        node.newservice(listener)
        with pytest.raises(TimeoutError, match="did not come in time"):
            node.run(until=lambda: False, timeout=0.05)


def test_advance_needs_virtual_time() -> None:
    """A real clock cannot be told to go on; no clock goes back."""
    with Node(log=list) as node, pytest.raises(SkynetError, match="virtual"):
        node.advance(1)
    with Node(clock="virtual", log=list) as node, pytest.raises(SkynetError, match="does not go back"):
        node.advance(-1)


def test_the_real_clock_waits_for_timers() -> None:
    """The default: a sleep takes its time, and not less."""
    with Node(log=list) as node:
        begin = time.monotonic()
        node.newservice(sleeper, 5)
        assert time.monotonic() - begin >= 0.04  # a tick that had begun already counts


def test_calls_from_outside() -> None:
    """From outside: values, errors, unknown addresses; a dead service answers no more."""
    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(echo)
        assert node.call(addr, "lua", [1]) == [1]
        assert node.call(":00000008", "lua", 1, 2) == (1, 2)
        with pytest.raises(AddressError, match="call to invalid address :00000063"):
            node.call(99, "lua")
        with pytest.raises(AddressError, match="no service in Python"):
            node.service(99)

        def quitter() -> None:
            skynet.dispatch("lua", lambda *request: skynet.exit())

        with pytest.raises(CallError, match="call failed"):
            node.call(node.newservice(quitter), "lua")


def test_driving_from_inside_a_service_is_refused() -> None:
    """A handler that drives its own node would wait for itself."""
    with Node(clock="virtual", log=list) as node:

        def main() -> None:
            for drive in (node.step, node.run_until_idle, lambda: node.call(3, "lua"), lambda: node.newservice(echo)):
                with pytest.raises(SkynetError, match="being driven already"):
                    drive()

        node.newservice(main)


def test_two_nodes_live_side_by_side() -> None:
    """No global node: each has its services, handles, time; a service of one can drive the other."""
    with Node(clock="virtual", log=list) as a, Node(clock="virtual", log=list) as b:
        in_a, in_b = a.newservice(echo), b.newservice(echo)
        assert in_a == in_b == 8

        def bridge() -> None:
            mark(str(b.call(in_b, "lua", skynet.self())))

        with a.record() as trace:
            a.newservice(bridge)
        assert [e["text"] for e in trace if e["e"] == "mark"] == ["10"]
        assert (a.clock.now(), b.clock.now()) == (0, 0)


def test_a_bare_node_has_a_logger_and_nothing_else() -> None:
    """bootstrap=False: the first service is :00000002."""
    with Node(clock="virtual", log=list, bootstrap=False) as node:
        assert node.newservice(echo) == 2
        assert node.call(2, "lua", "x") == "x"
        with pytest.raises(CallError, match="ValueError: no"):
            node.newservice(fail)


def fail() -> None:
    raise ValueError("no")


# ---- threads


def test_serve_drives_in_a_thread_of_its_own() -> None:
    """newservice and call from any thread run on the serving one; stop and close end it."""
    before = threading.active_count()
    with Node(log=list) as node:
        node.serve()
        addr = node.newservice(listener)
        port = node.call(addr, "lua")
        with node.record() as trace, node.client(port) as c:
            c.send(b"hello\n")
            assert c.recv_line() == b"hello"
        assert any(e["e"] == "message" and e.get("type") == "ACCEPT" for e in trace)
        results: list[Any] = []
        echo_addr = node.newservice(echo)
        threads = [
            threading.Thread(target=lambda i=i: results.append(node.call(echo_addr, "lua", i))) for i in range(8)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert sorted(results) == list(range(8))
        with pytest.raises(SkynetError, match="a thread drives this node"):
            node.run_until_idle()
        with pytest.raises(SkynetError, match="served already"):
            node.serve()
        with pytest.raises(CallError, match="ValueError: no"):
            node.newservice(fail)
        node.stop()
        assert node.call(echo_addr, "lua", "still") == "still"
        node.serve()
        assert node.call(echo_addr, "lua", "again") == "again"
    assert threading.active_count() == before


def test_serve_comes_before_any_driving() -> None:
    """Coroutines cannot change threads; the error says what to do instead."""
    with Node(log=list) as node:
        node.newservice(echo)
        with pytest.raises(SkynetError, match=r"call serve\(\) first"):
            node.serve()


def test_another_thread_may_not_drive() -> None:
    """A node belongs to the thread that first drives it."""
    with Node(log=list) as node:
        node.newservice(echo)
        errors: list[str] = []

        def intruder() -> None:
            for drive in (node.run_until_idle, node.step, lambda: node.newservice(echo, wait=False), node.close):
                try:
                    drive()
                except SkynetError as e:
                    errors.append(str(e))

        t = threading.Thread(target=intruder)
        t.start()
        t.join()
        assert len(errors) == 4
        assert all("belongs to" in e for e in errors)


def test_nodes_in_several_threads_keep_their_services_apart() -> None:
    """The current service is right in each thread."""
    nodes = [Node(log=list) for _ in range(3)]
    try:
        for node in nodes:
            node.serve()
        addrs = [node.newservice(echo_self) for node in nodes]
        for _ in range(20):
            for node, addr in zip(nodes, addrs, strict=True):
                assert node.call(addr, "lua") == (addr, id(node) % 1000003)
    finally:
        for node in nodes:
            node.close()


def echo_self() -> None:
    node = skynet.running().service.server.node
    skynet.dispatch("lua", lambda session, source: skynet.retpack(skynet.self(), id(node) % 1000003))


def test_ctrl_c_and_sigterm_end_run_forever(tmp_path: Path) -> None:
    """In the foreground: both signals return from run_forever, and the finally blocks have run."""
    program = tmp_path / "program.py"
    program.write_text(
        "from skynet_lite import Node, skynet\n"
        "def main():\n"
        "    print('up', flush=True)\n"
        "    try:\n"
        "        skynet.wait()\n"
        "    finally:\n"
        "        print('closed', flush=True)\n"
        "with Node(log=list) as node:\n"
        "    node.newservice(main, wait=False)\n"
        "    node.run_forever()\n"
        "print('clean', flush=True)\n"
    )
    for sig in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(sig)
        out, _ = process.communicate(timeout=20)
        assert (out, process.returncode) == ("closed\nclean\n", 0)


# ---- the end


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_close_leaves_nothing_behind() -> None:
    """Sockets, descriptors, threads, coroutines: counted before and after."""
    from skynet_lite.skynet.coroutine import Coroutine, Hub

    def count() -> tuple[int, int, int]:
        gc.collect()
        alive = sum(isinstance(o, (Coroutine, Hub)) and not o.dead and bool(o) for o in gc.get_objects())
        return descriptors(), threading.active_count(), alive

    before = count()
    for serve in (False, True):
        node = Node(log=list)
        if serve:
            node.serve()
        addr = node.newservice(listener)
        port = node.call(addr, "lua")
        c = node.client(port)
        c.send(b"x\n")
        assert c.recv_line() == b"x"
        node.close()
        node.close()  # twice is once
        with pytest.raises(SkynetError, match="closed"):
            node.run_until_idle()
        del node, c
        assert count() == before


def test_closing_runs_finally_blocks_and_keeps_the_last_words() -> None:
    """Node.close ends every coroutine; what they log then still reaches the log."""

    def main() -> None:
        try:
            skynet.wait()
        finally:
            skynet.error("goodbye")

    with Node(clock="virtual", log=list) as node:
        node.newservice(main, wait=False)
        node.run_until_idle()
    assert node.log_lines[-1] == "[:00000008] goodbye"


def test_an_unused_node_can_be_closed() -> None:
    """Nothing was born: nothing to end."""
    before = descriptors()
    Node(log=list).close()
    assert descriptors() == before


# ---- recorders


class Unsayable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("disk full"), "RuntimeError: disk full"),
        (Unsayable(), "Unsayable: <its text cannot be told: ValueError>"),
    ],
)
def test_a_recorder_that_raises_is_detached_and_told(error: Exception, words: str) -> None:
    """It is no part of the run: the run goes on, also if the error cannot be said."""
    seen: list[Any] = []

    def broken(event: tuple[Any, ...]) -> None:
        seen.append(event)
        raise error

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(echo)
        node.attach(broken)
        assert node.call(addr, "lua", 1) == 1
        node.run_until_idle()
        assert len(seen) == 1
        assert f"[:00000000] a recorder raised {words}; it is detached" in node.log_lines


def test_marks_from_outside_go_to_recording_nodes() -> None:
    """skynet_lite.mark between two steps of a notebook shows up in the trace."""
    with Node(clock="virtual", log=list) as node:
        with node.record() as trace:
            mark("here")
            node.newservice(echo)
        mark("not recorded")
    assert [e["text"] for e in trace if e["e"] == "mark"] == ["here"]
    assert trace.text().splitlines()[0] == '   0           main  mark      "here"'


def test_a_system_exit_in_a_handler_does_not_end_the_serving_thread() -> None:
    """It costs its message, as any other error: it is said in the log, once, and the caller gets an error."""

    def main() -> None:
        def handler(session: int, source: int, what: str) -> None:
            if what == "leave":
                raise SystemExit(3)
            skynet.retpack(what)

        skynet.dispatch("lua", handler)

    with Node(log=list) as node:
        node.serve()
        addr = node.newservice(main)
        with pytest.raises(CallError, match="call failed"):
            node.call(addr, "lua", "leave", timeout=10)
        assert node.call(addr, "lua", "on", timeout=10) == "on"
        node.stop()
    assert [line.count("SystemExit: 3") for line in node.log_lines if "SystemExit" in line] == [1]


def test_a_served_node_that_is_aborted_stands_still() -> None:
    """skynet.abort ends the drive as `stop` does: the thread waits for jobs, and does not go round and round."""
    with Node(log=list) as node:
        node.serve()
        node.newservice(lambda: skynet.timeout(1, skynet.abort))
        end = time.monotonic() + 20
        while node.served():
            assert time.monotonic() < end
            time.sleep(0.001)
        assert node.look(lambda: len(node.handles.contexts)) == 1, "the logger is left"
