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
from typing import Any

from .film import Film
from .kinds import Event
from .language import close_up, say
from .state import Tables
from .waits import Wait, Waits, Who

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
        at = say(f" [event {self.event}]", f" [事件 {self.event}]") if self.event is not None else ""
        excuse = say(f" Harmless if {self.excuse}.", f"如果{self.excuse}，则无妨。") if self.excuse else ""
        grade = say(f"{self.grade}: ", "错误：" if self.grade == FAULT else "疑点：")
        return f"{grade}{self.text}{excuse}{at}"


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
        return "\n".join(map(str, self)) if self else say("nothing found", "没有发现问题")

    def __repr__(self) -> str:
        return str(self)


def judge(trace: Film, slow: float = SLOW) -> Verdicts:
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

    def __init__(self, trace: Film, slow: float) -> None:
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
            yield (
                verdict
                if n == 1
                else replace(verdict, text=verdict.text[:-1] + say(f" ({n} times).", f"（共 {n} 次）。"))
            )

    def name(self, service: str) -> str:
        name = self.names.get(service, "")
        return f"{name} {service}" if name and name != service else service or say("outside", "外部")

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
                    "answered twice", i, who,
                    say(f"answers session {session} of {self.name(source)} a second time",
                        f"对 {self.name(source)} 的会话 {session} 响应了第二次"),
                )  # fmt: skip
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
                    say(f"ended without skynet.ret, although {self.name(source)} waits for session {session}",
                        f"没有调用 skynet.ret 就结束了，而 {self.name(source)} 还在等待会话 {session}"),
                    self.runs.get(who, ""),
                )  # fmt: skip
            self.answered.discard(who)
        return verdict

    def _co_create(self, i: int, e: Event, service: str) -> None:
        self.runs[service, e["co"]] = e.get("runs", "")

    def _co_error(self, i: int, e: Event, service: str) -> Verdict:
        self.answered.discard((service, e["co"]))
        told = say(f"raised {e['error']!r}, and nobody caught it", f"抛出异常 {e['error']!r}，没有人捕获它")
        return self._fault("raised", i, (service, e["co"]), told, e.get("at"))

    def _wakeup(self, i: int, e: Event, service: str) -> Verdict | None:
        if e["queued"]:
            return None
        whom = f"wakeup({e['co']})" if e.get("co") else say("wakeup of a token", "对一个 token 的 wakeup")
        by = self._who(service, e["in"], e.get("at"))
        return Verdict(
            SUSPICION, "wakeup of nobody",
            say(f"{by} called {whom}, but it did not sleep; that is not remembered.",
                close_up(f"{by} 调用了 {whom}，但对方没有在睡眠；这次唤醒不会被记住。")),
            i, service, e["in"], e.get("at", ""),
            say("whoever is to be woken looks at the facts before it sleeps", "被唤醒者在睡眠之前会先检查条件"),
        )  # fmt: skip

    def _wakeup_skip(self, i: int, e: Event, service: str) -> Verdict:
        return Verdict(
            SUSPICION, "woken twice",
            say(
                f"{e.get('co') or 'a token'} of {self.name(service)} stood in wakeup_queue, but slept no more when its "
                "turn came; what stood behind it waits for the next message.",
                f"{self.name(service)} 的 {e.get('co') or '某个 token'} 在 wakeup_queue 里，但轮到它时已不在睡眠；"
                "排在它后面的要等到下一条消息。",
            ),
            i, service, e.get("co") or "", excuse=say("nothing was behind it", "它后面没有别的协程"),
        )  # fmt: skip

    def _resume(self, i: int, e: Event, service: str) -> None:
        if e.get("args") == ["request"] and self.ptype.get(service) == "error":
            self.answered.add((service, e["co"]))  # an error message carries the session of a call, and asks nothing

    def _message(self, i: int, e: Event, service: str) -> Verdict | None:
        self.ptype[service] = e["ptype"]
        took = self.trace.took(i)
        if took is None or took <= self.slow:
            return None
        what = e.get("type") or e["ptype"] + say(f" session {e['session']}", f"（会话 {e['session']}）")
        return Verdict(
            SUSPICION, "slow dispatch",
            say(f"the message {what} kept {self.name(service)}, and with it the node, busy for {took:.2f} s.",
                f"消息 {what} 让 {self.name(service)} 以及整个节点忙了 {took:.2f} 秒。"),
            i, service, excuse=say("nothing else had to run meanwhile", "这段时间里没有别的东西需要运行"),
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
        name, at = self.name(service), _at(place)
        return say(
            f"{'the scheduler' if co == 'main' else co} of {name}{at}",
            close_up(f"{name} 的 {'调度器' if co == 'main' else co}{at}"),
        )

    def _fault(self, kind: str, i: int, who: Who, text: str, place: str | None = None) -> Verdict:
        place = self.places.get(who, "") if place is None else place
        told = self._who(*who, place)
        return Verdict(FAULT, kind, say(f"{told} {text}.", close_up(f"{told} {text}。")), i, *who, place)


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
                say(
                    f"{', '.join(t['wakeup_queue'])} of {waits.names[address]} {address} was woken and does not run: "
                    "the dispatch had ended by an error, or by an entry that slept no more.",
                    f"{waits.names[address]} {address} 的 {'、'.join(t['wakeup_queue'])} 已被唤醒却没有运行："
                    "那次分发因为出错，或因为遇到一个已不在睡眠的协程，提前结束了。",
                ),
                None if walk is None else len(walk.trace.events) - 1, address, t["wakeup_queue"][0],
                excuse=say("another message comes soon", "很快会有下一条消息"),
            )  # fmt: skip


