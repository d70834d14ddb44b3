"""What the trainings of the gradient-flow study end in: paths to the pruned solution, distances, shared functions.

Nothing here trains: the runs are those of `gradient_flow.collect`. What a diverged run would have given is NaN.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from .. import data, models
from ..analyze import ensemble, outputs
from ..analyze.path import Pair, path
from ..lab import Lab
from ..lab.measured import measured
from ..spec import Run
from .gradient_flow import Params, by_labels, every_run
from .gradient_flow_measures import Rows, joined, side_by_side, sound, training_images

INTERPOLATIONS = ["network", "end", "density", "seed", "alpha", "loss", "error", "split", "runs"]
DISTANCES = ["network", "density", "seed", "a", "b", "distance"]
AGREEMENTS = ["network", "group", "density", "seed", "disagreement", "with_parent", "expected"]
AGREEMENTS += ["accuracy", "ensemble", "gain"]


@measured(every_run)
def interpolations(params: Params, lab: Lab) -> Rows:
    """Loss and error on the straight line to the pruned solution at α = 1 (P10): a row an end, seed and α.

    Columns `INTERPOLATIONS`; split is train. end: lt and scratch (where the ticket and paper D's Scratch end), lt_start
    and scratch_start (where they begin), all under the one mask that they share with the pruned solution; prune_other
    (an independently pruned network), each under its own, since there is no one mask under which both are solutions.
    """
    work = [functools.partial(_path, params, lab, name, seed) for name in params.networks for seed in params.seeds]
    return joined(side_by_side(work, lab.workers), INTERPOLATIONS)


def _path(params: Params, lab: Lab, name: str, seed: int) -> Rows:
    runs = _runs(params, lab)
    own = (params.start, "pruned", params.density, seed)
    parent = runs[name, "gmp", *own, 0]
    ends: dict[str, tuple[Run, int | None]] = {}
    for arm in ("lt", "scratch"):
        ends[arm], ends[f"{arm}_start"] = ((runs[name, arm, *own, 0], epoch) for epoch in (None, 0))
    if (other := runs.get((name, "prune_other", *own, 1))) is not None:
        ends["prune_other"] = (other, None)
    dataset, split = data.load(parent.task, lab.root), training_images(parent.task, lab.root, params.path_images)
    pairs = [
        Pair(end, lab.weights(parent), lab.weights(run, epoch), lab.mask(parent), lab.mask(run))
        for end, (run, epoch) in ends.items()
        if sound(lab, run) and sound(lab, parent)
    ]
    rows = path(
        parent.network,
        dataset.shape,
        dataset.classes,
        pairs,
        params.alphas,
        {"train": split},
        batch_norm="recompute" if parent.network.norm == "batch" else "none",
        calibration=split[0],
        device=lab.device,
        precision=params.precision,
    ).rename(columns={"pair": "end"})
    lost = [end for end in ends if end not in {pair.name for pair in pairs}]
    nothing = pd.DataFrame(itertools.product(lost, params.alphas), columns=["end", "alpha"])
    nothing = nothing.assign(loss=math.nan, error=math.nan, split="train")
    rows = pd.concat([part for part in (rows, nothing) if len(part)], ignore_index=True)
    names = {end: (run.name, parent.name) for end, (run, _) in ends.items()}
    rows["runs"] = [names[end] for end in rows["end"]]
    return rows.assign(network=name, density=params.density, seed=seed)[INTERPOLATIONS]


@measured(every_run)
def distances(params: Params, lab: Lab) -> Rows:
    """L2 distances over all trainable tensors, masked (P9): a row a pair of networks of one seed.

    Columns `DISTANCES`. Names: prune_end; lt_start, scratch_start; lt_end_1, ..., scratch_end_1, ..., one a twin.
    """
    runs, rows = _runs(params, lab), []
    for name, seed in itertools.product(params.networks, params.seeds):
        own = (params.start, "pruned", params.density, seed)
        parent = runs[name, "gmp", *own, 0]
        names = _trainable(parent, lab)
        points = {"prune_end": _vector(lab, parent, names)}
        for arm in ("lt", "scratch"):
            twins = [runs[name, arm, *own, number] for number in range(params.twins)]
            points[f"{arm}_start"] = _vector(lab, twins[0], names, 0)
            points |= {f"{arm}_end_{number}": _vector(lab, run, names) for number, run in enumerate(twins, 1)}
        for (a, one), (b, two) in itertools.combinations(points.items(), 2):
            gone = math.nan if one is None or two is None else float((one - two).norm())
            rows.append((name, params.density, seed, a, b, gone))
    return pd.DataFrame(rows, columns=DISTANCES)


def _trainable(run: Run, lab: Lab) -> list[str]:
    dataset = data.load(run.task, lab.root)
    with torch.device("meta"):
        return [key for key, _ in models.build(run.network, dataset.shape, dataset.classes).named_parameters()]


def _vector(lab: Lab, run: Run, names: list[str], epoch: int | None = None) -> Tensor | None:
    if not sound(lab, run):
        return None
    weights = lab.weights(run, epoch)
    return torch.cat([weights[name].double().flatten() for name in names])


@measured(every_run)
def agreements(params: Params, lab: Lab) -> Rows:
    """Whether networks of a group learned one function (P11), on the test set: a row a group and seed.

    Columns `AGREEMENTS`. group: lt and scratch (twins), lt_reinit (the ticket's mask over other weights each),
    prune_other (the pruned network and independently pruned ones), same_seed (the ticket and itself, the control).
    disagreement: mean over pairs of the share of images in different classes; with_parent: with the pruned network,
    the parent itself left out; expected: of unrelated classifiers as accurate as these; accuracy, ensemble: percent.
    """
    work = [functools.partial(_agreement, params, lab, name, seed) for name in params.networks for seed in params.seeds]
    rows = itertools.chain.from_iterable(side_by_side(work, lab.workers))
    return pd.DataFrame(rows, columns=AGREEMENTS)


def _agreement(params: Params, lab: Lab, name: str, seed: int) -> list[dict[str, Any]]:
    runs = _runs(params, lab)
    own = (params.start, "pruned", params.density, seed)
    parent = runs[name, "gmp", *own, 0]
    arms = ("lt", "scratch", "lt_reinit") if params.twins > 1 else ()
    groups = {arm: [runs[name, arm, *own, number] for number in range(params.twins)] for arm in arms}
    if params.twins > 1:
        others = [runs[name, "prune_other", *own, number] for number in range(1, params.twins)]
        groups["prune_other"] = [parent, *others]
    groups["same_seed"] = [runs[name, "lt", *own, 0]] * 2
    dataset = data.load(parent.task, lab.root)
    x = data.normalise(dataset.test_x.unsqueeze(0), dataset.mean, dataset.std)[0]
    read = functools.cache(lambda run: lab.weights(run))
    at = {"network": name, "density": params.density, "seed": seed}
    rows = []
    for group, members in groups.items():
        told = {**at, "group": group, **dict.fromkeys(AGREEMENTS[4:], math.nan)}
        if all(sound(lab, run) for run in (parent, *members)):
            weights = [read(run) for run in (*members, parent)]
            logits = outputs.logits(
                parent.network,
                dataset.shape,
                dataset.classes,
                weights,
                x,
                device=lab.device,
                precision=params.precision,
            )
            told |= _together(logits[:-1], logits[-1:], dataset.test_y, dataset.classes, group == "prune_other")
        rows.append(told)
    return rows


def _together(logits: Tensor, parent: Tensor, y: Tensor, classes: int, first_is_parent: bool) -> dict[str, float]:
    """The numbers of a group, from its members' logits (R, N, classes) and their parent's (1, N, classes)."""
    reached = ensemble.accuracies(logits, y)
    pairs = list(itertools.combinations(range(len(logits)), 2))
    apart = ensemble.disagreement(logits)
    expected = [ensemble.independent_disagreement(float(reached[a]), float(reached[b]), classes) for a, b in pairs]
    others = logits[1:] if first_is_parent else logits
    return {
        "disagreement": sum(float(apart[pair]) for pair in pairs) / len(pairs),
        "with_parent": float(ensemble.disagreement_with(others, parent).mean()),
        "expected": sum(expected) / len(expected),
        "accuracy": float(reached.mean()),
        "ensemble": ensemble.ensemble_accuracy(logits, y),
        "gain": ensemble.gain(logits, y),
    }


@functools.lru_cache(maxsize=2)
def _labelled(params: Params, root: str | None) -> dict[tuple[Any, ...], Run]:
    return by_labels(params, root)


def _runs(params: Params, lab: Lab) -> dict[tuple[Any, ...], Run]:
    return _labelled(params, lab.root)
