"""Where is "logarithmically many neurons" to be seen? Synthetic and trained layers on one axis of N/M (F8, F9).

`rates`: source, network, layer, width, dimension (of trained layers the effective rank), seed, method, semilog_r2,
loglog_r2, points, regime; a row a path.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..verdict import t_interval
from .gradient_flow_lines import view
from .greedy_bounds_map import SHARE
from .greedy_bounds_parts import LINE, METHODS, SOURCES, counting, one_of, ordered
from .mode_connectivity_parts import WIDTH, headline
from .panels import EDGE, Picture, legend, panels
from .sanity_checks_curves import empty
from .style import BLACK, BLUE, CYCLE, GREEN, MARKERS, ORANGE, SOFT, VERMILION, named, styled

COLORS = {"two-layer": BLUE, "random weights": ORANGE, "trained": VERMILION}
MARGIN = 0.05  # of F8
TINTS = {"exponential": "#ddecf9", "polynomial": "#fbe9d3"}


@styled
def rates(rates: pd.DataFrame, *, method: str = LINE) -> Picture:
    """R² of the exponential minus R² of the polynomial law over neurons a dimension, a point a layer.

    Blue ground: the exponential law is ahead by F8's margin of 0.05; orange ground: the polynomial one is ahead, as the
    sheet says of all layers left of the broken line at N = 50 M (F9).
    Faint points are seeds, large ones their means with 95 % intervals. A triangle at the upper edge: the error is gone
    before there are enough steps to fit, which is faster than either.
    """
    one_of("method", method, METHODS)
    rows = rates if rates.empty else rates[rates["method"] == method]
    rows = rows if rows.empty else rows[(rows["dimension"] > 0) & np.isfinite(rows["dimension"].astype(float))]
    if rows.empty:
        return empty(f"{METHODS[method].label}: no layers with a known rate")
    rows = rows.assign(share=rows["width"] / rows["dimension"], ahead=rows["semilog_r2"] - rows["loglog_r2"])
    networks = [name for name in dict.fromkeys(rows["network"]) if name]
    marks = {"": "o"} | {name: MARKERS[1 + place % (len(MARKERS) - 1)] for place, name in enumerate(networks)}
    sources = ordered(rows["source"], COLORS)
    colors = {name: COLORS.get(name, CYCLE[place % len(CYCLE)]) for place, name in enumerate(sources)}
    figure, (axes,) = panels(1, width=WIDTH, height=4.0, extra=1.3)
    axes.set_xscale("log")
    # Before anything is drawn: matplotlib warns of limits that it finds itself around a single seed's dot.
    view(axes, "y", pd.concat([rows["ahead"], pd.Series([-MARGIN, 2 * MARGIN])]))
    view(axes, "x", pd.concat([rows["share"], pd.Series([20.0, 100.0])]))
    counting(axes)
    keys = rows["dimension"].where(rows["network"] == "", -1)  # trained layers' ranks differ by seed
    groups = rows.groupby(["source", "network", "layer", "width", keys], sort=False)
    for (source, network, *_), own in groups:
        _point(axes, own, colors[source], marks[network], f"{source}:{own['layer'].iloc[0]}:{own['share'].mean():.6g}")
    axes.axvline(SHARE, color=SOFT, linestyle="--", linewidth=1.6, zorder=1, gid="line:share")
    _ground(axes)
    axes.set(xlabel="width N over dimension M (trained: effective rank)", ylabel="R² exponential − R² polynomial")
    headline(figure, f"{METHODS[method].label}: which law do its errors follow?")
    dot: dict[str, Any] = {"linestyle": "none", **EDGE, "markersize": 8}
    handles = [Line2D([], [], color=colors[name], marker="o", label=SOURCES.get(name, name), **dot) for name in sources]
    handles += [
        Line2D([], [], color=SOFT, marker=marks[name], label=named(name).replace(" with BatchNorm", ", BN"), **dot)
        for name in networks
    ]
    if any((mark.get_gid() or "").startswith("gone:") for mark in axes.lines):
        handles += [Line2D([], [], color=SOFT, marker="^", label="error gone at once", **dot)]
    handles += [Line2D([], [], color=SOFT, linestyle="--", label=f"N = {SHARE} M")]
    handles += [Line2D([], [], color=GREEN, linestyle="--", label=f"margin of F8: {MARGIN:g}")]
    legend(figure, handles)
    return figure


def _point(axes: Axes, rows: pd.DataFrame, color: str, marker: str, name: str) -> None:
    """A layer: its seeds, mean and interval; a triangle where D was gone too soon to fit, a × where it is lost."""
    sound = rows[rows["ahead"].notna()]
    style: dict[str, Any] = {"color": color, "zorder": 5, "linestyle": "none", **EDGE}
    axes.scatter(sound["share"], sound["ahead"], s=13, color=color, alpha=0.45, linewidths=0, gid=f"seeds:{name}")
    if sound.empty:
        at = math.exp(np.log(rows["share"]).mean())
        gone = (rows["regime"] == "exponential").any()
        mark = {"marker": "^", "markersize": 9} if gone else {"marker": "x", "markeredgecolor": color}
        what, where = ("gone", 0.985) if gone else ("lost", 0.0)
        placed: dict[str, Any] = {**style, **mark}
        axes.plot([at], [where], transform=axes.get_xaxis_transform(), clip_on=False, gid=f"{what}:{name}", **placed)
        return
    at, (low, high) = math.exp(np.log(sound["share"]).mean()), t_interval(sound["ahead"])
    if math.isfinite(low):
        axes.vlines([at], low, high, color=color, linewidth=1.6, zorder=4, gid=f"interval:{name}")
    axes.plot([at], [sound["ahead"].mean()], marker=marker, markersize=8, gid=f"mean:{name}", **style)


def _ground(axes: Axes) -> None:
    """The two laws' halves with their names, F8's margin and zero."""
    low, high = axes.get_ylim()
    axes.axhspan(MARGIN, high, color=TINTS["exponential"], linewidth=0, zorder=0, gid="ground:exponential")
    axes.axhspan(low, 0, color=TINTS["polynomial"], linewidth=0, zorder=0, gid="ground:polynomial")
    axes.axhline(MARGIN, color=GREEN, linestyle="--", linewidth=1.3, zorder=1, gid="line:margin")
    axes.axhline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
    place: dict[str, Any] = {"xycoords": axes.transAxes, "textcoords": "offset points", "fontsize": 11, "zorder": 6}
    axes.annotate("exponential decay", (0, 1), (5, -4), va="top", **place)
    axes.annotate("polynomial decay", (0, 0), (5, 5), va="bottom", **place)
