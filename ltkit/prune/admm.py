"""ADMM: a network is trained towards its own sparse projection until pruning it changes little.

Of weight_correlation.md section 3. W_0 is the dense network, W_i what round i trained, U the running sum of what the
projections cut off, P the projection, which keeps the largest magnitudes and sets the rest to 0:

    Z_0 = P(W_0)              U_0 = 0
    Z_i = P(W_i + U_{i-1})    U_i = U_{i-1} + W_i - Z_i

Round k is trained with ρ/2 ‖W - (Z_{k-1} - U_{k-1})‖². Z and U follow from the weights of the rounds before, so they
are computed afresh and stored nowhere. Weights are dicts of tensors, one for each W_i, the dense network first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from .masks import Mask, apply

Weights = Mapping[str, Tensor]
Keep = Callable[[Weights], Mask]  # the mask of the weights that P keeps; the tensors in it are those it prunes


def targets(weights: Sequence[Weights], keep: Keep) -> dict[str, Tensor]:
    """Z - U after W_0 ... W_{k-1}, for each tensor that `keep` prunes: what round k is drawn towards.

    ValueError for no weights.
    """
    if not weights:
        raise ValueError("ADMM begins with the weights of the dense network")
    *_, (_, z, u) = _rounds(weights, keep)
    return {name: z[name] - u[name] for name in z}


def residual(weights: Sequence[Weights], keep: Keep) -> list[float]:
    """‖W_i - Z_i‖ / ‖W_i‖ over all tensors that `keep` prunes, for i = 0 ... k: 0 where pruning changes nothing.

    The first is the dense network's. It falls from round to round where the penalty acts (section 7: in the public
    code it doesn't). NaN for weights that are all 0.
    """
    found = []
    for w, z, _ in _rounds(weights, keep):
        whole = _norm(w)
        found.append(_norm({name: w[name] - z[name] for name in z}) / whole if whole else math.nan)
    return found


def _rounds(weights: Sequence[Weights], keep: Keep) -> Iterator[tuple[Weights, Weights, Weights]]:
    """W_i, Z_i and U_i of each round, of the tensors that `keep` prunes."""
    u: dict[str, Tensor] = {}
    for i, each in enumerate(weights):
        moved = {name: w + u[name] if name in u else w for name, w in each.items()}
        mask = keep(moved)
        z = apply({name: moved[name] for name in mask}, mask)
        u = {name: moved[name] - z[name] if i else torch.zeros_like(z[name]) for name in mask}
        yield {name: each[name] for name in mask}, z, u


def _norm(tensors: Weights) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors.values()))
