"""The greedy-bounds study: its parameters and grid, its layers, and what it measures on a tiny network."""

import contextlib
import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from ltkit import data, params
from ltkit.analyze import bounds
from ltkit.analyze.regimes import gaussian, orthonormal, two_layer
from ltkit.errors import UserError
from ltkit.lab import Lab
from ltkit.prune import greedy
from ltkit.prune.channels import contributions, groups
from ltkit.prune.network import RULES
from ltkit.studies import existence
from ltkit.studies import greedy_bounds as study
from ltkit.studies import greedy_bounds_claims as claims
from ltkit.studies import greedy_bounds_controls as controls
from ltkit.studies import greedy_bounds_curves as curves
from ltkit.studies import greedy_bounds_layers as layers
from ltkit.studies import greedy_bounds_networks as networks
from ltkit.studies import greedy_bounds_picks as picked
from ltkit.studies import greedy_bounds_workers as workers
from ltkit.studies.gradient_flow_measures import training_images
from ltkit.studies.greedy_bounds_evidence import Tables
from ltkit.studies.greedy_bounds_params import CONTRASTS, LOCAL, ORIGINAL, SEEING, Params
from ltkit.verdict import GREEDY_BOUNDS

ROOT = Path(__file__).resolve().parents[1]
SMOKE = params.load(ROOT / "params/smoke/greedy_bounds.yaml", Params)
QUICK = params.load(ROOT / "params/quick/greedy_bounds.yaml", Params)
NAME = "lenet_300_100*0.15"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"networks": ["lenet_6"]}, "did you mean 'lenet_5'"),
        ({"contrasts": ["lenet_300_100*0.2"]}, "contrasts: lenet_300_100\\*0.2 stands among networks already"),
        ({"networks": ["lenet_5", "lenet_5"]}, "networks: lenet_5 stands among networks already"),
        ({"dimensions": [5, 500]}, "dimensions must be below neurons \\(500\\), not 500"),
        ({"dimensions": [5, 5]}, "dimensions names a value twice"),
        ({"few_neurons": 101}, "few_neurons \\(101\\) must be at most many_dimensions \\(100\\)"),
        ({"toy_sizes": [20, 5]}, "toy_sizes must rise"),
        ({"toy_sizes": [5, 60]}, "toy_sizes must be below toy_width \\(60\\), not 60"),
        ({"budgets": [1.0]}, "budgets"),
        ({"error": 0.0}, "error"),
        ({"steps": 10}, "steps"),
    ],
)
def test_parameters_that_make_no_sense_are_one_line(change, says):
    with pytest.raises(UserError, match=says) as caught:
        Params(**{**SMOKE.model_dump(), **change})
    assert "\n" not in str(caught.value)


def test_rules_and_budgets_of_a_network():
    first, second = QUICK.budgets
    whole, contrast = QUICK.networks[0], QUICK.contrasts[0]
    assert set(QUICK.rules_of(whole, first)) == {*RULES, ORIGINAL} == {*LOCAL, ORIGINAL, *SEEING}
    assert QUICK.rules_of(whole, second) == (*LOCAL, ORIGINAL, "global")
    assert QUICK.rules_of(contrast, first) == CONTRASTS
    assert QUICK.budgets_of(whole) == (first, second)
    assert QUICK.budgets_of(contrast) == (first,)


def test_quick_shares_its_dense_runs_with_the_existence_study():
    other = params.load(ROOT / "params/quick/existence.yaml", existence.Params)
    theirs = {run.name for _, run in existence.grid(other)}
    for name in ("lenet_300_100", "resnet8*0.5"):
        assert {run.name for labels, run in study.grid(QUICK) if labels["network"] == name} <= theirs
    labels = [labels for labels, _ in study.grid(QUICK)]
    assert labels == [{"network": name, "seed": seed} for name in QUICK.every for seed in QUICK.seeds]


# Layers


def test_turning_keeps_all_products():
    phi = gaussian(12, 40, 0)
    turned = layers.turned(phi)
    assert turned.shape == (12, 12)
    assert turned @ turned.T == pytest.approx(phi @ phi.T, rel=1e-12, abs=1e-12)
    assert layers.turned(turned) is turned
    one, other = bounds.geometry(phi), bounds.geometry(turned)
    for field in ("diameter", "spread", "radius", "target"):
        assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-9)


