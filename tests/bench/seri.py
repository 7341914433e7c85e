"""What it costs to write and to read a message, beside marshal, msgpack and a real skynet.

python tests/bench/seri.py                # microseconds of CPU a message
python tests/bench/seri.py --skynet DIR   # and those of a real skynet, built in DIR, on the same bytes

Every round measures everything once; the table shows the best of the rounds, which on a busy machine is the
one that nobody disturbed. msgpack is asked twice, in C and in its own Python, if it is installed.
"""

from __future__ import annotations

import argparse
import marshal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from run import SKYNET_CONFIG  # noqa: E402

from skynet_lite import seri  # noqa: E402

MESSAGES: dict[str, tuple[Any, ...]] = {
    "a call: 4 scalars": ("SET", "player:1001", 42, True),
    "a record of 6 keys": (
        {"id": 1001, "name": "alice", "score": 3.5, "items": [1, 2, 3, 4, 5], "pos": {"x": 10, "y": -3}, "alive": True},
    ),
    "1,000 integers": (list(range(-500, 1500, 2)),),
    "500 strings": ([f"name {i}" for i in range(500)],),
    "200 records of 4 keys": ([{"id": i, "name": f"user{i}", "level": i % 90, "on": i % 3 == 0} for i in range(200)],),
    "500 integer keys": ({i * 7: i for i in range(1, 501)},),
    "a string of 64 KiB": ("x" * 65536,),
}
Ways = dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]  # name → write(values), read(what it has written)


def ways() -> Ways:
    found: Ways = {"seri": (lambda values: seri.pack(*values), seri.unpack), "marshal": (marshal.dumps, marshal.loads)}
    try:
        import msgpack  # type: ignore[import-not-found]
        from msgpack import fallback
    except ImportError:
        print("msgpack is not installed (pip install msgpack): left out", file=sys.stderr)
        return found

    def read(data: bytes) -> Any:
        unpacker = fallback.Unpacker(strict_map_key=False)
        unpacker.feed(data)
        return unpacker.unpack()

    found["msgpack in C"] = msgpack.packb, lambda data: msgpack.unpackb(data, strict_map_key=False)
    found["msgpack in Python"] = lambda values: fallback.Packer().pack(values), read
    return found


def timed(work: Callable[[Any], Any], argument: Any, seconds: float) -> float:
    """Microseconds of CPU a time, of as many as fit."""
    n = 1
    while True:
        start = process_time()
        for _ in range(n):
            work(argument)
        spent = process_time() - start
        if spent > seconds:
            return spent / n * 1e6
        n *= 2


def real(folder: Path, metric: str, data: bytes, n: int) -> float:
    """The same of a real skynet, from and to a Lua string."""
    with tempfile.TemporaryDirectory() as own:
        config, message = Path(own, "config"), Path(own, "message")
        config.write_text(SKYNET_CONFIG.format(threads=1, profile="false", services=HERE / "skynet"))
        message.write_bytes(data)
        env = {"BENCH_METRIC": metric, "BENCH_N": str(n), "BENCH_MESSAGE": str(message)}
        with subprocess.Popen(["./skynet", config], cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as node:
            assert node.stdout is not None
            try:
                return next(float(line.split()[1]) / 1000 for line in node.stdout if line.startswith("RESULT "))
            except StopIteration:
                sys.exit(f"the skynet in {folder} ended without a result")
            finally:
                node.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--skynet", type=Path, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.02, help="at least, for one figure")
    options = parser.parse_args()
    if options.skynet and not (options.skynet / "skynet").is_file():
        sys.exit(f"no built skynet in {options.skynet}")
    systems = ways()
    best: dict[tuple[str, str, str], float] = {}

    def note(row: str, verb: str, name: str, value: float) -> None:
        key = row, verb, name
        best[key] = min(value, best.get(key, value))

    for _ in range(options.rounds):
        for row, values in MESSAGES.items():
            for name, (write, read) in systems.items():
                note(row, "write", name, timed(write, values, options.seconds))
                note(row, "read", name, timed(read, write(values), options.seconds))
            if options.skynet:
                data = seri.pack(*values)
                for verb, metric in (("write", "pack"), ("read", "unpack")):
                    n = max(10, int(options.seconds * 1e8) // (len(data) + 100))
                    note(row, verb, "real skynet", real(options.skynet, metric, data, n))
    names = [*systems, *(["real skynet"] if options.skynet else [])]
    for verb in ("write", "read"):
        print(f"\n| {verb}, µs | bytes | {' | '.join(names)} |")
        print("| --- |" + " ---: |" * (len(names) + 1))
        for row, values in MESSAGES.items():
            cells = [f"{best[row, verb, name]:,.2f}" for name in names]
            print(f"| {row} | {len(seri.pack(*values)):,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
