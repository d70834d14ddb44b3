"""The plane through three solutions of the mode-connectivity study: what lies between them."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator

from .mode_connectivity_parts import SHADES, STABLE, WIDTH, headline
from .panels import Picture, panels
from .sanity_checks_curves import empty
from .style import BLACK, INK, named, styled


@styled
def surface(
    grid: pd.DataFrame, points: pd.DataFrame, value: Literal["error", "loss"] = "error", title: str = ""
) -> Picture:
    """Error (percent) or loss (nats, logarithmic) in the plane through three solutions, with these marked.

    `grid`: x, y and `value`, a row a point of a full grid (`ltkit.analyze.plane.surface`). `points`: label, x, y, and
    maybe `value`; with it a white line is drawn where the error is 2 points above the mean of the three.
    """
    known = np.isfinite(grid[value].astype(float)) if len(grid) else np.zeros(0, dtype=bool)
    if known.sum() < 4:
        return empty(f"{title or 'the plane'}: hardly a point of it has a finite {value}")
    square = grid.assign(**{value: grid[value].where(known)}).pivot(index="y", columns="x", values=value)
    z: np.ndarray = np.ma.masked_invalid(square.to_numpy(dtype=float))
    x, y, low, high = square.columns.to_numpy(), square.index.to_numpy(), float(z.min()), float(z.max())
    norm: Normalize
    if value == "loss":
        low = max(low, 1e-4)
        z, high = z.clip(min=low), max(high, 2 * low)
        norm, levels = LogNorm(low, high), list(np.geomspace(low, high, 13))
    else:
        high = max(high, low + 1)
        levels = list(MaxNLocator(12).tick_values(low, high))
        norm = Normalize(levels[0], levels[-1])
    figure, (axes,) = panels(1, width=WIDTH, height=4.8, extra=0.4)
    filled = axes.contourf(x, y, z, levels=levels, cmap=SHADES, norm=norm)
    thin: dict[str, Any] = {"colors": "white", "linewidths": 0.5, "alpha": 0.5}
    axes.contour(x, y, z, levels=levels, **thin)
    bar = figure.colorbar(filled, ax=axes, label={"error": "error (%)", "loss": "loss (nats)"}[value], format="{x:.3g}")
    bar.set_ticks(levels[::2])
    bar.minorticks_off()
    edge = float(points[value].mean()) + STABLE if value == "error" and value in points else math.inf
    if low < edge < high:
        lines = axes.contour(x, y, z, levels=[edge], colors="white", linewidths=2.2)
        lines.set_gid("line:stable")
        bar.ax.axhline(edge, color="white", linewidth=2.2)
    mark: dict[str, Any] = {"s": 90, "color": "white", "edgecolors": BLACK, "linewidths": 1.5, "zorder": 4}
    axes.scatter(points["x"], points["y"], gid="points", **mark)
    middle = points["y"].mean()
    for told in points.to_dict("records"):
        up = told["y"] > middle
        style: dict[str, Any] = {"ha": "center", "va": "bottom" if up else "top", "fontsize": 11.5, "color": INK}
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
        at: dict[str, Any] = {"xytext": (0, 10 if up else -10), "textcoords": "offset points"}
        axes.annotate(named(str(told["label"])), (told["x"], told["y"]), bbox=box, zorder=5, **at, **style)
    axes.set(xlabel="distance in weight space", ylabel="distance in weight space", aspect="equal")
    axes.grid(visible=False)
    headline(figure, title, "white: 2 points above the mean of the three" if low < edge < high else "")
    return figure
