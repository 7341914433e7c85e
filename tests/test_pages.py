"""The pages of docs/ are true: their programs run, in the order of the page, and print what stands below them.

A block that begins with a file's name, `# service/counter.py`, is that file. Where a `text` block follows a program,
it is what the program prints. A page in which a test is defined is one test file (see tests/test_testing.py).
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
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|toml))\n")


def run(page: Path, text: str) -> int:
    """Run a page's programs in one namespace; how many there were. Files are written where we are."""
    names: dict[str, Any] = {"__name__": "__main__"}
    blocks = list(FENCE.finditer(text))
    count = 0
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        language, code = block.groups()
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
            if after is not None and after[1] == "text" and not text[block.end() : after.start()].strip():
                assert printed.getvalue() == after[2], f"{where} prints something else"
    return count


@pytest.mark.parametrize("name", PAGES)
def test_the_programs_of_a_page_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    page = DOCS / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    with contextlib.ExitStack() as stack:
        if "6379" in text:  # Redis; at a free port
            text = text.replace("6379", str(stack.enter_context(RedisServer(tmp_path)).port))
        assert run(page, text) > 0


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
    assert [line for line in shown if line not in said] == []
    assert done.returncode == 0 and said[-1] == "12"


def test_every_page_with_programs_is_run() -> None:
    """Here, or by a test that names the page."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    forgotten = [
        page.name
        for page in DOCS.glob("*.md")
        if "```python" in page.read_text() and page.stem not in PAGES and f'"{page.name}"' not in tests
    ]
    assert forgotten == []


def test_what_a_page_prints_is_compared(tmp_path: Path) -> None:
    """A page that says something untrue fails."""
    page = tmp_path / "page.md"
    assert run(page, "```python\nprint(1)\n```\n```text\n1\n```\n") == 1
    with pytest.raises(AssertionError, match="page.md:2 prints something else"):
        run(page, "```python\nprint(1)\n```\n```text\n2\n```\n")


def test_the_page_of_keys_is_that_of_the_code() -> None:
    """`python docs/configuration.py` writes it; every key of the class has a meaning there."""
    assert (DOCS / "configuration.md").read_text(encoding="utf-8") == configuration.page()
    assert set(configuration.meanings()) == {f.name for f in configuration.fields(configuration.config.Config)}
    assert configuration.SKYNET.keys() <= configuration.meanings().keys()
