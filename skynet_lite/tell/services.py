"""A service that tells: its tables, its coroutines, and who resumes whom."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any

from ..core.errors import brief, text_of
from ..core.message import PTYPE_ERROR, Message
from ..core.places import stack_of, stack_of_error, task_of
from ..skynet.coroutine import BREAK, CALL, DONE, EXIT, QUIT, SLEEP, SUSPEND, Coroutine, running
from ..skynet.queue import CriticalSection
from ..skynet.response import Response
from ..skynet.scheduler import NOTHING, Scheduler, dress
from ..skynet.socketpool import PoolSocket
from .tables import Dead, Emit, Errors, Forks, Pool, Sessions, Table, TellingSocket, Unresponse, Wakeups


def content(ptype: int, payload: Any) -> Any:
    """What a recording keeps of a message: of an error why, and not the exception, which holds whole stacks."""
    return getattr(payload, "reason", None) if ptype == PTYPE_ERROR else payload


class TellingCoroutine:
    """A coroutine that tells of `sleep_session` and `session_response`, which stand on it."""

    __slots__ = ()
    _sleeping, _responded = Coroutine.__dict__["sleeping"], Coroutine.__dict__["responded"]

    def _sleeps(self: Any, session: int | None) -> None:
        s, before = self.service, getattr(self, "sleeping", None)
        TellingCoroutine._sleeping.__set__(self, session)
        if session is not None:
            s.emit(("table", s.handle, "sleep_session", "set", session, self.n))
        elif before is not None and running() is not self.hub:  # else it is being killed
            s.emit(("table", s.handle, "sleep_session", "clear", before, self.n))

    def _responds(self: Any, yes: bool) -> None:
        TellingCoroutine._responded.__set__(self, yes)
        if yes:
            self.service.emit(("table", self.service.handle, "session_response", "set", None, self.n))

    sleeping = property(_sleeping.__get__, _sleeps)
    responded = property(_responded.__get__, _responds)


@cache
def telling(plain: type) -> type:
    return type(plain.__name__, (TellingCoroutine, plain), {"__slots__": (), "plain": plain})


_REQUEST, _RESPONSE, _TRUE, _FALSE, _BROKEN = ("request",), ("response",), (True,), (False,), (False, BREAK)
_CREATED_FOR = {"timeout": "timeout", "fork": "fork"}
_POOL = Scheduler.__dict__["socket_pool"]


class Telling:
    """The mixin of a scheduler that tells what no table shows."""

    __slots__ = ()
    coroutine = telling(Coroutine)

    @staticmethod
    def around(s: Any, below: Callable[..., Any]) -> Callable[..., Any]:
        """By whom a coroutine is resumed, which the values say that it is given, and what it yields."""
        emit, handle = s.emit, s.handle

        def resume(co: Any, ok: Any, value: Any) -> Any:
            n = co.n
            if value is DONE:
                shown = _FALSE if ok is False else _RESPONSE if type(ok) is Response else _TRUE
                emit(("resume", handle, n, "suspend", shown))
            elif ok is None:
                by, what = ("fork", ()) if co.session is None else ("raw_dispatch_message", _REQUEST)
                emit(("resume", handle, n, by, what))
            elif ok:
                emit(("resume", handle, n, "raw_dispatch_message", _TRUE))
            elif value is BREAK:
                emit(("resume", handle, n, "dispatch_wakeup", _BROKEN))
            else:
                emit(("resume", handle, n, "dispatch_error_queue", _FALSE))
            yielded = below(co, ok, value)
            command, param = yielded
            if command is EXIT or command is QUIT or command is SUSPEND:
                emit(("yield", handle, n, command, None, None))
            else:
                at = stack_of((co if co.inner is None else co.inner).gr_frame)
                emit(("yield", handle, n, command, param if command is CALL or command is SLEEP else None, at))
            return yielded

        return resume

    def load(self: Any, run: Callable[..., bool], message: Message) -> None:
        self.emit(("load", self.handle, self.name))
        super().load(run, message)  # type: ignore[misc]  # of the scheduler below, here and in all that follow

    def raw_dispatch_message(self: Any, message: Message) -> None:
        ptype, session, source, payload = message
        self.emit(("message", self.handle, ptype, session, source, content(ptype, payload)))
        super().raw_dispatch_message(message)  # type: ignore[misc]

    def co_create(self: Any, f: Callable[..., Any], args: tuple[Any, ...]) -> Coroutine:
        new = self.pooled is None
        co: Coroutine = super().co_create(f, args)  # type: ignore[misc]
        caller: Any = sys._getframe(1)
        if caller.f_code.co_name == "co_create":  # of another mixin
            caller = caller.f_back
        what = _CREATED_FOR.get(caller.f_code.co_name, "message")
        self.emit(("co_create", self.handle, co.n, new, what, running().n, task_of(f)))
        return co

    def joined(self: Any, co: Coroutine, by: int) -> None:
        self.emit(("co_create", self.handle, co.n, True, "request", by, None))

    def _set_pool(self: Any, pool: Any) -> None:
        _POOL.__set__(self, pool)
        if type(pool) is dict:
            _POOL.__set__(self, Pool(self, "socket_pool", self.emit))

    socket_pool = property(_POOL.__get__, _set_pool)

    def dispatch_failed(self: Any, message: Message, errors: list[BaseException]) -> None:
        self.emit(("dispatch_failed", self.handle, brief(errors[-1]), stack_of_error(errors[-1])))
        super().dispatch_failed(message, errors)  # type: ignore[misc]

    def died(self: Any, co: Coroutine, error: BaseException) -> None:
        super().died(co, error)  # type: ignore[misc]
        self.emit(("co_error", self.handle, co.n, text_of(error).split("\n")[0], stack_of_error(error)))

    def killed(self: Any, co: Coroutine, by: int) -> None:
        super().killed(co, by)  # type: ignore[misc]
        self.emit(("kill", self.handle, co.n, by))

    def end_wrong(self: Any, co: Coroutine) -> None:
        super().end_wrong(co)  # type: ignore[misc]
        self.emit(("table", self.handle, "session_coroutine_id", "clear", None, co.n))

    def ignore(self: Any, co: Coroutine) -> None:
        super().ignore(co)  # type: ignore[misc]
        self.emit(("table", self.handle, "session_coroutine_id", "clear", None, co.n))

    def sleeps_not(self: Any, co: Coroutine | None) -> None:
        n = 0 if co is None else co.n
        self.emit(("wakeup", self.handle, n, False, running().n, stack_of(sys._getframe(2))))

    def tagged(self: Any, co: Coroutine, tag: str | None, text: str) -> None:
        self.emit(("tracetag", self.handle, co.n, tag, text))

    def queue_changed(self: Any, number: int, section: CriticalSection, op: str, co: Any) -> None:
        super().queue_changed(number, section, op, co)  # type: ignore[misc]
        self.emit(("table", self.handle, "queue", op, number, getattr(co, "n", 0)))


_TABLES: dict[str, Any] = {
    "session_id_coroutine": Sessions, "watching_session": Table, "unresponse": Unresponse, "dead_service": Dead,
}  # fmt: skip
_QUEUES: dict[str, Any] = {"wakeup_queue": Wakeups, "fork_queue": Forks, "error_queue": Errors}


def observe(s: Any, emit: Emit) -> None:
    """Have service `s` tell `emit` what happens in it. Between two of its messages."""
    leave(s)
    s.emit = emit
    dress(s, *getattr(s, "mixins", ()), Telling)
    for name, kind in {**_TABLES, **_QUEUES}.items():
        setattr(s, name, kind(s, name, emit))
    for co in s.coroutines.values():
        co.__class__ = telling(co.__class__)
    if s.socket_pool is not None:
        s.socket_pool = dict(s.socket_pool)
        for socket in s.socket_pool.values():
            socket.__class__ = TellingSocket


def leave(s: Any) -> None:
    """Leave it as it was."""
    if s.emit is None:
        return
    s.emit = None
    dress(s, *(mixin for mixin in s.mixins if mixin is not Telling))
    for name in _TABLES:
        setattr(s, name, dict(getattr(s, name)))
    for name in _QUEUES:
        setattr(s, name, deque(getattr(s, name)) if getattr(s, name) else NOTHING)
    for co in s.coroutines.values():
        co.__class__ = getattr(co, "plain", type(co))
    if s.socket_pool is not None:
        for socket in s.socket_pool.values():
            socket.__class__ = PoolSocket
        s.socket_pool = dict(s.socket_pool)
