"""The dashboard: a table of a running node, in a notebook."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

from harness import until

from skynet_lite import Node, language, skynet, socket
from skynet_lite.view.dashboard import ROWS, Dashboard


def counter() -> None:
    skynet.register(".counter")
    socket.start(socket.listen("127.0.0.1:0"), lambda id, peer: None)
    skynet.dispatch("lua", lambda session, source, *words: skynet.retpack(len(words)))
    skynet.fork(lambda: skynet.wait("for ever"))


def test_it_follows_a_node_that_a_thread_drives() -> None:
    """Each look shows what there is now; the node's own thread makes the figures, so they agree."""
    with Node(log=list) as node:
        node.serve()
        handle = node.newservice(counter)
        first, second = node.dashboard(0.01), node.dashboard(0.01)
        for _ in range(100):
            node.call(".counter", "lua", "x")
        messages = f"<td>{node.service(handle).mailbox.popped}</td>"
        until(lambda: messages in first.value and messages in second.value)
        assert f"<td>:{handle:08x}</td><td>counter</td><td>0</td>{messages}" in first.value
        assert "<th>CPU (needs profile = true)</th>" in first.value  # of a column of dashes
        assert "nothing is wrong" in first.value
        assert "the node has stopped" not in first.value
    assert first.looks > 1
    assert "the node has stopped" in first.value and "the node has stopped" in second.value
    assert not [t for t in threading.enumerate() if t.name == "dashboard"], "nothing is left behind"


def test_stop_ends_it_and_leaves_a_summary() -> None:
    """What is printed after the stop has no figure that differs from run to run."""
    with Node(log=list) as node:
        node.serve()
        node.newservice(counter)
        board = node.dashboard(0.01)
        node.stop()
        until(lambda: "the node has stopped" in board.value)
        assert ":00000008  counter      mailbox 0  tasks 1  sockets 1" in str(board)
        assert str(board).endswith("nothing is wrong")


def test_a_node_that_is_driven_by_hand_is_looked_at_by_hand() -> None:
    """No thread may touch it: `refresh` looks."""
    with Node(clock="virtual", log=list) as node:
        node.newservice(counter)
        board = node.dashboard()
        assert board.looks == 1
        node.newservice(counter)
        assert board.value.count("counter") == 1
        assert board.refresh() and board.value.count("<td>counter</td>") == 2


def test_what_is_wrong_stands_below() -> None:
    """The verdicts of the live node, as node.verdicts() words them."""

    def deadlocked() -> None:
        section = skynet.queue()
        skynet.dispatch("lua", lambda session, source: section(skynet.call, skynet.self(), "lua"))
        skynet.fork(lambda: skynet.call(skynet.self(), "lua"))

    with Node(clock="virtual", log=list) as node:
        node.newservice(deadlocked)
        node.run_until_idle()
        board = node.dashboard()
        assert [str(v) for v in node.verdicts()] == board._data["verdicts"] != []


def test_a_stored_output_holds_nothing_that_changes() -> None:
    """Names only; strict nbval compares it."""
    with Node(clock="virtual", log=list) as node:
        node.newservice(counter)
        shown, _ = node.dashboard()._repr_mimebundle_()
    assert shown["text/plain"].startswith("a dashboard, live while the node runs: logger, launcher,")
    assert "<td>:00000008</td><td>counter</td></tr>" in shown["text/html"]
    assert set(shown) <= {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}


def test_many_services_are_a_page_at_most_and_names_are_escaped() -> None:
    """The busiest are shown, the others counted; in the reader's language."""
    rows: list[dict[str, Any]] = [
        {"address": f":{n:08x}", "name": "<b>", "mailbox": n, "messages": n, "cpu": 0.5, "tasks": 0, "sockets": 0}
        for n in range(ROWS + 10)
    ]
    board = Dashboard(lambda: {"services": rows, "verdicts": []}, None)
    assert board.value.count("<tr>") == ROWS + 1 and "&lt;b&gt;" in board.value and "<b>" not in board.value
    assert ":00000000" not in board.value and "more services: 10" in board.value and "0.500 s" in board.value
    assert "<th>CPU</th>" in board.value
    language("zh")
    try:
        chinese = Dashboard(lambda: {"services": rows, "verdicts": []}, None)
        assert "另有 10 个服务" in chinese.value and "消息队列" in chinese.value
    finally:
        language("en")


def test_a_slow_look_does_not_hold_the_node_up() -> None:
    """A dashboard that waits waits alone: calls go on."""
    held = threading.Event()
    with Node(log=list) as node:
        node.serve()
        node.newservice(counter)
        board = node.dashboard(0.01)
        look = board._look
        board._look = lambda: look() if held.wait(20) else None
        for _ in range(100):
            assert node.call(".counter", "lua", "x") == 1
        held.set()


def test_without_ipywidgets_it_says_what_to_install() -> None:
    """In a process of its own: the module is imported once."""
    code = "import sys; sys.modules['ipywidgets'] = None\nfrom skynet_lite.view.dashboard import Dashboard"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install 'skynet_lite[notebooks]'" in done.stderr
