"""Verdicts: what went wrong in a run, said in plain sentences with the line of code.

One idea: everything needed to judge a run is in its trace. A *fault* can be proved
from it; a *suspicion* says what would excuse it. Nothing depends on garbage
collection, and nothing on time, but for dispatches that a real clock saw take too
long.

Some findings happen at an event (a handler ends without `ret`); others stand at the
end of the trace (a call that nobody can answer any more, a circle of waits).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .events import Event
from .state import Tables
from .waits import Wait, Waits, Who

if TYPE_CHECKING:
    from .trace import Trace

FAULT, SUSPICION = "fault", "suspicion"
SLOW = 0.1
"""Seconds after which the dispatch of one message is too long."""
CROWD = 100
"""Messages in a mailbox that are many."""


@dataclass(frozen=True)
class Verdict:
    """One finding. `grade`: fault or suspicion; `kind`: a short name for it.

    `event`: where in the trace it shows; None if it was read from live tables.
    `place`: the line of code; `excuse`: what would make a suspicion harmless.
    """

    grade: str
    kind: str
    text: str
    event: int | None = None
    service: str = ""
    co: str = ""
    place: str = ""
    excuse: str = ""

    def __str__(self) -> str:
        at = f" [event {self.event}]" if self.event is not None else ""
        excuse = f" Harmless if {self.excuse}." if self.excuse else ""
        return f"{self.grade}: {self.text}{excuse}{at}"


class Verdicts(list[Verdict]):
    """Findings in the order of their events; prints one a line."""

    @property
    def faults(self) -> list[Verdict]:
        return [v for v in self if v.grade == FAULT]

    @property
    def suspicions(self) -> list[Verdict]:
        return [v for v in self if v.grade == SUSPICION]

    def kinds(self) -> list[str]:
        """Grade and kind of each, for comparing: `["fault unanswered"]`."""
        return [f"{v.grade} {v.kind}" for v in self]

    def __str__(self) -> str:
        return "\n".join(map(str, self)) if self else "nothing found"

    def __repr__(self) -> str:
        return str(self)


def judge(trace: Trace, slow: float = SLOW) -> Verdicts:
    """All findings in a trace. `slow`: seconds after which the dispatch of a message is too long.

    DOC: judge
    """
    walk = _Walk(trace, slow)
    found = list(walk.happened())
    found += standing(walk.tables.view(), walk.places, walk, foreign=bool(trace.origin))
    found.sort(key=lambda v: (v.event is None, v.event or 0))
    return Verdicts(found)


class _Walk:
    """Goes through a trace once, finds what happened, and remembers what the end has to be judged by."""

    def __init__(self, trace: Trace, slow: float) -> None:
        self.trace = trace
        self.slow = slow
        self.names = trace.names()
        self.tables: Tables = trace.tables()
        self.places: dict[Who, str] = {}  # where each coroutine yielded last
        self.yields: dict[Who, int] = {}
        self.runs: dict[Who, str] = {}  # where its task begins
        self.ptype: dict[str, str] = {}  # of the message that each service dispatches
        self.answered: set[Who] = set()
        self.forgotten: dict[tuple[str, int], int] = {}  # caller and session → the EXIT that owed it an answer
        self.ignored: dict[tuple[str, int], int] = {}
        self.promised: dict[tuple[str, int], tuple[int, str]] = {}  # caller and session → event, place of response()
        self.gone: dict[str, int] = {}
        self.sockets: dict[int, int] = {}  # socket → its last change of state
        self.lengths: dict[str, list[int]] = {}  # mailboxes at each quarter of the trace

    def happened(self) -> Iterator[Verdict]:
        events = self.trace.events
        quarters = {len(events) * k // 4 for k in (1, 2, 3)} if len(events) >= 40 else set()
        found: dict[tuple[Any, ...], list[Any]] = {}  # the same line over and over is one finding, and its number
        for i, e in enumerate(events):
            if i in quarters:
                for address, t in self.tables.all["services"].items():
                    self.lengths.setdefault(address, []).append(len(t["mailbox"]))
            rule = getattr(self, "_" + e["e"], None)
            verdict = rule(i, e, e.get("service", "")) if rule is not None else None
            self.tables.apply(e)
            if verdict is not None:
                key = (verdict.kind, verdict.service, verdict.place or verdict.event)
                found.setdefault(key, [verdict, 0])[1] += 1
        for verdict, n in found.values():
            yield verdict if n == 1 else replace(verdict, text=f"{verdict.text[:-1]} ({n} times).")

    def name(self, service: str) -> str:
        name = self.names.get(service, "")
        return f"{name} {service}" if name and name != service else service or "outside"

    def _caller(self, service: str, co: str) -> tuple[int, str]:
        """Session and source of the request that a coroutine serves; (0, "") if it serves none."""
        t = self.tables.all["services"].get(service, {})
        return t.get("session_coroutine_id", {}).get(co, 0), t.get("session_coroutine_address", {}).get(co, "")

    def _still_waits(self, source: str, session: int) -> bool:
        services = self.tables.all["services"]
        if source in services:
            waiting = services[source].get("session_id_coroutine", {}).get(session)
            return waiting is not None and waiting != "BREAK"
        return source == ":00000000" or bool(self.trace.origin)

    # ---- findings that happen

    def _yield(self, i: int, e: Event, service: str) -> Verdict | None:
        who, command = (service, e["co"]), e["command"]
        self.yields[who] = i
        self.places[who] = e.get("at", "")
        session, source = self._caller(service, e["co"])
        verdict = None
        if command in ("RETURN", "RESPONSE"):
            if who in self.answered and (session or command == "RESPONSE"):
                verdict = self._fault(
                    "answered twice", i, who, f"answers session {session} of {self.name(source)} a second time"
                )
            if command == "RESPONSE" and session:
                self.promised[source, session] = (i, e.get("at", ""))
            self.answered.add(who)
        elif command == "QUIT":
            self.gone[service] = i
        elif command == "EXIT":
            if session and who not in self.answered and self._still_waits(source, session):
                self.forgotten[source, session] = i
                verdict = self._fault(
                    "no answer", i, who,
                    f"ended without skynet.ret, although {self.name(source)} waits for session {session}",
                    self.runs.get(who, ""),
                )  # fmt: skip
            self.answered.discard(who)
        return verdict

    def _co_create(self, i: int, e: Event, service: str) -> None:
        self.runs[service, e["co"]] = e.get("runs", "")

    def _co_error(self, i: int, e: Event, service: str) -> Verdict:
        self.answered.discard((service, e["co"]))
        return self._fault("raised", i, (service, e["co"]), f"raised {e['error']!r}, and nobody caught it", e.get("at"))

    def _wakeup(self, i: int, e: Event, service: str) -> Verdict | None:
        if e["queued"]:
            return None
        whom = f"wakeup({e['co']})" if e.get("co") else "wakeup of a token"
        return Verdict(
            SUSPICION, "wakeup of nobody",
            f"{self._who(service, e['in'], e.get('at'))} called {whom}, but it did not sleep; that is not remembered.",
            i, service, e["in"], e.get("at", ""), "whoever is to be woken looks at the facts before it sleeps",
        )  # fmt: skip

    def _wakeup_skip(self, i: int, e: Event, service: str) -> Verdict:
        return Verdict(
            SUSPICION, "woken twice",
            f"{e.get('co') or 'a token'} of {self.name(service)} stood in wakeup_queue, but slept no more when its "
            "turn came; what stood behind it waits for the next message.",
            i, service, e.get("co") or "", excuse="nothing was behind it",
        )  # fmt: skip

    def _resume(self, i: int, e: Event, service: str) -> None:
        if e.get("args") == ["request"] and self.ptype.get(service) == "error":
            self.answered.add((service, e["co"]))  # an error message carries the session of a call, and asks nothing

    def _message(self, i: int, e: Event, service: str) -> Verdict | None:
        self.ptype[service] = e["ptype"]
        took = self.trace.took(i)
        if took is None or took <= self.slow:
            return None
        what = e.get("type") or f"{e['ptype']} session {e['session']}"
        return Verdict(
            SUSPICION, "slow dispatch",
            f"the message {what} kept {self.name(service)}, and with it the node, busy for {took:.2f} s.",
            i, service, excuse="nothing else had to run meanwhile",
        )  # fmt: skip

    def _table(self, i: int, e: Event, service: str) -> None:
        if (e["table"], e["op"]) == ("session_id_coroutine", "set"):
            self.yields.setdefault((service, e.get("co", "")), i)  # a timer's coroutine has not yielded yet
        elif (e["table"], e["op"]) == ("session_coroutine_id", "clear"):
            session, source = self._caller(service, e["co"])
            self.ignored[source, session] = i

    def _exit(self, i: int, e: Event, service: str) -> None:
        self.gone[service] = i

    def _socket(self, i: int, e: Event, service: str) -> None:
        self.sockets[e["id"]] = i

    def _who(self, service: str, co: str, place: str | None) -> str:
        return f"{'the scheduler' if co == 'main' else co} of {self.name(service)}" + (
            f" (at {place})" if place else ""
        )

    def _fault(self, kind: str, i: int, who: Who, text: str, place: str | None = None) -> Verdict:
        place = self.places.get(who, "") if place is None else place
        return Verdict(FAULT, kind, f"{self._who(*who, place)} {text}.", i, *who, place)


# --------------------------------------------------------------------------- findings that stand at the end


def standing(
    tables: dict[str, Any], places: dict[Who, str], walk: _Walk | None = None, foreign: bool = False
) -> Iterator[Verdict]:
    """What the tables at one moment show. `walk`: the trace that led there, which knows reasons and events."""
    waits = Waits(tables, places)
    yield from _circles(waits, walk)
    if not foreign:  # a recording of the real skynet has neither mailboxes nor sockets nor timers
        yield from _unanswered(waits, walk)
        yield from _kept(tables, waits, walk)
        yield from _rings(waits, walk)
        yield from _sockets(tables, walk)
        yield from _mailboxes(tables, walk)
    for address, t in tables["services"].items():
        if t.get("wakeup_queue") and (walk is None or address not in walk.gone):
            yield Verdict(
                SUSPICION, "left in wakeup_queue",
                f"{', '.join(t['wakeup_queue'])} of {waits.names[address]} {address} was woken and does not run: the "
                "dispatch had ended by an error, or by an entry that slept no more.",
                None if walk is None else len(walk.trace.events) - 1, address, t["wakeup_queue"][0],
                excuse="another message comes soon",
            )  # fmt: skip


def _event(walk: _Walk | None, who: Who) -> int | None:
    return None if walk is None else walk.yields.get(who)


def _said(waits: Waits, wait: Wait) -> str:
    at = f" (at {wait.place})" if wait.place else ""
    return f"{waits.label(wait.who)}{at} waits for {wait.on}"


def _circles(waits: Waits, walk: _Walk | None) -> Iterator[Verdict]:
    for circle in waits.circles():
        services = {wait.service for wait in circle}
        inside = [wait for wait in circle if wait.kind == "queue"]
        story = "; ".join(_said(waits, wait) for wait in circle)
        if len(services) == 1 and inside:
            kind = "call to oneself in a critical section"
            text = (
                f"{waits.label(circle[0].who).rpartition(' of ')[2]} calls itself inside a critical section: {story}."
            )
        else:
            kind, text = "circle", f"nobody in this circle can go on: {story}."
        events = [n for wait in circle if (n := _event(walk, wait.who)) is not None]
        first = circle[0]
        yield Verdict(FAULT, kind, text, max(events, default=None), first.service, first.co, first.place)


def _unanswered(waits: Waits, walk: _Walk | None) -> Iterator[Verdict]:
    for wait in waits:
        if wait.state != "nobody":
            continue
        key = (wait.service, wait.session)
        if walk is not None and key in walk.forgotten:
            continue  # said where the handler ended
        where, grade, excuse = "", FAULT, ""
        if walk is not None and key in walk.ignored:
            where = f": {wait.to} called skynet.ignoreret for it"
            grade, excuse = SUSPICION, "it kept the session and will answer by other means"
        elif wait.to not in waits.names:
            where = f": {wait.to} was killed while it served it"
        yield Verdict(
            grade, "unanswered",
            f"{waits.label(wait.who)}{f' (at {wait.place})' if wait.place else ''} waits for session {wait.session} of "
            f"its call to {wait.to}, which nobody can answer any more{where}.",
            _event(walk, wait.who), wait.service, wait.co, wait.place, excuse,
        )  # fmt: skip


def _kept(tables: dict[str, Any], waits: Waits, walk: _Walk | None) -> Iterator[Verdict]:
    callers = {(wait.service, wait.session): wait for wait in waits if wait.kind == "call"}
    busy = {service for _, service, _ in tables.get("timers", ())}
    for address, t in tables["services"].items():
        for session, caller in t.get("unresponse", ()):
            waiting = callers.get((caller, session))
            if (waiting is None and caller != ":00000000") or address in busy or t.get("mailbox"):
                continue
            event, place = walk.promised.get((caller, session), (None, "")) if walk is not None else (None, "")
            made = f" made at {place}" if place else ""
            yield Verdict(
                SUSPICION, "response kept",
                f"the response function{made} in {waits.names[address]} {address} has not answered session {session} "
                f"of {waits.label(waiting.who) if waiting is not None else 'a caller outside'}, which waits.",
                event, address, "", place, "something still holds it and will answer",
            )  # fmt: skip


def _rings(waits: Waits, walk: _Walk | None) -> Iterator[Verdict]:
    """A calls B, B calls A back, and there it stands still: not proved, for a wakeup may still come."""
    circled = {wait.who for circle in waits.circles() for wait in circle}
    inner = {wait.target for wait in waits if wait.target is not None}
    for wait in waits:
        chain = waits.chain(wait)
        services = [one.service for one in chain if one.kind == "call"]
        last = chain[-1]
        if wait.who in inner or last.kind not in ("sleep",) or circled & {one.who for one in chain}:
            continue
        if len(services) >= 2 and last.service in services:
            path = " → ".join([waits.names[s] for s in services] + [waits.names[last.service]])
            yield Verdict(
                SUSPICION, "ring of calls",
                f"{path}: {'; '.join(_said(waits, one) for one in chain)}.",
                _event(walk, last.who), last.service, last.co, last.place, "something outside of the ring wakes it",
            )  # fmt: skip


def _sockets(tables: dict[str, Any], walk: _Walk | None) -> Iterator[Verdict]:
    ordered = {id for command, id in tables.get("commands", ())}
    for id, (state, owner) in tables["sockets"].items():
        event = walk.sockets.get(id) if walk is not None else None
        if id in ordered:
            continue
        if state == "paccept":
            yield Verdict(
                SUSPICION, "never started", f"socket {id} was accepted for {owner}, and nobody called socket.start for "
                "it: the client waits, and nothing is read.", event, owner, excuse="a service still has its id and "
                "starts it later",
            )  # fmt: skip
        elif state == "halfclose_read":
            yield Verdict(
                SUSPICION, "half closed", f"the other side of socket {id} of {owner} has finished, and nobody called "
                "socket.close: its descriptor stays open.", event, owner, excuse="there is still something to write",
            )  # fmt: skip


def _mailboxes(tables: dict[str, Any], walk: _Walk | None) -> Iterator[Verdict]:
    for address, t in tables["services"].items():
        n = len(t.get("mailbox", ()))
        before = walk.lengths.get(address, []) if walk is not None else []
        grows = len(before) == 3 and before[0] < before[1] < before[2] < n
        if n >= CROWD and (grows or not before):
            yield Verdict(
                SUSPICION, "mailbox grows",
                f"{n} messages wait in the mailbox of {t['name']} {address}"
                + (f", after {', '.join(map(str, before))} at the quarters of the trace." if before else "."),
                len(walk.trace.events) - 1 if walk is not None else None, address,
                excuse="this is a burst that it will work off",
            )  # fmt: skip
