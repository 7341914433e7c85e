"""The fixture `node` comes with skynet_lite: a node for each test, whose clock is virtual and whose log is a list."""

from pathlib import Path
from typing import Any

import pytest

CONFIG = Path(__file__).parent.parent / "config.toml"
pytestmark = pytest.mark.skynet(config=CONFIG, env={"port": 0})  # any free port


def test_the_service_alone(node: Any) -> None:
    greeter = node.newservice("greeter")
    assert node.call(greeter, "lua", "Ann") == "hello Ann, visit 1"
    assert node.call(greeter, "lua", "Ann") == "hello Ann, visit 2"


def test_a_client(node: Any) -> None:
    node.run_until_idle()  # config.toml says start = "main"
    client = node.client(node.call(".main", "lua", "port"))
    client.send(b"Bob\n")
    assert client.recv_line() == b"hello Bob, visit 1"
