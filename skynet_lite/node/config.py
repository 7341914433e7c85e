"""Configuration: keyword arguments over environment over a TOML file over defaults.

A key that nobody knows is refused, with the nearest known one named: a typing
error in a configuration must not be found at night. A program's own values live in
the table `[env]`; `skynet.getenv` answers them, and keys but for cluster, env and start. In a string of the TOML
file `$NAME` stands for a variable of the environment.

After skynet-src/skynet_main.c and examples/config.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError, text_of
from ..core.outside import POLLERS
from ..skynet.dialect import DIALECTS, Dialect
from .several import keys_of, names

ENV_PREFIX = "SKYNET_LITE_"
MAX_THREAD = 256


@dataclass
class Config:
    """What a node can be told. Names are those of skynet's config file where it has them."""

    clock: str = "real"
    """ "real", or "virtual": time moves only when nothing can run."""
    skynet: str = "1.1"
    """Whose order of events: "1.1", that of v1.1.0, or "1.8", today's; see skynet/dialect.py."""
    thread: int = 1
    """Worker threads. 1: one loop does everything, and the same program makes the same trace."""
    memory: int = 1024
    """With several workers: MiB of the process above which the monitor warns, then at each doubling; 0: never."""
    endless: int = 5
    """Seconds that a message may take before the log names its service and line; 0: never. With several workers
    while it lasts; with one when it is over, but not under the virtual clock, nor in a recording from birth."""
    poller: str = ""
    """ "epoll", "selectors", or "": epoll where there is one."""
    offload: int = 8
    """Threads for blocking code (skynet.offload), made when they are first needed."""
    harbor: int = 0
    """0: handles and names are of this node alone; nodes are joined by `cluster`."""
    bootstrap: bool = True
    """False: a bare node, with a logger and nothing else."""
    start: str | None = None
    """The service that the bootstrap starts last."""
    luaservice: str = "./service/?.py;./?.py"
    """Where services are looked for by name: patterns with a ?, separated by semicolons."""
    snax: str | None = None
    """Where snax services are looked for; None: like other services."""
    preload: str | None = None
    """A file that is run in the namespace of each service before its own code. (For a service that is a
    function: in a namespace that nobody sees.) Relative to the folder of the TOML file."""
    logger: str | None = None
    """A file to append log lines to; SIGHUP opens it anew."""
    logpath: str = "."
    """The folder for files of messages and of the flight recorder, from where the node is started."""
    recorder: int = 0
    """How many events are kept from birth, at least: the last ones, for a file when something goes wrong, on SIGUSR1
    and when asked (node.flight); 0: none. Nothing to a node that keeps all (`record=True`)."""
    cluster: str | dict[str, Any] | None = None
    """Where the nodes of a cluster are, {"db": "127.0.0.1:2528"}, or the file that says so; see cluster.reload."""
    daemon: str | None = None
    """A pid file: `skynet-lite run` then goes to the background. A Node that a program makes stays where it is."""
    node: str | None = None
    """Which node of a file with several, in tables [node.NAME], this one is."""
    console: int | None = None
    """A port on 127.0.0.1 for a debug console, which `skynet-lite run` starts beside the program; 0: a free one. A
    Node that a program makes starts none."""
    profile: bool = False
    """Whether the CPU time of each service is measured (skynet.stat "cpu"). Costs a part of each message."""
    shutdown: int = 8
    """Seconds that all services together have to come to their end (skynet.on_stop) when the node is to stop: by
    Node.shutdown, or by the first Ctrl-C or SIGTERM under `skynet-lite run`. Below the ten that containers get."""
    env: dict[str, Any] = field(default_factory=dict)
    """The program's own values."""

    folder: str = "."
    """What relative patterns start from: the folder of the TOML file."""

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.skynet]


_SETTABLE = {f.name: f for f in fields(Config) if f.name != "folder"}
_REFUSED = {
    **dict.fromkeys(("standalone", "master", "address"), "nodes are joined by cluster, not by harbor"),
    **dict.fromkeys(("cpath", "lua_path", "lua_cpath", "lualoader"), "there is no C or Lua service; see luaservice"),
    "logservice": "the logger is built in; give Node a log= of your own",
}


def _keys(*types: str) -> list[str]:
    return [key for key, f in _SETTABLE.items() if f.type in types]


_SECONDS = "a number of seconds is needed, or 0"
_CHECKS: list[tuple[list[str], Callable[[Any], bool], str]] = [
    (_keys("str", "str | None"), lambda value: value is None or isinstance(value, str), "a string is needed"),
    (_keys("str", "str | None"), lambda value: "\0" not in (value or ""), "a NUL character has no place in it"),
    (["clock"], lambda value: value in ("real", "virtual"), 'use "real" or "virtual"'),
    (["skynet"], lambda value: value in DIALECTS, f"use one of {', '.join(map(repr, DIALECTS))}"),
    (["thread"], lambda value: type(value) is int and value > 0, "a number of worker threads is needed, 1 or more"),
    (["thread"], lambda value: value <= MAX_THREAD, f"more than {MAX_THREAD} worker threads help nobody"),
    (["memory"], lambda value: type(value) is int and 0 <= value < 1 << 64, "a number of MiB is needed, or 0"),
    (["endless", "shutdown"], lambda value: type(value) is int and 0 <= value <= 1 << 31, _SECONDS),
    (["offload"], lambda value: type(value) is int and 0 < value <= 1024, "a number of threads is needed, 1 to 1024"),
    (["recorder"], lambda value: type(value) is int and 0 <= value <= 1 << 31, "a number of events is needed, or 0"),
    (["poller"], lambda value: value in POLLERS, f"use one of {', '.join(map(repr, POLLERS))}, or nothing"),
    (["harbor"], lambda x: type(x) is int and x == 0, "nodes are joined by cluster, not by harbor; use harbor=0"),
    (_keys("bool"), lambda value: isinstance(value, bool), "use true or false"),
    (["console"], lambda value: value is None or (type(value) is int and 0 <= value < 1 << 16), "a port is needed"),
    (
        ["cluster"],
        lambda value: value is None or isinstance(value, (str, dict)),
        "a table of nodes is needed, or a file",
    ),
    (["env"], lambda value: isinstance(value, dict), "a table of the program's own values is needed"),
]
"""Keys, what they may be, and what is said of anything else."""


