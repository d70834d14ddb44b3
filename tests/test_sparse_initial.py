"""Sparse initializations: the vectors of gradient_flow.md section 8, variances of draws, and what stays paired."""

import math

import pytest
import torch

from ltkit import models
from ltkit.errors import UserError
from ltkit.lab import material
from ltkit.models.initial import SCHEMES, draw, spread
from ltkit.models.sparse_initial import FANS, rescale
from ltkit.prune import masks
from ltkit.prune.distribution import random_mask
from ltkit.seeds import generator
from ltkit.spec import Init, Magnitude, Network, Random, Recipe, Run, Task

SHEET = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]]).bool()
LENET5 = Network(arch="lenet_5")


def deviations(mask, fan, scheme="kaiming_normal"):
    """The standard deviation of each row: what a weight of one standard deviation becomes."""
    one = {"w": torch.full(mask.shape, spread(mask.shape, scheme))}
    return rescale(one, {"w": mask}, fan, scheme)["w"].flatten(1)[:, 0].tolist()


def drawn(shape, fan, mask, scheme="kaiming_normal", draws=200):
    """Many draws of one tensor, (draws, *shape)."""
    each = (draw({"w": torch.Size(shape)}, seed, 0, scheme) for seed in range(draws))
    return torch.stack([rescale(masks.apply(one, {"w": mask}), {"w": mask}, fan, scheme)["w"] for one in each])


def test_three_units_of_the_sheet():
    assert deviations(SHEET, "neuron") == pytest.approx([0.8165, 1.4142, 1.4142], abs=5e-5)
    assert deviations(SHEET, "layer") == pytest.approx([1.2247] * 3, abs=5e-5)
    assert deviations(SHEET, "layer_out") == pytest.approx([math.sqrt(2 / (4 / 4))] * 3)  # n = 4 kept / 4 inputs
    assert deviations(SHEET, "dense") == pytest.approx([math.sqrt(2 / 4)] * 3)


def test_convolution_of_the_sheet():
    mask = torch.zeros(8, 4, 3, 3, dtype=torch.bool)
    mask[0].view(-1)[:10] = True
    assert deviations(mask, "neuron")[0] == pytest.approx(math.sqrt(0.2))
    assert deviations(mask, "neuron")[1:] == pytest.approx([math.sqrt(2)] * 7)
    assert deviations(mask, "layer_out") == pytest.approx([math.sqrt(2 / 2.5)] * 8)


