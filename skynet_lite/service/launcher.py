"""The launcher: starts services for others, and tells them when the start is over.

`skynet.newservice` is a call to it. The answer is kept in a response function until
the new service has reported LAUNCHOK or ERROR, or has gone. After service/launcher.lua.
"""

from collections.abc import Callable
from typing import Any

from skynet_lite import SkynetError, skynet
from skynet_lite.core.errors import Failure, told
from skynet_lite.skynet.scheduler import current

services: dict[int, str] = {}
instance: dict[int, tuple[Any, Any]] = {}  # handle → response function of whoever waits for its start, the service
launch_session: dict[int, int | None] = {}  # handle → session of that request
watchers: dict[int, list[int]] = {}  # handle → who is to hear of its end


def launch(logged: bool, kind: str, name: str = "", *args: Any) -> None:
    me = current()
    with me.server.lock:  # of several workers its own may be faster than we are
        handle = skynet.launch(kind, name, *args)
        ctx = me.server.contexts.get(handle or 0)
        if logged and handle is not None:
            me.server.logon(me.handle, handle)
    session, _ = skynet.context()
    answer = skynet.response()
    if handle is None:
        answer(False, me.failure(f"found no service {told(name)}"))
    else:
        services[handle] = " ".join(map(told, (kind, name, *args)))
        instance[handle] = answer, ctx
        launch_session[handle] = session


def LAUNCH(source: int, *words: Any) -> None:
    launch(False, *words)


def LOGLAUNCH(source: int, *words: Any) -> None:
    """Its message log begins before its first message."""
    launch(True, *words)


def report(handle: int, ok: bool, outcome: int | None = None) -> None:
    """Tell whoever waits for the start of this service, if anybody does: what came of it, or why it failed."""
    if handle in instance:
        answer, ctx = instance.pop(handle)
        launch_session.pop(handle)
        answer(ok, outcome if ok else ctx.failure or Failure(handle, ctx.called, "was killed"))


def LAUNCHOK(source: int) -> None:
    report(source, True, source)


def ERROR(source: int) -> None:
    report(source, False)
    services.pop(source, None)


def REMOVE(source: int, handle: int, kill: bool) -> None:
    """No answer: the sender is gone, or going."""
    services.pop(handle, None)
    for watcher in watchers.pop(handle, ()):
        skynet.send(watcher, "lua", "ENDED", handle)
    report(handle, not kill)  # it ended by itself before its start was over: the caller gets None. Killed: an error


def WATCH(source: int, handle: int) -> None:
    """No answer: `source` gets ("lua", "ENDED", handle) when that service has gone, or at once. Not in skynet."""
    if handle in services:
        watchers.setdefault(handle, []).append(source)
    else:
        skynet.send(source, "lua", "ENDED", handle)


def KILL(source: int, handle: int | str) -> None:
    if isinstance(handle, str) and handle.startswith(":"):
        handle = int(handle[1:], 16)
    skynet.kill(handle)
    skynet.retpack({skynet.address(handle): services.pop(handle, "nil") if isinstance(handle, int) else "nil"})


def LIST(source: int) -> None:
    skynet.retpack({skynet.address(handle): label for handle, label in services.items()})


def list_srv(ti: int | None, shown: Callable[[Any, int], Any], command: str) -> dict[str, Any]:
    """What each service answers to a debug command; TIMEOUT for those that do not in `ti` ticks. DOC: list-srv"""
    asked = list(services)
    found: dict[int, Any] = dict.fromkeys(asked, "TIMEOUT")
    requests = [(handle, "debug", command) for handle in asked]
    for request, answer in skynet.select(*requests, timeout=ti):
        found[request[0]] = "ERROR" if request.error else answer
    return {skynet.address(handle): shown(value, handle) for handle, value in found.items()}


def STAT(source: int, ti: int | None = None) -> None:
    skynet.retpack(list_srv(ti, lambda stat, handle: stat, "STAT"))


def MEM(source: int, ti: int | None = None) -> None:
    def shown(kb: float | str, handle: int) -> str:
        return f"{kb if isinstance(kb, str) else f'{kb:.2f} Kb'} ({services.get(handle)})"

    skynet.retpack(list_srv(ti, shown, "MEM"))


def GC(source: int, ti: int | None = None) -> None:
    for handle in services:
        skynet.send(handle, "debug", "GC")
    MEM(source, ti)


def QUERY(source: int, session: int) -> None:
    skynet.retpack(next((handle for handle, s in launch_session.items() if s == session), None))


def unknown(source: int, *args: Any) -> None:
    skynet.retpack(["Unknown command"])


commands = {
    f.__name__: f for f in (LAUNCH, LOGLAUNCH, LAUNCHOK, ERROR, REMOVE, WATCH, KILL, LIST, STAT, MEM, GC, QUERY)
}


def text(session: int, source: int, cmd: str) -> None:
    """Services in C report their start as a text: "" or "ERROR"."""
    if cmd not in ("", "ERROR"):
        raise SkynetError(f"Invalid text command {cmd}")
    (ERROR if cmd else LAUNCHOK)(source)


skynet.register_protocol(name="text", id=skynet.PTYPE_TEXT, unpack=skynet.tostring, dispatch=text)


# Not in the start function: the first request is waiting when this file is run.
@skynet.dispatch("lua")
def dispatch(session: int, source: int, cmd: str, *args: Any) -> None:
    commands.get(cmd.upper() if isinstance(cmd, str) else "", unknown)(source, *args)


@skynet.start
def main() -> None:
    pass
