"""Readiness: which descriptors can be read or written now.

One small interface with two implementations: epoll, and the module `selectors` for
systems that have none. skynet keeps socket_epoll.h and socket_kqueue.h behind
socket_poll.h in the same way. Level triggered, as there.
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import stat
import threading
from collections.abc import Callable
from typing import Protocol

_EPOLLIN = getattr(select, "EPOLLIN", 0)  # nearly always
READ = 1
WRITE = 2
ERROR = 4
HANGUP = 8
LOOK = 0.05
"""Seconds between two questions for the errors of descriptors that no selector watches."""


class Poller(Protocol):
    """After skynet-src/socket_poll.h (sp_add, ...). Raises OSError; `remove` never.

    `enable` may be called while another thread waits. `deaf`: that wait does not hear of it; wake it.
    """

    deaf: bool

    def add(self, fd: int, mask: int) -> None: ...
    def enable(self, fd: int, mask: int) -> None: ...
    def remove(self, fd: int) -> None: ...
    def wait(self, timeout: float | None) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class EpollPoller:
    """epoll. `wait` answers `(fd, READ | WRITE | ERROR | HANGUP)`; timeout in seconds, None for ever."""

    deaf = False

    def __init__(self) -> None:
        self._epoll = select.epoll()

    def add(self, fd: int, mask: int) -> None:
        self._epoll.register(fd, _to_epoll(mask))

    def enable(self, fd: int, mask: int) -> None:
        self._epoll.modify(fd, _to_epoll(mask))

    def remove(self, fd: int) -> None:
        try:
            self._epoll.unregister(fd)
        except OSError:
            pass  # an adopted descriptor that its owner has closed: the kernel forgot it by itself

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        return [(fd, READ if events == _EPOLLIN else _from_epoll(events)) for fd, events in self._epoll.poll(timeout)]

    def close(self) -> None:
        self._epoll.close()


class SelectorPoller:
    """Any selector of the module `selectors`: kqueue on macOS, select on Windows.

    Selectors tell of READ and WRITE only: an error or a hangup shows as what is watched for,
    and comes out of the next read or write. A descriptor that is watched for nothing cannot be
    shown to them; it is asked for errors now and then, where the system has poll().
    """

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


def default() -> Poller:
    """The best that this system has."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()


POLLERS: dict[str, Callable[[], Poller]] = {"": default, "epoll": EpollPoller, "selectors": SelectorPoller}
"""By the names that a configuration may give."""


def _to_epoll(mask: int) -> int:
    return (select.EPOLLIN if mask & READ else 0) | (select.EPOLLOUT if mask & WRITE else 0)


def _from_epoll(events: int) -> int:
    return (
        (READ if events & select.EPOLLIN else 0)
        | (WRITE if events & select.EPOLLOUT else 0)
        | (ERROR if events & select.EPOLLERR else 0)
        | (HANGUP if events & select.EPOLLHUP else 0)
    )
