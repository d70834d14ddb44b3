"""Which law does the error of line search follow, an exponential or a power of the iterations? (F8, F9, F10)

`curves` as in `greedy_bounds_curves`; `rates`: source, network, layer, width, dimension, seed, method, points, neurons,
semilog, loglog (slopes of ln D over k and over ln k), semilog_r2, loglog_r2, gain, regime; a row a path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..verdict import t_interval
from .greedy_bounds_parts import FLOOR, LINE, METHODS, SOURCES, counting, from_source, one_of, powers, size_words
from .mode_connectivity_parts import WIDTH, headline, some
from .panels import Picture, legend, panels
from .sanity_checks_curves import empty
from .style import BLACK, GREY, SOFT, named, styled

LAWS = ("semilog", "loglog")
MOST = 4  # layers in a figure


@styled
def two_laws(
    curves: pd.DataFrame, rates: pd.DataFrame, source: str, network: str = "", *, method: str = LINE
) -> Picture:
    """The errors of a method twice, over iterations k and over their logarithms, a row a layer: which is straight?

    Lines are seeds, down to where the error counts as none; bold is the seed with the median number of steps, and the
    broken line its fit of `rates`. R² is the mean over seeds with its 95 % interval, bold where it is higher. Rows are
    the dimensions of synthetic layers (`network` "") at the largest width, or the layers of a network, at most four.
    """
    one_of("method", method, METHODS)
    rows, fits = (frame if frame.empty else frame[frame["method"] == method] for frame in (curves, rates))
    rows = from_source(rows, source, network)
    fits = fits if fits.empty else fits[(fits["source"] == source) & (fits["network"] == network)]
    rows = rows if rows.empty or network else rows[rows["width"] == rows["width"].max()]
    by = "layer" if network else "dimension"
    title = f"{METHODS[method].label}, {named(network) if network else SOURCES.get(source, source)}"
    title += f", {SOURCES.get(source, source)}" if network and source != "trained" else ""
    rows = rows if rows.empty else rows[rows["relative"].notna()]
    if rows.empty:
        return empty(f"{title}: no errors of picked neurons")
    every = list(dict.fromkeys(rows[by])) if network else sorted(rows[by].unique())
    places = [every[place] for place in map(int, some(range(len(every)), MOST))]
    figure, grid = panels(2 * len(places), columns=2, width=WIDTH, height=1.95, extra=0.8)
    for place, pair in zip(places, zip(grid[::2], grid[1::2], strict=True), strict=True):
        own = rows[rows[by] == place]
        fit = fits if fits.empty else fits[(fits[by] == place) & (fits["width"] == own["width"].iloc[0])]
        _pair(pair, until_none(own), fit, METHODS[method].color, place if network else f"{place:g}")
        name = f"{place}, {size_words(own, network)}" if network else size_words(own, network)
        pair[0].set_title(name, fontsize=11.5)
        pair[0].set_ylabel("error D / ‖t‖²")
    for axes, label in zip(grid[-2:], ("iterations k", "iterations k, logarithmic"), strict=True):
        axes.set_xlabel(label)
    headline(figure, title, "straight on the left: exponential; on the right: polynomial")
    handles = [Line2D([], [], color=SOFT, linewidth=0.9, alpha=0.7, label="one seed")]
    handles += [Line2D([], [], color=METHODS[method].color, linewidth=2.4, label="seed of median length")]
    handles += [Line2D([], [], color=BLACK, linestyle="--", label="its fit")]
    legend(figure, handles, seeds=False)
    return figure


def until_none(rows: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    """The iterations of each seed up to the first whose error counts as none, the longest path first."""
    found = {}
    for seed, own in rows.sort_values("iteration").groupby("seed"):
        before = (own["relative"] <= FLOOR).cumsum().shift(fill_value=0) == 0
        found[seed] = own[before].assign(relative=own["relative"].clip(lower=FLOOR))
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _pair(pair: Sequence[Axes], paths: dict[Any, pd.DataFrame], fits: pd.DataFrame, color: str, name: str) -> None:
    """A layer's paths under both laws, with the R² of each."""
    typical = list(paths)[len(paths) // 2]
    end = float(paths[typical]["iteration"].max())
    shown = pd.concat(paths.values())
    last = min(float(shown["iteration"].max()), 2.5 * end)  # one slow seed would squeeze the others
    lines = [own[["iteration", "relative"]].to_numpy() for own in paths.values()]
    r2 = {law: fits[f"{law}_r2"].dropna() if len(fits) else pd.Series(dtype=float) for law in LAWS}
    means = {law: float(values.mean()) for law, values in r2.items() if len(values)}
    for axes, law in zip(pair, LAWS, strict=True):
        powers(axes, 4)
        axes.add_collection(LineCollection(lines, colors=color, linewidths=0.9, alpha=0.4, gid=f"seeds:{name}"))
        own = paths[typical]
        axes.plot(own["iteration"], own["relative"], color=color, linewidth=2.4, zorder=3, gid=f"typical:{name}")
        axes.set_ylim(shown["relative"].min() / 3, 3 * shown["relative"].max())
        axes.set_xlim(0.95 if law == "loglog" else 0, 1.05 * max(last, 4))
        best = law in means and means[law] == max(means.values())
        if len(fits):
            _fitted(axes, own, fits[fits["seed"] == typical], law, bold=best)
        style: dict[str, Any] = {"fontweight": "bold"} if best else {"color": SOFT}
        said = "too few steps to fit" if law not in means else f"R² {means[law]:.2f}" + _interval(r2[law])
        place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 11}
        place["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
        axes.text(0.98, 0.96, said, gid=f"r2:{law}", zorder=6, **place, **style)
    pair[0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    counting(pair[1])
    pair[1].tick_params(labelleft=False)


def _interval(values: pd.Series) -> str:
    low, high = t_interval(values)
    return f" [{low:.2f}, {min(high, 1.0):.2f}]" if math.isfinite(low) else ""


def _fitted(axes: Axes, path: pd.DataFrame, fits: pd.DataFrame, law: str, *, bold: bool) -> None:
    """A path's fit: the line with its slope through the middle of its window."""
    for told in fits[fits[law].notna()].to_dict("records"):
        own = path[path["iteration"].between(2, told["points"] + 1)]
        k, ln = own["iteration"].to_numpy(dtype=float), np.log(own["relative"].to_numpy(dtype=float))
        if len(k):
            x = np.log(k) if law == "loglog" else k
            look: dict[str, Any] = {"color": BLACK if bold else GREY, "linewidth": 2.0 if bold else 1.3}
            axes.plot(k, np.exp(ln.mean() + told[law] * (x - x.mean())), "--", zorder=5, gid=f"fit:{law}", **look)
