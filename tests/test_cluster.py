"""cluster: services of other nodes are called by the name of the node, over one connection each way."""

from __future__ import annotations

import socket as pysocket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cluster_harness import Pair, answers, ended, request
from cluster_wire import Echo
from harness import LIMIT, free_port

from skynet_lite import CallError, ConfigError, Node, Outside, SkynetError, cluster, seri, skynet, snax
from skynet_lite.lualib import clustercore
from skynet_lite.network import Network


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


# ---- what a program sees


def test_a_call_returns_as_within_a_node(pair: Pair) -> None:
    """None, the value, or a tuple; lists and dicts arrive as copies, a tuple as a list."""
    assert pair.call("@echo", "ECHO") is None
    assert pair.call("@echo", "ECHO", 1) == 1
    assert pair.call("@echo", "ECHO", 1, None, (2, [3]), {"k": 1.5}) == (1, None, [2, [3]], {"k": 1.5})
    assert pair.call("@echo", "NULL") is None


def test_services_are_called_by_handle_and_by_every_kind_of_name(pair: Pair) -> None:
    """A handle, "@registered", ".local", ":hex" and a global name lead to the same service."""
    pair.on(pair.b, skynet.name, ".local", pair.echo)
    pair.on(pair.b, skynet.name, "GLOBAL", pair.echo)
    for address in (pair.echo, "@echo", ".local", f":{pair.echo:08x}", "GLOBAL", float(pair.echo)):
        assert pair.call(address, "ECHO", "x") == "x"
    assert pair.on(pair.a, cluster.query, "b", "echo") == pair.echo


def test_a_failure_says_node_address_and_reason(pair: Pair) -> None:
    """The text ends as skynet's does; what a service has raised stays at home, but for its kind."""
    at = f"node b at 127.0.0.1:{pair.port}"
    expected = {
        ("@nobody", "ECHO"): f"{at}, address '@nobody': Invalid name: call failed",
        (0x77, "ECHO"): f"{at}, address 119: 119: call to invalid address: call failed",
        (
            "@echo",
            "ERR",
            "secret",
        ): f"{at}, address '@echo': {skynet.address(pair.echo)} raised ValueError: call failed",
        ("", "ECHO"): f"{at}, address '': name length is invalid, must be between 1 and 255 characters: call failed",
        (True, "ECHO"): f"{at}, address True: name is not a string, it's a bool: True: call failed",
        ("@echo", "EXIT"): f"{at}, address '@echo': {skynet.address(pair.echo)} exited: call failed",
    }
    for (address, *args), text in expected.items():
        with pytest.raises(CallError) as caught:
            pair.call(address, *args)
        assert str(caught.value) == text
        assert text.startswith(caught.value.reason)
    with pytest.raises(CallError, match=r"address 0: name not found \(nobody\): call failed"):
        pair.on(pair.a, cluster.query, "b", "nobody")
    assert "secret" not in "".join(pair.log(pair.a)) and "secret" in "".join(pair.log(pair.b))


def test_a_node_that_is_not_there_is_refused_at_once_and_found_when_it_comes(pair: Pair) -> None:
    """One attempt for each use; nothing is tried again by itself."""
    port = free_port()
    pair.on(pair.a, cluster.reload, {"later": f"127.0.0.1:{port}"})
    for _ in range(2):
        with pytest.raises(CallError, match="Connection refused"):
            pair.on(pair.a, cluster.call, "later", "@echo", "ECHO", 1)
    pair.on(pair.a, cluster.send, "later", "@echo", "NOTE", "lost")
    pair.on(pair.b, cluster.open, port)
    assert pair.on(pair.a, cluster.call, "later", "@echo", "ECHO", 1) == 1
    assert pair.notes() == []


