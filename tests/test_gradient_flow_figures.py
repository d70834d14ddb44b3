"""Figures of the gradient-flow study say what their tables say, read back from what is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product
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

from ltkit.errors import UserError
from ltkit.show import gradient_flow as show
from ltkit.show.explore import explorer
from ltkit.show.gradient_flow_map import scaled
from ltkit.show.gradient_flow_parts import INITS as LOOKS
from ltkit.show.gradient_flow_parts import METHODS, UPDATING
from ltkit.show.gradient_flow_path import summaries
from ltkit.show.gradient_flow_updates import changes
from ltkit.show.panels import Picture
from ltkit.studies import gradient_flow as asked
from ltkit.verdict import t_interval

mpl.use("Agg")

NETWORKS, SEEDS, DENSITY, DENSER = ("lenet5", "resnet8*0.5+bn"), range(4), 0.05, 0.2
STEPS, EVERY, UPDATES = 200, 10, range(20, 151, 20)
INITS = ("dense_glorot", "dense_he", "layer", "layer_out", "neuron")
SLOW = {"dense_glorot": 0.12, "dense_he": 0.08}  # how long G stays low, as a share of training
BELOW = {  # accuracy points below the dense network
    **{"dense": 0.0, "small_dense": 2.2, "gmp": 0.4, "lt": 0.6, "lt_imp": 0.3, "lt_reinit": 2.8, "scratch": 3.4},
    **{"set": 2.4, "rigl": 1.4, "rigl_inverted": 3.2, "rigl_long": 0.5, "rigl_lt": 2.0, "rigl_fresh": 1.5},
}
RISES = {"set": 0.2, "rigl": 1.3, "rigl_inverted": 0.02}  # of G at the first update


def arms(full: bool) -> Iterator[tuple[str, str, str, float, bool]]:
    """method, init, distribution, density, whether it is traced: as `studies.gradient_flow.grid` has them."""
    yield "dense", "dense_he", "", 1.0, True
    yield "small_dense", "dense_he", "", DENSITY, True
    for method in ("gmp", "lt") + (("lt_imp", "lt_reinit") if full else ()):
        yield method, "dense_he", "pruned", DENSITY, method == "lt"
    for init in ("dense_glorot", "dense_he", "neuron") if full else ("dense_he", "neuron"):
        yield "scratch", init, "pruned", DENSITY, True
    for method in RISES:
        for init in ("dense_he", "neuron") if full else ("neuron",):
            yield method, init, "pruned", DENSITY, True
    if not full:
        return
    for layout in ("uniform", "erk", "er"):
        for init in INITS if layout == "uniform" else ("neuron",):
            yield "scratch", init, layout, DENSITY, init == "neuron" and layout == "uniform"
    for method in RISES:
        yield method, "neuron", "uniform", DENSITY, True
    for method in ("scratch", "set", "rigl", "rigl_long", "rigl_lt", "rigl_fresh"):
        yield method, "neuron", "uniform", DENSER, False
    yield "rigl", "neuron", "erk", DENSER, False
    yield "gmp", "dense_he", "pruned", DENSER, False


@dataclass(frozen=True)
class Study:
    """The tables of one synthetic study."""

    table: pd.DataFrame
    traces: pd.DataFrame
    signals: pd.DataFrame
    spectra: pd.DataFrame
    interpolations: pd.DataFrame
    distances: pd.DataFrame
    agreements: pd.DataFrame

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
    """About as in the sheet: masked dense starts stall, RigL's updates raise G, tickets are near their parent."""
    random = np.random.default_rng(9)
    runs: list[dict[str, Any]] = []
    traces: list[dict[str, Any]] = []
    for network in NETWORKS:
        for method, init, layout, density, traced in arms(full=network == NETWORKS[0]):
            for seed in SEEDS:
                about = {"network": network, "method": method, "init": init, "distribution": layout}
                about |= {"density": density, "seed": seed, "run": f"run-{len(runs):012x}"}
                worse = BELOW[method] * (1 if density == DENSITY else 0.5) + 8 * SLOW.get(init, 0.0) * (method != "gmp")
                accuracy = 97.8 - worse + 0.4 * (layout == "erk") + 0.25 * random.standard_normal()
                told = {"lr": 0.05, "twin": 0, "accuracy": accuracy, "validation": accuracy - 0.2}
                runs.append({**about, **told, "train_loss": 0.02 * worse, "outcome": "finished"})
                traces += trace(random, about) if traced else []
                if method in ("lt", "scratch") and layout == "pruned":
                    runs.append({**runs[-1], "twin": 1, "accuracy": 10.0, "run": f"run-{len(runs):012x}"})
    tables = (signals_of(random), spectra_of(random), paths_of(random), distances_of(random), agreements_of(random))
    return Study(pd.DataFrame(runs), pd.DataFrame(traces), *map(pd.DataFrame, tables))


