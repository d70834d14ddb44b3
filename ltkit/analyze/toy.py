"""Neurons picked from a wide network against networks trained at that size (greedy_bounds.md F14, P's toy figure).

A two-layer ReLU regression in the mean form, f(x) = (1/n) Σ b_i relu(w_i·x), on targets of another such network, the
teacher, as wide as the wide student. What the sheet leaves open is ltkit's choice: 10 normal inputs, no noise, targets
of mean square 1, so that a network that answers 0 has loss 1. Nothing is tuned after picking.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from torch import Tensor

from ..prune import greedy
from ..prune.greedy_stops import at
from ..seeds import generator

threshold_backward = torch.ops.aten.threshold_backward.grad_input  # ReLU's own gradient, in place
INPUTS, TESTS = 10, 2000
MOMENTUM = 0.9
LONGEST = 8  # iterations of a selection for each neuron of the largest size, at most

Net = tuple[Tensor, Tensor]  # w (n, INPUTS) and b (n,)


def crossover(
    width: int,
    sizes: Iterable[int],
    seeds: Iterable[int],
    *,
    samples: int = 2000,
    steps: int = 1500,
    batch: int = 50,
    lr: float = 0.4,
) -> pd.DataFrame:
    """Test losses of networks of each size, picked from a student of `width` neurons or trained: a row (size, seed).

    Columns: `size`, `seed`, and mean squared errors on 2000 new inputs. `picked_loss`: line search on the wide
    student's own answers to the training inputs, no labels; the best iteration with `size` distinct neurons, or with as
    many below that as the path has. `picked_one_over_k_loss`: the same by the 1/k step with repeats. `trained_loss`: a
    student of that size. `wide_loss`: the wide student. All students of a seed see the same `samples` in the same order
    and make as many `steps`; the seed is that of teacher, data and initial weights. ValueError for a size that isn't
    from 1 to `width`.
    """
    sizes, seeds = list(sizes), list(seeds)
    if not sizes or not 1 <= min(sizes) <= max(sizes) <= width:
        raise ValueError(f"sizes must be from 1 to the width {width}, not {sizes}")
    tasks = [_task(seed, samples, width) for seed in seeds]
    x, y = (torch.stack(part) for part in zip(*[(x, y) for x, y, _, _ in tasks], strict=True))
    rows: list[tuple[float, ...]] = []
    for seed, task, students in zip(seeds, tasks, train(x, y, [*sizes, width], seeds, steps, batch, lr), strict=True):
        wide, tests, wanted = students[-1], task[2], task[3]
        problem = greedy.from_contributions(_neurons(wide, task[0]).T.double().numpy())
        answers = _neurons(wide, tests).double()
        paths = (
            greedy.local_imitation(problem, LONGEST * max(sizes), neurons=max(sizes) + 1),
            greedy.one_over_k(problem, LONGEST * max(sizes)),
        )
        for size, student in zip(sizes, students[:-1], strict=True):
            picked = (answers @ torch.from_numpy(at(path, size).weights) for path in paths)
            given = (*picked, _neurons(student, tests).mean(1), answers.mean(1))
            rows.append((size, seed, *(float((f - wanted).square().mean()) for f in given)))
    names = ("size", "seed", "picked_loss", "picked_one_over_k_loss", "trained_loss", "wide_loss")
    return pd.DataFrame(rows, columns=names)


def train(
    x: Tensor, y: Tensor, sizes: Sequence[int], seeds: Sequence[int], steps: int, batch: int, lr: float
) -> list[list[Net]]:
    """Students of all sizes, for each of R seeds, on inputs (R, samples, INPUTS) and targets (R, samples).

    Gradient descent with momentum on the mean squared error of a `batch` of samples at a time, in turns. A neuron's
    step is n times its gradient, which has the same speed at all sizes (the mean-field limit), and falls from `lr` to 0
    as a half cosine. One program for all: the students of a seed lie behind one another, seeds are a batch of products.
    """
    counts = torch.tensor(sizes)
    student = torch.arange(len(sizes)).repeat_interleave(counts)
    share = torch.zeros(len(student), len(sizes))
    share[torch.arange(len(student)), student] = 1 / counts[student]
    draws = [generator("toy", "start", seed) for seed in seeds]
    w = torch.stack([torch.randn(len(student), INPUTS, generator=draw) for draw in draws])
    b = torch.stack([torch.randn(len(student), generator=draw) for draw in draws])
    moved = [torch.zeros_like(w), torch.zeros_like(b)]
    for step in range(steps):
        begin = step * batch % x.shape[1]
        some, wanted = x[:, begin : begin + batch], y[:, begin : begin + batch]
        h = torch.bmm(w, some.transpose(1, 2)).clamp_(min=0)
        missed = torch.bmm((b.unsqueeze(2) * share).transpose(1, 2), h) - wanted.unsqueeze(1)
        slope = missed.mul_(2 / some.shape[1]).index_select(1, student)  # a fifth of missed[:, student]'s time
        down = torch.linalg.vecdot(h, slope)
        threshold_backward(slope, h, 0, grad_input=slope)  # 0 where h is: a tenth of a product with h > 0
        inward = torch.bmm(slope, some).mul_(b.unsqueeze(2))
        rate = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        for weights, past, gradient in ((w, moved[0], inward), (b, moved[1], down)):
            weights.sub_(past.mul_(MOMENTUM).add_(gradient), alpha=rate)
    return [list(zip(w[r].split(list(sizes)), b[r].split(list(sizes)), strict=True)) for r in range(len(seeds))]


def _task(seed: int, samples: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training inputs and targets, test inputs and targets."""
    draw = generator("toy", "task", seed)
    teacher = torch.randn(width, INPUTS, generator=draw), torch.randn(width, generator=draw)
    x = torch.randn(samples + TESTS, INPUTS, generator=draw) / math.sqrt(INPUTS)
    y = _neurons(teacher, x).mean(1)
    y = y / y.square().mean().sqrt()
    return x[:samples], y[:samples], x[samples:], y[samples:]


def _neurons(net: Net, x: Tensor) -> Tensor:
    """What each neuron contributes on inputs (samples, INPUTS): (samples, n); the network's answer is their mean."""
    w, b = net
    return (x @ w.T).relu() * b
