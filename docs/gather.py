"""What the site is made of besides the pages that stand here: brought together at the begin of a build.

One idea: nothing is written twice. The course is the stored notebooks, the project's
own pages are those of the repository, the glossary is the tables at the end of the
notebooks. They are copied, and only their links change: what leads to a file of the
repository leads to its page here, or to the file itself. A stored stepper, which is
only a picture without a kernel, becomes a viewer again.
"""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import configuration
import nbformat
import skynet_api

from skynet_lite.course.learn import INDEX, files, numbered
from skynet_lite.view.page import standalone
from skynet_lite.view.payload import unpack

PROJECT = {
    "README.md": ("project/readme.md", "README"), "README.zh.md": ("project/readme.zh.md", "README 中文"),
    "CONTRIBUTING.md": ("project/contributing.md", "Contributing"),
    "CHANGELOG.md": ("project/changelog.md", "Changelog"),
}  # fmt: skip
CHINESE = "zh"
GLOSSARY = re.compile(r"^\| (?:term \| meaning|术语 \| 含义) \|\n\|[ :|-]+\|\n((?:\|.*\n?)+)", re.MULTILINE)
STEPPER = {
    "en": ("Click into it; then ← → step, Home and End jump, n follows the coroutine, / searches, t asks who is next.",
           "On a page of its own", "As a picture"),
    "zh": ("先点进去，再用 ← → 单步，Home、End 跳到两端，n 跟随同一协程，/ 搜索，t 出题：接下来恢复谁。",
           "单独一页", "图片"),
}  # fmt: skip
SOLUTION = {"en": ("Show the solution", "Hide the solution"), "zh": ("显示解答", "隐藏解答")}


def gather(root: Path, docs: Path) -> None:
    """Make the generated pages of `docs` from the repository at `root`; what is stale there goes."""
    Gathering(root, docs).run()


