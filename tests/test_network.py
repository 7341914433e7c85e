"""A network in memory: many nodes in one process, one clock, and the same run every time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from skynet_lite import CallError, ConfigError, DriveTimeout, Node, Outside, cluster, skynet, socket
from skynet_lite.network import Host, Network
from skynet_lite.testing import NodeUnderTest

PORT = 2528


def echo(host: str = "0.0.0.0") -> None:
    def accept(id: int, address: str) -> None:
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            socket.write(id, line + b"\n")
        socket.close(id)

    socket.start(socket.listen(host, PORT), accept)


def doer() -> None:
    """Runs what it is told, and answers what that returns."""

    @skynet.dispatch("lua")
    def handle(session: int, source: int, name: str, *args: Any) -> None:
        skynet.retpack(DO[name](*args))


DO: dict[str, Callable[..., Any]] = {}


def do(f: Callable[..., Any]) -> Callable[..., Any]:
    """Have `doer` know this function."""
    DO[f.__name__] = f
    return f


@do
def ask(host: str, *lines: bytes) -> list[Any]:
    """Each line's answer, and when it came, in ms."""
    id = socket.open(host, PORT)
    found = []
    for line in lines:
        socket.write(id, line + b"\n")
        found.append((socket.readline(id), skynet.hpc() // 10**6))
    socket.close(id)
    return found


def two(network: Network, **keys: Any) -> tuple[Node, int]:
    """A node that asks, with its service, and a node `b` that echoes."""
    a, b = network.node("a", log=list, **keys), network.node("b", log=list)
    b.newservice(echo)
    return a, a.newservice(doer)


def test_bytes_take_their_time_and_nothing_else_does() -> None:
    """5 ms each way: a connect is a round trip, each line another. The node that waits drives the one that answers."""
    net = Network(latency=0.005)
    a, addr = two(net)
    assert a.call(addr, "lua", "ask", "b", b"x", b"y") == [(b"x", 20), (b"y", 30)]
    assert net.now == 30 * 10**6


def test_a_latency_may_be_a_function_and_bytes_keep_their_order() -> None:
    """A later piece that is faster waits for the one before it, as in any stream."""
    chance = random.Random(1)
    net = Network(latency=lambda source, to: chance.random())
    a, b = net.node("a"), net.node("b")
    got: list[bytes] = []

    def sink() -> None:
        def accept(id: int, address: str) -> None:
            socket.start(id)
            got.append(socket.readall(id))

        socket.start(socket.listen("0.0.0.0", PORT), accept)

    @do
    def pour() -> None:
        id = socket.open("b", PORT)
        for n in range(200):
            socket.write(id, b"%d " % n)
        socket.close(id)

    b.newservice(sink)
    a.call(a.newservice(doer), "lua", "pour")
    net.run()
    assert got == [b"".join(b"%d " % n for n in range(200))]


def test_a_timer_of_another_node_comes_in_its_time() -> None:
    """Each node has its own timers and all have one clock: what is due first happens first, whoever drives."""
    net = Network()
    a, b = net.node("a"), net.node("b")
    seen: list[tuple[str, int]] = []

    def ticker(name: str, every: int) -> None:
        def tick() -> None:
            seen.append((name, net.now // 10**7))
            skynet.timeout(every, tick)

        skynet.timeout(every, tick)

    @do
    def sleep(ticks: int) -> None:
        skynet.sleep(ticks)

    b.newservice(ticker, "b", 2)
    a.newservice(ticker, "a", 3)
    a.call(a.newservice(doer), "lua", "sleep", 7)
    assert net.now == 70 * 10**6
    net.run(seconds=0.02)
    assert seen == [("b", 2), ("a", 3), ("b", 4), ("b", 6), ("a", 6), ("b", 8), ("a", 9)]
    assert net.now == 90 * 10**6


@pytest.mark.parametrize("listens, reached", [("127.0.0.1", False), ("0.0.0.0", True), ("b", True)])
def test_the_loopback_is_nobody_elses(listens: str, reached: bool) -> None:
    """What listens on 127.0.0.1 is refused to other machines, and has no latency at home."""
    net = Network()
    a, b = net.node("a", log=list), net.node("b", log=list)
    b.newservice(echo, listens)
    asks = a.newservice(doer)
    if reached:
        assert a.call(asks, "lua", "ask", "b", b"x")
    else:
        with pytest.raises(CallError, match="Connection refused"):
            a.call(asks, "lua", "ask", "b", b"x")
        before = net.now
        b.call(b.newservice(doer), "lua", "ask", "127.0.0.1", b"x")
        assert net.now == before


@pytest.mark.parametrize(
    "host, why", [("c", "Name or service not known"), ("10.9.9.9", "No route to host"), ("a", "Connection refused")]
)
def test_who_is_not_there_cannot_be_reached(host: str, why: str) -> None:
    """An unknown name, an address that nobody has, a port at which nobody listens."""
    a, addr = two(Network())
    with pytest.raises(CallError, match=why):
        a.call(addr, "lua", "ask", host, b"x")


@do
def read_for_ever() -> Any:
    id = socket.open("b", PORT)
    socket.write(id, b"x\n")
    first = socket.readline(id)
    return first, socket.readline(id), skynet.hpc() // 10**6


def test_a_node_that_is_killed_ends_its_connections() -> None:
    """The other side reads the end of the stream one latency later; who connects now is refused; a new one serves."""
    net = Network(latency=0.01)
    a, addr = two(net)
    a.send(addr, "lua", "read_for_ever")
    net.run()
    at = net.now
    net.kill("b")
    net.run()
    assert net.now == at + 10 * 10**6
    with pytest.raises(CallError, match="Connection refused"):
        a.call(addr, "lua", "ask", "b", b"x")
    b = net.node("b")
    b.newservice(echo)
    assert a.call(addr, "lua", "ask", "b", b"again")[0][0] == b"again"


def test_a_handler_of_a_killed_node_says_nothing_more() -> None:
    """Its `finally` runs, as that of any coroutine of a node that is closed; what it writes reaches nobody."""
    net = Network()
    a, b = net.node("a", log=list), net.node("b", log=list)
    heard: list[bytes] = []

    def sink() -> None:
        def accept(id: int, address: str) -> None:
            socket.start(id)
            heard.append(socket.readall(id))

        socket.start(socket.listen("0.0.0.0", PORT), accept)

    def last_words() -> None:
        def talk() -> None:
            id = socket.open("a", PORT)
            try:
                socket.write(id, b"one")
                skynet.wait()
            finally:
                socket.write(id, b"two")

        skynet.fork(talk)

    a.newservice(sink)
    b.newservice(last_words)
    net.run()
    net.kill("b")
    net.run()
    assert heard == [b"one"]


def test_a_cut_cable_says_nothing_and_a_healed_one_all() -> None:
    """No connection ends, no byte is lost: the line that was sent meanwhile is answered afterwards."""
    net = Network()
    a, addr = two(net)
    a.send(addr, "lua", "read_for_ever")
    net.run()
    net.cut("b")

    @do
    def late() -> Any:
        skynet.fork(lambda: answers.append(ask("b", b"x")))

    answers: list[Any] = []
    a.call(addr, "lua", "late")
    net.run(seconds=60)
    assert answers == []
    net.heal("b")
    net.run()
    ((word, when),) = answers[0]
    assert word == b"x" and when >= 60_000


def test_a_connect_to_a_cut_node_gives_up() -> None:
    """After 127 seconds, as Linux does; they cost none here."""
    net = Network()
    a, addr = two(net)
    net.cut("b")
    with pytest.raises(CallError, match="Connection timed out"):
        a.call(addr, "lua", "ask", "b", b"x")
    assert net.now == 127 * 10**9


def test_bytes_to_one_who_has_closed_come_back_as_a_reset() -> None:
    """As with any TCP: the end of the stream first, and an error when one writes on."""
    net = Network()
    a, b = net.node("a", log=list), net.node("b", log=list)

    def rude() -> None:
        def accept(id: int, address: str) -> None:
            socket.start(id)
            socket.close(id)

        socket.start(socket.listen("0.0.0.0", PORT), accept)

    @do
    def write_on() -> Any:
        id = socket.open("b", PORT)
        skynet.sleep(1)
        wrote = []
        for _ in range(3):
            wrote.append(socket.write(id, b"x"))
            skynet.sleep(1)
        return wrote

    b.newservice(rude)
    assert a.call(a.newservice(doer), "lua", "write_on") == [True, False, False]


def test_much_arrives_whole() -> None:
    """More than is read at once."""
    net = Network()
    a, addr = two(net)
    line = bytes(random.Random(1).choices(range(97, 123), k=3_000_000))
    assert a.call(addr, "lua", "ask", "b", line)[0][0] == line


def program(net: Network, **keys: Any) -> tuple[Node, list[str]]:
    """Ten nodes that ask each other at random, with random latency."""
    chance = random.Random(7)
    net.latency = lambda source, to: chance.expovariate(1000)
    nodes = [net.node(f"n{k}", log=list, **(keys if k == 0 else {})) for k in range(10)]
    told: list[str] = []

    def asker(k: int) -> None:
        mine = random.Random(k)

        def run() -> None:
            for n in range(5):
                to = mine.randrange(10)
                told.append(f"{k} {to} {ask(f'n{to}', b'%d' % n)}")
                skynet.sleep(mine.randrange(3))

        skynet.fork(run)

    for node in nodes:
        node.newservice(echo)
    for k, node in enumerate(nodes):
        node.newservice(asker, k)
    net.run()
    return nodes[0], told


def test_the_same_program_makes_the_same_run() -> None:
    """To the byte and the nanosecond: what each node was told when, and the whole trace of one."""
    runs = []
    for _ in range(2):
        net = Network()
        first, told = program(net, record=True)
        assert len(told) == 50
        runs.append((told, net.now, first.trace.text()))
    assert runs[0] == runs[1]


def test_one_node_of_it_can_be_replayed_alone() -> None:
    """Its recording holds all that came from the wire, so the network is not needed any more."""
    net = Network()
    a, addr = two(net, record=True)
    a.call(addr, "lua", "ask", "b", b"x", b"y")
    a.close()
    assert Node.replay(a.trace, doer).same


def test_a_node_for_tests_may_stand_in_it() -> None:
    """With its verdicts, and its functions that run inside a service."""
    net = Network()
    a, b = net.node("a", made=NodeUnderTest), net.node("b")
    b.newservice(echo)
    assert isinstance(a, NodeUnderTest)
    assert a.do(lambda: ask("b", b"x")[0][0]) == b"x"
    a.close()
    assert a.left() == []


def test_nothing_opens_a_door_of_this_machine() -> None:
    """No descriptor, no thread: a thousand nodes fit where the system allows a hundred files."""
    before = NodeUnderTest()
    before.close()
    net = Network()
    nodes = [net.node(f"n{k}", log=list) for k in range(30)]
    assert before.left() == []
    for node in nodes:
        node.close()


def test_a_host_has_nothing_of_the_real_world() -> None:
    """Every public method of an outside is its own, but for those that only look at what it says, or do nothing."""
    of_the_base = {"answer", "adopt", "recvfrom", "sendto", "note", "poll_begins", "poll_ends"}
    public = {name for name in vars(Outside) if not name.startswith("_")}
    assert public - set(vars(Host)) == of_the_base


def test_there_is_no_datagram_and_no_terminal() -> None:
    """What is not simulated is refused, with the system's words."""
    net = Network()
    a = net.node("a", log=list)

    @do
    def datagrams() -> None:
        socket.udp(lambda data, source: None)

    @do
    def terminal() -> Any:
        id = socket.bind(0)
        socket.start(id)
        return socket.readline(id)

    addr = a.newservice(doer)
    with pytest.raises(CallError, match="Protocol not supported"):
        a.call(addr, "lua", "datagrams")
    with pytest.raises(CallError, match="Bad file descriptor"):
        a.call(addr, "lua", "terminal")


def test_two_cannot_listen_at_one_port_and_nobody_at_a_strangers_address() -> None:
    """As the system says it."""
    net = Network()
    a, addr = two(net)
    a.newservice(echo)
    with pytest.raises(CallError, match="Address already in use"):
        a.newservice(echo)
    with pytest.raises(CallError, match="Cannot assign requested address"):
        a.newservice(echo, "b")


def test_what_does_not_come_is_said() -> None:
    """A run that waits for what nothing can bring ends with an error, at once."""
    net = Network()
    two(net)
    with pytest.raises(DriveTimeout, match="did not come"):
        net.run(until=lambda: False)
    with pytest.raises(DriveTimeout, match="in 5.0 s of the network's time"):
        net.run(until=lambda: False, seconds=5)


def test_names_and_keys_are_looked_at() -> None:
    """One node of a name at a time; threads, clocks and sockets are the network's matter."""
    net = Network()
    net.node("a")
    with pytest.raises(ConfigError, match="already"):
        net.node("a")
    for key, value in {"thread": 2, "clock": "virtual", "poller": "epoll", "outside": None}.items():
        with pytest.raises(ConfigError, match=key):
            net.node("b", **{key: value})


# ---- a cluster on it


WHERE = {"web": "web:2528", "db": "db:2528"}


def store() -> None:
    cluster.reload(WHERE)
    cluster.open("db")
    cluster.register("store")

    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        seen[n] += 1
        skynet.sleep(n % 7)
        skynet.retpack(n)


seen: Counter[int] = Counter()


@pytest.mark.parametrize("after", range(20))
def test_a_peer_is_killed_in_the_middle_of_a_thousand_calls(after: int) -> None:
    """At twenty moments: every call has its answer or its error, once; none hangs, and none was asked twice."""
    net = Network(latency=0.003)
    seen.clear()
    ended: Counter[int] = Counter()
    answered = 0

    def client() -> None:
        cluster.reload(WHERE)
        for n in range(1000):
            skynet.fork(one, n)

    def one(n: int) -> None:
        nonlocal answered
        skynet.sleep(n % 11)
        try:
            assert cluster.call("db", "@store", n) == n
            answered += 1
        except CallError as e:
            assert str(e).startswith("node db") and str(e).endswith("call failed")
        ended[n] += 1

    net.node("db", log=list).newservice(store)
    net.node("web", log=list).newservice(client)
    net.run(seconds=0.005 + after * 0.009)
    net.kill("db")
    net.run()
    assert set(ended) == set(range(1000)) and set(ended.values()) == {1}
    assert max(seen.values(), default=0) <= 1 and answered <= len(seen)
    if 3 <= after <= 17:
        assert 0 < answered < 1000
