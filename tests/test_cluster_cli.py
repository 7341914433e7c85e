"""`skynet-lite cluster`: the nodes of one file as real processes, which are seen to start, to fail and to end."""

from __future__ import annotations

import io
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import LIMIT, Process

from skynet_lite import ConfigError, Node, SkynetError, Trace
from skynet_lite.cli import main
from skynet_lite.core.outside import secret_file
from skynet_lite.fleet import state
from skynet_lite.fleet.processes import Voices
from skynet_lite.node.config import load, nodes_of

ROOT = Path(__file__).parent.parent
TWO = """\
[node.front]
start = "waits"

[node.room]
start = "waits"
"""
WAITS = """\
import os
from skynet_lite import skynet, socket

@skynet.start
def main():
    socket.start(socket.listen("127.0.0.1:0"), lambda id, peer: None)
    skynet.on_stop(lambda: print("bye from", os.getpid()))
    print(skynet.getenv("node"), "is up", skynet.getenv("word"))
"""
DEAF = """\
import signal, subprocess
from skynet_lite import skynet

@skynet.start
def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    helper = subprocess.Popen(["sleep", "600"])
    skynet.timeout(100_000, print)
    print("deaf, with helper", helper.pid)
"""


class Cluster:
    """`cluster up`, with what it says line by line."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            self.command("up", *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="surrogateescape",
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup would have had it ignored
        )  # fmt: skip
        self.said: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "skynet_lite", "cluster", *words, str(self.folder / "cluster.toml")]

    def wait(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Read on until so many lines have matched, from the first on; the last match."""
        while len(found := [m for line in self.said if (m := re.search(pattern, line))]) < times:
            line = self._lines.get(timeout=LIMIT)
            assert line is not None, f"it has ended without {pattern!r}: {self.said}"
            self.said.append(line)
        return found[-1]

    def pids(self) -> dict[str, int]:
        """Of the nodes that have been started."""
        found = (re.match(r"\* .* \| ([\w-]+) starts: pid (\d+)", line) for line in self.said)
        return {m[1]: int(m[2]) for m in found if m}

    def end(self, number: int | None = None) -> int:
        """The status, and all that was said until then in `said`."""
        if number is not None:
            self.process.send_signal(number)
        while (line := self._lines.get(timeout=LIMIT)) is not None:
            self.said.append(line)
        return self.process.wait(LIMIT)

    def ps(self, wait: float = LIMIT) -> tuple[int, list[list[str]]]:
        """Status and rows of `cluster ps`; cells stand two blanks apart."""
        command = self.command("ps", "--wait", str(wait))
        done = subprocess.run(command, capture_output=True, text=True, timeout=5 * LIMIT)
        assert done.stderr == ""
        return done.returncode, [re.split(r" {2,}", line.strip()) for line in done.stdout.splitlines()]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Cluster]]:
    """Makes one; whatever is left of it at the end is killed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    made: list[Cluster] = []

    def make(text: str = TWO, *options: str, **files: str) -> Cluster:
        (tmp_path / "cluster.toml").write_text('luaservice = "./?.py"\n' + text)
        for name, source in ({"waits": WAITS} | files).items():
            (tmp_path / f"{name}.py").write_text(source)
        made.append(Cluster(tmp_path, *options))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.end()
        one.process.wait(LIMIT)


def gone(pid: int, limit: float = LIMIT) -> bool:
    """Whether a process ends; it may be one that nobody waits for."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


# --------------------------------------------------------------------------- up, and down again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_all_start_are_told_apart_and_stop(cluster: Any, number: int) -> None:
    """One file, three processes; each line stands behind the name of who says it, and nothing is left at the end."""
    up = cluster('[env]\nword = "shared"\n[node.front]\nstart = "waits"\nenv.word = "own"\n'
                 '[node.room]\nstart = "waits"\ncount = 2\n')  # fmt: skip
    up.wait("is up", 3)
    assert {"front | front is up own", "room1 | room1 is up shared", "room2 | room2 is up shared"} <= set(up.said)
    pids = up.pids()
    assert list(pids) == ["front", "room1", "room2"]
    assert up.end(number) == 0
    assert {f"{name} | bye from {pid}" for name, pid in pids.items()} <= set(up.said), "each in its own good time"
    assert {f"*     | {name} ended with status 0" for name in pids} <= set(up.said)
    assert all(map(gone, pids.values()))
    assert list((up.folder / "data/skynet_lite/runtime").iterdir()) == []


