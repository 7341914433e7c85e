"""The streams of a real skynet, one for each service, as one trace.

One idea: all services of a node read the same clock. So their events are put in the order of their times, and a
message is brought together with the send that it came from: over two files, by who, whom, type and session. What
nobody has recorded stays unknown. A service without a stream has no tables; a message from one has no cause.

A stream is JSON Lines (docs/probe.md): a line that says whose it is, then an event on each line. The tables of a
service that was alive when its stream began are in that line. A ring has two parts, NAME.old.jsonl and NAME.jsonl.
"""

from __future__ import annotations

import heapq
import json
import os
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..trace.film import PROBED
from ..trace.golden import BOOT
from ..trace.kinds import Event, address, name_of, runtimes
from ..trace.schema import TraceError, wrong_event
from ..trace.shapes import fits

VERSION = 1
_POSITION = re.compile(r"(?P<place>[^\s:]+\.lua:\d+): ")  # what Lua writes before the text of an error
_NAME = re.compile(r"[0-9a-f]{8}(\.old)?\.jsonl")
_HEAD: dict[str, type] = {
    "t": int, "version": int, "self": int, "name": str, "part": int, "missing": int, "born": bool, "skynet": str,
    "library": str, "folder": str, "started": int, "now": int, "clock": str,
}  # fmt: skip


_Part = tuple[dict[str, Any], list[Event], bool]
"""A file: its head, its events, and whether it ends in the middle of a line."""


@dataclass
class _Stream:
    """The file of one service, or both parts of its ring."""

    head: dict[str, Any]
    events: list[Event]
    torn: bool  # it ends in the middle of a line
    service: str = field(init=False)

    def __post_init__(self) -> None:
        self.service = address(self.head["self"])

    @property
    def whole(self) -> bool:
        """Whether it begins with the birth of its service."""
        return bool(self.head["born"])

    def cut(self) -> tuple[str, int, str] | None:
        """If it ends inside a message: who sent that, its session, and "message" if nothing else can be behind it."""
        broken = set[str]()  # sessions whose sleep was broken
        depth, woken, begun, message = 0, 0, True, dict[str, Any]()
        for event in self.events:
            match event["e"]:
                case "message":
                    depth, woken, begun, message = 0, 0, False, event
                case "resume":
                    depth += 1
                    woken -= event.get("by") == "dispatch_wakeup"
                    begun = begun or event.get("by") in ("raw_dispatch_message", "dispatch_error_queue")
                case "yield" | "co_error":
                    depth -= 1
                    woken -= len(self.events) * (event["e"] == "co_error")  # skynet stops there itself
                case "wakeup":
                    woken += event.get("queued") is True
                case "wakeup_skip" | "dispatch_failed":
                    woken -= len(self.events)
                case "table" if event.get("table") in ("session_id_coroutine", "error_queue"):
                    if event.get("op") == "break":
                        broken.add(str(event.get("session")))
                    elif event.get("op") in ("clear", "pop"):  # and then the coroutine is resumed, if it still waits
                        begun = str(event.get("session")) in broken
        last = self.events[-1]["e"] if self.events else ""
        if last == "end" or (begun and depth <= 0 and woken <= 0 and not self.torn):
            return None
        how = "message" if last == "message" and self.head.get("flush") is True and not self.torn else "cut"
        source, session = message.get("source"), message.get("session")
        return (address(source), session, how) if type(source) is int and type(session) is int else ("", 0, how)


