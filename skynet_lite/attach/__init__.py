"""`skynet-lite attach HOST:PORT`: a node that hangs, as one page: who waits for whom, and where everybody stands.

One idea: it asks the debug console what every skynet since 1.1 can be asked, a real one as well
as ours, and only what changes nothing. So it may be pointed at a node in production.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..top.watch import Connect

if TYPE_CHECKING:
    from .look import Look


def attach(connect: Connect, source: str = ".", patience: float = 3.0) -> Look:
    """Ask a console. `connect`: see top.watch.Connect; `source`: the folder that the node was started in, to read the
    lines its stacks name; `patience`: seconds to wait for each answer.

    Raises OSError if nobody is there, ValueError if that is no debug console, or `source` no folder.
    """
    from .asking import collect
    from .look import look

    if not 0.1 <= patience <= 600:
        raise ValueError(f"--wait {patience}: give 0.1 to 600 seconds")
    if not Path(source).is_dir():
        raise ValueError(f"--source {source}: no such folder")
    return look(collect(connect, lambda command: patience), Path(source))


def run(connect: Connect, address: str, out: str | None, shown: str, source: str, patience: float) -> int:
    """The command. `shown`: what is printed, "" (what is wrong), "text" or "json"; without it there is always a page.

    Returns 1 if the connection was lost meanwhile. Raises as `attach` does, and ValueError if the page cannot be
    written.
    """
    from .page import page

    found = attach(connect, source, patience)
    title = f"{address}, {time.strftime('%Y-%m-%d %H:%M:%S')}"
    file = out or (None if shown else f"attach-{address.replace(':', '-')}.html")
    if shown == "json":
        print(json.dumps({"title": title, **found.data()}, indent=1, ensure_ascii=False))
    else:
        print(found.text() if shown == "text" else found.summary())
    if file is not None:
        try:
            Path(file).write_text(page(found, title), encoding="utf-8", errors="backslashreplace")
        except OSError as e:
            raise ValueError(f"cannot write {file}: {e.strerror}") from e
        print(file, file=sys.stderr if shown else sys.stdout)
    return 1 if found.lost else 0
