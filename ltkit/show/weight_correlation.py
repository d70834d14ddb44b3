"""Figures of the weight-correlation study: each a pure function from its tables to a figure, with nothing trained.

`table` is that of `studies.weight_correlation`, `overlaps` and `residuals` those of `weight_correlation_overlaps`,
`effects` and `regression` those of `weight_correlation_evidence`.
"""

from __future__ import annotations

from functools import partial

from .tables import shown as shown_in
from .weight_correlation_curves import accuracy_by_method, explore_choices, explore_plot
from .weight_correlation_interventions import interventions
from .weight_correlation_overlaps import admm_residual, overlap_by_p, ticket_overlap
from .weight_correlation_parts import MASKINGS, SCOPES
from .weight_correlation_scatter import advantage_scatter

__all__ = [
    "accuracy_by_method",
    "admm_residual",
    "advantage_scatter",
    "explore_choices",
    "explore_plot",
    "interventions",
    "overlap_by_p",
    "shown",
    "ticket_overlap",
]

shown = partial(shown_in, words={**MASKINGS, **SCOPES})
