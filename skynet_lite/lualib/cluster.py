"""Services of other nodes, called by the name of the node; they may be real skynet's.

    cluster.reload({"db": "127.0.0.1:2528"})      who is where
    cluster.open("db")                            on the node db itself: listen
    cluster.register("sdb")                       the current service is @sdb to the others
    cluster.call("db", "@sdb", "get", "a")        elsewhere; or by handle, or by ".name"

One idea: a call to another node is a call to the service that stands for it here, a clustersender. One for each node,
found through clusterd at the first use; what is sent before it is there waits in a queue, and goes out in order.
What crosses the border is written as seri.py says: a tuple arrives as a list, bytes as str.

After lualib/skynet/cluster.lua.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import skynet
from ..core.errors import AddressError, CallError, SkynetError, expect, shown
from ..core.message import Packed
from . import seri, snax as _snax
from .library import Keeper, kept, named

__all__ = [
    "call", "get_sender", "open", "proxy", "query", "register", "reload", "send", "snax", "unregister",
]  # fmt: skip
__dir__ = __all__.copy

_ask = Keeper("clusterd")
_NODE = "a node of the cluster has a name, a str"


class _Queue:
    """Where the sender of a node is waited for."""

    def __init__(self) -> None:
        self.tasks: list[Any] = []  # pushes, packed, and tokens of those who call
        self.sender: int | None = None
        self.failure: SkynetError | None = None


class _Links:
    """What one service knows of the other nodes."""

    def __init__(self) -> None:
        self.senders: dict[str, int] = {}
        self.queues: dict[str, _Queue] = {}

    def queue(self, node: str) -> _Queue:
        """The one where a node's sender is waited for; whoever comes first has it looked for."""
        if node not in self.queues:
            self.queues[node] = _Queue()
            skynet.fork(self.find, node, self.queues[node])
        return self.queues[node]

    def find(self, node: str, queue: _Queue) -> None:
        """Find the sender, and let those who wait have it: each sends before the next is woken. DOC: cluster-queue"""
        try:
            queue.sender = _ask("sender", node)
        except SkynetError as e:
            queue.failure = e
            skynet.error(f"cluster: {_reason(e)}")
        for task in queue.tasks:  # which grows meanwhile
            if type(task) is not Packed:
                if skynet.wakeup(task):
                    skynet.wait(queue)
            elif queue.sender is not None:
                skynet.rawsend(queue.sender, "lua", task)
        del self.queues[node]
        if queue.sender is not None:
            self.senders[node] = queue.sender


_links = partial(kept, "cluster", _Links)


def get_sender(node: str) -> int:
    """The handle of the service that stands for a node: it takes ("lua", "req" or "push", address, seri.pack(...)).

    Raises CallError if the node cannot be reached, is turned off, or unknown where nobody waits (`__nowaiting`).
    """
    links = _links()
    sender = links.senders.get(expect(_NODE, node, str))
    if sender is None:
        queue, token = links.queue(node), object()
        queue.tasks.append(token)
        try:
            skynet.wait(token)
        finally:
            skynet.wakeup(queue)
        sender = queue.sender
        if sender is None:  # in skynet the same words, and nothing else
            why = _reason(queue.failure) if queue.failure is not None else "it is turned off"
            raise CallError(f"node {node}: {why}: dest address type (nil) must be a string or number.")
    return sender


def call(node: str, address: int | str, *args: Any) -> Any:
    """Call a service of another node; returns as `skynet.call` does.

    `address`: a handle of that node, "@name" (cluster.register), ".name" (skynet.register) or a global name. Raises
    CallError, which names node, address and reason, and ends in "call failed"; seri.SeriError for values that cannot
    be written. A call without an answer waits for ever, as within a node; if the connection is lost it fails.
    """
    return _request(node, address, seri.pack(*args))


def _request(node: str, address: int | str, payload: bytes, asked: str = "") -> Any:
    sender = get_sender(node)
    try:
        values = seri.unpack(skynet.call(sender, "lua", "req", address, payload))
    except CallError as e:
        why, session = _reason(e), e.session
    except AddressError as e:  # the service that stands for the node was killed
        why, session = f"node {node}: {e}", 0
    except seri.SeriError as e:
        why, session = f"node {node}, address {shown(address)}: its answer cannot be opened: {e}", 0
    else:
        return values[0] if len(values) == 1 else values or None
    error = CallError(f"{why}{asked}: call failed")
    error.service, error.session, error.type, error.reason = sender, session, "lua", why
    raise error


