"""The timeline: one row for each coroutine, green where it is resumed, red where it yields.

One idea: a picture is for somebody. So this file decides what of a run can be read at
once (all of it, or an overview with one stretch enlarged below), has it drawn
(drawing.py), and says in words what is to be seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..trace.language import speaking
from .density import DENSE, DRAWN, Density
from .drawing import Drawing
from .figure import DARK, LIGHT, Timeline, legible
from .forms import count, word
from .lanes import Services, called, selected
from .layout import LEFT, RIGHT
from .overview import Overview
from .story import Story, window
from .words import describe

if TYPE_CHECKING:
    from ..trace import Trace

_STRIP = 2.5  # width of a column of the overview
_TALE = 60  # sentences of the alt text
_CLOSE_LANES = 20  # coroutines that get a row where a stretch is enlarged


def timeline(
    trace: Trace, *, services: Services | None = None, start: int = 0, stop: int | None = None, by: str = "event",
    fold: bool | Services = True, overview: bool | tuple[int, int] | None = None, title: str | None = None,
    dark: bool = False, figsize: tuple[float, float] | None = None, max_lanes: int = 120, lang: str | None = None,
) -> Timeline:  # fmt: skip
    """Draw a trace: who ran, who waited for what, and what brought each coroutine back.

    `services`: None for those of the user's program (the services that every node
    boots are left out), "all", or an address or name, or several. `start`, `stop`:
    event numbers as `trace.text()` prints them, as in a slice; a part of a trace
    (`trace[10:40]`, `trace.only(...)`, `trace.around(...)`) draws just that part.
    `by`: "event", or "time", which pulls apart what did not happen at one moment.
    `fold`: services that get one thin row each, by address or name; True for those
    of which no coroutine does anything here, False for none.
    `overview`: a run of more than 1500 events to be drawn is drawn as counts, with
    its busiest stretch enlarged below; True or False decides it, and a pair of event
    numbers says which stretch is enlarged.
    `figsize`: inches, and more if the rows need more. `max_lanes`: how many
    coroutines get a row; the picture says how many did not.
    `lang`: "en", "zh", or that of the process; where no font has its letters the
    picture is in English, and its alt text in the language that was wished.
    Raises ValueError for a service that the trace does not know, for times of a
    recording that has none, and for a language that is not there.
    """
    with speaking(lang) as wished, speaking(legible(wished)):
        return _timeline(trace, services, start, stop, by, fold, overview, title, dark, figsize, max_lanes, wished)


def _timeline(
    trace: Trace, services: Services | None, start: int, stop: int | None, by: str, fold: bool | Services,
    overview: bool | tuple[int, int] | None, title: str | None, dark: bool, figsize: tuple[float, float] | None,
    max_lanes: int, lang: str,
) -> Timeline:  # fmt: skip
    if by not in ("event", "time"):
        raise ValueError(f"by={by!r} is no axis: 'event' or 'time'")
    clock = trace.times() if by == "time" else None
    shown, span = selected(trace, services), window(trace, start, stop)
    events = trace.whole.events
    if overview is None:
        drawn = [e for e in (events[i] for i in span) if e["e"] in DRAWN]
        overview = sum(e.get("service", "") in shown or "service" not in e for e in drawn) > DENSE
    over = None
    if overview and span:
        where = clock[0] if clock else range(len(events))
        width = (figsize[0] * 72 if figsize else 980.0) - LEFT - RIGHT
        density = Density(trace, shown, span, where, max(1, int(width / _STRIP)))
        start, stop = overview if isinstance(overview, tuple) else density.busiest()
        start, stop = max(span.start, start), min(span.stop, stop)
        over = Overview(density, clock[1] if clock else "event", (start, stop))
        acting = [e for e in events[start:stop] if e["e"] in DRAWN and e.get("service") in shown]
        services = {e["service"] for e in acting}
        max_lanes = min(_CLOSE_LANES, len({(e["service"], e["co"]) for e in acting if e["e"] in ("resume", "yield")}))
    story = Story(trace, services, start, stop, max_lanes, fold=fold)
    if title is None:
        title = (
            trace.whole.origin
            or word("fig.comma").join(story.nodes)
            or _listed([called(s, story.names) for s in sorted(shown)], 3)
        )
    drawing = Drawing(story, title, DARK if dark else LIGHT, figsize, clock, over)
    figure = drawing.draw()
    with speaking(lang):  # the picture itself may be in English: no font has to have these letters
        _describe(figure, story, drawing.title, over)
    if over is None:
        part = trace if trace.whole is not trace else trace[story.window.start : story.window.stop]
        figure.tale = lambda: describe(part, services=shown, limit=_TALE, lang=lang)
    return figure


def _listed(names: list[str], most: int) -> str:
    """The first of them, and how many more there are."""
    more = word("fig.and_more", n=len(names) - most) if len(names) > most else ""
    return word("fig.comma").join(names[:most]) + more


def _describe(figure: Timeline, story: Story, title: str, overview: Overview | None) -> None:
    """One line for those who list pictures, and the alt text: what is to be seen, not yet what it tells."""
    events, lanes = len(story.columns), story.lanes
    resumes = count(sum(m.kind == "resume" for m in story.marks), "resume")
    coroutines = count(sum(lane.kind == "coroutine" for lane in lanes), "coroutine")
    names = _listed([word("alt.row", title=x.title, note=x.note) if x.note else x.title for x in lanes], 12)
    seen = {"events": count(events, "event"), "rows": count(len(lanes), "row"), "names": names}
    told = word("alt.rows" if names else "alt.rows.none", **seen) + word("alt.told", resumes=resumes)
    if overview:
        d, (first, end) = overview.density, overview.close
        events, coroutines, resumes = len(d.window), count(d.coroutines, "coroutine"), count(d.resumes, "resume")
        numbers = {"first": first, "last": end - 1}
        told = word("alt.overview", events=count(events, "event"), coroutines=coroutines, **numbers, told=told)
    figure.summary = word("alt.summary", events=count(events, "event"), coroutines=coroutines, resumes=resumes)
    figure.description = word("alt.title", title=repr(title), told=told)
