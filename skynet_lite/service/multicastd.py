"""Keeps the channels of multicast, and hands on what is published, in order. After service/multicastd.lua."""

from typing import Any

from skynet_lite import datacenter, skynet
from skynet_lite.core.message import Packed

HARBOR = 0  # the low 8 bits of a channel say which node owns it; this one is alone

channel: dict[int, dict[int, bool]] = {}  # channel → who subscribes, in the order in which they did
last = HARBOR - 256

NORET = object()


def NEW(source: int) -> int:
    global last
    while True:
        last = (last + 256) & 0x7FFFFFFF  # it travels as a session number
        if last not in channel:
            channel[last] = {}
            return last


def DEL(source: int, c: int) -> object:
    channel.pop(c, None)
    return NORET


def PUB(source: int, c: int, payload: Any) -> None:
    group = channel.get(c, {})
    for to in list(group):
        if skynet.redirect(to, source, "multicast", c, Packed(payload)) is None:
            del group[to]  # it has ended


def SUB(source: int, c: int) -> None:
    if c in channel:
        channel[c][source] = True


def USUB(source: int, c: int) -> object:
    channel.get(c, {}).pop(source, None)
    return NORET


commands = {f.__name__: f for f in (NEW, DEL, PUB, SUB, USUB)}
skynet.register_protocol(name="multicast", id=skynet.PTYPE_MULTICAST)


@skynet.start
def main() -> None:
    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, cmd: str, *args: Any) -> None:
        answer = commands[cmd](source, *args)
        if answer is not NORET:
            skynet.retpack(answer)

    datacenter.set("multicast", HARBOR, skynet.self())
