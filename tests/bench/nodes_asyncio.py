"""The least that speaks the same frames: asyncio, one Protocol for each side, integers and short strings only.

The roles are those of nodes_lite.py, without threads. A worker of this can stand behind a gate of that, and the other
way round: the bytes are the same (skynet_lite/lualib/clustercore.py says what they are).
"""

from __future__ import annotations

import asyncio
import sys
from itertools import cycle
from struct import Struct

from worker import LOOPS, WARM, result, work

LENGTH, SESSION, ANSWER = Struct(">H"), Struct("<I"), Struct("<IB")
SIZES = ((1, 0x100, Struct("<BB")), (2, 0x10000, Struct("<BH")), (4, 1 << 31, Struct("<Bi")))


def pack(*values: int | str) -> bytes:
    found = b""
    for v in values:
        if isinstance(v, str):
            found += bytes((len(v) << 3 | 4,)) + v.encode()
        elif v == 0:
            found += b"\x02"
        else:
            cookie, _, form = next(size for size in SIZES if v < size[1])
            found += form.pack(cookie << 3 | 2, v)
    return found


def unpack(data: bytes) -> list[int | str]:
    found: list[int | str] = []
    at = 0
    while at < len(data):
        kind, cookie = data[at] & 7, data[at] >> 3
        end = at + 1 + cookie
        if kind == 4:
            found.append(data[at + 1 : end].decode())
        elif kind == 2:
            found.append(int.from_bytes(data[at + 1 : end], "little"))
        else:
            raise ValueError(f"a value of type {kind} is not of this bench")
        at = end
    return found


class Frames(asyncio.Protocol):
    """Cuts the stream into frames."""

    def __init__(self) -> None:
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        data, at = self.rest + data, 0
        while len(data) - at >= 2:
            end = at + 2 + LENGTH.unpack_from(data, at)[0]
            if end > len(data):
                break
            self.frame(data[at + 2 : end])
            at = end
        self.rest = data[at:]

    def frame(self, data: bytes) -> None:
        raise NotImplementedError


class Callee(Frames):
    def frame(self, data: bytes) -> None:
        if data[0] != 0x80:
            raise ValueError(f"a request of type {data[0]} is not of this bench")
        at = 2 + data[1]
        (session,) = SESSION.unpack_from(data, at)
        what, n = unpack(data[at + 4 :])
        assert isinstance(n, int)
        answer = ANSWER.pack(session, 1) + pack(work(n) if what == "work" else n)
        self.write(LENGTH.pack(len(answer)) + answer)


class Caller(Frames):
    def __init__(self) -> None:
        super().__init__()
        self.session = 0
        self.waiting: dict[int, asyncio.Future[list[int | str]]] = {}
        self.new = asyncio.get_running_loop().create_future

    def call(self, name: str, *values: int | str) -> asyncio.Future[list[int | str]]:
        self.session += 1
        answer = self.waiting[self.session] = self.new()
        request = bytes((0x80, len(name))) + name.encode() + SESSION.pack(self.session) + pack(*values)
        self.write(LENGTH.pack(len(request)) + request)
        return answer

    def frame(self, data: bytes) -> None:
        session, kind = ANSWER.unpack_from(data)
        if kind != 1:
            raise ValueError(f"an answer of type {kind} is not of this bench")
        self.waiting.pop(session).set_result(unpack(data[5:]))


async def connect(port: int) -> Caller:
    _, caller = await asyncio.get_running_loop().create_connection(Caller, "127.0.0.1", port)
    return caller


async def worker(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Callee, "127.0.0.1", port)
    result(port)
    await server.serve_forever()


async def gate(*ports: int) -> None:
    turn = cycle([await connect(port) for port in ports])

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await next(turn).call("@work", "work", LOOPS)
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    result(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def caller(n: int, outstanding: int, port: int) -> None:
    peer = await connect(port)
    for count in (max(outstanding, n // WARM), n):
        left = iter(range(count))

        async def run(left=left) -> None:  # type: ignore[no-untyped-def]
            for i in left:
                await peer.call("@work", "echo", i)

        await asyncio.gather(*(run() for _ in range(outstanding)))
        print("START" if count != n else f"RESULT {n}", flush=True)


if __name__ == "__main__":
    asyncio.run({f.__name__: f for f in (worker, gate, caller)}[sys.argv[1]](*map(int, sys.argv[2:])))
