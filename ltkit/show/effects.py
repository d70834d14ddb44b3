"""A forest plot of a study's factors: what each changes, with its interval and the line of no effect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .panels import Picture, nothing, panels
from .scales import widen
from .style import BLACK, BLUE, GREY, SOFT, named, styled


@styled
def factor_effects(effects: pd.DataFrame) -> Picture:
    """How much each factor changes the ticket's lead (LT − RR) and its shortfall (dense − LT): means and intervals.

    `effects`: factor, contrast, outcome (advantage, shortfall), mean, low, high, n; maybe `values`, those of the seeds.
    Filled where the 95 % interval excludes 0.
    """
    if effects.empty:
        figure, (axes,) = panels(1, height=1.2)
        nothing(axes, "no contrasts in this study")
        return figure
    titles = {"advantage": "change of the ticket's lead\nLT − RR", "shortfall": "change of its shortfall\ndense − LT"}
    groups = effects.groupby("factor", sort=False)
    count = 1.1 * groups.ngroups + len(effects[["factor", "contrast"]].drop_duplicates())
    figure, every = panels(2, columns=2, height=0.47 * count + 0.9, extra=0.5, sharey=True)
    place = 0.0
    for factor, own in groups:
        _line(every[0], place + 0.6, str(factor), bold=True)
        place += 1.1
        for contrast, both in own.groupby("contrast", sort=False):
            _line(every[0], place, named(str(contrast)))
            for told in both.to_dict("records"):
                _interval(every[list(titles).index(told["outcome"])], place + 0.45, told)
            place += 1.0
    for axes, (outcome, title) in zip(every, titles.items(), strict=True):
        shown = pd.Series(effects.loc[effects["outcome"] == outcome, ["mean", "low", "high"]].to_numpy().ravel())
        axes.axvline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
        axes.set_title(title)
        widen(axes, "x", shown, "accuracy points")
        axes.set_ylim(place + 0.1, 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    every[0].set_zorder(2)  # a long line reaches into the other panel
    every[0].patch.set_visible(False)
    counts = sorted(int(n) for n in effects["n"].unique())
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'s' * (counts[0] > 1)}"
    figure.supxlabel(f"mean and 95 % interval over {seeds}; filled: the interval excludes 0", fontsize=11, color=SOFT)
    return figure


def _interval(axes: Axes, at: float, told: Mapping[str, Any]) -> None:
    sure = told["low"] > 0 or told["high"] < 0
    color = BLUE if sure else GREY
    seeds = told.get("values")
    if isinstance(seeds, (list, tuple, np.ndarray)):
        axes.scatter(seeds, [at + 0.22] * len(seeds), s=12, color=color, alpha=0.5, linewidths=0, gid="seeds")
    if math.isfinite(told["low"]):
        axes.hlines(at, told["low"], told["high"], color=color, linewidth=2, zorder=3, gid="interval")
    face = color if sure else "white"
    axes.plot([told["mean"]], [at], "o", color=color, markerfacecolor=face, markeredgewidth=1.6, zorder=4, gid="mean")


def _line(axes: Axes, at: float, text: str, bold: bool = False) -> None:
    style: dict[str, Any] = {"fontsize": 12, "fontweight": "bold"} if bold else {"fontsize": 11}
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    told = axes.text(0, at, text, transform=axes.get_yaxis_transform(), va="center", bbox=box, zorder=6, **style)
    told.set_in_layout(False)  # the panels share the width between them, however long their lines are
