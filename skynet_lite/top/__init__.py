"""`skynet-lite top HOST:PORT`: the services of a running node in a terminal, live.

One idea: it knows no node, only what a debug console says. Real skynet's console says the same in
the same forms, so a real skynet can be watched as well as ours.
"""

from __future__ import annotations

import sys
from typing import Any


def run(connect: Any, address: str, every: float) -> None:
    """Until the user quits. `connect`: see watch.Connect; `every`: seconds between two looks.

    Raises ValueError for what cannot be, ImportError without textual.
    """
    if not 0.1 <= every <= 3600:
        raise ValueError(f"--every {every}: give 0.1 to 3600 seconds")
    from .app import Top

    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise ValueError("top needs a terminal; skynet-lite console speaks in a pipe, too")
    Top(connect, address, every).run()
