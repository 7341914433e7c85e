"""Thin adapters of well-known libraries to skynet sockets; install `skynet_lite[contrib]`, for metrics `[metrics]`."""
