"""The story in sentences: each event says what it means at that moment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness import TRACES, Play

from skynet_lite import Node, Trace, mark
from skynet_lite.view.words import sentences

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_every_event_has_its_sentence(name: str, tmp_path: Path) -> None:
    """One for each, whole and without gaps, for our runs and for the recordings of the real skynet."""
    for trace in (Play(name, tmp_path).trace, Trace.load(TRACES / f"{name}.json")):
        told = sentences(trace)
        assert len(told) == len(trace)
        for event, sentence in zip(trace, told, strict=True):
            assert re.match(r"(\*\*)?\W*\w", sentence) and sentence.endswith("."), sentence
            assert sentence[0] == sentence[0].upper() or "_" in sentence.split(" ")[0], sentence
            assert not sentence.startswith("**the "), sentence
            assert sentence.count("**") % 2 == 0, sentence
            bare = re.sub(r'"(\\.|[^"])*"', "", sentence)
            assert "?" not in bare and "{" not in bare, f"{event} has a gap: {sentence}"


def test_the_tale_of_the_seed(tmp_path: Path) -> None:
    """socket.start, told: parked, CONNECT, woken, queued, resumed."""
    told = Play("listen_start", tmp_path).trace.describe()
    tale = [
        "leaves the command start for socket 1 to the socket server, at ",
        "yields SLEEP with session 2, at ",
        "it parks in socket.start until socket 1 wakes it.",
        "The socket server pushes CONNECT of socket 1 into the mailbox of A ",
        "raw_dispatch_message resumes co2 with the message.",
        "co2 calls wakeup(co1): co1 sleeps on session 2, so it is put into wakeup_queue. It does not run yet; "
        "dispatch_wakeup takes it when co2 yields.",
        "co2 yields EXIT: its task is done, and it goes into coroutine_pool.",
        'dispatch_wakeup resumes co1 with (False, "BREAK"): it was in wakeup_queue; it goes on at ',
    ]
    places = [told.index(words) for words in tale]
    assert places == sorted(places)
    assert "**" not in told


def test_a_tale_can_be_short_or_whole(tmp_path: Path) -> None:
    """Bookkeeping and the services of every node are left out unless asked for; `limit` says what is missing."""
    trace = Play("call_ret", tmp_path).trace
    short, whole = trace.describe().splitlines(), trace.describe(detail=True).splitlines()
    assert len(short) < len(whole) == len(trace)
    assert set(short) <= set(whole)
    assert trace.describe(limit=3).splitlines()[3] == f"… and {len(short) - 3} more events."
    assert trace[5:9].describe(detail=True).splitlines() == whole[5:9]
    with pytest.raises(ValueError, match="no sentences in 'xx'; there are en"):
        trace.describe(lang="xx")


@pytest.mark.parametrize("text", ["**bold**", "{0}", "two\nlines", "\udcff", "一二三", ""])
def test_the_users_words_stay_theirs(text: str) -> None:
    """Nothing a user says can break a sentence, its marks or its line."""

    def main() -> None:
        mark(text)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
    (sentence,) = [s for s, e in zip(sentences(trace), trace, strict=True) if e["e"] == "mark"]
    assert sentence.count("**") == 2 and "\n" not in sentence
    sentence.encode("utf-8")
