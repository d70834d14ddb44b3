"""The greedy-bounds study's tables with the questions that its claims and controls ask of them.

Values are one a seed; logarithms are of base 10. "Far more neurons than dimensions" is a hundred times as many or more,
"few" fifty times or fewer, which is how claims F8 to F11 divide the sheet's table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .gradient_flow_measures import Rows
from .greedy_bounds_layers import SYNTHETIC
from .greedy_bounds_params import Params
from .tables import pick

VALUES = ["seed", "value", "runs", "cell"]
ABUNDANT, SCARCE = 100, 50  # neurons a dimension, at least and at most
LEAST = 1e-30  # relative error below which nothing is told apart
FLOOR = 1e-12  # relative error below which rounding decides what a weight is worth
SAME_COST = 0.02  # shares of multiply-adds that differ by no more are one cost
AT = 30  # iterations at which F11 and F13 compare
CHOSEN = 10  # neurons at which F12 and F21 compare


@dataclass(frozen=True)
class Tables:
    """What `greedy_bounds.collect` and the measures around it found; `crossover` may be waited for when it is asked."""

    table: Rows
    curves: Rows
    rates: Rows
    weights: Rows
    holds: Rows
    regimes: Rows
    orthonormal: Rows
    slim: Rows
    crossover: Callable[[], Rows]
    shortlist: Rows
    costs: Rows
    shuffled: Rows


class Evidence:
    """The tables of a study with the questions that are asked of them."""

    def __init__(self, params: Params, tables: Tables) -> None:
        self.params, self.tables = params, tables

    def dimensions(self, least: float = 0.0, most: float = float("inf")) -> list[int]:
        """M of the wide synthetic layers with so many neurons a dimension."""
        return [m for m in self.params.dimensions if least <= self.params.neurons / m <= most]

    def synthetic(self, table: Rows, dimension: float, width: int | None = None) -> Rows:
        """Rows of a synthetic layer; width None: the wide ones."""
        return pick(table, source=SYNTHETIC, width=width or self.params.neurons, dimension=dimension)

    def many(self, table: Rows) -> Rows:
        """Rows of the synthetic layer with more dimensions than neurons."""
        return self.synthetic(table, self.params.many_dimensions, self.params.few_neurons)

    def rate(self, method: str, column: str, rows: Rows) -> Rows:
        """A column of `rates` by seed."""
        rows = pick(rows, method=method)
        return told(rows["seed"], rows[column])

    def error(self, rows: Rows, method: str) -> Rows:
        """log10 of the relative error after 30 iterations, or at the end of a shorter path, by seed."""
        rows = pick(rows, method=method)
        rows = rows[rows["iteration"] <= AT].sort_values("iteration").groupby("seed", sort=False).last().reset_index()
        return told(rows["seed"], log10(rows["relative"]))

    def chosen(self, rows: Rows, method: str) -> Rows:
        """log10 of the relative error of ten neurons, the mean over layers, by seed."""
        rows = pick(rows, method=method, neurons=CHOSEN)
        return means(rows.assign(value=log10(rows["relative"])))

    def worst(self, table: Rows, values: pd.Series) -> list[Rows]:
        """The largest value by seed, a cell a source of layers; layers without a value are left out."""
        rows = table.assign(value=values)
        rows = rows[rows["value"].notna()]
        found = []
        for source, own in rows.groupby("source", sort=False):
            largest = own.loc[own.groupby("seed", sort=False)["value"].idxmax()]
            found.append(told(largest["seed"], largest["value"], largest["run"]).assign(cell=source))
        return found

    def family(self, *begins: str) -> tuple[list[str], str]:
        """The networks of these architectures, or all of them where there is none; and what to say then."""
        every = list(self.params.every)
        own = [name for name in every if name.startswith(begins)]
        return (own, "") if own else (every, f"no {' or '.join(begins)} here")

    def slim(self, name: str, rule: str, column: str, budget: float | None = None) -> Rows:
        """A column of `slim` by seed; budget None: the first."""
        rows = pick(self.tables.slim, network=name, rule=rule, budget=budget or self.params.budgets[0])
        return told(rows["seed"], rows[column], rows["run"])

    def lead(self, name: str, a: str, b: str, column: str) -> Rows:
        """What rule a is ahead of rule b at a network's first budget, by seed; none of rules that cost otherwise."""
        cost = [self.slim(name, rule, "multiply_adds") for rule in (a, b)]
        apart = minus(*cost)
        if apart["value"].abs().max() > SAME_COST:
            return pd.DataFrame(columns=VALUES)
        return minus(self.slim(name, a, column), self.slim(name, b, column), f"{name}, {a} - {b}")


def told(seeds: Iterable[int], values: Iterable[float], runs: Iterable[str] | None = None) -> Rows:
    """Rows as `judge` takes them, from columns."""
    seeds, values = list(seeds), list(values)
    names = [(name,) if name else () for name in runs] if runs is not None else [()] * len(seeds)
    return pd.DataFrame({"seed": seeds, "value": np.array(values, dtype=float), "runs": names, "cell": ""})


def means(rows: Rows) -> Rows:
    """The mean value of a seed, with its runs."""
    values = rows.groupby("seed", sort=False)["value"].mean()
    named = rows["run"] if "run" in rows else pd.Series("", rows.index)
    runs = named.groupby(rows["seed"], sort=False).agg(lambda own: tuple(dict.fromkeys(name for name in own if name)))
    return pd.DataFrame({"seed": values.index, "value": values.to_numpy(), "runs": list(runs), "cell": ""})


def minus(a: Rows, b: Rows, label: str = "") -> Rows:
    """a - b by seed, as `judge` takes it; empty where a side is."""
    both = a.merge(b, on="seed", suffixes=("", "_b"))
    runs = [tuple(dict.fromkeys((*one, *two))) for one, two in zip(both["runs"], both["runs_b"], strict=True)]
    return both.assign(value=both["value"] - both["value_b"], runs=runs, cell=label)[VALUES]


def log10(values: pd.Series, least: float = LEAST) -> pd.Series:
    """log10 of relative errors, of `least` at least."""
    return pd.Series(np.log10(values.clip(lower=least)), values.index)


def mean(cells: Rows | Sequence[Rows]) -> str:
    """The mean value of rows, in words."""
    rows = cells if isinstance(cells, pd.DataFrame) else pd.concat([*cells])
    return f"{rows['value'].mean():+.3g}"
