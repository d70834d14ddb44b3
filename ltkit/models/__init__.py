"""The networks of the six papers, as cohorts of R members, with their counts and what may be pruned.

    network   families                          prunable by default
    lenet_*   LeNet-300-100, LeNet-5            every weight matrix and kernel (`lenet`)
    conv*     Conv-2, Conv-4, Conv-6            every weight matrix and kernel (`conv`)
    resnet*   8 to 110 for CIFAR; 18, 50        convolutions but the first, 1x1 shortcuts included (`resnet`)
    vgg*      11, 13, 16, 19                    convolutions but the first (`vgg`)
    mobilenet v1, v2                            convolutions but the first (`mobilenet`)
    py:PATH:CLASS                               what its layers' roles say (`own`)

Biases and BatchNorm are never prunable. A shape is (channels, height, width) of one image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import UserError, nearest
from . import conv, lenet, mobilenet, own, resnet, vgg
from .initial import draw
from .layers import Conv, Linear, fold, unfold
from .sparse_initial import rescale

if TYPE_CHECKING:
    from ..spec import Init, Network

__all__ = ["build", "count", "fold", "init", "prunable", "prunable_count", "rescale", "small_dense", "unfold"]

Shape = tuple[int, int, int]
FAMILIES: dict[str, type[nn.Module]] = {
    "lenet_300_100": lenet.LeNet300,
    "lenet_5": lenet.LeNet5,
    "mobilenet_v1": mobilenet.MobileNetV1,
    "mobilenet_v2": mobilenet.MobileNetV2,
    **dict.fromkeys(conv.BASES, conv.ConvNet),
    **dict.fromkeys((*resnet.SMALL, *resnet.LARGE), resnet.ResNet),
    **dict.fromkeys(vgg.DEPTHS, vgg.VGG),
}
ROLES = {"default": ("body", "shortcut"), "no_shortcut": ("body",), "all": ("body", "shortcut", "end")}
ROLES["no_first"] = ROLES["all"]  # but for one layer: see prunable
WIDTH_STEPS = 10_000  # of small_dense in a unit of width, finer than any two widths at which different layers grow


def build(network: Network, shape: Shape, classes: int, members: int = 1) -> nn.Module:
    """`members` networks as one module on the current device: x (R, B, C, H, W) to logits (R, B, classes).

    Every parameter and buffer has a leading dimension R. Weights are zeros, to be filled from `init` or a stored run;
    under `torch.device("meta")` nothing is allocated. UserError if the network can't take images of that shape.
    """
    if len(shape) != 3 or min(shape) < 1 or classes < 1 or members < 1:
        raise UserError(
            f"{network.arch} needs a shape (channels, height, width), classes and members of at least 1, "
            f"not shape={tuple(shape)}, classes={classes}, members={members}"
        )
    family = own.network_class(network.arch) if network.arch.startswith(own.PREFIX) else FAMILIES[network.arch]
    return family(network, shape, classes, members)


def init(network: Network, shape: Shape, classes: int, start: Init) -> dict[str, Tensor]:
    """One member's fresh parameters and buffers (no leading dimension), a function of the arguments alone."""
    state = _skeleton(network, shape, classes).state_dict()
    shapes = {name: tensor.shape[1:] for name, tensor in state.items()}
    return draw(shapes, start.seed, start.draw, start.scheme)


def prunable(network: Network, shape: Shape, classes: int, which: str = "default") -> list[str]:
    """Names of the prunable weights in module order.

    `which` is "default", "no_shortcut" (without 1x1 shortcuts), "all", or "no_first": all but the first convolution,
    which paper E never prunes (weight_correlation.md section 2), and simply all where there is none.
    """
    return list(_sizes(network, shape, classes, which))


def prunable_count(network: Network, shape: Shape, classes: int, which: str = "default") -> int:
    """How many weights are prunable."""
    return sum(_sizes(network, shape, classes, which).values())


def count(network: Network, shape: Shape, classes: int) -> int:
    """How many parameters one network has, biases and BatchNorm's included, running statistics not."""
    return sum(parameter.numel() for parameter in _skeleton(network, shape, classes).parameters())


@lru_cache(maxsize=1024)  # a study asks for the same few again and again, and each takes milliseconds
def small_dense(network: Network, shape: Shape, classes: int, kept: int, which: str = "default") -> tuple[Network, int]:
    """The network with the prunable count closest to `kept` by its width alone, and that count.

    existence.md section 3: all widths are scaled by one factor, found by bisection. Of two equally close networks
    the larger one is taken, the stricter control. Of the widths that give this network the shortest decimal is chosen.
    What no width reaches is answered with the smallest (one unit a layer) or the largest network: look at the count.
    """

    def at(width: float) -> tuple[Network, int]:
        scaled = network.model_copy(update={"width": width})
        return scaled, prunable_count(scaled, shape, classes, which)

    low, high = 1, 64 * WIDTH_STEPS
    while high - low > 1:  # the count rises with the width: count(low) < kept <= count(high), but for the two ends
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle / WIDTH_STEPS)[1] >= kept else (middle, high)
    below, above = at(low / WIDTH_STEPS), at(high / WIDTH_STEPS)
    best = below if kept - below[1] < above[1] - kept else above
    for digits in range(4):
        short = at(max(round(best[0].width, digits), 1 / WIDTH_STEPS))
        if short[1] == best[1]:
            return short
    return best


def _sizes(network: Network, shape: Shape, classes: int, which: str) -> dict[str, int]:
    if which not in ROLES:
        raise UserError(f"unknown prunable set '{which}'{nearest(which, ROLES)}; known: {', '.join(ROLES)}")
    layers = [
        (name, module)
        for name, module in _skeleton(network, shape, classes).named_modules()
        if isinstance(module, Conv | Linear) and module.role in ROLES[which]
    ]
    if which == "no_first" and isinstance(layers[0][1], Conv):
        del layers[0]
    return {f"{name}.weight": module.weight.numel() for name, module in layers}


@lru_cache(maxsize=256)
def _skeleton(network: Network, shape: Shape, classes: int) -> nn.Module:
    with torch.device("meta"):
        return build(network, shape, classes)
