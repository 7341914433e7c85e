"""A node at one moment, put together from the answers of its console: services, stacks, waits, findings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..lualib.console import rows
from ..top.answers import Service, parked, services
from ..trace.verdicts import seen
from ..trace.waits import Waits
from .asking import CONSOLE, MEM, Answers
from .reading import Source, Stacks, Task, ours, tasks

_SINCE = (
    ("getenv", "1.8 or later"),
    ("dbgcmd", "1.5 to 1.7"),
    ("killtask", "1.4"),
    ("uniqtask", "1.3"),
    ("netstat", "1.2"),
)
"""The commands by which a version of skynet shows in the help of its console, the newest first."""


@dataclass
class Look:
    """`missing`: what was not answered, and why; `lost`: why nothing more came."""

    node: str
    services: list[Service]
    tasks: list[Task]
    waits: Waits
    code: dict[str, str]  # the text of the lines at which coroutines are parked, where files are at hand
    findings: list[str]
    sockets: list[str]
    unique: list[str]
    info: dict[str, list[str]]
    missing: dict[str, str]
    lost: str

    def summary(self) -> str:
        """What is wrong, and what is not known."""
        lost = [f"{self.lost}: what follows is what came before"] if self.lost else []
        unknown = [f"not known: {command} ({why})" for command, why in self.missing.items()]
        found = self.findings or [self.nothing()]
        return "\n".join([f"{self.node}, {len(self.services)} services", *lost, *found, *unknown])

    def nothing(self) -> str:
        """What is said if there is no finding."""
        n = sum(task.n for task in self.tasks if not task.service.name.startswith(CONSOLE))
        parked = f"{n} coroutines are parked, see below" if n > 1 else f"{n or 'no'} coroutine is parked"
        return f"nothing found: {parked}"

    def text(self) -> str:
        """The summary, and who waits."""
        return f"{self.summary()}\n\n{self.waits}"

    def data(self) -> dict[str, Any]:
        """All of it, for JSON."""
        waits = [asdict(wait) | {"on": wait.on} for wait in self.waits]
        found = [asdict(task.group) | {"service": task.service.address} for task in self.tasks]
        rest = {
            name: getattr(self, name)
            for name in ("node", "findings", "code", "sockets", "unique", "info", "missing", "lost")
        }
        return rest | {"services": [asdict(s) for s in self.services], "waits": waits, "tasks": found}


def look(answers: Answers, source: Path) -> Look:
    """`source`: the folder that the node was started in, for files that its stacks name without one."""
    known = dict(rows(answers.get("help")))
    mine = "waits" in known
    listed = services(*(answers.get(command) for command in ("list", "stat", "netstat", MEM)))
    for service in listed:
        if answers.missing.get(f"task {service.address}", "").startswith("no answer"):
            service.silent = "TIMEOUT"
    told = {s.address: answers.get(f"task {s.address}") or answers.get(f"uniqtask {s.address}") for s in listed}
    found = tasks(listed, {address: parked(lines) for address, lines in told.items()})
    consoles = {s.address for s in listed if s.name.startswith(CONSOLE)}
    stacks = Stacks(listed, found, answers.get("netstat"), _files(source))
    edges = ours(answers.get("waits")) if mine else stacks.waits()
    edges = [wait for wait in edges if wait.service not in consoles]
    code = {task.at.place: text for task in found if task.at is not None and (text := stacks.line(task.at))}
    missing = dict(answers.missing)
    if far := [wait for wait in edges if wait.kind == "call" and wait.place not in code | {"": ""} and not wait.to]:
        missing[f"whom {len(far)} calls ask"] = "the files of their lines are not at hand: --source FOLDER"
    waits = Waits({"services": {s.address: {"name": s.short} for s in listed}}, edges=edges)
    findings = [line for line in answers.get("verdicts") if line != "nothing found"]
    starts = [task.who for task in found if task.starts()]
    graph = Waits({"services": {}}) if mine else waits  # of ours the node itself has judged
    silent, mailboxes = {s.address for s in listed if s.silent}, {s.address: s.mailbox or 0 for s in listed}
    findings += ["the launcher does not answer"] if "list" in answers.missing else []
    findings += map(str, seen(graph, silent, mailboxes, starts))
    for address, inside in ({} if mine else stacks.jams()).items():
        gone = " Tail calls have left no nearer line." if any(task.tail for task in inside) else ""
        whom = ", ".join(task.who[1] + (f" (at {task.at.place})" if task.at else "") for task in inside)
        findings.append(
            f"suspicion: nobody in the critical sections of {waits.named(address)} can go on: all that are inside one "
            f"wait for another: {whom}. Perhaps two sections are entered in opposite order.{gone}"
        )
    version = next((version for command, version in _SINCE if command in known), "1.1 or earlier")
    info = {s.address: lines for s in listed if (lines := answers.get(f"info {s.address}"))}
    return Look(
        "a node of skynet_lite" if mine else f"skynet {version}", listed, found, waits, code, findings,
        answers.get("netstat"), answers.get("service"), info, missing, answers.lost,
    )  # fmt: skip


def _files(folder: Path) -> Source:
    @cache
    def lines(file: str) -> list[str]:
        try:
            return (folder / file).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []

    return lines
