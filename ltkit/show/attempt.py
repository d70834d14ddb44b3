"""Pictures for the exercises: what an answer means, drawn before the check says what it thinks of it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .panels import Picture, handle, legend, panels
from .style import BLACK, BLUE, GREEN, SOFT, VERMILION, Look, styled

ANSWER = Look("your answer", VERMILION, "", "--")
LIMIT = Look("the limit", SOFT, "", ":")


@styled
def curve(
    x: Sequence[float],
    y: Sequence[float],
    xlabel: str,
    ylabel: str,
    *,
    at: float | None = None,
    level: float | None = None,
    limit: float | None = None,
) -> Picture:
    """y over x, with the answer as a line: at a place `at` of x or a `level` of y; `limit`: one to compare."""
    figure, (axes,) = panels(1, height=2.6)
    axes.plot(x, y, color=BLUE, marker="o" if len(x) < 30 else "", markersize=4, gid="curve")
    shown = []
    if limit is not None:
        axes.axhline(limit, color=LIMIT.color, linestyle=LIMIT.line, gid="limit")
        shown.append(handle(LIMIT))
    for draw, value in ((axes.axvline, at), (axes.axhline, level)):
        if value is not None:
            draw(value, color=ANSWER.color, linestyle=ANSWER.line, gid="answer")
            shown.append(handle(ANSWER))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    legend(figure, shown, seeds=False)
    return figure


@styled
def interval(low: float, high: float, margin: float, label: str = "effect") -> Picture:
    """An interval of an effect beside the band from -margin to margin, on one line."""
    figure, (axes,) = panels(1, height=1.2)
    axes.axvspan(-margin, margin, color=GREEN, alpha=0.2, linewidth=0, gid="margin")
    axes.axvline(0, color=BLACK, linewidth=1)
    axes.plot([low, high], [0, 0], color=BLUE, linewidth=3, solid_capstyle="butt", gid="interval")
    axes.plot([(low + high) / 2], [0], "o", color=BLUE, gid="mean")
    axes.set_yticks([])
    axes.set(xlabel=f"{label}; the band is ±{margin:g}", ylim=(-1, 1))
    return figure


@styled
def beside(table: pd.DataFrame) -> Picture:
    """Test accuracy of a few runs from `lab.table`, labelled by `name`; one that isn't in the store has none yet."""
    figure, (axes,) = panels(1, height=0.4 * len(table) + 0.5)
    for place, row in enumerate(table.itertuples()):
        if pd.notna(row.accuracy):
            color = VERMILION if row.name == "yours" else BLUE
            axes.plot([row.accuracy], [place], "o", color=color, markersize=9, gid=f"run:{row.name}")
            axes.annotate(
                f"{row.accuracy:.1f} %", (row.accuracy, place), (9, 0), textcoords="offset points", va="center"
            )
        else:
            word = "not trained yet" if row.outcome == "missing" else str(row.outcome)
            axes.annotate(word, (0.02, place), xycoords=("axes fraction", "data"), va="center", color=SOFT)
    known = table["accuracy"].dropna()
    if not known.empty:
        room = max(1.0, 0.2 * (known.max() - known.min()))
        axes.set_xlim(known.min() - room, known.max() + 2 * room)
    axes.set_yticks(range(len(table)), list(table["name"]))
    axes.set(xlabel="test accuracy (%)", ylim=(len(table) - 0.5, -0.5))
    axes.grid(visible=False, axis="y")
    return figure
