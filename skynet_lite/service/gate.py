"""The gate service: tells its watchdog who comes and goes, and hands packets to agents.

The watchdog hears ("socket", "open", fd, "ip:port"), "data", "close", "error" (a "close"
follows) and "warning" (fd, KB). After forward(fd, client, address) the packets go to
`address` as they are: messages of type "client", session fd, source `client`.
After service/gate.lua.
"""

from types import SimpleNamespace
from typing import Any

from skynet_lite import SkynetError, gateserver, netpack, skynet
from skynet_lite.core.errors import shown

watchdog = 0
connection: dict[int, SimpleNamespace] = {}  # fd → client and agent that it is forwarded to
skynet.register_protocol(name="client", id=skynet.PTYPE_CLIENT)


def open(source: int, conf: dict[str, Any]) -> tuple[str, int]:
    global watchdog
    watchdog = conf.get("watchdog") or source
    return conf["address"], conf["port"]


def connect(fd: int, addr: str) -> None:
    connection[fd] = SimpleNamespace(agent=None, client=0)
    skynet.send(watchdog, "lua", "socket", "open", fd, addr)


def message(fd: int, msg: bytes, sz: int) -> None:
    """A packet: to the agent as it is, or as text to the watchdog. DOC: gate-message"""
    c = connection[fd]
    if c.agent is not None:
        skynet.redirect(c.agent, c.client, "client", fd, msg)
    else:
        skynet.send(watchdog, "lua", "socket", "data", fd, netpack.tostring(msg))


def disconnect(fd: int) -> None:
    connection.pop(fd, None)
    skynet.send(watchdog, "lua", "socket", "close", fd)


def error(fd: int, text: str) -> None:
    connection.pop(fd, None)
    skynet.send(watchdog, "lua", "socket", "error", fd, text)


def warning(fd: int, size: int) -> None:
    skynet.send(watchdog, "lua", "socket", "warning", fd, size)


def forward(source: int, fd: int, client: int = 0, address: int | None = None) -> None:
    c = known(fd)
    c.client, c.agent = client, address or source
    gateserver.openclient(fd)


def accept(source: int, fd: int) -> None:
    known(fd).agent = None
    gateserver.openclient(fd)


def kick(source: int, fd: int) -> None:
    gateserver.closeclient(fd)


def known(fd: int) -> SimpleNamespace:
    c = connection.get(fd)
    if c is None:
        raise SkynetError(f"fd {fd} is no connection of this gate: it may have closed meanwhile")
    return c


commands = {f.__name__: f for f in (forward, accept, kick)}


def command(cmd: str, source: int, *args: Any) -> None:
    if cmd not in commands:
        raise SkynetError(f"unknown command {shown(cmd)}: a gate knows open, close, {', '.join(commands)}")
    commands[cmd](source, *args)


gateserver.start(
    SimpleNamespace(
        open=open, connect=connect, message=message, disconnect=disconnect, error=error, warning=warning,
        command=command,
    )
)  # fmt: skip
