"""The real skynet, for tests that want one at hand: SKYNET_DIR names the folder of one that is built."""

from __future__ import annotations

import json
import os
import shutil
import socket as pysocket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import LIMIT, until

SKYNET_DIR = os.environ.get("SKYNET_DIR", "")
real = pytest.mark.skipif(not SKYNET_DIR, reason="no real skynet: with SKYNET_DIR=FOLDER, one that is built, this runs")


class Real:
    """A node in a folder of its own: the Lua files of `programs`, whose main.lua is started, and `keys` for the
    configuration. `port` and `console`: two that are free, for the program and its debug console."""

    def __init__(self, folder: Path, programs: Path, **keys: Any) -> None:
        self.folder = folder
        for part in ("lualib", "service", "luaclib", "cservice"):
            (folder / part).symlink_to(Path(SKYNET_DIR).resolve() / part)
        for file in programs.glob("*.lua"):
            shutil.copy(file, folder)
        with pysocket.create_server(("127.0.0.1", 0)) as one, pysocket.create_server(("127.0.0.1", 0)) as other:
            port, console = one.getsockname()[1], other.getsockname()[1]
        keys = {
            "thread": 2, "harbor": 0, "start": "main", "bootstrap": "snlua bootstrap",
            "luaservice": "./?.lua;./service/?.lua", "lualoader": "./lualib/loader.lua",
            "lua_path": "./lualib/?.lua;./lualib/?/init.lua", "cpath": "./cservice/?.so", "lua_cpath": "./luaclib/?.so",
            "port": port, "console": console, **keys,
        }  # fmt: skip
        self.port, self.console = keys["port"], keys["console"]
        (folder / "config").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
        self.log = folder / "log"

    @contextmanager
    def running(self) -> Iterator[Real]:
        with (
            self.log.open("w") as log,
            subprocess.Popen(
                [Path(SKYNET_DIR).resolve() / "skynet", "config"], cwd=self.folder, stdout=log, stderr=log
            ) as node,
        ):
            self.kill = node.kill
            try:
                yield self
            finally:
                node.kill()

    def connect(self, port: int) -> pysocket.socket:
        def connected() -> pysocket.socket | None:
            try:
                return pysocket.create_connection(("127.0.0.1", port), LIMIT)
            except OSError:
                time.sleep(0.05)
                return None

        client: pysocket.socket = until(connected)
        return client

    def say(self, *lines: str) -> list[str]:
        """The answers of the debug console, without its last line; raises AssertionError for an error."""
        answers = []
        with self.connect(self.console) as client, client.makefile("rw", newline="\n") as console:
            console.readline()
            for line in lines:
                console.write(line + "\n")
                console.flush()
                said = []
                while not (answer := console.readline()).startswith("<CMD"):
                    assert answer, self.log.read_text()
                    said.append(answer.rstrip("\n"))
                answers.append("\n".join(said) if "OK" in answer else f"error: {said}")
        return answers
