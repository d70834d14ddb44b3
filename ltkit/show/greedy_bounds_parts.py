"""What the figures of the greedy-bounds study share: their words and looks, and which rows they take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullFormatter, NullLocator

from ..errors import UserError, nearest
from .mode_connectivity_parts import chosen
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, WINE, YELLOW, Look, named

LINE = "line"
METHODS = {  # of selecting a layer's neurons
    LINE: Look("line search", BLUE, "o"),
    "negative": Look("line search, negative steps", SKY, "^", "--"),
    "one_over_k": Look("1/k step", VERMILION, "s"),
    "no_repeats": Look("1/k step, no repeats", ORANGE, "v", "--"),
    "least_squares": Look("least-squares weights", GREEN, "D"),
    "global": Look("global imitation", PURPLE, "P"),
    "label_loss": Look("label loss, 1/k step", WINE, "X"),
    "backward": Look("backward elimination", GREY, "d", "-."),
    "norm": Look("largest norm", YELLOW, "p", "-."),
    "random": Look("random neurons", GREY, "o"),
}
RULES = {  # of pruning a network
    "local": Look("local: line search", BLUE, "o"),
    "local_original": Look("local, towards the original", BLUE, "h", ":"),
} | {name: look for name, look in METHODS.items() if name not in (LINE, "least_squares")}
RULES["better"] = Look("better of local and global", GREEN, "D")
SOURCES = {"two-layer": "two-layer ReLU layer", "random weights": "random weights", "trained": "trained"}
FLOOR = 1e-12  # of ‖t‖²: an error below counts as none (greedy_bounds.md P9)


def one_of(what: str, name: str, known: Iterable[str]) -> None:
    """UserError unless `name` is among the names that figures know."""
    names = list(known)
    if name not in names:
        raise UserError(f"no {what} '{name}'{nearest(name, names)}; known: {', '.join(names)}")


def ordered(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """`names`, each once, in the order of `known`; those that it doesn't have come last."""
    there, first = dict.fromkeys(names), list(known)
    return [name for name in first if name in there] + [name for name in there if name not in first]


def look_of(name: str, known: dict[str, Look]) -> Look:
    """The look of a method or rule; grey, under its own name, where none is fixed."""
    return known.get(name, Look(name, GREY))


def from_source(rows: pd.DataFrame, source: str, network: str) -> pd.DataFrame:
    """The rows of a source and network; UserError for a source that there isn't, and for a network it doesn't have."""
    one_of("source", source, SOURCES)
    return chosen(rows if rows.empty else rows[rows["source"] == source], network=network)


def one_layer(
    rows: pd.DataFrame, source: str, network: str, layer: str | None, width: int | None, dimension: float | None
) -> tuple[pd.DataFrame, str]:
    """The rows of one layer, and its name with its numbers.

    `layer`: the first, if not given. Of synthetic layers (`network` "") also one width, by default the widest, and one
    dimension, by default the smallest. A trained layer's dimension is its effective rank, which differs by seed.
    """
    rows = from_source(rows, source, network)
    rows = rows if rows.empty else chosen(rows, layer=rows["layer"].iloc[0] if layer is None else layer)
    if not network and not rows.empty:
        rows = chosen(rows, width=rows["width"].max() if width is None else width)
        rows = chosen(rows, dimension=rows["dimension"].min() if dimension is None else dimension)
    return rows, layer_title(rows, source, network, layer)


def layer_title(rows: pd.DataFrame, source: str, network: str, layer: str | None = None) -> str:
    """Where a layer is, how wide it is and of how many dimensions."""
    layer = layer if rows.empty else str(rows["layer"].iloc[0])
    place = ", ".join(filter(None, [named(network), layer])) if network else SOURCES.get(source, source)
    if network and source != "trained":
        place += f", {SOURCES.get(source, source)}"
    return place if rows.empty else f"{place}: {size_words(rows, network)}"


def size_words(rows: pd.DataFrame, network: str) -> str:
    """N and M of a layer, of a trained one its effective rank; the mean over seeds where they differ."""
    dimension = float(rows["dimension"].mean())
    told = "M" if not network else "effective rank"
    known = f"{dimension:.0f}" if dimension >= 10 or dimension == round(dimension) else f"{dimension:.1f}"
    return f"N = {rows['width'].iloc[0]:g}" + (f", {told} = {known}" if np.isfinite(dimension) else "")


def counting(axes: Axes, axis: Literal["x", "y"] = "x") -> None:
    """A logarithmic axis of counts or shares with numbers as people write them, as many as there is room for.

    To be called when the limits are set.
    """
    axes.set(**{f"{axis}scale": "log"})
    low, high = sorted(getattr(axes, f"get_{axis}lim")())
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    wide = math.log10(high / low)
    steps = (1, 2, 5) if wide < 2.2 else (1, 3) if wide < 3.2 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
    found = axes.xaxis if axis == "x" else axes.yaxis
    found.set_major_locator(FixedLocator(ticks))
    found.set_major_formatter(FixedFormatter([f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks]))
    found.set_minor_formatter(NullFormatter())


def powers(axes: Axes, numbers: int = 6) -> None:
    """A logarithmic y axis with at most so many powers of ten and no ticks between: errors span many decades."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=numbers))
    axes.yaxis.set_minor_locator(NullLocator())
