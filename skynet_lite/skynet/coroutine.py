"""The two switches. Everything else in this package is bookkeeping around them.

`coroutine_resume(co, ...)` runs a coroutine until it yields, and returns what it
yields: a command and its parameter. `co.hub.coroutine_yield(command, param)`
goes back to the scheduler, and returns what the next resume hands in. This is the
only file that touches greenlet's switch.

A hub is the greenlet in which schedulers run: a node has one, or one for each of its
workers. Coroutines yield to it by name (`co.hub`), and as its children they come back
to it when they end or raise. It has a stack of its own because a switch walks the Python
frames of both sides: below a notebook's sixty frames it would cost twice as much.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

from greenlet import GreenletExit as GreenletExit, getcurrent, gettrace as gettrace, greenlet, settrace as settrace

from ..core.errors import SkynetError, error_text
from .runnable import has_run, leaves

coroutine_resume: Callable[..., Any] = greenlet.switch
coroutine_yield: Callable[..., Any] = greenlet.switch
running: Callable[[], Any] = getcurrent

CALL, SLEEP, RETURN, RESPONSE, EXIT, QUIT = "CALL", "SLEEP", "RETURN", "RESPONSE", "EXIT", "QUIT"
"""Commands to `suspend` (lualib/skynet.lua of v1.1.0). EXIT: its task has ended; QUIT: its service has."""
KILL, TRACE, SUSPEND = "KILL", "TRACE", "SUSPEND"
"""Ours. KILL, TRACE: the parameter is a function for the hub. SUSPEND: park; the sessions are in the table already."""
BREAK = "BREAK"
"""In session_id_coroutine: whoever waited has gone on, throw the response away. Handed to a resume: you were woken."""
DONE = object()
"""Handed to a resume behind the result of a command that was done at once."""
GIVE_BACK = object()  # returned by a task: its coroutine shall not wait in the pool with a stack


def outside() -> SkynetError:
    return SkynetError("this works inside a service only: start one with node.newservice(f), outside use node.call")


def current() -> Any:
    """The current service: the one whose coroutine, or whose message, is running in this thread."""
    try:
        s = running().service
    except AttributeError:
        s = None
    if s is None:
        raise outside()
    return s


class Coroutine(greenlet):
    """A coroutine of a service; when its task has ended it waits in the pool for another.

    What skynet keeps in tables by coroutine stands on the coroutine itself.
    """

    __slots__ = (
        "address", "args", "awaits", "context", "f", "hub", "inner", "n", "pooled", "responded", "serial", "service",
        "session", "sleeping", "tag", "token",
    )  # fmt: skip

    is_task = True  # runs a task of the user
    coroutine_yield = coroutine_yield  # of a coroutine of the user's inside it: it hands the command down
    label = property(lambda co: f"co{co.n}")
    thread = property(lambda co: co)  # itself; of a coroutine of the user, the one it runs in

    def __init__(self, service: Any, hub: Hub, n: int) -> None:
        greenlet.__init__(self, parent=hub)
        self.service = service
        self.hub = hub
        self.n = n  # its number in the service: co1, co2, ...
        self.pooled: Coroutine | None = None  # coroutine_pool: the one that ended before it
        self.f: Callable[..., Any] | None = None  # the task it was created or taken from the pool for
        self.args: tuple[Any, ...] = ()
        self.session: int | None = None  # session_coroutine_id: the request it serves
        self.address = 0  # session_coroutine_address: who sent it
        self.serial = 0  # when it came, counted in messages of the service
        self.responded = False  # session_response: answered, or the answer is in a response function
        self.sleeping: int | None = None  # sleep_session
        self.awaits = 0  # the session of the last call or timer that it has waited for: an answer comes, or has come
        self.token: Any = None  # what wakes it, if not itself
        self.context = self.gr_context = Context()  # its contextvars; this way one sees at once that there are none
        self.tag: str | bool | None = None  # session_coroutine_tracetag; False: not to be traced
        self.inner: greenlet | None = None  # the coroutine of the user that blocks inside it (lualib/coroutine.py)

    def run(self, *_: Any) -> Any:  # a timer's first resume hands in what nobody wants
        """The body of every coroutine (co_create): a task, then the pool, then the next. DOC: coroutine-body"""
        service, hub = self.service, self.hub
        while True:
            try:
                made = self.f(*self.args)  # type: ignore[misc]  # a task is set before each resume
            except GreenletExit as e:
                raise leaves(e) from None
            if made is not None:
                if made is GIVE_BACK:
                    return self.give_back()
                has_run(made)
                made = None
            self.args = ()  # let go of the message
            if self.context:  # and of the contextvars of its task
                inherit(self, Context())
            forgotten, self.session = self.session, None
            if self.responded:
                forgotten, self.responded = 0, False
            self.pooled, service.pooled = service.pooled, self
            hub.coroutine_yield(EXIT, forgotten)

    def give_back(self) -> tuple[str, int]:
        """End: the last yield. One of our number that has not begun, and so is 6 KiB smaller, waits in the pool."""
        s, n = self.service, self.n
        if s.coroutines.get(n) is self:  # else it is being killed
            co = s.coroutines[n] = s.coroutine(s, self.hub, n)
            co.pooled, s.pooled = s.pooled, co
        return EXIT, 0

    def __bool__(self) -> bool:
        return True  # a greenlet is false before it has begun, and after its end

    @property
    def frame(self) -> Any:
        """Where it is parked: the innermost frame. None while it runs, and before it has begun."""
        return (self if self.inner is None else self.inner).gr_frame

    def __repr__(self) -> str:
        return f"<co{self.n} of {self.service.ctx.called}>"


def _of_thread(name: str) -> Any:
    """What a coroutine of the user's own has from the skynet thread that it runs in."""
    return property(lambda co: getattr(co.thread, name), lambda co, value: setattr(co.thread, name, value))


