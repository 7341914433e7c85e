"""A network in memory: many nodes in one process, and time that passes only on its wires and in timers.

One idea: all that a node knows of the world comes from its outside (core/outside.py), time too. So a network is one
more outside: each node gets a `Host` of it, and whoever waits for the world lets the others run meanwhile. Bytes take
the latency that you say, and no byte is ever early: a thousand nodes, machines that die, cables that are pulled, and
the same program makes the same run.

    net = Network(latency=0.001)
    a, b = net.node("a"), net.node("b")

It is TCP as a program sees it. Neither windows nor lost packets are simulated, and there is no UDP.
"""

from __future__ import annotations

import errno
import heapq
import os
import socket as pysocket
from collections import deque
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Any

from . import ConfigError, DriveTimeout, Node, Outside

__all__ = ["Network"]

READ, WRITE, ERROR = 1, 2, 4  # of core/poller.py
GIVES_UP = 127.0
"""Seconds after which a connect that nobody answers fails (tcp_syn_retries of tcp(7))."""
HERE = ("", "0.0.0.0", "127.0.0.1", "localhost")


def failure(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class End:
    """What a node has for a socket: one end of a connection, or what listens."""

    def __init__(self, host: Host, port: int = 0) -> None:
        self.host = host
        self.fd = next(host.network.numbers)
        self.address = (host.ip, port)
        self.peer: End | None = None
        self.mask = 0  # what its node wants to hear of
        self.arrived = bytearray()
        self.backlog: deque[End] | None = None  # of one that listens: who is to be accepted
        self.open = self.ended = self.closed = False  # connected; the other side has finished; this one has
        self.code = 0  # the error that is still to be told
        self.last = 0  # when the last arrives that is on its way here
        host.ends[self.fd] = self

    def fileno(self) -> int:
        return self.fd

    def getsockname(self) -> tuple[str, int]:
        return self.address

    def ready(self) -> int:
        found = ERROR if self.code else 0
        if self.arrived or self.ended or self.backlog:
            found |= READ & self.mask
        return found | WRITE & self.mask if self.open or found else found

    def close(self, reset: bool = False) -> None:
        if self.closed:
            return
        self.closed = True
        self.host.ends.pop(self.fd, None)
        self.host.stirred.pop(self, None)
        if self.backlog is not None:
            self.host.listeners.pop(self.address[1], None)
            for end in self.backlog:
                end.close(reset=True)
        elif self.open and self.peer is not None:
            self.tell(self.peer.reset if reset or self.arrived else self.peer.finish)
        self.open = False

    def tell(self, f: Callable[..., None], *args: Any) -> None:
        """Have something happen at the other end."""
        assert self.peer is not None
        self.host.network.carry(self.host, self.peer.host, self.peer, f, *args)

    # ---- what arrives

    def connected(self) -> None:
        if self.closed:
            self.tell(self.peer.reset)  # type: ignore[union-attr]  # who says so is there
        else:
            self.open = True
            self.host.stir(self)

    def take(self, data: bytes) -> None:
        if self.closed:
            self.tell(self.peer.reset)  # type: ignore[union-attr]
        elif self.open:
            self.arrived += data
            self.host.stir(self)

    def finish(self) -> None:
        self.ended = True
        self.host.stir(self)

    def reset(self, code: int = errno.ECONNRESET) -> None:
        self.code, self.open, self.ended = code, False, True
        self.arrived.clear()
        self.host.stir(self)

    def give_up(self) -> None:
        if self.peer is None and not self.closed:
            self.reset(errno.ETIMEDOUT)


class Host(Outside):
    """The outside of one node. It has no socket, no thread, and no clock of its own: nothing here is the base's."""

    node: Node

    def __init__(self, network: Network, name: str, ip: str) -> None:
        self.network, self.name, self.ip = network, name, ip
        self.ends: dict[int, End] = {}  # by what stands for a descriptor
        self.listeners: dict[int, End] = {}  # by port
        self.stirred: dict[End, None] = {}  # ends that may be ready
        self.alarm = -1  # when it will be woken for its next timer
        self.down = False
        self._ports = count(32768)
        self._found: deque[Any] = deque()  # names
        self._rung = False
        self._time = super().clock(False)

    # ---- time, which is the network's

    def clock(self, virtual: bool) -> Any:
        return self._time

    def monotonic_ns(self) -> int:
        return self.network.now

    def wall_time(self) -> float:
        return 1e9 + self.network.now / 1e9

    def cpu_time(self) -> float:
        return 0.0

    def nodename(self) -> str:
        return self.name

    # ---- readiness

    def ready(self) -> list[tuple[int, int]]:
        found = []
        for end in list(self.stirred):
            if mask := end.ready():
                found.append((end.fd, mask))
            else:
                del self.stirred[end]
        return found

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        found = self.ready()
        if not found and timeout != 0 and not self.network.moving:
            self.network.attend()
            limit = inf if timeout is None else self.network.now + round(timeout * 1e9)
            while not (found := self.ready()) and not self._rung and self.network.turn(limit, self):
                pass
            if not found and not self._rung and limit < inf:
                self.network.now = int(limit)
            self._rung = False
        return found

    def watch(self, fd: int, mask: int) -> None:
        if fd not in self.ends:
            raise failure(errno.EBADF)  # a pipe, or a terminal: they are outside of this world
        self.ends[fd].mask = mask
        self.stir(self.ends[fd])

    rewatch = watch

    def unwatch(self, fd: int) -> None:
        if fd in self.ends:
            self.ends[fd].mask = 0

    def wake(self) -> None:
        self._rung = True

    def stir(self, end: End) -> None:
        if not end.closed:
            self.stirred[end] = None
            self.network.awake[self] = None

    # ---- being driven by others

    def attend(self) -> None:
        """Have it woken if it has something to do, now or at its next timer."""
        if self.node.closed:
            return
        server = self.node.server
        if server.global_queue or server.socket_server.commands:
            self.network.awake[self] = None
        tick = server.timer.next_deadline()
        if tick is not None:
            at = self.network.now + round(self._time.seconds_until(tick) * 1e9)
            if not self.network.now < self.alarm <= at:
                self.alarm = at
                self.network.at(at, self.ring)

    def ring(self) -> None:
        self.network.awake[self] = None

    def idle(self) -> bool:
        server = self.node.server
        tick = server.timer.next_deadline()
        due = tick is not None and tick <= self._time.now()
        return not (server.global_queue or server.socket_server.commands or due or self.ready())

    def drive(self) -> None:
        if not self.node.closed:
            self.node.driver.run_until(self.idle, None, "idleness")
            self.attend()

    # ---- sockets

    def socket(self, family: int, kind: int) -> Any:
        if kind != pysocket.SOCK_STREAM or self.down:
            raise failure(errno.ENETDOWN if self.down else errno.EPROTONOSUPPORT)
        return End(self)

    def setsockopt(self, sock: Any, *option: Any) -> None: ...

    def bind(self, sock: Any, address: Any) -> None:
        ip, port = address
        if ip not in (*HERE, self.ip):
            raise failure(errno.EADDRNOTAVAIL)
        if port in self.listeners:
            raise failure(errno.EADDRINUSE)
        sock.address = (ip, port or next(self._ports))

    def listen(self, sock: Any, backlog: int = 0) -> None:
        sock.backlog = deque()
        self.listeners[sock.address[1]] = sock

    def connect(self, sock: Any, address: Any) -> int:
        """The errno; as always with a connect that takes a while, EINPROGRESS."""
        ip, port = address
        to = self if ip in (*HERE, self.ip) else self.network.there.get(ip)
        if to is None:
            return errno.EHOSTUNREACH
        sock.address = ("127.0.0.1" if ip in HERE else self.ip, next(self._ports))
        if not self.network.carry(self, to, sock, self.network.knock, sock, to.name, ip, port):
            self.network.at(self.network.now + round(GIVES_UP * 1e9), sock.give_up)
        return errno.EINPROGRESS

    def accept(self, sock: Any) -> tuple[Any, Any]:
        if not sock.backlog:
            raise failure(errno.EAGAIN)
        end = sock.backlog.popleft()
        return end, end.peer.address

    def accept_and_drop(self, sock: Any) -> Any:
        end, address = self.accept(sock)
        end.close()
        return address

    def recv(self, sock: Any, size: int) -> bytes:
        if sock.code:
            raise failure(self.socket_error(sock))
        if not sock.arrived and not sock.ended:
            raise failure(errno.EAGAIN)
        data = bytes(sock.arrived[:size])
        del sock.arrived[:size]
        return data

    def send(self, sock: Any, data: bytes | memoryview) -> int:
        if not sock.open:
            raise failure(self.socket_error(sock) or errno.EPIPE)
        sock.tell(sock.peer.take, bytes(data))
        return len(data)

    def socket_error(self, sock: Any) -> int:
        code, sock.code = sock.code, 0
        return int(code)

    def sockname(self, sock: Any) -> Any:
        return sock.address

    def peername(self, sock: Any) -> Any:
        if not sock.open:
            raise failure(errno.ENOTCONN)
        return sock.peer.address

    # ---- names, blocking code, secrets

    def resolve(self, host: str, port: int, kind: int) -> list[Any]:
        """A name of a node is its address. Raises socket.gaierror."""
        ip = "127.0.0.1" if host == "localhost" else self.network.addresses.get(host, host)
        if not all(part.isdigit() for part in ip.split(".")):
            raise pysocket.gaierror(pysocket.EAI_NONAME, "Name or service not known")
        return [(pysocket.AF_INET, kind, 0, "", (ip, port))]

    def lookup(self, token: Any, host: str, port: int, kind: int) -> None:
        self._found.append((token, self.answer(host, port, kind)))

    def lookups(self) -> list[Any]:
        found = list(self._found)
        self._found.clear()
        return found

    def offload(self, name: str, job: Callable[[], Any]) -> None:
        """Here and now: a thread comes back when it likes, and that would be another run each time."""
        job()

    def secret(self, name: str) -> tuple[str, str]:
        return f"{self.name}/{name}", "0" * 48  # nobody can read a file of this world

    def close(self) -> None:
        self.down = True
        for end in list(self.ends.values()):
            end.close()
        self.network.awake.pop(self, None)


class Network:
    """Nodes that reach each other by name, and the one clock that all of them have.

    `latency`: seconds that bytes take from one node to another, or a function of the two names; none to itself. One
    thread drives all, by any node's `call` or `run`, or by `run` here. `now`: nanoseconds since the network was made.
    """

    def __init__(self, latency: float | Callable[[str, str], float] = 0.001) -> None:
        self.latency = latency
        self.now = 0
        self.hosts: dict[str, Host] = {}
        self.addresses: dict[str, str] = {}  # by name: a node that comes again has the one that it had
        self.there: dict[str, Host] = {}  # by address
        self.awake: dict[Host, None] = {}  # who has something to do
        self.moving = False  # a node is driven by another's poll
        self.numbers = count(1 << 20)  # of ends: no descriptor has these
        self._coming: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = count()
        self._cut: set[str] = set()
        self._held: list[tuple[Any, ...]] = []  # what would have to pass a cut cable

    def node(self, name: str, made: Callable[..., Node] = Node, **keys: Any) -> Node:
        """A node of this name and these keys, booted. `made`: a class made from Node. Raises ConfigError."""
        if given := sorted({"thread", "clock", "poller", "outside"} & keys.keys()):
            raise ConfigError(f"a network drives its nodes, and has their clock and sockets: leave out {given}")
        if name in self.hosts and not self.hosts[name].node.closed:
            raise ConfigError(f"there is a node {name!r} already: kill or close it first")
        n = len(self.addresses) + 1
        ip = self.addresses.setdefault(name, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
        host = Host(self, name, ip)
        # No monitor: a handler takes no time here, and its thread would be one for each node.
        host.node = node = made(outside=host, clock="real", **{"endless": 0} | keys)
        self.hosts[name] = self.there[ip] = host
        node.run(until=lambda: True)  # its boot
        return node

    # ---- what may go wrong

    def kill(self, name: str) -> None:
        """`kill -9`: nothing more of this node is heard, but that its connections end. Its handlers do not finish."""
        self.hosts[name].close()
        self.hosts[name].node.close()

    def cut(self, name: str) -> None:
        """Pull its cable: nobody hears of it, and it hears of nobody. No connection ends, as with a real one."""
        self._cut.add(name)

    def heal(self, name: str) -> None:
        """Put it in again; then what was sent in the meantime arrives, as TCP sends it again."""
        self._cut.discard(name)
        held, self._held = self._held, []
        for what in held:
            self.carry(*what)

    # ---- moving

    def run(self, until: Callable[[], Any] | None = None, seconds: float | None = None) -> None:
        """Let all nodes run until `until()`, for so many seconds of the network's time, or until nothing can happen.

        Raises DriveTimeout if `until` did not come true.
        """
        limit = inf if seconds is None else self.now + round(seconds * 1e9)
        self.attend()
        while until is None or not until():
            if self.turn(limit):
                continue
            if limit < inf:
                self.now = int(limit)
            if until is None or until():
                return
            raise DriveTimeout(f"what run() waits for did not come in {self.now / 1e9} s of the network's time")

    def turn(self, limit: float, driven: Host | None = None) -> bool:
        """Let a node run, or else time go on to what comes next; False if nothing comes until `limit`.

        `driven`: the node that waits for it; whoever drives it sees to that.
        """
        if self.awake:
            host = next(iter(self.awake))
            del self.awake[host]
            if host is not driven:
                self.moving = True
                try:
                    host.drive()
                finally:
                    self.moving = False
            return True
        if not self._coming or self._coming[0][0] > limit:
            return False
        self.now = self._coming[0][0]
        while self._coming and self._coming[0][0] == self.now:
            _, _, f, args = heapq.heappop(self._coming)
            f(*args)
        return True

    def attend(self) -> None:
        """See what was done to the nodes from outside: a call, a new service, a timer."""
        for host in self.hosts.values():
            host.attend()

    def at(self, when: int, f: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._coming, (when, next(self._sequence), f, args))

    def carry(self, source: Host, to: Host, end: End, f: Callable[..., None], *args: Any) -> bool:
        """Have `f(*args)` happen when it has come from `source` to `to`, after all that comes to `end` before.

        False while a cable is cut.
        """
        if source is to:
            latency = 0.0
        elif source.name in self._cut or to.name in self._cut:
            self._held.append((source, to, end, f, *args))
            return False
        else:
            latency = self.latency(source.name, to.name) if callable(self.latency) else self.latency
        end.last = max(end.last, self.now + round(latency * 1e9))
        self.at(end.last, f, *args)
        return True

    def knock(self, client: End, name: str, ip: str, port: int) -> None:
        """Someone wants to connect."""
        host = self.hosts[name]
        listener = host.listeners.get(port)
        if listener is None or listener.address[0] not in ("0.0.0.0", ip):
            self.carry(host, client.host, client, client.reset, errno.ECONNREFUSED)
            return
        assert listener.backlog is not None
        end = End(host, port)
        end.open, end.peer, client.peer = True, client, end
        listener.backlog.append(end)
        host.stir(listener)
        end.tell(client.connected)
