"""Figures of the sanity-check study about its masks: what each layer keeps, and what collapses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from .panels import EDGE, Picture, handle, legend, panels
from .sanity_checks_curves import LOOKS, by_kind, empty, key, rows_of
from .scales import stretch
from .style import GREY, SOFT, Look, named, styled

CORRUPTIONS = {"none": ("original", "o"), "rearranged": ("mask rearranged", "D"), "corrupted": ("corrupted data", "^")}


@styled
def layer_profiles(layers: pd.DataFrame, network: str, density: float) -> Picture:
    """The density of each layer over its number, a line a method and a panel a kind: mean and range over seeds.

    `layers`: `studies.sanity_checks.layers`; only original masks are drawn. The dashed line is the density of the whole
    network. A layer that keeps nothing, in any seed, has a cross at the lower edge.
    """
    rows = rows_of(layers, network)
    rows = rows if rows.empty else rows[np.isclose(rows["density"], density) & (rows["check"] == "none")]
    drawn = by_kind(rows)
    if not drawn:
        return empty(f"no masks of {named(network)} at density {density:g}")
    rows = rows.assign(share=rows["kept"] / rows["size"])
    means = rows.groupby(["method", "number"])["share"].mean()
    bottom = 0.5 * min(density, means[means > 0].min(), rows.loc[rows["kept"] > 0, "share"].min())
    figure, every = panels(len(drawn), columns=1, height=2.7, width=8.8, sharex=True, sharey=True)
    for axes, (kind, methods) in zip(every, drawn.items(), strict=True):
        axes.set_yscale("log")
        axes.set_ylim(bottom, 1.5)
        axes.axhline(density, color=SOFT, linewidth=1.2, linestyle="--", zorder=1, gid="line:density")
        for name in methods:
            _profile(axes, rows[rows["method"] == name], LOOKS[name], name, bottom)
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set(title=kind, ylabel="density of the layer")
        key(axes, methods, loc="center left", bbox_to_anchor=(1.0, 0.5))
    every[-1].set_xlabel("layer, from the input to the classifier")
    figure.suptitle(f"{named(network)}, density {density:g}", x=0.01, ha="left")
    handles = [Line2D([], [], color=SOFT, linestyle="--", label="whole network")]
    handles.append(Line2D([], [], color=GREY, alpha=0.3, linewidth=8, label="range over seeds"))
    if (rows["kept"] == 0).any():
        handles.append(Line2D([], [], **_cross(SOFT), label="keeps nothing"))
    legend(figure, handles, seeds=False)
    return figure


@styled
def collapse_scatter(layers: pd.DataFrame, table: pd.DataFrame, network: str) -> Picture:
    """Accuracy over the weights that a mask's emptiest layer keeps, a point a run, a panel a method (B12).

    Markers are the original mask, the rearranged one and that of corrupted data, at the lowest density at which checks
    were made. The other methods' runs are grey in each panel. Horizontally the axis is that of log(1 + weights).
    """
    masks, rows = rows_of(layers, network), rows_of(table, network)
    if masks.empty or rows.empty:
        return empty(f"no masks of {named(network)} with their accuracies")
    keys = ["method", "check", "density", "seed"]
    least = masks.groupby(keys, as_index=False)["kept"].min()
    both = rows[rows["check"].isin(CORRUPTIONS) & rows["method"].isin(LOOKS)].merge(least, on=keys)
    checked = both.loc[both["check"] != "none", "density"]
    both = both[both["density"] == (both["density"] if checked.empty else checked).min()]
    methods = [name for name in LOOKS if (both["method"] == name).any()]
    if not methods:
        return empty(f"no masks of {named(network)} with their accuracies")
    both = both.assign(place=1 + both["kept"])
    figure, every = panels(len(methods), height=2.7, extra=1.2, sharey=True)
    for axes, name in zip(every, methods, strict=True):
        _scatter(axes, both[both["method"] != name], GREY, "others", s=12, alpha=0.3)
        for check, (_, marker) in CORRUPTIONS.items():
            mine = both[(both["method"] == name) & (both["check"] == check)]
            _scatter(axes, mine, LOOKS[name].color, check, marker=marker, s=48, edgecolors="white", linewidths=0.8)
        _weights_axis(axes, both["place"])
        axes.set_title(LOOKS[name].label)
    for axes in every[::3]:
        stretch(axes, both["accuracy"], "test accuracy (%)")
    for axes in every[3 * ((len(every) - 1) // 3) :]:
        axes.set_xlabel("weights kept in\nthe emptiest layer")
    figure.suptitle(f"{named(network)}, density {both['density'].iloc[0]:g}", x=0.01, ha="left")
    drawn = [look for check, look in CORRUPTIONS.items() if (both["check"] == check).any()]
    handles = [handle(Look(text, SOFT, marker, "none")) for text, marker in drawn]
    if len(methods) > 1:
        handles.append(Line2D([], [], color=GREY, marker="o", markersize=4, alpha=0.5, linestyle="none"))
        handles[-1].set_label("other methods")
    legend(figure, handles, seeds=False)
    return figure


def _profile(axes: Axes, rows: pd.DataFrame, look: Look, name: str, bottom: float) -> None:
    layers = rows.groupby("number", sort=True)
    shares = layers["share"].agg(["mean", "min", "max"])
    band: dict[str, Any] = {"color": look.color, "alpha": 0.2, "linewidth": 0, "zorder": 2}
    axes.fill_between(shares.index, shares["min"].clip(lower=bottom), shares["max"], gid=f"range:{name}", **band)
    means = shares["mean"].where(shares["mean"] > 0)
    marks: dict[str, Any] = {"color": look.color, "marker": look.marker, **EDGE}
    axes.plot(means.index, means, zorder=4, gid=f"mean:{name}", **marks)
    nothing_left = layers["kept"].min().loc[lambda kept: kept == 0].index
    if len(nothing_left):
        below, where = [0.0] * len(nothing_left), axes.get_xaxis_transform()
        crosses = axes.plot(nothing_left, below, transform=where, gid=f"empty:{name}", **_cross(look.color))
        crosses[0].set(clip_on=False, zorder=5)


def _cross(color: str) -> dict[str, Any]:
    return {"color": color, "marker": "x", "markersize": 8, "markeredgewidth": 1.8, "linestyle": "none"}


def _scatter(axes: Axes, rows: pd.DataFrame, color: str, name: str, **style: Any) -> None:
    """Runs at their accuracy; those that diverged as a × at the lower edge, as `series` has them."""
    sound, lost = rows[rows["accuracy"].notna()], rows[rows["accuracy"].isna()]
    axes.scatter(sound["place"], sound["accuracy"], color=color, gid=f"runs:{name}", **style)
    if not lost.empty and name != "others":
        cross: dict[str, Any] = {"color": color, "marker": "x", "s": 42, "linewidths": 1.8, "clip_on": False}
        below, where = [0.0] * len(lost), axes.get_xaxis_transform()
        axes.scatter(lost["place"], below, transform=where, gid=f"lost:{name}", **cross)


def _weights_axis(axes: Axes, places: pd.Series) -> None:
    axes.set_xscale("log")
    axes.set_xlim(0.75, 1.6 * max(places.max(), 10))
    powers = [0, *(10**power for power in range(9) if 10**power < 1.6 * max(places.max(), 10))]
    labels = [f"{value:,}".replace(",", " ") if value < 10**4 else f"$10^{len(str(value)) - 1}$" for value in powers]
    axes.xaxis.set_major_locator(FixedLocator([1 + value for value in powers]))
    axes.xaxis.set_major_formatter(FixedFormatter(labels))
    axes.xaxis.set_minor_locator(NullLocator())
