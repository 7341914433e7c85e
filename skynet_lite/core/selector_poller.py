"""The poller for systems without epoll: any selector of the module `selectors`.

kqueue on macOS, select on Windows (skynet-src/socket_kqueue.h). Selectors tell of READ and
WRITE only: an error or a hangup shows as what is watched for, and comes out of the next
read or write. A descriptor that is watched for nothing cannot be shown to them; it is asked
for errors now and then, where the system has poll().
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import stat
import threading
from contextlib import suppress

from .poller import ERROR, HANGUP

LOOK = 0.05
"""Seconds between two questions for the errors of descriptors that no selector watches."""


class SelectorPoller:
    """A Poller. `selector`: None for the best that the system has."""

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selector if selector is not None else selectors.DefaultSelector()
        self._masks: dict[int, int] = {}
        self._hidden: set[int] = set()  # watched for nothing
        self._lock = threading.Lock()
        self._changed: set[int] = set()  # by `enable`: counts from the next `wait` on
        self.deaf = False  # while a thread is in `wait`

    def add(self, fd: int, mask: int) -> None:
        if fd >= 0 and stat.S_ISREG(os.fstat(fd).st_mode):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))  # as epoll: a file is always ready
        with self._lock:
            self._selector.register(fd, selectors.EVENT_READ)  # refuses what cannot be watched, now
            self._selector.unregister(fd)
            self._masks[fd] = mask
            self._show(fd)

    def enable(self, fd: int, mask: int) -> None:
        with self._lock:
            if fd not in self._masks:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            self._masks[fd] = mask
            self._changed.add(fd)

    def remove(self, fd: int) -> None:
        with self._lock:
            self._masks.pop(fd, None)
            self._show(fd)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        with self._lock:
            while self._changed:
                self._show(self._changed.pop())
            self.deaf = True
            if self._hidden and hasattr(select, "poll"):
                timeout = LOOK if timeout is None else min(timeout, LOOK)
        try:
            return [(key.fd, events) for key, events in self._selector.select(timeout)] + self._ask_hidden()
        except (OSError, ValueError):
            # select() refuses them all when one was closed by its owner: say which, as epoll would.
            gone = []
            for fd in list(self._masks):
                try:
                    os.fstat(fd)
                except OSError:
                    self.remove(fd)
                    gone.append((fd, ERROR))
            if not gone:
                raise
            return gone
        finally:
            with self._lock:
                self.deaf = False

    def close(self) -> None:
        self._selector.close()

    def _ask_hidden(self) -> list[tuple[int, int]]:
        if not self._hidden or not hasattr(select, "poll"):
            return []
        poll, failed = select.poll(), select.POLLERR | select.POLLNVAL
        for fd in list(self._hidden):
            poll.register(fd, 0)
        return [
            (fd, (ERROR if events & failed else 0) | (HANGUP if events & select.POLLHUP else 0))
            for fd, events in poll.poll(0)
        ]

    def _show(self, fd: int) -> None:
        """Bring the selector in line with `_masks`."""
        mask = self._masks.get(fd)
        (self._hidden.add if mask == 0 else self._hidden.discard)(fd)
        with suppress(OSError, ValueError, KeyError):  # its owner has closed it
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            if mask:
                self._selector.register(fd, mask)
