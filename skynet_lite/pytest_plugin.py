"""pytest's fixture `node`: a node for each test, looked at when the test is over.

    def test_counter(node):
        counter = node.newservice("counter")
        assert node.do(lambda: skynet.call(counter, "lua", "add", 2)) == 2

pytest finds this by its entry point; nothing has to be imported. A test that fails carries the end of the trace in its
report, and the path of a page. One that passes fails after all if a fault stands that it does not name, or if something
is left when the node is closed. docs/testing.md says the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # whoever tests something else is not to load the package
    from .testing import NodeUnderTest

_NODE: pytest.StashKey[tuple[NodeUnderTest, Path]] = pytest.StashKey()
_FAILED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "skynet(faults=False, **keys): the fixture `node` is made with these keywords of skynet_lite.Node; "
        "faults=True: it may end with faults among its verdicts",
    )


@pytest.fixture
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeUnderTest]:
    """A skynet_lite node: virtual clock, log in `node.log_lines`, recorded; `node.do(f)` runs `f` inside it.

    `@pytest.mark.skynet(...)` on a test, a class or a module gives it other keywords.
    """
    from .testing import NodeUnderTest

    keys: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("skynet"))):  # the nearest comes last, and wins
        keys |= mark.kwargs
    may_fail = keys.pop("faults", False)
    made = NodeUnderTest(**keys)
    request.node.stash[_NODE] = made, tmp_path_factory.getbasetemp()
    try:
        yield made
        failed = request.node.stash.get(_FAILED, False)
        faults = [] if may_fail or failed or made.closed else made.faults()
    finally:
        made.close()
    left = made.left()
    wrong = [*faults, *(f"left behind: {what}" for what in left if not failed)]
    if wrong:
        pytest.fail("\n".join(["the node of this test ended with", *wrong]), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call" and report.failed and _NODE in item.stash:
        made, folder = item.stash[_NODE]
        item.stash[_FAILED] = True
        name = "".join(c if c.isalnum() else "_" for c in item.nodeid)[-100:]
        report.sections.append(("skynet_lite trace", made.report(folder / f"{name}.html")))
    return report
