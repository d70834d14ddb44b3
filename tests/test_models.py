"""Networks: counts as published, cohorts equal to lone networks, lone networks equal to ordinary ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from ltkit import models
from ltkit.errors import UserError
from ltkit.models import layers
from ltkit.models.layers import Conv, Linear
from ltkit.spec import ARCHITECTURES, Init, Network

DIGITS, MNIST, CIFAR, TINY, IMAGENET = (1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 224, 224)

# existence.md section 8: weights of ResNet-20 that 14 rounds of iterative magnitude pruning keep
KEPT = (215860, 172688, 138151, 110521, 88417, 70734, 56588, 45271, 36217, 28974, 23180, 18544, 14836, 11869)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Small products in many threads wait for each other where other work is running."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def filled(network: Network, shape: models.Shape, members: int, classes: int = 10) -> nn.Module:
    """A cohort in float64 of freshly drawn members, their one-dimensional tensors shaken so that none is trivial."""
    states = [models.init(network, shape, classes, Init(seed=seed)) for seed in range(members)]
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.stack([one[name] for one in states]).double() for name in states[0]}
    for tensor in state.values():
        if tensor.dim() == 2:
            tensor += 0.1 * torch.rand(tensor.shape, generator=generator)
    net = models.build(network, shape, classes, members).double()
    net.load_state_dict(state)
    return net


def images(members: int, batch: int, shape: models.Shape) -> Tensor:
    return torch.randn(members, batch, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def backward(logits: Tensor) -> None:
    """A loss in which each logit counts differently."""
    weight = torch.linspace(-1, 1, logits[0].numel(), dtype=logits.dtype).view(logits.shape[1:])
    (logits.sin() * weight).sum().backward()


def copy_into(ordinary: nn.Module, net: nn.Module) -> None:
    """The tensors of a lone network into an ordinary one that has them in the same order."""
    source = [tensor[0] for tensor in net.state_dict().values()]
    target = [tensor for name, tensor in ordinary.state_dict().items() if not name.endswith("num_batches_tracked")]
    for to, value in zip(target, source, strict=True):
        to.copy_(value)


def assert_same(net: nn.Module, ordinary: nn.Module, x: Tensor) -> None:
    """Logits, gradients and running statistics of one training batch, then logits in eval mode."""
    mine, theirs = net(x), ordinary(x[0])
    torch.testing.assert_close(mine[0], theirs)
    backward(mine)
    backward(theirs.unsqueeze(0))
    for p, q in zip(net.parameters(), ordinary.parameters(), strict=True):
        assert p.grad is not None
        torch.testing.assert_close(p.grad[0], q.grad)
    buffers = [b for name, b in ordinary.named_buffers() if not name.endswith("num_batches_tracked")]
    for a, b in zip(net.buffers(), buffers, strict=True):
        torch.testing.assert_close(a[0], b)
    torch.testing.assert_close(net.eval()(x)[0], ordinary.eval()(x[0]))


COUNTS = [  # architecture, width, shape, classes, parameters, prunable: default, no_shortcut, all, no_first
    ("lenet_300_100", 1, MNIST, 10, 266610, 266200, 266200, 266200, 266200),
    ("lenet_5", 1, MNIST, 10, 44426, 44190, 44190, 44190, 44040),
    ("conv2", 1, CIFAR, 10, 4301642, 4300992, 4300992, 4300992, 4299264),
    ("conv4", 1, CIFAR, 10, 2425930, 2425024, 2425024, 2425024, 2423296),
    ("conv6", 1, CIFAR, 10, 2262602, 2261184, 2261184, 2261184, 2259456),
    ("resnet20", 1, CIFAR, 10, 272474, 269824, 267264, 270896, 270464),
    ("resnet32", 2, CIFAR, 10, 1860522, 1853440, 1843200, 1855584, 1854720),
    ("resnet18", 1, CIFAR, 100, 11220132, 11157504, 10985472, 11210432, 11208704),
    ("resnet18", 1, IMAGENET, 1000, 11689512, 11157504, 10985472, 11678912, 11669504),
    ("resnet50", 1, IMAGENET, 1000, 25557032, 23445504, 20676608, 25502912, 25493504),
    ("vgg16", 1, CIFAR, 10, 14728266, 14708736, 14708736, 14715584, 14713856),
    ("mobilenet_v1", 1, CIFAR, 10, 3217226, 3184224, 3184224, 3195328, 3194464),
    ("mobilenet_v1", 1, IMAGENET, 1000, 4231976, 3184224, 3184224, 4209088, 4208224),
    ("mobilenet_v2", 1, CIFAR, 10, 2296922, 2248160, 2189920, 2261824, 2260960),
]


@pytest.mark.parametrize("row", COUNTS, ids=lambda row: f"{row[0]}-{row[1]}-{row[3]}")
def test_counts(row: tuple[Any, ...]) -> None:
    arch, width, shape, classes, total, *prunable = row
    network = Network(arch=arch, width=width)
    assert models.count(network, shape, classes) == total
    assert [models.prunable_count(network, shape, classes, which) for which in models.ROLES] == prunable


def test_counts_of_variants() -> None:
    plain = Network(arch="resnet20", residual=False)
    assert models.count(plain, CIFAR, 10) == 272474 - 16 * 32 - 32 * 64 - 2 * (32 + 64)
    assert models.prunable(plain, CIFAR, 10) == models.prunable(plain, CIFAR, 10, "no_shortcut")
    assert models.count(Network(arch="vgg16", norm="none"), CIFAR, 10) == 14728266 - 2 * 4224
    assert models.count(Network(arch="conv4", norm="batch"), CIFAR, 10) == 2425930 + 2 * (64 + 64 + 128 + 128)
    no_norm = Network(arch="resnet20", norm="none")  # a bias instead of BatchNorm's weight and bias
    assert models.count(no_norm, CIFAR, 10) == 272474 - (16 * 7 + 32 * 7 + 64 * 7)


def test_width_ladder() -> None:
    ladder = {3: 9486, 4: 16864, 5: 26350, 6: 37944, 7: 51646, 8: 67456, 16: 269824}
    found = {base: models.prunable_count(Network(arch="resnet20", width=base / 16), CIFAR, 10) for base in ladder}
    assert found == ladder


def test_prunable_names() -> None:
    names = models.prunable(Network(arch="resnet8"), CIFAR, 10, "all")
    assert names[0] == "conv1.weight"
    assert names[-1] == "fc.weight"
    assert names[3:6] == ["stage2.0.conv1.weight", "stage2.0.conv2.weight", "stage2.0.downsample.conv.weight"]
    assert models.prunable(Network(arch="resnet8"), CIFAR, 10) == names[1:-1]
    without = [name for name in names[1:-1] if "downsample" not in name]
    assert models.prunable(Network(arch="resnet8"), CIFAR, 10, "no_shortcut") == without
    every = ["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight", "fc3.weight"]
    assert models.prunable(Network(arch="lenet_5"), MNIST, 10) == every


@pytest.mark.parametrize(
    ("arch", "first", "second", "last"),
    [
        ("lenet_5", "conv1", "conv2", "fc3"),
        ("vgg11", "stage1.0.conv", "stage2.0.conv", "fc"),
        ("resnet20", "conv1", "stage1.0.conv1", "fc"),
        ("mobilenet_v2", "stem.conv", "blocks.0.expand.conv", "fc"),
    ],
)
def test_all_but_the_first_convolution(arch: str, first: str, second: str, last: str) -> None:
    every, found = (models.prunable(Network(arch=arch), CIFAR, 10, which) for which in ("all", "no_first"))
    assert every == [f"{first}.weight", *found]
    assert (found[0], found[-1]) == (f"{second}.weight", f"{last}.weight")


def test_a_network_without_convolutions_is_pruned_from_its_first_layer_on() -> None:
    assert models.prunable(Network(), MNIST, 10, "no_first") == models.prunable(Network(), MNIST, 10) != []
    assert models.prunable(Network(), MNIST, 10, "no_first")[0] == "fc1.weight"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_network_takes_usual_images(arch: str) -> None:
    for shape in (DIGITS, TINY) if arch.startswith("resnet") else (DIGITS, MNIST, CIFAR, TINY):
        with torch.device("meta"):
            assert models.build(Network(arch=arch), shape, 7, 2)(torch.empty(2, 3, *shape)).shape == (2, 3, 7)


COHORTS = [
    Network(arch="lenet_300_100", width=0.05),
    Network(arch="lenet_5", width=0.5),
    Network(arch="conv4", width=0.05, norm="batch"),
    Network(arch="resnet8", width=0.2),
    Network(arch="resnet8", width=0.2, residual=False),
    Network(arch="resnet8", width=0.2, norm="none"),
    Network(arch="resnet50", width=0.03),
    Network(arch="vgg11", width=0.05),
    Network(arch="mobilenet_v1", width=0.1),
    Network(arch="mobilenet_v2", width=0.1),
]


@pytest.mark.parametrize("network", COHORTS, ids=lambda n: f"{n.arch}-{n.norm}-{n.residual}")
def test_cohort_equals_lone_networks(network: Network) -> None:
    shape = (2, 8, 8)
    cohort, x = filled(network, shape, 3, 4), images(3, 5, shape)
    start = {name: tensor.clone() for name, tensor in cohort.state_dict().items()}
    logits = cohort(x)
    backward(logits)
    assert logits.shape == (3, 5, 4)
    grads = {name: p.grad for name, p in cohort.named_parameters() if p.grad is not None}
    after = {name: buffer.clone() for name, buffer in cohort.named_buffers()}
    evaluated = cohort.eval()(x)
    for r in range(3):
        lone = models.build(network, shape, 4).double()
        lone.load_state_dict({name: tensor[r : r + 1] for name, tensor in start.items()})
        alone = lone(x[r : r + 1])
        backward(alone)
        torch.testing.assert_close(logits[r], alone[0])
        for name, parameter in lone.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(grads[name][r], parameter.grad[0])
        for name, buffer in lone.named_buffers():
            torch.testing.assert_close(after[name][r], buffer[0])
            assert not torch.equal(buffer, start[name][r : r + 1])
        torch.testing.assert_close(evaluated[r], lone.eval()(x[r : r + 1])[0])


def test_lenet5_is_the_ordinary_network() -> None:
    network = Network(arch="lenet_5")
    ordinary = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    ).double()
    net = filled(network, MNIST, 1)
    copy_into(ordinary, net)
    assert_same(net, ordinary, images(1, 3, MNIST))


def test_lenet300_is_the_ordinary_network() -> None:
    layers = (nn.Linear(192, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    ordinary = nn.Sequential(nn.Flatten(), *layers).double()
    net = filled(Network(), (3, 8, 8), 1)
    copy_into(ordinary, net)
    assert_same(net, ordinary, images(1, 3, (3, 8, 8)))


def test_conv4_is_the_ordinary_network() -> None:
    def pair(inputs: int, outputs: int) -> list[nn.Module]:
        first, second = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        return [first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2)]

    tail = (nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    ordinary = nn.Sequential(*pair(1, 64), *pair(64, 128), *tail).double()
    net = filled(Network(arch="conv4"), DIGITS, 1)
    copy_into(ordinary, net)
    assert_same(net, ordinary, images(1, 3, DIGITS))


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_large_resnets_are_torchvisions(arch: str) -> None:
    ordinary = getattr(torchvision.models, arch)(num_classes=5).double()
    net = filled(Network(arch=arch), TINY, 1, 5)
    copy_into(ordinary, net)
    assert_same(net, ordinary, images(1, 2, TINY))


def test_vgg11_is_torchvisions_with_one_linear_layer() -> None:
    theirs = torchvision.models.vgg11_bn(init_weights=False, num_classes=10)
    ordinary = nn.Sequential(theirs.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)).double()
    net = filled(Network(arch="vgg11"), CIFAR, 1)
    copy_into(ordinary, net)
    assert_same(net, ordinary, images(1, 2, CIFAR))


def chain(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, relu: bool = True
) -> list[nn.Module]:
    """Convolution, BatchNorm and ReLU of torch.nn."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), *([nn.ReLU()] if relu else [])]


