"""Values as skynet writes them: recordings of a real one in both directions, and what no recording holds.

tests/golden/seri/SPEC.md says what the bytes mean, and how the recordings are to be read.
"""

from __future__ import annotations

import json
import math
import re
import struct
import sys
import tracemalloc
from collections import OrderedDict, namedtuple
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any

import pytest
from hypothesis import given, strategies as st
from recorded import raw

from skynet_lite import Node, SeriError, frozen, seri, skynet

GOLDEN = Path(__file__).parent / "golden" / "seri"
VECTORS = {v["id"]: v for path in sorted(GOLDEN.glob("*.json")) for v in json.loads(path.read_text())["vectors"]}


def written(v: dict[str, Any]) -> Any:
    """A recorded value, in what Python has for it."""
    match v["t"]:
        case "nil":
            return None
        case "bool":
            return v["v"]
        case "int":
            return int(v["v"])
        case "float":
            return struct.unpack(">d", bytes.fromhex(v["bits"]))[0]
        case "lud":
            return seri.LightUserdata(int(v["v"], 16))
        case "str":
            return raw(v.get("hex", v))
        case "pairs":
            return seri.Pairs((hashable(key), written(value)) for key, value in v["items"])
        case "table":
            items = [written(w) for item in v["arr"] for w in [item.get("v")] * item.get("n", 0) or [item]]
            return (
                {**dict(enumerate(items, 1)), **{hashable(k): written(w) for k, w in v["hash"]}} if v["hash"] else items
            )
        case "unsupported":
            return print if v["type"] == "function" else object()
        case "cycle":
            itself: list[Any] = []
            itself.append(itself)
            return itself
    raise AssertionError(v)


def hashable(v: dict[str, Any]) -> Any:
    key = written(v)
    return tuple(key) if isinstance(key, list) else key


def meant(v: Any) -> Any:
    """A value of ours as what Lua makes of it, to be compared: a table is the set of its pairs, a float its bits."""
    if isinstance(v, float):
        return "float", "nan" if math.isnan(v) else struct.pack("<d", v)
    if isinstance(v, list | tuple) and not isinstance(v, seri.LightUserdata | seri.Pairs):
        v = dict(enumerate(v, 1))
    elif isinstance(v, seri.Pairs):
        v = dict(v)
    if isinstance(v, dict):
        return frozenset((meant(key), meant(value)) for key, value in v.items() if value is not None)
    return type(v).__name__, v


def of(*modes: str) -> Any:
    vectors = [v for v in VECTORS.values() if v["mode"] in modes]
    assert vectors, modes
    return pytest.mark.parametrize("v", vectors, ids=lambda v: v["id"])


# --------------------------------------------------------------------------- recordings of a real skynet


@of("exact", "decode")
def test_values_are_written_as_skynet_writes_them(v: dict[str, Any]) -> None:
    """Byte for byte. Of `decode` skynet leaves the order of pairs open: in the order recorded it is the same, too."""
    assert seri.pack(*map(written, v["values"])) == raw(v["hex"])


@of("exact", "decode")
def test_bytes_are_read_as_the_values_they_were(v: dict[str, Any]) -> None:
    values = seri.unpack(raw(v["hex"]), strings="bytes")
    assert [meant(value) for value in values] == [meant(written(value)) for value in v["values"]]


@of("exact", "decode")
def test_what_was_read_is_written_as_it_came(v: dict[str, Any]) -> None:
    """To the byte in both forms of strings: a node of ours may stand between two others."""
    data = raw(v["hex"])
    if "pairs" not in json.dumps(v["values"]):  # whose order and holes are theirs alone
        assert seri.pack(*seri.unpack(data)) == seri.pack(*seri.unpack(data, strings="bytes")) == data


@of("raw_decode")
def test_odd_and_broken_bytes_are_read_as_skynet_reads_them(v: dict[str, Any]) -> None:
    """What the writer would never write: some of it has a meaning, the rest fails with skynet's text."""
    data = raw(v["hex"])
    if "values" in v:
        assert [meant(value) for value in seri.unpack(data, "bytes")] == [meant(written(w)) for w in v["values"]]
        return
    with pytest.raises(SeriError) as caught:
        seri.unpack(data)
    text = v.get("error_stable", v["error"])
    assert str(caught.value) == text or str(caught.value).startswith(f"{text}:")
    assert caught.value.left == v.get("bytes_left")


