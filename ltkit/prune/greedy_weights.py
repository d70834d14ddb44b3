"""What derivatives add to greedy selection: the best weights of the neurons that were picked, and a shortlist of the
neurons that are worth trying (greedy_bounds.md B8, P5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .greedy_problem import NOISE, Floats, Ints, Problem, Selection, lowest, move


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


def listed(weights: Floats, gradient: Floats, shortlist: int) -> Ints:
    """The `shortlist` neurons with the lowest slope of the discrepancy along e_j − a (sheet P5), ascending."""
    scores = gradient - float(gradient @ weights)
    return np.sort(np.argsort(scores, kind="stable")[:shortlist])


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
    tried = [(int(j), gamma) for j in listed(weights, gradient, shortlist) for gamma in steps]
    candidates = np.repeat(weights[None], len(tried), axis=0)
    for row, (j, gamma) in zip(candidates, tried, strict=True):
        move(row, j, gamma)
    found = np.asarray(discrepancy(candidates), dtype=np.float64)
    best = lowest(found, 0.0)
    return *tried[best], float(found[best])
