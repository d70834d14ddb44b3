"""Figures of the sanity-check study with a point a seed: accuracy over density, and what the checks cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..errors import UserError, nearest
from .panels import EDGE, Picture, baseline, handle, legend, nothing, panels, series
from .scales import density_axis, dodge, stretch, widen
from .style import BLACK, GREY, Look, arm, named, nth, styled
from .style import density as short
from .tables import of

# Methods by kind, in the order of `studies.sanity_checks_params.METHODS`.
KINDS = {
    "initial tickets": {
        **{"snip": "SNIP", "grasp": "GraSP", "synflow": "SynFlow", "magnitude": "magnitude at init"},
        **{"lt": "ticket (OMP)", "imp": "ticket (IMP)"},
    },
    "partially trained and hybrid": {
        **{"weight_rewinding": "weight rewinding", "lr_rewinding": "LR rewinding"},
        **{"hybrid": "hybrid (smart)", "hybrid_uniform": "hybrid (uniform)", "hybrid_erk": "hybrid (ERK)"},
    },
    "random tickets": {
        **{"random": "random (uniform)", "smart": "random (smart)", "balanced": "random (balanced)"},
        **{"linear": "random (linear)", "cubic": "random (cubic)", "ascending": "random (ascending)"},
        **{"er": "random (ER)", "erk": "random (ERK)"},
        **{"smart+2": "random (smart, L+2)", "smart-1": "random (smart, L−1)"},
    },
}
LOOKS = {name: nth(number, text) for kind in KINDS.values() for number, (name, text) in enumerate(kind.items())}
PANELS = ("initial tickets", "random tickets", "partially trained and hybrid")
CHECKS = {  # in the order of `studies.sanity_checks_params.CHECKS`
    **{"corrupted": "corrupted data", "labels": "random labels", "pixels": "shuffled pixels"},
    **{"rearranged": "mask rearranged", "reinit": "fresh weights", "inverted": "scores inverted"},
    **{"weights": "weights shuffled", "halved": "half the data", "shortened": "half the epochs"},
}


@styled
def accuracy_by_kind(table: pd.DataFrame, network: str) -> Picture:
    """Test accuracy over density without any check, a line a method and a panel a kind of method (B3, B5 to B7, B11).

    The dense network is the black line with its interval, in each panel.
    """
    rows = rows_of(table, network)
    drawn = by_kind(rows)
    if not drawn:
        return empty(f"no pruned runs of {named(network)}")
    tickets = rows[rows["method"].isin(LOOKS) & (rows["check"] == "none")]
    whole = rows[rows["method"] == "dense"]
    densities = [*tickets["density"], *([] if whole.empty else [1.0])]
    most = max(len(methods) for methods in drawn.values())
    figure, every = panels(len(drawn), sharey=True, height=3.3, extra=1.1 + 0.24 * most)
    for axes, (kind, methods) in zip(every, drawn.items(), strict=True):
        density_axis(axes, densities, [max(densities), min(densities)])
        baseline(axes, whole["accuracy"], arm("dense"), name="dense")
        series(axes, whole, "density", "accuracy", arm("dense"), name="dense")
        for number, name in enumerate(methods):
            shift = dodge(densities, number, len(methods))
            mine = tickets[tickets["method"] == name]
            series(axes, mine, "density", "accuracy", LOOKS[name], name=name, shift=shift)
        axes.set_title(kind)
        key(axes, methods, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.8)
    stretch(every[0], pd.concat([whole["accuracy"], tickets["accuracy"]]), "test accuracy (%)")
    figure.suptitle(named(network), x=0.01, ha="left")
    legend(figure, [] if whole.empty else [handle(arm("dense"))])
    return figure


@styled
def check_differences(matrix: pd.DataFrame, network: str) -> Picture:
    """What each check costs each method, seed by seed: a panel a check, with means and intervals at each density.

    Grey is the margin within which nothing is lost. Each panel has a scale of its own.
    """
    rows = rows_of(matrix, network)
    checks = [check for check in CHECKS if not rows.empty and (rows["check"] == check).any()]
    if not checks:
        return empty(f"no checks of {named(network)}")
    return _forests(rows, checks, rows["density"], named(network))


@styled
def explore_plot(matrix: pd.DataFrame, network: str, check: str, density: float | str = "all") -> Picture:
    """What one check costs each method of a network, at one density or "all".

    What the study didn't run gives a figure that says so; UserError for an unknown check.
    """
    if check not in CHECKS:
        raise UserError(f"no check '{check}'{nearest(check, CHECKS)}; known: {', '.join(CHECKS)}")
    every = rows_of(matrix, network)
    rows = every if every.empty else every[every["check"] == check]
    if not isinstance(density, str) and not rows.empty:
        rows = rows[np.isclose(rows["density"], density)]
    if rows.empty:
        at = "" if isinstance(density, str) else f" at density {density:g}"
        return empty(f"{named(network)}: no check '{CHECKS[check]}'{at}")
    return _forests(rows, [check], every["density"], named(network))


def explore_choices(matrix: pd.DataFrame) -> dict[str, Any]:
    """What `explore_plot` can be asked about this matrix, for `explorer`: labels and values of each choice."""
    densities = sorted(matrix["density"].astype(float).round(9).unique(), reverse=True)
    return {
        "network": {named(name): name for name in dict.fromkeys(matrix["network"])},
        "check": {text: check for check, text in CHECKS.items() if (matrix["check"] == check).any()},
        "density": {"all": "all"} | {f"{value:g}": float(value) for value in densities},
    }


def rows_of(table: pd.DataFrame, network: str) -> pd.DataFrame:
    """The rows of a network; none of an empty table, and UserError for a network that the table doesn't have."""
    return table if table.empty else of(table, network)


