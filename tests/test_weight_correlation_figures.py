"""Figures of the weight-correlation study say what their tables say, read back from what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import IPython.display
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from reading import assert_comes_without_torch, assert_legible, gids, legends, part, texts

from ltkit.errors import UserError
from ltkit.show import weight_correlation as show
from ltkit.show.explore import explorer
from ltkit.show.panels import Picture
from ltkit.show.style import ARMS as LOOKS
from ltkit.show.style import named
from ltkit.show.weight_correlation_curves import METHODS
from ltkit.verdict import t_interval

mpl.use("Agg")

NETWORKS, SEEDS = ("lenet_300_100", "resnet20"), range(5)
LRS, DECAYS, DENSITIES, PS = (0.01, 0.03, 0.1), (0.0, 1e-4, 5e-4), (0.7, 0.41, 0.107, 0.028), (0.1, 0.2, 0.3, 0.4, 0.5)
MASKINGS = {"one_shot": -0.4, "iterative": 0.0, "admm": 0.2}  # accuracy points that the mask is worth
CLAIM = 0.107
ARMS = {"rewind": 0.3, "lr_rewind": 0.6, "pft": 0.7, "lt_long": 0.4}  # points above the ticket
OTHERS = {  # recipe: lr, mask_lr, decay, how much of the start is left
    **{"warm": (0.1, 0.1, 5e-4, 0.16), "long": (0.1, 0.1, 5e-4, 0.02), "matched": (0.01, 0.01, 5e-3, 0.09)},
    **{"pull": (0.1, 0.1, 5e-4, 0.4), "push": (0.01, 0.01, 5e-4, 0.12)},
    **{"plain": (0.1, 0.01, 5e-4, 0.45), "plain ": (0.01, 0.1, 5e-4, 0.05)},
}


@dataclass(frozen=True)
class Study:
    """The tables of one synthetic study."""

    table: pd.DataFrame
    overlaps: pd.DataFrame
    effects: pd.DataFrame
    regression: pd.DataFrame
    residuals: pd.DataFrame

    def where(self, **values: Any) -> Study:
        """The same study with these values only (a tuple each), in the tables that have the columns."""
        found = {}
        for name, rows in vars(self).items():
            for column, wanted in values.items():
                rows = rows[rows[column].isin(wanted)] if column in rows.columns else rows
            found[name] = rows
        return replace(self, **found)


def left_of(lr: float, decay: float) -> float:
    """The share of the start that is left: less at a large learning rate and at much weight decay."""
    return float(0.55 * np.exp(-12 * lr - 1.5e4 * lr * decay))


@cache
def study() -> Study:
    """Overlap is chance and more where the start survives; the lead over fresh weights follows what is left of it."""
    random = np.random.default_rng(6)
    runs: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    effects: list[dict[str, Any]] = []
    residuals: list[dict[str, Any]] = []

    def run(accuracy: float, **about: Any) -> str:
        name = f"run-{len(runs):012x}"
        about |= {"accuracy": accuracy, "validation": accuracy - 0.2, "train_loss": 0.3, "outcome": "finished"}
        runs.append({**about, "run": name})
        return name

    def pair(overlap: float, sd: float, **about: Any) -> None:
        told = {"overlap": overlap + sd * random.standard_normal(), "sd": sd, "runs": ("run-a",)}
        pairs.append({"layer": "all", **about, **told})

    def cell(lr: float, mask_lr: float, decay: float, recipe: str, left: float, network: str, seed: int) -> None:
        luck, plain = 0.3 * random.standard_normal(), recipe == "plain" and mask_lr == lr
        top = 96.0 + 4 * np.log10(lr / 0.01) / 2 + luck
        where = {"network": network, "lr": lr, "mask_lr": mask_lr, "decay": decay, "recipe": recipe, "seed": seed}
        dense = {**where, "arm": "dense", "masking": "none", "scope": "", "level": 0, "density": 1.0}
        survived = left * np.exp(0.04 * random.standard_normal())
        if mask_lr == lr:
            run(top, **dense)
        for p in PS if plain else ():
            sd = (1 - p) / np.sqrt(266_200)
            pair(p + (1 - p) * survived, sd, **{**dense, "pair": "init_final", "p": p})
            pair(p, sd, **{**dense, "pair": "fresh_final", "p": p})
            pair(1.0, 0.0, **{**dense, "pair": "same", "p": p})
            pair(0.9, sd, **{**dense, "pair": "init_final", "p": p, "layer": "fc1"})
        main = plain and decay == 5e-4
        if main and lr != 0.03:
            run(top + 0.15, **{**dense, "arm": "dense_more"})
        masks = {("one_shot", "layer"): DENSITIES[1:3] if main and lr == 0.1 else (CLAIM,)}
        masks |= {("iterative", "layer"): DENSITIES} if main and lr != 0.03 else {}
        masks |= {("admm", "layer"): DENSITIES[1:3]} if main and lr == 0.1 else {}
        masks |= {("iterative", "global"): (CLAIM,)} if main else {}
        for (masking, scope), densities in masks.items():
            for density in densities:
                level = DENSITIES.index(density) + 1
                here = {**where, "masking": masking, "scope": scope, "level": level, "density": density}
                ticket = top + MASKINGS[masking] + 3.0 * np.log10(density) / (1 + 3 * density)
                lead = (14 * left_of(lr, decay) + 0.9) * (0.05 - np.log10(density)) * 0.5
                lead += 0.25 * random.standard_normal()
                run(ticket, **here, arm="lt")
                run(ticket - lead, **here, arm="rr")
                final = 0.2 + 0.5 * survived
                told = {"advantage": lead, "overlap": 0.2 + 0.8 * survived, "final_overlap": final, "dense": top}
                effects.append({**here, **told, "runs": ("run-a",)})
                tuned = masking != "one_shot" or (main and lr == 0.1)
                rest = ARMS if tuned and density == CLAIM else {"pft": ARMS["pft"]} if tuned else {}
                rest = rest | ({"shuffled": -1.5, "permuted": -0.8} if masking == "one_shot" and main else {})
                for arm, more in rest.items() if scope == "layer" else ():
                    run(ticket + more + 0.1 * random.standard_normal(), **here, arm=arm)
                sd, about = 0.8 / np.sqrt(266_200 * density), {**here, "p": 0.2}
                for arm in ("lt", "pft") if "pft" in rest and scope == "layer" else ("lt",):
                    pair(0.2 + 0.6 * survived, sd, **about, arm=arm, pair="start_final")
                    pair(0.2, sd, **about, arm=arm, pair="fresh_start_final")
                if "pft" in rest and scope == "layer":
                    known = 0.0 if density > 0.2 else np.nan
                    pair(0.2 + 0.3 * survived + known, sd, **about, arm="pft", pair="tuned_init")
                    pair(min(1.0, 0.2 / density + 0.1) + known, sd, **about, arm="pft", pair="tuned_dense")
                    pair(min(1.0, 0.2 / density + 0.02) + known, sd, **about, arm="rr", pair="tuned_dense")
                    pair(min(1.0, 0.2 / density) + known, sd, **about, arm="rr", pair="masked_dense")

    for network in NETWORKS:
        for seed in SEEDS:
            for lr in LRS:
                for decay in DECAYS:
                    cell(lr, lr, decay, "plain", left_of(lr, decay), network, seed)
            for recipe, (lr, mask_lr, decay, left) in OTHERS.items():
                cell(lr, mask_lr, decay, recipe.strip(), left, network, seed)
            for lr in (0.1,):
                for density in DENSITIES[1:3]:
                    for number in range(5):
                        told = (0.75 - 0.3 * density) * np.exp(-0.5 * number) + 0.01 * random.standard_normal()
                        about = {"network": network, "lr": lr, "density": density, "seed": seed}
                        residuals.append({**about, "round": number, "residual": abs(told)})
    found = pd.DataFrame(effects)
    return Study(pd.DataFrame(runs), pd.DataFrame(pairs), found, regression_of(found), pd.DataFrame(residuals))


GROUPS = {"raw": [], "decay fixed": ["decay"], "lr and decay fixed": ["lr", "decay"]}


def centred(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Overlap and advantage, each minus its mean in its group."""
    known = rows[["overlap", "advantage"]][rows[["overlap", "advantage"]].notna().all(axis=1)]
    if not by:
        return known
    return known - known.groupby([rows.loc[known.index, column] for column in by]).transform("mean")


