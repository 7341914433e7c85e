"""uvloop: the program of peer_asyncio.py on libuv's loop."""

import uvloop
from peer_asyncio import main

if __name__ == "__main__":
    uvloop.run(main())
