"""Exercises of notebook 07: bytes, buffers, lines."""

import re
from typing import Any

from .engine import Hints, among, exercise, hint, plain
from .programs import Run, run


@exercise("07.1")
def _counts(answer: Any) -> Hints:
    data, resumes, lines = answer
    lines = [line.decode() if isinstance(line, bytes) else line for line in lines]
    yield (type(data) is not int or type(resumes) is not int) and "form"
    yield data != 3 and "pieces"
    yield plain(lines) != ["a", "b", "cd"] and "lines"
    yield among(resumes, 2, {3: "three"}, "parked")


@exercise("07.2")
def _early(answer: Any) -> Hints:
    one, two, three = answer
    yield one is not None and "never"
    yield (two is None or isinstance(two, str)) and "bytes"
    yield two != b"ab" and "left"
    yield three != b"" and "emptied"


def _exchange(r: Run, *pieces: bytes) -> None:
    """A new client sends the pieces, each handled before the next; what it hears in the end goes to `said`."""
    c = r.client()
    for piece in pieces:
        c.send(piece)
        r.node.run_until_idle()
    r.said.append(r.heard(c))
    c.shutdown()
    r.said.append(r.heard(c))


@exercise("07.3")
def _repaired(program: Any) -> Hints:
    found = run(program, lambda r: _exchange(r, b"one\ntwo\nthr", b"ee\n"))
    yield any("reads from it already" in error for error in found.errors) and "two-readers"
    yield found.raised("run-it")
    yield found.said[0] != b"one\ntwo\nthree\n" and hint("hears", heard=found.said[0])
    yield not found.marks and "no-marks"
    yield found.marks != ["seen one", "seen two", "seen three"] and hint("marks", marks=found.marks)
    pool = (e for e in found.trace if e["e"] == "table" and e["table"] == "socket_pool")
    readers = {co for e in pool for co in re.findall(r"(co\d+) waits in (?:read|block)", str(e.get("value", "")))}
    markers = {event["co"] for event in found.trace if event["e"] == "mark" and event.get("service")}
    yield readers & markers and hint("same-one", co=min(readers & markers))


@exercise("07.4")
def _frames(program: Any) -> Hints:
    def script(r: Run) -> None:
        _exchange(r, b"5:hello")
        _exchange(r, *(b"%c" % byte for byte in b"3:abc2:xy"))
        _exchange(r, b"1:a0:4:\n:9\n2:zz")
        _exchange(r, b"9:short")

    found = run(program, script)
    yield found.raised("run-it")
    whole, _, pieces, _, odd, _, short, rest = found.said
    yield not whole and "no-answer"
    yield whole != b"5:olleh" and hint("whole", whole=whole)
    yield pieces != b"3:cba2:yx" and hint("pieces", pieces=pieces)
    yield odd != b"1:a0:4:\n9:\n2:zz" and hint("odd", odd=odd)
    yield (short or rest) and hint("short", heard=short or rest)
    yield found.left_open() and "left-open"


@exercise("07.5")
def _bounded(program: Any) -> Hints:
    def script(r: Run) -> None:
        one, two = r.client(), r.client()
        r.said += [r.answer(c, b"hi\n") for c in (one, two)]
        r.said += [r.heard(r.client()) for _ in range(2)]
        r.said.append(r.connections())
        r.leave(one)
        r.said.append(r.answer(r.client(), b"again\n"))

    found = run(program, script)
    yield found.raised("run-it")
    one, two, three, four, inside, again = found.said
    yield (one, two) != (b"hi\n", b"hi\n") and hint("two", one=one, two=two)
    yield (three != b"busy\n" or four != b"busy\n") and hint("busy", three=three, four=four)
    yield inside != 2 and hint("inside", inside=inside)
    yield again != b"again\n" and hint("again", again=again)
