"""Figures of the greedy-bounds study say what their tables say, read back from what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import IPython.display
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from reading import (
    assert_comes_without_torch,
    assert_legends_apart,
    assert_legible,
    assert_texts_apart,
    entries,
    gids,
    part,
    texts,
    titles,
)

from ltkit.analyze import bounds, regimes
from ltkit.errors import UserError
from ltkit.prune import greedy
from ltkit.seeds import generator
from ltkit.show import greedy_bounds as show
from ltkit.show.explore import explorer
from ltkit.show.greedy_bounds_crossover import crossings
from ltkit.show.greedy_bounds_curves import path
from ltkit.show.greedy_bounds_map import regime_of
from ltkit.show.greedy_bounds_parts import METHODS, RULES
from ltkit.show.panels import Picture
from ltkit.verdict import t_interval

mpl.use("Agg")

LENET, VGG = NETWORKS = ("lenet_300_100", "vgg11*0.125")
LAYERS = {LENET: {"fc1": 60, "fc2": 40}, VGG: {"features.0": 8, "features.4": 16, "features.8": 32}}
SEEDS, WIDTH, STEPS, DIMENSIONS = range(3), 120, 60, (3, 20)
PRUNING = tuple(name for name in RULES if name not in ("label_loss", "local_original"))


@dataclass(frozen=True)
class Study:
    """The tables of one small study."""

    curves: pd.DataFrame
    rates: pd.DataFrame
    regimes: pd.DataFrame
    slim: pd.DataFrame
    kept: pd.DataFrame
    crossover: pd.DataFrame
    shortlist: pd.DataFrame
    costs: pd.DataFrame
    matches: pd.DataFrame
    picks: pd.DataFrame

    def where(self, **values: Any) -> Study:
        """The same study with these values only (a tuple each), in the tables that have the columns."""
        found = {}
        for name, rows in vars(self).items():
            for column, wanted in values.items():
                rows = rows[rows[column].isin(wanted)] if column in rows.columns else rows
            found[name] = rows
        return replace(self, **found)


@cache
def study() -> Study:
    """Selections are real, on synthetic layers; what needs networks is about as in the sheet."""
    random = np.random.default_rng(7)
    curves, rates, picks, matches = layers()
    wide = pd.concat(
        regimes.regime_map((20, 60, 300), (2, 5, 20), range(3), steps=60, layer=layer).assign(layer=name)
        for name, layer in (("gaussian", regimes.gaussian), ("two-layer", regimes.two_layer))
    )
    told = (slim_of(random), kept_of(random), crossover_of(random), shortlist_of(random), costs_of(random))
    return Study(curves, rates, wide, *map(pd.DataFrame, told), matches, picks)


def layers() -> tuple[pd.DataFrame, ...]:
    """curves, rates, picks and matches of synthetic layers and of one that stands for a trained one."""
    curves: list[pd.DataFrame] = []
    rates: list[dict[str, Any]] = []
    picks: list[pd.DataFrame] = []
    matches: list[pd.DataFrame] = []
    for seed in SEEDS:
        for dimension in DIMENSIONS:
            about = {"source": "two-layer", "network": "", "layer": "", "width": WIDTH, "dimension": dimension}
            phi = regimes.two_layer(WIDTH, dimension, seed)
            for name, found in selections(phi, seed):
                curves.append(curve_of(phi, found, name).assign(**about, seed=seed, method=name))
                rates += [{**about, "seed": seed, "method": name, **rate_of(phi, found)}] if name in RATED else []
        for layer, width in LAYERS[LENET].items():
            falling = np.exp(-np.arange(30) / 6.0)
            phi = regimes.gaussian(width, 30, seed) * falling + 0.3 * falling
            rank = float(falling.sum() ** 2 / (falling**2).sum()) + 0.1 * seed
            about = {"source": "trained", "network": LENET, "layer": layer, "width": width, "dimension": rank}
            for name, found in selections(phi, seed):
                curves.append(curve_of(phi, found, name).assign(**about, seed=seed, method=name))
                rates += [{**about, "seed": seed, "method": name, **rate_of(phi, found)}] if name in RATED else []
                place = {"network": LENET, "layer": layer, "method": name}
                taken = {"seed": seed, "iteration": range(1, len(found.picks) + 1), "neuron": found.picks}
                picks.append(pd.DataFrame({**place, **taken}))
                for neurons in (5, 10, 20) if seed == 0 and name in RATED else ():
                    h = at_neurons(found, neurons).weights @ phi
                    pairs = {"sample": range(30), "target": phi.mean(axis=0), "output": h}
                    matches.append(pd.DataFrame({**place, "neurons": neurons, **pairs}))
    return tuple(
        pd.concat(map(pd.DataFrame, each)) if each is not rates else pd.DataFrame(each)
        for each in (curves, rates, picks, matches)
    )


RATED = ("line", "one_over_k", "no_repeats")


def selections(phi: np.ndarray, seed: int) -> Iterator[tuple[str, greedy.Selection]]:
    problem, few = greedy.from_contributions(phi), min(len(phi), STEPS)
    yield "line", greedy.direct(phi, STEPS)
    yield "negative", greedy.direct(phi, STEPS, negative=True)
    yield "one_over_k", greedy.one_over_k(problem, STEPS)
    yield "no_repeats", greedy.one_over_k(problem, few, repeats=False)
    yield "random", greedy.random(problem, few, generator("figures", seed))
    yield "norm", greedy.norm(problem, few)
    yield "backward", greedy.backward(problem, few)


def at_neurons(found: greedy.Selection, neurons: int) -> greedy.Selection:
    return greedy.prefix(found, int(np.flatnonzero(found.sizes <= neurons)[-1]) + 1)


def curve_of(phi: np.ndarray, found: greedy.Selection, name: str) -> pd.DataFrame:
    given = bounds.geometry(phi)
    rule: Any = name if name in ("line", "one_over_k") else "equal"
    rows = bounds.curve(found, given, rule)
    return rows.assign(**{b: rows[b] / given.target for b in ("b1", "b2", "b3", "b7")}).drop(columns="error")


def rate_of(phi: np.ndarray, found: greedy.Selection) -> dict[str, Any]:
    given = bounds.geometry(phi)
    told = bounds.decay(found, given.spread, given.target)
    row: dict[str, Any] = {"points": told.points, "neurons": told.neurons, "gain": told.gain, "regime": told.regime}
    for law, fit in (("semilog", told.semilog), ("loglog", told.loglog)):
        row |= {law: fit.slope, f"{law}_low": fit.low, f"{law}_high": fit.high, f"{law}_r2": fit.r2}
    return row


def slim_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Greedy rules lose little as selected, all get near the dense network by tuning; scratch is in between."""
    loss = {"local": 8.0, "negative": 8.2, "one_over_k": 11.0, "no_repeats": 14.0, "random": 45.0, "norm": 30.0}
    loss |= {"backward": 20.0, "global": 4.0, "better": 3.8}
    for network, budgets in ((LENET, (0.25, 0.5, 0.75)), (VGG, (0.5,))):
        for seed in SEEDS:
            dense = 97.0 + 0.3 * random.standard_normal()
            for rule in PRUNING:
                for budget in budgets:
                    luck = random.standard_normal(4)
                    hard = (1 - budget) ** 1.5
                    about = {"network": network, "rule": rule, "budget": budget, "seed": seed, "dense": dense}
                    about |= {"multiply_adds": budget - 0.01 * random.random(), "dense_tuned": dense + 0.2}
                    told = {"before": dense - 3 * hard * loss[rule] * np.exp(0.2 * luck[0])}
                    told |= {"tuned": dense - hard * (1 + loss[rule] / 25) + 0.2 * luck[1]}
                    told |= {"scratch": dense - 4 * hard - 1 + 0.4 * luck[2], "scratch_full": np.nan}
                    if network == VGG and rule in ("local", "global"):
                        told["scratch_full"] = dense - 1.2 + 0.2 * luck[3]
                    yield {**about, **told}


