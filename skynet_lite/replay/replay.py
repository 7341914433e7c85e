"""A run again, from its recording alone: the same program in a node whose outside is the world of the trace.

Nothing is polled, opened or waited for. What the driver did then is done again when as
many events have been recorded as then; in between, messages are dispatched one by one.
Each new event is compared with the recorded one as it comes, and the first that differs
ends the replay on the spot. So does a question that the world was not asked then, for
there is no answer to it, and whatever goes out and is no longer the same: an address that
is asked, bytes that are written, values that are sent, what is set for the whole node.
The replay is itself recorded from birth, and can be replayed.

`random`, files, the time of day and variables outside of the services are not part of a
recording: where they steer the program, the replay shows it as a divergence.
"""

from __future__ import annotations

import bisect
import errno
import linecache
import os
import re
import sys
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.clock import Clock, VirtualClock
from ..core.errors import SkynetError
from ..core.message import PTYPE_LUA, pack
from ..core.outside import Descriptor, Lookup
from ..core.places import stack_of
from ..drive.loop import Loop
from ..node.loader import Registry, StartFunction
from ..skynet.coroutine import Coroutine, running
from ..skynet.offload import come, restore
from ..skynet.scheduler import Scheduler
from ..skynet.threads import answered
from ..skynet.waits import woken
from ..tell.record import DRIVER, WRITING, Asked, Position, usual
from ..trace import Trace
from ..trace.kinds import Event, each
from ..trace.language import say
from ..trace.text import line, printable
from ..trace.values import plain, values_of
from ..trace.world import INPUTS, TELLING, Failure, World, said

if TYPE_CHECKING:
    from ..node.node import Node

READINGS = 100_000
"""Of a clock that stands still, one after the other, until it is clear that this will not end."""
_HEAD = "Traceback (most recent call last):"
_TRACEBACK = re.compile(r"^  (\S+):\d+ in (.*)(\n    .*)?$", re.MULTILINE)


class _Stop(BaseException):
    """The replay has left the recording. Where this is caught on its way, the next event raises it again."""


