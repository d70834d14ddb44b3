"""What the figures of the weight-correlation study share: their words, and which rows they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .mode_connectivity_parts import WIDTH
from .panels import Picture, legend, panels

MASKINGS = {"one_shot": "one-shot masks", "iterative": "iterative masks", "admm": "ADMM masks"}
SCOPES = {"layer": "cut layer by layer", "global": "cut over all layers"}
RECIPES = {
    "plain": "unchanged",
    "warm": "warm-up",
    "long": "trained longer",
    "matched": "equal lr × decay × steps",
    "pull": "pulled to its start",
    "push": "pushed from its start",
}
P = 0.2  # the share of largest weights that tickets are compared by (weight_correlation.md section 2)


def grid(count: int, *, height: float, below: float) -> tuple[Picture, list[Axes]]:
    """A figure of `count` panels, two a row, with `below` inches for the legend that `keyed` puts there.

    An odd number of panels, from 3 on, leaves a place free, where the legend costs no height.
    """
    spare = count % 2 if count > 1 else 0
    extra = 0.6 if spare else below
    figure, every = panels(count + spare, columns=2, width=WIDTH, height=height, extra=extra, sharey=True)
    return figure, every[:count]


def keyed(figure: Picture, count: int, handles: Sequence[Any]) -> None:
    """The legend of a `grid` of `count` panels, with what points, bars and crosses are."""
    legend(figure, handles)
    for spare in figure.axes[count:]:
        (below,) = figure.legends
        below.remove()
        names = [text.get_text() for text in below.texts]
        spare.legend(handles=below.legend_handles, labels=names, loc="center left", bbox_to_anchor=(-0.1, 0.5))
        spare.set_axis_off()


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the plain recipe whose mask comes from the same learning rate."""
    return rows if rows.empty else rows[(rows["recipe"] == "plain") & np.isclose(rows["mask_lr"], rows["lr"])]


def commonest(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The rows with the commonest values in `columns`, of equally common ones the last in their order.

    A figure shows one setting of what it doesn't compare. Which one is decided by what was run, never by what came out.
    """
    for column in columns if not rows.empty else ():
        counts = rows[column].value_counts(sort=False).sort_index()[::-1]
        rows = rows[rows[column] == counts.idxmax()]
    return rows


def decay_words(decay: float) -> str:
    """Weight decay in words."""
    return f"weight decay {decay:g}" if decay else "no weight decay"


def mask_words(rows: pd.DataFrame) -> str:
    """The masks of `rows` in words, which all have one masking and scope."""
    masking, scope = rows["masking"].iloc[0], rows["scope"].iloc[0]
    return f"{MASKINGS.get(masking, masking)} {SCOPES.get(scope, scope)}"
