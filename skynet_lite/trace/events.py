"""From what was told to events: names for numbers, and who caused what.

`cause` is the index of the event that made this one due. It is taken from queues that
run in step with those of the node: what is queued first is taken first, here as there.
`at` is the line of the service that did it (`main:12`), `stack` the places from the
runtime's innermost line out to that one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any, Protocol

from .kinds import KINDS, SOCKET_TYPES, Event, address, coroutine, runtimes
from .shapes import ENTRIES
from .values import checksum, plain, values_of, whole


class Places(Protocol):
    """Names for places of code, given by whoever records; a trace knows no code objects.

    `services`: what is known of each, by its handle; they are added as they are born, and nobody but a ring takes
    them out.
    """

    services: dict[int, Any]

    def copy(self) -> Places:
        """The same names, for another thread."""

    def stack(self, handle: int, at: Any) -> list[str]:
        """The places of a raw stack, innermost first."""

    def function(self, handle: int, f: Any) -> str | None:
        """Where a function is defined."""

    def source(self, handle: int, at: Any) -> dict[str, str]:
        """The texts of the files a raw stack, or a function, leads through, by their labels."""


class Builder:
    """Turns what a node has told into events, one by one, in order.

    A method `_kind(event, service, rest)` notes what its kind is the cause of, and returns
    its cause; `rest` are the values that were told beyond its fields.
    """

    def __init__(self, snapshot: dict[str, Any], places: Places, sent: list[int] | None = None) -> None:
        self._snapshot = snapshot
        self._places = places
        self._sent = sent  # for a World
        self.events: list[Event] = []
        self.sources: dict[str, str] = {}
        self._pushed, self._woken, self._forked = (defaultdict[str, deque[int | None]](deque) for _ in range(3))
        self._commands: deque[int | None] = deque([None] * len(snapshot.get("commands", ())))
        self._timers: dict[tuple[str, int], int] = {}
        self._failed: dict[tuple[str, int], int] = {}
        self._gone: dict[str, int] = {}
        self._running: dict[str, str] = {}
        self._current: dict[str, int] = {}  # service → index of the message being dispatched
        self._woken_cause: dict[str, int | None] = {}  # of the entry that each service has just taken from a queue
        self._error_cause: dict[str, int | None] = {}
        self._outer: int | None = None  # the last thing the world, or a command, did
        for name, tables in snapshot.get("services", {}).items():
            self._pushed[name] = deque([None] * len(tables["mailbox"]))
            self._woken[name] = deque([None] * len(tables.get("wakeup_queue", ())))
            self._forked[name] = deque([None] * len(tables.get("fork_queue", ())))

    def add(self, told: Sequence[Any], i: int = 0) -> int:
        """The event that begins at `i`. Returns where the next one does."""
        kind = KINDS[told[i]]
        end = i + kind.width
        name, handle, *values = told[i:end]
        event: Event = {"e": name}
        service = ""
        if handle:
            service = event["service"] = address(handle)
        for (field, _, optional, make), value in zip(kind.raw, values, strict=False):
            if value is not None or not optional:
                event[field] = value if make is None else make(value)
        note = getattr(self, "_" + name, None)
        cause = None if note is None else note(event, service, values[len(kind.raw) :])
        if kind.placed and values[-1]:
            self._at(event, handle, values[-1])
        if cause is not None:
            event["cause"] = cause
        self.events.append(event)
        return end

    def forget(self) -> None:
        """Let go of what causes are found by: what was due before now has none."""
        for notes in (self._pushed, self._woken, self._forked, self._commands, self._timers, self._failed, self._gone):
            notes.clear()

    def _at(self, event: Event, handle: int, at: Any) -> None:
        """Note where it was done, and keep the text around it."""
        stack = event["stack"] = self._places.stack(handle, at)
        if not runtimes(stack[-1]):
            event["at"] = stack[-1]  # else all of it is the runtime's own
        if any(place.rpartition(":")[0] not in self.sources for place in stack):
            self.sources |= self._places.source(handle, at)

    # ---- the scheduler

    def _message(self, event: Event, service: str, rest: list[Any]) -> int | None:
        (payload,) = rest
        if event["ptype"] == "socket":
            event |= _socket_fields(*payload)
        elif event["ptype"] == "lua":
            event["body"] = plain(values_of(payload))
        elif event["ptype"] == "error" and payload:
            event["reason"] = payload
        self._current[service] = len(self.events)
        return _pop(self._pushed[service])

    def _co_create(self, event: Event, service: str, rest: list[Any]) -> int | None:
        (f,) = rest
        handle = int(service[1:], 16)
        place = self._places.function(handle, f)
        if place is not None:
            event["runs"] = place
            if place.rpartition(":")[0] not in self.sources:
                self.sources |= self._places.source(handle, f)
        return self._current.get(service) if event["for"] == "message" else None

    def _resume(self, event: Event, service: str, rest: list[Any]) -> int | None:
        self._running[service] = event["co"]
        by = event["by"]
        if by == "raw_dispatch_message":
            return self._current.get(service)
        if by == "dispatch_wakeup":
            return self._woken_cause.get(service)
        if by == "fork":
            return _pop(self._forked[service])
        return self._error_cause.get(service) if by == "dispatch_error_queue" else None

    def _yield(self, event: Event, service: str, rest: list[Any]) -> None:
        self._running.pop(service, None)

    _co_error = _kill = _yield

    def _wakeup(self, event: Event, service: str, rest: list[Any]) -> None:
        if event["queued"]:
            self._woken[service].append(len(self.events))

    def _wakeup_skip(self, event: Event, service: str, rest: list[Any]) -> int | None:
        return _pop(self._woken[service])

    def _table(self, event: Event, service: str, rest: list[Any]) -> None:
        table, op, session = event["table"], event["op"], event.get("session", 0)
        (value,) = rest
        if type(value) is tuple:  # who sleeps, and the number of the token that wakes it
            value, token = value
            if token is not None:
                event["token"] = token
        field = next((field for field in ENTRIES.get(table, ()) if field not in ("session", "")), None)
        if field == "address":
            if op == "set" or table == "unresponse":
                event["address"] = address(value)
        elif field is not None and value:
            event[field] = coroutine(value) if field == "co" else value
        if (table, op) == ("watching_session", "set") and event["address"].startswith("offload "):
            self._timers[service, session] = len(self.events)
        elif (table, op) == ("session_id_coroutine", "break"):
            self._woken_cause[service] = _pop(self._woken[service])
        elif (table, op) == ("error_queue", "push"):
            self._failed[service, session] = len(self.events)
        elif (table, op) == ("error_queue", "pop"):
            self._error_cause[service] = self._failed.pop((service, session), None)
        elif (table, op) == ("fork_queue", "clear"):
            self._forked.pop(service, None)

    def _send(self, event: Event, service: str, rest: list[Any]) -> None:
        if self._sent is not None:
            self._sent.append(checksum(rest[0]))

    # ---- the node

    def _exit(self, event: Event, service: str, rest: list[Any]) -> None:
        self._gone[service] = len(self.events)
        for queues in (self._pushed, self._woken, self._forked):
            queues.pop(service, None)

    def _load(self, event: Event, service: str, rest: list[Any]) -> int | None:
        return _pop(self._pushed[service])

    _handled = _load

    def _push(self, event: Event, service: str, rest: list[Any]) -> int | None:
        (id,) = rest
        last = len(self.events) - 1
        self._pushed[service].append(last + 1)
        if event["by"] in SOCKET_TYPES:
            event |= {"by": "socket", "type": event["by"], "id": whole(id)}
        if event["by"] == "socket":
            return self._outer
        if event["by"] == "offload":
            return self._timers.pop((service, event["session"]), None)
        if event["by"] == "drop":
            return self._gone.get(event["source"])
        made = last >= 0 and self.events[last]["e"] in ("send", "log", "timer_set", "timer_fired", "birth")
        return last if made else None

    def _fork(self, event: Event, service: str, rest: list[Any]) -> None:
        self._forked[service].append(len(self.events))

    def _timer_set(self, event: Event, service: str, rest: list[Any]) -> None:
        self._timers[service, event["session"]] = len(self.events)

    def _timer_fired(self, event: Event, service: str, rest: list[Any]) -> int | None:
        return self._timers.pop((service, event["session"]), None)

    def _driver(self, event: Event, service: str, rest: list[Any]) -> None:
        event["co"] = self._running.get(service, "main")
        self._commands.append(len(self.events))

    def _command(self, event: Event, service: str, rest: list[Any]) -> int | None:
        self._outer = len(self.events)
        return _pop(self._commands)

    def _ready(self, event: Event, service: str, rest: list[Any]) -> None:
        self._outer = len(self.events)

    def _socket(self, event: Event, service: str, rest: list[Any]) -> int | None:
        (ends,) = rest
        if ends is not None:  # beside the events, as the time is: a port is not the same in two runs
            self._snapshot.setdefault("ends", {})[event["id"]] = list(ends)
        return self._outer

    def _write(self, event: Event, service: str, rest: list[Any]) -> None:
        event["co"] = self._running.get(service, "main")


def _pop(queue: deque[int | None]) -> int | None:
    return queue.popleft() if queue else None


def _socket_fields(type: int, id: int, ud: int, data: Any) -> Event:
    fields: Event = {"type": SOCKET_TYPES[type], "id": whole(id)}
    if type in (1, 6):
        payload = data[0] if type == 6 else data
        return fields | {"size": ud, "data": payload.decode("utf-8", "surrogateescape")}
    if type in (2, 5):
        return fields | {"info": data}
    return fields | {"new": ud} if type == 4 else fields | {"size": ud} if type == 7 else fields
