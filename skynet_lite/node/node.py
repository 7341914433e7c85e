"""The node: services, time and the socket server, and the loop that drives them.

  1  A node belongs to the thread that first drives it. Driving is explicit: `step`,
     `run`, `run_until_idle`, or whatever waits for a result; or `serve`, which gives
     the node a thread of its own.
  2  With one worker, the loop dispatches messages one by one, and polls the socket
     server and the timer when no mailbox has anything, or after every 16 messages.
     Nothing else moves anything: the same program makes the same trace. With several
     (`thread=N`) a node is a WorkerNode, see workers.py.
  3  Under the virtual clock time moves only when nothing can run.

After skynet-src/skynet_start.c, skynet_server.c (commands) and skynet_imp.h.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.clock import Clock, VirtualClock
from ..core.context import Context
from ..core.env import Env
from ..core.errors import AddressError, CallError, ConfigError, DriveTimeout, SkynetError
from ..core.handle import HandleStorage, address_text
from ..core.harbor import Harbor, RemoteMessage
from ..core.logger import logger_callback, open_log
from ..core.message import (
    PTYPE_CLIENT,
    PTYPE_ERROR,
    PTYPE_LUA,
    PTYPE_NAMES,
    PTYPE_RESPONSE,
    PTYPE_SOCKET,
    PTYPE_SYSTEM,
    PTYPE_TEXT,
    SOCKET_ACCEPT,
    SOCKET_NAMES,
    Launch,
    Message,
    mail_label,
    pack,
    unpack,
)  # fmt: skip
from ..core.message_log import MessageLog
from ..core.mq import OVERLOAD, GlobalQueue, ignore
from ..core.outside import POLLERS, Outside
from ..core.places import Places, here, is_ours, stack_of
from ..core.socket_server import SocketServer
from ..core.timer import Timer
from ..lualib import debug as debug, memory  # every service speaks PTYPE_DEBUG
from ..skynet.coroutine import Hub, running
from ..skynet.scheduler import Scheduler
from ..skynet.tell import leave, leave_sockets, observe, observe_sockets
from ..trace import Recorder, Trace, Verdicts, Waits
from ..trace.verdicts import standing
from ..trace.world import World
from .client import Client
from .config import environment, load as load_config
from .loader import Registry, load

if TYPE_CHECKING:
    from ..drive.monitors import Monitors
    from ..replay.replay import Replay
    from ..view.dashboard import Dashboard
    from .record import Recorded

T = TypeVar("T")

MESSAGES_PER_POLL = 16
_ARGUMENTS = ("log", "outside", "record")  # of Node that are no configuration
BARE, BOOTING, BOOTED = "bare", "booting", "booted"
_recording: weakref.WeakSet[Node] = weakref.WeakSet()  # for marks made outside services
_recording_lock = threading.Lock()  # several nodes may have several threads


class _Call:
    """A call from outside that is under way; the answer comes to handle 0."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.ok = False
        self.payload: Any = None


