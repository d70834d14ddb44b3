"""Whole networks in the greedy-bounds study: pruned by every rule, tuned, and trained from scratch as the control.

A budget gives every layer the same density, so at a budget nearly all rules leave networks of the same widths: these
are tuned as one cohort, and share what is trained from fresh weights, all seeds together. Nothing here is a run of the
store: slim networks are trained where they are made (`ltkit.prune.tune`), on the training images as they are.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor, fx

from .. import data
from ..data.batch import normalise
from ..lab import Lab
from ..lab.measured import measured
from ..lab.sizes import best_size
from ..models.plain import torch_module
from ..prune.channels import groups
from ..prune.greedy_stops import Budget, Discrepancy, Stop
from ..prune.network import Layer, Pruned, greedy_network
from ..prune.slim import fold, latency, remove
from ..prune.tune import accuracy, fresh, recalibrate, tune, tune_together
from ..spec import Run, Task
from .gradient_flow_measures import sound, training_images
from .greedy_bounds import dense, runs, scheme
from .greedy_bounds_params import LOCAL, ORIGINAL, Params
from .greedy_bounds_workers import alone, side_by_side

Rows: TypeAlias = pd.DataFrame
Split: TypeAlias = tuple[Tensor, Tensor]  # images, labels

CELL = ["network", "rule", "budget", "seed"]
SLIM = [*CELL, "multiply_adds", "parameters", "dense", "before", "tuned", "scratch", "scratch_full", "dense_tuned"]
SLIM += ["reweighted", "recalibrated", "difference", "logit", "passes", "seconds", "run"]
LAYERS = ["layer", "width", "kept", "relative", "chosen"]
KEPT = [*CELL, "layer", "width", "kept"]
TIMED = ["latency_dense", "latency_slim"]
ALL = 2**31  # more images than there are
ROUNDS = 15  # of a latency


@dataclass(frozen=True, eq=False)
class Trained:
    """A dense network of the study with the images that are needed around it."""

    params: Params
    name: str
    seed: int
    run: Run
    shape: tuple[int, int, int]  # of an image
    classes: int
    module: fx.GraphModule
    train: Split
    calibration: Split  # the first training images in a random order
    validation: Split
    test: Split


def cells(params: Params, lab: Lab, names: Iterable[str], seeds: Iterable[int]) -> list[tuple[str, int]]:
    """Networks and seeds; what diverged is left out."""
    return [cell for cell in itertools.product(names, seeds) if sound(lab, dense(params, *cell))]


def trained(params: Params, lab: Lab, name: str, seed: int) -> Trained:
    """The dense network of one seed, on the lab's device."""
    run = dense(params, name, seed)
    dataset = data.load(run.task, lab.root)
    module = torch_module(run.network, dataset.shape, dataset.classes, lab.weights(run)).to(lab.device)
    splits = _splits(run.task, lab.root, params.calibration, lab.device)
    return Trained(params, name, seed, run, dataset.shape, dataset.classes, module, *splits)


@functools.lru_cache(maxsize=2)
def _splits(task: Task, root: str | None, calibration: int, device: torch.device) -> list[Split]:
    """All images for training, those to select on, to judge on and to test on, normalised, with labels."""
    dataset = data.load(task, root)
    splits = [training_images(task, root, count) for count in (ALL, calibration)]
    for x, y in ((dataset.validation_x, dataset.validation_y), (dataset.test_x, dataset.test_y)):
        splits.append((normalise(x.unsqueeze(0), dataset.mean, dataset.std)[0], y))
    return [(x.to(device), y.to(device)) for x, y in splits]


def tuned(
    given: Trained, modules: Sequence[fx.GraphModule], epochs: int, lr: float, seeds: Sequence[int]
) -> list[float]:
    """Test accuracies (percent) after training copies of networks of equal widths for so long, on the given images."""
    new, p = [copy.deepcopy(module) for module in modules], given.params
    kept: Any = {"epochs": epochs, "batch_size": p.batch_size, "momentum": p.momentum, "weight_decay": p.weight_decay}
    size = best_size(given.run, given.shape, given.classes, given.train[0].device)
    for at in range(0, len(new), size):
        some, own = new[at : at + size], seeds[at : at + size]
        if len(some) == 1:
            tune(some[0], *given.train, lr=lr, seed=own[0], **kept)
        else:
            lrs = [lr] * len(some)
            tune_together(some, given.run.network, *given.train, classes=given.classes, lrs=lrs, seeds=own, **kept)
    return [accuracy(module, *given.test) for module in new]


