"""DNS: ask a name server without stopping the node.

    ip, ips = dns.resolve("example.com")

One idea: a question has a number, and whoever asked sleeps until the answer with that
number comes. All questions of a service share one UDP socket; it is open while there
are any. dnspython knows what the messages look like, and no socket.

An answer counts only if it comes from the server that was asked, with number and
question as sent. The numbers are counted, not drawn, as in skynet: whoever can guess
them and forge addresses is believed, so ask a server on a network that you trust.

After lualib/skynet/dns.lua, whose functions act on the current service. socket.open
asks the system's resolver, in a thread, and needs none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any

from .. import skynet
from ..core.errors import SocketError, shown
from ..lualib.library import kept
from ..skynet import socket
from .dnsfiles import Key, Server, read_hosts, read_resolv_conf, version_of
from .stream import Stream, connect

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.rcode
except ImportError as e:
    raise ImportError("skynet_lite.contrib.dns needs dnspython: pip install 'skynet_lite[contrib]'") from e

DEFAULT_HOSTS = "/etc/hosts"
DEFAULT_RESOLV_CONF = "/etc/resolv.conf"
TIMEOUT = 500
"""Ticks for one server to answer, before the next one is asked."""
ATTEMPTS = 2
CACHE_SIZE = 1000


class Resolver:
    """The servers, questions and cache of one service. `servers`: (ip, port), asked in this order."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self._hosts: dict[Key, list[str]] | None = None
        self._cache: dict[Key, tuple[int, list[str]]] = {}  # until which tick, and what
        self._sockets: dict[Server, int] = {}
        self._asking: dict[int, tuple[Server, Any, list[Any]]] = {}  # by number: whom, what, and the answer
        self._tid = 0

    def resolve(self, name: str, ipv6: bool = False) -> tuple[str, list[str]]:
        """(first address, all addresses). Raises SocketError: no such name, no answer in time."""
        if not isinstance(name, str):
            raise SocketError(f"dns: a name is a str, not {shown(name)}")
        name = name.lower().rstrip(".")
        kind = "AAAA" if ipv6 else "A"
        if version_of(name):
            if version_of(name) != (6 if ipv6 else 4):
                raise SocketError(f"dns: {name} is an address of the other IP version")
            return name, [name]
        if self._hosts is None:
            self._hosts = read_hosts(DEFAULT_HOSTS)
        found = self._hosts.get((name, kind)) or self._lookup((name, kind))
        return found[0], found

    def _lookup(self, key: Key) -> list[str]:
        until, known = self._cache.get(key, (0, []))
        if known and until > skynet.now():
            return known
        try:
            question = dns.message.make_query(key[0] or "..", key[1])  # the root has no address
        except dns.exception.DNSException as e:
            raise SocketError(f"dns: {key[0]!r} is no name: {e}") from None
        if not self.servers:
            self.servers = read_resolv_conf(DEFAULT_RESOLV_CONF)
        for server in self.servers * ATTEMPTS:
            answer = self._ask(server, question)
            if answer is None or answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                continue  # another server may do better
            return self._keep(key, answer)
        if known:
            return known  # too old, but better than nothing
        raise SocketError(
            f"dns: no answer about {key[0]} from {', '.join(f'{ip}:{port}' for ip, port in self.servers)}"
        )

    def _keep(self, key: Key, answer: dns.message.QueryMessage) -> list[str]:
        # resolve_chaining follows CNAME from the name that was asked, so nothing else in the answer counts.
        try:
            chain = answer.resolve_chaining()
        except dns.exception.DNSException as e:
            raise SocketError(f"dns: a wrong answer about {key[0]}: {e}") from None
        if chain.answer is None:
            what = "no such name" if answer.rcode() == dns.rcode.NXDOMAIN else f"no {key[1]} address"
            raise SocketError(f"dns: {key[0]}: {what}")
        found = [record.to_text() for record in chain.answer]
        if len(self._cache) >= CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        self._cache.pop(key, None)
        self._cache[key] = (skynet.now() + chain.minimum_ttl * 100, found)
        return found

    # ---- one question to one server

    def _ask(self, server: Server, question: dns.message.QueryMessage) -> dns.message.QueryMessage | None:
        """None if no answer comes in time. DOC: dns-ask"""
        tid = self._number()
        question.id = tid
        slot: list[Any] = []
        self._asking[tid] = (server, question, slot)
        try:
            if server not in self._sockets:
                self._sockets[server] = socket.udp_dial(*server, self._arrived(server))
            socket.write(self._sockets[server], question.to_wire())
            skynet.sleep(TIMEOUT, ("dns", tid))
        except SocketError:
            pass  # it cannot even be asked
        finally:
            del self._asking[tid]
            if not any(other[0] == server for other in self._asking.values()) and server in self._sockets:
                socket.close(self._sockets.pop(server))
        answer = slot[0] if slot else None
        if answer is not None and answer.flags & dns.flags.TC:
            return self._ask_tcp(server, question)
        return answer

    def _number(self) -> int:
        for _ in range(65536):
            self._tid = self._tid % 65535 + 1
            if self._tid not in self._asking:
                return self._tid
        raise SocketError("dns: 65535 questions wait for an answer")

    def _arrived(self, server: Server) -> Callable[[bytes, bytes], None]:
        def arrived(data: bytes, source: bytes) -> None:
            try:
                answer = dns.message.from_wire(data, ignore_trailing=True)
            except dns.exception.DNSException:
                return
            asked, question, slot = self._asking.get(answer.id, (None, None, []))
            if question is not None and asked == server == socket.udp_address(source) and question.is_response(answer):
                slot.append(answer)
                skynet.wakeup(("dns", answer.id))

        return arrived

    def _ask_tcp(self, server: Server, question: dns.message.QueryMessage) -> dns.message.QueryMessage | None:
        """The answer did not fit into a datagram: ask again on a connection, where a length comes first."""
        wire = question.to_wire()
        try:
            stream = Stream(connect(*server, TIMEOUT))
        except SocketError:
            return None
        try:
            stream.within(TIMEOUT)
            stream.write(len(wire).to_bytes(2, "big") + wire)
            size = stream.read(2)
            data = stream.read(int.from_bytes(size, "big")) if size else None
            answer = dns.message.from_wire(data) if data else None
            return answer if isinstance(answer, dns.message.QueryMessage) and question.is_response(answer) else None
        except (SocketError, dns.exception.DNSException):
            return None
        finally:
            stream.close()


# ---- the functions of skynet's module: a resolver for each service


_resolver = partial(kept, "dns", Resolver)


def server(ip: str, port: int = 53) -> None:
    """Ask this server from now on, instead of those of /etc/resolv.conf."""
    if not isinstance(ip, str) or not version_of(ip):
        raise SocketError(f"dns: a server is named by its address, not as {ip!r}: the name would have to be looked up")
    _resolver().servers = [(str(ip_address(ip)), port)]


def resolve(name: str, ipv6: bool = False) -> tuple[str, list[str]]:
    """(first address, all addresses) of a name, from /etc/hosts, the cache or the server; see Resolver.resolve."""
    return _resolver().resolve(name, ipv6)


def flush() -> None:
    """Forget all answers, and what /etc/hosts says."""
    resolver = _resolver()
    resolver._cache.clear()
    resolver._hosts = None
