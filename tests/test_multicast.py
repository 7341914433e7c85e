"""multicast: what one service publishes, every subscriber gets, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from skynet_lite import Node, SkynetError, datacenter, multicast, skynet

heard: list[Any] = []


def listener(number: int, name: str) -> None:
    """Subscribes; is told "off" or "end" by a message of type lua."""

    def hear(channel: multicast.Channel, source: int, *args: Any) -> None:
        if args == ("fail",) and name == "a":
            raise ValueError("a cannot hear this")
        if isinstance(args[0], list):
            args[0].append(name)  # its own copy
        heard.append((name, source, *args))

    channel = multicast.new(number, dispatch=hear)
    channel.subscribe()
    channel.subscribe()  # twice is once

    @skynet.dispatch("lua")
    def told(session: int, source: int, what: str) -> None:
        if what == "end":
            skynet.exit()
        channel.unsubscribe()
        skynet.retpack()


def run(main: Callable[[], Any]) -> Node:
    heard.clear()
    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run()
    return node


def test_subscribers_hear_in_the_order_of_their_subscription() -> None:
    """Each message goes to all, one message after the other; who publishes is the source; each has a copy of its own."""

    def main() -> None:
        channel = multicast.new()
        for name in "abc":
            skynet.newservice(listener, channel.channel, name)
        for n in range(3):
            channel.publish(n)
        channel.publish([1])

    run(main)
    expected: list[Any] = [(name, 8, n) for n in range(3) for name in "abc"]
    assert heard == [*expected, *((name, 8, [1, name]) for name in "abc")]


def test_all_get_the_same_bytes() -> None:
    """A message is packed once: what lies in the mailboxes is one object, that nobody can change."""

    def main() -> None:
        channel = multicast.new()
        for name in "ab":
            skynet.newservice(listener, channel.channel, name)
        channel.publish({"key": [1, 2]})

    with Node(clock="virtual", log=list) as node:
        seen: list[Any] = []
        node.attach(lambda event: seen.append(event[5]) if event[0] == "message" and event[2] == 2 else None)
        node.newservice(main)
        node.run()
    assert len(seen) == 2
    assert type(seen[0]) is bytes and seen[0] is seen[1]


def test_channels_are_numbers_that_others_can_be_told() -> None:
    """They end in the node's harbor, 0; a channel has its name in the log; another service's object is the same channel."""

    def main() -> None:
        a, b = multicast.new(), multicast.new()
        assert (a.channel, b.channel) == (0, 256)
        assert (repr(a), repr(b)) == ("[Multicast:0]", "[Multicast:100]")
        assert datacenter.get("multicast", 0) == skynet.queryservice("multicastd")
        skynet.newservice(listener, b.channel, "b")
        multicast.new(channel=256).publish("x")
        a.publish("nobody")

    run(main)
    assert heard == [("b", 8, "x")]


def test_unsubscribing_ending_and_failing() -> None:
    """Who unsubscribes hears no more, also of what is under way; who ends is forgotten; who fails harms no other."""

    def main() -> None:
        channel = multicast.new()
        a, b, c = [skynet.newservice(listener, channel.channel, name) for name in "abc"]
        channel.publish("fail")
        skynet.call(b, "lua", "off")
        channel.publish(1)
        skynet.send(c, "lua", "end")
        skynet.yield_()
        channel.publish(2)
        channel.publish(3)

    node = run(main)
    assert heard == [("b", 8, "fail"), ("c", 8, "fail"), ("a", 8, 1), ("c", 8, 1), ("a", 8, 2), ("a", 8, 3)]
    assert sum("ValueError: a cannot hear this" in line for line in node.log_lines) == 1
    assert not any("Maybe forgot response" in line for line in node.log_lines)


def test_a_message_under_way_is_dropped_after_unsubscribe() -> None:
    """multicastd hands the second one on before it hears of that; the subscriber does not see it."""

    def main() -> None:
        def once(channel: multicast.Channel, source: int, n: int) -> None:
            heard.append(n)
            channel.unsubscribe()
            channel.unsubscribe()  # twice is once

        channel = multicast.new(dispatch=once)
        channel.subscribe()
        skynet.fork(channel.publish, 1)
        skynet.fork(channel.publish, 2)

    with Node(clock="virtual", log=list) as node:
        heard.clear()
        came: list[Any] = []
        node.attach(lambda event: came.append(event[5]) if event[0] == "message" and event[2] == 2 else None)
        node.newservice(main)
        node.run()
    assert (came, heard) == ([(1,), (2,)], [1])


def test_a_deleted_channel_is_silent() -> None:
    """For everybody; the object that deleted it says what to do instead."""

    def main() -> None:
        channel = multicast.new()
        number = channel.channel
        skynet.newservice(listener, number, "a")
        channel.delete()
        assert repr(channel) == "[Multicast:deleted]"
        for use in (channel.publish, channel.subscribe, channel.delete):
            with pytest.raises(SkynetError, match=r"multicast.new\(\)"):
                use()
        multicast.new(number).publish("x")
        with pytest.raises(SkynetError, match="no dispatch function"):
            multicast.new().subscribe()

    run(main)
    assert heard == []


def test_messages_may_be_packed_in_another_way() -> None:
    """pack and unpack as for a protocol: here text, as it would go to clients."""

    def main() -> None:
        channel = multicast.new(
            dispatch=lambda channel, source, *words: heard.append(words),
            pack=lambda *words: " ".join(words),
            unpack=lambda text: tuple(text.split()),
        )
        channel.subscribe()
        channel.publish("good", "morning")

    run(main)
    assert heard == [("good", "morning")]


def test_a_service_that_both_subscribes_and_publishes_hears_itself() -> None:
    """Channels make no difference between others and oneself; nor does a publication inside a dispatch."""

    def main() -> None:
        def hear(channel: multicast.Channel, source: int, n: int) -> None:
            heard.append(n)
            if n < 3:
                channel.publish(n + 1)

        channel = multicast.new(dispatch=hear)
        channel.subscribe()
        channel.publish(0)

    run(main)
    assert heard == [0, 1, 2, 3]
