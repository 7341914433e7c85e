"""The service manager: services of which there is only one. After service/service_mgr.lua."""

from typing import Any

from skynet_lite import SkynetError, skynet

service: dict[str, Any] = {}  # name → handle, error text, or the coroutines that wait for either


def waitfor(name: str, launch: bool, *args: Any) -> int:
    state = service.get(name)
    if state is None:
        state = service[name] = {"launching": False, "waiting": []}
    if isinstance(state, dict):
        if launch and not state["launching"]:
            state["launching"] = True
            return request(name, state["waiting"], *args)
        token = object()
        state["waiting"].append(token)
        skynet.wait(token)
        state = service[name]
    if isinstance(state, str):
        raise SkynetError(state)
    handle: int = state
    return handle


def request(name: str, waiting: list[Any], *args: Any) -> int:
    try:
        service[name] = skynet.newservice(name.removeprefix("@"), *args)
    except SkynetError as e:
        service[name] = str(e)
        raise
    finally:
        for token in waiting:
            skynet.wakeup(token)
    handle: int = service[name]
    return handle


def LAUNCH(name: str, *args: Any) -> int:
    return waitfor(name, True, *args)


def QUERY(name: str) -> int:
    return waitfor(name, False)


def GLAUNCH(name: str, *args: Any) -> int:
    return LAUNCH("@" + name, *args)


def GQUERY(name: str) -> int:
    return QUERY("@" + name)


def LIST() -> dict[str, str]:
    shown = {}
    for name, state in service.items():
        if isinstance(state, str):
            shown[name] = "Error: " + state
        elif isinstance(state, dict):
            shown[name] = f"Querying: {len(state['waiting'])}"
        else:
            shown[name] = skynet.address(state)
    return shown


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

    skynet.register(".service")
    skynet.register("SERVICE")
