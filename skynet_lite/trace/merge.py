"""The traces of several nodes as one: what one of them sends comes before what another receives.

One idea: a connection is a stream, so each byte in it has a number. The write that sent byte n lies before the read
that brought it, however the network has cut the bytes, whatever they mean, and whatever the clocks of the two nodes
say. So do a connect and its accept, an end and the one who reads it. These edges join what is in order already: each
node. What they leave open the clocks decide, as far as they go with the edges.

Which connection of one node is which of another, their addresses tell (`ends` of a snapshot). A probe in a real
skynet knows them of what it accepts only; then the numbers of bytes have to leave one choice.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import accumulate
from math import inf
from string import ascii_uppercase
from typing import Any

from .files import to_json
from .film import Film
from .kinds import Event
from .shapes import node_tables

Spot = tuple[int, int]  # which trace, which event of it
Wires = dict[tuple[str, int], tuple[str, int]]
"""Connections that are named by hand: node and socket, and the same of the other end."""
_ADDRESS = re.compile(r"(.* )?(?!:00000000)(:[0-9a-f]{8})")  # alone, or at the end of a mailbox's words


def merge(traces: Sequence[Film], names: Sequence[str] | None, wires: Wires | None) -> dict[str, Any]:
    """What a merged trace is made of: the arguments of Trace. Raises ValueError. DOC: merge"""
    names = list(names) if names is not None else [*ascii_uppercase, *map(str, range(26, len(traces)))][: len(traces)]
    _check(traces, names)
    ends = [_ends(trace, k) for k, trace in enumerate(traces)]
    pairs = _named(ends, names, wires or {})
    named = {end for pair in pairs for end in pair}
    pairs += _paired([end for found in ends for end in found.values() if end not in named])
    edges = [edge for pair in pairs for a, b in (pair, pair[::-1]) for edge in _edges(a, b)]
    if len(traces) > 1 and all(first[0] == then[0] for first, then, _ in edges):
        ends_of = "were not recorded at both ends of a connection while it was used"
        raise ValueError(f"nothing joins these traces: {', '.join(names)} {ends_of}")
    return _Merged(traces, names, edges).trace()


def _check(traces: Sequence[Film], names: list[str]) -> None:
    for trace in traces:
        if trace.whole is not trace:
            raise ValueError("a part of a trace cannot be merged: merge the whole ones, and take a part of what comes")
        if "nodes" in trace.snapshot:
            raise ValueError("this trace is merged already: merge all of its nodes at once")
        if trace.origin and not trace.probed:
            raise ValueError("a recording of single services cannot be merged: it does not tell what sockets sent")
    wrong = [name for name in names if not re.fullmatch(r"[^\s:]+", name)]
    if wrong or len(set(names)) != len(names) or len(names) != len(traces):
        raise ValueError(f"names= gives each of {len(traces)} traces one of its own, no spaces, no colons: {names}")


# --------------------------------------------------------------------------- connections


@dataclass(eq=False)
class _End:
    """One end of a connection, and the events in which it was opened, written to, read and closed."""

    trace: int
    id: int
    local: str = ""
    peer: str = ""
    foreign: bool = False  # a real skynet's
    written: int | None = None  # bytes before the first of `writes`; None: not known
    read: int | None = None
    writes: list[tuple[int, int]] = field(default_factory=list)  # event, bytes
    reads: list[tuple[int, int, int]] = field(default_factory=list)  # ready, event, bytes; 0 if nobody took them
    asked: int | None = None  # to connect
    connected: int | None = None
    accepted: int | None = None
    listened: int | None = None  # of one that was accepted: its listener
    closed: int | None = None
    finished: int | None = None  # the other end has

    def sent(self) -> int:
        return (self.written or 0) + sum(n for _, n in self.writes)

    def taken(self) -> int:
        return (self.read or 0) + sum(n for _, _, n in self.reads)

    def may_be(self, other: _End) -> bool:
        """Whether it is the other end of this one, as far as is known: it has not read more than that has sent."""
        sure = ((a, b) for a, b in ((self, other), (other, self)) if a.writes or not a.foreign)
        far = any(a and b and a != b for a, b in ((self.local, other.peer), (self.peer, other.local)))
        return self.trace != other.trace and not far and all(a.sent() >= b.taken() for a, b in sure)


def _ends(trace: Film, k: int) -> dict[int, _End]:
    """Socket → the end of a connection that it is."""
    found: dict[int, _End] = {}
    events, real = trace.events, bool(trace.origin)
    taken = {e["cause"]: e["size"] for e in events if e.get("type") == "DATA" and "size" in e and "cause" in e}
    states: dict[int, str] = {}
    listened: dict[int, int] = {}

    def end(id: int, born: bool = False) -> _End:
        one = found.setdefault(id, _End(k, id, foreign=real))
        if born and one.read is None:
            one.read = one.written = 0
        return one

    for id, (local, peer, read, written) in trace.snapshot.get("ends", {}).items():
        found[id] = _End(k, id, local, peer, real, written, read)
    for i, e in enumerate(events):
        kind, id, due = e["e"], e.get("id", 0), e.get("cause", i)
        match e.get("command") or e.get("state") or e.get("type"):
            case "DATA" if kind == "push" or real:
                end(id).reads.append((due, i, e["size"] if real else taken.get(i, 0)))
            case "listen" if kind == "driver":
                listened[id] = i
            case "connecting":
                end(id, born=True).asked = due if events[due].get("command") == "connect" else i
            case "connect" if real:
                end(id, born=True).asked = i
            case "paccept":
                end(id, born=True).accepted, end(id).listened = due, listened.get(events[due].get("id", 0))
            case "ACCEPT" if real:
                end(e["new"], born=True).accepted, end(e["new"]).listened = i, listened.get(id)
            case "connected" if states.get(id) == "connecting":
                end(id).connected = due
            case "CONNECT" if real and id in found and found[id].connected is None:
                found[id].connected = i
            case "halfclose_read" if states.get(id) == "connected" and events[due]["e"] == "ready":
                end(id).finished = due
            case "CLOSE" if real and id in found and found[id].closed is None:
                found[id].finished = i
            case "invalid" if id in found:
                found[id].closed = due
            case "close" | "shutdown" if real and id in found:
                found[id].closed = i
            case "send" if real and id in found:
                found[id].writes.append((i, e.get("size", 0)))
            case None if kind == "write" and id in found:
                found[id].writes.append((i, e["sent"]))
        if kind == "socket":
            states[id] = e["state"]
    return found


def _named(ends: list[dict[int, _End]], names: list[str], wires: Wires) -> list[tuple[_End, _End]]:
    known = {(name, id): end for name, found in zip(names, ends, strict=True) for id, end in found.items()}
    for one in (*wires, *wires.values()):
        if one not in known:
            raise ValueError(f"wires= names a connection {one!r} that no trace has; there is {sorted(known)}")
    return [(known[a], known[b]) for a, b in wires.items()]


def _paired(ends: list[_End]) -> list[tuple[_End, _End]]:
    """The connections of which both ends are there: by their addresses, else where only one choice is left."""
    waiting: defaultdict[tuple[str, str], list[_End]] = defaultdict(list)
    pairs, far = [], {end.local: end for end in ends if end.local}
    for a in ends:  # a port may be used again: the first goes with the first
        others = waiting[a.peer, a.local]
        if a.local and others and others[0].trace != a.trace:
            pairs.append((others.pop(0), a))
        elif a.peer and not a.local and far.get(a.peer, a).trace != a.trace:  # of a real skynet
            pairs.append((far[a.peer], a))
        else:
            waiting[a.local, a.peer].append(a)
    paired = {end for pair in pairs for end in pair}
    rest = [end for end in ends if end not in paired]
    while True:
        fits = [(a, b) for a in rest if a.asked is not None for b in rest if b.accepted is not None and a.may_be(b)]
        choices = Counter(end for pair in fits for end in pair)
        sure = [(a, b) for a, b in fits if choices[a] == choices[b] == 1]
        if not sure:
            return pairs
        pairs += sure
        rest = [a for a in rest if all(a not in pair for pair in sure)]


def _edges(a: _End, b: _End) -> Iterator[tuple[Spot, Spot, bool]]:
    """What of `a` lies before what of `b`, and whether it is its cause."""

    def edge(first: int | None, then: int | None, cause: bool = True) -> Iterator[tuple[Spot, Spot, bool]]:
        if first is not None and then is not None:
            yield (a.trace, first), (b.trace, then), cause

    yield from edge(a.asked, b.accepted)
    yield from edge(a.listened, b.connected, False)
    if a.asked is not None and a.connected is not None and a.asked < a.connected and not a.foreign:
        yield (a.trace, a.asked), (a.trace, a.connected), True  # so the chain of causes goes on
    yield from edge(a.closed, b.finished)
    if a.written is None or b.read is None or (a.foreign and a.sent() < b.taken()):
        return  # some of the bytes were not recorded, so the numbers of the others are not known
    ends = list(accumulate((n for _, n in a.writes), initial=a.written))
    place = b.read
    for ready, event, size in b.reads:
        first, last = (bisect_right(ends, byte) - 1 for byte in (place, place + max(size, 1) - 1))
        place += size
        # What was ready was there before; the rest of it may have come while other workers went on.
        at_once = event - ready <= 1
        for write, then, cause in ((last if at_once else first, ready, True), (last, event, False)):
            if 0 <= write < len(a.writes):
                yield from edge(a.writes[write][0], then, cause)


# --------------------------------------------------------------------------- one order


class _Merged:
    """Puts the events of all traces in one order, and makes names and numbers of one trace of theirs."""

    def __init__(self, traces: Sequence[Film], names: list[str], edges: list[tuple[Spot, Spot, bool]]) -> None:
        self.traces, self.names, self.edges = traces, names, edges
        self.events = [list(trace.events) for trace in traces]
        self.before: defaultdict[Spot, list[Spot]] = defaultdict(list)
        for first, then, _ in edges:
            self.before[then].append(first)
        # Where neither edges nor clocks decide, something has to that is not the order of the arguments.
        sums = [zlib.crc32(to_json(events).encode()) for events in self.events]
        ranked = sorted(range(len(names)), key=lambda k: (len(self.events[k]), sums[k], names[k]))
        self.rank = [ranked.index(k) for k in range(len(names))]
        self.labels = _labels(traces, names)

    def trace(self) -> dict[str, Any]:
        order = list(self._order(self._times()))
        number = {spot: n for n, spot in enumerate(order)}
        causes: dict[Spot, int] = {}
        for first, then, cause in self.edges:
            if cause:
                causes[then] = max(number[first], causes.get(then, 0))
        events = []
        for k, i in order:
            event = self._renamed(self.events[k][i], k)
            if (k, i) in causes:
                event["cause"] = causes[k, i]
            elif "cause" in event:
                event["cause"] = number[k, event["cause"]]
            events.append(event)
        sources: dict[str, str] = {}
        for trace, labels in zip(self.traces, self.labels, strict=True):
            sources |= {labels.get(label, label): text for label, text in trace.sources.items()}
        stamps = {}
        for k, trace in enumerate(self.traces):
            if "" in trace.stamps:
                numbers, ended, began = trace.stamps[""]
                stamps[self.names[k]] = [number.get((k, n), len(order)) for n in numbers], ended, began
        return {
            "events": events, "snapshot": self._snapshot(), "sources": sources, "stamps": stamps,
            "missing": sum(trace.missing for trace in self.traces),
        }  # fmt: skip

    def _snapshot(self) -> dict[str, Any]:
        services, nodes = dict[str, Any](), dict[str, Any]()
        for trace, name in zip(self.traces, self.names, strict=True):
            own = nodes[name] = _prefixed({**node_tables(), **trace.snapshot}, name)
            services |= own.pop("services")
            own.pop("ends", None)
            if trace.origin:
                own["origin"] = trace.origin
            if trace.origin or trace.stamps:
                own.pop("now")  # of a real clock: what it shows at an event was not recorded
        return {"services": services, "nodes": nodes}

    def _order(self, times: list[list[float]]) -> Iterator[Spot]:
        """Events one by one: the earliest that may come; of equals those of the node that is at it. DOC: merge-order"""
        done = [0] * len(self.events)
        free: list[tuple[float, int, int]] = []  # when the next event of a node was, its rank, the node
        blocked: defaultdict[Spot, list[int]] = defaultdict(list)  # nodes, by what has to come before their next

        def ready(k: int) -> bool:
            first = next(((n, i) for n, i in self.before.get((k, done[k]), ()) if done[n] <= i), None)
            if first is not None:
                blocked[first].append(k)
            return first is None and done[k] < len(self.events[k])

        def enter(k: int) -> None:
            heappush(free, (times[k][done[k]], self.rank[k], k))

        for k in filter(ready, range(len(done))):
            enter(k)
        while free:
            k = heappop(free)[-1]  # it goes on until it has to wait, or another is earlier
            while True:
                yield k, done[k]
                done[k] += 1
                for other in filter(ready, blocked.pop((k, done[k] - 1), ())):
                    enter(other)
                if not ready(k):
                    break
                if free and free[0][0] < times[k][done[k]]:
                    enter(k)
                    break
        if blocked:
            stuck = "; ".join(
                f"event {done[k]} of {self.names[k]} comes after event {i} of {self.names[n]}"
                for k, (n, i) in sorted((k, first) for first, nodes in blocked.items() for k in nodes)
            )
            why = "Connections that are not the same were taken for one (wires= names them), or a trace was edited"
            raise ValueError(f"no order fits: {stuck}. {why}")

    def _times(self) -> list[list[float]]:
        """When each event was, in seconds. A clock that contradicts the edges is set as they want it."""
        times = [_seconds(trace, len(events)) for trace, events in zip(self.traces, self.events, strict=True)]
        spans = [(a, b, times[b][j] - times[a][i]) for (a, i), (b, j), _ in self.edges]
        left = sorted(range(len(times)), key=lambda k: self.rank[k])
        shifts: dict[int, float] = {}
        while left:
            joined = {n for a, b, _ in spans for n, other in ((a, b), (b, a)) if other in shifts}
            k = next((k for k in left if k in joined), left[0])
            left.remove(k)
            low = max((shifts[a] - span for a, b, span in spans if b == k and a in shifts), default=-inf)
            high = min((shifts[b] + span for a, b, span in spans if a == k and b in shifts), default=inf)
            right = low <= 0 <= high or high - low == inf
            shifts[k] = max(low, min(high, 0.0)) if right else (low + high) / 2
        return [[time + shifts[k] for time in row] for k, row in enumerate(times)]

    def _renamed(self, event: Event, k: int) -> Event:
        name, labels = self.names[k], self.labels[k]
        event = {**event, **{key: _prefixed(event[key], name) for key in _WHO if key in event}}
        if "service" not in event:
            event["node"] = name
        if labels:
            event |= {key: _place(event[key], labels) for key in ("at", "runs", "stack", "places") if key in event}
        return event


_WHO = ("service", "source", "to", "address", "tables")


def _prefixed(value: Any, node: str) -> Any:
    """Addresses with the name of their node, wherever they stand in tables."""
    if isinstance(value, dict):
        return {_prefixed(key, node): _prefixed(item, node) for key, item in value.items()}
    if isinstance(value, list):
        return [_prefixed(item, node) for item in value]
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else f"{found[1] or ''}{node}{found[2]}"


def _place(value: Any, labels: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_place(item, labels) for item in value]
    if isinstance(value, dict):
        return {co: _place(item, labels) for co, item in value.items()}
    label, _, line = value.rpartition(":")
    return f"{labels.get(label, label)}:{line}"


def _labels(traces: Sequence[Film], names: list[str]) -> list[dict[str, str]]:
    """New labels for files of one name that are not the same."""
    texts: defaultdict[str, set[str]] = defaultdict(set)
    for trace in traces:
        for label, text in trace.sources.items():
            texts[label].add(text)
    twins = {label for label, different in texts.items() if len(different) > 1}
    return [
        {label: f"{name}:{label}" for label in twins & trace.sources.keys()}
        for trace, name in zip(traces, names, strict=True)
    ]


def _seconds(trace: Film, n: int) -> list[float]:
    """When each event was: by the real clock when its message began, else by the tick."""
    if not trace.stamps:
        return [tick / 100 for tick in trace.ticks()[:n]]
    numbers, _, began = trace.stamps[""]
    return [began[max(0, bisect_right(numbers, i) - 1)] / 1e9 for i in range(n)]
