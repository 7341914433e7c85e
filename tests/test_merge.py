"""Traces of several nodes as one: what is sent comes before what is received, whatever clocks and packets do."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness import LIMIT, Process, recording, seeds, until
from real_skynet import SKYNET_DIR, Real, real
from test_probe import Probed

from skynet_lite import Node, Trace, cluster, mark, probe, skynet, socket
from skynet_lite.core.outside import Outside
from skynet_lite.trace.shapes import apart, home
from skynet_lite.view.reader import Reader
from skynet_lite.view.story import Story


def echo() -> None:
    """Answers each line in capitals."""

    def serve(id: int, peer: str) -> None:
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            mark(f"got {line.decode()}")
            socket.write(id, line.upper() + b"\n")
        socket.close(id)

    socket.start(socket.listen("127.0.0.1", 0), serve)


def ask(port: int, *words: str) -> None:
    """Sends lines, each in the pieces that `|` cuts it into, and waits for as many answers."""

    def talk() -> None:
        id = socket.open("127.0.0.1", port)
        for word in words:
            mark(f"sends {word.replace('|', '')}")
            for piece in f"{word}\n".split("|"):
                socket.write(id, piece.encode())
        for _ in words:
            mark(f"has {(socket.readline(id) or b'').decode()}")
        socket.close(id)

    skynet.fork(talk)


class Cut(Outside):
    """The kernel takes and gives a few bytes at a time; how many, chance says."""

    def __init__(self, chance: random.Random, most: int = 5) -> None:
        super().__init__()
        self.chance, self.most = chance, most

    def send(self, sock: Any, data: bytes | memoryview) -> int:
        return super().send(sock, data[: self.chance.randint(1, self.most)])

    def recv(self, sock: Any, size: int) -> bytes:
        return super().recv(sock, self.chance.randint(1, self.most))


def closed(*nodes: Node) -> bool:
    """Whether no connection is left, only listeners."""
    return all(state == "listen" for node in nodes for state, _ in node.socket_server.table().values())


def settle(*nodes: Node, until: Callable[[], bool] | None = None) -> None:
    """All of them, until none has anything to do, and what is on its way between them has come."""
    end = time.monotonic() + LIMIT
    while sum(node.step() is not None for node in nodes) or not (until() if until else closed(*nodes)):
        assert time.monotonic() < end


class Two:
    """A front that asks and a game that answers, both recorded, in one process."""

    def __init__(self, stack: ExitStack, clock: str = "virtual", **outsides: Outside) -> None:
        self.front, self.game = (
            stack.enter_context(Node(clock=clock, log=list, outside=outsides.get(name)))  # type: ignore[arg-type]
            for name in ("front", "game")
        )
        self.front_trace, self.game_trace = (stack.enter_context(node.record()) for node in (self.front, self.game))
        self.game.newservice(echo)
        self.port = self.game.socket_server.sockname(1)[1]

    def ask(self, *words: str) -> None:
        self.front.newservice(ask, self.port, *words)

    def settle(self) -> None:
        settle(self.front, self.game)

    def merged(self, **options: Any) -> Trace:
        return Trace.merge(self.front_trace, self.game_trace, **{"names": ("front", "game"), **options})


@pytest.fixture
def two() -> Iterator[Two]:
    with ExitStack() as stack:
        yield Two(stack)


def own(trace: Trace, merged: Trace, name: str) -> list[int]:
    """Where the events of one node are in the merged trace, in order."""
    places = [n for n, e in enumerate(merged) if e.get("node", home(e.get("service", ""))) == name]
    plain = [{k: v for k, v in merged[n].items() if k not in ("cause", "node")} for n in places]
    for mine, theirs in zip(plain, trace, strict=True):
        for key in ("service", "source", "to", "address"):
            if isinstance(mine.get(key), str):
                mine[key] = mine[key].removeprefix(name)
        assert mine == {k: v for k, v in theirs.items() if k != "cause"}
    return places


def marks(merged: Trace) -> dict[str, int]:
    return {f"{home(e['service'])} {e['text']}": n for n, e in enumerate(merged) if e["e"] == "mark"}


def ordered(merged: Trace) -> int:
    """That each line was sent before it was got, and answered before the answer was there: how many lines that were."""
    at, n = marks(merged), 0
    for text in [text for text in at if text.startswith("front sends ")]:
        word = text.removeprefix("front sends ")
        got, has = at.get(f"game got {word}"), at.get(f"front has {word.upper()}")
        if got is not None:
            assert at[text] < got
            n += 1
        if has is not None:
            assert got is not None
            assert got < has
    return n


def test_a_call_through_a_socket_and_back_is_one_picture(two: Two) -> None:
    two.ask("hello")
    two.settle()
    merged = two.merged()
    assert ordered(merged) == 1
    # From the answer back to what the front has sent, through the game.
    answer = merged.find("message", service="front:00000008", type="DATA")
    chain = [merged[n] for n in merged.causes(answer)]
    writes = [(e["service"], e["sent"]) for e in chain if e["e"] == "write"]
    assert writes == [("game:00000008", 6), ("front:00000008", 6)]
    assert merged.names()["game:00000008"] == "echo"
    assert merged.verdicts() == []


def test_lanes_stand_in_the_order_of_the_arguments_and_arrows_go_from_node_to_node(two: Two) -> None:
    two.ask("hello")
    two.settle()
    story = Story(two.merged())
    lanes = [lane.key for lane in story.lanes if lane.kind in ("socket", "mailbox")]
    assert [home(service) or service for service, _ in lanes] == ["front", "front", "game", "game"]
    wires = [(a.source[0], a.target[0], a.label) for a in story.arrows if a.kind == "wire"]
    assert wires == [
        ("front", "game", "connect"), ("front", "game", "6 bytes"), ("game", "front", "6 bytes"),
        ("front", "game", "close"),
    ]  # fmt: skip
    turned = Trace.merge(two.game_trace, two.front_trace, names=("game", "front"))
    assert turned.events == two.merged().events  # the order of the arguments is that of the lanes, and nothing else
    lanes = [lane.key[0] for lane in Story(turned).lanes if lane.kind == "socket"]
    assert lanes == ["game", "front"]


@pytest.mark.parametrize("seed", seeds(20))
def test_any_interleaving_of_any_packets_is_a_linear_extension(seed: int) -> None:
    """The marks that the programs write know nothing of bytes: they are what the order is measured by."""
    chance = random.Random(seed)
    clock = chance.choice(["virtual", "real"])
    with ExitStack() as stack:
        two = Two(stack, clock, front=Cut(chance), game=Cut(chance, chance.choice([2, 9])))
        words = 0
        for n in range(chance.randint(1, 4)):
            lines = [f"w{n}x{k}" + "|z" * chance.randint(0, 3) for k in range(chance.randint(1, 4))]
            words += len(lines)
            two.ask(*lines)
            for _ in range(chance.randint(0, 60)):
                chance.choice([two.front, two.game]).step()
        if chance.random() < 0.7:
            two.settle()
            expected = words
        else:
            expected = 1  # in the middle of it
            while not any(e.get("text", "").startswith("got") for e in two.game_trace):
                chance.choice([two.front, two.game]).step()
        merged = two.merged()
        assert ordered(merged) >= expected
        for name, trace in (("front", two.front_trace), ("game", two.game_trace)):
            places = own(trace, merged, name)
            for i in chance.sample(range(len(places)), 5):
                (tables,) = (t for t in apart(merged.state(places[i])) if all(home(s) == name for s in t["services"]))
                assert str(tables["services"]).replace(f"{name}:", ":") == str(trace.state(i)["services"])
                assert tables["sockets"].keys() == trace.state(i)["sockets"].keys()
                assert str(tables["timers"]).replace(f"{name}:", ":") == str(trace.state(i)["timers"])
        assert all(e.get("cause", -1) < n for n, e in enumerate(merged))
        assert two.merged().events == merged.events
        turned = Trace.merge(two.game_trace, two.front_trace, names=("game", "front"))
        assert turned.events == merged.events


def test_a_read_is_tied_to_the_write_of_its_last_byte() -> None:
    """Three writes that arrive as one read; and one write that arrives as three."""
    with ExitStack() as stack:
        two = Two(stack)
        two.ask("a|b|c")
        two.settle()
        merged = two.merged()
        data = merged.find("message", service="game:00000008", type="DATA")
        assert merged[data]["data"] == "abc\n"
        writes = [n for n, e in enumerate(merged) if e["e"] == "write" and e["service"] == "front:00000008"]
        assert len(writes) == 3
        assert writes[-1] in merged.causes(data)
    with ExitStack() as stack:
        two = Two(stack, game=Cut(random.Random(0), 3))
        two.ask("abcdefg")
        two.settle()
        merged = two.merged()
        (write,) = (n for n, e in enumerate(merged) if e["e"] == "write" and e["service"] == "front:00000008")
        reads = [n for n, e in enumerate(merged) if e.get("type") == "DATA" and e["e"] == "message"]
        reads = [n for n in reads if merged[n]["service"] == "game:00000008"]
        assert len(reads) >= 3
        assert all(write in merged.causes(n) for n in reads)


def test_recordings_that_begin_in_the_middle_of_a_connection(two: Two) -> None:
    """A recording notes how many bytes a connection had carried before, at each end for itself."""
    two.ask("one", "two")
    two.settle()

    def chat(port: int) -> None:
        def talk() -> None:
            id = socket.open("127.0.0.1", port)
            for n in range(9):
                socket.write(id, b"%d" % n * (n + 1) + b"\n")
                mark(f"has {(socket.readline(id) or b'').decode()}")
                skynet.sleep(10)

        skynet.fork(talk)

    def turn(word: str) -> None:
        two.front.advance(10)
        settle(two.front, two.game, until=lambda: f"has {word}" in two.front_trace.text())

    two.front.newservice(chat, two.port)
    for word in ("0", "11", "222", "3333"):
        turn(word)
    with two.front.record() as late:
        turn("44444")
        with two.game.record() as later:
            turn("555555")
            turn("6666666")
    merged = Trace.merge(late, later)
    reads = [
        n for n, e in enumerate(merged) if e.get("type") == "DATA" and e["e"] == "message" and home(e["service"]) == "B"
    ]
    assert [merged[n]["data"] for n in reads] == ["555555\n", "6666666\n"]
    for read in reads:
        write = next(n for n in merged.causes(read) if merged[n]["e"] == "write")
        assert home(merged[write]["service"]) == "A"
        assert merged[write]["size"] == merged[read]["size"]


def test_the_end_of_a_run_is_enough(two: Two) -> None:
    """Rings let their beginnings go, each at another moment; bytes are still counted from the connection's first."""

    def chat(port: int) -> None:
        def talk() -> None:
            id = socket.open("127.0.0.1", port)
            for n in range(40):
                word = f"{n}{'x' * (n % 7)}"
                mark(f"sends {word}")
                socket.write(id, word.encode() + b"\n")
                mark(f"has {(socket.readline(id) or b'').decode()}")
            socket.close(id)

        skynet.fork(talk)

    with two.front.record(ring=100) as end, two.game.record(ring=150) as other_end:
        two.front.newservice(chat, two.port)
        two.settle()
    merged = Trace.merge(end, other_end, names=("front", "game"))
    assert min(end.missing, other_end.missing) > 0
    assert merged.missing == end.missing + other_end.missing
    assert ordered(merged) > 5


