"""A channel: one connection to a server, shared by all coroutines of a service.

One idea: who asks writes its request and parks; one coroutine of the channel reads all
answers and wakes each asker. Answers are told apart in one of two ways:

    order    the n-th answer is for the n-th request (redis): every request brings the
             function that reads its answer, f(sock) -> ok, data[, padding]
    session  every answer names its request: the channel has the one function that
             reads, response(sock) -> session, ok, data[, padding]

`sock.read(n)` and `sock.readline(sep)` raise SocketError at the end of the connection.
ok False makes the request raise `data`; padding True says that more parts follow, and
the request returns the list of them. If the function raises, the connection is closed
and all who wait get the error. The next request connects again.

After lualib/skynet/socketchannel.lua. There one dispatch thread serves connection after
connection; here each connection has its own, and its own waiters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import CallError, SkynetError, SocketError, text_of
from ..skynet import error as _log, fork, sleep, socket, wait, wakeup
from ..skynet.coroutine import Coroutine, running
from ..skynet.runnable import runnable

__all__ = ["Channel", "ChannelSocket", "channel", "error"]
__dir__ = __all__.copy

error = SocketError
"""What a request raises when the connection is lost, or cannot be made."""

CLOSED = "channel_closed"
MAX_BACKOFF = 1000  # ticks

Address = tuple[str, int]
Response = Callable[["ChannelSocket"], tuple[Any, ...]]


@dataclass(eq=False, slots=True)
class _Waiter:
    """A coroutine that waits for its answer."""

    response: Any  # in order mode the function that reads it
    parts: list[Any] = field(default_factory=list)  # what has come of it
    done: bool = False
    result: Any = None
    failure: BaseException | None = None

    def answer(self, ok: Any, data: Any) -> None:
        if ok:
            self.end([*self.parts, data] if self.parts else data)
        else:
            self.end(failure=data if isinstance(data, BaseException) else CallError(str(data)))

    def end(self, result: Any = None, failure: BaseException | None = None) -> None:
        self.done, self.result, self.failure = True, result, failure
        wakeup(self)

    def wait(self) -> Any:
        if not self.done:
            wait(self)
        if self.failure is not None:
            raise self.failure
        return self.result


class ChannelSocket:
    """One connection of a channel: what response functions read from."""

    def __init__(self, channel: Channel, fd: int) -> None:
        self.fd = fd
        self.closed = False
        self.auth: Coroutine | None = None  # who logs in; nobody else may use the connection meanwhile
        self._channel = channel
        self._waiting: dict[Any, _Waiter] = {}  # by session; in order mode by itself, the oldest first
        self._idle: Coroutine | None = None  # the dispatch thread, while nobody waits for an answer

    def read(self, size: int | None = None) -> bytes:
        """`size` bytes, or what there is. Raises SocketError at the end of the connection."""
        return self._or_raise(self._channel.socket_read(self.fd, size))

    def readline(self, sep: bytes = b"\n") -> bytes:
        """A line without its separator. Raises SocketError at the end of the connection."""
        return self._or_raise(self._channel.socket_readline(self.fd, sep))

    def _or_raise(self, data: bytes | None) -> bytes:
        if data is None:
            raise self._channel.lost("has ended")
        return data

    # ---- who waits

    def push(self, response: Any) -> _Waiter:
        """Stand in the queue; `response` is a function, or in session mode the session."""
        waiter = _Waiter(response)
        by_session = self._channel.response_function is not None
        if by_session and response in self._waiting:
            raise SocketError(f"session {response!r} waits for its answer already: choose another")
        self._waiting[response if by_session else waiter] = waiter
        self._wake_dispatch()
        return waiter

    def close(self, failure: BaseException) -> None:
        """Close, and fail all who wait."""
        if self.closed:
            return
        self.closed = True
        if self._channel.sock is self:
            self._channel.sock = None
        waiters, self._waiting = self._waiting, {}
        for waiter in waiters.values():
            waiter.end(failure=failure)
        self._wake_dispatch()
        with suppress(SkynetError):  # somebody else is closing it
            socket.close(self.fd)

    # ---- the dispatch thread

    def dispatch(self) -> None:
        """Read answers until the connection ends."""
        try:
            while not self.closed:
                try:
                    self._read_answer()
                except Exception as e:
                    self.close(e)
        finally:  # somebody has ended this coroutine
            self.close(self._channel.lost("has lost its reader"))

    def _read_answer(self) -> None:
        function = self._channel.response_function
        if function is not None:
            key, *answer = function(self)
            if key is None:
                raise SocketError("the response function found no session")
        elif self._waiting:
            key = next(iter(self._waiting))  # it stays in the table while its answer is read, for close()
            answer = key.response(self)
        elif socket.disconnected(self.fd):  # while we were busy with something else than reading
            raise self._channel.lost("was closed by the peer")
        else:
            self._idle = running()
            wait()
            return
        waiter, (ok, data, *padding) = self._waiting.get(key), answer
        if waiter is None:
            if function is not None:
                _log("socket: unknown session :", key)
        elif ok and any(padding):
            waiter.parts.append(data)
        else:
            del self._waiting[key]
            waiter.answer(ok, data)

    def _wake_dispatch(self) -> None:
        if self._idle is not None:
            idle, self._idle = self._idle, None
            wakeup(idle)

    def peer_closed(self, fd: int) -> None:
        """CLOSE (socket.onclose): while nobody reads, only this tells us."""
        if self._idle is not None and not self.closed:
            _log("socket closed by peer : ", *self._channel.address())
            self.close(self._channel.lost("was closed by the peer"))


class Channel:
    """A channel to a server; it connects with its first request.

    Options: `response` (the function of session mode), `auth(channel)` (logs in after
    each connect; what it raises refuses the host), `backup` (see changebackup), `nodelay`,
    `overload(on)` (called when much waits to be sent, and when no more), `socket_read` and
    `socket_readline` (instead of those of socket.py).
    """

    def __init__(
        self, host: str, port: int, *, response: Response | None = None,
        auth: Callable[[Channel], Any] | None = None, backup: Iterable[str | Address] = (), nodelay: bool = False,
        overload: Callable[[bool], Any] | None = None, socket_read: Callable[..., bytes | None] = socket.read,
        socket_readline: Callable[..., bytes | None] = socket.readline,
    ) -> None:  # fmt: skip
        for function in (response, auth, overload):
            runnable(function)
        self.host, self.port = host, port
        self.sock: ChannelSocket | None = None
        self.response_function = response
        self.socket_read, self.socket_readline = socket_read, socket_readline
        self._auth, self._nodelay, self._overload_notify = auth, nodelay, overload
        self._backup = list(backup)
        self._closed = False
        self._overload = False
        self._connector: Coroutine | None = None  # who connects now
        self._waiting: list[_Waiter] = []  # for what comes of it
        self._pauses: list[_Waiter] = []  # of those who try again later

    def connect(self, once: bool = False) -> bool:
        """Connect now. With `once` raise SocketError if it fails; else try until it works.

        Between tries it waits 0, 1, 2, ... 10 seconds. Opens a closed channel again.
        """
        self._closed = False
        self._block_connect(once)
        return True

    def request(self, request: bytes, response: Any = None, padding: Iterable[bytes] | None = None) -> Any:
        """Write, wait for the answer and return its data; without `response` do not wait.

        `response`: the function that reads the answer, in session mode the session. The
        parts of `padding` follow the request, all with low priority. Raises SocketError
        if the connection cannot be made or is lost, and what the server answers as error.
        """
        sock = self._block_connect(True)
        write = socket.write if padding is None else socket.lwrite
        for part in (request, *(padding or ())):
            if not write(sock.fd, part):
                failure = SocketError(f"cannot write to {self.name()}: the connection is gone")
                sock.close(failure)
                raise failure
        return None if response is None else sock.push(response).wait()

    def response(self, response: Any) -> Any:
        """Wait for an answer that nobody has to ask for; connects until it works."""
        return self._block_connect(False).push(response).wait()

    def close(self) -> None:
        """Close; all who wait get SocketError("channel_closed...")."""
        if not self._closed:
            self._closed = True
            for pause in self._pauses:
                wakeup(pause)
            self._drop()

    def changehost(self, host: str, port: int | None = None) -> None:
        """Use another server from the next request on; the connection is closed."""
        self.host = host
        if port is not None:
            self.port = port
        self._drop()

    def changebackup(self, backup: Iterable[str | Address]) -> None:
        """Other hosts to try when the first cannot be had: names (with the same port), or (name, port)."""
        self._backup = list(backup)

    def address(self) -> Address:
        return self.host, self.port

    def name(self) -> str:
        return f"{self.host}:{self.port}"

    def lost(self, how: str) -> SocketError:
        """What is raised when the connection is of no use any more."""
        return SocketError(f"the connection to {self.name()} {how}")

    def _drop(self) -> None:
        if self.sock is not None:
            self.sock.close(SocketError(f"{CLOSED}: {self.name()}"))

    # ---- connecting

    def _usable(self) -> ChannelSocket | None:
        """The connection, if this coroutine may use it; None: connect, or wait for who does."""
        sock = self.sock
        if sock is not None and socket.disconnected(sock.fd):
            _log("socket: disconnect detected ", *self.address())
            lost = self.lost("was closed by the peer")
            sock.close(lost)
            if sock.auth is running():
                raise lost
        elif sock is not None and sock.auth in (None, running()):
            return sock
        if self._closed:
            raise SocketError(f"{CLOSED}: {self.name()}; connect() opens it again")
        return None

    def _block_connect(self, once: bool) -> ChannelSocket:
        """The connection. Without `once` it tries until it has one, or close() ends that."""
        sock, ti = self._usable(), 0
        while sock is None:
            try:
                sock = self._attempt()
                if not once:
                    _log("socket: connect to", *self.address())
            except SocketError as failure:
                if once or self._closed:
                    _log("Connect failed", failure, *self.address())
                    raise SocketError(f"cannot connect to {self.name()}: {failure}") from failure
                _log("socket: connect", failure)
                if ti > MAX_BACKOFF:
                    _log("socket: try to reconnect", *self.address())
                self._pause(ti)
                ti = 100 if ti > MAX_BACKOFF else ti + 100
                sock = self._usable()
        return sock

    def _pause(self, ti: int) -> None:
        pause = _Waiter(None)
        self._pauses.append(pause)
        try:
            sleep(ti, pause)
        finally:
            self._pauses.remove(pause)

    def _attempt(self) -> ChannelSocket:
        """One try: the first coroutine makes it, the others wait for its outcome. Raises SocketError."""
        if self._connector is None:
            failure: BaseException | None = self.lost("was not made: who tried has ended")
            self._connector = running()
            try:
                self._connect_once()
                failure = None
            except Exception as e:
                failure = e
                raise
            finally:
                self._connector = None
                waiting, self._waiting = self._waiting, []
                for waiter in waiting:
                    waiter.end(failure=failure)
        elif self._connector is running():
            raise self.lost("was lost while logging in")
        else:
            self._waiting.append(_Waiter(None))
            self._waiting[-1].wait()
        sock = self._usable()
        if sock is None:
            raise self.lost("was lost at once")
        return sock

    def _connect_once(self) -> None:
        """Try the host, then the backups, until one takes us and our login. Raises SocketError."""
        asked = self.address()
        failure, hosts = SocketError(CLOSED), [asked]
        self._add_backup(hosts)
        for n, (host, port) in enumerate(hosts):
            if self._closed:
                raise SocketError(CLOSED)
            if n:
                _log("socket: connect to backup host", host, port)
            try:
                fd = socket.open(host, port)
            except SocketError as e:
                failure = e
                continue
            if self._closed or self.address() != asked:
                socket.close(fd)  # close() or changehost() was called while we waited
                return self._connect_once()
            asked = self.host, self.port = host, port
            sock = self._begin(fd)
            refused = None if self._auth is None else self._log_in(sock)
            if sock.closed and self.address() != asked:
                return self._connect_once()  # the login has changed the host
            if refused is not None:
                sock.close(refused)
                if not isinstance(refused, SocketError):
                    _log("socket: auth failed", text_of(refused))
                # In skynet it is "no more backup host", which helps nobody.
                failure = SocketError(f"the login failed: {text_of(refused)}")
                failure.__cause__ = refused
            elif sock.closed:
                failure = self.lost("was closed by the peer")
            else:
                return
            self._add_backup(hosts)  # the login may have named new ones
        raise failure

    def _log_in(self, sock: ChannelSocket) -> Exception | None:
        """Let `auth` have the connection for itself; what it raised."""
        assert self._auth is not None
        sock.auth = running()
        try:
            self._auth(self)
        except Exception as e:
            return e
        except BaseException:
            sock.close(self.lost("was given up during the login"))
            raise
        finally:
            sock.auth = None
        return None

    def _add_backup(self, hosts: list[Address]) -> None:
        for entry in self._backup:
            address = (entry, self.port) if isinstance(entry, str) else (entry[0], entry[1])
            if address not in hosts[1:]:
                hosts.append(address)

    def _begin(self, fd: int) -> ChannelSocket:
        sock = self.sock = ChannelSocket(self, fd)
        if self._nodelay:
            socket.nodelay(fd)
        if self._overload_notify is not None:
            fork(self._overloaded, fd, 0)
            socket.warning(fd, self._overloaded)
        if self.response_function is None:
            socket.onclose(fd, sock.peer_closed)
        fork(sock.dispatch)
        return sock

    def _overloaded(self, fd: int, size: int) -> None:
        """WARNING: tell of the first and of the end, log the others."""
        assert self._overload_notify is not None
        if self.sock is None or self.sock.fd != fd:
            return
        if size and self._overload:
            _log(f"WARNING: {size} K bytes need to send out (fd = {fd})", *self.address())
        elif self._overload != (size > 0):
            self._overload = size > 0
            self._overload_notify(self._overload)


channel = Channel  # as skynet calls it
