"""Compiled files, kept for the next service of the same name.

One idea: what a file compiles to depends on its text alone, so two hundred agents need it
compiled once. Each runs it in a namespace of its own; only the code is shared, which
nobody can change. skynet keeps a file until `clear()`; here a file that was written to is
read anew by itself, so `mode` has nothing to switch.

After lualib/skynet/codecache and the patched luaL_loadfilex of skynet's Lua.
"""

from __future__ import annotations

import os
from functools import lru_cache
from types import CodeType

__all__ = ["clear", "load"]
__dir__ = __all__.copy


def load(path: str) -> CodeType:
    """The code of a Python file. Raises OSError, SyntaxError, ValueError (null bytes, an unknown encoding)."""
    found = os.stat(path)
    return _compiled(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=512)
def _compiled(path: str, mtime_ns: int, size: int) -> CodeType:
    with open(path, encoding="utf-8") as file:
        return compile(file.read(), path, "exec", dont_inherit=True)


def clear() -> None:
    """Read every file anew at its next launch: also one that was written twice within a tick of the file system."""
    _compiled.cache_clear()