def test_ps_lists_them(cluster: Any) -> None:
    """With figures from the console of each; status 0 as long as all run."""
    up = cluster('[cluster]\nfront = "127.0.0.1:0"\n' + TWO)
    port = up.wait(r"front starts: pid \d+, 127.0.0.1:(\d+), console (\d+)")
    up.wait("Start debug console", 2)
    status, (head, front, room) = up.ps()
    assert status == 0 and head == ["node", "state", "pid", "address", "console", "services", "mailbox", "messages"]
    pids = up.pids()
    assert front[0] == "front" and front[1].startswith("up for 0:")
    assert front[2:6] == [str(pids["front"]), f"127.0.0.1:{port[1]}", port[2], "5"]
    assert room[0] == "room" and room[2] == str(pids["room"]) and "127.0.0.1" not in room[3]
    os.kill(pids["room"], signal.SIGKILL)
    up.wait("room was killed by SIGKILL")
    status, rows = up.ps()
    assert status == 1 and rows[2] == ["room", "was killed by SIGKILL"]
    up.end(signal.SIGTERM)
    assert up.ps() == (1, [head, ["front", "does not run"], ["room", "does not run"]])


def test_a_node_that_hangs_is_listed(cluster: Any) -> None:
    """ps gives up waiting; the others are shown all the same."""
    up = cluster()
    up.wait("Start debug console", 2)
    os.kill(up.pids()["room"], signal.SIGSTOP)
    status, (_, front, room) = up.ps(5)
    assert (status, front[0], room[-1]) == (0, "front", "no answer")
    os.kill(up.pids()["room"], signal.SIGCONT)
    assert up.end(signal.SIGTERM) == 0


def test_a_table_may_ask_for_free_ports(cluster: Any) -> None:
    """Whoever runs the same file twice on one machine wants them. All nodes are told the same ones."""
    reads = WAITS.replace("import os\n", "import os, tomllib\n") + (
        '    file = os.environ["SKYNET_LITE_CLUSTER"]\n    print("table", tomllib.load(open(file, "rb")))\n'
    )
    up = cluster('[cluster]\nfront = "127.0.0.1:0"\nroom = "127.0.0.1:2528"\naway = false\n' + TWO, waits=reads)
    port = up.wait(r"front starts: pid \d+, 127.0.0.1:(\d+)")[1]
    up.wait(r"\| table ", 2)
    told = [line.partition("| table ")[2] for line in up.said if "| table " in line]
    assert told == [str({"front": f"127.0.0.1:{port}", "room": "127.0.0.1:2528", "away": False})] * 2
    assert up.end(signal.SIGTERM) == 0


def test_a_free_port_stays_free_until_the_node_takes_it() -> None:
    """It is bound and nobody listens: whoever else looks for a port does not get it, and the node does."""
    from skynet_lite.fleet.plan import Ports

    ports = Ports()
    port = ports.free("127.0.0.1")
    with Node(log=list) as node, socket.socket() as other:
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        node.newservice("debug_console", "127.0.0.1", port)
        node.client(port).close()
    ports.close()


def test_without_consoles(cluster: Any) -> None:
    """--no-console: no port that the program has not asked for."""
    up = cluster(TWO, "--no-console")
    up.wait("is up", 2)
    status, (_, front, _room) = up.ps()
    assert status == 0 and front[2:] == [str(up.pids()["front"])]
    assert up.end(signal.SIGTERM) == 0
    assert not [line for line in up.said if "console" in line]


