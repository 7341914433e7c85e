"""The package as a whole: what imports what, what the README promises, what a wheel needs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

import skynet_lite

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)


def test_traces_can_be_read_without_greenlet() -> None:
    """A stored trace is plain data: trace and view import where there is no greenlet and no epoll."""
    code = (
        "import sys; sys.modules['greenlet'] = None\n"
        "import select; del select.epoll\n"
        "from skynet_lite import Trace\n"
        "import skynet_lite.trace, skynet_lite.view\n"
        "print(Trace([{'e': 'mark', 'co': 'main', 'text': 'x'}]).text())\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "mark" in done.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    """`import skynet_lite` alone brings neither greenlet nor matplotlib."""
    done = python("import skynet_lite, sys; print({'greenlet', 'matplotlib'} & set(sys.modules))")
    assert done.stdout == "set()\n", done.stderr


def test_the_readmes_program_runs() -> None:
    """Exactly as printed, with the output the README gives."""
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = python(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "40 42\n"
    assert len(done.stderr.splitlines()) == 8


def test_environment_yml_agrees_with_pyproject() -> None:
    """The same packages with the same bounds, in the form that conda and Binder read."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = set(project["dependencies"]) | set(project["optional-dependencies"]["notebooks"])
    lines = (ROOT / "environment.yml").read_text().splitlines()
    listed = {line.strip()[2:] for line in lines if re.match(r"\s+- \w+>=", line)}
    assert listed == wanted
    assert "  - python=3.12" in lines


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git repository: this is an sdist, and its tests run")
def test_the_sdist_is_what_git_keeps(tmp_path: Path) -> None:
    """So whoever unpacks it has all that the tests read, and can build both wheels of it; nothing made is in it."""
    build = "import sys; from hatchling.build import build_sdist; print(build_sdist(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.strip()) as archive:
        stored = {name.partition("/")[2] for name in archive.getnames()}
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    kept = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout.split("\0")
    assert stored == {name for name in kept if name and (ROOT / name).exists()} | {"PKG-INFO"}


def test_versions_agree() -> None:
    """The package, its course, and the skynet_lite that the course asks for."""
    ours, course = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"] for folder in (".", "notebooks")
    )
    assert ours["version"] == course["version"] == skynet_lite.__version__
    assert course["dependencies"] == [f"skynet_lite[notebooks]=={skynet_lite.__version__}"]
    assert course["requires-python"] == ours["requires-python"]


def test_only_one_file_switches() -> None:
    """Every switch goes through skynet/coroutine.py: no other file imports greenlet."""
    package = ROOT / "skynet_lite"
    users = [p for p in package.rglob("*.py") if re.search(r"(from|import) greenlet", p.read_text())]
    assert [p.relative_to(package).as_posix() for p in users] == ["skynet/coroutine.py"]


def test_ci_runs_the_readmes_test_command() -> None:
    """One line in the README, read by .ci/run, so that the two cannot differ."""
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert "skynet-lite learn" in commands[0]
    assert "--nbval" in commands[1]
    assert '^python3 -m venv .*pytest" README.md' in (ROOT / ".ci" / "run").read_text()


def test_the_readmes_table_names_files_that_exist() -> None:
    """Column two is what to open; a file named without its folder is in that of the file before it."""
    rows = re.findall(r"^\| [\w./, -]+ \| (\[?.*?) \| .*\|$", README, re.MULTILINE)
    named = {path for row in rows for path in re.findall(r"\((skynet_lite/[\w/.]+)\)", row)}
    for row in rows:
        folder = re.findall(r"\((skynet_lite/(?:\w+/)*)", row)
        named |= {folder[0] + name for name in re.findall(r"(?<![\w/])\w+\.py(?=,|$)", row) if folder}
    assert len(named) > 15
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


FOLDERS = "skynet_lite|tests|notebooks|docs"
ROOMS = "|".join(p.name for p in (ROOT / "skynet_lite").iterdir() if p.is_dir() and not p.name.startswith("_"))
MADE = ("docs/course/", "docs/project/")  # by docs/gather.py, when the site is built; its links are tested there


