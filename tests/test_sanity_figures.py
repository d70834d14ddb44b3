"""Figures of the sanity checks say what their tables say, read back from what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import IPython.display
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from reading import (
    assert_comes_without_torch,
    assert_legible,
    assert_texts_apart,
    entries,
    gids,
    legends,
    part,
    texts,
    titles,
)

from ltkit.errors import UserError
from ltkit.show import sanity_checks as show
from ltkit.show.explore import explorer
from ltkit.show.panels import Picture
from ltkit.show.sanity_checks_curves import CHECKS, KINDS, LOOKS
from ltkit.show.style import named
from ltkit.studies import sanity_checks_params as asked
from ltkit.verdict import estimate, t_interval

mpl.use("Agg")

NETWORKS, SEEDS, EXTREME = ("lenet_300_100", "vgg11*0.25"), range(5), 0.005
LOSSES = {  # accuracy points that a check costs methods which look at the data; what is not named costs nothing
    **{"corrupted": 0.1, "labels": 0.05, "pixels": 0.0, "rearranged": 0.2, "reinit": -0.9},
    **{"inverted": 24.0, "weights": 1.4, "halved": 0.35, "shortened": 0.8},
}
SMALL = ("snip", "grasp", "lt", "smart", "random", "weight_rewinding", "lr_rewinding", "hybrid")
TRAINED = ("lt", "imp", "weight_rewinding", "lr_rewinding", "hybrid", "hybrid_uniform", "hybrid_erk")


@dataclass(frozen=True)
class Study:
    """The tables of one synthetic study."""

    table: pd.DataFrame
    matrix: pd.DataFrame
    layers: pd.DataFrame

    def seeds(self, count: int) -> Study:
        """The same study with fewer seeds."""
        table, layers = (rows[rows["seed"] < count] for rows in (self.table, self.layers))
        return Study(table, matrix_of(table), layers)


@cache
def study(every: bool = False) -> Study:
    """Accuracy = the method's, less for low densities, the seed's luck, what the check costs, and a little noise."""
    random = np.random.default_rng(5)
    methods = tuple(LOOKS) if every else SMALL
    densities = (0.1, 0.05, 0.02) if every else (0.1, 0.02)
    checks = tuple(CHECKS) if every else ("corrupted", "rearranged", "reinit", "weights", "halved")
    runs: list[dict[str, Any]] = []
    layers: list[dict[str, Any]] = []

    def add(network: str, seed: int, method: str, check: str, density: float, accuracy: float) -> None:
        labels = {"network": network, "seed": seed, "method": method, "check": check, "density": density}
        name = f"run-{len(runs):012x}"
        about = {"validation": accuracy + 0.1, "train_loss": 0.2, "outcome": "finished", "run": name}
        runs.append({**labels, "accuracy": accuracy, **about})
        sizes = [1728, 18432, 73728, 147456, 294912, 147456, 5120]
        slope = 0.35 if method in KINDS["random tickets"] else 0.6
        for number, size in enumerate(sizes, start=1):
            share = min(1.0, 3 * density * np.exp(-slope * (number - 1)) * np.exp(0.1 * random.standard_normal()))
            kept = round(size * (1.0 if method == "dense" else share))
            if method in ("snip", "ascending") and density <= 0.02 and number == 6:
                kept = max(0, seed - 3 if check == "none" else 4 * seed)
            layers.append({**labels, "layer": f"l{number}", "number": number, "kept": kept, "size": size, "run": name})

    for network in NETWORKS[1:] if every else NETWORKS:
        for one in SEEDS[:3] if every else SEEDS:
            luck = 0.3 * random.standard_normal()
            add(network, one, "dense", "none", 1.0, 92.0 + luck)
            for number, method in enumerate(methods):
                for density in (*densities, *([EXTREME] if method in ("smart", "imp", "lr_rewinding") else [])):
                    base = 91.5 - 0.1 * number + 2.2 * np.log10(density) + luck
                    looks = method in KINDS["partially trained and hybrid"]
                    add(network, one, method, "none", density, base + 0.15 * random.standard_normal())
                    for check in checks if density != EXTREME else ():
                        if check in ("halved", "shortened") and method not in TRAINED:
                            continue
                        if check == "inverted" and method in KINDS["random tickets"]:
                            continue
                        cost = LOSSES[check] * (1.5 if looks or check == "inverted" else 0.2)
                        add(network, one, method, check, density, base - cost + 0.15 * random.standard_normal())
    table = pd.DataFrame(runs)
    return Study(table, matrix_of(table), pd.DataFrame(layers))


def matrix_of(table: pd.DataFrame) -> pd.DataFrame:
    """Original minus check by seed, with an interval, a margin and a word, as the study's claims have them."""
    rows = []
    runs = table.set_index(["network", "density", "method", "check", "seed"]).sort_index()["accuracy"]
    for key in table[table["check"] != "none"].groupby(["network", "density", "method", "check"]).groups:
        network, density, method, check = key
        values = (runs[network, density, method, "none"] - runs[key]).dropna()
        told, margin = estimate(values), 0.3 if density > 0.02 else 0.6
        word = "passes" if told.low > margin else "better" if told.high < -margin else "undecided"
        word = "fails" if told.low >= -margin and told.high <= margin else word
        labels = {"network": network, "density": density, "method": method, "check": check, "effect": told.mean}
        found = {"low": told.low, "high": told.high, "n": told.n, "margin": margin, "word": word}
        rows.append({**labels, **found, "values": tuple(values)})
    return pd.DataFrame(rows)


