"""Messages: what travels between mailboxes.

A message is a tuple `(ptype, session, source, payload)`. The type says which
protocol unpacks the payload; the session ties a response to the coroutine that
waits for it; source is a handle, 0 for the system (timer, sockets, outside).

Messages isolate services: the receiver never holds the sender's mutable object.
Immutable values travel as they are. As soon as a list or a dict is in it, the
whole message is frozen to bytes at the sender, and each receiver thaws its own
copy. The types allowed are exactly those that come out as they went in (codec.py).

After skynet-src/skynet.h (types) and lualib-src/lua-seri.c (role, not format).
"""

from __future__ import annotations

import marshal
from typing import Any, NamedTuple

from .codec import ATOMS, Coded, frozen, revived

(
    PTYPE_TEXT, PTYPE_RESPONSE, PTYPE_MULTICAST, PTYPE_CLIENT, PTYPE_SYSTEM, PTYPE_HARBOR, PTYPE_SOCKET,
    PTYPE_ERROR, PTYPE_QUEUE, PTYPE_DEBUG, PTYPE_LUA, PTYPE_SNAX, PTYPE_TRACE,
) = range(13)  # fmt: skip
PTYPE_NAMES = (
    "text", "response", "multicast", "client", "system", "harbor", "socket",
    "error", "queue", "debug", "lua", "snax", "trace",
)  # fmt: skip

# Socket message types, skynet-src/skynet_socket.h.
SOCKET_DATA, SOCKET_CONNECT, SOCKET_CLOSE, SOCKET_ACCEPT, SOCKET_ERROR, SOCKET_UDP, SOCKET_WARNING = range(1, 8)
SOCKET_NAMES = ("", "DATA", "CONNECT", "CLOSE", "ACCEPT", "ERROR", "UDP", "WARNING")

Message = tuple[int, int, int, Any]


class Launch(NamedTuple):
    """The first message of every service, sent by its birth: run your code.

    `snlua` in skynet sends itself such a message, of type 0 (service-src/service_snlua.c,
    snlua_init), so that the code of a service runs in the service's own time.
    """

    name: str
    args: tuple[Any, ...]


class RemoteMessage(NamedTuple):
    """A message on its way through the harbor."""

    destination: int | str
    ptype: int
    payload: Any


def pack(args: tuple[Any, ...]) -> tuple[Any, ...] | bytes:
    """Freeze the arguments of one "lua" message.

    Returns the tuple itself if nothing in it can change, else its marshalled bytes.
    Raises PackError for a type that may not travel, with its name and place.
    """
    for value in args:
        if type(value) not in ATOMS:
            return frozen(args)
    return args


_LONG = b"(", b"\xa8"  # how a marshalled tuple of more than 255 begins


def unpack(payload: tuple[Any, ...] | bytes) -> tuple[Any, ...]:
    """Thaw what `pack` made; a fresh copy of every list and dict each time."""
    if type(payload) is tuple:
        return payload
    if payload[:1] in _LONG and int.from_bytes(payload[1:5], "little") >= len(payload):
        raise ValueError("these bytes are not what skynet.pack makes")  # marshal would make room for so many first
    values: tuple[Any, ...] = marshal.loads(payload)  # type: ignore[arg-type]  # bytes: not a tuple
    return values if type(payload) is not Coded else revived(values, payload.types, {})


def mail_label(message: Message) -> str:
    """A message that waits, in a few words: `lua 5 :0000000a`, `socket CONNECT 1`, `launch`."""
    ptype, session, source, payload = message
    if isinstance(payload, Launch):
        return "launch"
    if ptype == PTYPE_SOCKET:
        return f"socket {SOCKET_NAMES[payload[0]]} {payload[1]}"
    name = PTYPE_NAMES[ptype] if ptype < len(PTYPE_NAMES) else str(ptype)
    return f"{name} {session} :{source:08x}"


class Packed:
    """What `skynet.pack` makes and `skynet.unpack` opens: sent as it is by rawsend, rawcall, redirect and ret."""

    __slots__ = ("payload",)

    def __init__(self, payload: Any) -> None:
        self.payload = payload

    def __repr__(self) -> str:
        return f"Packed{unpack(self.payload)!r}"
