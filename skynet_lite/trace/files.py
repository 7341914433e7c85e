"""Traces in files: written, read back, and refused when something is missing or was changed.

JSON, with a checksum over all of it; or JSON Lines, the same data with an event on
each line, for tools that read line by line. In JSON places repeat, so each stack is
stored once and named by its number. Recordings of the real skynet are read, too
(golden.py), and what a probe has written in one (probe/streams.py).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..doors import door
from .film import Film
from .golden import is_recording, read_recording
from .kinds import node_of
from .schema import TraceError, wrong_event, wrong_extras, wrong_tables
from .shapes import NUMBERED, home
from .world import decode, encode

FORMAT = "skynet_lite trace"
VERSION = 3
_PIECE = 100  # events
to_json = json.JSONEncoder(separators=(",", ":")).encode  # made once: dumps makes one at each call


def dumps(trace: Film) -> str:
    """A trace (of a part: all from its first to its last event) as JSON."""
    trace = trace.cut()
    stacks: dict[tuple[str, ...], int] = {}
    events = []
    for event in trace.events:
        if "stack" in event:
            event = {**event, "stack": stacks.setdefault(tuple(event["stack"]), len(stacks))}
        events.append(event)
    # In pieces, between which other threads run: a node may go on while it is written.
    pieces = (to_json(events[i : i + _PIECE])[1:-1] for i in range(0, len(events), _PIECE))
    text = to_json(_data(trace, list(stacks), []))[:-2] + ",".join(pieces) + "]}"
    return f'{text[:-1]},"checksum":{_checksum(text)}}}\n'


def dump_lines(trace: Film) -> str:
    """The same as JSON Lines: a line for all but the events, then one for each event, with its stack."""
    trace = trace.cut()
    data = _data(trace, [], trace.events)
    header = {**data, "checksum": _checksum(to_json(data))}
    del header["events"]
    return "".join(to_json(line) + "\n" for line in (header, *trace.events))


def _data(trace: Film, stacks: list[Any], events: list[Any]) -> dict[str, Any]:
    stamps = trace.stamps if "nodes" in trace.snapshot else trace.stamps.get("", ([], [], []))
    return {
        "format": FORMAT, "version": VERSION, "origin": trace.origin, "snapshot": trace.snapshot,
        "sources": trace.sources, "stamps": stamps, "stacks": stacks, "count": len(trace.events),
        "world": encode(trace.world), **({"missing": trace.missing} if trace.missing else {}),
        "events": events,  # the last: `dumps` puts its pieces there
    }  # fmt: skip


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode())


Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def read(path: Paths, root: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """What a stored trace is made of: the arguments of Trace. Raises TraceError, OSError."""
    if not isinstance(path, (str, os.PathLike)) or Path(path).is_dir() or is_stream(path):
        found: dict[str, Any] = door("streams")(path, root)
        return found
    try:
        return _read(Path(path))
    except RecursionError:
        raise TraceError(f"{Path(path).name} is no trace: it is nested too deeply") from None
    except TraceError as e:
        raise TraceError(f"{Path(path).name} {e}") from None


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a stream of the probe, by what its first line begins with. Raises OSError."""
    with open(path, "rb") as file:
        return b'"e":"stream"' in file.readline(100)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = _parsed(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise TraceError(f"is no trace, or was cut short: {e}") from None
    if is_recording(data):
        if wrong := _wrong_recording(data):
            raise TraceError(f"is no recording of skynet, or was edited: {wrong}")
        return read_recording(data)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TraceError("is JSON, but no trace: save one with trace.save(path)")
    version, events = data.get("version"), data.get("events")
    if version != VERSION:
        raise TraceError(f"has format version {version!r}, known is {VERSION}: record again or update skynet_lite")
    if not isinstance(events, list) or len(events) != data.get("count"):
        raise TraceError(f"was edited or cut: it says {data.get('count')} events")
    checksum = data.pop("checksum", None)
    if checksum != _checksum(to_json(data)):
        raise TraceError("was edited or damaged: its checksum does not fit; record it again")
    try:
        snapshot = _keys_as_numbers(data.get("snapshot", {}))
    except ValueError:
        raise TraceError("was edited: a number of its tables is none") from None
    sources, origin, missing = data.get("sources", {}), data.get("origin", ""), data.get("missing", 0)
    stamps: Any = data.get("stamps") or {}
    stamps = {"": stamps} if isinstance(stamps, list) else stamps
    odd = wrong_tables(snapshot)
    wrong = wrong_extras(sources, stamps, origin, missing) or (odd and f"its tables are not those of a node: {odd}")
    if wrong := wrong or _wrong_events(events, data.get("stacks")):
        raise TraceError(f"was edited: {wrong}")
    stamps = {node: tuple(columns) for node, columns in stamps.items() if columns[0]}
    if wrong := _strays(events, snapshot, stamps):
        raise TraceError(f"was edited: {wrong}")
    return {
        "events": events, "snapshot": snapshot, "sources": sources, "origin": origin, "stamps": stamps,
        "world": decode(data.get("world")), "missing": missing,
    }  # fmt: skip


def _parsed(text: str) -> Any:
    first, _, rest = text.partition("\n")
    if first.startswith("{") and first.endswith("}"):  # a line that is whole, perhaps of several
        data = json.loads(first)
        if isinstance(data, dict) and data.get("format") == FORMAT and "events" not in data:
            checksum = data.pop("checksum", None)
            return {**data, "events": [json.loads(line) for line in rest.splitlines()], "checksum": checksum}
    return json.loads(text)


def _wrong_events(events: list[Any], stacks: Any) -> str | None:
    """Put the stacks in their places; what is wrong with the first event that is, or None."""
    for n, event in enumerate(events):
        stack = event.get("stack") if isinstance(event, dict) else None
        if type(stack) is int:
            if not isinstance(stacks, list) or not 0 <= stack < len(stacks):
                return f"event {n} has a stack that is not there"
            event["stack"] = stacks[stack]
        if isinstance(event, dict) and isinstance(event.get("tables"), dict):
            try:
                event["tables"] = _keys_as_numbers(event["tables"])
            except ValueError:
                return f"event {n} has a number in its tables that is none"
        if wrong := wrong_event(event):
            return f"event {n} is {wrong}"
        if not 0 <= event.get("cause", 0) < max(n, 1):
            return f"event {n} has a cause that does not lie before it"
    return None


def _strays(events: list[Any], snapshot: dict[str, Any], stamps: dict[str, Any]) -> str | None:
    """Whether something belongs to a node that is not there."""
    named = {*map(node_of, events), *map(home, snapshot.get("services", ())), *stamps}
    strays = named - snapshot.get("nodes", {"": None}).keys()
    return f"there is no node {min(strays)!r}" if strays else None


def _wrong_recording(data: dict[str, Any]) -> str | None:
    peers = data.get("peer_events", {})
    for names in (data["services"], data.get("started_later", []), [*peers]):
        if not isinstance(names, list) or not all(isinstance(name, str) and not home(name) for name in names):
            return "its services are odd"
    if not isinstance(peers, dict) or not all(isinstance(one, list) for one in (data["events"], *peers.values())):
        return "its events are no lists"
    for service, events in {"A": data["events"], **peers}.items():
        for n, event in enumerate(events):
            if wrong := wrong_event(event, recorded=True):
                return f"event {n} of {service} is {wrong}"
    return None


def _keys_as_numbers(snapshot: Any, numbered: bool = False) -> Any:
    if not isinstance(snapshot, dict):
        return snapshot
    return {int(key) if numbered else key: _keys_as_numbers(value, key in NUMBERED) for key, value in snapshot.items()}
