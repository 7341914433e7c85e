"""Whatever a program does: it can be recorded, rebuilt, told, judged, drawn, compared and stored, and nothing raises."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from harness import Watched, assert_live, watch
from hypothesis import HealthCheck, given, settings
from programs import PLAN, STEPS, plans, run_busy
from test_timeline import check_readable

from skynet_lite import Node, Trace
from skynet_lite.view.payload import payload
from skynet_lite.view.words import sentences

PLAN_AGAIN = plans(tuple(step for step in STEPS if step != "refused"))  # its error names a port, and is logged


def record(first: list[list[str]], second: list[list[str]]) -> tuple[Trace, Watched]:
    with Node(clock="virtual", log=list) as node:
        node.run_until_idle()
        with node.record() as trace:
            seen = watch(node)
            run_busy(node, first, second)
            node.verdicts(), str(node.waits())
    return trace, seen


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAN, PLAN)
def test_any_run_can_be_looked_at(tmp_path_factory: Any, first: list[list[str]], second: list[list[str]]) -> None:
    """Tables rebuilt, story told, verdicts found, figures drawn without touching labels, files read back."""
    trace, seen = record(first, second)
    assert_live(trace, seen)
    assert len(sentences(trace)) == len(trace)
    assert trace.describe()
    trace.verdicts()
    str(trace.waits(len(trace) // 2))
    json.dumps(payload(trace, services="all"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_readable(trace.timeline())
        check_readable(trace[len(trace) // 3 : len(trace) // 2].timeline(dark=True))
        check_readable(trace.waits().draw())
    path: Path = tmp_path_factory.mktemp("fuzz") / "t.json"
    trace.save(path)
    again = Trace.load(path)
    assert again.text() == trace.text()
    assert again.verdicts() == trace.verdicts()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAN_AGAIN, PLAN_AGAIN)
def test_any_program_makes_the_same_trace_twice(first: list[list[str]], second: list[list[str]]) -> None:
    """Sockets included: what the scheduler did is the same, event by event."""
    assert record(first, second)[0].text() == record(first, second)[0].text()
