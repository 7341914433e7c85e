"""Services by name: uniqueservice, queryservice, service.new, the datacenter, global names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skynet_lite import CallError, Node, SkynetError, datacenter, harbor, service, skynet

births: list[str] = []


def run(main: Callable[[], Any], *known: Callable[..., Any], **keys: Any) -> Node:
    """A node in which `main` has run as a service, until nothing is left to do."""
    with Node(clock="virtual", log=list, **keys) as node:
        for f in known:
            node.service_name(f)
        node.newservice(main)
        node.run()
    return node


def slow(*args: Any) -> None:
    births.append("slow")
    skynet.sleep(3)
    skynet.dispatch("lua", lambda session, source: skynet.retpack(*args))


def bad() -> None:
    births.append("bad")
    skynet.sleep(1)
    raise ValueError("no luck")


# ---- service_mgr


def test_everybody_gets_the_same_unique_service() -> None:
    """Launching, asking while it is launched, and asking later lead to one handle; arguments are the first one's."""
    handles: list[int] = []
    births.clear()

    def main() -> None:
        skynet.fork(lambda: handles.append(skynet.queryservice("slow")))  # before anybody launches it
        skynet.yield_()
        skynet.fork(lambda: handles.append(skynet.uniqueservice("slow", 1)))
        skynet.fork(lambda: handles.append(skynet.uniqueservice("slow", 2)))
        skynet.sleep(10)
        handles.append(skynet.uniqueservice("slow", 3))
        assert skynet.call(handles[0], "lua") == 1

    run(main, slow)
    assert len(handles) == 4 and len(set(handles)) == 1
    assert births == ["slow"]


def test_a_global_service_is_another_one_than_the_local() -> None:
    """uniqueservice(True, name) keeps it under "@name", which queryservice(True, name) finds."""

    def main() -> None:
        local, everywhere = skynet.uniqueservice("slow"), skynet.uniqueservice(True, "slow")
        assert local != everywhere
        assert skynet.queryservice(True, "slow") == everywhere
        assert skynet.queryservice("slow") == local
        assert skynet.call(".service", "lua", "LIST") == {
            "slow": skynet.address(local),
            "@slow": skynet.address(everywhere),
        }

    run(main, slow)


def test_a_failed_start_is_remembered() -> None:
    """All who wait are told, and who asks later, too: it is not tried again. LIST shows the error."""
    errors: list[str] = []
    births.clear()

    def attempt(ask: Callable[..., int]) -> None:
        with pytest.raises(CallError) as e:
            ask("bad")
        errors.append(str(e.value))

    why = "call failed: :0000000a bad did not start: ValueError: no luck"

    def main() -> None:
        skynet.fork(attempt, skynet.uniqueservice)
        skynet.fork(attempt, skynet.queryservice)
        skynet.sleep(5)
        attempt(skynet.uniqueservice)
        assert skynet.call(".service", "lua", "LIST") == {"bad": f"Error: {why}"}

    run(main, bad)
    assert errors == [why] * 3
    assert births == ["bad"]


def test_list_shows_who_launches_and_who_waits() -> None:
    """While it starts: its address, who launches it, who queries. A name nobody launches: who queries."""
    shown: dict[str, str] = {}

    def main() -> None:
        skynet.fork(skynet.uniqueservice, "slow")
        skynet.fork(skynet.queryservice, "slow")
        skynet.fork(skynet.queryservice, "bad")
        skynet.sleep(1)
        shown.update(skynet.call(".service", "lua", "LIST"))

    run(main, slow, bad)
    lines = shown["slow"].splitlines()
    assert [line for line in lines if line.startswith(("Init", "Launch", "Query", ":"))] == [
        "Init as :0000000a", "Launching from :00000008", "Querying:", lines[-1],
    ]  # fmt: skip
    assert lines[-1].startswith(":00000008")
    assert shown["bad"].startswith("Querying:\n:00000008")


def test_commands_that_do_not_exist_are_answered() -> None:
    """As nil and a text, the form in which service_mgr tells of every failure."""
    with Node(clock="virtual", log=list) as node:
        assert node.call(".service", "lua", "NOSUCH") == (None, "Invalid command NOSUCH")


def test_a_second_manager_gives_way() -> None:
    """There is one .service in a node; another says so, and ends."""

    def main() -> None:
        skynet.call(".launcher", "lua", "LAUNCH", "snlua", "service_mgr")

    node = run(main)
    assert "[:0000000a] .service is already register by  :00000007" in node.log_lines


# ---- service.new


def counting(first: int) -> None:
    total = first

    def add(session: int, source: int, n: int) -> None:
        nonlocal total
        total += n
        skynet.retpack(total)

    skynet.dispatch("lua", add)
    births.append(f"counting {first}")


def starting(word: str) -> None:
    @skynet.start
    def main() -> None:
        skynet.sleep(2)
        skynet.dispatch("lua", lambda session, source: skynet.retpack(word))


def broken() -> None:
    births.append("broken")
    raise ValueError("no luck")


def silent() -> None:
    pass


