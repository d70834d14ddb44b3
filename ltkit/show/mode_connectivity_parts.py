"""What the figures of the mode-connectivity study share: their words, which rows they take, the scale of barriers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from ..errors import UserError, nearest
from .panels import Picture
from .style import SOFT, Look

KINDS = {  # of paths, and what stands at their ends, α = 0 first
    "twins_dense": "dense networks that part after k epochs",
    "twins_full": "dense networks with all epochs after k",
    "twins_imp": "a ticket trained in two data orders",
    "rounds": "a ticket and the next round's",
    "rounds_reinit": "the same with fresh weights",
    "dense_ticket": "the masked dense network and the ticket",
    "finetuned_ticket": "the fine-tuned network and the ticket",
    "same_seed": "a network and itself, trained again",
    "unrelated": "dense networks of two seeds",
    "permuted": "a dense network and itself, permuted",
}
BY_EPOCH = ("twins_dense", "twins_full")
WORDS = {"warm": "warm-up", "adam": "Adam", "steps": "equal steps", "wd0": "no weight decay"}
TREATMENTS = {
    "batch_norm": {"recompute": "BatchNorm recomputed", "none": "", "interpolate": "BatchNorm interpolated"},
    "endpoint_mask": {
        "own": "each end under its own mask",
        "intersection": "both ends under the shared mask",
        "sparser": "both ends under the sparser mask",
    },
}
STABLE = 2.0  # points of error (mode_connectivity.md section 2)
LIMIT = Look("stable: below 2 points", SOFT, "", "--")
SHADES = colormaps["cividis"]
WIDTH = 6.4  # inches, also of two panels in a row: what is wider is small print on a phone


def chosen(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """The rows with these values, None for any of them.

    UserError for a value that the table doesn't have, of kinds for one that the study doesn't.
    """
    rows = table
    for column, value in where.items():
        known = list(KINDS) if column == "kind" else [] if table.empty else list(dict.fromkeys(table[column]))
        if value is None or not known:
            continue
        if value not in known:
            close = nearest(str(value), map(str, known))
            raise UserError(f"no {column} '{value}' in the table{close}; there are {', '.join(map(str, known))}")
        rows = rows if table.empty else rows[rows[column] == value]
    return rows


def treated(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rows of paths or barriers under one treatment of BatchNorm and of the ends' masks, and its name.

    Only cells of one treatment can be compared. Of several it is the one with the most rows, `recompute` and `own`
    first: for another one leave its rows only. The column `step` is added: the epochs that dense twins share, the round
    of all other kinds.
    """
    said = []
    for column, words in TREATMENTS.items() if not rows.empty else ():
        counts = rows[column].value_counts()
        way = max(words, key=lambda name: counts.get(name, 0))
        rows = rows[rows[column] == way]
        unequal = rows["kind"].isin(("rounds", "rounds_reinit")).any()  # elsewhere both ends have one mask
        said += [words[way]] if column == "batch_norm" or unequal else []
    if rows.empty:
        return rows, ""
    step = rows["level"].where(~rows["kind"].isin(BY_EPOCH), rows["rewind"]).fillna(0).astype(float)
    return rows.assign(step=step, density=rows["density"].astype(float).round(9)), ", ".join(filter(None, said))


def by_seed(rows: pd.DataFrame, value: str = "barrier") -> pd.DataFrame:
    """The mean over the pairs of each seed, since they are no independent draws; NaN where one of them diverged."""
    keys = ["setting", "kind", "step", "density", "seed"]
    if rows.empty:
        return pd.DataFrame(columns=[*keys, value])
    return rows.groupby(keys, sort=False)[value].agg(lambda pairs: pairs.mean(skipna=False)).reset_index()


def words_of(setting: str) -> str:
    """batch/lr[/word...] in words: 512/0.1/warm is batch 512, lr 0.1, warm-up."""
    batch, *rest = setting.split("/")
    lr, *more = rest or [""]
    return ", ".join(filter(None, [f"batch {batch}", lr and f"lr {lr}", *(WORDS.get(word, word) for word in more)]))


def headline(figure: Picture, *lines: str) -> None:
    """The figure's title; long lines are broken, empty ones left out."""
    room = int(figure.get_figwidth() * 10.4)
    parts = [
        part for line in lines for part in ([line] if len(line) <= room else line.replace(": ", ":\n", 1).split("\n"))
    ]
    figure.suptitle("\n".join(fill(part, room) for part in parts if part), x=0.01, ha="left", fontsize=12.5)


def panel_title(axes: Axes, text: str) -> None:
    """A title that stays within its panel, two of which share the width of a figure."""
    axes.set_title(text if len(text) <= 30 else ",\n".join(text.rsplit(", ", 1)), fontsize=11.5)


def places(axes: Axes, names: Sequence[str]) -> None:
    """One place after the other on the x axis, with these names; long ones are turned."""
    long = max(len(name) for name in names) * len(names) > 45
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
    axes.set_xticks(range(len(names)), names, **turned)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.grid(visible=False, axis="x")


def some(values: Iterable[float], most: int) -> list[float]:
    """At most `most` of the values, evenly chosen, the first and the last among them."""
    every = list(values)
    return (
        [every[place] for place in sorted(set(np.linspace(0, len(every) - 1, most).round().astype(int)))]
        if every
        else []
    )


def aside(number: int, count: int) -> float:
    """How far the nth of several series stands beside its place, so that they don't hide each other."""
    return min(0.09, 0.5 / count) * (number - (count - 1) / 2)


def barrier_axis(axes: Axes, axis: Literal["x", "y"], values: pd.Series, label: str = "") -> None:
    """Barriers from 0 up with the line of stability; logarithmic above it where some are large."""
    label = label and f"{label}\n(points of error)"
    known = values[np.isfinite(values.astype(float))]
    top = max(float(known.max()) if len(known) else 0.0, 1.25 * STABLE)
    draw = axes.axhline if axis == "y" else axes.axvline
    draw(STABLE, color=LIMIT.color, linestyle=LIMIT.line, linewidth=1.4, zorder=1, gid="line:stable")
    if top <= 20:
        axes.set(**{f"{axis}lim": (-0.05 * top, 1.1 * top), f"{axis}label": label})
        return
    getattr(axes, f"set_{axis}scale")("symlog", linthresh=STABLE, linscale=0.7)
    axes.set(**{f"{axis}lim": (-0.2, 1.4 * top), f"{axis}label": label and f"{label},\nlogarithmic above 2"})
    ticks = [0, 1, 2, 5, 10, 20, 40, 80]
    found = axes.yaxis if axis == "y" else axes.xaxis
    found.set_major_locator(FixedLocator(ticks))
    found.set_major_formatter(FixedFormatter([str(tick) for tick in ticks]))
    found.set_minor_locator(NullLocator())
