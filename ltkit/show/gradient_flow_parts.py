"""What the figures of the gradient-flow study share: their words and looks, and which rows they take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from .style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, WINE, YELLOW, Look
from .style import density as short

METHODS = {  # in the order in which they are listed; what is dense first
    "dense": Look("dense network", BLACK, "s"),
    "small_dense": Look("small dense network", GREY, "d"),
    "gmp": Look("gradual pruning", GREEN, "D"),
    "prune_other": Look("pruned independently", GREEN, "D", "--"),
    "lt": Look("ticket", BLUE, "o"),
    "lt_imp": Look("ticket (IMP)", SKY, "^"),
    "lt_reinit": Look("its mask, fresh weights", ORANGE, "v"),
    "scratch": Look("scratch: static mask", VERMILION, "s"),
    "set": Look("SET", PURPLE, "P"),
    "rigl": Look("RigL", WINE, "X"),
    "rigl_inverted": Look("RigL inverted", YELLOW, "p"),
    "rigl_long": Look("RigL, trained longer", WINE, "^", "--"),
    "rigl_lt": Look("RigL's mask, its start", BLUE, "o", "--"),
    "rigl_fresh": Look("RigL's mask, fresh start", ORANGE, "v", "--"),
}
REFERENCES = ("dense", "small_dense")  # in every panel
UPDATING = ("rigl", "set", "rigl_inverted")
RANDOM = ("scratch", *UPDATING, "rigl_long", "rigl_lt", "rigl_fresh")  # their masks may lie at random
INITS = {  # warm and dashed what the mask shrinks, cool and solid what is scaled to it
    "dense_glorot": Look("dense Glorot, masked", ORANGE, "s", "--"),
    "dense_he": Look("dense He, masked", VERMILION, "o", "--"),
    "layer": Look("scaled per layer", GREEN, "^"),
    "layer_out": Look("per layer, by fan-out", PURPLE, "v"),
    "neuron": Look("scaled per neuron", BLUE, "D"),
}
PRUNED = "pruned"  # the layout of a mask over the layers that gradual pruning found; the others are drawn
LAYOUTS = {"uniform": "uniform", "er": "ER", "erk": "ERK", PRUNED: PRUNED}
STROKES = {"uniform": ("o", "-"), "er": ("^", "-."), "erk": ("s", "--"), PRUNED: ("D", ":")}

_ARMS = {name: look.label for name, look in METHODS.items()}
WORDS = {  # what tables call arms, their starts and ends (lt_start), starts and layouts
    **_ARMS,
    **{f"{name}_{end}": f"{label}, {end}" for name, label in _ARMS.items() for end in ("start", "end")},
    **{name: look.label for name, look in INITS.items()},
    **LAYOUTS,
}

Line = tuple[str, Look, pd.DataFrame]  # what its artists are called, how it looks, its rows


def at_density(rows: pd.DataFrame, density: float | None) -> tuple[pd.DataFrame, str]:
    """The rows of one density and those of dense networks, and the density in words.

    Of several it is the one with the most rows, the lowest of equally common ones, if not given.
    """
    if rows.empty:
        return rows, "" if density is None else f"density {short(density)}"
    found = rows["density"].astype(float).round(9)
    pruned = found[found < 1]
    if density is None and len(pruned):
        counts = pruned.value_counts()
        density = float(counts[counts == counts.max()].index.min())
    if density is None:
        return rows, ""
    return rows[np.isclose(found, density) | (found >= 1)], f"density {short(density)}"


def one_layout(rows: pd.DataFrame, layout: str | None = None) -> tuple[pd.DataFrame, str]:
    """The rows whose masks have one layout over the layers, if they can have several, and the layout in words.

    Which one, if not given: that of pruning, which tickets have too, else the commonest.
    """
    free = rows if rows.empty else rows[rows["method"].isin(RANDOM)]
    if free.empty:
        return rows, ""
    if layout is None:
        layout = PRUNED if (free["distribution"] == PRUNED).any() else _commonest(free["distribution"])
    words = "masks from pruning" if layout == PRUNED else f"random masks, {LAYOUTS.get(layout, layout)}"
    return rows[~rows["method"].isin(RANDOM) | (rows["distribution"] == layout)], words


def by_start(rows: pd.DataFrame) -> dict[str, list[Line]]:
    """Lines by panel: static masks by start; the methods of each start in `one_layout`; random masks of any layout.

    The dense networks are in all panels. A start that only static masks have is in the first one alone.
    """
    whole = [(name, METHODS[name], own) for name in REFERENCES if len(own := rows[rows["method"] == name])]
    pruned = rows[~rows["method"].isin((*REFERENCES, "prune_other"))]
    alike, _ = one_layout(pruned)
    static = pruned[pruned["method"] == "scratch"]
    counts = static.groupby("distribution")["init"].nunique()
    if counts.max() > 1:
        layout = next((name for name in reversed(LAYOUTS) if counts.get(name, 0) == counts.max()), counts.idxmax())
        static = static[static["distribution"] == layout]
    starts = [name for name in INITS if (static["init"] == name).any()]
    found: dict[str, list[Line]] = {}
    if len(starts) > 1:
        lines = [(name, INITS[name], static[static["init"] == name]) for name in starts]
        found[f"static masks ({LAYOUTS.get(layout, layout)}), by start"] = [*whole, *lines]
    for init, look in INITS.items():
        here = alike[alike["init"] == init]
        names = [name for name in METHODS if (here["method"] == name).any()]
        if names and not (names == ["scratch"] and len(starts) > 1):
            lines = [(name, METHODS[name], here[here["method"] == name]) for name in names]
            found[f"start: {look.label}"] = [*whole, *lines]
    if (alike["distribution"] == PRUNED).any():
        found |= _at_random(pruned[pruned["distribution"] != PRUNED], whole)
    return found


def _at_random(rows: pd.DataFrame, whole: list[Line]) -> dict[str, list[Line]]:
    """The panel of masks that lie at random, a line a method and layout, all from the commonest start."""
    moving = rows[rows["method"] != "scratch"]
    if rows.empty:
        return {}
    init = _commonest((moving if len(moving) else rows)["init"])
    rows = rows[rows["init"] == init]
    main, lines = _commonest(rows["distribution"]), []
    for name, look in METHODS.items():
        own = rows[rows["method"] == name]
        layouts = [layout for layout in LAYOUTS if (own["distribution"] == layout).any()]
        for layout in layouts:
            if layout != main or len(layouts) > 1:
                marker, stroke = STROKES[layout]
                label = f"{METHODS[name].label.partition(':')[0]}, {LAYOUTS[layout]}"
                look = replace(METHODS[name], label=label, marker=marker, line=stroke)
            lines.append((f"{name}:{layout}", look, own[own["distribution"] == layout]))
    several = rows["distribution"].nunique() > 1
    said = f"{LAYOUTS.get(main, main)}{' unless said' if several else ''}"
    return {f"random masks ({said}), {INITS[init].label}": [*whole, *lines]} if lines else {}


def _commonest(values: pd.Series) -> str:
    counts = values.value_counts().sort_index()
    return str(counts.index[counts.to_numpy() == counts.max()][-1])
