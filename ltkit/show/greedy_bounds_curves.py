"""How fast the error of a layer falls with the neurons that are picked, beside what is proved (F1 to F4, F11 to F13).

`curves`: source, network, layer, width, dimension, seed, method, iteration, neurons, relative, b1, b2, b3 (relative
bounds, NaN where not proved), b7 (expected of random neurons); a row an iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .gradient_flow_lines import bottom, curve, key
from .gradient_flow_parts import Line
from .greedy_bounds_parts import FLOOR, LINE, METHODS, counting, look_of, one_layer, one_of, ordered, powers
from .mode_connectivity_parts import WIDTH, headline
from .panels import Picture, panels
from .sanity_checks_curves import empty
from .style import SOFT, styled

STEPS = (LINE, "negative", "one_over_k", "no_repeats")  # differ in the step alone
BOUNDS: dict[str, tuple[Any, str]] = {
    "b1": ("--", "bound B1 (line search)"),
    "b2": ("-.", "bound B2 (both)"),
    "b3": ((0, (6, 2, 1, 2, 1, 2)), "bound B3 (1/k step)"),
}
PROVED = {LINE: ("b1", "b2"), "one_over_k": ("b2", "b3")}  # B1 and B2 hold for negative steps as they do without
LABELS = {"neurons": "distinct neurons kept", "iteration": "iterations"}
POINTS = 40  # of a line: more can't be seen


@styled
def discrepancy(
    curves: pd.DataFrame,
    source: str,
    network: str = "",
    layer: str | None = None,
    *,
    width: int | None = None,
    dimension: float | None = None,
    methods: Sequence[str] | None = None,
    x: Literal["neurons", "iteration"] = "neurons",
) -> Picture:
    """The relative error of one layer over its neurons on logarithmic axes: steps with their bounds, then selectors.

    Broken lines in a method's colour are what is proved for it: its error never lies above them. Dotted is what random
    neurons are expected to leave. Lines are geometric means over seeds; errors below 1e-12 count as none and lie there.
    `layer`, `width` and `dimension` as for `one_layer`; `methods`: all, if not given. All N neurons together have no
    error and are left out. Bounds count iterations: where `x` is neurons, a bound is that of the iteration after which
    there were so many.
    """
    for name in methods or ():
        one_of("method", name, METHODS)
    rows, title = one_layer(curves, source, network, layer, width, dimension)
    rows = rows if rows.empty else rows[rows["neurons"] < rows["width"]]
    rows = rows if rows.empty or methods is None else rows[rows["method"].isin(methods)]
    if rows.empty or not rows["relative"].notna().any():
        return empty(f"{title}: no errors of picked neurons")
    rows = rows.assign(relative=rows["relative"].clip(lower=FLOOR))
    names = ordered(rows["method"], METHODS)
    lines = {name: (name, look_of(name, METHODS), path(rows[rows["method"] == name], x)) for name in names}
    groups = {
        "steps, and the bounds that are proved for them": [lines[name] for name in names if name in STEPS],
        "line search and other selectors": [lines[name] for name in names if name not in STEPS[1:]],
    }
    parts = {text: own for text, own in groups.items() if {name for name, _, _ in own} - {LINE}}
    parts = parts or {"line search": list(lines.values())}
    figure, every = panels(len(parts), columns=1, width=WIDTH, height=2.6, extra=1.2, sharex=True, sharey=True)
    own = rows[rows["method"] == names[0]] if x == "iteration" else rows  # random neurons know no iterations
    expected = _over_seeds(own, "b7", x)
    drawn: set[str] = set()
    for axes, (text, own) in zip(every, parts.items(), strict=True):
        powers(axes)
        axes.set(xscale="log", ylabel="relative error D / ‖t‖²")
        axes.set_title(text)
        axes.set_autoscale_on(False)
        for number, (name, look, there) in enumerate(own):
            curve(axes, there, x, "relative", look, name=name, log=True, phase=number)
        if text.startswith("steps") or len(parts) == 1:
            drawn |= _bounds(axes, rows, own, x)
        if text.startswith("line search") and len(expected):
            axes.plot(expected.index, expected.to_numpy(), ":", color=SOFT, linewidth=2.2, zorder=2, gid="expected")
            drawn |= {"expected"}
        key(axes, own)
    _view(every[0], pd.concat([there for _, _, there in lines.values()]), x)
    counting(every[0])
    every[-1].set_xlabel(LABELS[x])
    headline(figure, title)
    said = [
        Line2D([], [], color=SOFT, linestyle=style, label=text) for b, (style, text) in BOUNDS.items() if b in drawn
    ]
    dotted = Line2D([], [], color=SOFT, linestyle=":", linewidth=2.2, label="random, expected (B7)")
    bottom(figure, *said, *([dotted] if "expected" in drawn else []))
    return figure


def path(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """The last row of each `x` of each seed of a method, at most POINTS of them, up to where no seed is missing.

    With at most so many neurons: a seed whose error is none before the others end stays there.
    """
    ends = rows.sort_values("iteration", kind="stable").drop_duplicates(["seed", x], keep="last")
    last = ends.set_index(["seed", x])["relative"]
    wide = last.unstack("seed").sort_index()
    for seed in wide:
        done = wide[seed].last_valid_index()
        if done is not None and wide.loc[done, seed] <= FLOOR:
            wide.loc[done:, seed] = FLOOR
    lost = last.isna().groupby(level="seed").any()
    known = wide.loc[wide.drop(columns=lost.index[lost]).notna().all(axis=1)]
    places = np.unique(np.geomspace(1, max(len(known), 1), POINTS).round().astype(int)) - 1
    thin = known.iloc[places] if len(known) else wide
    return thin.stack(future_stack=True).rename("relative").reset_index()


def _bounds(axes: Axes, rows: pd.DataFrame, lines: Sequence[Line], x: str) -> set[str]:
    """The proved bounds of the methods in `lines`, geometric means over seeds; which of them there are."""
    drawn = set()
    for name, look, _ in lines:
        for bound in PROVED.get(name, ()):
            values = _over_seeds(rows[rows["method"] == name], bound, x)
            if values.empty:
                continue
            style: dict[str, Any] = {"color": look.color, "linestyle": BOUNDS[bound][0], "linewidth": 1.4}
            axes.plot(values.index, values.to_numpy(), zorder=2, gid=f"{bound}:{name}", **style)
            drawn.add(bound)
    return drawn


def _over_seeds(rows: pd.DataFrame, column: str, x: str) -> pd.Series:
    """The geometric mean of a column over seeds, each at the last of its rows with this `x`, where all have one."""
    known = rows[rows[column] > FLOOR].sort_values("iteration", kind="stable").drop_duplicates(["seed", x], keep="last")
    groups = np.log(known[column]).groupby(known[x])
    return np.exp(groups.mean()[groups.count() == known["seed"].nunique()])


def _view(axes: Axes, shown: pd.DataFrame, x: str) -> None:
    """All errors, and of the bounds what lies up to a thousand times above."""
    known = shown["relative"][np.isfinite(shown["relative"])]
    low, high = float(known.min()), float(known.max())
    above = [float(np.max(line.get_ydata())) for line in axes.lines if (line.get_gid() or "").startswith("b")]
    axes.set_ylim(low / 2, 2 * max(high, min(max(above, default=high), 1e3 * high)))
    first, last = shown[x].min(), shown[x].max()
    axes.set_xlim(first / 1.12, max(last, first + 1) * 1.12)
