"""The tables of a service under skynet's names, for looking at.

One idea: what skynet keeps in a table by coroutine stands on the coroutine here, since that
is faster; so these tables are views. The plain ones are attributes of the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.handle import address_text
from ..core.message import mail_label
from .coroutine import BREAK, Coroutine


class Tables:
    """What `Scheduler` has to show."""

    __slots__ = ()
    coroutines: dict[int, Coroutine]
    pooled: Coroutine | None
    unresponse: dict[Any, None] | None

    def _by_coroutine(self, value: Callable[[Coroutine], Any]) -> dict[str, Any]:
        return {co.label: v for co in self.coroutines.values() if (v := value(co)) is not None}

    @property
    def sleep_session(self) -> dict[str, int]:
        return self._by_coroutine(lambda co: co.sleeping)

    @property
    def session_coroutine_id(self) -> dict[str, int]:
        return self._by_coroutine(lambda co: co.session)

    @property
    def session_coroutine_address(self) -> dict[str, str]:
        return self._by_coroutine(lambda co: None if co.session is None else address_text(co.address))

    @property
    def session_coroutine_tracetag(self) -> dict[str, str]:
        return self._by_coroutine(lambda co: co.tag or None)

    @property
    def session_response(self) -> list[str]:
        return [co.label for co in self.coroutines.values() if co.responded]

    @property
    def watching_service(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for address in self.session_coroutine_address.values():
            counts[address] = counts.get(address, 0) + 1
        for response in self.unresponse or ():
            address = address_text(response.address)
            counts[address] = counts.get(address, 0) + 1
        return counts

    @property
    def coroutine_pool(self) -> list[Coroutine]:
        """Those that have ended; the last is the next to be used."""
        found: list[Coroutine] = []
        co = self.pooled
        while co is not None:
            found.insert(0, co)
            co = co.pooled
        return found

    def tables(self: Any) -> dict[str, Any]:
        """Every table, as plain data: what `Trace.state` shows."""
        with self.server.driver.still():
            return {
                "name": self.name,
                "mailbox": [mail_label(m) for m in self.mailbox],
                "session_id_coroutine": {
                    s: co if co is BREAK else co.label for s, co in sorted(self.session_id_coroutine.items())
                },
                "sleep_session": self.sleep_session,
                "wakeup_queue": [(entry[1] if type(entry) is tuple else entry).label for entry in self.wakeup_queue],
                "fork_queue": [co.label for co in self.fork_queue],
                "error_queue": list(self.error_queue),
                "watching_session": {
                    s: address_text(to) if isinstance(to, int) else to
                    for s, to in sorted(self.watching_session.items())
                },
                "watching_service": dict(sorted(self.watching_service.items())),
                "dead_service": sorted(address_text(a) for a in self.dead_service or ()),
                "session_coroutine_id": self.session_coroutine_id,
                "session_coroutine_address": self.session_coroutine_address,
                "session_coroutine_tracetag": self.session_coroutine_tracetag,
                "session_response": self.session_response,
                "unresponse": sorted([r.session, address_text(r.address)] for r in self.unresponse or ()),
                "coroutine_pool": [co.label for co in self.coroutine_pool],
                "queue": {n: section.labels() for n, section in sorted((self.queues or {}).items())},
                "socket_pool": {id: s.label() for id, s in sorted((self.socket_pool or {}).items())},
            }
