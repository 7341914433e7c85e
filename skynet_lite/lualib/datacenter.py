"""A tree of values that all services of a node share, by path: `datacenter.set("user", 7, "name", "ann")`.

What is read is a copy. The tree lives in a service, so reads and writes come in one order.

After lualib/skynet/datacenter.lua and service/datacenterd.lua.
"""

from __future__ import annotations

from typing import Any

from .. import skynet

__all__ = ["get", "set", "wait"]
__dir__ = __all__.copy


def get(*path: Any) -> Any:
    """The value at a path, or the branch below it as a dict; None if there is nothing."""
    return skynet.call("DATACENTER", "lua", "QUERY", *path)


def set(*path_and_value: Any) -> Any:
    """Set the last argument at the path before it; None takes it away. Returns what was there."""
    if len(path_and_value) < 2:
        raise skynet.SkynetError("datacenter.set needs a path and a value: set(key, ..., value)")
    return skynet.call("DATACENTER", "lua", "UPDATE", *path_and_value)


def wait(*path: Any) -> Any:
    """Like `get`, but waits until there is something.

    Raises CallError for a branch: if one stands where a value was waited for, or the other way round.
    """
    return skynet.call("DATACENTER", "lua", "WAIT", *path)
