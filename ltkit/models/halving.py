"""3x3 convolutions with stride 2 for cohorts of narrow networks, with a quicker gradient on a CPU.

torch takes two to three times as long for the maps' gradient as for the convolution where groups are a few channels
wide. As pixels that the kernel meets in the same way make one map each, four for stride 2, that gradient is a plain
convolution of the slopes with 2x2 kernels, whose four maps are then woven together (bench/README.md). Sums come in
another order, nothing else differs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

LARGEST = 16  # pixels of a side; on larger maps torch's own gradient is as fast
NARROW = range(5, 9)  # channels into each network of a cohort; torch's own is as fast for 16, and faster for 3


def quicker_gradient(x: Tensor, inputs: int, groups: int, kernel: int, stride: int, padding: int) -> bool:
    """Whether the gradient to maps x (B, groups * inputs, H, W) takes longer in torch than in `halve`."""
    height, width = x.shape[-2:]
    fits = (kernel, stride, padding) == (3, 2, 1) and not height % 2 and not width % 2
    small = groups > 1 and inputs in NARROW and max(height, width) <= LARGEST
    wanted = x.requires_grad and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    return fits and small and wanted and x.device.type == "cpu"


def halve(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """What F.conv2d gives with stride 2 and padding 1: x (B, groups * C, H, W), weight (O, C, 3, 3); H, W even."""
    out: Tensor = _Halve.apply(x, weight, groups)
    return out if bias is None else out + bias.view(-1, 1, 1)


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return F.conv2d(x, weight, None, 2, 1, groups=groups)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        maps, kernels, _ = ctx.needs_input_grad
        return (
            _to_maps(slope, weight, ctx.groups) if maps else None,
            conv2d_weight(x, weight.shape, slope, 2, 1, groups=ctx.groups) if kernels else None,
            None,
        )


def _to_maps(slope: Tensor, weight: Tensor, groups: int) -> Tensor:
    """The gradient to the maps from that to what came of them, (B, groups * O, h, w).

    A pixel in an even row met the kernel's middle row, one in an odd row its last, and the first of the row after.
    """
    batch, _, high, wide = slope.shape
    kernel = weight.unflatten(0, (groups, -1)).transpose(1, 2)  # (groups, C, O, 3, 3)
    rows = torch.stack([F.pad(kernel[..., 1:2, :], (0, 0, 0, 1)), kernel[..., (2, 0), :]], 1)
    both = torch.stack([F.pad(rows[..., 1:2], (0, 1)), rows[..., (2, 0)]], 2)  # (groups, 2, 2, C, O, 2, 2)
    wider = F.pad(slope, (0, 1, 0, 1)).contiguous(memory_format=torch.channels_last)
    four = F.conv2d(wider, both.flatten(0, 3), None, groups=groups).permute(0, 2, 3, 1)
    woven = four.reshape(batch, high, wide, groups, 2, 2, -1).permute(0, 1, 4, 2, 5, 3, 6)
    return woven.reshape(batch, 2 * high, 2 * wide, -1).permute(0, 3, 1, 2)
