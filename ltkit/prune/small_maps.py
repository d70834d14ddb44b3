"""Convolutions of plain networks on maps of a few pixels as products, which train faster on a CPU.

Those over all channels go as in a cohort (`ltkit.models.small_maps`). A convolution within each channel is a product
with a matrix of pixels by pixels for each channel; torch's own takes long where there are many channels, however small
they are. Measured on digits, beside other work: a step of MobileNet-v2 x0.2 takes
about half as long, one of VGG-11 x0.125 two thirds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.small_maps import better_as_product, size_after, taps
from ..models.small_maps import convolve as shared

PIXELS = 64  # of a map at most


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
    (height, width), own = x.shape[2:], layer.groups == layer.in_channels == layer.out_channels > 1
    if height * width > PIXELS or x.device.type != "cpu" or not (own or layer.groups == 1):
        return _as_ever(layer, x)
    if own:
        at = taps(height, width, size, stride, padding).to(x)
        height, width = (size_after(side, size, stride, padding) for side in (height, width))
        matrices = (layer.weight.flatten(1) @ at.T).view(len(layer.weight), x[0, 0].numel(), -1)
        given = _Product.apply(x.flatten(2).transpose(0, 1), matrices).permute(1, 2, 0).unflatten(1, (height, width))
        given = given.contiguous() if layer.bias is None else given + layer.bias
        return given.permute(0, 3, 1, 2)
    if better_as_product(x, size, stride, padding) or (size, padding) == (1, 0):
        bias = None if layer.bias is None else layer.bias.unsqueeze(0)
        return shared(x, layer.weight.unsqueeze(0), bias, stride, padding)
    return _as_ever(layer, x)


def _as_ever(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Never in channels_last memory: there torch 2.15 on a CPU with AVX2 takes the gradient of narrow 1x1 kernels with
    stride 2 to memory that isn't its own (abort or segmentation fault)."""
    return F.conv2d(x.contiguous(), layer.weight, layer.bias, layer.stride, layer.padding, groups=layer.groups)


class _Product(torch.autograd.Function):
    """torch.bmm, which copies matrix by matrix what doesn't lie in order; here all is put in order at once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrices: Tensor) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x, matrices)
        return torch.bmm(x, matrices)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        x, matrices = ctx.saved_tensors
        slope = slope.contiguous()
        return torch.bmm(slope, matrices.transpose(1, 2)), torch.bmm(x.transpose(1, 2), slope)
