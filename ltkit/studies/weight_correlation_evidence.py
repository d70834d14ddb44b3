"""The weight-correlation study's tables with the questions that claims and controls ask of them; the scatter's rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ..verdict import estimate
from .tables import gap, pick
from .weight_correlation_overlaps import ALL
from .weight_correlation_params import P, Params

Rows: TypeAlias = pd.DataFrame
CELL = ["network", "lr", "mask_lr", "decay", "recipe", "masking", "scope", "density", "seed"]
EFFECTS = [*CELL, "advantage", "overlap", "final_overlap", "dense", "runs"]
MODELS: dict[str, tuple[str, ...]] = {  # what a slope is taken within
    "raw": (),
    "decay fixed": ("decay",),
    "lr and decay fixed": ("lr", "decay"),
}
UNTRAINED = 0.75  # of the dense accuracy: below it a baseline hasn't trained, and any lead over it is large


class Evidence:
    """The tables of a study with the questions that its claims ask of them."""

    def __init__(self, params: Params, table: Rows, overlaps: Rows) -> None:
        self.params, self.table, self.overlaps = params, table, overlaps
        self.name, self.small, self.large = params.claim_network, params.lr_small, params.lr_large
        self.level = params.claim_level
        self.rounds = tuple(range(1, max(params.levels) + 1))  # of the iterative masks: there are tickets at each

    def at(self, arm: str, lr: float, level: int | None = None, masking: str = "iterative", **where: Any) -> Rows:
        """The runs of an arm at a learning rate, a row a seed; level None is the claim level.

        `where` are other columns; by default the claim network, masks cut by layer at this learning rate, the main
        weight decay, the plain recipe.
        """
        if arm.startswith("dense"):
            masking, level, where = "none", 0, {**where, "scope": ""}
        level = self.level if level is None else level
        plain = {"network": self.name, "scope": "layer", "decay": self.params.decay, "recipe": "plain", "mask_lr": lr}
        where = {**plain, "arm": arm, "masking": masking, "level": level, "lr": lr, **where}
        return pick(self.table, **where)

    def lead(self, lr: float, level: int | None = None, masking: str = "iterative", **where: Any) -> Rows:
        """The ticket's lead over fresh weights under its mask, by seed; its label says where those didn't train."""
        level = self.level if level is None else level
        ticket, fresh = (self.at(arm, lr, level, masking, **where) for arm in ("lt", "rr"))
        return gap(ticket, fresh, self.where(level) + self.doubt(fresh, lr))

    def doubt(self, rows: Rows, lr: float) -> str:
        """What to say of a baseline that didn't train; nothing of one that did."""
        reached, whole = rows["accuracy"].mean(), self.at("dense", lr)["accuracy"].mean()
        return f" (fresh weights reach {reached:.0f} %)" if reached < UNTRAINED * whole else ""

    def overlap(self, pair: str, lr: float, p: float = P, arm: str = "dense", **where: Any) -> Rows:
        """Measured overlaps over all layers, a row a seed; by default of dense networks."""
        kept = {"masking": "none", "scope": "", "level": 0} if arm == "dense" else {"scope": "layer"}
        plain = {"network": self.name, "decay": self.params.decay, "recipe": "plain", "mask_lr": lr, **kept}
        where = {**plain, "pair": pair, "arm": arm, "lr": lr, "p": p, "layer": ALL, **where}
        return pick(self.overlaps, **where)

    def near(self, density: float, levels: Iterable[int], within: float = 0.1) -> int | None:
        """The level whose density is closest to this one, if it is `within` it."""
        best = min(levels, key=lambda level: abs(self.params.density(level) - density))
        return best if abs(self.params.density(best) - density) <= within else None

    def where(self, level: int) -> str:
        """A level in words."""
        return f"density {self.params.density(level):.3g}"


def told(rows: Rows, value: Any, label: str = "") -> Rows:
    """Rows of overlaps with a value each, as `judge` takes them."""
    return rows[["seed", "runs"]].assign(value=value, cell=label)[["seed", "value", "runs", "cell"]]


def apart(a: Rows, b: Rows, label: str = "") -> Rows:
    """How much more overlap `a` has than `b`, paired by seed, as `judge` takes it. Empty where a side is."""
    both = a.merge(b[["seed", "overlap", "runs"]], on="seed", suffixes=("", "_b"))
    values = told(both, both["overlap"] - both["overlap_b"], label)
    return values.assign(runs=[x + y for x, y in zip(both["runs"], both["runs_b"], strict=True)])


