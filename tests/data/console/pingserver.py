"""A snax service, as skynet's examples have one."""

from skynet_lite import snax

accept, response = snax.accept, snax.response
