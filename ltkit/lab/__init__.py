"""Which runs exist? Train the missing ones, parents first, as cohorts."""

from .lab import Lab, Tally

__all__ = ["Lab", "Tally"]
