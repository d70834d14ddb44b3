"""Figures of the weight-correlation study over density: what a mask's weights are worth by method, and an explorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..errors import UserError, nearest
from .mode_connectivity_parts import headline, panel_title
from .panels import Picture, baseline, handle, series
from .sanity_checks_curves import empty, rows_of
from .scales import density_axis, dodge, stretch, widen
from .style import BLACK, arm, named, styled
from .tables import full, minus
from .weight_correlation_parts import MASKINGS, RECIPES, SCOPES, commonest, decay_words, grid, keyed, plain

WHOLE = ("dense", "dense_more")
METHODS = ("lt", "rr", "rewind", "lr_rewind", "pft")
COMPARISONS = {
    "all methods": METHODS,
    "ticket and fresh weights": ("lt", "rr"),
    "ticket and fine-tuning": ("lt", "lt_long", "pft"),
    "ticket and what is shuffled": ("lt", "shuffled", "permuted", "rr"),
}
STATISTICS = {  # a column, or the arm that is subtracted, and how the axis calls it
    "test accuracy": ("accuracy", "test accuracy (%)"),
    "validation accuracy": ("validation", "validation accuracy (%)"),
    "training loss": ("train_loss", "training loss"),
    "test accuracy minus dense": ("dense", "accuracy points\nabove dense"),
    "test accuracy minus fresh weights": ("rr", "accuracy points\nabove fresh weights"),
}

SUBTRACTED = ("dense", "rr")


@styled
def accuracy_by_method(table: pd.DataFrame, network: str, lr: float, arms: Sequence[str] = METHODS) -> Picture:
    """Test accuracy over density at one learning rate, a line a method and a panel a way to find the mask (E6, E7, E9).

    `table`: `studies.weight_correlation.collect`. Black is the dense network with its interval; dashed grey is the
    dense network that trained once more, which is what fine-tuning has to beat at equal epochs. Masks are those cut
    layer by layer where there are any; of several weight decays it is the one with the most runs.
    """
    rows = plain(rows_of(table, network))
    rows = rows if rows.empty else rows[np.isclose(rows["lr"], lr)]
    tickets = rows if rows.empty else rows[rows["arm"].isin(arms)]
    if tickets.empty:
        return empty(f"{named(network)}: no pruned networks at learning rate {lr:g}")
    layered = tickets["scope"] == "layer"
    tickets = commonest(tickets[layered] if layered.any() else tickets, ["scope", "decay"])
    decay, scope = tickets["decay"].iloc[0], tickets["scope"].iloc[0]
    whole = rows[rows["arm"].isin(WHOLE) & (rows["decay"] == decay)]
    parts = {MASKINGS[name]: tickets[tickets["masking"] == name] for name in MASKINGS}
    figure = _curves({text: (part, whole) for text, part in parts.items() if len(part)}, arms, "accuracy")
    headline(figure, f"{named(network)}, learning rate {lr:g}", f"{decay_words(decay)}, masks {SCOPES[scope]}")
    return figure


@styled
def explore_plot(
    table: pd.DataFrame,
    network: str,
    methods: Sequence[str] = METHODS,
    lr: float | str = "all",
    decay: float | None = None,
    masks: tuple[str, str] = ("iterative", "layer"),
    recipe: str = "plain",
    statistic: str = "test accuracy",
) -> Picture:
    """Any methods of a network over density by one of `STATISTICS`, at one learning rate or a panel each for "all".

    `decay`: the one with the most runs, if not given. `masks`: masking and scope. Masks of another learning rate are
    left out. What the study didn't run gives a figure that says so; UserError for an unknown statistic.
    """
    if statistic not in STATISTICS:
        raise UserError(f"no statistic '{statistic}'{nearest(statistic, STATISTICS)}; known: {', '.join(STATISTICS)}")
    what, label = STATISTICS[statistic]
    rows = rows_of(table, network)
    rows = rows if rows.empty else rows[(rows["recipe"] == recipe) & np.isclose(rows["mask_lr"], rows["lr"])]
    rows = rows if rows.empty or isinstance(lr, str) else rows[np.isclose(rows["lr"], lr)]
    rows = commonest(rows, ["decay"]) if rows.empty or decay is None else rows[np.isclose(rows["decay"], decay)]
    parts: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for rate, here in rows.groupby("lr", sort=True) if not rows.empty else ():
        whole = here[here["arm"].isin(WHOLE)]
        tickets = here[(here["masking"] == masks[0]) & (here["scope"] == masks[1])]
        if what in SUBTRACTED:
            both = pd.concat([whole, tickets])
            found = [minus(both, name, what).assign(arm=name) for name in methods if name != what]
            tickets, whole = pd.concat(found), whole[:0]
        else:  # what wasn't measured hasn't diverged
            tickets, whole = (side[side[what].notna() | side["accuracy"].isna()] for side in (tickets, whole))
        tickets = tickets[tickets["arm"].isin(methods)]
        if not tickets.empty:
            parts[f"learning rate {rate:g}"] = tickets, whole
    about = f"{MASKINGS[masks[0]]} {SCOPES[masks[1]]}"
    about += "" if rows.empty else f", {decay_words(rows['decay'].iloc[0])}"
    about += "" if recipe == "plain" else f", {RECIPES[recipe]}"
    if not parts:
        return empty(f"{named(network)}: no such runs with {about}")
    figure = _curves(parts, methods, "value" if what in SUBTRACTED else what, label)
    headline(figure, named(network), about)
    return figure


def explore_choices(table: pd.DataFrame) -> dict[str, Any]:
    """What `explore_plot` can be asked about this table, for `explorer`: labels and values of each choice.

    First stand the masks that were trained at the most densities, and the commonest weight decay.
    """
    rows = full(table)
    there, cut = set(rows["arm"]), rows[rows["masking"].isin(MASKINGS)]
    densities = cut.groupby(["masking", "scope"])["density"].nunique()
    return {
        "network": {named(name): name for name in dict.fromkeys(rows["network"])},
        "methods": {text: arms for text, arms in COMPARISONS.items() if there & set(arms)},
        "lr": {"all": "all"} | {f"{lr:g}": float(lr) for lr in sorted(rows["lr"].unique())},
        "decay": {f"{decay:g}": float(decay) for decay in rows["decay"].value_counts().index},
        "masks": {
            f"{MASKINGS[name]} {SCOPES[scope]}": (name, scope)
            for name, scope in densities.sort_values(ascending=False, kind="stable").index
        },
        "recipe": {RECIPES[name]: name for name in RECIPES if (rows["recipe"] == name).any()},
        "statistic": list(STATISTICS),
    }


def _curves(
    parts: dict[str, tuple[pd.DataFrame, pd.DataFrame]],
    arms: Sequence[str],
    value: str,
    label: str = "test accuracy (%)",
) -> Picture:
    """A panel each of `parts`: the rows of sparse networks, and of dense ones, by the panel's title."""
    tickets, whole = (pd.concat([sides[number] for sides in parts.values()]) for number in (0, 1))
    drawn = [name for name in arms if (tickets["arm"] == name).any()]
    figure, every = grid(len(parts), height=3.1, below=1.9)
    densities = [*tickets["density"], *([1.0] if len(whole) else [])]
    controls = tickets.loc[tickets["arm"] != "lt", "density"]
    for axes, (text, (mine, dense)) in zip(every, parts.items(), strict=True):
        density_axis(axes, densities, [max(densities), *controls])
        _dense(axes, dense, value)
        if value == "value":
            axes.axhline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
        for number, name in enumerate(drawn):
            shift = 1.6 * dodge(densities, number, len(drawn))  # two panels share the width
            series(axes, mine[mine["arm"] == name], "density", value, arm(name), name=name, shift=shift)
        panel_title(axes, text)
    shown = pd.concat([tickets[value], *([whole[value]] if len(whole) else [])])
    for axes in every[::2]:
        if value in ("accuracy", "validation"):
            stretch(axes, shown, label)
        elif value == "value":
            widen(axes, "y", shown, label)
        else:
            axes.set_ylabel(label)
    there = [name for name in WHOLE if (whole["arm"] == name).any()]
    keyed(figure, len(parts), [handle(arm(name)) for name in [*there, *drawn]])
    return figure


def _dense(axes: Axes, whole: pd.DataFrame, value: str) -> None:
    for name in WHOLE if len(whole) else ():
        mine = whole[whole["arm"] == name]
        baseline(axes, mine[value], arm(name), name=name)
        if name == "dense":
            series(axes, mine, "density", value, arm(name), name=name)
