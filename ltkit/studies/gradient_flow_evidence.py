"""The gradient-flow study's tables with the questions that its claims and controls ask of them.

Paper D names steps of a training of 11,719; here they are shares of a training, and what is recorded closest to a share
after the first step stands for it. Scratch, Scratch+ and whatever moves begin with the pruned network's mask unless a
question says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .gradient_flow_measures import Rows
from .gradient_flow_params import PAPER_STEPS, Params, network
from .tables import pick

VALUES = ["seed", "value", "runs", "cell"]
UNTRAINED = 0.75  # of the dense accuracy: below it a network hasn't trained
DENSE = ("dense", "small_dense")
SILENT = 1e-12  # σ where no signal arrives at all
EARLY = 1000  # of the paper's steps: where RigL's updates are compared with SET's


@dataclass(frozen=True)
class Tables:
    """What `gradient_flow.collect` and the functions of `gradient_flow_measures` and `_solutions` found."""

    table: Rows
    traces: Rows
    signals: Rows
    spectra: Rows
    interpolations: Rows
    distances: Rows
    agreements: Rows
    identities: Rows


class Evidence:
    """The tables of a study with the questions that are asked of them."""

    def __init__(self, params: Params, tables: Tables) -> None:
        self.params, self.tables = params, tables
        self.name, self.own = params.claim_network, params.start
        self.normed = [name for name in params.networks + params.contrasts if network(name).norm == "batch"]

    def at(self, method: str, **where: Any) -> Rows:
        """The runs of a method, a row a seed.

        By default the claim network's first twins at the claim density, under the pruned mask, from the study's start.
        """
        plain: dict[str, Any] = {"network": self.name, "method": method, "init": self.own, "twin": 0}
        plain["density"] = 1.0 if method == "dense" else self.params.density
        plain["distribution"] = "" if method in DENSE else "pruned"
        return pick(self.tables.table, **{**plain, **where})

    def trace(self, method: str, moment: str = "step", **where: Any) -> Rows:
        """Records of a traced method; defaults as in `at`."""
        plain: dict[str, Any] = {"network": self.name, "method": method, "init": self.own, "moment": moment}
        plain["density"] = 1.0 if method == "dense" else self.params.density
        plain["distribution"] = "" if method in DENSE else "pruned"
        return pick(self.tables.traces, **{**plain, **where})

    def recorded(self, step: int) -> int:
        """The recorded step of the claim network's training that is closest to one of the paper's, after the first."""
        rows = self.trace("lt")
        steps = rows.loc[rows["step"] > 0, "step"]
        if steps.empty:
            return 0
        return int(steps.iloc[(steps - step / PAPER_STEPS * steps.max()).abs().argmin()])

    def norm(self, step: int, method: str, **where: Any) -> Rows:
        """log10 of G of a method at one of the paper's steps: seed, value, runs."""
        rows = self.trace(method, **where)
        rows = rows[rows["step"] == self.recorded(step)]
        return valued(rows, log10(rows["gradient_norm"]))

    def rises(self, method: str, **where: Any) -> Rows:
        """G after minus before each mask update from the scaled start: seed, step, share, rise, predicted, run.

        `predicted` is the rise if weights were only grown: their squared gradients on top of G².
        """
        where = {"init": "neuron", **where}
        before, after = (self.trace(method, moment, **where) for moment in ("before", "after"))
        both = before.merge(after[["run", "step", "gradient_norm"]], on=["run", "step"], suffixes=("", "_after"))
        both["rise"] = both["gradient_norm_after"] - both["gradient_norm"]
        both["predicted"] = np.hypot(both["gradient_norm"], both["gain"] ** 0.5) - both["gradient_norm"]
        return both[["seed", "step", "share", "rise", "predicted", "run"]]

    def early(self, method: str, column: str = "rise", **where: Any) -> Rows:
        """The mean of a column of `rises` in the paper's first 1000 steps, at the first update at least; by seed."""
        rows = self.rises(method, **where)
        edge = max(EARLY / PAPER_STEPS, rows["share"].min() if len(rows) else 0.0)
        rows = rows[rows["share"] <= edge + 1e-9]
        return by_seed(rows.assign(value=rows[column]))

    def spectrum(self, method: str, step: int, column: str) -> Rows:
        """How `column` of a method's spectra changes at a mask update, by seed."""
        rows = pick(self.tables.spectra, network=self.name, method=method, init="neuron", step=step)
        first = rows.groupby(["moment", "seed"], sort=False)[column].first()
        known = {"before", "after"} <= set(rows["moment"])
        change = first["after"] - first["before"] if known else pd.Series(dtype=float)
        runs = self.at(method, init="neuron", density=self.params.spectra_density).set_index("seed")["run"]
        told = [(seed, value, (runs[seed],)) for seed, value in change.items()]
        return pd.DataFrame(told, columns=VALUES[:3])

    def estimated(self) -> str | None:
        """Why negative eigenvalues can't be counted; None where all of them are known."""
        rows = pick(self.tables.spectra, network=self.name)
        size = rows.groupby(["method", "moment", "step", "seed"])["number"].max().max() if len(rows) else 0
        if size <= self.params.spectra_exact:
            return None
        return f"{size:.0f} eigenvalues are estimated, their number near 0 can't be: spectra_exact is too low"

    def between(self, a: str, b: str) -> Rows:
        """The mean L2 distance of the networks called a (or a_1, a_2, ...) and b of one seed."""
        rows = pick(self.tables.distances, network=self.name)
        one, two = (rows[side].str.replace(r"_\d+$", "", regex=True) for side in ("a", "b"))
        rows = rows[((one == a) & (two == b)) | ((one == b) & (two == a))]
        return self._told(rows.assign(value=rows["distance"]), ("gmp", "lt", "scratch"))

    def path(self, end: str, what: str) -> Rows:
        """The barrier, or the mean of the loss, on the way from an end to the pruned solution, by seed."""
        rows = pick(self.tables.interpolations, network=self.name, end=end, split="train")
        rows = rows[rows["alpha"].between(-1e-9, 1 + 1e-9)]
        found = []
        for seed, own in rows.sort_values("alpha").groupby("seed", sort=False):
            loss, alphas = own["loss"].to_numpy(float), own["alpha"].to_numpy(float)
            barrier = loss.max() - (loss[0] + loss[-1]) / 2
            value = barrier if what == "barrier" else np.trapezoid(loss, alphas) / (alphas[-1] - alphas[0])
            found.append((seed, value, runs_of(own["runs"])))
        return pd.DataFrame(found, columns=VALUES[:3])

    def group(self, name: str, column: str) -> Rows:
        """What `agreements` say of a group, by seed."""
        rows = pick(self.tables.agreements, network=self.name, group=name)
        return self._told(rows.assign(value=rows[column]), ("gmp", "prune_other" if name == "prune_other" else name))

    def logits(self, sparsity: float, init: str, kind: str = "uneven") -> Rows:
        """log10 of σ of all logits before training, by seed."""
        rows = pick(self.tables.signals, network=self.name, sparsity=sparsity, init=init, mask=kind)
        return rows.assign(value=log10(rows["sd"].clip(lower=SILENT)), runs=[()] * len(rows))[VALUES[:3]]

    def silent(self, sparsity: float, inits: Iterable[str]) -> str:
        """In how many of these draws no signal arrives, in words; nothing where it does in all."""
        rows = pick(self.tables.signals, network=self.name, sparsity=sparsity, mask="uneven")
        rows = rows[rows["init"].isin(list(inits))]
        count = int((rows["sd"] <= SILENT).sum())
        return f"no signal at all in {count} of {len(rows)} at s = {sparsity:g}, taken as {SILENT:g}" if count else ""

    def _told(self, rows: Rows, methods: Sequence[str]) -> Rows:
        """One value a seed, with the runs of these methods."""
        kept = self.tables.table
        kept = kept[(kept["network"] == self.name) & kept["method"].isin(methods) & (kept["init"] == self.own)]
        kept = kept[(kept["distribution"] == "pruned") & (kept["density"] == self.params.density)]
        names = {seed: tuple(own["run"]) for seed, own in kept.groupby("seed")}
        seeds = rows.groupby("seed", sort=False)["value"]
        told = [(seed, own.mean(skipna=False), names.get(seed, ())) for seed, own in seeds]
        return pd.DataFrame(told, columns=VALUES[:3])


