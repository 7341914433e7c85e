"""The program of the article that this course starts from: a service that listens.

skynet-lite trace docs/listen.py                        # its trace as text
skynet-lite trace docs/listen.py --png listen.png       # as a timeline
skynet-lite trace docs/listen.py --send 'hello\\n'       # with a client, whose line is echoed
"""

from skynet_lite import mark, skynet, socket


def accept(id, addr):
    skynet.fork(echo, id)


def echo(id):
    socket.start(id)
    while (line := socket.readline(id)) is not None:
        socket.write(id, line.upper() + b"\n")
    socket.close(id)


@skynet.start
def main():
    addr = "127.0.0.1:0"
    skynet.error("listen " + addr)
    lid = socket.listen(addr)
    assert lid
    socket.start(lid, accept)
    mark("start ends")
