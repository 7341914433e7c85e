"""skynet_lite: an actor runtime that can be watched.

Names load when they are first used, so that `skynet_lite.trace` and
`skynet_lite.view` work where there is no greenlet and no epoll.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import core as core, skynet as skynet, trace as trace, view as view
    from .core.errors import (
        AddressError as AddressError,
        CallError as CallError,
        ConfigError as ConfigError,
        DriveTimeout as DriveTimeout,
        FrozenError as FrozenError,
        MethodError as MethodError,
        PackError as PackError,
        SeriError as SeriError,
        SkynetError as SkynetError,
        SocketError as SocketError,
    )
    from .core.outside import Outside as Outside
    from .lualib import (
        cluster as cluster,
        clustercore as clustercore,
        codecache as codecache,
        coroutine as coroutine,
        datacenter as datacenter,
        debug as debug,
        frozen as frozen,
        gateserver as gateserver,
        harbor as harbor,
        inject as inject,
        memory as memory,
        mqueue as mqueue,
        multicast as multicast,
        netpack as netpack,
        profile as profile,
        remotedebug as remotedebug,
        seri as seri,
        service as service,
        sharedata as sharedata,
        sharetable as sharetable,
        snax as snax,
        socketchannel as socketchannel,
        supervisor as supervisor,
    )
    from .node.client import Client as Client
    from .node.node import Node as Node
    from .node.recording import mark as mark
    from .skynet import manager as manager, socket as socket
    from .trace import Trace as Trace
    from .trace.language import language as language

__version__ = "0.1.0"

_LIBRARIES = (
    "cluster",
    "clustercore",
    "codecache",
    "coroutine",
    "datacenter",
    "debug",
    "frozen",
    "gateserver",
    "harbor",
    "inject",
    "memory",
    "mqueue",
    "multicast",
    "netpack",
    "profile",
    "remotedebug",
    "seri",
    "service",
    "sharedata",
    "sharetable",
    "snax",
    "socketchannel",
    "supervisor",
)
_MODULES = {"core": "core", "skynet": "skynet", "trace": "trace", "view": "view"} | {
    "lab": "course.lab", "manager": "skynet.manager",
    "request": "skynet.request", "socket": "skynet.socket", "workers": "drive.worker",
    **{name: f"lualib.{name}" for name in _LIBRARIES},
}  # fmt: skip
_HOME = {
    "Node": "node.node", "mark": "node.recording", "Client": "node.client", "Trace": "trace", "Outside": "core.outside",
    "SkynetError": "core.errors", "AddressError": "core.errors", "CallError": "core.errors",
    "SocketError": "core.errors", "ConfigError": "core.errors", "PackError": "core.errors",
    "DriveTimeout": "core.errors", "FrozenError": "core.errors", "MethodError": "core.errors",
    "SeriError": "core.errors",
    "language": "trace.language",
}  # fmt: skip

__all__ = ["__version__", *_HOME, *_MODULES]  # computed from the tables above


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(f".{_MODULES[name]}", __name__)
    elif name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Address(MetaPathFinder, Loader):
    """`import skynet_lite.socket` finds what `from skynet_lite import socket` does, wherever its file is."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return spec_from_loader(fullname, self) if package == __name__ and name in _MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module: ModuleType = __getattr__(spec.name.rpartition(".")[2])
        spec.loader_state = module.__spec__  # the import system is about to put its own there
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


sys.meta_path.append(_Address())
