"""Convolutions with stride 2 whose gradient goes another way: against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ltkit import models
from ltkit.models.halving import halve, quicker_gradient
from ltkit.seeds import generator
from ltkit.spec import Network


def drawn(name: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(name, *shape), dtype=torch.float64)


def maps(batch: int, channels: int, height: int, width: int) -> Tensor:
    x = drawn("maps", batch, channels, height, width)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("groups", "inputs", "outputs", "height", "width"), [(2, 5, 3, 4, 8), (3, 8, 16, 8, 2), (1, 1, 1, 2, 2)]
)
def test_gradients_are_those_of_torch(
    groups: int, inputs: int, outputs: int, height: int, width: int, bias: bool
) -> None:
    x, weight = maps(3, groups * inputs, height, width), drawn("kernel", groups * outputs, inputs, 3, 3)
    weight.requires_grad_()
    added = drawn("bias", groups * outputs).requires_grad_() if bias else None
    wanted, given = F.conv2d(x, weight, added, 2, 1, groups=groups), halve(x, weight, added, groups)
    torch.testing.assert_close(given, wanted)
    tensors, slope = [x, weight, *([] if added is None else [added])], drawn("slope", *wanted.shape)
    ours, theirs = (torch.autograd.grad(y, tensors, slope) for y in (given, wanted))
    torch.testing.assert_close(ours, theirs)
    assert ours[0].is_contiguous(memory_format=torch.channels_last)


def test_a_gradient_by_hand() -> None:
    """One pixel comes of two by two: in the kernel's window they stand in its middle and last row and column."""
    x, weight = maps(1, 1, 2, 2), torch.arange(9.0, dtype=torch.float64).view(1, 1, 3, 3)
    halve(x, weight, None, 1).backward(torch.ones(1, 1, 1, 1, dtype=torch.float64))
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [4, 5, 7, 8]


def test_gradients_of_gradients() -> None:
    x, weight = maps(2, 10, 4, 4), drawn("kernel", 6, 5, 3, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda a, b: halve(a, b, None, 2), (x, weight))


def test_where_it_is_taken() -> None:
    def taken(x: Tensor, inputs: int = 8, groups: int = 2, kernel: int = 3, stride: int = 2) -> bool:
        return quicker_gradient(x, inputs, groups, kernel, stride, kernel // 2)

    x = torch.zeros(1, 16, 8, 8, requires_grad=True)
    assert taken(x)
    for other in ({"stride": 1}, {"kernel": 5}, {"groups": 1}, {"inputs": 4}, {"inputs": 9}):
        assert not taken(x, **other)
    assert not taken(x.detach())  # the first layer: no gradient goes on to the images
    assert not taken(torch.zeros(1, 16, 7, 8, requires_grad=True))
    assert not taken(torch.zeros(1, 16, 32, 32, requires_grad=True))
    with torch.no_grad():
        assert not taken(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not taken(x)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_network_trains_the_same_either_way(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known, taken = Network(arch="resnet8", width=0.5, norm=norm), []
    net = models.build(known, (1, 8, 8), 10, 3).double()
    for name, tensor in net.named_parameters():
        torch.nn.init.normal_(tensor, std=0.3, generator=generator("net", name))
    x, against = drawn("images", 3, 6, 1, 8, 8), drawn("slope", 3, 6, 10)

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(net(x), list(net.parameters()), against)

    def noted(*words: object) -> bool:
        taken.append(quicker_gradient(*words))  # type: ignore[arg-type]
        return taken[-1]

    monkeypatch.setattr("ltkit.models.layers.quicker_gradient", noted)
    ours = gradients()
    assert any(taken)
    monkeypatch.setattr("ltkit.models.layers.quicker_gradient", lambda *words: False)
    torch.testing.assert_close(ours, gradients())
