"""The existence study: its grid, its parameters everywhere, its verdicts on tables with known answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ltkit import params
from ltkit.errors import UserError
from ltkit.lab import Lab
from ltkit.prune import tickets
from ltkit.studies import existence, existence_claims
from ltkit.studies.existence import Params
from ltkit.verdict import EXISTENCE

ROOT = Path(__file__).resolve().parents[1]
SMOKE = params.load(ROOT / "params/smoke/existence.yaml", Params)
QUICK = params.load(ROOT / "params/quick/existence.yaml", Params)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"claim_network": "resnet8*0.6"}, "did you mean 'resnet8"),
        ({"networks": ["resnet21"]}, "did you mean 'resnet"),
        ({"networks": ["resnet8x2"]}, "unknown architecture"),
        ({"networks": ["resnet8*a"]}, "arch\\*width"),
        ({"contrasts": ["vgg11-plain"], "claim_network": "lenet_300_100*0.1"}, "needs a ResNet"),
        ({"lr_small": 0.02}, "must be among lrs"),
        ({"lr_small": 0.1, "lr_large": 0.1}, "must be below"),
        ({"claim_level": 9}, "must be among"),
        ({"short_epochs": 2}, "must be below"),
        ({"rewind_epoch": 2}, "rewind_epoch"),
        ({"rate": 1.0}, "rate"),
    ],
)
def test_parameters_that_make_no_sense_are_one_line(change, says):
    with pytest.raises(UserError, match=says) as caught:
        Params(**{**SMOKE.model_dump(), **change})
    assert "\n" not in str(caught.value)


def test_grid_pairs_every_arm_by_seed_and_shares_its_runs():
    labelled = existence.grid(SMOKE)
    table = pd.DataFrame([{**labels, "run": run} for labels, run in labelled])
    assert not table.duplicated([c for c in table.columns if c != "run"]).any()
    assert set(table["run"].map(lambda run: run.order) == table["seed"]) == {True}
    coupled = table[table["arm"].str.startswith("lt_decoupled_imp") & (table["lr"] == table["mask_lr"])]
    tickets = table[(table["arm"] == "lt_imp") & (table["network"] == SMOKE.claim_network)]
    assert set(coupled["run"]) <= set(tickets["run"])  # the same runs under another name: trained once
    for _, ticket in table[table["arm"] == "lt_imp"].iterrows():
        twin = table[(table["arm"] == "rr_imp") & (table["epochs"] == ticket["epochs"])]
        twin = twin[(twin["network"] == ticket["network"]) & (twin["lr"] == ticket["lr"])]
        twin = twin[(twin["seed"] == ticket["seed"]) & (twin["level"] == ticket["level"])]
        for other in twin["run"]:
            assert other.mask == ticket["run"].mask
            assert other.start != ticket["run"].start


def test_small_dense_has_the_tickets_size():
    from ltkit import models

    whole = existence.dense(QUICK, "lenet_300_100", 0.1, 0)
    for level in QUICK.levels:
        narrow = existence.small_dense(whole, QUICK.rate, level, None)
        count = models.prunable_count(narrow.network, (1, 8, 8), 10)
        total = models.prunable_count(whole.network, (1, 8, 8), 10)
        assert count == pytest.approx(total * QUICK.density(level), rel=0.05)
        assert narrow.mask.kind == "dense"


# Tables with a known truth: accuracy is a sum of effects, and a little noise that pairs share or don't.

OFFSETS = {"dense": 0, "lt_imp": -1, "lt_omp": -3, "rr_imp": -5, "rr_omp": -5, "sdt": -4, "lt_shuffled": -8}
OFFSETS |= {"lt_rewound": 1, "lt_decoupled_imp": -1, "lt_decoupled_omp": -3}
OFFSETS |= {"dense_warm": 0, "lt_warm": -1, "rr_warm": -5}


def made(change=lambda labels: 0.0, seeds=5, given=QUICK):
    """The grid's labels with accuracies 95 + offset of the arm + 2 at the large rate + `change(labels)`."""
    draw = np.random.default_rng(0)
    given = given.replace(seeds=tuple(range(seeds)))
    rows = []
    for labels, run in existence.grid(given):
        value = 95.0 + OFFSETS[labels["arm"]] + (2 if labels["lr"] == QUICK.lr_large else 0) + change(labels)
        accuracy = value + draw.normal(0, 0.05)
        told = {"validation": value, "outcome": "finished", "run": run.name, "prunable": 1}
        rows.append({**labels, "accuracy": accuracy, **told})
    points = [
        {"network": n, "lr": lr, "seed": s, "start": start, "p": 0.1, "null_sd": 0.01, "runs": ("a", "b")}
        | {"ratio": 0.1 + draw.normal(0, 0.002) + (0.3 if start == "own" and lr == QUICK.lr_small else 0)}
        for n in {given.claim_network, *given.networks}
        for lr in given.lrs_of(n)
        for s in given.seeds
        for start in ("own", "fresh")
    ]
    return given, pd.DataFrame(rows), pd.DataFrame(points)


