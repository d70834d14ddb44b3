"""Sparse initializations: a dense draw scaled to what a mask leaves of a layer or unit (gradient_flow.md section 2).

    dense       as drawn: a dense initialization under a mask
    layer       times 1 / sqrt(the layer's density): Liu as in the code of Evci et al. (`liu_dcode`)
    layer_out   to the standard deviation sqrt(2 / n), n = kept weights of the layer / its input channels: Liu et al.'s
                own (`liu_original`), which for a convolution is He by fan-out times the density
    neuron      row i times sqrt(fan_in / max(1, own fan-in of i)), the variance that unit i's kept inputs call for:
                Evci et al.'s own

All of them rescale one dense draw, so those of one seed are paired: the same kept weights but for a factor a layer or a
unit. "layer" and "neuron" keep the scale of the scheme (2 / fan-in, 2 / (fan-in + fan-out), ...) and are the dense draw
itself where nothing is pruned; under a uniform mask they agree on average. "layer_out" keeps no more of the scheme than
whether it is normal or uniform. Biases and tensors outside the mask stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from ..errors import UserError, nearest
from .initial import spread

FANS = ("dense", "layer", "layer_out", "neuron")


def rescale(weights: Mapping[str, Tensor], mask: Mapping[str, Tensor], fan: str, scheme: str) -> dict[str, Tensor]:
    """`weights` as drawn by `scheme`, those of the tensors in `mask` times the factors of `fan`.

    Weights are (out, in) or (out, in/groups, k, k), whether pruned ones are 0 already doesn't matter: each row is
    multiplied by one number. A unit or layer that keeps nothing has a factor too (that of a fan-in of 1, of one kept
    weight), which no kept weight meets. UserError for an unknown `fan`.
    """
    if fan not in FANS:
        raise UserError(f"unknown fan '{fan}'{nearest(fan, FANS)}; known: {', '.join(FANS)}")
    if fan == "dense":
        return dict(weights)
    scaled = {name: w * _factors(mask[name], fan, scheme).to(w) for name, w in weights.items() if name in mask}
    return {**weights, **scaled}


def _factors(mask: Tensor, fan: str, scheme: str) -> Tensor:
    """What the rows of a weight are multiplied by, in a shape that fits it."""
    kept = mask.sum().clamp(min=1).double()
    if fan == "layer":
        return (mask.numel() / kept).sqrt()
    if fan == "layer_out":
        return (2 * mask.shape[1] / kept).sqrt() / spread(mask.shape, scheme)
    own = mask.flatten(1).sum(1).clamp(min=1).double()
    return (math.prod(mask.shape[1:]) / own).sqrt().view(-1, *[1] * (mask.dim() - 1))
