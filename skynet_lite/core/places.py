"""Places in a program, named so that they read the same on every machine.

A place is `main:12`: the service, and the line in the file or notebook cell that
holds it. Never a path. Logged tracebacks leave the frames of this package out, so
that what remains is the user's own code; a recording keeps those between the
runtime's innermost line and the user's (`skynet/socketpool.py:90`), so that a reader can
follow a yield down to the switch.
"""

from __future__ import annotations

import functools
import linecache
import os
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from .errors import error_text

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
SERVICES = os.path.join(PACKAGE, "service") + os.sep
_TELL, _LOCKS = os.path.join(PACKAGE, "tell") + os.sep, os.path.join(PACKAGE, "core", "locks.py")

Place = tuple[CodeType, int]
Stack = tuple[Any, ...]
"""Innermost first: code, offset of the instruction in it, code, offset, ... Lines are worked out when somebody
looks. Flat, for a recording keeps many, and what the garbage collector has to visit is paid for again and again.
"""

_USERS, _OURS, _AROUND = range(3)


class _Whose(dict[str, int]):
    """Whose a file is, by its name. What only stands around the runtime is no part of what is watched."""

    def __missing__(self, name: str) -> int:  # once for each file: it is asked at every yield
        ours = name.startswith(PACKAGE) and not name.startswith(SERVICES)
        whose = self[name] = _AROUND if name.startswith((_TELL, _LOCKS)) else _OURS if ours else _USERS
        return whose


_whose = _Whose()


def file_is_ours(name: str) -> bool:
    """Whether this is a file of the runtime (the services that come with it are not)."""
    return _whose[name] != _USERS


def is_ours(code: CodeType) -> bool:
    """Whether this is the runtime's own code."""
    return _whose[code.co_filename] != _USERS


def short_path(name: str) -> str:
    """A file of the runtime: skynet/socket.py, core/timer.py; no service is called so."""
    return name[len(PACKAGE) :].replace(os.sep, "/")


def stack_of(frame: FrameType | None) -> Stack:
    """From `frame` outwards to the first line of the user's own code, or to the end if there is none."""
    # Most stacks of a recording end with the second or third frame. Those are put together at once, for two
    # thirds of the price; and by f_lasti, for f_lineno reads the code's line table through.
    if frame is not None and (second := frame.f_back) is not None:
        a, b = frame.f_code, second.f_code
        if _whose[a.co_filename] == _OURS:
            whose = _whose[b.co_filename]
            if whose == _USERS:
                return a, frame.f_lasti, b, second.f_lasti
            if whose == _OURS and (third := second.f_back) is not None:
                c = third.f_code
                if _whose[c.co_filename] == _USERS:
                    return a, frame.f_lasti, b, second.f_lasti, c, third.f_lasti
    found: Stack = ()
    while frame is not None:
        code = frame.f_code
        whose = _whose[code.co_filename]
        if whose != _AROUND:
            found += code, frame.f_lasti
            if whose == _USERS:
                break
        frame = frame.f_back
    return found


def here() -> Stack:
    """Where the caller of the caller stands: `wakeup` asks who called it."""
    return stack_of(sys._getframe(2))


def stack_of_error(error: BaseException) -> Stack:
    """Where it was raised, out to the user's innermost line."""
    found: Stack = ()
    for t in reversed(list(_chain(error.__traceback__, "tb_next"))):
        found += (t.tb_frame.f_code, t.tb_lasti)
        if not is_ours(t.tb_frame.f_code):
            break
    return found


def raised_by_us(error: BaseException) -> bool:
    """Whether it comes out of a line of the runtime, as what is thrown into a parked coroutine does."""
    *_, innermost = _chain(error.__traceback__, "tb_next")
    return is_ours(innermost.tb_frame.f_code)


def task_of(f: Any) -> Any:
    """What a recording keeps of a task: its code, which holds nothing alive; a partial as it is."""
    return getattr(f, "__code__", f)


