"""A Redis client: many coroutines, one connection, answers in the order of the requests.

One idea: the socket channel brings who asked and what was answered together; hiredis
knows the protocol. Commands are methods: `db.set("k", 1)`, `db.hgetall("h")`, and
`db.command("CONFIG", "GET", "save")` for what is no name in Python.

Replies: str (UTF-8, other bytes survive as surrogateescape), int, None, lists. What
Redis answers as an error is raised as RedisError. Needs hiredis: `skynet_lite[contrib]`.
After lualib/skynet/db/redis.lua.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

try:
    import hiredis
except ImportError:
    raise ImportError("skynet_lite.contrib.redis needs hiredis: pip install 'skynet_lite[contrib]'") from None

from ..core.errors import SkynetError
from ..lualib.socketchannel import Channel, ChannelSocket, channel

REPLY_LIMIT = 64 * 1024 * 1024


class RedisError(SkynetError):
    """What the Redis server answered as an error."""


def _pack(command: Iterable[Any]) -> Any:
    words: Any = (w if isinstance(w, bytes) else str(w).encode("utf-8", "surrogateescape") for w in command)
    return hiredis.pack_command(tuple(words))


class _Replies:
    """The reader of a channel's current connection; what hiredis has read ahead stays with it."""

    def __init__(self, limit: int | None) -> None:
        self._sock: ChannelSocket | None = None
        self._reader: Any = None
        self._limit = limit
        self.channel: Channel  # whose replies they are

    def next(self, sock: ChannelSocket) -> Any:
        """One reply; an error is a RedisError, not raised. Raises SocketError: it is too long, or that is no Redis."""
        come = 0
        if sock is not self._sock:
            self._sock = sock
            self._reader = hiredis.Reader(encoding="utf-8", errors="surrogateescape", replyError=RedisError)
        try:
            while (reply := self._reader.gets()) is False:
                self._reader.feed(data := sock.read())
                if self._limit is not None and (come := come + len(data)) > self._limit:
                    raise self.channel.lost(f"gave a reply of more than {self._limit} bytes: set another reply_limit")
        except (hiredis.ProtocolError, TypeError, ValueError, MemoryError) as e:  # a list as a key, a length beyond all
            raise self.channel.lost(f"does not speak Redis: {str(e) or 'out of memory'}") from None
        return reply

    def one(self, sock: ChannelSocket) -> tuple[bool, Any]:
        reply = self.next(sock)
        parts = reply if isinstance(reply, list) else [reply]
        failed = next((part for part in parts if isinstance(part, RedisError)), None)
        return failed is None, reply if failed is None else failed

    def several(self, n: int, sock: ChannelSocket) -> tuple[bool, list[Any]]:
        return True, [self.next(sock) for _ in range(n)]


class _Connection:
    """A channel that logs in."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 6379, *, auth: str | None = None, username: str | None = None,
        db: int | None = None, reply_limit: int | None = REPLY_LIMIT, **options: Any,
    ) -> None:  # fmt: skip
        self._replies = _Replies(reply_limit)
        self._hello: list[tuple[Any, ...]] = []
        if auth is not None:
            self._hello.append(("AUTH", auth) if username is None else ("AUTH", username, auth))
        if db is not None:
            self._hello.append(("SELECT", db))
        self.channel: Channel = channel(host, port, auth=self._login, nodelay=True, **options)
        self._replies.channel = self.channel
        self.channel.connect(True)

    def _login(self, channel: Channel) -> None:
        for command in self._hello:
            channel.request(_pack(command), self._replies.one)

    def disconnect(self) -> None:
        self.channel.close()


class Redis(_Connection):
    """What `connect` returns."""

    def command(self, *words: Any) -> Any:
        """Send one command and return its reply. Raises RedisError, SocketError."""
        return self.channel.request(_pack(words), self._replies.one)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self.command, name.upper())

    def exists(self, key: Any) -> bool:
        return bool(self.command("EXISTS", key))

    def sismember(self, key: Any, value: Any) -> bool:
        return bool(self.command("SISMEMBER", key, value))

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send several commands at once; the list of their replies. A RedisError stands in its place in it."""
        if not commands:
            raise SkynetError("pipeline needs at least one command")
        data = b"".join(map(_pack, commands))
        replies: list[Any] = self.channel.request(data, partial(self._replies.several, len(commands)))
        return replies


class Watch(_Connection):
    """What `watch` returns: a connection for subscriptions, which are made again after a reconnect."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._subscribed: dict[tuple[str, str], None] = {}  # (command, name), in their order
        super().__init__(*args, **options)

    def _login(self, channel: Channel) -> None:
        super()._login(channel)
        for command in self._subscribed:
            channel.request(_pack(command))

    def _send(self, command: str, names: tuple[str, ...]) -> None:
        for name in names:
            self.channel.request(_pack((command, name)))

    def subscribe(self, *channels: str) -> None:
        self._send("SUBSCRIBE", channels)

    def psubscribe(self, *patterns: str) -> None:
        self._send("PSUBSCRIBE", patterns)

    def unsubscribe(self, *channels: str) -> None:
        self._send("UNSUBSCRIBE", channels)

    def punsubscribe(self, *patterns: str) -> None:
        self._send("PUNSUBSCRIBE", patterns)

    def message(self) -> tuple[str, ...]:
        """Wait for the next message: (data, channel), or (data, channel, pattern) by a pattern. Raises SocketError."""
        while (message := self.channel.response(self._pushed)) is None:
            pass
        return tuple(message)

    def _pushed(self, sock: ChannelSocket) -> tuple[bool, Any]:
        ok, reply = self._replies.one(sock)
        match reply:
            case ["message", name, data]:
                return True, (data, name)
            case ["pmessage", pattern, name, data]:
                return True, (data, name, pattern)
            case ["subscribe" | "psubscribe" as kind, str(name), int()]:
                self._subscribed[kind.upper(), name] = None
            case ["unsubscribe" | "punsubscribe" as kind, name, int()]:
                self._subscribed.pop((kind.replace("un", "", 1).upper(), name), None)
            case _ if ok:  # and the next reply would be nobody's either
                raise self.channel.lost(f"gave {reply!r:.100} to a subscriber")
        return ok, None if ok else reply


def connect(host: str = "127.0.0.1", port: int = 6379, **options: Any) -> Redis:
    """Connect and log in. Options: auth (the password), username, db, overload, backup (see socketchannel), and
    reply_limit: the bytes that one reply may have, None for any number; a longer one ends the connection.

    Raises SocketError if there is no connection.
    """
    return Redis(host, port, **options)


def watch(host: str = "127.0.0.1", port: int = 6379, **options: Any) -> Watch:
    """A connection for subscribe, psubscribe and message; options as for connect."""
    return Watch(host, port, **options)
