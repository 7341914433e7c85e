"""The outside: everything that enters a node from the world goes through here.

Readiness, what a read or a write did, name lookups, clocks. Replace this one
object and the world is yours: tests hand in short writes, EAGAIN, resets and
slow connects; a recording of it is enough to run a program again.

Every method either does what the system call does, or raises OSError as it does.

After the system calls of skynet-src/socket_server.c and skynet_timer.c.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket as pysocket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from socket import SocketType
from typing import Any, TypeVar

from .clock import Clock, RealClock, VirtualClock
from .errors import SocketError
from .poller import READ, EpollPoller, Poller
from .selector_poller import SelectorPoller

T = TypeVar("T")
AddressInfo = tuple[int, int, int, str, Any]
Lookup = tuple[Any, "list[AddressInfo] | OSError"]

LOOKUP_THREADS = 128
"""Names that are looked up at the same time: one that never answers keeps a thread, and must not hold up the others.
So many of them do, for as long as resolv.conf(5) lets the system ask: a getaddrinfo cannot be told to give up."""

POLLERS: dict[str, Callable[[], Poller]] = {
    "": EpollPoller if hasattr(select, "epoll") else SelectorPoller, "epoll": EpollPoller, "selectors": SelectorPoller,
}  # fmt: skip
"""By the names that a configuration may give; "" is the best that this system has."""


class _End:
    """Closed when nobody uses it any more: a thread may be about to write, and the number somebody else's by then."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)

    def __del__(self) -> None:
        os.close(self.fd)


class Bell:
    """Ends a wait from another thread: a byte in a pipe. No lock: a signal handler that came while one
    was held would wait for the very thread that polls."""

    def __init__(self) -> None:
        self.ringing = False  # else a poll need not look for it
        self._pair = tuple(map(_End, os.pipe()))
        self.fd = self._pair[0].fd

    def ring(self) -> None:
        """From any thread; in vain after `close`."""
        self.ringing = True
        pair = self._pair  # held, and so open, until the byte is written
        with suppress(BlockingIOError, IndexError):  # it is full, and rings already; or it is closed
            os.write(pair[1].fd, b"\0")
        self.ringing = True  # a poll may have heard an older one just before that byte

    def quiet(self) -> None:
        """It was heard."""
        self.ringing = False  # before it is read: who rings now may do so in vain
        if len(os.read(self.fd, 4096)) == 4096:
            self.ringing = True

    def close(self) -> None:
        self._pair = ()


