"""What is seen of `top`: a table that is sorted by its columns, and a service from inside.

Every text of a service goes through rich.text.Text: brackets in it are no markup.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import DataTable, Footer, RichLog, Static

from .answers import Parked, Service, of_runtime
from .watch import RETRY, Connect, Inside, Insides, Look, Looks, Watch, once, traced

EVERY = 1.0  # seconds between two looks
TRACE = 0.1  # seconds between two looks at the lines of a trace
LINES = 2000  # of a trace that are kept
ROWS = 200  # services that are shown: the first in the order that is wanted
GROUPS = 200  # of parked coroutines that are shown


class Column(NamedTuple):
    """A column of the table. `value`: what is sorted by, None if it is not known; `show`: how it is written."""

    title: str
    value: Callable[[Service], Any]
    show: Callable[[Any], str] = str
    falling: bool = True  # the largest first


def few(number: float) -> str:
    """A rate: with a decimal as long as that says something."""
    return f"{number:.1f}" if 0.05 <= number < 100 else f"{number:,.0f}"


COLUMNS = (
    Column("address", lambda s: s.address, falling=False),
    Column("service", lambda s: s.name, falling=False),
    Column("msg/s", lambda s: s.rate, few),
    Column("CPU %", lambda s: None if s.load is None else 100 * s.load, few),
    Column("mailbox", lambda s: s.mailbox),
    Column("tasks", lambda s: s.tasks),
    Column("sockets", lambda s: s.sockets),
    Column("messages", lambda s: s.messages, "{:,}".format),
    Column("memory", lambda s: s.memory, "{:,.0f} K".format),
)
"""Sorted by with the keys 1 to 9."""


class Told(Message):
    """What a watch has found, or the error."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def can_replace(self, message: Message) -> bool:
        """Of looks that wait the last one counts; the lines of a trace all do."""
        return isinstance(message, Told) and not isinstance(self.what, list) and not isinstance(message.what, list)


class Services(DataTable[Text]):
    """The table of the services, with the keys that mean something there."""

    BINDINGS: ClassVar = [
        Binding("1", "app.sort(0)", "sort, again: turn round", key_display="1-9"),
        *(Binding(str(n), f"app.sort({n - 1})", show=False) for n in range(2, 10)),
        Binding("enter", "select_cursor", "look inside"),
    ]


