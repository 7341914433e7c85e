"""DNS without stopping the node; the name servers of these tests are services, too."""

from __future__ import annotations

import socket as pysocket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from contrib_harness import Listening, run_service

from skynet_lite import Node, SocketError, skynet, socket
from skynet_lite.contrib import dns as skynet_dns
from skynet_lite.contrib.stream import Stream

Zone = dict[tuple[str, str], list[tuple[Any, ...]]]
ZONE: Zone = {
    ("one.test.", "A"): [("one.test.", 60, "IN", "A", "10.0.0.1")],
    ("two.test.", "A"): [("two.test.", 60, "IN", "A", "10.0.0.2", "10.0.0.3")],
    ("two.test.", "AAAA"): [("two.test.", 60, "IN", "AAAA", "fd00::2")],
    ("alias.test.", "A"): [
        ("alias.test.", 300, "IN", "CNAME", "one.test."),
        ("one.test.", 30, "IN", "A", "10.0.0.1"),
        ("evil.test.", 30, "IN", "A", "6.6.6.6"),
    ],
    ("six.test.", "A"): [],
}


def address(name: str, *ips: str) -> Zone:
    return {(name, "A"): [(name, 60, "IN", "A", *ips)]}


def answer(query: bytes, zone: Zone = ZONE) -> dns.message.Message:
    """What a name server says."""
    reply = dns.message.make_response(dns.message.from_wire(query))
    asked = reply.question[0]
    records = zone.get((asked.name.to_text(), asked.rdtype.name))
    if records is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    reply.answer = [dns.rrset.from_text(*record) for record in records or ()]
    return reply


def wire(query: bytes, zone: Zone = ZONE) -> bytes:
    return answer(query, zone).to_wire(want_shuffle=False)


class NameServer:
    """A node with a service that answers datagrams by `respond(data, send)`; it counts them."""

    def __init__(self, respond: Callable[[bytes, Callable[[bytes], Any]], Any] | None = None) -> None:
        self.node = Node(clock="virtual", log=list)
        self.queries: list[bytes] = []
        self.port = self.add(respond or (lambda data, send: send(wire(data))))

    def add(self, respond: Callable[[bytes, Callable[[bytes], Any]], Any]) -> int:
        """One more server; its port."""
        ports: list[int] = []

        def main() -> None:
            def asked(data: bytes, source: bytes) -> None:
                self.queries.append(data)
                respond(data, lambda reply: socket.sendto(id, source, reply))

            id = socket.udp(asked, "127.0.0.1", 0)
            ports.append(socket.sockname(id)[1])

        self.node.newservice(main)
        return ports[0]

    def ask(self, body: Callable[[], Any]) -> Any:
        """What `body` returns, in a service that asks this server; it leaves no socket open."""

        def asking() -> tuple[Any, list[int]]:
            skynet_dns.server("127.0.0.1", self.port)
            return body(), list(skynet.running().service.socket_pool or ())

        result, left = run_service(self.node, asking)
        assert left == []
        return result

    def __enter__(self) -> NameServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.node.close()


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine's files say nothing here."""
    monkeypatch.setattr(skynet_dns, "DEFAULT_HOSTS", str(tmp_path / "hosts"))
    monkeypatch.setattr(skynet_dns, "DEFAULT_RESOLV_CONF", str(tmp_path / "resolv.conf"))


def resolve(*what: Any) -> Any:
    """What it finds, or what it says."""
    try:
        return skynet_dns.resolve(*what)
    except SocketError as e:
        return str(e)


# ---- questions and answers


def test_names() -> None:
    """Addresses of either version, several, behind a CNAME; what else stands in an answer counts for nothing."""
    with NameServer() as s:
        found = s.ask(
            lambda: [
                resolve("one.test"), resolve("Two.TEST."), resolve("two.test", True), resolve("alias.test"),
                resolve("six.test"), resolve("none.test"),
            ]
        )  # fmt: skip
        assert found == [
            ("10.0.0.1", ["10.0.0.1"]),
            ("10.0.0.2", ["10.0.0.2", "10.0.0.3"]),
            ("fd00::2", ["fd00::2"]),
            ("10.0.0.1", ["10.0.0.1"]),
            "dns: six.test: no A address",
            "dns: none.test: no such name",
        ]


def test_the_bytes_of_a_question() -> None:
    """A number, the flag that asks the server to ask others, one question. Numbers are counted."""
    with NameServer() as s:
        s.ask(lambda: [resolve("one.test"), resolve("two.test")])
        assert s.queries == [
            b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03one\x04test\x00\x00\x01\x00\x01",
            b"\x00\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03two\x04test\x00\x00\x01\x00\x01",
        ]


