"""The plane through three solutions in weight space, and the loss on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from torch import Tensor

from ..train.evaluate import Score
from .path import State, error


@dataclass(frozen=True)
class Plane:
    """Three states and their coordinates (3, 2) in the orthonormal basis that Gram-Schmidt makes of b − a and c − a.

    a is the origin, b lies on the first axis, c above it. One unit is one unit of Euclidean distance between weights.
    """

    a: State
    b: State
    c: State
    points: np.ndarray

    def at(self, x: float, y: float) -> dict[str, Tensor]:
        """The state at coordinates (x, y); at the three points the very weights."""
        along, (across, height) = self.points[1, 0], self.points[2]
        of_c = float(y / height)
        of_b = float((x - of_c * across) / along)
        of_a = 1 - of_b - of_c
        return {name: of_a * t + of_b * self.b[name] + of_c * self.c[name] for name, t in self.a.items()}


def plane(a: State, b: State, c: State, names: Iterable[str]) -> Plane:
    """The plane through three states, distances measured over the tensors `names`.

    Leave BatchNorm's running statistics out of `names`. They move along with the weights, but outside the triangle a
    variance may fall below 0: recompute them. ValueError if the three lie on one line.
    """
    names = list(names)
    along = math.sqrt(_dot(a, b, b, names))
    reach = _dot(a, c, c, names)
    across = _dot(a, b, c, names) / along if along else 0.0
    square = reach - across**2
    if not square > 1e-12 * reach or not along:
        raise ValueError("three states on one line span no plane")
    return Plane(a, b, c, np.array([[0.0, 0.0], [along, 0.0], [across, math.sqrt(square)]]))


def _dot(origin: State, one: State, two: State, names: list[str]) -> float:
    """<one − origin, two − origin>"""
    return math.fsum(float(((one[n] - origin[n]).double() * (two[n] - origin[n]).double()).sum()) for n in names)


def surface(
    on: Plane, score: Callable[[Iterable[State]], list[Score]], points: int = 15, margin: float = 0.25
) -> pd.DataFrame:
    """Error (percent) and loss (nats) on a grid of points × points states: a row a state, columns x, y, error, loss.

    The grid spans the three solutions and `margin` of their extent on every side. `score` evaluates states in order,
    such as functools.partial of `ltkit.analyze.path.scores`; they are made one by one as it asks for them.
    """
    low, high = on.points.min(0), on.points.max(0)
    edge = margin * (high - low)
    axes = [np.linspace(start, stop, points).tolist() for start, stop in zip(low - edge, high + edge, strict=True)]
    grid = list(product(*axes))
    states: Iterator[State] = (on.at(x, y) for x, y in grid)
    rows = [(x, y, error(s), s.loss) for (x, y), s in zip(grid, score(states), strict=True)]
    return pd.DataFrame(rows, columns=["x", "y", "error", "loss"])
