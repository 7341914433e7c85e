"""Serves one connection of another node: hands its requests to the services here, and their answers back.

Packets come from the gate, unopened. A request that makes no sense is logged, and harms no other.
After service/clusteragent.lua.
"""

from dataclasses import dataclass, field
from typing import Any

from skynet_lite import AddressError, CallError, harbor, seri, skynet, socket
from skynet_lite.core.errors import error_text, shown
from skynet_lite.lualib import clustercore
from skynet_lite.lualib.library import by_name
from skynet_lite.skynet.scheduler import current


@dataclass
class Request:
    """One that comes in parts, or in one."""

    address: Any
    push: bool | None
    tag: str | None
    parts: list[Any] = field(default_factory=list)  # of a large one: its size, then bytes
    weight: int = 0  # of these


clusterd = gate = fd = 0
maxbuffer = maxflight = 0  # see cluster.reload
large: dict[int, Request] = {}  # those that are not complete, by session
held = 0  # what all of them weigh
flight = 0
next_tag: str | None = None  # the trace tag for the next request
names: dict[str, int] = {}  # what clusterd knows, until it says that something has changed
asking: dict[str, list[object]] = {}


def handle_of(name: str) -> int | None:
    """The handle of "@name". Requests that come while it is asked for keep their order."""
    if name in names:
        return names[name]
    if name in asking:
        token = object()
        asking[name].append(token)
        skynet.wait(token)
        return names.get(name)
    asking[name] = []
    try:
        handle: int | None = skynet.call(clusterd, "lua", "queryname", name[1:])
    finally:
        for token in asking.pop(name):
            skynet.wakeup(token)
    if handle is not None:
        names[name] = handle
    return handle


def answer(session: int, ok: bool, payload: bytes) -> None:
    frames = clustercore.packresponse(session, ok, payload)
    write = socket.write if len(frames) == 1 else socket.lwrite
    for frame in frames:
        write(fd, frame)


def refuse(session: int, why: str) -> None:
    answer(session, False, why.encode("utf-8", "surrogateescape"))


def serve(
    _: int, source: int, address: Any, session: int | None = None, payload: Any = None, more: bool = False,
    push: bool | None = None,
) -> None:  # fmt: skip
    global next_tag, flight
    skynet.ignoreret()  # what stands for a session is the socket
    if session is None:
        next_tag = address
        return
    request = large.pop(session, None)
    if request is None:
        traced = more or not (push or address == 0)  # a query leaves the tag to the next request, as in skynet
        request = Request(address, push, next_tag if traced else None)
        next_tag = next_tag if request.tag is None else None
    elif not more:
        payload = complete(request, payload)
    if more:
        large[session] = request
        keep(request, payload)
    elif payload is None:
        refuse(session, "Invalid large req")
    elif flight >= maxflight:  # each holds a coroutine here, and one where it is served
        refuse(session, f"{flight} requests are under way: call failed")
    else:
        flight += 1
        try:
            (query if request.address == 0 else forward)(session, request, payload)
        finally:
            flight -= 1


def keep(request: Request, part: int | bytes) -> None:
    """Put a part with the others; who sends too much that is never complete is cut off."""
    global held
    request.parts.append(part)
    announced, weight = (part, 0) if isinstance(part, int) else (0, clustercore.weight(part))
    request.weight += weight
    held += weight
    if max(held, announced) > maxbuffer << 20 or len(large) > maxflight:
        skynet.error(f"a peer sends requests of more than {maxbuffer} MiB that are not complete: it is cut off")
        large.clear()
        held = 0
        skynet.send(gate, "lua", "kick", fd)


def complete(request: Request, last: bytes) -> bytes | None:
    """All of a request; None if its parts do not make it."""
    global held
    held -= request.weight
    return clustercore.concat([*request.parts, last])


def opened(payload: bytes) -> tuple[Any, ...] | None:
    """The values of a request. None if it is none: then who asks waits for ever, as in skynet."""
    try:
        return seri.unpack(payload)
    except seri.SeriError as e:  # not raised: that would hold up those whom this coroutine has woken
        skynet.error(f"a request cannot be opened: {e}")
        return None


def exists(address: int | str) -> bool:
    """Whether somebody would open a request: in skynet that is the service itself."""
    server = current().server
    try:
        return server.resolve(address) in server.contexts
    except AddressError:
        return False


def query(session: int, _: Request, payload: bytes) -> None:
    values = opened(payload)
    if values is None:
        return
    if not values or type(values[0]) not in (str, int, float):
        skynet.error(f"a query is for a name, not for {shown(values)}")
        return
    handle = handle_of(f"@{values[0]}")
    if handle is None:
        refuse(session, "name not found")
    else:
        answer(session, True, seri.pack(handle))


def forward(session: int, request: Request, payload: bytes) -> None:
    """Call the service that is meant, and send back what it answers. DOC: cluster-forward"""
    address = request.address
    if clustercore.isname(address):
        address = handle_of(address)
    elif isinstance(address, str) and address[:1] not in (".", ":"):
        address = harbor.queryname(address)  # it waits here, not in the harbor: a peer's requests end with it
    if address is None:
        refuse(session, "Invalid name")
        return
    values = opened(payload)
    if values is None:
        if not request.push and not exists(address):
            refuse(session, f"{address}: call to invalid address")
        return
    message = skynet.pack(*values)
    if request.push:
        skynet.rawsend(address, "lua", message)
        return
    try:
        if request.tag is not None:
            reply = skynet.tracecall(request.tag, address, "lua", message)
        else:
            reply = skynet.rawcall(address, "lua", message)
        data = seri.pack(*skynet.unpack(reply))
    except AddressError:
        refuse(session, f"{address}: call to invalid address")
    except CallError as e:
        # The text of what a service has raised is nobody else's: the kind of failure is all that is told.
        why = f":{e.service:08x} {e.reason.partition(':')[0]}: " if e.reason else ""
        refuse(session, f"{why}call failed")
    except Exception as e:  # whatever a registered class does: who asks is to hear of it
        skynet.error(f"the answer of {address} cannot be sent: {error_text(e)}")
        refuse(session, "its answer cannot be sent: call failed")
    else:
        answer(session, True, data)


def namechange() -> None:
    names.clear()


@skynet.start
def main(*own: int) -> None:
    global clusterd, gate, fd, maxbuffer, maxflight
    clusterd, gate, fd, maxbuffer, maxflight = own
    skynet.register_protocol(name="client", id=skynet.PTYPE_CLIENT, unpack=clustercore.unpackrequest, dispatch=serve)
    skynet.dispatch("lua", by_name(skynet.exit, namechange))
    try:
        skynet.call(gate, "lua", "forward", fd)
    except CallError:
        pass  # it has closed meanwhile: clusterd is about to say so
