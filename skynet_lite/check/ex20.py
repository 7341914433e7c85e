"""Exercises of notebook 20: what a real skynet tells, and what it costs."""

from typing import Any

from ..course.lab import lab, recording
from .engine import Hints, choice, exercise, hint, plain, yes_or_no
from .programs import FAILED, NOTHING, Run, a_function, run


@exercise("20.1")
def _lines(answer: Any) -> Hints:
    given = plain(answer)
    yield not isinstance(given, dict) and "form"
    lines = {key: str(value).lower() for key, value in given.items()}
    yield lines.get("preload") != "/srv/game/probe/probe.lua" and "preload"
    only = lines.get("probe_only", "")
    yield only == "agent" and "anywhere"
    yield "*" in only and "glob"
    yield only not in ("^agent", "^agent ") and "only"
    yield lines.get("probe_events") != "10000" and "events"
    yield lines.get("probe_data") != "true" and "data"
    yield (len(lines) > 4) and "more"


@exercise("20.2")
def _slowest(slowest: Any) -> Hints:
    a_function(slowest)
    real, (node, virtual) = recording("article"), lab()
    with node:
        node.newservice(lambda: None)
        node.run_until_idle()
    yield slowest(virtual) is not None and "virtual"
    for trace in (real, real.only(service="main"), real[real.find("message", type="ACCEPT") :]):
        found = slowest(trace)
        yield (type(found) is not int or not 0 <= found < len(trace)) and hint("number", found=found)
        yield trace[found]["e"] != "message" and hint("event", e=trace[found]["e"])
        most = max(trace.took(n) or 0.0 for n, e in enumerate(trace) if e["e"] == "message")
        took = trace.took(found) or 0.0
        yield took != most and hint("longer", took=round(took * 1e6), most=round(most * 1e6))


choice("20.3", [4, 6], {
    (5, 6): "whole", (42, 6): "milliseconds", (4, 108): "minute", (4, 0): "second", (4, 110): "events",
    (2, 6): "lines", (4, 7): "rounded",
})  # fmt: skip


@exercise("20.4")
def _homemade(program: Any) -> Hints:
    def script(r: Run) -> None:
        before = r.ask(("limit",))
        paid = r.ask(("pay", 250))
        r.said += [before[0], paid[0]]

    found = run(program, script, dialect="1.8")
    yield found.raised()
    before, paid = found.said
    yield before in (NOTHING, FAILED) and "silent"
    yield before != 100 and hint("limit", answer=before)
    yield paid != NOTHING and hint("pays", answer=paid)
    waits = found.trace.waits()
    yield waits.circles() and "circle"
    kinds = {wait.kind for wait in waits if wait.service == f":{found.addr:08x}"}
    yield not {"call", "sleep"} <= kinds and "lock"


yes_or_no("20.5", "yes", "no", "yes", "no", "no")
