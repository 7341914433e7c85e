"""Functions of which a call runs nothing: `async def` and generators, which only make an object.

Each place that takes a function asks `runnable`; a task that returns such an object all the same has not run.
"""

from __future__ import annotations

from inspect import GEN_CREATED, getgeneratorstate, isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, TypeVar

from ..core.errors import SkynetError

T = TypeVar("T")
_UNRUN = frozenset((CoroutineType, GeneratorType, AsyncGeneratorType))


def is_runnable(f: Any) -> bool:
    """Whether calling `f` runs it."""
    kinds = iscoroutinefunction, isgeneratorfunction, isasyncgenfunction
    return callable(f) and not any(kind(g) for kind in kinds for g in (f, type(f).__call__))


def runnable(f: T) -> T:
    """The same function; None may stand for none. Raises SkynetError for one that a call would not run."""
    if f is not None and not is_runnable(f):
        raise _not_run(f)
    return f


def has_run(made: Any) -> None:
    """What a task has returned: nobody wants it. Raises SkynetError if it is the task itself, which has not run."""
    if type(made) not in _UNRUN or (type(made) is GeneratorType and getgeneratorstate(made) != GEN_CREATED):
        return
    if type(made) is CoroutineType:
        made.close()  # else Python warns of it as well
    raise _not_run(made)


def _not_run(f: Any) -> SkynetError:
    return SkynetError(
        f"{getattr(f, '__qualname__', f)!s:.80} is no plain function, and nothing of it would run: give a def that is "
        "neither async nor a generator; skynet.call, sleep and all others wait without await"
    )
