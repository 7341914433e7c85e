"""Read-only tables from files, shared by all services of a node; each service decides when it goes on to a new version.

After lualib/skynet/sharetable.lua. There `update` looks for old tables through the
whole memory of the service; here views know their root, and follow it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from .. import skynet
from ..skynet.scheduler import current
from . import service
from .frozen import Root, Version, load, load_file, pointer, table, view

__all__ = ["loadfile", "loadstring", "loadtable", "query", "queryall", "update"]
__dir__ = __all__.copy


def sharetable_service() -> None:
    """What runs as the service "sharetable": the newest version by name."""
    files: dict[str, Version] = {}

    def keep(name: str, value: Any) -> None:
        files[name] = Version(name, files[name].number + 1 if name in files else 1, table(value, name))
        skynet.retpack()

    def loadfile(name: str, *args: Any) -> None:
        keep(name, load_file(name, args))

    def loadstring(name: str, source: str, *args: Any) -> None:
        keep(name, load(source, name, args))

    def query(name: str) -> None:
        skynet.ret(pointer(files.get(name)))

    def queryall(names: list[str] | None) -> None:
        skynet.ret(pointer(*(files[name] for name in (files if names is None else names) if name in files)))

    commands = {f.__name__: f for f in (loadfile, loadstring, query, queryall)} | {"loadtable": keep}

    @skynet.info_func
    def info() -> dict[str, dict[str, int]]:
        return {name: {"current": version.number, "size": len(version)} for name, version in files.items()}

    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, cmd: str, *args: Any) -> None:
        commands[cmd](*args)


def loadfile(filename: str, *args: Any) -> None:
    """Load a table from a file (.toml, .json, or Python; see frozen.load). Its name is the file's.

    Loaded again, it is a new version. Raises CallError if that fails (see the log).
    """
    skynet.call(_address(), "lua", "loadfile", filename, *args)


def loadstring(name: str, source: str, *args: Any) -> None:
    """Load a table from a text; see frozen.load. Raises CallError."""
    skynet.call(_address(), "lua", "loadstring", name, source, *args)


def loadtable(name: str, value: Any) -> None:
    """Take a dict, list or tuple as the table `name`. Raises SkynetError for anything else."""
    skynet.call(_address(), "lua", "loadtable", name, table(value, name))


def query(name: str) -> Any:
    """A view of the newest version; None if there is none. It stays with this version until `update`."""
    version = skynet.call(_address(), "lua", "query", name)
    return None if version is None else _view(version)


def queryall(names: Iterable[str] | None = None) -> dict[str, Any]:
    """Views by name: of all tables, or of those in `names` that are there."""
    answer = skynet.call(_address(), "lua", "queryall", None if names is None else list(names))
    versions = answer if isinstance(answer, tuple) else () if answer is None else (answer,)
    return {version.name: _view(version) for version in versions}


def update(*names: str) -> None:
    """Have all views of these tables, in this service, show the newest version."""
    for name in names:
        roots = _roots(name)
        if roots:
            version = skynet.call(_address(), "lua", "query", name)
            for root in roots:
                root.version = version


def _view(version: Version) -> Any:
    """A view of this very version: a new query moves no view of an older one."""
    roots = _roots(version.name)
    root = next((root for root in roots if root.version is version), None) or Root(version)
    roots.add(root)
    return view(root)


def _roots(name: str) -> WeakSet[Root]:
    """Those whose views somebody still holds."""
    roots: WeakSet[Root] = current().libs.setdefault("sharetable", {}).setdefault(name, WeakSet())
    return roots


def _address() -> int:
    libs = current().libs
    if "sharetable.address" not in libs:
        libs["sharetable.address"] = service.new("sharetable", sharetable_service)
    address: int = libs["sharetable.address"]
    return address
