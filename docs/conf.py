"""The site: `sphinx-build -W --keep-going docs build/site`. No network, and no notebook is run."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import slides  # noqa: E402
from gather import gather  # noqa: E402
from sphinx.search.en import SearchEnglish  # noqa: E402

import skynet_lite  # noqa: E402

gather(HERE.parent, HERE)
slides.write(HERE / "viewers" / "slides")
CHINESE = re.compile(r"[\u4e00-\u9fff]{2}")

project = "skynet_lite"
author = "the skynet_lite authors"
release = version = skynet_lite.__version__
html_title = f"skynet_lite {release}"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["viewers"]
nitpicky = False

nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 3
suppress_warnings = [
    "myst.header"
]  # of performance.md, a part of which is made; the notebooks have a test of their own
myst_enable_extensions = ["deflist"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True

viewcode_follow_imported_members = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["search.js"]
html_search_language = "both"
html_extra_path = ["viewers"]
html_copy_source = False
html_show_copyright = False
html_theme_options: dict[str, Any] = {"top_of_page_buttons": []}


class SearchBoth(SearchEnglish):
    """English words, and Chinese by pairs of characters: Chinese has no blanks, so a sentence would be one word."""

    lang = "both"
    js_splitter_code = """
var splitQuery = (query) =>
  (query.match(/[\\u4e00-\\u9fff]+|(?:(?![\\u4e00-\\u9fff])[\\p{L}\\p{N}_])+/gu) || []).flatMap((run) =>
    /^[\\u4e00-\\u9fff]{2}/.test(run) ? [...run].slice(1).map((c, i) => run[i] + c) : [run]);
"""

    def split(self, input: str) -> list[str]:
        runs = re.findall(r"[\u4e00-\u9fff]+|[^\W\u4e00-\u9fff]+", input)
        return [part for run in runs for part in (map("".join, pairwise(run)) if CHINESE.match(run) else [run])]


def docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code` in it: as reStructuredText, nothing else of them is markup.

    An indented paragraph is a piece of code, or a table in columns; its lines stay as they are.
    """
    text = re.sub(r"^( +\d)  (?=\S)", r"\1. ", "\n".join(lines), flags=re.MULTILINE)  # steps that are numbered
    found = []
    for block in text.split("\n\n"):
        if all(line.startswith("    ") for line in block.splitlines()) and not re.match(r" +(\d\.|[-*]) ", block):
            found.append(f"::\n\n{block}" if block.strip() else block)
            continue
        parts = re.split(r"(`[^`\n]+`)", block)
        for k, part in enumerate(parts):
            parts[k] = f"`{part}`" if k % 2 else re.sub(r"([*|\\])|(?<=\w)_(?!\w)", r"\\\g<0>", part)
        found.append("".join(parts))
    lines[:] = "\n\n".join(found).splitlines()


def tongue(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Screen readers and browsers are told which pages are Chinese."""
    if pagename.startswith("course/zh/") or pagename == "project/readme.zh":
        context["language"] = "zh"


def setup(app: Any) -> None:
    app.add_search_language(SearchBoth)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("html-page-context", tongue)
