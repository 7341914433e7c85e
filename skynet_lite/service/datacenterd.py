"""The datacenter: a tree of values that all services share. After service/datacenterd.lua."""

from collections.abc import Iterator
from typing import Any

from skynet_lite import SkynetError, skynet
from skynet_lite.core.errors import shown
from skynet_lite.lualib.library import Waiting, by_name

database: dict[Any, Any] = {}
wait_queue = Waiting()  # by path


def find(path: tuple[Any, ...]) -> Any:
    node: Any = database if path else None
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return None
        node = node[key]
    return node


def QUERY(*path: Any) -> None:
    skynet.retpack(find(path))


def UPDATE(*words: Any) -> None:
    *path, key, value = words
    node = database
    for k in path:
        below = node.setdefault(k, {})
        if not isinstance(below, dict):
            raise SkynetError(f"datacenter: {shown(k)} holds a value, not a branch")
        node = below
    before = node.get(key)
    if value is None:
        node.pop(key, None)
    else:
        node[key] = value
    skynet.retpack(before)
    if before is None and value is not None and wait_queue:
        for found, there in leaves((*path, key), value):
            wait_queue.answer(found, True, there)
        # Who waits above for a value now meets a branch, and can never be answered.
        for n in range(1, len(words) - 1):
            wait_queue.answer(words[:n], False, f"{words[:n]} is a branch now, and was waited for as a value")


def leaves(path: tuple[Any, ...], value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """A value, and if it is a branch what is below."""
    yield path, value
    for key, below in value.items() if isinstance(value, dict) else ():
        yield from leaves((*path, key), below)


def WAIT(*path: Any) -> None:
    value = find(path)
    if value is not None:
        skynet.retpack(value)
        return
    for other in wait_queue:
        n = min(len(other), len(path))
        if other[:n] == path[:n] and len(other) != len(path):
            raise SkynetError(f"datacenter: {other} is waited for, so {path} cannot be: one of them is a branch")
    wait_queue.wait(path)


@skynet.start
def main() -> None:
    skynet.dispatch("lua", by_name(QUERY, UPDATE, WAIT))
