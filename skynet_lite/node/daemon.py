"""A node in the background: `daemon = "./skynet.pid"` in its configuration, and `skynet-lite run`.

The file holds the process number, and is locked for as long as the node lives.

After skynet-src/skynet_daemon.c.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from ..core.errors import ConfigError

_ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def daemonized(path: str) -> Iterator[None]:
    """Inside the `with`: a daemon (daemon_init), whose pid file goes when it ends, or is ended while it still starts.

    SIGTERM and SIGINT raise SystemExit until somebody has handlers of their own; SIGHUP means nothing yet.
    """
    file = daemon_init(path)
    try:
        for number in _ENDING:
            signal.signal(number, lambda *_: sys.exit(0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        yield
    finally:
        daemon_exit(path, file)


def daemon_init(path: str) -> IO[str]:
    """Go on as a daemon, which holds the pid file open; the caller's process ends here, with status 0.

    Raises ConfigError if one runs already, before anything has happened, or on Windows. What goes
    wrong afterwards ends the daemon with one line on stderr, which it gives up only then. SIGTERM and SIGINT
    wait from then on: the caller unblocks them.
    """
    if not hasattr(os, "fork"):
        instead = "run the node in the foreground, or as a service"
        raise ConfigError(f"daemon = {path!r}: this system has no fork; {instead}")
    if pid := check_pid(path):
        raise ConfigError(f"Skynet is already running, pid = {pid}.")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or both processes would write what is left in it
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():  # a leader of a session could come to a terminal again
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # until there is somebody who takes the file away
    try:
        file = write_pid(path)
    except ConfigError as e:
        print(f"skynet-lite: {e}", file=sys.stderr, flush=True)
        os._exit(1)
    with open(os.devnull, "r+b") as null:
        for fd in (0, 1, 2):
            os.dup2(null.fileno(), fd)
    return file


def check_pid(path: str) -> int:
    """The process that the file names, if it lives and is another one; else 0."""
    pid = 0
    try:
        with open(path, encoding="ascii") as file:
            pid = int(file.read(32))  # a device may have no end
        if pid <= 0 or pid == os.getpid():
            return 0
        os.kill(pid, 0)
    except PermissionError:  # it lives, as somebody else's
        return pid
    except (OSError, ValueError, OverflowError):
        return 0
    return pid


def write_pid(path: str) -> IO[str]:
    """Lock the file, and write our number into it; held open, it stays locked. Raises ConfigError.

    A link is refused: the file that it leads to may be anybody's, and would be overwritten.
    """
    import fcntl  # not on Windows

    try:
        file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+", encoding="ascii")  # noqa: SIM115
    except OSError as e:
        why = "it is a link" if e.errno == errno.ELOOP else e.strerror
        raise ConfigError(f"Can't create pidfile [{path}]: {why}") from e
    if os.fstat(file.fileno()).st_nlink > 1:
        file.close()
        raise ConfigError(f"Can't create pidfile [{path}]: it is a link")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = file.read().strip()
        file.close()
        why = f"Can't lock pidfile, lock is held by pid {holder}." if holder else "Can't lock and read pidfile."
        raise ConfigError(why) from None
    try:
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError as e:
        raise ConfigError(f"Can't write pidfile [{path}]: {e.strerror}") from e
    return file


def daemon_exit(path: str, file: IO[str]) -> None:
    """Take the file away, if it is still ours, and unlock it."""
    with file, suppress(FileNotFoundError):
        if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
            os.unlink(path)
