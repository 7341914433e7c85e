"""The package as a whole: what imports what, what the README promises, what a wheel needs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

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


def test_only_one_file_switches() -> None:
    """Every switch goes through coroutine.py: no other file imports greenlet."""
    users = [
        p.name for p in (ROOT / "skynet_lite").rglob("*.py") if re.search(r"(from|import) greenlet", p.read_text())
    ]
    assert users == ["coroutine.py"]


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
    assert sorted(set(links[0][1:])) == sorted(set(links[1][1:]))
    rows = [re.findall(r"^\| (?:lualib|skynet-src|service)\S* .*\|$", text, re.MULTILINE) for text in (README, chinese)]
    assert len(rows[0]) > 10 and rows[0] == rows[1], "the table of files"
    assert [chinese.count(f"\n{mark} ") - README.count(f"\n{mark} ") for mark in ("##", "-", "1.")] == [1, 0, 0], (
        "one part more: the words"
    )


def test_the_floors_are_kept() -> None:
    """Who may import whom: the contracts in pyproject.toml."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


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
