"""Losses beside the cross-entropy. Their gradients join those of the cross-entropy before the optimizer's step.

    repel    λ/K Σ_k cos²(θ⊙m, θ_k⊙m)    mode_connectivity.md section 2 (J_r); λ < 0 attracts
    anchor   λ/2 ‖(θ − θ_ref)⊙m‖²         λ < 0 pushes away
    admm     ρ/2 ‖θ − (Z − U)‖²           the same; Z − U of ltkit.prune.admm (weight_correlation.md section 3)

θ is a member's prunable tensors as one vector, so that a step costs a handful of products however many layers there
are: theta (R, N), the members' own masks (R, N) bool, strengths λ (R,), references (R, K, N).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def directions(optima: Tensor, mask: Tensor) -> Tensor:
    """θ_k⊙m (R, K, N) scaled to length 1; one that is 0 under the mask stays 0, and neither repels nor attracts."""
    kept = optima * mask.unsqueeze(1)
    return kept / _length(kept).unsqueeze(2)


def repel_loss(theta: Tensor, towards: Tensor, mask: Tensor, strength: Tensor) -> Tensor:
    """J_r of each member, (R,); `towards` are the optima's `directions`."""
    cosines, _ = _cosines(theta * mask, towards)
    return strength * cosines.square().mean(1)


def repel_gradient(theta: Tensor, towards: Tensor, mask: Tensor, strength: Tensor) -> Tensor:
    """Gradient of `repel_loss`, (R, N): orthogonal to θ⊙m, 0 where pruned."""
    kept = theta * mask
    cosines, length = _cosines(kept, towards)
    along = 2 / cosines.shape[1] * (strength / length).unsqueeze(1) * cosines
    back = -(along * cosines).sum(1) / length
    return torch.baddbmm((back.unsqueeze(1) * kept).unsqueeze(1), along.unsqueeze(1), towards).squeeze(1)


def anchor_loss(theta: Tensor, reference: Tensor, mask: Tensor, strength: Tensor) -> Tensor:
    """λ/2 ‖(θ − θ_ref)⊙m‖² of each member, (R,); `reference` is (R, 1, N)."""
    return strength / 2 * ((theta - reference.squeeze(1)) * mask).square().sum(1)


def anchor_gradient(theta: Tensor, reference: Tensor, mask: Tensor, strength: Tensor) -> Tensor:
    """Gradient of `anchor_loss`, (R, N): 0 where pruned."""
    return strength.unsqueeze(1) * (theta - reference.squeeze(1)) * mask


def _cosines(kept: Tensor, towards: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines (R, K) of masked weights with unit vectors, and the weights' lengths (R,)."""
    length = _length(kept)
    # In this order: (R, K, N) x (R, N, 1) took a CPU five to seven times as long for eight members.
    return torch.bmm(kept.unsqueeze(1), towards.transpose(1, 2)).squeeze(1) / length.unsqueeze(1), length


def _length(vectors: Tensor) -> Tensor:
    """Lengths along the last dimension, above 0 so that they can be divided by."""
    return torch.linalg.vector_norm(vectors, dim=-1).clamp(min=torch.finfo(vectors.dtype).tiny)


Function = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
LOSSES: dict[str, Function] = {"repel": repel_loss, "anchor": anchor_loss, "admm": anchor_loss}
GRADIENTS: dict[str, Function] = {"repel": repel_gradient, "anchor": anchor_gradient, "admm": anchor_gradient}


@dataclass(frozen=True)
class Extra:
    """The extra losses of a cohort: one kind and one number of references, strengths and masks of each member's own."""

    kind: str  # a key of LOSSES
    names: tuple[str, ...]  # the tensors that θ is made of, in this order
    strength: Tensor  # (R,)
    mask: Tensor  # (R, N), False too on tensors that a member's loss doesn't look at
    references: Tensor  # (R, K, N), directions for "repel"


def stack(
    kind: str,
    strengths: Sequence[float],
    references: Sequence[Mapping[str, Tensor]],
    masks: Sequence[Mapping[str, Tensor]],
    device: torch.device,
) -> Extra:
    """The extra losses of R members from `references`, (K, ...) a tensor, and `masks`, (...) bool ({}: dense).

    ValueError for a member without references.
    """
    if not all(references):
        raise ValueError("an extra loss needs the weights that it refers to")
    shapes = {name: tensor.shape for member in references for name, tensor in member.items()}
    others, kept = [], []
    for member, mask in zip(references, masks, strict=True):
        found = [member[n] if n in member else torch.zeros(shape) for n, shape in shapes.items()]
        looks = [torch.full(shape[1:], n in member) for n, shape in shapes.items()]
        others.append(torch.cat([tensor.flatten(1) for tensor in found], 1))
        kept.append(torch.cat([(all_ & mask.get(n, all_)).flatten() for n, all_ in zip(shapes, looks, strict=True)]))
    within, whole = torch.stack(kept).to(device), torch.stack(others).to(device)
    if kind == "repel":
        whole = directions(whole, within)
    return Extra(kind, tuple(shapes), torch.tensor(strengths, device=device), within, whole)


def loss(extra: Extra, weights: Mapping[str, Tensor]) -> Tensor:
    """The extra loss of each member at `weights`, (R, ...) a tensor: (R,). The loop records it nowhere, a probe may."""
    return LOSSES[extra.kind](_flat(extra, weights), extra.references, extra.mask, extra.strength)


def add(extra: Extra, weights: Mapping[str, Tensor], grads: Sequence[Tensor]) -> list[Tensor]:
    """`grads`, one (R, ...) tensor for each of `weights`, with the extra loss's gradients added.

    They are computed and added in the precision of the weights, also to gradients of a lower one.
    """
    gradient = GRADIENTS[extra.kind](_flat(extra, weights), extra.references, extra.mask, extra.strength)
    parts = gradient.split([weights[name][0].numel() for name in extra.names], 1)
    own = {name: part.view_as(weights[name]) for name, part in zip(extra.names, parts, strict=True)}
    return [g + own[name] if name in own else g for name, g in zip(weights, grads, strict=True)]


def _flat(extra: Extra, weights: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([weights[name].flatten(1) for name in extra.names], 1)