def every_figure(found: Study, density: float = 0.02) -> Iterator[tuple[str, Picture]]:
    table, matrix, layers = found.table, found.matrix, found.layers
    network = NETWORKS[1]
    yield "matrix", show.check_matrix(matrix, network, density)
    yield "differences", show.check_differences(matrix, network)
    yield "accuracy", show.accuracy_by_kind(table, network)
    yield "profiles", show.layer_profiles(layers, network, density)
    yield "collapse", show.collapse_scatter(layers, table, network)
    yield "explore", show.explore_plot(matrix, network, "weights", "all")


@pytest.fixture(scope="module")
def found() -> Study:
    return study()


def pick(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    for column, value in where.items():
        table = table[np.isclose(table[column], value) if column == "density" else table[column] == value]
    return table


def test_names_are_those_of_the_study():
    """They are written down twice since the study loads torch and figures don't."""
    assert list(LOOKS) == list(asked.METHODS)
    assert tuple(CHECKS) == asked.CHECKS
    kinds = {"initial tickets": {"initial"}, "random tickets": {"random"}}
    kinds["partially trained and hybrid"] = {"partial", "hybrid"}
    for kind, methods in KINDS.items():
        assert {asked.METHODS[name] for name in methods} == kinds[kind]
        assert len({(LOOKS[name].color, LOOKS[name].line) for name in methods}) == len(methods)
        assert len({(LOOKS[name].color, LOOKS[name].marker) for name in methods}) == len(methods)
    assert len({look.label for look in LOOKS.values()}) == len(LOOKS)


def test_the_matrix_says_mean_interval_and_word(found: Study):
    (axes,) = show.check_matrix(found.matrix, NETWORKS[0], 0.1).axes
    rows = pick(found.matrix, network=NETWORKS[0], density=0.1)
    signs = {"passes": "✓", "fails": "✕", "better": "↑", "undecided": "?"}
    for told in rows.to_dict("records"):
        place = f"{told['method']}:{told['check']}"
        sign, mean = part(axes, f"cell:{place}").get_text().replace("−", "-").split(" ")
        assert sign == signs[told["word"]]
        assert float(mean) == pytest.approx(told["effect"], abs=0.0501)
        low, high = part(axes, f"interval:{place}").get_text().replace("−", "-").split(" to ")
        assert (float(low), float(high)) == pytest.approx((told["low"], told["high"]), abs=0.0501)
        assert to_hex(part(axes, f"tint:{place}").get_facecolor()) == show.SIGNS[told["word"]].tint
    assert set(rows["word"]) == set(signs)
    assert len({word.tint for word in show.SIGNS.values()}) == len({word.sign for word in show.SIGNS.values()}) == 4


def test_what_does_not_apply_is_a_dash_in_its_cell(found: Study):
    (axes,) = show.check_matrix(found.matrix, NETWORKS[0], 0.1).axes
    assert part(axes, "cell:snip:halved").get_text() == "–"
    assert not {"tint:snip:halved", "interval:snip:halved"} & gids(axes)
    columns = [gid.split(":")[1] for gid in gids(axes) if gid.startswith("check:")]
    lefts = {check: part(axes, f"check:{check}").get_position()[0] for check in columns}
    assert sorted(lefts, key=lefts.__getitem__) == ["corrupted", "rearranged", "reinit", "weights", "halved"]
    tops = {name: part(axes, f"method:{name}").get_position()[1] for name in SMALL}
    assert sorted(tops, key=tops.__getitem__) == [name for name in asked.METHODS if name in SMALL]
    for check in columns:  # a cell stands below its check and beside its method
        x, y = part(axes, f"cell:lt:{check}").get_position()
        assert x == pytest.approx(lefts[check])
        assert abs(y - tops["lt"]) < 0.2


def test_the_matrix_explains_its_words_and_names_the_margin(found: Study):
    for density, margin in ((0.1, "0.3"), (0.02, "0.6")):
        figure = show.check_matrix(found.matrix, NETWORKS[0], density)
        assert f"loses more than {margin}," in part(figure.axes[0], "note").get_text()
        assert figure.get_suptitle() == f"LeNet-300-100, density {density}"
    said = [label.split() for label in entries(figure.legends[0])]
    assert [(sign, word.rstrip(":")) for sign, word, *_ in said[:4]] == [
        ("✓", "passes"),
        ("✕", "fails"),
        ("↑", "better"),
        ("?", "undecided"),
    ]
    assert said[4][0] == "–"


def test_the_matrix_says_where_seeds_are_missing(found: Study):
    lost = found.table.copy()
    where = (lost["method"] == "snip") & (lost["check"] == "reinit") & (lost["seed"] == 0)
    lost.loc[where, ["accuracy", "outcome"]] = [np.nan, "diverged"]
    (axes,) = show.check_matrix(matrix_of(lost), NETWORKS[0], 0.1).axes
    assert part(axes, "interval:snip:reinit").get_text().endswith("\nn = 4")
    assert "n =" not in part(axes, "interval:snip:corrupted").get_text()
    (axes,) = show.check_matrix(found.seeds(1).matrix, NETWORKS[0], 0.1).axes
    assert part(axes, "cell:snip:reinit").get_text().startswith("? ")
    assert not any(gid.startswith("interval:") for gid in gids(axes))


def test_differences_show_means_intervals_and_every_seed(found: Study):
    figure = show.check_differences(found.matrix, NETWORKS[0])
    assert titles(figure) == ["corrupted data", "mask rearranged", "fresh weights", "weights shuffled", "half the data"]
    axes = figure.axes[3]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == [LOOKS[name].label for name in asked.METHODS if name in SMALL]
    for density in (0.1, 0.02):
        rows = pick(found.matrix, network=NETWORKS[0], check="weights", density=density).set_index("method")
        rows = rows.loc[[name for name in asked.METHODS if name in SMALL]]
        heights = np.arange(len(rows)) + (-0.2 if density == 0.1 else 0.2)
        mean = part(axes, f"mean:{density}")
        at = {y: x for x, y in zip(*mean.get_data(), strict=True)}
        assert sorted(at) == pytest.approx(list(heights))
        assert [at[y] for y in sorted(at)] == pytest.approx(list(rows["effect"]))
        bars = {bar[0, 1]: tuple(bar[:, 0]) for bar in part(axes, f"interval:{density}").get_segments()}
        wanted = rows[["low", "high"]].to_numpy()
        assert np.array([bars[y] for y in sorted(bars)]) == pytest.approx(wanted)
        dots = part(axes, f"seeds:{density}").get_offsets()
        for height, values in zip(heights, rows["values"], strict=True):
            near = dots[np.abs(dots[:, 1] - height) < 0.25]
            assert sorted(near[:, 0]) == pytest.approx(sorted(values))
    assert list(part(axes, "zero").get_xdata()) == [0, 0]


def test_margins_are_bands_and_a_density_is_more_than_a_colour(found: Study):
    figure = show.check_differences(found.matrix, NETWORKS[0])
    for axes in figure.axes:
        for margin in (0.3, 0.6):
            band = part(axes, f"margin:{margin}")
            assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((-margin, margin))
    wide, narrow = (part(figure.axes[0], f"mean:{density}") for density in (0.1, 0.02))
    assert wide.get_marker() != narrow.get_marker()
    assert wide.get_color() != narrow.get_color()
    assert entries(figure.legends[0]) == [
        *("density 0.1", "density 0.02", "margin ±0.3 (density 0.1)", "margin ±0.6 (density 0.02)"),
        *("one seed", "95 % interval"),
    ]
    alone = show.check_differences(pick(found.matrix, density=0.1), NETWORKS[0])
    assert entries(alone.legends[0])[:2] == ["density 0.1", "margin ±0.3"]


def test_a_row_of_panels_has_the_methods_of_its_checks_only(found: Study):
    only = found.matrix[found.matrix["check"].isin(("corrupted", "labels", "rearranged", "reinit", "halved"))]
    every = show.check_differences(only, NETWORKS[0]).axes
    assert len(every[0].get_yticks()) == len(SMALL)
    halved = [tick.get_text() for tick in every[3].get_yticklabels()]
    assert halved == [LOOKS[name].label for name in ("lt", "weight_rewinding", "lr_rewinding", "hybrid")]


def test_large_losses_do_not_hide_the_small_ones():
    matrix = study(every=True).matrix
    inverted, weights = show.check_differences(matrix[matrix["check"].isin(("inverted", "weights"))], NETWORKS[1]).axes
    assert inverted.get_title("left") == "scores inverted"
    assert inverted.get_xscale() == "symlog"
    assert "logarithmic" in inverted.get_xlabel()
    assert weights.get_xscale() == "linear"


def test_accuracy_has_a_panel_a_kind_and_the_dense_line_in_each(found: Study):
    figure = show.accuracy_by_kind(found.table, NETWORKS[1])
    assert titles(figure) == ["initial tickets", "random tickets", "partially trained and hybrid"]
    shown = [["snip", "grasp", "lt"], ["random", "smart"], ["weight_rewinding", "lr_rewinding", "hybrid"]]
    whole = pick(found.table, network=NETWORKS[1], method="dense")["accuracy"]
    for axes, methods in zip(figure.axes, shown, strict=True):
        assert entries(axes.get_legend()) == [LOOKS[name].label for name in methods]
        assert part(axes, "line:dense").get_ydata() == pytest.approx([whole.mean()] * 2)
        band = part(axes, "band:dense")
        assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx(t_interval(whole))
        for name in methods:
            rows = pick(found.table, network=NETWORKS[1], method=name, check="none")
            groups = rows.groupby("density", sort=True)["accuracy"]
            assert list(part(axes, f"mean:{name}").get_ydata()) == pytest.approx(list(groups.mean()))
            bars = [tuple(bar[:, 1]) for bar in part(axes, f"interval:{name}").get_segments()]
            assert bars == [pytest.approx(t_interval(values)) for _, values in groups]
            assert len(part(axes, f"seeds:{name}").get_offsets()) == len(rows)
        left, right = axes.get_xlim()
        assert left > 1 > EXTREME > right
    assert entries(figure.legends[0]) == ["dense network", "one seed", "95 % interval"]
    initial = found.table[found.table["method"].isin(("dense", "snip"))]
    assert titles(show.accuracy_by_kind(initial, NETWORKS[1])) == ["initial tickets"]


def test_diverged_runs_are_crosses_and_missing_ones_are_not_drawn(found: Study):
    lost = found.table.copy()
    where = (lost["method"] == "snip") & (lost["check"] == "none") & (lost["seed"] < 2)
    lost.loc[where, ["accuracy", "outcome"]] = [np.nan, "diverged"]
    lost.loc[lost["method"] == "hybrid", ["accuracy", "outcome"]] = [np.nan, "missing"]
    figure = show.accuracy_by_kind(lost, NETWORKS[1])
    assert len(part(figure.axes[0], "lost:snip").get_offsets()) == 2  # densities
    assert "diverged, left out" in entries(figure.legends[0])
    assert "hybrid (smart)" not in entries(figure.axes[2].get_legend())
    dots = show.collapse_scatter(found.layers, lost, NETWORKS[1])
    snip = dots.axes[titles(dots).index("SNIP")]
    assert len(part(snip, "lost:none").get_offsets()) == 2
    assert len(part(snip, "runs:none").get_offsets()) == len(SEEDS) - 2
    assert "hybrid (smart)" not in titles(dots)
    assert "diverged, left out" in entries(dots.legends[0])


def test_profiles_are_densities_by_layer(found: Study):
    figure = show.layer_profiles(found.layers, NETWORKS[1], 0.02)
    assert titles(figure) == ["initial tickets", "random tickets", "partially trained and hybrid"]
    rows = pick(found.layers, network=NETWORKS[1], density=0.02, method="smart", check="none")
    shares = (rows["kept"] / rows["size"]).groupby(rows["number"])
    axes = figure.axes[1]
    assert list(part(axes, "mean:smart").get_xdata()) == list(range(1, 8))
    assert list(part(axes, "mean:smart").get_ydata()) == pytest.approx(list(shares.mean()))
    edges = part(axes, "range:smart").get_paths()[0].vertices
    assert edges[edges[:, 0] == 4][:, 1].min() == pytest.approx(shares.min()[4])
    assert edges[edges[:, 0] == 4][:, 1].max() == pytest.approx(shares.max()[4])
    assert axes.get_yscale() == "log"
    assert list(part(axes, "line:density").get_ydata()) == [0.02, 0.02]
    assert not {"mean:dense", "empty:smart"} & gids(axes)


def test_an_empty_layer_is_a_cross_at_the_lower_edge(found: Study):
    figure = show.layer_profiles(found.layers, NETWORKS[1], 0.02)
    axes = figure.axes[0]
    cross = part(axes, "empty:snip")
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([6], [0.0])
    assert cross.get_marker() == "x"
    assert cross.get_transform() == axes.get_xaxis_transform()
    bottom, _ = axes.get_ylim()
    assert part(axes, "mean:snip").get_ydata()[5] > bottom  # one seed keeps a weight there
    assert "empty:lt" not in gids(axes)
    assert "keeps nothing" in entries(figure.legends[0])
    gone = found.layers.copy()
    gone.loc[(gone["method"] == "snip") & (gone["number"] == 6), "kept"] = 0
    assert np.isnan(part(show.layer_profiles(gone, NETWORKS[1], 0.02).axes[0], "mean:snip").get_ydata()[5])
    full = show.layer_profiles(found.layers, NETWORKS[1], 0.1)
    assert "keeps nothing" not in entries(full.legends[0])


def test_collapse_is_accuracy_over_the_emptiest_layer(found: Study):
    figure = show.collapse_scatter(found.layers, found.table, NETWORKS[1])
    assert titles(figure) == [LOOKS[name].label for name in asked.METHODS if name in SMALL]
    assert figure.get_suptitle() == "VGG-11 ×0.25, density 0.02"  # not 0.005, where there are no checks
    axes = figure.axes[0]
    for check in ("none", "rearranged", "corrupted"):
        where = {"network": NETWORKS[1], "density": 0.02, "method": "snip", "check": check}
        kept = pick(found.layers, **where).groupby("seed")["kept"].min()
        accuracy = pick(found.table, **where).set_index("seed")["accuracy"]
        wanted = sorted((1.0 + kept[seed], accuracy[seed]) for seed in SEEDS)
        dots = sorted(map(tuple, part(axes, f"runs:{check}").get_offsets().tolist()))
        assert np.array(dots) == pytest.approx(np.array(wanted))
    assert len(part(axes, "runs:others").get_offsets()) == 3 * len(SEEDS) * (len(SMALL) - 1)
    markers = {tuple(part(axes, f"runs:{c}").get_paths()[0].vertices.ravel()) for c in ("none", "rearranged")}
    assert len(markers) == 2
    ticks = dict(zip(axes.get_xticks(), [tick.get_text() for tick in axes.get_xticklabels()], strict=True))
    assert (ticks[1], ticks[2], ticks[11]) == ("0", "1", "10")
    assert entries(figure.legends[0]) == ["original", "mask rearranged", "corrupted data", "other methods"]


def test_the_explorers_plot_takes_every_choice(found: Study, monkeypatch: pytest.MonkeyPatch):
    choices = show.explore_choices(found.matrix)
    assert choices["network"] == {named(name): name for name in NETWORKS}
    assert choices["check"]["mask rearranged"] == "rearranged"
    assert "half the epochs" not in choices["check"]
    assert choices["density"] == {"all": "all", "0.1": 0.1, "0.02": 0.02}
    displayed: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda *given, **_: displayed.extend(given))
    monkeypatch.delenv("LTKIT_HEADLESS", raising=False)
    network, check, density = explorer(show.explore_plot, found.matrix, **choices).children[0].children
    assert titles(displayed[-1]) == ["corrupted data"]
    network.value, check.value, density.value = NETWORKS[1], "halved", 0.02
    figure = displayed[-1]
    assert titles(figure) == ["half the data"]
    assert figure.get_suptitle().startswith("VGG-11 ×0.25")
    assert figure.alt == "Figure for network VGG-11 ×0.25, check half the data, density 0.02"
    assert {"mean:0.02"} == {gid for gid in gids(figure.axes[0]) if gid.startswith("mean:")}
    both = show.explore_plot(found.matrix, NETWORKS[1], "halved")  # a density keeps its look
    looks = [part(one.axes[0], "mean:0.02") for one in (figure, both)]
    assert len({(look.get_color(), look.get_marker()) for look in looks}) == 1
    with pytest.raises(UserError, match="no check 'rearranging' \\(did you mean 'rearranged'\\?\\)"):
        show.explore_plot(found.matrix, NETWORKS[0], "rearranging")


