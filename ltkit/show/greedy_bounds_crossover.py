"""Picked from a wide network or trained at that size: which is better, and from which size on? (F14)

`crossover`: size, seed, picked_loss, picked_one_over_k_loss, trained_loss, wide_loss (test mean squared errors).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from ..verdict import t_interval
from .gradient_flow_lines import bottom, curve, view
from .greedy_bounds_parts import counting, powers
from .mode_connectivity_parts import WIDTH, headline
from .panels import Picture, handle, panels
from .sanity_checks_curves import empty
from .style import BLACK, BLUE, GREEN, INK, ORANGE, VERMILION, Look, styled

LINES = {
    "trained_loss": Look("trained at this size", VERMILION, "s"),
    "picked_loss": Look("picked by line search", BLUE, "o"),
    "picked_one_over_k_loss": Look("picked by the 1/k step", ORANGE, "^", "--"),
}
WIDE = Look("wide network, whole", BLACK, "")


@styled
def crossover(crossover: pd.DataFrame) -> Picture:
    """Test loss over size: neurons picked from a wide two-layer network against a network trained at that size.

    The green line is where picked neurons overtake trained ones, the mean of the seeds' crossings on the logarithmic
    axis with its 95 % interval. Lines are geometric means over seeds.
    """
    rows = crossover
    if rows.empty or not rows[[*LINES]].notna().any(axis=None):
        return empty("no losses of picked and trained networks")
    figure, (axes,) = panels(1, width=WIDTH, height=3.6, extra=1.3)
    powers(axes)
    axes.set(xscale="log", xlabel="neurons", ylabel="test mean squared error")
    axes.set_autoscale_on(False)
    there = [name for name in LINES if rows[name].notna().any()]
    for number, name in enumerate(LINES):
        curve(axes, rows, "size", name, LINES[name], name=name, log=True, phase=number)
    wide = np.log(rows.groupby("seed")["wide_loss"].mean().dropna())
    if len(wide):
        axes.axhline(math.exp(wide.mean()), color=BLACK, linewidth=1.3, zorder=1, gid="line:wide")
    view(axes, "y", pd.concat([rows[name] for name in [*there, "wide_loss"]]))
    view(axes, "x", rows["size"])
    counting(axes)
    found = crossings(rows)
    known, of = found.dropna(), f"of {len(found)} seed{'s' * (len(found) > 1)}"
    handles: list[Any] = [handle(LINES[name]) for name in there] + [handle(WIDE)] * bool(len(wide))
    said = "picked neurons overtake trained ones in none " + of
    if len(known):
        at, (low, high) = math.exp(known.mean()), (math.exp(end) for end in t_interval(known))
        if math.isfinite(low) and len(known) > 2:  # that of two seeds is 25 standard errors wide
            axes.axvspan(low, high, color=GREEN, alpha=0.2, linewidth=0, zorder=0, gid="band:crossing")
        axes.axvline(at, color=GREEN, linewidth=1.8, zorder=1, gid="line:crossing")
        place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "color": INK, "va": "top", "ha": "center"}
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85}
        axes.text(at, 0.97, f"{at:.0f}", bbox=box, zorder=6, gid="at", **place)
        ends = f" [{low:.0f}, {high:.0f}]" if math.isfinite(low) and len(known) > 2 else ""
        said = f"picked neurons overtake trained ones at {at:.0f} neurons{ends}\nin {len(known)} {of}"
        handles.append(Line2D([], [], color=GREEN, linewidth=1.8, label="overtaken"))
    headline(figure, *said.split("\n"))
    bottom(figure, *handles)
    return figure


def crossings(rows: pd.DataFrame) -> pd.Series:
    """ln of the size at which a seed's picked neurons get better than those trained at that size; NaN if they don't.

    Where the difference of the logarithmic losses changes its sign for the last time, between two sizes on a straight
    line over ln size; a seed whose picked neurons are ahead at the smallest size, or behind at the largest, has none.
    """
    found = {}
    for seed, own in rows.dropna(subset=["picked_loss", "trained_loss"]).sort_values("size").groupby("seed"):
        behind = np.log(own["picked_loss"].to_numpy()) - np.log(own["trained_loss"].to_numpy())
        ln = np.log(own["size"].to_numpy(dtype=float))
        found[seed] = math.nan
        if len(behind) > 1 and behind[0] > 0 >= behind[-1]:
            i = int(np.flatnonzero(behind > 0)[-1])
            found[seed] = float(ln[i] + (ln[i + 1] - ln[i]) * behind[i] / (behind[i] - behind[i + 1]))
    return pd.Series(found, dtype=float).reindex(sorted(rows["seed"].unique()))
