"""Axes whose numbers can be read: densities, learning rates, percentages near 100, differences small and large."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

from .style import density

TOP, PERCENTAGES = 100.5, (100, 99.5, 99, 98, 97, 95, 90, 80, 60, 40, 20, 0)
WIDE = 20.0  # accuracy points


def density_axis(axes: Axes, densities: Iterable[float], first: Iterable[float] = ()) -> None:
    """Densities on a logarithmic axis, the dense network on the left, ticks at the densities there are.

    Numbers stand where there is room for them, at the densities in `first` before the others.
    """
    every = sorted(set(densities), reverse=True)
    place = axes.get_subplotspec()
    columns = place.get_gridspec().ncols if place else 1
    figure: Any = axes.figure
    inches = figure.get_figwidth() / columns - 0.8
    span = math.log(every[0] / every[-1]) or 1.0
    kept: list[float] = []
    for value in [*sorted(set(first), reverse=True), *every]:
        room = [abs(math.log(value / other)) / span * inches for other in kept]
        if min(room, default=9.0) > 0.5:
            kept.append(value)
    axes.set_xscale("log")
    axes.set_xlim(every[0] * math.exp(0.08 * span), every[-1] * math.exp(-0.08 * span))
    axes.xaxis.set_major_locator(FixedLocator(kept))
    axes.xaxis.set_major_formatter(FixedFormatter([density(value) for value in kept]))
    axes.xaxis.set_minor_locator(FixedLocator([value for value in every if value not in kept]))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("density (fraction of weights kept)" if columns == 1 else "density")


def stretch(axes: Axes, values: pd.Series, label: str) -> None:
    """Percentages on the y axis, stretched towards 100 where they spread over so much that the top would be a smear."""
    known = values.dropna()
    axes.set_ylabel(label)
    if known.empty or known.max() < 85 or known.max() - known.min() < 20:
        return

    def forward(percent: Any) -> Any:
        return -np.log(np.maximum(TOP - np.asarray(percent, dtype=float), 0.02))

    def inverse(place: Any) -> Any:
        return TOP - np.exp(-np.asarray(place, dtype=float))

    axes.set_yscale("function", functions=(forward, inverse))
    low, high = forward(known.min()), forward(known.max())
    axes.set_ylim(inverse(low - 0.06 * (high - low)), min(inverse(high + 0.1 * (high - low)), 100.3))
    bottom, top = axes.get_ylim()
    room, ticks = 0.055 * (forward(top) - forward(bottom)), list[float]()
    for tick in PERCENTAGES:
        if bottom <= tick <= top and (not ticks or forward(ticks[-1]) - forward(tick) > room):
            ticks.append(tick)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel(f"{label},\nstretched towards 100")


def widen(axes: Axes, axis: Literal["x", "y"], values: pd.Series, label: str) -> None:
    """Differences on an axis that is logarithmic beyond ±1 where some are so large that the others would vanish."""
    known = values[np.isfinite(values.astype(float))]
    axes.set(**{f"{axis}label": label})
    if known.empty or known.abs().max() < WIDE:
        return
    low, high = (1.4 * value if abs(value) > 1 else 2 * side for value, side in ((known.min(), -1), (known.max(), 1)))
    axes.set(**{f"{axis}label": f"{label},\nlogarithmic beyond ±1"})
    getattr(axes, f"set_{axis}scale")("symlog", linthresh=1.0, linscale=0.7)
    axes.set(**{f"{axis}lim": (min(low, -2.0), max(high, 2.0))})
    ticks = [-80, -20, -5, -1, 0, 1, 5, 20, 80]
    found = axes.xaxis if axis == "x" else axes.yaxis
    found.set_major_locator(FixedLocator(ticks))
    found.set_major_formatter(FixedFormatter([f"{tick}".replace("-", "−") for tick in ticks]))
    found.set_minor_locator(NullLocator())


def rate_axis(axes: Axes, rates: Sequence[float], label: str = "learning rate") -> None:
    """Learning rates on a logarithmic axis, a number at each."""
    axes.set_xscale("log")
    margin = 0.12 * (math.log(max(rates) / min(rates)) or 1.0)
    axes.set_xlim(min(rates) * math.exp(-margin), max(rates) * math.exp(margin))
    axes.xaxis.set_major_locator(FixedLocator(list(rates)))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{rate:g}" for rate in rates]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)


def dodge(densities: Any, number: int, count: int) -> float:
    """How far to move the nth of several series sideways, so that they don't hide each other; in log density."""
    found = pd.Series(densities, dtype=float)
    step = min(0.022, 0.066 / count) * (math.log(found.max() / found.min()) or 1.0)
    return -step * (number - (count - 1) / 2)
