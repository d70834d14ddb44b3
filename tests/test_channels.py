"""Groups of channels, and their contributions against running the network on one channel at a time."""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor, fx

from ltkit import models
from ltkit.models.plain import torch_module
from ltkit.prune import channels, greedy
from ltkit.prune.channels import Group, groups
from ltkit.seeds import generator
from ltkit.spec import Init, Network

DIGITS = (1, 8, 8)


@lru_cache
def plain(arch: str, width: float, shape: models.Shape = DIGITS, seed: int = 0, **options: object) -> fx.GraphModule:
    """A network of fresh weights in float64, its one-dimensional tensors shaken; shared, so not to be changed."""
    network = Network(arch=arch, width=width, **options)
    draw = generator("channels", arch, seed)
    state = {
        name: t.double() + (0.2 * torch.rand(t.shape, generator=draw) if t.dim() == 1 else 0)
        for name, t in models.init(network, shape, 5, Init(seed=seed)).items()
    }
    return torch_module(network, shape, 5, state)


def images(shape: models.Shape = DIGITS, batch: int = 4) -> Tensor:
    return torch.randn(batch, *shape, generator=generator("images", *shape), dtype=torch.float64)


def pairs(module: fx.GraphModule) -> list[tuple[str, str]]:
    return [(group.producer, group.consumer) for group in groups(module)]


def test_groups_of_small_networks() -> None:
    assert groups(plain("lenet_300_100", 0.1)) == [
        Group("fc1", (), "fc2", 30, 1),
        Group("fc2", (), "fc3", 10, 1),
    ]
    assert groups(plain("lenet_5", 1, norm="batch")) == [
        Group("conv1", ("bn1",), "conv2", 6, 1),
        Group("conv2", ("bn2",), "fc1", 16, 4),
        Group("fc1", (), "fc2", 120, 1),
        Group("fc2", (), "fc3", 84, 1),
    ]
    assert pairs(plain("conv4", 0.1))[3:] == [("stage2.1.conv", "fc1"), ("fc1", "fc2"), ("fc2", "fc3")]
    assert groups(plain("conv4", 0.1))[3].reads == 4


def test_groups_of_vgg_end_at_the_classifier() -> None:
    found = groups(plain("vgg11", 0.1))
    assert len(found) == 8
    assert found[0] == Group("stage1.0.conv", ("stage1.0.bn",), "stage2.0.conv", 6, 1)
    assert found[-1] == Group("stage5.1.conv", ("stage5.1.bn",), "fc", 51, 1)


def test_groups_of_resnets_are_inside_the_blocks() -> None:
    assert pairs(plain("resnet8", 0.5)) == [(f"stage{n}.0.conv1", f"stage{n}.0.conv2") for n in (1, 2, 3)]
    found = groups(plain("resnet50", 0.05))
    assert len(found) == 2 * (3 + 4 + 6 + 3)
    assert {(group.producer[-5:], group.consumer[-5:]) for group in found} == {("conv1", "conv2"), ("conv2", "conv3")}
    assert found[1].between == ("stage1.0.bn2",)
    assert len(groups(plain("resnet18", 0.05))) == 8
    assert len(groups(plain("resnet8", 0.5, norm="none"))) == 3


def test_without_residual_connections_every_convolution_has_one_reader() -> None:
    assert [producer for producer, _ in pairs(plain("resnet8", 0.5, residual=False))] == [
        "conv1",
        *[f"stage{n}.0.conv{i}" for n in (1, 2, 3) for i in (1, 2)],
    ]


def test_groups_of_mobilenets() -> None:
    """v2: the expansions and the head; neither its projections, which have no ReLU, nor what two layers read."""
    found = groups(plain("mobilenet_v2", 0.1))
    assert [group.producer for group in found] == [*[f"blocks.{n}.expand.conv" for n in range(17)], "head.conv"]
    assert found[2] == Group(
        "blocks.2.expand.conv",
        ("blocks.2.expand.bn", "blocks.2.depthwise.conv", "blocks.2.depthwise.bn"),
        "blocks.2.project.conv",
        12,
        1,
    )
    found = groups(plain("mobilenet_v1", 0.1))
    assert [group.producer for group in found] == ["stem.conv", *[f"blocks.{n}.pointwise.conv" for n in range(13)]]
    assert found[-1].consumer == "fc"


@torch.no_grad()
def one_at_a_time(module: fx.GraphModule, group: Group, x: Tensor) -> np.ndarray:
    """φ by the definition: what the consumer gives for one channel alone, less its bias, times N; (N, P * O)."""
    consumer, seen = module.get_submodule(group.consumer), []
    handle = consumer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module(x)
    handle.remove()
    rows = []
    for j in range(group.channels):
        alone, channel = torch.zeros_like(seen[0]), slice(j * group.reads, (j + 1) * group.reads)
        alone[:, channel] = seen[0][:, channel]
        out = consumer(alone)
        if consumer.bias is not None:
            out = out - consumer.bias.view(-1, *[1] * (out.dim() - 2))
        rows.append(group.channels * out.movedim(1, -1).reshape(-1))
    return torch.stack(rows).numpy()


CASES = [
    (("lenet_300_100", 0.1), "fc1"),
    (("lenet_5", 1), "conv1"),
    (("lenet_5", 1), "conv2"),  # flattened: four inputs a channel
    (("lenet_5", 1, (1, 28, 28)), "conv1"),  # without padding
    (("vgg11", 0.1), "stage2.0.conv"),
    (("resnet8", 0.5), "stage2.0.conv1"),
    (("resnet50", 0.1), "stage2.0.conv1"),  # the consumer has stride 2
    (("mobilenet_v1", 0.1), "blocks.0.pointwise.conv"),
    (("mobilenet_v2", 0.1), "blocks.2.expand.conv"),
]


