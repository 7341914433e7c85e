"""The viewer as a widget of a notebook.

One idea: whatever can go wrong with a widget (no kernel, no trust, a page made by
nbconvert) leaves the picture of one step (frame.py), which is stored beside it. The state
of the widget itself is in no saved notebook; its data, packed, are in the metadata of
the output, where Jupyter passes over them. Who builds pages from stored notebooks
can make viewers of them again (page.standalone).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ..trace.files import to_json
from ..trace.language import speaking
from .forms import count, word
from .frame import WIDTH, frame
from .page import script
from .payload import pack, payload

try:
    import anywidget
    import traitlets
except ImportError as e:  # pragma: no cover  # tested in a process of its own
    raise ImportError(
        f"the stepper is an anywidget, which is not installed ({e}): pip install 'skynet_lite[notebooks]'; "
        "trace.to_html(path) needs neither"
    ) from None

if TYPE_CHECKING:
    from ..trace import Trace


class Stepper(anywidget.AnyWidget):
    """What `trace.stepper()` returns. `step`: the event it stands at; set it to go there."""

    _esm = script()
    payload = traitlets.Unicode().tag(sync=True)
    step = traitlets.Int(-1).tag(sync=True)
    theme = traitlets.Unicode("").tag(sync=True)

    def __init__(self, trace: Trace, *, step: int | None = None, theme: str = "", **options: Any) -> None:
        data = payload(trace, **options)
        first, events = data["first"], len(data["kinds"][1])
        if step is not None and not first <= step < first + events:
            raise ValueError(f"no step {step} here: events {first} to {first + events - 1}")
        super().__init__(
            payload=to_json(data),
            step=first if step is None else step,
            theme=theme,
        )
        self._trace, self._start, self._lang = trace, step, data["lang"]
        self._title, self._services = options.get("title"), options.get("services")
        coroutines = sum(lane[1] == "coroutine" for lane in data["lanes"])
        with speaking(data["lang"]):
            self.summary = word("alt.stepper", events=count(events, "event"), coroutines=count(coroutines, "coroutine"))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, a text that is the same on every machine, and the picture for where no widget can be."""
        shown = super()._repr_mimebundle_(**kwargs)
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        data = {**(data or {}), "text/plain": self.summary}
        metadata = {**metadata, "skynet_lite": {"stepper": pack(self.payload), "step": self.step, "theme": self.theme}}
        if not self._trace:
            return data, metadata
        still = frame(self._trace, self._start, services=self._services, title=self._title, lang=self._lang)
        data["image/svg+xml"] = still.svg
        try:
            data["image/png"] = base64.b64encode(still.png()).decode("ascii")
        except ImportError:
            return data, metadata  # no matplotlib: the vector picture alone
        size = {"width": WIDTH, "height": still.height}
        return data, {**metadata, "image/png": {"alt": still.alt, **size}}
