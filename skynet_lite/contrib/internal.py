"""What the HTTP server, its client and WebSocket share: h11 fed from a stream.

One idea (sans-I/O): h11 knows HTTP and no socket. It is given bytes and gives events,
is given events and gives bytes; when it needs more it says NEED_DATA, and that is the
one place where a coroutine waits.

After lualib/http/internal.lua and url.lua.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .. import skynet
from ..core.errors import SkynetError, shown
from . import tls
from .stream import Stream, connect

try:
    import h11 as h11  # the rest of HTTP takes it from here, with this text
except ImportError as e:
    raise ImportError("HTTP and WebSocket need h11 and wsproto: pip install 'skynet_lite[contrib]'") from e

Header = dict[str, Any]
"""Names in lower case; a value is a str, or a list of them if the name came several times."""

_FOLD_OR_END = re.compile(rb"\n(?:[ \t]|\r?\n)")  # what comes first: a line that begins with a blank, or the empty one


def next_event(stream: Stream, conn: h11.Connection) -> Any:
    """The next thing the other side says; waits for bytes if it must. DOC: next-event

    What two programs could read in two ways is refused (RFC 9112, 5.2 and 6.1): whoever stands before us may have
    seen another message than we do. Raises h11.RemoteProtocolError, TimedOut.
    """
    while True:
        if conn.their_state is h11.IDLE:  # h11 appends such a line to the one before
            found = _FOLD_OR_END.search(conn.trailing_data[0])
            if found is not None and found[0][-1:] != b"\n":
                raise h11.RemoteProtocolError("a line of the header begins with a blank")
        if (event := conn.next_event()) is not h11.NEED_DATA:
            break
        conn.receive_data(stream.read() or b"")  # no bytes: the end, and h11 knows whether it comes too early
    if isinstance(event, (h11.Request, h11.Response)):
        names = [name.lower() for name, _ in event.headers.raw_items()]
        if b"transfer-encoding" in names and (b"content-length" in names or event.http_version == b"1.0"):
            raise h11.RemoteProtocolError("transfer-encoding with a content-length, or in HTTP/1.0")
    return event


def collect(pairs: Iterable[tuple[Any, Any]]) -> Header:
    """Pairs as a dict; what comes several times is a list."""
    found: Header = {}
    for name, value in pairs:
        if isinstance(name, bytes):
            name, value = name.decode("latin-1"), value.decode("latin-1")
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def pairs(header: Mapping[str, Any] | None, *without: str) -> list[tuple[bytes, bytes]]:
    """The other way round, leaving out what we say ourselves (names in lower case)."""
    found = []
    for name, value in (header or {}).items():
        for one in value if isinstance(value, list) else [value]:
            if name.lower() not in without:
                found.append((name.encode("latin-1"), str(one).encode("latin-1")))
    return found


def checked(header: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A header that somebody gave us. Raises SkynetError."""
    if not isinstance(header, Mapping | None) or not all(isinstance(name, str) for name in header or ()):
        raise SkynetError(f"a header is a dict, and its names are str, not {shown(header)}")
    return header or {}


class Where(NamedTuple):
    """What the front of a URL says. `name`: for the header Host."""

    encrypted: bool
    host: str
    port: int
    name: str


def split(url: str, secure: str) -> Where:
    """ "https://host:8443", "https" → True, "host", 8443, "host:8443"; without a scheme it is the plain one."""
    if not isinstance(url, str):
        raise SkynetError(f"an address is a str like {secure}://host:port, not {shown(url)}")
    parts = urlsplit(url if "://" in url else f"//{url}", secure[:-1])
    if parts.scheme not in (secure, secure[:-1]) or not parts.hostname:
        raise SkynetError(f"{url!r} is no address for {secure[:-1]} or {secure}: it reads {secure}://host:port")
    encrypted = parts.scheme == secure
    port = parts.port or (443 if encrypted else 80)
    return Where(encrypted, parts.hostname, port, parts.netloc.rpartition("@")[2])


def dial(to: Where, context: ssl.SSLContext | None, timeout: int | None) -> Stream:
    """A stream to a server, by TLS or not. Raises SocketError, TimedOut."""
    if to.encrypted:
        return tls.connect(to.host, to.port, context, timeout)
    return Stream(connect(to.host, to.port, timeout))


def complain(what: str, error: BaseException) -> None:
    """Log what a handler raised, with the user's own lines."""
    skynet.running().service.report(f"{what} : ", error)
