"""The explorer of the greedy-bounds study: which neurons of a layer are kept, and how well they stand in for all.

`matches`: network, layer, method, neurons, sample, target, output (one coordinate of what the consumer receives, full
and pruned); `picks`: network, layer, method, seed, iteration, neuron. Both of the first seed alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .gradient_flow_lines import view
from .greedy_bounds_parts import LINE, METHODS, look_of, one_of, ordered
from .mode_connectivity_parts import WIDTH, chosen, headline
from .panels import Picture, nothing, panels
from .sanity_checks_curves import empty
from .style import BLACK, Look, named, styled

SAME_PICKS = {"least_squares": LINE}  # other weights on the same neurons


def explore_table(matches: pd.DataFrame, picks: pd.DataFrame) -> pd.DataFrame:
    """Both tables in one, for `explorer`: rows of `matches` have no iteration, those of `picks` no target."""
    columns = ["network", "layer", "method", "neurons", "sample", "target", "output", "seed", "iteration", "neuron"]
    there = [frame for frame in (matches, picks) if not frame.empty]
    return pd.concat(there).reindex(columns=columns) if there else pd.DataFrame(columns=columns)


@styled
def explore_plot(table: pd.DataFrame, layer: tuple[str, str], method: str = LINE, neurons: int = 10) -> Picture:
    """Left: which neuron each iteration picks until so many are kept; right: the layer's output with these alone.

    `table`: `explore_table`'s; `layer`: network and layer. Filled points are neurons picked for the first time, rings
    ones picked again. On the broken line the pruned layer gives what the full one does; its relative error is that of
    the output shown. Where there is no output for so many neurons it is that of the nearest number.
    """
    one_of("method", method, METHODS)
    rows = chosen(chosen(table, network=layer[0]), layer=layer[1])
    own = rows if rows.empty else rows[rows["method"] == method]
    scatter, look = own[own["target"].notna()], look_of(method, METHODS)
    picks = rows if rows.empty else rows[(rows["method"] == SAME_PICKS.get(method, method)) & rows["iteration"].notna()]
    where = f"{named(layer[0])}, {layer[1]}, {look.label}"
    if scatter.empty and picks.empty:
        return empty(f"{where}: no picks and no outputs")
    if not scatter.empty:
        counts = scatter["neurons"].unique()
        neurons = int(counts[np.argmin(np.abs(counts - neurons))])
        scatter = scatter[scatter["neurons"] == neurons]
    figure, (left, right) = panels(2, columns=2, width=WIDTH, height=3.4, extra=0.5)
    most = rows["neuron"].max()
    _picks(left, picks, neurons, look, most)
    _match(right, scatter, look)
    headline(figure, where, f"{neurons} neuron{'s' * (neurons != 1)} kept")
    return figure


def explore_choices(table: pd.DataFrame) -> dict[str, Any]:
    """What `explore_plot` can be asked about this table, for `explorer`: labels and values of each choice."""
    layers = table[["network", "layer"]].drop_duplicates().itertuples(index=False, name=None)
    names = [name for name in ordered(table["method"], METHODS) if name in METHODS]
    counts = table.loc[table["target"].notna(), "neurons"].dropna().unique()
    return {
        "layer": {f"{named(network)}, {layer}": (network, layer) for network, layer in layers},
        "method": {METHODS[name].label: name for name in names},
        "neurons": [int(count) for count in sorted(counts)] or [1],
    }


def _picks(axes: Axes, picks: pd.DataFrame, neurons: int, look: Look, most: float) -> None:
    if picks.empty:
        nothing(axes, "no picks")
        return
    rows = picks[picks["seed"] == picks["seed"].min()].sort_values("iteration")
    again = rows["neuron"].duplicated()
    rows = rows[(~again).cumsum() <= neurons]
    again = again[rows.index] if rows.index.is_unique else rows["neuron"].duplicated()
    for part, gid, face in ((rows[~again], "first", look.color), (rows[again], "again", "none")):
        style: dict[str, Any] = {"s": 30, "edgecolors": look.color, "linewidths": 1.1, "zorder": 3, "facecolors": face}
        axes.scatter(part["iteration"], part["neuron"], gid=f"picks:{gid}", **style)
    title = f"{(~again).sum()} in {len(rows)} iterations"
    axes.set_title(title + (", rings: again" if again.any() else ""), fontsize=11.5)
    axes.set(xlabel="iteration", ylabel="neuron picked (index)", ylim=(-0.03 * most - 1, 1.03 * most + 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlim(0, max(rows["iteration"].max(), 2) * 1.05)


def _match(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    known = rows.dropna(subset=["target", "output"])
    if known.empty:
        nothing(axes, "no outputs")
        return
    both = pd.concat([known["target"], known["output"]])
    view(axes, "x", known["target"])
    view(axes, "y", both)
    ends = np.array(axes.get_xlim())
    axes.plot(ends, ends, "--", color=BLACK, linewidth=1.3, zorder=1, gid="identity", scalex=False, scaley=False)
    axes.scatter(known["target"], known["output"], s=14, color=look.color, alpha=0.6, linewidths=0, gid="match")
    power = float((known["target"] ** 2).sum())
    error = float(((known["output"] - known["target"]) ** 2).sum()) / power if power else np.nan
    axes.set_title(f"relative error {error:.2g}", fontsize=11.5)
    axes.set(xlabel="output of the full layer", ylabel="with these neurons alone")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