def test_resnet8_without_skips_is_a_chain() -> None:
    widths = ((1, 16, 1), (16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))
    body = [layer for inputs, outputs, stride in widths for layer in chain(inputs, outputs, stride=stride)]
    ordinary = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).double()
    net = filled(Network(arch="resnet8", residual=False), DIGITS, 1)
    copy_into(ordinary, net)
    assert_same(net, ordinary, images(1, 3, DIGITS))


def test_mobilenet_v1_is_a_chain() -> None:
    widths = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    body = chain(3, 32)
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        stride = 2 if number in (1, 3, 5, 11) else 1
        body += [*chain(inputs, inputs, 3, stride, inputs), *chain(inputs, outputs, 1)]
    ordinary = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 10)).double()
    net = filled(Network(arch="mobilenet_v1"), CIFAR, 1)
    copy_into(ordinary, net)
    assert_same(net, ordinary, images(1, 2, CIFAR))


@pytest.mark.parametrize(("same", "stride"), [(True, 1), (False, 1), (False, 2)])
def test_mobilenet_v2_block(same: bool, stride: int) -> None:
    outputs = 4 if same else 6
    block = models.mobilenet.Inverted(4, outputs, 3, stride, same, 1).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    project = chain(12, outputs, 1, relu=False)
    main = nn.Sequential(*chain(4, 12, 1), *chain(12, 12, 3, stride, 12), *project).double()
    skip = nn.Sequential(*([] if same or stride == 2 else chain(4, 6, 1, relu=False))).double()
    copy_into(nn.ModuleList([main, skip]), block)
    x = images(1, 3, (4, 5, 5))[0]
    torch.testing.assert_close(block(x), main(x) + skip(x) if stride == 1 else main(x))


