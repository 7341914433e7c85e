"""Names that hold in all nodes of a network. A single node is a network of one.

After lualib/skynet/harbor.lua; what answers is service/cdummy.py.
"""

from __future__ import annotations

from .. import skynet

__all__ = ["connect", "globalname", "link", "linkmaster", "queryname"]
__dir__ = __all__.copy


def globalname(name: str, handle: int | None = None) -> None:
    """Give the current service, or `handle`, a global name of up to 15 characters. A taken one stays."""
    skynet.name(name, skynet.self() if handle is None else handle)


def queryname(name: str) -> int | None:
    """The handle behind a global name; waits until there is one. A ".name" is looked up in this node."""
    handle: int | None = skynet.call(".cslave", "lua", "QUERYNAME", name)
    return handle


def link(id: int) -> None:
    """Wait until the connection to node `id` is lost; with no other node, it is."""
    skynet.call(".cslave", "lua", "LINK", id)


def connect(id: int) -> None:
    """Wait until node `id` is there; a single node says in the log that it cannot come, and goes on."""
    skynet.call(".cslave", "lua", "CONNECT", id)


def linkmaster() -> None:
    """Wait until the connection to the master is lost. Raises CallError: a single node has none."""
    skynet.call(".cslave", "lua", "LINKMASTER")
