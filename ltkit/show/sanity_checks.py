"""Figures of the sanity-check study: each a pure function from its tables to a figure, with nothing trained or stored.

`table` is that of `studies.sanity_checks.collect` and `layers` that of its `layers`. `matrix` is that of
`studies.sanity_checks_claims`: a row a network, density, method and check with effect (original minus check in accuracy
points, paired by seed), low, high, n, margin, word, and values, the seeds' differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from .existence_boards import points
from .panels import Picture, legend, panels
from .sanity_checks_curves import (
    CHECKS,
    KINDS,
    LOOKS,
    accuracy_by_kind,
    check_differences,
    empty,
    explore_choices,
    explore_plot,
    rows_of,
)
from .sanity_checks_layers import collapse_scatter, layer_profiles
from .style import SOFT, VERDICTS, Word, named, styled
from .tables import shown as shown_in

__all__ = [
    "accuracy_by_kind",
    "check_differences",
    "check_matrix",
    "collapse_scatter",
    "explore_choices",
    "explore_plot",
    "layer_profiles",
    "shown",
]

shown = partial(shown_in, words={**{name: look.label for name, look in LOOKS.items()}, **CHECKS})
SIGNS: dict[str, Word] = {
    "passes": VERDICTS["supported"],
    "fails": VERDICTS["refuted"],
    "better": Word("↑", "#5e2750", "#f3e1ee"),
    "undecided": VERDICTS["undecided"],
}
MEANINGS = {
    "passes": "passes: it used what was destroyed",
    "fails": "fails: it did not use that",
    "better": "better without that",
    "undecided": "undecided",
}
NAMES, WIDEST = 1.75, 7.0  # inches: the methods' names, and what is left for the checks


@styled
def check_matrix(matrix: pd.DataFrame, network: str, density: float) -> Picture:
    """What each check costs each method in accuracy points, with its interval and the word for it.

    Rows are methods and columns checks; a dash stands where a check doesn't apply to a method or wasn't made.
    """
    rows = rows_of(matrix, network)
    rows = rows if rows.empty else rows[np.isclose(rows["density"], density)]
    if rows.empty:
        return empty(f"no checks of {named(network)} at density {density:g}")
    checks = [check for check in CHECKS if (rows["check"] == check).any()]
    kinds = {kind: [name for name in methods if (rows["method"] == name).any()] for kind, methods in KINDS.items()}
    kinds = {kind: methods for kind, methods in kinds.items() if methods}
    said = {(told["method"], told["check"]): _said(told, rows["n"].max()) for told in rows.to_dict("records")}
    needed = max(0.9, *(0.075 * len(line) + 0.12 for lines in said.values() for line in lines))
    if needed * len(checks) > WIDEST:
        said = {place: [part for line in lines for part in _broken(line)] for place, lines in said.items()}
    width = min(needed, WIDEST / len(checks))
    tall = 0.22 + 0.17 * max(len(lines) for lines in said.values())
    height = 1.05 + 0.34 * len(kinds) + tall * sum(len(methods) for methods in kinds.values())
    total = max(NAMES + width * len(checks), 6.4)
    figure, (axes,) = panels(1, width=total + 0.1, height=height, extra=1.3)
    axes.set(xlim=(0, total), ylim=(height, 0))
    axes.set_axis_off()
    for number, check in enumerate(checks):
        place = NAMES + (number + 0.5) * width
        head: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10}
        axes.text(place, 0.83, "\n".join(CHECKS[check].rsplit(" ", 1)), gid=f"check:{check}", **head)
    edge = " or ".join(f"{value:g}" for value in sorted(rows["margin"].unique()))
    note = (
        "Accuracy points that each check costs: mean, and 95 % interval below.\n"
        f"✓ loses more than {edge}, ✕ changes by less, ↑ gains more, ? is open."
    )
    axes.text(0, 0.2, note, va="center", fontsize=10.5, color=SOFT, gid="note")
    top = 1.05
    words = rows.set_index(["method", "check"])["word"]
    for kind, methods in kinds.items():
        axes.text(0, top + 0.2, kind, va="center", fontsize=11, fontweight="bold")
        top += 0.34
        for name in methods:
            axes.text(0, top + tall / 2, LOOKS[name].label, va="center", fontsize=11, gid=f"method:{name}")
            for number, check in enumerate(checks):
                box = Rectangle((NAMES + number * width, top), width, tall, edgecolor="white", linewidth=2)
                _cell(axes, box, said.get((name, check)), words.get((name, check)), f"{name}:{check}")
            top += tall
    figure.suptitle(f"{named(network)}, density {density:g}", x=0.01, ha="left")
    patches = [Patch(color=word.tint, label=f"{word.sign}  {MEANINGS[key]}") for key, word in SIGNS.items()]
    patches.append(Patch(color="none", label="–  not applicable or not run"))
    legend(figure, patches, seeds=False)
    return figure


def _said(told: Mapping[str, Any], most: int) -> list[str]:
    """The lines of a cell: sign and mean, interval, and the number of seeds where some are missing."""
    lines = [f"{SIGNS[told['word']].sign} {points(told['effect'])}"]
    if math.isfinite(told["low"]):
        low, high = (points(told[end]).removeprefix("+") for end in ("low", "high"))
        lines.append(f"{low} to {high}")
    return lines if told["n"] == most else [*lines, f"n = {told['n']}"]


def _broken(line: str) -> list[str]:
    low, to, high = line.partition(" to ")
    return [low, f"to {high}"] if to else [line]


def _cell(axes: Axes, box: Rectangle, lines: list[str] | None, word: str | None, name: str) -> None:
    middle = box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2
    style: dict[str, Any] = {"ha": "center", "va": "center"}
    if not lines or word is None:
        axes.text(*middle, "–", color=SOFT, fontsize=11, gid=f"cell:{name}", **style)
        return
    look = SIGNS[word]
    box.set(facecolor=look.tint, gid=f"tint:{name}")
    axes.add_patch(box)
    first, *more = lines
    top = middle[1] - 0.085 * len(more)
    axes.text(middle[0], top, first, color=look.ink, fontsize=11, fontweight="bold", gid=f"cell:{name}", **style)
    if more:
        below = {"fontsize": 10, "linespacing": 1.0, "color": look.ink, **style}
        axes.text(middle[0], top + 0.1 + 0.085 * len(more), "\n".join(more), gid=f"interval:{name}", **below)
