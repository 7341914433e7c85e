"""Knows where the other nodes are, and who stands for each: a clustersender for one that is called from here, a
clusteragent for each connection of one that calls. After service/clusterd.lua.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from skynet_lite import SkynetError, skynet
from skynet_lite.core.errors import shown
from skynet_lite.lualib.library import by_name
from skynet_lite.skynet.scheduler import current

LIMITS = {"maxbuffer": 256, "maxflight": 1 << 15}  # MiB, requests; for one connection

Where = str | bool | None


class Attempt:
    """To reach a node: who waits for its outcome."""

    def __init__(self) -> None:
        self.waiting: list[object] = []
        self.unknown = False  # it waits for the node to be named
        self.failure = ""


address: dict[str, Where] = {}  # of the nodes; False: turned off
options: dict[str, Any] = dict(LIMITS)
sender: dict[str, int] = {}
ready: set[str] = set()  # nodes whose sender, if they have one, is where the address of today says
connecting: dict[str, Attempt] = {}
proxies: dict[tuple[str, Any], int] = {}
agents: dict[int, int | None] = {}  # by socket; None while it starts
registered: dict[str, int] = {}


# ---- the nodes that are called


def channel(node: str) -> int | None:
    """Who stands for a node, connected; None for one that was always turned off. Raises SkynetError."""
    if node in ready:
        return sender.get(node)
    attempt = connecting.get(node)
    if attempt is None:
        return connect(node)
    token = object()
    attempt.waiting.append(token)
    skynet.wait(token)
    if attempt.failure:
        raise SkynetError(attempt.failure)
    return sender.get(node)


def connect(node: str) -> int | None:
    attempt = connecting[node] = Attempt()
    try:
        while True:
            if node not in address and not options.get("nowaiting"):
                skynet.error(f"Waiting for cluster node [{node}]")
                attempt.unknown = True
                skynet.wait(attempt)
                attempt.unknown = False
            where = address.get(node)
            refused = reach(node, where)
            if address.get(node) == where:  # else it has moved meanwhile
                if refused:
                    raise SkynetError(refused)
                ready.add(node)
                return sender.get(node)
    except SkynetError as e:
        attempt.failure = str(e)
        raise
    finally:
        del connecting[node]
        for token in attempt.waiting:
            skynet.wakeup(token)


def reach(node: str, where: Where) -> str | None:
    """Have the sender of a node go where it is; why it cannot."""
    if where is None:
        return f"cluster node [{node}] is absent"
    if node not in sender:
        if where is False:
            return None
        sender[node] = skynet.newservice("clustersender", node, options.get("nodename"), options["maxbuffer"])
    refused = skynet.call(sender[node], "lua", "changenode", where)
    return f"changenode [{node}] ({where}) failed: {refused}" if refused else None


def read(path: str) -> dict[str, Any]:
    """Names and addresses from a file: TOML, or the subset of Lua that is TOML but for its comments."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        text = re.sub(r"""(?m)^((?:[^"'#\n-]|-(?!-)|"[^"\n]*"|'[^'\n]*')*)--.*""", r"\1", text)
        return tomllib.loads(text)
    except (OSError, ValueError) as e:
        raise SkynetError(f"cannot read the nodes of the cluster from {path}: {e}") from None


def load(config: dict[str, Any] | str | None) -> None:
    """Take names and options over, all of them or none. Raises SkynetError."""
    if config is None:
        own = current().server.node.config
        config = os.path.join(own.folder, own.cluster) if isinstance(own.cluster, str) else own.cluster or {}
    names = read(config) if isinstance(config, str) else config
    for name, where in names.items():
        if not isinstance(name, str):
            raise SkynetError(f"a node of the cluster has a name, a str, not {shown(name)}")
        if name[2:] in LIMITS and name.startswith("__") and not (type(where) is int and where > 0):
            raise SkynetError(f"{name} is {shown(where)}: a number above 0 is needed")
        if not name.startswith("__") and not (where is False or (isinstance(where, str) and ":" in where)):
            raise SkynetError(f'cluster node {name} is at {shown(where)}: "host:port" is needed, or false')
    moved = []
    for name, where in names.items():
        if name.startswith("__"):
            options[name[2:]] = where
            skynet.error(f"Config {name[2:]} = {str(where).lower() if isinstance(where, bool) else where}")
            continue
        if address.get(name) != where:
            ready.discard(name)
            moved.append(name)
        address[name] = where
    for name, attempt in connecting.items():
        if attempt.unknown and (name in address or options.get("nowaiting")):
            if name in address:
                skynet.error(f"Cluster node [{name}] resolved : {address[name]}")
            skynet.wakeup(attempt)
    for name in moved:
        if name in sender:
            skynet.fork(again, name)


def again(node: str) -> None:
    try:
        channel(node)
    except SkynetError as e:
        skynet.error(str(e))


# ---- what cluster.py asks for


def answering(f: Any) -> Any:
    """A command that answers what it returns; what it refuses is logged, and told to who has asked."""

    def command(*args: Any) -> None:
        try:
            skynet.retpack(f(*args))
        except SkynetError as e:
            skynet.error(str(e))
            skynet.response()(False, getattr(e, "reason", "") or str(e))

    command.__name__ = f.__name__.removesuffix("_")
    return command


def sender_(source: int, node: str) -> int | None:
    return channel(node)


def reload(source: int, config: dict[str, Any] | str | None) -> None:
    load(config)


def listen(source: int, host: str, port: int | None, maxclient: int | None) -> Any:
    where: Any = host if port is not None else address.get(host)
    if not where:
        raise SkynetError(f"{host} is down: cluster.reload names no address of it, and so nothing to listen on")
    gate = skynet.newservice("gate")
    slow = options["maxbuffer"] * 1024
    conf = {"address": where, "port": port, "maxclient": maxclient, "maxwbuffer": slow, "nodelay": True}
    try:
        real = skynet.call(gate, "lua", "open", conf)
    except SkynetError:
        skynet.kill(gate)
        raise
    return host if port is None else real


def proxy(source: int, node: str, name: Any) -> int:
    if name is None:
        found = re.match(r"([^@.]+)([@.].+)", node)
        if found is None:
            raise SkynetError(f"Invalid name {node}: cluster.proxy takes node@name, node.name, or both apart")
        node, name = found.groups()
    key = node, name
    if key not in proxies:
        handle = skynet.newservice("clusterproxy", node, name)
        if proxies.setdefault(key, handle) != handle:  # somebody else was faster
            skynet.kill(handle)
    return proxies[key]


def register(source: int, name: str, addr: int | None) -> None:
    addr = source if addr is None else addr
    if name in registered:
        raise SkynetError(f"the name {name} is taken by {skynet.address(registered[name])}: unregister it first")
    for old in [old for old, handle in registered.items() if handle == addr]:
        forget(old)
    registered[name] = addr
    skynet.error(f"Register [{name}] {skynet.address(addr)}")


def unregister(source: int, name: str) -> None:
    if name in registered:
        skynet.error(f"Unregister [{name}] {skynet.address(registered[name])}")
        forget(name)


def forget(name: str) -> None:
    del registered[name]
    for agent in agents.values():
        if agent is not None:
            skynet.send(agent, "lua", "namechange")


def queryname(source: int, name: str) -> int | None:
    return registered.get(name)


# ---- the nodes that call


def socket(gate: int, what: str, fd: int, text: Any = "") -> None:
    """What the gate tells of a connection."""
    if what == "open":
        skynet.error(f"socket accept from {text}")
        accept(gate, fd)
    elif what == "close":  # after an error, too
        agent = agents.pop(fd, None)
        if agent is not None:
            skynet.send(agent, "lua", "exit")
        skynet.send(gate, "lua", "kick", fd)  # which forgets it
    elif what != "error":
        skynet.error(f"socket {what} {fd} {text}")


def accept(gate: int, fd: int) -> None:
    agents[fd] = None
    try:
        agent = skynet.newservice("clusteragent", skynet.self(), gate, fd, *map(options.get, LIMITS))
    except SkynetError as e:
        agents.pop(fd, None)
        skynet.error(f"no clusteragent for connection {fd}: {e}")
        skynet.send(gate, "lua", "kick", fd)
        return
    if fd in agents:
        agents[fd] = agent
    else:  # it has closed meanwhile
        skynet.send(agent, "lua", "exit")


@skynet.start
def main() -> None:
    load(None)
    asked = (sender_, reload, listen, proxy, register, unregister, queryname)
    skynet.dispatch("lua", by_name(socket, *map(answering, asked), told=True))
