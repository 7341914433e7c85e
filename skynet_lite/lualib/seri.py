"""Values as bytes, as skynet writes them: what leaves the node, and what comes in.

  1  A message is one value after the other: no header, no count, no end mark. A value is
     a tag byte (low three bits: its type, the other five: a cookie), then its body.
  2  One loop writes whatever is in a table, as one list: items, or keys and values in
     turn. One loop reads it so. Only a table inside a table costs a call, or a stack.
  3  The reader looks for nothing but the next value. Whatever is wrong ends that loop,
     and `walk`, which looks at every byte, is asked what it was.

What comes in may be hostile. Nothing is laid out before it has arrived, nesting ends at
READ_DEPTH, and the work is in proportion to the bytes, whatever they announce.

After lualib-src/lua-seri.c. Inside a node messages keep Python's types (core/message.py).
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterable, Iterator, Mapping
from itertools import chain, count, cycle, takewhile
from struct import Struct, error as StructError
from typing import Any, NamedTuple

from ..core.codec import codec_of, register_type
from ..core.errors import SeriError as SeriError, shown

__all__ = [
    "MAX_DEPTH", "MAX_SIZE", "READ_DEPTH", "LightUserdata", "Pairs", "Part", "SeriError", "pack", "unpack", "walk",
]  # fmt: skip
__dir__ = __all__.copy

MAX_DEPTH = 32
"""Tables in tables that are written, as in skynet."""
READ_DEPTH = 200
"""Tables in tables that are read: skynet has no limit. What is deeper could not travel inside the node either."""
MAX_SIZE = 1 << 28
"""Bytes that are written, at most. A value in a table counts as 64 or more: lists that share parts are soon endless."""

MAX_TABLE_KEYS = 100
"""Tables that are keys of one table, at most: the hash of a tuple can be foretold, and made the same for many."""

NIL, BOOLEAN, NUMBER, USERDATA, SHORT_STRING, LONG_STRING, TABLE = range(7)
_INTEGERS = {0: Struct(""), 1: Struct("<B"), 2: Struct("<H"), 4: Struct("<i"), 6: Struct("<q")}  # by cookie
_write_word, _write_dword, _write_qword = Struct("<BH").pack, Struct("<Bi").pack, Struct("<Bq").pack
_write_real, _write_size, _write_pointer = Struct("<Bd").pack, Struct("<BI").pack, Struct("<BQ").pack
_read_word, _read_dword, _read_qword = (_INTEGERS[cookie].unpack_from for cookie in (2, 4, 6))
_read_real, _read_size, _read_pointer = (Struct(f"<{code}").unpack_from for code in "dIQ")
_BYTES = [b"\2"] + [bytes((0x0A, n)) for n in range(1, 256)]
_SHORT = [bytes((SHORT_STRING | n << 3,)) for n in range(32)]
_TOO_LARGE = f"more than {MAX_SIZE} bytes: is a part of it in many places?"
_HEADS = [bytes((TABLE | n << 3,)) for n in range(32)]


class LightUserdata(NamedTuple):
    """A pointer of the node that wrote it. It means nothing here, but may go back."""

    address: int


class Pairs(tuple[tuple[Any, Any], ...]):
    """Pairs as they are to be written, in this order: what a table with `__pairs` is to skynet.

    It is also what a table that was the key of a table is read as, unless it has items only: then it is a tuple.
    """

    __slots__ = ()


register_type(LightUserdata)
register_type(Pairs, tuple, Pairs)


def pack(*values: Any) -> bytes:
    """The values as skynet.packstring gives them.

    A list or a tuple is a table of items. The keys 1, 2, ... of a dict are its items up to the first that is missing,
    the others are pairs, in their order. As in Lua a value None is no pair, and a float key with an integer value is an
    integer. Pairs, and any Mapping that is no dict, are written pair by pair. What has been made known with
    `skynet.register_type` is written as what it is made of.

    Raises SeriError for what Lua has no value for, with its place, for tables nested deeper than 32, and for more than
    256 MiB. After lualib-src/lua-seri.c, luaseri_pack.
    """
    out: list[bytes] = []
    try:
        _write(values, out, 0, [MAX_SIZE])
    except SeriError as e:
        raise SeriError(f"{e} ({_place(values, e.chain)})") from None
    except RecursionError:
        raise SeriError("a pack function of register_type makes values that never become plain ones") from None
    return b"".join(out)


def _write(values: Iterable[Any], out: list[bytes], depth: int, room: list[int]) -> None:
    """Write all of them, at this depth. `room`: what is left of MAX_SIZE. Raises SeriError. DOC: seri-write"""
    value: Any = None
    try:
        for value in values:
            kind = type(value)
            if kind is int:
                if not value >> 8:
                    out.append(_BYTES[value])
                elif not value >> 16:
                    out.append(_write_word(0x12, value))
                elif not value + 0x80000000 >> 32:
                    out.append(_write_dword(0x22, value))
                elif not value + 0x8000000000000000 >> 64:
                    out.append(_write_qword(0x32, value))
                else:
                    raise SeriError("an integer has 64 bits in Lua: send this one as a str, or as a float")
            elif kind is str or kind is bytes:
                if kind is bytes:
                    data = value
                else:
                    try:
                        data = value.encode()
                    except UnicodeEncodeError:
                        data = _name(value)
                size = len(data)
                if size < 32:
                    out.append(_SHORT[size])
                else:
                    room[0] -= size
                    if room[0] < 0:
                        raise SeriError(_TOO_LARGE)
                    out.append(_write_word(0x15, size) if size < 0x10000 else _write_size(0x25, size))
                out.append(data)
            elif kind is dict or kind is list or kind is tuple or kind is Pairs:
                items, rest = (value, ()) if kind is list or kind is tuple else _parts(value)
                size = len(items)
                if size < 31:
                    out.append(_HEADS[size])
                else:
                    out.append(b"\xfe")
                    _write((size,), out, 0, room)
                if size or rest:
                    if depth == MAX_DEPTH:
                        raise SeriError(f"serialize can't pack too depth table: {MAX_DEPTH} in each other is the most")
                    room[0] -= 64 * (size + len(rest))
                    if room[0] < 0:
                        raise SeriError(_TOO_LARGE)
                    if size:
                        _write(items, out, depth + 1, room)
                    if rest:
                        _write(rest, out, depth + 1, room)
                out.append(b"\0")
            elif value is None:
                out.append(b"\0")
            elif kind is bool:
                out.append(b"\x09" if value else b"\x01")
            elif kind is float:
                out.append(_write_real(0x42, value))
            elif kind is LightUserdata:
                out.append(_write_pointer(0x03, value.address))
            else:
                _write((_plain(value),), out, depth, room)
    except (SeriError, StructError) as e:
        error = e if isinstance(e, SeriError) else SeriError("an address is an integer of 64 bits, none below 0")
        error.chain = (value, *error.chain)
        raise error from None


def _name(text: str | bytes) -> bytes:
    """The bytes of a string. Raises SeriError."""
    if isinstance(text, bytes):
        return text
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as e:
        raise SeriError(f"{shown(text[e.start])} has no bytes: a str travels as UTF-8") from None


def _parts(table: dict[Any, Any] | Pairs) -> tuple[list[Any], list[Any]]:
    """Its items, and its other keys and values in turn. DOC: seri-parts"""
    rest: list[Any] = []
    if type(table) is Pairs:
        for key, value in table:
            rest += key, value
        return [], rest
    items_too = 1 in table
    for key, value in table.items():  # type: ignore[union-attr]  # Pairs are done
        if type(key) is not str and (items_too or type(key) is not int):
            break
        if value is not None:
            rest += key, value
    else:
        return [], rest
    names = [_name(key) for key in table if isinstance(key, str | bytes)]
    if len(set(names)) < len(names):
        raise SeriError("two keys of a dict are one in Lua, whose strings are bytes")
    pairs = [(_key(key), value) for key, value in table.items() if value is not None]  # type: ignore[union-attr]
    numbered = {key: value for key, value in pairs if isinstance(key, int) and not isinstance(key, bool)}
    items: list[Any] = []
    while (n := len(items) + 1) in numbered:
        items.append(numbered[n])
    rest = []
    for key, value in pairs:
        if isinstance(key, bool) or key not in numbered or not 0 < key < n:
            rest += key, value
    return items, rest


def _key(key: Any) -> Any:
    """A key as it is in a table of Lua."""
    if key is None or key != key:
        raise SeriError(f"table index is {'nil' if key is None else 'NaN'}")
    return int(key) if type(key) is float and key.is_integer() and -(2.0**63) <= key < 2.0**63 else key


def _plain(value: Any) -> Any:
    """What is written in the place of a value that is none of the plain ones. Raises SeriError."""
    if (codec := codec_of(type(value))) is not None:
        return codec[0](value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    kind: Any
    for kind in (str, bytes, int, float, dict, list, tuple):
        if isinstance(value, kind):  # of a class derived from it
            return kind(value)
    if isinstance(value, Mapping):
        return Pairs(takewhile(lambda pair: pair[0] is not None, value.items()))
    lua = "thread" if isinstance(value, Generator | Coroutine) else "function" if callable(value) else "userdata"
    raise SeriError(f"Unsupport type {lua} to serialize: a {type(value).__module__}.{type(value).__qualname__}")


def _place(values: tuple[Any, ...], chain: tuple[Any, ...]) -> str:
    """Where the last of a chain of values is, each in the one before: `argument 1, [2]["name"]`."""
    inside: Any = chain[0]
    path = f"argument {next(i for i, one in enumerate(values, 1) if one is inside)}"
    for value in chain[1:]:
        if type(inside) not in (dict, list, tuple, Pairs):
            break  # what follows is what was written in its place
        pairs = inside.items() if type(inside) is dict else inside if type(inside) is Pairs else enumerate(inside)
        path += next((f"[{shown(key)}]" for key, one in pairs if one is value), "[a key]")
        inside = value
    return path if len(path) <= 200 else f"{path[:100]}…{path[-99:]}"


def unpack(data: bytes | bytearray | memoryview, strings: str = "str") -> tuple[Any, ...]:
    """The values that skynet.unpack gives.

    A string of Lua becomes a str by UTF-8, with what is no UTF-8 in surrogates: `.encode("utf-8", "surrogateescape")`
    gives its bytes back. With `strings="bytes"` it stays bytes. A table whose keys are 1 to n becomes a list (the
    empty one, too), any other a dict: what is nil is not there, as in Lua. A table that is a key becomes a tuple, or
    Pairs.

    Raises SeriError: "Invalid serialize stream N" with N bytes unread, "table index is NaN"; for tables nested deeper
    than READ_DEPTH; for more than a hundred tables that are keys of one; and where a dict cannot hold two keys that Lua
    tells apart: 1 and true, 0 and false, two tables that are equal. After lualib-src/lua-seri.c, luaseri_unpack.
    DOC: seri-read
    """
    if strings not in ("str", "bytes"):
        raise SeriError(f'strings is "str" or "bytes", not {shown(strings)}')
    if not isinstance(data, bytes):
        data = _bytes(data)
    text = strings == "str"
    size = len(data)
    read = data + b"\7" if size < 4096 else data  # what is no tag ends the loop sooner than an exception does
    stack: list[tuple[Any, ...]] = []  # of the tables that are open around this one
    values: list[Any] = []  # of this one: its items, then its keys and values in turn
    left = 1 << 62  # items to come; below 0 these are pairs: even before a key, odd before its value
    items: list[Any] = []  # of this one, when its pairs are being read
    odd = False  # whether something in it is nil, or a key of it neither string nor integer
    i = 0  # of a tag: behind a value once it is whole
    try:
        while True:  # with types and tags as numbers: each is compared for each value
            tag = read[i]
            kind = tag & 7
            if kind == 4:
                end = i + 1 + (tag >> 3)
                if text:
                    try:
                        values.append(read[i + 1 : end].decode())
                    except UnicodeDecodeError:
                        values.append(read[i + 1 : end].decode("utf-8", "surrogateescape"))
                else:
                    values.append(read[i + 1 : end])
                i = end
            elif kind == 2:
                if tag == 0x0A:
                    values.append(read[i + 1])
                    i += 2
                elif tag == 0x12:
                    values.append(read[i + 1] | read[i + 2] << 8)
                    i += 3
                elif tag == 0x02:
                    values.append(0)
                    i += 1
                elif tag == 0x22:
                    values.append(_read_dword(read, i + 1)[0])
                    i += 5
                elif tag == 0x42:
                    values.append(_read_real(read, i + 1)[0])
                    i += 9
                    odd = odd or (left < 0 and not left & 1)
                elif tag == 0x32:
                    values.append(_read_qword(read, i + 1)[0])
                    i += 9
                else:
                    break
            elif kind == 0:
                i += 1
                if left >= 0 or left & 1:
                    values.append(None)
                    odd = True
                else:
                    table: Any = items
                    if odd or (items and values):
                        table = _table(items, values)
                    elif values:
                        table = dict(zip(values[::2], values[1::2], strict=True))
                        if 1 in table:
                            table = _listed(table)
                    values, left, items, odd = stack.pop()
                    values.append(table)
                    odd = odd or (left < 0 and not left & 1)
            elif kind == 6:
                if len(stack) == READ_DEPTH:
                    break
                stack.append((values, left, items, odd))
                left = tag >> 3
                i += 1
                if left == 31:
                    left, i = _count(read, i)
                values, items, odd = [], [], False
                if left == 0:
                    left = -2
                continue
            elif kind == 1:
                values.append(tag > 7)
                i += 1
                odd = odd or (left < 0 and not left & 1)
            elif kind == 5 and tag in (0x15, 0x25):
                start = i + (3 if tag == 0x15 else 5)
                end = start + (_read_word if tag == 0x15 else _read_size)(read, i + 1)[0]
                string = read[start:end]
                values.append(_text(string) if text else string)
                i = end
            elif kind == 3:
                values.append(LightUserdata(*_read_pointer(read, i + 1)))
                i += 9
                odd = odd or (left < 0 and not left & 1)
            else:
                break
            left -= 1
            if left == 0:
                items, values, left = values, [], -2
    except (IndexError, StructError):
        pass
    if i == size and not stack:
        return tuple(values)
    for _ in walk(data):
        pass
    raise AssertionError("what is right to walk is right to unpack")


def _bytes(data: Any) -> bytes:
    if not isinstance(data, bytearray | memoryview):
        raise SeriError(f"unpack takes bytes, not {shown(data)}")
    return bytes(data)


def _text(string: bytes) -> str:
    try:
        return string.decode()
    except UnicodeDecodeError:
        return string.decode("utf-8", "surrogateescape")


def _count(data: bytes, i: int) -> tuple[int, int]:
    """The number of items that stands after the head of a table, and where it ends."""
    if data[i] & 7 != NUMBER or (body := _INTEGERS.get(data[i] >> 3)) is None:
        raise StructError
    (count,) = body.unpack_from(data, i + 1) or (0,)
    count &= 0xFFFFFFFF  # as an int of C
    return 0 if count >> 31 else count, i + 1 + body.size


def _table(items: list[Any], rest: list[Any]) -> Any:
    """The table of these items, and these keys and values in turn. Raises SeriError."""
    table = {n: value for n, value in enumerate(items, 1) if value is not None}
    seen: dict[Any, Any] = {1: int} if 1 in table else {}  # of keys that Python may take for each other
    tables = 0
    for key, value in zip(rest[::2], rest[1::2], strict=True):
        kind: Any = type(key)
        if kind is float:
            if key != key:
                raise StructError
            key = _key(key)
            kind = type(key)
        elif kind is list or kind is dict:
            key, kind = _frozen(key), object()  # to Lua no two tables are the same key
            if (tables := tables + 1) > MAX_TABLE_KEYS:
                raise SeriError(f"more than {MAX_TABLE_KEYS} tables are keys of one")
        alike = kind is not str and kind is not bytes and (type(key) is not int or key in (0, 1))
        if alike and seen.setdefault(key, kind) is not kind:
            raise SeriError(f"a dict cannot hold two of a table's keys: {shown(key)}, and one that equals it")
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    return table if table and seen.get(1) is bool else _listed(table)


def _listed(table: dict[Any, Any]) -> Any:
    """A list if the keys are 1 to n, none of them True."""
    numbers = range(1, len(table) + 1)
    return [table[n] for n in numbers] if all(n in table for n in numbers) else table


def _frozen(value: Any) -> Any:
    """A list or a dict as something that can be a key. What is in it is looked at once, however deep it stands."""
    if type(value) is list:
        return tuple([_frozen(one) for one in value])
    return Pairs((key, _frozen(one)) for key, one in value.items()) if type(value) is dict else value


class Part(NamedTuple):
    """A value's place among the bytes: a tag, and its body. What is in a table are parts of their own."""

    at: int
    size: int
    depth: int
    kind: str
    """nil, boolean, integer, float, lightuserdata, string, table, or end (of a table)."""
    value: Any
    """Of a string its bytes, of a table the number of its items."""
    role: int | str
    """What it is to the table around it, or to the message: item or value number n, "key", "value", or "end"."""


