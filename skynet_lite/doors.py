"""The few doors that lead up: what a lower room offers and a higher one does.

A trace can be drawn, a node can be run again, and neither imports who does it. The
doors are named here, and each opens when somebody first goes through it; so a trace
is read where there is no greenlet, and no matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "timeline": "view.timeline:timeline",
    "stepper": "view.stepper:Stepper",
    "page": "view.page:write",
    "describe": "view.words:describe",
    "waits": "view.waits:draw",
    "mermaid": "view.mermaid:diagram",
    "dashboard": "view.dashboard:Dashboard",
    "replay": "replay.replay:replay",
    "streams": "probe.streams:read",
}


def door(name: str) -> Any:
    """The function or class behind a door. Raises KeyError, or ImportError for a library that is missing."""
    module, _, what = _DOORS[name].partition(":")
    return getattr(import_module(f"{__package__}.{module}"), what)