def test_what_a_table_lacks_is_said(found: Study):
    nothing = found.matrix[:0]
    name = NETWORKS[0]
    said = {
        show.check_matrix(found.matrix, name, 0.3): "no checks of LeNet-300-100 at density 0.3",
        show.check_matrix(nothing, name, 0.1): "no checks of LeNet-300-100 at density 0.1",
        show.check_differences(nothing, name): "no checks of LeNet-300-100",
        show.accuracy_by_kind(pick(found.table, method="dense"), name): "no pruned runs of LeNet-300-100",
        show.accuracy_by_kind(pd.DataFrame(), name): "no pruned runs of LeNet-300-100",
        show.layer_profiles(found.layers, name, 0.3): "no masks of LeNet-300-100 at density 0.3",
        show.layer_profiles(pd.DataFrame(), name, 0.3): "no masks of LeNet-300-100 at density 0.3",
        show.explore_plot(
            found.matrix, name, "shortened", 0.1
        ): "LeNet-300-100: no check 'half the epochs' at density 0.1",
        show.explore_plot(nothing, name, "shortened"): "LeNet-300-100: no check 'half the epochs'",
    }
    empty = "no masks of LeNet-300-100 with their accuracies"
    said[show.collapse_scatter(pd.DataFrame(), found.table, name)] = empty
    said[show.collapse_scatter(found.layers, pick(found.table, method="dense"), name)] = empty
    for figure, text in said.items():
        assert texts(figure) == [text]
    bare = show.accuracy_by_kind(found.table[found.table["method"] != "dense"], name)
    assert "line:dense" not in gids(bare.axes[0])


