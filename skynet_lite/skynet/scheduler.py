"""The scheduler of a service, and the API that its code calls.

One idea: a service never blocks, its coroutines do. Each message gets a coroutine.
When the coroutine must wait it yields a command to `suspend`, which notes in a
table who is to be resumed by what, and the service goes on with its next message.

  1  A message comes: `dispatch_message` → `raw_dispatch_message`. A response finds
     the coroutine that waits for its session; anything else gets a new one.
  2  The coroutine runs until it yields CALL, SLEEP, RETURN, RESPONSE, EXIT or QUIT.
  3  `suspend` fills the tables, then lets `dispatch_wakeup` and
     `dispatch_error_queue` resume what became ready meanwhile: `wakeup` only queues.
  4  When nothing is left, the forks run, each like a message of its own.

The order of events is that of skynet v1.1.0 (lualib/skynet.lua); the public API is
today's. Lua's tail calls are a loop here: ten thousand wakeups do not recurse.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..core.context import sessions
from ..core.errors import SkynetError
from ..core.handle import address_text
from ..core.message import PTYPE_ERROR, PTYPE_NAMES, PTYPE_RESPONSE, PTYPE_TRACE, Message, mail_label
from ..core.places import format_error, place_label
from .coroutine import (
    BREAK,
    CALL,
    EXIT,
    KILL,
    QUIT,
    RESPONSE,
    RETURN,
    SLEEP,
    Coroutine,
    coroutine_close,
    coroutine_resume,
    drop_token,
)  # fmt: skip
from .protocols import PROTO, Protocol, unknown_request, unknown_response
from .queue import CriticalSection
from .tracetag import end_trace, trace_log, trace_request, trace_source

if TYPE_CHECKING:
    from ..core.context import Context
    from ..node.node import Node

NOTHING: deque[Any] = deque(maxlen=0)  # stands for every queue that was never used


class Scheduler:
    """The tables of one service, and the functions that move its coroutines.

    `session_id_coroutine`, `wakeup_queue`, ... are skynet's own names. Tables keyed by
    coroutine are attributes of the coroutine; `tables()` shows them in skynet's shape.
    """

    __slots__ = (
        "at_close",
        "contexts",
        "coroutines",
        "created",
        "ctx",
        "dead_service",
        "emit",
        "error_queue",
        "file",
        "fork_queue",
        "global_queue",
        "handle",
        "hub",
        "init_error",
        "init_functions",
        "init_thread",
        "launch_args",
        "libs",
        "mailbox",
        "name",
        "namespace",
        "node",
        "pooled",
        "proto",
        "queues",
        "resume",
        "running",
        "sections",
        "session_id_coroutine",
        "sessions",
        "sleep_tokens",
        "socket_onclose",
        "socket_pool",
        "start_state",
        "timeout_traceback",
        "trace_ids",
        "trace_source",
        "tracing",
        "unknown_request",
        "unknown_response",
        "unresponse",
        "wakeup_queue",
        "watching_session",
    )  # fmt: skip

    def __init__(self, node: Node, ctx: Context) -> None:
        self.node = node
        self.ctx = ctx
        self.hub = node.hub
        self.handle = ctx.handle
        self.name = ctx.name
        self.file: str | None = None  # where its code stands, for the names of places
        self.namespace: dict[str, Any] | None = None  # the globals of its code, if it is a file
        self.mailbox = ctx.mailbox
        self.contexts = node.handles.contexts
        self.global_queue = node.global_queue
        self.resume = coroutine_resume
        self.emit: Callable[[tuple[Any, ...]], Any] | None = None  # of a recording, see observe.py
        self.proto: dict[str | int, Protocol] = PROTO  # copied before the first change
        self.sessions: Iterator[int] = sessions(self._session_in_use)
        self.session_id_coroutine: dict[int, Any] = {}  # session → coroutine, or BREAK
        self.watching_session: dict[int, int | str] = {}  # session → whom we wait for
        self.pooled: Coroutine | None = None  # coroutine_pool: the one that ended last; each knows the one before
        self.coroutines: dict[int, Coroutine] = {}  # all alive, in the order of their creation
        self.created = 0
        self.running: Coroutine | None = None
        # Made when first used: most services never need them.
        self.wakeup_queue: deque[Any] = NOTHING
        self.fork_queue: deque[Coroutine] = NOTHING
        self.error_queue: deque[int] = NOTHING
        self.sleep_tokens: dict[Any, Coroutine] | None = None  # sleepers that a token wakes
        self.dead_service: set[int] | None = None
        self.unresponse: dict[Response, None] | None = None  # response functions not used yet
        self.socket_pool: dict[int, Any] | None = None  # socket.py
        self.socket_onclose: dict[int, Callable[[int], Any]] | None = None
        self.sections = 0  # critical sections made so far
        self.queues: dict[int, CriticalSection] | None = None  # those that somebody is in, by number
        self.init_functions: list[Callable[[], Any]] | None = []  # None once they have run
        self.init_thread: Coroutine | None = None  # the start function, until it has ended
        self.launch_args: tuple[Any, ...] = ()
        self.libs: dict[str, Any] = {}  # what libraries keep for the service: Python shares modules, Lua does not
        self.start_state = "loading"  # then "starting", then "ok", "failed" or "gone"
        self.init_error: str = ""
        self.unknown_request: Callable[..., Any] = unknown_request
        self.unknown_response: Callable[..., Any] = unknown_response
        self.timeout_traceback: dict[int, str] | None = None  # trace_timeout: session → who set the timer
        self.tracing = False  # whether requests are to be looked at: see tracetag.py
        self.trace_source: dict[int, str] = {}  # who sent a tag, which his next request will carry
        self.trace_ids = 0
        self.at_close: list[Callable[[Scheduler], Any]] = []  # what libraries want to be done then

    # ---- coroutines

    coroutine = Coroutine  # what a new one is

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
        self.running = None
        failure = ""
        try:
            self.raw_dispatch_message(message)
        except BaseException as e:
            failure = self._failed(e)
        while self.fork_queue:
            co = self.running = self.fork_queue.popleft()
            try:
                self.suspend(co, self.resume(co))
            except BaseException as e:
                failure = f"{failure}\n{self._failed(e)}" if failure else self._failed(e)
        if failure:
            self.dispatch_failed(message, failure)

    def dispatch_failed(self, message: Message, failure: str) -> None:
        _, session, source, _ = message
        self.error(f"lua call [{source:x} to :{self.handle:x} : {session}] error : {failure}")

    def set_callback(self, callback: Callable[[Message], None]) -> None:
        """What the mailbox hands its messages to (skynet_callback)."""
        self.node.set_callback(self.ctx, callback)

    def raw_dispatch_message(self, message: Message) -> None:
        """A response resumes who waits for it; a request gets a coroutine. DOC: raw-dispatch-message"""
        ptype, session, source, payload = message
        if ptype == PTYPE_RESPONSE:
            co = self.session_id_coroutine.pop(session, None)
            if co is None:
                self.unknown_response(session, source, payload)
            elif co is not BREAK:
                if co.tag:
                    trace_log(co, "resume")
                self.running = co
                resume = self.resume
                self.suspend(co, resume(co, True, payload))
            return
        p = self.proto.get(ptype)
        if p is None or p.dispatch is None:
            if (self.tracing or ptype == PTYPE_TRACE) and trace_source(self, ptype, source, payload):
                return
            if session != 0:
                self.send(source, PTYPE_ERROR, session, None)
            else:
                name = p.name if p is not None else PTYPE_NAMES[ptype] if ptype < len(PTYPE_NAMES) else str(ptype)
                self.unknown_request(session, source, payload, name)
            return
        args = payload if type(payload) is tuple and p.plain else p.unpack(payload)
        co = self.co_create(p.dispatch, (session, source) + args)
        if self.tracing:
            trace_request(co, p, source)
        co.session = session
        co.address = source
        co.serial = self.mailbox.popped
        self.running = co
        resume = self.resume
        self.suspend(co, resume(co))

    def suspend(self, co: Any, yielded: Any) -> None:
        """Catch what `co` yields, and go on with whoever became ready by it.

        Returns when nobody is. An error of any coroutine leaves by here, and what was
        still queued then waits for the next dispatch. DOC: suspend
        """
        resume = self.resume
        while True:
            command, param = yielded
            if command is EXIT:
                if co.tag is not None:
                    end_trace(co, "end")
                if param:
                    self.error(f"Maybe forgot response session {param} from {address_text(co.address)} : {co.label}")
            elif command is CALL:
                self.session_id_coroutine[param] = co
            elif command is SLEEP:
                self.session_id_coroutine[param] = co
                co.sleeping = param
            elif command is RETURN:  # done at once, and the coroutine goes on; nobody else comes in between
                yielded = resume(co, self._return(co, param))
                continue
            elif command is RESPONSE or command is KILL:
                yielded = resume(co, self._at_once(co, command, param))
                continue
            elif command is QUIT:
                return  # SUSPEND, of skynet.request: what it waits for is in the table already
            if self.wakeup_queue:
                yielded = self.dispatch_wakeup()
                if yielded is not None:
                    co = self.running
                    continue
            if self.error_queue:
                yielded = self.dispatch_error_queue()
                if yielded is not None:
                    co = self.running
                    continue
            return

    def dispatch_wakeup(self) -> Any:
        """Resume the next entry of the wakeup queue; what it yields, or None.

        An entry whose coroutine does not sleep any more ends the chain: what stands
        behind it waits for the next suspend. DOC: dispatch-wakeup
        """
        co = self.wakeup_queue.popleft()
        if type(co) is tuple:  # a token, and who slept with it: whoever does so now is meant
            co = (self.sleep_tokens or {}).get(co[0])
        if co is None or co.sleeping is None:
            return None
        self.session_id_coroutine[co.sleeping] = BREAK
        if co.tag:
            trace_log(co, "resume")
        self.running = co
        resume = self.resume
        return resume(co, False, BREAK)

    def dispatch_error_queue(self) -> Any:
        """Resume the next coroutine whose call has failed; what it yields, or None. DOC: dispatch-error-queue"""
        while self.error_queue:
            session = self.error_queue.popleft()
            co = self.session_id_coroutine.get(session)
            if co is None or co is BREAK:
                continue  # told twice, or answered in between
            del self.session_id_coroutine[session]
            self.running = co
            return self.resume(co, False, None)
        return None

    def _return(self, co: Coroutine, payload: Any) -> bool:
        """RETURN: send the answer. False if nobody waits for one. DOC: command-return"""
        session = co.session
        if session == 0:
            return False
        if co.responded:
            self._abandon(co)
            raise SkynetError(
                f"{co.label} answered session {session} of {address_text(co.address)} a second time: "
                "one skynet.ret or skynet.response for each request"
            )
        co.responded = True
        if self.dead_service is not None and co.address in self.dead_service:
            return False
        return self.send(co.address, PTYPE_RESPONSE, session or 0, payload)

    def _at_once(self, co: Coroutine, command: str, param: Any) -> Any:
        if command is RESPONSE:
            return self._response(co, param)
        self.kill_coroutine(param, co.n)
        self.running = co
        return True

    def _response(self, co: Coroutine, pack: Callable[[tuple[Any, ...]], Any]) -> Response:
        """RESPONSE: a function that answers later. DOC: command-response"""
        if co.responded:
            self._abandon(co)
            raise SkynetError(
                f"{co.label} has answered already: skynet.response comes instead of skynet.ret, not after it"
            )
        co.responded = True
        if self.unresponse is None:
            self.unresponse = {}
        response = Response(self, co.session or 0, co.address, pack)
        self.unresponse[response] = None
        return response

    # ---- failure and end

    def _failed(self, error: BaseException) -> str:
        """Something was raised under dispatch: tell the caller, keep the service. DOC: handler-failed

        Returns the log text.
        """
        co = self.running
        self.running = None
        if co is not None and co.dead:
            session = co.session
            if co.tag is not None:
                end_trace(co, "error" if session else None)
            self.died(co, error)
            if session:
                self.send(co.address, PTYPE_ERROR, session, None)
        if not isinstance(error, Exception):
            self.node.interrupt(error)
        return format_error(error, self.name, self.file)

    def died(self, co: Coroutine, error: BaseException) -> None:
        """Its task has raised `error`."""
        self._forget(co)

    def _abandon(self, co: Coroutine) -> None:
        """End a coroutine that broke the rules; what follows is an error of the scheduler, not its own."""
        coroutine_close(co)
        self._forget(co)
        self.running = None

    def kill_coroutine(self, co: Coroutine, by: int) -> None:
        """End a parked coroutine (killthread). In the hub only, for its `finally` blocks run."""
        if co.tag is not None:
            end_trace(co, None)
        owes = 0 if co.responded else co.session
        co.sleeping = None
        drop_token(self, co)
        if co in self.fork_queue:
            self.fork_queue.remove(co)
        self.killed(co, by)
        for session in [s for s, waiting in self.session_id_coroutine.items() if waiting is co]:
            self.abandon(session)
        if owes:
            self.send(co.address, PTYPE_ERROR, owes, None)
        for section in list((self.queues or {}).values()):
            section.leave(co)
        coroutine_close(co)
        if self.pooled is co:  # it was told to end, and did: by returning
            self.pooled = co.pooled

    def killed(self, co: Coroutine, by: int) -> None:
        """Coroutine number `by` (0: nobody in particular) has ended it."""
        self._forget(co)

    def abandon(self, session: int) -> None:
        """Nobody waits for `session` any more: throw its answer away, if one will come."""
        if session not in self.session_id_coroutine:
            return
        comes = session in self.watching_session
        if comes:
            del self.watching_session[session]
        elif any(m[:2] == (PTYPE_RESPONSE, session) for m in self.mailbox):
            comes = True
        else:
            comes = (self.handle, session) in {timer[1:] for timer in self.node.timer.pending()}
        if comes:
            self.session_id_coroutine[session] = BREAK
        else:
            del self.session_id_coroutine[session]

    def queue_changed(self, number: int, section: CriticalSection, op: str, co: Any) -> None:
        """Somebody stands at the end of the queue (push), its first has left (pop), or another (leave)."""
        if self.queues is None:
            self.queues = {}
        if section.busy():
            self.queues[number] = section
        else:
            self.queues.pop(number, None)

    def sleeps_not(self, co: Coroutine | None) -> None:
        """Somebody wanted to wake `co`, or nobody, in vain."""

    def ignore(self, co: Coroutine) -> None:
        """Its request will not be answered."""
        co.session = None

    def _forget(self, co: Coroutine) -> None:
        if co.tag is not None:
            end_trace(co, None)
        co.session = None
        co.responded = False
        self.coroutines.pop(co.n, None)

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
        for id in self.socket_pool or ():  # as __gc of socket_pool does in lualib/skynet/socket.lua
            self.node.socket_server.close(self.handle, id)
        self.socket_pool = None
        if self.start_state in ("loading", "starting"):
            self.start_state = "gone"

    # ---- sending

    def send(self, to: int | str, ptype: int, session: int, payload: Any) -> bool:
        """Put a message into a mailbox; False if there is no such service. DOC: send"""
        try:
            mailbox = self.contexts[to].mailbox  # type: ignore[index]
        except (KeyError, TypeError):  # a name, the outside, another node, or nobody
            mailbox = None
        if mailbox is None or to is True:
            return self.node.send_far(self, to, ptype, session, payload)
        mailbox.append((ptype, session, self.handle, payload))
        if not mailbox.in_global:
            mailbox.in_global = True
            self.global_queue.append(mailbox)
        return True

    def set_timer(self, session: int, ti: int) -> None:
        """Answer `session` in `ti` ticks; if that is 0, now, by a message (cmd_timeout). DOC: set-timer"""
        if ti <= 0:
            mailbox = self.mailbox
            mailbox.append((PTYPE_RESPONSE, session, 0, ()))
            if not mailbox.in_global:
                mailbox.in_global = True
                self.global_queue.append(mailbox)
            return
        if type(ti) is not int:
            raise SkynetError(f"a time is a whole number of ticks (10 ms each), not {ti!r}")
        self.node.timer.add(self.node.clock.now() + ti, self.handle, session)

    def redirect(self, target: Context, message: Message) -> None:
        self.node.push(target, message, "redirect")

    def error(self, text: str) -> None:
        self.node.log(self.handle, text)

    def watch_error(self, session: int, source: int | str) -> None:
        """A PTYPE_ERROR message: fail one call, or with session 0 all calls to a dead service. DOC: watch-error"""
        if session == 0:
            if isinstance(source, int) and self._watches(source):
                if self.dead_service is None:
                    self.dead_service = set()
                self.dead_service.add(source)
            failed: Iterable[int] = [s for s, to in self.watching_session.items() if to == source]
        else:
            failed = (session,) if session in self.watching_session else ()
        for s in failed:
            if self.error_queue is NOTHING:
                self.error_queue = deque()
            self.error_queue.append(s)

    def _watches(self, source: int) -> bool:
        """watching_service: whether a request of `source` is still being served or kept."""
        return any(r.address == source for r in self.unresponse or ()) or any(
            co.session is not None and co.address == source for co in self.coroutines.values()
        )

    def _session_in_use(self, session: int) -> bool:
        return session in self.session_id_coroutine

    # ---- for looking at

    @property
    def sleep_session(self) -> dict[str, int]:
        return {co.label: co.sleeping for co in self.coroutines.values() if co.sleeping is not None}

    @property
    def session_coroutine_id(self) -> dict[str, int]:
        return {co.label: co.session for co in self.coroutines.values() if co.session is not None}

    @property
    def session_coroutine_address(self) -> dict[str, str]:
        return {co.label: address_text(co.address) for co in self.coroutines.values() if co.session is not None}

    @property
    def session_coroutine_tracetag(self) -> dict[str, str]:
        return {co.label: co.tag for co in self.coroutines.values() if isinstance(co.tag, str)}

    @property
    def session_response(self) -> list[str]:
        return [co.label for co in self.coroutines.values() if co.responded]

    @property
    def watching_service(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for co in self.coroutines.values():
            if co.session is not None:
                counts[address_text(co.address)] = counts.get(address_text(co.address), 0) + 1
        for response in self.unresponse or ():
            counts[address_text(response.address)] = counts.get(address_text(response.address), 0) + 1
        return counts

    def tables(self) -> dict[str, Any]:
        """Every table under skynet's name, as plain data: what `Trace.state` shows."""

        return {
            "name": self.name,
            "mailbox": [mail_label(m) for m in self.mailbox],
            "session_id_coroutine": {
                s: co if co is BREAK else co.label for s, co in sorted(self.session_id_coroutine.items())
            },
            "sleep_session": self.sleep_session,
            "wakeup_queue": [(entry[1] if type(entry) is tuple else entry).label for entry in self.wakeup_queue],
            "fork_queue": [co.label for co in self.fork_queue],
            "error_queue": list(self.error_queue),
            "watching_session": {
                s: address_text(to) if isinstance(to, int) else to for s, to in sorted(self.watching_session.items())
            },
            "watching_service": dict(sorted(self.watching_service.items())),
            "dead_service": sorted(address_text(a) for a in self.dead_service or ()),
            "session_coroutine_id": self.session_coroutine_id,
            "session_coroutine_address": self.session_coroutine_address,
            "session_coroutine_tracetag": self.session_coroutine_tracetag,
            "session_response": self.session_response,
            "unresponse": sorted([r.session, address_text(r.address)] for r in self.unresponse or ()),
            "coroutine_pool": [co.label for co in self.coroutine_pool],
            "queue": {n: section.labels() for n, section in sorted((self.queues or {}).items())},
            "socket_pool": {id: s.label() for id, s in sorted((self.socket_pool or {}).items())},
        }

    @property
    def coroutine_pool(self) -> list[Coroutine]:
        """Those that have ended; the last is the next to be used."""
        found: list[Coroutine] = []
        co = self.pooled
        while co is not None:
            found.insert(0, co)
            co = co.pooled
        return found

    def place(self, place: Any) -> str:
        return place_label(place, self.name, self.file)

    def __repr__(self) -> str:
        return f"<service {address_text(self.handle)} {self.name}>"


