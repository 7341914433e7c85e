"""What a timeline shows, worked out from the events alone: lanes, stretches, marks and arrows.

One idea: this half knows events and no drawing, timeline.py knows drawing and no
events. A moment is the index of an event; where on the page it stands is decided
later, so whatever draws next (a stepper, another format) can begin from here.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..trace.golden import BOOT
from ..trace.parked import socket_waits
from .words import count, form, word

if TYPE_CHECKING:
    from ..trace import Trace

Event = dict[str, Any]
LaneKey = tuple[str, str]  # (service, coroutine), (service, MAILBOX), ("", SOCKET), ("", client#1), ...
Services = str | int | Iterable[str | int]

MAILBOX, SOCKET, TIMER, CLIENTS, FOLDED = "mailbox", "socket server", "timer", "clients", "folded"
MANY_CLIENTS = 6
"""More clients than this share one lane."""


@dataclass(frozen=True)
class Lane:
    """One row. `kind` is client, socket, timer, mailbox, coroutine or folded (a whole service)."""

    key: LaneKey
    kind: str
    title: str
    note: str


@dataclass(frozen=True)
class Stretch:
    """What a lane does for a while. `start`, `stop`: moments; None is the edge of the picture.

    `label` says all of it, `short` what there is room for in a crowd.
    """

    lane: LaneKey
    start: int | None
    stop: int | None
    kind: str  # run, parked, pool, made, queued, work, pending; beside those of a coroutine: tag
    label: str = ""
    short: str = ""


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
    clock: bool = False


class Story:
    """Lanes and their contents for one picture, of a trace or of a part of one.

    `services`: None for the services of the user's program (or those a part was
    narrowed to), "all", or addresses and names. `start`, `stop`: event numbers, as in
    a slice. `limit`: how many lanes of coroutines at most; `hidden` says how many were
    left out. `fold`: services that get one lane each, or True for those that have no
    coroutine doing anything here. Raises ValueError for a service that the trace does
    not know.
    """

    def __init__(
        self, trace: Trace, services: Services | None = None, start: int = 0, stop: int | None = None,
        limit: int = 120, *, fold: bool | Services = False,
    ) -> None:  # fmt: skip
        self.names = trace.whole.names()
        self.workers = trace.whole.workers()
        self.shown = selected(trace, services)
        self.coroutines: set[str] | None = getattr(trace, "coroutines", None)
        named = set() if isinstance(fold, bool) else trace.find_services(fold)
        self.shown |= named
        self.window = window(trace, start, stop)
        low, high = self.window.start, self.window.stop
        reader = _Reader(trace.whole, self.shown, high)
        for i, event in enumerate(reader.events):
            reader.read(i, event)
        reader.finish()

        focus = self._focus(trace)
        self.marks = [m for m in reader.marks if m.at in focus]
        self.arrows = [a for a in reader.arrows if a.at in focus]
        self.lines = [x for x in reader.lines if x.at in focus]
        self.stretches = [
            replace(
                s, start=None if s.start is None or s.start < low else s.start,
                stop=None if s.stop is None or s.stop >= high else s.stop,
            )
            for s in reader.stretches
            if (s.start is None or s.start < high) and (s.stop is None or s.stop > low)
            and (s.kind not in ("queued", "work", "pending") or s.start in focus or s.stop in focus)
        ] if low < high else []  # fmt: skip
        self._fold(self._idle() if fold is True else named)
        self.lanes, self.hidden = self._lanes(reader, limit)
        kept = {lane.key for lane in self.lanes}
        arrows = [a for a in self.arrows if a.target in kept]
        self.arrows = [a for a in arrows if a.source in kept and a.since >= low]
        # An arrow that comes from outside of the picture is not drawn; its effect still says its reason.
        lost = {(a.target, a.at): a.label for a in arrows if a.source not in kept or a.since < low}
        self.marks = [
            replace(m, label=lost[m.lane, m.at]) if m.kind in ("resume", "push") and (m.lane, m.at) in lost else m
            for m in self.marks
            if m.lane in kept
        ]
        self.stretches = [s for s in self.stretches if s.lane in kept]
        self.columns = sorted(
            {m.at for m in self.marks}
            | {x.at for x in self.lines}
            | {moment for a in self.arrows for moment in (a.since, a.at)}
            | {s.start for s in self.stretches if s.lane[1] == FOLDED and s.kind == "run" and s.start is not None}
        )

    def _focus(self, trace: Trace) -> set[int] | range:
        """The events that are drawn. Of a part that leaves some out: its own, and what caused them."""
        numbers = trace.numbers
        if trace.whole is trace or len(numbers) == max(numbers, default=0) - min(numbers, default=1) + 1:
            return self.window
        focus: set[int] = set()
        for i in numbers:
            cause: int | None = i
            while cause is not None and cause in self.window and cause not in focus:
                focus.add(cause)
                cause = trace.whole.events[cause].get("cause")
        return focus

    def _idle(self) -> set[str]:
        """Services of which something is to be seen, but no coroutine that does anything."""
        seen = {key[0] for key in self._seen()}
        ends = [m.lane for m in self.marks] + [k for a in self.arrows for k in (a.source, a.target)]
        return (seen & self.shown) - {service for service, name in ends if name != MAILBOX}

    def _fold(self, services: set[str]) -> None:
        """Lay all lanes of a service into one: what runs, what comes, what goes, what fails, what waits throughout."""

        def lane(key: LaneKey) -> LaneKey:
            return (key[0], FOLDED) if key[0] in services else key

        arrows = [replace(a, source=lane(a.source), target=lane(a.target)) for a in self.arrows]
        self.arrows = [a for a in arrows if a.source != a.target]
        self.marks = [
            replace(m, lane=lane(m.lane)) for m in self.marks
            if m.lane[0] not in services or m.kind in ("error", "exit", "push")
        ]  # fmt: skip
        waiting: dict[str, list[Stretch]] = {}
        for s in self.stretches:
            if s.lane[0] in services and s.kind == "parked" and s.start is s.stop is None:
                waiting.setdefault(s.lane[0], []).append(s)
        self.stretches = [
            replace(s, lane=lane(s.lane)) for s in self.stretches
            if s.lane[0] not in services or s.kind in ("run", "queued")
        ] + [
            Stretch((service, FOLDED), None, None, "parked",
                    word("fig.comma").join(f"{s.lane[1]}: {s.short}" for s in parked),
                    word("fig.parked", n=len(parked)))
            for service, parked in waiting.items()
        ]  # fmt: skip
        self.folded = services

    def _seen(self) -> dict[LaneKey, int]:
        """Whatever shows in the picture, with the moment when it is seen first."""
        seen: dict[LaneKey, int] = {}

        def see(key: LaneKey, moment: int) -> None:
            seen[key] = min(moment, seen.get(key, moment))

        for m in self.marks:
            see(m.lane, m.at)
        for a in self.arrows:
            see(a.source, a.since)
            see(a.target, a.at)
        for s in self.stretches:
            # A pooled coroutine that nobody takes again says nothing.
            if s.kind in ("run", "parked", "made") and s.lane not in seen:
                see(s.lane, self.window.start if s.start is None else s.start)
        return seen

    def _lanes(self, reader: _Reader, limit: int) -> tuple[list[Lane], int]:
        """Who has a lane, and in which order: the world first, then service after service."""
        seen = self._seen()
        for service in self.folded:
            seen.setdefault((service, FOLDED), self.window.start)

        def by_appearance(key: LaneKey) -> tuple[int, int]:
            return seen[key], reader.order.get(key, 0)

        outside = {CLIENTS, *reader.clients}
        clients = sorted((k for k in seen if not k[0] and k[1] in outside), key=by_appearance)
        many = ("", CLIENTS)
        lanes = [
            Lane(key, "client", word("fig.clients") if key == many else key[1], word("fig.outside")) for key in clients
        ]
        if ("", SOCKET) in seen:
            lanes.append(Lane(("", SOCKET), "socket", word("fig.socket"), "epoll"))
        if ("", TIMER) in seen:
            lanes.append(Lane(("", TIMER), "timer", word("fig.timer"), ""))
        inner = [k for k in seen if k[0] in self.shown]
        coroutines = [
            k for k in inner
            if k[1] not in (MAILBOX, FOLDED) and (self.coroutines is None or k[1] in self.coroutines)
        ]  # fmt: skip
        # Those that do something go before those that only wait.
        acting = {m.lane for m in self.marks}
        coroutines.sort(key=lambda key: (key not in acting, by_appearance(key)))
        hidden = max(0, len(coroutines) - limit)
        members: dict[str, list[LaneKey]] = {}
        for key in sorted([*coroutines[:limit], *(k for k in inner if k[1] in (MAILBOX, FOLDED))], key=by_appearance):
            members.setdefault(key[0], []).append(key)
        for service, keys in members.items():
            name = self.names.get(service, "")
            about = f"{name} {service}" if name != service else service
            if service in self.workers:
                about += f" w{self.workers[service]}"
            if (service, FOLDED) in seen:
                lanes.append(Lane((service, FOLDED), "folded", about.strip(), ""))
                continue
            if (service, MAILBOX) in seen:
                lanes.append(Lane((service, MAILBOX), "mailbox", word("fig.mailbox"), about.strip()))
            for key in keys:
                if key[1] != MAILBOX:
                    lanes.append(Lane(key, "coroutine", key[1], reader.roles.get(key, "")))
        return lanes, hidden


def selected(trace: Trace, services: Services | None) -> set[str]:
    """Addresses of the services to be shown. Raises ValueError for one that the trace does not know."""
    names = trace.names()
    if services is None:
        services = getattr(trace, "services", None)
    if services == "all":
        return set(names)
    if services is None:
        return {address for address, name in names.items() if name not in BOOT} or set(names)
    return trace.find_services(services)


def window(trace: Trace, start: int, stop: int | None) -> range:
    """The event numbers from the first to the last one that is drawn."""
    numbers, whole = trace.numbers, range(len(trace.whole.events))[start:stop]
    if not numbers:
        return range(0)
    return range(max(whole.start, min(numbers)), max(whole.start, min(whole.stop, max(numbers) + 1)))


def times(trace: Trace) -> tuple[list[float], str]:
    """When each event of the whole happened, and the unit: "s" by the real clock, "tick" by the virtual one.

    Raises ValueError for a recording without times.
    """
    whole = trace.whole
    if whole.origin:
        raise ValueError("a recording of the real skynet tells no times: draw it by event")
    if whole.stamps[0]:
        return [whole.seconds(i) for i in range(len(whole.events))], "s"
    return [float(tick) for tick in whole.ticks()], "tick"


class _Reader:
    """Reads events in order; collects what is to be drawn of the services that are shown."""

    def __init__(self, trace: Trace, shown: set[str], stop: int) -> None:
        self.events = trace.events[:stop]
        self.shown = shown
        self.stretches: list[Stretch] = []
        self.marks: list[Mark] = []
        self.arrows: list[Arrow] = []
        self.lines: list[Line] = []
        self.roles: dict[LaneKey, str] = {}
        self.order: dict[LaneKey, int] = {}  # of birth, among those that appear at the same moment
        self.clients = {e["client"]: None for e in self.events if e["e"] == "client"}
        self._one_client_lane = len(self.clients) > MANY_CLIENTS
        self._open: dict[LaneKey, tuple[str, int | None, str, str]] = {}  # lane → kind, since, short, label
        self._askers: set[LaneKey] = set()  # those that take the answers to a request
        self._tags: dict[LaneKey, tuple[int | None, str]] = {}  # lane → since, trace tag
        self._message: dict[str, int] = {}  # service → its last message
        self._yielded: dict[str, tuple[int, str]] = {}  # service → its last yield and who
        self._running: dict[str, str] = {}
        self._woken: dict[str, deque[int]] = {}  # service → wakeups not resumed yet, for traces without causes
        self._forks: dict[LaneKey, tuple[int, LaneKey]] = {}
        self._queued: dict[int, tuple[LaneKey, int]] = {}  # push into the error queue → where it came from
        self._fired = {e["cause"]: i for i, e in enumerate(self.events) if e["e"] == "timer_fired" and "cause" in e}
        self._brought = {e["cause"]: e for e in trace.events if e["e"] == "message" and "cause" in e}
        self._sent: dict[tuple[str, Any], str] = {}  # service, session → whom a call asks
        self._ticks: dict[tuple[str, int], int] = {}  # service, session → the length of its timer
        self._told: int | None = None  # the socket whose state was told last
        self._pools: dict[str, dict[int, str]] = {}  # service → its socket_pool
        self._queues: dict[str, dict[int, list[str]]] = {}  # service → its critical sections
        # What the real clock shows at an event is not recorded, so how long a timer runs is not known.
        self._now: int | None = None if trace.stamps[0] or trace.origin else trace.snapshot.get("now", 0)
        for service, tables in trace.snapshot.get("services", {}).items():
            if service in shown:
                self._pools[service] = dict(tables.get("socket_pool", {}))
                self._queues[service] = {n: list(queue) for n, queue in tables.get("queue", {}).items()}
                self._begin(service, tables)

    def _begin(self, service: str, tables: dict[str, Any]) -> None:
        """Who was parked, or free, when the recording began."""
        sleeping = tables.get("sleep_session", {})
        calls = tables.get("watching_session", {})
        for session, co in tables.get("session_id_coroutine", {}).items():
            if session in calls:
                self._sent[service, session] = calls[session]
            if co != "BREAK":
                what = "SLEEP" if co in sleeping else "CALL" if session in calls else ""
                self._enter((service, co), "parked", None, self._waits(service, co, what, session))
        for co, tag in tables.get("session_coroutine_tracetag", {}).items():
            self._tags[service, co] = (None, tag)
        for co in tables.get("coroutine_pool", ()):
            self._enter((service, co), "pool", None, word("fig.pool"))

    def read(self, i: int, event: Event) -> None:
        rule = getattr(self, "on_" + event["e"], None)
        service = event.get("service", "")
        if rule is not None and (service in self.shown or event["e"] in ("client", "clock", "mark")):
            rule(i, event, service)

    def finish(self) -> None:
        for key in list(self._open):
            self._leave(key, None)
        for key in list(self._tags):
            self._untag(key, None)

    # ---- lanes and stretches

    def _lane(self, service: str, co: str | None) -> LaneKey:
        """Where a coroutine works; `main`, the scheduler itself, works for the mailbox."""
        key = (service, MAILBOX if co in (None, "main") else str(co))
        self.order.setdefault(key, len(self.order))
        return key

    def _enter(self, key: LaneKey, kind: str, at: int | None, label: str = "", place: str | None = None) -> None:
        self._leave(key, at)
        self.order.setdefault(key, len(self.order))
        self._open[key] = (kind, at, label, word("fig.at", what=label, place=place) if place else label)

    def _leave(self, key: LaneKey, at: int | None) -> None:
        if key in self._open:
            kind, since, short, label = self._open.pop(key)
            self.stretches.append(Stretch(key, since, at, kind, label, short))

    def _mark(self, key: LaneKey, at: int, kind: str, label: str = "") -> None:
        self.marks.append(Mark(key, at, kind, label))

    def _arrow(self, source: LaneKey, since: int, target: LaneKey, at: int, kind: str, label: str) -> None:
        if source != target:
            self.arrows.append(Arrow(source, since, target, at, kind, label))

    def _working(self, service: str) -> LaneKey:
        """Whose lane the scheduler works for now: the coroutine that runs, or the mailbox."""
        return self._lane(service, self._running.get(service))

    def _waits(self, service: str, co: str, command: str, session: int) -> str:
        """What a coroutine that parks waits for, as far as the tables tell."""
        if command == "CALL":
            to = self._sent.pop((service, session), None)
            return f"CALL {session} → {to}" if to else f"CALL {session}"
        waits = socket_waits(self._pools.get(service, {})).get(co)
        if waits is not None:
            return word("fig.on", id=waits[0], function=waits[1])
        for n, queue in self._queues.get(service, {}).items():
            if co in queue[1:]:
                return word("fig.behind", n=n, co=queue[queue.index(co) - 1])
        ticks = self._ticks.get((service, session))
        what = f"{command} {session}" if command else word("fig.session", session=session)
        return what if ticks is None else word("fig.and", a=what, b=count(ticks, "tick"))

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
            self.roles[key] = word("fig.start") if start else form(f"fig.made.{e['for']}", e["for"])
        self._enter(key, "made", i)
        if e["for"] == "request":
            self._askers.add(key)
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
            what = self._waits(service, e["co"], command, e["session"])
            self._enter(key, "parked", i, what, e.get("at"))
            self._mark(key, i, "yield", f'yield "{command}", {e["session"]}')
        elif command is None:
            self._enter(key, "made", i)
            self._mark(key, i, "yield")
        else:
            if command == "EXIT":
                self._enter(key, "pool", i, word("fig.pool"))
            elif command == "SUSPEND":
                self._enter(key, "parked", i, word("fig.answers"))
            elif command != "QUIT":
                self._enter(key, "made", i)  # suspend answers for it, and resumes it at once
            self._mark(key, i, "yield", f'yield "{command}"')

    def on_wakeup(self, i: int, e: Event, service: str) -> None:
        waker = self._lane(service, e["in"])
        if e["queued"] and e["co"]:
            self._mark(waker, i, "wakeup")
            self._arrow(waker, i, self._lane(service, e["co"]), i, "wakeup", "wakeup →\nwakeup_queue")
        else:
            self._mark(waker, i, "skip", word("fig.not_sleeping", co=e["co"] or "?"))

    def on_wakeup_skip(self, i: int, e: Event, service: str) -> None:
        self._mark(self._lane(service, e["co"]), i, "skip", word("fig.no_more"))

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
        self._mark(key, i, "error", word("fig.raises", error=e["error"]))

    def on_kill(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        self._leave(key, i)
        self._mark(key, i, "exit", word("fig.killed"))

    def on_tracetag(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        self._untag(key, i)
        if e["tag"] is not None:
            self._tags[key] = (i, e["tag"])

    def _untag(self, key: LaneKey, at: int | None) -> None:
        if key in self._tags:
            since, tag = self._tags.pop(key)
            self.stretches.append(Stretch(key, since, at, "tag", tag, tag))

    def on_fork(self, i: int, e: Event, service: str) -> None:
        self._forks[self._lane(service, e["co"])] = (i, self._lane(service, e["in"]))

    def on_send(self, i: int, e: Event, service: str) -> None:
        if e["in"] != "main":
            self._sent[service, e["session"]] = e["to"]
        message = self._brought.get(i)
        if message is not None and message.get("service") in self.shown:
            # A recording of the real skynet: nobody noted the push, but it is what a send does.
            key = self._lane(message["service"], None)
            self._mark(key, i, "push")
            self._arrow(*self._sender(i, e), key, i, "send", push_words(message, message))

    def on_table(self, i: int, e: Event, service: str) -> None:
        if e["table"] == "session_id_coroutine" and e["op"] == "set":
            key = self._lane(service, e.get("co"))
            if self._open.get(key, ("",))[0] == "made":
                since, ticks = self._open.pop(key)[1], self._ticks.get((service, e["session"]))
                words = word("fig.answers" if key in self._askers else "fig.timer.of", session=e["session"])
                self._enter(key, "parked", since, word("fig.and", a=words, b=count(ticks, "tick")) if ticks else words)
        elif e["table"] == "socket_pool":
            self._pools.setdefault(service, {})[e["session"]] = e.get("value", "")
        elif e["table"] == "queue":
            queue = self._queues.setdefault(service, {}).setdefault(e["session"], [])
            if e["op"] == "push":
                queue.append(e["co"])
            elif e["op"] == "pop":
                del queue[:1]
            elif e.get("co") in queue:
                queue.remove(e["co"])
        elif (e["table"], e["op"]) == ("error_queue", "push"):
            working = self._working(service)
            since = self._message.get(service) if working[1] == MAILBOX else i
            self._queued[i] = (working, i if since is None else since)

    def on_exit(self, i: int, e: Event, service: str) -> None:
        for key in [key for key, (kind, *_) in self._open.items() if key[0] == service and kind != "run"]:
            self._leave(key, i)  # who runs now runs on to its QUIT
        for key in [key for key in self._tags if key[0] == service]:
            self._untag(key, i)
        self._mark(self._lane(service, None), i, "exit", word("fig.exit"))

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
            label = word("fig.at_once", session=e["session"])
            self._arrow(self._lane(service, by["in"]), cause, key, i, "timer", label)
        elif cause is not None and kind == "send" and from_here and self._sender(cause, by)[0] != key:
            self._arrow(*self._sender(cause, by), key, i, "send", words)
        else:
            self._mark(
                key,
                i,
                "push",
                word("fig.from_outside", what=words)
                if e["by"] == "outside"
                else "launch"
                if e["by"] == "launch"
                else words,
            )
            return
        self._mark(key, i, "push")

    def _sender(self, i: int, e: Event) -> tuple[LaneKey, int]:
        """Who sends, and when. `main` does what a coroutine has yielded for, or died of, if one has."""
        service = e["service"]
        yielded, who = self._yielded.get(service, (-1, ""))
        if e["in"] == "main" and yielded > self._message.get(service, -1):
            return self._lane(service, who), yielded
        return self._lane(service, e["in"]), i

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
        self._mark(("", SOCKET), i, "ready", word("fig.ready", id=e["id"], what=_ready(e["what"])))

    def on_socket(self, i: int, e: Event, service: str) -> None:
        if "cause" in e:
            last = self.marks[-1] if self.marks else None
            if last is not None and (last.at, last.kind) == (e["cause"], "state") and self._told == e["id"]:
                self.marks.pop()  # one cause, several states: the last one counts
            self._told = e["id"]
            self._mark(("", SOCKET), e["cause"], "state", word("fig.state", id=e["id"], state=e["state"]))

    def on_write(self, i: int, e: Event, service: str) -> None:
        words = word("fig.wrote" if e["sent"] == e["size"] else "fig.wrote.part", sent=e["sent"], size=e["size"])
        self._mark(("", SOCKET), i, "write")
        self._arrow(self._lane(service, e["co"]), i, ("", SOCKET), i, "write", words)

    def on_timer_set(self, i: int, e: Event, service: str) -> None:
        if not e["tick"]:
            return
        key = ("", TIMER)
        session = words = word("fig.session", session=e["session"])
        if self._now is not None:
            self._ticks[service, e["session"]] = e["tick"] - self._now
            words = word("fig.and", a=count(e["tick"] - self._now, "tick"), b=session)
        self._mark(key, i, "set")
        self._arrow(self._lane(service, e["in"]), i, key, i, "timer", words)
        self.stretches.append(Stretch(key, i, self._fired.get(i), "pending", session))

    def on_timer_fired(self, i: int, e: Event, service: str) -> None:
        self._mark(("", TIMER), i, "fired")

    def on_client(self, i: int, e: Event, service: str) -> None:
        own = ("", CLIENTS if self._one_client_lane else e["client"])
        self.order.setdefault(own, len(self.order))
        number, _, unit = e["detail"].partition(" ")
        detail = word("fig.bytes", n=number) if unit == "bytes" else e["detail"]
        self._mark(own, i, "client", f"{e['action']} {detail}".strip())

    def on_clock(self, i: int, e: Event, service: str) -> None:
        self._now = e["tick"]
        self.lines.append(Line(i, word("fig.tick", tick=e["tick"]), clock=True))


# --------------------------------------------------------------------------- words


def _ready(what: list[str]) -> str:
    return word("fig.comma").join(form(f"fig.ready.{one}", one) for one in what)


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
        sized = e["type"] in ("DATA", "UDP")
        return word("fig.data", type=e["type"], size=e["size"]) if sized else str(e["type"])
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
    return word("fig.and", a=what, b=word("fig.session", session=e["session"])) if e["session"] else what


_SOCKET_MESSAGES = {"DATA": 1, "CONNECT": 2, "CLOSE": 3, "ACCEPT": 4, "ERROR": 5, "UDP": 6, "WARNING": 7}


def handler_words(e: Event) -> str:
    """What a new coroutine does with a message."""
    if e.get("type") in _SOCKET_MESSAGES:
        return f"socket_message[{_SOCKET_MESSAGES[e['type']]}]"
    return message_words(e)
