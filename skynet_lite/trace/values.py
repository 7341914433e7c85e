"""The values of a message, as a trace holds them and a replay compares them: whatever a program has sent."""

from __future__ import annotations

import marshal
import zlib
from collections.abc import Callable
from itertools import islice
from typing import Any

MOST = 100_000
"""Values of one message that are kept. A list may share its parts, and be endless when they are written out."""
_LONG = 1 << 1000
"""From here on a number cannot be a float, and soon not be printed (sys.set_int_max_str_digits)."""
_ATOMS = frozenset((str, bytes, int, float, bool, type(None)))


def whole(n: Any) -> Any:
    """A number as an event holds it: as far as one can count; -1 for what is none. None stays."""
    if isinstance(n, int):
        return int(n) if -_LONG < n < _LONG else _LONG if n > 0 else -_LONG
    return None if n is None else -1


def text_of(value: Any, how: Callable[[Any], str] = str) -> str:
    """str(value), whatever that is and does."""
    try:
        return how(value)
    except Exception:  # of a long int, or of the user's own
        return f"<{type(value).__name__}>"


def values_of(payload: Any) -> tuple[Any, ...]:
    """What was packed (core/message.py); of a raw message the payload itself."""
    if isinstance(payload, tuple):
        return payload
    if isinstance(payload, bytes) and payload:
        # A raw message may be anybody's text, and marshal makes room for any length that it reads in it.
        head, size = payload[0] & 0x7F, int.from_bytes(payload[1:5], "little")
        if head == ord(")") or (head == ord("(") and size < len(payload)):
            try:
                values: tuple[Any, ...] = marshal.loads(payload)
                return values
            except (EOFError, ValueError, TypeError, MemoryError):
                pass
    return (payload,)


def plain(values: tuple[Any, ...]) -> list[Any]:
    """Values as JSON can hold them: what it does not know becomes its repr, a very long int hexadecimal text."""
    try:
        found: list[Any] = _plain(values, [MOST])
        return found
    except RecursionError:
        return ["…"]


def _plain(value: Any, left: list[int]) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -_LONG < value < _LONG else hex(value)
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else repr(value)
    if not isinstance(value, (list, tuple, dict)):
        return text_of(value, repr)
    room = max(0, left[0])
    left[0] -= len(value)
    more = len(value) > room
    if isinstance(value, dict):
        items = [*islice(value.items(), room), *([("…", "…")] if more else ())]
        return {key if isinstance(key, str) else text_of(key, repr): _plain(item, left) for key, item in items}
    return [_plain(item, left) for item in (*value[:room], *(("…",) if more else ()))]


def checksum(payload: Any) -> int:
    """A CRC-32 of the values of a message: the same for the same values, wherever they come from."""
    values = values_of(payload)
    # Version 2 of marshal knows no references, which follow from who else holds an object, not from its value.
    return zlib.crc32(marshal.dumps(values, 2) if _known(values) else repr(plain(values)).encode("utf-8", "replace"))


def _known(values: tuple[Any, ...]) -> bool:
    """Whether these are values that may travel, and not too many."""
    found: list[Any] = [values]
    for value in found:
        if type(value) in (tuple, list):
            found.extend(value)
        elif type(value) is dict:
            found.extend((*value, *value.values()))
        elif type(value) not in _ATOMS:
            return False
        if len(found) > MOST:
            return False
    return True
