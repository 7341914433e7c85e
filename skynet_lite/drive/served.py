"""A loop that can have a thread of its own: `node.serve()`.

Coroutines cannot change threads, so it is that thread, and no other, that drives. Whatever
others want is left there as a job, also while the loop is stopped.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.errors import DriveTimeout, NodeClosed, SkynetError, error_text
from ..core.ports import Call
from .breaking import raise_in
from .driver import MESSAGES_PER_POLL, Job
from .loop import Loop

T = TypeVar("T")


class Served(Loop):
    """The driver of `Node(thread=1)`. `_thread` is written once, by `start`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._thread: threading.Thread | None = None
        self._wanted = threading.Event()  # wakes it while the loop is stopped
        self._up = threading.Event()  # its boot is over: before that nobody else has anything to ask
        self._failure: BaseException | None = None  # what came out of the boot
        self._closing = threading.Lock()  # only one of the other threads closes the node
        self._ending = False  # it does, so that standing still is the end and no pause

    def served(self) -> bool:
        """Whether a thread drives this node, so that waiting is enough."""
        return self._thread is not None and self.serving

    def paused(self) -> bool:
        """Whether it was served, and stands still since `stop`."""
        return self._thread is not None and not self.serving

    def start(self) -> None:
        """Drive in a thread of its own. Raises SkynetError when another thread did so before."""
        if self._thread is not None:
            if self.serving:
                raise SkynetError("this node is being served already")
        elif self._owner is not None:
            raise SkynetError(
                "this node was driven by another thread already, and coroutines cannot change threads: "
                "call serve() first, right after Node(...)"
            )
        self.check_open()
        self.stopping, self.serving = False, True
        if self._thread is None:
            self.ctrl_c(self._begin)
        else:
            self._wanted.set()
        self.look(lambda: None)  # its boot is over, or has failed: said here

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="skynet_lite node", daemon=True)
        self._thread.start()
        # Greenlets must not run while the interpreter ends: some releases of greenlet crash.
        atexit.register(self._server.node.close)

    def _serve(self) -> None:
        try:
            self.boot()
        except BaseException as e:
            self._failure = e
            return
        finally:
            self._up.set()
        while not self.closed:
            try:
                if self.serving:
                    self.drive(lambda: self.loop(lambda: self.stopping))
                    self.serving = not (self.stopping or self._server.aborted)  # else started again meanwhile
                else:  # stopped: jobs (calls, close) still run here, for only this thread can
                    self._wanted.wait()
                    self._wanted.clear()
                    self.drive(self._attend)
            except BaseException as e:  # SystemExit in a handler, say: there is nobody here to hand it to
                self._server.log(0, f"{error_text(e)} : it came out of a service, and was stopped here")

    def stop(self) -> None:
        self.stopping = True
        self.serving = self.serving and self._thread is None
        super().stop()

    # ---- what others want

    def _other(self) -> threading.Thread | None:
        """The thread that drives, if there is one, and we are in another."""
        return None if threading.current_thread() is self._thread else self._thread

    def _check_here(self) -> None:
        if self._other() is not None and not self.closed:
            raise SkynetError("a thread drives this node (serve): use newservice and call, or stop it and look")
        super()._check_here()

    def between(self, job: Job) -> Call:
        call = super().between(job)
        self._wanted.set()
        return call

    def look(self, job: Callable[[], T], deadline: float | None = None, what: str = "") -> T:
        """As Loop.look, from any thread: the job is left to the one that drives. Raises DriveTimeout."""
        if self._other() is None:
            return super().look(job)
        self._wait_for(self._up, deadline, what)
        self._check_alive()
        return self._left(job, deadline, what)

    def _left(self, job: Callable[[], T], deadline: float | None, what: str) -> T:
        call = self.between(job)
        self._wait_for(call.done, deadline, what)
        result: T = call.result()
        return result

    def enter(self, job: Callable[[], T], deadline: float | None = None, what: str = "") -> T:
        """As `look`; but what another thread asks of a node that is not served waits until its owner drives it."""
        if self._foreign():
            return self._left(job, deadline, what)
        self._keep_order()
        return self.look(job, deadline, what)

    def later(self, job: Callable[[], Any]) -> None:
        """Have a job done, without waiting for it: for the owner, who drives, that is now."""
        if self._other() is not None or self._foreign():
            self.between(job)
        else:
            self.enter(lambda: self.drive(job))

    def check_owner(self) -> None:
        if self._foreign():
            self._check_here()

    def _keep_order(self) -> None:
        """What other threads have left comes before what the owner does now."""
        if self.jobs and self._other() is None and self.hub is not None and not self.hub.busy():
            self.drive(self._attend)

    def _foreign(self) -> bool:
        """Whether another thread drives this node, now and then."""
        return self._thread is None and self._owner not in (None, threading.get_ident())

    def _wait_for(self, event: threading.Event, deadline: float | None, what: str) -> None:
        while not event.wait(1 if deadline is None else max(0.0, min(1.0, deadline - time.monotonic()))):
            self._check_alive()
            if deadline is not None and time.monotonic() > deadline:
                raise DriveTimeout(f"{what} did not come in time")

    def _check_alive(self) -> None:
        if (e := self._failure) is not None:
            raise SkynetError(f"the boot of this node has failed: {error_text(e)}") from e
        if self._thread is not None and not self._thread.is_alive():
            raise SkynetError("the thread that serves this node has ended")
        self.check_open()

    def run_until(
        self, until: Job, timeout: float | None, what: str, call: Call | None = None, budget: int = MESSAGES_PER_POLL
    ) -> None:  # fmt: skip
        """As Loop.run_until; while the thread drives, waiting is enough. `call`: what is waited for, if it is one."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if call is not None and self._foreign():
            return self._wait_for(call.done, deadline, what)
        if self._other() is None:
            return super().run_until(until, timeout, what, call, budget)
        if not self.serving and not self._ending:
            return self.look(lambda: self.loop(until, deadline, what))
        if call is not None:
            return self._wait_for(call.done, deadline, what)
        while not until():
            if deadline is not None and time.monotonic() > deadline:
                raise DriveTimeout(f"{what} did not come in time")
            self._check_alive()
            if self._server.aborted and not self.serving:
                return None
            time.sleep(0.001)

    def close(self, last: Job) -> None:
        """As Loop.close, from any thread. A handler that does not come back is broken off; in C it is left."""
        thread = self._other()
        if thread is None:
            return super().close(last)
        with self._closing:
            if self.closed:
                return
            self._ending = True  # before `stop`: who finds the loop stopped must see why
            self.stop()
            self.monitor.end()
            begun = threading.Event()

            def end() -> None:
                begun.set()
                self._end(last)

            if self._reached(self._up, thread):
                self.between(end)
            if self._reached(begun, thread):
                thread.join()
            if self.closed:
                return
            if thread.is_alive():
                self._server.log(0, "the handler that runs does not come back: its thread is left")
            last()
            self.closed = True
            self._server.socket_server.release()

    def _reached(self, event: threading.Event, thread: threading.Thread) -> bool:
        """Wait until `thread` has come to it; after `patience` seconds break off what it is in, for as long again."""
        late = time.monotonic() + self.patience
        while not event.wait(0.02) and thread.is_alive() and time.monotonic() < late + self.patience:
            if time.monotonic() > late:
                raise_in(thread.ident, NodeClosed)
        return event.is_set()