def effects(params: Params, table: Rows, overlaps: Rows) -> Rows:
    """What tickets gain and how much their weights overlap: a row a cell and seed, wherever LT and RR were trained.

    Columns: network, lr, mask_lr, decay, recipe, masking, scope, density, seed; advantage (LT − RR, accuracy points);
    overlap (R_.2 of θ_0 and of the θ_T that the mask is cut from); final_overlap (R_.2 of the ticket's start and end);
    dense (accuracy of the dense network at the learning rate of the ticket, percent); runs (ticket, fresh weights).
    """
    ticket, fresh = (table.loc[table["arm"] == arm, [*CELL, "accuracy", "run"]] for arm in ("lt", "rr"))
    rows = ticket.merge(fresh, on=CELL, suffixes=("", "_rr"), validate="one_to_one")
    rows["advantage"] = rows["accuracy"] - rows["accuracy_rr"]
    rows["runs"] = list(zip(rows["run"], rows["run_rr"], strict=True))
    here = overlaps[(overlaps["layer"] == ALL) & (overlaps["p"] == P)]
    source = ["network", "mask_lr", "decay", "recipe", "seed"]
    first = here.loc[here["pair"] == "init_final", [*source, "overlap"]]
    last = here[(here["pair"] == "start_final") & (here["arm"] == "lt")]
    last = last[[*CELL, "overlap"]].rename(columns={"overlap": "final_overlap"})
    own = ["network", "lr", "decay", "recipe", "seed"]
    dense = table.loc[table["arm"] == "dense", [*own, "accuracy"]].rename(columns={"accuracy": "dense"})
    for other, keys in ((first, source), (last, CELL), (dense, own)):
        rows = rows.merge(other, on=keys, how="left", validate="many_to_one")
    return rows[EFFECTS]


def at_claim_level(params: Params, found: Rows) -> Rows:
    """The `effects` that interventions can be compared by: one-shot masks cut by layer, at the claim level."""
    return pick(found, masking="one_shot", scope="layer", density=params.density(params.claim_level))


def slopes(found: Rows, groups: Sequence[str] = ()) -> Rows:
    """The slope of advantage over overlap in each seed's rows of `effects`: columns seed, value, runs.

    Accuracy points per 0.1 of overlap, by least squares, both centred within `groups`. Seeds whose overlaps don't
    differ within any group have no row.
    """
    rows = []
    for seed, mine in finite(found).groupby("seed"):
        x, y = _centred(mine, list(groups))
        if (spread := float(x @ x)) > 1e-9:
            runs = tuple(dict.fromkeys(name for names in mine["runs"] for name in names))
            rows.append({"seed": seed, "value": 0.1 * float(x @ y) / spread, "runs": runs})
    return pd.DataFrame(rows, columns=["seed", "value", "runs"])


def regression(found: Rows) -> Rows:
    """The slopes of `effects`: columns network, model (MODELS), slope, low, high, n, r2.

    Each seed has its own slope; `slope` is their mean with its 95 % t interval, `n` the seeds, since runs of one seed
    share weights and data order. `r2` is the share of the variance within seeds and groups that such lines explain.
    """
    rows = []
    for network, mine in found.groupby("network", sort=False):
        for model, groups in MODELS.items():
            every = estimate(slopes(mine, groups)["value"])
            x, y = _centred(finite(mine), ["seed", *groups])
            size = math.sqrt(float(x @ x) * float(y @ y))
            r2 = (float(x @ y) / size) ** 2 if size > 1e-9 else math.nan
            interval = {"slope": every.mean, "low": every.low, "high": every.high, "n": every.n}
            rows.append({"network": network, "model": model, **interval, "r2": r2})
    return pd.DataFrame(rows, columns=["network", "model", "slope", "low", "high", "n", "r2"])


def finite(found: Rows) -> Rows:
    """Rows whose overlap and advantage are numbers: of trainings that didn't diverge."""
    return found[np.isfinite(found[["overlap", "advantage"]].astype(float)).all(axis=1)]


def _centred(rows: Rows, groups: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Overlap and advantage minus their means within `groups`, two vectors."""
    both = rows[["overlap", "advantage"]].astype(float)
    means = both.groupby([rows[name] for name in groups]).transform("mean") if groups else both.mean()
    x, y = (both - means).to_numpy().T
    return x, y
