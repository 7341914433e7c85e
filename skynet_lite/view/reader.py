"""Reads events in order into what a picture shows: stretches, marks and arrows.

One idea: a moment is the index of an event, a place is a lane; where on the page they
stand is decided later. So whatever draws next can begin from here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..trace.kinds import command, node_of, rule_for
from ..trace.parked import socket_waits
from ..trace.shapes import home
from .forms import count, form, word
from .lanes import CLIENTS, MAILBOX, MANY_CLIENTS, SOCKET, TIMER, LaneKey
from .messages import handler_words, in_python, message_words, push_words

if TYPE_CHECKING:
    from ..trace import Trace

Event = dict[str, Any]


@dataclass(frozen=True)
class Stretch:
    """What a lane does for a while. `start`, `stop`: moments; None is the edge of the picture.

    `label` says all of it, `short` what there is room for in a crowd.
    """

    lane: LaneKey
    start: int | None
    stop: int | None
    kind: str  # run, parked, due, pool, queued, work, pending; beside those of a coroutine: tag
    label: str = ""
    short: str = ""


@dataclass(frozen=True)
class Mark:
    """What happens in a lane at one moment."""

    lane: LaneKey
    at: int
    kind: str  # as the event, or: error, set, fired, state (of a socket), skip (a wakeup of nobody)
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


class Reader:
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
        self._open: dict[LaneKey, Stretch] = {}  # what a lane does now
        self._askers: set[LaneKey] = set()  # those that take the answers to a request
        self._tags: dict[LaneKey, Stretch] = {}  # the trace tag that it works under
        self._message: dict[str, int] = {}  # service → its last message
        self._yielded: dict[str, tuple[int, str]] = {}  # service → its last yield and who
        self._running: dict[str, str] = {}
        self._forks: dict[LaneKey, tuple[int, LaneKey]] = {}
        self._parked: dict[tuple[str, int], Stretch] = {}  # service, session → the wait for it
        self._come: set[tuple[str, int]] = set()  # service, session: responses and errors that nobody has taken yet
        self._woken: dict[LaneKey, int] = {}  # how many of its wakeups are in wakeup_queue, to be taken while it sleeps
        self._skipped = {e["cause"] for e in self.events if e["e"] == "wakeup_skip" and "cause" in e}
        self._queued: dict[int, tuple[LaneKey, int]] = {}  # push into the error queue → where it came from
        # Of a real skynet nobody tells when a timer fires: it has when its message is taken.
        fires = ("timer_fired", "message") if trace.foreign else ("timer_fired",)
        self._fired = {e["cause"]: i for i, e in enumerate(self.events) if e["e"] in fires and "cause" in e}
        self._brought = {e["cause"]: e for e in trace.events if e["e"] == "message" and "cause" in e}
        self._sent: dict[tuple[str, Any], str] = {}  # service, session → whom a call asks
        self._ticks: dict[tuple[str, int], int] = {}  # service, session → the length of its timer
        self._told: int | None = None  # the socket whose state was told last
        self._pools: dict[str, dict[int, str]] = {}  # service → its socket_pool
        self._queues: dict[str, dict[int, list[str]]] = {}  # service → its critical sections
        # What the real clock shows at an event is not recorded, so how long a timer runs is not known.
        self._now: dict[str, int | None] = {
            name: None if name in trace.stamps or node.get("origin") else node.get("now", None if name else 0)
            for name, node in trace.nodes.items()
        }
        for service, tables in trace.snapshot.get("services", {}).items():
            if service in shown:
                self._begin(service, tables)
        for i, event in enumerate(self.events):
            self._read(i, event)
        self.stretches += [*self._open.values(), *self._tags.values()]

    def _begin(
        self, service: str, tables: dict[str, Any], at: int | None = None, places: dict[str, str] | None = None
    ) -> None:
        """Who was parked, or free, when the recording began, at event `at` if not with the whole trace."""
        self._pools[service] = dict(tables.get("socket_pool", {}))
        self._queues[service] = {n: list(queue) for n, queue in tables.get("queue", {}).items()}
        sleeping = tables.get("sleep_session", {})
        calls = tables.get("watching_session", {})
        for message in map(str.split, tables.get("mailbox", ())):
            if message[0] in ("response", "error"):
                self._come.add((service, int(message[1])))
        for co in tables.get("wakeup_queue", ()):
            self._woken[service, co] = self._woken.get((service, co), 0) + 1
        for session, co in tables.get("session_id_coroutine", {}).items():
            if session in calls:
                self._sent[service, session] = calls[session]
            if co != "BREAK":
                what = "SLEEP" if co in sleeping else "CALL" if session in calls else ""
                words = self._waits(service, co, what, session)
                self._park((service, co), session, at, words, (places or {}).get(co))
        for co in tables.get("fork_queue", ()):
            self._enter((service, co), "due", at, "fork_queue")
        for co, tag in tables.get("session_coroutine_tracetag", {}).items():
            self._tag((service, co), at, tag)
        for co in tables.get("coroutine_pool", ()):
            self._enter((service, co), "pool", at, word("fig.pool"))

    def _read(self, i: int, event: Event) -> None:
        rule = rule_for(self, event, "on_")
        service = event.get("service", "")
        if rule is not None and (service in self.shown or event["e"] in ("client", "clock", "mark")):
            rule(i, event, service)

    # ---- lanes and stretches

    def _lane(self, service: str, co: str | None) -> LaneKey:
        """Where a coroutine works; `main`, the scheduler itself, works for the mailbox."""
        key = (service, MAILBOX if co in (None, "main") else str(co))
        self.order.setdefault(key, len(self.order))
        return key

    def _enter(self, key: LaneKey, kind: str, at: int | None, label: str = "", place: str | None = None) -> None:
        self._leave(key, at)
        self.order.setdefault(key, len(self.order))
        told = word("fig.at", what=label, place=place) if place else label
        self._open[key] = Stretch(key, at, None, kind, told, label)

    def _leave(self, key: LaneKey, at: int | None) -> None:
        if key in self._open:
            done = replace(self._open.pop(key), stop=at)
            if done.start is None or done.start != at:
                self.stretches.append(done)

    def _park(self, key: LaneKey, session: int, at: int | None, label: str, place: str | None = None) -> None:
        """It waits for `session`; if that has come already, or a wakeup has, only for its turn."""
        if (key[0], session) in self._come or self._woken.get(key):
            self._enter(key, "due", at, "wakeup_queue" if self._woken.get(key) else word("fig.legend.queued"))
        else:
            self._enter(key, "parked", at, label, place)
            self._parked[key[0], session] = self._open[key]

    def _due(self, wait: Stretch | None, at: int, queue: str) -> None:
        """A wait is over, if it is not over already: it is its turn in this queue that the coroutine waits for now."""
        if wait is not None and wait.kind == "parked" and self._open.get(wait.lane) is wait:
            self._enter(wait.lane, "due", at, queue)

    def _comes(self, service: str, at: int, e: Event) -> None:
        """A message lies in a mailbox: a response, or an error, makes somebody due."""
        if e["ptype"] in ("response", "error"):
            self._come.add((service, e["session"]))
            self._due(self._parked.pop((service, e["session"]), None), at, word("fig.legend.queued"))

    def _tag(self, key: LaneKey, at: int | None, tag: str | None) -> None:
        if key in self._tags:
            self.stretches.append(replace(self._tags.pop(key), stop=at))
        if tag is not None:
            self._tags[key] = Stretch(key, at, None, "tag", tag, tag)

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
        self._come.discard((service, e.get("session", 0)))
        key = self._lane(service, None)
        if "cause" in e and node_of(self.events[e["cause"]]) != node_of(e):
            self._wire(e["cause"], key, i)
        elif "cause" in e and self.events[e["cause"]].get("tick") and "tick" not in e:  # a timer of a real skynet
            self._arrow((home(service), TIMER), i, key, i, "timer", message_words(e))
        elif "cause" in e:
            self.stretches.append(Stretch(key, e["cause"], i, "queued"))
        self._mark(key, i, "message", "" if "cause" in e else message_words(e))

    on_load = on_message

    def on_co_create(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        if e["how"] == "new":
            start = e["for"] == "timeout" and e["co"] == "co1" and e["in"] == "main"
            self.roles[key] = word("fig.start") if start else form(f"fig.made.{e['for']}", e["for"])
        if e["for"] != "message":  # whose handler is resumed at once
            self._enter(key, "due", i, "fork_queue" if e["for"] == "fork" else "")
        if e["for"] in ("request", "other"):
            self._askers.add(key)
        if e["for"] == "fork":
            self._forks[key] = (i, self._lane(service, e["in"]))

    def on_resume(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        self._enter(key, "run", i)
        self._running[service] = e["co"]
        by, cause, label = str(e["by"]), e.get("cause"), ""
        source, since = key, None
        match by:
            case "raw_dispatch_message":
                source, since = self._lane(service, None), self._message.get(service) if cause is None else cause
                if since is not None and e["args"] != [True]:
                    label = handler_words(self.events[since])
            case "dispatch_wakeup":
                self._woken[key] = self._woken.get(key, 1) - 1
                # Queued by wakeup, whose arrow is drawn there; what runs it is the suspend of whoever yielded last.
                since, who = self._yielded.get(service, (None, ""))
                source = self._lane(service, who)
                if who == e["co"]:
                    label = by  # woken twice: it goes on as soon as it sleeps, and an arrow would have no length
            case "fork":
                since, source = self._forks.pop(key, (None, key))
            case "dispatch_error_queue":
                message = (self._lane(service, None), self._message.get(service))
                source, since = self._queued.get(-1 if cause is None else cause, message)
        if since is not None:
            kind = {"raw_dispatch_message": "dispatch", "dispatch_error_queue": "failed"}.get(by, by)
            self._arrow(source, since, key, i, kind, by)
        if not label and e["args"] and by != "co_create":
            label = f"resume({', '.join('…' if a == 'response' else in_python(a) for a in e['args'])})"
        self._mark(key, i, "resume", label)

    def _stops(self, i: int, e: Event, service: str) -> LaneKey:
        """A coroutine runs no more; whatever the scheduler does next, it does for that one."""
        key = self._lane(service, e["co"])
        self._leave(key, i)
        self._running.pop(service, None)
        self._yielded[service] = (i, e["co"])
        return key

    def on_yield(self, i: int, e: Event, service: str) -> None:
        key, what = self._stops(i, e, service), command(e)
        if what in ("SLEEP", "CALL"):
            self._park(key, e["session"], i, self._waits(service, e["co"], what, e["session"]), e.get("at"))
            self._mark(key, i, "yield", f'yield "{e["command"]}", {e["session"]}')
        elif what is None:
            self._enter(key, "due", i, "fork_queue" if key in self._forks else "")
            self._mark(key, i, "yield")
        else:
            if what == "EXIT":
                self._enter(key, "pool", i, word("fig.pool"))
            elif what in ("SUSPEND", "OTHER"):
                self._enter(key, "parked", i, word("fig.answers"))
            elif what != "QUIT":
                self._enter(key, "due", i)  # suspend answers for it, and resumes it at once
            self._mark(key, i, "yield", f'yield "{e["command"]}"')

    def on_wakeup(self, i: int, e: Event, service: str) -> None:
        waker = self._lane(service, e["in"])
        if e["queued"] and e["co"]:
            key = self._lane(service, e["co"])
            self._woken[key] = self._woken.get(key, 0) + (i not in self._skipped)
            self._due(self._open.get(key), i, "wakeup_queue")
            self._mark(waker, i, "wakeup")
            self._arrow(waker, i, key, i, "wakeup", "wakeup →\nwakeup_queue")
        else:
            self._mark(waker, i, "skip", word("fig.not_sleeping", co=e["co"] or "?"))

    def on_wakeup_skip(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        if "cause" not in e:  # in a recording of the real skynet
            self._woken[key] = self._woken.get(key, 1) - 1
        self._mark(key, i, "skip", word("fig.no_more"))

    def on_mark(self, i: int, e: Event, service: str) -> None:
        if service in self.shown and ("service" in e or e.get("co") not in (None, "main")):
            self._mark(self._lane(service, e.get("co")), i, "mark", e["text"])
        elif not service:
            self.lines.append(Line(i, f"{e['node']}: {e['text']}" if "node" in e else e["text"]))

    def on_co_error(self, i: int, e: Event, service: str) -> None:
        self._mark(self._stops(i, e, service), i, "error", word("fig.raises", error=e["error"]))

    def on_kill(self, i: int, e: Event, service: str) -> None:
        key = self._lane(service, e["co"])
        self._leave(key, i)
        self._mark(key, i, "exit", word("fig.killed"))

    def on_tracetag(self, i: int, e: Event, service: str) -> None:
        self._tag(self._lane(service, e["co"]), i, e["tag"])

    def on_fork(self, i: int, e: Event, service: str) -> None:
        self._forks[self._lane(service, e["co"])] = (i, self._lane(service, e["in"]))

    def on_send(self, i: int, e: Event, service: str) -> None:
        if e["in"] != "main":
            self._sent[service, e["session"]] = e["to"]
        message = self._brought.get(i)
        if message is not None and message.get("service") in self.shown:
            # A recording of the real skynet: nobody noted the push, but it is what a send does.
            key = self._lane(message["service"], None)
            self._comes(message["service"], i, message)
            self._mark(key, i, "push")
            self._arrow(*self._sender(i, e), key, i, "send", push_words(message, message))

    def on_table(self, i: int, e: Event, service: str) -> None:
        if e["table"] == "session_id_coroutine" and e["op"] == "set":
            key = self._lane(service, e.get("co"))
            if key in self._open and self._open[key].kind == "due":
                since, ticks = self._open.pop(key).start, self._ticks.get((service, e["session"]))
                words = word("fig.answers" if key in self._askers else "fig.timer.of", session=e["session"])
                words = word("fig.and", a=words, b=count(ticks, "tick")) if ticks else words
                self._park(key, e["session"], since, words)
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
            self._due(self._parked.get((service, e["session"])), i, "error_queue")

    def on_exit(self, i: int, e: Event, service: str) -> None:
        for key in [key for key, open_ in self._open.items() if key[0] == service and open_.kind != "run"]:
            self._leave(key, i)  # who runs now runs on to its QUIT
        for key in [key for key in self._tags if key[0] == service]:
            self._tag(key, i, None)
        self._mark(self._lane(service, None), i, "exit", word("fig.exit"))

    def on_begin(self, i: int, e: Event, service: str) -> None:
        self._begin(service, e["tables"], i, e["places"])
        self._mark(self._lane(service, None), i, "begin", word("fig.begin"))

    def on_end(self, i: int, e: Event, service: str) -> None:
        for key in [key for key in self._open if key[0] == service]:
            self._leave(key, i)
        self._mark(self._lane(service, None), i, "end", word("fig.end"))

    # ---- messages

    def on_push(self, i: int, e: Event, service: str) -> None:
        key, cause = self._lane(service, None), e.get("cause", -1)
        by = self.events[cause] if cause >= 0 else {"e": ""}
        from_here = by.get("service", "") in self.shown
        words, label = push_words(e, self._brought.get(i)), ""
        self._comes(service, i, e)
        match by["e"]:
            case "command" | "ready" if from_here:
                self.stretches.append(Stretch((home(service), SOCKET), cause, i, "work"))
                self._arrow((home(service), SOCKET), cause, key, i, "socket", words)
            case "timer_fired":
                self._arrow((home(service), TIMER), cause, key, i, "timer", words)
            case "timer_set" if by["in"] != "main":
                at_once = word("fig.at_once", session=e["session"])
                self._arrow(self._lane(service, by["in"]), cause, key, i, "timer", at_once)
            case "send" if from_here and self._sender(cause, by)[0] != key:
                self._arrow(*self._sender(cause, by), key, i, "send", words)
            case _:
                label = {"outside": word("fig.from_outside", what=words), "launch": "launch"}.get(e["by"], words)
        self._mark(key, i, "push", label)

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
        self._mark((home(service), SOCKET), i, "command")
        if "cause" in e:
            by = self.events[e["cause"]]
            lane = self._lane(service, by.get("co"))
            self._arrow(lane, e["cause"], (home(service), SOCKET), i, "driver", f"driver.{e['command']}({e['id']})")

    def on_ready(self, i: int, e: Event, service: str) -> None:
        key = (home(service), SOCKET)
        self._mark(key, i, "ready", word("fig.ready", id=e["id"], what=_ready(e["what"])))
        if "cause" in e:
            self._wire(e["cause"], key, i)

    def _wire(self, since: int, key: LaneKey, at: int) -> None:
        """What another node has sent arrives in the lane `key`."""
        by = self.events[since]
        service, words = by.get("service", ""), str(by.get("command", "close"))
        if "size" in by:
            words = word("fig.bytes", n=by["size"])
        source = self._lane(service, by["co"]) if by["e"] == "driver" else (home(service), SOCKET)
        self._arrow(source, since, key, at, "wire", words)

    def on_socket(self, i: int, e: Event, service: str) -> None:
        if "cause" in e:
            last = self.marks[-1] if self.marks else None
            if last is not None and (last.at, last.kind) == (e["cause"], "state") and self._told == e["id"]:
                self.marks.pop()  # one cause, several states: the last one counts
            self._told = e["id"]
            self._mark((home(service), SOCKET), e["cause"], "state", word("fig.state", id=e["id"], state=e["state"]))

    def on_write(self, i: int, e: Event, service: str) -> None:
        words = word("fig.wrote" if e["sent"] == e["size"] else "fig.wrote.part", sent=e["sent"], size=e["size"])
        self._mark((home(service), SOCKET), i, "write")
        self._arrow(self._lane(service, e["co"]), i, (home(service), SOCKET), i, "write", words)

    def on_timer_set(self, i: int, e: Event, service: str) -> None:
        if not e["tick"]:
            if i in self._brought:  # of a real skynet, where no push follows
                key, at_once = self._lane(service, None), word("fig.at_once", session=e["session"])
                self._mark(key, i, "push")
                self._arrow(self._lane(service, e["in"]), i, key, i, "timer", at_once)
            return
        key = (home(service), TIMER)
        session = words = word("fig.session", session=e["session"])
        if (now := self._now[home(service)]) is not None:
            self._ticks[service, e["session"]] = e["tick"] - now
            words = word("fig.and", a=count(e["tick"] - now, "tick"), b=session)
        self._mark(key, i, "set")
        self._arrow(self._lane(service, e["in"]), i, key, i, "timer", words)
        self.stretches.append(Stretch(key, i, self._fired.get(i), "pending", session))

    def on_timer_fired(self, i: int, e: Event, service: str) -> None:
        self._mark((home(service), TIMER), i, "fired")

    def on_client(self, i: int, e: Event, service: str) -> None:
        own = (node_of(e), CLIENTS if self._one_client_lane else e["client"])
        self.order.setdefault(own, len(self.order))
        number, _, unit = e["detail"].partition(" ")
        detail = word("fig.bytes", n=number) if unit == "bytes" else e["detail"]
        self._mark(own, i, "client", f"{e['action']} {detail}".strip())

    def on_clock(self, i: int, e: Event, service: str) -> None:
        self._now[node_of(e)] = e["tick"]
        self.lines.append(Line(i, f"{e.get('node', '')} {word('fig.tick', tick=e['tick'])}".strip(), clock=True))


def _ready(what: list[str]) -> str:
    return word("fig.comma").join(form(f"fig.ready.{one}", one) for one in what)
