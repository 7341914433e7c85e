"""The frames in which two nodes of a cluster talk: made, and taken apart; nothing is sent here.

One connection for each pair of caller and called node. Requests go one way, answers the other, each in a packet of
netpack.py (its length big-endian; all in it little-endian). The first byte of a request says what it is:

    00  address u32, session u32, payload          80  length of the name u8, name, session u32, payload
    01  address u32, session u32, size u32         81  the same, then size u32: the begin of a large request
    02  session u32, bytes: a part of it           41, c1: the begin of a large push
    03  session u32, bytes: its last part          04  text: the trace tag of the next request

A push has no answer; a small one has session 0. Of an answer, session u32 comes first, then

    0  text: it failed      1  payload      2  size u32: the begin of a large one      3, 4  a part, the last one

After lualib-src/lua-cluster.c.
"""

from __future__ import annotations

from itertools import takewhile
from struct import Struct, error as StructError
from typing import Any

from ..core.errors import SkynetError, shown
from ..skynet.scheduler import current
from . import netpack

__all__ = [
    "PART", "concat", "isname", "nodename", "packpush", "packrequest", "packresponse", "packtrace", "unpackrequest",
    "unpackresponse", "weight",
]  # fmt: skip
__dir__ = __all__.copy

PART = 0x8000
"""Bytes of a part. A request of so many is sent in parts already, an answer only when it has more."""
LAST_SESSION = 0x7FFFFFFF

_U32 = Struct("<I")
_U32X2 = Struct("<II")
_U32X3 = Struct("<III")
_SMALL = Struct("<BII")  # type, address, session
_ANSWER = Struct("<IB")  # session, type

Packet = tuple[bytes, int, list[bytes] | None]
"""A frame, the session of the next request, and the parts that follow if it is a large one."""


def _frame(*pieces: bytes) -> bytes:
    return netpack.pack(b"".join(pieces))


def _name(address: Any) -> bytes:
    if not isinstance(address, str):
        raise SkynetError(f"name is not a string, it's a {type(address).__name__}: {shown(address)}")
    name = address.encode("utf-8", "surrogateescape")
    if not 0 < len(name) < 256:
        raise SkynetError(f"name length is invalid, must be between 1 and 255 characters: {address}")
    return name


def packrequest(address: int | str, session: int, payload: bytes) -> Packet:
    """The frames of a call to a service of the other node, by its handle or a name.

    A float without an integer value is sent as 0, so it asks for a name (as in skynet). Raises SkynetError for a name
    that is no str of 1 to 255 bytes.
    """
    return _pack(address, session, payload, False)


def packpush(address: int | str, session: int, payload: bytes) -> Packet:
    """The frames of a message that nobody answers. Only a large one uses its session up: see the third value."""
    return _pack(address, session, payload, True)


def _pack(address: Any, session: int, payload: bytes, push: bool) -> Packet:
    if session <= 0:
        raise SkynetError(f"Invalid request session {session}")
    size = len(payload)
    if isinstance(address, float):
        address = int(address) if address.is_integer() else 0
    number = type(address) is int
    name = b"" if number else _name(address)
    after = session + 1 if session < LAST_SESSION else 1
    if size < PART:
        told = 0 if push else session
        if number:
            return _frame(_SMALL.pack(0, address & 0xFFFFFFFF, told), payload), after, None
        return _frame(b"\x80", bytes((len(name),)), name, _U32.pack(told), payload), after, None
    kind = 0x41 if push else 1
    if number:
        begin = _frame(_SMALL.pack(kind, address & 0xFFFFFFFF, session), _U32.pack(size))
    else:
        begin = _frame(bytes((kind | 0x80, len(name))), name, _U32X2.pack(session, size))
    tag = _U32.pack(session)
    ends = range(PART, size, PART)
    parts = [_frame(b"\x02", tag, payload[end - PART : end]) for end in ends]
    parts.append(_frame(b"\x03", tag, payload[len(ends) * PART :]))
    return begin, after, parts


def packtrace(tag: str) -> bytes:
    """The frame with the trace tag of the next request. Raises SkynetError above 32768 bytes."""
    text = tag.encode("utf-8", "surrogateescape")
    if len(text) > PART:
        raise SkynetError(f"trace tag is too long : {len(text)}")
    return _frame(b"\x04", text)


