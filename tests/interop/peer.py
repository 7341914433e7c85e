"""A node in a process of its own, to be killed: the echo service, by name and by handle, on a port that it prints.

python tests/interop/peer.py [PORT]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster_wire import Callee  # noqa: E402

from skynet_lite import Node, cluster  # noqa: E402


class Peer(Callee):
    def boot(self) -> None:
        super().boot()
        if len(sys.argv) > 1:
            cluster.open(int(sys.argv[1]))
        print(self.port, self.handles["echo"], flush=True)

    def begin(self) -> None:
        node: Node = self.node
        node.run_forever()


Peer(["echo"], clock="real")
