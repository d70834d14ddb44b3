"""Baselines that greedy selection is compared with: neurons in some order, equally weighted (greedy_bounds.md P8)."""

from __future__ import annotations

import numpy as np
import torch

from .greedy_problem import Ints, Problem, Selection, lowest


def random(problem: Problem, neurons: int, generator: torch.Generator) -> Selection:
    """Baseline: neurons in random order, equal weights at every length of the path."""
    return _equal(problem, torch.randperm(len(problem.cross), generator=generator).numpy(), neurons)


def norm(problem: Problem, neurons: int) -> Selection:
    """Baseline: the neurons with the largest ‖φ_j‖ first (of equals the lower index), equal weights."""
    return _equal(problem, np.argsort(-problem.gram.diagonal(), kind="stable"), neurons)


def backward(problem: Problem, neurons: int) -> Selection:
    """Baseline: from all neurons, drop the one without which the rest, equally weighted, have the least D.

    Told forwards: the first n picks are the n neurons that are left last. O(N) for each neuron dropped.
    """
    gram, b, c = problem.gram, problem.cross, problem.target
    norms, left = gram.diagonal(), np.ones(len(b), dtype=bool)
    dropped: list[int] = []
    q, p = gram.sum(axis=1), float(b.sum())
    hh = float(q.sum())
    for m in range(len(b) - 1, 0, -1):
        after = (hh - 2 * q + norms) / m**2 - 2 * (p - b) / m + c
        j = lowest(np.where(left, after, np.nan), 0.0)
        hh, p, q = hh - 2 * float(q[j]) + float(norms[j]), p - float(b[j]), q - gram[j]
        left[j] = False
        dropped.append(j)
    return _equal(problem, np.array([*np.flatnonzero(left), *reversed(dropped)]), neurons)


def _equal(problem: Problem, order: Ints, neurons: int) -> Selection:
    """The path that takes neurons in this order with γ = 1/k, so that their weights are equal."""
    if not 1 <= neurons <= len(order):
        raise ValueError(f"can't pick {neurons} of {len(order)} neurons")
    picks, counts = order[:neurons], np.arange(1, neurons + 1)
    gram = problem.gram[np.ix_(picks, picks)]
    hh = (2 * np.tril(gram, -1).sum(axis=1) + gram.diagonal()).cumsum() / counts**2
    errors = hh - 2 * problem.cross[picks].cumsum() / counts + problem.target
    weights = np.zeros(len(order))
    weights[picks] = 1 / neurons
    return Selection(picks, 1 / counts, np.maximum(errors, 0.0), counts, weights)
