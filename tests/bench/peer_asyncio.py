"""asyncio: a service is a task that reads a queue, an answer a future, a socket a stream.

peer_uvloop.py runs the same on uvloop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import process_time_ns

from worker import BATCH, MIB, RING, WARM, arguments, resident, result


async def timed(work: Callable[[int], Awaitable[None]], n: int) -> float:
    await work(max(1, n // WARM))
    start = process_time_ns()
    await work(n)
    return (process_time_ns() - start) / n


async def actor(queue: asyncio.Queue) -> None:
    while True:
        value, answer = await queue.get()
        if answer is not None:
            answer.set_result(value)


async def nothing() -> None:
    pass


async def call(n: int) -> float:
    queue: asyncio.Queue = asyncio.Queue()
    keep = asyncio.create_task(actor(queue))
    new_future = asyncio.get_running_loop().create_future

    async def work(n: int) -> None:
        for i in range(n):
            answer = new_future()
            queue.put_nowait((i, answer))
            await answer

    value = await timed(work, n)
    keep.cancel()
    return value


async def send(n: int) -> float:
    queue: asyncio.Queue = asyncio.Queue()
    keep = asyncio.create_task(actor(queue))

    async def work(n: int) -> None:
        for _ in range(n // BATCH):
            for i in range(BATCH):
                queue.put_nowait((i, None))
            await asyncio.sleep(0)
        answer = asyncio.get_running_loop().create_future()
        queue.put_nowait((0, answer))
        await answer

    value = await timed(work, n)
    keep.cancel()
    return value


async def fork(n: int) -> float:
    async def work(n: int) -> None:
        for _ in range(n // BATCH):
            keep = [asyncio.create_task(nothing()) for _ in range(BATCH)]
            await asyncio.sleep(0)
            del keep

    return await timed(work, n)


async def yield_(n: int) -> float:
    async def work(n: int) -> None:
        for _ in range(n):
            await asyncio.sleep(0)

    return await timed(work, n)


async def wait(n: int) -> float:
    mine, theirs = asyncio.Event(), asyncio.Event()

    async def partner() -> None:
        while True:
            await theirs.wait()
            theirs.clear()
            mine.set()

    keep = asyncio.create_task(partner())

    async def work(n: int) -> None:
        for _ in range(n):
            theirs.set()
            await mine.wait()
            mine.clear()

    value = await timed(work, n)
    keep.cancel()
    return value


async def ring(n: int) -> float:
    queues: list[asyncio.Queue] = [asyncio.Queue() for _ in range(RING)]

    async def link(i: int) -> None:
        mine, following = queues[i], queues[(i + 1) % RING]
        while True:
            following.put_nowait(await mine.get() - 1)

    keep = [asyncio.create_task(link(i)) for i in range(1, RING)]

    async def work(n: int) -> None:
        queues[1].put_nowait(n - 1)
        while (hops := await queues[0].get()) > 0:
            queues[1].put_nowait(hops - 1)

    value = await timed(work, n)
    for task in keep:
        task.cancel()
    return value


async def parked(n: int) -> float:
    async def sleeper() -> None:
        await asyncio.get_running_loop().create_future()

    before = resident()
    keep = [asyncio.create_task(sleeper()) for _ in range(n)]
    await asyncio.sleep(0)
    value = (resident() - before) / n
    for task in keep:
        task.cancel()
    return value


async def services(n: int) -> float:
    before = resident()
    keep = [asyncio.create_task(actor(asyncio.Queue())) for _ in range(n)]
    await asyncio.sleep(0)
    value = (resident() - before) / n
    for task in keep:
        task.cancel()
    return value


async def serve(bulk: bool) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readexactly(MIB)
                writer.write(b".")
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(swallow if bulk else echo, "127.0.0.1", 0, backlog=4096)
    result(server.sockets[0].getsockname()[1])
    await server.serve_forever()


METRICS = {
    "call": call, "send": send, "fork": fork, "yield": yield_, "wait": wait, "ring": ring,
    "parked": parked, "services": services,
}  # fmt: skip


async def main() -> None:
    metric, n = arguments()
    if metric in METRICS:
        result(await METRICS[metric](n))
    else:
        await serve(metric == "bulk")


if __name__ == "__main__":
    asyncio.run(main())