def test_effective_rank_counts_directions():
    assert layers.effective_rank(orthonormal(9)) == pytest.approx(8)
    assert layers.effective_rank(np.array([[0.0, 3], [0, 5], [0, 9]])) == pytest.approx(1)
    assert layers.effective_rank(gaussian(4000, 10, 0)) == pytest.approx(10, rel=0.02)
    assert layers.effective_rank(np.ones((5, 3))) == 0
    wide = gaussian(20, 300, 0)
    assert layers.effective_rank(wide) == pytest.approx(layers.effective_rank(layers.turned(wide)))


@pytest.fixture(scope="module")
def walk():
    phi = two_layer(60, 5, 0)
    return layers.walk(layers.Layer(layers.SYNTHETIC, "", "", 5, 0, phi, ""), 80)


def test_paths_are_those_of_the_selectors(walk):
    phi, problem = walk.layer.phi, greedy.from_contributions(walk.layer.phi)
    assert set(walk.paths) == set(layers.METHODS)
    assert walk.paths["line"].picks.tolist() == greedy.direct(phi, 80, tol=0.0).picks.tolist()
    assert walk.paths["one_over_k"].picks.tolist() == greedy.one_over_k(problem, 80).picks.tolist()
    assert walk.paths["norm"].picks.tolist() == greedy.norm(problem, 60).picks.tolist()
    for path in walk.paths.values():
        weights = greedy.prefix(path, len(path.picks)).weights
        assert path.errors[-1] == pytest.approx(((weights @ phi - phi.mean(axis=0)) ** 2).sum(), rel=1e-6, abs=1e-20)


def test_reached_is_the_best_with_so_many_neurons(walk):
    path = walk.paths["line"]
    for neurons in (1, 4):
        there = path.sizes == neurons
        found = layers.reached(path, neurons)
        assert found.errors[-1] == path.errors[there].min()
        assert np.count_nonzero(found.weights) == neurons
    assert layers.reached(path, 1000) is None


def test_random_neurons_are_b7s_and_a_wrong_target_is_seen(walk):
    assert abs(layers.standard_errors(walk.layer, walk.given, 10, 1000)) < 4
    wrong = bounds.Geometry(**{**vars(walk.given), "spread": 1.2 * walk.given.spread})
    assert abs(layers.standard_errors(walk.layer, wrong, 10, 1000)) > 4
    sharp = layers.walk(layers.Layer(layers.SYNTHETIC, "", "", 8, 0, orthonormal(8), ""), 30)
    assert layers.standard_errors(sharp.layer, sharp.given, 3, 100) == 0


def test_bounds_are_told_as_the_claims_judge_them(walk):
    found = curves._holds(walk)
    line, step, given = walk.paths["line"], walk.paths["one_over_k"], walk.given
    seen = line.errors[1:] > 1e-12 * given.target
    ratios = line.errors[1:][seen] / line.errors[:-1][seen] - (1 - (given.radius / given.diameter) ** 2)
    assert ratios.max() <= found["b1"] < 0
    k = np.arange(1, len(step.errors) + 1)
    reach = given.diameter**2 / (2 * given.radius) + given.diameter
    assert found["b3"] == pytest.approx((k * np.sqrt(step.errors)).max() / reach - 1)
    assert (k * step.errors).max() / given.spread - 1 <= found["b2"] + 1e-9
    assert -1 < found["b2"] < 0
    assert 0 <= found["b4"] < 1
    assert (found["rank"], found["radius"]) == (5, given.radius / given.diameter)
    assert np.isnan(found["b5"])


def test_each_bound_can_be_seen_to_fail(walk):
    square = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1], [0, 3]])
    path = greedy.one_over_k(greedy.from_contributions(square), 6)
    assert curves._kept(square, path) > 1e9  # the simple step rises
    assert curves._ratio(np.array([1.0, 0.5, 0.49]), 0.9, 0.0) == pytest.approx(0.08)
    assert curves._ratio(np.array([1.0, 0.5, 0.49]), 0.9, 0.495) == pytest.approx(-0.4)
    assert np.isnan(curves._ratio(np.array([1.0, 0.5]), float("nan"), 0.0))


