"""Methods that run under a lock, declared by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def locked(*names: str) -> Callable[[type[T]], type[T]]:
    """Let these inherited methods of a class run under `self.lock`."""

    def under_lock(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(self: Any, *args: Any, **keys: Any) -> Any:
            with self.lock:
                return method(self, *args, **keys)

        return call

    def wrap(cls: type[T]) -> type[T]:
        for name in names:
            setattr(cls, name, under_lock(getattr(cls, name)))
        return cls

    return wrap
