"""How fast the discrepancy of single layers falls: curves, rates, bounds, weights, and the regimes of synthetic layers.

Errors are relative, D/‖t‖². Nothing here trains; every table is a function of the walks in `greedy_bounds_layers`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ..analyze import bounds, regimes
from ..analyze.toy import crossover as two_layer_toy
from ..lab import Lab
from ..lab.measured import measured
from ..prune import greedy
from ..prune.greedy import Floats, Selection
from ..prune.greedy_problem import move
from .greedy_bounds import runs
from .greedy_bounds_layers import METHODS, Walk, reached, standard_errors, walks
from .greedy_bounds_params import Params
from .greedy_bounds_workers import side_by_side

Rows: TypeAlias = pd.DataFrame

LABELS = ["source", "network", "layer", "width", "dimension", "seed"]
CURVES = [*LABELS, "method", "iteration", "neurons", "relative", "b1", "b2", "b3", "b7"]
LAWS = [f"{law}{end}" for law in ("semilog", "loglog") for end in ("", "_low", "_high", "_r2")]
RATES = [*LABELS, "method", "points", "neurons", *LAWS, "gain", "regime"]
WEIGHTS = [*LABELS, "method", "neurons", "relative", "least_squares", "run"]
BOUNDS = [*LABELS, "rank", "radius", "b1", "b2", "b3", "b4", "b5", "b7", "run"]

GREEDY = ("line", "negative", "one_over_k", "no_repeats")  # the methods whose decay is fitted
SIZES = (5, 10, 20, 50, 100)  # distinct neurons at which methods are compared, half of the layer at most
DENSE = 30  # iterations up to which a curve has all of them; from there on every twentieth part
DRAWS = 1000
ALLOWED = 1e-12  # F4's and F5's unit
RULES: dict[str, Any] = {"line": "line", "negative": "line", "one_over_k": "one_over_k"}
ORTHONORMAL = (8, 50)


@measured(runs)
def curves(params: Params, lab: Lab) -> Rows:
    """Relative error along every path with what is proved about it: columns `CURVES`, a row an iteration.

    After iteration 30 rows get rarer, as on a logarithmic axis. method least_squares: line search's neurons with the
    weights of least error, at some sizes.
    """
    parts: list[dict[str, Any]] = []
    for walk in walks(params, lab):
        parts += [_curve(walk, method) for method in METHODS]
        parts.append(_refitted(walk))
    # Column by column: a frame for each of a thousand paths would take most of the time.
    return pd.DataFrame({name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in CURVES})


def _curve(walk: Walk, method: str) -> dict[str, Any]:
    path = walk.paths[method]
    rows = bounds.curve(path, walk.given, RULES.get(method, "equal"))
    count = len(rows)
    kept = np.array([k for k in range(count) if k < DENSE or k == count - 1 or _tick(k + 1)])
    told = {name: rows[name].to_numpy()[kept] for name in ("iteration", "neurons", "relative")}
    told |= {name: rows[name].to_numpy()[kept] / walk.given.target for name in ("b1", "b2", "b3", "b7")}
    return _named(walk, method, len(kept)) | told


def _named(walk: Walk, method: str, count: int) -> dict[str, Any]:
    labels = {**walk.layer.labels, "method": method}
    return {
        name: np.full(count, value, dtype=object if isinstance(value, str) else None) for name, value in labels.items()
    }


def _tick(k: int) -> bool:
    return math.floor(20 * math.log(k)) > math.floor(20 * math.log(k - 1))


def _refitted(walk: Walk) -> dict[str, Any]:
    reaches = [(n, reached(walk.paths["line"], n)) for n in sizes(walk)]
    found = [(len(path.picks), neurons, refit(walk, path)) for neurons, path in reaches if path is not None]
    iteration, neurons, relative = np.array(found, dtype=float).reshape(-1, 3).T
    told = {"iteration": iteration.astype(int), "neurons": neurons.astype(int), "relative": relative}
    none = np.full(len(found), np.nan)
    return _named(walk, "least_squares", len(found)) | told | dict.fromkeys(("b1", "b2", "b3", "b7"), none)


def sizes(walk: Walk) -> list[int]:
    """The sizes at which a layer's methods are compared."""
    return [n for n in SIZES if n <= len(walk.layer.phi) / 2]


def refit(walk: Walk, path: Selection) -> float:
    """The relative error of a path's neurons with the weights of least error, from h itself."""
    used, t = np.flatnonzero(path.weights), walk.layer.phi.mean(axis=0)
    phi = walk.layer.phi[used]
    few = replace(path, weights=path.weights[used])
    away = greedy.least_squares(greedy.from_contributions(phi, t), few).weights @ phi - t
    return float(away @ away) / walk.given.target


@measured(runs)
def rates(params: Params, lab: Lab) -> Rows:
    """How the error of greedy methods decays: columns `RATES`, a row a fitted path (`ltkit.analyze.bounds.decay`).

    Layers too narrow for a fit are left out.
    """
    rows = []
    for walk in walks(params, lab):
        for method in GREEDY:
            try:
                found = bounds.decay(walk.paths[method], walk.given.spread, walk.given.target)
            except ValueError:  # too few iterations with at most half of the neurons
                continue
            told: dict[str, Any] = {"method": method, "points": found.points, "neurons": found.neurons}
            for law, fit in (("semilog", found.semilog), ("loglog", found.loglog)):
                told |= {law: fit.slope, f"{law}_low": fit.low, f"{law}_high": fit.high, f"{law}_r2": fit.r2}
            rows.append({**walk.layer.labels, **told, "gain": found.gain, "regime": found.regime})
    return pd.DataFrame(rows, columns=RATES)