def test_work_is_shared_out_among_processes(tmp_path):
    lab, work = Lab(tmp_path, device="cpu", workers=2), [functools.partial(divmod, 7, n) for n in (2, 3, 4)]
    assert workers.side_by_side(work, lab) == [(3, 1), (2, 1), (1, 3)]
    processes = workers.side_by_side([os.getpid] * 4, lab)
    assert os.getpid() not in processes
    assert set(workers.side_by_side([torch.get_num_threads] * 2, lab)) == {1}
    with pytest.raises(ZeroDivisionError):
        workers.side_by_side([functools.partial(divmod, 7, n) for n in (1, 0)], lab)
    workers._pool(2).shutdown()
    workers._pool.cache_clear()
    # Where processes are forked, what the study needs is imported before it is asked for.
    known = functools.partial(eval, "'ltkit.studies.greedy_bounds_picks' in __import__('sys').modules")
    workers.prepare(lab)
    assert workers.side_by_side([known, known], lab) == 2 * ["forkserver" in multiprocessing.get_all_start_methods()]
    workers._pool(2).shutdown()
    workers._pool.cache_clear()
    one = Lab(tmp_path, device="cpu", workers=1)
    assert set(workers.side_by_side([os.getpid] * 4, one)) == {os.getpid()}


def test_the_toy_is_trained_in_the_background(tmp_path, monkeypatch):
    begun, goes_on = threading.Event(), threading.Event()

    def toy(width, sizes, seeds):
        begun.set()
        assert goes_on.wait(60)
        return pd.DataFrame({"size": list(sizes), "seed": seeds[0]})

    monkeypatch.setattr(curves, "two_layer_toy", toy)
    given, lab = SMOKE.replace(toy_sizes=(3, 4), seeds=(5, 6)), Lab(tmp_path, device="cpu", workers=1)
    later = curves.crossover_later(given, lab)
    assert begun.wait(60)  # nobody has asked for it yet
    goes_on.set()
    assert later().to_numpy().tolist() == [[3, 5], [4, 5], [3, 6], [4, 6]]
    assert later().equals(curves.crossover(given, lab))


INTERRUPTED = """
import functools, signal, sys, time
from ltkit.lab import Lab
from ltkit.studies.greedy_bounds_workers import side_by_side

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    lab = Lab(sys.argv[1], device="cpu", workers=2)
    slow = "import pathlib, time; pathlib.Path({!r}).touch(); time.sleep(60)"
    try:
        side_by_side([functools.partial(exec, slow.format(f"{sys.argv[1]}/{n}")) for n in range(9)], lab)
    except KeyboardInterrupt:
        print("interrupted")
    few = [functools.partial(divmod, 7, n) for n in (2, 3)]
    try:
        print(side_by_side(few, lab), flush=True)
        time.sleep(60)  # the processes wait for more
    except KeyboardInterrupt:
        print(side_by_side(few, lab))
"""


def test_ctrl_c_ends_what_is_at_work_without_a_word_and_what_comes_next_works(tmp_path):
    (tmp_path / "script.py").write_text(INTERRUPTED)
    words = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            until = time.monotonic() + 60
            while not all((tmp_path / str(n)).exists() for n in range(2)):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does, and Jupyter
            assert [process.stdout.readline() for _ in range(2)] == ["interrupted\n", "[(3, 1), (2, 1)]\n"]
            time.sleep(1)  # until it sleeps too: Python swallows an interrupt in what it calls when a pool is forgotten
            os.killpg(process.pid, signal.SIGINT)
            assert process.communicate(timeout=60) == ("[(3, 1), (2, 1)]\n", "")
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise


KILLED = """
import functools, sys
from ltkit.lab import Lab
from ltkit.studies.greedy_bounds_workers import side_by_side

if __name__ == "__main__":
    busy = "import os, pathlib, time; pathlib.Path({!r}, str(os.getpid())).touch(); time.sleep(60)"
    work = [functools.partial(exec, busy.format(sys.argv[1])), functools.partial(divmod, 7, 2)]
    side_by_side(work, Lab(sys.argv[2], device="cpu", workers=2))
"""


