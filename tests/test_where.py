"""The map of a node: it names what is there, every word has room, and it is the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from skynet_lite.lab import where

from skynet_lite import Node, drive
from skynet_lite.course import where as drawn
from skynet_lite.course.where import ARROWS, COLOURS, DETAILS, PLACES, QUIET, SIZE, TITLE, Point, Shape, shapes
from skynet_lite.trace.language import speaking
from skynet_lite.view.figure import extent

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))
import map as pages  # noqa: E402

Box = tuple[float, float, float, float]


@pytest.fixture(params=["en", "zh"])
def lang(request: pytest.FixtureRequest) -> Iterator[str]:
    with speaking(request.param):
        yield request.param


def test_every_place_is_a_name_of_the_runtime() -> None:
    """What the map calls a place, a reader finds under that name in a running node."""
    with Node(clock="virtual", log=list) as node:
        service = node.service(node.newservice(lambda: None))
        owners: list[Any] = [node, node.server, node.driver, node.outside, node.socket_server, service, drive]
        known = {name for owner in owners for name in dir(owner)} | set(service.tables())
    assert set(PLACES) <= known


def test_each_arrow_leads_from_the_edge_of_its_place_to_the_edge_of_the_other() -> None:
    """Level or upright all the way; the other services behind a service are part of it."""
    for arrow in ARROWS:
        for (x, y), name in ((arrow.points[0], arrow.source), (arrow.points[-1], arrow.target)):
            boxes = [PLACES[name], *DETAILS.get(name, [])]
            edges = [
                (x in (b.x, b.x + b.width) and b.y <= y <= b.y + b.height)
                or (y in (b.y, b.y + b.height) and b.x <= x <= b.x + b.width)
                for b in boxes
            ]
            assert any(edges), (arrow, name)
        assert all((a[0] == b[0]) != (a[1] == b[1]) for a, b in pairwise(arrow.points)), arrow


def box_of(shape: Shape) -> Box:
    """Where a text stands, in the widest of the usual fonts."""
    (x, y) = shape.points[0]
    bold = shape.font == "bold"
    width = extent(shape.text, shape.font == "mono", bold, TITLE if bold else SIZE)[0] - 2
    left = x - {"start": 0, "middle": 0.5, "end": 1}[shape.align] * width
    return left, y - 10, left + width, y + 3


def meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def assert_words_have_room(found: list[Shape], behind: Collection[Point] = ()) -> int:
    """No two touch, no arrow strikes one through, and none runs over an edge, but of boxes at `behind`. How many."""
    words = [(shape, box_of(shape)) for shape in found if shape.what == "text"]
    for (one, a), (other, b) in combinations(words, 2):
        assert not meet(a, b), (one.text, other.text)
    lines = [(a, b) for shape in found if shape.what == "arrow" for a, b in pairwise(shape.points)]
    for (shape, box), (a, b) in product(words, lines):
        line = (min(a[0], b[0]) - 2, min(a[1], b[1]) - 2, max(a[0], b[0]) + 2, max(a[1], b[1]) + 2)
        assert not meet(box, line), (shape.text, a, b)
    for (shape, box), frame in product(words, [s for s in found if s.what == "box" and s.points[0] not in behind]):
        (left, top), (right, low) = frame.points
        within = left + 2 < box[0] and box[2] < right - 2 and top < box[1] and box[3] < low
        assert within or not meet(box, (left, top, right, low)), (shape.text, frame)
    return len(words)


@pytest.mark.parametrize("here", [(), ("wakeup_queue", "sleep_session")], ids=["all", "lit"])
def test_every_word_has_room(lang: str, here: tuple[str, ...]) -> None:
    """Of the whole map, and of one with two places lit."""
    behind = {(detail.x, detail.y) for detail in DETAILS["service"]}
    assert assert_words_have_room(list(shapes(*here)), behind) > 50


def brightness(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("ground", [0, 2], ids=["light", "dark"])
def test_words_stand_out_from_any_ground(ground: int) -> None:
    """4.5 to 1, as WCAG 2.2 asks; and capitals are nine pixels high at the width of a notebook."""
    for (kind, colours), ink in product(COLOURS.items(), ("ink", "soft")):
        if kind not in ("ink", "soft", "arrow", "here", "running") or ink == "ink" and kind in ("here", "running"):
            low, high = sorted(brightness(c[ground]) for c in (colours, COLOURS[ink]))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (kind, ink)
    assert SIZE * 0.7 > 9 and drawn.WIDTH == 900


def test_what_is_not_lit_is_quiet() -> None:
    """Lit places, and the arrows that lead there or away, stay as they are."""
    found = list(shapes("wakeup_queue", "sleep_session"))
    lit = {s.points[0] for s in (s._replace(points=[tuple(p) for p in s.points]) for s in found) if s.lit}
    assert {(PLACES[name].x, PLACES[name].y) for name in ("wakeup_queue", "sleep_session")} < lit and len(lit) == 3
    loud = {s.text for s in found if s.what == "text" and not s.quiet}
    assert loud == {"wakeup_queue", "sleep_session", "wakeup", "pop", "you are here"}
    assert f'opacity="{QUIET}"' in where("timer").svg and "opacity" not in where().svg


def test_an_unknown_place_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="no place 'wakeupqueue' on the map, the nearest is 'wakeup_queue'"):
        where("wakeupqueue")


def test_the_picture_is_the_same_each_time_and_needs_no_style(lang: str) -> None:
    """Well-formed; whoever takes its style out keeps the colours of a light ground; it tells itself in words."""
    made = where("suspend")
    assert made == where("suspend")
    root = ElementTree.fromstring(made.svg)
    style = root.find("{*}style")
    assert style is not None and style.text and "prefers-color-scheme:dark" in style.text
    for element in root.iter():
        if element.tag.endswith(("rect", "path", "text")):
            assert "fill" in element.attrib
            for name in element.attrib["class"].split():
                assert f".{name}{{" in style.text
    data, metadata = made._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/svg+xml", "image/png"}
    assert "suspend" in data["text/plain"]
    assert "dispatch_wakeup → pop → wakeup_queue" in metadata["image/png"]["alt"]
    assert root.findtext("{*}desc") == made.alt


def test_the_pictures_of_the_readme_are_drawn_from_it() -> None:
    """`python docs/map.py` makes them anew."""
    for path, text in pages.pictures().items():
        assert path.read_text(encoding="utf-8") == text
