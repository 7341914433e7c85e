"""The recorder: a list to which the node appends raw tuples while it runs.

That is all it does during the run: one append for each event. What the tuples mean
is worked out when somebody looks (events.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .trace import Trace

Raw = tuple[Any, ...]


class Recorder:
    """`sink` takes raw events; `begin` notes the tables that the recording starts from.

    `tables()` answers all tables of the node, `place(handle, at)` the name of a place,
    `source(at)` the text of the file it is in.
    """

    def __init__(
        self, tables: Callable[[], dict[str, Any]], place: Callable[[int, Any], str], source: Callable[[Any], str]
    ) -> None:
        self._raw: list[Raw] = []
        self._tables: Callable[[], dict[str, Any]] | None = tables
        self.sink = self._raw.append
        self.trace = Trace(raw=self._raw, place=place, source=source)

    def begin(self) -> None:
        if self._tables is not None:
            self.trace.snapshot = self._tables()

    def end(self) -> None:
        """Build what was recorded now, so that the node can go."""
        self._tables = None
        self.trace.settle()
