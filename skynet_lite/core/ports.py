"""Between a server and whoever runs its services: what it asks of them, and what one can wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from .context import Context

T = TypeVar("T")


class Call:
    """Something that somebody waits for, perhaps in another thread: an answer, or a job that is left here."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.ok = False
        self.to = self.session = 0  # of a call: the service that is to answer
        self.then: Callable[[], Any] | None = None  # called when it is done, by whoever settles it
        self.payload: Any = None  # what came; the exception, if a job raised; the Failure, if a service did not answer

    def settle(self, ok: bool, payload: Any) -> None:
        self.ok, self.payload = ok, payload
        self.done.set()
        if self.then is not None:
            self.then()

    def run(self, job: Callable[[], Any]) -> None:
        """Do a job that was left here."""
        try:
            self.settle(True, job())
        except BaseException as e:
            self.settle(False, e)

    def result(self) -> Any:
        """What the job returned, or raise what it raised."""
        if not self.ok:
            raise self.payload
        return self.payload


class Driver(Protocol):
    """What a server asks of whoever runs its services (drive/).

    `when_still`: have `job` run while this service is between two messages: now, unless it is in one on
    another worker. `between`: between any two messages, for what cannot be done in the middle of one. `leave`: from
    another thread, between two messages of this service, in its own; in the order in which it is asked for.
    """

    workers: int
    closed: bool
    offloads: dict[tuple[int, int], tuple[Call, Any]]  # what runs in threads, by service and session, the oldest first

    def hub_of(self, handle: int) -> Any: ...  # the hub in which a service will run
    def worker_of(self, handle: int) -> tuple[int, ...]: ...  # the number of its worker, if there are several
    def ended(self, ctx: Context) -> None: ...  # a service has gone: `Server.end` it, in the thread of its coroutines
    def ending_services(self) -> list[Context]: ...  # those that have gone, and are not closed yet
    def answered(self) -> None: ...  # somebody outside may go on
    def when_still(self, ctx: Context, job: Callable[[], Any]) -> None: ...
    def between(self, job: Callable[[], Any]) -> Call: ...
    def leave(self, ctx: Context, job: Callable[[], Any]) -> None: ...
    def came(self, ctx: Context, job: Callable[[], Any]) -> None: ...  # a thread's work has ended: `job` lets it in
    def look(self, job: Callable[[], T]) -> T: ...  # what `job()` returns; nothing moves meanwhile
    def still(self) -> AbstractContextManager[Any]: ...  # nothing moves meanwhile, so that all tables agree
