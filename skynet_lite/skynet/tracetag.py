"""Trace tags: one request followed through the log of every service that it leads through.

A coroutine that calls `skynet.trace` gets a tag. Before each call that it makes a
PTYPE_TRACE message carries the tag to the callee; the next request from the same
source is then served under it, and what happens to it is a line in the log.

After lualib/skynet.lua (session_coroutine_tracetag, trace_source) and
lualib-src/lua-skynet.c (ltrace), which came after v1.1.0.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..core.errors import SkynetError
from ..core.handle import address_text
from ..core.message import PTYPE_TRACE
from ..core.places import is_ours, place_label
from .coroutine import Coroutine, current, running

if TYPE_CHECKING:
    from .scheduler import Protocol, Scheduler

_MAX_LEVEL = 3  # places in a line


def trace(info: str | None = None) -> None:
    """Trace what this coroutine does from now on, and all that it calls; `info` goes into the first line.

    No effect where `traceproto` has turned it off.
    """
    co, s = running(), current()
    if not hasattr(co, "thread"):
        raise SkynetError("skynet.trace: no coroutine is running; trace in a handler, a fork or the start function")
    if co.tag is not False:
        _begin(co.thread, s, f"trace {info}" if info else "trace")


def tracetag() -> str | bool | None:
    """The tag that this coroutine works under; None without one, False where it is turned off."""
    current()
    tag: str | bool | None = running().tag
    return tag


def tracelog(tag: str, text: str) -> None:
    """Write a line into the log under a tag, with the time in ns (`skynet.hpc`)."""
    log(current(), tag, text)


def log(s: Scheduler, tag: Any, text: str) -> None:
    s.error(f"<TRACE {tag}> {s.node.clock.hpc()} {text}")


# ---- what the scheduler calls, where a coroutine has a tag


def trace_log(co: Coroutine, what: str, places: bool = False) -> None:
    s = co.service
    log(s, co.tag, f"{what} : {_places(s)}" if places else what)


def trace_call(co: Coroutine, addr: int | str) -> None:
    """The tag goes ahead of the request."""
    trace_log(co, "call", True)
    co.service.send(addr, PTYPE_TRACE, 0, co.tag)


def trace_request(co: Coroutine, p: Protocol, source: int) -> None:
    """A request begins: under the tag that came before it, or a new one, or none."""
    s = co.service
    tag = s.trace_source.pop(source, None)
    if p.trace is False:
        co.tag = False
    elif tag is not None:
        log(s, tag, "request")
        _serve(co, tag, "request")
    elif p.trace:
        _begin(co, s, "trace")


def trace_source(s: Scheduler, ptype: int, source: int, payload: Any) -> bool:
    """A message without a handler: True if it was a tag. Otherwise the tag before it is spent."""
    if ptype == PTYPE_TRACE and isinstance(payload, str):
        s.trace_source[source] = payload
        s.tracing = True
        return True
    s.trace_source.pop(source, None)
    return False


def end_trace(co: Coroutine, what: str | None) -> None:
    """The coroutine serves its tag no more; `what` is the last line, if there is to be one."""
    if co.tag and what is not None:
        trace_log(co, what)
    tag, co.tag = co.tag, None
    if tag and co.service.emit is not None:
        co.service.emit(("tracetag", co.service.handle, co.n, None, what or ""))


def _begin(co: Coroutine, s: Scheduler, text: str) -> None:
    s.trace_ids += 1
    tag = f"{address_text(s.handle)}-{s.trace_ids}"
    log(s, tag, text)
    _serve(co, tag, text)


def _serve(co: Coroutine, tag: str, text: str) -> None:
    co.tag = tag
    if co.service.emit is not None:
        co.service.emit(("tracetag", co.service.handle, co.n, tag, text))


def _places(s: Scheduler) -> str:
    """The user's own lines, innermost first."""
    found: list[str] = []
    frame = sys._getframe(2)
    while frame is not None and len(found) < _MAX_LEVEL:
        if not is_ours(frame.f_code):
            found.append(place_label((frame.f_code, frame.f_lineno), s.name, s.file))
        frame = frame.f_back  # type: ignore[assignment]  # None behind the last
    return " ".join(found)