def test_three_nodes_in_a_row() -> None:
    """A asks B, who asks C: the end of the chain is in A."""

    def middle(port: int) -> None:
        def serve(id: int, peer: str) -> None:
            socket.start(id)
            line = socket.readline(id) or b""
            other = socket.open("127.0.0.1", port)
            socket.write(other, line + b"\n")
            socket.write(id, (socket.readline(other) or b"") + b"\n")
            socket.close(other)
            socket.close(id)

        socket.start(socket.listen("127.0.0.1", 0), serve)

    with ExitStack() as stack:
        nodes = [stack.enter_context(Node(clock="virtual", log=list)) for _ in range(3)]
        a, b, c = nodes
        traces = [stack.enter_context(node.record()) for node in nodes]
        c.newservice(echo)
        b.newservice(middle, c.socket_server.sockname(1)[1])
        a.newservice(ask, b.socket_server.sockname(1)[1], "far")
        settle(a, b, c)
        merged = Trace.merge(*traces)
    last = merged.find("message", service="A:00000008", type="DATA")
    path = [home(merged[n].get("service", "")) for n in merged.causes(last)]
    assert [node for n, node in enumerate(path) if n == 0 or node != path[n - 1]] == ["A", "B", "C", "B", "A"]
    assert [lane.key[0] for lane in Story(merged).lanes if lane.kind == "socket"] == ["A", "B", "C"]