CLIENT = """\
import socket
for port in {ports}:
    with socket.create_connection(("127.0.0.1", port)) as s, s.makefile("rb") as lines:
        print(lines.readline())
"""
GREETS = """\
from skynet_lite import cluster, skynet, socket

def greet(id, peer):
    socket.start(id)
    socket.write(id, b"%s\\n" % cluster.call("room", "@room", "who").encode())
    socket.close(id)

@skynet.start
def main():
    skynet.dispatch("lua", lambda session, source, what: skynet.retpack(f"{what}? room"))
    cluster.register(skynet.getenv("node"))
    cluster.open(skynet.getenv("node"))
    listening = socket.listen("127.0.0.1:0")
    socket.start(listening, greet)
    print("greets at", socket.sockname(listening)[1])
"""


def greeting(cluster: Any, **more: str) -> Cluster:
    """Two nodes; the front calls the room for each client. `more`: services of other nodes."""
    tables = "".join(f'[node.{name}]\nstart = "{name}"\n' for name in more)
    up: Cluster = cluster(
        '[cluster]\nfront = "127.0.0.1:0"\nroom = "127.0.0.1:0"\n' + TWO + tables, waits=GREETS, **more
    )
    up.wait("Start debug console", 2 + len(more))
    return up


def trace(up: Cluster, *options: str, words: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*up.command("trace"), "--wait", str(LIMIT), *options, *(("--", *words) if words else ())]
    return subprocess.run(command, capture_output=True, text=True, timeout=5 * LIMIT, cwd=up.folder)


def ask(up: Cluster, status: int = 0) -> tuple[str, ...]:
    """A command that is a client of the front."""
    port = up.wait(r"front \| greets at (\d+)")[1]
    return sys.executable, "-c", f"{CLIENT.format(ports=[port, port])}\nraise SystemExit({status})"


def test_trace_records_all_nodes_while_a_command_runs(cluster: Any) -> None:
    """One client, and what it has all nodes do; the status is that of the command."""
    up = greeting(cluster)
    done = trace(up, "--save", "run.json", words=ask(up, 3))
    assert (done.returncode, done.stderr) == (3, "")
    assert "b'who? room\\n'" in done.stdout, "it speaks to the terminal as ever"
    assert re.search(r"^front: \d+ events, room: \d+ events\nrun.json$", done.stdout, re.MULTILINE)
    assert up.end(signal.SIGTERM) == 0
    found = Trace.load(up.folder / "run.json")
    room = [i for i, e in enumerate(found) if e["e"] == "message" and e["service"] == "room:00000008"]
    causes = [[str(found[k].get("service", "")) for k in found.causes(i)] for i in room]
    assert any("front:00000008" in way for way in causes), "what the room is asked comes from a client of the front"


def test_trace_records_for_some_seconds(cluster: Any) -> None:
    """And writes a page, if nothing else is said."""
    up = cluster('[node.front]\nstart = "waits"\n')
    up.wait("Start debug console")
    done = trace(up, "--seconds", "0.2")
    assert (done.returncode, done.stderr) == (0, "")
    page = up.folder / done.stdout.splitlines()[-1]
    assert page.name == "trace-cluster.html" and "<!doctype html>" in page.read_text()[:100]
    assert up.end(signal.SIGTERM) == 0


def test_trace_names_who_does_not_answer(cluster: Any) -> None:
    """A node that hangs is left out, or that does not trust us, and the status says so; one that has ended is not asked."""
    up = greeting(cluster, other=WAITS)
    up.wait("other is up")
    os.kill(up.pids()["other"], signal.SIGSTOP)
    done = trace(up, "--wait", "5", "--save", "run.txt", words=ask(up))
    assert done.returncode == 1 and "other is left out: no answer in 5 s\n" in done.stdout
    os.kill(up.pids()["other"], signal.SIGKILL)
    up.wait("other was killed")
    assert trace(up, "--save", "run.txt", words=ask(up)).returncode == 0
    tokens = [Path(secret_file(f"console-{up.wait(f'{name} starts.*console (.*)')[1]}")) for name in ("front", "room")]
    tokens[1].unlink()
    done = trace(up, "--save", "run.txt", words=ask(up))
    assert done.returncode == 1 and "room is left out: record needs the token: first say" in done.stdout
    tokens[0].write_text("another word")
    done = trace(up, "--save", "run.txt", words=ask(up))
    assert done.returncode == 2 and "no node can be recorded: front: record needs the token: first say" in done.stderr
    up.end(signal.SIGTERM)