def test_processes_end_with_the_program_that_is_killed(tmp_path):
    """One that works and one that waits."""
    (tmp_path / "script.py").write_text(KILLED)
    (tmp_path / "pids").mkdir()
    words = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "pids"), str(tmp_path / "runs")]

    with subprocess.Popen(words, start_new_session=True) as process:
        try:
            until = time.monotonic() + 60
            while not list((tmp_path / "pids").iterdir()):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            children = psutil.Process(process.pid).children(recursive=True)
            assert len(children) >= 3  # two workers and what they are forked from
            process.kill()
            _, left = psutil.wait_procs(children, timeout=30)
            assert {process.status() for process in left} <= {psutil.STATUS_ZOMBIE}  # where nobody collects orphans
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_what_is_timed_has_one_core():
    torch.set_num_threads(2)
    try:
        assert workers.alone(torch.get_num_threads) == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


# A tiny study


@pytest.fixture(scope="module")
def tiny_study(tiny, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("gb") / "runs", device="cpu", progress=False, compile="never")
    small = {"data": tiny.data, "networks": (NAME,), "contrasts": (), "batch_size": 16, "calibration": 48}
    given = SMOKE.replace(
        **small, budgets=(0.3, 0.6), neurons=100, dimensions=(5,), widths=(32,), ranks=(4,), picks=4, seeds=(0, 1)
    )
    study.collect(given, lab)
    return given, lab


@pytest.fixture(scope="module")
def pruned(tiny_study):
    return networks.pruned(*tiny_study)


def test_layers_of_networks_are_those_of_their_weights(tiny_study):
    given, lab = tiny_study
    found = list(layers.of_network(given, lab, NAME, 1))
    assert [(one.source, one.layer, len(one.phi)) for one in found] == [
        (source, layer, width)
        for source in (layers.FRESH, layers.TRAINED)
        for layer, width in (("fc1", 45), ("fc2", 15))
    ]
    whole = networks.trained(given, lab, NAME, 1)
    images = training_images(whole.run.task, lab.root, given.layer_images)[0]
    phi = contributions(whole.module, groups(whole.module)[0], images, given.layer_rows)
    assert found[2].phi @ found[2].phi.T == pytest.approx(phi @ phi.T, rel=1e-9, abs=1e-9)
    assert found[2].dimension == pytest.approx(layers.effective_rank(phi))
    other = [walk.layer for walk in layers.walks(given, lab) if walk.layer.source == layers.SYNTHETIC]
    assert [(len(one.phi), one.dimension, one.seed) for one in other] == [
        *((100, 5, seed) for seed in given.seeds),
        *((given.few_neurons, given.many_dimensions, seed) for seed in given.seeds),
    ]


def test_curves_have_every_method_and_early_iteration(tiny_study):
    given, lab = tiny_study
    found = curves.curves(given, lab)
    assert list(found) == curves.CURVES
    assert not found.duplicated([*curves.LABELS, "method", "iteration"]).any()
    own = found[(found["source"] == layers.TRAINED) & (found["layer"] == "fc1") & (found["seed"] == 0)]
    assert set(own["method"]) == {*layers.METHODS, "least_squares"}
    for method in layers.METHODS:
        path = next(
            walk.paths[method]
            for walk in layers.walks(given, lab)
            if (walk.layer.source, walk.layer.layer, walk.layer.seed) == (layers.TRAINED, "fc1", 0)
        )
        rows = own[own["method"] == method]
        assert rows["iteration"].iloc[-1] == len(path.picks)
        assert set(range(1, min(30, len(path.picks)) + 1)) <= set(rows["iteration"])
        assert rows["neurons"].tolist() == path.sizes[rows["iteration"] - 1].tolist()
    line = own[own["method"] == "line"]
    refitted = own[own["method"] == "least_squares"].merge(line, on="iteration", suffixes=("", "_line"))
    assert len(refitted)
    assert (refitted["relative"] <= refitted["relative_line"] * (1 + 1e-9)).all()
    for column, method in (("b1", "one_over_k"), ("b2", "norm"), ("b3", "line")):
        assert own.loc[own["method"] == method, column].isna().all()


