"""Trace tags: one request followed through the log of every service that it leads through.

A coroutine that calls `skynet.trace` gets a tag. Before each call that it makes a
PTYPE_TRACE message carries the tag to the callee; the next request from the same
source is then served under it, and what happens to it is a line in the log.

The mechanism knows nothing of it: a service that is traced has a mixin on its scheduler,
which looks at what is resumed and yielded, and a server that looks at what it sends.

After lualib/skynet.lua (session_coroutine_tracetag, trace_source) and
lualib-src/lua-skynet.c (ltrace), which came after v1.1.0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from ..core.errors import SkynetError
from ..core.handle import address_text
from ..core.message import PTYPE_ERROR, PTYPE_RESPONSE, PTYPE_TRACE, Message
from ..core.places import is_ours, place_label
from .calls import rawcall
from .coroutine import BREAK, DONE, EXIT, SLEEP, SUSPEND, TRACE, Coroutine, coroutine_yield, running
from .protocol import own_protocol
from .scheduler import Scheduler, current, dress, undispatched

_MAX_LEVEL = 3  # places in a line
_MAX_TAGS = 64  # whose requests have not come yet; more than there are workers


def trace(info: str | None = None) -> None:
    """Trace what this coroutine does from now on, and all that it calls; `info` goes into the first line.

    No effect where `traceproto` has turned it off.
    """
    co, s = running(), current()
    if not hasattr(co, "thread"):
        raise SkynetError("skynet.trace: no coroutine is running; trace in a handler, a fork or the start function")
    if co.tag is not False:
        if "trace" not in s.libs:  # by way of the hub: what this coroutine yields next is to be looked at, too
            coroutine_yield(co.hub, TRACE, partial(_traced, s))
        _begin(co.thread, s, f"trace {info}" if info else "trace")


def tracetag() -> str | bool | None:
    """The tag that this coroutine works under; None without one, False where it is turned off."""
    current()
    return running().tag  # type: ignore[no-any-return]


def tracelog(tag: str, text: str) -> None:
    """Write a line into the log under a tag, with the time in ns (`skynet.hpc`)."""
    _log(current(), tag, text)


def tracecall(tag: str, addr: int | str, typename: str, message: Any) -> Any:
    """`rawcall` under a trace tag that is given, with a line in the log before and after it."""
    s, co = current(), running()
    _log(s, tag, "tracecall begin")
    s.server.send(s.handle, addr, PTYPE_TRACE, 0, tag)
    own, co.tag = co.tag, None  # its own does not go ahead of this one
    try:
        answer = rawcall(addr, typename, message)
    finally:
        co.tag = own
    _log(s, tag, "tracecall end")
    return answer


def traceproto(typename: str, flag: bool | None) -> None:
    """Whether requests of a type are traced: True all, False none, None those that come with a tag."""
    s = _traced(current())
    own_protocol(s, typename).trace = flag


def _log(s: Scheduler, tag: Any, text: str) -> None:
    s.error(f"<TRACE {tag}> {s.server.clock.hpc()} {text}")


# ---- a service that is traced


class Traced:
    """The mixin of its scheduler."""

    __slots__ = ()

    @staticmethod
    def around(s: Any, resume: Callable[..., Any]) -> Callable[..., Any]:
        def traced(co: Any, ok: Any, value: Any, *session: Any) -> Any:
            if co.tag and (value is BREAK or (ok is True and value is not DONE)):
                _log(s, co.tag, "resume")
            try:
                yielded = resume(co, ok, value, *session)
            except BaseException:
                if co.dead:
                    end_trace(co, "error" if co.session else None)
                raise
            command = yielded[yielded[0] is SUSPEND]  # a coroutine of today yields (SUSPEND, what for)
            if command is EXIT:
                end_trace(co, "end")
            elif co.tag and command is SLEEP:
                _log(s, co.tag, f"sleep : {_places(s, co.frame)}")
            return yielded

        return traced

    def answer(self: Any, co: Coroutine, payload: Any) -> bool:
        if co.tag:
            _log(self, co.tag, "response")
        return bool(super().answer(co, payload))  # type: ignore[misc]  # of the scheduler below

    def raw_dispatch_message(self: Any, message: Message) -> None:
        self.libs["trace"].message = None if message[0] == PTYPE_RESPONSE else message
        super().raw_dispatch_message(message)  # type: ignore[misc]  # of the scheduler below

    def co_create(self: Any, f: Callable[..., Any], args: tuple[Any, ...]) -> Coroutine:
        co: Coroutine = super().co_create(f, args)  # type: ignore[misc]
        state = self.libs["trace"]
        message, state.message = state.message, None
        if message is not None:
            _request(self, co, message)
        return co

    def not_dispatched(self: Any, message: Message) -> None:
        self.libs["trace"].message = None
        if message[0] != PTYPE_TRACE:
            self.libs["trace"].source.pop(message[2], None)
        super().not_dispatched(message)  # type: ignore[misc]

    def forget(self: Any, co: Coroutine) -> None:
        end_trace(co, None)
        super().forget(co)  # type: ignore[misc]


class _Server:
    """The server as a traced service sees it: a tag goes ahead of each request."""

    def __init__(self, s: Scheduler) -> None:
        self._server = s.server
        self._service = s
        self.message: Message | None = None  # that has no coroutine yet
        self.source: dict[int, str] = {}  # trace_source: who sent a tag, which his next request will carry
        self.ids = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def send(self, source: int, to: Any, ptype: int, session: int, payload: Any) -> bool:
        tag = getattr(running(), "tag", None) if session and ptype not in (PTYPE_RESPONSE, PTYPE_ERROR) else None
        if tag:
            _log(self._service, tag, f"call : {_places(self._service, sys._getframe(1))}")
            self._server.send(source, to, PTYPE_TRACE, 0, tag)
        return self._server.send(source, to, ptype, session, payload)


def _traced(s: Scheduler) -> Scheduler:
    """See to it that `s` is traced, from now on."""
    if "trace" not in s.libs:
        s.libs["trace"] = s.server = _Server(s)  # type: ignore[assignment]  # stands for it
        dress(s, Traced, *getattr(s, "mixins", ()))
    return s


def _request(s: Scheduler, co: Coroutine, message: Message) -> None:
    """A request begins: under the tag that came before it, or a new one, or none."""
    state = s.libs["trace"]
    ptype, _, source, _ = message
    wanted = s.proto[ptype].trace
    tag = state.source.pop(source, None)
    if wanted is False:
        co.tag = False
    elif tag is not None:
        _serve(co, tag, "request")
    elif wanted:
        _begin(co, s, "trace")


def _undispatched(s: Scheduler, message: Message) -> bool:
    """A PTYPE_TRACE message: whether it was a tag, which is kept for the next request of its source."""
    _, _, source, payload = message
    if not isinstance(payload, str):
        return False
    waiting = _traced(s).libs["trace"].source
    waiting[source] = payload
    if len(waiting) > _MAX_TAGS:  # the request comes right behind its tag: the oldest one's came to nothing
        del waiting[next(iter(waiting))]
    return True


undispatched[PTYPE_TRACE] = _undispatched


def end_trace(co: Coroutine, what: str | None) -> None:
    """The coroutine serves its tag no more; `what` is the last line, if there is to be one."""
    if co.tag and what is not None:
        _log(co.service, co.tag, what)
    tag, co.tag = co.tag, None
    if tag:
        co.service.tagged(co, None, what or "")


def _begin(co: Coroutine, s: Scheduler, text: str) -> None:
    state = s.libs["trace"]
    state.ids += 1
    _serve(co, f"{address_text(s.handle)}-{state.ids}", text)


def _serve(co: Coroutine, tag: str, text: str) -> None:
    _log(co.service, tag, text)
    co.tag = tag
    co.service.tagged(co, tag, text)


def _places(s: Scheduler, frame: FrameType | None) -> str:
    """The user's own lines, innermost first."""
    found: list[str] = []
    while frame is not None and len(found) < _MAX_LEVEL:
        if not is_ours(frame.f_code):
            found.append(place_label((frame.f_code, frame.f_lineno), s.name, s.file))
        frame = frame.f_back
    return " ".join(found)
