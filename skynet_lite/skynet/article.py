"""What v1.1.0, the version that the article quotes, does in small: each of these, today does in another way.

Whoever is of the other dialect has `Today` for it (dialect.py), where the rules stand, too.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import SkynetError, shown
from .coroutine import BREAK


class Article:
    """What `Scheduler` has of them."""

    __slots__ = ()

    # ---- who waits no more, and for what

    def abandon(self: Any, session: int) -> None:
        """Nobody waits for the answer to `session` any more, a call's or a timer's: it is thrown away when it comes."""
        self.watching_session.pop(session, None)
        self.session_id_coroutine[session] = BREAK

    def waits_no_more(self: Any, co: Any, session: int) -> None:
        """It is being killed while `session` is to resume it."""
        co.sleeping = None
        if session == co.awaits:
            self.abandon(session)
        else:  # in `wait`: no answer will come
            del self.session_id_coroutine[session]

    def gives_up(self, co: Any) -> None:
        """`co` calls skynet.term: it serves its request as before."""

    # ---- what v1.1.0 has not, and this library has all the same

    def hold_token(self: Any, co: Any, token: Any) -> None:
        """`co` is about to sleep, and `token` will wake it."""
        if token is co:
            return
        if token in self.sleep_tokens:
            holder = self.sleep_tokens[token].label
            raise SkynetError(f"token duplicative: {holder} sleeps with {shown(token)} already")
        self.sleep_tokens[token] = co.thread
        co.token = token

    def begin_request(self, thread: Any) -> None:
        """All requests of `thread` are sent (request.py): the first answer starts it."""

    # ---- sockets

    def listened(self, s: Any) -> Any:
        """What `socket.listen` returns of a socket that has been asked to listen."""
        return s.id

    def closes(self, s: Any) -> bool:
        """Whether `close` is told to the socket server: not while `s` is being opened, so that it stays open then."""
        return s.connecting is not True or s.protocol == "listen"

    def paused(self) -> None:
        """A socket is not read any more: go on."""

    def overflowed(self, s: Any) -> None:
        """It holds more than its limit, and will be closed: what has arrived goes."""
        s.clear()
