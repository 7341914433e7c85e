"""The service manager: services of which there is only one. After service/service_mgr.lua.

Local ones by their name, global ones by "@name" (a network's SERVICE is asked; here it
is this one), snax services by "snaxd.NAME".
"""

from collections.abc import Callable
from typing import Any

from skynet_lite import SkynetError, skynet, snax
from skynet_lite.lualib.library import Sweep
from skynet_lite.skynet.scheduler import current


class Starting:
    """What is not there yet: who launches it, and who waits, as (session, source, coroutine)."""

    def __init__(self) -> None:
        self.launch: tuple[Any, ...] | None = None
        self.waiting: list[tuple[Any, ...]] = []
        self.sweep = Sweep()  # of those who wait


service: dict[str, int | str | Starting] = {}  # a str is the error of its start


def waitfor(name: str, start: Callable[..., int] | None, *args: Any) -> int:
    state = service.setdefault(name, Starting())
    if isinstance(state, Starting):
        me = (*skynet.context(), skynet.running())
        if start is not None and state.launch is None:
            state.launch = me
            return request(name, state, start, *args)
        state.waiting.append(me)
        if state.sweep.due():
            waiting, living = state.waiting, current().server.contexts
            state.waiting = [waits for waits in waiting if waits[1] in living]
            state.sweep.over(len(state.waiting))
            for _, _, co in (waits for waits in waiting if waits[1] not in living):
                skynet.killthread(co)
        skynet.wait()
        state = service[name]
    if isinstance(state, str):
        raise SkynetError(state)
    assert isinstance(state, int)
    return state


def request(name: str, state: Starting, start: Callable[..., int], *args: Any) -> int:
    try:
        handle = service[name] = start(*args)
    except SkynetError as e:
        service[name] = str(e)
        raise
    finally:
        for _, _, co in state.waiting:
            skynet.wakeup(co)
    return handle


def key(name: str, args: tuple[Any, ...]) -> str:
    return f"{name}.{args[0]}" if name.removeprefix("@") == "snaxd" else name


def LAUNCH(name: str, *args: Any) -> int:
    real = name.removeprefix("@")
    if real == "snaxd":
        return waitfor(key(name, args), snax.rawnewservice, *args)
    return waitfor(name, skynet.newservice, real, *args)


def QUERY(name: str, *args: Any) -> int:
    return waitfor(key(name, args), None)


def GLAUNCH(name: str, *args: Any) -> int:
    return LAUNCH("@" + name, *args)


def GQUERY(name: str, *args: Any) -> int:
    return QUERY("@" + name, *args)


def task(address: int, what: Any) -> str:
    """The stack of a coroutine in another service, if it answers."""
    try:
        return str(skynet.call(address, "debug", "TASK", what))
    except SkynetError:
        return ""


def shown(state: int | str | Starting) -> str:
    if isinstance(state, int):
        return skynet.address(state)
    if isinstance(state, str):
        return "Error: " + state
    lines = []
    if state.launch is not None:
        session, source, co = state.launch
        started = skynet.call(".launcher", "lua", "QUERY", skynet.task(co))
        if started is not None:
            lines += ["Init as " + skynet.address(started), task(started, "init")]
            lines += ["Launching from " + skynet.address(source), task(source, session)]
    if state.waiting:
        lines += ["Querying:", *(f"{skynet.address(to)} {task(to, session)}" for session, to, _ in state.waiting)]
    return "\n".join(lines)


def LIST() -> dict[str, str]:
    return {name: shown(state) for name, state in list(service.items())}


commands = {f.__name__: f for f in (LAUNCH, QUERY, GLAUNCH, GQUERY, LIST)}


@skynet.start
def main() -> None:
    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, cmd: str, *args: Any) -> None:
        f = commands.get(cmd)
        if f is None:
            skynet.retpack(None, f"Invalid command {cmd}")
            return
        try:
            answer = f(*args)
        except SkynetError as e:
            skynet.retpack(None, str(e))
        else:
            skynet.retpack(answer)

    taken = skynet.localname(".service")
    if taken is not None:
        skynet.error(".service is already register by ", skynet.address(taken))
        skynet.exit()
    skynet.register(".service")
    skynet.register("SERVICE")