def test_a_service_is_made_by_whoever_asks_first() -> None:
    """service.new: the function runs once, in a service_cell; query finds it in every service."""
    births.clear()

    def other() -> None:
        assert skynet.call(service.query("count"), "lua", 2) == 13

    def main() -> None:
        a = service.new("count", counting, 10)
        assert service.new("count", counting, 99) == a == service.query("count")
        assert skynet.call(a, "lua", 1) == 11
        skynet.newservice(other)

    node = run(main)
    assert births == ["counting 10"]
    assert "[:0000000b] LAUNCH snlua service_cell count" in node.log_lines


def test_those_who_come_while_it_boots_wait() -> None:
    """Its function may call skynet.start: it is there when that is over. Who queried before anybody made it, waits."""
    got: list[int] = []

    def main() -> None:
        for ask in (lambda: service.query("w"), *[lambda: service.new("w", starting, "hello")] * 2):
            skynet.fork(lambda ask=ask: got.append(ask()))
        skynet.sleep(20)
        assert skynet.call(got[0], "lua") == "hello"

    run(main)
    assert len(got) == 3 and len(set(got)) == 1


def test_a_function_that_fails_is_not_run_again_until_closed() -> None:
    """The error is kept for all who ask; close frees the name. The cell does not stay behind."""
    births.clear()

    def main() -> None:
        for _ in range(2):
            with pytest.raises(CallError):
                service.new("b", broken)
        with pytest.raises(CallError):
            service.query("b")
        assert service.close("b") is False
        assert service.new("b", counting, 1)
        assert service.close("b") is True
        assert service.close("b") is False

    node = run(main)
    assert births == ["broken", "counting 1"]
    assert any("ValueError: no luck" in line for line in node.log_lines)


def test_a_service_that_dispatches_nothing_says_so() -> None:
    """And a closure is refused: it would share variables between services."""
    word = "shared"

    def main() -> None:
        with pytest.raises(CallError):
            skynet.call(service.new("s", silent), "lua")
        with pytest.raises(SkynetError, match="would share word with its maker"):
            service.new("c", lambda: skynet.error(word))

    node = run(main)
    assert any("No dispatch function" in line for line in node.log_lines)


# ---- datacenter


def test_the_datacenter_is_a_tree() -> None:
    """get, set and wait by path; set returns what was there; None takes away; what is read is a copy."""

    def main() -> None:
        assert datacenter.set("a", "b", 1) is None
        assert datacenter.set("a", "b", 2) == 1
        branch = datacenter.get("a")
        branch["b"] = 99
        assert datacenter.get("a") == {"b": 2}
        assert datacenter.get("a", "x", "y") is None
        assert datacenter.set("a", "b", None) == 2
        assert datacenter.get("a", "b") is None
        with pytest.raises(SkynetError, match="a path and a value"):
            datacenter.set("a")

    run(main)


def test_waiting_in_the_datacenter() -> None:
    """Until there is a value, also when it comes within a branch; a branch where a value was waited for fails."""
    got: list[Any] = []

    def waits(*path: str) -> None:
        try:
            got.append((*path, datacenter.wait(*path)))
        except CallError:
            got.append((*path, "failed"))

    def main() -> None:
        for path in (("a", "b"), ("c",), ("d", "e"), ("f", "g"), ("f",)):
            skynet.fork(waits, *path)
        skynet.sleep(1)
        assert got == [("f", "failed")]
        datacenter.set("a", "b", 1)
        datacenter.set("c", "x", 2)
        datacenter.set("d", {"e": 3})
        assert datacenter.wait("a", "b") == 1
        datacenter.set("f", "g", 4)

    run(main)
    assert got[1:] == [("a", "b", 1), ("c", "failed"), ("d", "e", 3), ("f", "g", 4)]


# ---- global names


def test_global_names_of_a_network_of_one() -> None:
    """harbor: globalname, queryname (which waits), link, connect; a master there is not."""
    got: list[int | None] = []

    def main() -> None:
        skynet.fork(lambda: got.append(harbor.queryname("LATER")))
        skynet.sleep(2)
        assert got == []
        harbor.globalname("LATER")
        harbor.globalname("MINE", 3)
        assert harbor.queryname("MINE") == 3
        assert harbor.queryname(".launcher") == 3
        skynet.yield_()
        harbor.link(1)
        harbor.connect(1)
        with pytest.raises(CallError):
            harbor.linkmaster()

    node = run(main)
    assert got == [8]
    assert "[:00000004] Can't connect to other harbor in single node mode" in node.log_lines


def test_mqueue_points_to_queue() -> None:
    """Deprecated in skynet too; the error names what to use."""
    from skynet_lite import mqueue

    with pytest.raises(AttributeError, match=r"cs = skynet.queue\(\)"):
        mqueue.register  # noqa: B018


def test_libraries_keep_their_tables_for_each_service(tmp_path: Path) -> None:
    """Modules are shared in Python, Lua VMs are not: two services have caches of their own."""

    def one() -> None:
        service.new("count", counting, 0)

    with Node(clock="virtual", log=list) as node:
        a, b = node.newservice(one), node.newservice(one)
        assert node.service(a).libs["service"] == node.service(b).libs["service"]
        assert node.service(a).libs["service"] is not node.service(b).libs["service"]
