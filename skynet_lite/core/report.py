"""Log lines that are more than their text: warnings, and reports of exceptions.

One idea: each is a str, and short, with places as `main:3`: as such it is recorded, and kept in a list. Whoever
writes it where there is room for more asks for `full`, the tracebacks as Python shows them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from traceback import FrameSummary, StackSummary, TracebackException
from typing import Any

from .errors import error_text
from .places import file_is_ours, format_error, short_path


class Warned(str):
    """A line that whoever runs the node should look at."""

    level = logging.WARNING


class Report(str):
    """Words, and what was raised: several exceptions where one dispatch had several."""

    level = logging.ERROR
    words: str
    errors: Sequence[BaseException]
    service: str

    def __new__(cls, words: str, errors: Sequence[BaseException], name: str, file: str | None) -> Report:
        """`name`, `file`: of the service, for the short names of places."""
        self = super().__new__(cls, words + "\n".join(_short(e, name, file) for e in errors))
        self.words, self.errors, self.service = words, errors, name
        return self

    @property
    def full(self) -> str:
        """With real paths, causes, notes and the members of groups."""
        return self.words + "\n".join(map(traceback_of, self.errors))


def _short(error: BaseException, name: str, file: str | None) -> str:
    try:
        return format_error(error, name, file)
    except Exception:  # its traceback may be what cannot be told
        return error_text(error)


class _Folded(StackSummary):
    def format_frame_summary(self, frame_summary: FrameSummary, **keys: Any) -> str:
        folded = not frame_summary.filename
        return f"  [{frame_summary.name}]\n" if folded else super().format_frame_summary(frame_summary, **keys)


def traceback_of(error: BaseException) -> str:
    """As Python shows it, but for the runtime's own frames: of each run of them only the innermost is named."""
    try:
        told = TracebackException.from_exception(error)
        left = [told]
        for one in left:
            one.stack = _fold(one.stack)
            left += filter(None, (one.__cause__, one.__context__, *(one.exceptions or ())))
        return "".join(told.format()).rstrip("\n")
    except Exception:  # a class may raise whatever it is asked
        return error_text(error)


def _fold(stack: StackSummary) -> StackSummary:
    found, n = _Folded(), 0
    for i, frame in enumerate(stack, 1):
        n += 1
        if not file_is_ours(frame.filename):
            found.append(frame)
            n = 0
        elif i == len(stack) or not file_is_ours(stack[i].filename):
            place = f"{short_path(frame.filename)}:{frame.lineno} in {frame.name}"
            words = f"skynet_lite: {place}" if n == 1 else f"skynet_lite, {n} frames: {place}"
            found.append(FrameSummary("", frame.lineno, words, lookup_line=False))
            n = 0
    return found
