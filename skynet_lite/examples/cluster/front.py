"""The front: a line of a client names a player, for whom the game is called. What the game says, all clients hear."""

from skynet_lite import SkynetError, cluster, skynet, socket

clients: list[int] = []


def serve(id: int, peer: str) -> None:
    socket.start(id)
    socket.limit(id, 4096)
    clients.append(id)
    try:
        while (line := socket.readline(id)) is not None:
            player = line.decode("utf-8", "replace").strip()
            try:
                answer = f"{player} has {cluster.call('game', '@game', skynet.getenv('node'), player)}"
            except SkynetError as e:  # the game is not there; the next line may find it again
                answer = f"error: {e}"
            socket.write(id, f"{answer}\n".encode())
    finally:
        clients.remove(id)
    socket.close(id)


def news(session: int, source: int, text: str) -> None:
    for id in clients:
        socket.write(id, f"* {text}\n".encode())


@skynet.start
def main() -> None:
    skynet.dispatch("lua", news)
    cluster.register("front")
    cluster.open(skynet.getenv("node") or "front")
    listening = socket.listening(skynet.getenv("address") or "127.0.0.1", int(skynet.getenv("port") or 0), 64)
    socket.start(listening, serve)
    skynet.error("clients at port", socket.sockname(listening)[1])
