"""Layers of a *cohort*: R networks of one architecture as one module.

Every parameter and buffer has a leading dimension R = `members`; slicing [r] gives an ordinary layer's tensors. Images
travel as (B, R*C, H, W), member by member along the channels, so that R networks are one grouped convolution and one
BatchNorm; features travel as (R, B, F), so that R linear layers are one batched product. With R = 1 every layer is the
ordinary one. Nothing mixes members.

A layer's `role` says what pruning may touch (`ltkit.models.prunable`): `body` always, `shortcut` unless it is left
out, `end` (first convolution and classifier of the deep networks) only when everything is prunable.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from .halving import halve, quicker_gradient
from .small_maps import better_as_product, better_within, convolve, convolve_within, every

Role = Literal["body", "shortcut", "end"]
Size = tuple[int, int]  # height and width of a feature map
LARGE_FROM = 64  # pixels of the shorter side from which the networks made for ImageNet use their ImageNet strides
# A CPU without AVX-512 has no bf16 products: torch's fallback is thirty times slower than fp32.
NATIVE_BF16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def fold(x: Tensor) -> Tensor:
    """(R, B, C, H, W) images as (B, R*C, H, W), in channels_last memory.

    No copy if the memory of `x` already lies as (B, H, W, R, C).
    """
    return x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def unfold(x: Tensor, members: int) -> Tensor:
    """(B, R*F) or (B, R*C, H, W) as features (R, B, F) with F = C*H*W, channels first."""
    return x.flatten(1).view(x.shape[0], members, -1).transpose(0, 1)


def product(function: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """function(x, weight, bias); on a CPU without bf16 products the bf16 numbers are multiplied in fp32.

    What comes out is the same but for the order of sums: bf16 numbers multiply exactly in fp32, sums are fp32 either
    way, results are rounded to bf16. So a recipe means the same on every machine, and is slow on none.
    """
    asked = weight.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    if not asked or NATIVE_BF16 or weight.device.type != "cpu":
        return function(x, weight, bias)
    with torch.autocast("cpu", enabled=False):
        wide = (None if t is None else t.bfloat16().float() for t in (x, weight, bias))
        return function(*wide).bfloat16()


class Conv(nn.Module):
    """R convolutions as one: weight (R, out, in/groups, k, k), bias (R, out), input (B, R*in, H, W)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        members: int,
        *,
        stride: int = 1,
        padding: int | None = None,  # None: kernel // 2, which keeps the map's size at stride 1
        groups: int = 1,
        bias: bool = False,
        role: Role = "body",
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, kernel // 2 if padding is None else padding
        self.groups, self.role = members * groups, role
        self.weight = nn.Parameter(torch.zeros(members, outputs, inputs // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(members, outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        members, kernel = len(self.weight), self.weight.shape[-1]
        if self.groups == members and better_as_product(x, kernel, self.stride, self.padding):
            small = partial(convolve, stride=self.stride, padding=self.padding)
            return product(small, x, self.weight, self.bias)
        weight, bias = self.weight.flatten(0, 1), None if self.bias is None else self.bias.flatten()
        if self.groups == len(weight) == x.shape[1] and better_within(x, kernel):
            small = partial(convolve_within, stride=self.stride, padding=self.padding)
            return product(small, x, weight, bias)
        if quicker_gradient(x, weight.shape[1], self.groups, kernel, self.stride, self.padding):
            return product(partial(halve, groups=self.groups), x, weight, bias)
        return product(self._convolve, x, weight, bias)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        stride = self.stride
        if x.device.type == "cpu" and stride > 1 and weight.shape[-1] == 1 and self.padding == 0:
            # torch 2.15 on a CPU takes the gradient of narrow 1x1 kernels with a stride to memory that isn't its own.
            x, stride = every(x, stride).contiguous(memory_format=torch.channels_last), 1
        return F.conv2d(x, weight, bias, stride, self.padding, groups=self.groups)


class Linear(nn.Module):
    """R linear layers as one batched product: weight (R, out, in), bias (R, out), input (R, B, in)."""

    def __init__(self, inputs: int, outputs: int, members: int, role: Role = "body") -> None:
        super().__init__()
        self.role = role
        self.weight = nn.Parameter(torch.zeros(members, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(members, outputs))

    def forward(self, x: Tensor) -> Tensor:
        if len(self.weight) == 1:  # the ordinary kernel is faster than a batch of one
            return product(F.linear, x[0], self.weight[0], self.bias[0]).unsqueeze(0)
        return product(_batched, x, self.weight, self.bias)


def _batched(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    # The weight as left factor: its gradient then comes out in its own layout (a third faster in bf16 on a CPU).
    return torch.baddbmm(bias.unsqueeze(2), weight, x.transpose(1, 2)).transpose(1, 2)


class BatchNorm(nn.Module):
    """nn.BatchNorm2d for R members: each has its own statistics, weight and bias, all (R, C).

    The running statistics are updated in place in train mode; there is no count of batches, so set `momentum` to
    1 / (i + 1) at batch i for a plain average over batches.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, members: int) -> None:
        super().__init__()
        self.momentum, self.eps = 0.1, 1e-5
        self.weight = nn.Parameter(torch.ones(members, channels))
        self.bias = nn.Parameter(torch.zeros(members, channels))
        self.register_buffer("running_mean", torch.zeros(members, channels))
        self.register_buffer("running_var", torch.ones(members, channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean.view(-1), self.running_var.view(-1)
        weight, bias = self.weight.flatten(), self.bias.flatten()
        return F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.eps)


def normalization(norm: str | None, channels: int, members: int) -> nn.Module:
    """BatchNorm for "batch", nothing for "none"."""
    return BatchNorm(channels, members) if norm == "batch" else nn.Identity()


class Unit(nn.Module):
    """Convolution, normalization and ReLU (unless `relu` is False); options are those of `Conv`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        members: int,
        *,
        norm: str | None = "batch",
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        relu: bool = True,
        role: Role = "body",
    ) -> None:
        super().__init__()
        self.relu = relu
        self.conv = Conv(inputs, outputs, kernel, members, stride=stride, groups=groups, bias=bias, role=role)
        self.bn = normalization(norm, outputs, members)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x) if self.relu else x


def scaled(width: float, base: int) -> int:
    """A layer's width: `width * base`, rounded half up, at least 1."""
    return max(1, int(width * base + 0.5))


def at_least(arch: str, size: Size, needed: int) -> None:
    """UserError if the image is smaller than `needed` x `needed` pixels, where the feature map would vanish."""
    if min(size) < needed:
        raise UserError(
            f"{arch} needs images of at least {needed}x{needed} pixels, not {size[0]}x{size[1]}: "
            "its pools would leave no feature map"
        )
