"""Asking an exercise: is an answer right, and if not, where is the reader to look?

One idea: an exercise looks at one thing after the other, `yield wrong and "name"`. The
first hint that it yields is told; an answer that gets none is right. What is said stands
under these names in `texts/`, in English and Chinese. A prediction, "05.P1", is all text:
the letter that is right, and a sentence for each letter. Whatever the answer is, or does,
the reader gets a sentence.
"""

from __future__ import annotations

import tomllib
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple

from ..trace.language import say

HERE = Path(__file__).parent


class Hint(NamedTuple):
    """What to tell: the name of a text, and what fills its fields (that may be a hint, too)."""

    name: str
    fields: dict[str, Any]


def hint(name: str, /, **fields: Any) -> Hint:
    return Hint(name, fields)


Hints = Generator[Any, None, None]
"""What an exercise yields: a Hint, the name of one without fields, or something false."""

Check = Callable[[Any], Hints]
_exercises: dict[str, Check] = {}


def exercise(number: str) -> Callable[[Check], Check]:
    """Enter the decorated function as exercise `number`, "05.1"."""

    def enter(judge: Check) -> Check:
        _exercises[number] = judge
        return judge

    return enter


def exercises() -> dict[str, Check]:
    """All exercises of the course by their number, "05.1"."""
    for module in iter_modules([str(HERE)]):
        if module.name.startswith("ex"):
            import_module(f"{__package__}.{module.name}")
    return dict(sorted(_exercises.items()))


@cache
def texts(name: str) -> dict[str, dict[str, Any]]:
    """The texts of a notebook ("05"), or those that all use ("common"): by exercise, by name, by language."""
    return tomllib.loads((HERE / "texts" / f"{name}.toml").read_text("utf-8"))


def prediction(number: str) -> Check | None:
    """What judges prediction `number`, "05.P1"; None if there is none. Its texts are "right" and the wrong letters."""
    file = HERE / "texts" / f"{number[:2]}.toml"
    section = texts(file.stem).get(number) if file.exists() and ".P" in number else None
    if section is None:
        return None
    letters = choices(section)

    def look(answer: Any) -> Hints:
        given = str(plain(answer)).strip("()")
        yield given not in letters and hint("letter", letters=", ".join(letters))
        yield given != section["answer"] and given

    return look


def choices(section: dict[str, Any]) -> list[str]:
    """The letters of a prediction: that of its answer, and those that have a hint."""
    return sorted([section["answer"], *(name for name in section if len(name) == 1)])


def tell(what: str | Hint, number: str = "") -> str:
    """A hint of exercise `number` as a sentence. Its text is the exercise's, the notebook's, or everybody's."""
    name, fields = what if isinstance(what, Hint) else (what, {})
    notebook = texts(number[:2]) if number else {}
    text = next(part[name] for part in (
        notebook.get(number, {}), notebook.get("shared", {}), texts("common")["common"]) if name in part)  # fmt: skip
    filled = {key: tell(value, number) if isinstance(value, Hint) else value for key, value in fields.items()}
    return say(text["en"], text["zh"]).format(**filled)


def judge(number: str, answer: Any) -> tuple[bool, str]:
    """Whether `answer` is right, and what is to be said about it.

    Raises KeyError for an exercise that is not there.
    """
    look = exercises().get(number) or prediction(number)
    if look is None:
        raise KeyError(f"no exercise {number!r}; there are {', '.join(_exercises)}")
    try:
        with closing(look(answer)) as yielded:
            found = next(filter(None, yielded), None)
        return found is None, tell(found or "right", number)
    except Exception as e:
        return False, tell(_stumbled(answer, e))


def check(number: str, answer: Any = ...) -> None:
    """Print what is to be said about `answer` to exercise `number`. `...` is no answer yet."""
    if answer is ... or (isinstance(answer, list | tuple) and ... in answer):
        print(tell(hint("waits", number=number)))
        return
    right, text = judge(number, answer)
    print(f"{number} · {tell('is-right' if right else 'not-yet')}{text}")


def _stumbled(answer: Any, e: Exception) -> Hint:
    """An answer of another shape than expected, or a program that raised on the driver's side."""
    if callable(answer):
        place = traceback.extract_tb(e.__traceback__)[-1]
        return hint("met", error=f"{type(e).__name__}: {e}", function=place.name, line=place.lineno)
    return hint("other-form", answer=answer, error=type(e).__name__)


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


def no_list(answer: Any, n: int, kind: type = object) -> bool:
    """Whether an answer is something else than a list of `n` values of `kind`."""
    return not isinstance(answer, list | tuple) or len(answer) != n or not all(isinstance(v, kind) for v in answer)


def among(value: Any, right: Any, hints: dict[Any, str], otherwise: str = "form") -> str | None:
    """None if `value` is right, else the hint of this very value, or `otherwise`."""
    return None if value == right else next((name for wrong, name in hints.items() if value == wrong), otherwise)


def choice(number: str, right: Any, hints: dict[Any, str]) -> None:
    """Enter an exercise that asks for one value. Keys of `hints` are plain answers; a list is written as a tuple."""

    def look(answer: Any) -> Hints:
        given, wanted = plain(answer), plain(right)
        yield (given != wanted or type(given) is not type(wanted)) and hints.get(_frozen(given), "form")

    exercise(number)(look)


def yes_or_no(number: str, *right: str) -> None:
    """Enter an exercise that asks for a list of these words: "form" is the hint for something else."""

    def look(answer: Any) -> Hints:
        given = plain(answer)
        yield (no_list(given, len(right)) or any(g not in ("yes", "no") for g in given)) and "form"
        yield first_wrong(given, right)

    exercise(number)(look)


def first_wrong(given: Sequence[Any], right: Sequence[Any]) -> str | None:
    """The hint of the first value that is wrong, "1" and so on; None if none is. Raises ValueError: other lengths."""
    return next((str(k) for k, (g, r) in enumerate(zip(given, right, strict=True), 1) if g != r), None)


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(v) for v in value)
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value
