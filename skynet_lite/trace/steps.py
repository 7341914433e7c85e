"""Tables that move by small steps: put, drop, push, pop, clear.

The rules of kinds.py are said in these steps. The steps can be listened to: a viewer
that is handed them moves its own tables without knowing the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from .shapes import home, node_tables, twin

Step = tuple[Any, ...]
"""(kind, service, table, ...): ("put", key, value), ("drop", key), ("push", value), ("pop", index), ("clear",).

`service` is "" for the tables of the node, the name of one of several; ("born", service, tables) and ("gone", service)
stand alone.
"""


class Steps:
    """`all`: the tables. What a step needs and is not there, is passed over.

    `foreign`: the nodes whose events are those of the real skynet, which tell less (golden.py).
    `request`: service → session and source of the message that it dispatches.
    """

    def __init__(self, snapshot: dict[str, Any], foreign: Collection[str] = ()) -> None:
        self.all: dict[str, Any] = (node_tables() if "nodes" not in snapshot else {}) | twin(snapshot)
        self.all.pop("ends", None)
        self.listener: Callable[[Step], Any] | None = None
        self.foreign = foreign
        self.request: dict[str, tuple[int, str]] = {}

    def table(self, service: str, table: str) -> Any:
        return self.owner(service).get(table)

    def owner(self, service: str) -> dict[str, Any]:
        """The tables of a service, or of a node; none if it is not there."""
        if service == "":
            return self.all
        found: dict[str, Any] = self.all["services"].get(service) or self.all.get("nodes", {}).get(service, {})
        return found

    def tell(self, *step: Any) -> None:
        if self.listener is not None:
            self.listener(step)

    def born(self, service: str, tables: dict[str, Any]) -> None:
        self.all["services"][service] = tables
        self.tell("born", service, twin(tables))

    def gone(self, service: str) -> None:
        if self.all["services"].pop(service, None) is not None:
            self.tell("gone", service)
            self.drop(home(service), "workers", service)

    def set_clock(self, node: str, tick: int) -> None:
        self.owner(node)["now"] = tick
        self.tell("put", node, "now", None, tick)

    def put(self, service: str, table: str, key: Any, value: Any) -> None:
        t = self.table(service, table)
        if t is not None:
            t[key] = value
            self.tell("put", service, table, key, value)

    def drop(self, service: str, table: str, key: Any) -> None:
        t = self.table(service, table)
        if t is not None and key in t:
            del t[key]
            self.tell("drop", service, table, key)

    def push(self, service: str, table: str, value: Any) -> None:
        t = self.table(service, table)
        if t is not None:
            t.append(value)
            self.tell("push", service, table, value)

    def pop(self, service: str, table: str, index: int = 0) -> None:
        t = self.table(service, table)
        if t:
            t.pop(index)
            self.tell("pop", service, table, index)

    def take(self, service: str, table: str, value: Any) -> None:
        """Out of a list, wherever it stands."""
        t = self.table(service, table)
        if t and value in t:
            self.pop(service, table, t.index(value))

    def clear(self, service: str, table: str) -> None:
        t = self.table(service, table)
        if t:
            t.clear()
            self.tell("clear", service, table)
