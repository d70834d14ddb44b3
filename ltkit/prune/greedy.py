"""Greedy forward selection of a layer's neurons, and what it is compared with (greedy_bounds.md sections 2 and 3).

Neuron j contributes φ_j to what the next layer receives; the full layer gives t, the mean of all φ_j. A selection gives
neurons weights a that sum to 1; its *discrepancy* is D = ‖h − t‖² with h = Σ a_i φ_i. It starts at one neuron and moves
towards one neuron an iteration: a ← (1−γ)a + γe_j. All is float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TIE = 1e-12  # discrepancies that differ by less, relative to them, are equal: the lowest index wins
REBUILD = 50  # iterations after which the Gram form computes its products afresh from the weights
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
    phi = _matrix(contributions)
    if target is None:
        return from_gram(phi @ phi.T)
    t = np.asarray(target, dtype=np.float64)
    return Problem(phi @ phi.T, phi @ t, float(t @ t))


def from_gram(gram: Any) -> Problem:
    """The problem of a Gram matrix (N, N), for instance one summed over batches; the target is the mean φ."""
    products = _matrix(gram)
    cross = products.mean(axis=1)
    return Problem(products, cross, float(cross.mean()))


def from_linear(weight: Any, activations: Any) -> Problem:
    """The problem of N neurons before a linear layer: its weight (outputs, N), their activations (samples, N).

    That of the contributions N * activations[s, j] * weight[o, j], without building them (sheet P3).
    """
    w, a = _matrix(weight), _matrix(activations)
    return from_gram(w.shape[1] ** 2 * (w.T @ w) * (a.T @ a))


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
    phi = _matrix(contributions)
    t = _target(phi, target)
    return _walk(*_direct_form(phi - t), _line(negative), steps, neurons, tol * float(t @ t))


def one_over_k(problem: Problem, steps: int, *, repeats: bool = True) -> Selection:
    """The predecessor's step (sheet P2): γ = 1/k at iteration k, so a neuron picked c times in k weighs c/k.

    Without `repeats`, as in the released code, every neuron is taken at most once and all weights are equal. D may
    rise, and all `steps` iterations are made; ValueError for more than N of them without repeats.
    """
    if not repeats and steps > len(problem.cross):
        raise ValueError(f"can't pick {steps} of {len(problem.cross)} neurons without repeats")

    def rule(k: int, slope: Floats, length: Floats, weights: Floats) -> Floats:
        return np.where((weights == 0) | repeats, 1 / k, np.nan)

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
    j, gamma = _lowest(norms, 0.0), 1.0
    for k in range(1, steps + 1):
        _move(weights, j, gamma)
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
        j = _lowest(after, error)
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
        q = (1 - gamma) * q + gamma * (gram[j] - b - b[j] + c)
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
        return np.clip(best, low, 1.0)

    return rule


def _move(weights: Floats, pick: int, gamma: float) -> None:
    """a ← (1−γ)a + γe_j, in place; a neuron that a negative step takes to 0 is exactly 0 after it."""
    weights *= 1 - gamma
    weights[pick] += gamma
    if gamma < 0 and weights[pick] < 1e-15 * (1 - gamma):
        weights[pick] = 0


def _lowest(values: Floats, scale: float) -> int:
    """The first index whose value is the lowest, within TIE of it or of `scale`; NaN never is."""
    least = float(np.nanmin(values))
    return int(np.argmax(values <= least + TIE * max(scale, abs(least))))


def prefix(selection: Selection, iterations: int) -> Selection:
    """A selection as it was after its first `iterations`."""
    picks, steps = selection.picks[:iterations], selection.steps[:iterations]
    weights = np.zeros_like(selection.weights)
    for pick, gamma in zip(picks, steps, strict=True):
        _move(weights, int(pick), float(gamma))
    return Selection(picks, steps, selection.errors[:iterations], selection.sizes[:iterations], weights)


def explicit_errors(contributions: Any, selection: Selection, target: Any = None) -> Floats:
    """D after each iteration of a path, from h itself: free of the Gram form's floor, for tests of the bounds."""
    phi = _matrix(contributions)
    t = _target(phi, target)
    h, errors = np.zeros_like(t), []
    for pick, gamma in zip(selection.picks, selection.steps, strict=True):
        h = (1 - gamma) * h + gamma * (phi[pick] - t)
        errors.append(float(h @ h))
    return np.array(errors)


def least_squares(problem: Problem, selection: Selection) -> Selection:
    """The same neurons with the weights of least D, whatever their signs and sum: never worse (sheet B8).

    Only `weights` and the last of `errors` change. Unlike weights of sum 1, these are not indifferent to a shift of all
    contributions, such as a bias (trap 8).
    """
    used = np.flatnonzero(selection.weights)
    a, gram = selection.weights[used], problem.gram[np.ix_(used, used)]
    # A correction to the weights at hand, not new ones: what rounding hides then stays as it is and D can't rise.
    slope = problem.cross[used] - gram @ a
    values, vectors = np.linalg.eigh(gram)
    clear = values > len(used) * NOISE * values[-1]
    along = slope @ vectors[:, clear]
    weights, errors = selection.weights.copy(), selection.errors.copy()
    weights[used] += vectors[:, clear] @ (along / values[clear])
    errors[-1] = max(errors[-1] - float(along @ (along / values[clear])), 0.0)
    return replace(selection, weights=weights, errors=errors)


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
        j = _lowest(np.where(left, after, np.nan), 0.0)
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


def taylor(
    weights: Floats,
    gradient: Floats,
    discrepancy: Callable[[Floats], Any],
    *,
    steps: Sequence[float],
    shortlist: int,
) -> tuple[int, float, float]:
    """The next neuron by a Taylor shortlist with exact re-check (sheet P4, P5), for any discrepancy: (j, γ, D after).

    `gradient` (N,) is that of the discrepancy at `weights` (N,). The `shortlist` neurons with the lowest slope along
    e_j − a are tried with every γ of `steps`: `discrepancy` takes these C candidates' weights (C, N) and returns their
    C values. Ties: the lower index, then the earlier γ. Slopes rank like discrepancies for small γ or neurons about as
    far from h as each other; the list errs where lengths differ widely, and where the gradient is 0 (a = 1/N).
    """
    scores = gradient - float(gradient @ weights)
    listed = np.sort(np.argsort(scores, kind="stable")[:shortlist])
    tried = [(int(j), gamma) for j in listed for gamma in steps]
    candidates = np.repeat(weights[None], len(tried), axis=0)
    for row, (j, gamma) in zip(candidates, tried, strict=True):
        _move(row, j, gamma)
    found = np.asarray(discrepancy(candidates), dtype=np.float64)
    best = _lowest(found, 0.0)
    return *tried[best], float(found[best])


def _matrix(values: Any) -> Floats:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"a matrix with a row a neuron is needed, not one of shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("contributions that are no finite numbers can't be selected from")
    return matrix


def _target(phi: Floats, target: Any) -> Floats:
    return phi.mean(axis=0) if target is None else np.asarray(target, dtype=np.float64)
