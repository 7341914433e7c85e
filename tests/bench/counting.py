"""Bytecodes are counted: a price that is told without a clock, and is the same on a busy machine."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import CodeType, FrameType
from typing import Any

import greenlet


class Bytecodes:
    """Counts the bytecodes of all coroutines of this thread, in `files`: by the file that the function stands in.

    What was suspended before the counting began tells of itself only after its next call or turn of a
    loop: so begin before it is made, or let it run a few times first.
    """

    def __init__(self) -> None:
        # Not by code object: to hash one, Python goes through all of it.
        self.files: Counter[str] = Counter()

    def counted(self) -> AbstractContextManager[None]:
        return self._monitored() if sys.version_info >= (3, 12) else self._traced()

    # ---- Python 3.12 and newer

    @contextmanager
    def _monitored(self) -> Iterator[None]:
        files, monitoring = self.files, sys.monitoring  # type: ignore[attr-defined, unused-ignore]

        def instruction(code: CodeType, offset: int) -> None:
            files[code.co_filename] += 1

        tool = next(id for id in range(6) if monitoring.get_tool(id) is None)
        monitoring.use_tool_id(tool, "bytecodes")
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, instruction)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        try:
            yield
        finally:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
            monitoring.free_tool_id(tool)

    # ---- Python 3.11

    @contextmanager
    def _traced(self) -> Iterator[None]:
        files = self.files

        def called(frame: FrameType, event: str, arg: Any) -> Any:
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return opcode

        def opcode(frame: FrameType, event: str, arg: Any) -> Any:
            if event == "opcode":
                files[frame.f_code.co_filename] += 1
            return opcode

        def switched(*_: Any) -> None:  # each greenlet has a tracer of its own
            sys.settrace(called)

        before = greenlet.settrace(switched), sys.gettrace()
        sys.settrace(called)
        try:
            yield
        finally:
            greenlet.settrace(before[0])
            sys.settrace(before[1])