def test_what_shares_no_connection_is_refused_and_connections_can_be_named(two: Two) -> None:
    two.ask("one")
    two.ask("two")
    two.settle()
    with pytest.raises(
        ValueError, match="nothing joins these traces: A, B were not recorded at both ends of a connection"
    ):
        Trace.merge(two.front_trace, Trace(two.game_trace.events[:50], two.game_trace.snapshot))
    for trace in (two.front_trace, two.game_trace):
        del trace.snapshot["ends"]  # as a recorder notes them that knows no addresses
    by_hand = two.merged(wires={("front", 1): ("game", 2), ("front", 2): ("game", 3)})
    assert ordered(by_hand) == 2
    with pytest.raises(ValueError, match="nothing joins"):
        two.merged()  # either may be either
    with pytest.raises(
        ValueError, match=r"wires= names a connection \('front', 7\) that no trace has; there is .*game"
    ):
        two.merged(wires={("front", 7): ("game", 2)})


def test_a_single_choice_needs_no_addresses(two: Two) -> None:
    two.ask("one")
    two.settle()
    assert len(two.front_trace.events) > 0
    del two.front_trace.snapshot["ends"]
    assert ordered(two.merged()) == 1


def test_a_wrong_pair_that_no_order_fits_is_refused() -> None:
    """The client of each is taken for the server of the same: each would have to wait for the other."""

    def both(port: int | None) -> None:
        echo()
        if port is not None:
            ask(port, "x")

    with ExitStack() as stack:
        a, b = (stack.enter_context(Node(clock="virtual", log=list)) for _ in range(2))
        a_trace, b_trace = (stack.enter_context(node.record()) for node in (a, b))
        a.newservice(echo)
        b.newservice(echo)
        ports = [node.socket_server.sockname(1)[1] for node in (a, b)]
        a.newservice(ask, ports[1], "first")
        settle(a, b)
        b.newservice(ask, ports[0], "second")
        settle(a, b)
        with pytest.raises(ValueError, match=r"no order fits: event \d+ of A comes after event \d+ of B; event"):
            Trace.merge(a_trace, b_trace, wires={("A", 2): ("B", 3), ("A", 3): ("B", 2)})
        assert len(Trace.merge(a_trace, b_trace)) == len(a_trace) + len(b_trace)


