"""The kinds of events, each said once: its fields, its line of text, and what it does to the tables.

An event is a dict; `e` is its kind, `service` the address it belongs to. Kinds and
fields of the scheduler are those of the recordings of the real skynet
(tests/golden/traces). Beside them stand the events of the node, which say how work
came about. From here follow how events are made of raw tuples (events.py), what a file
may hold (schema.py), the canonical text (text.py) and the tables (state.py).

Fields are written `name:types`, with `?` if one may be absent. What stands before `|` is
told while the node runs, in this order, behind the kind and the handle of the service; for a `+`
then comes a value from which other fields are made, for an `@` the place of code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, NamedTuple

from .shapes import ENTRIES, SERVICE, home, is_address, service_tables, twin
from .steps import Steps
from .values import whole

Event = dict[str, Any]

PTYPES = (
    "text", "response", "multicast", "client", "system", "harbor", "socket", "error", "queue", "debug", "lua",
    "snax", "trace",
)  # fmt: skip
SOCKET_TYPES = ("", "DATA", "CONNECT", "CLOSE", "ACCEPT", "ERROR", "UDP", "WARNING")
_MASKS = ((1, "read"), (2, "write"), (4, "error"), (8, "hangup"))


def address(handle: int | str) -> str:
    return f":{handle:08x}" if isinstance(handle, int) else handle


def name_of(label: str) -> str:
    """What a service is called, of how its launch is told: "snlua main 8001", "snlua snaxd room", "logger"."""
    kind, _, rest = label.partition(" ")
    name, *args = rest.split(" ")
    if name == "snaxd" and args:
        return args[0]
    return name if kind == "snlua" and rest else kind


def full_address(text: int | str) -> str:
    """An address as events have it, of a number, of `:8` or `A:8`; a name stays."""
    text = address(text)
    short = re.fullmatch("(.*:)([0-9a-f]+)", text)
    return f"{short[1]}{int(short[2], 16):08x}" if short is not None else text


def coroutine(n: int) -> str:
    return f"co{n}" if n else "main"


def runtimes(place: str) -> bool:
    """Whether a place is in the runtime, ours or skynet's own library. Labels of a program have no suffix."""
    return place.rpartition(":")[0].endswith((".py", ".lua"))


def node_of(event: Event) -> str:
    """The node that an event belongs to; "" if there is one only."""
    return event["node"] if "node" in event else home(event.get("service", ""))


def world(event: Event, what: str) -> str:
    """What a node has one of, the timer say, by a name of its own."""
    return f"{node_of(event)} {what}".strip()


def ptype_name(ptype: int) -> str:
    return PTYPES[ptype] if 0 <= ptype < len(PTYPES) else str(whole(ptype))


# What a field may be in an event, and what makes it of the raw value.
_TYPES: dict[str, tuple[tuple[type, ...], Callable[[Any], Any] | None]] = {
    "s": ((str,), None), "i": ((int,), whole), "b": ((bool,), None), "l": ((list,), list),
    "sn": ((str, NoneType), None), "in": ((int, NoneType), whole), "is": ((int, str), None),
    "address": ((str,), address), "ptype": ((str,), ptype_name), "co": ((str,), coroutine),
    "token": ((str, NoneType), lambda n: coroutine(n) if n else None),
    "from": ((str,), lambda new: "new" if new else "pool"),
    "d": ((dict,), None), "mask": ((list,), lambda mask: [name for bit, name in _MASKS if mask & bit]),
}  # fmt: skip


class Field(NamedTuple):
    name: str
    types: tuple[type, ...]
    optional: bool
    make: Callable[[Any], Any] | None


def fields(spec: str) -> list[Field]:
    found = (re.fullmatch(r"(\w+):(\w+)(\??)", field) for field in spec.split())
    return [Field(m[1], _TYPES[m[2]][0], bool(m[3]), _TYPES[m[2]][1]) for m in found if m is not None]


COMMON = fields("service:s? node:s? cause:i? at:s? stack:l?")
"""Fields that any event may have."""


class Kind:
    """`raw`: the fields that are told, `placed`: whether a place follows, `width`: how many values that is in all.

    `actor`: the field that says who did it. `words`: the line of an event, without who.
    `rule(tables, service, event)`: what the runtime did at the place where it emitted
    the event; None if no table changes.
    """

    def __init__(
        self,
        name: str,
        spec: str,
        line: str | Callable[[Event], str],
        rule: Callable[[Steps, str, Event], object] | None = None,
    ) -> None:
        raw = spec.partition("|")[0]
        self.name = name
        self.fields = fields(spec)
        self.raw = [field for field in fields(raw) if field.name != "service"]
        self.placed = "@" in raw
        self.width = 2 + len(self.raw) + raw.count("+") + self.placed
        names = {field.name for field in self.fields}
        self.actor = "in" if {"co", "in"} <= names else "co" if "co" in names else ""
        self.words = line.format_map if isinstance(line, str) else line
        self.rule = rule


