"""sharedata and sharetable: one table, read by many services, changed by nobody, exchanged as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from skynet_lite import (
    CallError,
    FrozenError,
    Node,
    PackError,
    SkynetError,
    Trace,
    datacenter,
    mark,
    multicast,
    sharedata,
    sharetable,
    skynet,
)  # fmt: skip
from skynet_lite.lualib.frozen import View, copy

VALUE = {"name": "ann", "items": [1, {"id": 7}], "pair": (1, 2), 5: None}


def run(main: Callable[[], Any]) -> Node:
    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run()
    return node


def test_a_view_reads_like_the_table() -> None:
    """Dicts as mappings, lists and tuples as sequences, nested; values are themselves."""

    def main() -> None:
        sharedata.new("t", VALUE)
        t = sharedata.query("t")
        assert t["name"] == "ann" and t[5] is None and t["items"][1]["id"] == 7
        assert t == VALUE and VALUE == t and t["items"] == [1, {"id": 7}] and t != {}
        assert list(t) == list(VALUE) and len(t) == 4 and "name" in t and t.get("x", 3) == 3
        assert t["items"][-1] == {"id": 7} and t["items"][0:1] == [1] and 1 in t["items"] and list(t["pair"]) == [1, 2]
        assert dict(t["items"][1].items()) == {"id": 7}
        assert repr(t["items"]) == "<shared [1, {'id': 7}]>"
        with pytest.raises(KeyError):
            t["x"]
        with pytest.raises(IndexError, match="list index out of range"):
            t["items"][2]
        with pytest.raises(TypeError, match="unhashable"):
            hash(t)

    run(main)


def test_nobody_can_write() -> None:
    """Every way is refused, with the remedy; what the maker gave stays his own."""

    def main() -> None:
        mine: Any = {"a": {"list": [1]}}
        sharedata.new("t", mine)
        mine["a"]["list"].append(2)
        t = sharedata.query("t")
        assert t["a"]["list"] == [1]
        writes: list[Callable[[], Any]] = [
            lambda: t.update(x=1),
            lambda: t.pop("a"),
            lambda: t["a"].setdefault("b", 1),
            lambda: t["a"]["list"].append(1),
            lambda: t["a"]["list"].sort(),
            lambda: t.__setitem__("a", 1),
            lambda: t["a"].__delitem__("list"),
        ]
        for write in writes:
            with pytest.raises(FrozenError, match=r"t is shared and read-only.*sharedata.deepcopy"):
                write()
        with pytest.raises(TypeError, match=r"the key \[a.list\]"):
            t["a"]["list"] += [3]
        own = sharedata.deepcopy("t")
        own["a"]["list"].append(9)
        assert sharedata.deepcopy("t", "a", "list") == [1]
        assert type(copy(t["a"])) is dict and copy(5) == 5
        with pytest.raises(SkynetError, match=r"nothing at a.b"):
            sharedata.deepcopy("t", "a", "b")

    run(main)


def test_all_services_read_the_same_object() -> None:
    """No copies: the data of two services' views is one and the same; what travels is the version itself."""
    seen: list[Any] = []

    def reader() -> None:
        seen.append(sharedata.query("t")["deep"]._now())

    def main() -> None:
        sharedata.new("t", {"deep": [1, 2, 3]})
        skynet.newservice(reader)
        skynet.newservice(reader)

    run(main)
    assert seen[0] is seen[1] == [1, 2, 3]


def test_views_travel_as_plain_copies() -> None:
    """In call, answer, send, datacenter, multicast and other tables, nested too; sharedata's as sharetable's."""
    heard: list[Any] = []

    def server() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, *values: Any) -> None:
            assert all(type(value) in (dict, list, tuple, str) for value in values)
            values[0]["items"].append(9)
            if session:
                skynet.retpack(sharedata.query("t")["items"], {"nested": [sharetable.query("u")["pair"]]})

    def main() -> None:
        sharedata.new("t", VALUE)
        sharetable.loadtable("u", sharedata.query("t"))
        t, u = sharedata.query("t"), sharetable.query("u")
        addr = skynet.newservice(server)
        for view in (t, u):
            items, nested = skynet.call(addr, "lua", view, [view, {"a": view["items"]}], "text")
            assert (type(items), items, nested) == (list, VALUE["items"], {"nested": [(1, 2)]})
        skynet.send(addr, "lua", t)
        datacenter.set("x", {"deep": t["items"]})
        assert type(datacenter.get("x", "deep")) is list and datacenter.get("x") == {"deep": VALUE["items"]}
        channel = multicast.new(dispatch=lambda channel, source, *values: heard.extend(values))
        channel.subscribe()
        channel.publish(t["items"], u)
        sharedata.new("w", t["items"])
        sharedata.update("w", u)
        assert t == u == VALUE and sharedata.query("w") == VALUE
        assert skynet.unpack(skynet.pack(t["pair"])) == ((1, 2),) and type(skynet.packstring(t)) is bytes

    run(main)
    assert heard == [VALUE["items"], VALUE] and list(map(type, heard)) == [list, dict]


