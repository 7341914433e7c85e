"""Places in a program, named so that they read the same on every machine.

A place is `main:12`: the service, and the line in the file or notebook cell that
holds it. Never a path. Frames of this package are left out, so that what remains
is the user's own code.
"""

from __future__ import annotations

import linecache
import os
from types import CodeType, FrameType, TracebackType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_SERVICES = os.path.join(_PACKAGE, "service") + os.sep

Place = tuple[CodeType, int]


_ours: dict[str, bool] = {}  # by file name: a recording asks at every yield


def is_ours(code: CodeType) -> bool:
    """Whether this is the runtime's own code (the services that come with it are not)."""
    name = code.co_filename
    known = _ours.get(name)
    if known is None:
        known = _ours[name] = name.startswith(_PACKAGE) and not name.startswith(_SERVICES)
    return known


def user_place(frame: FrameType | None) -> Place | None:
    """The innermost place of the user's code, going outwards from `frame`."""
    while frame is not None:
        code = frame.f_code
        if not _ours.get(code.co_filename) and not is_ours(code):
            return code, frame.f_lineno
        frame = frame.f_back
    return None


def file_label(code: CodeType, service: str, service_file: str | None) -> str:
    """What stands before the colon: the service for its own file, else the file or the function."""
    name = code.co_filename
    if name == service_file:
        return service
    base = os.path.basename(name)
    if base.endswith(".py") and "ipykernel" not in name:
        return base[:-3]
    return code.co_name  # a notebook cell or a string: its file name means nothing


def place_label(place: Place, service: str, service_file: str | None) -> str:
    code, line = place
    return f"{file_label(code, service, service_file)}:{line}"


def source_of(filename: str) -> str:
    """The text of a file or a notebook cell, "" where it is not known."""
    return "".join(linecache.getlines(filename))


def format_error(error: BaseException, service: str, service_file: str | None) -> str:
    """A traceback of the user's own lines. Costs some 0.1 ms: do it once, where it is logged."""
    lines = ["Traceback (most recent call last):"]
    lines += _frames(_walk(error.__traceback__), service, service_file)
    if len(lines) == 1:
        lines = []
    text = str(error)
    lines.append(f"{type(error).__name__}: {text}" if text else type(error).__name__)
    return "\n".join(lines)


def format_stack(frame: FrameType | None, service: str, service_file: str | None) -> str:
    """The stack of a parked coroutine, outermost first."""
    places = []
    while frame is not None:
        places.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return "\n".join(_frames(places[::-1], service, service_file))


def _walk(traceback: TracebackType | None) -> list[Place]:
    places = []
    while traceback is not None:
        places.append((traceback.tb_frame.f_code, traceback.tb_lineno))
        traceback = traceback.tb_next
    return places


def _frames(places: list[Place], service: str, service_file: str | None) -> list[str]:
    lines = []
    for code, line in places:
        if not is_ours(code):
            lines.append(f"  {place_label((code, line), service, service_file)} in {code.co_name}")
            source = linecache.getline(code.co_filename, line).strip()
            if source:
                lines.append(f"    {source}")
    return lines
