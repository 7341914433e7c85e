"""Stands for another node: what is called or pushed there goes through here, over one connection.

It is opened at the first use, and again at the first use after it was lost; then all who wait fail at once.
After service/clustersender.lua.
"""

from collections import deque
from typing import Any

from skynet_lite import SkynetError, SocketError, netpack, skynet, socket
from skynet_lite.core.errors import shown
from skynet_lite.lualib import clustercore
from skynet_lite.lualib.library import by_name
from skynet_lite.lualib.socketchannel import Channel, ChannelSocket
from skynet_lite.skynet.udp import address_of

channel: Channel
node = ""
nodename: str | None = None  # of this one, where somebody has named it
maxbuffer = 0  # MiB
session = 1  # of the next request; it goes on when the connection does not
held: dict[int, int] = {}  # by session of who waits, the bytes that have come of an answer that is not complete
total = 0  # of them
reading: ChannelSocket | None = None  # the connection of these two
unpacker = netpack.Unpacker()
frames: deque[bytes] = deque()  # read, and not looked at yet


def read_frame(sock: ChannelSocket) -> bytes:
    """The next frame. All that has come is taken at once: many answers are in one read."""
    global reading, unpacker
    if sock is not reading:
        reading, unpacker = sock, netpack.Unpacker()
        frames.clear()
    while not frames:
        frames.extend(unpacker.feed(sock.read()))
    return frames.popleft()


def read_response(sock: ChannelSocket) -> tuple[Any, ...]:
    global total
    frame = read_frame(sock)
    if not frame:
        socket.block(sock.fd)  # as in skynet, which cannot read nothing
    answer = clustercore.unpackresponse(frame)
    if answer is None:
        raise SocketError(f"{channel.name()} sent what is no answer of a cluster node")
    session, ok, data, more = answer
    if type(data) is bytes and more and session in held:  # else it is kept by nobody
        held[session] += clustercore.weight(data)
        total += clustercore.weight(data)
    if (data if type(data) is int else total) > maxbuffer << 20:
        raise SocketError(
            f"{channel.name()} sends answers of more than {maxbuffer} MiB: see __maxbuffer, cluster.reload"
        )
    return session, ok, data, more


def trace() -> None:
    """Tell the other node under which tag this coroutine works."""
    tag = skynet.tracetag()
    if not isinstance(tag, str):
        return
    if not tag.startswith("("):
        own, tag = tag, f"({nodename or clustercore.nodename()}-{node}-{session}){tag}"
        skynet.tracelog(own, f"session {tag}")
    skynet.tracelog(tag, f"cluster {node}")
    channel.request(clustercore.packtrace(tag))


def req(address: int | str, payload: bytes) -> None:
    """Ask the other node, and answer as it does. DOC: cluster-request"""
    global session, total
    asked = session
    held[asked] = 0
    try:
        frame, session, parts = clustercore.packrequest(address, asked, payload)
        trace()
        answer = channel.request(frame, asked, parts)
    except (SkynetError, ValueError) as e:  # a name may have no bytes
        skynet.error(str(e))
        why = str(e).removesuffix("call failed").rstrip(": ")  # what everybody adds
        where = f"node {node} at {channel.name()}, address {shown(address)}"
        skynet.response()(False, f"{where}: {why}" if why else where)
        return
    finally:
        total -= held.pop(asked, 0)
    if type(answer) is list:
        answer = clustercore.concat(answer) or b""  # parts that do not make the whole: no values
    skynet.retpack(answer)


def push(address: int | str, payload: bytes) -> None:
    global session
    try:
        frame, after, parts = clustercore.packpush(address, session, payload)
        if parts is not None:
            session = after
        channel.request(frame, None, parts)
    except (SkynetError, ValueError) as e:
        skynet.error(f"a push to {node} is lost: {e}")


def changenode(where: str | bool) -> None:
    """Connect to "host:port"; why not, if that fails. False: close, and serve nobody any more."""
    if isinstance(where, bool):
        skynet.error("Close cluster sender", channel.name())
        skynet.retpack(None)  # before the close, which waits: a next address may be under way
        channel.close()
        return
    try:
        channel.changehost(*address_of(where, None))
        channel.connect(True)
    except SkynetError as e:
        skynet.retpack(str(e))
    else:
        skynet.retpack(None)


@skynet.start
def main(name: str, own: str | None, limit: int) -> None:
    global channel, node, nodename, maxbuffer
    node, nodename, maxbuffer = name, own, limit
    channel = Channel("", 0, response=read_response, nodelay=True)
    skynet.dispatch("lua", by_name(req, push, changenode))