def each(told: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The events of what a node tells at once, one by one: they came together."""
    i = 0
    while i < len(told):
        end = i + KINDS[told[i]].width
        yield told[i:end]
        i = end


def rule_for(reader: object, event: Event, prefix: str = "_") -> Any:
    """The method of a reader for events of this kind, `_wakeup` or `on_wakeup`; None if it has none, or for a kind
    that is not known: that may be called like any method."""
    return getattr(reader, prefix + event["e"], None) if event["e"] in KINDS else None


# --------------------------------------------------------------------------- lines


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _message(e: Event) -> str:
    if e["ptype"] != "socket":
        words = f"message   {e['ptype']} session {e['session']} from {e['source']}"
        if "reason" in e:
            return f"{words}: {_short(e['reason'])}"
        return f"{words} {_short(_json(e['body']))}" if e.get("body") else words
    words = f"message   {e['type']} socket {e['id']}"
    if "new" in e:
        words += f" new {e['new']}"
    if "data" in e:
        words += f" {e['size']} bytes {_short(_json(e['data']))}"
    elif "size" in e:
        words += f" {e['size']} K"
    return f"{words} {_json(e['info'])}" if e.get("info") else words


def _push(e: Event) -> str:
    if "type" in e:
        return f"push      {e['type']} socket {e['id']} by socket" if "id" in e else f"push      {e['type']} by socket"
    return f"push      {e['ptype']} session {e['session']} by {e['by']}"


def command(event: Event) -> Any:
    """What a yield is for. Today the command is SUSPEND, whatever it is for; v1.1.0 has a word for each."""
    return event.get("what", event["command"])


def _yield(e: Event) -> str:
    session, at = (f" {e['session']}" if "session" in e else ""), (f" at {e['at']}" if "at" in e else "")
    what = f" {e['what']}" if "what" in e else ""
    return f"yield     {e['command']}{what}{session}{at}"


def _resume(e: Event) -> str:
    words = f"resume    by {e['by']} {_json(e['args'])}"
    return f"{words} session {e['session']}" if "session" in e else words


def _table(e: Event) -> str:
    more = (f" {e[field]}" for field in ("session", "co", "address", "value") if e.get(field, "") != "")
    return f"table     {e['table']} {e['op']}{''.join(more)}"


def _send(e: Event) -> str:
    session = "to nobody" if e["session"] is None else f"session {e['session']}"
    return f"send      {e['ptype']} to {e['to']} {session}"


# --------------------------------------------------------------------------- rules


def mail_label(push: Event) -> str:
    """A message that waits, in a few words, as core/message.py says them."""
    if push["by"] == "launch":
        return "launch"
    if "type" in push:
        return f"socket {push['type']} {push.get('id', '')}".rstrip()
    return f"{push['ptype']} {push['session']} {push['source']}"


def _born(t: Steps, service: str, e: Event) -> None:
    name = name_of(e["label"])
    t.born(service, service_tables(name) if e["label"].startswith("snlua") else {"name": name, "mailbox": []})
    if "worker" in e:
        t.put(home(service), "workers", service, e["worker"])


def _begun(t: Steps, service: str, e: Event) -> None:
    t.born(service, service_tables(e["name"]) | twin(e["tables"]))
    for session in e["timers"]:
        t.push(home(service), "timers", [0, service, session])  # when they fire, only skynet's timer knows


def _lost(t: Steps, service: str, e: Event) -> None:
    t.gone(service)
    for timer in [timer for timer in t.table(home(service), "timers") if timer[1] == service]:
        t.take(home(service), "timers", timer)


def _gone(t: Steps, service: str, e: Event) -> None:
    t.gone(service)
    t.take(home(service), "global_queue", service)


def _pushed(t: Steps, service: str, e: Event) -> None:
    t.push(service, "mailbox", mail_label(e))
    if e.get("queued"):
        t.push(home(service), "global_queue", service)


def _sent(t: Steps, service: str, e: Event) -> None:
    """Of a node of ours a push follows. Of a real skynet we know no more than this, and only of who is recorded."""
    to = e["to"]
    known = home(service) in t.foreign and e["session"] is not None and is_address(to)
    if known and t.table(to, "session_coroutine_id") is not None:
        t.push(to, "mailbox", f"{e['ptype']} {e['session']} {service}")


def _taken(t: Steps, service: str, e: Event) -> None:
    if home(service) in t.foreign and "ptype" in e:  # there may be others before it, of which nobody has told
        t.take(service, "mailbox", f"{e['ptype']} {e['session']} {e['source']}")
        if (e["ptype"], e["source"]) == ("response", ":00000000"):
            _timer_fired(t, service, e)
    else:
        t.pop(service, "mailbox")
    t.take(home(service), "global_queue", service)
    if e["e"] == "message":
        t.request[service] = (e["session"], e["source"])


def _requeued(t: Steps, service: str, e: Event) -> None:
    if service in t.all["services"]:
        t.push(home(service), "global_queue", service)


def _created(t: Steps, service: str, e: Event) -> None:
    if e["how"] == "pool":
        t.take(service, "coroutine_pool", e["co"])
    if home(service) in t.foreign and e["for"] == "fork":
        t.push(service, "fork_queue", e["co"])


def _resumed(t: Steps, service: str, e: Event) -> None:
    if e["by"] == "fork":
        t.pop(service, "fork_queue")
    elif e["by"] == "raw_dispatch_message" and e["args"] == ["request"]:
        session, source = t.request.get(service, (0, ""))
        t.put(service, "session_coroutine_id", e["co"], session)
        t.put(service, "session_coroutine_address", e["co"], source)


def _ended(t: Steps, service: str, e: Event) -> None:
    """By itself, by an error, or killed."""
    if e["e"] == "yield" and command(e) != "EXIT":
        return
    _forget(t, service, e["co"])
    if e["e"] == "yield":
        t.push(service, "coroutine_pool", e["co"])
    elif e["e"] == "kill":
        t.drop(service, "sleep_session", e["co"])
        t.take(service, "fork_queue", e["co"])


def _forget(t: Steps, service: str, co: Any, ignored: bool = False) -> None:
    t.drop(service, "session_coroutine_id", co)
    t.drop(service, "session_coroutine_address", co)
    if not ignored or co not in (t.table(service, "coroutine_pool") or ()):
        t.take(service, "session_response", co)


def _tagged(t: Steps, service: str, e: Event) -> None:
    if e["tag"] is None:
        t.drop(service, "session_coroutine_tracetag", e["co"])
    else:
        t.put(service, "session_coroutine_tracetag", e["co"], e["tag"])


def _changed(t: Steps, service: str, e: Event) -> None:
    table, op, session, co = e["table"], e["op"], e.get("session"), e.get("co")
    if table == "queue":
        _in_queue(t, service, op, session, co)
    elif table == "session_coroutine_id":
        _forget(t, service, co, ignored=True)
    elif table == "session_id_coroutine" and op in ("break", "abandon"):
        t.put(service, table, session, "BREAK")
        if op == "break":
            t.pop(service, "wakeup_queue")
    elif table == "error_queue" and op != "push":
        t.pop(service, table)
    elif table == "fork_queue":
        t.clear(service, table)
    elif table == "dead_service":
        if op == "clear":
            t.take(service, table, e["address"])
        elif "address" in e and e["address"] not in (t.table(service, table) or ()):
            t.push(service, table, e["address"])
    elif table == "unresponse":
        (t.push if op == "set" else t.take)(service, table, [session or 0, e["address"]])
    elif table in ENTRIES:
        key, *maps_to = ENTRIES[table]
        if isinstance(SERVICE[table], list):
            t.push(service, table, e[key])
        elif op == "set":
            t.put(service, table, e[key], e.get(maps_to[0], ""))
        else:
            t.drop(service, table, e[key])


def _in_queue(t: Steps, service: str, op: str, number: Any, co: Any) -> None:
    """A critical section: who is inside comes first, then who waits."""
    queue = (t.table(service, "queue") or {}).get(number, [])
    queue = [*queue, co] if op == "push" else queue[1:] if op == "pop" else [c for c in queue if c != co]
    if queue:
        t.put(service, "queue", number, queue)
    else:
        t.drop(service, "queue", number)


def _timer_set(t: Steps, service: str, e: Event) -> None:
    if e["tick"]:
        t.push(home(service), "timers", [e["tick"], service, e["session"]])


def _timer_fired(t: Steps, service: str, e: Event) -> None:
    for n, timer in enumerate(t.table(home(service), "timers")):
        if timer[1:] == [service, e["session"]]:
            t.pop(home(service), "timers", n)
            return


def _ordered(t: Steps, service: str, e: Event) -> None:
    if home(service) not in t.foreign:
        t.push(home(service), "commands", [e["command"], e["id"]])


def _socket(t: Steps, service: str, e: Event) -> None:
    if e["state"] == "invalid":
        t.drop(home(service), "sockets", e["id"])
    else:
        t.put(home(service), "sockets", e["id"], [e["state"], service])


# --------------------------------------------------------------------------- the kinds

KINDS = {kind.name: kind for kind in (
    Kind("message", "service:s ptype:ptype session:i source:address + | type:s? id:i? new:is? size:i? data:s? info:s? "
         "body:l? reason:s?", _message, _taken),
    Kind("co_create", "service:s co:co how:from for:s in:co + | runs:s?", "co_create {co} {how} for {for}", _created),
    Kind("resume", "service:s co:co by:s args:l session:i?", _resume, _resumed),
    Kind("yield", "service:s co:co command:sn session:i? what:s? @", _yield, _ended),
    Kind("wakeup", "service:s co:token queued:b in:co token:i? @",
         lambda e: f"wakeup    {e['co'] or 'a token'} {'queued' if e['queued'] else 'not sleeping'}",
         lambda t, service, e: t.push(service, "wakeup_queue", e["co"]) if e["queued"] else None),
    Kind("wakeup_skip", "service:s co:token token:i?", "skip      {co} is no longer asleep",
         lambda t, service, e: t.pop(service, "wakeup_queue")),
    Kind("mark", "co:co text:s @", lambda e: f"mark      {_json(e['text'])}"),
    Kind("co_error", "service:s co:co error:s @", lambda e: f"error     {_short(e['error'])}", _ended),
    Kind("kill", "service:s co:co in:co", "kill      {co}", _ended),
    Kind("tracetag", "service:s co:co tag:sn text:s",
         lambda e: f"tracetag  {e['tag'] or 'ends'} {e['text']}".rstrip(), _tagged),
    Kind("send", "service:s to:address ptype:ptype session:in in:co + @", _send, _sent),
    Kind("table", "service:s table:s op:s session:i? + | co:s? address:s? value:s? token:i?", _table, _changed),
    Kind("dispatch_failed", "service:s reason:s? @", "failed    this dispatch had an error"),
    # Of the node.
    Kind("birth", "service:s label:s worker:i?",
         lambda e: f"birth     {e['label']}" + (f" on worker {e['worker']}" if "worker" in e else ""), _born),
    Kind("exit", "service:s label:s reason:s? @", "exit      {label}", _gone),
    Kind("load", "service:s name:s", "load      {name}", _taken),
    Kind("handled", "service:s ptype:ptype session:i source:address", "handled   {ptype} from {source}", _taken),
    Kind("push", "service:s ptype:ptype session:i source:address by:s queued:b? + | type:s? id:i?", _push, _pushed),
    Kind("requeue", "service:s", "requeue   the mailbox has more", _requeued),
    Kind("fork", "service:s co:co in:co @", "fork      {co}",
         lambda t, service, e: t.push(service, "fork_queue", e["co"])),
    Kind("log", "text:s", lambda e: f"log       {_short(e['text'].splitlines()[0] if e['text'] else '')}"),
    Kind("timer_set", "service:s session:i tick:i in:co @",
         lambda e: f"timer     set session {e['session']}" + (f" tick {e['tick']}" if e["tick"] else " at once"),
         _timer_set),
    Kind("timer_fired", "service:s session:i tick:i", "timer     fired session {session}", _timer_fired),
    Kind("clock", "tick:i", "clock     tick {tick}", lambda t, service, e: t.set_clock(node_of(e), e["tick"])),
    Kind("driver", "command:s id:i @ | co:s size:i?", "driver    {command} socket {id}",
         _ordered),
    Kind("command", "command:s id:i", "socket    takes {command} of socket {id}",
         lambda t, service, e: t.pop(home(service), "commands")),
    Kind("ready", "id:i what:mask", lambda e: f"socket    {e['id']} is ready: {', '.join(e['what'])}"),
    Kind("socket", "id:i state:s +", "socket    {id} becomes {state}", _socket),
    Kind("write", "id:i sent:i size:i @ | co:s", "write     socket {id} {sent} of {size} bytes"),
    Kind("client", "client:s action:s detail:s", "{client}  {action} {detail}"),
    # Of a real skynet.
    Kind("begin", "service:s name:s tables:d places:d timers:l missing:i?",
         lambda e: "begin     of its recording" + (f", {e['missing']} events late" if "missing" in e else ""), _begun),
    Kind("end", "service:s", "end       of its recording", _lost),
)}  # fmt: skip