def place_of_function(f: Any) -> Place | None:
    """Where a task (or its code) is defined; partials are looked into, None for what has no code."""
    while isinstance(f, functools.partial):
        own = getattr(f.func, "__code__", None)
        # skynet.start hands init_service, a function of ours, the start function as its last argument.
        f = f.args[-1] if f.args and own is not None and is_ours(own) else f.func
    code = f if isinstance(f, CodeType) else getattr(f, "__code__", None)
    return None if code is None else (code, code.co_firstlineno)


@functools.lru_cache(maxsize=4096)
def line_of(code: CodeType, offset: int) -> int:
    """The line of an instruction."""
    lines = (line for start, end, line in code.co_lines() if start <= offset < end)
    return next(filter(None, lines), code.co_firstlineno)


def file_label(code: CodeType, service: str, service_file: str | None) -> str:
    """What stands before the colon: the service for its own file, else the file or the function."""
    name = code.co_filename
    if name == service_file:
        return service
    if is_ours(code):
        return short_path(name)
    base = os.path.basename(name)
    if base.endswith(".py") and "ipykernel" not in name:
        return base[:-3]
    return code.co_name  # a notebook cell or a string: its file name means nothing


class Places:
    """Names for the places in a recording (trace.events.Places). `services`: handle → name and file of its code."""

    def __init__(self, services: dict[int, tuple[str, str | None]]) -> None:
        self.services = services
        self._stacks: dict[tuple[int, ...], list[str]] = {}

    def copy(self) -> Places:
        """The same names, for another thread."""
        return Places(dict(self.services))

    def stack(self, handle: int, at: Stack) -> list[str]:
        """`["skynet/waits.py:85", "skynet/socketpool.py:90", "main:12"]`; the same list again for the same stack."""
        key = (handle, *map(id, at[::2]), *at[1::2])
        found = self._stacks.get(key)
        if found is None:
            name, file = self._service(handle)
            lines = zip(at[::2], map(line_of, at[::2], at[1::2]), strict=True)
            found = self._stacks[key] = [place_label(place, name, file) for place in lines]
        return found

    def function(self, handle: int, f: Any) -> str | None:
        place = place_of_function(f)
        return None if place is None else place_label(place, *self._service(handle))

    def source(self, handle: int, at: Any) -> dict[str, str]:
        """The text of the files, or notebook cells, of a stack or a task; "" where it is not known."""
        codes = at[::2] if isinstance(at, tuple) else (place_of_function(at) or ())[:1]
        return {file_label(c, *self._service(handle)): "".join(_lines(c)) for c in codes}

    def _service(self, handle: int) -> tuple[str, str | None]:
        return self.services.get(handle, ("?", None))


def place_label(place: Place, service: str, service_file: str | None) -> str:
    code, line = place
    return f"{file_label(code, service, service_file)}:{line}"


def _lines(code: CodeType) -> list[str]:
    try:
        return linecache.getlines(code.co_filename)
    except ValueError:  # no file can have such a name
        return []


def format_error(error: BaseException, service: str, service_file: str | None) -> str:
    """A traceback of the user's own lines. Costs some 0.1 ms: do it once, where it is logged."""
    places = [(t.tb_frame.f_code, t.tb_lineno) for t in _chain(error.__traceback__, "tb_next")]
    lines = _frames(places, service, service_file)
    if lines:
        lines.insert(0, "Traceback (most recent call last):")
    lines.append(error_text(error))
    return "\n".join(lines)


def format_stack(frame: FrameType | None, service: str, service_file: str | None) -> str:
    """The stack of a parked coroutine, outermost first."""
    places = [(f.f_code, f.f_lineno) for f in _chain(frame, "f_back")]
    return "\n".join(_frames(places[::-1], service, service_file))


def _chain(first: Any, link: str) -> Iterator[Any]:
    """Tracebacks or frames, one after the other."""
    while first is not None:
        yield first
        first = getattr(first, link)


def _frames(places: list[Place], service: str, service_file: str | None) -> list[str]:
    lines = []
    for code, line in places:
        if not is_ours(code):
            lines.append(f"  {place_label((code, line), service, service_file)} in {code.co_name}")
            if source := "".join(_lines(code)[line - 1 : line]).strip():
                lines.append(f"    {source}")
    return lines
