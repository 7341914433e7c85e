"""A service among others: its start and its end, other services, and what it can learn of itself.

One idea: a service starts by a timer of 0 ticks, so its start function runs in a
coroutine like any other, and may wait; whoever asked for it is told when it has ended.

After lualib/skynet.lua (start, newservice, exit, stat, getenv).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ..core.codec import words as as_words
from ..core.errors import CallError, Failure, SkynetError, brief, expect, shown
from ..core.handle import REMOTE_SHIFT
from ..core.message import PTYPE_ERROR, Message
from .calls import call, send
from .coroutine import GIVE_BACK, QUIT, GreenletExit, coroutine_yield, running
from .runnable import has_run, leaves, required, runnable
from .scheduler import Scheduler, current
from .waits import timeout

F = TypeVar("F", bound=Callable[..., Any])


def start(func: F) -> F:
    """Say what the service does when it starts; decorates. Outside a service it only returns `func`.

    The start function runs in a coroutine of its own, after a timer of 0 ticks.
    """
    s = getattr(running(), "service", None)
    if s is not None and "cell" in s.libs:  # of service_cell
        s.libs["cell"].append(runnable(func))
    elif s is not None:
        start_with(s, func)
    return func


def start_with(s: Scheduler, func: Callable[..., Any], callback: Callable[[Message], None] | None = None) -> None:
    """`start` for a service that is given: the arguments of its launch reach `func`. `callback` gets its messages."""
    if s.start_state != "loading":
        raise SkynetError("skynet.start was called already: a service has one start function")
    runnable(func)
    s.start_state = "starting"
    s.server.set_callback(s.ctx, callback or s.dispatch_message)
    s.init_thread = timeout(0, partial(init_service, partial(func, *s.launch_args)))


def init(func: F) -> F:
    """Have `func()` run before the start function; once that runs, at once. Decorates."""
    s = current()
    if s.init_functions is not None:
        s.init_functions.append(required(func))
    else:
        has_run(required(func)())
    return func


def on_stop(func: F) -> F:
    """Have `func()` run before the service ends, when its node or its supervisor stops it; it may wait. Decorates.

    What was given last runs first; then the service exits. See Node.shutdown. skynet has no such thing.
    """
    current().libs.setdefault("on_stop", []).append(required(func))
    return func


def init_service(func: Callable[[], Any]) -> object:
    """Run the init functions and then `func`, and tell the launcher how it went: what `start` does in its timer."""
    s = current()
    try:
        functions, s.init_functions = s.init_functions or [], None
        for f in functions:
            has_run(f())
        has_run(func())
    except BaseException as e:
        if isinstance(e, GreenletExit) and leaves(e) is e:  # it is being closed
            raise
        s.start_state, s.ctx.failure = "failed", s.failure(f"did not start: {brief(e)}", e)
        s.report("init service failed: ", e)
        send(".launcher", "lua", "ERROR")
        exit()
    s.start_state, s.init_thread = "ok", None
    send(".launcher", "lua", "LAUNCHOK")
    return GIVE_BACK


def dispatch_message(ptype: int, session: int, source: int, message: Any) -> None:
    """Dispatch a message as if it came from the mailbox; for code that stands in front, outside of coroutines."""
    current().dispatch_message((ptype, session, source, message))


def exit() -> None:
    """End the current service; does not return. Whoever waits for it is told. DOC: exit"""
    s = current()
    hub = running().hub
    failure = s.ctx.failure = s.ctx.failure or s.failure("exited")
    if s.fork_queue:
        s.fork_queue.clear()
    send(".launcher", "lua", "REMOVE", s.handle, False)
    serving = [c for c in s.coroutines.values() if c.session]
    for c in sorted(serving, key=lambda c: c.serial):
        s.server.send(s.handle, c.address, PTYPE_ERROR, c.session or 0, failure)
    for r in list(s.unresponse):
        r(False, failure)
    for to in dict.fromkeys(s.watching_session.values()):
        s.server.send(s.handle, to, PTYPE_ERROR, 0, failure)
    s.server.kill(s.handle, s.handle)
    coroutine_yield(hub, QUIT, None)


def name_of(s: Scheduler, service: Any) -> str:
    """The name that a service is launched by; a function is made known first."""
    with s.server.lock:
        return str(s.server.kinds["snlua"].name_of(service))  # type: ignore[attr-defined]  # of this kind only


def newservice(service: str | Callable[..., Any], *args: Any) -> int:
    """Start a service (a name, or a start function) and wait until its start function has ended.

    Returns its handle. Raises CallError if it failed to start, SkynetError if there is no such service.
    """
    s = current()
    handle = call(".launcher", "lua", "LAUNCH", "snlua", name_of(s, service), *args)
    if handle is None:
        raise CallError(f"call failed: {service} ended before it had started")
    return int(handle)


def uniqueservice(name: str | bool, *args: Any) -> int:
    """Start a service unless it runs already; everybody gets the same one (service_mgr).

    `uniqueservice(True, name, *args)`: one for all nodes of a network. Raises CallError if its
    start failed, now or ever before.
    """
    return _manager("LAUNCH", name, *args)


def queryservice(name: str | bool, *args: Any) -> int:
    """What `uniqueservice` started; waits until somebody does. `queryservice(True, name)`: the global one."""
    return _manager("QUERY", name, *args)


def _manager(command: str, name: str | bool, *args: Any) -> int:
    if name is True and args:
        command, (name, *args) = "G" + command, args  # type: ignore[assignment]  # a tuple before, a list now
    answer = call(".service", "lua", command, name_of(current(), name), *args)
    if not isinstance(answer, int):
        text = str(answer[1] if isinstance(answer, tuple) else answer)
        raise CallError("call failed: " + text.removeprefix("call failed: "))
    return answer


def self() -> int:
    """The handle of the current service."""
    return current().handle


def localname(name: str) -> int | None:
    """The handle behind a local name (".name"), None if there is none."""
    expect("localname takes a name, a str like '.launcher'", name, str)
    return current().server.handles.query(name) or None if name.startswith(".") else None


def getenv(key: str) -> str | None:
    """A value of the node's configuration, as text; None if there is none."""
    return current().server.env.get(expect("getenv takes the name of a key, a str", key, str))


