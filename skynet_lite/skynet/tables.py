"""The tables of a service under skynet's names, for looking at.

One idea: what skynet keeps in a table by coroutine stands on the coroutine here, since that
is faster; so these tables are views. The plain ones are attributes of the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import told
from ..core.handle import address_text
from ..core.message import mail_label
from .coroutine import BREAK, Coroutine


def address(addr: int | str) -> str:
    """The text form of an address: a handle as `:00000008`, a name as it is."""
    return address_text(addr) if isinstance(addr, int) else told(addr)


def _by_coroutine(value: Callable[[Coroutine], Any]) -> Any:
    return property(lambda s: {co.label: v for co in s.coroutines.values() if (v := value(co)) is not None})


class Tables:
    """What `Scheduler` has to show."""

    __slots__ = ()
    sleep_session = _by_coroutine(lambda co: co.sleeping)
    session_coroutine_id = _by_coroutine(lambda co: co.session)
    session_coroutine_address = _by_coroutine(lambda co: None if co.session is None else address_text(co.address))
    session_coroutine_tracetag = _by_coroutine(lambda co: co.tag or None)

    @property
    def coroutine_pool(self: Any) -> list[Coroutine]:
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
            later = sorted([r.session, address_text(r.address)] for r in self.unresponse)
            asked = sorted([*self.session_coroutine_address.values(), *(asker for _, asker in later)])
            return {
                "name": self.ctx.called,
                "mailbox": [mail_label(m) for m in self.mailbox],
                "session_id_coroutine": {
                    s: co if co is BREAK else co.label for s, co in sorted(self.session_id_coroutine.items())
                },
                "sleep_session": self.sleep_session,
                "wakeup_queue": [(entry[1] if type(entry) is tuple else entry).label for entry in self.wakeup_queue],
                "fork_queue": [co.label for co in self.fork_queue],
                "error_queue": [session for session, _ in self.error_queue],
                "watching_session": {s: address(to) for s, to in sorted(self.watching_session.items())},
                "watching_service": {asker: asked.count(asker) for asker in asked},
                "dead_service": sorted(map(address_text, self.dead_service)),
                "session_coroutine_id": self.session_coroutine_id,
                "session_coroutine_address": self.session_coroutine_address,
                "session_coroutine_tracetag": self.session_coroutine_tracetag,
                "session_response": [co.label for co in self.coroutines.values() if co.responded],
                "unresponse": later,
                "coroutine_pool": [co.label for co in self.coroutine_pool],
                "queue": {n: section.labels() for n, section in sorted(self.queues.items())},
                "socket_pool": {id: s.label() for id, s in sorted((self.socket_pool or {}).items())},
            }
