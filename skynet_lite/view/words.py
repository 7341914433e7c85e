"""The story of a trace in sentences: one for each event, and the tale that a picture tells.

One idea: what a step means depends on the tables at that step, so the tables are
moved along while the sentences are made. The sentences themselves are data, a form
for each case with names for what goes in: another language is another dictionary.
`**bold**` marks the words to look at.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..trace.golden import BOOT
from ..trace.state import socket_waits

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..trace import Trace

Event = dict[str, Any]

ENGLISH: dict[str, str] = {
    "message.timer": "**{who}** takes the **response** for session {session} from its mailbox: a timer has fired. {finds}",
    "message.response": "**{who}** takes the **response** for session {session}, sent by {source}, from its mailbox. {finds}",
    "message.error": "**{who}** takes an **error** message from {source} from its mailbox: {fails}.",
    "message.request": "**{who}** takes a {ptype} message from {source} from its mailbox. It has session {session}: {source} waits for an answer.",
    "message.sent": "**{who}** takes a {ptype} message from {source} from its mailbox. Its session is 0: nobody waits for an answer.",
    "message.CONNECT": "**{who}** takes **CONNECT** of socket {id} from its mailbox: the socket works from now on.",
    "message.DATA": "**{who}** takes **DATA** of socket {id} from its mailbox: {size} bytes, {data}.",
    "message.CLOSE": "**{who}** takes **CLOSE** of socket {id} from its mailbox.",
    "message.ACCEPT": "**{who}** takes **ACCEPT** from its mailbox: a client came to socket {id} and is socket {new} now.",
    "message.ERROR": "**{who}** takes **ERROR** of socket {id} from its mailbox: {info}.",
    "message.UDP": "**{who}** takes a datagram of socket {id} from its mailbox: {size} bytes.",
    "message.WARNING": "**{who}** takes **WARNING** of socket {id} from its mailbox: {size} K wait to be sent.",
    "finds.co": "session_id_coroutine says that **{co}** waits for it.",
    "finds.BREAK": "session_id_coroutine says BREAK: whoever waited has gone on, so it is thrown away.",
    "finds.nobody": "Nobody waits for it.",
    "fails.call": "the call with session {session} has failed",
    "fails.service": "that service has gone, and all calls to it have failed",
    "co_create.new.message": "**co_create** makes **{co}** for the message: no coroutine is free in the pool.",
    "co_create.pool.message": "**co_create** takes **{co}** from coroutine_pool for the message.",
    "co_create.new.fork": "**co_create** makes **{co}** for the function that {by} forks.",
    "co_create.pool.fork": "**co_create** takes **{co}** from coroutine_pool for the function that {by} forks.",
    "co_create.new.timeout": "**co_create** makes **{co}** for a function that a timer will start.",
    "co_create.pool.timeout": "**co_create** takes **{co}** from coroutine_pool for a function that a timer will start.",
    "resume.request": "**raw_dispatch_message** resumes **{co}** with the message{runs}.",
    "resume.response": "**raw_dispatch_message** resumes **{co}**: what it waited for has come{goes_on}.",
    "resume.first": "**raw_dispatch_message** resumes **{co}** for the first time: its timer has fired{runs}.",
    "resume.dispatch_wakeup": '**dispatch_wakeup** resumes **{co}** with (False, "BREAK"): it was in wakeup_queue{goes_on}.',
    "resume.dispatch_error_queue": "**dispatch_error_queue** resumes **{co}** with False: its call has failed{goes_on}.",
    "resume.fork": "The message is done, and **{co}** comes next in fork_queue: it is resumed{runs}.",
    "resume.answered": "**suspend** has sent the answer and resumes **{co}** at once{goes_on}.",
    "resume.unanswered": "**suspend** resumes **{co}** at once with False: nobody waits for an answer{goes_on}.",
    "resume.function": "**suspend** resumes **{co}** at once and hands it the response function{goes_on}.",
    "resume.co_create": "**co_create** resumes **{co}** to hand it its new function.",
    "resume.other": "**{by}** resumes **{co}**.",
    "yield.SLEEP": "**{co}** yields **SLEEP** with session {session}{at}: it parks until somebody wakes it.",
    "yield.SLEEP.timer": "**{co}** yields **SLEEP** with session {session}{at}: it parks until its timer fires or somebody wakes it.",
    "yield.SLEEP.socket": "**{co}** yields **SLEEP** with session {session}{at}: it parks in socket.{function} until socket {id} wakes it.",
    "yield.SLEEP.queue": "**{co}** yields **SLEEP** with session {session}{at}: {holder} is inside the critical section.",
    "yield.CALL": "**{co}** yields **CALL** with session {session}{at}: it parks until {to} answers.",
    "yield.CALL.blind": "**{co}** yields **CALL** with session {session}{at}: it parks until its call is answered.",
    "yield.RETURN": "**{co}** yields **RETURN**{at}: **suspend** is to send its answer.",
    "yield.RESPONSE": "**{co}** yields **RESPONSE**{at}: it wants a function that can answer later.",
    "yield.EXIT": "**{co}** yields **EXIT**: its task is done, and it goes into coroutine_pool.",
    "yield.QUIT": "**{co}** yields **QUIT**: its service has ended.",
    "yield.null": "**{co}** has its function and yields: the next resume starts it.",
    "wakeup.queued": "**{by}** calls **wakeup({co})**{at}: {co} sleeps on session {session}, so it is put into **wakeup_queue**. It does not run yet; **dispatch_wakeup** takes it when {by} yields.",
    "wakeup.idle": "**{by}** calls **wakeup({co})**{at}: it does not sleep, so nothing happens, and nothing is remembered.",
    "wakeup.nobody": "**{by}** calls **wakeup**{at} for a token that nobody sleeps with: nothing happens.",
    "wakeup_skip": "**dispatch_wakeup** takes {co} from wakeup_queue: it sleeps no more. The chain ends here.",
    "mark": "**{by}** marks: {text}.",
    "mark.outside": "A mark is made outside of the services: {text}.",
    "co_error": "**{co}** raises{at}: {text}. It ends, and does not go into the pool.",
    "send": "**{by}** sends a {ptype} message to {to}{at}.",
    "send.call": "**{by}** sends a {ptype} message to {to}{at}, with session {session}: the answer will carry it.",
    "send.response": "The answer for session {session} goes to {to}.",
    "send.error": "An error message for session {session} goes to {to}: the call there fails.",
    "send.error.end": "An error message with session 0 goes to {to}: this service has gone.",
    "send.nobody": "**{by}** sends to {to}{at}, which does not exist.",
    "table.session_id_coroutine.set": "session_id_coroutine[{session}] = {co}: whoever brings session {session} resumes {co}.",
    "table.session_id_coroutine.clear": "session_id_coroutine[{session}] is cleared.",
    "table.session_id_coroutine.break": "session_id_coroutine[{session}] = BREAK: a response that comes late will be thrown away.",
    "table.sleep_session.set": "sleep_session[{co}] = {session}: {co} may be woken.",
    "table.sleep_session.clear": "sleep_session[{co}] is cleared: {co} sleeps no more.",
    "table.watching_session.set": "watching_session[{session}] = {address}: should that service go, the call fails.",
    "table.watching_session.set.blind": "watching_session[{session}] is set: a call waits for its answer.",
    "table.watching_session.clear": "watching_session[{session}] is cleared.",
    "table.error_queue.push": "Session {session} goes into **error_queue**; **dispatch_error_queue** will fail its call.",
    "table.error_queue.pop": "**dispatch_error_queue** takes session {session} from error_queue.",
    "table.dead_service.set": "{address} is entered in dead_service: answers for it are not sent any more.",
    "table.dead_service.set.blind": "A service is entered in dead_service: answers for it are not sent any more.",
    "table.session_response.set": "session_response[{co}] is set: this request is answered, or its answer is promised.",
    "table.unresponse.set": "A response function for session {session} of {address} is open.",
    "table.unresponse.clear": "The response function for session {session} of {address} is used.",
    "table.session_coroutine_id.clear": "{co} owes no answer any more.",
    "table.fork_queue.clear": "fork_queue is thrown away.",
    "table.queue.push": "**{co}** stands in critical section {session}: {queue}.",
    "table.queue.pop": "**{co}** leaves critical section {session}: {queue}.",
    "table.socket_pool.set": "socket_pool[{session}] is now: {value}.",
    "table.socket_pool.clear": "Socket {session} leaves socket_pool.",
    "table.other": "{table} changes: {op}.",
    "dispatch_failed": "The dispatch of this message is over; something was raised on the way.",
    "birth": "The service **{label}** is born as {service}.",
    "exit": "The service **{label}** ends; its handle is free.",
    "load": "The code of **{label}** is run.",
    "handled": "**{who}** handles a {ptype} message from {source}.",
    "push.launch": "A message that says run your code lies in the mailbox of **{who}**.",
    "push.socket": "The socket server pushes **{type}** of socket {id} into the mailbox of **{who}**.",
    "push.timer": "The timer pushes the response for session {session} into the mailbox of **{who}**.",
    "push.outside": "A {ptype} message with session {session} from outside lies in the mailbox of **{who}**.",
    "push.other": "The {ptype} message from {source} lies in the mailbox of **{who}**.",
    "requeue": "**{who}** has more messages, and goes to the end of the global queue.",
    "fork": "**{by}** forks{at}: **{co}** goes into fork_queue and runs when this message is done.",
    "log": "**{who}** logs: {text}.",
    "timer_set": "**{by}** sets a timer{at}: session {session} will be answered {when}.",
    "when.at_once": "at once, by a message",
    "when.tick": "at tick {tick}",
    "timer_fired": "The timer of session {session} fires.",
    "clock": "Nothing can run: the virtual clock jumps to tick {tick}.",
    "driver": "**{by}** leaves the command **{command}** for socket {id} to the socket server{at}. Nothing has happened yet.",
    "command": "The socket server carries out **{command}** of socket {id}.",
    "ready": "epoll says: socket {id} is ready to {what}.",
    "socket": "Socket {id} is now **{state}**.",
    "write": "**{by}** writes {sent} of {size} bytes to socket {id}{at}, straight to the kernel.",
    "write.later": "The socket server writes {sent} of {size} bytes to socket {id}.",
    "client.connect": "**{client}** connects.",
    "client.eof": "**{client}** sees the end of the stream.",
    "client.close": "**{client}** closes.",
    "client.reset": "**{client}** closes with a reset.",
    "client.shutdown": "**{client}** has finished writing.",
    "client.other": "**{client}**: {action} {detail}.",
    "other": "{e}.",
    "at": ", at {place}",
    "runs": ", and it begins with {place}",
    "goes_on": "; it goes on at {place}",
    "holds": "{co} is inside",
    "holds.waiting": "{co} is inside, {waiting} waits",
    "empty": "it is free",
    "main": "the scheduler",
    "timer": "the timer",
    "outside": "outside",
    "system": "the system",
    "more": "… and {n} more events.",
}
LANGUAGES = {"en": ENGLISH}

_QUIET = frozenset(("table", "requeue", "load", "handled", "dispatch_failed", "log"))


def sentences(trace: Trace, lang: str = "en") -> list[str]:
    """One sentence for each event of the trace, in order; `**` about the words to look at.

    Raises ValueError for a language that is not there.
    """
    teller = _Teller(trace.whole, lang)
    told = [teller.tell(event) for event in trace.whole.events]
    return told if trace.whole is trace else [told[n] for n in trace.numbers]


def describe(
    trace: Trace, *, detail: bool = False, services: Collection[str] | None = None, limit: int | None = None,
    lang: str = "en",
) -> str:  # fmt: skip
    """The story as plain sentences, one a line: what the timeline shows, in words.

    Without `detail` tables and bookkeeping are left out, and the services that every
    node boots, or all but `services` (addresses). `limit`: at most so many sentences.
    """
    names = trace.names()
    wanted = services if services is not None else getattr(trace, "services", None)
    quiet = {a for a, name in names.items() if (name in BOOT if wanted is None else a not in wanted)}
    told = [
        plain(sentence)
        for event, sentence in zip(trace.events, sentences(trace, lang), strict=True)
        if detail or (event["e"] not in _QUIET and event.get("service") not in quiet)
    ]
    if limit is not None and len(told) > limit:
        told[limit:] = [LANGUAGES[lang]["more"].format(n=len(told) - limit)]
    return "\n".join(told)


def plain(sentence: str) -> str:
    """A sentence without its marks."""
    return sentence.replace("**", "")


class _Teller:
    """Moves the tables along, and says what each event means."""

    def __init__(self, trace: Trace, lang: str) -> None:
        if lang not in LANGUAGES:
            raise ValueError(f"no sentences in {lang!r}; there are {', '.join(LANGUAGES)}")
        self.forms = LANGUAGES[lang]
        self.names = trace.names()
        self.tables = trace.tables()
        self.parked: dict[tuple[str, str], str] = {}  # where a coroutine goes on
        self.begins: dict[tuple[str, str], str] = {}  # where the task of a coroutine begins
        self.timers: set[tuple[str, int]] = set()
        self.waits: dict[tuple[str, str], tuple[int, str]] = {}  # coroutine → socket and function

    def tell(self, e: Event) -> str:
        kind, service = e["e"], e.get("service", "")
        before = self.tables.all["services"].get(service, {})
        finds = before.get("session_id_coroutine", {}).get(e.get("session")) if kind == "message" else None
        self.tables.apply(e)
        rule = getattr(self, "_" + kind, None)
        t = self.tables.all["services"].get(service, {})
        fields: dict[str, Any] = {
            "who": self._name(service), "by": self._co(e.get("in", e.get("co"))), "at": self._at("at", e.get("at")),
        }  # fmt: skip
        fields |= {k: v for k, v in e.items() if k not in ("at", "in", "by")}
        for key in ("text", "error", "info", "data"):
            if isinstance(e.get(key), str):
                fields["text" if key == "error" else key] = _quote(e[key])
        if "source" in e:
            fields["source"] = self._source(e)
        if "to" in e:
            fields["to"] = self._name(str(e["to"]))
        form = kind
        if kind == "message":
            form = self._message(e, fields, finds)
        elif rule is not None:
            form = rule(e, fields, t)
        said = self.forms.get(form, self.forms["other"]).format_map(_Fields(fields))
        start = 2 if said.startswith(f"**{self.forms['main']}") else 0  # names keep their letters: co1, client#1
        if "_" in said.split(" ")[0]:
            return said  # a table
        return said[:start] + said[start : start + 1].upper() + said[start + 1 :]

    # ---- names

    def _name(self, service: str) -> str:
        name = self.names.get(service, "")
        return f"{name} {service}".strip() if name and name != service else service or self.forms["outside"]

    def _co(self, co: Any) -> str:
        return self.forms["main"] if co in (None, "main") else str(co)

    def _at(self, form: str, place: str | None) -> str:
        return self.forms[form].format(place=place) if place else ""

    def _source(self, e: Event) -> str:
        source = str(e["source"])
        if source in (":00000000", "timer", "socket"):
            key = {"response": "timer", "lua": "outside"}.get(e.get("ptype", ""), "system")
            return self.forms[key]
        return self._name(source)

    # ---- the scheduler

    def _message(self, e: Event, fields: dict[str, Any], finds: Any) -> str:
        ptype = e["ptype"]
        if ptype == "socket":
            fields.setdefault("id", e.get("sock"))
            return f"message.{e.get('type')}"
        if ptype == "response":
            key = "BREAK" if finds == "BREAK" else "co" if finds else "nobody"
            fields["finds"] = self.forms["finds." + key].format(co=finds)
            return "message.timer" if e["source"] in (":00000000", "timer") else "message.response"
        if ptype == "error":
            key = "call" if e["session"] else "service"
            fields["fails"] = self.forms["fails." + key].format(session=e["session"])
            return "message.error"
        return "message.request" if e["session"] else "message.sent"

    def _co_create(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        key = (e.get("service", ""), e["co"])
        self.parked.pop(key, None)
        self.begins.pop(key, None)
        if "runs" in e and not e["runs"].rpartition(":")[0].endswith(".py"):
            self.begins[key] = e["runs"]
        return f"co_create.{e['how']}.{e['for']}"

    def _resume(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        key = (e.get("service", ""), e["co"])
        fields["by"] = e["by"]
        fields["runs"] = self._at("runs", self.begins.get(key))
        goes_on = self.parked.pop(key, None)
        fields["goes_on"] = self._at("goes_on", goes_on)
        by, args = e["by"], e.get("args") or [None]
        if by == "raw_dispatch_message":
            return "resume.request" if args == ["request"] else "resume.response" if goes_on else "resume.first"
        if by == "suspend":
            return "resume.function" if args == ["response"] else "resume.answered" if args[0] else "resume.unanswered"
        return f"resume.{by}" if f"resume.{by}" in self.forms else "resume.other"

    def _yield(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        service, co, command = e.get("service", ""), e["co"], e["command"]
        if command not in ("EXIT", "QUIT", None):
            self.parked[service, co] = e.get("at") or "?"
            if "at" not in e:
                self.parked[service, co] = ""
        if command is None:
            return "yield.null"
        if command == "CALL":
            to = t.get("watching_session", {}).get(e.get("session"))
            fields["to"] = self._name(str(to))
            return "yield.CALL" if to else "yield.CALL.blind"
        if command != "SLEEP":
            return f"yield.{command}"
        waits = socket_waits(t.get("socket_pool", {})).get(co)
        if waits is not None:
            fields["id"], fields["function"] = waits
            return "yield.SLEEP.socket"
        for members in t.get("queue", {}).values():
            if co in members[1:]:
                fields["holder"] = members[0]
                return "yield.SLEEP.queue"
        return "yield.SLEEP.timer" if (service, e.get("session")) in self.timers else "yield.SLEEP"

    def _wakeup(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        if e["queued"]:
            fields["session"] = t.get("sleep_session", {}).get(e["co"], "?")
            return "wakeup.queued"
        return "wakeup.idle" if e.get("co") else "wakeup.nobody"

    def _wakeup_skip(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        fields["co"] = e.get("co") or "?"
        return "wakeup_skip"

    def _mark(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        return "mark" if e.get("service") or self._co(e.get("co")) != self.forms["main"] else "mark.outside"

    def _send(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        if e["session"] is None:
            return "send.nobody"
        if e["ptype"] == "response":
            return "send.response"
        if e["ptype"] == "error":
            return "send.error" if e["session"] else "send.error.end"
        return "send.call" if e["session"] else "send"

    def _table(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        for key in ("session", "co", "address", "value"):
            fields.setdefault(key, "?")
        if "address" in e:
            fields["address"] = self._name(str(e["address"]))
        if e["table"] == "queue":
            members = t.get("queue", {}).get(e.get("session"), [])
            key = "holds.waiting" if members[1:] else "holds" if members else "empty"
            fields["queue"] = self.forms[key].format(co=members[0] if members else "", waiting=", ".join(members[1:]))
        form = f"table.{e['table']}.{e['op']}"
        if form + ".blind" in self.forms and "address" not in e:
            return form + ".blind"  # a recording of the real skynet does not say whom
        return form if form in self.forms else "table.other"

    # ---- the node

    def _birth(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        return "birth"

    def _load(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        fields["label"] = e["name"]
        return "load"

    def _push(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        fields.setdefault("id", "?")
        return f"push.{e['by']}" if f"push.{e['by']}" in self.forms else "push.other"

    def _timer_set(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        self.timers.add((e.get("service", ""), e["session"]))
        key = "when.tick" if e["tick"] else "when.at_once"
        fields["when"] = self.forms[key].format(tick=e["tick"])
        return "timer_set"

    def _ready(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        fields["what"] = ", ".join(e["what"])
        return "ready"

    def _write(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        return "write.later" if self._co(e.get("co")) == self.forms["main"] else "write"

    def _client(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        form = f"client.{e['action']}"
        return form if form in self.forms else "client.other"


class _Fields(dict[str, Any]):
    """An edited or foreign trace may lack a field: a sentence with a gap is better than none."""

    def __missing__(self, key: str) -> str:
        return "?"


def _quote(text: str) -> str:
    """A user's own words, on one line and without marks of ours."""
    text = text if len(text) <= 60 else text[:59] + "…"
    shown = json.dumps(text, ensure_ascii=False).replace("**", "∗∗")
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")
