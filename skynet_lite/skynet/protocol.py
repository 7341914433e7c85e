"""Message types: how each is packed, unpacked and dispatched.

One idea: a service has a table of protocols, by name and by number. The three that
every service speaks are shared by all until one of them registers or sets something.

After lualib/skynet.lua (register_protocol, dispatch, dispatch_unknown_request).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from ..core.errors import Failure, SkynetError, expect, shown
from ..core.message import PTYPE_ERROR, PTYPE_LUA, PTYPE_RESPONSE, Packed, pack as _pack, unpack as _unpack
from .coroutine import BREAK, current, running
from .runnable import runnable, takes

F = TypeVar("F", bound=Callable[..., Any])


class Protocol:
    """How messages of one type are packed, unpacked and dispatched (register_protocol)."""

    __slots__ = ("dispatch", "id", "name", "pack", "plain", "trace", "unpack")

    def __init__(
        self, name: str, id: int, pack: Callable[[tuple[Any, ...]], Any], unpack: Callable[[Any], tuple[Any, ...]],
        dispatch: Callable[..., Any] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.id = id
        self.pack = pack  # from the tuple of arguments to the payload
        self.unpack = unpack  # and back
        self.plain = tuple if unpack in (_unpack, as_it_is) else None  # payloads of this type are their arguments
        self.dispatch = dispatch
        self.trace: bool | None = None  # traceproto: trace all, or none; None: those that come with a tag


def own_pack(pack: Callable[..., Any] | None) -> Callable[[tuple[Any, ...]], Any]:
    def packer(args: tuple[Any, ...]) -> Any:
        if pack is None:
            raise SkynetError("this protocol has no pack function: give one to register_protocol, or use rawsend")
        return payload_of(pack(*args))

    return packer


def as_it_is(values: Any) -> tuple[Any, ...]:
    return values if type(values) is tuple else (values,)


def payload_of(message: Any) -> Any:
    """What may be sent as it is: bytes, str, None, or what `skynet.pack` made."""
    if type(message) is Packed:
        return message.payload
    if message is None:
        return ()
    if type(message) is str or type(message) is bytes:
        return message
    raise SkynetError(f"a raw message is str, bytes or skynet.pack(...), not {type(message).__name__}")


def as_reason(payload: Any) -> tuple[Any, ...]:
    return (payload,)


def _error_dispatch(session: int, source: int, failure: Any = None) -> None:
    s = running().service
    if session == 0:  # the message that is being served counts as watching its source, too (as in v1.1.0)
        s.bury(source)
    s.watch_error(session, source, failure if type(failure) is Failure else None)
    s.ignore(running())
    if s.session_id_coroutine.get(session) is BREAK:  # the answer to a call that was given up
        del s.session_id_coroutine[session]


PROTO: dict[str | int, Protocol] = {}
for _p in (
    Protocol("lua", PTYPE_LUA, _pack, _unpack),
    Protocol("response", PTYPE_RESPONSE, _pack, _unpack),
    Protocol("error", PTYPE_ERROR, lambda args: None, as_reason, _error_dispatch),
):
    PROTO[_p.name] = PROTO[_p.id] = _p


def own_protocol(s: Any, typename: str | int) -> Protocol:
    """One that is the service's own, a copy made before its first change. Raises SkynetError if it is unknown."""
    p = protocol_of(s, typename)
    return p if p is not PROTO.get(p.name) else _enter(s, Protocol(p.name, p.id, p.pack, p.unpack, p.dispatch))


def _enter(s: Any, p: Protocol) -> Protocol:
    s.proto = {**s.proto, p.name: p, p.id: p}
    return p


def protocol_of(s: Any, typename: str | int) -> Protocol:
    p: Protocol | None = s.proto.get(typename) if isinstance(typename, (str, int)) else None
    if p is None:
        raise unknown_protocol(typename)
    return p


def unknown_protocol(typename: str | int) -> SkynetError:
    current()  # raises if that is what is wrong
    if not isinstance(typename, (str, int)):
        return SkynetError(f'the type of a message, as "lua", comes before what is sent: {shown(typename)} is none')
    return SkynetError(f"unknown protocol {shown(typename)}: call skynet.register_protocol first")


def register_protocol(spec: dict[str, Any] | None = None, /, **fields: Any) -> None:
    """Teach the service a message type: name, id (0–255), pack, unpack, dispatch.

    `pack(*args)` returns str, bytes or `skynet.pack(...)`; `unpack(payload)` returns a
    value or a tuple of values. Raises SkynetError if name or id is taken.
    """
    s = current()
    if spec is not None:
        fields = {**expect("register_protocol takes a dict, or name=, id= and so on", spec, dict), **fields}
    name, id = fields.pop("name", None), fields.pop("id", None)
    pack, unpack, dispatch = (runnable(fields.pop(key, None)) for key in ("pack", "unpack", "dispatch"))
    if not isinstance(name, str) or not isinstance(id, int) or not 0 <= id <= 255:
        raise SkynetError(f"register_protocol needs name (a str) and id (0 to 255), not {shown(name)} and {shown(id)}")
    if name in s.proto or id in s.proto:
        raise SkynetError(f"protocol {shown(name)} or id {id} is registered already: choose another")
    if fields:
        known = "it takes name, id, pack, unpack, dispatch"
        raise SkynetError(f"register_protocol: unknown field {min(fields)!r}; {known}")
    unpacker = as_it_is if unpack is None else lambda payload: as_it_is(unpack(payload))
    _enter(s, Protocol(name, id, own_pack(pack), unpacker, dispatch))


@overload
def dispatch(typename: str) -> Callable[[F], F]: ...


@overload
def dispatch(typename: str, func: Callable[..., Any]) -> Callable[..., Any] | None: ...


def dispatch(typename: str, func: Callable[..., Any] | None = None) -> Any:
    """Set the handler `f(session, source, *args)` of a type; returns the one before. Without `func` it decorates."""
    s = current()
    p = own_protocol(s, typename)
    if func is None:

        def decorate(f: F) -> F:
            _set(p, f)
            return f

        return decorate
    before = p.dispatch
    _set(p, func)
    return before


def _set(p: Protocol, f: Callable[..., Any]) -> None:
    p.dispatch = runnable(f)
    if p.id == PTYPE_ERROR:  # one written for skynet takes session and source; the failure is ours
        p.unpack = as_reason if takes(f, 3) else lambda payload: ()


def dispatch_unknown_request(f: Callable[..., Any]) -> Callable[..., Any]:
    """Set `f(session, source, message, typename)` for messages nobody handles; returns the one before."""
    s = current()
    before, s.unknown_request = s.unknown_request, runnable(f)
    return before  # type: ignore[no-any-return]


def dispatch_unknown_response(f: Callable[..., Any]) -> Callable[..., Any]:
    """Set `f(session, source, message)` for responses nobody waits for; returns the one before."""
    s = current()
    before, s.unknown_response = s.unknown_response, runnable(f)
    return before  # type: ignore[no-any-return]


def unknown_request(session: int, source: int, payload: Any, typename: str) -> None:
    running().service.error(f"Unknown request ({typename}): {_shown(payload)}")
    raise SkynetError(
        f"Unknown session : {session} from {source:x}; set a handler with skynet.dispatch({shown(typename)}, f)"
    )


def unknown_response(session: int, source: int, payload: Any) -> None:
    running().service.error(f"Response message : {_shown(payload)}")
    raise SkynetError(f"Unknown session : {session} from {source:x}; nobody waits for this response")


def _shown(payload: Any) -> str:
    return shown(_unpack(payload) if isinstance(payload, (tuple, bytes)) else payload)
