"""The world of a run: all that came into a node from outside, from its birth on.

What the driver did (a call, a jump of the clock, a poll that found something), and what a
thread has brought, is noted with the number of events recorded before it. What the world answered when the node asked
(bytes, an address, an error) is noted with that number and how many questions came since;
usual answers, no error, are left out. What the program says to the world (an address, bytes
as a checksum) or sets for the whole node, and what it sends, is no answer, but the first that a
changed program changes: it is kept to be compared. The clock is noted when it has moved.
So the same program, given this, makes the same events again (Node.replay).

In files it is JSON without loss: {"b": base64}, {"t": tuple}, {"d": pairs of a dict},
{"f": a float that JSON lacks}, {"i": a very long int}, {"e": a failure}, {"r": number of a container that was written
whole before}: what shares its parts may be endless where each is written again. Reading it runs nothing.
"""

from __future__ import annotations

import base64
import math
import zlib
from copy import copy
from dataclasses import dataclass, field
from socket import AddressFamily, SocketKind
from types import NoneType
from typing import Any, NamedTuple

from .schema import TraceError
from .values import whole


class Failure(NamedTuple):
    """An exception that the world answered with."""

    kind: str
    errno: int | None
    text: str

    def error(self) -> Exception:
        if self.errno is not None:
            return OSError(self.errno, self.text)
        return _ERRORS.get(self.kind, OSError)(self.text)


_ERRORS: dict[str, type[Exception]] = {e.__name__: e for e in (OverflowError, TypeError, ValueError)}


def failure(e: BaseException) -> Failure:
    if isinstance(e, OSError) and e.errno is not None:
        return Failure("OSError", e.errno, e.strerror or str(e))
    return Failure(type(e).__name__, None, str(e))


