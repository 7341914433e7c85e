"""A pointer: skynet.mqueue is deprecated in skynet itself. `skynet.queue()` does what it was for.

After lualib/skynet/mqueue.lua.
"""

from __future__ import annotations

from typing import NoReturn

__all__: list[str] = []
__dir__ = __all__.copy


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"mqueue.{name}: mqueue is deprecated, and not here; make a critical section with "
        "cs = skynet.queue(), and run handlers inside it: cs(f, *args)"
    )
