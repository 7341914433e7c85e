"""The services of one node, and every message between them.

One idea: a service is known by a number, and everything that reaches it is a message in
its mailbox, whoever it comes from: another service, a timer, a socket, the outside. So
there is one way in, and whoever runs a service has to look at one place only.

It moves nothing by itself. What a service is made of, a kind says that is handed in (as
skynet_module does); who runs it, and when, is the driver's matter. Some steps are methods of
their own only so that a recording can stand around them (tell/server.py).

After skynet-src/skynet_server.c.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Protocol

from .clock import Clock, VirtualClock
from .context import Context
from .env import Env
from .errors import AddressError, Failure, SkynetError, brief, error_text, shown
from .handle import REMOTE_SHIFT, HandleStorage, address_text
from .locks import guarded
from .message import (
    PTYPE_CLIENT,
    PTYPE_ERROR,
    PTYPE_LUA,
    PTYPE_RESPONSE,
    PTYPE_SOCKET,
    PTYPE_SYSTEM,
    PTYPE_TEXT,
    SOCKET_ACCEPT,
    Message,
    RemoteMessage,
)
from .message_log import MessageLogs
from .mq import GlobalQueue, MessageQueue
from .outside import Outside
from .ports import Call, Driver
from .report import Report, Warned
from .socket_server import SocketServer
from .timer import Timer, ticks


class Kind(Protocol):
    """What services can be made of: "snlua" for Python, the logger, the harbor.

    `make` gives a service that has its handle a callback; it returns its first message, if there is to be one.
    """

    def find(self, name: str) -> Any:
        """Raises SkynetError if there is nothing of this name."""
        return None

    def make(self, server: Server, ctx: Context) -> Message | None: ...


class Server(MessageLogs):
    """The services of a node. Services, sockets, timers and the outside reach each other through it only."""

    lock: AbstractContextManager[Any] = nullcontext()  # with several threads: around all that is `guarded`
    drops_with_session = False  # whether `turn_away` names the call; see skynet/dialect.py

    def __init__(
        self, outside: Outside, clock: Clock, env: Env, write: Callable[[int, str], Any], profile: bool,
        kinds: dict[str, Kind],
    ) -> None:  # fmt: skip
        self.outside = outside
        self.clock = clock
        self.env = env
        self.write = write  # a log line, while there is no logger
        self.profile = profile
        self.kinds = kinds
        self.node: Any = None  # who has made us: for libraries that look at the whole node
        self.dialect: Any = None  # what services are made of (skynet/dialect.py); set by the node
        self.driver: Driver = None  # type: ignore[assignment]  # set by whoever drives
        self.handles = HandleStorage()
        self.contexts = self.handles.contexts
        self.logger: Context | None = None
        self.harbor: Context | None = None
        self.monitor_exit = 0  # who is told of every exit (skynet.monitor)
        self.aborted = False
        self.clients: dict[Any, None] = {}  # of `node.client`
        self.unsettled: dict[Any, None] = {}  # those of them who may have done what we have not seen yet
        self.calls: dict[int, Call] = {}  # from outside, by session
        self._sessions = 0
        MessageLogs.__init__(self)
        self.emit: Callable[[tuple[Any, ...]], Any] | None = None  # of a recording, see tell/
        self.stamp: Callable[[], None] | None = None  # called between two messages, while somebody notes the time
        self.share()

    def share(self) -> None:
        """Make what several workers would have to share."""
        self.timer = Timer()
        self.global_queue: GlobalQueue = deque()
        self.socket_server = SocketServer(self.outside, self.post_socket, partial(self.log, 0), self.clock.now)

    # ---- services come and go

    @guarded
    def launch(self, kind: str, name: str, args: tuple[Any, ...], source: int = 0) -> int | None:
        """Create a service; None if its module is unknown (skynet_context_new). DOC: launch"""
        maker = self.kinds.get(kind)
        try:
            if maker is None:
                raise SkynetError(f"try open {kind} failed : no such module; services in Python are launched as snlua")
            maker.find(name)
        except SkynetError as e:
            self.log(source, str(e))
            return None
        ctx = Context(kind, name, args, MessageQueue(self.global_queue))
        handle = self.handles.register(ctx)
        first = self.create(maker, ctx)
        if first is not None:
            self.push(ctx, first, "launch")
        if ctx is not self.logger:
            self.log(handle, f"LAUNCH {ctx.label}")
        return handle

    def create(self, maker: Kind, ctx: Context) -> Message | None:
        return maker.make(self, ctx)

    def set_callback(self, ctx: Context, callback: Callable[[Message], None]) -> None:
        """What the mailbox hands its messages to (skynet_callback)."""
        ctx.mailbox.callback = partial(self._timed, ctx, callback) if self.profile else callback

    def _timed(self, ctx: Context, callback: Callable[[Message], None], message: Message) -> None:
        """The callback of a service where the key `profile` is on (dispatch_message)."""
        ctx.cpu_start = self.cpu_time()
        try:
            callback(message)
        finally:
            ctx.cpu_cost += self.cpu_time() - ctx.cpu_start

    def cpu_time(self) -> float:
        """CPU seconds of this thread; under the virtual clock 0.0, for a run is the same every time."""
        # A replay of a run under the real clock measures anew: nothing in the run depends on it.
        return 0.0 if self.clock.virtual else self.outside.cpu_time()

    def handled(self, ctx: Context, callback: Callable[[Message], None], message: Message) -> None:
        """A message of a service that has no scheduler."""
        callback(message)

    @guarded
    def kill(self, source: int, handle: int) -> None:
        """Retire a service: its names are gone, and what lies in its mailbox will be dropped (handle_exit)."""
        self.log(source, "KILL self" if handle == source else f"KILL :{handle:x}")
        if self.monitor_exit:
            self.deliver(self.monitor_exit, (PTYPE_CLIENT, 0, handle, ()))
        ctx = self.contexts.get(handle)
        if ctx is not None:
            self.retire(ctx, "exited" if handle == source else "was killed")

    @guarded
    def retire(self, ctx: Context, how: str) -> None:
        ctx.failure = ctx.failure or Failure(ctx.handle, ctx.called, how)
        self.unregister(ctx)
        self.driver.ended(ctx)

    def unregister(self, ctx: Context) -> None:
        self.handles.retire(ctx.handle)
        ctx.mailbox.callback = partial(self.drop, ctx)

    @guarded
    def drop(self, ctx: Context, message: Message) -> None:
        """The callback of a service that has gone: when its turn comes, all that is left goes (skynet_mq_release)."""
        left = [message, *ctx.mailbox]
        ctx.mailbox.clear()
        for message in left:
            self.turn_away(ctx, message)

    def turn_away(self, ctx: Context, message: Message) -> None:
        """A message that nobody will read, of any kind: all calls of its sender to the service fail (drop_message).

        Under 1.8 it is only the call that it is.
        """
        ptype, session, source, _ = message
        told = session if self.drops_with_session else 0
        self.deliver(source, (PTYPE_ERROR, told, ctx.handle, ctx.failure), "drop")
        if source == 0 and ptype == PTYPE_LUA:  # from outside, no timer and no socket
            for session in [n for n, call in self.calls.items() if call.to == ctx.handle]:
                self.answer(PTYPE_ERROR, session, ctx.failure)

    def end(self, ctx: Context) -> None:
        """Close a service that has gone; an error in it is logged. In the thread of its coroutines."""
        try:
            if ctx.close is not None:
                ctx.close()
        except BaseException as e:
            self.log(ctx.handle, f"error while closing: {error_text(e)}")
        with self.lock:
            log = self._message_logs.pop(ctx.handle, None)
        if log is not None:
            log.close()

    def failed(self, handle: int, message: Message | None, error: BaseException) -> None:
        """An error has left the callback of a mailbox: it costs this message. It is logged, and who asks is told.

        What a handler raises does not come here, the scheduler sees to that; what stands in front of it does.
        Whoever drives catches all of it, so that no callback ends a node, or silences a mailbox.
        """
        s = getattr(self.contexts.get(handle), "state", None)
        name, file = (s.name, s.file) if s is not None else (address_text(handle), None)
        what = "job" if message is None else "message"
        self.log(handle, Report(f"error : a {what} is lost : ", (error,), name, file))
        if message is not None and message[1] != 0 and message[0] not in (PTYPE_RESPONSE, PTYPE_ERROR):
            failure = Failure(handle, s.ctx.called if s is not None else "", f"raised {brief(error)}", error)
            self.send(handle, message[2], PTYPE_ERROR, message[1], failure)

    @guarded
    def abort(self) -> None:
        """End all services but the logger (cmd_abort)."""
        for ctx in list(self.contexts.values()):
            if ctx is not self.logger:
                self.retire(ctx, "was ended with the node")
        self.aborted = True
        self.driver.between(self.forsake)  # who has called `abort` may still answer

    @guarded
    def forsake(self) -> None:
        """Who waits outside for a service that has been ended so is told that nobody will answer."""
        for session, call in list(self.calls.items()):
            if call.to not in self.contexts:
                self.answer(PTYPE_ERROR, session, Failure(call.to, "", "was ended with the node"))

    # ---- messages

    @guarded
    def send(self, source: int, to: Any, ptype: int, session: int, payload: Any) -> bool:
        """Put a message into a mailbox; False if there is no such service (skynet_send). DOC: send"""
        try:
            mailbox = self.contexts[to].mailbox
        except (KeyError, TypeError):  # a name, the outside, another node, or nobody
            return self.send_far(source, to, ptype, session, payload)
        if to is True:  # which is 1 to a dict
            return self.send_far(source, to, ptype, session, payload)
        mailbox.push((ptype, session, source, payload))
        return True

    def send_far(self, source: int, to: Any, ptype: int, session: int, payload: Any) -> bool:
        """Send to what is no handle of this node: a name, the outside (0), another harbor (skynet_sendname)."""
        handle = self.resolve(to)
        if handle != to and handle in self.contexts:
            return self.send(source, handle, ptype, session, payload)
        if to == 0:
            if ptype not in (PTYPE_RESPONSE, PTYPE_ERROR):
                raise AddressError("Invalid service address 0")
            return self.send_out(source, ptype, session, payload)
        if not handle >> REMOTE_SHIFT if isinstance(handle, int) else handle[:1].isdigit():
            return self.send_nobody(source, to, ptype)
        return self.harbor is not None and self.send_harbor(source, handle, ptype, session, payload)

    def send_out(self, source: int, ptype: int, session: int, payload: Any) -> bool:
        self.answer(ptype, session, payload)
        return True

    def send_nobody(self, source: int, to: int | str, ptype: int) -> bool:
        return False

    def send_harbor(self, source: int, to: int | str, ptype: int, session: int, payload: Any) -> bool:
        assert self.harbor is not None
        self.push(self.harbor, (PTYPE_SYSTEM, session, source, RemoteMessage(to, ptype, payload)), "send")
        return True

    @guarded
    def push(self, target: Context, message: Message, by: str) -> None:
        """Put a message into a mailbox; `by` names the cause, for a recording."""
        target.mailbox.push(message)

    @guarded
    def deliver(self, to: int, message: Message, by: str = "send") -> bool:
        """Put a message into the mailbox of `to`; False if it has gone."""
        target = self.contexts.get(to)
        if target is not None:
            self.push(target, message, by)
        return target is not None

    @guarded
    def redirect(self, source: int, target: Context, message: Message) -> None:
        """`source` sends in the name of another (c.redirect)."""
        self.push(target, message, "redirect")

    @guarded
    def log(self, source: int, text: str) -> None:
        """A log line from a service, by way of the logger service (skynet_error)."""
        if self.logger is not None and self.logger.handle in self.contexts:
            self.push(self.logger, (PTYPE_TEXT, 0, source, text), "log")
        else:
            self.write(source, text)

    @guarded
    def warn(self, source: int, text: str) -> None:
        """A log line that whoever runs the node should look at."""
        self.log(source, Warned(text))

    @guarded
    def post_socket(self, to: int, type: int, id: int, ud: int, data: Any) -> None:
        """What the socket server has to say, as a message in a mailbox (forward_message). DOC: post-socket"""
        target = self.contexts.get(to)
        if target is not None:
            self.push(target, (PTYPE_SOCKET, 0, 0, (type, id, ud, data)), "socket")
        elif type == SOCKET_ACCEPT:  # an ACCEPT nobody will hear of
            self.socket_server.close(to, ud)

    # ---- the outside calls

    @guarded
    def call(self, to: int | str, ptype: int, payload: Any, waits: bool = True) -> Call:
        """A request from outside; its answer settles the Call, unless nobody waits. Raises AddressError."""
        target = self.contexts.get(self.resolve(to))  # type: ignore[arg-type]  # a global name is no key
        if target is None:
            raise AddressError(f"call to invalid address {address_text(to) if isinstance(to, int) else to}")
        call, session = Call(), 0
        if waits:
            self._sessions = session = self._sessions + 1
            self.calls[session] = call
            call.to, call.session = target.handle, session
        self.call_in(target, ptype, session, payload)
        return call

    def call_in(self, target: Context, ptype: int, session: int, payload: Any) -> None:
        self.outside.note("call", target.handle, session, payload)
        self.push(target, (ptype, session, 0, payload), "outside")

    @guarded
    def answer(self, ptype: int, session: int, payload: Any) -> None:
        """What a service answers to the outside."""
        call = self.calls.pop(session, None)
        if call is not None:
            ok = ptype == PTYPE_RESPONSE
            call.settle(ok, () if ok and payload is None else payload)
            self.driver.answered()

    # ---- names

    def resolve(self, addr: Any) -> int | str:
        """An address as a handle; a global name stays a name; 0 for what is not there. Raises AddressError."""
        if isinstance(addr, bool) or not isinstance(addr, (int, str)):
            raise AddressError(f"dest address type ({type(addr).__name__}) must be a string or number.")
        handle: Any = addr
        if isinstance(addr, str):
            try:
                handle = self.handles.query(addr) if addr[:1] in (":", ".") else int(addr, 0)
            except ValueError:
                return addr
        if not 0 <= handle < 1 << 32:
            raise AddressError(f"an address is a number of 32 bits, not one of {handle.bit_length()}")
        return int(handle)

    @guarded
    def set_name(self, source: int, name: str, handle: int) -> None:
        """Give a service a name (cmd_name). Raises SkynetError."""
        if not isinstance(name, str) or type(handle) is not int:
            raise SkynetError(f"a name is a str, and names a handle: not {shown(name)} for {shown(handle)}")
        if name.startswith("."):
            self.handles.name(name[1:], handle)
            self.outside.note("name", name, handle)
            return
        if name.startswith(":") or len(name) > 15 or not isinstance(self.resolve(name), str):
            raise SkynetError(f"{shown(name)} is no global name: at most 15 characters, no number, no colon in front")
        self.send(source, ".cslave", 10, 0, ("REGISTER", name, handle))

    # ---- time

    @guarded
    def set_timer(self, ctx: Context, session: int, ti: int) -> None:
        """Answer `session` in `ti` ticks; if that is 0 or less, now, by a message (cmd_timeout). DOC: set-timer"""
        if ti == 0 or (ti := ti if type(ti) is int else ticks(ti)) <= 0:
            ctx.mailbox.push((PTYPE_RESPONSE, session, 0, ()))
        else:
            self.timer.add(self.clock.now() + ti, ctx.handle, session)

    @guarded
    def fire(self) -> int:
        """Answer all timers that are due; how many."""
        fired = 0
        for tick, handle, session in self.timer.expire(self.clock.now()):
            self.expire(handle, session, tick)
            fired += 1
        return fired

    def expire(self, handle: int, session: int, tick: int) -> None:
        self.deliver(handle, (PTYPE_RESPONSE, session, 0, ()), "timer")

    @guarded
    def jump(self, tick: int) -> None:
        """Virtual time goes on to `tick`, and what is due by then fires."""
        self.outside.note("jump", tick)
        self.set_clock(tick)
        self.fire()

    def set_clock(self, tick: int) -> None:
        assert isinstance(self.clock, VirtualClock)
        self.clock.ticks = max(self.clock.ticks, tick)

    def poll(self, timeout: float | None) -> int:
        """Commands, readiness, due timers; wait if `timeout` says so. How much was done."""
        done = 0
        try:
            self.outside.poll_begins()
            done += self.socket_server.poll(timeout) if timeout != 0 or self.socket_server.active() else 0
            if self.timer.next_deadline() is not None:
                done += self.fire()
            self.outside.poll_ends()
        except Exception as e:
            self.poll_failed(e)
        return done

    def poll_failed(self, error: Exception) -> None:
        """The outside has failed, and may fail again at once: say it, and do not spin."""
        self.log(0, f"socket-server: {error_text(error)}")
        time.sleep(0.1)

    # ---- for whoever drives

    def owed(self) -> bool:
        """Whether something is on its way that this node can be sure to see."""
        if self.socket_server.connecting > 0:
            return True
        return bool(self.unsettled) and any(client.unseen() for client in list(self.unsettled))

    @guarded
    def situation(self) -> str:
        """How things stand, in a few words: for errors of those who wait in vain."""
        parked = sum(len(c.state.session_id_coroutine) for c in self.contexts.values() if c.state is not None)
        return f"{len(self.contexts)} services, {parked} parked coroutines, {len(self.timer)} timers"
