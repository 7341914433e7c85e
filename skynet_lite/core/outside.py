"""The outside: everything that enters a node from the world goes through here.

Readiness, what a read or a write did, name lookups, clocks. Replace this one
object and the world is yours: tests hand in short writes, EAGAIN, resets and
slow connects; a recording of it is enough to run a program again.

Every method either does what the system call does, or raises OSError as it does.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from typing import Any

from .poller import READ, EpollPoller, Poller

AddressInfo = tuple[int, int, int, str, Any]
Lookup = tuple[Any, "list[AddressInfo] | OSError"]


class Outside:
    """The real world. Subclass it to make another one."""

    def __init__(self) -> None:
        self.poller: Poller = EpollPoller()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.poller.add(self._wake_fd, READ)
        self._lookups: deque[Lookup] = deque()
        self._threads: list[threading.Thread] = []
        self._spare = os.dup(self._wake_fd)
        self._closing = threading.Lock()
        self._closed = False

    # ---- time

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_time(self) -> float:
        return time.time()

    # ---- readiness

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait at most `timeout` seconds (None: for ever) for `(fd, mask)` pairs."""
        events = self.poller.wait(timeout)
        for fd, _ in events:
            if fd == self._wake_fd:
                os.eventfd_read(self._wake_fd)
                return [event for event in events if event[0] != self._wake_fd]
        return events

    def wake(self) -> None:
        """End a `poll` that is under way; the only method other threads may call."""
        os.eventfd_write(self._wake_fd, 1)

    # ---- sockets

    def socket(self, family: int, kind: int) -> socket.socket:
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        return sock

    def connect(self, sock: socket.socket, address: Any) -> int:
        """0 when connected at once, else an errno (EINPROGRESS: wait until writable)."""
        return sock.connect_ex(address)

    def accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        conn, address = sock.accept()
        conn.setblocking(False)
        return conn, address

    def recv(self, sock: Any, size: int) -> bytes:
        data: bytes = sock.recv(size)
        return data

    def send(self, sock: Any, data: bytes | memoryview) -> int:
        sent: int = sock.send(data)
        return sent

    def recvfrom(self, sock: socket.socket, size: int) -> tuple[bytes, Any]:
        return sock.recvfrom(size)

    def sendto(self, sock: socket.socket, data: bytes, address: Any) -> int:
        return sock.sendto(data, address)

    def socket_error(self, sock: Any) -> int:
        """The pending error of a socket (SO_ERROR), 0 if there is none."""
        code: int = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return code

    def accept_and_drop(self, sock: socket.socket) -> None:
        """Out of descriptors: give up the spare one to take a client off the queue."""
        os.close(self._spare)
        try:
            conn, _ = sock.accept()
            conn.close()
        except OSError:
            pass  # the client has left by itself
        finally:
            self._spare = os.dup(self._wake_fd)

    # ---- names

    def resolve(self, host: str, port: int, kind: int) -> list[AddressInfo]:
        """Look a name up here and now; raises OSError (socket.gaierror)."""
        return socket.getaddrinfo(host, port, type=kind)

    def lookup(self, token: Any, host: str, port: int, kind: int) -> None:
        """Look a name up without stopping anybody; the result comes out of `lookups`."""

        def work() -> None:
            result: list[AddressInfo] | OSError
            try:
                result = self.resolve(host, port, kind)
            except OSError as e:
                result = e
            with self._closing:  # the descriptor may be somebody else's once it is closed
                if not self._closed:
                    self._lookups.append((token, result))
                    self.wake()

        # getaddrinfo cannot be interrupted, so the thread must not keep a program alive.
        thread = threading.Thread(target=work, name=f"lookup {host}", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()]
        self._threads.append(thread)
        thread.start()

    def lookups(self) -> list[Lookup]:
        """Results that have arrived, in the order of their arrival."""
        results = []
        while self._lookups:
            results.append(self._lookups.popleft())
        return results

    def close(self) -> None:
        with self._closing:
            self._closed = True
            self.poller.close()
            os.close(self._wake_fd)
            os.close(self._spare)
        for thread in self._threads:
            thread.join(timeout=5)


def is_numeric(host: str) -> bool:
    """Whether `host` is an address already, so that no lookup can block."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.split("%")[0])
        except OSError:
            continue
        return True
    return False


class Descriptor:
    """A descriptor that is no socket (stdin, a pipe), with the face of one.

    It belongs to someone else, so `close` leaves it open.
    """

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int) -> bytes:
        return os.read(self._fd, size)

    def send(self, data: bytes | memoryview) -> int:
        return os.write(self._fd, data)

    def getsockopt(self, level: int, option: int) -> int:
        return 0

    def close(self) -> None:
        pass