def kept_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """A budget keeps the same in all rules of the first network; the rules of the second one differ."""
    for network in NETWORKS:
        for seed in SEEDS:
            for rule in PRUNING:
                for place, (layer, width) in enumerate(LAYERS[network].items()):
                    share = (
                        0.4 if network == LENET or rule not in ("local", "global", "better") else 0.25 + 0.15 * place
                    )
                    share += 0.12 * random.random() * (network == VGG and rule in ("local", "global", "better"))
                    share += 0.1 * (rule == "global" and network == VGG)
                    about = {"network": network, "rule": rule, "budget": 0.5, "seed": seed, "layer": layer}
                    yield {**about, "width": width, "kept": max(1, round(share * width))}


def crossover_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    for seed in SEEDS:
        luck = np.exp(0.15 * random.standard_normal(3))
        for size in (10, 30, 90, 200, 400, 600, 990):
            noise = np.exp(0.05 * random.standard_normal(3))
            told = {"picked_loss": 3e-3 * luck[0] * noise[0] * (size / 90) ** -1.7 + 2e-6}
            told |= {"picked_one_over_k_loss": 4e-3 * luck[0] * noise[2] * (size / 90) ** -1.6 + 2e-6}
            told |= {"trained_loss": 4e-4 * luck[1] * noise[1] * (size / 90) ** -0.7, "wide_loss": 2e-6 * luck[2]}
            yield {"size": size, "seed": seed, **told}


