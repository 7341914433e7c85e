"""What a console answers, as data. skynet's forms and ours are the same but for the lines of a stack."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from ..lualib.console import fields, rows

_TASK = re.compile(r"(?:(.*?) session: )?(\d+)\t(.*)")  # before 1.4 there is no name
_UNIQUE = re.compile(r"(\d+)\tsessions:\[([\d,]+)(?:\.\.\.)?\]")
_RUNTIME = re.compile(r"\[C\]:|\S*lualib/")  # in Lua; our stacks show the program's lines only


@dataclass(slots=True)
class Service:
    """One service, as one look has found it. A figure that is not known is None."""

    address: str
    name: str
    silent: str = ""  # TIMEOUT or ERROR: it has not answered in time, or not at all
    messages: int | None = None  # dispatched since it was born
    cpu: float | None = None  # seconds, since it was born
    mailbox: int | None = None
    tasks: int | None = None
    sockets: int = 0
    memory: float | None = None  # KiB of its Lua VM
    rate: float | None = None  # messages a second since the look before
    load: float | None = None  # CPU seconds a second

    @property
    def short(self) -> str:
        """The name without arguments."""
        return " ".join(self.name.split()[: 2 if self.name.startswith("snaxd ") else 1])


@dataclass(slots=True)
class Parked:
    """Coroutines of one service with the same stack, as it was printed."""

    stack: tuple[str, ...]
    names: list[str] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)
    more: int = 0  # of which uniqtask has not told the session


def of_runtime(line: str) -> bool:
    """Whether a line of a stack is skynet's own, not the program's."""
    return _RUNTIME.match(line.strip()) is not None


def services(listed: list[str], stat: list[str], netstat: list[str], mem: list[str]) -> list[Service]:
    """What `list`, `stat`, `netstat` and `mem` say, put together; what one of them lacks has just come or gone."""
    found = {address: Service(address, name.removeprefix("snlua ")) for address, name in rows(listed)}
    for address, value in rows(stat):
        if (service := found.get(address)) is not None and (told := fields(value)):
            service.messages, service.mailbox, service.tasks = (
                int(told[what]) if what in told else None for what in ("message", "mqlen", "task")
            )
            service.cpu = float(told["cpu"]) if "cpu" in told else None  # neither had the first versions of skynet
        elif service is not None:
            service.silent = value
    for address, number in sockets(netstat).items():
        if address in found:
            found[address].sockets = number
    for address, value in rows(mem):
        size = re.match(r"([\d.]+) Kb ", value)
        if address in found and size is not None:
            found[address].memory = float(size[1])
    return list(found.values())


def sockets(netstat: list[str]) -> Counter[str]:
    """How many sockets each service has."""
    return Counter(fields(value).get("address", "") for _, value in rows(netstat))


def parked(lines: list[str]) -> list[Parked]:
    """What `task` or `uniqtask` says: the coroutines that wait, equal stacks together, the largest group first."""
    tasks: list[tuple[list[str], list[int], int, list[str]]] = []  # names, sessions, how many, what stands there
    for line in lines:
        if (head := _UNIQUE.match(line)) is not None:
            tasks.append(([], [int(session) for session in head[2].split(",")], int(head[1]), []))
        elif (head := _TASK.match(line)) is not None:
            tasks.append(([(head[1] or "").removeprefix("thread: ")], [int(head[2])], 1, [head[3]]))
        elif tasks:
            tasks[-1][-1].append(line)
    found: dict[tuple[str, ...], Parked] = {}
    for names, sessions, n, said in tasks:
        stack = tuple(line for line in said if line.strip() not in ("", "stack traceback:"))
        group = found.setdefault(stack, Parked(stack))
        group.names += names
        group.sessions += sessions
        group.more += n - len(sessions)
    return sorted(found.values(), key=lambda group: -len(group.sessions) - group.more)
