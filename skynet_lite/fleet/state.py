"""Which nodes of a file run now: `up` writes it down, `ps` and `trace` read it.

One idea: a number of a process says nothing, for the next one may get it. A lock does: the kernel holds it for as
long as `up` lives, however that ends. What lies in a folder that nobody holds is old, and is written over.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.errors import SkynetError
from ..core.outside import secret_file

ATTEMPTS = 10  # at a lock that `ps` may hold, for an instant

State = dict[str, Any]
""" "pid" of `up`, and "nodes": name → "pid", "address", "console", "since" (seconds of the epoch), "ended" (text)."""


def folder_of(file: Path) -> Path:
    """Where it is written down: in the user's folder for data, beside the tokens of the consoles."""
    return Path(secret_file(f"cluster-{hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:16]}"))


class Held:
    """The state of a file while `up` runs. Raises SkynetError if another one does, OSError."""

    def __init__(self, file: Path) -> None:
        self.folder = folder_of(file)
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for _ in range(ATTEMPTS):
            with suppress(FileExistsError):
                self.folder.mkdir(mode=0o700)
            with suppress(FileNotFoundError):  # the one before us has just taken the folder away
                self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
                with suppress(OSError):
                    fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.path.samestat(os.fstat(self._lock), os.stat(self.folder / "lock")):
                        return  # else only the lock that we have opened
                os.close(self._lock)
            time.sleep(0.02)
        raise SkynetError(f"the nodes of {file} run already{_by(_read(self.folder))}: one at a time")

    def write(self, state: State) -> None:
        self.put("state.json", json.dumps(state))

    def put(self, name: str, text: str) -> Path:
        """A file beside it, whole at any time."""
        path = self.folder / name
        path.with_suffix(".new").write_text(text, encoding="utf-8")
        os.replace(path.with_suffix(".new"), path)
        return path

    def close(self) -> None:
        with suppress(OSError):
            for path in sorted(self.folder.iterdir(), key=lambda path: path.name == "lock"):
                path.unlink()  # the lock last: what is there without it may be the next one's
            self.folder.rmdir()
        os.close(self._lock)


def running(file: Path) -> State | None:
    """What `up` has written, if one runs."""
    folder = folder_of(file)
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None  # nobody holds it
    except OSError:
        return _read(folder)
    finally:
        os.close(lock)


def _read(folder: Path) -> State:
    with suppress(OSError, ValueError):
        state: State = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return state
    return {"pid": 0, "nodes": {}}  # it has just begun


def _by(state: State) -> str:
    return f" (skynet-lite cluster up, pid {state['pid']})" if state["pid"] else ""
