"""Figures of the weight-correlation study about the weights: which large ones were large before, and ADMM's residual.

`overlaps` is `studies.weight_correlation_overlaps.overlaps`: a row a pair of weight vectors, p and layer; only layer
"all" is drawn. `residuals` is that of the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .mode_connectivity_parts import WIDTH, aside, headline, panel_title
from .panels import Picture, handle, legend, panels, series
from .sanity_checks_curves import empty, rows_of
from .scales import density_axis, dodge
from .style import BLACK, BLUE, GREEN, GREY, ORANGE, SOFT, VERMILION, Look, arm, named, nth, styled
from .style import density as short
from .weight_correlation_parts import P, commonest, decay_words, grid, keyed, mask_words, plain

FRESH = Look("control: fresh weights", GREY, "s", "--")
CHANCE = Patch(color=GREY, alpha=0.3, linewidth=0, label="chance, ±3 sd")
PAIRS = {
    "start_final": Look("with its initial weights", BLUE, "o"),
    "fresh_start_final": Look("control: with fresh weights", VERMILION, "s", "--"),
    "tuned_init": Look("with its initial weights", BLUE, "o"),
    "tuned_dense": Look("with the trained dense network", GREEN, "D"),
    "fresh_dense": Look("control: trained fresh weights", ORANGE, "v", "--"),
}
SIDES = {
    "kept weights": ("start_final", "fresh_start_final"),
    "all weights": ("tuned_init", "tuned_dense", "fresh_dense"),
}
MASK = Look("what the mask alone gives", BLACK, "", ":")


@styled
def overlap_by_p(overlaps: pd.DataFrame, network: str) -> Picture:
    """How far R_p of initial and trained dense weights is above chance, over p: a line a learning rate (E4a, E4b).

    A panel a weight decay, since decay alone forgets initial weights. Grey are fresh weights in place of the initial
    ones, the mean over learning rates, and the band in which unrelated weights lie.
    """
    rows = _rows(overlaps, network, ("init_final", "fresh_final"))
    if rows.empty or not (rows["pair"] == "init_final").any():
        return empty(f"{named(network)}: no overlaps of initial and trained weights")
    rows = rows.assign(above=rows["overlap"] - rows["p"])
    first, fresh = (rows[rows["pair"] == pair] for pair in ("init_final", "fresh_final"))
    fresh = fresh.groupby(["decay", "p", "seed"], as_index=False)["above"].mean()
    rates, decays, ps = (sorted(first[column].unique()) for column in ("lr", "decay", "p"))
    looks = {lr: nth(number, f"lr {lr:g}") for number, lr in enumerate(rates)}
    figure, every = grid(len(decays), height=2.9, below=1.6)
    step = min(np.diff(ps), default=0.1)
    for axes, decay in zip(every, decays, strict=True):
        _chance(axes, first, "p", level=0.0)
        own = first[first["decay"] == decay]
        lines = [(f"{lr:g}", look, own[own["lr"] == lr]) for lr, look in looks.items()]
        lines.append(("fresh", FRESH, fresh[fresh["decay"] == decay]))
        for number, (name, look, mine) in enumerate(lines):
            series(axes, mine, "p", "above", look, name=name, shift=step * aside(number, len(lines)))
        axes.set_xticks(ps, [f"{p:g}" for p in ps])
        axes.set_xlim(ps[0] - 0.5 * step, ps[-1] + 0.5 * step)
        axes.set_xlabel("p: share of largest weights")
        panel_title(axes, decay_words(decay))
    for axes in every[::2]:
        axes.set_ylabel("overlap above chance,\n$R_p - p$")
    headline(figure, f"{named(network)}: dense networks, initial and trained weights")
    control = [handle(FRESH)] if len(fresh) else []
    keyed(figure, len(decays), [*(handle(look) for look in looks.values()), *control, CHANCE])
    return figure


@styled
def ticket_overlap(overlaps: pd.DataFrame, network: str) -> Picture:
    """R_.2 of trained sparse networks with what they came from, over density: a row a learning rate (E5, E8).

    Left among the kept weights: with the ticket's own start θ_0⊙m and with fresh weights under the same mask, beside
    the band of chance. Right among all weights: fine-tuned networks with θ_0 and θ_T, beside fresh weights
    trained under the same mask with θ_T, and p / density, the overlap that a mask cut from |θ_T| alone has with it.
    Densities up to p have no right side. Fine-tuned networks are drawn where there are any, under the commonest masks.
    """
    rows = _rows(overlaps, network, tuple(PAIRS))
    if not rows.empty:
        fresh = (rows["pair"] == "tuned_dense") & (rows["arm"] == "rr")
        rows = rows.assign(pair=rows["pair"].mask(fresh, "fresh_dense"))
    rows = rows if rows.empty else commonest(rows[np.isclose(rows["p"], P)], ["decay"])
    found = {title: _side(rows, title) for title in SIDES}
    found = {title: mine for title, mine in found.items() if not mine.empty}
    if not found:
        return empty(f"{named(network)}: no overlaps of sparse networks with what they came from")
    rates = sorted({lr for mine in found.values() for lr in mine["lr"]})
    places = [(lr, title) for lr in rates for title in found]
    figure, every = panels(len(places), columns=len(found), width=WIDTH, height=2.5, extra=2.2, sharey="col")
    for axes, (lr, title) in zip(every, places, strict=True):
        mine = found[title]
        density_axis(axes, mine["density"])
        _chance(axes, mine, "density", level=P)
        if title == "all weights":
            along = np.geomspace(mine["density"].min(), mine["density"].max())
            axes.plot(along, P / along, color=MASK.color, linestyle=MASK.line, linewidth=1.4, gid="line:mask")
        for place, pair in enumerate(SIDES[title]):
            here = mine[(mine["pair"] == pair) & (mine["lr"] == lr)]
            shift = dodge(mine["density"], place, len(SIDES[title]))
            series(axes, here, "density", "overlap", PAIRS[pair], name=pair, shift=shift)
        axes.set_title(f"lr {lr:g}: {title}")
    for axes in every[:: len(found)]:
        axes.set_ylabel(f"overlap, p = {P:g}")
    said = {title: _words(mine) for title, mine in found.items()}
    alike = len(set(said.values())) == 1
    about = list(said.values())[:1] if alike else [f"{title}: {words}" for title, words in said.items()]
    headline(figure, f"{named(network)}: sparse networks, {decay_words(rows['decay'].iloc[0])}", *about)
    there = set(pd.concat(found.values())["pair"])
    drawn = {look.label: look for pair, look in PAIRS.items() if pair in there}
    mask = [handle(MASK)] if "all weights" in found else []
    legend(figure, [*map(handle, drawn.values()), *mask, CHANCE])
    return figure


@styled
def admm_residual(residuals: pd.DataFrame, network: str) -> Picture:
    """ADMM's residual ‖W − Z‖ / ‖W‖ over its rounds, a line a density and a panel a learning rate.

    0 is where pruning changes nothing, round 0 the dense network. Where the penalty acts it falls; plain training, as
    in the public code, leaves it where it is (weight_correlation.md section 7).
    """
    rows = rows_of(residuals, network)
    if rows.empty:
        return empty(f"{named(network)}: no residuals of ADMM")
    rates, densities = sorted(rows["lr"].unique()), sorted(rows["density"].unique(), reverse=True)
    looks = {density: nth(number, f"density {short(density)}") for number, density in enumerate(densities)}
    figure, every = grid(len(rates), height=2.9, below=1.4)
    for axes, lr in zip(every, rates, strict=True):
        for number, (density, look) in enumerate(looks.items()):
            mine = rows[(rows["lr"] == lr) & (rows["density"] == density)]
            shift = aside(number, len(looks))
            series(axes, mine, "round", "residual", look, name=f"{density:g}", shift=shift)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlim(-0.4, rows["round"].max() + 0.4)
        axes.set_xlabel("round of ADMM")
        axes.set_title(f"learning rate {lr:g}")
    top = rows["residual"].max()
    every[0].set_ylim(0, 1.08 * top if top > 0 else 1.0)
    for axes in every[::2]:
        axes.set_ylabel("what pruning would remove,\nshare of the weights' norm")
    headline(figure, f"{named(network)}: ADMM, do the weights approach their mask?")
    keyed(figure, len(rates), [handle(look) for look in looks.values()])
    return figure


def _rows(overlaps: pd.DataFrame, network: str, pairs: Sequence[str]) -> pd.DataFrame:
    """The plain rows of these pairs over all layers."""
    rows = plain(rows_of(overlaps, network))
    return rows if rows.empty else rows[rows["pair"].isin(pairs) & (rows["layer"] == "all")]


def _side(rows: pd.DataFrame, title: str) -> pd.DataFrame:
    """The rows of one side under the commonest masks; on the right those densities where the overlap is defined."""
    mine = rows if rows.empty else rows[rows["pair"].isin(SIDES[title])]
    if title == "all weights" and not mine.empty:
        # a layer that keeps fewer weights than p asks for has no overlap, which is no divergence
        defined = mine["overlap"].notna().groupby(mine["density"]).transform("any")
        mine = mine[defined & (mine["density"] > P)]
    tuned = mine if mine.empty else mine[mine["arm"].isin(("pft", "rr"))]
    return commonest(mine, ["arm", "scope", "masking"]) if tuned.empty else commonest(tuned, ["scope", "masking"])


def _words(rows: pd.DataFrame) -> str:
    main = next((name for name in rows["arm"] if name != "rr"), "rr")
    return f"{arm(main).label}, {mask_words(rows)}"


def _chance(axes: Axes, rows: pd.DataFrame, x: str, level: float) -> None:
    """The band of three null standard deviations about `level`, over `x`."""
    wide = 3 * rows.groupby(x)["sd"].max().dropna()
    if wide.empty:
        return
    ends = wide.index.to_numpy(dtype=float)
    axes.axhline(level, color=SOFT, linewidth=1.1, zorder=1, gid="line:chance")
    band: dict[str, Any] = {"color": GREY, "alpha": 0.3, "linewidth": 0, "zorder": 0}
    if len(ends) == 1:
        axes.axhspan(level - wide.iloc[0], level + wide.iloc[0], gid="band:chance", **band)
    else:
        axes.fill_between(ends, level - wide, level + wide, gid="band:chance", **band)
