"""A trace: the film of a run (film.py), and what can be asked of it.

Each question is answered in a file of its own; who draws stands above, behind a door.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..doors import door
from . import chrome, export, files, text
from .diff import Diff
from .film import Film
from .golden import golden
from .kinds import Event
from .merge import Wires, merge
from .verdicts import SLOW, Verdicts, judge
from .waits import Waits, Who, behind


class Trace(Film):
    """What was recorded, and can be asked: events, tables, times and parts are those of a Film."""

    # ---- questions

    def find(self, e: str, after: int = -1, **fields: Any) -> int:
        """The number of the first event of kind `e` behind event `after` that has all these fields.

        Raises LookupError if there is none, and says what comes nearest.
        """
        near = 0
        for n in range(after + 1, len(self)):
            event = self[n]
            if event["e"] == e:
                if all(event.get(key) == value for key, value in fields.items()):
                    return n
                near += 1
        wanted = " ".join([e, *(f"{key}={value!r}" for key, value in fields.items())])
        raise LookupError(f"no event {wanted} behind {after}; there are {near} of kind {e}")

    def causes(self, i: int) -> list[int]:
        """The chain of causes of event `i`, from itself back: numbers of events of the whole trace.

        What is noted as a cause counts; what a coroutine does is caused by the resume it runs in, and what the
        scheduler does (it sends an answer, say) by the yield, or the message, that it does it for.
        """
        events = self.whole.events
        n: int | None = self.numbers[i]
        chain = []
        while n is not None:
            chain.append(n)
            event = events[n]
            n = event.get("cause")
            co = event.get("in", event.get("co"))
            if n is None and co is not None and event["e"] != "resume":
                kinds = ("yield", "co_error", "message", "load") if co == "main" else ("resume",)
                lane = {"service": event.get("service")} | ({} if co == "main" else {"co": co})
                earlier = (k for k in range(chain[-1] - 1, -1, -1) if lane.items() <= events[k].items())
                n = next((k for k in earlier if events[k]["e"] in kinds), None)
        return chain

    def verdicts(self, slow: float = SLOW) -> Verdicts:
        """What went wrong, in plain sentences (verdicts.py); of a part, what shows in it.

        `slow`: seconds after which the dispatch of one message is too long, where a real clock saw it.
        """
        found = judge(self.whole, slow)
        if self.whole is not self:
            shown = set(self.numbers)
            found[:] = [v for v in found if v.event in shown]
        return found

    def waits(self, i: int = -1) -> Waits:
        """Who waits for whom after event `i` (negative: from the end)."""
        past = self.whole.events[: self.numbers[i] + 1 if len(self) else 0]
        places: dict[Who, str] = {}
        for e in past:
            if e["e"] == "yield":
                places[e.get("service", ""), e["co"]] = e.get("at", "")
            elif e["e"] == "begin":
                places |= {(e["service"], co): place for co, place in e["places"].items()}
        return Waits(self.state(i), places, behind(past, self.names()))

    def diff(self, other: Trace, names: dict[int | str, str] | None = None) -> Diff:
        """This run and another side by side (diff.py): where they part, and what only one of them did.

        One of them, or both, may be a recording of the real skynet; `names` says which of
        our services (address) is which of the recording's (`"A"`), else the order of birth does.
        Raises ValueError for names that are not there.
        """
        return Diff(self, other, names)

    def merge(self, *others: Trace, names: Sequence[str] | None = None, wires: Wires | None = None) -> Trace:
        """This trace and others as one, of several nodes: `Trace.merge(a, b, names=("front", "game"))` (merge.py).

        Each trace keeps its order, and what a node sends comes before what another receives; clocks are not trusted.
        Addresses get the name of their node, `front:00000008`, by default A, B, ... in the order of the arguments,
        which is also that of the lanes. `wires`: connections that addresses do not tell, node and socket id of one
        end → those of the other: `{("front", 3): ("game", 2)}`. Raises ValueError if nothing went between them,
        if no order fits, and for what cannot be merged: parts, merged traces, recordings of single services.
        """
        return type(self)(**merge((self, *others), names, wires))

    def golden(self, addr: int | str, detail: bool = True, names: dict[Any, str] | None = None) -> list[Event]:
        """The events of one service in the form of the recordings of the real skynet.

        `names` maps other services' addresses to their labels.
        """
        return [event for _, event in golden(self, addr, detail, names)]

    # ---- looking at it

    def text(self, *, detail: bool = True, service: int | str | None = None) -> str:
        """The canonical text, one line an event: number, service, coroutine, what happened.

        `detail=False` leaves out tables and bookkeeping, `service` all other services.
        """
        return text.text(self, detail, service)

    def describe(self, **options: Any) -> str:
        """What the timeline shows, in sentences, one a line; see view.words.describe for the options."""
        told: str = door("describe")(self, **options)
        return told

    def timeline(self, **options: Any) -> Any:
        """A matplotlib figure of the coroutines; see view.timeline.timeline for the options."""
        return door("timeline")(self, **options)

    def stepper(self, **options: Any) -> Any:
        """The viewer as a widget, to step back and forth in a notebook.

        `step`: the event to begin at; `services`, `title`, `lang` as in view.payload.payload.
        """
        return door("stepper")(self, **options)

    def to_html(self, path: str | os.PathLike[str], **options: Any) -> None:
        """The viewer as a page of its own, for any browser, offline; see view.page.page for the options."""
        door("page")(self, path, **options)

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file; its suffix says of which kind, see export.py. `load` reads .json and .jsonl back.

        Raises ValueError for a suffix that is not known, OSError if it cannot be written.
        """
        export.save(self, path)

    def to_chrome(self) -> dict[str, Any]:
        """In Chrome's trace event format, for ui.perfetto.dev or chrome://tracing (chrome.py)."""
        return chrome.events(self)

    def to_mermaid(self) -> str:
        """As a sequence diagram in the language of Mermaid; see view.mermaid."""
        drawn: str = door("mermaid")(self)
        return drawn

    @classmethod
    def load(cls, path: files.Paths, root: str | os.PathLike[str] | None = None) -> Trace:
        """Read a stored trace; or what a probe has written in a real skynet: a folder of streams, one or several.

        Of streams, `root` is the folder in which the node was started: its Lua files are looked for there, else here,
        where the stream says, and beside the streams. Raises TraceError for what is none, OSError if it cannot be read.
        """
        return cls(**files.read(path, root))


class Part(Trace):
    """Some events of a trace: `trace[10:40]`, `trace.only(...)`, `trace.around(...)`."""


Trace.part_type = Part
