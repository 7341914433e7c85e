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

from .poller import ERROR, HANGUP

LOOK = 0.05
"""Seconds between two questions for the errors of descriptors that no selector watches."""


class SelectorPoller:
    """A Poller. `selector`: None for the best that the system has."""

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selector if selector is not None else selectors.DefaultSelector()
        self._masks: dict[int, int] = {}
        self._hidden: set[int] = set()  # watched for nothing
        self._errors = select.poll() if hasattr(select, "poll") else None
        self._lock = threading.Lock()
        self.deaf = False  # while a thread is in `wait`: what changes now counts from the next one on
        self._changed: set[int] = set()

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
            if self.deaf:
                self._changed.add(fd)
            else:
                self._show(fd)

    def remove(self, fd: int) -> None:
        with self._lock:
            self._masks.pop(fd, None)
            self._show(fd)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        with self._lock:
            while self._changed:
                self._show(self._changed.pop())
            self.deaf = True
            if self._hidden and self._errors is not None:
                timeout = LOOK if timeout is None else min(timeout, LOOK)
        try:
            return [(key.fd, events) for key, events in self._selector.select(timeout)] + self._ask_hidden()
        except (OSError, ValueError):
            # select() refuses them all when one was closed by its owner: say which, as epoll would.
            gone = [fd for fd in list(self._masks) if _is_closed(fd)]
            if not gone:
                raise
            for fd in gone:
                self.remove(fd)
            return [(fd, ERROR) for fd in gone]
        finally:
            with self._lock:
                self.deaf = False

    def close(self) -> None:
        self._selector.close()

    def _ask_hidden(self) -> list[tuple[int, int]]:
        if not self._hidden or self._errors is None:
            return []
        bits = ((select.POLLERR, ERROR), (select.POLLHUP, HANGUP), (select.POLLNVAL, ERROR))
        found = [(fd, sum({to for bit, to in bits if events & bit})) for fd, events in self._errors.poll(0)]
        return [(fd, mask) for fd, mask in found if fd in self._hidden]

    def _show(self, fd: int) -> None:
        """Bring the selector in line with `_masks`."""
        mask = self._masks.get(fd, 0)
        hide = fd in self._masks and not mask
        if hide is not (fd in self._hidden):
            (self._hidden.add if hide else self._hidden.discard)(fd)
            if self._errors is not None:
                self._errors.register(fd, 0) if hide else self._errors.unregister(fd)
        try:
            if fd not in self._selector.get_map():
                if mask:
                    self._selector.register(fd, mask)
            elif mask:
                self._selector.modify(fd, mask)
            else:
                self._selector.unregister(fd)
        except (OSError, ValueError, KeyError):
            pass  # its owner has closed it


def _is_closed(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False
