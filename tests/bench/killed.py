"""kill -9 of a node in the middle of many calls to it: every caller gets its answer or its error, once.

    python tests/bench/killed.py --rounds 20 --calls 1000 [--seed 1] [--thread 1]

The caller is a node of ours; who is killed is a node of ours in another process and, with SKYNET_DIR, a real one. With
SKYNET_DIR a real node calls, too, and ours is killed. After each round the peer starts again under its name, and is
called. It ends with 1 if a call hangs, is answered twice, or with what another one asked for.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster_nodes import Ours, Storm, Theirs, introduce, peer  # noqa: E402
from harness import free_port, until  # noqa: E402
from real_skynet import SKYNET_DIR  # noqa: E402

from skynet_lite import cluster  # noqa: E402

LUA_STORM = """
storm = { answered = 0, failed = 0, wrong = 0, done = 0 }
for i = 0, %d - 1 do
    local calls = 0
    skynet.fork(function()
        local text = ("z"):rep(i %% 50 == 0 and 40000 or i %% 40)
        local ok, n, s = pcall(cluster.call, "ours", ours, "SLEEP", i * 7 %% 4, i, text)
        calls = calls + 1
        if not ok then storm.failed = storm.failed + 1
        elseif n == i and s == text and calls == 1 then storm.answered = storm.answered + 1
        else storm.wrong = storm.wrong + 1 end
        storm.done = storm.done + 1
    end)
end
"""


def ours_kills_ours(ours: Ours, port: int, calls: int, after: int) -> Storm:
    with peer(port) as node:
        storm = Storm(ours, "peer", "@echo", calls)
        storm.run(after, node.kill)
    return storm


def ours_kills_theirs(ours: Ours, theirs: Theirs, calls: int, after: int) -> Storm:
    with theirs.running():
        introduce(ours, theirs)
        storm = Storm(ours, "theirs", theirs.echo, calls)
        storm.run(after, theirs.kill)
    return storm


def theirs_kills_ours(theirs: Theirs, port: int, calls: int, after: int) -> tuple[int, int]:
    with peer(port) as node:
        assert theirs.ask('ours = "@echo" return cluster.call("ours", "@echo", "ECHO", 1)') == 1
        theirs.ask(LUA_STORM % calls)
        until(lambda: theirs.ask("return storm.answered") >= after)
        node.kill()
        until(lambda: theirs.ask("return storm.done") == calls)
    answered, failed, wrong = theirs.ask("return storm.answered, storm.failed, storm.wrong")
    assert wrong == 0 and answered + failed == calls
    return answered, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--thread", type=int, default=1)
    args = parser.parse_args()
    luck = random.Random(args.seed)
    ours, port = Ours(["echo"], clock="real", thread=args.thread), free_port()
    folder = Path(tempfile.mkdtemp(prefix="killed"))

    def rounds(what: str, one: Callable[[int], tuple[int, int]]) -> None:
        answered = failed = 0
        start = time.perf_counter()
        for _ in range(args.rounds):
            got = one(luck.randrange(1, args.calls))
            answered, failed = answered + got[0], failed + got[1]
        seconds = time.perf_counter() - start
        total = args.rounds * args.calls
        print(
            f"{what}: {args.rounds} kills, {total} calls, {answered} answered, {failed} failed, none else; {seconds:.1f} s"
        )

    def counted(storm: Storm) -> tuple[int, int]:
        return storm.answered, storm.count - storm.answered

    try:
        ours.do(lambda: cluster.reload({"peer": f"127.0.0.1:{port}"}))
        rounds("ours calls ours", lambda after: counted(ours_kills_ours(ours, port, args.calls, after)))
        if SKYNET_DIR:
            theirs = Theirs(folder / "killed")
            rounds("ours calls a real one", lambda after: counted(ours_kills_theirs(ours, theirs, args.calls, after)))
            caller = Theirs(folder / "caller")
            with caller.running():
                caller.ask(f'cluster.reload {{ ours = "127.0.0.1:{port}" }}')
                rounds("a real one calls ours", lambda after: theirs_kills_ours(caller, port, args.calls, after))
        else:
            print("a real one: not killed, no SKYNET_DIR")
    finally:
        ours.node.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