def _reason(e: SkynetError) -> str:
    return (getattr(e, "reason", "") or str(e)).removeprefix("refused: ")


def send(node: str, address: int | str, *args: Any) -> None:
    """Send to a service of another node, and forget: what is lost on the way, is. Does not wait."""
    links, push = _links(), skynet.pack("push", address, seri.pack(*args))
    sender = links.senders.get(expect(_NODE, node, str))
    if sender is None:
        links.queue(node).tasks.append(push)
    else:
        skynet.rawsend(sender, "lua", push)


def query(node: str, name: str) -> int:
    """The handle of what another node has registered as `name` (without @). Raises CallError: "name not found"."""
    handle: int = _request(node, 0, seri.pack(named(name, "cluster.query")), f" ({name})")
    return handle


def open(port: int | str, maxclient: int | None = None, host: str = "127.0.0.1") -> Any:
    """Let other nodes in: listen on a port (0: a free one), or on the configured address of the node with this name.

    Returns (address, port), or the name. Whoever reaches the port can call every service of this node: with a port
    alone only this machine can (skynet listens on 0.0.0.0). At most maxclient - 1 connections (1024). Raises
    CallError.
    """
    expect("cluster.open takes a port, or the name of a node", port, int, str)
    if maxclient is not None and expect("maxclient of cluster.open is a number", maxclient, int) < 1:
        raise SkynetError(f"maxclient of cluster.open is {maxclient}: one less get in")
    if isinstance(port, str):
        return _ask("listen", port, None, maxclient)
    return _ask("listen", expect("cluster.open listens on a host, a str", host, str), port, maxclient)


def reload(config: Mapping[str, str | bool] | str | os.PathLike[str] | None = None) -> None:
    """Say where nodes are: {"name": "host:port"}, a file that does, or nothing: what the key `cluster` names, again.

    False instead of an address turns a node off. Those that are not mentioned stay. A new address closes the old
    connection. Options begin with two underscores: `__nowaiting` (True: calls to an unknown node fail at once, else
    they wait until it is named here); for each connection `__maxbuffer` (MiB of unfinished requests, and of answers
    that are not taken, above which it ends; 256) and `__maxflight` (requests under way: more are refused; 32768);
    `__nodename` (what this node calls itself in trace tags; else the host and the process id, "node" under a virtual
    clock). Raises CallError.
    """
    if isinstance(config, os.PathLike):
        config = os.fspath(config)
    if config is not None and not isinstance(config, str):
        config = dict(expect("cluster.reload takes a dict of names and addresses, or a path", config, Mapping))
    _ask("reload", config)


def register(name: str, addr: int | None = None) -> None:
    """Let others call the current service, or `addr`, as "@name". One name each: the last. Raises CallError."""
    named(name, "cluster.register")
    _ask("register", name, addr if addr is None else expect("cluster.register takes a handle", addr, int))


def unregister(name: str) -> None:
    """Take the name back; nothing happens if there is none."""
    _ask("unregister", named(name, "cluster.unregister"))


def proxy(node: str, name: int | str | None = None) -> int:
    """A service of this node that stands for one of another: what is sent to it is sent there.

    `proxy("db", "@sdb")`, or `proxy("db@sdb")`, `proxy("db.sdb")`. The same one for the same names. Raises CallError.
    """
    if name is not None:
        expect("cluster.proxy takes a handle or a name", name, int, str)
    handle: int = _ask("proxy", named(node, "cluster.proxy"), name)
    return handle


def snax(node: str, name: str, address: int | str | None = None) -> _snax.Object:
    """The object of a snax service of another node, which must have called `snax.enablecluster`.

    Without `address`: its unique service of this name. Its file must be here, too. Raises CallError, SkynetError.
    """
    if address is None:
        address = call(node, ".service", "QUERY", "snaxd", named(name, "cluster.snax"))
    return _snax.bind(proxy(node, address), name)
