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
        harbor as harbor,
        multicast as multicast,
        profile as profile,
        service as service,
        sharedata as sharedata,
        sharetable as sharetable,
        skynet as skynet,
        snax as snax,
        socket as socket,
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

_HOME = {
    "skynet": "skynet", "socket": "socket", "service": "service", "snax": "snax", "datacenter": "datacenter",
    "multicast": "multicast", "sharedata": "sharedata", "sharetable": "sharetable", "harbor": "harbor",
    "mqueue": "mqueue", "coroutine": "coroutine", "profile": "profile", "debug": "debug", "core": "core",
    "trace": "trace", "view": "view",
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
