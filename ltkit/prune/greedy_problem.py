"""What greedy selection works on and what it gives: contributions, their products, and paths (greedy_bounds.md 2, P3).

Neuron j contributes φ_j to what the next layer receives; the full layer gives t, the mean of all φ_j. A selection gives
neurons weights a that sum to 1; its *discrepancy* is D = ‖h − t‖² with h = Σ a_i φ_i. It starts at one neuron and moves
towards one neuron an iteration: a ← (1−γ)a + γe_j. All is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TIE = 1e-12  # discrepancies that differ by less, relative to them, are equal: the lowest index wins
NOISE = 32 * float(np.finfo(np.float64).eps)  # what products lose to rounding, relative to the largest ‖φ‖²


@dataclass(frozen=True, eq=False)
class Problem:
    """All that selection needs to know of N contributions φ and a target t; made by one of the `from_` functions."""

    gram: Floats  # (N, N): ⟨φ_i, φ_j⟩
    cross: Floats  # (N,): ⟨φ_i, t⟩
    target: float  # ‖t‖²


@dataclass(frozen=True, eq=False)
class Selection:
    """A path of K iterations and the N weights at its end."""

    picks: Ints  # (K,): the neuron of each iteration
    steps: Floats  # (K,): γ of each iteration, 1 for the first
    errors: Floats  # (K,): the discrepancy D after each iteration
    sizes: Ints  # (K,): how many distinct neurons have a weight after each iteration
    weights: Floats  # (N,): the final a; neuron j's outgoing weights are to be multiplied by N * a_j


def from_contributions(contributions: Any, target: Any = None) -> Problem:
    """The problem of contributions (N, M), a row a neuron, and a target (M,), by default their mean.

    Most bounds hold for the mean only (sheet P6). ValueError for what is no matrix of finite numbers.
    """
    phi = matrix(contributions)
    if target is None:
        return from_gram(phi @ phi.T)
    t = np.asarray(target, dtype=np.float64)
    return Problem(phi @ phi.T, phi @ t, float(t @ t))


def from_gram(gram: Any) -> Problem:
    """The problem of a Gram matrix (N, N), for instance one summed over batches; the target is the mean φ."""
    products = matrix(gram)
    cross = products.mean(axis=1)
    return Problem(products, cross, float(cross.mean()))


def from_linear(weight: Any, activations: Any) -> Problem:
    """The problem of N neurons before a linear layer: its weight (outputs, N), their activations (samples, N).

    That of the contributions N * activations[s, j] * weight[o, j], without building them (sheet P3).
    """
    w, a = matrix(weight), matrix(activations)
    return from_gram(w.shape[1] ** 2 * (w.T @ w) * (a.T @ a))


def move(weights: Floats, pick: int, gamma: float) -> None:
    """a ← (1−γ)a + γe_j, in place; a neuron that a negative step takes to 0 is exactly 0 after it."""
    weights *= 1 - gamma
    weights[pick] += gamma
    if gamma < 0 and weights[pick] < 1e-15 * (1 - gamma):
        weights[pick] = 0


def lowest(values: Floats, scale: float) -> int:
    """The first index whose value is the lowest, within TIE of it or of `scale`; NaN never is.

    ValueError where all are NaN.
    """
    least = float(np.fmin.reduce(values))  # nanmin's answer in a fifth of its time
    if math.isnan(least):
        raise ValueError("nothing can be picked by discrepancies that are no numbers")
    return int((values <= least + TIE * max(scale, abs(least))).argmax())


def prefix(selection: Selection, iterations: int) -> Selection:
    """A selection as it was after its first `iterations`."""
    picks, steps = selection.picks[:iterations], selection.steps[:iterations]
    weights = np.zeros_like(selection.weights)
    for pick, gamma in zip(picks, steps, strict=True):
        move(weights, int(pick), float(gamma))
    return Selection(picks, steps, selection.errors[:iterations], selection.sizes[:iterations], weights)


def explicit_errors(contributions: Any, selection: Selection, target: Any = None) -> Floats:
    """D after each iteration of a path, from h itself: free of the Gram form's floor, for tests of the bounds."""
    phi = matrix(contributions)
    t = mean_or(phi, target)
    h, errors = np.zeros_like(t), []
    for pick, gamma in zip(selection.picks, selection.steps, strict=True):
        h = (1 - gamma) * h + gamma * (phi[pick] - t)
        errors.append(float(h @ h))
    return np.array(errors)


def matrix(values: Any) -> Floats:
    """`values` as a float64 matrix; ValueError for what is none, is empty, or holds what is no finite number."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or 0 in found.shape:
        raise ValueError(f"a matrix with a row a neuron is needed, not one of shape {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError("contributions that are no finite numbers can't be selected from")
    return found


def mean_or(phi: Floats, target: Any) -> Floats:
    """The target (M,), by default the mean of the contributions (N, M)."""
    return phi.mean(axis=0) if target is None else np.asarray(target, dtype=np.float64)
