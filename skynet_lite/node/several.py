"""Several nodes in one file: [cluster] says where each listens, a table [node.NAME] what it is.

One idea: what stands at the top is for all of them, and what a table says of its node stands over it. So one file
goes to every machine, and each node is told which one it is (`skynet-lite run FILE --node NAME`).

    endless = 5

    [cluster]
    front = "127.0.0.1:2528"
    room = "127.0.0.1:2530"      # of room1; those after it have the ports after it

    [node.front]
    start = "front"

    [node.room]
    start = "room"
    count = 2                    # room1 and room2
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from ..core.errors import ConfigError

NAME = re.compile(r"[A-Za-z_][\w-]*")
MOST = 1000  # nodes of one table


def names(values: dict[str, Any], file: str) -> dict[str, str]:
    """The nodes of a file, in its order, each with the name of its table. Raises ConfigError."""
    tables = values.get("node", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError(f"{file}: a node is a table, say [node.front], and in it its keys")
    found: dict[str, str] = {}
    for table, keys in tables.items():
        count = keys.get("count")
        if not NAME.fullmatch(table):
            raise ConfigError(f"{file}: {table!r} is no name for a node: letters, digits, _ and -, a letter first")
        if count is not None and not (type(count) is int and 1 <= count <= MOST):
            raise ConfigError(f"{file}: count of [node.{table}] is {count!r}: a number of nodes is needed, 1 to {MOST}")
        for name in _counted(table, count):
            if name in found:
                raise ConfigError(f"{file}: [node.{found[name]}] and [node.{table}] both make a node {name}")
            found[name] = table
    return found


def keys_of(name: object, values: dict[str, Any], file: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What all nodes of the file share, and what is this one's own. Raises ConfigError."""
    known = names(values, file)
    if name is None and not known:
        return values, {}
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}" if known else "nor any other"
        if name is None:
            hint = f"say which one (--node), or start all with skynet-lite cluster up: {', '.join(known)}"
            raise ConfigError(f"{file} describes several nodes; {hint}")
        raise ConfigError(f"{file} has no table [node.{name}]; {hint}")
    own = values["node"][known[name]] | {"node": name}
    own.pop("count", None)
    shared = {key: value for key, value in values.items() if key != "node"}
    if isinstance(cluster := shared.get("cluster"), dict):
        shared["cluster"] = _addresses(cluster, values["node"], file)
    return shared, own


def _counted(table: str, count: int | None) -> list[str]:
    return [table] if count is None else [f"{table}{n}" for n in range(1, count + 1)]


def _addresses(cluster: dict[str, Any], tables: dict[str, Any], file: str) -> dict[str, Any]:
    """The table of the cluster with a line for each node of a `count`."""
    found: dict[str, Any] = {}
    for name, address in cluster.items():
        count = tables.get(name, {}).get("count")
        if count is None or not isinstance(address, str):
            found |= dict.fromkeys(_counted(name, count), address)
            continue
        host, port = split(address, name, file)
        if port and port + count > 1 << 16:
            raise ConfigError(f"{file}: {name} has {count} nodes, and the ports from {port} on do not reach for them")
        found |= {each: f"{host}:{port + n if port else 0}" for n, each in enumerate(_counted(name, count))}
    return found


def split(address: str, name: str, file: str) -> tuple[str, int]:
    """Host and port. Raises ConfigError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) >= 1 << 16:
        raise ConfigError(f'{file}: the address of node {name} is {address!r}: "HOST:PORT" is needed')
    return host, int(port)
