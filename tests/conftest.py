"""TEST_POLLER=selectors (or poll, select): run the tests on that poller instead of epoll."""

import os
import selectors

from skynet_lite.core import poller

_KINDS = {"selectors": "DefaultSelector", "poll": "PollSelector", "select": "SelectSelector"}

if (name := os.environ.get("TEST_POLLER")) is not None:
    selector = getattr(selectors, _KINDS[name])
    poller.default = poller.POLLERS[""] = lambda: poller.SelectorPoller(selector())
