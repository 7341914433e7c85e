"""The launcher: the other commands that skynet's has, and its text protocol."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from skynet_lite import CallError, Node, skynet


def quiet() -> None:
    skynet.dispatch("lua", lambda session, source, *words: skynet.retpack(*words))


def deaf() -> None:
    skynet.dispatch("debug", lambda *message: None)


def broken() -> None:
    def fail(*message: object) -> None:
        raise RuntimeError("no figures")

    skynet.dispatch("debug", fail)


def test_figures_of_all_services() -> None:
    """STAT asks all at once; who does not answer in time is TIMEOUT, who fails is ERROR."""
    with Node(clock="virtual", log=list) as node:
        one, two, three = (node.newservice(f) for f in (quiet, deaf, broken))
        stat = node.call(".launcher", "lua", "STAT", 100)
        assert node.clock.now() == 100
        assert stat[f":{one:08x}"] == {"cpu": 0.0, "message": 3, "mqlen": 0, "task": 0}
        assert (stat[f":{two:08x}"], stat[f":{three:08x}"]) == ("TIMEOUT", "ERROR")
        assert ":00000003" not in stat, "itself it did not launch"
        memory = node.call(".launcher", "lua", "mem", 100)
        assert re.fullmatch(r"\d+\.\d\d Kb \(snlua quiet\)", memory[f":{one:08x}"])
        assert memory[f":{two:08x}"] == "TIMEOUT (snlua deaf)"


def test_cpu_is_counted_when_it_is_asked_for() -> None:
    """The key `profile`, as in skynet's config; the real clock, for a virtual one takes no time."""
    with Node(profile=True, log=list) as node:
        handle = node.newservice(quiet)
        node.call(handle, "lua", 1)
        assert node.call(".launcher", "lua", "STAT")[f":{handle:08x}"]["cpu"] > 0


def test_garbage_is_collected_once_for_each_that_asks() -> None:
    """GC is sent to all; each logs what it gained, and the answer is that of MEM."""
    with Node(clock="virtual", log=list) as node:
        handle = node.newservice(quiet)
        answer = node.call(".launcher", "lua", "GC", 300)
        assert "(snlua quiet)" in answer[f":{handle:08x}"]
        node.run_until_idle()
        lines = [line for line in node.log_lines if "GC" in line]
        assert len(lines) == len(answer)
        assert all(re.fullmatch(r"\[:\w+\] GC \d+\.\d\d Kb -> \d+\.\d\d Kb, cost 0.00 sec", line) for line in lines)


def test_a_launch_with_its_log_on(tmp_path: Path) -> None:
    """LOGLAUNCH: the first line of the file is the message that runs the service's code."""
    with Node(clock="virtual", log=list, logpath=str(tmp_path)) as node:
        name = node.service_name(quiet)
        handle = node.call(".launcher", "lua", "LOGLAUNCH", "snlua", name)
        node.call(handle, "lua", "x", [1, {"k": -1}])
        text = (tmp_path / f"{handle:08x}.log").read_text()
    assert text.splitlines()[1:] == [
        f":{handle:08x} 0 0 0 {b'quiet'.hex()}",
        ":00000000 1 1 0 ",
        ":00000000 10 2 0 0c7816" + "0a01" + "06" + "0c6b" + "22ffffffff" + "00" + "00",
    ]


def test_who_is_being_launched() -> None:
    """QUERY: the address behind a session of LAUNCH, while its start goes on."""
    found = []

    def slow() -> None:
        skynet.sleep(10)

    def asker() -> None:
        session = skynet.genid()
        found.append(session)
        skynet.redirect(".launcher", skynet.self(), "lua", session, skynet.pack("LAUNCH", "snlua", name))
        found.append(skynet.call(".launcher", "lua", "QUERY", session))
        found.append(skynet.call(".launcher", "lua", "QUERY", 12345))

    with Node(clock="virtual", log=list) as node:
        name = node.service_name(slow)
        node.newservice(asker)
        assert f":{found[1]:08x}" in node.call(".launcher", "lua", "LIST") and found[2] is None


def test_services_in_c_speak_text() -> None:
    """An empty text is LAUNCHOK, "ERROR" is ERROR; anything else is an error."""

    def main(word: str) -> None:
        skynet.register_protocol(name="text", id=skynet.PTYPE_TEXT, pack=lambda text: text)
        skynet.send(".launcher", "text", word)
        skynet.wait()

    with Node(clock="virtual", log=list) as node:
        handle = node.newservice(main, "")
        assert handle, "its start goes on for ever, but it has said that it is there"
        with pytest.raises(CallError):
            node.newservice(main, "ERROR")
        node.newservice(main, "nonsense", wait=False)
        node.run_until_idle()
        assert "Invalid text command nonsense" in "\n".join(node.log_lines)