def stop(budget: float) -> Budget:
    """The stop of one of the study's budgets, which are shares of the multiply-adds."""
    return Budget(budget, "multiply_adds")


def prune(given: Trained, rule: str, until: Stop, **options: Any) -> Pruned:
    """The network pruned by a rule of the study; `options` are those of `ltkit.prune.network.greedy_network`."""
    if rule == ORIGINAL:
        rule, options = "local", {"target": "original", **options}
    if rule == "label_loss":
        options = {"labels": given.calibration[1], **options}
    judge = given.validation[0] if rule == "better" else None  # the others have nothing to choose between
    plain = {"shortlist": given.params.shortlist, "judge": judge, "seed": given.seed}
    return greedy_network(given.module, given.calibration[0], stop=until, rule=rule, **{**plain, **options})


@measured(runs)
def pruned(params: Params, lab: Lab) -> Rows:
    """Every network by every rule that it is pruned by: columns `SLIM` and `LAYERS`, a row a layer of a pruned network.

    What is one number a network stands in each of its layers' rows: see `slim` and `kept`.
    """
    work = [functools.partial(_of, params, lab, *cell) for cell in cells(params, lab, params.every, params.seeds)]
    if not work:
        return pd.DataFrame(columns=[*SLIM, *LAYERS])
    found = pd.concat(side_by_side(work, lab), ignore_index=True)
    sizes = found.groupby(["network", "widths"], sort=False, as_index=False).agg(seeds=("seed", "unique"))
    others = [functools.partial(_tuned, params, lab, name) for name in found["network"].unique()]
    others += [
        functools.partial(_fresh, params, lab, s.network, s.widths, s.seeds.tolist()) for s in sizes.itertuples()
    ]
    made = side_by_side(reversed(others), lab)  # the longest first
    whole, slim = (pd.concat([t for t in made if ("widths" in t) == kind], ignore_index=True) for kind in (False, True))
    both = found.merge(whole, on=["network", "seed"]).merge(slim, on=["network", "widths", "seed"])
    return both[[*SLIM, *LAYERS]]


@measured(runs)  # one by one too: at larger scales this takes an hour, and may be interrupted
def _of(params: Params, lab: Lab, name: str, seed: int) -> Rows:
    """One dense network by all rules and budgets, selected and tuned; `widths` are those of its layers in one text."""
    given = trained(params, lab, name, seed)
    whole = {"network": name, "seed": seed, "run": given.run.name, "dense": accuracy(given.module, *given.test)}
    rows: list[dict[str, Any]] = []
    for budget in params.budgets_of(name):
        equal: dict[str, list[_Slimmed]] = {}
        for rule in params.rules_of(name, budget):
            slimmed = _pruned(given, rule, budget)
            equal.setdefault("-".join(str(layer["kept"]) for layer in slimmed.layers), []).append(slimmed)
        for widths, group in equal.items():
            modules = [one.module for one in group]
            after = tuned(given, modules, params.tune_epochs, params.tune_lr, [seed] * len(group))
            for one, reached in zip(group, after, strict=True):
                rows += [{**whole, "widths": widths, **one.told, "tuned": reached, **layer} for layer in one.layers]
    return pd.DataFrame(rows)


@measured(runs)
def _tuned(params: Params, lab: Lab, name: str) -> Rows:
    """The dense networks of all seeds after training on for as long as slim ones are tuned."""
    seeds = [seed for _, seed in cells(params, lab, [name], params.seeds)]
    given = [trained(params, lab, name, seed) for seed in seeds]
    after = tuned(given[0], [one.module for one in given], params.tune_epochs, params.tune_lr, seeds)
    return pd.DataFrame({"network": name, "seed": seeds, "dense_tuned": after})


@measured(runs)
def _fresh(params: Params, lab: Lab, name: str, widths: str, seeds: list[int]) -> Rows:
    """Slim networks from fresh weights: for as long as tuning takes, and with the dense training on top."""
    given = trained(params, lab, name, seeds[0])
    small, image = copy.deepcopy(given.module), given.test[0][:1]
    for group, count in zip(groups(small), widths.split("-"), strict=True):
        remove(small, group, np.arange(int(count)), image)
    starts = [fresh(small, seed, scheme(name)) for seed in seeds]
    short = tuned(given, starts, params.tune_epochs, params.lr, seeds)
    longer = tuned(given, starts, params.epochs_of(name) + params.tune_epochs, params.lr, seeds)
    told = {"network": name, "widths": widths, "seed": seeds}
    return pd.DataFrame({**told, "scratch": short, "scratch_full": longer})


