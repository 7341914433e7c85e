"""The command line of a load that is run by hand: how long, on how many workers; its account as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from skynet_lite import SkynetError


def command(run: Callable[[int, float], Any], thread: int) -> None:
    """`run(thread, seconds)` as it is asked for; an account that is wrong is the status. `thread`: unless told."""
    parser = argparse.ArgumentParser(description=(run.__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--thread", type=int, default=thread)
    options = parser.parse_args()
    try:
        print(json.dumps(run(options.thread, options.seconds), indent=1))
    except (AssertionError, SkynetError) as e:
        sys.exit(f"{run.__name__}: {type(e).__name__}: {e}")
