"""Wrong answers to the exercises of notebook 21 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from skynet_lite import seri


def all_parts(data: bytes) -> int:
    return len(list(seri.walk(data)))


def with_ends(data: bytes) -> int:
    return sum(part.depth == 0 for part in seri.walk(data))


def no_nil(data: bytes) -> int:
    return sum(part.depth == 0 and part.kind not in ("end", "nil") for part in seri.walk(data))


def unpacked(data: bytes) -> int:
    return len(seri.unpack(data))


WRONG = {
    "21.1": [("14 68 69 12 2c 01", "third value"), ("14 68 69 12 01 2c 00", "lowest byte"),
             ("04 02 68 69 12 2c 01 00", "upper five"), ("14 68 69 22 2c 01 00 00 00", "two bytes"),
             ("14 68 12 2c 01 00", "cannot be read"), ("14 68 6a 12 2c 01 00", "are the values"),
             ("15 02 00 68 69 12 2c 01 00", "shorter"), ("hi, 300", "hexadecimal"), (300, "hexadecimal")],
    "21.2": [([2, 9, 7, 35, 6], "unsigned"), ([5, 5, 7, 35, 6], "signed"), ([5, 9, 6, 35, 6], "three items"),
             ([5, 9, 7, 33, 6], "no longer fits"), ([5, 9, 7, 35, 5], "the key with its label"), (5, "five numbers")],
    "21.3": [(["pay"], "Three values"), (["set", {"id": 7, "tag": ["a"]}, 0], "70 is p"),
             (["pay", {"id": 7, "tag": ["a"]}, 2], "without a body"), (["pay", {"id": 7, "tag": ["a"]}, None], "without a body"),
             (["pay", ["id", 7], 0], "dict"), (["pay", {"id": 7}, 0], "two keys"), (["pay", {"id": 10, "tag": ["a"]}, 0], "07 is that"),
             (["pay", {"id": 7, "tag": "a"}, 0], "inner table")],
    "21.4": [(all_parts, "all parts"), (with_ends, "the end of a table"), (no_nil, "it says 0"), (3, "another form")],
    "21.5": [(bytes.fromhex("fe22ffff7f"), "items of a table"), (bytes.fromhex("15ffff"), "cookie 4"),
             (bytes.fromhex("25ff"), "four bytes"), (bytes.fromhex("2500ca9a3b00"), "five are enough"),
             (bytes.fromhex("25ffffff00"), "begin with 00"), ("a lie", "hexadecimal")],
    "21.6": [(["no", "no", "yes", "no", "no", "yes"], "labels of their own"), (["yes", "yes", "yes", "no", "no", "yes"], "tables only"),
             (["yes", "no", "no", "no", "no", "yes"], "not exactly"), (["yes", "no", "yes", "yes", "no", "yes"], "fourth"),
             (["yes", "no", "yes", "no", "yes", "yes"], "str or bytes"), (["yes", "no", "yes", "no", "no", "no"], "UTF-8 back"),
             ("yes", "six words")],
}  # fmt: skip

RIGHT = {
    "21.1": ["14686912 2c0100", b"\x14hi\x12\x2c\x01\x00"],
    "21.3": [("pay", {"tag": ["a"], "id": 7}, 0)],
    "21.4": [unpacked],
    "21.5": ["25 00 ca 9a 3b"],
}
