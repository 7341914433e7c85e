"""The node below the services: it knows messages and sockets, but no coroutine.

Mirrors skynet-src/. Nothing here imports the scheduler, the trace or the view;
what happens is told to a sink (`emit`) that is handed in from above.
"""