def test_fold_and_unfold() -> None:
    x = torch.arange(2 * 3 * 4 * 5 * 6).view(2, 3, 4, 5, 6)
    folded = models.fold(x)
    assert torch.equal(folded[1, 4 + 2], x[1, 1, 2])
    assert folded.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(models.unfold(folded, 2), x.flatten(2))
    ready = torch.empty(3, 5, 6, 2, 4).permute(3, 0, 4, 1, 2)
    assert models.fold(ready).data_ptr() == ready.data_ptr()


@pytest.mark.parametrize("bias", [True, False])
def test_convolution_of_one_pixel_is_a_product(bias: bool) -> None:
    members, draw = 3, torch.Generator().manual_seed(0)
    conv = Conv(4, 5, 3, members, bias=bias).double()
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    x, factor = (torch.randn(7, members * c, 1, 1, generator=draw, dtype=torch.float64) for c in (4, 5))
    x.requires_grad_(True)
    weight, added = conv.weight.flatten(0, 1), conv.bias.flatten() if conv.bias is not None else None
    expected = F.conv2d(x, weight, added, padding=1, groups=members)
    found = conv(x)
    torch.testing.assert_close(found, expected)
    wanted = [x, *conv.parameters()]
    for a, b in zip(*(torch.autograd.grad((out * factor).sum(), wanted) for out in (found, expected)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("inputs", "outputs", "members"), [(4, 8, 1), (3, 7, 1), (8, 16, 1), (4, 8, 3)])
def test_narrow_kernels_of_one_pixel_with_a_stride(inputs: int, outputs: int, members: int) -> None:
    """torch 2.15 writes their gradient beside its memory, in channels_last: twenty times are enough for a crash."""
    draw = torch.Generator().manual_seed(0)
    layer = Conv(inputs, outputs, 1, members, stride=2)
    layer.weight.data.normal_(generator=draw)
    x = torch.randn(members, 16, inputs, 8, 8, generator=draw)
    for _ in range(20):
        layer.weight.grad = None
        (layer(layers.fold(x)) ** 2).sum().backward()
    for r in range(members):
        weight = layer.weight[r].detach().double().requires_grad_()
        (F.conv2d(x[r].double(), weight, stride=2) ** 2).sum().backward()
        assert layer.weight.grad is not None
        torch.testing.assert_close(layer.weight.grad[r].double(), weight.grad, rtol=1e-5, atol=1e-4)


def test_members_do_not_mix() -> None:
    network = Network(arch="resnet8", width=0.2)
    net, x = filled(network, DIGITS, 3), images(3, 4, DIGITS).requires_grad_()
    (grad,) = torch.autograd.grad(net(x)[1].sin().sum(), x)
    assert grad[1].abs().min() > 0
    assert grad[[0, 2]].abs().max() == 0


@pytest.mark.parametrize("arch", ["lenet_5", "resnet8", "vgg11"])
def test_bf16_products_leave_weights_and_statistics_in_fp32(arch: str) -> None:
    network = Network(arch=arch, width=0.25)
    net, x = filled(network, DIGITS, 2).float(), images(2, 64, DIGITS).float()
    exact = net(x).detach()
    net.load_state_dict(filled(network, DIGITS, 2).state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(x)
    backward(rough.float())
    assert rough.dtype == torch.bfloat16
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert all(tensor.dtype == torch.float32 for tensor in (*net.buffers(), *grads))
    assert (rough.float() - exact).norm() < 0.05 * exact.norm()
    with torch.autocast("cpu", torch.bfloat16):
        assert net.eval()(x).isfinite().all()


@pytest.mark.parametrize("arch", ["lenet_300_100", "lenet_5"])  # in deeper ones other roundings move units across 0
def test_bf16_is_the_same_arithmetic_on_a_cpu_without_it(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, found = Network(arch=arch, width=0.25), []
    for native in (True, False):
        monkeypatch.setattr(layers, "NATIVE_BF16", native)
        net, x = filled(network, DIGITS, 2).float(), images(2, 16, DIGITS).float()
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(x)
        assert logits.dtype == torch.bfloat16
        backward(logits.float())
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        found.append([logits.float(), *grads])
    for one, other in zip(*found, strict=True):  # sums in another order may round a bf16 up instead of down
        assert (one - other).norm() <= 0.02 * one.norm()


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 2)])  # those of a ResNet
def test_a_convolution_in_bf16_is_the_same_arithmetic_without_it(
    kernel: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[Tensor]] = []
    for native in (True, False):
        monkeypatch.setattr(layers, "NATIVE_BF16", native)
        layer, draw = Conv(8, 16, kernel, 2, stride=stride), torch.Generator().manual_seed(0)
        layer.weight.data.normal_(generator=draw)
        x = torch.randn(4, 16, 8, 8, generator=draw).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            maps = layer(x)
        assert maps.dtype == torch.bfloat16
        weights = torch.linspace(-1, 1, maps.numel()).view_as(maps)
        found.append([maps.float(), *torch.autograd.grad((maps.float() * weights).sum(), [x, layer.weight])])
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= 0.02 * one.norm()


