"""The overlap ratio R_p: are the large weights of two networks the same weights? (weight_correlation.md section 2)"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

from torch import Tensor

from ..prune.masks import top
from ..spec import round_half_up


def overlap_ratio(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    p: float,
    names: Iterable[str],
    mask: Mapping[str, Tensor] | None = None,
) -> float:
    """R_p of two weight vectors over the tensors `names`: about p when they are unrelated, 1 when identical.

    Within each tensor the round(p*N), at least 1, largest magnitudes of either side are taken; what both took is
    counted and divided by what one took. With a `mask` both count among its kept weights only: for two sparse networks
    that share it, since a shared mask alone would look like overlap.
    """
    shared = taken = 0
    for name in names:
        alive = None if mask is None or name not in mask else mask[name].flatten()
        count = a[name].numel() if alive is None else int(alive.sum())
        if count == 0:
            continue
        k = max(1, round_half_up(Fraction(str(p)) * count))
        largest = [top(side[name].detach().abs().flatten(), k, alive) for side in (a, b)]
        shared += int((largest[0] & largest[1]).sum())
        taken += k
    return shared / taken if taken else float("nan")


def null_sd(p: float, count: int) -> float:
    """Standard deviation of R_p between unrelated vectors of `count` weights in all (mean p)."""
    return (1 - p) / math.sqrt(count)