def test_what_is_sent_before_the_first_connection_goes_out_in_order(pair: Pair) -> None:
    """Sends and calls of one service stand in one queue until the sender of the node is there."""

    def burst() -> Any:
        done: list[Any] = []
        cluster.send("b", "@echo", "NOTE", 1)
        skynet.fork(lambda: (done.append(cluster.call("b", "@echo", "NOTES")), skynet.wakeup("burst")))
        cluster.send("b", "@echo", "NOTE", 2)
        skynet.wait("burst")
        cluster.send("b", "@echo", "NOTE", 3)
        return done

    assert pair.on(pair.a, burst) == [[1, 2]]
    pair.until(lambda: pair.notes() == [3])  # NOTES has taken the others


def test_large_messages_cross_in_parts_both_ways(pair: Pair) -> None:
    """32,768 bytes are the border, with one byte's difference between requests and answers."""
    for size in (32_700, 32_760, 32_764, 32_768, 65_536, 1_000_000):
        assert pair.call("@echo", "LEN", "x" * size) == size
        assert pair.call("@echo", "BIG", size) == "x" * size
    pair.on(pair.a, cluster.send, "b", "@echo", "NOTE", "y" * 100_000)
    pair.until(lambda: pair.notes() == ["y" * 100_000])


def test_many_calls_are_under_way_at_once_and_answered_in_any_order(pair: Pair) -> None:
    """Answers are told apart by their session."""

    def many() -> list[Any]:
        done: list[Any] = []
        for n in (5, 1, 4, 2, 3):
            skynet.fork(lambda n=n: (done.append(cluster.call("b", "@echo", "SLEEP", n, n)), skynet.wakeup("many")))
        while len(done) < 5:
            skynet.wait("many")
        return done

    outcome = pair.start(pair.a, many)
    pair.turn()
    for _ in range(200):
        if outcome:
            break
        for node in pair.nodes:
            node.advance(1)
        pair.turn()
    assert outcome == [("ok", [1, 2, 3, 4, 5])]


def test_a_proxy_is_a_service_here_that_stands_for_one_there(pair: Pair) -> None:
    """It is called and sent to as any other; node@name and both apart give the same one."""
    proxy = pair.on(pair.a, cluster.proxy, "b@echo")
    assert proxy == pair.on(pair.a, cluster.proxy, "b", "@echo") != pair.on(pair.a, cluster.proxy, "b", pair.echo)
    assert pair.on(pair.a, skynet.call, proxy, "lua", "ECHO", [1]) == [1]
    pair.on(pair.a, skynet.send, proxy, "lua", "NOTE", "through the proxy")
    pair.until(lambda: pair.notes())
    with pytest.raises(CallError, match=r"clusterproxy refused: node b at .* raised ValueError"):
        pair.on(pair.a, skynet.call, proxy, "lua", "ERR", "text")
    with pytest.raises(CallError, match="Invalid name noat"):
        pair.on(pair.a, cluster.proxy, "noat")


def test_a_snax_service_of_another_node(pair: Pair, tmp_path: Path) -> None:
    """`cluster.snax` gives the object of a service that has said snax.enablecluster; its file must be here, too."""
    (tmp_path / "counter.py").write_text(
        "from skynet_lite import snax\nfrom skynet_lite.snax import accept, response\ntotal = 0\n"
        "def init():\n    snax.enablecluster()\n"
        "@accept\ndef add(n):\n    global total\n    total += n\n@response\ndef get():\n    return total\n"
    )
    with Pair(snax=str(tmp_path / "?.py")) as pair:
        pair.on(pair.b, snax.uniqueservice, "counter")

        def use() -> Any:
            counter = cluster.snax("b", "counter")
            counter.post.add(5)
            counter.post.add(2)
            return counter.req.get()

        assert pair.on(pair.a, use) == 7


# ---- names and addresses


