"""How far apart trained networks are, over the weights they share (mode_connectivity.md section 2 and P7).

Two networks under masks m1 and m2 are compared on m = m1·m2 only. Beside each distance stands its null: what it would
be if both had moved from the same initial weights as far as they did, in directions that have nothing in common.
"Similar" means clearly below that, since two short walks from one place always end close to each other (section 7.1).

    angle       (2/π)·∠, 0 the same direction, 1 orthogonal, 2 opposed; scale-free
    cosine      1 − cos ∠, from 0 to 2
    euclidean   ‖θ1 − θ2‖, in the unit of the weights
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..errors import UserError, nearest


def angle(a: Tensor, b: Tensor) -> float:
    """Angular distance of two vectors (N,), from 0 to 2; NaN if one of them is all zeros."""
    a, b = a.double() / a.double().norm(), b.double() / b.double().norm()
    # Not the arc cosine, which loses half of all digits where two directions are almost the same.
    return 4 / math.pi * math.atan2(float((a - b).norm()), float((a + b).norm()))


def cosine(a: Tensor, b: Tensor) -> float:
    """1 − cosine similarity of two vectors (N,), from 0 to 2; NaN if one of them is all zeros."""
    return 1 - math.cos(math.pi / 2 * angle(a, b))


def euclidean(a: Tensor, b: Tensor) -> float:
    """‖a − b‖ of two vectors (N,)."""
    return float((a.double() - b.double()).norm())


def null_angle(d1: float, d2: float) -> float:
    """Angular distance of two networks at angles d1 and d2 from one init, displaced in orthogonal directions.

    (2/π)·arccos(cos(πd1/2)·cos(πd2/2)), mode_connectivity.md section 2.
    """
    return 2 / math.pi * math.acos(math.cos(math.pi * d1 / 2) * math.cos(math.pi * d2 / 2))


def _null_cosine(d1: float, d2: float) -> float:
    return 1 - (1 - d1) * (1 - d2)  # the null angle's cosine is the product of both


MEASURES: dict[str, tuple[Callable[[Tensor, Tensor], float], Callable[[float, float], float]]] = {
    "angle": (angle, null_angle),
    "cosine": (cosine, _null_cosine),
    "euclidean": (euclidean, math.hypot),
}


def matrix(
    states: Mapping[Any, Mapping[str, Tensor]],
    masks: Mapping[Any, Mapping[str, Tensor]],
    names: Iterable[str],
    init: Mapping[str, Tensor],
    measure: str = "angle",
) -> pd.DataFrame:
    """The distance of all pairs of `states` (rounds) and of each to `init`, over the tensors `names`: a row a pair.

    `masks` has the mask each state was trained under, by the same keys ({}: dense); the init has none. Columns: a, b
    (keys; "init" for the init, which comes first), shared (weights that both keep), distance, null (from both
    distances to the init on the weights that a and b share; NaN beside the init itself). For a re-initialized series
    `init` is its own θ_0'. UserError for an unknown measure.
    """
    if measure not in MEASURES:
        raise UserError(f"unknown measure '{measure}'{nearest(measure, MEASURES)}; known: {', '.join(MEASURES)}")
    if "init" in states:
        raise ValueError("a state can't be called 'init'")
    distance, null = MEASURES[measure]
    names = list(names)
    vectors = {key: _flat(state, names) for key, state in states.items()}
    kept = {key: _kept(masks[key], states[key], names) for key in states}
    origin = _flat(init, names)
    rows = []
    keys = list(states)
    for key in keys:
        alive = kept[key]
        rows.append(("init", key, int(alive.sum()), distance(origin[alive], vectors[key][alive]), math.nan))
    for index, a in enumerate(keys):
        for b in keys[index + 1 :]:
            shared = kept[a] & kept[b]
            one, two, start = vectors[a][shared], vectors[b][shared], origin[shared]
            expected = null(distance(start, one), distance(start, two))
            rows.append((a, b, int(shared.sum()), distance(one, two), expected))
    return pd.DataFrame(rows, columns=["a", "b", "shared", "distance", "null"])


def _flat(state: Mapping[str, Tensor], names: list[str]) -> Tensor:
    return torch.cat([state[name].detach().flatten() for name in names])


def _kept(mask: Mapping[str, Tensor], state: Mapping[str, Tensor], names: list[str]) -> Tensor:
    return torch.cat(
        [mask[n].flatten() if n in mask else torch.ones(state[n].numel(), dtype=torch.bool) for n in names]
    )


def square(table: pd.DataFrame, column: str = "distance", diagonal: float = 0.0) -> pd.DataFrame:
    """A `matrix` table as a symmetric square, keys in their order on both sides: for a heat map, or for `mds`."""
    keys = list(dict.fromkeys([*table["a"], *table["b"]]))
    place = {key: index for index, key in enumerate(keys)}
    values = np.full((len(keys), len(keys)), np.nan)
    np.fill_diagonal(values, diagonal)
    for a, b, value in zip(table["a"], table["b"], table[column], strict=True):
        values[place[a], place[b]] = values[place[b], place[a]] = value
    return pd.DataFrame(values, index=keys, columns=keys)


def mds(distances: pd.DataFrame, dimensions: int = 2) -> pd.DataFrame:
    """Points whose distances come close to a symmetric square of distances: a row a key, columns x1, x2, ...

    Classical scaling (Torgerson): exact for Euclidean distances in `dimensions` dimensions, deterministic, axes in the
    order of their spread, the largest coordinate of each positive. Angles are no distances in a plane: it is a picture,
    no measure. ValueError for missing or asymmetric distances.
    """
    values = distances.to_numpy(dtype=float)
    if not np.isfinite(values).all() or not np.allclose(values, values.T):
        raise ValueError("distances must be a symmetric square without gaps")
    size = len(values)
    center = np.eye(size) - 1 / size
    spread, axes = np.linalg.eigh(-0.5 * center @ values**2 @ center)
    first = np.argsort(-spread, kind="stable")[:dimensions]
    points = axes[:, first] * np.sqrt(spread[first].clip(min=0))
    largest = points[np.abs(points).argmax(0), range(points.shape[1])]
    points = points * np.where(largest < 0, -1, 1)
    return pd.DataFrame(points, index=distances.index, columns=[f"x{n + 1}" for n in range(points.shape[1])])