def read(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], root: Any = None) -> dict[str, Any]:
    """The streams of a folder, or those that are named, as the arguments of Trace.

    `root`: where the node was started, if its Lua files are to be found there. Without it they are looked for here,
    where the stream says that it was started, and beside the streams. Of several runs in one folder: the last.
    Raises TraceError for what is no stream, OSError if it cannot be read.
    """
    files = [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(path) for path in paths]
    folder = files[0] if len(files) == 1 and files[0].is_dir() else None
    if folder is not None:
        files = [path for path in sorted(folder.glob("*.jsonl")) if _NAME.fullmatch(path.name)]
    parsed = {path: _parse(path) for path in files}
    parts = [part for part in parsed.values() if part is not None]
    if parsed and not parts:
        raise TraceError(f"{folder or 'here'}: nothing of the streams has reached the disk yet")
    if not parts:
        raise TraceError(f"{folder or 'here'}: there is no stream; is it the folder that the probe writes to?")
    last = max(head["started"] for head, *_ in parts)
    streams = _joined([part for part in parts if part[0]["started"] == last])
    merger = _Merger(streams, [Path(root)] if root else _roots(streams, files))
    silent = [path.name for path, part in parsed.items() if part is None and _NAME.fullmatch(path.name)]
    nothing = {address(int(name[:8], 16)) for name in silent}
    merger.nothing = sorted(nothing - merger.recorded.keys())
    return merger.trace()


# --------------------------------------------------------------------------- files


def _parse(path: Path) -> _Part | None:
    """What is in a file; None if nothing has reached the disk. The end of a node that was killed may be cut."""
    text = path.read_bytes().decode("utf-8", "replace")
    lines = text.split("\n")
    torn = bool(lines.pop())  # what is behind the last line that is whole
    found: list[Event] = []
    for n, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise TraceError(f"{path.name} line {n} is no event: {e}") from None
        if not isinstance(event, dict) or type(event.get("e")) is not str or type(event.get("t")) is not int:
            raise TraceError(f"{path.name} line {n} is no event: it has no kind and time")
        if (n == 1) is not (event["e"] == "stream"):
            raise TraceError(f"{path.name} is no stream of the probe: line {n} is {event['e']!r}")
        if n == 1:
            _check_head(path, event)
        if ("stack" in event and not fits(event["stack"], [str])) or type(event.get("runs", "")) is not str:
            raise TraceError(f"{path.name} line {n} is a {event['e']} with a place that is none")
        event["line"] = path.name, n
        found.append(event)
    return (found[0], found[1:], torn) if found else None


def _check_head(path: Path, head: dict[str, Any]) -> None:
    if head.get("version") != VERSION:
        raise TraceError(f"{path.name} has stream version {head.get('version')!r}, known is {VERSION}")
    for key, kind in _HEAD.items():
        if type(head.get(key)) is not kind:
            raise TraceError(f"{path.name} line 1 is a stream whose {key!r} is {type(head.get(key)).__name__}")
    if not head["born"] and not (isinstance(head.get("tables"), dict) and fits(head.get("places"), {str: [str]})):
        raise TraceError(f"{path.name} line 1 has no tables, and does not begin with its service")


def _joined(parts: list[_Part]) -> list[_Stream]:
    """The parts of each ring together, one stream for each service, in the order in which they begin."""
    streams: dict[int, _Stream] = {}
    # Of a node that runs, the same part may have been read before and after it became the older one: the longer counts.
    read = {(part[0]["self"], part[0]["part"]): part for part in sorted(parts, key=lambda part: len(part[1]))}
    for (service, part), (head, events, torn) in sorted(read.items(), key=lambda item: item[0]):
        known = streams.get(service)
        if known is None:
            streams[service] = _Stream(head, events, torn)
        elif part == known.head["part"] + 1:
            known.events += events
            known.torn = torn
        else:
            told = f"{head['line'][0]} is part {part} of a stream, and the one before is not there"
            raise TraceError(f"{told}: give both, or only this")
    return sorted(streams.values(), key=lambda stream: (stream.head["t"], stream.head["self"]))


def _roots(streams: list[_Stream], files: list[Path]) -> list[Path]:
    beside = files[0].resolve().parents
    return [Path(), *(Path(stream.head["folder"]) for stream in streams[:1]), *beside[:3]]


# --------------------------------------------------------------------------- many files, one order


