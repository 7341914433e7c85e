"""A wall of notes. HTTP serves the page and takes notes, a WebSocket brings what is new, Redis keeps the wall.

News go through Redis even to the readers of this process, so it does not matter which process a reader is
connected to: run the program twice, on two ports, and both show the same wall.
"""

import json
from pathlib import Path
from typing import Any

from skynet_lite import SocketError, skynet, socket
from skynet_lite.contrib import httpd, redis, websocket

PAGE = (Path(__file__).parent / "index.html").read_text(encoding="utf-8")
WALL, KEEP, LONGEST = "wall", 100, 1000  # the key in Redis; notes; characters of one
db: redis.Redis
readers: set[websocket.WebSocket] = set()


def add(text: str) -> None:
    """Onto the wall, the oldest off it, and out to everybody. The number tells a page what it has already."""
    note = json.dumps({"number": db.incr(f"{WALL}:last"), "text": text})
    db.pipeline([("LPUSH", WALL, note), ("LTRIM", WALL, 0, KEEP - 1), ("PUBLISH", WALL, note)])


def answer(request: httpd.Request) -> Any:
    """Each connection has a coroutine of its own: to wait for Redis here holds up nobody else."""
    match request.method, request.path:
        case (("GET" | "HEAD"), "/"):
            return 200, PAGE, {"content-type": "text/html; charset=utf-8"}
        case (("GET" | "HEAD"), "/wall"):
            return 200, f"[{', '.join(db.lrange(WALL, 0, -1))}]", {"content-type": "application/json"}
        case "POST", "/wall":
            text = request.body.decode(errors="replace").strip()
            if not 0 < len(text) <= LONGEST:
                return 400, f"a note has 1 to {LONGEST} characters\n"
            add(text)
            return 201, "thank you\n"
        case "GET", "/news":
            return follow(request)
    return 404, "there are /, /wall and /news\n"


def follow(request: httpd.Request) -> None:
    """From here on the connection speaks WebSocket: texts come in, notes go out."""
    ws = websocket.accept(request, limit=LONGEST)
    if ws is None:
        return
    readers.add(ws)
    try:
        while isinstance(text := ws.read(), str):
            add(text)
    finally:
        readers.discard(ws)
        ws.close()


def news(watch: redis.Watch) -> None:
    """One subscription for all readers of this process."""
    while True:
        try:
            note, *_ = watch.message()
        except SocketError as e:  # the next try connects again, and subscribes
            skynet.error(f"no news : {e}")
            skynet.sleep(100)
            continue
        for ws in list(readers):
            ws.write(note)


@skynet.start
def main() -> None:
    global db
    listening = socket.listening(skynet.getenv("address") or "127.0.0.1", int(skynet.getenv("port") or 0), 256)

    @skynet.dispatch("lua")
    def port(session: int, source: int, what: str) -> None:
        skynet.retpack(socket.sockname(listening)[1])

    skynet.register(".web")
    server = "127.0.0.1", int(skynet.getenv("redis") or 6379)
    db = redis.connect(*server)
    watch = redis.watch(*server)
    watch.subscribe(WALL)
    skynet.fork(news, watch)
    socket.start(listening, lambda id, addr: httpd.serve(id, answer))
    skynet.error(f"open http://127.0.0.1:{socket.sockname(listening)[1]}")
