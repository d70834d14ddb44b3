"""The mode-connectivity study's tables with the questions that claims and controls ask of them.

What the paper says of batch sizes is read at the scale's `stable` and `unstable` setting (batch 2048 and 128 in the
paper). These are names until measured: `Evidence.amiss` says where tickets at `stable` aren't stable, or those at
`unstable` are. Instability is read on the test set, barriers between rounds on training images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from .mode_connectivity_params import Params
from .tables import gap, pick

STABLE = 2.0  # points of error (mode_connectivity.md section 2)
LARGE = 10.0  # points of error of a barrier that can't be overlooked (claims C16, C17, C19)
PUSHED = 0.8  # right angles that repelled rounds must be apart; the paper's are about .9, and its λ is just enough
TWINS, ROUNDS = "test", "train"  # the split on which each kind of barrier is judged

Rows: TypeAlias = pd.DataFrame  # seed, value, runs, cell, and perhaps kind and margin, as `judge` takes them


class Evidence:
    """The tables of a study with the questions that the claims ask of them."""

    def __init__(
        self,
        params: Params,
        table: pd.DataFrame,
        barriers: pd.DataFrame,
        distances: pd.DataFrame,
        weights: pd.DataFrame,
    ) -> None:
        self.params, self.table, self.distances, self.weights = params, table, distances, weights
        self.barriers = pick(barriers, endpoint_mask=params.endpoint_mask)
        self.name, self.level = params.claim_network, params.claim_level
        self.stable, self.unstable = params.stable, params.unstable

    def at(self, arm: str, setting: str, level: int = 0, name: str | None = None) -> pd.DataFrame:
        """The runs of an arm at a setting and level in the study's own data order, a row a seed."""
        return pick(self.table, network=name or self.name, setting=setting, arm=arm, level=level, twin=0, rewind=0)

    def lead(
        self, setting: str, level: int, name: str | None = None, arms: tuple[str, str] = ("imp", "reinit")
    ) -> Rows:
        """The first arm's accuracy minus the second's."""
        label = self.place(setting, level, name)
        first, second = (self.at(arm, setting, level, name) for arm in arms)
        return gap(first, second, label)

    def barrier(
        self, kind: str, setting: str, level: int = 0, rewind: int = 0, name: str | None = None, column: str = "barrier"
    ) -> Rows:
        """A kind of barrier, the mean over the pairs of a seed, on the split where it is judged."""
        split = TWINS if kind.startswith("twins") else ROUNDS
        where: dict[str, Any] = {"kind": kind, "level": level, "rewind": rewind, "split": split}
        rows = pick(self.barriers, network=name or self.name, setting=setting, **where)
        return by_seed(rows, column, self.place(setting, level, name))

    def instability(self, setting: str, level: int | None = None, name: str | None = None) -> Rows:
        """The barrier between two trainings of a ticket, at the claim level unless told."""
        return self.barrier("twins_imp", setting, self.level if level is None else level, name=name)

    def distance(
        self, arm: str, setting: str, a: int, b: int, name: str | None = None, column: str = "distance"
    ) -> Rows:
        """The distance of rounds a and b of a chain, or its null."""
        rows = pick(self.distances, network=name or self.name, setting=setting, arm=arm, a=a, b=b)
        return by_seed(rows, column, f"{self.place(setting, a, name)}, rounds {a} and {b}")

    def weight(self, arm: str, setting: str, level: int, column: str) -> Rows:
        """What a round's weights look like."""
        rows = pick(self.weights, network=self.name, setting=setting, arm=arm, level=level)
        return by_seed(rows.assign(runs=[(run,) for run in rows["run"]]), column, self.place(setting, level))

    def place(self, setting: str, level: int, name: str | None = None) -> str:
        """Network, setting and density in words."""
        return f"{name or self.name}, {setting}, density {self.params.density(level):.3g}"

    def round_near(self, density: float) -> int:
        """The round of IMP, from 1 on, whose density is closest to this one, as a ratio."""
        return min(range(1, self.params.rounds + 1), key=lambda r: abs(np.log(self.params.density(r) / density)))

    def roles(self) -> Iterator[tuple[str, str]]:
        """Each network with its stable setting, and with its unstable one if it has one."""
        for name in self.params.networks:
            yield name, self.params.stable_of(name)
            if unstable := self.params.unstable_of(name):
                yield name, unstable

    def between(self, word: str) -> Iterator[tuple[str, str]]:
        """Settings between stable and unstable that the study has with a word and without: (without, with)."""
        for setting in self.params.settings:
            if f"{setting}/{word}" in self.params.settings and setting not in (self.stable, self.unstable):
                yield setting, f"{setting}/{word}"

    def restless(self, setting: str) -> bool:
        """Whether tickets at a setting aren't stable."""
        return bool(self.instability(setting)["value"].mean() >= STABLE)

    def pushed(self, setting: str, level: int, name: str | None = None) -> float:
        """How far a repelled round is from that earlier one, dense or ticket, to which it is closest; NaN without one.

        In right angles, the mean over seeds.
        """
        apart = [self.distance("repelled", setting, a, level, name)["value"].mean() for a in range(level)]
        return float(np.min(apart)) if apart else float("nan")

    def amiss(self, role: str, name: str | None = None) -> str | None:
        """Why training at the setting that is to be stable (unstable) isn't so; None where it is."""
        name = name or self.name
        setting = self.params.stable_of(name) if role == "stable" else self.params.unstable_of(name)
        if setting is None:
            return f"{name} has no unstable setting"
        seen = self.instability(setting, name=name)["value"].mean()
        if (seen < STABLE) if role == "stable" else (seen >= STABLE):
            return None
        where = self.place(setting, self.level, name)
        return f"training isn't {role}: {where} has an instability of {seen:.1f} points of error"


def by_seed(rows: pd.DataFrame, column: str, label: str) -> Rows:
    """One value a seed: the mean of its rows, NaN where one of them is."""
    found = [
        {"seed": seed, "value": own[column].mean(skipna=False), "runs": runs_of(own["runs"]), "cell": label}
        for seed, own in rows.groupby("seed", sort=False)
    ]
    return pd.DataFrame(found, columns=["seed", "value", "runs", "cell"])


def runs_of(many: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The names in all of these, each once."""
    return tuple(dict.fromkeys(name for names in many for name in names))


def minus(a: Rows, b: Rows, label: str) -> Rows:
    """a - b by seed, empty where one side is."""
    both = a.merge(b, on="seed", suffixes=("", "_b"))
    runs = [runs_of(pair) for pair in zip(both["runs"], both["runs_b"], strict=True)]
    return both.assign(value=both["value"] - both["value_b"], runs=runs, cell=label)[["seed", "value", "runs", "cell"]]


def lenet(name: str) -> bool:
    """Whether the paper calls a network stable at every batch size."""
    return name.startswith("lenet_300_100")


def angles(e: Evidence) -> str | None:
    """Why a claim about angles can't be tested; None where distances are angles."""
    return None if e.params.measure == "angle" else f"measure is {e.params.measure}, the claim is about angles"
