"""SGD and Adam for a cohort: a learning rate and a weight decay a member, the mask folded into the update.

The masked step is `w += rate * direction` with rate = -lr * mask, made anew only when the learning rate changes. Pruned
weights start at 0 and so stay exactly 0, and the mask costs no pass of its own over the weights. What momentum gathers
at pruned positions never reaches a weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..spec import Recipe

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's published defaults


def slot_names(recipe: Recipe) -> tuple[str, ...]:
    """The tensors that the optimizer keeps for each parameter."""
    if recipe.optimizer == "adam":
        return ("first", "second")
    return ("momentum",) if recipe.momentum else ()


def sgd(
    weights: Sequence[Tensor],
    leaves: Sequence[Tensor],
    grads: Sequence[Tensor],
    rates: Sequence[Tensor],
    decays: Sequence[Tensor] | None,
    slots: Sequence[Sequence[Tensor]],
    momentum: float,
    nesterov: bool,
) -> None:
    """One step of SGD as torch.optim.SGD defines it (dampening 0; L2 decay joins the gradient), in place.

    Each list has one entry a tensor; all tensors lead with the members' dimension; decays are (R, 1, ...). A leaf is
    what the network holds: the weight itself, or a copy of lower precision that is written along and whose gradient
    comes in.
    """
    for i, (w, leaf, g, rate) in enumerate(zip(weights, leaves, grads, rates, strict=True)):
        if decays is not None:
            g = torch.addcmul(g, decays[i], w)
        if momentum:
            velocity = torch.add(g, slots[0][i], alpha=momentum, out=slots[0][i])  # one pass instead of two
            g = g.add(velocity, alpha=momentum) if nesterov else velocity
        w.addcmul_(g, rate)
        if leaf is not w:
            leaf.copy_(w)


def adam(
    weights: Sequence[Tensor],
    leaves: Sequence[Tensor],
    grads: Sequence[Tensor],
    rates: Sequence[Tensor],
    decays: Sequence[Tensor] | None,
    slots: Sequence[Sequence[Tensor]],
    correction1: Tensor,
    correction2: Tensor,
) -> None:
    """One step of Adam as torch.optim.Adam defines it (L2 decay joins the gradient), in place.

    The corrections are 1 - beta^t, (R,): each member has made its own number of steps, and as tensors they don't make
    compiled code anew every step.
    """
    for i, (w, leaf, g, rate) in enumerate(zip(weights, leaves, grads, rates, strict=True)):
        g = g.to(w.dtype)
        if decays is not None:
            g = torch.addcmul(g, decays[i], w)
        first = slots[0][i].lerp_(g, 1 - BETA1)
        second = slots[1][i].mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
        one, two = (c.view(-1, *[1] * (w.dim() - 1)) for c in (correction1, correction2))
        w.addcmul_(first / one / ((second / two).sqrt() + EPSILON), rate)
        if leaf is not w:
            leaf.copy_(w)
