"""The cheat sheet, a page to print in each language: `python docs/cheatsheet.py` (needs Chromium).

One idea: the map of a node, and beside it what the map cannot say. The words are in cheatsheet.toml; each PDF
carries the digest of the page that it was printed from, so that a test sees which one is old.
"""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path
from typing import Any

from skynet_lite.lab import where

from skynet_lite.trace.language import speaking

HERE = Path(__file__).parent
FILES = {"en": HERE / "images" / "cheatsheet.pdf", "zh": HERE / "images" / "cheatsheet.zh.pdf"}
STYLE = """
@page {size: A4 landscape; margin: 0}
* {box-sizing: border-box}
body {margin: 0; width: 1122px; height: 793px; padding: 22px 26px; color: #1c2128;
  font: 10.4px/1.36 system-ui, "Segoe UI", "DejaVu Sans", "Noto Sans CJK SC", sans-serif}
main {display: grid; grid-template-columns: 528px 1fr; gap: 20px}
h1 {font-size: 21px; margin: 0}
header p {margin: 2px 0 10px; font-size: 11px; color: #5d6672}
h2 {font-size: 12.5px; margin: 0 0 4px; color: #315f92}
section {margin-bottom: 10px}
svg {width: 528px; height: auto; display: block; margin-bottom: 8px}
table {border-collapse: collapse; width: 100%}
th {text-align: left; font-weight: 600; color: #5d6672; border-bottom: 1px solid #c4cad1; padding: 1px 5px 1px 0}
td {vertical-align: top; border-bottom: 1px solid #e6e9ed; padding: 2px 6px 2px 0}
td:first-child, code {font-family: ui-monospace, "DejaVu Sans Mono", "Noto Sans CJK SC", monospace; font-size: 9.5px;
  white-space: nowrap}
ol {margin: 0; padding-left: 17px}
.remember {background: #fff3d1; border-left: 4px solid #a86400; padding: 5px 9px; font-size: 12px; margin: 0}
html[lang=zh] body {font-size: 11.4px}
"""


def page(lang: str) -> str:
    """The sheet in "en" or "zh", as HTML."""
    words = tomllib.loads((HERE / "cheatsheet.toml").read_text(encoding="utf-8"))
    with speaking(lang):
        picture = where().svg

    def table(one: dict[str, Any]) -> str:
        rows = ["".join(f"<th>{cell}</th>" for cell in one["head"][lang])]
        for row in one["rows"]:
            said = [cell if isinstance(cell, str) else cell[lang == "zh"] for cell in row]
            rows.append("".join(f"<td>{cell}</td>" for cell in said))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<section><h2>{one['title'][lang]}</h2><table>{body}</table></section>"

    steps = "".join(f"<li>{step}</li>" for step in words["steps"][lang])
    body = (
        f"<header><h1>{words['title'][lang]}</h1><p>{words['subtitle'][lang]}</p></header><main><div>{picture}"
        f"<section><h2>{words['steps']['title'][lang]}</h2><ol>{steps}</ol></section>"
        f"<p class=remember>{words['remember'][lang]}</p></div>"
        f"<div>{''.join(map(table, words['tables']))}</div></main>"
    )
    edition = hashlib.sha256((STYLE + body).encode()).hexdigest()[:12]
    head = f"<meta charset=utf-8><title>skynet_lite cheat sheet, edition {edition}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang={lang}><head>{head}</head><body>{body}</body></html>"


def main() -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for lang, path in FILES.items():
            sheet = browser.new_page()
            sheet.set_content(page(lang))
            sheet.pdf(path=path, format="A4", landscape=True, print_background=True, prefer_css_page_size=True)
            print(path)
        browser.close()


if __name__ == "__main__":
    main()
