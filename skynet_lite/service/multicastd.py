"""Keeps the channels of multicast, and hands on what is published, in order. After service/multicastd.lua."""

from typing import Any

from skynet_lite import datacenter, skynet
from skynet_lite.core.message import Packed
from skynet_lite.lualib.library import Sweep, by_name
from skynet_lite.skynet.scheduler import current

HARBOR = 0  # the low 8 bits of a channel say which node owns it; this one is alone

channel: dict[int, dict[int, bool]] = {}  # channel → who subscribes, in the order in which they did
last = HARBOR - 256
sweep = Sweep()  # of subscriptions


def NEW(source: int) -> None:
    global last
    last = (last + 256) & 0x7FFFFFFF  # it travels as a session number
    while last in channel:
        last = (last + 256) & 0x7FFFFFFF
    channel[last] = {}
    skynet.retpack(last)


def DEL(source: int, c: int) -> None:
    channel.pop(c, None)


def PUB(source: int, c: int, payload: Any) -> None:
    group = channel.get(c, {})
    for to in list(group):
        if skynet.redirect(to, source, "multicast", c, Packed(payload)) is None:
            del group[to]  # it has ended
    skynet.retpack(None)


def SUB(source: int, c: int) -> None:
    if c in channel:
        channel[c][source] = True
    if sweep.due():
        for c, group in channel.items():
            channel[c] = {to: True for to in group if to in current().server.contexts}
        sweep.over(sum(map(len, channel.values())))
    skynet.retpack(None)


def USUB(source: int, c: int) -> None:
    channel.get(c, {}).pop(source, None)


skynet.register_protocol(name="multicast", id=skynet.PTYPE_MULTICAST)


@skynet.start
def main() -> None:
    skynet.dispatch("lua", by_name(NEW, DEL, PUB, SUB, USUB, told=True))
    datacenter.set("multicast", HARBOR, skynet.self())