def load(path: str | os.PathLike[str] | None, given: Mapping[str, object]) -> Config:
    """Put a configuration together. Raises ConfigError, naming the key."""
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise ConfigError(f"Node takes the path of a TOML file, and keys by name (thread=4), not {text_of(path, repr)}")
    values = _read(Path(path)) if path is not None else {}
    which = given.get("node") or os.environ.get(f"{ENV_PREFIX}NODE") or None
    values, own = keys_of(which, values, str(path or "a node without a file"))
    env = values.get("env")
    values |= {key: _substituted(key, value) for key, value in own.items()}  # not those of nodes that run elsewhere
    if isinstance(env, dict) and isinstance(values["env"], dict):
        values["env"] = env | values["env"]
    for name, text in sorted(os.environ.items()):
        if name.startswith(ENV_PREFIX):
            key = name.removeprefix(ENV_PREFIX).lower()
            _check_key(key, name)
            values[key] = _convert(key, text, name)
    values |= {key: value for key, value in given.items() if value is not None}
    for key in values:
        _check_key(key)
    # A path that is said in Python is relative to where the program runs.
    config = Config(**values, folder="." if path is None or "luaservice" in given else str(Path(path).parent))
    for keys, accepts, what in _CHECKS:
        for key in keys:
            if not accepts(value := getattr(config, key)):
                raise ConfigError(f"configuration key {key!r} is {text_of(value, repr)}: {what}")
    return config


def nodes_of(path: str | os.PathLike[str]) -> list[str]:
    """The names of the nodes that a file describes; none if it describes one. Raises ConfigError."""
    return list(names(_read(Path(path)), str(path)))


def environment(config: Config) -> dict[str, str]:
    """What `skynet.getenv` answers: the program's own values, then the keys under their names."""
    told = {f: getattr(config, f) for f in _SETTABLE if f not in ("env", "start", "bootstrap", "cluster")}
    told |= {"bootstrap": "snlua bootstrap"} if config.bootstrap else {}
    both = {key: value for key, value in told.items() if value is not None} | config.env
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in both.items()}


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    try:
        if "\0" in str(path):
            raise ConfigError(f"cannot read the configuration {str(path)!r}: a NUL character has no place in a name")
        if (here := path.resolve()) in above:
            raise ConfigError(f"{above[-1]} includes {path}, and that includes it")
        values = tomllib.loads(here.read_text(encoding="utf-8-sig"))
        values = {k: v if k == "node" else _substituted(k, v) for k, v in values.items()}
    except OSError as e:
        raise ConfigError(f"cannot read the configuration {path}: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        raise ConfigError(f"{path} is not valid TOML: {e}") from e
    included = values.pop("include", [])
    for name in included if isinstance(included, list) else [included]:
        if not isinstance(name, str):
            raise ConfigError(f"{path}: include is {included!r}: the name of a file is needed, or a list of names")
        values = _read(path.parent / name, (*above, here)) | values
    return values


def _substituted(key: str, value: Any) -> Any:
    """$NAME in strings, as skynet has it; a string that was one may stand for a number, or true or false."""
    if isinstance(value, dict):
        return {name: _substituted("", item) for name, item in value.items()}
    if isinstance(value, list):
        return [_substituted("", item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        text = re.sub(r"\$(\w+)", lambda match: os.environ[match[1]], value)
    except KeyError as e:
        at = f"(the value of {key or 'a key'} names ${e.args[0]})"
        raise ConfigError(f"os.getenv() failed: {e.args[0]} {at}") from None
    return text if text == value else _convert(key, text, f"{key} = {value!r}")


def _convert(key: str, text: str, name: str) -> Any:
    if key == "env":
        raise ConfigError(f"{name}: the table env cannot come from one variable; put it into a TOML file")
    kind = _SETTABLE[key].type if key in _SETTABLE else "str"
    if kind in ("int", "int | None"):
        try:
            return int(text)
        except ValueError:
            raise ConfigError(f"{name}={text!r}: a whole number is needed") from None
    if kind == "bool":
        if text.lower() not in ("1", "0", "true", "false"):
            raise ConfigError(f"{name}={text!r}: say true or false")
        return text.lower() in ("1", "true")
    return text


def _check_key(key: str, shown: str | None = None) -> None:
    if key in _REFUSED:
        raise ConfigError(f"configuration key {shown or key!r}: {_REFUSED[key]}")
    if key not in _SETTABLE:
        near = difflib.get_close_matches(key, _SETTABLE, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(_SETTABLE)}"
        raise ConfigError(f"unknown configuration key {shown or key!r}; {hint} (a program's own keys go into [env])")
