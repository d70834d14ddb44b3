"""The mode-connectivity study (mode_connectivity.md): which runs it needs.

Its parameters are in `mode_connectivity_params`, what is measured on the weights in `mode_connectivity_paths`, what all
of it says in `mode_connectivity_claims`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ..lab import Lab
from ..prune import tickets
from ..spec import From, Init, Run
from .mode_connectivity_params import Params, network, recipe
from .recipes import task

Labelled = tuple[dict[str, Any], Run]

ORDERS = 10_000  # between the data orders of two twins: no two runs of a study share one by accident


def dense(params: Params, name: str, text: str, seed: int) -> Run:
    """The dense network of one seed at a setting."""
    start = Init(seed=seed, scheme="kaiming_uniform" if name.startswith("lenet") else "kaiming_normal")
    return Run(task=task(params), network=network(name), recipe=recipe(params, name, text), start=start, order=seed)


def twin(run: Run, number: int) -> Run:
    """The same training in its nth other data order, with other crops and flips; 0 is the run itself."""
    return run.replace(order=run.order + ORDERS * number) if number else run


def grid(params: Params) -> list[Labelled]:
    """Every run of the study with its labels: network, setting, arm, level, density, seed, twin, rewind.

    Arms: dense (twin > 0: another data order, from epoch `rewind` on); dense_full (all epochs once more from epoch
    `rewind`); imp (a ticket a round; twin > 0: another data order); reinit (the same masks over θ_0', one draw a seed;
    level 0 is dense); random (the mask shuffled); finetuned (what the round before trained, pruned and trained on at
    the last learning rate); repelled, attracted (chains of rounds with J_r against all earlier ones), repelled_last
    (against the last one); repelled_reinit, attracted_reinit (reinit with J_r against the rounds of imp). Which arms
    belong to which setting: `of`.
    """
    return [
        item
        for name in params.networks
        for text in params.settings_of(name)
        for seed in params.seeds
        for item in of(params, name, text, seed)
    ]


def of(params: Params, name: str, text: str, seed: int) -> Iterator[Labelled]:
    """One network at one setting and seed.

    Every setting has dense, imp and, at `levels`, twins and reinit; the stable and the unstable one have reinit in all
    rounds, and finetuned; the stable one random and repelled (repelled_last on a LeNet); the claim network's unstable
    one dense networks that part later, and attracted.
    """
    whole = dense(params, name, text, seed)
    chain = [whole, *tickets.imp(whole, rounds=params.rounds, rate=params.rate, prunable="all")]
    stable, unstable = text == params.stable_of(name), text == params.unstable_of(name)

    def at(arm: str, level: int = 0, twin: int = 0, rewind: int = 0) -> dict[str, Any]:
        labels = {"network": name, "setting": text, "arm": arm, "level": level, "density": params.density(level)}
        return {**labels, "seed": seed, "twin": twin, "rewind": rewind}

    for number in range(params.twins):
        yield at("dense", twin=number), twin(whole, number)
    for level, winner in enumerate(chain):
        if level:
            yield at("imp", level), winner
        if level in params.levels:
            yield from ((at("imp", level, number), twin(winner, number)) for number in range(1, params.twins))
        if level in params.levels or stable or unstable:
            yield at("reinit", level), tickets.reinit(winner)
        if level in params.levels and stable:
            yield at("random", level), tickets.shuffled(winner)
        if level in params.levels and (stable or unstable):
            yield at("finetuned", level), fine_tuned(params, chain[level - 1], winner)
    if stable and params.repel:
        yield from _pushed(params, "repelled", chain, params.repel, at)
        if name.startswith("lenet"):
            yield from _pushed(params, "repelled_last", chain, params.repel, at)
    if unstable and name == params.claim_network:
        yield from _parted(params, whole, at)
        if params.attract:
            yield from _pushed(params, "attracted", chain, params.attract, at)


def fine_tuned(params: Params, before: Run, winner: Run) -> Run:
    """What a ticket's mask was cut from, pruned and trained on at the last learning rate, with a fresh optimizer."""
    given = before.recipe
    # A cosine ends at 0, where nothing would be trained: a hundredth is where two milestones end.
    drop = {"constant": 1.0, "step": given.gamma ** len(given.milestones), "cosine": 0.01}[given.schedule]
    tuned = given.replace(lr=drop * given.lr, epochs=params.fine_tune_epochs, schedule="constant", warmup=0.0)
    return tickets.fine_tune(before, winner.mask).replace(recipe=tuned)


def _pushed(params: Params, arm: str, chain: list[Run], strength: float, at: Any) -> Iterator[Labelled]:
    last = arm == "repelled_last"
    given: dict[str, Any] = {"rounds": params.rounds, "rate": params.rate, "prunable": "all"}
    for level, run in enumerate(tickets.imp(chain[0], repel=strength, last_only=last, **given), start=1):
        yield at(arm, level), run
        if level in params.levels and not last:
            # On imp's mask and against imp's rounds, so that reinit differs from it by the loss alone.
            yield (
                at(f"{arm}_reinit", level),
                tickets.repelled(tickets.reinit(chain[level]), chain[:level], strength),
            )


def _parted(params: Params, whole: Run, at: Any) -> Iterator[Labelled]:
    for k in params.rewind_epochs:
        for number in range(params.twins) if k else ():
            if number:  # the dense run itself is the one that kept its order
                yield at("dense", twin=number, rewind=k), twin(tickets.ticket(whole, whole.mask, k), number)
            full = whole.replace(start=From(run=whole, epoch=k, resume=0))
            yield at("dense_full", twin=number, rewind=k), twin(full, number)


def every_run(params: Params, root: str | None = None) -> list[Run]:
    """All runs of the study; none depends on where the data lie."""
    return [run for _, run in grid(params)]


def collect(params: Params, lab: Lab) -> pd.DataFrame:
    """Trains what is missing and gives the study's table, a row a run."""
    labelled = grid(params)
    lab.run(run for _, run in labelled)
    return lab.table(labelled)
