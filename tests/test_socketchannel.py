"""The socket channel: one connection for many coroutines, against a real Redis and servers of our own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hiredis
import pytest
from harness import Process, free_port, needs
from redis_harness import RedisServer
from socket_harness import TIMEOUT, Limited, in_service

from skynet_lite import CallError, Node, SkynetError, SocketError, skynet, socket, socketchannel
from skynet_lite.contrib import redis
from skynet_lite.contrib.redis import RedisError
from skynet_lite.core.outside import Outside

MB = 1024 * 1024


def catch(f: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What it returns, or the error it raises."""
    try:
        return f(*args, **options)
    except SkynetError as e:
        return e


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Run jobs in a coroutine each; what each returned or raised, when all are done."""
    results: dict[int, Any] = {}
    me = skynet.running()

    def run(i: int, job: Callable[[], Any]) -> None:
        results[i] = catch(job)
        if len(results) == len(jobs):
            skynet.wakeup(me)

    for i, job in enumerate(jobs):
        skynet.fork(run, i, job)
    skynet.wait()
    return [results[i] for i in range(len(jobs))]


def ask(node: Node, body: Callable[[], Any]) -> Any:
    """What `body` returns in a service of its own; what it raises is raised here."""
    result = in_service(node, lambda: (body(),))
    if isinstance(result, Exception):
        raise result
    return result[0]


class World:
    """A node under the virtual clock, with servers in it that speak lines: `handler(id)` for each connection."""

    def __init__(self, outside: Any = None) -> None:
        self.node = Node(clock="virtual", log=list, outside=outside)

    def server(self, handler: Callable[[int], Any], port: int = 0, after: int = 0) -> int:
        """Start one, `after` so many ticks; its port (to be given in that case)."""
        ports: list[int] = []

        def accept(id: int, peer: str) -> None:
            socket.start(id)
            handler(id)

        def server() -> None:
            def begin() -> None:
                lid = socket.listen("127.0.0.1", port)
                ports.append(socket.sockname(lid)[1])
                socket.start(lid, accept)

            skynet.timeout(after, begin) if after else begin()

        self.node.newservice(server)
        return ports[0] if ports else port

    def ask(self, body: Callable[[], Any]) -> Any:
        return ask(self.node, body)

    def log(self, *words: str) -> list[str]:
        """Log lines that begin with one of these words, without the address."""
        self.node.run_until_idle()
        return [line[12:] for line in self.node.log_lines if line[12:].startswith(words)]

    def __enter__(self) -> World:
        return self

    def __exit__(self, *exc: object) -> None:
        self.node.close()


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def line(sock: socketchannel.ChannelSocket) -> tuple[Any, ...]:
    """The response function of the line servers: "-text" is an error, "+text" a part with more to come."""
    answer = sock.readline()
    if answer.startswith(b"-"):
        return False, answer[1:].decode()
    return True, answer.lstrip(b"+").decode(), answer.startswith(b"+")


def echo(id: int) -> None:
    while (text := socket.readline(id)) is not None:
        socket.write(id, text + b"\n")
    socket.close(id)


# --------------------------------------------------------------------------- order


def test_answers_come_in_the_order_of_the_requests(world: World) -> None:
    """Twenty requests are on their way at once: the server answers none before it has all of them."""

    def hoards(id: int) -> None:
        lines = [socket.readline(id) for _ in range(20)]
        for text in lines:
            socket.write(id, (text or b"") + b"!\n")

    port = world.server(hoards)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)
        return together(*[lambda i=i: c.request(b"%d\n" % i, line) for i in range(20)])

    assert world.ask(body) == [f"{i}!" for i in range(20)]


def test_one_connects_the_others_wait(world: World) -> None:
    """However many ask first, the server sees one connection."""
    connections: list[int] = []

    def counting(id: int) -> None:
        connections.append(id)
        echo(id)

    port = world.server(counting)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port, nodelay=True)
        return together(*[lambda: c.request(b"x\n", line)] * 10)

    assert world.ask(body) == ["x"] * 10
    assert len(connections) == 1


def test_parts_of_an_answer_and_of_a_request(world: World) -> None:
    """A padding answer is a list; the parts of a request go out in their order, with low priority."""

    def parts(id: int) -> None:
        socket.write(id, b"+" + (socket.read(id, 9) or b"") + b"\n+two\nthree\nsingle\n")
        socket.readline(id)
        socket.write(id, b"+part\n-broken off\n")

    port = world.server(parts)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)
        first, second = together(lambda: c.request(b"abc", line, [b"def", b"ghi"]), lambda: c.response(line))
        return [first, second, catch(c.request, b"more\n", line)]

    first, second, third = world.ask(body)
    assert (first, second) == (["abcdefghi", "two", "three"], "single")
    assert isinstance(third, CallError) and str(third) == "broken off"


def test_a_refusal_harms_only_who_asked(world: World) -> None:
    """ok False raises at one request; the connection and the others go on."""

    def refuses(id: int) -> None:
        while (text := socket.readline(id)) is not None:
            socket.write(id, (b"-no " if text == b"bad" else b"") + text + b"\n")

    port = world.server(refuses)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)
        return together(*[lambda w=w: c.request(w + b"\n", line) for w in (b"a", b"bad", b"b")])

    a, bad, b = world.ask(body)
    assert (a, b) == ("a", "b")
    assert isinstance(bad, CallError) and str(bad) == "no bad"


def test_a_response_function_that_raises_ends_the_connection(world: World) -> None:
    """Nobody knows where the next answer begins: all who wait get the error; the next request connects again."""
    connections: list[int] = []

    def counting(id: int) -> None:
        connections.append(id)
        echo(id)

    port = world.server(counting)

    def broken(sock: socketchannel.ChannelSocket) -> tuple[bool, str]:
        sock.readline()
        raise ZeroDivisionError("broken parser")

    def guarded(c: Any, response: Any) -> Any:
        try:
            return c.request(b"x\n", response)
        except ZeroDivisionError as e:
            return e

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)
        results = together(*[lambda f=f: guarded(c, f) for f in (line, broken, line)])
        return [*results, c.request(b"again\n", line)]

    first, second, third, fourth = world.ask(body)
    assert (first, fourth) == ("x", "again")
    assert str(second) == str(third) == "broken parser"
    assert len(connections) == 2


def test_the_end_of_the_connection_wakes_all_who_wait(world: World) -> None:
    """The peer leaves in the middle of an answer: everybody gets a SocketError, and nobody hangs."""

    def leaves(id: int) -> None:
        socket.readline(id)
        socket.write(id, b"half an a")
        socket.close(id)

    port = world.server(leaves)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)
        return together(*[lambda: c.request(b"x\n", line)] * 5)

    results = world.ask(body)
    assert [type(r) for r in results] == [SocketError] * 5
    assert {str(r) for r in results} == {f"the connection to 127.0.0.1:{port} has ended"}
    assert socketchannel.error is SocketError


def test_a_peer_that_leaves_while_nobody_asks(world: World) -> None:
    """The channel notices at once, says so in the log, and the next request connects again."""

    def once(id: int) -> None:
        socket.write(id, (socket.readline(id) or b"") + b"\n")
        socket.close(id)

    port = world.server(once)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)
        first = c.request(b"1\n", line)
        skynet.sleep(1)
        return [first, c.sock, c.request(b"2\n", line)]

    assert world.ask(body) == ["1", None, "2"]
    assert world.log("socket closed by peer")[0] == f"socket closed by peer :  127.0.0.1 {port}"


# --------------------------------------------------------------------------- session


def session_of(sock: socketchannel.ChannelSocket) -> tuple[Any, ...]:
    """ "N ok text", "N no text" or "N more text"."""
    session, kind, text = sock.readline().decode().split(" ", 2)
    return int(session), kind != "no", text, kind == "more"


def test_sessions_are_answered_in_any_order(world: World) -> None:
    """The server answers the last request first, one with an error, one in parts, and one that nobody asked."""

    def backwards(id: int) -> None:
        lines = [(socket.readline(id) or b"").decode().split() for _ in range(4)]
        out = "99 ok nobody\n"
        for session, text in reversed(lines):
            kind = "no" if text == "c" else "ok"
            if text == "b":
                out += f"{session} more first\n"
            out += f"{session} {kind} {text}{text}\n"
        socket.write(id, out.encode())

    port = world.server(backwards)
    order: list[str] = []

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port, response=session_of)

        def ask(session: int, text: str) -> Any:
            answer = catch(c.request, f"{session} {text}\n".encode(), session)
            order.append(text)
            return answer

        return together(*[lambda i=i, t=t: ask(i + 1, t) for i, t in enumerate("abcd")])

    a, b, c, d = world.ask(body)
    assert (a, b, d) == ("aa", ["first", "bb"], "dd")
    assert isinstance(c, CallError) and str(c) == "cc"
    assert order == ["d", "c", "b", "a"]
    assert world.log("socket: unknown session") == ["socket: unknown session : 99"]


def test_a_lost_connection_fails_all_sessions(world: World) -> None:
    """Also those that only wait (channel.response); a session in use cannot be taken twice."""

    def leaves(id: int) -> None:
        for _ in range(2):
            socket.readline(id)
        socket.close(id)

    port = world.server(leaves)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port, response=session_of)
        return together(
            lambda: c.response(7),
            lambda: c.request(b"8 x\n", 8),
            lambda: c.request(b"8 x\n", 8),
        )

    waits, asks, twice = world.ask(body)
    assert str(waits) == str(asks) == f"the connection to 127.0.0.1:{port} has ended"
    assert "session 8 waits for its answer already" in str(twice)


def test_garbage_ends_a_session_channel(world: World) -> None:
    """A response function that finds no session has lost the thread."""

    def garbage(id: int) -> None:
        socket.readline(id)
        socket.write(id, b"?\n")

    port = world.server(garbage)

    def nothing(sock: socketchannel.ChannelSocket) -> tuple[Any, ...]:
        sock.readline()
        return None, False, None

    c = world.ask(lambda: catch(socketchannel.channel("127.0.0.1", port, response=nothing).request, b"x\n", 1))
    assert "found no session" in str(c)


# --------------------------------------------------------------------------- connecting


def test_request_tries_once_and_says_why(world: World) -> None:
    """No server: the request fails with the reason, in every coroutine that waits for the connection."""
    port = free_port()

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)
        return together(*[lambda: c.request(b"x\n", line)] * 2, lambda: c.connect(True))

    wanted = f"cannot connect to 127.0.0.1:{port}: Connection refused"
    assert [str(e) for e in world.ask(body)] == [wanted] * 3
    assert f"Connect failed Connection refused 127.0.0.1 {port}" in world.log("Connect failed")


def test_connect_goes_on_until_it_works(world: World) -> None:
    """It tries at tick 0 twice, then after 1, 2, 3, ... seconds more: 0, 100, 300, 600 of virtual time."""
    port = free_port()
    world.server(echo, port, after=450)

    def body() -> list[Any]:
        begin = skynet.now()
        c = socketchannel.channel("127.0.0.1", port)
        return [c.connect(), skynet.now() - begin, c.request(b"x\n", line)]

    assert world.ask(body) == [True, 600, "x"]
    assert world.log("socket: connect") == ["socket: connect Connection refused"] * 4 + [
        f"socket: connect to 127.0.0.1 {port}"
    ]


def test_the_pauses_grow_to_ten_seconds_and_begin_again(world: World) -> None:
    """0, 1, ..., 10 s, then (with a line in the log) 11 s, and from the start: as the real one does."""
    port = free_port()
    world.server(echo, port, after=10_000)

    def body() -> int:
        begin = skynet.now()
        socketchannel.channel("127.0.0.1", port).connect()
        return skynet.now() - begin

    tries = [100 * sum(range(n + 1)) for n in range(12)]  # in the first round
    tries += [tries[-1] + 100 * sum(range(n + 1)) for n in range(1, 12)]
    assert world.ask(body) == next(t for t in tries if t >= 10_000)
    assert world.log("socket: try to reconnect") == [f"socket: try to reconnect 127.0.0.1 {port}"]


def test_backup_hosts_are_tried_in_their_order(world: World) -> None:
    """Names alone mean the same port; the one that answers stays the host of the channel."""
    dead, port = free_port(), world.server(echo)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", dead, backup=["127.0.0.1", ("127.0.0.1", port)])
        first = [c.request(b"x\n", line), c.address()]
        c.changehost("127.0.0.1", dead)
        c.changebackup([])
        return [*first, catch(c.request, b"x\n", line)]

    x, address, refused = world.ask(body)
    assert (x, address) == ("x", ("127.0.0.1", port))
    assert "Connection refused" in str(refused)
    assert world.log("socket: connect to backup") == [
        f"socket: connect to backup host 127.0.0.1 {dead}",
        f"socket: connect to backup host 127.0.0.1 {port}",
    ]


def test_login_comes_before_everybody_else(world: World) -> None:
    """auth runs with each new connection; requests of others wait until it is through."""
    seen: list[bytes] = []

    def listens(id: int) -> None:
        while (text := socket.readline(id)) is not None:
            seen.append(text)
            socket.write(id, text + b"\n")

    port = world.server(listens)

    def body() -> list[Any]:
        def login(c: socketchannel.Channel) -> None:
            assert c.request(b"user\n", line) == "user"
            skynet.sleep(5)
            assert c.request(b"password\n", line) == "password"

        c = socketchannel.channel("127.0.0.1", port, auth=login)
        return together(*[lambda i=i: c.request(b"%d\n" % i, line) for i in range(3)])

    assert world.ask(body) == ["0", "1", "2"]
    assert seen == [b"user", b"password", b"0", b"1", b"2"]


def test_a_refused_login_tries_the_next_host(world: World) -> None:
    """The login may name a backup itself; its refusal stands in the log, and at last in the error."""

    def refuses(id: int) -> None:
        socket.readline(id)
        socket.write(id, b"-not you\n")

    bad, good = world.server(refuses), world.server(echo)

    def body(learns: bool) -> Any:
        def login(c: socketchannel.Channel) -> None:
            if learns:
                c.changebackup([("127.0.0.1", good)])
            c.request(b"it's me\n", line)

        c = socketchannel.channel("127.0.0.1", bad, auth=login)
        return catch(c.request, b"x\n", line)

    assert world.ask(lambda: body(True)) == "x"
    assert world.log("socket: auth") == ["socket: auth failed not you"]
    failed = world.ask(lambda: body(False))
    assert str(failed) == f"cannot connect to 127.0.0.1:{bad}: the login failed: not you"
    assert str(failed.__cause__.__cause__) == "not you"


def test_a_login_may_change_the_host(world: World) -> None:
    """As a client of a cluster does that is told to ask elsewhere."""
    elsewhere = world.server(echo)

    def redirects(id: int) -> None:
        socket.readline(id)
        socket.write(id, str(elsewhere).encode() + b"\n")

    port = world.server(redirects)

    def body() -> list[Any]:
        def login(c: socketchannel.Channel) -> None:
            if c.port == port:
                c.changehost("127.0.0.1", int(c.request(b"who?\n", line)))

        c = socketchannel.channel("127.0.0.1", port, auth=login)
        return [c.request(b"x\n", line), c.address()]

    assert world.ask(body) == ["x", ("127.0.0.1", elsewhere)]


def test_a_server_that_leaves_during_the_login(world: World) -> None:
    """The login fails, and so does who waited for it; a login that asks again is told, and does not hang."""

    def leaves(id: int) -> None:
        socket.readline(id)
        socket.close(id)

    port = world.server(leaves)

    def body() -> Any:
        def login(c: socketchannel.Channel) -> None:
            try:
                c.request(b"user\n", line)
            except SocketError:
                c.request(b"once more\n", line)

        c = socketchannel.channel("127.0.0.1", port, auth=login)
        return together(*[lambda: c.request(b"x\n", line)] * 2)

    assert [type(e) for e in world.ask(body)] == [SocketError] * 2


def test_close_fails_who_waits_and_connect_opens_again(world: World) -> None:
    """After close nobody connects by accident."""

    def silent_once(id: int) -> None:
        if socket.readline(id) != b"silence":
            socket.write(id, b"here\n")

    port = world.server(silent_once)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)

        def close() -> None:
            skynet.sleep(1)
            c.close()
            c.close()  # a second time does nothing

        waits, _ = together(lambda: c.request(b"silence\n", line), close)
        closed = catch(c.request, b"x\n", line)
        c.connect(True)
        return [waits, closed, c.request(b"x\n", line)]

    waits, closed, again = world.ask(body)
    assert str(waits) == f"channel_closed: 127.0.0.1:{port}"
    assert "connect() opens it again" in str(closed)
    assert again == "here"


def test_closing_while_it_connects(world: World) -> None:
    """close() ends the tries of connect()."""
    port = free_port()

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)

        def close() -> None:
            skynet.sleep(250)
            c.close()

        return together(c.connect, close)

    tried, _ = world.ask(body)
    assert "channel_closed" in str(tried)


def test_who_asks_once_does_not_wait_for_who_tries_for_ever(world: World) -> None:
    """connect() pauses between its tries; a request that comes meanwhile makes a try of its own, and has its error."""
    dead = free_port()

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", dead)
        tries = skynet.fork(c.connect)
        skynet.sleep(150)
        begin = skynet.now()
        results = together(*[lambda: c.request(b"x\n", line)] * 2, lambda: c.connect(True))
        skynet.killthread(tries)
        return [*map(str, results), skynet.now() - begin]

    assert world.ask(body) == [f"cannot connect to 127.0.0.1:{dead}: Connection refused"] * 3 + [0]


def test_close_ends_a_pause_at_once(world: World) -> None:
    """connect() is told in the tick of the close, not when its next try is due."""
    dead = free_port()

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", dead)
        ended: list[int] = []

        def connect() -> None:
            catch(c.connect)
            ended.append(skynet.now())

        for _ in range(3):
            skynet.fork(connect)
        skynet.sleep(650)
        c.close()
        at = skynet.now()
        skynet.yield_()
        return [n - at for n in ended]

    assert world.ask(body) == [0, 0, 0]


def test_changehost_while_it_connects(world: World) -> None:
    """The request goes to the new server: the connection to the old one is given up as soon as it is there."""
    old, new = world.server(lambda id: socket.write(id, b"old\n")), world.server(lambda id: socket.write(id, b"new\n"))

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", old)
        return [*together(lambda: c.request(b"x\n", line), lambda: c.changehost("127.0.0.1", new)), c.port]

    assert world.ask(body) == ["new", None, new]


def test_a_server_that_leaves_while_a_login_does_not_look(world: World) -> None:
    """The login ends well, on a connection that is no more: one try, and an error; not another try without end."""
    connections: list[int] = []

    def leaves(id: int) -> None:
        connections.append(id)
        socket.close(id)

    port = world.server(leaves)

    def body() -> Any:
        c = socketchannel.channel("127.0.0.1", port, auth=lambda c: skynet.sleep(2))
        return catch(c.request, b"x\n", line)

    assert "was closed by the peer" in str(world.ask(body))
    assert len(connections) == 1


def test_a_server_that_leaves_while_an_answer_is_looked_at(world: World) -> None:
    """The response function does something else than reading: the end is noticed when it comes back."""

    def once(id: int) -> None:
        socket.write(id, (socket.readline(id) or b"") + b"\n")
        socket.close(id)

    port = world.server(once)

    def slow(sock: socketchannel.ChannelSocket) -> tuple[Any, ...]:
        answer = sock.readline()
        skynet.sleep(5)
        return True, answer

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)
        answer = c.request(b"x\n", slow)
        skynet.sleep(1)
        return [answer, c.sock, mine()]

    assert world.ask(body) == [b"x", None, []]


def answers_all_but_silence(id: int) -> None:
    while (text := socket.readline(id)) is not None:
        if text != b"silence":
            socket.write(id, text + b"\n")
    socket.close(id)


def test_who_reads_is_killed(world: World) -> None:
    """As killtask of a console can: those who wait for their answer have an error, and the next request connects again."""
    port = world.server(answers_all_but_silence)

    def body() -> list[Any]:
        c = socketchannel.channel("127.0.0.1", port)

        def kill() -> None:
            skynet.sleep(2)
            tasks: dict[str, str] = {}
            skynet.task(tasks)
            (reader,) = [co for co, stack in tasks.items() if "answer = sock.readline()" in stack]
            skynet.killthread(reader)

        waits, _ = together(lambda: c.request(b"silence\n", line), kill)
        return [waits, c.request(b"x\n", line), len(mine())]

    waits, again, sockets = world.ask(body)
    assert isinstance(waits, SocketError) and "has lost its reader" in str(waits)
    assert (again, sockets) == ("x", 1)


@pytest.mark.parametrize("where", ["the login", "the connect"])
def test_who_connects_is_killed(where: str) -> None:
    """In the middle of the one or the other: those who waited for it have an error, and the next request works."""
    kept = Kept()
    with World(kept) as world:
        port = world.server(answers_all_but_silence)

        def body() -> list[Any]:
            def login(c: socketchannel.Channel) -> None:
                if where == "the login" and not killed:
                    c.request(b"silence\n", line)

            c = socketchannel.channel("127.0.0.1", port, auth=login)
            killed: list[Any] = []
            kept.keeps = where == "the connect"
            first = skynet.fork(c.connect)

            def kill() -> None:
                for _ in range(40):
                    skynet.yield_()
                killed.append(skynet.killthread(first))
                kept.keeps = False

            waits, also, _ = together(lambda: c.request(b"x\n", line), lambda: c.connect(True), kill)
            return [waits, also, c.request(b"y\n", line), len(mine())]

        waits, also, again, sockets = world.ask(body)
        assert "was not made: who tried has ended" in str(waits) and "was not made" in str(also)
        assert (again, sockets) == ("y", 1), "and no connection is left over"


def mine() -> list[Any]:
    """The sockets of this service."""
    return [row for row in socket.netstat() if row["address"] == skynet.self()]


class Kept(Outside):
    """While it `keeps`, no connection is told to be there."""

    keeps = False

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        return [event for event in super().poll(0 if self.keeps else timeout) if not (self.keeps and event[1] & 2)]


def test_overload_is_told_once_and_its_end(world: World) -> None:
    """overload(True) at the first megabyte that waits, overload(False) when all is sent; more goes to the log."""
    limited = Limited()
    with World(limited) as world:
        told: list[bool] = []
        received: list[int] = []

        def counts(id: int) -> None:
            while (data := socket.read(id)) is not None:
                received.append(len(data))

        port = world.server(counts)

        def body() -> None:
            c = socketchannel.channel("127.0.0.1", port, overload=told.append)
            c.connect(True)
            limited.room = 0
            for _ in range(4):
                c.request(b"x" * MB)
                for _ in range(40):  # time stands still while bytes wait; the node polls every 16 messages
                    skynet.yield_()
            limited.room = None

        world.ask(body)
        world.node.run(until=lambda: sum(received) == 4 * MB and told[-1:] == [False], timeout=TIMEOUT)
        assert told == [True, False]
        assert len(world.log("WARNING: 2048 K bytes need to send out (fd = ")) == 1


def test_other_functions_may_read(world: World) -> None:
    """socket_read and socket_readline stand in for those of the socket library (as for TLS)."""
    port = world.server(echo)

    def body() -> Any:
        c = socketchannel.channel(
            "127.0.0.1", port, socket_readline=lambda fd, sep: (socket.readline(fd, sep) or b"").upper()
        )
        return c.request(b"shout\n", line)

    assert world.ask(body) == "SHOUT"


def test_a_service_that_ends_takes_its_channel_along(world: World) -> None:
    """No coroutine, connection or waiting caller is left, and the server is told."""
    ended: list[bytes | None] = []

    def server(id: int) -> None:
        ended.append(socket.readline(id))
        ended.append(socket.readline(id))

    port = world.server(server)

    def client() -> None:
        c = socketchannel.channel("127.0.0.1", port)
        skynet.fork(catch, c.request, b"question\n", line)
        skynet.sleep(5)
        skynet.exit()

    with pytest.raises(CallError):
        world.node.newservice(client)
    world.node.run_until_idle()
    assert ended == [b"question", None]
    assert [row["type"] for row in world.node.socket_server.netstat() if row["type"] == "TCP"] == []


def test_same_program_same_trace() -> None:
    """A channel adds nothing that chance decides: two runs, one trace."""

    def run() -> str:
        with World() as world:
            port = world.server(echo)

            def body() -> Any:
                c = socketchannel.channel("127.0.0.1", port)
                return together(*[lambda i=i: c.request(b"%d\n" % i, line) for i in range(5)])

            with world.node.record() as trace:
                assert world.ask(body) == list("01234")
            return str(trace.text())

    assert run() == run()


# --------------------------------------------------------------------------- a real Redis

redis_server = needs("redis-server")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=[1, 4], ids=["one worker", "four workers"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with Node(log=list, thread=request.param) as node:
        yield node


@redis_server
def test_replies_as_python_values(server: RedisServer, node: Node) -> None:
    """str, int, None, lists and booleans; bytes survive in a str; an error is raised, and named."""

    def body() -> list[Any]:
        db = redis.connect("127.0.0.1", server.port)
        db.flushall()
        return [
            db.set("k", b"\xff\0v"),
            db.get("k").encode("utf-8", "surrogateescape"),
            db.set("k2", db.get("k")) and db.strlen("k2"),
            db.get("nothing"),
            db.incr("n"),
            db.rpush("l", "a", 2, 3.5),
            db.lrange("l", 0, -1),
            db.exists("k"),
            db.exists("nothing"),
            db.sismember("s", "x"),
            db.command("CONFIG", "GET", "save"),
            db.echo("zwölf 十二"),
            catch(db.incr, "k"),
            db.set("big", "x" * MB) and len(db.get("big")),
        ]

    *values, error, big = ask(node, body)
    assert values == [
        "OK", b"\xff\0v", 3, None, 1, 3, ["a", "2", "3.5"], True, False, False, ["save", ""], "zwölf 十二",
    ]  # fmt: skip
    assert isinstance(error, RedisError) and str(error) == "ERR value is not an integer or out of range"
    assert big == MB


@redis_server
def test_many_coroutines_one_connection(server: RedisServer, node: Node) -> None:
    """A hundred coroutines: each gets its own answer, and Redis has seen one client."""

    def body() -> Any:
        db = redis.connect("127.0.0.1", server.port)
        db.flushall()
        answers = together(*[lambda i=i: (i, db.echo(f"e{i}"), db.incr("n")) for i in range(100)])
        return answers, db.client("LIST")

    answers, clients = ask(node, body)
    assert [(i, e) for i, e, _ in answers] == [(i, f"e{i}") for i in range(100)]
    assert sorted(n for *_, n in answers) == list(range(1, 101))
    assert len(clients.splitlines()) == 1


@redis_server
def test_pipeline(server: RedisServer, node: Node) -> None:
    """Several commands in one write; an error takes its place among the replies and harms no other."""

    def body() -> Any:
        db = redis.connect("127.0.0.1", server.port)
        db.flushall()
        replies = db.pipeline([["SET", "k", "text"], ["INCR", "k"], ["INCR", "n"], ["GET", "k"]])
        return replies, catch(db.pipeline, []), db.command("MULTI"), db.incr("k"), catch(db.command, "EXEC")

    replies, empty, *multi, failed = ask(node, body)
    assert [replies[0], *replies[2:]] == ["OK", 1, "text"]
    assert isinstance(replies[1], RedisError)
    assert "at least one command" in str(empty)
    assert multi == ["OK", "QUEUED"]
    assert isinstance(failed, RedisError), "an error inside a list of replies is one of the whole"


@redis_server
def test_the_server_is_killed_while_five_wait(tmp_path: Path, node: Node) -> None:
    """All five fail at once, with a SocketError; when the server is back the next request simply works."""
    with RedisServer(tmp_path) as server:

        def body() -> Any:
            db = redis.connect("127.0.0.1", server.port)

            def kill() -> None:
                skynet.sleep(10)
                server.kill()

            results = together(lambda: db.blpop("nothing", 0), *[lambda: db.incr("n")] * 4, kill)[:5]
            down = catch(db.incr, "n")
            with RedisServer(tmp_path, port=server.port):
                return results, down, db.incr("n")

        results, down, up = ask(node, body)
    assert {(type(r), str(r)) for r in results} == {
        (SocketError, f"the connection to 127.0.0.1:{server.port} has ended")
    }
    assert "Connection refused" in str(down)
    assert up == 1


@redis_server
def test_password_and_database(tmp_path: Path, node: Node) -> None:
    """AUTH and SELECT with each connection; a wrong password is refused with Redis' own words."""
    with RedisServer(tmp_path, "--requirepass", "secret") as locked:

        def body() -> list[Any]:
            db = redis.connect("127.0.0.1", locked.port, auth="secret", db=3)
            named = redis.connect("127.0.0.1", locked.port, username="default", auth="secret")
            return [
                db.set("k", "v"),
                db.client("INFO").split(" db=")[1].split()[0],
                named.get("k"),
                catch(redis.connect, "127.0.0.1", locked.port, auth="wrong"),
                catch(redis.connect("127.0.0.1", locked.port).get, "k"),
            ]

        ok, number, other, wrong, without = ask(node, body)
    assert (ok, number, other) == ("OK", "3", None)
    assert "the login failed: WRONGPASS" in str(wrong) and "WRONGPASS" in str(wrong.__cause__.__cause__)
    assert any("socket: auth failed WRONGPASS" in text for text in node.log_lines)
    assert isinstance(without, RedisError) and str(without).startswith("NOAUTH")


