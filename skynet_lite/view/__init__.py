"""Pictures of traces. Needs `skynet_lite.trace` and matplotlib; no node, no greenlet, no epoll."""

from .timeline import timeline as timeline
