"""The scheduler of a service: who is resumed, when, and by what.

One idea: a service never blocks, its coroutines do. Each message gets a coroutine.
When the coroutine must wait it yields a command to `suspend`, which notes in a
table who is to be resumed by what, and the service goes on with its next message.

  1  A message comes: `dispatch_message` → `raw_dispatch_message`. A response, of a
     timer as of a call, finds the coroutine that waits for its session; anything else
     gets a new one.
  2  The coroutine runs until it yields a command: CALL, SLEEP, RETURN, EXIT, ... Only
     `suspend` resumes a coroutine of the scheduler, and so every yield comes out there:
     a new command is a branch of it.
  3  `suspend` fills the tables, then asks `dispatch_wakeup` and `dispatch_error_queue`
     who became ready meanwhile: `wakeup` only queues.
  4  When nothing is left, the forks run, each like a message of its own.
  5  What a handler raises ends its coroutine and leaves `suspend`. `failed` tells the
     caller, `dispatch_message` logs it after the forks; the service goes on.

The order of events is that of skynet v1.1.0 (lualib/skynet.lua), or of today where a node
says so (dialect.py); the public API is today's. Lua's recursion is a loop here: ten thousand wakeups need no stack.

Nothing here records or traces, so a run that nobody watches pays nothing. Whoever wants
to see what happens puts a mixin on the scheduler of a service (`dress`), whose methods and
`resume` tell, and takes it off again.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ..core.context import Context, sessions
from ..core.errors import Failure, SkynetError, brief
from ..core.handle import address_text
from ..core.message import PTYPE_ERROR, PTYPE_NAMES, PTYPE_RESPONSE, Message
from ..core.report import Report
from ..core.server import Server
from .article import Article
from .ends import Ends
from .protocol import PROTO, Protocol, unknown_request, unknown_response
from .response import Response
from .tables import Tables

from .coroutine import (  # isort: skip
    BREAK, CALL, DONE, EXIT, QUIT, RESPONSE, RETURN, SLEEP, SUSPEND, Coroutine, coroutine_close, coroutine_resume,
    current as current_service,
)  # fmt: skip

current: Callable[[], Scheduler] = current_service
NOTHING: Any = ()  # stands for every queue that was never used
undispatched: dict[int, Callable[[Scheduler, Message], Any]] = {}
"""By type: who takes a message that no protocol dispatches (tracetag.py)."""


class Scheduler(Article, Ends, Tables):
    """The tables of one service, and the functions that move its coroutines.

    `session_id_coroutine`, `wakeup_queue`, ... are skynet's own names. Tables keyed by
    coroutine are attributes of the coroutine; `tables()` shows them in skynet's shape.
    All of it is written in the thread of the service only.
    """

    __slots__ = (
        "at_close", "callees", "coroutines", "created", "ctx", "dead_service", "emit", "error_queue", "file",
        "fork_queue", "handle", "hub", "init_functions", "init_thread", "launch_args", "libs", "mailbox", "main",
        "name", "namespace", "pooled", "proto", "queues", "resume", "seen_calls", "server",
        "session_id_coroutine", "sessions", "sleep_tokens", "socket_pool", "start_state", "timeout_traceback",
        "unknown_request", "unknown_response", "unresponse", "wakeup_queue", "watching_session",
    )  # fmt: skip
    coroutine = Coroutine  # what a new one is

    def __init__(self, server: Server, ctx: Context) -> None:
        self.server = server
        self.ctx = ctx
        self.handle = ctx.handle
        self.name = ctx.name
        self.mailbox = ctx.mailbox
        self.hub = server.driver.hub_of(ctx.handle)
        self.resume = coroutine_resume
        self.emit: Callable[[tuple[Any, ...]], Any] | None = None  # of a recording: tell/ keeps it here
        self.proto: dict[str | int, Protocol] = PROTO  # copied before the first change
        self.sessions: Iterator[int] = sessions(self.in_use)
        # session → coroutine, or BREAK. Who waits is entered (`suspend`, in 1.8 by itself; timeout and request.py for
        # others), who resumes takes it out. `dispatch_wakeup` and `abandon` put BREAK there; `wait` takes that out.
        self.session_id_coroutine: dict[int, Any] = {}
        self.watching_session: dict[int, int | str] = {}  # session → whom we wait for
        self.callees: dict[int | str, set[int]] | None = None  # the other way round, as far as `calls_to` has seen
        self.seen_calls = 0
        self.coroutines: dict[int, Coroutine] = {}  # all alive, in the order of their creation
        self.created = 0
        self.pooled: Coroutine | None = None  # coroutine_pool: the one that ended last; each knows the one before
        # Made when first used: most services never need them.
        self.wakeup_queue: deque[Any] = NOTHING
        self.fork_queue: deque[Coroutine] = NOTHING
        self.error_queue: deque[tuple[int, Failure | None]] = NOTHING
        self.socket_pool: dict[int, Any] | None = None  # socketpool.py
        self.sleep_tokens: dict[Any, Coroutine] = {}  # sleepers that a token wakes
        self.dead_service: dict[int, int] = {}  # who has ended → how many messages had come by then
        self.unresponse: dict[Response, None] = {}  # response functions not used yet
        self.queues: dict[int, Any] = {}  # those critical sections that somebody is in, by number
        self.unknown_request: Callable[..., Any] = unknown_request
        self.unknown_response: Callable[..., Any] = unknown_response
        self.timeout_traceback: dict[int, str] | None = None  # trace_timeout: session → who set the timer
        # Of its code and its start, see services.py and the loader.
        self.main: Any = None  # a start function, or a file
        self.file: str | None = None  # where its code stands, for the names of places
        self.namespace: dict[str, Any] | None = None  # the globals of its code, if it is a file
        self.launch_args: tuple[Any, ...] = ()
        self.init_functions: list[Callable[[], Any]] | None = []  # None once they have run
        self.init_thread: Coroutine | None = None  # the start function, until it has ended
        self.start_state = "loading"  # then "starting", then "ok", "failed" or "gone"
        # What libraries keep for the service (Python shares modules, Lua does not), and want to be done at its end.
        self.libs: dict[str, Any] = {}
        self.at_close: tuple[Callable[[Scheduler], Any], ...] = ()

    def load(self, run: Callable[[Scheduler, Any], bool], message: Message) -> None:
        """The first message of all: run the code of the service, which says what is to be started (snlua_init)."""
        self.hub.service = self
        if not contextvars.Context().run(run, self, message[3]):  # the hub is everybody's
            self.server.kill(self.handle, self.handle)

    # ---- coroutines

    def co_create(self, f: Callable[..., Any], args: tuple[Any, ...]) -> Coroutine:
        """A coroutine for task `f`: a finished one if there is any, else a new one.

        skynet hands a pooled coroutine its function with a switch of its own; here the
        function is laid on the coroutine, and the next resume starts it. DOC: co-create
        """
        co = self.pooled
        if co is not None:
            self.pooled = co.pooled
        else:
            self.created += 1
            co = self.coroutines[self.created] = self.coroutine(self, self.hub, self.created)
        co.f = f
        co.args = args
        return co

    # ---- dispatch

    def dispatch_message(self, message: Message) -> None:
        """The callback of the service: one message, then all forks. DOC: dispatch-message"""
        self.hub.service = self
        errors: list[BaseException] | None = None
        try:
            self.raw_dispatch_message(message)
        except BaseException as e:
            errors = [e]
        forks = self.fork_queue
        while forks:
            try:
                self.suspend(forks.popleft(), None, None)
            except BaseException as e:
                errors = [*(errors or ()), e]
        if errors is not None:
            self.dispatch_failed(message, errors)
            del errors  # their tracebacks hold this frame

    def raw_dispatch_message(self, message: Message) -> None:
        """A response resumes who waits for it; a request gets a coroutine. DOC: raw-dispatch-message"""
        ptype, session, source, payload = message
        if ptype == PTYPE_RESPONSE:
            co = self.session_id_coroutine.pop(session, None)
            if co is None:
                self.unknown_response(session, source, payload)
            elif co is not BREAK:
                self.suspend(co, True, payload)
            return
        p = self.proto.get(ptype)
        if p is None or p.dispatch is None:
            self.not_dispatched(message)
            return
        try:
            args = payload if type(payload) is p.plain else p.unpack(payload)
        except BaseException as e:  # a function of the user's
            if session != 0:
                self.server.send(self.handle, source, PTYPE_ERROR, session, self.failure(f"raised {brief(e)}", e))
            raise
        co = self.co_create(p.dispatch, (session, source) + args)  # noqa: RUF005  # it is faster
        co.session = session
        co.address = source
        co.serial = self.mailbox.popped
        self.suspend(co, None, None)

    def suspend(self, co: Any, ok: Any, value: Any) -> None:
        """Resume `co`, catch what it yields, and go on with whoever became ready by it, until nobody is.

        `ok` and `value` are what its yield returns: True and an answer (of a timer: nothing), False and BREAK
        (woken) or a Failure (its call failed); what a command gave, and DONE; nothing, to start a task. An error
        of any coroutine leaves by here, and what was still queued waits for the next `suspend`. DOC: suspend
        """
        while True:
            resume = self.resume  # tracing may begin or end at any command
            try:
                command, param = resume(co, ok, value)
            except BaseException as e:
                self.failed(co, e)
                raise
            if command is EXIT:
                if param:
                    self.forgot(co, param)
            elif command is CALL:
                self.session_id_coroutine[param] = co
                co.awaits = param
            elif command is SLEEP:
                self.session_id_coroutine[param] = co
                co.sleeping = param
            elif command is RETURN:  # done at once, as those that follow: nobody else comes in between
                ok, value = self.answer(co, param), DONE
                continue
            elif command is RESPONSE:
                ok, value = self.respond_later(co, param), DONE
                continue
            elif command is QUIT:
                return
            elif command is not SUSPEND:  # KILL, TRACE: a function for the hub
                ok, value = param(), DONE
                continue
            if self.wakeup_queue and (co := self.dispatch_wakeup()) is not None:
                ok, value = False, BREAK
            elif self.error_queue and (failed := self.dispatch_error_queue()) is not None:
                ok, (co, value, _) = False, failed
            else:
                return

    def dispatch_wakeup(self) -> Any:
        """Whom the next entry of the wakeup queue wakes, or None.

        An entry whose coroutine does not sleep any more is dropped, and ends the chain of
        wakeups: what stands behind it waits for the next yield. DOC: dispatch-wakeup
        """
        co = self.wakeup_queue.popleft()
        if type(co) is tuple:  # a token, and who slept with it: whoever does so now is meant
            co = self.sleep_tokens.get(co[0])
        if co is None or co.sleeping is None:
            return None
        self.session_id_coroutine[co.sleeping] = BREAK
        return co

    def dispatch_error_queue(self) -> tuple[Any, Failure | None, int] | None:
        """The next coroutine whose call has failed, why, and the session; or None. DOC: dispatch-error-queue"""
        while self.error_queue:
            session, failure = self.error_queue.popleft()
            co = self.session_id_coroutine.pop(session, None)
            if co is not None and co is not BREAK:  # told twice, or answered in between; given up
                return co, failure, session
        return None

    def answer(self, co: Coroutine, payload: Any) -> bool:
        """RETURN: send the answer. False if nobody waits for one. DOC: command-return"""
        session = co.session
        if not session:
            return False
        if co.responded:
            self.end_wrong(co)
            raise SkynetError(
                f"{co.label} answered session {session} of {address_text(co.address)} a second time: "
                "one skynet.ret or skynet.response for each request"
            )
        co.responded = True
        if co.address in self.dead_service and self.gone(co):
            return False
        return self.server.send(self.handle, co.address, PTYPE_RESPONSE, session, payload)

    def respond_later(self, co: Coroutine, pack: Callable[[tuple[Any, ...]], Any]) -> Response:
        """RESPONSE: a function that answers later. DOC: command-response"""
        if co.responded:
            self.end_wrong(co)
            raise SkynetError(
                f"{co.label} has answered already: skynet.response comes instead of skynet.ret, not after it"
            )
        co.responded = True
        response = Response(self, co, pack)
        self.unresponse[response] = None
        return response

    def not_dispatched(self, message: Message) -> None:
        """Nobody has set a handler for its type: refuse a request, complain of a send."""
        ptype, session, source, payload = message
        if ptype in undispatched and undispatched[ptype](self, message):
            return
        p = self.proto.get(ptype)
        name = p.name if p is not None else PTYPE_NAMES[ptype] if ptype < len(PTYPE_NAMES) else str(ptype)
        if session == 0:
            self.unknown_request(session, source, payload, name)
            return
        reason = f'no handler for "{name}" in {self.ctx.called}'
        self.server.send(self.handle, source, PTYPE_ERROR, session, Failure(self.handle, "", reason))
        told: set[tuple[int, int]] = self.libs.setdefault("not_dispatched", set())
        if (ptype, source) not in told and len(told) < 1000:
            told.add((ptype, source))
            f = f'dispatch("{name}", f)' if p else f"register_protocol(name=..., id={ptype}, dispatch=f)"
            text = f"{reason}: a call from {address_text(source)} fails; set one with skynet.{f}"
            self.server.warn(self.handle, text)

    # ---- failure and end

    def failed(self, co: Coroutine, error: BaseException) -> None:
        """What `co` runs has raised: tell its caller. `dispatch_message` will log it. DOC: handler-failed"""
        if co.dead:
            session = co.session
            self.died(co, error)
            if session:
                failure = self.failure(f"raised {brief(error)}", error)
                self.server.send(self.handle, co.address, PTYPE_ERROR, session, failure)

    def dispatch_failed(self, message: Message, errors: list[BaseException]) -> None:
        _, session, source, _ = message
        self.report(f"lua call [{source:x} to :{self.handle:x} : {session}] error : ", *errors)

    def killed(self, co: Coroutine, by: int) -> None:
        """Coroutine number `by` (0: nobody in particular) has ended it (killthread, or the end of a request)."""
        self.forget(co)

    def died(self, co: Coroutine, error: BaseException) -> None:
        """Its task has raised `error`."""
        self.forget(co)
        if self.pooled is co:  # a signal came late, when its task was over already
            self.pooled = co.pooled

    def end_wrong(self, co: Coroutine) -> None:
        """End a coroutine that answered twice. What is raised then is an error of the dispatch, not of its task."""
        coroutine_close(co)
        self.forget(co)

    def forget(self, co: Coroutine) -> None:
        """It has ended otherwise than by returning. Tables by session are cleaned by who ended it (task.py)."""
        co.session = None
        co.responded = False
        self.coroutines.pop(co.n, None)

    def ignore(self, co: Coroutine) -> None:
        """It will not answer its request (skynet.ignoreret)."""
        co.session = None

    def close(self) -> None:
        """End all coroutines in the order of their creation; the service is gone. In the hub only."""
        self.hub.service = self
        self.fork_queue = self.wakeup_queue = self.error_queue = NOTHING
        for co in list(self.coroutines.values()):
            coroutine_close(co)
        for end in self.at_close:
            end(self)
        self.coroutines.clear()
        self.pooled = None
        self.session_id_coroutine.clear()
        if self.start_state in ("loading", "starting"):
            self.start_state = "gone"

    # ---- the calls that have failed

    def watch_error(self, session: int, source: int | str, failure: Failure | None) -> None:
        """A PTYPE_ERROR message: fail one call, or with session 0 all calls to a dead service. DOC: watch-error"""
        if session == 0:
            failed = self.calls_to(source)
        else:
            failed = [session] if session in self.watching_session else []
        for s in failed:
            if self.error_queue is NOTHING:
                self.error_queue = deque()
            self.error_queue.append((s, failure))

    # ---- told to those who look (tell/)

    def tagged(self, co: Coroutine, tag: str | None, text: str) -> None:
        """A trace tag has come to `co`, or has left it (tracetag.py)."""

    def joined(self, co: Coroutine, by: int) -> None:
        """A coroutine was made that runs no task of the user (request.py)."""

    def sleeps_not(self, co: Coroutine | None, token: Any) -> None:
        """A wakeup that wakes nobody: `co` does not sleep, or there is none."""

    def queue_changed(self, number: int, section: Any, op: str, co: Any) -> None:
        """Of a critical section: `co` has come (push), was inside and left (pop), or was killed waiting (leave)."""
        if section.busy():
            self.queues[number] = section
        else:
            self.queues.pop(number, None)

    # ---- small things

    def failure(self, reason: str, cause: BaseException | None = None) -> Failure:
        """Why a call to this service fails."""
        return Failure(self.handle, self.ctx.called, reason, cause)

    def error(self, text: str) -> None:
        self.server.log(self.handle, text)

    def report(self, words: str, *errors: BaseException) -> None:
        """A log line with what was raised."""
        self.server.log(self.handle, Report(words, errors, self.name, self.file))

    def in_use(self, session: int) -> bool:
        return session in self.session_id_coroutine

    def __repr__(self) -> str:
        return f"<service {address_text(self.handle)} {self.ctx.called}>"


@cache
def _dressed(mixins: tuple[type, ...], plain: type[Scheduler]) -> type[Scheduler]:
    return type("Scheduler", (*mixins, plain), {"__slots__": (), "mixins": mixins, "plain": plain})


def dress(s: Scheduler, *mixins: Any) -> None:
    """Put mixins on a scheduler, the outermost first, in place of those it has.

    Each has `around(s, resume)`, which returns the `resume` to be used instead of the one below it.
    """
    plain: Any = getattr(s, "plain", type(s))
    s.__class__ = _dressed(mixins, plain) if mixins else plain
    s.resume = coroutine_resume
    for mixin in reversed(mixins):
        s.resume = mixin.around(s, s.resume)
