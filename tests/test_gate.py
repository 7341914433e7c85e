"""Packets and gates: netpack, gateserver and the gate service, against recordings of the real ones.

tests/golden/netpack/SPEC.md says how the recordings are to be read.
"""

from __future__ import annotations

import json
import shutil
import socket as pysocket
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Process, needs
from hypothesis import given, strategies as st
from recorded import raw
from socket_harness import TIMEOUT, Limited, in_service

from skynet_lite import CallError, Node, SkynetError, SocketError, gateserver, netpack, skynet, socket
from skynet_lite.skynet import socketpool
from skynet_lite.skynet.scheduler import current

GOLDEN = Path(__file__).parent / "golden" / "netpack"
MB = 1024 * 1024


def golden(name: str, key: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text())[key]
    return vectors


# --------------------------------------------------------------------------- packets


def test_pack_and_its_kin() -> None:
    """Each recorded call of netpack and socket.header gives the recorded result, or fails with its text."""
    seen = set()
    for v in golden("pack", "vectors"):
        fn = v["fn"].split("(")[0].split(" ")[0]
        seen.add(fn)
        if fn == "netpack.pack" and "input" in v:
            if "error" in v:
                with pytest.raises(SkynetError, match=v["error"].replace("(", r"\(").replace(")", r"\)")):
                    netpack.pack(raw(v["input"]))
            else:
                packet = netpack.pack(raw(v["input"]))
                assert (len(packet), packet) == (v["size"], raw(v["output"]))
        elif fn == "netpack.pack":  # 5, nil and a table: Lua takes the number as text, we take bytes only
            with pytest.raises(TypeError, match="a packet carries bytes"):
                netpack.pack({"5": 5, "n": None, "{": {}}[v["fn"][len("netpack.pack(")]])  # type: ignore[arg-type]
        elif fn == "netpack.tostring":
            text = netpack.tostring(b"" if "nil" in v["fn"] else b"abc", 3)
            assert text.encode() == bytes.fromhex(v["returns"][0]["hex"])
        elif fn == "netpack.pop":
            assert netpack.Queue().pop() is None and v["returns"] == []
        elif fn == "names":
            names = bytes.fromhex(v["returns"][0]["hex"]).decode().split()
            assert [n for n in names if not hasattr(netpack, n) and not hasattr(netpack.Queue, n)] == []
        else:
            assert fn == "socket.header"
            if "error" in v:
                with pytest.raises(SocketError, match="Invalid read"):
                    socket.header(raw(v["input"]))
            else:
                assert socket.header(raw(v["input"])) == int(v["returns"][0]["v"])
    assert seen == {"netpack.pack", "netpack.tostring", "netpack.pop", "names", "socket.header"}


def test_pack_takes_any_bytes() -> None:
    """bytes, bytearray and memoryview are the same packet; str is refused with the remedy."""
    assert {netpack.pack(b"ab"), netpack.pack(bytearray(b"ab")), netpack.pack(memoryview(b"ab"))} == {b"\0\2ab"}
    with pytest.raises(TypeError, match=r"\.encode\(\)"):
        netpack.pack("ab")  # type: ignore[arg-type]


@pytest.mark.parametrize("v", golden("split", "vectors"), ids=lambda v: v["id"])
def test_a_stream_is_cut_into_packets(v: dict[str, Any]) -> None:
    """However the stream arrives, the packets are the same; what is incomplete at the end is dropped.

    Both ways: the Unpacker alone, and a gate with a client that writes the chunks one by one.
    """
    unpacker = netpack.Unpacker()
    packets = [p for chunk in v["chunks"] for p in unpacker.feed(raw(chunk))]
    wanted = [raw(m) for m in v["messages"]]
    assert packets == wanted
    assert unpacker.left_over() == v["left_over"]

    with Rig() as rig:
        client = rig.client()
        for chunk in v["chunks"]:
            client.send(raw(chunk))
            rig.node.run_until_idle()
        client.close()
        rig.node.run_until_idle()
        names = [e[0] for e in rig.events]
        assert [e[2] for e in rig.events if e[0] == "message"] == [text(m) for m in wanted]
        assert names == ["connect"] + ["message"] * len(wanted) + ["disconnect"]
        assert rig.gate.queue.uncomplete == {} and not rig.gate.queue.packets


