"""The loop of suspend, drawn: what a live node has in its queue is in the picture, and every word has room."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from skynet_lite.lab import cycle, lab
from test_where import assert_words_have_room

from skynet_lite import skynet
from skynet_lite.course.cycle import HEIGHT, ROOM, shapes
from skynet_lite.course.where import WIDTH
from skynet_lite.trace.language import speaking


@pytest.fixture(params=["en", "zh"])
def lang(request: pytest.FixtureRequest) -> Iterator[str]:
    with speaking(request.param):
        yield request.param


@pytest.mark.parametrize("woken", [(), ("co2", "co3"), tuple(f"co{n}" for n in range(100, 120))])
def test_every_word_has_room(lang: str, woken: tuple[str, ...]) -> None:
    """Of an empty queue, a short one, and one that is cut."""
    assert assert_words_have_room(list(shapes(*woken))) > 10


def test_what_a_live_node_has_in_its_queue_is_drawn() -> None:
    """A stale entry has ended the chain: the next one is still in the queue, and so in the picture."""

    def double() -> None:
        a, b = skynet.fork(skynet.wait), skynet.fork(skynet.wait)
        skynet.timeout(1, lambda: [skynet.wakeup(co) for co in (a, a, b)])

    node, _ = lab()
    me = node.newservice(double)
    assert cycle(*node.service(me).tables()["wakeup_queue"]) == cycle()
    node.advance(3)
    made = cycle(*node.service(me).tables()["wakeup_queue"])
    node.close()
    assert made.names == ("co3",) and made.summary == "the loop of suspend; wakeup_queue: co3"
    assert ">co3</text>" in made.svg and ">empty</text>" in cycle().svg


def test_a_long_queue_says_how_many_more_there_are() -> None:
    texts = [s.text for s in shapes(*(f"co{n}" for n in range(12)))]
    assert "co3" in texts and "co4" not in texts and f"+{12 - ROOM + 1}" in texts


def test_it_is_the_same_each_time_and_has_words_beside_it(lang: str) -> None:
    made = cycle("<co2>", "co3")
    assert made == cycle("<co2>", "co3")
    root = ElementTree.fromstring(made.svg)
    style = root.findtext("{*}style")
    assert style and "prefers-color-scheme:dark" in style and root.findtext("{*}desc") == made.alt
    for element in root.iter():
        if element.tag.endswith(("rect", "path", "text")):
            assert "fill" in element.attrib and all(f".{name}{{" in style for name in element.attrib["class"].split())
    data, metadata = made._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/svg+xml", "image/png"} and "<co2>, co3" in data["text/plain"]
    assert metadata["image/png"] == {"alt": made.alt, "width": WIDTH, "height": HEIGHT}
