"""An agent: serves one client, whose packets the gate hands on. After examples/agent.lua.

A packet is a line of text here (skynet's example speaks sproto): "handshake", "get KEY",
"set KEY VALUE", "quit". Answers begin with "ok" or "error"; "heartbeat" comes by itself.
"""

from collections.abc import Callable
from typing import Any

from skynet_lite import SkynetError, netpack, skynet, socket

client: dict[str, Any] = {}  # gate, client and watchdog, as the watchdog told us


def handshake() -> str:
    return f"Welcome to skynet, I will send heartbeat every {heartbeat() / 100:g} sec."


def get(key: str) -> str:
    return str(skynet.call("SIMPLEDB", "lua", "get", key) or "")


def set(key: str, value: str) -> str:
    skynet.call("SIMPLEDB", "lua", "set", key, value)
    return ""


def quit() -> str:
    skynet.call(client["watchdog"], "lua", "close", client["client"])
    return ""


REQUEST = {f.__name__: f for f in (handshake, get, set, quit)}


def request(text: str) -> str:
    name, *args = text.split(" ", 2)
    f = REQUEST.get(name)
    if f is None:
        raise SkynetError(f"unknown request {name!r}; there are {', '.join(REQUEST)}")
    if len(args) != f.__code__.co_argcount:
        raise SkynetError(f"{name} takes {f.__code__.co_argcount} words, not {len(args)}")
    return f"ok {f(*args)}".rstrip()


def send_package(text: str) -> None:
    socket.write(client["client"], netpack.pack(text.encode("utf-8", "surrogateescape")))


def heartbeat() -> int:
    return int(skynet.getenv("heartbeat") or 500)


def on_client(fd: int, source: int, text: str) -> None:
    """A packet. Its session is the fd, so there is nobody to answer by skynet.ret. DOC: agent-client"""
    skynet.ignoreret()
    try:
        send_package(request(text))
    except SkynetError as e:
        skynet.error(e)
        send_package(f"error {e}")


skynet.register_protocol(name="client", id=skynet.PTYPE_CLIENT, unpack=skynet.tostring, dispatch=on_client)


def start(conf: dict[str, Any]) -> None:
    def beat() -> None:
        while True:
            send_package("heartbeat")
            skynet.sleep(heartbeat())

    client.update(conf)
    skynet.fork(beat)
    skynet.call(conf["gate"], "lua", "forward", conf["client"])


def disconnect() -> None:
    skynet.exit()


CMD: dict[str, Callable[..., None]] = {"start": start, "disconnect": disconnect}


@skynet.start
def main() -> None:
    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, command: str, *args: Any) -> None:
        skynet.retpack(CMD[command](*args))
