"""Which runs exist? Train the missing ones, parents first, as cohorts."""

from ..train.trace import Trace
from .lab import Lab, Tally

__all__ = ["Lab", "Tally", "Trace"]