def _event(walk: _Walk | None, who: Who) -> int | None:
    return None if walk is None else walk.yields.get(who)


def _at(place: str | None) -> str:
    return say(f" (at {place})", f"（位于 {place}）") if place else ""


def _said(waits: Waits, wait: Wait) -> str:
    told = waits.label(wait.who) + _at(wait.place)
    return say(f"{told} waits for {wait.on}", close_up(f"{told} 在等 {wait.on}"))


def _circles(waits: Waits, walk: _Walk | None) -> Iterator[Verdict]:
    for circle in waits.circles():
        services = {wait.service for wait in circle}
        inside = [wait for wait in circle if wait.kind == "queue"]
        story = say("; ", "；").join(_said(waits, wait) for wait in circle)
        if len(services) == 1 and inside:
            kind = "call to oneself in a critical section"
            name = waits.named(circle[0].service)
            text = say(
                f"{name} calls itself inside a critical section: {story}.", f"{name} 在临界区里调用了自己：{story}。"
            )
        else:
            kind = "circle"
            text = say(f"nobody in this circle can go on: {story}.", f"这个环里谁也无法继续：{story}。")
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
            where = say(f": {wait.to} called skynet.ignoreret for it", f"：{wait.to} 对它调用了 skynet.ignoreret")
            grade = SUSPICION
            excuse = say("it kept the session and will answer by other means", "它留下了会话，会用别的方式响应")
        elif wait.to not in waits.names:
            where = say(f": {wait.to} was killed while it served it", f"：{wait.to} 在处理它时被杀掉了")
        told = waits.label(wait.who) + _at(wait.place)
        yield Verdict(
            grade, "unanswered",
            say(
                f"{told} waits for session {wait.session} of its call to {wait.to}, which nobody can answer any more"
                f"{where}.",
                close_up(
                    f"{told} 在等对 {wait.to} 的调用（会话 {wait.session}），但已经没有人能响应它{where}。"
                ),
            ),
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
            made = say(f" made at {place}", f"（创建于 {place}）") if place else ""
            name = f"{waits.names[address]} {address}"
            whom = waits.label(waiting.who) if waiting is not None else say("a caller outside", "外部的调用者")
            yield Verdict(
                SUSPICION, "response kept",
                say(f"the response function{made} in {name} has not answered session {session} of {whom}, which waits.",
                    close_up(f"{name} 的响应函数{made}还没有响应会话 {session}，而 {whom} 在等待。")),
                event, address, "", place,
                say("something still holds it and will answer", "还有人持有它，并且会响应"),
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
                say(f"{path}: {'; '.join(_said(waits, one) for one in chain)}.",
                    f"{path}：{'；'.join(_said(waits, one) for one in chain)}。"),
                _event(walk, last.who), last.service, last.co, last.place,
                say("something outside of the ring wakes it", "环外有人会唤醒它"),
            )  # fmt: skip


def _sockets(tables: dict[str, Any], walk: _Walk | None) -> Iterator[Verdict]:
    ordered = {id for command, id in tables.get("commands", ())}
    for id, (state, owner) in tables["sockets"].items():
        event = walk.sockets.get(id) if walk is not None else None
        if id in ordered:
            continue
        if state == "paccept":
            yield Verdict(
                SUSPICION, "never started",
                say(
                    f"socket {id} was accepted for {owner}, and nobody called socket.start for it: the client waits, "
                    "and nothing is read.",
                    f"socket {id} 已为 {owner} 接受，但没有人对它调用 socket.start：客户端在等待，数据没有人读。",
                ),
                event, owner,
                excuse=say("a service still has its id and starts it later", "某个服务留着它的 id，稍后会 start"),
            )  # fmt: skip
        elif state == "halfclose_read":
            yield Verdict(
                SUSPICION, "half closed",
                say(
                    f"the other side of socket {id} of {owner} has finished, and nobody called socket.close: its "
                    "descriptor stays open.",
                    f"{owner} 的 socket {id} 的对端已经写完，但没有人调用 socket.close：描述符一直开着。",
                ),
                event, owner, excuse=say("there is still something to write", "还有数据要写"),
            )  # fmt: skip


def _mailboxes(tables: dict[str, Any], walk: _Walk | None) -> Iterator[Verdict]:
    for address, t in tables["services"].items():
        n = len(t.get("mailbox", ()))
        before = walk.lengths.get(address, []) if walk is not None else []
        grows = len(before) == 3 and before[0] < before[1] < before[2] < n
        if n >= CROWD and (grows or not before):
            yield Verdict(
                SUSPICION, "mailbox grows",
                say(
                    f"{n} messages wait in the mailbox of {t['name']} {address}"
                    + (f", after {', '.join(map(str, before))} at the quarters of the trace." if before else "."),
                    f"{t['name']} {address} 的消息队列里积压了 {n} 条消息"
                    + (f"，在全程的四分之一、一半、四分之三处是 {'、'.join(map(str, before))}。" if before else "。"),
                ),
                len(walk.trace.events) - 1 if walk is not None else None, address,
                excuse=say("this is a burst that it will work off", "这只是一阵突发，它会处理完"),
            )  # fmt: skip