@given(st.lists(st.binary(max_size=300), max_size=20), st.data())
def test_any_cut_of_any_packets(packets: list[bytes], data: st.DataObject) -> None:
    """The cut is chosen by chance: what goes in comes out."""
    stream = b"".join(map(netpack.pack, packets))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    unpacker, queue = netpack.Unpacker(), netpack.Queue()
    got, popped = [], []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += unpacker.feed(stream[begin:end])
        kind, *rest = queue.filter(1, 7, end - begin, stream[begin:end])
        if kind == "data":
            popped.append(tuple(rest))
        while (packet := queue.pop()) is not None:
            popped.append(packet)
    assert got == packets
    assert popped == [(7, p) for p in packets]


def test_connections_do_not_mix() -> None:
    """Half a packet of one connection waits while another's goes through; CLOSE throws the half away."""
    queue = netpack.Queue()
    assert queue.filter(1, 1, 3, b"\0\4a") == (None,)
    assert queue.filter(1, 2, 4, b"\0\2hi") == ("data", 2, b"hi")
    assert queue.filter(1, 1, 5, b"bcd\0\0") == ("more",)
    assert [queue.pop(), queue.pop(), queue.pop()] == [(1, b"abcd"), (1, b""), None]
    assert queue.filter(1, 1, 1, b"\0") == (None,)
    assert queue.filter(3, 1, 0, "") == ("close", 1)
    assert queue.filter(1, 1, 3, b"\0\1x") == ("data", 1, b"x")


@pytest.mark.parametrize("v", golden("socket_buffer", "vectors"), ids=lambda v: v["id"])
def test_the_receive_buffer(v: dict[str, Any]) -> None:
    """read, readline and readall take from the buffer of a socket what the recorded functions took.

    Two ways apart: read(0) is b"" (there it is nil), and an empty separator is refused.
    """
    service_socket = 99

    def body() -> None:
        service = current()
        s = socketpool.pool_of(service)[service_socket] = socketpool.PoolSocket(service, service_socket, None)
        s.connecting = False  # a connection that has ended: no read waits
        check = v["ops"][0] if v["ops"][0]["op"] == "check" else None
        if check is not None:
            s.read_required = raw(check["arg"])
        for chunk in v["push"]:
            socketpool._on_data(service, s, service_socket, len(raw(chunk)), raw(chunk))
        if check is not None:
            assert (s.read_required is None) is bool(check["returns"]), "what wakes a reader"
            s.read_required = None
        assert s.size == (v["push_returns"] or [0])[-1]
        for op in v["ops"]:
            wanted = [bytes.fromhex(r["hex"]) if "hex" in r else r.get("v") for r in op["returns"]]
            if op["op"] == "pop" and op["arg"] == 0:
                assert wanted[0] is None and socket.read(service_socket, 0) == b""
            elif op["op"] == "pop":
                assert [socket.read(service_socket, op["arg"]), str(s.size)] == wanted
            elif op["op"] == "readline" and op["arg"] == "":
                with pytest.raises(SocketError, match="separator"):
                    socket.readline(service_socket, b"")
            elif op["op"] == "readline":
                assert socket.readline(service_socket, raw(op["arg"])) == (wanted[0] if wanted else None)
            elif op["op"] == "readall":
                assert socket.readall(service_socket) == wanted[0]
            elif op["op"] == "clear":
                socket.readall(service_socket)
            elif op["op"] == "push":
                socketpool._on_data(service, s, service_socket, len(raw(op["arg"])), raw(op["arg"]))
                assert s.size == int(op["returns"][0]["v"])
            else:
                assert op["op"] == "check"

    with Node(clock="virtual", log=list, bootstrap=False) as node:
        assert in_service(node, body) is None


def test_resolve() -> None:
    """A name as addresses; one that is none fails with the resolver's text."""
    with Node(clock="virtual", log=list, bootstrap=False) as node:
        assert in_service(node, lambda: socket.resolve("127.0.0.1")) == ["127.0.0.1"]
        assert "127.0.0.1" in in_service(node, lambda: socket.resolve("localhost"))
        assert "resolve 'a..b': Name or service not known" in str(in_service(node, lambda: socket.resolve("a..b")))


