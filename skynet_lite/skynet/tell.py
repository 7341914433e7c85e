"""What a recording sees of a service: its tables and coroutines, replaced by ones that tell.

The scheduler knows nothing of recorders. While somebody records, its tables are dicts
and queues that tell of every change, its coroutines tell what the scheduler notes on
them, `resume` tells who resumes whom and what comes back, and its class is one whose
few methods below tell what no table shows. `observe` and `leave` are called between two
messages only: then no code holds one of the tables.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from ..core.locks import locked
from ..core.message import PTYPE_RESPONSE, Message
from ..core.places import here, stack_of, stack_of_error, task_of
from .coroutine import BREAK, CALL, EXIT, QUIT, SLEEP, SUSPEND, Coroutine, coroutine_resume, running
from .scheduler import NOTHING, Response, Scheduler
from .socket import PoolSocket

if TYPE_CHECKING:
    from ..core.context import Context
    from .queue import CriticalSection

Emit = Callable[[tuple[Any, ...]], Any]
_set, _del, _pop = dict.__setitem__, dict.__delitem__, dict.pop
_NO_LOCK: Any = nullcontext()

# ---- tables


class Table(dict[Any, Any]):
    """A dict that tells of each change: its name in skynet, and the session or id it is about."""

    __slots__ = ("emit", "handle", "name")

    def __init__(self, s: Scheduler, name: str, emit: Emit) -> None:
        super().__init__(getattr(s, name) or {})
        self.name, self.handle, self.emit = name, s.handle, emit

    def __setitem__(self, key: Any, value: Any) -> None:
        _set(self, key, value)
        emit = self.emit
        emit(("table", self.handle, self.name, "set", key, value))

    def __delitem__(self, key: Any) -> None:
        _del(self, key)
        emit = self.emit
        emit(("table", self.handle, self.name, "clear", key, 0))

    def pop(self, key: Any, default: Any = None) -> Any:
        value = _pop(self, key, default)
        if value is not default:
            emit = self.emit
            emit(("table", self.handle, self.name, "clear", key, 0))
        return value


class Sessions(Table):
    """session_id_coroutine."""

    __slots__ = ()

    def __setitem__(self, session: Any, co: Any) -> None:
        _set(self, session, co)
        emit = self.emit
        if co is BREAK:
            op = "abandon" if sys._getframe(1).f_code.co_name == "abandon" else "break"
            emit(("table", self.handle, "session_id_coroutine", op, session, 0))
        else:
            emit(("table", self.handle, "session_id_coroutine", "set", session, co.n))


class Pool(Table):
    """socket_pool, and the sockets in it: see `PoolSocket.label`."""

    __slots__ = ()

    def __setitem__(self, id: int, s: Any) -> None:
        dict.__setitem__(self, id, s)
        s.__class__ = observed_socket()
        if s.protocol != "TCP":  # else it is told of as soon as somebody waits for it
            self.tell(s)

    def tell(self, s: Any) -> None:
        if self.get(s.id) is s:
            self.emit(("table", self.handle, "socket_pool", "set", s.id, s.label()))

    def pop(self, id: int, default: Any = None) -> Any:
        s = dict.pop(self, id, default)
        if s is not default:
            self.emit(("table", self.handle, "socket_pool", "clear", id, None))
        return s


class Unresponse(Table):
    """unresponse: keyed by the function itself."""

    __slots__ = ()

    def __setitem__(self, r: Response, value: None) -> None:
        dict.__setitem__(self, r, value)
        self.emit(("table", self.handle, "unresponse", "set", r.session, r.address))

    def __delitem__(self, r: Response) -> None:
        dict.__delitem__(self, r)
        self.emit(("table", self.handle, "unresponse", "clear", r.session, r.address))


class Dead(set[int]):
    """dead_service."""

    def __init__(self, s: Scheduler, emit: Emit) -> None:
        super().__init__(s.dead_service or ())
        self.handle, self.tell = s.handle, emit

    def add(self, source: int) -> None:
        super().add(source)
        self.tell(("table", self.handle, "dead_service", "set", None, source))


class Queue(deque[Any]):
    __slots__ = ("emit", "s")

    def __init__(self, s: Scheduler, name: str, emit: Emit) -> None:
        super().__init__(getattr(s, name))
        self.s, self.emit = s, emit


class Errors(Queue):
    """error_queue."""

    __slots__ = ()

    def append(self, session: int) -> None:
        deque.append(self, session)
        self.emit(("table", self.s.handle, "error_queue", "push", session, 0))

    def popleft(self) -> Any:
        session = deque.popleft(self)
        self.emit(("table", self.s.handle, "error_queue", "pop", session, 0))
        return session


class Wakeups(Queue):
    """wakeup_queue: entries are coroutines, or a token and who slept with it."""

    __slots__ = ()

    def append(self, entry: Any) -> None:
        deque.append(self, entry)
        co = entry[1] if type(entry) is tuple else entry
        emit = self.emit
        emit(("wakeup", self.s.handle, co.n, True, running().n, stack_of(sys._getframe(2))))

    def popleft(self) -> Any:
        entry = deque.popleft(self)
        co = (self.s.sleep_tokens or {}).get(entry[0]) if type(entry) is tuple else entry
        if co is None or co.sleeping is None:
            self.emit(("wakeup_skip", self.s.handle, 0 if co is None else co.n))
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


# ---- coroutines


class ObservedCoroutine:
    """A coroutine that tells of `sleep_session` and `session_response`, which stand on it."""

    __slots__ = ()
    _sleeping, _responded = Coroutine.__dict__["sleeping"], Coroutine.__dict__["responded"]

    def _sleeps(self: Any, session: int | None) -> None:
        before = getattr(self, "sleeping", None)
        ObservedCoroutine._sleeping.__set__(self, session)
        s = self.service
        if session is not None:
            emit = s.emit
            emit(("table", s.handle, "sleep_session", "set", session, self.n))
        elif before is not None and running() is not self.hub:  # else it is being killed
            s.emit(("table", s.handle, "sleep_session", "clear", before, self.n))

    def _responds(self: Any, yes: bool) -> None:
        ObservedCoroutine._responded.__set__(self, yes)
        if yes:
            s = self.service
            s.emit(("table", s.handle, "session_response", "set", None, self.n))

    sleeping = property(_sleeping.__get__, _sleeps)
    responded = property(_responded.__get__, _responds)


@cache
def observed_coroutine(plain: type) -> type:
    return type(plain.__name__, (ObservedCoroutine, plain), {"__slots__": (), "observes": plain})


class ObservedSocket:
    """A socket of socket_pool: it tells when its words have changed."""

    __slots__ = ()

    def _tells(name: str) -> Any:  # type: ignore[misc]
        slot = PoolSocket.__dict__[name]

        def set_(self: Any, value: Any) -> None:
            slot.__set__(self, value)
            self.service.socket_pool.tell(self)

        return property(slot.__get__, set_)

    co, connected, closing = map(_tells, ("co", "connected", "closing"))


@cache
def observed_socket() -> type:
    return type("PoolSocket", (ObservedSocket, PoolSocket), {"__slots__": (), "observes": PoolSocket})


# ---- the scheduler

_REQUEST, _RESPONSE, _TRUE, _FALSE, _BROKEN = ("request",), ("response",), (True,), (False,), (False, BREAK)
_NONE = object()
_CREATED_FOR = {"timeout": "timeout", "fork": "fork"}


def recording_resume(s: Any) -> Callable[..., Any]:
    """`resume`, which tells by whom a coroutine is resumed, and what it yields.

    Each function of the scheduler hands in something of its own, so the arguments say which one it was.
    """
    emit, handle = s.emit, s.handle

    def resume(co: Any, ok: Any = _NONE, value: Any = _NONE) -> Any:
        n = co.n
        if ok is _NONE:
            by, shown = ("raw_dispatch_message", _REQUEST) if co.session is not None else ("fork", ())
            emit(("resume", handle, n, by, shown))
            yielded = coroutine_resume(co)
        elif value is _NONE:
            emit(("resume", handle, n, "suspend", _TRUE if ok is True else _FALSE if ok is False else _RESPONSE))
            yielded = coroutine_resume(co, ok)
        else:
            if ok:
                emit(("resume", handle, n, "raw_dispatch_message", _TRUE))
            elif value is BREAK:
                emit(("resume", handle, n, "dispatch_wakeup", _BROKEN))
            else:
                emit(("resume", handle, n, "dispatch_error_queue", _FALSE))
            yielded = coroutine_resume(co, ok, value)
        command, param = yielded
        if command is EXIT or command is QUIT or command is SUSPEND:
            emit(("yield", handle, n, command, None, None))
        else:
            at = stack_of((co if co.inner is None else co.inner).gr_frame)
            emit(("yield", handle, n, command, param if command is CALL or command is SLEEP else None, at))
        return yielded

    return resume


@cache
def observed_scheduler(plain: Any) -> Any:
    """The class of schedulers that tell what no table shows, in place of `plain`."""
    slot = Scheduler.__dict__["socket_pool"]

    class Observed(plain):  # type: ignore[misc]
        __slots__ = ()
        __qualname__ = plain.__qualname__
        observes = plain
        coroutine = observed_coroutine(Coroutine)

        def raw_dispatch_message(self, message: Message) -> None:
            ptype, session, source, payload = message
            emit = self.emit
            emit(("message", self.handle, ptype, session, source, payload))
            plain.raw_dispatch_message(self, message)

        def co_create(self, f: Callable[..., Any], args: tuple[Any, ...]) -> Coroutine:
            new = self.pooled is None
            co: Coroutine = plain.co_create(self, f, args)
            what = _CREATED_FOR.get(sys._getframe(1).f_code.co_name, "message")
            self.emit(("co_create", self.handle, co.n, new, what, running().n, task_of(f)))
            return co

        def _set_pool(self, pool: Any) -> None:
            slot.__set__(self, pool)
            if type(pool) is dict:
                slot.__set__(self, Pool(self, "socket_pool", self.emit))

        socket_pool = property(slot.__get__, _set_pool)

        def send(self, to: Any, ptype: int, session: int, payload: Any) -> bool:
            target = self.contexts.get(to) if type(to) is int else None
            if target is None:
                done: bool = plain.send(self, to, ptype, session, payload)  # the node tells
                return done
            n, emit = getattr(running(), "n", 0), self.emit
            emit(("send", self.handle, to, ptype, session, n, here() if n else None))
            queued = not target.mailbox.in_global
            plain.send(self, to, ptype, session, payload)
            emit(("push", to, ptype, session, self.handle, "send", queued, 0))
            return True

        def set_timer(self, session: int, ti: int) -> None:
            n = running().n
            at = here() if n else None
            if ti <= 0:
                self.emit(("timer_set", self.handle, session, 0, n, at))
                queued = not self.mailbox.in_global
                plain.set_timer(self, session, ti)
                self.emit(("push", self.handle, PTYPE_RESPONSE, session, 0, "timer", queued, 0))
            else:
                clock = self.node.clock
                plain.set_timer(self, session, ti)
                self.emit(("timer_set", self.handle, session, clock.now() + ti if clock.virtual else ti, n, at))

        def redirect(self, target: Context, message: Message) -> None:
            at = stack_of(sys._getframe(2))
            self.emit(("send", self.handle, target.handle, *message[:2], getattr(running(), "n", 0), at))
            plain.redirect(self, target, message)

        def dispatch_failed(self, message: Message, failure: str) -> None:
            self.emit(("dispatch_failed", self.handle))
            plain.dispatch_failed(self, message, failure)

        def died(self, co: Coroutine, error: BaseException) -> None:
            plain.died(self, co, error)
            self.emit(("co_error", self.handle, co.n, str(error).split("\n")[0], stack_of_error(error)))

        def killed(self, co: Coroutine, by: int) -> None:
            plain.killed(self, co, by)
            self.emit(("kill", self.handle, co.n, by))

        def _abandon(self, co: Coroutine) -> None:
            plain._abandon(self, co)
            self.emit(("table", self.handle, "session_coroutine_id", "clear", None, co.n))

        def ignore(self, co: Coroutine) -> None:
            plain.ignore(self, co)
            self.emit(("table", self.handle, "session_coroutine_id", "clear", None, co.n))

        def sleeps_not(self, co: Coroutine | None) -> None:
            n = 0 if co is None else co.n
            self.emit(("wakeup", self.handle, n, False, running().n, stack_of(sys._getframe(2))))

        def queue_changed(self, number: int, section: CriticalSection, op: str, co: Any) -> None:
            plain.queue_changed(self, number, section, op, co)
            self.emit(("table", self.handle, "queue", op, number, getattr(co, "n", 0)))

    return locked("send", "set_timer", "redirect")(Observed) if hasattr(plain, "lock") else Observed


# ---- coming and going

_TABLES: dict[str, type[Table]] = {
    "session_id_coroutine": Sessions, "watching_session": Table, "unresponse": Unresponse,
}  # fmt: skip


class ObservedServer:
    """The socket server."""

    emit: Emit
    _writer: tuple[int, Any] | None = None

    def _command(self: Any, name: str, id: int, opaque: int, *rest: Any) -> None:
        super()._command(name, id, opaque, *rest)  # type: ignore[misc]
        self.emit(("driver", opaque, name, id, here()))

    def _carry_out(self: Any, command: tuple[Any, ...]) -> None:
        name, id, opaque, *_ = command
        self.emit(("command", opaque, name, id))
        super()._carry_out(command)  # type: ignore[misc]

    def _reserve(self: Any, opaque: int, sock: Any) -> Any:
        s = super()._reserve(opaque, sock)  # type: ignore[misc]
        self.emit(("socket", opaque, s.id, s.state))
        return s

    def _set_state(self: Any, s: Any, state: str) -> None:
        super()._set_state(s, state)  # type: ignore[misc]
        self.emit(("socket", s.opaque, s.id, state))

    def _ready(self: Any, s: Any, mask: int) -> None:
        self.emit(("ready", s.opaque, s.id, mask))
        super()._ready(s, mask)  # type: ignore[misc]

    def send(self: Any, opaque: int, id: int, data: bytes, low: bool = False) -> bool:
        with getattr(self, "lock", _NO_LOCK):
            self._writer = opaque, here()
            try:
                return bool(super().send(opaque, id, data, low))  # type: ignore[misc]
            finally:
                self._writer = None

    def _wrote(self: Any, s: Any, sent: int, data: Any) -> None:
        opaque, at = self._writer or (s.opaque, None)
        self.emit(("write", opaque, s.id, sent, len(data), at))
        super()._wrote(s, sent, data)  # type: ignore[misc]


_QUEUES: dict[str, type[Queue]] = {"wakeup_queue": Wakeups, "fork_queue": Forks, "error_queue": Errors}


def observe(s: Any, emit: Emit) -> None:
    """Have service `s` tell `emit` what happens in it."""
    leave(s)
    s.__class__ = observed_scheduler(type(s))
    s.emit = emit
    for name, table in _TABLES.items():
        setattr(s, name, table(s, name, emit))
    for name, queue in _QUEUES.items():
        setattr(s, name, queue(s, name, emit))
    s.dead_service = Dead(s, emit)
    for co in s.coroutines.values():
        co.__class__ = observed_coroutine(type(co))
    if s.socket_pool is not None:
        s.socket_pool = dict(s.socket_pool)
        for socket in s.socket_pool.values():
            socket.__class__ = observed_socket()
    s.resume = recording_resume(s)


def leave(s: Any) -> None:
    """Leave it as it was."""
    if not hasattr(s, "observes"):
        return
    s.__class__ = s.observes
    s.emit = None
    for name in _TABLES:
        setattr(s, name, dict(getattr(s, name)))
    for name in _QUEUES:
        setattr(s, name, deque(getattr(s, name)) if getattr(s, name) else NOTHING)
    s.dead_service = set(s.dead_service) or None
    for co in s.coroutines.values():
        co.__class__ = getattr(co, "observes", type(co))
    if s.socket_pool is not None:
        for socket in s.socket_pool.values():
            socket.__class__ = PoolSocket
        s.socket_pool = dict(s.socket_pool)
    s.resume = coroutine_resume


@cache
def observed_server(plain: Any) -> Any:
    return type(plain.__name__, (ObservedServer, plain), {"observes": plain})


def observe_sockets(server: Any, emit: Emit) -> None:
    leave_sockets(server)
    server.__class__ = observed_server(type(server))
    server.emit = emit


def leave_sockets(server: Any) -> None:
    if isinstance(server, ObservedServer):
        server.__class__ = server.observes
