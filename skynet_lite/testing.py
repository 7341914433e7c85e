"""A node for tests: it runs functions inside services, and tells what a test has left behind.

One idea: a test of an actor fails in another place than the one that is wrong, so what a
failing test needs is the run itself. This node is recorded from birth. pytest_plugin.py
makes a fixture of it; other test frameworks may use it as it is.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from . import Node, skynet

__all__ = ["NodeUnderTest"]

T = TypeVar("T")

LINES = 60
"""Of the trace that a report shows; the page has all."""
_DESCRIPTORS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"


class NodeUnderTest(Node):
    """A Node with the virtual clock, its log in a list, recorded from birth; whatever is given comes before that."""

    def __init__(self, config: str | os.PathLike[str] | None = None, **keys: Any) -> None:
        self._before = _held()
        wanted: dict[str, Any] = {"clock": "virtual", "log": list, "record": True} | keys
        super().__init__(config, **wanted)

    def do(self, f: Callable[..., T], *args: Any) -> T:
        """Run `f(*args)` inside a service made for it, which ends with it; what it returns, or raises.

        `f` may block as any code of a service. Raises CallError if its service ends meanwhile, DriveTimeout if it
        waits for what cannot come.
        """
        done: list[T] = []
        failed: list[Exception] = []

        def do() -> None:
            try:
                done.append(f(*args))
            except Exception as e:
                failed.append(e)
            skynet.fork(skynet.exit)

        self.newservice(do)
        self.run_until_idle()
        if failed:
            raise failed[0]
        return done[0]

    def faults(self) -> list[str]:
        """What is wrong for sure, in sentences; suspicions are not counted."""
        return [str(verdict) for verdict in self.verdicts().faults]

    def left(self) -> list[str]:
        """After `close`: threads, sockets and pipes that are there now and were not when this node was made."""
        now = _held()
        if now.keys() - self._before.keys():
            gc.collect()  # a socket in a circle of objects is closed when that is found
            now = _held()
        return sorted(now[key] for key in now.keys() - self._before.keys())

    def report(self, page: Path) -> str:
        """The end of the trace as text; all of it is written to `page`, to be stepped through in a browser."""
        if self.recorder is None:
            return "it was not recorded"
        lines = self.trace.text().splitlines()
        try:
            self.trace.to_html(page)
            where = f"to step through it, open {page}"
        except Exception as e:  # a test has failed already, and its reason is not to be hidden
            where = f"there is no page of it: {type(e).__name__}: {e}"
        more = [f"... {len(lines) - LINES} lines before"] if len(lines) > LINES else []
        return "\n".join([*more, *lines[-LINES:], where])


def _held() -> dict[Any, str]:
    """Threads, and descriptors of what leads out of the process, by what tells one from another."""
    found: dict[Any, str] = {t.ident: f"thread {t.name}" for t in threading.enumerate()}
    for fd in os.listdir(_DESCRIPTORS):
        try:
            what = os.readlink(f"{_DESCRIPTORS}/{fd}")
        except OSError:
            continue  # the one that listed them
        if what.startswith(("socket:", "pipe:", "anon_inode:")):
            found[fd, what] = f"descriptor {fd} ({what})"
    return found
