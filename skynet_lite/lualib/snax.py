"""Services that are called by methods, each with a number, and that can be mended while they run.

A snax service is a file::

    from skynet_lite.snax import accept, response

    total = 0

    def init(start):            # also: exit
        global total
        total = start

    @accept                     # obj.post.add(5): sent, no answer
    def add(n):
        global total
        total += n

    @response                   # obj.req.get(): called, what it returns is the answer
    def get():
        return total

The caller reads the methods and their numbers from the file's source; nothing of it is
run there. Such files are found by the configuration key `snax`, or by `luaservice`.

After lualib/skynet/snax.lua and lualib/snax/interface.lua.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from .. import skynet
from ..core.errors import MethodError as MethodError, SkynetError, expect, shown
from ..skynet.runnable import runnable
from ..skynet.scheduler import current
from .library import kept

__all__ = [
    "MethodError", "accept", "bind", "enablecluster", "exit", "globalservice", "hotfix", "interface", "kill",
    "newservice", "printf", "profile_info", "queryglobal", "queryservice", "rawnewservice", "response", "self",
    "uniqueservice",
]  # fmt: skip
__dir__ = __all__.copy

F = TypeVar("F", bound=Callable[..., Any])

SYSTEM = {"init": 1, "exit": 2, "hotfix": 3, "profile": 4}  # methods follow, in the order of the file
METHODS = "__snax__"  # where a file's decorators collect, in its own globals: {(group, name): function}


def accept(f: F) -> F:
    """A method that is posted to: `obj.post.NAME(*args)`. Decorates a function of a snax file."""
    return _method("accept", f)


def response(f: F) -> F:
    """A method that is called: `obj.req.NAME(*args)`. Decorates a function of a snax file."""
    return _method("response", f)


def _method(group: str, f: F) -> F:
    runnable(f)
    found = sys._getframe(2).f_globals.setdefault(METHODS, {})  # of the file; a decorated f may have others
    if (group, f.__name__) in found:
        raise SkynetError(f"{group}.{f.__name__} duplicate definition")
    found[group, f.__name__] = f
    return f


@dataclass(frozen=True)
class Interface:
    """What a snax service can be asked: names and numbers, by group."""

    name: str
    path: str
    accept: dict[str, int] = field(default_factory=dict)
    response: dict[str, int] = field(default_factory=dict)
    system: dict[str, int] = field(default_factory=SYSTEM.copy)

    def methods(self) -> dict[int, tuple[str, str]]:
        """number → (group, name)"""
        groups = {"system": self.system, "accept": self.accept, "response": self.response}
        return {id: (group, name) for group, ids in groups.items() for name, id in ids.items()}


def interface(name: str) -> Interface:
    """Read the methods of a snax service from its source; once in each service. Raises SkynetError."""
    known = kept("snax.interface", dict[str, Interface])
    if isinstance(name, str) and name in known:
        return known[name]
    import ast  # not at the boot of every node

    found = Interface(name, current().server.node.registry.find_snax(name))
    with open(found.path, encoding="utf-8") as file:
        tree = ast.parse(file.read(), found.path)
    id = len(SYSTEM)
    for f in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for decorator in f.decorator_list:
            group = getattr(decorator, "attr", getattr(decorator, "id", ""))
            ids = {"accept": found.accept, "response": found.response}.get(group)
            if ids is not None:
                if f.name in ids:
                    raise SkynetError(f"{group}.{f.name} duplicate definition")
                id = ids[f.name] = id + 1
    known[name] = found
    return found


class _Methods:
    """`obj.post` and `obj.req`: a function for each method of its group."""

    def __init__(self, what: str, ask: Callable[..., Any], handle: int, type: str, ids: dict[str, int]) -> None:
        self._what, self._ask, self._handle, self._type, self._ids = what, ask, handle, type, ids

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in self._ids:
            raise MethodError(f"{self._what} {self._type}:{name} no exist; there are: {', '.join(self._ids) or 'none'}")
        return partial(self._ask, self._handle, "snax", self._ids[name])


@dataclass(unsafe_hash=True, repr=False)
class Object:
    """A snax service as others see it: `post`, `req`, `type` (its name) and `handle`."""

    handle: int
    type: str

    def __post_init__(self) -> None:
        known = interface(self.type)
        self.post = _Methods("post", skynet.send, self.handle, self.type, known.accept)
        self.req = _Methods("request", skynet.call, self.handle, self.type, known.response)

    def __repr__(self) -> str:
        return f"[{self.type}:{self.handle:x}]"


def protocol() -> None:
    """Make the type "snax" known to the current service."""
    if "snax" not in current().proto:
        skynet.register_protocol(name="snax", id=skynet.PTYPE_SNAX, pack=skynet.pack, unpack=skynet.unpack)


def _system(handle: int, type: str, command: str, *args: Any) -> Any:
    protocol()
    return skynet.call(handle, "snax", interface(type).system[command], *args)


def _of(obj: Object, command: str, *args: Any) -> Any:
    expect("a snax service is meant, by what snax.newservice or bind returns", obj, Object)
    return _system(obj.handle, obj.type, command, *args)


def rawnewservice(name: str, *args: Any) -> int:
    """Like `newservice`, but returns the handle."""
    interface(name)  # an error in the file is the caller's to see
    handle = skynet.newservice("snaxd", name)
    _system(handle, name, "init", *args)
    return handle


def newservice(name: str, *args: Any) -> Object:
    """Start a snax service, call its `init(*args)`, and return its object. Raises SkynetError, CallError."""
    return bind(rawnewservice(name, *args), name)


def uniqueservice(name: str, *args: Any) -> Object:
    """The one service of this name in the node; started if there is none."""
    return bind(skynet.uniqueservice("snaxd", name, *args), name)


def globalservice(name: str, *args: Any) -> Object:
    """The one service of this name in all nodes of a network."""
    return bind(skynet.uniqueservice(True, "snaxd", name, *args), name)


def queryservice(name: str) -> Object:
    """What `uniqueservice` started; waits until somebody does."""
    return bind(skynet.queryservice("snaxd", name), name)


def queryglobal(name: str) -> Object:
    """What `globalservice` started; waits until somebody does."""
    return bind(skynet.queryservice(True, "snaxd", name), name)


def bind(handle: int, type: str) -> Object:
    """The object of a snax service whose handle and name are known."""
    protocol()
    return Object(handle, type)


def _own() -> tuple[str, Callable[..., Any]]:
    """Name and dispatch function of the current service, from snaxd."""
    found: tuple[str, Callable[..., Any]] | None = current().libs.get("snax")
    if found is None:
        raise SkynetError("this is no snax service: start one with snax.newservice(name)")
    return found


def self() -> Object:
    """The object of the current service. Raises SkynetError if it is no snax service."""
    return bind(skynet.self(), _own()[0])


def enablecluster() -> None:
    """Have the current service answer messages of type "lua" like those of type "snax"."""
    skynet.dispatch("lua", _own()[1])


def kill(obj: Object, *args: Any) -> None:
    """Call `exit(*args)` of a snax service, and end it."""
    _of(obj, "exit", *args)


def exit(*args: Any) -> None:
    """`kill` for the current service."""
    kill(self(), *args)


def hotfix(obj: Object, source: str, *args: Any) -> Any:
    """Replace methods and functions of a running service, which keeps its state.

    `source` is Python text. Methods that it defines take the place of those of the same name,
    other functions too; its own assignments to names that the service has already are left out.
    If it defines `hotfix`, that is then called with `args`, and what it returns is returned.
    Raises SkynetError, and nothing is replaced, if it cannot be run, names an unknown method, or has a class or a
    decorated function for a name that the service has.
    """
    ok, answer = _of(obj, "hotfix", source, *args)
    if not ok:
        raise SkynetError(f"hotfix of {obj} failed: {answer}")
    return answer


def printf(fmt: str, *args: Any) -> None:
    """Write a line to the log, with % formats."""
    try:
        skynet.error(fmt % args)
    except TypeError as e:
        raise SkynetError(f"snax.printf: {shown(fmt)} does not fit its values: {e}") from None


def profile_info(obj: Object) -> dict[str, dict[str, Any]]:
    """How often each method was called, and its CPU seconds in all: {"NAME": {"count": 2, "time": 0.01}}."""
    found: dict[str, dict[str, Any]] = _of(obj, "profile")
    return found
