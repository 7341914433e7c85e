"""The package as it was at a commit, in a folder of its own for as long as it is looked at."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def package_at(commit: str) -> Iterator[Path]:
    """A folder for PYTHONPATH. The work tree is not touched, nor what git knows of work trees."""
    archive = subprocess.run(["git", "archive", commit, "skynet_lite"], cwd=ROOT, capture_output=True)
    if archive.returncode:
        raise SystemExit(f"no package at {commit}: {archive.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
        yield Path(folder)


def beside(before: dict[str, float], after: dict[str, float], names: tuple[str, str], digits: int = 1) -> str:
    """Both, operation by operation, and by how much the second is more."""
    rows = [f"{'':14}{names[0]:>14}{names[1]:>14}"]
    for name, figure in after.items():
        old = before.get(name)
        shown = f"{'–':>14}" if old is None else f"{old:>14,.{digits}f}"
        change = "" if old is None else f"{(figure / old - 1) * 100:+8.1f} %"
        rows.append(f"{name:14}{shown}{figure:>14,.{digits}f}{change}")
    return "\n".join(rows)
