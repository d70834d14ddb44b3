"""Greedy forward selection of a layer's neurons (greedy_bounds.md P1 to P3).

The other parts have files of their own and are at hand here too: problems and paths (`greedy_problem`), least-squares
weights and the Taylor shortlist (`greedy_weights`), the baselines (`greedy_baselines`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .greedy_baselines import backward, norm, random
from .greedy_problem import (
    NOISE,
    Floats,
    Ints,
    Problem,
    Selection,
    explicit_errors,
    from_contributions,
    from_gram,
    from_linear,
    lowest,
    matrix,
    mean_or,
    move,
    prefix,
)
from .greedy_weights import least_squares, taylor

__all__ = [
    "Floats",
    "Ints",
    "Problem",
    "Selection",
    "backward",
    "direct",
    "explicit_errors",
    "from_contributions",
    "from_gram",
    "from_linear",
    "least_squares",
    "local_imitation",
    "norm",
    "one_over_k",
    "prefix",
    "random",
    "taylor",
]

REBUILD = 50  # iterations after which the Gram form computes its products afresh from the weights


def local_imitation(
    problem: Problem, steps: int, *, neurons: int | None = None, negative: bool = False, tol: float = 1e-12
) -> Selection:
    """Exact line search (sheet P1): each iteration takes the neuron and the γ that lower D most. O(N) an iteration.

    γ lies in [0, 1]; with `negative` in [−a_j/(1−a_j), 1], so that a neuron can shrink and leave. Ends after `steps`
    iterations, with `neurons` distinct ones, at D <= tol * ‖t‖², or when nothing lowers D. The Gram form can't see D
    below about 1e-14 of the largest ‖φ_j‖² and ends there too; `direct` goes on.
    """
    floor = max(tol * problem.target, NOISE * float(problem.gram.diagonal().max()))
    return _walk(*_gram_form(problem), _line(negative), steps, neurons, floor)


def direct(
    contributions: Any,
    steps: int,
    *,
    target: Any = None,
    neurons: int | None = None,
    negative: bool = False,
    tol: float = 1e-12,
) -> Selection:
    """`local_imitation` on the contributions (N, M) themselves: a product with all of them an iteration, O(N * M).

    The reference for the Gram form, and the one to measure deep decay with: it sees D down to about 1e-30.
    """
    phi = matrix(contributions)
    t = mean_or(phi, target)
    return _walk(*_direct_form(phi - t), _line(negative), steps, neurons, tol * float(t @ t))


def one_over_k(problem: Problem, steps: int, *, repeats: bool = True) -> Selection:
    """The predecessor's step (sheet P2): γ = 1/k at iteration k, so a neuron picked c times in k weighs c/k.

    Without `repeats`, as in the released code, every neuron is taken at most once and all weights are equal. D may
    rise, and all `steps` iterations are made; ValueError for more than N of them without repeats.
    """
    if not repeats and steps > len(problem.cross):
        raise ValueError(f"can't pick {steps} of {len(problem.cross)} neurons without repeats")

    def rule(k: int, slope: Floats, length: Floats, weights: Floats) -> Floats:
        return np.full_like(weights, 1 / k) if repeats else np.where(weights == 0, 1 / k, np.nan)

    return _walk(*_gram_form(problem), rule, steps, None, None)


# Both forms are told of each move and answer with q_i = ⟨φ_i − t, h − t⟩ and D; P3's q, p and ‖h‖² are these, shifted
# by t. A rule gives γ towards each neuron (NaN: not allowed) from k, ⟨t − h, φ_j − h⟩, ‖φ_j − h‖² and the weights.
Follow = Callable[[int, float, Floats], tuple[Floats, float]]
Rule = Callable[[int, Floats, Floats, Floats], Floats]


def _walk(
    norms: Floats, noise: Any, follow: Follow, rule: Rule, steps: int, neurons: int | None, floor: float | None
) -> Selection:
    """The greedy loop over `norms`, the ‖φ_j − t‖²; without a `floor` it goes on wherever D is, even upwards."""
    if steps < 1:
        raise ValueError(f"a selection takes at least one step, not {steps}")
    picks: list[int] = []
    gammas: list[float] = []
    errors: list[float] = []
    sizes: list[int] = []
    weights = np.zeros(len(norms))
    j, gamma = lowest(norms, 0.0), 1.0
    for k in range(1, steps + 1):
        move(weights, j, gamma)
        q, error = follow(j, gamma, weights)
        picks.append(j)
        gammas.append(gamma)
        errors.append(error)
        sizes.append(int(np.count_nonzero(weights)))
        if k == steps or sizes[-1] == neurons or (floor is not None and error <= floor):
            break
        slope, length = error - q, norms - 2 * q + error
        length[length <= noise] = 0
        towards = rule(k + 1, slope, length, weights)
        after = error - 2 * towards * slope + towards**2 * length
        j = lowest(after, error)
        if floor is not None and after[j] >= error:
            break
        gamma = float(towards[j])
    return Selection(np.array(picks), np.array(gammas), np.array(errors), np.array(sizes), weights)


def _gram_form(problem: Problem) -> tuple[Floats, float, Follow]:
    gram, b, c = problem.gram, problem.cross, problem.target
    norms = gram.diagonal() - 2 * b + c
    q, error, moves = np.zeros(len(b)), 0.0, 0

    def follow(j: int, gamma: float, weights: Floats) -> tuple[Floats, float]:
        nonlocal q, error, moves
        error = (1 - gamma) ** 2 * error + 2 * gamma * (1 - gamma) * float(q[j]) + gamma**2 * float(norms[j])
        towards = gram[j] - b
        towards -= b[j]
        towards += c
        q = (1 - gamma) * q + gamma * towards
        moves += 1
        if moves % REBUILD == 0:
            used = np.flatnonzero(weights)
            q = weights[used] @ gram[used] - b - weights @ b + c
            error = float(weights @ q)
        error = max(error, 0.0)
        return q, error

    return norms, NOISE * float(gram.diagonal().max()), follow


def _direct_form(psi: Floats) -> tuple[Floats, Floats, Follow]:
    norms = np.einsum("nm,nm->n", psi, psi)
    h = np.zeros(psi.shape[1])

    def follow(j: int, gamma: float, weights: Floats) -> tuple[Floats, float]:
        nonlocal h
        h = (1 - gamma) * h + gamma * psi[j]
        return psi @ h, float(h @ h)

    return norms, NOISE * norms, follow


def _line(negative: bool) -> Rule:
    """γ of the exact line search; 0 towards a neuron that is where h is."""

    def rule(k: int, slope: Floats, length: Floats, weights: Floats) -> Floats:
        best = np.divide(slope, length, out=np.zeros_like(slope), where=length > 0)
        others = 1 - weights
        low = np.divide(-weights, others, out=np.zeros_like(others), where=others > 0) if negative else 0.0
        return np.minimum(np.maximum(best, low), 1.0)  # np.clip takes longer to begin than to compute

    return rule
