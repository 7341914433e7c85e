"""Exercises of notebook 21: the bytes of a message."""

from typing import Any

from ..lualib import seri
from .engine import Hints, exercise, first_wrong, hint, no_list, yes_or_no
from .programs import a_function


def _digits(answer: Any) -> bytes:
    """Bytes as they are, or written in hexadecimal, with or without spaces. Raises ValueError."""
    return bytes(answer) if isinstance(answer, bytes | bytearray) else bytes.fromhex(str(answer))


@exercise("21.1")
def _write(answer: Any) -> Hints:
    try:
        given = _digits(answer)
    except ValueError:
        yield "form"
        return
    yield given == seri.pack("hi", 300) and "nil"
    yield b"\x12\x01\x2c" in given and "order"
    yield given[:1] == b"\x04" and "length"
    yield b"\x22\x2c\x01" in given and "four"
    try:
        values = seri.unpack(given)
    except seri.SeriError as e:
        yield hint("broken", error=e)
        return
    yield values != ("hi", 300, None) and hint("read", values=values)
    yield given != seri.pack("hi", 300, None) and "long"


@exercise("21.2")
def _sizes(answer: Any) -> Hints:
    yield no_list(answer, 5, int) and "form"
    yield first_wrong(answer, [len(seri.pack(v)) for v in (-1, 2**31, [1, None, 3], [True] * 31, {"a": 1})])


@exercise("21.3")
def _captured(answer: Any) -> Hints:
    yield (not isinstance(answer, list | tuple) or len(answer) != 3) and hint("three", form=hint("form"))
    method, table, last = answer
    yield method != "pay" and "method"
    yield (last is None or last != 0 or isinstance(last, bool | float)) and "zero"
    yield not isinstance(table, dict) and "table"
    yield set(table) != {"id", "tag"} and "keys"
    yield table["id"] != 7 and "id"
    yield table["tag"] != ["a"] and "tag"


MESSAGES: list[tuple[Any, ...]] = [
    (),
    (1,),
    (None, None),
    ([1, [2], {"a": {}}], "x"),
    ({"k": None, "n": [True]}, 0, [[]]),
    ("x" * 70_000,),
]


@exercise("21.4")
def _count(count: Any) -> Hints:
    a_function(count)
    for values in MESSAGES:
        given = count(seri.pack(*values))
        parts = list(seri.walk(seri.pack(*values)))
        yield given == len(parts) != len(values) and hint("all", values=values)
        outside = sum(part.depth == 0 for part in parts)
        yield given == outside != len(values) and hint("end", values=values)
        yield given != len(values) and hint("other", values=values, given=given)


@exercise("21.5")
def _lie(answer: Any) -> Hints:
    try:
        given = _digits(answer)
    except ValueError:
        yield "form"
        return
    yield (len(given) > 5) and hint("many", n=len(given))
    yield given[:1] == b"\xfe" and "items"
    yield given[:1] != b"\x25" and "label"
    yield (len(given) != 5) and "short"
    yield (int.from_bytes(given[1:], "little") != 10**9) and hint("few", n=int.from_bytes(given[1:], "little"))


yes_or_no("21.6", "yes", "no", "yes", "no", "no", "yes")
