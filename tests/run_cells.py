"""Run a notebook's code cells in this process: `run_cells.py NOTEBOOK ROUNDS`. Prints one JSON object.

They are run, then interrupted while a node is at work, in that round of messages, and run again. What they print must
be the same, and when all is over, nothing may be left.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.interactiveshell import InteractiveShell
from skynet_lite.lab import lab

from skynet_lite.drive.loop import Loop


def left() -> tuple[int, int]:
    """Sockets, pipes and the like, and threads of this process. (Files are fonts that matplotlib keeps open.)"""
    gc.collect()
    kinds = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            kinds.append(os.readlink(f"/proc/self/fd/{fd}"))
    return sum(not kind.startswith("/") for kind in kinds), threading.active_count()


class CtrlC:
    """Comes in this round of messages that nodes begin in its block. Until then each call is traced, so not too late."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def _called(self, frame: Any, event: str, arg: Any) -> None:
        if frame.f_code is Loop._dispatch.__code__:
            self.rounds -= 1
            if self.rounds == 0:
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)

    def __enter__(self) -> None:
        sys.settrace(self._called)

    def __exit__(self, *raised: object) -> None:
        sys.settrace(None)


def run(shell: Any, cells: list[str]) -> list[str]:
    """What each cell prints, until a Ctrl-C comes out of one."""
    printed = []
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for source in cells:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            result = shell.run_cell(source, silent=False, store_history=True)
        if isinstance(result.error_in_exec, KeyboardInterrupt):
            break
        result.raise_error()
        printed.append(out.getvalue())
    return printed


def main(path: Path, rounds: int) -> None:
    os.chdir(path.parent)
    notebook = nbformat.read(path, as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    shell = InteractiveShell.instance()
    shell.display_pub.publish = lambda *args, **keys: None
    shell.displayhook.write_output_prompt = lambda: None
    shell.displayhook.write_format_data = lambda *args, **keys: print(args[0].get("text/plain"))
    lab()[0].close()
    before = left()
    first = run(shell, cells)
    after_first = left()
    with CtrlC(rounds):
        broken = run(shell, cells)
    again = run(shell, cells)
    lab()[0].close()
    found = {
        "differ": [k for k, (one, other) in enumerate(zip(first, again, strict=True)) if one != other],
        "interrupted": len(broken) < len(first),
        "left": [before, after_first, left()],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
