"""A trace: the events of a run, and the tables they began with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .events import Builder, Event
from .golden import golden
from .state import Tables
from .text import line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = "skynet_lite trace"
VERSION = 1
_CHECKPOINT = 512  # events between two states that are kept for `state`


class TraceError(ValueError):
    """A file that is not a trace, or was cut short or edited."""


class Trace:
    """What was recorded. `events` is a list of dicts (see events.py), `snapshot` the tables before."""

    def __init__(
        self,
        events: Iterable[Event] = (),
        snapshot: dict[str, Any] | None = None,
        sources: dict[str, str] | None = None,
        *,
        raw: list[tuple[Any, ...]] | None = None,
        place: Callable[[int, Any], str] | None = None,
        source: Callable[[Any], str] | None = None,
    ) -> None:
        self.snapshot: dict[str, Any] = snapshot if snapshot is not None else {}
        self._events: list[Event] = list(events)
        self.sources: dict[str, str] = dict(sources or {})  # "main" → the text of its file or cell
        self._raw = raw
        self._read = 0
        self._build: Any = None
        self._helpers = (place, source)
        self._states: list[Tables] = []  # Tables after 0, 512, 1024, ... events

    @property
    def events(self) -> list[Event]:
        """All events so far; index i is the i of `text` and `state`."""
        if self._raw is not None and self._read < len(self._raw):
            if self._build is None:
                place, source = self._helpers
                assert place is not None and source is not None
                self._build = Builder(self.snapshot, place, source)
                self._events = self._build.events
                self.sources = self._build.sources
            # By index: the node may go on recording while we read.
            end = len(self._raw)
            for i in range(self._read, end):
                self._build.add(self._raw[i])
            self._read = end
        return self._events

    def settle(self) -> None:
        """Build all events and let go of what the recording held on to."""
        _ = self.events
        self._raw = self._build = None
        self._helpers = (None, None)

    def text(self, *, detail: bool = True, service: int | str | None = None) -> str:
        """The canonical text, one line an event: number, service, coroutine, what happened.

        `detail=False` leaves out tables and bookkeeping, `service` all other services.
        """
        wanted = None if service is None else _address(service)
        lines = []
        for i, event in enumerate(self.events):
            if wanted is not None and event.get("service") != wanted:
                continue
            if not detail and event["e"] in ("table", "push", "requeue", "socket", "timer_set"):
                continue
            lines.append(f"{i:4} {line(event)}")
        return "\n".join(lines)

    def golden(self, addr: int | str, detail: bool = True, names: dict[Any, str] | None = None) -> list[Event]:
        """The events of one service in the form of the recordings of the real skynet.

        `names` maps other services' addresses to their labels.
        """
        launcher = next(
            (a for a, t in self.snapshot.get("services", {}).items() if t.get("name") == "launcher"),
            next((e["service"] for e in self.events if e["e"] == "birth" and e["label"] == "snlua launcher"), None),
        )
        labels = {_address(a): name for a, name in (names or {}).items()}
        return golden(self.events, _address(addr), labels, launcher, detail)

    def state(self, i: int = -1) -> dict[str, Any]:
        """All tables after event `i` (negative: from the end), in the form of `Node.tables`.

        Raises IndexError.
        """
        events = self.events
        n = range(len(events))[i] + 1 if events else 0
        if not self._states:
            self._states.append(Tables(self.snapshot))
        nearest = min(n // _CHECKPOINT, len(self._states) - 1)
        tables = self._states[nearest].copy()
        for k in range(nearest * _CHECKPOINT, n):
            tables.apply(events[k])
            if (k + 1) % _CHECKPOINT == 0 and (k + 1) // _CHECKPOINT == len(self._states):
                self._states.append(tables.copy())
        return tables.view()

    def timeline(self, **options: Any) -> Figure:
        """A matplotlib figure of the coroutines; see view.timeline.timeline for the options."""
        from ..view.timeline import timeline

        return timeline(self, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Store as JSON; `Trace.load` reads it back."""
        data = {
            "format": FORMAT, "version": VERSION, "snapshot": _keys_as_text(self.snapshot), "sources": self.sources,
            "count": len(self.events), "events": self.events,
        }  # fmt: skip
        Path(path).write_text(json.dumps(data, ensure_ascii=True, indent=None, separators=(",", ":")), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a stored trace. Raises TraceError for what is none, OSError if it cannot be read."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as e:
            raise TraceError(f"{Path(path).name} is no trace, or was cut short: {e}") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise TraceError(f"{Path(path).name} is JSON, but no trace: save one with trace.save(path)")
        if data.get("version") != VERSION:
            raise TraceError(f"{Path(path).name} has format version {data.get('version')!r}, known is {VERSION}")
        events = data.get("events")
        if not isinstance(events, list) or len(events) != data.get("count"):
            raise TraceError(f"{Path(path).name} was edited or cut: it says {data.get('count')} events")
        if not all(isinstance(e, dict) and isinstance(e.get("e"), str) for e in events):
            raise TraceError(f"{Path(path).name} was edited: not every event has a kind")
        return cls(events, _keys_as_numbers(data.get("snapshot", {})), data.get("sources", {}))

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __getitem__(self, i: int) -> Event:
        return self.events[i]

    def __repr__(self) -> str:
        services = {e["service"] for e in self.events if "service" in e}
        return f"<Trace of {len(self.events)} events, {len(services)} services>"


_NUMBERED = ("session_id_coroutine", "watching_session", "socket_pool", "sockets")


def _keys_as_text(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {str(key): _keys_as_text(value) if isinstance(value, dict) else value for key, value in snapshot.items()}


def _keys_as_numbers(snapshot: Any, numbered: bool = False) -> Any:
    if not isinstance(snapshot, dict):
        return snapshot
    return {int(key) if numbered else key: _keys_as_numbers(value, key in _NUMBERED) for key, value in snapshot.items()}


def _address(addr: int | str) -> str:
    if isinstance(addr, int):
        return f":{addr:08x}"
    return f":{int(addr[1:], 16):08x}" if addr.startswith(":") else addr