def test_a_name_that_moves_is_followed_on_open_connections(pair: Pair) -> None:
    """What the callee has kept of a name is dropped when it is unregistered, or given to another."""
    other = pair.on(
        pair.b, lambda: skynet.newservice(lambda: skynet.dispatch("lua", lambda *_: skynet.retpack("other")))
    )
    assert pair.call("@echo", "ECHO", "echo") == "echo"
    pair.on(pair.b, cluster.unregister, "echo")
    with pytest.raises(CallError, match="Invalid name"):
        pair.call("@echo", "ECHO")
    pair.on(pair.b, cluster.register, "echo", other)
    assert pair.call("@echo", "ECHO") == "other"
    with pytest.raises(CallError, match="the name echo is taken"):
        pair.on(pair.b, cluster.register, "echo", pair.echo)
    pair.on(pair.b, cluster.register, "another", other)  # one name each: it has lost the first
    with pytest.raises(CallError, match="Invalid name"):
        pair.call("@echo", "ECHO")
    pair.on(pair.b, cluster.unregister, "nothere")


def test_reload_turns_a_node_off_and_on_and_moves_it(pair: Pair) -> None:
    """False fails calls at once; the sender, and its count of sessions, stay."""
    assert pair.call("@echo", "ECHO", 1) == 1
    pair.on(pair.a, cluster.reload, {"b": False})
    with pytest.raises(CallError, match="channel_closed"):
        pair.call("@echo", "ECHO", 2)
    port = pair.on(pair.b, cluster.open, 0)[1]
    pair.on(pair.a, cluster.reload, {"b": f"127.0.0.1:{port}"})
    assert pair.call("@echo", "ECHO", 3) == 3
    pair.on(pair.a, cluster.reload, {"off": False})
    with pytest.raises(CallError, match="node off: it is turned off"):
        pair.on(pair.a, cluster.call, "off", 1, "ECHO")


def test_a_node_nobody_has_named_is_waited_for(pair: Pair) -> None:
    """Until reload names it; with __nowaiting the call fails at once."""
    waiting = pair.start(pair.a, cluster.call, "c", "@echo", "ECHO", "came")
    pair.until(lambda: pair.logs(pair.a, "Waiting for cluster node [c]"))
    assert not waiting
    pair.on(pair.a, cluster.reload, {"c": f"127.0.0.1:{pair.port}"})
    pair.until(lambda: waiting)
    assert waiting == [("ok", "came")]
    second = pair.start(pair.a, cluster.call, "d", "@echo", "ECHO", "came")
    pair.turn()
    pair.on(pair.a, cluster.reload, {"__nowaiting": True})
    pair.until(lambda: second)
    assert "cluster node [d] is absent: dest address type (nil) must be" in str(second[0][1])


@pytest.mark.parametrize(
    "wrong", [{"n": 5}, {"n": True}, {"n": "no port"}, {5: "127.0.0.1:1"}, {"good": "127.0.0.1:1", "n": None}]
)
def test_a_wrong_address_is_refused_and_nothing_is_taken_over(pair: Pair, wrong: dict[Any, Any]) -> None:
    """All of a reload holds, or nothing of it."""
    with pytest.raises(SkynetError, match="of the cluster has a name|is at"):
        pair.on(pair.a, cluster.reload, wrong)
    waiting = pair.start(pair.a, cluster.call, "good", 1)
    pair.until(lambda: pair.logs(pair.a, "Waiting for cluster node [good]"))
    assert not waiting


def test_a_file_can_be_shared_with_skynet(tmp_path: Path) -> None:
    """Names and addresses in the form that is both Lua and TOML, with comments of either; the key `cluster` names it."""
    names = tmp_path / "clustername.lua"
    with Pair() as first:
        names.write_text(
            f'-- who is where\nb = "127.0.0.1:{first.port}" -- it\'s here\noff = false\n__nowaiting = true\n'
        )
        with Node(clock="virtual", log=list, cluster=str(names)) as node:
            first.nodes.append(node)
            assert first.on(node, cluster.call, "b", "@echo", "ECHO", 1) == 1
            with pytest.raises(CallError, match="absent"):
                first.on(node, cluster.call, "c", "@echo", "ECHO", 1)
            names.write_text(f'c = "127.0.0.1:{first.port}"  # a TOML comment\n')
            first.on(node, cluster.reload)
            assert first.on(node, cluster.call, "c", "@echo", "ECHO", 2) == 2
            names.write_text("b = {")
            with pytest.raises(CallError, match="cannot read the nodes of the cluster from"):
                first.on(node, cluster.reload, names)


