"""TEST_POLLER=selectors (or poll, select): run the tests on that poller instead of epoll."""

import os
import selectors

from skynet_lite.core.outside import POLLERS
from skynet_lite.core.selector_poller import SelectorPoller

_KINDS = {"selectors": "DefaultSelector", "poll": "PollSelector", "select": "SelectSelector"}

# A process that has run a thousand tests is large, and the monitor of a node with several workers would say so.
os.environ["SKYNET_LITE_MEMORY"] = "0"

if (name := os.environ.get("TEST_POLLER")) is not None:
    selector = getattr(selectors, _KINDS[name])
    POLLERS[""] = lambda: SelectorPoller(selector())
