"""The regime map: at which width N and rank r of a layer's output greedy selection decays how (greedy_bounds.md 5, 6).

Layers are synthetic, so that N and r can be set. Rank alone decides for Gaussian contributions: far more neurons than
ranks give exponential decay, about as many only polynomial decay, fewer nearly none beyond that of random neurons. The
orthonormal layer is the last case in closed form and the negative control: D is exactly 1/n − 1/N.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch

from ..prune import greedy
from ..prune.greedy import Floats
from ..seeds import generator
from .bounds import b5, decay

INPUTS = 5  # of the two-layer network; the sheet's table doesn't say, and this comes close to its numbers


def gaussian(neurons: int, rank: int, seed: int) -> Floats:
    """Independent normal contributions (N, rank)."""
    return _normal(neurons, rank, "gaussian", neurons, rank, seed)


def two_layer(neurons: int, rank: int, seed: int) -> Floats:
    """A two-layer ReLU network with one output (sheet 5): contributions (N, M) on M = rank data points."""
    inward, x = (_normal(n, INPUTS, part, neurons, rank, seed) for n, part in ((neurons, "inward"), (rank, "x")))
    return _normal(neurons, 1, "outward", neurons, rank, seed) * np.maximum(inward @ x.T / INPUTS**0.5, 0)


def orthonormal(neurons: int) -> Floats:
    """Contributions (N, N) of which none helps to replace another (sheet B5)."""
    return np.eye(neurons)


def _normal(rows: int, columns: int, *purpose: object) -> Floats:
    draw = generator("regimes", *purpose)
    return torch.randn(rows, columns, dtype=torch.float64, generator=draw).numpy()


def regime_map(
    widths: Iterable[int],
    ranks: Iterable[int],
    seeds: Iterable[int],
    *,
    steps: int = 200,
    layer: Callable[[int, int, int], Floats] = gaussian,
) -> pd.DataFrame:
    """Local imitation over a grid of widths and ranks, a row a (width, rank, seed).

    Columns: `width` N, `rank`, `seed`; `points` fitted and the distinct `neurons` at their end; of either law, semilog
    and loglog, the slope with its interval, R² and held-out error (`semilog`, `semilog_low`, `semilog_high`,
    `semilog_r2`, `semilog_held_out`, ...); `gain` on random neurons; `regime`. See `bounds.decay` for what they mean:
    a regime is that of the window, and more `steps` can show an exponential end of what looks polynomial.
    """
    seeds, ranks = list(seeds), list(ranks)
    cells = [(width, rank, seed) for width in widths for rank in ranks for seed in seeds]
    return pd.DataFrame([_row(*cell, steps, layer) for cell in cells])


def _row(
    width: int, rank: int, seed: int, steps: int, layer: Callable[[int, int, int], Floats]
) -> dict[str, int | float | str]:
    phi = layer(width, rank, seed)
    t = phi.mean(axis=0)
    spread = float(((phi - t) ** 2).sum(axis=1).mean())
    found = decay(greedy.direct(phi, steps), spread, float(t @ t))
    row: dict[str, int | float | str] = {"width": width, "rank": rank, "seed": seed}
    row |= {"points": found.points, "neurons": found.neurons}
    for law, fit in (("semilog", found.semilog), ("loglog", found.loglog)):
        row |= {law: fit.slope, f"{law}_low": fit.low, f"{law}_high": fit.high}
        row |= {f"{law}_r2": fit.r2, f"{law}_held_out": fit.held_out}
    return row | {"gain": found.gain, "regime": found.regime}


def orthonormal_control(width: int) -> pd.DataFrame:
    """The negative control at width N: all four selectors against the closed form 1/n − 1/N for n = 1 .. N.

    Columns: `selector`, `width`, `worst` (largest |D_n − (1/n − 1/N)|, to be below 1e-12), `gain` and `regime` (to be 1
    and "none").
    """
    phi = orthonormal(width)
    problem = greedy.from_contributions(phi)
    paths = {
        "line search": greedy.local_imitation(problem, width, tol=0.0),
        "line search, negative steps": greedy.local_imitation(problem, width, tol=0.0, negative=True),
        "1/k": greedy.one_over_k(problem, width),
        "1/k without repeats": greedy.one_over_k(problem, width, repeats=False),
    }
    rows = []
    for selector, path in paths.items():
        # Of h itself: the Gram form's own sums would round.
        errors = greedy.explicit_errors(phi, path)
        worst = float(np.abs(errors - b5(np.arange(1, width + 1), width)).max())
        found = decay(path, 1 - 1 / width, 1 / width)
        rows.append({"selector": selector, "width": width, "worst": worst, "gain": found.gain, "regime": found.regime})
    return pd.DataFrame(rows)
