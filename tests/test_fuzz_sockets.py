"""What listens, against what may come: seeded inputs, a few here, many with FUZZ=10000 (and FUZZ_SEED=n).

A case is its seed: the same number makes the same case again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from console import console_node, port_of, token_of
from harness import seeds
from socket_harness import TIMEOUT

from skynet_lite import Node, SkynetError, SocketError, netpack, skynet, socket, socketchannel
from skynet_lite.core.message import SOCKET_CLOSE, SOCKET_DATA, SOCKET_ERROR

SEEDS = seeds(25)


# --------------------------------------------------------------------------- the console

NAMES = (
    "call cmem clearcache dbgcmd debug dumpheap exit gc getenv help info inject jmem kill killtask list log logoff logon "
    "mem netstat ping profactive service setenv signal snax start stat task timeline token trace uniqtask verdicts waits "
    "LIST cont s n c nosuch"
).split()
WORDS = (
    ".demo .echo .nosuch :0000000a :xyz 0000000a a b 8 77 0 -1 30 1e400 nan inf 0x10 on off true false lua PING TASK RUN INFO "
    "STAT REMOTECMD KILLTASK co1 dcsvc echo nosuch /dev/null /etc/passwd ../x thread harbor None nil [1,2] {} 'ADD', \"ECHO\", "
    "1,2 ( ) __import__ run yes \x1b[31m \x00 \x7f é 十 \udcff"
).split()
HEADERS = (
    "Host: 127.0.0.1:8000", "Host: evil.test", "Host:", "Origin: null", "Content-Length: 14", "Content-Length: -1",
    "Content-Length: 99999", "Content-Length: 1e3", "Content-Length: x", "Content-Type: text/plain", "X: y", ":", "",
    "Authorization: token x", "Authorization:", "Sec-Fetch-Mode: no-cors", "host : localhost", "\xff: \xfe",
)  # fmt: skip


def some_line(r: Random) -> bytes:
    """A command with words that may suit it, or bytes of any kind."""
    if r.random() < 0.1:
        return r.randbytes(r.randrange(40)).replace(b"\n", b"")
    words = [r.choice(NAMES), *(r.choice(WORDS) for _ in range(r.randrange(5)))]
    return r.choice([" ", " ", "  ", "\t"]).join(words).encode("utf-8", "surrogateescape")


def some_request(r: Random) -> bytes:
    path = "/".join(["", r.choice(NAMES), *(r.choice(WORDS) for _ in range(r.randrange(3)))])
    line = f"{r.choice(['GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'get', 'GET  '])} {path} {r.choice(['HTTP/1.1', 'HTTP/1', ''])}"
    lines = [line, *(r.choice(HEADERS) for _ in range(r.randrange(5))), "", ""]
    text = r.choice(["\r\n", "\r\n", "\r\n", "\n"]).join(lines).encode("utf-8", "surrogateescape")
    return text + r.choice([b"", some_line(r), some_line(r) + b"\n" + some_line(r) + b"\n"])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_console_survives_what_a_stranger_sends(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Lines and requests, cut anywhere: nothing is run, no traceback is logged, and each whole line has one answer."""
    monkeypatch.chdir(tmp_path)
    r = Random(seed)
    with console_node() as node:
        before = [context.name for context in node.handles.contexts.values()]
        lines = [line for line in (some_line(r) for _ in range(r.randrange(1, 12))) if not line[:5].lower() == b"host:"]
        plain = r.random() < 0.6
        said = b"".join(line + b"\n" for line in lines) if plain else b"".join(some_request(r) for _ in range(2))
        with node.client(port_of(node)) as client:
            got = talked(node, client, said, r)
            assert node.env.get("run") is None and os.listdir() == []
            assert [context.name for context in node.handles.contexts.values()] == before
            if plain and not any(line.startswith((b"GET ", b"POST ")) for line in lines):
                assert len(ENDS.findall(got)) == sum(line != b"" for line in lines)
            assert [c for c in got.decode("utf-8", "replace") if not c.isprintable() and c not in "\t\n\r\ufffd"] == []
        survives(node)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_console_survives_what_its_user_sends(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The same with the token: a service may end of it, and a connection; the console may only if it was told to."""
    monkeypatch.chdir(tmp_path)
    r = Random(-seed)
    with console_node(logpath=str(tmp_path)) as node, node.client(port_of(node)) as client:
        client.send(f"token {token_of(port_of(node))}\n".encode())
        for _ in range(r.randrange(1, 12)):
            line = some_line(r)
            client.send(line + b"\n")
            node.run_until_idle()
            node.advance(400)
        client.recv_until(lambda: True)
        client.close()
        node.run_until_idle()
        assert not re.search(r"^\[:00000009\] .*Traceback", "\n".join(node.log_lines), re.MULTILINE)


ENDS = re.compile(rb"^<CMD (?:OK|Error)>$", re.MULTILINE)


def talked(node: Node, client: Any, said: bytes, r: Random) -> bytes:
    """What came back, when `said` has gone out in pieces."""
    at = 0
    with suppress(SocketError):  # the console has closed it meanwhile
        while at < len(said):
            size = r.choice([1, 7, 50, 1000])
            client.send(said[at : at + size])
            at += size
            if r.random() < 0.5:
                node.run_until_idle()
    node.run_until_idle()
    node.advance(400)
    with suppress(SocketError):
        return bytes(client.recv_until(lambda: True))
    return b""


def survives(node: Node) -> None:
    """Another connection is served, and nothing that was logged is an error of the console itself."""
    node.run_until_idle()
    with node.client(port_of(node)) as client:
        client.send(b"getenv thread\n")
        client.expect(b"Welcome to skynet console\nthread\t1\n<CMD OK>\n")
    assert "Traceback" not in "\n".join(node.log_lines)


# --------------------------------------------------------------------------- packets


@pytest.mark.parametrize("seed", SEEDS)
def test_any_stream_of_any_number_of_connections_is_cut_into_packets(seed: int) -> None:
    """Random bytes too, with ends and errors anywhere: what comes out is what a slow and simple reader finds."""
    r = Random(seed)
    queue, arrived = netpack.Queue(), dict[int, bytes]()
    wanted: dict[int, list[bytes]] = {}
    got: dict[int, list[bytes]] = {}

    def popped() -> None:
        while (packet := queue.pop()) is not None:
            got.setdefault(packet[0], []).append(packet[1])

    streams = {fd: some_stream(r) for fd in range(r.randrange(1, 6))}
    while streams:
        fd = r.choice(list(streams))
        size = r.choice([0, 1, 2, 3, 10, 1000, 70_000])
        piece, streams[fd] = streams[fd][:size], streams[fd][size:]
        kind, *rest = queue.filter(SOCKET_DATA, fd, len(piece), piece)
        arrived[fd] = arrived.get(fd, b"") + piece
        if kind == "data":
            popped()  # a gate has emptied the queue before the next message, or has a coroutine that will
            got.setdefault(rest[0], []).append(rest[1])
        elif r.random() < 0.7:
            popped()
        if not streams[fd] or r.random() < 0.01:
            del streams[fd]
            wanted[fd] = simply(arrived.pop(fd))
            assert queue.filter(*r.choice([(SOCKET_CLOSE, fd, 0, ""), (SOCKET_ERROR, fd, 0, "reset")]))[1] == fd
            assert fd not in queue.uncomplete
    popped()
    assert {fd: got.get(fd, []) for fd in wanted} == wanted
    assert queue.uncomplete == {}


def some_stream(r: Random) -> bytes:
    """Packets, some of them cut off, or noise."""
    if r.random() < 0.3:
        return r.randbytes(r.randrange(3000))
    sizes = [r.choice([0, 1, 2, 5, 255, 256, 65535, r.randrange(2000)]) for _ in range(r.randrange(12))]
    stream = b"".join(netpack.pack(r.randbytes(size)) for size in sizes)
    return stream[: r.randrange(len(stream) + 1)] if r.random() < 0.3 else stream


def simply(stream: bytes) -> list[bytes]:
    packets = []
    while len(stream) >= 2 and len(stream) >= 2 + (size := int.from_bytes(stream[:2], "big")):
        packets.append(stream[2 : 2 + size])
        stream = stream[2 + size :]
    return packets


# --------------------------------------------------------------------------- a channel


class Coming:
    """Servers that leave and come back, callers that ask, connect, close and change the host, and one who kills them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.ports: list[int] = []
        self.doing: dict[tuple[int, int], str] = {}  # by caller and number: what has not come back
        self.wrong: list[Any] = []  # answers for somebody else
        self.done = 0

    def chance(self, *who: Any) -> Random:
        return Random(f"{self.seed} {who}")

    def server(self) -> None:
        def serve(id: int, peer: str) -> None:
            r = self.chance("server", self.ports, id)
            if r.random() < 0.1:
                return socket.close_fd(id)
            try:
                socket.start(id)
            except SkynetError:
                return
            while (text := socket.readline(id)) is not None and (x := r.random()) > 0.05:
                if x < 0.1:
                    socket.shutdown(id)
                elif x < 0.3:
                    skynet.sleep(r.choice([1, 3, 200]))
                socket.write(id, b"half" if x > 0.95 else text + b"\n")
                if x > 0.95:
                    break
            socket.close(id)

        def come_and_go() -> None:
            port, r = 0, self.chance("life", len(self.ports))
            for _ in range(r.randrange(1, 4)):
                listening = socket.listen("127.0.0.1", port)
                port = port or socket.sockname(listening)[1]
                self.ports += [port] if port not in self.ports else []
                socket.start(listening, serve)
                skynet.sleep(r.randrange(10, 60))
                socket.close(listening)
                skynet.sleep(r.randrange(1, 20))
            socket.start(socket.listen("127.0.0.1", port), serve)

        skynet.fork(come_and_go)

    def client(self) -> None:
        r = self.chance("client")
        by_session = r.random() < 0.5
        login = self.login if r.random() < 0.5 else None
        response = self.session_of if by_session else None
        self.channel = socketchannel.channel("127.0.0.1", self.ports[0], response=response, auth=login)
        skynet.dispatch("lua", lambda session, source: skynet.retpack(self.channel.close()))
        self.callers = [skynet.fork(self.caller, n, by_session, r.choice([1, 3, 12])) for n in range(10)]
        if r.random() < 0.3:
            skynet.fork(self.killer)

    def login(self, c: socketchannel.Channel) -> None:
        r = self.chance("login", skynet.now())
        skynet.sleep(r.randrange(3))
        if r.random() < 0.2:
            raise SkynetError("not you")
        if r.random() < 0.1:
            c.changehost("127.0.0.1", r.choice(self.ports))

    def session_of(self, sock: socketchannel.ChannelSocket) -> tuple[Any, ...]:
        text = sock.readline()
        return int(text), True, text

    def caller(self, n: int, by_session: bool, pause: int) -> None:
        r, c = self.chance("caller", n), self.channel
        for i in range(r.randrange(1, 8)):
            (skynet.yield_ if r.random() < 0.3 else lambda: skynet.sleep(r.randrange(pause)))()
            number = 100 * n + i + 1

            def ask(number: int = number) -> None:
                answer = c.request(b"%d\n" % number, number if by_session else lambda sock: (True, sock.readline()))
                self.wrong += [(number, answer)] if int(answer) != number else []

            deeds: list[Callable[[], Any]] = [
                *[ask] * 5, lambda: c.connect(True), c.connect, c.close, c.close,
                lambda: c.changehost("127.0.0.1", r.choice([*self.ports, 1])),
            ]  # fmt: skip
            deed = r.choice(deeds)
            self.doing[n, i] = "connect" if deed == c.connect else "other"
            try:
                deed()
            except (SkynetError, ValueError):  # half an answer is no number
                pass
            finally:
                self.done += 1
                del self.doing[n, i]

    def killer(self) -> None:
        r = self.chance("killer")
        for _ in range(r.randrange(1, 5)):
            skynet.sleep(r.randrange(1, 40))
            tasks: dict[str, str] = {}
            skynet.task(tasks)
            readers = [co for co, stack in tasks.items() if "sock.readline()" in stack]
            asking = [self.callers[n] for n, _ in self.doing]  # others may have ended, and be something else now
            if (readers or asking) and r.random() < 0.9:
                skynet.killthread(r.choice(readers if readers and r.random() < 0.5 else asking or readers))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_caller_of_a_channel_has_its_answer_or_its_error(seed: int) -> None:
    """Only a connect() may go on trying, and close() ends that; then no coroutine waits and no socket is left over."""
    world = Coming(seed)
    with Node(clock="virtual", log=list) as node:
        for _ in range(2):
            node.newservice(world.server)
        me = node.newservice(world.client)
        node.advance(150)
        for _ in range(100):
            node.advance(100)
            if set(world.doing.values()) <= {"connect"} and world.done:
                break
        node.run(until=lambda: set(world.doing.values()) <= {"connect"}, timeout=TIMEOUT)
        while world.doing:  # a caller may connect, and go on, after each close
            node.call(me, "lua")
            node.advance(100)
        node.call(me, "lua")
        node.run_until_idle()
        assert (world.wrong, node.service(me).socket_pool) == ([], {})
        assert [v for v in node.socket_server.table().values() if v[1] == me] == []
        assert "Traceback" not in "\n".join(line for line in node.log_lines if line.startswith(f"[:{me:08x}]"))
