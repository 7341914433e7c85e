"""Values of a wrong type: each public function says what it takes, and no error comes from somewhere inside.

Functions are tried with what they take by place, and with each option that is given by name only. Methods of the
objects that they return are not, nor `**keys`: tests of their own libraries try these.
"""

from __future__ import annotations

import inspect
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from test_skynet_api import LIBRARIES, found

from skynet_lite import Node, SkynetError, skynet, socket
from skynet_lite.contrib import httpc, websocket
from skynet_lite.lualib import sharetable

WRONG: list[Any] = [None, object(), "x", 3.5, [], {}, b"\0", -1, True, lambda *args: None]
CHECKED = (
    "skynet", "manager", "socket", "socketchannel", "queue", "coroutine", "service", "snax", "memory", "profile",
    "datacenter", "multicast", "harbor", "gateserver", "beyond", "sharetable", "sharedata", "netpack", "dns", "httpc",
    "websocket", "redis",
)  # fmt: skip
"""What a program calls; the others are what the console calls (debug, inject), read what sharedata has made, or take the
connection that they were given (httpd)."""
EXEMPT = {
    "manager.abort": "it ends the node", "skynet.exit": "it ends the service", "snax.exit": "the same",
    "debug.STOP": "the same", "skynet.Scheduler.dispatch_message": "for those in front",
    "Node.shutdown": "not inside a service; see test_shutdown.py",
    "skynet.unpack": "whoever has a message has it from pack; of anything else marshal and Python say what they say",
}  # fmt: skip
WITHIN_A_CONTRACT = "carries bytes, not "  # of a socket: a TypeError that says .encode()
TOKENS = {"skynet.sleep", "skynet.wait", "skynet.wakeup"}
"""They take what can be a key; Python says of what cannot that it is an unhashable type."""


def functions() -> Iterator[tuple[str, Callable[..., Any], int, list[str]]]:
    """Each with how many arguments it is called with, and what it takes by name only."""
    for library in CHECKED:
        for path in LIBRARIES[library].get("ours", {}).values():
            f = found(path)
            if path in EXEMPT or not (inspect.isfunction(f) or getattr(f, "__module__", "").endswith("queue")):
                continue  # exceptions, modules, what C takes no arguments for
            parameters = list(inspect.signature(f).parameters.values())
            if parameters and parameters[0].name != "self":
                kinds = [p.kind for p in parameters]
                n = sum(kind in (0, 1) for kind in kinds) + (inspect.Parameter.VAR_POSITIONAL in kinds)
                yield path, f, n, [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


FUNCTIONS = {path: (f, n, names) for path, f, n, names in functions()}


def calls(n: int, names: list[str]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """One argument wrong, where the others may be right; all of them; or one that has a name."""
    for wrong in WRONG:
        for k in range(n):
            for right in (8, "lua"):
                yield tuple(wrong if i == k else right for i in range(n)), {}
        yield (wrong,) * n, {}
        for name in names:
            yield ("lua",) * n, {name: wrong}


def inside(error: BaseException) -> bool:
    """Whether it was raised deeper than in the call itself, as for a wrong count of arguments."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is not None


@pytest.mark.parametrize("path", FUNCTIONS)
def test_a_wrong_type_is_told_by_an_error_of_ours(path: str) -> None:
    """Whatever is given: it works, waits, or raises SkynetError; never a raw AttributeError or TypeError from inside."""
    f, n, names = FUNCTIONS[path]
    allowed = "unhashable type" if path in TOKENS else WITHIN_A_CONTRACT
    raw: dict[str, Any] = {}

    def attempt(args: tuple[Any, ...], keys: dict[str, Any]) -> None:
        try:
            f(*args, **keys)
        except Exception as e:
            if not isinstance(e, SkynetError) and inside(e) and allowed not in str(e):
                raw.setdefault(f"{type(e).__name__}: {e}", (args, keys))

    with Node(clock="virtual", log=list) as node:
        for args, keys in calls(n, names):
            node.newservice(lambda args=args, keys=keys: skynet.fork(attempt, args, keys))
            node.run_until_idle()
    tracemalloc.stop()  # memory.profactive(True) began it, for the whole process
    assert raw == {}


def test_what_is_exempt_is_there() -> None:
    """No reason stands for what has gone; most functions are called."""
    listed = {path for library in CHECKED for path in LIBRARIES[library].get("ours", {}).values()}
    assert set(EXEMPT) | TOKENS <= listed and len(FUNCTIONS) >= 120


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda: skynet.localname(8), "localname takes a name, a str like '.launcher', not 8"),  # type: ignore[arg-type]
        (lambda: skynet.harbor(".db"), "harbor takes a handle, a number .*, not '.db'"),  # type: ignore[arg-type]
        (lambda: socket.header(4), "a header is bytes, as socket.read gives them, not 4"),  # type: ignore[arg-type]
        (lambda: socket.close([1]), r"a socket is known by its id, a number, not by \[1\]"),  # type: ignore[arg-type]
        (lambda: sharetable.update([]), r"update takes a name, a str, not \[\]"),  # type: ignore[arg-type]
        (lambda: httpc.get("a", header=3), "a header is a dict, and its names are str, not 3"),  # type: ignore[arg-type]
        (lambda: websocket.connect("ws://127.0.0.1:1", header=3), "a header is a dict"),  # type: ignore[arg-type]
        (lambda: skynet.getenv(["thread"]), "getenv takes the name of a key, a str, not"),  # type: ignore[arg-type]
    ],
)
def test_the_text_names_what_was_wrong(wrong: Callable[[], Any], match: str) -> None:
    """What the function takes, and what it was given."""

    def main() -> None:
        with pytest.raises(SkynetError, match=match):
            wrong()

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)


def test_an_outside_is_one() -> None:
    """Said by Node itself, before there is anything to close."""
    bad: Any = 3
    with pytest.raises(SkynetError, match=r"Node\(outside=...\) takes an object of a class made from Outside, not 3"):
        Node(outside=bad)
