"""Maps of the mode-connectivity study: how far apart its solutions are.

`distances`: network, setting, arm (imp, reinit, repelled, repelled_last, attracted), seed, a, b ("init", 0 for dense,
1, ...), shared, distance, null; a row a pair, as `ltkit.analyze.distance.matrix` has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from .mode_connectivity_parts import SHADES, WIDTH, chosen, headline, words_of
from .panels import Picture, legend, panels
from .sanity_checks_curves import empty
from .style import BLACK, BLUE, GREEN, INK, PURPLE, SOFT, VERMILION, WINE, named, styled

MEASURES = {
    "angle": "angle (1: orthogonal)",
    "cosine": "1 − cosine (1: orthogonal)",
    "euclidean": "Euclidean distance",
}
ARMS = {
    "imp": ("tickets (IMP)", BLUE),
    "reinit": ("fresh weights", VERMILION),
    "repelled": ("repelled tickets", PURPLE),
    "repelled_last": ("repelled by the last", WINE),
    "attracted": ("attracted tickets", GREEN),
}
CELL = 0.34  # inches that a number of two digits needs


@styled
def distance_map(
    distances: pd.DataFrame,
    network: str,
    setting: str,
    arms: Sequence[str] = ("imp", "reinit"),
    measure: Literal["angle", "cosine", "euclidean"] = "angle",
) -> Picture:
    """Distances between all rounds and the init, means over seeds, a panel an arm, with the null beside them (P7).

    The null is what two walks of the same lengths from one init give in unrelated directions: above the diagonal that
    of the first arm, below it that of the second. "Similar" is what lies clearly below the null. ValueError for more
    than two arms.
    """
    if not 1 <= len(arms) <= 2:
        raise ValueError(f"one or two arms, not {len(arms)}")
    rows = chosen(distances, network=network, setting=setting)
    title = f"{named(network)}, {words_of(setting)}"
    there = [name for name in arms if len(rows) and (rows["arm"] == name).any()]
    if not there:
        return empty(f"{title}: no distances")
    keys = _ordered([*rows["a"], *rows["b"]])
    maps = {name: _square(rows[rows["arm"] == name], keys, "distance") for name in there}
    nulls = [_square(rows[rows["arm"] == name], keys, "null") for name in there]
    null = np.where(np.tri(len(keys), dtype=bool), nulls[-1], nulls[0])
    titles = [ARMS.get(name, (name, ""))[0] for name in there]
    titles.append("null" if len(there) == 1 else f"null: {titles[0]} ◥\n{titles[1]} ◣")
    figure, every = panels(len(there) + 1, width=8.8, height=3.4, extra=0.5, sharey=True)
    top = max(
        1.0 if measure != "euclidean" else 0.0,
        *(float(np.nanmax(found, initial=0.0)) for found in (*maps.values(), null)),
    )
    norm = Normalize(0, top)
    for axes, name, found, text in zip(every, [*there, "null"], [*maps.values(), null], titles, strict=True):
        _heat(axes, found, keys, norm, name, room=2.45 * 3 / (len(there) + 1))
        axes.set_title(text, fontsize=11.5)
    every[0].set_ylabel("round (0: dense)")
    figure.colorbar(every[0].images[0], ax=every, label=MEASURES[measure], shrink=0.75, pad=0.01)
    seeds = rows["seed"].nunique()
    headline(figure, title, f"mean over {seeds} seed{'s' * (seeds > 1)}, over the weights that both keep")
    return figure


@styled
def solution_map(
    distances: pd.DataFrame, network: str, setting: str, seed: int, arms: Sequence[str] = ("imp", "reinit")
) -> Picture:
    """Init, dense network and rounds of one seed as points whose distances come close to the true ones; a panel an arm.

    Classical scaling of all pairs; the share of their squared spread that two dimensions keep stands in the title.
    Angles are no distances in a plane: it is a picture, no measure. Panels have one scale, but axes of their own.
    """
    rows = chosen(distances, network=network, setting=setting, seed=seed)
    title = f"{named(network)}, {words_of(setting)}, seed {seed}"
    squares = {}
    for name in arms:
        mine = rows[rows["arm"] == name] if len(rows) else rows
        keys = _ordered([*mine["a"], *mine["b"]]) if len(mine) else []
        if len(keys) > 2 and np.isfinite(found := _square(mine, keys, "distance", diagonal=0.0)).all():
            squares[name] = (keys, found)
    if not squares:
        return empty(f"{title}: no distances between all of its networks")
    figure, every = panels(len(squares), columns=2, width=WIDTH, height=3.2, extra=1.0)
    maps = {name: scaled(found) for name, (_, found) in squares.items()}
    reach = 1.2 * max(float(np.abs(points).max()) for points, _ in maps.values())
    for axes, (name, (points, share)) in zip(every, maps.items(), strict=True):
        text, color = ARMS.get(name, (name, SOFT))
        _walk(axes, points, squares[name][0], color, name, room=0.16 * reach)
        axes.set_title(f"{text}\n{100 * share:.0f} % of the spread kept", fontsize=11.5)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4))
    headline(figure, title)
    style: dict[str, Any] = {"color": BLACK, "linestyle": "none", "markeredgecolor": "white"}
    init = Line2D([], [], marker="*", markersize=15, label="init", **style)
    dense = Line2D([], [], marker="s", markersize=9, label="dense network (0)", **style)
    rounds = Line2D([], [], marker="o", markersize=9, label="rounds, joined in order", **{**style, "color": SOFT})
    legend(figure, [init, dense, rounds], seeds=False)
    return figure


def scaled(distances: np.ndarray) -> tuple[np.ndarray, float]:
    """Two coordinates a row of a symmetric square of distances, and the share of the squared spread that they keep.

    Torgerson's classical scaling, signs as in `ltkit.analyze.distance.mds` (which loads torch).
    """
    size = len(distances)
    center = np.eye(size) - 1 / size
    spread, axes = np.linalg.eigh(-0.5 * center @ distances**2 @ center)
    order = np.argsort(-spread, kind="stable")[:2]
    points = axes[:, order] * np.sqrt(spread[order].clip(min=0))
    largest = points[np.abs(points).argmax(0), range(2)]
    total = float(spread.clip(min=0).sum())
    return points * np.where(largest < 0, -1, 1), float(spread[order].clip(min=0).sum()) / total if total else 1.0


def _ordered(keys: Sequence[Any]) -> list[str]:
    """Keys as texts: the init, then the rounds by their number, then what else there is."""
    names = list(dict.fromkeys(str(key) for key in keys))
    return sorted(names, key=lambda name: (name != "init", int(name) if name.isdecimal() else 10**9))


def _square(rows: pd.DataFrame, keys: list[str], column: str, diagonal: float = math.nan) -> np.ndarray:
    """Means over the seeds as a symmetric square in the order of `keys`; NaN where there is none."""
    means = rows.groupby([rows["a"].astype(str), rows["b"].astype(str)])[column].mean()
    values = np.full((len(keys), len(keys)), np.nan)
    np.fill_diagonal(values, diagonal)
    for (a, b), value in means.items():
        one, two = keys.index(a), keys.index(b)
        values[one, two] = values[two, one] = value
    return values


def _heat(axes: Axes, values: np.ndarray, keys: list[str], norm: Normalize, name: str, room: float) -> None:
    axes.imshow(np.ma.masked_invalid(values), cmap=SHADES, norm=norm, gid=f"map:{name}")
    ticks = [
        n for n, key in enumerate(keys) if len(keys) <= 9 or not key.isdecimal() or (int(key) and int(key) % 5 == 0)
    ]
    axes.set_xticks(ticks, [keys[tick] for tick in ticks], rotation=90 if len(keys) > 5 else 0)
    axes.set_yticks(ticks, [keys[tick] for tick in ticks])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if room / len(keys) < CELL:
        return
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        value = float(values[row, column])
        text = f"{value:.2f}".removeprefix("0") if value < 9.995 else f"{value:.0f}"
        ink = "white" if norm(value) < 0.55 else INK
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10, "color": ink}
        axes.text(column, row, text, gid=f"cell:{name}:{keys[row]}:{keys[column]}", **style)


def _walk(axes: Axes, points: np.ndarray, keys: list[str], color: str, name: str, room: float) -> None:
    """The points of an arm, its rounds joined in order; numbered where they are `room` apart."""
    rounds = [number for number, key in enumerate(keys) if key != "init"]
    axes.plot(*points[rounds].T, color=color, linewidth=1.2, alpha=0.6, zorder=2, gid=f"path:{name}")
    told: list[int] = []
    halo = withStroke(linewidth=2.5, foreground="white")
    for number in sorted(range(len(keys)), key=lambda n: (keys[n] not in ("init", "0", keys[-1]), n)):
        key = keys[number]
        marker, size, fill = {"init": ("*", 230, BLACK), "0": ("s", 70, BLACK)}.get(key, ("o", 60, color))
        mark: dict[str, Any] = {"marker": marker, "s": size, "color": fill, "edgecolors": "white", "zorder": 3}
        axes.scatter(*points[number], gid=f"at:{name}:{key}", **mark)
        near = min((float(np.hypot(*(points[number] - points[other]))) for other in told), default=math.inf)
        told += [number] if near > room or key in ("0", keys[-1]) else []
        if number in told and key != "init":
            away = points[number] - points.mean(0)
            side = 13 * away / (np.hypot(*away) or 1.0)
            at: dict[str, Any] = {"xytext": tuple(side), "textcoords": "offset points", "ha": "center", "va": "center"}
            axes.annotate(
                key, points[number], gid=f"round:{name}:{key}", fontsize=11, zorder=4, path_effects=[halo], **at
            )