def test_a_shared_table_holds_plain_values() -> None:
    """A value of a class may be one that can change, and all services would see that."""

    @skynet.register_type
    class Point(NamedTuple):
        xs: list[int]

    def main() -> None:
        with pytest.raises(CallError):
            sharedata.new("t", [Point([1])])
        with pytest.raises(CallError):
            sharetable.loadtable("u", {"p": Point([1])})

    assert "a Point cannot be shared" in "\n".join(run(main).log_lines)


def test_views_follow_an_update_when_the_news_has_come() -> None:
    """Not between two lines, only where a coroutine waits; all views of the service, also nested ones, show one version."""

    def main() -> None:
        sharedata.new("t", {"n": 1, "deep": {"list": [1]}})
        t = sharedata.query("t")
        inner = t["deep"]["list"]
        sharedata.update("t", {"n": 2, "deep": {"list": [2, 2]}, "new": True})
        skynet.sleep(1)
        assert (t["n"], list(inner), t["new"]) == (2, [2, 2], True)
        assert sharedata.query("t") == t
        for n in range(3, 6):
            sharedata.update("t", {"n": n, "deep": {"list": []}})
        assert sharedata.deepcopy("t")["n"] in range(2, 6)
        skynet.sleep(1)
        assert (t["n"], len(inner)) == (5, 0)

    run(main)


def test_what_an_update_takes_away_is_named() -> None:
    """A view whose place has gone, or has become something else, says so when it is touched."""

    def main() -> None:
        sharedata.new("t", {"a": {"b": [1]}, "c": [1], "d": {}})
        t = sharedata.query("t")
        gone, other, turned = t["a"]["b"], t["c"], t["d"]
        sharedata.update("t", {"a": {}, "c": 5, "d": []})
        skynet.sleep(1)
        with pytest.raises(FrozenError, match=r"The key \[a.b\] doesn't exist after update"):
            len(gone)
        for view in (other, turned):
            with pytest.raises(FrozenError, match="is of another type after update"):
                len(view)
        assert t["c"] == 5

    run(main)


def test_news_reach_every_service_that_has_queried() -> None:
    """Each waits for the next version of each of its tables; who has not asked is not told."""
    got: list[Any] = []

    def reader() -> None:
        t = sharedata.query("t")
        skynet.dispatch("lua", lambda session, source: got.append((skynet.self(), t["n"])))

    def main() -> None:
        sharedata.new("t", {"n": 0})
        readers = [skynet.newservice(reader) for _ in range(3)]
        sharedata.update("t", {"n": 1})
        skynet.sleep(1)
        skynet.kill(readers[0])
        sharedata.update("t", {"n": 2})
        skynet.sleep(1)
        for addr in readers:
            skynet.send(addr, "lua")

    run(main)
    assert [n for _, n in got] == [2, 2]


def test_deleting_a_table_leaves_its_views() -> None:
    """They keep the last version; the name can be made anew, and is then another table."""

    def main() -> None:
        sharedata.new("t", [1])
        t = sharedata.query("t")
        sharedata.delete("t")
        skynet.sleep(1)
        assert t == [1]
        with pytest.raises(CallError):
            sharedata.query("t")
        sharedata.new("t", [2])
        assert (sharedata.query("t"), t) == ([2], [1])
        sharedata.flush()

    node = run(main)
    assert any("there is no table 't'; make it with sharedata.new" in line for line in node.log_lines)


def test_mistakes_are_said_in_the_log_of_the_service() -> None:
    """A name twice, a value that is no table, what may not travel: the caller fails, everything else stays."""

    def main() -> None:
        sharedata.new("t", [1])
        for make in (
            lambda: sharedata.new("t", [2]),
            lambda: sharedata.new("u", 5),
            lambda: sharedata.update("t", "1 +"),
        ):
            with pytest.raises(CallError):
                make()
        with pytest.raises(PackError, match="set may not travel"):
            sharedata.new("u", {1, 2})
        assert sharedata.query("t") == [1]
        sharedata.update("v", {"a": 1})
        assert sharedata.query("v") == {"a": 1}
        sharedata.new("empty")
        assert sharedata.query("empty") == {}

    node = run(main)
    text = "\n".join(node.log_lines)
    assert "there is a table 't' already; use sharedata.update" in text
    assert "u: a table is needed (dict, list or tuple), not int" in text


