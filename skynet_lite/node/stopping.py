"""The graceful end: the services are asked by one of them (service/stopd.py), and the node does not wait for ever.

One idea: time limits that are messages hold as long as messages are handled. A handler that never returns needs one
that is not; it is broken off `patience` seconds after the others.
"""

from __future__ import annotations

import time
from typing import Any

from ..core.errors import DriveTimeout, SkynetError
from ..core.handle import address_text
from ..drive.breaking import broken_off


def stopped(node: Any, seconds: float) -> bool:
    """Whether all services with skynet.on_stop have come to their end in time. `close` is still to be called."""
    driver, server = node.driver, node.server
    if type(seconds) not in (int, float) or not 0 <= seconds < 1 << 31:
        raise SkynetError(f"shutdown takes a number of seconds, 0 or more, not {seconds!r}")
    with server.lock:
        wanted = any("on_stop" in ctx.state.libs for ctx in server.contexts.values() if ctx.state is not None)
    if driver.closed or server.aborted or not wanted:
        return node.all_stopped is not False
    limit = None if node.clock.virtual else seconds + driver.patience
    end = None if limit is None else time.monotonic() + limit
    what, handle = "the end of all services", 0
    try:
        with broken_off(limit):
            handle = driver.enter(lambda: driver.drive(lambda: node.launch_noted("stopd", ())), end, what)
            left = None if end is None else end - time.monotonic() + 1  # after a break, stopd has still to say so
            node.all_stopped = node.call(handle, "lua", round(seconds * 100), timeout=left)
    except DriveTimeout:
        asked = node.service(handle).namespace.get("asked") if handle in server.contexts else None
        who = f" of {address_text(asked[-1])}" if asked else ""
        server.warn(handle, f"stop: no end in {seconds:g} s, a handler{who} does not come back: closed as it is")
        node.all_stopped = False
    except SkynetError:
        if node.all_stopped is None and not server.aborted:
            raise
    return bool(node.all_stopped)  # another thread or a signal handler was faster, and closes it; or it was aborted