@pytest.mark.parametrize("fan", ["neuron", "layer"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_keeps_its_scale(scheme, fan):
    """Variance times fan-in over kept fan-in, whatever the scheme's own fan; 1 where nothing is pruned."""
    mask = torch.zeros(6, 5, 3, 3, dtype=torch.bool)
    mask.flatten(1)[:, :9] = True  # 9 of 45 in each unit: per neuron and per layer are one
    assert deviations(mask, fan, scheme) == pytest.approx([spread(mask.shape, scheme) * math.sqrt(5)] * 6)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_layer_out_is_liu_et_als_whatever_the_scheme(scheme):
    """A dense mask: He by fan-out, 6 * 9; halved, twice the variance."""
    full = torch.ones(6, 4, 3, 3, dtype=torch.bool)
    half = full.clone()
    half[:, 2:] = False
    assert deviations(full, "layer_out", scheme) == pytest.approx([math.sqrt(2 / 54)] * 6)
    assert deviations(half, "layer_out", scheme) == pytest.approx([math.sqrt(2 / 27)] * 6)


@pytest.mark.parametrize("scheme", ["kaiming_normal", "kaiming_uniform", "glorot_uniform"])
@pytest.mark.parametrize("shape", [(12, 40), (10, 4, 3, 3)])
def test_draws_have_the_variance_that_each_units_inputs_call_for(shape, scheme):
    """Unit i keeps i + 1 inputs. 200 draws: the estimate of a variance from k numbers is off by sqrt(2 / k) at most."""
    mask = torch.zeros(shape, dtype=torch.bool)
    for unit, row in enumerate(mask.flatten(1)):
        row[: unit + 1] = True
    values = drawn(shape, "neuron", mask, scheme).flatten(2)
    fan_in = values.shape[2]
    for unit in range(shape[0]):
        kept = values[:, unit, : unit + 1]
        expected = spread(torch.Size(shape), scheme) ** 2 * fan_in / (unit + 1)
        assert float(kept.square().mean()) == pytest.approx(expected, rel=4 * math.sqrt(2 / kept.numel()))
        assert (values[:, unit, unit + 1 :] == 0).all()
    if scheme != "kaiming_normal":
        assert float(values[:, 0, 0].abs().max()) <= math.sqrt(3 * fan_in) * spread(torch.Size(shape), scheme) + 1e-6


def test_under_a_uniform_mask_layer_is_neuron_on_average():
    """Not in each unit: chance gives some units more inputs; their variances weighed by inputs are the layer's."""
    shape = (60, 80)
    mask = random_mask({"w": shape}, {"w": 960}, generator("mask"))["w"]
    layer, neuron = (torch.tensor(deviations(mask, fan)).square() for fan in ("layer", "neuron"))
    inputs = mask.sum(1)
    assert inputs.min() > 0
    assert float((neuron * inputs).sum() / inputs.sum()) == pytest.approx(float(layer[0]))
    assert not torch.allclose(neuron, layer)
    assert torch.allclose(neuron * inputs, torch.tensor(2.0))  # every unit's signal: He's 2


def test_layer_gives_units_the_signal_of_their_number_of_inputs():
    layer = torch.tensor(deviations(SHEET, "layer")).square() * SHEET.sum(1)
    assert layer.tolist() == pytest.approx([4.5, 1.5, 0])


def test_a_seed_is_paired_over_the_fans():
    fresh = models.init(LENET5, (1, 28, 28), 10, Init(seed=3))
    names = models.prunable(LENET5, (1, 28, 28), 10)
    shapes = {name: tuple(fresh[name].shape) for name in names}
    mask = random_mask(shapes, {name: max(1, fresh[name].numel() // 20) for name in names}, generator("m"))
    kept = masks.apply(fresh, mask)
    dense, *others = (rescale(kept, mask, fan, "kaiming_normal") for fan in FANS)
    assert all(torch.equal(dense[name], kept[name]) for name in kept)
    for other in others:
        for name in kept:
            if name not in mask:
                assert torch.equal(other[name], kept[name])  # biases, 0
            else:
                assert torch.equal(other[name] != 0, kept[name] != 0)
                assert torch.equal(other[name].sign(), kept[name].sign())


@pytest.mark.parametrize("fan", ["layer", "neuron"])
def test_a_mask_that_prunes_nothing_leaves_the_very_bits(fan):
    fresh = models.init(LENET5, (1, 8, 8), 10, Init(scheme="glorot_normal"))
    full = {name: torch.ones_like(fresh[name], dtype=torch.bool) for name in models.prunable(LENET5, (1, 8, 8), 10)}
    for mask in (full, {}):
        assert all(torch.equal(t, fresh[name]) for name, t in rescale(fresh, mask, fan, "glorot_normal").items())


@pytest.mark.parametrize("fan", FANS)
def test_layers_that_keep_nothing_stay_0_and_finite(fan):
    weights, mask = {"w": torch.zeros(3, 4)}, {"w": torch.zeros(3, 4, dtype=torch.bool)}
    assert torch.equal(rescale(weights, mask, fan, "kaiming_normal")["w"], weights["w"])
    assert all(math.isfinite(value) for value in deviations(mask["w"], fan))


def test_unknown_fan():
    with pytest.raises(UserError, match="unknown fan 'neurons'"):
        rescale({}, {}, "neurons", "kaiming_normal")


def test_runs_that_exist_keep_their_names():
    assert Init(seed=3).model_dump()["fan"] == "dense"
    run = Run(task=Task(), network=Network(), recipe=Recipe(epochs=3))
    assert run.identity.startswith("11ff6f2c0aba")  # as in test_spec
    assert len({run.replace(start=Init(fan=fan)).identity for fan in FANS}) == 4
    assert Run(**run.replace(start=Init(fan="layer")).model_dump()).start.fan == "layer"


def test_a_job_starts_from_the_rescaled_weights(lab, tiny):
    """Whatever the mask is of, and last: after permuting, so that a unit has the variance its inputs call for."""
    dense = Run(task=tiny, network=Network(width=0.1), recipe=Recipe(steps=2, batch_size=16))
    lab.run([dense])
    for mask in (Random(density=0.2), Magnitude(run=dense, density=0.2)):
        base = dense.replace(mask=mask)
        plain, sparse = (
            material.job(base.replace(start=Init(fan=fan)), lab.store, lab.root) for fan in ("dense", "neuron")
        )
        assert all(torch.equal(plain.mask[name], sparse.mask[name]) for name in plain.mask)
        expected = rescale(plain.weights, plain.mask, "neuron", "kaiming_normal")
        assert all(torch.equal(sparse.weights[name], expected[name]) for name in expected)
        assert not torch.equal(sparse.weights["fc1.weight"], plain.weights["fc1.weight"])
    plain, sparse = (
        material.job(base.replace(start=Init(fan=fan, permute=1)), lab.store, lab.root) for fan in ("dense", "neuron")
    )
    expected = rescale(plain.weights, plain.mask, "neuron", "kaiming_normal")
    assert all(torch.equal(sparse.weights[name], expected[name]) for name in expected)


def test_a_run_with_a_sparse_start_is_trained_and_read_at_epoch_0(lab, tiny):
    run = Run(
        task=tiny,
        network=Network(width=0.1),
        recipe=Recipe(steps=2, batch_size=16),
        mask=Random(density=0.3),
        start=Init(fan="neuron"),
    )
    lab.run([run])
    begun, mask = lab.weights(run, epoch=0)["fc1.weight"], lab.mask(run)["fc1.weight"]
    assert torch.equal(begun != 0, mask)
    assert float(begun.square().sum(1).mean()) == pytest.approx(2, rel=0.3)  # 30 units of about 19 inputs each
