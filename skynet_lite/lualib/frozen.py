"""Tables that many services read and nobody changes: the views of sharedata and sharetable.

  1  Values live in a `Version`: copied once when it is made, never changed after, held
     by nobody but views. So all services, on all workers, may read the same one, and
     services stay isolated: there is nothing through which one could touch another.
  2  A view is a place in the newest version its service knows: a root, and a path. An
     update exchanges the version below the root; every view of it shows the new values.

The role of lualib/skynet/sharedata/corelib.lua and lua-sharetable.c.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from ..core.codec import Coded, register_type
from ..core.errors import FrozenError as FrozenError, PackError, SkynetError
from ..core.message import Packed, pack, unpack

__all__ = ["Root", "Version", "View", "copy", "load", "load_file", "pointer", "table", "view"]
__dir__ = __all__.copy


class Version:
    """One state of a shared table. Travels in messages as a pointer does in skynet (`pointer`)."""

    __slots__ = ("_data", "name", "number")

    def __init__(self, name: str, number: int, value: Any) -> None:
        self.name = name
        self.number = number
        payload = pack((value,))  # also a check: what may not travel may not be shared
        if type(payload) is Coded:  # such a value may be one that can change
            raise PackError(f"{name}: a {payload.types[0].__name__} cannot be shared, only plain values can")
        (self._data,) = unpack(payload)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"<{self.name} version {self.number}>"


def pointer(*values: Any) -> Packed:
    """A message with versions in it, as they are. `skynet.pack` refuses them: to others they mean nothing."""
    return Packed(values)


class Root:
    """Where a service's views of one table meet; an update lays the new version here."""

    __slots__ = ("__weakref__", "version")

    def __init__(self, version: Version) -> None:
        self.version = version


class View:
    """What table views have in common: the way to their data, and the refusal of writes."""

    __slots__ = ("_data", "_path", "_root", "_version")

    def __init__(self, root: Root, path: tuple[Any, ...], data: Any) -> None:
        self._root, self._path = root, path
        self._version, self._data = root.version, data

    def _now(self) -> Any:
        """The data, of the newest version. Raises FrozenError if the place has gone, or is no such table any more."""
        version = self._root.version
        if self._version is not version:
            try:
                data = reduce(getitem, self._path, version._data)
            except (KeyError, IndexError, TypeError):
                raise FrozenError(f"The key [{self._where()}] doesn't exist after update") from None
            if type(data) is not type(self._data):
                raise FrozenError(f"The key [{self._where()}] is of another type after update: query again")
            self._version, self._data = version, data
        return self._data

    def _where(self) -> str:
        return ".".join(map(str, self._path))

    def _shown(self, key: Any, value: Any) -> Any:
        kind = _KINDS.get(type(value))
        return value if kind is None else kind(self._root, (*self._path, key), value)

    def __len__(self) -> int:
        return len(self._now())

    def __eq__(self, other: object) -> bool:
        return bool(self._now() == (other._now() if isinstance(other, View) else other))

    __hash__ = None  # type: ignore[assignment]  # an update may change it

    def __repr__(self) -> str:
        return f"<shared {self._now()!r}>"

    def _refuse(self, *args: Any, **fields: Any) -> NoReturn:
        at = f", the key [{self._where()}]" if self._path else ""
        raise FrozenError(
            f"{self._root.version.name} is shared and read-only{at}: make a copy of your own with "
            "sharedata.deepcopy or frozen.copy, or have all see a new version with update or load"
        )

    __setitem__ = __delitem__ = __iadd__ = __ior__ = _refuse
    append = extend = insert = remove = pop = clear = sort = reverse = setdefault = update = popitem = _refuse


class Dict(View, Mapping[Any, Any]):
    """A view of a dict."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        return self._shown(key, self._now()[key])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._now())


class List(View, Sequence[Any]):
    """A view of a list or a tuple."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        data = self._now()
        if isinstance(index, slice):
            return [self._shown(i, data[i]) for i in range(*index.indices(len(data)))]
        value = data[index]
        return self._shown(range(len(data))[index], value)


for _view in (Dict, List):  # what travels is a copy
    register_type(_view, View._now)
_KINDS: dict[type, Callable[[Root, tuple[Any, ...], Any], View]] = {dict: Dict, list: List, tuple: List}


def view(root: Root) -> Any:
    """A view of the whole table."""
    return _KINDS[type(root.version._data)](root, (), root.version._data)


def copy(shared: Any) -> Any:
    """Plain dicts, lists and tuples of one's own, from a view or a version (deepcopy)."""
    if isinstance(shared, (View, Version)):
        (shared,) = unpack(pack((shared._data if isinstance(shared, Version) else shared._now(),)))
    return shared


def table(value: Any, name: str) -> Any:
    """Refuse what is no table. Raises SkynetError."""
    if type(value) not in _KINDS:
        raise SkynetError(f"{name}: a table is needed (dict, list or tuple), not {type(value).__name__}")
    return value


def load(source: str, name: str, args: tuple[Any, ...]) -> Any:
    """The table that a text describes: one expression, or a program whose public names make it up; it sees `args`."""
    namespace: dict[str, Any] = {"__name__": name, "args": args}
    try:
        return table(eval(compile(source.strip(), name, "eval", dont_inherit=True), namespace), name)
    except SyntaxError:
        pass
    exec(compile(source, name, "exec", dont_inherit=True), namespace)
    public = {key: value for key, value in namespace.items() if key != "args" and not key.startswith("_")}
    return {key: value for key, value in public.items() if not (callable(value) or isinstance(value, ModuleType))}


def load_file(path: str, args: tuple[Any, ...]) -> Any:
    """The table in a file: .toml, .json, else Python as in `load`. Raises SkynetError if it cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as e:
        raise SkynetError(f"cannot read the table {path}: {e.strerror}") from e
    if path.endswith(".toml"):
        return tomllib.loads(text)
    return table(json.loads(text), path) if path.endswith(".json") else load(text, path, args)
