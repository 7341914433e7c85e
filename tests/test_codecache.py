"""A file is compiled once, however many services it makes: what they share is code, never a variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skynet_lite import CallError, Node, codecache, snax
from skynet_lite.lualib import codecache as cache

AGENT = """\
from skynet_lite import skynet

seen = []

@skynet.start
def main():
    @skynet.dispatch("lua")
    def _(session, source, *args):
        seen.append(args)
        skynet.retpack(WORD, len(seen))

WORD = "one"
"""


def compiled() -> int:
    return cache._compiled.cache_info().misses


def test_two_hundred_agents_are_one_compiled_file(tmp_path: Path) -> None:
    """The cost of a birth is that of running the file, not of reading it; each keeps its own variables."""
    (tmp_path / "agent.py").write_text(AGENT)
    with Node(luaservice=f"{tmp_path}/?.py") as node:
        node.newservice("agent")
        before = compiled()
        agents = [node.newservice("agent") for _ in range(200)]
        assert compiled() == before
        assert [node.call(agents[0], "lua") for _ in range(3)] == [("one", 1), ("one", 2), ("one", 3)]
        assert node.call(agents[199], "lua") == ("one", 1)


def test_a_file_that_was_written_to_is_read_anew(tmp_path: Path) -> None:
    """Nobody has to clear anything to see an edit: the key is the path, its time and its size."""
    path = tmp_path / "agent.py"
    path.write_text(AGENT)
    with Node(luaservice=f"{tmp_path}/?.py") as node:
        old = node.newservice("agent")
        path.write_text(AGENT.replace("one", "another"))
        assert node.call(node.newservice("agent"), "lua") == ("another", 1)
        assert node.call(old, "lua") == ("one", 1)
        path.write_text("def main(:\n")
        with pytest.raises(CallError, match="SyntaxError"):
            node.newservice("agent")


def test_clear_is_for_an_edit_that_left_no_mark(tmp_path: Path) -> None:
    """A text of the same length with the time of the old one (a copy, an unpacked archive) looks the same from outside."""
    path = tmp_path / "agent.py"
    path.write_text(AGENT)
    then = os.stat(path).st_mtime_ns
    with Node(luaservice=f"{tmp_path}/?.py") as node:
        node.newservice("agent")
        path.write_text(AGENT.replace("one", "two"))
        os.utime(path, ns=(then, then))
        assert node.call(node.newservice("agent"), "lua") == ("one", 1)
        codecache.clear()
        assert node.call(node.newservice("agent"), "lua") == ("two", 1)


def test_snax_files_are_kept_too(tmp_path: Path) -> None:
    """A snax service runs its file by itself (service/snaxd.py), in the same way."""
    (tmp_path / "counter.py").write_text(
        "from skynet_lite.snax import response\ntotal = 0\n\n"
        "@response\ndef add(n):\n    global total\n    total += n\n    return total\n"
    )
    got: list[int] = []

    def main() -> None:
        first, second = snax.newservice("counter"), snax.newservice("counter")
        got.extend([first.req.add(2), first.req.add(3), second.req.add(1)])

    with Node(snax=f"{tmp_path}/?.py") as node:
        node.newservice(main)
        assert got == [2, 5, 1]
        before = compiled()
        node.newservice(main)
        assert got[3:] == [2, 5, 1]
        assert compiled() == before
