"""The pytest plugin: a test fails for what its node says, carries the run, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import assert_page_passes

from skynet_lite import CallError, DriveTimeout, skynet
from skynet_lite.testing import NodeUnderTest

pytest_plugins = ["pytester"]

BEGIN = """\
from pathlib import Path

import pytest
from skynet_lite import skynet, socket

def echo():
    @skynet.dispatch("lua")
    def _(session, source, *args):
        skynet.retpack(*args)

"""


def outcome(pytester: pytest.Pytester, text: str, **wanted: int) -> str:
    """Run these tests in a pytest of their own, which has nothing but the installed plugin."""
    pytester.makepyfile(BEGIN + text)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist")
    done.assert_outcomes(**wanted)
    return done.stdout.str()


def test_a_function_runs_inside_a_service(node: NodeUnderTest) -> None:
    """What blocks works in it, virtual time passes for nothing, and its service is gone afterwards."""

    def echo() -> None:
        skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(*args))

    addr = node.newservice(echo)
    before = list(node.handles.contexts)

    def ask(word: str) -> tuple[str, int]:
        skynet.sleep(100)
        return skynet.call(addr, "lua", word), skynet.now()

    assert node.do(ask, "hello") == ("hello", 100)
    assert list(node.handles.contexts) == before


def test_what_the_function_raises_is_raised(node: NodeUnderTest) -> None:
    """The exception itself, with its traceback; a service that ends before is a CallError, a wait in vain a DriveTimeout."""
    with pytest.raises(ZeroDivisionError) as e:
        node.do(lambda: 1 // 0)
    assert e.traceback[-1].name == "<lambda>"
    with pytest.raises(CallError, match="ended before its start was over"):
        node.do(skynet.exit)


@pytest.mark.skynet(faults=True)
def test_a_wait_in_vain_says_so(node: NodeUnderTest) -> None:
    """The node stands still, so the test fails at once instead of hanging; and that nobody can wake it is a fault."""
    with pytest.raises(DriveTimeout):
        node.do(skynet.wait)


@pytest.mark.skynet(clock="real", thread=2)
def test_the_marker_gives_the_node_other_keywords(node: NodeUnderTest) -> None:
    """Those of Node, of a test or a class or a module."""
    assert node.config.thread == 2
    assert not node.clock.virtual
    assert node.do(lambda: "workers") == "workers"


def test_a_failure_carries_the_run(pytester: pytest.Pytester) -> None:
    """The last events as text, and the path of a page that can be stepped through."""
    said = outcome(
        pytester,
        "def test_it(node):\n    addr = node.newservice(echo)\n    assert node.call(addr, 'lua', 'right') == 'wrong'\n",
        failed=1,
    )
    assert "skynet_lite trace" in said and "yield     RETURN" in said
    (page,) = (line.split(" open ")[1] for line in said.splitlines() if "to step through it, open " in line)
    assert "<html " in Path(page).read_text()


def test_a_fault_fails_the_test_that_did_not_name_it(pytester: pytest.Pytester) -> None:
    """A caller that is never answered: the asserts hold, and the program is wrong all the same."""
    forgets = (
        "def forgets():\n    skynet.dispatch('lua', lambda session, source: None)\n\n"
        "def asks(addr):\n    skynet.fork(skynet.call, addr, 'lua')\n\n"
    )
    text = "def test_it(node):\n    node.newservice(asks, node.newservice(forgets))\n    node.run_until_idle()\n"
    said = outcome(pytester, forgets + text, passed=1, errors=1)
    assert "the node of this test ended with" in said
    outcome(pytester, forgets + "@pytest.mark.skynet(faults=True)\n" + text, passed=1)


def test_what_is_left_behind_is_named(pytester: pytest.Pytester) -> None:
    """A socket that the test itself forgot; what the node opened is closed with it."""
    said = outcome(
        pytester,
        "import socket as system\nheld = []\n\n"
        "def test_leak(node):\n"
        "    held.append(system.create_server(('127.0.0.1', 0)))\n\n"
        "def test_listening(node):\n"
        "    node.do(lambda: socket.start(socket.listen('127.0.0.1', 0)))\n",
        passed=2,
        errors=1,
    )
    assert "left behind: descriptor" in said


def test_tests_of_something_else_do_not_load_the_package(pytester: pytest.Pytester) -> None:
    """The plugin is in every pytest of its environment: what it costs those who do not use it is one small file."""
    pytester.makepyfile(
        test_other="import sys\n\ndef test_it():\n    assert 'skynet_lite.node.node' not in sys.modules\n"
        "    assert 'greenlet' not in sys.modules\n"
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist", "test_other.py").assert_outcomes(passed=1)


def test_the_page_on_testing_is_true(pytester: pytest.Pytester) -> None:
    """Its programs are one test file, and pass."""
    assert_page_passes(pytester, "testing.md", 4)
