"""The kind of service that is written in Python: a scheduler, whose first message is to run its code.

After service-src/service_snlua.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakSet

from ..core.context import Context
from ..core.message import PTYPE_TEXT, Launch, Message
from ..core.places import Places
from ..core.server import Server
from ..skynet.scheduler import Scheduler
from .loader import Registry, load


class Snlua:
    """Knows a service only while it lives; who wants more says so before.

    `registry()` is asked each time, for a replay has one of its own.
    """

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry
        self._births: dict[int, tuple[str, list[Scheduler]]] = {}  # who waits for some; under the lock of the node
        self._places: WeakSet[Places] = WeakSet()

    def find(self, name: str) -> Any:
        return self._registry().find(name)

    def name_of(self, service: str | Callable[..., Any]) -> str:
        """The name a service is launched by; a function is made known first. Raises SkynetError."""
        return self._registry().name_of(service)

    @contextmanager
    def births(self, name: str, lock: AbstractContextManager[Any]) -> Iterator[list[Scheduler]]:
        """The services of this name that are made inside the `with` block, even if they have ended."""
        born: list[Scheduler] = []
        with lock:
            self._births[id(born)] = name, born
        try:
            yield born
        finally:
            with lock:
                del self._births[id(born)]

    def places(self, living: Iterable[Context]) -> Places:
        """Names for the places of those who live, and who are born while somebody holds these."""
        schedulers = [ctx.state for ctx in living if isinstance(ctx.state, Scheduler)]
        found = Places({s.handle: (s.name, s.file) for s in schedulers})
        self._places.add(found)
        return found

    def make(self, server: Server, ctx: Context) -> Message:
        s: Scheduler = server.dialect.scheduler(server, ctx)
        ctx.state = s
        s.main = self.find(ctx.name)
        for name, born in self._births.values():
            if name == ctx.name:
                born.append(s)
        ctx.close = s.close
        ctx.mailbox.callback = lambda message: s.load(self._run, message)
        return PTYPE_TEXT, 0, ctx.handle, Launch(ctx.name, ctx.args)

    def _run(self, s: Scheduler, launch: Launch) -> bool:
        started = load(self._registry(), s, launch)
        with s.server.lock:
            for places in self._places:
                places.services[s.handle] = s.name, s.file
        return started