def log10(values: pd.Series) -> pd.Series:
    """log10; NaN for what isn't above 0."""
    return pd.Series(np.log10(values.where(values > 0)), values.index)


def valued(rows: Rows, values: pd.Series) -> Rows:
    """Rows with a value each, as `judge` takes them."""
    return rows.assign(value=values, runs=[(run,) for run in rows["run"]])[VALUES[:3]]


def by_seed(rows: Rows) -> Rows:
    """The mean value of a seed, NaN where one is."""
    found = [
        (seed, own["value"].mean(skipna=False), tuple(dict.fromkeys(own["run"])))
        for seed, own in rows.groupby("seed", sort=False)
    ]
    return pd.DataFrame(found, columns=VALUES[:3])


def runs_of(many: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The names in all of these, each once."""
    return tuple(dict.fromkeys(name for names in many for name in names))


def minus(a: Rows, b: Rows, label: str = "", factor: float = 1.0) -> Rows:
    """a - factor * b by seed, as `judge` takes it; empty where a side is."""
    both = a.merge(b, on="seed", suffixes=("", "_b"))
    runs = [runs_of(pair) for pair in zip(both["runs"], both["runs_b"], strict=True)]
    return both.assign(value=both["value"] - factor * both["value_b"], runs=runs, cell=label)[VALUES]