@redis_server
def test_backup_is_a_real_server(server: RedisServer, node: Node) -> None:
    """The first host is dead: the second, a Redis, serves."""
    dead = free_port()

    def body() -> Any:
        db = redis.connect("127.0.0.1", dead, backup=[("127.0.0.1", server.port)])
        return db.ping(), db.channel.address()

    assert ask(node, body) == ("PONG", ("127.0.0.1", server.port))


@redis_server
def test_subscriptions_come_back_after_a_reconnect(server: RedisServer, node: Node) -> None:
    """watch hears what others publish, by name and by pattern; cut off, it subscribes again by itself."""

    def body() -> list[Any]:
        db = redis.connect("127.0.0.1", server.port)
        w = redis.watch("127.0.0.1", server.port)
        w.subscribe("news", "gone")
        w.psubscribe("we*")
        w.unsubscribe("gone")

        def publish(*pairs: tuple[str, str]) -> None:
            for channel, text in pairs:
                while db.publish(channel, text) == 0:  # until it is subscribed to
                    skynet.sleep(1)

        skynet.fork(publish, ("news", "one"), ("weather", "rain"))
        heard = [w.message(), w.message()]

        def cut() -> None:
            skynet.sleep(5)
            db.client("KILL", "TYPE", "pubsub")

        skynet.fork(cut)
        heard.append(catch(w.message))
        skynet.fork(publish, ("weather", "sun"), ("news", "two"))
        heard += [w.message(), w.message()]
        heard.append(db.pubsub("NUMSUB", "gone"))
        w.disconnect()
        return heard

    one, rain, lost, sun, two, gone = ask(node, body)
    assert (one, rain, sun, two) == (
        ("one", "news"),
        ("rain", "weather", "we*"),
        ("sun", "weather", "we*"),
        ("two", "news"),
    )
    assert isinstance(lost, SocketError)
    assert gone == ["gone", 0]