@pytest.fixture(scope="module")
def told():
    given, table, points = made()
    return {verdict.claim: verdict for verdict in existence_claims.verdicts(given, table, points)}


@pytest.mark.parametrize(
    ("change", "untested"),
    [
        ({"levels": (1,), "contrast_levels": (1,), "claim_level": 1, "overlap_level": 1}, {"A1a", "A2"}),  # density .7
        ({"claim_network": "resnet8*0.5", "contrasts": ("resnet8*0.5-plain",), "networks": ("resnet8*0.5",)}, set()),
        (
            {
                **{"claim_network": "resnet8*0.5", "contrasts": ("resnet8*0.5-plain",), "networks": ("resnet8*0.5",)},
                "contrast_levels": (3,),  # the plain network isn't trained at the claim level
            },
            {"A7"},
        ),
    ],
)
def test_what_a_grid_cannot_tell_is_untested(change, untested):
    given, table, points = made(given=QUICK.replace(**change))
    told = {verdict.claim: verdict for verdict in existence_claims.verdicts(given, table, points)}
    assert untested <= {claim for claim, verdict in told.items() if verdict.verdict == "untested"}
    assert all(verdict.reason for verdict in told.values() if verdict.verdict == "untested")
    assert told["A5"].verdict == "supported"


def test_capacity_is_compared_among_networks_trained_equally_long(told):
    """A10b: s* of .657, .832 and .972 over log2 of N, which grows by 1 and 2 (made-up sizes)."""
    given = QUICK
    sizes = dict(zip(("lenet_300_100*0.1", "lenet_300_100*0.3", "resnet8*0.5"), (1000, 2000, 8000), strict=True))
    levels = dict(zip(sizes, given.contrast_levels, strict=True))

    def wins_to(labels):  # tickets as good as dense up to a level, far below it beyond
        if labels["arm"] != "lt_imp" or labels["network"] not in levels:
            return 0.0
        return 1.2 if labels["level"] <= levels[labels["network"]] else -9.0

    _, table, points = made(wins_to)
    table["prunable"] = table["network"].map(sizes).fillna(7.0)
    found = {v.claim: v for v in existence_claims.verdicts(given, table, points)}["A10b"]
    x, y = (0, 1, 3), [1 - given.density(level) for level in given.contrast_levels]
    assert found.effect == pytest.approx(np.polyfit(x, y, 1)[0])
    assert found.setting.startswith("lenet_300_100*0.1, lenet_300_100*0.3, resnet8*0.5, digits, 6 epochs")
    alone = given.replace(contrasts=("lenet_300_100*0.1", "resnet8*0.5", "resnet8*0.5-plain"))
    few = {v.claim: v for v in existence_claims.verdicts(alone, table, points)}["A10b"]
    assert few.reason == "needs at least three networks of different size that are trained equally long"


