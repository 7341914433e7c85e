"""A snax service that can be reached from other nodes; counter.lua is its twin, method for method."""

from skynet_lite import snax
from skynet_lite.snax import accept, response

total = 0


def init(first=0):
    global total
    total = first
    snax.enablecluster()


@accept
def add(n):
    global total
    total += n


@response
def get():
    return total


@response
def refuse(why):
    raise ValueError(why)
