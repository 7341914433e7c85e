"""Readiness: which descriptors can be read or written now.

One small interface with one implementation (epoll); another on `selectors` can
stand beside it, as skynet keeps socket_epoll.h and socket_kqueue.h behind
socket_poll.h. Level triggered, as there.
"""

from __future__ import annotations

import select
from typing import Protocol

READ = 1
WRITE = 2
ERROR = 4
HANGUP = 8


class Poller(Protocol):
    """After skynet-src/socket_poll.h (sp_add, ...). Raises OSError; `remove` never."""

    def add(self, fd: int, mask: int) -> None: ...
    def enable(self, fd: int, mask: int) -> None: ...
    def remove(self, fd: int) -> None: ...
    def wait(self, timeout: float | None) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class EpollPoller:
    """epoll. `wait` answers `(fd, READ | WRITE | ERROR | HANGUP)`; timeout in seconds, None for ever."""

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
        return [(fd, _from_epoll(events)) for fd, events in self._epoll.poll(timeout)]

    def close(self) -> None:
        self._epoll.close()


def _to_epoll(mask: int) -> int:
    return (select.EPOLLIN if mask & READ else 0) | (select.EPOLLOUT if mask & WRITE else 0)


def _from_epoll(events: int) -> int:
    if events == select.EPOLLIN:  # nearly always
        return READ
    return (
        (READ if events & select.EPOLLIN else 0)
        | (WRITE if events & select.EPOLLOUT else 0)
        | (ERROR if events & select.EPOLLERR else 0)
        | (HANGUP if events & select.EPOLLHUP else 0)
    )