def regression_of(effects: pd.DataFrame) -> pd.DataFrame:
    """Least squares of the centred values, as the study has them."""
    rows = []
    for network, own in effects.groupby("network"):
        for model, by in GROUPS.items():
            both = centred(own, by)
            x, y = (both[name] - both[name].mean() for name in both)
            slope = float((x * y).sum() / (x * x).sum()) / 10
            rest = y - 10 * slope * x
            half = 0.2 * float(np.sqrt((rest**2).mean() / (x * x).sum()))
            about = {"network": network, "model": model, "slope": slope, "low": slope - half, "high": slope + half}
            rows.append({**about, "n": len(both), "r2": 1 - float((rest**2).sum() / (y * y).sum())})
    return pd.DataFrame(rows)


def every_figure(found: Study, network: str = NETWORKS[0]) -> Iterator[tuple[str, Picture]]:
    table, overlaps, effects = found.table, found.overlaps, found.effects
    yield "methods", show.accuracy_by_method(table, network, 0.1)
    yield "by_p", show.overlap_by_p(overlaps, network)
    yield "ticket", show.ticket_overlap(overlaps, network)
    yield "scatter", show.advantage_scatter(effects, found.regression, network)
    yield "interventions", show.interventions(effects, table, network)
    yield "residual", show.admm_residual(found.residuals, network)
    yield "explore", show.explore_plot(table, network, ("lt", "rr"), statistic="test accuracy minus fresh weights")


