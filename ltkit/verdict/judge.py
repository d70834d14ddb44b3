"""A verdict on a claim, computed from one value a seed.

One rule a kind (`decide`) looks at the 95 % t interval, a grid of cells adds a quantifier (`rules`). What isn't settled
is undecided, what wasn't run untested.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from .claims import Claim
from .rules import Cell, cell, in_all, in_any

Quantifier = Literal["all", "any", "one"]


@dataclass(frozen=True)
class Verdict:
    """What the runs say about a claim. `low` and `high` bound the `effect` of the cell that decides, over `n` seeds."""

    claim: str
    paper: str
    scale: str
    verdict: str  # supported, refuted, undecided or untested
    effect: float
    low: float
    high: float
    margin: float | None
    n: int
    unit: str
    setting: str
    published: float | str | None
    runs: list[str]
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The verdict as one object of verdicts.json; NaN becomes null."""
        values = dataclasses.asdict(self)
        gone = {key: None for key, item in values.items() if isinstance(item, float) and not math.isfinite(item)}
        return values | gone


def judge(claim: Claim, table: pd.DataFrame, *, scale: str, setting: str, quantifier: Quantifier = "all") -> Verdict:
    """The verdict on `claim` from a table with a row a seed, and a cell where there is a grid.

    Columns: `seed`; `value`, the paired effect in the claim's unit, oriented so that the claim says value > margin
    (difference, ordering, trend, existence), |value| ≤ margin (equivalence) or value ≤ 0 (bound). Optional: `cell`, a
    label; `runs`, the names behind a row; `kind` and `margin`, where a compound claim tests a cell its own way.
    `quantifier`: the claim holds in `all` cells, in `any` of them, or there must be only `one`. NaN values (diverged
    runs) are left out and counted in the reason; an infinite one breaks a bound if it is above, and leaves everything
    else undecided. For a bound, `low` and `high` are the smallest and largest value.
    """
    rows = _checked(claim, table, quantifier)
    runs = list(dict.fromkeys(name for names in rows.get("runs", ()) for name in _names(names)))
    lost = int(rows["value"].isna().sum())
    if lost == len(rows):
        reason = f"all {lost} values are NaN (diverged runs)" if lost else "no run tests it"
        return dataclasses.replace(untested(claim, scale, reason), setting=setting, runs=runs)
    cells = [_cell(claim, label, own) for label, own in rows.groupby("cell", sort=False)]
    word, shown, reasons = in_any(cells) if quantifier == "any" else in_all(cells)
    if lost:
        reasons.append(f"{lost} of {len(rows)} values are NaN (diverged runs) and left out")
    return Verdict(
        claim=claim.id,
        paper=claim.paper,
        scale=scale,
        verdict=word,
        effect=shown.estimate.mean,
        low=shown.estimate.low,
        high=shown.estimate.high,
        margin=shown.margin,
        n=shown.estimate.n,
        unit=claim.unit,
        setting="; ".join(part for part in (setting, shown.label) if part),
        published=claim.published,
        runs=runs,
        reason="; ".join(reasons) or None,
    )


def untested(claim: Claim, scale: str, reason: str) -> Verdict:
    """The entry of a claim that this scale can't test, with the reason."""
    nan = float("nan")
    fixed = {"margin": claim.margin, "unit": claim.unit, "published": claim.published, "reason": reason}
    return Verdict(claim.id, claim.paper, scale, "untested", nan, nan, nan, n=0, setting="", runs=[], **fixed)  # type: ignore[arg-type]


def _cell(claim: Claim, label: str, rows: pd.DataFrame) -> Cell:
    values = rows["value"].to_numpy(dtype=float)
    kind, margin = str(rows["kind"].iloc[0]), float(rows["margin"].iloc[0])
    return cell(label, values[~np.isnan(values)], margin, kind, claim.unit)


def _checked(claim: Claim, table: pd.DataFrame, quantifier: str) -> pd.DataFrame:
    """The table with all optional columns but `runs` filled in; ValueError for one that can't be judged."""
    if quantifier not in ("all", "any", "one"):
        raise ValueError(f"unknown quantifier '{quantifier}'; known: all, any, one")
    if missing := {"seed", "value"} - set(table.columns):
        raise ValueError(f"a table to judge needs the columns {sorted(missing)}; it has {list(table.columns)}")
    rows = table.assign(
        value=table["value"].astype(float),  # of a table without rows it isn't
        cell=table["cell"].astype(str) if "cell" in table.columns else "",
        kind=table["kind"].fillna(claim.kind) if "kind" in table.columns else claim.kind,
        margin=table["margin"].fillna(claim.threshold) if "margin" in table.columns else claim.threshold,
    )
    if rows.duplicated(["cell", "seed"]).any():
        twice = rows.loc[rows.duplicated(["cell", "seed"]), ["cell", "seed"]].to_numpy().tolist()
        raise ValueError(f"several rows for one seed of one cell, {twice}: the unit is the seed, average within it")
    if len(rows[["cell", "kind", "margin"]].drop_duplicates()) > rows["cell"].nunique():
        raise ValueError("a cell has one kind and one margin, the same in all its rows")
    if quantifier == "one" and rows["cell"].nunique() > 1:
        raise ValueError(f"quantifier 'one' with {rows['cell'].nunique()} cells; say 'all' or 'any'")
    if quantifier == "any" and "bound" in set(rows["kind"]):
        raise ValueError("a bound holds everywhere or not at all; 'any' makes no sense for it")
    return rows


def _names(runs: Any) -> Iterable[str]:
    if isinstance(runs, str):
        return (runs,)
    return (str(name) for name in runs) if isinstance(runs, (list, tuple)) else ()
