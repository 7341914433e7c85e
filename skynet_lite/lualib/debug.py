"""The debug protocol: what every service answers without a line of its own code.

One idea: PTYPE_DEBUG is a message type like any other, with a dispatch function that all
services share. So whoever may send a message can ask a service how it is: its figures,
its parked coroutines, code to run inside it. The launcher and the debug console do.

After lualib/skynet/debug.lua.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from .. import skynet
from ..core.errors import SkynetError
from ..core.message import PTYPE_DEBUG, pack, unpack
from ..skynet.coroutine import GreenletExit
from ..skynet.protocol import PROTO, Protocol
from ..skynet.runnable import has_run, leaves, runnable
from ..skynet.scheduler import current
from . import memory, remotedebug
from .console import tostring
from .inject import inject
from .library import kept

__all__ = [
    "EXIT", "GC", "INFO", "KILLTASK", "LINK", "MEM", "PING", "REMOTEDEBUG", "RUN", "STAT", "STOP", "SUPPORT",
    "TASK", "TERM", "TRACELOG", "UNIQTASK", "reg_debugcmd",
]  # fmt: skip
__dir__ = __all__.copy

T = TypeVar("T")


def reg_debugcmd(name: str, func: Callable[..., Any]) -> None:
    """Add a debug command to the current service: `func(*args)` runs when it is asked, and answers by itself."""
    _extern()[name] = runnable(func)


_extern = partial(kept, "debug.extern", dict[str, Callable[..., Any]])  # those that the current service has added


def look(job: Callable[[Any], T]) -> T:
    """`job(node)`, run between two messages, where all tables of the node agree; returns what it returns. Blocks."""
    node = current().server.node
    asked = node.driver.between(lambda: node.look(lambda: job(node)))
    while not asked.done.is_set():
        skynet.yield_()
    if not asked.ok:
        raise asked.payload
    result: T = asked.payload
    return result


def signal(handle: int, sig: int) -> str | None:
    """0: break the endless loop of a service, 1: log its memory (cmd_signal). A text if that cannot be."""
    node = current().server.node
    ctx = node.handles.contexts.get(handle)
    if ctx is None or ctx.state is None:
        return None
    node.signal(handle, sig)
    if sig == 0 and node.config.thread == 1:
        return "one worker: while it runs this command no service can be in a loop; with thread=2 signal breaks one"
    return None


def MEM() -> None:
    skynet.retpack(memory.size(current()) / 1024)


def GC() -> None:
    s = current()
    if "debug.gc" in s.libs:
        return
    s.libs["debug.gc"] = True
    try:
        before, began = memory.size(s) / 1024, skynet.now()
        memory.collect()
        skynet.yield_()  # what asks again meanwhile is passed over
        after, ended = memory.size(s) / 1024, skynet.now()
        skynet.error(f"GC {before:.2f} Kb -> {after:.2f} Kb, cost {(ended - began) / 100:.2f} sec")
    finally:
        del s.libs["debug.gc"]


def STAT() -> None:
    cpu, message, mqlen = (skynet.stat(what) for what in ("cpu", "message", "mqlen"))
    skynet.retpack({"cpu": cpu, "message": message, "mqlen": mqlen, "task": skynet.task()})


def TASK(session: int | None = None) -> None:
    tasks: dict[str, str] = {}
    found = skynet.task(tasks if session is None else session)
    skynet.retpack(tasks if session is None else found)


def UNIQTASK() -> None:
    skynet.retpack(skynet.uniqtask())


def KILLTASK(threadname: str) -> None:
    killed = skynet.killthread(threadname)
    skynet.error(f"Kill {threadname} : Not found" if killed is None else f"Kill {killed.label}")
    skynet.retpack(*(["Not found"] if killed is None else []))


def INFO(*args: Any) -> None:
    func = current().libs.get("info_func")
    skynet.retpack(None if func is None else func(*args))


EXIT = skynet.exit
LINK = skynet.response  # kept unanswered: whoever called is told when this service ends
PING = skynet.ret
TERM = skynet.term


def STOP() -> None:
    """Run what skynet.on_stop was given, the last first, and exit; who asks is told by the end of this service."""
    s = current()
    if s.libs.setdefault("stopping", skynet.running()) is not skynet.running():
        LINK()
        return
    functions = s.libs.get("on_stop", [])
    while functions:  # one of them may give another
        try:
            has_run(functions.pop()())
        except BaseException as e:
            if isinstance(e, GreenletExit) and leaves(e) is e:  # it is being closed
                raise
            s.report("on_stop failed: ", e)
    skynet.exit()


def RUN(source: str, filename: str, *args: Any) -> None:
    ok, output = inject(current(), source, filename, args)
    skynet.retpack(ok, "\n".join(output))


def REMOTEDEBUG(fd: int) -> None:
    remotedebug.start(current(), fd, skynet.ret)


def REMOTECMD(line: str) -> None:
    """A line for the debugger that REMOTEDEBUG has started (debug_agent and the channel of skynet)."""
    remotedebug.command(current(), line)
    skynet.ret()


def SUPPORT(pname: str) -> None:
    p = current().proto.get(pname)
    skynet.retpack(p is not None and p.dispatch is not None)


def TRACELOG(proto: str | bool | None = None, flag: bool | None = None) -> None:
    """`proto` may be left out: "lua" then. No flag: what comes with a tag is traced."""
    name, on = (proto, flag) if isinstance(proto, str) else ("lua", proto)
    skynet.error(f"Turn trace log {tostring(on)} for {name}")
    skynet.traceproto(name, on)
    skynet.ret()


_COMMANDS: dict[str, Callable[..., Any]] = {
    "EXIT": EXIT, "GC": GC, "INFO": INFO, "KILLTASK": KILLTASK, "LINK": LINK, "MEM": MEM, "PING": PING,
    "REMOTECMD": REMOTECMD, "REMOTEDEBUG": REMOTEDEBUG, "RUN": RUN, "STAT": STAT, "STOP": STOP,
    "SUPPORT": SUPPORT, "TASK": TASK, "TERM": TERM, "TRACELOG": TRACELOG, "UNIQTASK": UNIQTASK,
}  # fmt: skip


def _dispatch(session: int, source: int, cmd: str, *args: Any) -> None:
    """What every service does with a debug message. DOC: debug-dispatch"""
    func = _COMMANDS.get(cmd) or _extern().get(cmd)
    if func is None:
        raise SkynetError(f"{cmd}: no such debug command; there are {', '.join(sorted([*_COMMANDS, *_extern()]))}")
    func(*args)


PROTO["debug"] = PROTO[PTYPE_DEBUG] = Protocol("debug", PTYPE_DEBUG, pack, unpack, _dispatch)
