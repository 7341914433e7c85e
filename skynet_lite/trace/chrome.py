"""A trace in Chrome's trace event format, which ui.perfetto.dev and chrome://tracing open.

Services are processes, coroutines their threads; the mailbox, where `main`, the
scheduler, works too, is a thread beside them. The world has a process (clients), the
node another (socket server, timer). On the thread of a coroutine lies a slice for
each task, in it one for each stretch that runs, named by what resumed it, and one
for each that is parked, named by what it waits for. Whatever else happens is a slice
of one µs. Causes are flows, named by their mechanism; time in a mailbox is an async
slice.

The scale: `ts` is the time of the run in µs (of the virtual clock a tick is
10 000 µs) plus the number of the event. So no two events have the same, their order
is never lost, and where time stands still an event is as wide as another.
"""

from __future__ import annotations

from typing import Any

from .film import Film
from .golden import BOOT
from .kinds import Event, command, rule_for, world
from .parked import parked
from .shapes import number
from .text import line, printable

Lane = tuple[str, str]  # process and thread
_WORLD, _NODE, _MAILBOX = "clients", "node", "mailbox"
_QUEUED = "waits in the mailbox"
_SLICES = {
    "wakeup": ("{service}", "{in}", "wakeup({whom}){how}", "wakeup"),
    "fork": ("{service}", "{in}", "fork {co}", "fork"),
    "send": ("{service}", "{in}", "send {mail} to {to}", "message"),
    "birth": ("{service}", _MAILBOX, "birth: {label}", "service"),
    "exit": ("{service}", _MAILBOX, "exit", "service"),
    "push": ("{service}", _MAILBOX, "push {mail}", "message"),
    **dict.fromkeys(("message", "load", "handled"), ("{service}", _MAILBOX, "take {mail}", "message")),
    "timer_set": ("{service}", "{in}", "set timer {session}", "timer"),
    "timer_fired": ("{node}", "timer", "timer {session} of {service} fires", "timer"),
    "driver": ("{service}", "{co}", "driver.{command}({id})", "socket"),
    "write": ("{service}", "{co}", "write {sent} bytes to socket {id}", "socket"),
    "command": ("{node}", "socket server", "{command} socket {id}", "socket"),
    "ready": ("{node}", "socket server", "socket {id} ready: {ready}", "socket"),
    "socket": ("{node}", "socket server", "socket {id} is {state}", "socket"),
    "client": ("{world}", "{client}", "{did}", "client"),
}
"""What happens at once: kind → process, thread, name and category of its slice."""
_SCALE = "ts = time of the run in µs (a virtual tick is 10 000) + number of the event"


def events(trace: Film) -> dict[str, Any]:
    """What `trace.to_chrome()` answers: an object of the format, ready for json.dump."""
    found: dict[str, Any] = _clean({
        "traceEvents": _Writer(trace).write(), "displayTimeUnit": "ms",
        "otherData": {"made by": "skynet_lite", "scale": _SCALE, "origin": trace.origin},
    })  # fmt: skip
    return found


