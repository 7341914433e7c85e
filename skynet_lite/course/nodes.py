"""Several nodes of a cluster in this process, and the frames that go between them: for the notebook on two nodes.

One idea: nodes that one thread drives in turn make the same run each time, although their sockets are real. What
differs from run to run is a port, and nothing here shows one.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .. import cluster, skynet
from ..core.errors import SkynetError
from ..lualib import seri
from ..lualib.netpack import Unpacker, pack
from ..node.node import Node
from ..trace import Trace
from ..trace.language import say
from ..trace.shapes import home
from .lab import _left

NOTHING = "no answer"
_QUIET = 5  # rounds of 1 ms in which nobody has anything to do: what is on its way in the kernel has come by then


def nodes(*names: str, **keys: Any) -> Nodes:
    """Nodes of these names, recorded from now on. All but the first listen, on free ports, and everybody knows where.

    Those of the call before, and the node of `lab()`, are closed. `keys`: as for `Node`.
    """
    _left.close()
    return _left.enter_context(Nodes(*names, **keys))


class Nodes(ExitStack):
    """What `nodes` returns, and closes some time; `two["game"]` is a Node."""

    def __init__(self, *names: str, **keys: Any) -> None:
        super().__init__()
        with ExitStack() as stack:  # so that nothing is left if it does not succeed
            self._open(stack, names, keys)
            self.push(stack.pop_all())

    def _open(self, stack: ExitStack, names: tuple[str, ...], keys: dict[str, Any]) -> None:
        self.nodes = {name: stack.enter_context(Node(**{"clock": "virtual", "log": list, **keys})) for name in names}
        where: dict[str, str] = {}

        def opens(name: str) -> None:
            where[name] = "{}:{}".format(*cluster.open(0))

        for name, node in list(self.nodes.items())[1:]:
            node.newservice(opens, name)
        for node in self.nodes.values():
            node.newservice(lambda: cluster.reload(where))
            node.run_until_idle()
        self.traces = {name: stack.enter_context(node.record()) for name, node in self.nodes.items()}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def start(self, name: str, service: Callable[..., Any] | str, *args: Any) -> int:
        """A new service on a node, its address; then all are driven until nothing can run."""
        addr = self.nodes[name].newservice(service, *args, wait=False)
        self.run()
        return addr

    def run(self) -> None:
        """All in turn, until nothing can run and no byte is on its way. The clocks stand still."""
        quiet = 0
        while quiet < _QUIET:
            quiet = 0 if self._turn() else quiet + 1
            if quiet:
                time.sleep(0.001)

    def _turn(self) -> int:
        done = 0
        for node in self.nodes.values():
            while not node.closed and node.step() is not None:
                done += 1
        return done

    def advance(self, ticks: int) -> None:
        """So many ticks of 10 ms pass on each node; what crosses the wire meanwhile arrives after them."""
        for node in self.nodes.values():
            if not node.closed:
                node.advance(ticks)
        self.run()

    def ask(self, name: str, *questions: Callable[[], Any]) -> list[Any]:
        """Run functions in a service of a node, all at once; of each what it returns, or the text of its error.

        NOTHING stands where nothing has come; it is replaced when it does.
        """
        answers: list[Any] = [NOTHING] * len(questions)

        def asks(i: int) -> None:
            try:
                answers[i] = questions[i]()
            except SkynetError as e:
                answers[i] = masked(f"{type(e).__name__}: {e}")

        def caller() -> None:
            for i in range(len(questions)):
                skynet.fork(asks, i)

        self.start(name, caller)
        return answers

    def log(self, name: str) -> list[str]:
        """What a node has logged since it was recorded, without ports."""
        return [masked(e["text"]) for e in self.traces[name] if e["e"] == "log"]

    def trace(self) -> Trace:
        """The one trace of all of them."""
        return Trace.merge(*self.traces.values(), names=tuple(self.nodes))


def masked(text: str) -> str:
    """A text without ports, which are others each time."""
    return re.sub(r"(127\.0\.0\.1[: ])\d+", r"\1PORT", text)


# --------------------------------------------------------------------------- frames


@dataclass(frozen=True)
class Frame:
    """A frame as it came. `event`: the number of the message DATA that brought its last byte."""

    event: int
    source: str
    target: str
    data: bytes  # with its length
    answer: bool

    def fields(self) -> list[tuple[bytes, str]]:
        """Its bytes in pieces, each with what it says."""
        data = self.data[2:]
        if self.answer:
            heads = [(4, f"session {_u32(data[:4])}"), (1, _ANSWERS.get(data[4], "?"))]
        elif data[0] == 0:
            heads = [(1, say("by handle", "按句柄")), (4, f":{_u32(data[1:5]):08x}"), (4, _session(data[5:9]))]
        elif data[0] == 0x80:
            name = data[2 : 2 + data[1]]
            heads = [(1, say("by name", "按名字")), (1 + len(name), f'"{name.decode()}"'),
                     (4, _session(data[2 + len(name) : 6 + len(name)]))]  # fmt: skip
        else:
            heads = [(1, f"{data[0]:02x}")]
        found, at = [(self.data[:2], say(f"length {len(data)}", f"长度 {len(data)}"))], 0
        for size, words in heads:
            found.append((data[at : at + size], words))
            at += size
        return [*found, (data[at:], _payload(data[at:], failed=self.answer and data[4] == 0))]

    @property
    def session(self) -> int:
        """Its session, 0 for a message that wants no answer."""
        return next(int(words[8:]) for _, words in self.fields() if words.startswith("session "))

    @property
    def says(self) -> str:
        """Its values, or why it failed."""
        return self.fields()[-1][1]

    def __str__(self) -> str:
        """Two lines: the bytes, and below each piece what it says."""
        columns = [(piece.hex(" "), words) for piece, words in self.fields()]
        widths = [max(len(digits), _width(words)) for digits, words in columns]
        head = f"{self.source} → {self.target}"
        rows = ("  ".join(text + " " * (w - _width(text)) for text, w in zip(row, widths, strict=True))
                for row in zip(*columns, strict=True))  # fmt: skip
        return "\n".join(f"{start}   {row}".rstrip() for start, row in zip((head, " " * len(head)), rows, strict=True))


_ANSWERS = {0: "failed", 1: "ok"}


def _u32(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _session(data: bytes) -> str:
    return f"session {_u32(data)}"


def _width(text: str) -> int:
    return sum(2 if ord(c) > 0x2FFF else 1 for c in text)


def _payload(data: bytes, failed: bool) -> str:
    if failed:
        return masked(data.decode("utf-8", "surrogateescape"))
    try:
        return ", ".join(map(repr, seri.unpack(data))) or say("no values", "没有值")
    except seri.SeriError as e:
        return str(e)


def frames(trace: Trace) -> list[Frame]:
    """All frames of a merged trace that came, in the order in which they came."""
    whole = trace.whole
    events, names = whole.events, whole.names()
    streams: defaultdict[tuple[str, int], Unpacker] = defaultdict(Unpacker)
    found: list[Frame] = []
    for n, e in enumerate(events):
        service = e.get("service", "")
        if e["e"] != "message" or e.get("type") != "DATA" or names[service] not in ("gate", "clustersender"):
            continue
        wrote = next((events[k] for k in whole.causes(n) if events[k]["e"] == "write"), {})
        way = home(wrote.get("service", "?:")), home(service)
        for packet in streams[service, e["id"]].feed(e["data"].encode("utf-8", "surrogateescape")):
            found.append(Frame(n, *way, pack(packet), names[service] != "gate"))
    shown = set(trace.numbers)
    return [frame for frame in found if frame.event in shown]
