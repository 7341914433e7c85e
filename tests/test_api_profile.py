"""CPU time: of a coroutine between profile.start and stop, and of a service."""

from __future__ import annotations

from typing import Any

import pytest

from skynet_lite import ConfigError, Node, Outside, SkynetError, coroutine, profile, skynet


class Cpu(Outside):
    """An outside where CPU time passes only when somebody burns it."""

    used = 0.0

    def cpu_time(self) -> float:
        return self.used


def burn(seconds: float) -> None:
    skynet.running().service.server.node.outside.used += seconds


def answer(f: Any, **config: Any) -> Any:
    """What `f` returns in a handler of a service, under the real clock."""

    def main() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack(f()))

    with Node(log=list, outside=Cpu(), **config) as node:
        return node.call(node.newservice(main), "lua", timeout=20)


def test_the_clock_stands_while_the_coroutine_is_parked() -> None:
    """What others burn meanwhile is not its own; neither is the time that passes."""

    def f() -> list[float]:
        profile.start()
        burn(0.25)
        skynet.fork(burn, 8.0)
        skynet.sleep(2)
        burn(0.5)
        return [profile.stop()]

    assert answer(f) == [0.75]


def test_two_are_measured_at_once() -> None:
    """Each has a clock of its own; one can be stopped from outside."""

    def f() -> list[float]:
        def other() -> None:
            profile.start()
            burn(2.0)
            skynet.wait()

        co = skynet.fork(other)
        profile.start()
        skynet.sleep(1)
        burn(0.5)
        return [profile.stop(), profile.stop(co)]

    assert answer(f) == [0.5, 2.0]


def test_what_a_coroutine_of_ones_own_does_counts_for_its_resumer_too() -> None:
    """A resume is a part of what the resumer does; inside, a clock counts that coroutine alone."""

    def f() -> list[float]:
        def inner() -> None:
            profile.start()
            burn(0.5)
            skynet.sleep(1)
            burn(0.25)
            inside.append(profile.stop())

        inside: list[float] = []
        profile.start()
        burn(1.0)
        coroutine.wrap(inner)()
        return [profile.stop(), *inside]

    assert answer(f) == [1.75, 0.75]


def test_start_and_stop_come_in_pairs() -> None:
    """As in skynet: twice, or without a start, is an error."""

    def f() -> bool:
        with pytest.raises(SkynetError, match=r"call profile.start\(\) before"):
            profile.stop()
        profile.start()
        with pytest.raises(SkynetError, match="more than once"):
            profile.start()
        profile.stop()
        return True

    assert answer(f)


def test_no_hook_is_left_behind() -> None:
    """Unused it costs nothing: greenlet's hook is set while somebody is measured, and handed back."""
    from skynet_lite.skynet.coroutine import gettrace

    def f() -> list[bool]:
        before = gettrace() is None
        profile.start()
        during = gettrace() is None
        profile.stop()
        return [before, during, gettrace() is None]

    assert answer(f) == [True, False, True]


def test_a_service_knows_its_cpu_time_if_profile_is_on() -> None:
    """skynet.stat("cpu") over all dispatches that are over, "time" of this one; without the key both are 0.0."""

    def f() -> list[float]:
        before = skynet.stat("cpu")
        burn(0.5)
        now = skynet.stat("time")
        skynet.yield_()
        burn(0.25)
        return [before, now, skynet.stat("cpu"), skynet.stat("time")]

    assert answer(f, profile=True) == [0.0, 0.5, 0.5, 0.25]
    assert answer(f) == [0.0, 0.0, 0.0, 0.0]
    with pytest.raises(ConfigError, match="profile"):
        Node(profile="yes")


def test_the_real_outside_counts_real_cpu_time() -> None:
    """Work costs, sleep does not."""
    outside = Outside()
    before = outside.cpu_time()
    sum(range(200_000))
    assert 0 < outside.cpu_time() - before
    outside.close()


def test_under_the_virtual_clock_all_figures_are_zero() -> None:
    """The same program does the same every time, whatever the machine."""
    seen: list[float] = []

    def main() -> None:
        profile.start()
        seen.extend([profile.stop(), skynet.stat("cpu"), skynet.stat("time")])

    with Node(clock="virtual", log=list, profile=True) as node:
        node.newservice(main)
    assert seen == [0.0, 0.0, 0.0]
