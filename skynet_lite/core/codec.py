"""What may travel in a message: plain values, and those of classes that are made known.

Values are looked at level by level, not one by one: a million of them have few types, and
a list that stands in many places is looked at once on each level. Only what is not plain
is walked through: to lay what it is made of in its place, or to say where it stands.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from enum import Enum, Flag
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from .errors import PackError, SkynetError, shown, text_of

T = TypeVar("T")
ATOMS = frozenset((str, bytes, int, float, bool, type(None)))
_CONTAINERS = frozenset((tuple, list, dict))
_MAX_DEPTH = 200
MOST = 100_000
"""Parts of a value that are written out: a list may share its parts, and be endless where each is written again."""


Codec = tuple[Callable[[Any], Any], Callable[[Any], Any] | None]
"""How values of a class travel: pack and unpack. It stands on the class, and goes with it."""
_builtin: dict[type, Codec] = {}  # of classes in C, on which nothing can be laid


def register_type(cls: T, pack: Callable[[Any], Any] | None = None, unpack: Callable[[Any], Any] | None = None) -> T:
    """Let values of a class (not of those derived from it) travel. Decorates an Enum, a NamedTuple or a dataclass.

    Those arrive as they were, dataclasses without a call of `__init__`. For other classes `pack(value)` returns
    what travels in its place, and `unpack` makes a value of it again; without that the receiver gets what
    has travelled. Raises SkynetError if `pack` is missing, or what is given is no class or no function.
    """
    kind: Any = cls
    if not isinstance(kind, type) or not all(f is None or callable(f) for f in (pack, unpack)):
        given = ", ".join(map(shown, (kind, pack, unpack)))
        raise SkynetError(f"register_type takes a class, pack(value) and unpack(what has travelled), not {given}")
    if pack is None and issubclass(kind, Enum):
        pack, unpack = (attrgetter("value"), kind) if issubclass(kind, Flag) else (attrgetter("name"), kind.__getitem__)
    elif pack is None and hasattr(kind, "_make"):
        pack, unpack = tuple, kind._make
    elif pack is None and is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        pack, unpack = lambda value: {name: getattr(value, name) for name in names}, partial(_filled, kind)
    elif pack is None:
        raise SkynetError(f"register_type: give pack(value); {kind.__qualname__} is no Enum, NamedTuple or dataclass")
    try:
        kind.__travels__ = pack, unpack
    except TypeError:
        _builtin[kind] = pack, unpack
    return cls


def _filled(kind: Any, values: dict[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)  # of a frozen one, too
    return made


def codec_of(kind: type) -> Codec | None:
    """How values of this class travel, if that is known."""
    return vars(kind).get("__travels__") or _builtin.get(kind)


class Coded(bytes):
    """Marshalled values; one of a registered class stands in it as `(..., n, plain)`, with the n-th of `types`."""

    types: list[type]


def frozen(args: tuple[Any, ...]) -> tuple[Any, ...] | bytes:
    """The arguments themselves if nothing in them can change, else marshalled. Raises PackError."""
    level: Any = args
    mutable = False
    for _ in range(_MAX_DEPTH):
        if ATOMS.issuperset(map(type, level)):
            return marshal.dumps(args) if mutable else args
        inner: Any = [value for value in level if type(value) not in ATOMS]
        if not _CONTAINERS.issuperset(map(type, inner)):
            break
        if len(inner) > 1:
            inner = {id(value): value for value in inner}.values()
        level = []
        for value in inner:
            level += value  # of a dict its keys
            if type(value) is dict:
                level += value.values()
            mutable = mutable or type(value) is not tuple
    coder = _Coder()
    plain = tuple([coder.plain(value, f"argument {i}", 1) for i, value in enumerate(args, 1)])
    if not coder.types:
        return frozen(plain)
    coded = Coded(marshal.dumps(plain))
    coded.types = coder.types
    return coded


class _Coder:
    """Lays plain values in the place of others, or says which may not travel, and where it stands."""

    def __init__(self) -> None:
        self.types: list[type] = []
        self.done: dict[int, list[Any]] = {}  # by id: a value, then what was made of it

    def plain(self, value: Any, where: str, depth: int) -> Any:
        kind = type(value)
        if kind in ATOMS:
            return value
        if len(done := self.done.setdefault(id(value), [])) == 2:
            return done[1]
        if done or depth > _MAX_DEPTH:
            raise PackError(f"cannot send {_cut(where)}: nested deeper than {_MAX_DEPTH}; does it contain itself?")
        done.append(value)
        made: Any
        if kind is list or kind is tuple:
            made = [v if type(v) in ATOMS else self.plain(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
            made = made if kind is list else tuple(made)
        elif kind is dict:
            keys = [self.plain(key, f"a key of {where}", depth + 1) for key in value]
            values = [self.plain(v, f"{where}[{shown(key)}]", depth + 1) for key, v in value.items()]
            made = dict(zip(keys, values, strict=True))
        elif (codec := codec_of(kind)) is not None:
            made = self.plain(codec[0](value), where, depth + 1)
            if codec[1] is not None:
                self.types += [] if kind in self.types else [kind]
                made = ..., self.types.index(kind), made
        else:
            raise PackError(
                f"cannot send {_cut(where)}: a {_cut(f'{kind.__module__}.{kind.__qualname__}')} may not travel in a "
                "message; send str, bytes, int, float, bool, None, list, dict or tuple, or make its class known "
                "with skynet.register_type"
            )
        done.append(made)
        return made


def endless(value: Any) -> bool:
    """Whether it has more than MOST parts, each counted wherever it stands."""
    found = [value]
    for one in found:
        if type(one) in _CONTAINERS:
            found += one
            found += one.values() if type(one) is dict else ()
        if len(found) > MOST:
            return True
    return False


def words(values: Iterable[Any]) -> str:
    """The values as one text, those that are endless in short."""
    return " ".join(shown(value) if endless(value) else text_of(value) for value in values)


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]}…{text[-99:]}"


def revived(value: Any, types: list[type], done: dict[int, Any]) -> Any:
    """What was thawed, with values of registered types where they were. `done`: by id, what was made so far."""
    kind = type(value)
    if kind not in _CONTAINERS:
        return value
    if id(value) not in done:
        made: Any
        if kind is dict:
            made = {revived(k, types, done): revived(v, types, done) for k, v in value.items()}
        elif value[:1] == (...,):
            unpack: Any = codec_of(types[value[1]])[1]  # type: ignore[index]
            made = unpack(revived(value[2], types, done))
        else:
            made = kind([revived(v, types, done) for v in value])
        done[id(value)] = made
    return done[id(value)]
