"""TEST_POLLER=selectors (or poll, select): run the tests on that poller instead of epoll."""

import os
import selectors

from skynet_lite.core.outside import POLLERS
from skynet_lite.core.selector_poller import SelectorPoller

_KINDS = {"selectors": "DefaultSelector", "poll": "PollSelector", "select": "SelectSelector"}

if (name := os.environ.get("TEST_POLLER")) is not None:
    selector = getattr(selectors, _KINDS[name])
    POLLERS[""] = lambda: SelectorPoller(selector())