class _Merger:
    """Puts the events of all streams in one order, with names for numbers and who caused what.

    A method `_kind(event, service)` makes one of our events of one of a stream, notes what it is the cause of, and
    returns its own cause. DOC: one-order
    """

    def __init__(self, streams: list[_Stream], roots: list[Path]) -> None:
        self.streams = streams
        self.roots = roots
        self.recorded = {stream.service: stream for stream in streams}
        self.labels = _labels(streams)
        self.events: list[Event] = []
        self.times: list[int] = []
        self.nothing: list[str] = []  # services of whose streams nothing has reached the disk
        self.cut = {stream.service: cut for stream in streams if (cut := stream.cut()) is not None}
        self.ends: dict[int, list[Any]] = {}
        self.others: dict[str, str] = {}  # services without a stream → their names, if somebody used one
        self._sent: defaultdict[tuple[str, str, str, Any], deque[int | None]] = defaultdict(deque)
        self._calls: dict[tuple[str, int], str] = {}  # caller, session → who is called
        self._timers: dict[tuple[str, int], int] = {}
        self._taken: dict[str, int] = {}  # service → its last message
        self._woken: defaultdict[str, deque[int | None]] = defaultdict(deque)
        self._forks: dict[tuple[str, str], int] = {}
        self._failed: dict[tuple[str, int], int] = {}
        self._fails: dict[str, int | None] = {}  # service → why the call fails that it is about to tell

    def trace(self) -> dict[str, Any]:
        """The arguments of Trace."""
        lanes = ([(stream.service, raw) for raw in (dict(stream.head), *stream.events)] for stream in self.streams)
        # At one time a message comes after what sent it.
        for service, raw in heapq.merge(*lanes, key=lambda one: (one[1]["t"], one[1]["e"] == "message")):
            self._add(service, raw)
        first = self.streams[0].head
        others = {a: {"name": name, "mailbox": []} for a, name in self.others.items() if a not in self.recorded}
        snapshot: dict[str, Any] = {"services": dict(sorted(others.items())), "now": first["now"]}
        if self.ends:
            snapshot["ends"] = self.ends
        if not first["skynet"].startswith("1.1"):
            snapshot["skynet"] = "1.8"
        if cut := self.cut | dict.fromkeys(self.nothing, ("", 0, "empty")):
            snapshot["cut"] = {service: list(how) for service, how in sorted(cut.items())}
        names = [name_of(f"snlua {stream.head['name']}") for stream in self.streams]
        shown = ", ".join([name for name in dict.fromkeys(names) if name not in BOOT][:3])
        return {
            "events": self.events, "snapshot": snapshot, "sources": self._sources(), "stamps": {"": self._stamps()},
            "origin": f"{PROBED}: {shown}" if shown else PROBED,
            "missing": sum(stream.head["missing"] for stream in self.streams),
        }  # fmt: skip

    def _add(self, service: str, raw: Event) -> None:
        t, (name, n), stack, kind = raw.pop("t"), raw.pop("line"), raw.pop("stack", None), raw["e"]
        event = raw
        event["service"] = service
        note = getattr(self, "_" + kind, None)
        try:
            cause = None if note is None else note(event, service)
            self._places(event, stack)
            wrong = wrong_event(event)
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            wrong = f"a {kind} that is not whole: {e!r}"
        if wrong:
            raise TraceError(f"{name} line {n} is {wrong}")
        if cause is not None:
            event["cause"] = cause
        self.events.append(event)
        self.times.append(t)

    def _place(self, place: str) -> str:
        path, _, line = place.rpartition(":")
        return f"{self.labels[path]}:{line}"

    def _places(self, event: Event, stack: list[str] | None) -> None:
        if stack:
            event["stack"] = [self._place(place) for place in stack]
            if not runtimes(event["stack"][-1]):
                event["at"] = event["stack"][-1]

    def _sources(self) -> dict[str, str]:
        """The texts of the files that are at hand."""
        found = {}
        for path, label in self.labels.items():
            for file in (root / path for root in self.roots):
                if file.is_file():
                    found[label] = file.read_text(encoding="utf-8", errors="replace")
                    break
        return found

    def _stamps(self) -> tuple[list[int], list[int], list[int]]:
        """When each event was, and when it was over: of a message with the last thing that its dispatch has told."""
        began = [t - self.times[0] for t in self.times]
        ended, last = began[:], dict[str, int]()
        for n in range(len(began) - 1, -1, -1):
            service = self.events[n].get("service", "")
            if self.events[n]["e"] == "message":
                ended[n] = began[last.pop(service, n)]
            else:
                last.setdefault(service, n)
        return [*range(len(began) + 1)], [0, *ended], [*began, began[-1]]

    # ---- who is meant

    def _who(self, number: int, name: str = "") -> str:
        """An address, and what it is called; a name that skynet could not resolve (another node's) stays."""
        if number < 0:
            return name
        found = address(number)
        if number and (name or found not in self.others):
            self.others[found] = name.lstrip(".") or self.others.get(found, "")
        return found

    def _key(self, source: str, to: str, raw: Event) -> tuple[str, str, str, Any] | None:
        """By what a message and its send find each other; None where that would be a guess.

        One without a session is the next one only if neither side has missed any. DOC: stream-key
        """
        if raw["session"] and raw["ptype"] != "client":
            return source, to, raw["ptype"], raw["session"]
        ends = (self.recorded.get(source), self.recorded.get(to))
        sure = all(end is not None and end.whole and not end.head["missing"] for end in ends)
        return (source, to, raw["ptype"], raw["session"]) if sure else None

    # ---- the events of a stream

    def _stream(self, event: Event, service: str) -> None:
        head = dict(event)
        event.clear()
        event |= {"e": "birth", "service": service, "label": f"snlua {head['name']}"}
        if head["born"]:
            return
        # An empty table of Lua may be a list or a dict.
        tables: dict[str, Any] = {
            name: {int(k) if k.isdecimal() else k: v for k, v in t.items()} if isinstance(t, dict) else t
            for name, t in head["tables"].items()
        }
        self._woken[service] = deque([None] * len(tables["wakeup_queue"]))
        for session, to in tables["watching_session"].items():
            self._calls[service, session] = self._who(int(to[1:], 16)) if to.startswith(":") else to
        stacks = {co: [self._place(place) for place in stack] for co, stack in head["places"].items()}
        places = {co: stack[-1] for co, stack in stacks.items() if not runtimes(stack[-1])}
        event |= {
            "e": "begin",
            "name": name_of(event.pop("label")),
            "tables": tables,
            "places": places,
            "timers": head["timers"],
        }
        if head["missing"]:
            event["missing"] = head["missing"]

    def _end(self, event: Event, service: str) -> None:
        self._woken.pop(service, None)

    def _exit(self, event: Event, service: str) -> None:
        event.pop("in")
        event["label"] = f"snlua {self.recorded[service].head['name']}"

    def _message(self, event: Event, service: str) -> int | None:
        session, source = event["session"], self._who(event["source"])
        event["source"] = source
        self._taken[service] = len(self.events)
        if "peer" in event:  # of a connection that was accepted; our own address it does not tell
            self.ends[event["new"]] = ["", event.pop("peer"), 0, 0]
        if source == address(0):
            return self._timers.pop((service, session), None) if event["ptype"] == "response" else None
        key = self._key(source, service, event)
        return _pop(self._sent.get(key)) if key is not None else None

    def _send(self, event: Event, service: str) -> None:
        to = event["to"] = self._who(event["to"], event.pop("name", ""))
        if event["session"] is None:
            return  # it has reached nobody
        self._push(service, to, event)
        if event["session"] and event["ptype"] not in ("response", "error"):
            self._calls[service, event["session"]] = to

    def _redirect(self, event: Event, service: str) -> None:
        event |= {"e": "push", "by": "redirect", "service": self._who(event.pop("to"))}
        event["source"] = self._who(event["source"])
        event.pop("in")
        self._push(event["source"], event["service"], event)

    def _push(self, source: str, to: str, event: Event) -> None:
        if (key := self._key(source, to, event)) is not None:
            self._sent[key].append(len(self.events))

    def _timer(self, event: Event, service: str) -> None:
        event["e"] = "timer_set"
        self._timers[service, event["session"]] = len(self.events)

    def _table(self, event: Event, service: str) -> None:
        table, op, session = event["table"], event["op"], event.get("session") or 0
        if not session:
            event.pop("session", None)
        if "source" in event:
            event["address"] = self._who(event.pop("source"))
        elif (table, op) == ("watching_session", "set") and (service, session) in self._calls:
            event["address"] = self._calls[service, session]
        elif (table, op) == ("error_queue", "push"):
            self._failed[service, session] = len(self.events)
        elif (table, op) == ("error_queue", "pop"):
            self._fails[service] = self._failed.pop((service, session), None)

    def _co_create(self, event: Event, service: str) -> int | None:
        if "runs" in event:
            event["runs"] = self._place(event["runs"])
        if event["for"] == "fork":
            self._forks[service, event["co"]] = len(self.events)
        return self._taken.get(service) if event["for"] == "message" else None

    def _resume(self, event: Event, service: str) -> int | None:
        match event["by"]:
            case "raw_dispatch_message":
                return self._taken.get(service)
            case "dispatch_wakeup":
                return _pop(self._woken[service])
            case "fork":
                return self._forks.pop((service, event["co"]), None)
            case "dispatch_error_queue":
                return self._fails.pop(service, None)
        return None

    def _wakeup(self, event: Event, service: str) -> None:
        if event["queued"]:
            self._woken[service].append(len(self.events))

    def _wakeup_skip(self, event: Event, service: str) -> int | None:
        return _pop(self._woken[service])

    def _co_error(self, event: Event, service: str) -> None:
        position = _POSITION.match(event["error"])
        if position is not None and position["place"].rpartition(":")[0] in self.labels:
            event["at"] = self._place(position["place"])
        event["error"] = _said(event["error"])

    def _dispatch_failed(self, event: Event, service: str) -> None:
        event["reason"] = _said(event["reason"])