@pytest.fixture(scope="module")
def found() -> Study:
    return study()


def titles(figure: Picture) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes if axes.axison]


def labels(figure: Picture) -> list[str]:
    """The texts of a figure's only legend, below it or in a place that no panel needs."""
    inside = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    (legend,) = [*figure.legends, *inside]
    return [text.get_text() for text in legend.get_texts()]


def pick(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def assert_drawn(axes: Any, name: str, rows: pd.DataFrame, x: str, y: str) -> None:
    """Seeds, means and intervals of a series are those of its rows."""
    groups = rows.dropna(subset=y).groupby(x, sort=True)[y]
    assert groups.ngroups
    assert list(part(axes, f"mean:{name}").get_ydata()) == pytest.approx(list(groups.mean()))
    bars = [tuple(bar[:, 1]) for bar in part(axes, f"interval:{name}").get_segments()]
    assert bars == [pytest.approx(t_interval(values)) for _, values in groups]
    dots = part(axes, f"seeds:{name}").get_offsets()
    assert sorted(dots[:, 1]) == pytest.approx(sorted(rows[y].dropna()))
    at = np.array(part(axes, f"mean:{name}").get_xdata(), dtype=float)
    places = groups.mean().index.to_numpy(dtype=float)
    moved = np.log(at / places) if axes.get_xscale() == "log" else at - places
    assert moved == pytest.approx(np.full(len(moved), moved[0]))  # all by the same, and by little
    assert abs(moved[0]) < 0.16


PLAIN = {"network": NETWORKS[0], "recipe": "plain"}
MAIN = {**PLAIN, "decay": 5e-4, "lr": 0.1, "mask_lr": 0.1}


def test_accuracy_has_a_panel_a_masking_and_dense_in_each(found: Study):
    figure = show.accuracy_by_method(found.table, NETWORKS[0], 0.1)
    assert titles(figure) == ["one-shot masks", "iterative masks", "ADMM masks"]
    said = "LeNet-300-100, learning rate 0.1\nweight decay 0.0005, masks cut layer by layer"
    assert figure.get_suptitle() == said
    whole = pick(found.table, **MAIN, arm="dense")["accuracy"]
    assert len(whole) == len(SEEDS)
    for axes, masking in zip(figure.axes, MASKINGS, strict=False):
        assert part(axes, "line:dense").get_ydata() == pytest.approx([whole.mean()] * 2)
        band = part(axes, "band:dense")
        assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx(t_interval(whole))
        more = pick(found.table, **MAIN, arm="dense_more")["accuracy"]
        assert part(axes, "line:dense_more").get_ydata() == pytest.approx([more.mean()] * 2)
        for name in METHODS:
            rows = pick(found.table, **MAIN, arm=name, masking=masking, scope="layer")
            assert_drawn(axes, name, rows, "density", "accuracy")
        assert not {"mean:lt_long", "mean:shuffled", "mean:dense_more"} & gids(axes)
        left, right = axes.get_xlim()
        assert left > 1 > min(DENSITIES) > right
    lines = ["dense network", "dense, trained once more", *(LOOKS[name].label for name in METHODS)]
    assert labels(figure) == [*lines, "one seed", "95 % interval"]
    other = show.accuracy_by_method(found.table, NETWORKS[0], 0.1, ("lt", "lt_long"))
    assert gids(other.axes[1], "mean:") == {"mean:dense", "mean:lt", "mean:lt_long"}


def test_accuracy_goes_without_what_is_missing(found: Study):
    small = found.table[found.table["arm"].isin(("lt", "rr"))]
    (axes,) = show.accuracy_by_method(small, NETWORKS[0], 0.03).axes  # one-shot masks only, layer by layer
    assert gids(axes) == {f"{what}:{name}" for what in ("seeds", "mean", "interval") for name in ("lt", "rr")}
    rows = pick(small, **{**MAIN, "lr": 0.03, "mask_lr": 0.03}, arm="lt", scope="layer")
    assert_drawn(axes, "lt", rows, "density", "accuracy")
    over = pick(small, scope="global")
    figure = show.accuracy_by_method(over, NETWORKS[0], 0.03)
    assert figure.get_suptitle().endswith("masks cut over all layers")
    said = "LeNet-300-100: no pruned networks at learning rate 0.3"
    assert texts(show.accuracy_by_method(found.table, NETWORKS[0], 0.3)) == [said]


def test_diverged_runs_are_crosses(found: Study):
    lost = found.table.copy()
    where = (lost["arm"] == "rr") & (lost["masking"] == "admm") & (lost["seed"] == 1)
    lost.loc[where, ["accuracy", "outcome"]] = [np.nan, "diverged"]
    figure = show.accuracy_by_method(lost, NETWORKS[0], 0.1)
    axes = figure.axes[2]
    assert len(part(axes, "lost:rr").get_offsets()) == 2  # densities
    assert_drawn(axes, "rr", pick(lost, **MAIN, arm="rr", masking="admm"), "density", "accuracy")
    assert "diverged, left out" in labels(figure)
    effects = found.effects.copy()
    cell = (effects["recipe"] == "pull") | ((effects["recipe"] == "warm") & (effects["seed"] == 0))
    effects.loc[cell, ["advantage", "overlap"]] = np.nan
    figure = show.interventions(effects, found.table, NETWORKS[0])
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names[-1] == "pulled to its start\nlr 0.1"
    for axes, value in zip(figure.axes, ("overlap", "advantage"), strict=True):
        crosses = [round(place) for _, place in part(axes, f"lost:{value}").get_offsets()]
        assert [names[place].split("\n")[0] for place in crosses] == ["warm-up", "pulled to its start"]
        assert len(part(axes, f"mean:{value}").get_xdata()) == len(names) - 1
    assert "diverged, left out" in labels(figure)


def test_overlap_is_above_chance_by_p_a_panel_a_decay(found: Study):
    figure = show.overlap_by_p(found.overlaps, NETWORKS[0])
    assert titles(figure) == ["no weight decay", "weight decay 0.0001", "weight decay 0.0005"]
    rows = pick(found.overlaps, **PLAIN, layer="all").assign(above=lambda t: t["overlap"] - t["p"])
    for axes, decay in zip(figure.axes, DECAYS, strict=False):
        for lr in LRS:
            own = pick(rows, pair="init_final", lr=lr, mask_lr=lr, decay=decay)
            assert_drawn(axes, f"{lr:g}", own, "p", "above")
        fresh = pick(rows, pair="fresh_final", decay=decay).groupby(["p", "seed"], as_index=False)["above"].mean()
        assert len(fresh) == len(PS) * len(SEEDS)
        assert_drawn(axes, "fresh", fresh, "p", "above")
        edges = part(axes, "band:chance").get_paths()[0].vertices
        for p in PS:
            wide = 3 * (1 - p) / np.sqrt(266_200)
            here = edges[np.isclose(edges[:, 0], p), 1]
            assert (here.min(), here.max()) == pytest.approx((-wide, wide))
        left, right = axes.get_xlim()
        assert left < min(PS) < max(PS) < right
    wanted = ["lr 0.01", "lr 0.03", "lr 0.1", "control: fresh weights", "chance, ±3 sd", "one seed", "95 % interval"]
    assert labels(figure) == wanted
    bare = found.overlaps[found.overlaps["pair"] != "fresh_final"]
    assert "control: fresh weights" not in labels(show.overlap_by_p(bare, NETWORKS[0]))


def test_tickets_are_compared_with_their_start_and_fine_tuned_ones_with_both_ends(found: Study):
    figure = show.ticket_overlap(found.overlaps, NETWORKS[0])
    assert titles(figure) == [f"lr {lr}: {side} weights" for lr in (0.01, 0.1) for side in ("kept", "all")]
    said = (
        "LeNet-300-100: sparse networks, weight decay 0.0005\npruning & fine-tuning, iterative masks cut layer by layer"
    )
    assert figure.get_suptitle() == said
    rows = pick(found.overlaps, **PLAIN, decay=5e-4, masking="iterative", scope="layer", layer="all")
    for number, lr in enumerate((0.01, 0.1)):
        left, right = figure.axes[2 * number : 2 * number + 2]
        tuned = pick(rows, lr=lr, arm="pft")
        for pair in ("start_final", "fresh_start_final"):
            assert_drawn(left, pair, pick(tuned, pair=pair), "density", "overlap")
        edges = part(left, "band:chance").get_paths()[0].vertices
        for density in DENSITIES:
            wide = 3 * 0.8 / np.sqrt(266_200 * density)
            here = edges[np.isclose(edges[:, 0], density), 1]
            assert (here.min(), here.max()) == pytest.approx((0.2 - wide, 0.2 + wide))
        for pair in ("tuned_init", "tuned_dense"):
            assert_drawn(right, pair, pick(tuned, pair=pair), "density", "overlap")
        fresh = pick(rows, lr=lr, arm="rr", pair="tuned_dense")
        assert_drawn(right, "fresh_dense", fresh, "density", "overlap")
        assert len(part(right, "mean:tuned_dense").get_xdata()) == 2  # the densities above p
        assert not gids(right, "lost:")
        mask = part(right, "line:mask")
        assert np.array(mask.get_xdata()) * np.array(mask.get_ydata()) == pytest.approx(0.2)
        assert (mask.get_xdata()[0], mask.get_xdata()[-1]) == pytest.approx((0.41, 0.7))
    only = found.overlaps[found.overlaps["arm"] == "lt"]  # no fine-tuning: the tickets themselves, and no right side
    figure = show.ticket_overlap(only, NETWORKS[0])
    assert titles(figure) == ["lr 0.01: kept weights", "lr 0.1: kept weights"]
    assert figure.get_suptitle().endswith("ticket, iterative masks cut layer by layer")
    rows = pick(only, **MAIN, masking="iterative", scope="layer", pair="start_final")
    assert_drawn(figure.axes[1], "start_final", rows, "density", "overlap")


def test_a_single_density_has_its_band(found: Study):
    one = found.where(density=(1.0, CLAIM)).overlaps
    band = part(show.ticket_overlap(one, NETWORKS[0]).axes[0], "band:chance")
    wide = 2.4 / np.sqrt(266_200 * CLAIM)
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.2 - wide, 0.2 + wide))


