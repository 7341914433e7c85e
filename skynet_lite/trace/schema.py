"""What must be in a trace for others to rely on it: the fields of each event, the shape of the tables.

A file may have been edited by hand, and plausibly. What is checked here once, on
loading, need not be doubted anywhere else. Kinds of events that are not listed pass:
they may come from a newer version, and whoever reads events passes over what it does
not know.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from .state import service_tables

_TYPES = {"s": str, "i": int, "b": bool, "l": list, "n": type(None)}
_EVENTS = {
    "message": "service:s ptype:s session:i source:s type:s? id:i? new:is? size:i? data:s? info:s? body:l?",
    "co_create": "service:s co:s how:s for:s in:s runs:s?",
    "resume": "service:s co:s by:s args:l",
    "yield": "service:s co:s command:sn session:i?",
    "wakeup": "service:s co:sn queued:b in:s",
    "wakeup_skip": "service:s co:sn",
    "mark": "co:s text:s",
    "co_error": "service:s co:s error:s",
    "send": "service:s to:s ptype:s session:in in:s",
    "kill": "service:s co:s in:s",
    "tracetag": "service:s co:s tag:sn text:s",
    "table": "service:s table:s op:s session:i? co:s? address:s? value:s?",
    "dispatch_failed": "service:s",
    "birth": "service:s label:s worker:i?",
    "exit": "service:s label:s",
    "load": "service:s name:s",
    "handled": "service:s ptype:s session:i source:s",
    "push": "service:s ptype:s session:i source:s by:s queued:b type:s? id:i?",
    "requeue": "service:s",
    "fork": "service:s co:s in:s",
    "log": "text:s",
    "timer_set": "service:s session:i tick:i in:s",
    "timer_fired": "service:s session:i tick:i",
    "clock": "tick:i",
    "driver": "command:s id:i co:s",
    "command": "command:s id:i",
    "ready": "id:i what:l",
    "socket": "id:i state:s",
    "write": "id:i sent:i size:i co:s",
    "client": "client:s action:s detail:s",
}
# What a row needs beyond that: (kind, its name) → fields.
_ROWS: dict[tuple[str, Any], tuple[str, ...]] = {
    ("yield", "SLEEP"): ("session",), ("yield", "CALL"): ("session",),
    ("table", "session_id_coroutine"): ("session",), ("table", "watching_session"): ("session",),
    ("table", "socket_pool"): ("session",), ("table", "error_queue"): ("session",), ("table", "queue"): ("session",),
    ("table", "sleep_session"): ("co",), ("table", "session_response"): ("co",),
    ("table", "session_coroutine_id"): ("co",), ("table", "unresponse"): ("address",),
    ("message", "socket"): ("type", "id"),
}  # fmt: skip
_SETS = {("session_id_coroutine", "set"): "co", ("queue", "push"): "co"}
_NAMES = {"yield": "command", "table": "table", "message": "ptype"}
_PLACE = re.compile(r".*:\d{1,9}", re.DOTALL)

_NODE: dict[str, Any] = {
    "global_queue": [str], "timers": [(int, str, int)], "sockets": {int: (str, str)}, "commands": [(str, int)],
    "now": int, "workers": {str: int},
}  # fmt: skip
_SERVICE: dict[str, Any] = {
    "name": str, "mailbox": [str], "session_id_coroutine": {int: str}, "sleep_session": {str: int},
    "wakeup_queue": [str], "fork_queue": [str], "error_queue": [int], "watching_session": {int: str},
    "watching_service": {str: int}, "dead_service": [str], "session_coroutine_id": {str: int},
    "session_coroutine_address": {str: str}, "session_coroutine_tracetag": {str: str}, "session_response": [str],
    "unresponse": [(int, str)],
    "coroutine_pool": [str], "queue": {int: [str]}, "socket_pool": {int: str},
}  # fmt: skip
_LATER = ("queue", "session_coroutine_tracetag")  # tables that older versions did not have


def _compiled(fields: str) -> list[tuple[str, frozenset[type], bool]]:
    specs = (re.fullmatch(r"(\w+):(\w+)(\??)", field) for field in fields.split())
    return [(m[1], frozenset(_TYPES[c] for c in m[2]), bool(m[3])) for m in specs if m is not None]


_COMMON = _compiled("service:s? cause:i? at:s? stack:l?")
_FIELDS = {kind: _compiled(fields) + _COMMON for kind, fields in _EVENTS.items()}


def wrong_event(event: Any, recorded: bool = False) -> str | None:
    """What is wrong with an event, in a few words, or None.

    `recorded`: as it stands in a recording of the real skynet, with labels for sockets and no service.
    """
    if not isinstance(event, dict) or type(event.get("e")) is not str:
        return "without a kind"
    kind = event["e"]
    for field, types, optional in _FIELDS.get(kind, _COMMON):
        if field not in event:
            if not optional and not (recorded and field == "service"):
                return f"a {kind} without {field!r}"
        elif type(event[field]) not in types:
            return f"a {kind} whose {field!r} is {_type(event[field])}"
    need = _ROWS.get((kind, event.get(_NAMES.get(kind, ""))), ())
    if kind == "table" and (event["table"], event["op"]) in _SETS:
        need = *need, _SETS[event["table"], event["op"]]
    for field in need:
        if field not in event and not (recorded and field == "id"):
            return f"a {kind} of {event[_NAMES[kind]]} without {field!r}"
    if kind == "message" and "data" in event and "size" not in event:
        return "a message of bytes without 'size'"
    if "sock" in event and not (type(event["sock"]) is str and re.fullmatch(r"s[0-9]{1,9}", event["sock"])):
        return f"a {kind} whose 'sock' is no label"
    if recorded and kind == "message" and event["ptype"] == "socket" and "sock" not in event:
        return "a message of socket without 'sock'"
    for place in (*event.get("stack", ()), *(event[k] for k in ("at", "runs") if k in event)):
        if type(place) is not str or not _PLACE.fullmatch(place):
            return f"a {kind} with a place that is none"
    if event.get("stack") == [] or (kind == "ready" and not _fits(event["what"], [str])):
        return f"a {kind} with an odd list"
    return None


def wrong_tables(snapshot: Any) -> str | None:
    """What is wrong with the tables a trace begins with, or None."""
    if not isinstance(snapshot, dict):
        return "they are none"
    for name, shape in _NODE.items():
        if name in snapshot and not _fits(snapshot[name], shape):
            return f"{name} is odd"
    services = snapshot.get("services", {})
    if not _fits(services, {str: dict}):
        return "services is odd"
    for service, tables in services.items():
        needed = service_tables("") if len(tables) > 2 else ("name", "mailbox")  # a logger has a mailbox only
        for name in needed:
            if name not in tables and name not in _LATER:
                return f"{service} has no {name}"
        for name, table in tables.items():
            if name in _SERVICE and not _fits(table, _SERVICE[name]):
                return f"{name} of {service} is odd"
    return None


def wrong_extras(sources: Any, stamps: Any, origin: Any) -> str | None:
    """What is wrong with the rest of a trace, or None."""
    if not _fits(sources, {str: str}):
        return "its sources are odd"
    columns = list(stamps) if isinstance(stamps, (list, tuple)) else stamps
    if not _fits(columns, ([int], [int], [int])) or len({len(column) for column in columns}) != 1:
        return "its times are odd"
    if any(a >= b for a, b in pairwise(columns[0])):
        return "its times are not in order"
    return None if isinstance(origin, str) else "its origin is odd"


def _fits(value: Any, shape: Any) -> bool:
    """Shapes: a type; [of each]; {of each key: of each value}; (of the first, of the second, ...), a list in JSON."""
    if isinstance(shape, type):
        return type(value) is shape
    if isinstance(shape, dict):
        ((key, each),) = shape.items()
        return isinstance(value, dict) and all(type(k) is key and _fits(v, each) for k, v in value.items())
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(_fits, value, shape))
    return isinstance(value, list) and all(_fits(v, shape[0]) for v in value)


def _type(value: Any) -> str:
    return "null" if value is None else type(value).__name__
