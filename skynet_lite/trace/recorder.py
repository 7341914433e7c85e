"""The recorder: a list to which the node appends raw tuples while it runs.

That is all it does during the run: one append for each event. What the tuples mean
is worked out when somebody looks (events.py). The time is noted beside them, once
before and once after each message and never in them: the same program makes the
same events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .events import Places
from .film import Stamps
from .trace import Trace

Raw = tuple[Any, ...]


class Recorder:
    """`sink` takes raw events, `count()` says how many came, `stamp` takes the time in ns.

    `begin` notes the tables the recording starts from.
    `tables()` answers all tables of the node, `places` names for places of code.
    """

    def __init__(self, tables: Callable[[], dict[str, Any]], places: Places) -> None:
        self._raw: list[Raw] = []
        self._stamps: Stamps = ([], [], [])
        self._tables: Callable[[], dict[str, Any]] | None = tables
        self.sink = self._raw.append
        self.count = self._raw.__len__
        self.trace = Trace(raw=self._raw, places=places, stamps=self._stamps)

    def stamp(self, ns: int) -> None:
        """What was recorded so far was over at `ns`, what comes did not begin before."""
        (numbers, ended, began), n = self._stamps, len(self._raw)
        if numbers and numbers[-1] == n:
            began[-1] = ns  # nothing happened in between: idle time belongs to nobody
        else:
            numbers.append(n)
            ended.append(ns)
            began.append(ns)

    def begin(self) -> None:
        if self._tables is not None:
            self.trace.snapshot = self._tables()

    def end(self) -> None:
        """Build what was recorded now, so that the node can go."""
        self._tables = None
        self.trace.settle()
