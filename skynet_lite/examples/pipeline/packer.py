"""A packer: one block at a time. zlib lets go of Python's lock, so four of them on four workers use four cores."""

import gzip

from skynet_lite import skynet


@skynet.start
def main() -> None:
    @skynet.dispatch("lua")
    def pack(session: int, source: int, block: bytes) -> None:
        skynet.retpack(gzip.compress(block, mtime=0))  # complete in itself: gzip files may be put one after the other
