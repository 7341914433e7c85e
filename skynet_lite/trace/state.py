"""The tables at any moment of a trace, rebuilt from the trace alone.

`Tables` begins with the snapshot and takes one event after the other. Each rule
below is what the runtime did at the place where it emitted that event.
"""

from __future__ import annotations

import copy
from typing import Any

from .events import Event


def _service_tables(name: str) -> dict[str, Any]:
    return {
        "name": name, "mailbox": [], "session_id_coroutine": {}, "sleep_session": {}, "wakeup_queue": [],
        "fork_queue": [], "error_queue": [], "watching_session": {}, "watching_service": {}, "dead_service": [],
        "session_coroutine_id": {}, "session_coroutine_address": {}, "session_response": [], "unresponse": [],
        "coroutine_pool": [], "socket_pool": {},
    }  # fmt: skip


class Tables:
    """All tables; `apply` moves them on by one event, `view` gives them out."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self._all: dict[str, Any] = {
            "services": {}, "global_queue": [], "timers": [], "sockets": {}, "commands": [], "now": 0,
        }  # fmt: skip
        self._all |= copy.deepcopy(snapshot)
        self._request: dict[str, tuple[int, str]] = {}  # service → session and source being dispatched

    def view(self) -> dict[str, Any]:
        """The tables now, in skynet's shape; a copy."""
        shown = copy.deepcopy(self._all)
        for t in shown["services"].values():
            if "session_coroutine_id" in t:
                _in_order(t)
        shown["timers"].sort(key=lambda timer: timer[0])
        shown["sockets"] = dict(sorted(shown["sockets"].items()))
        return shown

    def copy(self) -> Tables:
        twin = Tables(self._all)
        twin._request = dict(self._request)
        return twin

    def apply(self, event: Event) -> None:
        rule = getattr(self, "on_" + event["e"], None)
        if rule is not None:
            service = event.get("service", "")
            rule(event, service, self._all["services"].get(service))

    # ---- mailboxes

    def on_birth(self, event: Event, service: str, t: Any) -> None:
        kind, _, rest = event["label"].partition(" ")
        self._all["services"][service] = (
            _service_tables(rest.split(" ")[0]) if kind == "snlua" else {"name": kind, "mailbox": []}
        )

    def on_exit(self, event: Event, service: str, t: Any) -> None:
        self._all["services"].pop(service, None)
        _drop(self._all["global_queue"], service)

    def on_push(self, event: Event, service: str, t: Any) -> None:
        if t is not None:
            t["mailbox"].append("launch" if event["by"] == "launch" else event["ptype"])
        if event["queued"]:
            self._all["global_queue"].append(service)

    def on_load(self, event: Event, service: str, t: Any) -> None:
        if t is not None:
            t["mailbox"].pop(0)
        _drop(self._all["global_queue"], service)

    on_handled = on_load

    def on_message(self, event: Event, service: str, t: Any) -> None:
        self.on_load(event, service, t)
        self._request[service] = (event["session"], event["source"])

    def on_requeue(self, event: Event, service: str, t: Any) -> None:
        if t is not None:
            self._all["global_queue"].append(service)

    # ---- coroutines

    def on_co_create(self, event: Event, service: str, t: Any) -> None:
        if t is not None and event["how"] == "pool":
            _drop(t["coroutine_pool"], event["co"])

    def on_resume(self, event: Event, service: str, t: Any) -> None:
        if t is None:
            return
        if event["by"] == "fork":
            t["fork_queue"].pop(0)
        elif event["by"] == "raw_dispatch_message" and event["args"] == ["request"]:
            session, source = self._request[service]
            t["session_coroutine_id"][event["co"]] = session
            t["session_coroutine_address"][event["co"]] = source

    def on_yield(self, event: Event, service: str, t: Any) -> None:
        if t is not None and event["command"] == "EXIT":
            _forget(t, event["co"])
            t["coroutine_pool"].append(event["co"])

    def on_co_error(self, event: Event, service: str, t: Any) -> None:
        if t is not None:
            _forget(t, event["co"])

    def on_wakeup(self, event: Event, service: str, t: Any) -> None:
        if t is not None and event["queued"]:
            t["wakeup_queue"].append(event["co"])

    def on_wakeup_skip(self, event: Event, service: str, t: Any) -> None:
        if t is not None:
            t["wakeup_queue"].pop(0)

    def on_fork(self, event: Event, service: str, t: Any) -> None:
        if t is not None:
            t["fork_queue"].append(event["co"])

    def on_table(self, event: Event, service: str, t: Any) -> None:
        if t is None:
            return
        name, op, session, co = event["table"], event["op"], event.get("session"), event.get("co")
        table = t[name]
        if name == "session_id_coroutine":
            if op == "set":
                table[session] = co
            elif op == "break":
                table[session] = "BREAK"
                t["wakeup_queue"].pop(0)
            else:
                table.pop(session, None)
        elif name == "sleep_session":
            if op == "set":
                table[co] = session
            else:
                table.pop(co, None)
        elif name in ("watching_session", "socket_pool"):
            if op == "set":
                table[session] = event["address" if name == "watching_session" else "value"]
            else:
                table.pop(session, None)
        elif name == "error_queue":
            if op == "push":
                table.append(session)
            else:
                table.pop(0)
        elif name == "fork_queue":
            table.clear()
        elif name == "dead_service":
            if event["address"] not in table:
                table.append(event["address"])
        elif name == "session_response":
            table.append(co)
        elif name == "unresponse":
            entry = [session or 0, event["address"]]
            if op == "set":
                table.append(entry)
            else:
                _drop(table, entry)
        elif name == "session_coroutine_id":
            _forget(t, co, ignored=True)

    # ---- time and sockets

    def on_timer_set(self, event: Event, service: str, t: Any) -> None:
        if event["tick"]:
            self._all["timers"].append([event["tick"], service, event["session"]])

    def on_timer_fired(self, event: Event, service: str, t: Any) -> None:
        for timer in self._all["timers"]:
            if timer[1:] == [service, event["session"]]:
                self._all["timers"].remove(timer)
                return

    def on_clock(self, event: Event, service: str, t: Any) -> None:
        self._all["now"] = event["tick"]

    def on_socket(self, event: Event, service: str, t: Any) -> None:
        if event["state"] == "invalid":
            self._all["sockets"].pop(event["id"], None)
        else:
            self._all["sockets"][event["id"]] = [event["state"], service]

    def on_driver(self, event: Event, service: str, t: Any) -> None:
        self._all["commands"].append([event["command"], event["id"]])

    def on_command(self, event: Event, service: str, t: Any) -> None:
        self._all["commands"].pop(0)


def _drop(items: list[Any], item: Any) -> None:
    if item in items:
        items.remove(item)


def _forget(t: dict[str, Any], co: Any, ignored: bool = False) -> None:
    t["session_coroutine_id"].pop(co, None)
    t["session_coroutine_address"].pop(co, None)
    if not ignored or co not in t["coroutine_pool"]:
        _drop(t["session_response"], co)


def _number(label: str) -> int:
    return int(label[2:])


def _in_order(t: dict[str, Any]) -> None:
    """Tables keyed by coroutine come in the order of creation, those keyed by number sorted."""
    for name in ("sleep_session", "session_coroutine_id", "session_coroutine_address"):
        t[name] = dict(sorted(t[name].items(), key=lambda item: _number(item[0])))
    for name in ("session_id_coroutine", "watching_session", "socket_pool"):
        t[name] = dict(sorted(t[name].items()))
    t["session_response"].sort(key=_number)
    t["dead_service"].sort()
    t["unresponse"].sort()
    counts: dict[str, int] = {}
    for source in [*t["session_coroutine_address"].values(), *(address for _, address in t["unresponse"])]:
        counts[source] = counts.get(source, 0) + 1
    t["watching_service"] = dict(sorted(counts.items()))
