"""The lobby, tested by pytest's fixture `node`: virtual time, real sockets, and nothing may be left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

CONFIG = Path(__file__).parent / "config.toml"
pytestmark = pytest.mark.skynet(config=CONFIG, env={"port": 0, "patience": 1000})


class Player:
    """A client: says a line, hears lines."""

    def __init__(self, node: Any, name: str = "") -> None:
        node.run_until_idle()  # the boot, if there is still one
        self.tcp = node.client(node.call(".lobby", "lua", "port"))
        if name:
            assert self.ask(f"name {name}") == f"welcome {name}"

    def ask(self, text: str) -> str:
        self.tcp.send(text.encode() + b"\n")
        return self.hear()

    def hear(self) -> str:
        return str(self.tcp.recv_line().decode())


def test_who_is_in_a_room_hears_what_is_said_there(node: Any) -> None:
    ann, bob, cho = Player(node, "Ann"), Player(node, "Bob"), Player(node, "Cho")
    assert ann.ask("join lounge") == "joined lounge: Ann"
    assert bob.ask("join lounge") == "joined lounge: Ann, Bob"
    assert ann.hear() == "* Bob is here"
    assert cho.ask("rooms") == "lounge 2"
    assert cho.ask("say hello") == "error: join a room first"
    assert bob.ask("say hello") == "Bob: hello"
    assert (ann.hear(), bob.hear()) == ("Bob: hello", "said")
    bob.tcp.close()
    assert ann.hear() == "* Bob has left"


def test_a_name_is_somebodys(node: Any) -> None:
    Player(node, "Ann")
    bob = Player(node)
    assert bob.ask("join lounge").startswith("error: first a name")
    assert bob.ask("name Ann") == "error: 'Ann' is taken, or no name"
    assert bob.ask("sing") == "error: there are name, rooms, join, say, match, play and quit"


def test_a_match(node: Any) -> None:
    ann, bob = Player(node, "Ann"), Player(node, "Bob")
    assert ann.ask("match") == "wait for somebody"
    assert [bob.ask("match"), bob.hear()] == ["match against Ann: rock, scissors, paper?", "found somebody"]
    assert ann.hear() == "match against Bob: rock, scissors, paper?"
    assert ann.ask("match") == "error: one match at a time"
    assert ann.ask("play chess") == "error: a move is rock, scissors, paper"
    assert ann.ask("play rock") == "your move is rock"
    assert bob.ask("play paper") == "your move is paper"
    assert ann.hear() == bob.hear() == "over: Bob wins, Ann had rock"
    assert ann.ask("play rock") == "error: there is no match"


def test_who_does_not_move_or_leaves_has_lost(node: Any) -> None:
    """Ten seconds of virtual time cost nothing."""
    for how in ("waits", "leaves"):
        ann, bob = Player(node, f"Ann_{how}"), Player(node, f"Bob_{how}")
        ann.ask("match")
        bob.ask("match")
        bob.hear(), ann.hear()
        assert ann.ask("play rock") == "your move is rock"
        if how == "waits":
            node.advance(1000)
            assert ann.hear() == "over: Ann_waits wins, Bob_waits was too slow"
        else:
            bob.tcp.close()
            assert ann.hear() == "over: Ann_leaves wins, Bob_leaves has left"
    node.run_until_idle()
    assert not [line for line in node.log_lines if "Traceback" in line]
