"""What a ticket looks like, round by round: what each layer keeps, its weights before and after, its accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ..analyze import weights as modes
from ..lab import Lab
from ..lab.measured import measured
from ..prune import tickets
from ..prune.masks import Mask
from ..spec import Run
from .existence import Labelled, dense, every_run
from .existence_params import Params

BINS = 41  # of a histogram
COLUMNS = ("network", "lr", "seed", "level", "density", "what", "name", "low", "high", "value")

Row = dict[str, Any]


@measured(every_run)
def ticket(params: Params, lab: Lab) -> pd.DataFrame:
    """Every network and learning rate at every round of IMP (level 0: dense), from stored runs; `COLUMNS`.

    what        name               value
    layer       the tensor's       share of its weights that the mask keeps; the first seed
    weights     start or end       density of the kept weights between low and high, of θ_0⊙m and θ_T⊙m; the first seed
    accuracy    dense, lt_imp...   test accuracy (%) of the last epoch, NaN where the run diverged; every seed

    `density` is the nominal one, to three digits. Bins are those of a network and rate, up to the 99 % quantile of |w|.
    """
    rows: list[Row] = []
    for name in params.networks + params.contrasts:
        for lr in params.lrs_of(name):
            at = {"network": name, "lr": lr}
            whole = dense(params, name, lr, params.seeds[0])
            rounds = tickets.imp(whole, rounds=max(params.levels_of(name)), rate=params.rate)
            rows += [{**at, "seed": params.seeds[0], **row} for row in _inside(lab, whole, rounds)]
            arms = [entry for seed in params.seeds for entry in _arms(params, name, lr, seed)]
            found = lab.table(arms).rename(columns={"accuracy": "value"}).assign(what="accuracy", **at)
            rows += found.to_dict("records")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    nominal = {level: float(f"{params.density(level):.3g}") for level in set(table["level"])}
    return table.assign(density=table["level"].map(nominal).astype(float))


def _arms(params: Params, name: str, lr: float, seed: int) -> Iterator[Labelled]:
    whole = dense(params, name, lr, seed)
    yield {"name": "dense", "seed": seed, "level": 0}, whole
    levels = params.levels_of(name)
    for level, winner in enumerate(tickets.imp(whole, rounds=max(levels), rate=params.rate), 1):
        yield {"name": "lt_imp", "seed": seed, "level": level}, winner
        if level in levels:
            yield {"name": "rr_imp", "seed": seed, "level": level}, tickets.reinit(winner)


def _inside(lab: Lab, whole: Run, rounds: list[Run]) -> Iterator[Row]:
    """The rows of the layers and of the weights; a run that diverged has none, nor a network without a ticket left."""
    sound = [(level, run) for level, run in enumerate([whole, *rounds]) if _finished(lab, run)]
    named = next((list(lab.mask(run)) for level, run in sound if level), [])
    if not named:
        return
    kept: dict[tuple[int, str], Any] = {}
    origin = lab.weights(whole, 0)
    for level, run in sound:
        mask: Mask = lab.mask(run)
        for name in named:
            share = float(mask[name].double().mean()) if mask else 1.0
            yield {"level": level, "what": "layer", "name": name, "value": share}
        for moment, state in (("start", origin), ("end", lab.weights(run))):
            kept[level, moment] = modes.alive(state, mask, named)
    limit = max(map(modes.reach, kept.values()))
    for (level, moment), values in kept.items():
        for low, high, share in modes.histogram(values, BINS, limit).itertuples(index=False):
            yield {"level": level, "what": "weights", "name": moment, "low": low, "high": high, "value": share}


def _finished(lab: Lab, run: Run) -> bool:
    return (lab.store.done(run.name) or {}).get("outcome") == "finished"
