"""A message type: how it is packed, unpacked and dispatched.

One idea: a service has a table of protocols, by name and by number. The three that
every service speaks are shared by all until one of them registers or sets something.

After lualib/skynet.lua (register_protocol, dispatch, dispatch_unknown_request).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import SkynetError
from ..core.message import PTYPE_ERROR, PTYPE_LUA, PTYPE_RESPONSE, Packed, pack as _pack, unpack as _unpack
from .coroutine import BREAK, running


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
        self.plain = unpack is _unpack or unpack is as_it_is  # a tuple is its arguments already
        self.dispatch = dispatch
        self.trace: bool | None = None  # traceproto: trace all, or none; None: those that come with a tag


def own_pack(pack: Callable[..., Any] | None) -> Callable[[tuple[Any, ...]], Any]:
    def packer(args: tuple[Any, ...]) -> Any:
        if pack is None:
            raise SkynetError("this protocol has no pack function: give one to register_protocol, or use rawsend")
        return payload_of(pack(*args))

    return packer


def own_unpack(unpack: Callable[[Any], Any] | None) -> Callable[[Any], tuple[Any, ...]]:
    def unpacker(payload: Any) -> tuple[Any, ...]:
        assert unpack is not None
        return as_it_is(unpack(payload))

    return as_it_is if unpack is None else unpacker


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


def _error_dispatch(session: int, source: int) -> None:
    # In this order: the message that is being served counts as watching its source (as in v1.1.0),
    # so a service that reports its own end is always entered as dead.
    s = running().service
    s.watch_error(session, source)
    s.ignore(running())
    if s.session_id_coroutine.get(session) is BREAK:  # the answer to a call that was given up
        del s.session_id_coroutine[session]


PROTO: dict[str | int, Protocol] = {}
for _p in (
    Protocol("lua", PTYPE_LUA, _pack, _unpack),
    Protocol("response", PTYPE_RESPONSE, _pack, _unpack),
    Protocol("error", PTYPE_ERROR, lambda args: None, lambda payload: (), _error_dispatch),
):
    PROTO[_p.name] = PROTO[_p.id] = _p


def own_proto(s: Any) -> dict[str | int, Protocol]:
    """The service's own table of protocols, made before its first change."""
    if s.proto is PROTO:
        copies = {p.id: Protocol(p.name, p.id, p.pack, p.unpack, p.dispatch) for p in PROTO.values()}
        s.proto = {key: p for p in copies.values() for key in (p.name, p.id)}
    return s.proto


def protocol_of(s: Any, typename: str | int) -> Protocol:
    p = s.proto.get(typename)
    if p is None:
        raise SkynetError(f"unknown protocol {typename!r}: call skynet.register_protocol first")
    return p


def unknown_request(session: int, source: int, payload: Any, typename: str) -> None:
    running().service.error(f"Unknown request ({typename}): {_shown(payload)}")
    raise SkynetError(
        f"Unknown session : {session} from {source:x}; set a handler with skynet.dispatch({typename!r}, f)"
    )


def unknown_response(session: int, source: int, payload: Any) -> None:
    running().service.error(f"Response message : {_shown(payload)}")
    raise SkynetError(f"Unknown session : {session} from {source:x}; nobody waits for this response")


def _shown(payload: Any) -> str:
    return repr(_unpack(payload) if isinstance(payload, (tuple, bytes)) else payload)[:200]