def packresponse(session: int, ok: bool, payload: bytes) -> list[bytes]:
    """The frames of an answer: `payload`, or why there is none (its first 32768 bytes)."""
    if not ok:
        return [_frame(_ANSWER.pack(session, 0), payload[:PART])]
    size = len(payload)
    if size <= PART:
        return [_frame(_ANSWER.pack(session, 1), payload)]
    part = _ANSWER.pack(session, 3)
    ends = range(PART, size, PART)
    last = _frame(_ANSWER.pack(session, 4), payload[len(ends) * PART :])
    begin = _frame(_ANSWER.pack(session, 2), _U32.pack(size))
    return [begin, *(_frame(part, payload[end - PART : end]) for end in ends), last]


def unpackrequest(data: bytes) -> tuple[Any, ...]:
    """What a frame asks for: `(address, session, payload, more, push)`, or `(tag,)`. Raises SkynetError.

    `address` is a handle or a name, and None in a part; `more` says that parts follow; `push` is None where the
    frame does not say. Of a large one the first frame has its size where others have bytes.
    """
    size = len(data)
    if size == 0:
        raise SkynetError("Invalid req package. size == 0")
    kind = data[0]
    try:
        if kind == 0:
            _, address, session = _SMALL.unpack_from(data)
            return address, session, data[9:], False, session == 0
        if kind == 0x80:
            end = 2 + data[1]
            (session,) = _U32.unpack_from(data, end)
            return _text(data[2:end]), session, data[end + 4 :], False, session == 0
        if kind in (0x81, 0xC1):
            end = 2 + data[1]
            session, total = _U32X2.unpack_from(data, end)
            return _text(data[2:end]), session, total, True, kind == 0xC1
    except (IndexError, StructError):
        raise SkynetError(f"Invalid cluster message (size={size})") from None
    if kind in (1, 0x41):
        if size != 13:
            raise SkynetError(f"Invalid cluster message size {size} (multi req must be 13)")
        address, session, total = _U32X3.unpack_from(data, 1)
        return address, session, total, True, kind == 0x41
    if kind in (2, 3):
        if size < 5:
            raise SkynetError("Invalid cluster multi part message")
        return None, _U32.unpack_from(data, 1)[0], data[5:], kind == 2, None
    if kind == 4:
        return (_text(data[1:]),)
    raise SkynetError(f"Invalid req package type {kind - 256 if kind > 127 else kind}")  # a char in C has a sign


def unpackresponse(data: bytes) -> tuple[int, bool, Any, bool] | None:
    """`(session, ok, what, more)` of an answer's frame; None if it is none.

    `what` is bytes, in the first frame of a large answer its size, and why there is none where `ok` is False.
    """
    if len(data) < 5:
        return None
    session, kind = _ANSWER.unpack_from(data)
    if kind == 0:
        return session, False, _text(data[5:]), False
    if kind == 2:
        return (session, True, _U32.unpack_from(data, 5)[0], True) if len(data) == 9 else None
    return (session, True, data[5:], kind == 3) if kind in (1, 3, 4) else None


def concat(parts: list[Any]) -> bytes | None:
    """The whole of what came in parts, of which the first is its size; None if they do not make that.

    A size that comes later, of a second begin, ends it: what was complete before, is (as in skynet).
    """
    if not parts or type(parts[0]) is not int:
        return None
    whole = b"".join(takewhile(lambda part: type(part) is bytes, parts[1:]))
    return whole if len(whole) == parts[0] else None


def weight(part: bytes) -> int:
    """What it costs to keep a part: a short one more than its bytes, or millions of empty ones were free."""
    return max(len(part), 64)


def isname(address: Any) -> bool:
    """Whether it is a name that was given with cluster.register: one with @ in front."""
    return isinstance(address, str) and address.startswith("@")


def nodename() -> str:
    """What this node calls itself in trace tags: the host and the process id, or "node" under a virtual clock."""
    server = current().server
    return "node" if server.clock.virtual else server.outside.nodename()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
