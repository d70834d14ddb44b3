"""Convolutions on maps of a few pixels as products: against torch's own, for cohorts."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from ltkit.models.layers import Conv
from ltkit.models.small_maps import better_as_product, better_within, convolve, convolve_within, size_after, taps
from ltkit.seeds import generator


def maps(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    draw = generator("small maps", channels, height, width)
    x = torch.randn(batch, channels, height, width, generator=draw, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (5, 1, 2), (1, 1, 0), (1, 2, 0), (3, 1, 0)]
)
def test_products_are_grouped_convolutions(kernel: int, stride: int, padding: int, members: int, bias: bool) -> None:
    for height, width in itertools.product((1, 2, 4), (1, 2, 3)):
        if min(height, width) + 2 * padding < kernel:
            continue
        x, draw = maps(6, members * 4, height, width), generator("kernel", kernel, stride, members)
        weight = torch.randn(members, 5, 4, kernel, kernel, generator=draw, dtype=torch.float64, requires_grad=True)
        added = torch.randn(members, 5, generator=draw, dtype=torch.float64, requires_grad=True) if bias else None
        flat = None if added is None else added.flatten()
        wanted = F.conv2d(x, weight.flatten(0, 1), flat, stride, padding, groups=members)
        given = convolve(x, weight, added, stride, padding)
        torch.testing.assert_close(given, wanted)
        assert given.is_contiguous(memory_format=torch.channels_last)
        tensors, against = [x, weight, *([] if added is None else [added])], torch.randn_like(wanted)
        ours, theirs = (torch.autograd.grad(y, tensors, against) for y in (given, wanted))
        torch.testing.assert_close(ours, theirs)
        if tensors[0].shape[-1] > 1 and kernel == 1:
            assert ours[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (5, 1, 2), (3, 1, 0)])
def test_products_are_convolutions_within_channels(kernel: int, stride: int, padding: int, bias: bool) -> None:
    for height, width in itertools.product((1, 2, 4), (1, 2, 3)):
        if min(height, width) + 2 * padding < kernel:
            continue
        x, draw = maps(6, 5, height, width), generator("kernel", kernel, stride)
        weight = torch.randn(5, 1, kernel, kernel, generator=draw, dtype=torch.float64, requires_grad=True)
        added = torch.randn(5, generator=draw, dtype=torch.float64, requires_grad=True) if bias else None
        wanted = F.conv2d(x, weight, added, stride, padding, groups=5)
        given = convolve_within(x, weight, added, stride, padding)
        torch.testing.assert_close(given, wanted)
        assert given.is_contiguous(memory_format=torch.channels_last)
        tensors, against = [x, weight, *([] if added is None else [added])], torch.randn_like(wanted)
        ours, theirs = (torch.autograd.grad(y, tensors, against) for y in (given, wanted))
        torch.testing.assert_close(ours, theirs)


def test_a_kernel_on_two_pixels_by_hand() -> None:
    """Side by side the two pixels meet the middle row alone: each its own middle, and the other's left or right."""
    at = taps(1, 2, 3, 1, 1).view(2, 2, 9)
    assert [size_after(side, 3, 1, 1) for side in (1, 2)] == [1, 2]
    found = {(i, j): at[i, j].nonzero().flatten().tolist() for i, j in itertools.product(range(2), range(2))}
    assert found == {(0, 0): [4], (1, 1): [4], (0, 1): [3], (1, 0): [5]}  # (pixel in, pixel out): place in the kernel


def test_where_products_are_taken() -> None:
    def taken(batch: int, side: int, kernel: int, stride: int = 1) -> bool:
        return better_as_product(torch.zeros(batch, 1, side, side), kernel, stride, kernel // 2)

    assert taken(64, 1, 3)
    assert taken(64, 2, 3)
    assert not taken(64, 3, 3)  # as many pixels as weights
    assert taken(32, 4, 5)
    assert not taken(16, 4, 5)  # too few images for what making the matrix takes
    assert taken(64, 4, 1)
    assert taken(64, 8, 1, stride=2)
    assert taken(64, 4, 3, stride=2)  # torch takes longer for the gradient of a convolution with a stride
    assert not taken(64, 4, 3)
    assert not taken(64, 8, 1)
    assert [better_within(torch.zeros(2, 1, side, side), 3) for side in (1, 2, 3)] == [True, True, False]
    assert not better_within(torch.zeros(2, 1, 1, 1), 1)


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(4, 8, 1), (4, 4, 4), (4, 8, 4), (4, 8, 2), (1, 1, 1)])
def test_a_layer_gives_the_same_whatever_way_it_goes(
    inputs: int, outputs: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = Conv(inputs, outputs, 3, 2, groups=groups, bias=True).double()
    for tensor in layer.parameters():
        torch.nn.init.normal_(tensor, generator=generator("layer", groups))
    x = maps(16, 2 * inputs, 2, 2)
    given = layer(x)
    for rule in ("better_as_product", "better_within"):
        monkeypatch.setattr(f"ltkit.models.layers.{rule}", lambda *words: False)
    torch.testing.assert_close(given, layer(x))


COUNT = """
import sys
import ltkit.lab, ltkit.studies.greedy_bounds_networks
from ltkit.models import cost, init, plain
from ltkit.spec import Init, Network
known = Network(arch="resnet8", width=0.25)
plain.torch_module(known, (1, 8, 8), 10, init(known, (1, 8, 8), 10, Init()))
cost.multiplications(known, (1, 8, 8), 10)
sys.exit("torch._dynamo" in sys.modules)
"""


def test_the_compiler_is_loaded_by_those_who_compile() -> None:
    """It takes two seconds to import, in every kernel and every worker process."""
    assert subprocess.run([sys.executable, "-c", COUNT]).returncode == 0
