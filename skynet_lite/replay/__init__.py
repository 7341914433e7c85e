"""A run again, from its recording alone."""

from .replay import Replay as Replay, replay as replay

__all__ = ["Replay", "replay"]
