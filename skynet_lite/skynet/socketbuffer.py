"""What has come on a socket and is not read yet: the pieces as they came.

One idea: nothing is searched twice, however long a line is, and nothing copied but what is taken.

After socket_buffer of lualib-src/lua-socket.c.
"""

from __future__ import annotations


class SocketBuffer:
    """Filled by the messages of one socket, emptied by its reader."""

    __slots__ = ("found", "pieces", "pos", "size")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.pieces: list[bytes] = []
        self.pos = 0  # where what is not read yet begins in the first piece
        self.size = 0  # and how many bytes it is
        self.found = -1  # and how many of them come before the separator for which a reader waits

    def find(self, sep: bytes) -> int:
        """How many bytes come before `sep`; less than 0 if it is not there. There must be some."""
        if len(self.pieces) > 1:
            first, *more = self.pieces
            self.pieces, self.pos = [b"".join([memoryview(first)[self.pos :], *more])], 0
        return self.pieces[0].find(sep, self.pos) - self.pos

    def find_new(self, sep: bytes) -> int:
        """The same when the last piece has just come, and what was there before has been searched."""
        new = self.pieces[-1]
        before = self.size - len(new)
        across = min(len(sep) - 1, before)
        if across:  # it may lie across the seam
            tail, i = b"", -2
            while len(tail) < across:
                tail, i = (self.pieces[i][-across:] + tail)[-across:], i - 1
            at = (tail + new[: len(sep) - 1]).find(sep)
            if at >= 0:
                return before - across + at
        at = new.find(sep)
        return before + at if at >= 0 else -1

    def take(self, size: int, drop: int = 0) -> bytes:
        """The first `size` bytes; `drop` bytes behind them are forgotten."""
        pieces, begin = self.pieces, self.pos
        left = self.size = self.size - size - drop
        self.found = -1
        data = pieces[0][begin : begin + size] if len(pieces) == 1 else _joined(pieces, begin, size)
        if not left:
            self.pieces, self.pos = [], 0
            return data
        end, n = begin + size + drop, 0
        while end >= len(pieces[n]):
            end, n = end - len(pieces[n]), n + 1
        if n:
            del pieces[:n]
        self.pos = end
        return data


def _joined(pieces: list[bytes], begin: int, size: int) -> bytes:
    parts, n = [], 0
    while size:
        part = memoryview(pieces[n])[begin : begin + size]
        parts.append(part)
        size, begin, n = size - len(part), 0, n + 1
    return b"".join(parts)
