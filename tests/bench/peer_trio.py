"""trio: a service is a task that reads a memory channel, an answer comes by a channel of the caller's."""

import math
from collections.abc import Awaitable, Callable
from time import process_time_ns

import trio
from worker import BATCH, MIB, RING, WARM, arguments, resident, result


async def timed(work: Callable[[int], Awaitable[None]], n: int) -> float:
    await work(max(1, n // WARM))
    start = process_time_ns()
    await work(n)
    return (process_time_ns() - start) / n


async def actor(receive: trio.MemoryReceiveChannel) -> None:
    async for value, answer in receive:
        if answer is not None:
            answer.send_nowait(value)


async def nothing() -> None:
    pass


async def call(n: int, nursery: trio.Nursery) -> float:
    send, receive = trio.open_memory_channel(math.inf)
    answers, answered = trio.open_memory_channel(math.inf)
    nursery.start_soon(actor, receive)

    async def work(n: int) -> None:
        for i in range(n):
            send.send_nowait((i, answers))
            await answered.receive()

    return await timed(work, n)


async def send(n: int, nursery: trio.Nursery) -> float:
    send, receive = trio.open_memory_channel(math.inf)
    answers, answered = trio.open_memory_channel(math.inf)
    nursery.start_soon(actor, receive)

    async def work(n: int) -> None:
        for _ in range(n // BATCH):
            for i in range(BATCH):
                send.send_nowait((i, None))
            await trio.lowlevel.checkpoint()
        send.send_nowait((0, answers))
        await answered.receive()

    return await timed(work, n)


async def fork(n: int, nursery: trio.Nursery) -> float:
    async def work(n: int) -> None:
        for _ in range(n // BATCH):
            for _ in range(BATCH):
                nursery.start_soon(nothing)
            await trio.lowlevel.checkpoint()

    return await timed(work, n)


async def yield_(n: int, nursery: trio.Nursery) -> float:
    async def work(n: int) -> None:
        for _ in range(n):
            await trio.lowlevel.checkpoint()

    return await timed(work, n)


async def wait(n: int, nursery: trio.Nursery) -> float:
    # A trio.Event cannot be cleared, so a fresh one for each turn.
    events = {"mine": trio.Event(), "theirs": trio.Event()}

    async def partner() -> None:
        while True:
            await events["theirs"].wait()
            events["theirs"] = trio.Event()
            events["mine"].set()

    nursery.start_soon(partner)

    async def work(n: int) -> None:
        for _ in range(n):
            events["theirs"].set()
            await events["mine"].wait()
            events["mine"] = trio.Event()

    return await timed(work, n)


async def ring(n: int, nursery: trio.Nursery) -> float:
    channels = [trio.open_memory_channel(math.inf) for _ in range(RING)]

    async def link(i: int) -> None:
        mine, following = channels[i][1], channels[(i + 1) % RING][0]
        while True:
            following.send_nowait(await mine.receive() - 1)

    for i in range(1, RING):
        nursery.start_soon(link, i)

    async def work(n: int) -> None:
        channels[1][0].send_nowait(n - 1)
        while (hops := await channels[0][1].receive()) > 0:
            channels[1][0].send_nowait(hops - 1)

    return await timed(work, n)


async def parked(n: int, nursery: trio.Nursery) -> float:
    before = resident()
    for _ in range(n):
        nursery.start_soon(trio.Event().wait)
    await trio.sleep(0.01)
    return (resident() - before) / n


async def services(n: int, nursery: trio.Nursery) -> float:
    before = resident()
    keep = []
    for _ in range(n):
        send, receive = trio.open_memory_channel(math.inf)
        keep.append(send)
        nursery.start_soon(actor, receive)
    await trio.sleep(0.01)
    return (resident() - before) / n


async def serve(bulk: bool) -> None:
    async def echo(stream: trio.SocketStream) -> None:
        rest = b""  # trio's streams have no readline; its tutorial splits like this
        async for data in stream:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                await stream.send_all(line + b"\n")

    async def swallow(stream: trio.SocketStream) -> None:
        buffer = bytearray()
        async for data in stream:
            buffer += data
            if len(buffer) >= MIB:
                bytes(buffer[:MIB])
                del buffer[:MIB]
                await stream.send_all(b".")

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=4096)
        result(listeners[0].socket.getsockname()[1])
        nursery.start_soon(trio.serve_listeners, swallow if bulk else echo, listeners)


METRICS = {
    "call": call, "send": send, "fork": fork, "yield": yield_, "wait": wait, "ring": ring,
    "parked": parked, "services": services,
}  # fmt: skip


async def main() -> None:
    metric, n = arguments()
    if metric not in METRICS:
        await serve(metric == "bulk")
        return
    async with trio.open_nursery() as nursery:
        result(await METRICS[metric](n, nursery))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
