"""What the tests of skynet_lite.contrib share: a node with a service that listens, and programs from outside."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from socket_harness import TIMEOUT

from skynet_lite import Node, skynet, socket


class Listening:
    """A virtual node with a service that hands each connection (not started) to `accept(id)`."""

    def __init__(self, accept: Callable[[int], Any], node: Node | None = None, host: str = "127.0.0.1") -> None:
        self.node = node if node is not None else Node(clock="virtual", log=list)

        def main() -> None:
            lid = socket.listen(host, 0, 1024)
            socket.start(lid, lambda id, addr: accept(id))
            self.port = socket.sockname(lid)[1]

        self.addr = self.node.newservice(main)

    def client(self, data: bytes = b"") -> Any:
        client = self.node.client(self.port)
        if data:
            client.send(data)
        return client

    def exchange(self, data: bytes) -> bytes:
        """Send, finish writing, and take all that comes back until the end."""
        client = self.client(data)
        client.shutdown()
        return until_eof(client)

    def log(self) -> list[str]:
        """What the service said, without its address."""
        self.node.run_until_idle()
        head = f"[:{self.addr:08x}] "
        return [
            line.removeprefix(head) for line in self.node.log_lines if line.startswith(head) and "LAUNCH" not in line
        ]

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *exc: object) -> None:
        self.node.close()


def until_eof(client: Any) -> bytes:
    """Everything up to the end of the stream, driving the node."""
    return client.recv_until(lambda: client._eof)


def run_service(node: Node, body: Callable[[], Any]) -> Any:
    """Run `body` in a service of its own until it has ended; what it returned, or raise what it raised."""
    outcome: list[tuple[bool, Any]] = []

    def main() -> None:
        def work() -> None:
            try:
                outcome.append((True, body()))
            except Exception as e:
                outcome.append((False, e))

        skynet.fork(work)

    node.newservice(main)
    node.run(until=lambda: bool(outcome), timeout=TIMEOUT)
    ok, value = outcome[0]
    if not ok:
        raise value
    return value


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """A program from outside; fails with what it said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=60, **options)
    assert done.returncode == 0, (command, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


def certificates(folder: Path, names: str = "DNS:localhost,IP:127.0.0.1") -> tuple[Path, Path, Path]:
    """(authority, certificate, key): a certificate for these names, signed by an authority of our own."""
    ca, ca_key, cert, key, request = (folder / n for n in ("ca.pem", "ca.key", "cert.pem", "cert.key", "cert.csr"))
    new = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    signs = ("-addext", "keyUsage=critical,keyCertSign")  # newer Pythons insist on such things
    run(*new, "-x509", "-days", "2", "-subj", "/CN=test authority", *signs, "-keyout", ca_key, "-out", ca)
    run(*new, "-subj", "/CN=localhost", "-keyout", key, "-out", request)
    (folder / "names").write_text(f"subjectAltName={names}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    sign = ("openssl", "x509", "-req", "-days", "2", "-CAcreateserial")
    run(*sign, "-in", request, "-CA", ca, "-CAkey", ca_key, "-extfile", folder / "names", "-out", cert)
    return ca, cert, key
