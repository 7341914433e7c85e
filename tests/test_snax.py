"""snax: services called by methods, which can be mended while they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skynet_lite import CallError, MethodError, Node, SkynetError, skynet, snax

COUNTER = """\
from skynet_lite import skynet, snax
from skynet_lite.snax import accept, response

total = 0
words = []

def step(n):
    return n

def init(start=0):
    global total
    total = start

def exit(word="bye"):
    skynet.error("exit " + word)

@accept
def add(n):
    global total
    total += step(n)

@response
def get(*more):
    return (total, *more) if more else total

@snax.response
def slow():
    skynet.sleep(5)
    return str(snax.self())

@response
def add_(n):
    raise ValueError(n)

@accept
def leave():
    snax.exit("from inside")
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Node]:
    """Runs a function as a service of a node that finds snax services in a folder of their own."""
    folder = tmp_path / "snaxes"
    folder.mkdir()
    (folder / "counter.py").write_text(COUNTER)

    def go(main: Callable[[], Any], **keys: Any) -> Node:
        with Node(clock="virtual", log=list, snax=str(folder / "?.py"), **keys) as node:
            node.newservice(main)
            node.run()
        return node

    return go


def test_methods_are_posted_to_and_called(run: Callable[..., Node]) -> None:
    """post sends, req calls; a method's tuple is several values; a request may wait inside."""

    def main() -> None:
        obj = snax.newservice("counter", 10)
        assert obj.post.add(5) == 0
        assert obj.req.get() == 15
        assert obj.req.get("a", None) == (15, "a", None)
        assert obj.req.slow() == repr(obj) == f"[counter:{obj.handle:x}]"
        assert snax.bind(obj.handle, "counter") == obj
        with pytest.raises(CallError):
            obj.req.add_(1)
        assert obj.req.get() == 15

    node = run(main)
    assert "[:0000000a] LAUNCH snlua snaxd counter" in node.log_lines


def test_a_snax_service_goes_by_its_own_name(tmp_path: Path) -> None:
    """`counter`, not `snaxd`, which runs it: in tables, lanes, sentences, verdicts and errors. Lines of code stay with
    the file that they stand in, and a launch is told in skynet's words."""

    def main() -> None:
        obj = snax.newservice("counter")
        obj.req.slow()
        with pytest.raises(CallError, match="call failed: :0000000a counter raised ValueError: 1"):
            obj.req.add_(1)

    (tmp_path / "counter.py").write_text(COUNTER)
    with Node(clock="virtual", log=list, snax=str(tmp_path / "?.py")) as node, node.record() as trace:
        node.newservice(main)
        node.run()
        assert node.tables() == trace.state()
        assert repr(node.service(10)) == "<service :0000000a counter>"
    assert "[:0000000a] LAUNCH snlua snaxd counter" in node.log_lines
    assert trace.names()[":0000000a"] == trace.state()["services"][":0000000a"]["name"] == "counter"
    assert "counter :0000000a" in str(trace.verdicts()) and "counter :0000000a" in trace.describe()
    places = {event["at"].partition(":")[0] for event in trace.only("counter") if "at" in event}
    assert places == {"snaxd", "counter"}


def test_methods_have_numbers_in_the_order_of_the_file(run: Callable[..., Node]) -> None:
    """1 to 4 are init, exit, hotfix and profile; what travels is the number."""

    def main() -> None:
        found = snax.interface("counter")
        assert found.system == {"init": 1, "exit": 2, "hotfix": 3, "profile": 4}
        assert (found.accept, found.response) == ({"add": 5, "leave": 9}, {"get": 6, "slow": 7, "add_": 8})
        obj = snax.newservice("counter")
        skynet.send(obj.handle, "snax", 5, 4)
        assert skynet.call(obj.handle, "snax", 6) == 4

    run(main)


def test_a_method_that_does_not_exist_is_named(run: Callable[..., Node]) -> None:
    """At the caller, before anything is sent; it is an AttributeError, too."""

    def main() -> None:
        obj = snax.newservice("counter")
        with pytest.raises(MethodError, match="post counter:get no exist; there are: add, leave"):
            obj.post.get()
        with pytest.raises(MethodError, match="request counter:add no exist"):
            obj.req.add()
        assert not hasattr(obj.req, "nosuch")

    run(main)


