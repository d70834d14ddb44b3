"""The barrier of a path: how far the error rises between two networks (mode_connectivity.md sections 2 and 7.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Numbers = npt.ArrayLike


def barrier(errors: Numbers) -> np.ndarray:
    """E_sup − Ē: the largest error on a path less the mean of its two ends, in the unit of `errors`.

    Errors are (..., points), the ends first and last; the answer is (...,). It is at least half the difference between
    the ends, even where the error falls all the way (section 7.2), so never negative.
    """
    values = np.asarray(errors, dtype=float)
    return values.max(-1) - (values[..., 0] + values[..., -1]) / 2


def chord_excess(errors: Numbers, alphas: Numbers) -> np.ndarray:
    """max over α of [E_α − αE_1 − (1 − α)E_0]: the rise above the straight line between the ends; never negative.

    Errors are (..., points) at `alphas` (points,), which rise from 0 to 1; ValueError for others.
    """
    values, at = np.asarray(errors, dtype=float), np.asarray(alphas, dtype=float)
    if at.ndim != 1 or len(at) < 2 or at[0] != 0 or at[-1] != 1 or (np.diff(at) <= 0).any():
        raise ValueError(f"alphas must rise from 0 to 1, not {at.tolist()}")
    if values.shape[-1:] != at.shape:
        raise ValueError(f"{values.shape[-1]} errors don't fit {len(at)} alphas")
    return (values - values[..., :1] - at * (values[..., -1:] - values[..., :1])).max(-1)


def barriers(table: pd.DataFrame, measure: str = "error") -> pd.DataFrame:
    """Barrier and chord excess of each pair and split of a table of `ltkit.analyze.path.path`.

    Columns: pair, split, barrier, excess, end_a (at α = 1), end_b (at α = 0), all in the unit of `measure`: "error"
    (percentage points) or "loss" (nats). A path with a point that is no number has a barrier that is none.
    """
    rows = []
    for (pair, split), part in table.groupby(["pair", "split"], sort=False):
        part = part.sort_values("alpha")
        values, alphas = part[measure].to_numpy(), part["alpha"].to_numpy()
        excess = float(chord_excess(values, alphas))
        rows.append((pair, split, float(barrier(values)), excess, float(values[-1]), float(values[0])))
    return pd.DataFrame(rows, columns=["pair", "split", "barrier", "excess", "end_a", "end_b"])
