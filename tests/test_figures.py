"""Figures say what their tables say: heights, numbers and counts, read back from what is drawn."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image
from reading import assert_comes_without_torch, assert_legends_apart, assert_legible, assert_texts_apart, gids, part

import ltkit
from ltkit.errors import UserError
from ltkit.show import existence, style
from ltkit.show.panels import Picture, panels
from ltkit.show.scales import PERCENTAGES
from ltkit.show.tables import minus, shown
from ltkit.verdict import EXISTENCE, Verdict, conditions, estimate, t_interval

mpl.use("Agg")

NETWORKS = ("lenet_300_100", "resnet8*0.5-plain")
LRS, LEVELS, SEEDS = (0.01, 0.03, 0.1), (1, 3, 5, 7), range(5)
DENSE = {0.01: 90.0, 0.03: 92.0, 0.1: 94.0}
EFFECT = {"lt_imp": -0.2, "rr_imp": -0.7, "lt_omp": -0.3, "sdt": -0.9, "lt_shuffled": -1.0, "lt_rewound": -0.1}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Accuracy = dense at the learning rate, the seed's luck, an effect a level and arm, and a little noise."""
    random = np.random.default_rng(7)
    rows: list[dict[str, Any]] = []

    def row(network: str, lr: float, seed: int, arm: str, level: int, accuracy: float, **more: Any) -> None:
        labels = {"network": network, "lr": lr, "mask_lr": lr, "epochs": 20, "arm": arm, "level": level, "seed": seed}
        found = {"accuracy": accuracy, "validation": accuracy + 0.1, "train_loss": 1 - accuracy / 100}
        about = {"outcome": "finished", "run": f"run-{len(rows):012x}"}
        rows.append({**labels, "density": 0.7**level, **found, **about, **more})

    for network in NETWORKS:
        for lr in LRS:
            for seed in SEEDS:
                luck = 0.3 * random.standard_normal()
                row(network, lr, seed, "dense", 0, DENSE[lr] + luck)
                for level in LEVELS:
                    for arm, effect in EFFECT.items():
                        noise = 0.05 * random.standard_normal()
                        row(network, lr, seed, arm, level, DENSE[lr] + luck + effect * level + noise)
                for mask_lr in (0.01, 0.1):
                    for number, arm in enumerate(("lt_decoupled_imp", "lt_decoupled_omp")):
                        accuracy = DENSE[lr] + luck - 2 - number - 10 * mask_lr
                        row(network, lr, seed, arm, 5, accuracy, mask_lr=mask_lr)
        for seed in SEEDS:  # the short trainings of A3, which no figure here may count in
            row(network, 0.01, seed, "dense", 0, 50.0, epochs=10)
            row(network, 0.01, seed, "lt_imp", 5, 40.0, epochs=10)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def found(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {name: conditions_of(table, name) for name in NETWORKS}


def conditions_of(table: pd.DataFrame, name: str) -> pd.DataFrame:
    arms = {"dense": "dense", "lt_imp": "lt", "rr_imp": "rr", "sdt": "sdt"}
    rows = table[(table["network"] == name) & (table["epochs"] == 20) & table["arm"].isin(arms)]
    return conditions(rows.assign(arm=rows["arm"].map(arms)))


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    random = np.random.default_rng(1)
    rows = [
        {"network": name, "lr": lr, "seed": seed, "start": start, "p": 0.1, "null_sd": 0.01, "runs": ("a", "b")}
        | {"ratio": (0.5 if start == "own" else 0.1) + 0.01 * random.standard_normal()}
        for name in NETWORKS
        for lr in LRS
        for seed in SEEDS
        for start in ("own", "fresh")
    ]
    return pd.DataFrame(rows)


EFFECTS = pd.DataFrame(
    [
        ("learning rate", "resnet8*0.5: lr 0.1 - 0.01", "advantage", -3.0, -4.0, -2.0, 5),
        ("learning rate", "resnet8*0.5: lr 0.1 - 0.01", "shortfall", 0.5, -1.0, 2.0, 5),
        ("density", "resnet8*0.5: density 0.082 - 0.34", "advantage", 1.0, 0.5, 1.5, 5),
    ],
    columns=["factor", "contrast", "outcome", "mean", "low", "high", "n"],
)


def every_figure(table: pd.DataFrame, found: dict[str, pd.DataFrame], points: pd.DataFrame) -> Iterator[Picture]:
    yield existence.accuracy_curves(table, NETWORKS[0])
    yield existence.accuracy_curves(table, NETWORKS[0], lr=0.1)
    yield existence.advantage_map(table, found)
    yield existence.prize_board(found)
    yield existence.factor_effects(EFFECTS)
    yield existence.decoupling(table, NETWORKS[0])
    yield existence.rewinding(table)
    yield existence.overlap(points)


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def labels(figure: Picture) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def cells(axes: Any) -> dict[tuple[int, int], Text]:
    """The texts in the cells of a map, by row and column."""
    return {(int(text.get_position()[1]), int(text.get_position()[0])): text for text in axes.texts}


def pick(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    for column, value in {"epochs": 20, **where}.items():
        table = table[table[column] == value]
    return table


def test_a_panel_for_each_learning_rate_with_the_dense_line_at_its_mean(table: pd.DataFrame):
    figure = existence.accuracy_curves(table, NETWORKS[0])
    assert [axes.get_title("left") for axes in figure.axes] == [f"learning rate {lr:g}" for lr in LRS]
    for axes, lr in zip(figure.axes, LRS, strict=True):
        values = pick(table, network=NETWORKS[0], arm="dense", lr=lr)["accuracy"]
        assert part(axes, "line:dense").get_ydata() == pytest.approx([values.mean()] * 2)
        band = part(axes, "band:dense")
        assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx(t_interval(values))


def test_every_seed_is_a_point_and_every_mean_has_its_interval(table: pd.DataFrame):
    (_, axes, _) = existence.accuracy_curves(table, NETWORKS[0]).axes
    for arm in ("lt_imp", "rr_imp", "lt_omp", "sdt", "lt_shuffled"):
        rows = pick(table, network=NETWORKS[0], arm=arm, lr=0.03)
        heights = part(axes, f"seeds:{arm}").get_offsets()[:, 1]
        assert sorted(heights) == pytest.approx(sorted(rows["accuracy"]))
        groups = rows.groupby("density", sort=True)["accuracy"]
        assert list(part(axes, f"mean:{arm}").get_ydata()) == pytest.approx(list(groups.mean()))
        bars = [tuple(segment[:, 1]) for segment in part(axes, f"interval:{arm}").get_segments()]
        assert bars == [pytest.approx(t_interval(values)) for _, values in groups]
    assert len(part(axes, "seeds:dense").get_offsets()) == len(SEEDS)


def test_density_falls_to_the_right_with_numbers_at_what_was_trained(table: pd.DataFrame):
    (axes,) = existence.accuracy_curves(table, NETWORKS[0], lr=0.01).axes
    left, right = axes.get_xlim()
    assert left > 1 > 0.7 > right
    assert list(axes.get_xticks()) == pytest.approx([1, 0.7, 0.343, 0.7**5, 0.7**7])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "0.7", "0.34", "0.17", "0.082"]
    assert not re.search(r"\d", "".join(tick.get_text() for tick in axes.get_xticklabels(minor=True)))


def test_series_stand_beside_their_density_not_on_each_other(table: pd.DataFrame):
    (axes,) = existence.accuracy_curves(table, NETWORKS[0], lr=0.01).axes
    places = [part(axes, f"mean:{arm}").get_xdata()[-1] for arm in ("lt_imp", "rr_imp", "sdt")]
    assert len({round(place, 6) for place in places}) == 3
    assert places == pytest.approx([0.7] * 3, rel=0.1)


def test_the_best_dense_network_is_a_dotted_line_where_it_is_another_one(table: pd.DataFrame):
    first, second, third = existence.accuracy_curves(table, NETWORKS[0]).axes
    best = pick(table, network=NETWORKS[0], arm="dense", lr=0.1)["accuracy"].mean()
    assert part(first, "line:best").get_ydata() == pytest.approx([best] * 2)
    assert "line:best" in gids(second)
    assert "line:best" not in gids(third)
    chosen = table.assign(validation=-table["lr"])  # validation decides, not the test accuracy
    first, _, third = existence.accuracy_curves(chosen, NETWORKS[0]).axes
    assert "line:best" not in gids(first)
    assert "line:best" in gids(third)


def test_missing_arms_leave_out_line_and_legend(table: pd.DataFrame):
    figure = existence.accuracy_curves(table[table["arm"].isin(["dense", "lt_imp", "rr_imp"])], NETWORKS[0])
    assert not {"mean:sdt", "seeds:sdt"} & gids(figure.axes[0])
    shown = ["dense network", "ticket (IMP)", "same mask, fresh weights", "best dense by validation"]
    assert labels(figure) == [*shown, "one seed", "95 % interval"]
    bare = existence.accuracy_curves(table[table["arm"] != "dense"], NETWORKS[0])
    assert "line:dense" not in gids(bare.axes[0])


def test_diverged_runs_are_marked_and_left_out_of_the_mean(table: pd.DataFrame):
    lost = table.copy()
    where = (lost["network"] == NETWORKS[0]) & (lost["lr"] == 0.1) & (lost["arm"] == "rr_imp") & (lost["level"] == 7)
    lost.loc[where & (lost["seed"] < 2), ["accuracy", "outcome"]] = [np.nan, "diverged"]
    figure = existence.accuracy_curves(lost, NETWORKS[0])
    axes = figure.axes[2]
    assert len(part(axes, "seeds:rr_imp").get_offsets()) == len(SEEDS) * len(LEVELS) - 2
    ((place, height),) = part(axes, "lost:rr_imp").get_offsets()
    assert place == pytest.approx(0.7**7, rel=0.1)
    assert height == 0
    kept = lost.loc[where & (lost["seed"] >= 2), "accuracy"]
    assert part(axes, "mean:rr_imp").get_ydata()[0] == pytest.approx(kept.mean())
    assert "diverged, left out" in labels(figure)
    assert not any(gid.startswith("lost:") for gid in gids(figure.axes[0]))
    lost.loc[where, ["accuracy", "outcome"]] = [np.nan, "diverged"]
    assert len(part(existence.accuracy_curves(lost, NETWORKS[0]).axes[2], "mean:rr_imp").get_ydata()) == 3


def test_runs_that_are_still_missing_are_not_called_diverged(table: pd.DataFrame):
    partial = table.copy()
    partial.loc[partial["arm"] == "sdt", ["accuracy", "outcome"]] = [np.nan, "missing"]
    figure = existence.accuracy_curves(partial, NETWORKS[0])
    assert "diverged, left out" not in labels(figure)
    assert "small dense network" not in labels(figure)


def test_a_collapse_stretches_the_axis_so_that_the_top_can_be_read(table: pd.DataFrame):
    calm = existence.accuracy_curves(table, NETWORKS[0]).axes[0]
    assert calm.get_yscale() == "linear"
    fallen = table.copy()
    fallen.loc[fallen["arm"] == "lt_shuffled", "accuracy"] -= 60
    axes = existence.accuracy_curves(fallen, NETWORKS[0]).axes[0]
    assert axes.get_yscale() == "function"
    assert "stretched" in axes.get_ylabel()
    heights = [axes.transData.transform((1, value))[1] for value in (30, 60, 80, 90, 95, 99, 100)]
    assert heights == sorted(heights)
    assert heights[4] - heights[3] > 3 * (heights[1] - heights[0]) / 6  # five points at the top, against five below
    ticks = list(axes.get_yticks())
    assert set(ticks) <= set(PERCENTAGES)
    assert ticks == sorted(ticks, reverse=True)


def test_an_unknown_network_is_the_users_mistake(table: pd.DataFrame):
    with pytest.raises(UserError, match=r"no network 'lenet_300_10' in the table \(did you mean 'lenet_300_100'\?\)"):
        existence.accuracy_curves(table, "lenet_300_10")


def test_the_map_says_the_paired_means(table: pd.DataFrame, found: dict[str, pd.DataFrame]):
    figure = existence.advantage_map(table, found)
    assert [axes.get_title("left") for axes in figure.axes] == ["LeNet-300-100", "ResNet-8 ×0.5 without residuals"]
    for axes, name in zip(figure.axes, NETWORKS, strict=True):
        wanted = {}
        for row, lr in enumerate(LRS):
            for column, level in enumerate(LEVELS):
                sides = (pick(table, network=name, lr=lr, level=level, arm=a) for a in ("lt_imp", "rr_imp"))
                a, b = (side.set_index("seed")["accuracy"] for side in sides)
                wanted[row, column] = f"{(a - b).mean():+.1f}"
        assert {place: text.get_text() for place, text in cells(axes).items() if place in wanted} == wanted
        assert {text.get_fontweight() for text in axes.texts} == {"bold"}  # the noise is small
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["lr 0.01", "lr 0.03", "lr 0.1", "prize"]
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.7", "0.34", "0.17", "0.082"]


def test_the_map_marks_what_the_interval_does_not_show(table: pd.DataFrame):
    rough = table.copy()
    cell = (rough["network"] == NETWORKS[0]) & (rough["lr"] == 0.01) & (rough["arm"] == "rr_imp")
    ticket = pick(rough, network=NETWORKS[0], lr=0.01, arm="lt_imp", level=1).set_index("seed")["accuracy"]
    where = cell & (rough["level"] == 1)
    rough.loc[where, "accuracy"] = [ticket[s] + 0.5 * (-1) ** s for s in rough.loc[where, "seed"]]
    rough.loc[cell & (rough["level"] == 3) & (rough["seed"] == 0), "accuracy"] = np.nan
    rough.loc[cell & (rough["level"] == 5), "accuracy"] = np.nan
    figure = existence.advantage_map(rough, {})
    axes = figure.axes[0]
    assert labels(figure)[-1] == "×: every run diverged"
    first, second, third = (cells(axes)[0, column] for column in range(3))
    assert (first.get_text(), first.get_fontweight()) == ("(−0.1)", "normal")
    assert re.fullmatch(r"\+1\.[456]\nn = 4", second.get_text())
    assert third.get_text() == "×"


def test_the_map_shows_the_prizes_below(table: pd.DataFrame, found: dict[str, pd.DataFrame]):
    prizes = ["jackpot", "secondary", "none", "undecided"]
    told = {NETWORKS[0]: found[NETWORKS[0]].assign(prize=prizes)}
    first, second = existence.advantage_map(table, told).axes
    assert texts(first)[-4:] == ["J", "S", "–", "?"]
    assert len(texts(second)) == len(LRS) * len(LEVELS)


def test_the_map_of_a_table_without_fresh_weights_says_so(table: pd.DataFrame):
    figure = existence.advantage_map(table[table["arm"] != "rr_imp"], {})
    assert texts(figure.axes[0]) == ["no tickets with fresh weights on the same mask"]


def test_the_board_has_a_cell_for_every_condition(found: dict[str, pd.DataFrame]):
    (axes,) = existence.prize_board(found).axes
    said = texts(axes)
    assert sum(text.startswith("①") for text in said) == 1
    for name in NETWORKS:
        assert style.named(name) in said
    (row,) = found[NETWORKS[0]].query("density == 0.7").to_dict("records")
    start = said.index("0.7")
    cells = said[start + 1 : start + 7]
    signs = {"true": "✓", "false": "✕", "undecided": "?"}
    assert [cell[0] for cell in cells[:5]] == [signs[row[f"c{number}"]] for number in range(1, 6)]
    assert cells[0] == "✕"  # density 0.7 is no non-trivial sparsity
    assert cells[2][2:].replace("−", "-") == f"{row['gap_3']:+.1f}"
    assert cells[5] == "no prize"
    assert said.count("no prize") == sum((rows["prize"] == "none").sum() for rows in found.values())


def test_the_forest_has_filled_marks_where_the_interval_excludes_zero():
    lead, shortfall = existence.factor_effects(EFFECTS).axes
    marks = [line for line in lead.lines if line.get_gid() == "mean"]
    assert [float(mark.get_xdata()[0]) for mark in marks] == [-3.0, 1.0]
    bars = [tuple(bar.get_segments()[0][:, 0]) for bar in lead.collections if bar.get_gid() == "interval"]
    assert bars == [(-4.0, -2.0), (0.5, 1.5)]
    assert {to_hex(mark.get_markerfacecolor()) for mark in marks} == {style.BLUE.lower()}
    (open_mark,) = [line for line in shortfall.lines if line.get_gid() == "mean"]
    assert to_hex(open_mark.get_markerfacecolor()) == "#ffffff"
    assert texts(lead) == [
        "learning rate",
        "ResNet-8 ×0.5: lr 0.1 − 0.01",
        "density",
        "ResNet-8 ×0.5: density 0.082 − 0.34",
    ]
    assert lead.get_xscale() == "linear"
    assert list(part(lead, "zero").get_xdata()) == [0, 0]


def test_the_forest_shows_seeds_where_it_has_them_and_makes_room_for_large_effects():
    effects = EFFECTS.assign(values=[(-3.5, -3.0, -2.5), (0.5,), (1.0, 1.0)])
    effects.loc[0, ["mean", "low"]] = [-50.0, -60.0]
    lead, _ = existence.factor_effects(effects).axes
    dots = [dots.get_offsets()[:, 0].tolist() for dots in lead.collections if dots.get_gid() == "seeds"]
    assert dots == [[-3.5, -3.0, -2.5], [1.0, 1.0]]
    assert lead.get_xscale() == "symlog"
    left, right = lead.get_xlim()
    assert left < -60 < 1.5 < right
    assert "logarithmic" in lead.get_xlabel()
    assert texts(existence.factor_effects(EFFECTS[:0]).axes[0]) == ["no contrasts in this study"]


def test_decoupled_tickets_have_a_line_a_mask_and_a_ring_where_they_are_coupled(table: pd.DataFrame):
    figure = existence.decoupling(table, NETWORKS[0])
    assert [axes.get_title("left") for axes in figure.axes] == ["masks by IMP", "masks by OMP"]
    for axes, arm in zip(figure.axes, ("lt_decoupled_imp", "lt_decoupled_omp"), strict=True):
        for source in (0.01, 0.1):
            rows = pick(table, network=NETWORKS[0], arm=arm, mask_lr=source)
            assert list(part(axes, f"mean:{source:g}").get_ydata()) == pytest.approx(
                list(rows.groupby("lr")["accuracy"].mean())
            )
            ((place, height),) = part(axes, f"coupled:{source:g}").get_offsets()
            assert place == pytest.approx(source, rel=0.15)
            assert height == pytest.approx(rows.loc[rows["lr"] == source, "accuracy"].mean())
        assert len(part(axes, "seeds:dense").get_offsets()) == len(LRS) * len(SEEDS)
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.01", "0.03", "0.1"]
    assert {"mask from lr 0.01", "mask from lr 0.1", "ticket at its mask's lr"} <= set(labels(figure))
    none = existence.decoupling(table[~table["arm"].str.contains("decoupled")], NETWORKS[0])
    assert texts(none.axes[0]) == ["no decoupled tickets of LeNet-300-100"]


def test_rewinding_draws_paired_differences(table: pd.DataFrame):
    figure = existence.rewinding(table)
    assert [axes.get_title("left") for axes in figure.axes] == [f"learning rate {lr:g}" for lr in LRS]
    rows = pick(table, network=NETWORKS[1], lr=0.1)
    a, b = (rows[rows["arm"] == arm].set_index(["density", "seed"])["accuracy"] for arm in ("lt_rewound", "lt_imp"))
    drawn = part(figure.axes[2], f"mean:{NETWORKS[1]}").get_ydata()
    assert list(drawn) == pytest.approx(list((a - b).groupby("density").mean()))
    heights = part(figure.axes[2], f"seeds:{NETWORKS[1]}").get_offsets()[:, 1]
    assert sorted(heights) == pytest.approx(sorted(a - b))
    assert labels(figure)[:2] == ["LeNet-300-100", "ResNet-8 ×0.5 without residuals"]
    assert texts(existence.rewinding(table[table["arm"] != "lt_rewound"]).axes[0]) == ["no rewound tickets"]


def test_overlap_has_the_band_of_chance(points: pd.DataFrame):
    figure = existence.overlap(points)
    assert [axes.get_title("left") for axes in figure.axes] == [style.named(name) for name in NETWORKS]
    axes = figure.axes[0]
    bands = [box for box in axes.collections if box.get_gid() == "band"]
    assert len(bands) == len(LRS)
    heights = bands[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.07, 0.13))
    for start in ("own", "fresh"):
        rows = points[(points["network"] == NETWORKS[0]) & (points["start"] == start)]
        assert len(part(axes, f"seeds:{start}").get_offsets()) == len(rows)
        means = rows.groupby("lr")["ratio"].mean()
        assert list(part(axes, f"mean:{start}").get_ydata()) == pytest.approx(list(means))
    assert axes.get_ylabel() == "overlap of the largest 10 %"