@dataclass
class World:
    """`inputs`: [events before, kind, ...]; `answers`: [events before, questions since, method, socket, answer]
    (and, where the question tells something, what). `sent`: a CRC-32 of each message that a service has sent.

    `ticks`, `hpc`: [events before, readings since, what the clock said]; empty under the virtual clock.
    `services`: names of those that were started from outside; `config`: what the node was told.
    """

    config: dict[str, Any] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    inputs: list[list[Any]] = field(default_factory=list)
    answers: list[list[Any]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    ticks: list[list[int]] = field(default_factory=list)
    hpc: list[list[int]] = field(default_factory=list)
    stored: bool = False  # read from a file: who wrote it may not say what is run here

    def taken(self) -> World:
        """What came so far; but for `sent`, which is worked out with the events."""
        return World(**{part: copy(value) for part, value in vars(self).items() if part != "sent"})


CONFIG = {"clock": str, "bootstrap": bool, "luaservice": str, "folder": str, "starttime": int, "env": dict}
INPUTS: dict[str, tuple[Any, ...]] = {
    "own": (), "poll": ((list, Failure), list), "jump": (int,), "call": (int, int, tuple), "launch": (str, tuple),
    "mark": (str,), "client": (str, str, str), "close": (), "offload": (int, int, tuple), "wakeup": (int, int),
    "response": (int, int, int, bool, object),
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "accept": tuple, "recv": bytes, "recvfrom": tuple, "sockname": tuple, "peername": tuple, "resolve": list,
    "accept_and_drop": (tuple, NoneType), "send": int, "sendto": int, "connect": int, "socket_error": int,
    **dict.fromkeys(("socket", "adopt", "setsockopt", "bind", "listen", "watch", "rewatch"), NoneType),
    **dict.fromkeys(("lookup", "note"), NoneType), "secret": tuple, "nodename": str,
}  # fmt: skip


TELLING = ("send", "sendto", "bind", "listen", "resolve", "lookup", "note")
"""Questions that tell the world something: what they say is kept, and compared by a replay."""


def said(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a question says, as a recording keeps it: a CRC-32 instead of bytes."""
    return tuple(
        zlib.crc32(arg) if isinstance(arg, (bytes, memoryview))
        else int(arg) if isinstance(arg, int)
        else arg if isinstance(arg, (str, tuple)) else type(arg).__name__
        for arg in args
    )  # fmt: skip


def encode(world: World | None) -> Any:
    """As JSON can hold it."""
    if world is None:
        return None
    parts = vars(world) | {"config": world.config | {"folder": ".", "luaservice": ""} if world.config else {}}
    done: dict[int, int] = {}  # containers by id, and their numbers, in the order of their ends
    return {part: _encode(value, done) for part, value in parts.items() if part != "stored"}


def decode(data: Any) -> World | None:
    """What `encode` made of a world. Raises TraceError for what it cannot have made."""
    if data is None:
        return None
    done: list[Any] = []
    try:
        world = World(**{part: _decode(value, done) for part, value in data.items()}, stored=True)
        _check(world)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as e:
        raise TraceError(f"was edited or damaged: its record of the outside makes no sense ({e})") from None
    return world


_TAGS: dict[Any, str] = {list: "", tuple: "t", dict: "d", Failure: "e"}
_MADE: dict[str, Any] = {"": list, "t": tuple, "e": Failure._make}


def _encode(value: Any, done: dict[int, int]) -> Any:
    if value is None or type(value) in (bool, str):
        return value
    if type(value) is int or isinstance(value, (AddressFamily, SocketKind)):
        return int(value) if whole(value) == value else {"i": hex(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"f": repr(value)}
    if type(value) is bytes:
        return {"b": base64.b64encode(value).decode()}
    if type(value) not in _TAGS:
        raise TraceError(f"cannot be saved: a {type(value).__name__} came from outside, in a call; give its parts")
    if id(value) in done:
        return {"r": done[id(value)]}
    if isinstance(value, dict):
        items = [[_encode(key, done), _encode(item, done)] for key, item in value.items()]
    else:
        items = [_encode(item, done) for item in value]
    done[id(value)] = len(done)
    tag = _TAGS[type(value)]
    return {tag: items} if tag else items


def _decode(value: Any, done: list[Any]) -> Any:
    if not isinstance(value, (list, dict)):
        return value
    inner: Any
    ((tag, inner),) = value.items() if isinstance(value, dict) else (("", value),)
    if tag == "b":
        return base64.b64decode(inner, validate=True)
    if tag == "f":
        return float(inner)
    if tag == "i":
        return int(inner, 16)
    if tag == "r":
        return done[inner]
    if tag == "d":
        made: Any = {_decode(key, done): _decode(item, done) for key, item in inner}
    else:
        made = _MADE[tag](_decode(item, done) for item in inner)
    done.append(made)
    return made


def _check(world: World) -> None:
    _of([world.services, world.inputs, world.answers, world.sent, world.ticks, world.hpc], [list] * 6)
    _of(world.config.values(), [CONFIG[key] for key in world.config])
    if world.inputs and set(world.config) != set(CONFIG):
        raise ValueError("its configuration is incomplete")
    _of(world.services, [str] * len(world.services))
    for n, kind, *rest in world.inputs:
        _of([n, *rest], [int, *INPUTS[kind]])
        if kind == "poll":
            for what in [*(rest[0] if isinstance(rest[0], list) else ()), *rest[1]]:
                _of(what, [int, (int, list, Failure)])
    _of(world.sent, [int] * len(world.sent))
    for n, k, method, number, answer, *told in world.answers:
        _of([n, k, number, *told], [int] * 3 + [tuple] * (method in TELLING))
        if not isinstance(answer, Failure):
            _of([answer], [ANSWERS[method]])
    for moment in world.ticks + world.hpc:
        _of(moment, [int] * 3)


def _of(values: Any, types: list[Any]) -> None:
    for value, type in zip(values, types, strict=True):
        if not isinstance(value, type):
            raise TypeError(f"a {value.__class__.__name__} where it cannot be")
