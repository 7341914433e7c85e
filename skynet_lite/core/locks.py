"""Which methods need the lock of the node, said beside them; whoever has several threads makes it so.

One idea: the plain class takes no lock. `with_lock` makes its subclass in which every
method that is `guarded` runs under `self.lock`, so a method that is new cannot be forgotten
in another file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def guarded(method: F) -> F:
    """What this method changes is shared between threads."""
    method.guarded = True  # type: ignore[attr-defined]  # a mark on the function
    return method


def with_lock(cls: type[T]) -> type[T]:
    """Let the guarded methods that `cls` has or inherits run under `self.lock`. Decorates."""
    for name in dir(cls):
        method = getattr(cls, name)
        if getattr(method, "guarded", False) and not hasattr(method, "__wrapped__"):
            setattr(cls, name, _under_lock(method))
    return cls


def _under_lock(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any) -> Any:  # no keywords, no `with`: they would double the price
        lock = self.lock
        lock.acquire()
        try:
            return method(self, *args)
        finally:
            lock.release()

    return call


@contextmanager
def let_go(*locks: Any) -> Iterator[None]:
    """Hold none of these RLocks meanwhile: a signal handler may have come while its thread held some, which cannot go
    on before the handler is through, and those that it waits for may need them."""
    held = []
    for lock in locks:
        with suppress(RuntimeError):  # it is not ours any more
            while True:
                lock.release()
                held.append(lock)
    try:
        yield
    finally:
        for lock in held:
            lock.acquire()