def shortlist_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    for network in NETWORKS:
        for layer in LAYERS[network]:
            for seed in SEEDS:
                for step in range(2, 14):
                    rank = 1 + int(random.exponential(1.5 if network == LENET else 5.0))
                    yield {"network": network, "layer": layer, "seed": seed, "step": step, "rank": rank}


def costs_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    for network in NETWORKS:
        for layer, width in LAYERS[network].items():
            for form, (seconds, passes) in {
                "gram": (4e-6 * width**0.3, 0.0),
                "direct": (1e-4 * width, 0.0),
                "global": (8e-3 * width, float(width)),
                "shortlist": (8e-3 * 13, 13.0),
            }.items():
                about = {"network": network, "layer": layer, "width": width, "form": form, "passes": passes}
                yield {**about, "seconds": seconds * float(np.exp(0.2 * random.standard_normal()))}


def every_figure(found: Study) -> Iterator[tuple[str, Picture]]:
    yield "synthetic", show.discrepancy(found.curves, "two-layer")
    yield "iterations", show.discrepancy(found.curves, "two-layer", dimension=20, x="iteration")
    yield "trained", show.discrepancy(found.curves, "trained", LENET, "fc1")
    yield "laws", show.two_laws(found.curves, found.rates, "two-layer")
    yield "laws_trained", show.two_laws(found.curves, found.rates, "trained", LENET, method="one_over_k")
    yield "map", show.regime_map(found.regimes)
    yield "map_gain", show.regime_map(found.regimes, "two-layer", text="gain")
    yield "rates", show.rates(found.rates)
    yield "flops", show.accuracy_over_flops(found.slim, LENET)
    yield "flops_one", show.accuracy_over_flops(found.slim, VGG)
    yield "widths", show.kept_widths(found.kept, LENET)
    yield "widths_differ", show.kept_widths(found.kept, VGG)
    yield "crossover", show.crossover(found.crossover)
    yield "shortlist", show.shortlist_recall(found.shortlist)
    yield "shortlist_layers", show.shortlist_recall(found.shortlist, VGG)
    yield "costs", show.costs(found.costs)
    yield "explore", show.explore_plot(show.explore_table(found.matches, found.picks), (LENET, "fc1"))


@cache
def drawn() -> dict[str, Picture]:
    """The figures of the whole study; tests read them and change nothing."""
    return dict(every_figure(study()))


@pytest.fixture(scope="module")
def found() -> Study:
    return study()


def means(axes: Any) -> set[str]:
    return {gid[5:] for gid in gids(axes) if gid.startswith("mean:")}


