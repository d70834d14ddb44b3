"""The scatter of the weight-correlation study: do tickets lead where the large weights stayed the same? (E10)"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .mode_connectivity_parts import WIDTH, headline
from .panels import EDGE, Picture, panels
from .sanity_checks_curves import empty, rows_of
from .style import BLACK, INK, SOFT, named, nth, styled
from .style import density as short
from .weight_correlation_parts import P, decay_words

MODELS: dict[str, Sequence[str]] = {  # of the regression, and what its groups are
    "raw": (),
    "decay fixed": ("decay",),
    "lr and decay fixed": ("lr", "decay"),
}
TITLES = {"raw": "all runs", "decay fixed": "weight decay held fixed", "lr and decay fixed": "lr and decay held fixed"}
CELL = ("lr", "mask_lr", "decay", "recipe", "masking", "scope", "density")


@styled
def advantage_scatter(effects: pd.DataFrame, regression: pd.DataFrame, network: str) -> Picture:
    """The ticket's lead LT − RR over the overlap R_.2 of initial and trained weights, and what is left of their slope.

    `effects` and `regression` are from `studies.weight_correlation_evidence`. Faint points are seeds, large ones the
    means of a cell; colour is the weight decay, the marker the learning rate. In the panels after the first both axes
    are centred within groups of equal weight decay, and of equal learning rate and decay. Lines have the slopes of
    `regression`, the means of the seeds' slopes, and pass the mean; their bands are those slopes' 95 % intervals.
    """
    rows = rows_of(effects, network)
    rows = rows if rows.empty else rows[np.isfinite(rows[["overlap", "advantage"]].astype(float)).all(axis=1)]
    if rows.empty:
        return empty(f"{named(network)}: no tickets with fresh weights on the same mask and their overlaps")
    told = {} if regression.empty else regression[regression["network"] == network].set_index("model").to_dict("index")
    colors = {decay: nth(number, "").color for number, decay in enumerate(sorted(rows["decay"].unique()))}
    marks = {lr: nth(number, "").marker for number, lr in enumerate(sorted(rows["lr"].unique()))}
    figure, every = panels(len(MODELS) + 1, columns=2, width=WIDTH, height=3.1, extra=0.5)
    parts = {model: centred(rows, groups) for model, groups in MODELS.items()}
    spans = pd.DataFrame({model: np.ptp(part[["overlap", "advantage"]], axis=0) for model, part in parts.items()})
    wide = (1.12 * spans.max(axis=1)).replace(0.0, 1.0)
    for axes, (model, groups) in zip(every, MODELS.items(), strict=False):
        here = parts[model]
        _points(axes, here, colors, marks, model)
        _line(axes, here, told.get(model), model)
        axes.axhline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
        if not groups:
            axes.axvline(P, color=SOFT, linestyle=":", linewidth=1.5, zorder=1, gid="line:chance")
        for axis, name in (("x", "overlap"), ("y", "advantage")):  # equal spans, so that slopes can be compared
            middle = (here[name].min() + here[name].max()) / 2
            axes.set(**{f"{axis}lim": (middle - wide[name] / 2, middle + wide[name] / 2)})
        less = " − group's mean" if groups else ""
        lead = "lead − group's mean" if groups else "lead, LT − RR"
        axes.set(xlabel=f"overlap{less}", ylabel=f"{lead}\n(accuracy points)" if axes in every[::2] else "")
        axes.set_title(f"{TITLES[model]}\n{_slope(told.get(model))}", fontsize=11.5)
    _key(every[-1], colors, marks)
    densities = rows["density"].unique()
    about = f"density {short(densities[0])}" if len(densities) == 1 else f"{len(densities)} densities"
    headline(figure, f"{named(network)}, {about}", "slopes in accuracy points per 0.1 of overlap, [95 % interval]")
    return figure


def centred(rows: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """`rows` with `overlap` and `advantage` minus their means in the groups; as they are without groups."""
    if not groups:
        return rows
    both = rows[["overlap", "advantage"]]
    return rows.assign(**(both - both.groupby([rows[name] for name in groups]).transform("mean")))


def _points(axes: Axes, rows: pd.DataFrame, colors: Mapping[float, str], marks: Mapping[float, str], name: str) -> None:
    means = rows.groupby(list(CELL), as_index=False)[["overlap", "advantage"]].mean()
    for size, shown, style in ((14, rows, {"alpha": 0.3, "linewidths": 0}), (44, means, {"edgecolors": "white"})):
        what = "seeds" if shown is rows else "mean"
        for (decay, lr), own in shown.groupby(["decay", "lr"], sort=True):
            look: dict[str, Any] = {"color": colors[decay], "marker": marks[lr], "s": size, **style}
            gid = f"{what}:{name}:{decay:g}:{lr:g}"
            axes.scatter(own["overlap"], own["advantage"], zorder=2 + (shown is means), gid=gid, **look)


def _line(axes: Axes, rows: pd.DataFrame, told: Mapping[Any, Any] | None, name: str) -> None:
    """The line of the regression through the mean and the fan of its slopes' interval."""
    if told is None or not math.isfinite(told["slope"]):
        return
    x, y = rows["overlap"], rows["advantage"]
    ends = np.array([x.min(), x.mean(), x.max()])
    low, middle, high = (y.mean() + 10 * told[which] * (ends - x.mean()) for which in ("low", "slope", "high"))
    if math.isfinite(told["low"]):
        band: dict[str, Any] = {"color": INK, "alpha": 0.16, "linewidth": 0, "zorder": 4}
        axes.fill_between(ends, low, high, gid=f"band:{name}", **band)
    axes.plot(ends, middle, color=INK, linewidth=2.0, zorder=5, gid=f"line:{name}")


def _slope(told: Mapping[Any, Any] | None) -> str:
    if told is None or not math.isfinite(told["slope"]):
        return "slope not known"
    if not math.isfinite(told["low"]):
        return signed(told["slope"])
    return f"{signed(told['slope'])} [{signed(told['low'])}, {signed(told['high'])}]"


def signed(value: float) -> str:
    """A slope with its sign."""
    return f"{value:+.2f}".replace("-", "−")


def _key(axes: Axes, colors: Mapping[float, str], marks: Mapping[float, str]) -> None:
    """The legend in a panel's place."""
    dot: dict[str, Any] = {"linestyle": "none", "markersize": 8, **EDGE}
    handles: list[Any] = [Line2D([], [], color=c, marker="o", label=decay_words(d), **dot) for d, c in colors.items()]
    handles += [Line2D([], [], color=SOFT, marker=m, label=f"lr {lr:g}", **dot) for lr, m in marks.items()]
    faint: dict[str, Any] = {"color": SOFT, "marker": "o", "markersize": 4, "linestyle": "none", "alpha": 0.5}
    handles += [Line2D([], [], label="one seed (large: mean)", **faint)]
    handles += [Line2D([], [], color=INK, linewidth=2.0, label="regression")]
    handles += [Line2D([], [], color=SOFT, linestyle=":", label="overlap by chance")]
    handles += [Patch(color=INK, alpha=0.16, linewidth=0, label="95 % interval of its slope")]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(-0.12, 0.5))
    axes.set_axis_off()
