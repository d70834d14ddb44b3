"""Eigenvalues of the Hessian in the mask's subspace, before and after a mask update and training (D12, P8).

`spectra`: network, method, init, density, seed, step, moment ("start", "end", "before", "after"), number, value,
lambda_min, lambda_max, negative, mass; a row an eigenvalue.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from ..verdict import estimate
from .gradient_flow_parts import INITS, METHODS, UPDATING, at_density
from .mode_connectivity_parts import chosen, headline
from .panels import Picture, handle
from .sanity_checks_curves import empty
from .style import BLACK, SKY, SOFT, Look, named, styled
from .weight_correlation_parts import grid, keyed

PAIRS = (("before", "after"), ("start", "end"))
SHORT = {"dense_glorot": "Glorot", "dense_he": "He", "layer": "per layer", "layer_out": "fan-out", "neuron": "scaled"}
DECADES = 4  # that are drawn on each side of 0
FIRST = Look("before / start", BLACK, "", ":")


@styled
def spectrum(spectra: pd.DataFrame, network: str, density: float | None = None) -> Picture:
    """How many eigenvalues lie where, mean over seeds: before and after the first mask update, at start and end.

    Both axes are logarithmic away from 0. Tinted is the negative side, where the loss falls in both directions; above
    each panel stands how many eigenvalues are negative and their mass, the sum of their |values|, with the interval of
    the change. Adding weights can't take a negative one away (trap 4): SET and RigL inverted are the controls.
    """
    rows, at = at_density(chosen(spectra, network=network), density)
    parts = {} if rows.empty else _parts(rows)
    if not parts:
        return empty(f"{named(network)}: no eigenvalues of sparse networks{at and f' at {at}'}")
    edges = _edges(float(rows["value"].abs().max()))
    figure, every = grid(len(parts), height=2.6, below=1.2)
    for axes, ((name, init, words), (first, second)) in zip(every, parts.items(), strict=True):
        axes.axvspan(edges[0], 0, color=SKY, alpha=0.14, linewidth=0, zorder=0, gid="negative")
        _steps(axes, first, edges, FIRST, "first", fill=False)
        _steps(axes, second, edges, METHODS[name], "second", fill=True)
        known = min(rows["value"].notna().groupby(rows["seed"]).all().sum() for rows in (first, second))
        lost = max(rows["seed"].nunique() for rows in (first, second)) - known
        title = f"{METHODS[name].label.partition(':')[0]} ({SHORT.get(init, init)}), {words}"
        title += f", n = {known}" if lost else ""
        axes.set_title(f"{title}\n{_told(first, second)}", fontsize=10)
    _axes(every, edges)
    headline(figure, ", ".join(filter(None, [named(network), at])))
    tint = Patch(color=SKY, alpha=0.3, linewidth=0, label="λ < 0: descent\nin both directions")
    keyed(figure, len(parts), [handle(FIRST), Patch(color=SOFT, alpha=0.45, label="after / end"), tint])
    return figure


def _parts(rows: pd.DataFrame) -> dict[tuple[str, str, str], tuple[pd.DataFrame, ...]]:
    """The first and second moment of each panel, by method, start and what happens between; of updates the first."""
    found = {}
    for name in [*UPDATING, *(name for name in METHODS if name not in UPDATING)]:
        for init, pair in product(INITS, PAIRS):
            own = rows[(rows["method"] == name) & (rows["init"] == init) & rows["moment"].isin(pair)]
            words = " → ".join(pair)
            if pair[0] == "before" and len(own):
                own = own[own["step"] == own["step"].min()]
                words = f"step {own['step'].iloc[0]:g}"
            if len(own):
                found[name, init, words] = tuple(own[own["moment"] == moment] for moment in pair)
    return found


def _edges(top: float) -> np.ndarray:
    """Edges of the bins: three a decade on both sides, one bin about 0."""
    highest = math.log10(1.05 * top) if top > 0 and math.isfinite(top) else 0.0
    right = 10.0 ** np.linspace(highest - DECADES, highest, 3 * DECADES + 1)
    return np.concatenate([-right[::-1], right])


def _steps(axes: Axes, rows: pd.DataFrame, edges: np.ndarray, look: Look, name: str, *, fill: bool) -> None:
    sound = rows[rows["value"].notna().groupby(rows["seed"]).transform("all").astype(bool)] if len(rows) else rows
    if sound.empty:
        return
    every = np.array([np.histogram(own["value"], edges)[0] for _, own in sound.groupby("seed")], dtype=float)
    middles = np.tile((edges[:-1] + edges[1:]) / 2, (len(every), 1))
    dots: dict[str, Any] = {"s": 7, "color": look.color, "alpha": 0.4, "linewidths": 0, "zorder": 2}
    axes.scatter(middles[every > 0], every[every > 0], gid=f"seeds:{name}", **dots)
    mean = every.mean(0)
    if fill:
        axes.stairs(mean, edges, color=look.color, fill=True, alpha=0.4, zorder=1, gid=f"fill:{name}")
    style: dict[str, Any] = {"color": look.color, "linewidth": 1.6, "linestyle": look.line, "zorder": 4 - fill}
    axes.stairs(mean, edges, gid=f"mean:{name}", **style)


def _told(first: pd.DataFrame, second: pd.DataFrame) -> str:
    """How many eigenvalues are negative, and their mass, in both moments, and the paired change with its interval."""
    lines = []
    for column in ("negative", "mass"):
        sides = [rows.groupby("seed")[column].first() for rows in (first, second)]
        text = " → ".join(_short(side.mean(), side.mean()) for side in sides)
        told = estimate((sides[1] - sides[0]).dropna())
        if told.n:
            text += f", {'' if told.mean < 0 else '+'}{_short(told.mean, told.mean)}"
        if told.n > 1:
            text += f" [{', '.join(_short(end, max(told.low, told.high, key=abs)) for end in (told.low, told.high))}]"
        lines.append(f"{'λ < 0' if column == 'negative' else column}: {text}")
    return "\n".join(lines)


def _short(value: float, beside: float) -> str:
    """With as many digits as two of the number beside it."""
    if not math.isfinite(value):
        return "–"
    if 0 < abs(beside) < 1e-3:
        return f"{value:.0e}".replace("-", "−")
    digits = max(0, 1 - math.floor(math.log10(abs(beside)))) if beside else 0
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def _axes(every: list[Axes], edges: np.ndarray) -> None:
    small, top = edges[len(edges) // 2], edges[-1]
    powers = range(math.floor(math.log10(top)), math.ceil(math.log10(small)) - 1, -2)
    right = {10.0**power: f"10^{{{power}}}" for power in powers}
    ticks = {-value: f"$-{text}$" for value, text in right.items()} | {0.0: "0"}
    ticks |= {value: f"${text}$" for value, text in right.items()}
    for axes in every:
        axes.set_xscale("symlog", linthresh=small, linscale=0.5)
        axes.set_yscale("symlog", linthresh=1, linscale=0.5)
        axes.set_xlim(-top, top)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
        axes.xaxis.set_major_formatter(FixedFormatter(list(ticks.values())))
        axes.yaxis.set_major_locator(FixedLocator([0, 1, 10, 100, 1000, 10**4]))
        axes.yaxis.set_major_formatter("{x:.0f}")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
    for axes in every[::2]:
        axes.set_ylabel("eigenvalues")
    for axes in every[-2:]:
        axes.set_xlabel("eigenvalue (nats / weight²)")
