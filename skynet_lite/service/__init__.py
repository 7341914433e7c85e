"""Services that come with a node. As a name it is skynet's service library, see lualib/service.py."""

from ..lualib.service import close as close, new as new, query as query

__all__ = ["close", "new", "query"]
__dir__ = __all__.copy