def test_an_unknown_network_is_the_users_mistake(found: Study):
    says = r"no network 'lenet_300_10' in the table \(did you mean 'lenet_300_100'\?\)"
    for draw in (
        lambda name: show.check_matrix(found.matrix, name, 0.1),
        lambda name: show.check_differences(found.matrix, name),
        lambda name: show.accuracy_by_kind(found.table, name),
        lambda name: show.layer_profiles(found.layers, name, 0.1),
        lambda name: show.collapse_scatter(found.layers, found.table, name),
        lambda name: show.explore_plot(found.matrix, name, "corrupted"),
    ):
        with pytest.raises(UserError, match=says):
            draw("lenet_300_10")


def collapsed() -> Study:
    """Accuracies from chance to the top, effects of tens of points, so all numbers are wide."""
    found = study()
    table = found.table.copy()
    table.loc[(table["method"] == "snip") & (table["seed"] < 2), "accuracy"] -= 77
    table.loc[(table["method"] == "hybrid") & (table["check"] == "weights"), "accuracy"] -= 50
    table.loc[(table["method"] == "lt") & (table["check"] == "reinit") & (table["seed"] < 3), "accuracy"] = 10
    lost = (table["method"] == "grasp") & (table["seed"] == 1)
    table.loc[lost, ["accuracy", "outcome"]] = [np.nan, "diverged"]
    return Study(table, matrix_of(table), found.layers)


