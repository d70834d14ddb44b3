"""Did tickets learn the pruned network's function again? Disagreement and ensembles (D18, D19, P11).

`agreements`: network, group (lt, scratch, lt_reinit, prune_other, same_seed), density, seed, disagreement, with_parent,
expected (fractions of the test images), accuracy (mean member), ensemble (percent), gain (points); a row a group and
seed.
"""

from __future__ import annotations

import math
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..verdict import t_interval
from .gradient_flow_lines import view
from .gradient_flow_parts import METHODS, at_density
from .mode_connectivity_parts import WIDTH, chosen, headline
from .panels import EDGE, Picture, legend, panels
from .sanity_checks_curves import empty
from .style import BLACK, SKY, SOFT, Look, named, styled

GROUPS = {name: METHODS[name] for name in ("lt", "scratch", "lt_reinit", "prune_other")}
GROUPS["same_seed"] = Look("ticket, repeated", SKY, "o")
PANELS = {  # column: title, label, factor
    "with_parent": ("disagreement with\nthe pruned network", "test images (%)", 100.0),
    "disagreement": ("disagreement\namong each other", "test images (%)", 100.0),
    "gain": ("accuracy that their\nensemble gains", "accuracy points", 1.0),
    "accuracy": ("accuracy of members\nand their ensemble", "test accuracy (%)", 1.0),
}

BESIDE = {"disagreement": ("expected",), "accuracy": ("ensemble",)}  # what a panel shows too


@styled
def agreement(agreements: pd.DataFrame, network: str, density: float | None = None) -> Picture:
    """How often networks of a group contradict the pruned network and each other, and what their ensemble gains.

    Bars are means over seeds. Low accuracy alone makes networks disagree: the black mark is what unrelated networks of
    these accuracies would do, and the last panel is the control, without a zero: members, and ensembles as diamonds.
    """
    rows, at = at_density(chosen(agreements, network=network), density)
    groups = [name for name in GROUPS if len(rows) and (rows["group"] == name).any()]
    if not groups:
        return empty(f"{named(network)}: no networks to compare with the pruned one{at and f' at {at}'}")
    height = 1.25 + 0.42 * len(groups)
    figure, every = panels(len(PANELS), columns=2, width=WIDTH, height=height, extra=1.0, sharey=True)
    for axes, (column, (title, label, factor)) in zip(every, PANELS.items(), strict=True):
        bars = column != "accuracy"
        for place, name in enumerate(groups):
            own = rows[rows["group"] == name]
            _row(axes, factor * own[column], place, name, bar=bars)
            if column == "disagreement":
                _mark(axes, factor * own["expected"], place, f"expected:{name}", BLACK, "|", size=26.0)
            if column == "accuracy":
                _mark(axes, own["ensemble"], place, f"ensemble:{name}", GROUPS[name].color, "D", size=8.0)
        shown = [factor * rows[name] for name in (column, *BESIDE.get(column, ()))]
        view(axes, "x", pd.concat([*shown, pd.Series([0.0] if bars else [])]))
        if bars:
            axes.axvline(0, color=BLACK, linewidth=1.1, zorder=3, gid="zero")
        axes.set_yticks(range(len(groups)), [fill(GROUPS[name].label, 14) for name in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_title(title, fontsize=11.5)
        axes.set_xlabel(label)
    headline(figure, ", ".join(filter(None, [named(network), at])))
    mark: dict[str, Any] = {
        "linestyle": "none",
        "color": BLACK,
        "marker": "|",
        "markersize": 14,
        "markeredgewidth": 2.4,
    }
    gem: dict[str, Any] = {"linestyle": "none", "color": SOFT, "marker": "D", "markersize": 7, **EDGE}
    handles = [
        Line2D([], [], label="unrelated networks of this accuracy", **mark),
        Line2D([], [], label="ensemble", **gem),
    ]
    legend(figure, handles)
    return figure


def _row(axes: Axes, values: pd.Series, place: int, name: str, *, bar: bool) -> None:
    """A group's seeds, mean and interval in a panel; × at the left edge where one is no number."""
    color, sound = GROUPS[name].color, values.dropna()
    if len(sound) < len(values):
        cross: dict[str, Any] = {"color": color, "marker": "x", "s": 42, "linewidths": 1.8, "zorder": 5}
        where = axes.get_yaxis_transform()
        axes.scatter([0.0], [place], transform=where, clip_on=False, gid=f"lost:{name}", **cross)
    if sound.empty:
        return
    if bar:
        axes.barh(place, sound.mean(), height=0.62, color=color, alpha=0.4, linewidth=0, zorder=1, gid=f"bar:{name}")
    low, high = t_interval(sound)
    if math.isfinite(low):
        axes.hlines([place], low, high, color=color, linewidth=2.0, zorder=4, gid=f"interval:{name}")
    below = np.full(len(sound), place + 0.2)
    axes.scatter(sound, below, s=13, color=color, alpha=0.6, linewidths=0, zorder=4, gid=f"seeds:{name}")
    _mark(axes, sound, place, f"mean:{name}", color, "o", size=7.0)


def _mark(axes: Axes, values: pd.Series, place: int, gid: str, color: str, marker: str, size: float) -> None:
    if values.notna().any():
        edge: dict[str, Any] = {"markeredgewidth": 2.4} if marker == "|" else EDGE
        style: dict[str, Any] = {"color": color, "marker": marker, "markersize": size, **edge}
        axes.plot([values.mean()], [place], linestyle="none", zorder=5, gid=gid, **style)