@needs("redis-cli")
def test_redis_cli_speaks_to_a_service_of_ours(node: Node) -> None:
    """The other side of the protocol: a service that hiredis parses for, and a client that knows nothing of us."""
    data: dict[str, str] = {}
    ports: list[int] = []

    def serve(id: int, peer: str) -> None:
        socket.start(id)
        reader = hiredis.Reader(encoding="utf-8")
        while (arrived := socket.read(id)) is not None:
            reader.feed(arrived)
            while (command := reader.gets()) is not False:
                socket.write(id, answer(*command))
        socket.close(id)

    def answer(name: str, *args: str) -> bytes:
        name = name.upper()
        if name == "SET":
            data[args[0]] = args[1]
            return b"+OK\r\n"
        if name == "GET" and args[0] in data:
            value = data[args[0]].encode()
            return b"$%d\r\n%b\r\n" % (len(value), value)
        if name == "GET":
            return b"$-1\r\n"
        if name == "DBSIZE":
            return b":%d\r\n" % len(data)
        return f"-ERR unknown command '{name}'\r\n".encode()

    def main() -> None:
        lid = socket.listen("127.0.0.1:0")
        ports.append(socket.sockname(lid)[1])
        socket.start(lid, serve)

    node.newservice(main)

    def cli(*words: str, stdin: str | None = None) -> str:
        command = ["redis-cli", "-p", str(ports[0]), *words]
        with Process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(stdin or "")
            process.stdin.close()
            node.run(until=lambda: process.poll() is not None, timeout=TIMEOUT)
            return process.stdout.read()

    assert cli("SET", "greeting", "hello world") == "OK\n"
    assert cli("GET", "greeting") == "hello world\n"
    assert cli("--no-raw", "GET", "nothing") == "(nil)\n"
    assert cli("--no-raw", "DBSIZE") == "(integer) 1\n"
    assert cli("FROBNICATE").startswith("ERR unknown command 'FROBNICATE'")
    assert cli(stdin="SET a 1\nSET b 2\nDBSIZE\n") == "OK\nOK\n3\n"
