"""The launcher: starts services for others, and tells them when the start is over.

`skynet.newservice` is a call to it. The answer is kept in a response function until
the new service has reported LAUNCHOK or ERROR, or has gone. After service/launcher.lua.
"""

from typing import Any

from skynet_lite import skynet

services: dict[int, str] = {}
instance: dict[int, Any] = {}  # handle → response function of whoever waits for its start
launch_session: dict[int, int | None] = {}  # handle → session of that request

NORET = object()


def LAUNCH(source: int, kind: str, name: str, *args: Any) -> object:
    handle = skynet.launch(kind, name, *args)
    session, _ = skynet.context()
    answer = skynet.response()
    if handle is None:
        answer(False)
        return NORET
    services[handle] = " ".join([kind, name, *map(str, args)])
    instance[handle] = answer
    launch_session[handle] = session
    return NORET


def LAUNCHOK(source: int) -> object:
    answer = instance.pop(source, None)
    if answer is not None:
        launch_session.pop(source)
        answer(True, source)
    return NORET


def ERROR(source: int) -> object:
    answer = instance.pop(source, None)
    if answer is not None:
        launch_session.pop(source)
        answer(False)
    services.pop(source, None)
    return NORET


def REMOVE(source: int, handle: int, kill: bool) -> object:
    services.pop(handle, None)
    answer = instance.pop(handle, None)
    if answer is not None:
        # It ended by itself before its start was over: the caller gets None. Killed: an error.
        launch_session.pop(handle)
        answer(not kill)
    return NORET  # the sender is gone, or going


def KILL(source: int, handle: int) -> dict[str, str]:
    label = services.pop(handle, "None")
    skynet.kill(handle)
    return {skynet.address(handle): label}


def LIST(source: int) -> dict[str, str]:
    return {skynet.address(handle): label for handle, label in services.items()}


def QUERY(source: int, session: int) -> int | None:
    return next((handle for handle, s in launch_session.items() if s == session), None)


commands = {f.__name__: f for f in (LAUNCH, LAUNCHOK, ERROR, REMOVE, KILL, LIST, QUERY)}


# Not in the start function: the first request is waiting when this file is run.
@skynet.dispatch("lua")
def dispatch(session: int, source: int, cmd: str, *args: Any) -> None:
    f = commands.get(str(cmd).upper())
    if f is None:
        skynet.retpack(["Unknown command"])
        return
    answer = f(source, *args)
    if answer is not NORET:
        skynet.retpack(answer)


@skynet.start
def main() -> None:
    pass
