"""pykka: an actor is a thread with a queue; ask and tell are its call and send. It has no coroutines."""

import pykka
from worker import BATCH, RING, arguments, resident, result, timed


class Answer(pykka.ThreadingActor):
    def on_receive(self, message: object) -> object:
        return message


class Link(pykka.ThreadingActor):
    def __init__(self, following: pykka.ActorRef | None) -> None:
        super().__init__()
        self.following = following  # None: the last, which gives the token back to who asked

    def on_receive(self, message: tuple[int, object]) -> None:
        hops, done = message
        if self.following is not None:
            self.following.tell((hops - 1, done))
        elif hops > 0:
            first.tell((hops - 1, done))
        else:
            done.set(None)  # type: ignore[attr-defined]


first: pykka.ActorRef


def call(n: int) -> float:
    ref = Answer.start()

    def work(n: int) -> None:
        for i in range(n):
            ref.ask(i)

    return timed(work, n)


def send(n: int) -> float:
    ref = Answer.start()

    def work(n: int) -> None:
        for _ in range(n // BATCH):
            for i in range(BATCH):
                ref.tell(i)
        ref.ask(0)

    return timed(work, n)


def ring(n: int) -> float:
    global first
    ref = Link.start(None)
    for _ in range(RING - 1):
        ref = Link.start(ref)
    first = ref

    def work(n: int) -> None:
        done = pykka.ThreadingFuture()
        first.tell((n, done))
        done.get()

    return timed(work, n)


def services(n: int) -> float:
    Answer.start()
    before = resident()
    for _ in range(n):
        Answer.start()
    return (resident() - before) / n


METRICS = {"call": call, "send": send, "ring": ring, "services": services}

if __name__ == "__main__":
    metric, n = arguments()
    value = METRICS[metric](n)
    result(value)
    pykka.ActorRegistry.stop_all(block=False)
