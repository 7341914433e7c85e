"""Services by a name of one's own: the first who asks brings the code, everybody gets the same service.

The files of this folder are the services that come with a node; each is run once for
each instance. `service_provider` keeps the names, a `service_cell` runs the function.

After lualib/skynet/service.lua.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import skynet
from ..core.errors import expect
from ..skynet.scheduler import current
from .library import Keeper, kept

__all__ = ["close", "new", "query"]
__dir__ = __all__.copy

_ask = Keeper("service_provider")
_cache = partial(kept, "service", dict[str, int])  # names that this service has asked for


def new(name: str, main: Callable[..., Any], *args: Any) -> int:
    """Start `main(*args)` as the service `name`, unless there is one; its handle, when its start is over.

    `main` may call skynet.dispatch itself, or skynet.start(f). Raises SkynetError for a
    closure (services share no variables), CallError if it fails, now or at the first try.
    """
    closed = getattr(getattr(main, "__code__", None), "co_freevars", ())
    if closed:
        raise skynet.SkynetError(
            f"service.new: {name} would share {', '.join(closed)} with its maker; pass values as arguments"
        )
    answer = _ask("test", name)
    if isinstance(answer, tuple):  # None, True: it is booting
        answer = _ask("query", name)
    elif answer is None:
        answer = _ask("launch", name, current().server.node.service_name(main), *args)
    return _cache().setdefault(name, answer)


def query(name: str) -> int:
    """The handle of the service `name`; waits until somebody makes it. Raises CallError if its start failed."""
    cache = _cache()
    if expect("service.query takes the name that service.new was given, a str", name, str) not in cache:
        cache[name] = _ask("query", name)
    return cache[name]


def close(name: str) -> bool:
    """End the service `name`; False if there is none. The name is free again, also after a failed start."""
    addr = _ask("close", name)
    _cache().pop(name, None)
    if addr is None:
        return False
    skynet.kill(addr)
    return True
