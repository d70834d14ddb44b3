"""The pieces that figures are made of: panels, seeds with their mean and interval, one legend below."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from ..verdict import t_interval
from .style import GREY, SOFT, Look

WIDTHS = {1: 6.4, 2: 7.6, 3: 8.8}  # inches, by panels a row
EDGE = {"markeredgecolor": "white", "markeredgewidth": 0.8}
SHARP = 2  # a figure has this many pixels a pixel of its place on the page


class Picture(Figure):
    """A figure that pyplot doesn't know: shown once where a cell ends with it, and nothing to close.

    `alt` describes it to those who can't see it; a report takes the sentence under the figure where it is empty.
    """

    alt = ""

    def png(self) -> bytes:
        """The figure as a picture that is sharp on a fine screen."""
        before, content = self.dpi, io.BytesIO()
        self.set_dpi(SHARP * before)
        try:  # not savefig: packing all the colours and unpacking them takes half as long as drawing
            canvas = FigureCanvasAgg(self)
            canvas.draw()
        finally:
            self.set_dpi(before)
        _few_colours(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")).save(content, "png")
        return content.getvalue()

    def _ipython_display_(self) -> None:
        # Before the inline backend's own way with figures, which crops them and depends on the user's settings.
        from IPython.display import display

        about: dict[str, Any] = {"width": round(self.get_figwidth() * self.dpi)}
        if self.alt:
            about["alt"] = self.alt
        bundle = {"image/png": self.png(), "text/plain": self.alt or repr(self)}
        display(bundle, raw=True, metadata={"image/png": about})


def _few_colours(image: Image.Image) -> Image.Image:
    """128 colours are plenty for a figure, and a third of the bytes."""
    # The best choice of them takes a quarter as long as the drawing. This one is quick, but turns white light grey.
    few = image.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours = np.array(few.getpalette()).reshape(-1, 3)
    colours[np.asarray(few)[0, 0]] = np.asarray(image)[0, 0]
    few.putpalette(colours.flatten().tolist())
    return few


def panels(
    count: int, *, columns: int = 3, height: float = 3.3, width: float | None = None, extra: float = 0.7, **shared: Any
) -> tuple[Picture, list[Axes]]:
    """A figure of `count` panels, `columns` a row, `height` inches each, with `extra` inches for what they share."""
    across = min(count, columns)
    down = math.ceil(count / across)
    figure = Picture(figsize=(width or WIDTHS.get(across, 8.8), down * height + extra), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, **shared)
    found = list(grid.flat)
    for unused in found[count:]:
        unused.remove()
    for above in found[: count - across] if len(found) > count else ():
        above.tick_params(labelbottom=True)  # it may be the lowest panel of its column
    return figure, found[:count]


def series(
    axes: Axes, rows: pd.DataFrame, x: str, y: str, look: Look, *, name: str, shift: float = 0.0, line: bool = True
) -> None:
    """Draws `y` over `x`: a small point a seed, their mean with its 95 % t interval, and a line through the means.

    Runs without a value (they diverged) are left out of the mean and marked by a × at the lower edge. `shift` moves
    everything sideways, as a factor exp(shift) where the axis is logarithmic. Artists carry gids: `seeds:<name>`,
    `mean:<name>`, `interval:<name>`, `lost:<name>`.
    """
    factor, offset = (math.exp(shift), 0.0) if axes.get_xscale() == "log" else (1.0, shift)
    sound, lost = rows[rows[y].notna()], rows[rows[y].isna()]
    at = sound[x] * factor + offset
    axes.scatter(at, sound[y], s=13, color=look.color, alpha=0.45, linewidths=0, zorder=2, gid=f"seeds:{name}")
    if not lost.empty:
        below = lost[x].drop_duplicates() * factor + offset
        where = axes.get_xaxis_transform()
        cross: dict[str, Any] = {"color": look.color, "marker": "x", "s": 42, "linewidths": 1.8, "zorder": 5}
        axes.scatter(below, [0.0] * len(below), transform=where, clip_on=False, gid=f"lost:{name}", **cross)
    if sound.empty:
        return
    groups = sound.groupby(x, sort=True)[y]
    means = groups.mean()
    middle = means.index.to_numpy(dtype=float) * factor + offset
    bounds = [t_interval(values) for _, values in groups]
    ends = [(place, low, high) for place, (low, high) in zip(middle, bounds, strict=True) if math.isfinite(low)]
    if ends:
        places, lows, highs = zip(*ends, strict=True)
        axes.vlines(places, lows, highs, color=look.color, linewidth=1.6, zorder=3, gid=f"interval:{name}")
    style: dict[str, Any] = {"color": look.color, "marker": look.marker, **EDGE}
    axes.plot(middle, means, linestyle=look.line if line else "none", zorder=4, gid=f"mean:{name}", **style)


def baseline(axes: Axes, values: pd.Series, look: Look, *, name: str) -> None:
    """A horizontal line at the mean of `values`, with the interval of that mean as a band."""
    known = values.dropna()
    if known.empty:
        return
    low, high = t_interval(known)
    if math.isfinite(low):
        axes.axhspan(low, high, color=look.color, alpha=0.12, linewidth=0, zorder=0, gid=f"band:{name}")
    axes.axhline(known.mean(), color=look.color, linewidth=1.3, linestyle=look.line, zorder=1, gid=f"line:{name}")


def handle(look: Look) -> Line2D:
    """A legend's entry for a series."""
    style: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": look.line, **EDGE}
    return Line2D([], [], label=look.label, **style)


def legend(figure: Figure, handles: Sequence[Any], *, seeds: bool = True) -> None:
    """One legend below all panels; it also says what points and bars are, and × where runs were lost."""
    drawn = {(mark.get_gid() or "").partition(":")[0] for axes in figure.axes for mark in axes.collections}
    more: list[Any] = []
    if seeds:
        point: dict[str, Any] = {"color": GREY, "marker": "o", "markersize": 4, "linestyle": "none", "alpha": 0.6}
        more.append(Line2D([], [], **point, label="one seed"))
        if "interval" in drawn:
            more.append(Line2D([], [], color=SOFT, marker="|", markersize=12, linestyle="none", label="95 % interval"))
    if "lost" in drawn:
        cross: dict[str, Any] = {"color": SOFT, "marker": "x", "linestyle": "none", "markeredgewidth": 1.8}
        more.append(Line2D([], [], **cross, label="diverged, left out"))
    entries = [*handles, *more]
    lengths = [len(entry.get_label()) for entry in entries]

    def inches(columns: int) -> float:
        return sum(0.08 * max(part) + 0.75 for part in np.array_split(lengths, columns) if len(part))

    columns = next((n for n in (3, 2) if inches(n) <= figure.get_figwidth()), 1)
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, columnspacing=1.4)


def nothing(axes: Axes, text: str) -> None:
    """Says in an empty panel why it is empty."""
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": SOFT, "wrap": True}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, **style)
    axes.set_axis_off()
