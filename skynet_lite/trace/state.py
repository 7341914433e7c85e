"""The tables at any moment of a trace, rebuilt from the trace alone.

`Tables` begins with the snapshot and takes one event after the other. Each rule
below is what the runtime did at the place where it emitted that event, said in five
kinds of small steps (put, drop, push, pop, clear). The steps can be listened to: a
viewer that is handed them moves its own tables without knowing the rules.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from .events import Event

Step = tuple[Any, ...]
"""(kind, service, table, ...): ("put", key, value), ("drop", key), ("push", value), ("pop", index), ("clear",).

`service` is "" for the tables of the node; ("born", service, tables) and ("gone", service) stand alone.
"""


_WAITS = re.compile(r", (co\d+) waits in (\w+)")


def service_tables(name: str) -> dict[str, Any]:
    """The tables of a service that has just been born."""
    return {
        "name": name, "mailbox": [], "session_id_coroutine": {}, "sleep_session": {}, "wakeup_queue": [],
        "fork_queue": [], "error_queue": [], "watching_session": {}, "watching_service": {}, "dead_service": [],
        "session_coroutine_id": {}, "session_coroutine_address": {}, "session_coroutine_tracetag": {},
        "session_response": [], "unresponse": [],
        "coroutine_pool": [], "queue": {}, "socket_pool": {},
    }  # fmt: skip


def node_tables() -> dict[str, Any]:
    """The tables of a node before its birth."""
    return {"services": {}, "global_queue": [], "timers": [], "sockets": {}, "commands": [], "now": 0}


class Tables:
    """All tables; `apply` moves them on by one event, `view` gives them out.

    `foreign`: the events are those of the real skynet, which tell less (golden.py).
    """

    def __init__(self, snapshot: dict[str, Any], foreign: bool = False) -> None:
        self.all: dict[str, Any] = node_tables()
        self.all |= copy.deepcopy(snapshot)
        self.listener: Callable[[Step], Any] | None = None
        self._foreign = foreign
        self._request: dict[str, tuple[int, str]] = {}  # service → session and source being dispatched

    def view(self) -> dict[str, Any]:
        """The tables now, in skynet's shape; a copy."""
        shown = copy.deepcopy(self.all)
        for t in shown["services"].values():
            if "session_coroutine_id" in t:
                _in_order(t)
        shown["timers"].sort(key=lambda timer: timer[0])
        shown["sockets"] = dict(sorted(shown["sockets"].items()))
        return shown

    def copy(self) -> Tables:
        twin = Tables(self.all, self._foreign)
        twin._request = dict(self._request)
        return twin

    def apply(self, event: Event) -> None:
        rule = getattr(self, "on_" + event["e"], None)
        if rule is not None:
            rule(event, event.get("service", ""))

    # ---- the small steps; what is not there is passed over

    def _table(self, service: str, table: str) -> Any:
        home = self.all if service == "" else self.all["services"].get(service)
        return None if home is None else home.get(table)

    def _tell(self, *step: Any) -> None:
        if self.listener is not None:
            self.listener(step)

    def _put(self, service: str, table: str, key: Any, value: Any) -> None:
        t = self._table(service, table)
        if t is not None:
            t[key] = value
            self._tell("put", service, table, key, value)

    def _drop(self, service: str, table: str, key: Any) -> None:
        t = self._table(service, table)
        if t is not None and key in t:
            del t[key]
            self._tell("drop", service, table, key)

    def _push(self, service: str, table: str, value: Any) -> None:
        t = self._table(service, table)
        if t is not None:
            t.append(value)
            self._tell("push", service, table, value)

    def _pop(self, service: str, table: str, index: int = 0) -> None:
        t = self._table(service, table)
        if t:
            t.pop(index)
            self._tell("pop", service, table, index)

    def _take(self, service: str, table: str, value: Any) -> None:
        """Out of a list, wherever it stands."""
        t = self._table(service, table)
        if t and value in t:
            self._pop(service, table, t.index(value))

    def _clear(self, service: str, table: str) -> None:
        t = self._table(service, table)
        if t:
            t.clear()
            self._tell("clear", service, table)

    # ---- mailboxes

    def on_birth(self, event: Event, service: str) -> None:
        kind, _, rest = event["label"].partition(" ")
        born = service_tables(rest.split(" ")[0]) if kind == "snlua" else {"name": kind, "mailbox": []}
        self.all["services"][service] = born
        self._tell("born", service, copy.deepcopy(born))

    def on_exit(self, event: Event, service: str) -> None:
        if self.all["services"].pop(service, None) is not None:
            self._tell("gone", service)
        self._take("", "global_queue", service)

    def on_push(self, event: Event, service: str) -> None:
        self._push(service, "mailbox", mail_label(event))
        if event["queued"]:
            self._push("", "global_queue", service)

    def on_load(self, event: Event, service: str) -> None:
        self._pop(service, "mailbox")
        self._take("", "global_queue", service)

    on_handled = on_load

    def on_message(self, event: Event, service: str) -> None:
        self.on_load(event, service)
        self._request[service] = (event["session"], event["source"])

    def on_requeue(self, event: Event, service: str) -> None:
        if service in self.all["services"]:
            self._push("", "global_queue", service)

    # ---- coroutines

    def on_co_create(self, event: Event, service: str) -> None:
        if event["how"] == "pool":
            self._take(service, "coroutine_pool", event["co"])
        if self._foreign and event["for"] == "fork":
            self._push(service, "fork_queue", event["co"])

    def on_resume(self, event: Event, service: str) -> None:
        if event["by"] == "fork":
            self._pop(service, "fork_queue")
        elif event["by"] == "raw_dispatch_message" and event["args"] == ["request"]:
            session, source = self._request.get(service, (0, ""))
            self._put(service, "session_coroutine_id", event["co"], session)
            self._put(service, "session_coroutine_address", event["co"], source)

    def on_yield(self, event: Event, service: str) -> None:
        if event["command"] == "EXIT":
            self._forget(service, event["co"])
            self._push(service, "coroutine_pool", event["co"])

    def on_co_error(self, event: Event, service: str) -> None:
        self._forget(service, event["co"])

    def on_kill(self, event: Event, service: str) -> None:
        self._forget(service, event["co"])
        self._drop(service, "sleep_session", event["co"])
        self._take(service, "fork_queue", event["co"])

    def on_tracetag(self, event: Event, service: str) -> None:
        if event["tag"] is None:
            self._drop(service, "session_coroutine_tracetag", event["co"])
        else:
            self._put(service, "session_coroutine_tracetag", event["co"], event["tag"])

    def on_wakeup(self, event: Event, service: str) -> None:
        if event["queued"]:
            self._push(service, "wakeup_queue", event["co"])

    def on_wakeup_skip(self, event: Event, service: str) -> None:
        self._pop(service, "wakeup_queue")

    def on_fork(self, event: Event, service: str) -> None:
        self._push(service, "fork_queue", event["co"])

    def on_table(self, event: Event, service: str) -> None:
        name, op, session, co = event["table"], event["op"], event.get("session"), event.get("co")
        if name == "session_id_coroutine":
            if op == "set":
                self._put(service, name, session, co)
            elif op == "break":
                self._put(service, name, session, "BREAK")
                self._pop(service, "wakeup_queue")
            elif op == "abandon":
                self._put(service, name, session, "BREAK")
            else:
                self._drop(service, name, session)
        elif name == "sleep_session":
            if op == "set":
                self._put(service, name, co, session)
            else:
                self._drop(service, name, co)
        elif name in ("watching_session", "socket_pool"):
            if op == "set":
                value = event.get("address" if name == "watching_session" else "value", "")
                self._put(service, name, session, value)
            else:
                self._drop(service, name, session)
        elif name == "error_queue":
            if op == "push":
                self._push(service, name, session)
            else:
                self._pop(service, name)
        elif name == "fork_queue":
            self._clear(service, name)
        elif name == "dead_service":
            if "address" in event and event["address"] not in (self._table(service, name) or ()):
                self._push(service, name, event["address"])
        elif name == "session_response":
            self._push(service, name, co)
        elif name == "unresponse":
            entry = [session or 0, event["address"]]
            if op == "set":
                self._push(service, name, entry)
            else:
                self._take(service, name, entry)
        elif name == "session_coroutine_id":
            self._forget(service, co, ignored=True)
        elif name == "queue":
            self._in_queue(service, op, session, co)

    def _in_queue(self, service: str, op: str, number: Any, co: Any) -> None:
        """A critical section: who is inside comes first, then who waits."""
        queue = (self._table(service, "queue") or {}).get(number, [])
        queue = [*queue, co] if op == "push" else queue[1:] if op == "pop" else [c for c in queue if c != co]
        if queue:
            self._put(service, "queue", number, queue)
        else:
            self._drop(service, "queue", number)

    def _forget(self, service: str, co: Any, ignored: bool = False) -> None:
        self._drop(service, "session_coroutine_id", co)
        self._drop(service, "session_coroutine_address", co)
        if not ignored or co not in (self._table(service, "coroutine_pool") or ()):
            self._take(service, "session_response", co)

    # ---- time and sockets

    def on_timer_set(self, event: Event, service: str) -> None:
        if event["tick"]:
            self._push("", "timers", [event["tick"], service, event["session"]])

    def on_timer_fired(self, event: Event, service: str) -> None:
        for n, timer in enumerate(self.all["timers"]):
            if timer[1:] == [service, event["session"]]:
                self._pop("", "timers", n)
                return

    def on_clock(self, event: Event, service: str) -> None:
        self.all["now"] = event["tick"]
        self._tell("put", "", "now", None, event["tick"])

    def on_socket(self, event: Event, service: str) -> None:
        if event["state"] == "invalid":
            self._drop("", "sockets", event["id"])
        else:
            self._put("", "sockets", event["id"], [event["state"], service])

    def on_driver(self, event: Event, service: str) -> None:
        self._push("", "commands", [event["command"], event["id"]])

    def on_command(self, event: Event, service: str) -> None:
        self._pop("", "commands")