def test_the_key_cluster_takes_a_table_too() -> None:
    """`Node(cluster={"b": ...})`, and the table [cluster] of a TOML file; anything else is refused."""
    with Pair() as pair, Node(clock="virtual", log=list, cluster={"b": f"127.0.0.1:{pair.port}"}) as node:
        pair.nodes.append(node)
        assert pair.on(node, cluster.call, "b", "@echo", "ECHO", 1) == 1
    with pytest.raises(ConfigError, match="'cluster' is 5"):
        Node(cluster=5)  # type: ignore[arg-type]


def test_open_takes_a_port_or_a_name(pair: Pair) -> None:
    """With a port alone only this machine can call; a name stands for the address that reload gave it."""
    assert pair.on(pair.b, cluster.open, 0)[0] == "127.0.0.1"
    with pytest.raises(CallError, match="me is down"):
        pair.on(pair.b, cluster.open, "me")
    port = free_port()
    pair.on(pair.b, cluster.reload, {"me": f"127.0.0.1:{port}"})
    assert pair.on(pair.b, cluster.open, "me") == "me"
    assert pair.on(pair.b, cluster.call, "me", "@echo", "ECHO", 1) == 1  # a node may call itself
    with pytest.raises(CallError):
        pair.on(pair.b, cluster.open, port)


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (cluster.call, (5, "@x")), (cluster.send, (None, "@x")), (cluster.register, (5,)), (cluster.register, ("x", "y")),
        (cluster.query, ("b", 5)), (cluster.open, (1.5,)), (cluster.open, (True,)), (cluster.proxy, (5,)),
        (cluster.get_sender, (b"b",)),
    ],
)  # fmt: skip
def test_wrong_types_are_refused_by_name(pair: Pair, f: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(SkynetError, match="not "):
        pair.on(pair.a, f, *args)
    assert pair.call("@echo", "ECHO", 1) == 1


# ---- what a peer may do


def test_garbage_costs_no_more_than_a_line_of_the_log(pair: Pair) -> None:
    """A frame that makes no sense is logged; the connection, and all others, go on."""
    with pair.bare() as sock:
        for frame in (b"", b"\x05", b"\xff123", b"\x00" * 8, b"\x01", b"\x80\xff", b"\x02\x01", b"\x81\x01a"):
            sock.sendall(struct.pack(">H", len(frame)) + frame)
        sock.sendall(request(1, "ECHO", "still here"))
        assert answers(pair, sock, 1) == [(1, True, seri.pack("still here"), False)]
    assert len(pair.logs(pair.b, "Invalid")) == 8
    assert pair.call("@echo", "ECHO", 1) == 1


def test_a_payload_that_is_none_is_never_answered(pair: Pair) -> None:
    """As in skynet: it fails where it is opened, which is before anybody could answer. Others are answered."""
    with pair.bare() as sock:
        sock.sendall(clustercore.packrequest("@echo", 1, b"\x07\x07")[0] + clustercore.packrequest(0, 2, b"")[0])
        sock.sendall(request(3, "ECHO", 3))
        assert [session for session, *_ in answers(pair, sock, 1)] == [3]


def test_large_requests_that_make_no_sense_are_refused(pair: Pair) -> None:
    """Wrong sizes, parts without a begin, a begin twice: each is answered with its session."""

    def frame(kind: int, session: int, rest: bytes) -> bytes:
        data = bytes((kind,)) + struct.pack("<I", session) + rest
        return struct.pack(">H", len(data)) + data

    def begin(session: int, size: int) -> bytes:
        data = b"\x01" + struct.pack("<III", pair.echo, session, size)
        return struct.pack(">H", 13) + data

    payload = seri.pack("ECHO", "whole")
    with pair.bare() as sock:
        sock.sendall(begin(1, 3) + frame(3, 1, payload))
        sock.sendall(frame(3, 2, payload))
        sock.sendall(frame(2, 3, payload) + frame(3, 3, b""))
        sock.sendall(begin(4, len(payload)) + begin(4, len(payload)) + frame(3, 4, payload))
        sock.sendall(begin(5, len(payload)) + frame(2, 5, b"") + frame(2, 5, payload[:3]) + frame(3, 5, payload[3:]))
        found = {session: data if ok is False else seri.unpack(data) for session, ok, data, _ in answers(pair, sock, 5)}
    wrong = "Invalid large req"
    assert found == {1: wrong, 2: "Invalid name", 3: wrong, 4: wrong, 5: ("whole",)}


def test_unfinished_requests_are_kept_up_to_a_limit(pair: Pair) -> None:
    """__maxbuffer MiB for each connection, announced or sent; beyond it the connection ends, and no other."""
    pair.on(pair.b, cluster.reload, {"__maxbuffer": 1})
    part = struct.pack(">HBI", 5 + 32_768, 2, 0)[:7] + bytes(32_768)
    with pair.bare() as announced, pair.bare() as sent:
        announced.sendall(struct.pack(">H", 13) + b"\x01" + struct.pack("<III", pair.echo, 1, 0xFFFFFFFF))
        assert ended(pair, announced)
        for _ in range(40):
            try:
                sent.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break
            pair.turn()
        assert ended(pair, sent)
    assert len(pair.logs(pair.b, "it is cut off")) == 2
    assert pair.call("@echo", "ECHO", 1) == 1


def test_requests_under_way_are_limited_for_each_connection(pair: Pair) -> None:
    """__maxflight: each holds a coroutine, so a peer that floods is refused; other connections do not notice."""
    pair.on(pair.b, cluster.reload, {"__maxflight": 3})
    with pair.bare() as sock:
        sock.sendall(b"".join(request(session, "HANG") for session in (1, 2, 3)) + request(4, "ECHO"))
        assert answers(pair, sock, 1) == [(4, False, "3 requests are under way: call failed", False)]
        assert pair.call("@echo", "ECHO", 1) == 1
    with pytest.raises(CallError, match="__maxflight is 0: a number above 0"):
        pair.on(pair.b, cluster.reload, {"__maxflight": 0})


def test_a_peer_that_does_not_take_its_answers_is_dropped(pair: Pair) -> None:
    """What waits to be sent is limited, too; other connections do not notice."""
    pair.on(pair.b, cluster.reload, {"__maxbuffer": 2})
    port = pair.on(pair.b, cluster.open, 0)[1]
    slow = pysocket.create_connection(("127.0.0.1", port))
    with slow:
        with suppress(ConnectionError):  # it is dropped before all are asked for
            for session in range(1, 20):
                slow.sendall(request(session, "BIG", 1_000_000))
                pair.turn()
        pair.until(lambda: pair.logs(pair.b, "Drop slow client"))
    assert pair.call("@echo", "ECHO", 1) == 1


def test_a_server_that_talks_nonsense_fails_its_callers_only(pair: Pair) -> None:
    """A frame that is no answer closes the connection, and all calls in flight fail; the next call connects again."""
    with pysocket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT)
        pair.on(pair.a, cluster.reload, {"x": f"127.0.0.1:{server.getsockname()[1]}"})
        for nonsense in (b"\0\2xx", b"\0\5\1\0\0\0\5", b"\0\7\1\0\0\0\2xx", b"\0\0more"):
            calls = [pair.start(pair.a, cluster.call, "x", 7, n) for n in range(3)]
            pair.turn()
            conn, _ = server.accept()
            with conn:
                data = b""
                conn.settimeout(LIMIT)
                while data.count(b"\7\0\0\0") < 3:  # the address of each request
                    pair.turn()
                    data += conn.recv(4096)
                conn.sendall(nonsense[:2])
                pair.turn()
                conn.sendall(nonsense[2:])
                pair.until(lambda calls=calls: all(calls))
            for [(how, error)] in calls:
                assert how == "error" and "call failed" in str(error)
    assert pair.call("@echo", "ECHO", 1) == 1


