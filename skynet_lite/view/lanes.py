"""Who has a lane in a picture, and in which order.

One idea: the world comes first (clients, socket server, timer), then service after
service as they appear, each with its mailbox and its coroutines, or folded into one.
Of several nodes each has its own world, and then its services.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
    nodes: Iterable[str] = ("",),
) -> list[Lane]:  # fmt: skip
    """The lanes of whatever is to be seen, which is given in the order of its appearance.

    `titles`: what is said of each service; others have no lane. `roles`: what each coroutine was made for.
    """
    world: dict[str, list[Lane]] = {f"{kind} {node}": [] for node in nodes for kind in ("client", "socket", "timer")}
    members: dict[str, dict[str, list[LaneKey]]] = {node: {} for node in nodes}
    for key in seen:
        service, name = key
        if name == CLIENTS or name in clients:
            title = word("fig.clients") if name == CLIENTS else name
            world[f"client {service}"].append(Lane(key, "client", title, service or word("fig.outside")))
        elif name == SOCKET:
            world[f"socket {service}"].append(Lane(key, "socket", word("fig.socket"), service or "epoll"))
        elif name == TIMER:
            world[f"timer {service}"].append(Lane(key, "timer", word("fig.timer"), service))
        elif service in titles:
            members[home(service)].setdefault(service, []).append(key)
    found = []
    for node, services in members.items():
        found += [lane for kind in ("client", "socket", "timer") for lane in world[f"{kind} {node}"]]
        found += _services(services, titles, roles)
    return found


def _services(members: dict[str, list[LaneKey]], titles: dict[str, str], roles: dict[LaneKey, str]) -> list[Lane]:
    found = []
    for service, keys in members.items():
        if (service, FOLDED) in keys:
            found.append(Lane((service, FOLDED), "folded", titles[service], ""))
            continue
        if (service, MAILBOX) in keys:
            found.append(Lane((service, MAILBOX), "mailbox", word("fig.mailbox"), titles[service]))
        found += [Lane(key, "coroutine", key[1], roles.get(key, "")) for key in keys if key[1] != MAILBOX]
    return found
