"""The scale of logits against plain torch, uneven masks by their counts, and the sheet's own numbers within noise."""

import math

import pytest
import torch
import torch.nn.functional as F

from ltkit import models
from ltkit.analyze.signal import fresh, geometric_mean, noise, scales, uneven_mask
from ltkit.models.sparse_initial import FANS
from ltkit.prune import masks
from ltkit.prune.distribution import random_mask
from ltkit.seeds import generator
from ltkit.spec import Init, Network

LENET5, SHAPE = Network(arch="lenet_5"), (3, 28, 28)
SHAPES = {
    "conv1.weight": (6, 3, 5, 5),
    "conv2.weight": (16, 6, 5, 5),
    "fc1.weight": (120, 256),
    "fc2.weight": (84, 120),
    "fc3.weight": (10, 84),
}


def kept(density):
    return {name: round(density * math.prod(shape)) for name, shape in SHAPES.items()}


def plain(w, x):
    """LeNet-5 as gradient_flow.md section 4 has it: no padding, 6-16-120-84."""
    x = F.max_pool2d(F.relu(F.conv2d(x, w["conv1.weight"], w["conv1.bias"])), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, w["conv2.weight"], w["conv2.bias"])), 2).flatten(1)
    x = F.relu(F.linear(x, w["fc1.weight"], w["fc1.bias"]))
    return F.linear(F.relu(F.linear(x, w["fc2.weight"], w["fc2.bias"])), w["fc3.weight"], w["fc3.bias"])


def test_our_lenet5_is_the_sheets():
    state = models.init(LENET5, (1, 28, 28), 10, Init())
    weights = sum(t.numel() for n, t in state.items() if n.endswith("weight"))
    assert (weights, sum(t.numel() for t in state.values()) - weights) == (44_190, 236)
    coloured = models.init(LENET5, SHAPE, 10, Init())
    assert {name: tuple(coloured[name].shape) for name in SHAPES} == SHAPES


def test_scales_are_those_of_a_plain_network():
    """One number over all images and classes; many starts and masks at once, dense ones beside sparse ones."""
    x = noise(SHAPE, 0, 20)
    mask = random_mask(SHAPES, kept(0.2), generator("mask"))
    starts = [(Init(seed=1), {}), (Init(seed=2, fan="neuron"), mask), (Init(seed=3, scheme="glorot_uniform"), mask)]
    found = scales(LENET5, SHAPE, 10, starts, x)
    for sigma, (start, own) in zip(found, starts, strict=True):
        answers = plain(fresh(LENET5, SHAPE, 10, start, own), x)
        assert sigma == pytest.approx(float(answers.std(correction=0)), rel=1e-4)
    assert len(set(found)) == 3


def test_no_signal_is_0():
    mask = {**random_mask(SHAPES, kept(0.5), generator("mask")), "fc2.weight": torch.zeros(84, 120, dtype=torch.bool)}
    starts = [(Init(fan=fan), mask) for fan in FANS]
    assert scales(LENET5, SHAPE, 10, starts, noise(SHAPE, 0, 10)) == [0] * 4


def test_scales_are_proportional_to_each_layers_factor():
    """Biases are 0, so a network is homogeneous: per layer against dense is the product of 1 / sqrt(density)."""
    mask = random_mask(SHAPES, kept(0.1), generator("mask"))
    dense, layer = scales(LENET5, SHAPE, 10, [(Init(fan=fan), mask) for fan in ("dense", "layer")], noise(SHAPE, 0, 20))
    factor = math.prod(m.numel() / int(m.sum()) for m in mask.values()) ** 0.5
    assert layer / dense == pytest.approx(factor, rel=1e-4)


def test_uneven_masks_keep_exact_counts_and_favour_later_units():
    mask = uneven_mask(SHAPES, kept(0.05), generator("uneven"))
    assert masks.counts(mask) == kept(0.05)
    per_unit = mask["fc1.weight"].sum(1).double()
    assert float(per_unit[:40].mean()) == 0  # the cut is near score 51 of 120: below it no unit can come
    assert per_unit[-20:].mean() > per_unit[60:80].mean() + 10


def test_uneven_masks_follow_their_scores_law():
    """A position of unit j stays with probability 1 - t / (j + 1), t the cut that leaves the layer's count."""
    shape, density = (30, 4000), 0.3
    low, high = 0.0, 30.0
    for _ in range(60):
        cut = (low + high) / 2
        share = sum(max(0.0, 1 - cut / (j + 1)) for j in range(30)) / 30
        low, high = (cut, high) if share > density else (low, cut)
    found = uneven_mask({"w": shape}, {"w": int(density * 120_000)}, generator("law"))["w"].double().mean(1)
    expected = torch.tensor([max(0.0, 1 - cut / (j + 1)) for j in range(30)]).double()
    assert float((found - expected).abs().max()) < 5 * math.sqrt(0.25 / 4000)


def test_noise_is_standard_and_its_own():
    x = noise((3, 8, 8), 0)
    assert x.shape == (500, 3, 8, 8)
    assert abs(float(x.mean())) < 4 / math.sqrt(x.numel())
    assert float(x.std()) == pytest.approx(1, abs=4 / math.sqrt(2 * x.numel()))
    assert torch.equal(x, noise((3, 8, 8), 0))
    assert not torch.equal(x, noise((3, 8, 8), 1))


def test_geometric_mean():
    assert geometric_mean([1, 100]) == pytest.approx(10)
    assert geometric_mean([1, 0]) == 0


def published(values, sheet):
    """The sheet's geometric mean over 5 seeds lies within 3 standard errors of ours; its seeds spread as ours do."""
    logs = torch.tensor(values).log()
    error = float(logs.std()) * math.sqrt(1 / 5 + 1 / len(values))
    return abs(math.log(sheet) - float(logs.mean())) < 3 * error


def test_equal_footing_numbers_of_the_sheet_dense():
    x = noise(SHAPE, 0, 60)
    glorot, he = (
        scales(LENET5, SHAPE, 10, [(Init(seed=s, scheme=scheme), {}) for s in range(10)], x)
        for scheme in ("glorot_uniform", "kaiming_normal")
    )
    assert published(glorot, 0.45)
    assert published(he, 3.2)
    assert not published(he, 0.45)  # the test can tell them apart


@pytest.mark.parametrize(
    ("draw", "expected"),
    [(random_mask, (2.4e-4, 2.1e-3, 3.8, 3.5)), (uneven_mask, (1.3e-4, 6.5e-4, 1.2, 0.054))],
    ids=["uniform", "uneven"],
)
def test_equal_footing_numbers_of_the_sheet_at_density_005(draw, expected):
    x, drawn = noise(SHAPE, 0, 60), [draw(SHAPES, kept(0.05), generator("equal footing", s)) for s in range(10)]
    inits = [{"scheme": "glorot_uniform"}, {}, {"fan": "layer"}, {"fan": "neuron"}]
    starts = [(Init(seed=s, **init), drawn[s]) for init in inits for s in range(10)]
    found = scales(LENET5, SHAPE, 10, starts, x)
    for at, sheet in enumerate(expected):
        assert published(found[10 * at : 10 * at + 10], sheet), (inits[at], sheet)
    layer, neuron = geometric_mean(found[20:30]), geometric_mean(found[30:])
    assert (neuron < layer / 5) == (draw is uneven_mask)  # the sheet's D3: per-layer is ahead where masks are uneven
