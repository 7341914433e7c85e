"""gevent: a service is a greenlet that reads a queue, an answer an AsyncResult, a socket a makefile."""

import gevent
from gevent.event import AsyncResult, Event
from gevent.queue import Queue
from gevent.server import StreamServer
from worker import BATCH, MIB, RING, arguments, resident, result, timed


def actor(queue: Queue) -> None:
    while True:
        value, answer = queue.get()
        if answer is not None:
            answer.set(value)


def nothing() -> None:
    pass


def call(n: int) -> float:
    queue: Queue = Queue()
    gevent.spawn(actor, queue)

    def work(n: int) -> None:
        for i in range(n):
            answer = AsyncResult()
            queue.put((i, answer))
            answer.get()

    return timed(work, n)


def send(n: int) -> float:
    queue: Queue = Queue()
    gevent.spawn(actor, queue)

    def work(n: int) -> None:
        for _ in range(n // BATCH):
            for i in range(BATCH):
                queue.put((i, None))
            gevent.sleep(0)
        answer = AsyncResult()
        queue.put((0, answer))
        answer.get()

    return timed(work, n)


def fork(n: int) -> float:
    def work(n: int) -> None:
        for _ in range(n // BATCH):
            for _ in range(BATCH):
                gevent.spawn(nothing)
            gevent.sleep(0)

    return timed(work, n)


def yield_(n: int) -> float:
    def work(n: int) -> None:
        for _ in range(n):
            gevent.sleep(0)

    return timed(work, n)


def wait(n: int) -> float:
    mine, theirs = Event(), Event()

    def partner() -> None:
        while True:
            theirs.wait()
            theirs.clear()
            mine.set()

    gevent.spawn(partner)

    def work(n: int) -> None:
        for _ in range(n):
            theirs.set()
            mine.wait()
            mine.clear()

    return timed(work, n)


def ring(n: int) -> float:
    queues: list[Queue] = [Queue() for _ in range(RING)]

    def link(i: int) -> None:
        mine, following = queues[i], queues[(i + 1) % RING]
        while True:
            following.put(mine.get() - 1)

    for i in range(1, RING):
        gevent.spawn(link, i)

    def work(n: int) -> None:
        queues[1].put(n - 1)
        while (hops := queues[0].get()) > 0:
            queues[1].put(hops - 1)

    return timed(work, n)


def parked(n: int) -> float:
    before = resident()
    keep = [gevent.spawn(Event().wait) for _ in range(n)]
    gevent.sleep(0)
    return (resident() - before) / len(keep)


def services(n: int) -> float:
    before = resident()
    keep = [gevent.spawn(actor, Queue()) for _ in range(n)]
    gevent.sleep(0)
    return (resident() - before) / len(keep)


def serve(bulk: bool) -> None:
    def echo(sock, address) -> None:  # type: ignore[no-untyped-def]
        f = sock.makefile("rb")
        while line := f.readline():
            sock.sendall(line)

    def swallow(sock, address) -> None:  # type: ignore[no-untyped-def]
        f = sock.makefile("rb")
        while len(f.read(MIB)) == MIB:
            sock.sendall(b".")

    server = StreamServer(("127.0.0.1", 0), swallow if bulk else echo, backlog=4096)
    server.start()
    result(server.server_port)
    server.serve_forever()


METRICS = {
    "call": call, "send": send, "fork": fork, "yield": yield_, "wait": wait, "ring": ring,
    "parked": parked, "services": services,
}  # fmt: skip

if __name__ == "__main__":
    metric, n = arguments()
    if metric in METRICS:
        result(METRICS[metric](n))
    else:
        serve(metric == "bulk")