def test_the_scatter_draws_the_regression_raw_and_within_groups(found: Study):
    own = pick(found.effects, network=NETWORKS[0])
    figure = show.advantage_scatter(found.effects, found.regression, NETWORKS[0])
    assert figure.get_suptitle().startswith("LeNet-300-100, 4 densities\n")
    spans = []
    for axes, (model, by) in zip(figure.axes, GROUPS.items(), strict=False):
        both = centred(own, by)
        told = pick(found.regression, network=NETWORKS[0], model=model).iloc[0]
        assert len(gids(axes, f"seeds:{model}:")) == 10  # of 4 weight decays and 3 learning rates
        dots = np.concatenate([part(axes, gid).get_offsets() for gid in gids(axes, f"seeds:{model}:")])
        assert np.array(sorted(map(tuple, dots))) == pytest.approx(np.array(sorted(both.itertuples(index=False))))
        cells = both.groupby(
            [own[name] for name in ("lr", "mask_lr", "decay", "recipe", "masking", "scope", "density")]
        )
        means = np.concatenate([part(axes, gid).get_offsets() for gid in gids(axes, f"mean:{model}:")])
        assert np.array(sorted(map(tuple, means))) == pytest.approx(
            np.array(sorted(cells.mean().itertuples(index=False)))
        )
        line = part(axes, f"line:{model}")
        x, y = np.array(line.get_xdata()), np.array(line.get_ydata())
        assert (y[1:] - y[:-1]) / (x[1:] - x[:-1]) == pytest.approx([10 * told["slope"]] * 2)
        assert (x[1], y[1]) == pytest.approx(tuple(both.mean()))
        edges = part(axes, f"band:{model}").get_paths()[0].vertices
        end = edges[np.isclose(edges[:, 0], x[-1]), 1]
        wanted = [y[1] + 10 * told[side] * (x[-1] - x[1]) for side in ("low", "high")]
        assert (end.min(), end.max()) == pytest.approx(tuple(wanted))
        numbers = [f"{told[side]:+.2f}".replace("-", "−") for side in ("slope", "low", "high")]
        assert axes.get_title("left").endswith("\n{} [{}, {}]".format(*numbers))
        spans.append((*np.ptp([axes.get_xlim(), axes.get_ylim()], axis=1),))
        for ends, values in zip((axes.get_xlim(), axes.get_ylim()), both.to_numpy().T, strict=True):
            assert ends[0] < values.min() < values.max() < ends[1]
    assert spans == [pytest.approx(spans[0])] * 3
    assert labels(figure)[:7] == [
        *("no weight decay", "weight decay 0.0001", "weight decay 0.0005", "weight decay 0.005"),
        *("lr 0.01", "lr 0.03", "lr 0.1"),
    ]


