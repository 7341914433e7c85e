"""What a node tells while it runs, and how it becomes events once somebody looks.

The tape is one flat list: a kind, a handle, the values of that kind (kinds.py), then the next
kind. A tuple for each event would be kept, and what is kept the garbage collector walks through.
"""

from __future__ import annotations

import bisect
import sys
import threading
from collections.abc import Callable
from typing import Any

from .events import Builder, Places
from .kinds import KINDS, Event, address

Stamps = tuple[list[int], list[int], list[int]]
"""Real times in ns: before event n[k] all was over at ended[k], and what came did not begin before began[k]."""
_WIDTHS = {kind.name: kind.width for kind in KINDS.values()}
_WIDEST = max(_WIDTHS.values())


class Tape:
    """`told` is what came so far; whoever records extends it. `snapshot`: the tables before.

    `places`: names for places of code. `ring`: how many events are kept at least; None for all. Of a ring the
    beginning goes when it has become long enough: up to where the tables were written down a ring ago (`turn`).
    """

    def __init__(self, places: Places, ring: int | None = None) -> None:
        self.told: list[Any] = []
        self.snapshot: dict[str, Any] = {}
        self.missing = 0  # events that were not kept
        self._places = places
        self._ring = ring
        self._due = _WIDEST * (ring or 0)  # how long `told` is when the ring is to be turned
        # Where it may begin then: how long `told` was there, how many events that were, the tables, whom we knew.
        self._next: tuple[int, int, dict[str, Any], list[int]] | None = None
        self._reading = threading.Lock()
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
        widths, end = _WIDTHS, len(told)  # a ring walks through all of it, and has the node wait
        while i < end:
            i += widths[told[i]]
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

    def turner(self, stamp: Callable[[], None] | None, turn: Callable[[], object]) -> Callable[[], None]:
        """The same, of a ring: what has it turned when it is due, besides `stamp`."""
        told = self.told

        def watch() -> None:
            if stamp is not None:
                stamp()
            if len(told) >= self._due:
                self._due = sys.maxsize  # it is asked for
                turn()

        return watch

    def turn(self, tables: dict[str, Any]) -> None:
        """Let the beginning go; `tables` are those of now. Nothing may be told meanwhile."""
        with self._reading:
            count = self.count()
            if self._next is not None:
                begin, gone, self.snapshot, known = self._next
                for handle in known:  # or who is born and gone would stay for ever
                    if address(handle) not in self.snapshot["services"]:
                        self._places.services.pop(handle, None)
                del self.told[:begin]
                count -= gone
                self.missing += gone
                self._counted, self._count, self._read = len(self.told), count, 0
                first = bisect.bisect_left(self._lengths, begin)
                for column in (self._ended, self._began):
                    del column[:first]
                self._lengths[:] = [n - begin for n in self._lengths[first:]]
                self._numbers, self._builder = [], None
            self._next = len(self.told), count, tables, list(self._places.services)
            self._due = len(self.told) + _WIDEST * (self._ring or 0)

    def taken(self) -> Tape:
        """What is on it now, as a tape of its own, to be developed in another thread. Nothing may be told meanwhile."""
        with self._reading:
            taken = Tape(self._places.copy())
            taken.told, taken.missing = self.told[:], self.missing
            taken.snapshot = dict(self.snapshot)
            if "ends" in taken.snapshot:
                taken.snapshot["ends"] = dict(taken.snapshot["ends"])  # who develops adds to it
            taken._lengths, taken._ended, taken._began = self._lengths[:], self._ended[:], self._began[:]
        return taken

    def develop(self, sent: list[int] | None) -> tuple[list[Event], dict[str, str]]:
        """All events so far, and the texts of their places; the same list and dict each time, with more in them."""
        with self._reading:
            return self._develop(sent)

    def _develop(self, sent: list[int] | None) -> tuple[list[Event], dict[str, str]]:
        builder = self._builder
        if builder is None:
            builder = self._builder = Builder(self.snapshot, self._places, sent)
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
