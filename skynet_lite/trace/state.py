"""The tables at any moment of a trace, rebuilt from the trace alone.

`Tables` begins with the snapshot and takes one event after the other; what each does
to them is the rule of its kind (kinds.py), said in small steps (steps.py).
"""

from __future__ import annotations

from typing import Any

from .kinds import KINDS, Event
from .shapes import put_in_order, twin
from .steps import Steps


class Tables(Steps):
    """All tables; `apply` moves them on by one event, `view` gives them out."""

    def apply(self, event: Event) -> None:
        kind = KINDS.get(event["e"])
        if kind is not None and kind.rule is not None:
            kind.rule(self, event.get("service", ""), event)

    def view(self) -> dict[str, Any]:
        """The tables now, in skynet's shape; a copy."""
        shown: dict[str, Any] = twin(self.all)
        for t in shown["services"].values():
            if "session_coroutine_id" in t:
                put_in_order(t)
        for node in shown.get("nodes", {"": shown}).values():
            node["timers"].sort(key=lambda timer: timer[0])
            node["sockets"] = dict(sorted(node["sockets"].items()))
        return shown

    def copy(self) -> Tables:
        twin = Tables(self.all, self.foreign)
        twin.request = dict(self.request)
        return twin