def test_the_scatter_leaves_out_what_is_not_known(found: Study):
    effects = found.where(density=(CLAIM,)).effects.copy()
    effects.loc[effects["seed"] == 0, "overlap"] = np.nan
    effects.loc[effects["seed"] == 1, "advantage"] = np.nan
    some = found.regression[found.regression["model"] == "raw"].assign(low=np.nan, high=np.nan)
    figure = show.advantage_scatter(effects, some, NETWORKS[0])
    assert figure.get_suptitle().startswith("LeNet-300-100, density 0.11\n")
    raw, fixed, _, _ = figure.axes
    dots = np.concatenate([part(fixed, gid).get_offsets() for gid in gids(fixed, "seeds:")])
    known = pick(effects, network=NETWORKS[0])
    assert np.array(sorted(map(tuple, dots))) == pytest.approx(
        np.array(sorted(centred(known, ["decay"]).itertuples(index=False)))
    )
    assert len(dots) == (len(SEEDS) - 2) * len(known) / len(SEEDS)
    assert "line:raw" in gids(raw)
    assert "band:raw" not in gids(raw)
    assert raw.get_title("left") == "all runs\n" + f"{some['slope'].iloc[0]:+.2f}".replace("-", "−")
    assert fixed.get_title("left") == "weight decay held fixed\nslope not known"
    assert not gids(fixed, "line:decay")


