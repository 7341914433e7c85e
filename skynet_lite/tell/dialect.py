"""A service of today's dialect that tells (skynet/dialect.py): what differs from tell/services.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.places import stack_of
from ..skynet.coroutine import BREAK, DONE, EXIT, QUIT, SLEEP, SUSPEND, Coroutine
from .services import _ANSWERED, _FAILED, _FORKED, _REQUESTED, _TRUE, _WOKEN, Telling
from .tables import Sessions

_BEGUN: tuple[str, Any] = ("other", ("request",))


class TellingToday(Telling):
    """The mixin of a scheduler of today that tells. Below it is Today."""

    __slots__ = ()

    @staticmethod
    def around(s: Any, below: Callable[..., Any]) -> Callable[..., Any]:
        """By whom a coroutine is resumed, which session ended its waiting, and what it yields SUSPEND for."""
        emit, handle = s.emit, s.handle

        def resume(co: Any, ok: Any, value: Any, session: Any = None) -> Any:
            n, sleeping = co.n, co.sleeping
            if value is DONE:  # of KILL or TRACE
                emit(("resume", handle, n, "suspend", _TRUE, None))
            elif ok is None:
                by, what = _BEGUN if not co.is_task else _FORKED if co.session is None else _REQUESTED
                emit(("resume", handle, n, by, what, None))
            else:
                by, what = _ANSWERED if ok else _WOKEN if value is BREAK else _FAILED
                told: tuple[Any, ...] = ()
                if sleeping is not None:
                    whose = n, s.session_id_coroutine.number(co.token)
                    told = "table", handle, "sleep_session", "clear", sleeping, whose
                emit(("resume", handle, n, by, what, session, *told))
            yielded = below(co, ok, value, session)
            command, what = yielded
            if command is EXIT or what is EXIT:
                emit(("yield", handle, n, SUSPEND, None, EXIT, None))
            elif command is QUIT or what is None:
                emit(("yield", handle, n, command, None, "OTHER" if command is SUSPEND else None, None))
            else:
                at = stack_of((co if co.inner is None else co.inner).gr_frame)
                if command is SUSPEND:
                    waits_for = co.sleeping if what is SLEEP else co.awaits
                    emit(("yield", handle, n, SUSPEND, waits_for, what, at))
                else:
                    emit(("yield", handle, n, command, None, None, at))
            return yielded

        return resume

    def answer(self: Any, co: Coroutine, payload: Any) -> bool:
        self.emit(("table", self.handle, "session_coroutine_id", "ret", None, co.n))
        return bool(self.plain.answer(self, co, payload))

    def respond_later(self: Any, co: Coroutine, pack: Callable[[tuple[Any, ...]], Any]) -> Any:
        self.emit(("table", self.handle, "session_coroutine_id", "response", None, co.n))
        return self.plain.respond_later(self, co, pack)

    def joined(self: Any, co: Coroutine, by: int) -> None:
        """It is begun by who asks, and by no message: so the recordings of today call it."""
        self.emit(("co_create", self.handle, co.n, True, "other", by, None))

    def waits_no_more(self: Any, co: Coroutine, session: int) -> None:
        asleep, told = co.sleeping, (co.n, self.session_id_coroutine.number(co.token))
        self.plain.waits_no_more(self, co, session)
        if asleep is not None:
            self.emit(("table", self.handle, "sleep_session", "clear", asleep, told))


class TodaySessions(Sessions):
    """session_id_coroutine: who enters itself there sleeps already, and that is told behind it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tokens: dict[Any, int] = {}  # token → its number, in the order in which they were seen

    def number(self, token: Any) -> int | None:
        return None if token is None else self.tokens.setdefault(token, len(self.tokens) + 1)

    def __setitem__(self, session: Any, co: Any) -> None:
        if co is BREAK or co.sleeping != session:
            super().__setitem__(session, co)
            return
        dict.__setitem__(self, session, co)
        self.emit((
            "table", self.handle, self.name, "set", session, co.n,
            "table", self.handle, "sleep_session", "set", session, (co.n, self.number(co.token)),
        ))  # fmt: skip
