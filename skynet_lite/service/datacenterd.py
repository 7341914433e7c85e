"""The datacenter: a tree of values that all services share. After service/datacenterd.lua."""

from typing import Any

from skynet_lite import SkynetError, skynet

database: dict[Any, Any] = {}
wait_queue: dict[tuple[Any, ...], list[Any]] = {}  # path → response functions of those who wait


def find(path: tuple[Any, ...]) -> Any:
    node: Any = database
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
    for answer in wait_queue.pop((*path, key), []):
        answer(True, value)


def WAIT(*path: Any) -> None:
    value = find(path)
    if value is not None:
        skynet.retpack(value)
    else:
        wait_queue.setdefault(path, []).append(skynet.response())


commands = {f.__name__: f for f in (QUERY, UPDATE, WAIT)}


@skynet.start
def main() -> None:
    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, cmd: str, *args: Any) -> None:
        commands[cmd](*args)
