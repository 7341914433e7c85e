"""Mailboxes, and the global queue of the mailboxes that have something in them.

A worker takes a mailbox from the global queue, dispatches from it, and puts it
back at the end if anything is left. A mailbox is in the global queue once at most, and
not at all while a worker has it: that keeps a service from being run by two at a time.

After skynet-src/skynet_mq.c.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .message import Message

OVERLOAD = 1024
"""Messages in a mailbox above which the node warns; doubles after each warning."""


def ignore(message: Message) -> None:
    """The callback of a service that is not ready, or has gone."""


class MessageQueue(deque[Message]):
    """The mailbox of one service: first in, first out. A deque itself, so that taking one out is a single C call."""

    __slots__ = ("callback", "global_queue", "handle", "in_global", "overload_threshold", "popped")

    def __init__(self, global_queue: deque[MessageQueue]) -> None:
        super().__init__()
        self.global_queue = global_queue
        self.handle = 0  # of the service, set once it has one
        self.in_global = False  # there, or in the hands of a worker; cleared by the one that finds it empty
        self.overload_threshold = OVERLOAD
        self.popped = 0  # messages dispatched so far
        self.callback: Callable[[Message], None] = ignore  # what the service does with a message

    def push(self, message: Message) -> None:
        """Put a message in; and itself into the global queue, unless it is there or a worker has it. DOC: mq-push

        After skynet_mq_push.
        """
        self.append(message)
        if not self.in_global:
            self.in_global = True
            self.overload_threshold = OVERLOAD  # it was found empty: an overload is news again (skynet_mq_pop)
            self.global_queue.append(self)

    def overload(self) -> int:
        """The length to warn about, 0 if it is no news (skynet_mq_pop, skynet_mq_overload)."""
        length = len(self)
        if length <= self.overload_threshold:
            return 0
        while length > self.overload_threshold:
            self.overload_threshold *= 2
        return length


GlobalQueue = deque[MessageQueue]
