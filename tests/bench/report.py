"""From figures to tables: medians, ratios within a round, and the goals.

All tables are Markdown, so what the terminal shows is what stands in the documentation.
"""

from __future__ import annotations

import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from run import Bench

LITE, SKYNET, SKYNET_OFF = "skynet_lite", "skynet", "skynet, profile off"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
SLACK = 1.2  # on Python 3.12 and newer, for what greenlet costs there

INSIDE = {
    "call": "call + ret", "send": "send, one way", "fork": "fork (warm pool)", "yield": "yield_",
    "wait": "wait/wakeup, both turns of a round", "ring": "ring of 1,000 services, a hop",
}  # fmt: skip
MEMORY = {
    "parked": "a parked coroutine",
    "services": "an idle service",
    "connection": "a connection, parked in readline",
}


LOOK = {
    "look state": ("`state(i)` anywhere in 10,000 events, ms of CPU", 2),
    "look timeline": ("`timeline()` of 10,000 events with its PNG, s of CPU", 2),
    "look density": ("the same of 100,000 events", 2),
    "look page": ("`to_html()` of 5,000 events, s of CPU", 2),
    "look load": ("that page in Chromium until it can be stepped, s", 2),
    "look step": ("from a key to a step that is laid out there, ms (median)", 1),
}


class Figures:
    """The figures of a run, by row and system."""

    def __init__(self, values: dict[str, dict[str, list[Any]]]) -> None:
        self.values = values

    def list(self, row: str, system: str, field: str | None) -> list[float | None]:
        found = self.values.get(row, {}).get(system, [])
        return [v if v is None or field is None else v[field] for v in found]

    def median(self, row: str, system: str, field: str | None = None) -> float | None:
        found = [v for v in self.list(row, system, field) if v is not None]
        return median(found) if found else None

    def ratio(self, row: str, system: str, field: str | None = None, below: str | None = None) -> float | None:
        """skynet_lite's figure over the system's (or over its own in row `below`), round by round."""
        pairs = zip(self.list(row, LITE, field), self.list(below or row, system, field), strict=False)
        found = [a / b for a, b in pairs if a is not None and b]
        return median(found) if found else None


def text(bench: Bench) -> str:
    figures = Figures(bench.values)
    return "\n\n".join([*_setting(bench), *_tables(bench, figures), "### Goals", _goals(figures), *_failures(bench)])


def replace(file: Path, text: str) -> None:
    """Put `text` between the markers of a Markdown file, which is made if it is not there."""
    old = file.read_text() if file.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


# ----------------------------------------------------------------- where it was measured


def _setting(bench: Bench) -> list[str]:
    options = bench.options
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(re.findall(r"^processor", Path("/proc/cpuinfo").read_text(), re.M))
    peers = [f"{name} {version(name)}" for name in ("greenlet", *bench.systems) if name in _INSTALLED]
    lines = [
        f"Python {platform.python_version()}, {platform.system()}, {cores} cores ({model[1] if model else 'unknown'}), "
        f"medians of {options.rounds} interleaved round{'s' * (options.rounds > 1)}{', quick: the figures mean nothing' * options.quick}. "
        f"{', '.join(peers)}, asyncio of this Python. Processes that wanted a core, ours included, on average: "
        f"{median(bench.loads):.1f}."
    ]
    if options.skynet:
        history = options.skynet / "HISTORY.md"
        found = re.search(r"v\d+\.\d+\.\d+", history.read_text()) if history.exists() else None
        lines.append(
            f"Real skynet: its history begins with {found[0] if found else 'an unknown version'}; `thread = {options.skynet_threads}`, "
            "with `profile = true` (its default) and with `profile = false` (which does the same work as we do)."
        )
    else:
        lines.append("Real skynet: not measured; give the folder of a built one with `--skynet DIR`.")
    if bench.missing:
        lines.append(
            f"Not installed, so not measured: {', '.join(bench.missing)} (`pip install 'skynet_lite[bench]'`)."
        )
    lines.append(
        "In brackets: the figure of skynet_lite divided by this one. For times and memory less than 1 means that "
        "skynet_lite needs less; for requests a second more than 1 means that it serves more."
    )
    return lines


_INSTALLED = ("greenlet", "gevent", "uvloop", "trio", "pykka")


def _failures(bench: Bench) -> list[str]:
    return ["Failed:", "\n".join(f"- {line}" for line in bench.failed)] if bench.failed else []


# ----------------------------------------------------------------- tables


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def _compare(
    figures: Figures, systems: list[str], titles: dict[str, str], field: str | None = None, scale: float = 1
) -> str:
    rows = []
    for row, title in titles.items():
        cells = [title]
        for system in systems:
            value, ratio = figures.median(row, system, field), figures.ratio(row, system, field)
            shown = "–" if value is None else _number(value * scale)
            cells.append(shown if system == LITE or ratio is None else f"{shown} ({ratio:.2f})")
        rows.append(cells)
    return _table(["", *systems], rows)


