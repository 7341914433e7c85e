"""Readiness: which descriptors can be read or written now.

One small interface, and its implementation by epoll; that of systems which have none is in
selector_poller.py. skynet keeps socket_epoll.h and socket_kqueue.h behind socket_poll.h in
the same way. Level triggered, as there.
"""

from __future__ import annotations

import select
from typing import Protocol

READ, WRITE, ERROR, HANGUP = 1, 2, 4, 8  # epoll's bits without the second, EPOLLPRI: shifted by one from WRITE on


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
        self._epoll.register(fd, mask & READ | (mask & WRITE) << 1)

    def enable(self, fd: int, mask: int) -> None:
        self._epoll.modify(fd, mask & READ | (mask & WRITE) << 1)

    def remove(self, fd: int) -> None:
        try:
            self._epoll.unregister(fd)
        except OSError:
            pass  # an adopted descriptor that its owner has closed: the kernel forgot it by itself

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        # READ alone, nearly always, is itself in both.
        return [e if e[1] == READ else (e[0], e[1] & READ | e[1] >> 1) for e in self._epoll.poll(timeout)]

    def close(self) -> None:
        self._epoll.close()
