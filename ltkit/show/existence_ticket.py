"""A ticket from the inside, at any density: what its mask keeps of each layer, its weights, what it is worth."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ..errors import UserError, nearest
from .panels import Picture, baseline, handle, legend, nothing, panels, series
from .scales import density_axis, stretch
from .style import BLACK, BLUE, GREY, SOFT, arm, named, styled
from .style import density as short

MOMENTS = {"start": ("kept weights before training", GREY), "end": ("after training", BLUE)}
ROOM = 0.21  # inches a layer


@styled
def ticket_plot(table: pd.DataFrame, density: float, network: str, lr: float) -> Picture:
    """Three views of a network's ticket at one density of `studies.existence_ticket.ticket`, 1 for the dense network.

    The share of each layer that the mask keeps, with a line at the share of all; a histogram of the kept weights before
    and after training, one seed; accuracy of ticket, fresh weights and dense network over all densities, every seed,
    with a line at this one. A density or rate that the network wasn't trained at, or a run that diverged, gives a
    figure that says so. UserError for a network that isn't in the table.
    """
    if network not in set(table["network"]):
        known = list(dict.fromkeys(table["network"]))
        raise UserError(f"no network '{network}' in the table{nearest(network, known)}; there are {', '.join(known)}")
    mine = table[(table["network"] == network) & (table["lr"] == lr)]
    here = mine[mine["density"] == density]
    layers, bins = here[here["what"] == "layer"], here[here["what"] == "weights"]
    title = f"{named(network)}, learning rate {lr:g}, " + ("dense" if density == 1 else f"density {short(density)}")
    if layers.empty or bins.empty:
        figure, (axes,) = panels(1, height=1.2)
        nothing(axes, f"{title}: no such ticket was trained, or it diverged")
        return figure
    figure, (left, middle, right) = panels(3, height=max(3.2, ROOM * len(layers) + 0.9), extra=1.1)
    _layers(left, layers, density)
    _weights(middle, bins)
    _accuracy(right, mine[mine["what"] == "accuracy"], density)
    figure.suptitle(f"{title} (masks and weights of seed {layers['seed'].iloc[0]})", x=0.01, ha="left")
    shown = [handle(arm(name)) for name in ("dense", "lt_imp", "rr_imp")]
    legend(figure, [*shown, *(Patch(facecolor=color, alpha=0.5, label=word) for word, color in MOMENTS.values())])
    return figure


def ticket_choices(table: pd.DataFrame) -> dict[str, Any]:
    """What `ticket_plot` can be asked about this table, for `explorer`: densities from dense to sparse, a slider."""
    return {
        "density": sorted(map(float, table["density"].unique()), reverse=True),
        "network": {named(name): name for name in dict.fromkeys(table["network"])},
        "lr": {f"{lr:g}": float(lr) for lr in sorted(table["lr"].unique())},
    }


def _layers(axes: Axes, rows: pd.DataFrame, density: float) -> None:
    names = [name.removesuffix(".weight") for name in rows["name"]]
    places = range(len(names))
    axes.barh(places, rows["value"], color=BLUE, height=0.7, gid="layers")
    for place, share in zip(places, rows["value"], strict=True):
        inside = share > 0.7
        ink = "white" if inside else SOFT
        at: dict[str, Any] = {"va": "center", "ha": "right" if inside else "left", "color": ink, "fontsize": 9}
        axes.annotate(percent(share), (share, place), (-4 if inside else 4, 0), textcoords="offset points", **at)
    axes.axvline(density, color=SOFT, linewidth=1.2, linestyle="--", gid="all")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks(places, names, fontsize=10 if len(names) < 12 else 8)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xlabel="share kept", title="mask, by layer")
    axes.grid(visible=False, axis="y")


def percent(share: float) -> str:
    """A share in percent, exact enough for few weights: 100 %, 34 %, 2.8 %, 0.045 %."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _weights(axes: Axes, rows: pd.DataFrame) -> None:
    for moment, (_, color) in MOMENTS.items():
        mine = rows[rows["name"] == moment].sort_values("low")
        edges = [*mine["low"], mine["high"].iloc[-1]]
        axes.stairs(mine["value"], edges, fill=True, color=color, alpha=0.45, gid=f"weights:{moment}")
        axes.stairs(mine["value"], edges, color=color, linewidth=1.2)
    axes.set(xlabel="weight", ylabel="density of kept weights", title="weights")
    axes.set_yticks([])


def _accuracy(axes: Axes, rows: pd.DataFrame, density: float) -> None:
    density_axis(axes, [1.0, *rows["density"]], [1.0, density])
    baseline(axes, rows.loc[rows["name"] == "dense", "value"], arm("dense"), name="dense")
    for name in ("dense", "lt_imp", "rr_imp"):
        series(axes, rows[rows["name"] == name], "density", "value", arm(name), name=name)
    axes.axvline(density, color=BLACK, linewidth=6, alpha=0.15, zorder=0, gid="here")
    stretch(axes, rows["value"], "test accuracy (%)")
    axes.set_title("accuracy")
