"""Each line of the tables in docs/from_skynet.md, tried: what is said of us is so."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from harness import free_port

from skynet_lite import (
    AddressError,
    CallError,
    ConfigError,
    Node,
    PackError,
    SkynetError,
    SocketError,
    cluster,
    skynet,
    snax,
    socket,
)
from skynet_lite.testing import NodeUnderTest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import skynet_api  # noqa: E402

PAGE = (ROOT / "docs" / "from_skynet.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]{2,}) \| [^|]* \| [^|]+ \|$", PAGE.replace("| --- | --- | --- |", ""), re.MULTILINE)
MISSING = PAGE.partition("## What is not there")[2].partition("\n## ")[0]
CLAIMS: dict[str, Callable[[NodeUnderTest], None]] = {}
pytestmark = pytest.mark.skynet(faults=True)


def claim(*rows: str) -> Callable[[Callable[[NodeUnderTest], None]], Callable[[NodeUnderTest], None]]:
    def keep(f: Callable[[NodeUnderTest], None]) -> Callable[[NodeUnderTest], None]:
        CLAIMS.update(dict.fromkeys(rows, f))
        return f

    return keep


def echo() -> None:
    """Answers what it is sent; `fail` raises."""

    @skynet.dispatch("lua")
    def handle(session: int, source: int, *args: Any) -> None:
        if args == ("fail",):
            raise ValueError("no")
        skynet.retpack(*args)


def pair() -> tuple[int, int]:
    """Two ends of a connection, both started in the current service."""
    accepted: list[int] = []
    me = skynet.self()

    def accept(id: int, peer: str) -> None:
        accepted.append(socket.start(id))
        skynet.wakeup(me)

    lid = socket.listen("127.0.0.1", 0)
    socket.start(lid, accept)
    id = socket.open(*socket.sockname(lid))
    if not accepted:
        skynet.wait(me)
    return id, accepted[0]


@pytest.mark.parametrize("row", ROWS)
def test_a_line_of_the_tables(row: str, node: NodeUnderTest) -> None:
    CLAIMS[row](node)


def test_no_claim_is_tried_that_the_page_does_not_make() -> None:
    assert sorted(CLAIMS) == sorted(ROWS)


def test_what_is_not_there() -> None:
    """Keys that are refused, libraries that the table of functions leaves out, and `pcall`."""
    for key in ("standalone", "master", "address", "cpath", "lua_path", "lualoader"):
        with pytest.raises(ConfigError):
            Node(**{key: "x"})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="joined by cluster"):
        Node(harbor=1)
    libraries = skynet_api.load()
    told = re.findall(r"^\| ([\w, ]+) \|", MISSING, re.MULTILINE)
    names = [name for row in told for name in row.split(", ")]
    assert {"sproto", "crypt", "mysql", "mongo", "rediscluster", "loginserver", "sharemap", "datasheet", "stm"} <= {
        name for name in libraries if "why" in libraries[name]
    } & set(names)
    for name in ("sproto", "crypt"):
        with pytest.raises(ImportError):
            import_module(f"skynet_lite.{name}")
    assert not hasattr(skynet, "pcall")


# --------------------------------------------------------------------------- results and errors


@claim("What `skynet.call` returns")
def _(node: NodeUnderTest) -> None:
    addr = node.newservice(echo)
    assert node.do(lambda: [skynet.call(addr, "lua", *args) for args in ((), (1,), (1, 2))]) == [None, 1, (1, 2)]


@claim("`skynet.call` when the service fails")
def _(node: NodeUnderTest) -> None:
    addr = node.newservice(echo)
    with pytest.raises(CallError) as e:
        node.do(skynet.call, addr, "lua", "fail")
    assert (e.value.service, e.value.reason) == (addr, "raised ValueError: no") and e.value.session > 0
    assert isinstance(e.value.__cause__, ValueError)


@claim("`skynet.call` to a dead address")
def _(node: NodeUnderTest) -> None:
    with pytest.raises(AddressError):
        node.do(skynet.call, 0x99, "lua")


@claim("`skynet.send` to a dead address")
def _(node: NodeUnderTest) -> None:
    addr = node.newservice(echo)
    assert node.do(skynet.send, 0x99, "lua") is None
    assert node.do(skynet.send, addr, "lua") == 0


@claim("`skynet.newservice` of a file that is not there")
def _(node: NodeUnderTest) -> None:
    with pytest.raises(SkynetError, match="looked for"):
        node.do(skynet.newservice, "nowhere")


@claim("`skynet.select`")
def _(node: NodeUnderTest) -> None:
    addr = node.newservice(echo)
    got = node.do(lambda: list(skynet.select((addr, "lua", 1, 2), (addr, "lua", "fail"))))
    assert [answer for _, answer in got] == [(1, 2), None]
    assert isinstance(got[1][0].error, CallError)


@claim("`socket.open`, `start`, `bind`")
def _(node: NodeUnderTest) -> None:
    with pytest.raises(SocketError, match="Connection refused"):
        node.do(socket.open, "127.0.0.1", 1)
    with pytest.raises(SocketError):
        node.do(socket.start, 4711)
    with pytest.raises(SocketError):
        node.do(socket.bind, -1)


@claim("`socket.read`, `readline` at the end", "`socket.readall`")
def _(node: NodeUnderTest) -> None:
    def ends() -> tuple[Any, ...]:
        near, far = pair()
        socket.write(far, b"abc")
        socket.close(far)
        return socket.readline(near), socket.read(near, 9), socket.readall(near), socket.readall(near)

    assert node.do(ends) == (None, None, b"abc", b"")


@claim("`skynet.wakeup`")
def _(node: NodeUnderTest) -> None:
    def wakes() -> tuple[bool, bool]:
        skynet.fork(skynet.wait, "token")
        skynet.yield_()
        return skynet.wakeup("nobody"), skynet.wakeup("token")

    assert node.do(wakes) == (False, True)


@claim("A message type that nobody registered")
def _(node: NodeUnderTest) -> None:
    with pytest.raises(SkynetError, match=r"call skynet\.register_protocol first"):
        node.do(skynet.send, 1, "nothing")


# --------------------------------------------------------------------------- values


def there_and_back(node: NodeUnderTest, value: Any) -> Any:
    return node.do(skynet.call, node.newservice(echo), "lua", [value])[0]


@claim("A table", "`nil` in a table", "A string", "An integer")
def _(node: NodeUnderTest) -> None:
    for value in ([1, 2], [], {}, {1: 2}, (1, 2), [None, 3], {"k": None}, "text", b"\xff", 2**70):
        back = there_and_back(node, value)
        assert back == value and type(back) is type(value)


@claim("What a socket takes")
def _(node: NodeUnderTest) -> None:
    def writes() -> None:
        socket.write(pair()[0], "text")  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="encode"):
        node.do(writes)


class Point:
    x = 1


class Known:
    def __init__(self, x: int) -> None:
        self.x = x


@claim("An object of a class", "A function or a socket")
def _(node: NodeUnderTest) -> None:
    import socket as system

    with system.socket() as open_socket:
        for value in (Point(), print, open_socket):
            with pytest.raises(PackError, match="argument 1"):
                node.do(skynet.send, 1, "lua", value)

    def known() -> Any:
        skynet.register_type(Known, lambda known: known.x, Known)
        return skynet.call(addr, "lua", Known(7)).x

    addr = node.newservice(echo)
    assert node.do(known) == 7


def test_a_message_is_a_copy(node: NodeUnderTest) -> None:
    kept: list[list[int]] = []

    def receiver() -> None:
        skynet.dispatch("lua", lambda session, source, value: kept.append(value))

    def sender(addr: int) -> None:
        value = [1]
        skynet.send(addr, "lua", value)
        value[0] = 2

    node.do(sender, node.newservice(receiver))
    assert kept == [[1]]


# --------------------------------------------------------------------------- services


@claim("What a service is", "Globals of the service's file", "Modules", "A file that was changed")
def _(node: NodeUnderTest) -> None:
    head = "from skynet_lite import skynet\nimport pages_shared\nmine = []\n"
    body = (
        "@skynet.start\ndef main():\n    mine.append(1)\n    pages_shared.ours.append(1)\n"
        "    skynet.dispatch('lua', lambda session, source: skynet.retpack(len(mine), len(pages_shared.ours)))\n"
    )
    Path("pages_shared.py").write_text("ours = []\n")
    Path("one.py").write_text(head + body)
    addrs = [node.newservice("one") for _ in range(2)]
    assert [node.call(addr, "lua") for addr in addrs] == [(1, 2), (1, 2)]
    Path("one.py").write_text(head + body.replace("len(mine)", "'changed'"))
    assert node.call(node.newservice("one"), "lua") == ("changed", 3)
    del sys.modules["pages_shared"]


@claim("Memory")
def _(node: NodeUnderTest) -> None:
    with pytest.raises(SkynetError, match="one Python heap"):
        node.do(skynet.memlimit, 1)


@claim("Threads")
def _(node: NodeUnderTest) -> None:
    """The name of the thread before and after a wait, in services of a node with four."""
    import threading

    assert node.config.thread == 1

    def where() -> None:
        name = threading.current_thread().name
        skynet.sleep(1)
        threads.append((name, threading.current_thread().name))

    threads: list[tuple[str, str]] = []
    with Node(thread=4, log=list) as four:
        for _ in range(8):
            four.newservice(where)
    assert len(threads) == 8 and all(before == after for before, after in threads)
    assert len(set(threads)) > 1


@claim("A snax method", "Calling it")
def _(node: NodeUnderTest) -> None:
    Path("tally.py").write_text(
        "from skynet_lite.snax import accept, response\nn = 0\n@accept\ndef add(k):\n    global n\n    n += k\n"
        "@response\ndef get():\n    return n\n"
    )

    def use() -> Any:
        obj = snax.newservice("tally")
        obj.post.add(2)
        return obj.req.get()

    assert node.do(use) == 2


@claim("Being killed")
def _(node: NodeUnderTest) -> None:
    said: list[str] = []

    def dies() -> None:
        def waits() -> None:
            try:
                skynet.wait()
            finally:
                said.append("finally")

        skynet.fork(waits)

    addr = node.newservice(dies)
    node.run_until_idle()
    node.do(skynet.call, ".launcher", "lua", "KILL", addr)
    assert said == ["finally"]


@claim("`skynet.yield`")
def _(node: NodeUnderTest) -> None:
    assert node.do(skynet.yield_) is None


# --------------------------------------------------------------------------- time and sockets


@claim("A tick", "A clock for tests")
def _(node: NodeUnderTest) -> None:
    def hour() -> int:
        began = skynet.now()
        skynet.sleep(360_000)
        return skynet.now() - began

    assert node.do(hour) == 360_000  # the clock of this node is virtual
    with pytest.raises(SkynetError, match="whole number"):
        node.do(skynet.sleep, 0.5)


@claim("`socket.listen`", "`socket.start(lid, f)`")
def _(node: NodeUnderTest) -> None:
    def listens() -> tuple[Any, ...]:
        began = node.service(skynet.self()).mailbox.popped
        lid = socket.listen("127.0.0.1", 0)
        assert node.service(skynet.self()).mailbox.popped == began  # no message was waited for
        return socket.sockname(lid)

    host, port = node.do(listens)
    assert host == "127.0.0.1" and port > 0
    node.do(pair)  # whose accept function waits in socket.start: it has a coroutine of its own


@claim("`socket.start(lid)`")
def _(node: NodeUnderTest) -> None:
    def deaf() -> None:
        lid = socket.listen("127.0.0.1", 0)
        socket.start(lid)
        socket.open(*socket.sockname(lid))

    node.newservice(deaf)
    node.run_until_idle()
    assert "SocketError: socket 1 has no accept function" in node.log_lines[-1]
    assert node.tables()["sockets"][3][0] == "paccept"


@claim("A second reader of a socket")
def _(node: NodeUnderTest) -> None:
    def reads() -> None:
        near, _ = pair()
        skynet.fork(socket.read, near)
        skynet.yield_()
        socket.read(near)

    with pytest.raises(SocketError):
        node.do(reads)


# --------------------------------------------------------------------------- nodes of a cluster


def itself(*args: Any) -> Any:
    """A node calls a service of its own through its own port."""
    _, port = cluster.open(0)
    cluster.reload({"me": f"127.0.0.1:{port}"})
    return cluster.call("me", *args)


@claim("A call to another node that fails")
def _(node: NodeUnderTest) -> None:
    with pytest.raises(CallError, match=r"^node me at 127\.0\.0\.1:\d+, address '@nobody': Invalid name: call failed$"):
        node.do(itself, "@nobody")


@claim("A call to a node that is off, or unknown with `__nowaiting`")
def _(node: NodeUnderTest) -> None:
    node.do(cluster.reload, {"off": False, "__nowaiting": True})
    for name in ("off", "unknown"):
        with pytest.raises(CallError, match=rf"node \[?{name}.*: dest address type \(nil\) must be a string or number"):
            node.do(cluster.call, name, 1)


@claim("`cluster.open(2528)`")
def _(node: NodeUnderTest) -> None:
    assert node.do(cluster.open, 0)[0] == "127.0.0.1"
    assert node.do(lambda: cluster.open(0, host="0.0.0.0"))[0] == "0.0.0.0"


@claim('`cluster.open("db")`')
def _(node: NodeUnderTest) -> None:
    node.do(cluster.reload, {"db": f"127.0.0.1:{free_port()}"})
    assert node.do(cluster.open, "db") == "db"


@claim("A table from another node", "A string from another node")
def _(node: NodeUnderTest) -> None:
    addr = node.newservice(echo)
    got = node.do(itself, addr, (1, 2), [3], {"k": 4}, b"\xff", "text")
    assert got == ([1, 2], [3], {"k": 4}, "\udcff", "text")
    assert got[3].encode("utf-8", "surrogateescape") == b"\xff"


@claim("An integer for another node")
def _(node: NodeUnderTest) -> None:
    addr = node.newservice(echo)
    assert node.do(itself, addr, 2**63 - 1) == 2**63 - 1
    with pytest.raises(SkynetError, match="64 bits"):
        node.do(itself, addr, 2**63)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
