"""The load for the servers, in a process of its own: a bare epoll loop, a request at a time on each connection.

`python load.py KIND PORT PID CONNECTIONS SIZE SECONDS CORE` prints one line of JSON.
`echo`: lines of SIZE bytes there and back; requests a second, and microseconds of the
server's CPU for one (and of its busiest process). `http`: the same with GET requests, whatever SIZE. `bulk`: blocks of SIZE bytes, answered by one byte; MiB a second.
`idle`: CONNECTIONS that have sent one line each and then say nothing; bytes of the
server's memory for one. PID: of the server; with commas between them, of the processes that are one server together.
CORE: the core to stay on, -1 for any.
"""

import json
import os
import re
import select
import socket
import sys
import time
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used, in nanosecond steps where the kernel tells."""
    try:
        used = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            used += int((task / "schedstat").read_text().split()[0])
        return used / 1e9
    except OSError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def connect(port: int, count: int) -> dict[int, socket.socket]:
    socks = {}
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        socks[sock.fileno()] = sock
    return socks


class Load:
    """Connections with one request under way each."""

    def __init__(self, socks: dict[int, socket.socket], request: bytes, answer: int) -> None:
        self.socks = socks
        self.request = request
        self.answer = answer  # its length
        self.missing = {}  # fd → bytes of the answer still to come
        self.poller = select.epoll()
        for fd in socks:
            self.poller.register(fd, select.EPOLLIN)

    def begin(self) -> None:
        for fd, sock in self.socks.items():
            self.missing[fd] = self.answer
            sock.sendall(self.request)

    def run(self, seconds: float, again: bool = True) -> int:
        """Answers that came in `seconds`; without `again`, until all that are under way have come."""
        socks, missing, request, answer = self.socks, self.missing, self.request, self.answer
        poll = self.poller.poll
        done = 0
        end = time.monotonic() + seconds
        while (time.monotonic() < end) if again else missing:
            for fd, _ in poll(1.0):
                sock = socks[fd]
                data = sock.recv(65536)
                if not data:
                    raise SystemExit("the server closed a connection")
                left = missing[fd] - len(data)
                if left:
                    missing[fd] = left
                    continue
                done += 1
                if again:
                    missing[fd] = answer
                    sock.sendall(request)
                else:
                    del missing[fd]
        return done


GET = b"GET / HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\naccept: */*\r\n\r\n"


def answer_size(port: int) -> int:
    """Bytes of one HTTP answer, head and body."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(GET)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(65536)
    head, _, _ = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    if not answer.startswith(b"HTTP/1.1 200") or length is None:
        raise SystemExit(f"not an answer to go on with: {answer!r}")
    return len(head) + 4 + int(length[1])


def main() -> None:
    kind, seconds = sys.argv[1], float(sys.argv[6])
    port, connections, size, _, core = (int(float(a)) for a in (sys.argv[2], *sys.argv[4:8]))
    pids = [int(pid) for pid in sys.argv[3].split(",")]
    if core >= 0:
        os.sched_setaffinity(0, {core})
    line = b"x" * (size - 1) + b"\n"
    if kind == "idle":
        few = Load(connect(port, 50), line, size)  # what the first connections cost is not counted
        few.begin()
        few.run(0, again=False)
        before = resident(pids[0])
        many = Load(connect(port, connections), line, size)
        many.begin()
        many.run(0, again=False)
        time.sleep(0.2)
        print(json.dumps({"bytes": (resident(pids[0]) - before) / connections}))
        return
    request, answer = {"bulk": (line, 1), "http": (GET, 0)}.get(kind, (line, size))
    load = Load(connect(port, connections), request, answer or answer_size(port))
    load.begin()
    load.run(seconds / 4)
    before, start = [*map(cpu_seconds, pids)], time.monotonic()
    done = load.run(seconds)
    took = time.monotonic() - start
    used = [(cpu_seconds(pid) - cpu) / max(1, done) * 1e6 for pid, cpu in zip(pids, before, strict=True)]
    print(json.dumps({"rate": done / took, "cpu_us": sum(used), "most_us": max(used), "requests": done}))


if __name__ == "__main__":
    main()
