"""Tasks that would end and say nothing.

Of `async def` and generators a call runs nothing, it only makes an object: each place that takes a function asks
`runnable`; a task that returns such an object all the same has not run. And GreenletExit ends a greenlet in silence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import GEN_CREATED, getgeneratorstate, isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, TypeVar

from ..core.errors import SkynetError, error_text
from ..core.places import raised_by_us

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


def required(f: T) -> T:
    """As `runnable`, and None stands for none."""
    if f is None:
        raise _not_run(f)
    return runnable(f)


def takes(f: Callable[..., Any], n: int) -> bool:
    """Whether `f` can be called with so many values; yes, if it does not say."""
    try:
        inspect.signature(f).bind(*range(n))
    except TypeError:
        return False
    except ValueError:  # it is made in C
        pass
    return True


def has_run(made: Any) -> None:
    """What a task has returned: nobody wants it. Raises SkynetError if it is the task itself, which has not run."""
    if type(made) not in _UNRUN or (type(made) is GeneratorType and getgeneratorstate(made) != GEN_CREATED):
        return
    if type(made) is CoroutineType:
        made.close()  # else Python warns of it as well
    raise _not_run(made)


def leaves(error: BaseException) -> BaseException:
    """What leaves a coroutine for a GreenletExit: itself if the coroutine is being closed, else it is an error."""
    if raised_by_us(error):  # thrown in where it was parked
        return error
    text = f"raised {error_text(error)}, by which greenlet ends a coroutine that nobody needs: raise another, or return"
    return SkynetError(text).with_traceback(error.__traceback__)


def _not_run(f: Any) -> SkynetError:
    return SkynetError(
        f"{getattr(f, '__qualname__', f)!s:.80} is no plain function, and nothing of it would run: give a def that is "
        "neither async nor a generator; skynet.call, sleep and all others wait without await"
    )
