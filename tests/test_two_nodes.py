"""Nodes of a cluster in this process, as notebook 22 has them: always the same run, and frames that say what they are."""

from __future__ import annotations

from typing import Any

import pytest
from skynet_lite.lab import lab

from skynet_lite import cluster, language, netpack, skynet
from skynet_lite.course.nodes import NOTHING, Frame, Nodes, frames, masked, nodes
from skynet_lite.lualib import clustercore


def bank() -> None:
    cluster.register("bank")

    def handle(session: int, source: int, cmd: str, *values: Any) -> None:
        if cmd == "after":
            skynet.sleep(values[0])
        elif cmd == "fail":
            raise ValueError(*values)
        skynet.retpack(*values)

    skynet.dispatch("lua", handle)


def after(ticks: int) -> Any:
    return lambda: cluster.call("game", "@bank", "after", ticks)


def story() -> tuple[str, list[str]]:
    """All that is recorded of two calls, one of which fails, and the frames."""
    with Nodes("front", "game") as two:
        two.start("game", bank)
        two.ask("front", lambda: cluster.call("game", "@bank", "get", 1))
        two.ask("front", lambda: cluster.call("game", "@bank", "fail", "secret"))
        trace = two.trace()
    return masked(trace.text()), [str(frame) for frame in frames(trace)]


def test_the_same_program_makes_the_same_merged_trace() -> None:
    """Sockets are real, and still nothing but a port differs."""
    assert story() == story()


def test_frames_are_read_from_the_bytes_that_came() -> None:
    """Requests by name and by handle, a push, answers that worked and failed; in the language of the reader."""
    with Nodes("front", "game") as two:
        two.start("game", bank)
        (handle,) = two.ask("front", lambda: cluster.query("game", "bank"))
        failed, right = two.ask(
            "front", lambda: cluster.call("game", "@nobody"), lambda: cluster.call("game", "@bank", "get", 5)
        )
        two.ask("front", lambda: cluster.send("game", handle, "note"))
        trace = two.trace()
    assert right == 5
    assert failed == "CallError: node game at 127.0.0.1:PORT, address '@nobody': Invalid name: call failed"
    found = frames(trace)
    assert [(f.source, f.session, f.says) for f in found] == [
        ("front", 1, "'bank'"), ("game", 1, str(handle)), ("front", 2, "no values"), ("front", 3, "'get', 5"),
        ("game", 2, "Invalid name"), ("game", 3, "5"), ("front", 0, "'note'"),
    ]  # fmt: skip
    assert str(found[3]).splitlines() == [
        "front → game   00 11      80       05 40 62 61 6e 6b  03 00 00 00  1c 67 65 74 0a 05",
        "               length 17  by name  \"@bank\"            session 3    'get', 5",
    ]
    assert [f.event for f in frames(trace[found[4].event :])] == [f.event for f in found[4:]]
    language("zh")
    try:
        assert "按名字" in str(found[3])
    finally:
        language("en")


def test_every_kind_of_frame_is_read() -> None:
    """What is large comes in parts, which its session joins; a trace tag goes ahead of its request and has none."""
    big = "x" * clustercore.PART

    def traced() -> Any:
        skynet.trace("level up")
        return cluster.call("game", "@bank", "get", big)

    with Nodes("front", "game") as two:
        two.start("game", bank)
        (handle,) = two.ask("front", lambda: cluster.query("game", "bank"))
        assert two.ask("front", traced) == [big]
        two.ask("front", lambda: cluster.call("game", 0x777, big))
        two.ask("front", lambda: cluster.send("game", "@bank", big), lambda: cluster.send("game", handle, big))
        two.ask("front", lambda: cluster.send("game", "@bank", "note"))
        found = frames(two.trace())
    assert [
        (f.source, f.session, *(words for _, words in f.fields()[1:] if "session" not in words)) for f in found
    ] == [
        ("front", 1, "by handle", ":00000000", "'bank'"),
        ("game", 1, "ok", str(handle)),
        ("front", 0, "trace tag", "(node-game-3):0000000d-1"),
        ("front", 2, "large, by name", '"@bank"', "32775 bytes"),
        ("front", 2, "part", "32768 bytes"),
        ("front", 2, "last part", "7 bytes"),
        ("game", 2, "large", "32771 bytes"),
        ("game", 2, "part", "32768 bytes"),
        ("game", 2, "last part", "3 bytes"),
        ("front", 3, "large, by handle", ":00000777", "32771 bytes"),
        ("front", 3, "part", "32768 bytes"),
        ("front", 3, "last part", "3 bytes"),
        ("game", 3, "failed", "1911: call to invalid address"),
        ("front", 4, "large push, by name", '"@bank"', "32771 bytes"),
        ("front", 4, "part", "32768 bytes"),
        ("front", 4, "last part", "3 bytes"),
        ("front", 5, "large push, by handle", f":{handle:08x}", "32771 bytes"),
        ("front", 5, "part", "32768 bytes"),
        ("front", 5, "last part", "3 bytes"),
        ("front", 0, "by name", '"@bank"', "'note'"),
    ]
    assert all(b"".join(piece for piece, _ in f.fields()) == f.data for f in found)
    assert max(len(line) for line in str(found[4]).splitlines()) < 160
    assert str(found[5]).splitlines()[1].split() == "length 12 last part session 2 7 bytes".split()


