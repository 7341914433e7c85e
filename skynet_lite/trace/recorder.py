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
    `tables()` answers all tables of the node, `places` names for places of code. `ring`: see Tape; it is turned by
    `turn`, for which `turner(stamp, ask)` makes what asks when it is due. Raises ValueError.
    """

    def __init__(self, tables: Callable[[], dict[str, Any]], places: Places, ring: int | None = None) -> None:
        if ring is not None and (type(ring) is not int or ring < 1):
            raise ValueError(f"ring is a number of events to be kept, from 1, not {ring!r}")
        self.ring = ring
        self._tape = tape = Tape(places, ring)
        self._tables: Callable[[], dict[str, Any]] | None = tables
        self.sink = tape.told.extend
        self.count, self.stamper, self.turner = tape.count, tape.stamper, tape.turner
        self.trace = Trace(tape=tape)

    def begin(self) -> None:
        if self._tables is not None:
            self.trace.snapshot = self._tape.snapshot = self._tables()

    def turn(self) -> None:
        if self._tables is not None:
            self._tape.turn(self._tables())

    def seen(self) -> int:
        """How many events came, those that were not kept, too."""
        return self._tape.missing + self.count()

    def taken(self) -> Trace:
        """A trace of what came so far, to be built in another thread. Nothing may be told meanwhile."""
        tape, world = self._tape.taken(), self.trace.world
        world = None if world is None else world.taken()
        return Trace(tape=tape, snapshot=tape.snapshot, missing=tape.missing, world=world)

    def end(self) -> None:
        """Build what was recorded now, so that the node can go."""
        self._tables = None
        self.trace.settle()
