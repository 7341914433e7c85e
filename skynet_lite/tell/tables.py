"""Tables and queues that tell of every change: what a scheduler has while somebody records."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from ..core.places import stack_of
from ..skynet.coroutine import BREAK, Coroutine, running
from ..skynet.scheduler import Scheduler
from ..skynet.socketpool import PoolSocket

Emit = Callable[[tuple[Any, ...]], Any]
_set, _del, _pop, _new = dict.__setitem__, dict.__delitem__, dict.pop, dict.setdefault  # the last costs less than _set


class Table(dict[Any, Any]):
    """A dict that tells of itself: its name in skynet, and the session or id that a change is about."""

    __slots__ = ("emit", "handle", "name")

    def __init__(self, s: Scheduler, name: str, emit: Emit) -> None:
        super().__init__(getattr(s, name) or {})
        self.name, self.handle, self.emit = name, s.handle, emit

    def __setitem__(self, key: Any, value: Any) -> None:
        if _new(self, key, value) is not value:
            _set(self, key, value)
        self.emit(("table", self.handle, self.name, "set", key, value))

    def __delitem__(self, key: Any) -> None:
        _del(self, key)
        self.emit(("table", self.handle, self.name, "clear", key, 0))

    def pop(self, key: Any, default: Any = None) -> Any:
        value = _pop(self, key, default)
        if value is not default:
            self.emit(("table", self.handle, self.name, "clear", key, 0))
        return value


class Sessions(Table):
    """session_id_coroutine. `sleeps`: the session that `suspend` is about to enter, and then in sleep_session, too."""

    sleeps = 0

    def number(self, token: Any) -> int | None:
        """That of a token, where the dialect has them (tell/dialect.py)."""
        return None

    def __setitem__(self, session: Any, co: Any) -> None:
        if co is BREAK:  # woken, or given up
            before: Any = self.get(session)
            _set(self, session, co)
            op = "break" if before.sleeping == session else "abandon"
            self.emit(("table", self.handle, self.name, op, session, 0))
            return
        if _new(self, session, co) is not co:
            _set(self, session, co)
        if session == self.sleeps:
            self.sleeps = 0
            self.emit((
                "table", self.handle, self.name, "set", session, co.n,
                "table", self.handle, "sleep_session", "set", session, co.n,
            ))  # fmt: skip
        else:
            self.emit(("table", self.handle, self.name, "set", session, co.n))


class Pool(Table):
    """socket_pool, and the sockets in it: see `PoolSocket.label`."""

    __slots__ = ()

    def __setitem__(self, id: int, s: Any) -> None:
        _set(self, id, s)
        s.__class__ = TellingSocket
        if s.protocol != "TCP":  # else it is told of as soon as somebody waits for it
            self.tell_words(s)

    def tell_words(self, s: Any) -> None:
        here: Any = self.get(s.id)
        if here is s:
            self.emit(("table", self.handle, self.name, "set", s.id, s.label()))


class TellingSocket(PoolSocket):
    """A socket of socket_pool: it tells when its words have changed."""

    __slots__ = ()

    def _tells(name: str) -> Any:  # type: ignore[misc]
        slot = PoolSocket.__dict__[name]

        def set_(self: Any, value: Any) -> None:
            slot.__set__(self, value)
            self.service.socket_pool.tell_words(self)

        return property(slot.__get__, set_)

    co, connected, closing = map(_tells, ("co", "connected", "closing"))


TellingSocket.__name__ = PoolSocket.__name__


class Unresponse(Table):
    """unresponse: keyed by the function itself."""

    __slots__ = ()

    def __init__(self, s: Scheduler, name: str, emit: Emit) -> None:
        super().__init__(s, name, lambda told: emit((*told[:4], told[4].session, told[4].address)))


class Dead(Table):
    """dead_service."""

    __slots__ = ()

    def __init__(self, s: Scheduler, name: str, emit: Emit) -> None:
        super().__init__(s, name, lambda told: emit((*told[:4], None, told[4])))


class Queue(deque[Any]):
    __slots__ = ("emit", "s")

    def __init__(self, s: Scheduler, name: str, emit: Emit) -> None:
        super().__init__(getattr(s, name))
        self.s, self.emit = s, emit


class Errors(Queue):
    """error_queue."""

    __slots__ = ()

    def append(self, entry: Any) -> None:
        deque.append(self, entry)
        self.emit(("table", self.s.handle, "error_queue", "push", entry[0], 0))

    def popleft(self) -> Any:
        entry = deque.popleft(self)
        self.emit(("table", self.s.handle, "error_queue", "pop", entry[0], 0))
        return entry


class Wakeups(Queue):
    """wakeup_queue: entries are coroutines, or a token and who slept with it."""

    __slots__ = ()

    def append(self, entry: Any) -> None:
        deque.append(self, entry)
        token, co = entry if type(entry) is tuple else (None, entry)
        sessions: Any = self.s.session_id_coroutine
        self.emit(
            ("wakeup", self.s.handle, co.n, True, running().n, sessions.number(token), stack_of(sys._getframe(2)))
        )

    def popleft(self) -> Any:
        entry = deque.popleft(self)
        token = entry[0] if type(entry) is tuple else None
        co = entry if token is None else self.s.sleep_tokens.get(token)
        if co is None or co.sleeping is None:
            sessions: Any = self.s.session_id_coroutine
            self.emit(("wakeup_skip", self.s.handle, 0 if co is None else co.n, sessions.number(token)))
        return entry


class Forks(Queue):
    """fork_queue."""

    __slots__ = ()

    def append(self, co: Coroutine) -> None:
        deque.append(self, co)
        self.emit(("fork", self.s.handle, co.n, running().n, stack_of(sys._getframe(2))))

    def clear(self) -> None:
        if self:
            deque.clear(self)
            self.emit(("table", self.s.handle, "fork_queue", "clear", None, 0))