# --------------------------------------------------------------------------- gateserver


def text(data: bytes) -> str:
    return netpack.tostring(data)


class Handler:
    """Notes every callback; some messages make it do what a case is about."""

    def __init__(self, events: list[list[Any]], opens: bool) -> None:
        self.events = events
        self.opens = opens  # openclient inside connect
        self.releases = True  # closeclient inside disconnect

    def open(self, source: int, conf: dict[str, Any]) -> tuple[str, int]:
        self.events.append(["open", conf["address"], conf["port"], "watchdog" in conf])
        return conf["address"], conf["port"]

    def connect(self, fd: int, addr: str) -> None:
        self.events.append(["connect", fd, addr.split(":")[0] + ":PORT"])
        if self.opens:
            gateserver.openclient(fd)

    def message(self, fd: int, msg: bytes, sz: int) -> None:
        self.events.append(["message", fd, text(msg), sz])
        if msg == b"kick me":
            gateserver.closeclient(fd)
            self.events.append(["closeclient returned", fd])
        elif msg == b"slow":
            skynet.sleep(20)
            self.events.append(["slow message done", fd])
        elif msg == b"raise":
            raise ValueError("message handler raised")
        elif msg == b"echo me":
            socket.write(fd, netpack.pack(msg))

    def disconnect(self, fd: int) -> None:
        self.events.append(["disconnect", fd])
        if self.releases:
            gateserver.closeclient(fd)

    def error(self, fd: int, msg: str) -> None:
        self.events.append(["error", fd, msg])

    def warning(self, fd: int, size: int) -> None:
        self.events.append(["warning", fd, size])

    def command(self, cmd: str, source: int, *args: Any) -> Any:
        return {
            "openclient": gateserver.openclient,
            "closeclient": gateserver.closeclient,
            "write": socket.write,
            "shutdown": lambda fd: current().server.socket_server.shutdown(skynet.self(), fd),
            "types": lambda: {row["id"]: row["type"] for row in socket.netstat()},
        }[cmd](*args)


class Rig:
    """A node with one gate and the notes of its handler."""

    def __init__(
        self, opens: bool = True, start: bool = True, outside: Any = None, thread: int = 1, **conf: Any
    ) -> None:
        self.events: list[list[Any]] = []
        self.node = Node(clock="virtual", log=list, outside=outside, thread=thread)
        self.handler = Handler(self.events, opens)
        self.addr = self.serve(self.handler)
        protocol = self.node.service(self.addr).proto["socket"]
        self.gate: gateserver.Gate = protocol.dispatch.__self__  # type: ignore[union-attr]
        self.conf = {"address": "127.0.0.1", "port": 0, **conf}
        if start:
            self.host, self.port = self.node.call(self.addr, "lua", "open", self.conf)
            assert self.take() == [["open", "127.0.0.1", self.port, False]]

    def serve(self, handler: Any) -> int:
        def gate() -> None:
            gateserver.start(handler)

        return self.node.newservice(gate)

    def client(self) -> Any:
        client = self.node.client(self.port)
        self.node.run_until_idle()
        return client

    def do(self, cmd: str, *args: Any) -> Any:
        return self.node.call(self.addr, "lua", cmd, *args)

    def take(self) -> list[list[Any]]:
        """What was noted since the last time, when nothing can run any more."""
        self.node.run_until_idle()
        taken = self.events[:]
        self.events.clear()
        return taken

    def log(self) -> list[str]:
        self.node.run_until_idle()
        return [line[12:] for line in self.node.log_lines if line.startswith(f"[:{self.addr:08x}] ")]

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *exc: object) -> None:
        self.node.close()


def named(events: list[list[Any]]) -> list[list[Any]]:
    """fd1, fd2, ... for socket ids, in the order of their appearance."""
    names: dict[int, str] = {}
    return [
        [e[0], names.setdefault(e[1], f"fd{len(names) + 1}") if isinstance(e[1], int) else e[1], *e[2:]] for e in events
    ]


# One function for each recorded case, found by its description: it plays the case and returns the events.
Case = Callable[[dict[str, Any]], list[list[Any]]]
CASES: dict[str, Case] = {}


