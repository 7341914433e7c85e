"""Run a notebook's code cells in this process: `run_cells.py NOTEBOOK`. Prints one JSON object.

They are run twice, then interrupted while a node is at work, and run again. What they
print must be the same, and when all is over, nothing may be left.
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


def run(shell: Any, cells: list[str], at: int | None = None) -> tuple[list[str], int]:
    """What each cell prints, and how many rounds of messages nodes have begun meanwhile.

    `at`: in this round comes a Ctrl-C, and what comes out of a cell then is the end.
    """
    printed, rounds = [], 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal rounds
        if event == "call" and frame.f_code is Loop._dispatch.__code__:
            rounds += 1
            if rounds == at:
                signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.setprofile(count)
    try:
        for source in cells:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                result = shell.run_cell(source, silent=False, store_history=True)
            if at is not None and isinstance(result.error_in_exec, KeyboardInterrupt):
                return printed, rounds
            result.raise_error()
            printed.append(out.getvalue())
    finally:
        sys.setprofile(None)
    return printed, rounds if at is None else -1


def main(path: Path) -> None:
    os.chdir(path.parent)
    notebook = nbformat.read(path, as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    shell = InteractiveShell.instance()
    shell.display_pub.publish = lambda *args, **keys: None
    shell.displayhook.write_output_prompt = lambda: None
    shell.displayhook.write_format_data = lambda *args, **keys: print(args[0].get("text/plain"))
    lab()[0].close()
    before = left()
    first, rounds = run(shell, cells)
    after_first = left()
    second, _ = run(shell, cells)
    _, reached = run(shell, cells, rounds // 2)
    third, _ = run(shell, cells)
    lab()[0].close()
    found = {
        "same": first == second == third,
        "differ": [k for k, texts in enumerate(zip(first, second, third, strict=True)) if len(set(texts)) > 1],
        "interrupted": reached == rounds // 2 > 0,
        "left": [before, after_first, left()],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
