"""How the recordings in tests/golden tell bytes and Lua values (seri, cluster, netpack, handles)."""

from __future__ import annotations

import struct
from typing import Any


def raw(told: Any) -> bytes:
    """Bytes: hex digits, {"repeat": [text, count]}, or a list of such pieces."""
    if isinstance(told, str):
        return bytes.fromhex(told)
    if isinstance(told, dict):
        text, count = told["repeat"]
        return text.encode("latin-1") * count  # type: ignore[no-any-return]
    return b"".join(map(raw, told))


def value(told: dict[str, Any]) -> Any:
    """A Lua value, as Python has it."""
    kind = told["t"]
    if kind == "nil":
        return None
    if kind == "bool":
        return told["v"]
    if kind == "int":
        return int(told["v"])
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(told["bits"]))[0]
    if kind == "str":
        return raw(told.get("hex", told)).decode("utf-8", "surrogateescape")
    assert kind == "table", told
    items = [value(item) for item in told["arr"]]
    if not told["hash"]:
        return items
    return dict(enumerate(items, 1)) | {value(k): value(v) for k, v in told["hash"]}


def values(told: list[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(value(v) for v in told)


def returned(told: list[dict[str, Any]]) -> Any:
    """What a function gives that returns these values: None, the value, or a tuple."""
    got = values(told)
    return got[0] if len(got) == 1 else got or None
