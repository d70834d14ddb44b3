"""The weight-correlation study (weight_correlation.md): which runs it needs.

Its parameters are in `weight_correlation_params`, what is measured in `weight_correlation_overlaps`, what
all of it says in `weight_correlation_claims` and `weight_correlation_controls`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from ..lab import Lab
from ..prune import checks, tickets
from ..spec import Anchor, From, Init, Magnitude, Run
from .existence_params import network
from .recipes import recipe, task
from .weight_correlation_params import Params

__all__ = ["MASKINGS", "Params", "Place", "admm", "collect", "dense", "grid", "iterative", "one_shot", "pretrained"]

Labelled = tuple[dict[str, Any], Run]
MASKINGS = ("one_shot", "iterative", "admm")


@dataclass(frozen=True)
class Place:
    """A cell of the study: what a dense network, and all that is made from it, is trained with."""

    network: str
    seed: int
    lr: float
    decay: float
    recipe: str = "plain"
    mask_lr: float | None = None  # None: the mask comes from this place's own dense network


def row(params: Params, at: Place, arm: str, masking: str = "none", scope: str = "", level: int = 0) -> dict[str, Any]:
    """The labels of one run: columns network, arm, masking, scope, level, density, lr, mask_lr, decay, recipe, seed."""
    what = {"network": at.network, "arm": arm, "masking": masking, "scope": scope, "level": level}
    how = {"density": params.density(level), "lr": at.lr, "mask_lr": at.mask_lr or at.lr, "decay": at.decay}
    return {**what, **how, "recipe": at.recipe, "seed": at.seed}


def dense(params: Params, at: Place) -> Run:
    """The dense network of a place; as the existence study's where the parameters are equal."""
    epochs = params.long_epochs if at.recipe == "long" else params.epochs_of(at.network)
    warmup = params.warmup if at.recipe == "warm" else 0.0
    trained = recipe(params, at.lr, epochs, weight_decay=at.decay, warmup=warmup)
    start = Init(seed=at.seed, scheme="glorot_normal" if at.network.startswith("lenet") else "kaiming_normal")
    return Run(task=task(params), network=network(at.network), recipe=trained, start=start, order=at.seed)


def pretrained(params: Params, at: Place) -> Run:
    """The dense network that a place's masks are cut from: anchored to its start where the recipe says pull or push.

    Only it is anchored. Tickets and fresh weights train plainly, so that no arm is held back by where it started.
    """
    strength = {"pull": params.pull, "push": params.push}.get(at.recipe)
    whole = dense(params, at)
    return whole if strength is None else whole.replace(extra=Anchor(strength=strength))


def one_shot(params: Params, source: Run, level: int, scope: Literal["layer", "global"] = "layer") -> Magnitude:
    """The mask of |θ_T| of `source` with the counts that `level` rounds of iterative pruning leave."""
    return Magnitude(run=source, rate=params.rate, rounds=level, scope=scope, prunable=params.prunable)


def iterative(params: Params, whole: Run, rounds: int, scope: Literal["layer", "global"] = "layer") -> list[Run]:
    """The chain of iterative pruning, a ticket a round."""
    return tickets.imp(whole, rounds=rounds, rate=params.rate, scope=scope, prunable=params.prunable)


def admm(params: Params, whole: Run, level: int) -> list[Run]:
    """ADMM's rounds towards the density of a level."""
    settings: dict[str, Any] = {"rounds": params.admm_rounds, "epochs": params.admm_epochs, "lr": params.admm_lr}
    return tickets.admm(whole, density=params.density(level), rho=params.admm_rho, prunable=params.prunable, **settings)


def grid(params: Params) -> list[Labelled]:
    """Every run of the study with its labels (`row`), each combination of labels once.

    Arms: dense; dense_more (trained a further T); lt and rr (a mask on θ_0, on fresh weights); pft (θ_T under it, T
    more epochs), rewind and lr_rewind (from rewind_epoch's weights, or θ_T at lr_rewind_epoch's rate); lt_long (2T);
    shuffled (the mask rearranged in each layer) and permuted (kept weights change places). Recipes: plain, warm, long,
    matched, pull, push. `mask_lr` is the learning rate of the run that gave the mask.
    """
    found: dict[tuple[Any, ...], Labelled] = {}
    for name in params.networks + params.contrasts:
        for seed in params.seeds:
            for labels, run in _of(params, name, seed):
                found.setdefault(tuple(labels.values()), (labels, run))
    return list(found.values())


def _of(params: Params, name: str, seed: int) -> Iterator[Labelled]:
    ends = [Place(name, seed, lr, params.decay) for lr in (params.lr_small, params.lr_large)]
    full = name in params.networks
    for lr in params.lrs_of(name):
        for decay in params.decays_of(name):
            at = Place(name, seed, lr, decay)
            yield from _swept(params, at) if full else [(row(params, at, "dense"), dense(params, at))]
    for at in ends:
        whole = dense(params, at)
        yield row(params, at, "dense_more"), whole.replace(start=From(run=whole))
        yield from _chain(params, at)
    if full:
        yield from _methods(params, ends[1])
        for at in _interventions(params, *ends):
            yield from _swept(params, at)
        yield from _transferred(params, *ends)
        for at in ends:
            yield from _rearranged(params, at)
        for lr in params.lrs if params.global_levels else ():
            yield from _global(params, Place(name, seed, lr, params.decay))


