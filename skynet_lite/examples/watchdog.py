"""The watchdog: an agent for each client that the gate tells of, and its end. After examples/watchdog.lua."""

from collections.abc import Callable
from typing import Any

from skynet_lite import skynet

gate = 0
agent: dict[int, int] = {}  # fd → the agent that serves it


def open(fd: int, addr: str) -> None:
    skynet.error(f"New client from : {addr}")
    agent[fd] = skynet.newservice("agent")
    skynet.call(agent[fd], "lua", "start", {"gate": gate, "client": fd, "watchdog": skynet.self()})


def close(fd: int) -> None:
    skynet.error("socket close", fd)
    close_agent(fd)


def error(fd: int, text: str) -> None:
    skynet.error("socket error", fd, text)
    close_agent(fd)


def warning(fd: int, size: int) -> None:
    skynet.error("socket warning", fd, size)


def data(fd: int, text: str) -> None:
    """Never: the packets go to the agent."""


def close_agent(fd: int) -> None:
    """Let go of the connection, and of the agent; it does not answer. DOC: close-agent"""
    a = agent.pop(fd, None)
    if a is not None:
        skynet.call(gate, "lua", "kick", fd)
        skynet.send(a, "lua", "disconnect")


def start(conf: dict[str, Any]) -> Any:
    return skynet.call(gate, "lua", "open", conf)


SOCKET = {f.__name__: f for f in (open, close, error, warning, data)}
CMD: dict[str, Callable[..., Any]] = {"start": start, "close": close_agent}


@skynet.start
def main() -> None:
    global gate

    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, cmd: str, *args: Any) -> None:
        if cmd == "socket":
            SOCKET[args[0]](*args[1:])  # sent, not called: nobody waits for an answer
        else:
            skynet.retpack(CMD[cmd](*args))

    gate = skynet.newservice("gate")
