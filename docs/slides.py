"""A talk from the stored notebooks 00 and 06, in both languages: `python docs/slides.py build/slides`.

One idea: a slide carries what is looked at, its speaker says the rest. The notebooks say what a slide is
(notebooks/assemble.py); here the prose below a heading's first paragraph goes to the notes of the speaker (key s),
and reveal.js is copied beside the pages, so that a talk needs no network.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import sphinx_revealjs  # brings reveal.js
from nbconvert import SlidesExporter

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
TALKS = ("00_tour", "06_the_film")
REVEAL = Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs"
PARTS = ("LICENSE", "dist/reveal.css", "dist/reveal.js", "dist/theme", "plugin/notes")
LINK = re.compile(r"\[([^\]]+)\]\((?!http)[^)]*\)")  # to another notebook: a talk stands alone
STYLE = """
.reveal .slides section {text-align: left; padding: 0}
.reveal .slides :is(h1, h2, h3) {text-transform: none !important; margin: 0 0 18px !important}
.reveal .slides h1 {font-size: 44px !important}
.reveal .slides :is(h2, h3) {font-size: 34px !important}
.reveal .jp-RenderedHTMLCommon {font-size: 24px; line-height: 1.45; color: #1c2128}
.reveal .jp-RenderedHTMLCommon table {font-size: 19px}
.reveal pre, .reveal .jp-InputArea pre {font-size: 16px; line-height: 1.3; box-shadow: none; width: auto; margin: 0;
  white-space: pre-wrap !important}
.reveal .slides section section {max-height: 700px; overflow-y: auto !important}
.reveal .jp-OutputArea img, .reveal .jp-OutputArea svg {max-height: 590px !important; max-width: 920px; width: auto;
  height: auto; margin: 0 auto}
.reveal .jp-InputPrompt, .reveal .jp-OutputPrompt {display: none}
"""
TEMPLATE = (
    """{% extends "reveal/index.html.j2" %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_css %}<style>"""
    + STYLE
    + """</style>{% endblock %}
{% block footer_js %}
<script src="reveal/dist/reveal.js"></script>
<script src="reveal/plugin/notes/notes.js"></script>
<script>Reveal.initialize({width: 960, height: 700, margin: 0.03, hash: true, slideNumber: true, center: false,
  transition: "none", plugins: [RevealNotes]});</script>
{% endblock %}
"""
)


def spoken(notebook: Any) -> Any:
    """A copy whose prose is parted: headings with their leads, and questions, are shown; the speaker has the rest."""
    made = nbformat.from_dict(notebook)
    cells: list[Any] = []
    for cell in made.cells:
        cells.append(cell)
        cell.source = LINK.sub(r"\1", cell.source)
        if cell.cell_type == "markdown" and cell.metadata.slideshow.slide_type in ("slide", "subslide"):
            parts = cell.source.split("\n\n")
            shown = _lead(parts) if parts[0].startswith("#") else _question(parts)
            cell.source = "\n\n".join(part for part in parts if part in shown)
            if rest := "\n\n".join(part for part in parts if part not in shown):
                notes = nbformat.v4.new_markdown_cell(rest, metadata={"slideshow": {"slide_type": "notes"}})
                cells.append(notes)
    made.cells = cells
    return made


def _lead(parts: list[str]) -> list[str]:
    end = next((n for n, part in enumerate(parts) if n and not re.match(r"\*\w", part)), 0)
    while end + 1 < len(parts) and parts[end + 1].startswith(("```", "* ")):
        end += 1
    return parts[: end + 1] + (_question(parts) if "<details>" in "".join(parts) else [])


def _question(parts: list[str]) -> list[str]:
    return parts[next((n for n, part in enumerate(parts) if part.startswith("**")), 0) :]


def write(out: Path) -> list[Path]:
    """The pages of all talks in folder `out`, with reveal.js beside them."""
    for part in PARTS:
        source, target = REVEAL / part, out / "reveal" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    pages = []
    for lang, folder in (("en", NOTEBOOKS), ("zh", NOTEBOOKS / "zh")):
        for name in TALKS:
            exporter = SlidesExporter(
                raw_template=TEMPLATE,
                reveal_url_prefix="reveal",
                reveal_theme="white",
                language_code=lang,
                exclude_anchor_links=True,
            )
            notebook = spoken(nbformat.read(folder / f"{name}.ipynb", as_version=4))
            page = out / f"{name}{'' if lang == 'en' else '.zh'}.html"
            page.write_text(exporter.from_notebook_node(notebook, {"metadata": {"name": name}})[0], encoding="utf-8")
            pages.append(page)
    return pages


if __name__ == "__main__":
    for page in write(Path(sys.argv[1])):
        print(page)
