"""A Redis server of the test's own, on a free port, and what is needed to run such tests at all."""

from __future__ import annotations

import shutil
import socket as pysocket
import subprocess
import time
from pathlib import Path

from harness import free_port


class RedisServer:
    """redis-server without files, reachable when the constructor returns."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        assert shutil.which("redis-server"), "redis-server is missing: apt-get install redis-server"
        self.port = port or free_port()
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self._process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                pysocket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                assert self._process.poll() is None, "redis-server ended at once"
                assert time.monotonic() < end, "redis-server does not listen"
                time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
