"""The gradient-flow study: its parameters and grid, what it measures on tiny trainings."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from ltkit import data, models, params
from ltkit.analyze import hessian, signal, spectrum
from ltkit.analyze.spectrum import Spectrum
from ltkit.errors import UserError
from ltkit.lab import Lab
from ltkit.lab.material import frame, job
from ltkit.spec import Gradual, Grown, Init, Magnitude, Network, Random
from ltkit.studies import gradient_flow as study
from ltkit.studies import gradient_flow_claims as claims
from ltkit.studies import gradient_flow_controls as controls
from ltkit.studies import gradient_flow_measures as measured
from ltkit.studies import gradient_flow_solutions as solutions
from ltkit.studies.gradient_flow_evidence import Tables
from ltkit.studies.gradient_flow_params import Params, network
from ltkit.train.evaluate import evaluate

ROOT = Path(__file__).resolve().parents[1]
SMOKE = params.load(ROOT / "params/smoke/gradient_flow.yaml", Params)
QUICK = params.load(ROOT / "params/quick/gradient_flow.yaml", Params)
NAME, OWN = QUICK.claim_network, QUICK.start


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"claim_network": "lenet_5*0.2"}, "is not among networks \\(did you mean 'lenet_5\\*0.3'"),
        ({"networks": ["lenet_6"]}, "did you mean 'lenet_5'"),
        ({"contrasts": ["lenet_5*0.3"]}, "contrasts: lenet_5\\*0.3 stands among networks too"),
        ({"contrasts": ["lenet_5+nb"]}, "'\\+nb' is no ending"),
        ({"start": "glorot"}, "start"),
        ({"density": 1.0}, "density"),
        ({"prune_begin": 0.7}, "prune_begin \\(0.7\\) must be below prune_end"),
        ({"layouts": ["erk", "erk"]}, "layouts names one twice"),
        ({"layouts": ["ekr"]}, "layouts"),
        ({"spectra_updates": [2, 1]}, "spectra_updates must rise"),
        ({"points": 10}, "points must be a multiple of 7 and 1 more"),
        ({"longer": 1}, "longer is how many times as long"),
    ],
)
def test_parameters_that_make_no_sense_are_one_line(change, says):
    with pytest.raises(UserError, match=says) as caught:
        Params(**{**SMOKE.model_dump(), **change})
    assert "\n" not in str(caught.value)


def test_networks_by_name():
    assert network("lenet_5+bn") == Network(arch="lenet_5", norm="batch")
    assert network("vgg16+nobn") == Network(arch="vgg16", norm="none")
    assert network("resnet8*0.5") == Network(arch="resnet8", width=0.5)


def test_alphas_meet_both_ends():
    for points in (8, 15, 29):
        alphas = SMOKE.replace(points=points).alphas
        assert (alphas[0], alphas[-1], len(alphas)) == (-0.2, 1.2, points)
        assert {0.0, 1.0} <= set(alphas)


@pytest.fixture(scope="module")
def quick():
    """One seed of the quick grid, with runs by their labels."""
    return study.by_labels(QUICK.replace(seeds=(3,)))


def at(quick, method, init=OWN, layout="pruned", density=QUICK.density, twin=0, name=NAME):
    return quick[name, method, init, layout, density, 3, twin]


def test_arms_that_are_compared_share_data_order_mask_and_recipe(quick):
    dense, pruned, ticket = at(quick, "dense", layout="", density=1.0), at(quick, "gmp"), at(quick, "lt")
    assert isinstance(pruned.mask, Gradual)
    assert isinstance(ticket.mask, Magnitude)
    assert (ticket.mask.run, ticket.mask.density) == (pruned, QUICK.density)
    assert ticket.start == pruned.start == dense.start == Init(seed=3)
    for init, fields in study.INITS.items():
        if init not in ("layer", "layer_out"):
            scratch = at(quick, "scratch", init)
            assert (scratch.mask, scratch.start) == (ticket.mask, Init(seed=3, draw=1, **fields))
        static = at(quick, "scratch", init, "erk")
        assert (static.mask, static.start.draw) == (Random(density=0.2, distribution="erk", seed=3, prunable="all"), 1)
    for (_, method, init, layout, density, _, twin), run in quick.items():
        assert run.order == 3 + 10_000 * twin
        if method in study.UPDATING:
            assert isinstance(run.mask, Grown)
            assert (run.mask.method, run.mask.seed) == (method, 3 if method == "set" else 0)
            source = quick.get((NAME, "scratch", init, layout, density, 3, 0))
            assert (
                source is None
                or run.network != source.network
                or (run.mask.mask, run.start)
                == (
                    source.mask,
                    source.start,
                )
            )


def test_twins_differ_in_what_they_should(quick):
    first, second = at(quick, "lt"), at(quick, "lt", twin=2)
    assert second == first.replace(order=20_003)
    first, second = at(quick, "scratch"), at(quick, "scratch", twin=2)
    assert second == first.replace(order=20_003)
    fresh = at(quick, "lt_reinit", twin=2)
    assert (fresh.mask, fresh.order, fresh.start.draw) == (first.mask, 20_003, 3)
    assert at(quick, "lt_reinit") == first
    others = [at(quick, "prune_other", twin=number) for number in range(1, 5)]
    assert all(isinstance(run.mask, Gradual) for run in others)
    assert len({run.start for run in others} | {at(quick, "gmp").start}) == 5
    draws = {run.start.draw for run in quick.values() if isinstance(run.start, Init)}
    assert {run.start.draw for run in others}.isdisjoint(draws - {run.start.draw for run in others})


def test_rigls_own_claims_have_their_runs(quick):
    rigl = at(quick, "rigl", "neuron", "erk")
    assert at(quick, "rigl", "neuron", "uniform").mask.mask.distribution == "uniform"
    longer = at(quick, "rigl_long", "neuron", "erk")
    assert (longer.recipe.epochs, longer.mask, longer.start) == (25, rigl.mask, rigl.start)
    same, fresh = (at(quick, method, "neuron", "erk") for method in ("rigl_lt", "rigl_fresh"))
    assert same.mask == fresh.mask
    assert (same.mask.mask.run, same.start, fresh.start.draw) == (rigl, rigl.start, 2)
    assert at(quick, "rigl", "neuron", density=0.05).mask.mask.run == at(quick, "gmp", density=0.05)


def test_contrasts_have_what_the_claims_about_batch_norm_need(quick):
    own = {key[1:5] for key in quick if key[0] == "lenet_5+bn"}
    assert own == {
        ("dense", OWN, "", 1.0),
        *((method, OWN, "" if method == "small_dense" else "pruned", 0.2) for method in ("small_dense", "gmp", "lt")),
        *(("scratch", init, "pruned", 0.2) for init in (OWN, "neuron")),
        *((method, "neuron", "pruned", 0.2) for method in ("set", "rigl")),
    }


def test_traces_are_of_first_twins_that_claims_speak_of():
    labels = pd.DataFrame([labels for labels, _ in study.traced(QUICK.replace(seeds=(3,)))])
    assert set(labels["twin"]) == {0}
    assert set(labels["method"]) == {"dense", "small_dense", "lt", "scratch", "set", "rigl", "rigl_inverted"}
    few = labels[labels["density"] == 0.05]
    assert sorted(few["method"]) == ["rigl", "rigl_inverted", "set"]
    assert QUICK.trace.snapshots == (10,)
    same = pd.DataFrame([labels for labels, _ in study.traced(QUICK.replace(spectra_density=QUICK.density))])
    assert set(same.loc[same["method"] == "rigl", "distribution"]) == {"pruned", QUICK.layouts[0]}


def test_the_small_dense_network_has_the_sparse_ones_parameters(quick):
    for name in (NAME, "lenet_5+bn"):
        whole, narrow = (
            at(quick, "dense", layout="", density=1.0, name=name),
            at(quick, "small_dense", layout="", name=name),
        )
        shape = frame(whole, None)
        weights = models.prunable_count(whole.network, *shape, "all")
        sparse = models.count(whole.network, *shape) - weights + round(QUICK.density * weights)
        assert models.count(narrow.network, *shape) == pytest.approx(sparse, rel=0.02)
        assert narrow.replace(network=whole.network) == whole


def test_iterative_pruning_ends_at_the_density_rewound(quick):
    run, seen = at(quick, "lt_imp"), []
    while isinstance(run.mask, Magnitude):
        seen.append(run.mask.density)
        assert run.start == Init(seed=3)
        run = run.mask.run
    assert seen == [0.2, 0.447214]
    assert run == at(quick, "dense", layout="", density=1.0)


def test_quantiles_of_a_spectrum():
    told = measured.quantiles(Spectrum(torch.tensor([2.0, -1.0]), torch.tensor([1.4, 2.6])))
    assert told.tolist() == [-1, -1, -1, 2]
    values = torch.tensor([-3.0, 0.0, 5.0])
    assert measured.quantiles(spectrum.whole(values)).tolist() == values.tolist()


def test_signals_are_those_of_masked_untrained_networks(lab):
    given = SMOKE.replace(sparsities=(0.0, 0.84), seeds=(1,), networks=("lenet_5*0.3",))
    found = measured.signals(given, lab)
    assert list(found) == measured.SIGNALS
    table = found.set_index(["mask", "init", "sparsity"])["sd"]
    assert len(table) == 2 * 5 * 2
    net, x = network("lenet_5*0.3"), signal.noise((3, 28, 28), 1)
    alone = signal.scales(net, (3, 28, 28), 10, [(Init(seed=1), {})], x)[0]
    for kind in ("uniform", "uneven"):
        for init in ("dense_he", "layer", "neuron"):
            assert table[kind, init, 0.0] == pytest.approx(alone, rel=1e-5)
        assert table[kind, "dense_he", 0.84] < table[kind, "layer", 0.84]
    assert table["uniform", "dense_he", 0.84] != table["uneven", "dense_he", 0.84]


# A tiny study, trained


@pytest.fixture(scope="module")
def tiny_study(tiny, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("gf") / "runs", device="cpu", progress=False, compile="never")
    small = {"data": tiny.data, "networks": ("lenet_5*0.2",), "claim_network": "lenet_5*0.2", "contrasts": ()}
    given = SMOKE.replace(**small, batch_size=16, seeds=(1,), longer=0, layouts=("erk",), trace_images=64)
    return given, lab, study.collect(given, lab)


def run_of(tiny_study, method, init=None, layout="pruned", density=None, twin=0):
    given = tiny_study[0]
    own = (init or given.start, layout, density or given.density, 1, twin)
    return study.by_labels(given, None)[(given.claim_network, method, *own)]


def test_a_second_study_trains_nothing(tiny_study):
    given, lab, table = tiny_study
    assert (table["outcome"] == "finished").all()
    trained = lab.tally.trained
    pd.testing.assert_frame_equal(study.collect(given, lab), table)
    assert lab.tally.trained == trained
    labels = ["network", "method", "init", "distribution", "density", "lr", "seed", "twin"]
    assert list(table) == [*labels, "accuracy", "validation", "train_loss", "outcome", "run"]
    assert not table.duplicated(labels).any()


def test_tickets_have_the_mask_that_gradual_pruning_ended_with(tiny_study):
    _, lab, _ = tiny_study
    mask, ticket, scratch = (lab.mask(run_of(tiny_study, method)) for method in ("gmp", "lt", "scratch"))
    assert all((ticket[name] == kept).all() and (scratch[name] == kept).all() for name, kept in mask.items())
    again = lab.mask(run_of(tiny_study, "rigl", "neuron", "erk"))
    started = study.by_labels(tiny_study[0], None)[tiny_study[0].claim_network, "rigl_lt", "neuron", "erk", 0.2, 1, 0]
    first = job(started, lab.store, lab.root).mask
    assert all((first[name] == kept).all() for name, kept in again.items())


def test_traces_have_all_records_of_all_traced_runs(tiny_study):
    given, lab, _ = tiny_study
    found = measured.traces(given, lab)
    assert list(found) == measured.TRACES
    assert set(found["run"]) == {run.name for _, run in study.traced(given)}
    assert found.groupby("run")["share"].agg(["min", "max"]).to_numpy().tolist() == [[0, 1]] * found["run"].nunique()
    moving = found[found["method"] == "rigl"]
    assert set(moving["moment"]) == {"step", "before", "after"}
    assert moving.groupby("run")["kept"].nunique().eq(1).all()
    whole = found[found["method"] == "dense"]
    assert whole["gradient_norm"].equals(whole["dense_norm"])


def test_spectra_are_those_of_the_snapshots(tiny_study):
    given, lab, _ = tiny_study
    found = measured.spectra(given, lab)
    assert list(found) == measured.SPECTRA
    assert set(zip(found["method"], found["moment"], strict=True)) == {
        (method, moment) for method in study.UPDATING for moment in ("before", "after")
    }
    run = run_of(tiny_study, "rigl", "neuron", density=given.spectra_density)
    dataset, (x, y) = data.load(run.task), measured.training_images(run.task, None, given.spectra_images)
    for moment in ("before", "after"):
        weights, mask = lab.snapshot(run, given.trace, 8, moment)
        loss = hessian.cross_entropy(run.network, dataset.shape, dataset.classes, weights, mask, x, y)
        values = hessian.exact(loss)
        mine = found[(found["method"] == "rigl") & (found["moment"] == moment)]
        assert mine["number"].tolist() == list(range(1, len(values) + 1))
        assert mine["value"].to_numpy() == pytest.approx(values.numpy(), abs=1e-4 * float(values.abs().max()))
        assert mine["lambda_min"].iloc[0] == pytest.approx(float(values[0]), abs=1e-4 * float(values.abs().max()))
        assert mine["step"].eq(8).all()


def test_large_spectra_are_estimated_and_not_counted(tiny_study):
    given, lab, _ = tiny_study
    rough = given.replace(spectra_density=given.density, spectra_exact=0, spectra_images=16)
    found = measured.spectra(rough, lab)
    found = found[found["moment"].isin(("start", "end"))]
    assert set(found["method"]) == {"lt", "scratch"}
    run = run_of(tiny_study, "lt")
    size = sum(int(kept.sum()) for kept in lab.mask(run).values())
    size += sum(t.numel() for name, t in lab.weights(run).items() if name.endswith("bias"))
    assert found.groupby(["method", "moment"])["number"].max().tolist() == [size] * 4
    assert (found["lambda_min"] <= found["value"] + 1e-6).all()
    assert measured.spectra(given.replace(spectra_updates=()), lab).empty


def test_growing_without_dropping_is_what_the_trace_predicts(tiny_study):
    given, lab, _ = tiny_study
    found = measured.identities(given, lab)
    assert found["step"].tolist() == [8]
    assert found["recomputed"].to_numpy() == pytest.approx(found["recorded"].to_numpy(), rel=1e-5)
    traced = measured.traces(given, lab)
    own = traced[(traced["method"] == "rigl") & (traced["step"] == 8) & (traced["density"] == given.spectra_density)]
    assert (own["gradient_norm"] < found["recomputed"].iloc[0]).all() or own["gain"].max() == 0


def test_paths_join_what_they_say_under_one_mask(tiny_study):
    given, lab, _ = tiny_study
    found = solutions.interpolations(given, lab)
    assert list(found) == solutions.INTERPOLATIONS
    table = found.set_index(["end", "alpha"])["loss"]
    ends = {"lt": ("lt", None), "lt_start": ("lt", 0), "scratch": ("scratch", None), "scratch_start": ("scratch", 0)}
    pruned = run_of(tiny_study, "gmp")
    x, y = measured.training_images(pruned.task, None, given.path_images)
    dataset = data.load(pruned.task)

    def loss(weights):
        net = models.build(pruned.network, dataset.shape, dataset.classes)
        net.load_state_dict({name: t.unsqueeze(0) for name, t in weights.items()})
        return evaluate(net.eval(), x, y, 1)[0].loss

    last = lab.weights(pruned)
    for end, (method, epoch) in ends.items():
        first = lab.weights(run_of(tiny_study, method), epoch)
        for alpha in (0.0, 0.4, 1.0):
            mixed = {name: alpha * last[name] + (1 - alpha) * t for name, t in first.items()}
            assert table[end, alpha] == pytest.approx(loss(mixed), rel=1e-4)
    assert set(found["end"]) == {*ends, "prune_other"}
    assert table["prune_other", 1.0] == pytest.approx(loss(last), rel=1e-5)


def test_distances_are_true_l2(tiny_study):
    given, lab, _ = tiny_study
    found = solutions.distances(given, lab).set_index(["a", "b"])["distance"]
    one, two = lab.weights(run_of(tiny_study, "gmp")), lab.weights(run_of(tiny_study, "scratch", twin=1))
    expected = math.sqrt(sum(float((one[name] - two[name]).square().sum()) for name in one))
    assert found["prune_end", "scratch_end_2"] == pytest.approx(expected, rel=1e-5)
    start = lab.weights(run_of(tiny_study, "lt"), 0)
    expected = math.sqrt(sum(float((one[name] - start[name]).square().sum()) for name in one))
    assert found["prune_end", "lt_start"] == pytest.approx(expected, rel=1e-5)
    assert len(found) == 7 * 6 / 2


def test_agreements_are_those_of_the_predictions(tiny_study):
    given, lab, _ = tiny_study
    found = solutions.agreements(given, lab)
    assert list(found) == solutions.AGREEMENTS
    table = found.set_index("group")
    assert set(table.index) == {"lt", "scratch", "lt_reinit", "prune_other", "same_seed"}
    assert table.loc["same_seed", ["disagreement", "gain"]].tolist() == [0, 0]
    dataset = data.load(run_of(tiny_study, "lt").task)
    x = data.normalise(dataset.test_x.unsqueeze(0), dataset.mean, dataset.std)

    def answers(run):
        net = models.build(run.network, dataset.shape, dataset.classes)
        net.load_state_dict({name: t.unsqueeze(0) for name, t in lab.weights(run).items()})
        return net.eval()(x)[0].detach()

    first, second = (answers(run_of(tiny_study, "lt", twin=number)) for number in (0, 1))
    parent, other = answers(run_of(tiny_study, "gmp")), answers(run_of(tiny_study, "prune_other", twin=1))
    guesses = [logits.argmax(1) for logits in (first, second, parent, other)]

    def apart(a, b):
        return float((guesses[a] != guesses[b]).double().mean())

    assert table.loc["lt", "disagreement"] == pytest.approx(apart(0, 1))
    assert table.loc["lt", "with_parent"] == pytest.approx((apart(0, 2) + apart(1, 2)) / 2)
    assert table.loc["prune_other", "with_parent"] == pytest.approx(apart(2, 3))
    mean = (first.softmax(1) + second.softmax(1)).argmax(1)
    assert table.loc["lt", "ensemble"] == pytest.approx(100 * float((mean == dataset.test_y).double().mean()))


def test_diverged_runs_are_nan_and_stay_in_the_tables(make_lab, tiny):
    lab = make_lab()
    small = {"data": tiny.data, "networks": ("lenet_5*0.2",), "claim_network": "lenet_5*0.2", "contrasts": ()}
    small |= {"batch_size": 16, "seeds": (1,), "longer": 0, "layouts": ("erk",), "schedule": "constant", "epochs": 3}
    given = SMOKE.replace(**small, lr=100.0, weight_decay=1.0, trace_images=64)
    table = study.collect(given, lab)
    assert {"diverged", "undefined"} <= set(table["outcome"])
    tables = Tables(
        table,
        measured.traces(given, lab),
        measured.signals(given.replace(sparsities=(0.0,)), lab),
        measured.spectra(given, lab),
        solutions.interpolations(given, lab),
        solutions.distances(given, lab),
        solutions.agreements(given, lab),
        measured.identities(given, lab),
    )
    assert tables.agreements["disagreement"].isna().all()
    assert tables.interpolations["loss"].isna().all()
    assert tables.spectra["value"].isna().all()
    assert len(tables.interpolations) == 5 * given.points
    told = claims.verdicts(given, tables)
    assert all(one.verdict in ("untested", "undecided") for one in told)
    assert all(one.reason for one in told if one.verdict == "untested")
    controls.controls(given, tables)
    controls.untrained(given, tables)
