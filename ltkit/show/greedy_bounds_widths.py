"""How wide greedy selection leaves each layer of a network.

`kept`: network, rule, budget (share of multiply-adds aimed at), seed, layer, width, kept; a row a layer.
"""

from __future__ import annotations

import math
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..verdict import t_interval
from .greedy_bounds_parts import RULES, look_of, ordered
from .mode_connectivity_parts import WIDTH, aside, chosen, headline
from .panels import EDGE, Picture, handle, legend, panels
from .sanity_checks_curves import empty
from .style import GREY, Look, named, styled


@styled
def kept_widths(kept: pd.DataFrame, network: str, budget: float | None = None) -> Picture:
    """The share of its neurons that each layer keeps, layers from input to output, a line a rule.

    Rules that keep the same number in every layer and seed are one line: at a budget of multiply-adds all do, since the
    budget sets the widths. `budget`: the smallest, if not given. Points are seeds, bars 95 % intervals.
    """
    rows = chosen(kept, network=network)
    budget = rows["budget"].min() if budget is None and not rows.empty else budget
    rows = rows if rows.empty or budget is None or math.isnan(budget) else chosen(rows, budget=budget)
    said = "" if budget is None or math.isnan(budget) else f", {100 * budget:.3g} % of the multiply-adds"
    if rows.empty:
        return empty(f"{named(network)}: no pruned layers")
    rows = rows.assign(share=100 * rows["kept"] / rows["width"])
    layers = list(dict.fromkeys(rows["layer"]))
    lines = alike(rows)
    figure, (axes,) = panels(1, width=WIDTH, height=0.6 + 0.36 * len(layers), extra=0.7 + 0.22 * (len(lines) + 2))
    for number, (look, own) in enumerate(lines):
        _line(axes, own, layers, look, aside(number, len(lines)))
    widths = rows.drop_duplicates("layer").set_index("layer")["width"]
    axes.set_yticks(range(len(layers)), [f"{layer} ({widths[layer]})" for layer in layers])
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.set_xlim(0, max(100.0, rows["share"].max()) + 2)
    axes.set_xlabel("neurons kept (%)")
    axes.set_ylabel("layer (its neurons)")
    headline(figure, named(network) + said)
    legend(figure, [handle(look) for look, _ in lines])
    return figure


def alike(rows: pd.DataFrame) -> list[tuple[Look, pd.DataFrame]]:
    """The rules with their rows; rules that keep the same everywhere are one, under all their names."""
    names = ordered(rows["rule"], RULES)
    groups: list[tuple[list[str], pd.Series, pd.DataFrame]] = []
    for name in names:
        own = rows[rows["rule"] == name]
        told = own.set_index(["layer", "seed"])["kept"].sort_index()
        same = next((members for members, other, _ in groups if told.equals(other)), None)
        if same is None:
            groups.append(([name], told, own))
        else:
            same.append(name)
    found, most = [], max((len(members) for members, _, _ in groups), default=0)
    for members, _, own in groups:
        look = look_of(members[0], RULES)
        label = ", ".join(look_of(name, RULES).label for name in members)
        if len(members) == most > 2:
            label, look = ("all rules" if len(groups) == 1 else f"the other {most} rules"), Look("", GREY, "o")
            most = 0  # of two groups as large the second one is named
        found.append((Look(fill(label, 52), look.color, look.marker, look.line), own))
    return found


def _line(axes: Axes, rows: pd.DataFrame, layers: list[str], look: Look, shift: float) -> None:
    """A rule's line down the layers: seeds, means and intervals; what was not pruned leaves a gap."""
    name = str(rows["rule"].iloc[0])
    places = rows["layer"].map(layers.index) + shift
    axes.scatter(rows["share"], places, s=13, color=look.color, alpha=0.45, linewidths=0, gid=f"seeds:{name}")
    groups = rows.groupby("layer")["share"]
    ends = [(layers.index(str(layer)) + shift, *t_interval(values.dropna())) for layer, values in groups]
    ends = [each for each in ends if math.isfinite(each[1])]
    if ends:
        at, lows, highs = zip(*ends, strict=True)
        axes.hlines(at, lows, highs, color=look.color, linewidth=1.6, zorder=3, gid=f"interval:{name}")
    means = groups.mean().reindex(layers)
    style: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": look.line, **EDGE}
    axes.plot(means, np.arange(len(layers)) + shift, zorder=4, gid=f"mean:{name}", **style)
