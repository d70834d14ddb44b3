"""Figures of the existence study over density: a ticket beside its controls, also for an explorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..errors import UserError, nearest
from .panels import Picture, baseline, handle, legend, nothing, panels, series
from .scales import density_axis, dodge, stretch, widen
from .style import BLACK, Look, arm, named, styled
from .tables import full, minus, of

CURVES = ("dense", "lt_imp", "rr_imp", "lt_omp", "sdt", "lt_shuffled")
COMPARISONS = {
    "ticket and fresh weights": ("lt_imp", "rr_imp"),
    "IMP and OMP": ("lt_imp", "lt_omp"),
    "ticket and small dense": ("lt_imp", "sdt"),
    "what the weights need": ("lt_imp", "lt_shuffled", "rr_imp"),
    "both masks, fresh weights": ("rr_imp", "rr_omp"),
    "all of these": ("lt_imp", "rr_imp", "lt_omp", "rr_omp", "sdt", "lt_shuffled"),
}
STATISTICS = {  # a column, or the arm that is subtracted, and how the axis calls it
    "test accuracy": ("accuracy", "test accuracy (%)"),
    "validation accuracy": ("validation", "validation accuracy (%)"),
    "training loss": ("train_loss", "training loss"),
    "test accuracy minus dense": ("dense", "accuracy points above dense"),
    "test accuracy minus fresh weights": ("rr_imp", "accuracy points above fresh weights"),
}


@styled
def accuracy_curves(
    table: pd.DataFrame, network: str, lr: float | Sequence[float] | None = None, arms: Sequence[str] = CURVES
) -> Picture:
    """Test accuracy over density, a panel a learning rate: what a ticket is worth beside its controls.

    `lr`: one, several, or None for all. The dense network is the black line with its interval; where its learning rate
    isn't the best one, a dotted line shows the best dense network (chosen by validation accuracy).
    """
    rows = of(table, network)
    rates = sorted(rows["lr"].unique()) if lr is None else [lr] if isinstance(lr, (int, float)) else list(lr)
    return _curves(rows, rates, arms, "accuracy", "test accuracy (%)", named(network))


@styled
def explore_plot(
    table: pd.DataFrame,
    network: str,
    lr: float | str = "all",
    arms: Sequence[str] = ("lt_imp", "rr_imp"),
    statistic: str = "test accuracy",
) -> Picture:
    """Any arms of a network over density, by one of `STATISTICS`, at one learning rate or "all".

    Combinations that the study didn't run give a figure that says so.
    """
    if statistic not in STATISTICS:
        raise UserError(f"no statistic '{statistic}'{nearest(statistic, STATISTICS)}; known: {', '.join(STATISTICS)}")
    what, label = STATISTICS[statistic]
    rows = of(table, network)
    rates = sorted(rows["lr"].unique()) if isinstance(lr, str) else [lr]
    if what in rows.columns:
        rows = rows[rows[what].notna() | rows["accuracy"].isna()]  # what wasn't measured hasn't diverged
        return _curves(rows, rates, ("dense", *arms), what, label, named(network))
    differences = [minus(rows, name, what).assign(arm=name) for name in arms if name != what]
    gaps = pd.concat(differences, ignore_index=True) if differences else pd.DataFrame(columns=[*rows.columns, "value"])
    return _curves(gaps, rates, arms, "value", label, named(network), zero=True)


def explore_choices(table: pd.DataFrame) -> dict[str, Any]:
    """What `explore_plot` can be asked about this table, for `explorer`: labels and values of each choice."""
    rows = full(table)
    there = set(rows["arm"])
    return {
        "network": {named(name): name for name in dict.fromkeys(rows["network"])},
        "lr": {"all": "all"} | {f"{lr:g}": float(lr) for lr in sorted(rows["lr"].unique())},
        "arms": {label: arms for label, arms in COMPARISONS.items() if there & set(arms)},
        "statistic": list(STATISTICS),
    }


def _curves(
    rows: pd.DataFrame,
    rates: Sequence[float],
    arms: Sequence[str],
    value: str,
    label: str,
    title: str,
    zero: bool = False,
) -> Picture:
    tickets = rows[rows["arm"].isin(set(arms) - {"dense"}) & rows["lr"].isin(rates)]
    drawn = [name for name in arms if name != "dense" and (tickets["arm"] == name).any()]
    if not drawn:
        figure, (axes,) = panels(1, height=1.2)
        nothing(axes, f"{title}: no such runs at learning rate {', '.join(f'{rate:g}' for rate in rates)}")
        return figure
    whole = rows[rows["arm"] == "dense"] if "dense" in arms else rows[:0]
    figure, every = panels(len(rates), sharey=True, extra=1.1)
    controls = tickets.loc[tickets["arm"] != "lt_imp", "density"]
    best = _best_rate(whole) if value == "accuracy" else None
    for axes, rate in zip(every, rates, strict=True):
        densities = [*tickets["density"], *([] if whole.empty else [1.0])]
        density_axis(axes, densities, [1.0, *controls] if not whole.empty else controls)
        if zero:
            axes.axhline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
        dense = whole[whole["lr"] == rate]
        baseline(axes, dense[value], arm("dense"), name="dense")
        series(axes, dense, "density", value, arm("dense"), name="dense")
        if best is not None and best != rate:
            top = whole.loc[whole["lr"] == best, value].mean()
            axes.axhline(top, color=BLACK, linewidth=1.2, linestyle=":", zorder=1, gid="line:best")
        for number, name in enumerate(drawn):
            mine = tickets[(tickets["arm"] == name) & (tickets["lr"] == rate)]
            shift = dodge(densities, number, len(drawn))
            series(axes, mine, "density", value, arm(name), name=name, shift=shift)
        axes.set_title(f"learning rate {rate:g}")
    shown = pd.concat([whole[value], tickets[value]])
    for axes in every[::3]:
        if value in ("accuracy", "validation"):
            stretch(axes, shown, label)
        elif zero:
            widen(axes, "y", shown, label)
        else:
            axes.set_ylabel(label)
    figure.suptitle(title, x=0.01, ha="left")
    handles = [handle(arm(name)) for name in (["dense"] if not whole.empty else []) + drawn]
    if any(line.get_gid() == "line:best" for axes in every for line in axes.lines):
        handles.append(handle(Look("best dense by validation", BLACK, "", ":")))
    legend(figure, handles)
    return figure


def _best_rate(whole: pd.DataFrame) -> float | None:
    """The learning rate at which dense is best, by validation accuracy where there is one, on all seeds."""
    if whole.empty:
        return None
    column = "validation" if "validation" in whole.columns and whole["validation"].notna().any() else "accuracy"
    means = whole.groupby("lr")[column].apply(lambda values: values.mean(skipna=False)).dropna()
    return None if means.empty else float(means.idxmax())