def small() -> Study:
    """One check of two methods."""
    found = study()
    table = found.table[found.table["method"].isin(("dense", "snip", "smart"))]
    table = table[table["check"].isin(("none", "rearranged"))]
    return Study(table, matrix_of(table), found.layers[found.layers["run"].isin(table["run"])])


@pytest.mark.parametrize("case", ["one seed", "everything", "collapsed", "small"])
def test_all_texts_are_legible_and_nothing_leaves_the_figure(case: str):
    made = {"everything": lambda: study(every=True), "one seed": lambda: small().seeds(1)}
    made |= {"collapsed": collapsed, "small": small}
    for name, figure in every_figure(made[case]()):
        assert_legible(figure, name, 9)
        if name == "matrix":
            assert_cells_hold_their_texts(figure.axes[0])
        assert_texts_apart(figure, name)
        for legend in legends(figure):
            box = legend.get_window_extent()
            assert all(not box.overlaps(axes.get_window_extent()) for axes in figure.axes), name
            assert all(legend is other or not box.overlaps(other.get_window_extent()) for other in figure.legends), name
            assert not any(box.overlaps(axes.xaxis.label.get_window_extent()) for axes in figure.axes if axes.axison)


def assert_cells_hold_their_texts(axes: Any) -> None:
    boxes = {child.get_gid()[5:]: child for child in axes.patches if (child.get_gid() or "").startswith("tint:")}
    assert boxes
    for place, box in boxes.items():
        around = box.get_window_extent()
        for gid in {f"cell:{place}", f"interval:{place}"} & gids(axes):
            inside = part(axes, gid).get_window_extent()
            assert around.x0 <= inside.x0 <= inside.x1 <= around.x1, gid
            assert around.y0 <= inside.y0 <= inside.y1 <= around.y1, gid


def test_figures_come_without_torch():
    assert_comes_without_torch("ltkit.show.sanity_checks")
