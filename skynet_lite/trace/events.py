"""From raw tuples to events: names for numbers, and who caused what.

An event is a dict; `e` is its kind, `service` the address it belongs to. Kinds and
fields of the scheduler are those of the recordings of the real skynet
(tests/golden/traces). Beside them stand the events of the node, which say how work
came about; `cause` is the index of the event that made this one due. It is taken
from queues that run in step with those of the node: what is queued first is taken
first, here as there. `at` is the line of the service that did it (`main:12`), `stack`
the places from the runtime's innermost line out to that one.
"""

from __future__ import annotations

import marshal
from collections import deque
from typing import Any, Protocol

Event = dict[str, Any]

PTYPES = (
    "text", "response", "multicast", "client", "system", "harbor", "socket", "error", "queue", "debug", "lua",
    "snax", "trace",
)  # fmt: skip
SOCKET_TYPES = ("", "DATA", "CONNECT", "CLOSE", "ACCEPT", "ERROR", "UDP", "WARNING")
MASKS = ((1, "read"), (2, "write"), (4, "error"), (8, "hangup"))

MAIN = ("message", "co_create", "resume", "yield", "wakeup", "mark", "co_error", "send")
DETAIL = ("table", "wakeup_skip", "dispatch_failed")


def address(handle: int | str) -> str:
    return f":{handle:08x}" if isinstance(handle, int) else handle


def coroutine(n: int) -> str:
    return f"co{n}" if n else "main"


def ptype_name(ptype: int) -> str:
    return PTYPES[ptype] if 0 <= ptype < len(PTYPES) else str(ptype)


class Places(Protocol):
    """Names for places of code, given by whoever records; a trace knows no code objects."""

    def stack(self, handle: int, at: Any) -> list[str]:
        """The places of a raw stack, innermost first."""

    def function(self, handle: int, f: Any) -> str | None:
        """Where a function is defined."""

    def source(self, handle: int, at: Any) -> dict[str, str]:
        """The texts of the files a raw stack, or a function, leads through, by their labels."""


