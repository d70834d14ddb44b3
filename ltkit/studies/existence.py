"""The existence study (existence.md): which runs it needs.

Its parameters are in `existence_params`, what the runs say in `existence_claims`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from .. import models
from ..analyze.overlap import null_sd, overlap_ratio
from ..lab import Lab
from ..lab.material import frame
from ..lab.measured import measured
from ..prune import tickets
from ..prune.masks import counts
from ..spec import Init, Magnitude, Run
from .existence_params import Params, network
from .recipes import recipe, task

Labelled = tuple[dict[str, Any], Run]


def dense(params: Params, name: str, lr: float, seed: int, epochs: int | None = None, warmup: float = 0.0) -> Run:
    """The dense network of one cell of the grid."""
    trained = recipe(params, lr, epochs or params.epochs_of(name), warmup=warmup)
    # The LeNets as in the first lottery-ticket paper; the others by fan-in, which is paper A's fan-out wherever a
    # convolution keeps its width and, unlike it, doesn't blow up the logits of a ten-unit classifier.
    start = Init(seed=seed, scheme="glorot_normal" if name.startswith("lenet") else "kaiming_normal")
    return Run(task=task(params), network=network(name), recipe=trained, start=start, order=seed)


def grid(params: Params, root: str | None = None) -> list[Labelled]:
    """Every run of the study with its labels: network, lr, epochs, arm, level, density, seed, and the mask's own lr.

    Arms: dense; lt_imp, lt_omp (tickets), rr_imp, rr_omp (the same masks over other weights), sdt (a dense network as
    small as the ticket), lt_shuffled (the ticket's start under permuted positions), lt_rewound (from rewind_epoch, on
    the ticket's own mask), lt_decoupled_imp and _omp (mask from one learning rate, ticket at another), and with warm-up
    dense_warm, lt_warm, rr_warm. The networks among `contrasts` have no rr_omp and lt_shuffled, and only the claim
    network and the full `networks` have lt_rewound.
    """
    found: list[Labelled] = []
    for name in params.networks + params.contrasts:
        for seed in params.seeds:
            for lr in params.lrs_of(name):
                found += cell(params, name, lr, seed, root)
    return [*found, *short(params), *decoupled(params), *warmed(params)]


def cell(params: Params, name: str, lr: float, seed: int, root: str | None) -> Iterator[Labelled]:
    """One network at one learning rate and seed: the dense run, its tickets a level, and each ticket's controls."""
    whole, levels, full = dense(params, name, lr, seed), params.levels_of(name), name in params.networks
    labels = {"network": name, "lr": lr, "mask_lr": lr, "seed": seed, "epochs": params.epochs_of(name)}
    yield {**labels, "arm": "dense", "level": 0, "density": 1.0}, whole
    imp = tickets.imp(whole, rounds=max(levels), rate=params.rate)
    omp = tickets.omp(whole, rounds=max(levels), rate=params.rate)
    for level, (winner, oneshot) in enumerate(zip(imp, omp, strict=True), 1):
        at = {**labels, "level": level, "density": params.density(level)}
        yield {**at, "arm": "lt_imp"}, winner
        if level not in levels:
            continue
        yield {**at, "arm": "rr_imp"}, tickets.reinit(winner)
        yield {**at, "arm": "lt_omp"}, oneshot
        yield {**at, "arm": "sdt"}, small_dense(whole, params.rate, level, root)
        if full:
            yield {**at, "arm": "rr_omp"}, tickets.reinit(oneshot)
            yield {**at, "arm": "lt_shuffled"}, tickets.shuffled(winner)
        if params.rewind_epoch and (full or name == params.claim_network):
            yield {**at, "arm": "lt_rewound"}, tickets.ticket(whole, winner.mask, params.rewind_epoch)


def small_dense(whole: Run, rate: float, level: int, root: str | None) -> Run:
    """The narrower dense network with the ticket's number of prunable weights (existence.md section 3, SDT)."""
    at = frame(whole, root)
    kept = Magnitude(run=whole, rate=rate, rounds=level).kept(models.prunable_count(whole.network, *at))
    narrow, _ = models.small_dense(whole.network, *at, kept)
    return whole.replace(network=narrow)


def short(params: Params) -> Iterator[Labelled]:
    """The claim network at its smallest rate, trained for short_epochs: dense, tickets, re-initialized twins (A3)."""
    for seed in params.seeds:
        whole = dense(params, params.claim_network, params.lr_short, seed, params.short_epochs)
        labels = {
            "network": params.claim_network,
            "lr": params.lr_short,
            "mask_lr": params.lr_short,
            "seed": seed,
            "epochs": params.short_epochs,
        }
        yield {**labels, "arm": "dense", "level": 0, "density": 1.0}, whole
        level = params.claim_level
        winner = tickets.imp(whole, rounds=level, rate=params.rate)[-1]
        for arm, run in (("lt_imp", winner), ("rr_imp", tickets.reinit(winner))):
            yield {**labels, "arm": arm, "level": level, "density": params.density(level)}, run


def decoupled(params: Params) -> Iterator[Labelled]:
    """Tickets of the claim network whose mask comes from lr_small or lr_large and that train at every rate (A9)."""
    level = params.claim_level
    epochs = params.epochs_of(params.claim_network)
    for seed in params.seeds:
        for mask_lr in (params.lr_small, params.lr_large):
            source = dense(params, params.claim_network, mask_lr, seed)
            masks = {
                "lt_decoupled_imp": tickets.imp(source, rounds=level, rate=params.rate)[-1].mask,
                "lt_decoupled_omp": tickets.omp(source, rounds=level, rate=params.rate)[-1].mask,
            }
            for lr in params.lrs_of(params.claim_network):
                whole = dense(params, params.claim_network, lr, seed)
                labels = {"network": params.claim_network, "lr": lr, "mask_lr": mask_lr, "seed": seed}
                at = {**labels, "epochs": epochs, "level": level, "density": params.density(level)}
                yield from (({**at, "arm": arm}, tickets.ticket(whole, mask)) for arm, mask in masks.items())


def warmed(params: Params) -> Iterator[Labelled]:
    """A1a's control: at the large rate with warm-up, mask and ticket both, tickets may win again."""
    if not params.warmup_control:
        return
    for seed in params.seeds:
        whole = dense(params, params.claim_network, params.lr_large, seed, warmup=params.warmup_control)
        labels = {"network": params.claim_network, "lr": params.lr_large, "mask_lr": params.lr_large, "seed": seed}
        labels = {**labels, "epochs": params.epochs_of(params.claim_network)}
        yield {**labels, "arm": "dense_warm", "level": 0, "density": 1.0}, whole
        winner = tickets.imp(whole, rounds=params.claim_level, rate=params.rate)[-1]
        at = {**labels, "level": params.claim_level, "density": params.density(params.claim_level)}
        yield {**at, "arm": "lt_warm"}, winner
        yield {**at, "arm": "rr_warm"}, tickets.reinit(winner)


def every_run(params: Params, root: str | None = None) -> list[Run]:
    """All runs of the study."""
    return [run for _, run in grid(params, root)]


def collect(params: Params, lab: Lab) -> pd.DataFrame:
    """Trains what is missing and gives the study's table, a row a run; `prunable` counts its network's weights."""
    labelled = grid(params, lab.root)
    lab.run(run for _, run in labelled)
    sizes = {name: _prunable(params, name, lab.root) for name in params.networks + params.contrasts}
    table = lab.table(labelled)
    return table.assign(prunable=table["network"].map(sizes))


def _prunable(params: Params, name: str, root: str | None) -> int:
    whole = dense(params, name, params.lr_small, params.seeds[0])
    return models.prunable_count(whole.network, *frame(whole, root))


@measured(every_run)
def overlap(params: Params, lab: Lab, p: float = 0.1) -> pd.DataFrame:
    """R_p of a ticket's start with the masked dense weights θ_T⊙m at the overlap level (A11); two rows a run.

    `start` is own (θ_0⊙m) or fresh (θ_0'⊙m), the negative control; `null_sd` the width of chance. Both NaN where
    training diverged.
    """
    rows = []
    for name in dict.fromkeys((params.claim_network, *params.networks)):
        for lr in params.lrs_of(name):
            for seed in params.seeds:
                whole = dense(params, name, lr, seed)
                ticket = tickets.imp(whole, rounds=params.overlap_level, rate=params.rate)[-1]
                good = set(lab.table([({}, run) for run in (whole, ticket)])["outcome"]) == {"finished"}
                mask, trained = lab.mask(ticket), lab.weights(whole)
                sd = null_sd(p, sum(counts(mask).values())) if good else math.nan
                for start, run in (("own", ticket), ("fresh", tickets.reinit(ticket))):
                    ratio = overlap_ratio(lab.weights(run, 0), trained, p, mask, mask) if good else math.nan
                    labels = {"network": name, "lr": lr, "seed": seed, "start": start, "runs": (run.name, whole.name)}
                    rows.append({**labels, "p": p, "ratio": ratio, "null_sd": sd})
    return pd.DataFrame(rows)
