"""The overlap ratio R_p: are the large weights of two networks the same weights? (weight_correlation.md section 2)"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from statistics import NormalDist

import pandas as pd
import torch
from torch import Tensor

from ..spec import round_half_up

TOTAL = "total"  # stands for a layer's name where all layers are counted together


def overlaps(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    ps: Sequence[float],
    names: Iterable[str],
    mask: Mapping[str, Tensor] | None = None,
) -> pd.DataFrame:
    """R_p in each layer and in all (layer "total"): a row for each layer and p, each tensor sorted once for all p.

    Columns: layer, p, weights (what was ranked), taken (k, round(p*weights), at least 1), shared, ratio = shared/taken.
    Within each tensor of `names` the k largest magnitudes of either side are taken, of equal ones those with the lower
    index; shared is what both took. About p when the two are unrelated, 1 when identical.

    With a `mask` both sides count among its kept weights only: for two sparse networks that share it, since a shared
    mask alone would look like overlap. Without one a sparse network is compared with a dense one, all weights counted.
    That needs p below the density: NaN in a layer where a side has fewer than k weights that aren't 0, and in total.

    The papers ask with different arguments. E: a = θ_0, b = θ_T, no mask; and for tickets a = θ_0⊙m, b = (θ_T⊙m)_T,
    p = .2, under m. A: a = θ_0⊙m, b = θ_T⊙m, p = .1, under m. Their values can't be compared (section 7).

    Raises ValueError for weights that are no numbers.
    """
    rows: list[tuple[str, float, int, int, float]] = []
    for name in names:
        alive = None if mask is None or name not in mask else mask[name].flatten()
        sides = [side[name].detach().abs().flatten() for side in (a, b)]
        if alive is not None:
            sides = [side[alive] for side in sides]
        count = sides[0].numel()
        if count == 0:
            continue
        if any(side.isnan().any() for side in sides):
            raise ValueError(f"weights of {name} that are no numbers (NaN) can't be ranked")
        latest = torch.maximum(*(_ranks(side) for side in sides))
        nonzero = count if alive is not None else min(int(side.count_nonzero()) for side in sides)
        for p in ps:
            k = taken_of(p, count)
            rows.append((name, p, count, k, float((latest < k).sum()) if k <= nonzero else math.nan))
    for p in ps:
        own = [row for row in rows if row[1] == p]
        rows.append((TOTAL, p, sum(row[2] for row in own), sum(row[3] for row in own), sum(row[4] for row in own)))
    table = pd.DataFrame(rows, columns=["layer", "p", "weights", "taken", "shared"])
    return table.astype({"weights": int, "taken": int}).assign(ratio=lambda t: t.shared / t.taken)


def overlap_ratio(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    p: float,
    names: Iterable[str],
    mask: Mapping[str, Tensor] | None = None,
) -> float:
    """R_p over all tensors `names`, the total of `overlaps`; NaN where nothing is left to rank."""
    return float(overlaps(a, b, [p], names, mask).ratio.iloc[-1])


def taken_of(p: float, count: int) -> int:
    """How many of a layer's `count` weights R_p takes: round(p*count), at least 1."""
    return max(1, round_half_up(Fraction(str(p)) * count))


def null_moments(p: float, counts: Iterable[int]) -> tuple[float, float]:
    """Mean and standard deviation of R_p between unrelated weights in layers of `counts` weights: exact.

    What both sides take of N weights when each takes k by chance is hypergeometric: mean k²/N, variance
    k²(N-k)²/(N²(N-1)). The layers are independent. Layers of 0 weights have no part in it; NaN if there is no other.
    """
    taken = [(count, taken_of(p, count)) for count in counts if count > 0]
    whole = sum(k for _, k in taken)
    if not whole:
        return math.nan, math.nan
    mean = sum(k * k / n for n, k in taken)
    variance = sum((k * (n - k) / n) ** 2 / (n - 1) for n, k in taken if n > 1)
    return mean / whole, math.sqrt(variance) / whole


def null_band(p: float, counts: Iterable[int], quantile: float = 0.99865) -> tuple[float, float]:
    """R_p of unrelated weights lies between these two: the quantiles 1 - `quantile` and `quantile`; as given, 3 sd.

    `counts` are the numbers of weights that are ranked in each layer. The normal distribution with the exact mean and
    standard deviation, cut to 0..1: good where the counts that both sides share by chance are in the tens or more.
    """
    mean, sd = null_moments(p, counts)
    wide = NormalDist().inv_cdf(quantile) * sd
    return max(mean - wide, 0.0), min(mean + wide, 1.0)  # in this order NaN stays NaN


def null_sd(p: float, count: int) -> float:
    """Standard deviation of R_p between unrelated vectors of `count` weights in all (mean p), nearly `null_moments`."""
    return (1 - p) / math.sqrt(count)


def _ranks(values: Tensor) -> Tensor:
    """The place of each value (N,) when sorted, the largest 0; of equal ones the lower index comes first."""
    order = torch.sort(values, descending=True, stable=True).indices
    return torch.empty_like(order).scatter_(0, order, torch.arange(order.numel()))
