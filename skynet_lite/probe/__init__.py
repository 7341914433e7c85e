"""A real skynet in the same picture: our probe for its services, and its streams as a trace.

`probe.lua` runs inside skynet; streams.py reads what it wrote. Nothing here needs a node.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROBE = Path(__file__).with_name("probe.lua")
_FIRST = "-- probe.lua: "


def write(folder: str | os.PathLike[str]) -> Path:
    """Write the probe into a folder, which is made if it is not there; an older one is replaced. Returns its path.

    Raises OSError, also for a file of that name that is somebody else's.
    """
    path = Path(folder).resolve() / _PROBE.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.read_bytes().startswith(_FIRST.encode()):
        raise FileExistsError(f"{path} is there, and is not the probe")
    path.write_bytes(_PROBE.read_bytes())
    return path


def told(path: Path) -> str:
    """What to do with the probe that has been written to `path`."""
    return f"""\
{path} is there. One line in the configuration of a skynet node has all its services recorded from their birth:

    preload = "{path}"

A service of a node that runs already is recorded after this line in the debug console, until the second one:

    inject :00000008 {path} start
    inject :00000008 {path} stop

Each service writes a stream into {path.parent}. To look at them, while the node runs or later:

    skynet-lite trace {path.parent} --html run.html
"""
