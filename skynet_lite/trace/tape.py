"""What a node tells while it runs, and how it becomes events once somebody looks.

The tape is one flat list: a kind, a handle, the values of that kind (kinds.py), then the next
kind. A tuple for each event would be kept, and what is kept the garbage collector walks through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .events import Builder, Places
from .kinds import KINDS, Event

Stamps = tuple[list[int], list[int], list[int]]
"""Real times in ns: before event n[k] all was over at ended[k], and what came did not begin before began[k]."""
_WIDTHS = {kind.name: kind.width for kind in KINDS.values()}


class Tape:
    """`told` is what came so far; whoever records extends it. `places`: names for places of code."""

    def __init__(self, places: Places) -> None:
        self.told: list[Any] = []
        self._places = places
        self._lengths: list[int] = []  # of `told` when a time was noted
        self._numbers: list[int] = []  # and how many events that were; see Stamps
        self._ended: list[int] = []
        self._began: list[int] = []
        self._counted = self._count = 0
        self._read = 0
        self._builder: Builder | None = None

    def count(self) -> int:
        """How many events have come."""
        told, i, n = self.told, self._counted, self._count
        while i < len(told):
            i += _WIDTHS[told[i]]
            n += 1
        self._counted, self._count = i, n
        return n

    def stamper(self, time: Callable[[], int]) -> Callable[[], None]:
        """To be called between two messages: what was told is over at `time()` in ns, what comes has not begun."""
        told, lengths, ended, began = self.told, self._lengths, self._ended, self._began

        def stamp() -> None:
            ns, n = time(), len(told)
            if lengths and lengths[-1] == n:
                began[-1] = ns  # nothing happened in between: idle time belongs to nobody
            else:
                ended.append(ns)
                began.append(ns)
                lengths.append(n)

        return stamp

    def develop(self, snapshot: dict[str, Any], sent: list[int] | None) -> tuple[list[Event], dict[str, str]]:
        """All events so far, and the texts of their places; the same list and dict each time, with more in them."""
        builder = self._builder
        if builder is None:
            builder = self._builder = Builder(snapshot, self._places, sent)
        # By index: the node may go on recording while we read.
        told, i, end, numbers, lengths = self.told, self._read, len(self.told), self._numbers, self._lengths
        while True:
            while len(numbers) < len(lengths) and lengths[len(numbers)] <= i:
                numbers.append(len(builder.events))
            if i >= end:
                break
            i = builder.add(told, i)
        self._read = i
        return builder.events, builder.sources

    def stamps(self) -> Stamps:
        """The times, of events that were developed."""
        n = len(self._numbers)
        return self._numbers, self._ended[:n], self._began[:n]
