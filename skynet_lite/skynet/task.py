"""Who is parked in this service, where, and how to end it: what a console asks.

A task is a coroutine that waits for a session. Its stack shows the user's own lines,
as `service:line`, so that it reads the same on every machine.

After lualib/skynet.lua (task, uniqtask, killthread, trace_timeout).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ..core.message import PTYPE_ERROR
from ..core.places import format_stack
from .coroutine import KILL, Coroutine, coroutine_close, coroutine_yield, drop_token, running
from .scheduler import Scheduler, current

_SHOWN = 9  # sessions that uniqtask lists for one stack


def task(ret: Any = None) -> Any:
    """What is parked in this service.

    None: how many coroutines. A dict: filled, `"co2 session: 5"` → stack. A session: the
    stack of who waits for it, or "No session". A coroutine: the session it waits for, or
    None. "init": the stack of the start function, None if that has ended.
    """
    s = current()
    table = s.session_id_coroutine
    if ret is None:
        return sum(isinstance(co, Coroutine) for co in table.values())
    if ret == "init":
        return None if s.init_thread is None else _stack(s, s.init_thread)
    if isinstance(ret, dict):
        ret.update({_name(session, co): _traceback(s, session, co) for session, co in table.items()})
        return None
    if isinstance(ret, Coroutine):
        return _parked(s, ret)
    return _traceback(s, ret, table[ret]) if ret in table else "No session"


def uniqtask() -> dict[str, str]:
    """The tasks, those with the same stack together: `"2\\tsessions:[4,5]\\n"` → stack."""
    s = current()
    stacks: dict[str, list[int]] = {}
    for session, co in s.session_id_coroutine.items():
        stacks.setdefault(_traceback(s, session, co), []).append(session)
    found = {}
    for stack, sessions in stacks.items():
        shown = ",".join(map(str, sessions[:_SHOWN])) + ("..." if len(sessions) > _SHOWN else "")
        found[f"{len(sessions)}\tsessions:[{shown}]\n"] = stack
    return found


def killthread(thread: Coroutine | str) -> Coroutine | None:
    """End a coroutine of this service that is parked, forked, or waits for its timer.

    `thread`: itself; or its name as `task` shows it ("co3"), or a part of that text
    ("session: 5"). Its `finally` blocks run, the call it serves fails, and the answer that it
    waited for will be thrown away. Returns what was ended; None if there was no such task, as
    for the caller itself.
    """
    s, me = current(), running()
    co = _find(s, thread)
    if co is None:
        return None
    owes = 0 if co.responded else co.session
    if owes:
        s.server.send(s.handle, co.address, PTYPE_ERROR, owes, s.failure("killed the coroutine that served it"))
    if me is s.hub:
        kill(s, co, 0)
    else:
        coroutine_yield(me.hub, KILL, partial(kill, s, co, me.n))
    return co


def kill(s: Scheduler, co: Coroutine, by: int) -> None:
    """End a parked coroutine. In the hub only, for its `finally` blocks run."""
    session = _parked(s, co)
    if session is None:
        s.fork_queue.remove(co)
    s.killed(co, by)
    if session is not None:
        s.waits_no_more(co, session)
    drop_token(s, co)
    coroutine_close(co)
    drop_token(s, co)  # of a sleep that its `finally` has tried
    if s.pooled is co:  # it was told to end, and did: by returning
        s.pooled = co.pooled


def trace_timeout(on: bool) -> None:
    """From now on note who calls `timeout`: `task` shows it for timers that have not fired yet."""
    s = current()
    s.timeout_traceback = (s.timeout_traceback or {}) if on else None


def traced_timeout(s: Scheduler, session: int, ti: int, func: Callable[[], Any]) -> Callable[[], Any]:
    """The task of a timer, while trace_timeout is on."""
    assert s.timeout_traceback is not None
    stack = format_stack(sys._getframe(1), s.name, s.file)
    s.timeout_traceback[session] = f"TIMER {s.server.clock.now()}+{ti} : \nstack traceback:\n{stack}"
    return partial(_fired, s, session, func)


def _fired(s: Scheduler, session: int, func: Callable[[], Any]) -> None:
    if s.timeout_traceback is not None:
        s.timeout_traceback.pop(session, None)
    func()


def _find(s: Scheduler, thread: Coroutine | str) -> Coroutine | None:
    if isinstance(thread, str):
        waiting = [(n, co) for n, co in s.session_id_coroutine.items() if isinstance(co, Coroutine) and co.is_task]
        named = [co for _, co in waiting if co.label == thread]
        named += [co for session, co in waiting if thread in _name(session, co)]
        return named[0] if named else None
    if not isinstance(thread, Coroutine):
        return None
    thread = heir(s, thread)
    return thread if _parked(s, thread) is not None or thread in s.fork_queue else None


def heir(s: Scheduler, co: Coroutine) -> Coroutine:
    """Who is meant by `co`: itself, or whoever has its number and its place since it was given back."""
    return s.coroutines.get(co.n, co) if co.dead and co.service is s else co


def _parked(s: Scheduler, co: Coroutine) -> int | None:
    """The session under which it is parked."""
    table = s.session_id_coroutine
    return next((session for session in (co.awaits, co.sleeping) if table.get(session) is co), None)  # type: ignore[arg-type]


def _name(session: int, co: Any) -> str:
    return f"{getattr(co, 'label', co)} session: {session}"


def _traceback(s: Scheduler, session: int, co: Any) -> str:
    if not isinstance(co, Coroutine):
        return str(co)  # BREAK
    return (s.timeout_traceback or {}).get(session) or _stack(s, co)


def _stack(s: Scheduler, co: Coroutine) -> str:
    frame = sys._getframe(1) if getattr(running(), "thread", None) is co else co.frame
    return f"stack traceback:\n{format_stack(frame, s.name, s.file)}".rstrip()
