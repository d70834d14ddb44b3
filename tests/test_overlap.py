"""R_p on the hand cases of weight_correlation.md section 8."""

import math

import numpy as np
import pytest
import torch

from ltkit.analyze.overlap import TOTAL, null_band, null_moments, null_sd, overlap_ratio, overlaps
from ltkit.seeds import generator

A = {"a": torch.tensor([5, -4, 3, 2, 1, 0.5, 0.4, 0.3, 0.2, 0.1]), "b": torch.tensor([1.0, -2, 3, -4, 5])}
B = {"a": torch.tensor([0.1, 6, -7, 0.2, 0.3, 1, 0.4, 0.5, 0.6, 2]), "b": torch.tensor([-5.0, 4, 3, 2, 1])}


@pytest.mark.parametrize("p", [0.2, 0.4])
def test_two_layers(p):
    assert overlap_ratio(A, B, p, ["a", "b"]) == pytest.approx(1 / 3)


def test_kept_weights_only():
    mask = {"a": torch.arange(10) < 5, "b": torch.ones(5, dtype=torch.bool)}
    assert overlap_ratio(A, B, 0.4, ["a", "b"], mask) == pytest.approx(1 / 4)


def test_identical_is_one_whatever_the_sign():
    assert overlap_ratio(A, {n: -t for n, t in A.items()}, 0.3, ["a", "b"]) == 1.0


def test_disjoint_is_zero():
    up, down = {"a": torch.arange(10.0)}, {"a": torch.arange(10.0).flip(0)}
    assert overlap_ratio(up, down, 0.5, ["a"]) == 0.0


def test_unrelated_is_p_within_its_null_width():
    values = [
        overlap_ratio(*({"a": torch.randn(5000, generator=generator("null", s, side))} for side in "ab"), 0.2, ["a"])
        for s in range(60)
    ]
    sd = null_sd(0.2, 5000)
    assert sd == pytest.approx(0.0113, abs=5e-5)
    assert abs(sum(values) / 60 - 0.2) < 3 * sd / 60**0.5
    assert torch.tensor(values).std().item() == pytest.approx(sd, rel=0.3)


def test_layers_and_their_total():
    table = overlaps(A, B, [0.2, 0.4], ["a", "b"])
    assert table.drop(columns="ratio").to_numpy().tolist() == [
        ["a", 0.2, 10, 2, 1],
        ["a", 0.4, 10, 4, 2],
        ["b", 0.2, 5, 1, 0],
        ["b", 0.4, 5, 2, 0],
        [TOTAL, 0.2, 15, 3, 1],
        [TOTAL, 0.4, 15, 6, 2],
    ]
    assert table.ratio.tolist() == [1 / 2, 1 / 2, 0, 0, 1 / 3, 1 / 3]
    mask = {"a": torch.arange(10) < 5}  # b: no mask, and all of it counts
    kept = overlaps(A, B, [0.4], ["a", "b"], mask)
    assert kept[["weights", "taken", "shared"]].to_numpy().tolist() == [[5, 2, 1], [5, 2, 0], [10, 4, 1]]


def slow(a, b, p, alive):
    """Of one layer, with sets; a tie goes to the lower index since sorted() is stable."""
    k = max(1, math.floor(p * len(alive) + 0.5))
    first, second = (set(sorted(alive, key=lambda i: -abs(side[i]))[:k]) for side in (a, b))
    return len(first & second), k


@pytest.mark.parametrize("masked", [False, True])
def test_a_slow_overlap_with_ties_agrees_at_every_p(masked):
    g, ps = generator("ties"), [0.01, 0.125, 0.25, 0.5, 0.75, 1.0]
    shapes = {"a": (6, 10), "b": (3, 2, 3, 3), "c": (7,)}
    a, b = ({n: torch.randint(1, 5, s, generator=g) * 1.0 for n, s in shapes.items()} for _ in "ab")
    a = {n: t * torch.where(torch.rand(t.shape, generator=g) < 0.5, -1, 1) for n, t in a.items()}
    mask = {n: torch.rand(s, generator=g) < 0.6 for n, s in shapes.items()} if masked else None
    table = overlaps(a, b, ps, shapes, mask).set_index(["layer", "p"])
    for p in ps:
        found = []
        for name in shapes:
            alive = [i for i in range(a[name].numel()) if mask is None or mask[name].flatten()[i]]
            found.append(slow(a[name].flatten().tolist(), b[name].flatten().tolist(), p, alive))
            assert tuple(table.loc[(name, p), ["shared", "taken"]]) == found[-1]
        shared, taken = (sum(column) for column in zip(*found, strict=True))
        assert table.ratio[TOTAL, p] == overlap_ratio(a, b, p, shapes, mask) == shared / taken
    assert 0 < table.ratio[TOTAL, 0.25] < 1 == table.ratio[TOTAL, 1.0]


def test_an_order_of_its_own_loses_the_overlap():
    weights = {"a": torch.randn(4000, generator=generator("own"))}
    moved = {"a": weights["a"][torch.randperm(4000, generator=generator("order"))]}
    for p in (0.1, 0.3, 0.5):
        low, high = null_band(p, [4000])
        assert low < overlap_ratio(weights, moved, p, ["a"]) < high
        assert overlap_ratio(weights, weights, p, ["a"]) == 1


