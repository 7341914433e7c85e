"""A service begins to tell, and leaves off: its tables and its class are exchanged."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..skynet.dialect import Today
from ..skynet.scheduler import NOTHING, dress
from ..skynet.socketpool import PoolSocket
from .dialect import TellingToday, TodaySessions
from .services import Telling
from .tables import Dead, Emit, Errors, Forks, Sessions, Table, TellingSocket, Unresponse, Wakeups

_TABLES: dict[str, Any] = {
    "session_id_coroutine": Sessions, "watching_session": Table, "unresponse": Unresponse, "dead_service": Dead,
}  # fmt: skip
_TODAY: dict[str, Any] = {"session_id_coroutine": TodaySessions}
_QUEUES: dict[str, Any] = {"wakeup_queue": Wakeups, "fork_queue": Forks, "error_queue": Errors}


def observe(s: Any, emit: Emit) -> None:
    """Have service `s` tell `emit` what happens in it. Between two of its messages."""
    leave(s)
    s.emit = emit
    today = isinstance(s, Today)
    for name, kind in {**_TABLES, **_QUEUES, **(_TODAY if today else {})}.items():
        setattr(s, name, kind(s, name, emit))
    dress(s, *getattr(s, "mixins", ()), TellingToday if today else Telling)
    if s.socket_pool is not None:
        s.socket_pool = dict(s.socket_pool)
        for socket in s.socket_pool.values():
            socket.__class__ = TellingSocket


def leave(s: Any) -> None:
    """Leave it as it was."""
    if s.emit is None:
        return
    s.emit = None
    dress(s, *(mixin for mixin in s.mixins if not issubclass(mixin, Telling)))
    for name in _TABLES:
        setattr(s, name, dict(getattr(s, name)))
    for name in _QUEUES:
        setattr(s, name, deque(getattr(s, name)) if getattr(s, name) else NOTHING)
    if s.socket_pool is not None:
        for socket in s.socket_pool.values():
            socket.__class__ = PoolSocket
        s.socket_pool = dict(s.socket_pool)
