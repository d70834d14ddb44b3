"""Permuted networks: other weights, the same function, and a way back."""

import pytest
import torch

from ltkit import models
from ltkit.analyze.permute import draw, inverse, permute, permuted
from ltkit.errors import UserError
from ltkit.prune import masks
from ltkit.seeds import generator
from ltkit.spec import Init, Network

SHAPE, CLASSES = (2, 8, 8), 4
KINDS = [
    (Network(width=0.1), 2),
    (Network(arch="lenet_5", width=0.5), 4),
    (Network(arch="lenet_5", width=0.5, norm="batch"), 4),
    (Network(arch="conv2", width=0.1), 4),
    (Network(arch="conv4", width=0.1), 6),
    (Network(arch="conv4", width=0.1, norm="batch"), 6),
    (Network(arch="conv6", width=0.1), 8),
    (Network(arch="vgg11", width=0.1), 8),
    (Network(arch="vgg11", width=0.1, norm="none"), 8),
    (Network(arch="resnet8", width=0.25), 3),
    (Network(arch="resnet8", width=0.25, norm="none"), 3),
    (Network(arch="resnet8", width=0.25, residual=False), 7),
    (Network(arch="resnet50", width=0.05), 32),
]
ALL = pytest.mark.parametrize(("network", "layers"), KINDS, ids=lambda v: getattr(v, "arch", str(v)))


def state(network):
    """Fresh weights, every vector shaken so that each unit has its own."""
    fresh, shake = models.init(network, SHAPE, CLASSES, Init()), generator("shake")
    return {name: t + torch.rand(t.shape, generator=shake) * (t.dim() == 1) for name, t in fresh.items()}


def logits(network, one, x):
    net = models.build(network, SHAPE, CLASSES).double().eval()
    net.load_state_dict({name: t.unsqueeze(0) for name, t in one.items()})
    return net(x.unsqueeze(0))[0].detach()


@ALL
def test_the_same_function_of_other_weights_and_back(network, layers):
    before, x = state(network), torch.randn(6, *SHAPE, generator=generator("x"), dtype=torch.float64)
    orders = draw(network, SHAPE, CLASSES, generator("permute"))
    after = permute(before, orders)
    assert len(orders) == layers
    expected = logits(network, before, x)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(logits(network, after, x), expected, rtol=1e-5, atol=0)
    assert list(after) == list(before)
    for step in orders:
        moved = not torch.equal(step.order, torch.arange(len(step.order)))
        assert torch.equal(after[step.outputs[0]], before[step.outputs[0]]) is not moved
    back = permute(after, inverse(orders))
    assert all(torch.equal(back[name], before[name]) for name in before)


@ALL
def test_a_mask_follows_its_weights(network, layers):
    before = state(network)
    names = models.prunable(network, SHAPE, CLASSES)
    mask = masks.by_score({n: before[n].abs() for n in names}, models.prunable_count(network, SHAPE, CLASSES) // 2)
    weights = permuted(network, SHAPE, CLASSES, masks.apply(before, mask), generator("permute"))
    moved = permuted(network, SHAPE, CLASSES, mask, generator("permute"))
    assert list(moved) == list(mask)
    for name in names:
        assert moved[name].dtype == torch.bool
        assert torch.equal(weights[name] != 0, moved[name])
    assert any(not torch.equal(moved[name], mask[name]) for name in names)
    assert masks.counts(moved) == masks.counts(mask)


def test_lenet_by_hand():
    """The hidden units 1 and 2 swapped: rows of fc1, columns of fc2."""
    network = Network(width=0.01)  # three and one hidden units
    before = state(network)
    steps = draw(network, SHAPE, CLASSES, generator("permute"))
    swapped = permute(before, [type(steps[0])(torch.tensor([0, 2, 1]), steps[0].outputs, steps[0].inputs)])
    assert torch.equal(swapped["fc1.weight"], before["fc1.weight"][[0, 2, 1]])
    assert torch.equal(swapped["fc1.bias"], before["fc1.bias"][[0, 2, 1]])
    assert torch.equal(swapped["fc2.weight"], before["fc2.weight"][:, [0, 2, 1]])
    assert torch.equal(swapped["fc3.weight"], before["fc3.weight"])


def test_channels_that_a_skip_carries_stay():
    before = state(KINDS[9][0])
    after = permuted(KINDS[9][0], SHAPE, CLASSES, before, generator("permute"))
    for name in ("conv1.weight", "bn1.bias", "stage2.0.downsample.conv.weight", "stage2.0.bn2.weight", "fc.weight"):
        assert torch.equal(after[name], before[name])
    for name in ("stage1.0.conv1.weight", "stage1.0.bn1.running_var", "stage3.0.conv2.weight"):
        assert not torch.equal(after[name], before[name])


def test_networks_without_a_way_to_permute_them():
    with pytest.raises(UserError, match="mobilenet_v1 can't be permuted here"):
        draw(Network(arch="mobilenet_v1"), SHAPE, CLASSES, generator("permute"))
