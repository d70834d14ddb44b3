"""From scores to masks, with exact counts: a mask keeps as many weights as was asked for, whatever ties there are.

A mask is a dict from the names of prunable tensors to bool tensors of the tensor's shape, True where a weight stays.
Tensors that are not in it are never pruned.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Mask = dict[str, Tensor]


def top(scores: Tensor, kept: int, alive: Tensor | None = None) -> Tensor:
    """The `kept` largest of a vector of scores, (N,) -> (N,) bool; among equal scores the lower index stays.

    Only positions where `alive` (N,) is True can be kept. Raises ValueError for scores that are no numbers or too few
    alive positions.
    """
    index = torch.arange(scores.numel()) if alive is None else alive.nonzero().flatten()
    values = scores.flatten()[index]
    if not 0 <= kept <= index.numel():
        raise ValueError(f"can't keep {kept} of {index.numel()} weights")
    if values.isnan().any():
        raise ValueError("scores that are no numbers (NaN) can't be ranked")
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    if kept == 0:
        return mask
    threshold = values.kthvalue(values.numel() - kept + 1).values
    above = values > threshold
    ties = (values == threshold).nonzero().flatten()[: kept - int(above.sum())]
    mask[index[above]] = True
    mask[index[ties]] = True
    return mask


def by_score(scores: Mapping[str, Tensor], kept: int, alive: Mapping[str, Tensor] | None = None) -> Mask:
    """One ranking over all tensors together (global pruning): keeps exactly `kept` in all."""
    flat = torch.cat([s.detach().flatten() for s in scores.values()])
    allowed = torch.cat([alive[name].flatten() for name in scores]) if alive else None
    return split(top(flat, kept, allowed), scores)


def by_layer(scores: Mapping[str, Tensor], kept: Mapping[str, int], alive: Mapping[str, Tensor] | None = None) -> Mask:
    """A ranking within each tensor: keeps exactly `kept[name]` of each."""
    return {
        name: top(s.detach().flatten(), kept[name], alive[name].flatten() if alive else None).view(s.shape)
        for name, s in scores.items()
    }


def split(flat: Tensor, like: Mapping[str, Tensor]) -> Mask:
    """A vector over all tensors, cut into their shapes."""
    sizes = [t.numel() for t in like.values()]
    return {name: part.view(like[name].shape) for name, part in zip(like, flat.split(sizes), strict=True)}


def shuffle(mask: Mapping[str, Tensor], generator: torch.Generator) -> Mask:
    """Each tensor's positions permuted: the layer's count stays, which weights stay is chance."""
    return {name: m.flatten()[torch.randperm(m.numel(), generator=generator)].view(m.shape) for name, m in mask.items()}


def permute_kept(
    weights: Mapping[str, Tensor], mask: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """The weights that each tensor keeps, permuted among the kept positions (sanity_checks.md section 3, check 4).

    Mask, counts and each layer's distribution of values stay; which value stands where is chance.
    """
    moved = {name: weights[name].clone() for name in mask}  # a mask is in the order of the layers, whatever the weights
    for name, w in moved.items():
        kept = w[mask[name]]
        w[mask[name]] = kept[torch.randperm(kept.numel(), generator=generator)]
    return {**weights, **moved}


def counts(mask: Mapping[str, Tensor]) -> dict[str, int]:
    """How many weights each tensor keeps."""
    return {name: int(m.sum()) for name, m in mask.items()}


def density(mask: Mapping[str, Tensor]) -> float:
    """Fraction of the prunable weights that stays; 1.0 for no mask."""
    total = sum(m.numel() for m in mask.values())
    return sum(counts(mask).values()) / total if total else 1.0


def apply(weights: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with 0 where they are pruned; kept ones are the same bits."""
    return {
        name: torch.where(mask[name], w, torch.zeros((), dtype=w.dtype)) if name in mask else w
        for name, w in weights.items()
    }
