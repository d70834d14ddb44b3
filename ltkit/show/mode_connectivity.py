"""Figures of the mode-connectivity study: each a pure function from its tables to a figure, with nothing trained.

`table` has a row a run: network, setting, arm, level, density, seed, twin, rewind, accuracy (percent), outcome; and
`weights` a row a round: network, setting, arm, seed, level, density, dip, bimodal, threshold. The other tables are
described where their figures are. Settings stand in the order of their table.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from .mode_connectivity_barriers import SERIES, barrier_kinds, instability, ticket_gap
from .mode_connectivity_histograms import weight_histograms
from .mode_connectivity_maps import distance_map, solution_map
from .mode_connectivity_parts import (
    KINDS,
    LIMIT,
    WIDTH,
    barrier_axis,
    chosen,
    headline,
    panel_title,
    words_of,
)
from .mode_connectivity_paths import error_along_path, explore_choices, explore_plot
from .mode_connectivity_surface import surface
from .panels import Picture, baseline, handle, legend, panels, series
from .sanity_checks_curves import empty
from .scales import density_axis, dodge, stretch
from .style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, SOFT, VERMILION, WINE, Look, arm, named, nth, styled
from .tables import of
from .tables import shown as shown_in

__all__ = [
    "barrier_kinds",
    "bn_effect",
    "distance_map",
    "error_along_path",
    "explore_choices",
    "explore_plot",
    "instability",
    "repulsion",
    "shown",
    "solution_map",
    "surface",
    "ticket_gap",
    "weight_histograms",
    "weight_modes",
]

shown = partial(shown_in, words={kind: look.label for kind, look in SERIES.items()})
ARMS = {
    "imp": Look("ticket (IMP)", BLUE, "o"),
    "reinit": Look("same mask, fresh weights", VERMILION, "s"),
    "repelled": Look("ticket, repelled", PURPLE, "D"),
    "attracted": Look("ticket, attracted", GREEN, "P"),
    "repelled_last": Look("ticket, repelled by the last", WINE, "X", ":"),
    "repelled_reinit": Look("fresh weights, repelled", ORANGE, "v", "--"),
    "attracted_reinit": Look("fresh weights, attracted", SKY, "^", "--"),
}


@styled
def repulsion(table: pd.DataFrame, network: str) -> Picture:
    """Accuracy over density of tickets pushed away from earlier optima or drawn to them, a panel a setting (C7 to C10).

    Their controls are the plain ticket and the same masks on fresh weights, with and without the same term; the black
    line is the dense network.
    """
    rows = table if table.empty else of(table, network)
    pushed = rows if rows.empty else rows[rows["arm"].str.contains("repelled|attracted")]
    if pushed.empty:
        return empty(f"{named(network)}: no repelled or attracted tickets")
    names = list(dict.fromkeys(pushed["setting"]))
    rows = rows[rows["setting"].isin(names) & (rows["twin"].fillna(0) == 0) & (rows["rewind"].fillna(0) == 0)]
    drawn = [name for name in ARMS if (rows["arm"] == name).any()]
    whole, tickets = rows[rows["arm"] == "dense"], rows[rows["arm"].isin(drawn) & (rows["level"] > 0)]
    figure, every = panels(len(names), columns=2, width=WIDTH, height=3.3, extra=1.7, sharey=True)
    for axes, name in zip(every, names, strict=True):
        density_axis(axes, tickets["density"])
        baseline(axes, whole.loc[whole["setting"] == name, "accuracy"], arm("dense"), name="dense")
        for number, one in enumerate(drawn):
            mine = tickets[(tickets["arm"] == one) & (tickets["setting"] == name)]
            shift = dodge(tickets["density"], number, len(drawn))
            series(axes, mine, "density", "accuracy", ARMS[one], name=one, shift=shift)
        panel_title(axes, words_of(name))
    for axes in every[::2]:
        stretch(axes, pd.concat([whole["accuracy"], tickets["accuracy"]]), "test accuracy (%)")
    headline(figure, named(network))
    lines = [Look(arm("dense").label, BLACK, "")] if len(whole) else []
    legend(figure, [handle(look) for look in [*lines, *(ARMS[one] for one in drawn)]])
    return figure


@styled
def weight_modes(weights: pd.DataFrame, network: str) -> Picture:
    """Whether the kept weights have two modes, and the magnitude that each round cuts at, over density (C20, C21).

    Two columns of settings, in each the dip (density of |w| near 0 over its peak; below a half: two modes) above the
    threshold, ticket beside fresh weights.
    """
    rows = chosen(weights, network=network)
    rows = rows if rows.empty else rows[rows["arm"].isin(("imp", "reinit"))]
    if rows.empty:
        return empty(f"{named(network)}: no weights were looked at")
    rows = rows.assign(density=rows["density"].astype(float).round(9))
    names = list(dict.fromkeys(rows["setting"]))
    across = min(2, len(names))
    down = -(-len(names) // across)
    figure, every = panels(2 * across * down, columns=across, width=WIDTH, height=2.2, extra=1.4, sharex=True)
    grid = np.array(every, dtype=object).reshape(down, 2, across)
    for number in range(down * across):
        pair = grid[number // across, :, number % across]
        if number >= len(names):
            for axes in pair:
                axes.remove()
            continue
        here = rows[rows["setting"] == names[number]]
        for axes, column in zip(pair, ("dip", "threshold"), strict=True):
            density_axis(axes, rows["density"])
            for place, one in enumerate(("imp", "reinit")):
                mine = here[(here["arm"] == one) & here[column].notna()]  # nothing is cut in the last round
                shift = dodge(rows["density"], place, 2)
                series(axes, mine, "density", column, ARMS[one], name=one, shift=shift)
            least = 1.0 if column == "dip" else 1e-6
            axes.set_ylim(0, 1.08 * max(least, float(rows[column].fillna(0).max())))
            axes.set_ylabel(column if number % across == 0 else "")
            axes.tick_params(labelbottom=column == "threshold", labelleft=number % across == 0)
        pair[0].axhline(0.5, color=SOFT, linestyle="--", linewidth=1.4, zorder=1, gid="line:half")
        panel_title(pair[0], words_of(names[number]))
        pair[0].set_xlabel("")
    headline(figure, f"{named(network)}: magnitudes of the kept weights")
    half = handle(Look("below: two modes", SOFT, "", "--"))
    legend(figure, [*(handle(ARMS[one]) for one in ("imp", "reinit") if (rows["arm"] == one).any()), half])
    return figure


@styled
def bn_effect(barriers: pd.DataFrame, network: str, kind: str, split: str = "test") -> Picture:
    """The barrier with BatchNorm's statistics interpolated over that with them recomputed, a look a setting (7.3).

    A small point is a pair, a large one the mean of a setting and density. Above the diagonal interpolating inflates.
    """
    rows = chosen(barriers, network=network, kind=kind, split=split)
    keys = ["setting", "level", "density", "rewind", "endpoint_mask", "seed", "pair"]
    both = pd.DataFrame(columns=["recompute", "interpolate"])
    if len(rows):
        known = rows[rows["batch_norm"].isin(("recompute", "interpolate"))].fillna({"rewind": 0})
        both = known.set_index([*keys, "batch_norm"])["barrier"].unstack("batch_norm").reindex(columns=both.columns)
        both = both.dropna().reset_index()
    if both.empty:
        return empty(f"{named(network)}: no barriers between {KINDS[kind]} with BatchNorm in both ways")
    names = list(dict.fromkeys(rows["setting"]))
    figure, (axes,) = panels(1, width=WIDTH, height=4.6, extra=1.4 + 0.24 * len(names))
    shown = pd.concat([both["recompute"], both["interpolate"]])
    barrier_axis(axes, "x", shown, "barrier, BatchNorm recomputed")
    barrier_axis(axes, "y", shown, "barrier, BatchNorm interpolated")
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color=BLACK, linewidth=1.1, zorder=1, gid="equal")
    looks = {name: nth(number, words_of(name)) for number, name in enumerate(names)}
    for name, look in looks.items():
        mine = both[both["setting"] == name]
        dots: dict[str, Any] = {"s": 13, "color": look.color, "alpha": 0.45, "linewidths": 0, "zorder": 2}
        axes.scatter(mine["recompute"], mine["interpolate"], gid=f"pairs:{name}", **dots)
        means = mine.groupby(["level", "rewind"])[["recompute", "interpolate"]].mean()
        mark: dict[str, Any] = {"marker": look.marker, "s": 60, "color": look.color, "edgecolors": "white", "zorder": 4}
        axes.scatter(means["recompute"], means["interpolate"], gid=f"mean:{name}", **mark)
    headline(figure, f"{named(network)}: {KINDS[kind]}", f"barriers on the {split} set")
    marks = [handle(Look(look.label, look.color, look.marker, "none")) for look in looks.values()]
    equal = handle(Look("equal", BLACK, ""))
    legend(figure, [*marks, equal, handle(LIMIT)], seeds=False)
    return figure