def test_a_global_name_that_nobody_has_yet_is_waited_for_by_its_connection_only(pair: Pair) -> None:
    """Such a request is not answered, until the name comes; with its connection it is forgotten."""
    with pair.bare() as sock:
        sock.sendall(request(1, "ECHO", "late", address="LATE"))
        pair.turn()
        pair.on(pair.b, skynet.name, "LATE", pair.echo)
        assert answers(pair, sock, 1) == [(1, True, seri.pack("late"), False)]
        sock.sendall(request(2, "ECHO", "never", address="NEVER"))
        pair.turn()

    def agents() -> int:
        listed = pair.on(pair.b, skynet.call, ".launcher", "lua", "LIST")
        return sum("clusteragent" in name for name in listed.values())

    pair.until(lambda: not agents())
    pair.on(pair.b, skynet.name, "NEVER", pair.echo)
    pair.turn()
    assert pair.on(pair.b, skynet.call, pair.echo, "lua", "ECHO", 1) == 1


def test_the_same_program_makes_the_same_trace() -> None:
    """Two runs of two nodes on one network in memory record the same events and log the same lines, names in tags, too."""

    def serve() -> None:
        Echo().service()
        cluster.register("echo")
        cluster.open(2528, host="0.0.0.0")

    def ask() -> None:
        cluster.reload({"b": "b:2528"})
        skynet.trace("t")
        cluster.call("b", "@echo", "ECHO", {"k": [1, 2]})
        cluster.send("b", "@echo", "NOTE", "x" * 50_000)

    def run() -> list[Any]:
        net = Network()
        a, b = net.node("a", log=list), net.node("b", log=list)
        with a.record() as asks, b.record() as serves:
            b.newservice(serve)
            a.newservice(ask)
            net.run()
        return [asks.text(), serves.text(), a.log_lines, b.log_lines]

    first = run()
    assert any("session (a-b-2)" in line for line in first[2]) and any("<TRACE (a-b-2)" in line for line in first[3])
    assert run() == first


