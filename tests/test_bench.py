"""The benchmark still runs: its command prints every table and every row. The figures are not looked at."""

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parent / "bench" / "run.py"
ROWS = (
    "call + ret", "send, one way", "fork (warm pool)", "yield_", "wait/wakeup", "ring of 1,000 services",
    "1 × 64 B", "50 × 64 B", "500 × 64 B", "1 × 4096 B", "50 × 4096 B", "500 × 4096 B", "read(n)",
    "a parked coroutine", "an idle service", "a connection", "recorder off", "recorder on",
    "`state(i)`", "`timeline()`", "`to_html()`",
)  # fmt: skip


def test_the_command_prints_every_row_and_every_goal(tmp_path):
    file = tmp_path / "performance.md"
    file.write_text("before\n<!-- bench: begin -->\nfigures of another day\n<!-- bench: end -->\nafter\n")
    command = [sys.executable, str(RUN), "--quick", "--systems", "--markdown", str(file)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert out.returncode == 0, out.stderr
    assert "Failed" not in out.stdout, out.stdout
    for row in ROWS:
        cells = [line.split("|")[2].strip() for line in out.stdout.splitlines() if line.startswith(f"| {row}")]
        assert cells and "–" not in cells, f"{row}: {cells}"
    assert "Real skynet: not measured" in out.stdout
    assert "call + ret / gevent" in out.stdout  # a goal, though its peer was not asked
    text = file.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "another day" not in text
