"""A trace as a sequence diagram in the language of Mermaid, for READMEs and wikis that draw it.

Who takes part: clients, the socket server, the timer, the services of the program. A
service is active while one of its coroutines runs. Messages are drawn where they are
taken from the mailbox: that is where their effect begins.
"""

from __future__ import annotations

import json

from ..trace.film import Film
from ..trace.golden import BOOT
from ..trace.kinds import Event, command, rule_for, world
from ..trace.parked import parked
from ..trace.text import line

LIMIT = 400
"""Lines of a diagram: more than that is not drawn by Mermaid in useful time, and not read by anybody."""
_SAFE = frozenset(" .,:()=→←*+/_-'!?|[]…")


def diagram(trace: Film, limit: int = LIMIT) -> str:
    """What `trace.to_mermaid()` answers: text that begins with `sequenceDiagram`."""
    return _Writer(trace, limit).write()


class _Writer:
    def __init__(self, trace: Film, limit: int) -> None:
        self.trace, self.limit = trace, limit
        self.names = trace.names()
        shown = getattr(trace, "services", None) or {a for a, name in self.names.items() if name not in BOOT}
        self.shown = shown or set(self.names)
        self.people: dict[str, str] = {}  # key → id in the diagram
        self.steps: list[str] = []
        self.active: dict[str, str] = {}  # service → the coroutine that runs
        self.waits = parked(trace.events)

    def write(self) -> str:
        total = len(self.trace.events)
        for i, event in enumerate(self.trace.events):
            service = event.get("service", "")
            rule = rule_for(self, event, "on_")
            if rule is not None and (service in self.shown or not service):
                if len(self.steps) >= self.limit:
                    told = f"… {total - i} of {total} events are left out: draw a part, as in trace[a:b]"
                    self.note(next(iter(self.people)), told)
                    break
                rule(i, event, service)
        for service in list(self.active):
            self.rest(service)
        head = ["sequenceDiagram"]
        for kind in ("client", "socket server", "timer", ":"):
            for key, name in self.people.items():
                if (":" if key in self.names else key.partition("#")[0]).endswith(kind):
                    title = f"{self.names.get(key, '')} {key}" if self.names.get(key, key) != key else key
                    head.append(f"participant {name} as {escape(title.strip())}")
        return "\n    ".join(head + self.steps) + "\n"

    def who(self, key: str) -> str:
        """The id of one that takes part; services that are not shown are outside."""
        return self.people.setdefault(key, f"p{len(self.people) + 1}")

    def arrow(self, source: str, kind: str, target: str, text: str) -> None:
        self.steps.append(f"{self.who(source)}{kind}{self.who(target)}: {escape(text)}")

    def note(self, key: str, text: str) -> None:
        self.steps.append(f"Note over {self.who(key)}: {escape(text)}")

    def rest(self, service: str) -> None:
        if self.active.pop(service, None):
            self.steps.append(f"deactivate {self.who(service)}")

    # ---- what is told

    def on_message(self, i: int, e: Event, service: str) -> None:
        ptype, source = e["ptype"], e["source"]
        text = f"{ptype}, session {e['session']}" if e["session"] else ptype
        if ptype == "socket":
            text = " ".join(line(e).split()).partition("message ")[2]
            self.arrow(world(e, "socket server"), "->>", service, text)
        elif ptype == "response" and source in (":00000000", "timer"):
            self.arrow(world(e, "timer"), "->>", service, text)
        else:
            source = service if source == "self" else source
            if e.get("body"):
                text += f": {json.dumps(e['body'], ensure_ascii=False)[:60]}"
            kind = {"response": "-->>", "error": "--x"}.get(ptype, "->>" if e["session"] else "-)")
            if source in self.shown:
                self.arrow(source, kind, service, text)
            else:
                self.note(service, f"takes {text} from {self.names.get(source, '')} {source}")

    def on_resume(self, i: int, e: Event, service: str) -> None:
        self.rest(service)
        self.active[service] = e["co"]
        self.steps.append(f"activate {self.who(service)}")
        self.note(service, f"{e['co']} ← {e['by']}")

    def on_yield(self, i: int, e: Event, service: str) -> None:
        if i in self.waits:
            at = f", at {e['at']}" if "at" in e else ""
            self.note(service, f"{e['co']} parks: {self.waits[i]}{at}")
        elif command(e) == "EXIT":
            self.note(service, f"{e['co']} ends")
        self.rest(service)

    def on_co_error(self, i: int, e: Event, service: str) -> None:
        self.note(service, f"{e['co']} raises {e['error']}")
        self.rest(service)

    def on_wakeup(self, i: int, e: Event, service: str) -> None:
        self.note(service, f"{e['in']} wakes {e['co'] or '?'}" + ("" if e["queued"] else ": it does not sleep"))

    def on_mark(self, i: int, e: Event, service: str) -> None:
        key = service or next(iter(self.people), "")
        if key:
            self.note(key, f"* {e['text']}")

    def on_driver(self, i: int, e: Event, service: str) -> None:
        self.arrow(service, "-)", world(e, "socket server"), f"{e['command']} socket {e['id']}")

    def on_write(self, i: int, e: Event, service: str) -> None:
        self.arrow(service, "-)", world(e, "socket server"), f"write {e['sent']} bytes to socket {e['id']}")

    def on_ready(self, i: int, e: Event, service: str) -> None:
        if "cause" in e:
            sent = self.trace.whole.events[e["cause"]]
            self.arrow(world(sent, "socket server"), "->>", world(e, "socket server"), sent.get("command", "bytes"))
        self.note(world(e, "socket server"), f"socket {e['id']} is ready: {', '.join(e['what'])}")

    def on_timer_set(self, i: int, e: Event, service: str) -> None:
        when = f"tick {e['tick']}" if e["tick"] else "at once"
        self.arrow(service, "-)", world(e, "timer"), f"timer {e['session']}, {when}")

    def on_exit(self, i: int, e: Event, service: str) -> None:
        self.note(service, "exits")

    def on_client(self, i: int, e: Event, service: str) -> None:
        text, client = f"{e['action']} {e['detail']}".strip(), world(e, e["client"])
        if e["action"] in ("recv", "eof"):
            self.arrow(world(e, "socket server"), "-->>", client, text)
        else:
            self.arrow(client, "->>", world(e, "socket server"), text)


def escape(text: str) -> str:
    """A text of which Mermaid takes nothing for its own language: what could mean something becomes `#number;`."""
    text = "".join(c if c.isprintable() else " " for c in text[:120])
    return "".join(c if not c.isascii() or c.isalnum() or c in _SAFE else f"#{ord(c)};" for c in text)
