"""Run all notebooks and store their outputs, so that the same code always gives the same file.

    python notebooks/regenerate.py           writes
    python notebooks/regenerate.py --check   writes nothing, exit status 1 if an output would change

Pictures are stored, but not compared: their bytes depend on fonts and builds. What
they show is printed beside them, and that is compared.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
PICTURES = ("image/png", "image/svg+xml")


def run(path: Path) -> Any:
    """The notebook with fresh, normalised outputs."""
    notebook = nbformat.read(path, as_version=4)
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    return normalise(notebook)


def normalise(notebook: Any) -> Any:
    """Leave out what differs from run to run: timing, ids, how a stream was cut into pieces."""
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    )
    count = 0
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:02}"
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
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


def comparable(notebook: Any) -> list[str]:
    """The notebook as lines, with pictures reduced to the fact that they are there."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind in PICTURES:
                if kind in output.get("data", {}):
                    output["data"][kind] = "(a picture)"
    return nbformat.writes(notebook).splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if an output would change")
    check = parser.parse_args().check
    stale = 0
    for path in sorted(FOLDER.glob("*.ipynb")):
        stored = nbformat.read(path, as_version=4)
        fresh = run(path)
        if not check:
            path.write_text(nbformat.writes(fresh) + "\n", encoding="utf-8")
            print(f"{path.name}: written")
            continue
        difference = list(
            difflib.unified_diff(comparable(stored), comparable(fresh), "stored", "fresh", lineterm="", n=1)
        )
        print(f"{path.name}: {'differs' if difference else 'is as its code makes it'}")
        if difference:
            stale += 1
            print("\n".join(difference[:40]))
    if stale:
        print(
            f"{stale} stored with other outputs: run `python notebooks/regenerate.py`, read the difference, commit it"
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
