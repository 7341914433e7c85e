"""The pages of docs/ are true: their programs run, in the order of the page, and print what stands below them.

A block that begins with a file's name, `# service/counter.py`, is that file. Where a `text` block follows a program,
it is what the program prints; there are few others (SHOWN). Pages that need more have a test of their own (ELSEWHERE).
"""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from redis_harness import RedisServer

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import configuration  # noqa: E402

PAGES = ("use", "from_skynet", "debugging", "configuration")
ELSEWHERE = {
    "beyond": "test_beyond", "flight": "test_flight", "from_asyncio": "test_outside_threads", "running": "test_running", "probe": "test_probe",
    "supervision": "test_supervisor", "testing": "test_testing",
}  # fmt: skip
"""Pages with programs, and the test that runs them."""
SHOWN = {"debugging": ["$ skynet-lite run price.py", "$ py-spy dump --pid 24182", 'Thread 24212 (idle): "MainThread"']}
"""How the `text` blocks begin that no program prints: sessions in a shell. The first has a test below."""
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|toml))\n")


def run(page: Path, text: str) -> tuple[int, list[str]]:
    """Run a page's programs in one namespace. Files are written where we are.

    Gives how many there were, and the first lines of `text` blocks that belong to none.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    count, alone, where, end = 0, list[str](), "", 0
    printed: io.StringIO | None = None  # by the block before
    for block in FENCE.finditer(text):
        language, code = block.groups()
        if language == "text":
            if printed is not None and not text[end : block.start()].strip():
                assert printed.getvalue() == code, f"{where} prints something else"
            else:
                alone.append(code.splitlines()[0])
        printed, end = None, block.end()
        if (file := FILE.match(code)) is not None:
            path = Path(file[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
        elif language == "python":
            count += 1
            where = f"{page.name}:{text.count(chr(10), 0, block.start(2)) + 1}"
            linecache.cache[where] = len(code), None, code.splitlines(True), where  # lines count as for who copies it
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(code, where, "exec"), names)
    return count, alone


@pytest.mark.parametrize("name", PAGES)
def test_the_programs_of_a_page_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    page = DOCS / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    with contextlib.ExitStack() as stack:
        if "6379" in text:  # Redis; at a free port
            text = text.replace("6379", str(stack.enter_context(RedisServer(tmp_path)).port))
        count, alone = run(page, text)
    assert count > 0 and alone == SHOWN.get(name, [])


def in_order(shown: list[str], said: list[str]) -> bool:
    """Whether all that is shown was said, one after the other."""
    lines = iter(said)
    return all(line in lines for line in shown)


def test_breakpoint_is_a_debugger_in_the_coroutine(tmp_path: Path) -> None:
    """What the page shows of pdb, in a terminal's stead a pipe: it steps over a call, and comes back to its line."""
    text = (DOCS / "debugging.md").read_text(encoding="utf-8")
    (program,) = (code for _, code in FENCE.findall(text) if code.startswith("# price.py"))
    (session,) = (code for _, code in FENCE.findall(text) if code.startswith("$ skynet-lite run price.py"))
    (tmp_path / "price.py").write_text(program)
    typed = re.findall(r"^\(Pdb\) (.*)$", session, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", "skynet_lite", "run", "price.py"], cwd=tmp_path, capture_output=True, text=True,
        input="".join(line + "\n" for line in typed), timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    said = re.sub(r"\S*/(?=\w+\.py\()", "", done.stdout.replace("(Pdb) ", "")).splitlines()
    shown = [line for line in session.splitlines()[1:] if not line.startswith(("(Pdb)", "  ..."))]
    said, shown = (re.sub(r"coroutine\.py\(\d+\)", "coroutine.py(N)", "\n".join(x)).splitlines() for x in (said, shown))
    assert in_order(shown, said)
    assert done.returncode == 0 and said[-1] == "12"


def test_every_page_with_programs_is_run() -> None:
    """Here, or by the test that is named for it, which reads it."""
    with_programs = {page.stem for page in DOCS.glob("*.md") if "```python" in page.read_text(encoding="utf-8")}
    assert with_programs == {*PAGES, *ELSEWHERE}
    for page, test in ELSEWHERE.items():
        assert f'"{page}.md"' in (Path(__file__).parent / f"{test}.py").read_text(encoding="utf-8")


def test_what_a_page_prints_is_compared(tmp_path: Path) -> None:
    """A page that says something untrue fails."""
    page = tmp_path / "page.md"
    assert run(page, "```python\nprint(1)\n```\n```text\n1\n```\n") == (1, [])
    assert run(page, "```python\nprint(1)\n```\nprose\n```text\n2\n```\n") == (1, ["2"])
    assert in_order(["1", "2"], ["1", "so", "2"]) and not in_order(["2", "1"], ["1", "so", "2"])
    with pytest.raises(AssertionError, match="page.md:2 prints something else"):
        run(page, "```python\nprint(1)\n```\n```text\n2\n```\n")


def test_the_page_of_keys_is_that_of_the_code() -> None:
    """`python docs/configuration.py` writes it; every key of the class has a meaning there."""
    assert (DOCS / "configuration.md").read_text(encoding="utf-8") == configuration.page()
    assert set(configuration.meanings()) == {f.name for f in configuration.fields(configuration.config.Config)}
    assert configuration.SKYNET.keys() <= configuration.meanings().keys()
