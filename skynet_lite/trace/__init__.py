"""Traces: what a node did, as plain data that can be printed, stored, drawn and questioned.

This package knows no node. A recording is handed in as raw events; a stored trace
is read where there is no greenlet and no epoll.
"""

from .diff import Diff as Diff
from .recorder import Recorder as Recorder
from .schema import TraceError as TraceError
from .trace import Part as Part, Trace as Trace
from .verdicts import Verdict as Verdict, Verdicts as Verdicts
from .waits import Wait as Wait, Waits as Waits