def test_every_pair_of_networks_with_and_without_skips_is_asked():
    """A6, A7, A8 speak of two networks: the claim network at its level, another at its sparsest one."""
    pair = ("resnet8*0.25", "resnet8*0.25-plain")
    given = QUICK.replace(contrasts=(*QUICK.contrasts, *pair), contrast_levels=(5, 7, 8))

    def better(labels):  # one-shot masks win on one network alone
        return 9.0 if labels["arm"] == "lt_omp" and labels["network"] == pair[0] else 0.0

    found = {v.claim: v for v in existence_claims.verdicts(*made(better, given=given))}
    assert (found["A6a"].verdict, found["A6a"].setting) == ("refuted", "digits, lr 0.01; resnet8*0.25, density 0.0576")

    def worse(labels):  # and iterative ones far better on its twin
        return 9.0 if labels["arm"] == "lt_imp" and labels["network"] == pair[1] else 0.0

    found = {v.claim: v for v in existence_claims.verdicts(*made(worse, given=given))}
    assert found["A7"].verdict == "refuted"
    assert found["A7"].setting.startswith("digits, no residual connections; resnet8*0.25-plain, lr 0.")


def test_settings_name_what_was_trained(told):
    assert told["A12"].setting.startswith("lenet_300_100, resnet8*0.5, digits, rewound to epoch 1")
    assert told["A16"].setting.startswith("digits, 20 and 6 epochs")
    paper = params.load(ROOT / "params/paper/existence.yaml", Params)
    assert (paper.lr_short, QUICK.lr_short) == (0.005, 0.01)


def test_overlap_of_what_diverged_is_no_number(tmp_path):
    given = SMOKE.replace(networks=("lenet_300_100*0.1",), contrasts=(), claim_network="lenet_300_100*0.1")
    given = given.replace(lrs=(0.1, 100.0), lr_small=0.1, lr_large=100.0, seeds=(0,), epochs=2)
    lab = Lab(tmp_path, device="cpu", progress=False)
    whole = [existence.dense(given, given.claim_network, lr, 0) for lr in given.lrs]
    winners = [tickets.imp(run, rounds=given.overlap_level, rate=given.rate)[-1] for run in whole]
    lab.run([*winners, *map(tickets.reinit, winners)])
    points = existence.overlap(given, lab)
    assert points.groupby("lr")["ratio"].count().to_dict() == {0.1: 2, 100.0: 0}
    assert points["null_sd"].notna().tolist() == points["ratio"].notna().tolist()
    _, table, _ = made(given=given.replace(epochs=4))
    told = {verdict.claim: verdict for verdict in existence_claims.verdicts(given.replace(epochs=4), table, points)}
    assert "2 of 4 values are NaN" in told["A11"].reason


def test_every_claim_has_a_verdict_in_order(told):
    assert list(told) == [claim.id for claim in EXISTENCE]
    assert all(verdict.reason for verdict in told.values() if verdict.verdict == "untested")


@pytest.mark.parametrize(
    ("claim", "verdict", "effect"),
    [
        ("A1a", "refuted", 4),  # LT - RR is 4 everywhere: no tie
        ("A1b", "supported", 1),
        ("A2", "supported", 4),
        ("A3a", "undecided", 0),  # the gap is the same at both lengths
        ("A4", "supported", 1),
        ("A5", "supported", 2),
        ("A6a", "supported", 2),
        ("A6b", "refuted", 2),
        ("A7", "refuted", -2),
        ("A8", "refuted", -2),  # large is better with residual connections too
        ("A9", "refuted", 2),  # a mask from the small rate trains better at the large one
        ("A11", "supported", None),
        ("A12", "supported", 2),
        ("A13a", "untested", None),
        ("A13b", "untested", None),
        ("A14", "untested", None),
        ("A15", "refuted", 4),
        ("A16", "supported", None),  # dense - LT is 1 everywhere: condition 5 fails for sure
    ],
)
def test_verdicts_on_a_table_with_a_known_truth(told, claim, verdict, effect):
    assert told[claim].verdict == verdict
    if effect is not None:
        assert told[claim].effect == pytest.approx(effect, abs=0.15)
        assert told[claim].low < told[claim].effect < told[claim].high


