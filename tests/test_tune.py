"""Training of single plain networks, against torch's own pieces put together by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from ltkit import models
from ltkit.models.plain import torch_module
from ltkit.prune import tune as training
from ltkit.prune.channels import groups
from ltkit.prune.slim import remove
from ltkit.prune.small_maps import small_maps
from ltkit.prune.tune import accuracy, fresh, loss, recalibrate, tune, tune_together
from ltkit.seeds import generator
from ltkit.spec import Init, Network

OPTIONS = {"lr": 0.1, "epochs": 3, "batch_size": 16}


def network(arch: str = "resnet8", width: float = 0.25) -> fx.GraphModule:
    known = Network(arch=arch, width=width)
    return torch_module(known, (1, 8, 8), 4, models.init(known, (1, 8, 8), 4, Init()))


def data(count: int = 70) -> tuple[Tensor, Tensor]:
    """Four classes that can be told apart."""
    draw = generator("tune", "data")
    middles, y = 2 * torch.randn(4, 1, 8, 8, generator=draw), torch.randint(4, (count,), generator=draw)
    return middles[y] + torch.randn(count, 1, 8, 8, generator=draw), y


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(t, other.state_dict()[name]) for name, t in one.state_dict().items())


@pytest.mark.parametrize("arch", ["lenet_300_100", "resnet8"])
def test_it_is_sgd_as_written_down(arch: str) -> None:
    """Momentum, decay of all parameters, a half cosine to 0, incomplete batches left out, BatchNorm in train mode."""
    (x, y), ours = data(), network(arch, 0.1).double()
    x, theirs = x.double(), copy.deepcopy(ours).train()
    tune(ours, x, y, lr=0.1, epochs=2, batch_size=16, momentum=0.8, weight_decay=0.01, seed=3)
    past = [torch.zeros_like(p) for p in theirs.parameters()]
    for step in range(8):  # 70 images are 4 batches of 16 an epoch
        order = torch.randperm(70, generator=generator("tune", 3, step // 4))[step % 4 * 16 :][:16]
        grads = torch.autograd.grad(F.cross_entropy(theirs(x[order]), y[order]), list(theirs.parameters()))
        with torch.no_grad():
            for p, v, g in zip(theirs.parameters(), past, grads, strict=True):
                v.mul_(0.8).add_(g + 0.01 * p)
                p -= 0.05 * (1 + math.cos(math.pi * step / 8)) * v
    assert not ours.training
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, theirs.state_dict()[name], rtol=1e-7, atol=1e-9)
    assert all(p.grad is None and p.is_contiguous() for p in ours.parameters())


def slimmed(arch: str, channels: list[int]) -> fx.GraphModule:
    """A network in float64 of which one hidden group keeps the named channels alone."""
    net = network(arch, 1 if "lenet" in arch else 0.25).double()
    remove(net, groups(net)[-1], np.array(channels), torch.zeros(1, 1, 8, 8, dtype=torch.float64))
    return net


@pytest.mark.parametrize("arch", ["lenet_300_100", "lenet_5", "resnet8", "vgg11", "mobilenet_v2"])
def test_a_cohort_of_slim_networks_is_each_by_itself(arch: str) -> None:
    """Other channels kept, a learning rate and a seed each: weights and statistics as if each were tuned alone."""
    (x, y), kept, lrs, seeds = data(), ([0, 1, 2], [1, 2, 4]), (0.02, 0.1), (3, 1)
    x, options = x.double(), {"epochs": 2, "batch_size": 16, "momentum": 0.8, "weight_decay": 0.01}
    alone = [slimmed(arch, channels) for channels in kept]
    together = copy.deepcopy(alone)
    for net, lr, seed in zip(alone, lrs, seeds, strict=True):
        tune(net, x, y, lr=lr, seed=seed, **options)
    known = Network(arch=arch)
    tune_together(together, known, x, y, classes=4, lrs=lrs, seeds=seeds, **options)
    for one, other in zip(alone, together, strict=True):
        assert not other.training
        for name, tensor in one.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                torch.testing.assert_close(other.state_dict()[name], tensor, rtol=1e-7, atol=1e-9)
    with pytest.raises(ValueError, match=f"no {arch} of equal widths"):
        tune_together([alone[0], slimmed(arch, [0])], known, x, y, classes=4, lrs=lrs, seeds=seeds, **options)


def test_the_seed_decides() -> None:
    x, y = data()
    nets = [network() for _ in range(3)]
    for net, seed in zip(nets, (1, 1, 2), strict=True):
        tune(net, x, y, seed=seed, **OPTIONS)
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])
    untouched = network()
    tune(untouched, x, y, lr=0.1, epochs=0, batch_size=16)
    assert same(untouched, network())


def test_it_learns_also_with_batches_larger_than_the_set() -> None:
    x, y = data()
    net = network("lenet_300_100", 0.2)
    before = loss(net, x, y)
    tune(net, x, y, lr=0.05, epochs=20, batch_size=1000)
    assert loss(net, x, y) < 0.3 * before
    assert accuracy(net, x, y) > 90
    with pytest.raises(ValueError, match="as many labels as images are needed, at least one: 69 and 70"):
        tune(net, x, y[1:], **OPTIONS)
    with pytest.raises(ValueError, match="0 and 0"):
        tune(net, x[:0], y[:0], **OPTIONS)


@pytest.mark.parametrize("arch", ["lenet_300_100", "lenet_5", "resnet8", "mobilenet_v2"])
def test_fresh_weights_are_drawn_like_those_of_runs(arch: str) -> None:
    """Of a slim network: spread by fan, biases 0, BatchNorm as at the start; and nobody's θ_0."""
    net = network(arch, 1 if "lenet" in arch else 0.3)
    group = groups(net)[0]
    remove(net, group, torch.arange(group.channels // 2).numpy(), torch.zeros(1, 1, 8, 8))
    recalibrate(net, data()[0])
    before = copy.deepcopy(net)
    new = fresh(net, 5)
    assert same(net, before)
    assert same(new, fresh(net, 5))
    assert not same(new, fresh(net, 6))
    start = models.init(Network(arch=arch), (1, 8, 8), 4, Init(seed=5))
    for name, tensor in new.state_dict().items():
        assert tensor.shape == net.state_dict()[name].shape
        if tensor.dim() > 1 and tensor.numel() > 2000:
            fan_in = tensor[0].numel()
            assert float(tensor.std()) == pytest.approx(math.sqrt(2 / fan_in), rel=0.1)
            assert not torch.equal(tensor.flatten()[:9], start[name].flatten()[:9])
        elif tensor.dim() == 1:
            assert tensor.unique().tolist() == [1.0 if name.endswith(("weight", "running_var")) else 0.0]
        elif tensor.dim() == 0:
            assert tensor == 0
    glorot = fresh(net, 5, "glorot_normal")
    name = f"{group.consumer}.weight"
    out, into, *field = net.get_parameter(name).shape
    expected = math.sqrt(2 / ((out + into) * math.prod(field)))
    assert float(glorot.state_dict()[name].std()) == pytest.approx(expected, rel=0.3)


def test_statistics_are_those_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first BatchNorm's by hand; in two halves their plain average; no weight moves."""
    (x, _), net = data(), network()
    before, conv, norm = copy.deepcopy(net), net.get_submodule("conv1"), net.get_submodule("bn1")
    for at_once, halves in ((1024, (x,)), (35, (x[:35], x[35:])), (69, (x[:35], x[35:]))):
        monkeypatch.setattr(training, "IMAGES_AT_ONCE", at_once)
        recalibrate(net, x)
        with torch.no_grad():
            given = [conv(part).transpose(0, 1).flatten(1) for part in halves]
        torch.testing.assert_close(norm.running_mean, torch.stack([g.mean(1) for g in given]).mean(0))
        torch.testing.assert_close(norm.running_var, torch.stack([g.var(1) for g in given]).mean(0))
        assert not net.training
        assert norm.momentum == 0.1
        assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before.parameters(), strict=True))
    plain = network("lenet_300_100", 0.1)
    recalibrate(plain, x)
    assert same(plain, network("lenet_300_100", 0.1))
    with pytest.raises(ValueError, match="no images"):
        recalibrate(net, x[:0])


