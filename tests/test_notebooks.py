"""The notebooks as they are stored: run, whole, readable, and true to the code they cite.

nbval compares text and streams. It never looks at a picture, and it passes a cell that
was never run: these tests do what it does not.
"""

from __future__ import annotations

import base64
import builtins
import io
import json
import os
import re
import subprocess
import symtable
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from matplotlib import image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
from assemble import about, chinese_code, digest, in_chinese  # noqa: E402

ALL = sorted((ROOT / "notebooks").rglob("*.ipynb"))
NOTEBOOKS = [path for path in ALL if path.name != "index.ipynb"]
ENGLISH = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
CHINESE = [path for path in NOTEBOOKS if path.parent.name == "zh"]
WORDS = {
    "notebooks": ("**Predict", "## In short", "## Questions to check yourself", "## Further reading", "break it"),
    "zh": ("**预测", "## 小结", "## 自测题", "## 延伸阅读", "弄坏它"),
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()


@pytest.fixture(params=NOTEBOOKS, ids=name_of)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def notebook(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def prose(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def own(notebook: Any) -> list[Any]:
    """The cells that somebody wrote."""
    return [cell for cell in notebook.cells if not {"navigation", "today"}.intersection(cell.metadata.get("tags", []))]


def test_the_course_is_whole() -> None:
    """00 to 22 without a gap, an index in each language, and nothing that no command would find."""
    assert [path.name[:2] for path in ENGLISH] == [f"{n:02}" for n in range(23)]
    assert [path.name for path in CHINESE] == [path.name for path in ENGLISH]
    for path in ALL:
        assert path.parent.name in ("notebooks", "zh")
        assert path.name == "index.ipynb" or re.fullmatch(r"\d\d_\w+\.ipynb", path.name)


def test_the_first_cell_says_what_the_notebook_is(path: Path, notebook: Any) -> None:
    """One question, minutes to read and to exercise, what comes before it, three to five objectives."""
    said = about(path, notebook)
    assert 5 <= said.reading <= 60 and 5 <= said.exercising <= 120
    assert all(number < said.number for number in said.before)
    assert said.before or said.number == "00"
    assert said.title.startswith(f"{said.number} · ")
    objectives = re.findall(r"^\d\. ", notebook.cells[0].source, re.MULTILINE)
    assert 3 <= len(objectives) <= 5


def test_it_asks_before_it_tells_and_sums_up(path: Path, notebook: Any) -> None:
    """Predictions, a break-it exercise, a summary, a glossary, questions, further reading."""
    text = prose(notebook)
    predict, *parts, broken = WORDS[path.parent.name]
    assert text.count(predict) >= 2
    assert all(text.count(part) == 1 for part in parts), [part for part in parts if text.count(part) != 1]
    assert re.search(rf"^### .*{broken}", text, re.MULTILINE)
    terms = "term | meaning" if path.parent.name == "notebooks" else "术语 | 含义"
    glossary = re.search(rf"^\| {re.escape(terms)} \|\n\|[- |]+\|\n((?:\|.*\|\n?)+)", text, re.MULTILINE)
    assert glossary and len(glossary[1].splitlines()) >= 4
    questions = text[text.index(parts[1]) : text.index(parts[2])]
    assert 5 <= len(re.findall(r"^\d+\. ", questions, re.MULTILINE)) <= 8


def test_one_can_go_on_and_back(path: Path, notebook: Any) -> None:
    """The bar of links stands below the first cell and at the end."""
    bars = [k for k, cell in enumerate(notebook.cells) if "navigation" in cell.metadata.get("tags", [])]
    assert bars == [1, len(notebook.cells) - 1]
    assert "index.ipynb" in notebook.cells[1].source


def test_a_folded_solution_gives_nothing_away(notebook: Any) -> None:
    """JupyterLab shows the first line of a folded cell; input and output are both folded."""
    for cell in notebook.cells:
        if "solution" in cell.metadata.get("tags", []):
            assert cell.source.startswith("# solution\n")
            assert cell.metadata["jupyter"] == {"source_hidden": True, "outputs_hidden": True}


def test_pictures_are_described(notebook: Any) -> None:
    """Each has a text for those who cannot see it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 40


@pytest.mark.parametrize("path", CHINESE, ids=name_of)
def test_chinese_prose_renders_the_english_that_is_there(path: Path) -> None:
    """Each cell stores the hash of what it renders; the code is the same but for the language, titles and marks."""
    english = nbformat.read(path.parent.parent / path.name, as_version=4)
    chinese = nbformat.read(path, as_version=4)
    _, stale = in_chinese(english, chinese)
    assert not stale
    both = [(a, b) for a, b in zip(own(english), own(chinese), strict=True) if a.cell_type == "code"]
    assert [b.source for _, b in both] == [chinese_code(a) for a, _ in both]
    assert sum('language("zh")' in b.source for _, b in both) == 1
    titles = [title for _, b in both for title in re.findall(r'title="([^"]*)"', b.source)]
    words = [title for title in titles if re.search(r"[a-z]", title) and not re.search("[一-鿿，：、]", title)]
    assert not [title for title in words if " " in title], "titles that are not in strings_zh.toml"
    for cell in own(chinese):
        if cell.cell_type == "markdown":
            assert re.search("[一-鿿]", cell.source), cell.source


def test_a_changed_english_cell_makes_its_rendering_stale() -> None:
    """The Chinese cell keeps its place and its words, and is named."""
    cell, note = nbformat.v4.new_markdown_cell, nbformat.v4.new_notebook
    english = note(cells=[cell("# One"), cell("two"), nbformat.v4.new_code_cell("3"), cell("four")])
    chinese = note(
        cells=[
            cell(text, metadata={"renders": digest(of)})
            for text, of in (("# 一", "# One"), ("二", "2"), ("四", "four"))
        ]
    )
    made, stale = in_chinese(english, chinese)
    assert stale == ["two"]
    assert [c.source for c in made.cells] == ["# 一", "二", "3", "四"]


FEW_ROUNDS = {"15_many_workers": 8, "21_seri_byte_by_byte": 3}
"""The Ctrl-C comes in this round of messages, else in the thirtieth: of workers in threads, and where nodes do little."""


@pytest.mark.parametrize("path", ENGLISH, ids=name_of)
def test_twice_in_one_kernel_and_nothing_is_left(path: Path) -> None:
    """The same outputs in each run, with a Ctrl-C in the middle of another one; no socket, pipe or thread is left."""
    command = [sys.executable, ROOT / "tests" / "run_cells.py", path, str(FEW_ROUNDS.get(path.stem, 30))]
    env = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["differ"] == []
    assert found["interrupted"], "the Ctrl-C has not reached the reader"
    before, *after = found["left"]
    assert after == [before, before]


def test_every_cell_was_run_and_none_failed(notebook: Any) -> None:
    """In order, from the first to the last."""
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "error"]


def test_every_name_that_a_function_uses_is_defined(notebook: Any) -> None:
    """A service that misses one loses its coroutine: the log says so, and the cell shows less, without an error."""

    def scopes(scope: symtable.SymbolTable) -> list[symtable.SymbolTable]:
        return [scope, *(inner for child in scope.get_children() for inner in scopes(child))]

    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    top = symtable.symtable(code, "notebook", "exec")
    symbols = [symbol for scope in scopes(top) for symbol in scope.get_symbols()]
    made = [*top.get_symbols(), *(symbol for symbol in symbols if symbol.is_declared_global())]
    defined = {symbol.get_name() for symbol in made if symbol.is_assigned() or symbol.is_imported()}
    used = {symbol.get_name() for symbol in symbols if symbol.is_global() and symbol.is_referenced()}
    assert used <= defined | set(dir(builtins))


def test_pictures_show_something(notebook: Any) -> None:
    """Each decodes, is large enough to be read, and is not blank."""
    pictures = [
        output["data"]["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 2
    for picture in pictures:
        pixels = image.imread(io.BytesIO(base64.b64decode(picture)))
        assert min(pixels.shape[:2]) > 200
        assert len({tuple(pixel) for row in pixels[::5, ::5] for pixel in row}) > 10


def test_one_title_and_no_skipped_headings(notebook: Any) -> None:
    """One H1 in the first cell; the others follow without a gap."""
    text = re.sub(r"```.*?```", "", prose(notebook), flags=re.DOTALL)
    levels = [len(m.group(1)) for m in re.finditer(r"^(#+) ", text, re.MULTILINE)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))


def test_outputs_hold_nothing_of_the_machine(notebook: Any) -> None:
    """No path, no address in memory, no port."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            assert not re.search(r"/(home|tmp|usr|root)/|0x[0-9a-f]{6,}|127\.0\.0\.1:(?!70000)[1-9]", text), text


def test_cells_are_short(notebook: Any) -> None:
    """A reader keeps a cell in view while reading what it does."""
    lengths = [len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code"]
    assert max(lengths) <= 24
    assert sorted(lengths)[len(lengths) // 2] <= 6


def anchors_in_source() -> set[str]:
    found = set()
    for path in (ROOT / "skynet_lite").rglob("*.py"):
        found |= set(re.findall(r"DOC: ([\w-]+\w)", path.read_text()))
    return found


def test_every_anchor_exists_and_is_cited() -> None:
    """`DOC: name` in a docstring is a promise that a notebook leads there, and the other way round."""
    cited = set()
    for path in ENGLISH:
        cited |= set(re.findall(r"DOC: ([\w-]+\w)", prose(nbformat.read(path, as_version=4))))
    assert cited == anchors_in_source()


def test_links_lead_to_files() -> None:
    """Relative links of README, CONTRIBUTING and the notebooks resolve."""
    texts = {path: path.read_text() for path in ROOT.glob("*.md")}
    texts |= {path: prose(nbformat.read(path, as_version=4)) for path in ALL}
    for path, text in texts.items():
        for link in re.findall(r"\]\(([^)#\s]+)\)", text):
            if "://" not in link:
                assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_named_functions_exist_where_the_notebook_says(notebook: Any) -> None:
    """A row "what you saw | `file` `function` | ..." names a file of ours and a function in it."""
    rows = re.findall(r"^\|[^|]*\|([^|]*DOC:[^|]*)\|", prose(notebook), re.MULTILINE)
    assert rows
    for row in rows:
        files = re.findall(r"`([\w/]+\.py)`", row)
        sources = "".join((ROOT / "skynet_lite" / file).read_text() for file in files)
        for name in re.findall(r"`([\w.]+)` \(DOC", row):
            assert re.search(rf"(def|class) {name.split('.')[-1]}\b|^{name} = ", sources, re.MULTILINE), name
