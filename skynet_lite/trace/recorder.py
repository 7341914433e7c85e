"""The recorder: what a node tells while it runs goes onto a tape, and that is all.

The time is noted beside it, once before and once after each message and never in it: the
same program makes the same events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .events import Places
from .tape import Tape
from .trace import Trace


class Recorder:
    """`sink` takes what a node tells, `count()` says how many events came, `stamper(time)` makes what notes the time.

    `begin` notes the tables the recording starts from.
    `tables()` answers all tables of the node, `places` names for places of code.
    """

    def __init__(self, tables: Callable[[], dict[str, Any]], places: Places) -> None:
        tape = Tape(places)
        self._tables: Callable[[], dict[str, Any]] | None = tables
        self.sink = tape.told.extend
        self.count, self.stamper = tape.count, tape.stamper
        self.trace = Trace(tape=tape)

    def begin(self) -> None:
        if self._tables is not None:
            self.trace.snapshot = self._tables()

    def end(self) -> None:
        """Build what was recorded now, so that the node can go."""
        self._tables = None
        self.trace.settle()