def case(desc: str) -> Callable[[Case], Case]:
    def enter(f: Case) -> Case:
        CASES[desc] = f
        return f

    return enter


def talk(*segments: bytes, end: str = "close", advance: int = 0) -> list[list[Any]]:
    """A client that sends segments and leaves."""
    with Rig() as rig:
        client = rig.client()
        for segment in segments:
            client.send(segment)
            rig.node.run_until_idle()
        rig.node.advance(advance)
        rig.node.run_until_idle()
        getattr(client, end)()
        return rig.take()


def packets(*messages: bytes) -> bytes:
    return b"".join(map(netpack.pack, messages))


@case("open")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig(start=False) as rig:
        assert rig.do("open", rig.conf) == ("127.0.0.1", rig.events[0][2])
        assert rig.events[0][2] > 0
        rig.events[0][2] = 0
        return rig.take()


@case("connect, one packet, client closes")
def _(c: dict[str, Any]) -> list[list[Any]]:
    return talk(packets(b"hi"))


@case("connect, one packet, client resets")
def _(c: dict[str, Any]) -> list[list[Any]]:
    return talk(packets(b"hi"), end="reset")


@case("client closes in the middle of a packet")
def _(c: dict[str, Any]) -> list[list[Any]]:
    return talk(b"\0\x10half")


@case("closeclient inside handler.message, with one more packet in the same segment")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig() as rig:
        client = rig.client()
        client.send(packets(b"kick me", b"after"))
        client.expect_eof()
        (wanted,) = c["log"]
        fd = rig.events[0][1]
        assert rig.log()[-1] == wanted[12:].replace("(7)", f"({fd})")
        assert c["client_read_after"] == "b''"
        return rig.take()


@case("closeclient from outside on an idle connection")
def _(c: dict[str, Any]) -> list[list[Any]]:
    return ended_by("closeclient")


@case("socketdriver.shutdown from outside on an idle connection")
def _(c: dict[str, Any]) -> list[list[Any]]:
    return ended_by("shutdown")


def ended_by(command: str) -> list[list[Any]]:
    with Rig() as rig:
        client = rig.client()
        rig.do(command, rig.events[0][1])
        client.expect_eof()
        return rig.take()


@case("a handler.message that blocks (200 ms) on the first of three packets of one segment")
def _(c: dict[str, Any]) -> list[list[Any]]:
    return talk(packets(b"slow", b"second", b"third"), advance=20)


@case("a handler.message that blocks, the next packet comes in another segment")
def _(c: dict[str, Any]) -> list[list[Any]]:
    return talk(packets(b"slow"), packets(b"second"), advance=20)


@case("handler.message raises: logged, the connection stays")
def _(c: dict[str, Any]) -> list[list[Any]]:
    return raising(packets(b"raise"), packets(b"next"))


@case("handler.message raises on the first of two packets of one segment")
def _(c: dict[str, Any]) -> list[list[Any]]:
    return raising(packets(b"raise", b"same segment"), packets(b"next"))


def raising(*segments: bytes) -> list[list[Any]]:
    with Rig() as rig:
        client = rig.client()
        for segment in segments:
            client.send(segment)
            rig.node.run_until_idle()
        (line,) = [line for line in rig.log() if "error : " in line]
        assert line.startswith(f"lua call [0 to :{rig.addr:x} : 0] error : ") and "message handler raised" in line
        client.close()
        return rig.take()


@case("answer through netpack.pack")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig() as rig:
        client = rig.client()
        client.send(packets(b"echo me"))
        client.expect(bytes.fromhex(c["client_received"]))
        client.close()
        return rig.take()


@case("without openclient nothing is read")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig(opens=False) as rig:
        rig.client().send(packets(b"early"))
        return rig.take()


@case("openclient later: the data that waited is delivered")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig(opens=False) as rig:
        client = rig.client()
        client.send(packets(b"early"))
        rig.node.run_until_idle()
        rig.events[0][2] = "(earlier)"
        rig.do("openclient", rig.events[0][1])
        rig.node.run_until_idle()
        client.close()
        return rig.take()


