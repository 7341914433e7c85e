"""skynet_lite: an actor runtime that can be watched.

Names load when they are first used, so that `skynet_lite.trace` and
`skynet_lite.view` work where there is no greenlet and no epoll.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        coroutine as coroutine,
        datacenter as datacenter,
        debug as debug,
        gateserver as gateserver,
        harbor as harbor,
        inject as inject,
        manager as manager,
        multicast as multicast,
        netpack as netpack,
        profile as profile,
        service as service,
        sharedata as sharedata,
        sharetable as sharetable,
        skynet as skynet,
        snax as snax,
        socket as socket,
        socketchannel as socketchannel,
    )
    from .client import Client as Client
    from .core.errors import (
        AddressError as AddressError,
        CallError as CallError,
        ConfigError as ConfigError,
        DriveTimeout as DriveTimeout,
        FrozenError as FrozenError,
        MethodError as MethodError,
        PackError as PackError,
        SkynetError as SkynetError,
        SocketError as SocketError,
    )
    from .core.outside import Outside as Outside
    from .node import Node as Node, mark as mark
    from .trace import Trace as Trace
    from .trace.language import language as language

__version__ = "0.1.0"

_MODULES = (
    "core",
    "coroutine",
    "datacenter",
    "debug",
    "gateserver",
    "harbor",
    "inject",
    "manager",
    "mqueue",
    "multicast",
    "netpack",
    "profile",
    "service",
    "sharedata",
    "sharetable",
    "skynet",
    "snax",
    "socket",
    "socketchannel",
    "trace",
    "view",
)
_HOME = {name: name for name in _MODULES} | {
    "Node": "node", "mark": "node", "Client": "client", "Trace": "trace", "Outside": "core.outside",
    "SkynetError": "core.errors", "AddressError": "core.errors", "CallError": "core.errors",
    "SocketError": "core.errors", "ConfigError": "core.errors", "PackError": "core.errors",
    "DriveTimeout": "core.errors", "FrozenError": "core.errors", "MethodError": "core.errors",
    "language": "trace.language",
}  # fmt: skip

__all__ = ["__version__", *_HOME]  # computed from the table above


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{home}", __name__)
    value = module if home == name else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
