"""The story in sentences: each event says what it means at that moment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from chinese import foreign, said
from harness import TRACES, Play

import skynet_lite
from skynet_lite import Node, Trace, mark, skynet
from skynet_lite.trace.language import close_up, language, say, speaking
from skynet_lite.view.forms import LANGUAGES, word
from skynet_lite.view.payload import payload
from skynet_lite.view.story import Story
from skynet_lite.view.words import describe, sentences

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
        'dispatch_wakeup resumes co1 with (False, "BREAK"): it was in wakeup_queue; it continues at ',
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
    with pytest.raises(ValueError, match="no sentences in 'xx'; there are en, zh"):
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


# --------------------------------------------------------------------------- two languages


def fields(form: str) -> list[str]:
    return sorted(set(re.findall(r"\{(\w+)\}", form)))


def test_the_languages_say_the_same_things() -> None:
    """The same names with the same fields, and the same number of marks: nothing is lost on the way."""
    english = LANGUAGES["en"]
    for lang, forms in LANGUAGES.items():
        assert list(forms) == list(english), lang
        for key, form in forms.items():
            assert fields(form) == fields(english[key]), f"{lang} {key}"
            assert form.count("**") % 2 == 0, f"{lang} {key}"


def test_no_form_is_left_in_english() -> None:
    """But for names of code, units and keys."""
    for key, form in LANGUAGES["zh"].items():
        bare = re.sub(r"\{\w+\}", "", form)
        assert foreign(bare, "max_lanes trace text JavaScript Home End") == [], key


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_story_in_chinese(name: str, tmp_path: Path) -> None:
    """Every event of every scenario, without a gap and without a word of English that is no name."""
    for trace in (Play(name, tmp_path).trace, Trace.load(TRACES / f"{name}.json")):
        own = said(trace, trace.names())
        for event, sentence in zip(trace, sentences(trace, "zh"), strict=True):
            assert re.search(r"[\u4e00-\u9fff]", sentence) and sentence.endswith("。"), sentence
            assert sentence.count("**") % 2 == 0, sentence
            assert not re.search(
                r"[\u4e00-\u9fff，。：] [\u4e00-\u9fff]|  |，，|。。", re.sub(r'"(\\.|[^"\\])*"', "", sentence)
            ), sentence
            assert foreign(sentence, own) == [], sentence
            bare = re.sub(r'"(\\.|[^"\\])*"', "", sentence)
            assert "?" not in bare and "{" not in bare, f"{event} has a gap: {sentence}"


@pytest.mark.parametrize("name", NAMES)
def test_the_lanes_and_labels_in_chinese(name: str, tmp_path: Path) -> None:
    """What a picture shows: each word of English in it is a name of code, or of the trace itself."""
    trace = Play(name, tmp_path).trace
    with speaking("zh"):
        story = Story(trace, "all")
    told = [text for lane in story.lanes for text in (lane.title, lane.note)]
    told += [x.label for group in (story.stretches, story.marks, story.arrows, story.lines) for x in group]
    assert [text for text in told if foreign(text, said(trace, trace.names()))] == []


def test_the_tale_of_the_seed_in_chinese(tmp_path: Path) -> None:
    """socket.start, told again: parked, CONNECT, woken, queued, resumed."""
    told = Play("listen_start", tmp_path).trace.describe(lang="zh")
    tale = [
        "把 socket 1 的 start 命令交给 socket 线程。此刻还什么都没有发生。",
        "执行 yield SLEEP，session 为 2：它挂起在 socket.start 里，直到 socket 1 唤醒它。",
        "socket 线程把 socket 1 的 CONNECT 放进 A :00000008 的消息队列。",
        "raw_dispatch_message 把消息交给 co2 并恢复它运行。",
        "co2 调用 wakeup(co1)：co1 正睡在 session 2 上，于是进入 wakeup_queue。它还没有运行；等 co2 让出之后，dispatch_wakeup 才会取出它。",
        "co2 执行 yield EXIT：它的任务完成了，回到 coroutine_pool。",
        'dispatch_wakeup 以 (False, "BREAK") 恢复 co1：它在 wakeup_queue 里排到了，它从 ',
    ]
    places = [told.index(words) for words in tale]
    assert places == sorted(places)


def test_the_process_has_a_language_and_a_call_may_have_another(tmp_path: Path) -> None:
    """`language("zh")` moves every default; an explicit lang still wins, also where the words come from below."""
    trace = Play("wakeup_unknown" if "wakeup_unknown" in NAMES else NAMES[-1], tmp_path).trace
    english = sentences(trace), describe(trace), payload(trace), str(trace.verdicts()), str(trace.waits(20))
    try:
        assert skynet_lite.language("zh") == "zh"
        chinese = sentences(trace), describe(trace), payload(trace), str(trace.verdicts()), str(trace.waits(20))
        assert chinese[:3] == (sentences(trace, "zh"), describe(trace, lang="zh"), payload(trace, lang="zh"))
        assert (sentences(trace, "en"), describe(trace, lang="en"), payload(trace, lang="en")) == english[:3]
        assert trace.text() == trace.text() and "消息队列" not in trace.text()
    finally:
        skynet_lite.language("en")
    assert all(a != b for a, b in zip(english[:3], chinese[:3], strict=True))
    assert sentences(trace) == english[0]


def test_a_language_for_a_while() -> None:
    """Within the block only, also when it is left by an error; what is not there is refused."""
    assert say("a", "甲") == "a" and word("fig.timer") == "timer"
    with speaking("zh") as spoken:
        assert (spoken, language(), say("a", "甲"), word("fig.timer")) == ("zh", "zh", "甲", "定时器")
        with speaking(None), speaking("en"):
            assert say("a", "甲") == "a"
        assert say("a", "甲") == "甲"
    with pytest.raises(ZeroDivisionError), speaking("zh"):
        _ = 1 / 0
    assert language() == "en"
    with pytest.raises(ValueError, match="no language 'xx' here; there are 'en', 'zh'"), speaking("xx"):
        pass


@pytest.mark.parametrize(
    ("told", "closed"),
    [
        ("**调度器** 设置", "**调度器**设置"), ("由 外部 发来", "由外部发来"), ("co1 在 main:3 处", "co1 在 main:3 处"),
        ('做了标记："你 好"。', '做了标记："你 好"。'), (r'"\"你 好"', r'"\"你 好"'), ("抛出 \'你 好\' 了", "抛出 \'你 好\' 了"),
    ],
)  # fmt: skip
def test_no_space_between_two_chinese_characters(told: str, closed: str) -> None:
    """A sentence is made for names in Latin letters; what stands in quotes is the user's."""
    assert close_up(told) == closed


def test_a_fork_that_calls_at_once_is_answered_and_no_timer_has_fired() -> None:
    """`fork(call, ...)` parks without a line of the user's: its resume is a response all the same."""

    def echo() -> None:
        skynet.dispatch("lua", lambda session, source, x: skynet.retpack(x))

    def asker(addr: int) -> None:
        skynet.fork(skynet.call, addr, "lua", 1)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(asker, node.newservice(echo))
        node.run_until_idle()
    said = trace[trace.find("resume", co="co2", by="raw_dispatch_message") :].describe()
    assert "resumes co2: what it waited for has come" in said
    assert "timer has fired" not in said
