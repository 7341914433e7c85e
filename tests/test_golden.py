"""The order of events is that of skynet, recorded from the real thing: of v1.1.0, and today's."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import FOLDERS, TRACES, Play, expected
from scenarios import SCENARIOS, TODAY

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))
TODAYS = sorted(path.stem for path in FOLDERS["1.8"].glob("*.json"))


def test_every_recording_has_its_scenario() -> None:
    """No recording is passed over: each file has a scenario, and each scenario a file."""
    assert sorted(SCENARIOS.keys() - TODAY) == NAMES
    assert sorted(SCENARIOS) == TODAYS
    assert len(NAMES) >= 79
    assert len(TODAYS) >= 89


@pytest.mark.parametrize("name", NAMES)
def test_events_are_those_of_skynet(name: str, tmp_path: Path) -> None:
    """Main and detail events of every service, one by one, in order."""
    play = Play(name, tmp_path)
    for label, events in {"A": play.data["events"], **play.data.get("peer_events", {})}.items():
        assert play.events(label) == expected(events), label


@pytest.mark.parametrize("name", TODAYS)
def test_events_are_those_of_skynet_today(name: str, tmp_path: Path) -> None:
    """The same programs, and ten more, in the other dialect."""
    play = Play(name, tmp_path, skynet="1.8")
    for label, events in {"A": play.data["events"], **play.data.get("peer_events", {})}.items():
        assert play.events(label) == expected(events), label


@pytest.mark.parametrize("name", ["accept_echo_line", "term_two_callers"])
def test_leaving_out_details_keeps_the_order(name: str, tmp_path: Path) -> None:
    """detail=False drops bookkeeping and nothing else."""
    play = Play(name, tmp_path)
    detail = ("table", "wakeup_skip", "dispatch_failed")
    assert play.events("A", detail=False) == [e for e in play.events("A") if e["e"] not in detail]
