"""Who has ended, as a service is told: whose calls fail then, and whose requests nobody waits for any more.

v1.1.0 (lualib/skynet.lua) walks through its tables, and keeps each end for ever. Here an end costs what it concerns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.handle import address_text

if TYPE_CHECKING:
    from .coroutine import Coroutine
    from .response import Response


class Ends:
    """What `Scheduler` knows of them."""

    __slots__ = ()

    def calls_to(self: Any, source: int | str) -> list[int]:
        """The sessions of the calls that wait for `source`. No end of a service looks at a call that one has seen."""
        watching = self.watching_session
        callees = self.callees = self.callees or {}
        if self.seen_calls > 64 + 2 * len(watching):
            callees.clear()
            self.seen_calls = 0
        for session in reversed(watching):
            calls = callees.setdefault(watching[session], set())
            if session in calls:
                break  # and so are all before it
            calls.add(session)
            self.seen_calls += 1
        return sorted(s for s in callees.pop(source, ()) if watching.get(s) == source)

    def bury(self: Any, source: int) -> None:
        """`source` has ended: what it has asked so far is not answered any more."""
        self.dead_service[source] = self.mailbox.popped
        if len(self.dead_service) > 64 + 2 * (len(self.coroutines) + len(self.unresponse)):
            served = self.watching_service()  # v1.1.0 keeps them all; most have nothing to be answered
            for address in [address for address in self.dead_service if address not in served]:
                del self.dead_service[address]

    def gone(self: Any, request: Coroutine | Response) -> bool:
        """Whether who asked has ended; a request that came later is of a new service with its number."""
        return bool(request.serial <= self.dead_service.get(request.address, -1))

    def forgot(self: Any, co: Coroutine, session: int) -> None:
        """The task of `co` has ended without an answer."""
        whose = f"{address_text(co.address)} : {co.label}"
        self.server.warn(self.handle, f"Maybe forgot response session {session} from {whose}")

    def watching_service(self: Any) -> set[int]:
        """Whose requests are served, or kept in response functions."""
        served = {co.address for co in self.coroutines.values() if co.session is not None}
        return served.union(r.address for r in self.unresponse)