@case("client closes before openclient: noticed only after openclient")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig(opens=False) as rig:
        client = rig.client()
        client.close()
        (connected,) = rig.take()
        rig.do("openclient", connected[1])
        return [connected, ["openclient called", connected[1]], *rig.take()]


@case("writing before openclient: socketdriver.send says true, the data is thrown away")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig(opens=False) as rig:
        client = rig.client()
        assert rig.do("write", rig.events[0][1], b"nobody gets this") is c["send_returned"][0]["v"]
        assert client.recv_until(lambda: True) == b"" and c["client_received"] == "(nothing)"
        return rig.take()


@case("twelve writes of 1 MB to a client that does not read, then it reads everything")
def _(c: dict[str, Any]) -> list[list[Any]]:
    world = Limited()
    with Rig(outside=world) as rig:
        client = rig.client()
        fd = rig.events[0][1]
        world.room = 0
        for _ in range(12):
            rig.do("write", fd, b"x" * MB)
            rig.node.run_until_idle()
        rig.events.append(["(the client reads everything)", fd])
        world.room = None
        assert len(client.recv(12 * MB)) == c["bytes_read"]
        client.close()
        return rig.take()


@case("the client closes; the handler does not call closeclient in disconnect")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig() as rig:
        rig.handler.releases = False
        client = rig.client()
        client.close()
        events = rig.take()
        fd = events[0][1]
        rig.node.advance(80)
        assert rig.do("types")[fd] == c["netstat_0.3s"] == c["netstat_0.8s"]
        rig.do("closeclient", fd)
        rig.node.run_until_idle()
        assert fd not in rig.do("types") and c["netstat_after_closeclient"] == "gone"
        assert rig.do("write", fd, b"x") is c["write_then_returns"][0]["v"]
        return events + rig.take()


@case("the client only shuts down its writing side: disconnect at once, writing still works")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig() as rig:
        rig.handler.releases = False
        client = rig.client()
        client.shutdown()
        events = rig.take()
        rig.do("write", events[0][1], bytes.fromhex(c["client_received"]))
        client.expect(bytes.fromhex(c["client_received"]))
        rig.do("closeclient", events[0][1])
        client.expect_eof()
        return events + rig.take()


@case("the client closes, then two writes to it: the error comes after the disconnect")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig() as rig:
        rig.handler.releases = False
        client = rig.client()
        client.close()
        events = rig.take()
        fd = events[0][1]
        for _ in range(2):
            rig.do("write", fd, b"x")
            rig.node.run(until=lambda: rig.node.socket_server.flushing() is False, timeout=TIMEOUT)
        rig.node.run(until=lambda: rig.events, timeout=TIMEOUT)
        assert fd not in rig.do("types") and c["netstat_after"] == "gone"
        return events + rig.take()


@case("the close command: the listening socket goes away, connections stay")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig() as rig:
        client = rig.client()
        rig.do("close")
        rig.node.run_until_idle()
        with pytest.raises(SocketError, match="ECONNREFUSED"):
            rig.node.client(rig.port)
        client.send(packets(b"still here"))
        rig.node.run_until_idle()
        client.close()
        events = rig.take()
        rig.do("open", {"address": "127.0.0.1", "port": 0})  # and it can listen again
        return events


@case("open twice: assertion, the caller gets a failed call")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig() as rig:
        with pytest.raises(CallError, match="call failed"):
            rig.do("open", rig.conf)
        assert "this gate listens already" in rig.log()[-1]
        return rig.take()


@case("open on a port in use")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig() as rig:
        other = rig.serve(Handler(rig.events, True))
        with pytest.raises(CallError, match="call failed"):
            rig.node.call(other, "lua", "open", {"address": "127.0.0.1", "port": rig.port})
        rig.node.run_until_idle()
        lines = [line[12:] for line in rig.node.log_lines if line.startswith(f"[:{other:08x}] ")]
        assert lines[-2] == c["log"][0][12:].replace("PORT", str(rig.port))
        assert "Listen error" in lines[-1] and "Listen error" in c["log"][1]
        return rig.take()


@case("unknown command: handler.command decides (here an assert)")
def _(c: dict[str, Any]) -> list[list[Any]]:
    with Rig() as rig:
        with pytest.raises(CallError, match="call failed"):
            rig.do("nosuch")
        assert "nosuch" in rig.log()[-1]
        return rig.take()


