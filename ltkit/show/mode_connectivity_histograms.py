"""What the kept weights look like, round after round (mode_connectivity.md P8, C20, C21)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .mode_connectivity_parts import WIDTH, chosen, headline, words_of
from .panels import Picture, legend, panels
from .sanity_checks_curves import empty
from .style import BLACK, BLUE, VERMILION, named, styled
from .style import density as one_density

COLUMNS = {"imp": ("ticket (IMP)", BLUE), "reinit": ("same mask, fresh weights", VERMILION)}


@styled
def weight_histograms(histograms: pd.DataFrame, weights: pd.DataFrame, network: str, setting: str) -> Picture:
    """The kept weights' histogram after each round, a row a round, tickets beside fresh weights.

    `histograms` has a row a bin: network, setting, arm, seed, level, density, left, right, share (of the run's kept
    weights per unit of w). A thin line is a seed, the filled shape their mean. From `weights` come the dashed lines,
    the magnitude at which the next round cuts (mean of the seeds), and how many seeds have two modes.
    """
    rows, told = (chosen(table, network=network, setting=setting) for table in (histograms, weights))
    arms = [arm for arm in COLUMNS if len(rows) and (rows["arm"] == arm).any()]
    if not arms:
        return empty(f"{named(network)}: no weights were looked at")
    rows = rows[rows["arm"].isin(arms)]
    levels = sorted(rows["level"].unique())
    shared: dict[str, Any] = {"sharex": True, "sharey": "row"}
    figure, every = panels(len(levels) * len(arms), columns=len(arms), width=WIDTH, height=1.15, extra=1.7, **shared)
    grid = np.array(every, dtype=object).reshape(len(levels), len(arms))
    for down, level in enumerate(levels):
        for across, arm in enumerate(arms):
            axes = grid[down, across]
            mine = rows[(rows["arm"] == arm) & (rows["level"] == level)]
            _shape(axes, mine, COLUMNS[arm][1])
            _told(axes, told[(told["arm"] == arm) & (told["level"] == level)])
            axes.set(ylim=(0, None), yticks=[])
            axes.tick_params(labelbottom=down == len(levels) - 1)
        density = float(rows.loc[rows["level"] == level, "density"].iloc[0])
        grid[down, 0].set_ylabel(one_density(density), rotation=0, ha="right", va="center")
    for across, arm in enumerate(arms):
        grid[0, across].set_title(COLUMNS[arm][0], fontsize=11.5)
        grid[-1, across].set_xlabel("weight")
    headline(
        figure,
        f"{named(network)}, {words_of(setting)}",
        "kept weights by density (left), each row to its own height",
    )
    shape = Patch(color=BLUE if arms[0] == "imp" else VERMILION, alpha=0.35, linewidth=0, label="mean over seeds")
    thin = Line2D([], [], color=BLACK, alpha=0.35, linewidth=0.8, label="one seed")
    cut = Line2D([], [], color=BLACK, linestyle="--", linewidth=1.2, label="the next round cuts between these")
    legend(figure, [shape, thin, cut], seeds=False)
    return figure


def _shape(axes: Axes, rows: pd.DataFrame, color: str) -> None:
    for _, own in rows.groupby("seed"):
        edges = np.append(own["left"], own["right"].iloc[-1])
        axes.stairs(own["share"], edges, color=color, alpha=0.35, linewidth=0.8, gid="seed")
    mean = rows.groupby(["left", "right"], as_index=False)["share"].mean()
    if len(mean):
        edges = np.append(mean["left"], mean["right"].iloc[-1])
        axes.stairs(mean["share"], edges, color=color, alpha=0.35, fill=True, linewidth=0, gid="mean")


def _told(axes: Axes, rows: pd.DataFrame) -> None:
    """The next cut-off and how many seeds have two modes."""
    cut = rows["threshold"].dropna()
    for sign in (-1, 1) if len(cut) else ():
        axes.axvline(sign * cut.mean(), color=BLACK, linestyle="--", linewidth=1.2, gid="threshold")
    if len(rows):
        text = f"two modes:\n{int(rows['bimodal'].sum())} of {len(rows)}"
        axes.text(0.99, 0.95, text, transform=axes.transAxes, ha="right", va="top", fontsize=10)
