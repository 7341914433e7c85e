"""Who has a lane in a picture, and in which order.

One idea: the world comes first (clients, socket server, timer), then service after
service as they appear, each with its mailbox and its coroutines, or folded into one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..trace.golden import BOOT
from .forms import word

if TYPE_CHECKING:
    from ..trace import Trace

LaneKey = tuple[str, str]  # (service, coroutine), (service, MAILBOX), ("", SOCKET), ("", client#1), ...
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
    seen: Iterable[LaneKey], clients: Collection[str], titles: dict[str, str], roles: dict[LaneKey, str]
) -> list[Lane]:
    """The lanes of whatever is to be seen, which is given in the order of its appearance.

    `titles`: what is said of each service; others have no lane. `roles`: what each coroutine was made for.
    """
    world: dict[str, list[Lane]] = {"client": [], "socket": [], "timer": []}
    members: dict[str, list[LaneKey]] = {}
    for key in seen:
        service, name = key
        if not service and (name == CLIENTS or name in clients):
            title = word("fig.clients") if name == CLIENTS else name
            world["client"].append(Lane(key, "client", title, word("fig.outside")))
        elif key == ("", SOCKET):
            world["socket"].append(Lane(key, "socket", word("fig.socket"), "epoll"))
        elif key == ("", TIMER):
            world["timer"].append(Lane(key, "timer", word("fig.timer"), ""))
        elif service in titles:
            members.setdefault(service, []).append(key)
    found = [lane for kind in world.values() for lane in kind]
    for service, keys in members.items():
        if (service, FOLDED) in keys:
            found.append(Lane((service, FOLDED), "folded", titles[service], ""))
            continue
        if (service, MAILBOX) in keys:
            found.append(Lane((service, MAILBOX), "mailbox", word("fig.mailbox"), titles[service]))
        found += [Lane(key, "coroutine", key[1], roles.get(key, "")) for key in keys if key[1] != MAILBOX]
    return found
