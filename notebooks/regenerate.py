"""Make the course: run all notebooks, and generate what stands around them.

    python notebooks/regenerate.py             writes outputs, navigation, index and map, the Chinese course
    python notebooks/regenerate.py 05 zh/05    only these are run; what is generated is made for all
    python notebooks/regenerate.py --check     writes nothing, exit status 1 if something would change
    python notebooks/regenerate.py --check --stored   the same of what is generated; strict nbval compares outputs
    python notebooks/regenerate.py --stamp 05  the Chinese prose of 05 renders the English as it is now

The same code always gives the same file. Pictures are stored, but not compared: their
bytes depend on fonts and builds. What they show is printed beside them, and that is
compared. Copies for students are made from the result in memory, and checked: no
solution is left in them. (`skynet-lite learn --student DIR` writes them.)
"""

from __future__ import annotations

import argparse
import difflib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from assemble import (
    CHINESE,
    FOLDER,
    TALKS,
    about,
    boxes,
    course,
    fold,
    in_chinese,
    index,
    map_svg,
    navigate,
    navigation,
    slides,
    stamp,
)
from nbclient import NotebookClient

PICTURES = ("image/png", "image/svg+xml")
KEPT = ("tags", "renders", "jupyter", "slideshow")
INDEX = "index.ipynb"
KERNELS = 2
"""Notebooks that are run side by side; each has a process of its own."""


def run(path: Path, notebook: Any) -> Any:
    """The notebook with fresh, normalised outputs. `path`: where it will stand."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    if any(cell.cell_type == "code" for cell in notebook.cells):
        resources = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    return normalise(notebook)


def normalise(notebook: Any) -> Any:
    """Leave out what differs from run to run: timing, ids, how a stream was cut into pieces."""
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    )
    count = 0
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:02}"
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT and v})
        if "solution" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"source_hidden": True, "outputs_hidden": True}  # myst-nb knows the tag
            cell.metadata["tags"] = sorted({*cell.metadata["tags"], "hide-input"})
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        outputs: list[Any] = []
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            if (
                outputs
                and output.output_type == "stream" == outputs[-1].output_type
                and outputs[-1].name == output.name
            ):
                outputs[-1].text += output.text
            else:
                outputs.append(output)
            if "data" in output:
                # A widget is not there any more when the notebook is read: its picture is.
                output.data.pop("application/vnd.jupyter.widget-view+json", None)
                output.metadata = nbformat.from_dict(
                    {k: v for k, v in output.metadata.items() if k != "needs_background"}
                )
        cell.outputs = outputs
    return notebook


def comparable(text: str) -> list[str]:
    """A stored file as lines, with pictures reduced to the fact that they are there."""
    if not text.startswith("{"):
        return text.splitlines()
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind in PICTURES:
                if kind in output.get("data", {}):
                    output["data"][kind] = "(a picture)"
            output.get("metadata", {}).pop("skynet_lite", None)  # the data of a stepper, packed: the same story
    return nbformat.writes(notebook).splitlines()


def assembled() -> tuple[dict[Path, Any], dict[Path, str], list[str]]:
    """Notebooks before they are run, other files, and what is wrong (stale Chinese, missing front matter)."""
    notebooks: dict[Path, Any] = {}
    files: dict[Path, str] = {}
    wrong: list[str] = []
    english = {path.name: nbformat.read(path, as_version=4) for path in course(FOLDER)}
    for notebook in english.values():
        fold(notebook)
    shown = boxes(english)
    for lang, folder in (("en", FOLDER), ("zh", CHINESE)):
        names = course(folder)
        ready: dict[Path, Any] = {}
        for path in names:
            notebook = nbformat.read(path, as_version=4)
            if lang == "zh":
                if path.name not in english:
                    wrong.append(f"zh/{path.name}: there is no English notebook of that name")
                    continue
                notebook, stale = in_chinese(english[path.name], notebook)
                wrong += [f"zh/{path.name}: does not render the English any more: {line}" for line in stale]
            else:
                notebook = english[path.name]
            ready[path] = notebook
        abouts = [about(path, notebook) for path, notebook in ready.items()]
        titles = {a.path.name: a.title for a in abouts}
        for path, notebook in ready.items():
            try:
                navigate(notebook, navigation(path, list(ready), titles, lang), lang, shown)
            except ValueError as e:
                wrong.append(f"{path.relative_to(FOLDER)}: {e}")
            if path.name[:2] in TALKS:
                slides(notebook)
            notebooks[path] = notebook
        if abouts:
            preface = nbformat.read(folder / INDEX, as_version=4).cells[0].source
            notebooks[folder / INDEX] = index(abouts, lang, preface)
            files[FOLDER / "images" / f"map.{lang}.svg"] = map_svg(abouts, lang)
    return notebooks, files, wrong


def text_of(notebook: Any) -> str:
    text: str = nbformat.writes(notebook)
    return text + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    parser.add_argument(
        "--stamp", action="store_true", help="the Chinese prose of these was reviewed: store new hashes"
    )
    parser.add_argument("--stored", action="store_true", help="run none, take the outputs that are stored")
    parser.add_argument("only", nargs="*", help="run these notebooks only: 05, zh/05")
    options = parser.parse_args()

    def chosen(path: Path) -> bool:
        name = path.relative_to(FOLDER).as_posix()
        return not options.stored and (not options.only or any(name.startswith(wanted) for wanted in options.only))

    if options.stamp:
        for path in course(CHINESE):
            if any(path.name.startswith(wanted) for wanted in options.only):
                chinese = nbformat.read(path, as_version=4)
                stamp(nbformat.read(FOLDER / path.name, as_version=4), chinese)
                path.write_text(text_of(chinese), encoding="utf-8")
        return 0

    notebooks, files, wrong = assembled()
    seconds: dict[Path, float] = {}

    def make(item: tuple[Path, Any]) -> tuple[Path, str]:
        path, notebook = item
        if not chosen(path):
            old = nbformat.read(path, as_version=4)  # its outputs stay, what is generated is made anew
            outputs = iter([c for c in old.cells if c.cell_type == "code"])
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs = next(outputs, {}).get("outputs", [])
            notebook.metadata = old.metadata
            return path, text_of(normalise(notebook))
        begin = time.monotonic()
        made = text_of(run(path, notebook))
        seconds[path] = time.monotonic() - begin
        return path, made

    with ThreadPoolExecutor(KERNELS) as pool:
        files |= dict(pool.map(make, notebooks.items()))
    for path, text in files.items():
        name = path.relative_to(FOLDER).as_posix()
        stored = path.read_text(encoding="utf-8") if path.exists() else ""
        took = f"   {seconds[path]:.1f} s" if path in seconds and not options.check else ""
        if not options.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{name}: written{took}")
            continue
        changes = difflib.unified_diff(comparable(stored), comparable(text), "stored", "fresh", lineterm="", n=1)
        difference = list(changes)
        print(f"{name}: {'differs' if difference else 'is as its code makes it'}")
        if difference:
            wrong.append(f"{name}: run `python notebooks/regenerate.py`, read the difference, commit it")
            print("\n".join(difference[:40]))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