def pick(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def edges(band: Any, x: float) -> tuple[float, float]:
    """The lower and upper edge of a band at x."""
    vertices = band.get_paths()[0].vertices
    there = vertices[np.isclose(vertices[:, 0], x)][:, 1]
    return there.min(), there.max()


def test_looks_can_be_told_apart():
    for looks in (METHODS, RULES):
        assert len({look.label for look in looks.values()}) == len(looks)
        assert len({(look.color, look.marker, look.line) for look in looks.values()}) == len(looks)


def test_discrepancy_has_the_steps_with_their_bounds_then_the_selectors():
    figure = drawn()["synthetic"]
    steps, selectors = figure.axes
    assert titles(figure) == ["steps, and the bounds that are proved for them", "line search and other selectors"]
    assert means(steps) == {"line", "negative", "one_over_k", "no_repeats"}
    assert means(selectors) == {"line", "backward", "norm", "random"}
    proved = {"b1:line", "b2:line", "b2:one_over_k", "b3:one_over_k"}
    assert {gid for gid in gids(steps) if gid[0] == "b" and gid[1].isdigit()} == proved
    assert "expected" in gids(selectors) - gids(steps)
    assert figure.get_suptitle() == f"two-layer ReLU layer: N = {WIDTH}, M = 3"
    assert steps.get_xscale() == steps.get_yscale() == "log"
    assert entries(figure.legends[0])[0] == "bound B1 (line search)"


def test_errors_are_geometric_means_over_seeds_and_lie_below_their_bounds(found: Study):
    axes = drawn()["iterations"].axes[0]
    rows = pick(found.curves, source="two-layer", dimension=20, method="one_over_k")
    logs = np.log(rows["relative"]).groupby(rows["iteration"])
    x, y = part(axes, "mean:one_over_k").get_data()
    assert x[0] == 1
    assert x[-1] == STEPS
    assert list(y) == pytest.approx(list(np.exp(logs.mean()[x])))
    assert edges(part(axes, "band:one_over_k"), 1) == pytest.approx(np.exp(t_interval(logs.get_group(1))))
    k, bound = part(axes, "b2:one_over_k").get_data()
    assert list(bound) == pytest.approx(list(np.exp(np.log(rows["b2"]).groupby(rows["iteration"]).mean())))
    assert (np.interp(x, k, bound) > y).all()
    low, high = axes.get_ylim()
    assert low < min(y) < max(bound) < high


def test_lines_over_neurons_take_the_last_error_with_so_many():
    rows = {"seed": 0, "iteration": [1, 2, 3, 4], "neurons": [1, 2, 2, 3], "relative": [1.0, 0.5, 0.25, 0.125]}
    one = pd.DataFrame(rows)
    short = pd.DataFrame({"seed": 1, "iteration": [1, 2], "neurons": [1, 2], "relative": [1.0, 0.5]})
    told = path(pd.concat([one, short]), "neurons")
    assert told.to_dict("list") == {"neurons": [1, 1, 2, 2], "seed": [0, 1, 0, 1], "relative": [1.0, 1.0, 0.25, 0.5]}
    done = path(pd.concat([one, short.assign(relative=[1.0, 1e-12])]), "neurons")
    assert list(done["relative"]) == [1.0, 1.0, 0.25, 1e-12, 0.125, 1e-12]


def test_all_neurons_are_left_out_and_lost_seeds_marked(found: Study):
    assert part(drawn()["trained"].axes[1], "mean:norm").get_xdata()[-1] == LAYERS[LENET]["fc1"] - 1
    lost = found.curves.copy()
    lost.loc[(lost["method"] == "one_over_k") & (lost["seed"] == 1) & (lost["iteration"] == 9), "relative"] = np.nan
    figure = show.discrepancy(lost, "two-layer", dimension=20, x="iteration")
    assert part(figure.axes[0], "lost:one_over_k").get_offsets()[0][0] == 9
    rest = pick(found.curves, source="two-layer", dimension=20, method="one_over_k", iteration=1)
    kept = np.exp(np.log(rest.loc[rest["seed"] != 1, "relative"]).mean())
    assert part(figure.axes[0], "mean:one_over_k").get_ydata()[0] == pytest.approx(kept)


def test_methods_can_be_chosen_and_one_panel_is_enough(found: Study):
    figure = show.discrepancy(found.curves, "two-layer", methods=["line"])
    (axes,) = figure.axes
    assert means(axes) == {"line"}
    assert {"b1:line", "b2:line", "expected"} <= gids(axes)
    with pytest.raises(UserError, match="no method 'lines' \\(did you mean 'line'"):
        show.discrepancy(found.curves, "two-layer", methods=["lines"])
    trained = show.discrepancy(found.curves, "trained", LENET)
    assert trained.get_suptitle().startswith("LeNet-300-100, fc1: N = 60, effective rank = 12")


def test_laws_show_the_median_seed_with_its_fit_and_r2_over_seeds(found: Study):
    figure = drawn()["laws"]
    left, right = figure.axes[2:]
    assert (left.get_xscale(), right.get_xscale()) == ("linear", "log")
    fits = pick(found.rates, source="two-layer", dimension=20, method="line")
    for axes, law in ((left, "semilog"), (right, "loglog")):
        low, high = t_interval(fits[f"{law}_r2"])
        text = part(axes, f"r2:{law}")
        assert text.get_text() == f"R² {fits[f'{law}_r2'].mean():.2f} [{low:.2f}, {min(high, 1):.2f}]"
        assert (text.get_fontweight() == "bold") == (law == "loglog")
        assert len(part(axes, "seeds:20").get_segments()) == len(SEEDS)
    curve = pick(found.curves, source="two-layer", dimension=20, method="line", seed=1)
    x, y = part(right, "typical:20").get_data()
    assert list(y) == pytest.approx(list(curve["relative"]))  # all are as long: the second of three
    k, line = part(right, "fit:loglog").get_data()
    (told,) = fits[fits["seed"] == 1].to_dict("records")
    assert (k[0], k[-1]) == (2, told["points"] + 1)
    assert np.polyfit(np.log(k), np.log(line), 1)[0] == pytest.approx(told["loglog"])
    assert np.log(line).mean() == pytest.approx(np.log(np.interp(k, x, y)).mean())
    assert [name.partition(":")[0] for name in titles(figure) if name] == ["N = 120, M = 3", "N = 120, M = 20"]


def test_laws_do_without_fits(found: Study):
    figure = show.two_laws(found.curves, found.rates[:0], "two-layer")
    assert set(texts(figure)) == {"too few steps to fit"}
    assert not any(gid.startswith("fit:") for axes in figure.axes for gid in gids(axes))


def test_the_map_has_the_regime_of_most_seeds_and_the_mean_of_r2(found: Study):
    (axes,) = drawn()["map"].axes
    rows = pick(found.regimes, layer="gaussian")
    for x, width in enumerate((20, 60, 300)):
        for y, rank in enumerate((2, 5, 20)):
            own = pick(rows, width=width, rank=rank)
            name, agree = regime_of(own)
            assert f"{name}:{x}:{y}" in gids(axes)
            apart = (own["semilog_r2"] - own["loglog_r2"]).mean()
            said = part(axes, f"text:{x}:{y}").get_text().split("\n")
            if np.isnan(apart):
                assert said == ["gone in", f"{own['points'].max() + 2} steps"]
            else:
                assert said[0] == f"{apart:+.2f}".replace("-", "−")
                assert said[1:] == ([] if agree == 3 else [f"{agree} of 3"])
    assert part(drawn()["map_gain"].axes[0], "text:2:1").get_text().startswith("×$10^{")


def test_of_equally_many_the_slower_decay_counts_and_the_map_reads_in_grey():
    told = pd.DataFrame({"regime": ["exponential", "polynomial", "none", "polynomial", "exponential"]})
    assert regime_of(told) == ("polynomial", 2)
    assert regime_of(told[:1]) == ("exponential", 1)
    regimes = pd.DataFrame({"layer": "gaussian", "width": [20, 20, 2000], "rank": [2, 9, 2], "seed": 0, "points": 9})
    regimes = regimes.assign(semilog_r2=0.5, loglog_r2=0.9, gain=1.0, regime=["polynomial", "none", "exponential"])
    (axes,) = show.regime_map(regimes).axes
    greys = [
        np.dot(part(axes, gid).get_facecolor()[:3], (0.299, 0.587, 0.114))
        for gid in ("exponential:1:0", "polynomial:0:0", "none:0:1")
    ]
    assert np.diff(greys).min() > 0.15
    stairs = [child for child in axes.lines if child.get_gid() == "fifty"]
    assert [tuple(line.get_xdata()) for line in stairs] == [(0.5, 0.5), (0.5, 0.5)]


def test_rates_are_differences_over_neurons_a_dimension(found: Study):
    figure = drawn()["rates"]
    (axes,) = figure.axes
    rows = pick(found.rates, method="line", source="two-layer", dimension=20)
    ahead = rows["semilog_r2"] - rows["loglog_r2"]
    assert part(axes, "mean:two-layer::6").get_data() == (pytest.approx([6.0]), pytest.approx([ahead.mean()]))
    (bar,) = part(axes, "interval:two-layer::6").get_segments()
    assert tuple(bar[:, 1]) == pytest.approx(t_interval(ahead))
    trained = pick(found.rates, method="line", source="trained", layer="fc2")
    share = np.exp(np.log(trained["width"] / trained["dimension"]).mean())
    (point,) = [line for line in axes.lines if str(line.get_gid()).startswith("mean:trained:fc2")]
    assert point.get_xdata() == pytest.approx([share])
    assert part(axes, "line:margin").get_ydata() == [0.05, 0.05]
    assert part(axes, "line:share").get_xdata() == [50, 50]
    assert entries(figure.legends[0])[:3] == ["two-layer ReLU layer", "trained", "LeNet-300-100"]


def test_what_is_gone_at_once_is_a_triangle(found: Study):
    gone = found.rates.copy()
    gone.loc[gone["dimension"] == 3, ["semilog_r2", "loglog_r2"]] = np.nan
    gone.loc[gone["dimension"] == 3, "regime"] = "exponential"
    figure = show.rates(gone)
    assert part(figure.axes[0], "gone:two-layer::40").get_xdata() == pytest.approx([40.0])
    assert "error gone at once" in entries(figure.legends[0])
    crossed = show.rates(gone.assign(regime="none"))
    assert "lost:two-layer::40" in gids(crossed.axes[0])


def test_accuracies_stand_side_by_side_at_their_budget(found: Study):
    figure = drawn()["flops"]
    before, key, tuned, scratch = figure.axes
    assert titles(figure) == ["as selected", "", "fine-tuned", "same size, fresh weights"]
    rows = pick(found.slim, network=LENET)
    for axes, column in ((before, "before"), (tuned, "tuned"), (scratch, "scratch")):
        values = pick(rows, rule="global").groupby("budget")[column]
        assert list(part(axes, "mean:global").get_ydata()) == pytest.approx(list(values.mean()))
        bars = [tuple(bar[:, 1]) for bar in part(axes, "interval:global").get_segments()]
        assert bars == [pytest.approx(t_interval(own)) for _, own in values]
        dense = rows.drop_duplicates(["seed", "dense"])["dense"]
        assert part(axes, "line:dense").get_ydata() == pytest.approx([dense.mean()] * 2)
    assert ["line:dense_tuned" in gids(axes) for axes in (before, tuned, scratch)] == [False, True, False]
    places = 100 * rows.groupby("budget")["multiply_adds"].mean()
    at = np.array([part(before, f"mean:{rule}").get_xdata() for rule in PRUNING]).T
    for place, there in zip(places, at, strict=True):
        assert np.diff(np.sort(there)).min() > 0.5
        assert abs(np.mean(there) - place) < 0.01
    assert tuned.get_ylim() == scratch.get_ylim() != before.get_ylim()
    said = entries(key.get_legend())
    assert said[:2] == ["dense network", "dense, tuned as long"]
    assert len(said) == 2 + len(PRUNING) + 2


def test_whole_budgets_are_rings_and_lost_runs_crosses(found: Study):
    figure = drawn()["flops_one"]
    rows = pick(found.slim, network=VGG, rule="local")
    rings = part(figure.axes[3], "whole:local")
    assert list(rings.get_ydata()) == pytest.approx([rows["scratch_full"].mean()])
    assert rings.get_markerfacecolor() == "none"
    assert "whole:norm" not in gids(figure.axes[3])
    lost = found.slim.copy()
    lost.loc[(lost["rule"] == "norm") & (lost["seed"] == 0), "before"] = np.nan
    figure = show.accuracy_over_flops(lost, VGG)
    assert ["lost:norm" in gids(axes) for axes in figure.axes] == [True, False, False, False]
    assert "diverged, left out" in entries(figure.axes[1].get_legend())


def test_widths_are_shares_and_equal_rules_one_line(found: Study):
    (axes,) = drawn()["widths"].axes
    assert len(means(axes)) == 1
    assert entries(drawn()["widths"].legends[0])[0] == "all rules"
    figure = drawn()["widths_differ"]
    (axes,) = figure.axes
    assert means(axes) == {"local", "negative", "global", "better"}
    assert entries(figure.legends[0])[:4] == [
        *("local: line search", "the other 6 rules", "global imitation", "better of local and global")
    ]
    rows = pick(found.kept, network=VGG, rule="global")
    share = (100 * rows["kept"] / rows["width"]).groupby(rows["layer"], sort=False)
    assert list(part(axes, "mean:global").get_xdata()) == pytest.approx(list(share.mean()))
    first = part(axes, "interval:global").get_segments()[0]
    assert tuple(first[:, 0]) == pytest.approx(t_interval(share.get_group("features.0")))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "features.0 (8)",
        "features.4 (16)",
        "features.8 (32)",
    ]
    assert axes.yaxis_inverted()
    with pytest.raises(UserError, match=r"no budget '0.3' in the table"):
        show.kept_widths(found.kept, VGG, 0.3)


