"""The papers' claims as data, one file a paper."""

from .claim import KINDS, MARKS, Claim, find
from .existence import EXISTENCE
from .gradient_flow import GRADIENT_FLOW
from .greedy_bounds import GREEDY_BOUNDS
from .mode_connectivity import MODE_CONNECTIVITY
from .sanity_checks import SANITY_CHECKS
from .weight_correlation import WEIGHT_CORRELATION

__all__ = [
    "EXISTENCE",
    "GRADIENT_FLOW",
    "GREEDY_BOUNDS",
    "KINDS",
    "MARKS",
    "MODE_CONNECTIVITY",
    "SANITY_CHECKS",
    "WEIGHT_CORRELATION",
    "Claim",
    "find",
]