def test_nodes_that_have_nothing_to_do_with_each_other(cluster: Any) -> None:
    """There is no order between them: a file for each."""
    up = cluster(TWO)
    up.wait("Start debug console", 2)
    done = trace(up, "--seconds", "0.1", "--save", "run.json")
    assert done.returncode == 0 and "front, room were not recorded at both ends of a connection" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["run-front.json", "run-room.json"]
    assert Trace.load(up.folder / "run-room.json").names()[":00000008"] == "waits"
    up.end(signal.SIGTERM)


def test_a_trace_that_cannot_be(cluster: Any) -> None:
    """Nobody is there, nobody can be asked, a file of no kind, no command of this name."""
    up = cluster(TWO, "--no-console")
    up.wait("is up", 2)
    for words, options, told in (
        ((), ("--save", "run.xyz"), "run.xyz: what is it to be?"),
        ((), ("--seconds", "0"), "--seconds 0: give more than 0, and up to 3600 seconds"),
        ((), (), "no node can be recorded: front: it has no debug console; room: it has no debug console"),
    ):
        done = trace(up, *options, words=words)
        assert done.returncode == 2 and told in done.stderr, done
    up.end(signal.SIGTERM)
    assert "do not run: start them with skynet-lite cluster up" in trace(up).stderr
    up = cluster(TWO)
    up.wait("Start debug console", 2)
    done = trace(up, words=("/no/such/program",))
    assert done.returncode == 2 and "No such file" in done.stderr
    assert up.end(signal.SIGTERM) == 0


# --------------------------------------------------------------------------- what goes wrong


def test_a_node_that_dies_is_said_and_the_others_go_on(cluster: Any) -> None:
    """By which signal; nothing is started again. The status of `up` tells of it at the end."""
    up = cluster()
    up.wait("is up", 2)
    os.kill(up.pids()["room"], signal.SIGKILL)
    assert up.wait("room was killed.*")[0] == "room was killed by SIGKILL; still running: front"
    assert up.process.poll() is None and Path(f"/proc/{up.pids()['front']}").exists()
    assert up.end(signal.SIGTERM) == 128 + signal.SIGKILL
    assert sum("room starts" in line for line in up.said) == 1


def test_a_node_that_dies_stops_all_if_that_is_wanted(cluster: Any) -> None:
    """--abort-on-exit: the others stop as they would by Ctrl-C."""
    up = cluster(TWO, "--abort-on-exit")
    up.wait("is up", 2)
    os.kill(up.pids()["room"], signal.SIGKILL)
    assert up.end() == 128 + signal.SIGKILL
    assert "*     | room was killed by SIGKILL; stopping front" in up.said
    assert f"front | bye from {up.pids()['front']}" in up.said


