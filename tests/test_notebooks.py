"""The notebooks as they are stored: run, whole, readable, and true to the code they cite.

nbval compares text and streams. It never looks at a picture, and it passes a cell that
was never run: these tests do what it does not.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from matplotlib import image

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(request.param, as_version=4)


def prose(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_there_are_notebooks_and_all_in_one_folder() -> None:
    """The glob of the README's command finds every notebook there is."""
    assert NOTEBOOKS
    assert NOTEBOOKS == sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_every_cell_was_run_and_none_failed(notebook: Any) -> None:
    """In order, from the first to the last."""
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "error"]


def test_pictures_show_something(notebook: Any) -> None:
    """Each decodes, is large enough to be read, and is not blank."""
    pictures = [
        output["data"]["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures
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
            assert not re.search(r"/(home|tmp|usr|root)/|0x[0-9a-f]{6,}|127\.0\.0\.1:[1-9]", text), text


def test_cells_are_short(notebook: Any) -> None:
    """A reader keeps a cell in view while reading what it does."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 16, cell.source


def anchors_in_source() -> set[str]:
    found = set()
    for path in (ROOT / "skynet_lite").rglob("*.py"):
        found |= set(re.findall(r"DOC: ([\w-]+\w)", path.read_text()))
    return found


def test_every_anchor_exists_and_is_cited() -> None:
    """`DOC: name` in a docstring is a promise that a notebook leads there, and the other way round."""
    cited = set()
    for path in NOTEBOOKS:
        cited |= set(re.findall(r"DOC: ([\w-]+\w)", prose(nbformat.read(path, as_version=4))))
    assert cited == anchors_in_source()


def test_links_lead_to_files() -> None:
    """Relative links of README, CONTRIBUTING and the notebooks resolve."""
    texts = {path: path.read_text() for path in ROOT.glob("*.md")}
    texts |= {path: prose(nbformat.read(path, as_version=4)) for path in NOTEBOOKS}
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
