"""The harbor's place: messages to global names, and to nodes that are not there.

A single node has no other harbor. What is left of the service is to deliver to
global names, keeping what comes before a name is known, and to refuse the rest.

After service-src/service_harbor.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .message import PTYPE_ERROR, PTYPE_HARBOR, Message


class RemoteMessage(NamedTuple):
    """A message on its way through the harbor."""

    destination: int | str
    ptype: int
    payload: Any


class Harbor:
    """Its callback gets RemoteMessages (from `Node.send_far`) and "N name" (from cdummy)."""

    def __init__(
        self, push: Callable[[int, int, int, int, Any], bool], log: Callable[[str], None]
    ) -> None:  # push(to, ptype, session, source, payload)
        self._push = push
        self._log = log
        self._names: dict[str, int] = {}
        self._waiting: dict[str, list[tuple[int, int, int, Any]]] = {}

    def callback(self, message: Message) -> None:
        ptype, session, source, payload = message
        if ptype == PTYPE_HARBOR:
            name = str(payload)[2:]
            self._names[name] = source
            for kept in self._waiting.pop(name, []):
                self._push(source, *kept)
            return
        destination, kind, body = payload
        if isinstance(destination, str):
            handle = self._names.get(destination)
            if handle is None:
                self._waiting.setdefault(destination, []).append((kind, session, source, body))
            else:
                self._push(handle, kind, session, source, body)
            return
        if session != 0:
            self._push(source, PTYPE_ERROR, session, destination, None)
        self._log(
            f"Drop message to harbor {destination >> 24} from {source:x} to {destination:x} (session = {session})"
        )