def _clean(value: Any) -> Any:
    """Whatever a program has called things: text that any file can hold."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return printable(value) if isinstance(value, str) else value


class _Writer:
    def __init__(self, trace: Film) -> None:
        self.trace = trace
        self.names = trace.names()
        self.moments = dict(zip(trace.numbers, _microseconds(trace), strict=True))
        self.end = max(self.moments.values(), default=0) + 1
        self.lanes: dict[Lane, int] = {}  # → thread id
        self.pids: dict[str, int] = {}
        self.out: list[dict[str, Any]] = []
        self.drawn: dict[int, Lane] = {}  # event → where its slice lies
        self.tasks: dict[Lane, tuple[int, str]] = {}  # what is open: since when, and its name
        self.spans: dict[Lane, tuple[int, str, dict[str, Any]]] = {}
        self.queued: dict[int, Lane] = {}
        self.waits = parked(trace.events)

    def write(self) -> list[dict[str, Any]]:
        for k, (n, event) in enumerate(self.trace.numbered()):
            service = event.get("service", "")
            if event["e"] in _SLICES:
                self.slice(n, event, service)
            rule = rule_for(self, event, "on_")
            if rule is not None:
                rule(n, event, service)
            if event["e"] == "yield" and k in self.waits:
                self.open(self.lane(event["service"], event["co"]), n, self.waits[k], {"event": n}, "sleeping")
            self.flow(n, event)
        for lane in list(self.tasks):
            self.finish(lane, self.end)
        for n in list(self.queued):
            self.unqueue(n, self.end)
        # A slice comes after the one it lies in: that began sooner, or at the same time and is longer.
        return self.metadata() + sorted(self.out, key=lambda x: (x["ts"], -x.get("dur", 0)))

    # ---- lanes

    def lane(self, process: str, thread: str) -> Lane:
        key = process, _MAILBOX if thread == "main" else thread
        if key not in self.lanes:
            self.pids.setdefault(process, len(self.pids) + 1)
            self.lanes[key] = len(self.lanes) + 1
        return key

    def metadata(self) -> list[dict[str, Any]]:
        found = []

        def say(what: str, pid: int, tid: int, **args: Any) -> None:
            found.append({"ph": "M", "name": what, "pid": pid, "tid": tid, "ts": 0, "args": args})

        for process, pid in self.pids.items():
            name = self.names.get(process, "")
            say("process_name", pid, 0, name=f"{name} {process}".strip() if name != process else process)
            first = {_WORLD: 0, _NODE: 1}.get(process.rpartition(" ")[2], 3 if name in BOOT else 2)
            say("process_sort_index", pid, 0, sort_index=1000 * first + pid)
        for (process, thread), tid in self.lanes.items():
            say("thread_name", self.pids[process], tid, name="mailbox, main" if thread == _MAILBOX else thread)
            say("thread_sort_index", self.pids[process], tid, sort_index=number(thread))
        return found

    def put(self, ph: str, lane: Lane, ts: int, name: str, **more: Any) -> None:
        self.out.append({"ph": ph, "name": name, "pid": self.pids[lane[0]], "tid": self.lanes[lane], "ts": ts, **more})

    # ---- slices

    def slice(self, n: int, e: Event, service: str) -> None:
        """Something that happens at once."""
        fields = {
            **e, "service": service, "mail": _mail(e), "ready": ", ".join(e.get("what", ())),
            "node": world(e, _NODE), "world": world(e, _WORLD),
            "whom": e.get("co") or "?", "how": "" if e.get("queued") else ": not sleeping",
            "did": f"{e.get('action')} {e.get('detail')}".strip(),
        }  # fmt: skip
        process, thread, name, cat = (text.format_map(fields) for text in _SLICES[e["e"]])
        self.happens(self.lane(process, thread), n, name, cat)

    def happens(self, lane: Lane, n: int, name: str, cat: str) -> None:
        event = self.trace.whole[n]
        args = {"event": n, "text": " ".join(line(event).split()), **({"at": event["at"]} if "at" in event else {})}
        self.put("X", lane, self.moments[n], name, cat=cat, dur=1, args=args)
        self.drawn[n] = lane

    def open(self, lane: Lane, n: int, name: str, args: dict[str, Any], colour: str) -> None:
        self.close(lane, self.moments[n])
        self.tasks.setdefault(lane, (self.moments[n], "task"))
        self.spans[lane] = self.moments[n], name, {"cname": f"thread_state_{colour}", "args": args}

    def close(self, lane: Lane, ts: int, **args: Any) -> None:
        if lane in self.spans:
            since, name, more = self.spans.pop(lane)
            cat = "parked" if more["cname"] == "thread_state_sleeping" else "run"
            self.put("X", lane, since, name, cat=cat, dur=ts - since, **{**more, "args": more["args"] | args})

    def finish(self, lane: Lane, ts: int) -> None:
        self.close(lane, ts)
        if lane in self.tasks:
            since, name = self.tasks.pop(lane)
            self.put("X", lane, since, name, cat="task", dur=ts - since)

    def unqueue(self, n: int, ts: int) -> None:
        if n in self.queued:
            self.put("e", self.queued.pop(n), ts, _QUEUED, cat="mailbox", id2={"local": str(n)})

    def flow(self, n: int, e: Event) -> None:
        """The arrow from its cause, if both are drawn, and not in the same lane."""
        cause = e.get("cause")
        if cause in self.drawn and n in self.drawn and self.drawn[cause] != self.drawn[n]:
            name = {"resume": e.get("by"), "command": f"driver.{e.get('command')}", "timer_fired": "timer",
                    "ready": "wire"}.get(e["e"])  # fmt: skip
            for ph, number, more in (("s", cause, {}), ("f", n, {"bp": "e"})):
                lane = self.drawn[number]
                self.put(ph, lane, self.moments[number], str(name or _mail(e)), cat="cause", id=n, **more)

    # ---- the scheduler

    def on_co_create(self, n: int, e: Event, service: str) -> None:
        lane = self.lane(service, e["co"])
        self.finish(lane, self.moments[n])
        self.tasks[lane] = self.moments[n], f"{e['for']}: {e['runs']}" if "runs" in e else e["for"]

    def on_resume(self, n: int, e: Event, service: str) -> None:
        lane = self.lane(service, e["co"])
        self.open(lane, n, e["by"], {"event": n, "args": e["args"]}, "running")
        self.drawn[n] = lane

    def on_yield(self, n: int, e: Event, service: str) -> None:
        lane = self.lane(service, e["co"])
        yields = " ".join(str(e[k]) for k in ("command", "what", "session") if k in e)
        self.close(lane, self.moments[n], yields=yields, **({"at": e["at"]} if "at" in e else {}))
        if command(e) in ("EXIT", "QUIT"):
            self.finish(lane, self.moments[n])

    def on_co_error(self, n: int, e: Event, service: str) -> None:
        lane = self.lane(service, e["co"])
        self.put("i", lane, self.moments[n], f"raises {e['error']}", cat="error", s="t", cname="terrible")
        self.finish(lane, self.moments[n])

    def on_exit(self, n: int, e: Event, service: str) -> None:
        for lane in [lane for lane in self.tasks if lane[0] == service]:
            if lane not in self.spans or self.spans[lane][2]["cname"] == "thread_state_sleeping":
                self.finish(lane, self.moments[n])  # who runs now runs on to its QUIT

    def on_mark(self, n: int, e: Event, service: str) -> None:
        outside = not service and e["co"] == "main"
        lane = self.lane(world(e, _WORLD) if outside else service, "marks" if outside else e["co"])
        self.put("i", lane, self.moments[n], e["text"], cat="mark", s="g" if outside else "t", args={"event": n})

    def on_table(self, n: int, e: Event, service: str) -> None:
        if (e["table"], e["op"]) == ("error_queue", "push"):
            self.happens(self.lane(service, _MAILBOX), n, f"session {e['session']} into error_queue", "message")

    def on_push(self, n: int, e: Event, service: str) -> None:
        lane = self.drawn[n]
        args = {"message": _mail(e)}  # all have one name, for Perfetto gives each name a track
        self.put("b", lane, self.moments[n], _QUEUED, cat="mailbox", id2={"local": str(n)}, args=args)
        self.queued[n] = lane

    def on_message(self, n: int, e: Event, service: str) -> None:
        self.unqueue(e.get("cause", -1), self.moments[n])

    on_load = on_handled = on_message


def _mail(e: Event) -> str:
    if "type" in e:
        return f"{e['type']} socket {e['id']}" if "id" in e else str(e["type"])
    if e["e"] == "load" or e.get("by") == "launch":
        return "launch"
    return f"{e.get('ptype')} {e['session']}" if e.get("session") else str(e.get("ptype"))


def _microseconds(trace: Film) -> list[int]:
    try:
        times, unit = trace.times()
    except ValueError:  # there are none, or of clocks that are not one
        return list(trace.numbers)
    first, each = (0.0, 1e6) if unit == "s" else (int(trace.snapshot.get("now", 0)), 10_000)
    return [round((times[n] - first) * each) + n for n in trace.numbers]
