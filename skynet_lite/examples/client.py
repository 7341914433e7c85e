"""The client of the example: `python client.py [PORT [HOST]]`. After examples/client.lua.

No service, and no node: a plain program, as every game client is. It says handshake and
"set hello world"; then each line you type is a key to get, or "quit".
"""

from __future__ import annotations

import select
import socket
import sys

from skynet_lite import netpack


def main(port: int = 8888, host: str = "127.0.0.1") -> None:
    unpacker = netpack.Unpacker()
    with socket.create_connection((host, port)) as sock:

        def send_request(text: str) -> None:
            sock.sendall(netpack.pack(text.encode()))
            print("Request:", text, flush=True)

        send_request("handshake")
        send_request("set hello world")
        inputs = [sock, sys.stdin]
        while True:
            ready, _, _ = select.select(inputs, [], [])
            if sock in ready:
                data = sock.recv(65536)
                if not data:
                    print("Server closed", flush=True)
                    return
                for packet in unpacker.feed(data):
                    print("Received:", netpack.tostring(packet), flush=True)
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if line:
                    cmd = line.strip()
                    send_request("quit" if cmd == "quit" else f"get {cmd}")
                else:
                    inputs.remove(sys.stdin)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8888, *sys.argv[2:3])
