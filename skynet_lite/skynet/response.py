"""A request that is answered later, by a function that anybody may call, a thread, too.

After lualib/skynet.lua (the command RESPONSE of v1.1.0, skynet.response).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import Failure, SkynetError
from ..core.message import PTYPE_ERROR, PTYPE_RESPONSE
from .threads import answered, is_elsewhere, leave


class Response:
    """What `skynet.response` returns: answer later, from any coroutine of the service, or any thread.

    `r(True, *values)` answers, `r(False)` or `r(False, "why")` makes the call fail, `r("TEST")` tells
    whether the caller still lives. True if the answer was sent; a second one raises SkynetError. What a thread answers
    is packed here and now, and sent between two messages of the service: there True means that it still lives.
    """

    __slots__ = ("_pack", "_service", "_state", "address", "serial", "session")

    def __init__(self, service: Any, co: Any, pack: Callable[[tuple[Any, ...]], Any]) -> None:
        self._service = service
        self._pack = pack
        self._state = "open"  # then "dead" (TEST found the caller gone), then "used"
        self.session = co.session or 0  # of the request that `co` serves
        self.address = co.address
        self.serial = co.serial

    def __call__(self, ok: bool | str, *values: Any) -> bool:
        s = self._service
        dead = s.gone(self)
        elsewhere = is_elsewhere(s)
        if ok == "TEST":
            if dead and not elsewhere:
                self._release("dead")
            return not dead
        if self._state == "dead":
            self._state = "used"
            return False
        if self._state == "used":
            raise SkynetError("Can't response more than once")
        payload = None
        if self.session != 0 and not dead:
            payload = self._pack(values) if ok else next(iter(values), None)
        if elsewhere:
            return leave(s, answered, self.session, self.address, bool(ok), payload)
        return self.answer(bool(ok), payload)

    def answer(self, ok: bool, payload: Any) -> bool:
        """Send what is packed, or why there is no answer."""
        s, sent = self._service, False
        if self.session != 0 and not s.gone(self):
            ptype, payload = (PTYPE_RESPONSE, payload) if ok else (PTYPE_ERROR, self._failure(payload))
            sent = s.server.send(s.handle, self.address, ptype, self.session, payload)
        self._release("used")
        return sent

    def _failure(self, why: Any) -> Failure:
        """For a text; that of another service is passed on (the launcher does so)."""
        if type(why) is Failure:
            return why
        failure: Failure = self._service.failure(f"refused: {why}" if type(why) is str else "refused")
        return failure

    def _release(self, state: str) -> None:
        if self in self._service.unresponse:
            del self._service.unresponse[self]
        self._state = state
