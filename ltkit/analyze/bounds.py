"""What is proved about greedy selection, and how fast its discrepancy falls (greedy_bounds.md sections 2 and P9).

The bounds B1 to B8 have the sheet's numbers and hold for t = mean of all φ_j; those of D are told for iterations
1, 2, ... of a path. B8 is a comparison (`ltkit.prune.greedy.least_squares`), B9 has no usable constant.

Which law a curve follows, ln D = α + β·k or ln D = α + β·ln k, is settled by the points that a fit hasn't seen: the
window is cut into five blocks of neighbours, each is predicted from the other four, and the law with the lower error
wins. R² and AIC see only points that were fitted, and as both laws have two parameters they rank alike; AIC would
moreover count neighbouring D as independent, which they aren't. For the same reason β's interval is the jackknife over
these blocks: it tells how much β changes along the curve. How β differs between layers is for several seeds to tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special
from scipy.spatial import ConvexHull

from ..prune.greedy import Floats, Selection

HULL_UP_TO = 8  # dimensions; a hull's facets grow out of hand beyond
BLOCKS = 5
FEWEST = 4  # points of a fit
FLOOR = 1e-12  # of ‖t‖²: D below it counts as none
CHANCE = 2.0  # a selection that gains less than this factor on random neurons gains nothing (ltkit's choice)
LEVEL = 0.95

Regime = Literal["exponential", "polynomial", "none"]


@dataclass(frozen=True)
class Geometry:
    """The numbers of N contributions that the bounds are made of."""

    neurons: int  # N
    dimension: int  # d of their affine hull
    diameter: float  # R: largest ‖φ_i − φ_j‖
    spread: float  # V: mean ‖φ_i − t‖²
    radius: float  # r of the largest ball around t in their hull; NaN if it isn't known
    target: float  # ‖t‖²

    @property
    def shrink(self) -> float:
        """B1's factor an iteration, 1 − r²/R²."""
        return 1 - (self.radius / self.diameter) ** 2 if self.diameter else float("nan")


def geometry(contributions: Any) -> Geometry:
    """The geometry of contributions (N, M). r is exact, and NaN where d > 8, unless they are a simplex (N = d + 1)."""
    phi = np.asarray(contributions, dtype=np.float64)
    t = phi.mean(axis=0)
    psi = phi - t
    left, values, _ = np.linalg.svd(psi, full_matrices=False)
    rounding = max(psi.shape) * np.finfo(np.float64).eps * max(values[0], np.abs(phi).max())
    d = int((values > rounding).sum())
    places = left[:, :d] * values[:d]  # the same points in d coordinates, t at the origin
    norms = np.einsum("nd,nd->n", places, places)
    apart = norms[:, None] + norms - 2 * places @ places.T
    diameter = float(np.sqrt(max(apart.max(), 0.0)))
    return Geometry(len(phi), d, diameter, float(norms.mean()), _radius(places), float(t @ t))


def _radius(places: Floats) -> float:
    """Distance of the origin, the mean of the points (N, d), to the nearest facet of their hull."""
    n, d = places.shape
    if d == 0:
        return 0.0
    if d == 1:
        return float(min(places.max(), -places.min()))
    if n == d + 1:  # facet i is where the barycentric coordinate of point i, 1/N at the mean, falls to 0
        gradients = np.linalg.inv(np.column_stack([places, np.ones(n)]))[:d]
        return float(1 / (n * np.linalg.norm(gradients, axis=0).max()))
    if 1 < d <= HULL_UP_TO:
        return float(-ConvexHull(places).equations[:, -1].max())
    return float("nan")


def b1(given: Geometry, first: float, iterations: int) -> Floats:
    """Line search: D_{k+1} <= (1 − r²/R²) D_k, so an exponential bound from D_1 = `first`; NaN without r."""
    return first * np.exp(np.log(given.shrink) * np.arange(iterations))


def b2(given: Geometry, iterations: int) -> Floats:
    """Line search, and the 1/k step with repeats: D_k <= V/k."""
    return given.spread / np.arange(1, iterations + 1)


def b3(given: Geometry, iterations: int) -> Floats:
    """The 1/k step with repeats: D_k <= ((R²/(2r) + R)/k)²; NaN without r."""
    radius, diameter = given.radius, given.diameter
    reach = diameter**2 / (2 * radius) + diameter if radius else float("nan")
    return (reach / np.arange(1, iterations + 1)) ** 2


def b4(errors: Floats) -> Floats:
    """Line search: D never rises, so each D is bounded by the one before; infinite for the first."""
    return np.concatenate([[np.inf], errors[:-1]])


def b5(neurons: Any, width: int) -> Floats:
    """Orthonormal contributions: the least D that n of N neurons can have is 1/n − 1/N. Exact, not a bound."""
    return 1 / np.asarray(neurons, dtype=np.float64) - 1 / width


def b6(given: Geometry) -> int:
    """d + 1 neurons suffice for D = 0 (Carathéodory); greedy selection need not find them."""
    return given.dimension + 1


def b7(spread: float, neurons: Any, width: int) -> Floats:
    """The expected D of n of N neurons chosen at random, equally weighted: (V/n)(N − n)/(N − 1)."""
    n = np.asarray(neurons, dtype=np.float64)
    return spread / n * (width - n) / max(width - 1, 1)


