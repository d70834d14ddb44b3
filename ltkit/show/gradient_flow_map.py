"""The map of the gradient-flow study: where tickets and scratch training end, seen from the pruned solution (D13, D14).

`distances`: network, density, seed, a, b, distance (L2 over all parameters); a row a pair. Names: prune_end, lt_start,
lt_end_1, ..., scratch_start (or scratch_start_1, ...), scratch_end_1, ...
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from .gradient_flow_parts import METHODS, at_density
from .mode_connectivity_maps import scaled
from .mode_connectivity_parts import WIDTH, chosen, headline
from .panels import Picture, legend, panels
from .sanity_checks_curves import empty
from .style import SOFT, named, styled

CENTRE = "prune_end"
GROUPS = {  # names without their number: label, whose colour, whether it is a start
    CENTRE: ("pruned solution", "gmp", False),
    "lt_start": ("ticket: start", "lt", True),
    "lt_end": ("ticket: ends", "lt", False),
    "scratch_start": ("scratch: start", "scratch", True),
    "scratch_end": ("scratch: ends", "scratch", False),
    "prune_other_end": ("pruned independently", "prune_other", False),
}
# Where a number may go beside its edge, in sizes of a number: above and below before aside, where other edges run.
SIDES = np.array(
    [(0, 1), (0, -1), (0, 2), (0, -2), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1), (0, 3), (0, -3)]
)
HALO = withStroke(linewidth=3, foreground="white")


@styled
def solution_map(distances: pd.DataFrame, network: str, seed: int, density: float | None = None) -> Picture:
    """Starts and ends of one seed as points whose distances come close to the true L2 ones (classical scaling).

    The map distorts, so the true distance to the pruned solution is written on its edges, of several ends the mean,
    and in the legend how far ends of one kind are from each other. What has a distance that is no number is left out.
    """
    rows, at = at_density(chosen(distances, network=network, seed=seed), density)
    names, square = _square(rows)
    if len(names) < 3:
        return empty(f"{named(network)}: no distances between solutions of seed {seed}{at and f' at {at}'}")
    points, share = scaled(square)
    figure, (axes,) = panels(1, width=WIDTH, height=4.4, extra=1.5)
    handles = []
    for group, (_, whose, start) in GROUPS.items():
        mine = [place for place, name in enumerate(names) if _group(name) == group]
        if mine:
            handles.append(_points(axes, points[mine], group, whose, start, label=_label(group, square[mine][:, mine])))
    _paths(axes, names, points)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    _edges(axes, names, points, square)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    axes.set(xlabel="L2 distance", ylabel="L2 distance")
    lost = sum(_group(name) in GROUPS for name in {*rows["a"], *rows["b"]}) - len(names)
    said = f"numbers: true distances; the map keeps {100 * share:.0f} % of the spread"
    headline(figure, ", ".join(filter(None, [named(network), at, f"seed {seed}"])), said)
    handles.append(Line2D([], [], color=SOFT, linestyle=":", label="to the pruned solution"))
    if lost:
        handles.append(Line2D([], [], linestyle="none", label=f"{lost} diverged, left out"))
    legend(figure, handles, seeds=False)
    return figure


def _group(name: str) -> str:
    head, _, last = name.rpartition("_")
    return head if last.isdecimal() else name


def _square(rows: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The networks that have all their distances, and these; what lacks most of them is left out first."""
    names = [name for name in dict.fromkeys([*rows["a"], *rows["b"]]) if _group(name) in GROUPS] if len(rows) else []
    place = {name: number for number, name in enumerate(names)}
    square = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(square, 0.0)
    for told in rows.to_dict("records") if names else ():
        if told["a"] in place and told["b"] in place:
            one, two = place[told["a"]], place[told["b"]]
            square[one, two] = square[two, one] = told["distance"]
    while np.isnan(square).any():
        worst = int(np.isnan(square).sum(0).argmax())
        del names[worst]
        square = np.delete(np.delete(square, worst, 0), worst, 1)
    return names, square


def _label(group: str, square: np.ndarray) -> str:
    """What a group is called, and how far its members are from each other on average."""
    text, among = GROUPS[group][0], square[np.triu_indices(len(square), 1)]
    return f"{text}, {among.mean():.3g} apart" if len(among) else text


def _points(axes: Axes, points: np.ndarray, group: str, whose: str, start: bool, label: str) -> Line2D:
    color = METHODS[whose].color
    marker, size = ("*", 17) if group == CENTRE else ("o", 9)
    fill = "white" if start else color
    style: dict[str, Any] = {"color": color, "marker": marker, "markersize": size, "linestyle": "none"}
    style |= {"zorder": 5 + (group == CENTRE)}
    style |= {"markerfacecolor": fill, "markeredgecolor": color if start else "white", "markeredgewidth": 1.0 + start}
    axes.plot(*points.T, gid=f"at:{group}", **style)
    return Line2D([], [], label=label, **style)


def _paths(axes: Axes, names: list[str], points: np.ndarray) -> None:
    """From each start to where its trainings end: the start of the same number, or the only one."""
    for place, name in enumerate(names):
        if _group(name).endswith("_end") and name != CENTRE:
            kind, number = _group(name).removesuffix("_end"), name.rpartition("_")[2]
            start = next((s for s in (f"{kind}_start_{number}", f"{kind}_start") if s in names), None)
            if start:
                ends = points[[names.index(start), place]]
                color = METHODS[GROUPS[_group(name)][1]].color
                axes.plot(*ends.T, color=color, linewidth=1.2, alpha=0.5, zorder=2, gid=f"path:{name}")


def _edges(axes: Axes, names: list[str], points: np.ndarray, square: np.ndarray) -> None:
    """Dotted lines from the pruned solution with the true distances, at a place where they hide no other number."""
    if CENTRE not in names:
        return
    centre = names.index(CENTRE)
    size = np.ptp(points, axis=0).max() * np.array([0.22, 0.06])  # about that of a number
    low, high = points[:, 0].min(), points[:, 0].max()
    taken = list(points)
    for group in GROUPS:
        mine = [place for place, name in enumerate(names) if _group(name) == group and place != centre]
        for place in mine:
            ends = points[[centre, place]]
            axes.plot(*ends.T, color=SOFT, linewidth=1.1, linestyle=":", zorder=1, gid=f"edge:{names[place]}")
        if not mine:
            continue
        true = square[centre, mine]
        middle = mine[int(np.abs(true - np.median(true)).argmin())]
        away = points[middle] - points[centre]
        spots = [points[centre] + share * away for share in (0.5, 0.6, 0.4, 0.7, 0.3)]
        spots += [points[centre] + away / 2 + 1.05 * size * side for side in SIDES]
        inside = (spot for spot in spots if low <= spot[0] <= high)
        free = (spot for spot in inside if all((np.abs(spot - other) > size).any() for other in taken))
        spot = next(free, spots[0])
        taken.append(spot)
        color = METHODS[GROUPS[group][1]].color
        text = f"{'start' if GROUPS[group][2] else 'end' if len(mine) == 1 else 'ends'} {true.mean():.3g}"
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": color, "fontweight": "bold", "zorder": 6}
        arrow: dict[str, Any] = {"arrowstyle": "-", "color": color, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
        style |= {"arrowprops": arrow, "path_effects": [HALO], "gid": f"distance:{group}"}
        axes.annotate(text, points[centre] + away / 2, spot, **style)
