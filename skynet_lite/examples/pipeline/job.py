"""A job: the first stage and the last. Reads blocks of a connection, and writes them packed, in the same order.

Back pressure is that nobody takes what the next one has no room for. The pool answers when it has taken a block;
until then this stage reads nothing, the socket is paused, and in the end the sender waits in its own `write`. A
client that does not read its answer stops the job in the same way (`behind`). So a file of any size is packed in
the memory of a few blocks.
"""

from skynet_lite import SocketError, skynet, socket

BLOCK = 256 * 1024
ROOM = "room"  # what a coroutine waits for, see skynet.wait
packed: dict[int, bytes] = {}  # by number: blocks that came back before the one that is written next
taken = written = 0
behind = over = False  # more than a megabyte waits for the client; all is read


def read(fd: int, pool: int) -> None:
    global taken, over
    while True:
        while behind and not socket.disconnected(fd):
            skynet.wait(ROOM)
        block = socket.read(fd, BLOCK) or socket.readall(fd)  # the last one is shorter
        if not block and taken:  # an empty file is a block, too
            break
        skynet.call(pool, "lua", taken, block)
        taken += 1
    over = True
    end(fd)


def write(fd: int, number: int, data: bytes | None) -> None:
    """Blocks come back in any order: a gzip file is its blocks one after the other, so each waits for its turn."""
    global written
    if data is None:  # it was lost: the client sees a connection that ends too early
        socket.shutdown(fd)
        return skynet.exit()
    packed[number] = data
    while written in packed:
        socket.write(fd, packed.pop(written))
        written += 1
    end(fd)


def end(fd: int) -> None:
    if over and written == taken:
        socket.close(fd)
        skynet.exit()


def on_warning(fd: int, kilobytes: int) -> None:
    global behind
    behind = kilobytes > 0
    skynet.wakeup(ROOM)


@skynet.start
def main(fd: int, pool: int) -> None:
    skynet.dispatch("lua", lambda session, source, number, data: write(fd, number, data))
    try:
        socket.start(fd)
    except SocketError:  # it has gone meanwhile
        skynet.exit()
    socket.warning(fd, on_warning)
    socket.onclose(fd, lambda fd: skynet.wakeup(ROOM))
    skynet.fork(read, fd, pool)
