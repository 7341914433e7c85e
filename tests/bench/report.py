"""From figures to tables: medians, ratios within a round, and the goals of goals.toml.

All tables are Markdown, so what the terminal shows is what stands in the documentation.
"""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bytecodes import pythons, stored as stored_bytecodes
from instructions import stored as stored_instructions

if TYPE_CHECKING:
    from run import Bench

LITE, SKYNET, SKYNET_OFF = "skynet_lite", "skynet", "skynet, profile off"
GOALS = Path(__file__).with_name("goals.toml")
SLACK = 1.2  # on Python 3.12 and newer, for what greenlet costs there

INSIDE = {
    "call": "call + ret", "send": "send, one way", "fork": "fork (warm pool)", "yield": "yield_",
    "wait": "wait/wakeup, both turns of a round", "ring": "ring of 1,000 services, a hop",
    "birth": "birth of a service",
}  # fmt: skip
MEMORY = {
    "parked": "a parked coroutine",
    "services": "an idle service",
    "connection": "a connection, parked in readline",
}


LOOK = {
    "look state": ("`state(i)` anywhere in 100,000 events, ms of CPU", 2),
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
    return "\n\n".join([*_setting(bench), *_tables(bench, figures), *_goals(figures), *_failures(bench)])


def replace(file: Path, text: str, what: str = "bench") -> None:
    """Put `text` between the markers of a Markdown file, which is made if it is not there."""
    begin, end = f"<!-- {what}: begin -->", f"<!-- {what}: end -->"
    old = file.read_text() if file.exists() else f"{begin}\n{end}\n"
    before, _, rest = old.partition(begin)
    _, _, after = rest.partition(end)
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}")


# ----------------------------------------------------------------- where it was measured


