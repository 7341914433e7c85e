"""A pool: hands blocks to the packers that are idle. Who asks while none is has to wait.

A message is a coroutine, so a queue of waiting requests is a list of coroutines, and nothing else.
"""

from collections import deque
from typing import Any

from skynet_lite import SkynetError, skynet

idle: deque[int] = deque()  # packers, the first that came back first: so all have their share
waiting: deque[Any] = deque()  # coroutines, the first that came first


def take(session: int, source: int, number: int, block: bytes) -> None:
    while not idle:
        waiting.append(skynet.running())
        skynet.wait()
    packer = idle.popleft()
    skynet.retpack()  # taken: whoever asked may read the next block, while we go on
    try:
        data = skynet.call(packer, "lua", block)
    except SkynetError as e:
        skynet.error(f"a block is lost : {e}")
        data = None  # and its job ends
    idle.append(packer)
    if waiting:
        skynet.wakeup(waiting.popleft())
    skynet.send(source, "lua", number, data)


@skynet.start
def main(size: int) -> None:
    idle.extend(skynet.newservice("packer") for _ in range(size))
    skynet.dispatch("lua", take)
