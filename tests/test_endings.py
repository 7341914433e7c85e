"""Ctrl-C, the end of a node, waits without end, and workers: nothing is left half done, and `close` always works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from harness import LIMIT, until

import skynet_lite
from skynet_lite import Node, SkynetError, skynet, socket
from skynet_lite.core.errors import ConfigError, DriveTimeout
from skynet_lite.core.outside import AddressInfo, Outside
from skynet_lite.node.daemon import write_pid

PACKAGE = os.path.dirname(skynet_lite.__file__) + os.sep
HEART = (
    "drive/", "core/server", "core/mq", "core/timer", "core/socket_server", "skynet/scheduler", "skynet/coroutine",
    "skynet/calls", "skynet/waits",
)  # fmt: skip
"""Whose lines a Ctrl-C comes at; with ENDINGS in the environment, at those of the whole package (minutes)."""


def echo() -> None:
    skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(*args))


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def python_handles_ctrl_c() -> Iterator[None]:
    """As in a program that has said nothing about it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


# ---- Ctrl-C


def everyday(node: Node) -> None:
    """Births, calls, sends, sleeps, forks, an exit, a client on a socket: what a node does all day."""

    def worker(peer: int) -> None:
        def work() -> None:
            skynet.call(peer, "lua", 1)
            skynet.sleep(1)
            skynet.send(peer, "lua", 2)
            skynet.exit()

        skynet.fork(work)

    def server() -> None:
        def accept(id: int, addr: str) -> None:
            socket.start(id)
            socket.write(id, socket.readline(id) or b"")
            socket.close(id)

        listening = socket.listen("127.0.0.1:0")
        socket.start(listening, accept)
        skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(listening)[1]))

    peer = node.newservice(echo)
    node.newservice(worker, peer)
    node.run()
    with node.client(node.call(node.newservice(server), "lua")) as client:
        client.send(b"x\n")
        client.expect(b"x")
        client.expect_eof()
    node.advance(2)
    node.step()


def interrupted(at: tuple[str, int] | None) -> tuple[Counter[tuple[str, int]], str]:
    """Run it, with a Ctrl-C where line `at` comes first. The lines that ran; what was wrong afterwards."""
    seen: Counter[tuple[str, int]] = Counter()

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            place = frame.f_code.co_filename[len(PACKAGE) :], frame.f_lineno
            seen[place] += 1
            if place == at and seen[place] == 1:
                ctrl_c()
        return line

    before, wrong = descriptors(), ""
    node = Node(clock="virtual", log=list)
    sys.settrace(lambda frame, event, arg: line if frame.f_code.co_filename.startswith(PACKAGE) else None)
    try:
        everyday(node)
        wrong += "nothing came out; " if at is not None else ""
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    try:
        wrong += "no answer; " if node.call(node.newservice(echo), "lua", 7) != 7 else ""
        node.run()
        names = {ctx.name or ctx.kind for ctx in node.handles.contexts.values()}
        gone = {"logger", "launcher", "cdummy", "datacenterd", "service_mgr"} - names
        wrong += f"gone: {gone}; " if gone else ""
        node.log(0, "still here")
        node.run_until_idle()
    except Exception as e:
        wrong += f"{e!r}; "
    node.close()
    wrong += "no logger; " if node.log_lines[-1:] != ["[:00000000] still here"] else ""
    wrong += "".join(text for text in node.log_lines if "rror" in text)
    wrong += "descriptors are left; " if descriptors() != before else ""
    return seen, wrong


def test_ctrl_c_at_each_line_of_ours_breaks_nothing() -> None:
    """It comes out of whatever drives, between two messages: every service lives, the node is driven on, and closes."""
    with python_handles_ctrl_c():
        interrupted(None)  # modules are imported
        rooms = ("",) if "ENDINGS" in os.environ else HEART
        lines = [place for place in interrupted(None)[0] if place[0].startswith(rooms)]
        assert len(lines) > 250
        wrong = {place: found for place in lines if (found := interrupted(place)[1])}
        assert not wrong, wrong


