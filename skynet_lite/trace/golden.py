"""One service's events in the form of the recordings of the real skynet, and those recordings as traces.

Labels instead of numbers: services by the names given, sockets s1, s2, ... in the
order of their first message, `self`, `launcher`, `timer`, `socket`. Events that the
recordings do not know are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .film import Film
from .kinds import KINDS, Event, full_address
from .shapes import home, service_tables

MAIN = ("message", "co_create", "resume", "yield", "wakeup", "mark", "co_error", "send")
DETAIL = ("table", "wakeup_skip", "dispatch_failed")
_OURS = ("service", "runs", "address", "value", "token", "reason")  # fields that the recordings do not have
_FIELDS = {
    kind: ["sock" if field.name == "id" else field.name for field in KINDS[kind].fields if field.name not in _OURS]
    for kind in MAIN + DETAIL
}
_SAYS = {"call failed: ": "call failed", ": no session; ": "No session"}
"""What is in an error of ours, and all that skynet says."""
BOOT = frozenset(
    ("logger", "bootstrap", "launcher", "cdummy", "cmaster", "cslave", "harbor", "datacenterd", "service_mgr")
)
"""The services of every node; the user's are the others."""
_TABLES = ("session_id_coroutine", "sleep_session", "watching_session", "dead_service", "error_queue")


def golden(
    film: Film, addr: int | str, detail: bool = True, names: dict[Any, str] | None = None
) -> Iterator[tuple[int, Event]]:
    """The events of a service, each with its number in the whole; `names`: addresses of others → their labels."""
    kinds = MAIN + DETAIL if detail else MAIN
    service = full_address(addr)
    launchers = (a for a, name in film.names().items() if name == "launcher" and home(a) == home(service))
    launcher = next(launchers, ".launcher")
    labels = {launcher: "launcher", **{full_address(a): name for a, name in (names or {}).items()}, service: "self"}
    sockets: dict[int, str] = {}  # id → label
    alive: set[int] = set()

    def who(address: str, ptype: str) -> str:
        outside = {"response": "timer", "socket": "socket"}.get(ptype, "outside")
        return labels.get(address, outside if address == ":00000000" else address)

    def label(id: int) -> str:
        return sockets.setdefault(id, f"s{len(sockets) + 1}")

    for n, event in film.numbered():
        if event["e"] == "socket":
            (alive.discard if event["state"] == "invalid" else alive.add)(event["id"])
        if event.get("service") != service or event["e"] not in kinds:
            continue
        if event["e"] == "table" and event["table"] not in _TABLES:
            continue
        if event["e"] == "send" and event["to"] in (launcher, ".launcher"):
            continue
        shown: dict[str, Any] = dict(event)
        if event["e"] == "message":
            shown["source"] = who(event["source"], event["ptype"])
            if "id" in event and "sock" not in event:  # a recording has its labels
                shown["sock"] = label(event["id"])
                if "new" in event:
                    shown["new"] = label(event["new"])
            if "body" in event:
                # A recording writes the word instead of a number that differs from run to run.
                shown["body"] = ["socket" if type(v) is int and v in alive else v for v in event["body"]]
            if event.get("type") == "WARNING":
                shown.pop("size", None)
        elif event["e"] == "co_error":
            shown["error"] = next((says for ours, says in _SAYS.items() if ours in event["error"]), event["error"])
        elif event.get("command") in ("KILL", "TRACE") or (
            event.get("by") == "suspend" and film.dialect(service) != "1.1"
        ):
            continue  # today skynet does that without a switch
        elif "token" in event:
            shown["co"] = f"token{event['token']}"
        elif event.get("op") == "abandon":
            shown["op"] = "break"
        elif event["e"] == "send":
            shown["to"] = who(event["to"], event["ptype"])
        yield n, {"e": event["e"], **{k: shown[k] for k in _FIELDS[event["e"]] if k in shown}}


# --------------------------------------------------------------------------- and back: a recording as a trace


def is_recording(data: Any) -> bool:
    """Whether this is a file of golden/traces: one scenario, recorded from the real skynet."""
    return isinstance(data, dict) and {"name", "skynet", "services", "events"} <= data.keys()


def read_recording(data: dict[str, Any]) -> dict[str, Any]:
    """A recording of the real skynet as the arguments of Trace; its services are called A, B, ...

    Which event of one service came before which of another was not recorded. Here
    every message comes after the send that it matches, and otherwise each service goes
    on as long as it can; the match is noted as the cause of the message.
    """
    queues: dict[str, list[Event]] = {"A": data["events"], **data.get("peer_events", {})}
    born = dict.fromkeys([*data["services"], *data.get("started_later", ()), *queues])
    order = [service for service in born if service in queues]
    done = dict.fromkeys(order, 0)
    sent: dict[tuple[str, str, str, Any], list[int]] = {}  # from, to, type, session → numbers of sends
    events: list[Event] = []

    def match(service: str, event: Event) -> list[int] | None:
        """The sends that a message may have come from; None if it needs none that was recorded."""
        source = service if event.get("source") == "self" else event.get("source")
        if event["e"] != "message" or source not in queues or event["ptype"] == "socket":
            return None
        return sent.setdefault((source, service, event["ptype"], event["session"]), [])

    def ready(service: str) -> bool:
        return match(service, queues[service][done[service]]) != []

    def take(service: str) -> None:
        event = {**queues[service][done[service]], "service": service}
        if "sock" in event:
            event["id"] = int(event["sock"][1:])  # s1, s2, ... in the order in which they came up
        sends = match(service, event)
        if sends:
            event["cause"] = sends.pop(0)
        elif event["e"] == "send":
            to = service if event["to"] == "self" else event["to"]
            sent.setdefault((service, to, event["ptype"], event["session"]), []).append(len(events))
        events.append(event)
        done[service] += 1

    while waiting := [s for s in order if done[s] < len(queues[s])]:
        service = next((s for s in waiting if ready(s)), waiting[0])
        take(service)
        while done[service] < len(queues[service]) and ready(service):
            take(service)
    # Also those of which nothing was recorded, for the order of births is all that a diff knows them by.
    snapshot: dict[str, Any] = {"services": {s: service_tables(s) for s in born}}
    if not str(data["skynet"]).startswith("1.1"):
        snapshot["skynet"] = "1.8"
    return {"events": events, "snapshot": snapshot, "origin": f"skynet {data['skynet']}: {data['name']}"}