def test_an_address_is_no_question() -> None:
    """Nothing is sent for what is an address already."""
    with NameServer() as s:
        assert s.ask(lambda: [resolve("10.1.2.3"), resolve("fd00::1", True), resolve("fd00::1"), resolve("1.2.3.4", True)]) == [
            ("10.1.2.3", ["10.1.2.3"]),
            ("fd00::1", ["fd00::1"]),
            "dns: fd00::1 is an address of the other IP version",
            "dns: 1.2.3.4 is an address of the other IP version",
        ]  # fmt: skip
        assert s.queries == []


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".test", ".".join(["abcdefg"] * 40)])
def test_what_is_no_name(name: str) -> None:
    """It is said at once, and nobody is asked."""
    with NameServer() as s:
        assert s.ask(lambda: resolve(name)).startswith("dns: ")
        assert s.queries == []


def test_many_questions_share_a_socket() -> None:
    """Answers come in another order than questions were asked in: each finds its own by the number."""
    waiting: list[tuple[bytes, Callable[[bytes], Any]]] = []

    def late(data: bytes, send: Callable[[bytes], Any]) -> None:
        waiting.append((data, send))
        if len(waiting) == 40:
            for query, reply in reversed(waiting):
                reply(wire(query, zone))

    zone = {key: records for n in range(40) for key, records in address(f"n{n}.test.", f"10.0.0.{n}").items()}
    sockets: list[int] = []

    def body() -> list[str]:
        me, left = skynet.running(), 40
        found: dict[int, str] = {}

        def one(n: int) -> None:
            nonlocal left
            found[n] = resolve(f"n{n}.test")[0]
            left -= 1
            if left == 0:
                skynet.wakeup(me)

        for n in range(40):
            skynet.fork(one, n)
        skynet.yield_()
        sockets.append(len(skynet.running().service.socket_pool))
        skynet.wait()
        return [found[n] for n in range(40)]

    with NameServer(late) as s:
        assert s.ask(body) == [f"10.0.0.{n}" for n in range(40)]
        assert sockets == [1]


# ---- time


def test_an_answer_is_kept_as_long_as_it_says() -> None:
    """TTL is in seconds; of a CNAME and an address the shorter one counts."""
    with NameServer() as s:

        def body() -> list[int]:
            asked = []
            for name, wait in (
                ("one.test", 5999),
                ("one.test", 1),
                ("one.test", 0),
                ("alias.test", 3000),
                ("alias.test", 0),
            ):
                resolve(name)
                asked.append(len(s.queries))
                skynet.sleep(wait)
            skynet_dns.flush()
            resolve("alias.test")
            return [*asked, len(s.queries)]

        assert s.ask(body) == [1, 1, 2, 3, 4, 5]


def test_a_question_is_asked_again() -> None:
    """A datagram may be lost: after five seconds, once more, and not a third time."""
    lost = 1

    def respond(data: bytes, send: Callable[[bytes], Any]) -> None:
        nonlocal lost
        lost -= 1
        if lost < 0:
            send(wire(data))

    with NameServer(respond) as s:

        def body() -> Any:
            began = skynet.now()
            return resolve("one.test"), skynet.now() - began

        assert s.ask(body) == (("10.0.0.1", ["10.0.0.1"]), 500)
        lost = 2
        assert s.ask(body) == (f"dns: no answer about one.test from 127.0.0.1:{s.port}", 1000)


def test_nobody_answers() -> None:
    """Silence ends in an error that names the server; other coroutines have gone on meanwhile."""
    with NameServer(lambda data, send: None) as s:

        def body() -> Any:
            ticks: list[int] = []
            skynet.fork(lambda: [(skynet.sleep(100), ticks.append(skynet.now())) for _ in range(9)])
            return resolve("one.test"), len(ticks)

        text, ticks = s.ask(body)
        assert text == f"dns: no answer about one.test from 127.0.0.1:{s.port}" and ticks == 9


def test_an_old_answer_is_better_than_none() -> None:
    """When its time is over and the server is silent, as in skynet."""
    silent = False

    def respond(data: bytes, send: Callable[[bytes], Any]) -> None:
        if not silent:
            send(wire(data))

    with NameServer(respond) as s:

        def body() -> Any:
            nonlocal silent
            first = resolve("one.test")
            silent = True
            skynet.sleep(7000)
            return first == resolve("one.test")

        assert s.ask(body) is True
        assert len(s.queries) == 3


