"""An agent: one client. It does what the client's lines say, and writes to it what others send.

A line is a word and perhaps more: the word names a function below, whose answer goes back as a line.
"""

from collections.abc import Callable

from skynet_lite import SkynetError, SocketError, skynet, socket

fd = hall = game = 0  # socket; services. game: the match that we are in, or 0


def write(text: str) -> None:
    socket.write(fd, text.encode("utf-8", "surrogateescape") + b"\n")


def in_hall(command: str) -> Callable[[str], str]:
    return lambda rest: str(skynet.call(hall, "lua", command, rest))


def play(move: str) -> str:
    return str(skynet.call(game, "lua", "play", move)) if game else "error: there is no match"


def match(rest: str) -> str:
    return "error: one match at a time" if game else in_hall("match")(rest)


REQUEST = {word: in_hall(word) for word in ("name", "rooms", "join", "say")} | {"match": match, "play": play}


def serve() -> None:
    """Line by line, until the client has gone or says quit."""
    try:
        while (line := socket.readline(fd)) is not None:
            word, _, rest = line.decode("utf-8", "surrogateescape").strip().partition(" ")
            if word == "quit":
                break
            f = REQUEST.get(word)
            try:
                write(f(rest) if f else f"error: there are {', '.join(REQUEST)} and quit")
            except SkynetError as e:  # a match may end while we ask it
                write(f"error: {e}")
    finally:  # whatever went wrong, the name is free again
        skynet.fork(leave)


def leave() -> None:
    skynet.send(hall, "lua", "leave")
    if game:
        skynet.send(game, "lua", "left")
    socket.close(fd)
    skynet.exit()


def too_slow(fd: int, kilobytes: int) -> None:
    if kilobytes > int(skynet.getenv("backlog") or 1024):
        socket.shutdown(fd)  # the reader finds the end, and leaves as ever


def told(session: int, source: int, what: str, text: str = "") -> None:
    """By the hall or a match: both send, nobody waits for an answer."""
    global game
    if what == "match":
        game = source
    elif what == "over" and source == game:
        game = 0
    write(text)


@skynet.start
def main(socket_id: int, hall_address: int) -> None:
    global fd, hall
    fd, hall = socket_id, hall_address
    skynet.dispatch("lua", told)
    try:
        socket.start(fd)
    except SocketError:  # it has gone meanwhile
        skynet.exit()
    socket.limit(fd, 65536)  # for one that sends, and never ends its line
    socket.warning(fd, too_slow)
    skynet.fork(serve)