class Outside:
    """The real world. Subclass it to make another one."""

    def __init__(self, poller: Poller | None = None, offload: int = 8) -> None:
        """`poller`: None for the best that the system has. `offload`: how many threads blocking code gets."""
        self.poller: Poller = poller if poller is not None else POLLERS[""]()
        self._bell = Bell()
        self.poller.add(self._bell.fd, READ)
        self._lookups: deque[Lookup] = deque()  # results
        self._wanted: deque[tuple[Any, str, int, int]] = deque()  # names that no thread has taken yet
        self._threads: list[threading.Thread] = []
        self._workers = offload
        self._pool: ThreadPoolExecutor | None = None
        self._offloaded: list[threading.Thread] = []  # those of the pool
        self._spare = open(os.devnull, "rb")  # noqa: SIM115  # until close
        self._lock = threading.RLock()  # for what other threads touch
        self._secrets: list[str] = []  # files

    # ---- time

    def clock(self, virtual: bool) -> Clock:
        """What the node reads the time from."""
        return VirtualClock() if virtual else RealClock(self.monotonic_ns, self.wall_time)

    monotonic_ns = staticmethod(time.monotonic_ns)
    cpu_time = staticmethod(time.thread_time)
    """CPU seconds of the thread that asks."""
    wall_time = staticmethod(time.time)

    def nodename(self) -> str:
        """What tells this process from all others, in trace tags: the host's name and the process id."""
        return re.sub(r"\s", "_", pysocket.gethostname() or "noname") + str(os.getpid())

    # ---- what nobody else may know

    def secret(self, name: str) -> tuple[str, str]:
        """A file of mode 0600, there until `close`, and the random text in it. Raises OSError, RuntimeError."""
        path, text = secret_file(name), os.urandom(24).hex()
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(path)  # of a node that was killed; whoever made it may have let others read it
        with open(path, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text)
        self._secrets.append(path)
        return path, text

    # ---- for one that records (tell/record.py)

    def note(self, kind: str, *values: Any) -> None:
        """Something enters of its own accord (a launch, a call, a jump of the clock) or is set for the whole node."""

    def poll_begins(self) -> None:
        """What comes until `poll_ends` is what a poll has found."""

    def poll_ends(self) -> None: ...

    # ---- readiness

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait at most `timeout` seconds (None: for ever) for `(fd, mask)` pairs."""
        events = self.poller.wait(timeout)
        if self._bell.ringing:
            for event in events:
                if event[0] == self._bell.fd:
                    self._bell.quiet()
                    events.remove(event)
                    break
        return events

    def watch(self, fd: int, mask: int) -> None:
        """Let `poll` tell of a descriptor from now on."""
        self.poller.add(fd, mask)

    def rewatch(self, fd: int, mask: int) -> None:
        self.poller.enable(fd, mask)
        if self.poller.deaf:
            self.wake()

    def unwatch(self, fd: int) -> None:
        """Never raises."""
        self.poller.remove(fd)

    def wake(self) -> None:
        """End a `poll` that is under way; the only method other threads may call, and signal handlers."""
        self._bell.ring()

    # ---- sockets

    def socket(self, family: int, kind: int) -> pysocket.socket:
        sock = pysocket.socket(family, kind)
        sock.setblocking(False)
        return sock

    def adopt(self, fd: int) -> Descriptor:
        return Descriptor(fd)

    # As methods of the socket that is their first argument.
    setsockopt = staticmethod(SocketType.setsockopt)
    bind, listen = staticmethod(SocketType.bind), staticmethod(SocketType.listen)
    sockname, peername = staticmethod(SocketType.getsockname), staticmethod(SocketType.getpeername)
    recvfrom, sendto = staticmethod(SocketType.recvfrom), staticmethod(SocketType.sendto)
    connect = staticmethod(SocketType.connect_ex)
    """0 when connected at once, else an errno (EINPROGRESS: wait until writable)."""

    def accept(self, sock: pysocket.socket) -> tuple[pysocket.socket, Any]:
        conn, address = sock.accept()
        conn.setblocking(False)
        return conn, address

    def recv(self, sock: pysocket.socket | Descriptor, size: int) -> bytes:
        return sock.recv(size)

    def send(self, sock: pysocket.socket | Descriptor, data: bytes | memoryview) -> int:
        return sock.send(data)

    def socket_error(self, sock: pysocket.socket | Descriptor) -> int:
        """The pending error of a socket (SO_ERROR), 0 if there is none."""
        return sock.getsockopt(pysocket.SOL_SOCKET, pysocket.SO_ERROR)

    def accept_and_drop(self, sock: pysocket.socket) -> Any:
        """Out of descriptors: give up the spare one to take a client off the queue; its address, if it was there."""
        self._spare.close()
        try:
            conn, address = sock.accept()
            conn.close()
        except OSError:
            address = None  # the client has left by itself
        with suppress(OSError):  # another thread was faster; perhaps next time
            self._spare = open(os.devnull, "rb")  # noqa: SIM115  # until close
        return address

    # ---- names

    def resolve(self, host: str, port: int, kind: int) -> list[AddressInfo]:
        """Look a name up here and now; raises OSError (socket.gaierror)."""
        try:
            return list(pysocket.getaddrinfo(host, port, type=kind))
        except ValueError:  # a label too long or empty, a NUL: Python refuses to ask
            raise pysocket.gaierror(pysocket.EAI_NONAME, "Name or service not known") from None

    def answer(self, host: str, port: int, kind: int) -> list[AddressInfo] | OSError:
        """As `resolve`, but an error is returned."""
        try:
            return self.resolve(host, port, kind)
        except OSError as e:
            return e

    def lookup(self, token: Any, host: str, port: int, kind: int) -> None:
        """Look a name up without stopping anybody; the result comes out of `lookups`."""
        with self._lock:
            self._wanted.append((token, host, port, kind))
            if len(self._threads) < LOOKUP_THREADS:  # all that are there may be waiting for ever
                # getaddrinfo cannot be interrupted, so the thread must not keep a program alive.
                thread = threading.Thread(target=self._look_up, name="lookup", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _look_up(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._threads.remove(threading.current_thread())
                    return
                token, host, port, kind = self._wanted.popleft()
            self._lookups.append((token, self.answer(host, port, kind)))
            self.wake()

    def lookups(self) -> list[Lookup]:
        """Results that have arrived, in the order of their arrival."""
        return [self._lookups.popleft() for _ in range(len(self._lookups))]

    # ---- blocking code

    def offload(self, name: str, job: Callable[[], Any]) -> None:
        """Have `job()` done in a thread, which tells of its end by itself. `name`: what it is, for a recording."""
        with self._lock:
            if self._pool is None:
                enter = lambda: self._offloaded.append(threading.current_thread())  # noqa: E731  # to be joined
                self._pool = ThreadPoolExecutor(self._workers, "skynet_lite offload", enter)
            self._pool.submit(job)

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
            while self._secrets:
                with suppress(OSError):
                    os.unlink(self._secrets.pop())
            self._wanted.clear()
            threads = self._threads + self._offloaded
            self.poller.close()
            self._bell.close()
            self._spare.close()
        end = time.monotonic() + 0.1  # for those that are done; one that blocks is left, nobody wants what it finds
        for thread in threads:
            if thread is not threading.current_thread():  # else what was offloaded closes the node
                thread.join(timeout=max(0.0, end - time.monotonic()))


def secret_file(name: str) -> str:
    """Where `Outside.secret` keeps a secret: in the user's folder for data (XDG). Raises RuntimeError."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return os.path.join(data, "skynet_lite", "runtime", name)


def is_numeric(host: str) -> bool:
    """Whether `host` is an address already, so that no lookup can block."""
    for family in (pysocket.AF_INET, pysocket.AF_INET6):
        with suppress(OSError, ValueError):
            return bool(pysocket.inet_pton(family, host.split("%")[0]))
    return False


def join(address: Any) -> str:
    return f"{address[0]}:{address[1]}"


def reason(e: OSError) -> str:
    return e.strerror or str(e)


def told(what: str, address: tuple[str, int], ask: Callable[..., T], *args: Any) -> T:
    """What `ask(*args)` returns; an OSError becomes a SocketError that says what was to be done, and where."""
    try:
        return ask(*args)
    except OSError as e:
        raise SocketError(f"{what}: {reason(e)} ({join(address)})") from None


class Descriptor:
    """A descriptor that is no socket (stdin, a pipe). It is someone else's: `close` leaves it as it was, and open."""

    def __init__(self, fd: int) -> None:
        self._blocking = os.get_blocking(fd)
        os.set_blocking(fd, False)
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int) -> bytes:
        return os.read(self._fd, size)

    def send(self, data: bytes | memoryview) -> int:
        return os.write(self._fd, data)

    def getsockopt(self, level: int, option: int) -> int:
        return errno.EPIPE  # what else can be wrong with a pipe: nobody reads it

    def close(self) -> None:
        with suppress(OSError):  # its owner has closed it
            os.set_blocking(self._fd, self._blocking)
