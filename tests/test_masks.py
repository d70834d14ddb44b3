"""Masks: exact counts whatever the ties, and agreement with torch.nn.utils.prune."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from ltkit.prune import masks
from ltkit.prune.distribution import layer_counts, random_mask
from ltkit.seeds import generator


def weights(seed=0):
    draw = generator("weights", seed)
    return {"fc1": torch.randn(30, 20, generator=draw), "conv": torch.randn(8, 4, 3, 3, generator=draw)}


def test_four_numbers():
    mask = masks.top(torch.tensor([0.1, 3.0, 0.2, 2.0]), 2)
    assert mask.tolist() == [False, True, False, True]


@pytest.mark.parametrize("kept", range(7))
def test_exact_counts_under_ties_lower_index_first(kept):
    mask = masks.top(torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0]), kept)
    order = [0, 2, 4, 1, 3, 5]
    assert mask.nonzero().flatten().tolist() == sorted(order[:kept])


def test_exactly_zero_scores_can_be_kept_and_dead_ones_never():
    alive = torch.tensor([True, False, True, True])
    mask = masks.top(torch.zeros(4), 2, alive)
    assert mask.tolist() == [True, False, True, False]
    with pytest.raises(ValueError, match="can't keep 4 of 3"):
        masks.top(torch.zeros(4), 4, alive)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        masks.top(torch.tensor([1.0, float("nan")]), 1)


@pytest.mark.parametrize("kept", [0, 1, 137, 888])
def test_global_ranking_is_torchs_global_unstructured(kept):
    w = weights()
    ours = masks.by_score({n: t.abs() for n, t in w.items()}, kept)
    modules = {"fc1": nn.Linear(20, 30), "conv": nn.Conv2d(4, 8, 3)}
    for name, module in modules.items():
        module.weight.data = w[name].clone()
    total = sum(t.numel() for t in w.values())
    prune.global_unstructured(
        [(m, "weight") for m in modules.values()], pruning_method=prune.L1Unstructured, amount=total - kept
    )
    for name, module in modules.items():
        theirs = module.weight_mask.bool() if kept < total else torch.ones_like(module.weight, dtype=torch.bool)
        assert torch.equal(ours[name], theirs)
    assert sum(masks.counts(ours).values()) == kept


def test_per_layer_ranking_is_torchs_l1_unstructured():
    w = weights(1)
    ours = masks.by_layer({n: t.abs() for n, t in w.items()}, {"fc1": 60, "conv": 200})
    module = nn.Linear(20, 30)
    module.weight.data = w["fc1"].clone()
    prune.l1_unstructured(module, "weight", amount=600 - 60)
    assert torch.equal(ours["fc1"], module.weight_mask.bool())


def test_row_norms_are_torchs_ln_structured():
    """Whole output units by their L2 norm: the same `top`, on norms instead of weights."""
    w = weights(2)["fc1"]
    ours = masks.top(w.norm(dim=1), 12)
    module = nn.Linear(20, 30)
    module.weight.data = w.clone()
    prune.ln_structured(module, "weight", amount=30 - 12, n=2, dim=0)
    assert torch.equal(ours, module.weight_mask.bool()[:, 0])


def test_iterated_pruning_nests_and_counts():
    w, alive = weights(), None
    total = left = sum(t.numel() for t in w.values())
    for _ in range(5):
        left -= left // 5
        mask = masks.by_score({n: t.abs() for n, t in w.items()}, left, alive)
        if alive:
            assert all((mask[n] <= alive[n]).all() for n in mask)
        assert masks.density(mask) == pytest.approx(left / total)
        alive = mask


def test_shuffled_keeps_each_layers_count_and_moves_positions():
    mask = masks.by_score({n: t.abs() for n, t in weights().items()}, 300)
    other = masks.shuffle(mask, generator("shuffle", 0))
    assert masks.counts(other) == masks.counts(mask)
    assert not torch.equal(other["fc1"], mask["fc1"])
    assert torch.equal(other["fc1"], masks.shuffle(mask, generator("shuffle", 0))["fc1"])


def test_apply_keeps_bits_and_zeroes_the_rest():
    w = weights()
    mask = masks.by_score({n: t.abs() for n, t in w.items()}, 300)
    pruned = masks.apply({**w, "bias": torch.ones(3)}, mask)
    assert torch.equal(pruned["bias"], torch.ones(3))
    for n in w:
        assert torch.equal(pruned[n][mask[n]], w[n][mask[n]])
        assert (pruned[n][~mask[n]] == 0).all()


SHAPES = {"a": (10, 10), "b": (40, 50), "c": (16, 8, 3, 3)}


@pytest.mark.parametrize("distribution", ["uniform", "er", "erk"])
@pytest.mark.parametrize("kept", [1, 77, 1000, 3252])
def test_distributions_share_out_exact_counts(distribution, kept):
    counts = layer_counts(SHAPES, kept, distribution)
    assert sum(counts.values()) == kept
    assert all(0 <= counts[n] <= torch.zeros(s).numel() for n, s in SHAPES.items())
    mask = random_mask(SHAPES, counts, generator("random", 1))
    assert masks.counts(mask) == counts


def test_er_by_hand():
    """ER: a 10x10 layer weighs 20/100, a 40x50 one 90/2000; 100*.2 + 2000*.045 = 110 parts share 55 weights."""
    assert layer_counts({"a": (10, 10), "b": (40, 50)}, 55, "er") == {"a": 10, "b": 45}


def test_erk_by_hand_with_a_layer_made_dense():
    """4x4: 8/16 -> 8 parts; 20x20x3x3: 46/3600 -> 46 parts. 540 kept: eps 10 > 2 makes the small one dense."""
    assert layer_counts({"a": (4, 4), "b": (20, 20, 3, 3)}, 540, "erk") == {"a": 16, "b": 524}


def test_uniform_by_hand():
    assert layer_counts({"a": (10, 10), "b": (40, 50)}, 210, "uniform") == {"a": 10, "b": 200}
