"""A debugger inside a live service: expressions, and one message followed line by line.

One idea: what is stopped is a coroutine, not the service. Python's trace function, called
before each line of the coroutine that is watched, parks it like `skynet.wait`; the
service goes on with its other messages, and `s`, `n` or `c` wakes it.

After lualib/skynet/remotedebug.lua. There a hook reads a channel at every message; here
each line for the debugger is a message (debug.REMOTECMD).
"""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..core.errors import SkynetError
from ..core.handle import address_text
from ..core.places import format_error, is_ours, place_label
from ..skynet import error, socket, wait, wakeup
from ..skynet.coroutine import running
from ..skynet.protocol import own_protocol
from ..skynet.scheduler import Scheduler
from .console import CONTROLS
from .inject import namespace

__all__ = ["Debugger", "command", "start"]
__dir__ = __all__.copy

_DEBUGGER = "remotedebug"  # where it stands in the `libs` of its service


def start(s: Scheduler, fd: int, attached: Callable[[], Any]) -> None:
    """Debug `s` from the connection `fd`: call `attached()`, and return when "cont" is said.

    Raises SkynetError if another connection debugs it already.
    """
    before: Debugger | None = s.libs.get(_DEBUGGER)
    if before is not None and not before.gone():
        raise SkynetError(f"Already in debug mode: {address_text(s.handle)}")
    if before is not None:
        wakeup(before)  # its user has left without a word
    debugger = s.libs[_DEBUGGER] = Debugger(s, fd)
    error("Enter debug mode")
    attached()
    try:
        debugger.show_prompt()
        wait(debugger)
    finally:  # also when the service ends
        debugger.leave()
        if s.libs.get(_DEBUGGER) is debugger:
            del s.libs[_DEBUGGER]
    error("Leave debug mode")


def command(s: Scheduler, line: str) -> None:
    """One line of the user. Raises SkynetError if `start` was not called, or has ended."""
    debugger: Debugger | None = s.libs.get(_DEBUGGER)
    if debugger is None:
        raise SkynetError(f"Not in debug mode: {address_text(s.handle)}")
    if line == "cont":
        wakeup(debugger)
    else:
        debugger.command(line)


class Debugger:
    """One service under the debugger. `co`: the coroutine that is followed, `stopped`: where it stands."""

    def __init__(self, s: Scheduler, fd: int) -> None:
        self.s = s
        self.fd = fd
        self.co: Any = None
        self.stopped: FrameType | None = None
        self._locals: dict[str, Any] = {}
        self._until: FrameType | None = None  # n: the frame to stop in again
        self._watched: dict[str, Callable[..., Any]] = {}  # message type → its own handler

    def gone(self) -> bool:
        """Whether nobody can see what it says."""
        return all(row["id"] != self.fd for row in socket.netstat())

    # ---- what the user says

    def command(self, line: str) -> None:
        if self.stopped is not None and line in ("s", "n"):
            self._until = self.stopped if line == "n" else None
            self.stopped = None
            wakeup((self, "line"))
            return
        if self.stopped is not None and line == "c":
            self._free()
        elif line:
            self._run(line)
        self.show_prompt()

    def _run(self, line: str) -> None:
        """An expression is shown, a statement carried out."""
        frame = self.stopped
        env = namespace(self.s) if frame is None else frame.f_globals
        own = {"print": self.print, "watch": self.watch, "_CO": self.co}
        seen = ChainMap(env if frame is None else self._locals, own)  # what is set goes to the first
        try:
            try:
                code = compile(line, "(debug)", "eval", dont_inherit=True)
            except SyntaxError:
                exec(compile(line, "(debug)", "exec", dont_inherit=True), env, seen)
                self.print()
                return
            value = eval(code, env, seen)
            self.print(*([] if value is None and "(" in line else [repr(value)]))
        except Exception as e:
            self.print(format_error(e, self.s.name, self.s.file).splitlines()[-1])

    def watch(self, protoname: str, cond: Callable[..., Any] | None = None) -> str | None:
        """Stop in the handler of the next message of that type (for which `cond(session, source, *args)` holds)."""
        if protoname not in self.s.proto:
            return f"No {protoname}"
        p = own_protocol(self.s, protoname)
        if p.dispatch is None:
            return "No dispatch"
        handler = self._watched.setdefault(protoname, p.dispatch)

        def dispatch(*args: Any) -> None:
            if self.co is None and (cond is None or cond(*args)):
                self._unwatch(protoname)
                self._follow(handler, args)
            else:
                handler(*args)

        p.dispatch = dispatch
        return None

    def _unwatch(self, protoname: str) -> None:
        handler = self._watched.pop(protoname, None)
        if handler is not None:
            self.s.proto[protoname].dispatch = handler

    # ---- one message, line by line

    def _follow(self, handler: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if sys.gettrace() is not None:
            self.print("another tracer is at work in this thread (a debugger, coverage): lines cannot be followed")
            handler(*args)
            return
        self.co, self._until = running(), None
        sys.settrace(self._trace)
        try:
            handler(*args)
        finally:
            if self.co is running():
                self._free()
                self.show_prompt()

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        """At a call: whether to look at its lines. Other coroutines run in this thread, too."""
        return None if running() is not self.co or is_ours(frame.f_code) else self._line

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if running() is not self.co:
            return None
        if event == "return" and frame is self._until:
            self._until = None  # its caller is next
        elif event == "line" and (self._until is None or frame is self._until):
            self._stop(frame)
        return None if self.co is None else self._line

    def _stop(self, frame: FrameType) -> None:
        """Park the coroutine before its next line, from inside the trace function. DOC: debugger-stop"""
        self.stopped = frame
        self._locals = frame.f_locals  # once: asking again would undo what the user sets
        self.show_prompt()
        wait((self, "line"))

    def _free(self) -> None:
        """Let the coroutine run on, and look no more."""
        self.co = None
        sys.settrace(None)
        if self.stopped is not None:
            self.stopped, self._locals = None, {}
            wakeup((self, "line"))

    def leave(self) -> None:
        for protoname in list(self._watched):
            self._unwatch(protoname)
        if self.co is not None:
            self._free()

    # ---- what the user sees

    def print(self, *values: Any) -> None:
        text = "\t".join([*map(str, values), "\n"]).translate(CONTROLS)
        socket.write(self.fd, text.encode("utf-8", "surrogateescape"))

    def show_prompt(self) -> None:
        prompt = address_text(self.s.handle)
        if self.stopped is not None:
            place = place_label((self.stopped.f_code, self.stopped.f_lineno), self.s.name, self.s.file)
            prompt = "{}({})".format(*place.rsplit(":", 1))
        socket.write(self.fd, f"{prompt}>".encode())
