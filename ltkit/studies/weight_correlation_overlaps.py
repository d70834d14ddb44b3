"""What the weight-correlation study measures on stored weights: overlap ratios, ADMM's residuals.

Nothing here trains: the runs are those of `weight_correlation.collect`. What a diverged run would have given is NaN.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from .. import models
from ..analyze import overlap
from ..lab import Lab
from ..lab.material import ParentDiverged, admm_residual, frame
from ..lab.measured import measured
from ..prune import tickets
from ..prune.masks import Mask
from ..spec import Magnitude, Run
from .weight_correlation import Labelled, Place, dense, every_run, grid, pretrained
from .weight_correlation_params import P, Params

LABELS = ["network", "pair", "arm", "masking", "scope", "level", "density", "lr", "mask_lr", "decay", "recipe", "seed"]
COLUMNS = [*LABELS, "p", "layer", "overlap", "sd", "runs"]
ALL = "all"  # stands for a layer's name where all layers are counted together
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Pair:
    """Two weight vectors to compare: None where a run diverged; `mask`: count among its kept weights only."""

    name: str
    a: Weights | None
    b: Weights | None
    ps: tuple[float, ...]
    runs: tuple[str, ...]
    mask: Mask | None = None


@measured(every_run)
def overlaps(params: Params, lab: Lab) -> pd.DataFrame:
    """R_p of all pairs of weight vectors that the claims speak of: a row a pair, p and layer ("all": all together).

    Columns: the labels of `weight_correlation.row`, pair, p, layer, overlap (0 to 1), sd (of an overlap by chance),
    runs (names). With θ_0 the initial weights, θ_0′ fresh ones, θ_T what the mask m was cut from:

        dense                      init_final         θ_0 with θ_T, for every p
                                   fresh_final        θ_0′ with θ_T, for every p
                                   same               θ_T with itself
        lt, pft: kept weights      start_final        θ_0⊙m with what the arm ended with
                                   fresh_start_final  θ_0′⊙m with it (pft)
        pft, rr: all weights       tuned_init         what P&FT ended with and θ_0 (pft)
                                   tuned_dense        what the arm ended with and θ_T
                                   masked_dense       θ_0′⊙m, not trained, with θ_T (rr)

    Where all weights count, a mask cut from |θ_T| gives about p / density by itself, and p must be below the density:
    NaN elsewhere. Sparse pairs are compared at p = .2 only, rr is measured under P&FT's one-shot and ADMM masks.
    """
    labelled = grid(params)
    tuned = {_under(at) for at, _ in labelled if at["arm"] == "pft" and at["masking"] != "iterative"}
    chosen = [
        (labels, run)
        for labels, run in labelled
        if labels["arm"] in ("dense", "lt", "pft") or (labels["arm"] == "rr" and _under(labels) in tuned)
    ]
    read, fresh = functools.lru_cache(8)(_trained), functools.lru_cache(4)(_fresh)

    def rows(labelled: Labelled) -> list[dict[str, Any]]:
        labels, run = labelled
        first, other = (fresh(params, lab, labels["network"], labels["seed"], draw) for draw in (0, 1))
        pairs = _pairs(params, lab, labels["arm"], run, pretrained(params, _source(labels)), first, other, read)
        names = _names(params, lab, run)
        return [{**labels, "pair": p.name, "runs": p.runs, **values} for p in pairs for values in _measured(p, names)]

    # A thread a worker, as the lab trains, or a core beside a GPU: sorting is most of the work.
    workers = lab.workers if lab.device.type == "cpu" else torch.get_num_threads()
    with ThreadPoolExecutor(workers, "overlaps", torch.set_num_threads, (1,)) as pool:
        return pd.DataFrame([row for found in pool.map(rows, chosen) for row in found], columns=COLUMNS)


def _pairs(
    params: Params, lab: Lab, arm: str, run: Run, whole: Run, first: Weights, other: Weights, read: Any
) -> Iterator[Pair]:
    end = read(lab, run)
    if arm == "dense":
        yield Pair("init_final", first, end, params.ps, (run.name,))
        yield Pair("fresh_final", other, end, params.ps, (run.name,))
        yield Pair("same", end, end, (P,), (run.name,))
        return
    mask = lab.mask(run) if end is not None else None
    if arm in ("lt", "pft"):
        yield Pair("start_final", first, end, (P,), (run.name,), mask)
    if arm == "pft":
        yield Pair("fresh_start_final", other, end, (P,), (run.name,), mask)
    if arm in ("pft", "rr"):
        trained, both = read(lab, whole), (run.name, whole.name)
        yield Pair("tuned_dense", trained, end, (P,), both)
        if arm == "pft":
            yield Pair("tuned_init", first, end, (P,), (run.name,))
        else:
            start = None if mask is None else {name: other[name] * kept for name, kept in mask.items()}
            yield Pair("masked_dense", trained, start, (P,), both)


def _measured(pair: Pair, names: list[str]) -> Iterator[dict[str, Any]]:
    """Columns p, layer, overlap, sd of a pair, a row a layer and p."""
    if pair.a is None or pair.b is None:
        yield from ({"p": p, "layer": ALL, "overlap": math.nan, "sd": math.nan} for p in pair.ps)
        return
    found = overlap.overlaps(pair.a, pair.b, pair.ps, names, pair.mask)
    counts = dict(zip(found["layer"], found["weights"], strict=True))
    whole = [count for layer, count in counts.items() if layer != overlap.TOTAL]
    for layer, p, ratio in found[["layer", "p", "ratio"]].itertuples(index=False):
        total = layer == overlap.TOTAL
        sd = overlap.null_moments(p, whole if total else [counts[layer]])[1]
        yield {"p": p, "layer": ALL if total else layer.removesuffix(".weight"), "overlap": ratio, "sd": sd}


@measured(every_run)
def residuals(params: Params, lab: Lab) -> pd.DataFrame:
    """ADMM's residual ‖W − Z‖ / ‖W‖ over its rounds: columns network, lr, density, seed, round, residual.

    Round 0 is the dense network. Where the penalty acts the residual falls (weight_correlation.md section 7).
    """
    rows = []
    for labels, run in grid(params):
        if (labels["masking"], labels["arm"]) != ("admm", "lt"):
            continue
        assert isinstance(run.mask, Magnitude)
        last = run.mask.run
        try:
            found = admm_residual(last, lab.store, lab.root)
        except ParentDiverged:
            found = [math.nan] * (params.admm_rounds + 1)
        at = {key: labels[key] for key in ("network", "lr", "density", "seed")}
        rows += [{**at, "round": number, "residual": value} for number, value in enumerate(found)]
    return pd.DataFrame(rows, columns=["network", "lr", "density", "seed", "round", "residual"])


def _source(labels: Mapping[str, Any]) -> Place:
    """Where the dense network stands that a row's mask was cut from."""
    lr, decay, recipe = (labels[key] for key in ("mask_lr", "decay", "recipe"))
    return Place(labels["network"], labels["seed"], lr, decay, recipe)


def _under(labels: Mapping[str, Any]) -> tuple[Any, ...]:
    """Which mask a row is under, and how it is trained."""
    return tuple(labels[key] for key in LABELS if key not in ("pair", "arm"))


def _trained(lab: Lab, run: Run) -> Weights | None:
    """A run's final weights; None for one that diverged or was never trained."""
    finished = (lab.store.done(run.name) or {}).get("outcome") == "finished"
    return lab.weights(run) if finished else None


def _fresh(params: Params, lab: Lab, name: str, seed: int, draw: int) -> Weights:
    """θ_0 of a seed, or θ_0′ (draw 1)."""
    whole = dense(params, Place(name, seed, params.lr_small, params.decay))
    return lab.weights(tickets.reinit(whole, draw) if draw else whole, 0)


def _names(params: Params, lab: Lab, run: Run) -> list[str]:
    return models.prunable(run.network, *frame(run, lab.root), params.prunable)
