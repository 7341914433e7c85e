"""Traces in files: written, read back, and refused when something is missing or was changed.

JSON, with a checksum over all of it. Places repeat, so each stack is stored once and
named by its number. Older versions are read as what they mean today; so are the
recordings of the real skynet (golden.py).
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .golden import is_recording, read_recording

if TYPE_CHECKING:
    from .trace import Trace

FORMAT = "skynet_lite trace"
VERSION = 2
_NUMBERED = ("session_id_coroutine", "watching_session", "socket_pool", "sockets", "queue")


class TraceError(ValueError):
    """A file that is not a trace, or was cut short or edited."""


def write(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Store a trace (of a part: all from its first to its last event). Raises OSError."""
    cut = getattr(trace, "cut", None)
    Path(path).write_text(dumps(cut() if cut is not None else trace), encoding="utf-8")


def dumps(trace: Trace) -> str:
    """A trace as JSON."""
    stacks: dict[tuple[str, ...], int] = {}
    events = []
    for event in trace.events:
        if "stack" in event:
            event = {**event, "stack": stacks.setdefault(tuple(event["stack"]), len(stacks))}
        events.append(event)
    data = {
        "format": FORMAT, "version": VERSION, "origin": trace.origin, "snapshot": _keys_as_text(trace.snapshot),
        "sources": trace.sources, "stamps": trace.stamps, "stacks": list(stacks), "count": len(events),
        "events": events,
    }  # fmt: skip
    text = _json(data)
    return f'{text[:-1]},"checksum":{zlib.crc32(text.encode())}}}\n'


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=True, separators=(",", ":"))


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a stored trace is made of: the arguments of Trace. Raises TraceError, OSError."""
    name = Path(path).name
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise TraceError(f"{name} is no trace: it is nested too deeply") from None
    except ValueError as e:
        raise TraceError(f"{name} is no trace, or was cut short: {e}") from None
    if is_recording(data):
        return read_recording(data)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TraceError(f"{name} is JSON, but no trace: save one with trace.save(path)")
    version = data.get("version")
    if version not in (1, VERSION):
        raise TraceError(f"{name} has format version {version!r}, known are 1 and {VERSION}: update skynet_lite")
    events = data.get("events")
    if not isinstance(events, list) or len(events) != data.get("count"):
        raise TraceError(f"{name} was edited or cut: it says {data.get('count')} events")
    if not all(isinstance(e, dict) and isinstance(e.get("e"), str) for e in events):
        raise TraceError(f"{name} was edited: not every event has a kind")
    if version == VERSION:
        checksum = data.pop("checksum", None)
        if checksum != zlib.crc32(_json(data).encode()):
            raise TraceError(f"{name} was edited or damaged: its checksum does not fit; record it again")
    stacks = data.get("stacks", [])
    for event in events:
        if "stack" in event:
            event["stack"] = stacks[event["stack"]]
    return {
        "events": events, "snapshot": _keys_as_numbers(data.get("snapshot", {})), "sources": data.get("sources", {}),
        "origin": data.get("origin", ""), "stamps": tuple(data.get("stamps") or ([], [], [])),
    }  # fmt: skip


def _keys_as_text(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {str(key): _keys_as_text(value) if isinstance(value, dict) else value for key, value in snapshot.items()}


def _keys_as_numbers(snapshot: Any, numbered: bool = False) -> Any:
    if not isinstance(snapshot, dict):
        return snapshot
    return {int(key) if numbered else key: _keys_as_numbers(value, key in _NUMBERED) for key, value in snapshot.items()}
