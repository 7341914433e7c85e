"""The cheat sheet: what it names is there in a running node, it is one page, and its PDFs are printed from it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import test_browser
from playwright.sync_api import Browser
from test_browser import browser as browser, chromium as chromium

from skynet_lite import Node, drive, skynet, socket
from skynet_lite.skynet import coroutine
from skynet_lite.skynet.scheduler import Scheduler

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
import cheatsheet  # noqa: E402


def test_what_it_names_is_there() -> None:
    """Tables, queues, functions and commands, by the names that a reader finds in the code."""
    with Node(clock="virtual", log=list) as node:
        service = node.service(node.newservice(lambda: None))
        owners: list[Any] = [node, node.server, node.driver, service, drive, skynet, socket, coroutine, Scheduler]
        known = {name for owner in owners for name in dir(owner)} | set(service.tables())
    text = cheatsheet.page("en")
    cells = set(re.findall(r"<td>([a-z_]+_[a-z_]+|[A-Z]+|skynet\.\w+|mailbox|suspend)</td>", text))
    cells |= set(re.findall(r"<code>(\w+)</code>", text))
    assert len(cells) > 25 and {"CALL", "wakeup_queue", "skynet.call", "co_create"} <= cells
    assert {cell.removeprefix("skynet.") for cell in cells} <= known


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_stored_one_is_printed_from_it(lang: str) -> None:
    """`python docs/cheatsheet.py` writes it; one page, and the edition that the words make now."""
    edition = re.search("edition [0-9a-f]+", cheatsheet.page(lang))
    stored = cheatsheet.FILES[lang].read_bytes()
    assert edition and edition[0].encode() in stored
    assert len(re.findall(rb"/Type\s*/Page\b", stored)) == 1


@test_browser.pytestmark
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_it_is_one_page(browser: Browser, lang: str) -> None:
    """A4, across: nothing runs over its edges, and it loads nothing."""
    page = browser.new_page(viewport={"width": 1122, "height": 793})
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.set_content(cheatsheet.page(lang))
    size = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    low = page.evaluate(
        "Math.max(...[...document.querySelectorAll('section, .remember')].map((s) => s.getBoundingClientRect().bottom))"
    )
    assert size == [1122, 793] and 640 < low < 785
    assert loaded == []
    page.close()