def test_crossings_by_hand():
    sizes = {"size": [10, 100, 1000], "seed": 0}
    falls = pd.DataFrame({**sizes, "picked_loss": [4.0, 2.0, 0.5], "trained_loss": [1.0, 1.0, 1.0]})
    assert np.exp(crossings(falls)[0]) == pytest.approx(10**2.5)
    never = falls.assign(seed=1, picked_loss=2.0)
    always = falls.assign(seed=2, picked_loss=0.5)
    lost = falls.assign(seed=3, picked_loss=np.nan)
    assert list(crossings(pd.concat([never, always, lost, falls])).isna()) == [False, True, True, True]


def test_the_crossing_is_marked_with_its_interval(found: Study):
    figure = drawn()["crossover"]
    (axes,) = figure.axes
    known = crossings(found.crossover)
    low, high = np.exp(t_interval(known))
    assert part(axes, "line:crossing").get_xdata() == pytest.approx([np.exp(known.mean())] * 2)
    band = part(axes, "band:crossing")
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((low, high))
    at = f"{np.exp(known.mean()):.0f}"
    said = f"picked neurons overtake trained ones at {at} neurons [{low:.0f}, {high:.0f}]\nin 3 of 3 seeds"
    assert figure.get_suptitle() == said
    logs = np.log10(found.crossover["picked_loss"]).groupby(found.crossover["size"])
    assert list(part(axes, "mean:picked_loss").get_ydata()) == pytest.approx(list(10 ** logs.mean()))
    assert part(axes, "line:wide").get_ydata()[0] == pytest.approx(
        np.exp(np.log(found.crossover.groupby("seed")["wide_loss"].first()).mean())
    )
    worse = show.crossover(found.crossover.assign(trained_loss=1e-9))
    assert worse.get_suptitle() == "picked neurons overtake trained ones in none of 3 seeds"
    assert "line:crossing" not in gids(worse.axes[0])


