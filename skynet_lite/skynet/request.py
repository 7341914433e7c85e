"""Several calls at once: send all requests, then take the answers in the order in which they come.

    for asked, answer in skynet.select((a, "lua", "GET", 1), (b, "lua", "GET", 2), timeout=50):
        ...

One coroutine of its own stands in `session_id_coroutine` for all the sessions. Each
answer resumes it; it notes the answer, wakes whoever iterates, and yields SUSPEND.

After lualib/skynet.lua (request, select), which came after v1.1.0.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

from ..core.errors import CallError, SkynetError, shown
from ..core.timer import ticks
from .calls import unreachable
from .coroutine import SUSPEND, Coroutine, coroutine_drop, coroutine_yield, running
from .protocol import Protocol, protocol_of
from .scheduler import Scheduler, current
from .waits import wait, wakeup

__all__ = ["Request", "request", "select"]
__dir__ = __all__.copy


class Asked(tuple[Any, ...]):
    """What was asked, `(addr, typename, *args)`, with fields of the asker's own.

    `error`: why there is no answer, a CallError, AddressError, or what the protocol's unpack raised; else None.
    """

    error: BaseException | None = None


class Request:
    """Calls that are made together. To be used once; `with` closes it."""

    def __init__(self, *asks: tuple[Any, ...]) -> None:
        self.timeout = False  # whether time ran out before all had answered
        self._asks: list[Asked] = []
        self._thread: _RequestThread | None = None
        self._open: OrderedDict[int, tuple[Asked, Protocol] | None] = OrderedDict()  # by session; None: the timer
        self._come: deque[tuple[Asked, Any]] = deque()
        for ask in asks:
            self.add(ask)

    def add(self, ask: tuple[Any, ...], **fields: Any) -> Request:
        """One call more: `(addr, typename, *args)`. `fields` become attributes of what `select` gives back."""
        if self._thread is not None:
            raise SkynetError("this request has been sent: make a new one with skynet.request()")
        if not isinstance(ask, (tuple, list)) or len(ask) < 2:
            raise SkynetError(f"a request is (address, typename, *args), not {shown(ask)}")
        asked = Asked(ask)
        asked.__dict__.update(fields)
        self._asks.append(asked)
        return self

    __call__ = add

    def select(self, timeout: int | None = None) -> Iterator[tuple[Asked, Any]]:
        """Send all, and give (asked, answer) as they come; at the end, or at a `break`, close.

        `answer` is what skynet.call would return: None, the value, or a tuple of several. None, too, for a call that
        failed: then `asked.error` is what skynet.call would raise. Calls to addresses that do not exist come first.
        After `timeout` ticks it stops, and `timeout` is True.
        """
        if self._thread is not None:
            raise SkynetError("this request has been sent: make a new one with skynet.request()")
        s, co = current(), running()
        _ = co.hub  # refuses to block outside a coroutine before anything is sent, and a time that is none
        timeout = None if timeout is None else ticks(timeout)
        packed = [(asked, p, p.pack(asked[2:])) for asked in self._asks for p in (protocol_of(s, asked[1]),)]
        thread = None  # made behind the first send, as today
        for asked, p, payload in packed:
            session = next(s.sessions)
            if s.server.send(s.handle, asked[0], p.id, session, payload):
                s.watching_session[session] = asked[0] if type(asked[0]) is int else s.server.resolve(asked[0])
                s.session_id_coroutine[session] = thread = thread or _RequestThread(s, self, co.n)
                self._open[session] = asked, p
            else:
                asked.error = unreachable(asked[0])
                self._come.append((asked, None))
        if timeout is not None:
            session = next(s.sessions)
            s.server.set_timer(s.ctx, session, timeout)
            s.session_id_coroutine[session] = thread = thread or _RequestThread(s, self, co.n)
            self._open[session] = None
        self._thread = thread or _RequestThread(s, self, co.n)
        s.begin_request(self._thread)
        return self._answers()

    def close(self) -> None:
        """Give up what has not been answered: it will be thrown away when it comes."""
        thread = self._thread
        if thread is None or thread.dead:
            return
        s = thread.service
        for session in self._open:
            s.abandon(session)
        self._open.clear()
        s.killed(thread, running().n)
        coroutine_drop(thread)

    def _answers(self) -> Iterator[tuple[Asked, Any]]:
        try:
            while True:
                if self._come:
                    yield self._come.popleft()
                elif self.timeout or not any(self._open.values()):
                    return
                else:
                    wait(self)
        finally:
            self.close()

    def _take(self, ok: bool, payload: Any, session: int = 0) -> None:
        """An answer, an error, or the end of the time."""
        assert self._thread is not None
        s = self._thread.service
        # In the dialect of v1.1.0 nobody says which: the one that the scheduler has just taken out.
        session = session or next(n for n in self._open if n not in s.session_id_coroutine)
        found = self._open.pop(session)
        if found is None:
            self.timeout = True
        else:
            asked, p = found
            del s.watching_session[session]
            answer = None
            try:
                if not ok:
                    raise CallError.of(payload, session, p.name)
                values = p.unpack(payload)
                answer = values[0] if len(values) == 1 else values or None
            except BaseException as e:
                asked.error = e
            self._come.append((asked, answer))
        wakeup(self)

    def __enter__(self) -> Request:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _RequestThread(Coroutine):
    """Takes the answers (request_thread). Who starts it, the dialect says (`begin_request`)."""

    __slots__ = ("request",)
    is_task = False

    def __init__(self, s: Scheduler, request: Request, by: int) -> None:
        s.created += 1
        super().__init__(s, s.hub, s.created)
        self.request = request
        s.coroutines[self.n] = self
        s.joined(self, by)

    def run(self, *answer: Any) -> None:
        while True:
            if answer[0] is not None:  # else it is only begun
                self.request._take(*answer)
            answer = coroutine_yield(self.hub, SUSPEND, None)


def request(*asks: tuple[Any, ...]) -> Request:
    """Calls to be made together: `skynet.request((addr, "lua", ...), ...)`, `.add(...)`, then `.select()`."""
    return Request(*asks)


def select(*asks: Any, timeout: int | None = None) -> Iterator[tuple[Asked, Any]]:
    """`request(*asks).select(timeout)`, in one; or of a Request that is given."""
    if len(asks) == 1 and isinstance(asks[0], Request):
        return asks[0].select(timeout)
    return Request(*asks).select(timeout)
