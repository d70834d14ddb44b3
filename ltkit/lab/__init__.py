"""Which runs exist? Train the missing ones, parents first, as cohorts."""

from ..spec import Trace
from .lab import Lab, Tally

__all__ = ["Lab", "Tally", "Trace"]
