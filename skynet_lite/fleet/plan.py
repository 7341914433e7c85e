"""What is to be started: the nodes of a file, each with its configuration, its address and a port for its console.

All of it is checked before the first process is there.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..node.config import Config, load, nodes_of
from ..node.several import split


@dataclass(frozen=True)
class Member:
    """A node that is to be. `address`: "" if the table of the cluster has none; `console`: a port, 0 for none."""

    name: str
    config: Config
    address: str
    console: int


class Ports:
    """Ports that were free, and stay so: bound, and nobody listens until the node itself does.

    (Linux lets it: both have SO_REUSEADDR. Elsewhere they are given back before the node comes, and may be lost.)
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def free(self, host: str) -> int:
        """A port at `host`. Raises OSError."""
        host = host.strip("[]")
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._held.append(s)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, 0))
        return int(s.getsockname()[1])

    def close(self) -> None:
        while self._held:
            self._held.pop().close()


@dataclass
class Plan:
    """`table`: the addresses of all nodes, where free ports were wanted; else the nodes read them from the file."""

    file: Path
    members: list[Member]
    table: dict[str, Any] | None


def plan(file: Path, ports: Ports, consoles: bool) -> Plan:
    """Read a file. Raises ConfigError, and OSError where no port can be had."""
    configs = {name: load(file, {"node": name}) for name in nodes_of(file)}
    if not configs:
        raise ConfigError(f"{file} describes no nodes: it needs a table [node.NAME] for each, with its key start")
    for name, config in configs.items():
        if config.start is None:
            raise ConfigError(f'{file}: [node.{name}] names no service to start: add start = "name"')
        if config.daemon is not None:
            raise ConfigError(f"{file}: node {name} has the key daemon: in the background nobody could watch it")
    table = next(iter(configs.values())).cluster
    addresses = dict(table) if isinstance(table, dict) else {}
    for name, address in addresses.items():
        if isinstance(address, str) and name in configs:
            host, port = split(address, name, str(file))
            addresses[name] = address if port else f"{host}:{ports.free(host)}"
    members, taken = [], dict[str, str]()
    for name, config in configs.items():
        console = (config.console or ports.free("127.0.0.1")) if consoles or config.console else 0
        member = Member(name, config, str(addresses.get(name) or ""), console)
        for place, what in ((member.address, "address"), (f"127.0.0.1:{console}" if console else "", "console")):
            if place and taken.setdefault(place, f"the {what} of {name}") != f"the {what} of {name}":
                raise ConfigError(f"{file}: {place} is {taken[place]}, and the {what} of {name}: port 0 is a free one")
        members.append(member)
    return Plan(file, members, addresses if addresses != table and isinstance(table, dict) else None)