def test_kill_runs_exit_and_ends_the_service(run: Callable[..., Node]) -> None:
    """snax.kill from outside, snax.exit from inside; a dead one cannot be called."""

    def main() -> None:
        obj = snax.newservice("counter")
        snax.kill(obj, "now")
        with pytest.raises(SkynetError):
            obj.req.get()
        snax.newservice("counter").post.leave()
        with pytest.raises(SkynetError, match="no snax service"):
            snax.self()

    node = run(main)
    assert [line[12:] for line in node.log_lines if " exit " in line] == ["exit now", "exit from inside"]


def test_init_comes_first_and_once(run: Callable[..., Node]) -> None:
    """Whoever talks to snaxd directly is told."""

    def main() -> None:
        snax.protocol()
        handle = skynet.newservice("snaxd", "counter")
        for id in (6, 2):
            with pytest.raises(CallError):
                skynet.call(handle, "snax", id)
        assert skynet.call(handle, "snax", 1) is None
        with pytest.raises(CallError):
            skynet.call(handle, "snax", 1)

    node = run(main)
    told = [line.splitlines()[-1] for line in node.log_lines if "SkynetError" in line]
    assert told == ["SkynetError: Init first", "SkynetError: Never init", "SkynetError: Already init"]


def test_unique_and_global_ones(run: Callable[..., Node]) -> None:
    """By the service manager, which knows them as snaxd.NAME."""
    got: list[Any] = []

    def main() -> None:
        skynet.fork(lambda: got.append(snax.queryservice("counter")))
        skynet.fork(lambda: got.append(snax.queryglobal("counter")))
        skynet.sleep(1)
        one, world = snax.uniqueservice("counter", 3), snax.globalservice("counter", 4)
        assert (one.req.get(), world.req.get()) == (3, 4)
        assert snax.uniqueservice("counter", 99) == one
        skynet.sleep(1)
        assert sorted(map(str, got)) == sorted(map(str, (one, world)))
        assert set(skynet.call(".service", "lua", "LIST")) == {"snaxd.counter", "@snaxd.counter"}

    run(main)


HOTFIX = """\
from skynet_lite.snax import accept, response

total = -1  # the service has one, which stays

def step(n):
    return n * factor

factor = 100

@accept
def add(n):
    global total
    total += step(n) + 1

def hotfix(*args):
    global total
    before, total = total, total + 1000
    return before, *args
"""


def test_hotfix_keeps_the_state(run: Callable[..., Node]) -> None:
    """Functions are exchanged, new names are added, those of the service keep their values; hotfix(...) may change them."""

    def main() -> None:
        obj = snax.newservice("counter", 1)
        obj.post.add(1)
        assert snax.hotfix(obj, HOTFIX, "word") == (2, "word")
        assert obj.req.get() == 1002
        obj.post.add(2)
        assert obj.req.get() == 1203
        assert snax.hotfix(obj, "def exit():\n    skynet.error('mended exit')\n") is None
        snax.kill(obj)

    node = run(main)
    assert any("mended exit" in line for line in node.log_lines)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("1 +", "SyntaxError"),
        ("from skynet_lite.snax import accept\n@accept\ndef add(n): pass\n@accept\ndef nosuch(): pass", "Patch mismatch accept.nosuch"),
        ("from skynet_lite.snax import accept\n@accept\ndef add(n): pass\n1 / 0", "ZeroDivisionError"),
        ("def hotfix(): raise KeyError('in hotfix')", "KeyError"),
    ],
)  # fmt: skip
def test_a_hotfix_that_fails_is_told_to_its_sender(run: Callable[..., Node], source: str, text: str) -> None:
    """And the service goes on as it was."""

    def main() -> None:
        obj = snax.newservice("counter")
        with pytest.raises(SkynetError, match=rf"hotfix of \[counter:.*{text}"):
            snax.hotfix(obj, source)
        obj.post.add(1)
        assert obj.req.get() == 1

    run(main)


@pytest.mark.parametrize(
    "source",
    [
        "class step: pass",
        "from functools import lru_cache\n@lru_cache\ndef step(n): return 7",
        "from functools import partial\nstep = partial(max, 1)",
        "from skynet_lite.snax import accept\nfrom functools import lru_cache\n@accept\n@lru_cache\ndef add(n): pass",
    ],
)
def test_a_hotfix_of_what_cannot_be_replaced_says_so(run: Callable[..., Node], source: str) -> None:
    """A class or a decorated function would be left out: that is no success, and nothing else is replaced either."""

    def main() -> None:
        obj = snax.newservice("counter")
        with pytest.raises(SkynetError, match="cannot be replaced: the new one is no plain function"):
            snax.hotfix(obj, "def exit(): pass\n" + source)
        obj.post.add(1)
        assert obj.req.get() == 1

    run(main)


