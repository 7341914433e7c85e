"""A server and a socket server that tell: every message on its way, and what becomes of each socket."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from sys import _getframe
from typing import Any

from ..core.context import Context
from ..core.locks import guarded, with_lock
from ..core.message import PTYPE_ERROR, PTYPE_RESPONSE, PTYPE_SOCKET, SOCKET_NAMES, Message
from ..core.outside import join
from ..core.places import here, stack_of, stack_of_error
from ..core.report import Warned
from ..core.socket_slots import CONNECTING, PACCEPT
from ..core.timer import ticks
from ..skynet.coroutine import running
from .observe import observe
from .services import content
from .tables import Emit


class TellingServer:
    """The class of a server that tells; each method what it is about to do, or has done. `plain`: the class below."""

    def create(self: Any, maker: Any, ctx: Context) -> Message | None:
        first: Message | None = self.plain.create(self, maker, ctx)
        if ctx.state is not None:
            observe(ctx.state, self.emit)
        (worker,) = self.driver.worker_of(ctx.handle) or (None,)
        self.emit(("birth", ctx.handle, ctx.label, worker))
        return first

    def handled(self: Any, ctx: Context, callback: Any, message: Message) -> None:
        self.emit(("handled", ctx.handle, *message[:3]))
        self.plain.handled(self, ctx, callback, message)

    def unregister(self: Any, ctx: Context) -> None:
        self.plain.unregister(self, ctx)
        how: Any = ctx.failure
        self.emit(("exit", ctx.handle, ctx.label, how.reason, how.cause and stack_of_error(how.cause)))
        if how.cause:
            self.node.flights.fault()

    @guarded
    def send(self: Any, source: int, to: Any, ptype: int, session: int, payload: Any) -> bool:
        target = self.contexts.get(to) if type(to) is int else None
        if target is None:
            return bool(self.plain.send(self, source, to, ptype, session, payload))
        n, mailbox = getattr(running(), "n", 0), target.mailbox
        queued = not mailbox.in_global
        mailbox.push((ptype, session, source, payload))  # as the plain one does
        if ptype == PTYPE_ERROR:
            payload = content(ptype, payload)
        self.emit((
            "send", source, to, ptype, session, n, payload, stack_of(_getframe(1)) if n else None,
            "push", to, ptype, session, source, "send", queued, 0,
        ))  # fmt: skip
        return True

    def _told(self: Any, source: int, to: Any, ptype: int, session: int | None, payload: Any) -> None:
        n = getattr(running(), "n", 0)
        self.emit(("send", source, to, ptype, session, n, content(ptype, payload), here() if n else None))

    def send_out(self: Any, source: int, ptype: int, session: int, payload: Any) -> bool:
        self._told(source, 0, ptype, session, payload)
        return bool(self.plain.send_out(self, source, ptype, session, payload))

    def send_nobody(self: Any, source: int, to: Any, ptype: int) -> bool:
        self._told(source, to, ptype, None, None)
        return False

    def send_harbor(self: Any, source: int, to: Any, ptype: int, session: int, payload: Any) -> bool:
        self._told(source, to, ptype, session, payload)
        return bool(self.plain.send_harbor(self, source, to, ptype, session, payload))

    @guarded
    def redirect(self: Any, source: int, target: Context, message: Message) -> None:
        self._told(source, target.handle, *message[:2], message[3])
        self.plain.redirect(self, source, target, message)

    @guarded
    def push(self: Any, target: Context, message: Message, by: str) -> None:
        queued, here = not target.mailbox.in_global, self.contexts.get(target.handle) is target
        self.plain.push(self, target, message, by)
        if here:
            type, id = message[3][:2] if message[0] == PTYPE_SOCKET else (0, 0)
            self.emit(("push", target.handle, *message[:3], SOCKET_NAMES[type] or by, queued, id))

    @guarded
    def log(self: Any, source: int, text: str) -> None:
        self.emit(("log", source, str(text)))  # a Report is more than that, and holds exceptions
        self.plain.log(self, source, text)
        if isinstance(text, Warned):
            self.node.flights.fault()

    @guarded
    def set_timer(self: Any, ctx: Context, session: int, ti: int) -> None:
        n = running().n
        ti, at, queued = ticks(ti), here() if n else None, not ctx.mailbox.in_global
        self.plain.set_timer(self, ctx, session, ti)
        if ti <= 0:
            self.emit((
                "timer_set", ctx.handle, session, 0, n, at,
                "push", ctx.handle, PTYPE_RESPONSE, session, 0, "timer", queued, 0,
            ))  # fmt: skip
        else:
            due = self.clock.now() + ti if self.clock.virtual else ti
            self.emit(("timer_set", ctx.handle, session, due, n, at))

    @guarded
    def fire(self: Any) -> int:
        if self.stamp is not None:
            self.stamp()
        return int(self.plain.fire(self))

    def expire(self: Any, handle: int, session: int, tick: int) -> None:
        self.emit(("timer_fired", handle, session, tick))
        self.plain.expire(self, handle, session, tick)

    def set_clock(self: Any, tick: int) -> None:
        self.plain.set_clock(self, tick)
        self.emit(("clock", 0, self.clock.ticks))


def ends(sockets: Any) -> dict[str, Any]:
    """Of a snapshot: the connections that are open, each as `_ends` tells it."""
    found = {s.id: list(told) for s in sockets._sockets.values() if (told := _ends(s)) is not None}
    return {"ends": found} if found else {}


def _ends(s: Any) -> tuple[str, str, int, int] | None:
    """Where both ends of a connection are, ours first, and how many bytes it has brought and taken; None of others.

    Asked past the outside: it is for whoever reads the recording, and nothing that the node goes by.
    """
    try:
        return (join(s.sock.getsockname()), s.peer, s.read_bytes, s.write_bytes) if s.peer and not s.udp else None
    except (AttributeError, OSError):  # of a replay; gone already
        return None


class TellingSockets:
    """The class of a socket server that tells."""

    emit: Emit
    _writer: tuple[int, Any] | None = None

    def _command(self: Any, name: str, id: int, opaque: int, *rest: Any) -> None:
        self.plain._command(self, name, id, opaque, *rest)
        self.emit(("driver", opaque, name, id, here()))

    def _carry_out(self: Any, command: tuple[Any, ...]) -> None:
        name, id, opaque, *_ = command
        self.emit(("command", opaque, name, id))
        self.plain._carry_out(self, command)

    def _reserve(self: Any, opaque: int, sock: Any) -> Any:
        s = self.plain._reserve(self, opaque, sock)
        self.emit(("socket", opaque, s.id, s.state, None))
        return s

    def _set_state(self: Any, s: Any, state: str) -> None:
        new = state == PACCEPT or s.state == CONNECTING
        self.plain._set_state(self, s, state)
        self.emit(("socket", s.opaque, s.id, state, _ends(s) if new else None))

    def _ready(self: Any, s: Any, mask: int) -> None:
        self.emit(("ready", s.opaque, s.id, mask))
        self.plain._ready(self, s, mask)

    def send(self: Any, opaque: int, id: int, data: bytes, low: bool = False) -> bool:
        with getattr(self, "lock", nullcontext()):
            self._writer = opaque, here()
            try:
                return bool(self.plain.send(self, opaque, id, data, low))
            finally:
                self._writer = None

    def _wrote(self: Any, s: Any, sent: int, data: Any) -> None:
        opaque, at = self._writer or (s.opaque, None)
        self.emit(("write", opaque, s.id, sent, len(data), at))
        self.plain._wrote(self, s, sent, data)


@cache
def _telling(mixin: type, plain: type) -> type:
    cls = type(plain.__name__, (mixin, plain), {"plain": plain})
    shared = hasattr(plain, "send") and hasattr(plain.send, "__wrapped__")
    return with_lock(cls) if mixin is TellingServer and shared else cls


def tell(server: Any, emit: Emit | None) -> None:
    """Have a node tell `emit` all that happens in it, or nobody any more (None)."""
    for part, mixin in ((server, TellingServer), (server.socket_server, TellingSockets)):
        plain: Any = getattr(part, "plain", type(part))
        part.__class__ = plain if emit is None else _telling(mixin, plain)
        part.emit = emit
