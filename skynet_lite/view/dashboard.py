"""A table of a running node, that goes on while the node runs in its thread.

One idea: it knows no node, only a function that answers plain data, or None when there
is nothing more to see. A thread of its own asks; so the cell that shows the table is
done at once, and the node is held up for no longer than one look takes.

What a notebook stores of it holds no figure that changes: names, and a line that says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from html import escape
from typing import Any

from ..trace.language import language, say, speaking

try:
    import ipywidgets
except ImportError as e:  # pragma: no cover  # tested in a process of its own
    raise ImportError(
        f"the dashboard is a widget, and ipywidgets is not installed ({e}): pip install 'skynet_lite[notebooks]'"
    ) from None

STYLE = "border-collapse: separate; border-spacing: 1em 0; line-height: 1.5"
ROWS = 50
"""Services shown at most: those with the longest mailboxes, then those that have most to do."""


class Dashboard(ipywidgets.HTML):  # type: ignore[misc]  # ipywidgets comes without types
    """What `node.dashboard()` returns; print it for a summary without figures that change.

    `look()` answers {"services": [row, ...], "verdicts": [text, ...]}, a row being address, name, mailbox,
    messages (dispatched so far), cpu (seconds or None), tasks, sockets. `every`: seconds between
    two looks, None: only `refresh` looks.
    """

    def __init__(self, look: Callable[[], dict[str, Any] | None], every: float | None) -> None:
        super().__init__()
        self._look = look
        self._every = every
        self._lang = language()
        self._over = threading.Event()
        self._data: dict[str, Any] = {"services": [], "verdicts": []}
        self._before: dict[str, int] = {}
        self.looks = 0
        self.refresh()
        self._thread: threading.Thread | None = None
        if every is not None:
            self._thread = threading.Thread(target=self._go, name="dashboard", daemon=True)
            self._thread.start()

    def refresh(self) -> bool:
        """Look once, and show it; False if there is nothing more to see."""
        data = self._look()
        if data is not None:
            before, self._data = self._data, data
            self._before = {row["address"]: row["messages"] for row in before["services"]}
            self.looks += 1
        with speaking(self._lang):
            self.value = self._html(data is not None and not self._over.is_set())
        return data is not None

    def stop(self) -> None:
        """No more looks; what was seen last stays."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)

    def _go(self) -> None:
        while not self._over.wait(self._every):
            try:
                if not self.refresh():
                    return
            except Exception as e:  # the node has gone between two looks
                with speaking(self._lang):
                    self.value += f"<p>{escape(str(e))}</p>"
                return

    # ---- what is seen

    def _html(self, running: bool) -> str:
        services = self._data["services"]
        off = say(" (needs profile = true)", "（需要 profile = true）") * all(row["cpu"] is None for row in services)
        heads = [
            say("address", "地址"), say("service", "服务"), say("mailbox", "消息队列"), say("messages", "消息"),
            say("new", "新增"), "CPU" + off, say("tasks", "任务"), say("sockets", "socket"),
        ]  # fmt: skip
        shown = sorted(services, key=lambda row: (-row["mailbox"], -self._news(row)))[:ROWS]
        rows = []
        for row in sorted(shown, key=lambda row: str(row["address"])):
            cpu = "–" if row["cpu"] is None else f"{row['cpu']:.3f} s"
            cells = [row["address"], row["name"], row["mailbox"], row["messages"], self._news(row) or "", cpu]
            cells += [row["tasks"], row["sockets"] or ""]
            rows.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
        titles = "".join(f"<th>{head}</th>" for head in heads)
        table = f"<table style='{STYLE}'><tr>{titles}</tr>{''.join(rows)}</table>"
        more = len(services) - len(shown)
        notes = [say(f"more services: {more}", f"另有 {more} 个服务")] if more else []
        notes += self._data["verdicts"] or [say("nothing is wrong", "没有发现问题")]
        if not running:
            notes.append(say("the node has stopped", "节点已停止"))
        return table + "".join(f"<p>{escape(note)}</p>" for note in notes)

    def _news(self, row: dict[str, Any]) -> int:
        """Messages since the look before."""
        return int(row["messages"] - self._before.get(row["address"], row["messages"]))

    def __str__(self) -> str:
        width = max((len(row["name"]) for row in self._data["services"]), default=0)
        with speaking(self._lang):
            rows = [
                f"{row['address']}  {row['name']:{width}}  "
                + say(
                    f"mailbox {row['mailbox']}  tasks {row['tasks']}  sockets {row['sockets']}",
                    f"消息队列 {row['mailbox']}  任务 {row['tasks']}  socket {row['sockets']}",
                )
                for row in self._data["services"]
            ]
            return "\n".join([*rows, *(self._data["verdicts"] or [say("nothing is wrong", "没有发现问题")])])

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget; and for where none can be, what does not change from run to run."""
        shown = super()._repr_mimebundle_(**kwargs)
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        rows = self._data["services"][:ROWS]
        with speaking(self._lang):
            names = ", ".join(row["name"] for row in rows)
            text = say(f"a dashboard, live while the node runs: {names}", f"运行面板，节点运行时实时刷新：{names}")
            note = say("live while the node and its notebook run", "节点和 notebook 运行时实时刷新")
        cells = "".join(f"<tr><td>{row['address']}</td><td>{escape(row['name'])}</td></tr>" for row in rows)
        table = f"<table>{cells}</table><p>{note}</p>"
        return {**(data or {}), "text/plain": text, "text/html": table}, metadata
