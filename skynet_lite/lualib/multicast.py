"""Channels: what one service publishes, every subscriber gets.

A message is packed once. All subscribers are sent the same bytes, which nobody can
change, and each opens a copy of its own: the counted package of skynet, in Python.

After lualib/skynet/multicast.lua and lualib-src/lua-multicast.c.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import skynet
from ..core.errors import SkynetError
from ..core.message import Packed
from ..skynet.protocol import payload_of
from ..skynet.runnable import runnable
from ..skynet.scheduler import current
from .library import Keeper, kept

__all__ = ["Channel", "new"]
__dir__ = __all__.copy

Dispatch = Callable[..., Any]


class Channel:
    """A channel as one service sees it. `channel` is its number, which others can be told."""

    def __init__(
        self, channel: int, dispatch: Dispatch | None, pack: Callable[..., Any], unpack: Callable[[Any], Any]
    ) -> None:
        self.channel: int | None = channel
        self.dispatch = runnable(dispatch)  # f(channel, source, *args)
        self._pack = pack
        self.unpack = unpack

    def _number(self) -> int:
        if self.channel is None:
            raise SkynetError("this channel was deleted: make another with multicast.new()")
        return self.channel

    def publish(self, *args: Any) -> None:
        """Send to all who subscribe now; returns when it is on its way to each."""
        command = Packed(("PUB", self._number(), payload_of(self._pack(*args))))
        skynet.rawcall(_ask.handle(), "lua", command)

    def subscribe(self) -> None:
        """Have `dispatch(channel, source, *args)` called for what is published from now on."""
        channel = self._number()
        if _subscribed().get(channel) is self:
            return
        if self.dispatch is None:
            raise SkynetError("this channel has no dispatch function: give one to multicast.new(dispatch=f)")
        _ask("SUB", channel)
        _subscribed()[channel] = self

    def unsubscribe(self) -> None:
        """Hear no more; what is under way already is dropped."""
        if self.channel is not None and _subscribed().get(self.channel) is self:
            del _subscribed()[self.channel]
            skynet.send(_ask.handle(), "lua", "USUB", self.channel)

    def delete(self) -> None:
        """End the channel, for everybody. This object is of no use afterwards."""
        channel = self._number()
        skynet.send(_ask.handle(), "lua", "DEL", channel)
        _subscribed().pop(channel, None)
        self.channel = None

    def __repr__(self) -> str:
        return "[Multicast:deleted]" if self.channel is None else f"[Multicast:{self.channel:x}]"


def new(
    channel: int | None = None, dispatch: Dispatch | None = None,
    pack: Callable[..., Any] = skynet.pack, unpack: Callable[[Any], Any] | None = None,
) -> Channel:  # fmt: skip
    """A new channel, or the one with number `channel`.

    `pack(*args)` returns skynet.pack(...), str or bytes; `unpack(payload)` a value or a tuple.
    """
    _ask.handle()
    return Channel(_ask("NEW") if channel is None else channel, dispatch, pack, unpack or skynet.unpack)


_subscribed = partial(kept, "multicast", dict[int, Channel])


def _multicastd() -> int:
    handle = skynet.uniqueservice("multicastd")
    if "multicast" not in current().proto:  # another coroutine may have come first
        skynet.register_protocol(
            name="multicast", id=skynet.PTYPE_MULTICAST, unpack=Packed, dispatch=_dispatch_subscribe
        )
    return handle


_ask = Keeper("multicastd", _multicastd)


def _dispatch_subscribe(channel: int, source: int, message: Packed) -> None:
    skynet.ignoreret()  # the channel's number stands where a session would
    found = _subscribed().get(channel)
    if found is not None and found.dispatch is not None:  # else it has unsubscribed meanwhile
        values = found.unpack(message.payload)
        found.dispatch(found, source, *(values if type(values) is tuple else (values,)))
