"""Two dialects of one scheduler: that of v1.1.0, which the article quotes, and that of today (1.8).

One idea: the mechanism stands once, in scheduler.py and the files beside it, and speaks 1.1. `RULES` says what
has changed since, and below stands the code of each change. `Node(skynet="1.8")` makes its services of these classes;
which it is to be is settled at the birth of a node, so no message asks for it.

The first rule carries the rest. In 1.1 a coroutine yields a command, and the scheduler obeys: enters it into the
tables, sends its answer, resumes it. Today it does all that itself, and yields only when it has to wait.

After lualib/skynet.lua, lualib/skynet/socket.lua, skynet-src/socket_server.c and skynet_server.c of 1.8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..core.errors import SkynetError, SocketError, shown
from ..core.message import PTYPE_RESPONSE, SOCKET_CONNECT, SOCKET_ERROR, Message
from ..core.server import Server
from ..core.socket_slots import CONNECTING, RESERVE, Socket
from .response import Response
from .scheduler import Scheduler
from .socketpool import PoolSocket, suspend as park_for
from .waits import fork, yield_

from .coroutine import (  # isort: skip
    BREAK, CALL, DONE, EXIT, KILL, QUIT, RESPONSE, RETURN, SLEEP, SUSPEND, TRACE, Coroutine, Hub, coroutine_yield,
    running,
)  # fmt: skip


class Rule(NamedTuple):
    """What has changed, since which release, and which recordings show it (tests/golden/traces-today). DOC: rule"""

    number: int
    since: str
    today: str
    before: str
    scenarios: tuple[str, ...] = ()


RULES = (
    Rule(1, "1.2.0",
         "A coroutine that has to wait enters itself in the tables, then yields `SUSPEND`.",
         "It yields `CALL` or `SLEEP`, and the scheduler enters it.",
         ("sleep_one", "call_ret", "wait_wakeup")),
    Rule(2, "1.2.0",
         "`ret` and `response` do their work at once, inside the coroutine, without a switch.",
         "They yield `RETURN` or `RESPONSE`; the scheduler does it and resumes the coroutine.",
         ("call_ret", "call_self", "call_back_nested", "call_while_sleeping_peer", "ret_then_work", "send_then_call",
          "newservice_waits_for_start", "response_later", "response_false", "exit_with_kept_response")),
    Rule(3, "1.2.0",
         "After `ret` or `response` the request is over. A second one raises in the handler, which can catch it. A "
         "later error, or `exit`, tells the caller nothing.",
         "A second one is an error of the scheduler and ends the coroutine. A failure or an exit after the answer "
         "sends an error as well.",
         ("ret_on_send", "ret_twice", "ret_twice_caught")),
    Rule(4, "1.2.0",
         "If the message was sent, not called, `response` returns a function that does nothing. For a call, `TEST` is "
         "true until the response is given or the caller is known to have ended.",
         "It answers False, and raises the second time. `TEST` is true as long as the asker lives.",
         ("response_on_send", "response_on_send_nothing", "response_states")),
    Rule(5, "1.2.0",
         "After a coroutine has raised, an empty function is forked. When it ends, the wakeups and failed calls that "
         "still wait continue in the same dispatch.",
         "They wait for the next dispatch.",
         ("woken_raises_rest_delayed", "handler_error", "handler_error_after_sleep", "handler_error_on_send",
          "pool_drops_failed", "error_through_chain", "fork_error_others_run", "timeout_function_raises")),
    Rule(6, "1.2.0",
         "A service that has ended is not remembered: a response to it is sent and lost. Response functions kept for "
         "it are dropped when its end is known.",
         "`dead_service` remembers it, and nothing is sent.",
         ("response_to_dead_service",)),
    Rule(7, "1.4.0",
         "The wakeup queue is emptied: an entry that wakes no coroutine is dropped, and the next one is taken. A "
         "failed call has its turn only when the queue is empty.",
         "Such an entry ends the turn."),
    Rule(8, "1.3.0",
         "Forks run first in, first out, including those made meanwhile.",
         "In the order of a Lua table. (Here: first in, first out in both dialects.)",
         ("fork_order", "fork_error_others_run")),
    Rule(9, "1.4.0",
         "A resumed coroutine is told which session ended its wait.",
         "It is not.",
         ("sleep_one", "call_ret", "select_two")),
    Rule(10, "1.6.0",
         "`socket.listen` waits for CONNECT, and returns id, address and port. `socket.start` waits for a second "
         "CONNECT.",
         "`listen` returns the id at once.",
         ("listen_start", "listen_values", "accept_echo_line")),
    Rule(11, "1.5.0",
         "Closing a socket that the socket server has already dropped brings no CLOSE message.",
         "It brings a CLOSE message.",
         ("connect_refused",)),
    Rule(12, "1.4.0",
         "A socket that passes its limit is closed; what has arrived can still be read.",
         "What has arrived is thrown away."),
    Rule(13, "1.8.0",
         "A request that is still queued when its service ends is answered with an error that carries its session: "
         "only that call fails.",
         "With session 0: all calls to that service fail."),
    Rule(14, "1.2.0",
         "Tokens for `sleep` and `wait`. A token in use is refused, but only after a session has been taken for it.",
         "There are none. (Here: as an addition, and refused before.)",
         ("wait_token",)),
    Rule(15, "1.4.0",
         "`request` and `select`: a coroutine of its own is started at once and waits for all answers.",
         "There are none. (Here: as an addition; the first answer starts that coroutine.)",
         ("select_two", "select_time_limit")),
    Rule(16, "1.4.0",
         "`killthread`: the answer to a call that was killed is swallowed; the timer of a sleep is a response that "
         "nobody knows.",
         "There is none. (Here: as an addition, and both are swallowed.)",
         ("kill_sleeper", "kill_fork", "kill_server")),
)  # fmt: skip
"""Recordings that are not named show no more of a rule than these do; of 7, 12 and 13 there is none."""


# ------------------------------------------------------------------ the coroutine's side: 1, 2, 9, 14


class TodayHub(Hub):
    """Where coroutines of this dialect yield to."""

    __slots__ = ()

    def coroutine_yield(self, command: str, param: Any) -> Any:
        """Do what `suspend` would, in the coroutine; yield SUSPEND if it has to wait (rules 1, 2). DOC: today-yield"""
        co = running()
        s = co.service
        if command is RETURN:
            return s.answer(co, param), DONE
        if command is RESPONSE:
            return s.respond_later(co, param), DONE
        if command is CALL:
            co.awaits = param
            s.session_id_coroutine[param] = co
        elif command is SLEEP:
            if co.token is not None:
                s.claim_token(co, param)
            co.sleeping = param
            s.session_id_coroutine[param] = co
        elif command is EXIT:
            if param:
                s.forgot(co, param)
        else:  # QUIT, KILL and the like: yielded as they are
            return coroutine_yield(self, command, param)
        ok, value, _ = coroutine_yield(self, SUSPEND, command)  # the last is the session (rule 9): request.py wants it
        return ok, value


# ------------------------------------------------------------------ the scheduler's side


class Today(Scheduler):
    """A service of this dialect: what it does in another way than `Scheduler`."""

    __slots__ = ()

    def suspend(self, co: Any, ok: Any, value: Any, session: int | None = None) -> None:
        """Resume `co`, and whoever becomes ready by it, until nobody is. Which command it was is no matter (rule 1)."""
        while True:
            resume = self.resume
            try:
                command, param = resume(co, ok, value, session)  # rule 9
            except BaseException as e:
                self.failed(co, e)
                raise
            if command is QUIT:
                return
            if command is KILL or command is TRACE:
                ok, value = param(), DONE
            elif self.wakeup_queue and (woken := self.dispatch_wakeup()) is not None:
                co, ok, value, session = woken, False, BREAK, woken.sleeping
            elif self.error_queue and (failed := self.dispatch_error_queue()) is not None:
                ok, (co, value, session) = False, failed
            else:
                return

    def raw_dispatch_message(self, message: Message) -> None:
        """A response is handed on with its session (rule 9)."""
        ptype, session, _, payload = message
        co = self.session_id_coroutine.get(session) if ptype == PTYPE_RESPONSE else None
        if co is None or co is BREAK:
            Scheduler.raw_dispatch_message(self, message)
            return
        del self.session_id_coroutine[session]
        self.suspend(co, True, payload, session)

    def dispatch_wakeup(self) -> Any:
        """Stale entries are passed over (rule 7). DOC: today-wakeup"""
        while self.wakeup_queue:
            if (co := Scheduler.dispatch_wakeup(self)) is not None:
                return co
        return None

    # ---- answers: 2, 3, 4, 6

    def answer(self, co: Coroutine, payload: Any) -> bool:
        """Send, and forget the request: rules 2 and 3. DOC: today-ret"""
        session, co.session = co.session, None
        return bool(session) and self.server.send(self.handle, co.address, PTYPE_RESPONSE, session or 0, payload)

    def respond_later(self, co: Coroutine, pack: Callable[[tuple[Any, ...]], Any]) -> Any:
        """A function that answers later; for a message that was sent, one that does nothing (rules 3 and 4)."""
        response, co.session = TodayResponse(self, co, pack), None
        if response.session:
            self.unresponse[response] = None
        return response

    def bury(self, source: int) -> None:
        """`source` has ended: only response functions are struck off, nothing is remembered (rule 6)."""
        for response in [response for response in self.unresponse if response.address == source]:
            response._release("dead")

    # ---- failure: 5, 16

    def failed(self, co: Coroutine, error: BaseException) -> None:
        """The end of what is forked here makes the rest of this dispatch go on (rule 5). DOC: today-failed"""
        Scheduler.failed(self, co, error)
        if co.dead:
            fork(_nothing)

    def abandon(self, session: int) -> None:
        self.session_id_coroutine[session] = BREAK
        self.watching_session.pop(session, None)

    def waits_no_more(self, co: Coroutine, session: int) -> None:
        """The answer to a call is swallowed, a timer's is not (rule 16)."""
        co.sleeping = None
        if session in self.watching_session:
            self.abandon(session)
        else:
            del self.session_id_coroutine[session]

    def gives_up(self, co: Any) -> None:
        """skynet.term does what an error message does, which answers nobody. (No recording shows it: no rule.)"""
        if getattr(co, "session", None) is not None:
            self.ignore(co)

    # ---- what is new: 14, 15

    def hold_token(self, co: Any, token: Any) -> None:
        """Only noted: the session comes first (rule 14)."""
        if token is not co:
            co.token = token

    def claim_token(self, co: Any, session: int) -> None:
        """It is about to sleep with its token. In skynet the timer of a refused sleep resumes it all the same."""
        token = co.token
        if token in self.sleep_tokens:
            co.token = None
            if session == co.awaits:  # a timer is set: here nobody waits for it
                self.session_id_coroutine[session] = co
                self.abandon(session)
            holder = self.sleep_tokens[token].label
            raise SkynetError(f"token duplicative: {holder} sleeps with {shown(token)} already")
        self.sleep_tokens[token] = co

    def begin_request(self, thread: Any) -> None:
        """It runs up to its first yield, which comes back to us (rule 15)."""
        thread.hub = thread.parent = running()
        self.resume(thread, None, None, None)
        thread.hub = thread.parent = self.hub

    # ---- sockets: 10, 12

    def listened(self, s: PoolSocket) -> Any:
        """Wait for the CONNECT of a socket that listens (rule 10). Raises SocketError. DOC: today-listened"""
        try:
            park_for(s, "listen")
        except BaseException:
            self._give_up(s)
            raise
        reason, s.connecting = s.connecting, False
        if not s.connected:
            self._give_up(s)
            raise SocketError(reason if isinstance(reason, str) else f"socket {s.id} was closed while it was opened")
        return (s.id, *self.server.socket_server.sockname(s.id))

    def _give_up(self, s: PoolSocket) -> None:
        (self.socket_pool or {}).pop(s.id, None)
        self.server.socket_server.close(self.handle, s.id)

    def closes(self, s: PoolSocket) -> bool:
        """Always, since 1.5.0. (No recording shows it, and so it has no rule.)"""
        return True

    def paused(self) -> None:
        """More of its messages may be queued: they go first. (No recording shows it, and so it has no rule.)"""
        yield_()

    def overflowed(self, s: PoolSocket) -> None:
        """What has arrived stays (rule 12)."""