@dataclass(frozen=True)
class Divergence:
    """Where a replay leaves its recording. `index`: number of the first event that differs.

    `expected`, `got`: the recorded event and the new one; None where there is none. The places
    are those of the events, else the nearest before, of the same coroutine ("" if none is
    known); the lines are the source text there. `reason`: what was asked and cannot be answered, or
    what differs that no event shows: values that are sent, what is said to the world.
    """

    index: int
    expected: Event | None
    got: Event | None
    expected_place: str
    got_place: str
    expected_line: str
    got_line: str
    reason: str = ""

    def __str__(self) -> str:
        lines = [say(f"the replay leaves the recording at event {self.index}", f"重放在事件 {self.index} 处偏离录制")]
        sides = (
            (
                say("recorded", "录制"),
                self.expected,
                self.expected_place,
                self.expected_line,
                say("nothing more", "没有了"),
            ),
            (
                say("replayed", "重放"),
                self.got,
                self.got_place,
                self.got_line,
                self.reason or say("nothing more can run", "没有可以运行的了"),
            ),
        )
        for name, event, place, source, else_ in sides:
            lines.append(f"  {name}{say(': ', '：')}{line(event) if event is not None else else_}")
            if place:
                lines.append(printable(f"            {place}  {source}".rstrip()))
        if self.got is not None and self.reason:
            lines.append(f"  {self.reason}")
        if self.expected_line and (self.expected_place, self.expected_line) == (self.got_place, self.got_line):
            lines.append(
                say(
                    "  The line is the same. What changed is before it, or it is not part of a recording "
                    "(random, files, the time of day, variables outside of the services).",
                    "  两边是同一行：改变在它之前，或者不在录制之内（随机数、文件、当前时间、服务之外的变量）。",
                )
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Replay:
    """What came of a replay: its own `trace`, and where it left the recording (`divergence`), if it did."""

    trace: Trace
    divergence: Divergence | None

    @property
    def same(self) -> bool:
        return self.divergence is None

    def __str__(self) -> str:
        n = len(self.trace)
        return str(self.divergence or say(f"the same run again: {n} events", f"同样的运行：{n} 个事件"))

    def __repr__(self) -> str:
        return f"<Replay: {self}>"


def replay(make: type[Node], trace: Trace, services: Sequence[str | StartFunction], keys: dict[str, Any]) -> Replay:
    """Run the program of `trace` again, with no network and without waiting.

    `services`: the start functions, or files, that the program was given from outside; functions
    of the same names may stand in for them. A trace from a file may not say which files are run
    here: for such a one give them, or `luaservice=`, where to look for them. `keys`: for the node,
    as `log=` (default: list); the clock, the bootstrap and the environment are those of the
    recording. Raises SkynetError for a trace that was not recorded from birth, and for a service
    that is missing. DOC: replay
    """
    world = trace.world
    if "workers" in trace.snapshot:
        raise SkynetError(
            "this trace cannot be replayed: it is of several workers, and which of them was faster is in no recording; "
            "record with thread=1"
        )
    if world is None or trace.whole is not trace:
        what = "a part of a trace" if trace.whole is not trace else "this trace"
        raise SkynetError(
            f"{what} cannot be replayed, for it does not hold what came from outside since the birth of its node: "
            "record with Node(record=True), and replay the whole of node.trace"
        )
    expected = list(trace.events)
    linecache.checkcache()  # files may have been edited since
    if not world.inputs:
        raise SkynetError("there is nothing to replay: the node of this trace was never driven")
    patterns = "" if world.stored else world.config["luaservice"]
    config: dict[str, Any] = {"luaservice": patterns, "log": list} | keys
    folder = "." if world.stored or "luaservice" in keys else world.config["folder"]
    known = _known(world, services, Registry(config["luaservice"], folder))
    outside = Replayed(world)
    config |= {key: world.config[key] for key in ("clock", "bootstrap", "env")} | {"thread": 1, "skynet": trace.skynet}
    node = make(outside=outside, record=True, **config)
    node.registry = Registry(config["luaservice"], folder, keys.get("snax"), keys.get("preload"))
    for name, service in known.items():
        node.registry.give(name, service)
    assert node.trace.world is not None
    node.trace.world.services += world.services
    node.trace.world.config["folder"] = world.config["folder"]
    return _Run(node, outside, trace, expected).result()


def _known(world: World, services: Sequence[str | StartFunction], registry: Registry) -> dict[str, str | StartFunction]:
    """Which of the given services goes by which name of the recording."""
    left = list(services)
    known: dict[str, str | StartFunction] = {}
    start = world.config["env"].get("start")
    for name in dict.fromkeys([*([start] if start is not None else []), *world.services]):
        found = next((s for s in left if name in (b := registry.base(s), f"{b}-{name.rpartition('-')[2]}")), None)
        if found is not None:
            left.remove(found)
            known[name] = found
            continue
        try:
            if world.stored and not name.isidentifier():
                raise SkynetError(f"{name!r} came from a file, and may not name another")
            registry.find(name)
        except SkynetError:
            given = ", ".join(registry.base(s) for s in services) or "nothing"
            raise SkynetError(
                f"the recorded program starts a service {name!r}, and it is neither given nor found as a file: "
                f"pass its start function, or its file, to Node.replay(trace, ...); given: {given}"
            ) from None
    return known


class _Run:
    """One replay: `node` does again what `trace` holds."""

    def __init__(self, node: Node, outside: Replayed, trace: Trace, expected: list[Event]) -> None:
        assert isinstance(node.driver, Loop)
        self._node, self._driver, self._outside = node, node.driver, outside
        self._recorded, self._expected, self.new = trace, expected, node.trace
        self._divergence: Divergence | None = None
        outside.enter(node, lambda: len(self.new.events), self.stop)

    def result(self) -> Replay:
        node, new = self._node, self.new
        assert node.recorder is not None
        self._record = node.recorder.sink
        node.recording.remove(self._record)
        node.recording.add(self._judge)
        try:
            with suppress(_Stop):
                self._go()
        finally:
            node.recording.remove(self._judge)
            self._outside.over = True
            new.settle()
            new.world = deepcopy(new.world)  # without what closing asks
            node.close()
        new.snapshot |= {"ends": ends} if (ends := self._recorded.snapshot.get("ends")) else {}
        new.stamps = {}
        for of, (numbers, ended, began) in self._recorded.stamps.items():
            k = bisect.bisect_right(numbers, len(new))
            new.stamps[of] = numbers[:k], ended[:k], began[:k]
        return Replay(new, self._divergence)

    def _go(self) -> None:
        assert self._recorded.world is not None
        inputs, i = list(self._recorded.world.inputs), 0
        while i < len(inputs) or len(self.new) < len(self._expected):
            n, kind, *values = inputs[i] if i < len(inputs) else (len(self._expected), "end")
            if self._node.closed:
                self.stop("the node is closed")
            if len(self.new) >= n:
                self._outside.begin()
                self._drive(kind, values)
                i += 1
            elif self._node.server.global_queue:
                self._driver.step_replayed()
            else:
                self.stop("")
        if missing := self._outside.missing(len(self.new)):
            self.stop(missing)

    def _drive(self, kind: str, values: list[Any]) -> None:
        """Do again what the driver did then."""
        node, driver = self._node, self._driver
        does: dict[str, Callable[..., None]] = {"own": driver.own, "mark": node.mark, "close": node.close}
        if kind == "poll":
            self._outside.found, self._outside.names = values
            with suppress(KeyboardInterrupt) if isinstance(values[0], Failure) else nullcontext():
                driver.drive(lambda: node.server.poll(0))
        elif kind == "jump" and node.clock.virtual:
            driver.drive(lambda: node.server.jump(values[0]))
        elif kind == "call":
            target = node.handles.contexts.get(values[0])
            if target is None:
                self.stop(f"a call from outside goes to :{values[0]:08x}, and there is no such service")
            driver.drive(lambda: node.server.call_in(target, PTYPE_LUA, values[1], pack(values[2])))
        elif kind == "launch":
            driver.drive(lambda: node.launch_noted(*values))
        elif kind == "offload":
            self._offload(*values)
        elif kind in ("wakeup", "response"):
            s = self._service(values[0])
            enter: Any = answered if kind == "response" else woken
            driver.drive(lambda: enter(s, *values[1:]))
        elif kind == "client":
            node.recording.tell(("client", 0, *values))
        elif kind in does:
            does[kind](*values)
        else:
            self.stop(f"the recorded message ended with {kind} {values[0]}, this one does not")

    def _service(self, handle: int) -> Scheduler:
        ctx = self._node.handles.contexts.get(handle)
        if ctx is None or ctx.state is None:
            self.stop(f"what a thread has brought is for :{handle:08x}, and there is no such service")
        state: Scheduler = ctx.state
        return state

    def _offload(self, handle: int, session: int, kept: tuple[Any, ...]) -> None:
        """What came of a thread then, without it."""
        s = self._service(handle)
        call, _ = self._driver.offloads.get((handle, session), (None, None))
        if call is None:
            self.stop(f"a thread came back for session {session} then, and now nobody waits for it")
        try:
            restore(call, *kept)
        except SkynetError as e:
            self.stop(str(e))
        self._driver.drive(lambda: come(s, session))

    # ---- comparing

    def _judge(self, told: tuple[Any, ...]) -> None:
        """The sink: record, and look at each event as it comes."""
        for raw in each(told):
            self._judge_one(raw)

    def _judge_one(self, raw: tuple[Any, ...]) -> None:
        if self._divergence is not None:
            raise _Stop  # somebody has caught it
        self._record(raw)
        i = len(self.new.events) - 1
        got = self.new.events[i]
        if i >= len(self._expected) or not same(self._expected[i], got):
            self._diverge(i, got, "")
        if missing := self._outside.missing(i):
            self._diverge(i, got, missing)
        sent, then = self.new.world.sent, self._recorded.world.sent  # type: ignore[union-attr]  # both have one
        if got["e"] == "send" and sent[-1] != (then[len(sent) - 1] if len(sent) <= len(then) else None):
            values = repr(plain(values_of(raw[-2])))
            self._diverge(i, got, f"it sends {values[:60]}, and in the recording other values")

    def stop(self, reason: str) -> NoReturn:
        """Leave the recording without an event. Raises _Stop."""
        self._diverge(len(self.new.events), None, reason)

    def _diverge(self, i: int, got: Event | None, reason: str) -> NoReturn:
        if self._divergence is not None:
            raise _Stop  # somebody has caught it
        expected = self._expected[i] if i < len(self._expected) else None
        before = place(self._expected, i, expected or got)
        after = self._here() or place(self.new.events, i, got or expected)
        lines = self._recorded.source_line(before), self.new.source_line(after)
        self._divergence = Divergence(i, expected, got, before, after, *lines, reason)
        raise _Stop

    def _here(self) -> str:
        """The line of the service that asks, if one does."""
        co = running()
        if not isinstance(co, Coroutine):
            return ""
        at, places = stack_of(sys._getframe()), self._node.places()
        self.new.sources.update(places.source(co.service.handle, at))
        return places.stack(co.service.handle, at)[-1]


def bare(event: Event) -> Event:
    """An event without places in the source: a comment put in is no difference."""
    found = {key: value for key, value in event.items() if key not in ("at", "stack", "runs")}
    if event["e"] == "log":
        found["text"] = _TRACEBACK.sub(r"  \1 in \2", event["text"])
    return found


def same(then: Event, now: Event) -> bool:
    """Whether these are the same; a traceback may lack the lines of a thread, for in a replay none runs."""
    if bare(then) == bare(now) or then["e"] != "log" or now["e"] != "log":
        return bare(then) == bare(now)
    before, after = ([found[:2] for found in _TRACEBACK.findall(event["text"])] for event in (then, now))
    frames = iter(before)
    rest = {_TRACEBACK.sub("", event["text"]).replace(_HEAD, "").replace("\n", "") for event in (then, now)}
    return len(rest) == 1 and all(frame in frames for frame in after)


def place(events: list[Event], i: int, event: Event | None) -> str:
    """The place of `event` (number `i`), else the nearest before it of its coroutine; "" if none is known."""
    if event is None or "at" in event:
        return str(event["at"]) if event else ""
    who = _who(event)
    if event["e"] == "co_create" and "at" in (e := events[i + 1] if i + 1 < len(events) else {}) and _who(e) == who:
        return str(e["at"])  # the fork or timeout that it is made for
    for e in reversed(events[:i]):
        if "at" in e and (_who(e) == who or who[1] in (None, "main")):
            return str(e["at"])
        if e["e"] == "co_create" and who == (e["service"], e["co"]):
            return str(e.get("runs", ""))  # what stands before is another task's
    return str(event.get("runs", ""))


def _who(event: Event) -> tuple[Any, Any]:
    """Service and coroutine that an event is the doing of."""
    by = event.get("in") if event["e"] in ("co_create", "fork", "wakeup") else event.get("co", event.get("in"))
    return event.get("service"), by


# ---- the outside of a replay


def asked(method: str, said: tuple[Any, ...] = ()) -> str:
    """A question to the world, or what is set for the whole node (a note), as a call."""
    name, *values = said if method == "note" else (method, *said)
    told = [
        f"bytes with CRC-32 {value:08x}" if name in WRITING and n == 0 else repr(value)
        for n, value in enumerate(values)
    ]
    return f"{name}({', '.join(told)})" if said else method


class _Ghost:
    """A socket that is none: a number, so that tables can be kept by it."""

    def __init__(self, number: int, family: int) -> None:
        self._fd = number
        self.family = family

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None: ...


class _GhostDescriptor(_Ghost, Descriptor):
    pass


class Replayed(Asked):
    """The world of a recording, as the outside of a node. Asks nobody."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._answers = {(n, k): rest for n, k, *rest in world.answers}
        # What was said to the world, to be said again; the driver looks around as it likes.
        self._due = deque((n, k) for n, k, method, *_ in world.answers if method in TELLING and k < DRIVER)
        self._made = 0
        self._tokens: dict[int, Any] = {}  # whoever waits for a name, by id of the socket
        self.found: Any = []  # what the poll that is under way finds
        self.names: list[Any] = []
        self.over = False  # the run is: what is asked while all is closed does not matter

    def enter(self, node: Node, events: Any, stop: Any) -> None:
        self._node = node
        self._stop = stop
        self._place = Position(events)
        self._clock.place = Position(events)

    def begin(self) -> None:
        for place in (self._place, self._clock.place):
            place.reset()

    def ask(self, method: str, sock: Any, *args: Any) -> Any:
        number = 0 if sock is None else sock.fileno()
        answer = usual(method, args)
        if self.over:
            if answer is NotImplemented:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        else:
            told = [said(args)] if method in TELLING else []
            then = self._answers.get(place := self._place())
            if self._due and self._due[0] == place:
                self._due.popleft()
            if then is not None and then[:2] == [method, number]:
                answer = then[2]
                if method in WRITING and then[3][0] != zlib.crc32(args[0]):
                    if answer == len(args[0]):
                        data = bytes(args[0][:60])
                        self._stop(say(f"{data!r} is written to the world, and in the recording other bytes",
                                       f"向外写的是 {data!r}，录制里是别的字节"))  # fmt: skip
                    answer = len(args[0])  # the event will differ, and say more
                elif then[3:] != told:
                    self._stop_at(then, method, told)
            elif then is not None or answer is NotImplemented or told:
                self._stop_at(then, method, told)
        if isinstance(answer, Failure):
            raise answer.error()
        if method not in ("socket", "adopt", "accept"):
            return answer
        self._made += 1
        new = (_GhostDescriptor if method == "adopt" else _Ghost)(self._made, args[0] if method == "socket" else 0)
        return (new, answer) if method == "accept" else new

    def _stop_at(self, then: list[Any] | None, method: str, told: list[Any]) -> None:
        what = say("nothing", "什么也没有") if then is None else asked(then[0], *then[3:])
        here = asked(method, *told)
        self._stop(
            say(f"the world is asked for {here}; the recording has {what} here",
                f"这里向外界请求 {here}，而录制里此处是：{what}")
        )  # fmt: skip

    def missing(self, i: int) -> str:
        """What was said to the world before event `i`, and is not now; "" if nothing is."""
        if not self._due or self._due[0][0] > i:
            return ""
        what = asked(*self._answers[self._due[0]][::3])
        return say(
            f"in the recording the world is asked for {what} before that", f"录制里在此之前还向外界请求了 {what}"
        )

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        found, self.found = self.found, []
        if isinstance(found, Failure):
            error = found.error()
            raise KeyboardInterrupt if getattr(error, "errno", 0) == errno.ECANCELED else error
        fds = [(self._node.socket_server.fd_of(id), mask) for id, mask in found]
        if any(fd is None for fd, _ in fds):
            self._stop(say("a socket that was ready then is not watched now", "当时就绪的 socket，现在没有被监视"))
        return fds  # type: ignore[return-value]  # none is None

    def lookup(self, token: Any, host: str, port: int, kind: int) -> None:
        self._tokens[token.id] = token
        self.ask("lookup", None, host, port, kind)

    def offload(self, name: str, job: Callable[[], Any]) -> None:
        """Nothing runs; which function it is tells an event."""

    def note(self, kind: str, *values: Any) -> None:
        if kind not in INPUTS:
            self.ask("note", None, kind, *values)

    def lookups(self) -> list[Lookup]:
        names, self.names = self.names, []
        if any(id not in self._tokens for id, _ in names):
            self._stop(say("a name that was looked up then is not looked up now", "当时查询的名字，现在没有查询"))
        results: list[Lookup] = []
        for id, x in names:
            results.append((self._tokens.pop(id), x.error() if isinstance(x, Failure) else x))  # type: ignore[arg-type]
        return results

    def clock(self, virtual: bool) -> Clock:
        self._clock = _ReplayedClock(self._world, lambda reason: self._stop(reason))
        return VirtualClock() if virtual else self._clock

    def monotonic_ns(self) -> int:
        return 0  # only for stamps, which are those of the recording

    def unwatch(self, fd: int) -> None: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


class _ReplayedClock:
    """Says at each place what the recorded clock said there, or last before."""

    virtual = False

    def __init__(self, world: World, stop: Callable[[str], None]) -> None:
        self.starttime = world.config["starttime"]
        self._stop = stop
        self._world = world
        self.place: Position

    def _read(self, log: list[list[int]]) -> int:
        n, asked = self.place()
        k = bisect.bisect_right(log, [n, asked], key=lambda entry: entry[:2])
        then = log[k - 1][1] if k and log[k - 1][0] == n else 0
        if then + READINGS < asked < DRIVER:
            self._stop(
                say("it waits for the clock to move, and does nothing else: here the recorded clock stands still",
                    "它只等时钟走动，别的什么也不做：重放里的时钟在这里不动")
            )  # fmt: skip
        return log[k - 1][2] if k else 0

    def now(self) -> int:
        return self._read(self._world.ticks)

    def hpc(self) -> int:
        return self._read(self._world.hpc)

    def seconds_until(self, tick: int) -> float:
        return 0.0
