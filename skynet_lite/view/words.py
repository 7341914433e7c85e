"""The story of a trace in sentences: one for each event, and the tale that a picture tells.

One idea: what a step means depends on the tables at that step, so the tables are
moved along while the sentences are made. The sentences themselves are data, a form
for each case with names for what goes in: another language is another dictionary
(forms.py). `**bold**` marks the words to look at.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..trace.golden import BOOT
from ..trace.kinds import KINDS, command, rule_for, runtimes
from ..trace.language import close_up, language
from ..trace.parked import socket_waits
from ..trace.shapes import home
from ..trace.text import printable
from .forms import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..trace import Trace

Event = dict[str, Any]

_SCHEDULER = (None, "main")
_QUIET = frozenset(("table", "requeue", "load", "handled", "dispatch_failed", "log"))


def sentences(trace: Trace, lang: str | None = None) -> list[str]:
    """One sentence for each event of the trace, in order; `**` about the words to look at.

    `lang`: "en", "zh", or that of the process (`skynet_lite.language`).
    Raises ValueError for a language that is not there.
    """
    whole, end = trace.whole, trace.numbers[-1] + 1 if len(trace) else 0
    teller = Teller(whole, lang)
    told = [teller.tell(event) for event in whole.events[:end]]
    return told if whole is trace else [told[n] for n in trace.numbers]


def describe(
    trace: Trace, *, detail: bool = False, services: Collection[str] | None = None, limit: int | None = None,
    lang: str | None = None,
) -> str:  # fmt: skip
    """The story as plain sentences, one a line: what the timeline shows, in words.

    Without `detail` tables and bookkeeping are left out, and the services that every
    node boots, or all but `services` (addresses). `limit`: at most so many sentences.
    `lang`: "en", "zh", or that of the process. Raises ValueError for another.
    """
    names = trace.names()
    wanted = services if services is not None else getattr(trace, "services", None)
    quiet = {a for a, name in names.items() if (not name or name in BOOT if wanted is None else a not in wanted)}
    shown = [
        n for n, event in enumerate(trace)
        if detail or (event["e"] not in _QUIET and event.get("service") not in quiet)
    ]  # fmt: skip
    left_out = [] if limit is None else shown[limit:]
    del shown[len(shown) - len(left_out) :]
    told = sentences(trace[: shown[-1] + 1] if shown else trace[:0], lang)
    more = [LANGUAGES[lang or language()]["more"].format(n=len(left_out))] if left_out else []
    return "\n".join([*(plain(told[n]) for n in shown), *more])


def plain(sentence: str) -> str:
    """A sentence without its marks."""
    return sentence.replace("**", "")


class Teller:
    """Moves the tables along, and says what each event means."""

    def __init__(self, trace: Trace, lang: str | None = None) -> None:
        lang = lang or language()
        if lang not in LANGUAGES:
            raise ValueError(f"no sentences in {lang!r}; there are {', '.join(LANGUAGES)}")
        self.forms, self.finish = LANGUAGES[lang], close_up if lang == "zh" else _capital
        self.dialect = trace.dialect
        self.names = trace.names()
        self.tables = trace.tables()
        self.parked: dict[tuple[str, str], str] = {}  # where a coroutine goes on
        self.begins: dict[tuple[str, str], str] = {}  # where the task of a coroutine begins
        self.timers: set[tuple[str, int]] = set()
        self.timed: set[tuple[str, str]] = set()  # made for a timer that has not fired yet
        self.asked: dict[tuple[str, str], str | None] = {}  # what a coroutine has yielded last

    def tell(self, e: Event) -> str:
        kind, service = e["e"], e.get("service", "")
        before = self.tables.all["services"].get(service, {})
        finds = before.get("session_id_coroutine", {}).get(e.get("session")) if kind == "message" else None
        self.tables.apply(e)
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
        if kind == "message":
            form = self._message(e, fields, finds, before.get("watching_session", {}))
        else:
            rule = rule_for(self, e)
            form = rule(e, fields, t) if rule is not None else kind if kind in KINDS else "other"
        return printable(self.finish(self.forms[self._known(form, "other")].format_map(_Fields(fields))))

    def _known(self, form: str, otherwise: str) -> str:
        return form if form in self.forms else otherwise

    # ---- names

    def _name(self, service: str) -> str:
        name = self.names.get(service, "")
        return f"{name} {service}".strip() if name and name != service else service or self.forms["outside"]

    def _co(self, co: Any) -> str:
        return self.forms["main"] if co in _SCHEDULER else str(co)

    def _at(self, form: str, place: str | None) -> str:
        return self.forms[form].format(place=place) if place else ""

    def _source(self, e: Event) -> str:
        source = str(e["source"])
        if source in (":00000000", "timer", "socket"):
            key = {"response": "timer", "lua": "outside"}.get(e.get("ptype", ""), "system")
            return self.forms[key]
        return self._name(source)

    # ---- the scheduler

    def _message(self, e: Event, fields: dict[str, Any], finds: Any, watching: dict[int, str]) -> str:
        ptype = e["ptype"]
        if ptype == "socket":
            fields.setdefault("id", e.get("sock"))
            return f"message.{e.get('type')}"
        if ptype == "response":
            key = "BREAK" if finds == "BREAK" else "co" if finds else "nobody"
            fields["finds"] = self.forms["finds." + key].format(co=finds)
            by = "response" if e["source"] not in (":00000000", "timer") else "timer"
            return "message.offload" if by == "timer" and e["session"] in watching else f"message.{by}"
        if ptype == "error":
            key = "call" if e["session"] else "service"
            fields["fails"] = self.forms["fails." + key].format(session=e["session"])
            return "message.error"
        return "message.request" if e["session"] else "message.sent"

    def _co_create(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        key = (e.get("service", ""), e["co"])
        self.parked.pop(key, None)
        self.begins.pop(key, None)
        (self.timed.add if e["for"] == "timeout" else self.timed.discard)(key)
        if "runs" in e and not runtimes(e["runs"]):
            self.begins[key] = e["runs"]
        return f"co_create.{e['how']}.{e['for']}"

    def _resume(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        key = (e.get("service", ""), e["co"])
        fields["by"] = e["by"]
        fields["runs"] = self._at("runs", self.begins.get(key))
        goes_on = self.parked.pop(key, None)
        first = key in self.timed
        self.timed.discard(key)
        fields["goes_on"] = self._at("goes_on", goes_on)
        by, args = e["by"], e.get("args") or [None]
        if by == "raw_dispatch_message":
            return "resume.request" if args == ["request"] else "resume.first" if first else "resume.response"
        if by == "suspend" and self.asked.get(key) == "KILL":
            return "resume.killed"
        if by == "suspend":
            return "resume.function" if args == ["response"] else "resume.answered" if args[0] else "resume.unanswered"
        return "resume.select" if by == "other" else self._known(f"resume.{by}", "resume.other")

    def _yield(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        service, co, what = e.get("service", ""), e["co"], command(e)
        self.asked[service, co] = what
        if what not in ("EXIT", "QUIT", None):
            self.parked[service, co] = (e["at"] or "?") if "at" in e else ""
        if what is None:
            return "yield.null"
        if what == "CALL":
            to = t.get("watching_session", {}).get(e.get("session"))
            fields["to"] = self._name(str(to))
            return self._known(f"yield.CALL.{str(to).partition(' ')[0]}", "yield.CALL") if to else "yield.CALL.blind"
        if what != "SLEEP":
            return f"yield.{what}" if what != "OTHER" else "yield.SUSPEND"
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
        return "wakeup_skip" if self.dialect(e["service"]) == "1.1" else "wakeup_skip.today"

    def _mark(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        return "mark" if e.get("service") or e.get("co") not in _SCHEDULER else "mark.outside"

    def _tracetag(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        return "tracetag" if e["tag"] else "tracetag.end"

    def _send(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        if e["session"] is None:
            return "send.nobody"
        if e["ptype"] == "response":
            return "send.response"
        if e["ptype"] == "error":
            return "send.error" if e["session"] else "send.error.end"
        return "send.call" if e["session"] else "send"

    def _table(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        if "address" in e:
            fields["address"] = self._name(str(e["address"]))
        if e["table"] == "queue":
            members = t.get("queue", {}).get(e.get("session"), [])
            key = "holds.waiting" if members[1:] else "holds" if members else "empty"
            fields["queue"] = self.forms[key].format(
                co=members[0] if members else "", waiting=self.forms["comma"].join(members[1:])
            )
        form = f"table.{e['table']}.{e['op']}"
        if form + ".blind" in self.forms and "address" not in e:
            return form + ".blind"  # a recording of the real skynet does not say whom
        return self._known(form, "table.other")

    # ---- the node

    def _begin(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        for co, place in e["places"].items():
            self.parked[e["service"], co] = place
        self.timers |= {(service, session) for _, service, session in self.tables.table(home(e["service"]), "timers")}
        return "begin.late" if "missing" in e else "begin"

    def _load(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        fields["label"] = e["name"]
        return "load"

    def _push(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        return self._known(f"push.{e['by']}", "push.other")

    def _timer_set(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        self.timers.add((e.get("service", ""), e["session"]))
        key = "when.tick" if e["tick"] else "when.at_once"
        fields["when"] = self.forms[key].format(tick=e["tick"])
        return "timer_set"

    def _ready(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        fields["what"] = self.forms["comma"].join(self.forms.get(f"ready.{what}", what) for what in e["what"])
        return "ready"

    def _write(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        return "write.later" if e.get("co") in _SCHEDULER else "write"

    def _client(self, e: Event, fields: dict[str, Any], t: Any) -> str:
        number, _, unit = str(e.get("detail", "")).partition(" ")
        if unit == "bytes":
            fields["detail"] = self.forms["bytes"].format(n=number)
        return self._known(f"client.{e['action']}", "client.other")


class _Fields(dict[str, Any]):
    """An edited or foreign trace may lack a field: a sentence with a gap is better than none."""

    def __missing__(self, key: str) -> str:
        return "?"


def _capital(said: str) -> str:
    """English begins with a capital letter; tables and names keep theirs: co1, client#1."""
    start = 2 if said.startswith(f"**{LANGUAGES['en']['main']}") else 0
    if "_" in said.split(" ")[0]:
        return said
    return said[:start] + said[start : start + 1].upper() + said[start + 1 :]


def _quote(text: str) -> str:
    """A user's own words, on one line and without marks of ours."""
    text = text if len(text) <= 60 else text[:59] + "…"
    return json.dumps(text, ensure_ascii=False).replace("**", "∗∗")
