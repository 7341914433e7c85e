"""Mailboxes, and the global queue of the mailboxes that have something in them.

A worker takes a mailbox from the global queue, dispatches from it, and puts it
back at the end if anything is left. A mailbox is in the global queue at most
once: that alone keeps a service from being run by two workers at a time.

After skynet-src/skynet_mq.c.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .message import Message

if TYPE_CHECKING:
    from .context import Context

OVERLOAD = 1024
"""Messages in a mailbox above which the node warns; doubles after each warning."""


def ignore(message: Message) -> None:
    """The callback of a service that is not ready, or has gone."""


class MessageQueue(deque[Message]):
    """The mailbox of one service: first in, first out.

    A deque itself, so that the two hot operations are a single C call.
    """

    __slots__ = ("callback", "in_global", "overload_threshold", "popped", "service")

    def __init__(self, service: Context) -> None:
        super().__init__()
        self.service = service
        self.in_global = False  # set by whoever pushes, cleared by the loop that empties it
        self.overload_threshold = OVERLOAD
        self.popped = 0  # messages dispatched so far
        self.callback: Callable[[Message], None] = ignore  # what the service does with a message

    def overload(self) -> int:
        """The length to warn about, 0 if it is no news (skynet_mq_pop, skynet_mq_overload)."""
        length = len(self)
        if length <= self.overload_threshold:
            return 0
        while length > self.overload_threshold:
            self.overload_threshold *= 2
        return length


GlobalQueue = deque[MessageQueue]