def trace(random: np.random.Generator, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """G is low on a plateau, shorter for tickets, then peaks and falls; growing methods are higher."""
    method, plateau = about["method"], SLOW.get(about["init"], 0.0) * np.exp(0.2 * random.standard_normal())
    plateau *= {"lt": 0.4, "dense": 0.0, "small_dense": 0.0}.get(method, 1.0)
    high = {"rigl": 2.2, "set": 1.3, "dense": 1.5}.get(method, 1.0) * np.exp(0.1 * random.standard_normal())

    def row(step: int, moment: str, norm: float, gain: float = np.nan) -> dict[str, Any]:
        loss = 2.3 * np.exp(-4 * max(0.0, step / STEPS - plateau))
        told = {"step": step, "share": step / STEPS, "moment": moment, "loss": loss, "gradient_norm": norm}
        return {**about, **told, "dense_norm": norm / about["density"] ** 0.5, "gain": gain, "kept": 2210}

    def flow(step: int) -> float:
        late = step / STEPS - plateau
        return 0.03 + 0.02 * step / STEPS if late < 0 else float(high * np.exp(-2 * late)) + 0.03

    for step in range(0, STEPS + 1, EVERY):
        yield row(step, "step", flow(step) * np.exp(0.1 * random.standard_normal()))
    for step in UPDATES if method in RISES else ():
        rise = RISES[method] * flow(step) / high * np.exp(-step / 60)
        before = flow(step)
        yield row(step, "before", before, (before + 1.1 * rise) ** 2 - before**2)
        yield row(step, "after", before + rise + 0.04 * flow(step) * random.standard_normal())


def signals_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    for init in INITS:
        for mask in ("uniform", "uneven"):
            for sparsity in (0.0, 0.21, 0.49, 0.77, 0.84, 0.91, 0.98):
                for seed in SEEDS:
                    left = 2.5 if init.startswith("dense") else (0.6 if mask == "uneven" and init == "neuron" else 0.05)
                    sd = {"dense_glorot": 0.45}.get(init, 3.2) * (1 - sparsity) ** left
                    sd *= np.exp(0.15 * random.standard_normal())
                    where = {"network": NETWORKS[0], "init": init, "mask": mask, "sparsity": sparsity, "seed": seed}
                    yield {**where, "sd": sd}


def spectra_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Mostly next to nothing, a few large, and some negative ones, more of them after an update of RigL."""
    ends = {"start": (0, 30, 1.0), "end": (STEPS, 5, 0.02)}
    updates = {"before": (20, 12, 0.3), "after": (20, 12, 0.3)}
    moments = {("scratch", "dense_he"): ends, ("scratch", "neuron"): ends, ("lt", "dense_he"): ends}
    moments |= {("rigl", "neuron"): ends | updates, ("set", "neuron"): updates, ("rigl_inverted", "neuron"): updates}
    for ((method, init), known), seed in product(moments.items(), SEEDS):
        for moment, (step, few, scale) in known.items():
            count = few + seed + {"rigl": 20, "set": 6}.get(method, 0) * (moment == "after")
            below = -scale * np.exp(-3 * random.random(count))
            rest = np.exp(np.linspace(-16, 2.5, 100 - count)) * (1 + 0.1 * random.standard_normal(100 - count))
            values = np.sort(np.concatenate([below, rest]))
            about = {"network": NETWORKS[0], "method": method, "init": init, "density": DENSITY, "seed": seed}
            about |= {"step": step, "moment": moment, "lambda_min": values[0], "lambda_max": values[-1]}
            about |= {"negative": count, "mass": -below.sum()}
            yield from ({**about, "number": number, "value": value} for number, value in enumerate(values, 1))


def paths_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    humps = {"lt": (0.03, 0.006), "scratch": (0.08, 1.8), "prune_other": (0.04, 1.1)}
    for split, more in (("train", 0.0), ("test", 0.05)):
        for seed in SEEDS:
            for end in (*humps, "lt_start", "scratch_start"):
                luck = np.exp(0.15 * random.standard_normal())
                for alpha in np.linspace(-0.2, 1.2, 29).round(9):
                    if end in humps:
                        loss = 0.04 + 0.02 * (1 - alpha) + luck * 4 * humps[end][1] * max(0.0, alpha * (1 - alpha))
                        loss += 3 * luck * max(0.0, -alpha, alpha - 1)
                    else:
                        middle = 0.55 if end == "lt_start" else 0.75
                        loss = 0.04 + 2.26 / (1 + np.exp(14 * luck * (alpha - middle)))
                    told = {"network": NETWORKS[0], "end": end, "density": DENSITY, "seed": seed, "alpha": alpha}
                    yield {**told, "loss": loss + more, "error": 10 * loss, "split": split}


def distances_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Points in 40 dimensions: the ticket's start is near the parent, its ends are nearer, scratch is far."""

    def far(length: float) -> np.ndarray:
        towards = random.standard_normal(40)
        return length * towards / np.linalg.norm(towards)

    for seed in SEEDS:
        points = {"prune_end": np.zeros(40), "lt_start": far(12.1), "scratch_start": far(16.5)}
        for number in range(1, 6):
            points[f"lt_end_{number}"] = 0.45 * points["lt_start"] + far(1.5)
            points[f"scratch_end_{number}"] = points["scratch_start"] + far(17.0)
        for a, b in combinations(points, 2):
            distance = float(np.linalg.norm(points[a] - points[b]))
            yield {"network": NETWORKS[0], "density": DENSITY, "seed": seed, "a": a, "b": b, "distance": distance}


def agreements_of(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    told = {"lt": (0.0043, 0.0089, 98.52, 0.06), "scratch": (0.0316, 0.0278, 97.04, 0.96)}
    told |= {"prune_other": (0.0214, 0.0197, 98.3, 0.77), "lt_reinit": (0.028, 0.026, 97.3, 0.8)}
    told["same_seed"] = (0.0, 0.0089, 98.52, 0.0)
    for group, (among, parent, accuracy, gain) in told.items():
        for seed in SEEDS:
            a, b, c, d = np.exp(0.06 * random.standard_normal(4))
            score, wrong = accuracy + 0.1 * random.standard_normal(), 1 - accuracy / 100
            about = {"network": NETWORKS[0], "group": group, "density": DENSITY, "seed": seed}
            about |= {"disagreement": a * among, "with_parent": b * parent, "expected": c * (2 * wrong - wrong**2)}
            yield {**about, "accuracy": score, "ensemble": score + d * gain, "gain": d * gain}


def every_figure(found: Study) -> Iterator[tuple[str, Picture]]:
    network = NETWORKS[0]
    yield "norms", show.gradient_norms(found.traces, network)
    yield "updates", show.update_changes(found.traces, network)
    yield "signals", show.logit_scale(found.signals, network)
    yield "spectrum", show.spectrum(found.spectra, network)
    yield "map", show.solution_map(found.distances, network, 0)
    yield "paths", show.to_the_pruned(found.interpolations, network)
    yield "agreement", show.agreement(found.agreements, network)
    yield "accuracies", show.accuracies(found.table, network)
    yield "explore", show.explore_plot(found.traces, network)


@cache
def drawn() -> dict[str, Picture]:
    """The figures of the whole study; tests read them and change nothing."""
    return dict(every_figure(study()))


@pytest.fixture(scope="module")
def found() -> Study:
    return study()


def pick(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def edges(band: Any, x: float) -> tuple[float, float]:
    """The lower and upper edge of a band at x."""
    vertices = band.get_paths()[0].vertices
    there = vertices[np.isclose(vertices[:, 0], x)][:, 1]
    return there.min(), there.max()


def test_names_are_those_of_the_study():
    """They are written down twice since the study loads torch and figures don't."""
    assert set(LOOKS) == set(asked.INITS)
    assert set(UPDATING) == set(asked.UPDATING)
    methods = {method for method, *_ in arms(full=True)}
    assert methods | {"prune_other"} == set(METHODS)
    for looks in (METHODS, LOOKS):
        assert len({look.label for look in looks.values()}) == len(looks)
        assert len({(look.color, look.marker, look.line) for look in looks.values()}) == len(looks)


def test_tables_call_arms_what_the_figures_call_them():
    rows = pd.DataFrame({"of": ["rigl", "lt_start"], "init": ["neuron", ""], "distribution": ["erk", "pruned"]})
    page = show.shown(rows).to_html()
    told = re.findall(r"<td[^>]*>([^<]*)</td>", page)
    assert told == [METHODS["rigl"].label, LOOKS["neuron"].label, "ERK", "ticket, start", "", "pruned"]


def test_norms_have_panels_by_start_and_the_dense_networks_in_each():
    figure = drawn()["norms"]
    assert titles(figure) == [
        "static masks (pruned), by start",
        *("start: dense He, masked", "start: scaled per neuron"),
        "random masks (uniform), scaled per neuron",
    ]
    moving = {"set", "rigl", "rigl_inverted"}
    shown = [{gid[5:] for gid in gids(axes) if gid.startswith("mean:")} for axes in figure.axes]
    assert shown[0] == {"dense", "small_dense", "dense_glorot", "dense_he", "neuron"}
    assert shown[1] == {"dense", "small_dense", "lt", "scratch"} | moving
    assert shown[2] == {"dense", "small_dense", "scratch"} | moving
    assert shown[3] == {"dense", "small_dense"} | {f"{name}:uniform" for name in moving | {"scratch"}}
    assert entries(figure.axes[0].get_legend())[-2:] == ["dense He, masked", "scaled per neuron"]
    assert entries(figure.axes[1].get_legend())[2:4] == ["ticket", "scratch: static mask"]
    assert entries(figure.legends[0]) == ["one seed", "95 % interval"]
    assert figure.get_suptitle().startswith("LeNet-5, density 0.05\nmasks from pruning, ")


def test_norms_are_geometric_means_with_intervals_of_logarithms(found: Study):
    axes = drawn()["norms"].axes[1]
    assert axes.get_yscale() == "log"
    where = {"network": NETWORKS[0], "method": "scratch", "init": "dense_he", "distribution": "pruned"}
    rows = pick(found.traces, **where, moment="step")
    logs = np.log10(rows["gradient_norm"]).groupby(rows["share"])
    x, y = part(axes, "mean:scratch").get_data()
    assert list(x) == pytest.approx([step / STEPS for step in range(0, STEPS + 1, EVERY)])
    assert list(y) == pytest.approx(list(10 ** logs.mean()))
    for share, values in logs:
        assert edges(part(axes, "band:scratch"), share) == pytest.approx([10**end for end in t_interval(values)])
    lines = part(axes, "seeds:scratch").get_segments()
    assert len(lines) == len(SEEDS)
    one = rows[rows["seed"] == 2].sort_values("share")
    assert any(np.allclose(line[:, 1], one["gradient_norm"]) for line in lines)
    low, high = axes.get_ylim()
    assert low < rows["gradient_norm"].min() < rows["gradient_norm"].max() < high


def test_training_begins_at_the_left_with_more_room(found: Study):
    axes = drawn()["norms"].axes[-1]
    left, early, late, right = axes.transData.transform([(x, 1.0) for x in (0, 0.1, 0.9, 1)])[:, 0]
    assert early - left > 3 * (right - late)
    assert axes.get_xlim() == (0, 1)
    by_step = show.gradient_norms(pick(found.traces, method="lt"), NETWORKS[0], x="step").axes[-1]
    assert by_step.get_xlim() == (0, STEPS)
    assert list(by_step.get_xticks()) == [0, 2, 10, 20, 50, 100, 150, 200]


def test_a_diverged_seed_leaves_the_mean_and_a_cross(found: Study):
    lost = found.traces[found.traces["method"].isin(("lt", "scratch", "rigl")) & (found.traces["init"] == "dense_he")]
    lost = lost.copy()
    lost.loc[(lost["method"] == "rigl") & (lost["seed"] == 1) & (lost["step"] >= 60), "gradient_norm"] = np.nan
    lost.loc[(lost["method"] == "lt"), "gradient_norm"] = np.nan
    figure = show.gradient_norms(lost, NETWORKS[0])
    (axes,) = figure.axes
    cross = part(axes, "lost:rigl")
    assert cross.get_offsets().tolist() == [[60 / STEPS, 0.0]]
    assert cross.get_offset_transform() == axes.get_xaxis_transform()
    rows = pick(found.traces, network=NETWORKS[0], method="rigl", init="dense_he", moment="step", distribution="pruned")
    kept = np.log10(rows.loc[rows["seed"] != 1, "gradient_norm"]).groupby(rows["share"]).mean()
    assert list(part(axes, "mean:rigl").get_ydata()) == pytest.approx(list(10**kept))
    assert "mean:lt" not in gids(axes)
    assert "diverged, left out" in entries(figure.legends[0])


def test_changes_by_hand():
    about = {"network": "lenet5", "method": "rigl", "init": "neuron", "distribution": "pruned", "density": 0.05}
    about |= {"seed": 0, "run": "run-a", "step": 50, "share": 0.25}
    rows = [{**about, "moment": "before", "gradient_norm": 3.0, "gain": 16.0}]
    rows += [{**about, "moment": "after", "gradient_norm": 4.5, "gain": np.nan}]
    rows += [{**about, "moment": "step", "gradient_norm": 9.0, "gain": np.nan}]
    rows += [{**row, "method": "scratch"} for row in rows]
    told = changes(pd.DataFrame(rows))
    assert told[["change", "predicted", "percent"]].to_numpy().tolist() == [[1.5, 2.0, 25.0]]
    one = show.update_changes(pd.DataFrame(rows), "lenet5")  # a single update of a single seed is a point
    assert [list(part(axes, "mean:rigl").get_ydata()) for axes in one.axes] == [[1.5], [2.0]]


def test_updates_show_the_measured_change_beside_the_predicted(found: Study):
    figure = drawn()["updates"]
    assert titles(figure) == [
        *("dense He, masked, measured", "dense He, masked, predicted"),
        *("scaled per neuron, measured", "scaled per neuron, predicted"),
    ]
    rows = pick(changes(found.traces), init="neuron", distribution="pruned", network=NETWORKS[0])
    for axes, column in zip(figure.axes[2:], ("change", "predicted"), strict=True):
        for method in UPDATING:
            groups = pick(rows, method=method).groupby("percent")[column]
            x, y = part(axes, f"mean:{method}").get_data()
            assert list(x) == pytest.approx([100 * step / STEPS for step in UPDATES])
            assert list(y) == pytest.approx(list(groups.mean()))
            ends = edges(part(axes, f"band:{method}"), 10.0)
            assert ends == pytest.approx(t_interval(groups.get_group(10.0)), abs=1e-12)
        assert list(part(axes, "zero").get_ydata()) == [0, 0]
    assert figure.axes[2].get_ylim() == figure.axes[3].get_ylim()
    assert entries(figure.legends[0])[:3] == ["RigL", "SET", "RigL inverted"]


def test_logits_are_drawn_for_both_masked_starts_and_both_masks(found: Study):
    figure = drawn()["signals"]
    assert titles(figure) == ["even masks", "uneven masks"]
    for axes, mask in zip(figure.axes, ("uniform", "uneven"), strict=True):
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        left, right = axes.get_xlim()
        assert left > 1 > 0.02 > right
        for init in INITS:
            rows = pick(found.signals, init=init, mask=mask)
            logs = np.log10(rows["sd"]).groupby(1 - rows["sparsity"])
            assert list(part(axes, f"mean:{init}").get_ydata()) == pytest.approx(list(10 ** logs.mean()))
            bars = [tuple(bar[:, 1]) for bar in part(axes, f"interval:{init}").get_segments()]
            wanted = [[10**end for end in t_interval(values)] for _, values in logs]
            assert np.array(bars) == pytest.approx(np.array(wanted))
            assert len(part(axes, f"seeds:{init}").get_offsets()) == len(rows)
    assert entries(figure.legends[0])[:5] == [LOOKS[name].label for name in INITS]


def test_no_signal_ends_the_line_with_a_cross(found: Study):
    mute = found.signals.copy()
    mute.loc[(mute["init"] == "dense_he") & (mute["sparsity"] == 0.98) & (mute["seed"] == 0), "sd"] = 0.0
    figure = show.logit_scale(mute, NETWORKS[0])
    y = part(figure.axes[0], "mean:dense_he").get_ydata()
    assert np.isnan(y[0])  # 0 in the logarithm's scale, at the lowest density
    assert np.isfinite(y[1:]).all()
    assert len(part(figure.axes[0], "silent:dense_he").get_offsets()) == 1
    alone = show.logit_scale(mute[mute["seed"] == 0], NETWORKS[0])
    assert "silent:dense_he" in gids(alone.axes[0])
    assert "silent:neuron" not in gids(figure.axes[0])
    assert "a seed without signal" in entries(figure.legends[0])
    assert "a seed without signal" not in entries(drawn()["signals"].legends[0])


def test_the_spectrum_counts_eigenvalues_in_bins(found: Study):
    figure = drawn()["spectrum"]
    firsts = [title.split("\n")[0] for title in titles(figure) if title]
    assert firsts == [
        *("RigL (scaled), step 20", "RigL (scaled), start → end", "SET (scaled), step 20"),
        *("RigL inverted (scaled), step 20", "ticket (He), start → end"),
        *("scratch (He), start → end", "scratch (scaled), start → end"),
    ]
    axes = figure.axes[0]
    for name, moment in (("first", "before"), ("second", "after")):
        counts, bins, _ = part(axes, f"mean:{name}").get_data()
        rows = pick(found.spectra, method="rigl", moment=moment)
        assert counts.sum() == pytest.approx(100)
        least = bins[bins > 0].min()
        assert counts[bins[1:] < 0].sum() == pytest.approx((rows["value"] < -least).sum() / len(SEEDS))
        assert list(counts) == pytest.approx(list(np.histogram(rows["value"], bins)[0] / len(SEEDS)))
    assert (bins == -bins[::-1]).all()
    dots = part(axes, "seeds:second").get_offsets()
    assert dots[:, 1].sum() == 100 * len(SEEDS)


def test_the_spectrum_says_count_and_mass_of_what_is_negative(found: Study):
    _, negative, mass = titles(drawn()["spectrum"])[0].split("\n")
    assert negative == "λ < 0: 14 → 34, +20 [20, 20]"  # 12 + seed, and 20 more
    first, second = (pick(found.spectra, method="rigl", moment=moment) for moment in ("before", "after"))
    sides = [rows.groupby("seed")["mass"].first() for rows in (first, second)]
    low, high = t_interval(sides[1] - sides[0])
    numbers = [float(text) for text in mass.replace("→", " ").replace("[", " ").translate({44: 32, 93: 32}).split()[1:]]
    change = sides[1].mean() - sides[0].mean()
    assert numbers == pytest.approx([sides[0].mean(), sides[1].mean(), change, low, high], abs=0.051)
    rigl = pick(found.spectra, method="rigl")
    lost = rigl.copy()
    lost.loc[(lost["seed"] == 1), ["value", "negative", "mass"]] = np.nan
    said = titles(show.spectrum(lost, NETWORKS[0]))[0].split("\n")
    assert said[0] == "RigL (scaled), step 20, n = 3"
    assert said[1].startswith("λ < 0: 14 → 34")
    alone = titles(show.spectrum(rigl[rigl["seed"] == 0], NETWORKS[0]))[0].split("\n")
    assert alone[1] == "λ < 0: 12 → 32, +20"


def test_the_first_of_several_updates_is_drawn(found: Study):
    rows = found.spectra[(found.spectra["method"] == "rigl") & found.spectra["moment"].isin(("before", "after"))]
    figure = show.spectrum(pd.concat([rows.assign(step=40), rows]), NETWORKS[0])
    assert titles(figure) == titles(drawn()["spectrum"])[:1]


def test_the_map_has_true_distances_on_its_edges(found: Study):
    figure = drawn()["map"]
    (axes,) = figure.axes
    rows = pick(found.distances, seed=0)
    far = {(told["a"], told["b"]): told["distance"] for told in rows.to_dict("records")}
    ends = {arm: [far["prune_end", f"{arm}_end_{n}"] for n in range(1, 6)] for arm in ("lt", "scratch")}
    assert {gid: part(axes, gid).get_text() for gid in gids(axes) if gid.startswith("distance:")} == {
        "distance:lt_start": f"start {far['prune_end', 'lt_start']:.3g}",
        "distance:lt_end": f"ends {np.mean(ends['lt']):.3g}",
        "distance:scratch_start": f"start {far['prune_end', 'scratch_start']:.3g}",
        "distance:scratch_end": f"ends {np.mean(ends['scratch']):.3g}",
    }
    among = [far[f"lt_end_{a}", f"lt_end_{b}"] for a, b in combinations(range(1, 6), 2)]
    assert f"ticket: ends, {np.mean(among):.3g} apart" in entries(figure.legends[0])
    names = list(dict.fromkeys([*rows["a"], *rows["b"]]))
    square = np.array([[far.get((a, b), far.get((b, a), 0.0)) for b in names] for a in names])
    points, share = scaled(square)
    at = np.column_stack(part(axes, "at:scratch_end").get_data())
    assert at == pytest.approx(points[[names.index(f"scratch_end_{n}") for n in range(1, 6)]])
    assert f"{100 * share:.0f} %" in figure.get_suptitle()
    path = np.column_stack(part(axes, "path:lt_end_3").get_data())
    assert path == pytest.approx(points[[names.index("lt_start"), names.index("lt_end_3")]])
    assert part(axes, "at:lt_start").get_markerfacecolor() == "white"


def test_the_map_leaves_out_what_diverged(found: Study):
    lost = found.distances.copy()
    lost.loc[(lost["a"] == "scratch_end_2") | (lost["b"] == "scratch_end_2"), "distance"] = np.nan
    figure = show.solution_map(lost, NETWORKS[0], 0)
    assert len(part(figure.axes[0], "at:scratch_end").get_xdata()) == 4
    assert entries(figure.legends[0])[-1] == "1 diverged, left out"
    gone = lost.assign(distance=np.nan)
    said = "LeNet-5: no distances between solutions of seed 0 at density 0.05"
    assert texts(show.solution_map(gone, NETWORKS[0], 0)) == [said]


def test_barriers_and_means_by_hand():
    line = {-0.5: 9.0, 0.0: 0.0, 0.5: 1.0, 1.0: 0.5, 1.5: 7.0}
    rows = [{"end": "lt", "seed": 0, "alpha": alpha, "loss": loss} for alpha, loss in line.items()]
    rows += [{**row, "seed": 1, "loss": np.nan if row["alpha"] == 0.5 else 1.0} for row in rows]
    told = summaries(pd.DataFrame(rows)).set_index("seed")
    assert tuple(told.loc[0, ["barrier", "mean"]]) == (0.75, 0.625)
    assert told.loc[1, ["barrier", "mean"]].isna().all()


def test_paths_to_the_pruned_solution_have_bands_and_their_barriers(found: Study):
    figure = drawn()["paths"]
    assert titles(figure) == ["from trained networks", "from initial weights"]
    rows = pick(found.interpolations, split="train")
    for axes, names in zip(figure.axes, (("lt", "scratch", "prune_other"), ("lt_start", "scratch_start")), strict=True):
        for name in names:
            groups = pick(rows, end=name).groupby("alpha")["loss"]
            assert list(part(axes, f"mean:{name}").get_ydata()) == pytest.approx(list(groups.mean()))
            assert edges(part(axes, f"band:{name}"), 0.5) == pytest.approx(t_interval(groups.get_group(0.5)))
        assert {"end:0", "end:1"} <= gids(axes)
        assert axes.get_xlim() == pytest.approx((-0.2, 1.2))
    barriers = summaries(pick(rows, end="scratch"))["barrier"]
    low, high = t_interval(barriers)
    said = entries(figure.axes[0].get_legend())
    assert said[1] == f"scratch:\nbarrier {barriers.mean():.2f}\n[{low:.2f}, {high:.2f}]"
    assert entries(figure.axes[1].get_legend())[0].startswith("ticket:\nmean loss 1.")
    test = show.to_the_pruned(found.interpolations, NETWORKS[0], split="test")
    assert test.axes[0].get_ylabel() == "loss, test set (nats)"


def test_agreement_has_bars_seeds_the_expected_and_ensembles(found: Study):
    figure = drawn()["agreement"]
    groups = ["lt", "scratch", "lt_reinit", "prune_other", "same_seed"]
    parent, mutual, gain, accuracy = figure.axes
    for axes, column, factor in ((parent, "with_parent", 100), (mutual, "disagreement", 100), (gain, "gain", 1)):
        for place, name in enumerate(groups):
            values = factor * pick(found.agreements, group=name)[column]
            bar = part(axes, f"bar:{name}")
            assert bar.get_width() == pytest.approx(values.mean())
            assert bar.get_y() + bar.get_height() / 2 == pytest.approx(place)
            assert sorted(part(axes, f"seeds:{name}").get_offsets()[:, 0]) == pytest.approx(sorted(values))
            if name != "same_seed":
                (ends,) = part(axes, f"interval:{name}").get_segments()
                assert tuple(ends[:, 0]) == pytest.approx(t_interval(values))
    for name in groups:
        rows = pick(found.agreements, group=name)
        assert part(mutual, f"expected:{name}").get_xdata() == pytest.approx([100 * rows["expected"].mean()])
        assert part(accuracy, f"mean:{name}").get_xdata() == pytest.approx([rows["accuracy"].mean()])
        assert part(accuracy, f"ensemble:{name}").get_xdata() == pytest.approx([rows["ensemble"].mean()])
    assert not any(gid.startswith("bar:") for gid in gids(accuracy))
    assert next(tick.get_text() for tick in parent.get_yticklabels()) == "ticket"


def test_a_group_that_diverged_is_a_cross(found: Study):
    lost = found.agreements.copy()
    lost.loc[lost["group"] == "lt_reinit", ["disagreement", "with_parent", "expected", "ensemble", "gain"]] = np.nan
    figure = show.agreement(lost, NETWORKS[0])
    assert {"lost:lt_reinit"} == {gid for gid in gids(figure.axes[0]) if gid.startswith("lost:")}
    assert "bar:lt_reinit" not in gids(figure.axes[0])
    assert "diverged, left out" in entries(figure.legends[0])


def test_accuracies_compare_masks_of_one_layout_and_no_second_twins(found: Study):
    figure = drawn()["accuracies"]
    assert titles(figure) == [
        "static masks (uniform), by start",
        *("start: dense He, masked", "start: scaled per neuron"),
        "random masks (uniform unless said), scaled per neuron",
    ]
    first = found.table[(found.table["network"] == NETWORKS[0]) & (found.table["twin"] == 0)]
    whole = pick(first, method="dense")["accuracy"]
    for axes in figure.axes:
        assert part(axes, "line:dense").get_ydata() == pytest.approx([whole.mean()] * 2)
    rows = pick(first, method="scratch", init="neuron", distribution="pruned", density=DENSITY)
    axes = figure.axes[2]
    assert list(part(axes, "mean:scratch").get_ydata()) == pytest.approx([rows["accuracy"].mean()])
    (bar,) = part(axes, "interval:scratch").get_segments()
    assert tuple(bar[:, 1]) == pytest.approx(t_interval(rows["accuracy"]))
    shown = {gid[5:] for gid in gids(figure.axes[3]) if gid.startswith("mean:")}
    assert {"scratch:uniform", "scratch:er", "scratch:erk", "rigl:erk", "rigl_lt:uniform"} <= shown
    assert not any(name.endswith("pruned") for name in shown)
    assert entries(figure.axes[3].get_legend())[2:6] == ["scratch, uniform", "scratch, ER", "scratch, ERK", "SET"]
    rigl = pick(first, method="rigl", init="neuron", distribution="uniform").groupby("density")["accuracy"].mean()
    assert list(part(figure.axes[3], "mean:rigl:uniform").get_ydata()) == pytest.approx(list(rigl))
    assert figure.axes[0].get_ylim()[0] > 20  # the second twins, at 10 %, are not in it


def test_a_study_of_random_masks_alone_needs_no_pruned_ones(found: Study):
    rows = found.table[found.table["distribution"] != "pruned"]
    figure = show.accuracies(rows, NETWORKS[0])
    assert titles(figure) == ["static masks (uniform), by start", "start: scaled per neuron"]
    assert "random masks, uniform" in figure.get_suptitle()
    lost = rows.assign(outcome="missing")
    assert texts(show.accuracies(lost, NETWORKS[0])) == ["LeNet-5: no sparse networks"]


def test_the_explorers_plot_takes_every_choice(found: Study, monkeypatch: pytest.MonkeyPatch):
    choices = show.explore_choices(found.traces)
    assert list(choices) == ["network", "method", "start", "density", "metric", "masks"]
    assert choices["network"]["ResNet-8 ×0.5 with BatchNorm"] == NETWORKS[1]
    assert next(iter(choices["method"].values())) == "all"
    assert choices["density"] == {"0.05": 0.05}
    assert choices["masks"] == {"pruned": "pruned", "uniform": "uniform"}
    displayed: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda *given, **_: displayed.extend(given))
    monkeypatch.delenv("LTKIT_HEADLESS", raising=False)
    widget = explorer(show.explore_plot, found.traces, **choices)
    network, method, start, _, metric, masks = widget.children[0].children
    start.value = "all"
    method.value = "scratch"
    figure = displayed[-1]
    assert entries(figure.axes[0].get_legend()) == [
        *("dense network", "dense Glorot, masked", "dense He, masked", "scaled per neuron")
    ]
    metric.value = "training loss"
    axes = displayed[-1].axes[0]
    assert axes.get_ylabel() == "loss on the fixed batch (nats)"
    rows = pick(
        found.traces, network=NETWORKS[0], method="scratch", init="neuron", distribution="pruned", moment="step"
    )
    losses = 10 ** np.log10(rows["loss"]).groupby(rows["step"]).mean()
    assert list(part(axes, "mean:scratch:neuron").get_ydata()) == pytest.approx(list(losses))
    masks.value = "uniform"
    assert "random masks, uniform" in displayed[-1].get_suptitle()
    network.value = NETWORKS[1]
    assert texts(displayed[-1]) == [
        "ResNet-8 ×0.5 with BatchNorm: no scratch: static mask, masks uniform at density 0.05"
    ]


def test_the_explorers_mistakes_are_said(found: Study):
    for wrong, says in (
        ({"method": "rigle"}, "no method 'rigle' \\(did you mean 'rigl'"),
        ({"start": "neurons"}, "no start 'neurons' \\(did you mean 'neuron'"),
        ({"metric": "all"}, "no metric 'all'"),
    ):
        with pytest.raises(UserError, match=says):
            show.explore_plot(found.traces, NETWORKS[0], **wrong)
    both = show.explore_plot(found.traces, NETWORKS[0], "all", "all")
    assert "RigL, scaled per neuron" in entries(both.axes[0].get_legend())


def test_what_a_table_lacks_is_said(found: Study):
    name, nothing, dense = NETWORKS[0], pd.DataFrame(), found.traces[found.traces["method"] == "dense"]
    for figure, text in (
        (show.gradient_norms(nothing, name), "no gradient norms of sparse networks"),
        (show.gradient_norms(dense, name), "no gradient norms of sparse networks"),
        (show.gradient_norms(found.traces, name, 0.5), "no gradient norms of sparse networks at density 0.5"),
        (show.update_changes(nothing, name), "no mask updates"),
        (show.update_changes(dense, name), "no mask updates"),
        (show.logit_scale(nothing, name), "no logits at init"),
        (show.spectrum(nothing, name), "no eigenvalues of sparse networks"),
        (show.solution_map(nothing, name, 0), "no distances between solutions of seed 0"),
        (show.to_the_pruned(nothing, name), "no paths to the pruned solution"),
        (show.agreement(nothing, name), "no networks to compare with the pruned one"),
        (show.accuracies(nothing, name), "no sparse networks"),
        (show.explore_plot(nothing, name, "rigl"), "no RigL, dense He, masked"),
    ):
        assert texts(figure) == [f"LeNet-5: {text}"]


def test_an_unknown_network_is_the_users_mistake(found: Study):
    for draw, table in (
        (show.gradient_norms, found.traces),
        (show.update_changes, found.traces),
        (show.logit_scale, found.signals),
        (show.spectrum, found.spectra),
        (lambda table, name: show.solution_map(table, name, 0), found.distances),
        (show.to_the_pruned, found.interpolations),
        (show.agreement, found.agreements),
        (show.accuracies, found.table),
        (show.explore_plot, found.traces),
    ):
        with pytest.raises(UserError, match=r"no network 'lenet_5' in the table \(did you mean 'lenet5'\?\)"):
            draw(table, "lenet_5")
    with pytest.raises(UserError, match="no seed '9' in the table"):
        show.solution_map(found.distances, NETWORKS[0], 9)


def test_one_seed_of_a_few_methods_has_no_interval(found: Study):
    few = found.where(seed=(0,), density=(1.0, DENSITY), method=("lt", "rigl"), init=("dense_he", "neuron"))
    for _, figure in every_figure(few.where(group=("lt",), end=("scratch", "lt_start"), mask=("uneven",))):
        known = {gid for axes in figure.axes for gid in gids(axes)} - {"band:one"}
        assert known
        assert not any(gid.startswith(("interval:", "band:")) for gid in known)
        assert "95 % interval" not in [text for legend in figure.legends for text in entries(legend)]


def test_all_texts_are_legible_and_nothing_leaves_the_figure():
    for name, figure in drawn().items():
        assert_legible(figure, name)
        assert_texts_apart(figure, name)
        assert_legends_apart(figure, name)


def test_figures_come_without_torch():
    assert_comes_without_torch("ltkit.show.gradient_flow")