def missing_paths(text: str, page: str) -> list[str]:
    """What a page of the repository names as a link or a path, and is not there.

    A path starts at the root, or at a room of skynet_lite where it stands in code; a file without a folder, in
    code, is looked for everywhere. A * stands for any name. What is written in capitals is the reader's to fill in.
    """
    wanted = {
        str((Path(page).parent / link).as_posix())
        for link in re.findall(r"\]\(([^)#]+)", text)
        if not re.match(r"\w+:", link)
    }
    wanted |= set(re.findall(rf"(?<![\w/.<-])(?:{FOLDERS})/[\w/.*-]*[\w/*]", text))
    code = " ".join(re.findall(r"`([^`\n]+)`", text))
    rooms = re.findall(rf"(?<![\w/.-])(?:{ROOMS})/[\w/.*-]*", code)
    wanted |= {f"skynet_lite/{path}" for path in rooms if not path.endswith((".lua", ".c", ".h"))}
    alone = set(re.findall(r"(?<![\w/.*-])[a-z]\w*\.(?:py|js)(?!\w)", code))
    known = {path.name for folder in FOLDERS.split("|") for path in (ROOT / folder).rglob("*")}
    return sorted(alone - known) + sorted(
        path for path in wanted if not path.startswith(MADE) and not any(ROOT.glob(path))
    )


@pytest.mark.parametrize("page", ["README.md", "README.zh.md", "CONTRIBUTING.md", "docs/design.md"])
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    """Links and paths: a file that has moved has moved on the pages, too."""
    assert missing_paths((ROOT / page).read_text(encoding="utf-8"), page) == []


def test_missing_paths_are_found() -> None:
    """Each way of naming one."""
    text = "[a](b/c.md) docs/none.py `core/none.py`, `core/mq.py` `none.py` `mq.py` tests/none_*.py tests/test_*.py"
    assert missing_paths(text, "docs/x.md") == [
        "none.py", "docs/b/c.md", "docs/none.py", "skynet_lite/core/none.py", "tests/none_*.py",
    ]  # fmt: skip
    assert (
        missing_paths("service/bootstrap.lua, `service/gate.lua`, [x](https://x.y/z), `NAME.py`, run.json", "x.md")
        == []
    )


def test_the_readme_is_the_same_in_chinese() -> None:
    """Block for block and row for row: the same commands, the same names of code, the same links."""
    chinese = (ROOT / "README.zh.md").read_text()
    fenced = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    assert fenced.findall(README) and fenced.findall(chinese) == fenced.findall(README)

    def inline(text: str) -> set[str]:
        return {" ".join(code.split()) for code in re.findall(r"`([^`]+)`", fenced.sub("", text))}

    assert inline(README) - inline(chinese) == set()
    links = [re.findall(r"\]\(([^)]+)\)", text) for text in (README, chinese)]
    assert links[0][0] == "README.zh.md" and links[1][0] == "README.md", "each leads to the other, in its top line"
    english = chinese.replace("notebooks/zh/", "notebooks/").replace(".zh.svg", ".svg").replace(".zh.pdf", ".pdf")
    theirs = set(re.findall(r"\]\(([^)]+)\)", english)[1:])
    assert set(links[0][1:]) - {"notebooks/zh/index.ipynb"} == theirs
    for link in re.findall(r"\]\(notebooks/(\w+\.ipynb)\)", chinese):
        assert not (ROOT / "notebooks/zh" / link).exists(), f"there is a Chinese {link}"
    rows = [re.findall(r"^\| (?:lualib|skynet-src|service)\S* .*\|$", text, re.MULTILINE) for text in (README, english)]
    assert len(rows[0]) > 10 and rows[0] == rows[1], "the table of files"
    assert [chinese.count(f"\n{mark} ") - README.count(f"\n{mark} ") for mark in ("##", "-", "1.")] == [1, 0, 0], (
        "one part more: the words"
    )


def test_the_house_is_as_it_is_drawn() -> None:
    """Who may import whom, no circles, and the budgets: the table in docs/house.py."""
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "house.py")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readmes_picture_is_made_by_the_command_it_names(tmp_path: Path) -> None:
    """One command draws the seed's run; it is the picture that is stored, as far as fonts allow."""
    from matplotlib import image

    (command,) = re.findall(r"`skynet-lite (trace docs/listen\.py [^`]*)`", README)
    made = tmp_path / "listen.png"
    args = [made if arg.endswith(".png") else arg for arg in shlex.split(command)]
    done = subprocess.run(
        [sys.executable, "-m", "skynet_lite", *map(str, args)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
    stored, fresh = image.imread(ROOT / "docs" / "images" / "listen.png"), image.imread(made)
    assert stored.shape == fresh.shape
    assert abs(stored - fresh).mean() < 0.02
