"""What libraries are made of: state for each service that uses them, and a service behind them, asked by name.

One idea: Python shares modules, Lua does not. What a library keeps for a service stands in
`s.libs`; what all are to share is in a service, which is told ("lua", NAME, *args).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .. import skynet
from ..core.errors import SkynetError, shown
from ..skynet.scheduler import current

T = TypeVar("T")


def kept(name: str, make: Callable[[], T]) -> T:
    """What the library `name` keeps for the current service; made at the first use."""
    libs = current().libs
    if name not in libs:
        libs.setdefault(name, make())  # another coroutine may come first while it is made
    found: T = libs[name]
    return found


def values(result: Any) -> tuple[Any, ...]:
    """What a function has returned, or a service answered, as Lua would count it."""
    return () if result is None else result if type(result) is tuple else (result,)


def named(name: Any, what: str) -> str:
    """A name that somebody gave us. Raises SkynetError."""
    if not isinstance(name, str):
        raise SkynetError(f"{what} takes a name, a str, not {shown(name)}")
    return name


class Sweep:
    """When to look for the dead, who tell nobody: whenever as many have come as were left the last time.

    So it costs each who comes the same, however many there are.
    """

    def __init__(self) -> None:
        self._come, self._left = 0, 64

    def due(self) -> bool:
        """One more has come."""
        self._come += 1
        return self._come > self._left

    def over(self, left: int) -> None:
        self._come, self._left = 0, max(64, left)


class Waiting(dict[Any, list[Any]]):
    """By key, the response functions of those who wait, but for those who were killed meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._sweep = Sweep()

    def wait(self, key: Any, pack: Callable[..., Any] | None = None) -> None:
        """Whoever asks now gets the outcome of `answer(key, ...)`."""
        self.setdefault(key, []).append(skynet.response(pack))
        if self._sweep.due():
            living = current().server.contexts
            for key, answers in list(self.items()):
                self[key] = [answer for answer in answers if answer.address in living or answer(False)]
                if not self[key]:
                    del self[key]
            self._sweep.over(sum(map(len, self.values())))

    def answer(self, key: Any, *outcome: Any) -> None:
        for answer in self.pop(key, ()):
            answer(*outcome)


class Keeper:
    """The service behind a library: `ask(NAME, *args)` is a call to it. `find()` gives its handle, once a service."""

    def __init__(self, name: str, find: Callable[[], int] | None = None) -> None:
        self.name = name
        self._find = find or (lambda: skynet.uniqueservice(name))

    def handle(self) -> int:
        return kept(self.name, self._find)

    def __call__(self, command: str, *args: Any) -> Any:
        return skynet.call(self.handle(), "lua", command, *args)


def by_name(*functions: Callable[..., Any], told: bool = False) -> Callable[..., Any]:
    """A dispatch function for "lua" messages: runs the function whose name comes first. It answers by itself.

    With `told` each is told who asks: its first argument is the sender's handle.
    """
    commands = {f.__name__: f for f in functions}

    def dispatch(session: int, source: int, cmd: str, *args: Any) -> None:
        commands[cmd](*((source, *args) if told else args))

    return dispatch