def test_compiles_as_one_graph_with_running_statistics() -> None:
    network, x = Network(arch="conv2", width=0.1, norm="batch"), images(2, 4, DIGITS)
    eager, compiled = filled(network, DIGITS, 2), filled(network, DIGITS, 2)
    step = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(step(x), eager(x))
    for a, b in zip(compiled.buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_linear_takes_strided_features() -> None:
    layer = Linear(3, 2, 2).double()
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(1))
    x = images(5, 2, (1, 1, 3)).flatten(2).transpose(0, 1)
    expected = torch.stack([F.linear(x[r], layer.weight[r], layer.bias[r]) for r in range(2)])
    torch.testing.assert_close(layer(x), expected)


def test_build_is_a_clean_slate() -> None:
    net = models.build(Network(arch="resnet8"), DIGITS, 10, 2)
    assert net.get_parameter("conv1.weight").shape == (2, 16, 1, 3, 3)
    assert not net.get_parameter("conv1.weight").any()
    assert bool((net.get_parameter("bn1.weight") == 1).all())
    assert bool((net.get_buffer("bn1.running_var") == 1).all())


def test_init_is_a_function_of_seed_and_draw_alone() -> None:
    network = Network(arch="resnet8", width=0.5)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = models.init(network, DIGITS, 10, Init(seed=3, draw=1))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    again = models.init(network, DIGITS, 10, Init(seed=3, draw=1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    net = models.build(network, DIGITS, 10)
    assert {name: t.shape[1:] for name, t in net.state_dict().items()} == {name: t.shape for name, t in one.items()}
    assert set(one) > {"bn1.running_mean", "bn1.running_var", "fc.bias"}


def test_draws_are_unrelated() -> None:
    def first(seed: int, draw: int) -> Tensor:
        return models.init(Network(), MNIST, 10, Init(seed=seed, draw=draw))["fc1.weight"].flatten()

    one = first(0, 0)
    for other in (first(0, 1), first(1, 0), first(1, 1)):
        correlation = torch.corrcoef(torch.stack([one, other]))[0, 1]
        assert abs(correlation) < 4 / math.sqrt(len(one))


@pytest.mark.parametrize(
    ("scheme", "conv", "linear"),
    [
        ("kaiming_normal", 2 / (64 * 9), 2 / 512),
        ("kaiming_normal_out", 2 / (128 * 9), 2 / 256),
        ("kaiming_uniform", 2 / (64 * 9), 2 / 512),
        ("glorot_normal", 2 / (192 * 9), 2 / 768),
        ("glorot_uniform", 2 / (192 * 9), 2 / 768),
    ],
)
def test_variances(scheme: Any, conv: float, linear: float) -> None:
    fresh = models.init(Network(arch="conv4", norm="batch"), DIGITS, 10, Init(scheme=scheme))
    assert fresh["stage2.0.conv.weight"].shape == (128, 64, 3, 3)
    assert fresh["fc1.weight"].shape == (256, 512)
    for name, variance in (("stage2.0.conv.weight", conv), ("fc1.weight", linear)):
        deviations = fresh[name] / math.sqrt(variance)
        assert deviations.var().item() == pytest.approx(1, rel=0.02)
        assert abs(deviations.mean().item()) < 0.02
        peak = deviations.abs().max().item()
        assert 1.7 < peak <= math.sqrt(3) + 1e-6 if scheme.endswith("uniform") else peak > 3.5
    assert not fresh["fc1.bias"].any()
    assert bool((fresh["stage1.0.bn.weight"] == 1).all())
    assert bool((fresh["stage1.0.bn.running_var"] == 1).all())
    assert not fresh["stage1.0.bn.running_mean"].any()


def test_small_dense_meets_the_published_ladder() -> None:
    worst = 0.0
    for kept in KEPT:
        network, count = models.small_dense(Network(arch="resnet20"), CIFAR, 10, kept)
        assert count == models.prunable_count(network, CIFAR, 10)
        worst = max(worst, abs(count / kept - 1))
    assert worst < 0.039, f"worst mismatch {worst:.4f}"  # 0.0382, at 11,869: a unit of width is a step that large there


def test_small_dense_is_the_best_of_all_widths() -> None:
    # ResNet-8 has bases 16, 32, 64: every width at which a layer grows is a multiple of 1/128
    network = Network(arch="resnet8")
    widths = [(index + 0.5) / 128 for index in range(130)]
    counts = sorted({models.prunable_count(Network(arch="resnet8", width=w), CIFAR, 10) for w in widths})
    for kept in (counts[0], 500, 5000, 20_000, 70_000, counts[-2] - 1):
        best = min(abs(count - kept) for count in counts)
        assert abs(models.small_dense(network, CIFAR, 10, kept)[1] - kept) == best
    low, high = next((a, b) for a, b in pairwise(counts) if (a + b) % 2 == 0)
    assert models.small_dense(network, CIFAR, 10, (low + high) // 2)[1] == high


def test_small_dense_at_the_ends() -> None:
    network = Network(arch="resnet32", width=2, residual=False)
    smallest, count = models.small_dense(network, CIFAR, 10, 1)
    assert count == models.prunable_count(smallest, CIFAR, 10) == 30 * 9  # 30 convolutions from one channel to one
    full = models.prunable_count(network, CIFAR, 10)
    assert models.small_dense(network, CIFAR, 10, full) == (network, full)


@pytest.mark.parametrize(("arch", "shape", "needed"), [("lenet_5", (1, 3, 28), 4), ("conv6", (3, 7, 7), 8)])
def test_too_small_images(arch: str, shape: models.Shape, needed: int) -> None:
    with pytest.raises(UserError, match=f"{arch} needs images of at least {needed}x{needed} pixels, not {shape[1]}x"):
        models.build(Network(arch=arch), shape, 10)
    models.build(Network(arch=arch), (1, needed, needed), 10)


def test_user_errors() -> None:
    with pytest.raises(UserError, match="did you mean 'no_shortcut'"):
        models.prunable(Network(), MNIST, 10, "no_shortcuts")
    with pytest.raises(UserError, match="members of at least 1"):
        models.build(Network(), MNIST, 10, 0)
    with pytest.raises(UserError, match="shape"):
        models.count(Network(), (28, 28), 10)  # type: ignore[arg-type]
