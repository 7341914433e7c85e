"""Exercises of notebook 01: listening."""

import socket as pysocket
from typing import Any

from .engine import Hints, choice, exercise, hint, plain
from .programs import Run, run


@exercise("01.1")
def _states(answer: Any) -> Hints:
    before, after = plain(answer)
    yield after == "listen" and "listen"
    yield (before, after) == ("plisten", "reserve") and "swapped"
    yield before != "reserve" and "first"
    yield after != "plisten" and "second"


choice("01.2", 3, {2: "id-of-b", 4: "failed-listen", 1: "id-of-a"})

choice("01.3", 0, {5: "accept", 10: "data", 1: "connect"})


@exercise("01.4")
def _doors(program: Any) -> Hints:
    def visit(r: Run) -> None:
        ports = r.ports()
        r.said += [len(ports), *(r.heard(r.node.client(port)) for port in ports * 2)]

    found = run(program, visit)
    n, *said = found.said
    yield found.raised()
    yield n < 2 and hint("one-listens", n=n)
    yield n > 2 and hint("too-many", n=n)
    yield not any(said) and "silence"
    yield said[:2] == [b"back\n", b"front\n"] and "swapped"
    yield said[:2] != [b"front\n", b"back\n"] and hint("otherwise", said=said[:2])
    yield said[2:] != said[:2] and hint("next-two", said=said[2:])


@exercise("01.5")
def _stubborn(program: Any) -> Hints:
    def visit(r: Run) -> None:
        ports = r.ports()
        r.said += [ports, [r.heard(r.node.client(port)) for port in ports]]

    with pysocket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = run(program, visit, port)
    free = run(program, visit, port)
    for found, name in ((free, hint("free")), (taken, hint("taken"))):
        ports, said = found.said
        yield found.errors and hint("fails", name=name, error=found.errors[0])
        yield len(ports) != 1 and hint("ports", name=name, n=len(ports))
        yield said != [b"hi\n"] and hint("hears", name=name, heard=said[0])
    yield free.said[0] != [port] and "another-port"
    yield free.marks and hint("free-marks", marks=free.marks)
    yield taken.marks != ["taken"] and hint("taken-marks", marks=taken.marks)
