"""Convolutions of plain networks on maps of a few pixels as products, which train faster on a CPU.

As in a cohort: `ltkit.models.small_maps`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from ..models import small_maps as small


@contextmanager
def small_maps(module: nn.Module) -> Iterator[None]:
    """For a while all convolutions of a network go the shorter way where there is one; the same but for rounding."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        layer.forward = partial(convolve, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What `layer` gives for x (B, C, H, W); products leave it in channels_last memory."""
    size, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    if layer.groups == 1 and small.better_as_product(x, size, stride, padding):
        bias = None if layer.bias is None else layer.bias[None]
        return small.convolve(x, layer.weight[None], bias, stride, padding)
    if layer.groups == layer.in_channels == layer.out_channels and small.better_within(x, size):
        return small.convolve_within(x, layer.weight, layer.bias, stride, padding)
    return _as_ever(layer, x)


def _as_ever(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Never in channels_last memory: there torch 2.15 on a CPU with AVX2 takes the gradient of narrow 1x1 kernels with
    stride 2 to memory that isn't its own (abort or segmentation fault)."""
    return F.conv2d(x.contiguous(), layer.weight, layer.bias, layer.stride, layer.padding, groups=layer.groups)
