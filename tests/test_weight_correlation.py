"""The weight-correlation study: its parameters and grid, what it shares with the existence study, what it measures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ltkit import params
from ltkit.analyze.overlap import overlap_ratio
from ltkit.errors import UserError
from ltkit.prune.masks import density
from ltkit.spec import Anchor, From, Init, Magnitude, Shuffled
from ltkit.studies import existence, weight_correlation
from ltkit.studies import weight_correlation_claims as claims
from ltkit.studies import weight_correlation_controls as controls
from ltkit.studies import weight_correlation_evidence as evidence
from ltkit.studies import weight_correlation_overlaps as measured
from ltkit.studies.weight_correlation import Place
from ltkit.studies.weight_correlation_params import Params
from ltkit.verdict import WEIGHT_CORRELATION

ROOT = Path(__file__).resolve().parents[1]
SMOKE = params.load(ROOT / "params/smoke/weight_correlation.yaml", Params)
QUICK = params.load(ROOT / "params/quick/weight_correlation.yaml", Params)
KEYS = ["network", "arm", "masking", "scope", "level", "lr", "mask_lr", "decay", "recipe", "seed"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"claim_network": "lenet_300_100*0.2"}, "isn?'?t? ?.* among networks \\(did you mean 'lenet_300_100\\*0.1'"),
        ({"networks": ["resnet21"]}, "did you mean 'resnet"),
        ({"contrasts": ["lenet_300_100*0.1"]}, "contrasts: lenet_300_100\\*0.1 stands among networks too"),
        ({"contrasts": []}, "contrasts and contrast_levels go together"),
        ({"lr_small": 0.02}, "lr_small: 0.02 must be among lrs"),
        ({"lr_small": 0.1}, "lr_small \\(0.1\\) must be below lr_large"),
        ({"decay": 0.001}, "decay: 0.001 must be among decays"),
        ({"matched_decay": 0.001}, "matched_decay: 0.001 must be among decays"),
        ({"claim_level": 4}, "claim_level: 4 must be among method_levels"),
        ({"method_levels": [3, 5]}, "method_levels: 5 must be among levels"),
        ({"ps": [0.1]}, "ps: 0.2 must be among ps"),
        ({"rewind_epoch": 4}, "rewind_epoch \\(4\\) must be below epochs"),
        ({"warmup": 4}, "warmup \\(4.0\\) must be below epochs"),
        ({"long_epochs": 4}, "long_epochs \\(4\\) must be above epochs"),
        ({"pull": -0.1}, "pull"),
        ({"push": 0.1}, "push"),
        ({"prunable": "no_frist"}, "prunable"),
        ({"admm_start": "theta"}, "admm_start"),
    ],
)
def test_parameters_that_make_no_sense_are_one_line(change, says):
    with pytest.raises(UserError, match=says) as caught:
        Params(**{**SMOKE.model_dump(), **change})
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def quick():
    """The quick grid, with runs by their labels."""
    table = pd.DataFrame([{**labels, "run": run} for labels, run in weight_correlation.grid(QUICK.replace(seeds=(0,)))])
    return table.set_index(KEYS, drop=False)


def at(quick, arm, lr=0.1, masking="iterative", level=4, **other):
    """The one run of the quick grid with these labels."""
    usual = {"network": "lenet_300_100", "scope": "layer", "mask_lr": lr, "decay": 5e-4, "recipe": "plain", "seed": 0}
    place = {**usual, "arm": arm, "lr": lr, "masking": masking, "level": level, **other}
    if arm.startswith("dense"):
        place |= {"masking": "none", "scope": "", "level": 0}
    return quick.loc[tuple(place[key] for key in KEYS), "run"]


def test_every_cell_once_and_paired_by_seed_and_mask(quick):
    assert not quick.index.has_duplicates
    assert (quick["density"] == 0.7 ** quick["level"].astype(float)).sum() > 20
    for row in quick[quick["arm"] == "rr"].itertuples():
        ticket = quick.loc[(row.Index[0], "lt", *row.Index[2:]), "run"]
        assert (row.run.mask, row.run.recipe, row.run.order) == (ticket.mask, ticket.recipe, ticket.order)
        assert (row.run.start, ticket.start) == (Init(seed=0, draw=1, scheme="glorot_normal"), at(quick, "dense").start)


def test_runs_are_the_existence_studys_where_the_recipe_is():
    shared = params.load(ROOT / "params/quick/existence.yaml", existence.Params).replace(seeds=(3,))
    own = weight_correlation.grid(QUICK.replace(seeds=(3,)))
    theirs = {
        (at["lr"], at["arm"], at["level"]): run.name
        for at, run in existence.grid(shared)
        if at["network"] == "lenet_300_100" and at["epochs"] == shared.epochs
    }
    plain = [(at, run) for at, run in own if (at["decay"], at["recipe"]) == (shared.weight_decay, "plain")]
    dense = {labels["lr"]: run.name for labels, run in plain if labels["arm"] == "dense"}
    assert list(dense) == list(QUICK.lrs)
    for lr, run in dense.items():
        assert run == theirs[lr, "dense", 0]
    pruning = {"one_shot": "omp", "iterative": "imp"}
    both = [(labels, run) for labels, run in plain if labels["scope"] == "global"]
    assert len(both) == len(QUICK.lrs) * len(QUICK.global_levels) * 4
    for labels, run in both:
        arm = f"{labels['arm']}_{pruning[labels['masking']]}"
        assert run.name == theirs[labels["lr"], arm, labels["level"]]


def test_the_grid_stays_small():
    """What quick trains beyond the existence study: the issue allows it two minutes on two cores."""
    shared = params.load(ROOT / "params/quick/existence.yaml", existence.Params)
    known = {run.name for _, run in existence.grid(shared.replace(seeds=(0,)))}
    todo = {run for _, run in weight_correlation.grid(QUICK.replace(seeds=(0,)))}
    todo |= {parent for run in todo for parent in run.parents}
    epochs = [
        r.recipe.epochs - (r.start.resume if isinstance(r.start, From) else 0) for r in todo if r.name not in known
    ]
    assert sum(epochs) <= 110 * QUICK.epochs


def test_what_is_trained_from_what(quick):
    whole, ticket = at(quick, "dense"), at(quick, "lt")
    assert at(quick, "dense_more").start == From(run=whole)
    assert at(quick, "dense_more").mask.kind == "dense"
    assert at(quick, "pft").start == From(run=whole)
    assert at(quick, "rewind").start == From(run=whole, epoch=1, resume=1)
    assert at(quick, "lr_rewind").start == From(run=whole, resume=5)
    assert at(quick, "lt_long").recipe.epochs == 40
    for arm in ("pft", "rewind", "lr_rewind", "lt_long"):
        assert at(quick, arm).mask == ticket.mask
    assert ticket.mask.run == at(quick, "lt", level=3)
    assert (ticket.mask.scope, ticket.mask.rate) == ("layer", 0.3)
    oneshot = at(quick, "lt", masking="one_shot")
    assert oneshot.mask == Magnitude(run=whole, rate=0.3, rounds=4, scope="layer")
    assert at(quick, "shuffled", masking="one_shot").mask == Shuffled(mask=oneshot.mask, seed=0)
    permuted = at(quick, "permuted", masking="one_shot")
    assert (permuted.start.permute, permuted.mask) == (0, oneshot.mask)


def test_admm_masks_have_the_density_of_the_other_masks(quick):
    ticket = at(quick, "lt", masking="admm")
    last = ticket.mask.run
    assert (ticket.mask.density, ticket.mask.scope, last.extra.density) == (0.2401, "layer", 0.2401)
    assert len(last.extra.runs) == QUICK.admm_rounds
    assert last.extra.runs[0] == at(quick, "dense")
    assert at(quick, "pft", masking="admm").start == From(run=at(quick, "dense"))
    other = dict(enumerate(weight_correlation.grid(QUICK.replace(seeds=(0,), admm_start="admm"))))
    tuned = [run for labels, run in other.values() if (labels["arm"], labels["masking"]) == ("pft", "admm")]
    assert all(run.start.run == run.mask.run for run in tuned)


def test_interventions_move_what_they_say(quick):
    def pair(recipe, lr, decay=5e-4, mask_lr=None):
        where = {"lr": lr, "decay": decay, "recipe": recipe, "mask_lr": mask_lr or lr}
        return at(quick, "dense", **where), at(quick, "lt", masking="one_shot", **where)

    dense, ticket = pair("warm", 0.1)
    assert (dense.recipe.warmup, ticket.recipe.warmup) == (10, 10)
    dense, ticket = pair("long", 0.1)
    assert (dense.recipe.epochs, ticket.recipe.epochs) == (40, 40)
    dense, ticket = pair("matched", 0.1, 0.0017)
    assert dense.recipe.weight_decay * 0.1 == pytest.approx(0.017 * 0.01)
    for recipe, lr, strength in (("pull", 0.1, 0.03), ("push", 0.01, -0.3)):
        dense, ticket = pair(recipe, lr)
        assert dense.extra == Anchor(strength=strength)
        assert ticket.mask.run == dense
        assert (ticket.extra, ticket.start) == (None, dense.start)
    for lr, other in ((0.1, 0.01), (0.01, 0.1)):
        ticket = at(quick, "lt", lr, "one_shot", mask_lr=other)
        assert ticket.mask.run == at(quick, "dense", other)
        assert ticket.recipe == at(quick, "dense", lr).recipe


def test_what_is_switched_off_leaves_no_runs():
    bare = QUICK.replace(warmup=0, long_epochs=0, matched_decay=0, pull=0, push=0, global_levels=(), seeds=(0,))
    table = pd.DataFrame([labels for labels, _ in weight_correlation.grid(bare)])
    assert set(table["recipe"]) == {"plain"}
    assert set(table["scope"]) == {"", "layer"}


def test_contrasts_have_iterative_masks_at_two_rates_only():
    table = pd.DataFrame([labels for labels, _ in weight_correlation.grid(SMOKE)])
    contrast = table[table["network"] == "resnet8*0.25"]
    assert set(contrast["arm"]) == {"dense", "dense_more", "lt", "rr", "pft"}
    assert set(contrast["masking"]) == {"none", "iterative"}
    assert set(contrast["decay"]) == {SMOKE.decay}


# A tiny study, trained


@pytest.fixture(scope="module")
def tiny_study(tmp_path_factory):
    from ltkit.lab import Lab

    lab = Lab(tmp_path_factory.mktemp("wc") / "runs", device="cpu", progress=False, compile="never")
    small = {"contrasts": (), "contrast_levels": (), "epochs": 3, "long_epochs": 4, "global_levels": ()}
    given = SMOKE.replace(**small, levels=(2, 3), method_levels=(2, 3), decays=(0.0005,), admm_rho=3.0, admm_epochs=2)
    return given, lab, weight_correlation.collect(given, lab)


@pytest.fixture(scope="module")
def overlaps(tiny_study):
    given, lab, _ = tiny_study
    return measured.overlaps(given, lab)


def test_a_second_study_trains_nothing(tiny_study):
    given, lab, table = tiny_study
    assert (table["outcome"] == "finished").all()
    trained = lab.tally.trained
    pd.testing.assert_frame_equal(weight_correlation.collect(given, lab), table)
    assert lab.tally.trained == trained
    columns = "network arm masking scope level density lr mask_lr decay recipe seed accuracy validation train_loss"
    assert list(table) == [*columns.split(), "outcome", "run"]


def test_masks_have_the_density_of_their_label(tiny_study):
    given, lab, _ = tiny_study
    for labels, run in weight_correlation.grid(given.replace(seeds=(0,))):
        assert density(lab.mask(run)) == pytest.approx(labels["density"], abs=0.003)


def test_overlaps_are_those_of_the_weights(tiny_study, overlaps):
    """Three pairs by hand: dense, a ticket among kept weights, a fine-tuned network among all."""
    given, lab, _ = tiny_study
    name, lr = given.claim_network, 0.1
    whole = weight_correlation.dense(given, Place(name, 1, lr, given.decay))
    chain = weight_correlation.iterative(given, whole, 2)
    tuned = whole.replace(start=From(run=whole), mask=chain[-1].mask)
    first, last, mask = lab.weights(whole, 0), lab.weights(whole), lab.mask(chain[-1])
    expected = {
        ("init_final", "dense", 0, 0.1): overlap_ratio(first, last, 0.1, mask),
        ("start_final", "lt", 2, 0.2): overlap_ratio(first, lab.weights(chain[-1]), 0.2, mask, mask),
        ("start_final", "pft", 2, 0.2): overlap_ratio(first, lab.weights(tuned), 0.2, mask, mask),
        ("tuned_init", "pft", 2, 0.2): overlap_ratio(first, lab.weights(tuned), 0.2, mask),
        ("tuned_dense", "pft", 2, 0.2): overlap_ratio(last, lab.weights(tuned), 0.2, mask),
    }
    rows = overlaps[(overlaps["layer"] == "all") & (overlaps["lr"] == lr) & (overlaps["seed"] == 1)]
    rows = rows[rows["masking"].isin(("none", "iterative")) & (rows["recipe"] == "plain")]
    for (pair, arm, level, p), value in expected.items():
        found = rows[(rows["pair"] == pair) & (rows["arm"] == arm) & (rows["level"] == level) & (rows["p"] == p)]
        assert found["overlap"].tolist() == [value]
        assert whole.name in found["runs"].iloc[0] or arm != "dense"


def test_overlaps_have_the_promised_columns_and_layers(overlaps):
    assert list(overlaps) == measured.COLUMNS
    assert set(overlaps["layer"]) == {"all", "fc1", "fc2", "fc3"}
    assert overlaps["overlap"].dropna().between(0, 1).all()
    assert (overlaps.loc[overlaps["pair"] == "same", "overlap"] == 1).all()
    layers = overlaps[(overlaps["pair"] == "init_final") & (overlaps["p"] == 0.2)]
    assert (layers.loc[layers["layer"] == "all", "sd"] > 0).all()
    assert layers.groupby("layer")["sd"].mean()["all"] < layers.groupby("layer")["sd"].mean()["fc3"]
    keys = [*measured.LABELS, "p", "layer"]
    assert not overlaps.duplicated(keys).any()


def test_fresh_weights_overlap_by_chance_and_under_a_mask_by_its_density(overlaps):
    rows = overlaps[(overlaps["layer"] == "all") & (overlaps["p"] == 0.2)]
    fresh = rows[rows["pair"].isin(("fresh_final", "fresh_start_final"))]
    assert abs(fresh["overlap"].mean() - 0.2) < 0.03
    alone = rows[(rows["pair"] == "masked_dense") & (rows["masking"] == "one_shot")].groupby("density")["overlap"]
    assert alone.mean().to_dict() == pytest.approx({0.49: 0.2 / 0.49, 0.343: 0.2 / 0.343}, abs=0.05)


def test_admm_comes_closer_to_its_own_pruned_self(tiny_study):
    given, lab, _ = tiny_study
    found = measured.residuals(given, lab)
    assert list(found) == ["network", "lr", "density", "seed", "round", "residual"]
    assert len(found) == 2 * 2 * (given.admm_rounds + 1)
    by_round = found.pivot_table(index=["density", "seed"], columns="round", values="residual")
    assert (by_round[given.admm_rounds] < by_round[0]).all()


def test_effects_are_the_tables_differences(tiny_study, overlaps):
    given, _, table = tiny_study
    found = evidence.effects(given, table, overlaps)
    assert list(found) == evidence.EFFECTS
    row = found[(found["recipe"] == "push") & (found["seed"] == 0)].iloc[0]
    arms = table[(table["recipe"] == "push") & (table["seed"] == 0)].set_index("arm")["accuracy"]
    assert row["advantage"] == arms["lt"] - arms["rr"]
    assert row["dense"] == arms["dense"]
    moved = found[(found["lr"] != found["mask_lr"]) & (found["lr"] == 0.1)].set_index("seed")
    source = overlaps[(overlaps["pair"] == "init_final") & (overlaps["recipe"] == "plain") & (overlaps["lr"] == 0.01)]
    source = source[(source["p"] == 0.2) & (source["layer"] == "all")].set_index("seed")["overlap"]
    assert moved["overlap"].to_dict() == source.to_dict()  # of the network that gave the mask


def test_a_diverged_run_is_nan_and_stays_in_the_tables(make_lab):
    lab = make_lab()
    small = {"contrasts": (), "contrast_levels": (), "epochs": 2, "long_epochs": 0, "global_levels": (), "seeds": (0,)}
    small |= {"levels": (2,), "method_levels": (2,), "claim_level": 2, "decays": (0.0005,), "lr_rewind_epoch": 1}
    given = SMOKE.replace(**small, lrs=(0.01, 100.0), lr_large=100.0, pull=0, push=0, warmup=0, matched_decay=0)
    table = weight_correlation.collect(given, lab)
    assert {"finished", "diverged", "undefined"} >= set(table["outcome"])
    assert table.loc[(table["arm"] == "dense") & (table["lr"] == 100), "outcome"].tolist() == ["diverged"]
    found, falls = measured.overlaps(given, lab), measured.residuals(given, lab)
    lost = found[found["lr"] == 100]
    assert len(lost) > 0
    assert lost["overlap"].isna().all()
    assert falls["residual"].isna().all()
    told = claims.verdicts(given, table, found)
    assert [v.claim for v in told] == [claim.id for claim in WEIGHT_CORRELATION]
    assert all(v.reason for v in told if v.verdict == "untested")
    assert np.isnan(next(v for v in told if v.claim == "E3").effect)
    controls.controls(given, table, found, falls)
    controls.against_existence(given, table, found)
