"""What a thread may ask of a service: a wakeup, and the answer to a request.

One idea: a thread touches no table. What it asks for is left as a job, and done between two messages, in the thread of
the service, in the order in which it was asked. There a recording notes it, and a replay asks for it again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..core.errors import SkynetError
from ..core.handle import address_text
from .coroutine import Coroutine, outside, running


def is_elsewhere(s: Any) -> bool:
    """Whether what runs here is in no service of the thread of `s`."""
    return getattr(getattr(running(), "service", None), "hub", None) is not s.hub


def leave(s: Any, enter: Callable[..., Any], *args: Any) -> bool:
    """From anywhere: have `enter(s, *args)` done. False if the service has gone."""

    def job() -> None:
        if s.server.contexts.get(s.handle) is s.ctx:
            try:
                enter(s, *args)
            except BaseException as e:
                s.report("what a thread has asked for is lost : ", e)

    s.server.driver.leave(s.ctx, job)
    return s.server.contexts.get(s.handle) is s.ctx and not s.server.driver.closed


def wakeup_from_thread(co: Any, wakeup: Callable[[Any], Any]) -> bool:
    """What `skynet.wakeup` does outside of services. True: its service lives, and has been asked to.

    A token will not do, for each service has its own. Raises SkynetError.
    """
    if not isinstance(co, Coroutine):
        raise SkynetError(f"{outside()}; a thread wakes a coroutine, which skynet.running() gives, and no token")
    return leave(co.service, woken, co.n, wakeup)


def woken(s: Any, n: int, wakeup: Callable[[Any], Any]) -> None:
    """Coroutine `n` is to be woken. By a task of its own: between two messages nobody asks the wakeup queue."""
    s.server.outside.note("wakeup", s.handle, n)
    s.hub.service = s
    session = next(s.sessions)
    s.server.set_timer(s.ctx, session, 0)
    co = s.session_id_coroutine[session] = s.co_create(partial(_wake, s, n, wakeup), ())
    co.awaits = session


def _wake(s: Any, n: int, wakeup: Callable[[Any], Any]) -> None:
    if n in s.coroutines:
        wakeup(s.coroutines[n])


def answered(s: Any, session: int, address: int, ok: bool, payload: Any) -> None:
    """The request `session` of `address` is answered, by its response function."""
    s.server.outside.note("response", s.handle, session, address, ok, payload)
    found = (r for r in s.unresponse if (r.session, r.address) == (session, address))
    if (response := next(found, None)) is None:
        s.error(f"a thread answers session {session} of {address_text(address)}, and that has been answered")
    else:
        response.answer(ok, payload)
