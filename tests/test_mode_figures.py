"""Figures of the mode-connectivity study say what their tables say, read back from what is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import IPython.display
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from reading import assert_comes_without_torch, assert_legible, gids, part, texts, titles

from ltkit.analyze.barrier import barrier, chord_excess
from ltkit.analyze.distance import mds, null_angle, square
from ltkit.errors import UserError
from ltkit.show import mode_connectivity as show
from ltkit.show.explore import explorer
from ltkit.show.mode_connectivity_maps import scaled
from ltkit.show.mode_connectivity_parts import KINDS, WORDS, words_of
from ltkit.show.panels import Picture
from ltkit.studies import mode_connectivity_params as asked
from ltkit.verdict import t_interval

mpl.use("Agg")

NETWORKS = ("lenet_300_100", "conv4*0.25+bn")
SETTINGS = {"64/0.1": 0.0, "512/0.1": 0.6, "512/0.1/warm": 0.9, "2048/0.1": 1.0}  # how stable training is
SEEDS, ALPHAS, REWIND = range(3), np.linspace(0, 1, 11), (0, 1, 4)


@dataclass(frozen=True)
class Study:
    """The tables of one synthetic study."""

    table: pd.DataFrame
    paths: pd.DataFrame
    barriers: pd.DataFrame
    distances: pd.DataFrame
    weights: pd.DataFrame
    histograms: pd.DataFrame

    def where(self, **only: Any) -> Study:
        """The same study with these values only; a function says which."""
        parts = {}
        for name, rows in vars(self).items():
            for column, value in only.items():
                if column in rows:
                    rows = rows[rows[column].map(value) if callable(value) else rows[column] == value]
            parts[name] = rows
        return Study(**parts)


def study(rounds: int = 5, settings: dict[str, float] = SETTINGS, seed: int = 5) -> Study:
    """Stable settings have low barriers, close rounds, and tickets ahead of fresh weights, about as in the sheet."""
    random = np.random.default_rng(seed)
    runs: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    away: list[dict[str, Any]] = []
    modes: list[dict[str, Any]] = []

    def noise(size: float) -> float:
        return float(size * random.standard_normal())

    def run(at: dict[str, Any], arm: str, level: int, accuracy: float, twin: int = 0, rewind: int = 0) -> None:
        about = {"validation": accuracy, "train_loss": 0.1, "outcome": "finished", "run": f"run-{len(runs):012x}"}
        labels = {"arm": arm, "level": level, "density": 0.8**level, "twin": twin, "rewind": rewind}
        runs.append({**at, **labels, "accuracy": accuracy, **about})

    def path(at: dict[str, Any], kind: str, level: int, height: float, pair: str = "0-1", rewind: int = 0) -> None:
        for way, mask in [("recompute", "own"), *([("interpolate", "own")] if kind == "rounds" else [])]:
            for split, floor in (("train", 2.0), ("test", 9.0)):
                ends = floor + abs(noise(0.4)), floor + abs(noise(0.4))
                top = min(89 - floor, height * np.exp(noise(0.15)) * (1.3 if way == "interpolate" else 1.0))
                rise = top * np.minimum(1, 1.25 * (4 * ALPHAS * (1 - ALPHAS)) ** 2)
                errors = ALPHAS * ends[0] + (1 - ALPHAS) * ends[1] + rise
                labels = {**at, "kind": kind, "level": level, "density": 0.8**level, "rewind": rewind, "pair": pair}
                labels |= {"batch_norm": way if at["network"].endswith("+bn") else "none", "endpoint_mask": mask}
                if way == "interpolate" and not at["network"].endswith("+bn"):
                    continue
                losses = errors / 40
                for alpha, error, loss in zip(ALPHAS, errors, losses, strict=True):
                    curves.append({**labels, "alpha": alpha, "split": split, "error": error, "loss": loss})
                told = {"barrier": float(barrier(errors)), "excess": float(chord_excess(errors, ALPHAS))}
                pairs.append({**labels, "split": split, **told, "end_a": errors[-1], "end_b": errors[0]})

    def apart(at: dict[str, Any], arm: str, stable: float) -> None:
        keys: list[Any] = ["init", *range(rounds + 1)]
        start = 0.93 - 0.5 * stable
        close = {"imp": 0.95 - 0.75 * stable, "reinit": 0.96 - 0.35 * stable, "repelled": 0.93, "attracted": 0.3}[arm]
        for a, b in combinations(keys, 2):
            far = start if a == "init" else min(1.0, close + 0.03 * (b - a) + 0.1 * (a == 0)) + noise(0.01)
            null = np.nan if a == "init" else null_angle(start, start)
            away.append({**at, "arm": arm, "a": a, "b": b, "shared": 1000, "distance": far, "null": null})

    for network in NETWORKS:
        for setting, stable in settings.items():
            for one in SEEDS:
                at = {"network": network, "setting": setting, "seed": one}
                luck, unstable = noise(0.2), 1 - stable
                top = 91 - 3 * stable + luck
                for twin in (0, 1):
                    run(at, "dense", 0, top + noise(0.1), twin)
                for k in REWIND:
                    path(at, "twins_dense", 0, 70 * unstable * np.exp(-0.4 * k) + abs(noise(0.4)), rewind=k)
                    if k and setting == "64/0.1":
                        path(at, "twins_full", 0, 65 * np.exp(-0.3 * k), rewind=k)
                for kind, height in (("same_seed", 0.0), ("unrelated", 78 + noise(1)), ("permuted", 76 + noise(1))):
                    path(at, kind, 0, height)
                for level in range(1, rounds + 1):
                    fresh, lead = top - 1.3 * level, 0.9 * level * stable
                    for arm, accuracy in {"imp": fresh + lead, "reinit": fresh, "random": fresh - 1}.items():
                        run(at, arm, level, accuracy + noise(0.1))
                    if setting in list(settings)[::3]:
                        repel = {"repelled": fresh, "repelled_reinit": fresh, "attracted": fresh + 0.8 * level}
                        for arm, accuracy in (repel | {"attracted_reinit": fresh - 0.3}).items():
                            run(at, arm, level, accuracy + noise(0.15))
                    if level % 2:
                        run(at, "imp", level, fresh + lead + noise(0.1), twin=1)
                        path(at, "twins_imp", level, 75 * unstable**2 + abs(noise(0.3)))
                        path(at, "dense_ticket", level, 40 * unstable + 2 * level)
                        path(at, "finetuned_ticket", level, 20 * unstable + level)
                for level in range(rounds):
                    path(at, "rounds", level, (38 if level == 0 else 1) * (0.1 + unstable) + abs(noise(0.5)))
                    path(at, "rounds_reinit", level, 70 - 4 * level + noise(1))
                for arm in ("imp", "reinit", "repelled", "attracted"):
                    apart(at, arm, stable)
                for arm in ("imp", "reinit"):
                    for level in range(rounds + 1):
                        hole = stable * level / rounds if arm == "imp" else 0.0
                        cut = 0.017 * (1 + (0.4 + stable * (arm == "imp")) * level) if level < rounds else np.nan
                        found = {"dip": 1.1 - hole + noise(0.03), "threshold": cut}
                        labels = {"arm": arm, "level": level, "density": 0.8**level}
                        modes.append({**at, **labels, "bimodal": found["dip"] < 0.5, **found})
    tables = (pd.DataFrame(rows) for rows in (runs, curves, pairs, away, modes))
    return Study(*tables, histograms=bins(modes))


def bins(modes: list[dict[str, Any]], count: int = 9) -> pd.DataFrame:
    """Two modes where the dip is low; each seed a little different."""
    edges = np.linspace(-0.3, 0.3, count + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    tables = []
    for row in modes:
        apart = 0.1 * (1 - row["dip"])
        share = np.exp(-(((np.abs(middle) - apart) / 0.1) ** 2)) * (1 + 0.02 * row["seed"])
        named = {key: row[key] for key in ("network", "setting", "arm", "seed", "level", "density")}
        tables.append(pd.DataFrame({"left": edges[:-1], "right": edges[1:], "share": share}).assign(**named))
    return pd.concat(tables, ignore_index=True)


def plane(points: int = 15) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A valley around the first two of three solutions, a hill before the third."""
    ends = pd.DataFrame({"label": ["init", "ticket", "dense"], "x": [0.0, 10.0, 4.0], "y": [0.0, 0.0, 8.0]})

    def error(x: Any, y: Any) -> Any:
        valley = 8 + 1.2 * np.abs(y) ** 1.5 + 0.02 * (x - 5) ** 2
        return np.minimum(np.minimum(valley, 9 + 2.5 * ((x - 4) ** 2 + (y - 8) ** 2)), 90)

    x, y = np.meshgrid(np.linspace(-2.5, 12.5, points), np.linspace(-2, 10, points))
    values = error(x, y)
    grid = pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "error": values.ravel(), "loss": (values / 30).ravel() ** 2})
    return grid, ends.assign(error=error(ends["x"], ends["y"]))


