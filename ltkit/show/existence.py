"""Figures of the existence study: each a pure function from its tables to a figure, with nothing trained or stored.

`table` is that of `studies.existence.collect`: a row a run with network, lr, mask_lr, epochs, arm, level, density,
seed, accuracy and validation in percent, train_loss, outcome. A cell that ends with one of these calls shows it.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from .effects import factor_effects
from .existence_boards import advantage_map, prize_board
from .existence_curves import accuracy_curves, explore_choices, explore_plot
from .existence_ticket import ticket_choices, ticket_plot
from .panels import Picture, handle, legend, nothing, panels, series
from .scales import density_axis, dodge, rate_axis
from .style import BLACK, GREY, SOFT, Look, arm, density, named, nth, styled
from .tables import minus, of, shown
from .verdicts import show_verdicts, verdict_frame

__all__ = [
    "accuracy_curves",
    "advantage_map",
    "decoupling",
    "explore_choices",
    "explore_plot",
    "factor_effects",
    "overlap",
    "prize_board",
    "rewinding",
    "show_verdicts",
    "shown",
    "ticket_choices",
    "ticket_plot",
    "verdict_frame",
]

RING: dict[str, Any] = {"s": 150, "facecolors": "none", "linewidths": 1.6, "zorder": 5}


@styled
def decoupling(table: pd.DataFrame, network: str) -> Picture:
    """Accuracy over the ticket's learning rate, a line a learning rate of the mask, a panel a pruning method (A9).

    A ring marks the tickets that train at their mask's own learning rate; black is the dense network at each rate.
    """
    rows = of(table, network)
    methods = {"lt_decoupled_imp": "masks by IMP", "lt_decoupled_omp": "masks by OMP"}
    there = [name for name in methods if (rows["arm"] == name).any()]
    figure, every = panels(max(1, len(there)), columns=2, height=3.6 if there else 1.2, sharey=True)
    if not there:
        nothing(every[0], f"no decoupled tickets of {named(network)}")
        return figure
    tickets = rows[rows["arm"].isin(there)]
    rates, sources = sorted(tickets["lr"].unique()), sorted(tickets["mask_lr"].unique())
    looks = {source: nth(number, f"mask from lr {source:g}") for number, source in enumerate(sources)}
    whole = rows[(rows["arm"] == "dense") & rows["lr"].isin(rates)]
    for axes, name in zip(every, there, strict=True):
        rate_axis(axes, rates, "learning rate of the ticket")
        series(axes, whole, "lr", "accuracy", arm("dense"), name="dense")
        for number, (source, look) in enumerate(looks.items()):
            mine = tickets[(tickets["arm"] == name) & (tickets["mask_lr"] == source)]
            shift = 0.07 * (number // 2 + 1) * (-1) ** (number + 1)  # to either side of dense
            series(axes, mine, "lr", "accuracy", look, name=f"{source:g}", shift=shift)
            own = mine.loc[mine["lr"] == source, "accuracy"].mean()
            axes.scatter([source * math.exp(shift)], [own], gid=f"coupled:{source:g}", **RING, edgecolors=look.color)
        axes.set_title(methods[name])
    every[0].set_ylabel("test accuracy (%)")
    kept = ", ".join(density(value) for value in sorted(tickets["density"].unique()))
    figure.suptitle(f"{named(network)}, density {kept}", x=0.01, ha="left")
    ring_look = Look("ticket at its mask's lr", SOFT, "o", "none")
    rings = handle(ring_look)
    rings.set(markersize=13, markerfacecolor="none", markeredgecolor=SOFT, markeredgewidth=1.6)
    legend(figure, [handle(arm("dense")), *(handle(look) for look in looks.values()), rings])
    return figure


@styled
def rewinding(table: pd.DataFrame) -> Picture:
    """What rewinding gains over the initial weights on the same mask, over density: a panel a learning rate (A12)."""
    gains = minus(table, "lt_rewound", "lt_imp")
    rates = sorted(gains["lr"].unique())
    figure, every = panels(max(1, len(rates)), sharey=True, height=3.2 if rates else 1.2)
    if not rates:
        nothing(every[0], "no rewound tickets")
        return figure
    networks = list(dict.fromkeys(gains["network"]))
    looks = {name: nth(number, named(name)) for number, name in enumerate(networks)}
    for axes, rate in zip(every, rates, strict=True):
        here = gains[gains["lr"] == rate]
        density_axis(axes, gains["density"])
        axes.axhline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
        for number, (name, look) in enumerate(looks.items()):
            shift = dodge(gains["density"], number, len(looks))
            series(axes, here[here["network"] == name], "density", "value", look, name=name, shift=shift)
        axes.set_title(f"learning rate {rate:g}")
    every[0].set_ylabel("rewound − ticket\n(accuracy points)")
    legend(figure, [handle(look) for look in looks.values()])
    return figure


@styled
def overlap(points: pd.DataFrame) -> Picture:
    """R_p of a ticket's start with its trained weights, by learning rate: its own start and a fresh one (A11).

    `points`: network, lr, seed, start (own, fresh), p, ratio, null_sd. Grey is chance, p ± 3 null standard deviations.
    """
    networks = list(dict.fromkeys(points["network"]))
    looks = {"own": arm("lt_imp"), "fresh": arm("rr_imp")}
    words = {"own": "the ticket's own start θ₀⊙m", "fresh": "a fresh start θ₀′⊙m"}
    figure, every = panels(len(networks), columns=2, height=3.4, sharey=True)
    for axes, name in zip(every, networks, strict=True):
        here = points[points["network"] == name]
        rates = sorted(here["lr"].unique())
        places = here.assign(place=here["lr"].map({rate: number for number, rate in enumerate(rates)}))
        for place, mine in places.groupby("place"):
            p, half = mine["p"].mean(), 3 * mine["null_sd"].max()
            axes.fill_between(
                [place - 0.45, place + 0.45], p - half, p + half, color=GREY, alpha=0.3, linewidth=0, gid="band"
            )
            axes.hlines(p, place - 0.45, place + 0.45, color=SOFT, linewidth=1, gid="chance")
        for start, look in looks.items():
            mine = places[places["start"] == start]
            series(axes, mine, "place", "ratio", look, name=start, shift=-0.1 if start == "own" else 0.1, line=False)
        axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
        axes.set(title=named(name), xlabel="learning rate", xlim=(-0.55, len(rates) - 0.45))
        axes.grid(visible=False, axis="x")
    share = ", ".join(f"{100 * p:g}" for p in sorted(points["p"].unique()))
    every[0].set_ylabel(f"overlap of the largest {share} %")
    named_looks = [Look(words[start], look.color, look.marker, "none") for start, look in looks.items()]
    chance = handle(Look("chance ± 3 null sd", GREY, "s", "none"))
    chance.set(markersize=13, alpha=0.4)
    legend(figure, [*(handle(look) for look in named_looks), chance])
    return figure
