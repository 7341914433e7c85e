"""TEST_POLLER=selectors (or poll, select): run the tests on that poller instead of epoll."""

import os
import selectors
from typing import Any

import pytest

from skynet_lite.core.outside import POLLERS
from skynet_lite.core.selector_poller import SelectorPoller

_KINDS = {"selectors": "DefaultSelector", "poll": "PollSelector", "select": "SelectSelector"}

# A process that has run a thousand tests is large, and the monitor of a node with several workers would say so.
os.environ["SKYNET_LITE_MEMORY"] = "0"

if (name := os.environ.get("TEST_POLLER")) is not None:
    selector = getattr(selectors, _KINDS[name])
    POLLERS[""] = lambda: SelectorPoller(selector())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what fails, with its last lines: a run that is ended from outside has said so."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nFAILED {report.nodeid}", *report.longreprtext.splitlines()[-20:], sep="\n", flush=True)


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, sched: Any) -> None:
    """A test that has ended its process is not tried again: one that hangs would take every process that is left.

    Its process gave back all files that it had, those with nothing left, too. Whoever gets one of these, or one with a
    single test left, waits for a next for ever: a process begins a test when it knows the one after it.
    """
    for scope, unit in list(sched.workqueue.items()):
        if crashitem in unit:
            unit[crashitem] = True
        left = [test for test, done in unit.items() if not done]
        if len(left) < 2:
            del sched.workqueue[scope]
        if len(left) == 1:
            print(f"\nNOT RUN {left[0]}", flush=True)
