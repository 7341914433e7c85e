"""Grading the copies of a class: each notebook runs in a kernel of its own, each exercise gets a row.

One idea: a verdict is never read from what a student's code prints. No output is received
at all. After the cell of an exercise the grader's own code looks at the answer, with
modules of `check` that it imports afresh, and its result comes back as a value in the
kernel's reply. The student's code still shares that process: who is determined can cheat.
"""

from __future__ import annotations

import ast
import csv
import json
import os
import queue
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from .learn import PACKAGE, LearnError, course, numbered

COLUMNS = ("student", "notebook", "exercise", "passed", "said")
NOT_ANSWERED = "not answered"
STARTING = 60  # seconds for a kernel to come up
RESTARTS = 3
NOTEBOOK = 20  # a notebook as a whole may take this many times the limit of a cell
LONGEST = 500  # letters of what is said

JUDGE = """
def __grader(number, name, space):
    import json, sys
    answer = space.get(name, ...)
    if answer is ... or (isinstance(answer, (list, tuple)) and any(part is ... for part in answer)):
        return json.dumps(["not answered", ""])
    theirs = {{m: sys.modules.pop(m) for m in list(sys.modules) if (m + ".").startswith("skynet_lite.check.")}}
    try:
        from skynet_lite.check.engine import judge
        right, said = judge(number, answer)
    finally:
        sys.modules.update(theirs)
    return json.dumps(["yes" if right is True else "no", said])
__graded = __grader({number!r}, {name!r}, globals())
"""


class Row(NamedTuple):
    """One line of the table."""

    student: str
    notebook: str
    exercise: str
    passed: str
    said: str


class Exercise(NamedTuple):
    """What the course asks for: its number, the name that is checked, its cell as it came."""

    number: str
    name: str
    id: str
    source: str


class Lost(Exception):
    """The kernel is gone or does not answer; the text is what to say of it."""


class Kernel:
    """A process for one notebook. What it prints is not received."""

    def __init__(self, folder: Path) -> None:
        from jupyter_client.manager import KernelManager

        self.manager: Any = KernelManager(kernel_name="python3")
        way = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
        self.manager.start_kernel(
            cwd=str(folder), env={**os.environ, "PYTHONPATH": way}, extra_arguments=["--log-level=CRITICAL"]
        )
        self.client = self.manager.client()
        self.client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)

    def run(self, code: str, seconds: float, value: str | None = None) -> dict[str, Any] | None:
        """The reply to `code`, None if it took too long and was interrupted. Raises Lost."""
        asked = self.client.execute(
            code, store_history=False, allow_stdin=False, stop_on_error=False,  # else what comes next may be aborted
            user_expressions={"value": value} if value else {},
        )  # fmt: skip
        if (reply := self._reply(asked, seconds)) is None:
            self.manager.interrupt_kernel()
            if self._reply(asked, 5) is None:
                raise Lost("ran too long, and could not be interrupted")
        return reply

    def _reply(self, asked: str, seconds: float) -> dict[str, Any] | None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with suppress(queue.Empty):
                message = self.client.get_shell_msg(timeout=min(left, 0.3))
                if message["parent_header"].get("msg_id") == asked:
                    content: dict[str, Any] = message["content"]
                    return content
                continue
            if not self.manager.is_alive():
                raise Lost("ended the kernel")
        return None

    def close(self) -> None:
        from jupyter_core.utils import ensure_event_loop

        self.client.stop_channels()
        with suppress(Exception):
            self.manager.signal_kernel(signal.SIGKILL)  # its group: what it has started, too
        self.manager.shutdown_kernel(now=True)
        ensure_event_loop().close()  # of this thread