@pytest.mark.parametrize("thread", [1, 2])
def test_a_handler_is_not_broken_off_by_the_first_ctrl_c(thread: int) -> None:
    """Its message is handled to the end, then the drive ends. Python's handler is back afterwards."""
    done = []

    def main() -> None:
        def handler(session: int, source: int) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            done.append(sum(range(1000)))
            skynet.retpack("done")

        skynet.dispatch("lua", handler)

    with python_handles_ctrl_c(), Node(log=list, thread=thread) as node:
        addr = node.newservice(main)
        with pytest.raises(KeyboardInterrupt):
            node.call(addr, "lua")
            node.run(until=lambda: False)  # a signal reaches the main thread when that runs
        node.run_until_idle()
        assert done == [499500]
        assert node.call(node.newservice(echo), "lua", 1) == 1
        assert not [text for text in node.log_lines if "rror" in text]


def test_the_second_ctrl_c_breaks_off_a_handler_that_does_not_come_back() -> None:
    """Its message is lost, and nothing else; so from call, run and run_forever."""
    steps: list[str] = []

    def main() -> None:
        def handler(session: int, source: int) -> None:
            for n in range(10):
                steps.append(f"{n}")
                ctrl_c()

        skynet.dispatch("lua", handler)

    with python_handles_ctrl_c(), Node(log=list) as node:
        addr = node.newservice(main)
        for drive in (lambda: node.call(addr, "lua"), node.run, node.run_forever):
            steps.clear()
            if drive != node.run:
                node.driver.between(lambda: node.server.call(addr, 10, (), False))
            with pytest.raises(KeyboardInterrupt):
                drive()
                raise KeyboardInterrupt  # of run_forever, that has returned
            if steps:
                assert steps == ["0", "1"], drive
        assert node.call(node.newservice(echo), "lua", 1) == 1


def test_a_handler_of_somebody_else_for_ctrl_c_stays() -> None:
    """Only Python's own is stood in for."""
    heard = []

    def main() -> None:
        ctrl_c()
        skynet.error("up")

    before = signal.signal(signal.SIGINT, lambda *_: heard.append("theirs"))
    try:
        with Node(clock="virtual", log=list) as node:
            node.newservice(main)
            node.run_until_idle()
        assert heard == ["theirs"] and "[:00000008] up" in node.log_lines
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_reaches_a_node_that_a_service_of_another_drives() -> None:
    """Both drives end, the inner one first."""
    with python_handles_ctrl_c(), Node(log=list) as inner, Node(log=list) as outer:

        def main() -> None:
            inner.newservice(lambda: skynet.timeout(0, ctrl_c))
            inner.run(until=lambda: False)

        outer.newservice(main, wait=False)
        with pytest.raises(KeyboardInterrupt):
            outer.run(until=lambda: False)
        assert inner.call(inner.newservice(echo), "lua", 1) == 1
        assert outer.call(outer.newservice(echo), "lua", 1) == 1


# ---- the end of a node


