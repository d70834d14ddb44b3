"""What must come out one way if the mode-connectivity bench works, and papers C and D on the same objects."""

from __future__ import annotations

import pandas as pd

from .expected import CONTROLS, control
from .mode_connectivity_evidence import LARGE, PUSHED, STABLE, Evidence, angles
from .mode_connectivity_params import Params
from .tables import pick


def controls(params: Params, table: pd.DataFrame, barriers: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """What must come out one way if the bench works: columns `CONTROLS`.

    Barriers in points of error, angles in right angles. `holds` is yes or no where the interval says so, else open.
    """
    e, rows = Evidence(params, table, barriers, distances, pd.DataFrame()), []
    for name in params.networks:
        stable, unstable = params.stable_of(name), params.unstable_of(name)
        for setting in filter(None, (stable, unstable)):
            place = f"{name}, {setting}"
            rows += control(f"{place}: a network and itself", e.barrier("same_seed", setting, name=name), 0, 0)
            rows += control(f"{place}: dense networks of two seeds", e.barrier("unrelated", setting, name=name), LARGE)
            rows += control(f"{place}: hidden units permuted", e.barrier("permuted", setting, name=name), LARGE)
        place = e.place(stable, e.level, name)
        rows += control(f"{place}: tickets are stable", e.instability(stable, name=name), high=STABLE)
        if angles(e) is None:
            for earlier in range(e.level):
                apart = e.distance("repelled", stable, earlier, e.level, name)
                rows += control(f"{place}: repelled from {f'round {earlier}' if earlier else 'dense'}", apart, PUSHED)
        if unstable is not None:
            place = e.place(unstable, e.level, name)
            rows += control(f"{place}: tickets are unstable", e.instability(unstable, name=name), STABLE)
            start = e.barrier("twins_dense", unstable, name=name)
            rows += control(f"{name}, {unstable}: dense networks from one start", start, LARGE)
    return pd.DataFrame(rows, columns=CONTROLS)


def disagreement(barriers: pd.DataFrame) -> pd.DataFrame:
    """What papers C and D measure, side by side on the same tickets (mode_connectivity.md section 7.10).

    A row a network, setting, split, ticket (level, density) and treatment of the ends' masks: the mean over seeds of
    the barrier from the dense network under the ticket's mask (dense_ticket) and from what was pruned and fine-tuned
    (finetuned_ticket) to the ticket, both ends under one mask whatever the treatment, and from the round before to it
    (rounds). The same with _excess: the rise above the chord. `n`: seeds.
    """
    kinds = ("dense_ticket", "finetuned_ticket", "rounds")
    at = ["network", "setting", "split", "level"]
    seeds = barriers.groupby([*at, "kind", "endpoint_mask", "seed"], sort=False)[["barrier", "excess"]].mean()
    means = seeds.groupby([*at, "kind", "endpoint_mask"], sort=False).mean().reset_index()
    sides = {
        kind: pick(means, kind=kind).rename(columns={"barrier": kind, "excess": f"{kind}_excess"}).drop(columns="kind")
        for kind in kinds
    }
    found = sides["rounds"].assign(level=sides["rounds"]["level"] + 1)  # told by the earlier of both rounds
    for kind in ("dense_ticket", "finetuned_ticket"):
        found = found.merge(sides[kind].drop(columns="endpoint_mask"), on=at, how="left")
    told = pick(barriers, kind="dense_ticket").groupby(at)
    about = told.agg(density=("density", "first"), n=("seed", "nunique")).reset_index()
    columns = [*kinds, *(f"{kind}_excess" for kind in kinds), "n"]
    return found.merge(about, on=at)[[*at, "density", "endpoint_mask", *columns]]
