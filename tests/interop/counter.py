"""A snax service that can be reached from other nodes; counter.lua is its twin, method for method."""

from skynet_lite import snax

total = 0


def init(first=0):
    global total
    total = first
    snax.enablecluster()


@snax.accept
def add(n):
    global total
    total += n


@snax.response
def get():
    return total


@snax.response
def refuse(why):
    raise ValueError(why)
