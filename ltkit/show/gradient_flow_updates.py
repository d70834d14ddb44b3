"""What mask updates do to the gradient norm in the gradient-flow study, beside what is built into them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .gradient_flow_lines import bottom, curve, view
from .gradient_flow_parts import INITS, METHODS, UPDATING, at_density, one_layout
from .mode_connectivity_parts import WIDTH, chosen, headline, panel_title
from .panels import Picture, handle, panels
from .sanity_checks_curves import empty
from .style import BLACK, named, styled

SIDES = {"change": "measured", "predicted": "predicted"}


@styled
def update_changes(traces: pd.DataFrame, network: str, density: float | None = None) -> Picture:
    """G after minus before each mask update, and what the grown weights' gradients predict; a row a start (D9 to D11).

    If nothing were dropped, growing at 0 would give sqrt(G² + gain) on the batch that the scores come from, gain being
    the sum of the grown weights' squared gradients: RigL takes the largest, inverted the smallest (sheet trap 3). What
    the left side has beyond the right one is not built in.
    """
    rows = changes(chosen(traces, network=network))
    rows, at = at_density(rows, density)
    rows, layout = one_layout(rows)
    starts = [name for name in INITS if len(rows) and (rows["init"] == name).any()]
    if not starts:
        return empty(f"{named(network)}: no mask updates{at and f' at {at}'}")
    figure, every = panels(2 * len(starts), columns=2, width=WIDTH, height=2.5, extra=1.4, sharex=True, sharey="row")
    drawn = [name for name in UPDATING if (rows["method"] == name).any()]
    for place, init in enumerate(starts):
        here = rows[rows["init"] == init]
        for axes, (column, word) in zip(every[2 * place : 2 * place + 2], SIDES.items(), strict=True):
            axes.axhline(0, color=BLACK, linewidth=1.1, zorder=1, gid="zero")
            for number, name in enumerate(drawn):
                own = here[here["method"] == name]
                if len(own):
                    curve(axes, own, "percent", column, METHODS[name], name=name, phase=number)
            panel_title(axes, f"{INITS[init].label}, {word}")
        view(every[2 * place], "y", pd.concat([here[column] for column in SIDES]))
        every[2 * place].set_ylabel("G after − before\n(nats per unit of weight)")
    for axes in every[-2:]:
        axes.set_xlabel("share of training (%)")
    parts = ", ".join(filter(None, [named(network), at, layout]))
    headline(figure, parts, "predicted: by the grown weights' gradients, nothing dropped")
    bottom(figure, *(handle(METHODS[name]) for name in drawn))
    return figure


def changes(traces: pd.DataFrame) -> pd.DataFrame:
    """A row a mask update of the methods that have them: `change` of G, the `predicted` one, `percent` of training.

    NaN where the network had diverged.
    """
    columns = ["network", "method", "init", "distribution", "density", "seed", "run", "step", "share"]
    rows = traces if traces.empty else traces[traces["method"].isin(UPDATING)]
    if rows.empty:
        return pd.DataFrame(columns=[*columns, "change", "predicted", "percent"])
    before, after = (rows[rows["moment"] == moment] for moment in ("before", "after"))
    on = ["run", "step"]
    both = before.merge(after[[*on, "gradient_norm"]], on=on, suffixes=("", "_after"), validate="one_to_one")
    grown = np.sqrt(both["gradient_norm"] ** 2 + both["gain"]) - both["gradient_norm"]
    change = both["gradient_norm_after"] - both["gradient_norm"]
    return both[columns].assign(change=change, predicted=grown, percent=100 * both["share"])
