"""The regime map: at which width and rank of a layer is greedy selection exponentially good? (F8, F9)

`regimes`: `analyze.regimes.regime_map`'s columns (width, rank, seed, points, semilog_r2, loglog_r2, gain, regime, ...)
and `layer`; a row a layer.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from .mode_connectivity_parts import WIDTH, chosen, headline
from .panels import Picture, panels
from .sanity_checks_curves import empty
from .style import BLACK, INK, SOFT, styled

REGIMES = {  # tint, ink, hatch: dark, middle and light in grey too
    "exponential": ("#0b4f8a", "#ffffff", ""),
    "polynomial": ("#f0b871", INK, ""),
    "none": ("#eceff2", INK, "//"),
}
WORDS = {"none": "none: no better than random neurons"}
LAYERS = {"gaussian": "Gaussian contributions", "two-layer": "two-layer ReLU layer"}
NOTES = {"r2": "R² exponential − R² polynomial", "gain": "how far below random neurons' error"}
SHARE = 50  # neurons a dimension, up to which the sheet sees no exponential decay (F9)


@styled
def regime_map(regimes: pd.DataFrame, layer: str = "gaussian", *, text: Literal["r2", "gain"] = "r2") -> Picture:
    """The regime of line search by width N and rank of the layer's output: dark is exponential decay.

    A cell has the colour of most of its seeds, the graver one of equally many, and says how many agree where not all
    do. Its number is the mean of R² semilog − log-log, or the geometric mean of the gain on random neurons. The broken
    line is N = 50 ranks.
    """
    rows = chosen(regimes, layer=layer)
    if rows.empty:
        return empty(f"{LAYERS.get(layer, layer)}: no regimes")
    widths, ranks = sorted(rows["width"].unique()), sorted(rows["rank"].unique())
    figure, (axes,) = panels(1, width=WIDTH, height=max(1.8, 1.0 + 0.55 * len(ranks)), extra=1.1)
    cells = rows.groupby(["width", "rank"])
    drawn = {_cell(axes, widths.index(width), ranks.index(rank), own, text) for (width, rank), own in cells}
    crossed = _fifty(axes, widths, ranks)
    axes.set_xlim(-0.5, len(widths) - 0.5)
    axes.set_ylim(-0.5, len(ranks) - 0.5)
    axes.set_xticks(range(len(widths)), [f"{width}" for width in widths])
    axes.set_yticks(range(len(ranks)), [f"{rank}" for rank in ranks])
    axes.set(xlabel="width N (neurons)", ylabel="rank of the output")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    seeds = rows["seed"].nunique()
    headline(
        figure, f"{LAYERS.get(layer, layer)}, {seeds} seed{'s' * (seeds > 1)} a cell", f"in the cells: {NOTES[text]}"
    )
    handles: list[Any] = [
        Patch(facecolor=REGIMES[name][0], hatch=REGIMES[name][2], edgecolor=SOFT, label=WORDS.get(name, name))
        for name in REGIMES
        if name in drawn
    ]
    if crossed:
        handles.append(Line2D([], [], color=BLACK, linestyle="--", linewidth=2, label=f"N = {SHARE} × rank"))
    columns = 4 if sum(len(each.get_label()) for each in handles) < 45 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.4)
    return figure


def regime_of(rows: pd.DataFrame) -> tuple[str, int]:
    """The regime of most seeds, of equally many the slower decay, and how many seeds have it."""
    counts = rows["regime"].value_counts()
    name = max(reversed(REGIMES), key=lambda each: counts.get(each, 0))
    return name, int(counts.get(name, 0))


def _cell(axes: Axes, x: int, y: int, rows: pd.DataFrame, text: str) -> str:
    name, agree = regime_of(rows)
    tint, ink, hatch = REGIMES[name]
    style: dict[str, Any] = {"facecolor": tint, "edgecolor": "white", "linewidth": 2, "hatch": hatch}
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, gid=f"{name}:{x}:{y}", **style))
    said = _number(rows, text)
    said += "" if agree == len(rows) else f"\n{agree} of {len(rows)}"
    box = {"facecolor": tint, "edgecolor": "none", "pad": 1.5} if hatch else None
    axes.text(x, y, said, ha="center", va="center", color=ink, fontsize=10.5, bbox=box, gid=f"text:{x}:{y}")
    return name


def _number(rows: pd.DataFrame, text: str) -> str:
    if text == "gain":
        known = rows["gain"].dropna()
        gain = math.exp(known.map(math.log).mean()) if len(known) else math.nan
        return (
            "–" if math.isnan(gain) else f"×{gain:.1f}" if gain < 10 else f"×{gain:.0f}" if gain < 1e3 else _power(gain)
        )
    apart = (rows["semilog_r2"] - rows["loglog_r2"]).mean()
    if math.isnan(apart):  # the error is gone before there is anything to fit
        return f"gone in\n{rows['points'].max() + 2:g} steps"
    return f"{apart:+.2f}".replace("-", "−")


def _power(value: float) -> str:
    return rf"×$10^{{{round(math.log10(value))}}}$"


def _fifty(axes: Axes, widths: list[int], ranks: list[int]) -> bool:
    """The stairs between cells with more and with at most SHARE neurons a rank; whether there are both."""
    edges = []
    for x, width in enumerate(widths):
        for y, rank in enumerate(ranks):
            above = width > SHARE * rank
            if x and above != (widths[x - 1] > SHARE * rank):
                edges.append(((x - 0.5, x - 0.5), (y - 0.5, y + 0.5)))
            if y and above != (width > SHARE * ranks[y - 1]):
                edges.append(((x - 0.5, x + 0.5), (y - 0.5, y - 0.5)))
    for xs, ys in edges:
        axes.plot(xs, ys, "--", color="white", linewidth=4.5, zorder=3, solid_capstyle="butt")
        axes.plot(xs, ys, "--", color=BLACK, linewidth=2, zorder=4, gid="fifty")
    return bool(edges)
