"""Figures of the mode-connectivity study along straight paths, also for an explorer.

`paths`: network, setting, kind, level, density, rewind, seed, pair, batch_norm, endpoint_mask, alpha, split (train,
test), error (percent), loss; a row a pair, α and split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .mode_connectivity_parts import (
    BY_EPOCH,
    KINDS,
    STABLE,
    WIDTH,
    chosen,
    headline,
    panel_title,
    some,
    treated,
    words_of,
)
from .panels import EDGE, Picture, handle, legend, panels
from .sanity_checks_curves import empty
from .style import BLUE, GREEN, GREY, INK, PURPLE, SOFT, VERMILION, Look, named, styled
from .style import density as short

FOUR = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "D"), (PURPLE, "^"))  # as many lines as a panel can bear
PANELS = 6
LINES = {"test": "-", "train": "--"}


@styled
def error_along_path(paths: pd.DataFrame, network: str, kind: str, setting: str | None = None) -> Picture:
    """Error over α, a panel a setting and in it a line a density (dense twins: shared epochs), at most four.

    With a `setting`: a panel a density, at most six. Lines are means over seeds, test solid and train dashed; bands are
    the range over all pairs on the test set. Where a panel has a single line, there is the line of stability too, 2
    points above the mean of the ends.
    """
    rows, treatment = treated(chosen(paths, network=network, kind=kind, setting=setting))
    title = f"{named(network)}{f', {words_of(setting)}' if setting else ''}:"
    if rows.empty:
        return empty(f"{title} no paths between {KINDS[kind]}")
    looks = _looks(rows, kind, len(FOUR) if setting is None else PANELS)
    alone = setting is not None or len(looks) == 1
    if setting is None:
        parts = [(words_of(name), rows[rows["setting"] == name]) for name in dict.fromkeys(rows["setting"])]
    else:
        parts = [(look.label, rows[rows["step"] == step]) for step, look in looks.items()]
    figure, every = panels(len(parts), columns=2, width=WIDTH, height=2.7, extra=1.5, sharex=True, sharey=True)
    for axes, (text, here) in zip(every, parts, strict=True):
        for step, look in looks.items():
            shown = Look(look.label, BLUE, "") if alone else look
            _curves(axes, here[here["step"] == step], shown, f"{step:g}", limit=alone)
        panel_title(axes, text)
    _path_axes(every, min(2, len(parts)))
    headline(figure, f"{title} {KINDS[kind]}", treatment)
    lines = [] if alone else [handle(look) for look in looks.values()]
    band = Patch(color=GREY, alpha=0.3, linewidth=0, label="test, range over pairs")
    legend(figure, [*lines, *_key(limit=alone), band], seeds=False)
    return figure


@styled
def explore_plot(paths: pd.DataFrame, network: str, setting: str, kind: str, alpha: float) -> Picture:
    """One kind of path at one setting, marked at `alpha` (the nearest one there is), with the errors there.

    Dotted is the line of stability, 2 points above the mean of the ends. What the study didn't run gives a figure that
    says so.
    """
    rows, treatment = treated(chosen(paths, network=network, setting=setting, kind=kind))
    title = f"{named(network)}, {words_of(setting)}:"
    if rows.empty:
        return empty(f"{title} no paths between {KINDS[kind]}")
    near = min(rows["alpha"].unique(), key=lambda value: (abs(value - alpha), value))
    looks = _looks(rows, kind, len(FOUR))
    figure, (axes,) = panels(1, extra=1.9 + 0.15 * len(looks))
    axes.axvline(near, color=GREY, linewidth=1, zorder=1, gid="alpha")
    handles = []
    for step, look in looks.items():
        means = _curves(axes, rows[rows["step"] == step], Look("", look.color, ""), f"{step:g}", limit=True)
        there = {split: float(line[near]) for split, line in means.items() if near in line.index}
        mark: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": "none", "zorder": 6, **EDGE}
        axes.plot([near] * len(there), list(there.values()), gid=f"at:{step:g}", markersize=9, **mark)
        told = ", ".join(f"{split} {error:.1f} %" for split, error in there.items()) or "diverged"
        handles.append(handle(Look(f"{look.label}: {told}", look.color, look.marker)))
    _path_axes([axes], 1)
    axes.set_title(f"errors at α = {near:.3g} below", fontsize=11.5)
    headline(figure, f"{title} {KINDS[kind]}", treatment)
    legend(figure, [*handles, *_key(limit=True)], seeds=False)
    return figure


def explore_choices(paths: pd.DataFrame) -> dict[str, Any]:
    """What `explore_plot` can be asked about these paths, for `explorer`: labels and values, and a slider for α."""
    return {
        "network": {named(name): name for name in dict.fromkeys(paths["network"])},
        "setting": {words_of(name): name for name in dict.fromkeys(paths["setting"])},
        "kind": {text: kind for kind, text in KINDS.items() if (paths["kind"] == kind).any()},
        "alpha": sorted({round(float(value), 4) for value in paths["alpha"]}),
    }


def _looks(rows: pd.DataFrame, kind: str, most: int) -> dict[float, Look]:
    """A look for `most` steps of a kind."""
    densities = rows.groupby("step")["density"].first()
    looks = {}
    for number, step in enumerate(some(densities.index, most)):
        text = f"k = {step:g}" if kind in BY_EPOCH else f"density {short(densities[step])}"
        looks[step] = Look(text, *FOUR[number % len(FOUR)])
    return looks


def _curves(axes: Axes, rows: pd.DataFrame, look: Look, name: str, *, limit: bool) -> dict[str, pd.Series]:
    """Draws one step's lines; the means by split, over α. A pair with a point that is no number is left out whole."""
    pairs = ["split", "setting", "seed", "pair"]
    sound = rows[rows.groupby(pairs)["error"].transform(lambda errors: errors.notna().all()).astype(bool)]
    means: dict[str, pd.Series] = {}
    color = look.color
    for split, line in LINES.items():
        mine = sound[sound["split"] == split]
        if mine.empty:
            continue
        means[split] = mine.groupby(["seed", "alpha"])["error"].mean().groupby("alpha").mean()
        marks: dict[str, Any] = {"marker": look.marker, "markevery": max(1, len(means[split]) // 5), **EDGE}
        axes.plot(means[split], color=color, linestyle=line, zorder=4, gid=f"{split}:{name}", **marks)
        if split == "test":
            spread = mine.groupby("alpha")["error"].agg(["min", "max"])
            band: dict[str, Any] = {"color": color, "alpha": 0.2, "linewidth": 0, "zorder": 2}
            axes.fill_between(spread.index, spread["min"], spread["max"], gid=f"range:{name}", **band)
            if limit:
                ends = float(means[split].iloc[0] + means[split].iloc[-1]) / 2
                axes.axhline(ends + STABLE, color=color, linestyle=":", linewidth=1.4, gid=f"limit:{name}")
    lost = rows[rows["split"] == "test"].drop_duplicates(pairs).shape[0]
    if lost := lost - sound[sound["split"] == "test"].drop_duplicates(pairs).shape[0]:
        above = sum((text.get_gid() or "").startswith("lost:") for text in axes.texts)
        style: dict[str, Any] = {"color": color, "fontsize": 10.5, "va": "top", "transform": axes.transAxes}
        axes.text(0.02, 0.98 - 0.08 * above, f"× {lost} diverged, left out", gid=f"lost:{name}", **style)
    return means


def _path_axes(every: Sequence[Axes], columns: int) -> None:
    for axes in every:
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    for axes in every[-columns:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("α, from first to second")
    for axes in every[::columns]:
        axes.set_ylabel("error (%)")


def _key(limit: bool) -> list[Line2D]:
    entries = [handle(Look(f"{split} set", INK, "", line)) for split, line in LINES.items()]
    dotted = handle(Look("2 points above the ends", SOFT, "", ":"))
    return [*entries, dotted] if limit else entries
