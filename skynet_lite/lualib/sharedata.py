"""Read-only tables by name, shared by all services of a node without copies, kept up to date.

`query` gives a view. After an `update` all views show the new values, once the
service has got the news: views may change wherever a coroutine waits, and only there.

After lualib/skynet/sharedata.lua and service/sharedatad.lua.
"""

from __future__ import annotations

from functools import partial, reduce
from operator import getitem
from typing import Any

from .. import skynet
from ..core.errors import SkynetError
from ..skynet.scheduler import current
from .frozen import Root, copy, view
from .library import Keeper, kept, named

_ask = Keeper("sharedatad")
_cache = partial(kept, "sharedata", dict[str, Root])  # tables that this service has queried

__all__ = ["deepcopy", "delete", "flush", "new", "query", "update"]
__dir__ = __all__.copy


def new(name: str, value: Any = None, *args: Any) -> None:
    """Make a table known: a dict, list or tuple; a text or "@FILE" (see frozen.load); nothing: {}.

    Raises CallError if there is one of this name already (see the log).
    """
    _ask("new", name, value, *args)


def query(name: str) -> Any:
    """A view of the table: read it like a dict or a list. Raises CallError if there is none."""
    cache = _cache()
    if named(name, "query") not in cache:
        version = _ask("query", name)
        if name not in cache:  # another coroutine may have come first
            root = cache[name] = Root(version)
            skynet.fork(_monitor, name, root)
    return view(cache[name])


def update(name: str, value: Any = None, *args: Any) -> None:
    """Give the table new values; who has queried it will see them. Makes it if there is none."""
    _ask("update", name, value, *args)


def delete(name: str) -> None:
    """Forget the table. Views of it stay as they are. Raises CallError if there is none."""
    _ask("delete", name)


def flush() -> None:
    """Nothing: old versions go when no view needs them any more. Here for programs that call it."""
    current()


def deepcopy(name: str, *path: Any) -> Any:
    """Plain values of one's own: of the whole table, or of what stands at `path`. Raises SkynetError."""
    root = _cache().get(named(name, "deepcopy"))
    try:
        return reduce(getitem, path, copy(root.version if root is not None else _ask("query", name)))
    except (KeyError, IndexError, TypeError):
        raise SkynetError(f"{name} has nothing at {'.'.join(map(str, path))}") from None


def _monitor(name: str, root: Root) -> None:
    """Wait for the next version, again and again, until the table is deleted."""
    while True:
        version = _ask("monitor", name, root.version.number)
        if version is None:
            break
        root.version = version
    if _cache().get(name) is root:
        del _cache()[name]
