"""Ten nodes, a hundred, a thousand: what a cluster of them does, in one process and in no time.

    python tests/bench/simulate.py [10 100 1000] [--markdown docs/beyond.md]

Real nodes with real clusters in them, on a network in memory (skynet_lite/network.py): a millisecond from one to
another, and all that is counted is the same on every machine. Only memory and CPU are measured, and differ.

1  Whose key is it? Either every node knows all others and asks the owner, or each knows a few (of N nodes log2 N,
   each twice as far away on a ring) and passes the question on.
2  A rumour: who knows it tells one of four neighbours, every 100 ms.
3  A shard ends: its process is killed, or its cable is cut. Four gates keep two calls for each of N shards under way,
   with a note to the same shard before each. A call takes 200 ms, and is given up after a second. A gate of which one
   fails does without that shard.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import time
from bisect import bisect
from collections.abc import Callable, Iterable
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import Any

import report

from skynet_lite import CallError, Node, cluster, skynet
from skynet_lite.network import Network

PORT = 2528
LATENCY = 0.001  # seconds
GATES, UNDER_WAY = 4, 2
LIMIT = 100  # ticks
LOOKUPS = 5  # by each node
KEYS = 10_000

Row = dict[str, Any]


def place(name: str) -> int:
    """Where on the ring: a number of 32 bits that is the same in every process, as `hash` is not."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big")


class Ring:
    """Consistent hashing: each node has so many places on a ring, and owns the keys between the last and each."""

    def __init__(self, names: Iterable[str], places: int = 100) -> None:
        self._owners = {place(f"{name}#{n}"): name for name in names for n in range(places)}
        self._places = sorted(self._owners)

    def owner(self, key: str) -> str:
        return self._owners[self._places[bisect(self._places, place(key)) % len(self._places)]]

    def fingers(self, name: str) -> dict[int, str]:
        """Of a ring with one place each: the nodes that `name` knows, by the first place that is behind them."""
        own, found = place(f"{name}#0"), {}
        for bit in range(32):
            at = bisect(self._places, (own + (1 << bit)) & 0xFFFFFFFF) % len(self._places)
            found[self._places[at]] = self._owners[self._places[at]]
        return found


