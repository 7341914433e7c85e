"""Read-only tables from files, shared by all services of a node; each service decides when it goes on to a new version.

After lualib/skynet/sharetable.lua. There `update` looks for old tables through the
whole memory of the service; here views know their root, and follow it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from .. import skynet
from ..core.errors import SkynetError, shown
from . import service
from .frozen import Root, Version, copy, load, load_file, pointer, table, view
from .library import Keeper, by_name, kept, named, values

__all__ = ["loadfile", "loadstring", "loadtable", "query", "queryall", "update"]
__dir__ = __all__.copy


def sharetable_service() -> None:
    """What runs as the service "sharetable": the newest version by name."""
    files: dict[str, Version] = {}

    def loadtable(name: str, value: Any) -> None:
        files[name] = Version(name, files[name].number + 1 if name in files else 1, table(value, name))
        skynet.retpack()

    def loadfile(name: str, *args: Any) -> None:
        loadtable(name, load_file(name, args))

    def loadstring(name: str, source: str, *args: Any) -> None:
        loadtable(name, load(source, name, args))

    def query(name: str) -> None:
        skynet.ret(pointer(files.get(name)))

    def queryall(names: list[str] | None) -> None:
        skynet.ret(pointer(*(files[name] for name in (files if names is None else names) if name in files)))

    @skynet.info_func
    def info() -> dict[str, dict[str, int]]:
        return {name: {"current": version.number, "size": len(version)} for name, version in files.items()}

    skynet.dispatch("lua", by_name(loadfile, loadstring, loadtable, query, queryall))


_ask = Keeper("sharetable.address", lambda: service.new("sharetable", sharetable_service))


def loadfile(filename: str, *args: Any) -> None:
    """Load a table from a file (.toml, .json, or Python; see frozen.load). Its name is the file's.

    Loaded again, it is a new version. Raises CallError if that fails (see the log).
    """
    _ask("loadfile", filename, *args)


def loadstring(name: str, source: str, *args: Any) -> None:
    """Load a table from a text; see frozen.load. Raises CallError."""
    _ask("loadstring", name, source, *args)


def loadtable(name: str, value: Any) -> None:
    """Take a dict, list or tuple as the table `name`. Raises SkynetError for anything else."""
    _ask("loadtable", name, table(copy(value), name))


def query(name: str) -> Any:
    """A view of the newest version; None if there is none. It stays with this version until `update`."""
    version = _ask("query", name)
    return None if version is None else _view(version)


def queryall(names: Iterable[str] | None = None) -> dict[str, Any]:
    """Views by name: of all tables, or of those in `names` that are there."""
    if not isinstance(names, Iterable | None):
        raise SkynetError(f"queryall takes names, or None for all, not {shown(names)}")
    versions = values(_ask("queryall", None if names is None else [named(name, "queryall") for name in names]))
    return {version.name: _view(version) for version in versions}


def update(*names: str) -> None:
    """Have all views of these tables, in this service, show the newest version."""
    for name in names:
        roots = _roots(named(name, "update"))
        if roots:
            version = _ask("query", name)
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
    return kept("sharetable", dict[str, WeakSet[Root]]).setdefault(name, WeakSet())
