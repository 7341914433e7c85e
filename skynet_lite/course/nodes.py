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
from ..lualib.clustercore import unpackrequest, unpackresponse
from ..lualib.netpack import Unpacker, pack
from ..node.node import Node
from ..trace import Trace
from ..trace.language import say
from ..trace.shapes import home
from ..trace.text import cells, fit
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
        _, heads, content = self._read()
        found, at = [], 0
        for size, words in [(2, say(f"length {len(self.data) - 2}", f"长度 {len(self.data) - 2}")), *heads]:
            found.append((self.data[at : at + size], words))
            at += size
        return [*found, (self.data[at:], _told(content))]

    @property
    def session(self) -> int:
        """Its session; 0 if it has none, as a small message that wants no answer."""
        return self._read()[0]

    @property
    def says(self) -> str:
        """Its values, or why it failed; of a large message how many bytes it has, or brings."""
        return _told(self._read()[2])

    def __str__(self) -> str:
        """Two lines: the bytes, and below each piece what it says. A piece that is too long for a line is cut."""
        columns = [(piece.hex(" "), words) for piece, words in self.fields()]
        widths = [min(_WIDEST, max(map(cells, column))) for column in columns]
        head = f"{self.source} → {self.target}"
        digits, words = ("  ".join(map(fit, row, widths)).rstrip() for row in zip(*columns, strict=True))
        return f"{head}   {digits}\n{' ' * cells(head)}   {words}"

    def _read(self) -> _Read:
        return (_answer if self.answer else _request)(self.data[2:])


_WIDEST = 94  # columns: 31 bytes, and the sign that there are more
_Read = tuple[int, list[tuple[int, str]], bytes | str | int]
"""A session, the widths of the pieces between length and content with what each says, and the content."""
_REQUESTS = {
    0: ("by handle", "按句柄"), 1: ("large, by handle", "分段，按句柄"),
    0x80: ("by name", "按名字"), 0x81: ("large, by name", "分段，按名字"),
    0x41: ("large push, by handle", "分段的 push，按句柄"), 0xC1: ("large push, by name", "分段的 push，按名字"),
    2: ("part", "一段"), 3: ("last part", "最后一段"), 4: ("trace tag", "trace 标签"),
}  # fmt: skip
_ANSWERS = (("failed",) * 2, ("ok",) * 2, ("large", "分段"), _REQUESTS[2], _REQUESTS[3])


def _request(data: bytes) -> _Read:
    try:
        asked = unpackrequest(data)
    except SkynetError as e:
        return 0, [], str(e)
    kind = 1, say(*_REQUESTS[data[0]])
    if len(asked) == 1:
        return 0, [kind], asked[0]
    address, session, content, *_ = asked
    told = 4, f"session {session}"
    if address is None:
        return session, [kind, told], len(content)
    whom = (1 + data[1], f'"{address}"') if isinstance(address, str) else (4, f":{address:08x}")
    return session, [kind, whom, told], content


def _answer(data: bytes) -> _Read:
    if (answer := unpackresponse(data)) is None:
        return 0, [], say("no answer of a node", "不是节点的响应")
    session, _, content, _ = answer
    kind = data[4]
    heads = [(4, f"session {session}"), (1, say(*_ANSWERS[kind]))]
    return session, heads, len(content) if kind in (3, 4) else content


def _told(content: bytes | str | int) -> str:
    """Values, a text, or a number of bytes."""
    if isinstance(content, int):
        return say(f"{content} bytes", f"{content} 字节")
    if isinstance(content, str):
        return masked(content)
    try:
        return ", ".join(map(repr, seri.unpack(content))) or say("no values", "没有值")
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