def test_sparse_against_dense():
    dense = {"a": torch.tensor([5.0, -4, 3, 2, 1, 0.5, 0.4, 0.3, 0.2, 0.1])}
    sparse = {"a": dense["a"] * torch.tensor([0, 1, 1, 0, 0, 0, 0, 0, 0, 1])}
    table = overlaps(sparse, dense, [0.2, 0.3, 0.4], ["a"])
    assert table[table.layer == "a"].ratio.tolist()[:2] == [1 / 2, 2 / 3]  # largest: 1 2 of 0 1, and 1 2 9 of 0 1 2
    assert table[table.p == 0.4].ratio.isna().tolist() == [True, True]  # of three kept weights there are no largest 4
    assert overlaps(dense, sparse, [0.4], ["a"]).ratio.isna().all()
    inside = {"a": torch.tensor([False, True, True, True] + [False] * 6)}  # 0 is a value where the mask keeps it
    assert overlap_ratio(sparse, dense, 1.0, ["a"], inside) == 1


def test_two_unrelated_sparse_networks_overlap_by_chance_under_their_mask_and_by_more_without():
    """Section 7: at half the density R_.2 would be .4."""
    a, b = ({"a": torch.randn(20_000, generator=generator("sparse", side))} for side in "ab")
    mask = {"a": torch.rand(20_000, generator=generator("mask")) < 0.5}
    assert overlap_ratio(a, b, 0.2, ["a"], mask) == pytest.approx(0.2, abs=4 * null_sd(0.2, 10_000))
    cut = [{"a": side["a"] * mask["a"]} for side in (a, b)]
    assert overlap_ratio(*cut, 0.2, ["a"]) == pytest.approx(0.4, abs=0.03)


def test_what_is_left_out():
    table = overlaps(A, B, [0.2, 0.4], ["a", "b"], {"a": torch.zeros(10, dtype=torch.bool)})
    assert set(table.layer) == {"b", TOTAL}
    assert math.isnan(overlap_ratio(A, B, 0.2, []))
    assert overlaps(A, B, [0.2, 0.4], []).layer.tolist() == [TOTAL, TOTAL]
    with pytest.raises(ValueError, match="weights of a that are no numbers"):
        overlaps({"a": torch.tensor([1, math.nan])}, {"a": torch.ones(2)}, [0.5], ["a"])


@pytest.mark.parametrize(
    ("count", "p", "sd"),
    [(5000, 0.2, 0.0113), (269824, 0.2, 0.00154), (round(0.168 * 269824), 0.1, 0.00423), (11872, 0.1, 0.00826)],
)
def test_the_sheets_null_widths(count, p, sd):
    assert null_moments(p, [count]) == (pytest.approx(p, abs=1e-4), pytest.approx(sd, abs=5e-5 if sd > 0.01 else 5e-6))
    assert null_sd(p, count) == pytest.approx(null_moments(p, [count])[1], rel=2e-3)


def test_the_null_by_hand():
    """Of 4 weights each side takes 2: they share 0, 1, 2 with 1/6, 4/6, 1/6. Of one weight, always that one."""
    mean, sd = null_moments(0.5, [4])
    assert (mean, sd) == (pytest.approx(1 / 2), pytest.approx(math.sqrt(1 / 3) / 2))
    assert null_moments(0.5, [4, 0]) == (mean, sd)
    assert null_moments(0.5, [4, 1]) == (pytest.approx(2 / 3), pytest.approx(math.sqrt(1 / 3) / 3))
    assert null_band(0.5, [4], 0.5) == (pytest.approx(mean), pytest.approx(mean))
    assert null_band(0.5, [4]) == (0, 1)
    for empty in ([], [0]):
        assert all(math.isnan(value) for value in (*null_moments(0.5, empty), *null_band(0.5, empty)))


def test_the_band_holds_what_chance_gives():
    """Layers of unequal sizes, simulated by the definition; quantiles to a few of their standard errors."""
    counts, p, draws = [2000, 300, 57], 0.2, 4000
    weights = np.random.default_rng(0)
    shared = np.zeros(draws)
    for n in counts:
        k = round(p * n)
        for draw in range(draws):  # which k the one side takes is without loss of generality the first
            shared[draw] += np.count_nonzero(weights.permutation(n)[:k] < k)
    ratios = shared / sum(round(p * n) for n in counts)
    mean, sd = null_moments(p, counts)
    assert ratios.mean() == pytest.approx(mean, abs=4 * sd / math.sqrt(draws))
    assert ratios.std() == pytest.approx(sd, rel=4 / math.sqrt(2 * draws))
    for quantile in (0.84, 0.95, 0.975):
        low, high = null_band(p, counts, quantile)
        inside = ((ratios >= low) & (ratios <= high)).mean()
        assert inside == pytest.approx(2 * quantile - 1, abs=0.02)
    low, high = null_band(p, counts)
    assert ((ratios < low) | (ratios > high)).mean() < 0.007
