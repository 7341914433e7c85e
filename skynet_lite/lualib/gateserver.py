"""A gate: a service that owns the connections of many clients, and hears of packets only.

One idea: it takes the socket messages of its service for itself. No coroutine waits in
a read; each message is cut into packets (netpack.py), and the handler is called. A
handler is any object with the functions

    connect(fd, "ip:port")    a client is there; nothing is read before openclient(fd)
    message(fd, msg, sz)      a packet, bytes
    disconnect(fd)            once for each connection, whoever ended it; then call closeclient(fd)
    error(fd, text)           the connection broke; on an open one disconnect follows
    warning(fd, size)         size KB wait to be sent: at 1 MB and each doubling; 0: all is sent
    open(source, conf)        it listens; conf["address"] and conf["port"] are the real ones
    command(cmd, source, ...) a "lua" message that is not open or close; the return value answers it

of which connect and message must be there. After lualib/snax/gateserver.lua.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..core.errors import SkynetError, shown
from ..core.message import PTYPE_SOCKET
from ..skynet import dispatch, error, fork, register_protocol, retpack, start as _start_service
from ..skynet.runnable import runnable
from ..skynet.scheduler import current
from ..skynet.udp import address_of as _address
from . import netpack
from .library import values

__all__ = ["Gate", "closeclient", "openclient", "start"]
__dir__ = __all__.copy

MAXCLIENT = 1024


class Gate:
    """The state of one gate service, and what each kind of socket message does to it."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.service = current()
        self.server = self.service.server.socket_server
        self.queue = netpack.Queue()
        self.socket: int | None = None  # the listening one
        self.maxclient, self.maxwbuffer, self.nodelay = MAXCLIENT, 0, False
        self.client_number = 0
        self.connection: dict[int, bool] = {}  # False: the reading side is closed

    # ---- commands

    def open(self, source: int, conf: dict[str, Any]) -> Any:
        if self.socket is not None:
            raise SkynetError(f"this gate listens already (socket {self.socket}): close it, or start another gate")
        address, port = conf.get("address") or "0.0.0.0", conf.get("port")
        if port is None and ":" not in address:
            raise SkynetError(f'this gate is told no port: open takes {{"address": {address!r}, "port": 8888}}')
        address, port = _address(address, port)
        self.maxclient = conf.get("maxclient") or MAXCLIENT
        self.maxwbuffer = conf.get("maxwbuffer") or 0
        self.nodelay = bool(conf.get("nodelay"))
        error(f"Listen on {address}:{port}")
        self.socket = self.server.listen(self.service.handle, address, port, conf.get("backlog") or 32)
        conf["address"], conf["port"] = self.server.sockname(self.socket)
        self.server.start(self.service.handle, self.socket)
        return self._tell("open", source, conf)

    def close(self, source: int) -> None:
        if self.socket is None:
            raise SkynetError("this gate does not listen: open comes before close")
        self.server.close(self.service.handle, self.socket)

    def command(self, session: int, source: int, cmd: str, *args: Any) -> None:
        if cmd in ("open", "close"):
            answer = getattr(self, cmd)(source, *args)
        elif hasattr(self.handler, "command"):
            answer = self.handler.command(cmd, source, *args)
        else:
            raise SkynetError(f"unknown command {shown(cmd)}: a gate knows open and close; its handler no command()")
        retpack(*values(answer))

    # ---- socket messages

    def dispatch(self, session: int, source: int, kind: str | None, *args: Any) -> None:
        if kind not in (None, "init"):  # init, CONNECT: openclient, or the listening socket, works
            getattr(self, f"on_{kind}")(*args)

    def on_data(self, fd: int, msg: bytes) -> None:
        if self.connection.get(fd):
            self.handler.message(fd, msg, len(msg))
        else:
            error(f"Drop message from fd ({fd}) : {netpack.tostring(msg)}")

    def on_more(self) -> None:
        """Several packets. The fork goes on with them, should a handler block or raise. DOC: gate-more"""
        if self.queue.packets:
            fork(self.on_more)
            while packet := self.queue.pop():
                self.on_data(*packet)

    def on_open(self, fd: int, address: str) -> None:
        """ACCEPT: a client; in vain, if there are enough. DOC: gate-open"""
        self.client_number += 1
        if self.client_number >= self.maxclient:  # so one less than maxclient get in, as in skynet since 1.7
            self.server.shutdown(self.service.handle, fd)
            return
        if self.nodelay:
            self.server.nodelay(self.service.handle, fd)
        self.connection[fd] = True
        self.handler.connect(fd, address)

    def on_close(self, fd: int) -> None:
        if fd == self.socket:
            self.socket = None
            return
        self.client_number -= 1
        if fd in self.connection:
            self.connection[fd] = False
        self._tell("disconnect", fd)

    def on_error(self, fd: int, text: str) -> None:
        if fd == self.socket:
            error("gateserver accept error:", text)
            return
        self.server.shutdown(self.service.handle, fd)
        if fd in self.connection:  # else it was refused, or is released: nobody knows it any more
            self._tell("error", fd, text)

    def on_warning(self, fd: int, size: int) -> None:
        """WARNING: so many KB wait for a client that does not read. DOC: gate-warning"""
        self._tell("warning", fd, size)
        if self.maxwbuffer and size >= self.maxwbuffer and fd in self.connection:
            error(f"Drop slow client fd ({fd}) : {size} K bytes need to send out, maxwbuffer is {self.maxwbuffer} K")
            self.server.shutdown(self.service.handle, fd)  # close would keep all of it until it is sent

    def _tell(self, callback: str, *args: Any) -> Any:
        f = getattr(self.handler, callback, None)
        return None if f is None else f(*args)


def start(handler: Any) -> None:
    """Make the current service a gate with this handler.

    It answers the "lua" commands open(conf) and close(), and hands others to
    `handler.command`. conf: port, address ("0.0.0.0", or with the port in it), maxclient (1024; one less get in),
    nodelay, backlog (32), and maxwbuffer: KB not sent yet at which a client that does not
    read is dropped (looked at when there is a warning: 1 MB, 2 MB, 4 MB, ...; none: never).
    Raises SkynetError if the handler lacks connect or message.
    """
    for needed in ("message", "connect"):
        if not callable(getattr(handler, needed, None)):
            raise SkynetError(f"a gate's handler needs a function {needed}: see skynet_lite.gateserver")
    for name in ("connect", "message", "disconnect", "error", "warning", "open", "command"):
        runnable(getattr(handler, name, None))
    gate = current().libs["gateserver"] = Gate(handler)
    register_protocol(name="socket", id=PTYPE_SOCKET, unpack=lambda m: gate.queue.filter(*m), dispatch=gate.dispatch)
    begin = partial(dispatch, "lua", gate.command)
    if gate.service.start_state == "loading" and not getattr(handler, "embed", False):
        _start_service(begin)
    else:
        begin()


def _gate() -> Gate:
    """The gate that the current service is."""
    gate: Gate | None = current().libs.get("gateserver")
    if gate is None:
        raise SkynetError("this service is no gate: call gateserver.start(handler) first")
    return gate


def openclient(fd: int) -> None:
    """Begin to read from a client; what it has sent meanwhile is delivered now."""
    gate = _gate()
    if gate.connection.get(fd):
        gate.server.start(gate.service.handle, fd)


def closeclient(fd: int) -> None:
    """Close a connection, or release one that has disconnected; what was written is still sent."""
    gate = _gate()
    if gate.connection.pop(fd, None) is not None:
        gate.server.close(gate.service.handle, fd)