NAMES = {
    "unchanged\nlr 0.01": ("plain", 0.01, 0.01, 5e-4),
    "mask from lr 0.01\nlr 0.1": ("plain", 0.1, 0.01, 5e-4),
    "pulled to its start\nlr 0.1": ("pull", 0.1, 0.1, 5e-4),
    "warm-up\nlr 0.1": ("warm", 0.1, 0.1, 5e-4),
    "pushed from its start\nlr 0.01": ("push", 0.01, 0.01, 5e-4),
    "equal lr × decay × steps\nlr 0.01, weight decay 0.005": ("matched", 0.01, 0.01, 5e-3),
    "unchanged\nlr 0.1": ("plain", 0.1, 0.1, 5e-4),
    "mask from lr 0.1\nlr 0.01": ("plain", 0.01, 0.1, 5e-4),
    "trained longer\nlr 0.1": ("long", 0.1, 0.1, 5e-4),
}


def test_interventions_stand_in_the_order_of_their_overlap(found: Study):
    figure = show.interventions(found.effects, found.table, NETWORKS[0])
    left, right = figure.axes
    said = "LeNet-300-100, density 0.11\none-shot masks cut layer by layer, weight decay 0.0005 unless said"
    assert figure.get_suptitle() == said
    assert [tick.get_text() for tick in left.get_yticklabels()] == list(NAMES)
    own = pick(found.effects, network=NETWORKS[0], masking="one_shot", density=CLAIM)
    cells = [
        pick(own, recipe=recipe, lr=lr, mask_lr=mask_lr, decay=decay) for recipe, lr, mask_lr, decay in NAMES.values()
    ]
    for axes, value in ((left, "overlap"), (left, "final_overlap"), (right, "advantage")):
        dots = part(axes, f"mean:{value}")
        assert list(dots.get_xdata()) == pytest.approx([rows[value].mean() for rows in cells])
        assert np.round(dots.get_ydata()).tolist() == list(range(len(cells)))
        bars = [tuple(bar[:, 0]) for bar in part(axes, f"interval:{value}").get_segments()]
        assert bars == [pytest.approx(t_interval(rows[value])) for rows in cells]
        assert len(part(axes, f"seeds:{value}").get_offsets()) == len(cells) * len(SEEDS)
    means = list(part(left, "mean:overlap").get_xdata())
    assert means == sorted(means, reverse=True)
    assert gids(left, "plain:") == {"plain:0.01", "plain:0.1"}
    for name in ("shuffled", "permuted"):
        for number, lr in ((0, 0.01), (6, 0.1)):
            where = {**MAIN, "lr": lr, "mask_lr": lr, "masking": "one_shot", "density": CLAIM}
            lt, other = (pick(found.table, **where, arm=one).set_index("seed")["accuracy"] for one in ("lt", name))
            told = part(right, f"mean:{name}")
            place = np.round(told.get_ydata()).tolist().index(number)
            assert told.get_xdata()[place] == pytest.approx((lt - other).mean())
    assert len(part(right, "mean:shuffled").get_xdata()) == 2
    assert "ticket − mask rearranged" in labels(figure)


def test_interventions_at_another_density_and_without_controls(found: Study):
    bare = found.table[found.table["arm"].isin(("lt", "rr"))]
    figure = show.interventions(found.effects, bare, NETWORKS[0], 0.41)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["unchanged\nlr 0.1"]
    assert not {"mean:shuffled", "mean:permuted"} & gids(figure.axes[1])
    said = "LeNet-300-100: no interventions at density 0.3"
    assert texts(show.interventions(found.effects, bare, NETWORKS[0], 0.3)) == [said]
    small = found.effects[(found.effects["recipe"] == "plain") & (found.effects["lr"] == found.effects["mask_lr"])]
    figure = show.interventions(pick(small, masking="one_shot"), pd.DataFrame(), NETWORKS[0], CLAIM)
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == ["unchanged\nlr 0.01", "unchanged\nlr 0.1"]


