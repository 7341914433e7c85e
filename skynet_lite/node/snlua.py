"""The kind of service that is written in Python: a scheduler, whose first message is to run its code.

After service-src/service_snlua.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.context import Context
from ..core.message import PTYPE_SYSTEM, Launch, Message
from ..core.server import Server
from ..skynet.scheduler import Scheduler
from .loader import Registry, load


class Snlua:
    """`newest`: by name, the service that was made last; `code`: by handle, name and file of its code.

    `registry()` is asked each time, for a replay has one of its own.
    """

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry
        self.newest: dict[str, Scheduler] = {}
        self.code: dict[int, tuple[str, str | None]] = {}

    def find(self, name: str) -> Any:
        return self._registry().find(name)

    def name_of(self, service: str | Callable[..., Any]) -> str:
        """The name a service is launched by; a function is made known first. Raises SkynetError."""
        return self._registry().name_of(service)

    def make(self, server: Server, ctx: Context) -> Message:
        s = ctx.state = self.newest[ctx.name] = Scheduler(server, ctx)
        ctx.close = s.close
        ctx.mailbox.callback = lambda message: s.load(self._run, message)
        return PTYPE_SYSTEM, 0, ctx.handle, Launch(ctx.name, ctx.args)

    def _run(self, s: Scheduler, launch: Launch) -> bool:
        started = load(self._registry(), s, launch)
        self.code[s.handle] = s.name, s.file
        return started