@pytest.mark.parametrize("thread", [1, 2])
def test_a_script_that_forgets_close_ends_with_status_0(thread: int, tmp_path: Path) -> None:
    """The threads of a node end before the interpreter does, and the finally blocks have run."""
    program = tmp_path / "program.py"
    program.write_text(
        "from skynet_lite import Node, skynet\n"
        "def main():\n"
        "    def beat():\n"
        "        try:\n"
        "            while True:\n"
        "                skynet.sleep(1)\n"
        "        finally:\n"
        "            print('closed')\n"
        "    skynet.fork(beat)\n"
        f"node = Node(thread={thread}, log=list)\n"
        "node.serve()\n"
        "node.newservice(main)\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


class Counted(Outside):
    closed = 0

    def close(self) -> None:
        self.closed += 1
        super().close()


@pytest.mark.parametrize("thread", [1, 2])
def test_close_from_several_threads_is_one_close(thread: int) -> None:
    """Each returns when the node is closed; no descriptor is closed twice, which may be somebody else's by then."""
    for _ in range(5):
        outside, errors = Counted(), []
        node = Node(thread=thread, log=list, outside=outside)
        node.serve()
        node.newservice(echo)
        together = threading.Barrier(4)

        def close(node: Node = node, together: Any = together, errors: list[Any] = errors) -> None:
            together.wait(LIMIT)
            try:
                node.close()
                assert node.closed
            except BaseException as e:
                errors.append(e)

        threads = [threading.Thread(target=close) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        node.close()
        assert (errors, outside.closed) == ([], 1)


@pytest.mark.parametrize("thread", [1, 2])
def test_who_waits_for_an_answer_hears_that_the_node_was_closed(thread: int) -> None:
    """From another thread, and at whatever moment of its call the end comes."""

    def once() -> list[str]:
        asked, errors = threading.Event(), []

        def main() -> None:
            def waits(session: int, source: int) -> None:
                asked.set()
                skynet.wait()

            skynet.dispatch("lua", waits)

        def call() -> None:
            try:
                node.call(address, "lua")
            except SkynetError as e:
                errors.append(str(e))

        with Node(thread=thread, log=list) as node:
            node.serve()
            address = node.newservice(main)
            caller = threading.Thread(target=call)
            caller.start()
            assert asked.wait(LIMIT)
        caller.join(LIMIT)
        return errors

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # the two threads meet at many places
    try:
        ends = [once() for _ in range(20)]
    finally:
        sys.setswitchinterval(interval)
    assert all(len(errors) == 1 and "closed" in errors[0] for errors in ends), ends


def test_what_is_raised_at_the_end_of_a_service_stays_in_the_log() -> None:
    """Somebody kills it, and drives on."""

    def main() -> None:
        def bad(s: Any) -> None:
            raise ValueError("at the end")

        skynet.running().service.at_close += (bad,)

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        node.server.kill(0, addr)
        node.run_until_idle()
        assert f"[:{addr:08x}] error while closing: ValueError: at the end" in node.log_lines


def spin() -> None:
    def handler(session: int, source: int) -> None:
        while True:
            pass

    skynet.dispatch("lua", handler)


def test_a_served_node_whose_handler_never_returns() -> None:
    """call(timeout=) and newservice say so from another thread; close breaks the handler off."""
    node = Node(log=list)
    node.driver.patience = 0.1
    node.serve()
    addr = node.newservice(spin)
    for _ in range(2):  # the second is not even put into its mailbox
        with pytest.raises(DriveTimeout, match="the answer of :.* did not come in time"):
            node.call(addr, "lua", timeout=0.05)
    node.close()
    assert node.closed and not [t for t in threading.enumerate() if t.name == "skynet_lite node"]


class Refused(Outside):
    def note(self, kind: str, *values: Any) -> None:
        if kind == "own":
            raise OSError("no world today")


def test_a_boot_that_fails_in_serve_says_why() -> None:
    """To who called serve, and to whoever comes later; and the node is closed as any other."""
    before = descriptors()
    node = Node(log=list, outside=Refused())
    for ask in (node.serve, lambda: node.newservice(echo), lambda: node.call(".launcher", "lua")):
        with pytest.raises(SkynetError, match="the boot of this node has failed: OSError: no world today"):
            ask()
    node.close()
    assert node.closed and descriptors() == before


def test_a_look_at_a_stopped_node_does_not_set_it_going() -> None:
    """As a dashboard does, which comes a moment after `stop`."""
    beats: list[int] = []

    def main() -> None:
        def beat() -> None:
            beats.append(1)
            skynet.timeout(0, beat)

        skynet.timeout(0, beat)

    with Node(thread=2, log=list) as node:
        node.newservice(main)
        node.stop()
        n = node.look(lambda: len(beats))
        assert node.look(lambda: len(beats)) == n and node.driver.paused()
        node.run(until=lambda: len(beats) > n, timeout=LIMIT)


# ---- time


@pytest.mark.parametrize("clock", ["real", "virtual"])
@pytest.mark.parametrize("thread", [1, 2])
def test_a_wait_may_be_of_any_length(thread: int, clock: str) -> None:
    """In whatever takes one; timers that are due soon fire as ever."""
    got: list[Any] = []

    def main() -> None:
        for ti in (2**31, 10**12, 10**30, 10**400):
            skynet.fork(skynet.sleep, ti)
            skynet.fork(skynet.sleep, ti, f"token {ti.bit_length()}")
            skynet.timeout(ti, lambda: got.append("late"))
            skynet.fork(lambda ti=ti: list(skynet.select((skynet.self(), "lua"), timeout=ti)))
        skynet.dispatch("lua", lambda session, source: skynet.sleep(10**30))
        skynet.timeout(2, lambda: got.append("soon"))

    with Node(thread=thread, clock=clock, log=list) as node:
        node.newservice(main)
        node.run(until=lambda: got == ["soon"], timeout=LIMIT)
        if clock == "virtual":
            for ti in (2**31, 10**12, 10**30):
                node.advance(ti)
            assert got == ["soon", "late", "late", "late"]
        assert not [text for text in node.log_lines if "rror" in text]


# ---- names


class Silent(Outside):
    """Names that begin with "never" are not answered before `over`."""

    def __init__(self) -> None:
        super().__init__()
        self.over = threading.Event()

    def resolve(self, host: str, port: int, kind: int) -> list[AddressInfo]:
        if host.startswith("never"):
            self.over.wait(LIMIT)
        return super().resolve("127.0.0.1", port, kind)


def test_names_that_never_answer_hold_up_nobody() -> None:
    """Neither the lookups of others, nor the end of the node: nobody wants them any more."""
    outside, opened = Silent(), []

    def main() -> None:
        listening = socket.listen("127.0.0.1:0")
        port = socket.sockname(listening)[1]
        socket.start(listening, lambda id, addr: None)
        for n in range(20):
            skynet.fork(socket.open, f"never{n}.test", port)
        skynet.fork(lambda: opened.append(socket.open("good.test", port)))

    with Node(log=list, outside=outside) as node:
        node.newservice(main)
        node.run(until=lambda: opened, timeout=LIMIT)
    waiting = [t for t in threading.enumerate() if t.name == "lookup"]
    outside.over.set()
    assert len(waiting) == 20  # close has not waited for them
    for t in waiting:
        t.join(LIMIT)


# ---- workers


def agent() -> None:
    pass


def placed(thread: int, keep: int) -> tuple[list[int], list[int]]:
    """The workers of 40 agents of which `keep` live at a time; how many services live on each in the end."""
    with Node(thread=thread, clock="virtual", log=list) as node:
        living, where = [], []
        for _ in range(40):
            living.append(node.newservice(agent))
            where.append(node.worker(living[-1]).number)
            if len(living) > keep:
                node.server.kill(0, living.pop(0))
            node.run_until_idle()
        assert sum(w.living for w in node.driver.threads) == len(node.handles.contexts)  # type: ignore[union-attr]  # of Workers
        return where, [worker.living for worker in node.driver.threads]  # type: ignore[union-attr]


@pytest.mark.parametrize("thread", [2, 3, 4])
@pytest.mark.parametrize("keep", [0, 5])
def test_agents_that_come_and_go_are_spread_over_the_workers(thread: int, keep: int) -> None:
    """Their handles may all be the same modulo N; and it is the same every time."""
    where, living = placed(thread, keep)
    births = [where.count(n) for n in range(thread)]
    assert max(births) - min(births) <= 6 and max(living) - min(living) <= 3
    assert placed(thread, keep) == (where, living)


def test_a_worker_whose_services_have_gone_gets_the_next() -> None:
    """What lives counts, not what was born."""
    with Node(thread=2, clock="virtual", log=list) as node:
        agents = [node.newservice(agent) for _ in range(20)]
        for addr in agents:
            if node.worker(addr).number == 1:
                node.server.kill(0, addr)
        node.run_until_idle()
        new = [node.newservice(agent) for _ in range(10)]
        assert Counter(node.worker(addr).number for addr in new)[1] >= 7
        assert abs(len([a for a in [*agents, *new] if a in node.handles.contexts and node.worker(a).number]) - 10) <= 3


# ---- one worker that is kept


def test_a_handler_that_takes_long_is_told_with_its_line_when_it_comes_back() -> None:
    """Once for each message; by looks from beside, which cost a message nothing."""

    def main() -> None:
        watch = skynet.running().service.server.driver.monitor

        def handler(session: int, source: int, looks: int) -> None:
            for _ in range(looks):
                watch.check()
            skynet.retpack(len(node.log_lines))

        skynet.dispatch("lua", handler)

    main.__name__ = "100%s"  # a name is text, and no format
    with Node(log=list, endless=3600) as node:
        addr = node.newservice(main)
        node.call(addr, "lua", 1)
        node.call(addr, "lua", 1)
        node.run_until_idle()
        n = len(node.log_lines)
        assert node.call(addr, "lua", 4) == n  # not in the middle of it
        node.run_until_idle()
        (line,) = node.log_lines[n:]
        assert line.startswith(
            f"[:00000000] error: a message kept service 100%s (:{addr:08x}) for more than 0 s, at 100%s:"
        )
        assert line.endswith(" in handler")
    assert not [t for t in threading.enumerate() if t.name == "skynet_lite monitor"]


@pytest.mark.parametrize("keys", [{"clock": "virtual"}, {"record": True}, {"endless": 0}])
def test_nobody_watches_where_time_must_not_matter(keys: Any) -> None:
    """Under the virtual clock, in a recording that is to be replayed, and where the configuration says so."""
    with Node(log=list, **keys) as node:
        node.newservice(agent)
        assert not [t for t in threading.enumerate() if t.name == "skynet_lite monitor"]


def test_a_threshold_is_a_number_of_seconds() -> None:
    """The key is named if it is not."""
    with pytest.raises(ConfigError, match="configuration key 'endless' is -1: a number of seconds is needed, or 0"):
        Node(endless=-1)


# ---- a daemon


def test_a_pid_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Whatever it leads to stays as it is."""
    target, link, hard = tmp_path / "precious", tmp_path / "link.pid", tmp_path / "hard.pid"
    target.write_text("precious\n")
    link.symlink_to(target)
    os.link(target, hard)
    for path in (link, hard):
        with pytest.raises(ConfigError, match="Can't create pidfile .*: it is a link"):
            write_pid(str(path))
    assert target.read_text() == "precious\n"


def stands_still(pid: int) -> bool:
    """Whether a process sleeps, and has used no processor for a while."""

    def now() -> tuple[str, ...]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[11], fields[12]

    first = now()
    time.sleep(0.3)
    return first == now() and first[0] == "S"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_sigterm_while_a_daemon_starts_takes_its_pid_file_away(tmp_path: Path) -> None:
    """It waits at its log file, a pipe that nobody reads."""
    os.mkfifo(tmp_path / "log")
    (tmp_path / "c.toml").write_text('start = "x"\ndaemon = "./x.pid"\nlogger = "log"\n')
    pidfile = tmp_path / "x.pid"
    subprocess.run([sys.executable, "-m", "skynet_lite", "run", "c.toml"], cwd=tmp_path, timeout=60, check=True)
    until(lambda: pidfile.exists() and pidfile.read_text().endswith("\n"))
    pid = int(pidfile.read_text())
    until(lambda: stands_still(pid))  # a signal that comes right before a call that blocks is handled after it
    os.kill(pid, signal.SIGTERM)
    until(lambda: not pidfile.exists())
