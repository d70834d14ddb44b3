"""Questions that every study asks of its table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..verdict.stats import difference


def pick(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """The rows whose columns have these values."""
    # All columns at once, without pandas: a verdict asks hundreds of times.
    return table[np.logical_and.reduce([table[column].to_numpy() == value for column, value in where.items()])]


def gap(a: pd.DataFrame, b: pd.DataFrame, label: str = "", column: str = "accuracy") -> pd.DataFrame:
    """`a` minus `b`, paired by seed, as `judge` takes it: columns seed, value, runs, cell. Empty where a side is."""
    if a.empty or b.empty:
        return pd.DataFrame(columns=["seed", "value", "runs", "cell"])
    a, b = a.set_index("seed"), b.set_index("seed")
    values = difference(a[column], b[column])
    runs = list(zip(a["run"], b["run"].reindex(a.index), strict=True))
    return pd.DataFrame({"seed": values.index, "value": values.to_numpy(), "runs": runs, "cell": label})
