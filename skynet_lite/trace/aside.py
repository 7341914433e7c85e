"""A trace that is written while its node goes on.

A thread builds the events and writes them: Python code, between whose instructions the node gets its turns. Who
draws them takes ten times as long, and has a process of its own; it reads the trace as anybody would, from a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .export import kind_of, save
from .language import language
from .trace import Trace

_DRAW = """
import os, sys
if hasattr(os, "nice"):
    os.nice(5)  # the node comes first
from skynet_lite.trace import Trace, export, language
_, source, path, kind, code = sys.argv
language.language(code)
export.save(Trace.load(source), path, kind)
"""


class Aside(threading.Thread):
    """Writes `trace` to `path` as `kind` says, or its suffix (export.py), and calls `done(failed)` in its thread.

    `failed` is what went wrong, "" if nothing did, None before it is over; until then nobody else may use the trace.
    Raises ValueError for a suffix that is not known.
    """

    def __init__(self, trace: Trace, path: str, kind: str | None, done: Callable[[str], Any]) -> None:
        super().__init__(name=f"writes {os.path.basename(path)}")
        self._trace, self._path, self._kind, self._done = trace, path, kind or kind_of(path), done
        self.failed: str | None = None

    def run(self) -> None:
        try:
            self._write()
            failed = ""
        except Exception as e:
            failed = f"{type(e).__name__}: {e}"
        self.failed = failed
        self._done(failed)

    def _write(self) -> None:
        self._trace.settle()
        if self._kind in (".json", ".jsonl"):
            return save(self._trace, self._path, self._kind)
        open(self._path, "ab").close()  # what is wrong with the path is said here, in words of one line
        self._trace.world = None  # who draws does not need it
        with TemporaryDirectory() as folder:
            source = os.path.join(folder, "trace.json")
            save(self._trace, source)
            home = str(Path(__file__).parents[2])
            home = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
            command = [sys.executable, "-P", "-c", _DRAW, source, self._path, self._kind, language()]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": home})
        if done.returncode:
            raise RuntimeError((done.stderr.splitlines() or [f"it ended with status {done.returncode}"])[-1])
