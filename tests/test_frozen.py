"""The frozen stack, drawn: each function that has not returned is there, with its line and what finds it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from skynet_lite.lab import frozen, lab
from test_where import assert_words_have_room

from skynet_lite import Trace, skynet, socket
from skynet_lite.course.frozen import ENTRIES, Call, Frozen, shapes
from skynet_lite.course.where import WIDTH
from skynet_lite.trace.language import speaking


def server() -> None:
    lid = socket.listen("127.0.0.1:0")
    socket.start(lid, lambda id, addr: None)


@pytest.fixture(params=["en", "zh"])
def lang(request: pytest.FixtureRequest) -> Iterator[str]:
    with speaking(request.param):
        yield request.param


@pytest.fixture
def trace() -> Iterator[Trace]:
    node, trace = lab()
    node.newservice(server)
    yield trace
    node.close()


def made(trace: Trace) -> Frozen:
    return frozen(trace, trace.find("yield", command="SLEEP"))


def test_the_way_down_is_the_stack(trace: Trace) -> None:
    """From the line of the service to the switch; the tables that the yield has filled name the coroutine."""
    made_ = made(trace)
    assert [call.function for call in made_.stack] == ["server", "start", "connect", "suspend", "wait"]
    assert made_.stack[0] == Call(
        "server", f"server:{server.__code__.co_firstlineno + 2}", "socket.start(lid, lambda id, addr: None)"
    )
    assert "coroutine_yield(SLEEP, session)" in made_.stack[-1].line
    assert made_.held == (
        ("session_id_coroutine", "2 → co1"), ("sleep_session", "co1 → 2"),
        ("socket_pool", "1 → listen connecting, co1 waits in start"),
    )  # fmt: skip
    assert made_.summary == "co1 frozen at yield SLEEP 2: server → start → connect → suspend → wait"


def test_a_call_is_held_by_its_session() -> None:
    """Another kind of wait: no wakeup can end it, so only the table of responses names it, and who is watched."""
    node, trace = lab()
    silent = node.newservice(lambda: skynet.dispatch("lua", lambda session, source: None))
    me = node.newservice(lambda: skynet.call(silent, "lua"), wait=False)
    node.run_until_idle()
    made = frozen(trace, trace.find("yield", command="CALL", service=skynet.address(me)))
    node.close()
    assert [call.function for call in made.stack][-2:] == ["call", "yield_call"]
    assert [name for name, _ in made.held] == ["session_id_coroutine"]


def test_what_is_no_yield_is_refused(trace: Trace) -> None:
    with pytest.raises(ValueError, match="event 0 is '.*', not a yield"):
        frozen(trace, 0)
    recorded = Trace.load(Path(__file__).parent / "golden" / "traces" / "listen_start.json")
    with pytest.raises(ValueError, match="has no stack: this recording notes no places"):
        frozen(recorded, recorded.find("yield"))
    with pytest.raises(IndexError):
        frozen(trace, 10_000)


def test_every_word_has_room(lang: str, trace: Trace) -> None:
    """Of the course's figure, and of one with long lines, long entries and many tables."""
    assert_words_have_room(list(made(trace).shapes()))
    long = Call("a_function_with_a_long_name", "skynet/a_long_file.py:1234", "x" * 200)
    held = tuple(("session_id_coroutine", f"{n} → co1, " + "long " * 30) for n in range(ENTRIES + 3))
    texts = list(shapes("co1", "CALL 1234567890", (long, long), held))
    assert_words_have_room(texts)
    assert "+ 3" in [shape.text for shape in texts]


def test_it_is_the_same_each_time_and_has_words_beside_it(lang: str, trace: Trace) -> None:
    picture = made(trace)
    assert picture == made(trace)
    assert ElementTree.fromstring(picture.svg).findtext("{*}desc") == picture.alt
    data, metadata = picture._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/svg+xml", "image/png"}
    assert metadata["image/png"] == {"alt": picture.alt, "width": WIDTH, "height": picture.height}