def test_a_traced_call_is_replayed_under_the_name_that_it_had(pair: Pair) -> None:
    """Host and process id come from the outside, so a recording knows them, wherever it runs again."""

    class Elsewhere(Outside):
        def nodename(self) -> str:
            return "elsewhere7"

    def ask(port: int) -> None:
        cluster.reload({"b": f"127.0.0.1:{port}"})
        skynet.trace("t")
        skynet.error("answered", cluster.call("b", "@echo", "ECHO", 1))

    with Node(log=list, record=True, outside=Elsewhere()) as node:
        pair.nodes.append(node)
        node.newservice(ask, pair.port, wait=False)
        pair.until(lambda: any("answered 1" in line for line in node.log_lines))
        assert any("session (elsewhere7-b-2)" in line for line in node.log_lines)
        trace = node.trace
    assert Node.replay(trace, ask).same


def test_the_tag_of_a_trace_crosses_the_wire(pair: Pair) -> None:
    """skynet.trace in one node is followed in the log of the other; the tag names both nodes and the next session."""
    pair.on(pair.a, cluster.reload, {"__nodename": "host1"})

    def traced() -> Any:
        skynet.trace("t")
        return cluster.call("b", "@echo", "ECHO", 1)

    assert pair.on(pair.a, traced) == 1
    tag = pair.logs(pair.a, "session (host1-b-2)")
    assert tag and pair.logs(pair.b, "<TRACE (host1-b-2):") and pair.logs(pair.b, "tracecall end")
