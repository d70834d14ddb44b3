"""Masks that change while training: one layer's update, and the course of gradual pruning. Pure functions.

    set, rigl, rigl_inverted   drop the smallest active weights, grow as many      gradient_flow.md P2
    gradual                    prune by magnitude on a cubic schedule              gradient_flow.md section 2, P5

Everything happens on the device of the weights; what is drawn is drawn on the CPU, the same for any device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ..spec import round_half_up


def drop_fraction(step: float, end: float, drop: float) -> float:
    """f(t) = drop/2 (1 + cos(pi t / end)), the share of the active weights that an update at `step` drops."""
    return drop / 2 * (1 + math.cos(math.pi * step / end))


def drop_count(fraction: float, active: int, inactive: int, again: bool = True) -> int:
    """k = trunc(fraction * active); where just-dropped weights can't return, at most what is inactive."""
    k = int(fraction * active + 1e-9)  # 0.29 * 100 is 28.999... in floats
    return k if again else min(k, inactive)


def update(
    weights: Tensor,
    mask: Tensor,
    grads: Tensor,
    k: int,
    method: str,
    generator: torch.Generator | None = None,
    again: bool = True,
) -> Tensor:
    """The mask after one layer's update (P2): `k` active weights are dropped, then `k` grown; all of one shape.

    Dropped are the smallest |weights|. Candidates are all that isn't kept, with `again` the `k` just dropped too. Grown
    are those with the largest |grads| (rigl), the smallest (rigl_inverted), or by chance from `generator` (set). Among
    equals the lower index stays, and grows. `grads` are dense: under the mask no inactive weight would have a score.
    Raises ValueError for an unknown method and for more weights than can be dropped or grown.
    """
    active = places(mask)
    kept = active[largest(weights.flatten()[active].abs(), len(active) - k)]
    if method == "set":
        scores = torch.rand(mask.numel(), generator=generator).to(weights.device)
    elif method in ("rigl", "rigl_inverted"):
        sizes, limits = grads.to(weights.dtype).flatten().abs(), torch.finfo(weights.dtype)
        # Finite, so that what is taken can be below all, whatever a network that has diverged holds.
        scores = (sizes if method == "rigl" else -sizes).nan_to_num(limits.min, limits.max, limits.min)
    else:
        raise ValueError(f"unknown method '{method}'")
    taken = kept if again else active
    if k > mask.numel() - len(taken):
        raise ValueError(f"can't grow {k} of {mask.numel() - len(taken)} weights")
    scores[taken] = -math.inf
    return _mask(torch.cat([kept, largest(scores, k)]), mask)


def largest(scores: Tensor, kept: int) -> Tensor:
    """Where the `kept` largest of `scores` (N,) are, as rising indices (kept,); among equals the lower index is taken.

    What `prune.masks.top` does, but on any device, quicker, and for a network that has diverged: what is no number is
    the smallest. Raises ValueError for more than there are.
    """
    if not 0 <= kept <= len(scores):
        raise ValueError(f"can't keep {kept} of {len(scores)} weights")
    if kept == 0:
        return torch.zeros(0, dtype=torch.int64, device=scores.device)
    values = scores.detach().nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    if values.device.type == "cpu":  # seven times as fast as torch's selection
        threshold = float(np.partition(values.numpy(), -kept)[-kept])
    else:
        threshold = float(values.topk(kept, sorted=False).values.amin())
    found = places(values >= threshold)
    if len(found) > kept:
        equal = (values[found] == threshold).nonzero().flatten()
        stays = torch.ones_like(found, dtype=torch.bool)
        stays[equal[kept - len(found) :]] = False
        found = found[stays]
    return found


def places(true: Tensor) -> Tensor:
    """Where a boolean tensor is true, as rising indices into its flattened self, quicker than `nonzero` on a CPU."""
    flat = true.flatten()
    return torch.from_numpy(np.flatnonzero(flat.numpy())) if flat.device.type == "cpu" else flat.nonzero().flatten()


def _mask(kept: Tensor, like: Tensor) -> Tensor:
    flat = torch.zeros(like.numel(), dtype=torch.bool, device=like.device)
    flat[kept] = True
    return flat.view(like.shape)


def gradual_density(step: int, first: int, last: int, density: float) -> Fraction:
    """The share of the weights that stays after the update at `step`: 1 up to `first`, `density` from `last` on.

    s(t) = s_f (1 - (1 - x)^3), x from 0 to 1, is the share that has gone by then; exact fractions.
    """
    if step >= last:
        return Fraction(str(density))
    x = Fraction(max(0, step - first), last - first)
    return 1 - (1 - Fraction(str(density))) * (1 - (1 - x) ** 3)


def gradual_kept(count: int, density: Fraction) -> int:
    """Weights that a layer (or a network) of `count` keeps: rounded, halves upwards, at least 1."""
    return max(1, round_half_up(density * count))


def gradual(
    weights: Mapping[str, Tensor], mask: Mapping[str, Tensor], density: Fraction, scope: str
) -> dict[str, Tensor]:
    """One network's mask after an update to `density`: of what `mask` keeps the largest |weights| stay.

    `scope` "layer": in each tensor `gradual_kept` of its size; "global": of all tensors' sizes, by one ranking.
    """
    if scope == "layer":
        kept = {name: gradual_kept(m.numel(), density) for name, m in mask.items()}
        return {name: _within(weights[name].flatten(), m, kept[name]) for name, m in mask.items()}
    flat = torch.cat([weights[name].flatten() for name in mask])
    alive = torch.cat([m.flatten() for m in mask.values()])
    parts = _within(flat, alive, gradual_kept(alive.numel(), density)).split([m.numel() for m in mask.values()])
    return {name: part.view_as(m) for (name, m), part in zip(mask.items(), parts, strict=True)}


def _within(weights: Tensor, mask: Tensor, kept: int) -> Tensor:
    """Of what `mask` keeps of `weights` (N,) the `kept` largest, in the mask's shape."""
    alive = places(mask)
    return _mask(alive[largest(weights[alive].abs(), kept)], mask)