def test_the_next_server_is_asked() -> None:
    """One that is silent, one that fails, one that knows."""

    def fails(data: bytes, send: Callable[[bytes], Any]) -> None:
        reply = dns.message.make_response(dns.message.from_wire(data))
        reply.set_rcode(dns.rcode.SERVFAIL)
        send(reply.to_wire())

    with NameServer() as s:
        ports = [s.add(lambda data, send: None), s.add(fails), s.port]

        def body() -> Any:
            resolver = skynet_dns.Resolver()
            resolver.servers = [("127.0.0.1", port) for port in ports]
            began = skynet.now()
            return resolver.resolve("one.test")[0], skynet.now() - began

        assert s.ask(body) == ("10.0.0.1", 500)
        assert len(s.queries) == 3


# ---- what is no answer


def forged(change: Callable[[dns.message.Message], Any]) -> Callable[[bytes, Callable[[bytes], Any]], None]:
    """First a false answer, a second later the true one."""

    def respond(data: bytes, send: Callable[[bytes], Any]) -> None:
        false = answer(data)
        false.answer = [dns.rrset.from_text(false.question[0].name, 60, "IN", "A", "6.6.6.6")]
        changed = change(false)
        send(changed if isinstance(changed, bytes) else false.to_wire())
        skynet.timeout(100, lambda: send(wire(data)))

    return respond


def other_question(message: dns.message.Message) -> None:
    message.question = dns.message.make_query("other.test", "A").question


def other_number(message: dns.message.Message) -> None:
    message.id = message.id % 65535 + 1


def no_answer_at_all(message: dns.message.Message) -> None:
    message.flags &= ~dns.flags.QR


@pytest.mark.parametrize(
    "change", [other_question, other_number, no_answer_at_all, lambda m: b"nonsense", lambda m: b"", lambda m: m.to_wire()[:-1]]
)  # fmt: skip
def test_what_does_not_match_is_ignored(change: Any) -> None:
    """Number, question, and that it is an answer at all; what cannot be read is nothing."""
    with NameServer(forged(change)) as s:

        def body() -> Any:
            began = skynet.now()
            return resolve("one.test")[0], skynet.now() - began

        assert s.ask(body) == ("10.0.0.1", 100)


def test_answers_of_strangers_are_ignored() -> None:
    """A datagram counts only if it comes from the server that was asked."""
    strange: list[Callable[[bytes, bytes], Any]] = []

    def respond(data: bytes, send: Callable[[bytes], Any]) -> None:
        skynet.timeout(100, lambda: send(wire(data)))

    with NameServer(respond) as s:

        def stranger() -> None:
            id = socket.udp(lambda data, source: None, "127.0.0.1", 0)
            strange.append(lambda data, to: socket.sendto(id, to, data))
            skynet.dispatch("lua", lambda session, source, data, to: strange[0](data, to))

        address = s.node.newservice(stranger)

        def body() -> Any:
            began = skynet.now()
            skynet.fork(forge)
            return resolve("one.test")[0], skynet.now() - began

        def forge() -> None:
            ((id, _),) = skynet.running().service.socket_pool.items()
            query = dns.message.make_query("one.test", "A", id=1)
            reply = wire(query.to_wire(), address("one.test.", "6.6.6.6"))
            port = socket.sockname(id)[1]
            skynet.send(address, "lua", reply, b"\x01" + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]))

        assert s.ask(body) == ("10.0.0.1", 100)


def free_for_tcp(respond: Callable[[bytes, Callable[[bytes], Any]], Any]) -> NameServer:
    """A name server whose port no program uses for TCP."""
    while True:
        s = NameServer(respond)
        with pysocket.socket() as tcp:
            tcp.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_REUSEADDR, 1)
            try:
                tcp.bind(("127.0.0.1", s.port))
            except OSError:
                s.node.close()
                continue
        return s


def test_an_answer_too_long_for_a_datagram() -> None:
    """It says so, and the question is asked again by TCP, where a length comes first."""
    zone = address("big.test.", *(f"10.0.{n // 250}.{n % 250}" for n in range(600)))

    def cut(data: bytes, send: Callable[[bytes], Any]) -> None:
        reply = dns.message.make_response(dns.message.from_wire(data))
        reply.flags |= dns.flags.TC
        send(reply.to_wire())

    def by_tcp(id: int) -> None:
        socket.start(id)
        stream = Stream(id)
        data = stream.read(int.from_bytes(stream.read(2) or b"", "big"))
        assert data is not None
        data = wire(data, zone)
        stream.write(len(data).to_bytes(2, "big") + data)
        stream.close()

    with free_for_tcp(cut) as s:
        text = s.ask(lambda: resolve("big.test"))
        assert text == f"dns: no answer about big.test from 127.0.0.1:{s.port}"  # nobody listens for TCP there

        def main() -> None:
            id = socket.listen("127.0.0.1", s.port)
            socket.start(id, lambda id, addr: by_tcp(id))

        s.node.newservice(main)
        assert len(s.ask(lambda: resolve("big.test"))[1]) == 600


