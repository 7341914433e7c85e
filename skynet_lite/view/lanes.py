"""Who has a lane in a picture, and in which order.

One idea: the world comes first (clients, socket server, timer), then service after
service as they are born, each with its mailbox and its coroutines, or folded into one.
Of several nodes each has its own world; that of an upper one stands below its services.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..trace.golden import BOOT
from ..trace.shapes import home
from .forms import word

if TYPE_CHECKING:
    from ..trace import Trace

LaneKey = tuple[str, str]  # (service, coroutine), (service, MAILBOX), (node, SOCKET), (node, client#1), ...
Services = str | int | Iterable[str | int]

MAILBOX, SOCKET, TIMER, CLIENTS, FOLDED = "mailbox", "socket server", "timer", "clients", "folded"
MANY_CLIENTS = 6
"""More clients than this share one lane."""


@dataclass(frozen=True)
class Lane:
    """One row. `kind` is client, socket, timer, mailbox, coroutine or folded (a whole service)."""

    key: LaneKey
    kind: str
    title: str
    note: str


def selected(trace: Trace, services: Services | None) -> set[str]:
    """Addresses of the services to be shown. Raises ValueError for one that the trace does not know."""
    names = trace.names()
    if services is None:
        services = getattr(trace, "services", None)
    if services == "all":
        return set(names)
    if services is None:
        return {address for address, name in names.items() if name and name not in BOOT} or set(names)
    return trace.find_services(services)


def called(service: str, names: dict[str, str]) -> str:
    """A service by its name, if it has one of its own, and its address."""
    name = names.get(service, "")
    return f"{name} {service}".strip() if name != service else service


def fitting(coroutines: list[LaneKey], acting: set[LaneKey], limit: int) -> set[LaneKey]:
    """At most `limit` of them; those that do something go before those that only wait."""
    return set(sorted(coroutines, key=lambda key: key not in acting)[:limit])


def lanes(
    seen: Iterable[LaneKey], clients: Collection[str], titles: dict[str, str], roles: dict[LaneKey, str],
    nodes: Sequence[str] = ("",),
) -> list[Lane]:  # fmt: skip
    """The lanes of whatever is to be seen, which is given in the order of its birth.

    `titles`: what is said of each service; others have no lane. `roles`: what each coroutine was made for.
    """
    found: list[Lane] = []
    members: dict[str, list[LaneKey]] = {}
    for key in seen:
        service, name = key
        if name == CLIENTS or name in clients:
            title = word("fig.clients") if name == CLIENTS else name
            found.append(Lane(key, "client", title, service or word("fig.outside")))
        elif name == SOCKET:
            found.append(Lane(key, "socket", word("fig.socket"), service or "epoll"))
        elif name == TIMER:
            found.append(Lane(key, "timer", word("fig.timer"), service))
        elif service in titles:
            members.setdefault(service, []).append(key)
    for service, keys in members.items():
        if (service, FOLDED) in keys:
            found.append(Lane((service, FOLDED), "folded", titles[service], ""))
            continue
        if (service, MAILBOX) in keys:
            found.append(Lane((service, MAILBOX), "mailbox", word("fig.mailbox"), titles[service]))
        found += [Lane(key, "coroutine", key[1], roles.get(key, "")) for key in keys if key[1] != MAILBOX]

    def place(lane: Lane) -> tuple[int, int]:
        outside = lane.kind in ("client", "socket", "timer")
        node = nodes.index(lane.key[0] if outside else home(lane.key[0]))
        order = ("client", "socket", "timer", "service") if node == len(nodes) - 1 else _UPPER
        return node, order.index(lane.kind if outside else "service")

    return sorted(found, key=place)


_UPPER = ("client", "service", "timer", "socket")
"""The lanes of a node that has another below it: what goes from one to the other has no far way to go."""
