"""The flight recorder: the last events of a node, always at hand, and written down when something goes wrong.

One idea: a ring (trace/tape.py) costs what a recording costs, and no more memory as time goes by. So a node in daily
use can have one from birth, and what led to a fault is known without running it again.

Nobody looks for faults: what tells a recorder of one (tell/) says so here, too. A fault is what the log has as a
warning, a start that fails, and an error that no caller hears of. What a caller hears of is his to judge.
"""

from __future__ import annotations

import os
from contextlib import suppress

from ..core.errors import SkynetError
from ..core.server import Server
from ..trace import Recorder, Trace
from ..trace.aside import Aside


class Flights:
    """Files in `folder`, flight-1.json and so on: a node that runs again gives the same names. `recorder`: a ring, or
    of a node that keeps all; such a one writes only when it is asked."""

    def __init__(self, server: Server, recorder: Recorder | None, folder: str) -> None:
        self._server, self._recorder, self._folder = server, recorder, folder
        self._files = self._faults = 0  # written so far, and how many of them for faults
        self._due = 0  # how many events have come when the next fault is worth a file
        self._asked = False  # for a file, and it is not begun
        self._writers: list[Aside] = []

    def taken(self) -> Trace:
        """The last events, to be built and written in another thread. Raises SkynetError if none are kept."""
        with self._server.driver.still():
            return self._kept().taken()

    def _kept(self) -> Recorder:
        if self._recorder is None:
            raise SkynetError("this node keeps no events: make it with Node(recorder=10_000), or Node(record=True)")
        return self._recorder

    def fault(self) -> None:
        """Something went wrong. In the middle of a message, in any thread.

        As faults go on, twice as many events have to come each time before another file is written: a storm of them
        fills no disk.
        """
        recorder = self._recorder
        if recorder is None or recorder.ring is None:
            return
        with self._server.lock:
            seen = recorder.seen()
            if seen >= self._due:
                self._due = seen + recorder.ring * 2**self._faults
                self._faults += 1
                self.ask()

    def ask(self) -> None:
        """Have the next file written when the message is over; also from a signal handler. Raises SkynetError."""
        self._kept()
        self._asked = True
        self._server.driver.between(self._write)

    def _write(self) -> None:
        with self._server.lock:  # asked for twice, two workers may come to it
            if not self._asked:
                return
            self._asked = False
            self._files += 1
            path = os.path.normpath(os.path.join(self._folder, f"flight-{self._files}.json"))
        with suppress(OSError):
            os.makedirs(self._folder, exist_ok=True)
        with suppress(OSError):
            os.replace(path, path + ".old")  # of an earlier run
        trace = self.taken()
        if trace.world is None:  # else the run is to be replayed, where nobody asks
            self._server.log(0, f"flight recorder: the last events go to {path}")
        writer = Aside(trace, path, None, lambda failed: self._server.driver.between(self._tell))
        self._writers.append(writer)
        writer.start()
        if self._server.clock.virtual:
            writer.join()

    def _tell(self) -> None:
        """Say of each that is over what went wrong."""
        for writer in [w for w in self._writers if w.failed is not None]:
            self._writers.remove(writer)
            if writer.failed:
                self._server.log(0, f"flight recorder: {writer.failed}")

    def last(self) -> None:
        """The node is being closed: what was asked for is still written."""
        self._write()
        for writer in self._writers:
            writer.join()
        self._tell()