def test_recall_is_the_share_of_picks_that_a_list_holds(found: Study):
    figure = drawn()["shortlist"]
    (axes,) = figure.axes
    ranks = pick(found.shortlist, network=VGG)
    recall = {length: (ranks["rank"] <= length).groupby(ranks["seed"]).mean() for length in (1, 10)}
    x, y = part(axes, f"mean:{VGG}").get_data()
    assert [dict(zip(x, y, strict=True))[n] for n in (1, 10)] == pytest.approx(
        [100 * recall[n].mean() for n in (1, 10)]
    )
    assert edges(part(axes, f"band:{VGG}"), 10) == pytest.approx(t_interval(100 * recall[10]))
    assert y[-1] == 100
    assert entries(figure.legends[0])[1] == f"VGG-11 ×0.125: {100 * recall[10].mean():.0f} %"
    assert means(drawn()["shortlist_layers"].axes[0]) == set(LAYERS[VGG])
    assert list(zip(*part(axes, "margin").get_data(), strict=True)) == [(1, 90), (10, 90), (10, 0)]


def test_costs_are_geometric_means_with_their_ratios(found: Study):
    seconds, passes = drawn()["costs"].axes
    told = np.exp(np.log(found.costs["seconds"]).groupby(found.costs["form"]).mean())
    for form in told.index:
        ((start, _),) = part(seconds, f"mean:{form}").get_segments()
        assert start[0] == pytest.approx(told[form])
    assert part(seconds, "times:global").get_text() == f"×{told['global'] / told['gram']:,.0f}"
    assert part(seconds, "times:gram").get_text() == ""
    assert [part(passes, f"times:{form}").get_text().strip() for form in ("gram", "shortlist")] == ["0", "13"]
    assert sorted(part(seconds, f"layers:direct:{VGG}").get_offsets()[:, 0]) == pytest.approx(
        sorted(pick(found.costs, form="direct", network=VGG)["seconds"])
    )


