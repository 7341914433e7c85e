"""Exercises of notebook 00: one run of socket.start."""

from typing import Any

from .engine import Hints, among, choice, exercise, hint, plain
from .programs import Run, run


@exercise("00.1")
def _who(answer: Any) -> Hints:
    resumed, caught, woken = plain(answer)
    yield among(resumed, "dispatch_wakeup", {"wakeup": "wakeup"}, "first")
    yield caught != "suspend" and "second"
    yield woken != "co2" and "third"


choice("00.2", "co1 has been woken and has not moved",
       {"co1 runs": "still-there", "co1 waits for somebody to call wakeup": "who-queues"})  # fmt: skip

choice("00.3", "paccept", {"connected": "after-start", "listen": "listener", "closed": "not-closed"})


@exercise("00.4")
def _shout(program: Any) -> Hints:
    def talk(r: Run) -> None:
        if r.port() is None:
            return
        first, second = r.client(), r.client()
        r.said += [r.answer(second, b"first\nsec"), r.answer(first, b"hello\n"), r.answer(second, b"ond\n")]

    found = run(program, talk)
    yield not found.said and "no-port"
    yield found.raised()
    yield not any(found.said) and "silence"
    yield (found.said[0] == b"" or found.said[1] == b"") and "one-served"
    yield b"!" not in found.said[0] and hint("no-mark", line=found.said[0])
    yield found.said != [b"FIRST!\n", b"HELLO!\n", b"SECOND!\n"] and hint("otherwise", said=found.said)
