"""The two-layer toy: one program for all students against autograd one by one, and what is picked from the wide one."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch

from ltkit.analyze import toy
from ltkit.seeds import generator

SMALL = {"samples": 60, "steps": 40, "batch": 25, "lr": 0.1}


def test_students_are_those_of_autograd() -> None:
    """Each student alone: mean squared error of the mean form, n times its gradient, momentum, half cosine."""
    sizes, seeds = [3, 7], [0, 4]
    tasks = [toy._task(seed, 60, 7) for seed in seeds]
    x, y = (torch.stack([task[part] for task in tasks]) for part in (0, 1))
    found = toy.train(x, y, sizes, seeds, 40, 25, 0.1)
    for r, seed in enumerate(seeds):
        draw = generator("toy", "start", seed)
        w, b = torch.randn(10, 10, generator=draw), torch.randn(10, generator=draw)
        for place, (size, part) in enumerate(zip(sizes, (slice(0, 3), slice(3, 10)), strict=True)):
            weights = [w[part].clone().requires_grad_(), b[part].clone().requires_grad_()]
            past = [torch.zeros_like(p) for p in weights]
            for step in range(40):
                begin = step * 25 % 60
                xs, ys = x[r, begin : begin + 25], y[r, begin : begin + 25]
                loss = (((xs @ weights[0].T).relu() @ weights[1]) / size - ys).square().mean()
                grads = torch.autograd.grad(loss, weights)
                with torch.no_grad():
                    for p, v, g in zip(weights, past, grads, strict=True):
                        v.mul_(0.9).add_(g)
                        p -= 0.05 * (1 + math.cos(math.pi * step / 40)) * size * v
            for ours, theirs in zip(found[r][place], weights, strict=True):
                torch.testing.assert_close(ours, theirs.detach(), rtol=1e-3, atol=1e-4)


def test_targets_have_mean_square_one_and_training_helps() -> None:
    for part in (1, 3):
        assert torch.cat([toy._task(2, 2000, 30)[i] for i in (1, 3)]).square().mean() == pytest.approx(1, rel=1e-5)
        assert 0.8 < float(toy._task(2, 2000, 30)[part].square().mean()) < 1.2
    table = toy.crossover(40, [5, 40], [0], samples=500, steps=300, batch=50)
    assert (table["trained_loss"] < 0.3).all()
    assert (table["wide_loss"] < 0.3).all()


def test_a_table_by_seed_and_size() -> None:
    """A seed's rows don't depend on the other seeds; the same call gives the same numbers."""
    sizes, both = [4, 12], toy.crossover(12, [4, 12], [0, 3], **SMALL)
    assert both[["size", "seed"]].to_numpy().tolist() == [[4, 0], [12, 0], [4, 3], [12, 3]]
    pd.testing.assert_frame_equal(both, toy.crossover(12, sizes, [0, 3], **SMALL))
    alone = toy.crossover(12, sizes, [3], **SMALL)
    pd.testing.assert_frame_equal(both[2:].reset_index(drop=True), alone, rtol=1e-4)
    assert both["wide_loss"].nunique() == 2
    trained = both["trained_loss"].to_numpy()
    assert len(set(trained)) == 4
    assert (both[both["size"] == 12]["trained_loss"] != both[both["size"] == 12]["wide_loss"]).all()


def test_all_neurons_picked_answer_like_the_wide_student() -> None:
    table = toy.crossover(6, [1, 6], [0, 1], **SMALL)
    wide = table[table["size"] == 6]
    assert wide["picked_loss"].to_numpy() == pytest.approx(wide["wide_loss"].to_numpy(), rel=0.1)
    one = table[table["size"] == 1]
    assert (one["picked_loss"] == one["picked_one_over_k_loss"]).all()  # one neuron: both take the nearest
    assert (one["picked_loss"].to_numpy() > wide["picked_loss"].to_numpy()).all()


@pytest.mark.parametrize("sizes", [[], [0, 3], [3, 13]])
def test_sizes_are_those_of_a_part(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="from 1 to the width 12"):
        toy.crossover(12, sizes, [0], **SMALL)