def test_tables_come_from_texts_and_files(tmp_path: Path) -> None:
    """An expression, a program's public names, .toml, .json; the arguments are there as `args`."""
    (tmp_path / "t.toml").write_text("[a]\nb = [1, 2]\n")
    (tmp_path / "t.json").write_text('{"a": [true, null]}')
    (tmp_path / "t.py").write_text(
        "import math\n_hidden = 1\nradius = args[0]\nedges = [math.floor(radius)] * 2\ndef f(): pass\n"
    )
    expected = {"t.toml": {"a": {"b": [1, 2]}}, "t.json": {"a": [True, None]}, "t.py": {"radius": 2.5, "edges": [2, 2]}}

    def main() -> None:
        sharedata.new("text", "{'n': args[0] * 2}", 21)
        assert sharedata.query("text") == {"n": 42}
        for name, value in expected.items():
            sharedata.new(name, f"@{tmp_path / name}", 2.5)
            assert sharedata.query(name) == value
            sharetable.loadfile(str(tmp_path / name), 2.5)
            assert sharetable.query(str(tmp_path / name)) == value
        with pytest.raises(CallError):
            sharedata.new("x", f"@{tmp_path}/nosuch.toml")

    run(main)


def test_two_coroutines_may_query_at_once() -> None:
    """They get views of one root: there is one monitor for each table."""

    def main() -> None:
        sharedata.new("t", {"n": 1})
        got: list[Any] = []
        for _ in range(2):
            skynet.fork(lambda: got.append(sharedata.query("t")))
        skynet.sleep(1)
        sharedata.update("t", {"n": 2})
        skynet.sleep(1)
        assert [t["n"] for t in got] == [2, 2]
        assert got[0]._root is got[1]._root

    run(main)


# ---- sharetable


def test_a_shared_table_stays_until_the_service_updates() -> None:
    """A new version is loaded by whoever likes; each service goes on to it when it calls update."""

    def main() -> None:
        sharetable.loadtable("t", {"a": {"n": 1}})
        old = sharetable.query("t")
        inner = old["a"]
        sharetable.loadtable("t", {"a": {"n": 2}})
        new = sharetable.query("t")
        assert (old["a"]["n"], inner["n"], new["a"]["n"]) == (1, 1, 2)
        sharetable.loadstring("t", "{'a': {'n': args[0]}}", 3)
        sharetable.update("t", "never queried")
        assert (old["a"]["n"], inner["n"], new["a"]["n"]) == (3, 3, 3)
        assert sharetable.query("nosuch") is None
        with pytest.raises(SkynetError, match="a table is needed"):
            sharetable.loadtable("x", 1)
        with pytest.raises(FrozenError):
            inner["n"] = 5

    run(main)


def test_queryall() -> None:
    """All tables, or those that are named and there."""

    def main() -> None:
        assert sharetable.queryall() == {}
        sharetable.loadtable("a", [1])
        assert sharetable.queryall() == {"a": [1]}
        sharetable.loadtable("b", [2])
        assert sharetable.queryall() == {"a": [1], "b": [2]}
        assert sharetable.queryall(["b", "c"]) == {"b": [2]}
        assert all(isinstance(t, View) for t in sharetable.queryall().values())

    run(main)


def test_versions_that_nobody_sees_any_more_are_let_go() -> None:
    """By Python's own counting: roots live as long as views of them."""
    import gc
    import weakref

    def main() -> None:
        sharetable.loadtable("t", {"n": 1})
        view = sharetable.query("t")
        root = weakref.ref(view._root)
        sharetable.loadtable("t", {"n": 2})
        other = sharetable.query("t")
        del view
        gc.collect()
        assert root() is None and other["n"] == 2

    run(main)


def test_shared_tables_leave_traces_the_same_each_time() -> None:
    """Versions have names and numbers, no addresses in memory; a recording can be stored and read."""

    def main() -> None:
        sharedata.new("t", {"n": 1})
        t = sharedata.query("t")
        sharedata.update("t", {"n": 2})
        skynet.sleep(1)
        mark(f"{t['n']} {t._root.version}")

    texts = []
    for _ in range(2):
        with Node(clock="virtual", log=list) as node, node.record() as trace:
            node.newservice(main)
            node.run()
        texts.append(trace.text())
    assert texts[0] == texts[1]
    assert '"2 <t version 2>"' in texts[0]


def test_a_run_with_shared_tables_can_be_replayed(tmp_path: Path) -> None:
    """What travels in place of a pointer is made anew by the same program: also from a stored recording."""

    def main() -> None:
        sharedata.new("t", {"n": [1]})
        t = sharedata.query("t")
        sharedata.update("t", {"n": [2]})
        skynet.sleep(1)
        sharetable.loadtable("u", [3])
        skynet.error(str(t), str(sharetable.query("u")))

    with Node(log=list, record=True) as node:
        node.newservice(main)
        node.run()
        trace = node.trace
    trace.save(str(tmp_path / "run.json"))
    for recorded in (trace, Trace.load(str(tmp_path / "run.json"))):
        replayed = Node.replay(recorded, main)
        assert replayed.same, replayed
        assert len(replayed.trace) == len(trace)
