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

import inspect
import marshal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakValueDictionary

from .core.context import sessions
from .core.errors import AddressError as AddressError, CallError as CallError, SkynetError as SkynetError
from .core.handle import REMOTE_SHIFT, address_text
from .core.message import (
    PTYPE_CLIENT as PTYPE_CLIENT,
    PTYPE_DEBUG as PTYPE_DEBUG,
    PTYPE_ERROR as PTYPE_ERROR,
    PTYPE_HARBOR as PTYPE_HARBOR,
    PTYPE_LUA as PTYPE_LUA,
    PTYPE_MULTICAST as PTYPE_MULTICAST,
    PTYPE_NAMES,
    PTYPE_QUEUE as PTYPE_QUEUE,
    PTYPE_RESPONSE as PTYPE_RESPONSE,
    PTYPE_SNAX as PTYPE_SNAX,
    PTYPE_SOCKET as PTYPE_SOCKET,
    PTYPE_SYSTEM as PTYPE_SYSTEM,
    PTYPE_TEXT as PTYPE_TEXT,
    PTYPE_TRACE as PTYPE_TRACE,
    Message,
    Packed,
    mail_label,
    pack as _pack,
    unpack as _unpack,
)  # fmt: skip
from .coroutine import (
    CALL,
    EXIT,
    KILL,
    QUIT,
    RESPONSE,
    RETURN,
    SLEEP,
    Coroutine,
    Hub,
    UserCoroutine,
    coroutine_close,
    coroutine_resume,
    coroutine_yield,
    current,
    drop_token as _drop_token,
    hold_token as _hold_token,
    outside as _outside,
    running as running,
)  # fmt: skip
from .profile import cpu_time, timed_dispatch
from .queue import CriticalSection
from .task import (
    killthread as killthread,
    task as task,
    trace_timeout as trace_timeout,
    traced_timeout,
    uniqtask as uniqtask,
)  # fmt: skip
from .tracetag import (
    end_trace,
    log as trace_line,
    trace as trace,
    trace_call,
    trace_log,
    trace_request,
    trace_source,
    tracelog as tracelog,
    tracetag as tracetag,
)  # fmt: skip
from .usercoroutine import close_all
from .where import format_error, place_label

if TYPE_CHECKING:
    from .core.context import Context
    from .node import Node

_service = current

F = TypeVar("F", bound=Callable[..., Any])

BREAK = "BREAK"  # in session_id_coroutine: the coroutine has gone on, throw the response away
_NOTHING: deque[Any] = deque(maxlen=0)  # stands for every queue that was never used


