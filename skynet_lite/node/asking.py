"""Messages from outside: of a program, of another thread, of an asyncio loop.

One idea: whoever asks leaves a job, which puts a message into a mailbox between two messages; jobs keep their order.
The answer settles a `Call`, and only how one waits for that differs: by driving, in a thread, or by `await`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.errors import AddressError, CallError, DriveTimeout, SkynetError
from ..core.handle import address_text
from ..core.message import PTYPE_LUA, pack, unpack
from ..core.ports import Call
from ..core.server import Server

if TYPE_CHECKING:
    import asyncio

    from ..drive.served import Served
    from ..drive.workers import Workers


class Asking:
    """What a `Node` can be asked by anybody."""

    server: Server
    driver: Served | Workers

    def call(self, addr: int | str, typename: str, *args: Any, timeout: float | None = None) -> Any:
        """A call from outside: None, the value, or a tuple. `timeout` in real seconds.

        Raises AddressError, CallError, or DriveTimeout (also when nothing is left that could lead to an answer).
        Where this thread drives (`thread=1` without `serve`) the limit is looked at between two messages: it does
        not end a handler that never returns; a second Ctrl-C does. While another thread drives, it holds always;
        without `serve` a call of another thread waits until the owner of the node drives it.
        """
        _check(typename)
        end = None if timeout is None else time.monotonic() + timeout
        what = f"the answer of {_named(addr)}"
        call = self._post(addr, args, True, end, what)
        try:
            self.driver.run_until(call.done.is_set, None if end is None else end - time.monotonic(), what, call)
        finally:
            self._give_up(call)
        if not call.ok:
            self.driver.see_logged()
        return _answer(call)

    def send(self, addr: int | str, typename: str, *args: Any) -> None:
        """A message from outside, to which there is no answer. It waits for nothing, so any thread may, and a loop.

        It is handled when the node is driven. Raises AddressError, PackError.
        """
        _check(typename)
        if self.server.resolve(addr) not in self.server.contexts:
            raise AddressError(f"send to invalid address {_named(addr)}")
        self.driver.later(partial(self.server.call, addr, PTYPE_LUA, pack(args), False))

    async def acall(self, addr: int | str, typename: str, *args: Any, timeout: float | None = None) -> Any:
        """As `call`, awaited in an asyncio loop while the node is served in its own thread. `timeout` in seconds.

        When its task is cancelled the call is given up: the answer will be thrown away. Raises as `call`, and
        SkynetError if nobody serves the node.
        """
        import asyncio  # who awaits has it already

        _check(typename)
        self.driver.check_open()
        if not self.driver.serving:
            raise SkynetError("acall needs a node that runs by itself: call serve() first, right after Node(...)")
        loop, payload, server = asyncio.get_running_loop(), pack(args), self.server
        end = None if timeout is None else loop.time() + timeout
        outcome: asyncio.Future[Call] = loop.create_future()
        calls: list[Call] = []

        def settle(call: Call) -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(lambda: None if outcome.done() else outcome.set_result(call))

        def post() -> None:
            try:
                with server.lock:  # else the answer may come before anybody waits for it
                    if not outcome.done():
                        calls.append(call := server.call(addr, PTYPE_LUA, payload))
                        call.then = partial(settle, call)
            except BaseException as e:
                failed = Call()
                failed.settle(False, e)
                settle(failed)

        self.driver.later(post)
        try:
            while not outcome.done():
                self.driver.check_open()
                left = 1.0 if end is None else min(1.0, end - loop.time())
                if left <= 0:
                    raise DriveTimeout(f"the answer of {_named(addr)} did not come in time")
                await asyncio.wait([outcome], timeout=left)
            return _answer(outcome.result())
        finally:
            outcome.cancel()
            for call in calls:
                self._give_up(call)

    def _post(self, addr: int | str, args: tuple[Any, ...], waits: bool, *limit: Any) -> Call:
        """A request from outside, between two messages. `limit`: until when (monotonic seconds), and what for."""

        def post() -> Call:
            self.driver.boot()
            return self.driver.drive(lambda: self.server.call(addr, PTYPE_LUA, pack(args), waits))

        return self.driver.enter(post, *limit)

    def _give_up(self, call: Call) -> None:
        with self.server.lock:
            self.server.calls.pop(call.session, None)


def _check(typename: str) -> None:
    if typename != "lua":
        raise SkynetError(f'calls from outside are of type "lua", not {typename!r}')


def _named(addr: int | str) -> str:
    return address_text(addr) if isinstance(addr, int) else addr


def _answer(call: Call) -> Any:
    if isinstance(call.payload, BaseException):
        raise call.payload
    if not call.ok:
        raise CallError.of(call.payload, call.session, "lua")
    return values[0] if len(values := unpack(call.payload)) == 1 else (values or None)