class UserCoroutine(greenlet):
    """A coroutine that the code of a service made for itself: what it does in skynet, its thread does.

    Its `hub` is whoever resumed it, so a yield goes there; see lualib/coroutine.py.
    """

    __slots__ = ("blocked", "context", "f", "hub", "thread")

    service, n, session, address = map(_of_thread, ("service", "n", "session", "address"))
    responded, sleeping, awaits, token = map(_of_thread, ("responded", "sleeping", "awaits", "token"))
    tag, label = map(_of_thread, ("tag", "label"))

    def __init__(self, f: Callable[..., Any]) -> None:
        greenlet.__init__(self)
        self.f = f
        inherit(self, running().gr_context)
        self.thread: Any = None  # the skynet thread that resumed it last (coroutine_caller)
        self.hub: Any = None
        self.blocked = False  # parked in skynet, not by its own yield

    def run(self, *args: Any) -> Any:
        try:
            return self.f(*args)
        except GreenletExit as e:
            raise leaves(e) from None

    coroutine_yield = coroutine_yield
    __bool__ = Coroutine.__bool__

    def __repr__(self) -> str:
        return f"<coroutine of {self.thread!r}>" if self.thread is not None else "<coroutine>"


def inherit(co: Any, context: Context) -> None:
    """`co` begins, or goes on, with a copy of these contextvars: a fork's are its creator's, a message has none."""
    co.context = co.gr_context = context.copy()


def drop_token(s: Any, co: Any) -> None:
    s.sleep_tokens.pop(co.token, None)
    co.token = None


class Hub(greenlet):
    """Where the scheduler of a node runs; what it runs is handed in by whoever drives."""

    __slots__ = ("_driver", "_outcome", "_task", "service")
    n, tag = 0, None  # "main" in a trace: no coroutine
    coroutine_yield = coroutine_yield  # says CALL, SLEEP, ...; another dialect has its own (dialect.py)

    def __init__(self) -> None:
        super().__init__()
        self.service: Any = None  # whose message is being dispatched
        self._driver: Any = None
        self._task: Any = None
        self._outcome: Any = None, None  # of the task: what it has returned, what it has raised

    def drive(self, task: Callable[[], Any]) -> Any:
        """Run `task` in the hub and return what it returns, or raise what it raises."""
        if self.busy():
            raise SkynetError(
                "this node is being driven already: inside a service use skynet.call, not node.call or node.run"
            )
        self._driver, self._task = getcurrent(), task
        coroutine_resume(self)
        self._driver = None
        (result, error), self._outcome = self._outcome, (None, None)
        if error is not None:
            raise error
        return result

    def busy(self) -> bool:
        return self._driver is not None

    def run(self) -> None:
        while True:
            try:
                self._outcome = self._task(), None
            except GreenletExit:
                raise
            except BaseException as e:
                self._outcome = None, e
            self.service = self._task = None
            coroutine_yield(self._driver)

    @property
    def hub(self) -> Any:
        raise SkynetError("this would block, but no coroutine is running: do it in start, fork, timeout or a handler")

    def end(self) -> None:
        """Unwind the hub itself; its node is closed."""
        if not self.dead and self:
            self.throw(GreenletExit)


def coroutine_close(co: Coroutine | UserCoroutine) -> None:
    """End a parked coroutine: throw GreenletExit into it, so that its `finally` blocks run.

    To be called where it will come back to: its hub. If it tries to block while it is being closed it gets a
    SkynetError at that place; one that never gives up is left alone.
    """
    if co.dead:
        return
    if not greenlet.__bool__(co):  # never started: nothing to unwind, and greenlet would run the body
        co.f = None
        return
    error: BaseException = GreenletExit()
    for _ in range(100):
        try:
            co.throw(error)
        except BaseException as e:
            if not isinstance(e, GreenletExit):
                co.service.error(f"{co.label} failed while it was being closed: {error_text(e)}")
        if co.dead:
            return
        error = SkynetError("this coroutine is being closed and cannot block any more: leave the function")


def coroutine_drop(co: Coroutine) -> None:
    """End a coroutine of the runtime itself, which neither catches nor blocks; from anywhere, at once."""
    if greenlet.__bool__(co):
        co.parent = getcurrent()  # it comes back to us, not to the hub
        co.throw(GreenletExit)
