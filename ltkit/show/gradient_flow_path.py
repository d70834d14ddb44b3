"""The way from a network of the gradient-flow study to the pruned solution (D15 to D17, P10)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from ..verdict import estimate
from .gradient_flow_lines import bottom, curve, key
from .gradient_flow_parts import METHODS, at_density
from .mode_connectivity_parts import WIDTH, chosen, headline
from .panels import Picture, panels
from .sanity_checks_curves import empty
from .style import SOFT, named, styled

ENDS = {  # by panel: where a path begins, and whose look it has
    "from trained networks": {"lt": "lt", "scratch": "scratch", "prune_other": "prune_other"},
    "from initial weights": {"lt_start": "lt", "scratch_start": "scratch"},
}
WORDS = {"lt": "ticket", "scratch": "scratch", "prune_other": "pruned\nindependently"}


@styled
def to_the_pruned(
    interpolations: pd.DataFrame, network: str, density: float | None = None, split: str = "train"
) -> Picture:
    """Loss on the straight line to the pruned solution at α = 1, from ends of training and from starts; both one mask.

    `interpolations`: network, end, density, seed, alpha, loss, split. A hump between 0 and 1 is a barrier: the two lie
    in different basins. Beside the lines stand the barrier, max L − (L(0) + L(1)) / 2 over 0 ≤ α ≤ 1, and from starts
    the mean loss on the way, each with its interval. Losses beyond the ends may leave the panel.
    """
    rows, at = at_density(chosen(interpolations, network=network, split=split), density)
    parts = {text: [name for name in ends if len(rows) and (rows["end"] == name).any()] for text, ends in ENDS.items()}
    parts = {text: names for text, names in parts.items() if names}
    if not parts:
        return empty(f"{named(network)}: no paths to the pruned solution{at and f' at {at}'}")
    figure, every = panels(len(parts), columns=1, width=WIDTH, height=2.6, extra=1.0, sharex=True, sharey=True)
    told = summaries(rows)
    for axes, (text, names) in zip(every, parts.items(), strict=True):
        for alpha in (0, 1):
            axes.axvline(alpha, color=SOFT, linewidth=1.1, linestyle=":", zorder=1, gid=f"end:{alpha}")
        lines = []
        for number, name in enumerate(names):
            look, own = METHODS[ENDS[text][name]], rows[rows["end"] == name]
            curve(axes, own, "alpha", "loss", look, name=name, phase=number)
            lines.append((name, replace(look, label=_label(name, told[told["end"] == name])), own))
        axes.set_title(text)
        axes.set_ylabel(f"loss, {'training' if split == 'train' else split} set (nats)")
        key(axes, lines)
    between = rows.loc[rows["alpha"].between(0, 1), "loss"].dropna()
    top = float(between.max()) if len(between) else 1.0
    every[0].set_ylim(-0.04 * top, 1.1 * top or 1.0)
    every[-1].set_xlim(rows["alpha"].min(), rows["alpha"].max())
    every[-1].set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    every[-1].set_xlabel("α, from a network (0) to the pruned solution (1)")
    headline(figure, ", ".join(filter(None, [named(network), at])))
    bottom(figure)
    return figure


def summaries(interpolations: pd.DataFrame) -> pd.DataFrame:
    """end, seed, `barrier` and `mean` of the loss over 0 ≤ α ≤ 1, in nats; NaN where a point is no number."""
    found = []
    rows = interpolations[interpolations["alpha"].between(-1e-9, 1 + 1e-9)]
    for (end, seed), own in rows.groupby(["end", "seed"]):
        line = own.groupby("alpha")["loss"].agg(lambda losses: losses.mean(skipna=False)).sort_index()
        loss, alphas = line.to_numpy(dtype=float), line.index.to_numpy(dtype=float)
        mean = np.trapezoid(loss, alphas) / (alphas[-1] - alphas[0]) if len(alphas) > 1 else math.nan
        found.append({"end": end, "seed": seed, "barrier": loss.max() - (loss[0] + loss[-1]) / 2, "mean": mean})
    return pd.DataFrame(found, columns=["end", "seed", "barrier", "mean"])


def _label(name: str, told: pd.DataFrame) -> str:
    start = name.endswith("_start")
    found = estimate(told["mean" if start else "barrier"].dropna())
    interval = f"\n[{_short(found.low)}, {_short(found.high)}]" if math.isfinite(found.low) else ""
    number = _short(found.mean) if found.n else "unknown"
    return f"{WORDS[name.removesuffix('_start')]}:\n{'mean loss' if start else 'barrier'} {number}{interval}"


def _short(value: float) -> str:
    return (f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}").replace("-", "−")
