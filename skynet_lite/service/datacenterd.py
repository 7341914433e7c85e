"""The datacenter: a tree of values that all services share. After service/datacenterd.lua."""

from typing import Any

from skynet_lite import SkynetError, skynet
from skynet_lite.lualib.library import by_name

database: dict[Any, Any] = {}
wait_queue: dict[tuple[Any, ...], list[Any]] = {}  # path → response functions of those who wait


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
            raise SkynetError(f"datacenter: {k!r} holds a value, not a branch")
        node = below
    before = node.get(key)
    if value is None:
        node.pop(key, None)
    else:
        node[key] = value
    skynet.retpack(before)
    if before is not None or value is None:
        return
    whole = (*path, key)
    for waited in [p for p in wait_queue if p[: len(whole)] == whole]:  # also below, if the value is a branch
        found = find(waited)
        for answer in wait_queue.pop(waited) if found is not None else ():
            answer(True, found)
    # Who waits above for a value now meets a branch, and can never be answered.
    for n in range(1, len(whole)):
        for answer in wait_queue.pop(whole[:n], []):
            answer(False, f"{whole[:n]} is a branch now, and was waited for as a value")


def WAIT(*path: Any) -> None:
    value = find(path)
    if value is not None:
        skynet.retpack(value)
        return
    for other in wait_queue:
        n = min(len(other), len(path))
        if other[:n] == path[:n] and len(other) != len(path):
            raise SkynetError(f"datacenter: {other} is waited for, so {path} cannot be: one of them is a branch")
    wait_queue.setdefault(path, []).append(skynet.response())


@skynet.start
def main() -> None:
    skynet.dispatch("lua", by_name(QUERY, UPDATE, WAIT))