class Node:
    """A node. `Node()`, `Node(clock="virtual", log=list)`, `Node("config.toml")`.

    `log`: None (stderr, or the file `logger`), `list` or a list, a logging.Logger, a
    file, a function. `outside`: what stands for the world. `record=True` records from
    birth, with all that comes in: `node.trace` can be replayed. Other keywords: see config.Config.
    Raises ConfigError.
    """

    scheduler: type[Scheduler] = Scheduler  # what moves the coroutines of a service

    def __new__(cls, config: str | os.PathLike[str] | None = None, **keys: Any) -> Node:
        if cls is Node and load_config(config, {k: v for k, v in keys.items() if k not in _ARGUMENTS}).thread > 1:
            from ..drive.workers import WorkerNode

            return super().__new__(WorkerNode)
        return super().__new__(cls)

    def __init__(
        self, config: str | os.PathLike[str] | None = None, *, log: Any = None, outside: Outside | None = None,
        record: bool = False, **keys: Any,
    ) -> None:  # fmt: skip
        self.config = load_config(config, keys)
        self._write, self._log_file, lines = open_log(log, self.config.logger)
        self.log_lines: list[str] = lines if lines is not None else []
        own = self.config
        self.registry = Registry(own.luaservice, own.folder, own.snax, own.preload)
        start = own.start
        self.env = Env(environment(own))
        if start is not None:
            self.env.set("start", self.registry.name_of(start))

        self._code: dict[int, tuple[str, str | None]] = {}  # handle → name and file, for the names of places
        self.outside = outside if outside is not None else Outside(POLLERS[self.config.poller]())
        self.monitor: Monitors | None = None  # with several workers
        self._recorder = Recorder(self.tables, Places(self._code)) if record else None
        self._world: Recorded | None = self._recorded(self._recorder) if self._recorder is not None else None
        self.clock: Clock = self.outside.clock(self.config.clock == "virtual")
        self.handles = HandleStorage()
        self._shared()
        self.emit: Callable[[tuple[Any, ...]], Any] | None = None

        self.hub: Hub = None  # type: ignore[assignment]  # made by the thread that drives
        self._owner: int | None = None
        self._state = BARE  # of the boot
        self._logger: Context | None = None
        self._harbor: Context | None = None
        self._bootstrap = 0
        self.monitor_exit = 0  # who is told of every exit (skynet.monitor)
        self._attention = False  # something below wants the loop to look up
        self._interrupt: BaseException | None = None
        self._ended: deque[Context] = deque()  # services to be closed by the loop
        self._message_logs: dict[int, MessageLog] = {}  # by handle
        self._calls: dict[int, _Call] = {}
        self._sessions = 0
        self._newest: dict[str, Scheduler] = {}
        self._dashboards: list[Dashboard] = []
        self.clients: list[Client] = []
        self._client_count = 0
        self._sinks: list[Callable[[tuple[Any, ...]], Any]] = []
        self._stamps: list[Callable[[int], None]] = []  # of recorders, under the real clock
        self._waiting_recorders: list[Recorder] = []
        self._thread: threading.Thread | None = None
        self._serving = False
        self._jobs: deque[tuple[Callable[[], Any], _Call]] = deque()
        self._looks: deque[tuple[Callable[[], Any], _Call]] = deque()  # jobs of services, see later
        self._wanted = threading.Event()  # wakes the serving thread while it is stopped
        self._stop = self._aborted = self.closed = False
        if self._recorder is not None:
            self._begin(self._recorder)

    def _shared(self) -> None:
        """Make what several workers would have to share."""
        self.lock: AbstractContextManager[Any] = nullcontext()
        self.timer = Timer()
        self.global_queue: GlobalQueue = deque()
        self.socket_server = SocketServer(self.outside, self._post_socket, self._log_system, self.clock.now)

    # ----------------------------------------------------------------- services

    def newservice(self, service: str | Callable[..., Any], *args: Any, wait: bool = True) -> int:
        """Start a service and return its handle, when its start function has ended.

        With `wait=False`, when it exists; its start function is still to be driven.
        Raises CallError if the start fails, SkynetError if there is no such service.
        """
        name = self.service_name(service)
        if self._world is not None:
            self._world.world.services.append(name)
        if self.config.bootstrap and wait:
            try:
                handle = self.call(".launcher", "lua", "LAUNCH", "snlua", name, *args)
            except CallError:
                raise CallError(f"call failed: {self._start_failure(name)}") from None
            if handle is None:
                raise CallError(f"call failed: service {name} ended before its start was over")
            return int(handle)
        if self.config.bootstrap:
            self._on_thread(self._boot)
            before = self._newest.get(name)
            self._on_thread(lambda: self._post_call(".launcher", "lua", ("LAUNCH", "snlua", name, *args), 0))
            self._drive_until(lambda: self._newest.get(name) is not before, None, "the launch", budget=1)
            return self._newest[name].handle
        handle = self._on_thread(lambda: self._drive(lambda: self._launch(name, args)))
        if wait:
            s = self._newest[name]
            self._drive_until(lambda: s.start_state not in ("loading", "starting"), None, f"the start of {name}")
            if s.start_state == "failed":
                raise CallError(f"call failed: {self._start_failure(name)}")
        return handle or 0

    def _launch(self, name: str, args: tuple[Any, ...]) -> int | None:
        if self._world is not None:
            self._world.note("launch", name, unpack(pack(args)))
        return self.launch("snlua", name, args)

    def service_name(self, service: str | Callable[..., Any]) -> str:
        """The name a service is launched by; a function is made known first."""
        return self.registry.name_of(service)

    def service(self, addr: int | str) -> Scheduler:
        """The scheduler of a service, with its tables, to look at. Raises AddressError."""
        handle = self.resolve(addr)
        ctx = self.handles.contexts.get(handle) if isinstance(handle, int) else None
        if ctx is None or not isinstance(ctx.state, Scheduler):
            raise AddressError(f"no service in Python has the address {addr!r}")
        return ctx.state

    def call(self, addr: int | str, typename: str, *args: Any, timeout: float | None = None) -> Any:
        """A call from outside: None, the value, or a tuple. `timeout` in real seconds.

        Raises AddressError, CallError, or DriveTimeout (also when nothing is left that
        could lead to an answer).
        """
        handle = self._on_thread(lambda: self._booted_resolve(addr))
        if typename != "lua":
            raise SkynetError(f'calls from outside are of type "lua", not {typename!r}')
        call = self._on_thread(lambda: self._post_call(handle, typename, args, 1))
        self._drive_until(call.done.is_set, timeout, f"the answer of {address_text(handle)}", call.done)
        if not call.ok:
            raise CallError("call failed")
        values = unpack(call.payload)
        return values[0] if len(values) == 1 else (values or None)

    def _booted_resolve(self, addr: int | str) -> int:
        self._boot()
        handle = self.resolve(addr)
        if not isinstance(handle, int) or handle not in self.handles.contexts:
            raise AddressError(f"call to invalid address {address_text(addr) if isinstance(addr, int) else addr}")
        return handle

    def _post_call(self, addr: int | str, typename: str, args: tuple[Any, ...], session: int) -> _Call:
        self._boot()
        call = _Call()
        if session:
            self._sessions = session = self._sessions + 1
            self._calls[session] = call
        target = self.handles.contexts[self.resolve(addr)]  # type: ignore[index]  # checked by the callers
        self._drive(lambda: self._push_outside(target, session, pack(args)))
        return call

    def _push_outside(self, target: Context, session: int, payload: Any) -> None:
        if self._world is not None:
            self._world.note("call", target.handle, session, unpack(payload))
        self.push(target, (PTYPE_LUA, session, 0, payload), "outside")

    def _answer_outside(self, ptype: int, session: int, payload: Any) -> None:
        call = self._calls.pop(session, None)
        if call is not None:
            call.ok = ptype == PTYPE_RESPONSE
            call.payload = payload if payload is not None else ()
            call.done.set()
            self._attention = True

    def _start_failure(self, name: str) -> str:
        s = self._newest.get(name)
        reason = s.init_error if s is not None and s.init_error else "no reason known"
        return f"service {name} did not start: {reason}"

    # ----------------------------------------------------------------- what services ask of their node

    def launch(self, kind: str, name: str, args: tuple[Any, ...], source: int = 0) -> int | None:
        """Create a service; None if its module is unknown (skynet_context_new)."""
        ctx = Context(kind, name, args)
        if kind not in ("snlua", "logger", "harbor"):
            self.log(source, f"try open {kind} failed : no such module; services in Python are launched as snlua")
            return None
        if kind == "snlua":
            try:
                self.registry.find(name)
            except SkynetError as e:
                self.log(source, str(e))
                return None
        handle = ctx.handle = self.handles.register(ctx)
        if kind == "snlua":
            ctx.state = self._newest[name] = self.scheduler(self, ctx)
            if self.emit is not None:
                observe(ctx.state, self.emit)
        if self.emit is not None:
            self.emit(("birth", handle, ctx.label, *self._worker_of(handle)))
        if kind == "logger":
            self._logger = ctx
            self.handles.name("logger", handle)
            ctx.mailbox.callback = self._handled(ctx, logger_callback(self._write))
        elif kind == "harbor":
            self._harbor = ctx
            harbor = Harbor(self._deliver, lambda text: self.log(ctx.handle, text))
            ctx.mailbox.callback = self._handled(ctx, harbor.callback)
        else:
            s = ctx.state
            ctx.close = s.close
            ctx.mailbox.callback = lambda message: self._load(s, message[3])
            self.push(ctx, (PTYPE_SYSTEM, 0, handle, Launch(name, args)), "launch")
        if kind != "logger":
            self.log(handle, f"LAUNCH {ctx.label}")
        return handle

    def _worker_of(self, handle: int) -> tuple[int, ...]:
        """The number of its worker, if there are several."""
        return ()

    def _handled(self, ctx: Context, callback: Callable[[Message], None]) -> Callable[[Message], None]:
        """Tell of each message of a service that has no scheduler to do so."""

        def tell(message: Message) -> None:
            if self.emit is not None:
                self.emit(("handled", ctx.handle, *message[:3]))
            callback(message)

        return tell

    def _load(self, s: Scheduler, message: Launch) -> None:
        s.hub.service = s
        if self.emit is not None:
            self.emit(("load", s.handle, s.name))
        ok = load(self.registry, s, message)
        self._code[s.handle] = (s.name, s.file)
        if not ok:
            self.kill(s, s.handle)

    def cpu_time(self) -> float:
        """CPU seconds of this thread. Under the virtual clock 0.0: a run is the same every time.

        A replay of a run under the real clock measures anew, for nothing in the run depends on it.
        """
        return 0.0 if self.clock.virtual else self.outside.cpu_time()

    def set_callback(self, ctx: Context, callback: Callable[[Message], None]) -> None:
        """What the mailbox hands its messages to (skynet_callback)."""
        ctx.mailbox.callback = partial(self._timed, ctx, callback) if self.config.profile else callback

    def _timed(self, ctx: Context, dispatch: Callable[[Message], None], message: Message) -> None:
        """The callback of a service where the key `profile` is on (dispatch_message in skynet_server.c)."""
        ctx.cpu_start = self.cpu_time()
        try:
            dispatch(message)
        finally:
            ctx.cpu_cost += self.cpu_time() - ctx.cpu_start

    def push(self, target: Context, message: Message, by: str) -> None:
        """Put a message into a mailbox (skynet_mq_push)."""
        mailbox = target.mailbox
        mailbox.append(message)
        queued = not mailbox.in_global
        if queued:
            mailbox.in_global = True
            self.global_queue.append(mailbox)
        if self.emit is not None:
            type, id = message[3][:2] if message[0] == PTYPE_SOCKET else (0, 0)
            self.emit(("push", target.handle, *message[:3], SOCKET_NAMES[type] or by, queued, id))

    def _deliver(self, to: int, ptype: int, session: int, source: int, payload: Any) -> bool:
        target = self.handles.contexts.get(to)
        if target is not None:
            self.push(target, (ptype, session, source, payload), "send")
        return target is not None

    def send_far(self, s: Scheduler, to: Any, ptype: int, session: int, payload: Any) -> bool:
        """Send to what is no handle of this node: a name, the outside (0), another harbor."""
        if isinstance(to, bool) or not isinstance(to, (int, str)):
            raise AddressError(f"dest address type ({type(to).__name__}) must be a string or number.")
        n = getattr(running(), "n", 0)
        if isinstance(to, int) and to and not to >> 24:  # of this node, and gone
            if self.emit is not None:
                self.emit(("send", s.handle, to, ptype, None, n, here() if n else None))
            return False
        if (isinstance(to, str) and to[:1] in (":", ".")) or (isinstance(to, str) and to[:1].isdigit()):
            handle = self.resolve(to)
            known = isinstance(handle, int) and handle != 0 and (handle in self.handles.contexts or handle >> 24)
            if known:
                return s.send(handle, ptype, session, payload)
            if self.emit is not None:
                self.emit(("send", s.handle, to, ptype, None, n, here() if n else None))
            return False
        if to == 0:
            if ptype not in (PTYPE_RESPONSE, PTYPE_ERROR):
                raise AddressError("Invalid service address 0")
            if self.emit is not None:
                self.emit(("send", s.handle, 0, ptype, session, n, here() if n else None))
            self._answer_outside(ptype, session, payload)
            return True
        if self._harbor is None:
            return False
        if self.emit is not None:
            self.emit(("send", s.handle, to, ptype, session, n, here() if n else None))
        self.push(self._harbor, (PTYPE_SYSTEM, session, s.handle, RemoteMessage(to, ptype, payload)), "send")
        return True

    def resolve(self, addr: Any) -> int | str:
        """An address as a handle; a global name stays a name; 0 for what is not there."""
        if isinstance(addr, bool) or not isinstance(addr, (int, str)):
            raise AddressError(f"dest address type ({type(addr).__name__}) must be a string or number.")
        if isinstance(addr, int):
            return addr
        if addr[:1] in (":", "."):
            return self.handles.query(addr)
        try:
            return int(addr, 0)
        except ValueError:
            return addr

    def set_name(self, s: Scheduler, name: str, handle: int) -> None:
        if name.startswith("."):
            self.handles.name(name[1:], handle)
            return
        if name.startswith(":") or len(name) > 15 or not isinstance(self.resolve(name), str):
            raise SkynetError(f"{name!r} cannot be a global name: at most 15 characters, no number, no colon in front")
        s.send(".cslave", 10, 0, ("REGISTER", name, handle))

    def log(self, source: int, text: str) -> None:
        """A log line from a service, by way of the logger service."""
        if self.emit is not None:
            self.emit(("log", source, text))
        if self._logger is not None and self._logger.handle in self.handles.contexts:
            self.push(self._logger, (PTYPE_TEXT, 0, source, text), "log")
        else:
            self._write(f"[{address_text(source)}] {text}")

    def reopen_log(self) -> None:
        """Open the file `logger` anew, as SIGHUP has skynet do; from any thread, or a signal handler."""
        self._jobs.append((self._reopen_log, _Call()))
        self._attention = True
        self._wanted.set()
        self.outside.wake()

    def _reopen_log(self) -> None:
        if self._log_file is not None:
            try:
                self._log_file.reopen()
            except ConfigError as e:
                self.log(0, str(e))

    def _log_system(self, text: str) -> None:
        self.log(0, text)

    def kill(self, s: Scheduler, handle: int) -> None:
        """Retire a service: names gone, queued requests answered by errors (handle_exit)."""
        self.log(s.handle, "KILL self" if handle == s.handle else f"KILL :{handle:x}")
        if self.monitor_exit:
            self._deliver(self.monitor_exit, PTYPE_CLIENT, 0, handle, ())
        ctx = self.handles.contexts.get(handle)
        if ctx is not None:
            self._retire(ctx)

    def _retire(self, ctx: Context) -> None:
        self.handles.retire(ctx.handle)
        ctx.mailbox.callback = ignore
        if self.emit is not None:
            self.emit(("exit", ctx.handle, ctx.label))
        for message in ctx.mailbox:
            self._turn_away(ctx, message)
        ctx.mailbox.clear()
        self._ended.append(ctx)
        self._attention = True

    def _turn_away(self, ctx: Context, message: Message) -> None:
        """A message that nobody will read: its sender gets an error, if it waits for an answer."""
        ptype, session, source, _ = message
        if session != 0 and source != ctx.handle and ptype not in (PTYPE_RESPONSE, PTYPE_ERROR):
            if source == 0:
                self._answer_outside(PTYPE_ERROR, session, None)
            else:
                self._deliver(source, PTYPE_ERROR, session, ctx.handle, None)

    def abort(self, s: Scheduler) -> None:
        for ctx in list(self.handles.contexts.values()):
            if ctx is not self._logger:
                self._retire(ctx)
        self._aborted = self._attention = True

    def signal(self, addr: int | str, sig: int = 0) -> bool:
        """Signal 0 breaks off a handler that does not come back: it gets a SignalError. True if one was.

        That takes a second worker: with `thread=1` whoever could call this waits for the handler, too. Signal 1
        logs what memory.size says. Raises AddressError. After cmd_signal of skynet_server.c, snlua_signal.
        """
        s = self.service(addr)
        self.log(s.handle, f"recv a signal {sig}")
        if sig == 1:
            self.log(s.handle, f"Current Memory {memory.size(s) / 1024:.3f}K")
        return False

    def interrupt(self, error: BaseException) -> None:
        """Something that is no Exception (Ctrl-C) came up in a service: hand it to the driver."""
        self._interrupt = error
        self._attention = True

    def logon(self, s: Scheduler, handle: int) -> None:
        """Log the messages of a service to `logpath`/HANDLE.log; without `logpath` nothing happens (cmd_logon)."""
        ctx, folder = self.handles.contexts.get(handle), self.env.get("logpath")
        if ctx is None or folder is None or handle in self._message_logs:
            return
        path = f"{folder}/{handle:08x}.log"
        try:
            log = MessageLog(path, ctx.mailbox, self.clock.now, self.clock.starttime)
        except OSError as e:
            self.log(s.handle, f"Open log file {path} fail: {e.strerror}")
            return
        self._message_logs[handle] = log
        self.log(s.handle, f"Open log file {path}")

    def logoff(self, s: Scheduler, handle: int) -> None:
        """End the message log of a service, if there is one (cmd_logoff)."""
        log = self._message_logs.pop(handle, None)
        if log is not None:
            self.log(s.handle, f"Close log file {address_text(handle)}")
            log.off()

    def _post_socket(self, to: int, type: int, id: int, ud: int, data: Any) -> None:
        """What the socket server has to say, as a message in a mailbox (forward_message). DOC: post-socket"""
        target = self.handles.contexts.get(to)
        if target is not None:
            self.push(target, (PTYPE_SOCKET, 0, 0, (type, id, ud, data)), "socket")
        elif type == SOCKET_ACCEPT:  # an ACCEPT nobody will hear of
            self.socket_server.close(to, ud)

    # ----------------------------------------------------------------- the loop

    def _dispatch(self, budget: int) -> None:
        """Dispatch up to `budget` messages, one mailbox after the other. DOC: worker

        skynet_context_message_dispatch, with weight -1: one message, then the next service.
        """
        queue, stamps = self.global_queue, self._stamps
        if stamps:
            self._stamp()
        for _ in range(budget):
            if not queue:
                return
            mailbox = queue.popleft()
            try:
                message = mailbox.popleft()
            except IndexError:  # its service has gone
                mailbox.in_global = False
                continue
            if mailbox and len(mailbox) > mailbox.overload_threshold:
                self.log(mailbox.service.handle, f"error: May overload, message queue length = {mailbox.overload()}")
            mailbox.popped += 1
            callback = mailbox.callback
            callback(message)
            if stamps:
                self._stamp()
            if mailbox:
                queue.append(mailbox)
                if self.emit is not None:
                    self.emit(("requeue", mailbox.service.handle))
            else:
                mailbox.in_global = False
                mailbox.overload_threshold = OVERLOAD
            if self._attention:
                self._attend()
                return

    def _attend(self) -> None:
        self._attention = False
        while self._ended:
            self._end(self._ended.popleft())
        while self._looks or (self._jobs and self._state is BOOTED):
            self._do((self._looks or self._jobs).popleft())
        if self._interrupt is not None:
            error, self._interrupt = self._interrupt, None
            if self._world is not None:
                self._world.note("interrupt", type(error).__name__)
            raise error

    def _do(self, asked: tuple[Callable[[], Any], _Call]) -> None:
        """A job that somebody has left here."""
        job, call = asked
        try:
            call.payload, call.ok = job(), True
        except BaseException as e:
            call.payload = e
        call.done.set()

    def _end(self, ctx: Context) -> None:
        """Close a service that has gone, in the thread of its coroutines."""
        if ctx.close is not None:
            ctx.close()
        with self.lock:
            log = self._message_logs.pop(ctx.handle, None)
        if log is not None:
            log.close()

    def _poll(self, timeout: float | None) -> int:
        """Commands, readiness, due timers; wait if `timeout` says so. How much was done."""
        if self._world is not None:
            self._world.poll_begins()
        done = self.socket_server.poll(timeout) if timeout != 0 or self.socket_server.active() else 0
        if self._stamps:
            self._stamp()
        if self.timer.next_deadline() is not None:
            done += self._fire()
        if self._world is not None:
            self._world.poll_ends()
        return done

    def _fire(self) -> int:
        fired = 0
        for tick, handle, session in self.timer.expire(self.clock.now()):
            fired += 1
            if self.emit is not None:
                self.emit(("timer_fired", handle, session, tick))
            self._deliver_timer(handle, session)
        return fired

    def _deliver_timer(self, handle: int, session: int) -> None:
        target = self.handles.contexts.get(handle)
        if target is not None:
            self.push(target, (PTYPE_RESPONSE, session, 0, ()), "timer")

    def _loop(
        self,
        until: Callable[[], Any],
        deadline: float | None,
        what: str,
        idle_ends: bool,
        budget: int = MESSAGES_PER_POLL,
    ) -> bool:
        """Drive until `until()`, asked after every `budget` messages; with `idle_ends`, or until nothing can run.

        False when it ended by idleness. Raises DriveTimeout. DOC: drive-loop
        """
        since_poll = 0
        while True:
            if self._attention:
                self._attend()
            if until() or self._aborted:
                return True
            self._dispatch(budget)
            since_poll += budget
            if self.global_queue and since_poll < MESSAGES_PER_POLL:
                continue
            since_poll = 0
            if deadline is not None and time.monotonic() > deadline and not until():
                raise DriveTimeout(f"{what} did not come in time; {self._situation()}")
            if self.global_queue:
                self._poll(0)
                continue
            if self._attention or until():
                continue
            if self._poll(0) or self.global_queue or self._attention:
                continue
            if self._world_owes():
                self._poll(0.002)
            elif idle_ends:
                return False
            else:
                self._wait(deadline, what, 60.0 if budget > 1 else 0.05)

    def _world_owes(self) -> bool:
        """Whether something is on its way that this node can be sure to see."""
        ss = self.socket_server
        return ss.connecting > 0 or any(client.unseen() for client in list(self.clients))

    def _wait(self, deadline: float | None, what: str, limit: float) -> None:
        """Nothing can run. Virtual time jumps; real time is waited for, at most `limit` seconds.

        The limit is short when `until` is somebody's function: what makes it true need not wake us. DOC: clock-jump
        """
        tick = self.timer.next_deadline()
        if self.clock.virtual and tick is not None and not self.socket_server.flushing():
            self._jump(tick)
            return
        limits = [limit]
        if tick is not None and not self.clock.virtual:
            limits.append(self.clock.seconds_until(tick))
        elif deadline is None and not self._serving and not self.socket_server.active():
            raise DriveTimeout(f"{what} cannot come: nothing is left that could run; {self._situation()}")
        if deadline is not None:
            limits.append(max(0.0, deadline - time.monotonic()))
        self._poll(min(limits))

    def _jump(self, tick: int) -> None:
        assert isinstance(self.clock, VirtualClock)
        if self._world is not None:
            self._world.note("jump", tick)
        self.clock.ticks = max(self.clock.ticks, tick)
        self.socket_server._update_time()
        if self.emit is not None:
            self.emit(("clock", 0, self.clock.ticks))
        self._fire()

    def _situation(self) -> str:
        parked = sum(len(c.state.session_id_coroutine) for c in self.handles.contexts.values() if c.state is not None)
        return f"{len(self.handles.contexts)} services, {parked} parked coroutines, {len(self.timer)} timers"

    # ----------------------------------------------------------------- driving

    def step(self) -> str | None:
        """One message, or one poll that does not wait; says what it did, None if there was nothing."""
        return self._here(self._step)

    def _step(self) -> str | None:
        if self._state is BOOTING and not self.global_queue and self._bootstrap not in self.handles.contexts:
            self._boot_is_over()
        if self._attention:
            self._attend()
        while self.global_queue and not self.global_queue[0]:
            self.global_queue.popleft().in_global = False
        if self.global_queue:
            ctx = self.global_queue[0].service
            ptype, session, source, payload = self.global_queue[0][0]
            self._dispatch(1)
            if self._attention:
                self._attend()
            name = "launch" if isinstance(payload, Launch) else PTYPE_NAMES[ptype] if ptype < 13 else str(ptype)
            to = f"{address_text(ctx.handle)} {ctx.name or ctx.kind}"
            return f"message {name} session {session} from {address_text(source)} to {to}"
        done = self._poll(0)
        return f"poll {done}" if done else None

    def run_until_idle(self) -> None:
        """Drive until nothing can run. Time does not move under the virtual clock, nor is it waited for."""
        self._here(lambda: self._loop(lambda: False, None, "", True))

    def run(self, until: Callable[[], Any] | None = None, timeout: float | None = None) -> None:
        """Drive until `until()` is true, or until nothing can happen any more.

        Timers count: virtual time jumps to them, real time is waited for. `timeout` in
        real seconds. Raises DriveTimeout when `until` did not come true.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if until is not None:
            self._here(lambda: self._loop(until, deadline, "what run() waits for", False, 1))
        else:
            self._here(lambda: self._loop(lambda: not self._future(), deadline, "the end of all timers", False))

    def _busy(self) -> bool:
        """Whether a message is being handled, or waits to be."""
        return bool(self.global_queue)

    def _future(self) -> bool:
        return bool(self._busy() or self._world_owes() or self.socket_server.commands or len(self.timer))

    def advance(self, ticks: int) -> None:
        """Let `ticks` of virtual time pass, timer by timer, and run what they wake."""
        if not isinstance(self.clock, VirtualClock):
            raise SkynetError('advance() needs Node(clock="virtual"); a real clock moves by itself')
        if ticks < 0:
            raise SkynetError(f"time does not go back: advance({ticks})")

        def go() -> None:
            assert isinstance(self.clock, VirtualClock)
            target = self.clock.ticks + ticks
            while True:
                self._loop(lambda: False, None, "", True)
                tick = self.timer.next_deadline()
                if tick is None or tick > target:
                    break
                self._jump(tick)
            if target > self.clock.ticks:
                self._jump(target)

        self._here(go)

    def run_forever(self) -> None:
        """Drive in the foreground until Ctrl-C, SIGTERM, `stop` or `skynet.abort`."""
        self._stop = False

        def asked(signum: int, frame: Any) -> None:
            self.stop()

        in_main = threading.current_thread() is threading.main_thread()
        before = {s: signal.signal(s, asked) for s in (signal.SIGINT, signal.SIGTERM)} if in_main else {}
        try:
            self._serving = True
            self._here(lambda: self._loop(lambda: self._stop, None, "", False))
        finally:
            self._serving = False
            for s, handler in before.items():
                signal.signal(s, handler)

    def serve(self) -> None:
        """Drive in a thread of its own. To be called before anything else drives the node."""
        if self._thread is not None:
            if self._serving:
                raise SkynetError("this node is being served already")
        elif self._owner is not None:
            raise SkynetError(
                "this node was driven by another thread already, and coroutines cannot change threads: "
                "call serve() first, right after Node(...)"
            )
        self._check_open()
        self._stop = False
        self._serving = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="skynet_lite node", daemon=True)
            self._thread.start()
        else:
            self._wanted.set()
        self._on_thread(lambda: None)  # its boot is over, or has failed here

    def stop(self) -> None:
        """End `serve` or `run_forever`; sockets and coroutines stay as they are until `close`."""
        self._stop = True
        self._attention = True
        self._serving = self._serving and self._thread is None
        if not self.closed:
            self.outside.wake()

    def _serve(self) -> None:
        self._own()
        self._boot()
        while not self.closed:
            if self._serving:
                try:
                    self._drive(lambda: self._loop(lambda: self._stop, None, "", False))
                    self._serving = False
                except BaseException as e:  # SystemExit in a handler, say: there is nobody here to hand it to
                    self.log(0, f"{type(e).__name__} came out of a service, and was stopped here: {e}")
            else:
                # Stopped: jobs (calls, close) still run here, for only this thread can.
                self._wanted.wait()
                self._wanted.clear()
                self._drive(self._attend)

    def _own(self) -> None:
        """The current thread takes the node over: hub, logger and bootstrap are born here."""
        self._check_open()
        self._owner = threading.get_ident()
        self.hub = Hub()

        def birth() -> None:
            if self._world is not None:
                self._world.note("own")
            self.launch("logger", "", ())
            if self.config.bootstrap:
                self._state = BOOTING
                self._bootstrap = self.launch("snlua", "bootstrap", ()) or 0
            else:
                self._boot_is_over()

        self.hub.drive(birth)

    def _boot(self) -> None:
        """See the boot through, if it is not over."""
        if self._owner is None:
            self._own()
        if self._state is BOOTING and not self.hub.busy():
            self._drive(lambda: self._loop(lambda: False, None, "the boot", True))
        if self._state is BOOTING and not self.global_queue and self._bootstrap not in self.handles.contexts:
            self._boot_is_over()

    def _boot_is_over(self) -> None:
        self._state = BOOTED
        self._attention = True  # jobs from other threads have waited for this
        for recorder in self._waiting_recorders:
            self._begin(recorder)
        self._waiting_recorders.clear()

    def _drive(self, task: Callable[[], T]) -> T:
        if self._owner is None:
            self._own()
        # A job of the serving thread is in the hub already; a coroutine that drives is refused.
        return task() if running() is self.hub else self.hub.drive(task)

    def _here(self, task: Callable[[], T]) -> T:
        """Drive from the current thread, or say why not."""
        self._check_open()
        if self._owner is not None and threading.get_ident() != self._owner:
            if self._thread is not None:
                raise SkynetError("a thread drives this node (serve): use newservice and call, or stop it and look")
            raise SkynetError("this node belongs to the thread that first drove it; drive it there, or use serve()")
        if self._state is not BOOTED and task != self._step:
            self._boot()
        return self._drive(task)

    def _on_thread(self, job: Callable[[], T]) -> T:
        """Run `job` in the thread that drives: here, or by handing it to the serving thread."""
        if self._thread is None or threading.get_ident() == self._thread.ident:
            self._check_open()
            if self._owner is not None and threading.get_ident() != self._owner:
                raise SkynetError("this node belongs to the thread that first drove it; drive it there, or use serve()")
            self._refuse_inside()
            return job()
        call = _Call()
        self._jobs.append((job, call))
        self._attention = True
        self._wanted.set()
        self.outside.wake()
        while not call.done.wait(1):
            if not self._thread.is_alive():
                raise SkynetError("the thread that serves this node has ended")
        if not call.ok:
            raise call.payload
        result: T = call.payload
        return result

    def _refuse_inside(self) -> None:
        if self.hub is not None and self.hub.busy() and running() is not self.hub:
            raise SkynetError(
                "inside a service use skynet.call and skynet.newservice: the node is being driven already"
            )

    def _drive_until(
        self,
        until: Callable[[], Any],
        timeout: float | None,
        what: str,
        event: threading.Event | None = None,
        budget: int = MESSAGES_PER_POLL,
    ) -> None:
        if self._thread is None or threading.get_ident() == self._thread.ident:
            deadline = None if timeout is None else time.monotonic() + timeout
            self._here(lambda: self._loop(until, deadline, what, False, budget))
        elif not self._serving:
            deadline = None if timeout is None else time.monotonic() + timeout
            self._on_thread(lambda: self._loop(until, deadline, what, False))
        else:
            end = None if timeout is None else time.monotonic() + timeout
            while not (event.wait(0.2) if event is not None else until()):
                if end is not None and time.monotonic() > end:
                    raise DriveTimeout(f"{what} did not come in time")
                if not self._thread.is_alive():
                    raise SkynetError("the thread that serves this node has ended")
                if event is None:
                    time.sleep(0.001)

    def later(self, job: Callable[[], Any]) -> _Call:
        """Have `job` run between two messages: for what cannot be done in the middle of one."""
        call = _Call()
        self._looks.append((job, call))
        self._attention = True
        return call

    def post(self, target: Context, message: Message) -> None:
        """Push a message when this one is over: for a sink, which is called in the middle of somebody's."""
        self.later(lambda: self.push(target, message, "send"))

    def look(self, job: Callable[[], T]) -> T:
        """What `job()` returns; nothing moves meanwhile, so all tables agree. Inside a service: debug.look."""
        return self._on_thread(job)

    def _check_open(self) -> None:
        if self.closed:
            raise SkynetError("this node is closed: make a new one")

    # ----------------------------------------------------------------- the world

    def client(self, port: int | tuple[str, int], timeout: float = 5.0) -> Client:
        """A TCP client connected to `port` of 127.0.0.1; see Client. Raises SocketError."""
        self._check_open()
        self._client_count += 1
        address = ("127.0.0.1", port) if isinstance(port, int) else port
        return Client(self, address, f"client#{self._client_count}", timeout)

    def served(self) -> bool:
        """Whether a thread drives this node, so that waiting is enough."""
        return self._thread is not None and self._serving

    # ----------------------------------------------------------------- recording

    @contextmanager
    def record(self, boot: bool = False) -> Iterator[Trace]:
        """Record what happens inside the `with` block.

        The boot is left out unless `boot`: on a node that has not been driven yet the
        recording then begins when its boot is over.
        """
        recorder = Recorder(self.tables, Places(self._code))
        if self._state is BOOTED or boot:
            self._on_thread(lambda: self._begin(recorder))
        else:
            self._waiting_recorders.append(recorder)
            self._is_recorded(True)
        try:
            yield recorder.trace
        finally:
            if recorder in self._waiting_recorders:
                self._waiting_recorders.remove(recorder)
            elif not self.closed:
                self._on_thread(lambda: self._finish(recorder))
            recorder.end()

    def _recorded(self, recorder: Recorder) -> Recorded:
        """Stand between this node and its outside, and keep what comes in."""
        from .record import Recorded

        config = self.config
        world = recorder.trace.world = World(
            {"clock": config.clock, "bootstrap": config.bootstrap, "luaservice": config.luaservice}
            | {"folder": config.folder, "env": self._told_env()}
        )
        found = self.outside = Recorded(self.outside, world, recorder.count, lambda fd: self.socket_server.id_of(fd))
        return found

    def _told_env(self) -> dict[str, str]:
        """The environment without what names files: a recording is read on other machines."""
        kept = {*self.config.env, "thread", "harbor", "start"}
        return {key: value for key, value in self.env.values().items() if key in kept}

    @classmethod
    def replay(cls, trace: Trace, *services: str | Callable[..., Any], **keys: Any) -> Replay:
        """Run a program again from its recording alone, with no network; see replay.replay.

        `trace`: of a node that was recorded from birth, `Node(record=True)`. `services`: those
        that it was given then, or changed ones of the same names.
        """
        from ..replay.replay import replay

        return replay(cls, trace, services, keys)

    @property
    def trace(self) -> Trace:
        """What was recorded since birth; needs Node(record=True)."""
        if self._recorder is None:
            raise SkynetError("this node was not recorded from birth: make it with Node(record=True)")
        return self._recorder.trace

    def mark(self, text: str) -> None:
        """Write a mark into the recordings of this node, also into those that wait for its boot."""
        self.tell(("mark", 0, 0, text, None))

    def tell(self, event: tuple[Any, ...]) -> None:
        """An event that the driver makes: a mark, or what a client does."""
        if self._world is None or self.closed or self._thread is None or threading.get_ident() == self._thread.ident:
            self._tell(event)
        else:
            self._on_thread(lambda: self._tell(event))  # between two messages, where a replay can do the same

    def _tell(self, event: tuple[Any, ...]) -> None:
        if self._world is not None and not self.closed:
            kind, _, *rest = event
            self._world.note(kind, *([str(rest[1])] if kind == "mark" else rest))
        for sink in [*self._sinks, *(recorder.sink for recorder in self._waiting_recorders)]:
            sink(event)

    def attach(self, sink: Callable[[tuple[Any, ...]], Any]) -> Callable[[], None]:
        """Hand every raw event to `sink`; returns what detaches it.

        A sink that raises is reported in the log and detached; the run goes on.
        """

        def guarded(event: tuple[Any, ...]) -> None:
            try:
                sink(event)
            except Exception as e:
                self._detach(guarded)
                self.log(0, f"a recorder raised {type(e).__name__}: {e}; it is detached")

        self._attach(guarded)
        return lambda: self._detach(guarded)

    def _begin(self, recorder: Recorder) -> None:
        recorder.begin()
        if not self.clock.virtual:
            self._stamps.append(recorder.stamp)
        self._attach(recorder.sink)

    def _finish(self, recorder: Recorder) -> None:
        if recorder.stamp in self._stamps:
            self._stamps.remove(recorder.stamp)
        self._detach(recorder.sink)

    def _stamp(self) -> None:
        """Tell the recorders the time: events carry none, so that the same program makes the same trace."""
        now = self.outside.monotonic_ns()
        for stamp in self._stamps:
            stamp(now)

    def _attach(self, sink: Callable[[tuple[Any, ...]], Any]) -> None:
        self._sinks.append(sink)
        self._set_emit()

    def _detach(self, sink: Callable[[tuple[Any, ...]], Any]) -> None:
        if sink in self._sinks:
            self._sinks.remove(sink)
            self._set_emit()

    def _set_emit(self) -> None:
        sinks = list(self._sinks)
        emit = self._emitter(sinks) if sinks else None
        self.emit = emit
        (leave_sockets if emit is None else partial(observe_sockets, emit=emit))(self.socket_server)
        self.socket_server.stamp = self._stamp if self._stamps else None
        for ctx in self.handles.contexts.values():
            if ctx.state is not None:
                self._observe(ctx.state)
        for ctx in self._ended:
            if ctx.state is not None:
                self._observe(ctx.state)
        self._is_recorded(bool(sinks))

    def _observe(self, s: Scheduler) -> None:
        if self.emit is not None:
            observe(s, self.emit)
        else:
            leave(s)

    def _is_recorded(self, yes: bool) -> None:
        with _recording_lock:
            (_recording.add if yes else _recording.discard)(self)

    def _emitter(self, sinks: list[Callable[[tuple[Any, ...]], Any]]) -> Callable[[tuple[Any, ...]], Any]:
        """One function that hands an event to all of them."""

        def fan_out(event: tuple[Any, ...]) -> None:
            for sink in sinks:
                sink(event)

        return sinks[0] if len(sinks) == 1 else fan_out

    def waits(self) -> Waits:
        """Who waits for whom now: iterate, print or `draw()` it."""
        return self.look(lambda: Waits(self.tables(), self._parked_at()))

    def verdicts(self) -> Verdicts:
        """What is wrong now, in plain sentences; recorded from birth, also what went wrong before."""
        if self._recorder is not None:
            return self.look(self._recorder.trace.verdicts)
        return self.look(lambda: Verdicts(standing(self.tables(), self._parked_at())))

    def dashboard(self, every: float = 0.5) -> Dashboard:
        """A table of this node for a notebook: services, mailboxes, CPU, tasks, sockets, verdicts.

        While a thread drives the node it looks every so many seconds, until `stop` or `close`;
        else only at `refresh()`. Needs the extra `notebooks`.
        """
        from ..view.dashboard import Dashboard

        found = Dashboard(self._overview, every if self.served() else None)
        self._dashboards.append(found)
        return found

    def _overview(self) -> dict[str, Any] | None:
        """What a dashboard shows; None when this node has ended or does not run."""
        if self.closed or self._paused():
            return None
        rows, tables = self.look(self._rows)
        # Outside the thread that drives: looking for circles takes time.
        return {"services": rows, "verdicts": list(map(str, standing(*tables))) if tables else []}

    def _paused(self) -> bool:
        """Whether it was served, and stands still since `stop`."""
        return self._thread is not None and not self._serving

    def _rows(self) -> tuple[list[dict[str, Any]], tuple[Any, Any] | None]:
        sockets: dict[int, int] = {}
        for _, owner in self.socket_server.table().values():
            sockets[owner] = sockets.get(owner, 0) + 1
        rows = []
        for ctx in self.handles.contexts.values():
            s = ctx.state if isinstance(ctx.state, Scheduler) else None
            rows.append({
                "address": address_text(ctx.handle), "name": ctx.name or ctx.kind, "mailbox": len(ctx.mailbox),
                "messages": ctx.mailbox.popped, "cpu": ctx.cpu_cost if s is not None and self.config.profile else None,
                "tasks": 0 if s is None else len(s.session_id_coroutine), "sockets": sockets.get(ctx.handle, 0),
            })  # fmt: skip
        few = len(rows) <= 200  # what goes on in more services is too much for a look
        return rows, (self.tables(), self._parked_at()) if few else None

    def _parked_at(self) -> dict[tuple[str, str], str]:
        """The user's line at which each coroutine is parked."""
        named = Places(self._code)
        found = {}
        for ctx in self.handles.contexts.values():
            for co in ctx.state.coroutines.values() if isinstance(ctx.state, Scheduler) else ():
                stack = stack_of(co.frame)
                if stack and not is_ours(stack[-2]):
                    found[address_text(ctx.handle), co.label] = named.stack(ctx.handle, stack)[-1]
        return found

    def tables(self) -> dict[str, Any]:
        """Every table of the node as plain data, in the form of `Trace.state`."""
        services = {}
        for ctx in self.handles.contexts.values():
            text = address_text(ctx.handle)
            if isinstance(ctx.state, Scheduler):
                services[text] = ctx.state.tables()
            else:
                services[text] = {"name": ctx.kind, "mailbox": [mail_label(m) for m in ctx.mailbox]}
        return {
            "services": services,
            "global_queue": [
                address_text(m.service.handle) for m in self.global_queue if m.service.handle in self.handles.contexts
            ],
            "timers": [[tick, address_text(handle), session] for tick, handle, session in self.timer.pending()],
            "sockets": {id: [state, address_text(owner)] for id, (state, owner) in self.socket_server.table().items()},
            "commands": [[command[0], command[1]] for command in self.socket_server.commands],
            "now": self.clock.now() if self.clock.virtual else 0,
        }

    # ----------------------------------------------------------------- the end

    def close(self) -> None:
        """End everything: coroutines (their `finally` blocks run), sockets, threads, files."""
        if self.closed:
            return
        for dashboard in self._dashboards:
            dashboard.stop()
        if self._owner is None:
            self.closed = True
            self.outside.close()
        elif self._thread is not None and threading.get_ident() != self._thread.ident:
            self.stop()
            self._on_thread(self._close_here)
            self._thread.join()
        else:
            if threading.get_ident() != self._owner:
                raise SkynetError("this node belongs to another thread: close it there")
            self._refuse_inside()
            self._drive(self._close_here)
        if self.hub is not None and self._thread is None:
            self.hub.end()
        for client in list(self.clients):
            client.abandon()
        if self._log_file is not None:
            self._log_file.close()
        self._dashboards_end()

    def _dashboards_end(self) -> None:
        """Have each show what it saw last, and that the node has stopped."""
        for dashboard in self._dashboards:
            dashboard.refresh()

    def _close_here(self) -> None:
        """In the hub: what only the driving thread can do."""
        if self._world is not None:
            self._world.note("close")
        self._close_services()
        while self._logger is not None and self._logger.mailbox:
            self._logger.mailbox.callback(self._logger.mailbox.popleft())
        for call in self._calls.values():
            call.done.set()
        self._calls.clear()
        self.closed = True
        self._sinks.clear()
        self._stamps.clear()
        self._is_recorded(False)
        self.socket_server.release()

    def _close_services(self) -> None:
        for ctx in [*self._ended, *list(self.handles.contexts.values())]:
            try:
                self._end(ctx)
            except Exception as e:
                self.log(ctx.handle, f"error while closing: {e}")
        self._ended.clear()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "served" if self.served() else "open"
        return f"<Node {state}, {len(self.handles.contexts)} services>"


def mark(text: str) -> None:
    """Write a mark into the trace: of the current service, or outside of every node that records."""
    co = running()
    s = getattr(co, "service", None)
    if s is not None:
        if s.emit is not None:
            s.emit(("mark", s.handle, co.n, text, here()))
        return
    with _recording_lock:
        nodes = list(_recording)
    for node in nodes:
        node.mark(text)