@pytest.mark.parametrize(
    ("data", "answer", "says"),
    [
        (b"", False, "Invalid req package. size == 0"),
        (b"\x55", False, "Invalid req package type 85"),
        (b"\x80\x05@", False, "Invalid cluster message (size=3)"),
        (b"", True, "no answer of a node"),
        (b"\1\0\0\0\5", True, "no answer of a node"),
    ],
)
def test_what_is_no_frame_says_so(data: bytes, answer: bool, says: str) -> None:
    """In the words of who gets it; its bytes are shown all the same."""
    frame = Frame(0, "front", "game", netpack.pack(data), answer)
    assert (frame.session, frame.says) == (0, says)
    assert frame.fields() == [(netpack.pack(data)[:2], f"length {len(data)}"), (data, says)]


def test_time_passes_when_it_is_told_to() -> None:
    with Nodes("front", "game") as two:
        two.start("game", bank)
        answers = two.ask("front", after(30), after(10))
        assert answers == [NOTHING, NOTHING]
        two.advance(10)
        assert answers == [NOTHING, 10]
        two.advance(20)
        assert answers == [30, 10]


def test_the_chain_of_causes_goes_over_the_wire_and_back() -> None:
    """Also where the scheduler answers for a coroutine, which has only yielded RETURN."""
    with Nodes("front", "game") as two:
        two.start("game", bank)
        caller = two.start("front", lambda: skynet.fork(cluster.call, "game", "@bank", "get", 1))
        trace = two.trace()
    own = f"front:{caller:08x}"
    answer = [n for n, e in enumerate(trace) if e["e"] == "message" and e["service"] == own][-1]
    names = trace.names()
    path = [names[trace[n]["service"]] for n in reversed(trace.causes(answer)) if trace[n]["e"] in ("send", "write")]
    assert path[-8:] == [
        "clustersender", "gate", "clusteragent", "clusterd", "clusteragent", "bank", "clusteragent", "clustersender",
    ]  # fmt: skip


def test_a_new_lab_closes_the_nodes() -> None:
    """As it closes the node of the last lab; so a notebook can be interrupted anywhere."""
    two = nodes("front", "game")
    assert two["front"].closed is two["game"].closed is False
    node, _ = lab()
    assert two["front"].closed is two["game"].closed is True
    node.close()


def test_what_cannot_be_opened_leaves_nothing() -> None:
    with pytest.raises(Exception, match="no_such_key"):
        Nodes("front", "game", no_such_key=1)


def test_a_picture_of_both_tells_each_folded_service_by_its_name() -> None:
    """The address has no room beside a lane, and the name has; the lanes about it tell the node."""
    with Nodes("front", "game") as two:
        two.start("game", bank)
        two.ask("front", lambda: cluster.call("game", "@bank", "get", 1))
        lanes = ["clustersender", "gate", "clusteragent", "bank"]
        figure = two.trace().timeline(services=lanes, fold=lanes)
    assert set(lanes) <= {text.get_text() for text in figure.axes[0].texts}
