"""Small-sample statistics over seeds: t intervals, paired differences, Holm, and what n seeds can detect.

The unit of replication is the seed. Intervals are Student's t, whose coverage holds at three seeds, where a bootstrap's
doesn't. All functions take zero variance: equal values give a point, never a division by zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

LEVEL = 0.95  # two-sided, so each side has 2.5 %
POWER = 0.80


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval over `n` seeds; the bounds are NaN below two seeds."""

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Any, level: float = LEVEL) -> Estimate:
    """The mean of `values` (one a seed) with its t interval; NaN among the values makes mean and interval NaN."""
    data = np.asarray(values, dtype=float).ravel()
    if len(data) == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    mean, sd, df = _moments(data)
    if len(data) < 2:
        return Estimate(mean, np.nan, np.nan, len(data))
    half = float(special.stdtrit(df, 0.5 + level / 2)) * sd / np.sqrt(len(data))
    return Estimate(mean, float(mean - half), float(mean + half), len(data))


def t_interval(values: Any, level: float = LEVEL) -> tuple[float, float]:
    """(low, high) of the mean's t interval; (nan, nan) below two values. Fits seaborn: `errorbar=t_interval`."""
    found = estimate(values, level)
    return found.low, found.high


def difference(a: pd.Series, b: pd.Series) -> pd.Series:
    """a - b, matched by their indices (seeds); ValueError for a seed that is twice in one or in one of them only."""
    for side, series in (("first", a), ("second", b)):
        if series.index.has_duplicates:
            twice = series.index[series.index.duplicated()].unique().tolist()
            raise ValueError(f"the {side} side has several rows for {twice}: filter the table to one row a seed first")
    if a.index.equals(b.index):  # most often, and quicker than what follows
        return a - b
    if alone := a.index.symmetric_difference(b.index).tolist():
        raise ValueError(f"unmatched seeds {alone}: paired differences need every seed on both sides")
    return a - b.reindex(a.index)


def paired(
    table: pd.DataFrame, a: str, b: str, *, on: str | Sequence[str] = "seed", arm: str = "arm", value: str = "accuracy"
) -> pd.DataFrame:
    """Differences of `value` between the rows whose `arm` is `a` and those whose `arm` is `b`, joined on `on`.

    Returns the columns of `on` and `value`, ready for `judge`; a column `run` comes along as the pair `runs`. A NaN on
    either side stays a NaN. ValueError for a seed that is missing, or more than once, on one side.
    """
    keys = [on] if isinstance(on, str) else list(on)
    sides = [table[table[arm] == name].set_index(keys) for name in (a, b)]
    for name, side in zip((a, b), sides, strict=True):
        if side.empty:
            raise ValueError(f"no rows with {arm} '{name}'; there are {sorted(table[arm].unique())}")
    result = difference(sides[0][value], sides[1][value]).rename("value").to_frame()
    if "run" in table.columns:
        result["runs"] = list(zip(sides[0]["run"], sides[1]["run"].reindex(result.index), strict=True))
    return result.reset_index()


def welch(a: Any, b: Any, level: float = LEVEL) -> Estimate:
    """mean(a) - mean(b) with Welch's interval, for arms that can't be paired; `n` is the smaller side's."""
    first, second = np.asarray(a, dtype=float).ravel(), np.asarray(b, dtype=float).ravel()
    n = min(len(first), len(second))
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    (m1, s1, df1), (m2, s2, df2) = _moments(first), _moments(second)
    if n < 2:
        return Estimate(m1 - m2, np.nan, np.nan, n)
    v1, v2 = s1**2 / len(first), s2**2 / len(second)
    if v1 + v2 == 0:
        return Estimate(m1 - m2, m1 - m2, m1 - m2, n)
    df = (v1 + v2) ** 2 / (v1**2 / df1 + v2**2 / df2)
    half = float(special.stdtrit(df, 0.5 + level / 2)) * np.sqrt(v1 + v2)
    return Estimate(m1 - m2, float(m1 - m2 - half), float(m1 - m2 + half), n)


def p_above(values: Any, margin: float = 0.0) -> float:
    """One-sided p-value (t test) that shows a mean above `margin`, against "at most `margin`"; 1 below two values."""
    data = np.asarray(values, dtype=float).ravel()
    if len(data) < 2:
        return 1.0
    mean, sd, df = _moments(data)
    if sd == 0:
        return 0.0 if mean > margin else 1.0
    return float(special.stdtr(df, -(mean - margin) / (sd / np.sqrt(len(data)))))


def p_below(values: Any, margin: float = 0.0) -> float:
    """One-sided p-value that shows a mean below `margin`, against "at least `margin`"; 1 below two values."""
    return p_above(-np.asarray(values, dtype=float), -margin)


def holm(p: Any) -> np.ndarray:
    """Holm's adjusted p-values, in the order given; comparing them with alpha keeps the family's error at alpha."""
    given = np.asarray(p, dtype=float).ravel()
    if not np.all((given >= 0) & (given <= 1)):
        raise ValueError(f"p-values lie in [0, 1], not {given.tolist()}")
    order = np.argsort(given, kind="stable")
    raised = np.minimum(1.0, given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.maximum.accumulate(raised) if len(given) else raised
    return adjusted


def detectable(sd: float, n: int, *, power: float = POWER, level: float = LEVEL) -> float:
    """The smallest true paired difference that n seeds show with 80 % power in a two-sided 5 % t test.

    `sd` is that of the differences. Exact, from the noncentral t distribution (Colas et al. 2018 ask for this number);
    only the tail of the wrong sign, below 1e-5 at this power, is left out. NaN below two seeds.
    """
    if n < 2 or not np.isfinite(sd):
        return float("nan")
    critical = special.stdtrit(n - 1, 0.5 + level / 2)
    return float(special.nctdtrinc(n - 1, 1 - power, critical) * sd / np.sqrt(n))


def _moments(data: np.ndarray) -> tuple[float, float, int]:
    """Mean, sample standard deviation (exactly 0 for equal values, NaN for one) and degrees of freedom."""
    if np.all(data == data[0]):
        return float(data[0]), 0.0 if len(data) > 1 else float("nan"), len(data) - 1
    return float(data.mean()), float(data.std(ddof=1)), len(data) - 1