def test_a_method_may_be_decorated(run: Callable[..., Node], tmp_path: Path) -> None:
    """Its group collects in the globals of the file, wherever the decorator comes from; so does that of a hotfix."""
    (tmp_path / "snaxes" / "cached.py").write_text(
        "from functools import lru_cache\nfrom skynet_lite.snax import response\n"
        "@response\n@lru_cache\ndef get(n):\n    return n\n\n"
        "def helper():\n    return 1\n\ntable = [helper]\n\n@response\ndef held():\n    return table[0]()\n"
    )

    def main() -> None:
        obj = snax.newservice("cached")
        assert (obj.req.get(5), obj.req.held()) == (5, 1)
        snax.hotfix(obj, "def helper():\n    return 2")
        assert obj.req.held() == 2, "who holds the function has the new code"

    run(main)


def test_two_instances_share_nothing(run: Callable[..., Node]) -> None:
    """Each has the globals of its file for itself, also after a hotfix of one."""

    def main() -> None:
        a, b = snax.newservice("counter"), snax.newservice("counter", 7)
        snax.hotfix(a, HOTFIX)
        a.post.add(1)
        b.post.add(1)
        assert (a.req.get(), b.req.get()) == (1101, 8)

    run(main)


def test_what_each_method_took(run: Callable[..., Node]) -> None:
    """profile_info counts the calls of each method, failed ones too, and adds up their time."""

    def main() -> None:
        obj = snax.newservice("counter")
        for n in range(3):
            obj.post.add(n)
        obj.req.get()
        with pytest.raises(CallError):
            obj.req.add_(0)
        info = snax.profile_info(obj)
        assert {name: row["count"] for name, row in info.items()} == {"add": 3, "get": 1, "add_": 1}
        assert all(isinstance(row["time"], float) and row["time"] >= 0 for row in info.values())

    run(main)


def test_snax_files_are_found_and_checked(run: Callable[..., Node], tmp_path: Path) -> None:
    """Where to look is told; a method twice, or hidden from the source's top, is refused."""
    files = {
        "twice": "from skynet_lite.snax import *\n@accept\ndef f(): pass\n@accept\ndef f(): pass\n",
        "hidden": "from skynet_lite.snax import accept\nif True:\n    @accept\n    def f(): pass\n",
    }
    for name, text in files.items():
        (tmp_path / "snaxes" / f"{name}.py").write_text(text)

    def main() -> None:
        with pytest.raises(SkynetError, match="no snax service 'nosuch': looked for"):
            snax.newservice("nosuch")
        with pytest.raises(SkynetError, match="accept.f duplicate definition"):
            snax.newservice("twice")
        with pytest.raises(CallError):
            snax.newservice("hidden")
        snax.printf("%d%%", 5)

    node = run(main)
    assert any("define its methods with def at the top of the file" in line for line in node.log_lines)
    assert "[:00000008] 5%" in node.log_lines


def test_the_same_file_answers_lua_messages_when_asked_to(run: Callable[..., Node], tmp_path: Path) -> None:
    """snax.enablecluster: for callers that only know the type "lua"."""
    path = tmp_path / "snaxes" / "counter.py"
    path.write_text(COUNTER.replace("    global total\n    total = start\n", "    snax.enablecluster()\n", 1))

    def main() -> None:
        obj = snax.newservice("counter")
        assert skynet.call(obj.handle, "lua", 6) == 0

    run(main)


def test_preloaded_names_are_there_for_snax_files(run: Callable[..., Node], tmp_path: Path) -> None:
    """What the preload file defines is seen in a snax file as in every service."""
    (tmp_path / "pre.py").write_text("GREETING = 'hello'\n")
    path = tmp_path / "snaxes" / "counter.py"
    path.write_text(COUNTER.replace("return (total, *more) if more else total", "return GREETING"))
    run(lambda: skynet.error(snax.newservice("counter").req.get()), preload=str(tmp_path / "pre.py"))