def test_a_tie_is_found_where_there_is_one():
    def tie(labels):
        return 4.0 if labels["arm"].startswith("rr") and labels["lr"] == QUICK.lr_large else 0.0

    told = {v.claim: v for v in existence_claims.verdicts(*made(tie))}
    assert told["A1a"].verdict == told["A15"].verdict == "supported"
    assert told["A2"].verdict == "supported"


def test_a_secondary_prize_and_a_jackpot_are_found():
    def match_at_small(labels):  # the ticket reaches dense at the small rate only: not the well-trained one
        small = labels["lr"] == QUICK.lr_small
        return (1.2 if small else -1.5) if labels["arm"] == "lt_imp" else (-4.0 if labels["arm"] in ("rr_imp",) else 0)

    def match_everywhere(labels):
        return 1.2 if labels["arm"] == "lt_imp" else 0.0

    secondary = {v.claim: v for v in existence_claims.verdicts(*made(match_at_small))}
    assert secondary["A10a"].verdict == "supported"
    assert secondary["A16"].verdict == "supported"  # no jackpot
    jackpot = {v.claim: v for v in existence_claims.verdicts(*made(match_everywhere))}
    assert jackpot["A16"].verdict == "refuted"


def test_diverged_runs_are_left_out_and_said():
    given, table, points = made()
    table.loc[(table["arm"] == "dense") & (table["seed"] == 0), ["accuracy", "validation"]] = float("nan")
    told = {v.claim: v for v in existence_claims.verdicts(given, table, points)}
    assert told["A5"].n == 4
    assert "NaN" in told["A5"].reason


def test_effects_are_the_differences_put_in():
    given, table, _ = made(lambda labels: -3.0 if labels["arm"] == "rr_imp" and labels["lr"] == 0.01 else 0.0)
    effects = existence_claims.effects(given, table).set_index(["factor", "contrast", "outcome"])
    row = effects.loc[("learning rate", f"{QUICK.claim_network}: lr 0.1 - 0.01", "advantage")]
    assert row["mean"] == pytest.approx(-3, abs=0.15)
    assert row["low"] < -3 < row["high"]
    assert {"learning rate", "density", "training length", "warm-up", "residual connections", "capacity"} == set(
        effects.index.get_level_values("factor")
    )


def test_controls_and_guideline():
    given, table, points = made()
    controls = existence_claims.controls(given, table).set_index("control")
    shuffled = controls[controls.index.str.contains("shuffled")].iloc[0]
    assert shuffled["effect"] == pytest.approx(7, abs=0.15)
    assert shuffled["holds"] == "yes"
    sentences = existence_claims.guideline(existence_claims.verdicts(given, table, points))
    assert "A8: refuted" in " ".join(sentences["checked by"])


def test_smoke_scale_runs_end_to_end(tmp_path):
    from ltkit.lab import Lab

    lab = Lab(tmp_path / "store", device="cpu", progress=False)
    small = SMOKE.replace(networks=("lenet_300_100*0.1",), contrasts=(), claim_network="lenet_300_100*0.1")
    table = existence.collect(small, lab)
    assert (table["outcome"] == "finished").all()
    assert lab.tally.trained == lab.tally.needed > 30
    again = existence.collect(small, lab)
    assert lab.tally.reused == lab.tally.trained  # the second call trained nothing
    pd.testing.assert_frame_equal(table, again)
    points = existence.overlap(small, lab)
    assert points["ratio"].between(0, 1).all()
    verdicts = existence_claims.verdicts(small, table, points)
    assert len(verdicts) == len(EXISTENCE)


def test_arms_that_did_not_train_are_named():
    given, table, _ = made(lambda labels: -60.0 if labels["arm"] == "sdt" and labels["lr"] == 0.01 else 0.0)
    poor = existence_claims.untrained(given, table)
    assert set(poor["arm"]) == {"sdt"}
    assert set(poor["lr"]) == {0.01}
    assert (poor["mean accuracy"] < 40).all()