@measured(runs)
def weights(params: Params, lab: Lab) -> Rows:
    """Methods at equal sizes, before and after least squares: columns `WEIGHTS`, a row a layer, method and size."""
    rows = []
    for walk in walks(params, lab):
        for method in METHODS:
            for neurons in sizes(walk):
                if (path := reached(walk.paths[method], neurons)) is None:
                    continue
                told = {"relative": path.errors[-1] / walk.given.target, "least_squares": refit(walk, path)}
                labels = {**walk.layer.labels, "method": method, "neurons": neurons}
                rows.append({**labels, **told, "run": walk.layer.run})
    return pd.DataFrame(rows, columns=WEIGHTS)


@measured(runs)
def holds(params: Params, lab: Lab) -> Rows:
    """The proved bounds on every layer, as claims F1 to F4 and F7 judge them: columns `BOUNDS`, a row a layer.

    rank: dimension of the affine hull; radius: r/R, NaN where it isn't known. b1, b2, b3: the worst excess over the
    bound. b4: the worst violation in units of 1e-12. b5: the least relative error of line search with fewer neurons
    than there are, NaN where they are affinely dependent; sheet B5 says that it is above 0. b7: standard errors.
    """
    return pd.DataFrame([_holds(walk) for walk in walks(params, lab)], columns=BOUNDS)


def _holds(walk: Walk) -> dict[str, Any]:
    given, phi = walk.given, walk.layer.phi
    line = [walk.paths[name] for name in ("line", "negative")]
    step = walk.paths["one_over_k"]
    floor = bounds.FLOOR * given.target
    falls = [_ratio(path.errors, given.shrink, floor) for path in line]
    second = [bounds.excess(path.errors, bounds.b2(given, len(path.errors)), floor) for path in (*line, step)]
    third = bounds.b3(given, len(step.errors))
    reach = float(np.max(np.sqrt(step.errors / third))) - 1 if np.isfinite(third).all() else math.nan
    errors, sizes = walk.paths["line"].errors, walk.paths["line"].sizes
    short = errors[sizes < len(phi)].min() / given.target if given.dimension == len(phi) - 1 else math.nan
    told = {"b1": max(falls), "b2": max(second), "b3": reach, "b4": max(_kept(phi, path) for path in line), "b5": short}
    told["b7"] = standard_errors(walk.layer, given, min(10, len(phi) // 2), DRAWS)
    radius = given.radius / given.diameter if given.diameter else math.nan
    return {**walk.layer.labels, "rank": given.dimension, "radius": radius, **told, "run": walk.layer.run}


def _ratio(errors: Floats, shrink: float, floor: float) -> float:
    """F1: how far the worst step's factor is above the bound; NaN without a radius, -1 where no step counts."""
    seen = errors[1:] > floor
    if math.isnan(shrink):
        return math.nan
    return float((errors[1:][seen] / errors[:-1][seen] - shrink).max(initial=-1.0))


def _kept(phi: Floats, path: Selection) -> float:
    """F4 in units of 1e-12: rises of D, weights that don't sum to 1 or are negative, more neurons than iterations."""
    target = float((phi.mean(axis=0) ** 2).sum())
    worst = float((np.diff(path.errors) / target).max(initial=0.0))
    a = np.zeros(len(phi))
    for k, (pick, gamma) in enumerate(zip(path.picks, path.steps, strict=True), start=1):
        move(a, int(pick), float(gamma))
        worst = max(worst, abs(float(a.sum()) - 1), -float(a.min()), float(np.count_nonzero(a) - k))
    return worst / ALLOWED


def _none(params: Params, root: str | None) -> tuple[()]:
    return ()


@measured(_none)
def regime_map(params: Params, lab: Lab) -> Rows:
    """`ltkit.analyze.regimes.regime_map` of two kinds of synthetic layers, named in the column `layer`."""
    makers = {"gaussian": regimes.gaussian, "two-layer": regimes.two_layer}
    work = [
        functools.partial(_map, params, name, maker, width, rank)
        for name, maker in makers.items()
        for width in params.widths
        for rank in params.ranks
    ]
    return pd.concat(side_by_side(work, lab), ignore_index=True)


def _map(params: Params, name: str, maker: Any, width: int, rank: int) -> Rows:
    table = regimes.regime_map([width], [rank], params.seeds, steps=params.steps, layer=maker)
    return table.assign(layer=name)


def orthonormal() -> Rows:
    """The negative control at two widths: `ltkit.analyze.regimes.orthonormal_control`'s columns."""
    return pd.concat([regimes.orthonormal_control(width) for width in ORTHONORMAL], ignore_index=True)


@measured(_none)
def crossover(params: Params, lab: Lab) -> Rows:
    """Picked neurons against networks trained at their size, on a two-layer toy: `ltkit.analyze.toy`'s columns."""
    work = [functools.partial(two_layer_toy, params.toy_width, params.toy_sizes, [seed]) for seed in params.seeds]
    return pd.concat(side_by_side(work, lab), ignore_index=True)


def crossover_later(params: Params, lab: Lab) -> Callable[[], Rows]:
    """`crossover` in the background, while figures are drawn: a call that waits for it.

    To be begun last: beside it nothing should be timed, and products of several threads take ten times as long.
    """
    return ThreadPoolExecutor(1).submit(crossover, params, lab).result