def every_figure(found: Study, names: Sequence[str] = ()) -> Iterator[tuple[str, Picture]]:
    """Those named, or all."""
    network, setting = NETWORKS[1], "2048/0.1"
    table, paths, barriers, distances = found.table, found.paths, found.barriers, found.distances
    title = "Conv-4 ×0.25, batch 2048, lr 0.1"
    drawn = {
        "path_rounds": lambda: show.error_along_path(paths, network, "rounds"),
        "path_twins": lambda: show.error_along_path(paths, network, "twins_dense"),
        "path_setting": lambda: show.error_along_path(paths, network, "rounds", "512/0.1"),
        "instability": lambda: show.instability(barriers, network),
        "gap": lambda: show.ticket_gap(table, barriers, network),
        "kinds": lambda: show.barrier_kinds(barriers, network),
        "excess": lambda: show.barrier_kinds(barriers, network, value="excess"),
        "distance": lambda: show.distance_map(distances, network, setting),
        "distance_one": lambda: show.distance_map(distances, network, setting, ("repelled",)),
        "repulsion": lambda: show.repulsion(table, network),
        "modes": lambda: show.weight_modes(found.weights, network),
        "histograms": lambda: show.weight_histograms(found.histograms, found.weights, network, setting),
        "map": lambda: show.solution_map(distances, network, setting, 0),
        "surface": lambda: show.surface(*plane(), title=title),
        "surface_loss": lambda: show.surface(*plane(), "loss", title),
        "bn": lambda: show.bn_effect(barriers, network, "rounds"),
        "explore": lambda: show.explore_plot(paths, network, "512/0.1", "rounds", 0.5),
    }
    yield from ((name, draw()) for name, draw in drawn.items() if not names or name in names)