def test_accuracy_and_loss_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            return x.flatten(1)

    net = Fixed().train()
    logits = torch.tensor([[2.0, 0], [0, 1], [3, 0], [0, 4], [1, 0]])
    labels = torch.tensor([0, 1, 1, 1, 0])
    for at_once in (1024, 2):
        monkeypatch.setattr(training, "IMAGES_AT_ONCE", at_once)
        assert accuracy(net, logits, labels) == 80
        expected = sum(math.log(1 + math.exp(d)) for d in (-2, -1, 3, -4, -1)) / 5
        assert loss(net, logits, labels) == pytest.approx(expected, rel=1e-6)
        assert net.training
    logits[3, 1] = math.nan
    assert math.isnan(accuracy(net, logits, labels))
    assert math.isnan(loss(net, logits, labels))


@pytest.mark.parametrize("pixels", [1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 1, 0), (5, 1, 2)])
@pytest.mark.parametrize("kind", ["within", "within, bias", "across", "across, bias"])
def test_products_are_the_convolutions(pixels: int, size: int, stride: int, padding: int, kind: str) -> None:
    """Also their gradients, on maps that are no squares; afterwards the layer is as it was."""
    draw = generator("maps", pixels, size, kind)
    within, bias = kind.startswith("within"), kind.endswith("bias")
    layer = nn.Conv2d(4, 4 if within else 6, size, stride, padding, groups=4 if within else 1, bias=bias).double()
    x = torch.randn(5, 4, pixels, max(1, pixels - 1), generator=draw, dtype=torch.float64, requires_grad=True)
    wanted = layer(x)
    against = torch.randn(wanted.shape, generator=draw, dtype=torch.float64)
    with small_maps(layer):
        given = layer(x)
    torch.testing.assert_close(given, wanted)
    ours, theirs = (torch.autograd.grad(y, [x, *layer.parameters()], against) for y in (given, wanted))
    torch.testing.assert_close(ours, theirs)
    assert "forward" not in vars(layer)
    assert torch.equal(layer(x), wanted)


@pytest.mark.parametrize(("arch", "width"), [("mobilenet_v2", 0.1), ("vgg11", 0.1), ("lenet_5", 1)])
def test_networks_on_small_maps_give_the_same(arch: str, width: float) -> None:
    net, x = network(arch, width).double(), data(8)[0].double()
    with torch.no_grad():
        wanted = net(x)
        with small_maps(net):
            torch.testing.assert_close(net(x), wanted)
