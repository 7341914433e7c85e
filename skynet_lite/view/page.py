"""A trace as one page of its own: the viewer, its data and nothing from anywhere else.

It can be mailed, put on a site, and opened offline; `#step=43` in its address leads
to a step.
"""

from __future__ import annotations

import html
import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .payload import payload

if TYPE_CHECKING:
    from ..trace import Trace
    from ..trace.diff import Diff

_ROWS = 400  # of a comparison that are shown at once

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; padding: 12px; background: #fff; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #0e1013; }} }}
main {{ max-width: 1500px; margin: 0 auto; display: grid; gap: 12px; grid-template-columns: minmax(0, 1fr); }}
noscript, .fallback {{ font: 13px/1.5 system-ui, sans-serif; white-space: pre-wrap; }}
.diff {{ max-width: 1500px; margin: 0 auto 12px; font: 13px/1.5 system-ui, sans-serif; color: CanvasText; }}
.diff p {{ white-space: pre-wrap; margin: 0 0 8px; }}
.diff div {{ max-height: 40vh; overflow: auto; border: 1px solid #8886; border-radius: 8px; }}
.diff table {{ border-collapse: collapse; width: 100%; font: 11.5px/18px ui-monospace, Menlo, Consolas, monospace; }}
.diff td {{ white-space: pre; padding: 0 8px; overflow: hidden; text-overflow: ellipsis; max-width: 46vw; }}
.diff .part {{ background: #e8a02026; }} .diff .here {{ outline: 2px solid #1f6feb; outline-offset: -2px; }}
.diff button {{ all: unset; cursor: pointer; }} .diff button:focus-visible {{ outline: 2px solid #1f6feb; }}
</style>
{compared}<main id="viewers"></main>
<noscript>This page steps through a trace with JavaScript. In words:

{words}</noscript>
<script type="application/json" id="data">{data}</script>
<script type="module">
{script}
const data = JSON.parse(document.getElementById("data").textContent);
const wanted = () => {{ const m = /step=(\\d+)/.exec(location.hash); return m ? +m[1] : undefined; }};
const home = document.getElementById("viewers");
const viewers = [];
data.traces.forEach((trace, k) => {{
  const box = document.createElement("section");
  home.append(box);
  viewers.push(mount(box, trace, {{
    step: k === 0 ? wanted() : undefined,
    link: (n) => location.href.split("#")[0] + "#step=" + n,
    onstep: (n) => {{
      if (k === 0) history.replaceState(null, "", "#step=" + n);
      follow(k, n);
    }},
  }}));
}});
// Two traces side by side: the other one goes to the event that stands in the same row.
function follow(k, n) {{
  const other = viewers[1 - k];
  if (!other || !data.rows) return;
  const row = data.rows.findLast((r) => r[k] !== null && r[k] <= n && r[1 - k] !== null);
  if (row) other.goto(other.nearest(row[1 - k] - other.data.first), true);
}}
document.querySelector(".diff")?.addEventListener("click", (e) => {{
  const row = e.target.closest("tr[data-row]");
  if (!row) return;
  document.querySelector(".diff .here")?.classList.remove("here");
  row.classList.add("here");
  const [i, j] = data.rows[+row.dataset.row];
  if (i !== null) viewers[0].goto(viewers[0].nearest(i - viewers[0].data.first), true);
  if (j !== null) viewers[1].goto(viewers[1].nearest(j - viewers[1].data.first), true);
}});
addEventListener("hashchange", () => {{
  const n = wanted();
  if (n !== undefined) viewers[0].goto(viewers[0].nearest(n - viewers[0].data.first), true);
}});
window.viewers = viewers;
viewers[0]?.root.focus({{preventScroll: true}});
</script>
</html>
"""


@cache
def script() -> str:
    """The front end."""
    return (Path(__file__).parent / "viewer.js").read_text(encoding="utf-8")


def page(
    trace: Trace, *, beside: Trace | None = None, diff: Diff | None = None, title: str | None = None, **options: Any
) -> str:
    """The page as text; options as in `payload`.

    `beside`: a second trace, compared with the first (`diff`, if that was done already); it
    goes along step by step.
    """
    traces = [payload(trace, title=title, **options)]
    rows, compared = None, ""
    if beside is not None:
        traces.append(payload(beside, **options))
        diff = diff or trace.diff(beside)
        rows = [[i, j] for i, j, _ in diff.rows]
        compared = _compared(diff)
    data = json.dumps({"traces": traces, "rows": rows}, ensure_ascii=True, separators=(",", ":"))
    return _PAGE.format(
        title=html.escape(traces[0]["title"] or "a trace"),
        words=html.escape(trace.describe(limit=200)),
        # `</script>` in a string of the program must not end the element it stands in.
        compared=compared,
        data=data.replace("<", "\\u003c"),
        script=script().replace("</script", "<\\/script"),
    )


def _compared(diff: Diff) -> str:
    """The aligned rows of two runs, each a way to its events."""
    shown, more = diff.folded(limit=_ROWS)
    lines = []
    for left, mark, right, k in shown:
        style = ' class="part"' if mark in "|<>" else ""
        if k is not None:
            left = f'<button aria-label="Go to row {k}">{html.escape(left) or " "}</button>'
            style += f' data-row="{k}"'
        else:
            left = html.escape(left)
        lines.append(f"<tr{style}><td>{left}</td><td>{html.escape(mark)}</td><td>{html.escape(right)}</td></tr>")
    rest = f"<p>… {more} more rows</p>" if more else ""
    return (
        f'<section class="diff" aria-label="Two runs compared"><p>{html.escape(diff.summary())}</p>'
        f"<div><table>{''.join(lines)}</table></div>{rest}</section>"
    )


def write(trace: Trace, path: str | os.PathLike[str], **options: Any) -> None:
    """Write the page into a file. Raises OSError, and ValueError as `payload` does."""
    Path(path).write_text(page(trace, **options), encoding="utf-8")
