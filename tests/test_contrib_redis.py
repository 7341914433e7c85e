"""A server that is no Redis, or a bad one: the client says in one line whom it met and what that said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from contrib_harness import Listening, run_service

from skynet_lite import SocketError, socket
from skynet_lite.contrib import redis
from skynet_lite.contrib.redis import RedisError


def met(s: Listening, body: Callable[[], Any]) -> Any:
    """What `body` returns or raises, in a service that leaves no socket and no traceback behind."""

    def attempt() -> Any:
        try:
            return body()
        except (SocketError, RedisError) as e:
            assert e.__cause__ is None and "\n" not in str(e)
            return type(e), str(e).replace(str(s.port), "PORT")

    outcome = run_service(s.node, attempt)
    assert not any("Traceback" in line for line in s.node.log_lines)
    return outcome


def saying(reply: bytes) -> Listening:
    def accept(id: int) -> None:
        socket.start(id)
        while socket.read(id) is not None:
            socket.write(id, reply)
        socket.close(id)

    return Listening(accept)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 'Protocol error, got "H" as reply type byte'),
        (b"$x\r\n", "Bad bulk string length"),
        (b"*4294967295\r\n", "out of memory"),
        (b"%1\r\n*0\r\n+a map whose key is a list\r\n", "unhashable type: 'list'"),
    ],
)
def test_no_redis(reply: bytes, why: str) -> None:
    """Web server or worse: a SocketError for all who wait, and the next request makes a new connection."""
    with saying(reply) as s:

        def twice() -> list[Any]:
            db = redis.connect("127.0.0.1", s.port)
            try:
                return [pytest.raises(SocketError, db.get, "k").value.args for _ in range(2)]
            finally:
                db.disconnect()

        said = met(s, twice)
        assert [text.replace(str(s.port), "PORT") for (text,) in said] == [
            f"the connection to 127.0.0.1:PORT does not speak Redis: {why}"
        ] * 2


def test_a_reply_has_a_limit() -> None:
    """One key with a gigabyte in it must not fill the memory of the node; the next request makes a new connection."""

    def reply(size: int) -> bytes:
        return b"$%d\r\n%s\r\n" % (size, b"x" * size)

    for size, fits in ((1000, True), (300_000, False)):
        with saying(reply(size)) as s:

            def twice(s: Any = s) -> list[Any]:
                db = redis.connect("127.0.0.1", s.port, reply_limit=200_000)
                found = []
                for _ in range(2):
                    try:
                        found.append(len(db.get("k")))
                    except SocketError as e:
                        found.append(str(e).replace(str(s.port), "PORT"))
                db.disconnect()
                return found

            why = "the connection to 127.0.0.1:PORT gave a reply of more than 200000 bytes: set another reply_limit"
            assert met(s, twice) == ([size] * 2 if fits else [why] * 2)


def listens(s: Any) -> Callable[[], Any]:
    """A subscriber that waits for its first message."""

    def task() -> Any:
        w = redis.watch("127.0.0.1", s.port)
        try:
            w.subscribe("c")
            return w.message()
        finally:
            w.disconnect()

    return task


@pytest.mark.parametrize("reply", [b":1\r\n", b"$-1\r\n", b"+OK\r\n", b"*0\r\n", b"*2\r\n$7\r\nmessage\r\n$1\r\nc\r\n",
                                   b"*3\r\n:1\r\n:2\r\n:3\r\n", b"*3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n"])  # fmt: skip
def test_what_no_subscriber_is_told(reply: bytes) -> None:
    """A reply of another shape than a message is a SocketError, not a TypeError of ours; the connection is dropped."""
    with saying(reply) as s:
        kind, text = met(s, listens(s))
        assert kind is SocketError and text.startswith("the connection to 127.0.0.1:PORT gave ")
        assert text.endswith(" to a subscriber")


def test_a_subscription_that_is_refused() -> None:
    """What Redis answers as an error is a RedisError here too."""
    with saying(b"-NOAUTH Authentication required.\r\n") as s:
        assert met(s, listens(s)) == (RedisError, "NOAUTH Authentication required.")
