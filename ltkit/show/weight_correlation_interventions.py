"""The interventions of the weight-correlation study: does the ticket's lead follow the overlap? (E10)"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..verdict import estimate
from .mode_connectivity_parts import WIDTH, headline
from .panels import EDGE, Picture, handle, legend, panels
from .sanity_checks_curves import empty, rows_of
from .scales import widen
from .style import BLACK, BLUE, GREEN, GREY, LINE, SOFT, Look, arm, named, styled
from .style import density as short
from .weight_correlation_parts import RECIPES, P, commonest, decay_words, mask_words

CELL = ["recipe", "lr", "mask_lr", "decay"]
LOOKS = {
    "overlap": Look("dense network: start and end", BLACK, "s", "none"),
    "final_overlap": Look("ticket: start and end", GREEN, "D", "none"),
    "advantage": Look("ticket − fresh weights", BLUE, "o", "none"),
}
BASELINES = {"shuffled": "ticket − mask rearranged", "permuted": "ticket − weights shuffled"}
CHANCE = Look("overlap by chance", SOFT, "", ":")


@styled
def interventions(effects: pd.DataFrame, table: pd.DataFrame, network: str, density: float | None = None) -> Picture:
    """Overlap and lead of the ticket, a row an intervention, the one with the most overlap on top (E10).

    If overlap is what makes tickets win, the right side falls in the order of the left one. `effects` is that of
    `studies.weight_correlation_evidence`; from `table` come the ticket's leads over a rearranged mask and over its own
    weights in other places, where they were trained. One kind of mask and one density (of those that most interventions
    have the lowest, if not given) are drawn; of the plain runs the smallest and the largest learning rate at the weight
    decay that most interventions have.
    """
    rows = rows_of(effects, network)
    changed = rows if rows.empty else rows[(rows["recipe"] != "plain") | ~np.isclose(rows["mask_lr"], rows["lr"])]
    rows, main = _setting(rows, changed if len(changed) else rows, density)
    if rows.empty:
        return empty(f"{named(network)}: no interventions" + ("" if density is None else f" at density {density:g}"))
    order = rows.groupby(CELL)["overlap"].mean().sort_values(ascending=False, na_position="last", kind="stable")
    cells = {key: place for place, key in enumerate(order.index)}
    rows = rows.assign(place=[float(cells[key]) for key in rows[CELL].itertuples(index=False, name=None)])
    figure, every = panels(2, columns=2, width=WIDTH, height=0.52 * len(cells) + 0.8, extra=1.3, sharey=True)
    left, right = every
    left.axvline(P, color=CHANCE.color, linestyle=CHANCE.line, linewidth=1.5, zorder=1, gid="line:chance")
    right.axvline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
    _dots(left, rows, "overlap", LOOKS["overlap"], -0.14)
    _dots(left, rows, "final_overlap", LOOKS["final_overlap"], 0.16)
    _dots(right, rows, "advantage", LOOKS["advantage"], -0.14)
    leads = {name: _lead(rows, table, name) for name in BASELINES}
    leads = {name: mine for name, mine in leads.items() if len(mine)}
    for number, (name, mine) in enumerate(leads.items()):
        _dots(right, mine, name, arm(name), 0.1 + 0.22 * number)
    for axes in every:
        _lanes(axes, cells)
    left.set_yticks(range(len(cells)), [_name(*key, main=main) for key in cells])
    left.set_xlabel(f"overlap, p = {P:g}")
    shown = pd.concat([rows["advantage"], *(mine[name] for name, mine in leads.items())])
    widen(right, "x", shown, "accuracy points")
    left.set_title("overlap with its start", fontsize=11.5)
    right.set_title("lead of the ticket", fontsize=11.5)
    said = f"{mask_words(rows)}, {decay_words(main)} unless said"
    headline(figure, f"{named(network)}, density {short(rows['density'].iloc[0])}", said)
    marks = [Look(BASELINES[name], arm(name).color, arm(name).marker, "none") for name in leads]
    legend(figure, [*(handle(look) for look in LOOKS.values()), *map(handle, marks), handle(CHANCE)])
    return figure


def _setting(rows: pd.DataFrame, changed: pd.DataFrame, density: float | None) -> tuple[pd.DataFrame, float]:
    """Rows under one kind of mask at one density, of the plain ones those between which the interventions stand, and
    the weight decay that most interventions have."""
    if rows.empty:
        return rows, 0.0
    changed = commonest(changed, ["scope", "masking"])
    for column in ("scope", "masking"):
        rows = rows[rows[column] == changed[column].iloc[0]]
    if density is None:
        cells = changed.drop_duplicates([*CELL, "density"])["density"].value_counts()
        density = float(cells[cells == cells.max()].index.min())
    rows = rows[np.isclose(rows["density"], density)]
    plain = (rows["recipe"] == "plain") & np.isclose(rows["mask_lr"], rows["lr"])
    main = float(commonest(changed.drop_duplicates(CELL), ["decay"])["decay"].iloc[0])
    known = rows.loc[plain & (rows["decay"] == main), "lr"]
    return rows[~plain | ((rows["decay"] == main) & rows["lr"].isin([known.min(), known.max()]))], main


def _lanes(axes: Axes, cells: Mapping[Any, int]) -> None:
    """A lane a cell, from above; those with nothing changed are tinted."""
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for (recipe, lr, mask_lr, _), place in cells.items():
        axes.axhline(place + 0.5, color=LINE, linewidth=0.8, zorder=0)
        if recipe == "plain" and math.isclose(lr, mask_lr):
            tint: dict[str, Any] = {"color": GREY, "alpha": 0.12, "linewidth": 0, "zorder": 0}
            axes.axhspan(place - 0.5, place + 0.5, gid=f"plain:{lr:g}", **tint)


def _lead(rows: pd.DataFrame, table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The ticket's lead over the arm `name` in accuracy points, by place, where both were trained."""
    keys = ["network", *CELL, "masking", "scope", "density", "seed"]
    if table.empty:
        return pd.DataFrame(columns=["place", "seed", name])
    known = table.assign(density=table["density"].astype(float).round(9))
    found = rows[[*keys, "place"]]
    for one in ("lt", name):
        mine = known.loc[(known["arm"] == one) & (known["outcome"] != "missing"), [*keys, "accuracy"]]
        found = found.merge(mine.rename(columns={"accuracy": f"of:{one}"}), on=keys, validate="one_to_one")
    return found.assign(**{name: found["of:lt"] - found[f"of:{name}"]})


