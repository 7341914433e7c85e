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


def heading(before: str, after: str) -> str:
    return f"{'':14}{before:>14}{after:>14}"


def row(name: str, before: float | None, after: float, digits: int = 0) -> str:
    """Both figures of an operation, and by how much the second is more."""
    if before is None:
        return f"{name:14}{'–':>14}{after:>14,.{digits}f}"
    return f"{name:14}{before:>14,.{digits}f}{after:>14,.{digits}f}{(after / before - 1) * 100:+8.1f} %"
