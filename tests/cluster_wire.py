"""Nodes that talk over a wire that a test can read, answer, cut and stop; for the recordings in tests/golden/cluster.

One thread does all: it drives the nodes, moves the bytes, and goes on when what it waits for has come. So a test says
what must be seen, and no time; the nodes' clocks are virtual.
"""

from __future__ import annotations

import json
import select
import socket as pysocket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import LIMIT

from skynet_lite import Node, cluster, skynet

GOLDEN = Path(__file__).parent / "golden" / "cluster"
INTEROP = Path(__file__).parent / "interop"
MAIN = 8  # the handle of a node's first service, after those that it boots with
Job = Callable[[], Any]

# ---- what a recording holds


def load(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return data


# ---- the wire


class End:
    """One end of a connection; what comes in is cut into frames, which keep their two bytes of length."""

    def __init__(self, sock: pysocket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.got, self.frames = bytearray(), list[bytes]()
        self.out = bytearray()
        self.eof = False  # the other side is done, or has broken off
        self.stopped = False  # nothing is read, so the peer's buffers fill

    def send(self, data: bytes) -> None:
        self.out += data

    def pump(self) -> bool:
        """Move what can be moved; whether anything was."""
        moved = False
        try:
            while self.out:
                del self.out[: self.sock.send(self.out)]
                moved = True
        except BlockingIOError:
            pass
        except OSError:
            self.out.clear()
        try:
            while not self.eof and not self.stopped:
                data = self.sock.recv(1 << 16)
                self.got += data
                moved, self.eof = True, not data
        except BlockingIOError:
            pass
        except OSError:
            moved = self.eof = True
        while len(self.got) >= 2 and len(self.got) >= (end := 2 + int.from_bytes(self.got[:2], "big")):
            self.frames.append(bytes(self.got[:end]))
            del self.got[:end]
        return moved

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Wire:
    """A port that callers connect to. With `to`, each connection leads on to that port, and all frames are noted."""

    def __init__(self, to: int | None = None) -> None:
        self.to = to
        self.server: pysocket.socket | None = None
        self.port = 0
        self.callers, self.callees = list[End](), list[End]()  # of each connection; callees are there with `to` only
        self.log = list[tuple[int, str, bytes]]()  # (connection, c2s or s2c, frame)
        self.listen()

    def listen(self) -> None:
        self.server = pysocket.create_server(("127.0.0.1", self.port))
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]

    def refuse(self) -> None:
        """From now on nobody listens."""
        assert self.server is not None
        self.server.close()
        self.server = None

    def pump(self) -> bool:
        moved = False
        while self.server is not None and select.select([self.server], [], [], 0)[0]:
            self.callers.append(End(self.server.accept()[0]))
            if self.to is not None:
                self.callees.append(End(pysocket.create_connection(("127.0.0.1", self.to))))
            moved = True
        for end in (*self.callers, *self.callees):
            if end.sock.fileno() >= 0:
                moved |= end.pump()
        for i, (caller, callee) in enumerate(zip(self.callers, self.callees, strict=False)):
            for kind, one, other in (("c2s", caller, callee), ("s2c", callee, caller)):
                for frame in one.frames:
                    self.log.append((i, kind, frame))
                    other.send(frame)
                one.frames.clear()
                if one.eof and not other.out and other.sock.fileno() >= 0:
                    other.close()  # a skynet that is told that the other side is done closes, too
                    one.close()
        return moved

    def cut(self, i: int, reset: bool = False) -> None:
        """End a connection, both ways."""
        for ends in (self.callers, self.callees):
            if len(ends) > i and ends[i].sock.fileno() >= 0:
                (ends[i].reset if reset else ends[i].close)()

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for end in (*self.callers, *self.callees):
            end.close()


# ---- the nodes


class Echo:
    """The service of the recordings; tests/interop/echo.lua is its twin."""

    def __init__(self) -> None:
        self.notes = list[Any]()
        self.slept = 0  # how often it was told to

    def service(self) -> None:
        skynet.dispatch("lua", self.dispatch)

    def dispatch(self, session: int, source: int, *args: Any) -> None:
        if not args or args[0] is None:
            skynet.retpack("no command")
        else:
            getattr(self, args[0])(*args[1:])

    def ECHO(self, *args: Any) -> None:
        skynet.retpack(*args)

    def LEN(self, text: str) -> None:
        skynet.retpack(len(text))

    def BIG(self, count: int, unit: str = "x") -> None:
        skynet.retpack(unit * count)

    def SLEEP(self, ticks: int, *args: Any) -> None:
        self.slept += 1
        skynet.sleep(ticks)
        skynet.retpack(*args)

    def ERR(self, text: str) -> None:
        raise ValueError(text)

    def NULL(self) -> None:
        skynet.ret()

    def NOTHING(self) -> None:
        skynet.retpack()

    def NOTE(self, *args: Any) -> None:
        self.notes.extend(args)

    def NOTES(self) -> None:
        told, self.notes = self.notes, []
        skynet.retpack(told)

    def EXIT(self) -> None:
        skynet.exit()

    def RELAY(self, address: int, *args: Any) -> None:
        skynet.retpack(*_several(skynet.call(address, "lua", *args)))

    def HANG(self) -> None:
        skynet.wait()


def _several(answer: Any) -> tuple[Any, ...]:
    return answer if type(answer) is tuple else (answer,)


class Outcome:
    """What became of a job: its value, or its error. Both at once, or twice, is an error of its own."""

    def __init__(self) -> None:
        self.times = 0
        self.value: Any = None
        self.error: Exception | None = None


class Member:
    """A node of a cluster whose first service, :00000008, does what it is told: jobs, one after another or at once."""

    booting: Member

    def __init__(self, **keys: Any) -> None:
        self.jobs = list[tuple[Job, Outcome]]()
        Member.booting = self
        keys = {
            "clock": "virtual",
            "log": list,
            "luaservice": f"{INTEROP}/?.py",
            "snax": f"{INTEROP}/?.py",
            "start": "member",
            **keys,
        }
        self.node = Node(**keys)
        self.begin()

    def begin(self) -> None:
        self.node.run_until_idle()

    def turn(self) -> None:
        """What it does when it is its turn."""
        self.node.run_until_idle()

    def main(self) -> None:
        skynet.dispatch("lua", self._run)
        self.boot()

    def boot(self) -> None:
        """What comes first."""

    def _run(self, session: int, source: int, number: int) -> None:
        job, outcome = self.jobs[number]
        try:
            outcome.value = job()
        except Exception as e:
            outcome.error = e
        outcome.times += 1

    def start(self, job: Job) -> Outcome:
        outcome = Outcome()
        self.jobs.append((job, outcome))
        self.node.send(MAIN, "lua", len(self.jobs) - 1)
        return outcome

    def do(self, job: Job) -> Any:
        """A job that needs nobody else."""
        outcome = self.start(job)
        self.node.run(until=lambda: outcome.times, timeout=LIMIT)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def said(self) -> str:
        return "\n".join(self.node.log_lines)


class Callee(Member):
    """A node as those of the recordings that were called: its services have the same handles, 11 and on."""

    def __init__(self, names: list[str], **keys: Any) -> None:
        self.echoes = {name: Echo() for name in names}
        self.handles = dict[str, int]()
        super().__init__(**keys)

    def boot(self) -> None:
        _, self.port = cluster.open(0)
        for name, echo in self.echoes.items():
            handle = self.handles[name] = skynet.newservice(echo.service)
            cluster.register(name, handle)
            skynet.name(f".{name}", handle)

    @property
    def slept(self) -> int:
        return sum(echo.slept for echo in self.echoes.values())

    def notes(self) -> list[Any]:
        return [note for echo in self.echoes.values() for note in echo.notes]

    def clear(self) -> None:
        for echo in self.echoes.values():
            echo.notes.clear()


class World:
    """All that moves in a test."""

    def __init__(self) -> None:
        self.members, self.wires, self.ends = list[Member](), list[Wire](), list[End]()

    def add(self, *those: Member | Wire | End) -> None:
        for one in those:
            part: list[Any] = (
                self.members if isinstance(one, Member) else self.wires if isinstance(one, Wire) else self.ends
            )
            part.append(one)

    def round(self) -> bool:
        """Let everybody do what can be done now; whether bytes have moved."""
        for member in self.members:
            member.turn()
        moved = False
        for one in (*self.wires, *self.ends):
            moved |= one.pump() if not isinstance(one, End) or one.sock.fileno() >= 0 else False
        return moved

    def until(self, true: Callable[[], Any], idle: Callable[[], Any] = lambda: None, what: str = "") -> Any:
        """Go on until it is true. `idle` is called each time that nothing moves."""
        end = time.monotonic() + LIMIT
        while not (it := true()):
            if not self.round():
                idle()
                assert time.monotonic() < end, f"it did not come in time: {what}\n{self.said()}"
                time.sleep(0)
        return it

    def rounds(self, count: int = 30) -> None:
        """A while, for what must not happen."""
        for _ in range(count):
            self.round()
            time.sleep(0)

    def said(self) -> str:
        return "\n----\n".join(member.said() for member in self.members)

    def close(self) -> None:
        for wire in self.wires:
            wire.close()
        for end in self.ends:
            end.close()
        for member in self.members:
            member.node.close()
