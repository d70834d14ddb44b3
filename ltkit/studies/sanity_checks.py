"""The sanity-check study (sanity_checks.md): which runs it needs.

Its parameters are in `sanity_checks_params`, what the runs say in `sanity_checks_claims`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from ..lab import Lab
from ..lab.measured import measured
from ..prune import checks, tickets
from ..prune.masks import counts
from ..spec import Init, Magnitude, Run
from .existence_params import network
from .recipes import recipe, task
from .sanity_checks_params import METHODS, PRETRAINED, Params

Labelled = tuple[dict[str, Any], Run]


def dense(params: Params, name: str, seed: int) -> Run:
    """The dense network of one seed."""
    trained = recipe(params, params.lr, params.epochs_of(name))
    start = Init(seed=seed, scheme="glorot_normal" if name.startswith("lenet") else "kaiming_normal")
    return Run(task=task(params), network=network(name), recipe=trained, start=start, order=seed)


def method(params: Params, whole: Run, name: str, density: float) -> Run:
    """The run of a method at a density, before any check."""
    if name in ("snip", "grasp", "synflow", "magnitude"):
        steps = params.synflow_steps if name == "synflow" else None
        given: dict[str, Any] = {"density": density, "per_class": params.per_class, "prunable": params.prunable}
        return tickets.scored(whole, name, steps=steps, **given)  # type: ignore[arg-type]
    if METHODS[name] == "random":
        distribution = "uniform" if name == "random" else name
        return tickets.random(whole, density=density, distribution=distribution, prunable=params.prunable)  # type: ignore[arg-type]
    mask = Magnitude(run=whole, density=density, prunable=params.prunable)
    if name == "lt":
        return tickets.ticket(whole, mask)
    if name == "imp":
        return iterative(params, whole, density)
    back = params.rewind_epoch(whole.recipe.epochs or 1)
    if name == "weight_rewinding":
        return longer(params, tickets.ticket(whole, mask, back))
    scope: Any = {"hybrid": "smart", "hybrid_uniform": "layer", "hybrid_erk": "erk"}.get(name, "global")
    return longer(params, tickets.fine_tune(whole, mask.replace(scope=scope), resume=back))


def iterative(params: Params, whole: Run, density: float) -> Run:
    """IMP in `imp_rounds` rounds of equal rate, its last mask exactly at `density`, rewound to θ_0."""
    trained = whole
    for done in range(1, params.imp_rounds + 1):
        target = density if done == params.imp_rounds else round(density ** (done / params.imp_rounds), 6)
        mask = Magnitude(run=trained, density=target, prunable=params.prunable)
        trained = tickets.ticket(whole, mask)
    return trained


def longer(params: Params, run: Run) -> Run:
    """A rewound run as it is, or with as many epochs as the dense one had behind its rewinding point (`full`)."""
    epochs, back = run.recipe.epochs or 1, getattr(run.start, "resume", 0)
    if params.partial_length == "rest":
        return run
    whole = epochs + back
    milestones = tuple(m * epochs / whole for m in run.recipe.milestones)  # at the epochs where the dense one has them
    return run.replace(recipe=run.recipe.replace(epochs=whole, milestones=milestones))


def checked(run: Run, name: str, check: str) -> Run | None:
    """The run under a check; None where the check doesn't apply to the method or changes nothing."""
    if check in ("halved", "shortened") and name not in PRETRAINED:
        return None
    if check == "inverted" and METHODS[name] == "random":
        return None
    apply: dict[str, Callable[[Run], Run]] = {
        "corrupted": checks.corrupted,
        "labels": lambda run: checks.corrupted(run, pixels=False),
        "pixels": lambda run: checks.corrupted(run, labels=False),
        "rearranged": tickets.shuffled,
        "reinit": tickets.reinit,
        "inverted": tickets.inverted,
        "weights": checks.weights_shuffled,
        "halved": checks.halved,
        "shortened": checks.shortened,
    }
    found = apply[check](run)
    return None if found == run else found


def grid(params: Params) -> list[Labelled]:
    """Every run of the study with its labels: network, method, check (none: the original), density, seed."""
    return [
        item for name in params.networks + params.contrasts for seed in params.seeds for item in of(params, name, seed)
    ]


def of(params: Params, name: str, seed: int) -> Iterator[Labelled]:
    """One network and seed: dense, each method at each density, and each method that is checked under each check."""
    whole = dense(params, name, seed)
    labels = {"network": name, "seed": seed}
    yield {**labels, "method": "dense", "check": "none", "density": 1.0}, whole
    for density in params.densities_of(name):
        for one in params.methods_of(name):
            run, at = method(params, whole, one, density), {**labels, "method": one, "density": density}
            yield {**at, "check": "none"}, run
            if one in params.unchecked or density not in params.check_densities_of(name):
                continue
            for check in params.checks_of(name):
                if (other := checked(run, one, check)) is not None:
                    yield {**at, "check": check}, other


def every_run(params: Params, root: str | None = None) -> list[Run]:
    """All runs of the study; none depends on where the data lie."""
    return [run for _, run in grid(params)]


def collect(params: Params, lab: Lab) -> pd.DataFrame:
    """Trains what is missing and gives the study's table, a row a run."""
    labelled = grid(params)
    lab.run(run for _, run in labelled)
    return lab.table(labelled)


@measured(every_run)
def layers(params: Params, lab: Lab) -> pd.DataFrame:
    """How many weights each layer of each mask keeps: a row a layer, with the labels of `grid`.

    Columns: the labels, layer, number (1 is the first), kept, size, units (neurons or channels that it feeds).
    """
    rows = []
    for labels, run in grid(params):
        for number, (layer, mask) in enumerate(lab.mask(run).items(), start=1):
            kept, units = counts({layer: mask})[layer], len(mask)
            of = {"layer": layer, "number": number, "kept": kept, "size": mask.numel(), "units": units}
            rows.append({**labels, **of, "run": run.name})
    return pd.DataFrame(rows)