@dataclass(frozen=True, eq=False)
class _Slimmed:
    """A network as it was selected."""

    module: fx.GraphModule
    told: dict[str, Any]  # the numbers of the network
    layers: list[dict[str, Any]]


def _pruned(given: Trained, rule: str, budget: float) -> _Slimmed:
    begun = time.thread_time()
    found = prune(given, rule, stop(budget))
    seconds = time.thread_time() - begun
    statistics = copy.deepcopy(found.module)
    recalibrate(statistics, given.calibration[0])
    told: dict[str, Any] = {
        "rule": rule,
        "budget": budget,
        "multiply_adds": found.after.multiply_adds / found.before.multiply_adds,
        "parameters": found.after.parameters / found.before.parameters,
        "before": accuracy(found.module, *given.test),
        "recalibrated": accuracy(statistics, *given.test),
        "reweighted": math.nan,
        **_apart(given, found),
        "passes": sum(layer.passes for layer in found.layers),
        "seconds": seconds,
    }
    if rule in LOCAL and rule != "negative":
        told["reweighted"] = accuracy(prune(given, rule, stop(budget), reweight=True).module, *given.test)
    layers = [{**_layer(layer), "relative": layer.relative, "chosen": layer.rule} for layer in found.layers]
    return _Slimmed(found.module, told, layers)


@torch.no_grad()
def _apart(given: Trained, found: Pruned) -> dict[str, float]:
    """The largest |masked − slim logit| on the test images, and the largest masked one: all masks, all removals."""
    masked = copy.deepcopy(given.module)
    for layer in found.layers:
        fold(masked, layer.choice.group, layer.choice.weights)
    logits = masked(given.test[0])
    difference = float((logits - found.module(given.test[0])).abs().max())
    return {"difference": difference, "logit": float(logits.abs().max())}


def _layer(layer: Layer) -> dict[str, Any]:
    group = layer.choice.group
    return {"layer": group.producer, "width": group.channels, "kept": len(layer.choice.kept)}


@measured(runs)
def enough(params: Params, lab: Lab) -> Rows:
    """How many neurons each layer keeps when it stops at a relative error, by rule: columns `KEPT`, budget NaN.

    Layers differ here, which at a budget they don't. The rules that see a layer's own output only.
    """
    work = [functools.partial(_enough, params, lab, *cell) for cell in cells(params, lab, params.every, params.seeds)]
    rows = [row for found in side_by_side(work, lab) for row in found]
    return pd.DataFrame(rows, columns=KEPT)


def _enough(params: Params, lab: Lab, name: str, seed: int) -> list[dict[str, Any]]:
    given, rows = trained(params, lab, name, seed), []
    for rule in LOCAL:
        found = prune(given, rule, Discrepancy(params.error))
        cell = {"network": name, "rule": rule, "budget": math.nan, "seed": seed}
        rows += [{**cell, **_layer(layer)} for layer in found.layers]
    return rows


@measured(runs)
def latencies(params: Params, lab: Lab) -> Rows:
    """Milliseconds for the test images before and after: network, budget and `TIMED`, a row a network and budget.

    Of the first seed, with the widths that the budget gives. On one core, with nothing else beside it.
    """
    return alone(functools.partial(_latencies, params, lab))


def _latencies(params: Params, lab: Lab) -> Rows:
    rows = []
    for cell in cells(params, lab, params.every, params.seeds[:1]):
        given = trained(params, lab, *cell)
        for budget in params.budgets_of(given.name):
            both = {"latency_dense": given.module, "latency_slim": prune(given, "random", stop(budget)).module}
            taken = latency(both, given.test[0], ROUNDS)
            rows.append({"network": given.name, "budget": budget, **{key: 1000 * taken[key] for key in TIMED}})
    return pd.DataFrame(rows, columns=["network", "budget", *TIMED])


def slim(found: Rows, timed: Rows) -> Rows:
    """A row a pruned network, from the tables of `pruned` and `latencies`: `SLIM` and `TIMED`."""
    return found.drop_duplicates(CELL)[SLIM].merge(timed, on=["network", "budget"], how="left", validate="many_to_one")


def kept(found: Rows) -> Rows:
    """A row a layer of a pruned network, from the table of `pruned`: `CELL`, layer, width, kept."""
    return found[KEPT].reset_index(drop=True)
