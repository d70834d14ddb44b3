"""Accuracy in the gradient-flow study over density, by start, method and layout of the masks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .gradient_flow_lines import key, stacked, view
from .gradient_flow_parts import by_start, one_layout
from .mode_connectivity_parts import headline
from .panels import Picture, baseline, legend, series
from .sanity_checks_curves import empty, rows_of
from .scales import density_axis, stretch
from .style import named, styled
from .weight_correlation_parts import commonest


@styled
def accuracies(table: pd.DataFrame, network: str) -> Picture:
    """Test accuracy over density: static masks by start, the methods of each start, and random masks (D20 to D26).

    `table`: `studies.gradient_flow.collect`; first twins only, at the commonest learning rate. Where masks may have
    several layouts the methods of a start have that of pruning. The dense networks are in every panel.
    """
    rows = rows_of(table, network)
    rows = rows if rows.empty else commonest(rows[rows["twin"].fillna(0) == 0], ["lr"])
    parts = {} if rows.empty else by_start(rows)
    if not parts:
        return empty(f"{named(network)}: no sparse networks")
    _, layout = one_layout(rows)
    figure, every = stacked(parts, extra=1.1)
    shown = pd.concat([own for lines in parts.values() for _, _, own in lines])
    places = np.log(np.sort(shown["density"].unique()))
    span = np.ptp(places) or 1.0
    most = max(len(lines) for lines in parts.values())
    room = min(0.03 * span * most, 0.6 * min(np.diff(places), default=span))  # for the lines of one density
    for axes, (title, lines) in zip(every, parts.items(), strict=True):
        density_axis(axes, shown["density"])
        for number, (name, look, own) in enumerate(lines):
            if name == "dense":
                baseline(axes, own["accuracy"], look, name=name)
                series(axes, own, "density", "accuracy", look, name=name)
                continue
            shift = room / most * ((len(lines) - 1) / 2 - number)
            series(axes, own, "density", "accuracy", look, name=name, shift=shift)
        axes.set_title(title)
        stretch(axes, shown["accuracy"], "test accuracy (%)")
        key(axes, lines)
    if every[0].get_yscale() == "linear":
        view(every[0], "y", shown["accuracy"])
    left = places[-1] + 0.05 * span + (places[-1] < 0) * room / 2
    every[0].set_xlim(np.exp(left), np.exp(places[0] - 0.05 * span - room / 2))
    for axes in every[:-1]:
        axes.set_xlabel("")
    headline(figure, f"{named(network)}, learning rate {rows['lr'].iloc[0]:g}", layout)
    legend(figure, [])
    return figure