def _setting(bench: Bench) -> list[str]:
    options = bench.options
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(re.findall(r"^processor", Path("/proc/cpuinfo").read_text(), re.M))
    peers = [f"{name} {version(name)}" for name in ("greenlet", *bench.systems) if name in _INSTALLED]
    lines = [
        f"Python {platform.python_version()}, {platform.system()}, {cores} cores ({model[1] if model else 'unknown'}), "
        f"medians of {options.rounds} interleaved round{'s' * (options.rounds > 1)}{', quick: the figures mean nothing' * options.quick}. "
        f"{', '.join(peers)}, asyncio of this Python.",
        f"The load average of the last minute before it began: {bench.load[0]:.2f}. While it ran other programs kept "
        f"{median(bench.others):.2f} cores busy (median of the rounds; {max(bench.others):.2f} in the worst).",
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
    if left_out := [name for name in _INSTALLED[1:] if name not in bench.systems]:
        lines.append(f"Left out: {', '.join(left_out)}.")
    lines.append(
        "In brackets: the figure of skynet_lite divided by this one. For times and memory less than 1 means that "
        "skynet_lite needs less; for requests a second more than 1 means that it serves more."
    )
    return lines


_INSTALLED = ("greenlet", "gevent", "uvloop", "trio", "pykka")


def _failures(bench: Bench) -> list[str]:
    return ["Failed:", "\n".join(f"- {line}" for line in bench.failed)] if bench.failed else []


# ----------------------------------------------------------------- tables


def table(head: list[str], rows: list[list[str]]) -> str:
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
    return table(["", *systems], rows)


def _tables(bench: Bench, figures: Figures) -> list[str]:
    echo = {r: f"{r.split()[1]} × {r.split()[2]} B" for r in bench.values if r.startswith("echo ")}
    servers = [s for s in bench.systems if s != "pykka"]
    return [
        "### Inside one node (ns of CPU time an operation)",
        _compare(figures, bench.systems, INSIDE),
        "### Echo of lines: CPU of the server (µs a request), connections × size",
        _compare(figures, servers, echo, "cpu_us"),
        "### Echo of lines: requests a second",
        _compare(figures, servers, echo, "rate"),
        "### Bulk: `read(1 MiB)` on one connection (MiB a second)",
        _compare(figures, servers, {"bulk": "read(n)"}, "rate"),
        "### HTTP: GET on 50 connections that stay open (skynet_lite; h11 parses)",
        table(
            ["", ""],
            [
                ["CPU of the server, µs a request", _shown(figures.median("http", LITE, "cpu_us"), 1)],
                ["requests a second", _shown(figures.median("http", LITE, "rate"))],
            ],
        ),
        "### Memory (KiB each)",
        _compare(figures, bench.systems, {k: MEMORY[k] for k in ("parked", "services")}, None, 1 / 1024),
        _compare(figures, servers, {"connection": MEMORY["connection"]}, "bytes", 1 / 1024),
        "### Recorder (call + ret, skynet_lite)",
        table(
            ["", "ns", "ratio"],
            [
                ["never recorded", _shown(figures.median("recorder none", LITE)), ""],
                *(_recorder(figures, row) for row in ("recorder off", "recorder on")),
            ],
        ),
        "### Looking at a trace (skynet_lite)",
        table(["", ""], [[title, _shown(figures.median(row, LITE), digits)] for row, (title, digits) in LOOK.items()]),
        "### Large numbers (skynet_lite, once)",
        _scale(bench.many, figures),
        "### Counted, not timed (skynet_lite)",
        _counted(),
    ]


def _recorder(figures: Figures, row: str) -> list[str]:
    ratio = figures.ratio(row, LITE, below="recorder none")
    return [row, _shown(figures.median(row, LITE)), _shown(ratio, 2)]


def _counted() -> str:
    """What is stored, by instructions.py and bytecodes.py: no part of a run."""
    made_with, instructions = stored_instructions()
    rows = []
    for name in [*instructions, *(name for name in stored_bytecodes() if name not in instructions)]:
        bytecodes = stored_bytecodes().get(name, {})
        rows.append([name, _shown(instructions.get(name)), *(_shown(bytecodes.get(minor)) for minor in pythons())])
    return table(["", f"instructions ({made_with})", *(f"bytecodes, {minor}" for minor in pythons())], rows)


def _shown(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _scale(many: int, figures: Figures) -> str:
    few, cpu = (figures.median(f"scale echo {which}", LITE, "cpu_us") for which in ("few", "many"))
    return table(
        ["", ""],
        [
            [f"{many * 10:,} parked coroutines, KiB each", _shown(_kib(figures.median("scale parked", LITE)), 1)],
            [f"{many:,} idle services, KiB each", _shown(_kib(figures.median("scale services", LITE)), 1)],
            [f"echo at 50 and at {many:,} busy connections, µs a request", f"{_shown(few, 1)} and {_shown(cpu, 1)}"],
        ],
    )


def _kib(value: float | None) -> float | None:
    return None if value is None else value / 1024


# ----------------------------------------------------------------- goals


def _goals(figures: Figures) -> list[str]:
    """Goal by goal: what was measured, whether it is met, and why not. Where one only says skynet, profile is off."""
    rows, reasons = [], []
    for goal in tomllib.loads(GOALS.read_text())["goal"]:
        measured = _measured(figures, goal)
        verdict = _verdict(measured, goal)
        sign = "≥" if goal.get("at_least") else "≤"
        title = _title(goal)
        rows.append([title, f"{sign} {goal['goal']:g}", f"{sign} {goal['moonshot']:g}", _shown(measured, 2), verdict])
        if verdict == "not met":
            reasons.append(f"- {title}: {goal['why'].strip()}")
    parts = ["### Goals", table(["", "goal", "moonshot", "measured", ""], rows)]
    return [*parts, "Why not:", "\n".join(reasons)] if reasons else parts


def _title(goal: dict[str, Any]) -> str:
    beside: str | None = goal.get("beside")
    what: str = goal.get("what") or INSIDE[goal["row"]]
    return f"{what} / {beside}" if beside else what


def _measured(figures: Figures, goal: dict[str, Any]) -> float | None:
    row, field = goal["row"], goal.get("field")
    if "beside" in goal:
        return figures.ratio(row, goal["beside"], field)
    if "below" in goal:
        return figures.ratio(row, LITE, field, goal["below"])
    found = figures.median(row, LITE, field)
    return None if found is None else found / goal.get("unit", 1)


def _verdict(measured: float | None, goal: dict[str, Any]) -> str:
    if measured is None:
        return "not measured"
    slack = SLACK if sys.version_info >= (3, 12) and goal.get("slack") else 1

    def reached(limit: float) -> bool:
        return measured >= limit / slack if goal.get("at_least") else measured <= limit * slack

    return "moonshot" if reached(goal["moonshot"]) else "met" if reached(goal["goal"]) else "not met"