RECORDED = {c["desc"]: c for c in golden("gateserver_callbacks", "cases")}


def test_every_recorded_case_is_played() -> None:
    """Those about maxclient are played below, three recordings at a time."""
    assert {d for d in RECORDED if not d.startswith("maxclient")} == set(CASES)


@pytest.mark.parametrize("desc", CASES)
def test_callbacks_come_in_the_order_of_the_real_ones(desc: str) -> None:
    """The handler hears the same, in the same order."""
    assert named(CASES[desc](RECORDED[desc])) == RECORDED[desc]["events"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_maxclient_lets_one_less_in(n: int) -> None:
    """maxclient = N takes N - 1 clients; one too many is gone at once, told by a disconnect without a connect."""
    first, second, third = [c for d, c in RECORDED.items() if d.startswith(f"maxclient = {n},")]
    with Rig(maxclient=n) as rig:
        for recorded in (first, third):
            clients = []
            for sees in recorded["clients_see"]:
                clients.append(rig.client())
                if sees == "closed by server":
                    clients[-1].expect_eof()
                else:
                    assert clients[-1].recv_until(lambda: True) == b"" and not clients[-1]._eof
            assert named(rig.take()) == recorded["events"]
            if recorded is first:
                for client in clients:
                    client.close()
                assert named(rig.take()) == second["events"]


def reset_at_once(port: int, n: int) -> None:
    """Clients that connect and reset before anybody has looked."""
    for _ in range(n):
        with pysocket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("thread", [1, 4])
def test_each_connection_ends_once(thread: int) -> None:
    """Clients that are gone before openclient is carried out: as many disconnects as connections, each told once.

    So the count is right afterwards, and maxclient still means what it says.
    """
    with Rig(maxclient=1000, backlog=128, thread=thread) as rig:
        for _ in range(4):
            reset_at_once(rig.port, 100)
            rig.node.run_until_idle()
        events = rig.take()
        told = Counter(e[1] for e in events if e[0] == "disconnect")
        assert len(told) == 400 and set(told.values()) == {1}
        assert {e[1] for e in events if e[0] == "connect"} == set(told)
        assert not [e for e in events if e[0] == "error" and "invalid socket" in e[2]]
        assert rig.gate.client_number == 0 and rig.gate.connection == {}
        rig.gate.maxclient = 11
        late = [pysocket.create_connection(("127.0.0.1", rig.port)) for _ in range(60)]
        assert [e[0] for e in rig.take()].count("connect") == 10
        for client in late:
            client.close()
        rig.node.run_until_idle()
        assert rig.gate.client_number == 0 and len(rig.node.socket_server.table()) == 1


def test_a_gate_has_state_of_its_own() -> None:
    """Two gates in one node know nothing of each other's clients: state belongs to the service, not the module."""
    with Rig() as one, Rig() as other:
        gate = one.serve(Handler(one.events, True))
        _, port = one.node.call(gate, "lua", "open", {"address": "127.0.0.1", "port": 0})
        one.take()
        one.node.client(port).send(packets(b"to the second"))
        assert [e[0] for e in one.take()] == ["connect", "message"]
        assert one.gate.client_number == other.gate.client_number == 0


def test_the_default_is_1024_clients() -> None:
    """One less than maxclient get in; nobody has to say a number."""
    with Rig() as rig:
        assert rig.gate.maxclient == 1024
        rig.gate.client_number = 1022  # as if so many were there
        rig.client()
        rig.client().expect_eof()
        assert [e[0] for e in rig.take()] == ["connect", "disconnect"]


def test_a_slow_client_is_dropped() -> None:
    """With maxwbuffer the gate drops a client that does not read, and what was kept for it; without, it keeps all."""
    for limit, dropped in ((2048, True), (None, False)):
        world = Limited()
        with Rig(outside=world, maxwbuffer=limit) as rig:
            rig.client()
            quick = rig.client()
            slow_fd, quick_fd = (e[1] for e in rig.take())
            world.room = 0
            for _ in range(6):
                rig.do("write", slow_fd, b"x" * MB)
                rig.node.run_until_idle()
            warned = [["warning", slow_fd, 1024], ["warning", slow_fd, 2048]]
            assert rig.take() == warned + ([["disconnect", slow_fd]] if dropped else [["warning", slow_fd, 4096]])
            assert (slow_fd in rig.do("types")) is not dropped
            assert (rig.log()[-1] == slow_line(slow_fd)) is dropped
            world.room = None
            rig.do("write", quick_fd, packets(b"still served"))
            quick.expect(packets(b"still served"))


def slow_line(fd: int) -> str:
    return f"Drop slow client fd ({fd}) : 2048 K bytes need to send out, maxwbuffer is 2048 K"


def test_nodelay_and_backlog_reach_the_kernel() -> None:
    """conf.nodelay sets TCP_NODELAY on every client."""
    for wanted in (True, False):
        with Rig(nodelay=wanted, backlog=5) as rig:
            rig.client()
            s = rig.node.socket_server._sockets[rig.take()[0][1]]
            assert bool(s.sock.getsockopt(pysocket.IPPROTO_TCP, pysocket.TCP_NODELAY)) is wanted


def test_misuse_is_named() -> None:
    """A handler without connect, a service that is no gate, commands nobody knows: each error says what to do."""

    class Half:
        def message(self, *args: Any) -> None: ...

    class Least(Half):
        def connect(self, *args: Any) -> None: ...

    with Rig(start=False) as rig:
        assert "needs a function connect" in str(in_service(rig.node, lambda: gateserver.start(Half())))
        assert "this service is no gate" in str(in_service(rig.node, lambda: gateserver.openclient(1)))
        sockets = in_service(rig.node, lambda: (socket.listen("127.0.0.1:0"), gateserver.closeclient(1)))
        assert "this service is no gate" in str(sockets), "not even if it has sockets"
        least = rig.serve(Least())
        for command, hint in (("kick", "a gate knows open and close"), ("close", "open comes before close")):
            with pytest.raises(CallError):
                rig.node.call(least, "lua", command)
            rig.node.run_until_idle()
            assert hint in rig.node.log_lines[-1]
        with pytest.raises(CallError):
            rig.node.call(least, "lua", "open", {})
        rig.node.run_until_idle()
        assert "this gate is told no port" in rig.node.log_lines[-1]
        assert rig.node.call(least, "lua", "open", {"address": "127.0.0.1:0"}) is None, "no open, no answer"


# --------------------------------------------------------------------------- the gate service


def test_the_gate_service_tells_its_watchdog() -> None:
    """The whole recording in one run: open, accept, forward, close, error, kick."""
    events: list[list[Any]] = []

    def watchdog() -> None:
        def client(fd: int, source: int, data: str) -> None:
            skynet.ignoreret()
            events.append(["client message", fd, source, data])

        def told(session: int, source: int, *args: Any) -> None:
            if args[0] == "socket":
                events.append([session, source, *args])
            else:
                skynet.retpack(skynet.call(gate, "lua", *args))

        skynet.register_protocol(name="client", id=skynet.PTYPE_CLIENT, unpack=skynet.tostring, dispatch=client)
        skynet.dispatch("lua", told)
        gate = skynet.newservice("gate")
        ports.append(skynet.call(gate, "lua", "open", {"address": "127.0.0.1", "port": 0})[1])
        ports.append(gate)

    ports: list[int] = []
    cases = golden("gate_service", "cases")
    with Node(clock="virtual", log=list) as node:
        me = node.newservice(watchdog)
        port, gate = ports
        clients: list[Any] = []
        first = 2  # the first connection's id; in the recording it is 4

        def connect() -> None:
            clients.append(node.client(port))
            node.run_until_idle()

        def send(message: bytes) -> None:
            clients[-1].send(netpack.pack(message))

        def reset() -> None:
            connect()
            node.call(me, "lua", "accept", first + 1)
            node.run_until_idle()
            clients[-1].reset()

        def kick() -> None:
            connect()
            results.append(node.call(me, "lua", "kick", first + 2))
            clients[-1].expect_eof()

        def forwarded(message: bytes, *args: Any) -> None:
            results.append(node.call(me, "lua", "forward", first, *args))
            send(message)

        def fails(command: str) -> None:
            with pytest.raises(CallError, match="call failed"):
                node.call(me, "lua", command, 999)

        steps: list[Callable[[], Any]] = [
            connect,
            lambda: send(b"ignored until accepted"),
            lambda: results.append(node.call(me, "lua", "accept", first)),
            lambda: send(b"data 2"),
            lambda: forwarded(b"to the target"),
            lambda: forwarded(b"with client", 1234),
            lambda: clients[-1].close(),
            reset,
            kick,
            lambda: fails("accept"),
            lambda: results.append(node.call(me, "lua", "kick", 999)),
        ]
        results: list[Any] = []
        assert len(steps) == len(cases)
        for step, recorded in zip(steps, cases, strict=True):
            step()
            node.run_until_idle()
            wanted = []
            for e in recorded["events"]:
                e = [gate if x == "GATE" else x for x in e]
                at = 1 if e[0] == "client message" else 4
                e[at] = e[at] - 4 + first
                wanted.append(e)
            got = [[f"{x.split(':')[0]}:PORT" if isinstance(x, str) and "127" in x else x for x in e] for e in events]
            assert got == wanted, recorded["desc"]
            events.clear()
        assert results == [None] * 5
        assert "fd 999 is no connection of this gate" in "".join(node.log_lines)


def test_a_redirect_is_seen_as_what_it_is() -> None:
    """In the trace the gate's coroutine sends it, so that a picture has its arrow; the source may be another."""
    heard: list[tuple[int, int, str]] = []

    def agent() -> None:
        def client(fd: int, source: int, text: str) -> None:
            skynet.ignoreret()
            heard.append((fd, source, text))

        skynet.register_protocol(name="client", id=skynet.PTYPE_CLIENT, unpack=skynet.tostring, dispatch=client)

    def gate(to: int) -> None:
        skynet.register_protocol(name="client", id=skynet.PTYPE_CLIENT)
        assert skynet.redirect(to, 77, "client", 5, b"as 77") == 5
        assert skynet.redirect(to, 0, "client", 6, b"as myself") == 6
        assert skynet.redirect(0xFFFF, 0, "client", 6, b"to nobody") is None

    with Node(clock="virtual", log=list) as node:
        to = node.newservice(agent)
        with node.record() as trace:
            me = node.newservice(gate, to)
            node.run_until_idle()
        assert heard == [(5, 77, "as 77"), (6, me, "as myself")]
        sends = [i for i, e in enumerate(trace) if e["e"] == "send" and e["ptype"] == "client"]
        assert [(trace[i]["session"], trace[i]["in"]) for i in sends] == [(5, "co1"), (6, "co1")]
        assert [e["cause"] for e in trace if e["e"] == "push" and e["by"] == "redirect"] == sends


@needs("nc")
def test_nc_speaks_to_a_gate() -> None:
    """A program that knows nothing of us: two packets in, their echo out, byte for byte."""

    def watchdog() -> None:
        def told(session: int, source: int, kind: str, what: str, fd: int, *args: Any) -> None:
            if what == "open":
                skynet.call(gate, "lua", "accept", fd)
            elif what == "data":
                socket.write(fd, netpack.pack(args[0].upper().encode()))
                if args[0] == "bye":
                    skynet.call(gate, "lua", "kick", fd)

        skynet.dispatch("lua", told)
        gate = skynet.newservice("gate")
        ports.append(skynet.call(gate, "lua", "open", {"address": "127.0.0.1", "port": 0})[1])

    ports: list[int] = []
    with Node(log=list) as node:
        node.newservice(watchdog)
        assert shutil.which("nc"), "BROWSER_TESTS=required, and no nc: apt-get install netcat-openbsd"
        with Process(["nc", "127.0.0.1", str(ports[0])], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as nc:
            try:
                assert nc.stdin is not None and nc.stdout is not None
                nc.stdin.write(b"\0\5hello\0\3bye")
                nc.stdin.close()  # it stays until the gate kicks it
                node.run(until=lambda: nc.poll() is not None, timeout=TIMEOUT)
                assert nc.stdout.read() == b"\0\5HELLO\0\3BYE"
            finally:
                nc.kill()
