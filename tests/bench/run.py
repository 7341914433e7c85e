"""One command that measures skynet_lite beside its peers: `python tests/bench/run.py`.

Every figure comes from a fresh process. A round measures everything once, system after
system, so that whatever else the machine does hits all of them; the table shows medians
over the rounds, and medians of the ratios within a round.

`--skynet DIR` takes a built real skynet along (its binary, `lualib`, `cservice` and
`luaclib` stand in DIR). What is needed and missing is said before anything is measured.
It is a benchmark, not a test: nothing here passes or fails. Nothing else should run
meanwhile; what did is noted with the figures. Counts that need no quiet machine:
bytecodes.py, instructions.py.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

import report

HERE = Path(__file__).resolve().parent
TIMEOUT = 120  # seconds for one figure

LITE, SKYNET, SKYNET_OFF = "skynet_lite", "skynet", "skynet, profile off"
PEERS = {"gevent": "gevent", "asyncio": "asyncio", "uvloop": "uvloop", "trio": "trio", "pykka": "pykka"}
PROGRAMS = {LITE: "peer_lite.py", "views": "views.py"} | {name: f"peer_{name}.py" for name in PEERS}

# metric → operations in a full run, and in a quick one
OPERATIONS = {
    "call": (50_000, 200), "send": (100_000, 400), "fork": (100_000, 400), "yield": (100_000, 400),
    "wait": (50_000, 200), "ring": (50_000, 2_000), "birth": (2_000, 50),
}  # fmt: skip
MEMORY = {"parked": (10_000, 200), "services": (2_000, 50)}
VIEWS = {  # row → metric of views.py, events in a full run
    "look state": ("state", 100_000), "look timeline": ("timeline", 10_000), "look density": ("timeline", 100_000),
    "look page": ("payload", 5_000), "look load": ("load", 5_000), "look step": ("step", 5_000),
}  # fmt: skip
CONNECTIONS, SIZES = (1, 50, 500), (64, 4096)
BROWSER = ("load", "step")  # metrics of views.py that need one
PYKKA = ("call", "send", "ring", "services")  # the rest has no counterpart: its actors are threads
PYKKA_SHARE = 10  # it is that much slower: fewer operations

SKYNET_CONFIG = """
thread = {threads}
harbor = 0
profile = {profile}
bootstrap = "snlua bootstrap"
start = "bench"
luaservice = "{services}/?.lua;./service/?.lua"
lualoader = "./lualib/loader.lua"
lua_path = "./lualib/?.lua;./lualib/?/init.lua"
lua_cpath = "./luaclib/?.so"
cpath = "./cservice/?.so"
"""


class Bench:
    """What to measure, and the figures so far: `values[row][system]`, one for each round, None if it failed."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self.options = options
        self.folder = Path(folder)  # for configurations and what servers complain of
        self.systems = [LITE]
        if options.skynet:
            self.systems += [SKYNET, SKYNET_OFF]
            for system in (SKYNET, SKYNET_OFF):
                self._config(system).write_text(
                    SKYNET_CONFIG.format(
                        threads=options.skynet_threads, profile=str(system == SKYNET).lower(), services=HERE / "skynet"
                    )
                )
        self.systems += [name for name in PEERS if name in options.systems]
        self.values: dict[str, dict[str, list[Any]]] = {}
        self.failed: list[str] = []
        self.many = 100 if options.quick else 10_000  # services, and connections
        self.load = os.getloadavg()  # before anything is measured
        self.others: list[float] = []  # cores that other programs kept busy, in each round

    # ---- one figure, in processes of its own

    def _config(self, system: str) -> Path:
        return self.folder / ("default" if system == SKYNET else "profile_off")

    def _start(self, system: str, metric: str, n: int) -> subprocess.Popen[str]:
        env = dict(os.environ)
        if system in (SKYNET, SKYNET_OFF):
            command, cwd = ["./skynet", str(self._config(system))], self.options.skynet
            env |= {"BENCH_METRIC": metric, "BENCH_N": str(n)}
        else:
            command, cwd = [sys.executable, str(HERE / PROGRAMS[system]), metric, str(n)], None
        with open(self.folder / "complaints", "w") as complaints:
            return subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=complaints, text=True)

    def _result(self, process: subprocess.Popen[str]) -> float:
        """The number in the line RESULT; whatever else is printed is the log of a skynet."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("RESULT "):
                threading.Thread(target=drain, args=(process.stdout,), daemon=True).start()
                return float(line.split()[1])
        raise RuntimeError((self.folder / "complaints").read_text().strip().rpartition("\n")[2][:200])

    def single(self, system: str, metric: str, n: int) -> float:
        """A measurement that the system takes of itself."""
        process = self._start(system, metric, n)
        try:
            return self._result(process)
        finally:
            self._end(process)

    def served(self, system: str, kind: str, connections: int, size: int, seconds: float) -> dict[str, float]:
        """A server of the system under our load. One core each, but for skynet, which has threads."""
        alone = os.cpu_count() == 1 or system in (SKYNET, SKYNET_OFF)
        cores = sorted(os.sched_getaffinity(0))
        process = self._start(system, kind, 0)
        try:
            if not alone:
                os.sched_setaffinity(process.pid, {cores[0]})
            port = self._result(process)
            numbers = (port, process.pid, connections, size, seconds, -1 if alone else cores[-1])
            command = [sys.executable, str(HERE / "load.py"), kind, *map(str, numbers)]
            out = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
            if out.returncode:
                raise RuntimeError(out.stderr.strip().rpartition("\n")[2][:200])
            answer: dict[str, float] = json.loads(out.stdout)
            return answer
        finally:
            self._end(process)

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()

    # ---- a round

    def note(self, row: str, system: str, measure: Any, *args: Any) -> dict[str, float] | float | None:
        """Take one figure, or note that it failed."""
        try:
            value = measure(*args)
        except (RuntimeError, subprocess.TimeoutExpired, OSError, ValueError) as e:
            self.failed.append(f"{row} of {system}: {e}")
            value = None
        self.values.setdefault(row, {}).setdefault(system, []).append(value)
        return value

    def round(self, number: int) -> None:
        busy, own, start = busy_seconds(), sum(os.times()[:4]), time.monotonic()
        self._round(number)
        busy, own = busy_seconds() - busy, sum(os.times()[:4]) - own
        self.others.append(max(0.0, busy - own) / (time.monotonic() - start))

    def has(self, system: str, metric: str) -> bool:
        """Whether the system has a counterpart of it."""
        if metric == "birth":
            return system in (LITE, SKYNET, SKYNET_OFF)
        return system != "pykka" or metric in PYKKA

    def _round(self, number: int) -> None:
        quick = self.options.quick
        turn = number % len(self.systems)
        order = self.systems[turn:] + self.systems[:turn]
        for metric, (full, few) in (OPERATIONS | MEMORY).items():
            n = few if quick else full
            for system in order:
                if not self.has(system, metric):
                    continue
                share = PYKKA_SHARE if system == "pykka" and not quick else 1
                self.note(metric, system, self.single, system, metric, n // share)
            self.say(metric)
        calls = OPERATIONS["call"][1 if quick else 0]
        for row, metric in (("recorder none", "call"), ("recorder off", "unrecorded"), ("recorder on", "recorded")):
            self.note(row, LITE, self.single, LITE, metric, calls)
        self.say("recorder")
        for row, (metric, full) in VIEWS.items():
            if self.options.browser or metric not in BROWSER:
                self.note(row, LITE, self.single, "views", metric, 300 if quick else full)
        self.say("views")
        servers = [system for system in order if system != "pykka"]
        seconds = 0.05 if quick else 1.5
        for size in SIZES:
            for connections in CONNECTIONS:
                for system in servers:
                    self.note(
                        f"echo {connections} {size}", system, self.served, system, "echo", connections, size, seconds
                    )
                self.say(f"echo {connections} x {size}")
        for system in servers:
            self.note("bulk", system, self.served, system, "bulk", 1, 1 << 20, seconds)
            self.note("connection", system, self.served, system, "idle", 50 if quick else 2_000, 64, 0)
        self.note("http", LITE, self.served, LITE, "http", 50, 64, seconds)
        self.say("bulk, connections, http")
        if number == 0:
            self.scale()

    def scale(self) -> None:
        """Large numbers, once: does it work, and does a request still cost the same?"""
        self.note("scale parked", LITE, self.single, LITE, "parked", self.many * 10)
        self.note("scale services", LITE, self.single, LITE, "services", self.many)
        seconds = 0.05 if self.options.quick else 4
        for row, connections in (("scale echo few", 50), ("scale echo many", self.many)):
            self.note(row, LITE, self.served, LITE, "echo", connections, 64, seconds)
        self.say("scale")

    def say(self, what: str) -> None:
        if not self.options.quick:
            print(f"  {time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def drain(pipe: IO[str]) -> None:
    """Read to the end. A skynet logs twice a MiB: in bulk it would soon wait for room in a pipe that nobody reads."""
    with pipe:
        for _ in pipe:
            pass


def busy_seconds() -> float:
    """What all cores have done since the machine began, for whomever."""
    user, nice, system, _idle, _iowait, *interrupts = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:8]
    )
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def missing(options: argparse.Namespace) -> list[str]:
    """What is needed for what was asked, and is not here; with what brings it, or does without."""
    wanted = [PEERS[name] for name in options.systems] + ["matplotlib", "h11"] + ["playwright"] * options.browser
    absent = [module for module in wanted if importlib.util.find_spec(module) is None]
    told = []
    if absent:
        told.append(f"not installed: {', '.join(absent)}: pip install 'skynet_lite[bench]' (or fewer --systems)")
    if options.browser and shutil.which("chromium") is None:
        told.append("no chromium on the path: apt-get install chromium (or --no-browser)")
    return told + not_built(options.skynet)


def not_built(skynet: Path | None) -> list[str]:
    """What is not in the folder of a built skynet, if there is to be one."""
    parts = ("skynet", "lualib", "cservice/snlua.so", "cservice/harbor.so", "luaclib/skynet.so")
    lacks = [part for part in parts if skynet is not None and not (skynet / part).exists()]
    return [f"no built skynet in {skynet}: there is no {', '.join(lacks)}"] if lacks else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny numbers, one round: does it run at all")
    parser.add_argument("--skynet", metavar="DIR", type=Path, help="folder of a built real skynet")
    parser.add_argument("--skynet-threads", metavar="N", type=int, default=1, help="its `thread` (default 1)")
    parser.add_argument("--rounds", metavar="N", type=int, help="default 5")
    parser.add_argument(
        "--systems", metavar="NAME", nargs="*", choices=PEERS, default=list(PEERS), help="only these peers, or none"
    )
    parser.add_argument(
        "--no-browser", dest="browser", action="store_false", help="without the rows that need Chromium"
    )
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="put the tables into FILE, between its markers")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep all figures, after each round")
    options = parser.parse_args()
    if told := missing(options):
        parser.error("\n".join(["this cannot be measured here:", *told]))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options.rounds = options.rounds or (1 if options.quick else 5)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            bench.round(number)
            if options.json:
                options.json.write_text(json.dumps(bench.values, indent=1))
    text = report.text(bench)
    print(text)
    if options.markdown:
        report.replace(options.markdown, text)


if __name__ == "__main__":
    main()
