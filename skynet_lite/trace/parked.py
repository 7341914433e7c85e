"""What a parked coroutine waits for, told from what it did just before it yielded.

The yield itself has only a session number. The line before says whose it is: a
message sent with that number, a timer set, a socket it waits on, a critical section
that somebody else is inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .kinds import Event, command

_WAITS = re.compile(r", (co\d+) waits in (\w+)")


def socket_waits(socket_pool: dict[Any, str]) -> dict[str, tuple[Any, str]]:
    """Coroutine → socket and function it waits in, out of the words of `socket_pool` (PoolSocket.label)."""
    return {co: (id, what) for id, words in socket_pool.items() for co, what in _WAITS.findall(words)}


def parked(events: Iterable[Event]) -> dict[int, str]:
    """Index of each yield that parks → what is waited for, in a few words."""
    found: dict[int, str] = {}
    sessions: dict[tuple[str, int], str] = {}  # of the messages and timers that have taken one
    holds: dict[tuple[str, str], str] = {}  # coroutine → socket or section
    inside: dict[tuple[str, int], int] = {}  # how many are in or before a section
    for i, e in enumerate(events):
        kind, service = e["e"], e.get("service", "")
        if kind == "send" and e["session"]:
            sessions[service, e["session"]] = f"an answer of {e['to']}"
        elif kind == "timer_set":
            sessions[service, e["session"]] = f"tick {e['tick']}" if e["tick"] else "its timer"
        elif kind == "table" and e["table"] == "socket_pool":
            for co, (id, function) in socket_waits({e["session"]: e.get("value", "")}).items():
                holds[service, co] = f"{function} on socket {id}"
        elif kind == "table" and e["table"] == "queue":
            section = service, e["session"]
            if e["op"] == "push" and inside.get(section):
                holds[service, e["co"]] = f"critical section {e['session']}"
            inside[section] = inside.get(section, 0) + (1 if e["op"] == "push" else -1)
        elif kind == "table" and e["table"] == "watching_session" and "address" in e:
            sessions.setdefault((service, e["session"]), e["address"])  # no message went out: offload
        elif kind == "resume":
            holds.pop((service, e["co"]), None)
        elif kind == "yield" and command(e) in ("SLEEP", "CALL"):
            session = e["session"]
            what = sessions.get((service, session)) or holds.pop((service, e["co"]), "a wakeup")
            found[i] = f"{command(e)} {session}: {what}"
    return found
