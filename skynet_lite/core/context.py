"""A service as the node sees it: a handle, a mailbox, and a callback.

The callback gets every message. For services written in Python it is the
scheduler (skynet/scheduler.py); the logger and the harbor are plain callbacks,
like the C services of skynet.

After skynet-src/skynet_server.c (struct skynet_context, skynet_context_newsession), and the
danger zone of lualib/skynet.lua.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, filterfalse
from typing import Any

from .errors import Failure, told
from .mq import MessageQueue

MAX_SESSION = 0x7FFFFFFF


class Context:
    """One service. Made by `Server.launch`, taken out by `Server.retire`."""

    __slots__ = (
        "args", "close", "cpu_cost", "cpu_start", "endless", "failure", "handle", "kind", "mailbox", "name", "state",
    )  # fmt: skip

    def __init__(self, kind: str, name: str, args: tuple[Any, ...], mailbox: MessageQueue) -> None:
        self.kind = kind  # "snlua" for a service in Python, else the module itself ("logger")
        self.name = name
        self.args = args
        self.handle = 0  # set once, when it is registered
        self.mailbox = mailbox
        self.close: Callable[[], None] | None = None  # releases what the callback holds
        self.state: Any = None  # the scheduler, for services that have one
        self.failure: Failure | None = None  # how it ended, or why it did not start
        self.endless = False  # set by the monitor, read and cleared by skynet.endless
        self.cpu_cost = self.cpu_start = 0.0  # seconds, under the key `profile`

    @property
    def called(self) -> str:
        """Its name; of a snax service its own, not that of what runs it; of a service without one what it is."""
        if self.name == "snaxd" and self.args:  # of a recording: trace/kinds.py, name_of
            return told(self.args[0]).partition(" ")[0]
        return self.name or self.kind

    @property
    def label(self) -> str:
        """How the launch is told in the log: `snlua main 8001`."""
        words = [self.kind, self.name] if self.kind == "snlua" else [self.kind]
        return " ".join([*words, *map(told, self.args)])


def sessions(in_use: Callable[[int], bool], first: int = 1) -> Iterator[int]:
    """Session numbers: 1 to 2**31-1, then from 1 again, skipping those in use."""

    # Until the first wrap this is a bare range, so a number costs one C call.
    return chain(range(first, MAX_SESSION + 1), _Wrapped(in_use))


class _Wrapped:
    """An iterator when it comes to that: most services never get there."""

    __slots__ = ("_in_use",)

    def __init__(self, in_use: Callable[[int], bool]) -> None:
        self._in_use = in_use

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from filterfalse(self._in_use, range(1, MAX_SESSION + 1))
