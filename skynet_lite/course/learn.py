"""The course: where its notebooks are, opening them in JupyterLab, and proving a set-up.

In a source checkout the notebooks are opened where they are. Elsewhere they are those of
the package skynet_lite_course, which is made from the same folder and is no place to work
in: they are copied into a folder of the reader's, and what the reader has changed is never
overwritten. A student copy is such a copy without solutions.
"""

from __future__ import annotations

import copy
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..core.errors import SkynetError

COURSE = "skynet_lite_course"  # see notebooks/pyproject.toml
DEFAULT_FOLDER = "skynet_lite_notebooks"
INDEX = "index.ipynb"
KEEPERS = (".py", ".toml")  # files that make the course; its readers need none
TRACE_LINE = re.compile(r" *\d+ (:[0-9a-f]{8}|client#\d+| {9}) ")
CELL_SECONDS = 120
PACKAGE = Path(__file__).resolve().parent.parent
LAB = PACKAGE / "course" / "jupyter"  # settings of JupyterLab: without them its question about news covers the stepper


class LearnError(SkynetError):
    """Why the course cannot be opened; one line that names the remedy."""


def course() -> Path:
    """The folder of the notebooks as they came. Raises LearnError."""
    installed = getattr(find_spec(COURSE), "submodule_search_locations", None)
    for folder in (PACKAGE.parent / "notebooks", *map(Path, installed or ())):
        if numbered(folder):
            return folder
    raise LearnError("the course is a package of its own: in a clone of skynet_lite, pip install ./notebooks")


def folder_of_reader(folder: str | None) -> Path:
    """Where the notebooks are opened: the one that is given, or a checkout's own, or else one of copies."""
    source = course()
    own = source == PACKAGE.parent / "notebooks"
    return source if folder is None and own else Path(folder or DEFAULT_FOLDER).resolve()


def numbered(folder: Path) -> list[Path]:
    """The notebooks of the course in `folder`, without its index."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def files(source: Path) -> list[Path]:
    """What readers of the course get: nothing that is hidden, or only makes it."""
    return [
        file for file in sorted(source.rglob("*"))
        if file.is_file() and file.suffix not in KEEPERS
        and not any(part.startswith((".", "__")) for part in file.relative_to(source).parts)
    ]  # fmt: skip


def lay_out(source: Path, folder: Path, change: Callable[[Path], bytes] = Path.read_bytes) -> list[str]:
    """Copy the course into `folder`; the names of files that were there already and differ.

    `change`: what to write for a file, if not what is in it. Raises OSError.
    """
    kept = []
    for file in files(source):
        name = file.relative_to(source)
        theirs, wanted = folder / name, change(file)
        if not theirs.exists():
            theirs.parent.mkdir(parents=True, exist_ok=True)
            theirs.write_bytes(wanted)
        elif theirs.read_bytes() != wanted:
            kept.append(str(name))
    return kept


def student(notebook: Any) -> Any:
    """A notebook as a student gets it: without cells tagged `solution`, outputs and counts. The given one stays."""
    made = copy.deepcopy(notebook)
    made.cells = [cell for cell in made.cells if "solution" not in cell.metadata.get("tags", [])]
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return made


def student_copies(folder: str) -> int:
    """Write the course without solutions into `folder`. Raises LearnError."""
    source, root = course(), Path(folder).resolve()
    _need("nbformat")
    import nbformat

    def change(file: Path) -> bytes:
        if file.suffix != ".ipynb":
            return file.read_bytes()
        return f"{nbformat.writes(student(nbformat.read(file, as_version=4)))}\n".encode()

    _laid_out(source, root, "another folder", change)
    print(f"{len(numbered(root))} notebooks without solutions are in {root}")
    return 0


def edition() -> str:
    """The edition in the language of the system. The Chinese one is chosen with a line that says why."""
    name = next(filter(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG")), "LANG")  # POSIX: the first that is set holds
    if chinese := os.environ.get(name, "").startswith("zh"):
        print(f"中文版（因 {name} 是 {os.environ[name]}）；英文版用 --lang en")  # in Big5 and GBK, too
    return "zh" if chinese else "en"


def _laid_out(source: Path, root: Path, remedy: str, change: Callable[[Path], bytes] = Path.read_bytes) -> None:
    """`lay_out`, and say which files were kept. Raises LearnError."""
    try:
        kept = lay_out(source, root, change)
    except OSError as e:
        raise LearnError(f"cannot write to {root}: {e.strerror}; choose {remedy}") from e
    for name in kept:
        print(f"kept as it is: {name} (delete it to get the course's own)")


def open_course(folder: str | None, port: int, browser: bool, lang: str | None = None) -> int:
    """Open the course in JupyterLab, until Ctrl-C. `lang`: en or zh; None is that of the system. Raises LearnError."""
    source = course()
    _need("jupyterlab")
    root = folder_of_reader(folder)
    if root != source:
        _laid_out(source, root, "another folder with --dir")
    port = _free_port(port)
    token = secrets.token_hex(16)
    first = f"zh/{INDEX}" if (lang or edition()) == "zh" else INDEX
    print(f"the course: http://127.0.0.1:{port}/lab/tree/{first}?token={token}   (Ctrl-C twice ends it)", flush=True)
    options = [
        f"--ServerApp.root_dir={root}", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--LabApp.default_url=/lab/tree/{first}",
        f"--ServerApp.open_browser={browser}", "--LabApp.news_url=None",  # it needs no internet, and asks for none
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
    ]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")  # containers; Jupyter listens on 127.0.0.1 only, and wants the token
    theirs = filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join([str(LAB), *theirs])
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(options)
    return 0


def check() -> int:
    """Run the first notebook without a browser and print its trace; 1 if it fails. Raises LearnError."""
    first = numbered(course())[0]
    for module in ("nbclient", "nbformat", "ipykernel", "matplotlib"):
        _need(module)
    import nbformat
    from nbclient import execute
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook: Any = nbformat.read(first, as_version=4)
    stored = _traces(notebook)
    print(f"running {first.name} ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            quiet = ["--log-level=ERROR"]  # ipykernel warns of TCP, although it stays on this machine
            execute(notebook, folder, timeout=CELL_SECONDS, extra_arguments=quiet)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as e:
            print(f"{first.name} failed: {e}")
            return 1
    traces = _traces(notebook)
    print("\n".join(traces))
    if not traces or traces != stored:
        print(f"{first.name} ran, but its trace is not the one stored in the notebook")
        return 1
    print(f"{first.name} ran: {len(traces)} lines of trace, as stored in the notebook. The set-up works.")
    return 0


def _traces(notebook: Any) -> list[str]:
    """The lines of canonical text that the cells have printed."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    printed = (line for output in outputs if output.output_type == "stream" for line in output.text.splitlines())
    return [line for line in printed if TRACE_LINE.match(line)]


def _need(module: str) -> None:
    if find_spec(module) is None:
        raise LearnError(f"{module} is not installed here: pip install 'skynet_lite[notebooks]'")


def _free_port(wanted: int) -> int:
    """`wanted`, or one that the system picks. Raises LearnError if it is taken."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", wanted))
        except (OSError, OverflowError) as e:
            raise LearnError(f"cannot use port {wanted}: {e}; leave --port out to get a free one") from e
        return int(s.getsockname()[1])
