"""Verdicts: what went wrong in a run, said in plain sentences with the line of code.

One idea: everything needed to judge a run is in its trace. A *fault* can be proved
from it; a *suspicion* says what would excuse it. Nothing depends on garbage
collection, and nothing on time, but for dispatches that a real clock saw take too
long.

Some findings happen at an event (a handler ends without `ret`); others stand at the
end of the trace (a call that nobody can answer any more, a circle of waits).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from .film import Film
from .kinds import Event, command, node_of, rule_for
from .language import close_up, language, told
from .parked import socket_waits
from .shapes import apart, home
from .state import Tables
from .waits import Behind, Wait, Waits, Who, behind, named

FAULT, SUSPICION = "fault", "suspicion"
SLOW = 0.1
"""Seconds after which the dispatch of one message is too long."""
CROWD = 100
"""Messages in a mailbox that are many."""
_FAULTS = (
    "answered twice", "no answer", "raised", "circle", "call to oneself in a critical section", "unanswered",
    "did not start", "not dispatched", "closed under a wait",
)  # fmt: skip
_NEWS = ("sharedatad",)
"""Services that keep requests for news, which may never come."""
_NO_START = "did not start: "
"""How the reason of such an end begins (core/errors.py)."""


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
        at = told("found.event", n=self.event) if self.event is not None else ""
        excuse = told("found.harmless", excuse=self.excuse) if self.excuse else ""
        return f"{told(f'found.{self.grade}')}{self.text}{excuse}{at}"


class Verdicts(list[Verdict]):
    """Findings in the order of their events; prints one a line. `missing`: events that could not be looked at."""

    missing = 0
    cut: tuple[str, ...] = ()
    """Of streams that were cut: whose end is not known."""

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
        unseen = [told("found.missing", n=self.missing)] if self.missing else []
        unseen += self.cut
        return "\n".join([*map(str, self), *unseen] if self else [told("found.nothing"), *unseen])

    __repr__ = __str__


def _found(
    kind: str, event: int | None, service: str, co: str = "", place: str = "", *, grade: str = "", **said: Any
) -> Verdict:
    grade = grade or (FAULT if kind in _FAULTS else SUSPICION)
    excuse = told(f"excuse.{kind}") if grade == SUSPICION else ""
    text = told(f"verdict.{kind}", **said)
    if "who" in said:  # that may be words, not a name
        text = _close(text)
    return Verdict(grade, kind, text, event, service, co, place, excuse)


def _close(text: str) -> str:
    return close_up(text) if language() == "zh" else text


def judge(trace: Film, slow: float = SLOW) -> Verdicts:
    """All findings in a trace. `slow`: seconds after which the dispatch of a message is too long. DOC: judge"""
    walk = _Walk(trace, slow)
    found = list(walk.happened())
    found += standing(walk.tables.view(), walk.places, behind(trace.events, walk.names), walk)
    found.sort(key=lambda v: (v.event is None, v.event or 0))
    verdicts = Verdicts(found)
    verdicts.missing = trace.missing
    ends = zip(("found.cut", "found.empty"), trace.cuts(), strict=True)
    verdicts.cut = tuple(told(key, who=told("found.and").join(who)) for key, who in ends if who)
    return verdicts


class _Walk:
    """Goes through a trace once, finds what happened, and remembers what the end has to be judged by."""

    def __init__(self, trace: Film, slow: float) -> None:
        self.trace = trace
        self.slow = slow
        self.names = trace.names()
        self.tables: Tables = trace.tables()
        self.last = len(trace.events) - 1 if trace.events else None
        self.places: dict[Who, str] = {}  # where each coroutine yielded last
        self.yields: dict[Who, int] = {}
        self.runs: dict[Who, str] = {}  # where its task begins
        self.ptype: dict[str, str] = {}  # of the message that each service dispatches
        self.answered: set[Who] = set()
        self.forgotten: set[tuple[str, int]] = set()  # caller and session of whom the handler ended without an answer
        self.ignored: set[tuple[str, int]] = set()
        self.promised: dict[tuple[str, int], tuple[int, str]] = {}  # caller and session → event, place of response()
        self.gone: set[str] = set()
        self.sockets: dict[tuple[str, int], int] = {}  # socket → its last change of state
        self.blamed: set[str] = set()  # whose dispatch has failed, and why is told already
        self.taken: dict[str, Event] = {}  # the message that each service dispatches
        self.woken: defaultdict[str, deque[Any]] = defaultdict(deque)  # wakeup_queue: whose sleep each entry was for
        for address, t in self.tables.all["services"].items():
            self.woken[address] = deque([None] * len(t.get("wakeup_queue", ())))
        self.sent: dict[tuple[str, int], str] = {}  # caller and session → "response" or "error"
        self.both: defaultdict[str, list[Verdict]] = defaultdict(list)  # by service while it may still exit
        self.lengths: dict[str, list[int]] = {}  # mailboxes at each quarter of the trace

    def happened(self) -> Iterator[Verdict]:
        events = self.trace.events
        quarters = {len(events) * k // 4 for k in (1, 2, 3)} if len(events) >= 40 else set()
        found: dict[tuple[Any, ...], list[Any]] = {}  # the same line over and over is one finding, and its number
        for i, e in enumerate(events):
            if i in quarters:
                for address, t in self.tables.all["services"].items():
                    self.lengths.setdefault(address, []).append(len(t["mailbox"]))
            rule = rule_for(self, e)
            verdict = rule(i, e, e.get("service", "")) if rule is not None else None
            self.tables.apply(e)
            if verdict is not None:
                key = (verdict.kind, verdict.service, verdict.place or verdict.event)
                found.setdefault(key, [verdict, 0])[1] += 1
        for verdict in (verdict for verdicts in self.both.values() for verdict in verdicts):
            found[verdict.kind, verdict.event] = [verdict, 1]
        for verdict, n in found.values():
            yield verdict if n == 1 else replace(verdict, text=verdict.text[:-1] + told("found.times", n=n))

    def name(self, service: str) -> str:
        return named(self.names.get(service, ""), service) or told("found.outside")

    def _caller(self, service: str, co: str) -> tuple[int, str]:
        """Session and source of the request that a coroutine serves; (0, "") if it serves none."""
        t = self.tables.all["services"].get(service, {})
        return t.get("session_coroutine_id", {}).get(co, 0), t.get("session_coroutine_address", {}).get(co, "")

    def _still_waits(self, source: str, session: int) -> bool:
        services = self.tables.all["services"]
        if source in services:
            waiting = services[source].get("session_id_coroutine", {}).get(session)
            return waiting is not None and waiting != "BREAK"
        return source == ":00000000" or home(source) in self.trace.foreign

    def _by(self, kind: str, i: int, who: Who, place: str | None = None, **said: Any) -> Verdict:
        """What a coroutine has done, at `place` or where it yielded last."""
        (service, co), at = who, self.places.get(who, "") if place is None else place
        doer = told("found.scheduler") if co == "main" else co
        by = told("found.by", co=doer, name=self.name(service), at=_at(at))
        return _found(kind, i, service, co, at, who=by, **said)

    # ---- findings that happen

    def _yield(self, i: int, e: Event, service: str) -> Verdict | None:
        who, what = (service, e["co"]), command(e)
        self.yields[who] = i
        self.places[who] = e.get("at", "")
        session, source = self._caller(service, e["co"])
        said: dict[str, Any] = {"session": session, "source": self.name(source)}
        if what in ("RETURN", "RESPONSE"):
            again = who in self.answered and (session or what == "RESPONSE")
            if what == "RESPONSE" and session:
                self.promised[source, session] = (i, e.get("at", ""))
            self.answered.add(who)
            if again:
                self.blamed.add(service)
            return self._by("answered twice", i, who, **said) if again else None
        if what == "QUIT":
            self.gone.add(service)
        elif what == "EXIT":
            owed = session and who not in self.answered and self._still_waits(source, session)
            self.answered.discard(who)
            if owed:
                self.forgotten.add((source, session))
                return self._by("no answer", i, who, self.runs.get(who, ""), **said)
        return None

    def _begin(self, i: int, e: Event, service: str) -> None:
        self.places |= {(service, co): place for co, place in e["places"].items()}
        self.woken[service] = deque([None] * len(e["tables"].get("wakeup_queue", ())))

    def _co_create(self, i: int, e: Event, service: str) -> None:
        self.runs[service, e["co"]] = e.get("runs", "")

    def _co_error(self, i: int, e: Event, service: str) -> Verdict:
        self.answered.discard((service, e["co"]))
        self.blamed.add(service)
        return self._by("raised", i, (service, e["co"]), e.get("at"), error=e["error"])

    def _wakeup(self, i: int, e: Event, service: str) -> Verdict | None:
        if e["queued"]:
            asleep = self.tables.all["services"].get(service, {}).get("sleep_session", {})
            at = self.places.get((service, e["co"]))
            self.woken[service].append((i, e, asleep.get(e["co"]), at))
            return None
        if self._ours(e):
            return None
        whom = f"wakeup({e['co']})" if e.get("co") else told("found.wakeup of a token")
        return self._by("wakeup of nobody", i, (service, e["in"]), e.get("at", ""), whom=whom)

    def _wakeup_skip(self, i: int, e: Event, service: str) -> Verdict | None:
        self._taken(service)
        if self.trace.dialect(service) != "1.1":
            return None  # today it keeps nobody waiting
        whom = e.get("co") or told("found.token")
        return _found("woken twice", i, service, e.get("co") or "", whom=whom, name=self.name(service))

    def _ours(self, e: Event) -> bool:
        """Whether the runtime itself called wakeup, for one that looks at the facts when it is woken."""
        return not e.get("at") and (home(e["service"]) not in self.trace.foreign or "stack" in e)

    def _taken(self, service: str) -> Any:
        queue = self.woken[service]
        return queue.popleft() if queue else None

    def _broken(self, service: str, session: int) -> Verdict | None:
        """A wakeup breaks the sleep with `session`. It was for another if it was called while that one lasted."""
        entry = self._taken(service)
        if entry is None or entry[2] in (None, session):
            return None
        i, e, _, before = entry
        co, at = e["co"], self.places.get((service, e["co"]))
        if before in (None, at) or self._ours(e):
            return None  # it waits there again, so it has looked at the facts
        by = service, e["in"]
        return self._by("late wakeup", i, by, e.get("at", ""), whom=f"wakeup({co})", sleeper=co, broken=_at(at))

    def _dispatch_failed(self, i: int, e: Event, service: str) -> Verdict | None:
        m = self.taken.get(service)
        if service in self.blamed or m is None or "reason" not in e:
            return None
        what = told("found.session", ptype=m["ptype"], session=m["session"])
        said = {"name": self.name(service), "what": what, "source": self.name(m["source"]), "error": e["reason"]}
        return _found("not dispatched", i, service, **said)

    def _send(self, i: int, e: Event, service: str) -> None:
        if not e["session"]:
            return
        if e["ptype"] not in ("response", "error"):
            self.sent.pop((service, e["session"]), None)  # a new request
            return
        key = e["to"], e["session"]
        if self.sent.setdefault(key, e["ptype"]) != e["ptype"]:
            said = {"session": e["session"], "source": self.name(e["to"])}
            place = e.get("at") or self.places.get((service, e["in"]), "")
            self.both[service].append(self._by("answered and failed", i, (service, e["in"]), place, **said))

    def _resume(self, i: int, e: Event, service: str) -> None:
        if e.get("args") == ["request"] and self.ptype.get(service) == "error":
            self.answered.add((service, e["co"]))  # an error message carries the session of a call, and asks nothing

    def _message(self, i: int, e: Event, service: str) -> Verdict | None:
        self.ptype[service], self.taken[service] = e["ptype"], e
        self.blamed.discard(service)
        self.both[""] += self.both.pop(service, [])
        took = self.trace.took(i)
        if took is None or took <= self.slow:
            return None
        what = e.get("type") or told("found.session", ptype=e["ptype"], session=e["session"])
        return _found("slow dispatch", i, service, what=what, name=self.name(service), took=took)

    def _table(self, i: int, e: Event, service: str) -> Verdict | None:
        if (e["table"], e["op"]) == ("session_id_coroutine", "break"):
            return self._broken(service, e["session"])
        if (e["table"], e["op"]) == ("session_id_coroutine", "set"):
            self.yields.setdefault((service, e.get("co", "")), i)  # a timer's coroutine has not yielded yet
        elif e["table"] == "session_coroutine_id":
            session, source = self._caller(service, e["co"])
            if e["op"] == "response":  # today
                self.promised[source, session] = (i, self.places.get((service, e["co"]), ""))
            elif e["op"] == "clear":
                self.ignored.add((source, session))
        elif (e["table"], e["op"]) == ("socket_pool", "clear"):
            pool = self.tables.all["services"].get(service, {}).get("socket_pool", {})  # none if it has exited
            for co, (id, function) in socket_waits({e["session"]: pool.get(e["session"], "")}).items():
                if function != "close":
                    return self._by("closed under a wait", i, (service, co), id=id, function=function, sleeper=co)
        return None

    def _exit(self, i: int, e: Event, service: str) -> Verdict | None:
        self.gone.add(service)
        self.both.pop(service, None)  # who exits fails all that it has served: as in skynet, also what it has answered
        reason, at = e.get("reason", ""), e.get("at", "")
        if not reason.startswith(_NO_START):
            return None
        said = {"name": self.name(service), "error": reason.removeprefix(_NO_START), "at": _at(at)}
        return _found("did not start", i, service, place=at, **said)

    def _socket(self, i: int, e: Event, service: str) -> None:
        self.sockets[home(service), e["id"]] = i


# --------------------------------------------------------------------------- findings that stand at the end


def standing(
    tables: dict[str, Any], places: dict[Who, str], behind: Behind | None = None, walk: _Walk | None = None
) -> Iterator[Verdict]:
    """What the tables at one moment show. `walk`: the trace that led there, which knows reasons and events."""
    walk = walk or _Walk(Film(), SLOW)
    for own in apart(tables):
        yield from _standing(own, Waits(own, places, behind), walk)


def _standing(tables: dict[str, Any], waits: Waits, walk: _Walk) -> Iterator[Verdict]:
    yield from _circles(waits, walk)
    if not walk.trace.origin or walk.trace.probed:  # a recording has neither mailboxes nor sockets nor timers
        yield from _unanswered(waits, walk)
        yield from _kept(tables, waits, walk)
        yield from _rings(waits, walk, tables.get("cut", {}).keys())
        yield from _sockets(tables, walk)
        yield from _mailboxes(tables, walk)
        yield from _not_ended(tables, walk)
    for address, t in tables["services"].items():
        left = t.get("wakeup_queue")
        if left and address not in walk.gone and address not in tables.get("cut", ()):
            whom, name = told("found.and").join(left), f"{waits.names[address]} {address}"
            yield _found("left in wakeup_queue", walk.last, address, left[0], whom=whom, name=name)


def seen(waits: Waits, silent: set[str], mailboxes: dict[str, int], starts: list[Who]) -> Iterator[Verdict]:
    """What can be said of a node without its tables. `silent`: services that do not answer; `starts`: coroutines that
    are inside a start function."""
    walk = _Walk(Film(), SLOW)
    circled = {wait.who for circle in waits.circles() for wait in circle}
    for address in sorted(silent):
        n = sum(wait.to == address for wait in waits)
        calls = told("found.calls", n=n) if n else ""
        yield _found("silent", None, address, name=waits.named(address), calls=calls)
    yield from _circles(waits, walk)
    yield from _rings(waits, walk)
    for who in starts:
        start = waits.of(*who)
        if start is not None and who not in circled:
            story = _story(waits, waits.chain(start))
            yield _found("start not ended", None, *who, start.place, name=waits.named(who[0]), story=story)
    for address, n in mailboxes.items():
        if n >= CROWD:
            yield _found("mailbox grows", None, address, n=n, name=waits.named(address), before="")


def _at(place: str | None) -> str:
    return told("found.at", place=place) if place else ""


def _waiting(waits: Waits, wait: Wait) -> str:
    return waits.label(wait.who) + _at(wait.place)


def _story(waits: Waits, chain: list[Wait]) -> str:
    parts = (_close(told("found.waits", who=_waiting(waits, wait), on=wait.on)) for wait in chain)
    return told("found.then").join(parts)


def _circles(waits: Waits, walk: _Walk) -> Iterator[Verdict]:
    for circle in waits.circles():
        alone = len({wait.service for wait in circle}) == 1 and any(wait.kind == "queue" for wait in circle)
        kind = "call to oneself in a critical section" if alone else "circle"
        events = [walk.yields[wait.who] for wait in circle if wait.who in walk.yields]
        first, said = circle[0], {"name": waits.named(circle[0].service), "story": _story(waits, circle)}
        grade = SUSPICION if any(wait.guess for wait in circle) else FAULT
        yield _found(kind, max(events, default=None), first.service, first.co, first.place, grade=grade, **said)


def _unanswered(waits: Waits, walk: _Walk) -> Iterator[Verdict]:
    for wait in waits:
        key = (wait.service, wait.session)
        if wait.state != "nobody" or key in walk.forgotten:
            continue  # or said where the handler ended
        ignored = key in walk.ignored
        reason = "ignored" if ignored else "killed" if wait.to not in waits.names else ""
        yield _found(
            "unanswered", walk.yields.get(wait.who), wait.service, wait.co, wait.place,
            grade=SUSPICION if ignored else FAULT, who=_waiting(waits, wait), session=wait.session, to=wait.to,
            where=told(f"found.{reason}", to=wait.to) if reason else "",
        )  # fmt: skip


def _kept(tables: dict[str, Any], waits: Waits, walk: _Walk) -> Iterator[Verdict]:
    callers = {(wait.service, wait.session): wait for wait in waits if wait.kind == "call"}
    busy = {service for _, service, _ in tables.get("timers", ())}
    circled = {wait.who for circle in waits.circles() for wait in circle}
    for address, t in tables["services"].items():
        for session, caller in t.get("unresponse", ()):
            waiting, target = callers.get((caller, session)), waits.behind.get((caller, session))
            if target is not None and t["name"] == "launcher":
                yield from _start(waits, walk, target, busy, tables)
                continue
            if {address, caller} & tables.get("cut", {}).keys():
                continue  # it may have answered
            if t["name"] in _NEWS or (waiting is not None and waiting.who in circled):
                continue
            if (waiting is None and caller != ":00000000") or address in busy or t.get("mailbox"):
                continue
            event, place = walk.promised.get((caller, session), (None, ""))
            made = told("found.made", place=place) if place else ""
            who = waits.label(waiting.who) if waiting is not None else told("found.caller")
            name = f"{waits.names[address]} {address}"
            yield _found("response kept", event, address, "", place, made=made, name=name, session=session, who=who)


def _start(waits: Waits, walk: _Walk, target: Who, busy: set[str], tables: dict[str, Any]) -> Iterator[Verdict]:
    """The start function of a service has not ended, so the launcher has not answered."""
    start = waits.of(*target)
    chain = [] if start is None else waits.chain(start)
    if start is None or chain[-1].kind != "sleep" or waits.next(chain[-1]) is not None:
        return  # it goes on by itself, or is in a circle, which is told of
    last = chain[-1].service
    if tables.get("cut", {}).keys() & {wait.service for wait in chain}:
        return
    if last not in busy and not tables["services"][last].get("mailbox"):
        said = {"name": waits.named(target[0]), "story": _story(waits, chain)}
        yield _found("start not ended", walk.yields.get(target), *target, start.place, **said)


def _rings(waits: Waits, walk: _Walk, cut: Collection[str] = ()) -> Iterator[Verdict]:
    """A calls B, B calls A back, and there it stands still: not proved, for a wakeup may still come."""
    circled = {wait.who for circle in waits.circles() for wait in circle}
    inner = {wait.target for wait in waits if wait.target is not None}
    for wait in waits:
        chain = waits.chain(wait)
        services = [one.service for one in chain if one.kind == "call"]
        last = chain[-1]
        if not {one.service for one in chain}.isdisjoint(cut):
            continue
        if wait.who in inner or last.kind != "sleep" or circled & {one.who for one in chain}:
            continue
        if len(services) >= 2 and last.service in services:
            path = " → ".join(waits.names[service] for service in [*services, last.service])
            said = {"path": path, "story": _story(waits, chain)}
            yield _found("ring of calls", walk.yields.get(last.who), last.service, last.co, last.place, **said)


def _sockets(tables: dict[str, Any], walk: _Walk) -> Iterator[Verdict]:
    ordered = {id for command, id in tables.get("commands", ())}
    for id, (state, owner) in tables["sockets"].items():
        kind = {"paccept": "never started", "halfclose_read": "half closed"}.get(state)
        if kind is not None and id not in ordered:
            yield _found(kind, walk.sockets.get((home(owner), id)), owner, id=id, owner=owner)


def _not_ended(tables: dict[str, Any], walk: _Walk) -> Iterator[Verdict]:
    """A dispatch whose beginning is on the disk, and nothing behind it, while others went on: an endless loop."""
    for address in (address for address, (_, _, how) in tables.get("cut", {}).items() if how == "message"):
        events = walk.trace.events
        i = next(n for n in range(len(events) - 1, -1, -1) if events[n].get("service") == address)
        last = next(n for n in range(len(events) - 1, -1, -1) if node_of(events[n]) == home(address))
        took, e = walk.trace.seconds(last) - walk.trace.seconds(i), events[i]
        if took > walk.slow:
            what = e.get("type") or told("found.session", ptype=e["ptype"], session=e["session"])
            n = len(tables["services"][address]["mailbox"])
            calls = told("found.behind", n=n) if n else ""
            said = {"name": walk.name(address), "source": walk.name(e["source"])}
            yield _found("not ended", i, address, what=what, took=took, calls=calls, **said)


def _mailboxes(tables: dict[str, Any], walk: _Walk) -> Iterator[Verdict]:
    for address, t in tables["services"].items():
        n = len(t.get("mailbox", ()))
        lengths = walk.lengths.get(address, [])
        grows = len(lengths) == 3 and lengths[0] < lengths[1] < lengths[2] < n
        if n >= CROWD and (grows or not lengths) and address not in tables.get("cut", ()):
            quarters = told("found.and").join(map(str, lengths))
            before = quarters and told("found.quarters", lengths=quarters)
            name = f"{t['name']} {address}"
            yield _found("mailbox grows", walk.last, address, n=n, name=name, before=before)
