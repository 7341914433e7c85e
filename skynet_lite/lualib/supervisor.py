"""Services that are started again when they end: a supervisor, its children, and what to do for whom.

    sup = supervisor.start(
        supervisor.child(".db", "simpledb"),
        supervisor.child("gate", gate, 8888, restart="transient"),
        strategy="rest_for_one", intensity=3, period=500,
    )

One idea: a service that fails is not mended, it is ended and made anew by somebody whose only work that is. So an
address is not for ever: a child whose name begins with a dot has it given anew each time, for others there is `query`.

Names and rules are those of Erlang's supervisors (OTP); skynet has none. The supervisor is service/supervisord.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from .. import skynet
from ..core.errors import SkynetError, expect, shown
from ..skynet.scheduler import current
from ..skynet.services import name_of

__all__ = [
    "Child", "child", "delete_child", "fail", "query", "restart_child", "start", "start_child", "terminate_child",
    "tree", "which_children",
]  # fmt: skip
__dir__ = __all__.copy

RESTART = ("permanent", "transient", "temporary")
STRATEGY = ("one_for_one", "one_for_all", "rest_for_one")
Address = int | str


class Child(NamedTuple):
    """What `child` and `tree` return."""

    name: str
    service: str | Callable[..., Any]
    args: tuple[Any, ...]
    restart: str
    shutdown: int | None


def child(
    name: str, service: str | Callable[..., Any], *args: Any, restart: str = "permanent", shutdown: int | None = 500
) -> Child:
    """A child, by a name of its own in its supervisor. A ".name" is its local name in the node, too.

    `service`, `args`: as for skynet.newservice. `restart`: "permanent": whenever it ends; "transient": unless it ended
    by skynet.exit; "temporary": never, and it is forgotten. `shutdown`: ticks that it has to come to its end when
    it is to stop (skynet.on_stop), then it is killed; 0: at once, None: no limit. Raises SkynetError.
    """
    if not isinstance(name, str) or not name:
        raise SkynetError(f"the name of a child is a str, not {shown(name)}")
    _one_of("restart", restart, RESTART)
    return Child(name, service, args, restart, None if shutdown is None else _number("shutdown", shutdown))


def tree(name: str, *children: Child, restart: str = "permanent", shutdown: int | None = None, **options: Any) -> Child:
    """A child that is a supervisor itself; options as for `start`."""
    return child(name, "supervisord", _options(**options), *children, restart=restart, shutdown=shutdown)


def start(*children: Child, **options: Any) -> int:
    """Start a supervisor and its children, one after the other; its handle.

    `strategy`: who is ended and started again with a child that has ended: nobody ("one_for_one", the default), all
    ("one_for_all"), those that stand behind it ("rest_for_one"). `intensity`, `period`: with more than so many
    restarts (3) in so many ticks of 10 ms (500) it gives up, ends its children, the last first, and then itself.
    Raises CallError if a child does not start; those before it are ended then. SkynetError for what is no child.
    """
    return skynet.newservice("supervisord", _options(**options), *map(_told, children))


def start_child(sup: Address, child: Child) -> int | None:
    """Add a child, behind the others, and start it. Raises CallError if that fails, or the name is taken.

    Its handle; None if it has done its work in its start function, and ended.
    """
    handle: int | None = skynet.call(sup, "lua", "START", _told(child))
    return handle


def terminate_child(sup: Address, name: str) -> None:
    """End a child, and do not start it again; unless it is temporary it stays in the list. Raises CallError."""
    skynet.call(sup, "lua", "TERMINATE", name)


def restart_child(sup: Address, name: str) -> int | None:
    """Start a child that does not run; its handle, as for `start_child`. Raises CallError."""
    handle: int | None = skynet.call(sup, "lua", "RESTART", name)
    return handle


def delete_child(sup: Address, name: str) -> None:
    """Forget a child that does not run. Raises CallError."""
    skynet.call(sup, "lua", "DELETE", name)


def which_children(sup: Address) -> dict[str, int | None]:
    """The handles of the children by name, in their order; None for one that does not run."""
    found: dict[str, int | None] = skynet.call(sup, "lua", "WHICH")
    return found


def query(sup: Address, name: str) -> int:
    """The handle of a child; while it is being started again, the new one. Raises CallError if it does not run."""
    return int(skynet.call(sup, "lua", "QUERY", name))


def fail(reason: str) -> NoReturn:
    """End the current service as one that has failed: who calls it gets `reason`, and a transient child comes back."""
    s = current()
    s.ctx.failure = s.failure(str(reason))
    skynet.exit()
    raise AssertionError


def _options(strategy: str = "one_for_one", intensity: int = 3, period: int = 500) -> tuple[str, int, int]:
    _one_of("strategy", strategy, STRATEGY)
    return strategy, _number("intensity", intensity), _number("period", period, 1)


def _told(child: Any) -> tuple[Any, ...]:
    """A child as a message: services by name, those of a tree as well."""
    expect("a child is made by supervisor.child or supervisor.tree", child, Child)
    args = tuple(_told(arg) if isinstance(arg, Child) else arg for arg in child.args)
    return child.name, name_of(current(), child.service), args, child.restart, child.shutdown


def _one_of(what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise SkynetError(f"{what} is {shown(word)}: use one of {', '.join(known)}")


def _number(what: str, value: int, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise SkynetError(f"{what} is {shown(value)}: a whole number is needed, {least} or more")
    return value
