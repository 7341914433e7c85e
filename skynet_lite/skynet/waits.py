"""Time and waiting: sleep, wait, wakeup, fork, timeout.

One idea: to wake is not to resume. `wakeup` and `fork` only put into a queue, and a
timer is a message to oneself; the scheduler resumes when their turn has come.

After lualib/skynet.lua (sleep, wait, wakeup, fork, timeout).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from ..core.errors import SkynetError
from ..core.timer import ticks
from .coroutine import BREAK, SLEEP, Coroutine, drop_token, inherit, outside, running
from .scheduler import current
from .task import heir, traced_timeout
from .threads import leave


def timeout(ti: int, func: Callable[[], Any]) -> Coroutine:
    """Run `func` in a coroutine of its own after `ti` ticks (10 ms each); 0: as a message, soon.

    The coroutine is taken now, not when the time has come. Raises SkynetError if `ti` is no whole number.
    DOC: timeout
    """
    s = current()
    session = next(s.sessions)
    s.server.set_timer(s.ctx, session, ti)
    if s.timeout_traceback is not None:
        func = traced_timeout(s, session, ti, func)
    co = s.session_id_coroutine[session] = s.co_create(func, ())
    co.awaits = session
    if context := copy_context():
        inherit(co, context)
    return co


def sleep(ti: int, token: Any = None) -> str | None:
    """Wait `ti` ticks. None if they have passed, "BREAK" if somebody woke us before.

    `token` (any hashable) is what `wakeup` names instead of the coroutine. Raises SkynetError if `ti` is no whole
    number (50.0 is one), or somebody sleeps with the token already. DOC: sleep
    """
    co = running()
    try:
        s, hub = co.service, co.hub
    except AttributeError:
        raise outside() from None
    if token is not None:
        ti = ticks(ti)  # refused before anything is written
        s.hold_token(co, token)
    session = next(s.sessions)
    s.server.set_timer(s.ctx, session, ti)
    co.awaits = session
    succ, _ = hub.coroutine_yield(SLEEP, session)
    co.sleeping = None
    if token is not None:
        drop_token(s, co)
    return None if succ else BREAK


def yield_() -> str | None:
    """Let the messages that are queued go first (skynet.yield)."""
    return sleep(0)


def wait(token: Any = None) -> None:
    """Sleep until `wakeup`. DOC: wait"""
    co = running()
    try:
        s, hub = co.service, co.hub
    except AttributeError:
        raise outside() from None
    if token is not None:
        s.hold_token(co, token)
    session = next(s.sessions)
    succ, _ = hub.coroutine_yield(SLEEP, session)
    co.sleeping = None
    if not succ:  # woken: its entry is BREAK now. A stray response would have taken it out.
        del s.session_id_coroutine[session]
    if token is not None:
        drop_token(s, co)


def wakeup(token: Any) -> bool:
    """Put a sleeping coroutine (or the one that sleeps with `token`) into the wakeup queue.

    It does not run yet: when the caller parks or ends, `dispatch_wakeup` names it and `suspend` resumes it. False if
    nobody sleeps with it; that is not remembered. From a thread: threads.py. DOC: wakeup
    """
    me = running()
    try:
        s = me.service
    except AttributeError:
        return _wakeup_from_thread(token)
    entry = co = token
    if not isinstance(token, Coroutine):
        co = s.sleep_tokens.get(token)
        entry = token, co
    elif token.sleeping is None:
        entry = co = heir(s, token)
    if co is None or co.sleeping is None or (co.token is not None and entry is co):  # a token of its own wakes it
        s.sleeps_not(co, token)
        return False
    try:
        s.wakeup_queue.append(entry)
    except AttributeError:  # the first: it is NOTHING until then
        s.wakeup_queue = deque((entry,))
    return True


def _wakeup_from_thread(co: Any) -> bool:
    """True: its service lives, and has been asked to. A token will not do, for each service has its own."""
    if not isinstance(co, Coroutine):
        raise SkynetError(f"{outside()}; a thread wakes a coroutine, which skynet.running() gives, and no token")
    return leave(co.service, woken, co.n)


def woken(s: Any, n: int) -> None:
    """Coroutine `n` is to be woken. By a task of its own: between two messages nobody asks the wakeup queue."""
    s.server.outside.note("wakeup", s.handle, n)
    s.hub.service = s
    timeout(0, lambda: wakeup(s.coroutines[n]) if n in s.coroutines else None)


def fork(func: Callable[..., Any], *args: Any) -> Coroutine:
    """Run `func(*args)` in a coroutine of its own, with our contextvars, when this message is done. DOC: fork"""
    me = running()
    try:
        s = me.service
    except AttributeError:
        raise outside() from None
    co: Coroutine = s.co_create(func, args)
    if context := copy_context():  # not me.context: we may stand in the `run` of another
        inherit(co, context)
    try:
        s.fork_queue.append(co)
    except AttributeError:  # the first
        s.fork_queue = deque((co,))
    return co


def now() -> int:
    """Ticks of 10 ms since the node began."""
    return current().server.clock.now()


def starttime() -> int:
    """When the node began, in seconds since 1970."""
    return current().server.clock.starttime


def time() -> float:
    """Seconds since 1970, with the resolution of a tick."""
    clock = current().server.clock
    return clock.starttime + clock.now() / 100


def hpc() -> int:
    """A high performance counter in nanoseconds."""
    return current().server.clock.hpc()