class World:
    """A network whose nodes have open cluster ports and know each other, and what was counted in it."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.links: set[tuple[str, str]] = set()
        self.bytes = 0
        self.net = Network(self._latency)
        where = {name: f"{name}:{PORT}" for name in names}
        self.nodes: dict[str, Node] = {}
        for name in names:
            self.nodes[name] = node = self.net.node(name, log=list)
            node.newservice(self._opens, name, where)

    def _latency(self, source: str, to: str) -> float:
        self.links.add((min(source, to), max(source, to)))
        return LATENCY

    def _opens(self, name: str, where: dict[str, str]) -> None:
        cluster.reload(where)
        cluster.open(name)

    @property
    def now(self) -> float:
        """Milliseconds."""
        return self.net.now / 1e6

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()


def counted(n: int) -> list[str]:
    return [f"n{k}" for k in range(n)]


# ---- 1: whose key is it?


def direct(n: int) -> Row:
    names = counted(n)
    ring = Ring(names)
    world = World(names)

    def find(key: str, hops: int) -> int:
        return hops

    return lookups(world, find, lambda name, key: ring.owner(key))


def passed_on(n: int) -> Row:
    names = counted(n)
    ring = Ring(names, places=1)
    world = World(names)
    fingers = {name: ring.fingers(name) for name in names}
    places = {name: place(f"{name}#0") for name in names}

    def next_to(name: str, key: str) -> str:
        """The finger that is nearest before the key; the owner, if that is the first one behind us."""
        own, wanted = places[name], place(key)
        ahead = {(at - own) & 0xFFFFFFFF: finger for at, finger in fingers[name].items()}
        far = (wanted - own) & 0xFFFFFFFF
        return ahead[max((at for at in ahead if at < far), default=min(ahead))]

    def find(key: str, hops: int) -> int:
        name = here()
        if ring.owner(key) == name:
            return hops
        found: int = cluster.call(next_to(name, key), "@find", key, hops + 1)
        return found

    def here() -> str:
        return skynet.getenv("name") or ""

    return lookups(world, find, next_to)


def lookups(world: World, find: Callable[[str, int], int], first: Callable[[str, str], str]) -> Row:
    """Each node looks some keys up, twice: the second time all connections are there."""
    hops: list[int] = []
    took: list[list[float]] = [[], []]

    def finder(name: str) -> None:
        skynet.setenv("name", name)
        cluster.register("find")

        @skynet.dispatch("lua")
        def handle(session: int, source: int, key: str, n: int) -> None:
            skynet.retpack(find(key, n))

    def client(name: str) -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, turn: int) -> None:
            for k in range(LOOKUPS):
                start, key = world.now, f"key {name} {k}"
                hops.append(cluster.call(first(name, key), "@find", key, 1))
                took[turn].append(world.now - start)

    clients = []
    for name, node in world.nodes.items():
        node.newservice(finder, name)
        clients.append((node, node.newservice(client, name)))
    for turn in range(2):
        for node, addr in clients:
            node.send(addr, "lua", turn)
        world.net.run()
    found = {
        "hops": sum(hops) / len(hops),
        "first, ms": sum(took[0]) / len(took[0]),
        "then, ms": sum(took[1]) / len(took[1]),
        "peers of a node": 2 * len(world.links) / len(world.names),
    }
    world.close()
    return found


# ---- 2: a rumour


def rumour(n: int) -> Row:
    names = counted(n)
    world = World(names)
    chance = random.Random(n)
    heard: dict[str, float] = {}
    sent = 0

    def listens(name: str, neighbours: list[str], seed: int) -> None:
        mine = random.Random(seed)
        cluster.register("rumour")

        def tell() -> None:
            nonlocal sent
            while len(heard) < n:
                sent += 1
                cluster.send(mine.choice(neighbours), "@rumour", "psst")
                skynet.sleep(10)

        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str) -> None:
            if name not in heard:
                heard[name] = world.now
                skynet.fork(tell)

    services = []
    for k, name in enumerate(names):
        others = [names[(k + 1) % n], *chance.sample([other for other in names if other != name], 3)]
        services.append(world.nodes[name].newservice(listens, name, others, k))
    start = world.now
    world.nodes[names[0]].send(services[0], "lua", "psst")
    world.net.run()
    times = sorted(heard.values())
    found = {"half know it, ms": times[n // 2] - start, "all, ms": times[-1] - start, "messages a node": sent / n}
    world.close()
    return found


# ---- 3: a node ends


def killed(n: int) -> Row:
    return ending(n, lambda net, name: net.kill(name))


def cut(n: int) -> Row:
    return ending(n, lambda net, name: net.cut(name))


def ending(n: int, end: Callable[[Network, str], None]) -> Row:
    shards, gates = counted(n), [f"g{k}" for k in range(GATES)]
    victim = shards[n // 2]
    before, after = Ring(shards), Ring(name for name in shards if name != victim)
    world = World([*shards, *gates])
    seen = {"answered": 0, "failed": 0, "notes": 0, "taken": 0}
    ended, noticed, over = 0.0, 0.0, False

    def shard(name: str) -> None:
        cluster.register("shard")

        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str) -> None:
            if what == "note":
                seen["taken"] += name == victim
                return
            skynet.sleep(20)
            skynet.retpack(True)

    def gate(name: str) -> None:
        chance = random.Random(name)
        ring = before

        def ask() -> None:
            nonlocal ring, noticed
            skynet.sleep(chance.randrange(20))
            while not over:
                to = ring.owner(f"key {chance.randrange(KEYS)}")
                seen["notes"] += to == victim
                cluster.send(to, "@shard", "note")
                if within(LIMIT, lambda to=to: cluster.call(to, "@shard", "ask")):  # type: ignore[misc]
                    seen["answered"] += 1
                else:  # and nothing is asked again: whether that may be done, only the program knows
                    seen["failed"] += 1
                    noticed = max(noticed, world.now - ended) if ring is before else noticed
                    ring = after

        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            for _ in range(UNDER_WAY * n):
                skynet.fork(ask)

    def second() -> int:
        had = seen["answered"]
        world.net.run(seconds=1)
        return seen["answered"] - had

    for name in shards:
        world.nodes[name].newservice(shard, name)
    for name in gates:
        world.nodes[name].send(world.nodes[name].newservice(gate, name), "lua")
    world.net.run(seconds=0.6)
    usual = second()
    ended = world.now
    end(world.net, victim)
    then = second()
    over = True
    world.net.run(seconds=1.5)
    keys = [f"key {k}" for k in range(KEYS)]
    found = {
        "answered in the second before": usual,
        "in the second after": then,
        "calls failed": seen["failed"],
        "sends lost": seen["notes"] - seen["taken"],
        "the last gate knows it after, ms": noticed,
        "keys that move, %": 100 * sum(before.owner(key) != after.owner(key) for key in keys) / KEYS,
        "by key % N, %": 100 * sum(place(key) % n != place(key) % (n - 1) for key in keys) / KEYS,
    }
    world.close()
    return found


def within(ticks: int, f: Callable[[], Any]) -> bool:
    """Whether `f()` comes back without a CallError within so many ticks. It is left where it is, if not."""
    me, back = object(), []

    def run() -> None:
        try:
            f()
            back.append(True)
        except CallError:
            back.append(False)
        skynet.wakeup(me)

    skynet.fork(run)
    skynet.sleep(ticks, me)
    return back == [True]


# ---- what it costs


def memory() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def cost(n: int) -> Row:
    """KiB of a node that only has its port open, and of each connection; CPU of a call in the simulation."""
    before = memory()
    world = World(counted(n))
    idle = memory()

    def answers() -> None:
        cluster.register("echo")
        skynet.dispatch("lua", lambda session, source, value: skynet.retpack(value))

    def asks(name: str) -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, calls: int) -> None:
            k = int(name[1:])
            for step in {ceil(n * part / 5) % n for part in range(1, 5)} - {0}:
                for i in range(calls):
                    cluster.call(f"n{(k + step) % n}", "@echo", i)

    clients = []
    for name, node in world.nodes.items():
        node.newservice(answers)
        clients.append((node, node.newservice(asks, name)))
    served = memory()

    def turn(calls: int) -> float:
        start = time.process_time()
        for node, addr in clients:
            node.send(addr, "lua", calls)
        world.net.run()
        return time.process_time() - start

    turn(1)
    connected = memory()
    links = len(world.links) * 2
    took = turn(10) / (links * 10)
    world.close()
    return {
        "a node, KiB": (idle - before) / n,
        "a connection, KiB": (connected - served) / links,
        "µs a call": took * 1e6,
    }


EXPERIMENTS: dict[str, dict[str, Callable[[int], Row]]] = {  # title → experiment, in whose row the table has it
    "Whose key is it?": {"everybody knows everybody": direct, "passed on": passed_on},
    "A rumour": {"": rumour},
    "A node ends": {"killed": killed, "cable cut": cut},
    "What the simulation needs": {"": cost},
}


def text(sizes: list[int]) -> str:
    parts = []
    for title, experiments in EXPERIMENTS.items():
        rows, fields = [], list[str]()
        for n in sizes:
            for name, f in experiments.items():
                row = alone(f, n)
                fields = list(row)
                rows.append([" ".join(filter(None, (f"{n:,}", name))), *map(shown, row.values())])
        parts += [f"### {title}", report.table(["nodes", *fields], rows)]
    return "\n\n".join(parts)


def alone(f: Callable[[int], Row], n: int) -> Row:
    """In a process of its own: what is freed by one is memory that the next does not need."""
    command = [sys.executable, __file__, "--one", f.__name__, str(n)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(done.stdout)
    return row


def shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", nargs="*", type=int, default=[10, 100, 1000], help="how many (10 100 1000)")
    parser.add_argument("--one", metavar="NAME", help="only this experiment, as JSON")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="put the tables into FILE, between its markers")
    options = parser.parse_args()
    if options.one:
        experiments = {f.__name__: f for group in EXPERIMENTS.values() for f in group.values()}
        print(json.dumps(experiments[options.one](*options.nodes)))
        return
    print(found := text(options.nodes))
    if options.markdown:
        report.replace(options.markdown, found, "simulation")


if __name__ == "__main__":
    main()
