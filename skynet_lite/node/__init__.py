"""A node: its configuration, its services, what drives it, and the way in from outside."""

from .node import Node as Node
from .recording import mark as mark

__all__ = ["Node", "mark"]