def test_differences_are_paired_by_seed_and_know_nothing_of_short_trainings(table: pd.DataFrame):
    gaps = minus(table, "lt_imp", "dense")
    assert len(gaps) == len(NETWORKS) * len(LRS) * len(LEVELS) * len(SEEDS)
    # Shared luck cancels: what is left is the effect, up to the noise.
    for level in LEVELS:
        values = gaps.loc[np.isclose(gaps["density"], 0.7**level), "value"]
        assert values.mean() == pytest.approx(EFFECT["lt_imp"] * level, abs=0.05)
    with pytest.raises(pd.errors.MergeError):
        minus(pd.concat([table, table[table["arm"] == "dense"]]), "lt_imp", "dense")


def test_the_explorers_plot_takes_every_choice(table: pd.DataFrame):
    lines = existence.explore_plot(table, NETWORKS[0], 0.1, ("lt_imp", "sdt"), "test accuracy minus dense").axes[0]
    assert gids(lines) >= {"zero", "mean:lt_imp", "mean:sdt"}
    gaps = minus(table, "sdt", "dense")
    wanted = gaps[(gaps["network"] == NETWORKS[0]) & (gaps["lr"] == 0.1)].groupby("density")["value"].mean()
    assert list(part(lines, "mean:sdt").get_ydata()) == pytest.approx(list(wanted))
    losses = existence.explore_plot(table, NETWORKS[0], "all", ("lt_imp",), "training loss")
    assert [axes.get_title("left") for axes in losses.axes] == [f"learning rate {lr:g}" for lr in LRS]
    assert losses.axes[0].get_ylabel() == "training loss"
    nothing = existence.explore_plot(table, NETWORKS[0], 0.5, ("lt_imp",))
    assert texts(nothing.axes[0]) == ["LeNet-300-100: no such runs at learning rate 0.5"]
    alone = existence.explore_plot(table, NETWORKS[0], 0.1, ("rr_imp",), "test accuracy minus fresh weights")
    assert texts(alone.axes[0])[0].startswith("LeNet-300-100: no such runs")
    unmeasured = existence.explore_plot(
        table.assign(validation=np.nan), NETWORKS[0], 0.1, statistic="validation accuracy"
    )
    assert texts(unmeasured.axes[0])[0].startswith("LeNet-300-100: no such runs")
    with pytest.raises(UserError, match="no statistic 'test acuracy'"):
        existence.explore_plot(table, NETWORKS[0], 0.1, statistic="test acuracy")


