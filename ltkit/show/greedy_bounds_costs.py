"""What picking a neuron costs, and how much of it a shortlist saves without missing the best (F18, F23).

`shortlist`: network, layer, seed, step, rank (of the exact pick in first-order order, 1 the best); a row a step.
`costs`: network, layer, width, form (gram, direct, global, shortlist), seconds, passes (both a pick); a row a layer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from .gradient_flow_lines import bottom, curve
from .greedy_bounds_parts import counting, ordered
from .mode_connectivity_parts import WIDTH, chosen, headline
from .panels import EDGE, Picture, handle, legend, panels
from .sanity_checks_curves import empty
from .style import BLUE, GREY, INK, MARKERS, ORANGE, PURPLE, SKY, SOFT, Look, named, nth, styled

SHORT, MARGIN = 10, 90  # neurons, and the percent of picks that F18 asks for among them
FORMS = {
    "gram": Look("local, Gram form", BLUE),
    "direct": Look("local, direct form", SKY),
    "shortlist": Look("global, shortlist", ORANGE),
    "global": Look("global, all neurons", PURPLE),
}
UNITS = {"seconds": "seconds a pick", "passes": "forward passes a pick"}


@styled
def shortlist_recall(shortlist: pd.DataFrame, network: str | None = None) -> Picture:
    """How often the neuron that an exact search picks is among the best of first-order scores, over their number.

    A line a network, or a line a layer of the one that is asked for; seeds faint, means over seeds with 95 % intervals.
    F18 asks for 90 % at ten: above and left of the mark a shortlist is safe.
    """
    rows = chosen(shortlist, network=network)
    rows = rows if rows.empty else rows[rows["rank"].notna()]
    if rows.empty:
        return empty(f"{named(network) if network else 'all networks'}: no picks to find in a shortlist")
    by = "network" if network is None else "layer"
    names = list(dict.fromkeys(rows[by]))
    figure, (axes,) = panels(1, width=WIDTH, height=3.4, extra=1.5)
    longest = int(max(rows["rank"].max(), 2 * SHORT))
    axes.set_autoscale_on(False)
    lengths = np.unique([*np.geomspace(1, longest, 40).round().astype(int).tolist(), SHORT])
    handles = []
    for number, name in enumerate(names):
        own = rows[rows[by] == name]
        shares = [
            {"seed": seed, "length": length, "share": 100 * (ranks <= length).mean()}
            for seed, ranks in own.groupby("seed")["rank"]
            for length in lengths
        ]
        drawn = pd.DataFrame(shares)
        at = drawn.loc[drawn["length"] == SHORT, "share"].mean()
        look = nth(number, f"{named(name) if by == 'network' else name}: {at:.0f} %")
        curve(axes, drawn, "length", "share", look, name=str(name), phase=number)
        handles.append(handle(look))
    axes.plot([1, SHORT, SHORT], [MARGIN, MARGIN, 0], "--", color=INK, linewidth=1.4, zorder=1, gid="margin")
    axes.set(xlim=(0.95, longest * 1.05), ylim=(0, 102))
    counting(axes)
    axes.set(xlabel="length of the shortlist (neurons)", ylabel="picks that it holds (%)")
    headline(figure, f"{named(network) if network else 'first-order shortlists'}: share of picks among the first 10")
    bottom(figure, *handles, Line2D([], [], color=INK, linestyle="--", label="90 % of the first 10 (F18)"))
    return figure


@styled
def costs(costs: pd.DataFrame) -> Picture:
    """Seconds and forward passes a pick by form of selection, on logarithmic axes; a small point a layer.

    The thick stroke is the geometric mean over layers, with how many times that of the Gram form it is.
    Where there is no pass at all, as in the Gram form once it has its products, there is a 0.
    """
    rows = costs if costs.empty else costs[costs[list(UNITS)].notna().any(axis=1)]
    if rows.empty:
        return empty("no costs of picks")
    names = ordered(rows["form"], FORMS)
    networks = list(dict.fromkeys(rows["network"]))
    figure, every = panels(2, columns=2, width=WIDTH, height=1.2 + 0.45 * len(names), extra=0.8, sharey=True)
    for axes, (column, label) in zip(every, UNITS.items(), strict=True):
        known = rows.loc[rows[column] > 0, column]
        axes.set_xscale("log")
        low, high = (known.min(), known.max()) if len(known) else (1.0, 10.0)
        left = 10.0 ** math.floor(math.log10(low) - 0.15)
        axes.set_xlim(left, high * (high / left) ** 0.4)
        means = {name: _mean(rows.loc[rows["form"] == name, column]) for name in names}
        for place, name in enumerate(names):
            own = rows[rows["form"] == name]
            _row(axes, own, column, place, means, left, networks)
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    every[0].set_yticks(range(len(names)), [FORMS[name].label if name in FORMS else name for name in names])
    every[0].set_ylim(len(names) - 0.5, -0.5)
    headline(figure, "cost of picking one neuron", "× how many times that of the Gram form")
    dot: dict[str, Any] = {"linestyle": "none", "color": SOFT, "markersize": 6, **EDGE}
    handles = [Line2D([], [], marker=_mark(name, networks), label=named(name), **dot) for name in networks]
    legend(figure, handles, seeds=False)
    return figure


def _mark(network: str, networks: list[str]) -> str:
    return MARKERS[networks.index(network) % len(MARKERS)]


def _mean(values: pd.Series) -> float:
    """The geometric mean; 0 where nothing is above it, NaN of nothing."""
    known = values.dropna()
    return math.nan if known.empty else math.exp(np.log(known[known > 0]).mean()) if (known > 0).any() else 0.0


def _row(
    axes: Axes, rows: pd.DataFrame, column: str, place: int, means: dict[str, float], left: float, networks: list[str]
) -> None:
    """A form's bar, its layers, and how it compares."""
    name = str(rows["form"].iloc[0])
    color = FORMS[name].color if name in FORMS else GREY
    mean, base = means[name], means.get("gram", math.nan)
    said: dict[str, Any] = {"va": "center", "fontsize": 11, "gid": f"times:{name}"}
    if not mean > 0:
        axes.text(left * 1.15, place, " 0" if mean == 0 else " –", **said)
        return
    axes.vlines([mean], place - 0.34, place + 0.34, color=color, linewidth=3.5, zorder=2, gid=f"mean:{name}")
    for network, own in rows[rows[column] > 0].groupby("network", sort=False):
        spread = place + 0.18 * np.linspace(-1, 1, len(own)) if len(own) > 1 else np.full(1, float(place))
        mark: dict[str, Any] = {"marker": _mark(str(network), networks), "s": 26, "edgecolors": "white"}
        axes.scatter(own[column], spread, color=color, linewidths=0.6, zorder=3, gid=f"layers:{name}:{network}", **mark)
    times = mean / base if base > 0 and name != "gram" else math.nan
    words = f"×{times:,.0f}" if times >= 9.5 else f"×{times:.1f}" if math.isfinite(times) else ""
    words = words if column == "seconds" else f"{mean:.3g}"
    end = max(rows[column].max(), mean)
    axes.annotate(words, (end, place), (6, 0), textcoords="offset points", **said)
