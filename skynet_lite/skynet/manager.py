"""What only some services do: create and end others, give names, and stand in front of their own dispatch.

All of it is reachable as `skynet.launch`, `skynet.kill`, ..., as in skynet after
`require "skynet.manager"`. After lualib/skynet/manager.lua.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.errors import expect
from ..core.message import PTYPE_RESPONSE, Message, Packed
from ..core.mq import ignore
from .calls import send
from .runnable import runnable
from .scheduler import Scheduler, current
from .services import queryservice, start_with, uniqueservice

__all__ = ["abort", "filter", "forward_type", "kill", "launch", "monitor", "name", "register"]
__dir__ = __all__.copy

Filter = Callable[[int, int, int, Any], Message | None]


def launch(kind: str, name: str, *args: Any) -> int | None:
    """Create a service and do not wait; None if its module is unknown."""
    s = current()
    for word in (kind, name):
        expect("launch takes the kind of a service and its name, as ('snlua', 'launcher')", word, str)
    return s.server.launch(kind, name, args, s.handle)


def kill(addr: int | str) -> None:
    """End a service from outside: it gets no word in."""
    s = current()
    handle = s.server.resolve(addr)
    if isinstance(handle, int):
        send(".launcher", "lua", "REMOVE", handle, True)
        s.server.kill(s.handle, handle)


def abort() -> None:
    """End all services of the node."""
    current().server.abort()


def register(name: str) -> None:
    """Give the current service a name."""
    s = current()
    s.server.set_name(s.handle, name, s.handle)


def name(name: str, handle: int) -> None:
    """Give a service a name: ".name" in this node, otherwise a global one. A taken name stays."""
    s = current()
    s.server.set_name(s.handle, name, handle)


def forward_type(map: Mapping[int, int], start_func: Callable[..., Any] | None = None) -> None:
    """`skynet.start(start_func)` for a service that hands messages on unopened; in a start function without it.

    A message whose type is a key of `map` is dispatched as one of the other type, and its
    payload comes as `skynet.pack(...)` would return it, ready for `rawcall`, `redirect` or
    `ret`. Give the other type a protocol with `register_protocol(name=..., id=..., dispatch=...)`.
    """
    s = current()

    def forward(message: Message) -> None:
        ptype, session, source, payload = message
        if ptype in map and ptype != PTYPE_RESPONSE:  # who waits for a response unpacks it himself
            message = (map[ptype], session, source, payload if isinstance(payload, str) else Packed(payload))
        s.dispatch_message(message)

    _begin(s, forward, start_func)


def filter(f: Filter, start_func: Callable[..., Any] | None = None) -> None:
    """`skynet.start(start_func)` with `f(ptype, session, source, message)` in front; in a start function without it.

    It returns the same four, changed or not, which are then dispatched; None drops the message.
    """
    s = current()
    runnable(f)

    def filtered(message: Message) -> None:
        passed = None
        try:
            passed = f(*message)
        finally:
            if passed is None:  # dropped, or f has raised: a recording hears that it has left the mailbox
                s.server.handled(s.ctx, ignore, message)
        if passed is not None:
            s.dispatch_message(passed)

    _begin(s, filtered, start_func)


def _begin(s: Scheduler, callback: Callable[[Message], None], start_func: Callable[..., Any] | None) -> None:
    if start_func is None:
        s.server.set_callback(s.ctx, callback)
    else:
        start_with(s, start_func, callback)


def monitor(service: str | Callable[..., Any], query: bool = False) -> int:
    """Have a service told of every exit: a PTYPE_CLIENT message whose source is the handle that has gone.

    The service is unique, and started unless it runs (with `query`: waited for). Returns its handle.
    One for a node: a later one takes its place (cmd_monitor in skynet_server.c).
    """
    s = current()
    found = queryservice(True, service) if query else uniqueservice(True, service)
    s.server.monitor_exit = found
    return found
