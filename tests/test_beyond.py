"""The page Beyond one machine is true: its programs pass, its tunnels carry a cluster, its tables are what is counted."""

from __future__ import annotations

import json
import re
import socket as pysocket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from contrib_harness import certificates
from harness import DOCS, LIMIT, assert_page_passes, free_port, needs, programs, until

from skynet_lite import CallError, Node, cluster, skynet
from skynet_lite.network import Network

pytest_plugins = ["pytester"]
BENCH = Path(__file__).parent / "bench"
PAGE = (DOCS / "beyond.md").read_text(encoding="utf-8")


def test_the_page_on_nodes_is_true(pytester: pytest.Pytester) -> None:
    """Its programs, in the order of the page."""
    assert_page_passes(pytester, "beyond.md", 6)


# ---- the tunnels


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An authority, and a key with its certificate for the names db and localhost: both sides may show it."""
    folder = tmp_path_factory.mktemp("pem")
    ca, cert, key = certificates(folder, "DNS:db,DNS:localhost,IP:127.0.0.1")
    both = folder / "both.pem"
    both.write_text(key.read_text() + cert.read_text())
    return str(ca), str(both)


def serves(where: str | int) -> None:
    cluster.reload({"db": where} if isinstance(where, str) else {})
    cluster.open("db" if isinstance(where, str) else where)
    cluster.register("echo")
    skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(*args))


def asks(where: str) -> None:
    cluster.reload({"db": where})
    skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(cluster.call("db", "@echo", *args)))


def test_a_cluster_goes_through_a_tunnel_of_our_own(pem: tuple[str, str]) -> None:
    """The service of the page at both ends; what is on the wire between them is not ours to read."""
    page: dict[str, Any] = {}
    exec("\n".join(programs(PAGE)), page)
    seen = bytearray()
    net = Network()
    db, web = net.node("db", log=list), net.node("web", log=list)
    db.newservice(serves, 2528)
    db.newservice(page["at_db"], *pem)
    web.newservice(page["at_web"], *pem, "db")
    client = web.newservice(asks, "127.0.0.1:2528")
    real = net.hosts["web"].send

    def send(sock: Any, data: Any) -> int:
        if sock.peer.host is not sock.host:
            seen.extend(data)
        return real(sock, data)

    net.hosts["web"].send = send  # type: ignore[method-assign]
    for size in (3, 300_000):
        assert web.call(client, "lua", "secret" * size) == "secret" * size
    assert len(seen) > 1_800_000 and b"secret" not in seen


def test_the_tunnel_wants_a_certificate(pem: tuple[str, str]) -> None:
    """A guest who only knows the authority gets no byte through."""
    page: dict[str, Any] = {}
    exec("\n".join(programs(PAGE)), page)
    net = Network()
    db, web = net.node("db", log=list), net.node("web", log=list)
    db.newservice(serves, 2528)
    db.newservice(page["at_db"], *pem)

    def guest() -> None:
        secure = page["ssl"].create_default_context(cafile=pem[0])
        reach = lambda: page["tls"].connect("db", 2529, secure, timeout=500)  # noqa: E731  # as on the page
        page["tunnel"](("127.0.0.1", 2528), None, reach)

    web.newservice(guest)
    with pytest.raises(CallError):
        web.call(web.newservice(asks, "127.0.0.1:2528"), "lua", "x")
    assert any("PEER_DID_NOT_RETURN_A_CERTIFICATE" in line for line in db.log_lines)


@contextmanager
def stunnel(folder: Path, text: str, port: int) -> Iterator[None]:
    (folder / f"{port}.conf").write_text(text)
    with (folder / f"{port}.log").open("w") as log:
        process = subprocess.Popen(["stunnel", str(folder / f"{port}.conf")], stdout=log, stderr=log)
    try:
        until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (folder / f"{port}.log").read_text()
        yield
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        pysocket.create_connection(("127.0.0.1", port), LIMIT).close()
    except OSError:
        time.sleep(0.02)
        return False
    return True


@needs("stunnel")
def test_a_cluster_goes_through_stunnel(pem: tuple[str, str], tmp_path: Path) -> None:
    """The two files of the page, with other ports and paths."""
    at_db, at_web = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    open_port, tunnel, near = free_port(), free_port(), free_port()
    changed = {
        "127.0.0.1:2528": f"127.0.0.1:{open_port}", "0.0.0.0:2529": f"127.0.0.1:{tunnel}", "ca.pem": pem[0],
        "db.example.org:2529": f"localhost:{tunnel}", "checkHost = db.example.org": "checkHost = localhost",
        "db.pem": pem[1], "web.pem": pem[1], "/etc/stunnel//": "/",
    }  # fmt: skip

    def here(text: str, **more: str) -> str:
        for old, new in {**more, **changed}.items():
            text = text.replace(old, new)
        return text

    accept = f"accept = 127.0.0.1:{near}"
    with ExitStack() as stack:
        db = stack.enter_context(Node(log=list))
        db.serve()
        db.newservice(serves, open_port)
        stack.enter_context(stunnel(tmp_path, here(at_db), tunnel))
        stack.enter_context(stunnel(tmp_path, here(at_web, **{"accept = 127.0.0.1:2528": accept}), near))
        web = stack.enter_context(Node(log=list))
        client = web.newservice(asks, f"127.0.0.1:{near}")
        assert web.call(client, "lua", "x" * 100_000, timeout=LIMIT) == "x" * 100_000


# ---- the tables


def simulated(name: str, n: int = 10) -> dict[str, float]:
    command = [sys.executable, str(BENCH / "simulate.py"), "--one", name, str(n)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "name, row",
    [
        ("direct", "10 everybody knows everybody"), ("passed_on", "10 passed on"), ("rumour", "10"),
        ("killed", "10 killed"), ("cut", "10 cable cut"),
    ],
)  # fmt: skip
def test_what_the_page_says_of_ten_nodes_is_what_they_do(name: str, row: str) -> None:
    """To the last digit, on any machine. If it is to be otherwise: `simulate.py --markdown docs/beyond.md`."""
    sys.path.insert(0, str(BENCH))
    import simulate

    part = PAGE.partition("<!-- simulation: begin -->")[2].partition("<!-- simulation: end -->")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
    told = next(cells[1:] for cells in lines if cells[0] == row)
    assert told == [simulate.shown(value) for value in simulated(name).values()]


def test_the_simulation_says_what_it_costs() -> None:
    """How much depends on the machine; that it is little does not."""
    found = simulated("cost")
    assert 10 < found["a node, KiB"] < 2000 and found["a connection, KiB"] > 1 and found["µs a call"] > 1
