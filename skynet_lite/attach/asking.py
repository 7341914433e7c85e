"""Ask a console all that it tells without changing anything, and wait for no answer longer than a while.

One idea: who does not answer is the finding. So each question may fail by itself, and what came
is kept. A service that does not answer keeps the console's coroutine for this connection too:
the connection is given up, and the next question gets one of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..lualib.console import MANY, rows
from ..top.answers import services
from ..top.watch import PATIENCE, Connect, Console, Refused

STAT = 3  # seconds that `stat` itself waits for services, from 1.4 on; before, for ever
MEM = f"mem {PATIENCE}"  # who is silent is known by then
CONSOLE = "debug_console"  # its coroutines are parked in our own questions


@dataclass
class Answers:
    """What a console has said: the lines by command; and of what it has not, why. `lost`: the connection was."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    lost: str = ""

    def get(self, command: str) -> list[str]:
        """The lines of an answer; none if there was none."""
        return self.lines.get(command, [])


def collect(connect: Connect, patience: Callable[[str], float]) -> Answers:
    """Ask everything. `patience(command)`: seconds to wait for that answer.

    Raises OSError if nobody is there, ValueError if it is no debug console.
    """
    asking = _Asking(connect, patience)
    try:
        known = dict(rows(asking.ask("help")))
        if not {"list", "stat", "task"} <= known.keys():
            why = asking.answers.missing.get("help", "other commands")
            raise ValueError(f"what listens there does not answer as a debug console does ({why})")
        _all(asking.ask, asking.answers, known)
    finally:
        asking.close()
    return asking.answers


def _all(ask: Callable[[str], list[str]], answers: Answers, known: dict[str, str]) -> None:
    ours = "waits" in known
    listed, stat = ask("list"), ask("stat")
    if "netstat" in known:
        ask("netstat")
    if ours and len(listed) > MANY:
        answers.missing["waits"] = f"not asked: it stops the node for a while, with more than {MANY} services"
    elif ours:
        ask("waits")
        ask("verdicts")
    elif stat:  # ours would walk through all objects
        ask(MEM)
    else:
        answers.missing["mem"] = "not asked: it would hang where stat does"
    for service in services(listed, stat, [], []):
        if service.silent or service.name.startswith(CONSOLE):
            continue
        if service.tasks != 0:
            ask(f"{'uniqtask' if (service.tasks or 0) > MANY and 'uniqtask' in known else 'task'} {service.address}")
        if len(listed) <= MANY and f"task {service.address}" not in answers.missing:
            ask(f"info {service.address}")
    ask("service")


class _Asking:
    def __init__(self, connect: Connect, patience: Callable[[str], float]) -> None:
        self.answers = Answers()
        self._connect, self._patience = connect, patience
        self._console: Console | None = Console(connect)

    def ask(self, command: str) -> list[str]:
        """The lines of the answer, [] if there is none."""
        if self.answers.lost:
            self.answers.missing[command] = "not asked: the connection was lost"
            return []
        try:
            console = self._console = self._console or Console(self._connect)
            seconds = self._patience(command) + (STAT if command == "stat" else 0)
            try:
                self.answers.lines[command] = console.ask(command, seconds)
            except TimeoutError as e:
                self.answers.missing[command] = str(e)
                self._console = None
        except Refused as e:
            self.answers.missing[command] = str(e)
        except OSError as e:
            self.answers.missing[command] = self.answers.lost = str(e)
            self.close()
        return self.answers.lines.get(command, [])

    def close(self) -> None:
        if self._console is not None:
            self._console.close()
        self._console = None
