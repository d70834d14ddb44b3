"""Does a signal pass a sparse network before any training? The scale of its logits (gradient_flow.md P12)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from .. import models
from ..prune.distribution import Shapes
from ..prune.masks import Mask, apply, by_layer
from ..seeds import generator
from ..spec import Init, Network
from .outputs import logits

IMAGES = 500  # P12


def noise(shape: tuple[int, int, int], seed: int, count: int = IMAGES) -> Tensor:
    """`count` images (count, C, H, W) of independent N(0, 1) values."""
    return torch.randn(count, *shape, generator=generator("noise", seed))


def uneven_mask(shapes: Shapes, kept: Mapping[str, int], draw: torch.Generator) -> Mask:
    """Exactly `kept[name]` positions of each tensor, later output units favoured, as in the notebook of paper D.

    A position of output unit j (from 0) has a score U(0, j + 1), the lowest scores are cut: unit 0 keeps least. For
    even masks there is `ltkit.prune.distribution.random_mask`.
    """
    scores = {}
    for name, shape in shapes.items():
        units = torch.arange(1.0, shape[0] + 1).view(-1, *[1] * (len(shape) - 1))
        scores[name] = torch.rand(shape, generator=draw) * units
    return by_layer(scores, kept)


def fresh(network: Network, shape: tuple[int, int, int], classes: int, start: Init, mask: Mask) -> dict[str, Tensor]:
    """The weights and buffers that a training with this start and mask begins with (but for `start.permute`)."""
    drawn = apply(models.init(network, shape, classes, start), mask)
    return models.rescale(drawn, mask, start.fan, start.scheme)


def scales(
    network: Network, shape: tuple[int, int, int], classes: int, starts: Iterable[tuple[Init, Mask]], x: Tensor
) -> list[float]:
    """σ of all logits together of each start under its mask ({}: dense), for images x (N, C, H, W), as one cohort.

    0 where no signal arrives. BatchNorm, where there is one, is in eval mode and fresh: it doesn't normalise.
    """
    members = (fresh(network, shape, classes, start, mask) for start, mask in starts)
    return logits(network, shape, classes, members, x).double().flatten(1).std(1, correction=0).tolist()


def geometric_mean(values: Iterable[float]) -> float:
    """The mean over seeds for values that spread over decades; 0 if one of them is."""
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if all(values) else 0.0
