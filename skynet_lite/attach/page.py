"""The look as one page: what is wrong, who waits for whom, and the tables, with nothing from anywhere else."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from ..lualib.console import fields, rows
from ..top.answers import Service, of_runtime
from ..trace.waits import Waits
from .look import Look

_DRAWN, _ROWS = 40, 500  # waits in the picture; waits, and stacks, in the page
_SILENT = ' class="bad"'


def page(look: Look, title: str) -> str:
    """The page as text. The picture wants matplotlib; without it the table says the same."""
    parts = [
        f"<h1>{escape(title)}</h1><p>{escape(look.node)}, {len(look.services)} services</p>",
        _list(look.findings, "findings") or f"<p>{escape(look.nothing())}</p>",
        f'<p class="bad">{escape(look.lost)}: what follows is what came before</p>' if look.lost else "",
        "<h2>Who waits for whom</h2>" + _picture(look.waits) + _waits(look),
        "<h2>Services</h2>" + _services(look.services),
        "<h2>Where coroutines are parked</h2>" + _stacks(look),
        "<h2>Sockets</h2>" + _rows(look.sockets),
        "<h2>Unique services</h2>" + _rows(look.unique),
        "<h2>What info functions say</h2>" + "".join(
            f"<h3>{escape(look.waits.named(address))}</h3>{_rows(lines)}" for address, lines in look.info.items()
        ),
        "<h2>Not known</h2>" + _list([f"{command}: {why}" for command, why in look.missing.items()], "missing"),
    ]  # fmt: skip
    shown = "\n".join(part for part in parts if not part.endswith("</h2>"))
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return template.replace("@title@", escape(title)).replace("@body@", shown)


def _list(lines: Iterable[str], name: str) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="{name}">{items}</ul>' if items else ""


def _table(heads: Iterable[str], body: Iterable[tuple[str, Iterable[object]]]) -> str:
    """`body`: the attributes of each row, and its cells."""
    titles = "".join(f"<th>{head}</th>" for head in heads)
    lines = (f"<tr{style}>" + "".join(f"<td>{escape(str(c))}</td>" for c in cells) + "</tr>" for style, cells in body)
    return f"<div><table><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _rows(lines: Iterable[str]) -> str:
    """An answer of the console as it is; a row of many fields has a column for each."""
    found = [(key, value, fields(value) if "\t" in value else {}) for key, value in rows(lines)]
    heads = sorted({name for *_, named in found for name in named})
    if heads:
        return _table(heads, (("", [named.get(head, "") for head in heads]) for *_, named in found))
    return f"<pre>{escape(chr(10).join(lines))}</pre>" if found else ""


def _picture(waits: Waits) -> str:
    """What leads to a service, and what that waits for; sleepers that nobody needs are in the table only."""
    met = {one.who for wait in waits if wait.kind in ("call", "queue") for one in waits.chain(wait)}
    led_to = {wait.target for wait in waits}
    drawn = [w for w in waits if w.who in met and (w.kind != "call" or w.to or w.who in led_to)]
    if not drawn:
        return ""
    graph = Waits({"services": {a: {"name": name} for a, name in waits.names.items()}}, edges=drawn[:_DRAWN])
    draw: Any = graph.draw
    try:
        light, dark = (base64.b64encode(draw(title="", dark=dark).png()).decode() for dark in (False, True))
    except ImportError:
        return "<p>with matplotlib installed there is a picture here</p>"
    more = f"<p>{_DRAWN} of {len(drawn)} waits are drawn</p>" if len(drawn) > _DRAWN else ""
    return (
        '<picture><source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,'
        f'{dark}"><img src="data:image/png;base64,{light}" alt="{escape(str(graph))}"></picture>{more}'
    )


def _waits(look: Look) -> str:
    circled = {wait.who for circle in look.waits.circles() for wait in circle}
    body = [
        (_SILENT if w.who in circled or w.state in ("silent", "nobody") else "",
         (look.waits.label(w.who), w.on, f"{w.place}  {look.code.get(w.place, '')}", w.guess))
        for w in sorted(look.waits, key=lambda w: (w.who not in circled, w.kind not in ("call", "queue")))
    ]  # fmt: skip
    return (
        _table(("who", "waits for", "at", "a guess, because"), body[:_ROWS]) + _more(len(body))
        if body
        else "<p>nobody waits</p>"
    )


def _services(services: list[Service]) -> str:
    heads = ("address", "service", "mailbox", "tasks", "messages", "CPU s", "sockets", "KiB")
    body = []
    for s in services:
        figures = (s.mailbox, s.tasks, s.messages, s.cpu, s.sockets, s.memory)
        cells = [
            s.address,
            s.name + (" (does not answer)" if s.silent else ""),
            *("–" if figure is None else figure for figure in figures),
        ]
        body.append((_SILENT if s.silent else "", cells))
    return _table(heads, body)


def _stacks(look: Look) -> str:
    found = []
    for task in look.tasks[:_ROWS]:
        lines = "".join(
            f"<span{' class=faint' if of_runtime(line) else ''}>{escape(line.expandtabs(2))}</span>\n"
            for line in task.group.stack or ("its timer has not fired yet",)
        )
        names = ", ".join(filter(None, task.group.names[:3]))
        head = escape(f"{task.n} × {look.waits.named(task.service.address)}")
        ids = escape(f"session {', '.join(map(str, task.group.sessions[:9]))} {names}")
        found.append(f"<details><summary>{head} <small>{ids}</small></summary><pre>{lines}</pre></details>")
    return "".join(found) + _more(len(look.tasks))


def _more(n: int) -> str:
    return f"<p>and {n - _ROWS} more</p>" if n > _ROWS else ""
