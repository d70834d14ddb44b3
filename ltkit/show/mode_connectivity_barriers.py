"""Figures of the mode-connectivity study about barriers: between twins, between rounds, and to tickets.

`barriers`: network, setting, kind, level, density, rewind, seed, pair, batch_norm, endpoint_mask, split, barrier,
excess, end_a, end_b (points of error); a row a pair and split. Settings stand in the order of their table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import pandas as pd
from matplotlib.patches import Patch

from .mode_connectivity_parts import (
    LIMIT,
    STABLE,
    WIDTH,
    aside,
    barrier_axis,
    by_seed,
    chosen,
    headline,
    panel_title,
    places,
    some,
    treated,
    words_of,
)
from .panels import Picture, baseline, handle, legend, nothing, panels, series
from .sanity_checks_curves import empty
from .scales import density_axis, dodge, widen
from .style import BLACK, BLUE, GREEN, GREY, PURPLE, SKY, VERMILION, Look, named, nth, styled
from .style import density as short
from .tables import of

SERIES = {
    "rounds": Look("ticket – next round's ticket", BLUE, "o"),
    "dense_ticket": Look("masked dense – ticket", GREEN, "D"),
    "finetuned_ticket": Look("fine-tuned – ticket", PURPLE, "P"),
    "rounds_reinit": Look("control: rounds, fresh weights", VERMILION, "s", "--"),
}
TWINS = ("twins_dense", "twins_imp")
START = Look("dense network, k = 0", BLACK, "s")
FULL = Look("all epochs after k", BLACK, "", "-.")
UNRELATED = Look("unrelated dense networks", GREY, "", ":")


@styled
def instability(barriers: pd.DataFrame, network: str, split: str = "test") -> Picture:
    """Barrier between twins: dense ones over the epochs they share, and tickets over density; by setting (L1, C5).

    Density 1 is the dense twins without shared epochs. Dash-dotted are dense twins trained for all epochs after those
    that they share (L3). Grey is the barrier between dense networks of two seeds, the mean over settings.
    """
    rows, treatment = _rows(barriers, network, split, (*TWINS, "twins_full", "unrelated"))
    means = by_seed(rows)
    twins = means[means["kind"].isin(TWINS)]
    if twins.empty:
        return empty(f"{named(network)}: no twins")
    dense, tickets = (twins[twins["kind"] == kind] for kind in TWINS)
    names = list(dict.fromkeys(twins["setting"]))
    looks = {name: nth(number, words_of(name)) for number, name in enumerate(names)}
    unrelated = means[means["kind"] == "unrelated"].groupby("seed")["barrier"].mean()
    steps = sorted(dense["step"].unique())
    dense, full = (
        rows.assign(place=[float(steps.index(step)) for step in rows["step"]])
        for rows in (dense, means[(means["kind"] == "twins_full") & means["step"].isin(steps)])
    )
    sides = {"dense networks": ("place", dense)}
    sides["tickets"] = ("density", pd.concat([tickets, dense[dense["step"] == 0]]) if len(tickets) else tickets)
    sides = {text: (x, side) for text, (x, side) in sides.items() if len(side)}
    height = 1.1 + 0.12 * len(names)
    figure, every = panels(len(sides), columns=2, width=WIDTH, height=3.5, extra=height, sharey=True)
    for axes, (text, (x, side)) in zip(every, sides.items(), strict=True):
        if x == "place":
            places(axes, [f"{step:g}" for step in steps])
            axes.set_xlabel("shared epochs k")
        else:
            density_axis(axes, side["density"])
        for number, (name, look) in enumerate(looks.items()):
            shift = (aside if x == "place" else partial(dodge, side["density"]))(number, len(names))
            series(axes, side[side["setting"] == name], x, "barrier", look, name=name, shift=shift)
            if x == "place":
                again = replace(look, line=FULL.line)
                series(axes, full[full["setting"] == name], x, "barrier", again, name=f"full:{name}", shift=shift)
        baseline(axes, unrelated, UNRELATED, name="unrelated")
        shown = pd.concat([twins["barrier"], full["barrier"], unrelated])
        barrier_axis(axes, "y", shown, "barrier" if axes is every[0] else "")
        axes.set_title(text)
    headline(figure, f"{named(network)}: twins in two data orders, {split} set", treatment)
    more = [handle(FULL)] if len(full) else []
    more += [handle(UNRELATED)] if len(unrelated) else []
    legend(figure, [*(handle(look) for look in looks.values()), *more, handle(LIMIT)])
    return figure


@styled
def ticket_gap(table: pd.DataFrame, barriers: pd.DataFrame, network: str, split: str = "test") -> Picture:
    """Above the ticket's lead over fresh weights, below its instability, both by setting (C6).

    A line a density, at most four of those at which tickets have twins. Settings whose tickets are stable on average,
    at every density, are tinted in both panels; black is the instability of dense networks from their start on.
    """
    leads = _leads(table, network)
    mine = barriers if barriers.empty else barriers[barriers["network"] == network]
    rows, treatment = _rows(mine, network, split, TWINS)
    means = by_seed(rows)
    tickets = means[means["kind"] == "twins_imp"]
    dense = means[(means["kind"] == "twins_dense") & (means["step"] == 0)]
    levels = sorted(set(leads["level"]) & (set(tickets["step"]) or set(leads["level"])))
    if not levels:
        return empty(f"{named(network)}: no tickets with fresh weights on the same mask")
    worst = tickets.groupby(["setting", "step"])["barrier"].mean().groupby("setting").max()
    levels = some(levels, 4)
    leads, tickets = leads[leads["level"].isin(levels)], tickets[tickets["step"].isin(levels)]
    names = list(dict.fromkeys(leads["setting"]))
    kept = leads.groupby("level")["density"].first()
    looks = {level: nth(number, f"density {short(kept[level])}") for number, level in enumerate(levels)}
    figure, every = panels(2, columns=1, width=WIDTH, height=2.5, extra=2.0, sharex=True)
    for place, name in enumerate(names):
        for axes in every if worst.get(name, STABLE) < STABLE else ():
            axes.axvspan(place - 0.5, place + 0.5, color=SKY, alpha=0.18, linewidth=0, zorder=0, gid=f"stable:{name}")
    every[0].axhline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
    for number, (level, look) in enumerate(looks.items()):
        shift = aside(number, len(looks) + 1)
        mine = leads[leads["level"] == level]
        series(every[0], _placed(mine, names), "place", "value", look, name=f"{level:g}", shift=shift)
        mine = tickets[tickets["step"] == level]
        series(every[1], _placed(mine, names), "place", "barrier", look, name=f"{level:g}", shift=shift)
    shift = aside(len(looks), len(looks) + 1)
    series(every[1], _placed(dense, names), "place", "barrier", START, name="dense", shift=shift)
    widen(every[0], "y", leads["value"], "accuracy points")
    every[0].set_title("ticket − same mask, fresh weights")
    if tickets.empty and dense.empty:
        nothing(every[1], "no twins of these tickets")
        every[1].set_axis_on()
        every[1].set_yticks([])
    else:
        barrier_axis(every[1], "y", pd.concat([tickets["barrier"], dense["barrier"]]).astype(float), "barrier")
        every[1].set_title(f"instability of the ticket ({split} set)")
    places(every[1], names)
    every[1].set_xlabel("setting: batch / learning rate")
    headline(figure, named(network), treatment)
    handles: list[Any] = [handle(look) for look in looks.values()]
    handles += [handle(START)] if len(dense) else []
    handles += (
        [Patch(color=SKY, alpha=0.3, linewidth=0, label="tickets stable throughout")] if (worst < STABLE).any() else []
    )
    legend(figure, [*handles, handle(LIMIT)])
    return figure


@styled
def barrier_kinds(
    barriers: pd.DataFrame, network: str, split: str = "train", value: Literal["barrier", "excess"] = "barrier"
) -> Picture:
    """Barrier over density for three kinds of path on one axis, a panel a setting (C15 to C19, section 7.10).

    A pair of rounds stands at the density of its first. Fresh weights and unrelated dense networks are the controls.
    `value`: "excess" is the rise above the straight line between the ends, which unequal ends don't raise.
    """
    rows, treatment = _rows(barriers, network, split, (*SERIES, "unrelated"))
    means = by_seed(rows, value)
    drawn = [kind for kind in SERIES if (means["kind"] == kind).any()]
    if not drawn:
        return empty(f"{named(network)}: no paths between rounds, nor to tickets")
    shown = means[means["kind"].isin([*drawn, "unrelated"])]
    tickets = shown[shown["kind"] != "unrelated"]
    names = list(dict.fromkeys(tickets["setting"]))
    figure, every = panels(len(names), columns=2, width=WIDTH, height=2.9, extra=1.6, sharey=True)
    for axes, name in zip(every, names, strict=True):
        here = shown[shown["setting"] == name]
        density_axis(axes, tickets["density"])
        baseline(axes, here.loc[here["kind"] == "unrelated", value], UNRELATED, name="unrelated")
        for number, kind in enumerate(drawn):
            shift = dodge(tickets["density"], number, len(drawn))
            series(axes, here[here["kind"] == kind], "density", value, SERIES[kind], name=kind, shift=shift)
        what = {"barrier": "barrier", "excess": "rise above chord"}[value]
        barrier_axis(axes, "y", shown[value], what if axes in every[::2] else "")
        panel_title(axes, words_of(name))
    headline(figure, f"{named(network)}: {what} by kind of path, {split} set", treatment)
    more = [handle(UNRELATED)] if (shown["kind"] == "unrelated").any() else []
    legend(figure, [*(handle(SERIES[kind]) for kind in drawn), *more, handle(LIMIT)])
    return figure


def _leads(table: pd.DataFrame, network: str) -> pd.DataFrame:
    """Accuracy of the ticket minus that of fresh weights on its mask in points, by setting, level, density, seed."""
    rows = table if table.empty else of(table, network)
    keys = ["setting", "level", "seed"]
    if rows.empty:
        return pd.DataFrame(columns=[*keys, "density", "value"])
    first = rows[rows["twin"].fillna(0) == 0]
    ticket, fresh = (first.loc[first["arm"] == name, [*keys, "density", "accuracy"]] for name in ("imp", "reinit"))
    both = ticket.merge(fresh[[*keys, "accuracy"]], on=keys, suffixes=("", "_other"), validate="one_to_one")
    return both.assign(value=both["accuracy"] - both["accuracy_other"])


def _placed(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    known = rows[rows["setting"].isin(names)]
    return known.assign(place=[float(names.index(name)) for name in known["setting"]])


def _rows(barriers: pd.DataFrame, network: str, split: str, kinds: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The rows of these kinds under one treatment, and its name."""
    rows = chosen(barriers, network=network, split=split)
    return treated(rows if rows.empty else rows[rows["kind"].isin(kinds)])
