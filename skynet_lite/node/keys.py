"""What an editor is told of a node: the keywords of `Node(...)`, and the names that dir() shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict


class Keys(TypedDict, total=False):
    """The keys of config.Config that can be given, with their types; what each means stands there."""

    clock: str
    skynet: str
    thread: int
    memory: int
    endless: int
    poller: str
    offload: int
    harbor: int
    bootstrap: bool
    start: str | None
    luaservice: str
    snax: str | None
    preload: str | None
    logger: str | None
    logpath: str
    recorder: int
    cluster: str | dict[str, Any] | None
    daemon: str | None
    node: str | None
    console: int | None
    profile: bool
    shutdown: int
    env: dict[str, Any]


class Shown(type):
    """A class whose dir() has no private names; `__dir__ = shown` says the same of what it makes."""

    def __dir__(cls) -> list[str]:
        return _public(super().__dir__())


def shown(self: object) -> list[str]:
    """The names of an object but for private ones."""
    return _public(object.__dir__(self))


def _public(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("_") or name.endswith("__")]