def _tables(bench: Bench, figures: Figures) -> list[str]:
    echo = {r: f"{r.split()[1]} × {r.split()[2]} B" for r in bench.values if r.startswith("echo ")}
    servers = [s for s in bench.systems if s != "pykka"]
    on = figures.ratio("recorder on", LITE, below="recorder off")
    return [
        "### Inside one node (ns of CPU time an operation)",
        _compare(figures, bench.systems, INSIDE),
        "### Echo of lines: CPU of the server (µs a request), connections × size",
        _compare(figures, servers, echo, "cpu_us"),
        "### Echo of lines: requests a second",
        _compare(figures, servers, echo, "rate"),
        "### Bulk: `read(1 MiB)` on one connection (MiB a second)",
        _compare(figures, servers, {"bulk": "read(n)"}, "rate"),
        "### Memory (KiB each)",
        _compare(figures, bench.systems, {k: MEMORY[k] for k in ("parked", "services")}, None, 1 / 1024),
        _compare(figures, servers, {"connection": MEMORY["connection"]}, "bytes", 1 / 1024),
        "### Recorder (call + ret, skynet_lite)",
        _table(
            ["", "ns", "ratio"],
            [
                ["recorder off", _shown(figures.median("recorder off", LITE)), ""],
                ["recorder on", _shown(figures.median("recorder on", LITE)), _shown(on, 2)],
            ],
        ),
        "### Looking at a trace (skynet_lite)",
        _table(["", ""], [[title, _shown(figures.median(row, LITE), digits)] for row, (title, digits) in LOOK.items()]),
        "### Large numbers (skynet_lite, once)",
        _scale(bench, figures),
    ]


def _shown(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _scale(bench: Bench, figures: Figures) -> str:
    many = _many(figures)
    few, cpu = figures.median("scale echo 50", LITE, "cpu_us"), figures.median(f"scale echo {many}", LITE, "cpu_us")
    return _table(
        ["", ""],
        [
            [f"{many * 10:,} parked coroutines, KiB each", _shown(_kib(figures.median("scale parked", LITE)), 1)],
            [f"{many:,} idle services, KiB each", _shown(_kib(figures.median("scale services", LITE)), 1)],
            [f"echo at 50 and at {many:,} busy connections, µs a request", f"{_shown(few, 1)} and {_shown(cpu, 1)}"],
        ],
    )


def _kib(value: float | None) -> float | None:
    return None if value is None else value / 1024


def _many(figures: Figures) -> int:
    return max([int(r.split()[2]) for r in figures.values if r.startswith("scale echo ")], default=0)


# ----------------------------------------------------------------- goals


def _goals(figures: Figures) -> str:
    """Goal by goal: what was measured, and whether it is met. Where a goal only says skynet, profile is off."""
    newer = sys.version_info >= (3, 12)
    rows: list[list[str]] = []

    def judge(
        what: str, measured: float | None, goal: float, moonshot: float, most: bool = True, slack: bool = False
    ) -> None:
        wider = (SLACK if most else 1 / SLACK) if newer and slack else 1

        def reached(limit: float) -> bool:
            assert measured is not None
            return measured <= limit * wider if most else measured >= limit * wider

        met = (
            "not measured"
            if measured is None
            else "moonshot"
            if reached(moonshot)
            else "met"
            if reached(goal)
            else "not met"
        )
        sign = "≤" if most else "≥"
        rows.append([what, f"{sign} {goal:g}", f"{sign} {moonshot:g}", _shown(measured, 2), met])

    def times(row: str, system: str, goal: float, moonshot: float) -> None:
        judge(f"{INSIDE[row]} / {system}", figures.ratio(row, system), goal, moonshot, slack=True)

    def rates(what: str, row: str, system: str, goal: float, moonshot: float) -> None:
        judge(f"{what} / {system}", figures.ratio(row, system, "rate"), goal, moonshot, most=False, slack=True)

    times("call", SKYNET, 0.80, 0.65)
    times("call", SKYNET_OFF, 1.55, 1.30)
    times("call", "gevent", 0.9, 0.75)
    times("call", "asyncio", 0.7, 0.6)
    times("call", "pykka", 0.2, 0.15)
    times("send", SKYNET_OFF, 1.25, 1.0)
    times("fork", SKYNET_OFF, 1.1, 1.0)
    times("yield", SKYNET_OFF, 1.0, 0.9)
    times("wait", SKYNET_OFF, 1.5, 1.2)
    times("wait", "gevent", 0.45, 0.36)
    times("ring", SKYNET_OFF, 0.3, 0.17)
    rates("echo 50 × 64 B, requests/s", "echo 50 64", "gevent", 1.0, 1.15)
    rates("echo 50 × 64 B, requests/s", "echo 50 64", SKYNET_OFF, 1.1, 1.25)
    rates("echo 50 × 64 B, requests/s", "echo 50 64", "asyncio", 0.85, 1.0)
    rates("bulk read(n)", "bulk", SKYNET_OFF, 1.5, 1.8)
    rates("bulk read(n)", "bulk", "gevent", 0.6, 1.0)
    judge("recorder on / off", figures.ratio("recorder on", LITE, below="recorder off"), 1.35, 1.2)
    judge("timeline of 10,000 events, s", figures.median("look timeline", LITE), 3, 2)
    judge("5,000 events in the viewer, s", figures.median("look load", LITE), 2, 1)
    judge("a step in the viewer, ms", figures.median("look step", LITE), 5, 3)
    judge("parked coroutine, KiB", _kib(figures.median("parked", LITE)), 7.5, 7)
    judge("idle service, KiB", _kib(figures.median("services", LITE)), 6, 1.5)
    judge("connection, KiB", _kib(figures.median("connection", LITE, "bytes")), 10, 8)
    many = _many(figures)
    cost = figures.ratio(f"scale echo {many}", LITE, "cpu_us", below="scale echo 50")
    judge(f"CPU a request at {many:,} busy connections / at 50", cost, 1.3, 1.3)
    return _table(["", "goal", "moonshot", "measured", ""], rows)
