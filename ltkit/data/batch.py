"""The order of an epoch and its augmentation, the same on every device and in every cohort.

What is random is drawn on the CPU from (purpose, seed, epoch) alone; what is done to the images is index arithmetic on
the device that holds them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..seeds import generator


def order(seed: int, epoch: int, n: int) -> Tensor:
    """The n images' order in this epoch, a permutation (n,) int64."""
    return torch.randperm(n, generator=generator("order", seed, epoch))


def shifts(seed: int, epoch: int, n: int, crop: int) -> Tensor:
    """Row and column, 0..2*crop, where each crop starts in its padded image, (n,2) int64 by position in the epoch."""
    return torch.randint(2 * crop + 1, (n, 2), generator=generator("shifts", seed, epoch))


def flips(seed: int, epoch: int, n: int) -> Tensor:
    """Which images are flipped, each with probability 1/2, (n,) bool by position in the epoch."""
    return torch.randint(2, (n,), generator=generator("flips", seed, epoch)).bool()


def augment(x: Tensor, shifts: Tensor | None, flips: Tensor | None, crop: int) -> Tensor:
    """Images x (R,B,C,H,W), padded by `crop` zeros and cropped at `shifts` (R,B,2), then mirrored where `flips` (R,B).

    As torchvision's RandomCrop(padding=crop) and RandomHorizontalFlip, one after the other. Zero is black only before
    `normalise`: give the pixels 0..255 (uint8 is the fastest), and normalise the result. None leaves that step out.
    """
    members, batch, channels, height, width = x.shape
    rows = torch.arange(height, device=x.device).expand(members, batch, height)
    columns = torch.arange(width, device=x.device).expand(members, batch, width)
    if flips is not None:
        columns = torch.where(flips[..., None], width - 1 - columns, columns)
    if shifts is not None:
        x = F.pad(x, (crop, crop, crop, crop))
        rows, columns = rows + shifts[..., :1], columns + shifts[..., 1:]
    elif flips is None:
        return x
    index = rows[..., :, None] * x.shape[-1] + columns[..., None, :]
    index = index.reshape(members, batch, 1, height * width).expand(-1, -1, channels, -1)
    return x.flatten(3).gather(3, index).reshape(members, batch, channels, height, width)


def normalise(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(pixel/255 - mean) / std in float32, x (R,B,C,H,W) in 0..255; mean and std (C,), or (R,C) for each member."""
    scale, offset = 1 / (255 * std), -mean / std
    pixels = x.to(torch.float32, copy=True)  # in place from here: fresh memory costs more than the arithmetic
    return pixels.mul_(scale[..., None, :, None, None]).add_(offset[..., None, :, None, None])
