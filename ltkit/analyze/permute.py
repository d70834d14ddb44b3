"""Hidden units in another order: other weights, the same function (the control of mode_connectivity.md section 7.11).

Two networks that compute the same and are far apart in weight space: a straight path between them must show a barrier,
whatever the training did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import UserError
from ..models import build
from ..spec import Network


@dataclass(frozen=True)
class Reorder:
    """One hidden layer's units in a new order: unit i becomes what unit order[i] was."""

    order: Tensor  # (units,)
    outputs: tuple[str, ...]  # tensors with a row a unit: weight, bias, and those of the BatchNorm behind it
    inputs: str  # the weight that reads the units, columns of one unit side by side


def draw(network: Network, shape: tuple[int, int, int], classes: int, generator: torch.Generator) -> list[Reorder]:
    """A random order for the units of every hidden layer that can be permuted by itself.

    These are all hidden layers of a LeNet, Conv-n, VGG or ResNet without skips. In a ResNet with skips the channels
    that a skip carries are tied over a whole stage and stay; the ones inside each block move. UserError for other
    networks.
    """
    if network.arch.startswith("mobilenet"):
        raise UserError(f"the hidden units of {network.arch} can't be permuted here; LeNet, Conv-n, VGG and ResNet can")
    with torch.device("meta"):
        shapes = {name: t.shape[1:] for name, t in build(network, shape, classes).state_dict().items()}
    layers: list[list[str]] = []  # in the order of the forward pass, each weight with the vectors that follow it
    for name, size in shapes.items():
        if len(size) > 1:
            layers.append([])
        layers[-1].append(name)
    skips = network.arch.startswith("resnet") and network.residual
    return [
        Reorder(torch.randperm(shapes[one[0]][0], generator=generator), tuple(one), two[0])
        for one, two in pairwise(layers)
        if not skips or (_block(one[0]) and _block(one[0]) == _block(two[0]))
    ]


def _block(weight: str) -> str:
    """ "stage2.0" for "stage2.0.conv1.weight", nothing for "conv1.weight"."""
    return weight.rpartition(".")[0].rpartition(".")[0]


def permute(tensors: Mapping[str, Tensor], orders: Sequence[Reorder]) -> dict[str, Tensor]:
    """The state, or a mask of some of its tensors, with its hidden units in the order that `draw` gave."""
    moved = dict(tensors)
    for step in orders:
        for name in step.outputs:
            if name in moved:
                moved[name] = moved[name][step.order]
        if step.inputs in moved:
            units = moved[step.inputs].unflatten(1, (len(step.order), -1))
            moved[step.inputs] = units[:, step.order].flatten(1, 2)
    return moved


def inverse(orders: Sequence[Reorder]) -> list[Reorder]:
    """The orders that undo `orders`."""
    return [Reorder(step.order.argsort(), step.outputs, step.inputs) for step in orders]


def permuted(
    network: Network,
    shape: tuple[int, int, int],
    classes: int,
    tensors: Mapping[str, Tensor],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """`tensors` (a state or a mask) with all hidden units permuted: the network computes what it did.

    Generators in the same state give the same permutation, so that a mask can follow its weights.
    """
    return permute(tensors, draw(network, shape, classes, generator))