@pytest.fixture(scope="module")
def found() -> Study:
    return study()


def labels(figure: Picture) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def pick(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def agrees(axes: Any, name: str, rows: pd.DataFrame, over: str, value: str) -> None:
    """A series has a point a seed, means and t intervals of `rows`."""
    groups = rows.groupby(over, sort=True)[value]
    assert sorted(part(axes, f"seeds:{name}").get_offsets()[:, 1]) == pytest.approx(sorted(rows[value]))
    assert list(part(axes, f"mean:{name}").get_ydata()) == pytest.approx(list(groups.mean()))
    bars = [tuple(bar[:, 1]) for bar in part(axes, f"interval:{name}").get_segments()]
    assert np.array(bars) == pytest.approx(np.array([t_interval(values) for _, values in groups]))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_path_is_the_mean_over_seeds_with_the_range_of_all_pairs(found: Study, network: str):
    figure = show.error_along_path(found.paths, network, "unrelated")
    assert titles(figure) == [
        "batch 64, lr 0.1",
        "batch 512, lr 0.1",
        "batch 512, lr 0.1, warm-up",
        "batch 2048, lr 0.1",
    ]
    for axes, setting in zip(figure.axes, SETTINGS, strict=True):
        rows = pick(found.paths, network=network, kind="unrelated", setting=setting)
        for split, line in (("test", "-"), ("train", "--")):
            drawn = part(axes, f"{split}:0")
            assert drawn.get_linestyle() == line
            assert drawn.get_xdata() == pytest.approx(ALPHAS)
            wanted = pick(rows, split=split).groupby("alpha")["error"].mean()
            assert drawn.get_ydata() == pytest.approx(wanted.to_numpy())
        middle = pick(rows, split="test", alpha=0.5)["error"]
        band = part(axes, "range:0").get_paths()[0].vertices
        at = band[band[:, 0] == 0.5][:, 1]
        assert (at.min(), at.max()) == pytest.approx((middle.min(), middle.max()))
        ends = pick(rows, split="test")
        ends = ends[ends["alpha"].isin((0, 1))]["error"].mean()
        assert part(axes, "limit:0").get_ydata() == pytest.approx([ends + 2] * 2)
    assert labels(figure) == ["test set", "train set", "2 points above the ends", "test, range over pairs"]


def test_pairs_of_one_seed_weigh_as_much_as_one_of_another(found: Study):
    rows = pick(found.paths, network=NETWORKS[0], kind="unrelated", setting="64/0.1")
    more = [rows[rows["seed"] == 0].assign(pair=name, error=50.0) for name in ("0-2", "1-2")]
    first = rows[rows["seed"] == 0].assign(error=20.0)
    both = pd.concat([first, *more, rows[rows["seed"] == 1].assign(error=10.0)])
    axes = show.error_along_path(both, NETWORKS[0], "unrelated").axes[0]
    assert part(axes, "test:0").get_ydata() == pytest.approx((40 + 10) / 2)
    band = part(axes, "range:0").get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (10, 50)


def test_twins_have_a_line_for_each_rewind_and_rounds_at_most_four(found: Study):
    figure = show.error_along_path(found.paths, NETWORKS[0], "twins_dense")
    assert labels(figure)[:3] == ["k = 0", "k = 1", "k = 4"]
    rows = pick(found.paths, network=NETWORKS[0], kind="twins_dense", setting="64/0.1", rewind=4, split="train")
    assert part(figure.axes[0], "train:4").get_ydata() == pytest.approx(
        rows.groupby("alpha")["error"].mean().to_numpy()
    )
    assert not any(gid.startswith("limit") for gid in gids(figure.axes[0]))
    rounds = show.error_along_path(found.paths, NETWORKS[0], "rounds")
    assert labels(rounds)[:4] == ["density 1", "density 0.8", "density 0.51", "density 0.41"]
    marks = [part(rounds.axes[0], f"test:{step}") for step in (0, 1, 3, 4)]
    assert len({mark.get_color() for mark in marks}) == len({mark.get_marker() for mark in marks}) == 4
    one = show.error_along_path(found.paths, NETWORKS[0], "rounds", "2048/0.1")
    assert titles(one) == [f"density {density}" for density in ("1", "0.8", "0.64", "0.51", "0.41")]
    ticks = [tick.label1.get_visible() for tick in one.axes[3].xaxis.get_major_ticks()]
    assert all(ticks)  # nothing stands below it
    assert len(show.error_along_path(study(9, {"64/0.1": 0.0}).paths, NETWORKS[0], "rounds", "64/0.1").axes) == 6


def test_a_path_that_diverged_is_left_out_and_counted(found: Study):
    lost = found.paths.copy()
    pair = (lost["kind"] == "unrelated") & (lost["seed"] == 0) & (lost["setting"] == "64/0.1")
    lost.loc[pair & (lost["alpha"] == 0.5), "error"] = np.nan
    axes = show.error_along_path(lost, NETWORKS[0], "unrelated").axes
    rows = pick(lost, network=NETWORKS[0], kind="unrelated", setting="64/0.1", split="test")
    wanted = rows[rows["seed"] > 0].groupby("alpha")["error"].mean().to_numpy()
    assert part(axes[0], "test:0").get_ydata() == pytest.approx(wanted)
    assert part(axes[0], "lost:0").get_text() == "× 1 diverged, left out"
    assert "lost:0" not in gids(axes[1])
    lost.loc[lost["kind"] == "unrelated", "error"] = np.nan
    assert part(show.error_along_path(lost, NETWORKS[0], "unrelated").axes[0], "lost:0").get_text().startswith("× 3 ")


def test_only_one_treatment_of_batchnorm_and_masks_is_drawn(found: Study):
    network = NETWORKS[1]
    rows = pick(found.barriers, network=network, kind="rounds", split="train", batch_norm="recompute", setting="64/0.1")
    figure = show.barrier_kinds(found.barriers, network)
    agrees(figure.axes[0], "rounds", rows, "density", "barrier")
    assert "BatchNorm recomputed, each end under its own mask" in figure.get_suptitle()
    other = show.barrier_kinds(found.barriers[found.barriers["batch_norm"] == "interpolate"], network)
    assert "BatchNorm interpolated" in other.get_suptitle()
    sparser = pick(found.barriers, kind="rounds").assign(endpoint_mask="sparser", barrier=1.0)
    both = show.barrier_kinds(pd.concat([sparser, found.barriers]), network)
    agrees(both.axes[0], "rounds", rows, "density", "barrier")
    alone = show.barrier_kinds(sparser, NETWORKS[0])
    assert "both ends under the sparser mask" in alone.get_suptitle()
    assert "mask" not in show.instability(sparser.assign(kind="twins_imp"), NETWORKS[0]).get_suptitle()


def test_instability_is_over_shared_epochs_and_over_density(found: Study):
    network = NETWORKS[0]
    dense, tickets = show.instability(found.barriers, network).axes
    for number, setting in enumerate(SETTINGS):
        rows = pick(found.barriers, network=network, setting=setting, split="test")
        agrees(dense, setting, pick(rows, kind="twins_dense"), "rewind", "barrier")
        start = pick(rows, kind="twins_dense", rewind=0)
        agrees(tickets, setting, pd.concat([pick(rows, kind="twins_imp"), start]), "density", "barrier")
        assert part(dense, f"mean:{setting}").get_xdata() == pytest.approx(np.arange(3) + 0.09 * (number - 1.5))
    full = pick(found.barriers, network=network, kind="twins_full", split="test")
    agrees(dense, "full:64/0.1", full, "rewind", "barrier")
    assert part(dense, "mean:full:64/0.1").get_linestyle() == "-."
    assert not {"mean:full:512/0.1", "mean:full:2048/0.1"} & gids(dense)
    assert [tick.get_text() for tick in dense.get_xticklabels()] == ["0", "1", "4"]
    for axes in (dense, tickets):
        assert list(part(axes, "line:stable").get_ydata()) == [2, 2]
        unrelated = (
            pick(found.barriers, network=network, kind="unrelated", split="test").groupby("seed")["barrier"].mean()
        )
        assert part(axes, "line:unrelated").get_ydata() == pytest.approx([unrelated.mean()] * 2)
        band = part(axes, "band:unrelated")
        assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx(t_interval(unrelated))
        assert axes.get_yscale() == "symlog"
    assert "logarithmic above 2" in dense.get_ylabel()
    assert "points of error" in dense.get_ylabel()
    calm = found.barriers[found.barriers["setting"] == "2048/0.1"]
    calm = calm[calm["kind"].isin(("twins_imp", "twins_dense"))]
    first, _ = show.instability(calm, network).axes
    assert first.get_yscale() == "linear"
    assert first.get_ylim()[1] > 2  # the line of stability is always in sight
    assert titles(show.instability(calm[calm["kind"] == "twins_imp"], network)) == ["tickets"]
    assert titles(show.instability(calm[calm["kind"] == "twins_dense"], network)) == ["dense networks"]


def test_barriers_that_diverged_are_crosses(found: Study):
    lost = found.barriers.copy()
    where = (lost["kind"] == "twins_imp") & (lost["setting"] == "64/0.1") & (lost["seed"] == 0) & (lost["level"] == 5)
    lost.loc[where, "barrier"] = np.nan
    figure = show.instability(lost, NETWORKS[0])
    assert len(part(figure.axes[1], "lost:64/0.1").get_offsets()) == 1
    assert "diverged, left out" in labels(figure)


def test_the_gap_stands_above_the_instability_of_the_same_tickets(found: Study):
    network = NETWORKS[1]
    figure = show.ticket_gap(found.table, found.barriers, network)
    lead, unstable = figure.axes
    runs = pick(found.table, network=network, twin=0).set_index(["arm", "level", "setting", "seed"])
    runs = runs["accuracy"].sort_index()
    order = {setting: number for number, setting in enumerate(SETTINGS)}
    for level in (1, 3, 5):
        gaps = (runs["imp", level] - runs["reinit", level]).reset_index()
        gaps["place"] = gaps["setting"].map(order)
        agrees(lead, f"{level}", gaps, "place", "accuracy")
        twins = pick(found.barriers, network=network, kind="twins_imp", split="test", level=level)
        agrees(unstable, f"{level}", twins.assign(place=twins["setting"].map(order)), "place", "barrier")
        assert part(lead, f"mean:{level}").get_xdata() == pytest.approx(part(unstable, f"mean:{level}").get_xdata())
    assert "mean:2" not in gids(lead)  # no twins there
    dense = pick(found.barriers, network=network, kind="twins_dense", split="test", rewind=0)
    agrees(unstable, "dense", dense.assign(place=dense["setting"].map(order)), "place", "barrier")
    for axes in figure.axes:
        assert {gid for gid in gids(axes) if gid.startswith("stable")} == {"stable:512/0.1/warm", "stable:2048/0.1"}
    span = part(lead, "stable:2048/0.1")
    assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx((2.5, 3.5))
    assert [tick.get_text() for tick in unstable.get_xticklabels()] == list(SETTINGS)
    assert list(part(lead, "zero").get_ydata()) == [0, 0]


def test_the_gap_can_stand_alone_but_not_the_instability(found: Study):
    alone = show.ticket_gap(found.table, pd.DataFrame(), NETWORKS[0])
    assert texts(alone) == ["no twins of these tickets"]
    assert "mean:1" in gids(alone.axes[0])
    assert [tick.get_text() for tick in alone.axes[1].get_xticklabels()] == list(SETTINGS)
    few = found.table[found.table["arm"] != "reinit"]
    assert texts(show.ticket_gap(few, found.barriers, NETWORKS[0])) == [
        "LeNet-300-100: no tickets with fresh weights on the same mask"
    ]


def test_all_kinds_of_barrier_have_one_axis_and_their_controls(found: Study):
    network = NETWORKS[0]
    for value in ("barrier", "excess"):
        figure = show.barrier_kinds(found.barriers, network, "test", value)
        for axes, setting in zip(figure.axes, SETTINGS, strict=True):
            rows = pick(found.barriers, network=network, setting=setting, split="test")
            for kind in ("rounds", "rounds_reinit", "dense_ticket", "finetuned_ticket"):
                agrees(axes, kind, pick(rows, kind=kind), "density", value)
            control = pick(rows, kind="unrelated")[value]
            assert part(axes, "line:unrelated").get_ydata() == pytest.approx([control.mean()] * 2)
            assert "line:stable" in gids(axes)
    assert "rise above chord" in figure.axes[0].get_ylabel()
    assert figure.axes[1].get_ylabel() == ""
    partial = found.barriers[found.barriers["kind"].isin(("rounds", "dense_ticket"))]
    assert labels(show.barrier_kinds(partial, network))[:3] == [
        *("ticket – next round's ticket", "masked dense – ticket"),
        "stable: below 2 points",
    ]


def test_the_map_has_distances_and_on_either_side_of_the_null_an_arm(found: Study):
    network, setting = NETWORKS[0], "2048/0.1"
    figure = show.distance_map(found.distances, network, setting)
    rows = pick(found.distances, network=network, setting=setting)
    for axes, arm in zip(figure.axes, ("imp", "reinit"), strict=False):
        values = part(axes, f"map:{arm}").get_array()
        mean = pick(rows, arm=arm, a=1, b=3)["distance"].mean()
        assert values[2, 4] == values[4, 2] == pytest.approx(mean)
        assert values[0, 1] == pytest.approx(pick(rows, arm=arm, a="init", b=0)["distance"].mean())
        assert part(axes, f"cell:{arm}:1:3").get_text() == f"{mean:.2f}".removeprefix("0")
        assert np.ma.getmaskarray(values).diagonal().all()
    other = rows.assign(null=rows["null"] + 0.2 * (rows["arm"] == "reinit"))
    null = part(show.distance_map(other, network, setting).axes[2], "map:null").get_array()
    assert null[4, 2] - null[2, 4] == pytest.approx(0.2)
    assert null[2, 4] == pytest.approx(pick(rows, arm="imp", a=1, b=3)["null"].mean())
    assert np.ma.getmaskarray(null)[0].all()
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["init", "0", "1", "2", "3", "4", "5"]
    with pytest.raises(ValueError, match="one or two arms, not 3"):
        show.distance_map(rows, network, setting, ("imp", "reinit", "repelled"))


def test_keys_may_have_been_read_as_text_and_many_are_not_numbered(found: Study):
    network, setting = NETWORKS[0], "64/0.1"
    long = study(12, {setting: 0.0}).distances
    figure = show.distance_map(long, network, setting)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["init", "5", "10"]
    assert not any(gid.startswith("cell") for gid in gids(figure.axes[0]))
    read = long.assign(a=long["a"].astype(str), b=long["b"].astype(str))
    again = show.distance_map(read.sample(frac=1, random_state=0), network, setting)
    one, two = (part(drawn.axes[1], "map:reinit").get_array() for drawn in (figure, again))
    assert one.filled(-1) == pytest.approx(two.filled(-1))


def test_points_of_the_map_are_those_of_classical_scaling(found: Study):
    rows = pick(found.distances, network=NETWORKS[0], setting="2048/0.1", seed=1)
    figure = show.solution_map(found.distances, NETWORKS[0], "2048/0.1", 1)
    for axes, arm in zip(figure.axes, ("imp", "reinit"), strict=True):
        wanted = mds(square(pick(rows, arm=arm)))
        for key, (x, y) in zip(wanted.index, wanted.to_numpy(), strict=True):
            assert part(axes, f"at:{arm}:{key}").get_offsets().tolist()[0] == pytest.approx([x, y])
        line = part(axes, f"path:{arm}").get_xydata()
        assert line == pytest.approx(wanted.loc[list(range(6))].to_numpy())
        assert {"round:imp:0", "round:imp:5"} <= gids(figure.axes[0])
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == figure.axes[0].get_ylim()


def test_scaling_keeps_a_triangle_and_says_what_it_loses():
    points = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    far = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    drawn, share = scaled(far)
    assert np.hypot(*(drawn[:, None] - drawn[None]).transpose(2, 0, 1)) == pytest.approx(far)
    assert share == pytest.approx(1)
    simplex = 1.0 - np.eye(4)  # four points at one distance: two of three equal dimensions
    assert scaled(simplex)[1] == pytest.approx(2 / 3)


def test_a_map_needs_all_distances(found: Study):
    rows = found.distances.copy()
    rows.loc[(rows["arm"] == "imp") & (rows["b"] == 2), "distance"] = np.nan
    assert len(show.solution_map(rows, NETWORKS[0], "64/0.1", 0).axes) == 1
    nothing = show.solution_map(rows[rows["arm"] == "imp"], NETWORKS[0], "64/0.1", 0)
    assert texts(nothing) == ["LeNet-300-100, batch 64, lr 0.1, seed 0: no distances between all of its networks"]
    with pytest.raises(UserError, match="no seed '7' in the table; there are 0, 1, 2"):
        show.solution_map(rows, NETWORKS[0], "64/0.1", 7)


def test_repulsion_shows_only_settings_with_it_and_the_first_of_twins(found: Study):
    figure = show.repulsion(found.table, NETWORKS[0])
    assert titles(figure) == ["batch 64, lr 0.1", "batch 2048, lr 0.1"]
    drawn = ("imp", "reinit", "repelled", "attracted", "repelled_reinit", "attracted_reinit")
    for axes, setting in zip(figure.axes, ("64/0.1", "2048/0.1"), strict=True):
        rows = pick(found.table, network=NETWORKS[0], setting=setting, twin=0)
        for arm in drawn:
            agrees(axes, arm, pick(rows, arm=arm), "density", "accuracy")
        assert part(axes, "line:dense").get_ydata() == pytest.approx([pick(rows, arm="dense")["accuracy"].mean()] * 2)
        looks = [part(axes, f"mean:{arm}") for arm in drawn]
        assert len({look.get_color() for look in looks}) == len({look.get_marker() for look in looks}) == len(drawn)


def test_modes_have_dip_above_threshold_and_the_line_of_two_modes(found: Study):
    figure = show.weight_modes(found.weights, NETWORKS[0])
    every = np.array(figure.axes).reshape(2, 2, 2)
    for number, setting in enumerate(SETTINGS):
        dip, threshold = every[number // 2, :, number % 2]
        rows = pick(found.weights, network=NETWORKS[0], setting=setting)
        for arm in ("imp", "reinit"):
            agrees(dip, arm, pick(rows, arm=arm), "density", "dip")
            cut = pick(rows, arm=arm).dropna(subset="threshold").groupby("density")["threshold"].mean()
            assert list(part(threshold, f"mean:{arm}").get_ydata()) == pytest.approx(list(cut))
            assert f"lost:{arm}" not in gids(threshold)
        assert list(part(dip, "line:half").get_ydata()) == [0.5, 0.5]
        assert dip.get_title("left") == words_of(setting)
    odd = show.weight_modes(found.where(setting=lambda name: name != "64/0.1").weights, NETWORKS[0])
    assert len(odd.axes) == 6
    assert len(show.weight_modes(found.where(setting="64/0.1").weights, NETWORKS[0]).axes) == 2


def test_histograms_show_seeds_their_mean_and_the_next_cut(found: Study):
    at = {"network": NETWORKS[0], "setting": "2048/0.1"}
    figure = show.weight_histograms(found.histograms, found.weights, *at.values())
    every = np.array(figure.axes).reshape(6, 2)
    for level, row in enumerate(every):
        for axes, arm in zip(row, ("imp", "reinit"), strict=True):
            rows = pick(found.histograms, **at, arm=arm, level=level)
            mean = [p for p in axes.patches if p.get_gid() == "mean"]
            assert list(mean[0].get_data().values) == pytest.approx(list(rows.groupby("left")["share"].mean()))
            assert len([p for p in axes.patches if p.get_gid() == "seed"]) == len(SEEDS)
            told = pick(found.weights, **at, arm=arm, level=level)
            cuts = [line.get_xdata()[0] for line in axes.lines if line.get_gid() == "threshold"]
            cut = told["threshold"].mean()
            assert cuts == pytest.approx([-cut, cut] if level < 5 else [])  # the last round isn't cut any more
            assert axes.texts[0].get_text() == f"two modes:\n{told['bimodal'].sum()} of {len(SEEDS)}"
    alone = found.where(arm="imp")
    assert len(show.weight_histograms(alone.histograms, alone.weights, *at.values()).axes) == 6


def test_batchnorm_both_ways_is_a_point_a_pair(found: Study):
    network = NETWORKS[1]
    (axes,) = show.bn_effect(found.barriers, network, "rounds").axes
    rows = pick(found.barriers, network=network, kind="rounds", split="test")
    for setting in SETTINGS:
        mine = pick(rows, setting=setting).set_index(["level", "seed"])
        sides = [mine.loc[mine["batch_norm"] == way, "barrier"] for way in ("recompute", "interpolate")]
        wanted = pd.concat(sides, axis=1)
        drawn = part(axes, f"pairs:{setting}").get_offsets()
        assert sorted(map(tuple, drawn.tolist())) == sorted(map(tuple, wanted.to_numpy().tolist()))
        means = np.asarray(part(axes, f"mean:{setting}").get_offsets())
        assert means == pytest.approx(wanted.groupby("level").mean().to_numpy())
    low, high = axes.get_xlim()
    assert axes.get_ylim() == (low, high)
    assert part(axes, "equal").get_xydata().tolist() == [[low, low], [high, high]]
    said = "LeNet-300-100: no barriers between a ticket and the next round's with BatchNorm in both ways"
    assert texts(show.bn_effect(found.barriers, NETWORKS[0], "rounds")) == [said]


def test_the_surface_marks_its_points_and_what_is_stable():
    grid, points = plane()
    figure = show.surface(grid, points)
    axes = figure.axes[0]
    assert np.asarray(part(axes, "points").get_offsets()) == pytest.approx(points[["x", "y"]].to_numpy())
    assert [text.get_text() for text in axes.texts] == ["init", "ticket", "dense"]
    assert part(axes, "line:stable").levels == pytest.approx([points["error"].mean() + 2])
    assert "line:stable" not in gids(show.surface(grid, points.drop(columns="error")).axes[0])
    assert figure.axes[1].get_ylabel() == "error (%)"
    loss = show.surface(grid, points, "loss")
    assert (loss.axes[1].get_ylabel(), loss.axes[1].get_yscale()) == ("loss (nats)", "log")
    holes = grid.assign(error=grid["error"].where(grid["x"] < 8))
    assert "line:stable" in gids(show.surface(holes, points).axes[0])
    show.surface(grid.assign(error=50.0), points).draw_without_rendering()
    assert texts(show.surface(grid.assign(error=np.nan), points)) == [
        "the plane: hardly a point of it has a finite error"
    ]


def test_the_explorer_marks_alpha_and_says_its_errors(found: Study, monkeypatch: pytest.MonkeyPatch):
    displayed: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda *given, **_: displayed.extend(given))
    monkeypatch.delenv("LTKIT_HEADLESS", raising=False)
    choices = show.explore_choices(found.paths)
    assert list(choices["kind"].values()) == list(KINDS)
    assert choices["alpha"] == pytest.approx(list(ALPHAS))
    box = explorer(show.explore_plot, found.paths, **choices)
    network, setting, kind, alpha = box.children[0].children
    assert type(alpha).__name__ == "SelectionSlider"
    network.value, setting.value, kind.value = NETWORKS[1], "512/0.1", "twins_dense"
    alpha.value = 0.3
    (axes,) = displayed[-1].axes
    rows = pick(found.paths, network=NETWORKS[1], setting="512/0.1", kind="twins_dense")
    rows = rows[np.isclose(rows["alpha"], 0.3)]
    for number, k in enumerate(REWIND):
        test, train = (pick(rows, rewind=k, split=split)["error"].mean() for split in ("test", "train"))
        assert list(part(axes, f"at:{k}").get_ydata()) == pytest.approx([test, train])
        assert labels(displayed[-1])[number] == f"k = {k}: test {test:.1f} %, train {train:.1f} %"
    assert list(part(axes, "alpha").get_xdata()) == pytest.approx([0.3, 0.3])
    near = show.explore_plot(found.paths, NETWORKS[1], "512/0.1", "rounds", 0.32)
    assert near.axes[0].get_title("left") == "errors at α = 0.3 below"


def test_every_combination_of_choices_can_be_drawn(found: Study):
    few = found.where(setting=("64/0.1", "2048/0.1").__contains__, kind=("rounds", "twins_dense").__contains__).paths
    gone = (few["kind"] == "rounds") & (few["setting"] == "64/0.1")
    partial = few[~gone & ((few["network"] != NETWORKS[0]) | (few["setting"] == "64/0.1"))]
    choices = show.explore_choices(partial)
    for network in choices["network"].values():
        for setting in choices["setting"].values():
            for kind in choices["kind"].values():
                assert show.explore_plot(partial, network, setting, kind, 0.5).axes
    said = "LeNet-300-100, batch 64, lr 0.1: no paths between a ticket and the next round's"
    assert texts(show.explore_plot(partial, NETWORKS[0], "64/0.1", "rounds", 0.5)) == [said]


def test_unknown_names_are_the_users_mistake(found: Study):
    with pytest.raises(UserError, match=r"no network 'lenet_300_10' in the table \(did you mean 'lenet_300_100'\?\)"):
        show.instability(found.barriers, "lenet_300_10")
    with pytest.raises(UserError, match=r"no kind 'twins_dens' in the table \(did you mean 'twins_dense'\?\)"):
        show.error_along_path(found.paths, NETWORKS[0], "twins_dens")
    with pytest.raises(UserError, match=r"no setting '512/0.1/warn' in the table \(did you mean '512/0.1/warm'\?\)"):
        show.distance_map(found.distances, NETWORKS[0], "512/0.1/warn")
    with pytest.raises(UserError, match=r"no split 'tests' in the table \(did you mean 'test'\?\)"):
        show.barrier_kinds(found.barriers, NETWORKS[0], "tests")
    for plot, table in ((show.repulsion, found.table), (show.weight_modes, found.weights)):
        with pytest.raises(UserError, match="no network 'conv4'"):
            plot(table, "conv4")
    with pytest.raises(UserError, match="no network 'conv4'"):
        show.ticket_gap(found.table, found.barriers, "conv4")


def test_empty_tables_say_what_is_missing(found: Study):
    none, network = pd.DataFrame(), NETWORKS[0]
    drawn = [
        show.error_along_path(none, network, "rounds"),
        show.explore_plot(none, network, "64/0.1", "rounds", 0.5),
        show.instability(none, network),
        show.ticket_gap(none, none, network),
        show.barrier_kinds(none, network),
        show.distance_map(none, network, "64/0.1"),
        show.solution_map(none, network, "64/0.1", 0),
        show.repulsion(none, network),
        show.repulsion(found.table[found.table["arm"].isin(("imp", "dense"))], network),
        show.weight_modes(none, network),
        show.bn_effect(none, network, "rounds"),
        show.surface(none, none),
        show.instability(found.barriers[found.barriers["kind"] == "rounds"], network),
    ]
    for figure in drawn:
        (text,) = texts(figure)
        assert re.search(r": (no|hardly) ", text)


def test_settings_and_networks_have_their_words():
    assert tuple(WORDS) == asked.WORDS
    said = {
        "512/0.1": "batch 512, lr 0.1",
        "512/0.1/warm/wd0": "batch 512, lr 0.1, warm-up, no weight decay",
        "60/0.0012/adam/steps": "batch 60, lr 0.0012, Adam, equal steps",
        "odd": "batch odd",
    }
    assert {setting: words_of(setting) for setting in said} == said


MANY = {"16/0.1": 0.0, "64/0.1": 0.1, "512/0.1/steps": 0.5, "512/0.1": 0.6, "512/0.1/wd0": 0.7, "2048/0.1/adam": 1.0}
CROWDED = ("instability", "gap", "bn", "explore", "kinds")


@pytest.mark.parametrize("many", [False, True])
def test_all_texts_are_legible_and_nothing_leaves_the_figure(found: Study, many: bool):
    tables = study(3, {**MANY, "2048/0.1": 1.0}) if many else found
    for name, figure in every_figure(tables, CROWDED if many else ()):
        assert_legible(figure, name, 8.8 if name.startswith("distance") else 6.4)
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert all(not box.overlaps(axes.get_window_extent()) for axes in figure.axes), name


def test_one_seed_has_no_interval(found: Study):
    figure = show.instability(found.where(seed=1).barriers, NETWORKS[0])
    assert "mean:64/0.1" in gids(figure.axes[0])
    assert not any(gid.startswith(("interval:", "band:")) for axes in figure.axes for gid in gids(axes))
    assert "95 % interval" not in labels(figure)


def test_figures_come_without_torch():
    assert_comes_without_torch("ltkit.show.mode_connectivity")
