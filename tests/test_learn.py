"""skynet-lite learn: the course is found, opened and proved, from a checkout and from its wheel."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from skynet_lite import __version__
from skynet_lite.cli import main
from skynet_lite.course import lab, learn

ROOT = Path(__file__).parent.parent


def wheel_of(project: Path, folder: Path) -> Path:
    """Its wheel, built without a network, and unpacked beside itself: `folder` is what site-packages would be."""
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, folder], cwd=project, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    wheel = folder / done.stdout.strip()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return wheel


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to be put first on the path: skynet_lite as it is installed, without its course."""
    folder = tmp_path_factory.mktemp("bare")
    wheel_of(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def site(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the course."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(bare, folder, dirs_exist_ok=True)
    wheel_of(ROOT / "notebooks", folder)
    return folder


def installed(site: Path, cwd: Path, *args: object) -> subprocess.CompletedProcess[str]:
    """The command of that installation."""
    return subprocess.run(
        [sys.executable, "-m", "skynet_lite", *map(str, args)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_the_wheel_is_complete_and_small(bare: Path) -> None:
    """Types, every service, every text of an exercise; no notebook; greenlet is all that it requires."""
    package = bare / "skynet_lite"
    assert (package / "py.typed").exists()
    for files in ("*.py", "check/texts/*.toml", "examples/*/*.*"):
        ours = {str(p.relative_to(ROOT / "skynet_lite")) for p in (ROOT / "skynet_lite").rglob(files)}
        assert ours and ours <= {str(p.relative_to(package)) for p in package.rglob(files)}
    assert {p.name for p in bare.iterdir() if p.is_dir()} == {"skynet_lite", f"skynet_lite-{__version__}.dist-info"}
    (wheel,) = bare.glob("*.whl")
    assert wheel.stat().st_size < 1_000_000
    (metadata,) = bare.glob("*.dist-info/METADATA")
    required = re.findall(r"^Requires-Dist: (.*)$", metadata.read_text(), re.MULTILINE)
    assert [r for r in required if "extra ==" not in r] == ["greenlet>=3.0"]


def test_the_wheel_of_the_course_is_complete(site: Path) -> None:
    """Every notebook and what they show, nothing of what makes them; of the same version, and with Jupyter."""
    ours, theirs = ROOT / "notebooks", site / "skynet_lite_course"
    files = [p for p in ours.rglob("*") if p.is_file() and not any(part.startswith((".", "__")) for part in p.parts)]
    assert {p.relative_to(theirs) for p in theirs.rglob("*") if p.is_file()} == {
        p.relative_to(ours) for p in files if p.suffix not in learn.KEEPERS
    }
    for folder in ("data", "images", "zh"):  # recordings that notebooks show, the map, the Chinese course
        assert any((theirs / folder).iterdir())
    code = "from skynet_lite.lab import recording; print(*(recording(name).skynet for name in ('listen_start', 'article')))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=site, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert done.stdout == "1.1 1.8\n", done.stderr
    metadata = (site / f"skynet_lite_course-{__version__}.dist-info" / "METADATA").read_text()
    assert re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE) == [f"skynet-lite[notebooks]=={__version__}"]


def test_without_the_course_the_remedy_is_named(bare: Path, tmp_path: Path) -> None:
    """One line that says where the notebooks are; the doctor says the same."""
    for option in ("--no-browser", "--check", "--student=class"):
        done = installed(bare, tmp_path, "learn", option)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert "in a clone of skynet_lite, pip install ./notebooks" in done.stderr
    code = "from skynet_lite.course import doctor; print(*doctor.notebooks())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(bare)},
    )  # fmt: skip
    assert "grade='missing'" in done.stdout and "pip install ./notebooks   (in a clone of skynet_lite)" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_check_from_a_wheel(site: Path, tmp_path: Path) -> None:
    """The set-up is proved with the wheel's own notebook, and nothing is left in the reader's folder."""
    done = installed(site, tmp_path, "learn", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as stored in the notebook. The set-up works." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_check_fails_when_the_trace_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set-up on which the first notebook prints something else is not proved."""
    (first,) = (ROOT / "notebooks").glob("00_*.ipynb")
    notebook = json.loads(first.read_text())
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            if output["output_type"] == "stream":
                output["text"] = [line.replace("resume", "resumed") for line in output["text"]]
    (tmp_path / first.name).write_text(json.dumps(notebook))
    monkeypatch.setattr(learn, "course", lambda: tmp_path)
    assert learn.check() == 1


def test_what_the_reader_changed_is_kept(tmp_path: Path) -> None:
    """A second copying brings what is missing and overwrites nothing; it names what differs."""
    source, folder = tmp_path / "course", tmp_path / "mine"
    (source / "data").mkdir(parents=True)
    (source / "__pycache__").mkdir()
    (source / "zh").mkdir()
    (source / "images").mkdir()
    theirs = ["00_a.ipynb", "01_b.ipynb", "data/d.json", "images/map.svg", "index.ipynb", "zh/00_a.ipynb"]
    for name in (*theirs, "regenerate.py", "pyproject.toml", "__pycache__/x.pyc", ".hidden"):
        (source / name).write_text("theirs")
    assert learn.lay_out(source, folder) == []
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == theirs
    (folder / "00_a.ipynb").write_text("mine")
    (folder / "01_b.ipynb").unlink()
    assert learn.lay_out(source, folder) == ["00_a.ipynb"]
    assert (folder / "00_a.ipynb").read_text() == "mine"
    assert (folder / "01_b.ipynb").read_text() == "theirs"


def folded(source: str) -> Any:
    return nbformat.v4.new_markdown_cell(source, metadata={"tags": ["solution"]})


def test_a_student_copy_of_a_notebook() -> None:
    """Without solutions, outputs and counts; prose, exercises and tags stay, and so does the notebook it was made of."""
    new = nbformat.v4
    ran = new.new_output("execute_result", {"text/plain": ["2"]}, execution_count=1)
    notebook = new.new_notebook(cells=[
        new.new_markdown_cell("# A title"),
        new.new_code_cell("1 + 1", outputs=[ran], execution_count=1),
        new.new_code_cell('check("00.1", ...)', metadata={"tags": ["exercise"]}),
        new.new_code_cell('check("00.1", 2)', metadata={"tags": ["hide-input", "solution"]}, execution_count=3),
        folded("It is 2."),
    ])  # fmt: skip
    before = nbformat.writes(notebook)
    copy = learn.student(notebook)
    assert nbformat.writes(notebook) == before
    assert [cell.source for cell in copy.cells] == ["# A title", "1 + 1", 'check("00.1", ...)']
    assert copy.cells[2].metadata == {"tags": ["exercise"]}
    assert all((cell.outputs, cell.execution_count) == ([], None) for cell in copy.cells[1:])
    nbformat.validate(copy)


def test_student_copies_of_the_course(tmp_path: Path) -> None:
    """By the command: every notebook, whole but for its solutions; pictures and data; what was changed is kept."""
    folder = tmp_path / "class"
    done = installed(ROOT, tmp_path, "learn", "--student", "class")
    assert (done.returncode, done.stderr) == (0, "")
    source = ROOT / "notebooks"
    names = {
        p.relative_to(source) for p in source.rglob("*")
        if p.is_file() and p.suffix not in learn.KEEPERS and not p.parent.name.startswith((".", "__"))
    }  # fmt: skip
    assert {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()} == names
    removed = 0
    for name in names:
        if name.suffix != ".ipynb":
            assert (folder / name).read_bytes() == (source / name).read_bytes()
            continue
        whole, copy = (nbformat.read(home / name, as_version=4) for home in (source, folder))
        kept = [cell for cell in whole.cells if "solution" not in cell.metadata.get("tags", [])]
        assert [(c.cell_type, c.source) for c in copy.cells] == [(c.cell_type, c.source) for c in kept]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in copy.cells)
        removed += len(whole.cells) - len(kept)
    assert removed > 0
    (folder / "00_tour.ipynb").write_text("my answers")
    again = installed(ROOT, tmp_path, "learn", "--student", "class")
    assert "kept as it is: 00_tour.ipynb" in again.stdout and again.stdout.count("kept") == 1
    assert (folder / "00_tour.ipynb").read_text() == "my answers"


def test_a_student_copy_runs(tmp_path: Path) -> None:
    """A cell that waits for an answer is no error: the copy can be run from top to bottom."""
    assert learn.student_copies(str(tmp_path)) == 0
    (first,) = tmp_path.glob("00_*.ipynb")
    notebook = nbformat.read(first, as_version=4)
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    failed = [c for c in notebook.cells if any(o.output_type == "error" for o in c.get("outputs", []))]
    assert [c.source for c in failed if "exercise" not in c.metadata.get("tags", [])] == []


def fetched(url: str) -> bytes:
    """What a server that is still starting answers in the end."""
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                data: bytes = answer.read()
                return data
        except urllib.error.URLError as e:
            if not isinstance(e.reason, ConnectionRefusedError) or time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_the_course_opens_in_jupyterlab(site: Path, tmp_path: Path) -> None:
    """From a wheel: copies in ./skynet_lite_notebooks, the index of the course at the address, only with the token."""
    process = subprocess.Popen(
        [sys.executable, "-m", "skynet_lite", "learn", "--no-browser"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(site), "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
             "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"), "JUPYTER_DATA_DIR": str(tmp_path / "data"),
             "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        match = re.search(r"http://127.0.0.1:(\d+)/lab/tree/(index\.ipynb)\?token=(\w+)", process.stdout.readline())
        assert match is not None
        port, first, token = match.groups()
        url = f"http://127.0.0.1:{port}/api/contents/{first}?token={token}"
        assert json.loads(fetched(url))["type"] == "notebook"
        news = f"http://127.0.0.1:{port}/lab/api/settings/@jupyterlab/apputils-extension:notification?token={token}"
        asks = json.loads(fetched(news))["schema"]["properties"]["fetchNews"]["default"]
        assert asks == "false", "JupyterLab asks whether to show its news, and its question covers the stepper"
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(url.partition("?")[0], timeout=30)
        refused.value.close()
        assert (tmp_path / "skynet_lite_notebooks" / first).exists()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    ("lang", "variables", "first", "said"),
    [
        (None, {}, "index.ipynb", ""),
        (None, {"LANG": "de_DE.UTF-8"}, "index.ipynb", ""),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh/index.ipynb", "中文版（因 LANG 是 zh_CN.UTF-8）；英文版用 --lang en\n"),
        (None, {"LANG": "en_GB.UTF-8", "LC_MESSAGES": "zh_TW.Big5", "LC_ALL": ""}, "zh/index.ipynb",
         "中文版（因 LC_MESSAGES 是 zh_TW.Big5）；英文版用 --lang en\n"),
        (None, {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "index.ipynb", ""),
        ("en", {"LANG": "zh_CN.UTF-8"}, "index.ipynb", ""),
        ("zh", {"LANG": "en_GB.UTF-8"}, "zh/index.ipynb", ""),
    ],
)  # fmt: skip
def test_the_edition_follows_the_system_unless_it_is_named(
    lang: str | None, variables: dict[str, str], first: str, said: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """LC_ALL before LC_MESSAGES before LANG, an empty one is none; what was not asked for is said, in one line."""
    given: list[str] = []
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", given.extend)
    monkeypatch.setattr(os, "environ", {**os.environ, "LC_ALL": "", "LC_MESSAGES": "", "LANG": "", **variables})
    options = ["--no-browser", f"--dir={tmp_path}", *([f"--lang={lang}"] if lang else [])]
    assert main(["learn", *options]) == 0
    line, address = re.fullmatch(r"(.*?)the course: (\S+) .*\n", capsys.readouterr().out, re.DOTALL).groups()  # type: ignore[union-attr]
    assert (line, f"/lab/tree/{first}?" in address) == (said, True)
    assert f"--LabApp.default_url=/lab/tree/{first}" in given and (tmp_path / first).exists()
    for encoding in ("utf-8", "gbk", "big5"):
        assert said.encode(encoding).decode(encoding) == said


def test_a_clone_called_as_git_calls_it_is_no_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git clone .../skynet_lite` makes a folder of the package's name: its notebooks are opened where they are."""
    clone = tmp_path / "skynet_lite"
    (clone / "notebooks").mkdir(parents=True)
    (clone / "notebooks" / "00_tour.ipynb").write_text("{}")
    monkeypatch.setattr(learn, "PACKAGE", clone / "skynet_lite")
    assert learn.course() == clone / "notebooks"
    assert learn.folder_of_reader(None) == clone / "notebooks"
    assert learn.folder_of_reader("mine") == Path("mine").resolve()
    monkeypatch.setattr(learn, "PACKAGE", tmp_path / "elsewhere" / "skynet_lite")
    monkeypatch.setattr(learn, "COURSE", "a_course_that_is_installed")
    shutil.copytree(clone / "notebooks", tmp_path / "a_course_that_is_installed")
    monkeypatch.syspath_prepend(tmp_path)
    assert learn.course() == tmp_path / "a_course_that_is_installed"
    assert learn.folder_of_reader(None) == Path(learn.DEFAULT_FOLDER).resolve()


def test_a_taken_port_is_named() -> None:
    """--port is meant: no other port is used instead."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = installed(ROOT, ROOT, "learn", "--no-browser", "--port", port)
    assert done.returncode == 2
    assert done.stderr.startswith(f"skynet-lite: cannot use port {port}: ")
    assert len(done.stderr.splitlines()) == 1


def test_without_jupyter_the_remedy_is_named(tmp_path: Path) -> None:
    """The bare install has greenlet only."""
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('jupyterlab', 'nbclient') else find(name, *a)\n"
        "from skynet_lite.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    for option in ("--no-browser", "--check"):
        done = subprocess.run(
            [sys.executable, "-c", code, "learn", option], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2
        assert "pip install 'skynet_lite[notebooks]'" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_listing_may_leave_statements_out(capsys: pytest.CaptureFixture[str]) -> None:
    """An ellipsis says how many lines it stands for; the rest is as the editor shows it."""
    lab.code("socket-start")
    whole = capsys.readouterr().out.splitlines()
    lab.code("socket-start", "if ")
    shown = capsys.readouterr().out.splitlines()
    [place] = [n for n, line in enumerate(shown) if line.lstrip().startswith("...")]
    gone = len(whole) - len(shown) + 1
    assert shown[place] == f"    ...  # {gone} lines" and all(
        "if " in line or "raise" in line for line in whole[place : place + gone]
    )
    assert shown[:place] + whole[place : place + gone] + shown[place + 1 :] == whole
    with pytest.raises(ValueError, match="no statement of start begins with 'while'"):
        lab.code("socket-start", "while")
    with pytest.raises(KeyError, match="no anchor 'nowhere'"):
        lab.code("nowhere")
