"""Asking an exercise, and running a reader's program for it.

Two kinds of answer: a value (a prediction, an order, a number), and a program (a
service that is run here on a node of its own, and looked at from outside and through
its trace). Whatever a reader's program does, the reader gets a sentence.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from ..node.client import Client
from ..node.node import Node
from ..trace import Trace
from ..trace.language import say

Hint = str | None
Check = Callable[[Any], Hint]


@dataclass(frozen=True)
class Exercise:
    number: str
    judge: Check
    right: tuple[str, str]


_exercises: dict[str, Exercise] = {}


def exercise(number: str, *right: str) -> Callable[[Check], Check]:
    """Enter the decorated function as exercise `number`; `right`: what to say then, English and Chinese."""

    def enter(judge: Check) -> Check:
        english, chinese = right
        _exercises[number] = Exercise(number, judge, (english, chinese))
        return judge

    return enter


def exercises() -> dict[str, Exercise]:
    """All exercises of the course by their number, "05.1"."""
    for module in iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("ex"):
            import_module(f"{__package__}.{module.name}")
    return dict(sorted(_exercises.items()))


def judge(number: str, answer: Any) -> tuple[bool, str]:
    """Whether `answer` is right, and what is to be said about it.

    Raises KeyError for an exercise that is not there.
    """
    found = exercises().get(number)
    if found is None:
        raise KeyError(f"no exercise {number!r}; there are {', '.join(_exercises)}")
    try:
        hint = found.judge(answer)
    except Exception as e:
        hint = _stumbled(answer, e)
    return hint is None, hint if hint is not None else say(*found.right)


def check(number: str, answer: Any = ...) -> None:
    """Print what is to be said about `answer` to exercise `number`. `...` is no answer yet."""
    if answer is ... or (isinstance(answer, list | tuple) and ... in answer):
        print(say(f"{number} · waits for your answer in place of the dots", f"{number} · 请把省略号换成你的答案"))
        return
    right, text = judge(number, answer)
    print(f"{number} · {say('right', '正确') if right else say('not yet', '还不对')}: {text}")


def _stumbled(answer: Any, e: Exception) -> str:
    """An answer of another shape than expected, or a program that raised on the driver's side."""
    if callable(answer):
        place = traceback.extract_tb(e.__traceback__)[-1]
        said = f"{type(e).__name__}: {e}"
        return say(
            f"the check ran your program and met {said} (in {place.name}, line {place.lineno}). "
            "Run it on a lab() of your own and look at node.log_lines and trace.verdicts().",
            f"运行你的程序时遇到 {said}（{place.name}，第 {place.lineno} 行）。"
            "请用 lab() 自己运行一遍，看看 node.log_lines 和 trace.verdicts()。",
        )
    return say(
        f"{answer!r} has another form than the answer ({type(e).__name__}). Read again what the exercise asks for.",
        f"{answer!r} 的形式和答案不同（{type(e).__name__}）。请再看看题目要求的是什么。",
    )


# --------------------------------------------------------------------------- values


def plain(answer: Any) -> Any:
    """An answer without what does not matter: spaces and case of text, list or tuple."""
    if isinstance(answer, str):
        return " ".join(answer.split()).lower()
    if isinstance(answer, list | tuple):
        return [plain(value) for value in answer]
    if isinstance(answer, dict):
        return {plain(key): plain(value) for key, value in answer.items()}
    return answer


def among(answer: Any, expected: Any, hints: dict[Any, str], otherwise: str) -> Hint:
    """None if `answer` is `expected`, else the hint of this very answer, or `otherwise`.

    Keys of `hints` are plain answers; a list is written as a tuple.
    """
    given = plain(answer)
    if given == plain(expected) and type(given) is type(plain(expected)):
        return None
    return hints.get(_frozen(given), otherwise)


def first_wrong(given: list[Any], right: list[Any], hints: list[str]) -> Hint:
    """The hint of the first value that is wrong, None if none is. All three have the same length."""
    return next((hint for g, r, hint in zip(given, right, hints, strict=True) if g != r), None)


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(v) for v in value)
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


# --------------------------------------------------------------------------- programs


@dataclass
class Run:
    """What became of a reader's program. `said`: what clients got, in the order of the script."""

    node: Node
    trace: Trace
    addr: int
    said: list[Any]

    @property
    def marks(self) -> list[str]:
        return [e["text"] for e in self.trace if e["e"] == "mark" and e.get("service")]

    @property
    def errors(self) -> list[str]:
        """The last line of each error that was logged or ended a coroutine."""
        return [str(e["error"]).strip().splitlines()[-1] for e in self.trace if e["e"] == "co_error"]

    def tables(self) -> dict[str, Any]:
        found: dict[str, Any] = self.trace.state()["services"].get(f":{self.addr:08x}", {})
        return found

    def count(self, e: str, **fields: Any) -> int:
        """How many events of this kind the program's service has."""
        me = f":{self.addr:08x}"
        fields["service"] = me
        return sum(x["e"] == e and all(x.get(k) == v for k, v in fields.items()) for x in self.trace)


def run(program: Any, script: Callable[[Run], Any] | None = None, *args: Any) -> Run:
    """Start `program` as a service with `args` on a node of its own, and do `script(run)` to it.

    The node is closed afterwards; its trace can be asked. A program that waits for ever
    is no harm: time is virtual, and what a client waits for in vain ends in a second.
    Raises TypeError if `program` is no function.
    """
    if not callable(program):
        raise TypeError("a program is expected here: a function")
    with Node(clock="virtual", log=list) as node, node.record() as trace:
        found = Run(node, trace, 0, [])
        found.addr = node.newservice(program, *args, wait=False)
        node.run_until_idle()
        if script is not None:
            script(found)
        node.run_until_idle()
    return found


def raised(found: Run) -> str:
    """What to say of a program in which a coroutine has ended with an error."""
    error = found.errors[0]
    return say(f"A coroutine ends with {error!r}.", f"有协程以 {error!r} 结束。")


def port_of(found: Run) -> int | None:
    """The port on which the program listens, None if it does not."""
    for id, (state, _) in found.node.tables()["sockets"].items():
        if state == "listen":
            return int(found.server.socket_server.sockname(id)[1])
    return None


def client(found: Run) -> Client:
    """A client of the program. Raises LookupError if the program does not listen."""
    port = port_of(found)
    if port is None:
        raise LookupError(say("no socket of your program listens", "你的程序没有处于监听状态的 socket"))
    return found.node.client(port)


def heard(found: Run, c: Client) -> bytes:
    """What the program has written to `c` by the time that nothing can run. Never waits for more."""
    found.node.run_until_idle()
    return c.recv_until(lambda: True)
