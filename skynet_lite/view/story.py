"""What a timeline shows, worked out from the events alone: lanes, stretches, marks and arrows.

One idea: this half knows events and no drawing, timeline.py knows drawing and no
events. A moment is the index of an event; where on the page it stands is decided
later, so whatever draws next (a stepper, another format) can begin from here.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..trace import Trace

Event = dict[str, Any]
LaneKey = tuple[str, str]  # (service, coroutine), (service, MAILBOX), ("", SOCKET), ("", client#1), ...

MAILBOX, SOCKET, TIMER, CLIENTS, MARKS = "mailbox", "socket server", "timer", "clients", "marks"
BOOT = frozenset(
    ("logger", "bootstrap", "launcher", "cdummy", "cmaster", "cslave", "harbor", "datacenterd", "service_mgr")
)
MANY_CLIENTS = 6
"""More clients than this share one lane."""


@dataclass(frozen=True)
class Lane:
    """One row. `kind` is client, socket, timer, mailbox or coroutine."""

    key: LaneKey
    kind: str
    title: str
    note: str


@dataclass(frozen=True)
class Stretch:
    """What a lane does for a while. `start`, `stop`: moments; None is the edge of the picture."""

    lane: LaneKey
    start: int | None
    stop: int | None
    kind: str  # run, parked, pool, made, queued, work, pending
    label: str = ""


@dataclass(frozen=True)
class Mark:
    """What happens in a lane at one moment."""

    lane: LaneKey
    at: int
    kind: str  # resume, yield, error, push, message, command, ready, set, fired, client, mark, skip, exit
    label: str = ""


@dataclass(frozen=True)
class Arrow:
    """From cause to effect; `label` names the mechanism."""

    source: LaneKey
    since: int
    target: LaneKey
    at: int
    kind: str  # driver, socket, dispatch, wakeup, dispatch_wakeup, send, timer, fork, failed, write
    label: str = ""


@dataclass(frozen=True)
class Line:
    """A moment that concerns all lanes: time moved, or a mark made outside of services."""

    at: int
    label: str


class Story:
    """Lanes and their contents for one picture.

    `services`: None for the services of the user's program, "all", or addresses and
    names. `start`, `stop`: event numbers, as in a slice. `limit`: how many lanes of
    coroutines at most; `hidden` says how many were left out. Raises ValueError for a
    service that the trace does not know.
    """

    def __init__(
        self, trace: Trace, services: str | int | Iterable[str | int] | None, start: int, stop: int | None, limit: int
    ) -> None:
        events = trace.events
        first = events[0]["e"] if events else ""
        self.names = trace.names()
        self.shown = _selected(self.names, services, events)
        reader = _Reader(trace, self.names, self.shown)
        for i, event in enumerate(events):
            reader.read(i, event)
        reader.finish()

        self.window = range(len(events))[start:stop]
        low, high = self.window.start, self.window.stop
        self.first_event = first
        self.marks = [m for m in reader.marks if low <= m.at < high]
        self.arrows = [a for a in reader.arrows if low <= a.since and a.at < high]
        self.lines = [x for x in reader.lines if low <= x.at < high]
        self.stretches = [
            Stretch(
                s.lane, None if s.start is None or s.start < low else s.start,
                None if s.stop is None or s.stop >= high else s.stop, s.kind, s.label,
            )
            for s in reader.stretches
            if (s.start is None or s.start < high) and (s.stop is None or s.stop > low)
        ] if low < high else []  # fmt: skip
        self.lanes, self.hidden = self._lanes(reader, limit)
        kept = {lane.key for lane in self.lanes}
        self.marks = [m for m in self.marks if m.lane in kept]
        self.arrows = [a for a in self.arrows if a.source in kept and a.target in kept]
        self.stretches = [s for s in self.stretches if s.lane in kept]
        self.columns = sorted(
            {m.at for m in self.marks}
            | {x.at for x in self.lines}
            | {moment for a in self.arrows for moment in (a.since, a.at)}
        )

    def _lanes(self, reader: _Reader, limit: int) -> tuple[list[Lane], int]:
        """Who has a lane, and in which order: the world first, then service after service."""
        seen: dict[LaneKey, int] = {}

        def see(key: LaneKey, moment: int) -> None:
            if moment < seen.get(key, len(reader.events) + 1):
                seen[key] = moment

        for m in self.marks:
            see(m.lane, m.at)
        for a in self.arrows:
            see(a.source, a.since)
            see(a.target, a.at)
        for s in self.stretches:
            # A pooled coroutine that nobody takes again says nothing.
            if s.kind in ("run", "parked", "made") and s.lane not in seen:
                see(s.lane, self.window.start if s.start is None else s.start)

        def by_appearance(key: LaneKey) -> tuple[int, int]:
            return seen[key], reader.order.get(key, 0)

        outside = {CLIENTS, *reader.clients}
        clients = sorted((k for k in seen if not k[0] and k[1] in outside), key=by_appearance)
        lanes = [Lane(key, "client", key[1], "outside") for key in clients]
        if ("", SOCKET) in seen:
            lanes.append(Lane(("", SOCKET), "socket", SOCKET, "epoll"))
        if ("", TIMER) in seen:
            lanes.append(Lane(("", TIMER), "timer", TIMER, ""))
        coroutines = sorted((k for k in seen if k[0] in self.shown and k[1] != MAILBOX), key=by_appearance)
        hidden = max(0, len(coroutines) - limit)
        coroutines = coroutines[:limit]
        members: dict[str, list[LaneKey]] = {}
        mailboxes = [k for k in seen if k[0] in self.shown and k[1] == MAILBOX]
        for key in sorted([*mailboxes, *coroutines], key=by_appearance):
            members.setdefault(key[0], []).append(key)
        for service, keys in members.items():
            about = f"{self.names[service]} {service}".strip()
            if (service, MAILBOX) in seen:
                lanes.append(Lane((service, MAILBOX), "mailbox", MAILBOX, about))
            for key in keys:
                if key[1] != MAILBOX:
                    lanes.append(Lane(key, "coroutine", key[1], reader.roles.get(key, "")))
        return lanes, hidden


def _selected(names: dict[str, str], services: Any, events: list[Event]) -> set[str]:
    if services == "all":
        return set(names)
    if services is None:
        return {address for address, name in names.items() if name not in BOOT} or set(names)
    wanted = [services] if isinstance(services, (str, int)) else list(services)
    shown: set[str] = set()
    for one in wanted:
        text = f":{one:08x}" if isinstance(one, int) else one
        if text.startswith(":"):
            text = f":{int(text[1:], 16):08x}"
        found = {address for address, name in names.items() if text in (address, name)}
        if not found:
            known = ", ".join(f"{address} {name}" for address, name in sorted(names.items()))
            raise ValueError(f"no service {one!r} in this trace; it knows {known or 'none'}")
        shown |= found
    return shown


class _Reader:
    """Reads events in order; collects what is to be drawn of the services that are shown."""

    def __init__(self, trace: Trace, names: dict[str, str], shown: set[str]) -> None:
        self.events = trace.events
        self.shown = shown
        self.stretches: list[Stretch] = []
        self.marks: list[Mark] = []
        self.arrows: list[Arrow] = []
        self.lines: list[Line] = []
        self.roles: dict[LaneKey, str] = {}
        self.order: dict[LaneKey, int] = {}  # of birth, among those that appear at the same moment
        self.clients = {e["client"]: None for e in self.events if e["e"] == "client"}
        self._one_client_lane = len(self.clients) > MANY_CLIENTS
        self._open: dict[LaneKey, tuple[str, int | None, str]] = {}  # lane → kind, since, label of its stretch
        self._message: dict[str, int] = {}  # service → its last message
        self._yielded: dict[str, tuple[int, str]] = {}  # service → its last yield and who
        self._running: dict[str, str] = {}
        self._woken: dict[str, deque[int]] = {}  # service → wakeups not resumed yet, for traces without causes
        self._forks: dict[LaneKey, tuple[int, LaneKey]] = {}
        self._queued: dict[int, tuple[LaneKey, int]] = {}  # push into the error queue → where it came from
        self._fired = {e["cause"]: i for i, e in enumerate(self.events) if e["e"] == "timer_fired" and "cause" in e}
        self._brought = {e["cause"]: e for e in self.events if e["e"] == "message" and "cause" in e}
        self._pushed = {e["cause"]: e for e in self.events if e["e"] == "push" and "cause" in e}
        for service, tables in trace.snapshot.get("services", {}).items():
            if service in shown:
                self._begin(service, tables)

    def _begin(self, service: str, tables: dict[str, Any]) -> None:
        """Who was parked, or free, when the recording began."""
        sleeping = tables.get("sleep_session", {})
        calls = tables.get("watching_session", {})
        for session, co in tables.get("session_id_coroutine", {}).items():
            if co != "BREAK":
                what = "SLEEP" if co in sleeping else "CALL" if session in calls else "session"
                self._enter((service, co), "parked", None, f"{what} {session}")
        for co in tables.get("coroutine_pool", ()):
            self._enter((service, co), "pool", None, "pool")

    def read(self, i: int, event: Event) -> None:
        rule = getattr(self, "on_" + event["e"], None)
        service = event.get("service", "")
        if rule is not None and (service in self.shown or event["e"] in ("client", "clock", "mark")):
            rule(i, event, service)

    def finish(self) -> None:
        for key in list(self._open):
            self._leave(key, None)

    # ---- lanes and stretches

    def _lane(self, service: str, co: str | None) -> LaneKey:
        """Where a coroutine works; `main`, the scheduler itself, works for the mailbox."""
        key = (service, MAILBOX if co in (None, "main") else str(co))
        self.order.setdefault(key, len(self.order))
        return key

    def _enter(self, key: LaneKey, kind: str, at: int | None, label: str = "") -> None:
        self._leave(key, at)
        self.order.setdefault(key, len(self.order))
        self._open[key] = (kind, at, label)

    def _leave(self, key: LaneKey, at: int | None) -> None:
        if key in self._open:
            kind, since, label = self._open.pop(key)
            self.stretches.append(Stretch(key, since, at, kind, label))

    def _mark(self, key: LaneKey, at: int, kind: str, label: str = "") -> None:
        self.marks.append(Mark(key, at, kind, label))

    def _arrow(self, source: LaneKey, since: int, target: LaneKey, at: int, kind: str, label: str) -> None:
        if source != target:
            self.arrows.append(Arrow(source, since, target, at, kind, label))

    def _working(self, service: str) -> LaneKey:
        """Whose lane the scheduler works for now: the coroutine that runs, or the mailbox."""
        return self._lane(service, self._running.get(service))

    # ---- the scheduler

    def on_message(self, i: int, e: Event, service: str) -> None:
        self._message[service] = i
        key = self._lane(service, None)
        if "cause" in e:
            self.stretches.append(Stretch(key, e["cause"], i, "queued"))
        self._mark(key, i, "message", "" if "cause" in e else message_words(e))

    on_load = on_message

    def on_co_create(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        if e["how"] == "new":
            start = e["for"] == "timeout" and e["co"] == "co1" and e["in"] == "main"
            self.roles[key] = "start function" if start else f"made for a {e['for']}".replace("timeout", "timer")
        self._enter(key, "made", i)
        if e["for"] == "fork":
            self._forks[key] = (i, self._lane(service, e["in"]))

    def on_resume(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        self._enter(key, "run", i)
        self._running[service] = e["co"]
        by, cause = e["by"], e.get("cause")
        label = ""
        if by == "raw_dispatch_message":
            since = self._message.get(service) if cause is None else cause
            if since is not None:
                self._arrow(self._lane(service, None), since, key, i, "dispatch", by)
                label = "" if e["args"] == [True] else handler_words(self.events[since])
        elif by == "dispatch_wakeup":
            # Queued by wakeup, whose arrow is drawn there; what runs it is the suspend of whoever yielded last.
            since, who = self._yielded.get(service, (None, ""))
            if since is not None:
                self._arrow(self._lane(service, who), since, key, i, "dispatch_wakeup", by)
                if who == e["co"]:
                    label = by  # woken twice: it goes on as soon as it sleeps, and an arrow would have no length
        elif by == "fork":
            since, maker = self._forks.pop(key, (None, key))
            if since is not None:
                self._arrow(maker, since, key, i, "fork", "fork")
        elif by == "dispatch_error_queue":
            lane, since = self._queued.get(-1 if cause is None else cause, (self._lane(service, None), None))
            if since is None:
                since = self._message.get(service)
            if since is not None:
                self._arrow(lane, since, key, i, "failed", by)
        if not label and e["args"] and by != "co_create":
            label = f"resume({', '.join('…' if a == 'response' else _python(a) for a in e['args'])})"
        self._mark(key, i, "resume", label)

    def on_yield(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        command = e["command"]
        self._leave(key, i)
        self._running.pop(service, None)
        self._yielded[service] = (i, e["co"])
        if command in ("SLEEP", "CALL"):
            at = f", at {e['at']}" if "at" in e else ""
            self._enter(key, "parked", i, f"{command} {e['session']}{at}")
            self._mark(key, i, "yield", f'yield "{command}", {e["session"]}')
        elif command is None:
            self._enter(key, "made", i)
            self._mark(key, i, "yield")
        else:
            if command == "EXIT":
                self._enter(key, "pool", i, "pool")
            elif command != "QUIT":
                self._enter(key, "made", i)  # suspend answers for it, and resumes it at once
            self._mark(key, i, "yield", f'yield "{command}"')

    def on_wakeup(self, i: int, e: Event, service: str) -> None:
        waker = self._lane(service, e["in"])
        if e["queued"] and e["co"]:
            self._mark(waker, i, "wakeup")
            self._arrow(waker, i, self._lane(service, e["co"]), i, "wakeup", "wakeup →\nwakeup_queue")
        else:
            self._mark(waker, i, "skip", f"wakeup({e['co'] or '?'}): not sleeping")

    def on_wakeup_skip(self, i: int, e: Event, service: str) -> None:
        self._mark(self._lane(service, e["co"]), i, "skip", "dispatch_wakeup: sleeps no more")

    def on_mark(self, i: int, e: Event, service: str) -> None:
        if service in self.shown and ("service" in e or e.get("co") not in (None, "main")):
            self._mark(self._lane(service, e.get("co")), i, "mark", e["text"])
        elif not service:
            self.lines.append(Line(i, e["text"]))

    def on_co_error(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        self._leave(key, i)
        self._running.pop(service, None)
        self._yielded[service] = (i, e["co"])
        self._mark(key, i, "error", f"raises: {e['error']}")

    def on_fork(self, i: int, e: Event, service: str) -> None:
        self._forks[self._lane(service, e["co"])] = (i, self._lane(service, e["in"]))

    def on_table(self, i: int, e: Event, service: str) -> None:
        if e["table"] == "session_id_coroutine" and e["op"] == "set":
            key = self._lane(service, e.get("co"))
            if self._open.get(key, ("",))[0] == "made":
                _, since, _ = self._open[key]
                self._open[key] = ("parked", since, f"timer, session {e['session']}")
        elif (e["table"], e["op"]) == ("error_queue", "push"):
            working = self._working(service)
            since = self._message.get(service) if working[1] == MAILBOX else i
            self._queued[i] = (working, i if since is None else since)

    def on_exit(self, i: int, e: Event, service: str) -> None:
        for key in [key for key, (kind, _, _) in self._open.items() if key[0] == service and kind != "run"]:
            self._leave(key, i)  # who runs now runs on to its QUIT
        self._mark(self._lane(service, None), i, "exit", "exit")

    # ---- messages

    def on_push(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, None)
        cause = e.get("cause")
        by = self.events[cause] if cause is not None else {"e": ""}
        words = push_words(e, self._brought.get(i))
        kind = by["e"]
        from_here = by.get("service", "") in self.shown
        if cause is not None and kind in ("command", "ready") and from_here:
            self.stretches.append(Stretch(("", SOCKET), cause, i, "work"))
            self._arrow(("", SOCKET), cause, key, i, "socket", words)
        elif cause is not None and kind == "timer_fired":
            self._arrow(("", TIMER), cause, key, i, "timer", words)
        elif cause is not None and kind == "timer_set" and by["in"] != "main":
            label = f"timer of 0 ticks, session {e['session']}"
            self._arrow(self._lane(service, by["in"]), cause, key, i, "timer", label)
        elif cause is not None and kind == "send" and from_here and self._sender(cause, by) != key:
            self._arrow(self._sender(cause, by), cause, key, i, "send", words)
        else:
            self._mark(key, i, "push", {"launch": "launch", "outside": f"{words} from outside"}.get(e["by"], words))
            return
        self._mark(key, i, "push")

    def _sender(self, cause: int, e: Event) -> LaneKey:
        """`main` sends on behalf of a coroutine that has just yielded, if one has."""
        service = e["service"]
        if e["in"] == "main" and self._yielded.get(service, (-1, ""))[0] > self._message.get(service, -1):
            return self._lane(service, self._yielded[service][1])
        return self._lane(service, e["in"])

    # ---- socket server, timer, world

    def on_driver(self, i: int, e: Event, service: str) -> None:
        self._mark(self._lane(service, e["co"]), i, "driver")

    def on_command(self, i: int, e: Event, service: str) -> None:
        self._mark(("", SOCKET), i, "command")
        if "cause" in e:
            by = self.events[e["cause"]]
            lane = self._lane(service, by.get("co"))
            self._arrow(lane, e["cause"], ("", SOCKET), i, "driver", f"driver.{e['command']}({e['id']})")

    def on_ready(self, i: int, e: Event, service: str) -> None:
        self._mark(("", SOCKET), i, "ready", f"socket {e['id']} ready: {', '.join(e['what'])}")

    def on_socket(self, i: int, e: Event, service: str) -> None:
        if "cause" in e:
            words = f"socket {e['id']} is "
            last = self.marks[-1] if self.marks else None
            if last is not None and (last.at, last.kind) == (e["cause"], "state") and last.label.startswith(words):
                self.marks.pop()  # one cause, several states: the last one counts
            self._mark(("", SOCKET), e["cause"], "state", words + e["state"])

    def on_write(self, i: int, e: Event, service: str) -> None:
        sent = f"{e['sent']} bytes" if e["sent"] == e["size"] else f"{e['sent']} of {e['size']} bytes"
        self._mark(("", SOCKET), i, "write")
        self._arrow(self._lane(service, e["co"]), i, ("", SOCKET), i, "write", f"write {sent}")

    def on_timer_set(self, i: int, e: Event, service: str) -> None:
        if not e["tick"]:
            return
        key = ("", TIMER)
        self._mark(key, i, "set")
        self._arrow(self._lane(service, e["in"]), i, key, i, "timer", f"timer, session {e['session']}")
        self.stretches.append(Stretch(key, i, self._fired.get(i), "pending", f"session {e['session']}"))

    def on_timer_fired(self, i: int, e: Event, service: str) -> None:
        self._mark(("", TIMER), i, "fired")

    def on_client(self, i: int, e: Event, service: str) -> None:
        own = ("", CLIENTS if self._one_client_lane else e["client"])
        self.order.setdefault(own, len(self.order))
        self._mark(own, i, "client", f"{e['action']} {e['detail']}".strip())

    def on_clock(self, i: int, e: Event, service: str) -> None:
        self.lines.append(Line(i, f"tick {e['tick']}"))


# --------------------------------------------------------------------------- words


def _python(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _body(e: Event) -> str:
    body = e.get("body") or []
    return _python(body[0]) if body and isinstance(body[0], str) else ""


def message_words(e: Event) -> str:
    """A message that is taken from its mailbox, in a few words."""
    if "type" in e:
        return f"{e['type']} {e['size']} bytes" if e["type"] in ("DATA", "UDP") else str(e["type"])
    if e.get("ptype") in ("response", "error"):
        return f"{e['ptype']} {e['session']}"
    return f"{e.get('ptype', 'launch')} {_body(e)}".strip()


def push_words(e: Event, message: Event | None) -> str:
    """A message that is put into a mailbox; what is in it is known if it was taken out later."""
    if "type" in e:
        return message_words(message) if message is not None else str(e["type"])
    if e["ptype"] in ("response", "error"):
        return message_words(e)
    what = f"{e['ptype']} {_body(message) if message is not None else ''}".strip()
    return f"{what}, session {e['session']}" if e["session"] else what


_SOCKET_MESSAGES = {"DATA": 1, "CONNECT": 2, "CLOSE": 3, "ACCEPT": 4, "ERROR": 5, "UDP": 6, "WARNING": 7}


def handler_words(e: Event) -> str:
    """What a new coroutine does with a message."""
    if e.get("type") in _SOCKET_MESSAGES:
        return f"socket_message[{_SOCKET_MESSAGES[e['type']]}]"
    return message_words(e)
