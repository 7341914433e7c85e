"""What processes bring where the GIL stops threads: `python tests/bench/nodes.py`.

Clients ask a gate, the gate calls a worker that computes for a millisecond: in one process with `thread=N`, and with
1, 2 and 4 worker nodes behind the gate node. Then a call from one process to another, 100 under way. Beside it stands
a bare asyncio program that speaks the same frames, and with `--skynet DIR` a built real skynet.

As in run.py a round measures everything once, every figure in fresh processes, and the tables show medians over the
rounds. CPU is that of all processes of the server, not of the clients. It says more than the rate: a process of Python
computes for a second in a second, so where cores are enough the busiest process is the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import report
from load import cpu_seconds
from run import LITE, SKYNET, SKYNET_CONFIG, busy_seconds, not_built

HERE = Path(__file__).resolve().parent
ASYNCIO = "asyncio"
TIMEOUT = 120  # seconds for one figure
CONNECTIONS, LINE, OUTSTANDING = 50, 64, 100

BEHIND = {  # row → system, one process or several, how many workers
    f"{system}: {'thread=' if role == 'threads' else ''}{n}{' worker node' + 's' * (n > 1) if role == 'gate' else ''}": (
        system, role, n,
    )
    for system, role, numbers in (
        (LITE, "threads", (1, 2, 4)), (LITE, "gate", (1, 2, 4)), (ASYNCIO, "gate", (1, 2, 4)),
        (SKYNET, "threads", (4,)), (SKYNET, "gate", (1, 2, 4)),
    )
    for n in numbers
}  # fmt: skip
PAIRS = {  # row → who calls, whom; None: a service of its own, with so many threads
    "skynet_lite, within a node": (LITE, None, 1),
    "skynet_lite, thread=2": (LITE, None, 2),
    "skynet_lite → skynet_lite": (LITE, LITE, 1),
    "asyncio → asyncio": (ASYNCIO, ASYNCIO, 1),
    "skynet, within a node": (SKYNET, None, 2),
    "skynet → skynet": (SKYNET, SKYNET, 1),
    "skynet_lite → skynet": (LITE, SKYNET, 1),
    "skynet → skynet_lite": (SKYNET, LITE, 1),
}
CALLS = {LITE: 10_000, ASYNCIO: 50_000, SKYNET: 50_000}  # about a second of each


class Nodes:
    """Processes, and what they have done: `values[row]`, a figure for each round, None if it failed."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.values: dict[str, list[dict[str, float] | None]] = {}
        self.failed: list[str] = []
        self.others: list[float] = []  # cores that other programs kept busy, in each round
        config = SKYNET_CONFIG.format(threads=os.cpu_count(), profile="false", services=HERE / "skynet")
        (folder / "config").write_text(config.replace('"bench"', '"nodes"'))

    @contextmanager
    def started(self, system: str, role: str, *numbers: int) -> Iterator[subprocess.Popen[str]]:
        arguments, env, cwd = [str(n) for n in numbers], dict(os.environ), None
        if system == SKYNET:
            env |= {"BENCH_ROLE": role, "BENCH_ARGS": " ".join(arguments), "BENCH_PORT": str(free_port())}
            command, cwd = ["./skynet", str(self.folder / "config")], self.options.skynet
        else:
            program = "nodes_lite.py" if system == LITE else "nodes_asyncio.py"
            command = [sys.executable, str(HERE / program), role, *arguments]
        with (
            open(self.folder / "complaints", "w") as complaints,
            subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def said(self, process: subprocess.Popen[str], word: str) -> int:
        """The number in the line that begins so; a skynet logs other lines before it."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(word):
                return int(float((line.split() + ["0"])[1]))
        raise RuntimeError((self.folder / "complaints").read_text().strip().rpartition("\n")[2][:200])

    # ---- one figure

    def behind(self, system: str, role: str, n: int) -> dict[str, float]:
        """Requests a second, and microseconds of CPU of all processes for one."""
        with ExitStack() as stack:
            server = []
            if role == "gate":
                server = [stack.enter_context(self.started(system, "worker", free_port())) for _ in range(n)]
                numbers = [self.said(process, "RESULT") for process in server]
            else:
                numbers = [n]
            gate = stack.enter_context(self.started(system, role, *numbers))
            port = self.said(gate, "RESULT")
            pids = ",".join(str(process.pid) for process in [gate, *server])
            command = [
                sys.executable,
                HERE / "load.py",
                "echo",
                port,
                pids,
                CONNECTIONS,
                LINE,
                self.options.seconds,
                -1,
            ]
            out = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=TIMEOUT)
            if out.returncode:
                raise RuntimeError(out.stderr.strip().rpartition("\n")[2][:200])
            answer: dict[str, float] = json.loads(out.stdout)
            if system == SKYNET:
                del answer["most_us"]  # its threads use several cores
            return answer

    def pair(self, caller: str, callee: str | None, threads: int) -> dict[str, float]:
        """Calls a second, and microseconds of CPU of both sides for one."""
        calls = max(OUTSTANDING, round(CALLS[caller] * min(1, self.options.seconds)))
        with ExitStack() as stack:
            server = []
            if callee is None:
                role, last = "inside", threads
            else:
                server = [stack.enter_context(self.started(callee, "worker", free_port()))]
                role, last = "caller", self.said(server[0], "RESULT")
            asks = stack.enter_context(self.started(caller, role, calls, OUTSTANDING, last))
            pids = [process.pid for process in [asks, *server]]
            self.said(asks, "START")
            start, cpu = time.monotonic(), sum(map(cpu_seconds, pids))
            done = self.said(asks, "RESULT")
            took, used = time.monotonic() - start, sum(map(cpu_seconds, pids)) - cpu
            return {"rate": done / took, "cpu_us": used / done * 1e6}

    # ---- rounds

    def round(self, number: int) -> None:
        busy, own, start = busy_seconds(), sum(os.times()[:4]), time.monotonic()
        rows: list[tuple[str, Any, tuple[Any, ...]]] = [(row, self.behind, what) for row, what in BEHIND.items()]
        rows += [(row, self.pair, what) for row, what in PAIRS.items()]
        rows = [row for row in rows if SKYNET not in row[2] or self.options.skynet]
        turn = number % len(rows)
        for row, measure, what in rows[turn:] + rows[:turn]:
            found = None
            try:
                found = measure(*what)
            except (RuntimeError, subprocess.TimeoutExpired, OSError, ValueError) as e:
                self.failed.append(f"{row}: {e}")
            self.values.setdefault(row, []).append(found)
            if not self.options.quick:
                print(f"  {time.strftime('%H:%M:%S')} {row} {found}", file=sys.stderr, flush=True)
        busy, own = busy_seconds() - busy, sum(os.times()[:4]) - own
        self.others.append(max(0.0, busy - own) / (time.monotonic() - start))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


# ---- tables


def text(nodes: Nodes) -> str:
    rounds = max(map(len, nodes.values.values()), default=0)
    others = max(nodes.others, default=0.0)
    about = (
        f"{rounds} rounds on {os.cpu_count()} cores, Python {sys.version.split()[0]}; other programs kept up to "
        f"{others:.1f} cores busy."
    )
    one, pair = f"{LITE}: 1 worker node", f"{LITE} → {LITE}"
    behind = [[row, *figures(nodes, row, one, "rate", "cpu_us", "most_us")] for row in BEHIND if row in nodes.values]
    pairs = [[row, *figures(nodes, row, pair, "rate", "cpu_us")] for row in PAIRS if row in nodes.values]
    parts = [
        about,
        "### A gate and its workers",
        f"{CONNECTIONS} clients, each with one request under way; a millisecond of work for one. In brackets: beside one "
        "worker node. The busiest process is the limit where there are cores enough (but for skynet, whose threads use "
        "several).",
        report.table(["", "requests a second", "CPU, µs a request", "its busiest process"], behind),
        "### A call to another process",
        f"{OUTSTANDING} calls under way; CPU of both sides. In brackets: beside {pair}.",
        report.table(["", "calls a second", "CPU, µs a call"], pairs),
    ]
    return "\n\n".join([*parts, *(f"Failed: {line}" for line in nodes.failed)])


def figures(nodes: Nodes, row: str, beside: str, *fields: str) -> list[str]:
    """Median of each field, and the median of what it is within a round beside another row."""
    told = []
    for field in fields:
        rounds = zip(nodes.values[row], nodes.values.get(beside, []), strict=False)
        found = [value[field] for value in nodes.values[row] if value and field in value]
        ratios = [a[field] / b[field] for a, b in rounds if a and b and field in a]
        if not found:
            told.append("–")
        else:
            told.append(f"{median(found):,.0f}" + (f" ({median(ratios):.2f})" if ratios and row != beside else ""))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny numbers, one round: does it run at all")
    parser.add_argument("--skynet", metavar="DIR", type=Path, help="folder of a built real skynet")
    parser.add_argument("--rounds", metavar="N", type=int, help="default 5")
    parser.add_argument("--seconds", metavar="S", type=float, default=2.0, help="of load for each figure (default 2)")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="put the tables into FILE, between its markers")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep all figures, after each round")
    options = parser.parse_args()
    if told := not_built(options.skynet):
        parser.error(told[0])
    if options.quick:
        options.seconds = 0.05
    with tempfile.TemporaryDirectory() as folder:
        nodes = Nodes(options, Path(folder))
        for number in range(options.rounds or (1 if options.quick else 5)):
            print(f"round {number + 1}", file=sys.stderr, flush=True)
            nodes.round(number)
            if options.json:
                options.json.write_text(json.dumps(nodes.values, indent=1))
    print(found := text(nodes))
    if options.markdown:
        report.replace(options.markdown, found, "nodes")


if __name__ == "__main__":
    main()
