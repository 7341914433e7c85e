"""From a name to a running service: find its code, run it, see that it has started.

A service is a start function, or a Python file that calls `skynet.start`. The file
is executed anew for each instance, in a namespace of its own: like the Lua VMs of
skynet, two instances share no global. A preload file is run first, in that namespace.

After lualib/loader.lua and service-src/service_snlua.c.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, MutableMapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from types import CodeType, MethodType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from ..core.errors import ConfigError, SkynetError, brief, shown, told
from ..core.message import Launch
from ..core.places import SERVICES
from ..lualib import codecache
from ..skynet.calls import send
from ..skynet.runnable import is_runnable
from ..skynet.scheduler import Scheduler
from ..skynet.services import start_with

# No program's file may take their place.
BOOT_SERVICES = ("bootstrap", "launcher", "cdummy", "datacenterd", "service_mgr")

StartFunction = Callable[..., Any]


def _is_file(service: str) -> bool:
    return service.endswith(".py") and os.path.isfile(service)


class Registry:
    """The services a node can start: functions it was given, and files on its path.

    A function has its name as long as it lives, which its services see to. So one that is made
    anew for each service is not kept here; its name is not given again.
    """

    def __init__(self, patterns: str, folder: str, snax: str | None = None, preload: str | None = None) -> None:
        self._patterns = _split(patterns)
        self._snax = _split(snax) if snax else self._patterns
        self._folder = folder
        self._given: dict[str, StartFunction | str] = {}  # files, and what has no weak reference
        self._functions: MutableMapping[str, StartFunction] = WeakValueDictionary()
        self._names: MutableMapping[StartFunction, str] = WeakKeyDictionary()
        self._numbers: Counter[str] = Counter()  # by base, the last that was given
        self.preload = self._preloaded(preload) if preload else None

    def name_of(self, service: str | StartFunction) -> str:
        """The name to launch by. Raises SkynetError for what cannot be a service."""
        base = self.base(service)
        if isinstance(service, str) and not _is_file(service):
            self.find(service)
            return service
        code: Any = os.path.abspath(service) if isinstance(service, str) else service
        name = self._known(code)
        while name is None:
            self._numbers[base] += 1
            n = self._numbers[base]
            new = base if n == 1 else f"{base}-{n}"
            if new not in BOOT_SERVICES and new not in self._given and new not in self._functions:
                self.give(name := new, code)
        return name

    def _known(self, code: Any) -> str | None:
        """The name that it has already."""
        try:
            return self._names.get(code)
        except TypeError:
            return next((name for name, given in self._given.items() if given == code), None)

    def base(self, service: str | StartFunction) -> str:
        """Its name, if no other service has it yet. Raises SkynetError."""
        if isinstance(service, str):
            return Path(service).stem if _is_file(service) else service
        if not is_runnable(service):
            raise SkynetError(f"{shown(service)} is no service: give a start function (def, not async), or a name")
        return getattr(service, "__name__", type(service).__name__).strip("<>")

    def give(self, name: str, service: str | StartFunction) -> None:
        """Make a service known under a name that it had in another run."""
        if isinstance(service, str):
            if _is_file(service):
                self._given[name] = os.path.abspath(service)
            return
        try:
            self._names[service], self._functions[name] = name, service
            kept = isinstance(service, MethodType)  # else it is gone at once
        except TypeError:
            kept = True
        if kept:
            self._given[name] = service

    def find(self, name: str) -> StartFunction | str:
        """The function, or the file, behind a name."""
        given = self._given.get(name, self._functions.get(name))
        if given is not None:
            return given
        if _is_file(name):
            return self._given[self.name_of(name)]
        own = os.path.join(SERVICES, "?.py")
        return self._search(name, [own] if name in BOOT_SERVICES else [*self._patterns, own], "service", self._patterns)

    def find_snax(self, name: str) -> str:
        """The file of a snax service. Raises SkynetError."""
        return self._search(name, self._snax, "snax service", self._snax)

    def _search(self, name: str, patterns: list[str], what: str, tried: list[str]) -> str:
        if isinstance(name, str) and all(part.isidentifier() for part in name.replace("/", ".").split(".")):
            for pattern in patterns:
                path = os.path.join(self._folder, pattern.replace("?", name))
                if os.path.isfile(path):
                    return path
        where = "; ".join(told(p.replace("?", str(name))) for p in tried)
        raise SkynetError(f"no {what} {shown(name)}: looked for {where}")

    def _preloaded(self, preload: str) -> CodeType:
        path = os.path.join(self._folder, preload)
        try:
            return codecache.load(path)
        except (OSError, SyntaxError, ValueError) as e:
            what = f"cannot read {path}: {e.strerror}" if isinstance(e, OSError) else f"{path} is no Python: {e}"
            raise ConfigError(f"preload: {what}") from e


def _split(patterns: str) -> list[str]:
    return [p.strip() for p in patterns.split(";") if p.strip()]


def load(registry: Registry, s: Scheduler, message: Launch) -> bool:
    """Run the code of a new service; False (and a line in the log) if that failed."""
    try:
        found = s.main
        s.launch_args = message.args
        codes = [] if registry.preload is None else [registry.preload]
        module = ModuleType(s.name if isinstance(found, str) else registry.base(found))
        if isinstance(found, str):
            codes.append(codecache.load(found))
            s.file, s.namespace = found, vars(module)
        vars(module).update(__file__=s.file or "preload", __builtins__=__builtins__)
        if codes:  # for a function counts what the preload file does: it has globals of its own
            _run(module, codes)
        if not isinstance(found, str):
            s.file = getattr(getattr(found, "__code__", None), "co_filename", None)
            start_with(s, found)
        elif s.start_state == "loading":
            raise SkynetError(f"{os.path.basename(found)} never called skynet.start(f)")
        return True
    except BaseException as e:
        s.report(f"load {message.name} failed : ", e)
        s.start_state, s.ctx.failure = "failed", s.failure(f"did not start: {brief(e)}", e)
        send(".launcher", "lua", "ERROR")
        return False


_spec = cache(find_spec)  # a quarter of a millisecond
_one_at_a_time: defaultdict[str, RLock] = defaultdict(RLock)  # several workers may run files of one name


def _run(module: ModuleType, codes: list[CodeType]) -> None:
    """Run code in a module, which is found by its name meanwhile, if no other module has that name.

    Where annotations are text, dataclasses look words of theirs up in the module of the class.
    """
    name = module.__name__
    with _one_at_a_time[name]:
        found = name not in sys.modules and _spec(name.partition(".")[0]) is None
        if found:
            sys.modules[name] = module
        try:
            for code in codes:
                exec(code, vars(module))
        finally:
            if found:
                sys.modules.pop(name, None)
