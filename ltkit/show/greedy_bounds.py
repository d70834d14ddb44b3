"""Figures of the greedy-bounds study: each a pure function from its tables to a figure, with nothing trained.

`curves`, `rates` and `regimes` are those of `studies.greedy_bounds_curves`; `slim`, `kept`, `shortlist`, `costs`,
`matches` and `picks` those of `greedy_bounds_networks`. Errors are relative to ‖t‖², shares lie between 0 and 1.
"""

from __future__ import annotations

from .greedy_bounds_costs import costs, shortlist_recall
from .greedy_bounds_crossover import crossover
from .greedy_bounds_curves import discrepancy
from .greedy_bounds_explore import explore_choices, explore_plot, explore_table
from .greedy_bounds_laws import two_laws
from .greedy_bounds_map import regime_map
from .greedy_bounds_rates import rates
from .greedy_bounds_slim import accuracy_over_flops
from .greedy_bounds_widths import kept_widths
from .tables import shown

__all__ = [
    "accuracy_over_flops",
    "costs",
    "crossover",
    "discrepancy",
    "explore_choices",
    "explore_plot",
    "explore_table",
    "kept_widths",
    "rates",
    "regime_map",
    "shortlist_recall",
    "shown",
    "two_laws",
]