def test_a_port_that_is_taken(cluster: Any) -> None:
    """The node says so in one line and ends with status 2; when the last one has ended, so does `up`, with that."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = cluster(TWO.replace('"waits"', '"binds"', 1), "--no-console", binds=WAITS.replace(":0", f":{port}"))
        up.wait("room is up")
        up.wait(r"front \| skynet-lite: service binds .*Address already in use.*\(at binds:6\)")
        up.wait("front ended with status 2; still running: room")
    os.kill(up.pids()["room"], signal.SIGTERM)
    assert up.end() == 2


def test_a_node_that_does_not_stop_is_killed(cluster: Any) -> None:
    """With what it has started; after its own `shutdown` seconds and two more."""
    up = cluster("shutdown = 0\n" + TWO.replace("waits", "deaf", 1), deaf=DEAF)
    helper = int(up.wait(r"helper (\d+)")[1])
    up.wait("room is up")
    assert up.end(signal.SIGTERM) == 128 + signal.SIGKILL
    assert "*     | front has not ended in time, and is killed" in up.said
    assert gone(helper)


def test_a_second_signal_kills(cluster: Any) -> None:
    """Whoever does not want to wait presses Ctrl-C again."""
    up = cluster("shutdown = 600\n" + TWO.replace("waits", "deaf", 1), deaf=DEAF)
    helper = int(up.wait(r"helper (\d+)")[1])
    while not gone(up.pids()["front"], 0.2):  # two at the same time are one: the terminal's, and that of a wrapper
        up.process.send_signal(signal.SIGINT)
    assert up.end() == 128 + signal.SIGKILL
    assert "*     | SIGINT: stopping front, room (again: kill)" in up.said
    assert "*     | front was killed by SIGKILL" in up.said and gone(helper)


def test_if_up_is_killed_no_node_stays(cluster: Any, tmp_path: Path) -> None:
    """Each notices that nobody holds its standard input any more, and stops in good order; a deaf one kills itself.

    What `up` had written down means nothing then, and the next one begins anew.
    """
    leaves = WAITS.replace('print("bye from", os.getpid())', 'open(skynet.getenv("bye"), "x").close()')
    bye = f'[env]\nbye = "{tmp_path}/bye"\n'
    up = cluster(f"shutdown = 0\n{bye}" + TWO.replace("waits", "deaf", 1) + "shutdown = 600", deaf=DEAF, waits=leaves)
    up.wait("deaf, with|room is up", 2)
    pids = up.pids()
    assert up.end(signal.SIGKILL) == -signal.SIGKILL
    assert all(map(gone, pids.values()))
    assert (tmp_path / "bye").exists(), "room had the time to say goodbye"
    status, rows = up.ps()
    assert status == 1 and rows[1:] == [["front", "does not run"], ["room", "does not run"]]
    again = cluster()
    again.wait("is up", 2)
    assert again.end(signal.SIGTERM) == 0


def test_two_at_once_are_refused(cluster: Any) -> None:
    """One file, one `up`; the first one is named, and goes on."""
    up = cluster()
    up.wait("is up", 2)
    second = subprocess.run(up.command("up"), capture_output=True, text=True, timeout=LIMIT)
    assert second.returncode == 2 and second.stdout == ""
    assert re.fullmatch(
        rf"skynet-lite: the nodes of \S+ run already \(skynet-lite cluster up, pid {up.process.pid}\): one at a time\n",
        second.stderr,
    )
    assert up.end(signal.SIGTERM) == 0


def test_when_nobody_reads_all_stop(cluster: Any) -> None:
    """`skynet-lite cluster up cluster.toml | head -1`."""
    up = cluster()
    up.end(signal.SIGTERM)
    piped = subprocess.Popen(up.command("up"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert piped.stdout is not None and piped.stderr is not None
    pid = int(re.search(r"pid (\d+)", piped.stdout.readline())[1])  # type: ignore[index]
    piped.stdout.close()
    os.kill(pid, signal.SIGKILL)  # there is something to say now, if there was not before
    assert piped.wait(LIMIT) == 0 and gone(pid)
    with piped.stderr as said:
        assert said.read() == ""


FILES = [
    ("", "describes no nodes: it needs a table [node.NAME] for each"),
    ("node = 3", "a node is a table, say [node.front]"),
    ("[node]\nfront = 3", "a node is a table, say [node.front]"),
    ('[node."a b"]\nstart = "waits"', "'a b' is no name for a node"),
    ("[node.front]", '[node.front] names no service to start: add start = "name"'),
    ('[node.front]\nstart = "waits"\ncount = 0', "count of [node.front] is 0: a number of nodes is needed, 1 to 1000"),
    ('[node.room]\nstart = "waits"\ncount = 2\n[node.room1]', "[node.room] and [node.room1] both make a node room1"),
    ('[node.front]\nstart = "waits"\nthreads = 2', "unknown configuration key 'threads'; did you mean 'thread'?"),
    ('[node.front]\nstart = "waits"\ndaemon = "x.pid"', "in the background nobody could watch it"),
    ('[cluster]\nfront = "2528"\n[node.front]\nstart = "waits"', "the address of node front is '2528'"),
    ('[cluster]\nfront = "localhost:http"\n[node.front]\nstart = "waits"', '"HOST:PORT" is needed'),
    ('[cluster]\nroom = "h:65535"\n[node.room]\nstart = "waits"\ncount = 2', "the ports from 65535 on do not reach"),
    (
        'console = 8000\nstart = "waits"\n[node.front]\n[node.room]',
        "127.0.0.1:8000 is the console of front, and the console of room: port 0 is a free one",
    ),
    (
        'start = "waits"\n[cluster]\na = "127.0.0.1:8000"\n[node.a]\n[node.b]\nconsole = 8000',
        "127.0.0.1:8000 is the address of a, and the console of b",
    ),
    ('[node.front]\nstart = "$NOBODY"', "os.getenv() failed: NOBODY"),
    ('[node.front]\nstart = "waits"\nconsole = 70000', "'console' is 70000: a port is needed"),
    ("[node.front", "is not valid TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), FILES)
def test_what_is_wrong_with_a_file_is_said_before_anything_runs(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one line, with status 2; for all nodes of the file, not for the first only."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    file = tmp_path / "cluster.toml"
    file.write_text(text)
    assert main(["cluster", "up", str(file)]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("skynet-lite: ") and told in err and err.count("\n") == 1


@pytest.mark.parametrize("what", ["up", "ps", "trace"])
@pytest.mark.parametrize(
    ("file", "told"), [("nothing.toml", "no such file"), ("x.py", "is no program: give CONFIG.toml")]
)
def test_files_that_are_none(what: str, file: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """None can do without."""
    assert main(["cluster", what, file]) == 2
    assert told in capsys.readouterr().err


# --------------------------------------------------------------------------- one file, seen from one node


def test_a_node_is_run_by_its_name(tmp_path: Path) -> None:
    """`skynet-lite run FILE --node NAME`, as a unit of systemd does; a name that is not there is answered by a near one."""
    file = tmp_path / "cluster.toml"
    file.write_text('luaservice = "./?.py"\n' + TWO)
    (tmp_path / "waits.py").write_text(WAITS.replace("    socket.start", "    skynet.exit()  #"))
    run = [sys.executable, "-m", "skynet_lite", "run", str(file)]
    for words, told in (
        (["--node", "rooom"], f"{file} has no table [node.rooom]; did you mean 'room'?"),
        ([], f"{file} describes several nodes; say which one (--node), or start all with "
         "skynet-lite cluster up: front, room"),
    ):  # fmt: skip
        done = subprocess.run([*run, *words], capture_output=True, text=True, timeout=LIMIT)
        assert (done.returncode, done.stderr) == (2, f"skynet-lite: {told}\n")


def test_a_program_may_stop_with_its_standard_input(tmp_path: Path) -> None:
    """--until-eof: a parent that dies takes it along, for the kernel closes the pipe."""
    (tmp_path / "waits.py").write_text(WAITS)
    command = [sys.executable, "-m", "skynet_lite", "run", "--until-eof", str(tmp_path / "waits.py")]
    with Process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
    ) as node:  # fmt: skip
        assert node.stdout is not None and node.stdin is not None
        assert "is up" in node.stdout.readline()
        node.stdin.write("what is said does not matter\n")
        node.stdin.close()
        assert "bye" in node.stdout.read() and node.wait(LIMIT) == 0


def test_the_keys_of_a_node(tmp_path: Path) -> None:
    """What stands at the top is for all; a table stands over it; [env] is put together; $NAME is of those that run."""
    file = tmp_path / "cluster.toml"
    file.write_text(
        'thread = 2\nendless = 7\n[env]\na = 1\nb = 1\n[cluster]\nroom = "h:2528"\naway = "h:9"\n__nowaiting = true\n'
        '[node.front]\nthread = 1\nenv = { b = 2 }\n[node.room]\ncount = 2\n[node.other]\nlogger = "$NOBODY"\n'
    )
    front, room = (load(file, {"node": name}) for name in ("front", "room2"))
    assert nodes_of(file) == ["front", "room1", "room2", "other"]
    assert (front.thread, front.endless, front.env, front.node) == (1, 7, {"a": 1, "b": 2}, "front")
    assert (room.thread, room.endless, room.env, room.node) == (2, 7, {"a": 1, "b": 1}, "room2")
    assert front.cluster == {"room1": "h:2528", "room2": "h:2529", "away": "h:9", "__nowaiting": True}
    with pytest.raises(ConfigError, match="NOBODY"):
        load(file, {"node": "other"})
    with pytest.raises(ConfigError, match=r"a node without a file has no table \[node.front\]; nor any other"):
        Node(node="front")


def test_a_variable_is_put_in_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its value may have a $ itself; also where a node has an [env] of its own, with which that of all is put together."""
    monkeypatch.setenv("PW", "a$b")
    file = tmp_path / "cluster.toml"
    file.write_text('[env]\npw = "$PW"\n[node.front]\nenv.own = "$PW"\n[node.room]\nenv.pw = "other"\n')
    assert load(file, {"node": "front"}).env == {"pw": "a$b", "own": "a$b"}
    assert load(file, {"node": "room"}).env == {"pw": "other"}


