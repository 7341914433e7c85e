"""Exercises of notebook 17: the debug console."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import skynet
from ..core.errors import AddressError, CallError, DriveTimeout
from .engine import Hints, among, exercise, first_wrong, hint, no_list, plain, yes_or_no
from .programs import Run, run


@exercise("17.1")
def _count(answer: Any) -> Hints:
    given = plain(answer)
    yield no_list(given, 2, int) and "two-numbers"
    asked, lua = given
    yield (asked, lua) == (1, 6) and "swapped"
    yield among(asked, 6, {5: "five", 7: "seven", 12: "twelve"}, "asked")
    yield among(lua, 1, {0: "zero"}, "lua")


@exercise("17.2")
def _which(answer: Any) -> Hints:
    given = plain(answer)
    yield no_list(given, 5, str) and "form"
    # verdicts names the circle as well, and uniqtask the line.
    words = [word.split()[0] if word.split() else "" for word in given]
    words[0] = "waits" if words[0] == "verdicts" else words[0]
    words[2] = "task" if words[2] == "uniqtask" else words[2]
    yield first_wrong(words, ["waits", "stat", "task", "netstat", "inject"])


@exercise("17.3")
def _queue(program: Any) -> Hints:
    answers: list[Any] = []

    def script(r: Run) -> list[Any]:
        def take(k: int) -> None:
            answers.append((k, skynet.call(r.addr, "lua", "take")))

        said = r.ask(("INFO",), ptype="debug")
        r.start(lambda: [skynet.fork(take, k) for k in (0, 1)])
        said += r.ask(("INFO",), ptype="debug")
        r.tell(*(("put", x) for x in "abcd"))
        return said + r.ask(("INFO",), ptype="debug")

    found = run(program, script)
    first, empty, full = found.said
    yield first is None and "nothing"
    yield found.raised()
    yield first != {"waiting": 0, "asking": 0} and hint("first", first=first)
    yield empty != {"waiting": 0, "asking": 2} and hint("empty", empty=empty)
    yield not answers and "no-answer"
    yield answers != [(0, "a"), (1, "b")] and hint("answers", answers=answers)
    yield full != {"waiting": 2, "asking": 0} and hint("full", full=full)


yes_or_no("17.4", "yes", "no", "yes", "no")


def _counter() -> None:
    """The counter of the notebook."""
    total = 0

    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        nonlocal total
        total += n + n
        skynet.retpack(total)


@exercise("17.5")
def _patch(source: Any) -> Hints:
    if not isinstance(source, str):
        raise TypeError("a text is expected here: the source of a file for inject")

    def script(r: Run) -> None:
        r.node.call(r.addr, "lua", 5)
        with TemporaryDirectory() as folder:
            (Path(folder) / "my_patch.py").write_text(source)
            r.said += r.ask(("RUN", source, str(Path(folder) / "my_patch.py")), ptype="debug")
        for n in (1, 10):
            try:
                r.said.append(r.node.call(r.addr, "lua", n))
            except (CallError, AddressError):
                r.said.append("failed")
            except DriveTimeout:
                r.said.append("no answer")

    found = run(_counter, script)
    ran, one, ten = found.said
    yield isinstance(ran, str) and "unfinished"
    ok, output = ran
    yield not ok and hint("file-ends", last=str(output).strip().splitlines()[-1])
    if "failed" in (one, ten):
        unknown = "defined" in found.errors[0] or "associated" in found.errors[0]
        yield hint("fails-name" if unknown else "fails", ends=found.raised())
    yield "no answer" in (one, ten) and "no-answer"
    yield (one == 12 or (isinstance(one, int) and isinstance(ten, int) and ten - one == 20)) and "twice"
    yield one in (1, 2) and "from-zero"
    yield one == 11 and "doubled"
    yield (one, ten) == (6, 15) and "not-kept"
    yield (one, ten) != (6, 16) and hint("otherwise", one=one, ten=ten)
