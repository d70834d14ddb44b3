"""What slim networks are worth: accuracy over multiply-adds as selected, fine-tuned and from scratch (F15 to F17, F20).

`slim`: network, rule, budget (share aimed at), seed, multiply_adds (share of the full network's), dense, dense_tuned,
before, tuned, scratch, scratch_full (accuracies in percent); a row a pruned network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from .greedy_bounds_parts import RULES, look_of, ordered
from .mode_connectivity_parts import WIDTH, chosen, headline
from .panels import Picture, baseline, handle, legend, panels, series
from .sanity_checks_curves import empty
from .scales import stretch
from .style import BLACK, SOFT, Look, named, styled

PANELS = {"before": "as selected", "tuned": "fine-tuned", "scratch": "same size, fresh weights"}
DENSE = {"dense": Look("dense network", BLACK, ""), "dense_tuned": Look("dense, tuned as long", SOFT, "", "--")}
ONE = 2.0  # percent: shares that differ by less are one budget


@styled
def accuracy_over_flops(slim: pd.DataFrame, network: str) -> Picture:
    """Test accuracy of slim networks over their share of multiply-adds by rule, a panel a way to get there.

    Panels: nothing tuned; fine-tuned; the same slim networks trained from fresh weights with fine-tuning's budget, and
    as rings with the dense network's whole one, where that was run. The lower two share their scale. Black is the dense
    network, with its interval. Rules stand side by side on the grey ground of their budget; points are seeds, bars 95 %
    intervals.
    """
    rows = chosen(slim, network=network)
    if rows.empty or not rows[[*PANELS]].notna().any(axis=None):
        return empty(f"{named(network)}: no slim networks")
    rows = rows.assign(share=shares(rows))
    names, places = ordered(rows["rule"], RULES), np.sort(rows["share"].unique())
    gaps = np.diff(places)
    wide = float(min(gaps[gaps > ONE], default=10.0)) * 0.7  # of a budget's ground
    offsets = {name: wide * ((place + 0.5) / len(names) - 0.5) for place, name in enumerate(names)}
    figure, (above, key, *below) = panels(4, columns=2, width=WIDTH, height=3.2, extra=0.6)
    below[1].sharey(below[0])
    for axes, (way, title) in zip((above, *below), PANELS.items(), strict=True):
        for name in DENSE if way == "tuned" else ("dense",):
            baseline(axes, rows.drop_duplicates(["seed", name])[name], DENSE[name], name=name)
        for name in names:
            own, look = rows[rows["rule"] == name], look_of(name, RULES)
            series(axes, own, "share", way, look, name=name, shift=offsets[name])
            if way == "scratch":
                _rings(axes, own, look, name, offsets[name])
        axes.set_title(title, fontsize=11.5)
        axes.set_xlabel("multiply-adds (% of dense)")
        _budgets(axes, places, wide)
    stretch(above, pd.concat([rows["before"], rows["dense"]]), "test accuracy (%)")
    stretch(below[0], pd.concat([rows[name] for name in ("tuned", "scratch", "dense")]), "test accuracy (%)")
    headline(figure, named(network))
    lines = [DENSE[name] for name in DENSE if rows[name].notna().any()]
    handles = [handle(look) for look in [*lines, *(look_of(name, RULES) for name in names)]]
    if rows["scratch_full"].notna().any():
        ring: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "markeredgewidth": 1.6, "linestyle": "none"}
        handles.append(Line2D([], [], color=SOFT, label="whole training budget", **ring))
    legend(figure, handles)
    (lowest,) = figure.legends
    lowest.remove()
    words = [text.get_text() for text in lowest.texts]
    key.legend(
        handles=lowest.legend_handles, labels=words, loc="center left", bbox_to_anchor=(-0.1, 0.5), fontsize=10.5
    )
    key.set_axis_off()
    return figure


def shares(rows: pd.DataFrame) -> pd.Series:
    """The percent of multiply-adds that a rule's networks keep at a budget, mean over seeds.

    Where rules keep about the same at a budget, as one that sets the widths makes them, it is their common mean.
    """
    percent = 100 * rows["multiply_adds"]
    own = percent.groupby([rows["rule"], rows["budget"]], dropna=False).transform("mean")
    groups = own.groupby(rows["budget"], dropna=False)
    alike = groups.transform("max") - groups.transform("min") < ONE
    return own.where(~alike, percent.groupby(rows["budget"], dropna=False).transform("mean"))


def _rings(axes: Axes, rows: pd.DataFrame, look: Look, name: str, shift: float) -> None:
    """Means of the networks that were trained with the whole budget."""
    means = rows.groupby("share")["scratch_full"].mean().dropna()
    if len(means):
        ring: dict[str, Any] = {"color": look.color, "marker": look.marker, "markerfacecolor": "none"}
        at = means.index.to_numpy(dtype=float) + shift
        axes.plot(at, means, linestyle="none", markeredgewidth=1.6, zorder=4, gid=f"whole:{name}", **ring)


def _budgets(axes: Axes, places: Any, wide: float) -> None:
    """The ground of each budget, with its percent as far as there is room."""
    ticks: list[float] = []
    span = max(places[-1] - places[0], wide)
    for place in places:
        axes.axvspan(place - wide / 2, place + wide / 2, color="#eef1f4", linewidth=0, zorder=-1, gid="budget")
        if not ticks or place - ticks[-1] > span / 6:
            ticks.append(float(place))
    axes.set_xlim(places[0] - 0.65 * wide, places[-1] + 0.65 * wide)
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:.0f}" for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
