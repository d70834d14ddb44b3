"""The sanity-check study: its grid, its verdicts and words on tables with known answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ltkit import params
from ltkit.errors import UserError
from ltkit.spec import Scored
from ltkit.studies import sanity_checks, sanity_checks_claims
from ltkit.studies.sanity_checks import METHODS, Params
from ltkit.verdict import SANITY_CHECKS

ROOT = Path(__file__).resolve().parents[1]
SMOKE = params.load(ROOT / "params/smoke/sanity_checks.yaml", Params)
QUICK = params.load(ROOT / "params/quick/sanity_checks.yaml", Params)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"methods": ["snap"]}, "methods: no 'snap' \\(did you mean 'snip'\\?\\)"),
        ({"contrast_checks": ["rearange"]}, "contrast_checks: no 'rearange' \\(did you mean 'rearranged'\\?\\)"),
        ({"unchecked": ["snip"]}, "unchecked: snip stands among methods too"),
        ({"check_densities": [0.3]}, "check_densities must be among densities, 0.3 isn't in"),
        ({"densities": [0.0]}, "densities"),
        ({"networks": ["vgg12"]}, "did you mean 'vgg1"),
        ({"empty_layers": "ignore"}, "empty_layers"),
        ({"rewind": 0.9}, "rewind \\(0.9\\) leaves nothing of 3 epochs"),
    ],
)
def test_parameters_that_make_no_sense_are_one_line(change, says):
    with pytest.raises(UserError, match=says) as caught:
        Params(**{**SMOKE.model_dump(), **change})
    assert "\n" not in str(caught.value)


def test_the_grid_pairs_every_check_with_its_original():
    labelled = sanity_checks.grid(QUICK)
    table = pd.DataFrame([{**labels, "run": run} for labels, run in labelled])
    keys = ["network", "density", "seed", "method", "check"]
    assert not table.duplicated(keys).any()
    originals = table[table["check"] == "none"].set_index(keys[:-1])["run"]
    for row in table[table["check"] != "none"].itertuples():
        original = originals[row.network, row.density, row.seed, row.method]
        assert row.run != original
        assert row.run.order == original.order == row.seed  # the same batches in the same order
        assert (row.run.task, row.run.network) == (original.task, original.network)


def test_checks_that_change_nothing_have_no_run():
    table = pd.DataFrame([labels for labels, _ in sanity_checks.grid(QUICK)])
    blind = table[table["method"].isin(("synflow", "magnitude", "random", "smart"))]
    assert not blind["check"].isin(("corrupted", "labels", "pixels", "halved", "shortened")).any()
    initial = table[table["method"].isin(("snip", "grasp"))]
    assert not initial["check"].isin(("halved", "shortened")).any()
    checked = table[table["check"] != "none"]
    assert set(checked.loc[checked["network"] == QUICK.networks[0], "check"]) == set(QUICK.checks)
    assert not checked["method"].isin(QUICK.unchecked).any()
    assert set(checked["density"]) == {*QUICK.check_densities, *QUICK.contrast_densities}


def test_what_is_scored_is_what_is_trained_on_data_without_augmentation():
    given = QUICK.replace(crop=4, flip=True)
    for _, run in sanity_checks.grid(given):
        if isinstance(run.mask, Scored) and run.kind == "scored" and run.start.permute is None:
            assert run.mask.start.seed == run.start.seed
            assert run.mask.task is None or (run.mask.task.crop, run.mask.task.flip) == (0, False)


def test_iterative_pruning_ends_at_the_density():
    whole = sanity_checks.dense(QUICK, "lenet_300_100", 0)
    run = sanity_checks.iterative(QUICK, whole, 0.02)
    seen = []
    while run.mask.kind == "magnitude":
        seen.append(run.mask.density)
        run = run.mask.run
    assert seen == [0.02, 0.073681, 0.271442]
    assert run == whole


def test_partial_training_has_the_length_that_was_asked_for():
    for length, epochs, milestones in (("rest", 20, (0.5, 0.75)), ("full", 25, (10 / 25, 15 / 25))):
        given = QUICK.replace(partial_length=length)
        whole = sanity_checks.dense(given, "lenet_300_100", 0)
        run = sanity_checks.method(given, whole, "lr_rewinding", 0.1)
        assert (run.recipe.epochs, run.start.resume, run.start.epoch) == (epochs, 5, None)
        assert run.recipe.milestones == pytest.approx(milestones)  # at the epochs of the dense training


# Tables with a known truth

HURT = {"rearranged": 4.0, "reinit": 5.0, "weights": 3.0, "halved": 2.0, "inverted": 8.0, "corrupted": 6.0}
LEVEL = {"initial": 90.0, "random": 90.05, "partial": 94.0, "hybrid": 95.0}


def made(seeds=5, spread=0.02, also=lambda labels: 0.0, **change):
    """The quick grid, where only methods that prune trained weights are hurt, and uniform random is worst."""
    draw, rows, counts = np.random.default_rng(0), [], []
    given = QUICK.replace(seeds=tuple(range(seeds)), **change)
    for labels, run in sanity_checks.grid(given):
        kind = METHODS.get(labels["method"], "dense")
        value = LEVEL.get(kind, 96.0) - (3 if labels["method"] in ("random", "balanced", "ascending") else 0)
        value -= 10 if kind == "random" and labels["density"] < 0.014 + 1e-9 else 0
        if kind in ("partial", "hybrid") or labels["check"] == "inverted":
            value -= HURT.get(labels["check"], 0.0)
        value += also(labels)
        rows.append({**labels, "accuracy": value + draw.normal(0, spread), "outcome": "finished", "run": run.name})
        for number, size in enumerate((100, 50), start=1):
            layer = {"layer": f"fc{number}.weight", "number": number, "kept": 10 * number, "size": size, "units": 40}
            counts.append({**labels, **layer, "run": run.name})
    return given, pd.DataFrame(rows), pd.DataFrame(counts)


def test_a_table_made_after_the_paper_supports_it():
    given, table, layers = made()
    words = {v.claim: v.verdict for v in sanity_checks_claims.verdicts(given, table, layers)}
    assert list(words) == [claim.id for claim in SANITY_CHECKS]
    supported = {"B1", "B2", "B3", "B4a", "B4b", "B5", "B7", "B8a", "B8b", "B8c", "B9a", "B9b", "B10", "B11"}
    assert {claim for claim, word in words.items() if word == "supported"} == supported | {"B6"}
    assert words["B12"] == "untested"  # quick has no density of .02


def test_a_table_made_against_the_paper_refutes_it():
    given, table, layers = made(also=lambda at: -6.0 if at["check"] != "none" and at["method"] in ("snip", "lt") else 0)
    words = {v.claim: v.verdict for v in sanity_checks_claims.verdicts(given, table, layers)}
    assert [words[claim] for claim in ("B1", "B2", "B8a", "B8b")] == ["refuted"] * 4
    assert words["B4b"] == "supported"


def test_collapse_is_told_from_information():
    """B12: the worst of a seed's arms is the one whose emptiest layer is empty."""
    given, table, layers = made(contrast_densities=(0.02,))
    name = "vgg11*0.125"
    full = {v.claim: v for v in sanity_checks_claims.verdicts(given, table, layers.assign(kept=layers["kept"] + 50))}
    assert full["B12"].verdict == "refuted"  # accuracy has gaps, and no layer is nearly empty
    assert full["B12"].setting.endswith("fewer weights than units in the least accurate arm")
    where = (table["network"] == name) & (table["method"] == "snip") & (table["check"] == "corrupted")
    table.loc[where, "accuracy"] = 10.0
    layers.loc[layers["run"].isin(table.loc[where, "run"]) & (layers["number"] == 2), "kept"] = 0
    found = {v.claim: v for v in sanity_checks_claims.verdicts(given, table, layers)}
    assert found["B12"].verdict == "supported"
    assert found["B12"].effect == pytest.approx(np.log10(11))  # the other cell has log10 of 40
    assert "a layer is empty in 5 of 15 masks" in found["B12"].setting
    table.loc[where & (table["seed"] == 4), "accuracy"] = np.nan
    lost = {v.claim: v for v in sanity_checks_claims.verdicts(given, table, layers)}["B12"]
    assert (lost.verdict, lost.n) == ("supported", 4)
    assert "2 of 10 values are NaN" in lost.reason
    told = sanity_checks_claims.collapsed(layers)
    assert told[["network", "method", "check", "layers", "runs", "of"]].to_numpy().tolist() == [
        [name, "snip", "corrupted", "fc2.weight", 5, 5]
    ]