def test_the_explorer_shows_picks_and_the_output_match(found: Study, monkeypatch: pytest.MonkeyPatch):
    table = show.explore_table(found.matches, found.picks)
    choices = show.explore_choices(table)
    assert choices["layer"] == {"LeNet-300-100, fc1": (LENET, "fc1"), "LeNet-300-100, fc2": (LENET, "fc2")}
    assert next(iter(choices["method"].items())) == ("line search", "line")
    assert choices["neurons"] == [5, 10, 20]
    displayed: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda *given, **_: displayed.extend(given))
    monkeypatch.delenv("LTKIT_HEADLESS", raising=False)
    widget = explorer(show.explore_plot, table, **choices)
    layer, method, neurons = widget.children[0].children
    layer.value = (LENET, "fc2")
    method.value = "one_over_k"
    neurons.value = 20
    left, right = displayed[-1].axes
    order = pick(found.picks, layer="fc2", method="one_over_k", seed=0)["neuron"].tolist()
    first = list(dict.fromkeys(order))[:20]
    assert part(left, "picks:first").get_offsets()[:, 1].tolist() == first
    assert len(part(left, "picks:again").get_offsets()) > 0
    rows = pick(found.matches, layer="fc2", method="one_over_k", neurons=20)
    assert part(right, "match").get_offsets().tolist() == rows[["target", "output"]].to_numpy().tolist()
    error = ((rows["output"] - rows["target"]) ** 2).sum() / (rows["target"] ** 2).sum()
    assert right.get_title("left") == f"relative error {error:.2g}"
    xs, ys = part(right, "identity").get_data()
    assert list(xs) == list(ys)