class Gathering:
    def __init__(self, root: Path, docs: Path) -> None:
        self.root, self.docs = root, docs
        self.modules = {
            module
            for page in (docs / "api").glob("*.md")
            for module in re.findall(r"automodule:: ([\w.]+)", page.read_text(encoding="utf-8"))
        }
        self.written: set[Path] = set()

    def run(self) -> None:
        notebooks = self.root / "notebooks"
        for file in files(notebooks):
            name = file.relative_to(notebooks)
            if file.suffix == ".ipynb":
                self._write(Path("course") / name, self.notebook(file, name))
            else:
                self._write(Path("course") / name, file.read_bytes())
        for folder, title in ((notebooks, "The course"), (notebooks / CHINESE, "课程")):
            if numbered(folder) and not (folder / INDEX).exists():
                page = Path("course") / folder.relative_to(notebooks) / "index.md"
                self._write(page, f"# {title}\n\n{self.toctree(folder)}")
        entries = []
        for source, (page, title) in PROJECT.items():
            if (self.root / source).exists():
                text = (self.root / source).read_text(encoding="utf-8")
                self._write(Path(page), self.relinked(text, self.root, Path(page).parent))
                entries.append(f"{title} </{Path(page).with_suffix('')}>")
        self._write(Path("project/index.md"), "# The project\n\n```{toctree}\n" + "\n".join(entries) + "\n```\n")
        self._write(Path("glossary.md"), glossary(notebooks))
        if (self.docs / "skynet_api.toml").exists():
            self._write(Path("skynet_api.md"), skynet_api.page(skynet_api.load(self.docs)))
            self._write(Path("configuration.md"), configuration.page())
        for folder in ("course", "project", "viewers"):
            for file in (self.docs / folder).rglob("*"):
                if file.is_file() and file not in self.written:
                    file.unlink()

    def _write(self, page: Path, content: str | bytes) -> None:
        """Only if it has changed: Sphinx builds anew what is newer."""
        file, data = self.docs / page, content if isinstance(content, bytes) else content.encode()
        self.written.add(file)
        if not file.exists() or file.read_bytes() != data:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    # ---- notebooks

    def notebook(self, file: Path, name: Path) -> str:
        notebook = nbformat.read(file, as_version=4)
        page = Path("course") / name
        steppers = 0
        shown, hidden = SOLUTION["zh" if CHINESE in name.parts else "en"]
        for cell in notebook.cells:
            if "solution" in cell.metadata.get("tags", []):  # folded with its output, which would give it away
                cell.metadata["tags"] = ["hide-cell"]
                cell.metadata["mystnb"] = {"code_prompt_show": shown, "code_prompt_hide": hidden}
            if cell.cell_type == "markdown":
                cell.source = self.relinked(cell.source, file.parent, page.parent)
            for output in cell.get("outputs", ()):
                kept = output.get("metadata", {}).get("skynet_lite")
                if kept is not None:
                    steppers += 1
                    self._stepper(output, kept, page, steppers)
                alt = output.get("metadata", {}).get("image/png", {}).get("alt")
                if alt and "image/png" in output.data:
                    cell.metadata.setdefault("mystnb", {})["image"] = {"alt": alt}
        if name.name == INDEX:
            notebook.cells.append(nbformat.v4.new_markdown_cell(self.toctree(file.parent, hidden=True)))
        text: str = nbformat.writes(notebook)
        return text

    def toctree(self, folder: Path, hidden: bool = False) -> str:
        """The notebooks of a folder, in order; below the English ones the Chinese ones."""
        entries = [path.stem for path in numbered(folder)]
        if numbered(folder / CHINESE):
            entries.append(f"{CHINESE}/index")
        options = ":hidden:\n" if hidden else ""
        return "```{toctree}\n" + options + "\n" + "\n".join(entries) + "\n```\n"

    def _stepper(self, output: Any, kept: dict[str, Any], page: Path, n: int) -> None:
        """Make a viewer of the data that a stored stepper has kept, and show it in place of the picture."""
        lang = "zh" if CHINESE in page.parts else "en"
        stem = "-".join(page.relative_to("course").with_suffix("").parts) + f"-{n}"
        data = unpack(kept["stepper"])
        self._write(Path("viewers/steppers") / f"{stem}.html", standalone(data))
        up = os.path.relpath("steppers", page.parent)
        hint, alone, picture = STEPPER[lang]
        links = [f'<a href="{up}/{stem}.html#step={kept["step"]}">{alone}</a>']
        if "image/png" in output.data:
            self._write(Path("viewers/steppers") / f"{stem}.png", base64.b64decode(output.data["image/png"]))
            links.append(f'<a href="{up}/{stem}.png">{picture}</a>')
        title = html.escape(data["title"] or output.data["text/plain"], quote=True)
        frame = f'<iframe src="{up}/{stem}.html#step={kept["step"]}" title="{title}" loading="lazy"></iframe>'
        caption = f"<figcaption>{hint} {' · '.join(links)}</figcaption>"
        output.data = nbformat.from_dict({"text/html": f'<figure class="stepper">{frame}{caption}</figure>'})
        output.metadata = nbformat.from_dict({})

    # ---- links

    def relinked(self, text: str, home: Path, at: Path) -> str:
        """Markdown that stood in the folder `home` of the repository, for the folder `at` of the site."""
        parts = re.split(r"(^```.*?^```|`[^`\n]*`(?!\]))", text, flags=re.MULTILINE | re.DOTALL)
        return "".join(part if k % 2 else self._relinked(part, home, at) for k, part in enumerate(parts))

    def _relinked(self, text: str, home: Path, at: Path) -> str:
        def target(link: str) -> Path | None:
            """The file of the repository that a link leads to."""
            if re.match(r"[a-z]+:|#|/", link) or not link:
                return None
            path = Path(os.path.normpath(home / link.partition("#")[0]))
            return path.relative_to(self.root) if path.is_relative_to(self.root) else None

        def module(m: re.Match[str]) -> str:
            """A link to a file of ours that has a page here."""
            path = target(m[2])
            name = ".".join(path.with_suffix("").parts).removesuffix(".__init__") if path is not None else ""
            if name not in self.modules:
                return m[0] if path is None or not (self.root / path).is_dir() else m[1]
            return f"{{py:mod}}`{m[1].strip('`')} <{name}>`"

        def other(m: re.Match[str]) -> str:
            link, path = m[1], target(m[1])
            if path is None:
                return m[0]
            anchor = link[link.index("#") :] if "#" in link else ""
            return f"]({os.path.relpath(self._home(path), at)}{anchor})"

        text = re.sub(r"(?<!!)\[([^\[\]]*)\]\(([^)\s]*skynet_lite/[^)\s]*)\)", module, text)
        return re.sub(r"\]\(([^)\s]+)\)", other, text)

    def _home(self, path: Path) -> Path:
        """Where a file of the repository is found from the folder of the sources."""
        if path.as_posix() in PROJECT:
            return Path(PROJECT[path.as_posix()][0])
        if path.parts[:1] == ("notebooks",):
            return Path("course", *path.parts[1:])
        if path.parts[:1] == ("docs",):
            return Path(*path.parts[1:])
        return Path(os.path.relpath(self.root / path, self.docs))