def test_what_cannot_be_merged_says_why(two: Two) -> None:
    two.ask("one")
    two.settle()
    merged = two.merged()
    with pytest.raises(ValueError, match="merged already: merge all of its nodes at once"):
        Trace.merge(merged, two.front_trace)
    with pytest.raises(ValueError, match="a part of a trace cannot be merged"):
        Trace.merge(two.front_trace[:50], two.game_trace)
    with pytest.raises(ValueError, match="recording of single services"):
        Trace.merge(two.front_trace, Trace.load(Path(__file__).parent / "golden" / "traces" / "listen_start.json"))
    for names in (("a",), ("a", "a"), ("a b", "c"), ("a:", "c"), ("", "c")):
        with pytest.raises(ValueError, match="names= gives each of 2 traces one of its own"):
            two.merged(names=names)
    with pytest.raises(ValueError, match="the clocks of several nodes are not one"):
        merged.timeline(by="time")
    with pytest.raises(ValueError, match="traces of different nodes: front, game; "):
        merged.diff(two.front_trace)


def test_a_merged_trace_is_a_trace(two: Two, tmp_path: Path) -> None:
    """Saved, loaded, compared, drawn, exported, searched like any other."""
    two.ask("hello")
    two.settle()
    merged = two.merged()
    for name in ("t.json", "t.jsonl"):
        merged.save(tmp_path / name)
        loaded = Trace.load(tmp_path / name)
        assert loaded.events == merged.events
        assert [loaded.state(n) == merged.state(n) for n in (0, 50, -1)] == [True] * 3
        assert loaded.diff(merged).same
    for name in ("t.txt", "t.html", "t.png", "t.mmd", "t.chrome.json"):
        merged.save(tmp_path / name)
    text = (tmp_path / "t.txt").read_text()
    assert "front:00000008       write" not in text
    assert "front:00000008 co2   write     socket 1 6 of 6 bytes" in text
    diagram = (tmp_path / "t.mmd").read_text()
    assert "as front socket server" in diagram
    assert "as game socket server" in diagram
    processes = [e["args"]["name"] for e in merged.to_chrome()["traceEvents"] if e["name"] == "process_name"]
    assert {"front node", "game node", "echo game:00000008", "ask front:00000008"} <= {*processes}
    flows = [e["name"] for e in merged.to_chrome()["traceEvents"] if e["ph"] == "s"]
    assert flows.count("wire") == 4
    assert {home(e["service"]) for e in merged.only(service="game")} == {"game"}
    assert {e["service"] for e in merged.only(service="front:8")} == {"front:00000008"}
    part = merged[merged.find("write") : merged.find("write") + 20]
    part.save(tmp_path / "part.json")
    assert Trace.load(tmp_path / "part.json").state(0) == part.state(0)
    assert merged.timeline(services=["front:8", "game:8"]).summary
    assert "front :00000008" not in merged.describe()


