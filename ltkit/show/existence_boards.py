"""Figures of the existence study that are tables: the ticket's lead over fresh weights, and the five conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.patches import Patch, Rectangle

from ..verdict import estimate
from .panels import Picture, legend, nothing, panels
from .style import BLUE, INK, PRIZES, SOFT, STATES, VERMILION, density, named, styled
from .tables import minus

LEAD = LinearSegmentedColormap.from_list("lead", [VERMILION, "#f7f7f7", BLUE])
CONDITIONS = {
    "c1": "① sparse\nenough",
    "c2": "② beats\nsmall dense",
    "c3": "③ beats\nfresh weights",
    "c4": "④ matches\ndense, same lr",
    "c5": "⑤ matches\nbest dense",
}


@styled
def advantage_map(table: pd.DataFrame, conditions_by_network: Mapping[str, pd.DataFrame]) -> Picture:
    """The ticket's lead LT − RR by learning rate and density, a panel a network, and which prize each density wins.

    Numbers are means over seeds in accuracy points, bold where their 95 % interval excludes 0, in brackets where not;
    × is a cell in which every run diverged. The conditions are those of `ltkit.verdict.conditions`.
    """
    leads = minus(table, "lt_imp", "rr_imp")
    networks = [name for name in dict.fromkeys(table["network"]) if (leads["network"] == name).any()]
    if not networks:
        figure, (axes,) = panels(1, height=1.2)
        nothing(axes, "no tickets with fresh weights on the same mask")
        return figure
    most = max(leads.groupby("network")["lr"].nunique())
    height = 0.42 * (most + 1) + 1.2
    figure, every = panels(len(networks), columns=2, height=height, extra=1.2)
    means = leads.groupby(["network", "lr", "density"])["value"].mean()
    limit = float(np.clip(means.abs().max(), 2, 10)) if means.notna().any() else 2.0
    for axes, name in zip(every, networks, strict=True):
        here = leads[leads["network"] == name]
        _lead_cells(axes, here, Normalize(-limit, limit))
        _prizes(axes, here, conditions_by_network.get(name))
        axes.set_title(named(name))
    figure.suptitle("Ticket minus the same mask on fresh weights (accuracy points)", x=0.01, ha="left")
    patches = [Patch(color=word.tint, label=f"{word.sign}  {_prize(name)}") for name, word in PRIZES.items()]
    patches.append(Patch(color="none", label="+1.0 bold: interval excludes 0"))
    patches.append(Patch(color="none", label="(+1.0): interval includes 0"))
    if means.isna().any():
        patches.append(Patch(color="none", label="×: every run diverged"))
    legend(figure, patches, seeds=False)
    return figure


@styled
def prize_board(conditions_by_network: Mapping[str, pd.DataFrame]) -> Picture:
    """The five conditions and the prize of each network and density: a table in colours, signs and numbers.

    A cell's number is the gap that the condition asks about, in accuracy points: in ② and ③ how far the ticket is
    above, in ④ and ⑤ how far it is below.
    """
    heads = ["density", *CONDITIONS.values(), "prize"]
    widths = [0.8, *[1.25] * 5, 1.2]
    lefts = [sum(widths[:number]) for number in range(len(widths))]
    count = sum(len(found) + 1 for found in conditions_by_network.values())
    tall = 0.34
    figure, (axes,) = panels(1, width=sum(widths) + 0.2, height=tall * (count + 2.6), extra=0.1)
    axes.set(xlim=(0, sum(widths)), ylim=(count + 2.6, 0))
    axes.set_axis_off()
    for left, width, text in zip(lefts, widths, heads, strict=True):
        axes.text(left + width / 2, 0.8, text, ha="center", va="center", fontsize=10.5, fontweight="bold")
    row = 1.7
    for name, found in conditions_by_network.items():
        axes.text(0.05, row + 0.55, named(name), ha="left", va="center", fontweight="bold")
        row += 1
        for told in found.to_dict("records"):
            axes.text(widths[0] / 2, row + 0.5, density(told["density"]), ha="center", va="center")
            for number, key in enumerate(CONDITIONS, 1):
                word, gap = STATES[told[key]], told.get(f"gap_{number}", math.nan)
                text = word.sign + (f" {points(gap)}" if math.isfinite(gap) else "")
                _cell(axes, lefts[number], row, widths[number], text, word.ink, word.tint)
            prize = PRIZES[told["prize"]]
            _cell(axes, lefts[6], row, widths[6], _prize(told["prize"]), prize.ink, prize.tint, bold=True)
            row += 1
    note = "✓ holds   ✕ fails   ? undecided.   Accuracy points: in ② ③ the ticket's lead, in ④ ⑤ its shortfall."
    axes.text(0.05, row + 0.6, note, ha="left", va="center", fontsize=10.5, color=SOFT)
    return figure


def _lead_cells(axes: Axes, leads: pd.DataFrame, norm: Normalize) -> None:
    rates, densities = sorted(leads["lr"].unique()), sorted(leads["density"].unique(), reverse=True)
    seeds = leads["seed"].nunique()
    for (rate, kept), cell in leads.groupby(["lr", "density"]):
        told = estimate(cell["value"].dropna())
        color = LEAD(norm(told.mean)) if told.n else to_rgba("#eceff2")
        sure = told.n > 1 and (told.low > 0 or told.high < 0)
        text = points(told.mean) if told.n else "×"
        text = text if sure or not told.n else f"({text})"
        lost = f"\nn = {told.n}" if 0 < told.n < seeds else ""
        ink = "white" if _dark(color) else INK
        left, top = densities.index(kept), rates.index(rate)
        _cell(axes, left, top, 1, text + lost, ink, color, bold=sure, size=10 if lost else 11.5)
    axes.set(xlim=(0, len(densities)), ylim=(len(rates) + 1.1, 0))
    axes.set_xlabel("density")
    axes.set_xticks(np.arange(len(densities)) + 0.5, [density(kept) for kept in densities])
    axes.set_yticks([*(np.arange(len(rates)) + 0.5), len(rates) + 0.6], [*(f"lr {rate:g}" for rate in rates), "prize"])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _prizes(axes: Axes, leads: pd.DataFrame, found: pd.DataFrame | None) -> None:
    densities, top = sorted(leads["density"].unique(), reverse=True), leads["lr"].nunique() + 0.1
    prizes = {} if found is None else dict(zip(found["density"].round(9), found["prize"], strict=True))
    for left, kept in enumerate(densities):
        if kept in prizes:
            word = PRIZES[prizes[kept]]
            _cell(axes, left, top, 1, word.sign, word.ink, word.tint, bold=True)


def _cell(
    axes: Axes,
    left: float,
    top: float,
    width: float,
    text: str,
    ink: str,
    tint: str | tuple[float, ...],
    *,
    bold: bool = False,
    size: float = 11,
) -> None:
    axes.add_patch(Rectangle((left, top), width, 1, facecolor=tint, edgecolor="white", linewidth=2))
    middle = left + width / 2, top + 0.5
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": size, "linespacing": 1.1}
    axes.text(*middle, text, color=ink, fontweight="bold" if bold else "normal", **style)


def points(value: float) -> str:
    """Accuracy points with their sign, in one decimal."""
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def _prize(name: str) -> str:
    return {"secondary": "secondary", "none": "no prize"}.get(name, name)


def _dark(color: tuple[float, ...]) -> bool:
    red, green, blue = color[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