def socket_waits(socket_pool: dict[Any, str]) -> dict[str, tuple[Any, str]]:
    """Coroutine → socket and function it waits in, out of the words of `socket_pool` (PoolSocket.label)."""
    return {co: (id, what) for id, words in socket_pool.items() for co, what in _WAITS.findall(words)}


def mail_label(push: Event) -> str:
    """A message that waits, in a few words, as core/message.py says them."""
    if push["by"] == "launch":
        return "launch"
    if "type" in push:
        return f"socket {push['type']} {push.get('id', '')}".rstrip()
    return f"{push['ptype']} {push['session']} {push['source']}"


def _number(label: str) -> int:
    return int(label[2:]) if label[2:].isdigit() else 0


def _in_order(t: dict[str, Any]) -> None:
    """Tables keyed by coroutine come in the order of creation, those keyed by number sorted."""
    for name in ("sleep_session", "session_coroutine_id", "session_coroutine_address", "session_coroutine_tracetag"):
        t[name] = dict(sorted(t.get(name, {}).items(), key=lambda item: _number(item[0])))
    for name in ("session_id_coroutine", "watching_session", "queue", "socket_pool"):
        t[name] = dict(sorted(t.get(name, {}).items()))
    t["session_response"].sort(key=_number)
    t["dead_service"].sort()
    t["unresponse"].sort()
    counts: dict[str, int] = {}
    for source in [*t["session_coroutine_address"].values(), *(address for _, address in t["unresponse"])]:
        counts[source] = counts.get(source, 0) + 1
    t["watching_service"] = dict(sorted(counts.items()))