def test_times_of_a_virtual_clock_are_those_of_the_node() -> None:
    with ExitStack() as stack:
        two = Two(stack)

        def slow() -> None:
            skynet.fork(skynet.sleep, 300)

        two.ask("hello")
        two.front.newservice(slow)
        two.settle()
        two.front.advance(300)
        merged = two.merged()
        clock = merged.find("clock")
        assert merged[clock] == {"e": "clock", "tick": 300, "node": "front"}
        assert (merged.state()["nodes"]["front"]["now"], merged.state()["nodes"]["game"]["now"]) == (300, 0)
        assert merged.seconds(clock) == 3.0
        reader = Reader(merged, set(merged.names()), len(merged))
        assert [line.label for line in reader.lines] == ["front tick 300"]


_PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from test_merge import ask, echo
from skynet_lite import Node
with Node(record=True, log=list) as node:
    if len(sys.argv) > 2:
        node.newservice(ask, int(sys.argv[2]), "over", "there")
        node.run(until=lambda: "has THERE" in str(node.trace.events[-30:]), timeout=30)
    else:
        node.newservice(echo)
        print(node.socket_server.sockname(1)[1], flush=True)
        node.run(until=lambda: "got there" in node.trace.text() and node.trace.events[-1].get("state") == "invalid", timeout=30)
    node.run_until_idle()
    node.trace.save(sys.argv[1])
