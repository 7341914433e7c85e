"""What must be in a trace for others to rely on it: the fields of each event, the shape of the tables.

A file may have been edited by hand, and plausibly. What is checked here once, on
loading, need not be doubted anywhere else. Kinds of events that are not known pass:
they may come from a newer version, and whoever reads events passes over what it does
not know.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from .kinds import COMMON, KINDS
from .shapes import ENTRIES, LATER, NODE, SERVICE, fits, service_tables
from .values import whole

_FIELDS = {kind.name: kind.fields + COMMON for kind in KINDS.values()}
# What an event needs beyond that: (kind, its name) → fields. A row of a table has its key.
_NAMES = {"yield": "command", "table": "table", "message": "ptype"}
_NEEDS: dict[tuple[str, Any], tuple[str, ...]] = {
    ("yield", "SLEEP"): ("session",), ("yield", "CALL"): ("session",), ("message", "socket"): ("type", "id"),
    **{("table", table): (key,) for table, (key, *_) in ENTRIES.items() if key},
}  # fmt: skip
_SETS = {("session_id_coroutine", "set"): ("co",), ("queue", "push"): ("co",)}
_PLACE = re.compile(r".*:\d{1,9}", re.DOTALL)


class TraceError(ValueError):
    """A file that is not a trace, or was cut short or edited."""


def wrong_event(event: Any, recorded: bool = False) -> str | None:
    """What is wrong with an event, in a few words, or None.

    `recorded`: as it stands in a recording of the real skynet, with labels for sockets and no service.
    """
    if not isinstance(event, dict) or type(event.get("e")) is not str:
        return "without a kind"
    kind = event["e"]
    for field, types, optional, _ in _FIELDS.get(kind, COMMON):
        if field not in event:
            if not optional and not (recorded and field == "service"):
                return f"a {kind} without {field!r}"
        elif type(value := event[field]) not in types or (type(value) is int and whole(value) != value):
            found = "null" if value is None else type(value).__name__
            return f"a {kind} whose {field!r} is {found}"
    named = event["what"] if kind == "yield" and "what" in event else event.get(_NAMES.get(kind, ""))
    need = _NEEDS.get((kind, named), ())
    if kind == "table":
        need += _SETS.get((event["table"], event["op"]), ())
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
    if kind == "begin":
        if wrong := wrong_tables({"services": {event["service"]: service_tables("") | event["tables"]}}):
            return f"a begin with tables that are none: {wrong}"
        if not fits(event["places"], {str: str}) or not all(map(_PLACE.fullmatch, event["places"].values())):
            return "a begin with a place that is none"
        if not fits(event["timers"], [int]):
            return "a begin with a timer that is none"
    if event.get("stack") == [] or (kind == "ready" and not fits(event["what"], [str])):
        return f"a {kind} with an odd list"
    return None


def wrong_tables(snapshot: Any) -> str | None:
    """What is wrong with the tables a trace begins with, or None."""
    if not isinstance(snapshot, dict):
        return "they are none"
    if "nodes" in snapshot and not (snapshot["nodes"] and fits(snapshot["nodes"], {str: dict})):
        return "nodes is odd"
    for node in snapshot.get("nodes", {"": snapshot}).values():
        for name, shape in NODE.items():
            if name in node and not fits(node[name], shape):
                return f"{name} is odd"
        if missing := [name for name in ("timers", "sockets") if node is not snapshot and name not in node]:
            return f"a node has no {missing[0]}"
    services = snapshot.get("services", {})
    if not fits(services, {str: dict}):
        return "services is odd"
    for service, tables in services.items():
        needed = service_tables("") if len(tables) > 2 else ("name", "mailbox")  # a logger has a mailbox only
        for name in needed:
            if name not in tables and name not in LATER:
                return f"{service} has no {name}"
        for name, table in tables.items():
            if name in SERVICE and not fits(table, SERVICE[name]):
                return f"{name} of {service} is odd"
    return None


def wrong_extras(sources: Any, stamps: Any, origin: Any, missing: Any) -> str | None:
    """What is wrong with the rest of a trace, or None."""
    if not fits(sources, {str: str}):
        return "its sources are odd"
    if not fits(stamps, {str: ([int], [int], [int])}) or any(len({*map(len, of)}) > 1 for of in stamps.values()):
        return "its times are odd"
    if any(a >= b for numbers, *_ in stamps.values() for a, b in pairwise(numbers)):
        return "its times are not in order"
    if type(missing) is not int or missing < 0:
        return "it is odd how many events are missing"
    return None if isinstance(origin, str) else "its origin is odd"
