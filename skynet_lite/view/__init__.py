"""Ways to look at a trace. Needs `skynet_lite.trace` and no node, no greenlet, no epoll.

Names load when they are first used: the figures want matplotlib and the stepper
anywidget; the page of its own wants neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .page import page as page
    from .payload import payload as payload
    from .stepper import Stepper as Stepper
    from .timeline import timeline as timeline
    from .words import describe as describe, sentences as sentences

_HOME = {
    "timeline": "timeline", "payload": "payload", "page": "page", "Stepper": "stepper", "describe": "words",
    "sentences": "words",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
