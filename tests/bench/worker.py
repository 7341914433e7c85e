"""What the peers have in common: one measurement in one process.

`python peer_x.py METRIC N` measures and prints `RESULT <number>`: nanoseconds of CPU
time an operation (nothing here ever waits, and the core may be somebody else's for a
while), or bytes of memory a thing. `echo`, `bulk` and `idle` are servers instead:
they print `RESULT <port>` and serve until they are killed; the load comes from load.py.
"""

import gc
import os
import sys
from collections.abc import Callable
from time import process_time_ns

BATCH = 100  # how many messages or forks before the receivers get their turn
RING = 1000  # services the token passes through
WARM = 10  # a tenth of the work is done before the clock starts
MIB = 1 << 20


def resident() -> int:
    """Bytes of memory this process has in use."""
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def arguments() -> tuple[str, int]:
    return sys.argv[1], int(sys.argv[2])


def result(value: float) -> None:
    print("RESULT", value, flush=True)


def timed(work: Callable[[int], object], n: int) -> float:
    """CPU nanoseconds for one of the `n` operations of `work(n)`; peers with async functions have their own."""
    work(max(1, n // WARM))
    start = process_time_ns()
    work(n)
    return (process_time_ns() - start) / n


LOOPS = 16_000
"""What a request asks of a worker (nodes.py): about a millisecond of Python, which holds the GIL."""


def work(loops: int) -> int:
    x = 0
    for i in range(loops):
        x = (x * 31 + i) & 0xFFFF
    return x
