"""`skynet-lite cluster up|ps|trace FILE`: the nodes of one file as processes of this machine.

One idea: each is what `skynet-lite run FILE --node NAME` makes, the same as under systemd or in a container. So
nothing here is needed to run a cluster; it starts one on a desk, and looks at it.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ..node.config import nodes_of

if TYPE_CHECKING:
    from .look import Connects


def up(file: Path, abort: bool, consoles: bool) -> int:
    """Start all nodes, until they have ended; see up.Up. Raises SkynetError, OSError, BrokenPipeError."""
    from .plan import Ports, plan
    from .state import Held
    from .up import Up, Voices

    with closing(Ports()) as ports, closing(Held(file)) as held:
        made = plan(file, ports, consoles)
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        return Up(made, held, Voices([member.name for member in made.members], sys.stdout.buffer, colour), abort).run()


def ps(file: Path, connects: Connects) -> int:
    """Print a table of the nodes; 1 if one does not run. Raises ConfigError, ImportError without rich."""
    from .look import table
    from .state import running

    return table(running(file), nodes_of(file), connects)
