"""What offloaded functions have come to, let in by the one thread that drives (skynet/offload.py).

One idea: under the real clock a result comes when it comes. Under the virtual clock nothing else can run when one is
let in, and it is that of the oldest job; so the same program makes the same trace, however fast its threads are.
"""

from __future__ import annotations

import time
from typing import Any

from ..core.context import Context
from .driver import Job


class Results:
    """Part of a Loop. Several workers let results in as they come."""

    _oldest: tuple[Any, float] = None, 0.0  # the job that all wait for, and since when

    def leave(self: Any, ctx: Context, job: Job) -> None:
        self.between(job)

    def came(self: Any, ctx: Context, job: Job) -> None:
        """A job has ended, in its thread; `job` lets its result in."""
        if self._server.clock.virtual:
            self.wake()
        else:
            self.between(job)

    def next_result(self: Any) -> bool:
        """Nothing else can run. Under the virtual clock let in the result of the oldest job, if it has ended.

        Only when that one does not come within `patience` seconds, for it may itself wait for another, the next that
        has ended comes first.
        """
        jobs = list(self.offloads.items()) if self._server.clock.virtual else []
        if jobs and self._oldest[0] != jobs[0][0]:
            self._oldest = jobs[0][0], time.monotonic()
        late = time.monotonic() - self._oldest[1] > self.patience
        for _, (call, enter) in jobs if late else jobs[:1]:
            if call.done.is_set():
                enter()
                return True
        return False
