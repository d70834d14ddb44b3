"""The papers' claims as data, one file a paper."""

from .claim import KINDS, MARKS, Claim, find
from .existence import EXISTENCE

__all__ = ["EXISTENCE", "KINDS", "MARKS", "Claim", "find"]