# ---- files


def test_hosts(tmp_path: Path) -> None:
    """hosts(5): before any question; comments, several names, both versions, what is no address; once read."""
    (tmp_path / "hosts").write_text(
        "# a comment\n127.0.0.9 Mine.test alias\t other # 1.2.3.4 no.test\nfd00::9 mine.test\n127.0.0.8 mine.test\n"
        "nonsense x.test\n\n127.0.0.7\nfe80::1%lo scoped.test\n"
    )
    with NameServer() as s:
        assert s.ask(
            lambda: [resolve("mine.test"), resolve("mine.test", True), resolve("ALIAS"), resolve("no.test"), resolve("x.test")]
        ) == [
            ("127.0.0.9", ["127.0.0.9", "127.0.0.8"]), ("fd00::9", ["fd00::9"]), ("127.0.0.9", ["127.0.0.9"]),
            "dns: no.test: no such name", "dns: x.test: no such name",
        ]  # fmt: skip


def test_resolv_conf(tmp_path: Path) -> None:
    """resolv.conf(5): its servers in their order; without one the error says what to call."""
    path = tmp_path / "resolv.conf"
    path.write_text("; comment\n# comment\nsearch a.test\nnameserver 10.0.0.53\n nameserver ::1\noptions ndots:2\n")
    assert skynet_dns.read_resolv_conf(str(path)) == [("10.0.0.53", 53), ("::1", 53)]
    path.write_text("search a.test\n")
    for file in (path, tmp_path / "missing"):
        with pytest.raises(SocketError, match=r"no name server in .*: call dns.server\(ip\) first"):
            skynet_dns.read_resolv_conf(str(file))
    with Node(clock="virtual", log=list) as node, pytest.raises(SocketError, match="call dns.server"):
        run_service(node, lambda: skynet_dns.resolve("one.test"))


def test_a_server_has_an_address() -> None:
    """A resolver asks by address: a server that is a name could never be looked up."""
    with Node(clock="virtual", log=list) as node, pytest.raises(SocketError, match="named by its address"):
        run_service(node, lambda: skynet_dns.server("localhost"))


# ---- services


def test_each_service_has_its_own() -> None:
    """Servers, cache and numbers belong to a service, as a module's variables do in a Lua VM; and go with it."""
    with NameServer() as s:
        assert [s.ask(lambda: resolve("one.test")[0]) for _ in range(2)] == ["10.0.0.1"] * 2
        assert [query[:2] for query in s.queries] == [b"\x00\x01"] * 2
        schedulers = [ctx.state for ctx in s.node.handles.contexts.values() if ctx.state is not None]
        assert len([one for one in schedulers if "dns" in one.libs]) == 2


def test_a_service_that_ends_in_the_middle_of_a_question() -> None:
    """Nothing is left behind; the answer that comes then finds nobody."""

    def respond(data: bytes, send: Callable[[bytes], Any]) -> None:
        skynet.timeout(100, lambda: send(wire(data)))

    with NameServer(respond) as s:

        def main() -> None:
            skynet_dns.server("127.0.0.1", s.port)
            skynet.fork(skynet_dns.resolve, "one.test")
            skynet.timeout(50, skynet.exit)

        s.node.newservice(main)
        s.node.advance(200)
        assert len(s.queries) == 1 and not [line for line in s.node.log_lines if "rror" in line]
        assert len([row for row in s.node.socket_server.netstat() if row["type"] == "UDP"]) == 1


def test_the_same_questions_make_the_same_trace() -> None:
    """Question numbers are counted, not drawn: a run can be compared with another."""

    def once() -> str:
        with NameServer() as s, s.node.record() as trace:
            s.ask(lambda: [resolve("one.test"), resolve("none.test")])
        return str(trace.text())

    assert once() == once()


def test_a_connection_by_name() -> None:
    """What it is for: the address goes to socket.open, which then has nothing to look up."""
    zone = address("home.test.", "127.0.0.1")

    def greet(id: int) -> None:
        socket.start(id)
        socket.write(id, b"welcome\n")
        socket.close(id)

    with NameServer(lambda data, send: send(wire(data, zone))) as s:
        home = Listening(greet, s.node)

        def body() -> Any:
            id = socket.open(skynet_dns.resolve("home.test")[0], home.port)
            try:
                return socket.readline(id)
            finally:
                socket.close(id)

        assert s.ask(body) == b"welcome"