@of("encode_error")
def test_what_skynet_refuses_to_write_is_refused_with_its_text(v: dict[str, Any]) -> None:
    """An error of the values themselves comes out as it is, as that of `__pairs` does."""
    if v["values"][0]["t"] == "pairs_raises":
        with pytest.raises(RuntimeError, match=f"^{v['error']}$"):
            seri.pack(Raises(v["values"][0]["where"], v["error"]))
        return
    with pytest.raises(SeriError) as caught:
        seri.pack(*map(written, v["values"]))
    assert str(caught.value).startswith((f"{v['error']}:", f"{v['error']} ("))


class Raises(Mapping[str, int]):
    """A mapping that fails when it is read."""

    def __init__(self, where: str, text: str) -> None:
        self.where, self.text = where, text

    def __iter__(self) -> Iterator[str]:
        if self.where == "iterator":
            yield "a"
        raise RuntimeError(self.text)

    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 1


# --------------------------------------------------------------------------- any value


INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [0, 1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31)]
)
SCALARS = (
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text() | st.text(min_size=25, max_size=40) | st.binary()
)
KEYS = st.text() | st.integers(-2, 5) | INTEGERS | st.booleans() | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner, min_size=29, max_size=33)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS | st.tuples(KEYS), inner)
        | st.integers(1, 40).flatmap(
            lambda n: st.lists(inner, min_size=n, max_size=n).map(lambda a: dict(enumerate(a, 1)))
        )
    ),
    max_leaves=60,
)


def by_the_book(value: Any) -> bytes:
    """SPEC.md word for word, and no word more: slow, and easy to compare with it."""

    def tag(type: int, cookie: int) -> bytes:
        return bytes([type + cookie * 8])

    if value is None:
        return tag(0, 0)
    if isinstance(value, bool):
        return tag(1, int(value))
    if isinstance(value, int):
        if value == 0:
            return tag(2, 0)
        if not -(2**31) <= value <= 2**31 - 1:
            return tag(2, 6) + value.to_bytes(8, "little", signed=True)
        if value < 0:
            return tag(2, 4) + value.to_bytes(4, "little", signed=True)
        size = 1 if value < 256 else 2 if value < 65536 else 4
        return tag(2, size) + value.to_bytes(size, "little")
    if isinstance(value, float):
        return tag(2, 8) + struct.pack("<d", value)
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        if len(data) < 32:
            return tag(4, len(data)) + data
        size = 2 if len(data) < 65536 else 4
        return tag(5, size) + len(data).to_bytes(size, "little") + data
    items, pairs = parts(value)
    head = tag(6, len(items)) if len(items) < 31 else tag(6, 31) + by_the_book(len(items))
    return head + b"".join(map(by_the_book, [*items, *(one for pair in pairs for one in pair)])) + tag(0, 0)


def parts(table: Any) -> tuple[list[Any], list[tuple[Any, Any]]]:
    """The items of a table, and its other pairs."""
    if not isinstance(table, dict):
        return list(table), []
    pairs = [(lua_key(key), value) for key, value in table.items() if value is not None]
    items: list[Any] = []
    while found := [value for key, value in pairs if key == len(items) + 1 and not isinstance(key, bool)]:
        items += found
    return items, [(k, v) for k, v in pairs if isinstance(k, bool | str | tuple) or k not in range(1, len(items) + 1)]


def lua_key(key: Any) -> Any:
    return int(key) if isinstance(key, float) and key.is_integer() and -(2.0**63) <= key < 2.0**63 else key


