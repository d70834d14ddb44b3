"""Convolutions on maps of a few pixels as products, which take a CPU half the time and less (bench/README.md).

On a map with fewer pixels than the kernel has weights, most of the kernel meets padding: the map is then a layer of
features that are all connected, each weight standing where it stands in the convolution; where every channel has a
kernel of its own, a layer of pixels for each. Sums come in another order, nothing else differs.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

FEW = 16  # pixels of a map at most, on which a product of pixels is worth its copies


def better_as_product(x: Tensor, kernel: int, stride: int, padding: int) -> bool:
    """Whether a convolution of maps (B, ..., H, W) over all channels of a network takes longer than `convolve`."""
    height, width = x.shape[-2:]
    if height == width == 1 and kernel == 2 * padding + 1:
        return kernel > 1 or x.device.type == "cpu"
    if kernel == 1 and padding == 0:
        return x.device.type == "cpu" and -(-height // stride) * -(-width // stride) <= FEW
    pixels = height * width  # a matrix of so many a weight is made, for as many images as there are
    return x.device.type == "cpu" and pixels < stride * kernel**2 and 2 * pixels <= len(x)


def better_within(x: Tensor, kernel: int) -> bool:
    """The same for a convolution within each channel; torch's own takes long where there are many on a small map."""
    return x.device.type == "cpu" and kernel > 1 and x.shape[-2] * x.shape[-1] < kernel**2


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """What F.conv2d gives for R networks: x (B, R*C, H, W), weight (R, O, C, k, k), bias (R, O) or None.

    The result (B, R*O, H', W') lies in channels_last memory.
    """
    kernel = weight.shape[-1]
    if x.shape[2:] == (1, 1) and kernel == 2 * padding + 1:  # all but the middle meets padding
        weight, kernel, stride, padding = weight[..., padding, padding, None, None], 1, 1, 0
    if kernel == 1 and padding == 0:
        return _pixels(every(x, stride), weight.flatten(2), bias)
    return _connected(x, weight, bias, stride, padding)


def convolve_within(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """What F.conv2d gives for channels by themselves: x (B, C, H, W), weight (C, 1, k, k), bias (C,) or None.

    The result (B, C, H', W') lies in channels_last memory.
    """
    channels, _, kernel, _ = weight.shape
    batch, _, height, width = x.shape
    high, wide = (size_after(side, kernel, stride, padding) for side in (height, width))
    matrix = weight.flatten(1) @ taps(height, width, kernel, stride, padding).to(weight).T
    maps = x.permute(1, 0, 2, 3).reshape(channels, batch, -1).contiguous()  # else they are copied one by one
    out = _product(maps, matrix.view(channels, height * width, -1), None if bias is None else bias.unsqueeze(1))
    return out.permute(1, 2, 0).contiguous().view(batch, high, wide, channels).permute(0, 3, 1, 2)


def every(x: Tensor, stride: int) -> Tensor:
    """Every `stride`th row and column of maps; so that the gradient lies in channels_last memory too."""
    return x.permute(0, 2, 3, 1)[:, ::stride, ::stride].permute(0, 3, 1, 2) if stride > 1 else x


def _pixels(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A product of each pixel's channels: weight (R, O, C)."""
    members, outputs, inputs = weight.shape
    batch, _, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, members, inputs).transpose(0, 1)
    out = _product(rows, weight.transpose(1, 2), bias)
    return out.transpose(0, 1).reshape(batch, height, width, members * outputs).permute(0, 3, 1, 2)


def _connected(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """A product of whole maps, their features in the order pixel, channel."""
    members, outputs, inputs, kernel, _ = weight.shape
    batch, _, height, width = x.shape
    high, wide = (size_after(side, kernel, stride, padding) for side in (height, width))
    before, after = height * width, high * wide
    at = taps(height, width, kernel, stride, padding).to(weight)
    spread = at @ weight.permute(3, 4, 0, 2, 1).reshape(kernel**2, -1)
    matrix = spread.view(before, after, members, inputs, outputs).permute(2, 0, 3, 1, 4)
    matrix = matrix.reshape(members, before * inputs, after * outputs)
    maps = x.permute(0, 2, 3, 1).reshape(batch, before, members, inputs).permute(2, 0, 1, 3)
    out = _product(maps.reshape(members, batch, -1), matrix, None if bias is None else bias.repeat(1, after))
    out = out.view(members, batch, after, outputs).permute(1, 2, 0, 3)
    return out.reshape(batch, high, wide, members * outputs).permute(0, 3, 1, 2)


def _product(x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    return torch.bmm(x, matrix) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, matrix)


def taps(height: int, width: int, kernel: int, stride: int, padding: int) -> Tensor:
    """Which weight of a kernel stands between which pixels: 0 and 1, (pixels in * pixels out, k²).

    Code that is to be compiled takes it as a constant if told so (`ltkit.train.cohort`); it needs no compiler here.
    """
    return _taps(height, width, kernel, stride, padding)


@lru_cache(maxsize=64)
def _taps(height: int, width: int, kernel: int, stride: int, padding: int) -> Tensor:
    pixels = torch.eye(height * width).view(-1, 1, height, width)
    met = F.unfold(pixels, kernel, padding=padding, stride=stride)  # (pixels in, k², pixels out)
    return met.transpose(1, 2).flatten(0, 1)


def size_after(side: int, kernel: int, stride: int, padding: int) -> int:
    """The side of the map that a convolution gives, in pixels."""
    return (side + 2 * padding - kernel) // stride + 1
