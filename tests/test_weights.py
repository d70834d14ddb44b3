"""Histograms, the rule for two modes and the cut-off of a round, on weights whose answer is known."""

import math

import pytest
import torch

from ltkit.analyze.weights import alive, bimodal, dip, histogram, threshold
from ltkit.prune import masks
from ltkit.seeds import generator


def normal(n=20_000, seed=0):
    return torch.randn(n, generator=generator("weights", seed))


def test_alive_weights_of_the_named_tensors():
    state = {"w": torch.tensor([[1.0, 2.0], [3.0, 0.0]]), "v": torch.tensor([5.0]), "bias": torch.tensor([9.0])}
    mask = {"w": torch.tensor([[True, False], [True, True]])}
    assert alive(state, mask, ["w", "v"]).tolist() == [1, 3, 0, 5]


def test_histogram_by_hand():
    table = histogram(torch.tensor([-1.0, -0.9, 0.1, 1.0]), bins=4)
    assert table["left"].tolist() == [-1, -0.5, 0, 0.5]
    assert table["right"].tolist() == [-0.5, 0, 0.5, 1]
    assert table["density"].tolist() == [1, 0, 0.5, 0.5]
    assert (table["density"] * (table["right"] - table["left"])).sum() == 1


def test_histogram_within_a_limit_counts_the_rest_in_the_whole():
    assert histogram(torch.tensor([-3.0, 0.5, 0.5, 3.0]), bins=2, limit=1)["density"].tolist() == [0, 0.5]


def test_dip_by_hand():
    """|w| up to 1: one weight in the first of 20 bins, five in the last, and the sign is of no matter."""
    weights = torch.tensor([-0.01, -0.99, 0.99, 1.0, -1.0, 1.0])
    assert dip(weights) == 1 / 5
    assert bimodal(weights)


def test_a_half_is_not_below_a_half():
    at = torch.tensor([0.0] * 2 + [1.0] * 4)
    assert dip(at) == 0.5
    assert not bimodal(at)
    assert bimodal(torch.tensor([0.0] * 2 + [1.0] * 5))


def test_one_mode_is_not_two():
    uniform = 2 * torch.rand(20_000, generator=generator("uniform")) - 1
    assert dip(normal()) > 0.95
    assert 0.8 < dip(uniform) <= 1.05
    assert not bimodal(normal())
    assert not bimodal(uniform)


def test_two_modes_are_and_shallow_ones_are_not():
    """Half the weights around +c, half around −c. The density at 0 is 2·exp(−c²/2) of the peak's, for large c."""
    sign = torch.where(normal(seed=1) > 0, 1, -1)
    assert bimodal(normal() + 2.5 * sign)
    assert not bimodal(normal() + 1.2 * sign)
    assert dip(normal() + 2.5 * sign) == pytest.approx(2 * math.exp(-(2.5**2) / 2), rel=0.3)


def test_scale_and_giants_do_not_matter():
    weights = normal() + 2.5 * torch.where(normal(seed=1) > 0, 1, -1)
    assert dip(0.01 * weights) == pytest.approx(dip(weights), rel=0.1)
    giants = torch.cat([weights, torch.full((20,), 1e4)])  # an even split up to 1e4 would put all the rest into one bin
    assert dip(giants) == pytest.approx(dip(weights), rel=0.3)


def test_the_mask_that_is_cut_from_the_weights_makes_a_hole():
    state = {"w": normal()}
    mask = masks.by_score({"w": state["w"].abs()}, 10_000)
    assert not bimodal(alive(state, {}, ["w"]))
    assert bimodal(alive(state, mask, ["w"]))


def test_weights_without_an_answer():
    assert math.isnan(dip(torch.zeros(200)))
    assert not bimodal(torch.zeros(200))
    for wrong in (torch.tensor([]), torch.tensor([1.0, float("nan")])):
        with pytest.raises(ValueError, match="numbers"):
            dip(wrong)


# mode_connectivity.md section 8: remove 40 % of layer A {1, 4} and layer B {2, 3, 5}
STATE = {"a": torch.tensor([-1.0, 4.0]), "b": torch.tensor([2.0, -3.0, 5.0])}


def cut(kept, before=None):
    return masks.by_score({n: t.abs() for n, t in STATE.items()}, kept, before)


def test_thresholds_of_two_rounds():
    first, second = cut(3), cut(2, cut(3))
    assert threshold(STATE, {}, first) == 2
    assert threshold(STATE, first, second) == 3
    assert math.isnan(threshold(STATE, first, first))


def test_weights_that_were_gone_before_do_not_count():
    before = {"a": torch.tensor([True, False]), "b": torch.tensor([True, True, True])}
    assert threshold(STATE, before, cut(2, before)) == 2


def test_masks_without_one_cut_off():
    by_layer = masks.by_layer({n: t.abs() for n, t in STATE.items()}, {"a": 1, "b": 1})
    with pytest.raises(ValueError, match="no single cut-off"):
        threshold({**STATE, "a": STATE["a"] / 10}, {}, by_layer)
    with pytest.raises(ValueError, match="had pruned"):
        threshold(STATE, cut(2), cut(3))