def walk(data: bytes) -> Iterator[Part]:
    """Each part of a message, in the order of its bytes. Raises SeriError where they go wrong. DOC: seri-walk"""
    i = 0
    roles: list[Iterator[int | str]] = [count(1)]  # of what comes next: in the message, and in each table that is open
    nan = False  # whether a key has come that is NaN

    def wrong(reason: str) -> SeriError:
        error = SeriError(f"Invalid serialize stream {len(data) - i}: {reason}, at byte {i} of {len(data)}")
        error.left, error.at = len(data) - i, i
        return error

    def body(size: int) -> bytes:
        nonlocal i
        if len(data) - i < size:
            raise wrong(f"{size} more bytes were announced")
        i += size
        return data[i - size : i]

    def integer(cookie: int) -> int:
        if cookie not in _INTEGERS:
            raise wrong(f"no number has cookie {cookie}")
        return (_INTEGERS[cookie].unpack(body(_INTEGERS[cookie].size)) or (0,))[0]  # type: ignore[no-any-return]

    while i < len(data) or len(roles) > 1:
        at, depth, role = i, len(roles) - 1, next(roles[-1])
        if i == len(data):
            raise wrong("the bytes end inside a table")
        (tag,) = body(1)
        type, cookie = tag & 7, tag >> 3
        value: Any = None
        if type == NIL:
            kind, depth, role = ("end", depth - 1, "end") if role == "key" else ("nil", depth, role)
        elif type == BOOLEAN:
            kind, value = "boolean", cookie > 0
        elif type == NUMBER and cookie == 8:
            kind, value = "float", *_read_real(body(8))
        elif type == NUMBER:
            kind, value = "integer", integer(cookie)
        elif type == USERDATA:
            kind, value = "lightuserdata", LightUserdata(*_read_pointer(body(8)))
        elif type == SHORT_STRING:
            kind, value = "string", body(cookie)
        elif type == LONG_STRING:
            if cookie not in (2, 4):
                raise wrong(f"no long string has cookie {cookie}")
            kind, value = "string", body(int.from_bytes(body(cookie), "little"))
        elif type == TABLE:
            if depth == READ_DEPTH:
                raise wrong(f"more than {READ_DEPTH} tables in each other")
            kind, value = "table", cookie
            if cookie == 31:
                (tag,) = body(1)
                if tag & 7 != NUMBER or tag >> 3 == 8:
                    raise wrong("the number of items is no integer")
                value = integer(tag >> 3) & 0xFFFFFFFF
                value = 0 if value >> 31 else value
        else:
            raise wrong("no value has type 7")
        yield Part(at, i - at, depth, kind, value, role)
        if nan:
            raise SeriError("table index is NaN")
        nan = role == "key" and value != value
        if kind == "end":
            roles.pop()
        elif kind == "table":
            roles.append(chain(range(1, value + 1), cycle(("key", "value"))))