def test_the_residual_falls_over_rounds(found: Study):
    figure = show.admm_residual(found.residuals, NETWORKS[0])
    (axes,) = figure.axes
    for density in DENSITIES[1:3]:
        rows = pick(found.residuals, network=NETWORKS[0], density=density)
        assert_drawn(axes, f"{density:g}", rows, "round", "residual")
    bottom, top = axes.get_ylim()
    assert bottom == 0
    assert top > pick(found.residuals, network=NETWORKS[0])["residual"].max()
    assert labels(figure)[:2] == ["density 0.41", "density 0.11"]


def test_the_explorers_plot_takes_every_choice(found: Study, monkeypatch: pytest.MonkeyPatch):
    choices = show.explore_choices(found.table)
    assert choices["network"] == {named(name): name for name in NETWORKS}
    assert next(iter(choices["masks"].items())) == ("iterative masks cut layer by layer", ("iterative", "layer"))
    assert len(choices["masks"]) == 4
    assert next(iter(choices["decay"])) == "0.0005"
    assert set(choices["recipe"].values()) == {"plain", "warm", "long", "matched", "pull", "push"}
    displayed: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda *given, **_: displayed.extend(given))
    monkeypatch.delenv("LTKIT_HEADLESS", raising=False)
    box = explorer(show.explore_plot, found.table, **choices)
    network, methods, lr, decay, masks, recipe, statistic = box.children[0].children
    assert titles(displayed[-1]) == ["learning rate 0.01", "learning rate 0.1"]
    network.value, methods.value, lr.value, masks.value = NETWORKS[1], ("lt", "rr"), 0.03, ("one_shot", "layer")
    decay.value, statistic.value = 1e-4, "test accuracy minus fresh weights"
    figure = displayed[-1]
    assert figure.get_suptitle() == "ResNet-20\none-shot masks cut layer by layer, weight decay 0.0001"
    where = {"network": NETWORKS[1], "lr": 0.03, "decay": 1e-4, "recipe": "plain"}
    lt, rr = (pick(found.table, **where, arm=name).set_index("seed") for name in ("lt", "rr"))
    gaps = lt.assign(value=lt["accuracy"] - rr["accuracy"])
    assert_drawn(figure.axes[0], "lt", gaps, "density", "value")
    assert "mean:rr" not in gids(figure.axes[0])
    recipe.value = "warm"
    said = "ResNet-20: no such runs with one-shot masks cut layer by layer, warm-up"
    assert texts(displayed[-1]) == [said]


def test_statistics_are_columns_or_differences(found: Study):
    rows = pick(found.table, **MAIN, masking="iterative", scope="layer", arm="pft")
    for statistic, column in (("validation accuracy", "validation"), ("training loss", "train_loss")):
        figure = show.explore_plot(found.table, NETWORKS[0], lr=0.1, statistic=statistic)
        assert_drawn(figure.axes[0], "pft", rows, "density", column)
        assert "line:dense" in gids(figure.axes[0])
    whole = pick(found.table, **MAIN, arm="dense").set_index("seed")["accuracy"]
    gaps = rows.assign(value=rows["accuracy"] - rows["seed"].map(whole))
    figure = show.explore_plot(found.table, NETWORKS[0], lr=0.1, statistic="test accuracy minus dense")
    assert_drawn(figure.axes[0], "pft", gaps, "density", "value")
    assert {"zero"} <= gids(figure.axes[0])
    assert "line:dense" not in gids(figure.axes[0])


def test_every_combination_of_choices_can_be_drawn(found: Study):
    few = found.where(seed=(0, 1), network=NETWORKS[:1]).table
    few = few[(few["masking"] != "one_shot") | (few["recipe"] != "plain") | (few["decay"] == 0)]
    choices = show.explore_choices(few)
    values = [list(options.values()) if isinstance(options, dict) else options for options in choices.values()]
    network, methods, lrs, decays, masks, recipes, statistics = values
    for each in product(network, methods[1:2], lrs[1:2], decays[:2], masks[:2], recipes[:2], statistics[::3]):
        assert show.explore_plot(few, *each).axes
    with pytest.raises(UserError, match=r"no statistic 'test acuracy' \(did you mean 'test accuracy'\?\)"):
        show.explore_plot(few, NETWORKS[0], statistic="test acuracy")


