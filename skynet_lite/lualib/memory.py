"""Figures of memory, as near to skynet's as Python has them.

A Lua VM knows its size; Python objects are shared by all services of a process. So the
size of a service is what can be reached from it alone: its globals, handlers, tables and
parked coroutines, without modules, classes and the runtime. There is no jemalloc; heap
profiles are made by tracemalloc.

After lualib-src/lua-memory.c and malloc_hook.c.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from traceback import walk_stack
from types import BuiltinFunctionType, CodeType, FrameType, ModuleType
from typing import Any

from ..core.monitor import resident_mib
from ..skynet.coroutine import Coroutine, Hub
from ..skynet.scheduler import Scheduler

__all__ = ["block", "collect", "dumpheap", "profactive", "size", "total"]
__dir__ = __all__.copy

LIMIT = 200_000
"""Objects to look at for the size of one service; what lies beyond is not counted."""
_SHARED = (ModuleType, type, CodeType, BuiltinFunctionType, FrameType, Coroutine, Hub, Scheduler)


def size(s: Scheduler) -> int:
    """Bytes of what only this service can be seen to hold."""
    roots: list[Any] = [s.namespace, s.launch_args, list(s.mailbox), s.session_id_coroutine]
    roots += [p.dispatch for p in s.proto.values()]
    for co in s.coroutines.values():
        roots.append(co.args)
        if co.frame is not None:
            roots += [frame.f_locals for frame, _ in walk_stack(co.frame)]
    seen, total = set[int](), sys.getsizeof(s)
    builtin = id(__builtins__)
    while roots and len(seen) < LIMIT:
        found = roots.pop()
        if id(found) in seen or id(found) == builtin or isinstance(found, _SHARED):
            continue
        if type(found).__module__.startswith("skynet_lite."):
            continue
        seen.add(id(found))
        total += sys.getsizeof(found)
        own = getattr(found, "__globals__", None)
        roots += [r for r in gc.get_referents(found) if r is not own]
    return total


_collected = 0.0


def collect() -> None:
    """Let Python collect garbage. All services share one heap: if it was done a second ago, it is done."""
    global _collected
    if time.monotonic() - _collected > 1:
        gc.collect()
        _collected = time.monotonic()


def total() -> int:
    """Bytes of the process that are in memory now; 0 where the system does not tell."""
    return int(resident_mib() * 2**20)


def block() -> int:
    """Blocks that Python's allocator has handed out."""
    return sys.getallocatedblocks()


def profactive(flag: bool | None = None) -> bool:
    """Whether a heap profile is being taken; with `flag`, begin or end it. It slows the whole process down."""
    if flag is not None and flag is not tracemalloc.is_tracing():
        (tracemalloc.start if flag else tracemalloc.stop)()
    return tracemalloc.is_tracing()


def dumpheap(path: str) -> bool:
    """Write the profile to a file, the largest line of code first; False if none is being taken."""
    if not tracemalloc.is_tracing():
        return False
    rows = tracemalloc.take_snapshot().statistics("lineno")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{row.size}\t{row.count}\t{row.traceback}\n" for row in rows)
    return True