class Top(App[None]):
    """The table of all services."""

    TITLE = "skynet-lite top"
    CSS = """
    #head, #below { height: auto; max-height: 8; padding: 0 1; }
    #head { background: $panel; }
    .lost { background: $error; color: $text; }
    DataTable { height: 1fr; }
    RichLog { height: 1fr; border-top: solid $primary; display: none; }
    RichLog.on { display: block; }
    #inside { height: 1fr; padding: 0 1; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [Binding("q", "quit", "quit")]

    def __init__(self, connect: Connect, address: str, every: float = EVERY, retry: float = RETRY) -> None:
        super().__init__()
        self.connect, self.address, self.every, self.retry = connect, address, every, retry
        self.look: Look | None = None  # the last one
        self.lost = ""  # why there is no new one
        self.column, self.falling = 2, True
        self.head, self.below = Static(Text(f"{address}: connecting"), id="head"), Static(id="below")
        self.table = Services(cursor_type="row", zebra_stripes=True)
        self._watch: Watch | None = None

    def compose(self) -> ComposeResult:
        yield from (self.head, self.table, self.below, Footer())

    def on_mount(self) -> None:
        for n in range(len(COLUMNS) - 1):
            self.table.add_column(self._title(n))
        self.table.focus()
        self._watch = Watch(self.connect, Looks, lambda what: self.post_message(Told(what)), self.every, self.retry)

    def on_unmount(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    # ---- what has been seen

    def on_told(self, told: Told) -> None:
        if not self.screen_stack:
            return  # it is closing
        if isinstance(told.what, Look):
            self.look, self.lost = told.what, ""
        else:
            again = "; trying again" if isinstance(told.what, OSError) else ""
            self.lost = f"{told.what}{again}"
        self.show()

    def show(self) -> None:
        """The last look, in the order that is wanted."""
        self.head.set_class(bool(self.lost), "lost")
        self.head.update(Text(self._head()))
        if self.look is None:
            return
        self.below.update(Text("\n".join(self.look.verdicts), "bold red"))
        self._fill(self.table, self.look)
        if isinstance(self.screen, Within):
            self.screen.show()

    def _head(self) -> str:
        look = self.look
        if look is None:
            return f"{self.address}: {self.lost or 'connecting'}"
        rates = [s.rate for s in look.services if s.rate is not None]
        some = f", {ROWS} shown" if len(look.services) > ROWS else ""
        words = [
            f"{self.address} is {'skynet_lite' if look.ours else 'skynet'}",
            f"{len(look.services)} services{some}",
        ]
        words += [f"{few(sum(rates))} msg/s", f"{look.sockets} sockets"]
        words += [f"{look.memory / 2**20:,.0f} MiB"] if look.memory else []
        words += [] if any(s.cpu for s in look.services) else ["CPU is not measured (profile = true does)"]
        return " · ".join([self.lost] * bool(self.lost) + words)

    def _fill(self, table: Services, look: Look) -> None:
        """Anew, with the cursor on its service."""
        chosen, follow = self.chosen(), table.cursor_row > 0  # at the top it stays at the top
        blamed = " ".join(look.verdicts)
        ranked = sorted(look.services, key=lambda s: s.address)
        ranked.sort(key=partial(_rank, COLUMNS[self.column]), reverse=self.falling)
        x, y = table.scroll_offset
        table.clear()
        if len(table.columns) < len(COLUMNS) and any(s.memory for s in ranked):  # ours knows no memory of one service
            table.add_column(self._title(len(COLUMNS) - 1))
        for service in ranked[:ROWS]:
            table.add_row(*_cells(service, service.address in blamed)[: len(table.columns)], key=service.address)
        if follow and chosen in table.rows:
            table.move_cursor(row=table.get_row_index(chosen), scroll=False)
        table.scroll_to(x, y, animate=False)

    def chosen(self) -> str:
        """The address of the service under the cursor."""
        table = self.table
        if not table.row_count:
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    # ---- what is pressed

    def _title(self, n: int) -> Text:
        arrow = ("▼" if self.falling else "▲") if n == self.column else ""
        return Text(f"{n + 1} {COLUMNS[n].title}{arrow}", justify="left" if n < 2 else "right")

    def action_sort(self, n: int) -> None:
        self.falling = not self.falling if n == self.column else COLUMNS[n].falling
        self.column = n
        for k, column in enumerate(self.table.ordered_columns):
            column.label = self._title(k)
        self.show()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        self.action_sort(event.column_index)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        self.push_screen(Within(str(event.row_key.value)))


def _rank(column: Column, service: Service) -> Any:
    """What is not known is less than nothing, but for a service that does not answer."""
    value = column.value(service)
    if value is None:
        return float("inf") if service.silent else -1
    return value


def _cells(service: Service, blamed: bool) -> list[Text]:
    style = "bold red" if blamed or service.silent else ""
    name = f"{service.name} ({service.silent})" if service.silent else service.name
    cells = [Text(service.address, style), Text(name, style)]
    for column in COLUMNS[2:]:
        value = column.value(service)
        text = "–" if value is None else column.show(value)
        cells.append(Text(text, "dim" if text in ("0", "–") else style, justify="right"))
    return cells


# --------------------------------------------------------------------------- one service


class Within(Screen[None]):
    """A service from inside: what its info function says, where its coroutines are parked, and its trace."""

    BINDINGS: ClassVar = [Binding("escape", "dismiss", "back"), Binding("t", "trace", "trace on/off")]
    app: Top

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.inside: Inside | str = "asking; no answer yet"
        self.tracing: Watch | str = ""  # of ours; the address where skynet's is on
        self.head, self.text, self.lines = Static(id="head"), Static(id="text"), RichLog(max_lines=LINES)
        self._watch: Watch | None = None

    def compose(self) -> ComposeResult:
        yield from (self.head, VerticalScroll(self.text, id="inside"), self.lines, Footer())

    def on_mount(self) -> None:
        self._look()
        self.show()

    def _look(self) -> None:
        self._watch = Watch(
            self.app.connect, partial(Insides, self.address), self._tell, self.app.every, self.app.retry
        )

    def on_unmount(self) -> None:
        self._unlook()
        self._untrace()

    def _unlook(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    def _tell(self, what: Any) -> None:
        self.post_message(Told(what))

    def on_told(self, told: Told) -> None:
        told.stop()
        if isinstance(told.what, list):
            for line in told.what[-LINES:] if self.tracing else ():
                self.lines.write(Text(line))
        else:
            self.inside = told.what if isinstance(told.what, Inside) else str(told.what)
            self.show()

    def show(self) -> None:
        """What is known of it now."""
        look = self.app.look
        found = [s for s in look.services if s.address == self.address] if look else []
        words = [f"{column.title} {column.show(value)}" for column in COLUMNS[2:] for service in found
                 if (value := column.value(service)) is not None]  # fmt: skip
        self.head.set_class(bool(self.app.lost) or not found, "lost")
        name = found[0].name if found else "is not in the list: it has gone"
        self.head.update(Text(" · ".join([f"{self.address} {name}", *words])))
        verdicts = [line for line in look.verdicts if self.address in line] if look else []
        self.text.update(_shown(self.inside, verdicts))

    # ---- its trace

    def action_trace(self) -> None:
        """On, or off. skynet writes its trace into the log of the node, and not here."""
        app, log = self.app, self.lines
        log.set_class(True, "on")
        if self.tracing:
            self._untrace()
            log.write(Text("the trace is off", "dim"))
            self._look()
        elif app.look is not None and app.look.ours:
            self._unlook()  # or the trace would be of our own questions
            self.tracing = Watch(app.connect, partial(traced, self.address), self._tell, TRACE, app.retry)
        else:
            self.tracing = self.address
            once(app.connect, f"trace {self.address} on", self._tell)
            log.write(Text("skynet tags the requests of this service, and writes them into the log of the node", "dim"))

    def _untrace(self) -> None:
        if isinstance(self.tracing, Watch):
            self.tracing.stop()
        elif self.tracing:
            once(self.app.connect, f"trace {self.address} off", self._tell).join(1)  # before the process ends
        self.tracing = ""


def _shown(inside: Inside | str, verdicts: list[str]) -> Text:
    text = Text()
    for line in verdicts:
        text.append(f"{line}\n\n", "bold red")
    if isinstance(inside, str):
        return text.append(inside)
    if inside.info:
        text.append("info\n", "bold").append("".join(f"  {line}\n" for line in inside.info) + "\n")
    text.append(f"parked coroutines: {sum(len(group.sessions) for group in inside.parked)}\n", "bold")
    for group in inside.parked[:GROUPS]:
        _group(text, group)
    more = len(inside.parked) - GROUPS
    return text.append(f"\nand {more} other stacks" if more > 0 else "")


def _group(text: Text, group: Parked) -> None:
    who = [f"{name} session {session}" for name, session in zip(group.names, group.sessions, strict=True)]
    text.append("\n" + ", ".join(who[:3]) + (f" and {len(who) - 3} more" if len(who) > 3 else "") + "\n", "bold cyan")
    for line in group.stack or ("no line of the program",):
        text.append(f"  {line.expandtabs(2)}\n", "dim" if of_runtime(line) or not group.stack else "")
