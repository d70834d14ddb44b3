"""Figures of the gradient-flow study: each a pure function from its tables to a figure, with nothing trained.

`table` is that of `studies.gradient_flow`; `traces`, `signals`, `spectra`, `interpolations`, `distances` and
`agreements` are those of `gradient_flow_measures`.
"""

from __future__ import annotations

from functools import partial

from .gradient_flow_agreement import agreement
from .gradient_flow_curves import accuracies
from .gradient_flow_map import solution_map
from .gradient_flow_norms import explore_choices, explore_plot, gradient_norms
from .gradient_flow_parts import WORDS
from .gradient_flow_path import to_the_pruned
from .gradient_flow_spectrum import spectrum
from .gradient_flow_start import logit_scale
from .gradient_flow_updates import update_changes
from .tables import shown as shown_in

__all__ = [
    "accuracies",
    "agreement",
    "explore_choices",
    "explore_plot",
    "gradient_norms",
    "logit_scale",
    "shown",
    "solution_map",
    "spectrum",
    "to_the_pruned",
    "update_changes",
]

shown = partial(shown_in, words=WORDS)
