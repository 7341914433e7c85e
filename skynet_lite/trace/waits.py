"""Who waits for whom: the wait-for graph, read from the tables at one moment.

One idea: a parked coroutine has an entry in `session_id_coroutine`, and the other
tables say who can bring that session: a coroutine of another service that serves
the call, a message on its way, a timer, a socket, whoever is inside a critical
section. A circle in this graph is a deadlock.

Works on the tables of a trace (`trace.waits(i)`) and of a live node (`node.waits()`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..doors import door
from .kinds import Event, command as yields
from .language import told
from .parked import socket_waits
from .shapes import apart, home, is_address
from .text import cells, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Who = tuple[str, str]  # service and coroutine
Behind = dict[tuple[str, str | int], Who]
"""Who has to go on first, where no table says it: caller and session of a start that the launcher has not answered →
the start function; a coroutine of service_mgr that waits for a launch, a request that service_provider keeps → the
coroutine that launches."""
_MAIL = re.compile(r"(\S+) (\d+) (\S*:.*)")  # mail_label: type, session, source


@dataclass(frozen=True)
class Wait:
    """One parked coroutine. `kind`: call, offload, queue, socket, timer, sleep.

    `state` of a call: served (by `target`), starting (`target`), queued (the request lies in a mailbox),
    coming (the answer does), kept (a response function holds it),
    taken (and the stream of who took it ends there), nobody, unknown.
    `named`: name and address of the service that was called, `id`: the socket or the
    critical section, `function`: of socket.py, `tick`: when the timer fires, None if it
    has, 0 if nobody knows (of a real skynet), `starts`: name and address of a service whose
    start it waits for. `place`: the line it is parked at, if known. `said`: what is waited
    for, where no table told it; `guess`: the evidence that `target` or `to` rests on, if that
    is no proof.
    """

    service: str
    co: str
    session: int
    kind: str
    state: str = ""
    target: Who | None = None
    to: str = ""  # the service that was called
    place: str = ""
    named: str = ""
    id: int = 0
    function: str = ""
    tick: int | None = None
    starts: str = ""
    said: str = ""
    guess: str = ""

    @property
    def who(self) -> Who:
        return self.service, self.co

    @property
    def on(self) -> str:
        """What is waited for, in words."""
        if self.said:
            return self.said
        kind = {None: "fired", 0: "timed"}.get(self.tick, "timer") if self.kind == "timer" else self.kind
        kind = "turn" if kind == "sleep" and self.target is not None else kind
        fields = vars(self) | {"by": self.target[1] if self.target else ""}
        return told(f"wait.{kind}", **fields) + (told(f"wait.{self.state}", **fields) if kind == "call" else "")


class Waits(list[Wait]):
    """The wait-for graph: a list of its `Wait`s, to be printed or to `draw`."""

    def __init__(
        self, tables: dict[str, Any], places: dict[Who, str] | None = None, behind: Behind | None = None,
        edges: Iterable[Wait] | None = None,
    ) -> None:  # fmt: skip
        """`edges`: what was read elsewhere; the tables then need no more than the names of the services."""
        self.behind: Behind = behind or {}
        own = (edge for one in apart(tables) for edge in _edges(one, places or {}, self.behind))
        super().__init__(own if edges is None else edges)
        self.names = {address: str(t.get("name", "")) for address, t in tables["services"].items()}
        self._by_who = {wait.who: wait for wait in self}

    def of(self, service: str, co: str) -> Wait | None:
        """What a coroutine waits for; None if it is not parked."""
        return self._by_who.get((service, co))

    def circles(self) -> list[list[Wait]]:
        """The circles: each waits for the next, the last for the first. Each is named once. DOC: wait-circles"""
        found, seen = [], set[Who]()
        for wait in self:
            path: list[Wait] = []
            here: Wait | None = wait
            while here is not None and here not in path and here.who not in seen:
                path.append(here)
                here = self.next(here)
            if here is not None and here in path:
                found.append(path[path.index(here) :])
            seen |= {one.who for one in path}
        return found

    def chain(self, wait: Wait) -> list[Wait]:
        """The wait, what its target waits for, and so on; ends where a target is not parked, or came before."""
        path: list[Wait] = []
        here: Wait | None = wait
        while here is not None and here not in path:
            path.append(here)
            here = self.next(here)
        return path

    def next(self, wait: Wait) -> Wait | None:
        """What the target of a wait waits for itself."""
        return None if wait.target is None else self._by_who.get(wait.target)

    def label(self, who: Who) -> str:
        return told("found.by", co=who[1], name=self.named(who[0]), at="")

    def named(self, service: str) -> str:
        return named(self.names.get(service, ""), service)

    def draw(self, **options: Any) -> Figure:
        """A matplotlib figure; see view.waits.draw for the options."""
        figure: Figure = door("waits")(self, **options)
        return figure

    def __str__(self) -> str:
        if not self:
            return told("wait.none")
        rows = [(self.label(w.who), told("wait.session", session=w.session), w.on) for w in self]
        places = [
            (told("wait.place", place=w.place) if w.place else "")
            + (told("wait.guess", guess=w.guess) if w.guess else "")
            for w in self
        ]
        widths = [max(cells(row[k]) for row in rows) for k in range(3)]
        lines = ("  ".join([*map(fit, row, widths), place]) for row, place in zip(rows, places, strict=True))
        return "\n".join(line.rstrip() for line in lines)

    def __repr__(self) -> str:
        return f"<Waits: {len(self)} parked coroutines, {len(self.circles())} circles>"


def named(name: str, address: str) -> str:
    """Name and address; in a recording of the real skynet they are the same."""
    return f"{name} {address}" if name and name != address else address


def behind(events: Iterable[Event], names: dict[str, str]) -> Behind:
    """Read from the messages of launcher, service_mgr and service_provider."""
    last: dict[str, Event] = {}  # the message that each service took last
    asked: dict[Who, list[Any]] = {}  # what each coroutine is serving
    starts: dict[str, str] = {}  # the coroutine of each start function
    born: dict[str, tuple[str, int]] = {}
    named_in: dict[tuple[str, int], str] = {}  # what each request to service_provider is about
    launchers = {home(address): address for address, name in names.items() if name == "launcher"}
    for e in events:
        kind, service = e["e"], e.get("service", "")
        if kind == "message":
            last[service] = e
            if names.get(service) == "service_provider":
                named_in[e["source"], e["session"]] = f"{[*e.get('body', []), '', ''][1]} of service.new"
        elif kind == "resume" and e["args"] == ["request"] and service in last:
            asked[service, e["co"]] = last[service].get("body", [])
        elif kind in ("co_error", "kill") or (kind == "yield" and yields(e) == "EXIT"):
            asked.pop((service, e["co"]), None)
        elif kind == "birth" and (launcher := launchers.get(home(service), "")) in last:
            what, *words = map(str, last[launcher].get("body", [""]))
            if what in ("LAUNCH", "LOGLAUNCH") and f"{e['label']} ".startswith(" ".join(words[:2]) + " "):
                born[service] = last[launcher]["source"], last[launcher]["session"]
        elif kind == "co_create" and (e["for"], e["in"]) == ("timeout", "main") and service not in last:
            starts[service] = e["co"]
    found: Behind = {asks: (service, starts[service]) for service, asks in born.items() if service in starts}
    launches: dict[str, Who] = {}
    for who, body in asked.items():
        if names.get(who[0]) == "service_provider" and body[:1] == ["launch"]:
            launches.setdefault(f"{body[1]} of service.new", who)
    found |= {asks: launches[name] for asks, name in named_in.items() if name in launches}
    for who, (command, *words) in ((who, body) for who, body in asked.items() if len(body) > 1):
        if names.get(who[0]) == "service_mgr":
            name = ("@" if str(command).startswith("G") else "") + str(words[0])
            name += f" {words[1:2]}" if name.endswith("snaxd") else ""
            if str(command).endswith("LAUNCH"):
                launches.setdefault(name, who)
            if launches.get(name, who) != who:
                found[who] = launches[name]
    return found


def _edges(tables: dict[str, Any], places: dict[Who, str], behind: Behind) -> Iterator[Wait]:
    services = tables["services"]
    timers = {(service, session): tick for tick, service, session in tables.get("timers", ())}
    answers = _answerer(services)
    cut = tables.get("cut", {})  # what these services did last is not known
    taken = {(source, session) for source, session, _ in cut.values()}
    for address, t in services.items():
        asleep = set(t.get("sleep_session", {}))
        sockets = socket_waits(t.get("socket_pool", {}))
        for session, co in t.get("session_id_coroutine", {}).items():
            if co == "BREAK":
                continue
            place = places.get((address, co), "")
            to = t.get("watching_session", {}).get(session)
            tick = timers.get((address, session))
            state, target = answers.get((address, session), ("", None))
            if to is not None:
                # A name, another node, a service without coroutines: what goes on there is not in the tables.
                known = is_address(to) and (to not in services or "session_coroutine_id" in services[to])
                known = known and not cut.keys() & {address, to}
                state = state or ("taken" if (address, session) in taken else "nobody" if known else "unknown")
                called, starts = named(services.get(to, {}).get("name", ""), to), ""
                if state == "kept" and (address, session) in behind:
                    target = behind[address, session]
                    if target[0] != to:
                        state, starts = "starting", named(services.get(target[0], {}).get("name", ""), target[0])
                kind = "offload" if to.startswith("offload ") else "call"  # a thread, and what it runs
                yield Wait(address, co, session, kind, state, target, to, place, called, starts=starts)
            elif co in sockets:
                id, function = sockets[co]
                yield Wait(address, co, session, "socket", place=place, id=id, function=function)
            elif (holder := _holder(t, co)) is not None:
                yield Wait(address, co, session, "queue", target=(address, holder[1]), place=place, id=holder[0])
            elif tick is None and co in asleep and state != "coming":
                target = behind.get((address, co))
                yield Wait(address, co, session, "sleep", target=target, place=place)
            else:
                yield Wait(address, co, session, "timer", place=place, tick=tick)


def _answerer(services: dict[str, Any]) -> dict[tuple[str, int], tuple[str, Who | None]]:
    """Who can still answer each call: caller and session → state of the call, and who serves it.

    A request may have been passed on, so all services are asked. DOC: who-can-answer
    """
    kept, queued, served, coming = (dict[tuple[str, int], tuple[str, Who | None]]() for _ in range(4))
    for address, t in services.items():
        for session, caller in t.get("unresponse", ()):
            kept[caller, session] = "kept", None
        for co, session in t.get("session_coroutine_id", {}).items():
            if session and co not in t["session_response"]:
                served[t["session_coroutine_address"][co], session] = "served", (address, co)
        for ptype, session, source in (m.groups() for m in map(_MAIL.fullmatch, t.get("mailbox", ())) if m):
            if ptype in ("response", "error"):
                coming[address, int(session)] = "coming", None
            else:
                queued[source, int(session)] = "queued", None
        for session in t.get("error_queue", ()):
            coming[address, session] = "coming", None
    return kept | queued | served | coming


def _holder(t: dict[str, Any], co: str) -> tuple[int, str] | None:
    """The critical section that a coroutine waits for, and who is inside."""
    for number, members in t.get("queue", {}).items():
        if co in members[1:]:
            return number, members[0]
    return None