# --------------------------------------------------------------------------- the glossary


def glossary(notebooks: Path) -> str:
    """The tables of terms at the ends of the notebooks, as one page in both languages: each term with its notebooks.

    Row by row, the Chinese table of a notebook says the terms of the English one.
    """
    terms: dict[str, dict[str, Any]] = {}
    for path in numbered(notebooks):
        notebook, twin = nbformat.read(path, as_version=4), notebooks / CHINESE / path.name
        title = re.match(r"# (.+)", notebook.cells[0].source)
        number = path.name[:2] if title is None else title[1].partition(" ")[0]
        rows = _rows(notebook)
        theirs = _rows(nbformat.read(twin, as_version=4)) if twin.exists() else [("", "")] * len(rows)
        if len(theirs) != len(rows):
            raise ValueError(f"{path.name} has {len(rows)} terms, its Chinese rendering {len(theirs)}")
        for (english, meaning), (chinese, said) in zip(rows, theirs, strict=True):
            entry = terms.setdefault(english, {"zh": [], "meaning": [meaning], "said": said, "links": []})
            if chinese and chinese not in entry["zh"]:
                entry["zh"].append(chinese)
            entry["links"].append(f"[{number}](course/{path.name})")
    if not terms:
        return "# Terms\n\nNo notebook has a table of terms.\n"
    entries = "\n\n".join(_entry(term, terms[term]) for term in sorted(terms, key=str.casefold))
    # gb18030 has the common characters in the order of their sounds.
    by_chinese = sorted({(zh, term) for term in terms for zh in terms[term]["zh"]}, key=_sound)
    rows_zh = "\n".join(f"| {zh} | {{term}}`{_plain(term)}` |" for zh, term in by_chinese)
    return (
        "# Terms · 术语\n\nThe terms of the course in both languages, from the tables at the ends of its notebooks.\n\n"
        f"````{{glossary}}\n{entries}\n````\n\n## 中文 → English\n\n| 中文 | term |\n| --- | --- |\n{rows_zh}\n"
    )


def _rows(notebook: Any) -> list[list[str]]:
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return [
        [field.strip() for field in re.split(r"(?<!\\)\|", row.strip()[1:-1])]
        for table in GLOSSARY.findall(text)
        for row in table.strip().splitlines()
    ]


def _entry(term: str, entry: dict[str, Any]) -> str:
    said = [*entry["meaning"], *([f"**{'、'.join(entry['zh'])}**：{entry['said']}"] if entry["zh"] else [])]
    lines = [*said, ", ".join(entry["links"])]
    return f"{_plain(term)}\n" + "\n\n".join(f"  {line}" for line in lines)


def _plain(term: str) -> str:
    return term.replace("`", "").replace("*", "")


_sound: Callable[[tuple[str, str]], bytes] = lambda item: item[0].encode("gb18030")  # noqa: E731
