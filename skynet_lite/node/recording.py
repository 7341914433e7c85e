"""Who listens to a node: sinks that get all that it tells, and the time beside it.

One idea: while nobody listens the node has no line that asks. The first sink has its classes
exchanged for ones that tell (tell/), the last one takes them back; always between two messages.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..core.errors import error_text, text_of
from ..core.places import here
from ..core.server import Server
from ..skynet.coroutine import running
from ..tell.observe import leave, observe
from ..tell.server import tell
from ..trace import Recorder, Trace
from ..trace.kinds import each
from ..trace.world import World

Sink = Callable[[tuple[Any, ...]], Any]
_listened: weakref.WeakSet[Recording] = weakref.WeakSet()  # for marks made outside services
_lock = threading.Lock()  # several nodes may have several threads


class Recording:
    """The listeners of one node. Changed between two messages only, by `server.driver.look`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._sinks: list[Sink] = []
        self._stamps: list[tuple[Recorder, Callable[[], None]]] = []  # what it wants done between two messages
        self._waiting: list[Recorder] = []  # for the boot to be over
        self.world: World | None = None  # recorded from birth

    @contextmanager
    def record(self, recorder: Recorder, now: bool) -> Iterator[Trace]:
        """Record inside the `with` block: at once, or when the boot is over."""
        look = self._server.driver.look
        if now:
            look(lambda: self.begin(recorder))
        else:
            self._waiting.append(recorder)
            self._list(True)
        try:
            yield recorder.trace
        finally:
            if recorder in self._waiting:
                self._waiting.remove(recorder)
            elif not self._server.driver.closed:
                look(lambda: self.finish(recorder))
            recorder.end()

    def begin(self, recorder: Recorder) -> None:
        recorder.begin()
        stamp = None if self._server.clock.virtual else recorder.stamper(self._server.outside.monotonic_ns)
        if recorder.ring:
            turn = partial(self._server.driver.between, partial(self._turn, recorder))
            stamp = recorder.turner(stamp, turn)  # one for both: it is called after every message
        if stamp is not None:
            self._stamps.append((recorder, stamp))
        self.add(recorder.sink)

    def _turn(self, recorder: Recorder) -> None:
        with self._server.driver.still():
            recorder.turn()

    def finish(self, recorder: Recorder) -> None:
        self._stamps = [(who, stamp) for who, stamp in self._stamps if who is not recorder]
        self.remove(recorder.sink)

    def born(self) -> None:
        """The boot is over."""
        while self._waiting:
            self.begin(self._waiting.pop(0))

    def attach(self, sink: Sink) -> Callable[[], None]:
        """Hand every raw event to `sink`; returns what detaches it. One that raises is reported, and detached."""
        server, whole = self._server, True

        def guarded(told: tuple[Any, ...]) -> None:
            nonlocal whole
            if whole:
                try:
                    for event in each(told):
                        sink(event)
                except BaseException as e:
                    whole = False
                    server.driver.between(lambda: server.driver.look(lambda: self.remove(guarded)))
                    server.log(0, f"a recorder raised {error_text(e)}; it is detached")

        self._between(lambda: self.add(guarded))
        return lambda: self._between(lambda: self.remove(guarded))

    def _between(self, job: Callable[[], Any]) -> None:
        """Now if nothing runs; for a service, when its message is over."""
        driver = self._server.driver
        if getattr(running(), "service", None) is None:
            driver.look(job)
        else:  # a look, too: of several workers, the others may be in a method of the class that is exchanged
            driver.between(lambda: driver.look(job))

    def tell(self, event: tuple[Any, ...]) -> None:
        """An event that the driver makes: a mark, or what a client does. From any thread."""
        if self.world is None or self._server.driver.closed:
            return self._tell(event)
        self._server.driver.look(lambda: self._tell(event))  # between two messages, where a replay can do the same

    def _tell(self, event: tuple[Any, ...]) -> None:
        kind, _, *rest = event
        if not self._server.driver.closed:
            self._server.outside.note(kind, *([rest[1]] if kind == "mark" else rest))
        with self._server.lock:
            for sink in [*self._sinks, *(recorder.sink for recorder in self._waiting)]:
                sink(event)

    def add(self, sink: Sink) -> None:
        self._sinks.append(sink)
        self._change()

    def remove(self, sink: Sink) -> None:
        if sink in self._sinks:
            self._sinks.remove(sink)
            self._change()

    def close(self) -> None:
        self._sinks.clear()
        self._stamps.clear()
        self._server.stamp = self._server.socket_server.stamp = None
        self._list(False)

    def _change(self) -> None:
        server, emit = self._server, self._emitter()
        tell(server, emit)
        server.stamp = server.socket_server.stamp = self._stamper()
        for ctx in [*server.contexts.values(), *server.driver.ending_services()]:
            if ctx.state is not None:
                change = partial(leave, ctx.state) if emit is None else partial(observe, ctx.state, emit)
                server.driver.when_still(ctx, change)
        self._list(emit is not None)

    def _list(self, listening: bool) -> None:
        with _lock:
            (_listened.add if listening else _listened.discard)(self)

    def _emitter(self) -> Sink | None:
        """One function that hands an event to all sinks; with several workers, in the order of the node."""
        sinks, lock = list(self._sinks), self._server.lock
        if not sinks:
            return None
        if len(sinks) == 1 and self._server.driver.workers == 1:
            return sinks[0]

        def fan_out(told: tuple[Any, ...]) -> None:
            with lock:
                for sink in sinks:
                    sink(told)

        return fan_out

    def _stamper(self) -> Callable[[], None] | None:
        """Has recorders note the time: events carry none, so that the same program makes the same trace."""
        stamps, lock = [stamp for _, stamp in self._stamps], self._server.lock
        if len(stamps) == 1 and self._server.driver.workers == 1:
            return stamps[0]

        def stamp_all() -> None:
            with lock:
                for stamp in stamps:
                    stamp()

        return stamp_all if stamps else None


def mark(text: str) -> None:
    """Write a mark into the trace: of the current service, or outside of every node that records."""
    co, text = running(), text_of(text)
    s = getattr(co, "service", None)
    if s is None:
        with _lock:
            listened = list(_listened)
        for recording in listened:
            recording.tell(("mark", 0, 0, text, None))
    elif s.emit is not None:
        s.emit(("mark", s.handle, co.n, text, here()))