def test_empty_tables_say_what_is_missing():
    none, network = pd.DataFrame(), NETWORKS[0]
    said = {
        show.accuracy_by_method(none, network, 0.1): "no pruned networks at learning rate 0.1",
        show.overlap_by_p(none, network): "no overlaps of initial and trained weights",
        show.ticket_overlap(none, network): "no overlaps of sparse networks with what they came from",
        show.advantage_scatter(
            none, none, network
        ): "no tickets with fresh weights on the same mask and their overlaps",
        show.interventions(none, none, network): "no interventions",
        show.admm_residual(none, network): "no residuals of ADMM",
        show.explore_plot(none, network): "no such runs with iterative masks cut layer by layer",
    }
    for figure, text in said.items():
        assert texts(figure) == [f"LeNet-300-100: {text}"]


def nothing_known(found: Study) -> Study:
    """All runs diverged."""
    lost = {"accuracy", "validation", "train_loss", "overlap", "final_overlap", "advantage", "residual"}
    lost |= {"slope", "low", "high", "dense"}
    tables = {
        name: rows.assign(**dict.fromkeys(lost & set(rows.columns), np.nan)) for name, rows in vars(found).items()
    }
    return Study(**{**tables, "table": tables["table"].assign(outcome="diverged")})


def test_where_all_runs_diverged_there_are_crosses_only(found: Study):
    for name, figure in every_figure(nothing_known(found)):
        for axes in figure.axes:
            assert not gids(axes, "interval:"), name
            assert all(not len(part(axes, gid).get_xdata()) for gid in gids(axes, "mean:")), name


def test_an_unknown_network_is_the_users_mistake(found: Study):
    says = r"no network 'lenet_300_10' in the table \(did you mean 'lenet_300_100'\?\)"
    for draw in (
        lambda name: show.accuracy_by_method(found.table, name, 0.1),
        lambda name: show.overlap_by_p(found.overlaps, name),
        lambda name: show.ticket_overlap(found.overlaps, name),
        lambda name: show.advantage_scatter(found.effects, found.regression, name),
        lambda name: show.interventions(found.effects, found.table, name),
        lambda name: show.admm_residual(found.residuals, name),
        lambda name: show.explore_plot(found.table, name),
    ):
        with pytest.raises(UserError, match=says):
            draw("lenet_300_10")


def test_one_seed_has_no_interval(found: Study):
    for _, figure in every_figure(found.where(seed=(1,))):
        drawn = {gid for axes in figure.axes for gid in gids(axes)}
        assert any(gid.startswith("mean:") for gid in drawn)
        assert not any(gid.startswith("interval:") or gid == "band:dense" for gid in drawn)
        assert "95 % interval" not in labels(figure)


def wide(found: Study) -> Study:
    """Leads of tens of points, accuracies from chance to the top, long names of networks."""
    table, effects = found.table.copy(), found.effects.copy()
    table.loc[(table["arm"] == "rr") & (table["seed"] == 0), "accuracy"] = 10
    effects.loc[effects["seed"] == 0, "advantage"] += 70
    table.loc[table["arm"] == "shuffled", "accuracy"] -= 60
    regression = regression_of(effects).assign(low=-13.25, high=12.75)
    tables = {**vars(found), "table": table, "effects": effects, "regression": regression}
    long = {"lenet_300_100": "resnet20*0.25-plain", "resnet20": "vgg11"}
    return Study(**{name: rows.assign(network=rows["network"].map(long)) for name, rows in tables.items()})


@pytest.mark.parametrize("case", ["all", "wide"])
def test_all_texts_are_legible_and_nothing_leaves_the_figure(found: Study, case: str):
    tables = {"all": found, "wide": wide(found).where(seed=(0, 1), density=(1.0, CLAIM, 0.41))}[case]
    for name, figure in every_figure(tables, "resnet20*0.25-plain" if case == "wide" else NETWORKS[0]):
        if case == "wide" and name not in ("methods", "scatter", "interventions"):
            continue
        assert_legible(figure, name)
        heads = [axes._left_title.get_window_extent() for axes in figure.axes if axes.axison]
        for number, box in enumerate(heads):
            assert not any(box.overlaps(other) for other in heads[number + 1 :]), name
        drawn = [axes for axes in figure.axes if axes.axison]
        for legend in legends(figure):
            box = legend.get_window_extent()
            for axes in drawn:
                around = [axes.get_window_extent(), axes.xaxis.label.get_window_extent(), *heads]
                assert not any(box.overlaps(other) for other in around), name


def test_figures_come_without_torch():
    assert_comes_without_torch("ltkit.show.weight_correlation")
