"""Thin adapters of well-known libraries to skynet sockets; each needs `pip install skynet_lite[contrib]` (metrics: `[metrics]`)."""
