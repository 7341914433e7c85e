"""Nodes as processes: start them, tell their lines apart, say how each ends, stop them all.

One idea: one loop, which waits for whatever comes: a line of a node, a signal, the end of a process. Nothing is
restarted, for who restarts a node hides that it has failed.

None outlives us. We hold the other end of each node's standard input, and it stops when that is gone (`--until-eof`);
the kernel lets go of it for us, however we end.
"""

from __future__ import annotations

import itertools
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .plan import Member, Plan
from .state import Held

COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
US = "*"  # no node has this name
CHUNK = 1 << 16  # bytes that are read at a time, and of a line that are waited for
DRAIN = 32  # chunks, more than a pipe holds: who has left the group of a node may write on for ever
SAME = 0.5  # seconds in which a second signal is the first one again: from the terminal, and from what has started us
BEYOND = 2.0  # seconds after those of the key `shutdown`, in which a node should have ended
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Voices:
    """Lines, behind the name of who says them. `gone`: nobody reads them any more."""

    def __init__(self, names: list[str], out: BinaryIO, colour: bool) -> None:
        width = max(map(len, names))
        self._heads = {name: f"{name:{width}} | ".encode() for name in (*names, US)}
        if colour:
            codes = dict(zip(names, itertools.cycle(COLOURS), strict=False))
            self._heads |= {n: b"\x1b[%dm%b\x1b[0m" % (codes.get(n, 1), head) for n, head in self._heads.items()}
        self._out = out
        self.gone = False

    def say(self, who: str, *lines: bytes) -> None:
        with suppress(BrokenPipeError):
            if not self.gone:
                self.gone = True
                self._out.write(b"".join(self._heads[who] + line + b"\n" for line in lines))
                self._out.flush()
                self.gone = False