class Response:
    """What `skynet.response` returns: answer later, from any coroutine.

    `r(True, *values)` answers, `r(False)` makes the call fail, `r("TEST")` tells whether
    the caller still lives. True if the answer was sent; a second one raises SkynetError.
    """

    __slots__ = ("_pack", "_service", "_state", "address", "session")

    def __init__(self, service: Scheduler, session: int, address: int, pack: Callable[[tuple[Any, ...]], Any]) -> None:
        self._service = service
        self._pack = pack
        self._state = "open"  # then "dead" (TEST found the caller gone), then "used"
        self.session = session
        self.address = address

    def __call__(self, ok: bool | str, *values: Any) -> bool:
        s = self._service
        dead = s.dead_service is not None and self.address in s.dead_service
        if ok == "TEST":
            if dead:
                self._release()
                self._state = "dead"
                return False
            return True
        if self._state == "dead":
            self._state = "used"
            return False
        if self._state == "used":
            raise SkynetError("Can't response more than once")
        sent = False
        if self.session != 0 and not dead:
            if ok:
                sent = s.send(self.address, PTYPE_RESPONSE, self.session, self._pack(values))
            else:
                sent = s.send(self.address, PTYPE_ERROR, self.session, None)
        self._release()
        self._state = "used"
        return sent

    def _release(self) -> None:
        s = self._service
        if s.unresponse is not None and self in s.unresponse:
            del s.unresponse[self]
