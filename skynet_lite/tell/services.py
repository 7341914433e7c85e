"""A service that tells: its tables, its coroutines, and who resumes whom."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..core.errors import brief, text_of
from ..core.message import PTYPE_ERROR, Message
from ..core.places import stack_of, stack_of_error, task_of
from ..skynet.coroutine import BREAK, CALL, DONE, EXIT, QUIT, SLEEP, SUSPEND, Coroutine, running
from ..skynet.queue import CriticalSection
from ..skynet.response import Response
from ..skynet.scheduler import Scheduler
from .tables import Pool


def content(ptype: int, payload: Any) -> Any:
    """What a recording keeps of a message: of an error why, and not the exception, which holds whole stacks."""
    return getattr(payload, "reason", None) if ptype == PTYPE_ERROR else payload


_RESPONSE, _TRUE, _FALSE = ("response",), (True,), (False,)
_FORKED: tuple[str, Any] = ("fork", ())
_REQUESTED: tuple[str, Any] = ("raw_dispatch_message", ("request",))
_ANSWERED: tuple[str, Any] = ("raw_dispatch_message", _TRUE)
_WOKEN: tuple[str, Any] = ("dispatch_wakeup", (False, BREAK))
_FAILED: tuple[str, Any] = ("dispatch_error_queue", _FALSE)
_POOL = Scheduler.__dict__["socket_pool"]


class Telling:
    """The mixin of a scheduler that tells what no table shows. The innermost: below is the dialect's scheduler."""

    __slots__ = ()

    @staticmethod
    def around(s: Any, below: Callable[..., Any]) -> Callable[..., Any]:
        """By whom a coroutine is resumed, which the values say that it is given, and what it yields.

        What it sleeps with stands on the coroutine (sleep_session): what it does first when it goes on is to clear
        that. `suspend` enters it behind session_id_coroutine, and so there it is told (Sessions).
        """
        emit, handle, sessions = s.emit, s.handle, s.session_id_coroutine

        def resume(co: Any, ok: Any, value: Any) -> Any:
            n = co.n
            if value is DONE:
                shown = _TRUE if ok is True else _FALSE if ok is False else _RESPONSE if type(ok) is Response else _TRUE
                emit(("resume", handle, n, "suspend", shown, None))
            elif ok is None:
                by, what = _FORKED if co.session is None else _REQUESTED
                emit(("resume", handle, n, by, what, None))
            else:
                by, what = _ANSWERED if ok else _WOKEN if value is BREAK else _FAILED
                sleeping = co.sleeping
                if sleeping is None:
                    emit(("resume", handle, n, by, what, None))
                else:
                    emit(("resume", handle, n, by, what, None, "table", handle, "sleep_session", "clear", sleeping, n))
            yielded = below(co, ok, value)
            command, param = yielded
            if command is EXIT or command is QUIT or command is SUSPEND:
                emit(("yield", handle, n, command, None, None, None))
                return yielded
            at = stack_of((co if co.inner is None else co.inner).gr_frame)
            if command is SLEEP:
                sessions.sleeps = param
            emit(("yield", handle, n, command, param if command is CALL or command is SLEEP else None, None, at))
            return yielded

        return resume

    def load(self: Any, run: Callable[..., bool], message: Message) -> None:
        self.emit(("load", self.handle, self.name))
        self.plain.load(self, run, message)

    def raw_dispatch_message(self: Any, message: Message) -> None:
        ptype, session, source, payload = message
        if ptype == PTYPE_ERROR:
            payload = content(ptype, payload)
        self.emit(("message", self.handle, ptype, session, source, payload))
        self.plain.raw_dispatch_message(self, message)

    def co_create(self: Any, f: Callable[..., Any], args: tuple[Any, ...]) -> Coroutine:
        new = self.pooled is None
        co: Coroutine = self.plain.co_create(self, f, args)
        by = sys._getframe(1).f_code.co_name
        if by == "co_create":  # of another mixin
            by = sys._getframe(2).f_code.co_name
        what = "message" if by == "raw_dispatch_message" else by  # fork, timeout
        self.emit(("co_create", self.handle, co.n, new, what, running().n, task_of(f)))
        return co

    # session_response stands on the coroutine, too. A second answer is refused.

    def answer(self: Any, co: Coroutine, payload: Any) -> bool:
        if co.session != 0 and not co.responded:
            self.emit(("table", self.handle, "session_response", "set", None, co.n))
        return bool(self.plain.answer(self, co, payload))

    def respond_later(self: Any, co: Coroutine, pack: Callable[[tuple[Any, ...]], Any]) -> Response:
        if not co.responded:
            self.emit(("table", self.handle, "session_response", "set", None, co.n))
        return self.plain.respond_later(self, co, pack)  # type: ignore[no-any-return]  # of the dialect

    def joined(self: Any, co: Coroutine, by: int) -> None:
        self.emit(("co_create", self.handle, co.n, True, "request", by, None))

    def _set_pool(self: Any, pool: Any) -> None:
        _POOL.__set__(self, pool)
        if type(pool) is dict:
            _POOL.__set__(self, Pool(self, "socket_pool", self.emit))

    socket_pool = property(_POOL.__get__, _set_pool)

    def dispatch_failed(self: Any, message: Message, errors: list[BaseException]) -> None:
        self.emit(("dispatch_failed", self.handle, brief(errors[-1]), stack_of_error(errors[-1])))
        self.plain.dispatch_failed(self, message, errors)

    def died(self: Any, co: Coroutine, error: BaseException) -> None:
        if not co.session or co.responded:  # no caller hears of it
            self.server.node.flights.fault()
        self.plain.died(self, co, error)
        self.emit(("co_error", self.handle, co.n, text_of(error).split("\n")[0], stack_of_error(error)))

    def killed(self: Any, co: Coroutine, by: int) -> None:
        self.plain.killed(self, co, by)
        self.emit(("kill", self.handle, co.n, by))

    def end_wrong(self: Any, co: Coroutine) -> None:
        self.server.node.flights.fault()
        self.plain.end_wrong(self, co)
        self.emit(("table", self.handle, "session_coroutine_id", "clear", None, co.n))

    def ignore(self: Any, co: Coroutine) -> None:
        self.plain.ignore(self, co)
        self.emit(("table", self.handle, "session_coroutine_id", "clear", None, co.n))

    def sleeps_not(self: Any, co: Coroutine | None, token: Any) -> None:
        n = 0 if co is None else co.n
        number = None if token is co else self.session_id_coroutine.number(token)
        self.emit(("wakeup", self.handle, n, False, running().n, number, stack_of(sys._getframe(2))))

    def tagged(self: Any, co: Coroutine, tag: str | None, text: str) -> None:
        self.emit(("tracetag", self.handle, co.n, tag, text))

    def queue_changed(self: Any, number: int, section: CriticalSection, op: str, co: Any) -> None:
        self.plain.queue_changed(self, number, section, op, co)
        self.emit(("table", self.handle, "queue", op, number, getattr(co, "n", 0)))