def excess(errors: Floats, bound: Floats, floor: float = 0.0) -> float:
    """The worst (D − bound)/bound along a path, where D > `floor`; never above rounding if the bound holds.

    NaN without a bound; -inf where nothing lies above the floor. B1 from step to step: `bound[1:]` is
    `shrink * errors[:-1]`.
    """
    if bound.size and np.isnan(bound).all():
        return float("nan")
    seen = (errors > floor) & np.isfinite(bound)
    with np.errstate(divide="ignore"):  # above a bound of 0: infinitely far
        return float(((errors - bound)[seen] / bound[seen]).max(initial=-np.inf))


def curve(selection: Selection, given: Geometry, rule: Literal["line", "one_over_k", "equal"]) -> pd.DataFrame:
    """Discrepancy against neurons with what is proved beside it, a row an iteration.

    Columns: `iteration`, `neurons` (distinct), `error` D, `relative` D/‖t‖², `b1`, `b2`, `b3` (NaN where not proved for
    this rule: "line" search; "one_over_k" with repeats; "equal" for the rest) and `b7`, the mean of random neurons.
    """
    errors, k = selection.errors, len(selection.errors)
    none = np.full(k, np.nan)
    return pd.DataFrame(
        {
            "iteration": np.arange(1, k + 1),
            "neurons": selection.sizes,
            "error": errors,
            "relative": errors / given.target if given.target else none,
            "b1": b1(given, float(errors[0]), k) if rule == "line" else none,
            "b2": none if rule == "equal" else b2(given, k),
            "b3": b3(given, k) if rule == "one_over_k" else none,
            "b7": b7(given.spread, selection.sizes, given.neurons),
        }
    )


@dataclass(frozen=True)
class Fit:
    """A straight line through ln D; all NaN if there are too few points."""

    slope: float  # β: change of ln D an iteration (semilog) or per unit of ln k (log-log)
    low: float  # 95 % interval of β, jackknife over blocks
    high: float
    r2: float
    held_out: float  # root mean square error of ln D, each block predicted from the others


def semilog(iterations: Any, errors: Any) -> Fit:
    """The exponential law, ln D against k. D must be positive."""
    return _fit(np.asarray(iterations, dtype=np.float64), np.log(np.asarray(errors, dtype=np.float64)))


def loglog(iterations: Any, errors: Any) -> Fit:
    """The polynomial law, ln D against ln k. D must be positive."""
    return _fit(np.log(np.asarray(iterations, dtype=np.float64)), np.log(np.asarray(errors, dtype=np.float64)))


def _fit(x: Floats, y: Floats) -> Fit:
    nan = float("nan")
    if len(x) < FEWEST:
        return Fit(nan, nan, nan, nan, nan)
    slope, at = _line(x, y)
    total = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float(((y - at - slope * x) ** 2).sum()) / total if total else nan
    slopes, missed = [], []
    for block in np.array_split(np.arange(len(x)), min(BLOCKS, len(x))):
        rest = np.delete(np.arange(len(x)), block)
        without, where = _line(x[rest], y[rest])
        slopes.append(without)
        missed.append(y[block] - where - without * x[block])
    folds = len(slopes)
    sd = float(np.sqrt((folds - 1) * np.var(slopes)))
    half = float(special.stdtrit(folds - 1, 0.5 + LEVEL / 2)) * sd
    held_out = float(np.sqrt((np.concatenate(missed) ** 2).mean()))
    return Fit(slope, slope - half, slope + half, r2, held_out)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept of least squares."""
    away = x - x.mean()
    slope = float(away @ y / (away @ away))
    return slope, float(y.mean() - slope * x.mean())


@dataclass(frozen=True)
class Decay:
    """How D falls along a path."""

    semilog: Fit
    loglog: Fit
    gain: float  # how many times below B7 (random neurons, as many) D lies: geometric mean over the window
    points: int  # iterations in the window
    neurons: int  # distinct neurons at its end
    regime: Regime


def decay(selection: Selection, spread: float, target: float) -> Decay:
    """Both laws fitted to a path over contributions of spread V and ‖t‖² = `target`, and its regime in a word.

    Window (P9): k >= 2 while D > 1e-12 ‖t‖², and while at most half of the neurons are in: with all of them in, D is 0
    whatever the picks. Regime: "none" if the gain on random neurons is below 2, or if D doesn't fall; else the law with
    the lower held-out error, whose slope has an interval of its own. A path that is at the floor before four points are
    in the window is "exponential"; ValueError for one whose window is that short for another reason.
    """
    width, errors, sizes = len(selection.weights), selection.errors, selection.sizes
    iterations = np.arange(1, len(errors) + 1)
    above = errors > FLOOR * target
    inside = np.logical_and.accumulate(above & ((sizes <= width / 2) | (iterations == 1)))
    end = int(inside.sum())  # the first index behind the window
    k, d, n = iterations[1:end], errors[1:end], sizes[1:end]
    exponential, polynomial = semilog(k, d), loglog(k, d)
    gain = float(np.exp(np.log(b7(spread, n, width) / d).mean())) if len(k) else float("nan")
    better: Regime = "exponential" if exponential.held_out < polynomial.held_out else "polynomial"
    slope = exponential.slope if better == "exponential" else polynomial.slope
    if gain < CHANCE or slope >= 0:
        better = "none"
    elif len(k) < FEWEST:
        if end == len(errors) or above[end]:
            raise ValueError(f"{len(k)} iterations with at most half of {width} neurons are too few to fit a decay")
        better = "exponential"
    return Decay(exponential, polynomial, gain, len(k), int(n.max(initial=1)), better)