def _dots(axes: Axes, rows: pd.DataFrame, value: str, look: Look, shift: float) -> None:
    """`value` at the places of its rows: faint seeds, mean, 95 % t interval, × where some diverged."""
    places = rows["place"] + shift
    axes.scatter(rows[value], places, s=13, color=look.color, alpha=0.4, linewidths=0, zorder=2, gid=f"seeds:{value}")
    lost = sorted(places[rows[value].isna()].unique())
    if lost:
        cross: dict[str, Any] = {"color": look.color, "marker": "x", "s": 42, "linewidths": 1.8}
        where = axes.get_yaxis_transform()
        axes.scatter([0.97] * len(lost), lost, transform=where, zorder=5, gid=f"lost:{value}", **cross)
    sound = rows[rows[value].notna()]
    told = {place + shift: estimate(own) for place, own in sound.groupby("place")[value]}
    bars = [(place, one.low, one.high) for place, one in told.items() if math.isfinite(one.low)]
    if bars:
        at, lows, highs = zip(*bars, strict=True)
        axes.hlines(at, lows, highs, color=look.color, linewidth=1.8, zorder=3, gid=f"interval:{value}")
    style: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": "none", **EDGE}
    axes.plot([one.mean for one in told.values()], list(told), zorder=4, gid=f"mean:{value}", **style)


def _name(recipe: str, lr: float, mask_lr: float, decay: float, *, main: float) -> str:
    """An intervention in two lines: what was changed, and the learning rate with what else isn't usual."""
    moved = [] if math.isclose(lr, mask_lr) else [f"mask from lr {mask_lr:g}"]
    first = ", ".join([RECIPES[recipe]] * (recipe != "plain" or not moved) + moved)
    return f"{first}\nlr {lr:g}" + ("" if math.isclose(decay, main) else f", {decay_words(decay)}")
