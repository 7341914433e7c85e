"""The node: a server with its services, a driver that moves them, and the way in from outside.

One idea: `Node` does nothing itself. It puts a node together from its configuration, and
its methods say what is wanted; core/server.py does it, and what drives: drive/loop.py and
served.py with one worker, drive/workers.py with several (`thread=N`).

After skynet-src/skynet_main.c, skynet_start.c and skynet_imp.h.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from typing import Any, TypeVar, Unpack

from ..core.env import Env
from ..core.errors import AddressError, CallError, ConfigError, Failure, SkynetError, expect, text_of
from ..core.harbor import Harbor
from ..core.logger import Logger, careful, open_log
from ..core.outside import POLLERS, Outside
from ..core.places import Places
from ..core.server import Server
from ..core.timer import ticks as whole_ticks
from ..doors import door
from ..drive.breaking import stop_signals
from ..drive.monitors import Monitors
from ..drive.served import Served
from ..drive.shared import SharedServer
from ..drive.worker import Worker
from ..drive.workers import Workers
from ..lualib import debug as debug, memory, seri  # every service speaks PTYPE_DEBUG
from ..skynet.scheduler import Scheduler
from ..tell.record import Recorded
from ..tell.server import ends
from ..trace import Recorder, Trace, Verdicts, Waits
from ..trace.verdicts import standing
from ..trace.world import World
from .asking import Asking
from .client import Client
from .config import environment, load as load_config
from .flight import Flights
from .keys import Keys, Shown, shown
from .loader import Registry
from .looking import now, overview, tables
from .recording import Recording
from .snlua import Snlua
from .stopping import stopped

T = TypeVar("T")


class Node(Asking, metaclass=Shown):
    """A node. `Node()`, `Node(clock="virtual", log=list)`, `Node("config.toml")`.

    `log`: None (stderr, or the file `logger`), `list` or a list (in which tracebacks are short, and name no path), a
    logging.Logger, a file, a function; a line that it does not take is lost, and stderr told. `outside`: what stands
    for the world. `record=True` records from birth, with all that comes in: `node.trace` can be replayed. Other
    keywords: see config.Config. Raises ConfigError.
    """

    __dir__ = shown

    def __init__(
        self, config: str | os.PathLike[str] | None = None, *, log: Any = None, outside: Outside | None = None,
        record: bool = False, **keys: Unpack[Keys],
    ) -> None:  # fmt: skip
        self.config = own = load_config(config, keys)
        write, self._log_file, lines = open_log(log, own.logger, lambda handle: self.handles.called(handle))
        self.log_lines: list[str] = lines if lines is not None else []
        self.registry = Registry(own.luaservice, own.folder, own.snax, own.preload)  # where services are found by name
        self._snlua = Snlua(lambda: self.registry)
        self.env = Env(environment(own))
        if own.start is not None:
            self.env.set("start", self.registry.name_of(own.start))
        made_of = Outside(POLLERS[own.poller](), own.offload) if outside is None else outside
        self.outside = expect("Node(outside=...) takes an object of a class made from Outside", made_of, Outside)
        ring = 0 if record else own.recorder
        self.recorder = Recorder(self.beginning, self._snlua.places(()), ring or None) if record or ring else None
        world = self._recorded(self.recorder) if record and own.thread == 1 else None  # no file has who was faster
        self.clock = self.outside.clock(own.clock == "virtual")
        kinds: dict[str, Any] = {"snlua": self._snlua, "logger": Logger(), "harbor": Harbor()}
        made = own.dialect.server(SharedServer if own.thread > 1 else Server)
        self.server = server = made(self.outside, self.clock, self.env, careful(write), own.profile, kinds)
        server.node, server.dialect, server.seri = self, own.dialect, seri.pack
        self.handles, self.timer, self.socket_server = server.handles, server.timer, server.socket_server
        self.clients = server.clients
        self.recording = Recording(server)
        self.recording.world = world
        self.flights = Flights(server, self.recorder, own.logpath)
        self.driver: Served | Workers
        if isinstance(server, SharedServer):
            self.driver = Workers(server, self._birth, self.recording.born, own.endless, own.thread, own.memory)
        else:
            watched = not (record or self.clock.virtual)  # how long a handler takes makes no trace differ
            self.driver = Served(server, self._birth, self.recording.born, own.endless if watched else 0)
        self._client_numbers = count(1)
        self._dashboards: list[Any] = []
        self.all_stopped: bool | None = None  # what a shutdown has come to, for another one at the same time
        if self.recorder is not None:
            self.recording.begin(self.recorder)

    def _birth(self) -> int:
        """The first services, in the order of skynet_start.c; the handle of the bootstrap, 0 on a bare node."""
        self.server.launch("logger", "", ())
        return self.server.launch("snlua", "bootstrap", ()) or 0 if self.config.bootstrap else 0

    # ----------------------------------------------------------------- services

    def newservice(self, service: str | Callable[..., Any], *args: Any, wait: bool = True) -> int:
        """Start a service and return its handle, when its start function has ended.

        With `wait=False`, when it exists; its start function is still to be driven.
        Raises CallError if the start fails, SkynetError if there is no such service.
        """
        name = self.service_name(service)
        if self.recording.world is not None:
            self.recording.world.services.append(name)
        driver = self.driver
        with self.births(name) as born:
            if self.config.bootstrap and wait:
                handle = self.call(".launcher", "lua", "LAUNCH", "snlua", name, *args)
                if handle is None:
                    raise CallError(f"call failed: service {name} ended before its start was over")
                return int(handle)
            driver.check_owner()  # else the service would be made when its owner drives, and this would raise
            if self.config.bootstrap:
                self._post(".launcher", ("LAUNCH", "snlua", name, *args), False)
                driver.run_until(lambda: len(born) > 0, None, "the launch", budget=1)
            else:
                driver.enter(lambda: driver.drive(lambda: self.launch_noted(name, args)))
        s = born[0]
        if wait:
            driver.run_until(lambda: s.start_state not in ("loading", "starting"), None, f"the start of {name}")
            if s.start_state == "failed":
                driver.see_logged()
                raise CallError.of(s.ctx.failure, 0, "")
        return s.handle

    def births(self, name: str) -> AbstractContextManager[list[Scheduler]]:
        """The services of this name that are made inside the `with` block, even if they have ended."""
        return self._snlua.births(name, self.server.lock)

    def launch_noted(self, name: str, args: tuple[Any, ...]) -> int | None:
        """Launch on a bare node; a recording that is to be replayed hears of it."""
        self.outside.note("launch", name, args)
        return self.server.launch("snlua", name, args)

    def service_name(self, service: str | Callable[..., Any]) -> str:
        """The name a service is launched by; a function is made known first. Raises SkynetError."""
        with self.server.lock:
            return self.registry.name_of(service)

    def service(self, addr: int | str) -> Scheduler:
        """The scheduler of a service, with its tables, to look at. Raises AddressError."""
        ctx = self.handles.contexts.get(self.server.resolve(addr))  # type: ignore[arg-type]  # a global name is no key
        if ctx is None or not isinstance(ctx.state, Scheduler):
            raise AddressError(f"no service in Python has the address {addr!r}")
        return ctx.state

    def log(self, source: int, text: str) -> None:
        """Write a log line in the name of a service (0: of the node)."""
        self.server.log(source, text)

    def reopen_log(self) -> None:
        """Open the file `logger` anew, as SIGHUP has skynet do; from any thread, or a signal handler."""
        self.driver.between(self._reopen_log)

    def _reopen_log(self) -> None:
        with self.server.lock:  # asked for twice, two workers may come to it
            try:
                if self._log_file is not None:
                    self._log_file.reopen()
            except ConfigError as e:
                self.log(0, str(e))

    def signal(self, addr: int | str, sig: int = 0) -> bool:
        """Signal 0 breaks off a handler that does not come back: it gets a SignalError. True if one was.

        That takes a second worker: with `thread=1` whoever could call this waits for the handler, too. Signal 1
        logs what memory.size says. Raises AddressError. After cmd_signal of skynet_server.c, snlua_signal.
        """
        s = self.service(addr)
        self.log(s.handle, f"recv a signal {sig}")
        if sig == 0:
            return self.driver.break_off(s.handle)
        if sig == 1:
            with self.driver.still():
                size = memory.size(s) / 1024
            self.log(s.handle, f"Current Memory {size:.3f}K")
        return False

    def worker(self, addr: int) -> Worker:
        """With several workers: the one of a service."""
        assert isinstance(self.driver, Workers)
        return self.driver.worker(addr)

    @property
    def patience(self) -> float:
        """Seconds that a handler, or the oldest offloaded function, may keep others waiting (see BaseDriver)."""
        return self.driver.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self.driver.patience = seconds

    @property
    def monitor(self) -> Monitors | None:
        """With several workers: what looks whether they come back from their messages."""
        return self.driver.monitor if isinstance(self.driver, Workers) else None

    # ----------------------------------------------------------------- driving

    def step(self) -> str | None:
        """One message, or one poll that does not wait; says what it did, None if there was nothing."""
        return self.driver.step()

    def run_until_idle(self) -> None:
        """Drive until nothing can run. Time does not move under the virtual clock, nor is it waited for."""
        self.driver.run_until_idle()

    def run(self, until: Callable[[], Any] | None = None, timeout: float | None = None) -> None:
        """Drive until `until()` is true, or until nothing can happen any more.

        Timers count: virtual time jumps to them, real time is waited for. `timeout` in
        real seconds. Raises DriveTimeout when `until` did not come true.
        """
        if until is not None:
            self.driver.run_until(until, timeout, "what run() waits for", budget=1)
        else:
            self.driver.run_until(lambda: not self.driver.future(), timeout, "the end of all timers")

    def advance(self, ticks: int) -> None:
        """Let `ticks` of virtual time pass, timer by timer, and run what they wake."""
        if not self.clock.virtual:
            raise SkynetError('advance() needs Node(clock="virtual"); a real clock moves by itself')
        if (whole := whole_ticks(ticks)) < 0:
            raise SkynetError(f"time does not go back: advance({ticks})")
        self.driver.advance(whole)

    def busy(self) -> bool:
        """Whether a message is being handled, or waits to be."""
        return self.driver.busy()

    def future(self) -> bool:
        """Whether anything can still happen by itself."""
        return self.driver.future()

    def run_forever(self) -> None:
        """Drive in the foreground until Ctrl-C, SIGTERM, `stop` or `skynet.abort`. The second signal breaks off a
        handler that does not come back, with KeyboardInterrupt."""
        with stop_signals(self.driver):
            self.driver.run_forever()

    def serve(self) -> None:
        """Drive in a thread of its own. To be called before anything else drives the node."""
        self.driver.start()

    def stop(self) -> None:
        """End `serve` or `run_forever`; sockets and coroutines stay as they are until `close`."""
        self.driver.stop()

    def served(self) -> bool:
        """Whether a thread drives this node, so that waiting is enough."""
        return self.driver.served()

    def look(self, job: Callable[[], T]) -> T:
        """What `job()` returns; nothing moves meanwhile, so all tables agree. Inside a service: debug.look."""
        return self.driver.look(job)

    @property
    def closed(self) -> bool:
        return self.driver.closed

    def client(self, port: int | tuple[str, int], timeout: float = 5.0) -> Client:
        """A TCP client connected to `port` of 127.0.0.1; see Client. Raises SocketError."""
        self.driver.check_open()
        address = ("127.0.0.1", port) if isinstance(port, int) else port
        label = f"client#{next(self._client_numbers)}"
        return Client(self.server, self.driver, self.recording.tell, address, label, timeout)

    # ----------------------------------------------------------------- recording

    def record(self, boot: bool = False, ring: int | None = None) -> AbstractContextManager[Trace]:
        """Record what happens inside the `with` block; with `ring` (thousands, best) the last events, at least so many.

        The boot is left out unless `boot`: on a node that was not driven yet it then begins when that is over.
        """
        recorder = Recorder(self.beginning, self.places(), ring)
        return self.recording.record(recorder, self.driver.booted or boot)

    def beginning(self) -> dict[str, Any]:
        """What a recording begins with: the tables, and the connections that are there already."""
        with self.driver.still():
            return self.tables() | ends(self.socket_server)

    def _recorded(self, recorder: Any) -> World:
        """Stand between this node and its outside, and keep what comes in."""
        own, told = self.config, self.env.values().items()
        kept = {*own.env, "thread", "harbor", "start"}  # the others name files: a recording is read on other machines
        world = recorder.trace.world = World(
            {"clock": own.clock, "bootstrap": own.bootstrap, "luaservice": own.luaservice, "folder": own.folder}
            | {"env": {key: value for key, value in told if key in kept}}
        )
        self.outside = Recorded(self.outside, world, recorder.count, lambda fd: self.socket_server.id_of(fd))
        return world

    @classmethod
    def replay(cls, trace: Trace, *services: str | Callable[..., Any], **keys: Any) -> Any:
        """Run a program again from its recording alone, with no network; a replay.Replay.

        `trace`: of a node that was recorded from birth, `Node(record=True)`. `services`: those
        that it was given then, or changed ones of the same names.
        """
        return door("replay")(cls, trace, services, keys)

    @property
    def trace(self) -> Trace:
        """What was recorded since birth, of Node(record=True); of Node(recorder=N) the last events."""
        if self.recorder is None:
            raise SkynetError("this node was not recorded from birth: make it with Node(record=True)")
        return self.recorder.trace

    def flight(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write the last events to `path`, as its suffix says; without one, soon, to flight-N.json in `logpath`: so a
        signal handler may ask. Needs Node(recorder=N) or Node(record=True). Raises SkynetError, ValueError, OSError.
        """
        self.flights.ask() if path is None else self.look(self.flights.taken).save(path)

    def mark(self, text: str) -> None:
        """Write a mark into the recordings of this node, also into those that wait for its boot."""
        self.recording.tell(("mark", 0, 0, text_of(text), None))

    def attach(self, sink: Callable[[tuple[Any, ...]], Any]) -> Callable[[], None]:
        """Hand every raw event to `sink`; returns what detaches it.

        A sink that raises is reported in the log and detached; the run goes on.
        """
        return self.recording.attach(sink)

    # ----------------------------------------------------------------- looking

    def tables(self) -> dict[str, Any]:
        """Every table of the node as plain data, in the form of `Trace.state`."""
        with self.driver.still():
            return tables(self.server)

    def places(self) -> Places:
        """Names for places in the code of the services of this node."""
        with self.server.lock:
            return self._snlua.places(self.handles.contexts.values())

    def waits(self) -> Waits:
        """Who waits for whom now: iterate, print or `draw()` it."""
        return self.look(lambda: Waits(*now(self)))

    def verdicts(self) -> Verdicts:
        """What is wrong now, in plain sentences; recorded from birth, also what went wrong before."""
        if self.recorder is not None and self.recorder.ring is None:
            return self.look(self.recorder.trace.verdicts)
        return self.look(lambda: Verdicts(standing(*now(self))))

    def dashboard(self, every: float = 0.5) -> Any:
        """A table of this node for a notebook: services, mailboxes, CPU, tasks, sockets, verdicts.

        Looks every so many seconds while a thread drives the node, else at `refresh()`. Needs the extra `notebooks`.
        """
        found = door("dashboard")(partial(overview, self), every if self.served() else None)
        self._dashboards.append(found)
        return found

    # ----------------------------------------------------------------- the end

    def shutdown(self, timeout: float | None = None) -> bool:
        """Have services run what skynet.on_stop was given, the youngest first; then `close`. Not inside a service.

        `timeout`: seconds of the node's clock for all together, None: the key `shutdown`; the log says who was late.
        True if nobody was."""
        try:
            return stopped(self, self.config.shutdown if timeout is None else timeout)
        finally:
            self.close()

    def close(self) -> None:
        """End everything: coroutines (their `finally` blocks run), sockets, threads, files."""
        for dashboard in self._dashboards:
            dashboard.stop()
        try:
            self.driver.close(self._last)
        finally:
            if self.closed:  # Ctrl-C may come at its end, or somebody else close it, too
                atexit.unregister(self.close)
                for client in list(self.clients):
                    client.abandon()
                if self._log_file is not None:
                    self._log_file.close()
                for dashboard in self._dashboards:
                    dashboard.refresh()  # what it saw last, and that the node has stopped

    def _last(self) -> None:
        """All services are closed: write what the logger still has, and let go whoever waits."""
        self.flights.last()
        while (logger := self.server.logger) is not None and logger.mailbox:
            logger.mailbox.callback(logger.mailbox.popleft())
        while self.server.calls:
            _, call = self.server.calls.popitem()
            call.settle(False, Failure(call.to, "", "this node was closed before it had answered"))
        self.recording.close()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "served" if self.served() else "open"
        return f"<Node {state}, {len(self.handles.contexts)} services>"
