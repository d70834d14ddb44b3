"""Verdicts: intervals over seeds, the papers' claims as data, and what the runs say about them. Imports without torch.

A study takes a claim from its paper's tuple (`find(EXISTENCE, "A1b")`), makes one paired difference a seed (`paired`),
and asks `judge`. What can't be tested is listed too (`untested`).
"""

from .claims import (
    EXISTENCE,
    GRADIENT_FLOW,
    GREEDY_BOUNDS,
    MODE_CONNECTIVITY,
    SANITY_CHECKS,
    WEIGHT_CORRELATION,
    Claim,
    find,
)
from .conditions import conditions, tau_sim
from .judge import Verdict, judge, untested
from .prize import judge_prize, network_prize
from .rules import decide
from .stats import Estimate, detectable, estimate, holm, p_above, p_below, paired, t_interval, welch

__all__ = [
    "EXISTENCE",
    "GRADIENT_FLOW",
    "GREEDY_BOUNDS",
    "MODE_CONNECTIVITY",
    "SANITY_CHECKS",
    "WEIGHT_CORRELATION",
    "Claim",
    "Estimate",
    "Verdict",
    "conditions",
    "decide",
    "detectable",
    "estimate",
    "find",
    "holm",
    "judge",
    "judge_prize",
    "network_prize",
    "p_above",
    "p_below",
    "paired",
    "t_interval",
    "tau_sim",
    "untested",
    "welch",
]