class Copy:
    """A notebook that a student has handed in."""

    def __init__(self, path: Path, original: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self.asked = list(exercises(original))
        self.cells = [cell for cell in _read(path).cells if cell.cell_type == "code"]
        self.found: dict[int, Exercise] = {}
        for task in self.asked:
            place = self._place(task)
            if place is not None:
                self.found[place] = task
        shared = Counter(task.name for task in self.asked)
        self.shared = {name for name, n in shared.items() if n > 1}
        self.said: dict[str, tuple[str, str]] = {}

    def _place(self, task: Exercise) -> int | None:
        """Where the exercise is: the cell that was given, or the one that checks it."""
        call = f'check("{task.number}"'
        same = [n for n, cell in enumerate(self.cells) if cell.get("id") == task.id and call in cell.source]
        solved = [n for n, cell in enumerate(self.cells) if call in cell.source.replace("'", '"')]
        given = [n for n, cell in enumerate(self.cells) if cell.get("id") == task.id]
        return next((n for n in (*same, *solved[-1:], *given) if n not in self.found), None)

    @property
    def touched(self) -> bool:
        return any(self.cells[n].source.strip() != task.source.strip() for n, task in self.found.items())

    def grade(self) -> dict[str, tuple[str, str]]:
        """By exercise: passed, and what is said."""
        if self.touched:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                place = Path(folder) / "copy"
                shutil.copytree(self.path.parent, place, symlinks=True)
                self._run(place)
        there = {task.number for task in self.found.values()}
        for task in self.asked:
            missing = "" if task.number in there else "its cell is missing"
            self.said.setdefault(task.number, (NOT_ANSWERED, missing))
        return self.said

    def _run(self, folder: Path) -> None:
        end = time.monotonic() + NOTEBOOK * self.seconds
        last = max(self.found)
        bad: set[int] = set()
        for _ in range(RESTARTS + 1):
            kernel = Kernel(folder)
            try:
                if kernel.run("", STARTING) is None:
                    raise LearnError("the kernel does not start")
                for n in range(last + 1):
                    if time.monotonic() > end:
                        return self._give_up(f"the notebook took longer than {NOTEBOOK * self.seconds:g} s")
                    if n not in bad:
                        bad.add(n)  # until it has come back
                        if self._cell(kernel, n):
                            bad.discard(n)
                return None
            except Lost as e:
                if (task := self.found.get(n)) is not None:
                    self.said.setdefault(task.number, ("no", f"the cell {e}"))
            finally:
                kernel.close()
        return self._give_up("the kernel was lost too often")

    def _give_up(self, why: str) -> None:
        for task in self.found.values():
            self.said.setdefault(task.number, ("no", why))

    def _cell(self, kernel: Kernel, n: int) -> bool:
        """Run a cell, and judge the exercise that it is; False if it need not be run again. Raises Lost."""
        reply = kernel.run(self.cells[n].source, self.seconds)
        task = self.found.get(n)
        if task is None:
            return reply is not None
        if task.number not in self.said:
            self.said[task.number] = self._verdict(kernel, task, reply)
        if task.name in self.shared:  # the next exercise is not to find the answer of this one
            kernel.run(f"globals().pop({task.name!r}, None)", self.seconds)
        return reply is not None

    def _verdict(self, kernel: Kernel, task: Exercise, reply: dict[str, Any] | None) -> tuple[str, str]:
        late = f"took longer than {self.seconds:g} s"
        if reply is None:
            return "no", f"the cell {late}"
        judged = kernel.run(JUDGE.format(number=task.number, name=task.name), self.seconds, "__graded")
        if judged is None:
            return "no", f"the check {late}"
        raised = f"{reply.get('ename')}: {reply.get('evalue')}" if reply["status"] != "ok" else ""
        try:
            shown = judged["user_expressions"]["value"]["data"]["text/plain"]
            passed, said = json.loads(ast.literal_eval(shown))
        except (KeyError, ValueError, TypeError, SyntaxError):
            return "no", f"the check did not come to an end: {judged.get('ename', 'no result')}"
        if passed == NOT_ANSWERED and raised:
            return "no", f"the cell raised {raised}"
        return str(passed), str(said)


def exercises(original: Path) -> Iterator[Exercise]:
    """What a notebook of the course asks for, from the last line of each cell that is tagged `exercise`."""
    for cell in _read(original).cells:
        if "exercise" in cell.metadata.get("tags", []):
            call: Any = ast.parse(cell.source.rstrip().splitlines()[-1]).body[0]
            number, answer = call.value.args
            yield Exercise(number.value, answer.id, cell.id, cell.source)


def grade(folder: str, out: str | None, seconds: float, jobs: int) -> int:
    """Grade FOLDER/<student>/NN_*.ipynb; 1 if a copy could not be graded. Raises LearnError."""
    root = Path(folder)
    for module in ("nbformat", "jupyter_client", "ipykernel"):
        if find_spec(module) is None:
            raise LearnError(f"{module} is not installed here: pip install 'skynet_lite[notebooks]'")
    if not root.is_dir():
        raise LearnError(f"no folder {folder}")
    if seconds <= 0 or jobs < 1:
        raise LearnError("--timeout and --jobs have to be above 0")
    students = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    work = [(student.name, path) for student in students for path in _handed_in(student)]
    if not work:
        raise LearnError(f"{folder} has no copies: they are {folder}/<student>/NN_*.ipynb")
    with _table(out) as file, ThreadPoolExecutor(jobs) as pool:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        failed, counts = 0, {student.name: Counter[str]() for student in students}
        for rows, error in pool.map(lambda one: _graded(one[0], one[1], seconds), work):
            failed += bool(error)
            for row in rows:
                counts[row.student][row.passed] += 1
                table.writerow(_plain(value) for value in row)
            file.flush()
    for name, count in counts.items():
        total = count["yes"] + count["no"] + count[NOT_ANSWERED]
        lost = f", {count['not graded']} not graded" if count["not graded"] else ""
        print(f"{name}: {count['yes']} of {total} passed, {count[NOT_ANSWERED]} not answered{lost}", file=sys.stderr)
    return int(failed > 0)


def _graded(student: str, path: Path, seconds: float) -> tuple[Sequence[Row], Exception | None]:
    """The rows of one copy, or one that says why there are none. Nothing that it does reaches another's."""
    try:
        handed_in = Copy(path, _original(path), seconds)
        chinese = path.parent / "zh" / path.name
        if not handed_in.touched and chinese.exists():  # the whole course was handed in: which edition was answered?
            other = Copy(chinese, _original(chinese), seconds)
            handed_in = other if other.touched else handed_in
        found = handed_in.grade()
        return [Row(student, path.name, number, *said) for number, said in sorted(found.items())], None
    except Exception as e:
        return [Row(student, path.name, "", "not graded", f"{type(e).__name__}: {e}")], e


def _original(path: Path) -> Path:
    """The notebook of the course that has this number, in the same language."""
    folder = course() / "zh" if path.parent.name == "zh" else course()
    return next(original for original in numbered(folder) if original.name[:2] == path.name[:2])


def _handed_in(student: Path) -> list[Path]:
    """The notebooks of a student; of the Chinese edition those that the folder itself does not have."""
    own = {path.name: path for path in numbered(student / "zh")} | {path.name: path for path in numbered(student)}
    return [own[name] for name in sorted(own)]


def _read(path: Path) -> Any:
    import nbformat

    read: Any = nbformat.read
    return read(path, as_version=4)


@contextmanager
def _table(out: str | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    try:
        Path(out).touch()
    except OSError as e:
        raise LearnError(f"cannot write {out}: {e.strerror}") from e
    with open(out, "w", encoding="utf-8", newline="") as file:
        yield file


def _plain(value: str) -> str:
    """One line, not too long, and no formula for the program that opens the table."""
    line = " ".join(value.split())
    line = line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
    return f"'{line}" if line[:1] in ("=", "+", "-", "@") else line
