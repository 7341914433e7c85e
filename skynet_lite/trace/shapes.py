"""The tables of a node and of its services: what each one holds, said once.

A shape is a type; [of each]; {of each key: of each value}; (of the first, of the
second, ...), which is a list in JSON. Empty tables, the order in which they are shown
and what a file may hold follow from it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .values import whole

NODE: dict[str, Any] = {
    "global_queue": [str], "timers": [(int, str, int)], "sockets": {int: (str, str)}, "commands": [(str, int)],
    "now": int, "workers": {str: int}, "skynet": str, "cut": {str: (str, int, str)}, "origin": str,
    "ends": {int: (str, str, int, int)},
}  # fmt: skip
_SOME = ("workers", "skynet", "cut", "origin", "ends")
"""Of several workers; of a node that speaks another dialect than that of v1.1.0; of streams that were cut; of one of
several nodes; where connections begin, what is no table that changes (merge.py)."""
SERVICE: dict[str, Any] = {
    "name": str, "mailbox": [str], "session_id_coroutine": {int: str}, "sleep_session": {str: int},
    "wakeup_queue": [str], "fork_queue": [str], "error_queue": [int], "watching_session": {int: str},
    "watching_service": {str: int}, "dead_service": [str], "session_coroutine_id": {str: int},
    "session_coroutine_address": {str: str}, "session_coroutine_tracetag": {str: str}, "session_response": [str],
    "unresponse": [(int, str)], "coroutine_pool": [str], "queue": {int: [str]}, "socket_pool": {int: str},
}  # fmt: skip
LATER = ("queue", "session_coroutine_tracetag")  # not in every recording
NUMBERED = tuple(name for name, shape in (NODE | SERVICE).items() if isinstance(shape, dict) and int in shape)
"""Tables whose keys are numbers, in JSON texts."""

ENTRIES: dict[str, tuple[str, ...]] = {
    "session_id_coroutine": ("session", "co"), "sleep_session": ("co", "session"),
    "watching_session": ("session", "address"), "socket_pool": ("session", "value"), "queue": ("session", "co"),
    "error_queue": ("session",), "session_response": ("co",), "session_coroutine_id": ("co",),
    "unresponse": ("address", "session"), "dead_service": ("", "address"),
}  # fmt: skip
"""By which fields an event `table` names an entry: its key, which is always there, and what it maps to."""


def home(service: str) -> str:
    """The node of a service: "A" of `A:00000008`, where several are in one trace (merge.py); else ""."""
    return service.rpartition(":")[0]


def is_address(text: str) -> bool:
    return text[-9:-8] == ":"


def apart(tables: dict[str, Any]) -> list[dict[str, Any]]:
    """The tables of each node, as if it were the only one."""
    if "nodes" not in tables:
        return [tables]
    services = tables["services"].items()
    return [
        {**own, "services": {a: t for a, t in services if home(a) == node}} for node, own in tables["nodes"].items()
    ]


def service_tables(name: str) -> dict[str, Any]:
    """The tables of a service that has just been born."""
    return {table: _empty(shape) for table, shape in SERVICE.items()} | {"name": name}


def node_tables() -> dict[str, Any]:
    """The tables of a node before its birth, with one worker."""
    return {"services": {}} | {table: _empty(shape) for table, shape in NODE.items() if table not in _SOME}


def put_in_order(t: dict[str, Any]) -> None:
    """The tables of a service as they are shown: by coroutines in the order of their creation, by numbers sorted."""
    for name, shape in SERVICE.items():
        if name in NUMBERED:
            t[name] = dict(sorted(t.get(name, {}).items()))
        elif isinstance(shape, dict) and name != "watching_service":
            t[name] = dict(sorted(t.get(name, {}).items(), key=lambda item: number(item[0])))
    t["session_response"].sort(key=number)
    t["dead_service"].sort()
    t["unresponse"].sort()
    sources = [*t["session_coroutine_address"].values(), *(address for _, address in t["unresponse"])]
    t["watching_service"] = dict(sorted(Counter(sources).items()))


def twin(value: Any) -> Any:
    """A copy of tables: copy.deepcopy asks of every text in them whether it needs one, and takes ten times as long."""
    if isinstance(value, dict):
        return {key: twin(item) for key, item in value.items()}
    return [twin(item) for item in value] if isinstance(value, list) else value


def fits(value: Any, shape: Any) -> bool:
    """Whether a value read from JSON has this shape."""
    if isinstance(shape, type):
        return type(value) is shape and (shape is not int or whole(value) == value)
    if isinstance(shape, dict):
        ((key, each),) = shape.items()
        return isinstance(value, dict) and all(type(k) is key and fits(v, each) for k, v in value.items())
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(fits, value, shape))
    return isinstance(value, list) and all(fits(v, shape[0]) for v in value)


def _empty(shape: Any) -> Any:
    return shape() if isinstance(shape, type) else type(shape)()


def number(label: str) -> int:
    """That of a coroutine, `co5`; 0 for `main`, and for what an edited trace may call one."""
    return int(label[2:]) if label[2:12] == label[2:] and label[2:].isdecimal() else 0
