"""The bytes of a message that notebook 21 points at: what is said of each, and where its value is."""

from __future__ import annotations

import pytest

from skynet_lite import language, seri
from skynet_lite.course.wire import MOST, decoder, listing, picture, placed

DATA = seri.pack("SET", {"name": "ann", "items": [7, {"x": -1}]}, None, 1.5, "x" * 40)


def test_each_byte_belongs_to_one_part_and_each_part_has_its_place() -> None:
    parts = placed(DATA)
    assert [part.at for part in parts] == [0, *(part.at + part.size for part in parts[:-1])]
    places = {part.shown: part.place for part in parts}
    assert places['"SET"'] == "value 1"
    assert places['"ann"'] == 'value 2["name"]'
    assert places['"items"'] == "a key of value 2"
    assert places["7"] == 'value 2["items"][1]'
    assert places["-1"] == 'value 2["items"][2]["x"]'
    assert places["nil"] == "value 3"


def test_a_byte_is_told_by_its_role() -> None:
    """A label with its bits, a byte of a length, one of a body. The widget and the picture tell the same parts."""
    told = decoder(DATA).told
    assert "00011 100    cookie 3, type 4\nstring of 3 bytes" in told[0]
    assert told[1].startswith("byte 1: 53 = 'S'\nbyte 1 of 3")
    assert "a byte of the length" in told[-41]
    assert len(told) == len(DATA)
    figure = picture(DATA, title="a call")
    assert figure.summary == f"bytes: {len(DATA)}, values: 5"
    assert listing(DATA) in figure.alt


def test_it_speaks_chinese() -> None:
    language("zh")
    try:
        assert "第 1 个值" in decoder(DATA).told[0]
    finally:
        language("en")


def test_what_cannot_be_read_is_shown_as_far_as_it_can() -> None:
    """The parts before the error, and then skynet's text for the rest; no bytes at all are no error."""
    six = decoder(bytes.fromhex("0a01fe22ffffff7f2f"))
    assert "{ 2147483647" in listing(bytes.fromhex("0a01fe22ffffff7f2f"))
    assert "Invalid serialize stream" in six.told[-1]
    assert decoder(b"").told == [] and listing(b"") == ""


def test_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="are shown at most"):
        decoder(b"\0" * (MOST + 1))
    with pytest.raises(ValueError, match="no byte 3 here"):
        decoder(b"\0", at=3)
