"""Packets on a stream: two bytes of length, big-endian, then that many bytes (0 to 65535).

One idea: TCP has no messages. The stream may be cut anywhere, even between the two
length bytes, so what has arrived of a packet is kept until the rest comes.

After lualib-src/lua-netpack.c.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ..core.errors import SkynetError, shown
from ..core.message import SOCKET_NAMES

__all__ = ["MAX_SIZE", "Queue", "Unpacker", "pack", "tostring"]
__dir__ = __all__.copy

MAX_SIZE = 0xFFFF


def pack(data: bytes | bytearray | memoryview) -> bytes:
    """The packet of `data`, ready for socket.write. Raises SkynetError above 65535 bytes."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"a packet carries bytes, not {type(data).__name__}: use .encode()")
    data = bytes(data)
    if len(data) > MAX_SIZE:
        raise SkynetError(f"Invalid size (too long) of data : {len(data)}; a packet holds {MAX_SIZE} bytes at most")
    return len(data).to_bytes(2, "big") + data


def tostring(msg: bytes, size: int | None = None) -> str:
    """The text of a packet; bytes that are no UTF-8 survive (surrogateescape)."""
    if not isinstance(msg, bytes | bytearray) or not isinstance(size, int | None):
        raise SkynetError(f"tostring takes bytes and how many of them, not {shown(msg)}, {shown(size)}")
    return msg[:size].decode("utf-8", "surrogateescape")


class Unpacker:
    """The packets of one connection: `feed` it what arrives, in whatever pieces."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add what has arrived; the packets that are complete now. DOC: netpack-feed"""
        rest = self._rest
        rest += data
        packets = []
        at = 0
        while len(rest) - at >= 2:
            end = at + 2 + (rest[at] << 8 | rest[at + 1])
            if end > len(rest):
                break
            packets.append(bytes(rest[at + 2 : end]))
            at = end
        del rest[:at]
        return packets

    def left_over(self) -> int:
        """Bytes of a packet that is not complete yet."""
        return len(self._rest)


class Queue:
    """The packets of all connections of a gate: `filter` fills it, `pop` empties it."""

    __slots__ = ("packets", "uncomplete")

    def __init__(self) -> None:
        self.packets: deque[tuple[int, bytes]] = deque()  # (fd, packet), in the order of their arrival
        self.uncomplete: dict[int, Unpacker] = {}  # fd → what there is of its next packet

    def filter(self, type: int, id: int, ud: int, data: Any) -> tuple[Any, ...]:
        """A socket message in a gate's words: (kind, fd, ...), or (None,) while a packet is not complete.

        ("data", fd, packet) for exactly one packet; ("more",) for what is to be popped.
        """
        kind = SOCKET_NAMES[type]
        if kind == "DATA":
            return self._filter_data(id, data)
        if kind in ("CLOSE", "ERROR"):
            self.uncomplete.pop(id, None)
        words: dict[str, tuple[Any, ...]] = {
            "ACCEPT": ("open", ud, data), "CLOSE": ("close", id), "CONNECT": ("init", id, data, ud),
            "ERROR": ("error", id, data), "WARNING": ("warning", id, ud),
        }  # fmt: skip
        return words.get(kind, (None,))

    def _filter_data(self, fd: int, data: bytes) -> tuple[Any, ...]:
        unpacker = self.uncomplete.pop(fd, None) or Unpacker()
        packets = unpacker.feed(data)
        if unpacker.left_over():
            self.uncomplete[fd] = unpacker
        elif len(packets) == 1:
            return "data", fd, packets[0]
        self.packets.extend((fd, packet) for packet in packets)
        return ("more",) if packets else (None,)

    def pop(self) -> tuple[int, bytes] | None:
        """The next (fd, packet); None if there is none."""
        return self.packets.popleft() if self.packets else None

    def clear(self) -> None:
        """Throw everything away."""
        self.packets.clear()
        self.uncomplete.clear()
