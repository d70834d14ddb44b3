"""Does a signal pass the sparse network before training? The logits' scale in the gradient-flow study."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from ..verdict import t_interval
from .gradient_flow_lines import view
from .gradient_flow_parts import INITS
from .mode_connectivity_parts import WIDTH, chosen, headline
from .panels import EDGE, Picture, handle, legend, panels
from .sanity_checks_curves import empty
from .scales import density_axis, dodge
from .style import GREY, SOFT, Look, named, styled

MASKS = {"uniform": "even masks", "uneven": "uneven masks"}
ORDER_ONE = (0.1, 10.0)  # D2: "of the order of 1"


@styled
def logit_scale(signals: pd.DataFrame, network: str) -> Picture:
    """Standard deviation of all logits at init over density, a line a start and a panel a kind of mask (D1 to D3, P12).

    `signals`: network, init, mask, sparsity (1 − density), seed, sd. Means and intervals are those of the logarithms.
    He and Glorot, both masked, differ before anything is pruned: that part of the gap isn't the mask's (trap 1).
    Where no signal arrives in a seed (sd 0) the mean is 0: a cross at the lower edge.
    """
    rows = chosen(signals, network=network)
    rows = rows if rows.empty else rows[rows["init"].isin(INITS) & rows["mask"].isin(MASKS) & rows["sd"].notna()]
    if rows.empty:
        return empty(f"{named(network)}: no logits at init")
    rows = rows.assign(density=(1 - rows["sparsity"].astype(float)).round(9))
    kinds = [name for name in MASKS if (rows["mask"] == name).any()]
    starts = [name for name in INITS if (rows["init"] == name).any()]
    figure, every = panels(len(kinds), columns=2, width=WIDTH, height=3.8, extra=1.5, sharey=True)
    for axes, kind in zip(every, kinds, strict=True):
        axes.set_yscale("log")
        density_axis(axes, rows["density"], [rows["density"].max(), rows["density"].min()])
        axes.set_xlabel("density = 1 − sparsity")
        axes.axhspan(*ORDER_ONE, color=GREY, alpha=0.16, linewidth=0, zorder=0, gid="band:one")
        here = rows[rows["mask"] == kind]
        for number, name in enumerate(starts):
            shift = dodge(rows["density"], number, len(starts))
            _line(axes, here[here["init"] == name], INITS[name], name, shift)
        axes.set_title(MASKS[kind])
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
    view(every[0], "y", pd.concat([rows["sd"], pd.Series(ORDER_ONE)]))
    every[0].set_ylabel("standard deviation of the logits")
    headline(figure, f"{named(network)} before training, noise as input")
    more: list[Any] = [Patch(color=GREY, alpha=0.16, linewidth=0, label="0.1 to 10: of order 1")]
    if (rows["sd"] <= 0).any():
        cross: dict[str, Any] = {"color": SOFT, "marker": "x", "linestyle": "none", "markeredgewidth": 1.8}
        more.append(Line2D([], [], **cross, label="a seed without signal"))
    legend(figure, [*(handle(INITS[name]) for name in starts), *more])
    return figure


def _line(axes: Axes, rows: pd.DataFrame, look: Look, name: str, shift: float) -> None:
    """`series` with geometric means; it ends where no signal arrives."""
    if rows.empty:
        return
    alive = rows[rows["sd"] > 0]
    factor = math.exp(shift)
    dots: dict[str, Any] = {"s": 13, "color": look.color, "alpha": 0.45, "linewidths": 0, "zorder": 2}
    axes.scatter(alive["density"] * factor, alive["sd"], gid=f"seeds:{name}", **dots)
    silent = rows.loc[rows["sd"] <= 0, "density"].drop_duplicates()
    if len(silent):
        cross: dict[str, Any] = {"color": look.color, "marker": "x", "s": 42, "linewidths": 1.8, "zorder": 5}
        where = axes.get_xaxis_transform()
        axes.scatter(
            silent * factor, [0.0] * len(silent), transform=where, clip_on=False, gid=f"silent:{name}", **cross
        )
    logs = np.log10(alive["sd"].where(~alive["density"].isin(silent))).groupby(alive["density"])
    means = 10 ** logs.mean()
    bounds = [(place * factor, *t_interval(own)) for place, own in logs if own.notna().all()]
    ends = [(place, 10**low, 10**high) for place, low, high in bounds if math.isfinite(low)]
    if ends:
        places, lows, highs = zip(*ends, strict=True)
        axes.vlines(places, lows, highs, color=look.color, linewidth=1.6, zorder=3, gid=f"interval:{name}")
    style: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": look.line, **EDGE}
    axes.plot(means.index * factor, means, zorder=4, gid=f"mean:{name}", **style)
