"""What a member of a cohort is made from, and which runs can be members of one cohort."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ..spec import From, Repel, Run, Trace, plain


@dataclass(frozen=True)
class Job:
    """One member: a run with the weights, mask and optimizer state that it starts from."""

    run: Run
    weights: Mapping[str, Tensor]  # parameters and buffers of one network; pruned weights are 0
    mask: Mapping[str, Tensor] = field(default_factory=dict)  # {}: dense
    slots: Mapping[str, Tensor] = field(default_factory=dict)  # "momentum/fc1.weight" and so on; {}: fresh
    keep: frozenset[int] = frozenset()  # epochs after which a checkpoint is taken
    # What the run's extra loss refers to: (K, ...) for each tensor it looks at, 0 where pruned; {}: no extra loss.
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    trace: Trace | None = None  # what is recorded on the way


# What may differ between members: these decide a member's labels, images, order, rate, never the program's shape.
_OWN_TASK = ("labels", "corruption_seed", "pixels", "subset_seed")
_OWN_RECIPE = ("lr", "weight_decay")


def cohort_key(run: Run) -> str:
    """Runs with equal keys can be trained in one cohort."""
    task = {k: v for k, v in plain(run.task).items() if k not in _OWN_TASK}
    recipe = {k: v for k, v in plain(run.recipe).items() if k not in _OWN_RECIPE}
    references = len(run.extra.runs) if isinstance(run.extra, Repel) else 1
    pull = run.extra and [run.extra.kind, references]
    return json.dumps([task, plain(run.network), recipe, resume_epoch(run), run.recipe.weight_decay > 0, pull])


def resume_epoch(run: Run) -> int:
    """The epoch of the schedule at which a run begins."""
    return run.start.resume if isinstance(run.start, From) else 0