def empty(text: str) -> Picture:
    """A figure that only says why there is nothing to see."""
    figure, (axes,) = panels(1, height=1.2)
    nothing(axes, text)
    return figure


def by_kind(rows: pd.DataFrame) -> dict[str, list[str]]:
    """The methods that have runs without a check, by panel."""
    there = set() if rows.empty else set(rows.loc[rows["check"] == "none", "method"])
    found = {kind: [name for name in KINDS[kind] if name in there] for kind in PANELS}
    return {kind: methods for kind, methods in found.items() if methods}


def key(axes: Axes, methods: list[str], **place: Any) -> None:
    """A panel's own legend: colours come again in the other panels."""
    axes.legend(handles=[handle(LOOKS[name]) for name in methods], **place)


def _forests(rows: pd.DataFrame, checks: Sequence[str], densities: pd.Series, title: str) -> Picture:
    """A panel a check: methods below each other, the accuracy points that each loses to the check to the right.

    Each of the network's `densities` has its look, whichever of them are drawn.
    """
    numbered = enumerate(sorted(densities.unique(), reverse=True))
    looks = {value: nth(number, f"density {value:g}") for number, value in numbered if (rows["density"] == value).any()}
    parts = [checks[start : start + 3] for start in range(0, len(checks), 3)]
    listed = [[name for name in LOOKS if (rows["method"][rows["check"].isin(part)] == name).any()] for part in parts]
    lane = 0.16 + 0.14 * len(looks)  # inches that a method takes
    tall = [lane * len(methods) + 0.95 for methods in listed]
    figure, every = panels(len(checks), height=sum(tall) / len(tall), extra=1.1, sharey="row", height_ratios=tall)
    for number, (axes, check) in enumerate(zip(every, checks, strict=True)):
        methods, here = listed[number // 3], rows[rows["check"] == check]
        for edge in sorted(rows["margin"].unique()):
            axes.axvspan(-edge, edge, color=GREY, alpha=0.16, linewidth=0, zorder=0, gid=f"margin:{edge:g}")
        axes.axvline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
        for place, (value, look) in enumerate(looks.items()):
            shift = ((place + 0.5) / len(looks) - 0.5) * 0.8
            _estimates(axes, here[here["density"] == value], methods, look, shift, 0.25 / len(looks), f"{value:g}")
        shown = pd.Series(np.concatenate([here[["effect", "low", "high"]].to_numpy().ravel(), *here["values"]]))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        widen(axes, "x", shown, "accuracy points lost")
        axes.set_yticks(range(len(methods)), [LOOKS[name].label for name in methods])
        axes.set_yticks(np.arange(len(methods) - 1) + 0.5, minor=True)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="y", which="minor")
        axes.tick_params(axis="y", which="both", length=0)
        axes.set(title=CHECKS[check], ylim=(len(methods) - 0.5, -0.5))
    figure.suptitle(f"{title}: original − check", x=0.01, ha="left")
    said = _margins(rows)
    bands = [Patch(color=GREY, alpha=1 - 0.84 ** (len(said) - inner), label=text) for inner, text in enumerate(said)]
    marks = [handle(Look(look.label, look.color, look.marker, "none")) for look in looks.values()]
    legend(figure, [*marks, *bands])
    return figure


def _estimates(
    axes: Axes, rows: pd.DataFrame, methods: list[str], look: Look, shift: float, drop: float, name: str
) -> None:
    """Means with their intervals at the methods' places, and the seeds' differences a little below them."""
    if rows.empty:
        return
    at = rows["method"].map(methods.index).to_numpy(dtype=float) + shift
    seeds, below = np.concatenate([*rows["values"]]), np.repeat(at + drop, rows["values"].map(len))
    axes.scatter(seeds, below, s=12, color=look.color, alpha=0.45, linewidths=0, gid=f"seeds:{name}")
    known = np.isfinite(rows["low"].to_numpy(dtype=float))
    if known.any():
        ends = rows[["low", "high"]].to_numpy()[known].T
        axes.hlines(at[known], *ends, color=look.color, linewidth=1.8, zorder=3, gid=f"interval:{name}")
    style: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": "none", **EDGE}
    axes.plot(rows["effect"], at, zorder=4, gid=f"mean:{name}", **style)


def _margins(rows: pd.DataFrame) -> list[str]:
    """What the grey bands say: each margin, and where there are several the densities that it is for."""
    found = rows.groupby("margin")["density"].unique()
    if len(found) == 1:
        return [f"margin ±{found.index[0]:g}"]
    texts = {edge: ", ".join(short(value) for value in sorted(own, reverse=True)) for edge, own in found.items()}
    return [f"margin ±{edge:g} (density {text})" for edge, text in texts.items()]
