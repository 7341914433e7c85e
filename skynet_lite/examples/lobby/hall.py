"""The hall: who is there, who is in which room, who waits for a match. Whoever calls is an agent.

All of it is plain dicts: one message is handled at a time until it waits, and only `match` waits.
"""

from skynet_lite import skynet

names: dict[int, str] = {}  # by agent
rooms: dict[str, list[int]] = {}
waiting: list[int] = []  # for somebody to play against


def name(agent: int, name: str) -> str:
    if not name.isidentifier() or name in names.values():
        return f"error: {name!r} is taken, or no name"
    names[agent] = name
    return f"welcome {name}"


def tell(room: str, text: str) -> None:
    for agent in rooms.get(room, ()):
        skynet.send(agent, "lua", "tell", text)


def room_of(agent: int) -> str:
    return next((room for room, agents in rooms.items() if agent in agents), "")


def out(agent: int) -> None:
    if room := room_of(agent):
        rooms[room].remove(agent)
        tell(room, f"* {names[agent]} has left")
        if not rooms[room]:
            del rooms[room]


def join(agent: int, room: str) -> str:
    if agent not in names or not room.isidentifier():
        return "error: first a name, and the room needs one, too"
    out(agent)
    tell(room, f"* {names[agent]} is here")
    rooms.setdefault(room, []).append(agent)
    return f"joined {room}: {', '.join(names[a] for a in rooms[room])}"


def say(agent: int, text: str) -> str:
    tell(room_of(agent), f"{names.get(agent)}: {text}")
    return "said" if room_of(agent) else "error: join a room first"


def list_rooms(agent: int, _: str) -> str:
    return ", ".join(f"{room} {len(agents)}" for room, agents in rooms.items()) or "no rooms yet"


def match(agent: int, _: str) -> str:
    if agent not in names or agent in waiting:
        return "error: first a name, and once is enough"
    if not waiting:
        waiting.append(agent)
        return "wait for somebody"
    other = waiting.pop(0)  # before newservice, which waits: nobody else can have the same one
    skynet.newservice("match", other, names[other], agent, names[agent])
    return "found somebody"


def leave(agent: int, _: str = "") -> None:
    out(agent)
    names.pop(agent, None)
    if agent in waiting:
        waiting.remove(agent)


COMMAND = {"name": name, "join": join, "say": say, "rooms": list_rooms, "match": match}


@skynet.start
def main() -> None:
    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, command: str, rest: str = "") -> None:
        if command == "leave":
            leave(source)  # sent, not called
        else:
            skynet.retpack(COMMAND[command](source, rest))