class Builder:
    """Turns raw tuples into events, one by one, in order."""

    def __init__(self, snapshot: dict[str, Any], places: Places) -> None:
        self._places = places
        self.events: list[Event] = []
        self.sources: dict[str, str] = {}
        self._pushed: dict[str, deque[int | None]] = {}
        self._woken: dict[str, deque[int | None]] = {}
        self._forked: dict[str, deque[int | None]] = {}
        self._commands: deque[int | None] = deque([None] * len(snapshot.get("commands", ())))
        self._timers: dict[tuple[str, int], int] = {}
        self._failed: dict[tuple[str, int], int] = {}
        self._running: dict[str, str] = {}
        self._current: dict[str, int] = {}  # service → index of the message being dispatched
        self._woken_cause: dict[str, int | None] = {}  # of the entry that each service has just taken from a queue
        self._error_cause: dict[str, int | None] = {}
        self._outer: int | None = None  # the last thing the world, or a command, did
        for name, tables in snapshot.get("services", {}).items():
            self._pushed[name] = deque([None] * len(tables["mailbox"]))
            self._woken[name] = deque([None] * len(tables.get("wakeup_queue", ())))
            self._forked[name] = deque([None] * len(tables.get("fork_queue", ())))

    def add(self, raw: tuple[Any, ...]) -> None:
        kind, handle, *rest = raw
        event: Event = {"e": kind}
        if handle:
            event["service"] = address(handle)
        getattr(self, "_" + kind)(event, event.get("service", ""), *rest)
        self.events.append({k: v for k, v in event.items() if k != "cause" or v is not None})

    def forget(self) -> None:
        """Let go of what causes are found by: what was due before now has none."""
        for notes in (self._pushed, self._woken, self._forked, self._commands, self._timers, self._failed):
            notes.clear()

    # ---- the scheduler

    def _message(self, event: Event, service: str, ptype: int, session: int, source: int, payload: Any) -> None:
        event |= {"ptype": ptype_name(ptype), "session": session, "source": address(source)}
        if ptype == 6:
            event |= _socket_fields(*payload)
        elif ptype == 10:
            event["body"] = plain(payload)
        event["cause"] = self._pop(self._pushed, service)
        self._current[service] = len(self.events)

    def _co_create(self, event: Event, service: str, n: int, new: bool, what: str, by: int, f: Any) -> None:
        event |= {"co": coroutine(n), "how": "new" if new else "pool", "for": what, "in": coroutine(by)}
        place = self._places.function(int(service[1:], 16), f)
        if place is not None:
            event["runs"] = place
            self.sources |= self._places.source(int(service[1:], 16), f)
        event["cause"] = self._current.get(service) if what == "message" else None

    def _resume(self, event: Event, service: str, n: int, by: str, args: tuple[Any, ...]) -> None:
        event |= {"co": coroutine(n), "by": by, "args": list(args)}
        if by == "raw_dispatch_message":
            event["cause"] = self._current.get(service)
        elif by == "dispatch_wakeup":
            event["cause"] = self._woken_cause.get(service)
        elif by == "fork":
            event["cause"] = self._pop(self._forked, service)
        elif by == "dispatch_error_queue":
            event["cause"] = self._error_cause.get(service)
        self._running[service] = event["co"]

    def _yield(self, event: Event, service: str, n: int, command: str, session: int | None, at: Any) -> None:
        event |= {"co": coroutine(n), "command": command}
        if session is not None:
            event["session"] = session
        self._at(event, service, at)
        self._running.pop(service, None)

    def _at(self, event: Event, service: str, at: Any) -> None:
        """Note where it was done, and keep the text around it."""
        if not at:
            return
        handle = int(service[1:], 16) if service else 0
        stack = event["stack"] = self._places.stack(handle, at)
        if not stack[-1].rpartition(":")[0].endswith(".py"):
            event["at"] = stack[-1]  # else all of it is the runtime's own
        if any(place.rpartition(":")[0] not in self.sources for place in stack):
            self.sources |= self._places.source(handle, at)

    def _wakeup(self, event: Event, service: str, n: int, queued: bool, by: int, at: Any) -> None:
        event |= {"co": coroutine(n) if n else None, "queued": queued, "in": coroutine(by)}
        if queued:
            self._woken.setdefault(service, deque()).append(len(self.events))
        self._at(event, service, at)

    def _wakeup_skip(self, event: Event, service: str, n: int) -> None:
        event["co"] = coroutine(n) if n else None
        event["cause"] = self._pop(self._woken, service)

    def _mark(self, event: Event, service: str, n: int, text: str, at: Any) -> None:
        event |= {"co": coroutine(n), "text": str(text)}
        self._at(event, service, at)

    def _co_error(self, event: Event, service: str, n: int, error: str, at: Any) -> None:
        event |= {"co": coroutine(n), "error": error}
        self._at(event, service, at)
        self._running.pop(service, None)

    def _kill(self, event: Event, service: str, n: int, by: int) -> None:
        event |= {"co": coroutine(n), "in": coroutine(by)}
        self._running.pop(service, None)

    def _tracetag(self, event: Event, service: str, n: int, tag: str | None, text: str) -> None:
        event |= {"co": coroutine(n), "tag": tag, "text": text}

    def _send(self, event: Event, service: str, to: Any, ptype: int, session: int | None, n: int, at: Any) -> None:
        event |= {"to": address(to), "ptype": ptype_name(ptype), "session": session, "in": coroutine(n)}
        self._at(event, service, at)

    def _table(self, event: Event, service: str, table: str, op: str, session: int | None, value: Any) -> None:
        event |= {"table": table, "op": op}
        if session is not None:
            event["session"] = session
        if table in ("session_id_coroutine", "sleep_session", "session_response", "session_coroutine_id", "queue"):
            if value:
                event["co"] = coroutine(value)
        elif table in ("watching_session", "dead_service", "unresponse"):
            if op == "set" or table == "unresponse":
                event["address"] = address(value)
        elif table == "socket_pool" and value:
            event["value"] = value
        if (table, op) == ("session_id_coroutine", "break"):
            self._woken_cause[service] = self._pop(self._woken, service)
        elif (table, op) == ("error_queue", "push"):
            self._failed[service, session or 0] = len(self.events)
        elif (table, op) == ("error_queue", "pop"):
            self._error_cause[service] = self._failed.pop((service, session or 0), None)
        elif (table, op) == ("fork_queue", "clear"):
            self._forked.pop(service, None)

    def _dispatch_failed(self, event: Event, service: str) -> None:
        pass

    # ---- the node

    def _birth(self, event: Event, service: str, label: str, worker: int | None = None) -> None:
        event["label"] = label
        if worker is not None:
            event["worker"] = worker

    def _exit(self, event: Event, service: str, label: str) -> None:
        event["label"] = label
        for queues in (self._pushed, self._woken, self._forked):
            queues.pop(service, None)

    def _load(self, event: Event, service: str, name: str) -> None:
        event["name"] = name
        event["cause"] = self._pop(self._pushed, service)

    def _handled(self, event: Event, service: str, ptype: int, session: int, source: int) -> None:
        event |= {"ptype": ptype_name(ptype), "session": session, "source": address(source)}
        event["cause"] = self._pop(self._pushed, service)

    def _push(
        self, event: Event, service: str, ptype: int, session: int, source: int, by: str, queued: bool, id: int
    ) -> None:
        event |= {"ptype": ptype_name(ptype), "session": session, "source": address(source), "by": by, "queued": queued}
        if by in SOCKET_TYPES:
            event |= {"by": "socket", "type": by, "id": id}
        last = len(self.events) - 1
        if event["by"] == "socket":
            event["cause"] = self._outer
        elif last >= 0 and self.events[last]["e"] in ("send", "log", "timer_set", "timer_fired", "birth"):
            event["cause"] = last
        self._pushed.setdefault(service, deque()).append(last + 1)

    def _requeue(self, event: Event, service: str) -> None:
        pass

    def _fork(self, event: Event, service: str, n: int, by: int, at: Any) -> None:
        event |= {"co": coroutine(n), "in": coroutine(by)}
        self._at(event, service, at)
        self._forked.setdefault(service, deque()).append(len(self.events))

    def _log(self, event: Event, service: str, text: str) -> None:
        event["text"] = text

    def _timer_set(self, event: Event, service: str, session: int, tick: int, n: int, at: Any) -> None:
        event |= {"session": session, "tick": tick, "in": coroutine(n)}
        self._at(event, service, at)
        self._timers[service, session] = len(self.events)

    def _timer_fired(self, event: Event, service: str, session: int, tick: int) -> None:
        event |= {"session": session, "tick": tick}
        event["cause"] = self._timers.pop((service, session), None)

    def _clock(self, event: Event, service: str, tick: int) -> None:
        event["tick"] = tick

    def _driver(self, event: Event, service: str, command: str, id: int, at: Any) -> None:
        event |= {"command": command, "id": id, "co": self._running.get(service, "main")}
        self._at(event, service, at)
        self._commands.append(len(self.events))

    def _command(self, event: Event, service: str, command: str, id: int) -> None:
        event |= {"command": command, "id": id}
        event["cause"] = self._commands.popleft() if self._commands else None
        self._outer = len(self.events)

    def _ready(self, event: Event, service: str, id: int, mask: int) -> None:
        event |= {"id": id, "what": [name for bit, name in MASKS if mask & bit]}
        self._outer = len(self.events)

    def _socket(self, event: Event, service: str, id: int, state: str) -> None:
        event |= {"id": id, "state": state, "cause": self._outer}

    def _write(self, event: Event, service: str, id: int, sent: int, size: int, at: Any) -> None:
        event |= {"id": id, "sent": sent, "size": size, "co": self._running.get(service, "main")}
        self._at(event, service, at)

    def _client(self, event: Event, service: str, label: str, action: str, detail: str) -> None:
        event |= {"client": label, "action": action, "detail": detail}

    def _pop(self, queues: dict[str, deque[int | None]], service: str) -> int | None:
        queue = queues.get(service)
        return queue.popleft() if queue else None


def _socket_fields(type: int, id: int, ud: int, data: Any) -> Event:
    fields: Event = {"type": SOCKET_TYPES[type], "id": id}
    if type in (1, 6):
        payload = data[0] if type == 6 else data
        fields |= {"size": ud, "data": payload.decode("utf-8", "surrogateescape")}
    elif type in (2, 5):
        fields["info"] = data
    elif type == 4:
        fields |= {"new": ud}
    elif type == 7:
        fields |= {"size": ud}
    return fields


def plain(payload: Any) -> list[Any]:
    """The values of a message as JSON can hold them; what JSON does not know becomes its repr."""
    values = payload if isinstance(payload, tuple) else marshal.loads(payload) if isinstance(payload, bytes) else ()
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else repr(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key if isinstance(key, str) else repr(key): _plain(item) for key, item in value.items()}
    return repr(value)