@pytest.mark.parametrize(("network", "producer"), CASES)
def test_contributions_are_those_of_one_channel_at_a_time(network: tuple, producer: str) -> None:
    module = plain(*network)
    x = images(*network[2:])
    group = {g.producer: g for g in groups(module)}[producer]
    slow = one_at_a_time(module, group, x)
    fast = channels.contributions(module, group, x)
    assert fast == pytest.approx(slow, rel=1e-9, abs=1e-9 * np.abs(slow).max())
    theirs, ours = greedy.from_contributions(slow), channels.problem(module, group, x)
    assert ours.gram == pytest.approx(theirs.gram, rel=1e-8, abs=1e-10 * theirs.gram.max())
    assert ours.cross == pytest.approx(theirs.cross, rel=1e-8, abs=1e-10 * theirs.gram.max())
    assert ours.target == pytest.approx(theirs.target)
    assert ours.target > 0


@pytest.mark.parametrize("shape", [(50, 6, 9, 20), (5, 4, 64, 3), (9, 40, 1, 7), (300, 3, 25, 1)])
def test_either_form_of_the_products_is_the_explicit_one(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, channels, Q, outputs: cases on both sides of the choice, one of them in several parts."""
    rows, n, q, outputs = shape
    draw = np.random.default_rng(0)
    x, w = draw.normal(size=(rows, n, q)), draw.normal(size=(outputs, n, q))
    phi = n * np.einsum("pjq,ojq->jpo", x, w).reshape(n, -1)
    monkeypatch.setattr(channels, "NUMBERS_AT_ONCE", 40)
    assert channels.gram(x, w) == pytest.approx(phi @ phi.T, rel=1e-10, abs=1e-10 * np.abs(phi @ phi.T).max())


def test_both_forms_are_met_by_these_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    explicit = channels._explicit
    monkeypatch.setattr(channels, "_explicit", lambda x, w: used.append(1) or explicit(x, w))
    draw = np.random.default_rng(0)
    for rows, n, q, outputs, expected in ((50, 6, 9, 20, True), (9, 40, 1, 7, False)):
        used.clear()
        channels.gram(draw.normal(size=(rows, n, q)), draw.normal(size=(outputs, n, q)))
        assert bool(used) == expected


def test_a_linear_layer_is_from_linear() -> None:
    module, x = plain("lenet_300_100", 0.1), images()
    hidden = (x.flatten(1) @ module.get_parameter("fc1.weight").T + module.get_parameter("fc1.bias")).relu().detach()
    ours = channels.problem(module, groups(module)[0], x)
    theirs = greedy.from_linear(module.get_parameter("fc2.weight").detach(), hidden)
    assert ours.gram == pytest.approx(theirs.gram)
    assert greedy.local_imitation(ours, 30).picks.tolist() == greedy.local_imitation(theirs, 30).picks.tolist()


def test_sampled_positions_are_a_part_of_all_and_the_same_every_time() -> None:
    module, x = plain("lenet_5", 1), images(batch=70)  # more than one batch of images
    conv, linear = groups(module)[:2]
    everything, w = channels.patches(module, conv, x, rows=10**6)
    assert len(everything) == 70 * 16
    some, _ = channels.patches(module, conv, x, rows=100)
    known = {row.tobytes() for row in everything}
    assert len(some) == 100
    assert len({row.tobytes() for row in some} & known) == len({row.tobytes() for row in some}) > 90
    assert np.array_equal(some, channels.patches(module, conv, x, rows=100)[0])
    phi = channels.contributions(module, conv, x, rows=100)
    assert channels.problem(module, conv, x, rows=100).gram == pytest.approx(phi @ phi.T)
    assert len(channels.patches(module, linear, x, rows=10)[0]) == 70  # images are the user's own choice
    assert w.shape == (16, 6, 25)


def test_the_original_networks_response_as_target() -> None:
    """At the same sampled positions, from a network whose earlier layers and consumer have changed since."""
    before, now, x = plain("lenet_5", 1), plain("lenet_5", 1, seed=1), images(batch=70)
    for group in groups(now)[:2]:
        rows, weight = channels.patches(before, group, x, rows=100)
        t = np.einsum("pjq,ojq->po", rows, weight).ravel()
        theirs = greedy.from_contributions(channels.contributions(now, group, x, rows=100), t)
        ours = channels.problem(now, group, x, before, rows=100)
        assert ours.cross == pytest.approx(theirs.cross, rel=1e-8, abs=1e-9 * np.abs(theirs.cross).max())
        assert ours.target == pytest.approx(theirs.target)
        same = channels.problem(now, group, x, now, rows=100)
        current = channels.problem(now, group, x, rows=100)
        assert same.cross == pytest.approx(current.cross)


def test_the_mode_is_eval_and_a_diverged_network_is_refused() -> None:
    module, x = copy.deepcopy(plain("resnet8", 0.5)), images()
    group = groups(module)[0]
    first = channels.problem(module, group, x)
    state = {name: t.clone() for name, t in module.state_dict().items()}
    assert channels.problem(module.train(), group, x).gram == pytest.approx(first.gram)
    assert all(torch.equal(t, state[name]) for name, t in module.state_dict().items())
    module.get_parameter("conv1.weight").data.fill_(float("nan"))
    with pytest.raises(ValueError, match="no finite numbers"):
        channels.problem(module, group, x)
