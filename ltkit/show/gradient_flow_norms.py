"""Figures of the gradient-flow study over training: the gradient norm by start and method, and an explorer.

`traces`: network, method, init, distribution, density, seed, step, share, moment, loss, gradient_norm, dense_norm,
gain, kept, run, as `ltkit.train.trace` records them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from ..errors import UserError, nearest
from .gradient_flow_lines import bottom, curve, key, stacked, view
from .gradient_flow_parts import INITS, LAYOUTS, METHODS, REFERENCES, Line, at_density, by_start, one_layout
from .mode_connectivity_parts import chosen, headline
from .panels import Picture
from .sanity_checks_curves import empty
from .style import named, styled

METRICS = {  # column, how its axis is called, whether that is logarithmic
    "gradient norm": ("gradient_norm", "gradient norm G\n(nats per unit of weight)", True),
    "norm of the dense gradient": ("dense_norm", "norm of the unmasked gradient\n(nats per unit of weight)", True),
    "training loss": ("loss", "loss on the fixed batch (nats)", True),
    "weights kept": ("kept", "weights kept", True),
}


@styled
def gradient_norms(
    traces: pd.DataFrame, network: str, density: float | None = None, x: Literal["share", "step"] = "share"
) -> Picture:
    """The gradient norm G through training on a logarithmic axis (D4 to D8).

    First panel: static masks by their start; then a panel a start with its methods, under masks from pruning where
    there are any, and one of random masks. Lines are geometric means over seeds. The start of training has more room:
    the horizontal axis is that of the square root.
    """
    rows, at = _steps(traces, network, density)
    _, layout = one_layout(rows)
    parts = {} if rows.empty else by_start(rows)
    if not parts:
        return empty(f"{named(network)}: no gradient norms of sparse networks{at and f' at {at}'}")
    figure = _over_training(parts, "gradient norm", x)
    about = ", ".join(filter(None, [layout, "G on one fixed batch, without L2"]))
    headline(figure, ", ".join(filter(None, [named(network), at])), about)
    return figure


@styled
def explore_plot(
    traces: pd.DataFrame,
    network: str,
    method: str = "all",
    start: str = "dense_he",
    density: float | None = None,
    metric: str = "gradient norm",
    masks: str | None = None,
) -> Picture:
    """One of `METRICS` through training: one method or "all", of one start or "all", at one density, beside the dense.

    `masks`: their layout over the layers, where it may differ; that of pruning, if not given. One method of all starts
    has a colour a start. What the study didn't run gives a figure that says so; UserError for
    an unknown method, start or metric.
    """
    for what, name, known in (("method", method, METHODS), ("start", start, INITS), ("metric", metric, METRICS)):
        if name not in known and (name != "all" or what == "metric"):
            raise UserError(f"no {what} '{name}'{nearest(name, known)}; known: {', '.join(known)}")
    rows, at = _steps(traces, network, density)
    rows, layout = one_layout(rows, masks)
    lines = [] if rows.empty else _lines(rows, method, start)
    beside = ("dense",) if method in REFERENCES else REFERENCES
    if all(name.partition(":")[0] in beside for name, _, _ in lines):
        said = ["sparse networks" if method == "all" else METHODS[method].label]
        said += [] if start == "all" else [INITS[start].label]
        said += [f"masks {LAYOUTS.get(masks, masks)}"] if masks else []
        return empty(f"{named(network)}: no {', '.join(said)}{at and f' at {at}'}")
    title = "all starts" if start == "all" else f"start: {INITS[start].label}"
    figure = _over_training({title: lines}, metric, "share")
    headline(figure, ", ".join(filter(None, [named(network), at, layout])))
    return figure


def explore_choices(traces: pd.DataFrame) -> dict[str, Any]:
    """What `explore_plot` can be asked about these traces, for `explorer`: labels and values; the commonest first."""
    sparse = traces[~traces["method"].isin(REFERENCES)]
    densities = sparse["density"].astype(float).round(9)
    starts = [name for name in sparse["init"].value_counts().index if name in INITS]
    return {
        "network": {named(name): name for name in dict.fromkeys(traces["network"])},
        "method": {"all": "all"} | {METHODS[name].label: name for name in METHODS if (traces["method"] == name).any()},
        "start": {INITS[name].label: name for name in starts} | {"all": "all"},
        "density": {f"{value:g}": float(value) for value in densities.value_counts().index},
        "metric": list(METRICS),
        "masks": {LAYOUTS[name]: name for name in reversed(LAYOUTS) if (sparse["distribution"] == name).any()},
    }


def _steps(traces: pd.DataFrame, network: str, density: float | None) -> tuple[pd.DataFrame, str]:
    rows = chosen(traces, network=network)
    return at_density(rows if rows.empty else rows[rows["moment"] == "step"], density)


def _lines(rows: pd.DataFrame, method: str, start: str) -> list[Line]:
    """A line a method and start that are asked for; the dense networks beside them."""
    found = []
    for name, look in METHODS.items():
        own = rows[rows["method"] == name]
        if own.empty or (method not in ("all", name) and name != "dense"):
            continue
        if name in REFERENCES:
            found.append((name, look, own))
            continue
        for init, other in INITS.items():
            mine = own[own["init"] == init]
            if len(mine) and start in ("all", init):
                both = replace(look, label=f"{look.label}, {other.label}", line=other.line)
                shown = look if start != "all" else both if method == "all" else other
                found.append((f"{name}:{init}", shown, mine))
    return found


def _over_training(parts: dict[str, list[Line]], metric: str, x: str) -> Picture:
    """A panel each of `parts` below each other."""
    column, label, log = METRICS[metric]
    figure, every = stacked(parts, extra=1.1)
    for axes, (title, lines) in zip(every, parts.items(), strict=True):
        if log:
            axes.set_yscale("log")
        for number, (name, look, rows) in enumerate(lines):
            curve(axes, rows, x, column, look, name=name, log=log, phase=number)
        axes.set_title(title)
        axes.set_ylabel(label)
        key(axes, lines)
    shown = pd.concat([rows[column] for lines in parts.values() for _, _, rows in lines])
    view(every[0], "y", shown)
    _training_axis(every[-1], x, max(rows[x].max() for lines in parts.values() for _, _, rows in lines))
    bottom(figure)
    return figure


def _training_axis(axes: Axes, x: str, end: float) -> None:
    """Training from its start to its end, the start drawn out; shares in percent."""
    axes.set_xscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    axes.set_xlim(0, end or 1)
    shares = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1]
    ticks = shares if x == "share" else [round(end * share) for share in shares]
    texts = [f"{100 * tick:g}" if x == "share" else f"{tick}" for tick in ticks]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter(texts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("share of training (%), root scale" if x == "share" else "step, root scale")
