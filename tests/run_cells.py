"""Run a notebook's code cells in this process: `run_cells.py NOTEBOOK`. Prints one JSON object.

They are run twice, and a third time half way only: what they print must be the same,
and when all is over and the next `lab()` has come and gone, nothing may be left.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.interactiveshell import InteractiveShell

from skynet_lite.lab import lab


def left() -> tuple[int, int]:
    """Sockets, pipes and the like, and threads of this process. (Files are fonts that matplotlib keeps open.)"""
    gc.collect()
    kinds = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            kinds.append(os.readlink(f"/proc/self/fd/{fd}"))
    return sum(not kind.startswith("/") for kind in kinds), threading.active_count()


def run(shell: Any, cells: list[str]) -> list[str]:
    printed = []
    for source in cells:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            result = shell.run_cell(source, silent=False, store_history=True)
        result.raise_error()
        printed.append(out.getvalue())
    return printed


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
    first = run(shell, cells)
    after_first = left()
    second = run(shell, cells)
    run(shell, cells[: len(cells) // 2])  # as if interrupted there
    lab()[0].close()
    print(json.dumps({"before": before, "first": after_first, "after": left(),
                      "same": first == second, "differ": [k for k, (a, b) in enumerate(zip(first, second)) if a != b]}))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
