"""Exercises of notebook 12: how a connection ends."""

from typing import Any

from ..core.errors import DriveTimeout, SocketError
from .engine import Hints, choice, exercise, hint, no_list, plain
from .programs import Run, run

_BLOCKS, _BLOCK = 40, 256 * 1024


@exercise("12.1")
def _ends(answer: Any) -> Hints:
    given = plain(["None" if value is None else value for value in answer])
    yield no_list(answer, 5) and "five-words"
    for k, right in enumerate(["none", "none", "none", "waits", "raises"]):
        yield given[k] not in ("none", "raises", "waits") and hint("word", value=given[k])
        yield given[k] != right and str(k + 1)


choice("12.2", [3072, 6144, 9216], {
    (1024, 2048, 4096): "thresholds", (1024, 2048, 4096, 8192): "each-write", (3072, 6144): "doubles", (3072,): "twice",
})  # fmt: skip


@exercise("12.3")
def _adder(program: Any) -> Hints:
    scripts = [([b"1\n2\n3\n"], b"6\n"), ([b"10\n", b"-4"], b"6\n"), ([], b"0\n"), ([b"1", b"0\n5\n"], b"15\n")]

    def script(r: Run) -> None:
        for pieces, _ in scripts:
            c = r.client()
            for piece in pieces:
                c.send(piece)
                r.node.run_until_idle()
            try:
                early = r.heard(c)
                c.shutdown()
                r.said.append((early, r.heard(c), r.sockets()))
            except (SocketError, DriveTimeout) as e:
                r.said.append((b"", str(e), r.sockets()))

    found = run(program, script)
    for (pieces, wanted), (early, got, states) in zip(scripts, found.said, strict=True):
        sent = b"".join(pieces)
        yield early and hint("early", sent=sent, early=early)
        if got != wanted:
            error = found.errors[0] if found.errors else ""
            yield hint("sum-ends" if error else "sum", sent=sent, got=got, wanted=wanted, error=error)
        yield states != ["listen"] and hint("open", states=states)


@exercise("12.4")
def _crash(program: Any) -> Hints:
    def script(r: Run) -> list[Any]:
        a, b = r.client(), r.client()
        said = [(a, b"one\n"), (b, b"two\n"), (b, b"crash\n"), (a, b"three\n")]
        r.said += [*(r.answer(c, text) for c, text in said), r.sockets()]
        r.leave(a)
        return [r.sockets()]

    found = run(program, script)
    *lines, after, end = found.said
    yield (lines[:2] != [b"one\n", b"two\n"] or lines[3] != b"three\n") and hint("lines", lines=lines)
    yield after == ["connected", "connected", "listen"] and "connected"
    yield not any("a bug of mine" in error for error in found.errors) and "swallowed"
    yield (after != ["connected", "listen"] or end != ["listen"]) and hint("sockets", after=after, end=end)


@exercise("12.5")
def _sender(program: Any) -> Hints:
    most = [0]

    def look(r: Run) -> None:
        most[0] = max(most[0], *(row.get("wbuffer") or 0 for row in r.node.socket_server.netstat()))

    def script(r: Run) -> list[Any]:
        c = r.client()
        r.node.advance(200)
        look(r)
        got = 0
        for _ in range(_BLOCKS // 4):
            try:
                got += len(c.recv(4 * _BLOCK))
            except (SocketError, DriveTimeout) as e:
                return [str(e)]
            r.node.advance(200)
            look(r)
        return [got, r.sockets()]

    found = run(program, script)
    yield found.raised("look-at-log")
    yield most[0] >= 2 * 1024 * 1024 and hint("queued", kb=most[0] // 1024)
    yield len(found.said) == 1 and hint("stopped", blocks=_BLOCKS)
    yield found.said[1] != ["listen"] and hint("sockets", states=found.said[1])
