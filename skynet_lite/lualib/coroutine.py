"""Coroutines of the user's own, which may block in skynet: `from skynet_lite import coroutine`.

Inside a skynet thread (the coroutine of a message, a fork or a timer) code may make
coroutines for itself. What one yields with `yield_` goes to whoever resumed it. What it
yields to skynet, in `call` or `sleep`, is handed down from resumer to resumer to the
thread, which parks; the answer comes back up the same way. Meanwhile it is "blocked".

After lualib/skynet/coroutine.lua.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from ..core.errors import SkynetError, shown
from ..skynet.coroutine import (
    SLEEP,
    Coroutine,
    UserCoroutine,
    coroutine_close,
    coroutine_resume,
    coroutine_yield,
    drop_token,
    running,
)  # fmt: skip
from ..skynet.runnable import runnable
from ..skynet.scheduler import Scheduler, current
from .library import values as _values

__all__ = [
    "close", "create", "isskynetcoroutine", "isyieldable", "resume", "running", "status", "thread", "wrap", "yield_",
]  # fmt: skip
__dir__ = __all__.copy

_USER = "USER"


def create(f: Callable[..., Any]) -> UserCoroutine:
    """A coroutine that will run `f(*args)` when it is resumed for the first time."""
    s, co = current(), UserCoroutine(runnable(f))
    known = s.libs.get("coroutine")
    if known is None:
        known = s.libs["coroutine"] = WeakValueDictionary()
        s.at_close += (_close_all,)
    known[id(co)] = co
    return co


def resume(co: UserCoroutine, *args: Any) -> tuple[Any, ...]:
    """Run `co` until it yields or ends: (True, *values). If it raises, or cannot be resumed: (False, error).

    `args` go to its function, later to its `yield_`. Waits while `co` is blocked in skynet.
    """
    me = running()
    reason = _refuses(co) if hasattr(me, "thread") else "cannot resume outside of a coroutine: do it in skynet.start"
    if reason is not None:
        return False, SkynetError(reason)
    co.parent = co.hub = me
    co.thread = me.thread
    try:
        out = coroutine_resume(co, *args)
        while not co.dead and out[0] is not _USER:
            out = coroutine_resume(co, _block(co, me, out))
    except Exception as e:
        return False, e
    return (True, *_values(out)) if co.dead else (True, *out[1])


def _refuses(co: UserCoroutine) -> str | None:
    """Why a coroutine cannot be resumed."""
    if not isinstance(co, UserCoroutine):
        return "cannot resume none skynet coroutine"
    if co.blocked:
        return "cannot resume a skynet coroutine suspend by skynet framework"
    what = status(co)
    return None if what == "suspended" else f"cannot resume {'dead' if what == 'dead' else 'non-suspended'} coroutine"


def _block(co: UserCoroutine, me: Any, command: tuple[Any, ...]) -> Any:
    """`co` has yielded to skynet: so do we, in its stead. What comes back is for it."""
    thread, innermost = co.thread, co.thread.inner is None
    co.blocked = True
    if innermost:
        thread.inner = co
        sleeps = command[0] is SLEEP and thread.token is None
        if sleeps:  # skynet.wakeup(co) is to find it
            thread.service.hold_token(thread, co)
    try:
        return me.hub.coroutine_yield(*command)
    except BaseException:  # the thread is being closed: from the inside out
        _end(co)
        raise
    finally:
        co.blocked = False
        if innermost:
            thread.inner = None
            if sleeps:
                drop_token(thread.service, thread)


def yield_(*values: Any) -> Any:
    """Back to the resumer: (True, *values) there. Returns what the next `resume` hands in: None, a value or a tuple.

    Raises SkynetError in a coroutine that nobody resumed with `resume`.
    """
    me = running()
    if not isinstance(me, UserCoroutine):
        raise SkynetError(
            "Call skynet.coroutine.yield out of skynet.coroutine.resume: this coroutine belongs to skynet; "
            "to let others run call skynet.yield_"
        )
    back = coroutine_yield(me.hub, _USER, values)
    return back if back != () else None


def wrap(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that resumes a coroutine of `f`. It returns None, a value or a tuple, and raises what `f` raises."""
    co = create(f)

    def wrapped(*args: Any) -> Any:
        ok, *values = resume(co, *args)
        if not ok:
            raise values[0]
        return tuple(values) if len(values) > 1 else values[0] if values else None

    return wrapped


def status(co: Any) -> str:
    """ "running"; "normal": it has resumed another; "suspended"; "blocked": parked in skynet; "dead"."""
    if not hasattr(co, "thread"):
        raise SkynetError(f"{shown(co)} is no coroutine")
    if co.dead or co.f is None:
        return "dead"
    me = running()
    if co is me:
        return "running"
    if isinstance(co, UserCoroutine) and co.blocked:
        return "blocked"
    while isinstance(me, UserCoroutine):
        me = me.hub
        if co is me:
            return "normal"
    return "suspended"


def isyieldable() -> bool:
    """Whether the running code may block, which it may in every coroutine."""
    return hasattr(running(), "thread")


def isskynetcoroutine(co: Any = None) -> bool:
    """Whether `co`, by default the running one, was made by `create` or `wrap`."""
    return isinstance(running() if co is None else co, UserCoroutine)


def thread(co: Any = None) -> tuple[Coroutine | None, bool]:
    """The skynet thread that `co`, by default the running one, runs in, and whether that is itself."""
    co = running() if co is None else co
    return (None, False) if not hasattr(co, "thread") else (co.thread, co.thread is co)


def close(co: UserCoroutine) -> bool:
    """End a coroutine that is suspended: its `finally` blocks run, and may not block. Always True.

    Raises SkynetError for one that runs, has resumed another, or is blocked in skynet.
    """
    what = status(co)
    if what not in ("suspended", "dead") or not isinstance(co, UserCoroutine):
        raise SkynetError(f"cannot close a {what} coroutine: let it yield or end first")
    if what == "suspended":
        _end(co)
    return True


def _end(co: UserCoroutine) -> None:
    """Whatever it yields while it ends comes to us, who tell it that it cannot."""
    co.parent = co.hub = running()
    coroutine_close(co)


def _close_all(s: Scheduler) -> None:
    """A service has gone: end those that were left suspended, the oldest first. In the hub only."""
    for co in list(s.libs["coroutine"].values()):
        if co.thread is not None and not co.dead:
            _end(co)