def test_tables_of_layers_agree(tiny_study):
    given, lab = tiny_study
    rates, weights, holds = curves.rates(given, lab), curves.weights(given, lab), curves.holds(given, lab)
    assert list(rates) == curves.RATES
    assert set(rates["method"]) <= set(curves.GREEDY)
    assert set(rates["regime"]) <= {"exponential", "polynomial", "none"}
    assert list(weights) == curves.WEIGHTS
    assert (weights["least_squares"] <= weights["relative"] * (1 + 1e-9)).all()
    assert (weights["neurons"] <= weights["width"] / 2).all()
    assert len(holds) == 2 * (2 + 2 * 2)
    assert (holds[["b1", "b2", "b3"]].max() <= 1e-9).all()
    assert (holds["b4"] < 1).all()


def test_a_second_study_measures_nothing(tiny_study, pruned, monkeypatch):
    given, lab = tiny_study
    curves.holds(given, lab)
    monkeypatch.setattr(networks, "greedy_network", None)
    monkeypatch.setattr(curves, "walks", None)
    pd.testing.assert_frame_equal(networks.pruned(given, lab), pruned)
    curves.holds(given, lab)


def test_regimes_are_the_maps(tiny_study):
    given, lab = tiny_study
    found = curves.regime_map(given, lab)
    assert dict(found.groupby("layer")["seed"].count()) == {"gaussian": 2, "two-layer": 2}
    assert set(curves.orthonormal()["width"]) == {8, 50}


def test_pruned_networks_keep_to_their_budget(pruned):
    slim = networks.slim(
        pruned, pd.DataFrame({"network": [NAME], "budget": [0.3], "latency_dense": 2.0, "latency_slim": 1.0})
    )
    assert list(slim) == [*networks.SLIM, *networks.TIMED]
    assert len(slim) == 2 * (11 + 9)
    assert (slim["multiply_adds"] <= slim["budget"]).all()
    assert slim.groupby("rule")["latency_slim"].first().eq(1.0).all()
    assert slim.loc[slim["budget"] == 0.6, "latency_slim"].isna().all()
    assert (slim["difference"] <= 1e-5 * slim["logit"].clip(lower=1)).all()
    assert (slim["logit"] > 0.1).all()
    accuracies = ["dense", "before", "tuned", "scratch", "scratch_full", "dense_tuned", "recalibrated"]
    assert slim[accuracies].notna().all(axis=None)
    assert slim.loc[slim["rule"] == "random", "reweighted"].notna().all()
    assert slim.loc[slim["rule"] == "global", "reweighted"].isna().all()
    alike = slim[slim["rule"].isin(("random", "norm", "backward"))]
    assert alike.groupby(["budget", "seed"])["scratch_full"].nunique().eq(1).all()
    assert (slim["recalibrated"] == slim["before"]).all(), "there is no BatchNorm"
    kept = networks.kept(pruned)
    assert list(kept) == networks.KEPT
    assert kept.groupby(["rule", "budget", "seed"]).size().eq(2).all()
    assert set(pruned.loc[pruned["rule"] == "better", "chosen"]) <= {"local", "global"}


def test_a_pruned_network_is_what_its_row_says(tiny_study, pruned):
    given, lab = tiny_study
    whole = networks.trained(given, lab, NAME, 1)
    found = networks.prune(whole, "local", networks.stop(0.3))
    row = pruned[(pruned["rule"] == "local") & (pruned["budget"] == 0.3) & (pruned["seed"] == 1)]
    assert row["kept"].tolist() == [len(layer.choice.kept) for layer in found.layers]
    assert row["before"].iloc[0] == networks.accuracy(found.module, *whole.test)
    assert row["dense"].iloc[0] == networks.accuracy(whole.module, *whole.test)
    dataset = data.load(whole.run.task)
    assert [len(y) for _, y in (whole.train, whole.calibration, whole.validation, whole.test)] == [
        len(dataset.train_y),
        48,
        len(dataset.validation_y),
        len(dataset.test_y),
    ]


