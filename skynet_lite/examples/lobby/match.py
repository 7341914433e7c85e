"""A match: two agents, one move each, and a service that ends with it. Who does not move in time has lost."""

from skynet_lite import skynet

BEATS = {"rock": "scissors", "scissors": "paper", "paper": "rock"}
players: dict[int, str] = {}  # agent → name
moves: dict[int, str] = {}


def end(text: str) -> None:
    for agent in players:
        skynet.send(agent, "lua", "over", text)
    skynet.exit()


def beaten(loser: int, why: str) -> None:
    (winner,) = (name for agent, name in players.items() if agent != loser)
    end(f"over: {winner} wins, {players[loser]} {why}")


def late() -> None:
    missing = [agent for agent in players if agent not in moves]
    if len(missing) == 1:
        beaten(missing[0], "was too slow")
    else:
        end("over: nobody has moved")


def play(agent: int, move: str) -> str:
    if move not in BEATS:
        return f"error: a move is {', '.join(BEATS)}"
    moves[agent] = move
    if len(moves) == 2:
        skynet.fork(decide)  # after this answer
    return f"your move is {move}"


def decide() -> None:
    (a, mine), (b, theirs) = moves.items()
    if mine == theirs:
        end(f"over: {mine} twice, nobody wins")
    else:
        loser = b if BEATS[mine] == theirs else a
        beaten(loser, f"had {moves[loser]}")


@skynet.start
def main(a: int, name_a: str, b: int, name_b: str) -> None:
    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, command: str, move: str = "") -> None:
        if command == "left":
            beaten(source, "has left")
        else:
            skynet.retpack(play(source, move))

    players.update({a: name_a, b: name_b})
    for agent, other in ((a, name_b), (b, name_a)):
        skynet.send(agent, "lua", "match", f"match against {other}: {', '.join(BEATS)}?")
    skynet.timeout(int(skynet.getenv("patience") or 1000), late)