@pytest.mark.parametrize("seeds", [5, 1])
def test_all_texts_are_legible_and_nothing_leaves_the_figure(
    table: pd.DataFrame, found: dict[str, pd.DataFrame], points: pd.DataFrame, seeds: int
):
    few = table[table["seed"] < seeds]
    states = found if seeds > 1 else {name: conditions_of(few, name) for name in NETWORKS}
    for figure in every_figure(few, states, points[points["seed"] < seeds]):
        assert_legible(figure, str(figure.get_suptitle()), 9)
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert all(not box.overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_one_seed_is_drawn_without_an_interval(table: pd.DataFrame):
    figure = existence.accuracy_curves(table[table["seed"] == 3], NETWORKS[0], lr=0.1)
    (axes,) = figure.axes
    assert labels(figure)[-1] == "one seed"
    assert "mean:lt_imp" in gids(axes)
    assert not any(gid.startswith(("interval:", "band:")) for gid in gids(axes))
    cell = existence.advantage_map(table[table["seed"] == 3], {}).axes[0].texts[0]
    assert cell.get_text().startswith("(")


def test_a_figure_shows_itself_sharp_and_once(table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch):
    import IPython.display
    from matplotlib import pyplot

    shown: list[tuple[Any, Any]] = []
    monkeypatch.setattr(IPython.display, "display", lambda data, raw, metadata: shown.append((data, metadata)))
    figure = existence.accuracy_curves(table, NETWORKS[0], lr=0.1)
    assert pyplot.get_fignums() == []
    figure._ipython_display_()
    figure.alt = "Tickets over density"
    figure._ipython_display_()
    (data, about), (_, described) = shown
    size = int.from_bytes(data["image/png"][16:20], "big")
    assert about == {"image/png": {"width": size // 2}}
    assert described["image/png"]["alt"] == "Tickets over density"


def test_a_picture_keeps_its_white_ground_and_its_colours():
    figure, (axes,) = panels(1)
    looks = [style.nth(number, "") for number in range(len(style.CYCLE))]
    for number, look in enumerate(looks):
        axes.axhspan(number, number + 1, color=look.color)
    axes.imshow(np.linspace(0, 1, 200).reshape(10, 20), extent=(0, 1, 8, 10), cmap="viridis", aspect="auto")
    axes.set_ylim(0, 10)
    with Image.open(io.BytesIO(figure.png())) as file:
        pixels = np.asarray(file.convert("RGB")).reshape(-1, 3).astype(int)
    assert (pixels[[0, -1]] == 255).all()
    for wanted in [mpl.colors.to_rgb(look.color) for look in looks] + [mpl.colormaps["viridis"](0.5)[:3]]:
        assert np.abs(pixels - 255 * np.array(wanted)).max(axis=1).min() < 12


def test_figures_have_their_look_whatever_the_session_has(table: pd.DataFrame):
    with mpl.rc_context({"font.size": 30, "axes.grid": False}):
        figure = existence.accuracy_curves(table, NETWORKS[0], lr=0.1)
        assert mpl.rcParams["font.size"] == 30
    assert figure.axes[0].yaxis.label.get_fontsize() == 12
    with mpl.rc_context():
        style.use()
        assert mpl.rcParams["font.size"] == 12
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"][0] == style.BLUE


def test_arms_differ_by_more_than_colour():
    drawn = [style.arm(name) for name in ("dense", "lt_imp", "rr_imp", "lt_omp", "rr_omp", "sdt", "lt_shuffled")]
    assert len({look.color for look in drawn}) == len(drawn)
    assert len({(look.marker, look.line, look.color == style.BLACK) for look in drawn}) == len(drawn)
    assert len({look.label for look in style.ARMS.values()}) == len(style.ARMS)
    assert style.arm("novel").label == "novel"


def test_verdicts_have_the_colours_of_the_page():
    css = (Path(ltkit.__file__).parent / "show" / "template" / "page.css").read_text()
    light = css[: css.index("@media")]
    for name, word in style.VERDICTS.items():
        assert f"--{name}: {word.ink};" in light
        assert f"--{name}-tint: {word.tint};" in light


def test_networks_have_their_names():
    names = {
        "lenet_300_100": "LeNet-300-100",
        "resnet8*0.5": "ResNet-8 ×0.5",
        "resnet20-plain": "ResNet-20 without residuals",
        "vgg16": "VGG-16",
        "mobilenet_v1*2": "MobileNet-v1 ×2",
        "conv4*0.25+bn": "Conv-4 ×0.25 with BatchNorm",
        "no signal in vgg16+nobn, 2 of 5": "no signal in VGG-16 without BatchNorm, 2 of 5",
        "lenet_300_100 - lenet_300_100*0.1 at lr 0.01": "LeNet-300-100 − LeNet-300-100 ×0.1 at lr 0.01",
        "digits, lr 0.1; density 0.13": "digits, lr 0.1; density 0.13",
    }
    assert {text: style.named(text) for text in names} == names


def verdict(**changed: Any) -> Verdict:
    told = estimate([1.0, 1.2, 1.4])
    given: dict[str, Any] = {"claim": "A1b", "paper": "existence", "scale": "quick", "verdict": "supported"}
    given |= {"effect": told.mean, "low": told.low, "high": told.high, "margin": 0.5, "n": 3, "unit": "accuracy points"}
    given |= {"setting": "resnet8*0.5, digits", "published": 5.1, "runs": ["a"], "reason": None}
    return Verdict(**{**given, **changed})


def test_a_verdict_as_texts():
    nan = float("nan")
    bare = verdict(
        claim="A14", verdict="untested", effect=nan, low=nan, high=nan, n=0, published=None, reason="no data"
    )
    frame = existence.verdict_frame([verdict(), bare.as_json()], EXISTENCE)
    first, second = frame.to_dict("records")
    assert first["sentence"].startswith("At η = 0.1, ResNet-20's iterative tickets stay below")
    del first["sentence"]
    assert first == {
        **{"claim": "A1b", "verdict": "supported", "effect": "+1.20", "interval": "+0.70 to +1.70", "n": "3"},
        **{"unit": "accuracy points", "margin": "0.5", "published": "5.1 (derived)", "reason": ""},
        "setting": "ResNet-8 ×0.5, digits",
    }
    assert (second["effect"], second["interval"], second["n"], second["published"]) == ("", "", "", "")
    assert second["reason"] == "no data"
    (twice,) = existence.verdict_frame([verdict(margin=math.log10(2))], EXISTENCE)["margin"]
    assert twice == "0.301"
    assert existence.verdict_frame([], EXISTENCE).empty


def test_verdicts_as_html_have_word_sign_and_colour_and_are_escaped():
    from bs4 import BeautifulSoup

    words = ("supported", "refuted", "undecided", "untested")
    rows = [verdict(verdict=word, reason="<script>alert(1)</script> a_b") for word in words]
    html = existence.show_verdicts(existence.verdict_frame(rows, EXISTENCE)).data
    assert "<script" not in html
    soup = BeautifulSoup(html, "html.parser")
    badges = soup.select("span.badge")
    assert [badge.get_text() for badge in badges] == ["✓ supported", "✕ refuted", "? undecided", "– untested"]
    for badge, word in zip(badges, words, strict=True):
        assert badge["class"] == ["badge", word]
        assert style.VERDICTS[word].ink in badge["style"]
        assert style.VERDICTS[word].tint in badge["style"]
    assert "+1.20 (+0.70 to +1.70)" in soup.select_one("td.effect").get_text()
    assert "<script>alert(1)</script> a_b" in soup.select_one("td.sentence").get_text()
    assert len(soup.select("thead th")) == len(soup.select_one("tbody tr").find_all(["th", "td"]))
    assert not soup.select("style, link, script")


def test_figures_and_explorers_come_without_torch():
    assert_comes_without_torch("ltkit.show.existence", "ltkit.show.explore")


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda axes: axes.text(0.5, 0.5, "small", fontsize=9), assert_legible),
        (lambda axes: axes.figure.text(0.95, 0.5, "a text that leaves the figure"), assert_legible),
        (lambda axes: [axes.text(at, 0.5, "over one another") for at in (0.1, 0.2)], assert_texts_apart),
        (lambda axes: axes.legend(axes.plot([0, 1]), ["over the lines"], loc="center"), assert_legends_apart),
    ],
)
def test_what_tests_of_figures_would_see(spoil: Any, check: Any):
    """The checks pass on a plain panel and fail on one that was spoilt."""
    for wrong in (False, True):
        figure, (axes,) = panels(1)
        axes.set(xlabel="x", ylabel="y")
        if wrong:
            spoil(axes)
        figure.draw_without_rendering()
        with pytest.raises(AssertionError) if wrong else nullcontext():
            check(figure, "panel")


def test_pages_show_tables_in_the_words_of_the_figures():
    rows = pd.DataFrame(
        {
            "network": ["lenet_300_100", "resnet8*0.5-plain"],
            "arm": ["rr_imp", "unheard_of"],
            "control": ["lenet_5: ticket - dense", ""],
            "layer": ["conv1.weight", None],
            "method": ["snip", 3],
            "dense_ticket": [1.23456, math.nan],
            "n_seeds": [5, 4],
        }
    )
    before = rows.copy()
    page = shown(rows, 3, {"snip": "SNIP", "dense_ticket": "masked dense – ticket"}).to_html()
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", page)
    assert cells == [
        *("network", "arm", "control", "layer", "method", "masked dense – ticket", "n seeds"),
        *("LeNet-300-100", style.arm("rr_imp").label, "LeNet-5: ticket − dense", "conv1.weight", "SNIP", "1.235", "5"),
        *("ResNet-8 ×0.5 without residuals", "unheard_of", "", "–", "3", "–", "4"),
    ]
    pd.testing.assert_frame_equal(rows, before)
    assert shown(rows[:0]).to_html()