"""


def test_what_nothing_orders_goes_by_the_clocks(two: Two) -> None:
    """Behind the last bytes, each node for itself: an event that was earlier comes earlier, whoever is first in the call."""
    two.ask("one")
    two.settle()
    for node, ticks in ((two.front, (100, 300, 500)), (two.game, (200, 400))):

        def later(ticks: tuple[int, ...] = ticks) -> None:
            for n in ticks:
                skynet.timeout(n, lambda n=n: mark(f"at {n}"))

        node.newservice(later)
        node.run_until_idle()
        node.advance(600)
    for merged in (two.merged(), Trace.merge(two.game_trace, two.front_trace)):
        assert [e["text"] for e in merged if e["e"] == "mark"][-5:] == [f"at {n}" for n in (100, 200, 300, 400, 500)]


def test_two_processes_with_files(tmp_path: Path) -> None:
    """Real clocks, and files that know nothing of each other."""
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM.format(tests=str(Path(__file__).parent)))
    files = [tmp_path / "front.json", tmp_path / "game.json"]
    with Process([sys.executable, program, files[1]], stdout=subprocess.PIPE, text=True) as game:
        assert game.stdout is not None
        port = game.stdout.readline().strip()
        subprocess.run([sys.executable, program, files[0], port], check=True)
        assert game.wait(LIMIT) == 0
    front, game_trace = map(Trace.load, files)
    merged = Trace.merge(front, game_trace, names=("front", "game"))
    assert ordered(merged) == 2
    for name, trace in (("front", front), ("game", game_trace)):
        for i, n in enumerate(own(trace, merged, name)):  # each by the clock of its node
            assert merged.seconds(n) == trace.seconds(i) and merged.took(n) == trace.took(i)
    assert not any({"ends", "now"} & {*tables} for tables in merged.snapshot["nodes"].values()), (
        "ports, and a real clock"
    )
    merged.save(tmp_path / "both.json")
    loaded = Trace.load(tmp_path / "both.json")
    assert loaded.stamps == merged.stamps and {*merged.stamps} == {"front", "game"}
    shifted = Trace.load(files[1])
    numbers, ended, began = shifted.stamps[""]
    shifted.stamps = {"": (numbers, [t - 10**12 for t in ended], [t - 10**12 for t in began])}  # of another machine
    assert ordered(Trace.merge(front, shifted, names=("front", "game"))) == 2


def test_several_workers_can_be_merged() -> None:
    with (
        Node(thread=2, log=list) as game,
        Node(clock="virtual", log=list) as front,
        game.record() as game_trace,
        front.record() as front_trace,
    ):
        game.newservice(echo)
        port = game.socket_server.sockname(1)[1]
        front.newservice(ask, port, "to", "threads")
        front.run(until=lambda: "has THREADS" in front_trace.text(), timeout=30)
        game.run_until_idle()
    merged = Trace.merge(front_trace, game_trace, names=("front", "game"))
    assert ordered(merged) == 2
    assert set(merged.workers()) == {s for s in merged.names() if home(s) == "game"}
    messages = [n for n, e in enumerate(merged) if e["e"] == "message"]
    assert merged.stamps.keys() == {"game"} and [merged.took(n) for n in messages] == [None] * len(messages)


def test_files_of_one_name_and_two_texts_are_told_apart(tmp_path: Path) -> None:
    traces = []
    with ExitStack() as stack:
        nodes = []
        for name, line in (("a", "x = 1"), ("b", "y = 2\nz = 3")):
            (tmp_path / name).mkdir()
            code = f"from skynet_lite import skynet\n{line}\nskynet.start(lambda: skynet.sleep(0))\n"
            (tmp_path / name / "main.py").write_text(code)
            node = stack.enter_context(Node(clock="virtual", log=list))
            traces.append(stack.enter_context(node.record()))
            node.newservice(str(tmp_path / name / "main.py"))
            nodes.append(node)
        nodes[0].newservice(echo)
        nodes[1].newservice(ask, nodes[0].socket_server.sockname(1)[1], "x")
        settle(*nodes)
        merged = Trace.merge(*traces)
    labels = {label for label in merged.sources if label.endswith("main")}
    assert labels == {"A:main", "B:main"}
    places = {e["at"] for e in merged if "main" in e.get("at", "")}
    assert {place.rpartition(":")[0] for place in places} == labels
    assert all("skynet.start" in merged.source_line(place) for place in places)


def test_a_file_that_names_a_node_that_is_not_there_is_refused(two: Two, tmp_path: Path) -> None:
    two.ask("hello")
    two.settle()
    merged = two.merged()
    merged.events[40]["service"] = "lost:00000008"
    merged.save(tmp_path / "t.json")
    with pytest.raises(ValueError, match="there is no node 'lost'"):
        Trace.load(tmp_path / "t.json")
    with pytest.raises(ValueError, match="golden|services are odd"):
        data = recording("listen_start")
        data["services"] = ["x:y"]
        import json

        (tmp_path / "r.json").write_text(json.dumps(data))
        Trace.load(tmp_path / "r.json")


STREAMS = Path(__file__).parent / "golden" / "streams"


def line_client(port: int) -> None:
    """Sends `hello`, as the client of the article does, and reads until the other side closes."""

    def talk() -> None:
        id = socket.open("127.0.0.1", port)
        skynet.sleep(20)  # until the server waits for the line
        socket.write(id, b"hello\n")
        mark(f"has {socket.readall(id).decode()}")
        socket.close(id)

    skynet.fork(talk)


def test_a_node_of_ours_and_the_stream_of_a_real_one(two: Two) -> None:
    """The stored stream knows no addresses, and does not tell what was sent: only one connection of ours is left."""
    two.ask("hello")
    two.settle()
    real = Trace.load(STREAMS / "listen" / "HEAD")
    merged = Trace.merge(two.front_trace, real, names=("front", "real"))
    assert (merged.foreign, merged.dialect("real:00000008"), merged.dialect("front:00000008")) == (
        {"real"},
        "1.8",
        "1.1",
    )
    got = merged.find("message", service="real:00000008", type="DATA")
    assert any(merged[n]["e"] == "write" and merged[n]["service"] == "front:00000008" for n in merged.causes(got))
    connected = merged.find("message", service="real:00000008", type="ACCEPT")
    assert merged.find("command", command="connect") in merged.causes(connected)
    wires = [(a.source[0], a.target[0]) for a in Story(merged).arrows if a.kind == "wire"]
    assert ("front", "real:00000008") in wires
    assert merged.state()["services"]["real:00000008"] == {**real.state()["services"][":00000008"]}
    assert merged.verdicts().kinds() == real.verdicts().kinds()
    assert merged.timeline().summary
    assert merged.text(detail=False)


@real
def test_a_call_to_a_real_skynet_and_back(tmp_path: Path) -> None:
    """Its probe tells where a connection comes from, and how much was sent: the bytes go both ways."""
    with (
        Probed(tmp_path, "listen", preload="./probe.lua").running() as there,
        Node(clock="real", log=list) as front,
        front.record() as trace,
    ):
        there.connect(there.port).close()  # it runs; and a connection that is not ours
        front.newservice(line_client, there.port)
        front.run(until=lambda: "has hello" in trace.text(), timeout=LIMIT)
        until(lambda: "CLOSE" in Trace.load(tmp_path).text())
    stream = Trace.load(tmp_path)
    assert [peer for _, peer, _, _ in stream.snapshot["ends"].values()].count(trace.snapshot["ends"][1][0]) == 1
    merged = Trace.merge(trace, stream, names=("front", "real"))
    answer = merged.find("message", service="front:00000008", type="DATA")
    chain = [merged[n] for n in merged.causes(answer)]
    sends = [(home(e["service"]), e["size"]) for e in chain if "size" in e and e["e"] in ("write", "driver")]
    assert sends[:2] == [("real", 6), ("front", 6)]


LUA = """
local skynet = require "skynet"
local cluster = require "skynet.cluster"
skynet.start(function()
	cluster.open "theirs"
	skynet.dispatch("lua", function(_, _, what) skynet.ret(skynet.pack("lua has " .. what)) end)
	cluster.register "lua"
	skynet.fork(cluster.call, "ours", "@py", "a call")
end)
"""


@real
def test_cluster_calls_of_a_real_skynet_and_to_it(tmp_path: Path) -> None:
    """Its clustersender connects, and does not know its own address; ours is known at both ends."""
    if not (Path(SKYNET_DIR) / "service" / "clusteragent.lua").exists():
        pytest.skip("the cluster of skynet 1.1.0 is one service, clusterd; tests/interop talks to it")
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "main.lua").write_text(LUA)
    (tmp_path / "node").mkdir()
    there = Real(tmp_path / "node", tmp_path / "programs", preload="./probe.lua", cluster="./nodes.lua")
    nodes = {"ours": f"127.0.0.1:{there.port}", "theirs": f"127.0.0.1:{there.console}"}
    (there.folder / "nodes.lua").write_text("".join(f'{name} = "{address}"\n' for name, address in nodes.items()))
    probe.write(there.folder)

    def py() -> None:
        def handle(session: int, source: int, what: str) -> None:
            mark(f"py has {what}")
            skynet.retpack(True)
            skynet.fork(lambda: mark(cluster.call("theirs", "@lua", "another")))

        skynet.dispatch("lua", handle)
        cluster.reload(nodes)
        cluster.open("ours")
        cluster.register("py")

    with Node(log=list) as node, node.record() as trace:
        node.newservice(py)
        with there.running():
            node.run(until=lambda: any(e.get("text") == "lua has another" for e in trace.events), timeout=LIMIT)
            until(lambda: Trace.load(there.folder).text().count("driver    send") >= 2)
    merged = Trace.merge(trace, Trace.load(there.folder), names=("ours", "theirs"))
    called, answered = (merged.find("mark", text=text) for text in ("py has a call", "lua has another"))
    for here in (called, answered):
        sends = [e["service"] for e in (merged[n] for n in merged.causes(here)) if e.get("command") == "send"]
        assert sends
        assert {*map(home, sends)} == {"theirs"}
    names = merged.names()
    wires = {(names[a.source[0]], a.target[0]) for a in Story(merged).arrows if a.kind == "wire" and ":" in a.source[0]}
    assert ("clusteragent", "ours") in wires
    assert len(wires) >= 2  # who sends requests is clustersender, or, in 1.2, clusterd
