"""What trained weights look like: their histogram, whether it has two modes, the cut-off of a pruning round (P8).

Take θ_r with the mask that it was trained under. With the mask that is cut from θ_r every histogram has a hole at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

BINS = 20  # of |w|, up to `REACH`
REACH = 0.99  # quantile of |w|, so that a few giants don't widen the bins
HALF = 0.5


def alive(state: Mapping[str, Tensor], mask: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
    """The weights that `mask` keeps of the tensors `names`, as one vector; a tensor without a mask is kept whole."""
    return torch.cat([state[n].detach()[mask[n]] if n in mask else state[n].detach().flatten() for n in names])


def histogram(weights: Tensor, bins: int = 61, limit: float | None = None) -> pd.DataFrame:
    """Density of weights (N,) in equal bins from −limit to limit (None: the largest |w|).

    Columns: left, right, density (a share of all weights per unit of w; what lies outside is counted in the whole).
    """
    values = _values(weights)
    end = float(np.abs(values).max()) if limit is None else limit
    counts, edges = np.histogram(values, bins=bins, range=(-end, end))
    density = counts / (len(values) * np.diff(edges))
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density})


def reach(weights: Tensor) -> float:
    """The 99 % quantile of |w| for weights (N,)."""
    return float(np.quantile(np.abs(_values(weights)), REACH))


def dip(weights: Tensor) -> float:
    """Density of |w| near 0 over its peak away from 0, for weights (N,).

    |w| falls into `BINS` equal bins from 0 to its 99 % quantile; near 0 is the first bin, away from 0 all others. A
    single mode at 0 gives 1 or more, a flat density about 1, a hole at 0 gives 0. Below about a thousand weights the
    peak is mostly chance. NaN if 99 % of the weights are 0.
    """
    sizes, end = np.abs(_values(weights)), reach(weights)
    if end == 0:
        return float("nan")
    counts, _ = np.histogram(sizes, bins=BINS, range=(0, end))
    return float(counts[0] / counts[1:].max())


def bimodal(weights: Tensor) -> bool:
    """Rule P8 [kit]: `dip` is below a half."""
    return dip(weights) < HALF


def threshold(state: Mapping[str, Tensor], before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> float:
    """The magnitude cut-off of a pruning round: the largest |w| that it removed, all layers together.

    `state` is what was pruned, `before` the mask it was trained under ({}: dense), `after` the mask that was cut from
    it. NaN if nothing was removed. ValueError if `after` keeps what `before` had pruned, or a weight below the cut-off,
    as a ranking within each layer does: then there is no single one.
    """
    removed, kept = [], []
    for name, stays in after.items():
        sizes, was = state[name].detach().abs(), before.get(name, torch.ones_like(stays))
        if (stays & ~was).any():
            raise ValueError(f"the later mask keeps weights of {name} that the earlier one had pruned")
        removed.append(sizes[was & ~stays])
        kept.append(sizes[stays])
    gone, left = torch.cat(removed), torch.cat(kept)
    if gone.numel() == 0:
        return float("nan")
    if left.numel() and left.min() < gone.max():
        raise ValueError("a kept weight is smaller than a removed one: no single cut-off made this mask")
    return float(gone.max())


def _values(weights: Tensor) -> np.ndarray:
    values = weights.detach().flatten().double().cpu().numpy()
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("weights must be numbers, and at least one")
    return values