def test_the_explorer_does_with_what_there_is(found: Study):
    table = show.explore_table(found.matches, found.picks)
    near = show.explore_plot(table, (LENET, "fc1"), neurons=7)
    assert near.get_suptitle().endswith("5 neurons kept")
    random = show.explore_plot(table, (LENET, "fc1"), "random", 7)
    assert texts(random) == ["no outputs"]
    assert len(part(random.axes[0], "picks:first").get_offsets()) == 7
    alone = show.explore_plot(show.explore_table(found.matches, found.picks[:0]), (LENET, "fc1"))
    assert texts(alone) == ["no picks"]
    same = show.explore_plot(table, (LENET, "fc1"), "least_squares", 5)  # has the picks of line search
    order = pick(found.picks, layer="fc1", method="line", seed=0)["neuron"].tolist()
    assert part(same.axes[0], "picks:first").get_offsets()[:, 1].tolist() == list(dict.fromkeys(order))[:5]
    assert texts(show.explore_plot(table, (LENET, "fc1"), "label_loss")) == [
        "LeNet-300-100, fc1, label loss, 1/k step: no picks and no outputs"
    ]


def test_what_a_table_lacks_is_said(found: Study):
    nothing = pd.DataFrame()
    for figure, text in (
        (show.discrepancy(nothing, "two-layer"), "two-layer ReLU layer: no errors of picked neurons"),
        (show.discrepancy(found.curves, "random weights"), "random weights: no errors of picked neurons"),
        (show.two_laws(nothing, nothing, "trained", LENET), "line search, LeNet-300-100: no errors of picked neurons"),
        (show.regime_map(nothing), "Gaussian contributions: no regimes"),
        (show.rates(nothing), "line search: no layers with a known rate"),
        (show.rates(found.rates, method="global"), "global imitation: no layers with a known rate"),
        (show.accuracy_over_flops(nothing, VGG), "VGG-11 ×0.125: no slim networks"),
        (show.kept_widths(nothing, VGG), "VGG-11 ×0.125: no pruned layers"),
        (show.crossover(nothing), "no losses of picked and trained networks"),
        (show.shortlist_recall(nothing), "all networks: no picks to find in a shortlist"),
        (show.costs(nothing), "no costs of picks"),
        (show.explore_plot(show.explore_table(nothing, nothing), (LENET, "fc1")), None),
    ):
        assert texts(figure) == [text or "LeNet-300-100, fc1, line search: no picks and no outputs"]


def test_an_unknown_name_is_the_users_mistake(found: Study):
    table = show.explore_table(found.matches, found.picks)
    for draw, says in (
        (lambda: show.discrepancy(found.curves, "trainde"), r"no source 'trainde' \(did you mean 'trained'"),
        (lambda: show.discrepancy(found.curves, "trained", "lenet"), "no network 'lenet' in the table"),
        (lambda: show.discrepancy(found.curves, "trained", LENET, "fc3"), "no layer 'fc3' in the table"),
        (lambda: show.discrepancy(found.curves, "two-layer", dimension=4), "no dimension '4' in the table"),
        (lambda: show.two_laws(found.curves, found.rates, "two-layer", method="k"), "no method 'k'"),
        (lambda: show.regime_map(found.regimes, "gauss"), "no layer 'gauss' in the table"),
        (lambda: show.accuracy_over_flops(found.slim, "vgg"), "no network 'vgg' in the table"),
        (lambda: show.shortlist_recall(found.shortlist, "vgg"), "no network 'vgg' in the table"),
        (lambda: show.explore_plot(table, (LENET, "fc3")), "no layer 'fc3' in the table"),
        (lambda: show.explore_plot(table, (LENET, "fc1"), "lines"), "no method 'lines'"),
    ):
        with pytest.raises(UserError, match=says):
            draw()


def test_one_seed_of_one_width_has_no_interval(found: Study):
    few = found.where(seed=(0,), width=(WIDTH, 300, *LAYERS[LENET].values(), *LAYERS[VGG].values()), budget=(0.5,))
    for name, figure in every_figure(few):
        known = {gid for axes in figure.axes for gid in gids(axes)}
        assert known, name
        assert not any(gid.startswith(("interval:", "band:")) for gid in known), name
        said = [
            text
            for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes))
            if legend
            for text in entries(legend)
        ]
        assert "95 % interval" not in said, name


def test_all_texts_are_legible_and_nothing_leaves_the_figure():
    for name, figure in drawn().items():
        assert_legible(figure, name)
        assert_texts_apart(figure, name)
        assert_legends_apart(figure, name)


def test_figures_come_without_torch():
    assert_comes_without_torch("ltkit.show.greedy_bounds")