def setenv(key: str, value: object) -> None:
    """Set a value once; raises SkynetError if the key is there."""
    server = current().server
    server.env.set(expect("setenv takes the name of a key, a str", key, str), value)
    server.outside.note("setenv", key, str(value))


def error(*words: Any) -> None:
    """Write a line to the log, through the logger service."""
    current().error(as_words(words))


def term(addr: int | str) -> None:
    """Take it that a service has gone: all calls to it that wait here fail."""
    s = current()
    s.gives_up(running())
    handle = s.server.resolve(addr)
    if handle in s.watching_service():
        s.bury(handle)
    s.watch_error(0, handle, Failure(handle, "", "given up by skynet.term") if isinstance(handle, int) else None)


def mqlen() -> int:
    """Messages waiting in the mailbox of the current service."""
    return len(current().mailbox)


def stat(what: str) -> int | float:
    """A figure of the current service (cmd_stat in skynet_server.c).

    "mqlen": messages that wait; "message": how many were dispatched; "endless": 1 if the
    monitor found it in an endless loop since it was asked last; "cpu", "time": CPU
    seconds, of the service and of this dispatch so far, 0.0 without the key `profile`.
    Raises SkynetError for another.
    """
    s = current()
    figures: dict[str, Callable[[], int | float]] = {
        "mqlen": mqlen,
        "message": lambda: s.mailbox.popped,
        "endless": lambda: int(endless()),
        "cpu": lambda: s.ctx.cpu_cost,
        "time": lambda: s.server.cpu_time() - s.ctx.cpu_start if s.server.profile else 0.0,
    }
    if not isinstance(what, str) or what not in figures:
        raise SkynetError(f"stat {shown(what)} is unknown: ask for mqlen, message, endless, cpu or time")
    return figures[what]()


def endless() -> bool:
    """Whether the monitor has found this service in an endless loop; asking takes the mark away."""
    ctx = current().ctx
    found, ctx.endless = ctx.endless, False
    return found


def info_func(func: F) -> F:
    """Set what the debug command INFO answers: `func(*args)`. Decorates (lualib/skynet/debug.lua)."""
    current().libs["info_func"] = runnable(func)
    return func


def memlimit(limit: int) -> None:
    """Raises SkynetError always: what one service holds cannot be told here, so it cannot be limited."""
    raise SkynetError(
        "skynet.memlimit: all services of a node share one Python heap, so the memory of one can be neither measured "
        "nor limited; limit the process instead (ulimit -v, or a cgroup)"
    )


def harbor(addr: int) -> tuple[int, bool]:
    """The harbor that a handle belongs to, and whether that is another node (skynet_isremote)."""
    current()
    expect("harbor takes a handle, a number (skynet.localname tells that of a name)", addr, int)
    return addr >> REMOTE_SHIFT, addr >> REMOTE_SHIFT != 0
