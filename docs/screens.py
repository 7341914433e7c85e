"""The screens of `skynet-lite top` and `attach` in the pages: `python docs/screens.py` makes them anew in docs/images.

Ours is a live node. skynet's is its own console's answers, recorded, which tests/console.py gives again on a real port.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from console import Recorded  # noqa: E402

from skynet_lite import Node, skynet  # noqa: E402
from skynet_lite.attach import attach  # noqa: E402
from skynet_lite.attach.page import page  # noqa: E402
from skynet_lite.course.console import Connection  # noqa: E402
from skynet_lite.top.app import Top, Within  # noqa: E402

SIZE = (104, 22)


def store() -> None:
    data: dict[str, int] = {}
    skynet.register(".store")
    skynet.info_func(lambda *words: {"keys": len(data)})

    @skynet.dispatch("lua")
    def put(session: int, source: int, key: str, value: int) -> None:
        data[key] = value
        skynet.retpack()


def agent(n: int) -> None:
    def play() -> None:
        while True:
            skynet.call(".store", "lua", f"a{n}", skynet.now())
            skynet.sleep(n)

    skynet.fork(play)
    skynet.fork(lambda: skynet.wait("logout"))


def lobby() -> None:
    def round() -> None:
        while True:
            skynet.sleep(300)

    for _ in range(3):
        skynet.fork(round)
    skynet.info_func(lambda *words: {"rooms": 3})


def forgets() -> None:
    skynet.dispatch("lua", lambda session, source: None)


def asks(addr: int) -> None:
    skynet.fork(lambda: skynet.call(addr, "lua"))


def play() -> None:
    """The services of the picture."""
    skynet.newservice(lobby)
    skynet.newservice(store)
    for n in range(1, 7):
        skynet.newservice(agent, n)
    skynet.newservice(asks, skynet.newservice(forgets))
    skynet.newservice("debug_console", 0)


async def until(over: Callable[[], Any]) -> None:
    """Wait for a state."""
    while not over():
        await asyncio.sleep(0.005)


async def screens(port: int, name: str, chosen: str) -> None:
    """The table, and the service `chosen` from inside."""
    app = Top(lambda show: Connection("127.0.0.1", port, show), "127.0.0.1:8000", 1)
    async with app.run_test(size=SIZE) as pilot:
        await until(lambda: app.look is not None and any(s.rate for s in app.look.services))
        await pilot.pause()
        save(app, name)
        while chosen not in str(app.table.get_row(app.chosen())[1]):
            await pilot.press("down")
        app.simulate_key("enter")
        await until(lambda: isinstance(app.screen, Within) and not isinstance(app.screen.inside, str))
        if app.look is not None and app.look.ours:
            app.simulate_key("t")
            await until(lambda: isinstance(app.screen, Within) and len(app.screen.lines.lines) > 30)
        await pilot.pause()
        save(app, f"{name}-inside")


def save(app: Top, name: str) -> None:
    svg = app.export_screenshot(title="skynet-lite top")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # fonts of a server elsewhere
    svg = re.sub(r"terminal-\d+-", "t-", svg)
    (ROOT / "docs" / "images" / f"{name}.svg").write_text(svg)


def hung() -> None:
    """The page of `attach`, of a real skynet; its upper end."""
    from playwright.sync_api import sync_playwright

    tests = ROOT / "tests"
    stored = json.loads((tests / "golden" / "attach" / "today.json").read_text())["answers"]
    recorded = Recorded(0, stored)
    found = attach(lambda show: Connection("127.0.0.1", recorded.port, show), str(tests / "data" / "attach"))
    recorded.close()
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1100, "height": 780})
        view.set_content(page(found, "127.0.0.1:8000"))
        view.screenshot(path=ROOT / "docs" / "images" / "attach-skynet.png")


def main() -> None:
    hung()
    recorded = Recorded()
    asyncio.run(screens(recorded.port, "top-skynet", "lobby"))
    recorded.close()
    with Node(log=list, profile=True) as node:
        node.serve()
        node.newservice(play)
        listening = [id for id, (state, _) in node.socket_server.table().items() if state == "listen"]
        asyncio.run(screens(node.socket_server.sockname(listening[0])[1], "top", "agent 1"))


if __name__ == "__main__":
    main()
