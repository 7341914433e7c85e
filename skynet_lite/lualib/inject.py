"""Code that is run inside a live service: to look at its variables, and to mend it without losing them.

One idea: a service is its namespace (the globals of its file) and the variables its
handlers close over. Injected code runs as if it stood at the end of the service's file:
a function it defines takes the place of the one of that name. `_P` leads to the rest.

After lualib/skynet/inject.lua (`_U`, `_P`) and injectcode.lua.
"""

from __future__ import annotations

import builtins
from collections import UserDict
from collections.abc import Callable
from contextlib import suppress
from types import FunctionType, MethodType
from typing import Any

from ..core.places import format_error
from ..skynet.coroutine import running
from ..skynet.scheduler import Scheduler

__all__ = ["inject"]
__dir__ = __all__.copy


class Upvalues(UserDict[str, Any]):
    """The variables a function closes over, and those of the functions among them: read and set by name.

    A variable of an inner function comes after one of the same name further out.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.data = {}  # name → cell
        self.functions: list[Any] = [func]  # itself, and those that it holds
        self._collect(func, set())

    def _collect(self, func: Any, seen: set[Any]) -> None:
        if isinstance(func, MethodType):
            func = func.__func__
        if not isinstance(func, FunctionType) or func in seen:
            return
        seen.add(func)
        self.functions.append(func)
        cells = func.__closure__ or ()
        for name, cell in zip(func.__code__.co_freevars, cells, strict=True):
            self.data.setdefault(name, cell)
        for cell in cells:
            with suppress(ValueError):  # not assigned yet
                self._collect(cell.cell_contents, seen)

    def __getitem__(self, name: str) -> Any:
        try:
            return self.data[name].cell_contents
        except ValueError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self.data:
            raise KeyError(f"{name}: no variable of this handler; it has {', '.join(self.data) or 'none'}")
        self.data[name].cell_contents = value

    def __delitem__(self, name: str) -> None:
        raise TypeError("a variable of a function cannot be taken away: set it to None")

    def __repr__(self) -> str:
        return f"<variables: {', '.join(self.data) or 'none'}>"


def namespace(s: Scheduler) -> dict[str, Any]:
    """The globals of the service's code. A start function has those of its module: a copy, for others use them too."""
    if s.namespace is None:
        s.namespace = dict(getattr(s.main, "__globals__", {}))
    return s.namespace


def is_of(f: Any, env: dict[str, Any]) -> bool:
    """Whether `f` is a function of this namespace: no class, and not made elsewhere by a decorator."""
    return isinstance(f, FunctionType) and f.__globals__ is env


def take_place(old: Any, new: Any, env: dict[str, Any]) -> bool:
    """Have `old` run the code of `new`, for all who hold it. False unless both are plain functions of the namespace."""
    if not all(is_of(f, env) and f.__closure__ is None for f in (old, new)):
        return False
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
    return True


def _defined(s: Scheduler, before: dict[str, Any], env: dict[str, Any]) -> list[str]:
    """Functions and classes that the code has defined take the place of those before; which could not, and why."""
    copied = callable(s.server.node.registry.find(s.name))
    reached = [f for p in s.proto.values() if p.dispatch is not None for f in Upvalues(p.dispatch).functions]
    if "snax" in s.libs:
        reached += Upvalues(s.libs["snax"][1])["service"].methods.values()
    failed = []
    for name, new in list(env.items()):
        old = before.get(name)
        if new is old or not callable(new):
            continue
        if take_place(old, new, env):
            env[name] = old
        elif callable(old) and copied:
            failed.append(f"{name}: not replaced; the service finds it in its module, which others share, not here")
        elif any(f is not new and (f is old or getattr(f, "__name__", "") == name) for f in reached):
            failed.append(f"{name}: a handler holds the old one, and keeps it; use skynet.dispatch, or snax.hotfix")
        elif callable(old):
            failed.append(f"{name}: replaced by its name only, being no plain function; who holds the old one keeps it")
    return failed


def inject(s: Scheduler, source: str, filename: str, args: tuple[Any, ...]) -> tuple[bool, list[str]]:
    """Run `source` inside `s`; whether it ended well, and what it printed, with the error behind it.

    The code sees the service's globals, `_P` (message type → Upvalues of its handler), `_U` (the
    scheduler with its tables), `_ARGS` and `print`. It may block, as any code of a service. Not well either: it
    has defined what cannot take the place of a function or class of that name; the output says which.
    DOC: inject
    """
    env, me = namespace(s), running()
    output: list[str] = []

    def show(*values: Any, **options: Any) -> None:
        if running() is me:
            output.append("\t".join(map(str, values)))
        else:  # somebody else's turn, while we wait
            builtins.print(*values, **options)

    handlers = {str(p.name): Upvalues(p.dispatch) for p in s.proto.values() if p.dispatch is not None}
    given = {"print": show, "_P": handlers, "_U": s, "_ARGS": args}
    before, all_before = {name: env[name] for name in given if name in env}, dict(env)
    env.update(given)
    try:
        exec(compile(source, filename, "exec", dont_inherit=True), env)
    except Exception as e:
        output.append(format_error(e, s.name, s.file))
        return False, output
    finally:
        for name in [name for name, value in given.items() if env.get(name) is value]:
            del env[name]
        env.update({name: value for name, value in before.items() if name not in env})
    failed = _defined(s, all_before, env)
    return not failed, output + failed