def arrived(value: Any) -> Any:
    """What the documentation says a value of ours is when it has been there and back."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if not isinstance(value, list | tuple | dict):
        return value
    items, pairs = parts(value)
    pairs += enumerate(items, 1)
    table = {arrived_key(key): arrived(one) for key, one in pairs if one is not None}
    if all(type(key) is int for key in table) and sorted(table) == list(range(1, len(table) + 1)):
        return [table[n] for n in range(1, len(table) + 1)]
    return table


def arrived_key(key: Any) -> Any:
    if not isinstance(key, tuple):
        return key
    value = arrived(key)  # a table that is a key
    return tuple(value) if isinstance(value, list) else seri.Pairs(value.items())


def exactly(value: Any) -> Any:
    """A value with its types: 1, 1.0 and True differ, and NaN equals NaN."""
    if isinstance(value, float):
        return "float", struct.pack("<d", value) if value == value else "nan"
    if isinstance(value, dict):
        return "dict", frozenset((exactly(key), exactly(one)) for key, one in value.items())
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(map(exactly, value))
    return type(value).__name__, value


@given(st.lists(VALUES, max_size=4))
def test_any_value_is_written_by_the_book(values: list[Any]) -> None:
    assert seri.pack(*values) == b"".join(map(by_the_book, values))


@given(st.lists(VALUES, max_size=4))
def test_any_value_arrives_as_documented(values: list[Any]) -> None:
    """And once it has, it is what it stays."""
    there = seri.unpack(seri.pack(*values))
    assert [exactly(value) for value in there] == [exactly(arrived(value)) for value in values]
    assert [exactly(value) for value in seri.unpack(seri.pack(*there))] == [exactly(value) for value in there]


@given(st.lists(VALUES, max_size=4))
def test_the_walk_covers_every_byte_once(values: list[Any]) -> None:
    """Parts lie end to end; each table has its end, at its own depth."""
    data = seri.pack(*values)
    at, depth = 0, 0
    for part in seri.walk(data):
        depth -= part.kind == "end"
        assert (part.at, part.depth) == (at, depth)
        depth += part.kind == "table"
        at += part.size
    assert (at, depth) == (len(data), 0)


def test_the_walk_says_what_each_part_is_to_what_is_around_it() -> None:
    """Items and values of the message have numbers. A table that is a key has parts of its own before its value."""
    data = seri.pack({1: "a", (True, None): {}}, None)
    assert [(part.kind, part.role) for part in seri.walk(data)] == [
        ("table", 1), ("string", 1), ("table", "key"), ("boolean", 1), ("nil", 2), ("end", "end"),
        ("table", "value"), ("end", "end"), ("end", "end"), ("nil", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["ÿ", "日本", "\udcff", "a\udc80b", "x" * 31, "ä" * 16, "\0"])
def test_a_str_is_its_bytes(text: str) -> None:
    """UTF-8, and what is none in surrogates: both sides see the same bytes, and nothing is lost on the way back."""
    data = text.encode("utf-8", "surrogateescape")
    assert seri.pack(text) == seri.pack(data)
    assert seri.unpack(seri.pack(data)) == (text,)
    assert seri.unpack(seri.pack(data), strings="bytes") == (data,)


def test_none_in_a_table_is_what_nil_is_in_lua() -> None:
    """Not there: an item that is None is a hole, a key with None is none. Between values it is a value."""
    assert seri.pack([1, None, 3]) == bytes.fromhex("1e0a01000a0300")
    assert seri.unpack(seri.pack([1, None, 3], [1, None], {"a": None}, None)) == ({1: 1, 3: 3}, [1], [], None)


def test_what_only_python_takes_for_one_key_is_told_apart() -> None:
    """True is no 1, and 1.0 is: as in Lua. Where a table has both 1 and true no dict can hold it, which is said."""
    assert seri.unpack(seri.pack({True: "a", 2: "b"})) == ({True: "a", 2: "b"},)
    assert seri.pack({True: "a"}) == bytes.fromhex("06090c6100") != seri.pack({1: "a"}) == seri.pack({1.0: "a"})
    assert seri.unpack(seri.pack(seri.Pairs([(True, None)]))) == ([],)
    assert seri.unpack(seri.pack(seri.Pairs([(1, "a"), (1.0, "b"), (0, "c"), (-0.0, "d")]))) == ({1: "b", 0: "d"},)
    both = seri.Pairs([(1, "a"), (True, "b")])
    for pairs in (both, reversed(both), [(0, 1), (False, 1)], [((1,), 1), ((1,), 2)]):
        with pytest.raises(SeriError, match="a dict cannot hold"):
            seri.unpack(seri.pack(seri.Pairs(pairs)))
    with pytest.raises(SeriError, match="two keys of a dict are one in Lua"):
        seri.pack({"a": 1, b"a": 2})


def test_tables_that_are_keys_can_be_sent_on() -> None:
    """A list cannot be a key of a dict, so it becomes a tuple, and a dict its pairs. They travel inside a node, too."""
    data = bytes.fromhex("060e0a01000c6106") + seri.pack("k", 1) + bytes.fromhex("000c6200")
    (table,) = seri.unpack(data)
    assert table == {(1,): "a", seri.Pairs([("k", 1)]): "b"}
    assert seri.pack(table) == data
    pointer = seri.LightUserdata(5)
    with Node() as node:
        echo = node.newservice(
            lambda: skynet.dispatch("lua", lambda session, source, *args: skynet.ret(skynet.pack(*args)))
        )
        assert node.call(echo, "lua", table, pointer) == (table, pointer)


class Level(IntEnum):
    HIGH = 300


def test_what_is_made_of_plain_values_is_written_as_these() -> None:
    """Subclasses, other bytes, other mappings, shared tables, and classes that skynet.register_type knows."""
    alike = [
        (Level.HIGH, 300), (OrderedDict(a=1), {"a": 1}), (bytearray(b"x"), "x"), (memoryview(b"x"), "x"),
        (namedtuple("Point", "x y")(1, 2), [1, 2]), (MappingProxyType({1: 2}), seri.Pairs([(1, 2)])),
        (frozen.view(frozen.Root(frozen.Version("t", 1, {"a": [1]}))), {"a": [1]}),
        (type("Text", (str,), {})("x"), "x"), (Registered(3), {"n": 3}),
    ]  # fmt: skip
    for value, plain in alike:
        assert seri.pack([value], value) == seri.pack([plain], plain)


def test_a_class_that_never_becomes_plain_is_refused() -> None:
    """Its pack function returns what has one, again and again."""
    kind = skynet.register_type(type("Endless", (), {}), pack=lambda value: value)
    with pytest.raises(SeriError, match="never become plain"):
        seri.pack(1, kind())


@skynet.register_type
@dataclass
class Registered:
    n: int


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (2**63, r"64 bits in Lua: .* \(argument 1\)"),
        ({"a": [1, {2, 3}]}, r"^Unsupport type userdata to serialize: a builtins.set \(argument 1\['a'\]\[1\]\)"),
        ({"a": {print: 1}}, r"^Unsupport type function to serialize: .* \(argument 1\['a'\]\[a key\]\)"),
        ((one for one in ()), "^Unsupport type thread to serialize"),
        ({None: 1}, "^table index is nil"), ({math.nan: 1}, "^table index is NaN"),
        ("\ud800", "has no bytes"), (seri.LightUserdata(-1), "64 bits"), (skynet.pack(1), "Packed"),
        ([b"x" * 2**24] * 17, "^more than 268435456 bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_told_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(SeriError, match=told):
        seri.pack(value)


@pytest.mark.parametrize("wrong", [None, 3, "text", [1]])
def test_unpack_takes_bytes_only(wrong: Any) -> None:
    with pytest.raises(SeriError, match="unpack takes bytes, not"):
        seri.unpack(wrong)
    with pytest.raises(SeriError, match='strings is "str" or "bytes"'):
        seri.unpack(b"", strings=wrong)


# --------------------------------------------------------------------------- bytes of an enemy


def peak(data: bytes) -> int:
    """The memory that reading needs at its highest, bytes; only SeriError may come of it."""
    tracemalloc.start()
    try:
        with suppress(SeriError):
            seri.unpack(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


SWOLLEN = 100
"""Bytes of memory for each byte that came, at most: `{0: true}` are four bytes here, and a dict of 232 there."""


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("fe22ffffff7f"), bytes.fromhex("25ffffffff"), bytes.fromhex("15ffff61"),
        b"\x0e" * 1_000_000, b"\x06" * 1_000_000, b"\x06\0" * 30_000, b"\0" * 50_000,
        b"\xfe\x0a\xff" * 30_000, b"\x06\x02\x09\0" * 15_000, b"\x06\x06\x09\0\x09\0" * 9_000,
        b"\x06" + b"\x0a\x01\x09\x09\x09" * 9_000, b"\x06" * 200 + b"\0\x09\0" * 200,
    ],
    ids=lambda data: f"{data[:6].hex()}-{len(data)}",
)  # fmt: skip
def test_hostile_bytes_cost_what_they_weigh(data: bytes) -> None:
    """Six bytes that announce two thousand million items, tables without end: a real node gives gigabytes, or dies."""
    assert peak(data) < 20_000 + SWOLLEN * len(data)


def steps(data: bytes) -> int:
    """Lines of seri.py that reading runs."""
    count = 0

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != seri.__file__:
            return None
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        with suppress(SeriError):
            seri.unpack(data)
    finally:
        sys.settrace(before)
    return count


NESTED_KEYS = b"\x06" * 199 + b"\xfe\x12\xe8\x03" + b"\x0a\x07" * 1000 + b"\0" + b"\x09\0" * 199


@pytest.mark.parametrize("unit", ["0e", "0600", "fe0aff", "06020900", "0a0109", "060a010900", "4402", "0c610a01"])
def test_reading_is_as_long_as_the_bytes(unit: str) -> None:
    """Twice the bytes, twice the work: nothing is looked at again and again."""
    few, many = (b"\x06" + bytes.fromhex(unit) * n for n in (300, 600))
    assert steps(many) < 2.2 * steps(few) + 200


def test_a_table_in_a_key_in_a_key_is_looked_at_once() -> None:
    assert isinstance(seri.unpack(NESTED_KEYS)[0], dict)
    assert steps(NESTED_KEYS) < 30 * len(NESTED_KEYS)


def test_tables_as_keys_are_few() -> None:
    """Tuples whose hashes are the same can be made by the thousand, and then each key is compared with all others."""
    pairs = [((n,), n) for n in range(seri.MAX_TABLE_KEYS + 1)]
    assert len(seri.unpack(seri.pack(seri.Pairs(pairs[:-1])))[0]) == seri.MAX_TABLE_KEYS
    with pytest.raises(SeriError, match="more than 100 tables are keys of one"):
        seri.unpack(seri.pack(seri.Pairs(pairs)))


def test_pairs_are_pairs() -> None:
    with pytest.raises(ValueError, match="unpack"):
        seri.pack(seri.Pairs([(1, 2, 3)]))


def test_reading_ends_at_two_hundred_levels() -> None:
    deep = lambda n: b"\x0e" * n + b"\x09" + b"\0" * n  # noqa: E731
    assert seri.unpack(deep(seri.READ_DEPTH))
    with pytest.raises(SeriError, match=r"^Invalid serialize stream \d+: more than 200 tables in each other"):
        seri.unpack(deep(seri.READ_DEPTH + 1))


def test_a_list_that_shares_its_parts_is_not_written_for_ever() -> None:
    """Thirty levels of the same list twice are a thousand million values, of which Python keeps thirty."""
    shared: Any = b"x" * 2**20
    for _ in range(30):
        shared = [shared, shared]
    with pytest.raises(SeriError, match="is a part of it in many places?"):
        seri.pack(shared)


@given(st.binary(max_size=200))
def test_any_bytes_are_values_or_a_seri_error(data: bytes) -> None:
    """`walk` and `unpack` agree which, but for what a dict cannot hold. What was read can be read again."""
    assert peak(data) < 40_000 + SWOLLEN * len(data)
    try:
        values = seri.unpack(data)
    except SeriError as e:
        if not str(e).startswith(("a dict cannot hold", "more than 100 tables")):
            with pytest.raises(SeriError, match=f"^{re.escape(str(e))}$"):
                list(seri.walk(data))
    else:
        assert list(seri.walk(data)) or not data
        assert [exactly(v) for v in seri.unpack(seri.pack(*values))] == [exactly(v) for v in values]


@given(st.lists(VALUES, max_size=4), st.data())
def test_bytes_that_were_cut_or_changed_are_values_or_a_seri_error(values: list[Any], draw: st.DataObject) -> None:
    data = bytearray(seri.pack(*values))
    for _ in range(draw.draw(st.integers(0, 3))):
        if data:
            data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    for strings in ("str", "bytes"):
        with suppress(SeriError):
            assert isinstance(seri.unpack(data[: draw.draw(st.integers(0, len(data)))], strings), tuple)
