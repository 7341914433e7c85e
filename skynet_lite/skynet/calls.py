"""Messages from service to service: send, call, and the answers.

One idea: a call is a send with a session, and a yield that waits for it. Whoever serves it
answers by a yield too, RETURN, from the coroutine that the request came to; or later, from
anywhere, by a function that `response` makes.

After lualib/skynet.lua (send, call, ret, response, redirect).
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any

from ..core.codec import Coded
from ..core.errors import AddressError, CallError, PackError, SkynetError, shown
from ..core.message import Packed, pack as _pack, unpack as _unpack
from .coroutine import CALL, RESPONSE, RETURN, Coroutine, Hub, running
from .protocol import Protocol, own_pack, payload_of, protocol_of, unknown_protocol
from .response import Response
from .runnable import runnable
from .scheduler import Scheduler, current
from .tables import address


def unreachable(addr: Any) -> AddressError:
    if addr == 0 and isinstance(addr, int):
        return AddressError("Invalid service address 0")
    return AddressError(f"call to invalid address {address(addr)}")


def send(addr: int | str, typename: str, *args: Any) -> int | None:
    """Send and forget. Returns 0, or None if the address does not exist."""
    co = running()
    try:
        s = co.service
        p = s.proto[typename]
    except (AttributeError, KeyError, TypeError):
        raise unknown_protocol(typename) from None
    pack = p.pack
    return 0 if s.server.send(s.handle, addr, p.id, 0, pack(args)) else None


def call(addr: int | str, typename: str, *args: Any) -> Any:
    """Send a request and wait for its answer: None, the value, or a tuple if several.

    Raises AddressError if there is no such address, CallError if the service failed,
    refused or ended. DOC: call
    """
    co = running()
    try:
        s = co.service
        p = s.proto[typename]
    except (AttributeError, KeyError, TypeError):
        raise unknown_protocol(typename) from None
    pack = p.pack
    payload = pack(args)
    hub = co.hub
    session = next(s.sessions)
    if not s.server.send(s.handle, addr, p.id, session, payload):
        raise unreachable(addr)
    values = yield_call(s, hub, addr, session, p)
    if type(values) is not p.plain:
        values = p.unpack(values)
    if len(values) == 1:
        return values[0]
    return values or None


def yield_call(s: Scheduler, hub: Hub, addr: int | str, session: int, p: Protocol) -> Any:
    """Wait for the response to `session`. Raises CallError. DOC: yield-call"""
    s.watching_session[session] = addr if type(addr) is int else s.server.resolve(addr)
    succ, payload = hub.coroutine_yield(CALL, session)
    del s.watching_session[session]
    if not succ:
        raise CallError.of(payload, session, p.name)
    return payload


def rawsend(addr: int | str, typename: str, message: Any) -> int | None:
    """Like send, with a message that is packed already."""
    s = current()
    return 0 if s.server.send(s.handle, addr, protocol_of(s, typename).id, 0, payload_of(message)) else None


def rawcall(addr: int | str, typename: str, message: Any) -> Any:
    """Like call, packed in and packed out."""
    s, hub = current(), running().hub
    p, session = protocol_of(s, typename), next(s.sessions)
    if not s.server.send(s.handle, addr, p.id, session, payload_of(message)):
        raise unreachable(addr)
    payload = yield_call(s, hub, addr, session, p)
    return payload if isinstance(payload, str) else Packed(payload)


def redirect(dest: int | str, source: int, typename: str, session: int, message: Any) -> int | None:
    """Send on behalf of another: `dest` sees `source` (0: this service) as the sender (c.redirect)."""
    s = current()
    if not isinstance(session, int):
        raise SkynetError(f"redirect takes the session as a number, 0 for none, not {shown(session)}")
    target = s.server.contexts.get(s.server.resolve(dest))  # type: ignore[arg-type]  # a global name is no key
    if target is None:
        return None
    message = protocol_of(s, typename).id, session, source or s.handle, payload_of(message)
    s.server.redirect(s.handle, target, message)
    return session


def ret(message: Any = None) -> bool:
    """Answer the request served here with `skynet.pack(...)`, once. False if it was sent, not called. DOC: ret"""
    return _serving("skynet.ret").hub.coroutine_yield(RETURN, payload_of(message))[0]  # type: ignore[no-any-return]


def retpack(*values: Any) -> bool:
    """`ret(pack(*values))`."""
    co = running()
    if type(co) is not Coroutine or co.session is None:
        _serving("skynet.retpack")
    return co.hub.coroutine_yield(RETURN, _pack(values))[0]  # type: ignore[no-any-return]


def response(pack: Callable[..., Any] | None = None) -> Response:
    """A function that answers the current request later; see Response."""
    co = _serving("skynet.response")
    made: Response = co.hub.coroutine_yield(RESPONSE, _pack if pack is None else own_pack(runnable(pack)))[0]
    return made


def _serving(what: str) -> Coroutine:
    co: Coroutine = running()
    if getattr(co, "session", None) is not None:
        return co
    current()
    raise SkynetError(f"{what}: no session; only the coroutine that a request came to can answer it")


def context() -> tuple[int | None, int | None]:
    """(session, source) of the request this coroutine serves; (None, None) in a fork or a timer."""
    current()
    co = running()
    return (None, None) if getattr(co, "session", None) is None else (co.session, co.address)


def ignoreret() -> None:
    """Say that this request gets no answer from here: its end, or its failure, tells nobody."""
    co = _serving("skynet.ignoreret")
    co.service.ignore(co)


def pack(*values: Any) -> Packed:
    """Values as one opaque message, for rawsend, rawcall, redirect and ret. Raises PackError."""
    return Packed(_pack(values))


def unpack(message: Packed) -> tuple[Any, ...]:
    """The values again; fresh copies each time."""
    return _unpack(message.payload if isinstance(message, Packed) else message)


def packstring(*values: Any) -> bytes:
    """Values as bytes, to be kept; `unpack` opens them, in this version of Python. Raises PackError."""
    packed = _pack(values)
    if type(packed) is Coded:  # its classes are only known in this process
        raise PackError(f"packstring: a {packed.types[0].__name__} cannot be kept as bytes")
    return packed if isinstance(packed, bytes) else marshal.dumps(packed)


def trash(message: Any = None) -> None:
    """Nothing: in skynet it frees a message that was not passed on; here that happens by itself."""


def tostring(payload: Any) -> str:
    """The text of a raw message."""
    return payload.decode("utf-8", "surrogateescape") if isinstance(payload, bytes) else str(payload)


def genid() -> int:
    """A session number of one's own."""
    return next(current().sessions)