def _pop(queue: deque[int | None] | None) -> int | None:
    return queue.popleft() if queue else None


def _said(error: str) -> str:
    """An error without the positions that Lua has put before it."""
    while position := _POSITION.match(error):
        error = error[position.end() :]
    return error


def _labels(streams: list[_Stream]) -> dict[str, str]:
    """Paths of Lua files → what they are called in places: `main` of the program, `skynet/socket.lua` of skynet.

    Two files of one name get as much of their folders as it takes to tell them apart.
    """
    library = streams[0].head["library"]
    paths = {place.rpartition(":")[0] for stream in streams for place in _all_places(stream)}
    own = {
        path: PurePosixPath(path).with_suffix("").parts for path in paths if not (library and path.startswith(library))
    }
    found = {path: path[len(library) :] for path in paths if path not in own}
    depth = dict.fromkeys(own, 1)
    while True:
        called: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for path, parts in sorted(own.items()):
            called[parts[-depth[path] :]].append(path)
        twins = [path for same in called.values() if len(same) > 1 for path in same if depth[path] < len(own[path])]
        if not twins:
            return found | {path: "/".join(label) for label, same in called.items() for path in same}
        for path in twins:
            depth[path] += 1


def _all_places(stream: _Stream) -> Iterator[str]:
    for stack in stream.head.get("places", {}).values():
        yield from stack
    for raw in stream.events:
        yield from raw.get("stack", ())
        if "runs" in raw:
            yield raw["runs"]