def test_kept_widths_are_the_first_that_reach_the_error(tiny_study):
    given, lab = tiny_study
    found = networks.enough(given, lab)
    assert list(found) == networks.KEPT
    assert found["budget"].isna().all()
    more = networks.enough(given.replace(error=0.5), lab)
    both = found.merge(more, on=["network", "rule", "seed", "layer"], suffixes=("", "_more"))
    first = both[both["layer"] == "fc1"]
    assert (first["kept_more"] <= first["kept"]).all()
    assert (first["kept_more"] < first["kept"]).any()


def test_labels_change_the_predecessors_picks_only(tiny_study):
    given, lab = tiny_study
    found = picked.shuffled(given, lab).set_index(["rule", "seed"])["differ"]
    assert (found[["local", "global"]] == 0).all()
    assert (found["label_loss"] > 0).all()


def test_shortlists_and_costs_have_their_columns(tiny_study):
    given, lab = tiny_study
    ranks = picked.shortlist(given, lab)
    assert list(ranks) == picked.SHORTLIST
    assert set(ranks["layer"]) == {"fc1"}, "fc2 has 15 neurons: ten of them are no shortlist"
    assert ranks["rank"].between(1, 45).all()
    found = picked.costs(given, lab)
    assert list(found) == picked.COSTS
    assert set(found["form"]) == {"gram", "direct", "global", "shortlist"}
    means = found.groupby("form")["passes"].mean()
    assert means["gram"] < means["shortlist"] < means["global"]


def test_the_explorers_tables_show_what_is_kept(tiny_study):
    given, lab = tiny_study
    picks, matches = picked.picks(given, lab), picked.matches(given, lab)
    assert (list(picks), list(matches)) == (picked.PICKS, picked.MATCHES)
    assert set(picks["seed"]) == {0}
    one = matches[(matches["layer"] == "fc1") & (matches["method"] == "norm")]
    errors = one.assign(error=(one["output"] - one["target"]) ** 2).groupby("neurons")["error"].sum()
    assert errors[20] < errors[1]
    targets = matches[matches["layer"] == "fc1"].groupby("sample")["target"]
    assert (targets.max() - targets.min()).max() < 1e-9 * matches["target"].abs().max()


def test_a_diverged_network_leaves_nothing_behind(tiny, tmp_path):
    lab = Lab(tmp_path / "runs", device="cpu", progress=False, compile="never")
    given = SMOKE.replace(data=tiny.data, networks=(NAME,), contrasts=(), batch_size=16, lr=100.0, seeds=(0,))
    table = study.collect(given, lab)
    assert table["outcome"].tolist() == ["diverged"]
    assert networks.pruned(given, lab).empty
    assert networks.enough(given, lab).empty
    assert networks.latencies(given, lab).empty
    assert picked.shuffled(given, lab).empty
    assert list(layers.of_network(given, lab, NAME, 0)) == []


def test_verdicts_of_the_tiny_study(tiny_study, pruned):
    given, lab = tiny_study
    tables = Tables(
        table=study.collect(given, lab),
        curves=curves.curves(given, lab),
        rates=curves.rates(given, lab),
        weights=curves.weights(given, lab),
        holds=curves.holds(given, lab),
        regimes=curves.regime_map(given, lab),
        orthonormal=curves.orthonormal(),
        slim=networks.slim(pruned, networks.latencies(given, lab)),
        crossover=lambda: pd.DataFrame(columns=["size"]),
        shortlist=picked.shortlist(given, lab),
        costs=picked.costs(given, lab),
        shuffled=picked.shuffled(given, lab),
    )
    found = {verdict.claim: verdict for verdict in claims.verdicts(given, tables)}
    assert list(found) == [claim.id for claim in GREEDY_BOUNDS]
    assert {found[f"F{n}"].verdict for n in (1, 2, 3, 4, 5, 6, 22)} == {"supported"}
    assert found["F14"].verdict == found["F10"].verdict == "untested"
    told = controls.controls(given, tables)
    assert (told.loc[told["expected"] != "nothing", "holds"] != "no").all()
    assert len(controls.sentences(given, tables)) >= 3
