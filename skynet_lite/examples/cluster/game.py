"""The game: how often each player was named. Other nodes call it as @game; those that do hear who leads."""

from skynet_lite import cluster, skynet

hits: dict[str, int] = {}
fronts: dict[str, None] = {}  # nodes, in the order in which they came
leader = ""


def hit(session: int, source: int, front: str, player: str) -> None:
    global leader
    fronts[front] = None
    hits[player] = hits.get(player, 0) + 1
    if player != leader and hits[player] > hits.get(leader, 0):
        leader = player
        for node in fronts:  # nobody waits for them: what a node that is away should have heard, is lost
            cluster.send(node, "@front", f"{leader} leads")
    skynet.retpack(hits[player])


@skynet.start
def main() -> None:
    skynet.dispatch("lua", hit)
    cluster.register("game")
    cluster.open(skynet.getenv("node") or "game")
