"""A supervisor: starts its children in their order, hears of their ends, and starts them again.

One idea: each end is a message, and one thing is done at a time: all changes go through one critical section, so a
restart is over before the next end is looked at. The launcher hears of every end, and tells (its command WATCH).

After what OTP's supervisor does; skynet has none. See lualib/supervisor.py.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, NoReturn

from skynet_lite import CallError, SkynetError, skynet, supervisor
from skynet_lite.core.errors import brief
from skynet_lite.core.message import PTYPE_LUA, pack
from skynet_lite.lualib.library import by_name
from skynet_lite.skynet.scheduler import current


class Child:
    """One of them. Written inside `change` only."""

    def __init__(self, name: str, service: str, args: tuple[Any, ...], restart: str, shutdown: int | None) -> None:
        self.name, self.service, self.args, self.restart, self.shutdown = name, service, args, restart, shutdown
        self.handle: int | None = None
        self.ctx: Any = None  # which knows why it has ended
        self.code = code(service, args)


def code(service: str, args: tuple[Any, ...]) -> Any:
    """Functions that are services live as long as somebody holds them; of a tree, all below."""
    below = args[1:] if service == "supervisord" else ()
    return current().server.kinds["snlua"].find(service), [code(*child[1:3]) for child in below]


children: dict[str, Child] = {}  # in their order
restarts: deque[int] = deque()  # when
strategy, intensity, period = "one_for_one", 3, 500
change = skynet.queue()


def run(child: Child) -> None:
    """Start it, and have the launcher tell of its end. Raises SkynetError."""
    name = child.name if child.name.startswith(".") else None
    if name is not None and (taken := skynet.localname(name)) is not None:
        raise SkynetError(f"the name {name} is that of {skynet.address(taken)} already")
    with current().server.node.births(child.service) as born:
        try:
            child.handle = handle = skynet.newservice(child.service, *child.args)
        except CallError as e:
            if e.reason:
                raise
            skynet.fork(ended, child, None, "exited")  # inside its start function, when its work was done
            return
    child.ctx = next(s.ctx for s in born if s.handle == handle)
    if name is not None:
        skynet.name(name, handle)
    skynet.send(".launcher", "lua", "WATCH", handle)


def ENDED(handle: int) -> None:
    """From the launcher. Of one that we have ended ourselves it says nothing new."""
    child = next((child for child in children.values() if child.handle == handle), None)
    if child is not None:
        gone(handle)
        ended(child, handle, child.ctx.failure.reason)


def ended(child: Child, handle: int | None, reason: str) -> None:
    with change:
        if child.handle != handle or children.get(child.name) is not child:
            return  # it was ended while we waited
        child.handle = None
        if child.restart == "temporary":
            del children[child.name]
        elif child.restart == "permanent" or reason != "exited":
            again(child, reason)


def gone(handle: int) -> None:
    """On another worker it tells of its end a little before its names are free."""
    while handle in current().server.contexts:
        skynet.yield_()


def again(child: Child, reason: str) -> None:
    """Start it anew, and those that the strategy says, until all of them run, or too much has failed."""
    while True:
        restarts.append(skynet.now())
        while restarts[0] <= skynet.now() - period:
            restarts.popleft()
        if len(restarts) > intensity:
            give_up(f"{child.name} ended ({reason}), and {intensity} restarts in {period / 100:g} s are enough")
        skynet.error(f"supervisor: {child.name} ended ({reason}), it is started again")
        every = list(children.values())
        behind = {"one_for_one": [child], "one_for_all": every, "rest_for_one": every[every.index(child) :]}[strategy]
        terminate(behind)
        try:
            for child in filter(lambda one: one.name in children, behind):  # those that were temporary are gone
                run(child)
            return
        except SkynetError as e:
            reason = brief(e)


def terminate(some: Iterable[Child]) -> None:
    """The last first. Each may come to its end as it likes (skynet.on_stop), but not for ever."""
    for child in reversed(list(some)):
        handle, child.handle = child.handle, None
        if child.restart == "temporary":
            children.pop(child.name, None)
        if handle is not None and child.shutdown != 0:
            request = skynet.request((handle, "debug", "STOP"))
            list(request.select(child.shutdown))
            if request.timeout:
                seconds = (child.shutdown or 0) / 100
                skynet.error(f"supervisor: {child.name} has not come to its end in {seconds:g} s: killed")
                skynet.kill(handle)
        elif handle is not None:
            skynet.kill(handle)
        if handle is not None:
            gone(handle)


def give_up(reason: str) -> NoReturn:
    skynet.error(f"supervisor: gives up: {reason}")
    terminate(children.values())
    supervisor.fail(f"gave up: {reason}")


def stop() -> None:
    with change:
        terminate(children.values())


def closed(s: Any) -> None:
    """This service was killed, and no line above could run: its children do not outlive it."""
    if s.handle in s.server.contexts:
        return  # it was not, the whole node is being closed
    for child in reversed(list(children.values())):
        if child.handle in s.server.contexts:
            s.server.send(s.handle, ".launcher", PTYPE_LUA, 0, pack(("REMOVE", child.handle, True)))
            s.server.kill(s.handle, child.handle)


def find(name: str, runs: bool | None = None) -> Child:
    """The child of this name; `runs`: whether it has to run or must not."""
    child = children.get(name)
    if child is None:
        raise SkynetError(f"no child is called {name}; there are {', '.join(children) or 'none'}")
    if runs is not None and runs is not (child.handle is not None):
        raise SkynetError(f"{name} does not run" if runs else f"{name} runs: terminate_child comes first")
    return child


def START(spec: tuple[Any, ...]) -> None:
    with change:
        if spec[0] in children:
            raise SkynetError(f"there is a child {spec[0]} already")
        child = children[spec[0]] = Child(*spec)
        try:
            run(child)
        except BaseException:
            del children[child.name]
            raise
        skynet.retpack(child.handle)


def TERMINATE(name: str) -> None:
    with change:
        terminate([find(name)])
        skynet.retpack()


def RESTART(name: str) -> None:
    with change:
        run(child := find(name, False))
        skynet.retpack(child.handle)


def DELETE(name: str) -> None:
    with change:
        del children[find(name, False).name]
        skynet.retpack()


def WHICH() -> None:
    skynet.retpack({name: child.handle for name, child in children.items()})


def QUERY(name: str) -> None:
    if find(name).handle is None:
        with change:  # it may be on its way
            pass
    skynet.retpack(find(name, True).handle)


commands = by_name(START, TERMINATE, RESTART, DELETE, WHICH, QUERY, ENDED)


def dispatch(session: int, source: int, *words: Any) -> None:
    try:
        commands(session, source, *words)
    except SkynetError as e:
        if session == 0:
            raise
        skynet.response()(False, str(e))  # the caller's mistake, and not ours


@skynet.start
def main(options: tuple[str, int, int], *specs: tuple[Any, ...]) -> None:
    global strategy, intensity, period
    strategy, intensity, period = options
    current().at_close += (closed,)
    current().libs["children"] = children
    skynet.on_stop(stop)
    skynet.dispatch("lua", dispatch)
    with change:
        for spec in specs:
            if spec[0] in children:
                raise SkynetError(f"two children are called {spec[0]}")
            children[spec[0]] = Child(*spec)
        try:
            for child in list(children.values()):
                run(child)
        except BaseException:
            terminate(children.values())
            raise