class Protocol:
    """How messages of one type are packed, unpacked and dispatched (register_protocol)."""

    __slots__ = ("dispatch", "id", "name", "pack", "plain", "trace", "unpack")

    def __init__(
        self, name: str, id: int, pack: Callable[[tuple[Any, ...]], Any], unpack: Callable[[Any], tuple[Any, ...]],
        dispatch: Callable[..., Any] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.id = id
        self.pack = pack  # from the tuple of arguments to the payload
        self.unpack = unpack  # and back
        self.plain = unpack is _unpack or unpack is _as_it_is  # a tuple is its arguments already
        self.dispatch = dispatch
        self.trace: bool | None = None  # traceproto: trace all, or none; None: those that come with a tag


# --------------------------------------------------------------------------- the scheduler


class Scheduler:
    """The tables of one service, and the functions that move its coroutines.

    `session_id_coroutine`, `wakeup_queue`, ... are skynet's own names. Tables keyed by
    coroutine are attributes of the coroutine; `tables()` shows them in skynet's shape.
    """

    __slots__ = (
        "cell",
        "contexts",
        "coroutines",
        "cpu_cost",
        "cpu_start",
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
        "info_func",
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
        "user_coroutines",
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
        self.proto: dict[str | int, Protocol] = _PROTO  # copied before the first change
        self.sessions: Iterator[int] = sessions(self._session_in_use)
        self.session_id_coroutine: dict[int, Any] = {}  # session → coroutine, or BREAK
        self.watching_session: dict[int, int | str] = {}  # session → whom we wait for
        self.pooled: Coroutine | None = None  # coroutine_pool: the one that ended last; each knows the one before
        self.coroutines: dict[int, Coroutine] = {}  # all alive, in the order of their creation
        self.created = 0
        self.running: Coroutine | None = None
        # Made when first used: most services never need them.
        self.wakeup_queue: deque[Any] = _NOTHING
        self.fork_queue: deque[Coroutine] = _NOTHING
        self.error_queue: deque[int] = _NOTHING
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
        self.cell: list[Callable[..., Any]] | None = None  # service_cell: takes what skynet.start is given
        self.start_state = "loading"  # then "starting", then "ok", "failed" or "gone"
        self.init_error: str = ""
        self.unknown_request: Callable[..., Any] = _unknown_request
        self.unknown_response: Callable[..., Any] = _unknown_response
        self.info_func: Callable[..., Any] | None = None  # what the debug command INFO asks
        self.timeout_traceback: dict[int, str] | None = None  # trace_timeout: session → who set the timer
        self.tracing = False  # whether requests are to be looked at: see tracetag.py
        self.trace_source: dict[int, str] = {}  # who sent a tag, which his next request will carry
        self.trace_ids = 0
        self.user_coroutines: WeakValueDictionary[int, UserCoroutine] | None = None
        self.cpu_cost = self.cpu_start = 0.0  # seconds, under the key `profile`

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
        self.mailbox.callback = partial(timed_dispatch, self, callback) if self.node.config.profile else callback

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
        _drop_token(self, co)
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
        self.fork_queue = self.wakeup_queue = self.error_queue = _NOTHING
        for co in list(self.coroutines.values()):
            coroutine_close(co)
        close_all(self)
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
            if self.error_queue is _NOTHING:
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


# --------------------------------------------------------------------------- protocols


def _own_pack(pack: Callable[..., Any] | None) -> Callable[[tuple[Any, ...]], Any]:
    def packer(args: tuple[Any, ...]) -> Any:
        if pack is None:
            raise SkynetError("this protocol has no pack function: give one to register_protocol, or use rawsend")
        return _payload(pack(*args))

    return packer


def _own_unpack(unpack: Callable[[Any], Any] | None) -> Callable[[Any], tuple[Any, ...]]:
    def unpacker(payload: Any) -> tuple[Any, ...]:
        assert unpack is not None
        return _as_it_is(unpack(payload))

    return _as_it_is if unpack is None else unpacker


def _as_it_is(values: Any) -> tuple[Any, ...]:
    return values if type(values) is tuple else (values,)


def _payload(message: Any) -> Any:
    """What may be sent as it is: bytes, str, None, or what `skynet.pack` made."""
    if type(message) is Packed:
        return message.payload
    if message is None:
        return ()
    if type(message) is str or type(message) is bytes:
        return message
    raise SkynetError(f"a raw message is str, bytes or skynet.pack(...), not {type(message).__name__}")


def _error_dispatch(session: int, source: int) -> None:
    # In this order: the message that is being served counts as watching its source (as in v1.1.0),
    # so a service that reports its own end is always entered as dead.
    s = _service()
    s.watch_error(session, source)
    ignoreret()
    if s.session_id_coroutine.get(session) is BREAK:  # the answer to a call that was given up
        del s.session_id_coroutine[session]


_PROTO: dict[str | int, Protocol] = {}
for _p in (
    Protocol("lua", PTYPE_LUA, _pack, _unpack),
    Protocol("response", PTYPE_RESPONSE, _pack, _unpack),
    Protocol("error", PTYPE_ERROR, lambda args: None, lambda payload: (), _error_dispatch),
):
    _PROTO[_p.name] = _PROTO[_p.id] = _p


def _own_proto(s: Scheduler) -> dict[str | int, Protocol]:
    """The service's own table of protocols, made before its first change."""
    if s.proto is _PROTO:
        copies = {p.id: Protocol(p.name, p.id, p.pack, p.unpack, p.dispatch) for p in _PROTO.values()}
        s.proto = {key: p for p in copies.values() for key in (p.name, p.id)}
    return s.proto


def _protocol(s: Scheduler, typename: str | int) -> Protocol:
    p = s.proto.get(typename)
    if p is None:
        raise SkynetError(f"unknown protocol {typename!r}: call skynet.register_protocol first")
    return p


def register_protocol(spec: dict[str, Any] | None = None, /, **fields: Any) -> None:
    """Teach the service a message type: name, id (0–255), pack, unpack, dispatch.

    `pack(*args)` returns str, bytes or `skynet.pack(...)`; `unpack(payload)` returns a
    value or a tuple of values. Raises SkynetError if name or id is taken.
    """
    fields = {**(spec or {}), **fields}
    s = _service()
    name, id = fields.pop("name", None), fields.pop("id", None)
    if not isinstance(name, str) or not isinstance(id, int) or not 0 <= id <= 255:
        raise SkynetError(f"register_protocol needs name (a str) and id (0 to 255), not {name!r} and {id!r}")
    if name in s.proto or id in s.proto:
        raise SkynetError(f"protocol {name!r} or id {id} is registered already: choose another")
    pack, unpack, dispatch = (fields.pop(key, None) for key in ("pack", "unpack", "dispatch"))
    if fields:
        raise SkynetError(
            f"register_protocol: unknown field {min(fields)!r}; it takes name, id, pack, unpack, dispatch"
        )
    p = Protocol(name, id, _own_pack(pack), _own_unpack(unpack), dispatch)
    proto = _own_proto(s)
    proto[name] = proto[id] = p


# --------------------------------------------------------------------------- who am I


def self() -> int:
    """The handle of the current service."""
    return _service().handle


def address(addr: int | str) -> str:
    """The text form of an address: a handle as `:00000008`, a name as it is."""
    return address_text(addr) if isinstance(addr, int) else str(addr)


def localname(name: str) -> int | None:
    """The handle behind a local name (".name"), None if there is none."""
    handles = _service().node.handles
    return handles.query(name) or None if name.startswith(".") else None


# --------------------------------------------------------------------------- messages


def _misuse(typename: str) -> SkynetError:
    """Why a message of this type cannot be sent here."""
    _service()
    return SkynetError(f"unknown protocol {typename!r}: call skynet.register_protocol first")


def _unreachable(addr: Any) -> AddressError:
    if addr == 0 and isinstance(addr, int):
        return AddressError("Invalid service address 0")
    return AddressError(f"call to invalid address {address(addr)}")


def send(addr: int | str, typename: str, *args: Any) -> int | None:
    """Send and forget. Returns 0, or None if the address does not exist."""
    co = running()
    try:
        s = co.service
        p = s.proto[typename]
    except (AttributeError, KeyError):
        raise _misuse(typename) from None
    pack = p.pack
    return 0 if s.send(addr, p.id, 0, pack(args)) else None


def call(addr: int | str, typename: str, *args: Any) -> Any:
    """Send a request and wait for its answer: None, the value, or a tuple if several.

    Raises AddressError if there is no such address, CallError if the service failed,
    refused or ended. DOC: call
    """
    co = running()
    try:
        s = co.service
        p = s.proto[typename]
    except (AttributeError, KeyError):
        raise _misuse(typename) from None
    pack = p.pack
    payload = pack(args)
    if co.tag:
        trace_call(co, addr)
    hub = co.hub
    session = next(s.sessions)
    if not s.send(addr, p.id, session, payload):
        raise _unreachable(addr)
    values = _yield_call(s, hub, addr, session)
    if type(values) is not tuple or p.id != PTYPE_LUA:
        values = p.unpack(values)
    if len(values) == 1:
        return values[0]
    return values or None


def _yield_call(s: Scheduler, hub: Hub, addr: int | str, session: int) -> Any:
    """Wait for the response to `session`. DOC: yield-call"""
    s.watching_session[session] = addr if type(addr) is int else s.node.resolve(addr)
    succ, payload = coroutine_yield(hub, CALL, session)
    del s.watching_session[session]
    if not succ:
        raise CallError("call failed")
    return payload


def rawsend(addr: int | str, typename: str, message: Any) -> int | None:
    """Like send, with a message that is packed already."""
    s = _service()
    return 0 if s.send(addr, _protocol(s, typename).id, 0, _payload(message)) else None


def rawcall(addr: int | str, typename: str, message: Any) -> Any:
    """Like call, packed in and packed out."""
    if running().tag:
        trace_call(running(), addr)
    return _rawcall(addr, typename, message)


def _rawcall(addr: int | str, typename: str, message: Any) -> Any:
    s, co = _service(), running()
    hub = co.hub
    session = next(s.sessions)
    if not s.send(addr, _protocol(s, typename).id, session, _payload(message)):
        raise _unreachable(addr)
    payload = _yield_call(s, hub, addr, session)
    return payload if isinstance(payload, str) else Packed(payload)


def tracecall(tag: str, addr: int | str, typename: str, message: Any) -> Any:
    """`rawcall` under a trace tag that is given, with a line in the log before and after it."""
    s = _service()
    trace_line(s, tag, "tracecall begin")
    s.send(addr, PTYPE_TRACE, 0, tag)
    answer = _rawcall(addr, typename, message)
    trace_line(s, tag, "tracecall end")
    return answer


def redirect(dest: int | str, source: int, typename: str, session: int, message: Any) -> int | None:
    """Send on behalf of another: `dest` sees `source` (0: this service) as the sender (c.redirect)."""
    s = _service()
    target = s.contexts.get(s.node.resolve(dest))  # type: ignore[arg-type]  # a global name is no key
    if target is None:
        return None
    ptype = _protocol(s, typename).id
    payload = _payload(message)
    s.redirect(target, (ptype, session, source or s.handle, payload))
    return session


def ret(message: Any = None) -> bool:
    """Answer the request this coroutine serves, with `skynet.pack(...)`; once.

    False if nobody waits (the message was sent, not called). DOC: ret
    """
    co = _serving("skynet.ret")
    if co.tag:
        trace_log(co, "response")
    answered: bool = coroutine_yield(co.hub, RETURN, _payload(message))
    return answered


def retpack(*values: Any) -> bool:
    """`ret(pack(*values))`."""
    co = running()
    if type(co) is not Coroutine or co.session is None:
        _serving("skynet.retpack")
    if co.tag:
        trace_log(co, "response")
    answered: bool = coroutine_yield(co.hub, RETURN, _pack(values))
    return answered


def response(pack: Callable[..., Any] | None = None) -> Response:
    """A function that answers the current request later; see Response."""
    co = _serving("skynet.response")
    made: Response = coroutine_yield(co.hub, RESPONSE, _pack if pack is None else _own_pack(pack))
    return made


def _serving(what: str) -> Coroutine:
    co: Coroutine = running()
    if getattr(co, "session", None) is not None:
        return co
    _service()
    raise SkynetError(f"{what}: no session; only the coroutine that a request came to can answer it")


def context() -> tuple[int | None, int | None]:
    """(session, source) of the request this coroutine serves; (None, None) in a fork or a timer."""
    _service()
    co = running()
    session = getattr(co, "session", None)
    return (None, None) if session is None else (session, co.address)


def ignoreret() -> None:
    """Say that this request gets no answer from here: its end, or its failure, tells nobody."""
    co = _serving("skynet.ignoreret")
    co.service.ignore(co)


def pack(*values: Any) -> Packed:
    """Values as one opaque message, for rawsend, rawcall, redirect and ret. Raises PackError."""
    return Packed(_pack(values))


def unpack(message: Packed) -> tuple[Any, ...]:
    """The values again; fresh copies each time."""
    return _unpack(message.payload if isinstance(message, Packed) else message)


def packstring(*values: Any) -> bytes:
    """Values as bytes, to be kept; `unpack` opens them, in this version of Python. Raises PackError."""
    packed = _pack(values)
    return packed if isinstance(packed, bytes) else marshal.dumps(packed)


def trash(message: Any = None) -> None:
    """Nothing: in skynet it frees a message that was not passed on; here that happens by itself."""


def tostring(payload: Any) -> str:
    """The text of a raw message."""
    return payload.decode("utf-8", "surrogateescape") if isinstance(payload, bytes) else str(payload)


def genid() -> int:
    """A session number of one's own."""
    return next(_service().sessions)


@overload
def dispatch(typename: str) -> Callable[[F], F]: ...
@overload
def dispatch(typename: str, func: Callable[..., Any]) -> Callable[..., Any] | None: ...
def dispatch(typename: str, func: Callable[..., Any] | None = None) -> Any:
    """Set the handler `f(session, source, *args)` of a message type; returns the one before.

    Without `func` it decorates.
    """
    s = _service()
    _protocol(s, typename)
    if func is None:

        def decorate(f: F) -> F:
            _own_proto(s)[typename].dispatch = f
            return f

        return decorate
    p = _own_proto(s)[typename]
    before, p.dispatch = p.dispatch, func
    return before


def traceproto(typename: str, flag: bool | None) -> None:
    """Whether requests of a type are traced: True all, False none, None those that come with a tag."""
    s = _service()
    _protocol(s, typename)
    _own_proto(s)[typename].trace = flag
    s.tracing = True


def dispatch_unknown_request(f: Callable[..., Any]) -> Callable[..., Any]:
    """Set `f(session, source, message, typename)` for messages nobody handles; returns the one before."""
    s = _service()
    before, s.unknown_request = s.unknown_request, f
    return before


def dispatch_unknown_response(f: Callable[..., Any]) -> Callable[..., Any]:
    """Set `f(session, source, message)` for responses nobody waits for; returns the one before."""
    s = _service()
    before, s.unknown_response = s.unknown_response, f
    return before


def _unknown_request(session: int, source: int, payload: Any, typename: str) -> None:
    error(f"Unknown request ({typename}): {_shown(payload)}")
    raise SkynetError(
        f"Unknown session : {session} from {source:x}; set a handler with skynet.dispatch({typename!r}, f)"
    )


def _unknown_response(session: int, source: int, payload: Any) -> None:
    error(f"Response message : {_shown(payload)}")
    raise SkynetError(f"Unknown session : {session} from {source:x}; nobody waits for this response")


def _shown(payload: Any) -> str:
    return repr(_unpack(payload) if isinstance(payload, (tuple, bytes)) else payload)[:200]


# --------------------------------------------------------------------------- time and waiting


def timeout(ti: int, func: Callable[[], Any]) -> Coroutine:
    """Run `func` in a coroutine of its own after `ti` ticks (10 ms each); 0: as a message, soon.

    The coroutine is taken now, not when the time has come. DOC: timeout
    """
    s = _service()
    session = next(s.sessions)
    if s.timeout_traceback is not None:
        func = traced_timeout(s, session, ti, func)
    s.set_timer(session, ti)
    task = s.session_id_coroutine[session] = s.co_create(func, ())
    return task


def sleep(ti: int, token: Any = None) -> str | None:
    """Wait `ti` ticks. None if they have passed, "BREAK" if somebody woke us before.

    `token` (any hashable) is what `wakeup` names instead of the coroutine. DOC: sleep
    """
    co = running()
    try:
        s, hub = co.service, co.hub
    except AttributeError:
        raise _outside() from None
    if token is not None:
        _hold_token(s, co, token)
    if co.tag:
        trace_log(co, "sleep", True)
    session = next(s.sessions)
    s.set_timer(session, ti)
    succ, _ = coroutine_yield(hub, SLEEP, session)
    co.sleeping = None
    if token is not None:
        _drop_token(s, co)
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
        raise _outside() from None
    if token is not None:
        _hold_token(s, co, token)
    if co.tag:
        trace_log(co, "sleep", True)
    session = next(s.sessions)
    succ, _ = coroutine_yield(hub, SLEEP, session)
    co.sleeping = None
    if not succ:  # else somebody has answered the session, which nobody should know
        del s.session_id_coroutine[session]
    if token is not None:
        _drop_token(s, co)


def wakeup(token: Any) -> bool:
    """Put a sleeping coroutine (or the one that sleeps with `token`) into the wakeup queue.

    It does not run yet: `dispatch_wakeup` resumes it when the caller yields. False if
    nobody sleeps with it; that is not remembered. DOC: wakeup
    """
    me = running()
    try:
        s = me.service
    except AttributeError:
        raise _outside() from None
    if isinstance(token, Coroutine):
        entry: Any = token
        co: Coroutine | None = token
        sleeps = token.sleeping is not None and token.token is None
    else:
        co = (s.sleep_tokens or {}).get(token)
        entry = token, co
        sleeps = co is not None and co.sleeping is not None
    if not sleeps:
        s.sleeps_not(co)
        return False
    if s.wakeup_queue is _NOTHING:
        s.wakeup_queue = deque()
    s.wakeup_queue.append(entry)
    return True


def fork(func: Callable[..., Any], *args: Any) -> Coroutine:
    """Run `func(*args)` in a coroutine of its own, when this message is done. DOC: fork"""
    me = running()
    try:
        s = me.service
    except AttributeError:
        raise _outside() from None
    co: Coroutine = s.co_create(func, args)
    if s.fork_queue is _NOTHING:
        s.fork_queue = deque()
    s.fork_queue.append(co)
    return co


def now() -> int:
    """Ticks of 10 ms since the node began."""
    return _service().node.clock.now()


def starttime() -> int:
    """When the node began, in seconds since 1970."""
    return _service().node.clock.starttime


def time() -> float:
    """Seconds since 1970, with the resolution of a tick."""
    clock = _service().node.clock
    return clock.starttime + clock.now() / 100


def hpc() -> int:
    """A high performance counter in nanoseconds."""
    return _service().node.clock.hpc()


def queue() -> CriticalSection:
    """A critical section of this service: `cs = skynet.queue(); cs(f, *args)`."""
    s = _service()
    s.sections += 1
    return CriticalSection(running, wait, wakeup, partial(_queue_changed, s, s.sections))


def _queue_changed(s: Scheduler, number: int, section: CriticalSection, op: str, co: Any) -> None:
    s.queue_changed(number, section, op, co)


# --------------------------------------------------------------------------- services


def start(func: F) -> F:
    """Say what the service does when it starts; decorates. Outside a service it only returns `func`.

    The start function runs in a coroutine of its own, after a timer of 0 ticks.
    """
    s = getattr(running(), "service", None)
    if s is not None and s.cell is not None:
        s.cell.append(func)
    elif s is not None:
        start_with(s, func)
    return func


def start_with(s: Scheduler, func: Callable[..., Any], callback: Callable[[Message], None] | None = None) -> None:
    """`start` for a service that is given: the arguments of its launch reach `func`. `callback` gets its messages."""
    if s.start_state != "loading":
        raise SkynetError("skynet.start was called already: a service has one start function")
    s.start_state = "starting"
    s.set_callback(callback or s.dispatch_message)
    s.init_thread = timeout(0, partial(_init_service, s, partial(func, *s.launch_args)))


def init(func: F) -> F:
    """Have `func()` run before the start function; once that runs, at once. Decorates."""
    s = _service()
    if s.init_functions is None:
        func()
    else:
        s.init_functions.append(func)
    return func


def init_service(func: Callable[[], Any]) -> None:
    """Run the init functions and then `func`, and tell the launcher how it went: what `start` does in its timer."""
    _init_service(_service(), func)


def dispatch_message(ptype: int, session: int, source: int, message: Any) -> None:
    """Dispatch a message as if it came from the mailbox; for code that stands in front, outside of coroutines."""
    _service().dispatch_message((ptype, session, source, message))


def _init_service(s: Scheduler, func: Callable[[], Any]) -> None:
    """init functions, then the start function; tell the launcher how it went (init_service)."""
    try:
        functions, s.init_functions = s.init_functions or [], None
        for f in functions:
            f()
        func()
    except Exception as e:
        s.start_state = "failed"
        s.init_error = f"{type(e).__name__}: {e}"
        error("init service failed: " + format_error(e, s.name, s.file))
        send(".launcher", "lua", "ERROR")
        exit()
    s.start_state, s.init_thread = "ok", None
    send(".launcher", "lua", "LAUNCHOK")


def exit() -> None:
    """End the current service; does not return. Whoever waits for it is told. DOC: exit"""
    s = _service()
    hub = running().hub
    s.fork_queue.clear()
    send(".launcher", "lua", "REMOVE", s.handle, False)
    serving = [c for c in s.coroutines.values() if c.session]
    for c in sorted(serving, key=lambda c: c.serial):
        s.send(c.address, PTYPE_ERROR, c.session or 0, None)
    for r in list(s.unresponse or ()):
        r(False)
    for to in dict.fromkeys(s.watching_session.values()):
        s.send(to, PTYPE_ERROR, 0, None)
    s.node.kill(s, s.handle)
    coroutine_yield(hub, QUIT, None)


def newservice(service: str | Callable[..., Any], *args: Any) -> int:
    """Start a service (a name, or a start function) and wait until its start function has ended.

    Returns its handle. Raises CallError if it failed to start, SkynetError if there is no such service.
    """
    s = _service()
    handle = call(".launcher", "lua", "LAUNCH", "snlua", s.node.service_name(service), *args)
    if handle is None:
        raise CallError(f"call failed: {service} ended before it had started")
    return int(handle)


def uniqueservice(name: str | bool, *args: Any) -> int:
    """Start a service unless it runs already; everybody gets the same one (service_mgr).

    `uniqueservice(True, name, *args)`: one for all nodes of a network. Raises CallError if its
    start failed, now or ever before.
    """
    return _manager("LAUNCH", name, *args)


def queryservice(name: str | bool, *args: Any) -> int:
    """What `uniqueservice` started; waits until somebody does. `queryservice(True, name)`: the global one."""
    return _manager("QUERY", name, *args)


def _manager(command: str, name: str | bool, *args: Any) -> int:
    if name is True:
        command, (name, *args) = "G" + command, args  # type: ignore[assignment]  # a tuple before, a list now
    answer = call(".service", "lua", command, _service().node.service_name(name), *args)  # type: ignore[arg-type]
    if not isinstance(answer, int):
        raise CallError(f"call failed: {answer[1] if isinstance(answer, tuple) else answer}")
    return answer


# --------------------------------------------------------------------------- node and self-knowledge


def getenv(key: str) -> str | None:
    """A value of the node's configuration, as text; None if there is none."""
    return _service().node.env.get(key)


def setenv(key: str, value: object) -> None:
    """Set a value once; raises SkynetError if the key is there."""
    _service().node.env.set(key, value)


def error(*words: Any) -> None:
    """Write a line to the log, through the logger service."""
    _service().error(" ".join(map(str, words)))


def term(addr: int | str) -> None:
    """Take it that a service has gone: all calls to it that wait here fail."""
    s = _service()
    s.watch_error(0, s.node.resolve(addr))


def mqlen() -> int:
    """Messages waiting in the mailbox of the current service."""
    return len(_service().mailbox)


def stat(what: str) -> int | float:
    """A figure of the current service (cmd_stat in skynet_server.c).

    "mqlen": messages that wait; "message": how many were dispatched; "endless": 1 if the
    monitor found it in an endless loop since it was asked last; "cpu", "time": CPU
    seconds, of the service and of this dispatch so far, 0.0 without the key `profile`.
    Raises SkynetError for another.
    """
    s = _service()
    if what == "mqlen":
        return len(s.mailbox)
    if what == "message":
        return s.mailbox.popped
    if what == "endless":
        return int(endless())
    if what == "cpu":
        return s.cpu_cost
    if what == "time":
        return cpu_time(s.node) - s.cpu_start if s.node.config.profile else 0.0
    raise SkynetError(f"stat {what!r} is unknown: ask for mqlen, message, endless, cpu or time")


def endless() -> bool:
    """Whether the monitor has found this service in an endless loop; asking takes the mark away."""
    ctx = _service().ctx
    found, ctx.endless = ctx.endless, False
    return found


def info_func(func: F) -> F:
    """Set what the debug command INFO answers: `func(*args)`. Decorates (lualib/skynet/debug.lua)."""
    _service().info_func = func
    return func


def memlimit(limit: int) -> None:
    """Raises SkynetError always: what one service holds cannot be told here, so it cannot be limited."""
    raise SkynetError(
        "skynet.memlimit: all services of a node share one Python heap, so the memory of one can be neither measured "
        "nor limited; limit the process instead (ulimit -v, or a cgroup)"
    )


def harbor(addr: int) -> tuple[int, bool]:
    """The harbor that a handle belongs to, and whether that is another node (skynet_isremote)."""
    _service()
    return addr >> REMOTE_SHIFT, addr >> REMOTE_SHIFT != 0


def is_start_function(f: Any) -> bool:
    """Whether `f` can be a service: a plain function or method, not a coroutine function."""
    return callable(f) and not inspect.iscoroutinefunction(f)


# At the end, for these two stand on what is above, and are a part of the API. (A `__getattr__` that
# loaded them when first used would slow down every `skynet.f`: CPython does not speed such a module up.)
from .manager import (  # noqa: E402
    abort as abort,
    filter as filter,
    forward_type as forward_type,
    kill as kill,
    launch as launch,
    monitor as monitor,
    name as name,
    register as register,
)
from .request import Asked as Asked, Request as Request, request as request, select as select  # noqa: E402
