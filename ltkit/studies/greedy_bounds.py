"""The greedy-bounds study (greedy_bounds.md): which runs it needs.

These are the dense networks that are pruned, and nothing else: selection, tuning and its controls make no runs of their
own. Layers are looked at in `greedy_bounds_curves`, whole networks in `greedy_bounds_networks`, what both say is in
`greedy_bounds_claims`.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..lab import Lab
from ..spec import Init, Run, Task
from .existence_params import network
from .greedy_bounds_params import Params
from .greedy_bounds_workers import prepare
from .recipes import recipe

__all__ = ["Params", "collect", "dense", "grid", "runs"]

Labelled = tuple[dict[str, Any], Run]


def scheme(name: str) -> str:
    """How fresh weights of a network are drawn: as in the existence study, whose dense runs these are."""
    return "glorot_normal" if name.startswith("lenet") else "kaiming_normal"


def dense(params: Params, name: str, seed: int) -> Run:
    """The dense network of one seed. Images are never augmented: neither are they when what is left is tuned."""
    trained = recipe(params, params.lr, params.epochs_of(name))
    task = Task(data=params.data, validation=params.validation)
    start = Init(seed=seed, scheme=scheme(name))  # type: ignore[arg-type]
    return Run(task=task, network=network(name), recipe=trained, start=start, order=seed)


def grid(params: Params, root: str | None = None) -> list[Labelled]:
    """Every run of the study with its labels: network, seed."""
    return [
        ({"network": name, "seed": seed}, dense(params, name, seed)) for name in params.every for seed in params.seeds
    ]


def runs(params: Params, root: str | None = None) -> list[Run]:
    """The runs of the grid, as `ltkit.lab.measured` wants them."""
    return [run for _, run in grid(params, root)]


def collect(params: Params, lab: Lab) -> pd.DataFrame:
    """Trains what is missing and gives the study's table, a row a run: network, seed, accuracy, ..., outcome, run."""
    labelled = grid(params, lab.root)
    if any(lab.store.done(run.name) is None for _, run in labelled):
        prepare(lab)  # what is made of new runs isn't in the store either
    lab.run(run for _, run in labelled)
    return lab.table(labelled)
