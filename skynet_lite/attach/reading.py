"""Who waits for whom, read out of stacks: all that a console tells of a parked coroutine is where it stands.

One idea: skynet's own frames say what is waited for (an answer, a section, a socket), but not
whom a call asks. That may stand in the caller's line, if its file is at hand. Whatever rests
on more than the stack is a guess, and carries its evidence.

A node of ours tells the whole graph by itself (`waits`); then nothing is guessed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from ..lualib.console import fields, rows
from ..top.answers import Parked, Service
from ..trace.language import told
from ..trace.waits import Wait, Who, named

Source = Callable[[str], list[str]]
"""The lines of a file that a stack names; none if it is not at hand."""

_FRAME = re.compile(r"\s*(?:\[C\]|(.+?):(\d+)): in (?:\w+ '([^']+)')?")
_SKYNET = re.compile(r".*lualib/(skynet\.lua$|skynet/|snax/|http/|compat10/)")
_CALL = re.compile(r"""call\s*\(\s*(.+?)\s*,\s*["']\w+["']\s*(?:,\s*["'](\w+)["'])?""")
_LAUNCH = re.compile(r"""\b(new|unique|query)service\s*\(?\s*(?:true\s*,\s*)?["']([\w./]+)["']""")
_NAMED = re.compile(r"function\s+(?:[\w.]+[.:])?(\w+)\s*\(|(\w+)\s*=\s*function\b")
_SHOWN = 3  # candidates that are named
_OURS = re.compile(r"(\S+) of (?:.* )?(:[0-9a-f]{8}) +session (\d+) {2,}(.+?)(?: {2,}at (.*))?$")


class Frame(NamedTuple):
    file: str  # "" of C and of tail calls
    line: int
    function: str

    @property
    def place(self) -> str:
        return f"{self.file.removeprefix('./')}:{self.line}"


class Task:
    """Coroutines of one service that are parked at the same place."""

    def __init__(self, service: Service, group: Parked) -> None:
        self.service, self.group = service, group
        self.n = len(group.sessions) + group.more
        more = f" and {self.n - 1} more" if self.n > 1 else ""
        self.who: Who = (service.address, f"#{group.sessions[0]}{more}")
        frames = [frame for line in group.stack if (frame := _frame(line)) is not None]
        users = next((k for k, f in enumerate(frames) if _of_program(f, frames[k + 1 :])), len(frames))
        self.runtime, self.program = frames[:users], frames[users:]
        self.at = next((f for f in self.program if f.file and not _SKYNET.match(f.file)), None)
        self.tail = any("(...tail calls...)" in line for line in group.stack[: len(self.runtime) + 1])

    def inside(self, *files: str) -> bool:
        """Whether skynet's own frames, those above the program's, are of these files."""
        return any(frame.file.endswith(files) for frame in self.runtime)

    def holds(self) -> bool:
        """Whether it is inside a critical section."""
        return any(frame.file.endswith("skynet/queue.lua") for frame in self.program)

    def starts(self) -> bool:
        return any(frame.function.endswith("init_service") for frame in self.program + self.runtime)


def _of_program(frame: Frame, below: list[Frame]) -> bool:
    """A section calls the program's function by xpcall; its own frame may be gone, if it ended in a tail call."""
    if not frame.file:
        return frame.function == "xpcall" and below != [] and below[0].file.endswith("skynet/queue.lua")
    return not _SKYNET.match(frame.file)


def _frame(line: str) -> Frame | None:
    found = _FRAME.match(line)
    return None if found is None else Frame(found[1] or "", int(found[2] or 0), found[3] or "")


def tasks(services: Iterable[Service], parked: dict[str, list[Parked]]) -> list[Task]:
    """All that is parked; a stale session is not."""
    return [Task(s, group) for s in services for group in parked.get(s.address, []) if group.stack != ("BREAK",)]


def ours(lines: Iterable[str]) -> Iterator[Wait]:
    """What the console of a node of ours says to `waits`."""
    for co, address, session, on, place in (m.groups() for m in map(_OURS.match, lines) if m):
        kinds = {"its call": "call", "critical": "queue", "socket": "socket", "its timer": "timer"}
        kind = next((kind for words, kind in kinds.items() if on.startswith(words)), "sleep")
        to = next(iter(re.findall(r":[0-9a-f]{8}", on)), "") if kind == "call" else ""
        by = re.search(r"served by (\w+)|, (\w+) is inside", on)
        target = (to or address, by[1] or by[2]) if by else None
        state = "nobody" if "nobody" in on else "served" if target else "unknown"
        id = re.match(r"\D*(\d+)", on) if kind in ("socket", "queue") else None
        function = on.rpartition(" ")[2] if kind == "socket" else ""
        yield Wait(
            address, co, int(session), kind, state, target, to, place or "", said=on, id=int(id[1]) if id else 0,
            function=function,
        )  # fmt: skip


class Stacks:
    """The graph of a real skynet."""

    def __init__(self, services: list[Service], found: list[Task], netstat: list[str], source: Source) -> None:
        self.tasks, self._source = found, source
        self._names = {s.address: s.short for s in services}
        self._called: defaultdict[str, list[str]] = defaultdict(list)  # name → addresses
        for s in services:
            self._called[s.short.lower()].append(s.address)
        self._silent = {s.address for s in services if s.silent}
        self._sockets = [fields(value) for _, value in rows(netstat)]
        self._commands: dict[Who, str] = {}  # what each call says to do
        self._around: dict[Frame, str] = {}
        self._holders: defaultdict[str, list[Task]] = defaultdict(list)  # by service
        for task in found:
            if task.holds():
                self._holders[task.who[0]].append(task)

    def waits(self) -> list[Wait]:
        return self._served([self._wait(task) for task in self.tasks])

    def line(self, frame: Frame | None) -> str:
        """The text of a line, "" if its file is not at hand."""
        lines = self._source(frame.file) if frame is not None else []
        return lines[frame.line - 1].strip() if frame is not None and 0 < frame.line <= len(lines) else ""

    def jams(self) -> dict[str, list[Task]]:
        """Services in which whoever is inside a critical section waits for another one, and who that is.

        Who takes a section again that it is inside of does not wait. So these wait for each other.
        """
        return {s: held for s, held in self._holders.items() if all(t.inside("skynet/queue.lua") for t in held)}

    def _wait(self, task: Task) -> Wait:
        place = task.at.place if task.at is not None else ""
        wait = Wait(*task.who, task.group.sessions[0], "sleep", place=place)
        names = {frame.function.rpartition(".")[2] for frame in task.runtime}
        if not task.group.stack or "sleep" in names:
            return replace(wait, kind="timer", said=told("wait.nap"))
        if task.inside("skynet/queue.lua"):
            return self._queue(wait)
        if task.inside("skynet/socket.lua", "skynet/socketchannel.lua"):
            return self._socket(wait, task)
        if names & {"yield_call", "call", "rawcall"}:
            return self._call(wait, task)
        return wait if "wait" in names else replace(wait, said=told("wait.something"))

    def _queue(self, wait: Wait) -> Wait:
        """Whoever is inside is parked too, or the service would not be idle."""
        inside = [task.who for task in self._holders.get(wait.service, ()) if task.who != wait.who]
        if len(inside) != 1 or wait.service in self.jams():
            return replace(wait, kind="queue", said=told("wait.section"))
        return replace(wait, kind="queue", target=inside[0], said=told("wait.inside", by=inside[0][1]))

    def _socket(self, wait: Wait, task: Task) -> Wait:
        function = task.runtime[-1].function.rpartition(".")[2] or "socket"
        open_ = [row for row in self._sockets if row.get("address") == wait.service and row.get("type") != "LISTEN"]
        if len(open_) != 1:
            return replace(wait, kind="socket", function=function, said=told("wait.connection", function=function))
        id, peer = int(open_[0].get("id", 0)), open_[0].get("peer", "")
        return replace(
            wait, kind="socket", id=id, function=function, named=peer, guess="netstat knows no other connection of it"
        )

    def _call(self, wait: Wait, task: Task) -> Wait:
        text = self.line(task.at)
        launch, call = _LAUNCH.search(text), None if task.tail else _CALL.search(text)
        if launch is not None:
            return self._launch(wait, ".launcher" if launch[1] == "new" else ".service", launch[2])
        unknown = replace(wait, kind="call", state="unknown", said=told("wait.somebody"))
        if call is None:
            return unknown
        self._commands[wait.who] = call[2] or ""
        asked, line = self._asked(call[1]), f"its line says call({call[1]}, ...), and"
        if len(asked) == 1:
            return self._to(unknown, asked[0], f"{line} one service is called so")
        if not asked:
            return unknown
        said = told("wait.call", named=f"{self._names[asked[0]]}, {_one_of(asked)}")
        return replace(unknown, said=said, guess=f"{line} {len(asked)} services are called so")

    def _to(self, wait: Wait, to: str, guess: str, target: Who | None = None) -> Wait:
        state = "silent" if to in self._silent else "served" if target else "unknown"
        called = named(self._names.get(to, ""), to)
        return replace(wait, to=to, named=called, state=state, target=target, said="", guess=guess)

    def _launch(self, wait: Wait, asked: str, name: str) -> Wait:
        """The launcher answers when the start function has ended; so does service_mgr, which asks it."""
        starts = [t.who for t in self.tasks if t.starts() and t.service.short == name]
        wait = replace(wait, kind="call", state="unknown", to=asked, named=asked)
        if len(starts) != 1:
            return wait
        started, guess = named(self._names[starts[0][0]], starts[0][0]), f"its line launches {name}"
        return replace(wait, state="starting", target=starts[0], starts=started, guess=guess)

    def _asked(self, expression: str) -> list[str]:
        """The services that an argument of call may mean, by its address or its name."""
        literal = expression.strip("\"'")
        if literal in self._names:
            return [literal]
        word = re.sub(r"_?(addr|address|handle|service)$", "", (re.findall(r"\w+", literal) or [""])[-1])
        return self._called.get(word.lower(), [])

    def _served(self, waits: list[Wait]) -> list[Wait]:
        """Give calls the coroutine that serves them: who is in the function that the call names, or who is left."""
        room: dict[Who, int] = {}  # how many calls each may still serve
        there: defaultdict[str, list[Who]] = defaultdict(list)  # by service, and by function
        for task in self.tasks:
            if not task.starts():
                room[task.who] = task.n
                for key in {task.who[0], *map(self._within, task.program)} - {""}:
                    there[key].append(task.who)
        known = {wait.who: wait for wait in waits}
        for step in ("by name", "left", "any"):
            asked = Counter((w.to, self._commands.get(w.who)) for w in waits if w.kind == "call" and w.target is None)
            for k, wait in enumerate(waits):
                if wait.kind != "call" or wait.target is not None or wait.state == "silent" or wait.to.startswith("."):
                    continue
                command = self._commands.get(wait.who) or "?"
                left = [who for who in there[command if step == "by name" else wait.to] if room[who] > 0]
                left = [who for who in left if who[0] == (wait.to or who[0]) and not _asked_before(who, wait, known)]
                if step == "any" and left:
                    waits[k] = _any(wait, left, known)
                elif len(left) == 1 and (step == "left" or asked[wait.to, command] <= room[left[0]]):
                    room[left[0]] -= 1
                    why = f"{left[0][1]} is in a function {command}"
                    why = why if step == "by name" else "no other is left that could serve it"
                    waits[k] = self._to(wait, left[0][0], f"{wait.guess}; {why}".removeprefix("; "), left[0])
                known[wait.who] = waits[k]
        return waits

    def _within(self, frame: Frame) -> str:
        """The name of the function around a line: by its indent, for a stack of Lua tells it only now and then."""
        if frame not in self._around:
            self._around[frame] = _around(self._source(frame.file)[: frame.line])
        return self._around[frame]


def _path(who: Who, goal: Who, known: dict[Who, Wait]) -> list[Wait]:
    """The waits by which one waits for another in the end; none if it does not."""
    path: list[Wait] = []
    while who != goal and (wait := known.get(who)) is not None and wait.target is not None and wait not in path:
        path.append(wait)
        who = wait.target
    return path if who == goal else []


def _asked_before(who: Who, wait: Wait, known: dict[Who, Wait]) -> bool:
    """Whether a call is made on behalf of a coroutine, by calls alone: then that cannot be the one that serves it."""
    path = _path(who, wait.who, known)
    return who == wait.who or (path != [] and all(one.kind == "call" for one in path))


def _any(wait: Wait, left: list[Who], known: dict[Who, Wait]) -> Wait:
    """A call that one of these serves. If each of them waits for the caller, it is a circle whichever it is."""
    said = told("wait.call", named=wait.named) + told("wait.served", by=_one_of([who[1] for who in left]))
    if not all(_path(who, wait.who, known) for who in left):
        return replace(wait, said=said)
    guess = f"{wait.guess}; whichever of them serves it waits for {wait.who[1]} itself, so it is a circle"
    return replace(wait, state="served", target=left[0], said=said, guess=guess)


def _one_of(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ("one of " if len(names) > 1 else "") + ", ".join(names[:_SHOWN]) + more


def _around(lines: list[str]) -> str:
    """The function whose lines these are, up to one inside it; "" if it has no name."""
    least = None
    for text in reversed(lines):
        indent = len(text) - len(text.lstrip())
        if text.strip() and (least is None or indent < least):
            if least is not None and (found := _NAMED.search(text)) is not None:
                return found[1] or found[2]
            least = indent
    return ""