def test_an_empty_layer_is_no_fall_of_accuracy():
    """B11 leaves its pairs out, B10 names them."""
    given, table, layers = made()
    smart = table.loc[(table["method"] == "smart") & (table["density"] == 0.014), ["run", "seed"]].set_index("seed")
    for seeds, word, said in ((4, "supported", "2 pairs left out"), (0, "untested", "every pair has an empty layer")):
        empty = layers["run"].isin(smart.loc[seeds:, "run"]) & (layers["number"] == 1)
        hollow = layers.assign(kept=layers["kept"].mask(empty, 0))
        found = {v.claim: v for v in sanity_checks_claims.verdicts(given, table, hollow)}["B11"]
        assert (found.verdict, found.n) == (word, seeds)
        assert said in (found.setting or found.reason)
    inverted = layers["check"] == "inverted"
    hollow = layers.assign(kept=layers["kept"].mask(inverted & (layers["method"] == "synflow"), 0))
    found = {v.claim: v for v in sanity_checks_claims.verdicts(given, table, hollow)}["B10"]
    assert "inverted masks with an empty layer: synflow's in 5 of 5 at density 0.1;" in found.setting


def test_margins_are_those_of_the_sheet_and_larger_when_very_sparse():
    assert [sanity_checks_claims.margin(density) for density in (0.1, 0.05, 0.02)] == [0.3, 0.3, 0.6]
    given, table, _ = made(also=lambda at: -0.45 if at["check"] == "rearranged" else 0)
    matrix = sanity_checks_claims.matrix(given, table)
    snip = matrix[(matrix["method"] == "snip") & (matrix["check"] == "rearranged")].set_index(["network", "density"])
    assert snip["word"].to_dict()[("lenet_300_100", 0.1)] == "passes"
    sparse = QUICK.replace(densities=(0.02,), check_densities=(0.02,), seeds=given.seeds)
    table["density"] = table["density"].replace(0.1, 0.02)
    matrix = sanity_checks_claims.matrix(sparse, table[table["network"] == "lenet_300_100"])
    assert set(matrix.loc[(matrix["method"] == "snip") & (matrix["check"] == "rearranged"), "word"]) == {"fails"}


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.4, 2, "passes"),
        (-0.2, 0.3, "fails"),
        (-0.3, 0.3, "fails"),
        (-2, -0.4, "better"),
        (-0.4, 0.2, "undecided"),
        (0.2, 0.4, "undecided"),
        (float("nan"), float("nan"), "undecided"),
    ],
)
def test_words_of_the_matrix(low, high, word):
    assert sanity_checks_claims.word(low, high, 0.3) == word


def test_controls_say_whether_the_bench_works():
    given, table, _ = made()
    told = sanity_checks_claims.controls(sanity_checks_claims.matrix(given, table))
    assert set(told["holds"]) == {"yes"}
    assert set(told["method"]) == {"lr_rewinding", "random"}
    broken = table.assign(accuracy=np.where(table["check"] == "rearranged", 99.0, table["accuracy"]))
    told = sanity_checks_claims.controls(sanity_checks_claims.matrix(given, broken))
    assert set(told.loc[told["check"] == "rearranged", "holds"]) == {"no"}


def test_layers_count_what_masks_keep(make_lab):
    given = SMOKE.replace(methods=("smart", "lt"), checks=("rearranged",), contrasts=(), unchecked=(), seeds=(0,))
    lab = make_lab()
    table = sanity_checks.collect(given, lab)
    layers = sanity_checks.layers(given, lab)
    assert set(table["outcome"]) == {"finished"}
    kept = layers.groupby(["method", "check"])["kept"].sum()
    total = layers.groupby(["method", "check"])["size"].sum()
    assert (kept == (0.2 * total + 0.5).astype(int)).all()
    assert layers["number"].max() == 3
