"""Controls: what must come out one way if the bench works, the same way in every study."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ..verdict import Estimate, estimate

CONTROLS = ["control", "expected", "effect", "low", "high", "n", "holds"]  # columns
INF = math.inf


def control(
    name: str, values: pd.DataFrame, low: float = -INF, high: float = INF, unit: str = ""
) -> list[dict[str, Any]]:
    """A row of `CONTROLS` about the mean of the column `value`, one row a seed: is it between `low` and `high`?

    No row without values. `holds` is yes or no where the interval says so, else open; `reported` where nothing is
    expected. With both ends equal all values must be exactly that.
    """
    found = estimate(values["value"].dropna())
    if not found.n:
        return []
    interval = {"effect": found.mean, "low": found.low, "high": found.high, "n": found.n}
    return [{"control": name, "expected": _words(low, high, unit), **interval, "holds": _inside(found, low, high)}]


def _words(low: float, high: float, unit: str) -> str:
    if (low, high) == (-INF, INF):
        return "nothing"
    if low == high:
        return f"{low:g}{unit}"
    if high == INF:
        return f"above {low:g}{unit}"
    return f"below {high:g}{unit}" if low == -INF else f"{low:g} to {high:g}{unit}"


def _inside(found: Estimate, low: float, high: float) -> str:
    if (low, high) == (-INF, INF):
        return "reported"
    if found.n < 2:
        return "open"  # one seed has no interval
    if low == high:
        return "yes" if (found.low, found.high) == (low, high) else "no"
    if found.low > low and found.high < high:
        return "yes"
    return "no" if found.high < low or found.low > high else "open"
