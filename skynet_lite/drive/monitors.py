"""What the monitor says of workers that do not come back: which service, since when, on which message, at which line.

One idea: the counts of core/monitor.py tell that a handler has not come back; the stack of
its thread tells where it is. Both are only looked at: nothing is stopped.

After thread_monitor of skynet-src/skynet_start.c, and skynet_monitor_check.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.handle import address_text
from ..core.message import mail_label
from ..core.monitor import MemoryWatch, resident_mib
from ..core.places import is_ours, place_label
from ..core.server import Server
from .worker import Worker


@dataclass(frozen=True)
class Endless:
    """What the monitor says of a worker that does not come back.

    `service`, `source`: handles; `seconds` since it took the message; `place`: `main:12`, the innermost line that
    is not ours, "" if none is known; `function`: its name; `message`: in a few words.
    """

    worker: int
    service: int
    name: str
    source: int
    version: int
    seconds: float
    message: str
    place: str
    function: str

    def lines(self) -> list[str]:
        """For the log: skynet's own line, then ours."""
        at = f", at {self.place} in {self.function}" if self.place else ""
        return [
            f"error: A message from [ :{self.source:08x} ] to [ :{self.service:08x} ] maybe in an endless loop "
            f"(version = {self.version})",
            f"service {self.name} ({address_text(self.service)}) on worker {self.worker}, since {self.seconds:.0f} s, "
            f"message {self.message}{at}",
        ]

    def __str__(self) -> str:
        return self.lines()[1]


class Monitors:
    """`node.monitor`: what the monitor thread asks every 5 s; tests need no time for it."""

    def __init__(self, server: Server, workers: Sequence[Worker], mib: int) -> None:
        self._server = server
        self._workers = workers
        self._memory = MemoryWatch(mib)

    def check(self) -> list[Endless]:
        """Look at each worker; what is told of them stands in the log, too."""
        found = []
        for worker in self._workers:
            with self._server.lock:
                if worker.monitor.check():
                    found.append(self._endless(worker))
        for report in found:
            ctx = self._server.contexts.get(report.service)
            if ctx is not None:
                ctx.endless = True
            for line in report.lines():
                self._server.warn(0, line)
        return found

    def check_memory(self, mib: float | None = None) -> bool:
        """Warn if the process has grown past the threshold, which then doubles (config key `memory`)."""
        mib = resident_mib() if mib is None else mib
        if not self._memory.check(mib):
            return False
        self._server.warn(0, f"Memory warning {mib:.2f} M (of the process: services share one heap)")
        return True

    def _endless(self, worker: Worker) -> Endless:
        monitor = worker.monitor
        ctx = self._server.contexts.get(monitor.destination)
        file = getattr(ctx.state, "file", None) if ctx is not None else None
        frame = sys._current_frames().get(worker.ident or 0)
        while frame is not None and is_ours(frame.f_code):
            frame = frame.f_back
        label = ctx.called if ctx is not None else "?"
        place = place_label((frame.f_code, frame.f_lineno), ctx.name if ctx else "?", file) if frame is not None else ""
        message = "that it has gone"
        if monitor.message is not None:
            message = re.sub(r" (\S+) (:\S+)$", r" session \1 from \2", mail_label(monitor.message))
        return Endless(
            worker.number, monitor.destination, label, monitor.source, monitor.version,
            time.monotonic() - monitor.since, message, place, frame.f_code.co_name if frame is not None else "",
        )  # fmt: skip
