"""What the viewer is handed: a trace as one piece of plain data.

One idea: the front end knows how to draw and to step, and no rule of the runtime.
So it gets lanes and arrows ready made (story.py), a sentence for each event
(words.py), and the small steps by which the tables move (trace/state.py).
"""

from __future__ import annotations

import base64
import copy
import json
import zlib
from typing import TYPE_CHECKING, Any

from ..trace.language import speaking
from ..trace.steps import Step
from ..trace.text import line, printable
from .forms import forms, word
from .story import Story
from .words import sentences

if TYPE_CHECKING:
    from ..trace import Trace

BOOKKEEPING = frozenset(("table", "requeue", "socket", "handled", "load", "dispatch_failed"))
"""Events that are passed over unless a reader wants every one."""
_LEADS = frozenset(("message", "load", "handled", "resume", "yield", "co_error"))
_FROM_OUTSIDE = frozenset(("birth", "push", "load", "handled", "message", "ready", "command", "timer_fired", "socket"))
"""Events that follow from nothing else in their service: their cause is noted, or lies outside."""
_MANY_LANES = 400


def payload(trace: Trace, *, services: Any = None, title: str | None = None, lang: str | None = None) -> dict[str, Any]:
    """The data of the viewer, of a whole trace or of a part of one.

    `services`: whose lanes and events are shown at first, as in `Trace.timeline`.
    `lang`: "en", "zh", or that of the process.
    Raises ValueError for a service or a language that is not there.
    """
    with speaking(lang) as spoken:
        return {**_payload(trace, services, title), "lang": spoken, "words": forms("viewer.")}


def _payload(trace: Trace, services: Any, title: str | None) -> dict[str, Any]:
    whole, numbers = trace.whole, trace.numbers
    first, end = (numbers[0], numbers[-1] + 1) if len(numbers) else (0, 0)
    wanted = services if services is not None else getattr(trace, "services", None)
    story = Story(whole, wanted, first, end, _MANY_LANES)
    events = whole.events[first:end]
    index = {lane.key: k for k, lane in enumerate(story.lanes)}
    stacks: dict[tuple[str, ...], int] = {}
    places = [
        stacks.setdefault(tuple(e["stack"]), len(stacks))
        if "stack" in e
        else stacks.setdefault((e["runs"],), len(stacks))
        if "runs" in e
        else None
        for e in events
    ]
    labels = {place.rpartition(":")[0] for stack in stacks for place in stack}
    names = whole.names()
    tables, steps = _steps(whole, first, end)
    verdicts = [v for v in trace.verdicts() if v.event is not None]
    shown = word("fig.comma").join(f"{names[a]} {a}".strip() for a in sorted(story.shown)[:3])
    return {
        "title": printable(title if title is not None else trace.origin or shown),
        "hidden": story.hidden,
        "first": first,
        "names": names,
        "shown": sorted(story.shown),
        "coroutines": sorted(getattr(trace, "coroutines", None) or ()),
        "kinds": [e["e"] for e in events],
        "quiet": sorted(BOOKKEEPING),
        "services": [e.get("service", "") for e in events],
        "coroutine": [_coroutine(e) for e in events],
        "lines": [line(e).strip() for e in events],
        "say": sentences(whole)[first:end],
        "causes": _causes(whole.events[:end])[first:],
        "by": [e["by"] if e["e"] == "resume" else None for e in events],
        "places": places,
        "stacks": [list(stack) for stack in stacks],
        "sources": {label: text for label, text in whole.sources.items() if label in labels},
        "tables": tables,
        "steps": steps,
        "columns": story.columns,
        "lanes": [[lane.key[0], lane.kind, lane.title, lane.note] for lane in story.lanes],
        "stretches": [[index[s.lane], s.start, s.stop, s.kind, s.label] for s in story.stretches],
        "marks": [[index[m.lane], m.at, m.kind, m.label] for m in story.marks],
        "arrows": [[index[a.source], a.since, index[a.target], a.at, a.kind, a.label] for a in story.arrows],
        "moments": [[x.at, x.label] for x in story.lines],
        "verdicts": [[v.grade, v.event, str(v)] for v in verdicts],
    }


def _coroutine(e: dict[str, Any]) -> str:
    """Who acts in an event; "" for the scheduler and the world."""
    co = e.get("in") if e["e"] in ("wakeup", "fork", "send", "timer_set") else e.get("co")
    return co if co and co != "main" else ""


def _causes(events: list[dict[str, Any]]) -> list[int | None]:
    """What made each event due: what the trace noted, else the switch or the message from which it followed.

    So the chain from a line of code goes on to the readiness of a socket, or to whatever
    came from outside; None there.
    """
    causes: list[int | None] = []
    last: dict[str, int] = {}  # service → its last message or switch
    for i, e in enumerate(events):
        service = e.get("service", "")
        causes.append(e.get("cause", last.get(service) if service and e["e"] not in _FROM_OUTSIDE else None))
        if e["e"] in _LEADS:
            last[service] = i
    return causes


def _steps(trace: Trace, first: int, end: int) -> tuple[dict[str, Any], list[list[Step]]]:
    """The tables before event `first`, and the small steps of each event from there on."""
    tables = trace.tables()
    for event in trace.events[:first]:
        tables.apply(event)
    before = copy.deepcopy(tables.all)
    steps: list[list[Step]] = []
    tables.listener = lambda step: steps[-1].append(copy.deepcopy(step))
    for event in trace.events[first:end]:
        steps.append([])
        tables.apply(event)
    return before, steps


def pack(text: str) -> str:
    """The JSON of a payload, small, in letters that a notebook can keep."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def unpack(packed: str) -> dict[str, Any]:
    """The payload again. Raises ValueError if it is damaged."""
    try:
        data = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
    except zlib.error as e:
        raise ValueError(f"the data of a stepper are damaged: {e}") from None
    if not isinstance(data, dict):
        raise ValueError("the data of a stepper are none")
    return data
