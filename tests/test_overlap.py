"""R_p on the hand cases of weight_correlation.md section 8."""

import pytest
import torch

from ltkit.analyze.overlap import null_sd, overlap_ratio
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
