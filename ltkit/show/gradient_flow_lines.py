"""How the gradient-flow study draws lines over training: seeds, means and bands, panels with legends of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..verdict import t_interval
from .gradient_flow_parts import Line
from .mode_connectivity_parts import WIDTH
from .panels import EDGE, Picture, handle, legend, panels, series
from .style import GREY, SOFT, Look


def curve(
    axes: Axes, rows: pd.DataFrame, x: str, y: str, look: Look, *, name: str, log: bool = False, phase: int = 0
) -> None:
    """Draws `y` over `x`: a faint line a seed, their mean as a line, and from 3 seeds on its 95 % t interval as a band.

    `log`: mean and interval are those of the logarithms. Several runs of a seed count as one. A seed with a value that
    is no number (it diverged) is left out of the mean, with a × at the lower edge where it was lost. `phase` moves the
    markers along the line. Artists carry gids: `seeds:<name>`, `band:<name>`, `mean:<name>`, `lost:<name>`. Where all
    has one `x` it is `panels.series`.
    """
    if rows[x].nunique() == 1:
        series(axes, rows, x, y, look, name=name)
        return
    values = rows[y].astype(float)
    if log:  # nothing at all, as a loss of 0 in float32, is drawn as the least that there is
        values = np.log10(values.clip(lower=min(values[values > 0], default=1e-12)))
    squares = values.groupby([rows[x], rows["seed"]]).agg(["mean", "count", "size"])
    wide = squares["mean"].where(squares["count"] == squares["size"]).unstack("seed")
    there = squares["size"].unstack("seed").notna()
    lost = [place[0] for seed in wide if len(place := wide.index[wide[seed].isna() & there[seed]])]
    back = (lambda found: 10**found) if log else (lambda found: found)
    lines = [np.column_stack([wide.index, back(wide[seed])])[there[seed]] for seed in wide]
    faint: dict[str, Any] = {"colors": look.color, "linewidths": 0.7, "alpha": 0.3, "zorder": 2}
    axes.add_collection(LineCollection(lines, gid=f"seeds:{name}", **faint))
    if lost:
        cross: dict[str, Any] = {"color": look.color, "marker": "x", "s": 42, "linewidths": 1.8, "zorder": 5}
        where = axes.get_xaxis_transform()
        axes.scatter(lost, [0.0] * len(lost), transform=where, clip_on=False, gid=f"lost:{name}", **cross)
    sound = wide.loc[:, (wide.notna() | ~there).all()]
    if sound.empty:
        return
    if sound.shape[1] > 2:  # that of two is 25 standard errors wide
        ends = np.array([t_interval(own[~np.isnan(own)]) for own in sound.to_numpy()])
        band: dict[str, Any] = {"color": look.color, "alpha": 0.2, "linewidth": 0, "zorder": 3}
        axes.fill_between(sound.index, *back(ends.T), gid=f"band:{name}", **band)
    every = max(1, round(len(sound) / 6))
    style: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": look.line, **EDGE}
    style["markevery"] = (phase % every, every)
    axes.plot(sound.index, back(sound.mean(axis=1)), zorder=4, gid=f"mean:{name}", **style)


def view(axes: Axes, axis: Literal["x", "y"], values: pd.Series) -> None:
    """Limits that show all `values`, of logarithmic axes all above 0; intervals of few seeds reach far beyond."""
    log = getattr(axes, f"get_{axis}scale")() == "log"
    known = values[np.isfinite(values.astype(float)) & ((values > 0) | (not log))]
    if known.empty:
        return
    low, high = float(known.min()), float(known.max())
    pad = 0.15 * (high - low) or 0.1 * abs(high) or 1.0
    ends = (low / 1.8, 1.8 * high) if log else (low - pad, high + pad)
    getattr(axes, f"set_{axis}lim")(*ends)


def stacked(parts: Mapping[str, Sequence[Line]], extra: float) -> tuple[Picture, list[Axes]]:
    """A figure with a panel each of `parts` below each other, each as high as its legend needs."""
    tall = [max(2.2, 0.2 * len(lines) + 0.5) for lines in parts.values()]
    ways: dict[str, Any] = {"sharex": True, "sharey": True, "height_ratios": tall}
    return panels(len(parts), columns=1, width=WIDTH, height=sum(tall) / len(tall), extra=extra, **ways)


def key(axes: Axes, lines: Sequence[Line]) -> None:
    """A panel's own legend to its right, since colours mean other things in other panels."""
    handles = [handle(look) for _, look, _ in lines]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), labelspacing=0.3, fontsize=10.5)


def bottom(figure: Picture, *handles: Any) -> None:
    """The legend below all panels: `handles`, and what faint lines, bands and crosses are."""
    drawn = {(mark.get_gid() or "").partition(":")[0] for axes in figure.axes for mark in axes.collections}
    more: list[Any] = [Line2D([], [], color=SOFT, linewidth=0.9, alpha=0.7, label="one seed")]
    if "band" in drawn:
        more.append(Patch(color=GREY, alpha=0.3, linewidth=0, label="95 % interval"))
    legend(figure, [*handles, *more], seeds=False)