class TodayResponse(Response):
    """What `skynet.response` returns in this dialect."""

    __slots__ = ()

    def __call__(self, ok: bool | str, *values: Any) -> Any:
        """None for a message that was sent; TEST tells whether the answer is still possible (rule 4)."""
        if not self.session:
            return None
        return self._state == "open" if ok == "TEST" else super().__call__(ok, *values)


def _nothing() -> None:
    """What is forked behind an error (rule 5)."""


# ------------------------------------------------------------------ below the services: 10, 11, 13


class TodayServer:
    """A mixin of `Server`."""

    drops_with_session = True  # rule 13

    def share(self: Any) -> None:
        super().share()  # type: ignore[misc]  # of the server below
        sockets = self.socket_server
        sockets.__class__ = _mixed(TodaySockets, type(sockets))


class TodaySockets:
    """A mixin of `SocketServer`."""

    def _carry_out(self: Any, command: tuple[Any, ...]) -> None:
        super()._carry_out(command)  # type: ignore[misc]
        name, id, opaque, *_ = command
        if name == "listen" and (s := self._sockets.get(id)) is not None:
            host, port, *_ = self.outside.sockname(s.sock)
            self._post(opaque, SOCKET_CONNECT, id, port, host)  # rule 10

    def _start(self: Any, s: Socket | None, id: int, opaque: int) -> None:
        if s is None:
            self._post(opaque, SOCKET_ERROR, id, 0, "invalid socket")  # rule 11
        else:
            super()._start(s, id, opaque)  # type: ignore[misc]

    def _fail(self: Any, s: Socket, text: str) -> None:
        if s.state is RESERVE or s.state is CONNECTING:
            s.close_sent = True  # it is dropped, and shutting it down says nothing (rule 11)
        super()._fail(s, text)  # type: ignore[misc]


def _mixed(mixin: type, plain: type) -> type:
    return type(plain.__name__, (mixin, plain), {})


# ------------------------------------------------------------------ which of the two


class Dialect(NamedTuple):
    """What a node is made of."""

    version: str
    scheduler: type[Scheduler]
    hub: type[Hub]
    mixin: type | None

    def server(self, plain: type[Server]) -> type[Server]:
        return plain if self.mixin is None else _mixed(self.mixin, plain)


DIALECTS = {
    dialect.version: dialect
    for dialect in (Dialect("1.1", Scheduler, Hub, None), Dialect("1.8", Today, TodayHub, TodayServer))
}
"""What the services of a node are made of, by the word that `Node(skynet=...)` is given. DOC: dialects"""
