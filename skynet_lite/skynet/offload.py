"""Blocking code: a service has a function run in a thread, and goes on with its other messages.

One idea: to whoever waits it is a call. It is parked with a session, and the answer is a message like a timer's; what
has come of the function stands in the `Call` that both know. So killing, closing and looking need nothing new.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ..core.errors import SkynetError, error_text, told
from ..core.message import PTYPE_RESPONSE, pack, unpack
from ..core.ports import Call
from .calls import yield_call
from .coroutine import outside, running
from .protocol import PROTO
from .runnable import required

P = ParamSpec("P")
T = TypeVar("T")


def offload(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `f(*args, **kwargs)` in a thread, and wait for it: only this coroutine is parked. For code that blocks.

    Returns what `f` returns, raises what it raises. So many run at once as the key `offload` says; more wait their
    turn. They have a copy of our contextvars, and of skynet only what any thread has (threads.py). A thread cannot be
    stopped: when who waits is killed, one that has not begun does not begin, and what another finds is thrown away.
    """
    co = running()
    try:
        s, hub = co.service, co.hub
    except AttributeError:
        raise outside() from None
    task = partial(copy_context().run, required(f), *args, **kwargs)
    server, session, call = s.server, next(s.sessions), Call()
    job = partial(come, s, session)
    call.then = partial(server.driver.came, s.ctx, job)
    name = f"offload {told(getattr(getattr(f, 'func', f), '__name__', type(f).__name__))}"
    server.outside.offload(name, partial(_run, call, task))
    with server.lock:
        server.driver.offloads[s.handle, session] = call, job
    try:
        yield_call(s, hub, name, session, PROTO["lua"])
    except BaseException:  # killed, or told not to wait (skynet.term)
        if taken(s, session) is not None:  # and no answer is on its way
            s.session_id_coroutine.pop(session, None)
        call.done.set()
        raise
    if call.ok:
        return call.payload  # type: ignore[no-any-return]  # of `f`
    try:
        raise call.payload
    finally:
        del call, job, task  # its traceback holds this frame


def _run(call: Call, task: Callable[[], Any]) -> None:
    """In the thread."""
    if not call.done.is_set():
        call.run(task)


def come(s: Any, session: int) -> None:
    """Between two messages: a job has ended. What has come of it is noted, and who waits is told."""
    if (call := taken(s, session)) is not None:  # else nobody waits any more
        s.server.outside.note("offload", s.handle, session, call)
        s.server.deliver(s.handle, (PTYPE_RESPONSE, session, 0, ()), "offload")


def taken(s: Any, session: int) -> Call | None:
    """The job of a session, which is no longer one that is waited for."""
    with s.server.lock:
        found: tuple[Call | None, Any] = s.server.driver.offloads.pop((s.handle, session), (None, None))
    return found[0]


# ---- for a recording, and its replay


def kept(call: Call) -> tuple[str, tuple[Any, ...]]:
    """What has come of a job, to be kept: "" and the value; the class of what it raised, and its arguments; or "?" and
    why there is neither. A run does not end because it is recorded."""
    try:
        if call.ok:
            return "", unpack(pack((call.payload,)))
        kind = type(call.payload)
        return f"{kind.__module__}:{kind.__qualname__}", unpack(pack(call.payload.__reduce__()[1]))
    except Exception as e:  # a PackError, or of its __reduce__
        return "?", (error_text(e),)


def restore(call: Call, kind: str, values: tuple[Any, ...]) -> None:
    """Let come of a job what was kept. An exception is made without its __init__, of a class that is loaded: a
    recording may not say what is run. Raises SkynetError."""
    module, _, name = kind.partition(":")
    made: Any = getattr(sys.modules.get(module), name, None)
    if kind == "?":
        raise SkynetError(f"what a thread came back with is in no recording: {values[0]}")
    if kind and not (isinstance(made, type) and issubclass(made, BaseException)):
        raise SkynetError(f"a thread raised {kind}, and no module that is loaded here has such an exception")
    call.then = None  # the one who drives lets it come
    call.settle(not kind, made.__new__(made, *values) if kind else unpack(pack(values))[0])