def _twins(
    params: Params, at: Place, ticket: Run, masking: str, level: int, scope: str = "layer"
) -> Iterator[Labelled]:
    yield row(params, at, "lt", masking, scope, level), ticket
    yield row(params, at, "rr", masking, scope, level), tickets.reinit(ticket)


def _swept(params: Params, at: Place) -> Iterator[Labelled]:
    """The dense network of a place, and its one-shot ticket at the claim level on its own and on fresh weights."""
    source = pretrained(params, at)
    yield row(params, at, "dense"), source
    ticket = tickets.ticket(dense(params, at), one_shot(params, source, params.claim_level))
    yield from _twins(params, at, ticket, "one_shot", params.claim_level)


def _chain(params: Params, at: Place) -> Iterator[Labelled]:
    """The iterative tickets of a place; at the network's levels also fresh weights and P&FT under their masks."""
    whole, levels = dense(params, at), params.levels_of(at.network)
    for level, ticket in enumerate(iterative(params, whole, max(levels)), 1):
        yield row(params, at, "lt", "iterative", "layer", level), ticket
        if level in levels:
            yield from _twins(params, at, ticket, "iterative", level)
            yield row(params, at, "pft", "iterative", "layer", level), tickets.fine_tune(whole, ticket.mask)


def _methods(params: Params, at: Place) -> Iterator[Labelled]:
    """Tickets, fresh weights and P&FT under every kind of mask at the method levels; at the claim level also rewinding,
    learning-rate rewinding, and the iterative ticket trained for 2T."""
    whole = dense(params, at)
    for level in params.method_levels:
        rounds = admm(params, whole, level)
        cut = Magnitude(run=rounds[-1], density=params.density(level), scope="layer", prunable=params.prunable)
        chain = iterative(params, whole, level)
        for masking, mask in zip(MASKINGS, (one_shot(params, whole, level), chain[-1].mask, cut), strict=True):
            source = rounds[-1] if masking == "admm" and params.admm_start == "admm" else whole
            yield from _twins(params, at, tickets.ticket(whole, mask), masking, level)
            tuned = whole.replace(start=From(run=source), mask=mask)
            yield row(params, at, "pft", masking, "layer", level), tuned
            if level == params.claim_level:
                rewound = tickets.ticket(whole, mask, params.rewind_epoch)
                yield row(params, at, "rewind", masking, "layer", level), rewound
                later = tickets.fine_tune(whole, mask, resume=params.lr_rewind_epoch)
                yield row(params, at, "lr_rewind", masking, "layer", level), later
    longer = tickets.ticket(whole, iterative(params, whole, params.claim_level)[-1].mask)
    longer = longer.replace(recipe=longer.recipe.replace(epochs=2 * params.epochs_of(at.network)))
    yield row(params, at, "lt_long", "iterative", "layer", params.claim_level), longer


def _interventions(params: Params, small: Place, large: Place) -> Iterator[Place]:
    """What moves overlap at one learning rate: warm-up, length, matched decay, a pull at the large and a push at the
    small rate."""
    if params.warmup:
        yield replace(large, recipe="warm")
    if params.long_epochs:
        yield replace(large, recipe="long")
    if params.matched_decay:
        yield replace(large, recipe="matched", decay=params.lower_decay)
    if params.pull:
        yield replace(large, recipe="pull")
    if params.push:
        yield replace(small, recipe="push")


def _transferred(params: Params, small: Place, large: Place) -> Iterator[Labelled]:
    """One-shot masks of one learning rate, trained at the other."""
    for source, at in ((small, large), (large, small)):
        mask = one_shot(params, dense(params, source), params.claim_level)
        ticket = tickets.ticket(dense(params, at), mask)
        yield from _twins(params, replace(at, mask_lr=source.lr), ticket, "one_shot", params.claim_level)


def _rearranged(params: Params, at: Place) -> Iterator[Labelled]:
    """The one-shot ticket's weights under its mask rearranged in each layer, and its kept weights rearranged."""
    ticket = tickets.ticket(dense(params, at), one_shot(params, dense(params, at), params.claim_level))
    for arm, run in (("shuffled", tickets.shuffled(ticket)), ("permuted", checks.weights_shuffled(ticket))):
        yield row(params, at, arm, "one_shot", "layer", params.claim_level), run


def _global(params: Params, at: Place) -> Iterator[Labelled]:
    """Paper A's scope, one ranking over all layers: the runs of the existence study where rate and decay are equal."""
    whole = dense(params, at)
    chain = iterative(params, whole, max(params.global_levels), "global")
    for level in params.global_levels:
        yield from _twins(params, at, chain[level - 1], "iterative", level, "global")
        ticket = tickets.ticket(whole, one_shot(params, whole, level, "global"))
        yield from _twins(params, at, ticket, "one_shot", level, "global")


def every_run(params: Params, root: str | None = None) -> list[Run]:
    """All runs of the study; none depends on where the data lie."""
    return [run for _, run in grid(params)]


def collect(params: Params, lab: Lab) -> pd.DataFrame:
    """Trains what is missing and gives the study's table, a row a run: the labels of `row` and what became of it."""
    labelled = grid(params)
    lab.run(run for _, run in labelled)
    return lab.table(labelled)
