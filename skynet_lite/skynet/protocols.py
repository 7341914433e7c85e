"""What a service says about message types: which there are, and who handles them.

After lualib/skynet.lua (register_protocol, dispatch, dispatch_unknown_request).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from ..core.errors import SkynetError
from .protocol import Protocol, own_pack, own_proto, own_unpack, protocol_of
from .scheduler import current

F = TypeVar("F", bound=Callable[..., Any])


def register_protocol(spec: dict[str, Any] | None = None, /, **fields: Any) -> None:
    """Teach the service a message type: name, id (0–255), pack, unpack, dispatch.

    `pack(*args)` returns str, bytes or `skynet.pack(...)`; `unpack(payload)` returns a
    value or a tuple of values. Raises SkynetError if name or id is taken.
    """
    fields = {**(spec or {}), **fields}
    s = current()
    name, id = fields.pop("name", None), fields.pop("id", None)
    if not isinstance(name, str) or not isinstance(id, int) or not 0 <= id <= 255:
        raise SkynetError(f"register_protocol needs name (a str) and id (0 to 255), not {name!r} and {id!r}")
    if name in s.proto or id in s.proto:
        raise SkynetError(f"protocol {name!r} or id {id} is registered already: choose another")
    pack, unpack, dispatch = (fields.pop(key, None) for key in ("pack", "unpack", "dispatch"))
    if fields:
        raise SkynetError(
            f"register_protocol: unknown field {min(fields)!r}; it takes name, id, pack, unpack, dispatch"
        )
    p = Protocol(name, id, own_pack(pack), own_unpack(unpack), dispatch)
    proto = own_proto(s)
    proto[name] = proto[id] = p


@overload
def dispatch(typename: str) -> Callable[[F], F]: ...


@overload
def dispatch(typename: str, func: Callable[..., Any]) -> Callable[..., Any] | None: ...


def dispatch(typename: str, func: Callable[..., Any] | None = None) -> Any:
    """Set the handler `f(session, source, *args)` of a message type; returns the one before.

    Without `func` it decorates.
    """
    s = current()
    protocol_of(s, typename)
    if func is None:

        def decorate(f: F) -> F:
            own_proto(s)[typename].dispatch = f
            return f

        return decorate
    p = own_proto(s)[typename]
    before, p.dispatch = p.dispatch, func
    return before


def dispatch_unknown_request(f: Callable[..., Any]) -> Callable[..., Any]:
    """Set `f(session, source, message, typename)` for messages nobody handles; returns the one before."""
    s = current()
    before, s.unknown_request = s.unknown_request, f
    return before


def dispatch_unknown_response(f: Callable[..., Any]) -> Callable[..., Any]:
    """Set `f(session, source, message)` for responses nobody waits for; returns the one before."""
    s = current()
    before, s.unknown_response = s.unknown_response, f
    return before
