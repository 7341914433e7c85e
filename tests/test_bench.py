"""The benchmark still runs: its command prints every table and every row. The figures are not looked at."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodes
import pytest
import report
import run
from harness import Process

RUN = Path(__file__).parent / "bench" / "run.py"
NODES = RUN.with_name("nodes.py")
ROWS = (
    "call + ret", "send, one way", "fork (warm pool)", "yield_", "wait/wakeup", "ring of 1,000 services", "birth of a service",
    "1 × 64 B", "50 × 64 B", "500 × 64 B", "1 × 4096 B", "50 × 4096 B", "500 × 4096 B", "read(n)", "CPU of the server",
    "a parked coroutine", "an idle service", "a connection", "never recorded", "recorder off", "recorder on",
    "`state(i)`", "`timeline()`", "the same of 100,000", "`to_html()`",
)  # fmt: skip
BROWSER = ("that page in Chromium", "from a key to a step")


def test_the_command_prints_every_row_and_every_goal(tmp_path):
    file = tmp_path / "performance.md"
    file.write_text("before\n<!-- bench: begin -->\nfigures of another day\n<!-- bench: end -->\nafter\n")
    command = [sys.executable, str(RUN), "--quick", "--systems", "--markdown", str(file)]
    browser = shutil.which("chromium") is not None or os.environ.get("BROWSER_TESTS") == "required"
    command += [] if browser else ["--no-browser"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert out.returncode == 0, out.stderr
    assert "Failed" not in out.stdout, out.stdout
    for row in ROWS + BROWSER * browser:
        cells = [line.split("|")[2].strip() for line in out.stdout.splitlines() if line.startswith(f"| {row}")]
        assert cells and "–" not in cells, f"{row}: {cells}"
    assert "Real skynet: not measured" in out.stdout
    assert "call + ret / gevent" in out.stdout  # a goal, though its peer was not asked
    text = file.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "another day" not in text


def test_the_bench_of_nodes_prints_every_row(tmp_path):
    """One process, several, and a bare program of the same frames: each with a figure, and with its CPU."""
    file = tmp_path / "beyond.md"
    command = [sys.executable, str(NODES), "--quick", "--markdown", str(file)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert out.returncode == 0, out.stderr
    assert "Failed" not in out.stdout, out.stdout
    rows = [row for group in (nodes.BEHIND, nodes.PAIRS) for row, what in group.items() if nodes.SKYNET not in what]
    assert len(rows) == 13
    for row in rows:
        cells = [line.split("|")[2:4] for line in file.read_text().splitlines() if line.startswith(f"| {row} |")]
        assert len(cells) == 1 and "–" not in cells[0][0], f"{row}: {cells}"


def test_the_bare_program_speaks_the_frames_of_a_cluster():
    """Whoever measures beside it must know that it is the same: it calls a node of ours, and a node calls it."""
    for caller, callee in (("nodes_asyncio.py", "nodes_lite.py"), ("nodes_lite.py", "nodes_asyncio.py")):
        port = str(nodes.free_port())
        started = [sys.executable, str(NODES.with_name(callee)), "worker", port]
        asking = [sys.executable, str(NODES.with_name(caller)), "caller", "300", "20", port]
        with Process(started, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout.readline().startswith("RESULT")
            with Process(asking, stdout=subprocess.PIPE, text=True) as asks:
                assert [asks.stdout.readline() for _ in range(2)] == ["START\n", "RESULT 300\n"]


def test_what_is_missing_is_said_before_anything_is_measured(tmp_path):
    """An hour later would be too late. Each line names what brings it, or what does without."""
    (tmp_path / "skynet").touch()
    command = [sys.executable, "-S", str(RUN), "--skynet", str(tmp_path)]  # -S: without what was installed
    out = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": ""})
    assert out.returncode == 2
    for told in (
        "gevent",
        "matplotlib",
        "pip install",
        "--systems",
        "chromium",
        "--no-browser",
        "no lualib, cservice/",
    ):
        assert told in out.stderr
    assert not out.stdout and "round 1" not in out.stderr


CHATTY = """
import socketserver

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            print("x" * 100_000, flush=True)  # more than a pipe holds
            self.wfile.write(line)

server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
print("RESULT", server.server_address[1], flush=True)
server.serve_forever()
"""


def test_a_server_may_log_as_much_as_it_likes(tmp_path, monkeypatch):
    """A real skynet does: it would stand still, and be measured so, if nobody read what it says."""
    program = tmp_path / "chatty.py"
    program.write_text(CHATTY)
    monkeypatch.setitem(run.PROGRAMS, "chatty", program)
    bench = run.Bench(argparse.Namespace(systems=[], skynet=None, quick=True), tmp_path)
    assert bench.served("chatty", "echo", 1, 64, 0.1)["requests"] > 0


@pytest.mark.parametrize(
    ("goal", "measured", "verdict"),
    [
        ({}, 1.5, "not met"), ({}, 1.0, "met"), ({}, 0.5, "moonshot"), ({}, None, "not measured"),
        ({"at_least": True}, 0.4, "not met"), ({"at_least": True}, 0.7, "moonshot"),
    ],
)  # fmt: skip
def test_a_goal_is_judged_by_its_figures(goal, measured, verdict):
    assert report._verdict(measured, {"goal": 1.0, "moonshot": 0.6} | goal) == verdict


def test_what_is_counted_stands_on_the_page() -> None:
    """`--write` stores new figures; the page is made anew with a run, or by hand from `report._counted()`."""
    page = Path(__file__).parent.parent / "docs" / "performance.md"
    assert report._counted().strip() in page.read_text(encoding="utf-8")