class Child:
    """The process of a node. `deadline`: when it is killed; None: nobody has asked it to stop."""

    def __init__(self, member: Member, file: Path, table: str) -> None:
        command = [sys.executable, "-P", "-m", "skynet_lite", "run", "--until-eof", "--node", member.name, str(file)]
        path = (os.environ.get("PYTHONPATH"), str(Path(__file__).parents[2]))  # where this package is found
        env = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, path))}
        env |= {"SKYNET_LITE_CONSOLE": str(member.console)} if member.console else {}
        env |= {"SKYNET_LITE_CLUSTER": table} if table else {}
        # A group of its own: Ctrl-C on a terminal is told to us only, and we tell each node once.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0, env=env,
            process_group=0,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.out = self.process.stdout.fileno()
        os.set_blocking(self.out, False)
        self.member, self.name, self.since = member, member.name, time.time()
        self.deadline: float | None = None
        self.killed = False
        self.ended = ""  # how
        self._rest = b""

    def read(self) -> bytes | None:
        """None: nothing for now; nothing at all: the end."""
        try:
            return os.read(self.out, CHUNK)
        except BlockingIOError:
            return None

    def lines(self, data: bytes) -> list[bytes]:
        """Those that are whole now; at the end, or if it is too long, what there is of the last one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > CHUNK):
            lines.append(self._rest)
            self._rest = b""
        return lines

    def stop(self) -> None:
        if self.deadline is None:
            self.deadline = time.monotonic() + self.member.config.shutdown + BEYOND
            self.process.terminate()

    def kill(self) -> None:
        """And whatever it has started."""
        self.killed = True
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Up:
    """All of them. `abort`: the first that ends stops the others."""

    def __init__(self, plan: Plan, held: Held, voices: Voices, abort: bool) -> None:
        self._plan, self._held, self._voices, self._abort = plan, held, voices, abort
        self._children: list[Child] = []
        self._signals: list[str] = []  # that have come, and that nobody has spoken of yet
        self._stopping = False
        self._since = 0.0  # when the first signal came
        self._selector = selectors.DefaultSelector()
        self._statuses: list[int] = []  # that are no success

    def run(self) -> int:
        """Until the last one has ended. The status of the first that has failed, or 0; 128 + N: signal N killed it.

        Raises BrokenPipeError, when all have ended, if nobody reads what they say.
        """
        table = ""
        if self._plan.table is not None:  # with the ports that were free; JSON, which TOML can read
            lines = [f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in self._plan.table.items()]
            table = str(self._held.put("cluster.toml", "".join(lines)))
        with self._told_of_signals():
            try:
                for member in self._plan.members:
                    if not self._stopping:
                        self._start(member, table)
                self._note()
                while self._alive():
                    self._turn()
            finally:
                for child in self._alive():
                    child.kill()
        if self._voices.gone:
            raise BrokenPipeError
        return (*self._statuses, 0)[0]

    def _alive(self) -> list[Child]:
        return [child for child in self._children if not child.ended]

    def _start(self, member: Member, table: str) -> None:
        try:
            child = Child(member, self._plan.file, table)
        except OSError as e:
            self._say(f"{member.name} cannot be started: {e}")
            self._statuses.append(1)
            self._stopping = True
            return
        self._children.append(child)
        self._selector.register(child.out, selectors.EVENT_READ, child)
        console = f"console {member.console}" if member.console else ""
        self._say(f"{child.name} starts: {_list(f'pid {child.process.pid}', member.address, console)}")

    def _turn(self) -> None:
        """Wait for whatever comes first, and see to all that has come."""
        ends = [child.deadline for child in self._alive() if child.deadline is not None and not child.killed]
        for key, _ in self._selector.select(max(0.0, min(ends) - time.monotonic()) if ends else None):
            if key.data is None:
                os.read(key.fd, CHUNK)  # a signal has come; its handler has done what is urgent
            else:
                self._hear(key.data)
        for child in self._alive():
            if child.process.poll() is not None:
                self._end(child)
        alive = self._alive()
        while self._signals:
            self._say(self._signals.pop(0))
        if self._stopping or self._voices.gone:
            self._stopping = True
            for child in alive:
                child.stop()
        for child in alive:
            if child.deadline is not None and not child.killed and child.deadline <= time.monotonic():
                child.kill()
                self._say(f"{child.name} has not ended in time, and is killed")

    def _hear(self, child: Child) -> bool:
        """Pass on what a node says; whether there was something."""
        data = child.read()
        if data is None:
            return False
        if lines := child.lines(data):
            self._voices.say(child.name, *lines)
        if not data:
            self._selector.unregister(child.out)
        return bool(data)

    def _end(self, child: Child) -> None:
        """It has ended: what it said before, and then how it ended."""
        status = child.process.returncode
        child.kill()  # what it has started, and left
        for _ in range(DRAIN):
            if child.out not in self._selector.get_map() or not self._hear(child):
                break
        if child.out in self._selector.get_map():
            self._selector.unregister(child.out)
        child.close()
        child.ended = f"ended with status {status}" if status >= 0 else f"was killed by {_signal(-status)}"
        if status and not (status == -signal.SIGTERM and child.deadline is not None):  # before it could do better
            self._statuses.append(status if status > 0 else 128 - status)
        left = self._alive()
        also = ""
        if left and not self._stopping:
            also = f"; {'stopping' if self._abort else 'still running:'} {_list(*(c.name for c in left))}"
            self._stopping = self._abort
        self._say(f"{child.name} {child.ended}{also}")
        self._note()

    def _say(self, text: str) -> None:
        self._voices.say(US, text.encode())

    def _note(self) -> None:
        self._held.write({
            "pid": os.getpid(),
            "nodes": {
                child.name: {
                    "pid": child.process.pid, "address": child.member.address, "console": child.member.console,
                    "since": child.since, "ended": child.ended,
                }
                for child in self._children
            },
        })  # fmt: skip

    @contextmanager
    def _told_of_signals(self) -> Iterator[None]:
        """Each wakes the loop. The work is done at once: the loop may hang in a pipe that nobody empties."""
        theirs, ours = os.pipe()
        for end in (theirs, ours):
            os.set_blocking(end, False)
        self._selector.register(theirs, selectors.EVENT_READ, None)
        heard = [s for s in STOPS if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN]  # nohup
        before = {s: signal.signal(s, self._asked) for s in heard}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        woken = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for s, handler in before.items():
                signal.signal(s, handler)
            self._selector.close()
            os.close(theirs)
            os.close(ours)

    def _asked(self, number: int, frame: object) -> None:
        """The first signal stops them, the second one kills."""
        alive, again, now = self._alive(), self._since > 0, time.monotonic()
        if again and now - self._since < SAME:
            return
        self._stopping, self._since = True, now
        for child in alive:
            if again:
                child.kill()
            else:
                child.stop()
        names = _list(*(child.name for child in alive))
        self._signals.append(f"{_signal(number)}: {f'killing {names}' if again else f'stopping {names} (again: kill)'}")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one
        return f"signal {number}"


def _list(*words: str) -> str:
    return ", ".join(filter(None, words))
