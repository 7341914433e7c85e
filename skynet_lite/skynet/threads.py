"""What a thread may ask of a service: a wakeup, and the answer to a request.

One idea: a thread touches no table. What it asks for is left as a job, and done between two messages, in the thread of
the service, in the order in which it was asked. There a recording notes it, and a replay asks for it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.handle import address_text
from .coroutine import running


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


def answered(s: Any, session: int, address: int, ok: bool, payload: Any) -> None:
    """The request `session` of `address` is answered, by its response function."""
    s.server.outside.note("response", s.handle, session, address, ok, payload)
    found = (r for r in s.unresponse if (r.session, r.address) == (session, address))
    if (response := next(found, None)) is None:
        s.error(f"a thread answers session {session} of {address_text(address)}, and that has been answered")
    else:
        response.answer(ok, payload)