def test_a_node_in_a_program_knows_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes of one file, in one process; and the environment may say which."""
    file = tmp_path / "cluster.toml"
    file.write_text("bootstrap = false\n[node.front]\n[node.room]\n")
    with Node(file, node="front", log=list) as front, Node(file, node="room", log=list) as room:
        assert (front.env.get("node"), room.env.get("node")) == ("front", "room")
    monkeypatch.setenv("SKYNET_LITE_NODE", "room")
    with Node(file, log=list) as node:
        assert node.config.node == "room"


# --------------------------------------------------------------------------- parts of it


def test_lines_are_in_colour_on_a_terminal_only() -> None:
    """A colour for each node; in a pipe there are names and nothing else."""
    for colour, wanted in (
        (False, b"a   | x\nbcd | y\n*   | z\n"),
        (True, b"\x1b[36ma   | \x1b[0mx\n\x1b[33mbcd | \x1b[0my\n\x1b[1m*   | \x1b[0mz\n"),
    ):
        out = io.BytesIO()
        voices = Voices(["a", "bcd"], out, colour)
        for who, line in (("a", b"x"), ("bcd", b"y"), ("*", b"z")):
            voices.say(who, line)
        assert out.getvalue() == wanted


def test_bytes_lines_without_an_end_and_long_ones_are_passed_on(cluster: Any) -> None:
    """What a node writes is not read as text; its last line may have no end, and one that is too long is parted."""
    up = cluster('[node.front]\nstart = "talks"\n', "--no-console", talks=(
        "import os\nfrom skynet_lite import skynet\n@skynet.start\ndef main():\n"
        "    os.write(1, b'bad \\xff\\xfe\\n' + b'x' * 200_000 + b'\\nno end')\n    os._exit(3)\n"
    ))  # fmt: skip
    up.process.wait(LIMIT)
    assert up.end() == 3
    talk = [line.removeprefix("front | ") for line in up.said if line.startswith("front | ") and "LAUNCH" not in line]
    assert talk[0] == "bad \udcff\udcfe" and "".join(talk[1:-1]) == "x" * 200_000 and talk[-1] == "no end"
    assert up.said[-1] == "*     | front ended with status 3"


def test_what_nobody_holds_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock counts, not the number of a process, which another one may have by now."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    file = tmp_path / "cluster.toml"
    assert state.running(file) is None
    held = state.Held(file)
    assert state.running(file) == {"pid": 0, "nodes": {}}, "it has just begun"
    held.write({"pid": os.getpid(), "nodes": {}})
    assert state.running(file) == {"pid": os.getpid(), "nodes": {}}
    os.close(held._lock)  # as the kernel does
    assert state.running(file) is None and (held.folder / "state.json").exists()
    again = state.Held(file)
    again.close()
    assert not again.folder.exists()


def test_one_ends_where_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ends takes its folder away, at any moment of the one who comes: that one has it, or is told who has."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    wrong: list[str] = []
    begin = threading.Barrier(2)

    def come_and_go() -> None:
        begin.wait(LIMIT)
        for _ in range(300):
            try:
                held = state.Held(tmp_path / "cluster.toml")
                held.write({"pid": 1, "nodes": {}})
                held.close()
            except SkynetError:
                pass  # one at a time
            except OSError as e:
                wrong.append(repr(e))

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert wrong == []
