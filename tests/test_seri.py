"""Values as skynet writes them: recordings of a real one in both directions, and what no recording holds.

tests/golden/seri/SPEC.md says what the bytes mean, and how the recordings are to be read.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from skynet_lite import SeriError, seri

GOLDEN = Path(__file__).parent / "golden" / "seri"
VECTORS = {v["id"]: v for path in sorted(GOLDEN.glob("*.json")) for v in json.loads(path.read_text())["vectors"]}


def raw(value: Any) -> bytes:
    """Bytes of a recording: hexadecimal text, or a list of it and of repetitions."""
    if isinstance(value, str):
        return bytes.fromhex(value)
    return b"".join(
        part["repeat"][0].encode("latin-1") * part["repeat"][1] if isinstance(part, dict) else raw(part)
        for part in value
    )


def written(v: dict[str, Any]) -> Any:
    """A recorded value, in what Python has for it."""
    match v["t"]:
        case "nil":
            return None
        case "bool":
            return v["v"]
        case "int":
            return int(v["v"])
        case "float":
            return struct.unpack(">d", bytes.fromhex(v["bits"]))[0]
        case "lud":
            return seri.LightUserdata(int(v["v"], 16))
        case "str":
            return v["repeat"][0].encode("latin-1") * v["repeat"][1] if "repeat" in v else raw(v["hex"])
        case "pairs":
            return seri.Pairs((hashable(key), written(value)) for key, value in v["items"])
        case "table":
            items = [written(w) for item in v["arr"] for w in [item.get("v")] * item.get("n", 0) or [item]]
            return (
                {**dict(enumerate(items, 1)), **{hashable(k): written(w) for k, w in v["hash"]}} if v["hash"] else items
            )
        case "unsupported":
            return print if v["type"] == "function" else object()
        case "cycle":
            itself: list[Any] = []
            itself.append(itself)
            return itself
    raise AssertionError(v)


def hashable(v: dict[str, Any]) -> Any:
    key = written(v)
    return tuple(key) if isinstance(key, list) else key


def meant(v: Any) -> Any:
    """A value of ours as what Lua makes of it, to be compared: a table is the set of its pairs, a float its bits."""
    if isinstance(v, float):
        return "float", "nan" if math.isnan(v) else struct.pack("<d", v)
    if isinstance(v, list | tuple) and not isinstance(v, seri.LightUserdata | seri.Pairs):
        v = dict(enumerate(v, 1))
    elif isinstance(v, seri.Pairs):
        v = dict(v)
    if isinstance(v, dict):
        return frozenset((meant(key), meant(value)) for key, value in v.items() if value is not None)
    return type(v).__name__, v


def of(*modes: str) -> Any:
    vectors = [v for v in VECTORS.values() if v["mode"] in modes]
    assert vectors, modes
    return pytest.mark.parametrize("v", vectors, ids=lambda v: v["id"])


# --------------------------------------------------------------------------- recordings of a real skynet


@of("exact", "decode")
def test_values_are_written_as_skynet_writes_them(v: dict[str, Any]) -> None:
    """Byte for byte. Of `decode` skynet leaves the order of pairs open: in the order recorded it is the same, too."""
    assert seri.pack(*map(written, v["values"])) == raw(v["hex"])


@of("exact", "decode")
def test_bytes_are_read_as_the_values_they_were(v: dict[str, Any]) -> None:
    values = seri.unpack(raw(v["hex"]), strings="bytes")
    assert [meant(value) for value in values] == [meant(written(value)) for value in v["values"]]


@of("exact", "decode")
def test_what_was_read_is_written_as_it_came(v: dict[str, Any]) -> None:
    """To the byte in both forms of strings: a node of ours may stand between two others."""
    data = raw(v["hex"])
    if "pairs" not in json.dumps(v["values"]):  # whose order and holes are theirs alone
        assert seri.pack(*seri.unpack(data)) == seri.pack(*seri.unpack(data, strings="bytes")) == data


@of("raw_decode")
def test_odd_and_broken_bytes_are_read_as_skynet_reads_them(v: dict[str, Any]) -> None:
    """What the writer would never write: some of it has a meaning, the rest fails with skynet's text."""
    data = raw(v["hex"])
    if "values" in v:
        assert [meant(value) for value in seri.unpack(data, "bytes")] == [meant(written(w)) for w in v["values"]]
        return
    with pytest.raises(SeriError) as caught:
        seri.unpack(data)
    text = v.get("error_stable", v["error"])
    assert str(caught.value) == text or str(caught.value).startswith(f"{text}:")
    assert caught.value.left == v.get("bytes_left")


@of("encode_error")
def test_what_skynet_refuses_to_write_is_refused_with_its_text(v: dict[str, Any]) -> None:
    """An error of the values themselves comes out as it is, as that of `__pairs` does."""
    if v["values"][0]["t"] == "pairs_raises":
        with pytest.raises(RuntimeError, match=f"^{v['error']}$"):
            seri.pack(Raises(v["values"][0]["where"], v["error"]))
        return
    with pytest.raises(SeriError) as caught:
        seri.pack(*map(written, v["values"]))
    assert str(caught.value).startswith((f"{v['error']}:", f"{v['error']} ("))


class Raises(Mapping[str, int]):
    """A mapping that fails when it is read."""

    def __init__(self, where: str, text: str) -> None:
        self.where, self.text = where, text

    def __iter__(self) -> Iterator[str]:
        if self.where == "iterator":
            yield "a"
        raise RuntimeError(self.text)

    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 1
