"""The first service of a node in a test: what Member of tests/cluster_wire.py says."""

from cluster_wire import Member

from skynet_lite import skynet

skynet.start(Member.booting.main)
